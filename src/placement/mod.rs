//! Placement: which node a key belongs to. Pure, and fixed for the life of the data.
//!
//! Everything here is data for ever: a key that was stored under one version of this crate must be found by the next. Digests over
//! 100,000 keys are pinned by tests; a change that breaks one is a bug by definition.
//!
//! # Specification
//!
//! A placement is an [`Algorithm`], an ordered list of node names and a weight per node. The bytes that are hashed are the key's
//! [hash tag](crate::hash::hash_tag). Names are hashed as their UTF-8 bytes. Each variant of [`Algorithm`] says the rest, precisely enough
//! to write it in another language: all integers are unsigned and wrap, `/` on integers and `%` round down, `crc32` and `xxh3` are the
//! functions of [`crate::hash`], and `binary64` is IEEE 754 with rounding to nearest, ties to even.
//!
//! | algorithm | lookup at 64 nodes | evenness | a node is added or removed | weights |
//! |---|---|---|---|---|
//! | ketama | a table and about one point | standard deviation about 8 % | only its own keys move | yes |
//! | modulo | one division | even | nearly all keys move | no |
//! | rendezvous | asks every node | even | only its own keys move | yes |
//! | jump | about ln(n) rounds | even | only its own keys move, but only the last can come or go | no |
//! | maglev | one table read | even to one entry in 65,537 | its own keys move, and some others | yes |
//!
//! This compares the algorithms; it is no invitation to change one's mind. With data in place the list of nodes stays as it is, and
//! [`crate::topology`] moves whole nodes between servers.

mod jump;
mod ketama;
mod maglev;
mod modulo;
mod rendezvous;

use crate::hash::{crc32, hash_tag, xxh3};
use ketama::Ketama;
use maglev::Maglev;
use rendezvous::Rendezvous;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Most nodes in a placement.
pub const NODES_MAX: usize = 16_384;

/// Longest name of a node, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Largest weight of a node.
pub const WEIGHT_MAX: u32 = 100;

/// Largest sum of weights for ketama, whose points take memory: 10.5 million of them, about 110 MB at this limit.
pub const KETAMA_WEIGHT_TOTAL_MAX: u32 = 65_536;

/// A virtual node: the unit of placement. Its number is its position in the placement's list of names.
///
/// Its *name* is its hashing identity; a node has no address. Which server it lives on is the topology's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

