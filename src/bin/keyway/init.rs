//! `keyway init`: a cluster file for a cluster that has no data yet.

use crate::failure::CliError;
use crate::output::{self, plural};
use keyway::import::{Fresh, NODES_DEFAULT, fresh};
use keyway::placement::Algorithm;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Choose the number of nodes well: it is for the life of the data, and a cluster never has more servers than nodes. 64 is enough for most.
For data that is there, placed by twemproxy, nydus, rb or go-redis, use keyway import.

Examples:
  keyway init                                              two servers on this machine, cluster.toml
  keyway init feeds.toml --name feeds --servers 10.0.0.1:6379,10.0.0.2:6379
  keyway init - --nodes 256 | less                         only look at it";

/// Write a commented cluster.toml for a new cluster
///
/// Every server gets an equal share of the nodes. Connects to nothing, and overwrites nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file to write; "-" writes to standard output
    #[arg(default_value = "cluster.toml")]
    file: PathBuf,
    /// Servers, separated by commas: host:port, host, or the path of a socket
    #[arg(
        long,
        value_name = "SERVERS",
        value_delimiter = ',',
        default_value = "127.0.0.1:6379,127.0.0.1:6380"
    )]
    servers: Vec<String>,
    /// Number of nodes, for the life of the data
    #[arg(long, value_name = "N", default_value_t = NODES_DEFAULT)]
    nodes: u16,
    /// How keys become nodes: ketama, modulo, rendezvous, jump or maglev
    #[arg(long, default_value_t = Algorithm::Ketama)]
    algorithm: Algorithm,
    /// The cluster's name
    #[arg(long, default_value = "cluster")]
    name: String,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let text = fresh(&Fresh {
        name: args.name.clone(),
        servers: args.servers.clone(),
        algorithm: args.algorithm,
        node_count: args.nodes,
    })?;
    if args.file.as_os_str() == "-" {
        output::print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    crate::import::write_file(&args.file, &text, false)?;
    let file = args.file.display();
    output::print(&format!(
        "wrote {file}: {} on {}. Next: keyway check {file}\n",
        plural(args.nodes.into(), "node"),
        plural(args.servers.len(), "server"),
    ))?;
    Ok(ExitCode::SUCCESS)
}
