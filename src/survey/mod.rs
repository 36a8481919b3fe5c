//! Surveying a live cluster: how much is on each server and in each node now, and how even is that?
//!
//! Reads only: SCAN, DBSIZE, MEMORY USAGE, INFO, and OBJECT FREQ where servers count accesses. By default from a sample, with a 95 % interval
//! for every figure; [`Options::exact`] looks at every key.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use keyway::{Config, survey};
//!
//! let config = Config::from_file("cluster.toml")?;
//! let survey = survey::survey(&config, &survey::Options::default(), |_| {}).await?;
//! for node in survey.nodes_by_bytes().iter().take(5) {
//!     println!("node {} on {}: {:?}", node.name, node.server, node.bytes);
//! }
//! let sizes = survey.sizes()?; // what a plan goes by
//! # Ok(()) }
//! ```
//!
//! # What is estimated, and how well
//!
//! Each server is sampled by a run of SCAN from a random cursor on. Redis keeps keys in the order of a hash with a random seed, so that a run
//! is a simple random sample of the server's keys, whatever they are called and whatever is in them. From `n` sampled keys of `N`, `x` of
//! which belong to a node, the node has `N x / n` keys, with Wilson's interval for a finite population; and `N / n` times the sampled keys'
//! bytes, give or take `1.96 N sqrt((1 - n/N) s^2 / n)`, where `s^2` is the variance of the node's bytes in the sample, or what it would be
//! if the node's keys were like all others of the server, whichever is more. Over many sizes and shapes 94 to 99 of 100 such intervals hold
//! the truth. The exception is a giant: a key that is rarer than one in `n` is likely not met, and nothing that was met tells of it. Where the
//! server's own figure for its memory is much more than the sample explains, [`Survey::notes`] say so; then look at every key.
//!
//! **Bytes** are what MEMORY USAGE says of a key: its value (of big collections estimated from five elements), its name and its entry in the
//! table. The table itself, expiry times and buffers are not in it.
//!
//! **Keys** are DBSIZE, which still counts expired keys that nobody has met since.

mod advice;
mod calibrate;
mod estimate;
mod judge;
mod keys;
mod look;

pub use advice::EVEN_MAX;
pub use calibrate::{CalibrateError, CalibrateOptions, Calibration, Figure, ServerPace, calibrate};
pub use estimate::Estimate;
pub use keys::{SAMPLE_BYTES_MAX, SampledKeys, sample_keys};

use crate::config::Config;
use crate::inspect::ServerState;
use crate::placement::{Algorithm, NodeId};
use crate::plan::{Balance, Goal, Limits, NodeSize, Origin, Plan, PlanError, ServerSpec, Sizes};
use crate::topology::Topology;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Most keys sampled per server: about 16 bytes of memory each until the server is done.
pub const SAMPLE_MAX: usize = 1_000_000;

/// Biggest keys that are kept, per server and over all.
pub const BIGGEST_KEYS: usize = 10;

/// How thorough a survey is, and how gentle.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Keys to look at per server. Default 10,000, which makes a node that has a hundredth of its server's keys known to 20 % either way; four
    /// times as many halve that. 1 to [`SAMPLE_MAX`]. A server that has at most twice as many is looked at whole.
    pub sample: usize,
    /// Look at every key. Default false. Takes about 15 s per million keys of the largest server.
    pub exact: bool,
    /// Bound on each dial and on each question to a server. Default 5 s.
    pub timeout: Duration,
    /// Bound on the whole of one server: what was seen by then is the sample. Default 1 h.
    pub server_time_max: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            sample: 10_000,
            exact: false,
            timeout: Duration::from_secs(5),
            server_time_max: Duration::from_secs(3_600),
        }
    }
}

/// How far a survey is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// So many keys of one more server will be looked at.
    Expected(u64),
    /// So many more keys were looked at, on any of the servers.
    Looked(u64),
    /// One more server is done, whatever came of it.
    ServerDone,
}

/// Why there is no survey.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// No key belongs to a node.
    #[error(
        "by {0} no key has a home: any server may have any key, so there are no nodes to survey. `keyway stats` shows the keys of each server"
    )]
    NoHomes(Algorithm),
}

/// What is on the servers, and how even it is. Plain data; fractions and loads are numbers, 1 is what is right for all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Survey {
    /// The cluster's name.
    pub cluster: String,
    /// The placement in words: `ketama over 64 nodes`.
    pub placement: String,
    /// Every key of every server was looked at: all figures are exact, but for what was written meanwhile.
    pub is_complete: bool,
    /// Keys that were looked at.
    pub looked_at: u64,
    /// Every server of the file, by name.
    pub servers: Vec<SurveyedServer>,
    /// Every node, by number.
    pub nodes: Vec<SurveyedNode>,
    /// How even all that is.
    pub evenness: Evenness,
    /// What is known about requests.
    pub requests: Requests,
    /// The biggest keys that were met, the biggest first; at most [`BIGGEST_KEYS`].
    pub biggest_keys: Vec<MetKey>,
    /// Those with the most accesses, where servers count them.
    pub hottest_keys: Vec<MetKey>,
    /// What a reader must know to read the figures.
    pub notes: Vec<String>,
}

