//! Reload: a node gets another server while the service runs.
//!
//! `reload` switches the map and moves no data, so this moves the node's only key first, with MIGRATE, and nothing writes to that node
//! meanwhile. At the end everything is where the cluster file says. The file is `$KEYWAY_EXAMPLE_CONFIG`, or `cluster.toml`.
#![expect(clippy::print_stdout, reason = "an example prints what it did")]

use keyway::config::Address;
use keyway::{Cluster, Config, NodeId};
use redis::{AsyncCommands, cmd};

const KEY: &str = "motto";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::var("KEYWAY_EXAMPLE_CONFIG").unwrap_or_else(|_| "cluster.toml".to_owned());
    let before = Config::from_file(path)?;
    let cluster = Cluster::connect_config(before.clone()).await?;
    let mut redis = cluster.clone();
    let _: () = redis.set(KEY, "festina lente").await?;

    let home = cluster.locate(KEY);
    let names = cluster.servers().names();
    let away = names
        .iter()
        .find(|name| **name != home.server)
        .ok_or("this takes two servers")?;
    println!(
        "{KEY} is on node {}, server {}; it goes to {away}",
        home.node, home.server
    );

    // Without a pause for the rest: another task keeps writing to all other nodes.
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let traffic = tokio::spawn(count(cluster.clone(), home.node, stopped));

    migrate(&cluster, &home.server, away).await?;
    let reloaded = cluster
        .reload(with_node_on(&before, home.node, away)?)
        .await?;
    for moved in &reloaded.moved {
        println!(
            "node {} moved from {} to {}",
            moved.node, moved.from, moved.to
        );
    }
    let motto: String = redis.get(KEY).await?;
    println!("{motto:?} was read from {}", cluster.locate(KEY).server);

    // Another placement would look for keys where they are not: refused, and nothing changes.
    let wrong = keyway::placement::Placement::with_nodes("jump".parse()?, 64)?;
    let mut other = Config::builder(before.name()).placement(wrong);
    for (at, server) in before.servers().iter().enumerate() {
        let nodes = if at == 0 { 0..64 } else { 0..0 };
        other = other.server(&*server.name, server.endpoint.clone(), nodes);
    }
    match cluster.reload(other.build()?).await {
        Err(error) => println!("refused: {error}"),
        Ok(_) => return Err("another placement was accepted".into()),
    }

    migrate(&cluster, away, &home.server).await?;
    cluster.reload(before).await?;
    let _ = stop.send(());
    println!("{} writes meanwhile, none failed", traffic.await??);
    let _: u64 = redis.del(KEY).await?;
    cluster.close().await?;
    Ok(())
}

/// Moves the key between two servers. Between this and the reload nobody finds it.
async fn migrate(
    cluster: &Cluster,
    from: &str,
    to: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let config = cluster.config();
    let endpoint = &config
        .servers()
        .iter()
        .find(|server| &*server.name == to)
        .ok_or("no such server")?
        .endpoint;
    let Address::Tcp { host, port } = &endpoint.address else {
        return Err("MIGRATE needs a TCP address".into());
    };
    let mut migrate = cmd("MIGRATE");
    migrate
        .arg(host)
        .arg(port)
        .arg(KEY)
        .arg(endpoint.database)
        .arg(1000);
    let _: () = cluster.on_server(from)?.query(&migrate).await?;
    Ok(())
}

/// The same configuration with one node on another server.
fn with_node_on(
    config: &Config,
    node: NodeId,
    server: &str,
) -> Result<Config, keyway::config::ConfigError> {
    let topology = config.topology();
    let mut changed = Config::builder(config.name())
        .placement(config.placement().clone())
        .timeouts(config.timeouts().clone());
    for (id, member) in topology.servers().zip(config.servers()) {
        let mut nodes: Vec<u16> = topology
            .nodes_of(id)
            .filter(|other| *other != node)
            .map(|node| node.0)
            .collect();
        if &*member.name == server {
            nodes.push(node.0);
        }
        changed = changed.server(&*member.name, member.endpoint.clone(), nodes);
    }
    changed.build()
}

async fn count(
    mut redis: Cluster,
    busy: NodeId,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> redis::RedisResult<u64> {
    let mut keys: Vec<String> = (0..100).map(|i| format!("counter:{i}")).collect();
    keys.retain(|key| redis.locate(key).node != busy);
    let mut writes = 0;
    while stopped.try_recv().is_err() {
        for key in &keys {
            let _: i64 = redis.incr(key, 1).await?;
            writes += 1;
        }
    }
    let _: u64 = redis.del(&keys).await?;
    Ok(writes)
}
