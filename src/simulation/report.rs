//! What a simulation found: plain data. Its JSON is documented here and versioned by [`SCHEMA`]; fields may be added, none changes its meaning.
//!
//! Fractions are 0 to 1. Bytes are bytes, times say their unit. Nothing here but [`CostReport`] depends on the machine: the same seed makes the
//! same report, byte for byte.

use crate::plan::MoveKind;
use serde::{Deserialize, Serialize};

/// Version of the JSON.
pub const SCHEMA: &str = "keyway.simulation/1";

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of the crate.
    pub keyway: String,
    /// What was asked, in a line.
    pub title: String,
    /// Of everything random.
    pub seed: u64,
    /// How often it was to be repeated, each time with other keys (and other names, if those are made up).
    pub repeats: u32,
    /// How often it was: fewer if it was stopped.
    pub repeats_done: u32,
    /// False if it was stopped before the end.
    pub is_complete: bool,
    /// The keys of one repeat.
    pub keys: KeysReport,
    /// Ways to place keys, side by side, in the order in which they were asked for.
    pub schemes: Vec<SchemeReport>,
    /// How even servers are by the number of nodes. Empty if not asked for.
    #[serde(default)]
    pub sensitivity: Vec<SensitivityReport>,
    /// The course of the moves of each step, of each scheme with nodes.
    #[serde(default)]
    pub courses: Vec<CourseReport>,
    /// What a cache's database sees when keys change server.
    #[serde(default)]
    pub storm: Option<StormReport>,
    /// How many servers will be needed when.
    #[serde(default)]
    pub capacity: Option<CapacityReport>,
    /// Measured, so different on every machine. Empty if not asked for.
    #[serde(default)]
    pub costs: Vec<CostReport>,
    /// What a reader must know to read the figures: assumptions, and what has been left out.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The keys of one repeat.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KeysReport {
    /// In words: `synthetic, Zipf 0.99, 200 B each`.
    pub source: String,
    /// How many.
    pub count: u64,
    /// What they take, together.
    pub bytes: u64,
}

/// A mean over repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Estimate {
    /// The mean of the repeats.
    pub mean: f64,
    /// How far it can be trusted; `None` after a single repeat.
    pub spread: Option<Spread>,
}

/// How repeats differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Spread {
    /// Standard deviation of the repeats.
    pub sd: f64,
    /// Lower end of the 95 % confidence interval of the mean (Student's t).
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// One way to place keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SchemeReport {
    /// As it was asked for: `ketama@64`.
    pub name: String,
    /// In words: `64 nodes by ketama`.
    pub title: String,
    /// Whether keys belong to nodes that are given to servers.
    pub has_nodes: bool,
    /// At the start, and after each step.
    pub stages: Vec<StageReport>,
}

/// How it is after a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StageReport {
    /// `start`, or the step in words: `add f`.
    pub step: String,
    /// Every server that is there, in the order of the scenario.
    pub servers: Vec<ShareReport>,
    /// How even keys are.
    pub keys: BalanceReport,
    /// How even bytes are.
    pub bytes: BalanceReport,
    /// How even requests are.
    pub requests: BalanceReport,
    /// What the step moved; `None` at the start.
    pub movement: Option<MovementReport>,
    /// The keys with the most requests, of the first repeat.
    #[serde(default)]
    pub hot_keys: Vec<HotKeyReport>,
}

/// One server's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ShareReport {
    /// Its name.
    pub server: String,
    /// False if it is dead: its keys are there, and cannot be reached.
    pub is_up: bool,
    /// What it should have by its weight, as a fraction of all keys.
    pub target: f64,
    /// Its nodes, in schemes that have nodes.
    pub nodes: Option<u32>,
    /// Its keys, as a fraction of all.
    pub keys: Estimate,
    /// Its bytes.
    pub bytes: Estimate,
    /// Its requests, as a fraction of all.
    pub requests: Estimate,
    /// What it may hold.
    pub memory_bytes_max: Option<u64>,
}

