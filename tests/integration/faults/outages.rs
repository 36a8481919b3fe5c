//! A server that is gone, stopped or out of reach costs its own keys, and nobody else's.

use super::{PATIENCE, Proxied, ask, key_on, query, redacted};
use crate::fixture::{TestCluster, eventually};
use keyway::{Cluster, ErrorKind};
use redis::AsyncCommands;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// More than `timeouts.connect` of these tests, for which a call waits at the beginning of an outage.
const WAIT: Duration = Duration::from_millis(2_100);

/// Calls one server without a pause and demands that every call succeeds, until it is told to stop.
struct Traffic {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Traffic {
    fn start(cluster: &Cluster, server: &str) -> Traffic {
        let (stop, calls) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let key = key_on(cluster, server, "traffic");
        let mut redis = cluster.clone();
        let task = tokio::spawn({
            let (stop, calls) = (stop.clone(), calls.clone());
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let n: u64 = redis.incr(&key, 1).await.unwrap();
                    assert_eq!(n, calls.fetch_add(1, Ordering::Relaxed) + 1);
                }
            }
        });
        Traffic { stop, calls, task }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_server_fails_only_its_own_keys_at_once_and_recovers_by_itself() {
    let settings = "[timeouts]\nconnect = \"2s\"\nresponse = \"20s\"\n";
    let mut fixture = TestCluster::start(2).await.settings(settings);
    let cluster = fixture.connect().await;
    let (live, dead) = (key_on(&cluster, "s0", "k"), key_on(&cluster, "s1", "k"));
    query::<()>(&cluster, &format!("SET {dead} 1"))
        .await
        .unwrap();
    let traffic = Traffic::start(&cluster, "s0");
    fixture.servers[1].kill();

    let error = query::<i64>(&cluster, &format!("INCR {dead}"))
        .await
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ServerDown | ErrorKind::Unknown),
        "{error:?}"
    );
    eventually(
        "the outage has lasted for timeouts.connect",
        PATIENCE,
        async || {
            let down_for = cluster.health().servers[1].down_for;
            down_for.is_some_and(|time| time > WAIT)
        },
    )
    .await;
    let started = Instant::now();
    for _ in 0..20 {
        let error = query::<i64>(&cluster, &format!("INCR {dead}"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
        assert!(error.is_retryable());
        assert_eq!(error.server(), Some("s1"));
        assert_eq!(error.node(), Some(cluster.locate(&dead).node));
        assert_eq!(error.command(), Some("INCR"));
    }
    assert!(
        started.elapsed() < 10 * WAIT,
        "{:?} for 20 calls: they wait",
        started.elapsed()
    );
    let error = query::<i64>(&cluster, "INCR k1").await;
    let error = match error {
        Err(error) => error,
        Ok(_) => query::<i64>(&cluster, &format!("INCR {dead}"))
            .await
            .unwrap_err(),
    };
    let node = error.node().unwrap().to_string();
    insta::assert_snapshot!(
        redacted(&error, &[&format!("node {node}")]),
        @r#"INCR, [...], server "s1": not executed, the server is down: Connection refused (os error 111)"#
    );
    let health = cluster.health();
    assert!(!health.is_ready());
    assert!(health.servers[0].is_up && !health.servers[1].is_up);
    assert_eq!(health.servers[1].nodes, 32);
    assert_eq!(
        health.servers[1].cause.as_deref(),
        Some("Connection refused (os error 111)")
    );

    let partial = query::<i64>(&cluster, &format!("DEL {live} {dead}"))
        .await
        .unwrap_err();
    assert_eq!(partial.kind(), ErrorKind::Partial);
    let partial = partial.partial().unwrap().keys().unwrap();
    assert_eq!(partial.done, [live.as_bytes()]);
    assert_eq!(partial.failed, [dead.as_bytes()]);

    let calls = traffic.calls();
    fixture.servers[1].restart().await;
    eventually("it is found again without a call", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    let value: i64 = query(&cluster, &format!("INCR {dead}")).await.unwrap();
    assert_eq!(value, 1);
    eventually("the other server goes on", PATIENCE, async || {
        traffic.calls() > calls
    })
    .await;
    traffic.end().await;
    assert_eq!(cluster.stats().servers[1].reconnects, 1);
    assert_eq!(cluster.stats().servers[0].connects, 1);
}

#[tokio::test]
async fn callers_of_every_connection_of_a_dead_server_hear_it_at_once() {
    let settings = "[timeouts]\nconnect = \"2s\"\nresponse = \"20s\"\n[pool]\nconnections = 4\n";
    let mut fixture = TestCluster::start(1).await.settings(settings);
    let cluster = fixture.connect().await;
    query::<String>(&cluster.bulk(), "GET k").await.unwrap_err();
    fixture.servers[0].kill();
    eventually(
        "the outage has lasted for timeouts.connect",
        PATIENCE,
        async || {
            let down_for = cluster.health().servers[0].down_for;
            down_for.is_some_and(|time| time > WAIT)
        },
    )
    .await;
    let started = Instant::now();
    for i in 0..40 {
        for cluster in [cluster.clone(), cluster.bulk()] {
            let error = query::<i64>(&cluster, &format!("INCR k{i}"))
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
        }
    }
    assert!(
        started.elapsed() < 20 * WAIT,
        "{:?} for 80 calls: they wait",
        started.elapsed()
    );
    fixture.servers[0].restart().await;
    eventually("all connections are back", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
}

#[tokio::test]
async fn a_stopped_server_meets_the_deadline_and_hurts_nobody_else() {
    let settings = "[timeouts]\nconnect = \"1s\"\nresponse = \"200ms\"\ndead = \"5s\"\n";
    let fixture = TestCluster::start(2).await.settings(settings);
    let cluster = fixture.connect().await;
    let other = cluster.with_timeout(PATIENCE);
    let key = key_on(&cluster, "s1", "k");
    let traffic = Traffic::start(&other, "s0");
    query::<()>(&other, &format!("SET {key} value"))
        .await
        .unwrap();
    fixture.servers[1].stop();
    let calls = traffic.calls();

    let started = Instant::now();
    let (written, read) = (format!("INCR {{{key}}}n"), format!("GET {key}"));
    let (written, read) = tokio::join!(
        query::<i64>(&cluster, &written),
        query::<String>(&cluster, &read),
    );
    let took = started.elapsed();
    // The deadline ends the calls, not `timeouts.dead`.
    assert!(
        took >= Duration::from_millis(195) && took < Duration::from_secs(5),
        "{took:?}"
    );
    for error in [written.unwrap_err(), read.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
        assert!(error.is_timeout());
        assert!(!error.is_retryable());
    }
    eventually(
        "it is found dead, and does not greet either",
        PATIENCE,
        async || {
            let error = query::<i64>(&cluster, &format!("INCR {{{key}}}m"))
                .await
                .unwrap_err();
            error.kind() == ErrorKind::ServerDown
        },
    )
    .await;
    assert_eq!(
        cluster.health().servers[1].cause.as_deref(),
        Some("connected, but no answer to the greeting within 1s (timeouts.connect)")
    );
    eventually("the other server goes on", PATIENCE, async || {
        traffic.calls() > calls
    })
    .await;

    fixture.servers[1].resume();
    eventually("it is found again", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    let value: String = query(&other, &format!("GET {key}")).await.unwrap();
    assert_eq!(value, "value");
    traffic.end().await;
    assert_eq!(cluster.stats().servers[0].connects, 1);
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_with_work_outstanding() {
    let settings = "[timeouts]\nconnect = \"2s\"\nresponse = \"1s\"\ndead = \"2s\"\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied.connect().await;
    proxied.proxies[0].stall(true);
    let error = query::<i64>(&cluster, "INCR k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    eventually("the connection is given up", PATIENCE, async || {
        !cluster.health().is_ready()
    })
    .await;
    proxied.proxies[0].stall(false);
    eventually("there is another", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    query::<i64>(&cluster.with_timeout(PATIENCE), "INCR k")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_while_idle() {
    let settings =
        "[timeouts]\nconnect = \"2s\"\nresponse = \"1s\"\ndead = \"3s\"\nidle_ping = \"200ms\"\n";
    let proxied = Proxied::start(2, settings).await;
    let cluster = proxied.connect().await;
    let bytes = proxied.proxies[0].bytes_to_client();
    eventually("PING keeps an idle connection", PATIENCE, async || {
        proxied.proxies[0].bytes_to_client() > bytes + 20
    })
    .await;
    assert_eq!(cluster.stats().servers[0].disconnects, 0);
    proxied.proxies[1].stall(true);
    eventually("the connection is given up", PATIENCE, async || {
        !cluster.health().servers[1].is_up
    })
    .await;
    assert!(cluster.health().servers[0].is_up);
    proxied.proxies[1].stall(false);
    eventually("there is another", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    assert_eq!(cluster.stats().servers[0].disconnects, 0);
}

#[tokio::test]
async fn a_slow_command_is_no_dead_connection_as_long_as_others_are_answered() {
    let settings = "[timeouts]\nresponse = \"1s\"\ndead = \"20s\"\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied.connect().await;
    proxied.proxies[0].stall_to_client(true);
    let late = query::<i64>(&cluster, "INCR k").await.unwrap_err();
    assert!(late.is_timeout());
    proxied.proxies[0].stall_to_client(false);
    let next: i64 = query(&cluster.with_timeout(PATIENCE), "INCR k")
        .await
        .unwrap();
    assert_eq!(next, 2, "the late reply went to its tombstone");
    assert_eq!(cluster.stats().servers[0].disconnects, 0);
}

#[tokio::test]
async fn in_cache_mode_a_dead_server_is_a_miss_and_what_must_not_be_lost_is_an_error() {
    let settings = "mode = \"cache\"\n[timeouts]\nconnect = \"2s\"\nresponse = \"20s\"\n";
    let mut fixture = TestCluster::start(2).await.settings(settings);
    let cluster = fixture.connect().await;
    let (live, dead) = (key_on(&cluster, "s0", "k"), key_on(&cluster, "s1", "k"));
    for key in [&live, &dead] {
        query::<()>(&cluster, &format!("SET {key} value"))
            .await
            .unwrap();
    }
    fixture.servers[1].kill();
    eventually(
        "the outage has lasted for timeouts.connect",
        PATIENCE,
        async || {
            let down_for = cluster.health().servers[1].down_for;
            down_for.is_some_and(|time| time > WAIT)
        },
    )
    .await;
    let before = cluster.stats();
    let value: Option<String> = query(&cluster, &format!("GET {dead}")).await.unwrap();
    assert_eq!(value, None);
    let hash: Vec<(String, String)> = query(&cluster, &format!("HGETALL {dead}")).await.unwrap();
    assert!(hash.is_empty());
    let fields: Vec<Option<String>> = query(&cluster, &format!("HMGET {dead} f g")).await.unwrap();
    assert_eq!(fields, [None, None]);
    let exists: i64 = query(&cluster, &format!("EXISTS {dead}")).await.unwrap();
    assert_eq!(exists, 0);
    let values: Vec<Option<String>> = query(&cluster, &format!("MGET {dead} {live} {dead}"))
        .await
        .unwrap();
    assert_eq!(values, [None, Some("value".to_owned()), None]);
    let since = cluster.stats().since(&before);
    assert!(
        since.servers[1].cache_misses_answered >= 5,
        "{:?}",
        since.servers[1]
    );
    assert_eq!(since.servers[0].cache_misses_answered, 0);

    for text in [
        format!("SET {dead} lost"),
        format!("SETEX {dead} 100 lost"),
        format!("MSET {live} kept {dead} lost"),
    ] {
        let done: String = query(&cluster, &text).await.unwrap();
        assert_eq!(done, "OK", "{text}");
    }
    let since = cluster.stats().since(&before);
    assert_eq!(since.servers[1].cache_writes_dropped, 3);
    let kept: String = query(&cluster, &format!("GET {live}")).await.unwrap();
    assert_eq!(kept, "kept");

    for text in ["DEL", "UNLINK"] {
        let error = query::<i64>(&cluster, &format!("{text} {dead}"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
        let error = query::<i64>(&cluster, &format!("{text} {live} {dead}"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Partial, "{error}");
    }
    for text in [
        "INCR K",
        "EXPIRE K 10",
        "SET K v NX",
        "SET K v XX",
        "SET K v GET",
        "LPUSH K v",
    ] {
        let text = text.replace('K', &dead);
        let error = query::<redis::Value>(&cluster, &text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerDown, "{text}: {error}");
    }
    let mut redis = cluster.clone();
    let (read, lost, kept): (Option<String>, String, String) = redis::pipe()
        .get(&dead)
        .set(&dead, "lost")
        .set(&live, "kept")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!((read, lost.as_str(), kept.as_str()), (None, "OK", "OK"));

    fixture.servers[1].restart().await;
    eventually("it is back", PATIENCE, async || cluster.health().is_ready()).await;
    let size: u64 = ask(&fixture.servers[1], "DBSIZE").await;
    assert_eq!(size, 0, "nothing was kept to be written later");
}

#[tokio::test]
async fn a_connection_is_not_opened_by_calls_during_an_outage() {
    let settings = "[timeouts]\nconnect = \"2s\"\nresponse = \"20s\"\n[retry]\nbackoff_min = \"40ms\"\nbackoff_max = \"1s\"\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied.connect().await;
    proxied.proxies[0].refuse(true);
    proxied.proxies[0].cut_all();
    eventually(
        "the outage has lasted for timeouts.connect",
        PATIENCE,
        async || {
            let down_for = cluster.health().servers[0].down_for;
            down_for.is_some_and(|time| time > WAIT)
        },
    )
    .await;
    let accepted = proxied.proxies[0].accepted();
    for _ in 0..400 {
        let error = query::<i64>(&cluster, "INCR k").await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
    // There is a dial each half second, however long the calls take: none of them opens a connection.
    let dials = proxied.proxies[0].accepted() - accepted;
    assert!(dials < 100, "{dials} dials over 400 calls");
    proxied.proxies[0].refuse(false);
    eventually("it is back", PATIENCE, async || cluster.health().is_ready()).await;
}
