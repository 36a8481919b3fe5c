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
//!
//! # Presets
//!
//! A preset places every key exactly where another program put it. Its variant of [`Algorithm`] says which one, in which version, and the whole
//! rule; `tests/data/` has keys that the programs themselves have placed, and every row is a test (for Envoy those of its own tests are, for Codis
//! the rule alone).
//!
//! - A node's **name** is what the other program's configuration calls the server, and what it hashes is derived from that as the original
//!   derives it. A [`Label`] is hashed as it is in place of a name, and never shown.
//! - **Weights** count as the original counts, down to the rounding of its floats. Where it knows none, they are refused.
//! - **[`Options`]** are what some originals have to be told beside the servers; `None` is the original's default. An option that a preset has no
//!   use for is refused.
//! - **What is hashed of a key** is the original's business too: [`Placement::hashed`] tells. Some know no hash tags.
//! - What an original leaves to chance, such as equal points in an unstable sort, is refused with a reason. So is a name that it could not have had.
//! - [`Algorithm::NydusRoundRobin`] alone places no key: [`Placement::has_homes`].
//! - All servers are up. Where an original moves keys while a server is away, those are not found.
//!
//! [`Placement::explain`] says how a key finds its node, to be held against the other program.

mod algorithm;
mod custom;
mod explain;
pub(crate) mod jump;
mod ketama;
mod maglev;
mod modulo;
mod options;
mod origin;
mod preset;
mod rendezvous;
mod ring;
mod tags;

use crate::hash::{crc32, hash_tag, xxh3};
use maglev::Maglev;
use modulo::Remainder;
use preset::Preset;
use rendezvous::Rendezvous;
use ring::Ring;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

pub use algorithm::{Algorithm, Options, UnknownAlgorithm};
pub use custom::Custom;
pub use explain::{Bid, Explanation, Finding, HashValue, Place, Point};
pub(crate) use options::{list_of, without_option, without_weights};

/// Most nodes in a placement.
pub const NODES_MAX: usize = 16_384;

/// Longest name of a node, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest label of a node, in bytes.
pub const LABEL_BYTES_MAX: usize = 1_024;

/// Largest weight of a node.
pub const WEIGHT_MAX: u32 = 100;

/// Largest weight of a node for the presets that share out a fixed number of points or entries by weight.
pub const PRESET_WEIGHT_MAX: u32 = 1_000_000;

/// Largest sum of weights for ketama and Jedis's presets, whose points take memory: 10.5 million of them, about 110 MB at this limit.
pub const KETAMA_WEIGHT_TOTAL_MAX: u32 = 65_536;

/// A virtual node: the unit of placement. Its number is its position in the placement's list of names.
///
/// Its *name* is its hashing identity; a node has no address. Which server it lives on is the topology's business.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
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

/// What a placement is told about one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeSpec {
    /// Its hashing identity: unique, 1 to [`NAME_BYTES_MAX`] bytes. Renaming a node moves its keys (not with modulo and jump, which go by
    /// position).
    pub name: String,
    /// Its share relative to the other nodes: 1 to [`Algorithm::weight_max`].
    pub weight: u32,
    /// What is hashed in place of the name, if that must not be shown: rb hashes a host's password with the rest.
    pub label: Option<Label>,
}

/// A text that is hashed and never shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Label(String);

impl Label {
    /// Of 1 to [`LABEL_BYTES_MAX`] bytes.
    pub fn new(text: impl Into<String>) -> Self {
        Label(text.into())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Label(not shown)")
    }
}

impl NodeSpec {
    /// A node of weight 1.
    pub fn new(name: impl Into<String>) -> Self {
        NodeSpec::weighted(name, 1)
    }

    /// A node of this weight.
    pub fn weighted(name: impl Into<String>, weight: u32) -> Self {
        NodeSpec {
            name: name.into(),
            weight,
            label: None,
        }
    }

