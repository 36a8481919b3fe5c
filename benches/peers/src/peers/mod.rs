//! One file per peer, and what a peer must do.

pub mod bare_sockets;
pub mod fred;
pub mod keyway;
mod parts;
pub mod redis_benchmark;
pub mod redis_rs;
pub mod redis_rs_cluster;
pub mod rustis;

use crate::data::Key;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A column. Its name is its id in the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// Through redis::AsyncCommands.
    Keyway,
    /// The same; big values through Cluster::bulk().
    KeywayBulk,
    /// One MultiplexedConnection per server, routed by hand, all defaults.
    RedisRs,
    /// The same with larger buffers and no timeouts.
    RedisRsTuned,
    /// The same as redis-rs, with connections of their own for big values.
    RedisRsOwn,
    /// One MultiplexedConnection per node, as nydus and its heirs connect.
    RedisRsPerNode,
    RedisRsPerNodeTuned,
    /// ClusterConnection, on cluster-enabled servers.
    RedisRsCluster,
    /// Its cluster client, on cluster-enabled servers.
    Fred,
    /// One client per server, routed by hand.
    FredPlain,
    /// Its cluster client, on cluster-enabled servers.
    Rustis,
    /// One client per server, routed by hand.
    RustisPlain,
    /// One MultiplexedConnection to nutcracker; the proxy's CPU is not counted.
    TwemproxyRedisRs,
    /// The limit of one task: its own sockets, requests and replies, and no library.
    BareSockets,
    /// The limit: no worker, and answers are not checked.
    RedisBenchmark,
}

impl Peer {
    pub fn needs_cluster(self) -> bool {
        matches!(self, Peer::RedisRsCluster | Peer::Fred | Peer::Rustis)
    }

    pub fn is_per_node(self) -> bool {
        matches!(self, Peer::RedisRsPerNode | Peer::RedisRsPerNodeTuned)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value().expect("no variant is skipped");
        f.write_str(value.get_name())
    }
}

/// A peer as its users call it. Every task has a clone of its own.
pub trait Client: Clone + Send + Sync + 'static {
    type Value: AsRef<[u8]> + Send + 'static;

    fn get(&mut self, key: Key) -> impl Future<Output = Answer<Self::Value>> + Send;

    fn set(&mut self, key: Key, value: &[u8]) -> impl Future<Output = Answer<()>> + Send;

    /// All values in the order of the keys, which are on many nodes.
    fn mget(&mut self, keys: &[Key]) -> impl Future<Output = Answer<Vec<Self::Value>>> + Send;

    /// GETs sent together, answers in order.
    fn pipeline(&mut self, keys: &[Key]) -> impl Future<Output = Answer<Vec<Self::Value>>> + Send;

    /// What big values are read through.
    fn for_big_values(&self) -> Self {
        self.clone()
    }
}

pub type Answer<T> = Result<T, Failure>;

#[derive(Debug)]
pub enum Failure {
    /// Not what was stored. Nothing that such a peer does is worth measuring, and the run ends.
    Wrong(String),
    /// The peer cannot do this, or could not this time.
    Refused(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Refused(error.to_string())
    }
}
