//! Jedis's `ShardedJedis` (to 3.x) and `JedisSharding` (4.x and 5.x).
//!
//! Source: Jedis 3.10.0, `util/Sharded.java`, `util/Hashing.java` and `util/MurmurHash.java`.

use super::{
    Algorithm, Circle, Clash, Find, KeyHash, NodeSpec, Options, Pick, PlacementError, Recipe,
};
use crate::hash::{TagRule, md5_le, murmur64a};

/// Points of a shard of weight 1.
const POINTS: u32 = 160;

pub(super) fn recipe(
    algorithm: Algorithm,
    options: &Options,
    _nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    let tag = match options.hash_tag {
        None => TagRule::Whole,
        Some([b'{', b'}']) => TagRule::Java,
        Some(marks) => {
            return Err(PlacementError::Refused {
                algorithm,
                why: format!(
                    "hash_tag is {:?}, and the only pattern known is Jedis's own DEFAULT_KEY_TAG_PATTERN: write \"{{}}\" for it, \
                     or no hash tag if the shards were made without a pattern",
                    marks.escape_ascii().to_string()
                ),
            });
        }
    };
    let hash = if is_md5(algorithm) {
        KeyHash::Md5
    } else {
        KeyHash::Murmur64A
    };
    Ok(Recipe {
        tag,
        hash,
        find: Find::Circle(Circle {
            is_wide: hash == KeyHash::Murmur64A,
            // Jedis has its points in the order of signed numbers. It starts the circle elsewhere, and that is all.
            pick: Pick::AtOrAfter,
            clash: Clash::LaterWins,
            marks,
        }),
    })
}

fn is_md5(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::JedisMd5 | Algorithm::JedisMd5Named)
}

fn marks(
    algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
    each: &mut dyn FnMut(u16, &str, &[u64]),
) {
    let is_named = matches!(
        algorithm,
        Algorithm::JedisMurmurNamed | Algorithm::JedisMd5Named
    );
    for (node, spec) in nodes.iter().enumerate() {
        for n in 0..POINTS * spec.weight {
            let text = if is_named {
                format!("{}*{n}", spec.hashed())
            } else {
                format!("SHARD-{node}-NODE-{n}")
            };
            let point = if is_md5(algorithm) {
                u64::from(md5_le(text.as_bytes()))
            } else {
                murmur64a(text.as_bytes())
            };
            each(node as u16, &text, &[point]);
        }
    }
}
