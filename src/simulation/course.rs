//! The course of a plan: when each move begins and ends, and what every server has to hold and to do meanwhile.
//!
//! Waves follow each other; the moves of a wave begin together. A move goes through its parts as [`Pace::time`] says: a split waits for the
//! synchronization, copies, freezes, removes; a migrate freezes, installs, removes. Copying (or installing) and removing are work that servers share
//! out: of `n` moves that work on a server at a moment, each goes at `1/n` of its pace, and a move at the pace of the slower of its two servers.
//! So a move that is alone takes exactly [`Pace::time`].
//!
//! - Memory: the destination of a split counts as holding all of the source's data from the begin of the copy until both have removed what is
//!   the other's; that of a migrate holds the nodes' data from the end of the freeze on. The source gives memory back when the removing is done. Not
//!   counted: the buffer for the destination ([`Pace::backlog_bytes`]), pages that a fork copies, the marker of installed keys (about 43 B each).
//! - Requests follow their node: they leave the source when the freeze begins and reach the destination when it ends; in between callers wait.
//! - Moves load servers by [`MoveLoad`](crate::plan::MoveLoad), times the pace at which they go. A server is not slowed down by what it has to do:
//!   where requests and moves together exceed 1, moves take longer than said here, and callers wait.
//!
//! ```
//! use keyway::placement::NodeId;
//! use keyway::plan::{Goal, Limits, Pace, Plan, ServerSpec, Sizes};
//! use keyway::simulation::course::{Setting, Traffic, course};
//! use keyway::topology::{Epoch, Topology};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Four nodes of 1 GiB and a million keys each on server a; two of them go to b, which is new.
//! let old = Topology::new(Epoch(0), 4, vec![("a".into(), (0..4).map(NodeId).collect())])?;
//! let (servers, sizes) = (["a", "b"].map(ServerSpec::new), Sizes::even(4, 4_000_000, 4 << 30));
//! let plan = Plan::for_goal(&old, &Goal::Even, &servers, &sizes, &Limits::default())?;
//! let (pace, traffic) = (Pace::default(), Traffic::none());
//! let setting = Setting { scheme: "ketama@4", step: "add b", old: &old, servers: &servers, sizes: &sizes, pace: &pace, traffic };
//! let report = course(&setting, plan.moves())?;
//! // b holds a copy of all of a until what is the other's is removed.
//! assert_eq!(report.servers[1].memory_bytes_peak, 4 << 30);
//! // The delay of the synchronization, half a second, and 4 GiB at 100 MiB/s.
//! assert_eq!(report.moves[0].copy_s, 5.0 + 0.5 + 40.96);
//! # Ok(()) }
//! ```

use super::report::{CourseMove, CoursePoint, CourseReport, CourseServer};
use crate::placement::NodeId;
use crate::plan::{Move, MoveKind, NodeSize, Pace, Parts, ServerSpec, Sizes};
use crate::topology::Topology;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a plan is carried out on.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The scheme's name, for the report.
    pub scheme: &'a str,
    /// The step in words, for the report.
    pub step: &'a str,
    /// Where nodes are before.
    pub old: &'a Topology,
    /// What servers may hold. One that is not among them, but in `old` or in a move, may hold what it likes.
    pub servers: &'a [ServerSpec],
    /// What nodes hold.
    pub sizes: &'a Sizes,
    /// How fast it goes.
    pub pace: &'a Pace,
    /// What clients ask meanwhile.
    pub traffic: Traffic<'a>,
}

/// Requests of clients.
#[derive(Clone, Copy, Debug)]
pub struct Traffic<'a> {
    /// In all, per second.
    pub requests_per_s: f64,
    /// Each node's part, by node, relative to the sum of all; empty: by the number of their keys.
    pub shares: &'a [f64],
}

impl Traffic<'_> {
    /// Nobody asks.
    pub fn none() -> Self {
        Traffic {
            requests_per_s: 0.0,
            shares: &[],
        }
    }
}

