//! `keyway balance`: prints what [`keyway::survey`] sees.

use crate::failure::{CliError, UNREACHABLE};
use crate::output::{self, HEADING, bold, styled};
use comfy_table::{Cell, Color};
use indicatif::{ProgressBar, ProgressStyle};
use keyway::Config;
use keyway::inspect::Answer;
use keyway::survey::{
    self, CalibrateOptions, Estimate, Options, Progress, Requests, SAMPLE_MAX, Spread, Survey,
    SurveyedNode, SurveyedServer,
};
use keyway::topology::Topology;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Nodes and keys that are shown unless all are asked for.
const SHOWN: usize = 5;

const EXAMPLES: &str = "\
What the columns say:
  KEYS, BYTES  what is there; ± says how far an estimate is off, 19 of 20 times
  SHARE        the server's bytes (keys, where bytes are not known) as a multiple of the mean of all
  BY NODES     the same as a multiple of what its nodes should have by their weights
  LOAD         a node's bytes as a multiple of what it should have by its weight

Exit codes: 0 fine, 1 the result could not be printed, 2 wrong usage or file, 3 a server could not be looked at.

Examples:
  keyway balance cluster.toml                    a first look, from 10,000 keys of every server
  keyway balance cluster.toml --sample 100000    a third of the error
  keyway balance cluster.toml --exact --nodes    every key, every node
  keyway balance cluster.toml --json | jq '.nodes | max_by(.bytes.value)'
  keyway balance cluster.toml --calibrate        what a simulation of moves has to know of servers and wire
  keyway plan cluster.toml --even --live         what would even it out";

/// Show how even the live cluster is: keys and bytes of every server and node, hot nodes, the biggest keys
///
/// Connects to every server, writes nothing. Figures come from a sample (SCAN from a random place on, which is fair whatever keys are called,
/// and MEMORY USAGE), so each has an interval; --exact looks at every key. Gentle: one question at a time, and a pause as long as the answer
/// took. What a sample cannot see is a giant key that it did not meet: if a server's own figure for its memory says that there is one, so does
/// the page.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The cluster file
    file: PathBuf,
    /// Keys to look at per server; a server with at most twice as many is looked at whole
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = sample, conflicts_with = "exact")]
    sample: usize,
    /// Look at every key: about 15 s per million keys of the largest server
    #[arg(long)]
    exact: bool,
    /// Show every node, not only those that stand out
    #[arg(long)]
    nodes: bool,
    /// Bound on each dial and each question: 500ms, 2s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = crate::arguments::duration)]
    timeout: Duration,
    /// In place of all that: measure how fast servers and wire are, and print the table [pace] of a scenario. Reads only: PING, SCAN, ECHO of
    /// 1 MiB, DUMP of some small values, CLIENT LIST; some 3 s per server
    #[arg(long, conflicts_with_all = ["sample", "exact", "nodes"])]
    calibrate: bool,
    /// With --calibrate: also measure writing, on this server: at most 2,000 copies of values, 8 MiB, under keyway:calibrate:, removed at once
    #[arg(long, value_name = "SERVER", requires = "calibrate")]
    write_to: Option<String>,
    /// One JSON object with everything that was seen, every node included
    #[arg(long)]
    json: bool,
}

pub(crate) fn sample(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(sample) if (1..=SAMPLE_MAX).contains(&sample) => Ok(sample),
        _ => Err(format!("expected a number from 1 to {SAMPLE_MAX}")),
    }
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode, CliError> {
    let config = Config::from_file(&args.file)?;
    if args.calibrate {
        return calibrated(&config, args).await;
    }
    let mut options = Options::default();
    options.sample = args.sample;
    options.exact = args.exact;
    options.timeout = args.timeout;
    let survey = looked_at(&config, &options).await?;
    let text = match args.json {
        true => output::json_page(&survey)?,
        false => page(&survey, config.topology(), args),
    };
    output::print_verdict(&text)?;
    Ok(match survey.failures().next() {
        None => ExitCode::SUCCESS,
        Some(_) => UNREACHABLE.into(),
    })
}

async fn calibrated(config: &Config, args: &Args) -> Result<ExitCode, CliError> {
    let mut options = CalibrateOptions::default();
    options.timeout = args.timeout;
    options.write_to = args.write_to.clone();
    let spinner = ProgressBar::new_spinner();
    let measured = survey::calibrate(config, &options, |server| {
        spinner.set_message(format!("measuring {server}"));
        spinner.tick();
    })
    .await;
    spinner.finish_and_clear();
    let calibration = measured?;
    let text = match args.json {
        true => output::json_page(&calibration)?,
        false => calibration.to_toml(),
    };
    output::print_verdict(&text)?;
    Ok(match calibration.failures().next() {
        None => ExitCode::SUCCESS,
        Some(_) => UNREACHABLE.into(),
    })
}

