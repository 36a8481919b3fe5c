//! What the demo measured and checked: plain data, for the screen and for `--json`. Units are last in the names.

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
    pub(crate) pairs_with_common: u64,
    pub(crate) common_members: u64,
    pub(crate) common_max: u64,
    pub(crate) latency: Latencies,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Delivery {
    pub(crate) user: u64,
    pub(crate) followers: u64,
    pub(crate) posts: u64,
    pub(crate) kept: u64,
    pub(crate) commands: u64,
    pub(crate) seconds: f64,
    pub(crate) first_post_seconds: f64,
    pub(crate) timelines_read: u64,
    pub(crate) read_one: Latencies,
}

#[derive(Debug, Serialize)]
pub(crate) struct Crash {
    pub(crate) server: String,
    pub(crate) keys_asked: u64,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Of the keys on the server that lives.
    pub(crate) answered_latency: Latencies,
    /// How long the first callers waited for the dead server to come back.
    pub(crate) first_failures_seconds: f64,
    /// Asked again, once it was known to be down.
    pub(crate) failed_again_latency: Latencies,
    pub(crate) example_error: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Recovery {
    /// From the start of the process until it has loaded its append-only file.
    pub(crate) server_ready_seconds: f64,
    /// From then until the client has answered every key.
    pub(crate) client_ready_seconds: f64,
    pub(crate) sets_read: u64,
    pub(crate) members_read: u64,
    pub(crate) read_seconds: f64,
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
