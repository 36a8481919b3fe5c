//! A ring of points, laid out so that finding a hash's node reads one cache line.

/// Entries of a sector: at most 15 points, then at least one that leads on. 64 bytes, a cache line.
const ENTRIES: usize = 16;
/// More points than this in a sector, on average, and there are twice as many sectors.
const POINTS_PER_SECTOR: usize = 10;
/// In the last entry of a sector whose points do not all fit: the others are in `beyond`.
const BEYOND: i32 = 1 << 30;

/// A circle of 2^32 cut into arcs. An arc ends at a point, which belongs to it, and is owned by a node: the node of a hash is that of the
/// first end that is not below it; above the last end, that of the first one.
///
/// Every rule for 32-bit rings comes down to this; [`Ring::new`] is given arcs in place of points for the others.
pub(super) struct Ring {
    sectors: Box<[Sector]>,
    /// The arcs beyond the fifteenth of a sector, and for each such sector one that leads on at its last hash. Sorted.
    beyond: Box<[(u32, u16)]>,
    /// Upper bits of a hash, which tell its sector.
    sector_bits: u32,
    /// For the node of an entry.
    node_mask: u32,
    node_bits: u32,
}

/// The arcs that end in one of 2^k equal parts of the circle, in order: `end << node_bits | node`, where of the end only the bits that the
/// sector does not tell are kept. What is free leads on: an end larger than any in the sector, with the node of the next arc. So the number
/// of entries below a hash is the index of its entry, and needs no branch that could be mispredicted.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Sector([i32; ENTRIES]);

impl Ring {
    /// From the arcs' ends and nodes, sorted by end, all ends different and all nodes below `node_count`, which is at most 2^14. Memory: 6 to
    /// 13 bytes for each of them.
    ///
    /// # Panics
    /// If there is no arc.
    pub(super) fn new(arcs: &[(u32, u16)], node_count: usize) -> Ring {
        let node_bits = usize::BITS - node_count.saturating_sub(1).leading_zeros();
        let mut sector_bits = arcs
            .len()
            .div_ceil(POINTS_PER_SECTOR)
            .next_power_of_two()
            .ilog2();
        // An entry has 30 bits for end and node, and one bit of the end is for leading on.
        sector_bits = sector_bits.max(node_bits + 3);
        let offset_bits = u32::BITS - sector_bits;
        let offset_mask = (1 << offset_bits) - 1;
        let pack = |end: u32, node: u16| ((end << node_bits) | u32::from(node)).cast_signed();

        let mut sectors = Vec::with_capacity(1 << sector_bits);
        let mut beyond = Vec::new();
        let mut at = 0;
        for sector in 0..1_u32 << sector_bits {
            let here = arcs[at..].partition_point(|&(end, _)| end >> offset_bits <= sector);
            let (arcs_here, next) = (&arcs[at..at + here], arcs.get(at + here));
            at += here;
            let (_, next) = *next.unwrap_or(&arcs[0]);
            let mut entries = [pack(1 << offset_bits, next); ENTRIES];
            for (entry, &(end, node)) in entries[..ENTRIES - 1].iter_mut().zip(arcs_here) {
                *entry = pack(end & offset_mask, node);
            }
            if let Some(rest @ [_, ..]) = arcs_here.get(ENTRIES - 1..) {
                entries[ENTRIES - 1] = BEYOND;
                beyond.extend_from_slice(rest);
                beyond.push(((sector << offset_bits) | offset_mask, next));
            }
            sectors.push(Sector(entries));
        }
        Ring {
            sectors: sectors.into(),
            beyond: beyond.into(),
            sector_bits,
            node_mask: (1 << node_bits) - 1,
            node_bits,
        }
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.sectors) + size_of_val(&*self.beyond)
    }

    #[inline]
    pub(super) fn node(&self, hash: u32) -> u16 {
        let Sector(entries) = &self.sectors[(hash >> (u32::BITS - self.sector_bits)) as usize];
        // The hash's offset in the sector with node 0: the smallest entry that is not before the hash.
        let floor = (hash << self.sector_bits) >> (self.sector_bits - self.node_bits);
        let floor = floor.cast_signed();
        // Minus one for each entry that is below: neither number has its highest bit set, and their difference has it then.
        let below: i32 = entries
            .iter()
            .map(|entry| entry.wrapping_sub(floor) >> (i32::BITS - 1))
            .sum();
        // The last entry is never below.
        let entry = entries[below.unsigned_abs() as usize % ENTRIES];
        if entry == BEYOND {
            return self.node_beyond(hash);
        }
        (entry.cast_unsigned() & self.node_mask) as u16
    }

    #[cold]
    fn node_beyond(&self, hash: u32) -> u16 {
        let at = self.beyond.partition_point(|&(end, _)| end < hash);
        self.beyond[at].1
    }
}

