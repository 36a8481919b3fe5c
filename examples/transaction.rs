//! Transactions: an atomic pipeline on one node, and WATCH on a connection of one's own.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use keyway::Cluster;
use redis::AsyncCommands;
use redis::aio::transaction_async;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;
    let mut redis = cluster.clone();

    // All or nothing: the keys share a hash tag, hence a node.
    let (alice, bob): (i64, i64) = redis::pipe()
        .atomic()
        .set("{bank}:alice", 100)
        .ignore()
        .set("{bank}:bob", 0)
        .ignore()
        .decr("{bank}:alice", 30)
        .incr("{bank}:bob", 30)
        .query_async(&mut redis)
        .await?;
    println!("after the first transfer: alice {alice}, bob {bob}");

    // Keys of several nodes cannot be atomic, so nothing is sent, and the error says what to do.
    let mut over_nodes = redis::pipe();
    over_nodes.atomic();
    for i in 0..8 {
        over_nodes.incr(format!("account:{i}"), 1).ignore();
    }
    match over_nodes.query_async::<()>(&mut redis).await {
        Err(error) => println!("over several nodes: {error}"),
        Ok(()) => return Err("a transaction over several nodes was let through".into()),
    }

    // Read, decide, write, and again if somebody else was faster: WATCH belongs to a connection, so it takes one of its own.
    let dedicated = cluster.dedicated("{bank}:alice").await?;
    let keys = ["{bank}:alice", "{bank}:bob"];
    let (alice, bob): (i64, i64) =
        transaction_async(dedicated, &keys, |mut watched, mut pipe| async move {
            let balance: i64 = watched.get("{bank}:alice").await?;
            let amount = balance / 2;
            pipe.decr("{bank}:alice", amount)
                .incr("{bank}:bob", amount)
                .query_async(&mut watched)
                .await
        })
        .await?;
    println!("after moving half of the rest: alice {alice}, bob {bob}");

    let _: u64 = redis.del(&keys).await?;
    cluster.close().await?;
    Ok(())
}
