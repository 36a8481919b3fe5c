//! What nodes weigh, and how well that is known.

use crate::placement::{NodeId, Placement};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSize {
    /// Its keys.
    pub keys: u64,
    /// What they take of a server's memory, in bytes.
    pub bytes: u64,
}

/// Where sizes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// Every node is assumed to hold the same.
    Assumed,
    /// Counted over a list of keys.
    Keys {
        /// How many keys there were.
        keys: u64,
    },
    /// Estimated from a sample of a live cluster's keys.
    Sampled {
        /// Keys that were looked at.
        keys: u64,
        /// Keys that there were.
        of: u64,
    },
}

/// The size of every node of a placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sizes {
    /// Indexed by node.
    pub nodes: Vec<NodeSize>,
    /// Where they come from.
    pub origin: Origin,
    /// Half the width of the 95 % confidence interval of a typical (the median) node's bytes, relative to them: 0.05 is five percent either
    /// way. 0 where sizes are not estimated.
    pub relative_error: f64,
}

impl Sizes {
    /// Every node holds the same: `keys` and `bytes` shared out evenly, what does not divide going to the first nodes.
    pub fn even(node_count: usize, keys: u64, bytes: u64) -> Sizes {
        let count = node_count.max(1) as u64;
        let share = |total: u64, node: u64| total / count + u64::from(node < total % count);
        Sizes {
            nodes: (0..node_count as u64)
                .map(|node| NodeSize {
                    keys: share(keys, node),
                    bytes: share(bytes, node),
                })
                .collect(),
            origin: Origin::Assumed,
            relative_error: 0.0,
        }
    }

    /// Counted over a list of keys with what each takes, in bytes: exact for that list. A placement by which
    /// [no key has a home](Placement::has_homes) counts each on the node of a channel of its name, which says nothing: ask it first.
    ///
    /// # Panics
    /// As [`Placement::node`].
    pub fn from_keys<K: AsRef<[u8]>>(
        placement: &Placement,
        keys: impl IntoIterator<Item = (K, u64)>,
    ) -> Sizes {
        let mut nodes = vec![NodeSize::default(); placement.node_count()];
        let mut count = 0;
        for (key, bytes) in keys {
            let node = &mut nodes[placement.node(key.as_ref()).index()];
            node.keys += 1;
            node.bytes = node.bytes.saturating_add(bytes);
            count += 1;
        }
        Sizes {
            nodes,
            origin: Origin::Keys { keys: count },
            relative_error: 0.0,
        }
    }

    /// Estimated from samples: one of the whole cluster, or one of each server (better, as it is known what each server has). What a sample saw is
    /// scaled up to its total. A node that is in several samples is the sum; nodes that are not below `node_count` are left out.
    ///
    /// The error is that of a ratio estimate (Cochran, Sampling Techniques, chapter 6): with x the bytes of a sampled key, X their sum, n keys sampled
    /// of N, and R = x of the node / X, the variance of R is (1 - n/N) / X^2 times the sum of (x - R x)^2 over the node's keys and (R x)^2 over the
    /// others; the interval is 1.96 times its root either way. With keys of one size this is the binomial 1.96 sqrt((1 - R) / (n R)). It is taken as
    /// 1 (all of it) where it is larger and for nodes of which no key was seen. Keys must have been drawn at random, and each with the same
    /// probability.
    pub fn sampled(node_count: usize, samples: &[Sample]) -> Sizes {
        let mut nodes = vec![NodeSize::default(); node_count];
        let mut errors: Vec<f64> = vec![1.0; node_count];
        let (mut seen, mut of) = (0_u64, 0_u64);
        for sample in samples {
            seen = seen.saturating_add(sample.seen.keys);
            of = of.saturating_add(sample.total.keys);
            for (&node, tally) in &sample.nodes {
                let Some(size) = nodes.get_mut(node.index()) else {
                    continue;
                };
                let estimate = sample.scaled(tally);
                size.keys = size.keys.saturating_add(estimate.keys);
                size.bytes = size.bytes.saturating_add(estimate.bytes);
                errors[node.index()] = sample.relative_error(tally);
            }
        }
        errors.sort_by(f64::total_cmp);
        Sizes {
            nodes,
            origin: Origin::Sampled { keys: seen, of },
            // Of an even number the larger one.
            relative_error: errors.get(node_count / 2).copied().unwrap_or(0.0),
        }
    }

