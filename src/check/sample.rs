//! Looking at keys: do they live where this file says?

use super::Progress;
use crate::config::Config;
use crate::connection::Probe;
use crate::placement::Placement;
use crate::topology::ServerId;
use redis::{FromRedisValue, Value, cmd};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// Misplaced keys that are told one by one.
const EXAMPLES_MAX: usize = 10;
/// Buckets that one SCAN looks at: a fraction of a millisecond of the server's time.
const COUNT: usize = 250;
/// A table that has shrunk is mostly empty buckets, and scanning all of it is no longer a sample.
const EMPTY_SCANS_MAX: usize = 1_000;
/// Ours: not placed.
const RESERVED: &[u8] = b"keyway:";

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
    let total: usize = understand(replies.into_iter().next())?;
    // From anywhere, unless all keys are wanted. Any number is a cursor: the server looks at as many bits as its table has.
    let mut cursor = if total > size { fastrand::u64(1..) } else { 0 };
    let mut is_last_lap = cursor == 0;
    let mut is_complete = false;
    let mut found: HashSet<Vec<u8>> = HashSet::new();
    let mut empty_scans = 0;
    while found.len() < size && empty_scans < EMPTY_SCANS_MAX {
        let scan = cmd("SCAN").arg(cursor).arg("COUNT").arg(COUNT).to_owned();
        let replies = probe.ask(&[scan]).await.map_err(|error| error.message)?;
        let (next, keys): (u64, Vec<Vec<u8>>) = understand(replies.into_iter().next())?;
        let before = found.len();
        let room = size - before;
        let fresh = keys.into_iter().filter(|key| !key.starts_with(RESERVED));
        found.extend(fresh.take(room));
        if found.len() == before {
            empty_scans += 1;
        }
        progress(Progress::Sampled(found.len() - before));
        cursor = next;
        if cursor == 0 {
            if is_last_lap {
                is_complete = true;
                break;
            }
            is_last_lap = true;
        }
    }
    let mut keys: Vec<Vec<u8>> = found.into_iter().collect();
    // So that the examples are the same each time, where the sample is.
    keys.sort_unstable();
    Ok(Keys::judged(config, server, keys, is_complete))
}

fn understand<T: FromRedisValue>(reply: Option<Value>) -> Result<T, String> {
    match reply {
        Some(Value::ServerError(error)) => Err(format!(
            "{} {}",
            error.code(),
            error.details().unwrap_or_default()
        )),
        Some(reply) => redis::from_redis_value(reply).map_err(|error| error.to_string()),
        None => Err("no reply".to_owned()),
    }
}
