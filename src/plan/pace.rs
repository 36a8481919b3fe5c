//! How fast data moves, and what that makes of a move: a model of bandwidth and latency, by the protocol that moves will follow.
//!
//! With `source` all that the source holds, `moved` what leaves it, and every name a field of [`Pace`]:
//!
//! | part | [`MoveKind::Split`] | [`MoveKind::Migrate`] |
//! |---|---|---|
//! | copy | sync_delay + 0.5 s + source.bytes / (copy_bytes_per_s - write_bytes_per_s) | source.keys / scan_keys_per_s + moved.keys / install_keys_per_s + moved.bytes / copy_bytes_per_s |
//! | freeze | split_work + barrier + drain + 8 round trips | migrate_work + barrier + 5.5 round trips |
//! | purge | source.keys / scan_keys_per_s + max(moved.keys, source.keys - moved.keys) / remove_keys_per_s | source.keys / scan_keys_per_s + moved.keys / remove_keys_per_s |
//!
//! - A split copies all of the source by a full synchronization, then freezes, then removes on both servers at once what belongs to the other. The
//!   half second is the mean wait for the replica's first acknowledgement, which comes within a second (Redis's replication cron). Writes of
//!   clients go to the destination by the same stream, so they slow the copy.
//! - A migrate freezes first, then installs key by key, then removes on the source.
//! - barrier: until no connection of an older epoch is left. Clients hear of the new epoch and rename themselves (1.04 ms and 2 round trips),
//!   then one CLIENT LIST must show it: on average half a period of polling (0.5 ms and the list) and the list itself. The list takes a round trip
//!   and client_list_ns_per_connection for each connection.
//! - drain: until the destination has applied what the source had accepted: 1.05 ms, and what at most 20 ms of writes take, since a mover
//!   does not freeze before the destination is that close.
//!
//! Not in it: commands that run long (a freeze lasts at least as long as the longest of them), clients that hang (they are cut off after 250 to 500
//! ms), the look for leftovers on the destination of a migrate, and servers that are busy: a busy server is slower than one that is idle.
//!
//! The parts of a freeze and the rates of keys are what a prototype (Python, Redis 7.0.15, loopback, two shared cores) measured; the tests below name
//! each figure. The other defaults were measured beside it: a full synchronization of 1,000,000 keys of 184 B took 1.78 s, 99 MiB/s, and made the
//! source's thread work 5 to 10 % of the time and the destination's 49 %; values of 20 kB came at 230 MiB/s. With the stock delay of 5 s, small
//! data was there after 5.1 to 5.6 s. A key took 3.4 us of the source's time to read and 5.6 us of the destination's to install (small values),
//! and removing at the rate above 23 % of a thread.

use super::{MoveKind, NodeSize};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Mean wait for Redis's replication cron, once a second. Measured: 50 to 1,000 ms for a small copy without a delay, 5.1 to 5.6 s with one of 5 s.
const CRON_S: f64 = 0.5;
/// From the publication of an epoch until clients have renamed their connections, round trips aside. Measured: a barrier of 1.6 ms at 16
/// connections, of which this is what is left.
const CLIENTS_SWITCH_S: f64 = 1.04e-3;
/// Pause of the mover between two CLIENT LISTs.
const BARRIER_POLL_S: f64 = 0.5e-3;
/// Until the destination of a split has what was under way, without writes. Measured: 0.8 to 1.3 ms.
const DRAIN_S: f64 = 1.05e-3;
/// How far behind the destination may be when a split freezes.
const LAG_MAX_S: f64 = 20e-3;
/// One after another in a split's freeze: the two changes of the topology, fence, INFO, the drain's look, promotion, guard, fence.
const SPLIT_ROUND_TRIPS: f64 = 8.0;
/// In a migrate's: the two changes of the topology, two fences, the marker, and half of one until clients hear of the last change.
const MIGRATE_ROUND_TRIPS: f64 = 5.5;
/// What stands for never: about 30 years. Infinities and NaN end here too.
const SECONDS_MAX: f64 = 1e9;