/// How even something is over the servers that are up. A server's load is its part divided by its target, so that 1 is right for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BalanceReport {
    /// The largest load.
    pub max_over_mean: Estimate,
    /// The smallest load.
    pub min_over_mean: Estimate,
    /// Standard deviation of the loads.
    pub relative_sd: Estimate,
    /// Of all loads of all repeats, the one that half a percent is below: 99 % are between this
    pub load_low_99: f64,
    /// and this one, which half a percent is above.
    pub load_high_99: f64,
}

/// What a step moved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MovementReport {
    /// Keys that are on another server than before, as a fraction of all.
    pub moved: Estimate,
    /// The least that any way of placing keys as evenly would move.
    pub minimum: f64,
    /// The same keys by what they take, in bytes.
    pub moved_bytes: Estimate,
    /// Of the moved keys, by cause, as fractions of all keys: those that went to a server that this step added.
    pub to_added: Estimate,
    /// Those whose server this step removed or killed.
    pub from_gone: Estimate,
    /// Those whose servers, old or new, got another weight.
    pub reweighted: Estimate,
    /// Those whose placement was replaced.
    pub replaced: Estimate,
    /// Those that nodes took along so that servers become even: between servers that are there before and after.
    pub evened: Estimate,
    /// Keys that moved between two servers that the step did not touch, though no plan wanted it, in all repeats together. 0 for a monotone
    /// algorithm.
    pub violations: u64,
    /// The same as a fraction of all keys.
    pub violating: Estimate,
    /// Nodes that changed server, in schemes that have nodes.
    pub nodes_moved: Option<u32>,
    /// Keys that cannot be reached, or whose data is lost, because their server died.
    pub unreachable: Estimate,
}

/// A key with many requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HotKeyReport {
    /// The key; what is not UTF-8 is replaced.
    pub key: String,
    /// Its requests, as a fraction of all.
    pub requests: f64,
    /// The server it is on.
    pub server: String,
}

/// How even servers are with so many nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SensitivityReport {
    /// The algorithm.
    pub algorithm: String,
    /// How many nodes.
    pub nodes: u32,
    /// How many servers.
    pub servers: u32,
    /// The largest load of a server.
    pub max_over_mean: Estimate,
    /// Standard deviation of the servers' loads.
    pub relative_sd: Estimate,
}

/// The course of the moves of one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CourseReport {
    /// The scheme's name.
    pub scheme: String,
    /// The step in words.
    pub step: String,
    /// Until all is done, in seconds.
    pub total_s: f64,
    /// The freezes of all moves added up, in milliseconds: those that go on at the same time count each.
    pub freeze_ms: f64,
    /// The moves, by their begin.
    pub moves: Vec<CourseMove>,
    /// What each server has to do meanwhile.
    pub servers: Vec<CourseServer>,
}

/// One move in time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CourseMove {
    /// Moves of one wave go on at the same time.
    pub wave: usize,
    /// The server that nodes leave.
    pub from: String,
    /// The server that they go to.
    pub to: String,
    /// How.
    pub kind: MoveKind,
    /// How many nodes.
    pub nodes: u32,
    /// Their keys.
    pub keys: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When it begins, in seconds from the begin of the step.
    pub start_s: f64,
    /// Copying, in seconds.
    pub copy_s: f64,
    /// The nodes take no command, in milliseconds.
    pub freeze_ms: f64,
    /// Removing what was left behind, in seconds.
    pub purge_s: f64,
    /// Why, in words.
    pub why: String,
}

/// What one server has to do while nodes move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CourseServer {
    /// Its name.
    pub server: String,
    /// The largest memory it needs on the way, in bytes.
    pub memory_bytes_peak: u64,
    /// What it may hold.
    pub memory_bytes_max: Option<u64>,
    /// A point where something changes.
    pub points: Vec<CoursePoint>,
}

