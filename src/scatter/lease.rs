//! Over connections of one owner: commands that wait on the server, that run for long, or that nobody knows; and what a
//! dedicated connection says.

use super::retry::{Attempted, Form};
use super::transaction::{
    exec_known, forget_scripts_it_lacks, not_aborted, transaction, transaction_outcome,
};
use super::{Aim, Call, Manner, Outcome, Scatter, Target, broken_outcomes, fail, home, outcome_of};
use crate::command::BlocksFor;
use crate::connection::{Broken, Cause, Delivery, Item, Items, Parcel, Refusal, Script};
use crate::deadline;
use crate::error::Error;
use crate::placement::NodeId;
use crate::pool::{Lease, Server};
use crate::routing::{self, Known};
use redis::{Cmd, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a command has a connection of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lent {
    /// It may wait on the server.
    Blocks(BlocksFor),
    /// A script whose caller allows it more time than `timeouts.silence_max`: nobody else is to wait for it.
    LongScript,
    /// The table does not know it, so that it may change its connection.
    Unknown,
}

impl Lent {
    /// When it has waited long enough.
    pub(super) fn deadline(self, manner: Manner) -> Instant {
        match self {
            Lent::Blocks(wait) => blocking_deadline(manner, Some(wait)),
            Lent::LongScript | Lent::Unknown => manner.deadline,
        }
    }

    /// Silence says nothing about its server.
    fn may_be_silent(self) -> bool {
        match self {
            Lent::Blocks(_) | Lent::LongScript => true,
            Lent::Unknown => false,
        }
    }
}

impl Scatter {
    /// Sends a command on a connection of its own. A blocking command's deadline is its own timeout plus that of the call. When the
    /// node moves meanwhile, the server is asked to let go and the rest of the time is spent on the new one. Dropping the future closes
    /// the connection.
    pub(crate) async fn call_lent(&self, call: Call<'_>, lent: Lent) -> Result<Value, Error> {
        self.run(call, &Form::Lent(lent), None).await
    }

    pub(super) async fn attempt_lent(&self, call: &Call<'_>, lent: Lent) -> Attempted {
        let patience = match lent {
            // After an hour of waiting, too, there is time to find another connection.
            Lent::Blocks(_) => deadline::after(Instant::now(), call.manner.allowance()),
            Lent::LongScript | Lent::Unknown => call.manner.deadline,
        };
        let generation = self.control.load().generation;
        let lease = match self.lease_for(call, patience).await {
            Ok(lease) => lease,
            Err(attempted) => return attempted,
        };
        let shortened = match lent {
            Lent::Blocks(wait) => what_is_left(call, wait),
            Lent::LongScript | Lent::Unknown => None,
        };
        let item = Item {
            cmd: shortened.as_ref().unwrap_or(call.cmd),
            command: call.known.id(),
        };
        let manner = Manner {
            deadline: lent.deadline(call.manner),
            ..call.manner
        };
        let scripts = call.script.as_slice();
        let delivery = converse_once(
            &lease,
            Items::One(item),
            scripts,
            manner,
            lent.may_be_silent(),
        );
        let outcome = outcome_of(delivery.await);
        let server = lease.server().clone();
        match outcome {
            // Let go because the node moved: nothing was taken, so it is asked again where the node is now.
            // Without a switch it was somebody else who unblocked us, and meant it.
            Outcome::Reply(Value::ServerError(error))
                if error.code() == "UNBLOCKED" && self.control.load().generation > generation =>
            {
                (Outcome::Stale, None)
            }
            Outcome::NotSent(Cause::NodeMoved) => (Outcome::Stale, None),
            Outcome::Reply(value) => {
                if let (Value::ServerError(error), Some(script)) = (&value, &call.script)
                    && error.code() == "NOSCRIPT"
                {
                    lease.link().outbox().forget_script(&script.sha);
                }
                lease.return_clean();
                (Outcome::Reply(value), Some(server))
            }
            outcome => (outcome, Some(server)),
        }
    }

    /// A connection of its own for a call, from the server that its target is on now; or how the attempt ended without.
    pub(super) async fn lease_for(
        &self,
        call: &Call<'_>,
        patience: Instant,
    ) -> Result<Lease, Attempted> {
        let nodes: Vec<NodeId> = match call.target {
            Target::Node(node, _) => vec![node],
            Target::Server(named) => named.nodes().collect(),
        };
        let current = self.control.load_full();
        let server = match self.aim(&current, call.target, call.known.is_read) {
            Ok(server) => server.clone(),
            Err(aim) => {
                let (home, generation) = (home(&current, call.target), current.generation);
                return Err(self
                    .not_aimed(aim, home, generation, call.manner.deadline)
                    .await);
            }
        };
        match server.lease(nodes, current.generation, patience).await {
            Ok(lease) => Ok(lease),
            Err(Cause::NodeMoved) => Err((Outcome::Stale, None)),
            Err(cause) => Err((Outcome::NotSent(cause), Some(server))),
        }
    }

    /// How an attempt ends that could not be aimed at a server; waits where the next topology may help. It counts for the server
    /// that its node is on, `home`.
    pub(super) async fn not_aimed(
        &self,
        aim: Aim,
        home: Option<Arc<Server>>,
        generation: u64,
        deadline: Instant,
    ) -> Attempted {
        match aim {
            Aim::Hold => (self.hold(generation, deadline).await, home),
            Aim::Refused(cause) => (Outcome::NotSent(cause), home),
        }
    }
}

/// The command with what is left of its timeout, once a part of it has been waited.
fn what_is_left(call: &Call<'_>, wait: BlocksFor) -> Option<Cmd> {
    let waited = call.manner.started.elapsed();
    match wait {
        BlocksFor::AtMost(timeout) if waited > Duration::from_millis(10) => {
            let left = timeout.saturating_sub(waited).max(Duration::from_millis(1));
            routing::with_block_timeout(call.cmd, left)
        }
        _ => None,
    }
}

/// When a command that may block has waited long enough: its own timeout, and what the call allows beside it.
pub(crate) fn blocking_deadline(manner: Manner, wait: Option<BlocksFor>) -> Instant {
    match wait {
        None => manner.deadline,
        Some(BlocksFor::AtMost(timeout)) => deadline::after(manner.deadline, timeout),
        Some(BlocksFor::Forever) => deadline::after(manner.deadline, Duration::MAX),
    }
}

/// One parcel over a leased connection, once.
pub(super) async fn converse_once(
    lease: &Lease,
    items: Items<'_>,
    scripts: &[Arc<Script>],
    manner: Manner,
    blocking: bool,
) -> Delivery {
    let parcel = Parcel {
        items,
        scripts,
        started: manner.started,
        deadline: manner.deadline,
        behind: None,
        blocking,
        no_reply: false,
    };
    // A lease belongs to its nodes, and a switch that takes one away closes it, so no generation is asked for.
    match lease.link().outbox().push(u64::MAX, &parcel) {
        Ok(ticket) => ticket.await,
        Err(refusal) => Delivery::Broken(Box::new(Broken::not_queued(refused(refusal)))),
    }
}

/// Why a leased connection takes no more.
pub(super) fn refused(refusal: Refusal) -> Cause {
    match refusal {
        Refusal::Closed(cause)
        | Refusal::Disconnected {
            cause: Some(cause), ..
        } => cause,
        Refusal::Disconnected { .. } | Refusal::Stale | Refusal::Severed => Cause::ClosedByServer,
        Refusal::Full => Cause::NoRoom,
        Refusal::Empty => Cause::Empty,
    }
}

/// Commands over a leased connection, in one write; nothing is retried.
pub(crate) async fn converse(
    lease: &Lease,
    items: &[(&Cmd, Known)],
    scripts: &[Arc<Script>],
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
    let parcel = match &all[..] {
        [] => return Vec::new(),
        [item] => Items::One(*item),
        items => Items::Many(items),
    };
    let delivery = converse_once(lease, parcel, scripts, manner, blocking).await;
    let outcomes: Vec<Outcome> = match delivery {
        Delivery::Reply(value) => vec![Outcome::Reply(value)],
        Delivery::Replies(values) => values.into_iter().map(Outcome::Reply).collect(),
        Delivery::Broken(broken) => broken_outcomes(*broken, all.len()).collect(),
    };
    let lacks_a_script = |outcome: &Outcome| matches!(outcome, Outcome::Reply(Value::ServerError(error)) if error.code() == "NOSCRIPT");
    if outcomes.iter().any(lacks_a_script) {
        for script in scripts {
            lease.link().outbox().forget_script(&script.sha);
        }
    }
    let server = lease.server();
    let failed = |known, may_have_run, cause| {
        Err(fail(Some(server), known, may_have_run, cause).at_server(server.name()))
    };
    outcomes
        .into_iter()
        .zip(items)
        .map(|(outcome, (_, known))| match outcome {
            Outcome::Reply(value) => Ok(value),
            Outcome::NotSent(cause) => failed(*known, false, cause),
            Outcome::Unknown(cause) => failed(*known, true, cause),
            Outcome::Stale => failed(*known, false, Cause::NodeMoved),
        })
        .collect()
}

/// A command over a leased connection whose reply nobody wants: it is queued, and that is all.
pub(crate) fn tell(
    lease: &Lease,
    (cmd, known): (&Cmd, Known),
    manner: Manner,
) -> Result<(), Error> {
    let command = known.id();
    let parcel = Parcel {
        items: Items::One(Item { cmd, command }),
        scripts: &[],
        started: manner.started,
        deadline: manner.deadline,
        behind: None,
        blocking: false,
        no_reply: true,
    };
    let server = lease.server();
    match lease.link().outbox().push(u64::MAX, &parcel) {
        Ok(_) => {
            server.stats().not_waited_for(command);
            Ok(())
        }
        Err(refusal) => Err(fail(Some(server), known, false, refused(refusal))
            .at_server(server.name())
            .of_command(known.name())),
    }
}

/// MULTI, the commands and EXEC over a leased connection. EXEC's reply, an error reply of it as a value.
pub(crate) async fn converse_atomic(
    lease: &Lease,
    items: &[(&Cmd, Known)],
    scripts: &[Arc<Script>],
    manner: Manner,
) -> Result<Value, Error> {
    let (multi, exec) = (redis::cmd("MULTI"), redis::cmd("EXEC"));
    let all = transaction(&multi, items, &exec);
    let delivery = converse_once(lease, Items::Many(&all), scripts, manner, false).await;
    let (outcome, abort) = transaction_outcome(delivery, all.len());
    let (cause, may_have_run) = match outcome {
        Outcome::Reply(value) => {
            forget_scripts_it_lacks(&value, scripts, lease.link().outbox());
            return not_aborted(value, abort);
        }
        Outcome::NotSent(cause) => (cause, false),
        Outcome::Unknown(cause) => (cause, true),
        Outcome::Stale => (Cause::NodeMoved, false),
    };
    let server = lease.server();
    Err(fail(Some(server), exec_known(), may_have_run, cause)
        .at_server(server.name())
        .of_command("EXEC"))
}