/// How fast servers and the network between them are. The defaults are what a prototype of the move protocol reached on two shared cores and
/// loopback: measure your own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Pace {
    /// What a full synchronization carries, in bytes of a server's memory per second, from the fork on until it is loaded.
    pub copy_bytes_per_s: u64,
    /// What clients write to one server meanwhile, in bytes per second. Default: 0.
    pub write_bytes_per_s: u64,
    /// How long a server waits before a full synchronization, in milliseconds: its `repl-diskless-sync-delay`. Default: 5,000, that of Redis 7.
    pub sync_delay_ms: u64,
    /// Keys that a mover reads on one server and installs on another, per second; small ones, since their bytes are added.
    pub install_keys_per_s: u64,
    /// Keys that a SCAN passes, per second.
    pub scan_keys_per_s: u64,
    /// Keys that are removed where they do not belong any more, per second, the SCAN that finds them not counted.
    pub remove_keys_per_s: u64,
    /// One round trip between a client or mover and a server, in microseconds.
    pub round_trip_us: u64,
    /// Connections of clients per server: the barrier of a freeze looks at all of them.
    pub connections: u64,
    /// What CLIENT LIST takes for each connection, in nanoseconds, its round trip not counted.
    pub client_list_ns_per_connection: u64,
    /// What a mover and its clients work in the freeze of a split, in microseconds: all that is no round trip, barrier or drain.
    pub split_work_us: u64,
    /// The same in the freeze of a migrate.
    pub migrate_work_us: u64,
    /// Commands per second that one server can take.
    pub commands_per_s_max: u64,
    /// What moves take of a server's one thread.
    pub load: MoveLoad,
}

/// What moves take of a server's one thread while they go at full pace: fractions, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MoveLoad {
    /// A full synchronization, of the source.
    pub copy_source: f64,
    /// A full synchronization, of the destination, which serves nothing yet.
    pub copy_destination: f64,
    /// Reading keys, of the source.
    pub install_source: f64,
    /// Installing keys, of the destination.
    pub install_destination: f64,
    /// Removing what was left behind.
    pub purge: f64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            copy_bytes_per_s: 100 << 20,
            write_bytes_per_s: 0,
            sync_delay_ms: 5_000,
            install_keys_per_s: 43_900,
            scan_keys_per_s: 364_000,
            remove_keys_per_s: 124_600,
            round_trip_us: 80,
            connections: 16,
            client_list_ns_per_connection: 1_200,
            split_work_us: 7_760,
            migrate_work_us: 6_460,
            commands_per_s_max: 100_000,
            load: MoveLoad::default(),
        }
    }
}

impl Default for MoveLoad {
    fn default() -> MoveLoad {
        MoveLoad {
            copy_source: 0.1,
            copy_destination: 0.5,
            install_source: 0.15,
            install_destination: 0.25,
            purge: 0.25,
        }
    }
}

/// How long a move takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MoveTime {
    /// Until all data is there.
    pub copy: Duration,
    /// While the nodes take no command: callers wait.
    pub freeze: Duration,
    /// Until what was left behind is removed.
    pub purge: Duration,
}

impl MoveTime {
    /// From the begin to the end: the parts follow each other.
    pub fn total(&self) -> Duration {
        self.copy
            .saturating_add(self.freeze)
            .saturating_add(self.purge)
    }
}

impl Pace {
    /// How long one move takes if nothing else goes on: of all that the source holds, `moved` goes to another server.
    ///
    /// Of a pace that [`check`](Self::check) refuses, times may stand for never: they end at a billion seconds.
    pub fn time(&self, kind: MoveKind, source: NodeSize, moved: NodeSize) -> MoveTime {
        let parts = self.parts(kind, source, moved);
        MoveTime {
            copy: duration(parts.wait_s + parts.copy_s),
            freeze: duration(parts.freeze_s),
            purge: duration(parts.purge_s),
        }
    }

