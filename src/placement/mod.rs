//! Placement: which node a key belongs to. Pure, and fixed for the life of the data.
//!
//! Everything here is data for ever: a key that was stored under one version of this crate must be found by the next. Digests over
//! 100,000 keys are pinned by tests; a change that breaks one is a bug by definition.

use std::fmt;

/// A virtual node: the unit of placement. Its number is its position in the placement's list of names.
///
/// Its *name* is its hashing identity; a node has no address. Which server it lives on is the topology's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The number as an index into per-node tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
