//! To be written.

use super::{Algorithm, NodeSpec, Options, PlacementError, Recipe};

pub(super) fn recipe(
    _algorithm: Algorithm,
    _options: &Options,
    _nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    todo!()
}

/// The node of the highest bid.
pub(super) fn highest_bid(_names: &[u64], _hash: u64) -> u16 {
    todo!()
}
