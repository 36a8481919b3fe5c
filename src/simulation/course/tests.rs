use super::*;
use crate::plan::{Goal, Limits, Plan};
use crate::topology::Epoch;
use proptest::prelude::*;

const GIB: u64 = 1 << 30;

/// Servers by the number of their nodes, named `a`, `b` and so on; nodes are numbered through.
fn topology(nodes: &[u16]) -> Topology {
    let mut next = 0;
    let servers = nodes.iter().enumerate().map(|(server, &count)| {
        let own = (next..next + count).map(NodeId).collect();
        next += count;
        (name(server), own)
    });
    let servers = servers.collect();
    Topology::new(Epoch(0), usize::from(next), servers).unwrap()
}

fn name(server: usize) -> Arc<str> {
    char::from(b'a' + u8::try_from(server).unwrap())
        .to_string()
        .into()
}

fn specs(count: usize) -> Vec<ServerSpec> {
    (0..count)
        .map(|server| ServerSpec::new(name(server)))
        .collect()
}

fn one(
    nodes: impl IntoIterator<Item = u16>,
    from: &str,
    to: &str,
    kind: MoveKind,
    wave: usize,
) -> Move {
    let nodes: Vec<NodeId> = nodes.into_iter().map(NodeId).collect();
    Move {
        nodes,
        from: from.into(),
        to: to.into(),
        kind,
        keys: 0,
        bytes: 0,
        source: NodeSize::default(),
        wave,
        why: String::new(),
    }
}

fn run(
    old: &Topology,
    sizes: &Sizes,
    requests_per_s: f64,
    moves: &[Move],
) -> Result<CourseReport, CourseError> {
    let servers = specs(8);
    let setting = Setting {
        scheme: "nodes",
        step: "step",
        old,
        servers: &servers,
        sizes,
        pace: &Pace::default(),
        traffic: Traffic {
            requests_per_s,
            shares: &[],
        },
    };
    course(&setting, moves)
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{found}, expected {expected}"
    );
}

#[test]
fn a_move_alone_takes_what_the_pace_says() {
    let old = topology(&[4, 1]);
    let sizes = Sizes::even(5, 5_000_000, 5 * GIB);
    let (source, moved) = (
        NodeSize {
            keys: 4_000_000,
            bytes: 4 * GIB,
        },
        NodeSize {
            keys: 1_000_000,
            bytes: GIB,
        },
    );
    for kind in [MoveKind::Split, MoveKind::Migrate] {
        let report = run(
            &old,
            &sizes,
            0.0,
            &[one(
                [3],
                "a",
                if kind == MoveKind::Split { "c" } else { "b" },
                kind,
                7,
            )],
        )
        .unwrap();
        let time = Pace::default().time(kind, source, moved);
        near(report.moves[0].copy_s, time.copy.as_secs_f64());
        near(report.moves[0].freeze_ms, time.freeze.as_secs_f64() * 1e3);
        near(report.moves[0].purge_s, time.purge.as_secs_f64());
        near(report.total_s, time.total().as_secs_f64());
        near(report.freeze_ms, report.moves[0].freeze_ms);
    }
}

#[test]
fn a_split_holds_all_of_its_source_until_it_is_purged_and_requests_follow_the_nodes() {
    let old = topology(&[4]);
    let sizes = Sizes::even(4, 4_000_000, 4 * GIB);
    let report = run(
        &old,
        &sizes,
        50_000.0,
        &[one([2, 3], "a", "b", MoveKind::Split, 0)],
    )
    .unwrap();
    let of = |server: usize| {
        let points = report.servers[server].points.iter();
        points
            .map(|p| (p.at_s, p.requests, p.moves, p.memory_bytes / GIB))
            .collect::<Vec<_>>()
    };
    let load = Pace::default().load;
    // 4096 MiB at 100 MiB/s, 4,000,000 / 364,000 s of SCAN and 2,000,000 / 124,600 s of removing.
    let (copied, purge_s) = (
        5.5 + 40.96,
        4_000_000.0 / 364_000.0 + 2_000_000.0 / 124_600.0,
    );
    let served = copied + report.moves[0].freeze_ms / 1e3;
    let expected_a = [
        (0.0, 0.5, 0.0, 4),
        (5.5, 0.5, load.copy_source, 4),
        (copied, 0.25, 0.0, 4),
        (served, 0.25, load.purge, 4),
        (served + purge_s, 0.25, 0.0, 2),
    ];
    let expected_b = [
        (0.0, 0.0, 0.0, 0),
        (5.5, 0.0, load.copy_destination, 4),
        (copied, 0.0, 0.0, 4),
        (served, 0.25, load.purge, 4),
        (served + purge_s, 0.25, 0.0, 2),
    ];
    for (found, expected) in [(of(0), expected_a), (of(1), expected_b)] {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            near(found.0, expected.0);
            assert_eq!(
                (found.1, found.2, found.3),
                (expected.1, expected.2, expected.3)
            );
        }
    }
    assert_eq!(report.servers[0].memory_bytes_peak, 4 * GIB);
    assert_eq!(report.servers[1].memory_bytes_peak, 4 * GIB);
    assert_eq!(
        report.servers[2].points.len(),
        1,
        "a server that nothing touches"
    );
}

