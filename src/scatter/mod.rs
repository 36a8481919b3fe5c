//! Scatter: sends parcels to the servers and puts the replies back.
//!
//! Every attempt ends as [`Outcome`]. For a call, `retry` has the one loop and decides what follows; for the commands of a
//! batch, which come in rounds, `settle` does. An attempt loads the topology once, and every retry routes again.

mod batch;
mod interrupt;
mod lease;
mod many;
mod merge;
mod named;
mod retry;
mod settle;
mod split;
mod transaction;
mod turns;

pub(crate) use batch::own_keys;
pub(crate) use lease::{Lent, blocking_deadline, converse, converse_atomic, tell};
pub(crate) use named::Named;
pub(crate) use split::SplitRead;
pub(crate) use turns::{Tried, Turns};

use retry::{Attempted, Form};

use crate::command::{Merge, Split};
use crate::config::Mode;
use crate::connection::{
    Broken, Cause, Delivery, Item, Items, Outbox, Parcel, Refusal, Script, Ticket,
};
use crate::control::{Control, Current};
use crate::error::{Error, ErrorKind};
use crate::placement::NodeId;
use crate::pool::{Lane, Server};
use crate::routing::{self, Gate, Known, Part};
use crate::stats::Class;
use redis::{Cmd, Value};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

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

/// What becomes of a read whose server is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misses {
    /// In cache mode a miss, else an error.
    OfMode,
    /// An error, in cache mode too.
    Never,
}

/// One command for one node.
pub(crate) struct Call<'a> {
    pub(crate) cmd: &'a Cmd,
    pub(crate) known: Known,
    pub(crate) target: Target<'a>,
    pub(crate) script: Option<Arc<Script>>,
    pub(crate) manner: Manner,
}

impl Manner {
    /// How long the caller allows the call as a whole.
    pub(crate) fn allowance(self) -> Duration {
        self.deadline.saturating_duration_since(self.started)
    }
}

/// Where a command of one call goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    Node(NodeId, Choice),
    /// A server by name.
    Server(&'a Named<'a>),
}

