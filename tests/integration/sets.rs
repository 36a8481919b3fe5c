//! Sets over nodes: against a model in memory, on random topologies, by every strategy; and what happens when something is wrong.

use crate::fixture::{Proxied, RedisServer, TestCluster, cluster_toml, parse, seed_or};
use futures::{StreamExt, TryStreamExt};
use keyway::config::Endpoint;
use keyway::placement::{Algorithm, Placement};
use keyway::sets::{Action, Combination, Strategy};
use keyway::{Cluster, Config, ErrorKind, NodeId};
use redis::{AsyncCommands, cmd};
use std::collections::BTreeSet;

pub(crate) type Set = BTreeSet<String>;

const SEED: u64 = 20_261_124;

/// Sets of sizes around every threshold of the plan, under keys of which some are missing.
fn random_sets(rng: &mut fastrand::Rng) -> Vec<(String, Set)> {
    let sizes = [0, 1, 5, 127, 128, 129, 300, 700, 2_500];
    let style = rng.u8(..3);
    (0..rng.usize(1..6))
        .map(|at| {
            let size = sizes[rng.usize(..sizes.len())];
            let space = *rng.choice(&[size.max(1), 2 * size + 1, 6_000]).unwrap();
            let first = rng.usize(..500);
            let member = |number: usize| match style {
                // An intset, as long as it is small.
                0 => number.to_string(),
                1 => format!("member:{number}"),
                _ => format!("{number}\r\n{}", "x".repeat(number % 90)),
            };
            let mut set = Set::new();
            for _ in 0..size {
                set.insert(member(first + rng.usize(..space)));
            }
            (format!("set:{at}:{}", rng.u16(..)), set)
        })
        .collect()
}

pub(crate) fn model(operation: usize, sets: &[&Set]) -> Set {
    let others = &sets[1..];
    others
        .iter()
        .fold(sets[0].clone(), |all, set| match operation {
            0 => &all & set,
            1 => &all | set,
            _ => &all - set,
        })
}

pub(crate) fn combine(cluster: &Cluster, operation: usize, keys: &[String]) -> Combination {
    match operation {
        0 => cluster.sets().intersect(keys),
        1 => cluster.sets().union(keys),
        _ => cluster.sets().difference(keys),
    }
}

/// A cluster file with random nodes, placed at random on some of the servers.
fn random_topology(rng: &mut fastrand::Rng, settings: &str, ports: &[u16]) -> String {
    let count = *rng.choice(&[1, 2, 5]).unwrap();
    cluster_toml(settings, rng.usize(1..=128).max(count), &ports[..count])
}

async fn connect(toml: &str) -> Cluster {
    let cluster = Cluster::connect_config(parse(toml)).await.unwrap();
    cluster.with_timeout(std::time::Duration::from_secs(30))
}

pub(crate) async fn load(cluster: &Cluster, sets: &[(String, Set)]) {
    let mut pipe = redis::pipe();
    for (key, set) in sets {
        for chunk in set.iter().collect::<Vec<_>>().chunks(500) {
            pipe.sadd(key, chunk).ignore();
        }
    }
    if pipe.is_empty() {
        return;
    }
    let mut patient = cluster.with_timeout(std::time::Duration::from_secs(30));
    let _: () = pipe.query_async(&mut patient).await.unwrap();
}

