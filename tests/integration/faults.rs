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

use crate::fixture::{PATIENT, Proxied, ask, cmd, query, seeded};
use keyway::{Cluster, Error};
use std::time::Duration;

/// Far beyond what anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// `prefix` and a number: a key that lives on this server.
fn key_on(cluster: &Cluster, server: &str, prefix: &str) -> String {
    (0..)
        .map(|i| format!("{prefix}{i}"))
        .find(|key| &*cluster.locate(key).server == server)
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