/// Why it goes to its node. Beside the node and no target of its own, which would make a call larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// No other will do.
    Only,
    /// Any node serves it, and this one has its turn.
    Any,
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
    /// Any node serves it: the same one for all such commands of the batch.
    Any,
    /// To the server that the batch is for. Boxed, as below.
    Server(Box<Named<'a>>),
    // Boxed: a batch has many entries, and few of them are split.
    Split(Box<Divided<'a>>),
    Everywhere(Merge),
    /// Refused before anything is sent.
    Refused(Error),
}

/// A command whose keys are on several nodes.
pub(crate) struct Divided<'a> {
    pub(crate) split: Split,
    pub(crate) args: Vec<&'a [u8]>,
    pub(crate) parts: Vec<Part>,
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

/// Sends commands by the current topology.
#[derive(Debug)]
pub(crate) struct Scatter {
    control: Control<Server>,
    /// Callers that wait for a frozen node.
    holds: tokio::sync::Semaphore,
    turns: Turns,
}

impl Scatter {
    pub(crate) fn new(control: Control<Server>) -> Scatter {
        Scatter {
            control,
            holds: tokio::sync::Semaphore::new(HOLD_MAX),
            turns: Turns::default(),
        }
    }

    pub(crate) fn control(&self) -> &Control<Server> {
        &self.control
    }

    /// Sends one command and returns its reply; error replies come as `Value::ServerError`. Retries what is safe within the deadline.
    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Value, Error> {
        self.run(call, &Form::Shared, None).await
    }

    /// The first attempt of a call, as far as it needs no waiting: pushed, or `None` and nothing was sent. `waker` is woken when it has
    /// ended.
    pub(crate) fn start(
        &self,
        current: &Current<Server>,
        cmd: &Cmd,
        first: First,
        waker: &Waker,
    ) -> Option<Started> {
        let call = first.call(cmd);
        let server = self.aim(current, call.target, call.known.is_read).ok()?;
        let outbox = server
            .link(call.manner.lane, call.target.lane_node())
            .outbox();
        let ticket = outbox
            .push_to_wake(current.generation, &parcel_of(&call), Some(waker))
            .ok()?;
        server.budget().earn(1);
        Some(Started {
            ticket,
            server: server.clone(),
            deadline: first.manner.deadline,
        })
    }

    /// What follows a started attempt that did not end with a plain reply.
    pub(crate) async fn finish(
        &self,
        cmd: &Cmd,
        first: First,
        delivery: Delivery,
        server: Arc<Server>,
    ) -> Result<Value, Error> {
        let attempted = Some((outcome_of(delivery), Some(server)));
        self.run(first.call(cmd), &Form::Shared, attempted).await
    }

    fn name(call: &Call<'_>, error: Error, server: Option<&Arc<Server>>) -> Error {
        let mut error = error.of_command(call.known.name());
        if let Target::Node(node, _) = call.target {
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
    async fn attempt(&self, call: &Call<'_>) -> Attempted {
        let parcel = parcel_of(call);
        let (pushed, server, outbox, generation) = {
            let current = self.control.load();
            let server = match self.aim(&current, call.target, call.known.is_read) {
                Ok(server) => server.clone(),
                Err(aim) => {
                    let (home, generation) = (home(&current, call.target), current.generation);
                    drop(current);
                    return self
                        .not_aimed(aim, home, generation, call.manner.deadline)
                        .await;
                }
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
            (Err(_), Some(outbox)) => {
                let pushed = self.push_patiently(&server, &outbox, generation, &parcel);
                match Box::pin(self.or_elsewhere(call.target, &server, pushed)).await {
                    Ok(ticket) => ticket,
                    Err(outcome) => return (outcome, Some(server)),
                }
            }
        };
        if parcel.no_reply {
            server.stats().not_waited_for(call.known.id());
            return (Outcome::Reply(Value::Nil), Some(server));
        }
        let outcome = outcome_of(ticket.await);
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
            Target::Node(node, _) => {
                match routing::gate(&current.topology, node, is_read) {
                    Gate::Send => Ok(current.server_of(node)),
                    // Live moves install a key before its first command; until they are built, such a node is not served by a file.
                    Gate::Hold | Gate::Import => Err(Aim::Hold),
                    Gate::Refuse(why) => Err(Aim::Refused(Cause::Refused(why.into()))),
                }
            }
            Target::Server(named) => match named.find(current) {
                Ok(id) => Ok(current.server(id)),
                Err(why) => Err(Aim::Refused(Cause::Refused(why.into()))),
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
                Err(Refusal::Empty) => return Err(Outcome::NotSent(Cause::Empty)),
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
}

/// What a call without a script needs beside its command.
#[derive(Clone, Copy)]
pub(crate) struct First {
    pub(crate) known: Known,
    pub(crate) node: NodeId,
    pub(crate) manner: Manner,
}

impl First {
    fn call(self, cmd: &Cmd) -> Call<'_> {
        Call {
            cmd,
            known: self.known,
            target: Target::Node(self.node, Choice::Only),
            script: None,
            manner: self.manner,
        }
    }
}

/// A first attempt under way. Small, because it is kept meanwhile.
pub(crate) struct Started {
    pub(crate) ticket: Ticket,
    pub(crate) server: Arc<Server>,
    pub(crate) deadline: Instant,
}

fn parcel_of<'a>(call: &'a Call<'_>) -> Parcel<'a> {
    Parcel {
        items: Items::One(Item {
            cmd: call.cmd,
            command: call.known.id(),
        }),
        scripts: call.script.as_slice(),
        started: call.manner.started,
        deadline: call.manner.deadline,
        behind: None,
        blocking: false,
        no_reply: call.cmd.is_no_response(),
    }
}

/// How the parcel of a single command ended.
fn outcome_of(delivery: Delivery) -> Outcome {
    match delivery {
        Delivery::Reply(value) => Outcome::Reply(value),
        Delivery::Replies(mut values) => values
            .pop()
            .map_or(Outcome::Unknown(Cause::ClosedByServer), Outcome::Reply),
        Delivery::Broken(broken) if broken.written == 0 => Outcome::NotSent(broken.cause),
        Delivery::Broken(broken) => Outcome::Unknown(broken.cause),
    }
}

/// What a broken parcel means for each of its commands.
fn broken_outcomes(broken: Broken, count: usize) -> impl Iterator<Item = Outcome> {
    let Broken {
        replies,
        written,
        cause,
        ..
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

/// Why a command cannot be aimed at a server now.
enum Aim {
    Hold,
    Refused(Cause),
}

/// The server that the node of a target is on, whether it takes commands or not.
fn home(current: &Current<Server>, target: Target<'_>) -> Option<Arc<Server>> {
    match target {
        Target::Node(node, _) => Some(current.server_of(node).clone()),
        Target::Server(_) => None,
    }
}

impl Target<'_> {
    fn is_any(self) -> bool {
        matches!(self, Target::Node(_, Choice::Any))
    }

    /// Which of a server's connections: a node keeps to its own.
    fn lane_node(self) -> NodeId {
        match self {
            Target::Node(node, _) => node,
            Target::Server(_) => NodeId(0),
        }
    }
}

/// Errors that mean the server was not there: what cache mode takes for a miss.
fn is_absence(kind: ErrorKind, is_read: bool) -> bool {
    matches!(kind, ErrorKind::ServerDown | ErrorKind::NotSent)
        || (kind == ErrorKind::Unknown && is_read)
}

/// Its server is not there; another may be.
fn is_down(cause: &Cause) -> bool {
    matches!(cause, Cause::Down(_))
}

/// May a read be sent again that was written and ended so?
fn may_be_read_again(cause: &Cause) -> bool {
    // Nobody knows any more whose reply is whose.
    is_transient(cause) && !matches!(cause, Cause::Shifted)
}

/// May the next attempt do better within the same call?
fn is_transient(cause: &Cause) -> bool {
    match cause {
        Cause::Io(_)
        | Cause::ClosedByServer
        | Cause::Silent(_)
        | Cause::Poisoned(_)
        | Cause::Shifted
        | Cause::Dropped(_) => true,
        Cause::Deadline
        | Cause::Protocol(_)
        | Cause::NoTransaction(_)
        | Cause::Busy(_)
        | Cause::Unreadable(_)
        | Cause::NoRoom
        | Cause::NoLease(_)
        | Cause::Down(_)
        | Cause::Refused(_)
        | Cause::RuntimeGone
        | Cause::Closed
        | Cause::Empty
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
    let failure = cause.failure(may_have_run);
    let kind = match failure.class {
        _ if matches!(cause, Cause::Empty) => ErrorKind::Invalid,
        Class::NotSent => ErrorKind::NotSent,
        Class::Unknown => ErrorKind::Unknown,
        Class::ServerDown => ErrorKind::ServerDown,
        Class::Refused => ErrorKind::Refused,
        Class::Closed => ErrorKind::Closed,
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
