//! Figures on jump and maglev, by all they can draw and all entries of a table.

use super::{Figure, around, deviation, largest};
use keyway::hash::{murmur_libstdcxx, xxh3};
use keyway::placement::{Algorithm, NodeSpec, Options, Placement};
use keyway::simulation::study::Study;

const JUMP: &str = "arXiv:1406.2294, table 1, which does not say how many nodes it has";
const MAGLEV: &str = "D. Eisenbud et al., Maglev, NSDI 2016";
const ENVOY: &str =
    "Envoy, load balancers, and its load_balancer_benchmark.cc: 500 hosts, a ring of 256,000";

/// Entries of both maglevs here.
const ENTRIES: usize = 65_537;

/// 2^31.
const DRAWS: u64 = 1 << 31;

/// A round of jump draws one of 2^31 numbers: how many of them lead beyond a node is found by bisection, and from that the part of each node, to the
/// last bit. What unevenness remains, as 2^31 cannot be shared out evenly, grows with the number of nodes. The paper does not say how many
/// it has: its figures are those of 32 to 40, and with 1,000 it is 2.4e-7. For the same reason the tolerance is a factor of 2.
pub(super) fn jump_is_even() -> Figure {
    let loads = jump_loads(32);
    let (deviation_32, most) = (deviation(&loads), largest(&loads));
    let least = loads.iter().copied().fold(f64::INFINITY, f64::min);
    Figure::new("jump", JUMP)
        .value(
            "32 nodes, deviation",
            "0.00000000764",
            deviation_32,
            3.8e-9..=1.53e-8,
        )
        .value(
            "32 nodes, 1 less the least load",
            "0.00000002",
            1.0 - least,
            1e-8..=4e-8,
        )
        .value(
            "32 nodes, the largest load less 1",
            "0.00000002",
            most - 1.0,
            1e-8..=4e-8,
        )
        .value(
            "1,000 nodes, deviation",
            "not said",
            deviation(&jump_loads(1_000)),
            1e-7..=5e-7,
        )
        .value(
            "keys that keyway's jump places otherwise",
            "0",
            otherwise(32),
            0.0..=0.0,
        )
}

/// The node after `node` for a draw of 1 to 2^31: figure 1 of the paper.
fn next(node: usize, draw: u64) -> usize {
    ((node + 1) as f64 * (DRAWS as f64 / draw as f64)) as usize
}

fn jump_loads(nodes: usize) -> Vec<f64> {
    let beyond = |node: usize, bound: usize| {
        let (mut least, mut most) = (0, DRAWS);
        while least < most {
            let middle = (least + most).div_ceil(2);
            match next(node, middle) >= bound {
                true => least = middle,
                false => most = middle - 1,
            }
        }
        least as f64 / DRAWS as f64
    };
    let mut reached = vec![0.0; nodes];
    reached[0] = 1.0;
    let mut loads = Vec::with_capacity(nodes);
    for node in 0..nodes {
        let mut rest = 1.0;
        for after in node + 1..nodes {
            let further = beyond(node, after + 1);
            reached[after] += reached[node] * (rest - further);
            rest = further;
        }
        loads.push(reached[node] * rest * nodes as f64);
    }
    loads
}

/// That what was analysed is what places keys.
fn otherwise(nodes: usize) -> f64 {
    let Ok(placement) = Placement::with_nodes(Algorithm::Jump, nodes as u16) else {
        return f64::NAN;
    };
    let differs = |number: &u32| {
        let key = number.to_string();
        let mut state = xxh3(key.as_bytes());
        let (mut node, mut after) = (0, 0);
        while after < nodes {
            node = after;
            state = state
                .wrapping_mul(2_862_933_555_777_941_757)
                .wrapping_add(1);
            after = next(node, (state >> 33) + 1);
        }
        placement.node(key.as_bytes()).index() != node
    };
    (0..10_000).filter(differs).count() as f64
}

/// Every entry belongs to one node, and no node has two more than another: 101 of 65,537 / 655 are 0.94 % too many.
pub(super) fn maglev_is_even() -> Figure {
    let keys = key_of_each_entry(xxh3);
    let nodes = nodes_of(Algorithm::Maglev, 655, &keys);
    let mut loads = vec![0.0; 655];
    for node in nodes {
        loads[usize::from(node)] += 655.0 / ENTRIES as f64;
    }
    Figure::new("maglev, 655 nodes, 65,537 entries", MAGLEV).value(
        "peak",
        "at most 1.01 with more than 100 entries a node",
        largest(&loads),
        1.0..=1.01,
    )
}

