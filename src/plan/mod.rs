//! Plans: which nodes move to which server, and in which order. Pure: the simulator prices a plan, a live rebalance carries it out.
//!
//! A plan never moves a node twice, never lets a server exceed its memory, and lets at most [`Limits::moves_per_server_max`] moves touch one
//! server at a time. What cannot be is refused, with what is missing.

mod pace;
mod size;

pub(crate) use pace::Parts;
pub use pace::{MoveLoad, MoveTime, Pace};
pub use size::{NodeSize, Origin, Sizes};

use crate::placement::NodeId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a plan is told about one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Its name in the topology, or the name it will have there.
    pub name: Arc<str>,
    /// Its share relative to the other servers. 0: it is to have no node.
    pub weight: u32,
    /// What its nodes may take in all, in bytes; `None`: no limit.
    pub memory_bytes_max: Option<u64>,
}

impl ServerSpec {
    /// A server of weight 1 without a limit.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        ServerSpec {
            name: name.into(),
            weight: 1,
            memory_bytes_max: None,
        }
    }
}

/// How nodes get to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MoveKind {
    /// To a server that owns no node: it replicates all of the source, is promoted, and what belongs to the other is removed on both. Until
    /// then it holds as much as the source does.
    Split,
    /// To a server that owns other nodes: key by key, on access or by the mover's sweep.
    Migrate,
}

/// Nodes that change server together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Move {
    /// The nodes, ascending; at least one.
    pub nodes: Vec<NodeId>,
    /// The server they leave.
    pub from: Arc<str>,
    /// The server they go to.
    pub to: Arc<str>,
    /// How.
    pub kind: MoveKind,
    /// Their keys, by the plan's sizes.
    pub keys: u64,
    /// Their bytes, by the plan's sizes.
    pub bytes: u64,
    /// Moves of one wave go on at the same time; the next wave begins when all of it is done. From 0.
    pub wave: usize,
    /// Why, in words: `a has 13 of 64 nodes, its share of 6 equal servers is 10 or 11: 2 of them go to f, which is new`.
    pub why: String,
}