/// Surveys, with a progress bar on a terminal.
pub(crate) async fn looked_at(config: &Config, options: &Options) -> Result<Survey, CliError> {
    let progress = bar();
    let survey = survey::survey(config, options, |step| show(&progress, step)).await;
    progress.finish_and_clear();
    Ok(survey?)
}

/// For keys that are looked at.
pub(crate) fn bar() -> ProgressBar {
    let progress = ProgressBar::new(0);
    if let Ok(style) =
        ProgressStyle::with_template("looking at keys {bar:40} {human_pos} of {human_len}, {eta}")
    {
        progress.set_style(style);
    }
    progress
}

pub(crate) fn show(progress: &ProgressBar, step: Progress) {
    match step {
        Progress::Expected(keys) => progress.inc_length(keys),
        Progress::Looked(keys) => progress.inc(keys),
        _ => progress.tick(),
    }
}

fn page(survey: &Survey, topology: &Topology, args: &Args) -> String {
    let mut text = format!(
        "{}: {} on {}\n{}\n\n",
        survey.cluster,
        survey.placement,
        output::plural(survey.servers.len(), "server"),
        how_well(survey),
    );
    text.push_str(&servers(&survey.servers));
    let _ = write!(text, "\n{}", evenness(survey));
    text.push_str(&nodes(survey, args.nodes));
    text.push_str(&keys(survey));
    text.push_str(&remarks(survey, topology, args));
    text
}

fn how_well(survey: &Survey) -> String {
    let all: u64 = survey
        .servers
        .iter()
        .filter_map(|server| server.held.as_ref())
        .map(|held| held.keys)
        .sum();
    match survey.is_complete {
        true => format!("All {} keys were looked at.", output::count(all)),
        false => format!(
            "{} of {} keys were looked at: ± is the 95 % interval.",
            output::count(survey.looked_at),
            output::count(all)
        ),
    }
}

fn servers(servers: &[SurveyedServer]) -> String {
    let mut table = output::table(
        &[
            "SERVER", "NODES", "KEYS", "BYTES", "±", "SHARE", "BY NODES", "MEMORY", "LIMIT",
            "OPS/S",
        ],
        &[1, 2, 3, 4, 5, 6, 7, 8, 9],
    );
    for server in servers {
        let state = &server.state;
        let mut row = vec![Cell::new(&state.name), Cell::new(state.nodes)];
        match (&server.held, &state.answer) {
            (Some(held), Answer::Reached(facts)) => {
                row.push(Cell::new(output::count(held.keys)));
                row.extend(bytes(held.bytes));
                row.push(load(held.load.bytes.unwrap_or(held.load.keys)));
                row.push(load(
                    held.load_by_nodes.bytes.unwrap_or(held.load_by_nodes.keys),
                ));
                row.extend(
                    [
                        facts.memory_bytes.map(output::bytes),
                        facts.memory_bytes_max.map(|bytes| match bytes {
                            0 => "none".to_owned(),
                            _ => output::bytes(bytes),
                        }),
                        facts.commands_per_s.map(output::count),
                    ]
                    .map(output::or_unknown),
                );
            }
            (None, Answer::Reached(_)) => row.push(bold("failed", Color::Red)),
            (_, other) => row.push(output::absence(other)),
        }
        table.add_row(row);
    }
    output::lines(&table)
}

fn evenness(survey: &Survey) -> String {
    let mut table = output::table(
        &["EVENNESS OF", "MAX/MEAN", "MIN/MEAN", "SD", "BY SAMPLING"],
        &[1, 2, 3, 4],
    );
    let evenness = &survey.evenness;
    let rows = [
        ("keys over servers", &evenness.servers_keys),
        ("bytes over servers", &evenness.servers_bytes),
        ("keys over nodes", &evenness.nodes_keys),
        ("bytes over nodes", &evenness.nodes_bytes),
    ];
    for (what, spread) in rows {
        if let Some(spread) = spread {
            table.add_row(spread_row(what, spread));
        }
    }
    match table.is_empty() {
        true => "There are no keys.\n".to_owned(),
        false => output::lines(&table),
    }
}

fn spread_row(what: &str, spread: &Spread) -> Vec<Cell> {
    vec![
        Cell::new(what),
        load(spread.max_over_mean),
        load(spread.min_over_mean),
        Cell::new(percent(spread.relative_sd)),
        Cell::new(match spread.sampling_sd > 0.0 {
            true => percent(spread.sampling_sd),
            false => "-".to_owned(),
        }),
    ]
}

