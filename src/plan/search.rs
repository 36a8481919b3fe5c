//! An assignment of nodes to servers that is changed step by step, and what a step is worth.

use crate::plan::Balance;
use crate::plan::problem::Problem;

/// How far a server is from what it should have.
pub(super) enum Evenness {
    /// (nodes - share)^2, times the square of the total weight so that it is an integer.
    Nodes { total_weight: i128 },
    /// Bytes outside of each server's band.
    Bytes { bands: Vec<Band> },
}

/// What a server's bytes should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    pub(super) low: u64,
    pub(super) high: u64,
}

impl Evenness {
    pub(super) fn new(problem: &Problem<'_>, balance: Balance) -> Evenness {
        match balance {
            Balance::Nodes => Evenness::Nodes {
                total_weight: i128::from(problem.weight_total()),
            },
            Balance::Bytes { tolerance } => Evenness::Bytes {
                bands: shares_bytes(problem)
                    .into_iter()
                    .map(|share| {
                        let room = (share as f64 * tolerance) as u64;
                        Band {
                            low: share - room.min(share),
                            high: share.saturating_add(room),
                        }
                    })
                    .collect(),
            },
        }
    }

    pub(super) fn of(&self, problem: &Problem<'_>, server: usize, count: usize, load: u64) -> i128 {
        match self {
            Evenness::Nodes { total_weight } => {
                let share = problem.node_count() as i128 * i128::from(problem.seats[server].weight);
                let distance = count as i128 * total_weight - share;
                distance * distance
            }
            Evenness::Bytes { bands } => {
                let Band { low, high } = bands[server];
                i128::from(low.saturating_sub(load)) + i128::from(load.saturating_sub(high))
            }
        }
    }
}

/// What every server should hold by its weight, rounded down.
pub(super) fn shares_bytes(problem: &Problem<'_>) -> Vec<u64> {
    let total: u128 = problem
        .sizes
        .iter()
        .map(|size| u128::from(size.bytes))
        .sum();
    let weights = u128::from(problem.weight_total().max(1));
    problem
        .seats
        .iter()
        .map(|seat| (total * u128::from(seat.weight) / weights) as u64)
        .collect()
}

/// What an assignment costs, or what a step adds to that: the first difference decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    /// Bytes over limits.
    pub(super) excess: i128,
    pub(super) unevenness: i128,
    pub(super) nodes: i64,
    pub(super) bytes: i128,
}

/// A change of one or two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Shift { node: usize, to: usize },
    Swap { one: usize, other: usize },
}

pub(super) struct Search<'a> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) evenness: Evenness,
    pub(super) assignment: Vec<usize>,
    pub(super) nodes: Vec<Vec<usize>>,
    pub(super) loads: Vec<u64>,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        problem: &'a Problem<'a>,
        evenness: Evenness,
        assignment: Vec<usize>,
    ) -> Search<'a> {
        Search {
            nodes: problem.nodes_by_server(&assignment),
            loads: problem.loads(&assignment),
            problem,
            evenness,
            assignment,
        }
    }

    pub(super) fn excess(&self, server: usize) -> u64 {
        self.loads[server].saturating_sub(self.problem.seats[server].limit())
    }

    /// What the step adds to the cost; `None` if the goal forbids it.
    pub(super) fn worth(&self, step: Step) -> Option<Cost> {
        match step {
            Step::Shift { node, to } => {
                let from = self.assignment[node];
                if from == to || !self.problem.may_be(node, to) {
                    return None;
                }
                let bytes = i128::from(self.problem.bytes(node));
                let mut cost = self.relocation(node, to);
                self.change(&mut cost, from, -1, -bytes);
                self.change(&mut cost, to, 1, bytes);
                Some(cost)
            }
            Step::Swap { one, other } => {
                let (a, b) = (self.assignment[one], self.assignment[other]);
                if a == b || !self.problem.may_be(one, b) || !self.problem.may_be(other, a) {
                    return None;
                }
                let difference =
                    i128::from(self.problem.bytes(other)) - i128::from(self.problem.bytes(one));
                let mut cost = self.relocation(one, b);
                let second = self.relocation(other, a);
                cost.nodes += second.nodes;
                cost.bytes += second.bytes;
                self.change(&mut cost, a, 0, difference);
                self.change(&mut cost, b, 0, -difference);
                Some(cost)
            }
        }
    }

    pub(super) fn make(&mut self, step: Step) {
        match step {
            Step::Shift { node, to } => self.put(node, to),
            Step::Swap { one, other } => {
                let (a, b) = (self.assignment[one], self.assignment[other]);
                self.put(one, b);
                self.put(other, a);
            }
        }
    }

    fn put(&mut self, node: usize, to: usize) {
        let from = self.assignment[node];
        let bytes = self.problem.bytes(node);
        self.nodes[from].retain(|other| *other != node);
        self.nodes[to].push(node);
        self.loads[from] -= bytes;
        self.loads[to] += bytes;
        self.assignment[node] = to;
    }

    /// Nodes and bytes that are moved more, or less.
    fn relocation(&self, node: usize, to: usize) -> Cost {
        let origin = self.problem.origin[node];
        let change = i64::from(to != origin) - i64::from(self.assignment[node] != origin);
        Cost {
            nodes: change,
            bytes: i128::from(change) * i128::from(self.problem.bytes(node)),
            ..Cost::default()
        }
    }

    fn change(&self, cost: &mut Cost, server: usize, nodes: isize, bytes: i128) {
        let (count, load) = (self.nodes[server].len(), self.loads[server]);
        let new_count = count.saturating_add_signed(nodes);
        // Below the total, which was checked, and never negative: the nodes are there.
        let new_load = (i128::from(load) + bytes) as u64;
        let over = |load: u64| i128::from(load.saturating_sub(self.problem.seats[server].limit()));
        cost.excess += over(new_load) - over(load);
        cost.unevenness += self.evenness.of(self.problem, server, new_count, new_load)
            - self.evenness.of(self.problem, server, count, load);
    }
}
