//! Many callers and large values: every bound is met by waiting, never by a wrong answer.

use super::{PATIENCE, Proxied, ask, cmd, key_on, query, redacted};
use crate::fixture::{TestCluster, eventually};
use keyway::{Cluster, ErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_tasks_share_one_cluster_through_a_narrow_bound() {
    let settings = "[timeouts]\nresponse = \"60s\"\n[limits]\nin_flight_max = 256\n";
    let fixture = TestCluster::start(2).await.settings(settings);
    let cluster = fixture.connect().await;
    let most = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..10_000)
        .map(|i| {
            let (cluster, most) = (cluster.clone(), most.clone());
            tokio::spawn(async move {
                query::<()>(&cluster, &format!("SET k{i} v{i}"))
                    .await
                    .unwrap();
                if i % 100 == 0 {
                    let in_flight = cluster.stats().servers.iter().map(|s| s.in_flight).max();
                    most.fetch_max(in_flight.unwrap(), Ordering::Relaxed);
                }
                query::<String>(&cluster, &format!("GET k{i}"))
                    .await
                    .unwrap()
            })
        })
        .collect();
    for (i, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), format!("v{i}"));
    }
    let most = most.load(Ordering::Relaxed);
    assert!(most <= 256, "{most}");
    let sizes: u64 = query(&cluster, "DBSIZE").await.unwrap();
    assert_eq!(sizes, 10_000);
    assert!(
        cluster
            .stats()
            .servers
            .iter()
            .all(|server| server.connects == 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_bound_callers_of_a_stopped_server_fail_as_not_sent_and_all_recovers() {
    let settings =
        "[timeouts]\nresponse = \"300ms\"\ndead = \"60s\"\n[limits]\nin_flight_max = 256\n";
    let fixture = TestCluster::start(2).await.settings(settings);
    let cluster = fixture.connect().await;
    let key = key_on(&cluster, "s1", "k");
    fixture.servers[1].stop();
    let started = Instant::now();
    let tasks: Vec<_> = (0..2_000)
        .map(|_| {
            let (cluster, key) = (cluster.clone(), key.clone());
            tokio::spawn(async move { query::<i64>(&cluster, &format!("INCR {key}")).await })
        })
        .collect();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        *kinds.entry(format!("{:?}", error.kind())).or_default() += 1;
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    let (unknown, not_sent) = (kinds["Unknown"], kinds["NotSent"]);
    assert_eq!(unknown + not_sent, 2_000, "{kinds:?}");
    assert!((1..=256).contains(&unknown), "{kinds:?}");
    fixture.servers[1].resume();
    let patient = cluster.with_timeout(PATIENCE);
    let value: u64 = query(&patient, &format!("INCR {key}")).await.unwrap();
    assert!((1..=unknown + 1).contains(&value), "{value}, {kinds:?}");
    assert_eq!(
        cluster.stats().servers[1].connects,
        1,
        "nobody cut the connection"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelines_larger_than_the_bound_get_through_beside_small_commands() {
    let settings = "[timeouts]\nresponse = \"30s\"\n[limits]\nin_flight_max = 100\n";
    let fixture = TestCluster::start(1).await.settings(settings);
    let cluster = fixture.connect().await;
    let stop = Arc::new(AtomicBool::new(false));
    let small: Vec<_> = (0..150)
        .map(|i| {
            let (cluster, stop) = (cluster.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    query::<i64>(&cluster, &format!("INCR small{i}"))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    let mut redis = cluster.clone();
    let mut pipe = redis::pipe();
    for _ in 0..2_500 {
        pipe.cmd("INCR").arg("large");
    }
    let values: Vec<i64> = pipe.query_async(&mut redis).await.unwrap();
    assert_eq!(values, (1..=2_500).collect::<Vec<_>>());
    stop.store(true, Ordering::Relaxed);
    for task in small {
        task.await.unwrap();
    }
}

/// Small reads on the first lane, each checked, while `work` runs. Returns how many there were.
async fn beside_small_reads(cluster: &Cluster, work: impl Future<Output = ()>) -> u64 {
    let mut reads = 0;
    let small = async {
        loop {
            let value: String = query(cluster, "GET small").await.unwrap();
            assert_eq!(value, "value");
            reads += 1;
        }
    };
    tokio::select! {
        () = work => {}
        () = small => {}
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_of_64_mb_go_through_both_lanes_while_small_reads_go_on() {
    let settings = "[timeouts]\nresponse = \"60s\"\n";
    let fixture = TestCluster::start(1).await.settings(settings);
    let cluster = fixture.connect().await;
    query::<()>(&cluster, "SET small value").await.unwrap();
    let large: Vec<u8> = (0..64_usize << 20).map(|i| (i % 251) as u8).collect();
    for lane in [cluster.clone(), cluster.bulk()] {
        let set = redis::cmd("SET").arg("large").arg(&large).to_owned();
        let reads = beside_small_reads(&cluster, async {
            lane.query::<()>(&set).await.unwrap();
            let got: Vec<u8> = lane.query(&cmd("GET large")).await.unwrap();
            assert!(got == large);
            query::<i64>(&cluster, "DEL large").await.unwrap();
        })
        .await;
        assert!(reads > 0);
    }
    assert_eq!(cluster.stats().servers[0].disconnects, 0);
}

#[tokio::test]
async fn small_reads_do_not_wait_for_a_large_value_on_the_bulk_lane() {
    let settings = "[timeouts]\nresponse = \"60s\"\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied.connect().await;
    query::<()>(&cluster, "SET small value").await.unwrap();
    ask::<i64>(&proxied.fixture.servers[0], "SETRANGE large 8388607 x").await;
    query::<i64>(&cluster.bulk(), "STRLEN large").await.unwrap();
    // One second for the large value; the drip is per connection.
    proxied.proxies[0].bytes_per_second(Some(8 << 20));
    let reads = beside_small_reads(&cluster, async {
        let got: Vec<u8> = cluster.bulk().query(&cmd("GET large")).await.unwrap();
        assert_eq!(got.len(), 8 << 20);
    })
    .await;
    // Behind the large value there would be one.
    assert!(reads > 3, "{reads}");
}

#[tokio::test]
async fn a_reply_beyond_the_limit_is_an_error_and_costs_one_connection() {
    let settings = "[timeouts]\nresponse = \"10s\"\n[limits]\nreply_bytes_max = \"1MiB\"\n";
    let fixture = TestCluster::start(1).await.settings(settings);
    let cluster = fixture.connect().await;
    let server = &fixture.servers[0];
    ask::<i64>(server, "SETRANGE large 2097151 x").await;
    query::<()>(&cluster, "SET small value").await.unwrap();
    let (large, small) = tokio::join!(
        query::<String>(&cluster, "GET large"),
        query::<String>(&cluster, "GET small")
    );
    let error = large.unwrap_err();
    insta::assert_snapshot!(
        redacted(&error, &[&format!("node {}", cluster.locate("large").node)]),
        @r#"GET, [...], server "s0": outcome unknown, it may have been executed: the reply cannot be read: read "$2097152", which makes one reply larger than 1048576 bytes; ask for less at once, or raise the limit"#
    );
    assert_eq!(
        small.unwrap(),
        "value",
        "who waited behind it is asked again"
    );
    eventually("there is another connection", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    assert_eq!(
        query::<String>(&cluster, "GET small").await.unwrap(),
        "value"
    );
    assert_eq!(
        cluster.stats().servers[0].disconnects,
        1,
        "it is not asked for again"
    );
    assert_eq!(error.kind(), ErrorKind::Unknown);
}
