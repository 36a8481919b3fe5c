//! Sorted sets over nodes: the replies of one server with all keys, by every way that a plan has; and what happens when something is wrong.

use crate::fixture::{RedisServer, TestCluster, cluster_toml, parse, seed_or};
use keyway::{Cluster, ErrorKind};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, Value, cmd};

const SEED: u64 = 20_261_125;

/// Keys with their members; a plain set has no scores.
type Sets = Vec<(String, Vec<(String, Option<f64>)>)>;

/// Sets that share members, of sizes around the thresholds of the plan. `fillers` members of no other set are added to all but the first:
/// with many of them to probe is cheaper than to fetch, and no answer changes but for what a difference takes from them.
fn random_sets(rng: &mut fastrand::Rng, fillers: usize) -> Sets {
    let sizes = [0, 5, 127, 128, 129, 300, 700];
    let scores = [
        0.0,
        -0.0,
        0.1,
        1.0,
        3.7,
        1e16,
        1e300,
        -1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        5e-324,
    ];
    (0..rng.usize(2..6))
        .map(|at| {
            let plain = rng.u8(..4) == 0;
            let size = *rng.choice(&sizes).unwrap();
            let mut members: Vec<(String, Option<f64>)> = Vec::new();
            for _ in 0..size {
                let score = match rng.bool() {
                    true => *rng.choice(&scores).unwrap(),
                    false => rng.f64() * 1e6 - 5e5,
                };
                members.push((
                    format!("member:{}", rng.usize(..800)),
                    (!plain).then_some(score),
                ));
            }
            if at > 0 && size > 0 {
                let filler = |i| {
                    (
                        format!("filler:{at}:{i}"),
                        (!plain).then_some(i as f64 / 7.0),
                    )
                };
                members.extend((0..fillers).map(filler));
            }
            (format!("sorted:{at}:{}", rng.u16(..)), members)
        })
        .collect()
}

fn load(sets: &Sets) -> Pipeline {
    let mut pipe = redis::pipe();
    for (key, members) in sets {
        for chunk in members.chunks(500) {
            let is_plain = chunk[0].1.is_none();
            let mut add = cmd(if is_plain { "SADD" } else { "ZADD" });
            add.arg(key);
            for (member, score) in chunk {
                if let Some(score) = score {
                    add.arg(*score);
                }
                add.arg(member);
            }
            pipe.add_command(add).ignore();
        }
    }
    pipe
}

fn random_command(rng: &mut fastrand::Rng, sets: &Sets) -> Cmd {
    let mut keys: Vec<&str> = (0..rng.usize(1..5))
        .map(|_| sets[rng.usize(..sets.len())].0.as_str())
        .collect();
    if rng.u8(..8) == 0 {
        keys.push("missing");
    }
    let name = *rng.choice(&["ZINTER", "ZINTERCARD", "ZDIFF"]).unwrap();
    let mut command = cmd(name);
    command.arg(keys.len()).arg(&keys);
    if name == "ZINTER" && rng.bool() {
        let weights = ["1", "0", "-2.5", "inf", "0.1", "1e300"];
        command.arg("WEIGHTS");
        for _ in &keys {
            command.arg(*rng.choice(&weights).unwrap());
        }
    }
    if name == "ZINTER" && rng.bool() {
        command
            .arg("AGGREGATE")
            .arg(*rng.choice(&["sum", "MIN", "max"]).unwrap());
    }
    match name {
        "ZINTERCARD" if rng.bool() => command.arg("LIMIT").arg(rng.usize(..50)),
        "ZINTERCARD" => &mut command,
        _ if rng.u8(..4) > 0 => command.arg("WITHSCORES"),
        _ => &mut command,
    };
    command
}

async fn ask(connection: &mut impl ConnectionLike, command: &Cmd) -> Value {
    match connection.req_packed_command(command).await {
        Ok(value) => value,
        Err(error) => Value::ServerError(error.try_into().expect("a server's error")),
    }
}

fn print(command: &Cmd) -> String {
    String::from_utf8_lossy(&command.get_packed_command()).replace("\r\n", " ")
}

async fn single(server: &RedisServer, protocol: u8) -> MultiplexedConnection {
    let url = format!("{}?protocol=resp{protocol}", server.url());
    let client = redis::Client::open(url).unwrap();
    // redis-rs itself waits for 500 ms, which is too short on a busy machine.
    let patience = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(std::time::Duration::from_secs(20)))
        .set_response_timeout(Some(std::time::Duration::from_secs(20)));
    client
        .get_multiplexed_async_connection_with_config(&patience)
        .await
        .unwrap()
}

/// How often the servers were called with this command.
async fn calls(fixture: &TestCluster, name: &str) -> u64 {
    let mut calls = 0;
    for server in &fixture.servers {
        let mut direct = server.connection().await;
        let info: String = cmd("INFO")
            .arg("commandstats")
            .query_async(&mut direct)
            .await
            .unwrap();
        let line = info
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        calls += line.map_or(0, |line| {
            line.split(',').next().unwrap().parse::<u64>().unwrap()
        });
    }
    calls
}