    /// The text that is hashed for it.
    fn hashed(&self) -> &str {
        self.label.as_ref().map_or(&self.name, |label| &label.0)
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
    /// A weight is 0 or above [`Algorithm::weight_max`].
    #[error(
        "node {name:?} has weight {weight}: expected 1 to {weight_max} (a node without keys is one to leave out)"
    )]
    WeightOutOfRange {
        /// The largest that the algorithm takes.
        weight_max: u32,
        /// The node's name.
        name: String,
        /// Its weight.
        weight: u32,
    },
    /// A weight other than 1 where there are none.
    #[error(
        "node {name:?} has weight {weight}, but {algorithm} knows no weights: {}", options::without_weights(*.algorithm)
    )]
    WeightsUnsupported {
        /// The algorithm.
        algorithm: Algorithm,
        /// The node's name.
        name: String,
        /// Its weight.
        weight: u32,
    },
    /// Weights of ketama, or of Jedis, add up to more than [`KETAMA_WEIGHT_TOTAL_MAX`].
    #[error(
        "the weights add up to {weight_total}: rings of points by weight take at most {KETAMA_WEIGHT_TOTAL_MAX} in all. Divide them by a common \
         factor, but only if no data is there yet, as that moves keys"
    )]
    WeightTotalTooLarge {
        /// Their sum.
        weight_total: u64,
    },
    /// Two nodes claim one point of a ring, and in the original program it is a matter of chance which of them has it.
    #[error(
        "{algorithm}: the nodes {first:?} and {second:?} have the point {point} both, and the original leaves to chance whose it is. With data in \
         place, neither rename a node nor leave one out, as that moves keys: ask the original where a key with this hash is, and place keys by \
         a function of your own that says so (custom). If no data is there yet, rename one of the two"
    )]
    PointClash {
        /// The preset.
        algorithm: Algorithm,
        /// The point.
        point: u64,
        /// One node.
        first: String,
        /// The other.
        second: String,
    },
    /// What the preset's original does not do, or does in a way that cannot be reproduced.
    #[error("{algorithm}: {why}")]
    Refused {
        /// The preset.
        algorithm: Algorithm,
        /// Why, and what to do.
        why: String,
    },
    /// An option that the algorithm has no use for.
    #[error("{algorithm} has no use for {option}: {}", options::without_option(*.algorithm, .option))]
    OptionUnsupported {
        /// The algorithm.
        algorithm: Algorithm,
        /// The option's name in a cluster file.
        option: &'static str,
    },
    /// The bytes around hash tags are not ASCII.
    #[error("{algorithm}: hash_tag is \"{}\": expected two ASCII characters", .hash_tag.escape_ascii())]
    HashTagNotAscii {
        /// The preset.
        algorithm: Algorithm,
        /// What was read.
        hash_tag: [u8; 2],
    },
    /// A label, where no names are hashed.
    #[error(
        "node {name:?} has a label, but {algorithm} goes by the position of nodes and hashes no names: remove the labels"
    )]
    LabelsUnsupported {
        /// The algorithm.
        algorithm: Algorithm,
        /// The node's name.
        name: String,
    },
    /// A label is empty, or longer than [`LABEL_BYTES_MAX`].
    #[error("the label of node {name:?} has {label_bytes} bytes: expected 1 to {LABEL_BYTES_MAX}")]
    LabelLength {
        /// The node's name.
        name: String,
        /// Length of its label.
        label_bytes: usize,
    },
    /// The same text would be hashed for two nodes.
    #[error(
        "the nodes {first:?} and {second:?} have one label: labels must differ, they are what is hashed"
    )]
    DuplicateLabel {
        /// The name of one.
        first: String,
        /// The name of the other.
        second: String,
    },
}

/// Which node a key belongs to. Immutable; a clone is one reference count.
///
/// Two placements are equal if their specifications are: the algorithm, the names in order, the weights; of [`Custom`] ones the function's name
/// and version too.
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
    options: Options,
    nodes: Vec<NodeSpec>,
    /// All nodes, sorted by name.
    by_name: Vec<NodeId>,
    lookup: Lookup,
}

/// What each algorithm needs to answer.
enum Lookup {
    Ketama(Ring),
    Modulo(Remainder),
    Rendezvous(Rendezvous),
    Jump {
        node_count: u16,
    },
    Maglev(Maglev),
    Preset(Box<Preset>),
    /// No key has a node; a channel has one.
    InTurn(Remainder),
    Custom(Custom),
}

