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

/// Most nodes that a placement may have.
pub const NODES_MAX: usize = 16_384;

/// How keys are mapped to nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "stand-in, replaced at merge")]
pub enum Algorithm {
    Ketama,
    Modulo,
    Rendezvous,
    Jump,
    Maglev,
}

impl std::str::FromStr for Algorithm {
    type Err = PlacementError;
    fn from_str(text: &str) -> Result<Self, PlacementError> {
        Ok(match text {
            "ketama" => Self::Ketama,
            "modulo" => Self::Modulo,
            "rendezvous" => Self::Rendezvous,
            "jump" => Self::Jump,
            "maglev" => Self::Maglev,
            _ => return Err(PlacementError("unknown algorithm")),
        })
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ketama => "ketama",
            Self::Modulo => "modulo",
            Self::Rendezvous => "rendezvous",
            Self::Jump => "jump",
            Self::Maglev => "maglev",
        })
    }
}

/// A placement that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PlacementError(&'static str);

/// A node's name and weight.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "stand-in, replaced at merge")]
pub struct NodeSpec {
    pub name: String,
    pub weight: u32,
}

/// Key to node.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement(std::sync::Arc<(Algorithm, Vec<NodeSpec>)>);

#[expect(missing_docs, reason = "stand-in, replaced at merge")]
impl Placement {
    pub fn new(algorithm: Algorithm, nodes: Vec<NodeSpec>) -> Result<Placement, PlacementError> {
        if nodes.is_empty() || nodes.len() > NODES_MAX {
            return Err(PlacementError("a placement has 1 to 16384 nodes"));
        }
        Ok(Placement(std::sync::Arc::new((algorithm, nodes))))
    }
    pub fn algorithm(&self) -> Algorithm {
        self.0.0
    }
    pub fn node_count(&self) -> usize {
        self.0.1.len()
    }
    pub fn node_name(&self, node: NodeId) -> &str {
        &self.0.1[node.index()].name
    }
    pub fn node_by_name(&self, name: &str) -> Option<NodeId> {
        let at = self.0.1.iter().position(|n| n.name == name)?;
        u16::try_from(at).ok().map(NodeId)
    }
}