#[tokio::test]
async fn probed_or_fetched_the_reply_is_to_the_byte_that_of_one_server() {
    let seed = seed_or("probed_or_fetched", SEED);
    let mut rng = fastrand::Rng::with_seed(seed);
    let fixture = TestCluster::start(5).await;
    let server = RedisServer::start().await;
    for round in 0..24 {
        let fillers = if round % 2 == 0 { 0 } else { 9_000 };
        let protocol = 2 + round / 2 % 2;
        let servers = *rng.choice(&[1, 2, 5]).unwrap();
        let nodes = rng.usize(1..=128).max(servers);
        let settings = format!("protocol = \"resp{protocol}\"\n");
        let toml = cluster_toml(&settings, nodes, &fixture.ports()[..servers]);
        let many = Cluster::connect_config(parse(&toml)).await.unwrap();
        let mut many = many.with_timeout(std::time::Duration::from_secs(30));
        let mut one = single(&server, protocol as u8).await;
        let sets = random_sets(&mut rng, fillers);
        let _: () = load(&sets).query_async(&mut many).await.unwrap();
        let _: () = load(&sets).query_async(&mut one).await.unwrap();
        for _ in 0..12 {
            let command = random_command(&mut rng, &sets);
            let (from_many, from_one) = (
                ask(&mut many, &command).await,
                ask(&mut one, &command).await,
            );
            // Debug tells -0.0 from 0.0, which are equal.
            assert_eq!(
                format!("{from_many:?}"),
                format!("{from_one:?}"),
                "KEYWAY_TEST_SEED={seed} round {round}: {}\n{toml}",
                print(&command)
            );
        }
        for server in fixture.servers.iter().chain([&server]) {
            let _: () = cmd("FLUSHALL")
                .query_async(&mut server.connection().await)
                .await
                .unwrap();
        }
    }
    for name in [
        "zmscore",
        "smismember",
        "zrange",
        "smembers",
        "zscan",
        "sscan",
    ] {
        assert!(
            calls(&fixture, name).await > 0,
            "{name} was never sent, so the test shows nothing of it"
        );
    }
}

/// `count` keys, each on another server than the one before.
fn apart(cluster: &Cluster, count: usize) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for i in 0.. {
        let key = format!("k{i}");
        let is_apart = |last: &String| cluster.locate(last).server != cluster.locate(&key).server;
        if keys.last().is_none_or(is_apart) {
            keys.push(key);
        }
        if keys.len() == count {
            break;
        }
    }
    keys
}

fn moved(cluster: &Cluster) -> u64 {
    let servers = cluster.stats().servers;
    servers
        .iter()
        .map(|server| server.bytes_sent + server.bytes_received)
        .sum()
}

#[tokio::test]
async fn what_is_moved_follows_the_smallest_sorted_set_and_a_limit_ends_early() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let keys = apart(&cluster, 2);
    let members = |range: std::ops::Range<usize>| {
        range
            .map(|i| (format!("{i:010}"), Some(i as f64)))
            .collect()
    };
    let sets = vec![
        (keys[0].clone(), members(0..1_000)),
        (keys[1].clone(), members(0..100_000)),
    ];
    let _: () = load(&sets).query_async(&mut cluster.clone()).await.unwrap();
    for name in ["ZINTER", "ZINTERCARD", "ZDIFF"] {
        let before = moved(&cluster);
        let _: Value = cluster.query(cmd(name).arg(2).arg(&keys)).await.unwrap();
        let moved = moved(&cluster) - before;
        assert!(
            moved < 100_000,
            "{name} moved {moved} bytes; the large set has 2,500,000"
        );
    }
    let large = vec![(keys[0].clone(), members(0..100_000))];
    let _: () = load(&large)
        .query_async(&mut cluster.clone())
        .await
        .unwrap();
    let before = moved(&cluster);
    let count: u64 = cluster
        .query(cmd("ZINTERCARD").arg(2).arg(&keys).arg("LIMIT").arg(5))
        .await
        .unwrap();
    assert_eq!(count, 5);
    let moved = moved(&cluster) - before;
    assert!(moved < 30_000, "{moved} bytes for a limit of 5");
}

#[tokio::test]
async fn what_does_not_fit_or_does_not_answer_is_an_error_and_a_wrong_type_the_servers_own() {
    let mut fixture = TestCluster::start(2)
        .await
        .settings("mode = \"cache\"\n[limits]\ngather_bytes_max = \"64KiB\"\n");
    let cluster = fixture.connect_patiently().await;
    let keys = apart(&cluster, 2);
    let members = |range: std::ops::Range<usize>| {
        range
            .map(|i| (format!("{i:010}"), Some(i as f64)))
            .collect()
    };
    let sets = vec![
        (keys[0].clone(), members(0..5_000)),
        (keys[1].clone(), members(0..5_000)),
    ];
    let _: () = load(&sets).query_async(&mut cluster.clone()).await.unwrap();
    let _: () = cmd("SET")
        .arg("text")
        .arg(1)
        .query_async(&mut cluster.clone())
        .await
        .unwrap();
    for name in ["ZINTER", "ZDIFF", "ZUNION"] {
        let large = cluster
            .query::<Value>(cmd(name).arg(2).arg(&keys))
            .await
            .unwrap_err();
        assert_eq!(large.kind(), ErrorKind::TooLarge, "{large}");
        let wrong = ask(
            &mut cluster.clone(),
            cmd(name).arg(3).arg(&keys).arg("text").arg("BAD"),
        )
        .await;
        let Value::ServerError(wrong) = wrong else {
            panic!("{name}: {wrong:?}");
        };
        assert_eq!(
            wrong.code(),
            "WRONGTYPE",
            "types are looked at before the arguments"
        );
    }
    let dead = cluster.locate(&keys[1]).server[1..]
        .parse::<usize>()
        .unwrap();
    fixture.servers[dead].kill();
    for name in ["ZINTER", "ZINTERCARD", "ZDIFF", "ZUNION"] {
        let down = cluster.query::<Value>(cmd(name).arg(2).arg(&keys)).await;
        assert!(
            down.is_err(),
            "{name} made an answer without one of its sets: {down:?}"
        );
    }
}
