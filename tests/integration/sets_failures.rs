//! Sets over nodes when something is wrong: a server that is dead, replaced or slow, an answer that cannot be stored, a stream let go.

use crate::fixture::{Proxied, RedisServer, TestCluster, eventually};
use crate::sets::{Set, apart, combine, load, members, model};
use futures::{StreamExt, TryStreamExt};
use keyway::{Cluster, ErrorKind};
use redis::{AsyncCommands, cmd};
use std::time::Duration;

/// Two sets on different servers.
async fn two(cluster: &Cluster, a: Set, b: Set) -> [(String, Set); 2] {
    let (first, second) = apart(cluster);
    let sets = [(first, a), (second, b)];
    load(cluster, &sets).await;
    sets
}

fn keys(sets: &[(String, Set); 2]) -> Vec<String> {
    sets.iter().map(|(key, _)| key.clone()).collect()
}

fn server_of(cluster: &Cluster, key: &str) -> usize {
    cluster.locate(key).server[1..].parse().unwrap()
}

#[tokio::test]
async fn under_resp3_every_way_gives_the_same_answers() {
    let fixture = TestCluster::start(2)
        .await
        .settings("protocol = \"resp3\"\n");
    let cluster = fixture.connect_patiently().await;
    for (a, b) in [
        (0..50, 20..100),
        (0..1_000, 500..30_000),
        (0..3_000, 1_000..4_000),
    ] {
        let sets = two(&cluster, members(a), members(b)).await;
        for operation in 0..3 {
            let asked = combine(&cluster, operation, &keys(&sets));
            let expected = model(operation, &[&sets[0].1, &sets[1].1]);
            let all: Vec<String> = asked.members().await.unwrap();
            let streamed: Vec<String> = asked.stream().try_collect().await.unwrap();
            for found in [all, streamed] {
                assert_eq!(found.len(), expected.len());
                assert_eq!(
                    found.into_iter().collect::<Set>(),
                    expected,
                    "operation {operation}"
                );
            }
            assert_eq!(
                asked.store_non_atomic("stored").await.unwrap(),
                expected.len() as u64
            );
        }
        let _: u64 = cluster.clone().del(keys(&sets)).await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_midway_sends_nothing_more_and_harms_nobody() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let sets = two(&cluster, members(0..20_000), members(0..20_000)).await;
    let sent = || -> u64 {
        cluster
            .stats()
            .servers
            .iter()
            .map(|server| server.bytes_sent)
            .sum()
    };
    for shown in [1, 500, 5_000] {
        let mut stream = combine(&cluster, 0, &keys(&sets)).stream::<String>();
        for _ in 0..shown {
            stream.next().await.unwrap().unwrap();
        }
        drop(stream);
        let before = sent();
        let _: u64 = cluster.clone().scard(&sets[0].0).await.unwrap();
        let _: u64 = cluster.clone().scard(&sets[1].0).await.unwrap();
        assert!(sent() - before < 1_000, "after {shown} members");
        assert_eq!(
            combine(&cluster, 0, &keys(&sets)).count().await.unwrap(),
            20_000
        );
    }
}

#[tokio::test]
async fn a_dead_server_is_never_an_empty_set_in_cache_mode_either() {
    for mode in ["", "mode = \"cache\"\n"] {
        let mut fixture = TestCluster::start(2).await.settings(mode);
        let cluster = fixture.connect_patiently().await;
        let sets = two(&cluster, members(0..5_000), members(2_000..9_000)).await;
        let dead = server_of(&cluster, &sets[1].0);
        let mut stream = combine(&cluster, 2, &keys(&sets)).stream::<String>();
        stream.next().await.unwrap().unwrap();
        fixture.servers[dead].kill();
        for operation in 0..3 {
            let asked = combine(&cluster, operation, &keys(&sets));
            assert!(
                asked.members::<String>().await.is_err(),
                "operation {operation} {mode:?}"
            );
            assert!(
                asked.count().await.is_err(),
                "operation {operation} {mode:?}"
            );
            assert!(asked.stream::<String>().next().await.unwrap().is_err());
            assert!(asked.store_non_atomic(&sets[0].0).await.is_err());
        }
        let rest: Vec<_> = stream.collect().await;
        // Of a difference, what is subtracted may be held by then; if it is not, the stream must fail.
        let shown: Vec<String> = rest
            .iter()
            .filter_map(|item| item.as_ref().ok().cloned())
            .collect();
        let expected = model(2, &[&sets[0].1, &sets[1].1]);
        assert!(
            shown.iter().all(|member| expected.contains(member)),
            "{mode:?}"
        );
        assert!(shown.len() + 1 == expected.len() || rest.last().unwrap().is_err());
        let left: u64 = cluster.clone().scard(&sets[0].0).await.unwrap();
        assert_eq!(left, 5_000, "what could not be read was not stored");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_ends_every_call_at_its_deadline() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let sets = two(&cluster, members(0..2_000), members(0..2_000)).await;
    let stopped = server_of(&cluster, &sets[1].0);
    fixture.servers[stopped].stop();
    let quick = cluster.with_timeout(Duration::from_millis(200));
    let asked = combine(&quick, 0, &keys(&sets));
    let began = std::time::Instant::now();
    for error in [
        asked.members::<String>().await.unwrap_err(),
        asked.count().await.unwrap_err(),
        asked.stream::<String>().next().await.unwrap().unwrap_err(),
        asked.store_non_atomic("stored").await.unwrap_err(),
    ] {
        assert!(error.is_timeout(), "{error}");
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    fixture.servers[stopped].resume();
}

#[tokio::test]
async fn after_close_every_call_is_an_error() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let sets = two(&cluster, members(0..20_000), members(0..20_000)).await;
    let asked = combine(&cluster, 0, &keys(&sets));
    let mut stream = asked.stream::<String>();
    stream.next().await.unwrap().unwrap();
    cluster.close().await.unwrap();
    let ended = stream.try_collect::<Vec<String>>().await;
    assert!(
        ended.is_err(),
        "a stream cut off by close() does not look complete"
    );
    assert!(asked.members::<String>().await.is_err());
    assert!(asked.stream::<String>().next().await.unwrap().is_err());
    assert!(asked.store_non_atomic("stored").await.is_err());
}

#[tokio::test]
async fn the_destination_may_be_any_of_the_sources() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    for operation in 0..3 {
        for destination in 0..2 {
            let sets = two(&cluster, members(0..3_000), members(1_000..5_000)).await;
            let expected = model(operation, &[&sets[0].1, &sets[1].1]);
            let onto = &sets[destination].0;
            let stored = combine(&cluster, operation, &keys(&sets))
                .store_non_atomic(onto)
                .await
                .unwrap();
            assert_eq!(stored, expected.len() as u64);
            let found: Set = cluster.clone().smembers(onto).await.unwrap();
            assert_eq!(found, expected, "operation {operation} onto {destination}");
            let _: u64 = cluster.clone().del(keys(&sets)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_store_that_the_server_refuses_leaves_the_destination_as_it_was() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let sets = two(&cluster, members(0..3_000), members(1_000..5_000)).await;
    let mut redis = cluster.clone();
    let _: u64 = redis.sadd("stored", "as it was").await.unwrap();
    let full = &fixture.servers[server_of(&cluster, "stored")];
    let mut direct = full.connection().await;
    let set = |name: &str, value: &str| cmd("CONFIG").arg("SET").arg(name).arg(value).to_owned();
    let _: () = set("maxmemory", "1")
        .query_async(&mut direct)
        .await
        .unwrap();
    let refused = combine(&cluster, 0, &keys(&sets))
        .store_non_atomic("stored")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("OOM"), "{refused}");
    let _: () = set("maxmemory", "0")
        .query_async(&mut direct)
        .await
        .unwrap();
    let found: Set = redis.smembers("stored").await.unwrap();
    assert!(found.into_iter().eq(["as it was".to_owned()]));
}

#[tokio::test]
async fn a_server_replaced_on_its_port_while_a_stream_runs_never_makes_a_wrong_answer() {
    for settings in ["", "[limits]\ngather_bytes_max = \"100KiB\"\n"] {
        let mut proxied = Proxied::start(2, settings).await;
        let cluster = proxied.connect().await;
        let sets = two(&cluster, members(0..20_000), members(5_000..25_000)).await;
        let expected = model(0, &[&sets[0].1, &sets[1].1]);
        let mut stream = combine(&cluster, 0, &keys(&sets)).stream::<String>();
        let mut shown = Set::new();
        for _ in 0..3_000 {
            assert!(
                shown.insert(stream.next().await.unwrap().unwrap()),
                "no member twice"
            );
        }
        // Another process with the same data, in which an old cursor means something else: its hash seed differs.
        let replaced = server_of(&cluster, &sets[0].0);
        let other = RedisServer::start().await;
        let mut direct = other.connection().await;
        let all: Vec<&String> = sets[0].1.iter().collect();
        for chunk in all.chunks(1_000) {
            let _: u64 = direct.sadd(&sets[0].0, chunk).await.unwrap();
        }
        proxied.proxies[replaced].forward_to(other.port());
        proxied.fixture.servers[replaced] = other;
        proxied.proxies[replaced].cut_all();
        eventually(
            "the other process is reached",
            Duration::from_secs(20),
            async || {
                let size: Result<u64, _> = cluster.clone().scard(&sets[0].0).await;
                size.is_ok_and(|size| size == 20_000)
            },
        )
        .await;
        let mut failed = None;
        while let Some(member) = stream.next().await {
            match member {
                Ok(member) => assert!(shown.insert(member), "no member twice"),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            None => assert_eq!(shown, expected, "{settings:?}"),
            Some(error) => {
                assert_eq!(error.kind(), ErrorKind::CursorStale, "{error}");
                assert!(
                    !settings.is_empty(),
                    "what was shown is remembered: {error}"
                );
                assert!(shown.is_subset(&expected));
            }
        }
    }
}
