//! What the demo measured and checked: plain data, for the screen and for `--json`. Units are last in the names.

use keyway::sets::Explained;
use keyway::stats::StatsSnapshot;
use serde::Serialize;
use std::time::Duration;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Whether every check holds.
    pub(crate) passed: bool,
    pub(crate) seconds: f64,
    pub(crate) checks: Vec<Check>,
    /// The whole cluster file.
    pub(crate) cluster_toml: String,
    pub(crate) redis_version: String,
    pub(crate) graph: GraphFacts,
    pub(crate) load: Load,
    pub(crate) balance: Balance,
    pub(crate) intersections: Intersections,
    pub(crate) delivery: Delivery,
    pub(crate) crash: Crash,
    pub(crate) recovery: Recovery,
    /// The client's own statistics.
    pub(crate) client: Vec<ClientServer>,
}

/// Answers of the servers held against the computation in memory.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) what: &'static str,
    pub(crate) passed: bool,
    pub(crate) checked: u64,
    pub(crate) wrong: u64,
    /// The first wrong answer.
    pub(crate) example: Option<String>,
}

impl Check {
    pub(crate) fn new(what: &'static str) -> Check {
        Check {
            what,
            passed: false,
            checked: 0,
            wrong: 0,
            example: None,
        }
    }

    /// Counts one answer.
    pub(crate) fn expect(&mut self, is_right: bool, example: impl FnOnce() -> String) {
        self.checked += 1;
        if !is_right {
            self.wrong += 1;
            self.example.get_or_insert_with(example);
        }
    }

