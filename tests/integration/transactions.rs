//! Transactions and their scripts, what may be on a connection that belongs to one node, and the words of a server that
//! did not execute something.

use crate::fixture::{ScriptedServer, TestCluster, ask, cluster_toml, cmd, parse};
use crate::ways::{Way, every_way_in};
use keyway::{Cluster, ErrorKind};
use redis::{AsyncCommands, Cmd, Script, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Increments its key and says so.
fn adder() -> Script {
    Script::new("return redis.call('INCR', KEYS[1])")
}

#[tokio::test]
async fn a_script_within_a_transaction_runs_after_script_flush_and_nothing_is_applied_twice() {
    let fixture = TestCluster::start(2).await;
    let mut cluster = fixture.connect_patiently().await;
    let script = adder();
    let first: i64 = script.key("{t}s").invoke_async(&mut cluster).await.unwrap();
    assert_eq!(first, 1);
    let home = cluster.locate("{t}s");
    let server = &fixture.servers[usize::from(&*home.server == "s1")];
    let mut expected = 1;
    for way in ["cluster", "for_key", "on_server", "dedicated"] {
        let _: String = ask(server, "SCRIPT FLUSH").await;
        let mut pipe = redis::pipe();
        pipe.atomic()
            .incr("{t}plain", 1)
            .invoke_script(&script.key("{t}s"))
            .incr("{t}plain2", 1);
        let replies: (i64, i64, i64) = match way {
            "cluster" => pipe.query_async(&mut cluster).await,
            "for_key" => pipe.query_async(&mut cluster.for_key("{t}")).await,
            "on_server" => {
                pipe.query_async(&mut cluster.on_server(&home.server).unwrap())
                    .await
            }
            _ => {
                pipe.query_async(&mut cluster.dedicated("{t}").await.unwrap())
                    .await
            }
        }
        .unwrap();
        expected += 1;
        assert_eq!(replies, (expected - 1, expected, expected - 1), "{way}");
    }
    // Typed by hand.
    let mut dedicated = cluster.dedicated("{t}").await.unwrap();
    let _: String = ask(server, "SCRIPT FLUSH").await;
    let _: String = dedicated.query(&cmd("MULTI")).await.unwrap();
    let queued: String = redis::cmd("EVALSHA")
        .arg(script.get_hash())
        .arg(1)
        .arg("{t}s")
        .query_async(&mut dedicated)
        .await
        .unwrap();
    assert_eq!(queued, "QUEUED");
    let replies: (i64,) = dedicated.query(&cmd("EXEC")).await.unwrap();
    assert_eq!(replies, (expected + 1,));
    // Outside of a transaction the body goes in front.
    let _: String = ask(server, "SCRIPT FLUSH").await;
    let n: i64 = script
        .key("{t}s")
        .invoke_async(&mut dedicated)
        .await
        .unwrap();
    assert_eq!(n, expected + 2);
}

#[tokio::test]
async fn a_long_script_that_a_transaction_lacks_is_loaded_for_the_next_one() {
    let fixture = TestCluster::start(1).await;
    let mut cluster = fixture.connect_patiently().await;
    let script = Script::new(&format!(
        "return redis.call('INCR', KEYS[1]) --{}",
        "x".repeat(100_000)
    ));
    let _: i64 = script.key("s").invoke_async(&mut cluster).await.unwrap();
    let dedicated = cluster.dedicated("s").await.unwrap();
    let mut expected = 0;
    for way in ["cluster", "dedicated"] {
        let mut pipe = redis::pipe();
        pipe.atomic()
            .incr("plain", 1)
            .invoke_script(&script.key("s"));
        let run = async || -> Result<(i64, i64), redis::RedisError> {
            match way {
                "cluster" => pipe.query_async(&mut cluster.clone()).await,
                _ => pipe.query_async(&mut dedicated.clone()).await,
            }
        };
        run().await.unwrap();
        expected += 1;
        let _: String = ask(&fixture.servers[0], "SCRIPT FLUSH").await;
        // The connection believes that the server has it. The other command is applied, once: nothing is repeated.
        let error = run().await.unwrap_err();
        expected += 1;
        assert!(error.to_string().contains("NoScript"), "{way}: {error}");
        let plain: i64 = cluster.clone().get("plain").await.unwrap();
        assert_eq!(plain, expected, "{way}");
        run().await.unwrap();
        expected += 1;
        let plain: i64 = cluster.clone().get("plain").await.unwrap();
        assert_eq!(plain, expected, "{way}");
    }
}

#[tokio::test]
async fn a_transaction_loads_a_script_and_calls_it() {
    let fixture = TestCluster::start(2).await;
    let mut cluster = fixture.connect_patiently().await;
    for (key, is_dedicated) in [("a", false), ("b", true)] {
        let script = Script::new(&format!("return redis.call('INCR', KEYS[1]) -- {key}"));
        let mut pipe = redis::pipe();
        pipe.atomic()
            .load_script(&script)
            .ignore()
            .invoke_script(&script.key(key))
            .incr(key, 1);
        let replies: (i64, i64) = if is_dedicated {
            pipe.query_async(&mut cluster.dedicated(key).await.unwrap())
                .await
                .unwrap()
        } else {
            pipe.query_async(&mut cluster).await.unwrap()
        };
        assert_eq!(replies, (1, 2));
        // Its body is known from then on, wherever it is called.
        for server in &fixture.servers {
            let _: String = ask(server, "SCRIPT FLUSH").await;
        }
        for i in 0..20 {
            let mut evalsha = redis::cmd("EVALSHA");
            evalsha
                .arg(script.get_hash())
                .arg(1)
                .arg(format!("{key}{i}"));
            let n: i64 = cluster.query(&evalsha).await.unwrap();
            assert_eq!(n, 1);
        }
    }
}

#[tokio::test]
async fn a_script_whose_load_came_to_nothing_runs_within_transactions_all_the_same() {
    let real = TestCluster::start(1).await;
    // Its user may not load scripts.
    let scripted = ScriptedServer::start(|words| {
        let is_script = words[0].eq_ignore_ascii_case("SCRIPT");
        is_script.then(|| "-NOPERM no permissions to run 'script|load'\r\n".to_owned())
    })
    .await;
    let config = real.config_with_ports(&[real.servers[0].port(), scripted.port()]);
    let cluster = Cluster::connect_config(config).await.unwrap();
    let mut keys = (0..).map(|i| format!("k{i}"));
    let key = keys
        .find(|key| &*cluster.locate(key).server == "s0")
        .unwrap();
    let dedicated = cluster.dedicated(&key).await.unwrap();
    for way in [
        "query",
        "batch",
        "pipe",
        "on_server",
        "each",
        "dedicated",
        "no response",
    ] {
        let body = format!("return redis.call('INCR', KEYS[1]) -- {way}");
        let script = Script::new(&body);
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(body);
        match way {
            "query" => {
                let error = cluster.query::<Value>(&load).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Server, "{error}");
            }
            "batch" => {
                let mut batch = cluster.batch();
                let _ = batch.add::<Value>(load);
                batch.send().await.first_error().unwrap();
            }
            "pipe" => {
                let mut pipe = redis::pipe();
                pipe.add_command(load);
                pipe.query_async::<Value>(&mut cluster.clone())
                    .await
                    .unwrap_err();
            }
            "on_server" => {
                let server = cluster.on_server("s1").unwrap();
                server.query::<Value>(&load).await.unwrap_err();
            }
            "each" => {
                let answers = cluster.servers().each::<Value>(&load).await;
                assert!(answers.iter().any(|answer| answer.reply.is_err()));
            }
            "dedicated" => {
                let mut pipe = redis::pipe();
                pipe.add_command(load);
                let _: Value = pipe.query_async(&mut dedicated.clone()).await.unwrap();
            }
            _ => {
                load.set_no_response(true);
                let _: Value = dedicated.query(&load).await.unwrap();
                // It is answered before this is.
                let _: Value = dedicated.query(&cmd("PING")).await.unwrap();
            }
        }
        // The server does not have it, in any case.
        let _: String = ask(&real.servers[0], "SCRIPT FLUSH").await;
        let mut pipe = redis::pipe();
        pipe.atomic().set(&key, 1).ignore();
        pipe.invoke_script(&script.key(&key));
        let replies: Result<(i64,), _> = pipe.query_async(&mut cluster.clone()).await;
        assert_eq!(
            replies.unwrap_or_else(|error| panic!("{way}: {error}")),
            (2,)
        );
    }
}

