//! Round robin, as nydus has it: any server serves, in turn, and no write is ever repeated.

use crate::fixture::{
    self, Cut, FaultProxy, PATIENT, RedisServer, TestCluster, cluster_toml, cmd, eventually, parse,
    query,
};
use futures::future::join_all;
use keyway::{Cluster, Config, Error, ErrorKind};
use redis::{AsyncCommands, FromRedisValue, Value};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

/// Real servers, each behind a proxy of its own, with one node each.
struct InTurn {
    fixture: TestCluster,
    proxies: Vec<FaultProxy>,
    settings: String,
}

fn config(settings: &str, nodes: usize, ports: &[u16]) -> Config {
    parse(&cluster_toml(settings, nodes, ports).replace("\"ketama\"", "\"nydus-round-robin\""))
}

impl InTurn {
    async fn start(servers: usize, settings: &str) -> InTurn {
        let fixture = TestCluster::with_nodes(servers, servers).await;
        let proxies = fixture.servers.iter().map(RedisServer::port);
        InTurn {
            proxies: join_all(proxies.map(FaultProxy::start)).await,
            fixture,
            settings: settings.to_owned(),
        }
    }

    fn ports(&self) -> Vec<u16> {
        self.proxies.iter().map(FaultProxy::port).collect()
    }

    async fn connect(&self) -> Cluster {
        let config = config(&self.settings, self.proxies.len(), &self.ports());
        let cluster = Cluster::connect_config(config).await.unwrap();
        assert!(cluster.health().is_ready(), "{:?}", cluster.health());
        cluster
    }

    /// Cuts a server off and waits until the cluster knows.
    async fn lose(&self, cluster: &Cluster, at: usize) {
        self.proxies[at].refuse(true);
        self.proxies[at].cut_all();
        eventually("the server is known to be down", PATIENCE, async || {
            !cluster.health().servers[at].is_up
        })
        .await;
    }

    async fn regain(&self, cluster: &Cluster, at: usize) {
        self.proxies[at].refuse(false);
        eventually("the server is back", PATIENCE, async || {
            cluster.health().servers[at].is_up
        })
        .await;
    }

    /// What every server answers, past keyway and past any proxy.
    async fn ask<T: FromRedisValue>(&self, text: &str) -> Vec<T> {
        let servers = self.fixture.servers.iter();
        join_all(servers.map(|server| fixture::ask(server, text))).await
    }

    async fn counts(&self, key: &str) -> Vec<u64> {
        let counts: Vec<Option<u64>> = self.ask(&format!("GET {key}")).await;
        counts.into_iter().map(Option::unwrap_or_default).collect()
    }
}

fn retries(cluster: &Cluster) -> u64 {
    let stats = cluster.stats();
    let commands = stats.servers.iter().flat_map(|server| &server.commands);
    commands.map(|command| command.retries).sum()
}

#[tokio::test]
async fn the_turns_of_calls_pipelines_and_transactions_are_even() {
    let servers = InTurn::start(3, PATIENT).await;
    let cluster = servers.connect().await;
    for i in 0..30 {
        let _: u64 = query(&cluster, "INCR n").await.unwrap();
        let n = servers.counts("n").await;
        assert_eq!(
            n.iter().max().unwrap() - n.iter().min().unwrap(),
            u64::from(i % 3 != 2)
        );
    }
    let many = (0..300).map(|i| {
        let cluster = cluster.clone();
        async move {
            query::<u64>(&cluster, &format!("INCRBY many:{} 1", i % 7))
                .await
                .unwrap()
        }
    });
    join_all(many).await;
    let mut sums = [0; 3];
    for i in 0..7 {
        let counts = servers.counts(&format!("many:{i}")).await;
        sums.iter_mut()
            .zip(counts)
            .for_each(|(sum, count)| *sum += count);
    }
    assert_eq!(sums, [100; 3]);

    let mut redis = cluster.clone();
    for is_atomic in [false, true, false] {
        let mut pipe = redis::pipe();
        if is_atomic {
            pipe.atomic();
        }
        pipe.incr("p", 1)
            .incr("q", 1)
            .mset(&[("a", 1), ("b", 2)])
            .mget(&["a", "b", "p", "q"]);
        let replies: (u64, u64, (), Vec<u64>) = pipe.query_async(&mut redis).await.unwrap();
        assert_eq!(
            replies,
            (1, 1, (), vec![1, 2, 1, 1]),
            "all of it on one server"
        );
    }
    assert_eq!(servers.counts("p").await, [1; 3]);
    let mut batch = cluster.batch();
    let places: Vec<_> = (0..5_000).map(|_| batch.incr::<u64>("batch", 1)).collect();
    let mut replies = batch.send().await;
    for (i, place) in (1..).zip(places) {
        assert_eq!(replies.take(place).unwrap(), i, "in their order");
    }
}

