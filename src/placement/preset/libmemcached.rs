//! libmemcached.
//!
//! Source: libmemcached 1.1.4, `src/libmemcached/hosts.cc` (points), `hash.cc` (lookup) and `behavior.cc` (which hash).

use super::{
    Algorithm, Circle, Clash, Find, KeyHash, NodeSpec, Options, Pick, PlacementError, Recipe,
    md5_points, twemproxy,
};
use crate::hash::{Hashkit, TagRule};
use std::collections::HashMap;
use std::net::Ipv6Addr;

/// Points of a server where weights do not count.
const POINTS: u32 = 100;

/// The port that is left out of a label.
const DEFAULT_PORT: u16 = 11_211;

pub(super) fn recipe(
    algorithm: Algorithm,
    options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    let refused = |why| PlacementError::Refused { algorithm, why };
    check_hash(options).map_err(refused)?;
    let find = match algorithm {
        Algorithm::LibmemcachedModula => Find::Modulo {
            order: (0..nodes.len() as u16).collect(),
        },
        _ => {
            check_labels(algorithm, nodes).map_err(refused)?;
            Find::Circle(Circle {
                is_wide: false,
                pick: Pick::AtOrAfter,
                // An unstable sort up to 1.0; later the server that was added first has the point.
                clash: Clash::Undefined,
                marks,
            })
        }
    };
    let hash = if is_weighted(algorithm) {
        KeyHash::Md5
    } else {
        KeyHash::Hashkit(key_hash(options))
    };
    Ok(Recipe {
        tag: TagRule::Whole,
        hash,
        find,
    })
}

/// Each node must have a label, and one of its own.
fn check_labels(algorithm: Algorithm, nodes: &[NodeSpec]) -> Result<(), String> {
    let mut by_label = HashMap::new();
    for node in nodes {
        let name = &node.name;
        let Some(label) = label(algorithm, node) else {
            return Err(format!(
                "the node {name:?} is no server of libmemcached's: expected host:port, a host alone for port 11211, or the /path of a socket"
            ));
        };
        if let Some(first) = by_label.insert(label, name) {
            return Err(format!(
                "the nodes {first:?} and {name:?} are one server to libmemcached, which leaves to chance which of them a key is on. If they \
                 are one, leave one of them out; `keyway check` says whether its keys are then found"
            ));
        }
    }
    Ok(())
}

fn is_weighted(algorithm: Algorithm) -> bool {
    matches!(
        algorithm,
        Algorithm::LibmemcachedWeighted | Algorithm::LibmemcachedSpyWeighted
    )
}

fn key_hash(options: &Options) -> Hashkit {
    options.hash.unwrap_or(Hashkit::OneAtATime)
}

fn check_hash(options: &Options) -> Result<(), String> {
    match options.hash {
        Some(hash @ (Hashkit::Crc16 | Hashkit::Crc32a)) => Err(format!(
            "libmemcached has no hash {hash}: expected one_at_a_time, md5, crc32, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur or jenkins"
        )),
        _ => Ok(()),
    }
}

fn marks(
    algorithm: Algorithm,
    options: &Options,
    nodes: &[NodeSpec],
    each: &mut dyn FnMut(u16, &str, &[u64]),
) {
    let digests = twemproxy::digests(nodes);
    let key_hash = key_hash(options);
    for (node, spec) in nodes.iter().enumerate() {
        let Some(label) = label(algorithm, spec) else {
            continue; // Refused before.
        };
        if is_weighted(algorithm) {
            for i in 0..digests(spec.weight) {
                let text = format!("{label}-{i}");
                each(node as u16, &text, &md5_points(&text));
            }
        } else {
            for i in 0..POINTS {
                let text = format!("{label}-{i}");
                let point = key_hash.hash(text.as_bytes());
                each(node as u16, &text, &[u64::from(point)]);
            }
        }
    }
}

/// What stands before a point's number.
fn label(algorithm: Algorithm, node: &NodeSpec) -> Option<String> {
    let text = node.hashed();
    if node.label.is_some() {
        return Some(text.to_owned());
    }
    let (host, port) = address(text)?;
    Some(match algorithm {
        Algorithm::LibmemcachedSpy | Algorithm::LibmemcachedSpyWeighted => {
            format!("/{host}:{port}")
        }
        _ if port == DEFAULT_PORT => host.to_owned(),
        _ => format!("{host}:{port}"),
    })
}