fn nodes(survey: &Survey, all: bool) -> String {
    let by_bytes = survey.nodes_by_bytes();
    let shown: Vec<&SurveyedNode> = match all {
        true => survey.nodes.iter().collect(),
        false => by_bytes.into_iter().take(SHOWN).collect(),
    };
    if shown.is_empty() || survey.looked_at == 0 && !all {
        return String::new();
    }
    let by_counters = survey.requests == Requests::ByCounters;
    let heading = match all {
        true => "NODE",
        false => "BIGGEST NODE",
    };
    let mut headers = vec![heading, "NAME", "SERVER", "KEYS", "±", "BYTES", "±", "LOAD"];
    if by_counters {
        headers.push("REQUESTS");
    }
    let mut table = output::table(&headers, &[0, 3, 4, 5, 6, 7, 8]);
    for node in shown {
        let mut row = vec![
            Cell::new(node.node),
            Cell::new(output::shown(node.name.as_bytes())),
            Cell::new(&node.server),
        ];
        match node.keys {
            None => row.push(Cell::new("?")),
            Some(keys) => {
                row.push(Cell::new(output::count(keys.value)));
                row.push(error(&keys));
                row.extend(bytes(node.bytes));
                let of_node = node.load.unwrap_or_default();
                row.push(load(of_node.bytes.unwrap_or(of_node.keys)));
                row.extend(node.requests.map(|part| Cell::new(percent(part))));
            }
        }
        table.add_row(row);
    }
    format!("\n{}", output::lines(&table))
}

fn keys(survey: &Survey) -> String {
    let mut text = String::new();
    let lists = [
        ("BIGGEST KEY", &survey.biggest_keys),
        ("MOST ACCESSED KEY", &survey.hottest_keys),
    ];
    for (heading, keys) in lists {
        if keys.is_empty() {
            continue;
        }
        let mut headers = vec![heading, "NODE", "SERVER", "BYTES"];
        let has_accesses = keys.iter().any(|key| key.accesses.is_some());
        if has_accesses {
            headers.push("ACCESSES");
        }
        let mut table = output::table(&headers, &[1, 3, 4]);
        for key in keys.iter().take(SHOWN) {
            let mut row = vec![
                Cell::new(output::shown(key.key.as_bytes())),
                Cell::new(key.node.map_or("-".to_owned(), |node| node.to_string())),
                Cell::new(&key.server),
                Cell::new(output::bytes(key.bytes)),
            ];
            if has_accesses {
                row.push(output::or_unknown(
                    key.accesses
                        .map(|accesses| format!("~{}", output::count(accesses))),
                ));
            }
            table.add_row(row);
        }
        let _ = write!(text, "\n{}", output::lines(&table));
    }
    text
}

fn remarks(survey: &Survey, topology: &Topology, args: &Args) -> String {
    let mut text = String::from("\n");
    for advice in survey.advice() {
        let _ = writeln!(text, "{advice}");
    }
    if survey.is_uneven() {
        let _ = writeln!(text, "{}", way_out(survey, topology, args));
    }
    let mut rows = Vec::new();
    for (server, why) in survey.failures() {
        let why = output::shown(why.as_bytes()).into_owned();
        rows.push(vec![bold(server, Color::Red), Cell::new(why)]);
    }
    let unknown = match &survey.requests {
        Requests::No { why } => Some(why),
        _ => None,
    };
    for note in survey.notes.iter().chain(unknown) {
        let note = output::shown(note.as_bytes()).into_owned();
        rows.push(vec![bold("note", Color::Cyan), Cell::new(note)]);
    }
    if !rows.is_empty() {
        let _ = write!(text, "\n{}", output::lines(&output::list(rows)));
    }
    text
}

/// What would even servers out.
fn way_out(survey: &Survey, topology: &Topology, args: &Args) -> String {
    let command = format!("keyway plan {} --even --live", args.file.display());
    match survey.even_out(topology) {
        Ok(plan) if plan.is_empty() => "No move of whole nodes makes them more even.".to_owned(),
        Ok(plan) => {
            let (moved, total) = (plan.size_moved().bytes, plan.sizes().total.bytes);
            let fullest = plan.servers().iter().map(|server| server.after.bytes).max();
            let mean = total as f64 / plan.servers().len().max(1) as f64;
            format!(
                "{} would move {} ({}, {} of all) and leave the fullest server {:.2} of the mean.",
                styled(HEADING, &command),
                output::plural(plan.nodes_moved(), "node"),
                output::bytes(moved),
                percent(moved as f64 / total.max(1) as f64),
                fullest.unwrap_or(0) as f64 / mean.max(1.0),
            )
        }
        Err(why) => format!("There is no plan to even them out: {why}"),
    }
}