#[test]
fn moves_of_one_wave_share_the_servers_that_they_have_in_common_and_waves_follow_each_other() {
    // a and b each hold 2 GiB; c gets one node of each, at once: each at half the pace. In the next wave a's other node goes alone.
    let old = topology(&[2, 2, 1]);
    let sizes = Sizes::even(5, 0, 5 * GIB);
    let moves = [
        one([0], "a", "c", MoveKind::Migrate, 0),
        one([2], "b", "c", MoveKind::Migrate, 0),
        one([1], "a", "b", MoveKind::Migrate, 1),
    ];
    let report = run(&old, &sizes, 0.0, &moves).unwrap();
    // 1024 MiB at 100 MiB/s: 10.24 s alone, 20.48 s beside another.
    near(report.moves[0].copy_s, 20.48);
    near(report.moves[1].copy_s, 20.48);
    near(report.moves[2].copy_s, 10.24);
    let freeze_s = report.moves[0].freeze_ms / 1e3;
    near(report.moves[2].start_s, 20.48 + freeze_s);
    near(report.total_s, 20.48 + 10.24 + 2.0 * freeze_s);
    near(report.freeze_ms, 3.0 * report.moves[0].freeze_ms);
    // The destination of both works as much as with one.
    let most = report.servers[2]
        .points
        .iter()
        .map(|point| point.moves)
        .fold(0.0, f64::max);
    near(most, Pace::default().load.install_destination);

    // Unequal: 1 GiB and 2 GiB. 10.24 s and 20.48 s of work; the small one is done after 20.48 s, the other after 30.72 s.
    let moves = [
        one([4], "c", "d", MoveKind::Migrate, 0),
        one([0, 1], "a", "d", MoveKind::Migrate, 0),
    ];
    let report = run(&old, &sizes, 0.0, &moves).unwrap();
    near(report.moves[0].copy_s, 20.48);
    near(report.moves[1].copy_s, 30.72);
}

#[test]
fn a_plan_that_does_not_fit_is_refused() {
    let old = topology(&[2, 1]);
    let sizes = Sizes::even(3, 0, 0);
    let refused = |moves: &[Move]| run(&old, &sizes, 0.0, moves).unwrap_err().to_string();
    assert_eq!(
        refused(&[one([2], "a", "b", MoveKind::Migrate, 0)]),
        "a move takes node 2 from a, which does not have it at that time; expected a plan for this topology"
    );
    assert!(
        refused(&[one([0], "z", "a", MoveKind::Split, 0)])
            .starts_with("a move takes node 0 from z")
    );
    let twice = one([0], "a", "c", MoveKind::Split, 0);
    assert_eq!(
        refused(&[twice.clone(), twice.clone()]),
        "node 0 is moved from a twice at a time, or to where it is; expected each node in one move, to another server"
    );
    assert!(
        refused(&[twice, one([0], "a", "b", MoveKind::Split, 1)])
            .starts_with("a move takes node 0 from a")
    );
    assert!(
        refused(&[one([0], "a", "a", MoveKind::Migrate, 0)])
            .starts_with("node 0 is moved from a twice")
    );
    assert!(
        refused(&[one([9], "a", "b", MoveKind::Migrate, 0)]).starts_with("a move takes node 9")
    );
    let few = run(&old, &Sizes::even(2, 0, 0), 0.0, &[]).unwrap_err();
    assert_eq!(
        few.to_string(),
        "2 sizes for 3 nodes; expected one for each"
    );
    assert_eq!(
        run(&old, &sizes, -1.0, &[]).unwrap_err().to_string(),
        "-1 requests; expected a number of at least 0"
    );
}

