//! What users of redis-rs have written works unchanged on a cluster: typed commands, iterators, pipelines, scripts, transactions, errors.

use crate::fixture::TestCluster;
use futures::StreamExt;
use keyway::{Cluster, ErrorKind};
use redis::aio::ConnectionLike;
use redis::streams::{StreamRangeReply, StreamReadOptions, StreamReadReply};
use redis::{AsyncCommands, Direction, Expiry, RetryMethod, Script, SetOptions, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

async fn started(servers: usize) -> (TestCluster, Cluster) {
    let fixture = TestCluster::start(servers).await;
    let cluster = fixture.connect().await;
    (fixture, cluster)
}

#[tokio::test]
async fn typed_commands_on_strings_bits_and_expiry() {
    let (_servers, mut redis) = started(3).await;
    let _: () = redis.set("greeting", "hello").await.unwrap();
    let _: usize = redis.append("greeting", " you").await.unwrap();
    let text: String = redis.getrange("greeting", 0, 4).await.unwrap();
    assert_eq!(text, "hello");
    let old: Option<String> = redis.getset("greeting", "ciao").await.unwrap();
    assert_eq!(old.as_deref(), Some("hello you"));
    let options = SetOptions::default()
        .conditional_set(redis::ExistenceCheck::NX)
        .get(true);
    let old: Option<String> = redis
        .set_options("greeting", "again", options)
        .await
        .unwrap();
    assert_eq!(old.as_deref(), Some("ciao"));
    let pairs: Vec<(String, i64)> = (0..50).map(|i| (format!("m{i}"), i)).collect();
    let _: () = redis.mset(&pairs).await.unwrap();
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).rev().collect();
    let values: Vec<i64> = redis.mget(&keys).await.unwrap();
    assert_eq!(values, (0..50).rev().collect::<Vec<_>>());
    let (a, none): (Option<i64>, Option<i64>) = redis.mget(&["m1", "no such key"]).await.unwrap();
    assert_eq!((a, none), (Some(1), None));
    let set: bool = redis.mset_nx(&[("{t}a", 1), ("{t}b", 2)]).await.unwrap();
    assert!(set);
    let sum: f64 = redis.incr("m7", 0.5).await.unwrap();
    assert_eq!(sum, 7.5);
    let left: i64 = redis.decr("m8", 10).await.unwrap();
    assert_eq!(left, -2);
    let gone: Option<String> = redis.get_del("greeting").await.unwrap();
    assert_eq!(gone.as_deref(), Some("ciao"));

    let _: bool = redis.setbit("{bits}a", 7, true).await.unwrap();
    let _: bool = redis.setbit("{bits}b", 6, true).await.unwrap();
    let _: usize = redis
        .bit_or("{bits}c", &["{bits}a", "{bits}b"])
        .await
        .unwrap();
    let ones: usize = redis.bitcount("{bits}c").await.unwrap();
    assert_eq!(ones, 2);

    let _: () = redis.set_ex("m1", 1, 1000).await.unwrap();
    let ttl: i64 = redis.ttl("m1").await.unwrap();
    assert!((990..=1000).contains(&ttl));
    let _: Option<i64> = redis.get_ex("m1", Expiry::PERSIST).await.unwrap();
    let ttl: i64 = redis.ttl("m1").await.unwrap();
    assert_eq!(ttl, -1);
    let expires: bool = redis.expire("m2", -1).await.unwrap();
    assert!(expires);
    let exists: bool = redis.exists("m2").await.unwrap();
    assert!(!exists);

    let _: () = redis.rename("{t}a", "{t}c").await.unwrap();
    let copied: bool = redis
        .copy("{t}c", "{t}d", redis::CopyOptions::default())
        .await
        .unwrap();
    assert!(copied);
    let kinds: redis::ValueType = redis.key_type("{t}d").await.unwrap();
    assert_eq!(kinds, redis::ValueType::String);
    let deleted: usize = redis
        .unlink(&["{t}b", "{t}c", "m3", "m4", "m5"])
        .await
        .unwrap();
    assert_eq!(deleted, 5);
}

