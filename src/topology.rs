//! Topology: which server each node lives on, at an epoch. Immutable; a change makes a new one.

use crate::placement::NodeId;
use std::sync::Arc;

/// Number of a server within one topology: its position in the list of servers, which is sorted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u16);

impl ServerId {
    /// The number as an index into per-server tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Cluster-wide number of a topology. 0 for a topology that comes from a plain file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// What a node may be asked to do now. A plain file only ever says `Serving`; the other states belong to live moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeState {
    /// Reads and writes go to the node's server.
    #[default]
    Serving,
    /// Nothing is sent; callers wait for the next topology within their deadline.
    Frozen,
    /// Keys are being installed on `to`; a key is fetched from `from` before its first command.
    Importing {
        /// Where the node's keys come from.
        from: ServerId,
        /// Where the node's keys go to.
        to: ServerId,
    },
    /// Writes are refused.
    ReadOnly {
        /// Why, for the error that a write gets.
        reason: Arc<str>,
    },
}
