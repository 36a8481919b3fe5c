//! nydus (disqus, 2011 to 2015).
//!
//! Source: nydus 0.11.0, `nydus/contrib/ketama.py` and `nydus/db/routers/keyvalue.py`.

use super::{
    Algorithm, Circle, Clash, Find, KeyHash, NodeSpec, Options, Pick, PlacementError, Recipe,
    md5_points,
};
use crate::hash::TagRule;

/// MD5 digests of a host.
const DIGESTS: u32 = 40;

pub(super) fn recipe(
    algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    let (hash, find) = match algorithm {
        Algorithm::NydusKetama => (KeyHash::Md5, Find::Circle(ring())),
        _ => (
            KeyHash::Crc32,
            Find::SignedModulo {
                node_count: nodes.len() as u16,
            },
        ),
    };
    Ok(Recipe {
        tag: TagRule::Whole,
        hash,
        find,
    })
}

/// Also rb's, which took it over.
pub(super) fn ring() -> Circle {
    Circle {
        is_wide: false,
        pick: Pick::After,
        // The hosts are in a set, and the later of its order has the point.
        clash: Clash::Undefined,
        marks: |_, _, nodes, each| {
            for (node, spec) in nodes.iter().enumerate() {
                for i in 0..DIGESTS {
                    let text = format!("{}-{i}-salt", spec.hashed());
                    each(node as u16, &text, &md5_points(&text));
                }
            }
        },
    }
}
