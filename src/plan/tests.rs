//! Plans held against what they promise.

mod optimum;
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