    /// A graph of a few users may have nothing to check: `checked` says so.
    pub(crate) fn done(mut self) -> Check {
        self.passed = self.wrong == 0;
        self
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct GraphFacts {
    /// A file, or "generated".
    pub(crate) source: String,
    pub(crate) seed: u64,
    pub(crate) users: u64,
    pub(crate) edges: u64,
    pub(crate) followers_max: u64,
    pub(crate) followers_median: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) sets: u64,
    pub(crate) members: u64,
    pub(crate) commands: u64,
    pub(crate) seconds: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Balance {
    pub(crate) servers: Vec<ServerLoad>,
    /// By node number.
    pub(crate) keys_per_node: Vec<u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ServerLoad {
    pub(crate) name: String,
    pub(crate) nodes: u64,
    pub(crate) keys: u64,
    pub(crate) members: u64,
    /// What the server's memory grew by.
    pub(crate) data_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Intersections {
    pub(crate) pairs: u64,
    /// Of these, drawn from all users; the others have sets that are among the largest.
    pub(crate) random_pairs: u64,
    pub(crate) pairs_with_common: u64,
    pub(crate) common_members: u64,
    pub(crate) common_max: u64,
    /// Of all pairs.
    pub(crate) latency: Latencies,
    pub(crate) random_latency: Latencies,
    pub(crate) heavy_latency: Latencies,
    /// The heavy pairs' common members were also counted, up to so many.
    pub(crate) counted_max: u64,
    pub(crate) count_latency: Latencies,
    /// And the members of the first that are not in the second were read.
    pub(crate) difference_latency: Latencies,
    /// How a very large and a much smaller set are intersected.
    pub(crate) plan: Option<Plan>,
}

/// What `explain` says, for one intersection.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) sets: Vec<PlanSet>,
    pub(crate) steps: Vec<PlanStep>,
    pub(crate) members: u64,
    pub(crate) round_trips: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_estimated: u64,
    /// What it takes to fetch both sets.
    pub(crate) bytes_of_fetching: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct PlanSet {
    pub(crate) key: String,
    pub(crate) server: String,
    pub(crate) members: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct PlanStep {
    pub(crate) command: String,
    pub(crate) keys: Vec<String>,
    pub(crate) bytes: u64,
}

impl Plan {
    pub(crate) fn of(explained: &Explained, bytes_of_fetching: u64) -> Plan {
        let sets = explained.sets.iter().map(|set| PlanSet {
            key: set.key.clone(),
            server: set.server.clone(),
            members: set.members,
        });
        let key = |at: &usize| explained.sets.get(*at).map(|set| set.key.clone());
        let steps = explained.steps.iter().map(|step| PlanStep {
            command: step.command.clone(),
            keys: step.sets.iter().filter_map(key).collect(),
            bytes: step.actual.bytes(),
        });
        Plan {
            sets: sets.collect(),
            steps: steps.collect(),
            members: explained.members,
            round_trips: explained.actual.round_trips,
            bytes: explained.actual.bytes(),
            bytes_estimated: explained.estimated.bytes(),
            bytes_of_fetching,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Delivery {
    /// Each posts once, to all followers.
    pub(crate) authors: u64,
    pub(crate) deliveries: u64,
    pub(crate) deliver_seconds: f64,
    /// Home timelines that hold something. All were read, whole.
    pub(crate) timelines_read: u64,
    pub(crate) items_read: u64,
    pub(crate) read_seconds: f64,
    /// The newest page of a home timeline.
    pub(crate) read_one: Latencies,
    pub(crate) pull: Pull,
    #[serde(flatten)]
    pub(crate) trim: Trim,
}

/// The same pages, merged at read from the timelines of all whom the reader follows.
#[derive(Debug, Serialize)]
pub(crate) struct Pull {
    pub(crate) readers: u64,
    pub(crate) page_items: u64,
    pub(crate) authors_max: u64,
    pub(crate) round_trips_max: u64,
    pub(crate) read_one: Latencies,
}

/// The most followed user posts more, to timelines that keep only some.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Trim {
    pub(crate) user: u64,
    pub(crate) followers: u64,
    pub(crate) posts: u64,
    pub(crate) kept: u64,
    /// Items beyond those that a timeline may hold between two trims.
    pub(crate) slack: u64,
    /// The most that one did hold after the last post.
    pub(crate) held_max: u64,
    /// Items that trims have removed.
    pub(crate) trimmed: u64,
    /// ZADD: one per follower and post.
    pub(crate) commands: u64,
    pub(crate) seconds: f64,
    pub(crate) first_post_seconds: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Crash {
    pub(crate) server: String,
    pub(crate) delivery: CutDelivery,
    pub(crate) keys_asked: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Of the keys on the server that lives.
    pub(crate) answered_latency: Latencies,
    /// From the kill to the end of the delivery: so long the first who failed waited for the server to come back.
    pub(crate) first_failures_seconds: f64,
    /// Of the others: it was known to be down.
    pub(crate) failed_again_latency: Latencies,
    pub(crate) example_error: String,
}

/// The delivery to everybody in the middle of which the server was killed.
#[derive(Debug, Serialize)]
pub(crate) struct CutDelivery {
    pub(crate) owners: u64,
    /// Some of them on the server that was killed later.
    pub(crate) done: u64,
    /// Owners on the server that lives.
    pub(crate) done_living: u64,
    /// Failed, and certainly not executed.
    pub(crate) never_written: u64,
    /// Failed, and perhaps executed.
    pub(crate) outcome_unknown: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Recovery {
    /// From the start of the process until it has loaded its append-only file.
    pub(crate) server_ready_seconds: f64,
    /// From then until the client has answered every key.
    pub(crate) client_ready_seconds: f64,
    pub(crate) retry: Retry,
    pub(crate) sets_read: u64,
    pub(crate) members_read: u64,
    pub(crate) read_seconds: f64,
}

/// The second delivery, to those for whom the first had failed.
#[derive(Debug, Serialize)]
pub(crate) struct Retry {
    pub(crate) owners: u64,
    /// Of those whose outcome was unknown, so many had it.
    pub(crate) unknown_had_it: u64,
    pub(crate) added: u64,
    pub(crate) seconds: f64,
    pub(crate) timelines_read: u64,
}

/// Measured by the demo around single calls.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Latencies {
    pub(crate) count: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

impl Latencies {
    pub(crate) fn of(mut times: Vec<Duration>) -> Latencies {
        times.sort_unstable();
        let at = |per_cent: usize| {
            let rank = (times.len() * per_cent).div_ceil(100).max(1);
            times
                .get(rank - 1)
                .map_or(0, |time| time.as_micros() as u64)
        };
        Latencies {
            count: times.len() as u64,
            p50_us: at(50),
            p99_us: at(99),
            max_us: at(100),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ClientServer {
    pub(crate) server: String,
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) retries: u64,
    pub(crate) reconnects: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) commands: Vec<ClientCommand>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ClientCommand {
    pub(crate) name: String,
    pub(crate) calls: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

impl ClientServer {
    pub(crate) fn all(stats: StatsSnapshot) -> Vec<ClientServer> {
        stats
            .servers
            .into_iter()
            .map(|server| ClientServer {
                server: server.name,
                calls: server.calls,
                failures: server.calls - server.replies,
                retries: server.retries,
                reconnects: server.reconnects,
                bytes_sent: server.bytes_sent,
                bytes_received: server.bytes_received,
                commands: server
                    .commands
                    .into_iter()
                    .map(|command| ClientCommand {
                        name: command.name,
                        calls: command.calls,
                        p50_us: command.latency.p50_us,
                        p99_us: command.latency.p99_us,
                    })
                    .collect(),
            })
            .collect()
    }
}
