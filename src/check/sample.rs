//! Looking at keys: do they live where this file says?

use super::Progress;
use crate::config::Config;
use crate::connection::Probe;
use crate::placement::Placement;
use crate::sampling::{Walk, is_reserved, understand};
use crate::topology::ServerId;
use redis::cmd;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Misplaced keys that are told one by one.
const EXAMPLES_MAX: usize = 10;

/// What the sampled keys of one server told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sample {
    /// Keys looked at.
    pub keys: usize,
    /// Whether these are all keys of the database.
    pub is_complete: bool,
    /// How many of them this file places on another server.
    pub misplaced: usize,
    /// How many of those belong on which server.
    pub belong_on: BTreeMap<String, usize>,
    /// Some of them, at most 10.
    pub examples: Vec<Misplaced>,
}

/// A key that is not where this file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Misplaced {
    /// The key; what is not UTF-8 is replaced.
    pub key: String,
    /// Its node's number.
    pub node: u16,
    /// Its node's name.
    pub node_name: String,
    /// The server it belongs on by this file.
    pub belongs_on: String,
    /// The server it was found on.
    pub found_on: String,
}

/// The sample, with the keys themselves, for finding out what is wrong.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) server: ServerId,
    pub(super) sample: Sample,
    pub(super) keys: Vec<Vec<u8>>,
}

impl Keys {
    pub(super) fn judged(
        config: &Config,
        server: ServerId,
        keys: Vec<Vec<u8>>,
        is_complete: bool,
    ) -> Keys {
        let topology = config.topology();
        let mut sample = Sample {
            keys: keys.len(),
            is_complete,
            ..Sample::default()
        };
        let has_homes = config.placement().has_homes();
        for key in keys.iter().filter(|_| has_homes) {
            let node = config.placement().node(key);
            let home = topology.server_of(node);
            if home == server {
                continue;
            }
            let belongs_on = topology.server_name(home).to_string();
            sample.misplaced += 1;
            *sample.belong_on.entry(belongs_on.clone()).or_default() += 1;
            if sample.examples.len() < EXAMPLES_MAX {
                sample.examples.push(Misplaced {
                    key: String::from_utf8_lossy(key).into_owned(),
                    node: node.0,
                    node_name: config.placement().node_name(node).to_owned(),
                    belongs_on,
                    found_on: topology.server_name(server).to_string(),
                });
            }
        }
        Keys {
            server,
            sample,
            keys,
        }
    }

    /// Those that would be elsewhere by another placement over the same nodes.
    pub(super) fn elsewhere_by(
        &self,
        config: &Config,
        placement: &Placement,
    ) -> impl Iterator<Item = &[u8]> {
        self.keys
            .iter()
            .map(Vec::as_slice)
            .filter(|key| config.topology().server_of(placement.node(key)) != self.server)
    }
}

/// Reads up to `size` different keys.
pub(super) async fn sample(
    config: &Config,
    server: ServerId,
    probe: &mut Probe,
    size: usize,
    progress: &impl Fn(Progress),
) -> Result<Keys, String> {
    let replies = probe
        .ask(&[cmd("DBSIZE")])
        .await
        .map_err(|error| error.message)?;
    let total: u64 = understand(replies.into_iter().next())?;
    let mut walk = Walk::sample(total, size);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    while let Some(scan) = walk.question() {
        let replies = probe.ask(&[scan]).await.map_err(|error| error.message)?;
        let fresh = walk.take(replies.into_iter().next())?;
        let room = size - keys.len();
        let before = keys.len();
        keys.extend(fresh.into_iter().filter(|key| !is_reserved(key)).take(room));
        progress(Progress::Sampled(keys.len() - before));
    }
    // So that the examples are the same each time, where the sample is.
    keys.sort_unstable();
    Ok(Keys::judged(config, server, keys, walk.is_complete()))
}
