//! What became of a write when the connection broke: the answer is never wrong.

use super::{PATIENCE, Proxied, ask, cmd, query, seeded};
use crate::fixture::{Cut, FaultProxy, eventually};
use keyway::{Cluster, Error, ErrorKind};
use redis::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    acknowledged: u64,
    unknown: u64,
    not_executed: u64,
}

impl Count {
    fn add(&mut self, result: &Result<Value, Error>) {
        match result {
            Ok(_) => self.acknowledged += 1,
            Err(error) => match error.kind() {
                ErrorKind::Unknown => self.unknown += 1,
                ErrorKind::NotSent | ErrorKind::ServerDown => self.not_executed += 1,
                _ => panic!("no such failure is possible here: {error:?}"),
            },
        }
    }
}

/// Cuts connections in every way there is, until told to stop. Returns how often.
async fn cut_at_random(proxies: &[FaultProxy], rng: &mut fastrand::Rng, stop: &AtomicBool) -> u64 {
    let mut cuts = 0;
    while !stop.load(Ordering::Relaxed) {
        let proxy = &proxies[rng.usize(..proxies.len())];
        proxy.cut_by(if rng.bool() { Cut::Reset } else { Cut::Fin });
        match rng.u32(..5) {
            0 => proxy.cut_all(),
            1 | 2 => proxy.cut_after_bytes_to_server(rng.u64(..2_000)),
            _ => proxy.cut_after_bytes_to_client(rng.u64(..1_000)),
        }
        cuts += 1;
        tokio::time::sleep(Duration::from_micros(rng.u64(500..10_000))).await;
    }
    cuts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_ten_thousand_increments_with_random_cuts_none_is_applied_twice_and_none_is_lost() {
    let mut rng = seeded("over_ten_thousand_increments");
    let settings = "[timeouts]\nresponse = \"3s\"\n[retry]\nbackoff_max = \"5ms\"\n";
    let proxied = Proxied::start(2, settings).await;
    let cluster = proxied.connect().await;
    const KEYS: u32 = 100;
    let work = (0..16).map(|task| {
        let (cluster, mut rng) = (cluster.clone(), rng.fork());
        tokio::spawn(async move {
            let mut counts: HashMap<String, Count> = HashMap::new();
            let mut done = 0;
            while done < 700 {
                let keys: Vec<String> = (0..if task % 4 == 0 { rng.u32(1..30) } else { 1 })
                    .map(|_| format!("n{}", rng.u32(..KEYS)))
                    .collect();
                done += keys.len();
                let results: Vec<Result<Value, Error>> = match keys.as_slice() {
                    [key] => vec![cluster.query(cmd("INCR").arg(key)).await],
                    _ => {
                        let mut batch = cluster.batch();
                        for key in &keys {
                            let _ = batch.add::<i64>(cmd("INCR").arg(key).clone());
                        }
                        batch.send().await.into_results().collect()
                    }
                };
                for (key, result) in keys.into_iter().zip(results) {
                    counts.entry(key).or_default().add(&result);
                }
            }
            counts
        })
    });
    let work: Vec<_> = work.collect();
    let stop = AtomicBool::new(false);
    let working = async {
        let counts = futures::future::join_all(work).await;
        stop.store(true, Ordering::Relaxed);
        counts
    };
    let (counts, cuts) = tokio::join!(working, cut_at_random(&proxied.proxies, &mut rng, &stop));
    let mut total: HashMap<String, Count> = HashMap::new();
    for counts in counts {
        for (key, count) in counts.unwrap() {
            let sum = total.entry(key).or_default();
            sum.acknowledged += count.acknowledged;
            sum.unknown += count.unknown;
            sum.not_executed += count.not_executed;
        }
    }
    let mut all = Count::default();
    let mut redis = Vec::new();
    for server in &proxied.fixture.servers {
        redis.push(server.connection().await);
    }
    for (key, count) in &total {
        let at: usize = cluster.locate(key).server[1..].parse().unwrap();
        let value: Option<u64> = cmd("GET")
            .arg(key)
            .query_async(&mut redis[at])
            .await
            .unwrap();
        let value = value.unwrap_or(0);
        assert!(
            (count.acknowledged..=count.acknowledged + count.unknown).contains(&value),
            "{key} is {value}: {count:?}"
        );
        all.acknowledged += count.acknowledged;
        all.unknown += count.unknown;
        all.not_executed += count.not_executed;
    }
    assert!(
        all.acknowledged + all.unknown + all.not_executed >= 10_000,
        "{all:?}"
    );
    assert!(all.acknowledged > 5_000, "{all:?} over {cuts} cuts");
    assert!(
        all.unknown > 10,
        "the cuts have met writes: {all:?} over {cuts} cuts"
    );
}

#[tokio::test]
async fn a_write_whose_deadline_passes_half_way_into_the_socket_is_unknown_and_one_behind_it_is_not_sent()
 {
    let settings = "[timeouts]\nresponse = \"10s\"\ndead = \"60s\"\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied.connect().await;
    proxied.proxies[0].stall_to_server(true);
    // More than the buffers of two sockets and of the proxy hold.
    let large = "x".repeat(48 << 20);
    let hasty = cluster.with_timeout(Duration::from_secs(3));
    let set = redis::cmd("SET").arg("large").arg(&large).to_owned();
    let (half_written, behind) = tokio::join!(hasty.query::<()>(&set), async {
        // The driver has taken the first and cannot take more.
        eventually("bytes are on their way", PATIENCE, async || {
            cluster.stats().servers[0].bytes_sent > 64 << 10
        })
        .await;
        hasty.query::<i64>(&cmd("INCR behind")).await
    });
    let half_written = half_written.unwrap_err();
    let behind = behind.unwrap_err();
    assert!(
        half_written.is_timeout() && behind.is_timeout(),
        "{half_written} {behind}"
    );
    assert_eq!(behind.kind(), ErrorKind::NotSent, "{behind}");
    proxied.proxies[0].stall_to_server(false);
    query::<String>(&cluster, "PING").await.unwrap();
    let exists: bool = ask(&proxied.fixture.servers[0], "EXISTS large").await;
    assert!(exists, "the rest of it was written once the server took it");
    assert_eq!(half_written.kind(), ErrorKind::Unknown, "{half_written}");
    let exists: bool = ask(&proxied.fixture.servers[0], "EXISTS behind").await;
    assert!(!exists, "{behind}");
}

#[tokio::test]
async fn after_a_failed_position_of_a_long_pipeline_nothing_later_of_its_node_runs() {
    let mut rng = seeded("after_a_failed_position");
    // Pieces of 1,000 wait for one another.
    let settings = "[timeouts]\nresponse = \"5s\"\n[limits]\nin_flight_max = 1000\n[retry]\nbackoff_max = \"2ms\"\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied.connect().await;
    let proxy = &proxied.proxies[0];
    let mut broken = 0;
    for round in 0..12 {
        let list = format!("list{round}");
        let mut batch = cluster.batch();
        for i in 0..4_000 {
            let _ = batch.add::<i64>(redis::cmd("RPUSH").arg(&list).arg(i).to_owned());
        }
        eventually("it is up", PATIENCE, async || cluster.health().is_ready()).await;
        match round % 2 {
            0 => proxy.cut_after_bytes_to_server(rng.u64(..150_000)),
            _ => proxy.cut_after_bytes_to_client(rng.u64(..20_000)),
        }
        let results: Vec<Result<Value, Error>> = batch.send().await.into_results().collect();
        let there: Vec<usize> =
            ask(&proxied.fixture.servers[0], &format!("LRANGE {list} 0 -1")).await;
        assert!(
            there.iter().enumerate().all(|(at, element)| at == *element),
            "round {round}: in order and without gaps: {there:?}"
        );
        for (at, result) in results.iter().enumerate() {
            match result {
                Ok(_) => assert!(at < there.len(), "round {round}, {at}"),
                Err(error) if error.kind() == ErrorKind::Unknown => {}
                Err(error) => assert!(at >= there.len(), "round {round}, {at}: {error}"),
            }
        }
        broken += u32::from(results.iter().any(Result::is_err));
    }
    assert!(broken >= 3, "{broken}");
}

/// Bulk uploads through a network that takes its time must not look like a dead server.
#[tokio::test]
async fn a_long_upload_that_makes_progress_is_no_dead_connection() {
    let settings = "[timeouts]\nresponse = \"1s\"\ndead = \"2500ms\"\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied.connect().await;
    let patient: Cluster = cluster.bulk().with_timeout(PATIENCE);
    query::<String>(&patient, "PING").await.unwrap();
    proxied.proxies[0].bytes_per_second(Some(8 << 20));
    // Four seconds, of which the buffers on the way hide less than two.
    let large = "x".repeat(32 << 20);
    let set = redis::cmd("SET").arg("large").arg(&large).to_owned();
    patient.query::<()>(&set).await.unwrap();
    let length: usize = ask(&proxied.fixture.servers[0], "STRLEN large").await;
    assert_eq!(length, large.len());
}
