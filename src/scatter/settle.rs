//! What follows a round of commands on one connection: which replies stand, what is sent again, and what has failed.
//! Pure: from what was attempted to what happens next.
//!
//! Three promises hold here, whatever happened on the wire:
//! 1. A write that may have been executed is never sent again.
//! 2. Commands of one node keep their order: nothing is sent again after a later command of its node was executed, and
//!    nothing of a node is sent after a command of it that failed.
//! 3. A command over several nodes (a part of an MSET) ties these nodes together.

use crate::placement::NodeId;
use std::collections::HashSet;

/// One command of the round, in the order in which the round was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempted {
    /// The nodes whose order it keeps. None for a command that goes to every server and keeps no order.
    pub(super) nodes: Vec<NodeId>,
    pub(super) is_read: bool,
    pub(super) came: Came,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// A reply, which may be an error.
    Reply,
    /// An error reply which says that nothing was done, and that another try may do better.
    NotExecuted,
    /// It was not written. `hopeful`: another try may do better.
    NotSent { hopeful: bool },
    /// It was written and not answered. `hopeful`: a read may be sent again.
    Unknown { hopeful: bool },
    /// It was routed by an older topology, and not written.
    Stale,
}

/// What happens next to one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Its reply is its result.
    Reply,
    /// It is sent again, in the next round.
    Again,
    /// It has failed, as it came.
    Fails,
    /// It has failed because an earlier command of its node did: it was not sent.
    FailsWithEarlier,
}

/// Decides for each command of a round. `may_retry`: deadline, attempts and budget allow another round.
pub(super) fn settle(round: &[Attempted], may_retry: bool) -> Vec<Next> {
    let not_executed = stands_as_not_executed(round, may_retry);
    let is_unanswered =
        |at: usize| round[at].came != Came::Reply && !is_refusal(round, &not_executed, at);
    let mut unanswered_writes: HashSet<NodeId> = HashSet::new();
    for (at, command) in round.iter().enumerate() {
        if !command.is_read && is_unanswered(at) {
            unanswered_writes.extend(&command.nodes);
        }
    }
    // A command that fails takes the others of its nodes with it, and those may be of further nodes.
    let mut failed: HashSet<NodeId> = HashSet::new();
    loop {
        let before = failed.len();
        for (at, command) in round.iter().enumerate() {
            let fails = match command.came {
                Came::Reply => false,
                Came::NotExecuted if !not_executed[at] => false,
                Came::NotExecuted => is_tied(command, &failed),
                Came::Stale => is_tied(command, &failed),
                Came::NotSent { hopeful } => !(may_retry && hopeful) || is_tied(command, &failed),
                Came::Unknown { hopeful } => {
                    !(may_retry && hopeful && command.is_read)
                        || is_tied(command, &failed)
                        || is_tied(command, &unanswered_writes)
                }
            };
            if fails {
                failed.extend(&command.nodes);
            }
        }
        if failed.len() == before {
            break;
        }
    }
    (0..round.len())
        .map(|at| {
            let command = &round[at];
            let is_tied = is_tied(command, &failed);
            match command.came {
                Came::Reply => Next::Reply,
                Came::NotExecuted if not_executed[at] && !is_tied => Next::Again,
                Came::NotExecuted => Next::Reply,
                Came::Stale if is_tied => Next::FailsWithEarlier,
                Came::Stale => Next::Again,
                Came::NotSent { hopeful } if may_retry && hopeful && !is_tied => Next::Again,
                Came::Unknown { hopeful }
                    if may_retry
                        && hopeful
                        && command.is_read
                        && !is_tied
                        && !self::is_tied(command, &unanswered_writes) =>
                {
                    Next::Again
                }
                Came::NotSent { .. } | Came::Unknown { .. } => Next::Fails,
            }
        })
        .collect()
}

/// Which of the refused commands may be sent again as far as those after them go: no later command of their nodes was
/// executed, or it would be overtaken.
fn stands_as_not_executed(round: &[Attempted], may_retry: bool) -> Vec<bool> {
    let mut again = vec![false; round.len()];
    let mut executed_later: HashSet<NodeId> = HashSet::new();
    for (at, command) in round.iter().enumerate().rev() {
        match command.came {
            Came::NotExecuted if may_retry && !is_tied(command, &executed_later) => {
                again[at] = true
            }
            Came::Reply | Came::NotExecuted => executed_later.extend(&command.nodes),
            Came::NotSent { .. } | Came::Unknown { .. } | Came::Stale => {}
        }
    }
    again
}

/// An error reply that stands.
fn is_refusal(round: &[Attempted], not_executed: &[bool], at: usize) -> bool {
    round[at].came == Came::NotExecuted && !not_executed[at]
}

fn is_tied(command: &Attempted, nodes: &HashSet<NodeId>) -> bool {
    command.nodes.iter().any(|node| nodes.contains(node))
}

#[cfg(test)]
mod tests;
