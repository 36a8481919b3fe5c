//! `keyway check`: prints what [`keyway::check`] finds.

use crate::failure::{CliError, PROBLEMS, UNREACHABLE};
use crate::output::{self, ERROR, GOOD, bold, styled};
use comfy_table::{Cell, Color};
use indicatif::{ProgressBar, ProgressStyle};
use keyway::Config;
use keyway::check::{
    self, CheckedServer, Finding, Level, Options, Progress, Report, SAMPLE_MAX, Verdict,
};
use keyway::inspect::Answer;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit codes:
  0  everything is in order, warnings aside
  1  problems were found
  2  wrong usage, or the file says something wrong
  3  a server could not be reached, and nothing worse was found

Examples:
  keyway check cluster.toml                    before a client gets a new file
  keyway check cluster.toml --sample 100000    take a closer look at where the keys are
  keyway check cluster.toml --json | jq '.findings[] | select(.level == \"error\")'";

/// Check a cluster file against the servers it names: is it right for the data that is there?
///
/// Connects to every server, writes nothing. A wrong file is the likeliest disaster: so keys are sampled from every server (with SCAN, from
/// a random place on, which is a fair sample as Redis scans in the order of a seeded hash), and none may be on a server where this file
/// does not put it. Also looked at: versions, replicas and cluster mode, two names for one server, data that is being moved, the ACL rights
/// that a client needs (tried inside MULTI and discarded), eviction, persistence, clocks, bounds.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// The cluster file
    file: PathBuf,
    /// Keys to look at per server; 0 looks at none
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = sample)]
    sample: usize,
    /// Bound on each dial and each question: 500ms, 2s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = crate::arguments::duration)]
    timeout: Duration,
    /// One JSON object with everything that was seen
    #[arg(long)]
    json: bool,
}

fn sample(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(sample) if sample <= SAMPLE_MAX => Ok(sample),
        _ => Err(format!("expected a number from 0 to {SAMPLE_MAX}")),
    }
}

pub(crate) async fn run(args: &Args) -> Result<ExitCode, CliError> {
    let config = Config::from_file(&args.file)?;
    let mut options = Options::default();
    options.sample = args.sample;
    options.timeout = args.timeout;
    let report = {
        let progress = progress(&config, args.sample);
        check::check(&config, &options, |step| match step {
            Progress::Sampled(keys) => progress.inc(keys as u64),
            _ => progress.tick(),
        })
        .await
    };
    let text = match args.json {
        true => output::json_page(&report)?,
        false => page(&report),
    };
    output::print_verdict(&text)?;
    Ok(match report.verdict {
        Verdict::Fine => ExitCode::SUCCESS,
        Verdict::Unreachable => UNREACHABLE.into(),
        _ => PROBLEMS.into(),
    })
}

/// Drawn on standard error, and only if that is a terminal; gone when dropped.
fn progress(config: &Config, sample: usize) -> Clears {
    let bar = ProgressBar::new((sample * config.servers().len()) as u64);
    if let Ok(style) = ProgressStyle::with_template("looking at keys {bar:40} {human_pos}") {
        bar.set_style(style);
    }
    Clears(bar)
}

struct Clears(ProgressBar);

impl std::ops::Deref for Clears {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.0
    }
}

