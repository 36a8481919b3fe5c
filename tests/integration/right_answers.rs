//! The right answer at the edges: deadlines without end, numbers that do not fit, errors that keep what is known.

use crate::fixture::{RedisServer, TestCluster, cluster_toml, cmd, parse, query};
use crate::ways::every_way_in;
use keyway::{Cluster, ErrorKind};
use redis::{Cmd, Value};
use std::time::Duration;

#[tokio::test]
async fn a_deadline_of_any_length_is_as_good_as_none() {
    let fixture = TestCluster::start(2).await;
    for timeout in [Duration::MAX, Duration::from_secs(u64::MAX / 1_000_000_000)] {
        let cluster = fixture.connect_patiently().await.with_timeout(timeout);
        let _: () = query(&cluster, "SET k v").await.unwrap();
        for answer in every_way_in(&cluster, "k", &Cmd::get("k")).await {
            let value = Value::BulkString(b"v".to_vec());
            let inside = Value::Array(vec![value.clone()]);
            let result = answer.result.clone().unwrap();
            assert!(result == value || result == inside, "{answer:?}");
        }
        let values: Vec<Option<String>> = query(&cluster, "MGET a k b c d e").await.unwrap();
        assert_eq!(values[1].as_deref(), Some("v"));
        let _: i64 = query(&cluster, "RPUSH list x y z").await.unwrap();
        for seconds in ["0", "1000000000000000"] {
            let pop = format!("BLPOP list {seconds}");
            let popped: (String, String) = query(&cluster, &pop).await.unwrap();
            assert_eq!(popped.0, "list");
        }
        let dedicated = cluster.dedicated("list").await.unwrap();
        let popped: (String, String) = dedicated.query(&cmd("BLPOP list 0")).await.unwrap();
        assert_eq!(popped.1, "z");
        let mut pubsub = cluster.pubsub();
        pubsub.subscribe("channel").await.unwrap();
        let heard: i64 = query(&cluster, "PUBLISH channel hello").await.unwrap();
        assert_eq!(heard, 1);
        cluster.reload(fixture.config()).await.unwrap();
        cluster.close().await.unwrap();
    }
}

/// A server whose DEL answers what the key held and one more: whatever number a test wants.
async fn liar() -> RedisServer {
    RedisServer::builder()
        .arg("--rename-command", "DEL REAL-DEL")
        .arg("--rename-command", "INCR DEL")
        .start()
        .await
}

#[tokio::test]
async fn a_sum_that_does_not_fit_is_an_unexpected_reply() {
    let servers = [liar().await, liar().await];
    let ports: Vec<u16> = servers.iter().map(RedisServer::port).collect();
    let config = parse(&cluster_toml(crate::fixture::PATIENT, 64, &ports));
    let cluster = Cluster::connect_config(config).await.unwrap();
    let on = |server: &str| {
        let mut names = (0..).map(|i| format!("k{i}"));
        names
            .find(|key| &*cluster.locate(key).server == server)
            .unwrap()
    };
    let (first, second) = (on("s0"), on("s1"));
    let del = format!("DEL {first} {second}");
    let set = async |first_holds: i64, second_holds: i64| {
        for (key, holds) in [(&first, first_holds), (&second, second_holds)] {
            let _: () = query(&cluster, &format!("SET {key} {holds}"))
                .await
                .unwrap();
        }
    };
    set(i64::MAX - 1, -1).await;
    assert_eq!(query::<i64>(&cluster, &del).await.unwrap(), i64::MAX);
    set(i64::MAX - 1, 0).await;
    let error = query::<i64>(&cluster, &del).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedReply, "{error}");
}

/// A script whose reply is a string within this many arrays.
fn nested(arrays: usize) -> Cmd {
    let script = format!("local t = 'x' for i = 1, {arrays} do t = {{t}} end return t");
    let mut eval = redis::cmd("EVAL");
    eval.arg(script).arg(1).arg("k");
    eval
}

/// How many arrays are around the innermost value.
fn levels(mut value: &Value) -> usize {
    let mut levels = 0;
    while let Value::Array(items) = value {
        levels += 1;
        let [inner] = &items[..] else { break };
        value = inner;
    }
    levels
}

#[tokio::test]
async fn replies_nest_as_deep_as_redis_rs_reads_them() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let mut direct = fixture.servers[0].connection().await;
    // EXEC's reply is one more level.
    for answer in every_way_in(&cluster, "k", &nested(98)).await {
        let value = answer
            .result
            .clone()
            .unwrap_or_else(|_| panic!("{answer:?}"));
        assert_eq!(
            levels(&value),
            98 + usize::from(answer.way.is_atomic() && levels(&value) == 99)
        );
    }
    let deepest: Value = nested(99).query_async(&mut direct).await.unwrap();
    let ours: Value = cluster.query(&nested(99)).await.unwrap();
    assert_eq!((&ours, levels(&ours)), (&deepest, 99));
    // One level more is an error here as there, and no reply goes astray over it.
    assert!(nested(100).query_async::<Value>(&mut direct).await.is_err());
    let error = cluster.query::<Value>(&nested(100)).await.unwrap_err();
    assert!(error.to_string().contains("100"), "{error}");
    let _: () = query(&cluster, "SET k v").await.unwrap();
    let value: String = query(&cluster, "GET k").await.unwrap();
    assert_eq!(value, "v");
}