#[tokio::test]
async fn a_server_with_two_nodes_has_two_turns() {
    let servers = InTurn::start(2, PATIENT).await;
    let cluster = Cluster::connect_config(config(PATIENT, 3, &servers.ports()))
        .await
        .unwrap();
    for _ in 0..30 {
        let _: u64 = query(&cluster, "INCR n").await.unwrap();
    }
    assert_eq!(servers.counts("n").await, [10, 20]);
}

#[tokio::test]
async fn a_dead_server_is_passed_over_without_an_error_and_its_turns_are_shared() {
    let servers = InTurn::start(3, PATIENT).await;
    let cluster = servers.connect().await;
    servers.lose(&cluster, 1).await;
    let started = Instant::now();
    for _ in 0..50 {
        let _: u64 = query(&cluster, "INCR n").await.unwrap();
    }
    for _ in 0..50 {
        let n: u64 = query(&cluster, "GET n").await.unwrap();
        assert_eq!(n, 25);
    }
    assert_eq!(servers.counts("n").await, [25, 0, 25]);
    let mut redis = cluster.clone();
    for _ in 0..6 {
        let mut pipe = redis::pipe();
        let _: (u64, u64) = pipe
            .incr("p", 1)
            .incr("q", 1)
            .query_async(&mut redis)
            .await
            .unwrap();
        let _: (u64, u64) = pipe.atomic().query_async(&mut redis).await.unwrap();
        let mut own = cluster.dedicated("any").await.unwrap();
        let _: u64 = own.incr("own", 1).await.unwrap();
        let _: () = cluster
            .for_key("any")
            .query(&cmd("SET bound 1"))
            .await
            .unwrap();
    }
    for key in ["p", "q", "own", "bound"] {
        let counts = servers.counts(key).await;
        // There is another call with each, so that all of a kind may have had their turns on one server.
        assert_eq!(
            (counts[0] > 0 || counts[2] > 0, counts[1]),
            (true, 0),
            "{key}: {counts:?}"
        );
    }
    // Which would take `timeouts.response`.
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "nobody waited for the dead server"
    );

    servers.regain(&cluster, 1).await;
    for _ in 0..30 {
        let _: u64 = query(&cluster, "INCR back").await.unwrap();
    }
    assert_eq!(servers.counts("back").await, [10; 3]);
}

#[tokio::test]
async fn a_server_that_was_never_there_holds_nobody_up() {
    let servers = InTurn::start(2, "[timeouts]\nconnect = \"60s\"\nresponse = \"60s\"\n").await;
    servers.proxies[0].refuse(true);
    let config = config(&servers.settings, 2, &servers.ports());
    let cluster = Cluster::connect_config(config).await.unwrap();
    let started = Instant::now();
    for lane in [cluster.clone(), cluster.bulk()] {
        for _ in 0..10 {
            let _: u64 = query(&lane, "INCR n").await.unwrap();
        }
        let mut batch = lane.batch();
        let place = batch.incr::<u64>("n", 1);
        batch.send().await.take(place).unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(servers.counts("n").await, [0, 22]);
}

#[tokio::test]
async fn who_waits_for_a_dead_server_goes_on_to_the_first_that_comes_back() {
    let servers = InTurn::start(2, "[timeouts]\nconnect = \"60s\"\nresponse = \"60s\"\n").await;
    let cluster = servers.connect().await;
    servers.lose(&cluster, 0).await;
    servers.lose(&cluster, 1).await;
    let started = Instant::now();
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let cluster = cluster.clone();
            tokio::spawn(async move { query::<u64>(&cluster, "INCR n").await })
        })
        .collect();
    servers.regain(&cluster, 1).await;
    for call in waiting {
        call.await.unwrap().unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(servers.counts("n").await, [0, 8]);
}

