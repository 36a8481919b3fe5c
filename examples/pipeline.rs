//! `redis::pipe()` over all nodes: split by server, sent at once, answered in order.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use keyway::Cluster;
use redis::{AsyncCommands, RedisResult};
use std::time::Instant;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;
    let mut redis = cluster.clone();

    let mut pipe = redis::pipe();
    for i in 0..1000 {
        pipe.set(format!("number:{i}"), i).ignore();
    }
    for i in (0..1000).rev() {
        pipe.get(format!("number:{i}"));
    }
    let started = Instant::now();
    let numbers: Vec<i64> = pipe.query_async(&mut redis).await?;
    assert!(numbers.into_iter().eq((0..1000).rev()));
    println!(
        "2000 commands, answered in order, in {:?}",
        started.elapsed()
    );

    // Without ignore_errors the first error reply is the pipeline's; with it, each position has its own result.
    let results: Vec<RedisResult<i64>> = redis::pipe()
        .ignore_errors()
        .incr("number:1", 10)
        .lpush("number:2", "not a list")
        .incr("number:3", 10)
        .query_async(&mut redis)
        .await?;
    for result in results {
        match result {
            Ok(number) => println!("ok: {number}"),
            Err(error) => println!("error at this position only: {error}"),
        }
    }

    let keys: Vec<String> = (0..1000).map(|i| format!("number:{i}")).collect();
    let deleted: u64 = redis.del(keys).await?;
    println!("deleted {deleted} keys");
    for server in cluster.stats().servers {
        println!("server {}: {} calls", server.name, server.calls);
    }
    cluster.close().await?;
    Ok(())
}
