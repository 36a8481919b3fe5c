use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Every server's statistics at one time: plain data, to print, store or send.
///
/// Counts start at zero when the cluster connects and only grow (`in_flight` excepted); [`StatsSnapshot::since`] gives
/// what happened between two snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct StatsSnapshot {
    /// One entry per server, in the order of the topology.
    pub servers: Vec<ServerSnapshot>,
    /// What waits for the subscribers of this cluster.
    pub subscribers: SubscribersSnapshot,
}

/// One server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerSnapshot {
    /// Its name in the topology.
    pub name: String,
    /// Commands that ended, `replies` + `failures`. A command that the client repeated after an error reply counts again; one that
    /// it repeated without a reply counts once, and under `retries`.
    pub calls: u64,
    /// Replies that arrived, error replies included.
    pub replies: u64,
    /// Error replies by code (`"WRONGTYPE"`). At most 32 codes by name, the rest under `"other"`.
    pub errors: BTreeMap<String, u64>,
    /// Commands that ended without a reply, each under the class of the error that its caller got.
    pub failures: Failures,
    /// Attempts that were not the first of their call.
    pub retries: u64,
    /// Commands whose caller did not want the reply (`Cmd::set_no_response`), which are in no other count.
    pub not_waited_for: u64,
    /// Connections made ready, first ones and replacements.
    pub connects: u64,
    /// Connections lost; those closed on purpose are not counted.
    pub disconnects: u64,
    /// Connections that replaced a lost one.
    pub reconnects: u64,
    /// Dials, or handshakes, that failed.
    pub dial_failures: u64,
    /// Connections that were closed because replies did not match commands any more. Above zero: callers may have had
    /// others' replies; the ERROR event `keyway::connection` says when, and for how many commands at most.
    pub shifts: u64,
    /// Commands queued or sent and not yet answered, at the time of the snapshot.
    pub in_flight: u64,
    /// Bytes written to the server's sockets.
    pub bytes_sent: u64,
    /// Bytes read from the server's sockets.
    pub bytes_received: u64,
    /// Subscriptions on this server.
    pub pubsub: PubSubSnapshot,
    /// In cache mode, reads answered as a miss because the server was down.
    pub cache_misses_answered: u64,
    /// In cache mode, writes dropped because the server was down.
    pub cache_writes_dropped: u64,
    /// The commands that were used, in the order of the command table. The row `other`, the last, is for commands that the table
    /// does not have, and for dedicated connections that could not be had.
    pub commands: Vec<CommandSnapshot>,
}

/// Subscriptions on one server, of all subscribers of this cluster together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PubSubSnapshot {
    /// Channels, sharded channels and patterns that somebody wants here, and those that are being left, at the time of the snapshot.
    pub wanted: u64,
    /// Those of them that the server has confirmed.
    pub granted: u64,
    /// Those that it refuses, and that are asked for again.
    pub refused: u64,
    /// Messages that came, each once, however many subscribers hear it.
    pub messages: u64,
    /// Gaps that were said: `Resubscribed`, once for each subscription and subscriber.
    pub gaps: u64,
}

/// What waits for the subscribers of a cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct SubscribersSnapshot {
    /// How many there are, at the time of the snapshot.
    pub subscribers: u64,
    /// Events that they have not taken yet, at the time of the snapshot.
    pub events_held: u64,
    /// The bytes of these.
    pub bytes_held: u64,
    /// Events that were dropped because a subscriber was too slow, of the subscribers that there are.
    pub lagged: u64,
}

/// One command at one server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CommandSnapshot {
    /// The command's name, as the command table writes it, or `other`.
    pub name: String,
    /// Commands that ended, with a reply (`latency.count`) or without (`failures`).
    pub calls: u64,
    /// Replies that were errors.
    pub errors: u64,
    /// Commands that ended without a reply, each under the class of the error that its caller got.
    pub failures: Failures,
    /// Attempts that were not the first of their call.
    pub retries: u64,
    /// Commands whose caller did not want the reply (`Cmd::set_no_response`), which are in no other count.
    pub not_waited_for: u64,
    /// In cache mode, reads answered as a miss because the server was down.
    pub cache_misses_answered: u64,
    /// In cache mode, writes dropped because the server was down.
    pub cache_writes_dropped: u64,
    /// Time from queueing the command to its reply.
    pub latency: Latency,
}