#[tokio::test]
async fn with_no_server_left_calls_fail_at_once_and_a_cache_misses() {
    for mode in ["store", "cache"] {
        let settings = format!("mode = \"{mode}\"\n[timeouts]\nconnect = \"200ms\"\n");
        let servers = InTurn::start(2, &settings).await;
        let cluster = servers.connect().await;
        servers.lose(&cluster, 0).await;
        servers.lose(&cluster, 1).await;
        let get = query::<Option<u64>>(&cluster, "GET n").await;
        match mode {
            "cache" => assert_eq!(get.unwrap(), None),
            _ => assert_eq!(get.unwrap_err().kind(), ErrorKind::ServerDown),
        }
        let error = query::<u64>(&cluster, "INCR n").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
        assert_eq!(servers.counts("n").await, [0, 0]);
    }
}

#[tokio::test]
async fn a_write_whose_reply_was_cut_off_is_unknown_and_is_not_repeated() {
    let servers = InTurn::start(3, PATIENT).await;
    let cluster = servers.connect().await;
    let mut redis = cluster.clone();
    let (mut done, mut unknown) = (0, 0);
    for round in 0..12 {
        let at = round % 3;
        servers.proxies[at].cut_by(if round % 2 == 0 { Cut::Reset } else { Cut::Fin });
        servers.proxies[at].cut_after_bytes_to_client(0);
        let before = unknown;
        // Within three turns it is the one whose reply is cut off.
        for _ in 0..3 {
            let result = match round / 3 {
                0 => query::<Value>(&cluster, "INCR n")
                    .await
                    .map(drop)
                    .map_err(|error| error.kind()),
                1 => {
                    let mut batch = cluster.batch();
                    let place = batch.incr::<u64>("n", 1);
                    let _ = batch.get::<Value>("n");
                    let mut replies = batch.send().await;
                    replies.take(place).map(drop).map_err(|error| error.kind())
                }
                2 => {
                    let mut pipe = redis::pipe();
                    pipe.atomic().incr("n", 1).get("n");
                    let result: Result<(u64, u64), _> = pipe.query_async(&mut redis).await;
                    result
                        .map(drop)
                        .map_err(|error| ErrorKind::of(&error).unwrap())
                }
                _ => {
                    let script = "EVAL return(redis.call('INCR','n')) 0";
                    query::<Value>(&cluster, script)
                        .await
                        .map(drop)
                        .map_err(|error| error.kind())
                }
            };
            match result {
                Ok(()) => done += 1,
                Err(ErrorKind::Unknown) => unknown += 1,
                Err(other) => panic!("round {round}: {other:?}"),
            }
        }
        assert_eq!(unknown, before + 1, "round {round}");
        servers.regain(&cluster, at).await;
    }
    let counts = servers.counts("n").await;
    assert_eq!(counts.iter().sum::<u64>(), done + unknown, "{counts:?}");
}

