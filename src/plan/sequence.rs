//! The search for an order of single nodes, where waves as full as can be run into a dead end.

use crate::plan::problem::Problem;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

/// Looks at possible next moves, in all: a bound on the time of the search, some tenths of a second.
const LOOKS_MAX: u64 = 5_000_000;

/// Looks for a sequence in which every node fits when its turn comes.
///
/// A server that has room for all that is still to come may get it at once: that takes nothing from others and frees room at the sources. Only
/// where there is no such server is there a choice, and only then does this go back. Nodes of one pair and size are alike.
pub(super) struct Sequence<'a> {
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
    pub(super) fn new(problem: &'a Problem<'a>, assignment: &[usize]) -> Sequence<'a> {
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
    pub(super) fn find(&mut self) -> Option<Vec<usize>> {
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

    /// Whether it has come to its end, not to that of its time.
    pub(super) fn has_seen_all(&self) -> bool {
        self.looks > 0
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