    /// What a source must keep for the destination of a split while it copies, in bytes: the writes of clients meanwhile. Its
    /// `client-output-buffer-limit` for replicas must allow that, and its memory must have room for it.
    pub fn backlog_bytes(&self, source: NodeSize) -> u64 {
        let copy = duration(source.bytes as f64 / self.copy_bytes_per_s as f64);
        let bytes = u128::from(self.write_bytes_per_s) * copy.as_millis() / 1_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How long a CLIENT LIST takes.
    pub fn client_list(&self) -> Duration {
        duration(self.client_list_s())
    }

    /// From the publication of a new epoch until no connection of an older one is left.
    pub fn barrier(&self) -> Duration {
        duration(self.barrier_s())
    }

    /// Says what of it cannot be.
    ///
    /// # Errors
    /// The field, and why its value is refused.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let rates = [
            ("copy_bytes_per_s", self.copy_bytes_per_s),
            ("install_keys_per_s", self.install_keys_per_s),
            ("scan_keys_per_s", self.scan_keys_per_s),
            ("remove_keys_per_s", self.remove_keys_per_s),
            ("commands_per_s_max", self.commands_per_s_max),
        ];
        for (field, value) in rates {
            if value == 0 {
                return Err((field, "0: expected at least 1 per second".to_owned()));
            }
        }
        if self.write_bytes_per_s >= self.copy_bytes_per_s {
            let why = format!(
                "{} B/s: expected less than copy_bytes_per_s, {} B/s, or a copy never catches up with the writes",
                self.write_bytes_per_s, self.copy_bytes_per_s
            );
            return Err(("write_bytes_per_s", why));
        }
        let limits = [
            ("sync_delay_ms", self.sync_delay_ms, 3_600_000),
            ("round_trip_us", self.round_trip_us, 10_000_000),
            ("connections", self.connections, 1_000_000),
            (
                "client_list_ns_per_connection",
                self.client_list_ns_per_connection,
                1_000_000,
            ),
            ("split_work_us", self.split_work_us, 10_000_000),
            ("migrate_work_us", self.migrate_work_us, 10_000_000),
        ];
        for (field, value, max) in limits {
            if value > max {
                return Err((field, format!("{value}: expected at most {max}")));
            }
        }
        let loads = [
            ("load.copy_source", self.load.copy_source),
            ("load.copy_destination", self.load.copy_destination),
            ("load.install_source", self.load.install_source),
            ("load.install_destination", self.load.install_destination),
            ("load.purge", self.load.purge),
        ];
        for (field, value) in loads {
            if !(0.0..=1.0).contains(&value) {
                return Err((field, format!("{value}: expected a fraction, 0 to 1")));
            }
        }
        Ok(())
    }

    pub(crate) fn parts(&self, kind: MoveKind, source: NodeSize, moved: NodeSize) -> Parts {
        let bytes = |bytes: u64, per_s: u64| bytes as f64 / per_s as f64;
        let scan_s = source.keys as f64 / self.scan_keys_per_s as f64;
        let remove_s = |keys: u64| keys as f64 / self.remove_keys_per_s as f64;
        match kind {
            MoveKind::Split => {
                let left = source.keys.saturating_sub(moved.keys);
                let copy_per_s = self.copy_bytes_per_s.saturating_sub(self.write_bytes_per_s);
                let lag_s =
                    LAG_MAX_S * self.write_bytes_per_s as f64 / self.copy_bytes_per_s as f64;
                Parts {
                    wait_s: self.sync_delay_ms as f64 * 1e-3 + CRON_S,
                    copy_s: seconds(bytes(source.bytes, copy_per_s)),
                    freeze_s: self.split_work_us as f64 * 1e-6
                        + self.barrier_s()
                        + DRAIN_S
                        + seconds(lag_s)
                        + SPLIT_ROUND_TRIPS * self.round_trip_s(),
                    purge_s: seconds(scan_s + remove_s(moved.keys.max(left))),
                }
            }
            MoveKind::Migrate => Parts {
                wait_s: 0.0,
                copy_s: seconds(
                    scan_s
                        + moved.keys as f64 / self.install_keys_per_s as f64
                        + bytes(moved.bytes, self.copy_bytes_per_s),
                ),
                freeze_s: self.migrate_work_us as f64 * 1e-6
                    + self.barrier_s()
                    + MIGRATE_ROUND_TRIPS * self.round_trip_s(),
                purge_s: seconds(scan_s + remove_s(moved.keys)),
            },
        }
    }

    fn round_trip_s(&self) -> f64 {
        self.round_trip_us as f64 * 1e-6
    }

    fn client_list_s(&self) -> f64 {
        let connections_s =
            self.connections as f64 * (self.client_list_ns_per_connection as f64 * 1e-9);
        self.round_trip_s() + connections_s
    }

    fn barrier_s(&self) -> f64 {
        let list_s = self.client_list_s();
        CLIENTS_SWITCH_S + 2.0 * self.round_trip_s() + (BARRIER_POLL_S + list_s) / 2.0 + list_s
    }
}

/// The parts of a move in seconds, and which of them several moves of one server share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Parts {
    /// Before copying: nobody works.
    pub(crate) wait_s: f64,
    /// Copying: shared.
    pub(crate) copy_s: f64,
    /// The freeze: not shared.
    pub(crate) freeze_s: f64,
    /// Removing: shared.
    pub(crate) purge_s: f64,
}