/// Commands that ended without a reply: each once, under the class of the error that its caller got ([`ErrorKind`](crate::ErrorKind)).
///
/// A command whose caller dropped its future counts as the class that the caller would have got: `not_sent` when it was taken back
/// before it was written, `unknown` when its connection was lost. If its reply comes all the same, it counts as a reply. In cache mode,
/// a read of a server that is down counts here, and as a miss that was answered. Errors that are about no server are not counted.
///
/// `timeout`, `full` and `dropped` are parts of these classes ("of which"): [`Failures::total`] does not add them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Failures {
    /// Certainly not executed.
    pub not_sent: u64,
    /// Written and not answered: it may have been executed.
    pub unknown: u64,
    /// Certainly not executed, because the server is down.
    pub server_down: u64,
    /// Refused by the client, or by the server at the handshake: not executed.
    pub refused: u64,
    /// The cluster was closed, or its runtime has ended: not executed.
    pub closed: u64,
    /// Of `not_sent` and `unknown`: the deadline passed.
    pub timeout: u64,
    /// Of `not_sent`: too much was queued already, or no connection of its own was free.
    pub full: u64,
    /// Of `not_sent`, `unknown` and the others: the caller had dropped its future.
    pub dropped: u64,
}

/// Latencies of one command at one server, in whole microseconds.
///
/// Percentiles are within 3.2 % of the exact ones (and exact below 16 us); latencies above 67 s count as 67 s in them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Latency {
    /// Replies measured.
    pub count: u64,
    /// Their sum, in microseconds.
    pub sum_us: u64,
    /// Arithmetic mean, in microseconds.
    pub mean_us: u64,
    /// Median, in microseconds.
    pub p50_us: u64,
    /// 90th percentile, in microseconds.
    pub p90_us: u64,
    /// 99th percentile, in microseconds.
    pub p99_us: u64,
    /// 99.9th percentile, in microseconds.
    pub p999_us: u64,
    /// The longest, in microseconds; exact, but after [`StatsSnapshot::since`] only as exact as a percentile.
    pub max_us: u64,
    /// The histogram that the percentiles come from: its buckets that are not empty, ascending.
    pub buckets: Vec<LatencyBucket>,
}

/// How many latencies fell into one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LatencyBucket {
    /// Shortest latency of the interval, in microseconds.
    pub from_us: u64,
    /// End of the interval (not in it), in microseconds.
    pub to_us: u64,
    /// Latencies in it.
    pub count: u64,
}

impl StatsSnapshot {
    /// What happened between `earlier` and this snapshot of the same cluster: every count minus its earlier value,
    /// percentiles over that time alone. `in_flight` stays as it is now, and a server that `earlier` does not have counts from zero.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            servers: self
                .servers
                .iter()
                .map(
                    |now| match earlier.servers.iter().find(|then| then.name == now.name) {
                        Some(then) => now.since(then),
                        None => now.clone(),
                    },
                )
                .collect(),
            subscribers: SubscribersSnapshot {
                lagged: self
                    .subscribers
                    .lagged
                    .saturating_sub(earlier.subscribers.lagged),
                ..self.subscribers
            },
        }
    }
}

impl ServerSnapshot {
    /// A snapshot of what is the sum over commands; the rest is zero.
    pub(super) fn of_commands(commands: Vec<CommandSnapshot>) -> Self {
        let mut server = Self::default();
        for command in &commands {
            server.calls += command.calls;
            server.replies += command.latency.count;
            server.failures.add(&command.failures);
            server.retries += command.retries;
            server.not_waited_for += command.not_waited_for;
            server.cache_misses_answered += command.cache_misses_answered;
            server.cache_writes_dropped += command.cache_writes_dropped;
        }
        server.commands = commands;
        server
    }