/// A plan that does not fit its setting.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CourseError {
    /// Sizes or shares that are not one per node.
    #[error("{found} {what} for {nodes} nodes; expected one for each")]
    Count {
        /// What there must be one of for each node.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many nodes.
        nodes: usize,
    },
    /// A move of a node that is elsewhere at that time, or nowhere.
    #[error(
        "a move takes node {node} from {from}, which does not have it at that time; expected a plan for this topology"
    )]
    NotThere {
        /// The node.
        node: NodeId,
        /// The server that the move takes it from.
        from: Arc<str>,
    },
    /// A node that two moves of one wave take, or a move that leads nowhere.
    #[error(
        "node {node} is moved from {from} twice at a time, or to where it is; expected each node in one move, to another server"
    )]
    NoMove {
        /// The node.
        node: NodeId,
        /// The server that the move takes it from.
        from: Arc<str>,
    },
    /// A rate or a share that is no number of requests.
    #[error("{0} requests; expected a number of at least 0")]
    Requests(f64),
    /// A pace that cannot be.
    #[error("pace: {0}: {1}")]
    Pace(&'static str, String),
}

/// How a plan goes.
///
/// Cost: for each of a wave's moves a pass over the wave's moves and over the servers; the plan that adds a server to a thousand takes milliseconds.
///
/// # Errors
/// [`CourseError`] for moves that do not fit `setting`, and for a pace that [`Pace::check`] refuses.
pub fn course(setting: &Setting<'_>, moves: &[Move]) -> Result<CourseReport, CourseError> {
    setting
        .pace
        .check()
        .map_err(|(field, why)| CourseError::Pace(field, why))?;
    let mut state = State::new(setting, moves)?;
    let mut waves: BTreeMap<usize, Vec<&Move>> = BTreeMap::new();
    for one in moves {
        waves.entry(one.wave).or_default().push(one);
    }
    let mut done = Vec::with_capacity(moves.len());
    for wave in waves.values() {
        run_wave(&mut state, wave, &mut done)?;
    }
    Ok(CourseReport {
        scheme: setting.scheme.to_owned(),
        step: setting.step.to_owned(),
        total_s: state.now_s,
        freeze_ms: done.iter().fold(0.0, |all, one| all + one.freeze_ms),
        moves: done,
        servers: state.servers.into_iter().map(Server::report).collect(),
    })
}

/// Requests are counted in these, so that adding and taking away leaves nothing over.
const SHARE_UNITS: f64 = (1_u64 << 50) as f64;

struct State<'a> {
    setting: &'a Setting<'a>,
    now_s: f64,
    servers: Vec<Server>,
    by_name: BTreeMap<Arc<str>, usize>,
    /// Indexed by node.
    owner: Vec<usize>,
    /// Indexed by node, in units.
    shares: Vec<u64>,
    /// The load of all requests together, if one server had them.
    load_of_all: f64,
}

struct Server {
    name: Arc<str>,
    memory_bytes_max: Option<u64>,
    memory_bytes: u64,
    memory_bytes_peak: u64,
    /// In units.
    share: u64,
    points: Vec<CoursePoint>,
}

