//! Sets over nodes: who follows both? The sets live on different nodes, the answer is exact, and what is moved follows the smallest set.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use futures::TryStreamExt;
use keyway::{Cluster, ErrorKind};
use redis::{AsyncCommands, cmd};
use std::collections::BTreeSet;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;
    let mut redis = cluster.clone();

    let (ada, grace) = ("followers:ada", "followers:grace");
    let both = "followers:both";
    let _: () = redis.del(&[ada, grace, both]).await?;
    let _: u64 = redis.sadd(ada, (0..1_000).collect::<Vec<u64>>()).await?;
    let _: u64 = redis
        .sadd(grace, (990..30_000).collect::<Vec<u64>>())
        .await?;
    for key in [ada, grace] {
        let home = cluster.locate(key);
        println!("{key}: node {}, server {}", home.node, home.server);
    }

    let sets = cluster.sets();
    let mut mutual: Vec<u64> = sets.intersect([ada, grace]).members().await?;
    mutual.sort_unstable();
    println!("follow both: {mutual:?}");
    assert!(mutual.iter().copied().eq(990..1_000));

    // With a limit, looking ends early.
    let count = sets.intersect([ada, grace]).limit(5).count().await?;
    println!("at least {count} of them");

    let only_ada = sets.difference([ada, grace]).count().await?;
    println!("follow only ada: {only_ada}");

    // In bounded memory, however many there are.
    let everyone = sets.union([ada, grace]).stream::<u64>();
    let sum = everyone.try_fold(0, |sum, id| async move { Ok(sum + id) });
    println!("the ids of all of them add up to {}", sum.await?);

    // What was done, and what it cost beside what was expected.
    println!("\n{}", sets.intersect([ada, grace]).explain().await?);

    // A plain command gives the same.
    let raw: BTreeSet<u64> = redis.sinter(&[ada, grace]).await?;
    assert!(raw.into_iter().eq(mutual));

    // To store the answer is a write to one node from several, which cannot be atomic: refused, until it is called by its name.
    let stored = cluster
        .query::<u64>(cmd("SINTERSTORE").arg(both).arg(ada).arg(grace))
        .await;
    match stored {
        Err(error) if error.kind() == ErrorKind::CrossNode => println!("{error}"),
        other => return Err(format!("SINTERSTORE over nodes: {other:?}").into()),
    }
    let stored = sets.intersect([ada, grace]).store_non_atomic(both).await?;
    println!("stored in {both}: {stored}");

    let _: u64 = redis.del(&[ada, grace, both]).await?;
    cluster.close().await?;
    Ok(())
}
