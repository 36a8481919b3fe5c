//! Over connections of one owner: blocking commands, and what a dedicated connection says.

use super::many::broken_outcomes;
use super::transaction::{transaction, transaction_reply};
use super::{Aim, Call, Manner, Outcome, Scatter, Target, Tried, Verdict, fail, pause};
use crate::command::BlocksFor;
use crate::connection::{Broken, Cause, Delivery, Item, Items, Parcel, Refusal};
use crate::error::Error;
use crate::pool::Lease;
use crate::routing::{self, Known};
use redis::{Cmd, Value};
use std::time::{Duration, Instant};

/// As good as never; an `Instant` must not overflow.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

impl Scatter {
    /// Sends a command that may wait on the server, on a connection of its own. The deadline is the command's own timeout plus that of the
    /// call. When the node moves meanwhile, the server is asked to let go and the rest of the time is spent on the new one. Dropping the
    /// future closes the connection.
    pub(crate) async fn call_blocking(
        &self,
        mut call: Call<'_>,
        wait: BlocksFor,
    ) -> Result<Value, Error> {
        let mut failures = 0;
        let mut tried = Tried::default();
        loop {
            let node = match call.target {
                Target::Node(node, _) => Some(node),
                Target::Server(_) => None,
            };
            let current = self.control.load_full();
            let server = match self.aim(&current, call.target, call.known.is_read) {
                Ok(server) => server.clone(),
                Err(Aim::Hold) => match self.hold(current.generation, call.manner.deadline).await {
                    Outcome::Stale => continue,
                    _ => {
                        return Err(Self::name(
                            &call,
                            fail(None, call.known, false, Cause::Deadline),
                            None,
                        ));
                    }
                },
                Err(Aim::Refused(cause)) => {
                    return Err(Self::name(
                        &call,
                        fail(None, call.known, false, cause),
                        None,
                    ));
                }
            };
            let patience = Instant::now()
                + call
                    .manner
                    .deadline
                    .saturating_duration_since(call.manner.started);
            let lease = match server.lease(node, current.generation, patience).await {
                Ok(lease) => lease,
                Err(Cause::NodeMoved) => continue,
                Err(cause) => {
                    match self.judge(&call, Outcome::NotSent(cause), Some(&server), &mut failures) {
                        Verdict::Again(wait) => {
                            pause(wait, patience).await;
                            self.turn_on(&mut call.target, &mut tried, Some(server));
                            continue;
                        }
                        Verdict::Done(result) => {
                            return result.map_err(|error| Self::name(&call, error, Some(&server)));
                        }
                    }
                }
            };
            let shortened = match wait {
                BlocksFor::AtMost(timeout)
                    if failures > 0
                        || call.manner.started.elapsed() > Duration::from_millis(10) =>
                {
                    let left = timeout
                        .saturating_sub(call.manner.started.elapsed())
                        .max(Duration::from_millis(1));
                    routing::with_block_timeout(call.cmd, left)
                }
                _ => None,
            };
            let cmd = shortened.as_ref().unwrap_or(call.cmd);
            let manner = Manner {
                deadline: blocking_deadline(call.manner, Some(wait)),
                ..call.manner
            };
            let outcome = match converse_once(
                &lease,
                Items::One(Item {
                    cmd,
                    command: call.known.id(),
                }),
                manner,
                true,
            )
            .await
            {
                Delivery::Reply(value) => Outcome::Reply(value),
                Delivery::Replies(_) => Outcome::Unknown(Cause::ClosedByServer),
                Delivery::Broken(broken) if broken.written == 0 => Outcome::NotSent(broken.cause),
                Delivery::Broken(broken) => Outcome::Unknown(broken.cause),
            };
            match outcome {
                // Let go because the node moved: nothing was taken, so it is asked again where the node is now.
                // Without a switch it was somebody else who unblocked us, and meant it.
                Outcome::Reply(Value::ServerError(error))
                    if error.code() == "UNBLOCKED"
                        && self.control.load().generation > current.generation =>
                {
                    failures += 1;
                }
                Outcome::NotSent(Cause::NodeMoved) => {}
                Outcome::Reply(value) => {
                    lease.return_clean();
                    return Ok(value);
                }
                outcome => match self.judge(&call, outcome, Some(&server), &mut failures) {
                    Verdict::Done(result) => {
                        return result.map_err(|error| Self::name(&call, error, Some(&server)));
                    }
                    Verdict::Again(wait) => {
                        pause(wait, manner.deadline).await;
                        self.turn_on(&mut call.target, &mut tried, Some(server));
                    }
                },
            }
        }
    }
}

