//! Ketama: points on a ring of 2^32; a key belongs to the first point at or after its hash.
//!
//! Source: R. Jones, libketama (last.fm, 2007), in the form that clients with string keys and plain weights use.

use super::NodeSpec;
use super::ring::Ring;
use crate::hash::md5;
use std::fmt::Write;

/// Points of a node for each unit of its weight.
pub(super) const POINTS_PER_WEIGHT: usize = 160;
const POINTS_PER_DIGEST: usize = 4;

/// The ring for `nodes`. Time and memory: 40 MD5 digests and about 1 KiB per unit of weight.
pub(super) fn ring(nodes: &[NodeSpec]) -> Ring {
    Ring::new(&points(nodes), nodes.len())
}

/// The points in ring order, each with its node. Two nodes that claim one point: the lower index has it.
fn points(nodes: &[NodeSpec]) -> Vec<(u32, u16)> {
    let weight_total: usize = nodes.iter().map(|node| node.weight as usize).sum();
    let mut ring = Vec::with_capacity(weight_total * POINTS_PER_WEIGHT);
    marks(nodes, &mut |node, _, of_text| {
        ring.extend(of_text.map(|point| (point, node)));
    });
    ring.sort_unstable();
    ring.dedup_by_key(|&mut (point, _)| point);
    ring
}

/// Calls back with every text that is hashed to points: the node, the text, its points.
pub(super) fn marks(nodes: &[NodeSpec], each: &mut dyn FnMut(u16, &str, [u32; POINTS_PER_DIGEST])) {
    let mut text = String::new();
    for (index, node) in nodes.iter().enumerate() {
        for i in 0..node.weight as usize * (POINTS_PER_WEIGHT / POINTS_PER_DIGEST) {
            text.clear();
            // Writing to a String cannot fail.
            let _ = write!(text, "{}-{i}", node.hashed());
            let digest = md5(text.as_bytes());
            let words = digest.as_chunks::<4>().0;
            let points = std::array::from_fn(|part| u32::from_le_bytes(words[part]));
            each(index as u16, &text, points);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, specs};
    use super::*;
    use crate::hash::crc32;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// The specification read aloud: a map from point to name, first claim kept.
    struct Naive(BTreeMap<u32, u16>);

    impl Naive {
        fn new(nodes: &[NodeSpec]) -> Self {
            let mut points = BTreeMap::new();
            for (index, node) in nodes.iter().enumerate() {
                for i in 0..40 * node.weight {
                    let digest = md5(format!("{}-{}", node.name, i).as_bytes());
                    for part in 0..4 {
                        let point = (0..4)
                            .map(|byte| u32::from(digest[part * 4 + byte]) << (8 * byte))
                            .sum();
                        points.entry(point).or_insert(index as u16);
                    }
                }
            }
            Naive(points)
        }

        fn node(&self, hash: u32) -> u16 {
            *self
                .0
                .range(hash..)
                .next()
                .or(self.0.iter().next())
                .expect("at least one node")
                .1
        }
    }

    fn same_as_naive(nodes: &[NodeSpec]) {
        let ketama = ring(nodes);
        let naive = Naive::new(nodes);
        for i in 0..100_000 {
            let hash = crc32(key(i).as_bytes());
            assert_eq!(ketama.node(hash), naive.node(hash), "{hash}");
        }
        let edges = naive
            .0
            .keys()
            .flat_map(|&point| [point.wrapping_sub(1), point, point.wrapping_add(1)]);
        for hash in edges.chain([0, 1, u32::MAX - 1, u32::MAX]) {
            assert_eq!(ketama.node(hash), naive.node(hash), "{hash}");
        }
    }

    #[test]
    fn finds_the_same_node_as_a_map_of_points() {
        same_as_naive(&specs(1, |_| 1));
        same_as_naive(&specs(2, |_| 1));
        same_as_naive(&specs(64, |_| 1));
        same_as_naive(&specs(64, |i| 1 + i % 5));
        same_as_naive(&specs(1_000, |_| 1));
    }

    #[test]
    fn of_two_nodes_that_claim_one_point_the_lower_index_has_it() {
        // Among 320,000 points of 32 bits about a dozen are claimed twice.
        let nodes = specs(2_000, |_| 1);
        let naive = Naive::new(&nodes);
        assert!(
            naive.0.len() < 2_000 * POINTS_PER_WEIGHT,
            "no collision: the test shows nothing"
        );
        let ketama = ring(&nodes);
        assert!(
            naive
                .0
                .iter()
                .all(|(&point, &node)| ketama.node(point) == node)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_removed_node_gives_its_keys_away_and_no_others_move(count in 2_usize..40, gone in 0_usize..40, hashes in proptest::collection::vec(any::<u32>(), 1000)) {
            let gone = gone % count;
            let before = specs(count, |i| 1 + i % 3);
            let mut after = before.clone();
            after.remove(gone);
            let (full, reduced) = (ring(&before), ring(&after));
            for hash in hashes {
                let old = usize::from(full.node(hash));
                let new = &after[usize::from(reduced.node(hash))].name;
                prop_assert!(old == gone || new == &before[old].name);
            }
        }
    }

    #[test]
    fn sixty_four_nodes_are_as_even_as_160_points_make_them() {
        let ketama = ring(&specs(64, |_| 1));
        let mut counts = [0_f64; 64];
        for i in 0..1_000_000 {
            counts[usize::from(ketama.node(crc32(key(i).as_bytes())))] += 1.0;
        }
        let mean = 1_000_000.0 / 64.0;
        let variance = counts
            .iter()
            .map(|count| (count / mean - 1.0).powi(2))
            .sum::<f64>()
            / 64.0;
        // 1 / sqrt(160) is 7.9 %.
        assert!(
            (0.05..0.11).contains(&variance.sqrt()),
            "{}",
            variance.sqrt()
        );
    }
}