async fn flush(servers: &[RedisServer]) {
    for server in servers {
        let _: () = cmd("FLUSHALL")
            .query_async(&mut server.connection().await)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn random_operations_on_random_topologies_give_the_answers_of_a_model() {
    let seed = seed_or("random_operations_on_random_topologies", SEED);
    let mut rng = fastrand::Rng::with_seed(seed);
    let fixture = TestCluster::start(5).await;
    for round in 0..30 {
        // A tiny limit makes walks forget what they have shown.
        let settings = *rng
            .choice(&["", "[limits]\ngather_bytes_max = \"2MiB\"\n"])
            .unwrap();
        let toml = random_topology(&mut rng, settings, &fixture.ports());
        let cluster = connect(&toml).await;
        let sets = random_sets(&mut rng);
        load(&cluster, &sets).await;
        for _ in 0..8 {
            let missing = ("missing".to_owned(), Set::new());
            let chosen: Vec<&(String, Set)> = (0..rng.usize(1..5))
                .map(|_| {
                    if rng.u8(..8) == 0 {
                        &missing
                    } else {
                        &sets[rng.usize(..sets.len())]
                    }
                })
                .collect();
            let keys: Vec<String> = chosen.iter().map(|(key, _)| key.clone()).collect();
            let operation = rng.usize(..3);
            let expected = model(
                operation,
                &chosen.iter().map(|(_, set)| set).collect::<Vec<_>>(),
            );
            let what = format!(
                "KEYWAY_TEST_SEED={seed} round {round}, operation {operation} of {keys:?}\n{toml}"
            );
            let asked = combine(&cluster, operation, &keys);
            for strategy in [
                None,
                Some(Strategy::Probe),
                Some(Strategy::Fetch),
                Some(Strategy::Stream),
            ] {
                let asked = match strategy {
                    Some(strategy) => asked.clone().strategy(strategy),
                    None => asked.clone(),
                };
                let members: Vec<String> = asked.members().await.unwrap();
                assert_eq!(members.len(), expected.len(), "{strategy:?} {what}");
                assert_eq!(
                    members.into_iter().collect::<Set>(),
                    expected,
                    "{strategy:?} {what}"
                );
                assert_eq!(
                    asked.count().await.unwrap(),
                    expected.len() as u64,
                    "{strategy:?} {what}"
                );
                let limit = rng.u64(..expected.len() as u64 + 3);
                let limited = asked.clone().limit(limit);
                let some: Vec<String> = limited.members().await.unwrap();
                let count = limit.min(expected.len() as u64);
                assert_eq!(
                    some.len() as u64,
                    count,
                    "limit {limit} {strategy:?} {what}"
                );
                let some: Set = some.into_iter().collect();
                assert_eq!(
                    some.len() as u64,
                    count,
                    "limit {limit} {strategy:?} {what}"
                );
                assert!(
                    some.is_subset(&expected),
                    "limit {limit} {strategy:?} {what}"
                );
                assert_eq!(
                    limited.count().await.unwrap(),
                    count,
                    "limit {limit} {strategy:?} {what}"
                );
            }
            let streamed: Vec<String> = asked.stream().try_collect().await.unwrap();
            assert_eq!(
                streamed.len(),
                expected.len(),
                "a stream shows no member twice: {what}"
            );
            assert_eq!(
                streamed.into_iter().collect::<Set>(),
                expected,
                "stream {what}"
            );
            let raw = ["SINTER", "SUNION", "SDIFF"][operation];
            let raw: Set = cluster.query(cmd(raw).arg(&keys)).await.unwrap();
            assert_eq!(raw, expected, "raw {what}");
            let explained = asked.explain().await.unwrap();
            assert_eq!(
                explained.members,
                expected.len() as u64,
                "{explained}\n{what}"
            );
            // Onto another key or onto one of its own sets; in the end the sets are as before.
            let stored = asked.store_non_atomic("stored").await.unwrap();
            assert_eq!(stored, expected.len() as u64, "{what}");
            let found: Set = cluster.clone().smembers("stored").await.unwrap();
            assert_eq!(found, expected, "stored {what}");
            let exists: bool = cluster.clone().exists("stored").await.unwrap();
            assert_eq!(
                exists,
                !expected.is_empty(),
                "an empty answer deletes the key: {what}"
            );
        }
        flush(&fixture.servers).await;
    }
}

#[tokio::test]
async fn a_stream_shows_every_member_once_also_when_it_cannot_remember_all_of_them() {
    let fixture = TestCluster::start(2)
        .await
        .settings("[limits]\ngather_bytes_max = \"600KiB\"\n");
    let cluster = fixture.connect_patiently().await;
    let sets: Vec<(String, Set)> = [0..20_000, 10_000..30_000, 25_000..32_000]
        .into_iter()
        .enumerate()
        .map(|(at, range)| {
            (
                format!("large:{at}"),
                range.map(|i| format!("member:{i}")).collect(),
            )
        })
        .collect();
    load(&cluster, &sets).await;
    let keys: Vec<String> = sets.iter().map(|(key, _)| key.clone()).collect();
    for operation in 0..3 {
        let expected = model(
            operation,
            &sets.iter().map(|(_, set)| set).collect::<Vec<_>>(),
        );
        let streamed: Vec<String> = combine(&cluster, operation, &keys)
            .stream()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(streamed.len(), expected.len(), "operation {operation}");
        assert_eq!(
            streamed.into_iter().collect::<Set>(),
            expected,
            "operation {operation}"
        );
    }
    let large = cluster
        .sets()
        .union(&keys)
        .members::<String>()
        .await
        .unwrap_err();
    assert_eq!(large.kind(), ErrorKind::TooLarge, "{large}");
    let large = cluster
        .sets()
        .union(&keys)
        .strategy(Strategy::Stream)
        .count()
        .await
        .unwrap_err();
    assert_eq!(large.kind(), ErrorKind::TooLarge, "{large}");
    // What does not fit is walked, as long as the answer fits.
    let both: Vec<String> = cluster
        .sets()
        .intersect([&keys[0], &keys[1], &keys[2]])
        .members()
        .await
        .unwrap();
    assert!(both.is_empty());
}

#[tokio::test]
async fn a_wrong_type_is_named_with_its_key_whatever_the_others_are() {
    let fixture = TestCluster::start(3).await;
    let cluster = fixture.connect_patiently().await;
    let mut redis = cluster.clone();
    let _: () = redis.set("text", "x").await.unwrap();
    let _: () = redis
        .sadd("small", (0..10).collect::<Vec<u64>>())
        .await
        .unwrap();
    let _: () = redis
        .sadd("large", (0..2_000).collect::<Vec<u64>>())
        .await
        .unwrap();
    for keys in [
        &["text"][..],
        &["small", "text"],
        &["text", "large"],
        &["missing", "text"],
        &["large", "small", "text", "text"],
    ] {
        for operation in 0..3 {
            let keys: Vec<String> = keys.iter().map(|key| key.to_string()).collect();
            let asked = combine(&cluster, operation, &keys);
            let errors = [
                asked.members::<u64>().await.unwrap_err(),
                asked.count().await.unwrap_err(),
                asked.clone().limit(3).members::<u64>().await.unwrap_err(),
                asked.stream::<u64>().next().await.unwrap().unwrap_err(),
                asked.store_non_atomic("stored").await.unwrap_err(),
                asked.explain().await.unwrap_err(),
            ];
            for error in errors {
                assert_eq!(error.kind(), ErrorKind::Server, "{error}");
                assert_eq!(error.server_error().unwrap().code(), "WRONGTYPE", "{error}");
                assert!(error.to_string().contains("the key \"text\""), "{error}");
            }
        }
    }
    let none: [&str; 0] = [];
    let error = cluster.sets().union(&none[..]).count().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let error = cluster
        .sets()
        .union(["keyway:note"])
        .count()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let _: () = redis.sadd("words", "no number").await.unwrap();
    let error = cluster
        .sets()
        .union(["small", "words"])
        .members::<u64>()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedReply, "{error}");
}

pub(crate) fn members(range: std::ops::Range<usize>) -> Set {
    range.map(|i| format!("member:{i}")).collect()
}

/// Two keys whose nodes are on different servers.
pub(crate) fn apart(cluster: &Cluster) -> (String, String) {
    let home = |key: &str| cluster.locate(key).server;
    let other = (0..)
        .map(|i| format!("b{i}"))
        .find(|key| home(key) != home("a"))
        .unwrap();
    ("a".to_owned(), other)
}

#[tokio::test]
async fn bytes_follow_the_smallest_set_and_the_estimate_is_near() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let (small, large) = apart(&cluster);
    let member = |i: usize| format!("{i:010}");
    load(
        &cluster,
        &[
            (small.clone(), (0..1_000).map(member).collect()),
            (large.clone(), (500..200_500).map(member).collect()),
        ],
    )
    .await;
    let moved = || -> u64 {
        let servers = cluster.stats().servers;
        servers
            .iter()
            .map(|server| server.bytes_sent + server.bytes_received)
            .sum()
    };
    let before = moved();
    let members: Vec<String> = cluster
        .sets()
        .intersect([&large, &small])
        .members()
        .await
        .unwrap();
    assert_eq!(members.len(), 500);
    let moved = moved() - before;
    let reply = "*1000\r\n".len() + 1_000 * "$10\r\n0123456789\r\n".len();
    assert!(
        moved < 3 * reply as u64,
        "{moved} bytes for a reply of {reply}"
    );
    let explained = cluster
        .sets()
        .intersect([&large, &small])
        .explain()
        .await
        .unwrap();
    assert_eq!(
        explained.actual.bytes(),
        moved,
        "what is said to have moved is what the sockets saw\n{explained}"
    );
    assert_eq!(explained.actual.round_trips, 3, "{explained}");
    let actions: Vec<Action> = explained.steps.iter().map(|step| step.action).collect();
    assert_eq!(
        actions,
        [Action::Sizes, Action::Fetch, Action::Probe],
        "{explained}"
    );
    for (strategy, factor) in [
        (Strategy::Probe, 1.1),
        (Strategy::Fetch, 1.1),
        (Strategy::Stream, 1.3),
    ] {
        for operation in [0, 2] {
            let keys = [small.clone(), large.clone()];
            let explained = combine(&cluster, operation, &keys)
                .strategy(strategy)
                .explain()
                .await
                .unwrap();
            let ratio = explained.estimated.bytes() as f64 / explained.actual.bytes() as f64;
            assert!(
                (1.0 / factor..factor).contains(&ratio),
                "{strategy:?}: {ratio}\n{explained}"
            );
            let trips = explained
                .estimated
                .round_trips
                .abs_diff(explained.actual.round_trips);
            assert!(trips <= 1, "{strategy:?}\n{explained}");
        }
    }
}

