//! Scatter: sends parcels to the servers and puts the replies back. The only retry loop is here.
//!
//! Every attempt ends as [`Outcome`]; what may follow is decided in one place ([`Verdict`]). An attempt loads the topology once, and every
//! retry routes anew.

use crate::command::{BlocksFor, Merge, Row, Split};
use crate::config::Mode;
use crate::connection::{
    Broken, Cause, Delivery, Item, Items, Outbox, Parcel, Refusal, Script, Ticket, backoff,
};
use crate::control::{Control, Current};
use crate::error::{Error, ErrorKind, Partial};
use crate::placement::NodeId;
use crate::pool::{Lane, Lease, Server};
use crate::routing::{self, Gate, Known, Part};
use crate::stats::Failure;
use futures::future::join_all;
use redis::{Cmd, ServerError, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A non-atomic pipeline enters a connection in pieces of this many commands, so that others get between.
const PIECE_COMMANDS: usize = 1000;
/// A connection that answers READONLY is renewed at most this often.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// Callers that may wait at once for one frozen node.
const HOLD_MAX: usize = 10_000;

/// How one call is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) lane: Lane,
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
}

/// One command for one node.
pub(crate) struct Call<'a> {
    pub(crate) cmd: &'a Cmd,
    pub(crate) known: Known,
    pub(crate) target: Target<'a>,
    pub(crate) script: Option<Arc<Script>>,
    pub(crate) manner: Manner,
}

/// Where a command of one call goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Node(NodeId),
    /// A server by name.
    Server(&'a str),
}

/// One command of a batch.
pub(crate) struct Entry<'a> {
    pub(crate) cmd: &'a Cmd,
    pub(crate) known: Known,
    pub(crate) body: Body<'a>,
    pub(crate) script: Option<Arc<Script>>,
}

pub(crate) enum Body<'a> {
    Node(NodeId),
    /// To the server that the batch is for.
    Server(&'a str),
    Split {
        split: Split,
        args: Vec<&'a [u8]>,
        parts: Vec<Part>,
    },
    Everywhere(Merge),
    /// Refused before anything is sent.
    Refused(Error),
}

/// How an attempt ended, for one command.
#[derive(Debug)]
enum Outcome {
    Reply(Value),
    /// Certainly not executed.
    NotSent(Cause),
    /// Written; perhaps executed.
    Unknown(Cause),
    /// Routed under an older topology; nothing was written.
    Stale,
}

/// What follows an attempt.
enum Verdict {
    Done(Result<Value, Error>),
    /// Again, after this wait.
    Again(Duration),
}

/// Sends commands by the current topology.
#[derive(Debug)]
pub(crate) struct Scatter {
    control: Control<Server>,
    /// Callers that wait for a frozen node.
    holds: tokio::sync::Semaphore,
}

impl Scatter {
    pub(crate) fn new(control: Control<Server>) -> Scatter {
        Scatter {
            control,
            holds: tokio::sync::Semaphore::new(HOLD_MAX),
        }
    }

    pub(crate) fn control(&self) -> &Control<Server> {
        &self.control
    }