impl Drop for Clears {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn page(report: &Report) -> String {
    let mut text = format!(
        "{}: {} on {}, mode {}\n\n",
        report.cluster,
        report.placement,
        output::plural(report.servers.len(), "server"),
        report.mode
    );
    text.push_str(&servers(&report.servers));
    text.push_str(&examples(&report.servers));
    text.push_str(&findings(report));
    text
}

fn servers(servers: &[CheckedServer]) -> String {
    let mut table = output::table(
        &[
            "SERVER",
            "ADDRESS",
            "NODES",
            "VERSION",
            "PING",
            "MEMORY",
            "KEYS",
            "SAMPLE",
            "MISPLACED",
        ],
        &[2, 4, 5, 6, 7, 8],
    );
    for server in servers {
        let state = &server.state;
        let mut row = vec![
            Cell::new(&state.name),
            Cell::new(output::place(&state.address, state.database)),
            Cell::new(state.nodes),
        ];
        match &state.answer {
            Answer::Reached(facts) => row.extend(
                [
                    facts.version.clone(),
                    facts.ping_us.map(output::microseconds),
                    facts.memory_bytes.map(output::bytes),
                    facts.keys.map(output::count),
                ]
                .map(output::or_unknown),
            ),
            other => row.push(output::absence(other)),
        }
        if let Some(sample) = &server.sample {
            let misplaced = output::count(sample.misplaced as u64);
            row.push(match sample.is_complete {
                true => Cell::new("all"),
                false => Cell::new(output::count(sample.keys as u64)),
            });
            row.push(match sample.misplaced {
                0 => Cell::new(misplaced),
                _ => bold(&misplaced, Color::Red),
            });
        }
        table.add_row(row);
    }
    output::lines(&table)
}

fn examples(servers: &[CheckedServer]) -> String {
    let samples: Vec<_> = servers
        .iter()
        .filter_map(|server| server.sample.as_ref())
        .filter(|sample| sample.misplaced > 0)
        .collect();
    if samples.is_empty() {
        return String::new();
    }
    let mut table = output::table(
        &["MISPLACED KEY", "NODE", "NAME", "BELONGS ON", "FOUND ON"],
        &[1],
    );
    // Some of each server, so that the last one is not hidden by the first.
    let per_server = (12 / samples.len()).clamp(2, 5);
    for sample in samples {
        for example in sample.examples.iter().take(per_server) {
            table.add_row([
                output::shown(example.key.as_bytes()).into_owned(),
                example.node.to_string(),
                example.node_name.clone(),
                example.belongs_on.clone(),
                example.found_on.clone(),
            ]);
        }
    }
    format!("\n{}", output::lines(&table))
}

fn findings(report: &Report) -> String {
    let mut text = String::new();
    let mut rows = Vec::new();
    let mut advised = "";
    for (finding, servers) in grouped(&report.findings) {
        let level = match finding.level {
            Level::Error => bold("error", Color::Red),
            Level::Warning => bold("warning", Color::Yellow),
            _ => bold("note", Color::Cyan),
        };
        rows.push(vec![
            level,
            Cell::new(abbreviated(&servers)),
            Cell::new(output::shown(finding.message.as_bytes())),
        ]);
        // One cause, many servers: its remedy is said once, under the first.
        if !finding.advice.is_empty() && finding.advice != advised {
            let advice = format!("-> {}", finding.advice);
            rows.push(vec![Cell::new(""), Cell::new(""), Cell::new(advice)]);
            advised = &finding.advice;
        }
    }
    if !rows.is_empty() {
        let _ = write!(text, "\n{}", output::lines(&output::list(rows)));
    }
    let count = |level| {
        report
            .findings
            .iter()
            .filter(|finding| finding.level == level)
            .count()
    };
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let looked_at: usize = report
        .servers
        .iter()
        .filter_map(|server| server.sample.as_ref())
        .map(|sample| sample.keys)
        .sum();
    let line = match (errors, warnings) {
        (0, 0) => styled(GOOD, "All is in order."),
        (0, _) => styled(
            GOOD,
            &format!("In order, with {}.", output::plural(warnings, "warning")),
        ),
        (_, 0) => styled(ERROR, &format!("{}.", output::plural(errors, "error"))),
        _ => styled(
            ERROR,
            &format!(
                "{}, {}.",
                output::plural(errors, "error"),
                output::plural(warnings, "warning")
            ),
        ),
    };
    let _ = writeln!(
        text,
        "\n{line} {} looked at.",
        match looked_at {
            0 => "No key was".to_owned(),
            1 => "1 key was".to_owned(),
            _ => format!("{} keys were", output::count(looked_at as u64)),
        }
    );
    text
}

/// Findings that differ in the server only, as one, with the servers.
fn grouped(findings: &[Finding]) -> Vec<(&Finding, Vec<&str>)> {
    let mut groups: Vec<(&Finding, Vec<&str>)> = Vec::new();
    for finding in findings {
        let same = groups.iter_mut().find(|(first, _)| {
            first.level == finding.level
                && first.message == finding.message
                && first.advice == finding.advice
        });
        match same {
            Some((_, servers)) => servers.extend(finding.server.as_deref()),
            None => groups.push((finding, finding.server.as_deref().into_iter().collect())),
        }
    }
    groups
}

/// `a, b, c` or `a, b and 62 more`.
fn abbreviated(servers: &[&str]) -> String {
    match servers {
        [a, b, rest @ ..] if rest.len() > 1 => format!("{a}, {b} and {} more", rest.len()),
        _ => servers.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstream::adapter::strip_str;
    use serde_json::json;

    fn server(name: &str, misplaced: &[(&str, u16)]) -> serde_json::Value {
        let examples: Vec<_> = misplaced
            .iter()
            .map(|(key, node)| {
                json!({"key": key, "node": node, "node_name": node.to_string(), "belongs_on": "b", "found_on": name})
            })
            .collect();
        json!({
            "name": name, "address": "10.0.0.1:6379", "database": 0, "nodes": 32,
            "state": "reached", "version": "7.0.15", "ping_us": 112, "memory_bytes": 1_572_864, "keys": 10_077,
            "sample": {
                "keys": 1000, "is_complete": false, "misplaced": misplaced.len(), "belong_on": {"b": misplaced.len()},
                "examples": examples,
            },
            "missing_rights": [],
        })
    }

    fn report(servers: Vec<serde_json::Value>, findings: serde_json::Value) -> Report {
        let report = json!({
            "verdict": "problems", "cluster": "feeds", "mode": "store", "placement": "ketama over 64 nodes",
            "servers": servers, "findings": findings,
        });
        serde_json::from_value(report).unwrap()
    }

    fn finding(level: &str, server: &str, message: &str, advice: &str) -> serde_json::Value {
        json!({"level": level, "subject": "memory", "server": server, "message": message, "advice": advice})
    }

    #[test]
    fn a_page_with_nothing_wrong() {
        let page = page(&report(vec![server("a", &[])], json!([])));
        insta::assert_snapshot!(strip_str(&page), @r"
        feeds: ketama over 64 nodes on 1 server, mode store

        SERVER  ADDRESS        NODES  VERSION    PING   MEMORY    KEYS  SAMPLE  MISPLACED
        ───────────────────────────────────────────────────────────────────────────────────
        a       10.0.0.1:6379     32  7.0.15   112 us  1.5 MiB  10,077   1,000          0

        All is in order. 1,000 keys were looked at.
        ");
    }

    #[test]
    fn a_page_with_everything_wrong() {
        let dead = json!({
            "name": "b", "address": "10.0.0.2:6379", "database": 3, "nodes": 32,
            "state": "unreachable", "cause": "Connection refused", "sample": null, "missing_rights": [],
        });
        let findings = json!([
            finding(
                "error",
                "a",
                "2 of 1000 keys looked at belong elsewhere",
                "look again"
            ),
            finding("error", "b", "Connection refused", "look again"),
            finding("warning", "a", "the same of each", "do this"),
            finding("warning", "b", "the same of each", "do this"),
            finding("warning", "c", "the same of each", "do this"),
            finding("warning", "d", "the same of each", "do this"),
            finding("note", "a", "no advice", ""),
        ]);
        let servers = vec![server("a", &[("user:1", 40), ("\u{1b}[2J", 63)]), dead];
        let page = page(&report(servers, findings));
        insta::assert_snapshot!(strip_str(&page), @r"
        feeds: ketama over 64 nodes on 2 servers, mode store

        SERVER  ADDRESS          NODES  VERSION    PING   MEMORY    KEYS  SAMPLE  MISPLACED
        ─────────────────────────────────────────────────────────────────────────────────────
        a       10.0.0.1:6379       32  7.0.15   112 us  1.5 MiB  10,077   1,000          2
        b       10.0.0.2:6379/3     32  down

        MISPLACED KEY  NODE  NAME  BELONGS ON  FOUND ON
        ─────────────────────────────────────────────────
        user:1           40  40    b           a
        \u{1b}[2J        63  63    b           a

        error    a                2 of 1000 keys looked at belong elsewhere
                                  -> look again
        error    b                Connection refused
        warning  a, b and 2 more  the same of each
                                  -> do this
        note     a                no advice

        2 errors, 4 warnings. 1,000 keys were looked at.
        ");
    }
}
