//! Reading timelines: pages and cursors, many authors merged into one page, hybrid delivery, a public timeline, capacity.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use futures::stream;
use keyway::timeline::{CursorKeys, Item};
use keyway::{Cluster, Cursor, Hybrid, PublicTimeline, Timeline};
use redis::Cmd;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;

    // Cursors are in the hands of users: signed, nobody can make one, or use it elsewhere.
    let keys = CursorKeys::new("32 bytes of a random generator..")?;
    let home = Timeline::new(&cluster, "example-home")
        .keep(1000)
        .sign_cursors(&keys);
    for id in 1..=120u64 {
        home.push("ada", &Item::new(id, 1_750_000_000_000 + id)).await?;
    }
    let newest = home.page("ada").limit(50).await?;
    println!("newest: {} to {}", newest.items[0].id, newest.items[49].id);

    // A cursor is text, for a URL, and comes back from it.
    let text = newest.next.ok_or("there are older ones")?.to_string();
    println!("?from={text}");
    let cursor: Cursor = text.parse()?;
    let older = home.page("ada").limit(50).from(&cursor).await?;
    println!("older: {} to {}", older.items[0].id, older.items[49].id);
    assert_eq!(older.items[0].id, 70);
    let refused = home.page("grace").from(&cursor).await;
    println!("for another owner: {}", refused.err().ok_or("it was accepted")?);

    // What has come since the newest page?
    home.push("ada", &Item::new(121u64, 1_750_000_000_121)).await?;
    let newer = home.page("ada").limit(50).from(&newest.previous).await?;
    println!("since: {:?}", newer.items);
    assert_eq!(newer.items.len(), 1);

    // Many authors as one page: two round trips at most, each one pipeline per server.
    let posts = Timeline::new(&cluster, "example-posts").sign_cursors(&keys);
    let authors: Vec<u64> = (0..100).collect();
    for author in &authors {
        for post in 0..5 {
            let item = Item::new(author * 5 + post, 1_750_000_000_000 + post * 1000 + author);
            posts.push(author, &item).await?;
        }
    }
    let merged = posts.merged(&authors).limit(50).await?;
    println!(
        "merged: {} items of {} authors by {} round trips and {} entries",
        merged.items.len(),
        authors.len(),
        merged.cost.round_trips,
        merged.cost.entries_read
    );

    // An author with many followers is not delivered to all: readers merge the author's own timeline into their page.
    let feed = Hybrid::new(home.clone(), posts.clone()).threshold(10_000);
    let followers = ["ada", "grace"];
    let few = feed
        .post("linus", 2, &Item::new(1000u64, 1_750_000_010_000), stream::iter(followers))
        .await?;
    let many = feed
        .post("knuth", 50_000, &Item::new(1001u64, 1_750_000_010_001), stream::iter(followers))
        .await?;
    assert!(few.delivery.is_some() && many.delivery.is_none());
    let page = feed.page("ada", ["knuth"]).limit(3).await?;
    println!("hybrid: {:?}", page.items);
    assert_eq!(page.items[0].id, 1001);

    // A timeline of everything has a part on every node.
    let all = PublicTimeline::new(&cluster, "example-public").keep(1000);
    for id in 1..=200u64 {
        all.push(&Item::new(id, 1_750_000_000_000 + id)).await?;
    }
    let page = all.page().limit(10).await?;
    println!("public: {} parts, newest {:?}", all.keys()?.len(), page.items[0]);
    assert_eq!(page.items[9].id, 191);

    let capacity = posts.capacity(&authors).await?;
    println!(
        "capacity: {:.0} bytes per timeline of {:.0} items; {} fit into 1 GiB",
        capacity.bytes_per_timeline(),
        capacity.items_per_timeline(),
        capacity.timelines_in(1 << 30)
    );

    let mut used = all.keys()?;
    used.extend(["ada", "grace"].map(|owner| home.key(owner)));
    used.extend(["linus", "knuth"].map(|author| posts.key(author)));
    used.extend(authors.iter().map(|author| posts.key(author)));
    let _: u64 = cluster.query(&Cmd::del(&used)).await?;
    cluster.close().await?;
    Ok(())
}
