//! In which order nodes move: waves of moves that go on at the same time.
//!
//! While a move goes on, its bytes are on both servers: a server's peak is what it had when the wave began, and all that comes in the wave. Two
//! tries: waves as full as can be; and if that runs into a dead end, a search for some sequence of single nodes, packed into waves.

use crate::plan::problem::Problem;
use crate::plan::size::NodeSize;
use crate::plan::{MoveKind, PlanError, StuckMove};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

/// Looks at possible next moves, in all: a bound on the time of the search, some tenths of a second.
const LOOKS_MAX: u64 = 5_000_000;

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
            is_certain: sequence.looks > 0,
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

/// Looks for a sequence in which every node fits when its turn comes.
///
/// A server that has room for all that is still to come may get it at once: that takes nothing from others and frees room at the sources. Only
/// where there is no such server is there a choice, and only then does this go back. Nodes of one pair and size are alike.
struct Sequence<'a> {
    problem: &'a Problem<'a>,
    classes: Vec<Class>,
    /// Of each server, the classes that come to it.
    coming: Vec<Vec<usize>>,
    held: Vec<u64>,
    to_come: Vec<u64>,
    looks: u64,
}

struct Class {
    from: usize,
    to: usize,
    bytes: u64,
    nodes: Vec<usize>,
    done: usize,
}

impl<'a> Sequence<'a> {
    fn new(problem: &'a Problem<'a>, assignment: &[usize]) -> Sequence<'a> {
        let mut classes: BTreeMap<(usize, usize, Reverse<u64>), Vec<usize>> = BTreeMap::new();
        let mut to_come = vec![0; problem.seats.len()];
        for (node, (&from, &to)) in problem.origin.iter().zip(assignment).enumerate() {
            if from != to {
                let bytes = problem.bytes(node);
                to_come[to] += bytes;
                let class = classes.entry((from, to, Reverse(bytes))).or_default();
                class.push(node);
            }
        }
        let classes: Vec<Class> = classes
            .into_iter()
            .map(|((from, to, Reverse(bytes)), nodes)| Class {
                from,
                to,
                bytes,
                nodes,
                done: 0,
            })
            .collect();
        let mut coming = vec![Vec::new(); problem.seats.len()];
        for (index, class) in classes.iter().enumerate() {
            coming[class.to].push(index);
        }
        Sequence {
            held: problem.loads(&problem.origin),
            problem,
            classes,
            coming,
            to_come,
            looks: LOOKS_MAX,
        }
    }

    /// Depth first, without recursion: as deep as there are nodes.
    fn find(&mut self) -> Option<Vec<usize>> {
        let mut seen: HashSet<Vec<usize>> = HashSet::new();
        // The classes done so far, one node each; and at every choice how long that was, and what is still to be tried.
        let mut path: Vec<usize> = Vec::new();
        let mut choices: Vec<(usize, Vec<usize>)> = Vec::new();
        loop {
            self.take_what_is_safe(&mut path);
            if self.classes.iter().all(|class| class.is_done()) {
                return Some(self.nodes_of(&path));
            }
            let is_new = seen.insert(self.classes.iter().map(|class| class.done).collect());
            let options = match is_new {
                true => self.options(),
                false => Vec::new(),
            };
            choices.push((path.len(), options));
            loop {
                if self.looks == 0 {
                    return None;
                }
                let (length, options) = choices.last_mut()?;
                let (length, next) = (*length, options.pop());
                while path.len() > length {
                    if let Some(class) = path.pop() {
                        self.undo(class);
                    }
                }
                match next {
                    Some(class) => {
                        self.make(class);
                        path.push(class);
                        break;
                    }
                    None => choices.pop(),
                };
            }
        }
    }

    fn take_what_is_safe(&mut self, path: &mut Vec<usize>) {
        let mut has_changed = true;
        while has_changed {
            has_changed = false;
            for server in 0..self.held.len() {
                self.looks = self.looks.saturating_sub(1);
                let limit = self.problem.seats[server].limit();
                if self.to_come[server] == 0 && !self.has_coming(server)
                    || self.held[server].saturating_add(self.to_come[server]) > limit
                {
                    continue;
                }
                for index in self.coming[server].clone() {
                    while !self.classes[index].is_done() {
                        self.make(index);
                        path.push(index);
                        has_changed = true;
                    }
                }
            }
        }
    }

    /// Nodes may weigh nothing.
    fn has_coming(&self, server: usize) -> bool {
        self.coming[server]
            .iter()
            .any(|&index| !self.classes[index].is_done())
    }

    /// What could go next, the best last: what frees most room where most is wanted.
    fn options(&mut self) -> Vec<usize> {
        self.looks = self.looks.saturating_sub(self.classes.len() as u64);
        let mut options: Vec<usize> = (0..self.classes.len())
            .filter(|&index| {
                let class = &self.classes[index];
                let after = self.held[class.to].saturating_add(class.bytes);
                !class.is_done() && after <= self.problem.seats[class.to].limit()
            })
            .collect();
        options.sort_by_key(|&index| {
            let class = &self.classes[index];
            (self.to_come[class.from].min(class.bytes), Reverse(index))
        });
        options
    }

    fn make(&mut self, index: usize) {
        let class = &mut self.classes[index];
        class.done += 1;
        self.held[class.from] -= class.bytes;
        self.held[class.to] += class.bytes;
        self.to_come[class.to] -= class.bytes;
    }

    fn undo(&mut self, index: usize) {
        let class = &mut self.classes[index];
        class.done -= 1;
        self.held[class.from] += class.bytes;
        self.held[class.to] -= class.bytes;
        self.to_come[class.to] += class.bytes;
    }

    /// The nodes behind a path of classes.
    fn nodes_of(&self, path: &[usize]) -> Vec<usize> {
        let mut next = vec![0; self.classes.len()];
        path.iter()
            .map(|&index| {
                next[index] += 1;
                self.classes[index].nodes[next[index] - 1]
            })
            .collect()
    }
}

impl Class {
    fn is_done(&self) -> bool {
        self.done == self.nodes.len()
    }
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