impl<'a> State<'a> {
    fn new(setting: &'a Setting<'a>, moves: &[Move]) -> Result<Self, CourseError> {
        let old = setting.old;
        let nodes = old.node_count();
        let count = |what, found| match found == nodes {
            true => Ok(()),
            false => Err(CourseError::Count { what, found, nodes }),
        };
        count("sizes", setting.sizes.nodes.len())?;
        if !setting.traffic.shares.is_empty() {
            count("shares of requests", setting.traffic.shares.len())?;
        }

        let mut servers: Vec<Server> = Vec::new();
        let mut by_name = BTreeMap::new();
        let limits = setting
            .servers
            .iter()
            .map(|spec| (&spec.name, spec.memory_bytes_max));
        let others = old.servers().map(|server| (old.server_name(server), None));
        let made_up = moves.iter().flat_map(|one| [&one.from, &one.to]);
        let others = others.chain(made_up.map(|name| (name, None)));
        for (name, memory_bytes_max) in limits.chain(others) {
            if by_name.contains_key(name) {
                continue;
            }
            by_name.insert(name.clone(), servers.len());
            servers.push(Server {
                name: name.clone(),
                memory_bytes_max,
                memory_bytes: 0,
                memory_bytes_peak: 0,
                share: 0,
                points: Vec::new(),
            });
        }

        let shares = shares(setting)?;
        let mut owner = Vec::with_capacity(nodes);
        for (node, &share) in (0_u16..=u16::MAX).map(NodeId).zip(&shares) {
            let server = by_name[old.server_name(old.server_of(node))];
            owner.push(server);
            servers[server].hold(setting.sizes.nodes[node.index()].bytes);
            servers[server].share += share;
        }
        let load_of_all =
            setting.traffic.requests_per_s / setting.pace.commands_per_s_max.max(1) as f64;
        let mut state = State {
            setting,
            now_s: 0.0,
            servers,
            by_name,
            owner,
            shares,
            load_of_all,
        };
        state.mark(&[]);
        Ok(state)
    }

    /// What each server's nodes hold.
    fn held(&self) -> Vec<NodeSize> {
        let mut held = vec![NodeSize::default(); self.servers.len()];
        for (owner, size) in self.owner.iter().zip(&self.setting.sizes.nodes) {
            held[*owner] = sum([held[*owner], *size].into_iter());
        }
        held
    }

    /// Notes every server's state where it is another than before.
    fn mark(&mut self, running: &[Running]) {
        let mut work = vec![0.0; self.servers.len()];
        for one in running {
            let (from, to) = one.load(&self.setting.pace.load);
            let speed = one.speed;
            work[one.from] += from * speed;
            work[one.to] += to * speed;
        }
        let (at_s, load_of_all) = (self.now_s, self.load_of_all);
        for (server, moves) in self.servers.iter_mut().zip(work) {
            server.mark(CoursePoint {
                at_s,
                requests: server.share as f64 / SHARE_UNITS * load_of_all,
                moves,
                memory_bytes: server.memory_bytes,
            });
        }
    }
}

/// Every node's part of all requests, in units.
fn shares(setting: &Setting<'_>) -> Result<Vec<u64>, CourseError> {
    let traffic = &setting.traffic;
    let by_keys = setting.sizes.nodes.iter().map(|size| size.keys as f64);
    let parts: Vec<f64> = match traffic.shares.is_empty() {
        true => by_keys.collect(),
        false => traffic.shares.to_vec(),
    };
    let wrong = parts.iter().chain([&traffic.requests_per_s]);
    if let Some(&wrong) = wrong
        .into_iter()
        .find(|part| !part.is_finite() || **part < 0.0)
    {
        return Err(CourseError::Requests(wrong));
    }
    let all: f64 = parts.iter().sum();
    let unit = |part: f64| (part / all.max(f64::MIN_POSITIVE) * SHARE_UNITS) as u64;
    Ok(parts.into_iter().map(unit).collect())
}

impl Server {
    fn hold(&mut self, bytes: u64) {
        self.memory_bytes = self.memory_bytes.saturating_add(bytes);
        self.memory_bytes_peak = self.memory_bytes_peak.max(self.memory_bytes);
    }

    fn mark(&mut self, point: CoursePoint) {
        let same = |a: &CoursePoint| {
            a.requests == point.requests
                && a.moves == point.moves
                && a.memory_bytes == point.memory_bytes
        };
        if self.points.last().is_some_and(same) {
            return;
        }
        // What lasts no time is no state. The peak of memory is kept apart.
        if self.points.last().is_some_and(|a| a.at_s == point.at_s) {
            self.points.pop();
            if self.points.last().is_some_and(same) {
                return;
            }
        }
        self.points.push(point);
    }

