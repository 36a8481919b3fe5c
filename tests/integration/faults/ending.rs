//! How a cluster ends: drained, with its runtime, or with its last clone.

use super::{PATIENCE, PATIENT, Proxied, ask, query};
use crate::fixture::{TestCluster, eventually};
use keyway::{Cluster, ErrorKind};
use std::time::{Duration, Instant};

/// The connections of keyway at a server, by name.
async fn clients(fixture: &TestCluster, server: usize) -> usize {
    let list: String = ask(&fixture.servers[server], "CLIENT LIST").await;
    list.lines().filter(|line| line.contains("name=kw")).count()
}

#[tokio::test]
async fn close_answers_what_is_under_way_and_refuses_what_comes_later() {
    let proxied = Proxied::start(2, "[timeouts]\nresponse = \"10s\"\n").await;
    let cluster = proxied.connect().await;
    for server in ["s0", "s1"] {
        let key = super::key_on(&cluster, server, "warm");
        query::<i64>(&cluster.bulk(), &format!("INCR {key}"))
            .await
            .unwrap();
    }
    let _dedicated = cluster.dedicated("warm").await.unwrap();
    proxied
        .proxies
        .iter()
        .for_each(|proxy| proxy.stall_to_client(true));
    let before: Vec<u64> = proxied
        .proxies
        .iter()
        .map(|proxy| proxy.bytes_to_server())
        .collect();
    let requests: u64 = (0..50)
        .map(|i| super::cmd(&format!("INCR n{i}")).get_packed_command().len() as u64)
        .sum();
    let under_way: Vec<_> = (0..50)
        .map(|i| {
            let cluster = if i % 5 == 0 {
                cluster.bulk()
            } else {
                cluster.clone()
            };
            tokio::spawn(async move { query::<i64>(&cluster, &format!("INCR n{i}")).await })
        })
        .collect();
    eventually("they are under way", PATIENCE, async || {
        let now = proxied.proxies.iter().map(|proxy| proxy.bytes_to_server());
        now.zip(&before)
            .map(|(now, before)| now - before)
            .sum::<u64>()
            == requests
    })
    .await;
    let closing = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.close().await }
    });
    eventually("later calls are refused", PATIENCE, async || {
        matches!(
            tokio::time::timeout(Duration::from_millis(50), query::<i64>(&cluster, "INCR late")).await,
            Ok(Err(error)) if error.kind() == ErrorKind::Closed
        )
    })
    .await;
    assert!(!closing.is_finished());
    proxied
        .proxies
        .iter()
        .for_each(|proxy| proxy.stall_to_client(false));
    for call in under_way {
        assert_eq!(call.await.unwrap().unwrap(), 1);
    }
    closing.await.unwrap().unwrap();
    eventually("nothing is left", PATIENCE, async || {
        clients(&proxied.fixture, 0).await + clients(&proxied.fixture, 1).await == 0
    })
    .await;
    let error = query::<i64>(&cluster, "INCR k").await.unwrap_err();
    insta::assert_snapshot!(
        super::redacted(&error, &[&format!("node {}", cluster.locate("k").node), &cluster.locate("k").server]),
        @r#"INCR, [...], server "[...]": the cluster has been closed"#
    );
}

