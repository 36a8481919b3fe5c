//! Memory: an assignment that does not fit is changed, node by node, until it does.

use crate::plan::problem::Problem;
use crate::plan::search::{Cost, Evenness, Search, Step};
use crate::plan::{Balance, PlanError};

/// Steps that are looked at, in all: a bound on the time, some tenths of a second.
const LOOKS_MAX: u64 = 5_000_000;

/// Steps that are looked at for the best of them.
const ALL_LOOKS_MAX: usize = 20_000;

/// The assignment, or one near it in which no server is over its limit.
pub(super) fn within_memory(
    problem: &Problem<'_>,
    balance: Balance,
    assignment: Vec<usize>,
) -> Result<Vec<usize>, PlanError> {
    let mut search = Search::new(problem, Evenness::new(problem, balance), assignment);
    if over(&search).is_empty() {
        return Ok(search.assignment);
    }
    let mut looks = LOOKS_MAX;
    while let Some(step) = over(&search)
        .into_iter()
        .find_map(|server| best_from(&search, server, &mut looks))
    {
        search.make(step);
    }
    let still_over = over(&search);
    if !still_over.is_empty() {
        return Err(no_room(&search, &still_over));
    }
    // What made it fit may have made it uneven.
    while let Some(step) =
        (0..problem.seats.len()).find_map(|server| best_from(&search, server, &mut looks))
    {
        search.make(step);
    }
    Ok(search.assignment)
}

/// Servers over their limit, the fullest first.
fn over(search: &Search<'_>) -> Vec<usize> {
    let mut over: Vec<usize> = (0..search.loads.len())
        .filter(|&server| search.excess(server) > 0)
        .collect();
    over.sort_by_key(|&server| std::cmp::Reverse(search.excess(server)));
    over
}

/// A step with a node of this server that lowers the cost most, of all or (where those are too many) of those with the first server that helps,
/// the one with most room first.
fn best_from(search: &Search<'_>, server: usize, looks: &mut u64) -> Option<Step> {
    let room = |other: usize| {
        let limit = search.problem.seats[other].limit();
        limit.saturating_sub(search.loads[other])
    };
    let mut others: Vec<usize> = (0..search.loads.len())
        .filter(|&other| other != server)
        .collect();
    others.sort_by_key(|&other| std::cmp::Reverse(room(other)));
    let looks_at_all = search.nodes[server].len() * search.assignment.len() <= ALL_LOOKS_MAX;
    let mut best: Option<(Cost, Step)> = None;
    for to in others {
        for &node in &search.nodes[server] {
            let shift = std::iter::once(Step::Shift { node, to });
            let swaps = search.nodes[to]
                .iter()
                .map(|&other| Step::Swap { one: node, other });
            for step in shift.chain(swaps) {
                *looks = looks.saturating_sub(1);
                if let Some(cost) = search.worth(step)
                    && cost < Cost::default()
                    && best.is_none_or(|(least, first)| (cost, step) < (least, first))
                {
                    best = Some((cost, step));
                }
            }
        }
        if *looks == 0 {
            return None;
        }
        if best.is_some() && !looks_at_all {
            break;
        }
    }
    best.map(|(_, step)| step)
}

fn no_room(search: &Search<'_>, over: &[usize]) -> PlanError {
    let seats = &search.problem.seats;
    let needed: u64 = search.loads.iter().sum();
    let takers: Vec<_> = (0..seats.len())
        .filter(|&server| !search.nodes[server].is_empty() || seats[server].rules.takes)
        .collect();
    let room = takers.iter().fold(0, |sum: u64, &server| {
        sum.saturating_add(seats[server].limit())
    });
    if room < needed {
        return PlanError::NotEnoughMemory {
            needed_bytes: needed,
            room_bytes: room,
            servers: takers.len(),
        };
    }
    PlanError::NoRoom {
        over: over
            .iter()
            .map(|&server| super::OverLimit {
                server: seats[server].name.clone(),
                bytes: search.loads[server],
                limit_bytes: seats[server].limit(),
            })
            .collect(),
    }
}