    /// The same keys with this many bytes in all, shared out by keys: for lists of keys that do not say what each takes. What is left by rounding
    /// goes to the first nodes that have keys.
    pub fn with_total_bytes(mut self, bytes: u64) -> Sizes {
        let keys = u128::from(self.total().keys);
        if keys == 0 {
            return self;
        }
        let mut left = bytes;
        for node in &mut self.nodes {
            // No more than `bytes`, as its keys are no more than all.
            node.bytes = (u128::from(bytes) * u128::from(node.keys) / keys) as u64;
            left -= node.bytes;
        }
        for node in self.nodes.iter_mut().filter(|node| node.keys > 0) {
            if left == 0 {
                break;
            }
            node.bytes += 1;
            left -= 1;
        }
        self
    }

    /// Of all nodes together.
    pub fn total(&self) -> NodeSize {
        let mut total = NodeSize::default();
        for node in &self.nodes {
            total.keys = total.keys.saturating_add(node.keys);
            total.bytes = total.bytes.saturating_add(node.bytes);
        }
        total
    }
}

/// Keys that were drawn at random from a server or a cluster, by node.
///
/// ```
/// use keyway::placement::NodeId;
/// use keyway::plan::{NodeSize, Sample, Sizes};
///
/// // 1,000 of a server's 50,000 keys were looked at; they are of two nodes.
/// let mut sample = Sample::new(NodeSize { keys: 50_000, bytes: 10_000_000 });
/// for i in 0..1_000 {
///     sample.add(NodeId(if i % 4 == 0 { 7 } else { 8 }), 200);
/// }
/// let sizes = Sizes::sampled(64, &[sample]);
/// assert_eq!(sizes.nodes[7], NodeSize { keys: 12_500, bytes: 2_500_000 });
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    total: NodeSize,
    seen: NodeSize,
    seen_squares: u128,
    nodes: BTreeMap<NodeId, Tally>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    size: NodeSize,
    /// Sum of the squares of the keys' bytes.
    squares: u128,
}

impl Sample {
    /// An empty one of a server or cluster that holds this in all. Total bytes of 0: unknown, and the sampled keys' own are scaled up by their
    /// number.
    pub fn new(total: NodeSize) -> Sample {
        Sample {
            total,
            ..Sample::default()
        }
    }

    /// A key of this node, and what it takes in bytes. If that is not known, give 1 for every key: nodes then share the total bytes by their keys.
    pub fn add(&mut self, node: NodeId, bytes: u64) {
        let square = u128::from(bytes) * u128::from(bytes);
        let tally = self.nodes.entry(node).or_default();
        tally.size.keys += 1;
        tally.size.bytes = tally.size.bytes.saturating_add(bytes);
        tally.squares = tally.squares.saturating_add(square);
        self.seen.keys += 1;
        self.seen.bytes = self.seen.bytes.saturating_add(bytes);
        self.seen_squares = self.seen_squares.saturating_add(square);
    }

    /// How many keys it has.
    pub fn keys(&self) -> u64 {
        self.seen.keys
    }

    fn scaled(&self, tally: &Tally) -> NodeSize {
        let total_bytes = match self.total.bytes {
            0 => share(self.seen.bytes, self.total.keys, self.seen.keys),
            bytes => bytes,
        };
        NodeSize {
            keys: share(self.total.keys, tally.size.keys, self.seen.keys),
            bytes: match self.seen.bytes {
                0 => share(total_bytes, tally.size.keys, self.seen.keys),
                seen => share(total_bytes, tally.size.bytes, seen),
            },
        }
    }

    /// Half the width of the 95 % interval of a node's bytes, relative to them; at most 1.
    fn relative_error(&self, tally: &Tally) -> f64 {
        let (bytes, squares, all, all_squares) = match self.seen.bytes {
            0 => {
                let (keys, all) = (tally.size.keys, self.seen.keys);
                (keys, u128::from(keys), all, u128::from(all))
            }
            all => (tally.size.bytes, tally.squares, all, self.seen_squares),
        };
        if bytes == 0 {
            return 1.0;
        }
        let part = bytes as f64 / all as f64;
        let not_seen = match self.total.keys {
            0 => 1.0,
            keys => (1.0 - self.seen.keys as f64 / keys as f64).max(0.0),
        };
        let inside = squares as f64 * (1.0 - part) * (1.0 - part);
        let outside = all_squares.saturating_sub(squares) as f64 * part * part;
        let error = 1.96 * (not_seen * (inside + outside)).sqrt() / bytes as f64;
        error.min(1.0)
    }
}

