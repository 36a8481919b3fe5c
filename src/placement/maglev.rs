//! Maglev: a table of prime size that the nodes fill in turns, each by its own permutation. One table read per lookup.
//!
//! Source: D. Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4. The paper leaves the
//! hashes and the weights open; both are specified at `Algorithm::Maglev`.

use super::NodeSpec;
use crate::hash::xxh3;

/// Table sizes: the first prime above each power of two. 65,537 is the paper's; the last one is enough for `NODES_MAX` nodes.
const TABLE_SIZES: [u32; 6] = [65_537, 131_101, 262_147, 524_309, 1_048_583, 2_097_169];

/// At this many table entries per node the paper finds shares within 1 %. It also bounds the rounds of a fill from below, so that a node
/// of weight 1 among nodes of weight `WEIGHT_MAX` (100) gets at least one entry.
const ENTRIES_PER_NODE: usize = 100;

pub(super) struct Maglev {
    table: Box<[u16]>,
}

impl Maglev {
    /// What the table takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.table)
    }

    /// Time: about size * ln(size) steps. Memory: two bytes per entry, 128 KiB up to 655 nodes.
    pub(super) fn new(nodes: &[NodeSpec]) -> Self {
        Maglev {
            table: fill(nodes, table_size(nodes.len())),
        }
    }

    /// The node of a key.
    #[inline]
    pub(super) fn node(&self, key_hash: u64) -> u16 {
        self.table[(key_hash % self.table.len() as u64) as usize]
    }

    pub(super) fn entries(&self) -> u64 {
        self.table.len() as u64
    }
}

fn table_size(node_count: usize) -> u32 {
    let enough = |size: &u32| *size as usize > ENTRIES_PER_NODE * node_count;
    TABLE_SIZES
        .into_iter()
        .find(enough)
        .unwrap_or(TABLE_SIZES[TABLE_SIZES.len() - 1])
}

/// Walks the entries in the order in which one node wants them.
struct Permutation {
    next: u32,
    skip: u32,
}

impl Permutation {
    fn new(name: &str, size: u32) -> Self {
        let hash = xxh3(name.as_bytes());
        Permutation {
            next: (hash >> 32) as u32 % size,
            skip: hash as u32 % (size - 1) + 1,
        }
    }

    fn advance(&mut self, size: u32) -> usize {
        let entry = self.next;
        self.next = (self.next + self.skip) % size;
        entry as usize
    }
}

fn fill(nodes: &[NodeSpec], size: u32) -> Box<[u16]> {
    /// No node has this number: `NODES_MAX` is below it.
    const FREE: u16 = u16::MAX;

    let heaviest = nodes
        .iter()
        .map(|node| u64::from(node.weight))
        .max()
        .unwrap_or(1);
    let mut permutations: Vec<_> = nodes
        .iter()
        .map(|node| Permutation::new(node.hashed(), size))
        .collect();
    let mut table = vec![FREE; size as usize].into_boxed_slice();
    let mut free = size;
    for round in 1_u64.. {
        for (index, (node, permutation)) in nodes.iter().zip(&mut permutations).enumerate() {
            let weight = u64::from(node.weight);
            if round * weight / heaviest == (round - 1) * weight / heaviest {
                continue;
            }
            let mut entry = permutation.advance(size);
            while table[entry] != FREE {
                entry = permutation.advance(size);
            }
            table[entry] = index as u16;
            free -= 1;
            if free == 0 {
                return table;
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::tests::specs;
    use super::super::{NODES_MAX, WEIGHT_MAX};
    use super::*;

    fn entries_per_node(nodes: &[NodeSpec]) -> Vec<u32> {
        let mut counts = vec![0; nodes.len()];
        for &node in &Maglev::new(nodes).table {
            counts[usize::from(node)] += 1;
        }
        counts
    }

    #[test]
    fn the_table_sizes_are_the_first_primes_above_powers_of_two() {
        let is_prime = |n: u32| {
            (2..)
                .take_while(|d| d * d <= n)
                .all(|d| !n.is_multiple_of(d))
        };
        for (size, power) in TABLE_SIZES.into_iter().zip(16..) {
            assert_eq!(
                (1_u32 << power..).skip(1).find(|&n| is_prime(n)),
                Some(size)
            );
        }
    }

    #[test]
    fn a_table_has_more_than_a_hundred_entries_per_node() {
        assert_eq!(table_size(1), 65_537);
        assert_eq!(table_size(655), 65_537);
        assert_eq!(table_size(656), 131_101);
        assert!((1..=NODES_MAX).all(|count| table_size(count) as usize > 100 * count));
    }

    #[test]
    fn nodes_of_one_weight_differ_by_at_most_one_entry() {
        for count in [1, 2, 3, 64, 655, 656] {
            let counts = entries_per_node(&specs(count, |_| 3));
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{count}: {least} to {most}");
        }
    }

    #[test]
    fn entries_follow_the_weights() {
        let counts = entries_per_node(&specs(16, |i| 1 + i));
        for (count, weight) in counts.iter().zip(1..) {
            let exact = 65_537.0 * f64::from(weight) / 136.0;
            assert!(
                (f64::from(*count) - exact).abs() <= 8.0,
                "weight {weight}: {count}, exactly {exact}"
            );
        }
    }

    #[test]
    fn the_lightest_node_among_the_heaviest_gets_an_entry() {
        let counts = entries_per_node(&specs(655, |i| if i == 654 { 1 } else { WEIGHT_MAX }));
        assert_eq!(counts[654], 1);
    }

    #[test]
    fn one_more_node_moves_little_more_than_its_share() {
        let (before, after) = (
            Maglev::new(&specs(64, |_| 1)),
            Maglev::new(&specs(65, |_| 1)),
        );
        let moved = before
            .table
            .iter()
            .zip(&after.table)
            .filter(|(old, new)| old != new)
            .count();
        let share = moved as f64 / 65_537.0;
        assert!((1.0 / 65.0..3.0 / 65.0).contains(&share), "{share}");
    }
}