#[tokio::test]
async fn typed_commands_on_hashes_lists_sets_and_sorted_sets() {
    let (_servers, mut redis) = started(3).await;
    let _: () = redis
        .hset_multiple("h", &[("name", "ada"), ("born", "1815")])
        .await
        .unwrap();
    let all: HashMap<String, String> = redis.hgetall("h").await.unwrap();
    assert_eq!(all["name"], "ada");
    let (name, none): (String, Option<String>) = redis.hmget("h", &["name", "died"]).await.unwrap();
    assert_eq!((name.as_str(), none), ("ada", None));
    let year: i64 = redis.hincr("h", "born", 1).await.unwrap();
    assert_eq!(year, 1816);

    let _: usize = redis.rpush("{l}a", &[1, 2, 3, 4]).await.unwrap();
    let moved: i64 = redis
        .lmove("{l}a", "{l}b", Direction::Right, Direction::Left)
        .await
        .unwrap();
    assert_eq!(moved, 4);
    let list: Vec<i64> = redis.lrange("{l}a", 0, -1).await.unwrap();
    assert_eq!(list, [1, 2, 3]);
    let popped: Vec<i64> = redis
        .lpop("{l}a", std::num::NonZeroUsize::new(2))
        .await
        .unwrap();
    assert_eq!(popped, [1, 2]);
    let popped: Option<(String, i64)> = redis.brpop(&["{l}none", "{l}b"], 1.0).await.unwrap();
    assert_eq!(popped, Some(("{l}b".to_owned(), 4)));
    let nothing: Option<(String, Vec<i64>)> = redis
        .blmpop(0.01, 2, &["{l}none", "{l}b"], Direction::Left, 3)
        .await
        .unwrap();
    assert_eq!(nothing, None);

    for i in 0..30 {
        let _: usize = redis.sadd("evens", i * 2).await.unwrap();
        let _: usize = redis.sadd("threes", i * 3).await.unwrap();
    }
    let both: BTreeSet<i64> = redis.sinter(&["evens", "threes"]).await.unwrap();
    assert_eq!(both, (0..10).map(|i| i * 6).collect());
    let all: HashSet<i64> = redis.sunion(&["evens", "threes"]).await.unwrap();
    assert_eq!(all.len(), 50);
    let odd: BTreeSet<i64> = redis.sdiff(&["threes", "evens"]).await.unwrap();
    assert!(odd.contains(&87) && !odd.contains(&6));
    let flags: Vec<bool> = redis.smismember("evens", &[2, 3]).await.unwrap();
    assert_eq!(flags, [true, false]);

    let _: usize = redis
        .zadd_multiple("z", &[(1.5, "a"), (2.0, "b"), (2.0, "c")])
        .await
        .unwrap();
    let range: Vec<(String, f64)> = redis.zrange_withscores("z", 0, 1).await.unwrap();
    assert_eq!(range, [("a".to_owned(), 1.5), ("b".to_owned(), 2.0)]);
    let names: Vec<String> = redis.zrangebyscore("z", 2, "+inf").await.unwrap();
    assert_eq!(names, ["b", "c"]);
    let rank: Option<usize> = redis.zrevrank("z", "a").await.unwrap();
    assert_eq!(rank, Some(2));
    let popped: Option<(String, String, f64)> = redis.bzpopmin("z", 1.0).await.unwrap();
    assert_eq!(popped, Some(("z".to_owned(), "a".to_owned(), 1.5)));
    let _: usize = redis.zadd("z2", "b", 10).await.unwrap();
    let merged: Vec<(String, f64)> = redis::cmd("ZUNION")
        .arg(2)
        .arg(&["z", "z2"])
        .arg("WITHSCORES")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(merged, [("c".to_owned(), 2.0), ("b".to_owned(), 12.0)]);
    let refused = redis
        .zunionstore::<_, _, usize>("z3", &["z", "z2"])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("CROSSSLOT"));
}

