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
                matches!(self, TwemproxyKetama | TwemproxyModula)
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

    /// Whether the names of nodes are hashed, or sorted, so that something may stand in for them. The others go by position.
    pub(crate) fn takes_labels(self) -> bool {
        use Algorithm::*;
        !matches!(
            self,
            Modulo
                | Jump
                | NydusPartition
                | NydusRoundRobin
                | RbPartition
                | LibmemcachedModula
                | JedisMurmur
                | JedisMd5
                | CodisSlots
                | RedisClusterSlots
                | Custom
        )
    }
}

/// For messages: the names of those that fit, with commas and "and"; `jedis-...` if all of a program do.
pub(crate) fn list_of(fits: impl Fn(Algorithm) -> bool) -> String {
    let name = |algorithm: Algorithm| {
        let mut relatives = Algorithm::all().filter(|other| other.family() == algorithm.family());
        match algorithm.family() {
            Some(family) if relatives.all(&fits) => format!("{family}-..."),
            _ => algorithm.to_string(),
        }
    };
    let mut names: Vec<String> = Algorithm::all()
        .filter(|one| fits(*one))
        .map(name)
        .collect();
    names.dedup();
    match names.as_slice() {
        [] => "no algorithm".to_owned(),
        [name] => name.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// What to do about an option that means nothing.
pub(crate) fn without_option(algorithm: Algorithm, option: &str) -> String {
    use Algorithm::{LibmemcachedSpyWeighted, LibmemcachedWeighted};
    if option == "hash" && matches!(algorithm, LibmemcachedWeighted | LibmemcachedSpyWeighted) {
        return "MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED makes md5 the hash of the keys. Remove it; but if the program set \
             MEMCACHED_BEHAVIOR_HASH after that, its keys are where no preset puts them"
            .to_owned();
    }
    format!(
        "remove it; it is for {}",
        list_of(|algorithm| algorithm.takes(option))
    )
}

/// What to do about a weight where there are none.
pub(crate) fn without_weights(algorithm: Algorithm) -> &'static str {
    use Algorithm::*;
    match algorithm {
        Modulo | Jump => {
            "leave it out, or, if no data is there yet, use ketama, rendezvous or maglev"
        }
        Custom => "leave it out; the function may have weights of its own",
        LibmemcachedKetama | LibmemcachedSpy => {
            "leave it out if the original has 1 there. With another, libmemcached has a ring that no preset has, unless \
             MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED was set: then take libmemcached-weighted or libmemcached-spy-weighted"
        }
        LibmemcachedModula => "leave it out, as libmemcached does not count it there",
        // Nobody who comes from elsewhere has a choice of algorithms.
        _ => "leave it out, as the original has none",
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
    if let Some(hash_tag) = options.hash_tag.filter(|tag| !tag.is_ascii()) {
        return Err(PlacementError::HashTagNotAscii {
            algorithm,
            hash_tag,
        });
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
    // Shorter ones would be replaced where they only happen to occur, and hide nothing.
    const HIDDEN_BYTES_MIN: usize = 4;
    let mut labels: Vec<String> = nodes
        .iter()
        .filter_map(|node| node.label.as_ref())
        .filter(|label| label.0.len() >= HIDDEN_BYTES_MIN)
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

#[cfg(test)]
mod tests {
    use super::super::{Label, Placement};
    use super::*;
    use crate::hash::Hashkit;

    fn labelled(labels: [&str; 2]) -> Vec<NodeSpec> {
        let mut nodes = ["a", "b"].map(NodeSpec::new);
        for (node, label) in nodes.iter_mut().zip(labels) {
            node.label = Some(Label::new(label));
        }
        nodes.into()
    }

    #[test]
    fn what_an_algorithm_has_no_use_for_is_refused_with_what_to_do() {
        let all = Options {
            hash: Some(Hashkit::Md5),
            hash_tag: Some(*b"{}"),
            ring_points_min: Some(1),
            ring_points_max: Some(1),
            table_entries: Some(7),
        };
        let none = Options::default();
        let hash = Options {
            hash: all.hash,
            ..none
        };
        let hash_tag = |hash_tag: &[u8; 2]| Options {
            hash_tag: Some(*hash_tag),
            ..none
        };
        let points = Options {
            ring_points_max: all.ring_points_max,
            ..none
        };
        let table = Options {
            table_entries: all.table_entries,
            ..none
        };
        let mut text = String::new();
        for (algorithm, options) in [
            (Algorithm::Ketama, all),
            (Algorithm::NydusKetama, hash),
            (Algorithm::LibmemcachedWeighted, hash),
            (Algorithm::RedisRb5, hash_tag(b"{}")),
            (Algorithm::JedisMd5, hash_tag(b"[]")),
            (Algorithm::TwemproxyModula, hash_tag(b"\xc3\xa4")),
            (Algorithm::EnvoyMaglev, points),
            (Algorithm::EnvoyRingXxhash, table),
        ] {
            let error = Placement::with_options(algorithm, options, labelled(["x", "y"]));
            text += &format!("{}\n", error.unwrap_err());
        }
        for algorithm in [
            Algorithm::Jump,
            Algorithm::RbPartition,
            Algorithm::JedisMurmur,
        ] {
            let error = Placement::new(algorithm, labelled(["hunter2", "y"])).unwrap_err();
            text += &format!("{error}\n");
        }
        for labels in [
            ["hunter2", ""],
            ["hunter2", &"hunter2".repeat(147)],
            ["hunter2", "hunter2"],
        ] {
            let error = Placement::new(Algorithm::NydusKetama, labelled(labels)).unwrap_err();
            text += &format!("{error}\n");
        }
        let mut half = labelled(["b", "hunter2"]);
        half[1].label = None;
        text += &format!(
            "{}\n",
            Placement::new(Algorithm::NydusKetama, half).unwrap_err()
        );
        assert!(!text.contains("hunter2"), "{text}");
        insta::assert_snapshot!(text, @r#"
        ketama has no use for hash: remove it; it is for twemproxy-..., libmemcached-ketama, libmemcached-modula and libmemcached-spy
        nydus-ketama has no use for hash: remove it; it is for twemproxy-..., libmemcached-ketama, libmemcached-modula and libmemcached-spy
        libmemcached-weighted has no use for hash: MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED makes md5 the hash of the keys. Remove it; but if the program set MEMCACHED_BEHAVIOR_HASH after that, its keys are where no preset puts them
        redis-rb-5 has no use for hash_tag: remove it; it is for twemproxy-..., jedis-... and envoy-...
        node "a" has a label, but jedis-md5 goes by the position of nodes and hashes no names: remove the labels
        twemproxy-modula: hash_tag is "\xc3\xa4": expected two ASCII characters
        envoy-maglev has no use for ring_points_max: remove it; it is for envoy-ring-xxhash and envoy-ring-murmur2
        envoy-ring-xxhash has no use for table_entries: remove it; it is for envoy-maglev
        node "a" has a label, but jump goes by the position of nodes and hashes no names: remove the labels
        node "a" has a label, but rb-partition goes by the position of nodes and hashes no names: remove the labels
        node "a" has a label, but jedis-murmur goes by the position of nodes and hashes no names: remove the labels
        the label of node "b" has 0 bytes: expected 1 to 1024
        the label of node "b" has 1029 bytes: expected 1 to 1024
        the nodes "a" and "b" have one label: labels must differ, they are what is hashed
        the nodes "a" and "b" have one label: labels must differ, they are what is hashed
        "#);
    }

    #[test]
    fn a_weight_where_there_are_none_is_refused_with_what_the_original_made_of_it() {
        let mut text = String::new();
        for algorithm in [
            Algorithm::NydusKetama,
            Algorithm::LibmemcachedKetama,
            Algorithm::LibmemcachedModula,
        ] {
            let nodes = vec![NodeSpec::weighted("a", 2)];
            text += &format!("{}\n", Placement::new(algorithm, nodes).unwrap_err());
        }
        insta::assert_snapshot!(text, @r#"
        node "a" has weight 2, but nydus-ketama knows no weights: leave it out, as the original has none
        node "a" has weight 2, but libmemcached-ketama knows no weights: leave it out if the original has 1 there. With another, libmemcached has a ring that no preset has, unless MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED was set: then take libmemcached-weighted or libmemcached-spy-weighted
        node "a" has weight 2, but libmemcached-modula knows no weights: leave it out, as libmemcached does not count it there
        "#);
    }

    #[test]
    fn a_refusal_shows_no_label() {
        let nodes = labelled(["hunter2 'quoted'", "hunter2"]);
        let refused = |why: String| PlacementError::Refused {
            algorithm: Algorithm::RbKetama,
            why,
        };
        let whole = refused(format!(
            "{:?} and {}",
            "hunter2 'quoted'", "hunter2 'quoted'"
        ));
        let error = without_labels(whole, &nodes);
        assert_eq!(error.to_string(), "rb-ketama: \"(label)\" and (label)");
    }

    #[test]
    fn every_option_means_something_to_some_preset_and_to_no_algorithm_of_keyways_own() {
        for (option, _) in given(&Options::default()) {
            assert!(
                Algorithm::all().any(|algorithm| algorithm.takes(option)),
                "{option}"
            );
            assert!(
                !Algorithm::OWN.iter().any(|own| own.takes(option)),
                "{option}"
            );
        }
        insta::assert_snapshot!(list_of(|algorithm| algorithm.takes("hash_tag")), @"twemproxy-..., jedis-... and envoy-...");
        insta::assert_snapshot!(list_of(|algorithm| algorithm.weight_max() > 1), @"ketama, rendezvous, maglev, twemproxy-..., libmemcached-weighted, libmemcached-spy-weighted, libketama, predis-..., jedis-... and envoy-...");
    }
}