impl NodeId {
    /// The number as an index into per-node tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a key's hash becomes a node. `FromStr` and `Display` use the names in lower case: `ketama`, `modulo`, `rendezvous`, `jump`, `maglev`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Points on a ring of 2^32 (libketama, 2007).
    ///
    /// Each node has `160 * weight` points: for `i` from 0 to `40 * weight - 1` (decimal, no padding) the MD5 digest of the text
    /// `{name}-{i}` gives four, its bytes 0 to 3, 4 to 7, 8 to 11 and 12 to 15, each read as a little-endian 32-bit integer. The points
    /// are sorted by (point, node index), and of equal points only the first counts. A key belongs to the node of the first point that is
    /// not below the key's `crc32`; above the last point, to the node of the first one. The sum of weights is at most
    /// [`KETAMA_WEIGHT_TOTAL_MAX`].
    Ketama,
    /// The node's index is `crc32(key) % n`. No weights.
    Modulo,
    /// Highest random weight (Thaler and Ravishankar, 1998).
    ///
    /// The bid of a node for a key is `mix(xxh3(key) ^ xxh3(name))`, where `mix(z)` is SplitMix64's finaliser on 64 bits:
    /// `z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9; z = (z ^ z >> 27) * 0x94D049BB133111EB; z ^ z >> 31`.
    ///
    /// All weights equal, whatever their value: the highest bid wins, of equal bids the node with the lowest index.
    ///
    /// Otherwise, in binary64: `u = ((bid >> 11) + 1) / 2^53` (exact, above 0, at most 1), the cost is `-ln(u) / weight`, and the lowest
    /// cost wins, of equal costs the node with the lowest index. `ln` is the one of the `libm` crate (the algorithm of FreeBSD's msun
    /// `e_log.c`, error below 1 ulp) and the same on every platform. Another logarithm of that quality may place about one key in 2^50
    /// elsewhere; so may the switch between the two rules, when the only node of another weight goes.
    Rendezvous,
    /// Jump consistent hash (Lamping and Veach, arXiv:1406.2294, figure 1), with `xxh3(key)` as its 64-bit key. No weights.
    ///
    /// Start with `b = 0` and `j = 0`. While `j < n`: set `b = j`, then `key = key * 2862933555777941757 + 1`, then
    /// `j = (b + 1) * (2^31 / ((key >> 33) + 1))`, where division and multiplication are binary64, each rounded once, and the result is
    /// cut to an integer. The node's index is the last `b`.
    Jump,
    /// A table that the nodes fill in turns (Eisenbud et al., NSDI 2016, section 3.4).
    ///
    /// The table's size `M` is the first of 65,537, 131,101, 262,147, 524,309, 1,048,583 and 2,097,169 that is larger than `100 * n`. With
    /// `h = xxh3(name)`, a node wants the entries `(offset + k * skip) % M` for `k` = 0, 1, 2, ..., where `offset = (h >> 32) % M` and
    /// `skip = (h & 0xFFFFFFFF) % (M - 1) + 1`. In rounds 1, 2, 3, ... the nodes take turns by index; in its turn a node takes the first
    /// entry it wants that is still free; the fill ends when none is. With `w` the largest weight of all nodes, a node has a turn in round
    /// `r` if `r * weight / w` is not `(r - 1) * weight / w` (integer divisions): in every round if all weights are equal. A key belongs
    /// to the node in entry `xxh3(key) % M`. Every node gets at least one entry.
    Maglev,
}

impl Algorithm {
    /// All of them, in the order of the specification.
    pub const ALL: [Algorithm; 5] = [
        Algorithm::Ketama,
        Algorithm::Modulo,
        Algorithm::Rendezvous,
        Algorithm::Jump,
        Algorithm::Maglev,
    ];

    /// The name as written in a cluster file.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Ketama => "ketama",
            Algorithm::Modulo => "modulo",
            Algorithm::Rendezvous => "rendezvous",
            Algorithm::Jump => "jump",
            Algorithm::Maglev => "maglev",
        }
    }

    fn takes_weights(self) -> bool {
        match self {
            Algorithm::Ketama | Algorithm::Rendezvous | Algorithm::Maglev => true,
            Algorithm::Modulo | Algorithm::Jump => false,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or_else(|| UnknownAlgorithm {
                read: text.to_owned(),
            })
    }
}

/// A text that names no [`Algorithm`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown placement algorithm {read:?}: expected ketama, modulo, rendezvous, jump or maglev, in lower case"
)]
pub struct UnknownAlgorithm {
    read: String,
}

/// What a placement is told about one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeSpec {
    /// Its hashing identity: unique, 1 to [`NAME_BYTES_MAX`] bytes. Renaming a node moves its keys (not with modulo and jump, which go by
    /// position).
    pub name: String,
    /// Its share relative to the other nodes: 1 to [`WEIGHT_MAX`]; only 1 with modulo and jump.
    pub weight: u32,
}

impl NodeSpec {
    /// A node of weight 1.
    pub fn new(name: impl Into<String>) -> Self {
        NodeSpec {
            name: name.into(),
            weight: 1,
        }
    }
}

