//! Plans: which nodes move to which server, and in which order. Pure: the simulator prices a plan, a live rebalance carries it out.
//!
//! A plan never moves a node twice, never lets a server exceed its memory, and lets at most [`Limits::moves_per_server_max`] moves touch one
//! server at a time. What cannot be is refused, with what is missing.
//!
//! ```
//! use keyway::placement::NodeId;
//! use keyway::plan::{Goal, Limits, Plan, ServerSpec, Sizes};
//! use keyway::topology::{Epoch, Topology};
//!
//! let nodes = |range: std::ops::Range<u16>| range.map(NodeId).collect::<Vec<_>>();
//! let old = Topology::new(Epoch(0), 64, vec![("a".into(), nodes(0..32)), ("b".into(), nodes(32..64))])?;
//! let servers = ["a", "b", "c"].map(ServerSpec::new);
//! let sizes = Sizes::even(64, 1_000_000, 10 << 30);
//! let plan = Plan::for_goal(&old, &Goal::Even, &servers, &sizes, &Limits::default())?;
//! assert_eq!(plan.nodes_moved(), 21);
//! assert_eq!(
//!     plan.moves()[0].why,
//!     "b has 32 of 64 nodes; its share of 3 equal servers is 21 or 22: 11 nodes (17.2 %) go to c, which is new"
//! );
//! let new = plan.apply(&old)?;
//! assert_eq!(old.diff(&new).len(), 21);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is not counted: keys of the cluster's own (`keyway:`), what a migration keeps beside the nodes (a marker of some 40 bytes for each key, until
//! it is done), a server's own overhead. Leave room for that in a server's limit, and for the error of estimated sizes.

mod bytes;
mod error;
mod goal;
mod order;
mod pace;
mod pairing;
mod problem;
mod repair;
mod search;
mod sequence;
mod size;
mod target;
#[cfg(test)]
mod tests;
mod words;

pub use error::{OverLimit, PlanError, StuckMove};
pub use goal::{Balance, Goal, Limits, ServerSpec};
pub(crate) use pace::Parts;
pub use pace::{MoveLoad, MoveTime, Pace};
pub use size::{NodeSize, Origin, Sample, Sizes};

use crate::placement::NodeId;
use crate::topology::{NodeState, Topology};
use order::Leg;
use problem::{Problem, node_id};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// An ordered list of moves, and what it makes of every server.
///
/// Its JSON is its fields, documented at their accessors; fields may be added. The same question gets the same plan, on every machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    goal: String,
    node_count: usize,
    limits: Limits,
    sizes: SizesSummary,
    reached: Option<Reached>,
    moves: Vec<Move>,
    servers: Vec<ServerChange>,
}

/// How even a plan leaves the servers that have a weight. A server's load is what it has divided by its share, so that 1 is right for all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reached {
    /// By nodes, before the first move.
    pub nodes_before: Loads,
    /// By nodes, after the last.
    pub nodes_after: Loads,
    /// By bytes, before; `None` if nodes take none.
    pub bytes_before: Option<Loads>,
    /// By bytes, after.
    pub bytes_after: Option<Loads>,
    /// Whether every server is within the tolerance of [`Balance::Bytes`]; `None` for [`Balance::Nodes`].
    pub is_within_tolerance: Option<bool>,
}

/// The extremes of servers' loads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Loads {
    /// The smallest.
    pub lowest: f64,
    /// The largest.
    pub highest: f64,
}

/// Where a plan's sizes come from, and how far they can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SizesSummary {
    /// Where they come from.
    pub origin: Origin,
    /// As [`Sizes::relative_error`].
    pub relative_error: f64,
    /// All nodes together.
    pub total: NodeSize,
}

/// How nodes get to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MoveKind {
    /// To a server that owns no node: it replicates all of the source, is promoted, and what belongs to the other is removed on both. Until
    /// then it holds as much as the source does.
    Split,
    /// To a server that owns other nodes: key by key, on access or by the mover's sweep.
    Migrate,
}

/// Nodes that change server together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Move {
    /// The nodes, ascending; at least one.
    pub nodes: Vec<NodeId>,
    /// The server they leave.
    pub from: Arc<str>,
    /// The server they go to.
    pub to: Arc<str>,
    /// How.
    pub kind: MoveKind,
    /// Their keys, by the plan's sizes.
    pub keys: u64,
    /// Their bytes, by the plan's sizes.
    pub bytes: u64,
    /// What the server they leave holds when the wave begins, these nodes included: a split copies all of it.
    pub source: NodeSize,
    /// Moves of one wave go on at the same time; the next wave begins when all of it is done. From 0.
    pub wave: usize,
    /// Why, in words: `a has 13 of 64 nodes; its share of 6 equal servers is 10 or 11: 2 nodes (3.1 %) go to f, which is new`.
    pub why: String,
}