/// Nodes of servers, where each node goes to, its size, the wave of its move.
type Case = (Vec<u16>, Vec<(usize, u64, u64, usize)>);

fn cases() -> impl Strategy<Value = Case> {
    proptest::collection::vec(0_u16..6, 1..6)
        .prop_filter("a topology has a node", |nodes| {
            nodes.iter().sum::<u16>() > 0
        })
        .prop_flat_map(|nodes| {
            let count = usize::from(nodes.iter().sum::<u16>());
            let node = (0_usize..8, 0_u64..3_000_000, 0_u64..2 * GIB, 0_usize..4);
            (Just(nodes), proptest::collection::vec(node, count))
        })
}

proptest! {
    #[test]
    fn whatever_the_plan_nothing_is_lost_and_times_add_up((nodes, aims) in cases(), requests_per_s in 0.0_f64..300_000.0) {
        let old = topology(&nodes);
        let mut sizes = Sizes::even(aims.len(), 0, 0);
        let mut groups: BTreeMap<(usize, usize, usize), Vec<u16>> = BTreeMap::new();
        for (node, &(to, keys, bytes, wave)) in aims.iter().enumerate() {
            sizes.nodes[node] = NodeSize { keys, bytes };
            let node = NodeId(u16::try_from(node).unwrap());
            let from = old.server_of(node).index();
            if from != to {
                groups.entry((wave, from, to)).or_default().push(node.0);
            }
        }
        let moves: Vec<Move> = groups.into_iter().map(|((wave, from, to), nodes)| {
            let kind = if to >= old.server_count() { MoveKind::Split } else { MoveKind::Migrate };
            one(nodes, &name(from), &name(to), kind, wave)
        }).collect();
        let report = run(&old, &sizes, requests_per_s, &moves).unwrap();

        // Bytes: at the end every server holds its nodes and nothing else; never less than all there is.
        let mut held = [0; 8];
        for (node, (&(to, ..), size)) in aims.iter().zip(&sizes.nodes).enumerate() {
            let _ = node;
            held[to] += size.bytes;
        }
        let total = sizes.total().bytes;
        for (server, held) in report.servers.iter().zip(held) {
            prop_assert_eq!(server.points.last().unwrap().memory_bytes, held);
            let peak = server.points.iter().map(|point| point.memory_bytes).max().unwrap();
            prop_assert!(peak <= server.memory_bytes_peak);
            prop_assert!(server.points.windows(2).all(|pair| pair[0].at_s < pair[1].at_s));
            prop_assert!(server.points.iter().all(|point| point.requests >= 0.0 && point.moves >= 0.0 && point.at_s >= 0.0));
        }
        let instants: BTreeSet<u64> = report.servers.iter().flat_map(|server| &server.points).map(|point| point.at_s.to_bits()).collect();
        let load = requests_per_s / 100_000.0;
        for at in instants {
            let now = report.servers.iter().map(|server| server.points.iter().rfind(|point| point.at_s <= f64::from_bits(at)).unwrap());
            let (memory, requests) = now.fold((0, 0.0), |(m, r), point| (m + point.memory_bytes, r + point.requests));
            prop_assert!(memory >= total);
            prop_assert!(requests <= load * (1.0 + 1e-9));
        }
        let last: f64 = report.servers.iter().map(|server| server.points.last().unwrap().requests).sum();
        if sizes.total().keys > 0 {
            prop_assert!((last - load).abs() <= 1e-9 * load.max(1.0), "{} of {}", last, load);
        }

        // Times.
        let mut end_of_wave = 0.0;
        let mut ends: f64 = 0.0;
        let mut wave = None;
        for one in &report.moves {
            if wave != Some(one.wave) {
                wave = Some(one.wave);
                end_of_wave = ends;
            }
            prop_assert!((one.start_s - end_of_wave).abs() < 1e-6);
            ends = ends.max(one.start_s + one.copy_s + one.freeze_ms / 1e3 + one.purge_s);
        }
        prop_assert!((report.total_s - ends).abs() < 1e-6);
        let freezes: f64 = report.moves.iter().map(|one| one.freeze_ms).sum();
        prop_assert!((report.freeze_ms - freezes).abs() < 1e-9);

        // No move is faster than alone, nor slower than if all moves of the plan shared both of its servers.
        let mut owner: Vec<usize> = old_owner(&old);
        let mut before = moves.clone();
        before.sort_by_key(|one| one.wave);
        for (wave_moves, found) in before.chunk_by(|a, b| a.wave == b.wave).zip(report.moves.chunk_by(|a, b| a.wave == b.wave)) {
            let count = wave_moves.len() as f64;
            for (one, found) in wave_moves.iter().zip(found) {
                let from = usize::from(one.from.as_bytes()[0] - b'a');
                let source = sum(owner.iter().zip(&sizes.nodes).filter(|(o, _)| **o == from).map(|(_, size)| *size));
                let moved = sum(one.nodes.iter().map(|node| sizes.nodes[node.index()]));
                let alone = Pace::default().time(one.kind, source, moved);
                for (found, alone) in [(found.copy_s, alone.copy), (found.purge_s, alone.purge)] {
                    let alone = alone.as_secs_f64();
                    prop_assert!(found >= alone - 1e-6 && found <= alone * count + 1e-6, "{} s, alone {} s", found, alone);
                }
                prop_assert!((found.freeze_ms - alone.freeze.as_secs_f64() * 1e3).abs() < 1e-5);
            }
            for one in wave_moves {
                for node in &one.nodes {
                    owner[node.index()] = usize::from(one.to.as_bytes()[0] - b'a');
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_server_ever_holds_more_than_the_plan_says_nor_more_than_its_limit(
        nodes in proptest::collection::vec(0_u16..12, 1..5),
        sizes in proptest::collection::vec((0_u64..1_000_000, 0_u64..GIB), 64),
        servers in proptest::collection::vec((0_u32..3, proptest::option::of(1.0_f64..3.0)), 2..7),
        moves_per_server_max in 1_usize..4,
    ) {
        prop_assume!(nodes.iter().sum::<u16>() > 0);
        let old = topology(&nodes);
        let count = old.node_count();
        let mut known = Sizes::even(count, 0, 0);
        known.nodes = sizes.into_iter().take(count).map(|(keys, bytes)| NodeSize { keys, bytes }).collect();
        let fair = known.total().bytes / servers.len() as u64;
        let servers: Vec<ServerSpec> = servers.into_iter().enumerate().map(|(server, (weight, room))| ServerSpec {
            weight,
            memory_bytes_max: room.map(|room| (fair as f64 * room) as u64),
            ..ServerSpec::new(name(server))
        }).collect();
        let limits = Limits { moves_per_server_max, ..Limits::default() };
        let Ok(plan) = Plan::for_goal(&old, &Goal::Even, &servers, &known, &limits) else {
            return Ok(());
        };
        let (pace, traffic) = (Pace::default(), Traffic::none());
        let setting = Setting { scheme: "", step: "", old: &old, servers: &servers, sizes: &known, pace: &pace, traffic };
        let report = course(&setting, plan.moves()).unwrap();
        for change in plan.servers() {
            let server = report.servers.iter().find(|server| *server.server == *change.name).unwrap();
            prop_assert!(server.memory_bytes_peak <= change.peak_bytes, "{:?}", change);
            prop_assert!(server.memory_bytes_max.is_none_or(|max| server.memory_bytes_peak <= max.max(change.before.bytes)));
            prop_assert_eq!(server.points.last().unwrap().memory_bytes, change.after.bytes);
        }
        let moved: u64 = report.moves.iter().map(|one| one.bytes).sum();
        prop_assert_eq!(moved, plan.size_moved().bytes);
    }
}

fn old_owner(old: &Topology) -> Vec<usize> {
    (0..old.node_count())
        .map(|node| old.server_of(NodeId(u16::try_from(node).unwrap())).index())
        .collect()
}