/// Why a list of nodes makes no placement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// The list is empty.
    #[error("a placement needs at least one node, and none was given")]
    NoNodes,
    /// The list is longer than [`NODES_MAX`].
    #[error("{count} nodes are too many: a placement has at most {NODES_MAX}")]
    TooManyNodes {
        /// How many were given.
        count: usize,
    },
    /// A name is empty.
    #[error(
        "node {node} has an empty name: give it one of 1 to {NAME_BYTES_MAX} bytes, it is what is hashed"
    )]
    EmptyName {
        /// The node.
        node: NodeId,
    },
    /// A name is longer than [`NAME_BYTES_MAX`].
    #[error("the name of node {node} has {name_bytes} bytes: at most {NAME_BYTES_MAX} are allowed")]
    NameTooLong {
        /// The node.
        node: NodeId,
        /// Length of its name.
        name_bytes: usize,
    },
    /// Two nodes have one name.
    #[error(
        "nodes {first} and {second} are both named {name:?}: names must differ, they are what is hashed"
    )]
    DuplicateName {
        /// The name.
        name: String,
        /// The first node with it.
        first: NodeId,
        /// The next node with it.
        second: NodeId,
    },
    /// A weight is 0 or above [`WEIGHT_MAX`].
    #[error(
        "node {name:?} has weight {weight}: expected 1 to {WEIGHT_MAX} (a node without keys is one to leave out)"
    )]
    WeightOutOfRange {
        /// The node's name.
        name: String,
        /// Its weight.
        weight: u32,
    },
    /// A weight other than 1 with modulo or jump.
    #[error(
        "node {name:?} has weight {weight}, but {algorithm} knows no weights: leave it out, or use ketama, rendezvous or maglev"
    )]
    WeightsUnsupported {
        /// The algorithm.
        algorithm: Algorithm,
        /// The node's name.
        name: String,
        /// Its weight.
        weight: u32,
    },
    /// Ketama's weights add up to more than [`KETAMA_WEIGHT_TOTAL_MAX`].
    #[error(
        "the weights add up to {weight_total}: ketama takes at most {KETAMA_WEIGHT_TOTAL_MAX} in all; divide them by a common factor"
    )]
    WeightTotalTooLarge {
        /// Their sum.
        weight_total: u32,
    },
}

/// Which node a key belongs to. Immutable; a clone is one reference count.
///
/// Two placements are equal if their specifications are: the algorithm, the names in order, the weights.
///
/// ```
/// use keyway::placement::{Algorithm, Placement};
/// let placement = Placement::with_nodes(Algorithm::Ketama, 64)?;
/// assert_eq!(placement.node(b"{user:42}:name"), placement.node(b"user:42"));
/// assert_eq!(placement.describe(), "ketama over 64 nodes");
/// # Ok::<(), keyway::placement::PlacementError>(())
/// ```
#[derive(Clone)]
pub struct Placement {
    built: Arc<Built>,
}

struct Built {
    algorithm: Algorithm,
    nodes: Vec<NodeSpec>,
    /// All nodes, sorted by name.
    by_name: Vec<NodeId>,
    lookup: Lookup,
}

/// What each algorithm needs to answer.
enum Lookup {
    Ketama(Ketama),
    Modulo { node_count: u16 },
    Rendezvous(Rendezvous),
    Jump { node_count: u16 },
    Maglev(Maglev),
}

impl Placement {
    /// Builds the tables for `nodes`, which are numbered in this order. Cost (measured): ketama about 12 us per unit of
    /// weight; maglev 2 ms for 64 nodes, 130 ms for 16,384; the others next to nothing.
    ///
    /// # Errors
    /// No nodes or too many, a name that is empty, too long or there twice, a weight that is out of range or that the algorithm has no use for.
    pub fn new(algorithm: Algorithm, nodes: Vec<NodeSpec>) -> Result<Placement, PlacementError> {
        let node_count = checked_count(&nodes)?;
        let by_name = checked_names(&nodes)?;
        check_weights(algorithm, &nodes)?;
        let lookup = match algorithm {
            Algorithm::Ketama => Lookup::Ketama(Ketama::new(&nodes)),
            Algorithm::Modulo => Lookup::Modulo { node_count },
            Algorithm::Rendezvous => Lookup::Rendezvous(Rendezvous::new(&nodes)),
            Algorithm::Jump => Lookup::Jump { node_count },
            Algorithm::Maglev => Lookup::Maglev(Maglev::new(&nodes)),
        };
        Ok(Placement {
            built: Arc::new(Built {
                algorithm,
                nodes,
                by_name,
                lookup,
            }),
        })
    }

