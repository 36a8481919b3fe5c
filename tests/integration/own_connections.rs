//! Commands that nobody else is to wait for or to be changed by, and replies that nobody waits for.

use crate::fixture::{TestCluster, USUAL, cmd, eventually};
use crate::ways::{Way, every_way_in};
use keyway::{Cluster, ErrorKind};
use redis::{Cmd, Value};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn connects(cluster: &Cluster) -> u64 {
    cluster.stats().servers[0].connects
}

fn not_waited_for(cluster: &Cluster) -> u64 {
    cluster.stats().servers[0].not_waited_for
}

#[tokio::test]
async fn a_reply_that_nobody_wants_is_not_waited_for_and_its_place_is_kept() {
    let mut fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let mut incr = Cmd::incr("n", 1);
    incr.set_no_response(true);
    let answers = every_way_in(&cluster, "n", &incr).await;
    let mut executed = 0;
    for answer in answers {
        executed += 1;
        // As in redis-rs, a pipeline does not look at it.
        let is_alone = matches!(
            answer.way,
            Way::Cluster
                | Way::ClusterByRedis
                | Way::Bulk
                | Way::ForKey
                | Way::OnNode
                | Way::OnServer
                | Way::Each
                | Way::Dedicated
        );
        match &answer.result {
            Ok(Value::Nil) => assert!(is_alone, "{answer:?}"),
            Ok(_) => assert!(!is_alone, "{answer:?}"),
            Err(error) => panic!("{:?}: {error}", answer.way),
        }
    }
    assert_eq!(not_waited_for(&cluster), 8);
    eventually("all are executed", PATIENCE, async || {
        let n: i64 = cluster.query(&Cmd::get("n")).await.unwrap();
        n == executed
    })
    .await;
    // Over several servers, or nodes, it is waited for, and says nothing more.
    let mut mset = cmd("MSET a 1 b 2");
    mset.set_no_response(true);
    assert_eq!(cluster.query::<Value>(&mset).await.unwrap(), Value::Nil);
    // What is known by then is an error.
    let mut refused = cmd("RENAME a b");
    refused.set_no_response(true);
    assert!(cluster.query::<Value>(&refused).await.is_err());
    fixture.servers[0].kill();
    eventually("the server is down", PATIENCE, async || {
        let impatient = cluster.with_timeout(Duration::from_millis(50));
        impatient.query::<Value>(&incr).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn wait_on_a_dedicated_connection_has_its_own_timeout() {
    let fixture = TestCluster::start(1).await.settings(USUAL);
    let cluster = fixture.connect().await;
    let dedicated = cluster.dedicated("k").await.unwrap();
    // Three times the default deadline, without a replica.
    let started = Instant::now();
    let acknowledged: i64 = dedicated.query(&cmd("WAIT 1 1500")).await.unwrap();
    assert_eq!(acknowledged, 0);
    assert!(started.elapsed() >= Duration::from_millis(1400));
    let mut pipe = redis::pipe();
    pipe.set("k", 1).cmd("WAIT").arg(1).arg(1500);
    let replies: (String, i64) = pipe.query_async(&mut dedicated.clone()).await.unwrap();
    assert_eq!(replies, ("OK".to_owned(), 0));
    // 7.2 has it; this server says that it does not, within the time.
    if let Err(error) = dedicated.query::<Value>(&cmd("WAITAOF 0 0 1500")).await {
        assert_eq!(error.kind(), ErrorKind::Server, "{error}");
    }
    for way in Way::ALL.into_iter().filter(|way| !way.is_dedicated()) {
        let answer = way.send(&cluster, "k", &cmd("WAIT 1 1500")).await;
        assert_eq!(answer.kind, Some(ErrorKind::Refused), "{answer:?}");
    }
}

#[tokio::test]
async fn a_command_that_nobody_knows_goes_over_a_connection_of_its_own() {
    let fixture = TestCluster::start(1)
        .await
        .settings("[pool]\ndedicated_max = 1\n");
    let cluster = fixture.connect_patiently().await;
    assert_eq!(connects(&cluster), 1);
    for answer in every_way_in(&cluster, "k", &cmd("NEWEST k 1")).await {
        match answer.way {
            // Nothing says where it goes.
            Way::Cluster
            | Way::ClusterByRedis
            | Way::Bulk
            | Way::Batch
            | Way::Pipeline
            | Way::Atomic => {
                assert_eq!(answer.kind, Some(ErrorKind::UnknownCommand), "{answer:?}");
            }
            // The server was asked, and does not know it.
            _ => {
                let text = answer.error().to_string();
                assert!(text.contains("unknown command"), "{answer:?}");
            }
        }
    }
    assert_eq!(connects(&cluster), 2, "one lease, again and again");
    // A pipeline with such a command goes over one lease as a whole.
    let mut pipe = redis::pipe();
    pipe.set("k", 1).cmd("ECHO").arg("x");
    let mut held = redis::pipe();
    held.set("k", 1).cmd("NEWEST").arg("k").get("k");
    let dedicated = cluster.dedicated("k").await.unwrap();
    let impatient = cluster.with_timeout(Duration::from_millis(50));
    for answer in [
        Way::ForKey.send(&impatient, "k", &cmd("NEWEST k 1")).await,
        Way::OnServer
            .send(&impatient, "k", &cmd("NEWEST k 1"))
            .await,
        Way::OnServerAtomic
            .send(&impatient, "k", &cmd("NEWEST k 1"))
            .await,
    ] {
        assert_eq!(answer.kind, Some(ErrorKind::NotSent), "{answer:?}");
        let text = answer.error().to_string();
        assert!(text.contains("pool.dedicated_max"), "{text}");
    }
    drop(dedicated);
    let error = held
        .query_async::<Vec<Value>>(&mut cluster.for_key("k"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("unknown command"), "{error}");
    let value: i64 = cluster.query(&Cmd::get("k")).await.unwrap();
    assert_eq!(value, 1, "the others of the pipeline were executed");
}

#[tokio::test]
async fn a_command_that_nobody_knows_must_be_about_the_key_that_was_named() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    for way in [Way::ForKey, Way::ForKeyPipeline, Way::ForKeyAtomic] {
        let answer = way
            .send(&cluster, "k", &cmd("HEXPIRE other 10 FIELDS 1 f"))
            .await;
        assert_eq!(answer.kind, Some(ErrorKind::Refused), "{answer:?}");
        let text = answer.error().to_string();
        assert!(text.contains("on_node"), "{text}");
        assert!(text.contains("other"), "{text}");
    }
    // With the check left out, and with a key that it knows, the server answers.
    for (way, text) in [
        (Way::OnNode, "HEXPIRE other 10 FIELDS 1 f"),
        (Way::ForKey, "HEXPIRE k 10 FIELDS 1 f"),
    ] {
        let answer = way.send(&cluster, "k", &cmd(text)).await;
        assert_ne!(answer.kind, Some(ErrorKind::Refused), "{answer:?}");
    }
}

#[tokio::test]
async fn unknown_subcommands_of_client_are_refused_in_every_way() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    for text in [
        "CLIENT NO-TOUCH ON",
        "CLIENT CAPA redirect",
        "CLIENT SOMETHING",
    ] {
        for answer in every_way_in(&cluster, "k", &cmd(text)).await {
            assert_eq!(answer.kind, Some(ErrorKind::UnknownCommand), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_dropped_blpop_takes_nothing_once_its_connection_is_closed() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let blocked = async || {
        let info: redis::InfoDict = cluster
            .on_server("s0")
            .unwrap()
            .query(&cmd("INFO clients"))
            .await
            .unwrap();
        info.get::<u64>("blocked_clients").unwrap()
    };
    for way in [Way::Cluster, Way::ForKey, Way::Dedicated, Way::OnServer] {
        let waiting = tokio::spawn({
            let cluster = cluster.clone();
            async move { way.send(&cluster, "list", &cmd("BLPOP list 0")).await }
        });
        eventually("it waits", PATIENCE, async || blocked().await == 1).await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        eventually("it is closed", PATIENCE, async || blocked().await == 0).await;
        // From here on each push is somebody else's.
        let pushed: i64 = cluster.query(&cmd("RPUSH list a")).await.unwrap();
        assert_eq!(pushed, 1, "{way:?}");
        let taken: Option<String> = cluster.query(&cmd("LPOP list")).await.unwrap();
        assert_eq!(taken.as_deref(), Some("a"), "{way:?}");
    }
}
