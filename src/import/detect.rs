//! What a text is, by its content.

use super::error::Problem;
use super::literal::{self, Dialect};
use super::{Format, python, ring};

pub(super) fn format(text: &str) -> Result<Format, Problem> {
    let lines = || {
        text.lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty() && !line.trim_start().starts_with('#'))
    };
    let Some(first) = lines().next() else {
        return Err(Problem::new("the text is empty")
            .expected("nutcracker.yml, settings of nydus or rb, a Ring's addresses in JSON, or addresses one a line")
            .help("give the configuration that is in use"));
    };
    if first.trim_start().starts_with('{') {
        return braces(text);
    }
    // Python first, where it has clusters: its texts may look like anything.
    let python = python::program(text);
    match python {
        Ok(Some(python::Program::Nydus)) => return Ok(Format::Nydus),
        Ok(Some(python::Program::Rb)) => return Ok(Format::Rb),
        _ => {}
    }
    let is_pool = |line: &str| {
        !line.starts_with([' ', '\t', '-']) && line.ends_with(':') && !line.contains(' ')
    };
    let is_directive = |line: &str| {
        let indented = line.trim_start();
        indented.len() < line.len()
            && ["listen:", "servers:", "hash:", "distribution:", "redis:"]
                .iter()
                .any(|key| indented.starts_with(key))
    };
    if lines().any(is_directive) || lines().all(|line| is_pool(line) || line.starts_with(' ')) {
        return Ok(Format::Nutcracker);
    }
    let is_python = lines().any(|line| {
        line.contains("Cluster(")
            || line.contains("create_cluster(")
            || line.split_once('=').is_some_and(|(_, value)| {
                value.trim_start().starts_with(['{', '[', '(']) || value.trim().starts_with("dict(")
            })
    });
    match python {
        Err(problem) if is_python => return Err(problem),
        _ if is_python => {
            return Err(
                Problem::new("no cluster in the text, which looks like Python")
                    .expected("a dict with hosts, create_cluster({..}) or Cluster(hosts=..)")
                    .help("say its format if it is something else"),
            );
        }
        _ => {}
    }
    let is_address = |line: &str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        first.contains(':') || first.contains('.') || first.starts_with('/') || first == "localhost"
    };
    match is_address(first) {
        true => Ok(Format::Addresses),
        false => Err(Problem::new("this is none of the formats that are known")
            .expected("nutcracker.yml, settings of nydus or rb, a Ring's addresses in JSON, or addresses one a line")
            .help("say its format, and what is wrong with it is said")),
    }
}

/// JSON or Python, which look alike.
fn braces(text: &str) -> Result<Format, Problem> {
    let json = literal::value(text, Dialect::Json);
    if json.as_ref().is_ok_and(ring::is_ring) {
        return Ok(Format::GoRedis);
    }
    match (python::program(text), json) {
        (Ok(Some(python::Program::Nydus)), _) => Ok(Format::Nydus),
        (Ok(Some(python::Program::Rb)), _) => Ok(Format::Rb),
        (_, Ok(_)) => Ok(Format::GoRedis),
        // Texts in single quotes, numbers as keys: Python's, with a mistake in it.
        (Err(problem), Err(_)) if text.contains('\'') || text.contains("hosts") => Err(problem),
        (Ok(None), Err(_)) if text.contains('\'') => Err(Problem::new(
            "no cluster in the text, which looks like Python",
        )
        .expected("a dict with hosts")
        .help("say its format if it is something else")),
        (_, Err(problem)) => Err(problem),
    }
}
