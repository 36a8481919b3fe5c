//! Which algorithm takes which option, and labels: the checks that all of them share.

use super::{Algorithm, LABEL_BYTES_MAX, NodeSpec, Options, PlacementError};
use std::collections::HashMap;

/// The options by the names of the cluster file, and whether they are given.
fn given(options: &Options) -> [(&'static str, bool); 5] {
    // Not with `..`: a new option is to be looked at here.
    let Options {
        hash,
        hash_tag,
        ring_points_min,
        ring_points_max,
        table_entries,
    } = options;
    [
        ("hash", hash.is_some()),
        ("hash_tag", hash_tag.is_some()),
        ("ring_points_min", ring_points_min.is_some()),
        ("ring_points_max", ring_points_max.is_some()),
        ("table_entries", table_entries.is_some()),
    ]
}

impl Algorithm {
    /// Whether an option of that name means something to it.
    pub(crate) fn takes(self, option: &str) -> bool {
        use Algorithm::*;
        match option {
            "hash" => matches!(
                self,
                TwemproxyKetama
                    | TwemproxyModula
                    | LibmemcachedKetama
                    | LibmemcachedModula
                    | LibmemcachedSpy
            ),
            "hash_tag" => {
                self.takes_any_hash_tag()
                    || matches!(
                        self,
                        JedisMurmur | JedisMd5 | JedisMurmurNamed | JedisMd5Named
                    )
                    || matches!(self, EnvoyRingXxhash | EnvoyRingMurmur2 | EnvoyMaglev)
            }
            "ring_points_min" | "ring_points_max" => {
                matches!(self, EnvoyRingXxhash | EnvoyRingMurmur2)
            }
            "table_entries" => self == EnvoyMaglev,
            _ => false,
        }
    }

    /// Jedis and Envoy only know whether braces count.
    fn takes_any_hash_tag(self) -> bool {
        matches!(
            self,
            Algorithm::TwemproxyKetama | Algorithm::TwemproxyModula
        )
    }

    /// Whether the names of nodes are hashed, or sorted, so that something may stand in for them. The others go by position.
    pub(crate) fn takes_labels(self) -> bool {
        use Algorithm::*;
        !matches!(
            self,
            Modulo
                | Jump
                | NydusPartition
                | RbPartition
                | LibmemcachedModula
                | JedisMurmur
                | JedisMd5
                | CodisSlots
                | RedisClusterSlots
        )
    }
}

/// For messages: the names of those that fit, with commas and "and".
pub(crate) fn list_of(fits: impl Fn(Algorithm) -> bool) -> String {
    let names: Vec<&str> = Algorithm::all()
        .filter(|algorithm| fits(*algorithm))
        .map(Algorithm::name)
        .collect();
    match names.as_slice() {
        [] => "no algorithm".to_owned(),
        [name] => (*name).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// What to do about a weight where there are none.
pub(super) fn without_weights(algorithm: Algorithm) -> &'static str {
    match algorithm.is_preset() {
        // Nobody who comes from elsewhere has a choice of algorithms.
        true => "leave it out, as the original has none",
        false => "leave it out, or use ketama, rendezvous or maglev",
    }
}

pub(super) fn check(
    algorithm: Algorithm,
    options: &Options,
    nodes: &[NodeSpec],
) -> Result<(), PlacementError> {
    let useless = given(options)
        .into_iter()
        .find(|(option, is_given)| *is_given && !algorithm.takes(option));
    if let Some((option, _)) = useless {
        return Err(PlacementError::OptionUnsupported { algorithm, option });
    }
    if let Some(tag) = options.hash_tag {
        let is_right = match algorithm.takes_any_hash_tag() {
            true => tag.is_ascii(),
            false => tag == *b"{}",
        };
        if !is_right {
            return Err(PlacementError::HashTagUnsupported { algorithm });
        }
    }
    check_labels(algorithm, nodes)
}

fn check_labels(algorithm: Algorithm, nodes: &[NodeSpec]) -> Result<(), PlacementError> {
    let labelled = nodes
        .iter()
        .filter_map(|node| node.label.as_ref().map(|label| (node, &label.0)));
    for (node, label) in labelled.clone() {
        let name = node.name.clone();
        if !algorithm.takes_labels() {
            return Err(PlacementError::LabelsUnsupported { algorithm, name });
        }
        if !(1..=LABEL_BYTES_MAX).contains(&label.len()) {
            return Err(PlacementError::LabelLength {
                name,
                label_bytes: label.len(),
            });
        }
    }
    if labelled.count() == 0 {
        return Ok(());
    }
    let mut first: HashMap<&str, &str> = HashMap::new();
    for node in nodes {
        if let Some(first) = first.insert(node.hashed(), &node.name) {
            return Err(PlacementError::DuplicateLabel {
                first: first.to_owned(),
                second: node.name.clone(),
            });
        }
    }
    Ok(())
}

/// What a preset says of a node is about the text that it hashes, which may be a label.
pub(super) fn without_labels(error: PlacementError, nodes: &[NodeSpec]) -> PlacementError {
    let PlacementError::Refused { algorithm, why } = error else {
        return error;
    };
    let mut labels: Vec<String> = nodes
        .iter()
        .filter_map(|node| node.label.as_ref())
        // As it stands, and as `{:?}` shows it.
        .flat_map(|label| [label.0.clone(), label.0.escape_debug().to_string()])
        .collect();
    // The longest first, or what surrounds a part of one would stay.
    labels.sort_by_key(|label| std::cmp::Reverse(label.len()));
    let why = labels
        .iter()
        .fold(why, |why, label| why.replace(label.as_str(), "(label)"));
    PlacementError::Refused { algorithm, why }
}