impl Placement {
    /// Builds the tables for `nodes`, which are numbered in this order. Cost (measured): ketama about 12 us per unit of
    /// weight; maglev 2 ms for 64 nodes, 130 ms for 16,384; the others next to nothing.
    ///
    /// # Errors
    /// No nodes or too many, a name that is empty, too long or there twice, a weight that is out of range or that the algorithm has no use for.
    pub fn new(algorithm: Algorithm, nodes: Vec<NodeSpec>) -> Result<Placement, PlacementError> {
        Placement::with_options(algorithm, Options::default(), nodes)
    }

    /// The same for a preset that has to be told more than the nodes.
    ///
    /// # Errors
    /// As [`new`](Placement::new), and an option or a label that the algorithm has no use for. None shows a label.
    pub fn with_options(
        algorithm: Algorithm,
        options: Options,
        nodes: Vec<NodeSpec>,
    ) -> Result<Placement, PlacementError> {
        let node_count = checked_count(&nodes)?;
        let by_name = checked_names(&nodes)?;
        check_weights(algorithm, &nodes)?;
        options::check(algorithm, &options, &nodes)?;
        let lookup = match algorithm {
            Algorithm::Ketama => Lookup::Ketama(ketama::ring(&nodes)),
            Algorithm::Modulo => Lookup::Modulo(Remainder::new(node_count.into())),
            Algorithm::Rendezvous => Lookup::Rendezvous(Rendezvous::new(&nodes)),
            Algorithm::Jump => Lookup::Jump { node_count },
            Algorithm::Maglev => Lookup::Maglev(Maglev::new(&nodes)),
            Algorithm::NydusRoundRobin => Lookup::InTurn(Remainder::new(node_count.into())),
            Algorithm::Custom => {
                return Err(refused_custom(
                    "this needs a function: Placement::custom in code, or for a file a ConfigReader that has one",
                ));
            }
            preset => {
                let preset = Preset::new(preset, &options, &nodes);
                Lookup::Preset(Box::new(
                    preset.map_err(|error| options::without_labels(error, &nodes))?,
                ))
            }
        };
        Ok(Placement {
            built: Arc::new(Built {
                algorithm,
                options,
                nodes,
                by_name,
                lookup,
            }),
        })
    }

