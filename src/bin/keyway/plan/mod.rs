//! `keyway plan`: prints what [`keyway::plan`] comes to. Asks files, and servers only if told to.

mod page;
mod sizes;

use crate::failure::CliError;
use crate::output;
use keyway::Config;
use keyway::config::node_ranges;
use keyway::plan::{Balance, Goal, Limits, MoveTime, Pace, Plan, ServerSpec};
use keyway::topology::Topology;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

const EXAMPLES: &str = "\
Exit codes:
  0  there is a plan, if only that nothing moves
  1  there is none: not enough memory, or no order within it
  2  wrong usage, or a file says something wrong
  3  with --live: a server could not be looked at

Examples:
  keyway plan cluster.toml --add f                        what a sixth server would take over, and from whom
  keyway plan cluster.toml --drain a --keys 10m --bytes 40GiB
                                                          empty a server; with sizes there are times, too
  keyway plan cluster.toml --even --weight a=2            a is twice as large as the others
  keyway plan cluster.toml --servers 8 --bytes 100GiB --memory-max 16GiB
  keyway plan cluster.toml --even --live                  by what is on the servers now
  redis-cli --scan | keyway plan cluster.toml --even --keys-file -
  keyway plan old.toml new.toml --json | jq '.moves[] | [.wave, .from, .to, .nodes]'

A key never changes its node; a plan moves whole nodes between servers. Nothing is moved by this
command: it reads files, connects to servers only with --live, and writes nothing but the plan.";

/// Say which nodes must move, in which order, and why; moves nothing
///
/// Either to get from one cluster file to another, or for a goal: --even, --drain, --add, --servers. The fewest nodes move that make servers
/// as even as they can be, then the fewest bytes. No server is over its --memory-max at any moment, counting that what moves is on both servers
/// until it is done; and no server takes part in more than --at-once moves at a time. A split copies all of a server to one that has no node; to
/// others nodes migrate key by key.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("goal").required(true).args(["new_file", "even", "drain", "add", "servers"]))]
pub(crate) struct Args {
    /// The cluster file
    file: PathBuf,
    /// The cluster file that it is to become: same placement, nodes on other servers
    new_file: Option<PathBuf>,
    /// Give every server its share
    #[arg(long)]
    even: bool,
    /// Empty these servers; only their nodes move
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    drain: Vec<String>,
    /// Add these servers; nodes move to them only
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',', value_parser = server_name)]
    add: Vec<String>,
    /// So many servers: some are added and called new-1, new-2 ..., or those with the fewest nodes are emptied
    #[arg(long, value_name = "N")]
    servers: Option<usize>,
    /// A server's share relative to the others, 1 for those not named; 0: it is to have no node
    #[arg(long, value_name = "NAME=N", value_delimiter = ',', value_parser = weight, conflicts_with = "new_file")]
    weight: Vec<(String, u32)>,
    /// What a server's nodes may take in all: 16GiB for every server, a=8GiB for one. Needs sizes
    #[arg(long, value_name = "[NAME=]SIZE", value_delimiter = ',', value_parser = memory_max)]
    memory_max: Vec<(Option<String>, u64)>,
    /// Moves that one server takes part in at the same time; live moves allow one
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = at_once)]
    at_once: usize,
    /// What is made even: nodes, or bytes to within a tolerance, bytes=5%. By default bytes=5% if it is known what each node takes, by --live or a file of keys, else nodes
    #[arg(long, value_name = "BY", value_parser = balance, conflicts_with = "new_file")]
    balance: Option<Balance>,
    #[command(flatten)]
    sizes: sizes::SizeArgs,
    /// How fast data moves: a TOML file with a table [pace]; by default as measured with a prototype on a small machine
    #[arg(long, value_name = "FILE")]
    pace: Option<PathBuf>,
    /// One JSON object: the plan, the times of its moves, the nodes of every server afterwards
    #[arg(long)]
    json: bool,
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Outcome {
    cluster: String,
    placement: String,
    #[serde(flatten)]
    plan: Plan,
    /// One for each move, in the order of the moves; none unless both keys and bytes are known.
    times: Vec<Times>,
    /// All of it, waves one after the other, in seconds.
    total_s: Option<f64>,
    /// The nodes of every server afterwards, as a cluster file lists them.
    nodes: BTreeMap<Arc<str>, String>,
}

/// How long one move takes, by the pace.
#[derive(Clone, Copy, Debug, Serialize)]
struct Times {
    /// Until all data is there.
    copy_s: f64,
    /// While the nodes take no command.
    freeze_ms: f64,
    /// Until what was left behind is removed.
    purge_s: f64,
    /// All of it.
    total_s: f64,
}

