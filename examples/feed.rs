//! A small social feed: follow, post, read. Sets say who follows whom, timelines what was posted, and no key needs to know where it lives.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use futures::stream;
use keyway::timeline::Item;
use keyway::{Cluster, Error, Hybrid, Timeline};
use redis::Cmd;

/// Who has as many followers is not delivered to each: readers fetch the posts.
const MANY_FOLLOWERS: u64 = 100;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;
    let feed = Hybrid::new(
        Timeline::new(&cluster, "feed-home").keep(1000),
        Timeline::new(&cluster, "feed-posts").keep(1000),
    )
    .threshold(MANY_FOLLOWERS);

    // Ada posts before anybody follows. User 1 follows her later, and has the post all the same.
    post(&cluster, &feed, "ada", 1).await?;
    for reader in 0..3 {
        follow(&cluster, &feed, reader, "ada").await?;
    }
    for reader in 0..150 {
        follow(&cluster, &feed, reader, "knuth").await?;
    }
    post(&cluster, &feed, "ada", 2).await?; // delivered to three
    post(&cluster, &feed, "knuth", 3).await?; // to nobody: he has 150 followers

    // A page is what was delivered, merged with those of the reader's authors who have many followers.
    let page = feed.page(1, ["knuth"]).limit(50).await?;
    println!("user 1 reads {:?}", page.items);
    assert!(page.items.iter().map(|item| item.id).eq([3, 2, 1]));

    let sets = cluster.sets();
    let both = sets.intersect([followers("ada"), followers("knuth")]);
    println!("{} follow both", both.count().await?);
    let new_to_ada = sets.difference([followers("knuth"), followers("ada")]);
    let suggested: Vec<u64> = new_to_ada.limit(5).members().await?;
    println!("ada might like {suggested:?}");

    let mut used: Vec<String> = (0..150).map(|reader| feed.home().key(reader)).collect();
    for author in ["ada", "knuth"] {
        used.extend([followers(author), feed.posts().key(author)]);
    }
    let _: u64 = cluster.query(&Cmd::del(used)).await?;
    cluster.close().await?;
    Ok(())
}

async fn follow(cluster: &Cluster, feed: &Hybrid, reader: u64, author: &str) -> Result<(), Error> {
    // First the set, then the older posts: what is posted between the two is delivered.
    let _: u64 = cluster.query(&Cmd::sadd(followers(author), reader)).await?;
    feed.home().backfill(reader, feed.posts(), author).await?;
    Ok(())
}

async fn post(cluster: &Cluster, feed: &Hybrid, author: &str, id: u64) -> Result<(), Error> {
    let item = Item::new(id, 1_750_000_000_000 + id);
    let followers: Vec<u64> = cluster.query(&Cmd::smembers(followers(author))).await?;
    let count = followers.len() as u64;
    let posted = feed
        .post(author, count, &item, stream::iter(followers))
        .await?;
    // Whoever failed is in the report, and has it from a second delivery.
    assert!(posted.is_complete());
    Ok(())
}

fn followers(author: &str) -> String {
    format!("feed-followers:{author}")
}
