//! Whether there is an order at all: all subsets of moved nodes are looked at.

use super::replay::replay;
use super::*;
use proptest::prelude::*;

/// By single nodes, one after the other: whatever goes in waves goes like that, too.
fn is_possible(old: &[usize], new: &[usize], bytes: &[u64], limits: &[u64]) -> bool {
    let moving: Vec<usize> = (0..old.len())
        .filter(|&node| old[node] != new[node])
        .collect();
    let mut reached = vec![false; 1 << moving.len()];
    reached[0] = true;
    for done in 0..reached.len() {
        if !reached[done] {
            continue;
        }
        let mut held = vec![0; limits.len()];
        for node in 0..old.len() {
            let at = moving.iter().position(|&one| one == node);
            let is_done = at.is_some_and(|at| done >> at & 1 == 1);
            held[if is_done { new[node] } else { old[node] }] += bytes[node];
        }
        for (at, &node) in moving.iter().enumerate() {
            if done >> at & 1 == 0 && held[new[node]] + bytes[node] <= limits[new[node]] {
                reached[done | 1 << at] = true;
            }
        }
    }
    reached[reached.len() - 1]
}

fn topology_of(assignment: &[usize], servers: usize) -> Topology {
    let owners = (0..servers)
        .map(|server| {
            let nodes = (0..assignment.len()).filter(|&node| assignment[node] == server);
            (
                Arc::from(format!("s{server}")),
                nodes.map(|node| NodeId(node as u16)).collect(),
            )
        })
        .collect();
    Topology::new(Epoch(0), assignment.len(), owners).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(keyway_testing::swept(600, 3_000)))]

    #[test]
    fn an_order_is_found_if_and_only_if_there_is_one(
        old in proptest::collection::vec(0_usize..4, 8),
        new in proptest::collection::vec(0_usize..4, 8),
        bytes in proptest::collection::vec(1_u64..=9, 8),
        room in proptest::collection::vec(0_u64..=6, 4),
    ) {
        let held = |assignment: &[usize], server: usize| -> u64 {
            (0..8).filter(|&node| assignment[node] == server).map(|node| bytes[node]).sum()
        };
        // Just enough for both topologies, and a little.
        let limits: Vec<u64> = (0..4)
            .map(|server| held(&old, server).max(held(&new, server)) + room[server])
            .collect();
        let names: Vec<String> = (0..4).map(|server| format!("s{server}")).collect();
        let servers: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(limits.iter().copied()).collect();
        let (servers, sizes) = (limited(&servers), sizes(&bytes));
        let (from, to) = (topology_of(&old, 4), topology_of(&new, 4));
        match Plan::between(&from, &to, &servers, &sizes, &Limits::default()) {
            Ok(plan) => {
                replay(&from, &plan, &servers, &sizes, 1);
                prop_assert!(is_possible(&old, &new, &bytes, &limits));
            }
            Err(PlanError::Stuck { is_certain, .. }) => {
                prop_assert!(is_certain);
                prop_assert!(!is_possible(&old, &new, &bytes, &limits));
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }
}