/// `total * part / whole`, rounded to the nearest.
fn share(total: u64, part: u64, whole: u64) -> u64 {
    let whole = u128::from(whole.max(1));
    let share = (u128::from(total) * u128::from(part) + whole / 2) / whole;
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Algorithm;

    #[test]
    fn even_sizes_add_up() {
        let sizes = Sizes::even(3, 10, 11);
        let keys: Vec<_> = sizes.nodes.iter().map(|node| node.keys).collect();
        assert_eq!(keys, [4, 3, 3]);
        assert_eq!(
            sizes.total(),
            NodeSize {
                keys: 10,
                bytes: 11
            }
        );
    }

    #[test]
    fn a_list_of_keys_is_counted_on_the_nodes_of_its_keys() {
        let placement = Placement::with_nodes(Algorithm::Ketama, 16).unwrap();
        let keys = ["user:1", "user:2", "{user:1}:name", "user:1"];
        let sizes = Sizes::from_keys(&placement, keys.iter().zip([5, 7, 11, 13]));
        let node = placement.node(b"user:1").index();
        assert_eq!(sizes.nodes[node].keys, 3);
        assert_eq!(sizes.nodes[node].bytes, 5 + 11 + 13);
        assert_eq!(sizes.origin, Origin::Keys { keys: 4 });
        assert_eq!(sizes.total().bytes, 36);
    }

    #[test]
    fn total_bytes_are_shared_out_by_keys_and_none_is_lost() {
        let mut sizes = Sizes::even(4, 0, 0);
        for (node, keys) in sizes.nodes.iter_mut().zip([1, 0, 1, 1]) {
            node.keys = keys;
        }
        let bytes = |sizes: &Sizes| -> Vec<u64> { sizes.nodes.iter().map(|n| n.bytes).collect() };
        assert_eq!(bytes(&sizes.clone().with_total_bytes(11)), [4, 0, 4, 3]);
        assert_eq!(bytes(&Sizes::even(2, 0, 0).with_total_bytes(11)), [0, 0]);
    }

    #[test]
    fn a_sample_of_equal_keys_has_the_binomial_error() {
        let mut sample = Sample::new(NodeSize {
            keys: u64::MAX,
            bytes: 1 << 40,
        });
        for i in 0..10_000_u16 {
            sample.add(NodeId(i % 10), 100);
        }
        let sizes = Sizes::sampled(10, &[sample]);
        let binomial = 1.96 * (0.9_f64 / (10_000.0 * 0.1)).sqrt();
        assert!((sizes.relative_error - binomial).abs() < 1e-9);
    }

    #[test]
    fn all_keys_are_no_estimate_and_no_keys_are_no_knowledge() {
        let mut all = Sample::new(NodeSize { keys: 2, bytes: 30 });
        all.add(NodeId(0), 10);
        all.add(NodeId(1), 20);
        let sizes = Sizes::sampled(2, std::slice::from_ref(&all));
        assert_eq!(sizes.relative_error, 0.0);
        assert_eq!(sizes.nodes[1], NodeSize { keys: 1, bytes: 20 });
        let none = Sizes::sampled(2, &[Sample::new(NodeSize { keys: 5, bytes: 5 })]);
        assert_eq!(none.relative_error, 1.0);
        assert_eq!(Sizes::sampled(0, &[]).relative_error, 0.0);
        // A node that is not of the placement is left out.
        assert_eq!(Sizes::sampled(1, &[all]).nodes.len(), 1);
    }

    #[test]
    fn the_stated_error_holds_about_nineteen_times_in_twenty() {
        // A tenth of the keys is on node 0, and sizes differ: 1 to 1,000 bytes.
        let mut random = fastrand::Rng::with_seed(6);
        let keys: Vec<(NodeId, u64)> = (0..20_000_u32)
            .map(|i| (NodeId(u16::from(i % 10 != 0)), random.u64(1..=1_000)))
            .collect();
        let total = NodeSize {
            keys: keys.len() as u64,
            bytes: keys.iter().map(|(_, bytes)| bytes).sum(),
        };
        let truth: u64 = keys
            .iter()
            .filter(|(node, _)| node.0 == 0)
            .map(|(_, bytes)| bytes)
            .sum();
        let rounds = 400;
        let held = (0..rounds)
            .filter(|_| {
                let mut sample = Sample::new(total);
                for at in random.choose_multiple(0..keys.len(), 1_000) {
                    sample.add(keys[at].0, keys[at].1);
                }
                let error = sample.relative_error(&sample.nodes[&NodeId(0)]);
                let estimate = Sizes::sampled(2, &[sample]).nodes[0].bytes as f64;
                (estimate - truth as f64).abs() <= error * estimate
            })
            .count();
        let share = held as f64 / f64::from(rounds);
        assert!((0.92..=0.98).contains(&share), "{share}");
    }
}