impl From<MoveTime> for Times {
    fn from(time: MoveTime) -> Times {
        Times {
            copy_s: time.copy.as_secs_f64(),
            freeze_ms: time.freeze.as_secs_f64() * 1e3,
            purge_s: time.purge.as_secs_f64(),
            total_s: time.total().as_secs_f64(),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let old = Config::from_file(&args.file)?;
    let sizes = args.sizes.read(&old)?;
    let has_bytes = sizes.total().bytes > 0;
    if !has_bytes && !args.memory_max.is_empty() {
        return Err(usage(
            "--memory-max needs sizes: --bytes SIZE for all keys together, --keys-file FILE, or --live",
        ));
    }
    let pace = match &args.pace {
        Some(path) => read_pace(path)?,
        None => Pace::default(),
    };
    let mut limits = Limits::default();
    limits.moves_per_server_max = args.at_once;
    limits.balance = args
        .balance
        .unwrap_or(match args.sizes.differ() && has_bytes {
            true => Balance::Bytes { tolerance: 0.05 },
            false => Balance::Nodes,
        });
    let plan = match &args.new_file {
        Some(path) => {
            let new = Config::from_file(path)?;
            if old.placement() != new.placement() {
                return Err(usage(&format!(
                    "the placements of the two files differ: {} in {}, {} in {}. A plan moves nodes between servers; another placement moves keys between nodes",
                    old.placement().describe(),
                    args.file.display(),
                    new.placement().describe(),
                    path.display()
                )));
            }
            let names = names(old.topology()).chain(names(new.topology()));
            let specs = specs(args, names.collect(), &|_| false)?;
            Plan::between(old.topology(), new.topology(), &specs, &sizes, &limits)
        }
        None => {
            let goal = goal(args);
            let mut all: Vec<Arc<str>> = names(old.topology()).collect();
            all.extend(args.add.iter().map(|name| Arc::from(name.as_str())));
            let is_made_up = |name: &str| {
                matches!(goal, Goal::Servers(_)) && name.strip_prefix("new-").is_some()
            };
            let specs = specs(args, all, &is_made_up)?;
            Plan::for_goal(old.topology(), &goal, &specs, &sizes, &limits)
        }
    }?;
    let new = plan.apply(old.topology())?;
    // Half of what is needed would make times that are too short.
    let pace = (has_bytes && sizes.total().keys > 0).then_some(pace);
    let outcome = Outcome::new(&old, plan, &new, pace.as_ref());
    output::print(&match args.json {
        true => output::json_page(&outcome)?,
        false => page::page(&outcome),
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Outcome {
    fn new(old: &Config, plan: Plan, new: &Topology, pace: Option<&Pace>) -> Outcome {
        let times: Vec<Times> = pace.map_or_else(Vec::new, |pace| {
            plan.moves()
                .iter()
                .map(|one| pace.time(one.kind, one.source, one.size()).into())
                .collect()
        });
        Outcome {
            cluster: old.name().to_owned(),
            placement: old.placement().describe(),
            total_s: pace.map(|_| total_s(&plan, &times)),
            nodes: nodes_after(new),
            plan,
            times,
        }
    }
}

/// A wave takes as long as its longest move.
fn total_s(plan: &Plan, times: &[Times]) -> f64 {
    let mut rest = times;
    let mut total = 0.0;
    for wave in plan.waves() {
        let (this, later) = rest.split_at(wave.len().min(rest.len()));
        rest = later;
        total += this.iter().map(|times| times.total_s).fold(0.0, f64::max);
    }
    total
}

fn goal(args: &Args) -> Goal {
    let names = |names: &[String]| names.iter().map(|name| Arc::from(name.as_str())).collect();
    match args.servers {
        Some(count) => Goal::Servers(count),
        None if !args.drain.is_empty() => Goal::Drain(names(&args.drain)),
        None if !args.add.is_empty() => Goal::Add(names(&args.add)),
        None => Goal::Even,
    }
}

fn names(topology: &Topology) -> impl Iterator<Item = Arc<str>> {
    topology
        .servers()
        .map(|server| topology.server_name(server).clone())
}

fn nodes_after(topology: &Topology) -> BTreeMap<Arc<str>, String> {
    topology
        .servers()
        .map(|server| {
            let nodes: Vec<_> = topology.nodes_of(server).collect();
            (topology.server_name(server).clone(), node_ranges(&nodes))
        })
        .collect()
}

/// Weights and limits of these servers, and of those that are named and may be made up.
fn specs(
    args: &Args,
    names: Vec<Arc<str>>,
    is_made_up: &dyn Fn(&str) -> bool,
) -> Result<Vec<ServerSpec>, CliError> {
    let for_all = args
        .memory_max
        .iter()
        .rev()
        .find(|(name, _)| name.is_none());
    let spec = |name: &Arc<str>| ServerSpec {
        memory_bytes_max: for_all.map(|(_, bytes)| *bytes),
        ..ServerSpec::new(name.clone())
    };
    let mut specs: BTreeMap<Arc<str>, ServerSpec> = names
        .iter()
        .map(|name| (name.clone(), spec(name)))
        .collect();
    let known = names.join(", ");
    let mut named = |name: &str, change: &dyn Fn(&mut ServerSpec)| {
        let name: Arc<str> = Arc::from(name);
        if is_made_up(&name) && !specs.contains_key(&name) {
            specs.insert(name.clone(), spec(&name));
        }
        match specs.get_mut(&name) {
            Some(spec) => {
                change(spec);
                Ok(())
            }
            None => Err(usage(&format!(
                "there is no server {name}; expected one of {known}"
            ))),
        }
    };
    for (name, weight) in &args.weight {
        named(name, &|spec| spec.weight = *weight)?;
    }
    for (name, bytes) in &args.memory_max {
        if let Some(name) = name {
            named(name, &|spec| spec.memory_bytes_max = Some(*bytes))?;
        }
    }
    Ok(specs.into_values().collect())
}

fn read_pace(path: &Path) -> Result<Pace, CliError> {
    #[derive(serde::Deserialize)]
    struct File {
        pace: Pace,
    }
    let place = path.display().to_string();
    let text = sizes::small_text(path)?;
    let file: File = toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        usage(&format!(
            "{place}:{line}: {}; expected a table [pace] of numbers, such as copy_bytes_per_s = 104857600",
            error.message()
        ))
    })?;
    file.pace
        .check()
        .map_err(|(field, why)| usage(&format!("{place}: pace.{field}: {why}")))?;
    Ok(file.pace)
}

fn usage(text: &str) -> CliError {
    CliError::Usage(text.to_owned())
}

fn server_name(text: &str) -> Result<String, String> {
    let is_name = (1..=40).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    match is_name {
        true => Ok(text.to_owned()),
        false => Err("expected a server's name: 1 to 40 of A-Z a-z 0-9 _ . -".to_owned()),
    }
}

fn weight(text: &str) -> Result<(String, u32), String> {
    let expected = || format!("{text:?} is no weight; expected NAME=N, such as a=2");
    let (name, weight) = text.split_once('=').ok_or_else(expected)?;
    let weight = weight.parse().map_err(|_| expected())?;
    Ok((server_name(name)?, weight))
}

fn memory_max(text: &str) -> Result<(Option<String>, u64), String> {
    match text.split_once('=') {
        Some((name, size)) => Ok((Some(server_name(name)?), crate::arguments::size(size)?)),
        None => Ok((None, crate::arguments::size(text)?)),
    }
}

fn at_once(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=1_000).contains(&count) => Ok(count),
        _ => Err("expected a number from 1 to 1000".to_owned()),
    }
}

fn balance(text: &str) -> Result<Balance, String> {
    let expected = || format!("{text:?}; expected nodes, bytes or bytes=5%, up to 100%");
    match text.split_once('=') {
        None if text == "nodes" => Ok(Balance::Nodes),
        None if text == "bytes" => Ok(Balance::Bytes { tolerance: 0.05 }),
        Some(("bytes", percent)) => {
            let percent = percent.strip_suffix('%').ok_or_else(expected)?;
            let percent: f64 = percent.parse().map_err(|_| expected())?;
            match (0.0..=100.0).contains(&percent) {
                true => Ok(Balance::Bytes {
                    tolerance: percent / 100.0,
                }),
                false => Err(expected()),
            }
        }
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_or_refused_with_what_is_expected() {
        assert_eq!(weight("a=2"), Ok(("a".to_owned(), 2)));
        assert!(weight("a").is_err() && weight("=2").is_err() && weight("a=-1").is_err());
        assert_eq!(memory_max("16GiB"), Ok((None, 16 << 30)));
        assert_eq!(memory_max("a=8GiB"), Ok((Some("a".to_owned()), 8 << 30)));
        assert!(memory_max("a=8GB").is_err() && memory_max("8").is_err());
        assert_eq!(balance("nodes"), Ok(Balance::Nodes));
        assert_eq!(
            balance("bytes=2.5%"),
            Ok(Balance::Bytes { tolerance: 0.025 })
        );
        for wrong in ["bytes=2.5", "bytes=101%", "bytes=NaN%", "keys", "nodes=1%"] {
            assert!(balance(wrong).is_err(), "{wrong}");
        }
        assert!(at_once("0").is_err() && at_once("1001").is_err());
        assert!(server_name("a b").is_err() && server_name("").is_err());
    }
}
