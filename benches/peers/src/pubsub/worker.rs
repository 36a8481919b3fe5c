//! One turn, in a process of its own.

use super::{Contestant, Cost, Turn, Work};
use crate::layout::Layout;
use crate::worker::process;
use anyhow::{Context, Result, bail, ensure};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use futures::StreamExt;
use keyway::{Cluster, PubSubEvent};
use std::io::{BufRead, Write};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Messages that are published in one go. Two of these are under way, which fits into what keyway lets wait (1,024 events).
const BATCH: u32 = 500;
const BYTES: usize = 100;
const PATIENCE: Duration = Duration::from_secs(300);

/// Reads one order, and answers it.
pub fn main() -> Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let turn: Turn = serde_json::from_str(&line)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let cost = runtime
        .block_on(run(&turn))
        .map_err(|error| format!("{error:#}"));
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &cost)?;
    out.write_all(b"\n")?;
    Ok(())
}

/// Publishes in batches, the next but one when one is heard.
pub fn publisher(layout: &Layout, count: u32) -> Result<JoinHandle<Result<()>>> {
    let client = redis::Client::open(layout.url(0))?;
    Ok(std::thread::spawn(move || {
        let mut connection = client.get_connection()?;
        let _: () = redis::cmd("DEL").arg("heard").query(&mut connection)?;
        let _: (String, String) = heard(&mut connection)?;
        let mut batch = redis::pipe();
        for _ in 0..BATCH {
            batch.publish("c", [b'x'; BYTES].as_slice()).ignore();
        }
        let batches = count / BATCH;
        for at in 0..batches {
            let () = batch.query(&mut connection)?;
            if at > 0 {
                let _: (String, String) = heard(&mut connection)?;
            }
        }
        let _: (String, String) = heard(&mut connection)?;
        Ok(())
    }))
}

fn heard(connection: &mut redis::Connection) -> redis::RedisResult<(String, String)> {
    redis::cmd("BLPOP").arg("heard").arg(300).query(connection)
}

async fn run(turn: &Turn) -> Result<Cost> {
    match turn.work {
        Work::Many(count) | Work::Each(count) => {
            let names: Vec<String> = (0..count).map(|i| format!("channel:{i}")).collect();
            let is_each = matches!(turn.work, Work::Each(_));
            match turn.contestant {
                Contestant::Keyway => keyway_subscribes(turn, &names, is_each).await,
                Contestant::RedisRs => redis_rs_subscribes(turn, &names, is_each).await,
                Contestant::Fred => bail!("fred is not asked"),
            }
        }
        Work::Messages(count) => hear(turn, count).await,
    }
}

/// From `started` until now.
fn cost(started: Instant, cpu_us: f64) -> Cost {
    Cost {
        wall_us: started.elapsed().as_secs_f64() * 1e6,
        cpu_us: process::cpu_us() - cpu_us,
        peak_kib: process::peak_memory_kib(),
    }
}

async fn keyway_subscribes(turn: &Turn, names: &[String], is_each: bool) -> Result<Cost> {
    let cluster = Cluster::connect_config(turn.layout.config()).await?;
    let mut pubsub = cluster.with_timeout(PATIENCE).pubsub();
    // The connection is there before the clock runs, as in the other.
    pubsub.subscribe("first").await?;
    let (started, cpu) = (Instant::now(), process::cpu_us());
    if is_each {
        for name in names {
            pubsub.subscribe(name).await?;
        }
    } else {
        for result in pubsub.subscribe_many(names).await {
            result?;
        }
    }
    let cost = cost(started, cpu);
    ensure!(pubsub.channels().len() == names.len() + 1);
    Ok(cost)
}

async fn redis_rs_subscribes(turn: &Turn, names: &[String], is_each: bool) -> Result<Cost> {
    let client = redis::Client::open(turn.layout.url(0))?;
    let mut pubsub = client.get_async_pubsub().await?;
    pubsub.subscribe("first").await?;
    let (started, cpu) = (Instant::now(), process::cpu_us());
    if is_each {
        for name in names {
            pubsub.subscribe(name).await?;
        }
    } else {
        pubsub.subscribe(names).await?;
    }
    Ok(cost(started, cpu))
}

/// Hears all messages, and says so after each batch.
async fn hear(turn: &Turn, count: u32) -> Result<Cost> {
    let client = redis::Client::open(turn.layout.url(0))?;
    let mut teller = client.get_multiplexed_async_connection().await?;
    let mut tell = async || -> Result<()> {
        let _: () = redis::cmd("RPUSH")
            .arg("heard")
            .arg(1)
            .query_async(&mut teller)
            .await?;
        Ok(())
    };
    match turn.contestant {
        Contestant::Keyway => {
            let cluster = Cluster::connect_config(turn.layout.config()).await?;
            let mut pubsub = cluster.pubsub();
            pubsub.subscribe("c").await?;
            tell().await?;
            let (started, cpu) = (Instant::now(), process::cpu_us());
            for at in 1..=count {
                match pubsub.next().await? {
                    PubSubEvent::Message(message) => ensure!(message.payload.len() == BYTES),
                    other => bail!("{other:?}"),
                }
                if at % BATCH == 0 {
                    tell().await?;
                }
            }
            Ok(cost(started, cpu))
        }
        Contestant::RedisRs => {
            let mut pubsub = client.get_async_pubsub().await?;
            pubsub.subscribe("c").await?;
            tell().await?;
            let (started, cpu) = (Instant::now(), process::cpu_us());
            let mut messages = pubsub.on_message();
            for at in 1..=count {
                let message = messages.next().await.context("the stream has ended")?;
                ensure!(message.get_payload_bytes().len() == BYTES);
                if at % BATCH == 0 {
                    tell().await?;
                }
            }
            Ok(cost(started, cpu))
        }
        Contestant::Fred => {
            let config = fred::types::config::Config::from_url(&turn.layout.url(0))?;
            let mut builder = fred::types::Builder::from_config(config);
            // By default 32 messages may wait, and two batches are under way.
            builder.with_performance_config(|performance| {
                performance.broadcast_channel_capacity = 4 * BATCH as usize;
            });
            let client = builder.build()?;
            client.init().await?;
            let mut messages = client.message_rx();
            client.subscribe("c").await?;
            tell().await?;
            let (started, cpu) = (Instant::now(), process::cpu_us());
            for at in 1..=count {
                let message = messages.recv().await?;
                let payload = message.value.into_bytes().context("a payload")?;
                ensure!(payload.len() == BYTES);
                if at % BATCH == 0 {
                    tell().await?;
                }
            }
            Ok(cost(started, cpu))
        }
    }
}