#[tokio::test]
async fn reads_that_were_cut_off_are_answered_by_another_server() {
    let servers = InTurn::start(3, PATIENT).await;
    let cluster = servers.connect().await;
    let _: Vec<Value> = servers.ask("SET k v").await;
    let mut redis = cluster.clone();
    for round in 0..3 {
        // Nor can it be asked again.
        servers.proxies[0].cut_after_bytes_to_client(0);
        let proxies = &servers.proxies;
        let before = retries(&cluster);
        for _ in 0..3 {
            let open = proxies[0].connections();
            proxies[0].refuse(open > 0);
            let values: Vec<String> = match round {
                0 => vec![query(&cluster, "GET k").await.unwrap()],
                1 => query(&cluster, "MGET k k k").await.unwrap(),
                _ => {
                    let mut pipe = redis::pipe();
                    pipe.get("k")
                        .get("k")
                        .query_async(&mut redis)
                        .await
                        .unwrap()
                }
            };
            assert!(values.iter().all(|value| value == "v"), "{values:?}");
        }
        assert!(retries(&cluster) > before, "round {round}");
        servers.regain(&cluster, 0).await;
    }
}

#[tokio::test]
async fn what_reads_an_answered_write_of_its_pipeline_is_not_asked_elsewhere() {
    let servers = InTurn::start(2, PATIENT).await;
    let cluster = servers.connect().await;
    let mut redis = cluster.clone();
    for round in 0..4 {
        // "+OK\r\n" arrives, and the value does not: the read is sent again, to the server that has the value.
        servers.proxies[0].cut_after_bytes_to_client(5);
        for turn in 0..2 {
            let (key, before) = (format!("k{round}:{turn}"), retries(&cluster));
            let mut pipe = redis::pipe();
            pipe.set(&key, "v").ignore().get(&key);
            let (value,): (Option<String>,) = pipe.query_async(&mut redis).await.unwrap();
            assert_eq!(
                value.as_deref(),
                Some("v"),
                "{key}, {} retries",
                retries(&cluster) - before
            );
        }
        servers.regain(&cluster, 0).await;
    }
    assert!(retries(&cluster) >= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_random_cuts_no_increment_is_applied_twice_and_none_is_lost() {
    let servers = InTurn::start(
        3,
        "[timeouts]\nresponse = \"5s\"\n[retry]\nbackoff_max = \"5ms\"\n",
    )
    .await;
    let cluster = servers.connect().await;
    let stop = AtomicBool::new(false);
    let work: Vec<_> = (0..16)
        .map(|task| {
            let cluster = cluster.clone();
            tokio::spawn(async move {
                let (mut done, mut unknown) = (0, 0);
                for _ in 0..150 {
                    let mut batch = cluster.batch();
                    for _ in 0..1 + task % 4 * 3 {
                        let _ = batch.incr::<u64>("n", 1);
                    }
                    let results: Vec<_> = match batch.len() {
                        1 => vec![query(&cluster, "INCR n").await],
                        _ => batch.send().await.into_results().collect(),
                    };
                    for result in results {
                        match result.map_err(|error: Error| error.kind()) {
                            Ok(_) => done += 1,
                            Err(ErrorKind::Unknown) => unknown += 1,
                            Err(ErrorKind::NotSent | ErrorKind::ServerDown) => {}
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                }
                (done, unknown)
            })
        })
        .collect();
    let working = async {
        let counts = join_all(work).await;
        stop.store(true, Ordering::Relaxed);
        counts
    };
    let cutting = async {
        while !stop.load(Ordering::Relaxed) {
            let proxy = &servers.proxies[fastrand::usize(..3)];
            proxy.cut_by(if fastrand::bool() {
                Cut::Reset
            } else {
                Cut::Fin
            });
            match fastrand::u32(..3) {
                0 => proxy.cut_all(),
                1 => proxy.cut_after_bytes_to_server(fastrand::u64(..2_000)),
                _ => proxy.cut_after_bytes_to_client(fastrand::u64(..1_000)),
            }
            tokio::time::sleep(Duration::from_micros(fastrand::u64(500..10_000))).await;
        }
    };
    let (counts, ()) = tokio::join!(working, cutting);
    let (mut done, mut unknown) = (0, 0);
    for count in counts {
        let count: (u64, u64) = count.unwrap();
        (done, unknown) = (done + count.0, unknown + count.1);
    }
    let n: u64 = servers.counts("n").await.iter().sum();
    assert!(
        (done..=done + unknown).contains(&n),
        "{n}: {done} done, {unknown} unknown"
    );
    assert!(
        done > 1_000 && unknown > 0,
        "{done} done, {unknown} unknown"
    );
}

#[tokio::test]
async fn blocking_commands_scripts_and_bound_calls_take_a_turn_and_any_key() {
    let servers = InTurn::start(3, PATIENT).await;
    let cluster = servers.connect().await;
    servers.lose(&cluster, 2).await;
    let _: Vec<u64> = servers.ask("RPUSH b 1 2 3").await;
    for _ in 0..6 {
        let popped: (String, u64) = query(&cluster, "BLPOP a b 5").await.unwrap();
        assert_eq!(popped.0, "b");
    }
    assert_eq!(servers.ask::<u64>("LLEN b").await, [0, 0, 3]);

    let mut redis = cluster.clone();
    let script = redis::Script::new("return redis.call('INCR', KEYS[1]) + #KEYS");
    for _ in 0..4 {
        let sum: u64 = script
            .key("s")
            .key("t")
            .invoke_async(&mut redis)
            .await
            .unwrap();
        assert!(sum > 2);
    }
    assert_eq!(servers.counts("s").await, [2, 2, 0]);

    // What it has written it reads, from whatever key.
    let bound = cluster.for_key("a");
    let _: () = bound.query(&cmd("MSET x 1 y 2")).await.unwrap();
    let values: Vec<u64> = bound.query(&cmd("MGET x y")).await.unwrap();
    assert_eq!(values, [1, 2]);
    let own = cluster.dedicated("a").await.unwrap();
    let _: () = own.query(&cmd("WATCH x y z")).await.unwrap();
    let _: () = own.query(&cmd("MULTI")).await.unwrap();
    let _: () = own.query(&cmd("SET z 3")).await.unwrap();
    let _: Vec<Value> = own.query(&cmd("EXEC")).await.unwrap();
    let z: u64 = own.query(&cmd("GET z")).await.unwrap();
    assert_eq!(z, 3);
    let named = cluster.on_server("s0").unwrap();
    let _: () = named.query(&cmd("SET named 1")).await.unwrap();
    assert_eq!(servers.counts("named").await, [1, 0, 0]);
    let location = cluster.locate("a");
    assert!(!location.is_home);
}

#[tokio::test]
async fn publishers_and_subscribers_of_a_channel_meet() {
    let servers = InTurn::start(3, PATIENT).await;
    let cluster = servers.connect().await;
    let mut pubsub = cluster.pubsub();
    for i in 0..9 {
        pubsub.subscribe(format!("channel{i}")).await.unwrap();
    }
    for i in 0..9 {
        let heard: u64 = query(&cluster, &format!("PUBLISH channel{i} m"))
            .await
            .unwrap();
        assert_eq!(heard, 1, "channel{i}");
    }
    let mut redis = cluster.clone();
    let mut pipe = redis::pipe();
    pipe.atomic().incr("n", 1).publish("channel0", "m");
    let replies: (u64, u64) = pipe.query_async(&mut redis).await.unwrap();
    assert_eq!(replies, (1, 1), "the transaction goes where the channel is");
}

#[tokio::test]
async fn lists_of_all_keys_are_refused_but_of_one_server() {
    let servers = InTurn::start(2, PATIENT).await;
    let cluster = servers.connect().await;
    let _: Vec<Value> = servers.ask("MSET a 1 b 2").await;
    for text in ["SCAN 0", "KEYS *"] {
        let error = query::<Value>(&cluster, text).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(
            error.to_string().contains("no server owns a key"),
            "{error}"
        );
        let mut batch = cluster.batch();
        let (place, other) = (batch.add::<Value>(cmd(text)), batch.get::<u64>("a"));
        let mut replies = batch.send().await;
        assert_eq!(replies.take(place).unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(replies.take(other).unwrap(), 1);
    }
    let server = cluster.on_server("s1").unwrap();
    let mut keys: Vec<String> = server.query(&cmd("KEYS *")).await.unwrap();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    let sizes = cluster.servers().each::<u64>(&cmd("DBSIZE")).await;
    assert!(sizes.into_iter().all(|size| size.reply.unwrap() == 2));
    assert_eq!(
        query::<u64>(&cluster, "DBSIZE").await.unwrap(),
        4,
        "every copy counts"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reloads_lose_and_repeat_nothing() {
    let servers = InTurn::start(3, PATIENT).await;
    let ports = servers.ports();
    let cluster = Cluster::connect_config(config(PATIENT, 4, &ports))
        .await
        .unwrap();
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let work: Vec<_> = (0..8)
        .map(|_| {
            let (cluster, stop) = (cluster.clone(), stop.clone());
            tokio::spawn(async move {
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    let _: u64 = query(&cluster, "INCR n").await.unwrap();
                    let mut batch = cluster.batch();
                    let places = [batch.incr::<u64>("n", 1), batch.incr::<u64>("n", 1)];
                    let mut replies = batch.send().await;
                    for place in places {
                        replies.take(place).unwrap();
                    }
                    done += 3;
                }
                done
            })
        })
        .collect();
    let blocked = tokio::spawn({
        let cluster = cluster.clone();
        async move { query::<(String, u64)>(&cluster, "BLPOP q 0").await }
    });
    for round in 0..20 {
        let used: Vec<u16> = match round % 3 {
            0 => vec![ports[2], ports[0]],
            1 => vec![ports[1]],
            _ => ports.clone(),
        };
        cluster.reload(config(PATIENT, 4, &used)).await.unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    for task in work {
        done += task.await.unwrap();
    }
    let n: u64 = servers.counts("n").await.iter().sum();
    assert_eq!(n, done);
    let _: Vec<u64> = servers.ask("RPUSH q 7").await;
    assert_eq!(blocked.await.unwrap().unwrap(), ("q".to_owned(), 7));
    let error = cluster
        .reload(config(PATIENT, 5, &ports))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn a_write_whose_turn_is_at_a_replica_goes_on_to_a_master() {
    let master = RedisServer::start().await;
    let replica = RedisServer::builder().replica_of(&master).start().await;
    // It has more turns in a row than a call has attempts.
    let config = config(PATIENT, 12, &[replica.port(), master.port()]);
    let cluster = Cluster::connect_config(config).await.unwrap();
    let mut redis = cluster.clone();
    for i in 0..12 {
        let n: u64 = query(&cluster, "INCR n").await.unwrap();
        assert_eq!(n, 2 * i + 1);
        let (n,): (u64,) = redis::pipe()
            .incr("n", 1)
            .query_async(&mut redis)
            .await
            .unwrap();
        assert_eq!(n, 2 * i + 2);
    }
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn the_command_line_does_not_say_where_a_key_is() {
    let servers = InTurn::start(2, "").await;
    let _: Vec<Value> = servers.ask("MSET a 1 b 2 c 3").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cluster.toml");
    let toml = cluster_toml("", 2, &servers.ports()).replace("\"ketama\"", "\"nydus-round-robin\"");
    std::fs::write(&file, toml).unwrap();
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_keyway"))
            .arg(arguments[0])
            .arg(&file)
            .args(&arguments[1..])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let page = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said, page)
    };
    let (code, said, page) = run(&["locate", "a"]);
    assert_eq!((code, page.as_str()), (Some(2), ""));
    insta::assert_snapshot!(said.trim(), @"error: by nydus-round-robin no key has a home: any server may have any key. Ask each of them, with EXISTS");
    assert_eq!(run(&["locate", "a", "--explain"]), (code, said, page));
    let (code, _, page) = run(&["check"]);
    assert_eq!(code, Some(0), "{page}");
    assert!(!page.contains("belong elsewhere"), "{page}");
}