#[tokio::test]
async fn geography_and_hyperloglogs() {
    let (_servers, mut redis) = started(2).await;
    let added: usize = redis::cmd("GEOADD")
        .arg("Sicily")
        .arg(&[
            "13.361389",
            "38.115556",
            "Palermo",
            "15.087269",
            "37.502669",
            "Catania",
        ])
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(added, 2);
    let kilometres: f64 = redis::cmd("GEODIST")
        .arg(&["Sicily", "Palermo", "Catania", "km"])
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!((kilometres - 166.27).abs() < 0.1, "{kilometres}");
    let near: Vec<String> = redis::cmd("GEOSEARCH")
        .arg(&[
            "Sicily",
            "FROMLONLAT",
            "15",
            "37",
            "BYRADIUS",
            "200",
            "km",
            "ASC",
        ])
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(near, ["Catania", "Palermo"]);
    for day in 0..3 {
        let visitors: Vec<i64> = (day * 50..day * 50 + 100).collect();
        let _: bool = redis
            .pfadd(format!("{{visits}}:{day}"), visitors)
            .await
            .unwrap();
    }
    let all: usize = redis
        .pfcount(&["{visits}:0", "{visits}:1", "{visits}:2"])
        .await
        .unwrap();
    assert!((190..=210).contains(&all), "{all}");
    let _: () = redis
        .pfmerge("{visits}:sum", &["{visits}:0", "{visits}:1"])
        .await
        .unwrap();
    let two: usize = redis.pfcount("{visits}:sum").await.unwrap();
    assert!((143..=157).contains(&two), "{two}");
}

#[tokio::test]
async fn streams_with_groups_and_blocking_reads() {
    let (_servers, cluster) = started(3).await;
    let mut redis = cluster.clone();
    let _: () = redis
        .xgroup_create_mkstream("events", "workers", "$")
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let mut redis = cluster.clone();
        async move {
            let options = StreamReadOptions::default()
                .group("workers", "ada")
                .block(10_000)
                .count(1);
            redis
                .xread_options::<_, _, Option<StreamReadReply>>(&["events"], &[">"], &options)
                .await
        }
    });
    // Either it waits already, or it finds the entry at once; both are right.
    let id: String = redis
        .xadd("events", "*", &[("kind", "start"), ("n", "1")])
        .await
        .unwrap();
    let read = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!(read.keys[0].key, "events");
    assert_eq!(read.keys[0].ids[0].id, id);
    assert_eq!(
        read.keys[0].ids[0].get::<String>("kind").as_deref(),
        Some("start")
    );
    let pending: redis::streams::StreamPendingReply =
        redis.xpending("events", "workers").await.unwrap();
    assert_eq!(pending.count(), 1);
    let acknowledged: usize = redis.xack("events", "workers", &[&id]).await.unwrap();
    assert_eq!(acknowledged, 1);
    let nothing: Option<StreamReadReply> = redis
        .xread_options(&["events"], &["$"], &StreamReadOptions::default().block(5))
        .await
        .unwrap();
    assert!(nothing.is_none_or(|reply| reply.keys.is_empty()));
    let _: String = redis.xadd("{s}a", "1-1", &[("x", 1)]).await.unwrap();
    let _: String = redis.xadd("{s}b", "2-1", &[("x", 2)]).await.unwrap();
    let both: StreamReadReply = redis.xread(&["{s}a", "{s}b"], &["0", "0"]).await.unwrap();
    assert_eq!(both.keys.len(), 2);
    let range: StreamRangeReply = redis.xrange_all("{s}b").await.unwrap();
    assert_eq!(range.ids[0].id, "2-1");
    let length: usize = redis.xlen("{s}a").await.unwrap();
    assert_eq!(length, 1);
    let refused = redis
        .xread::<_, _, StreamReadReply>(&["a", "b1", "c2"], &["0", "0", "0"])
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("CROSSSLOT"));
}

