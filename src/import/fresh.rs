//! A cluster file for a cluster that has no data yet.

use super::error::{ImportError, Problem};
use super::host;
use super::write::{check_name, comment, fit, ranges, unique};
use crate::config::Config;
use crate::placement::{Algorithm, NODES_MAX};
use std::collections::HashMap;
use std::fmt::Write;

/// As many nodes as do for most clusters.
pub const NODES_DEFAULT: u16 = 64;

/// What a new cluster shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    /// Its name: 1 to 40 letters, digits, `_`, `.` or `-`.
    pub name: String,
    /// Its servers: `host:port`, `host` for port 6379, or the path of a socket. Each gets an equal share of the nodes.
    pub servers: Vec<String>,
    /// One of keyway's own.
    pub algorithm: Algorithm,
    /// The number of nodes, for the life of the data: as many as servers, or more.
    pub node_count: u16,
}

impl Default for Fresh {
    /// Two servers on this machine, ketama, [`NODES_DEFAULT`] nodes.
    fn default() -> Fresh {
        Fresh {
            name: "cluster".to_owned(),
            servers: vec!["127.0.0.1:6379".to_owned(), "127.0.0.1:6380".to_owned()],
            algorithm: Algorithm::Ketama,
            node_count: NODES_DEFAULT,
        }
    }
}

/// A commented cluster file, which [`Config::from_file`] accepts.
///
/// # Errors
/// A name, a server or a number that cannot be; an algorithm that is for data of another program.
pub fn fresh(cluster: &Fresh) -> Result<String, ImportError> {
    text(cluster).map_err(|problem| problem.at_origin("a new cluster".as_ref()))
}

fn text(cluster: &Fresh) -> Result<String, Problem> {
    check_name(&cluster.name)?;
    check_algorithm(cluster.algorithm)?;
    let shares = spread(&vec![1; cluster.servers.len()], cluster.node_count)?;
    let mut text = String::new();
    comment(
        &mut text,
        "# ",
        "A keyway cluster: how keys become nodes, and which server each node lives on. `keyway check` holds this file against the servers.",
    );
    let _ = writeln!(
        text,
        "\n# Part of the name of every connection, as CLIENT LIST shows it.\nname = \"{}\"\n",
        cluster.name
    );
    comment(
        &mut text,
        "# ",
        "How keys become nodes. FIXED FOR THE LIFE OF THE DATA: with another algorithm or number of nodes, keys are looked for where they are not. \
         Nodes are what is moved to servers to come, so there are more of them than there will ever be servers.",
    );
    let _ = writeln!(
        text,
        "[placement]\nalgorithm = \"{}\"\nnodes = {}\n",
        cluster.algorithm, cluster.node_count
    );
    comment(
        &mut text,
        "# ",
        "Every node lives on exactly one server. To add a server, give it some nodes of the others once their data is there: nothing moves by itself.",
    );
    let mut names = HashMap::new();
    for (server, share) in cluster.servers.iter().zip(shares) {
        let address = host::read(server)?;
        let name = unique(fit(&host::server_name(&address, 0), "server"), &mut names);
        let key = match name.contains('.') {
            true => format!("\"{name}\""),
            false => name,
        };
        let _ = writeln!(
            text,
            "[servers.{key}]\nurl = \"{}\"\nnodes = {}\n",
            host::url(&address, false),
            ranges(&share)
        );
    }
    text.push_str(REST);
    check(cluster, &text)?;
    Ok(text)
}

const REST: &str = "\
# What follows are defaults; take the # away to change one. There are more: see src/config/reference.toml.

# [defaults]
# password = \"${CLUSTER_PASSWORD}\"   # from the environment
# database = 0

# [timeouts]
# response = \"500ms\"   # deadline of every operation, retries included
# connect = \"1s\"

# [retry]
# attempts_max = 4   # of what is safe to repeat
";

fn check(cluster: &Fresh, text: &str) -> Result<(), Problem> {
    let config = Config::parse(text, "cluster.toml".as_ref(), &|_| None).map_err(|error| {
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default();
        Problem::new("no cluster file can be made of this")
            .read(what)
            .expected("servers that differ, each reachable by its address")
            .help("change what it is about")
    })?;
    match config.placement().node_count() == usize::from(cluster.node_count) {
        true => Ok(()),
        false => Err(Problem::new("the file would have another number of nodes")
            .help("this is a fault of keyway's: please report it")),
    }
}

pub(super) fn check_algorithm(algorithm: Algorithm) -> Result<(), Problem> {
    if Algorithm::OWN.contains(&algorithm) {
        return Ok(());
    }
    let names = Algorithm::OWN.map(Algorithm::name);
    Err(Problem::new(format!("{algorithm} is not for new data"))
        .expected(names.join(", "))
        .help("for data that another program has placed, import its configuration; \"ketama\" otherwise"))
}

/// `node_count` nodes over servers by their weights, in runs: each gets its share, rounded.
pub(super) fn spread(weights: &[u32], node_count: u16) -> Result<Vec<Vec<u16>>, Problem> {
    let count = usize::from(node_count);
    if !(1..=NODES_MAX).contains(&count) {
        return Err(Problem::new("a number of nodes that cannot be")
            .read(format!("{node_count}"))
            .expected(format!("1 to {NODES_MAX}"))
            .help("64 is enough for most"));
    }
    if weights.is_empty() || weights.len() > count {
        return Err(Problem::new(format!(
            "{} servers for {node_count} nodes",
            weights.len()
        ))
        .expected("at least one server, and at least one node for each")
        .help("a node is on one server: there must be as many nodes as there will ever be servers"));
    }
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let mut shares = Vec::new();
    let (mut sum, mut first) = (0, 0);
    for (index, weight) in weights.iter().enumerate() {
        sum += u64::from(*weight);
        // At least one for each server that is left, and at least one for this.
        let left = (weights.len() - 1 - index) as u64;
        let end = (sum * u64::from(node_count) + total / 2) / total.max(1);
        let end = end.clamp(first + 1, u64::from(node_count) - left);
        shares.push((first..end).map(|node| node as u16).collect());
        first = end;
    }
    Ok(shares)
}