    /// A placement over `count` nodes of weight 1, named `0` to `count - 1` in decimal.
    ///
    /// # Errors
    /// No nodes, or more than [`NODES_MAX`].
    pub fn with_nodes(algorithm: Algorithm, count: u16) -> Result<Placement, PlacementError> {
        Placement::new(
            algorithm,
            (0..count)
                .map(|index| NodeSpec::new(index.to_string()))
                .collect(),
        )
    }

    /// The node of `key`, by its hash tag if it has one. Allocates nothing; cost: see the [table](self#specification).
    #[inline]
    pub fn node(&self, key: &[u8]) -> NodeId {
        let hashed = hash_tag(key);
        NodeId(match &self.built.lookup {
            Lookup::Ketama(ketama) => ketama.node(crc32(hashed)),
            Lookup::Modulo { node_count } => modulo::node(crc32(hashed), *node_count),
            Lookup::Rendezvous(rendezvous) => rendezvous.node(xxh3(hashed)),
            Lookup::Jump { node_count } => jump::node(xxh3(hashed), *node_count),
            Lookup::Maglev(maglev) => maglev.node(xxh3(hashed)),
        })
    }

    /// Number of nodes: 1 to [`NODES_MAX`].
    pub fn node_count(&self) -> usize {
        self.built.nodes.len()
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeId> + DoubleEndedIterator + use<> {
        // At most `NODES_MAX`, so that it fits.
        (0..self.built.nodes.len() as u16).map(NodeId)
    }

    /// A node's name.
    ///
    /// # Panics
    /// If the placement has no such node.
    pub fn node_name(&self, node: NodeId) -> &str {
        &self.built.nodes[node.index()].name
    }

    /// The node of that name. Cost: a binary search.
    pub fn node_by_name(&self, name: &str) -> Option<NodeId> {
        let by_name = &self.built.by_name;
        by_name
            .binary_search_by(|&node| self.node_name(node).cmp(name))
            .ok()
            .map(|at| by_name[at])
    }

    /// A node's weight.
    ///
    /// # Panics
    /// If the placement has no such node.
    pub fn weight(&self, node: NodeId) -> u32 {
        self.built.nodes[node.index()].weight
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.built.algorithm
    }

    /// For messages: `ketama over 64 nodes`, with `, total weight 96` if not all weights are 1.
    pub fn describe(&self) -> String {
        let nodes = &self.built.nodes;
        let count = nodes.len();
        let noun = if count == 1 { "node" } else { "nodes" };
        let mut text = format!("{} over {count} {noun}", self.built.algorithm);
        if nodes.iter().any(|node| node.weight != 1) {
            let weight_total: u32 = nodes.iter().map(|node| node.weight).sum();
            text.push_str(&format!(", total weight {weight_total}"));
        }
        text
    }
}

impl PartialEq for Placement {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.built, &other.built)
            || (self.built.algorithm == other.built.algorithm
                && self.built.nodes == other.built.nodes)
    }
}

impl Eq for Placement {}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placement({})", self.describe())
    }
}

fn checked_count(nodes: &[NodeSpec]) -> Result<u16, PlacementError> {
    match u16::try_from(nodes.len()) {
        Ok(0) => Err(PlacementError::NoNodes),
        Ok(count) if usize::from(count) <= NODES_MAX => Ok(count),
        _ => Err(PlacementError::TooManyNodes { count: nodes.len() }),
    }
}

