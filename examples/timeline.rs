//! Timelines: a post is delivered to its author's followers, and what follows and unfollows do to them.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use futures::stream::{self, StreamExt};
use keyway::timeline::Item;
use keyway::{Cluster, Timeline};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const FOLLOWERS: u64 = 5_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;

    // Keys are home:user:1, home:user:2, ...; each holds the newest 100 items, or a few more until it is trimmed.
    let home = Timeline::new(&cluster, "home")
        .keep(100)
        .max_age(Duration::from_secs(30 * 24 * 3600));
    let posts = Timeline::new(&cluster, "posts");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let now = u64::try_from(now)?;

    // Author 7 writes three posts; the last one is delivered to all who follow.
    for id in 1..=3_u64 {
        posts.push("author:7", &Item::new(id, now + id)).await?;
    }
    let post = Item::new(3_u64, now + 3);
    let followers = || stream::iter(1..=FOLLOWERS).map(user);
    let report = home
        .deliver(&post, followers())
        .on_progress(|progress| println!("{} of {} delivered", progress.done, progress.taken))
        .await?;
    // Whoever failed is in the report. The same delivery to them again completes it; nobody has anything twice.
    println!(
        "delivered to {}, failed for {}",
        report.done,
        report.failures.len()
    );

    // On following: the author's newest posts, at once. On unfollowing: out of the timeline again.
    let backfilled = home.backfill("user:9999", &posts, "author:7").await?;
    println!(
        "a new follower has {} of {} posts",
        backfilled.added, backfilled.read
    );
    let purged = home.purge("user:1", &posts, "author:7").await?;
    println!("{} posts left with the author", purged.removed);

    // The post is deleted.
    let report = home.retract(post.id, followers()).await?;
    println!(
        "retracted from {} timelines of {}",
        report.changed, report.taken
    );

    let mut keys: Vec<String> = (1..=FOLLOWERS).map(|id| home.key(user(id))).collect();
    keys.extend([home.key("user:9999"), posts.key("author:7")]);
    let _: u64 = cluster.query(&redis::Cmd::del(keys)).await?;
    cluster.close().await?;
    Ok(())
}

fn user(id: u64) -> String {
    format!("user:{id}")
}
