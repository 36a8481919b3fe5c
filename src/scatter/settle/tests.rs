//! `settle` beside a model: a server that executes what it is sent, loses connections and refuses at random.

use super::*;
use proptest::prelude::*;

/// One command of the model.
#[derive(Clone, Debug)]
struct Command {
    nodes: Vec<NodeId>,
    is_read: bool,
}

/// What happens in one round. Positions are taken modulo what the round has.
#[derive(Clone, Debug)]
struct Weather {
    /// This many commands are written, of these this many are executed, and of these this many are answered.
    written: usize,
    executed: usize,
    answered: usize,
    /// By position: the server refuses it, as while it loads.
    refuses: Vec<bool>,
    hopeful: bool,
    /// What was not written is stale, in place of not sent.
    is_stale: bool,
    may_retry: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Result {
    Done,
    Refused,
    NotSent,
    Unknown,
}

/// Runs rounds until each command has its result; `log` is what the server executed, and whether it was answered.
fn run(commands: &[Command], weather: &[Weather]) -> (Vec<Result>, Vec<(usize, bool)>) {
    let mut results: Vec<Option<Result>> = vec![None; commands.len()];
    let mut log = Vec::new();
    let calm = Weather {
        written: usize::MAX,
        executed: usize::MAX,
        answered: usize::MAX,
        refuses: Vec::new(),
        hopeful: false,
        is_stale: false,
        may_retry: false,
    };
    for weather in weather.iter().chain(std::iter::repeat(&calm)) {
        let pending: Vec<usize> = (0..commands.len())
            .filter(|at| results[*at].is_none())
            .collect();
        if pending.is_empty() {
            break;
        }
        let written = weather.written.min(pending.len());
        let executed = weather.executed.min(written);
        let answered = weather.answered.min(executed);
        let round: Vec<Attempted> = pending
            .iter()
            .enumerate()
            .map(|(place, at)| {
                let refuses = weather.refuses.get(place) == Some(&true);
                if place < executed && !refuses {
                    log.push((*at, place < answered));
                }
                let came = if place < answered && refuses {
                    Came::NotExecuted
                } else if place < answered {
                    Came::Reply
                } else if place < written {
                    Came::Unknown {
                        hopeful: weather.hopeful,
                    }
                } else if weather.is_stale {
                    Came::Stale
                } else {
                    Came::NotSent {
                        hopeful: weather.hopeful,
                    }
                };
                Attempted {
                    nodes: commands[*at].nodes.clone(),
                    is_read: commands[*at].is_read,
                    came,
                }
            })
            .collect();
        for ((at, next), attempted) in pending
            .iter()
            .zip(settle(&round, weather.may_retry))
            .zip(&round)
        {
            results[*at] = match (next, attempted.came) {
                (Next::Again, came) => {
                    assert!(weather.may_retry || came == Came::Stale, "{came:?}");
                    None
                }
                (Next::Reply, Came::Reply) => Some(Result::Done),
                (Next::Reply, Came::NotExecuted) => Some(Result::Refused),
                (Next::Fails, Came::NotSent { .. }) | (Next::FailsWithEarlier, Came::Stale) => {
                    Some(Result::NotSent)
                }
                (Next::Fails, Came::Unknown { .. }) => Some(Result::Unknown),
                impossible => panic!("{impossible:?}"),
            };
        }
    }
    let results = results.into_iter().map(|result| result.unwrap()).collect();
    (results, log)
}

fn command() -> impl Strategy<Value = Command> {
    let nodes = proptest::collection::btree_set(0u16..4, 1..3);
    (nodes, any::<bool>()).prop_map(|(nodes, is_read)| Command {
        nodes: nodes.into_iter().map(NodeId).collect(),
        is_read,
    })
}

fn weather() -> impl Strategy<Value = Weather> {
    let refuses = proptest::collection::vec(proptest::bool::weighted(0.2), 12);
    (
        0..14usize,
        0..14usize,
        0..14usize,
        refuses,
        any::<[bool; 3]>(),
    )
        .prop_map(
            |(written, executed, answered, refuses, [hopeful, is_stale, may_retry])| Weather {
                written,
                executed,
                answered,
                refuses,
                hopeful,
                is_stale,
                may_retry,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn each_result_is_the_truth_and_the_commands_of_a_node_keep_their_order(
        commands in proptest::collection::vec(command(), 1..12),
        weather in proptest::collection::vec(weather(), 0..6),
    ) {
        let (results, log) = run(&commands, &weather);
        for (at, command) in commands.iter().enumerate() {
            let times = log.iter().filter(|(executed, _)| *executed == at).count();
            let answers = log.iter().filter(|entry| **entry == (at, true)).count();
            prop_assert!(answers <= 1, "{at} was answered {answers} times");
            match results[at] {
                Result::Done => prop_assert_eq!(answers, 1, "{} is done", at),
                Result::Refused | Result::NotSent | Result::Unknown => prop_assert_eq!(answers, 0),
            }
            if !command.is_read {
                match results[at] {
                    Result::Done => prop_assert_eq!(times, 1, "write {} is done", at),
                    Result::Unknown => prop_assert!(times <= 1, "write {at} ran {times} times"),
                    Result::Refused | Result::NotSent => {
                        prop_assert_eq!(times, 0, "write {} was not executed", at);
                    }
                }
            }
        }
        // Of each node, what has an effect or an answer comes in the order of the calls.
        for node in (0..4).map(NodeId) {
            let of_node: Vec<usize> = log
                .iter()
                .filter(|(at, answered)| *answered || !commands[*at].is_read)
                .map(|(at, _)| *at)
                .filter(|at| commands[*at].nodes.contains(&node))
                .collect();
            prop_assert!(of_node.is_sorted(), "node {node}: {of_node:?}");
        }
    }

    #[test]
    fn reads_are_sent_again_until_they_are_answered(
        count in 1..12usize,
        mut weather in proptest::collection::vec(weather(), 0..6),
    ) {
        for weather in &mut weather {
            weather.hopeful = true;
            weather.may_retry = true;
        }
        let read = |at: usize| Command { nodes: vec![NodeId(at as u16 % 3)], is_read: true };
        let commands: Vec<Command> = (0..count).map(read).collect();
        let (results, _) = run(&commands, &weather);
        // Only what stands behind an answered command of its node may keep a refusal.
        prop_assert!(results.iter().all(|result| matches!(result, Result::Done | Result::Refused)));
    }
}

fn write(node: u16, came: Came) -> Attempted {
    Attempted {
        nodes: vec![NodeId(node)],
        is_read: false,
        came,
    }
}

fn read(node: u16, came: Came) -> Attempted {
    Attempted {
        is_read: true,
        ..write(node, came)
    }
}

const NOT_SENT: Came = Came::NotSent { hopeful: true };
const UNKNOWN: Came = Came::Unknown { hopeful: true };

#[test]
fn a_refused_command_is_not_sent_after_a_later_one_of_its_node() {
    let round = [
        write(1, Came::NotExecuted),
        write(2, Came::NotExecuted),
        write(1, Came::Reply),
    ];
    let next = settle(&round, true);
    assert_eq!(next, [Next::Reply, Next::Again, Next::Reply]);
    assert_eq!(settle(&round, false), [Next::Reply; 3]);
}

#[test]
fn a_write_of_unknown_outcome_stops_its_node_and_no_other() {
    let round = [
        read(1, UNKNOWN),
        write(1, UNKNOWN),
        read(2, UNKNOWN),
        write(1, NOT_SENT),
        write(2, NOT_SENT),
        write(3, NOT_SENT),
        write(1, Came::Stale),
        write(3, Came::Stale),
    ];
    use Next::{Again, Fails, FailsWithEarlier};
    assert_eq!(
        settle(&round, true),
        [
            Fails, // A write of its node came after it, and may have been executed.
            Fails,
            Fails,
            Fails,
            Fails,
            Again,
            FailsWithEarlier,
            Again
        ]
    );
}

#[test]
fn a_command_over_two_nodes_ties_them_together() {
    let both = Attempted {
        nodes: vec![NodeId(1), NodeId(2)],
        ..write(1, NOT_SENT)
    };
    let round = [
        write(1, UNKNOWN),
        both,
        write(2, NOT_SENT),
        write(3, NOT_SENT),
    ];
    use Next::{Again, Fails};
    assert_eq!(settle(&round, true), [Fails, Fails, Fails, Again]);
}

#[test]
fn what_keeps_no_order_is_never_tied() {
    let everywhere = |is_read, came| Attempted {
        nodes: Vec::new(),
        is_read,
        came,
    };
    let round = [
        write(1, UNKNOWN),
        everywhere(false, NOT_SENT),
        everywhere(true, UNKNOWN),
        everywhere(false, UNKNOWN),
    ];
    use Next::{Again, Fails};
    assert_eq!(settle(&round, true), [Fails, Again, Again, Fails]);
}
