//! Envoy's redis proxy over a cluster with `RING_HASH` or `MAGLEV`.
//!
//! Source: Envoy (main, 2026), `source/extensions/load_balancing_policies/ring_hash/ring_hash_lb.cc`, `.../maglev/maglev_lb.cc`,
//! `.../common/thread_aware_lb_impl.cc` (weights) and `source/extensions/clusters/redis/redis_cluster_lb.cc` (the hash of a key).

use super::{
    Algorithm, Circle, Clash, Find, KeyHash, NodeSpec, Options, Pick, PlacementError, Recipe,
};
use crate::hash::{TagRule, murmur_libstdcxx, xxh64, xxh64_seed_1};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write;

/// `minimum_ring_size`, where nothing is said.
const RING_POINTS_MIN: u32 = 1_024;
/// `maximum_ring_size`, where nothing is said; Envoy takes no more.
const RING_POINTS_MAX: u32 = 8 * 1_024 * 1_024;
/// `table_size`, where nothing is said.
const TABLE_ENTRIES: u32 = 65_537;
/// Envoy takes no more.
const TABLE_ENTRIES_MAX: u32 = 5_000_011;

pub(super) fn recipe(
    algorithm: Algorithm,
    options: &Options,
    nodes: &[NodeSpec],
) -> Result<Recipe, PlacementError> {
    let refused = |why: String| PlacementError::Refused { algorithm, why };
    let tag = tag_rule(options).map_err(refused)?;
    check_weights(nodes).map_err(refused)?;
    let find = match algorithm {
        Algorithm::EnvoyMaglev => Find::Table(table(
            table_entries(options, nodes).map_err(refused)?,
            nodes,
        )),
        _ => {
            check_ring(options, nodes).map_err(refused)?;
            Find::Circle(Circle {
                is_wide: true,
                pick: Pick::AtOrAfter,
                // `std::sort` by the points alone.
                clash: Clash::Undefined,
                marks,
            })
        }
    };
    Ok(Recipe {
        tag,
        // Of both rings too: `hash_function` is that of the points.
        hash: KeyHash::MurmurLibstdcxx,
        find,
    })
}

fn tag_rule(options: &Options) -> Result<TagRule, String> {
    match options.hash_tag {
        None => Ok(TagRule::Whole),
        Some([b'{', b'}']) => Ok(TagRule::Braces),
        Some(other) => Err(format!(
            "hash_tag is \"{}\": Envoy has tags between {{ and }} only; write \"{{}}\" if its enable_hashtagging was true, else leave it out",
            other.escape_ascii()
        )),
    }
}

fn check_weights(nodes: &[NodeSpec]) -> Result<(), String> {
    match weight_total(nodes) {
        total if total > u64::from(u32::MAX) => Err(format!(
            "the weights add up to {total}: Envoy takes at most {} in all",
            u32::MAX
        )),
        _ => Ok(()),
    }
}

fn check_ring(options: &Options, nodes: &[NodeSpec]) -> Result<(), String> {
    let (least, most) = ring_limits(options);
    for (name, points) in [("ring_points_min", least), ("ring_points_max", most)] {
        if !(1..=RING_POINTS_MAX).contains(&points) {
            return Err(format!(
                "{name} is {points}: expected 1 to {RING_POINTS_MAX}, as in Envoy's configuration"
            ));
        }
    }
    if least > most {
        return Err(format!(
            "ring_points_min is {least} and ring_points_max is {most}, but the one must not be above the other: Envoy refuses that too. \
             Where its configuration has no minimum_ring_size it is {RING_POINTS_MIN}, and where it has no maximum_ring_size it is \
             {RING_POINTS_MAX}"
        ));
    }
    let fused = point_counts(options, nodes, |share, scale, sum| {
        scale.mul_add(share, sum)
    });
    if fused != point_counts(options, nodes, sum_of_rounded) {
        return Err(
            "with these weights and this size of the ring, how many points a node has depends on what Envoy was built for: a compiler \
             may round a product and a sum once (ARM) or twice (x86-64). There is no one placement to reproduce"
                .to_owned(),
        );
    }
    Ok(())
}

/// The ring's `minimum_ring_size` and `maximum_ring_size`.
fn ring_limits(options: &Options) -> (u32, u32) {
    (
        options.ring_points_min.unwrap_or(RING_POINTS_MIN),
        options.ring_points_max.unwrap_or(RING_POINTS_MAX),
    )
}

fn marks(
    algorithm: Algorithm,
    options: &Options,
    nodes: &[NodeSpec],
    each: &mut dyn FnMut(u16, &str, &[u64]),
) {
    let hash = match algorithm {
        Algorithm::EnvoyRingMurmur2 => murmur_libstdcxx,
        _ => xxh64,
    };
    let counts = point_counts(options, nodes, sum_of_rounded);
    let mut text = String::new();
    for (node, (spec, count)) in nodes.iter().zip(counts).enumerate() {
        for i in 0..count {
            text.clear();
            // Writing into a String cannot fail.
            let _ = write!(text, "{}_{i}", spec.hashed());
            each(node as u16, &text, &[hash(text.as_bytes())]);
        }
    }
}

