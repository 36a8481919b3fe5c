//! The front of `tests/front/`: programs that speak to Redis work on a cluster.

#[path = "../front/mod.rs"]
#[allow(dead_code, reason = "its list of own answers is for its program")]
mod server;

use crate::fixture::TestCluster;
use futures::StreamExt;
use keyway_testing::eventually;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Client, Value};
use server::{Front, Settings};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

/// Three servers, 64 nodes, and a front.
async fn started() -> (TestCluster, Front) {
    let fixture = TestCluster::start(3).await;
    let settings = Settings {
        cluster: fixture.toml(),
        path: "test.toml".into(),
        listen: "127.0.0.1:0".to_owned(),
    };
    let front = Front::start(settings).await.expect("the front starts");
    (fixture, front)
}

async fn client(front: &Front) -> MultiplexedConnection {
    let client = Client::open(format!("redis://{}", front.address())).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// What redis-cli prints for these lines, in a protocol.
async fn redis_cli(front: &Front, protocol: &str, lines: &str) -> String {
    let port = front.address().port().to_string();
    let mut cli = Command::new("redis-cli")
        .args(["-p", &port, protocol])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-cli is installed with redis-server");
    let mut input = cli.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).await.unwrap();
    drop(input);
    let output = cli.wait_with_output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn redis_benchmark_finds_a_server() {
    let (_servers, front) = started().await;
    let port = front.address().port().to_string();
    let tests = "ping,set,get,incr,lpush,lrange_100,zadd,mset";
    let options = ["-n", "500", "-c", "10", "-P", "4", "-r", "1000", "--csv"];
    let output = Command::new("redis-benchmark")
        .args(["-p", &port, "-t", tests])
        .args(options)
        .output()
        .await
        .expect("redis-benchmark is installed with redis-server");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    // A header, two kinds of PING, the list that LRANGE reads, and the rest.
    assert_eq!(printed.lines().count(), 11, "{printed}");
    assert!(!printed.to_lowercase().contains("error"), "{printed}");
}

#[tokio::test]
async fn redis_cli_has_a_session_in_either_protocol() {
    let (_servers, front) = started().await;
    let lines = "SET k \"two words\"\nGET k\nHSET h f 1\nHGETALL h\nMULTI\nINCR n\nGET n\nEXEC\nNOSUCH k\nMULTI\nGET\nEXEC\n\
                 MSET a 1 b 2 c 3\nMGET c b a\nRENAME a b\nSELECT 0\n";
    let printed = redis_cli(&front, "-2", lines).await;
    let cross_node = printed.lines().find(|line| line.starts_with("CROSSSLOT"));
    assert!(
        cross_node.is_some_and(|line| line.contains("RENAME")),
        "{printed}"
    );
    let printed: Vec<&str> = printed
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("CROSSSLOT"))
        .collect();
    let expected = [
        "OK",
        "two words",
        "1",
        "f",
        "1",
        "OK",
        "QUEUED",
        "QUEUED",
        "1",
        "1",
        "ERR unknown command 'NOSUCH', with args beginning with: 'k' ",
        "OK",
        "ERR wrong number of arguments for 'get' command",
        "EXECABORT Transaction discarded because of previous errors.",
        "OK",
        "3",
        "2",
        "1",
        "OK",
    ];
    assert_eq!(printed, expected);
    let printed = redis_cli(&front, "-3", "HGETALL h\nHELLO\n").await;
    assert!(
        printed.starts_with("f 1\n") && printed.contains("proto 3"),
        "{printed}"
    );
}

#[tokio::test]
async fn what_is_sent_at_once_is_answered_in_order() {
    let (_servers, front) = started().await;
    let mut stream = TcpStream::connect(front.address()).await.unwrap();
    // Inline commands and arrays, over keys of all nodes, and one that is refused.
    let mut sent = String::new();
    let mut expected = String::new();
    for i in 0..1_000 {
        sent += &format!("SET key:{i} {i}\r\n*2\r\n$3\r\nGET\r\n");
        let key = format!("key:{i}");
        sent += &format!("${}\r\n{key}\r\n", key.len());
        expected += &format!("+OK\r\n${}\r\n{i}\r\n", i.to_string().len());
    }
    sent += "INCR key:1 1\r\nQUIT\r\nSET key:1 late\r\n";
    stream.write_all(sent.as_bytes()).await.unwrap();
    let mut read = String::new();
    stream.read_to_string(&mut read).await.unwrap();
    let rest = read
        .strip_prefix(&expected)
        .expect("every reply in its place");
    let lines: Vec<&str> = rest.lines().collect();
    assert!(lines[0].starts_with('-') && lines[1] == "+OK", "{rest}");
    assert_eq!(lines.len(), 2, "nothing is answered after QUIT");
    let value: String = client(&front).await.get("key:1").await.unwrap();
    assert_eq!(value, "1");
}