/// Host and port as they are given to `memcached_server_add`; a socket has its path as the host, and port 0.
fn address(name: &str) -> Option<(&str, u16)> {
    if name.starts_with('/') {
        return Some((name, 0));
    }
    let (host, port) = match name.rsplit_once(':') {
        None => (name, 0),
        Some((host, port)) => (host, port.parse().ok()?),
    };
    let is_host = !host.is_empty() && !host.contains(char::is_whitespace);
    let is_ipv6 = || host.parse::<Ipv6Addr>().is_ok();
    let port = if port == 0 { DEFAULT_PORT } else { port };
    (is_host && (!host.contains(':') || is_ipv6())).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Placement;

    #[test]
    fn a_name_becomes_what_libmemcached_hashes() {
        let cases = [
            ("10.0.0.1:7400", "10.0.0.1:7400"),
            ("10.0.0.1:07400", "10.0.0.1:7400"),
            ("10.0.0.1:11211", "10.0.0.1"),
            ("10.0.0.1:0", "10.0.0.1"),
            ("cache", "cache"),
            ("::1:7400", "::1:7400"),
            ("::1:11211", "::1"),
            ("/run/a.sock", "/run/a.sock:0"),
        ];
        for (name, expected) in cases {
            let label = label(Algorithm::LibmemcachedWeighted, &NodeSpec::new(name));
            assert_eq!(label.as_deref(), Some(expected));
        }
        let spy = [
            ("10.0.0.1:7400", "/10.0.0.1:7400"),
            ("10.0.0.1", "/10.0.0.1:11211"),
        ];
        for (name, expected) in spy {
            let label = label(Algorithm::LibmemcachedSpy, &NodeSpec::new(name));
            assert_eq!(label.as_deref(), Some(expected));
        }
        for name in [
            "a:b",
            "a:65536",
            ":7400",
            "a b:7400",
            "a:",
            "::1",
            "[::1]:7400",
        ] {
            let label = label(Algorithm::LibmemcachedKetama, &NodeSpec::new(name));
            assert_eq!(label, None, "{name}");
        }
    }

    #[test]
    fn what_libmemcached_does_not_have_is_refused() {
        let nodes = || {
            (0..64)
                .map(|i| NodeSpec::new(format!("10.0.0.{i}")))
                .collect()
        };
        let refusal = |algorithm, hash, nodes| {
            let options = Options {
                hash,
                ..Options::default()
            };
            let placement = Placement::with_options(algorithm, options, nodes);
            format!("{}\n", placement.unwrap_err())
        };
        let mut text = String::new();
        for (algorithm, hash) in [
            (Algorithm::LibmemcachedWeighted, Hashkit::OneAtATime),
            (Algorithm::LibmemcachedSpyWeighted, Hashkit::Md5),
            (Algorithm::LibmemcachedModula, Hashkit::Crc16),
            (Algorithm::LibmemcachedKetama, Hashkit::Crc32a),
            // 6,400 points of 15 bits.
            (Algorithm::LibmemcachedKetama, Hashkit::Crc32),
        ] {
            text += &refusal(algorithm, Some(hash), nodes());
        }
        let twice = ["10.0.0.1", "10.0.0.1:11211"].map(NodeSpec::new).to_vec();
        text += &refusal(Algorithm::LibmemcachedWeighted, None, twice);
        let name = vec![NodeSpec::new("a:port")];
        text += &refusal(Algorithm::LibmemcachedSpy, None, name.clone());
        insta::assert_snapshot!(text, @r#"
        libmemcached-weighted has no use for hash: MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED makes md5 the hash of the keys. Remove it; but if the program set MEMCACHED_BEHAVIOR_HASH after that, its keys are where no preset puts them
        libmemcached-spy-weighted has no use for hash: MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED makes md5 the hash of the keys. Remove it; but if the program set MEMCACHED_BEHAVIOR_HASH after that, its keys are where no preset puts them
        libmemcached-modula: libmemcached has no hash crc16: expected one_at_a_time, md5, crc32, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur or jenkins
        libmemcached-ketama: libmemcached has no hash crc32a: expected one_at_a_time, md5, crc32, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur or jenkins
        libmemcached-ketama: the nodes "10.0.0.29" and "10.0.0.42" have the point 86 both, and the original leaves to chance whose it is. With data in place, neither rename a node nor leave one out, as that moves keys: ask the original where a key with this hash is, and place keys by a function of your own that says so (custom). If no data is there yet, rename one of the two
        libmemcached-weighted: the nodes "10.0.0.1" and "10.0.0.1:11211" are one server to libmemcached, which leaves to chance which of them a key is on. If they are one, leave one of them out; `keyway check` says whether its keys are then found
        libmemcached-spy: the node "a:port" is no server of libmemcached's: expected host:port, a host alone for port 11211, or the /path of a socket
        "#);
        // Nothing of a name is hashed there.
        assert!(Placement::new(Algorithm::LibmemcachedModula, name).is_ok());
    }
}
