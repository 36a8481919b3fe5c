//! What was measured, and on what.

use crate::results::Machine;
use std::collections::BTreeMap;
use std::process::Command;

pub fn machine() -> Machine {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim() == "model name")
        .map(|(_, value)| value.trim().to_owned());
    Machine {
        cpu: cpu.unwrap_or_else(unknown),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
    }
}

/// Of these packages, and of rustc.
pub fn versions<const N: usize>(packages: [&str; N]) -> BTreeMap<String, String> {
    let mut versions: BTreeMap<String, String> = packages
        .into_iter()
        .map(|package| (package.to_owned(), locked(package).unwrap_or_else(unknown)))
        .collect();
    versions.insert("rustc".to_owned(), rustc().unwrap_or_else(unknown));
    versions
}

pub fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}

/// The version that this program was built with.
fn locked(package: &str) -> Option<String> {
    let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock"));
    let entry = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(entry.1.split_once('"')?.0.to_owned())
}

/// "rustc 1.95.0 (...)".
fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().nth(1).map(str::to_owned)
}

fn unknown() -> String {
    "unknown".to_owned()
}
