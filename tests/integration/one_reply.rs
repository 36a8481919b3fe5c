//! One request, one reply: nothing that a caller sends can shift the replies of the others.

use crate::fixture::{ScriptedServer, TestCluster, cluster_toml, eventually, parse, seeded};
use crate::ways::{Way, every_way_in};
use keyway::command;
use keyway::{Cluster, ErrorKind};
use redis::{Cmd, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Far beyond what anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Callers that set and get values of their own, on every node, until they are told to stop.
struct Innocents {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<u64>>,
}

impl Innocents {
    fn start(cluster: &Cluster, count: usize) -> Innocents {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..count)
            .map(|number| tokio::spawn(innocent(cluster.clone(), number, stop.clone())))
            .collect();
        Innocents { stop, tasks }
    }

    /// How many of their replies were right; one that was not has failed the test.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut right = 0;
        for task in self.tasks {
            right += task.await.unwrap();
        }
        right
    }
}

async fn innocent(cluster: Cluster, number: usize, stop: Arc<AtomicBool>) -> u64 {
    let mut right = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("innocent:{number}:{}", right % 97);
        let value = format!("{key}={right}");
        let set: String = cluster.query(&Cmd::set(&key, &value)).await.unwrap();
        assert_eq!(set, "OK", "the reply of SET {key}");
        let got: String = cluster.query(&Cmd::get(&key)).await.unwrap();
        assert_eq!(got, value, "the reply of GET {key}");
        right += 1;
    }
    right
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_command_is_refused_by_every_way_in_and_shifts_nobodys_replies() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let innocents = Innocents::start(&cluster, 8);
    let as_redis_rs_says = |error: &redis::RedisError| {
        assert_eq!(error.kind(), redis::ErrorKind::Client, "{error}");
        assert!(error.to_string().contains("empty command"), "{error}");
    };
    for _ in 0..20 {
        for answer in every_way_in(&cluster, "{q}0", &Cmd::new()).await {
            assert_eq!(answer.kind, Some(ErrorKind::Invalid), "{answer:?}");
            as_redis_rs_says(answer.error());
        }
        // In the midst of a pipeline, nothing of it is sent.
        let mut pipe = redis::pipe();
        pipe.set("{q}1", "x").add_command(Cmd::new()).get("{q}1");
        let mut dedicated = cluster.dedicated("{q}0").await.unwrap();
        as_redis_rs_says(&pipe.query_async::<()>(&mut dedicated).await.unwrap_err());
        as_redis_rs_says(
            &pipe
                .query_async::<()>(&mut cluster.clone())
                .await
                .unwrap_err(),
        );
        let set: Value = cluster.query(&Cmd::get("{q}1")).await.unwrap();
        assert_eq!(set, Value::Nil);
        // The connection is as good as before.
        let set: String = dedicated.query(&Cmd::set("{q}2", 1)).await.unwrap();
        assert_eq!(set, "OK");
    }
    assert!(innocents.stop().await > 0);
}

/// Shifts that any server's statistics tell of, and connections lost.
fn losses(cluster: &Cluster) -> (u64, u64) {
    let stats = cluster.stats();
    let sum = |of: fn(&keyway::stats::ServerSnapshot) -> u64| stats.servers.iter().map(of).sum();
    (
        sum(|server| server.shifts),
        sum(|server| server.disconnects),
    )
}

#[tokio::test]
async fn a_server_whose_saves_fail_and_a_user_without_ping_keep_their_connections() {
    let fixture = TestCluster::start(1).await;
    let server = &fixture.servers[0];
    let mut admin = server.connection().await;
    let mut ask = async |words: &[&str]| -> Value {
        let mut cmd = redis::cmd(words[0]);
        cmd.arg(&words[1..]);
        cmd.query_async(&mut admin).await.unwrap()
    };
    let cluster = fixture.connect_patiently().await;
    // Where the dump should go there is a directory: the save fails. From then on writes and PING get MISCONF.
    let config: std::collections::HashMap<String, String> =
        redis::from_redis_value(ask(&["CONFIG", "GET", "dir", "dbfilename"]).await).unwrap();
    let dump = std::path::Path::new(&config["dir"]).join(&config["dbfilename"]);
    std::fs::create_dir_all(dump.join("in the way")).unwrap();
    ask(&["CONFIG", "SET", "save", "1 1"]).await;
    ask(&["BGSAVE"]).await;
    eventually("the save has failed", PATIENCE, async || {
        cluster
            .on_server("s0")
            .unwrap()
            .query::<String>(redis::cmd("SET").arg("k").arg("v"))
            .await
            .is_err_and(|error| error.to_string().contains("MISCONF"))
    })
    .await;
    prove_some(&cluster).await;
    assert_eq!(losses(&cluster), (0, 0));
    ask(&["CONFIG", "SET", "stop-writes-on-bgsave-error", "no"]).await;

    ask(&[
        "ACL", "SETUSER", "mute", "on", ">pw", "~*", "&*", "+@all", "-ping",
    ])
    .await;
    let toml = fixture.toml().replace("redis://", "redis://mute:pw@");
    let cluster = Cluster::connect_config(parse(&toml)).await.unwrap();
    prove_some(&cluster).await;
    assert_eq!(losses(&cluster), (0, 0));
}

