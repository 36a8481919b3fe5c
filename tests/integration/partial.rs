//! What is known of a command that was done on some servers only.

use crate::fixture::{TestCluster, cmd, eventually, query};
use keyway::{Cluster, ErrorKind, Partial};
use redis::Value;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// Six keys, three on each server, all set; the second server is killed.
async fn half_dead(settings: &str) -> (TestCluster, Cluster, Vec<String>) {
    let mut fixture = TestCluster::start(2).await.settings(settings);
    let cluster = fixture.connect().await;
    let of = |server: &str| {
        let all = (0..).map(|i| format!("k{i}"));
        let here: Vec<String> = all
            .filter(|key| &*cluster.locate(key).server == server)
            .take(3)
            .collect();
        here
    };
    // In turn, so that positions tell.
    let (live, dead) = (of("s0"), of("s1"));
    let keys: Vec<String> = live
        .into_iter()
        .zip(dead)
        .flat_map(|(live, dead)| [live, dead])
        .collect();
    for key in &keys[1..] {
        query::<()>(&cluster, &format!("SET {key} value-of-{key}"))
            .await
            .unwrap();
    }
    fixture.servers[1].kill();
    eventually("the server is down", PATIENCE, async || {
        let get = query::<Value>(&cluster, &format!("GET {}", keys[1])).await;
        get.is_err_and(|error| error.kind() == ErrorKind::ServerDown)
    })
    .await;
    (fixture, cluster, keys)
}

const QUICK: &str = "[timeouts]\nconnect = \"300ms\"\nresponse = \"5s\"\n";

#[tokio::test]
async fn an_mget_with_one_server_dead_keeps_the_values_that_came() {
    let (_fixture, cluster, keys) = half_dead(QUICK).await;
    let mget = cmd(&format!("MGET {}", keys.join(" ")));
    let value_of = |key: &String| Some(Value::BulkString(format!("value-of-{key}").into_bytes()));
    let expected = [
        Some(Value::Nil),
        None,
        value_of(&keys[2]),
        None,
        value_of(&keys[4]),
        None,
    ];
    let mut batch = cluster.batch();
    let place = batch.add::<Vec<Value>>(mget.clone());
    let by_batch = batch.send().await.take(place).unwrap_err();
    let by_query = cluster.query::<Vec<Value>>(&mget).await.unwrap_err();
    for error in [by_batch, by_query] {
        assert_eq!(error.kind(), ErrorKind::Partial, "{error}");
        let partial = error.partial().unwrap().keys().unwrap();
        assert_eq!(partial.values, expected);
        assert_eq!(partial.done.len(), 3);
        assert_eq!(
            partial.failed,
            [&keys[1], &keys[3], &keys[5]].map(|key| key.as_bytes())
        );
        assert_eq!(partial.unknown, [b""; 0]);
    }
    let through: Result<Vec<Value>, _> = mget.query_async(&mut cluster.clone()).await;
    let error = through.unwrap_err();
    assert_eq!(ErrorKind::of(&error), Some(ErrorKind::Partial));
    let text = error.to_string();
    for part in ["3 of 6 keys", "cluster.query", "batch()"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // DEL has no values to keep.
    let error = query::<i64>(&cluster, &format!("DEL {}", keys.join(" ")))
        .await
        .unwrap_err();
    let partial = error.partial().unwrap().keys().unwrap();
    assert!(partial.values.is_empty());
    assert_eq!((partial.done.len(), partial.failed.len()), (3, 3));
}

#[tokio::test]
async fn values_beyond_the_bound_are_not_kept() {
    let bounded = format!("{QUICK}[limits]\ngather_bytes_max = \"1KiB\"\n");
    let (_fixture, cluster, keys) = half_dead(&bounded).await;
    query::<()>(&cluster, &format!("SET {} {}", keys[0], "v".repeat(2_000)))
        .await
        .unwrap();
    let error = query::<Vec<Value>>(&cluster, &format!("MGET {}", keys.join(" ")))
        .await
        .unwrap_err();
    let partial = error.partial().unwrap().keys().unwrap();
    assert!(partial.values.is_empty());
    assert_eq!(partial.done.len(), 3);
}

#[tokio::test]
async fn a_command_for_every_server_names_servers() {
    let (_fixture, cluster, _) = half_dead(QUICK).await;
    let error = query::<i64>(&cluster, "DBSIZE").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Partial, "{error}");
    let Some(Partial::Servers(servers)) = error.partial() else {
        panic!("{error:?}")
    };
    assert_eq!(
        (&servers.done[..], &servers.failed[..]),
        (&["s0".to_owned()][..], &["s1".to_owned()][..])
    );
    assert!(error.partial().unwrap().keys().is_none());
}