pub(super) fn maglev_is_not_minimal() -> Figure {
    let keys = key_of_each_entry(xxh3);
    let before = nodes_of(Algorithm::Maglev, 64, &keys);
    let after = nodes_of(Algorithm::Maglev, 63, &keys);
    let (mut due, mut excess) = (0.0, 0.0);
    for (old, new) in before.iter().zip(&after) {
        match *old {
            63 => due += 1.0 / ENTRIES as f64,
            old if old != *new => excess += 1.0 / ENTRIES as f64,
            _ => {}
        }
    }
    Figure::new("maglev, one of 64 nodes goes", MAGLEV)
        .value(
            "moved that must move",
            "1/64",
            due,
            around(1.0 / 64.0, 1e-4),
        )
        // The same again is what Envoy finds, see below.
        .value("moved beyond that", "more than 0", excess, 1e-3..=0.03)
}

/// Envoy's benchmark takes away the last one, two or three of 500 hosts, with 10,000 keys; here every entry of maglev's table is a key, and for the
/// ring they are a sample. "Approximately double" is to the ring, and 10,000 keys tell it with an error of 16 %: hence 1.4 to 2.6.
///
/// To the minimum it is far more, on both: Envoy's ring is to have at least 256,000 points, 512 for each of 500 hosts; for 499 hosts it has 514 each, and
/// the new ones take keys from everywhere. A ring with a fixed number of points a host moves what it must.
pub(super) fn maglev_moves_twice_what_a_ring_moves() -> Figure {
    let keys = key_of_each_entry(murmur_libstdcxx);
    let placed = |algorithm, hosts| nodes_of(algorithm, hosts, &keys);
    let over_minimum = |before: &[u16], after: &[u16]| {
        let moved = before.iter().zip(after).filter(|(old, new)| old != new);
        moved.count() as f64 / (ENTRIES as f64 / 500.0)
    };
    let of = |algorithm| over_minimum(&placed(algorithm, 500), &placed(algorithm, 499));
    let (ring, maglev) = (of(Algorithm::EnvoyRingXxhash), of(Algorithm::EnvoyMaglev));
    let fixed = over_minimum(&fixed_ring(500, &keys), &fixed_ring(499, &keys));
    // What is due are 131 keys on average; one host of 512 points has 4 % more or less, the sample 9 %: four of both are 0.39.
    Figure::new("Envoy, 1 of 500 hosts goes", ENVOY)
        .value(
            "maglev over ring",
            "approximately 2",
            maglev / ring,
            1.4..=2.6,
        )
        .value(
            "ring over minimum",
            "1 (but see the source)",
            ring,
            2.0..=4.0,
        )
        .value("maglev over minimum", "not said", maglev, 4.0..=7.0)
        .value(
            "ring of 512 points a host over minimum",
            "1",
            fixed,
            around(1.0, 0.39),
        )
}

fn fixed_ring(hosts: u16, keys: &[Key]) -> Vec<u16> {
    let built = Study::Ring { points: 512 }.build(&hosts_named(hosts));
    let placed = built.map(|built| keys.iter().map(|key| built.index(key)).collect());
    placed.unwrap_or_default()
}

fn hosts_named(count: u16) -> Vec<NodeSpec> {
    (0..count)
        .map(|host| NodeSpec::new(format!("10.0.{}.{}:6379", host >> 8, host & 255)))
        .collect()
}

fn nodes_of(algorithm: Algorithm, count: u16, keys: &[Key]) -> Vec<u16> {
    let options = match algorithm {
        Algorithm::EnvoyRingXxhash => Options {
            ring_points_min: Some(256_000),
            ..Options::default()
        },
        _ => Options::default(),
    };
    let placement = Placement::with_options(algorithm, options, hosts_named(count));
    let placed = placement.map(|placement| keys.iter().map(|key| placement.node(key).0).collect());
    placed.unwrap_or_default()
}

/// Eight digits.
type Key = [u8; 8];

/// Numbers are tried until every entry has one whose hash leads to it.
fn key_of_each_entry(hash: fn(&[u8]) -> u64) -> Vec<Key> {
    let mut keys: Vec<Option<Key>> = vec![None; ENTRIES];
    let mut missing = ENTRIES;
    for number in 0..100_000_000_u32 {
        let mut rest = number;
        let mut key = [b'0'; 8];
        for digit in key.iter_mut().rev() {
            *digit += (rest % 10) as u8;
            rest /= 10;
        }
        let entry = &mut keys[(hash(&key) % ENTRIES as u64) as usize];
        if entry.is_none() {
            *entry = Some(key);
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    keys.into_iter().flatten().collect()
}