/// Reads until three tokens at least have come back, by the bytes that the client sends while nobody calls.
async fn prove_some(cluster: &Cluster) {
    for _ in 0..3 {
        let _: Option<String> = cluster.query(&Cmd::get("k")).await.unwrap();
        let before = cluster.stats().servers[0].bytes_sent;
        let sent_a_token = async || {
            let stats = cluster.stats();
            stats.servers[0].bytes_sent > before && stats.servers[0].in_flight == 0
        };
        eventually("a token", PATIENCE, sent_a_token).await;
    }
}

#[tokio::test]
async fn no_ping_is_written_into_a_transaction_or_after_a_blocking_command() {
    let fixture = TestCluster::start(1)
        .await
        .settings("[timeouts]\nidle_ping = \"20ms\"\n");
    let cluster = fixture.connect_patiently().await;
    let dedicated = cluster.dedicated("k").await.unwrap();
    let ask = async |words: &str| -> Value {
        let mut words = words.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            cmd.arg(word);
        });
        dedicated.query(&cmd).await.unwrap()
    };
    let pings = async || {
        let info: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut fixture.servers[0].connection().await)
            .await
            .unwrap();
        let field = info
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_ping:calls="));
        field.map_or(0u64, |line| {
            line.split(',').next().unwrap().parse().unwrap()
        })
    };
    ask("WATCH k").await;
    ask("MULTI").await;
    ask("SET k 1").await;
    // The shared connection is idle too, and is pinged meanwhile: so would be this one.
    let before = pings().await;
    eventually("ten idle pings", PATIENCE, async || {
        pings().await >= before + 10
    })
    .await;
    assert_eq!(ask("EXEC").await, Value::Array(vec![Value::Okay]));

    let waiting = tokio::spawn({
        let cluster = cluster.clone();
        async move {
            cluster
                .query::<(String, String)>(redis::cmd("BLPOP").arg("list").arg(0))
                .await
        }
    });
    let before = pings().await;
    eventually("ten idle pings", PATIENCE, async || {
        pings().await >= before + 10
    })
    .await;
    let _: i64 = cluster
        .query(redis::cmd("RPUSH").arg("list").arg("x"))
        .await
        .unwrap();
    let popped = waiting.await.unwrap().unwrap();
    assert_eq!(popped, ("list".to_owned(), "x".to_owned()));
}

/// Their replies are right, and innocent callers would not find what they have written.
const DESTROYS: &[&str] = &[
    "FLUSHALL",
    "FLUSHDB",
    "SWAPDB",
    "SHUTDOWN",
    "DEBUG",
    "FAILOVER",
    "REPLICAOF",
    "SLAVEOF",
    "MIGRATE",
    "MOVE",
    "RESTORE",
];
/// These change the server for all that come after.
const CHANGES: &[&str] = &[
    "CONFIG",
    "ACL",
    "MODULE",
    "CLUSTER",
    "SAVE",
    "BGSAVE",
    "BGREWRITEAOF",
];

