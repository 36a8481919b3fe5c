//! Codis (CodisLabs, 2014 to 2018).
//!
//! Source: Codis 3.2.2, `pkg/proxy/mapper.go`, `Hash`, and `pkg/models/slots.go`.

use super::{Algorithm, Find, KeyHash, NodeSpec, Options, PlacementError, Recipe};
use crate::hash::TagRule;

const SLOTS: u16 = 1_024;

pub(super) fn recipe(
    algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    Ok(Recipe {
        tag: TagRule::BracesMaybeEmpty,
        hash: KeyHash::Crc32,
        find: slots(algorithm, SLOTS, nodes)?,
    })
}

/// The node at the position `hash % count`. Also Redis Cluster's.
pub(super) fn slots(
    algorithm: Algorithm,
    count: u16,
    nodes: &[NodeSpec],
) -> Result<Find, PlacementError> {
    if nodes.len() != usize::from(count) {
        return Err(PlacementError::Refused {
            algorithm,
            why: format!(
                "a node is a slot here, of which there are {count} always, and {} nodes were given: list {count} nodes, slot 0 first, and let \
                 the servers have ranges of them",
                nodes.len()
            ),
        });
    }
    Ok(Find::Modulo {
        order: (0..count).collect(),
    })
}
