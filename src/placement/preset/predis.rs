//! predis with client-side sharding.
//!
//! Source: predis 1.1.10, `src/Cluster/Distributor/HashRing.php` and `KetamaRing.php`, `src/Cluster/ClusterStrategy.php`,
//! `src/Connection/AbstractConnection.php`; the same in 2.4.1 and 3.6.0.

use super::{
    Algorithm, Circle, Clash, Find, KeyHash, NodeSpec, Options, Pick, PlacementError, Recipe,
    is_port, md5_points, refused_name,
};
use crate::hash::{TagRule, crc32};

/// Points of a node of `HashRing`, if all weights are equal.
const POINTS: f64 = 128.0;
/// MD5 digests of a node of `KetamaRing`, if all weights are equal.
const DIGESTS: f64 = 40.0;

pub(super) fn recipe(
    algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    for (node, spec) in nodes.iter().enumerate() {
        if spec.label.is_none() {
            check_name(&spec.name).map_err(|why| refused_name(algorithm, node, spec, why))?;
        }
    }
    if algorithm == Algorithm::PredisKetama {
        return Ok(Recipe {
            tag: TagRule::Braces,
            hash: KeyHash::Md5,
            find: Find::Circle(Circle {
                is_wide: false,
                pick: Pick::AtOrAfter,
                clash: Clash::LaterWins,
                marks: ketama_marks,
            }),
        });
    }
    check_halves(algorithm, nodes)?;
    Ok(Recipe {
        tag: TagRule::Braces,
        hash: KeyHash::Crc32,
        find: Find::Circle(Circle {
            is_wide: false,
            pick: Pick::AtOrBefore,
            clash: Clash::LaterWins,
            marks: hash_ring_marks,
        }),
    })
}

/// A name must be what predis makes of a server's parameters.
fn check_name(name: &str) -> Result<(), &'static str> {
    if name.starts_with('/') {
        return Ok(());
    }
    if name.contains("://") || name.starts_with("unix:") {
        return Err(
            "is a URL, of which predis hashes host:port only, or the path of a unix socket only: write that",
        );
    }
    let (host, port) = name.rsplit_once(':').unwrap_or((name, ""));
    if host.is_empty() || !is_port(port) {
        return Err(
            "is neither host:port nor the path of a unix socket, which is what predis hashes: write for example 127.0.0.1:6379, with predis's \
             defaults (host 127.0.0.1, port 6379) where its configuration has none, and without database and password",
        );
    }
    if host.contains(['[', ']']) {
        return Err(
            "has brackets, which predis takes off the host of a URL: write ::1:6379 for [::1]:6379",
        );
    }
    Ok(())
}

/// predis's `$weightRatio * $totalNodes * $replicas` of every node, in its order of operations. Weights that differ by a factor give the same
/// bits: a share is one division, rounded once.
fn shares(nodes: &[NodeSpec], of: f64) -> impl Iterator<Item = f64> {
    let weight_total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    nodes
        .iter()
        .map(move |node| f64::from(node.weight) / weight_total as f64 * nodes.len() as f64 * of)
}

/// Before 8.4, PHP's `round` rounds to 15 digits first, so that 30.499999999999996 becomes 31; from 8.4 on it becomes 30 (php/php-src#16930).
fn check_halves(algorithm: Algorithm, nodes: &[NodeSpec]) -> Result<(), PlacementError> {
    // Fifteen digits are within 5 in 10^15.
    let is_clear = |share: f64| share.round() == (share * (1.0 + 1e-14)).round();
    for (spec, share) in nodes.iter().zip(shares(nodes, POINTS)) {
        if !is_clear(share) {
            return Err(PlacementError::Refused {
                algorithm,
                why: format!(
                    "weight {} is worth {share} points to node {:?}, which is {} to PHP before 8.4 and {} from there on: to say which, multiply all \
                     weights by 1,000 and make this one larger or smaller by 1; then compare where some keys are with predis",
                    spec.weight,
                    spec.name,
                    share.ceil(),
                    share.floor()
                ),
            });
        }
    }
    Ok(())
}

fn hash_ring_marks(
    _algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
    each: &mut dyn FnMut(u16, &str, &[u64]),
) {
    for (node, (spec, share)) in nodes.iter().zip(shares(nodes, POINTS)).enumerate() {
        // PHP's `round` goes away from zero at a half, as this one does.
        for i in 0..share.round() as u32 {
            let text = format!("{}:{i}", spec.hashed());
            each(node as u16, &text, &[u64::from(crc32(text.as_bytes()))]);
        }
    }
}

fn ketama_marks(
    _algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
    each: &mut dyn FnMut(u16, &str, &[u64]),
) {
    for (node, (spec, share)) in nodes.iter().zip(shares(nodes, DIGESTS)).enumerate() {
        for i in 0..share.floor() as u32 {
            let text = format!("{}-{i}", spec.hashed());
            each(node as u16, &text, &md5_points(&text));
        }
    }
}