#[tokio::test]
async fn iterators_scan_one_key_and_the_whole_cluster() {
    let (_servers, mut redis) = started(3).await;
    let mut expected = BTreeSet::new();
    let mut pipe = redis::pipe();
    for i in 0..2_000 {
        pipe.hset("h", format!("f{i}"), i).ignore();
        pipe.sadd("s", i).ignore();
        pipe.zadd("z", i, i).ignore();
        pipe.set(format!("key:{i}"), i).ignore();
        expected.insert(format!("key:{i}"));
    }
    let _: () = pipe.query_async(&mut redis).await.unwrap();
    let mut found = BTreeMap::new();
    let mut fields = redis.hscan::<_, (String, i64)>("h").await.unwrap();
    while let Some(pair) = fields.next().await {
        let (field, value) = pair.unwrap();
        found.insert(field, value);
    }
    drop(fields);
    assert_eq!(found.len(), 2_000);
    assert!(
        found
            .iter()
            .all(|(field, value)| *field == format!("f{value}"))
    );
    let members: HashSet<i64> = redis
        .sscan::<_, i64>("s")
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(members, (0..2_000).collect());
    let scored: HashSet<(i64, i64)> = redis
        .zscan::<_, (i64, i64)>("z")
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(scored, (0..2_000).map(|i| (i, i)).collect());
    let keys: BTreeSet<String> = redis
        .scan_match::<_, String>("key:*")
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(keys, expected);
    let options = redis::ScanOptions::default()
        .with_type("hash")
        .with_count(500);
    let hashes: BTreeSet<String> = redis
        .scan_options::<String>(options)
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert_eq!(hashes, BTreeSet::from(["h".to_owned()]));
    let all: BTreeSet<String> = redis.keys("key:1?").await.unwrap();
    assert_eq!(all, (10..20).map(|i| format!("key:{i}")).collect());
}

#[tokio::test]
async fn pipelines_ignore_convert_and_report_errors_by_position() {
    let (_servers, mut redis) = started(3).await;
    let (n, names, missing): (i64, Vec<String>, Option<String>) = redis::pipe()
        .set("n", 41)
        .ignore()
        .rpush("names", &["ada", "bob"])
        .ignore()
        .incr("n", 1)
        .lrange("names", 0, -1)
        .get("missing")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!((n, names.len(), missing), (42, 2, None));

    let mut pipe = redis::pipe();
    pipe.get("n").lpush("n", 1).get("names").get("n");
    let error = pipe
        .query_async::<Vec<Value>>(&mut redis)
        .await
        .unwrap_err();
    let failed = error.into_server_errors().unwrap();
    assert_eq!(
        failed
            .iter()
            .map(|(at, error)| (*at, error.code()))
            .collect::<Vec<_>>(),
        [(1, "WRONGTYPE"), (2, "WRONGTYPE")]
    );
    let mut pipe = redis::pipe();
    pipe.get("n").lpush("n", 1).get("n").ignore_errors();
    let results: Vec<redis::RedisResult<i64>> = pipe.query_async(&mut redis).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap(), &42);
    assert_eq!(results[1].as_ref().unwrap_err().code(), Some("WRONGTYPE"));
    assert_eq!(results[2].as_ref().unwrap(), &42);

    let refused = redis::pipe()
        .set("n", 0)
        .blpop("names", 1.0)
        .query_async::<()>(&mut redis)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("KEYWAY_REFUSED"));
    let n: i64 = redis.get("n").await.unwrap();
    assert_eq!(n, 42, "nothing of a refused pipeline was sent");
}

#[tokio::test]
async fn transactions_report_errors_inside_and_aborts() {
    let (_servers, mut redis) = started(2).await;
    let _: () = redis.set("{t}text", "abc").await.unwrap();
    let mut pipe = redis::pipe();
    pipe.atomic()
        .set("{t}a", 1)
        .incr("{t}text", 1)
        .set("{t}b", 2);
    let error = pipe
        .query_async::<Vec<Value>>(&mut redis)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not an integer"), "{error}");
    // As on one server: the others ran.
    let (a, b): (i64, i64) = redis.mget(&["{t}a", "{t}b"]).await.unwrap();
    assert_eq!((a, b), (1, 2));

    let mut pipe = redis::pipe();
    pipe.atomic()
        .set("{t}a", 10)
        .cmd("SET")
        .arg("{t}b")
        .incr("{t}a", 1);
    let error = pipe
        .query_async::<Vec<Value>>(&mut redis)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("EXECABORT"), "{error}");
    assert!(
        error.to_string().contains("wrong number of arguments"),
        "{error}"
    );
    let a: i64 = redis.get("{t}a").await.unwrap();
    assert_eq!(a, 1, "nothing of an aborted transaction ran");
    let _: () = redis::pipe()
        .atomic()
        .query_async(&mut redis)
        .await
        .unwrap();
    let value: (i64,) = redis::pipe()
        .atomic()
        .set("{t}a", 5)
        .ignore()
        .get("{t}a")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(value, (5,));
}