#[tokio::test]
async fn an_empty_transaction_tells_of_a_broken_watch_and_an_empty_pipeline_fails() {
    let fixture = TestCluster::start(1).await;
    let mut cluster = fixture.connect_patiently().await;
    let mut dedicated = cluster.dedicated("k").await.unwrap();
    let empty = {
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe
    };
    let _: String = dedicated.query(&cmd("WATCH k")).await.unwrap();
    let _: i64 = cluster.incr("k", 1).await.unwrap();
    let broken: Value = empty.query_async(&mut dedicated).await.unwrap();
    assert_eq!(broken, Value::Nil);
    // It is not watched any more.
    let _: i64 = cluster.incr("k", 1).await.unwrap();
    let unbroken: Vec<Value> = empty.query_async(&mut dedicated).await.unwrap();
    assert_eq!(unbroken, []);
    let nothing: Vec<Value> = empty.query_async(&mut cluster).await.unwrap();
    assert_eq!(nothing, []);

    let as_redis_rs = |result: Result<Value, redis::RedisError>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), redis::ErrorKind::Client, "{error}");
        assert!(error.to_string().contains("empty command"), "{error}");
        assert_eq!(ErrorKind::of(&error), Some(ErrorKind::Invalid));
    };
    let empty = redis::pipe();
    let mut plain = fixture.servers[0].connection().await;
    as_redis_rs(empty.query_async(&mut plain).await.map(|()| Value::Nil));
    as_redis_rs(empty.query_async(&mut cluster).await);
    as_redis_rs(empty.query_async(&mut cluster.for_key("k")).await);
    as_redis_rs(
        empty
            .query_async(&mut cluster.on_server("s0").unwrap())
            .await,
    );
    as_redis_rs(empty.query_async(&mut dedicated).await);
    assert_eq!(cluster.batch().send().await.into_results().count(), 0);
}