    fn report(self) -> CourseServer {
        CourseServer {
            server: self.name.to_string(),
            memory_bytes_peak: self.memory_bytes_peak,
            memory_bytes_max: self.memory_bytes_max,
            points: self.points,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Wait,
    Copy,
    Freeze,
    Purge,
}

const SPLIT: [Part; 4] = [Part::Wait, Part::Copy, Part::Freeze, Part::Purge];
const MIGRATE: [Part; 3] = [Part::Freeze, Part::Copy, Part::Purge];

/// A move that goes on.
struct Running<'a> {
    one: &'a Move,
    /// Its place in the report.
    place: usize,
    from: usize,
    to: usize,
    source: NodeSize,
    moved: NodeSize,
    share: u64,
    parts: Parts,
    /// Index into [`SPLIT`] or [`MIGRATE`].
    at: usize,
    /// What is left of the part, in seconds if the move were alone.
    left_s: f64,
    speed: f64,
}

impl Running<'_> {
    fn order(&self) -> &'static [Part] {
        match self.one.kind {
            MoveKind::Split => &SPLIT,
            MoveKind::Migrate => &MIGRATE,
        }
    }

    fn part(&self) -> Part {
        self.order()[self.at]
    }

    fn begin(&mut self, at: usize) {
        self.at = at;
        self.left_s = match self.part() {
            Part::Wait => self.parts.wait_s,
            Part::Copy => self.parts.copy_s,
            Part::Freeze => self.parts.freeze_s,
            Part::Purge => self.parts.purge_s,
        };
    }

    /// The servers that the part makes work.
    fn workers(&self) -> (Option<usize>, Option<usize>) {
        match (self.part(), self.one.kind) {
            (Part::Wait | Part::Freeze, _) => (None, None),
            (Part::Purge, MoveKind::Migrate) => (Some(self.from), None),
            (Part::Copy, _) | (Part::Purge, MoveKind::Split) => (Some(self.from), Some(self.to)),
        }
    }

    /// What the part takes at full pace, of the source and of the destination.
    fn load(&self, load: &crate::plan::MoveLoad) -> (f64, f64) {
        match (self.part(), self.one.kind) {
            (Part::Wait | Part::Freeze, _) => (0.0, 0.0),
            (Part::Copy, MoveKind::Split) => (load.copy_source, load.copy_destination),
            (Part::Copy, MoveKind::Migrate) => (load.install_source, load.install_destination),
            (Part::Purge, MoveKind::Split) => (load.purge, load.purge),
            (Part::Purge, MoveKind::Migrate) => (load.purge, 0.0),
        }
    }
}

fn run_wave(
    state: &mut State<'_>,
    wave: &[&Move],
    done: &mut Vec<CourseMove>,
) -> Result<(), CourseError> {
    let held = state.held();
    let mut taken = BTreeSet::new();
    let mut running = Vec::with_capacity(wave.len());
    for one in wave {
        let start = start(state, one, &held, done.len())?;
        for &node in &one.nodes {
            if start.from == start.to || !taken.insert(node) {
                return Err(CourseError::NoMove {
                    node,
                    from: one.from.clone(),
                });
            }
        }
        done.push(CourseMove {
            wave: one.wave,
            from: one.from.to_string(),
            to: one.to.to_string(),
            kind: one.kind,
            nodes: u32::try_from(one.nodes.len()).unwrap_or(u32::MAX),
            keys: start.moved.keys,
            bytes: start.moved.bytes,
            start_s: state.now_s,
            copy_s: 0.0,
            freeze_ms: 0.0,
            purge_s: 0.0,
            why: one.why.clone(),
        });
        running.push(start);
    }
    for one in &mut running {
        enter(state, one, 0);
    }
    let mut workers = vec![0_u32; state.servers.len()];
    while !running.is_empty() {
        set_speeds(&mut running, &mut workers);
        state.mark(&running);
        let step_s = running
            .iter()
            .map(|one| one.left_s / one.speed)
            .fold(f64::INFINITY, f64::min);
        state.now_s += step_s;
        for one in &mut running {
            let ends = one.left_s / one.speed <= step_s;
            one.left_s = if ends {
                0.0
            } else {
                (one.left_s - step_s * one.speed).max(0.0)
            };
            let record = &mut done[one.place];
            match one.part() {
                Part::Wait | Part::Copy => record.copy_s += step_s,
                Part::Freeze => record.freeze_ms += step_s * 1e3,
                Part::Purge => record.purge_s += step_s,
            }
        }
        // What ends gives memory back before anything that begins at the same moment takes some.
        for one in running.iter().filter(|one| one.left_s == 0.0) {
            leave(state, one);
        }
        running.retain_mut(|one| {
            let next = one.at + usize::from(one.left_s == 0.0);
            if next < one.order().len() && next > one.at {
                enter(state, one, next);
            }
            next < one.order().len()
        });
    }
    state.mark(&[]);
    Ok(())
}

