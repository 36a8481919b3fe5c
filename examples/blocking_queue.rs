//! A queue on a list: BLPOP waits on a connection of its own, so nobody else waits behind it.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use keyway::Cluster;
use redis::{AsyncCommands, RedisResult};

const JOBS: &str = "{jobs}:waiting";
const URGENT: &str = "{jobs}:urgent";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;
    let mut redis = cluster.clone();
    let _: u64 = redis.del(&[JOBS, URGENT]).await?;

    let worker = tokio::spawn(work(cluster.clone()));
    for number in 1..=5 {
        let _: u64 = redis
            .rpush(JOBS, format!("resize picture {number}"))
            .await?;
    }
    let _: u64 = redis.rpush(URGENT, "stop").await?;

    let done = worker.await??;
    let left: u64 = redis.llen(JOBS).await?;
    println!("the worker did {done} jobs and left {left}");
    assert_eq!(done + left, 5);
    let _: u64 = redis.del(&[JOBS, URGENT]).await?;
    cluster.close().await?;
    Ok(())
}

/// Takes jobs until it is told to stop, or has waited a second for one. Both lists are on one node, as BLPOP needs it.
async fn work(mut redis: Cluster) -> RedisResult<u64> {
    let mut done = 0;
    // The call's deadline is the command's own timeout and `timeouts.response` on top.
    while let Some((list, job)) = redis
        .blpop::<_, Option<(String, String)>>(&[URGENT, JOBS], 1.0)
        .await?
    {
        println!("from {list}: {job}");
        if list == URGENT {
            break;
        }
        done += 1;
    }
    Ok(done)
}
