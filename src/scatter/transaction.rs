//! Transactions: MULTI, the commands and EXEC as one write to one node.

use super::lease::converse_once;
use super::retry::{Attempted, Form};
use super::{Call, Manner, Outcome, Scatter, Target, home};
use crate::connection::{Cause, Delivery, Item, Items, Outbox, Parcel, Script};
use crate::error::Error;
use crate::reply_code;
use crate::routing::Known;
use parking_lot::Mutex;
use redis::{Cmd, ServerError, Value};
use std::sync::Arc;

/// What is between MULTI and EXEC.
pub(super) struct Transaction<'a> {
    /// MULTI and EXEC included.
    items: &'a [Item<'a>],
    /// Too long to be sent within it: loaded in front of MULTI.
    scripts: &'a [Arc<Script>],
    /// It has a command that the table does not know, which may change its connection.
    needs_lease: bool,
    /// By which command the last attempt was aborted.
    abort: Mutex<Option<Abort>>,
}

/// The command that a server refused when it was queued: its position between MULTI and EXEC, and the error.
pub(super) type Abort = (usize, ServerError);

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
        // What decides about retries is the whole: a transaction of reads is a read.
        let known = Known {
            is_read: items.iter().all(|(_, known)| known.is_read),
            ..exec_known()
        };
        let call = Call {
            cmd: &exec,
            known,
            target,
            script: None,
            manner,
        };
        let transaction = Transaction {
            items: &all,
            scripts,
            needs_lease: items.iter().any(|(_, known)| known.row.is_none()),
            abort: Mutex::default(),
        };
        let form = Form::Transaction(transaction);
        let reply = self.run(call, &form, None).await?;
        match form {
            Form::Transaction(transaction) => not_aborted(reply, transaction.abort.into_inner()),
            Form::Shared | Form::Lent(_) => Ok(reply),
        }
    }

    pub(super) async fn attempt_transaction(
        &self,
        call: &Call<'_>,
        transaction: &Transaction<'_>,
    ) -> Attempted {
        let count = transaction.items.len();
        if transaction.needs_lease {
            let lease = match self.lease_for(call, call.manner.deadline).await {
                Ok(lease) => lease,
                Err(attempted) => return attempted,
            };
            let items = Items::Many(transaction.items);
            let delivery =
                converse_once(&lease, items, transaction.scripts, call.manner, false).await;
            let (outcome, abort) = transaction_outcome(delivery, count);
            *transaction.abort.lock() = abort;
            let server = lease.server().clone();
            if let Outcome::Reply(reply) = &outcome {
                forget_scripts_it_lacks(reply, transaction.scripts, lease.link().outbox());
                lease.return_clean();
            }
            return (outcome, Some(server));
        }
        let parcel = Parcel {
            items: Items::Many(transaction.items),
            scripts: transaction.scripts,
            started: call.manner.started,
            deadline: call.manner.deadline,
            behind: None,
            blocking: false,
            no_reply: false,
        };
        let current = self.control.load_full();
        let server = match self.aim(&current, call.target, call.known.is_read) {
            Ok(server) => server.clone(),
            Err(aim) => {
                return self
                    .not_aimed(
                        aim,
                        home(&current, call.target),
                        current.generation,
                        call.manner.deadline,
                    )
                    .await;
            }
        };
        let link = server.link(call.manner.lane, call.target.lane_node());
        let outbox = link.outbox();
        let pushed = self.push_patiently(&server, outbox, current.generation, &parcel);
        let ticket = match self.or_elsewhere(call.target, &server, pushed).await {
            Ok(ticket) => ticket,
            Err(outcome) => return (outcome, Some(server)),
        };
        let (outcome, abort) = transaction_outcome(ticket.await, count);
        *transaction.abort.lock() = abort;
        if let Outcome::Reply(reply) = &outcome {
            forget_scripts_it_lacks(reply, transaction.scripts, outbox);
        }
        (outcome, Some(server))
    }
}

