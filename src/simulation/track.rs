//! One scheme through all stages: which layouts it has, and on which server each unit is then.

use super::fleet::{Fleet, Id, Stage, Touch};
use super::mix::Stream;
use super::nodes::{self, Change};
use super::scheme::{BuildError, Lookup, Method, Scheme, identity};
use crate::config::Problem;
use crate::placement::{Algorithm, NodeSpec, PlacementError};
use crate::plan::NodeSize;

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
    /// How they do, if any does.
    pub(super) change: Option<Change>,
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
    /// `sizes` is what all nodes hold together, for plans.
    ///
    /// # Errors
    /// What the scheme cannot do, with the setting that asks for it.
    pub(super) fn new(
        scheme: &Scheme,
        fleet: &Fleet,
        sizes: NodeSize,
        at: &str,
    ) -> Result<Track, Problem> {
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
            change: None,
        });
        let mut current = scheme.clone();
        for number in 1..fleet.stages.len() {
            if let Some(next) = &fleet.stages[number].placement {
                current = next.clone();
            }
            track.advance(&current, fleet, sizes, number)?;
        }
        Ok(track)
    }

    fn advance(
        &mut self,
        scheme: &Scheme,
        fleet: &Fleet,
        sizes: NodeSize,
        number: usize,
    ) -> Result<(), Problem> {
        let (before, after) = (&fleet.stages[number - 1], &fleet.stages[number]);
        let last = self.stages.len() - 1;
        let had_nodes = matches!(
            self.layouts[self.stages[last].layout].units,
            Units::Nodes(_)
        );
        let next = layout(scheme, after);
        let is_same = self.layouts[self.stages[last].layout] == next;
        let old = &self.stages[last].server_of;
        let mut change = None;
        let (server_of, nodes_moved) = match &next.units {
            Units::Servers(servers) => (servers.iter().map(|(id, _)| *id).collect(), None),
            Units::Nodes(count) if had_nodes && old.len() == usize::from(*count) => {
                // After a change of placement the nodes stay where they are, only their keys are others.
                if after.placement.is_none() {
                    change = nodes::rebalance(fleet, number, old, sizes).map_err(|error| {
                        Problem::new(
                            format!("steps[{}]", number - 1),
                            format!("{scheme}: {error}"),
                        )
                        .expected("a step that can be planned")
                    })?;
                }
                let new = change.as_ref().map_or(old, |change| &change.server_of);
                let moved = old.iter().zip(new).filter(|(old, new)| old != new).count();
                (new.clone(), Some(moved as u32))
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
            change,
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

    /// The layout at the start, with its true names.
    pub(super) fn build_first(&self, track: &Track, fleet: &Fleet) -> Result<Lookup, BuildError> {
        let layout = &track.layouts[0];
        layout.method.build(self.specs(layout, fleet, 0, 0), None)
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