/// Returns the nodes sorted by name.
fn checked_names(nodes: &[NodeSpec]) -> Result<Vec<NodeId>, PlacementError> {
    let mut by_name: Vec<NodeId> = (0..nodes.len() as u16).map(NodeId).collect();
    for &node in &by_name {
        match nodes[node.index()].name.len() {
            0 => return Err(PlacementError::EmptyName { node }),
            name_bytes if name_bytes > NAME_BYTES_MAX => {
                return Err(PlacementError::NameTooLong { node, name_bytes });
            }
            _ => {}
        }
    }
    // Stable: nodes of one name stay in order, so that the error names them in order.
    by_name.sort_by_key(|node| &nodes[node.index()].name);
    for pair in by_name.windows(2) {
        let [first, second] = [pair[0], pair[1]];
        let name = &nodes[first.index()].name;
        if *name == nodes[second.index()].name {
            return Err(PlacementError::DuplicateName {
                name: name.clone(),
                first,
                second,
            });
        }
    }
    Ok(by_name)
}

fn check_weights(algorithm: Algorithm, nodes: &[NodeSpec]) -> Result<(), PlacementError> {
    for NodeSpec { name, weight } in nodes {
        let (name, weight) = (name.clone(), *weight);
        if !(1..=WEIGHT_MAX).contains(&weight) {
            return Err(PlacementError::WeightOutOfRange { name, weight });
        }
        if weight != 1 && !algorithm.takes_weights() {
            return Err(PlacementError::WeightsUnsupported {
                algorithm,
                name,
                weight,
            });
        }
    }
    // Cannot overflow: `NODES_MAX * WEIGHT_MAX` is below 2^21.
    let weight_total = nodes.iter().map(|node| node.weight).sum();
    if algorithm == Algorithm::Ketama && weight_total > KETAMA_WEIGHT_TOTAL_MAX {
        return Err(PlacementError::WeightTotalTooLarge { weight_total });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes "0" to "count - 1" with a weight by index.
    pub(super) fn specs(count: usize, weight: impl Fn(u32) -> u32) -> Vec<NodeSpec> {
        (0..count as u32)
            .map(|i| NodeSpec {
                name: i.to_string(),
                weight: weight(i),
            })
            .collect()
    }

    /// The generated keys of all tests here.
    pub(super) fn key(i: u32) -> String {
        format!("key:{i}")
    }

    /// CRC-32 of the node numbers of keys 0 to 99,999, each as a little-endian u16.
    fn digest(placement: &Placement) -> u32 {
        let numbers: Vec<u8> = (0..100_000)
            .flat_map(|i| placement.node(key(i).as_bytes()).0.to_le_bytes())
            .collect();
        crc32(&numbers)
    }

    /// A changed number here means that data cannot be found any more. The numbers were confirmed by a second implementation, written
    /// in Python from the specification.
    #[test]
    fn every_key_is_where_it_was_in_the_first_release() {
        let mut text = String::new();
        for algorithm in Algorithm::ALL {
            for count in [1, 2, 3, 64, 1_000] {
                let placement = Placement::with_nodes(algorithm, count).unwrap();
                text.push_str(&format!(
                    "{}: {:08x}\n",
                    placement.describe(),
                    digest(&placement)
                ));
            }
            if algorithm.takes_weights() {
                for count in [3, 64, 1_000] {
                    let placement = Placement::new(algorithm, specs(count, |i| 1 + i % 7)).unwrap();
                    text.push_str(&format!(
                        "{}: {:08x}\n",
                        placement.describe(),
                        digest(&placement)
                    ));
                }
            }
        }
        insta::assert_snapshot!(text, @r"
        ketama over 1 node: 5ce0587b
        ketama over 2 nodes: 025ad751
        ketama over 3 nodes: cb59cc4f
        ketama over 64 nodes: eac834b0
        ketama over 1000 nodes: 411817b1
        ketama over 3 nodes, total weight 6: 033c38a3
        ketama over 64 nodes, total weight 253: fe010d03
        ketama over 1000 nodes, total weight 3997: 5b14ffde
        modulo over 1 node: 5ce0587b
        modulo over 2 nodes: 3896bce6
        modulo over 3 nodes: 7db8eaa0
        modulo over 64 nodes: 0a9d4794
        modulo over 1000 nodes: c21dceff
        rendezvous over 1 node: 5ce0587b
        rendezvous over 2 nodes: 4305ae84
        rendezvous over 3 nodes: 2fb6299c
        rendezvous over 64 nodes: 6e00e2e0
        rendezvous over 1000 nodes: db2e1497
        rendezvous over 3 nodes, total weight 6: b18115b1
        rendezvous over 64 nodes, total weight 253: 795f1e94
        rendezvous over 1000 nodes, total weight 3997: 3c9b4fcd
        jump over 1 node: 5ce0587b
        jump over 2 nodes: 65ec6f21
        jump over 3 nodes: 675e9ec6
        jump over 64 nodes: b2529db9
        jump over 1000 nodes: 9a423fef
        maglev over 1 node: 5ce0587b
        maglev over 2 nodes: 46d0376a
        maglev over 3 nodes: f4220683
        maglev over 64 nodes: 3af97813
        maglev over 1000 nodes: c73737dd
        maglev over 3 nodes, total weight 6: 68ade563
        maglev over 64 nodes, total weight 253: afb5b5b4
        maglev over 1000 nodes, total weight 3997: 9ec3507e
        ");
    }

    #[test]
    fn a_placement_goes_by_the_hash_tag() {
        for algorithm in Algorithm::ALL {
            let placement = Placement::with_nodes(algorithm, 64).unwrap();
            for i in 0..1_000 {
                let node = placement.node(key(i).as_bytes());
                assert_eq!(
                    placement.node(format!("a{{{}}}b}}", key(i)).as_bytes()),
                    node
                );
            }
            assert_eq!(placement.node(b"{a}{b}"), placement.node(b"a"));
            assert_eq!(placement.node(b"{{a}}"), placement.node(b"{a"));
        }
    }

    #[test]
    fn every_node_of_a_placement_gets_keys() {
        for algorithm in Algorithm::ALL {
            let placement = Placement::with_nodes(algorithm, 64).unwrap();
            let mut seen = [false; 64];
            for i in 0..5_000 {
                seen[placement.node(key(i).as_bytes()).index()] = true;
            }
            assert!(seen.iter().all(|seen| *seen), "{algorithm}");
        }
    }

    #[test]
    fn the_largest_placements_are_built() {
        for algorithm in Algorithm::ALL {
            let placement = Placement::with_nodes(algorithm, NODES_MAX as u16).unwrap();
            assert!((0..1_000).all(|i| placement.node(key(i).as_bytes()).index() < NODES_MAX));
        }
    }

    #[test]
    fn nodes_are_found_by_number_and_by_name() {
        let names = ["tokyo", "oslo", "quito"];
        let placement = Placement::new(Algorithm::Jump, names.map(NodeSpec::new).into()).unwrap();
        assert_eq!(placement.node_count(), 3);
        for (node, name) in placement.nodes().zip(names) {
            assert_eq!(placement.node_name(node), name);
            assert_eq!(placement.node_by_name(name), Some(node));
            assert_eq!(placement.weight(node), 1);
        }
        assert_eq!(placement.node_by_name("oslo "), None);
    }

    #[test]
    fn placements_are_equal_if_their_specifications_are() {
        let placement = Placement::with_nodes(Algorithm::Ketama, 3).unwrap();
        assert_eq!(placement, placement.clone());
        assert_eq!(
            placement,
            Placement::new(Algorithm::Ketama, specs(3, |_| 1)).unwrap()
        );
        assert_ne!(
            placement,
            Placement::with_nodes(Algorithm::Maglev, 3).unwrap()
        );
        assert_ne!(
            placement,
            Placement::with_nodes(Algorithm::Ketama, 4).unwrap()
        );
        assert_ne!(
            placement,
            Placement::new(Algorithm::Ketama, specs(3, |_| 2)).unwrap()
        );
        let reversed = specs(3, |_| 1).into_iter().rev().collect();
        assert_ne!(
            placement,
            Placement::new(Algorithm::Ketama, reversed).unwrap()
        );
    }

    #[test]
    fn a_placement_is_shared_between_threads_and_shown_in_a_line() {
        fn shared<T: Clone + Send + Sync + 'static>(_: &T) {}
        let placement = Placement::new(Algorithm::Rendezvous, specs(3, |i| 1 + i)).unwrap();
        shared(&placement);
        assert_eq!(
            format!("{placement:?}"),
            "Placement(rendezvous over 3 nodes, total weight 6)"
        );
        assert_eq!(
            Placement::with_nodes(Algorithm::Jump, 1)
                .unwrap()
                .describe(),
            "jump over 1 node"
        );
    }

    #[test]
    fn algorithms_are_read_and_written_by_one_name() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        insta::assert_snapshot!("Ketama".parse::<Algorithm>().unwrap_err(), @r#"unknown placement algorithm "Ketama": expected ketama, modulo, rendezvous, jump or maglev, in lower case"#);
    }

    #[test]
    fn a_wrong_list_of_nodes_is_refused_with_what_to_do() {
        let refusal =
            |algorithm, nodes| format!("{}\n", Placement::new(algorithm, nodes).unwrap_err());
        let weighted = |weight| {
            vec![
                NodeSpec::new("a"),
                NodeSpec {
                    name: "b".into(),
                    weight,
                },
            ]
        };
        let mut text = String::new();
        text += &refusal(Algorithm::Ketama, vec![]);
        text += &refusal(Algorithm::Jump, specs(NODES_MAX + 1, |_| 1));
        text += &refusal(Algorithm::Jump, specs(70_000, |_| 1));
        text += &refusal(Algorithm::Jump, vec![NodeSpec::new("a"), NodeSpec::new("")]);
        text += &refusal(
            Algorithm::Jump,
            vec![NodeSpec::new("a"), NodeSpec::new("b".repeat(256))],
        );
        text += &refusal(
            Algorithm::Jump,
            ["b", "a", "c", "a"].map(NodeSpec::new).into(),
        );
        text += &refusal(Algorithm::Maglev, weighted(0));
        text += &refusal(Algorithm::Maglev, weighted(101));
        text += &refusal(Algorithm::Modulo, weighted(2));
        text += &refusal(Algorithm::Jump, weighted(2));
        text += &refusal(Algorithm::Ketama, specs(NODES_MAX, |_| 5));
        insta::assert_snapshot!(text, @r#"
        a placement needs at least one node, and none was given
        16385 nodes are too many: a placement has at most 16384
        70000 nodes are too many: a placement has at most 16384
        node 1 has an empty name: give it one of 1 to 255 bytes, it is what is hashed
        the name of node 1 has 256 bytes: at most 255 are allowed
        nodes 1 and 3 are both named "a": names must differ, they are what is hashed
        node "b" has weight 0: expected 1 to 100 (a node without keys is one to leave out)
        node "b" has weight 101: expected 1 to 100 (a node without keys is one to leave out)
        node "b" has weight 2, but modulo knows no weights: leave it out, or use ketama, rendezvous or maglev
        node "b" has weight 2, but jump knows no weights: leave it out, or use ketama, rendezvous or maglev
        the weights add up to 81920: ketama takes at most 65536 in all; divide them by a common factor
        "#);
        assert!(Placement::new(Algorithm::Jump, vec![NodeSpec::new("b".repeat(255))]).is_ok());
        assert!(Placement::new(Algorithm::Rendezvous, weighted(100)).is_ok());
    }
}
