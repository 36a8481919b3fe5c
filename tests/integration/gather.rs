//! Commands answered from several nodes: the answer of one server, or an error; never something in between.

use crate::fixture::{RedisServer, TestCluster};
use keyway::ErrorKind;
use redis::{AsyncCommands, Value, cmd};
use std::collections::BTreeSet;

/// The same commands on a cluster of three servers and on one server; replies must be equal, set order aside.
#[tokio::test]
async fn set_algebra_over_nodes_equals_that_of_one_server() {
    let fixture = TestCluster::start(3).await;
    let single = RedisServer::start().await;
    let (mut many, mut one) = (fixture.connect().await, single.connection().await);
    let mut load = redis::pipe();
    for set in 0..6 {
        for member in (0..400).step_by(set + 1) {
            load.sadd(format!("s{set}"), member).ignore();
            load.zadd(format!("z{set}"), member, (member * (set + 3)) as f64 / 7.0)
                .ignore();
        }
    }
    load.set("text", "x").ignore();
    let _: () = load.query_async(&mut many).await.unwrap();
    let _: () = load.query_async(&mut one).await.unwrap();
    for line in [
        "SINTER s0 s1 s2",
        "SINTER s1 missing",
        "SUNION s3 s4 s5",
        "SDIFF s0 s1 s2",
        "SINTERCARD 3 s0 s1 s2 LIMIT 5",
        "SINTERCARD 3 s0 s1 s2",
        "ZUNION 3 z1 z2 z3 WEIGHTS 1 0.1 3 WITHSCORES",
        "ZINTER 3 z0 z1 z2 AGGREGATE MAX WITHSCORES",
        "ZUNION 2 z4 s5 AGGREGATE MIN WITHSCORES",
        "ZDIFF 3 z0 z1 z2 WITHSCORES",
        "ZINTERCARD 2 z0 z1 LIMIT 7",
        "SINTER s0 text",
        "ZUNION 2 z0 text",
        "ZUNION 2 z0 z1 WEIGHTS 1 x",
        "SINTERCARD 2 s0 s1 LIMIT -1",
    ] {
        let mut words = line.split(' ');
        let mut command = cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        let sorted = |value: Value| match value {
            Value::Array(mut items) if line.starts_with('S') => {
                items.sort_by_key(|item| format!("{item:?}"));
                Value::Array(items)
            }
            value => value,
        };
        let from_many: Value = redis::aio::ConnectionLike::req_packed_command(&mut many, &command)
            .await
            .unwrap();
        let from_one: Value = redis::aio::ConnectionLike::req_packed_command(&mut one, &command)
            .await
            .unwrap_or_else(|error| {
                Value::ServerError(error.try_into().expect("a server's error"))
            });
        assert_eq!(sorted(from_many), sorted(from_one), "{line}");
    }
}

#[tokio::test]
async fn a_scan_over_the_cluster_finds_every_key_once_and_leaves_out_what_is_not_its_servers() {
    let fixture = TestCluster::start(3).await;
    let mut redis = fixture.connect().await;
    let mut load = redis::pipe();
    for i in 0..5000 {
        load.set(format!("key:{i}"), i).ignore();
    }
    let _: () = load.query_async(&mut redis).await.unwrap();
    // A leftover on a server that does not own its node, and a key of our own.
    let owner = redis.locate("key:1").server;
    for (i, server) in fixture.servers.iter().enumerate() {
        let mut direct = server.connection().await;
        if *owner != format!("s{i}") {
            let _: () = direct.set("key:1", "stray").await.unwrap();
        }
        let _: () = direct.set("keyway:note", 1).await.unwrap();
    }
    let mut found = Vec::new();
    let mut keys = redis.scan_match::<_, String>("key:*").await.unwrap();
    while let Some(key) = keys.next_item().await {
        found.push(key.unwrap());
    }
    drop(keys);
    let unique: BTreeSet<&String> = found.iter().collect();
    assert_eq!((found.len(), unique.len()), (5000, 5000));
    let mut listed: Vec<String> = redis.keys("*").await.unwrap();
    listed.sort();
    listed.dedup();
    assert_eq!(
        listed.len(),
        5000,
        "KEYS leaves out strays and our own keys too"
    );
}

#[tokio::test]
async fn a_cursor_from_before_a_reload_is_refused() {
    let mut fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut redis = cluster.clone();
    for i in 0..500 {
        let _: () = redis.set(format!("key:{i}"), i).await.unwrap();
    }
    let (cursor, _): (u64, Vec<String>) = cmd("SCAN").arg(0).query_async(&mut redis).await.unwrap();
    assert_ne!(cursor, 0);
    fixture.servers.swap(0, 1);
    cluster.reload(fixture.config()).await.unwrap();
    let stale = cluster
        .query::<Value>(cmd("SCAN").arg(cursor))
        .await
        .unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::CursorStale, "{stale}");
}

#[tokio::test]
async fn a_gathered_answer_is_never_made_from_a_part() {
    let mut fixture = TestCluster::start(2)
        .await
        .settings("mode = \"cache\"\n[limits]\ngather_bytes_max = \"4KiB\"\n");
    let cluster = fixture.connect().await;
    let mut redis = cluster.clone();
    let home = |key: &str| cluster.locate(key).server;
    let other = (0..)
        .map(|i| format!("b{i}"))
        .find(|key| home(key) != home("a"))
        .unwrap();
    for i in 0..1000 {
        let _: () = redis.sadd("a", format!("member {i}")).await.unwrap();
        let _: () = redis.sadd(&other, format!("member {i}")).await.unwrap();
    }
    let large = cluster
        .query::<Value>(cmd("SUNION").arg("a").arg(&other))
        .await
        .unwrap_err();
    assert_eq!(large.kind(), ErrorKind::TooLarge, "{large}");
    let dead = home("a")[1..].parse::<usize>().unwrap();
    fixture.servers[dead].kill();
    let down = cluster
        .query::<Value>(cmd("SINTER").arg("a").arg(&other))
        .await
        .unwrap_err();
    assert!(
        matches!(
            down.kind(),
            ErrorKind::ServerDown | ErrorKind::NotSent | ErrorKind::Unknown
        ),
        "{down}"
    );
    let scan = cluster
        .with_timeout(std::time::Duration::from_secs(3))
        .query::<(u64, Vec<String>)>(cmd("SCAN").arg(0))
        .await;
    // The scan begins at the first server; that the dead one is reached must fail, never be passed over.
    let mut next = scan;
    let failed = loop {
        match next {
            Ok((0, _)) => break None,
            Ok((cursor, _)) => next = cluster.query(cmd("SCAN").arg(cursor)).await,
            Err(error) => break Some(error),
        }
    };
    assert_eq!(
        failed.expect("a scan over a dead server fails").server(),
        Some(&*home("a"))
    );
}