#[tokio::test]
async fn what_acts_on_a_whole_server_is_refused_where_one_node_is_meant() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let _: String = cluster.query(&Cmd::set("other", 1)).await.unwrap();
    let whole = [
        "FLUSHDB",
        "FLUSHALL",
        "KEYS *",
        "DBSIZE",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "FUNCTION LIST",
        "FUNCTION DELETE lib",
        "CONFIG SET maxmemory 0",
        "SCAN 0",
        "RANDOMKEY",
        "SWAPDB 0 1",
    ];
    for text in whole {
        for way in Way::ALL {
            let narrow = way.is_dedicated() || matches!(way, Way::Atomic | Way::ForKeyAtomic);
            if !narrow {
                continue;
            }
            let answer = way.send(&cluster, "k", &cmd(text)).await;
            assert_eq!(answer.kind, Some(ErrorKind::Refused), "{text}: {answer:?}");
            if way.is_dedicated() {
                let error = answer.error().to_string();
                let names_it = error.contains("on_server") || error.contains("servers().each");
                assert!(names_it, "{text}: {error}");
            }
        }
    }
    let other: Option<i64> = cluster.query(&Cmd::get("other")).await.unwrap();
    assert_eq!(other, Some(1));

    let neutral = [
        "PING",
        "ECHO hello",
        "TIME",
        "CLIENT ID",
        "CLIENT INFO",
        "CLIENT GETNAME",
        "INFO server",
    ];
    for text in neutral {
        for answer in every_way_in(&cluster, "k", &cmd(text)).await {
            if answer.way.is_dedicated() || answer.way.is_atomic() {
                assert!(answer.result.is_ok(), "{text}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_script_object_of_redis_rs_runs_on_a_dedicated_connection_after_script_flush() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let mut dedicated = cluster.dedicated("k").await.unwrap();
    let script = adder();
    for expected in 1..4 {
        let _: String = ask(&fixture.servers[0], "SCRIPT FLUSH").await;
        let n: i64 = script.key("k").invoke_async(&mut dedicated).await.unwrap();
        assert_eq!(n, expected);
        let exists: Vec<bool> = redis::cmd("SCRIPT")
            .arg("EXISTS")
            .arg(script.get_hash())
            .query_async(&mut dedicated)
            .await
            .unwrap();
        assert_eq!(exists, [true]);
    }
}

/// Codes by which a server says that it did not execute a plain command, and whether keyway tries again.
const NOT_EXECUTED: [(&str, bool); 9] = [
    ("READONLY", true),
    ("LOADING", true),
    ("MASTERDOWN", true),
    ("BUSY", true),
    ("TRYAGAIN", true),
    ("NOREPLICAS", true),
    ("OOM", false),
    ("MISCONF", false),
    ("CLUSTERDOWN", false),
];

/// Refuses the first `times` writes with this code, and then answers; within MULTI as Redis does. By ways that Redis has: when
/// the command is queued, or when EXEC is.
async fn refusing(
    code: &'static str,
    times: u64,
    at_exec: bool,
) -> (ScriptedServer, Arc<AtomicU64>) {
    let asked = Arc::new(AtomicU64::new(0));
    let server = ScriptedServer::start({
        let (asked, in_multi) = (asked.clone(), AtomicU64::new(0));
        let aborts = AtomicU64::new(0);
        move |words| {
            let refused = format!("-{code} says the server\r\n");
            let refuse = || asked.fetch_add(1, Ordering::Relaxed) < times;
            Some(match words[0].as_str() {
                "MULTI" => {
                    in_multi.store(1, Ordering::Relaxed);
                    aborts.store(0, Ordering::Relaxed);
                    "+OK\r\n".to_owned()
                }
                "EXEC" => {
                    in_multi.store(0, Ordering::Relaxed);
                    if at_exec && refuse() {
                        format!(
                            "-EXECABORT Transaction discarded because of: {code} says the server\r\n"
                        )
                    } else if aborts.load(Ordering::Relaxed) > 0 {
                        "-EXECABORT Transaction discarded because of previous errors.\r\n".to_owned()
                    } else {
                        "*1\r\n:1\r\n".to_owned()
                    }
                }
                "INCR" | "BLPOP" | "EVAL" if in_multi.load(Ordering::Relaxed) == 1 => {
                    if !at_exec && refuse() {
                        aborts.store(1, Ordering::Relaxed);
                        refused
                    } else {
                        "+QUEUED\r\n".to_owned()
                    }
                }
                "INCR" | "EVAL" if refuse() => refused,
                "INCR" | "EVAL" => ":1\r\n".to_owned(),
                "BLPOP" if refuse() => refused,
                "BLPOP" => "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n".to_owned(),
                _ => return None,
            })
        }
    })
    .await;
    (server, asked)
}

async fn connect(server: &ScriptedServer) -> Cluster {
    let toml = cluster_toml("", 8, &[server.port()]);
    let cluster = Cluster::connect_config(parse(&toml)).await.unwrap();
    cluster.with_timeout(std::time::Duration::from_secs(20))
}

#[tokio::test]
async fn a_code_that_means_not_executed_is_retried_and_told_alike_in_every_way() {
    for (code, is_retried) in NOT_EXECUTED {
        for way in Way::ALL {
            for at_exec in [false, true] {
                if at_exec && !way.is_atomic() {
                    continue;
                }
                let incr = cmd("INCR k");
                // Once: what keyway retries gets through.
                let (server, _) = refusing(code, 1, at_exec).await;
                let cluster = connect(&server).await;
                let answer = way.send(&cluster, "k", &incr).await;
                let retries_here = is_retried && !way.is_dedicated();
                assert_eq!(answer.result.is_ok(), retries_here, "{code}: {answer:?}");
                // For ever: the server's own code, and the class that a plain command has.
                let (server, asked) = refusing(code, u64::MAX, at_exec).await;
                let cluster = connect(&server).await;
                let answer = way.send(&cluster, "k", &incr).await;
                let text = answer.error().to_string();
                assert!(text.contains("says the server"), "{code}: {text}");
                if let Some(kind) = answer.kind {
                    assert_eq!(kind, ErrorKind::Server, "{code}: {answer:?}");
                }
                let times = asked.load(Ordering::Relaxed);
                assert_eq!(
                    times > 1,
                    retries_here,
                    "{code} by {way:?}: asked {times} times"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_same_codes_are_retried_when_blocking_and_never_for_scripts() {
    for (code, is_retried) in NOT_EXECUTED {
        let (server, _) = refusing(code, 1, false).await;
        let cluster = connect(&server).await;
        let popped = cluster.query::<Value>(&cmd("BLPOP list 1")).await;
        assert_eq!(popped.is_ok(), is_retried, "{code}: {popped:?}");
        if let Err(error) = popped {
            assert!(!error.is_retryable(), "{error}");
        }
        // It may be a word of the script's own, after it has done half of its work.
        let (server, asked) = refusing(code, 1, false).await;
        let cluster = connect(&server).await;
        let error = cluster
            .query::<Value>(&cmd("EVAL script 1 k"))
            .await
            .unwrap_err();
        assert!(!error.is_retryable(), "{error}");
        assert_eq!(asked.load(Ordering::Relaxed), 1, "{code}");
    }
}

#[tokio::test]
async fn a_refused_multi_is_unknown_and_says_that_the_commands_ran_one_by_one() {
    let fixture = TestCluster::start(1).await;
    let _: String = ask(
        &fixture.servers[0],
        "ACL SETUSER some on >pw ~* &* +@all -multi",
    )
    .await;
    let toml = fixture.toml().replace("redis://", "redis://some:pw@");
    let cluster = Cluster::connect_config(parse(&toml)).await.unwrap();
    for way in [
        Way::Atomic,
        Way::ForKeyAtomic,
        Way::OnServerAtomic,
        Way::DedicatedAtomic,
    ] {
        let answer = way.send(&cluster, "k", &Cmd::incr("k", 1)).await;
        assert_eq!(answer.kind, Some(ErrorKind::Unknown), "{answer:?}");
        let text = answer.error().to_string();
        assert!(
            text.contains("NOPERM") || text.contains("permissions"),
            "{text}"
        );
        assert!(text.contains("one by one"), "{text}");
        assert!(!text.contains("protocol"), "{text}");
    }
}

#[tokio::test]
async fn what_begins_or_ends_a_transaction_is_no_part_of_one() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    for command in ["MULTI", "EXEC", "DISCARD", "WATCH k"] {
        for answer in every_way_in(&cluster, "k", &cmd(command)).await {
            if answer.way.is_atomic() {
                assert_eq!(
                    answer.kind,
                    Some(ErrorKind::Refused),
                    "{command}: {answer:?}"
                );
            }
        }
    }
    assert_eq!(cluster.stats().servers[0].shifts, 0);
}
