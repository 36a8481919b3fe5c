//! What a run of the bench found, as plain data: the JSON file is exactly this.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One run of the whole bench, or of the sections that were asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The day, as 2026-01-31.
    pub date: String,
    /// What was built: the commit, and whether files differed from it. Empty in results that are older than this field.
    #[serde(default)]
    pub commit: String,
    pub machine: Machine,
    /// Name to version: rustc, keyway, redis, fred, rustis, redis-server, nutcracker.
    pub versions: BTreeMap<String, String>,
    pub settings: Settings,
    pub cells: Vec<Cell>,
    pub idle: Vec<Idle>,
}

impl Results {
    /// Without spaces: there are thousands of rounds.
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub kernel: String,
}

/// How each figure was taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Every peer is measured once a round, one after the other; the order turns from round to round.
    pub rounds: usize,
    pub warm_up_ms: u64,
    pub window_ms: u64,
    pub keys: u32,
}

/// One workload on one layout: a column for each peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    pub section: Section,
    /// "GET 64 B", "100-key MGET" ...
    pub work: String,
    pub runtime: Runtime,
    pub tasks: u32,
    pub servers: u32,
    pub nodes: u32,
    pub tls: bool,
    /// Redis commands that a caller would have written by hand in one call: 1, 100 (keys of an MGET), 1,000 (of a pipeline).
    pub commands_per_call: u32,
    pub columns: Vec<Column>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    Points,
    Mget,
    Pipeline,
    Mixed,
    Servers,
    Nodes,
    Tls,
    // What applications do; measured by a run of their own.
    Deliver,
    Memory,
    Probe,
    Equal,
    Algebra,
    Merged,
    Fanout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runtime {
    CurrentThread,
    TwoWorkers,
}

/// What one peer did in a cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Column {
    /// The peer's id: "keyway", "redis-rs", "redis-rs-tuned", "redis-rs-per-node" ...
    pub peer: String,
    /// One per round, in order: round i of two peers is a pair. Empty when `refused` says why.
    pub rounds: Vec<Round>,
    /// Open sockets of the client process while it worked.
    pub sockets: u32,
    /// Why there is no figure: the peer cannot do this.
    pub refused: Option<String>,
}

/// One window of one peer. A call is one await of the caller: one GET, one MGET of 100 keys, one pipeline. What was not looked at is 0.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    pub calls_per_second: f64,
    /// User and system CPU of the client process per call; the servers' is not in it.
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    /// Bytes of 10 MB values that one more task read meanwhile: what the servers did beside the calls.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub big_bytes_per_second: f64,
    /// Both ways between client and servers, per call, as the servers counted them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes: f64,
    /// What a slower network would be multiplied by.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub round_trips: f64,
    /// The most memory that the process ever had.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub peak_kib: f64,
}

/// Fields that most sections do not have are left out of the file.
fn is_zero(figure: &f64) -> bool {
    *figure == 0.0
}

/// What applications do, part by part. A run may measure some of the parts: the others keep the figures, and the heading, of an earlier one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Applications {
    pub parts: BTreeMap<Section, Results>,
}

impl Applications {
    pub fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

/// What a client costs that does nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Idle {
    pub peer: String,
    pub servers: u32,
    pub nodes: u32,
    pub sockets: u32,
    /// Growth of the process's resident memory per client, measured over several.
    pub memory_kib: f64,
}