/// When a command that may block has waited long enough: its own timeout, and what the call allows beside it.
pub(crate) fn blocking_deadline(manner: Manner, wait: Option<BlocksFor>) -> Instant {
    match wait {
        None => manner.deadline,
        Some(BlocksFor::AtMost(timeout)) => manner.deadline + timeout.min(FOREVER),
        Some(BlocksFor::Forever) => manner.deadline + FOREVER,
    }
}

/// One parcel over a leased connection, once.
async fn converse_once(
    lease: &Lease,
    items: Items<'_>,
    manner: Manner,
    blocking: bool,
) -> Delivery {
    let parcel = Parcel {
        items,
        scripts: &[],
        started: manner.started,
        deadline: manner.deadline,
        behind: None,
        blocking,
    };
    // A lease belongs to its node, and a switch that takes the node away closes it, so no generation is asked for.
    match lease.link().outbox().push(u64::MAX, &parcel) {
        Ok(ticket) => ticket.await,
        Err(refusal) => {
            let cause = match refusal {
                Refusal::Closed(cause)
                | Refusal::Disconnected {
                    cause: Some(cause), ..
                } => cause,
                Refusal::Disconnected { .. } | Refusal::Stale | Refusal::Severed => {
                    Cause::ClosedByServer
                }
                Refusal::Full => Cause::NoRoom,
                Refusal::Empty => Cause::Empty,
            };
            Delivery::Broken(Box::new(Broken {
                replies: Vec::new(),
                written: 0,
                cause,
            }))
        }
    }
}

/// Commands over a leased connection, in one write; nothing is retried.
pub(crate) async fn converse(
    lease: &Lease,
    items: &[(&Cmd, Known)],
    manner: Manner,
    blocking: bool,
) -> Vec<Result<Value, Error>> {
    let all: Vec<Item<'_>> = items
        .iter()
        .map(|(cmd, known)| Item {
            cmd,
            command: known.id(),
        })
        .collect();
    let parcel = if all.len() == 1 {
        Items::One(all[0])
    } else {
        Items::Many(&all)
    };
    if all.is_empty() {
        return Vec::new();
    }
    let outcomes: Vec<Outcome> = match converse_once(lease, parcel, manner, blocking).await {
        Delivery::Reply(value) => vec![Outcome::Reply(value)],
        Delivery::Replies(values) => values.into_iter().map(Outcome::Reply).collect(),
        Delivery::Broken(broken) => broken_outcomes(*broken, all.len()).collect(),
    };
    let server = lease.server();
    outcomes
        .into_iter()
        .zip(items)
        .map(|(outcome, (_, known))| match outcome {
            Outcome::Reply(value) => Ok(value),
            Outcome::NotSent(cause) => {
                Err(fail(Some(server), *known, false, cause).at_server(server.name()))
            }
            Outcome::Unknown(cause) => {
                Err(fail(Some(server), *known, true, cause).at_server(server.name()))
            }
            Outcome::Stale => {
                Err(fail(Some(server), *known, false, Cause::NodeMoved).at_server(server.name()))
            }
        })
        .collect()
}

/// MULTI, the commands and EXEC over a leased connection. EXEC's reply, an error reply of it as a value.
pub(crate) async fn converse_atomic(
    lease: &Lease,
    items: &[(&Cmd, Known)],
    manner: Manner,
) -> Result<Value, Error> {
    let (multi, exec) = (redis::cmd("MULTI"), redis::cmd("EXEC"));
    let all = transaction(&multi, items, &exec);
    let server = lease.server();
    let known = Known {
        row: crate::command::row_of(&[b"EXEC"]).ok(),
        is_read: false,
    };
    let (cause, may_have_run) = match converse_once(lease, Items::Many(&all), manner, false).await {
        Delivery::Replies(replies) => match transaction_reply(replies) {
            Outcome::Reply(value) => return Ok(value),
            Outcome::NotSent(cause) => (cause, false),
            Outcome::Unknown(cause) => (cause, true),
            Outcome::Stale => (Cause::NodeMoved, false),
        },
        Delivery::Reply(_) => (Cause::Protocol("one reply to a transaction".into()), true),
        Delivery::Broken(broken) => {
            let may_have_run = broken.written >= all.len();
            (broken.cause, may_have_run)
        }
    };
    Err(fail(Some(server), known, may_have_run, cause)
        .at_server(server.name())
        .of_command("EXEC"))
}
