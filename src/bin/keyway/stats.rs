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
            Answer::Refused { cause } | Answer::Unreachable { cause } => {
                row.push(output::shown(cause.as_bytes()).into_owned())
            }
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
    match (facts.keys, lines.is_empty()) {
        (None, _) => "?".to_owned(),
        (_, true) => "empty".to_owned(),
        _ => lines.join("\n"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_known_is_a_question_mark() {
        let servers: Vec<ServerState> = serde_json::from_value(json!([
            {
                "name": "a", "address": "10.0.0.1:6379", "database": 0, "nodes": 32,
                "state": "reached", "version": "7.0.15", "uptime_s": 273_600, "keys": 5, "memory_bytes": 1_572_864,
                "clients": 12, "commands_per_s": 48_211, "hits": 3, "misses": 1,
                "databases": [{"database": 0, "keys": 5, "expiring": 1}, {"database": 2, "keys": 7, "expiring": 0}],
                "keyway_clients": [
                    {"cluster": "feeds", "epoch": 0, "instances": 4, "connections": 8},
                    {"cluster": "other", "epoch": 2, "instances": 1, "connections": 1},
                ],
            },
            {"name": "b", "address": "10.0.0.2:6379", "database": 3, "nodes": 32, "state": "reached"},
            {
                "name": "c", "address": "/run/redis.sock", "database": 0, "nodes": 0,
                "state": "refused", "cause": "WRONGPASS (check username and password of this server)",
            },
        ]))
        .unwrap();
        let text = format!("{}{}", overview(&servers), details(&servers));
        insta::assert_snapshot!(text, @r"
        SERVER  ADDRESS          NODES  VERSION  UPTIME  KEYS   MEMORY  CLIENTS   OPS/S    HITS
        ─────────────────────────────────────────────────────────────────────────────────────────
        a       10.0.0.1:6379       32  7.0.15    3d 4h     5  1.5 MiB       12  48,211  75.0 %
        b       10.0.0.2:6379/3     32  ?             ?     ?        ?        ?       ?       ?
        c       /run/redis.sock      0  refused

        SERVER  KEYSPACE                                                CLIENTS OF KEYWAY
        ────────────────────────────────────────────────────────────────────────────────────────────────────────────
        a       db0: 5 keys, 1 expire                                   feeds, epoch 0: 4 instances, 8 connections
                db2: 7 keys, 0 expire                                   other, epoch 2: 1 instance, 1 connection
        b       ?                                                       unknown: our user may not CLIENT LIST
        c       WRONGPASS (check username and password of this server)
        ");
    }
}