#[tokio::test]
async fn scripts_run_at_their_keys_and_are_loaded_where_they_are_missing() {
    let (fixture, cluster) = started(3).await;
    let mut redis = cluster.clone();
    let script =
        Script::new("redis.call('SET', KEYS[1], ARGV[1]) return {KEYS[1], tonumber(ARGV[1]) * 2}");
    for round in 0..2 {
        for i in 0..40 {
            let (key, twice): (String, i64) = script
                .key(format!("k{i}"))
                .arg(i)
                .invoke_async(&mut redis)
                .await
                .unwrap();
            assert_eq!((key, twice), (format!("k{i}"), i * 2));
        }
        if round == 0 {
            // Behind our back, on one server: only there the script is missing.
            let _: () = redis::cmd("SCRIPT")
                .arg("FLUSH")
                .query_async(&mut fixture.servers[1].connection().await)
                .await
                .unwrap();
        }
    }
    let _: () = redis::cmd("SCRIPT")
        .arg("FLUSH")
        .query_async(&mut redis)
        .await
        .unwrap();
    let known: Vec<bool> = redis::cmd("SCRIPT")
        .arg("EXISTS")
        .arg(script.get_hash())
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(known, [false]);
    let (_, twice): (String, i64) = script
        .key("k1")
        .arg(4)
        .invoke_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(twice, 8);
    let many = Script::new("return #KEYS");
    let count: i64 = many
        .key("{q}1")
        .key("{q}2")
        .invoke_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(count, 2);
    let refused = many
        .key("k1")
        .key("k2")
        .key("k3")
        .invoke_async::<i64>(&mut redis)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("CROSSSLOT"));
    let failed = Script::new("return redis.error_reply('MYERR no')")
        .key("a")
        .invoke_async::<()>(&mut redis)
        .await
        .unwrap_err();
    assert_eq!(failed.code(), Some("MYERR"));
    // In one pipeline: loaded, and called on servers that have never seen it.
    let twice = Script::new("return tonumber(KEYS[1]) * 2");
    let mut pipe = redis::pipe();
    pipe.load_script(&twice).ignore();
    for i in 0..20 {
        pipe.invoke_script(&twice.key(i));
    }
    let values: Vec<i64> = pipe.query_async(&mut redis).await.unwrap();
    assert_eq!(values, (0..20).map(|i| i * 2).collect::<Vec<_>>());
}

