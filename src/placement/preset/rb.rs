//! To be written.

use super::{Algorithm, NodeSpec, Options, PlacementError, Recipe};

pub(super) fn recipe(
    _algorithm: Algorithm,
    _options: &Options,
    _nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    todo!()
}