/// From this time on, until the next point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CoursePoint {
    /// In seconds from the begin of the step.
    pub at_s: f64,
    /// Requests of clients, as a fraction of what the server can take.
    pub requests: f64,
    /// The work of moves, likewise.
    pub moves: f64,
    /// Bytes that it holds.
    pub memory_bytes: u64,
}

/// What a cache's database sees when keys change server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StormReport {
    /// The step that moves keys.
    pub step: String,
    /// Requests to the cache, per second.
    pub requests_per_s: f64,
    /// Hit rate before.
    pub hit_rate_before: f64,
    /// What the database can take, in reads per second, if that was said.
    pub database_reads_per_s_max: Option<f64>,
    /// One course per scheme.
    pub schemes: Vec<StormScheme>,
}

/// One scheme's storm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StormScheme {
    /// The scheme's name.
    pub scheme: String,
    /// The lowest hit rate.
    pub hit_rate_min: f64,
    /// The most reads of the database, per second.
    pub database_reads_per_s_peak: f64,
    /// Reads of the database more than without the step: the most that they are ahead. Where values expire, they fall back later, since what has just
    /// been read need not be read so soon.
    pub extra_reads: f64,
    /// Until the hit rate is within one percent of what it was, and stays there, in seconds; `None`: not within the time that was looked at.
    pub recovered_s: Option<f64>,
    /// What the database cannot take at once; `None` if nobody said what it can take.
    #[serde(default)]
    pub overload: Option<StormOverload>,
    /// Over time.
    pub points: Vec<StormPoint>,
}

/// Reads that wait if a database takes no more than it can. At least: callers who give up and ask again make it more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StormOverload {
    /// The most reads that wait.
    pub waiting_max: f64,
    /// How long the last of them waits, in seconds.
    pub wait_s_max: f64,
    /// From then on none waits, in seconds; `None`: some still do at the end of the time that was looked at.
    pub until_s: Option<f64>,
}

/// A moment of a storm: the mean over the second before it, or since the step if that is less.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct StormPoint {
    /// In seconds from the step on.
    pub at_s: f64,
    /// Requests that find their value.
    pub hit_rate: f64,
    /// Reads of the database, per second.
    pub database_reads_per_s: f64,
}

/// How many servers will be needed when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CapacityReport {
    /// In words: what a user takes, what a server may hold.
    pub assumptions: String,
    /// What one user takes, in bytes.
    pub bytes_per_user: u64,
    /// What a server may hold, in bytes, headroom taken off.
    pub server_bytes: u64,
    /// How many users fit on the servers that there are.
    pub users_max: u64,
    /// How many users fit if every node has a server of its own.
    pub users_max_at_all_nodes: u64,
    /// The growth curve.
    pub points: Vec<CapacityPoint>,
    /// When the servers that there are will not do any more, in months from the start; `None`: not within the curve.
    pub next_split_months: Option<f64>,
    /// When more servers than nodes would be needed: the end of the line for this number of nodes.
    pub exhausted_months: Option<f64>,
}

/// A month of the growth curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CapacityPoint {
    /// From the start.
    pub month: u32,
    /// How many users.
    pub users: u64,
    /// What they take, in bytes.
    pub bytes: u64,
    /// Servers that are needed, as nodes cannot be shared out more evenly than whole. More than there are nodes: as many as would do if nodes could be
    /// cut.
    pub servers: u32,
    /// Whether more are needed than there are, at the start and in every month before.
    pub is_split: bool,
}

/// What a scheme costs, measured on this machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CostReport {
    /// The scheme's name.
    pub scheme: String,
    /// Building its tables, in microseconds.
    pub build_us: f64,
    /// One lookup, in nanoseconds.
    pub lookup_ns: f64,
    /// What its tables take, in bytes; `None` if it does not know.
    pub table_bytes: Option<u64>,
}
