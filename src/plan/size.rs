//! What nodes weigh, and how well that is known.

use serde::{Deserialize, Serialize};

/// What one node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSize {
    /// Its keys.
    pub keys: u64,
    /// What they take of a server's memory, in bytes.
    pub bytes: u64,
}

/// Where sizes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// Every node is assumed to hold the same.
    Assumed,
    /// Counted over a list of keys.
    Keys {
        /// How many keys there were.
        keys: u64,
    },
    /// Estimated from a sample of a live cluster's keys.
    Sampled {
        /// Keys that were looked at.
        keys: u64,
        /// Keys that there were.
        of: u64,
    },
}

/// The size of every node of a placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sizes {
    /// Indexed by node.
    pub nodes: Vec<NodeSize>,
    /// Where they come from.
    pub origin: Origin,
    /// Half the width of the 95 % confidence interval of a typical (the median) node's bytes, relative to them: 0.05 is five percent either
    /// way. 0 where sizes are not estimated.
    pub relative_error: f64,
}

impl Sizes {
    /// Every node holds the same: `keys` and `bytes` shared out evenly, what does not divide going to the first nodes.
    pub fn even(node_count: usize, keys: u64, bytes: u64) -> Sizes {
        let count = node_count.max(1) as u64;
        let share = |total: u64, node: u64| total / count + u64::from(node < total % count);
        Sizes {
            nodes: (0..node_count as u64)
                .map(|node| NodeSize {
                    keys: share(keys, node),
                    bytes: share(bytes, node),
                })
                .collect(),
            origin: Origin::Assumed,
            relative_error: 0.0,
        }
    }

    /// Of all nodes together.
    pub fn total(&self) -> NodeSize {
        let mut total = NodeSize::default();
        for node in &self.nodes {
            total.keys = total.keys.saturating_add(node.keys);
            total.bytes = total.bytes.saturating_add(node.bytes);
        }
        total
    }
}
