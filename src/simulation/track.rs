//! One scheme through all stages: which layouts it has, and on which server each unit is then.

use super::fleet::{Fleet, Id, Stage, Touch};
use super::mix::Stream;
use super::scheme::{BuildError, Lookup, Method, Scheme, identity};
use crate::config::Problem;
use crate::placement::{Algorithm, NodeSpec, PlacementError};

/// How a scheme goes through the stages. The same for all repeats.
#[derive(Clone, Debug)]
pub(super) struct Track {
    /// As the scenario has it. `None`: only for sensitivity.
    pub(super) scheme: Scheme,
    /// In order: each replaces the one before.
    pub(super) layouts: Vec<Layout>,
    /// As many as the fleet has.
    pub(super) stages: Vec<TrackStage>,
}

/// A way from keys to units.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) method: Method,
    pub(super) units: Units,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Units {
    /// So many nodes.
    Nodes(u16),
    /// Servers with their weights.
    Servers(Vec<(Id, u32)>),
}

#[derive(Clone, Debug)]
pub(super) struct TrackStage {
    /// Index in [`Track::layouts`].
    pub(super) layout: usize,
    /// The server of each unit.
    pub(super) server_of: Vec<Id>,
    /// Which keys move between which servers, and why, from the stage before to this.
    pub(super) causes: Causes,
    /// Nodes that changed server, where that can be said.
    pub(super) nodes_moved: Option<u32>,
}

/// Why a key changed its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    ToAdded,
    FromGone,
    Replaced,
    Reweighted,
    Evened,
    Violation,
}

pub(super) const CAUSES: usize = 6;

/// The rule of the causes, by server.
#[derive(Clone, Debug, Default)]
pub(super) struct Causes {
    is_added: Vec<bool>,
    is_gone: Vec<bool>,
    is_reweighted: Vec<bool>,
    is_dead: Vec<bool>,
    /// Of what is left.
    otherwise: Option<Cause>,
}

impl Causes {
    fn new(fleet: &Fleet, before: &Stage, after: &Stage, has_nodes: bool) -> Causes {
        let count = fleet.servers.len();
        let mut causes = Causes {
            is_added: vec![false; count],
            is_gone: vec![false; count],
            is_reweighted: vec![false; count],
            is_dead: vec![false; count],
            otherwise: Some(match (&after.placement, has_nodes) {
                (Some(_), _) => Cause::Replaced,
                (None, true) => Cause::Evened,
                (None, false) => Cause::Violation,
            }),
        };
        for &(id, touch) in &after.touched {
            let flags = match touch {
                Touch::Added => &mut causes.is_added,
                Touch::Gone => &mut causes.is_gone,
                Touch::Reweighted => &mut causes.is_reweighted,
            };
            flags[usize::from(id)] = true;
        }
        for member in before.members.iter().chain(&after.members) {
            causes.is_dead[usize::from(member.id)] |= !member.is_up;
        }
        causes
    }

    /// Of a key that was on `from` and is on another server, `to`.
    #[inline]
    pub(super) fn of(&self, from: Id, to: Id) -> Cause {
        let (from, to) = (usize::from(from), usize::from(to));
        if self.is_added[to] {
            Cause::ToAdded
        } else if self.is_gone[from] {
            Cause::FromGone
        } else if self.is_reweighted[from] || self.is_reweighted[to] {
            match self.otherwise {
                Some(Cause::Replaced) => Cause::Replaced,
                _ => Cause::Reweighted,
            }
        } else {
            self.otherwise.unwrap_or(Cause::Violation)
        }
    }

    /// A key that was on `from` and is on `to` cannot be reached, or its data is lost.
    #[inline]
    pub(super) fn is_lost(&self, from: Id, to: Id) -> bool {
        self.is_dead[usize::from(from)] || self.is_dead[usize::from(to)]
    }
}

impl Track {
    /// # Errors
    /// What the scheme cannot do, with the setting that asks for it.
    pub(super) fn new(scheme: &Scheme, fleet: &Fleet, at: &str) -> Result<Track, Problem> {
        let mut track = Track {
            scheme: scheme.clone(),
            layouts: Vec::new(),
            stages: Vec::new(),
        };
        let start = &fleet.stages[0];
        let layout = layout(scheme, start);
        let server_of = match (&scheme.method, &layout.units) {
            (Method::Given(_, topology), _) => given_servers(fleet, start, topology, at)?,
            (_, Units::Nodes(count)) => nodes::share_out(start, *count),
            (_, Units::Servers(servers)) => servers.iter().map(|(id, _)| *id).collect(),
        };
        track.layouts.push(layout);
        track.stages.push(TrackStage {
            layout: 0,
            server_of,
            causes: Causes::default(),
            nodes_moved: None,
        });
        let mut current = scheme.clone();
        for number in 1..fleet.stages.len() {
            if let Some(next) = &fleet.stages[number].placement {
                current = next.clone();
            }
            track.advance(&current, fleet, number)?;
        }
        Ok(track)
    }

