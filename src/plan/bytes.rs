//! Evenness by bytes: a local search that moves few nodes.
//!
//! The best choice of nodes is a partition problem (NP-hard), so this does not claim the fewest: it takes the step that brings most bytes into
//! the servers' bands, until none does, and then takes back what was not needed.

use crate::plan::Balance;
use crate::plan::problem::Problem;
use crate::plan::search::{Cost, Evenness, Search, Step};

/// Steps that are looked at, in all: a bound on the time, some tenths of a second.
const LOOKS_MAX: u64 = 5_000_000;

/// The server of every node so that servers are within the tolerance of their shares, as far as that is found.
pub(super) fn even(problem: &Problem<'_>, tolerance: f64) -> Vec<usize> {
    let evenness = Evenness::new(problem, Balance::Bytes { tolerance });
    let mut search = Search::new(problem, evenness, problem.origin.clone());
    empty(&mut search);
    let mut looks = LOOKS_MAX;
    while looks > 0 && (shift(&mut search, &mut looks) || swap(&mut search, &mut looks)) {}
    take_back(&mut search);
    take_smaller(&mut search);
    search.assignment
}

/// Nodes that must leave, the largest first, each to the server that is then the least full for its weight.
fn empty(search: &mut Search<'_>) {
    let problem = search.problem;
    let mut leaving: Vec<usize> = (0..problem.node_count())
        .filter(|&node| problem.seats[problem.origin[node]].rules.is_emptied)
        .collect();
    leaving.sort_by_key(|&node| (std::cmp::Reverse(problem.bytes(node)), node));
    for node in leaving {
        let fullness = |server: usize| {
            let after = search.loads[server].saturating_add(problem.bytes(node));
            let excess = after.saturating_sub(problem.seats[server].limit());
            // Loads by weight, to 64 bits behind the point: equal ones are equal.
            let load = (u128::from(after) << 32) / u128::from(problem.seats[server].weight.max(1));
            (excess, load, server)
        };
        let to = (0..problem.seats.len())
            .filter(|&server| problem.seats[server].rules.takes)
            .min_by_key(|&server| fullness(server));
        if let Some(to) = to {
            search.make(Step::Shift { node, to });
        }
    }
}

/// From the fullest server that has a node to spare to the emptiest that it helps, as often as it helps: so few pairs have to do with each other.
fn shift(search: &mut Search<'_>, looks: &mut u64) -> bool {
    let problem = search.problem;
    let servers = by_fullness(search);
    for &to in servers.iter().filter(|&&to| problem.seats[to].rules.takes) {
        for &from in servers.iter().rev() {
            let mut has_moved = false;
            while let Some(step) = best_shift(search, from, to, looks) {
                search.make(step);
                has_moved = true;
            }
            if has_moved {
                return true;
            }
        }
    }
    false
}

fn best_shift(search: &Search<'_>, from: usize, to: usize, looks: &mut u64) -> Option<Step> {
    let mut best: Option<(Cost, Step)> = None;
    for &node in &search.nodes[from] {
        *looks = looks.saturating_sub(1);
        consider(search, Step::Shift { node, to }, &mut best);
    }
    best.map(|(_, step)| step)
}

/// Two nodes of different size change places.
fn swap(search: &mut Search<'_>, looks: &mut u64) -> bool {
    let servers = by_fullness(search);
    for &from in servers.iter().rev() {
        for &to in &servers {
            let mut best = None;
            for &one in &search.nodes[from] {
                for &other in &search.nodes[to] {
                    *looks = looks.saturating_sub(1);
                    consider(search, Step::Swap { one, other }, &mut best);
                }
            }
            if let Some((_, step)) = best {
                search.make(step);
                return true;
            }
            if *looks == 0 {
                return false;
            }
        }
    }
    false
}

/// Only what brings bytes into bands, and nobody over a limit, is a step.
fn consider(search: &Search<'_>, step: Step, best: &mut Option<(Cost, Step)>) {
    let Some(cost) = search.worth(step) else {
        return;
    };
    if cost.excess <= 0
        && cost.unevenness < 0
        && best.is_none_or(|(least, first)| (cost, step) < (least, first))
    {
        *best = Some((cost, step));
    }
}

/// Servers, the emptiest for its weight first.
fn by_fullness(search: &Search<'_>) -> Vec<usize> {
    let mut servers: Vec<usize> = (0..search.loads.len()).collect();
    servers.sort_by_key(|&server| {
        let weight = u128::from(search.problem.seats[server].weight.max(1));
        ((u128::from(search.loads[server]) << 32) / weight, server)
    });
    servers
}

/// What later steps have made superfluous stays where it was.
fn take_back(search: &mut Search<'_>) {
    for node in by_bytes_moved(search) {
        let to = search.problem.origin[node];
        let step = Step::Shift { node, to };
        if search.worth(step).is_some_and(is_no_worse) {
            search.make(step);
        }
    }
}

/// A smaller node of the same server may do as well.
fn take_smaller(search: &mut Search<'_>) {
    for node in by_bytes_moved(search) {
        let origin = search.problem.origin[node];
        let mut stays: Vec<usize> = search.nodes[origin].clone();
        search.problem.by_size(&mut stays);
        let step = stays
            .into_iter()
            .map(|other| Step::Swap { one: node, other })
            .find(|&step| {
                search
                    .worth(step)
                    .is_some_and(|cost| is_no_worse(cost) && cost < Cost::default())
            });
        if let Some(step) = step {
            search.make(step);
        }
    }
}

fn is_no_worse(cost: Cost) -> bool {
    cost.excess <= 0 && cost.unevenness <= 0
}

/// The moved nodes, the largest first.
fn by_bytes_moved(search: &Search<'_>) -> Vec<usize> {
    let problem = search.problem;
    let mut moved: Vec<usize> = (0..problem.node_count())
        .filter(|&node| search.assignment[node] != problem.origin[node])
        .collect();
    moved.sort_by_key(|&node| (std::cmp::Reverse(problem.bytes(node)), node));
    moved
}