    fn since(&self, earlier: &Self) -> Self {
        let commands = self
            .commands
            .iter()
            .map(
                |now| match earlier.commands.iter().find(|then| then.name == now.name) {
                    Some(then) => now.since(then),
                    None => now.clone(),
                },
            )
            .collect();
        Self {
            name: self.name.clone(),
            errors: self
                .errors
                .iter()
                .map(|(code, now)| {
                    let then = earlier.errors.get(code).copied().unwrap_or(0);
                    (code.clone(), now.saturating_sub(then))
                })
                .filter(|(_, count)| *count > 0)
                .collect(),
            connects: self.connects.saturating_sub(earlier.connects),
            disconnects: self.disconnects.saturating_sub(earlier.disconnects),
            reconnects: self.reconnects.saturating_sub(earlier.reconnects),
            dial_failures: self.dial_failures.saturating_sub(earlier.dial_failures),
            shifts: self.shifts.saturating_sub(earlier.shifts),
            in_flight: self.in_flight,
            pubsub: PubSubSnapshot {
                messages: self.pubsub.messages.saturating_sub(earlier.pubsub.messages),
                gaps: self.pubsub.gaps.saturating_sub(earlier.pubsub.gaps),
                ..self.pubsub
            },
            bytes_sent: self.bytes_sent.saturating_sub(earlier.bytes_sent),
            bytes_received: self.bytes_received.saturating_sub(earlier.bytes_received),
            ..Self::of_commands(commands)
        }
    }
}

impl CommandSnapshot {
    fn since(&self, earlier: &Self) -> Self {
        let latency = self.latency.since(&earlier.latency);
        let failures = self.failures.since(&earlier.failures);
        Self {
            name: self.name.clone(),
            calls: latency.count + failures.total(),
            errors: self.errors.saturating_sub(earlier.errors),
            failures,
            retries: self.retries.saturating_sub(earlier.retries),
            not_waited_for: self.not_waited_for.saturating_sub(earlier.not_waited_for),
            cache_misses_answered: self
                .cache_misses_answered
                .saturating_sub(earlier.cache_misses_answered),
            cache_writes_dropped: self
                .cache_writes_dropped
                .saturating_sub(earlier.cache_writes_dropped),
            latency,
        }
    }
}

impl Failures {
    /// All classes together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.not_sent + self.unknown + self.server_down + self.refused + self.closed
    }

    fn zip(&self, other: &Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            not_sent: with(self.not_sent, other.not_sent),
            unknown: with(self.unknown, other.unknown),
            server_down: with(self.server_down, other.server_down),
            refused: with(self.refused, other.refused),
            closed: with(self.closed, other.closed),
            timeout: with(self.timeout, other.timeout),
            full: with(self.full, other.full),
            dropped: with(self.dropped, other.dropped),
        }
    }

    fn add(&mut self, other: &Self) {
        *self = self.zip(other, u64::saturating_add);
    }

    fn since(&self, earlier: &Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }
}

impl Latency {
    pub(super) fn of_buckets(buckets: Vec<LatencyBucket>, sum_us: u64, max_us: u64) -> Self {
        let count: u64 = buckets.iter().map(|bucket| bucket.count).sum();
        let at = |per_mille: u64| percentile_us(&buckets, count, per_mille).min(max_us);
        Self {
            count,
            sum_us,
            mean_us: sum_us.checked_div(count).unwrap_or(0),
            p50_us: at(500),
            p90_us: at(900),
            p99_us: at(990),
            p999_us: at(999),
            max_us,
            buckets,
        }
    }

    fn since(&self, earlier: &Self) -> Self {
        let buckets: Vec<LatencyBucket> = self
            .buckets
            .iter()
            .map(|now| {
                let then = earlier
                    .buckets
                    .iter()
                    .find(|then| then.from_us == now.from_us);
                LatencyBucket {
                    count: now.count.saturating_sub(then.map_or(0, |then| then.count)),
                    ..*now
                }
            })
            .filter(|bucket| bucket.count > 0)
            .collect();
        let highest_us = buckets.last().map_or(0, |bucket| bucket.to_us - 1);
        // A new maximum was measured in this time; an old one says nothing about it.
        let max_us = if self.max_us > earlier.max_us {
            self.max_us
        } else {
            highest_us.min(self.max_us)
        };
        Self::of_buckets(buckets, self.sum_us.saturating_sub(earlier.sum_us), max_us)
    }
}

/// The middle of the bucket that holds the value of this rank (nearest rank).
fn percentile_us(buckets: &[LatencyBucket], count: u64, per_mille: u64) -> u64 {
    let rank = (u128::from(count) * u128::from(per_mille)).div_ceil(1000) as u64;
    let mut seen = 0;
    for bucket in buckets {
        seen += bucket.count;
        if seen >= rank {
            return bucket.from_us + (bucket.to_us - 1 - bucket.from_us) / 2;
        }
    }
    0
}
