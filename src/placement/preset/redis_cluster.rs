//! Redis Cluster (from Redis 3.0).
//!
//! Source: Redis Cluster specification, "Key distribution model"; Redis 7.0, `src/cluster.c`, `keyHashSlot`.

use super::{Algorithm, KeyHash, NodeSpec, Options, PlacementError, Recipe, codis};
use crate::hash::TagRule;

const SLOTS: u16 = 16_384;

pub(super) fn recipe(
    algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    Ok(Recipe {
        tag: TagRule::Braces,
        hash: KeyHash::Crc16,
        find: codis::slots(algorithm, SLOTS, nodes)?,
    })
}