#[tokio::test]
async fn optimistic_transactions_under_contention_lose_no_update() {
    let (_servers, cluster) = started(2).await;
    let tasks = (0..8).map(|_| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            for _ in 0..20 {
                let connection = cluster.dedicated("{acc}:total").await.unwrap();
                let _: (i64,) = redis::aio::transaction_async(
                    connection,
                    &["{acc}:total"],
                    |mut connection, mut pipe| async move {
                        let old: Option<i64> = connection.get("{acc}:total").await?;
                        pipe.set("{acc}:total", old.unwrap_or(0) + 1)
                            .ignore()
                            .get("{acc}:total")
                            .query_async(&mut connection)
                            .await
                    },
                )
                .await
                .unwrap();
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    let mut redis = cluster.clone();
    let total: i64 = redis.get("{acc}:total").await.unwrap();
    assert_eq!(total, 160);

    let mut connection = cluster.dedicated("{acc}:total").await.unwrap();
    let _: () = redis::cmd("MULTI")
        .query_async(&mut connection)
        .await
        .unwrap();
    let queued: String = redis::cmd("INCR")
        .arg("{acc}:total")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(queued, "QUEUED");
    let foreign = redis::cmd("GET")
        .arg("other")
        .query_async::<Value>(&mut connection)
        .await
        .unwrap_err();
    assert_eq!(foreign.code(), Some("CROSSSLOT"));
    let done: Vec<i64> = redis::cmd("EXEC")
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(done, [161]);
    let replicas: i64 = redis::cmd("WAIT")
        .arg(0)
        .arg(10)
        .query_async(&mut connection)
        .await
        .unwrap();
    assert_eq!(replicas, 0);
}

#[tokio::test]
async fn for_key_and_on_node_send_what_names_no_key() {
    let (fixture, cluster) = started(3).await;
    let at = cluster.locate("user:42");
    let mut home = cluster.for_key("user:42");
    let two: i64 = redis::cmd("EVAL")
        .arg("return 1 + 1")
        .arg(0)
        .query_async(&mut home)
        .await
        .unwrap();
    assert_eq!(two, 2);
    let unknown = redis::cmd("NOSUCHCOMMAND")
        .arg("user:42")
        .query_async::<()>(&mut home)
        .await
        .unwrap_err();
    assert_eq!(
        unknown.code(),
        Some("ERR"),
        "the server itself says so: {unknown}"
    );
    let _: () = home.set("user:42", "ada").await.unwrap();
    let name: String = cluster
        .on_node(at.node)
        .unwrap()
        .get("user:42")
        .await
        .unwrap();
    assert_eq!(name, "ada");
    let server = &fixture.servers[at.server[1..].parse::<usize>().unwrap()];
    let direct: String = server.connection().await.get("user:42").await.unwrap();
    assert_eq!(direct, "ada");
    assert_eq!(at.address, server.address());
    assert_eq!(cluster.locate("profile:{user:42}").node, at.node);
    let other = (0..)
        .map(|i| format!("k{i}"))
        .find(|key| cluster.locate(key).node != at.node)
        .unwrap();
    let foreign = home.get::<_, Option<String>>(&other).await.unwrap_err();
    assert_eq!(foreign.code(), Some("CROSSSLOT"));
    let sorted: Vec<String> = {
        let _: () = redis::pipe()
            .rpush("{w}l", &[2, 1])
            .mset(&[("{w}1", "b"), ("{w}2", "a")])
            .ignore()
            .query_async(&mut cluster.clone())
            .await
            .map(|_: Value| ())
            .unwrap();
        redis::cmd("SORT")
            .arg(&["{w}l", "BY", "{w}*", "ALPHA"])
            .query_async(&mut cluster.for_key("{w}"))
            .await
            .unwrap()
    };
    assert_eq!(sorted, ["2", "1"]);
    assert_eq!(
        cluster.on_node(keyway::NodeId(64)).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[tokio::test]
async fn on_server_and_each_administrate() {
    let (fixture, cluster) = started(3).await;
    let mut redis = cluster.clone();
    let at = cluster.locate("k");
    let _: () = redis.set("k", 1).await.unwrap();
    let mut home = cluster.on_server(&at.server).unwrap();
    let policy: HashMap<String, String> = redis::cmd("CONFIG")
        .arg("GET")
        .arg("maxmemory-policy")
        .query_async(&mut home)
        .await
        .unwrap();
    assert_eq!(policy["maxmemory-policy"], "noeviction");
    // Redis 7 forbids DEBUG unless it is configured; the point is that the server itself says so.
    let debug = redis::cmd("DEBUG")
        .arg("OBJECT")
        .arg("k")
        .query_async::<String>(&mut home)
        .await
        .unwrap_err();
    assert_eq!(debug.code(), Some("ERR"), "{debug}");
    assert!(
        debug.to_string().contains("DEBUG command not allowed"),
        "{debug}"
    );
    let refused = redis::cmd("FLUSHALL")
        .query_async::<()>(&mut redis)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("KEYWAY_REFUSED"));
    let away = (0..3)
        .map(|i| format!("s{i}"))
        .find(|name| **name != *at.server)
        .unwrap();
    let refused = cluster
        .on_server(&away)
        .unwrap()
        .set::<_, _, ()>("k", 2)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("KEYWAY_REFUSED"));
    assert!(refused.to_string().contains(&*at.server), "{refused}");
    let nothing: Option<i64> = cluster.on_server(&away).unwrap().get("k").await.unwrap();
    assert_eq!(
        nothing, None,
        "a read of a foreign key is allowed, and finds nothing"
    );
    let (n,): (i64,) = redis::pipe()
        .atomic()
        .incr("k", 5)
        .query_async(&mut home)
        .await
        .unwrap();
    assert_eq!(n, 6);
    let foreign_atomic = redis::pipe()
        .atomic()
        .set("k", 9)
        .query_async::<()>(&mut cluster.on_server(&away).unwrap())
        .await;
    assert_eq!(
        foreign_atomic.unwrap_err().code(),
        Some("KEYWAY_REFUSED"),
        "not by way of a transaction either"
    );

    let infos = cluster
        .servers()
        .each::<redis::InfoDict>(redis::cmd("INFO").arg("server"))
        .await;
    assert_eq!(
        infos.iter().map(|info| &*info.server).collect::<Vec<_>>(),
        ["s0", "s1", "s2"]
    );
    for (info, server) in infos.into_iter().zip(&fixture.servers) {
        let port: u16 = info.reply.unwrap().get("tcp_port").unwrap();
        assert_eq!(port, server.port());
    }
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "slowlog-max-len", "7"])
        .query_async(&mut redis)
        .await
        .unwrap();
    for reply in cluster
        .servers()
        .each::<Vec<String>>(redis::cmd("CONFIG").arg(&["GET", "slowlog-max-len"]))
        .await
    {
        assert_eq!(reply.reply.unwrap()[1], "7");
    }
    assert_eq!(
        cluster.on_server("nowhere").unwrap_err().kind(),
        ErrorKind::Invalid
    );
}

