//! twemproxy (Twitter's nutcracker).
//!
//! Source: twemproxy 0.5.0, `src/nc_conf.c` (names, their order), `src/nc_server.c` (keys), `src/hashkit/nc_ketama.c` and `nc_modula.c`.

use super::{
    Algorithm, Circle, Clash, Find, KeyHash, NodeSpec, Options, Pick, PlacementError, Recipe,
    md5_points,
};
use crate::hash::{Hashkit, TagRule};
use std::borrow::Cow;

/// Largest sum of weights with modula: its table has as many entries, 32 MB of them at this limit.
const MODULA_WEIGHT_TOTAL_MAX: u64 = 1 << 24;

/// Longest label: with the largest number of a point it still fits into the original's buffer, beyond which it is cut.
const LABEL_BYTES_MAX: usize = 256;

pub(super) fn recipe(
    algorithm: Algorithm,
    options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    let refused = |why| PlacementError::Refused { algorithm, why };
    for node in nodes {
        check_name(node).map_err(refused)?;
    }
    let order = order(nodes).map_err(refused)?;
    let weight_total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    let weight_total_max = match algorithm {
        Algorithm::TwemproxyModula => MODULA_WEIGHT_TOTAL_MAX,
        // The original adds them up in 32 bits.
        _ => u64::from(u32::MAX),
    };
    if weight_total > weight_total_max {
        return Err(refused(format!(
            "the weights add up to {weight_total}, and at most {weight_total_max} are supported: divide them all by a common factor only if no data is there yet"
        )));
    }
    let find = match algorithm {
        Algorithm::TwemproxyModula => Find::Modulo {
            order: order
                .iter()
                .flat_map(|&node| {
                    let weight = nodes[usize::from(node)].weight;
                    std::iter::repeat_n(node, weight as usize)
                })
                .collect(),
        },
        _ => Find::Circle(Circle {
            is_wide: false,
            pick: Pick::AtOrAfter,
            // An unstable sort.
            clash: Clash::Undefined,
            marks,
        }),
    };
    Ok(Recipe {
        tag: options.hash_tag.map_or(TagRule::Whole, TagRule::Between),
        hash: KeyHash::Twemproxy(options.hash.unwrap_or(Hashkit::Fnv1a64)),
        find,
    })
}

fn marks(
    _algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
    each: &mut dyn FnMut(u16, &str, &[u64]),
) {
    let digests = digests(nodes);
    for (node, spec) in nodes.iter().enumerate() {
        let label = label(spec);
        for i in 0..digests(spec.weight) {
            let text = format!("{label}-{i}");
            each(node as u16, &text, &md5_points(&text));
        }
    }
}

/// How many MD5 digests a weight is worth. Also libmemcached's.
///
/// All of it is rounded to 32-bit floats in this order, which makes 39 digests, not 40, of each of 25 equal nodes. The original also adds
/// 1e-10; that is too small to change what is rounded down.
pub(super) fn digests(nodes: &[NodeSpec]) -> impl Fn(u32) -> u32 {
    let weight_total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    let (weight_total, node_count) = (weight_total as f32, nodes.len() as f32);
    move |weight| (weight as f32 / weight_total * 160.0 / 4.0 * node_count).floor() as u32
}

/// The server's name in the original.
fn label(node: &NodeSpec) -> Cow<'_, str> {
    let text = node.hashed();
    if node.label.is_some() {
        return text.into();
    }
    if text.starts_with('/') {
        // It takes as many bytes as `host:port` would have, with no port: the colon before the weight is left.
        return format!("{text}:").into();
    }
    match text.rsplit_once(':') {
        Some((host, port)) if port.trim_start_matches('0') == "11211" => host.into(),
        _ => text.into(),
    }
}

/// A name must be one that a line of `servers:` could have given.
fn check_name(node: &NodeSpec) -> Result<(), String> {
    let name = &node.name;
    let label = label(node);
    let what = if label.is_empty() {
        "it has no host"
    } else if label.len() > LABEL_BYTES_MAX {
        "it is longer than a host with its port can be"
    } else if node.label.is_some() {
        return Ok(());
    } else if name.contains(' ') {
        "it has a space, which is what ends an address there"
    } else if name.starts_with('/') && name.ends_with(':') {
        "it has a colon behind a socket's path"
    } else if has_a_weight(name) {
        "it ends in a weight, which is the node's `weight` here"
    } else {
        return Ok(());
    };
    Err(format!(
        "the node {name:?} is no server of twemproxy's: {what}; expected the name that the server's line ends in, or else its `host:port` \
         or `/path` as written there"
    ))
}

/// `host:port:weight`.
fn has_a_weight(name: &str) -> bool {
    let mut parts = name.rsplit(':');
    let is_number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    // With more colons it may be an IPv6 address.
    is_number(parts.next()) && is_number(parts.next()) && parts.count() == 1
}