/// Division by 0 gives an infinity or, of nothing, NaN, which is no time at all.
fn seconds(seconds: f64) -> f64 {
    seconds.clamp(0.0, SECONDS_MAX).max(0.0)
}

fn duration(s: f64) -> Duration {
    Duration::from_secs_f64(seconds(s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(keys: u64, bytes: u64) -> NodeSize {
        NodeSize { keys, bytes }
    }

    fn ms(duration: Duration) -> f64 {
        duration.as_secs_f64() * 1e3
    }

    #[track_caller]
    fn near(found: f64, expected: f64, tolerance: f64) {
        let off = (found - expected).abs();
        assert!(
            off <= tolerance * expected,
            "{found} is not within {tolerance} of {expected}"
        );
    }

    #[test]
    fn a_freeze_takes_what_the_prototype_measured() {
        let (source, moved) = (size(1_200, 120_000), size(600, 60_000));
        // Measured p50 of the freeze of a split: 10.1 ms with 6 clients, 11.1 with the final code, 12.7 with 8 clients of 2 connections.
        let split = Pace::default().time(MoveKind::Split, source, moved);
        assert!(
            (10.1..=12.7).contains(&ms(split.freeze)),
            "{:?}",
            split.freeze
        );
        near(ms(split.freeze), 11.05, 0.01);
        // Of a migrate: 8.5 ms.
        let migrate = Pace::default().time(MoveKind::Migrate, source, moved);
        near(ms(migrate.freeze), 8.5, 0.01);
        // The barrier alone, 16 connections: 1.6 to 1.7 ms.
        near(ms(Pace::default().barrier()), 1.6, 0.02);
    }

    #[test]
    fn a_client_list_takes_what_was_measured_at_every_number_of_connections() {
        for (connections, measured_ms) in [(16, 0.1), (64, 0.15), (500, 0.62), (2_000, 2.7)] {
            let pace = Pace {
                connections,
                ..Pace::default()
            };
            near(ms(pace.client_list()), measured_ms, 0.12);
        }
    }

    #[test]
    fn a_small_copy_takes_as_long_as_the_first_turn_of_the_cron() {
        // Measured, without a delay of the synchronization: 50 to 1,000 ms for about 1,200 keys.
        let pace = Pace {
            sync_delay_ms: 0,
            ..Pace::default()
        };
        let time = pace.time(MoveKind::Split, size(1_200, 120_000), size(600, 60_000));
        assert!((50.0..=1_000.0).contains(&ms(time.copy)), "{:?}", time.copy);
        near(ms(time.copy), 500.0, 0.01);
        // With the stock delay: 5.1 to 5.6 s, on average 5.4.
        let time = Pace::default().time(MoveKind::Split, size(1_200, 120_000), size(600, 60_000));
        near(ms(time.copy), 5_400.0, 0.02);
    }

    #[test]
    fn a_large_copy_takes_what_was_measured() {
        // A million keys of 184 B, the synchronization's delay and cron not counted: 1.78 s.
        let pace = Pace {
            sync_delay_ms: 0,
            ..Pace::default()
        };
        let time = pace.time(MoveKind::Split, size(1_000_000, 184_437_560), size(0, 0));
        near(time.copy.as_secs_f64() - CRON_S, 1.78, 0.02);
    }

    #[test]
    fn removing_and_installing_keys_takes_what_was_measured() {
        // 200,000 keys, half of them removed, on each of the two servers of a split: 148,000 passed and 74,000 removed per second.
        let (source, half) = (size(200_000, 20_000_000), size(100_000, 10_000_000));
        let purge = Pace::default().time(MoveKind::Split, source, half).purge;
        near(200_000.0 / purge.as_secs_f64(), 148_000.0, 0.005);
        near(100_000.0 / purge.as_secs_f64(), 74_000.0, 0.005);
        // SCAN alone: 345,000 to 383,000 keys per second.
        let nothing = Pace::default().time(MoveKind::Migrate, source, size(0, 0));
        let scanned = 200_000.0 / nothing.purge.as_secs_f64();
        assert!((345_000.0..=383_000.0).contains(&scanned), "{scanned}");
        // Installing, 100 B values: 43,900 keys per second, the SCAN not counted.
        let all = Pace::default().time(MoveKind::Migrate, half, half);
        let installing = all.copy
            - Pace::default()
                .time(MoveKind::Migrate, half, size(0, 0))
                .copy;
        near(100_000.0 / installing.as_secs_f64(), 43_900.0, 0.05);
    }

    #[test]
    fn the_worked_example_of_the_documentation_holds() {
        // 4 GiB and 10 million keys at 100 MiB/s with 20 MiB/s of writes: 4096 / 80 = 51.2 s, and 5.5 s before.
        let pace = Pace {
            write_bytes_per_s: 20 << 20,
            ..Pace::default()
        };
        let source = size(10_000_000, 4 << 30);
        let moved = size(2_000_000, 800 << 20);
        let split = pace.time(MoveKind::Split, source, moved);
        assert!((split.copy.as_secs_f64() - 56.7).abs() < 1e-6);
        // 4 ms more than without writes: 20 ms of them at a fifth of the pace.
        near(
            ms(split.freeze) - ms(Pace::default().time(MoveKind::Split, source, moved).freeze),
            4.0,
            1e-6,
        );
        // The destination removes the 8 million that stay: 27.47 s of SCAN and 64.21 s.
        near(split.purge.as_secs_f64(), 91.678, 1e-4);
        // 4096 MiB at 100 MiB/s is 40.96 s, of 20 MiB each.
        assert_eq!(pace.backlog_bytes(source), 40_960 * (20 << 20) / 1_000);
        let migrate = pace.time(MoveKind::Migrate, source, moved);
        // 27.473 s of SCAN, 45.558 s of installing, 8 s of bytes.
        near(migrate.copy.as_secs_f64(), 81.031, 1e-4);
        near(migrate.purge.as_secs_f64(), 43.524, 1e-4);
        assert_eq!(
            migrate.total(),
            migrate.copy + migrate.freeze + migrate.purge
        );
    }

    #[test]
    fn a_pace_that_cannot_be_is_refused_by_its_field() {
        let refused = |change: fn(&mut Pace)| {
            let mut pace = Pace::default();
            change(&mut pace);
            let time = pace.time(MoveKind::Split, size(u64::MAX, u64::MAX), size(1, 1));
            assert!(time.total() <= Duration::from_secs(3_000_100_000));
            pace.check().unwrap_err()
        };
        assert_eq!(Pace::default().check(), Ok(()));
        assert_eq!(refused(|p| p.scan_keys_per_s = 0).0, "scan_keys_per_s");
        assert_eq!(refused(|p| p.load.purge = f64::NAN).0, "load.purge");
        assert_eq!(refused(|p| p.connections = u64::MAX).0, "connections");
        let (field, why) = refused(|p| p.write_bytes_per_s = p.copy_bytes_per_s);
        assert_eq!(field, "write_bytes_per_s");
        assert_eq!(
            why,
            "104857600 B/s: expected less than copy_bytes_per_s, 104857600 B/s, or a copy never catches up with the writes"
        );
    }

    proptest! {
        #[test]
        fn more_data_or_a_slower_server_never_takes_less_time(
            keys in 0_u64..1 << 32, bytes in 0_u64..1 << 45, part in 0.0_f64..=1.0, slower in 1_u64..50, split: bool,
        ) {
            let kind = if split { MoveKind::Split } else { MoveKind::Migrate };
            let source = size(keys, bytes);
            let moved = size((keys as f64 * part) as u64, (bytes as f64 * part) as u64);
            let pace = Pace::default();
            let time = pace.time(kind, source, moved);
            let more = pace.time(kind, size(keys * 2, bytes * 2), moved);
            prop_assert!(more.copy >= time.copy && more.freeze >= time.freeze && more.purge >= time.purge);
            let slow = Pace {
                copy_bytes_per_s: pace.copy_bytes_per_s / slower,
                install_keys_per_s: pace.install_keys_per_s / slower,
                scan_keys_per_s: pace.scan_keys_per_s / slower,
                remove_keys_per_s: pace.remove_keys_per_s / slower,
                round_trip_us: pace.round_trip_us * slower,
                connections: pace.connections * slower,
                write_bytes_per_s: pace.copy_bytes_per_s / slower / 2,
                ..pace
            }.time(kind, source, moved);
            prop_assert!(slow.copy >= time.copy && slow.freeze >= time.freeze && slow.purge >= time.purge);
        }
    }
}
