//! What a plan is asked for: servers, limits, and what is to become of them.

use crate::placement::NodeId;
use crate::plan::PlanError;
use crate::plan::problem::{Problem, Rules, Seat};
use crate::plan::size::Sizes;
use crate::topology::{SERVERS_MAX, Topology};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a plan is told about one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    /// Its name in the topology, or the name it will have there.
    pub name: Arc<str>,
    /// Its share relative to the other servers. 0: it is to have no node.
    pub weight: u32,
    /// What its nodes may take in all, in bytes; `None`: no limit.
    pub memory_bytes_max: Option<u64>,
}

impl ServerSpec {
    /// A server of weight 1 without a limit.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        ServerSpec {
            name: name.into(),
            weight: 1,
            memory_bytes_max: None,
        }
    }
}

/// What a plan keeps to on its way.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Most moves that touch one server at the same time, as source or as destination. Default 1, which is what the move protocol allows;
    /// at least 1.
    pub moves_per_server_max: usize,
    /// What servers are to have evenly. [`Plan::between`](crate::plan::Plan::between) does not ask.
    pub balance: Balance,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            moves_per_server_max: 1,
            balance: Balance::Nodes,
        }
    }
}

/// What servers are to have evenly, by their weights.
///
/// The default is [`Nodes`](Balance::Nodes) whatever the sizes: it is exact, and two plans for the same servers are alike. Nodes that differ much
/// (measured ones, with a few large keys) want [`Bytes`](Balance::Bytes).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Balance {
    /// Nodes: the sum of (nodes - share)^2 over all servers is the least that the goal and memory allow; then the fewest nodes move; then the
    /// fewest bytes. Exact where no memory limit binds, and where nodes have one size; elsewhere as near as a local search gets.
    #[default]
    Nodes,
    /// Bytes: few nodes move, until every server is within the tolerance of its share of all bytes, or as near as a local search gets.
    Bytes {
        /// Relative to a server's share, from 0 to 1: 0.05 is five percent either way.
        tolerance: f64,
    },
}

/// What is to become of the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Goal {
    /// Every server gets its share. Servers of the old topology that are not among the servers, or have weight 0, are emptied.
    Even,
    /// These servers give all their nodes to the others; no other node moves. A server of weight 0 stays as it is.
    Drain(Vec<Arc<str>>),
    /// These servers get their share; nodes move to them only. A name that is not among the servers stands for one like most of them are.
    /// Servers of weight 0 are emptied.
    Add(Vec<Arc<str>>),
    /// So many servers: some that are made up are added (`new-1`, ...), like most of the others are; or those with the fewest nodes are drained.
    /// Where there are as many, nothing moves. Servers of weight 0 do not count, and are emptied.
    Servers(usize),
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::Even => f.write_str("even out"),
            Goal::Drain(names) => write!(f, "drain {}", names.join(", ")),
            Goal::Add(names) => write!(f, "add {}", names.join(", ")),
            Goal::Servers(1) => f.write_str("1 server"),
            Goal::Servers(count) => write!(f, "{count} servers"),
        }
    }
}

/// What a goal comes to: the servers there will be, and what they may do.
pub(super) fn problem<'a>(
    old: &Topology,
    goal: &Goal,
    specs: &[ServerSpec],
    sizes: &'a Sizes,
) -> Result<Problem<'a>, PlanError> {
    let mut seats = seats(old, specs)?;
    match goal {
        Goal::Even => even(&mut seats),
        Goal::Drain(names) => drain(&mut seats, names)?,
        Goal::Add(names) => add(&mut seats, names, specs)?,
        Goal::Servers(count) => servers(old, &mut seats, *count, specs, sizes)?,
    }
    if seats.len() > SERVERS_MAX {
        return Err(PlanError::TooManyServers { count: seats.len() });
    }
    if !seats.values().any(|seat| seat.weight > 0) {
        return Err(PlanError::NoWeight);
    }
    Ok(Problem::new(old, seats, sizes))
}

/// Every server of the old topology and of the list.
pub(super) fn seats(
    old: &Topology,
    specs: &[ServerSpec],
) -> Result<BTreeMap<Arc<str>, Seat>, PlanError> {
    let mut seats = BTreeMap::new();
    for server in old.servers() {
        let name = old.server_name(server).clone();
        let mut seat = Seat::new(name.clone(), 0, None);
        seat.nodes_before = old.nodes_of(server).count();
        seat.is_old = true;
        seats.insert(name, seat);
    }
    let mut is_listed = BTreeMap::new();
    for spec in specs {
        if spec.name.is_empty() {
            return Err(PlanError::EmptyName);
        }
        if is_listed.insert(spec.name.clone(), ()).is_some() {
            return Err(PlanError::RepeatedServer {
                name: spec.name.clone(),
            });
        }
        let seat = seats
            .entry(spec.name.clone())
            .or_insert_with(|| Seat::new(spec.name.clone(), 0, None));
        seat.weight = spec.weight;
        seat.memory_bytes_max = spec.memory_bytes_max;
    }
    Ok(seats)
}

fn even(seats: &mut BTreeMap<Arc<str>, Seat>) {
    for seat in seats.values_mut() {
        seat.rules = Rules {
            gives: true,
            takes: seat.weight > 0,
            is_emptied: seat.weight == 0,
            only_its_share: false,
        };
    }
}

