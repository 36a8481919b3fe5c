//! What was measured, and on what.

use crate::results::Machine;
use std::collections::BTreeMap;
use std::process::Command;

pub fn machine() -> Machine {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim().to_owned())
    };
    let kib = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|value| value.trim_end_matches(" kB").parse::<u64>().ok());
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_gib: kib.unwrap_or_default().div_ceil(1 << 20),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
    }
}

pub fn versions() -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    for package in ["keyway", "redis", "fred", "rustis", "tokio"] {
        let version = locked(package).unwrap_or_else(unknown);
        versions.insert(package.to_owned(), version);
    }
    // "rustc 1.95.0 (...)", "Redis server v=7.0.15 sha=...", "This is nutcracker-0.5.0".
    for (program, argument, before) in [
        ("rustc", "--version", "rustc "),
        ("redis-server", "--version", "v="),
        ("nutcracker", "--version", "nutcracker-"),
    ] {
        let version = printed(program, argument, before).unwrap_or_else(|| "none".into());
        versions.insert(program.to_owned(), version);
    }
    versions
}

/// "0123456", or "0123456 with changes" when files of the work tree differ from it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(["-C", env!("CARGO_MANIFEST_DIR")])
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else {
        return unknown();
    };
    // What a publication itself writes is no change of what was measured.
    let changes = git(&[
        "status",
        "--porcelain",
        "--",
        ":/",
        ":(top,exclude)BENCHMARKS.md",
        ":(top,exclude)benches/graphs",
        ":(top,exclude,glob)benches/peers/*.json",
    ]);
    match changes.as_deref() {
        Some("") => commit,
        _ => format!("{commit} with changes"),
    }
}

pub fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}

/// The version that this program was built with.
fn locked(package: &str) -> Option<String> {
    let lock = include_str!("../Cargo.lock");
    let entry = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(entry.1.split_once('"')?.0.to_owned())
}

fn printed(program: &str, argument: &str, before: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let version = text.split_once(before)?.1;
    Some(version.split_whitespace().next()?.to_owned())
}

fn unknown() -> String {
    "unknown".into()
}
