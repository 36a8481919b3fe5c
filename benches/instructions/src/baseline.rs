//! The counts that are committed, and what they were taken with.

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::process::Command;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json");
const LOCK_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");

pub struct Baseline {
    made_with: Tools,
    /// Instructions for each time that a case does its work.
    counts: Map<String, Value>,
}

/// All that changes the counts besides keyway.
struct Tools {
    rustc: String,
    target: String,
    /// Its `malloc` and `memcpy` are counted, too.
    libc: String,
    /// `NAME VERSION` of the lock file, without our own.
    packages: BTreeSet<String>,
}

impl Baseline {
    /// `None` when there is none yet.
    pub fn read() -> Result<Option<Baseline>, String> {
        let text = match std::fs::read_to_string(FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {FILE}: {error}")),
        };
        let odd = |why: &str| format!("{FILE}: {why}; write it anew with ARGS=--save");
        let file: Value = serde_json::from_str(&text).map_err(|error| odd(&error.to_string()))?;
        let word = |name: &str| file[name].as_str().unwrap_or("unknown").to_owned();
        let packages = file["packages"].as_array().into_iter().flatten();
        Ok(Some(Baseline {
            made_with: Tools {
                rustc: word("rustc"),
                target: word("target"),
                libc: word("libc"),
                packages: packages
                    .filter_map(|package| package.as_str().map(str::to_owned))
                    .collect(),
            },
            counts: file["instructions"]
                .as_object()
                .cloned()
                .ok_or_else(|| odd("it has no object `instructions`"))?,
        }))
    }

    pub fn count(&self, case: &str) -> Option<f64> {
        self.counts.get(case)?.as_f64()
    }

    pub fn cases(&self) -> impl Iterator<Item = &str> {
        self.counts.keys().map(String::as_str)
    }

    /// What is not as it was when the baseline was taken, a line each.
    pub fn differences(&self) -> Result<Vec<String>, String> {
        let (then, now) = (&self.made_with, Tools::here()?);
        let mut lines = Vec::new();
        for (then, now) in [
            (&then.rustc, &now.rustc),
            (&then.target, &now.target),
            (&then.libc, &now.libc),
        ] {
            if then != now {
                lines.push(format!("{now} in place of {then}"));
            }
        }
        let names = |packages: Vec<&String>| match &packages[..] {
            [] => "nothing".to_owned(),
            _ => packages.into_iter().cloned().collect::<Vec<_>>().join(", "),
        };
        if then.packages != now.packages {
            lines.push(format!(
                "{} in place of {}",
                names(now.packages.difference(&then.packages).collect()),
                names(then.packages.difference(&now.packages).collect()),
            ));
        }
        Ok(lines)
    }
}

/// Replaces the baseline by these counts.
pub fn save(counts: &[(&str, f64)]) -> Result<(), String> {
    let tools = Tools::here()?;
    let rounded = |count: f64| (count * 10.0).round() / 10.0;
    let counts: Map<String, Value> = counts
        .iter()
        .map(|(case, count)| ((*case).to_owned(), json!(rounded(*count))))
        .collect();
    let file = json!({
        "rustc": tools.rustc,
        "target": tools.target,
        "libc": tools.libc,
        "packages": tools.packages,
        "instructions": counts,
    });
    std::fs::write(FILE, format!("{file:#}\n"))
        .map_err(|error| format!("cannot write {FILE}: {error}"))
}

impl Tools {
    fn here() -> Result<Tools, String> {
        let rustc = output_of("rustc", &["-vV"])?;
        let target = rustc.lines().find_map(|line| line.strip_prefix("host: "));
        let lock = std::fs::read_to_string(LOCK_FILE)
            .map_err(|error| format!("cannot read {LOCK_FILE}: {error}"))?;
        Ok(Tools {
            rustc: rustc.lines().next().unwrap_or("unknown").to_owned(),
            target: target.unwrap_or("unknown").to_owned(),
            libc: output_of("getconf", &["GNU_LIBC_VERSION"])?
                .trim()
                .to_owned(),
            packages: packages(&lock),
        })
    }
}

fn packages(lock: &str) -> BTreeSet<String> {
    let quoted = |line: &str| line.split('"').nth(1).map(str::to_owned);
    let mut lines = lock.lines();
    let mut packages = BTreeSet::new();
    while let Some(line) = lines.next() {
        if line.starts_with("name = ")
            && let (Some(name), Some(version)) = (quoted(line), lines.next().and_then(quoted))
            && !name.starts_with("keyway")
        {
            packages.insert(format!("{name} {version}"));
        }
    }
    packages
}

fn output_of(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
