//! What the error of a pipeline says.

use crate::fixture::{TestCluster, ask, cmd, eventually, parse, query};
use crate::ways::every_way_in;
use keyway::{Cluster, ErrorKind};
use redis::{Cmd, RedisError, Value};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const QUICK: &str = "[timeouts]\nconnect = \"300ms\"\nresponse = \"5s\"\n";

/// Two servers, of which the second is dead, and a key on each.
async fn half_dead() -> (TestCluster, Cluster, [String; 2]) {
    let mut fixture = TestCluster::start(2).await.settings(QUICK);
    let cluster = fixture.connect().await;
    let on = |server: &str| {
        let mut all = (0..).map(|i| format!("k{i}"));
        all.find(|key| &*cluster.locate(key).server == server)
            .unwrap()
    };
    let keys = [on("s0"), on("s1")];
    fixture.servers[1].kill();
    eventually("the server is down", PATIENCE, async || {
        let get = query::<Value>(&cluster, &format!("GET {}", keys[1])).await;
        get.is_err_and(|error| error.kind() == ErrorKind::ServerDown)
    })
    .await;
    (fixture, cluster, keys)
}

#[tokio::test]
async fn a_pipeline_of_which_nothing_was_executed_fails_as_a_whole() {
    let (_fixture, cluster, [_, dead]) = half_dead().await;
    for answer in every_way_in(&cluster, &dead, &Cmd::set(&dead, 1)).await {
        assert_eq!(answer.kind, Some(ErrorKind::ServerDown), "{answer:?}");
        assert!(answer.error().is_io_error(), "{answer:?}");
    }
}

async fn piped(cluster: &Cluster, commands: &[&str]) -> RedisError {
    let mut pipe = redis::pipe();
    for text in commands {
        pipe.add_command(cmd(text));
    }
    let replies = pipe.query_async::<Vec<Value>>(&mut cluster.clone()).await;
    replies.unwrap_err()
}

#[tokio::test]
async fn the_class_of_a_pipeline_never_means_that_it_may_be_repeated() {
    let (_fixture, cluster, [live, dead]) = half_dead().await;
    let list = (0..)
        .map(|i| format!("list{i}"))
        .find(|key| &*cluster.locate(key).server == "s0")
        .unwrap();
    query::<i64>(&cluster, &format!("LPUSH {list} x"))
        .await
        .unwrap();
    let kind = async |commands: &[&str]| {
        let error = piped(&cluster, commands).await;
        assert!(!error.is_io_error(), "{error}");
        ErrorKind::of(&error).unwrap()
    };
    let set_live = format!("SET {live} 1");
    let set_dead = format!("SET {dead} 1");
    let wrong = format!("INCR {list}");
    assert_eq!(kind(&[&set_live, &set_dead]).await, ErrorKind::Partial);
    assert_eq!(kind(&[&wrong]).await, ErrorKind::Server);
    assert_eq!(kind(&[&set_live, &wrong]).await, ErrorKind::Server);
    assert_eq!(kind(&[&wrong, &set_dead]).await, ErrorKind::Partial);
}

#[tokio::test]
async fn a_pipeline_with_one_unknown_outcome_is_unknown() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture
        .connect()
        .await
        .with_timeout(Duration::from_millis(200));
    fixture.servers[0].stop();
    let error = piped(&cluster, &["INCR a", "INCR b"]).await;
    fixture.servers[0].resume();
    assert_eq!(ErrorKind::of(&error), Some(ErrorKind::Unknown), "{error}");
}

#[tokio::test]
async fn an_aborted_transaction_names_the_command_at_fault() {
    let fixture = TestCluster::start(1).await;
    let acl = "ACL SETUSER some on >pw ~* &* +@all -getset";
    let _: String = ask(&fixture.servers[0], acl).await;
    let toml = fixture.toml().replace("redis://", "redis://some:pw@");
    let cluster = Cluster::connect_config(parse(&toml)).await.unwrap();
    let mut pipe = redis::pipe();
    pipe.atomic().set("k", 1).getset("k", 2).get("k");
    let dedicated = cluster.dedicated("k").await.unwrap();
    for error in [
        pipe.query_async::<Value>(&mut cluster.clone()).await,
        pipe.query_async::<Value>(&mut dedicated.clone()).await,
    ] {
        let error = error.unwrap_err();
        let text = error.to_string();
        assert_eq!(error.code(), Some("EXECABORT"), "{text}");
        for part in ["index 1", "NOPERM"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