#[tokio::test]
async fn after_close_nothing_opens_a_connection() {
    let proxied = Proxied::start(1, "[timeouts]\nresponse = \"1s\"\n").await;
    let cluster = proxied.connect().await;
    cluster.close().await.unwrap();
    cluster.close().await.unwrap();
    let accepted = proxied.proxies[0].accepted();
    for cluster in [cluster.clone(), cluster.bulk()] {
        let error = query::<i64>(&cluster, "INCR k").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        let error = query::<i64>(&cluster, "BLPOP k 1").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        let error = cluster.dedicated("k").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        let error = query::<i64>(&cluster, "DBSIZE").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        let mut batch = cluster.batch();
        let n = batch.incr::<i64>("k", 1);
        let error = batch.send().await.take(n).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    let error = cluster.reload(proxied.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let fresh = {
        let fixture = proxied.fixture.config();
        cluster.reload(fixture).await.unwrap_err()
    };
    assert_eq!(fresh.kind(), ErrorKind::Closed, "{fresh}");
    let mut pubsub = cluster.pubsub();
    let error = pubsub.subscribe("c").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert_eq!(proxied.proxies[0].accepted(), accepted);
}

#[tokio::test]
async fn close_cuts_off_what_is_not_answered_in_time() {
    let proxied = Proxied::start(1, "[timeouts]\nresponse = \"60s\"\nclose = \"200ms\"\n").await;
    let cluster = proxied.connect().await;
    let blocked = tokio::spawn({
        let cluster = cluster.clone();
        async move { query::<(String, String)>(&cluster, "BLPOP queue 0").await }
    });
    eventually("it blocks", PATIENCE, async || {
        let info: String = ask(&proxied.fixture.servers[0], "INFO clients").await;
        info.contains("blocked_clients:1")
    })
    .await;
    let started = Instant::now();
    let error = cluster.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    insta::assert_snapshot!(error, @"outcome unknown, it may have been executed: commands were still unanswered after 200ms, and were cut off");
    assert!(started.elapsed() < PATIENCE);
    let error = blocked.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    eventually("nothing is left", PATIENCE, async || {
        clients(&proxied.fixture, 0).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_close_during_a_dial_leaves_no_connection_behind() {
    let proxied = Proxied::start(1, "[timeouts]\nconnect = \"5s\"\n").await;
    for last_clone in [false, true] {
        let cluster = proxied.connect().await;
        // The greeting hangs.
        proxied.proxies[0].stall(true);
        proxied.proxies[0].cut_all();
        let accepted = proxied.proxies[0].accepted();
        eventually("it dials", PATIENCE, async || {
            proxied.proxies[0].accepted() > accepted
        })
        .await;
        if last_clone {
            drop(cluster);
        } else {
            cluster.close().await.unwrap();
        }
        proxied.proxies[0].stall(false);
        eventually("nothing is left", PATIENCE, async || {
            proxied.proxies[0].connections() == 0 && clients(&proxied.fixture, 0).await == 0
        })
        .await;
    }
}

#[tokio::test]
async fn with_the_last_clone_the_connections_end() {
    let fixture = TestCluster::start(2).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    query::<i64>(&cluster.bulk(), "INCR k").await.unwrap();
    let mut pubsub = cluster.pubsub();
    pubsub.psubscribe("*").await.unwrap();
    let dedicated = cluster.dedicated("k").await.unwrap();
    assert!(clients(&fixture, 0).await >= 2);
    drop(cluster);
    dedicated.query::<i64>(&super::cmd("INCR k")).await.unwrap();
    drop((pubsub, dedicated));
    for server in 0..2 {
        eventually("nothing is left", PATIENCE, async || {
            clients(&fixture, server).await == 0
        })
        .await;
    }
}

/// A cluster on a runtime of its own, which is shut down by whoever calls the second.
fn connect_elsewhere(fixture: &TestCluster) -> (Cluster, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let config = fixture.config();
    let cluster = std::thread::scope(|scope| {
        scope
            .spawn(|| runtime.block_on(Cluster::connect_config(config)).unwrap())
            .join()
            .unwrap()
    });
    (cluster, runtime)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_runtime_of_the_connections_is_gone_every_call_ends() {
    let fixture = TestCluster::start(2)
        .await
        .settings("[timeouts]\nconnect = \"10s\"\nresponse = \"60s\"\n");
    let (cluster, runtime) = connect_elsewhere(&fixture);
    // Calls come from this runtime, and are answered.
    query::<i64>(&cluster, "INCR k").await.unwrap();
    let dedicated = cluster.dedicated("k").await.unwrap();
    let mut pubsub = cluster.pubsub();
    pubsub.psubscribe("*").await.unwrap();
    let listening = tokio::spawn(async move { pubsub.next().await });
    fixture.servers.iter().for_each(|server| server.stop());
    let under_way: Vec<_> = (0..40)
        .map(|i| {
            let cluster = cluster.clone();
            tokio::spawn(async move { query::<i64>(&cluster, &format!("INCR n{i}")).await })
        })
        .collect();
    eventually("they are under way", PATIENCE, async || {
        cluster
            .stats()
            .servers
            .iter()
            .map(|server| server.in_flight)
            .sum::<u64>()
            >= 40
    })
    .await;
    let started = Instant::now();
    runtime.shutdown_background();
    for call in under_way {
        let error = call.await.unwrap().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Unknown | ErrorKind::Closed),
            "{error:?}"
        );
    }
    for text in ["INCR k", "GET k", "MGET a b c d e f", "BLPOP k 1", "DBSIZE"] {
        for cluster in [cluster.clone(), cluster.bulk()] {
            let error = query::<redis::Value>(&cluster, text).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed, "{text}: {error}");
        }
    }
    let error = dedicated
        .query::<i64>(&super::cmd("INCR k"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let error = cluster.dedicated("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let error = cluster.reload(fixture.config()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    let error = tokio::time::timeout(PATIENCE, listening)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    cluster.close().await.unwrap();
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
    fixture.servers.iter().for_each(|server| server.resume());
}