impl Move {
    /// What moves.
    pub fn size(&self) -> NodeSize {
        NodeSize {
            keys: self.keys,
            bytes: self.bytes,
        }
    }
}

/// What a plan makes of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerChange {
    /// Its name.
    pub name: Arc<str>,
    /// Its weight; 0: it is to have no node, or nobody said.
    pub weight: u32,
    /// What its nodes may take, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// Before the first move.
    pub before: Holding,
    /// After the last.
    pub after: Holding,
    /// The most that it holds on the way, in bytes: what comes is on both servers until it is done.
    pub peak_bytes: u64,
    /// Whether the old topology has it.
    pub is_old: bool,
    /// Whether the new topology has it. One that is emptied stays, without a node, unless a topology without it was given.
    pub stays: bool,
}

/// What a server has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holding {
    /// How many nodes.
    pub nodes: usize,
    /// Their keys.
    pub keys: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Plan {
    /// The moves that lead from one topology to another, with sizes for every node. Of `servers` only the memory limits count; a server that
    /// is not among them has none.
    ///
    /// # Errors
    /// [`PlanError`]: topologies or sizes of other numbers of nodes, a server over its limit in the new topology, no order within all limits.
    pub fn between(
        old: &Topology,
        new: &Topology,
        servers: &[ServerSpec],
        sizes: &Sizes,
        limits: &Limits,
    ) -> Result<Plan, PlanError> {
        check(old, sizes, limits)?;
        at_rest(new)?;
        if old.node_count() != new.node_count() {
            return Err(PlanError::NodeCounts {
                old: old.node_count(),
                new: new.node_count(),
            });
        }
        let mut seats = goal::seats(old, servers)?;
        for server in new.servers() {
            let name = new.server_name(server);
            seats
                .entry(name.clone())
                .or_insert_with(|| problem::Seat::new(name.clone(), 0, None));
        }
        let problem = Problem::new(old, seats, sizes);
        let mut assignment = problem.origin.clone();
        for (index, seat) in problem.seats.iter().enumerate() {
            if let Some(server) = new.server_by_name(&seat.name) {
                for node in new.nodes_of(server) {
                    assignment[node.index()] = index;
                }
            }
        }
        let over = over_limit(&problem, &assignment);
        if !over.is_empty() {
            return Err(PlanError::NoRoom { over });
        }
        let stays = |name: &str| new.server_by_name(name).is_some();
        Plan::made(&problem, &assignment, None, sizes, limits, &stays)
    }

    /// The moves that reach a goal. `servers` are all that are to be there, with their weights and memory limits; see [`Goal`] for servers of the
    /// old topology that are not among them.
    ///
    /// Cost (measured): 16,384 nodes over 200 servers are evened out over 250 in 3 ms; where memory limits or [`Balance::Bytes`] call for a search, in
    /// some 100 ms, and a second at most.
    ///
    /// # Errors
    /// [`PlanError`]: unknown or repeated servers, sizes of another number of nodes, not enough memory, no order within all limits.
    pub fn for_goal(
        old: &Topology,
        goal: &Goal,
        servers: &[ServerSpec],
        sizes: &Sizes,
        limits: &Limits,
    ) -> Result<Plan, PlanError> {
        check(old, sizes, limits)?;
        if matches!(limits.balance, Balance::Bytes { .. }) && sizes.total().bytes == 0 {
            return Err(PlanError::NoBytes);
        }
        let problem = goal::problem(old, goal, servers, sizes)?;
        let assignment = target::choose(&problem, limits.balance)?;
        Plan::made(&problem, &assignment, Some(goal), sizes, limits, &|_| true)
    }

    fn made(
        problem: &Problem<'_>,
        assignment: &[usize],
        goal: Option<&Goal>,
        sizes: &Sizes,
        limits: &Limits,
        stays: &dyn Fn(&str) -> bool,
    ) -> Result<Plan, PlanError> {
        let legs = order::waves(problem, assignment, limits.moves_per_server_max)?;
        let reasons = words::Reasons::new(problem, goal, limits.balance);
        let name = |server: usize| problem.seats[server].name.clone();
        let moves = legs
            .iter()
            .map(|leg| {
                let size = leg.size(problem);
                Move {
                    nodes: words::ids(&leg.nodes),
                    from: name(leg.from),
                    to: name(leg.to),
                    kind: leg.kind,
                    keys: size.keys,
                    bytes: size.bytes,
                    source: leg.source,
                    wave: leg.wave,
                    why: reasons.of(leg),
                }
            })
            .collect();
        Ok(Plan {
            goal: goal.map_or_else(|| "the new topology".to_owned(), Goal::to_string),
            node_count: problem.node_count(),
            limits: *limits,
            sizes: SizesSummary {
                origin: sizes.origin.clone(),
                relative_error: sizes.relative_error,
                total: sizes.total(),
            },
            reached: reached(problem, assignment, limits.balance),
            moves,
            servers: changes(problem, assignment, &legs, stays),
        })
    }

    /// The moves, by wave, and within a wave by the names of their servers.
    pub fn moves(&self) -> &[Move] {
        &self.moves
    }

    /// The moves of each wave: they go on at the same time, and a wave begins when the one before is done.
    pub fn waves(&self) -> impl Iterator<Item = &[Move]> {
        self.moves.chunk_by(|one, next| one.wave == next.wave)
    }

    /// True if nothing moves.
    pub fn is_empty(&self) -> bool {
        self.moves.is_empty()
    }

    /// All servers, old and new, sorted by name.
    pub fn servers(&self) -> &[ServerChange] {
        &self.servers
    }

    /// What was asked, in words: `add f`.
    pub fn goal(&self) -> &str {
        &self.goal
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.node_count
    }

    /// How many nodes change server.
    pub fn nodes_moved(&self) -> usize {
        self.moves.iter().map(|one| one.nodes.len()).sum()
    }

    /// Keys and bytes that change server.
    pub fn size_moved(&self) -> NodeSize {
        let mut sum = NodeSize::default();
        for one in &self.moves {
            sum.keys = sum.keys.saturating_add(one.keys);
            sum.bytes = sum.bytes.saturating_add(one.bytes);
        }
        sum
    }

    /// How even it becomes; `None` if no server has a weight.
    pub fn reached(&self) -> Option<&Reached> {
        self.reached.as_ref()
    }

    /// Where the sizes come from.
    pub fn sizes(&self) -> &SizesSummary {
        &self.sizes
    }

    /// What the plan keeps to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The topology after all moves, at the epoch of the one before.
    ///
    /// # Errors
    /// [`PlanError::AnotherTopology`] if a node is not where the plan takes it from, [`PlanError::NodeCounts`], [`PlanError::NotAtRest`].
    pub fn apply(&self, old: &Topology) -> Result<Topology, PlanError> {
        at_rest(old)?;
        if old.node_count() != self.node_count {
            return Err(PlanError::NodeCounts {
                old: old.node_count(),
                new: self.node_count,
            });
        }
        let mut servers: BTreeMap<Arc<str>, Vec<NodeId>> = old
            .servers()
            .map(|server| {
                let name = old.server_name(server).clone();
                (name, old.nodes_of(server).collect())
            })
            .collect();
        for one in &self.servers {
            if one.stays {
                servers.entry(one.name.clone()).or_default();
            }
        }
        for one in &self.moves {
            for &node in &one.nodes {
                if node.index() >= self.node_count {
                    return Err(PlanError::NodeCounts {
                        old: old.node_count(),
                        new: node.index() + 1,
                    });
                }
                let found = old.server_name(old.server_of(node));
                if *found != one.from {
                    return Err(PlanError::AnotherTopology {
                        node,
                        expected: one.from.clone(),
                        found: found.clone(),
                    });
                }
            }
            if let Some(nodes) = servers.get_mut(&one.from) {
                nodes.retain(|node| one.nodes.binary_search(node).is_err());
            }
            servers
                .entry(one.to.clone())
                .or_default()
                .extend(&one.nodes);
        }
        for one in self.servers.iter().filter(|one| !one.stays) {
            // With its nodes, if it has any: those are missed by the topology.
            servers.remove(&one.name);
        }
        Ok(Topology::new(
            old.epoch(),
            old.node_count(),
            servers.into_iter().collect(),
        )?)
    }

    /// The moves in words, one a line: `wave 1: a -> f by split: nodes 11-12 (170.7 MiB). a has 13 of 64 nodes; ...`.
    pub fn steps(&self) -> Vec<String> {
        self.moves
            .iter()
            .map(|one| {
                let kind = match one.kind {
                    MoveKind::Split => "split",
                    MoveKind::Migrate => "migrate",
                };
                format!(
                    "wave {}: {} -> {} by {kind}: {} {} ({}). {}",
                    one.wave + 1,
                    one.from,
                    one.to,
                    if one.nodes.len() == 1 {
                        "node"
                    } else {
                        "nodes"
                    },
                    words::ranges(&one.nodes),
                    words::bytes(one.bytes),
                    one.why
                )
            })
            .collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return write!(f, "{}: nothing moves", self.goal);
        }
        write!(
            f,
            "{}: {} of {} move ({}), {} in {}",
            self.goal,
            self.nodes_moved(),
            words::plural(self.node_count, "node"),
            words::bytes(self.size_moved().bytes),
            words::plural(self.moves.len(), "move"),
            words::plural(self.waves().count(), "wave"),
        )?;
        for step in self.steps() {
            write!(f, "\n{step}")?;
        }
        Ok(())
    }
}

