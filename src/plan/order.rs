//! In which order nodes move: waves of moves that go on at the same time.
//!
//! While a move goes on, its bytes are on both servers: a server's peak is what it had when the wave began, and all that comes in the wave. Two
//! tries: waves as full as can be; and if that runs into a dead end, a search for some sequence of single nodes, packed into waves.

use crate::plan::problem::Problem;
use crate::plan::sequence::Sequence;
use crate::plan::size::NodeSize;
use crate::plan::{MoveKind, PlanError, StuckMove};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A move by indices.
#[derive(Clone, Debug)]
pub(super) struct Leg {
    /// Ascending.
    pub(super) nodes: Vec<usize>,
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kind: MoveKind,
    pub(super) wave: usize,
    /// What the source holds when the wave begins.
    pub(super) source: NodeSize,
}

/// All moves from the problem's origin to this assignment, by wave.
pub(super) fn waves(
    problem: &Problem<'_>,
    assignment: &[usize],
    moves_per_server_max: usize,
) -> Result<Vec<Leg>, PlanError> {
    let mut full = Schedule::new(problem, assignment, moves_per_server_max);
    while !full.is_done() && full.fullest_wave() {}
    if full.is_done() {
        return Ok(full.legs);
    }
    let mut sequence = Sequence::new(problem, assignment);
    let Some(nodes) = sequence.find() else {
        return Err(PlanError::Stuck {
            moves: full.stuck(),
            is_certain: sequence.has_seen_all(),
        });
    };
    let mut packed = Schedule::new(problem, assignment, moves_per_server_max);
    let mut rest = nodes;
    while !rest.is_empty() {
        rest = packed.next_of_sequence(rest);
    }
    Ok(packed.legs)
}

type Pair = (usize, usize);

/// Where things are between two waves, and what is still to move.
struct Schedule<'a> {
    problem: &'a Problem<'a>,
    assignment: &'a [usize],
    moves_per_server_max: usize,
    /// The nodes of each pair of servers, the largest first.
    pending: BTreeMap<Pair, Vec<usize>>,
    held: Vec<NodeSize>,
    counts: Vec<usize>,
    legs: Vec<Leg>,
    wave: usize,
}

/// What a wave has so far.
struct Wave {
    /// Moves that touch a server.
    touches: Vec<usize>,
    coming_bytes: Vec<u64>,
    legs: Vec<Leg>,
}