/// The row of EXEC, which stands for a transaction as a whole.
pub(super) fn exec_known() -> Known {
    Known {
        row: crate::command::row_of(&[b"EXEC"]).ok(),
        is_read: false,
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

/// How a parcel of MULTI ... EXEC, `count` commands, has ended.
pub(super) fn transaction_outcome(delivery: Delivery, count: usize) -> (Outcome, Option<Abort>) {
    let outcome = match delivery {
        Delivery::Replies(replies) => return transaction_reply(replies),
        Delivery::Reply(_) => {
            Outcome::Unknown(Cause::Protocol("one reply to a transaction".into()))
        }
        // Without a whole EXEC the server forgets the rest.
        Delivery::Broken(broken) if broken.written < count => Outcome::NotSent(broken.cause),
        Delivery::Broken(broken) => Outcome::Unknown(broken.cause),
    };
    (outcome, None)
}

/// An EXECABORT as the error that says which command was at fault; any other reply as it is.
pub(super) fn not_aborted(reply: Value, abort: Option<Abort>) -> Result<Value, Error> {
    match (reply, abort) {
        (Value::ServerError(error), Some((index, why))) if error.code() == "EXECABORT" => {
            Err(Error::from_server(error)
                .of_command("EXEC")
                .aborted_at(index, why))
        }
        (reply, _) => Ok(reply),
    }
}

/// EXEC's reply out of all replies of a transaction.
fn transaction_reply(mut replies: Vec<Value>) -> (Outcome, Option<Abort>) {
    let exec = replies.pop();
    if let Some(Value::ServerError(multi)) = replies.first() {
        // Then the commands were executed one by one, which is not what was asked for.
        let cause = Cause::NoTransaction(multi.to_string().into());
        return (Outcome::Unknown(cause), None);
    }
    let outcome = match exec {
        Some(Value::ServerError(error)) if error.code() == "EXECABORT" => {
            let refused =
                replies
                    .into_iter()
                    .enumerate()
                    .skip(1)
                    .find_map(|(at, reply)| match reply {
                        // MULTI is the first.
                        Value::ServerError(error) => Some((at - 1, error)),
                        _ => None,
                    });
            let why = match &refused {
                Some((_, why)) => Some(why.clone()),
                // EXEC itself was refused: the server says why within its own words.
                None => reason_of_abort(&error),
            };
            match (why, refused) {
                // None of it ran, and the reason is the server's own: its words and its class are the plain command's.
                (Some(why), _) if reply_code::of(why.code()).is_some() => {
                    Outcome::Reply(Value::ServerError(why))
                }
                (_, Some((at, why))) => {
                    let abort = exec_abort(&error, at, &why);
                    return (Outcome::Reply(Value::ServerError(abort)), Some((at, why)));
                }
                (_, None) => Outcome::Reply(Value::ServerError(error)),
            }
        }
        Some(value) => Outcome::Reply(value),
        None => Outcome::Unknown(Cause::Protocol("a transaction without replies".into())),
    };
    (outcome, None)
}

/// Redis writes "Transaction discarded because of: READONLY You can't write ...".
fn reason_of_abort(abort: &ServerError) -> Option<ServerError> {
    let (_, why) = abort.details()?.split_once("because of: ")?;
    parse_error(why)
}

/// EXECABORT that also says which command was refused, and why.
fn exec_abort(abort: &ServerError, at: usize, why: &ServerError) -> ServerError {
    let details = abort.details().unwrap_or_default();
    let why = format!("{} {}", why.code(), why.details().unwrap_or_default());
    parse_error(&format!("EXECABORT {details} (index {at}: {why})"))
        .unwrap_or_else(|| abort.clone())
}

fn parse_error(text: &str) -> Option<ServerError> {
    let line: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()) {
        Ok(Value::ServerError(error)) => Some(error),
        _ => None,
    }
}

/// Where an element of EXEC's reply says that the server does not know a script, the caller's next transaction loads it
/// again. This one is never repeated: its other commands were executed.
pub(super) fn forget_scripts_it_lacks(exec: &Value, scripts: &[Arc<Script>], outbox: &Outbox) {
    let is_unknown =
        |reply: &Value| matches!(reply, Value::ServerError(error) if error.code() == "NOSCRIPT");
    if let Value::Array(replies) = exec
        && replies.iter().any(is_unknown)
    {
        for script in scripts {
            outbox.forget_script(&script.sha);
        }
    }
}