/// The nodes in the order in which twemproxy has its servers, whatever that in its file is: shorter labels first, then by bytes.
fn order(nodes: &[NodeSpec]) -> Result<Vec<u16>, String> {
    let labels: Vec<_> = nodes.iter().map(label).collect();
    let mut order: Vec<u16> = (0..nodes.len() as u16).collect();
    let label = |node: u16| &labels[usize::from(node)];
    order.sort_by_key(|&node| (label(node).len(), label(node)));
    match order
        .windows(2)
        .find(|pair| label(pair[0]) == label(pair[1]))
    {
        None => Ok(order),
        Some(pair) => {
            let [first, second] = [pair[0], pair[1]].map(|node| &nodes[usize::from(node)].name);
            Err(format!(
                "the nodes {first:?} and {second:?} have one name there, {:?}, which twemproxy refuses too",
                label(pair[0])
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::{Label, Placement};

    fn refusal(algorithm: Algorithm, nodes: Vec<NodeSpec>) -> String {
        Placement::new(algorithm, nodes).unwrap_err().to_string()
    }

    #[test]
    fn a_name_becomes_what_twemproxy_hashes() {
        let cases = [
            ("10.0.0.1:6379", "10.0.0.1:6379"),
            ("10.0.0.1:11211", "10.0.0.1"),
            ("10.0.0.1:011211", "10.0.0.1"),
            ("10.0.0.1:1121", "10.0.0.1:1121"),
            ("10.0.0.1:06379", "10.0.0.1:06379"),
            ("::1:11211", "::1"),
            ("server1", "server1"),
            ("/var/run/redis.sock", "/var/run/redis.sock:"),
            ("/var/run/redis:11211", "/var/run/redis:11211:"),
        ];
        for (name, expected) in cases {
            assert_eq!(label(&NodeSpec::new(name)), expected);
        }
        let mut node = NodeSpec::new("a");
        node.label = Some(Label::new("shard:11211"));
        assert_eq!(label(&node), "shard:11211", "a label is hashed as it is");
    }

    #[test]
    fn a_point_count_is_rounded_as_32_bit_floats_are() {
        let count = |node_count| digests(&vec![NodeSpec::new("a"); node_count])(1);
        assert_eq!([1, 2, 3, 24, 25, 26].map(count), [40, 40, 40, 40, 39, 40]);
        assert_eq!([47, 50, 55, 61].map(count), [39; 4]);
        let uneven = [NodeSpec::weighted("a", 1), NodeSpec::weighted("b", 1_000)];
        assert_eq!([1, 1_000].map(digests(&uneven)), [0, 79]);
    }

    #[test]
    fn what_is_no_server_of_twemproxys_is_refused() {
        let names = |names: &[&str]| names.iter().copied().map(NodeSpec::new).collect::<Vec<_>>();
        let mut text = String::new();
        for name in ["a b", ":11211", "/tmp/a.sock:", "10.0.0.1:6379:1"] {
            text += &refusal(Algorithm::TwemproxyKetama, names(&["c", name]));
            text += "\n";
        }
        let mut long = NodeSpec::new("long");
        long.label = Some(Label::new("x".repeat(257)));
        text += &refusal(Algorithm::TwemproxyModula, vec![long]);
        text += "\n";
        for algorithm in [Algorithm::TwemproxyKetama, Algorithm::TwemproxyModula] {
            text += &refusal(algorithm, names(&["b", "a:11211", "a"]));
            text += "\n";
        }
        let heavy = |count: u32, weight| {
            let names = (0..count).map(|i| i.to_string());
            names
                .map(|name| NodeSpec::weighted(name, weight))
                .collect::<Vec<_>>()
        };
        text += &refusal(Algorithm::TwemproxyModula, heavy(17, 1_000_000));
        text += "\n";
        text += &refusal(Algorithm::TwemproxyKetama, heavy(4_295, 1_000_000));
        insta::assert_snapshot!(text, @r#"
        twemproxy-ketama: the node "a b" is no server of twemproxy's: it has a space, which is what ends an address there; expected the name that the server's line ends in, or else its `host:port` or `/path` as written there
        twemproxy-ketama: the node ":11211" is no server of twemproxy's: it has no host; expected the name that the server's line ends in, or else its `host:port` or `/path` as written there
        twemproxy-ketama: the node "/tmp/a.sock:" is no server of twemproxy's: it has a colon behind a socket's path; expected the name that the server's line ends in, or else its `host:port` or `/path` as written there
        twemproxy-ketama: the node "10.0.0.1:6379:1" is no server of twemproxy's: it ends in a weight, which is the node's `weight` here; expected the name that the server's line ends in, or else its `host:port` or `/path` as written there
        twemproxy-modula: the node "long" is no server of twemproxy's: it is longer than a host with its port can be; expected the name that the server's line ends in, or else its `host:port` or `/path` as written there
        twemproxy-ketama: the nodes "a:11211" and "a" have one name there, "a", which twemproxy refuses too
        twemproxy-modula: the nodes "a:11211" and "a" have one name there, "a", which twemproxy refuses too
        twemproxy-modula: the weights add up to 17000000, and at most 16777216 are supported: divide them all by a common factor only if no data is there yet
        twemproxy-ketama: the weights add up to 4295000000, and at most 4294967295 are supported: divide them all by a common factor only if no data is there yet
        "#);
        let fits = Placement::new(Algorithm::TwemproxyModula, heavy(16, 1_000_000));
        assert!(fits.is_ok());
    }
}
