//! Transactions: MULTI, the commands and EXEC as one write to one node.

use super::{Aim, Call, Manner, Outcome, Scatter, Target, Tried, Verdict, not_executed, pause};
use crate::connection::{Cause, Delivery, Item, Items, Parcel, Script};
use crate::error::Error;
use crate::pool::Server;
use crate::routing::Known;
use redis::{Cmd, ServerError, Value};
use std::sync::Arc;

impl Scatter {
    /// Sends MULTI, the commands and EXEC to one node in one contiguous write, and returns the elements of EXEC's reply (nil when a WATCH
    /// broke it). All or nothing is the server's doing; what is not known is said.
    pub(crate) async fn atomic(
        &self,
        items: &[(&Cmd, Known)],
        scripts: &[Arc<Script>],
        target: Target<'_>,
        manner: Manner,
    ) -> Result<Value, Error> {
        let (multi, exec) = (redis::cmd("MULTI"), redis::cmd("EXEC"));
        let all = transaction(&multi, items, &exec);
        let parcel = Parcel {
            items: Items::Many(&all),
            scripts,
            started: manner.started,
            deadline: manner.deadline,
            behind: None,
            blocking: false,
        };
        let is_read = items.iter().all(|(_, known)| known.is_read);
        // What decides about retries is the whole: a transaction of reads is a read.
        let known = Known {
            row: crate::command::row_of(&[b"EXEC"]).ok(),
            is_read,
        };
        let mut call = Call {
            cmd: &exec,
            known,
            target,
            script: None,
            manner,
        };
        let mut failures = 0;
        let mut tried = Tried::default();
        loop {
            let (outcome, server) = self.attempt_atomic(&call, &parcel, all.len()).await;
            match outcome {
                Outcome::Stale => {}
                Outcome::Reply(value) => return Ok(value),
                outcome => match self.judge(&call, outcome, server.as_ref(), &mut failures) {
                    Verdict::Done(result) => {
                        return result.map_err(|error| Self::name(&call, error, server.as_ref()));
                    }
                    Verdict::Again(wait) => {
                        pause(wait, manner.deadline).await;
                        self.turn_on(&mut call.target, &mut tried, server);
                    }
                },
            }
        }
    }

    async fn attempt_atomic(
        &self,
        call: &Call<'_>,
        parcel: &Parcel<'_>,
        count: usize,
    ) -> (Outcome, Option<Arc<Server>>) {
        let current = self.control.load_full();
        let server = match self.aim(&current, call.target, call.known.is_read) {
            Ok(server) => server.clone(),
            Err(Aim::Hold) => {
                return (
                    self.hold(current.generation, call.manner.deadline).await,
                    None,
                );
            }
            Err(Aim::Refused(cause)) => return (Outcome::NotSent(cause), None),
        };
        let outbox = server
            .link(call.manner.lane, call.target.lane_node())
            .outbox();
        let pushed = self.push_patiently(&server, outbox, current.generation, parcel);
        let ticket = match self.or_elsewhere(call.target, &server, pushed).await {
            Ok(ticket) => ticket,
            Err(outcome) => return (outcome, Some(server)),
        };
        let outcome = match ticket.await {
            Delivery::Replies(replies) => transaction_reply(replies),
            Delivery::Reply(_) => {
                Outcome::Unknown(Cause::Protocol("one reply to a transaction".into()))
            }
            // Without a whole EXEC the server forgets the rest.
            Delivery::Broken(broken) if broken.written < count => Outcome::NotSent(broken.cause),
            Delivery::Broken(broken) => Outcome::Unknown(broken.cause),
        };
        (outcome, Some(server))
    }
}

pub(super) fn transaction<'a>(
    multi: &'a Cmd,
    items: &[(&'a Cmd, Known)],
    exec: &'a Cmd,
) -> Vec<Item<'a>> {
    let id_of = |name: &[u8]| crate::command::row_of(&[name]).map_or(0, |row| row.id.0);
    let mut all = Vec::with_capacity(items.len() + 2);
    all.push(Item {
        cmd: multi,
        command: id_of(b"MULTI"),
    });
    all.extend(items.iter().map(|(cmd, known)| Item {
        cmd,
        command: known.id(),
    }));
    all.push(Item {
        cmd: exec,
        command: id_of(b"EXEC"),
    });
    all
}

/// EXEC's reply out of all replies of a transaction.
pub(super) fn transaction_reply(mut replies: Vec<Value>) -> Outcome {
    let exec = replies.pop();
    if let Some(Value::ServerError(multi)) = replies.first() {
        // Then the commands were executed one by one, which is not what was asked for.
        return Outcome::Unknown(Cause::Protocol(
            format!("MULTI was refused ({multi}), so the commands did not run as one transaction")
                .into(),
        ));
    }
    match exec {
        Some(Value::ServerError(error)) if error.code() == "EXECABORT" => {
            let why = replies.into_iter().find_map(|reply| match reply {
                Value::ServerError(error) => Some(error),
                _ => None,
            });
            match why {
                // Nothing of it ran, so it may be tried again.
                Some(why) if not_executed(&why) => {
                    Outcome::NotSent(Cause::Dropped("the server could not execute just now"))
                }
                Some(why) => Outcome::Reply(Value::ServerError(exec_abort(&error, &why))),
                None => Outcome::Reply(Value::ServerError(error)),
            }
        }
        Some(value) => Outcome::Reply(value),
        None => Outcome::Unknown(Cause::Protocol("a transaction without replies".into())),
    }
}

/// EXECABORT that also says which command was refused, and why.
fn exec_abort(abort: &ServerError, why: &ServerError) -> ServerError {
    let details = abort.details().unwrap_or_default();
    let line: String = format!(
        "-EXECABORT {details} ({} {})\r\n",
        why.code(),
        why.details().unwrap_or_default()
    );
    match redis::parse_redis_value(line.as_bytes()) {
        Ok(Value::ServerError(error)) => error,
        _ => abort.clone(),
    }
}
