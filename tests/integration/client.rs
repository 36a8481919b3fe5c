//! What users of redis-rs know, over 64 nodes.

use crate::fixture::TestCluster;
use keyway::ErrorKind;
use redis::AsyncCommands;
use std::collections::HashMap;

#[tokio::test]
async fn commands_of_redis_rs_work_over_two_servers() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut redis = cluster.clone();
    for i in 0..200 {
        let _: () = redis.set(format!("user:{i}"), i).await.unwrap();
    }
    let keys: Vec<String> = (0..200).map(|i| format!("user:{i}")).collect();
    let values: Vec<Option<i64>> = redis.mget(&keys).await.unwrap();
    assert_eq!(values, (0..200).map(Some).collect::<Vec<_>>());
    let mut sizes = Vec::new();
    for server in &fixture.servers {
        let size: u64 = redis::cmd("DBSIZE")
            .query_async(&mut server.connection().await)
            .await
            .unwrap();
        sizes.push(size);
    }
    assert_eq!(sizes.iter().sum::<u64>(), 200);
    assert!(
        sizes.iter().all(|size| *size > 50),
        "both servers hold keys: {sizes:?}"
    );
    let total: u64 = redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap();
    assert_eq!(total, 200);
    let deleted: u64 = redis.del(&keys[..150]).await.unwrap();
    assert_eq!(deleted, 150);
    let exists: u64 = redis.exists(&keys).await.unwrap();
    assert_eq!(exists, 50);
    let pong: String = redis::cmd("PING").query_async(&mut redis).await.unwrap();
    assert_eq!(pong, "PONG");
}

#[tokio::test]
async fn a_pipeline_is_split_and_its_replies_come_in_order() {
    let fixture = TestCluster::start(3).await;
    let mut redis = fixture.connect().await;
    let mut pipe = redis::pipe();
    for i in 0..3000 {
        pipe.set(format!("k{i}"), i).ignore();
    }
    for i in (0..3000).rev() {
        pipe.get(format!("k{i}"));
    }
    let values: Vec<i64> = pipe.query_async(&mut redis).await.unwrap();
    assert_eq!(values, (0..3000).rev().collect::<Vec<_>>());

    let values: (Vec<i64>, i64, i64) = redis::pipe()
        .mget(&["k5", "k2999", "k17"])
        .incr("k5", 1)
        .cmd("DBSIZE")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(values, (vec![5, 2999, 17], 6, 3000));
}

#[tokio::test]
async fn a_transaction_runs_on_one_node_and_is_refused_over_several() {
    let fixture = TestCluster::start(2).await;
    let mut redis = fixture.connect().await;
    let values: (i64, i64) = redis::pipe()
        .atomic()
        .incr("{a}:x", 2)
        .incr("{a}:y", 3)
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(values, (2, 3));
    let refused = redis::pipe()
        .atomic()
        .incr("x", 1)
        .incr("y1", 1)
        .incr("z2", 1)
        .query_async::<()>(&mut redis)
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Some("CROSSSLOT"), "{refused}");
    let x: Option<i64> = redis.get("x").await.unwrap();
    assert_eq!(x, None, "nothing of a refused transaction was sent");
}

#[tokio::test]
async fn scripts_work_and_survive_a_flush_behind_our_back() {
    let fixture = TestCluster::start(2).await;
    let mut redis = fixture.connect().await;
    let script = redis::Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])");
    for i in 0..20 {
        let value: i64 = script
            .key(format!("n{i}"))
            .arg(i)
            .invoke_async(&mut redis)
            .await
            .unwrap();
        assert_eq!(value, i);
    }
    for server in &fixture.servers {
        let _: () = redis::cmd("SCRIPT")
            .arg("FLUSH")
            .query_async(&mut server.connection().await)
            .await
            .unwrap();
    }
    let mut pipe = redis::pipe();
    pipe.atomic()
        .cmd("EVALSHA")
        .arg(script.get_hash())
        .arg(1)
        .arg("{n}1")
        .arg(5);
    // The body goes with the transaction, in which nothing could be repeated.
    let flushed = pipe.query_async::<(i64,)>(&mut redis).await.unwrap();
    assert_eq!(flushed, (5,));
    for i in 0..20 {
        let value: i64 = script
            .key(format!("n{i}"))
            .arg(1)
            .invoke_async(&mut redis)
            .await
            .unwrap();
        assert_eq!(value, i + 1);
    }
    let (value,): (i64,) = pipe.query_async(&mut redis).await.unwrap();
    assert_eq!(value, 10);
}

#[tokio::test]
async fn a_batch_gives_one_typed_result_per_command() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut batch = cluster.batch();
    let visits = batch.incr::<i64>("visits:42", 1);
    let name = batch.get::<Option<String>>("user:42:name");
    let wrong = batch.lpush::<i64>("visits:42", "x");
    let refused = batch.add::<()>(redis::cmd("SELECT").arg(1).to_owned());
    let mut replies = batch.send().await;
    assert_eq!(replies.take(visits).unwrap(), 1);
    assert_eq!(replies.take(name).unwrap(), None);
    let wrong = replies.take(wrong).unwrap_err();
    assert_eq!(wrong.server_error().map(|e| e.code()), Some("WRONGTYPE"));
    assert_eq!(
        replies.take(refused).unwrap_err().kind(),
        ErrorKind::Refused
    );
}