fn check(old: &Topology, sizes: &Sizes, limits: &Limits) -> Result<(), PlanError> {
    at_rest(old)?;
    if sizes.nodes.len() != old.node_count() {
        return Err(PlanError::SizesOfOthers {
            sizes: sizes.nodes.len(),
            nodes: old.node_count(),
        });
    }
    let sum = |part: fn(&NodeSize) -> u64| {
        let mut parts = sizes.nodes.iter().map(part);
        parts.try_fold(0, u64::checked_add)
    };
    if sum(|size| size.keys).is_none() || sum(|size| size.bytes).is_none() {
        return Err(PlanError::SizesTooLarge);
    }
    if limits.moves_per_server_max == 0 {
        return Err(PlanError::NoMovesAllowed);
    }
    match limits.balance {
        Balance::Bytes { tolerance } if !(0.0..=1.0).contains(&tolerance) => {
            Err(PlanError::Tolerance { tolerance })
        }
        Balance::Bytes { .. } if sizes.total().bytes == 0 => Err(PlanError::NoBytes),
        _ => Ok(()),
    }
}

fn at_rest(topology: &Topology) -> Result<(), PlanError> {
    let moving = (0..topology.node_count())
        .map(node_id)
        .find(|&node| *topology.state_of(node) != NodeState::Serving);
    match moving {
        Some(node) => Err(PlanError::NotAtRest { node }),
        None => Ok(()),
    }
}

