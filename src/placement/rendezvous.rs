//! Rendezvous (highest random weight): every node bids for the key, the best bid wins.
//!
//! Sources: D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (IEEE/ACM Transactions on Networking 6(1), 1998);
//! with weights by the logarithmic method of J. Resch, "New Hashing Algorithms for Data Storage" (SNIA SDC 2015). The mixer is the
//! finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014; constants: Stafford's variant 13).

use super::NodeSpec;
use crate::hash::xxh3;

/// Below 1 by far more than `libm::log` and the operations around it can be wrong (a few 2^-53), by far less than it costs in lookups.
const SLACK: f64 = 1.0 - 1.0 / (1_u64 << 40) as f64;

/// Cost of a lookup: all nodes are asked, at 1.5 ns each (measured; with weights 2 to 4 ns).
pub(super) enum Rendezvous {
    /// All weights are equal: integers alone decide.
    Equal {
        /// `xxh3` of each node's name.
        names: Box<[u64]>,
    },
    /// Costs in binary64 decide.
    Weighted { bidders: Box<[Bidder]> },
}

pub(super) struct Bidder {
    name: u64,
    weight: f64,
    /// `SLACK / weight`.
    cost_per_distance: f64,
}

impl Rendezvous {
    pub(super) fn new(nodes: &[NodeSpec]) -> Self {
        let name = |node: &NodeSpec| xxh3(node.hashed().as_bytes());
        if nodes
            .windows(2)
            .all(|pair| pair[0].weight == pair[1].weight)
        {
            return Rendezvous::Equal {
                names: nodes.iter().map(name).collect(),
            };
        }
        let bidders = nodes.iter().map(|node| {
            let weight = f64::from(node.weight);
            Bidder {
                name: name(node),
                weight,
                cost_per_distance: SLACK / weight,
            }
        });
        Rendezvous::Weighted {
            bidders: bidders.collect(),
        }
    }

    /// What a lookup reads, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Rendezvous::Equal { names } => size_of_val(&**names),
            Rendezvous::Weighted { bidders } => size_of_val(&**bidders),
        }
    }

    /// The node of a key.
    pub(super) fn node(&self, key_hash: u64) -> u16 {
        match self {
            Rendezvous::Equal { names } => highest(names, key_hash),
            Rendezvous::Weighted { bidders } => cheapest(bidders, key_hash),
        }
    }
}

/// What a node bids for a key, and its cost if weights count.
pub(super) fn bid(node: &NodeSpec, key_hash: u64) -> (u64, f64) {
    let bid = mix(key_hash ^ xxh3(node.hashed().as_bytes()));
    (bid, cost(share(bid), f64::from(node.weight)))
}

/// The highest bid wins; of equal ones the lowest index.
fn highest(names: &[u64], key_hash: u64) -> u16 {
    let (mut best, mut winner) = (0, 0);
    for (index, name) in names.iter().enumerate() {
        let bid = mix(key_hash ^ name);
        if bid > best {
            (best, winner) = (bid, index);
        }
    }
    winner as u16
}

/// The lowest cost wins; of equal ones the lowest index.
fn cheapest(bidders: &[Bidder], key_hash: u64) -> u16 {
    let (mut best, mut winner) = (f64::INFINITY, 0);
    for (index, bidder) in bidders.iter().enumerate() {
        let share = share(mix(key_hash ^ bidder.name));
        // -ln(u) is never below 1 - u, so most bidders lose without a logarithm: at 64 nodes all but a handful.
        if (1.0 - share) * bidder.cost_per_distance > best {
            continue;
        }
        let cost = cost(share, bidder.weight);
        if cost < best {
            (best, winner) = (cost, index);
        }
    }
    winner as u16
}

/// SplitMix64's finaliser.
#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The upper 53 bits of a bid as a number in (0, 1]; exact.
#[inline]
fn share(bid: u64) -> f64 {
    ((bid >> 11) + 1) as f64 / (1_u64 << 53) as f64
}

/// An exponential variable of rate `weight`. `libm`, not the platform's logarithm: the last bit must be the same everywhere.
#[inline]
fn cost(share: f64, weight: f64) -> f64 {
    -libm::log(share) / weight
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, specs};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mix_gives_the_first_outputs_of_splitmix64() {
        // SplitMix64 with seed 0 finalises multiples of its golden gamma.
        let gamma = 0x9E37_79B9_7F4A_7C15_u64;
        assert_eq!(mix(gamma), 0xE220_A839_7B1D_CDAF);
        assert_eq!(mix(gamma.wrapping_mul(2)), 0x6E78_9E6A_A1B9_65F4);
        assert_eq!(mix(gamma.wrapping_mul(3)), 0x06C4_5D18_8009_454F);
    }

    #[test]
    fn a_share_is_never_zero_and_never_above_one() {
        assert_eq!(share(0), 2_f64.powi(-53));
        assert_eq!(share(u64::MAX), 1.0);
    }

    #[test]
    fn the_shortcut_past_the_logarithm_changes_no_winner() {
        let nodes = specs(64, |i| 1 + i * 7 % 100);
        let rendezvous = Rendezvous::new(&nodes);
        for i in 0..20_000 {
            let hash = xxh3(key(i).as_bytes());
            let (mut best, mut winner) = (f64::INFINITY, 0);
            for (index, node) in nodes.iter().enumerate() {
                let cost = cost(
                    share(mix(hash ^ xxh3(node.name.as_bytes()))),
                    f64::from(node.weight),
                );
                if cost < best {
                    (best, winner) = (cost, index as u16);
                }
            }
            assert_eq!(rendezvous.node(hash), winner);
        }
    }

    #[test]
    fn equal_weights_of_any_size_place_alike() {
        let (ones, sevens) = (
            Rendezvous::new(&specs(64, |_| 1)),
            Rendezvous::new(&specs(64, |_| 7)),
        );
        for i in 0..10_000 {
            let hash = xxh3(key(i).as_bytes());
            assert_eq!(ones.node(hash), sevens.node(hash));
        }
    }

    #[test]
    fn a_node_gets_keys_in_proportion_to_its_weight() {
        let nodes = specs(16, |i| 1 + i);
        let rendezvous = Rendezvous::new(&nodes);
        let mut counts = [0_f64; 16];
        for i in 0..200_000 {
            counts[usize::from(rendezvous.node(xxh3(key(i).as_bytes())))] += 1.0;
        }
        for (count, node) in counts.iter().zip(&nodes) {
            let relative = count / 200_000.0 * 136.0 / f64::from(node.weight);
            assert!(
                (0.92..1.08).contains(&relative),
                "node {}: {relative}",
                node.name
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_removed_node_gives_its_keys_away_and_no_others_move(
            count in 2_usize..40, gone in 0_usize..40, weights in 1_u32..4, hashes in proptest::collection::vec(any::<u64>(), 1000)
        ) {
            let gone = gone % count;
            let before = specs(count, |i| 1 + i % weights);
            let mut after = before.clone();
            after.remove(gone);
            let (full, reduced) = (Rendezvous::new(&before), Rendezvous::new(&after));
            for hash in hashes {
                let old = usize::from(full.node(hash));
                let new = &after[usize::from(reduced.node(hash))].name;
                prop_assert!(old == gone || new == &before[old].name);
            }
        }
    }
}
