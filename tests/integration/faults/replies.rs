//! Replies reach whoever asked, however the bytes come and whoever has stopped listening.

use super::{PATIENCE, Proxied, cmd, key_on, query, seeded};
use crate::fixture::{Cut, eventually};
use futures::FutureExt;
use keyway::{Cluster, ErrorKind};
use redis::{AsyncCommands, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Every shape of reply: strings, integers, nils, nested arrays, errors, empties.
const EVERY_SHAPE: &[&str] = &[
    "SET text abcdefghijklmnopqrstuvwxyz",
    "GET text",
    "GET nothing",
    "SET empty ",
    "GET empty",
    "INCR number",
    "DECRBY number 1000000007",
    "RPUSH list a b c d",
    "LRANGE list 0 -1",
    "LRANGE nothing 0 -1",
    "HSET hash f 1 g 2",
    "HGETALL hash",
    "ZADD zset 1.5 a -2 b inf c",
    "ZRANGE zset 0 -1 WITHSCORES",
    "LPUSH text wrong",
    "GETRANGE text 0 4",
    "EVAL return{1,{'a',{}},false,'z'} 1 text",
    "TYPE zset",
    "OBJECT ENCODING list",
    "EXISTS text",
    "MGET text number nothing empty",
    "DEL text number empty list hash zset",
];

async fn answers(cluster: &Cluster) -> Vec<String> {
    let mut answers = Vec::new();
    for text in EVERY_SHAPE {
        let answer = cluster.query::<Value>(&cmd(text)).await;
        answers.push(format!("{text}: {answer:?}"));
    }
    answers
}

#[tokio::test]
async fn replies_split_at_every_byte_are_read_as_if_whole() {
    for protocol in ["resp2", "resp3"] {
        let settings =
            format!("protocol = \"{protocol}\"\n[timeouts]\nresponse = \"20s\"\ndead = \"60s\"\n");
        let proxied = Proxied::start(2, &settings).await;
        let cluster = proxied.connect().await;
        let whole = answers(&cluster).await;
        for proxy in &proxied.proxies {
            proxy.split_every_byte(true);
        }
        let split = answers(&cluster).await;
        assert_eq!(whole, split);

        // Many at once: a buffer then ends inside one reply and the next begins in the following read.
        let mut redis = cluster.clone();
        let mut pipe = redis::pipe();
        for i in 0..40 {
            pipe.cmd("INCRBY").arg(format!("n{}", i % 20)).arg(i);
        }
        let mut routed = cluster.clone();
        let ping = redis::cmd("PING");
        let (echoed, pong) = tokio::join!(
            pipe.query_async::<Vec<i64>>(&mut routed),
            ping.query_async::<String>(&mut redis),
        );
        let expected: Vec<i64> = (0..40)
            .map(|i| if i < 20 { i } else { i + i - 20 })
            .collect();
        assert_eq!(echoed.unwrap(), expected);
        assert_eq!(pong.unwrap(), "PONG");
    }
}

/// What one task of the property test has seen.
#[derive(Default)]
struct Seen {
    right: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

const KEYS: u32 = 120;

/// Names the key, so that somebody else's reply is recognised; some are long, so that replies end in the middle of reads.
fn value_of(key: u32) -> String {
    let length = match key % 10 {
        0 => 100_000,
        1 => 3_000,
        _ => 10,
    };
    format!("value {key} {}", "x".repeat(length))
}

/// One random command or pipeline, checked if it answers.
async fn ask_something(cluster: Cluster, mut rng: fastrand::Rng, seen: Arc<Seen>) {
    let keys: Vec<u32> = (0..rng.u32(1..20)).map(|_| rng.u32(..KEYS)).collect();
    let names: Vec<String> = keys.iter().map(|key| format!("k{key}")).collect();
    let mut redis = cluster.clone();
    let answer: Result<Vec<String>, redis::RedisError> = match rng.u32(..5) {
        0 => redis.mget(&names).await,
        1 => {
            let mut pipe = redis::pipe();
            names.iter().for_each(|name| {
                pipe.get(name);
            });
            pipe.query_async(&mut redis).await
        }
        2 => {
            let mut pipe = redis::pipe();
            pipe.atomic();
            names.iter().for_each(|_| {
                pipe.get(&names[0]);
            });
            let got = pipe.query_async::<Vec<String>>(&mut redis).await;
            got.map(|got| {
                assert!(got.iter().all(|value| *value == got[0]));
                assert_eq!(got.len(), names.len());
                assert_eq!(got[0], value_of(keys[0]));
                keys.iter().map(|key| value_of(*key)).collect()
            })
        }
        _ => {
            let one = redis.get::<_, String>(&names[0]).await;
            one.map(|one| {
                assert_eq!(one, value_of(keys[0]));
                keys.iter().map(|key| value_of(*key)).collect()
            })
        }
    };
    match answer {
        Ok(values) => {
            let expected: Vec<String> = keys.iter().map(|key| value_of(*key)).collect();
            assert!(
                values == expected,
                "a reply of somebody else: asked for {names:?}"
            );
            seen.right.fetch_add(1, Ordering::Relaxed);
        }
        Err(_) => {
            seen.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_futures_and_deadlines_never_shift_replies() {
    let mut rng = seeded("dropped_futures_and_deadlines_never_shift_replies");
    let proxied = Proxied::start(2, "[timeouts]\nresponse = \"10s\"\n").await;
    let cluster = proxied.connect().await;
    let mut redis = cluster.clone();
    for key in 0..KEYS {
        let _: () = redis.set(format!("k{key}"), value_of(key)).await.unwrap();
    }
    let seen = Arc::new(Seen::default());
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let mut rng = rng.fork();
        let (cluster, seen) = (cluster.clone(), seen.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..150 {
                let cluster = match rng.u32(..3) {
                    0 => cluster.with_timeout(Duration::from_micros(rng.u64(100..30_000))),
                    _ => cluster.clone(),
                };
                let patience = Duration::from_micros(rng.u64(..4_000));
                let mut asked = Box::pin(ask_something(cluster, rng.fork(), seen.clone()));
                let done = match rng.u32(..4) {
                    0 => (&mut asked).now_or_never().is_some(),
                    1 => tokio::time::timeout(patience, &mut asked).await.is_ok(),
                    _ => {
                        asked.await;
                        true
                    }
                };
                if !done {
                    seen.dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    let weather = async {
        loop {
            for proxy in &proxied.proxies {
                proxy.delay(Duration::from_millis(rng.u64(..4)));
                proxy.stall_to_client(rng.u32(..4) == 0);
                proxy.stall_to_server(rng.u32(..6) == 0);
            }
            tokio::time::sleep(Duration::from_millis(rng.u64(1..15))).await;
        }
    };
    tokio::select! {
        () = weather => {}
        ended = futures::future::join_all(tasks) => ended.into_iter().for_each(Result::unwrap),
    }
    for proxy in &proxied.proxies {
        proxy.delay(Duration::ZERO);
        proxy.stall(false);
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert!(count(&seen.right) > 100, "{}", count(&seen.right));
    assert!(count(&seen.dropped) > 100, "{}", count(&seen.dropped));
    assert!(count(&seen.failed) > 20, "{}", count(&seen.failed));
    for key in 0..KEYS {
        let value: String = redis.get(format!("k{key}")).await.unwrap();
        assert!(value == value_of(key), "k{key}");
    }
    let snapshot = cluster.stats();
    for server in &snapshot.servers {
        assert_eq!(server.connects, 1, "no connection was lost over it");
    }
}

#[tokio::test]
async fn a_read_is_asked_again_over_a_cut_and_a_write_is_not() {
    let proxied = Proxied::start(1, "[timeouts]\nresponse = \"20s\"\n").await;
    let cluster = proxied.connect().await;
    let proxy = &proxied.proxies[0];
    query::<()>(&cluster, "SET k value").await.unwrap();
    for cut in [Cut::Reset, Cut::Fin] {
        proxy.cut_by(cut);
        proxy.cut_after_bytes_to_client(3);
        let value: String = query(&cluster, "GET k").await.unwrap();
        assert_eq!(value, "value", "{cut:?}");

        eventually("it is up", PATIENCE, async || cluster.health().is_ready()).await;
        proxy.cut_after_bytes_to_client(1);
        let error = query::<i64>(&cluster, "INCR n").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
        assert!(!error.is_retryable());
        assert_eq!(error.server(), Some("s0"));
        assert_eq!(error.command(), Some("INCR"));

        // Cut before its last byte: it cannot have run, so it is sent again by itself.
        let before: i64 = query(&cluster, "GET n").await.unwrap();
        eventually("it is up", PATIENCE, async || cluster.health().is_ready()).await;
        proxy.cut_after_bytes_to_client(0);
        let after = query::<i64>(&cluster, "INCR n").await;
        assert_eq!(after.unwrap_err().kind(), ErrorKind::Unknown);
        let value: i64 = query(&cluster, "GET n").await.unwrap();
        assert_eq!(value, before + 1, "once, although nobody heard of it");
    }
    let retries: u64 = cluster.stats().servers[0].retries;
    assert!(retries >= 2, "{retries}");
}

/// Keys that live on both servers in turn, each with its name as the value.
async fn named_keys(cluster: &Cluster) -> Vec<String> {
    let keys: Vec<String> = (0..12)
        .map(|i| key_on(cluster, ["s0", "s1"][i % 2], &format!("k{i}:")))
        .collect();
    for key in &keys {
        query::<()>(cluster, &format!("SET {key} {key}"))
            .await
            .unwrap();
    }
    keys
}

/// Calls and retries of MGET at a server.
fn mgets(since: &keyway::stats::StatsSnapshot, server: usize) -> (u64, u64) {
    let commands = &since.servers[server].commands;
    let mget = commands.iter().find(|command| command.name == "MGET");
    mget.map_or((0, 0), |mget| (mget.calls, mget.retries))
}

#[tokio::test]
async fn of_a_split_mget_only_what_a_cut_has_lost_is_asked_again() {
    let proxied = Proxied::start(2, "[timeouts]\nresponse = \"10s\"\n").await;
    let cluster = proxied.connect().await;
    let mut redis = cluster.clone();
    let keys = named_keys(&cluster).await;
    for cut in [Cut::Reset, Cut::Fin] {
        // Before the first byte of the reply, and in the middle of it.
        for bytes in [0, 30] {
            eventually("it is up", PATIENCE, async || cluster.health().is_ready()).await;
            let before = cluster.stats();
            proxied.proxies[1].cut_by(cut);
            proxied.proxies[1].cut_after_bytes_to_client(bytes);
            let values: Vec<String> = redis.mget(&keys).await.unwrap();
            assert_eq!(values, keys, "{cut:?} after {bytes}");
            let since = cluster.stats().since(&before);
            assert_eq!(mgets(&since, 0), (1, 0), "{cut:?} after {bytes}");
            assert_eq!(mgets(&since, 1), (1, 1), "{cut:?} after {bytes}");
        }
    }
}

#[tokio::test]
async fn a_split_mget_that_finds_no_room_or_is_dropped_loses_and_shifts_nothing() {
    let settings = "[timeouts]\nresponse = \"10s\"\n[limits]\nin_flight_max = 2\n";
    let proxied = Proxied::start(2, settings).await;
    let cluster = proxied.connect().await;
    let keys = named_keys(&cluster).await;
    proxied.proxies[1].stall_to_client(true);
    let call = || {
        let (mut redis, keys) = (cluster.clone(), keys.clone());
        async move { redis.mget::<_, Vec<String>>(&keys).await }
    };
    let mut dropped = Box::pin(call());
    assert!((&mut dropped).now_or_never().is_none());
    let rest: Vec<_> = (0..8).map(|_| tokio::spawn(call())).collect();
    tokio::task::yield_now().await;
    drop(dropped);
    proxied.proxies[1].stall_to_client(false);
    for call in rest {
        assert_eq!(call.await.unwrap().unwrap(), keys);
    }
    for server in &cluster.stats().servers {
        assert_eq!(server.connects, 1, "no connection was lost over it");
    }
}

#[tokio::test]
async fn a_split_mget_over_a_server_that_stays_away_says_which_keys_failed() {
    let settings = "[timeouts]\nresponse = \"10s\"\nconnect = \"2s\"\n";
    let mut proxied = Proxied::start(2, settings).await;
    let cluster = proxied.connect().await;
    let keys = named_keys(&cluster).await;
    proxied.proxies.pop();
    let mut mget = redis::cmd("MGET");
    mget.arg(&keys);
    let error = cluster.query::<Vec<String>>(&mget).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Partial, "{error}");
    let on = |server: usize| -> Vec<Vec<u8>> {
        let keys = keys.iter().skip(server).step_by(2);
        keys.map(|key| key.clone().into_bytes()).collect()
    };
    let partial = error.partial().unwrap().keys().unwrap();
    assert_eq!((&partial.done, &partial.failed), (&on(0), &on(1)));
    assert!(partial.unknown.is_empty());
}

#[tokio::test]
async fn a_batch_is_asked_again_over_a_cut_only_where_a_node_has_nothing_but_reads() {
    let proxied = Proxied::start(1, "[timeouts]\nresponse = \"20s\"\n").await;
    let cluster = proxied.connect().await;
    let proxy = &proxied.proxies[0];
    let nodes: Vec<String> = (0..2).map(|n| format!("{{{n}}}")).collect();
    assert_ne!(
        cluster.locate(&nodes[0]).node,
        cluster.locate(&nodes[1]).node
    );
    for name in &nodes {
        query::<()>(&cluster, &format!("SET {name}r value"))
            .await
            .unwrap();
    }
    proxy.cut_after_bytes_to_client(0);
    let mut batch = cluster.batch();
    let read = batch.get::<String>(format!("{}r", nodes[0]));
    let written = batch.incr::<i64>(format!("{}n", nodes[1]), 1);
    let behind = batch.get::<String>(format!("{}r", nodes[1]));
    let mut replies = batch.send().await;
    assert_eq!(replies.take(read).unwrap(), "value");
    assert_eq!(
        replies.take(written).unwrap_err().kind(),
        ErrorKind::Unknown
    );
    assert!(
        replies.take(behind).is_err(),
        "nothing of a node is sent behind what failed"
    );
    let n: i64 = query(&cluster, &format!("GET {}n", nodes[1]))
        .await
        .unwrap();
    assert_eq!(n, 1);
}

#[tokio::test]
async fn the_retry_budget_keeps_an_outage_from_becoming_a_storm() {
    let settings = "[timeouts]\nresponse = \"2s\"\n[retry]\nbudget_percent = 0\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied.connect().await;
    let key = key_on(&cluster, "s0", "k");
    proxied.proxies[0].cut_after_bytes_to_client(0);
    let error = query::<Option<String>>(&cluster, &format!("GET {key}"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert_eq!(cluster.stats().servers[0].retries, 0);

    // A server that cuts every connection: 100 retries are saved up at the start, then a tenth of the calls.
    let proxied = Proxied::start(
        1,
        "[timeouts]\nresponse = \"2s\"\n[retry]\nattempts_max = 100\nbackoff_max = \"2ms\"\n",
    )
    .await;
    let cluster = proxied.connect().await;
    let calls = 60;
    for _ in 0..calls {
        let proxy = &proxied.proxies[0];
        let call = query::<Option<String>>(&cluster, "GET k");
        let storm = async {
            loop {
                proxy.cut_after_bytes_to_client(150);
                tokio::time::sleep(Duration::from_millis(1)).await;
                proxy.cut_all();
            }
        };
        tokio::select! { _ = call => {}, () = storm => {} }
    }
    let snapshot = cluster.stats();
    assert!(
        snapshot.servers[0].retries <= 100 + calls,
        "{}",
        snapshot.servers[0].retries
    );
}
