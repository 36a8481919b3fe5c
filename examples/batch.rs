//! A batch: commands that are sent together, each with its own type and its own result.
//!
//! The cluster file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use keyway::Cluster;
use redis::Cmd;
use std::collections::HashMap;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let cluster = Cluster::connect(path).await?;

    let mut batch = cluster.batch();
    let keys = ["visits:42", "user:42", "scores"];
    let deleted = batch.del::<u64>(&keys[..]);
    let visits = batch.incr::<i64>("visits:42", 1);
    let stored = batch.hset::<()>("user:42", "name", "ada");
    let user = batch.hgetall::<HashMap<String, String>>("user:42");
    // Whatever has no method of its own is added as a redis::Cmd.
    let scored = batch.add::<u64>(Cmd::zadd("scores", "ada", 1815));
    let wrong = batch.incr::<i64>("user:42", 1);
    println!("sending {} commands", batch.len());
    let mut replies = batch.send().await;

    println!("deleted before: {}", replies.take(deleted)?);
    println!("visits: {}", replies.take(visits)?);
    replies.take(stored)?;
    println!("user: {:?}", replies.take(user)?);
    println!("scores added: {}", replies.take(scored)?);
    // A failure is the failure of one command.
    match replies.take(wrong) {
        Err(error) => println!("INCR of a hash: {error}"),
        Ok(value) => return Err(format!("INCR of a hash answered {value}").into()),
    }

    let _: u64 = cluster.query(&Cmd::del(&keys[..])).await?;
    cluster.close().await?;
    Ok(())
}
