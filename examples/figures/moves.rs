//! Figures on what moves, and other programs' own tests, by keys.

use super::{Figure, around, largest, servers};
use keyway::placement::{Algorithm, NodeSpec, Placement};
use keyway::simulation::report::Report;
use keyway::simulation::study::Study;
use keyway::simulation::{Keys, Scenario, Server, Step, run, uninterrupted};

const KEYS: u32 = 60_000;

fn keys() -> impl Iterator<Item = String> {
    (0..KEYS).map(|number| format!("user:{number}"))
}

fn placed(algorithm: Algorithm, nodes: &[NodeSpec]) -> Vec<u16> {
    let placement = Placement::new(algorithm, nodes.to_vec());
    let placed = placement.map(|placement| {
        let nodes = keys().map(|key| placement.node(key.as_bytes()).0);
        nodes.collect()
    });
    placed.unwrap_or_default()
}

/// Parts of all keys: moved in all, and of these between two nodes that are there before and after. The old list is the new one and one more.
fn moved(old: &[u16], new: &[u16], old_nodes: &[NodeSpec], new_nodes: &[NodeSpec]) -> (f64, f64) {
    let name = |nodes: &'_ [NodeSpec], node: u16| nodes[usize::from(node)].name.clone();
    let (mut moved, mut violations) = (0, 0);
    for (old, new) in old.iter().zip(new) {
        let (from, to) = (name(old_nodes, *old), name(new_nodes, *new));
        if from != to {
            moved += 1;
            let stays = |nodes: &[NodeSpec], name: &str| nodes.iter().any(|node| node.name == name);
            violations += u32::from(stays(new_nodes, &from) && stays(old_nodes, &to));
        }
    }
    (
        f64::from(moved) / f64::from(KEYS),
        f64::from(violations) / f64::from(KEYS),
    )
}

/// Four standard errors of a part that was found from all keys.
fn four_errors(part: f64) -> f64 {
    4.0 * (part * (1.0 - part) / f64::from(KEYS)).sqrt()
}

pub(super) fn modulo() -> Figure {
    let mut figure = Figure::new(
        "modulo, one more server",
        "theory: n/(n + 1) of the keys move",
    );
    for (count, published) in [(5_usize, "5/6"), (64, "64/65")] {
        let (few, many) = (servers(count, 0), servers(count + 1, 0));
        let (old, new) = (
            placed(Algorithm::Modulo, &few),
            placed(Algorithm::Modulo, &many),
        );
        let (moved, _) = moved(&old, &new, &few, &many);
        let expected = count as f64 / (count + 1) as f64;
        figure = figure.value(
            format!("{count} and 1"),
            published,
            moved,
            around(expected, four_errors(expected)),
        );
    }
    figure
}

pub(super) fn jump() -> Figure {
    let mut figure = Figure::new(
        "jump, one more node",
        "arXiv:1406.2294: 1/(n + 1) move, all to the new one",
    );
    for (count, published) in [(5_usize, "1/6"), (64, "1/65")] {
        let (few, many) = (servers(count, 0), servers(count + 1, 0));
        let (old, new) = (
            placed(Algorithm::Jump, &few),
            placed(Algorithm::Jump, &many),
        );
        let (moved, violations) = moved(&old, &new, &few, &many);
        let expected = 1.0 / (count + 1) as f64;
        figure = figure
            .value(
                format!("{count} and 1, moved"),
                published,
                moved,
                around(expected, four_errors(expected)),
            )
            .value(
                format!("{count} and 1, of them between old ones"),
                "0",
                violations,
                0.0..=0.0,
            );
    }
    figure
}

/// The sum of squares over the mean is chi-square with 19 degrees of freedom: between 4.9 and 46 but for one case in a thousand.
pub(super) fn rendezvous() -> Figure {
    let all = servers(20, 0);
    let rest = [&all[..7], &all[8..]].concat();
    let (old, new) = (
        placed(Algorithm::Rendezvous, &all),
        placed(Algorithm::Rendezvous, &rest),
    );
    let mut counts = [0_u32; 20];
    for node in &old {
        counts[usize::from(*node)] += 1;
    }
    let mean = f64::from(KEYS) / 20.0;
    let squares: f64 = counts
        .iter()
        .map(|count| (f64::from(*count) - mean).powi(2) / mean)
        .sum();
    let (moved, violations) = moved(&old, &new, &all, &rest);
    let gone = f64::from(counts[7]) / f64::from(KEYS);
    Figure::new(
        "rendezvous, 20 servers",
        "theory: counts are multinomial, what was on the one that goes moves",
    )
    .value(
        "chi-square of the counts",
        "19 degrees of freedom",
        squares,
        4.9..=46.0,
    )
    .value(
        "one goes, moved",
        "1/20",
        moved,
        around(0.05, four_errors(0.05)),
    )
    .value("moved, less what was on it", "0", moved - gone, 0.0..=0.0)
    .value("between those that stay", "0", violations, 0.0..=0.0)
}

