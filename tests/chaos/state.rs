//! The servers themselves, past keyway and past the proxies: what is placed on them before a round,
//! and what they hold after it.

use crate::map::{COUNTERS_APART, TAGS, key, name_of};
use crate::oracle::{Content, Keyspace};
use crate::workload::{FOREIGN_SCRIPT, ID_BYTES};
use keyway_testing::RedisServer;
use redis::aio::MultiplexedConnection;

/// Names, counters, and the script that keyway does not know.
pub(crate) async fn place(server: usize, redis: &RedisServer) {
    let mut pipe = redis::pipe();
    for tag in 0..TAGS {
        pipe.set(key("name", tag), name_of(server)).ignore();
        let first = COUNTERS_APART * (server as i64 + 1);
        for kind in ["count", "within", "cas"] {
            pipe.set(key(kind, tag), first).ignore();
        }
    }
    let mut connection = redis.connection().await;
    let () = pipe.query_async(&mut connection).await.unwrap();
    load_foreign_script(redis).await;
}

/// As another program would: no worker's keyway knows its body.
pub(crate) async fn load_foreign_script(redis: &RedisServer) {
    let load = redis::cmd("SCRIPT")
        .arg("LOAD")
        .arg(FOREIGN_SCRIPT)
        .to_owned();
    let _: String = load
        .query_async(&mut redis.connection().await)
        .await
        .unwrap();
}

/// How many clients the server has beside the one that asks.
pub(crate) async fn other_clients(redis: &RedisServer) -> usize {
    let list = redis::cmd("CLIENT").arg("LIST").to_owned();
    let list: String = list
        .query_async(&mut redis.connection().await)
        .await
        .unwrap();
    list.lines().count() - 1
}

/// All that the server holds.
pub(crate) async fn read(redis: &RedisServer) -> Keyspace {
    let mut connection = redis.connection().await;
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut connection)
        .await
        .unwrap();
    let mut keyspace = Keyspace::new();
    for chunk in keys.chunks(1000) {
        keyspace.extend(read_chunk(&mut connection, chunk).await);
    }
    keyspace
}

async fn read_chunk(connection: &mut MultiplexedConnection, keys: &[String]) -> Keyspace {
    let mut pipe = redis::pipe();
    for key in keys {
        match kind_of(key) {
            "set" => pipe.smembers(key),
            "hash" => pipe.hkeys(key),
            "name" | "count" | "within" | "cas" | "own" | "part" | "log" | "register" | "big" => {
                pipe.get(key)
            }
            _ => pipe.lrange(key, 0, -1),
        };
    }
    let values: Vec<redis::Value> = pipe.query_async(connection).await.unwrap();
    let mut keyspace = Keyspace::new();
    for (key, value) in keys.iter().zip(values) {
        let content = match kind_of(key) {
            "name" | "count" | "within" | "cas" => {
                Content::Text(redis::from_redis_value(value).unwrap())
            }
            // Their ids repeat by right; their readers check them.
            "register" | "big" => continue,
            "own" | "part" => Content::Ids(vec![redis::from_redis_value(value).unwrap()]),
            "log" => {
                let text: String = redis::from_redis_value(value).unwrap();
                let ids = text.as_bytes().chunks(ID_BYTES + 1);
                Content::Ids(
                    ids.map(|id| String::from_utf8_lossy(id).trim_end_matches(';').to_owned())
                        .collect(),
                )
            }
            _ => Content::Ids(redis::from_redis_value(value).unwrap()),
        };
        keyspace.insert(key.clone(), content);
    }
    keyspace
}

/// `list` of `list:{7}:w1.2`.
fn kind_of(key: &str) -> &str {
    key.split(':').next().unwrap_or(key)
}