    fn advance(&mut self, scheme: &Scheme, fleet: &Fleet, number: usize) -> Result<(), Problem> {
        let (before, after) = (&fleet.stages[number - 1], &fleet.stages[number]);
        let last = self.stages.len() - 1;
        let had_nodes = matches!(
            self.layouts[self.stages[last].layout].units,
            Units::Nodes(_)
        );
        let next = layout(scheme, after);
        let is_same = self.layouts[self.stages[last].layout] == next;
        let old = &self.stages[last].server_of;
        let (server_of, nodes_moved) = match &next.units {
            Units::Servers(servers) => (servers.iter().map(|(id, _)| *id).collect(), None),
            Units::Nodes(count) if had_nodes && old.len() == usize::from(*count) => {
                let new = match after.placement {
                    // The nodes stay where they are, only their keys are others.
                    Some(_) => old.clone(),
                    None => nodes::rebalance(fleet, before, after, old)?,
                };
                let moved = old.iter().zip(&new).filter(|(old, new)| old != new).count();
                (new, Some(moved as u32))
            }
            Units::Nodes(count) => (nodes::share_out(after, *count), None),
        };
        let layout = match is_same {
            true => self.stages[last].layout,
            false => {
                self.layouts.push(next);
                self.layouts.len() - 1
            }
        };
        let has_nodes = matches!(self.layouts[layout].units, Units::Nodes(_));
        self.stages.push(TrackStage {
            layout,
            server_of,
            causes: Causes::new(fleet, before, after, has_nodes),
            nodes_moved,
        });
        Ok(())
    }

    /// Whether the stage has nodes.
    pub(super) fn has_nodes(&self, stage: usize) -> bool {
        matches!(
            self.layouts[self.stages[stage].layout].units,
            Units::Nodes(_)
        )
    }
}

fn layout(scheme: &Scheme, stage: &Stage) -> Layout {
    let weight_max = scheme.method.weight_max();
    let units = match scheme.nodes {
        Some(nodes) => Units::Nodes(nodes),
        None => Units::Servers(
            stage
                .members
                .iter()
                .filter(|member| member.weight > 0)
                .map(|member| match weight_max {
                    // Where there are no weights, all servers are alike: a note says so.
                    1 => (member.id, 1),
                    _ => (member.id, member.weight),
                })
                .collect(),
        ),
    };
    Layout {
        method: scheme.method.clone(),
        units,
    }
}

fn given_servers(
    fleet: &Fleet,
    start: &Stage,
    topology: &crate::topology::Topology,
    at: &str,
) -> Result<Vec<Id>, Problem> {
    (0..topology.node_count() as u16)
        .map(|node| {
            let server = topology.server_of(crate::placement::NodeId(node));
            let name = topology.server_name(server);
            let mut members = start.members.iter();
            let found = members.find(|member| fleet.servers[usize::from(member.id)].name == *name);
            found.map(|member| member.id).ok_or_else(|| {
                Problem::new(
                    at,
                    format!("node {node} is on {name}, which is none of the servers"),
                )
                .expected("the servers of the topology among those of the scenario")
            })
        })
        .collect()
}

/// Whose names are hashed, and how they differ between repeats.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming {
    pub(super) seed: u64,
    pub(super) vary: bool,
}

/// Other names are tried so often if two servers happen to have one point, which some presets refuse.
const ATTEMPTS: u32 = 16;

impl Naming {
    /// All layouts of a track, with the names of a repeat. The first repeat has the true names.
    ///
    /// # Errors
    /// What an algorithm refuses.
    pub(super) fn build(
        &self,
        track: &Track,
        fleet: &Fleet,
        repeat: u32,
    ) -> Result<Vec<Lookup>, BuildError> {
        let repeat = if self.vary { repeat } else { 0 };
        let mut attempt = 0;
        loop {
            match self.attempt(track, fleet, repeat, attempt) {
                // Keys are looked up before and after a step, so that all layouts get other names together.
                Err(BuildError::Placement(PlacementError::PointClash { .. }))
                    if self.vary && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                }
                other => return other,
            }
        }
    }

    fn attempt(
        &self,
        track: &Track,
        fleet: &Fleet,
        repeat: u32,
        attempt: u32,
    ) -> Result<Vec<Lookup>, BuildError> {
        let mut lookups: Vec<Lookup> = Vec::with_capacity(track.layouts.len());
        for layout in &track.layouts {
            let units = self.specs(layout, fleet, repeat, attempt);
            let lookup = layout.method.build(units, lookups.last())?;
            lookups.push(lookup);
        }
        Ok(lookups)
    }

    fn specs(&self, layout: &Layout, fleet: &Fleet, repeat: u32, attempt: u32) -> Vec<NodeSpec> {
        let algorithm = layout.method.algorithm();
        let tag = match (repeat, attempt) {
            (0, 0) => String::new(),
            _ => {
                let number = Stream::new(self.seed, repeat, 3).number(attempt.into());
                format!("~{:08x}", number >> 32)
            }
        };
        let base = Stream::new(self.seed, repeat, 4).number(attempt.into());
        let spec = |index: u16, name: &str, address: Option<&str>, weight| {
            let made = || made_address(base, index);
            // A cluster's servers have theirs in every repeat, unless names are to differ.
            let address = address
                .filter(|_| tag.is_empty())
                .map_or_else(made, str::to_owned);
            NodeSpec::weighted(
                identity(algorithm, &format!("{name}{tag}"), &address),
                weight,
            )
        };
        match &layout.units {
            Units::Nodes(count) => (0..*count)
                .map(|node| match algorithm.is_some_and(Algorithm::is_preset) {
                    false => NodeSpec::new(format!("{node}{tag}")),
                    true => spec(node, &node.to_string(), None, 1),
                })
                .collect(),
            Units::Servers(servers) => servers
                .iter()
                .map(|&(id, weight)| {
                    let server = &fleet.servers[usize::from(id)];
                    spec(id, &server.name, server.address.as_deref(), weight)
                })
                .collect(),
        }
    }
}