/// Ten of 64 go, one by one, not in the order in which they came, and then three come.
pub(super) fn anchor() -> Figure {
    let mut figure = Figure::new(
        "AnchorHash, capacity 128",
        "arXiv:1812.09674: minimal disruption",
    );
    let mut list = servers(64, 0);
    let Ok(mut built) = (Study::Anchor { capacity: 128 }).build(&list) else {
        return figure;
    };
    let at = |built: &keyway::simulation::study::Built| -> Vec<u16> {
        keys().map(|key| built.index(key.as_bytes())).collect()
    };
    let mut before = at(&built);
    let (mut worst, mut excess) = (0.0_f64, 0.0);
    for step in 0..13 {
        let next = match step {
            0..10 => {
                let gone = (step * 37 + 11) % list.len();
                [&list[..gone], &list[gone + 1..]].concat()
            }
            _ => [&list[..], &servers(1, step as u64)].concat(),
        };
        let Ok(changed) = built.changed(&next) else {
            return figure;
        };
        let after = at(&changed);
        let (moved, violations) = moved(&before, &after, &list, &next);
        let minimum = 1.0 / list.len().max(next.len()) as f64;
        worst = worst.max((moved - minimum).abs() / four_errors(minimum));
        excess += violations;
        (list, built, before) = (next, changed, after);
    }
    figure = figure.value(
        "moved between servers that stay, 13 steps",
        "0",
        excess,
        0.0..=0.0,
    );
    figure.value(
        "moved, off 1/n, in units of four errors",
        "0",
        worst,
        0.0..=1.0,
    )
}

/// By construction. Without a bound the peak of this ring is above it.
pub(super) fn bounded_loads() -> Figure {
    let figure = Figure::new(
        "bounded loads, 125 %, ring of 10 points, 50 servers",
        "arXiv:1608.01350; hash-balance-factor of HAProxy",
    );
    let Ok(ring) = (Study::Ring { points: 10 }).build(&servers(50, 0)) else {
        return figure;
    };
    let keys: Vec<String> = keys().collect();
    let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
    let peak = |placed: &[u16]| {
        let mut loads = vec![0.0; 50];
        for server in placed {
            loads[usize::from(*server)] += 50.0 / f64::from(KEYS);
        }
        largest(&loads)
    };
    let free: Vec<u16> = keys.iter().map(|key| ring.index(key)).collect();
    let bounded = ring.bounded(&keys, 125).unwrap_or_default();
    figure
        .value("peak without", "more", peak(&free), 1.3..=3.0)
        .value("peak with", "at most 1.25", peak(&bounded), 1.2..=1.25)
}

pub(super) fn jedis() -> Figure {
    let shards = ["localhost:6379", "localhost:6380", "localhost:6381"].map(NodeSpec::new);
    let mut counts = [0_u32; 3];
    if let Ok(placement) = Placement::new(Algorithm::JedisMurmur, shards.to_vec()) {
        for number in 0..1_000 {
            counts[placement.node(number.to_string().as_bytes()).index()] += 1;
        }
    }
    let figure = Figure::new(
        "Jedis, 3 shards, keys 0 to 999",
        "Jedis 3.10.0, ShardedJedisTest",
    );
    let (least, most) = (counts.into_iter().min(), counts.into_iter().max());
    figure
        .value(
            "least",
            "above 300",
            f64::from(least.unwrap_or_default()),
            301.0..=399.0,
        )
        .value(
            "most",
            "below 400",
            f64::from(most.unwrap_or_default()),
            301.0..=399.0,
        )
}

pub(super) fn go_redis() -> Figure {
    let nodes = ["node-0", "node-1", "node-2"].map(NodeSpec::new);
    let mut counts = [0_u32; 3];
    if let Ok(placement) = Placement::new(Algorithm::GoRedisRing, nodes.to_vec()) {
        for number in 0..100 {
            counts[placement.node(format!("key-{number}").as_bytes()).index()] += 1;
        }
    }
    let least = counts.into_iter().min().unwrap_or_default();
    Figure::new(
        "go-redis, 3 nodes, 100 keys",
        "go-redis, rendezvous_test.go",
    )
    .value("least", "above 25", f64::from(least), 26.0..=33.0)
}

/// By the simulator, which plans the move: 64 nodes over 5 servers are 13, 13, 13, 13 and 12; a sixth has its share with 10. A node's part of the keys
/// has a deviation of 7.9 %, ten of them together one of 2.5 %: four of these are 0.016 of all keys. A violation would be a key that changes server
/// other than with its node.
pub(super) fn presharding() -> Figure {
    let figure = Figure::new("64 nodes, 5 servers and 1", "arithmetic");
    let Some(report) = simulated("ketama@64") else {
        return figure;
    };
    let stages = &report.schemes[0].stages;
    let nodes = |stage: usize| -> Vec<f64> {
        let servers = stages[stage].servers.iter();
        servers
            .filter_map(|server| Some(f64::from(server.nodes?)))
            .collect()
    };
    let Some(movement) = &stages[1].movement else {
        return figure;
    };
    figure
        .value(
            "nodes of a server over the mean, most",
            "1.0156",
            largest(&nodes(0)) / (64.0 / 5.0),
            around(1.0156, 5e-5),
        )
        .value(
            "nodes moved",
            "10",
            movement.nodes_moved.map_or(f64::NAN, f64::from),
            10.0..=10.0,
        )
        .value(
            "most nodes of a server then",
            "11",
            largest(&nodes(1)),
            11.0..=11.0,
        )
        .value(
            "keys moved",
            "15.6 %",
            movement.moved.mean,
            around(0.156, 0.016),
        )
        .value(
            "of them hashed anew",
            "0",
            movement.violations as f64,
            0.0..=0.0,
        )
}

/// Five servers and then six.
fn simulated(scheme: &str) -> Option<Report> {
    let scenario = Scenario::builder()
        .keys(Keys::made(KEYS.into()))
        .servers_made(5)
        .step(Step::Add(vec![Server::new("sixth")]))
        .scheme(scheme.parse().ok()?)
        .repeats(1);
    run(&scenario.build().ok()?, &mut uninterrupted).ok()
}
