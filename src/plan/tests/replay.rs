//! A plan carried out on paper, by nothing but the old topology, the sizes and the limits.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

/// Panics at the first promise that the plan breaks; returns the peak of every server.
pub(super) fn replay(
    old: &Topology,
    plan: &Plan,
    servers: &[ServerSpec],
    sizes: &Sizes,
    moves_per_server_max: usize,
) -> BTreeMap<Arc<str>, u64> {
    let limit = |server: &str| {
        let spec = servers.iter().find(|spec| &*spec.name == server);
        spec.and_then(|spec| spec.memory_bytes_max)
            .unwrap_or(u64::MAX)
    };
    let mut owned: BTreeMap<Arc<str>, BTreeSet<NodeId>> = old
        .servers()
        .map(|server| {
            let name = old.server_name(server).clone();
            (name, old.nodes_of(server).collect())
        })
        .collect();
    let held = |nodes: &BTreeSet<NodeId>| -> u64 {
        nodes
            .iter()
            .map(|node| sizes.nodes[node.index()].bytes)
            .sum()
    };
    let mut peaks: BTreeMap<Arc<str>, u64> = owned
        .iter()
        .map(|(name, nodes)| (name.clone(), held(nodes)))
        .collect();
    let mut moved = BTreeSet::new();
    for (number, wave) in plan.waves().enumerate() {
        let mut touches: BTreeMap<&str, usize> = BTreeMap::new();
        for one in wave {
            assert_eq!(one.wave, number, "waves are numbered from 0");
            assert_ne!(one.from, one.to);
            *touches.entry(&one.from).or_default() += 1;
            *touches.entry(&one.to).or_default() += 1;
        }
        assert!(
            touches.values().all(|count| *count <= moves_per_server_max),
            "{touches:?}: {plan}"
        );
        let mut coming: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for one in wave {
            assert!(!one.nodes.is_empty());
            let source = &owned[&one.from];
            assert_eq!(one.source.bytes, held(source), "{plan}");
            let bytes = held(&one.nodes.iter().copied().collect());
            assert_eq!(one.bytes, bytes, "{plan}");
            for node in &one.nodes {
                assert!(moved.insert(*node), "node {node} moves twice: {plan}");
                assert!(source.contains(node), "node {node} is not there: {plan}");
            }
            *coming.entry(one.to.clone()).or_default() += match one.kind {
                MoveKind::Migrate => bytes,
                MoveKind::Split => {
                    assert!(owned.get(&one.to).is_none_or(BTreeSet::is_empty), "{plan}");
                    assert_eq!((touches[&*one.from], touches[&*one.to]), (1, 1), "{plan}");
                    held(source)
                }
            };
        }
        for (server, bytes) in coming {
            let during = owned.get(&server).map_or(0, held) + bytes;
            assert!(during <= limit(&server), "{server} has {during}: {plan}");
            let peak = peaks.entry(server).or_default();
            *peak = (*peak).max(during);
        }
        for one in wave {
            for node in &one.nodes {
                owned.get_mut(&one.from).unwrap().remove(node);
                owned.entry(one.to.clone()).or_default().insert(*node);
            }
        }
    }
    for (server, nodes) in &owned {
        assert!(
            held(nodes) <= limit(server),
            "{server} ends over its limit: {plan}"
        );
    }
    let new = plan.apply(old).unwrap();
    assert_eq!(new.epoch(), old.epoch());
    for (server, nodes) in &owned {
        let id = new.server_by_name(server);
        let after: BTreeSet<NodeId> =
            id.map_or_else(BTreeSet::new, |id| new.nodes_of(id).collect());
        assert_eq!(after, *nodes, "{server}: {plan}");
    }
    for change in plan.servers() {
        assert_eq!(
            change.peak_bytes,
            peaks.get(&change.name).copied().unwrap_or(0)
        );
        let nodes = owned.get(&change.name).map_or(0, BTreeSet::len);
        assert_eq!(change.after.nodes, nodes);
        let before = old
            .server_by_name(&change.name)
            .map_or(0, |id| old.nodes_of(id).count());
        assert_eq!(change.before.nodes, before);
    }
    peaks
}

/// Panics if a move could have begun a wave earlier: only where nothing but the number of moves keeps it back.
pub(super) fn is_full(plan: &Plan, moves_per_server_max: usize) {
    for (number, wave) in plan.waves().enumerate() {
        let touching = |server: &str| {
            let touching = wave
                .iter()
                .filter(|one| &*one.from == server || &*one.to == server);
            match touching.clone().any(|one| one.kind == MoveKind::Split) {
                true => moves_per_server_max,
                false => touching.count(),
            }
        };
        for later in plan.moves().iter().filter(|one| one.wave > number) {
            assert!(
                touching(&later.from) == moves_per_server_max
                    || touching(&later.to) == moves_per_server_max,
                "{} -> {} could be in wave {}: {plan}",
                later.from,
                later.to,
                number + 1
            );
        }
    }
}