impl<'a> Schedule<'a> {
    fn new(
        problem: &'a Problem<'a>,
        assignment: &'a [usize],
        moves_per_server_max: usize,
    ) -> Schedule<'a> {
        let mut held = vec![NodeSize::default(); problem.seats.len()];
        let mut counts = vec![0; problem.seats.len()];
        let mut pending: BTreeMap<Pair, Vec<usize>> = BTreeMap::new();
        for (node, (&from, &to)) in problem.origin.iter().zip(assignment).enumerate() {
            counts[from] += 1;
            add(&mut held[from], problem.sizes[node]);
            if from != to {
                pending.entry((from, to)).or_default().push(node);
            }
        }
        for nodes in pending.values_mut() {
            nodes.sort_by_key(|&node| (Reverse(problem.bytes(node)), node));
        }
        Schedule {
            problem,
            assignment,
            moves_per_server_max,
            pending,
            held,
            counts,
            legs: Vec::new(),
            wave: 0,
        }
    }

    fn is_done(&self) -> bool {
        self.pending.is_empty()
    }

    fn empty_wave(&self) -> Wave {
        Wave {
            touches: vec![0; self.held.len()],
            coming_bytes: vec![0; self.held.len()],
            legs: Vec::new(),
        }
    }

    /// Plans a wave to which no move can be added; false if there is none.
    fn fullest_wave(&mut self) -> bool {
        let mut wave = self.empty_wave();
        let pairs = self.by_urgency();
        for &(from, to) in &pairs {
            let nodes = &self.pending[&(from, to)];
            if let Some(kind) = self.kind_if_it_fits(&wave, (from, to), nodes) {
                let nodes = nodes.clone();
                self.put(&mut wave, (from, to), nodes, kind);
            }
        }
        // What does not fit as a whole goes in parts.
        for &(from, to) in &pairs {
            if !self.may_touch(&wave, (from, to)) || wave.has((from, to)) {
                continue;
            }
            let Some(mut room) = self.room(&wave, to) else {
                continue;
            };
            let part: Vec<usize> = self.pending[&(from, to)]
                .iter()
                .copied()
                .filter(|&node| {
                    let rest = room.checked_sub(self.problem.bytes(node));
                    room = rest.unwrap_or(room);
                    rest.is_some()
                })
                .collect();
            if !part.is_empty() {
                self.put(&mut wave, (from, to), part, MoveKind::Migrate);
            }
        }
        self.finish(wave)
    }

    /// Pairs of servers, the busiest first: the server with the most moves before it decides how many waves there are.
    fn by_urgency(&self) -> Vec<Pair> {
        let mut degrees = vec![0_usize; self.held.len()];
        for &(from, to) in self.pending.keys() {
            degrees[from] += 1;
            degrees[to] += 1;
        }
        let mut pairs: Vec<Pair> = self.pending.keys().copied().collect();
        pairs.sort_by_cached_key(|&(from, to)| {
            let bytes: u64 = self.pending[&(from, to)]
                .iter()
                .map(|&node| self.problem.bytes(node))
                .sum();
            let (a, b) = (degrees[from], degrees[to]);
            (
                Reverse(a.max(b)),
                Reverse(a.min(b)),
                Reverse(bytes),
                from,
                to,
            )
        });
        pairs
    }

    fn may_touch(&self, wave: &Wave, (from, to): Pair) -> bool {
        wave.touches[from] < self.moves_per_server_max
            && wave.touches[to] < self.moves_per_server_max
    }

    /// What may still come in the wave; `None`: the server is over its limit, and takes not even a node of no bytes.
    fn room(&self, wave: &Wave, server: usize) -> Option<u64> {
        self.problem.seats[server]
            .limit()
            .checked_sub(self.held[server].bytes)?
            .checked_sub(wave.coming_bytes[server])
    }

    /// A split copies all of the source to a server that has nothing else to do; so its source has nothing else to do either.
    fn kind_if_it_fits(&self, wave: &Wave, (from, to): Pair, nodes: &[usize]) -> Option<MoveKind> {
        if !self.may_touch(wave, (from, to)) {
            return None;
        }
        let is_alone = wave.touches[from] == 0 && wave.touches[to] == 0;
        if is_alone && self.can_split((from, to)) {
            return Some(MoveKind::Split);
        }
        let bytes: u64 = nodes.iter().map(|&node| self.problem.bytes(node)).sum();
        (Some(bytes) <= self.room(wave, to)).then_some(MoveKind::Migrate)
    }

    fn can_split(&self, (from, to): Pair) -> bool {
        self.counts[to] == 0 && self.held[from].bytes <= self.problem.seats[to].limit()
    }

    fn put(&self, wave: &mut Wave, (from, to): Pair, mut nodes: Vec<usize>, kind: MoveKind) {
        let taken = match kind {
            MoveKind::Split => self.moves_per_server_max,
            MoveKind::Migrate => 1,
        };
        wave.touches[from] += taken;
        wave.touches[to] += taken;
        wave.coming_bytes[to] += match kind {
            MoveKind::Split => self.held[from].bytes,
            MoveKind::Migrate => nodes.iter().map(|&node| self.problem.bytes(node)).sum(),
        };
        nodes.sort_unstable();
        wave.legs.push(Leg {
            nodes,
            from,
            to,
            kind,
            wave: self.wave,
            source: self.held[from],
        });
    }

    /// Ends the wave; false if it is empty.
    fn finish(&mut self, mut wave: Wave) -> bool {
        if wave.legs.is_empty() {
            return false;
        }
        wave.legs.sort_by_key(|leg| (leg.from, leg.to));
        for leg in &wave.legs {
            for &node in &leg.nodes {
                let size = self.problem.sizes[node];
                self.held[leg.from].keys -= size.keys;
                self.held[leg.from].bytes -= size.bytes;
                add(&mut self.held[leg.to], size);
                self.counts[leg.from] -= 1;
                self.counts[leg.to] += 1;
            }
            let pair = (leg.from, leg.to);
            if let Some(nodes) = self.pending.get_mut(&pair) {
                nodes.retain(|node| leg.nodes.binary_search(node).is_err());
                if nodes.is_empty() {
                    self.pending.remove(&pair);
                }
            }
        }
        self.legs.append(&mut wave.legs);
        self.wave += 1;
        true
    }

    /// A wave of the next nodes of a sequence in which every node fits when its turn comes, and of later ones to servers that have room for all
    /// that is still to come; returns what is left of the sequence.
    fn next_of_sequence(&mut self, sequence: Vec<usize>) -> Vec<usize> {
        let mut wave = self.empty_wave();
        let mut parts: BTreeMap<Pair, Vec<usize>> = BTreeMap::new();
        let mut rest = Vec::new();
        let to_come = self.to_come();
        for node in sequence {
            let pair @ (from, to) = (self.problem.origin[node], self.assignment[node]);
            let bytes = self.problem.bytes(node);
            let is_begun = parts.contains_key(&pair);
            let may_go = is_begun || self.may_touch(&wave, pair);
            let fits = match rest.is_empty() {
                true => Some(bytes) <= self.room(&wave, to),
                false => {
                    let at_last = self.held[to].bytes.saturating_add(to_come[to]);
                    at_last <= self.problem.seats[to].limit()
                }
            };
            if !may_go || !fits {
                rest.push(node);
                continue;
            }
            if !is_begun {
                wave.touches[from] += 1;
                wave.touches[to] += 1;
            }
            wave.coming_bytes[to] += bytes;
            parts.entry(pair).or_default().push(node);
        }
        let mut wave_of_parts = self.empty_wave();
        for (pair, nodes) in parts {
            let (from, to) = pair;
            let is_alone = wave.touches[from] == 1 && wave.touches[to] == 1;
            let kind = match is_alone && self.can_split(pair) {
                true => MoveKind::Split,
                false => MoveKind::Migrate,
            };
            self.put(&mut wave_of_parts, pair, nodes, kind);
        }
        self.finish(wave_of_parts);
        rest
    }

    /// Bytes that are still to come to each server.
    fn to_come(&self) -> Vec<u64> {
        let mut to_come = vec![0; self.held.len()];
        for (&(_, to), nodes) in &self.pending {
            to_come[to] += nodes
                .iter()
                .map(|&node| self.problem.bytes(node))
                .sum::<u64>();
        }
        to_come
    }

    /// What cannot go on, and what is missing.
    fn stuck(&self) -> Vec<StuckMove> {
        self.pending
            .iter()
            .map(|(&(from, to), nodes)| {
                let seats = &self.problem.seats;
                let smallest = nodes.iter().map(|&node| self.problem.bytes(node)).min();
                let needed = self.held[to].bytes.saturating_add(smallest.unwrap_or(0));
                StuckMove {
                    nodes: nodes.len(),
                    from: seats[from].name.clone(),
                    to: seats[to].name.clone(),
                    held_bytes: self.held[to].bytes,
                    limit_bytes: seats[to].limit(),
                    missing_bytes: needed.saturating_sub(seats[to].limit()),
                }
            })
            .collect()
    }
}