#[tokio::test]
async fn resp3_keeps_its_shapes() {
    let fixture = TestCluster::start(2)
        .await
        .settings("protocol = \"resp3\"\n");
    let mut redis = fixture.connect().await;
    let _: () = redis.hset("h", "f", 1).await.unwrap();
    let _: () = redis.sadd("s", "m").await.unwrap();
    let _: () = redis.zadd("z", "m", 1.5).await.unwrap();
    let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
    for (words, expected) in [
        ("HGETALL h", Value::Map(vec![(text("f"), text("1"))])),
        ("SMEMBERS s", Value::Set(vec![text("m")])),
        ("SUNION s t u v", Value::Set(vec![text("m")])),
        ("ZSCORE z m", Value::Double(1.5)),
        (
            "ZUNION 3 z y x WITHSCORES",
            Value::Array(vec![Value::Array(vec![text("m"), Value::Double(1.5)])]),
        ),
        ("GET nothing", Value::Nil),
    ] {
        let mut words = words.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            cmd.arg(word);
        });
        let reply = redis.req_packed_command(&cmd).await.unwrap();
        assert_eq!(reply, expected);
    }
    let members: HashSet<String> = redis.sunion(&["s", "t", "u"]).await.unwrap();
    assert_eq!(members.len(), 1);
    let scores: Vec<(String, f64)> = redis.zrange_withscores("z", 0, -1).await.unwrap();
    assert_eq!(scores, [("m".to_owned(), 1.5)]);
}