fn drain(seats: &mut BTreeMap<Arc<str>, Seat>, names: &[Arc<str>]) -> Result<(), PlanError> {
    for seat in seats.values_mut() {
        seat.rules.takes = seat.weight > 0;
    }
    for name in names {
        let Some(seat) = seats.get_mut(name).filter(|seat| seat.is_old) else {
            return Err(unknown(name, seats));
        };
        seat.weight = 0;
        seat.rules = Rules {
            gives: true,
            is_emptied: true,
            ..Rules::default()
        };
    }
    Ok(())
}

fn add(
    seats: &mut BTreeMap<Arc<str>, Seat>,
    names: &[Arc<str>],
    specs: &[ServerSpec],
) -> Result<(), PlanError> {
    let (weight, memory_bytes_max) = typical(specs);
    for name in names {
        if name.is_empty() {
            return Err(PlanError::EmptyName);
        }
        let is_listed = specs.iter().any(|spec| spec.name == *name);
        let seat = seats
            .entry(name.clone())
            .or_insert_with(|| Seat::new(name.clone(), weight, memory_bytes_max));
        if seat.nodes_before > 0 {
            return Err(PlanError::AlreadyThere {
                name: name.clone(),
                nodes: seat.nodes_before,
            });
        }
        if !is_listed {
            // The old topology may have it already, without a node.
            seat.weight = weight;
            seat.memory_bytes_max = memory_bytes_max;
        }
        if seat.weight == 0 {
            return Err(PlanError::AddedWithoutWeight { name: name.clone() });
        }
    }
    for seat in seats.values_mut() {
        let is_new = !seat.is_old || names.contains(&seat.name);
        seat.rules = Rules {
            gives: !is_new,
            takes: is_new && seat.weight > 0,
            is_emptied: seat.weight == 0,
            only_its_share: is_new,
        };
    }
    Ok(())
}

fn servers(
    old: &Topology,
    seats: &mut BTreeMap<Arc<str>, Seat>,
    count: usize,
    specs: &[ServerSpec],
    sizes: &Sizes,
) -> Result<(), PlanError> {
    if count == 0 {
        return Err(PlanError::NoServers);
    }
    if count > SERVERS_MAX {
        return Err(PlanError::TooManyServers { count });
    }
    let there: Vec<Arc<str>> = seats
        .values()
        .filter(|seat| seat.weight > 0)
        .map(|seat| seat.name.clone())
        .collect();
    if count >= there.len() {
        let made_up: Vec<Arc<str>> = (1..)
            .map(|number| Arc::from(format!("new-{number}")))
            .filter(|name: &Arc<str>| !seats.contains_key(name))
            .take(count - there.len())
            .collect();
        if !made_up.is_empty() || seats.values().any(|seat| !seat.is_old) {
            return add(seats, &made_up, specs);
        }
        drain(seats, &[])?;
        empty_those_without_weight(seats);
        return Ok(());
    }
    let bytes = |name: &Arc<str>| -> u64 {
        old.server_by_name(name).map_or(0, |server| {
            old.nodes_of(server)
                .map(|NodeId(node)| sizes.nodes[usize::from(node)].bytes)
                .sum()
        })
    };
    // Those with the fewest nodes, then bytes; of equal ones the last by name.
    let mut by_nodes: Vec<(usize, u64, std::cmp::Reverse<Arc<str>>)> = there
        .iter()
        .map(|name| {
            let nodes = seats.get(name).map_or(0, |seat| seat.nodes_before);
            (nodes, bytes(name), std::cmp::Reverse(name.clone()))
        })
        .collect();
    by_nodes.sort();
    let gone: Vec<Arc<str>> = by_nodes
        .into_iter()
        .take(there.len() - count)
        .map(|(_, _, name)| name.0)
        .collect();
    // One that is not there yet has nothing to give: it is not to be there at all.
    let (gone, never): (Vec<_>, Vec<_>) = gone
        .into_iter()
        .partition(|name| seats.get(name).is_some_and(|seat| seat.is_old));
    seats.retain(|name, _| !never.contains(name));
    drain(seats, &gone)?;
    empty_those_without_weight(seats);
    Ok(())
}

fn empty_those_without_weight(seats: &mut BTreeMap<Arc<str>, Seat>) {
    for seat in seats.values_mut().filter(|seat| seat.weight == 0) {
        seat.rules.gives = true;
        seat.rules.is_emptied = true;
    }
}

/// Weight and limit that most servers have; of equally many, the smaller.
fn typical(specs: &[ServerSpec]) -> (u32, Option<u64>) {
    let mut counts: BTreeMap<(u32, u64), usize> = BTreeMap::new();
    for spec in specs.iter().filter(|spec| spec.weight > 0) {
        let limit = spec.memory_bytes_max.unwrap_or(u64::MAX);
        *counts.entry((spec.weight, limit)).or_default() += 1;
    }
    let most = counts.values().copied().max();
    counts
        .into_iter()
        .find(|(_, count)| Some(*count) == most)
        .map_or((1, None), |((weight, limit), _)| {
            (weight, (limit != u64::MAX).then_some(limit))
        })
}

fn unknown(name: &Arc<str>, seats: &BTreeMap<Arc<str>, Seat>) -> PlanError {
    PlanError::UnknownServer {
        name: name.clone(),
        known: seats
            .values()
            .filter(|seat| seat.is_old)
            .map(|seat| seat.name.clone())
            .collect(),
    }
}