/// `10.x.y.z:6379`, another one for each index: the multiplier is odd.
fn made_address(base: u64, index: u16) -> String {
    let number = base.wrapping_add(u64::from(index).wrapping_mul(0x9E_3779));
    let [.., a, b, c] = number.to_be_bytes();
    format!("10.{a}.{b}.{c}:6379")
}

/// The largest of all weights that a plain layout may have; for the check of a scenario.
pub(super) fn weight_excess(track: &Track) -> Option<(u32, u32, Algorithm)> {
    track.layouts.iter().find_map(|layout| {
        let (Method::Algorithm(algorithm, _), Units::Servers(servers)) =
            (&layout.method, &layout.units)
        else {
            return None;
        };
        let most = servers.iter().map(|(_, weight)| *weight).max()?;
        let weight_max = algorithm.weight_max();
        (most > weight_max).then_some((most, weight_max, *algorithm))
    })
}

pub(super) mod nodes {
    //! Which node is on which server.

    use super::*;

    /// Ranges of nodes, as long as weights say.
    pub(in super::super) fn share_out(stage: &Stage, count: u16) -> Vec<Id> {
        let quotas = quotas(stage, count, |_| 0);
        let mut servers = Vec::with_capacity(count.into());
        for (member, quota) in stage.members.iter().zip(quotas) {
            servers.extend(std::iter::repeat_n(member.id, quota.into()));
        }
        servers
    }

    /// Moves as few nodes as make servers even.
    pub(in super::super) fn rebalance(
        _fleet: &Fleet,
        _before: &Stage,
        after: &Stage,
        old: &[Id],
    ) -> Result<Vec<Id>, Problem> {
        let has = |id: Id| old.iter().filter(|server| **server == id).count() as u16;
        let quotas = quotas(after, old.len() as u16, has);
        let mut room: Vec<(Id, u16)> = after
            .members
            .iter()
            .map(|member| member.id)
            .zip(quotas)
            .collect();
        let mut new: Vec<Option<Id>> = old
            .iter()
            .map(|id| {
                let (_, room) = room.iter_mut().find(|(member, _)| member == id)?;
                let fits = *room > 0;
                *room = room.saturating_sub(1);
                fits.then_some(*id)
            })
            .collect();
        for slot in new.iter_mut().filter(|slot| slot.is_none()) {
            if let Some((id, room)) = room.iter_mut().find(|(_, room)| *room > 0) {
                *room -= 1;
                *slot = Some(*id);
            }
        }
        // The quotas add up to the number of nodes.
        Ok(new
            .into_iter()
            .zip(old)
            .map(|(new, old)| new.unwrap_or(*old))
            .collect())
    }

    /// By the largest remainder; of equal ones who has more.
    fn quotas(stage: &Stage, count: u16, has: impl Fn(Id) -> u16) -> Vec<u16> {
        let total: u64 = stage
            .members
            .iter()
            .map(|member| u64::from(member.weight))
            .sum();
        let share = |weight: u32| u64::from(weight) * u64::from(count);
        let mut quotas: Vec<u16> = stage
            .members
            .iter()
            .map(|member| (share(member.weight) / total.max(1)) as u16)
            .collect();
        let mut left = count - quotas.iter().sum::<u16>();
        let mut order: Vec<usize> = (0..quotas.len()).collect();
        order.sort_by_key(|&index| {
            let member = &stage.members[index];
            let remainder = share(member.weight) % total.max(1);
            std::cmp::Reverse((remainder, has(member.id)))
        });
        for index in order {
            if left == 0 {
                break;
            }
            quotas[index] += 1;
            left -= 1;
        }
        quotas
    }
}