/// A command as no sane program would send it.
fn odd_command(rng: &mut fastrand::Rng) -> Cmd {
    let mut cmd = Cmd::new();
    let word = |rng: &mut fastrand::Rng| -> Vec<u8> {
        match rng.u8(..8) {
            0 => Vec::new(),
            1 => b"\r\n*1\r\n$4\r\nPING\r\n".to_vec(),
            2 => (0..rng.usize(..40)).map(|_| rng.u8(..)).collect(),
            3 => vec![b'x'; rng.usize(60_000..140_000)],
            4 => rng.i64(-3..10).to_string().into_bytes(),
            _ => format!("odd:{}", rng.u8(..20)).into_bytes(),
        }
    };
    let name = match rng.u8(..10) {
        // Empty.
        0 => None,
        1 => Some(word(rng)),
        2 => Some(b"NEWEST.COMMAND".to_vec()),
        _ => {
            let row = rng.choice(command::all()).unwrap();
            let first = row.name.split(' ').next().unwrap();
            let is_harmless = !DESTROYS.contains(&first) && !CHANGES.contains(&first);
            is_harmless.then(|| row.name.as_bytes().to_vec())
        }
    };
    if let Some(name) = name {
        for part in name.split(|byte| *byte == b' ') {
            cmd.arg(part);
        }
        for _ in 0..rng.usize(..6) {
            cmd.arg(word(rng));
        }
    }
    if rng.u8(..4) == 0 {
        cmd.set_no_response(true);
    }
    if rng.u8(..8) == 0 {
        cmd.cursor_arg(rng.u64(..));
    }
    cmd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_by_whichever_way_everybody_gets_his_own_reply() {
    let mut rng = seeded("whatever_is_sent_by_whichever_way");
    for protocol in ["resp2", "resp3"] {
        let fixture = TestCluster::start(2)
            .await
            .settings(&format!("protocol = \"{protocol}\"\n"));
        let cluster = fixture.connect_patiently().await;
        let innocents = Innocents::start(&cluster, 8);
        // Short deadlines and dropped futures leave tombstones among the innocents' replies.
        let hasty = cluster.with_timeout(Duration::from_millis(50));
        for _ in 0..400 {
            let cmd = odd_command(&mut rng);
            let mut ways = Way::ALL;
            rng.shuffle(&mut ways);
            let key = format!("odd:{}", rng.u8(..20));
            let dropped = rng.u64(1..60);
            for way in &ways[..4] {
                let sent = way.send(&hasty, &key, &cmd);
                let _ = tokio::time::timeout(Duration::from_millis(dropped), sent).await;
            }
        }
        assert!(innocents.stop().await > 0);
        let shifts: Vec<u64> = cluster
            .stats()
            .servers
            .iter()
            .map(|server| server.shifts)
            .collect();
        assert_eq!(shifts, [0, 0], "{protocol}");
    }
}

#[tokio::test]
async fn pushes_between_the_replies_of_calls_that_have_given_up_shift_nothing() {
    const PUSH: &str = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n";
    let mut rng = seeded("pushes_between_the_replies");
    let held = parking_lot::Mutex::new((String::new(), rng.fork()));
    let server = ScriptedServer::start(move |words| {
        let mut guard = held.lock();
        let (held, rng) = &mut *guard;
        if words[0] == "HELLO" {
            // A new connection.
            held.clear();
        }
        ["SUBSTR", "PING"].contains(&words[0].as_str()).then(|| {
            let reply = format!("${}\r\n{}\r\n", words[1].len(), words[1]);
            let push = |rng: &mut fastrand::Rng| PUSH.repeat(rng.usize(..3));
            *held += &(push(rng) + &reply);
            // Held back until somebody's deadline has passed, as a rule.
            if rng.u8(..3) > 0 {
                return String::new();
            }
            std::mem::take(held) + &push(rng)
        })
    })
    .await;
    let toml = cluster_toml(
        "protocol = \"resp3\"\n[retry]\nattempts_max = 1\n",
        8,
        &[server.port()],
    );
    let cluster = Cluster::connect_config(parse(&toml)).await.unwrap();
    let (mut right, mut given_up) = (0, 0);
    for round in 0..300 {
        let ask = async |caller: usize| {
            let key = format!("{round}.{caller}");
            let patience = Duration::from_millis([5, 30][caller % 2]);
            let mut cmd = redis::cmd("SUBSTR");
            cmd.arg(&key).arg(0).arg(-1);
            (
                key,
                cluster.with_timeout(patience).query::<String>(&cmd).await,
            )
        };
        for (key, reply) in futures::future::join_all((0..6).map(ask)).await {
            match reply {
                Ok(reply) => {
                    assert_eq!(reply, key);
                    right += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
                    given_up += 1;
                }
            }
        }
    }
    assert!(
        right > 100 && given_up > 100,
        "{right} right, {given_up} given up"
    );
    assert_eq!(cluster.stats().servers[0].shifts, 0);
}
