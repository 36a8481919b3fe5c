//! What keyway promises when servers and networks fail, shown on real servers behind a proxy that misbehaves on demand.

mod ending;
mod greeting;
mod leases;
mod load;
mod outages;
mod pubsub;
mod reload;
mod replies;
mod writes;

use crate::fixture::{FaultProxy, TestCluster, seeded};
use keyway::{Cluster, Config, Error};
use redis::{Cmd, FromRedisValue};
use std::time::Duration;

/// Far beyond what anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Settings of tests in which nothing is to be late, also on a busy machine.
const PATIENT: &str = "[timeouts]\nconnect = \"10s\"\nresponse = \"10s\"\n";

/// Real servers, each behind a proxy of its own; the cluster knows only the proxies.
struct Proxied {
    fixture: TestCluster,
    proxies: Vec<FaultProxy>,
}

impl Proxied {
    async fn start(servers: usize, settings: &str) -> Proxied {
        let fixture = TestCluster::start(servers).await.settings(settings);
        let mut proxies = Vec::new();
        for server in &fixture.servers {
            proxies.push(FaultProxy::start(server.port()).await);
        }
        Proxied { fixture, proxies }
    }

    fn config(&self) -> Config {
        let ports: Vec<u16> = self.proxies.iter().map(FaultProxy::port).collect();
        self.fixture.config_with_ports(&ports)
    }

    async fn connect(&self) -> Cluster {
        let cluster = Cluster::connect_config(self.config()).await.unwrap();
        assert!(cluster.health().is_ready(), "{:?}", cluster.health());
        cluster
    }
}

/// `prefix` and a number: a key that lives on this server.
fn key_on(cluster: &Cluster, server: &str, prefix: &str) -> String {
    (0..)
        .map(|i| format!("{prefix}{i}"))
        .find(|key| &*cluster.locate(key).server == server)
        .unwrap()
}

/// A command without spaces in its arguments.
fn cmd(text: &str) -> Cmd {
    let mut words = text.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        cmd.arg(word);
    });
    cmd
}

async fn query<T: FromRedisValue>(cluster: &Cluster, text: &str) -> Result<T, Error> {
    cluster.query(&cmd(text)).await
}

/// Asks a server past keyway and past any proxy.
async fn ask<T: FromRedisValue>(server: &crate::fixture::RedisServer, text: &str) -> T {
    cmd(text)
        .query_async(&mut server.connection().await)
        .await
        .unwrap()
}

/// The error's text with what differs from run to run taken out: ports and the directories of tests.
fn redacted(error: &Error, secrets: &[&str]) -> String {
    let mut text = error.to_string();
    for secret in secrets {
        text = text.replace(secret, "[...]");
    }
    text
}