#[tokio::test]
async fn explain_shows_the_plan_as_a_table() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let (small, large) = apart(&cluster);
    let member = |i: usize| format!("{i:010}");
    load(
        &cluster,
        &[
            (small.clone(), (0..100).map(member).collect()),
            (large.clone(), (90..5_090).map(member).collect()),
        ],
    )
    .await;
    let explained = cluster
        .sets()
        .intersect([&small, &large])
        .explain()
        .await
        .unwrap();
    assert_eq!(explained.members, 10);
    assert_eq!(explained.actual.round_trips, 2, "{explained}");
    let text = explained.to_string();
    for line in [
        "intersection of 2 sets: 10 members in 2 round trips",
        "sizes all",
        "SMISMEMBER",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
async fn members_that_are_not_in_question_may_come_and_go_while_a_stream_runs() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let (a, b) = apart(&cluster);
    let stays =
        |range: std::ops::Range<usize>| range.map(|i| format!("stays:{i}")).collect::<Set>();
    load(
        &cluster,
        &[
            (a.clone(), stays(0..6_000)),
            (b.clone(), stays(2_000..8_000)),
        ],
    )
    .await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let disturb = async {
        let mut redis = cluster.clone();
        // Grows and shrinks the tables, so that scans meet a resize.
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            for key in [&a, &b] {
                let noise: Vec<String> = (0..3_000).map(|i| format!("noise:{i}")).collect();
                let _: u64 = redis.sadd(key, &noise).await.unwrap();
                let _: u64 = redis.srem(key, &noise).await.unwrap();
            }
        }
    };
    let read = async {
        for _ in 0..10 {
            for operation in 0..3 {
                let keys = [a.clone(), b.clone()];
                let expected = model(operation, &[&stays(0..6_000), &stays(2_000..8_000)]);
                let shown: Vec<String> = combine(&cluster, operation, &keys)
                    .stream()
                    .try_collect()
                    .await
                    .unwrap();
                let count = shown.len();
                let shown: Set = shown.into_iter().collect();
                assert_eq!(count, shown.len(), "no member twice");
                let shown: Set = shown
                    .into_iter()
                    .filter(|member| member.starts_with("stays"))
                    .collect();
                assert_eq!(shown, expected, "operation {operation}");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    futures::join!(disturb, read);
}

#[tokio::test]
async fn a_reload_while_sets_are_combined_changes_no_answer() {
    let fixture = TestCluster::with_nodes(2, 8).await;
    let cluster = fixture.connect_patiently().await;
    let sets: Vec<(String, Set)> = (0..4)
        .map(|at| (format!("s{at}"), members(at * 500..at * 500 + 3_000)))
        .collect();
    // The sets are on both servers, so that it does not matter where a node lives.
    load(&cluster, &sets).await;
    let swapped = parse(&cluster_toml(
        "",
        8,
        &[fixture.ports()[1], fixture.ports()[0]],
    ));
    cluster.reload(swapped.clone()).await.unwrap();
    load(&cluster, &sets).await;
    let keys: Vec<String> = sets.iter().map(|(key, _)| key.clone()).collect();
    for round in 0..60 {
        // One switch during each: a plan that a switch has made void is made anew, as often as there are switches.
        let next = if round % 2 == 0 {
            fixture.config()
        } else {
            swapped.clone()
        };
        let operation = round % 3;
        let expected = model(
            operation,
            &sets.iter().map(|(_, set)| set).collect::<Vec<_>>(),
        );
        let asked = combine(&cluster, operation, &keys);
        let read = async {
            let members: Vec<String> = asked.members().await.unwrap();
            let shown: Vec<String> = asked.stream().try_collect().await.unwrap();
            for members in [members, shown] {
                assert_eq!(members.len(), expected.len());
                assert_eq!(
                    members.into_iter().collect::<Set>(),
                    expected,
                    "operation {operation}"
                );
            }
        };
        let (reloaded, ()) = futures::join!(cluster.reload(next), read);
        reloaded.unwrap();
    }
}

#[tokio::test]
async fn a_stream_ends_at_its_limit() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let set = |from: usize| members(from..from + 3_000);
    let (a, b) = apart(&cluster);
    let sets = [(a.clone(), set(0)), (b.clone(), set(1_000))];
    load(&cluster, &sets).await;
    for operation in 0..3 {
        let expected = model(operation, &[&sets[0].1, &sets[1].1]);
        for limit in [0, 1, 7, 200, 1_999, 10_000] {
            let asked = combine(&cluster, operation, &[a.clone(), b.clone()]).limit(limit);
            let shown: Vec<String> = asked.stream().try_collect().await.unwrap();
            assert_eq!(
                shown.len(),
                expected.len().min(limit as usize),
                "{limit} of {operation}"
            );
            let shown: Set = shown.into_iter().collect();
            assert_eq!(shown.len(), expected.len().min(limit as usize), "each once");
            assert!(shown.is_subset(&expected));
        }
    }
}

#[tokio::test]
async fn sets_that_a_switch_takes_apart_are_not_combined_where_they_were_together() {
    let fixture = TestCluster::start(2).await;
    let placement = Placement::with_nodes(Algorithm::Modulo, 3).unwrap();
    let keys: Vec<String> = (0..3)
        .map(|node| {
            (0..)
                .map(|i| format!("s{i}"))
                .find(|key| placement.node(key.as_bytes()) == NodeId(node))
                .unwrap()
        })
        .collect();
    let config = |of_0: Vec<u16>, of_1: Vec<u16>| {
        let url = |server: usize| format!("redis://127.0.0.1:{}", fixture.ports()[server]);
        let endpoint = |server| Endpoint::from_url(&url(server)).unwrap();
        Config::builder("test")
            .placement(placement.clone())
            .server("s0", endpoint(0), of_0)
            .server("s1", endpoint(1), of_1)
            .build()
            .unwrap()
    };
    // The first two together; then the first one on the server where the second is not, and never was.
    let together = config(vec![0, 1], vec![2]);
    let apart = config(vec![1], vec![0, 2]);
    let set = |from: usize| members(from..from + 1_000);
    let sets: Vec<(String, Set)> = keys
        .iter()
        .cloned()
        .zip([set(0), set(300), set(600)])
        .collect();
    let cluster = Cluster::connect_config(together.clone()).await.unwrap();
    let cluster = cluster.with_timeout(std::time::Duration::from_secs(30));
    load(&cluster, &sets).await;
    cluster.reload(apart.clone()).await.unwrap();
    load(&cluster, &sets[..1]).await;
    let expected = model(0, &sets.iter().map(|(_, set)| set).collect::<Vec<_>>());
    assert_eq!(expected.len(), 400);
    for round in 0..100 {
        let next = if round % 2 == 0 { &together } else { &apart };
        let asked = combine(&cluster, 0, &keys).strategy(Strategy::Fetch);
        let (reloaded, members) =
            futures::join!(cluster.reload(next.clone()), asked.members::<String>());
        reloaded.unwrap();
        let members: Set = members.unwrap().into_iter().collect();
        assert_eq!(members, expected, "round {round}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_while_a_stream_runs_leads_to_the_whole_answer_or_an_error() {
    for settings in ["", "[limits]\ngather_bytes_max = \"100KiB\"\n"] {
        let proxied = Proxied::start(2, settings).await;
        let cluster = proxied.connect().await;
        let (a, b) = apart(&cluster);
        let sets = [
            (a.clone(), members(0..20_000)),
            (b.clone(), members(5_000..25_000)),
        ];
        load(&cluster, &sets).await;
        let mut outcomes = [0, 0];
        for operation in 0..3 {
            let expected = model(operation, &[&sets[0].1, &sets[1].1]);
            let mut stream =
                combine(&cluster, operation, &[a.clone(), b.clone()]).stream::<String>();
            let mut shown = Vec::new();
            let mut failed = None;
            while let Some(member) = stream.next().await {
                match member {
                    Ok(member) => shown.push(member),
                    Err(error) => failed = Some(error),
                }
                if shown.len() == 3_000 {
                    for proxy in &proxied.proxies {
                        proxy.cut_all();
                    }
                }
            }
            let count = shown.len();
            let shown: Set = shown.into_iter().collect();
            assert_eq!(count, shown.len(), "no member twice");
            match failed {
                None => assert_eq!(shown, expected, "operation {operation}"),
                Some(error) => {
                    assert_eq!(error.kind(), ErrorKind::CursorStale, "{error}");
                    assert!(shown.is_subset(&expected));
                }
            }
            outcomes[usize::from(count < expected.len())] += 1;
        }
        let expected = if settings.is_empty() { [3, 0] } else { [0, 3] };
        assert_eq!(
            outcomes, expected,
            "whole answers, and errors: {settings:?}"
        );
    }
}
