//! rb's worker, in Python, where there is one. Nothing else needs Python.

use crate::coordinator::WorkerProcess;
use crate::peers::{Answer, Failure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const WORKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/rb_worker.py");
/// Made by scripts/setup-rb.sh.
const ENVIRONMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/rb/bin/python3");

pub fn start() -> Answer<WorkerProcess> {
    if versions().is_empty() {
        let why = "rb is not installed: scripts/setup-rb.sh makes an environment for it";
        return Err(Failure::Refused(why.into()));
    }
    WorkerProcess::start(Command::new(interpreter()).arg(WORKER))
}

/// Of Python and of what it imports; empty where something is missing.
pub fn versions() -> BTreeMap<String, String> {
    let output = Command::new(interpreter())
        .args([WORKER, "--versions"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            serde_json::from_slice(&output.stdout).unwrap_or_default()
        }
        _ => BTreeMap::new(),
    }
}

fn interpreter() -> PathBuf {
    let own = Path::new(ENVIRONMENT);
    if own.exists() {
        own.into()
    } else {
        "python3".into()
    }
}