fn start<'a>(
    state: &State<'_>,
    one: &'a Move,
    held: &[NodeSize],
    place: usize,
) -> Result<Running<'a>, CourseError> {
    let (from, to) = (state.by_name[&one.from], state.by_name[&one.to]);
    for &node in &one.nodes {
        if state.owner.get(node.index()) != Some(&from) {
            return Err(CourseError::NotThere {
                node,
                from: one.from.clone(),
            });
        }
    }
    let sizes = &state.setting.sizes.nodes;
    let source = held[from];
    let moved = sum(one.nodes.iter().map(|node| sizes[node.index()]));
    let parts = state.setting.pace.parts(one.kind, source, moved);
    Ok(Running {
        one,
        place,
        from,
        to,
        source,
        moved,
        share: one
            .nodes
            .iter()
            .map(|node| state.shares[node.index()])
            .sum(),
        parts,
        at: 0,
        left_s: 0.0,
        speed: 1.0,
    })
}

/// What changes when a part begins.
fn enter(state: &mut State<'_>, one: &mut Running<'_>, at: usize) {
    one.begin(at);
    match (one.part(), one.one.kind) {
        (Part::Copy, MoveKind::Split) => state.servers[one.to].hold(one.source.bytes),
        (Part::Copy, MoveKind::Migrate) => state.servers[one.to].hold(one.moved.bytes),
        (Part::Freeze, _) => {
            let from = &mut state.servers[one.from];
            from.share = from.share.saturating_sub(one.share);
        }
        (Part::Wait | Part::Purge, _) => {}
    }
}

/// What changes when a part ends.
fn leave(state: &mut State<'_>, one: &Running<'_>) {
    match one.part() {
        Part::Wait | Part::Copy => {}
        Part::Freeze => {
            state.servers[one.to].share += one.share;
            for node in &one.one.nodes {
                state.owner[node.index()] = one.to;
            }
        }
        Part::Purge => {
            let from = &mut state.servers[one.from];
            from.memory_bytes = from.memory_bytes.saturating_sub(one.moved.bytes);
            if one.one.kind == MoveKind::Split {
                let kept = one.source.bytes.saturating_sub(one.moved.bytes);
                let to = &mut state.servers[one.to];
                to.memory_bytes = to.memory_bytes.saturating_sub(kept);
            }
        }
    }
}

fn set_speeds(running: &mut [Running<'_>], workers: &mut [u32]) {
    workers.fill(0);
    let both = |(from, to): (Option<usize>, Option<usize>)| from.into_iter().chain(to);
    for one in running.iter() {
        for server in both(one.workers()) {
            workers[server] += 1;
        }
    }
    for one in running {
        let most = both(one.workers()).map(|server| workers[server]).max();
        one.speed = 1.0 / f64::from(most.unwrap_or(1));
    }
}

fn sum(sizes: impl Iterator<Item = NodeSize>) -> NodeSize {
    sizes.fold(NodeSize::default(), |all, size| NodeSize {
        keys: all.keys.saturating_add(size.keys),
        bytes: all.bytes.saturating_add(size.bytes),
    })
}

#[cfg(test)]
mod tests;
