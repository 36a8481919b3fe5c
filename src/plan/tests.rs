//! Plans held against what they promise.

mod optimum;
mod order;
mod promises;
mod replay;

use super::*;
use crate::topology::Epoch;

/// Servers with so many nodes each, in order.
fn topology(servers: &[(&str, usize)]) -> Topology {
    let mut next = 0_u16;
    let servers: Vec<(Arc<str>, Vec<NodeId>)> = servers
        .iter()
        .map(|(name, count)| {
            let nodes = (next..).map(NodeId).take(*count).collect();
            next += *count as u16;
            (Arc::from(*name), nodes)
        })
        .collect();
    Topology::new(Epoch(7), usize::from(next), servers).unwrap()
}

fn specs(names: &[&str]) -> Vec<ServerSpec> {
    names.iter().map(|name| ServerSpec::new(*name)).collect()
}

#[test]
fn a_sixth_server_takes_ten_of_64_nodes() {
    let old = topology(&[("a", 13), ("b", 13), ("c", 13), ("d", 13), ("e", 12)]);
    let sizes = Sizes::even(64, 640_000, 64 << 20);
    let servers = specs(&["a", "b", "c", "d", "e", "f"]);
    for goal in [Goal::Even, Goal::Add(vec!["f".into()]), Goal::Servers(6)] {
        let plan = Plan::for_goal(&old, &goal, &servers, &sizes, &Limits::default()).unwrap();
        assert_eq!(plan.nodes_moved(), 10, "{goal}");
        assert!(plan.moves().iter().all(|one| &*one.to == "f"));
    }
    let plan = Plan::for_goal(&old, &Goal::Even, &servers, &sizes, &Limits::default()).unwrap();
    insta::assert_snapshot!(plan, @r"
    even out: 10 of 64 nodes move (10.0 MiB), 5 moves in 5 waves
    wave 1: a -> f by split: nodes 11-12 (2.0 MiB). a has 13 of 64 nodes; its share of 6 equal servers is 10 or 11: 2 nodes (3.1 %) go to f, which is new
    wave 2: b -> f by migrate: nodes 24-25 (2.0 MiB). b has 13 of 64 nodes; its share of 6 equal servers is 10 or 11: 2 nodes (3.1 %) go to f, which is new
    wave 3: c -> f by migrate: nodes 37-38 (2.0 MiB). c has 13 of 64 nodes; its share of 6 equal servers is 10 or 11: 2 nodes (3.1 %) go to f, which is new
    wave 4: d -> f by migrate: nodes 50-51 (2.0 MiB). d has 13 of 64 nodes; its share of 6 equal servers is 10 or 11: 2 nodes (3.1 %) go to f, which is new
    wave 5: e -> f by migrate: nodes 62-63 (2.0 MiB). e has 12 of 64 nodes; its share of 6 equal servers is 10 or 11: 2 nodes (3.1 %) go to f, which is new
    ");
}

/// Sizes in bytes, a key a byte.
fn sizes(bytes: &[u64]) -> Sizes {
    let mut sizes = Sizes::even(bytes.len(), 0, 0);
    for (size, bytes) in sizes.nodes.iter_mut().zip(bytes) {
        *size = NodeSize {
            keys: *bytes,
            bytes: *bytes,
        };
    }
    sizes
}

fn limited(servers: &[(&str, u64)]) -> Vec<ServerSpec> {
    servers
        .iter()
        .map(|(name, limit)| ServerSpec {
            memory_bytes_max: Some(*limit),
            ..ServerSpec::new(*name)
        })
        .collect()
}

/// A topology as `a: 0 1, b: 2`.
fn written(text: &str) -> Topology {
    let mut count = 0;
    let servers = text
        .split(", ")
        .map(|part| {
            let (name, nodes) = part.split_once(':').unwrap();
            let nodes: Vec<NodeId> = nodes
                .split_whitespace()
                .map(|node| NodeId(node.parse().unwrap()))
                .collect();
            count += nodes.len();
            (Arc::from(name), nodes)
        })
        .collect();
    Topology::new(Epoch(0), count, servers).unwrap()
}

#[test]
fn a_split_needs_room_for_all_of_its_source() {
    let old = topology(&[("a", 4)]);
    let sizes = sizes(&[10, 10, 10, 10]);
    for (limit, kind) in [(40, MoveKind::Split), (39, MoveKind::Migrate)] {
        let servers = limited(&[("a", 100), ("b", limit)]);
        let plan = Plan::for_goal(&old, &Goal::Even, &servers, &sizes, &Limits::default()).unwrap();
        assert_eq!(plan.moves()[0].kind, kind);
        replay::replay(&old, &plan, &servers, &sizes, 1);
    }
}

#[test]
fn a_split_leaves_its_servers_alone_while_others_may_have_two_moves() {
    let old = topology(&[("a", 6), ("b", 6), ("c", 3)]);
    let limits = Limits {
        moves_per_server_max: 2,
        ..Limits::default()
    };
    let servers = specs(&["a", "b", "c", "d"]);
    let plan = Plan::for_goal(&old, &Goal::Even, &servers, &sizes(&[1; 15]), &limits).unwrap();
    replay::replay(&old, &plan, &servers, &sizes(&[1; 15]), 2);
    assert_eq!(plan.moves()[0].kind, MoveKind::Split);
    replay::is_full(&plan, 2);
}

#[test]
fn where_full_waves_run_into_a_dead_end_another_order_is_found() {
    // a has most moves before it, so its 10 bytes go to b first: then neither gets c's 6 bytes to b nor b's 8 bytes to c.
    let old = written("a: 0 3 4, b: 1, c: 2, d:, e:");
    let new = written("a:, b: 0 2, c: 1, d: 3, e: 4");
    let sizes = sizes(&[10, 8, 6, 1, 1]);
    let servers = limited(&[("a", 12), ("b", 18), ("c", 8), ("d", 5), ("e", 5)]);
    let plan = Plan::between(&old, &new, &servers, &sizes, &Limits::default()).unwrap();
    replay::replay(&old, &plan, &servers, &sizes, 1);
    let wave = |node: u16| {
        let moves = plan.moves();
        moves
            .iter()
            .find(|one| one.nodes.contains(&NodeId(node)))
            .unwrap()
            .wave
    };
    assert!(wave(2) < wave(1) && wave(1) < wave(0), "{plan}");
}

#[test]
fn moves_that_wait_for_each_other_are_refused_with_what_is_missing() {
    let old = written("a: 0, b: 1");
    let new = written("a: 1, b: 0");
    let servers = limited(&[("a", 12 << 20), ("b", 12 << 20)]);
    let sizes = sizes(&[10 << 20, 10 << 20]);
    let error = Plan::between(&old, &new, &servers, &sizes, &Limits::default()).unwrap_err();
    insta::assert_snapshot!(error, @r"
    no order keeps every server within its limit at any moment; stuck are:
      1 node of a to b, which holds 10.0 MiB of 12.0 MiB: short of 8.0 MiB for the smallest
      1 node of b to a, which holds 10.0 MiB of 12.0 MiB: short of 8.0 MiB for the smallest
    raise the limit of b by at least 8.0 MiB for the time of the moves, or let a spare server take part
    ");
    // As the message says: with that much more it goes.
    let servers = limited(&[("a", 12 << 20), ("b", 20 << 20)]);
    let plan = Plan::between(&old, &new, &servers, &sizes, &Limits::default()).unwrap();
    replay::replay(&old, &plan, &servers, &sizes, 1);
}

#[test]
fn an_added_server_may_be_in_the_old_topology_without_a_node_and_need_not_be_listed() {
    let old = topology(&[("a", 6), ("b", 6), ("c", 0)]);
    let servers = specs(&["a", "b"]);
    for name in ["c", "d"] {
        let goal = Goal::Add(vec![name.into()]);
        let plan =
            Plan::for_goal(&old, &goal, &servers, &sizes(&[1; 12]), &Limits::default()).unwrap();
        assert_eq!(plan.nodes_moved(), 4, "{plan}");
        assert!(plan.moves().iter().all(|one| &*one.to == name));
    }
}

#[test]
fn a_server_that_is_over_its_limit_only_gives() {
    let old = topology(&[("a", 8), ("b", 1)]);
    let servers = limited(&[("a", 5), ("b", 10)]);
    let sizes = sizes(&[1; 9]);
    let plan = Plan::for_goal(&old, &Goal::Even, &servers, &sizes, &Limits::default()).unwrap();
    replay::replay(&old, &plan, &servers, &sizes, 1);
    assert_eq!(plan.servers()[0].after.nodes, 5);
    assert_eq!(plan.servers()[0].peak_bytes, 8);
}

#[test]
fn reasons_are_said_for_every_goal() {
    let old = topology(&[("a", 13), ("b", 13), ("c", 6)]);
    let sizes = Sizes::even(32, 32_000, 32 << 20);
    let mut servers = specs(&["a", "b", "c"]);
    let reasons = |goal: &Goal, servers: &[ServerSpec], limits: Limits| -> String {
        let plan = Plan::for_goal(&old, goal, servers, &sizes, &limits).unwrap();
        let reasons: Vec<&str> = plan.moves().iter().map(|one| one.why.as_str()).collect();
        reasons.join("\n")
    };
    insta::assert_snapshot!(reasons(&Goal::Even, &servers, Limits::default()), @r"
    a has 13 of 32 nodes; its share of 3 equal servers is 10 or 11: 2 nodes (6.3 %) go to c, which has 6
    b has 13 of 32 nodes; its share of 3 equal servers is 10 or 11: 2 nodes (6.3 %) go to c, which has 6
    ");
    insta::assert_snapshot!(reasons(&Goal::Drain(vec!["c".into()]), &servers, Limits::default()), @r"
    c has 6 of 32 nodes and is to be emptied: 3 nodes (9.4 %) go to a, which has 13
    c has 6 of 32 nodes and is to be emptied: 3 nodes (9.4 %) go to b, which has 13
    ");
    insta::assert_snapshot!(reasons(&Goal::Servers(4), &servers, Limits::default()), @r"
    a has 13 of 32 nodes; its share of 4 equal servers is 8: 4 nodes (12.5 %) go to new-1, which is new
    b has 13 of 32 nodes; its share of 4 equal servers is 8: 4 nodes (12.5 %) go to new-1, which is new
    ");
    let by_bytes = Limits {
        balance: Balance::Bytes { tolerance: 0.05 },
        ..Limits::default()
    };
    insta::assert_snapshot!(reasons(&Goal::Even, &servers, by_bytes), @r"
    a holds 13.0 MiB; its share of 3 equal servers is 10.7 MiB: 2 nodes (6.3 %) go to c, which holds 6.0 MiB
    b holds 13.0 MiB; its share of 3 equal servers is 10.7 MiB: 2 nodes (6.3 %) go to c, which holds 6.0 MiB
    ");
    servers[2].weight = 2;
    insta::assert_snapshot!(reasons(&Goal::Even, &servers, Limits::default()), @r"
    a has 13 of 32 nodes; its share by weight 1 of 4 is 8: 5 nodes (15.6 %) go to c, which has 6
    b has 13 of 32 nodes; its share by weight 1 of 4 is 8: 5 nodes (15.6 %) go to c, which has 6
    ");
    servers[2].weight = 0;
    insta::assert_snapshot!(reasons(&Goal::Even, &servers, Limits::default()), @r"
    c has 6 of 32 nodes and is to be emptied: 3 nodes (9.4 %) go to a, which has 13
    c has 6 of 32 nodes and is to be emptied: 3 nodes (9.4 %) go to b, which has 13
    ");
    servers[2].weight = 1;
    servers[0].memory_bytes_max = Some(9 << 20);
    insta::assert_snapshot!(reasons(&Goal::Even, &servers, Limits::default()), @r"
    a holds 13.0 MiB, more than its limit of 9.0 MiB: 4 nodes (12.5 %) go to c, which has 6
    b has 13 of 32 nodes; its share of 3 equal servers is 10 or 11: 1 node (3.1 %) goes to c, which has 6
    ");
    let new = topology(&[("a", 14), ("b", 12), ("c", 6)]);
    let servers = specs(&["a", "b", "c"]);
    let plan = Plan::between(&old, &new, &servers, &sizes, &Limits::default()).unwrap();
    insta::assert_snapshot!(plan.moves()[0].why, @"b has 13 of 32 nodes, and the new topology gives some to others: 1 node (3.1 %) goes to a, which has 13");
}

#[test]
fn an_exchange_for_memory_is_said_to_be_one() {
    let old = topology(&[("a", 2), ("b", 2)]);
    let servers = limited(&[("a", 6), ("b", 8)]);
    let sizes = sizes(&[4, 4, 1, 1]);
    let plan = Plan::for_goal(&old, &Goal::Even, &servers, &sizes, &Limits::default()).unwrap();
    replay::replay(&old, &plan, &servers, &sizes, 1);
    let reasons: Vec<&str> = plan.moves().iter().map(|one| one.why.as_str()).collect();
    insta::assert_snapshot!(reasons.join("\n"), @r"
    a holds 8 B, more than its limit of 6 B: 1 node (25.0 %) goes to b, which has 2
    b has 2 of 4 nodes, which is not too many, but memory limits call for an exchange: 1 node (25.0 %) goes to a, which has 2
    ");
}

#[test]
fn what_cannot_be_is_refused_with_what_to_do() {
    let old = topology(&[("a", 3), ("b", 3)]);
    let ten = sizes(&[10 << 20; 6]);
    let servers = specs(&["a", "b"]);
    let refused = |goal: Goal, servers: &[ServerSpec], sizes: &Sizes, limits: Limits| {
        Plan::for_goal(&old, &goal, servers, sizes, &limits)
            .unwrap_err()
            .to_string()
    };
    let usual = Limits::default();
    let drain = |name: &str| Goal::Drain(vec![name.into()]);
    insta::assert_snapshot!(refused(drain("x"), &servers, &ten, usual), @"there is no server x; expected one of a, b");
    insta::assert_snapshot!(refused(Goal::Drain(vec!["a".into(), "b".into()]), &servers, &ten, usual), @"no server is left that may have nodes: all weights are 0, or all servers are drained. Give one a weight, or add one");
    insta::assert_snapshot!(refused(Goal::Add(vec!["a".into()]), &servers, &ten, usual), @"server a is there already, with 3 nodes; expected the name of a new one. Evening out gives it its share");
    insta::assert_snapshot!(refused(Goal::Servers(0), &servers, &ten, usual), @"0 servers cannot hold the nodes; expected 1 to 4096");
    insta::assert_snapshot!(refused(Goal::Servers(5_000), &servers, &ten, usual), @"5000 servers are too many; expected at most 4096");
    insta::assert_snapshot!(refused(Goal::Even, &specs(&["a", "a"]), &ten, usual), @"server a is listed twice; expected each name once");
    insta::assert_snapshot!(refused(Goal::Even, &specs(&[""]), &ten, usual), @"a server has an empty name; give every server a name");
    insta::assert_snapshot!(refused(Goal::Even, &[], &ten, usual), @"no server is left that may have nodes: all weights are 0, or all servers are drained. Give one a weight, or add one");
    insta::assert_snapshot!(refused(Goal::Even, &servers, &sizes(&[1; 5]), usual), @"sizes of 5 nodes, for a topology of 6; expected one for each node");
    insta::assert_snapshot!(refused(Goal::Even, &servers, &sizes(&[u64::MAX; 6]), usual), @"the nodes' keys or bytes add up to more than 18446744073709551615; expected sizes of nodes in bytes");
    insta::assert_snapshot!(refused(Goal::Even, &limited(&[("a", 31 << 20), ("b", 25 << 20)]), &ten, usual), @"60.0 MiB do not fit into 2 servers with limits of 56.0 MiB in all (nodes stay whole): raise limits, or add a server");
    insta::assert_snapshot!(refused(drain("a"), &limited(&[("a", 31 << 20), ("b", 45 << 20)]), &ten, usual), @"60.0 MiB do not fit into 1 server with limits of 45.0 MiB in all (nodes stay whole): raise limits, or add a server");
    let uneven = sizes(&[20 << 20, 20 << 20, 20 << 20, 1, 1, 1]);
    insta::assert_snapshot!(refused(Goal::Even, &limited(&[("a", 31 << 20), ("b", 31 << 20)]), &uneven, usual), @r"
    whole nodes do not fit into the limits that way:
      a would hold 40.0 MiB, 9.0 MiB over its limit of 31.0 MiB
    raise these limits, or add a server; evening out may move more than other goals
    ");
    let none = Limits {
        moves_per_server_max: 0,
        ..usual
    };
    insta::assert_snapshot!(refused(Goal::Even, &servers, &ten, none), @"0 moves at once per server; expected at least 1");
    let tolerance = Limits {
        balance: Balance::Bytes {
            tolerance: f64::NAN,
        },
        ..usual
    };
    insta::assert_snapshot!(refused(Goal::Even, &servers, &ten, tolerance), @"a tolerance of NaN; expected 0 to 1, such as 0.05 for five percent");
    let by_bytes = Limits {
        balance: Balance::Bytes { tolerance: 0.05 },
        ..usual
    };
    insta::assert_snapshot!(refused(Goal::Even, &servers, &sizes(&[0; 6]), by_bytes), @"to make servers even by bytes, the nodes' bytes must be known, and they are 0. Give sizes, or make nodes even");
    let weightless = [
        ServerSpec {
            weight: 0,
            ..ServerSpec::new("c")
        },
        ServerSpec::new("a"),
        ServerSpec::new("b"),
    ];
    insta::assert_snapshot!(refused(Goal::Add(vec!["c".into()]), &weightless, &ten, usual), @"server c is to be added, and has weight 0; expected a weight of 1 or more");
    let frozen = old.clone().with_states(vec![NodeState::Frozen; 6]).unwrap();
    let error = Plan::for_goal(&frozen, &Goal::Even, &servers, &ten, &usual).unwrap_err();
    insta::assert_snapshot!(error, @"node 0 is being moved, or is frozen; expected a topology at rest. End that move first");
    let error = Plan::between(&old, &topology(&[("a", 5)]), &servers, &ten, &usual).unwrap_err();
    insta::assert_snapshot!(error, @"one topology has 6 nodes, the other 5: the number of nodes is fixed for the life of the data. A plan moves whole nodes between servers");
}

#[test]
fn a_plan_is_applied_to_its_own_topology_only() {
    let old = topology(&[("a", 6), ("b", 0)]);
    let sizes = sizes(&[1; 6]);
    let plan = Plan::for_goal(
        &old,
        &Goal::Even,
        &specs(&["a", "b"]),
        &sizes,
        &Limits::default(),
    )
    .unwrap();
    let new = plan.apply(&old).unwrap();
    let error = plan.apply(&new).unwrap_err();
    insta::assert_snapshot!(error, @"the plan takes node 3 from a, and it is on b: make the plan anew");
    assert!(matches!(
        plan.apply(&topology(&[("a", 7)])),
        Err(PlanError::NodeCounts { old: 7, new: 6 })
    ));
    // A plan that somebody has edited.
    let mut edited = serde_json::to_value(&plan).unwrap();
    edited["moves"][0]["nodes"] = serde_json::json!([60_000]);
    let edited: Plan = serde_json::from_value(edited).unwrap();
    assert!(edited.apply(&old).is_err());
}