    /// A placement by a function of the program's own. It knows no weights and no labels, and what the nodes are called is of no importance to it.
    ///
    /// # Errors
    /// As [`new`](Placement::new), and a name of the function that does not have 1 to [`NAME_BYTES_MAX`] bytes.
    pub fn custom(custom: Custom, nodes: Vec<NodeSpec>) -> Result<Placement, PlacementError> {
        checked_count(&nodes)?;
        let by_name = checked_names(&nodes)?;
        check_weights(Algorithm::Custom, &nodes)?;
        if nodes.iter().any(|node| node.label.is_some()) {
            return Err(refused_custom(
                "a node has a label, which the function is not given: leave it out",
            ));
        }
        if !(1..=NAME_BYTES_MAX).contains(&custom.name().len()) {
            return Err(refused_custom(&format!(
                "the function's name has {} bytes: expected 1 to {NAME_BYTES_MAX}",
                custom.name().len()
            )));
        }
        Ok(Placement {
            built: Arc::new(Built {
                algorithm: Algorithm::Custom,
                options: Options::default(),
                nodes,
                by_name,
                lookup: Lookup::Custom(custom),
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

    /// The node of `key`, by its hash tag if it has one. Allocates nothing; cost: see the [table](self#specification). Where no key
    /// [has a home](Placement::has_homes), that of a channel of this name: the key may be on any node.
    ///
    /// # Panics
    /// If a [`Custom`] function does, or returns a node that there is not: the key is in the message, and goes nowhere. The panic is in the
    /// task that sends the command; the connections and other callers do not notice.
    #[inline]
    pub fn node(&self, key: &[u8]) -> NodeId {
        let lookup = &self.built.lookup;
        if !matches!(lookup, Lookup::Ketama(_) | Lookup::Modulo(_)) {
            return self.node_otherwise(key);
        }
        let hash = crc32(hash_tag(key));
        match lookup {
            Lookup::Ketama(ring) => NodeId(ring.node(hash)),
            Lookup::Modulo(remainder) => NodeId(remainder.of(hash) as u16),
            _ => self.node_otherwise(key),
        }
    }

    /// The nodes of many keys. The same as one by one, but all keys are hashed first: where a ring is larger than the processor's cache, the
    /// waits for its lines overlap.
    pub(crate) fn nodes_of<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> Vec<NodeId> {
        let Lookup::Ketama(ring) = &self.built.lookup else {
            return keys.map(|key| self.node(key)).collect();
        };
        let hashes: Vec<u32> = keys.map(|key| crc32(hash_tag(key))).collect();
        hashes
            .into_iter()
            .map(|hash| NodeId(ring.node(hash)))
            .collect()
    }

    /// Apart, so that the ways above, which are all but a few instructions, have no registers to save for the others.
    #[inline(never)]
    fn node_otherwise(&self, key: &[u8]) -> NodeId {
        NodeId(match &self.built.lookup {
            Lookup::Ketama(ring) => ring.node(crc32(hash_tag(key))),
            Lookup::Modulo(remainder) => remainder.of(crc32(hash_tag(key))) as u16,
            Lookup::Rendezvous(rendezvous) => rendezvous.node(tag_xxh3(key)),
            Lookup::Jump { node_count } => jump::node(tag_xxh3(key), *node_count),
            Lookup::Maglev(maglev) => maglev.node(tag_xxh3(key)),
            Lookup::Preset(preset) => preset.node(key),
            Lookup::InTurn(channels) => channels.of(crc32(key)) as u16,
            Lookup::Custom(custom) => custom.node(key, self.built.nodes.len() as u16),
        })
    }

    /// It says of every key where that is. Where it does not, any node serves any command: [`Algorithm::NydusRoundRobin`].
    #[inline]
    pub fn has_homes(&self) -> bool {
        !matches!(self.built.lookup, Lookup::InTurn(_))
    }

    /// What a lookup reads beside the key, in bytes: the tables, without the nodes' names. `None` where a function of the program's own looks up.
    pub fn table_bytes(&self) -> Option<u64> {
        let bytes = match &self.built.lookup {
            Lookup::Ketama(ring) => ring.bytes(),
            Lookup::Modulo(_) | Lookup::Jump { .. } | Lookup::InTurn(_) => 0,
            Lookup::Rendezvous(rendezvous) => rendezvous.bytes(),
            Lookup::Maglev(maglev) => maglev.bytes(),
            Lookup::Preset(preset) => preset.bytes(),
            Lookup::Custom(_) => return None,
        };
        Some(bytes as u64)
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

    /// What the preset was told beside the nodes.
    pub fn options(&self) -> Options {
        self.built.options
    }

    /// The part of a key that is hashed: its hash tag, by the algorithm's rule, or the whole key.
    pub fn hashed<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        match &self.built.lookup {
            Lookup::Preset(preset) => preset.hashed(key),
            // What the function makes of it, nobody knows; and where no key has a home, nobody asks.
            Lookup::Custom(_) | Lookup::InTurn(_) => key,
            _ => hash_tag(key),
        }
    }

    /// Keys of one neighbourhood may well share a node only because they are alike: by some hashes `user:1` and `user:2` are next to each other
    /// on a preset's ring.
    pub(crate) fn neighbourhood(&self, key: &[u8]) -> u64 {
        match &self.built.lookup {
            Lookup::Preset(preset) => preset.neighbourhood(key),
            _ => xxh3(self.hashed(key)),
        }
    }

    /// What it was made from.
    pub(crate) fn specs(&self) -> &[NodeSpec] {
        &self.built.nodes
    }

    /// For messages: `ketama over 64 nodes`, with `, total weight 96` if not all weights are 1; options come after the algorithm, as in
    /// `twemproxy-ketama, hash murmur over 4 nodes`.
    pub fn describe(&self) -> String {
        let nodes = &self.built.nodes;
        let count = nodes.len();
        let noun = if count == 1 { "node" } else { "nodes" };
        let mut text = format!("{} over {count} {noun}", self.describe_algorithm());
        if nodes.iter().any(|node| node.weight != 1) {
            let weight_total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
            text.push_str(&format!(", total weight {weight_total}"));
        }
        text
    }
}

#[inline(never)]
fn tag_xxh3(key: &[u8]) -> u64 {
    xxh3(hash_tag(key))
}

impl Built {
    fn function(&self) -> Option<&Custom> {
        match &self.lookup {
            Lookup::Custom(custom) => Some(custom),
            _ => None,
        }
    }
}

impl PartialEq for Placement {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.built, &other.built)
            || (self.built.algorithm == other.built.algorithm
                && self.built.options == other.built.options
                && self.built.nodes == other.built.nodes
                && self.built.function() == other.built.function())
    }
}

impl Eq for Placement {}

impl fmt::Debug for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placement({})", self.describe())
    }
}

fn refused_custom(why: &str) -> PlacementError {
    PlacementError::Refused {
        algorithm: Algorithm::Custom,
        why: why.to_owned(),
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
    for NodeSpec { name, weight, .. } in nodes {
        let (name, weight) = (name.clone(), *weight);
        let weight_max = algorithm.weight_max();
        if weight > 1 && weight_max == 1 {
            return Err(PlacementError::WeightsUnsupported {
                algorithm,
                name,
                weight,
            });
        }
        if !(1..=weight_max).contains(&weight) {
            return Err(PlacementError::WeightOutOfRange {
                weight_max,
                name,
                weight,
            });
        }
    }
    let weight_total = nodes.iter().map(|node| u64::from(node.weight)).sum();
    let is_limited = algorithm.weight_max() == WEIGHT_MAX
        && !matches!(algorithm, Algorithm::Rendezvous | Algorithm::Maglev);
    if is_limited && weight_total > u64::from(KETAMA_WEIGHT_TOTAL_MAX) {
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
            .map(|i| NodeSpec::weighted(i.to_string(), weight(i)))
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
        for algorithm in Algorithm::OWN {
            for count in [1, 2, 3, 64, 1_000] {
                let placement = Placement::with_nodes(algorithm, count).unwrap();
                text.push_str(&format!(
                    "{}: {:08x}\n",
                    placement.describe(),
                    digest(&placement)
                ));
            }
            if algorithm.weight_max() > 1 {
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
    fn only_round_robin_says_of_no_key_where_it_is_and_puts_channels_by_their_whole_name() {
        for algorithm in Algorithm::OWN {
            assert!(Placement::with_nodes(algorithm, 3).unwrap().has_homes());
        }
        let without: Vec<_> = Algorithm::all().filter(|one| !one.has_homes()).collect();
        assert_eq!(without, [Algorithm::NydusRoundRobin]);
        let placement = Placement::with_nodes(Algorithm::NydusRoundRobin, 1_000).unwrap();
        assert!(!placement.has_homes());
        assert_eq!(
            placement.node(b"123456789").0,
            (0xCBF4_3926_u32 % 1_000) as u16
        );
        assert_eq!(placement.node(b"{a}b").0, (crc32(b"{a}b") % 1_000) as u16);
        assert_eq!(placement.hashed(b"{a}b"), b"{a}b");
        // Channels must meet tomorrow, too.
        assert_eq!(digest(&placement), 0xC21D_CEFF);
    }

    #[test]
    fn a_placement_goes_by_the_hash_tag() {
        for algorithm in Algorithm::OWN {
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
        for algorithm in Algorithm::OWN {
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
        for algorithm in Algorithm::OWN {
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
        for algorithm in Algorithm::OWN {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        insta::assert_snapshot!("Ketama".parse::<Algorithm>().unwrap_err(), @r#"unknown placement algorithm "Ketama": expected ketama, modulo, rendezvous, jump or maglev, or a preset such as twemproxy-ketama, in lower case"#);
    }

    #[test]
    fn a_wrong_list_of_nodes_is_refused_with_what_to_do() {
        let refusal =
            |algorithm, nodes| format!("{}\n", Placement::new(algorithm, nodes).unwrap_err());
        let weighted = |weight| vec![NodeSpec::new("a"), NodeSpec::weighted("b", weight)];
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
        node "b" has weight 2, but modulo knows no weights: leave it out, or, if no data is there yet, use ketama, rendezvous or maglev
        node "b" has weight 2, but jump knows no weights: leave it out, or, if no data is there yet, use ketama, rendezvous or maglev
        the weights add up to 81920: rings of points by weight take at most 65536 in all. Divide them by a common factor, but only if no data is there yet, as that moves keys
        "#);
        assert!(Placement::new(Algorithm::Jump, vec![NodeSpec::new("b".repeat(255))]).is_ok());
        assert!(Placement::new(Algorithm::Rendezvous, weighted(100)).is_ok());
    }
}
