//! Set algebra over nodes: who follows both? The sets live on different nodes, and the answer is exact.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use keyway::{Cluster, ErrorKind};
use redis::{AsyncCommands, cmd};
use std::collections::BTreeSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;
    let mut redis = cluster.clone();

    let (ada, grace) = ("followers:ada", "followers:grace");
    let _: () = redis.del(&[ada, grace]).await?;
    let _: u64 = redis.sadd(ada, (0..1000).collect::<Vec<u64>>()).await?;
    let _: u64 = redis.sadd(grace, (990..2000).collect::<Vec<u64>>()).await?;
    for key in [ada, grace] {
        let home = cluster.locate(key);
        println!("{key}: node {}, server {}", home.node, home.server);
    }

    let both: BTreeSet<u64> = redis.sinter(&[ada, grace]).await?;
    println!("follow both: {both:?}");
    assert!(both.into_iter().eq(990..1000));

    let count: u64 = cluster
        .query(
            cmd("SINTERCARD")
                .arg(2)
                .arg(ada)
                .arg(grace)
                .arg("LIMIT")
                .arg(5),
        )
        .await?;
    println!("at least {count} of them");

    let only_ada: BTreeSet<u64> = redis.sdiff(&[ada, grace]).await?;
    println!("follow only ada: {}", only_ada.len());

    // To store the answer is a write to one node from several, which cannot be atomic: refused.
    let stored = cluster
        .query::<u64>(cmd("SINTERSTORE").arg("followers:both").arg(ada).arg(grace))
        .await;
    match stored {
        Err(error) if error.kind() == ErrorKind::CrossNode => println!("{error}"),
        other => return Err(format!("SINTERSTORE over nodes: {other:?}").into()),
    }

    let _: u64 = redis.del(&[ada, grace]).await?;
    cluster.close().await?;
    Ok(())
}