fn over_limit(problem: &Problem<'_>, assignment: &[usize]) -> Vec<OverLimit> {
    let mut over: Vec<OverLimit> = problem
        .seats
        .iter()
        .zip(problem.loads(assignment))
        .filter(|(seat, load)| *load > seat.limit())
        .map(|(seat, bytes)| OverLimit {
            server: seat.name.clone(),
            bytes,
            limit_bytes: seat.limit(),
        })
        .collect();
    over.sort_by_key(|one| std::cmp::Reverse(one.bytes - one.limit_bytes));
    over
}

fn changes(
    problem: &Problem<'_>,
    assignment: &[usize],
    legs: &[Leg],
    stays: &dyn Fn(&str) -> bool,
) -> Vec<ServerChange> {
    let (before, after) = (
        holdings(problem, &problem.origin),
        holdings(problem, assignment),
    );
    let peaks = order::peaks(problem, legs);
    problem
        .seats
        .iter()
        .enumerate()
        .map(|(index, seat)| ServerChange {
            name: seat.name.clone(),
            weight: seat.weight,
            memory_bytes_max: seat.memory_bytes_max,
            before: before[index],
            after: after[index],
            peak_bytes: peaks[index],
            is_old: seat.is_old,
            stays: stays(&seat.name),
        })
        .collect()
}

fn holdings(problem: &Problem<'_>, assignment: &[usize]) -> Vec<Holding> {
    let mut holdings = vec![Holding::default(); problem.seats.len()];
    for (size, &server) in problem.sizes.iter().zip(assignment) {
        holdings[server].nodes += 1;
        holdings[server].keys += size.keys;
        holdings[server].bytes += size.bytes;
    }
    holdings
}

fn reached(problem: &Problem<'_>, assignment: &[usize], balance: Balance) -> Option<Reached> {
    let weights: u64 = problem.weight_total();
    let (before, after) = (
        holdings(problem, &problem.origin),
        holdings(problem, assignment),
    );
    let loads = |holdings: &[Holding], part: fn(&Holding) -> u64| -> Option<Loads> {
        let total: u64 = holdings.iter().map(part).sum();
        if weights == 0 || total == 0 {
            return None;
        }
        let mut loads = problem
            .seats
            .iter()
            .zip(holdings)
            .filter(|(seat, _)| seat.weight > 0)
            .map(|(seat, holding)| {
                let share = total as f64 * (f64::from(seat.weight) / weights as f64);
                part(holding) as f64 / share
            });
        let first = loads.next()?;
        Some(loads.fold(
            Loads {
                lowest: first,
                highest: first,
            },
            |all, load| Loads {
                lowest: all.lowest.min(load),
                highest: all.highest.max(load),
            },
        ))
    };
    let evenness = search::Evenness::new(problem, balance);
    Some(Reached {
        nodes_before: loads(&before, |holding| holding.nodes as u64)?,
        nodes_after: loads(&after, |holding| holding.nodes as u64)?,
        bytes_before: loads(&before, |holding| holding.bytes),
        bytes_after: loads(&after, |holding| holding.bytes),
        is_within_tolerance: matches!(balance, Balance::Bytes { .. }).then(|| {
            (0..after.len()).all(|server| {
                let Holding { nodes, bytes, .. } = after[server];
                evenness.of(problem, server, nodes, bytes) == 0
            })
        }),
    })
}
