//! Ketama: points on a ring of 2^32; a key belongs to the first point at or after its hash.
//!
//! Source: R. Jones, libketama (last.fm, 2007), in the form that clients with string keys and plain weights use.

use super::NodeSpec;
use crate::hash::md5;
use std::fmt::Write;

/// Points of a node for each unit of its weight.
pub(super) const POINTS_PER_WEIGHT: usize = 160;
const POINTS_PER_DIGEST: usize = 4;

/// Bits of a packed point that hold the node: `NODES_MAX` is 2^14.
const NODE_BITS: u32 = 14;
const NODE_MASK: u32 = (1 << NODE_BITS) - 1;

/// The ring, cut into 2^k equal sectors, about as many as there are points, so that a lookup reads one sector's bounds and then 0.5 to 1
/// points on average; a binary search would read 14 at 64 nodes.
pub(super) struct Ketama {
    /// Position in `points` of the first point of each sector, and one more entry: the number of points.
    starts: Box<[u32]>,
    /// Sorted. Each holds the bits that its sector does not tell, above the node. One more at the end repeats the first point's node: the
    /// ring wraps.
    points: Box<[u32]>,
    /// Bits of a hash that tell the position within a sector; the ones above tell the sector. At most 32 - `NODE_BITS`.
    offset_bits: u32,
}

impl Ketama {
    /// Time and memory: 40 MD5 digests and about 1.5 KiB per unit of weight.
    pub(super) fn new(nodes: &[NodeSpec]) -> Self {
        let ring = ring(nodes);

        let sector_bits = ring.len().next_power_of_two().ilog2().max(NODE_BITS);
        let offset_bits = 32 - sector_bits;
        let offset_mask = (1 << offset_bits) - 1;

        let mut points = Vec::with_capacity(ring.len() + 1);
        let mut starts = Vec::with_capacity((1 << sector_bits) + 1);
        for &(point, node) in &ring {
            let sector = (point >> offset_bits) as usize;
            while starts.len() <= sector {
                starts.push(points.len() as u32);
            }
            points.push(((point & offset_mask) << NODE_BITS) | u32::from(node));
        }
        starts.resize((1 << sector_bits) + 1, points.len() as u32);
        points.push(ring.first().map_or(0, |&(_, node)| u32::from(node)));

        Ketama {
            starts: starts.into(),
            points: points.into(),
            offset_bits,
        }
    }

    /// The node of a key.
    #[inline]
    pub(super) fn node(&self, key_hash: u32) -> u16 {
        let sector = (key_hash >> self.offset_bits) as usize;
        let offset = key_hash & ((1 << self.offset_bits) - 1);
        // Node 0 at this offset: the smallest packed point that is not before the hash.
        let floor = offset << NODE_BITS;
        let end = self.starts[sector + 1] as usize;
        let mut at = self.starts[sector] as usize;
        while at < end && self.points[at] < floor {
            at += 1;
        }
        // A sector without a point at or after the hash leads to the first point of a later one.
        (self.points[at] & NODE_MASK) as u16
    }
}

/// The points in ring order, each with its node. Two nodes that claim one point: the lower index has it.
fn ring(nodes: &[NodeSpec]) -> Vec<(u32, u16)> {
    let weight_total: usize = nodes.iter().map(|node| node.weight as usize).sum();
    let mut ring = Vec::with_capacity(weight_total * POINTS_PER_WEIGHT);
    let mut text = String::new();
    for (index, node) in nodes.iter().enumerate() {
        for i in 0..node.weight as usize * (POINTS_PER_WEIGHT / POINTS_PER_DIGEST) {
            text.clear();
            // Writing to a String cannot fail.
            let _ = write!(text, "{}-{i}", node.name);
            let digest = md5(text.as_bytes());
            for bytes in digest.as_chunks::<4>().0 {
                ring.push((u32::from_le_bytes(*bytes), index as u16));
            }
        }
    }
    ring.sort_unstable();
    ring.dedup_by_key(|&mut (point, _)| point);
    ring
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
        let ketama = Ketama::new(nodes);
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
        let ketama = Ketama::new(&nodes);
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
            let (full, reduced) = (Ketama::new(&before), Ketama::new(&after));
            for hash in hashes {
                let old = usize::from(full.node(hash));
                let new = &after[usize::from(reduced.node(hash))].name;
                prop_assert!(old == gone || new == &before[old].name);
            }
        }
    }

    #[test]
    fn sixty_four_nodes_are_as_even_as_160_points_make_them() {
        let ketama = Ketama::new(&specs(64, |_| 1));
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