#[tokio::test]
async fn errors_convert_to_what_redis_rs_users_ask_for() {
    let mut fixture = TestCluster::start(2)
        .await
        .settings("[timeouts]\nresponse = \"2s\"\nconnect = \"2s\"\n");
    let cluster = fixture.connect().await;
    let mut redis = cluster.clone();
    let on = |server: &str| {
        (0..)
            .map(|i| format!("k{i}"))
            .find(|key| &*cluster.locate(key).server == server)
            .unwrap()
    };
    let (here, there) = (on("s0"), on("s1"));

    let error = redis.rename::<_, _, ()>(&here, &there).await.unwrap_err();
    assert_eq!(error.code(), Some("CROSSSLOT"));
    assert_eq!(
        error.kind(),
        redis::ErrorKind::Server(redis::ServerErrorKind::CrossSlot)
    );
    assert!(matches!(error.retry_method(), RetryMethod::NoRetry));
    let error = redis::cmd("INFO")
        .query_async::<()>(&mut redis)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("KEYWAY_REFUSED"));
    assert_eq!(error.kind(), redis::ErrorKind::Extension);
    assert!(matches!(error.retry_method(), RetryMethod::NoRetry));
    assert!(
        error.to_string().contains("cluster.servers().each"),
        "{error}"
    );
    let error = redis::cmd("NOSUCH")
        .arg("k")
        .query_async::<()>(&mut redis)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("KEYWAY_UNKNOWNCOMMAND"));
    let error = redis::cmd("MSET")
        .arg(&["k", "v", "w"])
        .query_async::<()>(&mut redis)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("ERR"));
    assert_eq!(
        error.detail(),
        Some("wrong number of arguments for 'mset' command")
    );
    assert_eq!(ErrorKind::of(&error), Some(ErrorKind::Invalid));
    assert!(matches!(error.retry_method(), RetryMethod::NoRetry));
    let _: () = redis.set(&here, "text").await.unwrap();
    let error = redis.incr::<_, _, i64>(&here, 1).await.unwrap_err();
    assert_eq!((error.code(), error.is_io_error()), (Some("ERR"), false));
    let error = redis.get::<_, i64>(&here).await.unwrap_err();
    assert_eq!(error.kind(), redis::ErrorKind::Parse);

    // A server that does not answer: a write may have happened.
    fixture.servers[1].stop();
    let error = redis.set::<_, _, ()>(&there, 1).await.unwrap_err();
    assert_eq!(error.code(), Some("KEYWAY_UNKNOWN"), "{error}");
    assert!(matches!(error.retry_method(), RetryMethod::NoRetry));
    let own = cluster
        .query::<()>(redis::cmd("SET").arg(&there).arg(1))
        .await
        .unwrap_err();
    assert!(
        own.is_timeout() && own.kind() == ErrorKind::Unknown,
        "{own}"
    );
    fixture.servers[1].resume();

    // One that is gone: certainly not executed, and after the patience of an outage at once.
    fixture.servers[1].kill();
    crate::fixture::eventually("the outage is known", Duration::from_secs(60), async || {
        let error = cluster
            .query::<()>(redis::cmd("SET").arg(&there).arg(1))
            .await
            .unwrap_err();
        error.kind() == ErrorKind::ServerDown
    })
    .await;
    let error = redis.set::<_, _, ()>(&there, 1).await.unwrap_err();
    assert!(
        error.is_io_error() && error.is_connection_dropped() && !error.is_timeout(),
        "{error}"
    );
    assert!(matches!(error.retry_method(), RetryMethod::Reconnect));
    assert!(
        error.to_string().contains("s1"),
        "the error names the server: {error}"
    );
    let error = redis
        .mget::<_, Vec<Option<String>>>(&[&here, &there])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("KEYWAY_PARTIAL"), "{error}");
    let text: String = redis.get(&here).await.unwrap();
    assert_eq!(text, "text", "the other server's keys are served");
    // In a pipeline the failure is at its position.
    let mut pipe = redis::pipe();
    pipe.get(&here).get(&there).get(&here).ignore_errors();
    let results: Vec<redis::RedisResult<String>> = pipe.query_async(&mut redis).await.unwrap();
    assert!(results[0].is_ok() && results[2].is_ok());
    assert_eq!(
        results[1].as_ref().unwrap_err().code(),
        Some("KEYWAY_SERVERDOWN")
    );
    fixture.servers[1].restart().await;
    crate::fixture::eventually("the server is back", Duration::from_secs(60), async || {
        redis.clone().set::<_, _, ()>(&there, 1).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn multi_key_refuse_splits_nothing() {
    let fixture = TestCluster::start(2)
        .await
        .settings("multi_key = \"refuse\"\n");
    let cluster = fixture.connect().await;
    let mut redis = cluster.clone();
    let keys: Vec<String> = (0..5).map(|i| format!("k{i}")).collect();
    assert!(
        keys.iter()
            .any(|key| cluster.locate(key).node != cluster.locate(&keys[0]).node)
    );
    for command in [
        "MGET", "DEL", "UNLINK", "EXISTS", "TOUCH", "SINTER", "SUNION", "SDIFF",
    ] {
        let error = redis::cmd(command)
            .arg(&keys)
            .query_async::<Value>(&mut redis)
            .await
            .unwrap_err();
        assert_eq!(error.code(), Some("CROSSSLOT"), "{command}");
        assert!(error.to_string().contains("multi_key"), "{error}");
    }
    let error = redis
        .mset::<_, _, ()>(&keys.iter().map(|key| (key, 1)).collect::<Vec<_>>())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("CROSSSLOT"));
    let refused = redis::pipe()
        .set("k0", 1)
        .mget(&keys)
        .query_async::<()>(&mut redis)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("CROSSSLOT"));
    let _: () = redis.mset(&[("{t}a", 1), ("{t}b", 2)]).await.unwrap();
    let values: Vec<i64> = redis.mget(&["{t}a", "{t}b"]).await.unwrap();
    assert_eq!(values, [1, 2]);
    let size: u64 = redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap();
    assert_eq!(size, 2, "nothing that was refused was sent");
}
