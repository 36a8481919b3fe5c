//! Connect, then everything that users of redis-rs know works: a cluster is a `ConnectionLike`.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use keyway::Cluster;
use redis::AsyncCommands;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;
    let mut redis = cluster.clone();

    let _: () = redis.set("user:42:name", "ada").await?;
    let name: Option<String> = redis.get("user:42:name").await?;
    println!("user:42:name is {name:?}");

    // Keys of any node: one round trip per server, all at once, and the values in the order of the keys.
    let _: () = redis
        .mset(&[("user:7:name", "grace"), ("user:8:name", "barbara")])
        .await?;
    let keys = ["user:8:name", "user:42:name", "user:0:name", "user:7:name"];
    let names: Vec<Option<String>> = redis.mget(&keys).await?;
    for (key, name) in keys.iter().zip(&names) {
        let home = cluster.locate(key);
        println!(
            "{key:<14} {:<16} node {:>2}, server {} at {}",
            format!("{name:?}"),
            home.node,
            home.server,
            home.address
        );
    }

    // A hash tag keeps keys on one node, so that commands with several keys may use them together.
    let _: () = redis.set("{user:42}:draft", "hello").await?;
    let _: () = redis.rename("{user:42}:draft", "{user:42}:post").await?;
    println!("renamed within the hash tag user:42");

    let deleted: u64 = redis.del(&keys).await?;
    let _: () = redis.del("{user:42}:post").await?;
    println!("deleted {deleted} of {} keys", keys.len());
    cluster.close().await?;
    Ok(())
}
