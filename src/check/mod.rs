//! Checking a cluster file against the servers it names: is this map right for the data that is there?
//!
//! A wrong file is the likeliest disaster of a sharded store: every key is looked for where it is not, and new keys are written where
//! nobody will look. [`check`] finds that out before a client does. It writes nothing.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use keyway::{Config, check};
//!
//! let config = Config::from_file("cluster.toml")?;
//! let report = check::check(&config, &check::Options::default(), |_| {}).await;
//! for finding in &report.findings {
//!     println!("{:?}: {}", finding.level, finding.message);
//! }
//! assert_eq!(report.verdict, check::Verdict::Fine);
//! # Ok(()) }
//! ```

mod judge;
mod rights;
mod sample;

pub use rights::Right;
pub use sample::{Misplaced, Sample};

use crate::config::{Config, Mode};
use crate::inspect::{self, ServerState};
use crate::topology::ServerId;
use futures::future::join_all;
use sample::Keys;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How thorough a check is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Keys to look at per server. Default 1,000; up to [`SAMPLE_MAX`]; 0 looks at none.
    pub sample: usize,
    /// Bound on each dial and on each question to a server. Default 5 s.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            sample: 1_000,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Most keys sampled per server: they are held in memory until the end.
pub const SAMPLE_MAX: usize = 1_000_000;

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// So many more keys were read, from any of the servers.
    Sampled(usize),
    /// One more server is done, whatever came of it.
    ServerDone,
}

/// Everything that was seen, and what is wrong with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// The whole in one word.
    pub verdict: Verdict,
    /// The cluster's name.
    pub cluster: String,
    /// `store` or `cache`.
    pub mode: String,
    /// The placement in words: `ketama over 64 nodes`.
    pub placement: String,
    /// Every server of the file, by name.
    pub servers: Vec<CheckedServer>,
    /// What is wrong or worth knowing: errors first.
    pub findings: Vec<Finding>,
}

/// One server, as it was checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckedServer {
    /// What it says about itself.
    #[serde(flatten)]
    pub state: ServerState,
    /// The keys that were looked at; `None` if there was no way to.
    pub sample: Option<Sample>,
    /// Rights that a client needs and our user does not have.
    pub missing_rights: Vec<Right>,
}

/// The whole in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// No errors. There may be warnings.
    Fine,
    /// Errors.
    Problems,
    /// Servers that cannot be reached are the only errors.
    Unreachable,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Clients will fail, or data is or will be lost.
    Error,
    /// It works, until some day it does not.
    Warning,
    /// Worth knowing.
    Note,
}

/// What a finding is about. Stable, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Subject {
    /// Keys that this file places elsewhere.
    Misplaced,
    /// Two servers of the file are one process and one database.
    SameServer,
    /// A fence of somebody who moves this data.
    Fence,
    /// A server in cluster or sentinel mode.
    ClusterMode,
    /// A replica.
    Replica,
    /// A server that turned us away.
    Refused,
    /// A server that is not there.
    Unreachable,
    /// A version that is too old, or untested.
    Version,
    /// Rights of our ACL user.
    Rights,
    /// Keys that could not be sampled.
    NotSampled,
    /// What happens when memory is full.
    Memory,
    /// What happens when the server restarts.
    Persistence,
    /// Clocks that differ.
    Clock,
    /// Connections near their bound.
    Clients,
    /// A server without nodes.
    Idle,
    /// Servers that do not announce changes of keys.
    KeyspaceEvents,
}

/// Something that is wrong, or worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about.
    pub subject: Subject,
    /// The server it is about; `None` for the whole cluster.
    pub server: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do. May be empty.
    pub advice: String,
}

/// Connects to every server and compares what is there with what the file says. `progress` hears how far it is.
///
/// Keys are sampled with SCAN, from a random place on when the database has more than `options.sample` of them: Redis scans in the order of
/// a hash with a random seed, so that a run of keys is a fair sample, whatever their names. Keys that begin with `keyway:` do not count.
/// Whether our user may do what a client has to is tried inside MULTI, and discarded.
///
/// Never fails: what cannot be found out is a finding. All servers at once; some 25 round trips each, and one per 250 keys sampled.
pub async fn check(config: &Config, options: &Options, progress: impl Fn(Progress)) -> Report {
    let checks = config
        .topology()
        .servers()
        .map(|id| check_server(config, id, options, &progress));
    let seen: Vec<Seen> = join_all(checks).await;
    let findings = judge::findings(config, &seen);
    Report {
        verdict: judge::verdict(&findings),
        cluster: config.name().to_owned(),
        mode: match config.mode() {
            Mode::Store => "store",
            Mode::Cache => "cache",
        }
        .to_owned(),
        placement: config.placement().describe(),
        servers: seen
            .into_iter()
            .map(|seen| CheckedServer {
                state: seen.state,
                sample: seen.keys.map(|keys| keys.sample),
                missing_rights: seen.missing_rights,
            })
            .collect(),
        findings,
    }
}

/// All that was learned about one server. What is judged is this and nothing else.
#[derive(Clone, Debug)]
struct Seen {
    state: ServerState,
    keys: Option<Keys>,
    /// Why there is no sample, or not all of it.
    not_sampled: Option<String>,
    is_fenced: bool,
    missing_rights: Vec<Right>,
}

async fn check_server(
    config: &Config,
    id: ServerId,
    options: &Options,
    progress: &impl Fn(Progress),
) -> Seen {
    let (state, probe) = inspect::look(config, id, options.timeout).await;
    let mut seen = Seen {
        state,
        keys: None,
        not_sampled: None,
        is_fenced: false,
        missing_rights: Vec::new(),
    };
    if let Some(mut probe) = probe {
        match rights::is_fenced(&mut probe).await {
            Ok(is_fenced) => seen.is_fenced = is_fenced,
            Err(error) => seen.not_sampled = Some(error.message),
        }
        let size = options.sample.min(SAMPLE_MAX);
        if seen.not_sampled.is_none() && size > 0 {
            match sample::sample(config, id, &mut probe, size, progress).await {
                Ok(keys) => seen.keys = Some(keys),
                Err(why) => seen.not_sampled = Some(why),
            }
        }
        match rights::missing(&mut probe).await {
            Ok(missing) => seen.missing_rights = missing,
            Err(error) => seen.not_sampled = Some(error.message),
        }
    }
    progress(Progress::ServerDone);
    seen
}