/// The value, and how far it may be off.
fn bytes(estimate: Option<Estimate>) -> [Cell; 2] {
    match estimate {
        Some(estimate) => [Cell::new(output::bytes(estimate.value)), error(&estimate)],
        None => [Cell::new("?"), Cell::new("")],
    }
}

fn error(estimate: &Estimate) -> Cell {
    let error = estimate.relative_error();
    Cell::new(match error {
        0.0 => "exact".to_owned(),
        _ if error.is_infinite() => format!("<{}", output::count(estimate.high)),
        _ => percent(error),
    })
}

fn load(load: f64) -> Cell {
    let text = format!("{load:.2}");
    match load {
        1.5.. => bold(&text, Color::Red),
        1.2.. => bold(&text, Color::Yellow),
        _ => Cell::new(text),
    }
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstream::adapter::strip_str;
    use clap::Parser;
    use serde_json::{Value, json};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(rest: &[&str]) -> Args {
        let line = ["balance", "cluster.toml"].iter().chain(rest);
        Line::try_parse_from(line).unwrap().args
    }

    fn estimate(value: u64, off: u64) -> Value {
        json!({"value": value, "low": value - off, "high": value + off})
    }

    fn server(name: &str, nodes: usize, keys: u64, load: f64) -> Value {
        let load = json!({"keys": load, "bytes": load});
        json!({
            "name": name, "address": "10.0.0.1:6379", "database": 0, "nodes": nodes, "state": "reached",
            "memory_bytes": 1_572_864, "memory_bytes_max": 0, "commands_per_s": 48_211, "target": 0.5,
            "held": {
                "keys": keys, "looked_at": 1000, "is_complete": false, "bytes": estimate(keys * 100, keys),
                "misplaced_keys": estimate(0, 0), "misplaced_bytes": null, "load": load, "load_by_nodes": load,
            },
            "failure": null,
        })
    }

    fn survey(servers: Vec<Value>, nodes: Vec<Value>, requests: Value) -> Survey {
        let spread = json!({"max_over_mean": 1.31, "min_over_mean": 0.69, "relative_sd": 0.31, "sampling_sd": 0.0});
        let sampled = json!({"max_over_mean": 1.1, "min_over_mean": 0.9, "relative_sd": 0.08, "sampling_sd": 0.05});
        serde_json::from_value(json!({
            "cluster": "feeds", "placement": "ketama over 2 nodes", "is_complete": false, "looked_at": 2_000,
            "servers": servers, "nodes": nodes, "requests": requests,
            "evenness": {"servers_keys": spread, "servers_bytes": null, "nodes_keys": sampled, "nodes_bytes": sampled},
            "biggest_keys": [{"key": "\u{1b}[2J", "node": 1, "server": "a", "bytes": 2_048, "accesses": null}],
            "hottest_keys": [], "notes": ["a: something to know"],
        }))
        .unwrap()
    }

    fn topology() -> std::sync::Arc<Topology> {
        let toml = "name = \"feeds\"\n[placement]\nalgorithm = \"ketama\"\nnodes = 3\n\
            [servers.a]\nurl = \"redis://h:1\"\nnodes = \"0-1\"\n[servers.b]\nurl = \"redis://h:2\"\nnodes = []\n\
            [servers.c]\nurl = \"redis://h:3\"\nnodes = \"2\"\n";
        let config = Config::parse(toml, "cluster.toml".as_ref(), &|_| None).unwrap();
        config.topology().clone()
    }

    fn node(node: u16, keys: Value, bytes: Value, requests: Value) -> Value {
        let load = json!({"keys": 1.5, "bytes": 1.4});
        json!({
            "node": node, "name": format!("n{node}"), "server": if node < 2 { "a" } else { "c" }, "keys": keys, "bytes": bytes, "load": load,
            "requests": requests,
        })
    }

    #[test]
    fn a_page_of_a_sample_with_a_server_that_is_down() {
        let down = json!({
            "name": "c", "address": "10.0.0.3:6379", "database": 0, "nodes": 1, "state": "unreachable",
            "cause": "Connection refused", "target": 0.5, "held": null, "failure": "Connection refused",
        });
        let nodes = vec![
            node(
                0,
                estimate(4_000, 400),
                estimate(400_000, 50_000),
                json!(null),
            ),
            node(
                1,
                json!({"value": 0, "low": 0, "high": 12}),
                json!({"value": 0, "low": 0, "high": 1_300}),
                json!(null),
            ),
            node(2, json!(null), json!(null), json!(null)),
        ];
        let requests = json!({"known": "no", "why": "servers do not count"});
        let survey = survey(
            vec![
                server("a", 40, 13_100, 1.31),
                server("b", 24, 6_900, 0.69),
                down,
            ],
            nodes,
            requests,
        );
        insta::assert_snapshot!(strip_str(&page(&survey, &topology(), &args(&[]))), @r"
        feeds: ketama over 2 nodes on 3 servers
        2,000 of 20,000 keys were looked at: ± is the 95 % interval.

        SERVER  NODES    KEYS      BYTES      ±  SHARE  BY NODES   MEMORY  LIMIT   OPS/S
        ──────────────────────────────────────────────────────────────────────────────────
        a          40  13,100    1.2 MiB  1.0 %   1.31      1.31  1.5 MiB   none  48,211
        b          24   6,900  673.8 KiB  1.0 %   0.69      0.69  1.5 MiB   none  48,211
        c           1    down

        EVENNESS OF        MAX/MEAN  MIN/MEAN      SD  BY SAMPLING
        ────────────────────────────────────────────────────────────
        keys over servers      1.31      0.69  31.0 %            -
        keys over nodes        1.10      0.90   8.0 %        5.0 %
        bytes over nodes       1.10      0.90   8.0 %        5.0 %

        BIGGEST NODE  NAME  SERVER   KEYS       ±      BYTES       ±  LOAD
        ────────────────────────────────────────────────────────────────────
                   0  n0    a       4,000  10.0 %  390.6 KiB  12.5 %  1.40
                   1  n1    a           0     <12        0 B  <1,300  1.40

        BIGGEST KEY  NODE  SERVER    BYTES
        ────────────────────────────────────
        \u{1b}[2J       1  a       2.0 KiB

        a has 1.31 of the mean of all servers: its 40 nodes hold 1.31 of what they should.
        There is no plan to even them out: how big the nodes on server c are is not known: Connection refused. Survey again when it can be reached

        c     Connection refused
        note  a: something to know
        note  servers do not count
        ");
    }

    #[test]
    fn a_page_with_every_node_and_its_requests() {
        let nodes = vec![
            node(0, estimate(4_000, 0), estimate(400_000, 0), json!(0.75)),
            node(1, estimate(2_000, 0), estimate(200_000, 0), json!(0.25)),
        ];
        let mut survey = survey(
            vec![server("a", 1, 4_000, 1.0)],
            nodes,
            json!({"known": "by_counters"}),
        );
        survey.is_complete = true;
        survey.notes.clear();
        insta::assert_snapshot!(strip_str(&page(&survey, &topology(), &args(&["--nodes"]))), @r"
        feeds: ketama over 2 nodes on 1 server
        All 4,000 keys were looked at.

        SERVER  NODES   KEYS      BYTES      ±  SHARE  BY NODES   MEMORY  LIMIT   OPS/S
        ─────────────────────────────────────────────────────────────────────────────────
        a           1  4,000  390.6 KiB  1.0 %   1.00      1.00  1.5 MiB   none  48,211

        EVENNESS OF        MAX/MEAN  MIN/MEAN      SD  BY SAMPLING
        ────────────────────────────────────────────────────────────
        keys over servers      1.31      0.69  31.0 %            -
        keys over nodes        1.10      0.90   8.0 %        5.0 %
        bytes over nodes       1.10      0.90   8.0 %        5.0 %

        NODE  NAME  SERVER   KEYS      ±      BYTES      ±  LOAD  REQUESTS
        ────────────────────────────────────────────────────────────────────
           0  n0    a       4,000  exact  390.6 KiB  exact  1.40    75.0 %
           1  n1    a       2,000  exact  195.3 KiB  exact  1.40    25.0 %

        BIGGEST KEY  NODE  SERVER    BYTES
        ────────────────────────────────────
        \u{1b}[2J       1  a       2.0 KiB

        a has all there is.
        ");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for wrong in [
            &["--sample", "0"][..],
            &["--sample", "1000001"],
            &["--sample", "5", "--exact"],
            &["--write-to", "a"],
            &["--calibrate", "--nodes"],
        ] {
            let line = ["balance", "cluster.toml"].iter().chain(wrong);
            assert!(Line::try_parse_from(line).is_err(), "{wrong:?}");
        }
    }
}
