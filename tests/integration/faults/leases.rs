//! Connections of one's own: returned only if they are as they were.

use super::{PATIENCE, PATIENT, Proxied, ask, cmd, key_on, query};
use crate::fixture::{TestCluster, cluster_toml, eventually, parse};
use keyway::{Dedicated, ErrorKind};
use redis::Value;
use std::collections::BTreeSet;

/// The connections of keyway at the server by number; the dedicated ones come behind the shared one.
async fn numbers(fixture: &TestCluster) -> BTreeSet<i64> {
    let list: String = ask(&fixture.servers[0], "CLIENT LIST").await;
    list.lines()
        .filter(|line| line.contains("name=kw:"))
        .map(|line| {
            line.split(' ').next().unwrap()["id=".len()..]
                .parse()
                .unwrap()
        })
        .collect()
}

/// The number of the newest.
async fn newest(fixture: &TestCluster) -> i64 {
    *numbers(fixture).await.last().unwrap()
}

async fn say(dedicated: &Dedicated, text: &str) -> Value {
    dedicated.query(&cmd(text)).await.unwrap()
}

#[tokio::test]
async fn a_clean_connection_is_returned_and_used_again() {
    let fixture = TestCluster::start(1).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    let dedicated = cluster.dedicated("k").await.unwrap();
    let first = newest(&fixture).await;
    say(&dedicated, "WATCH k").await;
    say(&dedicated, "MULTI").await;
    say(&dedicated, "SET k 1").await;
    say(&dedicated, "EXEC").await;
    say(&dedicated, "WATCH k").await;
    say(&dedicated, "UNWATCH").await;
    let clone = dedicated.clone();
    drop(dedicated);
    say(&clone, "GET k").await;
    drop(clone);
    let again = cluster.dedicated("k").await.unwrap();
    assert_eq!(newest(&fixture).await, first);
    assert_eq!(cluster.stats().servers[0].connects, 2);
    drop(again);
    assert!(
        query::<Option<(String, String)>>(&cluster, "BLPOP list 0.01")
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(
        cluster.stats().servers[0].connects,
        2,
        "blocking commands take it, too"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_serves_many_blocking_calls_in_sequence() {
    let fixture = TestCluster::start(1).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    for _ in 0..300 {
        query::<i64>(&cluster, "RPUSH list job").await.unwrap();
        query::<(String, String)>(&cluster, "BLPOP list 1")
            .await
            .unwrap();
    }
    assert_eq!(cluster.stats().servers[0].connects, 2);
}

#[tokio::test]
async fn a_connection_left_in_a_transaction_or_watching_or_unanswered_is_closed() {
    let fixture = TestCluster::start(1).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    for left in ["WATCH k", "MULTI", "unanswered"] {
        let dedicated = cluster.dedicated("k").await.unwrap();
        let number = newest(&fixture).await;
        if left == "unanswered" {
            let blocks = cmd("BLPOP list 0");
            let written = eventually("it blocks", PATIENCE, async || {
                let info: String = ask(&fixture.servers[0], "INFO clients").await;
                info.contains("blocked_clients:1\r\n")
            });
            tokio::select! {
                answer = dedicated.query::<Value>(&blocks) => panic!("{answer:?}"),
                () = written => {}
            }
            let error = dedicated.query::<Value>(&cmd("GET k")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotSent, "{error}");
        } else {
            say(&dedicated, left).await;
            if left == "MULTI" {
                say(&dedicated, "SET k never").await;
            }
        }
        drop(dedicated);
        eventually("it is closed", PATIENCE, async || {
            !numbers(&fixture).await.contains(&number)
        })
        .await;
        let next = cluster.dedicated("k").await.unwrap();
        assert_eq!(say(&next, "GET k").await, Value::Nil);
        next.query::<Value>(&cmd("MULTI")).await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_watch_gives_no_transaction() {
    let fixture = TestCluster::start(1).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    let mut dedicated = cluster.dedicated("k").await.unwrap();
    let number = newest(&fixture).await;
    say(&dedicated, "WATCH k").await;
    query::<i64>(&cluster, "INCR k").await.unwrap();
    let mut pipe = redis::pipe();
    pipe.atomic().cmd("INCR").arg("k");
    let nothing: Option<(i64,)> = pipe.query_async(&mut dedicated).await.unwrap();
    assert_eq!(nothing, None);
    let value: Option<(i64,)> = pipe.query_async(&mut dedicated).await.unwrap();
    assert_eq!(value, Some((2,)));
    drop(dedicated);
    let _again = cluster.dedicated("k").await.unwrap();
    assert_eq!(newest(&fixture).await, number, "EXEC ended the watch");
}

#[tokio::test]
async fn the_bound_makes_callers_wait_and_then_fail_as_not_sent() {
    let settings =
        "[timeouts]\nresponse = \"300ms\"\n[pool]\ndedicated_max = 2\ndedicated_idle_max = 2\n";
    let fixture = TestCluster::start(1).await.settings(settings);
    let cluster = fixture.connect().await;
    let patient = cluster.with_timeout(PATIENCE);
    let first = patient.dedicated("a").await.unwrap();
    let _second = patient.dedicated("b").await.unwrap();
    let error = tokio::time::timeout(PATIENCE, cluster.dedicated("c"));
    let error = error.await.expect("the deadline holds").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSent, "{error}");
    insta::assert_snapshot!(super::redacted(&error, &[]), @r#"node 32, server "s0": not executed: all 2 dedicated connections (pool.dedicated_max) were in use until the deadline"#);
    let error = query::<Value>(&cluster, "BLPOP list 1").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSent, "{error}");
    query::<i64>(&patient, "INCR n").await.unwrap();
    let waiting = tokio::spawn(async move { patient.dedicated("c").await.map(|_| ()) });
    tokio::task::yield_now().await;
    drop(first);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_whose_node_has_moved_is_refused() {
    let proxied = Proxied::start(2, "[timeouts]\nresponse = \"10s\"\n").await;
    let cluster = proxied.connect().await;
    let key = key_on(&cluster, "s1", "k");
    let stays = key_on(&cluster, "s0", "k");
    let (moved, kept) =
        tokio::try_join!(cluster.dedicated(&key), cluster.dedicated(&stays)).unwrap();
    say(&moved, &format!("WATCH {key}")).await;
    say(&moved, "MULTI").await;
    say(&moved, &format!("SET {key} never")).await;
    let ports: Vec<u16> = proxied.proxies.iter().map(|proxy| proxy.port()).collect();
    let everything_on_s0 = cluster_toml(&proxied.fixture.settings, 64, &ports[..1]);
    cluster.reload(parse(&everything_on_s0)).await.unwrap();
    let error = moved.query::<Value>(&cmd("EXEC")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSent);
    insta::assert_snapshot!(
        super::redacted(&error, &[&format!("node {}", moved.node())]),
        @r#"EXEC, [...], server "s1": not executed: the node of this connection has moved to another server"#
    );
    assert_eq!(say(&kept, &format!("GET {stays}")).await, Value::Nil);
    drop(moved);
    for server in &proxied.fixture.servers {
        let exists: bool = ask(server, &format!("EXISTS {key}")).await;
        assert!(!exists);
    }
    eventually("nothing is left at the old server", PATIENCE, async || {
        proxied.proxies[1].connections() == 0
    })
    .await;
}

#[tokio::test]
async fn a_dropped_blocking_call_takes_nothing_with_it() {
    let fixture = TestCluster::start(1).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    let blocked = tokio::spawn({
        let cluster = cluster.clone();
        async move { query::<Value>(&cluster, "BLPOP list 0").await }
    });
    let blocked_clients = async |count: usize| {
        eventually("clients block", PATIENCE, async || {
            let info: String = ask(&fixture.servers[0], "INFO clients").await;
            info.contains(&format!("blocked_clients:{count}\r\n"))
        })
        .await;
    };
    blocked_clients(1).await;
    blocked.abort();
    blocked_clients(0).await;
    query::<i64>(&cluster, "RPUSH list job").await.unwrap();
    let job: Option<String> = query(&cluster, "LPOP list").await.unwrap();
    assert_eq!(job.as_deref(), Some("job"));
}

#[tokio::test]
async fn a_dead_server_refuses_a_dedicated_connection() {
    let mut fixture = TestCluster::start(1)
        .await
        .settings("[timeouts]\nconnect = \"2s\"\nresponse = \"20s\"\n");
    let cluster = fixture.connect().await;
    let dedicated = cluster.dedicated("k").await.unwrap();
    fixture.servers[0].kill();
    eventually("it is known", PATIENCE, async || {
        cluster.health().servers[0].cause.is_some()
    })
    .await;
    let error = cluster.dedicated("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
    let error = dedicated.query::<Value>(&cmd("GET k")).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::NotSent | ErrorKind::Unknown),
        "{error:?}"
    );
    fixture.servers[0].restart().await;
    eventually("it is back", PATIENCE, async || cluster.health().is_ready()).await;
    assert!(
        dedicated.query::<Value>(&cmd("GET k")).await.is_err(),
        "what it has seen is gone"
    );
    cluster.dedicated("k").await.unwrap();
}
