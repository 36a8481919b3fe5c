//! go-redis's `Ring`, which is no ring since version 8 (2020).
//!
//! Source: go-redis 9.5.1, `ring.go` and `internal/hashtag/hashtag.go`; dgryski/go-rendezvous at 9f7001d, `rdv.go`, which go-redis has since taken
//! over as `internal/hashtag/rendezvous.go`.

use super::{Algorithm, Find, KeyHash, NodeSpec, Options, PlacementError, Recipe};
use crate::hash::{TagRule, xxh64};

pub(super) fn recipe(
    _algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    Ok(Recipe {
        tag: TagRule::Braces,
        hash: KeyHash::Xxh64,
        find: Find::HighestBid {
            names: nodes
                .iter()
                .map(|node| xxh64(node.hashed().as_bytes()))
                .collect(),
        },
    })
}

/// The node of the highest bid. `bid` maps no two numbers to one, so bids of two names are equal only if their hashes are.
pub(super) fn highest_bid(names: &[u64], hash: u64) -> u16 {
    let mut best = (0, bid(hash ^ names[0]));
    for (node, name) in names.iter().enumerate().skip(1) {
        let bid = bid(hash ^ name);
        if bid > best.1 {
            best = (node, bid);
        }
    }
    best.0 as u16
}

/// xorshift64* (Vigna, arXiv:1402.6246): one step from this state.
fn bid(mut z: u64) -> u64 {
    z ^= z >> 12;
    z ^= z << 25;
    z ^= z >> 27;
    z.wrapping_mul(2_685_821_657_736_338_717)
}