/// The same on a circle of 2^64, for rings of few points: a table of sectors, then the points one by one.
pub(super) struct WideRing {
    /// Position in `ends` of the first of each sector, and one more entry: how many there are.
    starts: Box<[u32]>,
    ends: Box<[u64]>,
    /// By position; one more repeats the first, as the ring wraps.
    nodes: Box<[u16]>,
    sector_bits: u32,
}

impl WideRing {
    /// As [`Ring::new`], for at most 2^24 arcs.
    pub(super) fn new(arcs: &[(u64, u16)]) -> WideRing {
        let sector_bits = arcs.len().next_power_of_two().ilog2().max(1);
        let sector_of = |end: u64| (end >> (u64::BITS - sector_bits)) as usize;
        let mut starts = Vec::with_capacity((1 << sector_bits) + 1);
        for (at, &(end, _)) in arcs.iter().enumerate() {
            let sector = sector_of(end);
            while starts.len() <= sector {
                starts.push(at as u32);
            }
        }
        starts.resize((1 << sector_bits) + 1, arcs.len() as u32);
        WideRing {
            starts: starts.into(),
            ends: arcs.iter().map(|&(end, _)| end).collect(),
            nodes: arcs
                .iter()
                .chain(arcs.first())
                .map(|&(_, node)| node)
                .collect(),
            sector_bits,
        }
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.ends) + size_of_val(&*self.nodes)
    }

    #[inline]
    pub(super) fn node(&self, hash: u64) -> u16 {
        let sector = (hash >> (u64::BITS - self.sector_bits)) as usize;
        let (start, end) = (
            self.starts[sector] as usize,
            self.starts[sector + 1] as usize,
        );
        let passed = self.ends[start..end]
            .iter()
            .take_while(|&&at| at < hash)
            .count();
        self.nodes[start + passed]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn naive<T: Ord + Copy>(arcs: &BTreeMap<T, u16>, hash: T) -> u16 {
        let first = arcs.range(hash..).next().or(arcs.iter().next());
        *first.expect("some arc").1
    }

    fn check(arcs: &BTreeMap<u32, u16>, node_count: usize, hashes: impl Iterator<Item = u32>) {
        let sorted: Vec<_> = arcs.iter().map(|(&end, &node)| (end, node)).collect();
        let ring = Ring::new(&sorted, node_count);
        let edges = sorted
            .iter()
            .flat_map(|&(end, _)| [end.wrapping_sub(1), end, end.wrapping_add(1)]);
        for hash in edges.chain(hashes).chain([0, 1, u32::MAX - 1, u32::MAX]) {
            assert_eq!(ring.node(hash), naive(arcs, hash), "{hash}");
        }
        let wide: BTreeMap<u64, u16> = arcs
            .iter()
            .map(|(&end, &node)| (u64::from(end).rotate_right(32) | u64::from(node & 1), node))
            .collect();
        let sorted: Vec<_> = wide.iter().map(|(&end, &node)| (end, node)).collect();
        let ring = WideRing::new(&sorted);
        let edges = sorted
            .iter()
            .flat_map(|&(end, _)| [end.wrapping_sub(1), end, end.wrapping_add(1)]);
        for hash in edges.chain([0, 1, u64::MAX - 1, u64::MAX]) {
            assert_eq!(ring.node(hash), naive(&wide, hash), "{hash}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(keyway_testing::swept(50, 200)))]
        #[test]
        fn finds_the_same_node_as_a_map_of_ends(
            node_count in prop_oneof![1_usize..5, 60..70_usize, Just(1 << 14)],
            ends in proptest::collection::vec(any::<u32>(), 1..2000),
            // Points may lie close together: what a sector has no room for is elsewhere.
            squeeze in prop_oneof![Just(0), 0_u32..31],
            hashes in proptest::collection::vec(any::<u32>(), 200),
        ) {
            let node = |end: u32| (end.wrapping_mul(0x9E37_79B9) as usize % node_count) as u16;
            let arcs = ends.iter().map(|end| (end >> squeeze, node(*end))).collect();
            check(&arcs, node_count, hashes.iter().flat_map(|hash| [*hash, hash >> squeeze]));
        }
    }

    #[test]
    fn a_sector_with_exactly_as_many_arcs_as_it_has_room_for() {
        for count in 13..19_u32 {
            for first in [0, 7, u32::MAX - 18] {
                let arcs = (0..count).map(|i| (first + i, (i % 3) as u16)).collect();
                check(&arcs, 3, 0..64);
            }
        }
    }
}