/// How many points each node has. `add(share, scale, sum)` is `sum + scale * share`.
fn point_counts(
    options: &Options,
    nodes: &[NodeSpec],
    add: impl Fn(f64, f64, f64) -> f64,
) -> Vec<u32> {
    let (least, most) = ring_limits(options);
    let shares = shares(nodes);
    let smallest = shares.iter().copied().fold(1.0, f64::min);
    let scale = ((smallest * f64::from(least)).ceil() / smallest).min(f64::from(most));
    let (mut made, mut due) = (0.0, 0.0);
    let counts = shares.into_iter().map(|share| {
        due = add(share, scale, due);
        let before = made;
        // Points are made one by one while they are fewer than due.
        made = due.ceil().max(made);
        (made - before) as u32
    });
    counts.collect()
}

fn sum_of_rounded(share: f64, scale: f64, sum: f64) -> f64 {
    sum + scale * share
}

/// The weights as parts of 1, in binary64.
fn shares(nodes: &[NodeSpec]) -> Vec<f64> {
    let total = weight_total(nodes) as f64;
    nodes
        .iter()
        .map(|node| f64::from(node.weight) / total)
        .collect()
}

fn weight_total(nodes: &[NodeSpec]) -> u64 {
    nodes.iter().map(|node| u64::from(node.weight)).sum()
}

fn table_entries(options: &Options, nodes: &[NodeSpec]) -> Result<u32, String> {
    let entries = options.table_entries.unwrap_or(TABLE_ENTRIES);
    let is_prime = || {
        (2..)
            .take_while(|divisor| divisor * divisor <= entries)
            .all(|divisor| !entries.is_multiple_of(divisor))
    };
    // In this order: beyond the largest size the squares overflow.
    if !(2..=TABLE_ENTRIES_MAX).contains(&entries) || !is_prime() {
        return Err(format!(
            "table_entries is {entries}: expected a prime up to {TABLE_ENTRIES_MAX}, as in Envoy's table_size"
        ));
    }
    if nodes.len() > entries as usize {
        return Err(format!(
            "{} nodes for {entries} entries of the table: the last ones would have none; give fewer nodes",
            nodes.len()
        ));
    }
    Ok(entries)
}

/// Which node has which entry.
fn table(entries: u32, nodes: &[NodeSpec]) -> Vec<u16> {
    /// No node has this number.
    const FREE: u16 = u16::MAX;

    let shares = shares(nodes);
    let largest = shares.iter().copied().fold(0.0, f64::max);
    let mut wishes: Vec<Wishes> = nodes
        .iter()
        .enumerate()
        .map(|(node, spec)| Wishes::new(node as u16, spec.hashed(), entries))
        .collect();
    wishes.sort_unstable_by_key(|wishes| nodes[usize::from(wishes.node)].hashed());
    // The next turn of each: the original asks in every round every node whether it is due, which takes hours where weights differ much.
    let mut turns: BinaryHeap<Reverse<(u64, usize)>> =
        (0..wishes.len()).map(|at| Reverse((1, at))).collect();
    let mut table = vec![FREE; entries as usize];
    for _ in 0..entries {
        let Some(Reverse((round, at))) = turns.pop() else {
            break;
        };
        let wishes = &mut wishes[at];
        let mut entry = wishes.advance(entries);
        while table[entry] != FREE {
            entry = wishes.advance(entries);
        }
        table[entry] = wishes.node;
        wishes.due += largest;
        let share = shares[usize::from(wishes.node)];
        turns.push(Reverse((round_due(round + 1, share, wishes.due), at)));
    }
    table
}

/// The entries that a node wants, in order, and when it has its next turn.
struct Wishes {
    node: u16,
    next: u64,
    skip: u64,
    /// `target_weight_` of the original.
    due: f64,
}

impl Wishes {
    fn new(node: u16, key: &str, entries: u32) -> Wishes {
        let entries = u64::from(entries);
        Wishes {
            node,
            next: xxh64(key.as_bytes()) % entries,
            skip: xxh64_seed_1(key.as_bytes()) % (entries - 1) + 1,
            due: 0.0,
        }
    }

    fn advance(&mut self, entries: u32) -> usize {
        let entry = self.next;
        self.next = (self.next + self.skip) % u64::from(entries);
        entry as usize
    }
}

/// The first round from `from` on in which `round * share < due` is false, in binary64.
fn round_due(from: u64, share: f64, due: f64) -> u64 {
    let is_due = |round: u64| round as f64 * share >= due;
    // The quotient may be rounded to either side; the products do not fall as rounds rise.
    let mut round = ((due / share) as u64).max(from);
    while round > from && is_due(round - 1) {
        round -= 1;
    }
    while !is_due(round) {
        round += 1;
    }
    round
}
