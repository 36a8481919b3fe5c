#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::histogram::{Histogram, bucket_of, lower_us};
use super::*;

const NAMES: [&str; 3] = ["GET", "SET", "DEL"];

fn stats() -> ServerStats {
    ServerStats::new("a".into(), NAMES.len() as u16, |command| {
        NAMES[usize::from(command)]
    })
}

fn error(text: &str) -> redis::ServerError {
    match redis::parse_redis_value(format!("-{text}\r\n").as_bytes()) {
        Ok(redis::Value::ServerError(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn us(us: u64) -> Duration {
    Duration::from_micros(us)
}

#[test]
fn buckets_adjoin_and_hold_their_values() {
    let mut bucket = 0;
    for us in (0..100_000).chain((100_000..1 << 26).step_by(997)) {
        let of = bucket_of(us);
        assert!(of == bucket || lower_us(of) <= us && of > bucket, "{us}");
        assert!(lower_us(of) <= us && us < lower_us(of + 1), "{us} in {of}");
        bucket = of;
    }
    assert_eq!(bucket_of((1 << 26) - 1), bucket_of(u64::MAX));
}

#[test]
fn latencies_of_a_known_series() {
    let histogram = Histogram::default();
    for value in 1..=10 {
        histogram.record(us(value));
    }
    let latency = histogram.snapshot();
    assert_eq!(
        (latency.count, latency.sum_us, latency.mean_us),
        (10, 55, 5)
    );
    assert_eq!((latency.p50_us, latency.p90_us, latency.p99_us), (5, 9, 10));
    assert_eq!((latency.p999_us, latency.max_us), (10, 10));
}

#[test]
fn nothing_measured_is_all_zero() {
    assert_eq!(Histogram::default().snapshot(), Latency::default());
}

#[test]
fn what_is_too_long_saturates() {
    let histogram = Histogram::default();
    histogram.record(Duration::from_secs(3600));
    histogram.record(Duration::MAX);
    let latency = histogram.snapshot();
    assert_eq!(latency.count, 2);
    assert!(
        (60_000_000..68_000_000).contains(&latency.p50_us),
        "{}",
        latency.p50_us
    );
    assert_eq!(latency.max_us, 1 << 40);
    assert_eq!(latency.sum_us, 3_600_000_000 + (1 << 40));
}

#[test]
fn durations_are_rounded_to_the_nearest_microsecond() {
    let histogram = Histogram::default();
    histogram.record(Duration::from_nanos(1_499));
    histogram.record(Duration::from_nanos(1_500));
    assert_eq!(histogram.snapshot().sum_us, 1 + 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(keyway_testing::swept(64, 256)))]

    #[test]
    fn percentiles_are_within_their_error(
        latencies in vec(prop_oneof![0u64..100, 100u64..10_000, 10_000u64..60_000_000], 1..2000),
    ) {
        let histogram = Histogram::default();
        for value in &latencies {
            histogram.record(us(*value));
        }
        let mut sorted = latencies.clone();
        sorted.sort_unstable();
        let latency = histogram.snapshot();
        for (measured, per_mille) in
            [(latency.p50_us, 500), (latency.p90_us, 900), (latency.p99_us, 990), (latency.p999_us, 999)]
        {
            let exact = sorted[(sorted.len() * per_mille).div_ceil(1000) - 1];
            let error = measured.abs_diff(exact) as f64;
            prop_assert!(error <= exact as f64 * 0.032, "{per_mille} per mille: {measured}, exactly {exact}");
        }
        prop_assert_eq!(latency.max_us, sorted[sorted.len() - 1]);
        prop_assert_eq!(latency.sum_us, sorted.iter().sum::<u64>());
        prop_assert_eq!(latency.mean_us, latency.sum_us / latency.count);
    }

    #[test]
    fn a_difference_is_what_the_later_calls_alone_give(
        before in vec(0u64..100_000, 0..200),
        after in vec(0u64..100_000, 0..200),
    ) {
        let (both, later) = (stats(), stats());
        let add = |stats: &ServerStats, latencies: &[u64]| {
            for value in latencies {
                let wrong = error("WRONGTYPE x");
                stats.reply((value % 3) as u16, us(*value), (value % 7 == 0).then_some(&wrong));
                if value % 5 == 0 {
                    stats.failure((value % 3) as u16, Failure::in_part(Class::Unknown, Part::Timeout));
                }
                stats.sent(*value as usize);
            }
        };
        let snapshot = |stats: &ServerStats| StatsSnapshot { servers: vec![stats.snapshot(0)], ..StatsSnapshot::default() };
        add(&both, &before);
        let earlier = snapshot(&both);
        add(&both, &after);
        add(&later, &after);
        let mut difference = snapshot(&both).since(&earlier).servers.remove(0);
        let mut expected = later.snapshot(0);
        // A command without calls is an empty row in one and no row in the other.
        difference.commands.retain(|command| command.calls > 0);
        // All but the maximum is the same; that is known to a bucket.
        for (ours, exact) in difference.commands.iter_mut().zip(&mut expected.commands) {
            let (ours, exact) = (&mut ours.latency, &mut exact.latency);
            prop_assert!(ours.max_us as f64 <= exact.max_us as f64 * 1.07 && ours.max_us >= exact.max_us);
            for latency in [ours, exact] {
                *latency = Latency::of_buckets(std::mem::take(&mut latency.buckets), latency.sum_us, u64::MAX);
            }
        }
        prop_assert_eq!(difference, expected);
    }
}

#[test]
fn every_count_is_where_it_belongs() {
    let stats = stats();
    stats.reply(0, us(100), None);
    stats.reply(0, us(300), Some(&error("WRONGTYPE no")));
    stats.reply(1, us(200), Some(&error("LOADING wait")));
    for (failure, times) in [
        (Failure::in_part(Class::Unknown, Part::Timeout), 1),
        (Failure::of(Class::NotSent), 2),
        (Failure::of(Class::Unknown), 3),
        (Failure::of(Class::ServerDown), 4),
        (Failure::in_part(Class::NotSent, Part::Dropped), 5),
        (Failure::of(Class::Refused), 6),
        (Failure::in_part(Class::NotSent, Part::Full), 7),
        (Failure::of(Class::Closed), 8),
    ] {
        for _ in 0..times {
            stats.failure(1, failure);
        }
    }
    stats.retried(1);
    stats.cache_miss_answered(0);
    stats.cache_miss_answered(0);
    stats.cache_write_dropped(1);
    stats.connected();
    stats.connected();
    stats.disconnected();
    stats.dial_failed();
    stats.dial_failed();
    stats.connected();
    stats.sent(10);
    stats.received(20);

    let snapshot = stats.snapshot(3);
    assert_eq!(snapshot.name, "a");
    assert_eq!(
        (snapshot.calls, snapshot.replies, snapshot.retries),
        (3 + 36, 3, 1)
    );
    assert_eq!(
        snapshot.errors,
        [("LOADING".to_owned(), 1), ("WRONGTYPE".to_owned(), 1)].into()
    );
    let failures = Failures {
        not_sent: 2 + 5 + 7,
        unknown: 1 + 3,
        server_down: 4,
        refused: 6,
        closed: 8,
        timeout: 1,
        full: 7,
        dropped: 5,
    };
    assert_eq!(snapshot.failures, failures);
    assert_eq!(failures.total(), 36, "a part is counted in its class");
    assert_eq!(
        (snapshot.connects, snapshot.disconnects, snapshot.reconnects),
        (3, 1, 1)
    );
    assert_eq!((snapshot.dial_failures, snapshot.in_flight), (2, 3));
    assert_eq!((snapshot.bytes_sent, snapshot.bytes_received), (10, 20));
    assert_eq!(
        (
            snapshot.cache_misses_answered,
            snapshot.cache_writes_dropped
        ),
        (2, 1)
    );

    // DEL was never used.
    let [get, set] = &snapshot.commands[..] else {
        panic!("{:?}", snapshot.commands)
    };
    assert_eq!(
        (
            get.name.as_str(),
            get.calls,
            get.errors,
            get.latency.mean_us
        ),
        ("GET", 2, 1, 200)
    );
    assert_eq!((set.name.as_str(), set.calls, set.errors), ("SET", 37, 1));
    assert_eq!(
        (set.failures, set.retries, set.cache_writes_dropped),
        (failures, 1, 1)
    );
}

#[test]
fn error_codes_are_bounded_and_are_codes() {
    let stats = stats();
    for code in 0..100 {
        stats.reply(0, us(1), Some(&error(&format!("CODE{code:03} x"))));
    }
    for text in ["user:42 is no code", "", &"X".repeat(33)] {
        stats.reply(0, us(1), Some(&error(text)));
    }
    stats.reply(0, us(1), Some(&error("CODE000 again")));
    let errors = stats.snapshot(0).errors;
    assert_eq!(errors.len(), 33);
    assert_eq!(errors["CODE000"], 2);
    assert_eq!(errors["other"], 68 + 3);
    assert_eq!(errors.values().sum::<u64>(), 104);
}

#[test]
fn no_count_is_lost_between_threads() {
    let stats = Arc::new(stats());
    let wrong = error("WRONGTYPE x");
    thread::scope(|scope| {
        for thread in 0..8u64 {
            let (stats, wrong) = (&stats, &wrong);
            scope.spawn(move || {
                for call in 0..10_000u64 {
                    let command = (call % 3) as u16;
                    stats.reply(
                        command,
                        us(thread * 10_000 + call),
                        (call % 100 == 0).then_some(wrong),
                    );
                    stats.failure(command, Failure::in_part(Class::NotSent, Part::Dropped));
                    stats.sent(3);
                    if call % 1000 == 0 {
                        stats.disconnected();
                        stats.connected();
                        let snapshot = stats.snapshot(0);
                        assert_eq!(snapshot.calls, snapshot.replies + snapshot.failures.total());
                    }
                }
            });
        }
    });
    let snapshot = stats.snapshot(0);
    assert_eq!(
        (snapshot.replies, snapshot.failures.dropped),
        (80_000, 80_000)
    );
    assert_eq!(snapshot.errors["WRONGTYPE"], 800);
    assert_eq!((snapshot.in_flight, snapshot.bytes_sent), (0, 240_000));
    assert_eq!(
        (snapshot.disconnects, snapshot.connects, snapshot.reconnects),
        (80, 80, 80)
    );
    let sum: u64 = snapshot
        .commands
        .iter()
        .map(|command| command.latency.sum_us)
        .sum();
    assert_eq!(sum, 80_000 * 79_999 / 2);
    assert_eq!(
        snapshot
            .commands
            .iter()
            .map(|command| command.latency.max_us)
            .max(),
        Some(79_999)
    );
}

#[test]
fn unused_commands_cost_a_pointer() {
    let stats = ServerStats::new("a".into(), 300, |_| "");
    assert!(stats.commands_in_use() == 0 && stats.snapshot(0).commands.is_empty());
    stats.reply(7, us(1), None);
    assert_eq!(stats.commands_in_use(), 1);
}

#[test]
fn a_snapshot_survives_json_and_older_writers() {
    let stats = stats();
    stats.reply(0, us(100), Some(&error("WRONGTYPE no")));
    stats.failure(2, Failure::in_part(Class::NotSent, Part::Full));
    let snapshot = StatsSnapshot {
        servers: vec![stats.snapshot(0)],
        ..StatsSnapshot::default()
    };
    let json = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(
        serde_json::from_str::<StatsSnapshot>(&json).unwrap(),
        snapshot
    );
    // Fields that a later version adds are missing in what an earlier one wrote.
    let old: StatsSnapshot = serde_json::from_str(r#"{"servers":[{"name":"a"}]}"#).unwrap();
    assert_eq!(
        (old.servers[0].name.as_str(), old.servers[0].calls),
        ("a", 0)
    );
}