#[tokio::test]
async fn a_watched_key_that_changes_ends_the_transaction() {
    let (_servers, front) = started().await;
    let (mut watcher, mut other) = (client(&front).await, client(&front).await);
    let transaction = || {
        let mut pipe = redis::pipe();
        pipe.atomic().set("{t}a", "watcher").incr("{t}n", 1);
        pipe
    };
    let watch = |key: &str| redis::cmd("WATCH").arg(key).to_owned();
    let _: () = watch("{t}a").query_async(&mut watcher).await.unwrap();
    let _: () = other.set("{t}a", "other").await.unwrap();
    let ended: Option<Value> = transaction().query_async(&mut watcher).await.unwrap();
    assert_eq!(ended, None);
    let value: String = other.get("{t}a").await.unwrap();
    assert_eq!(value, "other");
    // The watch is over with its transaction, and with UNWATCH.
    let (_, n): (Value, i64) = transaction().query_async(&mut watcher).await.unwrap();
    assert_eq!(n, 1);
    let _: () = watch("{t}a").query_async(&mut watcher).await.unwrap();
    let _: () = other.set("{t}a", "again").await.unwrap();
    let _: () = redis::cmd("UNWATCH")
        .query_async(&mut watcher)
        .await
        .unwrap();
    let (_, n): (Value, i64) = transaction().query_async(&mut watcher).await.unwrap();
    assert_eq!(n, 2);
    // Keys of two nodes cannot be in one transaction.
    let mut torn = redis::pipe();
    torn.cmd("MULTI").set("a", 1).set("b", 1).cmd("EXEC");
    let replies: Vec<redis::RedisResult<Value>> = torn
        .ignore_errors()
        .query_async(&mut watcher)
        .await
        .unwrap();
    assert_eq!(replies[3].as_ref().unwrap_err().code(), Some("CROSSSLOT"));
    let exists: i64 = other.exists(&["a", "b"]).await.unwrap();
    assert_eq!(exists, 0);
}

#[tokio::test]
async fn subscribers_get_what_is_published() {
    let (_servers, front) = started().await;
    let url = format!("redis://{}", front.address());
    let mut subscriber = Client::open(url).unwrap().get_async_pubsub().await.unwrap();
    subscriber.subscribe(&["news", "sport"]).await.unwrap();
    subscriber.psubscribe("n*").await.unwrap();
    let mut publisher = client(&front).await;
    let receivers: i64 = publisher.publish("news", "first").await.unwrap();
    assert_eq!(receivers, 2, "the channel and the pattern");
    let receivers: i64 = publisher.publish("sport", "second").await.unwrap();
    assert_eq!(receivers, 1);
    let mut got = Vec::new();
    let mut messages = subscriber.on_message();
    for _ in 0..3 {
        let message = messages.next().await.unwrap();
        let pattern: Option<String> = message.get_pattern().unwrap();
        let payload: String = message.get_payload().unwrap();
        got.push((message.get_channel_name().to_owned(), pattern, payload));
    }
    drop(messages);
    got.sort();
    let message = |channel: &str, pattern: Option<&str>, payload: &str| {
        let pattern = pattern.map(str::to_owned);
        (channel.to_owned(), pattern, payload.to_owned())
    };
    let expected = [
        message("news", None, "first"),
        message("news", Some("n*"), "first"),
        message("sport", None, "second"),
    ];
    assert_eq!(got, expected);
    drop(subscriber);
    eventually(
        "nobody is subscribed",
        Duration::from_secs(10),
        async || publisher.clone().publish::<_, _, i64>("news", "late").await == Ok(0),
    )
    .await;
}

#[tokio::test]
async fn a_blocked_client_waits_for_its_value_and_takes_none_once_it_has_left() {
    let (_servers, front) = started().await;
    let mut pusher = client(&front).await;
    let asker = pusher.clone();
    let blocked = async || {
        let list: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut asker.clone())
            .await
            .unwrap();
        list.contains(" flags=b ")
    };
    let patience = Duration::from_secs(10);
    let mut waiting = TcpStream::connect(front.address()).await.unwrap();
    waiting.write_all(b"BLPOP list 0\r\n").await.unwrap();
    eventually("it waits", patience, &blocked).await;
    let _: i64 = pusher.rpush("list", "value").await.unwrap();
    let expected = b"*2\r\n$4\r\nlist\r\n$5\r\nvalue\r\n";
    let mut reply = vec![0; expected.len()];
    waiting.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply, expected);

    waiting.write_all(b"BLPOP list 0\r\n").await.unwrap();
    eventually("it waits again", patience, &blocked).await;
    drop(waiting);
    eventually("it has left", patience, async || !blocked().await).await;
    eventually("no server waits for it", patience, async || {
        let _: i64 = pusher.clone().rpush("list", "kept").await.unwrap();
        let kept: Option<String> = pusher.clone().lpop("list", None).await.unwrap();
        kept.is_some()
    })
    .await;
}
