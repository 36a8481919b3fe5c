//! Which node is on which server: at the start in even shares, then as plans say.

use super::fleet::{Fleet, Id, Member, Stage, Touch};
use crate::placement::NodeId;
use crate::plan::{Goal, Limits, Move, NodeSize, Plan, PlanError, ServerSpec, Sizes};
use crate::topology::{Epoch, Topology};
use std::sync::Arc;

/// What a step makes of the nodes.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The server of each node afterwards.
    pub(super) server_of: Vec<Id>,
    /// Where nodes are before.
    pub(super) old: Topology,
    /// Who is there afterwards.
    pub(super) servers: Vec<ServerSpec>,
    /// The way. Those from a server that is dead are left out: no data comes from there.
    pub(super) moves: Vec<Move>,
}

/// Ranges of nodes, as long as weights say: by the largest remainder.
pub(super) fn share_out(stage: &Stage, count: u16) -> Vec<Id> {
    let weights = stage.members.iter().map(|member| u64::from(member.weight));
    let total: u64 = weights.clone().sum::<u64>().max(1);
    let wanted: Vec<u64> = weights.map(|weight| weight * u64::from(count)).collect();
    let mut shares: Vec<u64> = wanted.iter().map(|wanted| wanted / total).collect();
    let left = u64::from(count) - shares.iter().sum::<u64>();
    let mut by_remainder: Vec<usize> = (0..wanted.len()).collect();
    by_remainder.sort_by_key(|&index| std::cmp::Reverse(wanted[index] % total));
    for &index in &by_remainder[..left as usize] {
        shares[index] += 1;
    }
    let shares = stage.members.iter().zip(shares);
    shares
        .flat_map(|(member, share)| std::iter::repeat_n(member.id, share as usize))
        .collect()
}

/// What the plan makes of the nodes in the step before the stage `number`; `None`: nothing. A server that is dead and stays keeps its nodes, and the
/// others share out theirs. `total` is what all nodes hold, in equal parts.
pub(super) fn rebalance(
    fleet: &Fleet,
    number: usize,
    old: &[Id],
    total: NodeSize,
) -> Result<Option<Change>, PlanError> {
    let (before, after) = (&fleet.stages[number - 1], &fleet.stages[number]);
    let Some(goal) = Wanted::new(fleet, before, after) else {
        return Ok(None);
    };
    let stays_dead = |id: Id| after.member(id).is_some_and(|member| !member.is_up);
    // The plan knows only the nodes that it may move, by their numbers among these.
    let nodes: Vec<usize> = (0..old.len())
        .filter(|node| !stays_dead(old[*node]))
        .collect();
    if nodes.is_empty() {
        return Ok(None);
    }
    let name = |id: Id| fleet.servers[usize::from(id)].name.clone();
    let topology = |nodes: &[usize], server_of: &dyn Fn(usize) -> Id, stage: &Stage| {
        let of = |id: Id| {
            let mine = nodes
                .iter()
                .enumerate()
                .filter(|(_, node)| server_of(**node) == id);
            mine.map(|(index, _)| NodeId(index as u16)).collect()
        };
        let servers = stage.members.iter().filter(|member| !stays_dead(member.id));
        let servers = servers
            .map(|member| (name(member.id), of(member.id)))
            .collect();
        Topology::new(Epoch(0), nodes.len(), servers)
    };
    let specs = |member: &Member| ServerSpec {
        name: name(member.id),
        weight: member.weight,
        memory_bytes_max: member.memory_bytes_max,
    };
    let servers: Vec<ServerSpec> = after.members.iter().map(specs).collect();
    let alive: Vec<ServerSpec> = after
        .members
        .iter()
        .filter(|member| member.is_up)
        .map(specs)
        .collect();
    let sizes = Sizes::even(old.len(), total.keys, total.bytes);
    let sizes = Sizes {
        nodes: nodes.iter().map(|node| sizes.nodes[*node]).collect(),
        ..sizes
    };
    let limits = Limits::default();
    let part = topology(&nodes, &|node| old[node], before)?;
    let plan = match goal {
        Wanted::Goal(goal) => Plan::for_goal(&part, &goal, &alive, &sizes, &limits)?,
        Wanted::Instead(from, to) => {
            let server_of = |node: usize| if old[node] == from { to } else { old[node] };
            let new = topology(&nodes, &server_of, after)?;
            Plan::between(&part, &new, &alive, &sizes, &limits)?
        }
    };
    let mut server_of = old.to_vec();
    let mut moves = plan.moves().to_vec();
    for one in &mut moves {
        let to = fleet
            .servers
            .iter()
            .position(|server| server.name == one.to);
        for node in &mut one.nodes {
            *node = NodeId(nodes[node.index()] as u16);
            if let Some(to) = to {
                server_of[node.index()] = to as Id;
            }
        }
    }
    let is_dead = |name: &Arc<str>| {
        let mut members = before.members.iter().filter(|member| !member.is_up);
        members.any(|member| fleet.servers[usize::from(member.id)].name == *name)
    };
    moves.retain(|one| !is_dead(&one.from));
    let all: Vec<usize> = (0..old.len()).collect();
    let of = |id: Id| {
        all.iter()
            .filter(|node| old[**node] == id)
            .map(|node| NodeId(*node as u16))
            .collect()
    };
    let everyone = before
        .members
        .iter()
        .map(|member| (name(member.id), of(member.id)))
        .collect();
    Ok(Some(Change {
        server_of,
        old: Topology::new(Epoch(0), old.len(), everyone)?,
        servers,
        moves,
    }))
}

/// What a plan is asked for.
enum Wanted {
    Goal(Goal),
    /// All of one server's nodes go to another.
    Instead(Id, Id),
}

impl Wanted {
    fn new(fleet: &Fleet, before: &Stage, after: &Stage) -> Option<Wanted> {
        let is_gone = |id: Id| after.member(id).is_none();
        let gone: Vec<Id> = before
            .members
            .iter()
            .map(|member| member.id)
            .filter(|id| is_gone(*id))
            .collect();
        let touched = |wanted: Touch| {
            let touched = after
                .touched
                .iter()
                .filter(move |(_, touch)| *touch == wanted);
            touched.map(|(id, _)| *id).collect::<Vec<Id>>()
        };
        let names = |ids: Vec<Id>| {
            ids.into_iter()
                .map(|id| fleet.servers[usize::from(id)].name.clone())
                .collect()
        };
        let added = touched(Touch::Added);
        match (added.as_slice(), gone.as_slice()) {
            ([to], [from]) => Some(Wanted::Instead(*from, *to)),
            ([_, ..], _) => Some(Wanted::Goal(Goal::Add(names(added)))),
            ([], [_, ..]) => Some(Wanted::Goal(Goal::Drain(names(gone)))),
            ([], []) if touched(Touch::Reweighted).is_empty() => None,
            ([], []) => Some(Wanted::Goal(Goal::Even)),
        }
    }
}