#[tokio::test]
async fn commands_that_cannot_be_right_are_refused_before_a_byte_is_sent() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    for (args, kind) in [
        ("SELECT 1", ErrorKind::Refused),
        ("CLIENT REPLY SKIP", ErrorKind::Refused),
        ("MULTI", ErrorKind::Refused),
        ("SUBSCRIBE a", ErrorKind::Refused),
        ("INFO", ErrorKind::Refused),
        ("FLUSHALL", ErrorKind::Refused),
        ("EVAL return 0", ErrorKind::Refused),
        ("RENAME a b1", ErrorKind::CrossNode),
        ("SMOVE a b1 m", ErrorKind::CrossNode),
        ("NOSUCHCOMMAND a", ErrorKind::UnknownCommand),
        ("GET keyway:fence", ErrorKind::Refused),
        ("SORT a BY w_*", ErrorKind::Refused),
        ("BLPOP a b1 1", ErrorKind::CrossNode),
    ] {
        let mut words = args.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            cmd.arg(word);
        });
        let error = cluster.query::<redis::Value>(&cmd).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{args}: {error}");
    }
    let calls: HashMap<String, u64> = cluster
        .stats()
        .servers
        .iter()
        .map(|server| (server.name.clone(), server.calls))
        .collect();
    assert!(calls.values().all(|calls| *calls == 0), "{calls:?}");
}

#[tokio::test]
async fn watch_and_transactions_run_on_a_dedicated_connection() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let dedicated = cluster.dedicated("{acc}:1").await.unwrap();
    let total: (i64,) = redis::aio::transaction_async(
        dedicated,
        &["{acc}:1"],
        |mut connection, mut pipe| async move {
            let old: Option<i64> = connection.get("{acc}:1").await?;
            pipe.set("{acc}:1", old.unwrap_or(10) + 1)
                .ignore()
                .get("{acc}:1")
                .query_async(&mut connection)
                .await
        },
    )
    .await
    .unwrap();
    assert_eq!(total, (11,));
}

#[tokio::test]
async fn blocking_commands_wait_on_a_connection_of_their_own() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let waiting = tokio::spawn({
        let mut redis = cluster.clone();
        async move {
            redis
                .blpop::<_, Option<(String, String)>>("queue", 0.0)
                .await
                .unwrap()
        }
    });
    let mut redis = cluster.clone();
    let node = cluster.locate("queue");
    let server = &fixture.servers[node.server[1..].parse::<usize>().unwrap()];
    crate::fixture::eventually(
        "a client blocks",
        std::time::Duration::from_secs(30),
        async || {
            let info: String = redis::cmd("INFO")
                .arg("clients")
                .query_async(&mut server.connection().await)
                .await
                .unwrap();
            info.contains("blocked_clients:1")
        },
    )
    .await;
    let _: () = redis.set("other", 1).await.unwrap();
    let _: i64 = redis.rpush("queue", "job").await.unwrap();
    assert_eq!(
        waiting.await.unwrap(),
        Some(("queue".to_owned(), "job".to_owned()))
    );
    let nothing: Option<(String, String)> = redis.blpop("queue", 0.05).await.unwrap();
    assert_eq!(nothing, None);
}

#[tokio::test]
async fn what_a_read_only_server_says_at_the_positions_of_a_pipeline_reaches_the_caller() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut redis = cluster.clone();
    let replica = cluster.locate("a").server;
    let other = (0..)
        .map(|i| format!("b{i}"))
        .find(|key| cluster.locate(key).server != replica)
        .unwrap();
    let (from, to) = if &*replica == "s0" { (0, 1) } else { (1, 0) };
    let mut direct = fixture.servers[from].connection().await;
    let _: () = redis::cmd("REPLICAOF")
        .arg("127.0.0.1")
        .arg(fixture.servers[to].port())
        .query_async(&mut direct)
        .await
        .unwrap();
    let mut batch = cluster.batch();
    let refused = batch.set::<()>("a", 1);
    let done = batch.set::<()>(&other, 2);
    let behind = batch.set::<()>("a", 3);
    let mut replies = batch.send().await;
    for place in [refused, behind] {
        let error = replies.take(place).unwrap_err();
        let said = error.server_error().map(|error| error.code().to_owned());
        assert_eq!(said.as_deref(), Some("READONLY"), "{error}");
    }
    replies.take(done).unwrap();
    let value: i64 = redis.get(&other).await.unwrap();
    assert_eq!(value, 2);
}

#[tokio::test]
async fn whoever_unblocks_a_blocking_command_by_hand_ends_it() {
    let fixture = TestCluster::start(1).await;
    let mut redis = fixture.connect().await;
    let waiting = tokio::spawn(async move {
        redis
            .blpop::<_, Option<(String, String)>>("queue", 0.0)
            .await
    });
    let mut direct = fixture.servers[0].connection().await;
    crate::fixture::eventually(
        "the blocked client is unblocked",
        std::time::Duration::from_secs(30),
        async || {
            let list: String = redis::cmd("CLIENT")
                .arg("LIST")
                .query_async(&mut direct)
                .await
                .unwrap();
            let blocked = list.lines().find(|line| line.contains("cmd=blpop"));
            let id = blocked.and_then(|line| line.strip_prefix("id=")?.split(' ').next());
            let Some(id) = id else { return false };
            let mut unblock = redis::cmd("CLIENT");
            unblock.arg("UNBLOCK").arg(id).arg("ERROR");
            unblock.query_async::<i64>(&mut direct).await.unwrap() == 1
        },
    )
    .await;
    let ended = tokio::time::timeout(std::time::Duration::from_secs(30), waiting).await;
    let error = ended.expect("it is not asked again").unwrap().unwrap_err();
    assert_eq!(error.code(), Some("UNBLOCKED"), "{error}");
}