    /// Sends one command and returns its reply; error replies come as `Value::ServerError`. Retries what is safe within the deadline.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Value, Error> {
        let mut failures = 0;
        loop {
            let (outcome, server) = self.attempt(call).await;
            if matches!(outcome, Outcome::Stale) {
                continue;
            }
            match self.judge(call, outcome, server.as_ref(), &mut failures) {
                Verdict::Done(result) => {
                    let error = match result {
                        // A fault of the server, not of the command: which server it is matters.
                        Ok(Value::ServerError(error))
                            if not_executed(&error) && !call.known.runs_scripts() =>
                        {
                            Error::from_server(error)
                        }
                        Ok(value) => return Ok(value),
                        Err(error) => error,
                    };
                    return self.or_miss(
                        call.cmd,
                        call.known,
                        server.as_ref(),
                        Self::name(call, error, server.as_ref()),
                    );
                }
                Verdict::Again(wait) => {
                    if let Some(server) = &server {
                        server.stats().retried(call.known.id());
                    }
                    tracing::debug!(target: "keyway::scatter", command = call.known.name(), attempt = failures + 1, "retry");
                    pause(wait, call.manner.deadline).await;
                }
            }
        }
    }

    fn name(call: &Call<'_>, error: Error, server: Option<&Arc<Server>>) -> Error {
        let mut error = error.of_command(call.known.name());
        if let Target::Node(node) = call.target {
            error = error.at_node(node);
        }
        match server {
            Some(server) => error.at_server(server.name()),
            None => error,
        }
    }

    /// In cache mode a read of a server that is down is a miss, and a plain write is dropped and counted.
    fn or_miss(
        &self,
        cmd: &Cmd,
        known: Known,
        server: Option<&Arc<Server>>,
        error: Error,
    ) -> Result<Value, Error> {
        let current = self.control.load();
        if current.config.mode() != Mode::Cache || !is_absence(error.kind(), known.is_read) {
            return Err(error);
        }
        let (Some(row), Some(server)) = (known.row, server) else {
            return Err(error);
        };
        let args = routing::arguments(cmd);
        let resp3 = current.config.protocol() == crate::config::Protocol::Resp3;
        match row.miss_reply(&args, resp3) {
            Some(reply) => {
                if row.is_plain_set(&args) {
                    server.stats().cache_write_dropped(row.id.0);
                } else {
                    server.stats().cache_miss_answered(row.id.0);
                }
                Ok(reply)
            }
            None => Err(error),
        }
    }

    /// One attempt: routed once, pushed once, awaited. Waits for room and for a dial, within the deadline.
    async fn attempt(&self, call: &Call<'_>) -> (Outcome, Option<Arc<Server>>) {
        let scripts = call.script.as_slice();
        let parcel = Parcel {
            items: Items::One(Item {
                cmd: call.cmd,
                command: call.known.id(),
            }),
            scripts,
            started: call.manner.started,
            deadline: call.manner.deadline,
            behind: None,
            blocking: false,
        };
        let (pushed, server, outbox, generation) = {
            let current = self.control.load();
            let server = match self.aim(&current, call.target, call.known.is_read) {
                Ok(server) => server.clone(),
                Err(Aim::Hold) => {
                    let generation = current.generation;
                    drop(current);
                    return (self.hold(generation, call.manner.deadline).await, None);
                }
                Err(Aim::Refused(cause)) => return (Outcome::NotSent(cause), None),
            };
            let outbox = server
                .link(call.manner.lane, call.target.lane_node())
                .outbox();
            let pushed = outbox.push(current.generation, &parcel);
            let outbox = if pushed.is_err() {
                Some(outbox.clone())
            } else {
                None
            };
            (pushed, server, outbox, current.generation)
        };
        server.budget().earn(1);
        let ticket = match (pushed, outbox) {
            (Ok(ticket), _) => ticket,
            (Err(Refusal::Stale), _) | (Err(_), None) => return (Outcome::Stale, None),
            (Err(_), Some(outbox)) => match self
                .push_patiently(&server, &outbox, generation, &parcel)
                .await
            {
                Ok(ticket) => ticket,
                Err(outcome) => return (outcome, Some(server)),
            },
        };
        let outcome = match ticket.await {
            Delivery::Reply(value) => Outcome::Reply(value),
            Delivery::Replies(mut values) => values
                .pop()
                .map_or(Outcome::Unknown(Cause::ClosedByServer), Outcome::Reply),
            Delivery::Broken(broken) if broken.written == 0 => Outcome::NotSent(broken.cause),
            Delivery::Broken(broken) => Outcome::Unknown(broken.cause),
        };
        (outcome, Some(server))
    }

    /// The server of a target, if the node's state lets the command through.
    fn aim<'c>(
        &self,
        current: &'c Current<Server>,
        target: Target<'_>,
        is_read: bool,
    ) -> Result<&'c Arc<Server>, Aim> {
        match target {
            Target::Node(node) => match routing::gate(&current.topology, node, is_read) {
                Gate::Send => Ok(current.server_of(node)),
                // Live moves install a key before its first command; until they are built, such a node is not served by a file.
                Gate::Hold | Gate::Import => Err(Aim::Hold),
                Gate::Refuse(why) => Err(Aim::Refused(Cause::Refused(why.into()))),
            },
            Target::Server(name) => match current.topology.server_by_name(name) {
                Some(id) => Ok(current.server(id)),
                None => Err(Aim::Refused(Cause::Refused(
                    format!("the topology has no server {name:?} any more").into(),
                ))),
            },
        }
    }

    /// Waits for the next topology; nothing was sent.
    async fn hold(&self, generation: u64, deadline: Instant) -> Outcome {
        let Ok(_permit) = self.holds.try_acquire() else {
            return Outcome::NotSent(Cause::NoRoom);
        };
        let mut changed = self.control.watch();
        let newer = changed.wait_for(|newest| *newest > generation);
        match tokio::time::timeout_at(deadline.into(), newer).await {
            Ok(_) => Outcome::Stale,
            Err(_) => Outcome::NotSent(Cause::Deadline),
        }
    }

    /// Pushes as soon as there is room and a connection. Bounced by a switch like everything that is not in an outbox yet.
    async fn push_patiently(
        &self,
        server: &Arc<Server>,
        outbox: &Arc<Outbox>,
        generation: u64,
        parcel: &Parcel<'_>,
    ) -> Result<Ticket, Outcome> {
        loop {
            // Listening and counted before the try, so that a change right behind it is not missed.
            let mut changed = std::pin::pin!(outbox.changed());
            changed.as_mut().enable();
            let _waiting = outbox.wait_for_room();
            let until = match outbox.push(generation, parcel) {
                Ok(ticket) => return Ok(ticket),
                Err(Refusal::Stale) => return Err(Outcome::Stale),
                Err(Refusal::Full) => parcel.deadline,
                Err(Refusal::Severed) => {
                    let why = "the connection broke behind an earlier part of the batch";
                    return Err(Outcome::NotSent(Cause::Dropped(why)));
                }
                Err(Refusal::Disconnected { since, cause }) => {
                    let patience = since + server.settings().timeouts.connect;
                    if Instant::now() >= patience
                        && let Some(cause) = cause.or_else(|| server.outage_cause())
                    {
                        return Err(Outcome::NotSent(cause));
                    }
                    // Past it the first dial is still out; how it ends is heard as a change.
                    if Instant::now() < patience {
                        patience.min(parcel.deadline)
                    } else {
                        parcel.deadline
                    }
                }
                Err(Refusal::Closed(cause)) => {
                    // A server that a reload has dropped: the newer topology knows better.
                    let newer = self.control.load().generation > generation;
                    return Err(if newer {
                        Outcome::Stale
                    } else {
                        Outcome::NotSent(cause)
                    });
                }
            };
            if Instant::now() >= parcel.deadline {
                let cause = match outbox.outage() {
                    Some((_, cause)) => cause
                        .or_else(|| server.outage_cause())
                        .unwrap_or(Cause::Deadline),
                    None => Cause::NoRoom,
                };
                return Err(Outcome::NotSent(cause));
            }
            // Woken or not, look again.
            let _ = tokio::time::timeout_at(until.into(), changed).await;
        }
    }

    fn judge(
        &self,
        call: &Call<'_>,
        outcome: Outcome,
        server: Option<&Arc<Server>>,
        failures: &mut u32,
    ) -> Verdict {
        let again = |failures: &mut u32, wait: Duration| -> Option<Verdict> {
            let server = server?;
            let retry = &server.settings().retry;
            *failures += 1;
            let possible = *failures < retry.attempts_max
                && Instant::now() + wait < call.manner.deadline
                && server.budget().spend();
            possible.then_some(Verdict::Again(wait))
        };
        match outcome {
            Outcome::Reply(Value::ServerError(error)) => {
                if let Some(script) = &call.script
                    && error.code() == "NOSCRIPT"
                    && let Some(server) = server
                {
                    // Somebody flushed the server's scripts behind our back.
                    server
                        .link(call.manner.lane, call.target.lane_node())
                        .outbox()
                        .forget_script(&script.sha);
                    if let Some(verdict) = again(failures, Duration::ZERO) {
                        return verdict;
                    }
                }
                if not_executed(&error)
                    && !call.known.runs_scripts()
                    && let Some(server) = server
                {
                    if error.code() == "READONLY" {
                        let why = Cause::Dropped("the server has become read-only");
                        server
                            .link(call.manner.lane, call.target.lane_node())
                            .outbox()
                            .renew(why, RENEW_EVERY);
                    }
                    let wait = backoff(&server.settings().retry, *failures + 3);
                    if let Some(verdict) = again(failures, wait) {
                        return verdict;
                    }
                }
                Verdict::Done(Ok(Value::ServerError(error)))
            }
            Outcome::Reply(value) => Verdict::Done(Ok(value)),
            Outcome::NotSent(cause) => {
                if is_transient(&cause)
                    && let Some(verdict) = again(failures, Duration::ZERO)
                {
                    return verdict;
                }
                Verdict::Done(Err(fail(server, call.known, false, cause)))
            }
            Outcome::Unknown(cause) => {
                if call.known.is_read
                    && is_transient(&cause)
                    && let Some(verdict) = again(failures, Duration::ZERO)
                {
                    return verdict;
                }
                Verdict::Done(Err(fail(server, call.known, true, cause)))
            }
            Outcome::Stale => Verdict::Again(Duration::ZERO),
        }
    }

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
        let call = Call {
            cmd: &exec,
            known,
            target,
            script: None,
            manner,
        };
        let mut failures = 0;
        loop {
            let (outcome, server) = self.attempt_atomic(&call, &parcel, all.len()).await;
            match outcome {
                Outcome::Stale => {}
                Outcome::Reply(value) => return Ok(value),
                outcome => match self.judge(&call, outcome, server.as_ref(), &mut failures) {
                    Verdict::Done(result) => {
                        return result.map_err(|error| Self::name(&call, error, server.as_ref()));
                    }
                    Verdict::Again(wait) => pause(wait, manner.deadline).await,
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
        let ticket = match self
            .push_patiently(&server, outbox, current.generation, parcel)
            .await
        {
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

    /// Sends a command that may wait on the server, on a connection of its own. The deadline is the command's own timeout plus that of the
    /// call. When the node moves meanwhile, the server is asked to let go and the rest of the time is spent on the new one. Dropping the
    /// future closes the connection.
    pub(crate) async fn call_blocking(
        &self,
        call: &Call<'_>,
        wait: BlocksFor,
    ) -> Result<Value, Error> {
        let node = match call.target {
            Target::Node(node) => Some(node),
            Target::Server(_) => None,
        };
        let mut failures = 0;
        loop {
            let current = self.control.load_full();
            let server = match self.aim(&current, call.target, call.known.is_read) {
                Ok(server) => server.clone(),
                Err(Aim::Hold) => match self.hold(current.generation, call.manner.deadline).await {
                    Outcome::Stale => continue,
                    _ => {
                        return Err(Self::name(
                            call,
                            fail(None, call.known, false, Cause::Deadline),
                            None,
                        ));
                    }
                },
                Err(Aim::Refused(cause)) => {
                    return Err(Self::name(call, fail(None, call.known, false, cause), None));
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
                    match self.judge(call, Outcome::NotSent(cause), Some(&server), &mut failures) {
                        Verdict::Again(wait) => {
                            pause(wait, patience).await;
                            continue;
                        }
                        Verdict::Done(result) => {
                            return result.map_err(|error| Self::name(call, error, Some(&server)));
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
                Outcome::Reply(Value::ServerError(error)) if error.code() == "UNBLOCKED" => {
                    failures += 1
                }
                Outcome::NotSent(Cause::NodeMoved) => {}
                Outcome::Reply(value) => {
                    lease.return_clean();
                    return Ok(value);
                }
                outcome => match self.judge(call, outcome, Some(&server), &mut failures) {
                    Verdict::Done(result) => {
                        return result.map_err(|error| Self::name(call, error, Some(&server)));
                    }
                    Verdict::Again(wait) => pause(wait, manner.deadline).await,
                },
            }
        }
    }

    /// Sends a batch and returns one result per entry, in order. Entries of one node keep their order; what failed on one server says
    /// nothing about the others. Refused entries are answered as such and the others sent: the caller decides first whether it wants that.
    pub(crate) async fn many(
        &self,
        entries: Vec<Entry<'_>>,
        manner: Manner,
    ) -> Vec<Result<Value, Error>> {
        let mut batch = Batch::new(entries);
        let mut failures = 0;
        while batch.has_pending() {
            let current = self.control.load_full();
            let mut held = false;
            let groups = batch.group(&current, manner.lane, &mut held);
            if groups.is_empty() && held {
                match self.hold(current.generation, manner.deadline).await {
                    Outcome::Stale => continue,
                    _ => {
                        batch.fail_pending(&Cause::Deadline);
                        break;
                    }
                }
            }
            let ends = join_all(
                groups
                    .into_iter()
                    .map(|group| self.send_group(group, &current, &batch, manner)),
            )
            .await;
            let mut wait = None;
            for end in ends {
                wait = wait.max(batch.settle(end, &current, failures, manner));
            }
            if let Some(wait) = wait {
                failures += 1;
                pause(wait, manner.deadline).await;
            }
        }
        let cache = self.control.load().config.mode() == Mode::Cache;
        let mut results = Vec::with_capacity(batch.slots.len());
        for (entry, mut slot) in batch.entries.iter().zip(batch.slots) {
            if cache {
                slot.forgive(entry);
            }
            results.push(match slot.finish(entry) {
                Ok(value) => Ok(value),
                Err((error, server)) => {
                    self.or_miss(entry.cmd, entry.known, server.as_ref(), error)
                }
            });
        }
        results
    }

    /// Pushes a group's commands in pieces, then awaits them all.
    async fn send_group(
        &self,
        group: Group,
        current: &Current<Server>,
        batch: &Batch<'_>,
        manner: Manner,
    ) -> GroupEnd {
        let Group {
            server,
            outbox,
            shipments,
        } = group;
        server.budget().earn(shipments.len());
        let cmds: Vec<Cow<'_, Cmd>> = shipments
            .iter()
            .map(|shipment| batch.command(shipment))
            .collect();
        let mut outcomes = Vec::with_capacity(shipments.len());
        let mut tickets = Vec::new();
        let mut stopped: Option<Outcome> = None;
        // Small beside the bound, or a piece would wait for a moment at which nobody else uses the connection.
        let bound = server.settings().limits.in_flight_max as usize;
        let piece_commands = PIECE_COMMANDS.min((bound / 4).max(1));
        for (piece, chunk) in cmds.chunks(piece_commands).enumerate() {
            let first = piece * piece_commands;
            let items: Vec<Item<'_>> = chunk
                .iter()
                .zip(&shipments[first..])
                .map(|(cmd, shipment)| Item {
                    cmd,
                    command: batch.entries[shipment.entry].known.id(),
                })
                .collect();
            let scripts: Vec<Arc<Script>> = shipments[first..first + chunk.len()]
                .iter()
                .filter_map(|shipment| batch.entries[shipment.entry].script.clone())
                .collect();
            let parcel = Parcel {
                items: if items.len() == 1 {
                    Items::One(items[0])
                } else {
                    Items::Many(&items)
                },
                scripts: &scripts,
                started: manner.started,
                deadline: manner.deadline,
                behind: tickets
                    .last()
                    .map(|(ticket, _): &(Ticket, usize)| ticket.incarnation()),
                blocking: false,
            };
            // The first piece usually fits at once; later ones wait for room behind it.
            let pushed = match outbox.push(current.generation, &parcel) {
                Ok(ticket) => Ok(ticket),
                Err(Refusal::Stale) => Err(Outcome::Stale),
                Err(_) => {
                    self.push_patiently(&server, &outbox, current.generation, &parcel)
                        .await
                }
            };
            match pushed {
                Ok(ticket) => tickets.push((ticket, chunk.len())),
                Err(outcome) => {
                    stopped = Some(outcome);
                    break;
                }
            }
        }
        for (ticket, count) in tickets {
            match ticket.await {
                Delivery::Reply(value) => outcomes.push(Outcome::Reply(value)),
                Delivery::Replies(values) => {
                    outcomes.extend(values.into_iter().map(Outcome::Reply))
                }
                Delivery::Broken(broken) => outcomes.extend(broken_outcomes(*broken, count)),
            }
        }
        while outcomes.len() < shipments.len() {
            outcomes.push(match &stopped {
                Some(Outcome::NotSent(cause)) => Outcome::NotSent(cause.clone()),
                _ => Outcome::Stale,
            });
        }
        GroupEnd {
            server,
            outbox,
            shipments,
            outcomes,
        }
    }
}

/// As good as never; an `Instant` must not overflow.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

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

fn transaction<'a>(multi: &'a Cmd, items: &[(&'a Cmd, Known)], exec: &'a Cmd) -> Vec<Item<'a>> {
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

/// Why a command cannot be aimed at a server now.
enum Aim {
    Hold,
    Refused(Cause),
}

impl Target<'_> {
    /// Which of a server's connections: a node keeps to its own.
    fn lane_node(self) -> NodeId {
        match self {
            Target::Node(node) => node,
            Target::Server(_) => NodeId(0),
        }
    }
}

async fn pause(wait: Duration, deadline: Instant) {
    if !wait.is_zero() {
        tokio::time::sleep_until((Instant::now() + wait).min(deadline).into()).await;
    }
}

/// Errors by which a server says that it did nothing.
fn not_executed(error: &ServerError) -> bool {
    matches!(error.code(), "LOADING" | "READONLY" | "MASTERDOWN")
}

/// Errors that mean the server was not there: what cache mode takes for a miss.
fn is_absence(kind: ErrorKind, is_read: bool) -> bool {
    matches!(kind, ErrorKind::ServerDown | ErrorKind::NotSent)
        || (kind == ErrorKind::Unknown && is_read)
}

/// May the next attempt do better within the same call?
fn is_transient(cause: &Cause) -> bool {
    match cause {
        Cause::Io(_)
        | Cause::ClosedByServer
        | Cause::Silent(_)
        | Cause::Poisoned(_)
        | Cause::Dropped(_) => true,
        Cause::Deadline
        | Cause::Protocol(_)
        | Cause::Unreadable(_)
        | Cause::NoRoom
        | Cause::NoLease(_)
        | Cause::Down(_)
        | Cause::Refused(_)
        | Cause::RuntimeGone
        | Cause::Closed
        | Cause::NodeMoved => false,
    }
}

/// The final error of a call without a reply, counted.
pub(crate) fn fail(
    server: Option<&Arc<Server>>,
    known: Known,
    may_have_run: bool,
    cause: Cause,
) -> Error {
    let (kind, failure) = match (&cause, may_have_run) {
        (Cause::Deadline, true) => (ErrorKind::Unknown, Failure::Timeout),
        (_, true) => (ErrorKind::Unknown, Failure::Unknown),
        (Cause::Deadline, false) => (ErrorKind::NotSent, Failure::Timeout),
        (Cause::NoRoom | Cause::NoLease(_), false) => (ErrorKind::NotSent, Failure::Full),
        (Cause::Down(_), false) => (ErrorKind::ServerDown, Failure::ServerDown),
        (Cause::Refused(_), false) => (ErrorKind::Refused, Failure::Refused),
        (Cause::Closed | Cause::RuntimeGone, false) => (ErrorKind::Closed, Failure::NotSent),
        (_, false) => (ErrorKind::NotSent, Failure::NotSent),
    };
    if let Some(server) = server {
        server.stats().failure(known.id(), failure);
    }
    let error = Error::new(kind, cause.to_string());
    if matches!(cause, Cause::Deadline) {
        error.by_timeout()
    } else {
        error
    }
}

/// EXEC's reply out of all replies of a transaction.
fn transaction_reply(mut replies: Vec<Value>) -> Outcome {
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

/// What a broken parcel means for each of its commands.
fn broken_outcomes(broken: Broken, count: usize) -> impl Iterator<Item = Outcome> {
    let Broken {
        replies,
        written,
        cause,
    } = broken;
    let answered = replies.len();
    let rest = (answered..count).map(move |at| {
        if at < written {
            Outcome::Unknown(cause.clone())
        } else {
            Outcome::NotSent(cause.clone())
        }
    });
    replies.into_iter().map(Outcome::Reply).chain(rest)
}

// --- batches --------------------------------------------------------------------------------------------------------------------

/// A batch under way.
struct Batch<'a> {
    entries: Vec<Entry<'a>>,
    slots: Vec<Slot>,
}

/// What is known of one entry so far.
enum Slot {
    Pending,
    Done(Result<Value, (Error, Option<Arc<Server>>)>),
    /// Per part of a split entry: the value (MGET) or that it was done.
    Split {
        parts: Vec<PartState>,
        sum: i64,
        error: Option<(Error, Option<Arc<Server>>)>,
    },
    /// Per server name.
    Everywhere {
        generation: u64,
        replies: BTreeMap<Arc<str>, Result<Value, Error>>,
    },
}

enum PartState {
    Pending,
    Done(Value),
    /// Not done because its server is down: what cache mode forgives.
    Absent,
    Failed,
    Unknown,
}

/// Commands of one batch for one connection, in order.
struct Group {
    server: Arc<Server>,
    outbox: Arc<Outbox>,
    shipments: Vec<Shipment>,
}

/// One command as it is sent: an entry, or those parts of it that go to one server.
struct Shipment {
    entry: usize,
    /// Indexes into the parts of a split entry.
    parts: Vec<usize>,
    /// Whose order it must keep.
    nodes: Vec<NodeId>,
}

struct GroupEnd {
    server: Arc<Server>,
    outbox: Arc<Outbox>,
    shipments: Vec<Shipment>,
    outcomes: Vec<Outcome>,
}

impl<'a> Batch<'a> {
    fn new(entries: Vec<Entry<'a>>) -> Batch<'a> {
        let slots = entries
            .iter()
            .map(|entry| match &entry.body {
                Body::Node(_) | Body::Server(_) => Slot::Pending,
                Body::Split { parts, .. } => Slot::Split {
                    parts: parts.iter().map(|_| PartState::Pending).collect(),
                    sum: 0,
                    error: None,
                },
                Body::Everywhere(_) => Slot::Everywhere {
                    generation: 0,
                    replies: BTreeMap::new(),
                },
                Body::Refused(error) => Slot::Done(Err((error.clone(), None))),
            })
            .collect();
        Batch { entries, slots }
    }

    fn has_pending(&self) -> bool {
        self.slots.iter().any(|slot| match slot {
            Slot::Pending => true,
            Slot::Done(_) => false,
            Slot::Split { parts, .. } => {
                parts.iter().any(|part| matches!(part, PartState::Pending))
            }
            Slot::Everywhere { generation, .. } => *generation != u64::MAX,
        })
    }

    /// Pending work by connection. Entries whose node is held or refused now are left out, or failed.
    fn group(&mut self, current: &Current<Server>, lane: Lane, held: &mut bool) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        // By server and connection number; small, so a scan per command would do, but a table is as short.
        let mut index: Vec<Option<usize>> = vec![None; current.servers.len() * 64];
        let mut ship = |server: usize, node: NodeId, shipment: Shipment| {
            let target = &current.servers[server];
            let place = server * 64 + node.index() % target.width(lane).max(1);
            let group = *index[place].get_or_insert_with(|| {
                groups.push(Group {
                    server: target.clone(),
                    outbox: target.link(lane, node).outbox().clone(),
                    shipments: Vec::new(),
                });
                groups.len() - 1
            });
            // Parts of one entry for one connection become one command.
            match groups[group].shipments.last_mut() {
                Some(last) if last.entry == shipment.entry && !last.parts.is_empty() => {
                    last.parts.extend(shipment.parts);
                    last.nodes.extend(shipment.nodes);
                }
                _ => groups[group].shipments.push(shipment),
            }
        };
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            let is_read = entry.known.is_read;
            match (&entry.body, &mut self.slots[at]) {
                (Body::Node(node), slot @ Slot::Pending) => {
                    match routing::gate(&current.topology, *node, is_read) {
                        Gate::Send => {
                            let server = current.topology.server_of(*node).index();
                            ship(
                                server,
                                *node,
                                Shipment {
                                    entry: at,
                                    parts: Vec::new(),
                                    nodes: vec![*node],
                                },
                            );
                        }
                        Gate::Hold | Gate::Import => *held = true,
                        Gate::Refuse(why) => {
                            let error = Error::new(ErrorKind::Refused, why)
                                .of_command(entry.known.name())
                                .at_node(*node);
                            *slot = Slot::Done(Err((error, None)));
                        }
                    }
                }
                (Body::Server(name), slot @ Slot::Pending) => {
                    match current.topology.server_by_name(name) {
                        Some(id) => ship(
                            id.index(),
                            NodeId(0),
                            Shipment {
                                entry: at,
                                parts: Vec::new(),
                                nodes: vec![NodeId(0)],
                            },
                        ),
                        None => {
                            let why = format!("the topology has no server {name:?} any more");
                            *slot = Slot::Done(Err((
                                Error::new(ErrorKind::Refused, why).of_command(entry.known.name()),
                                None,
                            )));
                        }
                    }
                }
                (
                    Body::Split { parts, .. },
                    Slot::Split {
                        parts: states,
                        error,
                        ..
                    },
                ) => {
                    for (i, part) in parts.iter().enumerate() {
                        if !matches!(states[i], PartState::Pending) {
                            continue;
                        }
                        match routing::gate(&current.topology, part.node, is_read) {
                            Gate::Send => {
                                let server = current.topology.server_of(part.node).index();
                                ship(
                                    server,
                                    part.node,
                                    Shipment {
                                        entry: at,
                                        parts: vec![i],
                                        nodes: vec![part.node],
                                    },
                                );
                            }
                            Gate::Hold | Gate::Import => *held = true,
                            Gate::Refuse(why) => {
                                states[i] = PartState::Failed;
                                let refused = Error::new(ErrorKind::Refused, why)
                                    .of_command(entry.known.name())
                                    .at_node(part.node);
                                error.get_or_insert((refused, None));
                            }
                        }
                    }
                }
                (
                    Body::Everywhere(_),
                    Slot::Everywhere {
                        generation,
                        replies,
                    },
                ) if *generation != u64::MAX => {
                    // A merged read over two topologies would count a moved node twice or not at all.
                    if is_read && *generation != current.generation {
                        replies.clear();
                    }
                    *generation = current.generation;
                    let mut complete = true;
                    for (server, target) in current.servers.iter().enumerate() {
                        if !replies.contains_key(target.name()) {
                            complete = false;
                            ship(
                                server,
                                NodeId(0),
                                Shipment {
                                    entry: at,
                                    parts: Vec::new(),
                                    nodes: Vec::new(),
                                },
                            );
                        }
                    }
                    if complete {
                        *generation = u64::MAX;
                    }
                }
                _ => {}
            }
        }
        groups
    }

    fn command(&self, shipment: &Shipment) -> Cow<'_, Cmd> {
        let entry = &self.entries[shipment.entry];
        match &entry.body {
            Body::Split { split, args, parts } => Cow::Owned(routing::sub_command(
                args,
                *split,
                shipment.parts.iter().map(|part| parts[*part].at),
            )),
            _ => Cow::Borrowed(entry.cmd),
        }
    }

    /// Takes a group's outcomes in. `Some(wait)` when something of it is to be sent again after that wait.
    fn settle(
        &mut self,
        end: GroupEnd,
        current: &Current<Server>,
        failures: u32,
        manner: Manner,
    ) -> Option<Duration> {
        let GroupEnd {
            server,
            outbox,
            shipments,
            mut outcomes,
        } = end;
        let retry = &server.settings().retry;
        let mut wait = Duration::ZERO;
        // LOADING and the like mean "not executed", but sending such a command again must not overtake a later one of its node.
        let mut executed_later: HashSet<NodeId> = HashSet::new();
        let mut renew = false;
        for (shipment, outcome) in shipments.iter().zip(&mut outcomes).rev() {
            let entry = &self.entries[shipment.entry];
            if let Outcome::Reply(value) = outcome {
                if let Value::ServerError(error) = value {
                    if error.code() == "NOSCRIPT"
                        && let Some(script) = &entry.script
                    {
                        outbox.forget_script(&script.sha);
                        if !shipment
                            .nodes
                            .iter()
                            .any(|node| executed_later.contains(node))
                        {
                            *outcome =
                                Outcome::NotSent(Cause::Dropped("the server has lost the script"));
                            continue;
                        }
                    } else if not_executed(error)
                        && !entry.known.runs_scripts()
                        && failures + 1 < retry.attempts_max
                        && !shipment
                            .nodes
                            .iter()
                            .any(|node| executed_later.contains(node))
                    {
                        renew |= error.code() == "READONLY";
                        wait = wait.max(backoff(retry, failures + 3));
                        *outcome = Outcome::NotSent(Cause::Dropped(
                            "the server could not execute just now",
                        ));
                        continue;
                    }
                }
                executed_later.extend(shipment.nodes.iter().copied());
            }
        }
        if renew {
            outbox.renew(
                Cause::Dropped("the server has become read-only"),
                RENEW_EVERY,
            );
        }
        let lost = |outcome: &Outcome| match outcome {
            Outcome::NotSent(cause) | Outcome::Unknown(cause) => Some(cause.clone()),
            _ => None,
        };
        let any_lost = outcomes.iter().find_map(lost);
        let may_retry = any_lost.as_ref().is_some_and(is_transient)
            && failures + 1 < retry.attempts_max
            && Instant::now() + wait < manner.deadline
            && server.budget().spend();
        // The unanswered commands of one node are sent again only if none of them can have been executed, or all are reads; and nothing
        // of a node is sent behind a command of it that failed. A command over several nodes ties them together.
        let mut bad: HashSet<NodeId> = HashSet::new();
        loop {
            let before = bad.len();
            for (shipment, outcome) in shipments.iter().zip(&outcomes) {
                let fails = match outcome {
                    Outcome::Reply(_) => false,
                    Outcome::Stale => shipment.nodes.iter().any(|node| bad.contains(node)),
                    Outcome::NotSent(_) => {
                        !may_retry || shipment.nodes.iter().any(|node| bad.contains(node))
                    }
                    Outcome::Unknown(_) => {
                        !may_retry
                            || !self.entries[shipment.entry].known.is_read
                            || shipment.nodes.iter().any(|node| bad.contains(node))
                            || self.has_unanswered_write(&shipments, &outcomes, &shipment.nodes)
                    }
                };
                if fails {
                    bad.extend(shipment.nodes.iter().copied());
                }
            }
            if bad.len() == before {
                break;
            }
        }
        let mut again = false;
        for (shipment, outcome) in shipments.into_iter().zip(outcomes) {
            let known = self.entries[shipment.entry].known;
            let tied = shipment.nodes.iter().any(|node| bad.contains(node));
            let final_outcome = match outcome {
                Outcome::Reply(value) => Ok(value),
                Outcome::Stale if !tied => continue,
                Outcome::Stale => Err(Error::new(
                    ErrorKind::NotSent,
                    "an earlier command of its node failed",
                )),
                Outcome::NotSent(_) | Outcome::Unknown(_)
                    if may_retry && !tied && (!shipment.nodes.is_empty() || known.is_read) =>
                {
                    server.stats().retried(known.id());
                    again = true;
                    continue;
                }
                Outcome::NotSent(_) if may_retry && shipment.nodes.is_empty() => {
                    again = true;
                    continue;
                }
                Outcome::NotSent(cause) => Err(fail(Some(&server), known, false, cause)),
                Outcome::Unknown(cause) => Err(fail(Some(&server), known, true, cause)),
            };
            let final_outcome = final_outcome.map_err(|error| {
                let error = error.of_command(known.name()).at_server(server.name());
                match shipment.nodes.as_slice() {
                    [node] => error.at_node(*node),
                    _ => error,
                }
            });
            self.store(&shipment, final_outcome, &server, current);
        }
        again.then_some(wait)
    }

    fn has_unanswered_write(
        &self,
        shipments: &[Shipment],
        outcomes: &[Outcome],
        nodes: &[NodeId],
    ) -> bool {
        shipments.iter().zip(outcomes).any(|(shipment, outcome)| {
            !matches!(outcome, Outcome::Reply(_))
                && !self.entries[shipment.entry].known.is_read
                && shipment.nodes.iter().any(|node| nodes.contains(node))
        })
    }

    fn store(
        &mut self,
        shipment: &Shipment,
        outcome: Result<Value, Error>,
        server: &Arc<Server>,
        current: &Current<Server>,
    ) {
        let entry = &self.entries[shipment.entry];
        match (&mut self.slots[shipment.entry], &entry.body) {
            (slot @ Slot::Pending, _) => {
                *slot = Slot::Done(outcome.map_err(|error| (error, Some(server.clone()))))
            }
            (Slot::Split { parts, sum, error }, Body::Split { split, .. }) => {
                let outcome = outcome.and_then(|value| match value {
                    Value::ServerError(error) => Err(Error::from_server(error)
                        .of_command(entry.known.name())
                        .at_server(server.name())),
                    value => Ok(value),
                });
                match (outcome, split) {
                    (Ok(Value::Array(values)), Split::Mget)
                        if values.len() == shipment.parts.len() =>
                    {
                        for (part, value) in shipment.parts.iter().zip(values) {
                            parts[*part] = PartState::Done(value);
                        }
                    }
                    (Ok(Value::Int(n)), Split::Sum) => {
                        *sum += n;
                        shipment
                            .parts
                            .iter()
                            .for_each(|part| parts[*part] = PartState::Done(Value::Nil));
                    }
                    (Ok(_), Split::Mset) => {
                        shipment
                            .parts
                            .iter()
                            .for_each(|part| parts[*part] = PartState::Done(Value::Nil));
                    }
                    (Ok(_), _) => {
                        shipment
                            .parts
                            .iter()
                            .for_each(|part| parts[*part] = PartState::Unknown);
                        let odd = Error::new(
                            ErrorKind::UnexpectedReply,
                            "the reply has another shape than the command's",
                        )
                        .of_command(entry.known.name())
                        .at_server(server.name());
                        error.get_or_insert((odd, Some(server.clone())));
                    }
                    (Err(failed), _) => {
                        for part in &shipment.parts {
                            parts[*part] = match failed.kind() {
                                kind if is_absence(kind, entry.known.is_read) => PartState::Absent,
                                ErrorKind::Unknown => PartState::Unknown,
                                _ => PartState::Failed,
                            };
                        }
                        error.get_or_insert((failed, Some(server.clone())));
                    }
                }
            }
            (
                Slot::Everywhere {
                    replies,
                    generation,
                },
                _,
            ) => {
                let outcome = match (outcome, entry.known.name()) {
                    (Ok(Value::Array(keys)), "KEYS") => {
                        Ok(Value::Array(own_keys(keys, server, current)))
                    }
                    (outcome, _) => outcome,
                };
                replies.insert(server.name().clone(), outcome);
                if current
                    .servers
                    .iter()
                    .all(|server| replies.contains_key(server.name()))
                {
                    *generation = u64::MAX;
                }
            }
            _ => {}
        }
    }

    fn fail_pending(&mut self, cause: &Cause) {
        for (entry, slot) in self.entries.iter().zip(&mut self.slots) {
            match slot {
                Slot::Pending => {
                    let error = fail(None, entry.known, false, cause.clone())
                        .of_command(entry.known.name());
                    *slot = Slot::Done(Err((error, None)));
                }
                Slot::Split { parts, error, .. } => {
                    for part in parts
                        .iter_mut()
                        .filter(|part| matches!(part, PartState::Pending))
                    {
                        *part = PartState::Failed;
                        error.get_or_insert_with(|| {
                            (
                                fail(None, entry.known, false, cause.clone())
                                    .of_command(entry.known.name()),
                                None,
                            )
                        });
                    }
                }
                Slot::Everywhere { generation, .. } => *generation = u64::MAX,
                Slot::Done(_) => {}
            }
        }
    }
}

impl Slot {
    /// In cache mode the keys of a server that is down are misses, and a plain MSET to it is dropped; both are counted.
    fn forgive(&mut self, entry: &Entry<'_>) {
        let (Slot::Split { parts, error, .. }, Some(row)) = (self, entry.known.row) else {
            return;
        };
        if row.miss == crate::command::Miss::None
            || parts
                .iter()
                .any(|part| matches!(part, PartState::Failed | PartState::Unknown))
        {
            return;
        }
        let Some((_, server)) = error.take() else {
            return;
        };
        for part in parts
            .iter_mut()
            .filter(|part| matches!(part, PartState::Absent))
        {
            *part = PartState::Done(Value::Nil);
            match &server {
                Some(server) if row.miss == crate::command::Miss::DroppedWrite => {
                    server.stats().cache_write_dropped(row.id.0)
                }
                Some(server) => server.stats().cache_miss_answered(row.id.0),
                None => {}
            }
        }
    }

    /// The entry's one result.
    fn finish(self, entry: &Entry<'_>) -> Result<Value, (Error, Option<Arc<Server>>)> {
        match (self, &entry.body) {
            (Slot::Done(result), _) => result,
            (
                Slot::Split { parts, sum, error },
                Body::Split {
                    split,
                    args,
                    parts: places,
                },
            ) => match error {
                None => Ok(match split {
                    Split::Mget => Value::Array(
                        parts
                            .into_iter()
                            .map(|part| match part {
                                PartState::Done(value) => value,
                                _ => Value::Nil,
                            })
                            .collect(),
                    ),
                    Split::Mset => Value::Okay,
                    Split::Sum => Value::Int(sum),
                }),
                Some((first, server)) => {
                    // Refused as a whole or in part: the caller must see which keys.
                    let mut partial = Partial::default();
                    for (state, place) in parts.iter().zip(places) {
                        let key = args[place.at].to_vec();
                        match state {
                            PartState::Done(_) => partial.done.push(key),
                            PartState::Unknown => partial.unknown.push(key),
                            PartState::Absent | PartState::Failed | PartState::Pending => {
                                partial.failed.push(key)
                            }
                        }
                    }
                    if partial.done.is_empty()
                        && (partial.unknown.is_empty() || partial.failed.is_empty())
                    {
                        return Err((first.with_partial(partial), server));
                    }
                    let message = format!(
                        "{} of {} keys done, {} failed, {} unknown; the first failure: {first}",
                        partial.done.len(),
                        parts.len(),
                        partial.failed.len(),
                        partial.unknown.len()
                    );
                    let error = Error::new(ErrorKind::Partial, message)
                        .of_command(entry.known.name())
                        .with_partial(partial);
                    Err((error, server))
                }
            },
            (Slot::Everywhere { replies, .. }, Body::Everywhere(merge)) => {
                merge_replies(*merge, replies, entry.known.row).map_err(|error| (error, None))
            }
            _ => Err((
                Error::new(ErrorKind::NotSent, "the batch ended before this command")
                    .of_command(entry.known.name()),
                None,
            )),
        }
    }
}

/// The keys that a server holds by right: left out are those of nodes that live elsewhere now, and our own.
pub(crate) fn own_keys(
    keys: Vec<Value>,
    server: &Arc<Server>,
    current: &Current<Server>,
) -> Vec<Value> {
    keys.into_iter()
        .filter(|key| match key {
            Value::BulkString(key) => {
                !key.starts_with(routing::RESERVED_PREFIX)
                    && Arc::ptr_eq(current.server_of(current.node(key)), server)
            }
            _ => true,
        })
        .collect()
}

/// One reply out of every server's.
fn merge_replies(
    merge: Merge,
    replies: BTreeMap<Arc<str>, Result<Value, Error>>,
    row: Option<&'static Row>,
) -> Result<Value, Error> {
    let name = row.map_or("command", |row| row.name);
    // A script is kept by us and loaded where it is missing, so one server that is down does not break it elsewhere.
    let loads_script = name == "SCRIPT LOAD";
    let mut values = Vec::with_capacity(replies.len());
    let (mut partial, mut first_error) = (Partial::default(), None);
    for (server, reply) in replies {
        let reply = reply.and_then(|value| match value {
            Value::ServerError(error) => Err(Error::from_server(error)
                .of_command(name)
                .at_server(&server)),
            value => Ok(value),
        });
        match reply {
            Ok(value) => {
                partial.done.push(server.as_bytes().to_vec());
                values.push(value);
            }
            Err(error) => {
                let list = if error.kind() == ErrorKind::Unknown {
                    &mut partial.unknown
                } else {
                    &mut partial.failed
                };
                list.push(server.as_bytes().to_vec());
                if !(loads_script && error.kind() != ErrorKind::Server) {
                    first_error.get_or_insert(error);
                }
            }
        }
    }
    if let Some(error) = first_error {
        if partial.done.is_empty() || error.kind() == ErrorKind::Server {
            return Err(error.with_partial(partial));
        }
        let message = format!(
            "{} of {} servers done; the first failure: {error}",
            partial.done.len(),
            partial.done.len() + partial.failed.len() + partial.unknown.len()
        );
        return Err(Error::new(ErrorKind::Partial, message)
            .of_command(name)
            .with_partial(partial));
    }
    let odd = || {
        Error::new(
            ErrorKind::UnexpectedReply,
            "a server's reply has another shape than the command's",
        )
        .of_command(name)
    };
    match merge {
        Merge::Sum => {
            let mut sum = 0i64;
            for value in values {
                let Value::Int(n) = value else {
                    return Err(odd());
                };
                sum += n;
            }
            Ok(Value::Int(sum))
        }
        Merge::Concat => {
            let mut all = Vec::new();
            for value in values {
                match value {
                    // Two databases of one server report the same channels.
                    Value::Array(items) | Value::Set(items) if name == "PUBSUB CHANNELS" => {
                        for item in items {
                            if !all.contains(&item) {
                                all.push(item);
                            }
                        }
                    }
                    Value::Array(items) | Value::Set(items) => all.extend(items),
                    _ => return Err(odd()),
                }
            }
            Ok(Value::Array(all))
        }
        Merge::AllOk => values.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::ServerDown, "no server answered").of_command(name)
        }),
        Merge::AndBits => {
            let mut bits: Option<Vec<i64>> = None;
            for value in values {
                let Value::Array(items) = value else {
                    return Err(odd());
                };
                let row: Vec<i64> = items
                    .iter()
                    .map(|item| i64::from(matches!(item, Value::Int(1))))
                    .collect();
                bits = Some(match bits {
                    None => row,
                    Some(so_far) if so_far.len() == row.len() => {
                        so_far.iter().zip(row).map(|(a, b)| a & b).collect()
                    }
                    Some(_) => return Err(odd()),
                });
            }
            Ok(Value::Array(
                bits.unwrap_or_default()
                    .into_iter()
                    .map(Value::Int)
                    .collect(),
            ))
        }
    }
}
