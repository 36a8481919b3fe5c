//! nydus (disqus, 2011 to 2015).
//!
//! Source: nydus 0.11.0, `nydus/contrib/ketama.py` and `nydus/db/routers/keyvalue.py`.

use super::{
    Algorithm, Circle, Clash, Find, KeyHash, NodeSpec, Options, Pick, PlacementError, Recipe,
    md5_points, refused_name,
};
use crate::hash::TagRule;

/// MD5 digests of a host.
const DIGESTS: u32 = 40;

pub(super) fn recipe(
    algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    if algorithm == Algorithm::NydusKetama {
        check_names(algorithm, nodes)?;
    }
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

/// An identifier that nydus makes has no password in it; one from its configuration may have.
fn check_names(algorithm: Algorithm, nodes: &[NodeSpec]) -> Result<(), PlacementError> {
    for (node, spec) in nodes.iter().enumerate() {
        let url = spec.name.strip_prefix("redis://");
        if spec.label.is_none() && url.is_some_and(|url| url.contains('@')) {
            let why = "has a user or a password, which nydus does not hash and a name would show: leave it out, as in redis://10.0.0.1:6379/0. If it is \
                       an `identifier` from nydus's configuration, put it into the node's label, which is hashed as it is";
            return Err(refused_name(algorithm, node, spec, why));
        }
    }
    Ok(())
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