impl Wave {
    fn has(&self, (from, to): Pair) -> bool {
        self.legs.iter().any(|leg| (leg.from, leg.to) == (from, to))
    }
}

fn add(sum: &mut NodeSize, size: NodeSize) {
    sum.keys = sum.keys.saturating_add(size.keys);
    sum.bytes += size.bytes;
}

impl Leg {
    /// What moves.
    pub(super) fn size(&self, problem: &Problem<'_>) -> NodeSize {
        let mut sum = NodeSize::default();
        for &node in &self.nodes {
            add(&mut sum, problem.sizes[node]);
        }
        sum
    }
}

/// The most that each server holds, before, during and after these moves.
pub(super) fn peaks(problem: &Problem<'_>, legs: &[Leg]) -> Vec<u64> {
    let mut held = problem.loads(&problem.origin);
    let mut peaks = held.clone();
    for wave in legs.chunk_by(|one, next| one.wave == next.wave) {
        let mut during = held.clone();
        for leg in wave {
            let bytes = leg.size(problem).bytes;
            during[leg.to] += match leg.kind {
                MoveKind::Split => leg.source.bytes,
                MoveKind::Migrate => bytes,
            };
            held[leg.from] -= bytes;
            held[leg.to] += bytes;
        }
        for (peak, during) in peaks.iter_mut().zip(during) {
            *peak = (*peak).max(during);
        }
    }
    peaks
}