/// One server, as it was surveyed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SurveyedServer {
    /// What it says about itself: memory, limit, commands per second.
    #[serde(flatten)]
    pub state: ServerState,
    /// What its nodes should have, by their weights, as a fraction of all.
    pub target: f64,
    /// What is on it; `None` if that could not be found out.
    pub held: Option<Held>,
    /// Why not.
    pub failure: Option<String>,
}

/// What is on a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Held {
    /// Its keys: DBSIZE of its database, or all that were met if every key was looked at.
    pub keys: u64,
    /// How many of them were looked at.
    pub looked_at: u64,
    /// Whether that was all.
    pub is_complete: bool,
    /// What all keys take; `None` if our user may not ask.
    pub bytes: Option<Estimate>,
    /// Keys of nodes that live elsewhere, by this file: wrongly written, or left behind by a move.
    pub misplaced_keys: Estimate,
    /// What those take.
    pub misplaced_bytes: Option<Estimate>,
    /// Its keys, and its bytes, as a multiple of the mean of all servers that were reached.
    pub load: Load,
    /// The same as a multiple of what its nodes should have by their weights.
    pub load_by_nodes: Load,
}

/// As multiples of what would be even.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Load {
    /// Of keys.
    pub keys: f64,
    /// Of bytes; `None` if they are not known.
    pub bytes: Option<f64>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SurveyedNode {
    /// Its number.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// The server it lives on.
    pub server: String,
    /// Its keys; `None` if its server could not be looked at.
    pub keys: Option<Estimate>,
    /// What they take; `None` also if our user may not ask.
    pub bytes: Option<Estimate>,
    /// Its keys and bytes as a multiple of what it should have by its weight, of all that was seen.
    pub load: Option<Load>,
    /// Its part of all accesses that the servers' counters know of, 0 to 1; `None` where they do not count.
    pub requests: Option<f64>,
}

/// How even something is. Only over servers that could be looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evenness {
    /// Servers' keys, each as a multiple of the mean.
    pub servers_keys: Option<Spread>,
    /// Servers' bytes.
    pub servers_bytes: Option<Spread>,
    /// Nodes' keys, each as a multiple of what it should have.
    pub nodes_keys: Option<Spread>,
    /// Nodes' bytes.
    pub nodes_bytes: Option<Spread>,
}

/// How far loads are apart; 1 is right for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Spread {
    /// The largest load.
    pub max_over_mean: f64,
    /// The smallest.
    pub min_over_mean: f64,
    /// Standard deviation of the loads as they were estimated.
    pub relative_sd: f64,
    /// What the sample alone would make of it if all were even: a `relative_sd` that is not much more says nothing. 0 if it was no sample.
    pub sampling_sd: f64,
}

/// What is known about requests. Only MONITOR would tell them by key, and it costs a server half of what it can do; so it is not used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "known", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Requests {
    /// Not by node.
    No {
        /// Why, and what to do.
        why: String,
    },
    /// The servers have a limit and evict by LFU, so they keep a counter per key. It is approximate (logarithmic, up to 255) and falls with time: good for
    /// telling the hot from the cold.
    ByCounters,
}

/// A key that was met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetKey {
    /// The key, at most its first 200 bytes; what is not UTF-8 is replaced.
    pub key: String,
    /// Its node; `None` for keyway's own.
    pub node: Option<NodeId>,
    /// The server it was met on.
    pub server: String,
    /// What it takes; 0 if our user may not ask.
    pub bytes: u64,
    /// Its accesses by the server's counter, which knows powers better than numbers; `None` where it does not count.
    pub accesses: Option<u64>,
}

/// Why a survey knows no sizes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownSizes {
    /// A server with nodes could not be looked at.
    #[error(
        "how big the nodes on server {server} are is not known: {why}. Survey again when it can be reached"
    )]
    Server {
        /// The server.
        server: String,
        /// What went wrong.
        why: String,
    },
    /// MEMORY USAGE was refused.
    #[error(
        "how many bytes the nodes on server {server} take is not known: {why}. Its user needs the right to MEMORY USAGE: ACL SETUSER {user} +memory|usage"
    )]
    Bytes {
        /// The server.
        server: String,
        /// What it said.
        why: String,
        /// Our user there.
        user: String,
    },
}

