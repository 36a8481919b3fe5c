//! Publish and subscribe: a channel lives on the server of its node, a pattern listens on all of them.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use keyway::{Cluster, PubSubEvent};
use redis::AsyncCommands;
use std::time::Duration;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;

    // Confirmed by the servers when these return: nothing that is published from here on is missed for want of a subscription.
    let mut pubsub = cluster.pubsub();
    pubsub.subscribe("news").await?;
    let unconfirmed = pubsub.psubscribe("room:*").await?;
    println!("servers that have not confirmed yet: {unconfirmed:?}");

    let mut redis = cluster.clone();
    let _: u64 = redis.publish("news", "hello").await?;
    for room in 0..4 {
        let _: u64 = redis.publish(format!("room:{room}"), "door opened").await?;
    }

    // At most once: Resubscribed and Lagged say where something may be missing.
    for _ in 0..5 {
        let event = tokio::time::timeout(Duration::from_secs(5), pubsub.next()).await??;
        match event {
            PubSubEvent::Message(message) => println!(
                "{} from server {}: {}",
                String::from_utf8_lossy(&message.channel),
                message.server,
                String::from_utf8_lossy(&message.payload)
            ),
            other => println!("{other:?}"),
        }
    }
    drop(pubsub);
    cluster.close().await?;
    Ok(())
}
