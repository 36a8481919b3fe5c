//! The original libketama (Last.fm, 2007).
//!
//! Source: RJ/ketama, `libketama/ketama.c` at commit 18cf9a7 (2014).

use super::{
    Algorithm, Circle, Clash, Find, KeyHash, NodeSpec, Options, Pick, PlacementError, Recipe,
    md5_points,
};
use crate::hash::TagRule;

/// Longest address: it has room for these and a NUL.
const ADDRESS_BYTES_MAX: usize = 21;

pub(super) fn recipe(
    algorithm: Algorithm,
    _options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    for node in nodes {
        check_address(node).map_err(|why| PlacementError::Refused { algorithm, why })?;
    }
    Ok(Recipe {
        tag: TagRule::BeforeNul,
        hash: KeyHash::Md5,
        find: Find::Circle(Circle {
            is_wide: false,
            pick: Pick::AtOrAfter,
            // An unstable sort.
            clash: Clash::Undefined,
            marks,
        }),
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
        for i in 0..digests(spec.weight) {
            let text = format!("{}-{i}", spec.hashed());
            each(node as u16, &text, &md5_points(&text));
        }
    }
}

/// How many MD5 digests a weight is worth: its share as a 32-bit float, the products in 64 bits, the result in 32 again.
fn digests(nodes: &[NodeSpec]) -> impl Fn(u32) -> u32 {
    let weight_total: u64 = nodes.iter().map(|node| u64::from(node.weight)).sum();
    let (weight_total, node_count) = (weight_total as f32, nodes.len() as f64);
    move |weight| {
        let share = weight as f32 / weight_total;
        let count = f64::from(share) * 40.0 * node_count;
        (count as f32).floor() as u32
    }
}

/// An address must be one that a line of the servers' file could have given.
fn check_address(node: &NodeSpec) -> Result<(), String> {
    let address = node.hashed();
    let what = if address.len() > ADDRESS_BYTES_MAX {
        "it is longer than 21 bytes, which the original has no room for"
    } else if address.contains([' ', '\t', '\n', '\0']) {
        "it has a space, which is what ends an address there"
    } else if address.starts_with('#') {
        "it starts with #, as a comment does there"
    } else {
        return Ok(());
    };
    Err(format!(
        "the node {:?} is no server of libketama's: {what}; expected the first word of the server's line",
        node.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::Placement;

    #[test]
    fn a_point_count_is_rounded_as_the_originals() {
        let count = |node_count| digests(&vec![NodeSpec::new("a"); node_count])(1);
        assert_eq!(
            [1, 2, 25, 60, 61, 62, 122].map(count),
            [40, 40, 40, 40, 39, 40, 39]
        );
        let uneven = [600, 300, 200, 350, 1000, 800, 950, 100].map(|w| NodeSpec::weighted("a", w));
        let counts = uneven
            .iter()
            .map(|node| digests(&uneven)(node.weight))
            .collect::<Vec<_>>();
        assert_eq!(counts.iter().sum::<u32>(), 1_264 / 4);
        assert_eq!(digests(&uneven)(1), 0);
    }

    #[test]
    fn what_is_no_server_of_libketamas_is_refused() {
        let mut text = String::new();
        for name in [
            "a b",
            "a\tb",
            "#10.0.0.1:6379",
            "cache-17.example.com:6379",
            "123.123.123.123:65535x",
        ] {
            let nodes = ["a", name].map(NodeSpec::new).to_vec();
            let error = Placement::new(Algorithm::Libketama, nodes).unwrap_err();
            text += &format!("{error}\n");
        }
        insta::assert_snapshot!(text, @r##"
        libketama: the node "a b" is no server of libketama's: it has a space, which is what ends an address there; expected the first word of the server's line
        libketama: the node "a\tb" is no server of libketama's: it has a space, which is what ends an address there; expected the first word of the server's line
        libketama: the node "#10.0.0.1:6379" is no server of libketama's: it starts with #, as a comment does there; expected the first word of the server's line
        libketama: the node "cache-17.example.com:6379" is no server of libketama's: it is longer than 21 bytes, which the original has no room for; expected the first word of the server's line
        libketama: the node "123.123.123.123:65535x" is no server of libketama's: it is longer than 21 bytes, which the original has no room for; expected the first word of the server's line
        "##);
        let longest = vec![NodeSpec::new("123.123.123.123:65535")];
        assert!(Placement::new(Algorithm::Libketama, longest).is_ok());
    }
}