/// Why a survey leads to no plan.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPlan {
    /// Sizes are not known.
    #[error(transparent)]
    Sizes(#[from] UnknownSizes),
    /// There is no such plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// Looks at all servers at once, each on a connection of its own. `progress` hears how far it is.
///
/// One that cannot be reached is told as such and says nothing about the others.
///
/// **Load on a server**: one question at a time, each a SCAN of 250 keys and a MEMORY USAGE for each, well below a millisecond of its time; the
/// pause after it is as long as the answer took, so that a server is ours half of the time at most. **Memory here**: a few numbers per node,
/// and about 16 bytes per sampled key; [`Options::exact`] keeps no keys. Every wait has a deadline; nothing is written, and no key is touched as
/// far as eviction goes.
///
/// # Errors
/// [`SurveyError::NoHomes`] before anything is asked. What servers do is in the result.
pub async fn survey(
    config: &Config,
    options: &Options,
    progress: impl Fn(Progress),
) -> Result<Survey, SurveyError> {
    if !config.placement().has_homes() {
        return Err(SurveyError::NoHomes(config.placement().algorithm()));
    }
    let looks = config
        .topology()
        .servers()
        .map(|id| look::look(config, id, options, &progress));
    let seen = join_all(looks).await;
    Ok(judge::survey(config, &seen))
}

impl Survey {
    /// All nodes that are known, those with the most bytes first; by keys where bytes are not known.
    pub fn nodes_by_bytes(&self) -> Vec<&SurveyedNode> {
        let mut nodes: Vec<&SurveyedNode> = self
            .nodes
            .iter()
            .filter(|node| node.keys.is_some())
            .collect();
        let weight = |node: &SurveyedNode| {
            let value = |estimate: Option<Estimate>| estimate.map_or(0, |estimate| estimate.value);
            (value(node.bytes), value(node.keys))
        };
        // Stable: equal ones stay in the order of their numbers.
        nodes.sort_by_key(|node| std::cmp::Reverse(weight(node)));
        nodes
    }

    /// The servers that could not be looked at, with the reason.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.servers.iter().filter_map(|server| {
            let why = server.failure.as_deref()?;
            Some((server.state.name.as_str(), why))
        })
    }

    /// The size of every node, for a plan.
    ///
    /// # Errors
    /// Where a node's size is not known: a plan by zeros would move the wrong things.
    pub fn sizes(&self) -> Result<Sizes, UnknownSizes> {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut errors = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let (Some(keys), Some(bytes)) = (node.keys, node.bytes) else {
                return Err(self.unknown(node));
            };
            nodes.push(NodeSize {
                keys: keys.value,
                bytes: bytes.value,
            });
            // Of a node of which no key was seen nothing is known: its error is all of it.
            errors.push(bytes.relative_error().min(1.0));
        }
        errors.sort_by(f64::total_cmp);
        let held = || {
            self.servers
                .iter()
                .filter_map(|server| server.held.as_ref())
        };
        Ok(Sizes {
            nodes,
            origin: Origin::Sampled {
                keys: self.looked_at,
                of: held().map(|held| held.keys).sum(),
            },
            relative_error: errors.get(errors.len() / 2).copied().unwrap_or(0.0),
        })
    }

    /// What would even servers out: the few moves that bring each to within 5 % of the mean of all bytes, or as near as whole nodes get; the
    /// plan of `keyway plan FILE --even --live`. Asks nobody. `topology` is that of the cluster which was surveyed.
    ///
    /// # Errors
    /// Sizes that are not known, a topology that is not at rest.
    pub fn even_out(&self, topology: &Topology) -> Result<Plan, NoPlan> {
        let servers: Vec<ServerSpec> = topology
            .servers()
            .map(|id| ServerSpec::new(topology.server_name(id).clone()))
            .collect();
        let limits = Limits {
            balance: Balance::Bytes { tolerance: 0.05 },
            ..Limits::default()
        };
        let plan = Plan::for_goal(topology, &Goal::Even, &servers, &self.sizes()?, &limits)?;
        Ok(plan)
    }

    fn unknown(&self, node: &SurveyedNode) -> UnknownSizes {
        let server = node.server.clone();
        let found = self.servers.iter().find(|found| found.state.name == server);
        match (node.keys, found) {
            (Some(_), Some(found)) => UnknownSizes::Bytes {
                why: judge::NO_BYTES.to_owned(),
                user: judge::user(&found.state),
                server,
            },
            (_, found) => UnknownSizes::Server {
                why: found
                    .and_then(|found| found.failure.clone())
                    .unwrap_or_else(|| "it was not looked at".to_owned()),
                server,
            },
        }
    }
}
