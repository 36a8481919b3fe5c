//! Which node ends on which server.

use crate::plan::problem::{Problem, Seat};
use crate::plan::{Balance, PlanError, bytes, pairing, repair};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The server of every node afterwards, within everybody's memory.
pub(super) fn choose(problem: &Problem<'_>, balance: Balance) -> Result<Vec<usize>, PlanError> {
    let bounds = bounds(problem)?;
    let assignment = match balance {
        Balance::Nodes => pairing::pair(problem, &counts(problem, &bounds)),
        Balance::Bytes { tolerance } => bytes::even(problem, tolerance),
    };
    repair::within_memory(problem, balance, assignment)
}

/// Fewest and most nodes of one server.
#[derive(Clone, Copy, Debug)]
struct Bound {
    fewest: usize,
    most: usize,
}

/// How many nodes each server may end with.
fn bounds(problem: &Problem<'_>) -> Result<Vec<Bound>, PlanError> {
    let mut smallest: Vec<u64> = (0..problem.node_count())
        .map(|node| problem.bytes(node))
        .collect();
    smallest.sort_unstable();
    let total_weight = problem.weight_total();
    let all_bounds = |only_shares: bool| -> Vec<Bound> {
        problem
            .seats
            .iter()
            .map(|seat| {
                let fewest = match seat.rules.gives {
                    true => 0,
                    false => seat.nodes_before,
                };
                let mut most = match (seat.rules.is_emptied, seat.rules.takes) {
                    (true, _) => 0,
                    (false, true) => fitting(&smallest, seat.limit()),
                    (false, false) => seat.nodes_before.min(match seat.rules.gives {
                        true => fitting(&smallest, seat.limit()),
                        false => usize::MAX,
                    }),
                };
                if only_shares && seat.rules.only_its_share {
                    most = most.min(share_rounded_up(problem.node_count(), seat, total_weight));
                }
                Bound {
                    fewest,
                    most: most.max(fewest),
                }
            })
            .collect()
    };
    let room = |bounds: &[Bound]| bounds.iter().map(|bound| bound.most).sum::<usize>();
    let mut bounds = all_bounds(true);
    if room(&bounds) < problem.node_count() {
        // Servers that are emptied have more to give than the new ones' shares.
        bounds = all_bounds(false);
    }
    if room(&bounds) < problem.node_count() {
        return Err(not_enough(problem));
    }
    Ok(bounds)
}

/// How many of these nodes, smallest first, fit. No set of more nodes does.
fn fitting(smallest: &[u64], limit: u64) -> usize {
    let mut sum = 0_u64;
    smallest
        .iter()
        .take_while(|bytes| {
            sum = sum.saturating_add(**bytes);
            sum <= limit
        })
        .count()
}

fn share_rounded_up(node_count: usize, seat: &Seat, total_weight: u64) -> usize {
    let share = (node_count as u64 * u64::from(seat.weight)).div_ceil(total_weight.max(1));
    usize::try_from(share).unwrap_or(node_count)
}

/// What a server costs: evenness first, then nodes moved, then bytes moved. Each is convex in the server's count, so their lexicographic sum is,
/// too: taking the least marginal cost again and again ends at the least total (Fox 1966; Ibaraki and Katoh, Resource Allocation Problems).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Marginal {
    /// Of (count - share)^2, shorn of what all have in common: count * total weight - nodes * weight.
    deviation: i128,
    /// -1 as long as a node more means that one less leaves.
    moved: i8,
    /// Minus the bytes of that node.
    moved_bytes: i128,
    server: usize,
}

/// How many nodes each server ends with.
fn counts(problem: &Problem<'_>, bounds: &[Bound]) -> Vec<usize> {
    let total_weight = i128::from(problem.weight_total());
    let node_count = problem.node_count();
    let given: Vec<Vec<usize>> = problem
        .nodes_by_server(&problem.origin)
        .into_iter()
        .map(|mut nodes| {
            problem.by_size(&mut nodes);
            nodes
        })
        .collect();
    let marginal = |server: usize, count: usize| {
        // With `count` of its nodes kept, the largest that it gives is the one it would keep next.
        let kept_next = given[server]
            .len()
            .checked_sub(count + 1)
            .map(|at| given[server][at]);
        Reverse(Marginal {
            deviation: count as i128 * total_weight
                - node_count as i128 * i128::from(problem.seats[server].weight),
            moved: if kept_next.is_some() { -1 } else { 0 },
            moved_bytes: kept_next.map_or(0, |node| -i128::from(problem.bytes(node))),
            server,
        })
    };
    let mut counts: Vec<usize> = bounds.iter().map(|bound| bound.fewest).collect();
    let mut heap: BinaryHeap<Reverse<Marginal>> = (0..counts.len())
        .filter(|&server| counts[server] < bounds[server].most)
        .map(|server| marginal(server, counts[server]))
        .collect();
    let mut left = node_count.saturating_sub(counts.iter().sum());
    while left > 0
        && let Some(Reverse(Marginal { server, .. })) = heap.pop()
    {
        counts[server] += 1;
        left -= 1;
        if counts[server] < bounds[server].most {
            heap.push(marginal(server, counts[server]));
        }
    }
    counts
}

fn not_enough(problem: &Problem<'_>) -> PlanError {
    let limits = problem
        .seats
        .iter()
        .filter(|seat| !seat.rules.is_emptied && (seat.rules.takes || seat.nodes_before > 0))
        .map(Seat::limit);
    PlanError::NotEnoughMemory {
        needed_bytes: problem.sizes.iter().map(|size| size.bytes).sum(),
        room_bytes: limits.clone().fold(0, u64::saturating_add),
        servers: limits.count(),
    }
}
