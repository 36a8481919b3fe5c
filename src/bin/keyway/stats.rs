//! `keyway stats`: prints what [`keyway::inspect`] sees.

use crate::failure::{CliError, UNREACHABLE};
use crate::output;
use comfy_table::Cell;
use keyway::Config;
use keyway::inspect::{self, Answer, Facts, ServerState};
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Exit codes: 0 fine, 1 the result could not be printed, 2 wrong usage or file, 3 a server did not let us in.

Examples:
  keyway stats cluster.toml --watch 2s
  keyway stats cluster.toml --json | jq '.[] | [.name, .memory_bytes]'";

/// Show every server: version, memory, keys, clients, operations, hit rate
///
/// Connects to all servers at once, reads INFO, CONFIG GET save and CLIENT LIST, writes nothing. A server that cannot be reached is a row
/// too.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The cluster file
    file: PathBuf,
    /// One JSON array with one object per server; with --watch one array per line
    #[arg(long)]
    json: bool,
    /// Ask again and again, with this pause: 2s
    #[arg(long, value_name = "TIME", value_parser = crate::arguments::duration)]
    watch: Option<Duration>,
    /// Bound on each dial and each question: 500ms, 2s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = crate::arguments::duration)]
    timeout: Duration,
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode, CliError> {
    let config = Config::from_file(&args.file)?;
    loop {
        let servers = inspect::inspect(&config, args.timeout).await;
        let text = match (args.json, args.watch) {
            (true, None) => output::json_page(&servers)?,
            (true, Some(_)) => output::json_line(&servers)?,
            (false, _) => page(&config, &servers),
        };
        let Some(pause) = args.watch else {
            output::print_verdict(&text)?;
            let all_reached = servers
                .iter()
                .all(|server| matches!(server.answer, Answer::Reached(_)));
            return Ok(match all_reached {
                true => ExitCode::SUCCESS,
                false => UNREACHABLE.into(),
            });
        };
        // Home, text, and the rest of the old screen away: no flicker. Only for eyes.
        match stdout().is_terminal() && !args.json {
            true => output::print(&format!("\x1b[H\x1b[2J{text}"))?,
            false => output::print(&text)?,
        }
        tokio::time::sleep(pause).await;
    }
}

fn page(config: &Config, servers: &[ServerState]) -> String {
    let mut text = format!(
        "{}: {} on {}\n\n",
        config.name(),
        config.placement().describe(),
        output::plural(servers.len(), "server")
    );
    text.push_str(&overview(servers));
    text.push_str(&details(servers));
    text
}

fn overview(servers: &[ServerState]) -> String {
    let mut table = output::table(
        &[
            "SERVER", "ADDRESS", "NODES", "VERSION", "UPTIME", "KEYS", "MEMORY", "CLIENTS",
            "OPS/S", "HITS",
        ],
        &[2, 4, 5, 6, 7, 8, 9],
    );
    for server in servers {
        let mut row = vec![
            Cell::new(&server.name),
            Cell::new(output::place(&server.address, server.database)),
            Cell::new(server.nodes),
        ];
        match &server.answer {
            Answer::Reached(facts) => row.extend(
                [
                    facts.version.clone(),
                    facts.uptime_s.map(output::age),
                    facts.keys.map(output::count),
                    facts.memory_bytes.map(output::bytes),
                    facts.clients.map(output::count),
                    facts.commands_per_s.map(output::count),
                    facts
                        .hit_rate()
                        .map(|rate| format!("{:.1} %", rate * 100.0)),
                ]
                .map(output::or_unknown),
            ),
            other => row.push(output::absence(other)),
        }
        table.add_row(row);
    }
    output::lines(&table)
}

/// Keyspaces and clients; why a server has none.
fn details(servers: &[ServerState]) -> String {
    let mut table = output::table(&["SERVER", "KEYSPACE", "CLIENTS OF KEYWAY"], &[]);
    for server in servers {
        let mut row = vec![server.name.clone()];
        match &server.answer {
            Answer::Reached(facts) => row.extend([databases(facts), clients(facts)]),
            Answer::Refused { cause } | Answer::Unreachable { cause } => row.push(cause.clone()),
            _ => {}
        }
        table.add_row(row);
    }
    format!("\n{}", output::lines(&table))
}

fn databases(facts: &Facts) -> String {
    let lines: Vec<String> = facts
        .databases
        .iter()
        .map(|keys| {
            format!(
                "db{}: {} keys, {} expire",
                keys.database,
                output::count(keys.keys),
                output::count(keys.expiring)
            )
        })
        .collect();
    match lines.is_empty() {
        true => "empty".to_owned(),
        false => lines.join("\n"),
    }
}

fn clients(facts: &Facts) -> String {
    let Some(groups) = &facts.keyway_clients else {
        return "unknown: our user may not CLIENT LIST".to_owned();
    };
    let lines: Vec<String> = groups
        .iter()
        .map(|group| {
            format!(
                "{}, epoch {}: {}, {}",
                group.cluster,
                group.epoch,
                output::plural(group.instances, "instance"),
                output::plural(group.connections, "connection")
            )
        })
        .collect();
    match lines.is_empty() {
        true => "none".to_owned(),
        false => lines.join("\n"),
    }
}
