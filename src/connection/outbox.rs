//! The outbox: where callers put commands and the driver takes them.
//!
//! Callers encode straight into one shared buffer under one short lock, so a command costs neither a message nor a buffer of its own.
//! The lock also decides the two questions that must not race: may this generation still send, and is there room.

use super::cause::Cause;
use super::now;
use super::places::{PlaceId, Places};
use crate::resp::encode;
use crate::stats::{Failure, Part, ServerStats};
use parking_lot::{Mutex, MutexGuard};
use redis::{Cmd, Value};
use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Above this many bytes a parcel is encoded outside the lock and pushed as a chunk of its own.
const LARGE_BYTES: usize = 64 * 1024;
/// A drained buffer larger than this is not kept for reuse.
const KEEP_BYTES: usize = 256 * 1024;

/// What one connection may hold, queued and in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) commands_max: u32,
    pub(crate) bytes_max: u64,
}

/// A script body by its sha1, with the packed `SCRIPT LOAD` that teaches it to a connection.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) sha: [u8; 20],
    pub(crate) load: Vec<u8>,
    /// Length of the body, which is the last argument of `load`.
    pub(crate) body_bytes: usize,
}

impl Script {
    pub(crate) fn body(&self) -> &[u8] {
        let end = self.load.len().saturating_sub(b"\r\n".len());
        &self.load[end.saturating_sub(self.body_bytes)..end]
    }
}

/// One command of a parcel: the command and its row in the command table, for the statistics.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) cmd: &'a Cmd,
    pub(crate) command: u16,
}

/// The commands for one connection that are written together.
pub(crate) struct Parcel<'a> {
    pub(crate) items: Items<'a>,
    /// Scripts that must be known to the connection before the first byte of the parcel.
    pub(crate) scripts: &'a [Arc<Script>],
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    /// Only behind what was pushed on this connection: later pieces of a batch must not overtake a piece that was lost.
    pub(crate) behind: Option<Incarnation>,
    /// The command may rightly stay unanswered until the deadline, so silence does not mean that the server is dead.
    pub(crate) blocking: bool,
    /// Nobody waits for the replies: they are counted off, and that is all.
    pub(crate) no_reply: bool,
}

/// Which of an outbox's connections, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incarnation(u32);

pub(crate) enum Items<'a> {
    One(Item<'a>),
    /// Several; the first and the last may be MULTI and EXEC.
    Many(&'a [Item<'a>]),
    /// One that is encoded already.
    Packed(Packed<'a>),
}

/// An encoded command in two pieces, and its row in the command table.
#[derive(Clone, Copy)]
pub(crate) struct Packed<'a> {
    pub(crate) bytes: [&'a [u8]; 2],
    pub(crate) command: u16,
}

impl Items<'_> {
    fn len(&self) -> usize {
        match self {
            Items::One(_) | Items::Packed(_) => 1,
            Items::Many(items) => items.len(),
        }
    }

    /// About how many bytes they take on the wire; `None` if there is a request of no arguments, or no request.
    pub(super) fn size_hint(&self) -> Option<usize> {
        let size_of = |item: &Item<'_>| match size_of_cmd(item.cmd) {
            EMPTY_BYTES if !crate::planted::is("empty-command") => None,
            size => Some(size),
        };
        match self {
            Items::One(item) => size_of(item),
            // None at all would be a waiter without a reply, too.
            Items::Many([]) => None,
            Items::Many(items) => items.iter().map(size_of).sum(),
            Items::Packed(packed) => {
                let size = packed.bytes.iter().map(|bytes| bytes.len()).sum();
                (size > 0).then_some(size)
            }
        }
    }
}

/// What [`size_of_cmd`] says of a request of no arguments.
const EMPTY_BYTES: usize = 16;

impl Packed<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        for bytes in self.bytes {
            out.extend_from_slice(bytes);
        }
    }
}

/// About how many bytes the command takes on the wire. Exact enough for bounds, and cheaper than encoding.
pub(crate) fn size_of_cmd(cmd: &Cmd) -> usize {
    cmd.args_iter()
        .map(|arg| match arg {
            redis::Arg::Simple(bytes) => bytes.len() + 16,
            _ => 32,
        })
        .sum::<usize>()
        + EMPTY_BYTES
}

/// How a parcel ended.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// The reply to a parcel of one command.
    Reply(Value),
    /// The replies to a parcel of several, in order.
    Replies(Vec<Value>),
    /// The connection died or the deadline passed first.
    Broken(Box<Broken>),
}

/// A parcel that did not come to its end: `replies` arrived; of the other commands the first `written` were written whole and may have
/// run, those from `written` on were not and did not.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) replies: Vec<Value>,
    pub(crate) written: usize,
    pub(crate) cause: Cause,
    /// Of all its commands, those that were answered included: how they are counted when nobody comes for this.
    pub(crate) commands: Box<[u16]>,
}

impl Broken {
    /// Nothing of the parcel was queued.
    pub(crate) fn not_queued(cause: Cause) -> Broken {
        Broken {
            replies: Vec::new(),
            written: 0,
            cause,
            commands: Box::default(),
        }
    }
}

/// Why a parcel was not taken. Nothing of it was written.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It was routed under an older generation: route again.
    Stale,
    /// The connection that it was to follow others on is gone.
    Severed,
    /// No room now: wait for [`Outbox::changed`].
    Full,
    /// No connection now; since when, and why if a dial has failed since.
    Disconnected {
        since: Instant,
        cause: Option<Cause>,
    },
    /// There will be no connection any more.
    Closed(Cause),
    /// A request in it has no arguments. The callers refuse it before; nothing may rely on that.
    Empty,
}

/// What the driver keeps for one parcel until its last reply. Small, because there is one for each command under way.
pub(crate) struct Waiter {
    /// Where the caller waits. None: it has been told (a tombstone), or there never was one.
    place: Option<PlaceId>,
    blocking: bool,
    expect: Expect,
    bytes: u64,
    /// Position of the parcel's last byte in the stream of this connection.
    end: u64,
    started: Instant,
    deadline: Instant,
}

enum Expect {
    One(u16),
    /// Several, or one with scripts.
    Many(Box<Many>),
    /// Written by the connection itself; the reply is of no interest beyond having come.
    Housekeeping(Option<oneshot::Sender<Delivery>>),
    /// A PING with this token: its reply must be the token, or replies go to the wrong callers.
    Token(Token),
}

/// What a PING of the connection's own carries: no two on a connection are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    fn new() -> Token {
        Token(fastrand::u64(..))
    }

    fn ping(self) -> Vec<u8> {
        redis::cmd("PING").arg(self.text()).get_packed_command()
    }

    fn text(self) -> String {
        format!("{:016x}", self.0)
    }

    /// What a reply in the token's place shows.
    fn check(self, reply: &Value) -> TokenReply {
        match reply {
            Value::BulkString(bytes) if *bytes == self.text().as_bytes() => TokenReply::Good,
            Value::ServerError(error) if says_nothing_of_the_order(error) => TokenReply::NoProof,
            _ => TokenReply::Shifted,
        }
    }
}

/// What the reply to a [`Token`] has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenReply {
    /// Each reply so far has gone to its caller.
    Good,
    /// The server does not answer PING now, or not to this user: the next token decides.
    NoProof,
    /// A reply to something else: callers since the last good token may have had others' replies.
    Shifted,
}

/// Errors by which a server refuses a PING. Redis refuses it also while a background save keeps failing (MISCONF),
/// to a user without the right (NOPERM), and where the command was renamed.
fn says_nothing_of_the_order(error: &redis::ServerError) -> bool {
    match error.code() {
        "BUSY" | "LOADING" | "MASTERDOWN" | "MISCONF" | "NOPERM" | "NOAUTH" => true,
        "ERR" => error
            .details()
            .is_some_and(|text| text.starts_with("unknown command 'PING'")),
        _ => false,
    }
}

struct Many {
    commands: Box<[u16]>,
    /// Length of the parcel's bytes up to the end of each command.
    ends: Box<[u64]>,
    replies: Vec<Value>,
    prelude: Prelude,
    /// The caller sent one command, and looks for one reply.
    is_one: bool,
}

/// SCRIPT LOADs in front of a parcel's own commands.
#[derive(Clone, Copy, Default)]
struct Prelude {
    /// Replies of theirs that are still to be swallowed.
    skip: u32,
    /// How many of the parcel's bytes they are.
    bytes: u64,
}

impl Waiter {
    /// Without scripts.
    fn count(&self) -> u32 {
        match &self.expect {
            Expect::One(_) | Expect::Housekeeping(_) | Expect::Token(_) => 1,
            Expect::Many(many) => many.commands.len() as u32,
        }
    }

    fn prelude(&self) -> Prelude {
        match &self.expect {
            Expect::One(_) | Expect::Housekeeping(_) | Expect::Token(_) => Prelude::default(),
            Expect::Many(many) => many.prelude,
        }
    }

    pub(crate) fn is_blocking(&self) -> bool {
        self.blocking
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn commands(&self) -> u32 {
        self.count() + self.prelude().skip
    }

    /// Position of the parcel's first byte in the stream of this connection.
    pub(crate) fn start(&self) -> u64 {
        self.end - self.bytes
    }

    /// Position after the parcel's last byte.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Nobody is to be told of a deadline: a tombstone, or the connection's own command, which only ends with it.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.place.is_none()
    }

    /// The connection's own PING.
    pub(crate) fn is_token(&self) -> bool {
        matches!(self.expect, Expect::Token(_))
    }

    /// Takes the next reply. When the parcel is complete its end is added to `ends`.
    pub(crate) fn reply(&mut self, value: Value, ends: &mut Ends) -> Progress {
        match &mut self.expect {
            Expect::One(command) => {
                let place = self.place.take();
                if let Some(place) = place {
                    ends.add(place, Delivery::Reply(value));
                }
                Progress {
                    // What has failed already is not counted a second time as answered.
                    answered: place.map(|_| *command),
                    complete: true,
                }
            }
            Expect::Many(many) if many.prelude.skip > 0 => {
                many.prelude.skip -= 1;
                Progress {
                    answered: None,
                    complete: false,
                }
            }
            Expect::Many(many) => {
                let command = match self.place {
                    Some(_) => many.commands.get(many.replies.len()).copied(),
                    None => None,
                };
                // A tombstone only counts: replies that nobody will read are not kept.
                many.replies.push(if self.place.is_some() {
                    value
                } else {
                    Value::Nil
                });
                let complete = many.replies.len() >= many.commands.len();
                if complete {
                    let mut replies = std::mem::take(&mut many.replies);
                    if let Some(place) = self.place.take() {
                        let delivery = match replies.pop() {
                            Some(reply) if many.is_one => Delivery::Reply(reply),
                            last => {
                                replies.extend(last);
                                Delivery::Replies(replies)
                            }
                        };
                        ends.add(place, delivery);
                    }
                }
                Progress {
                    answered: command,
                    complete,
                }
            }
            Expect::Housekeeping(heard) => {
                if let Some(heard) = heard.take() {
                    let _ = heard.send(Delivery::Reply(value));
                }
                Progress {
                    answered: None,
                    complete: true,
                }
            }
            Expect::Token(token) => {
                ends.token = Some(token.check(&value));
                Progress {
                    answered: None,
                    complete: true,
                }
            }
        }
    }

    /// Ends the wait without the remaining replies. `stream_written` is how far the connection's stream was accepted by the socket, or
    /// will have been: what is told as not written must never be.
    pub(crate) fn fail(&mut self, stream_written: u64, cause: Cause, ends: &mut Ends) {
        let start = self.start();
        let (replies, written, commands) = match &mut self.expect {
            Expect::One(command) => {
                let written = usize::from(stream_written >= self.end);
                (Vec::new(), written, Box::from([*command]))
            }
            Expect::Housekeeping(_) | Expect::Token(_) => {
                let written = usize::from(stream_written >= self.end);
                (Vec::new(), written, Box::default())
            }
            Expect::Many(many) => {
                let written = many
                    .ends
                    .partition_point(|end| start + end <= stream_written);
                // A tombstone still has to count the replies that come later.
                let counted = vec![Value::Nil; many.replies.len()];
                let replies = std::mem::replace(&mut many.replies, counted);
                (replies, written, many.commands.clone())
            }
        };
        let broken = |cause| {
            Delivery::Broken(Box::new(Broken {
                replies,
                written,
                cause,
                commands,
            }))
        };
        if let Some(place) = self.place.take() {
            ends.add(place, broken(cause));
        } else if let Expect::Housekeeping(heard) = &mut self.expect
            && let Some(heard) = heard.take()
        {
            let _ = heard.send(broken(cause));
        }
    }

    /// Its commands were cut out; the SCRIPT LOADs in front of it stay, because later parcels rely on them.
    fn into_prelude(mut self, prelude: Prelude) -> Waiter {
        self.place = None;
        self.expect = Expect::Many(Box::new(Many {
            commands: vec![0; prelude.skip as usize].into(),
            ends: Box::default(),
            replies: Vec::new(),
            prelude: Prelude::default(),
            is_one: false,
        }));
        self.bytes = prelude.bytes;
        self
    }
}

/// How parcels have ended, until their callers are told: [`Outbox::settle`].
#[derive(Default)]
pub(crate) struct Ends {
    ends: Vec<(PlaceId, Delivery)>,
    wakers: Vec<Waker>,
    /// What the newest reply to a token has shown, until the driver takes it.
    token: Option<TokenReply>,
}

impl Ends {
    fn add(&mut self, place: PlaceId, delivery: Delivery) {
        self.ends.push((place, delivery));
    }

    pub(super) fn take_token_reply(&mut self) -> Option<TokenReply> {
        self.token.take()
    }

    /// Takes back what no caller has seen yet: these replies may be others'.
    pub(super) fn spoil(&mut self, cause: &Cause) {
        for (_, delivery) in &mut self.ends {
            *delivery = Delivery::Broken(Box::new(Broken {
                written: usize::MAX,
                ..Broken::not_queued(cause.clone())
            }));
        }
    }

    /// Puts them where their callers look; [`Ends::wake`] is next, without the lock.
    fn put(&mut self, places: &mut Places) {
        let mut unclaimed = Vec::new();
        for (place, delivery) in self.ends.drain(..) {
            match places.put(place, delivery) {
                Ok(waker) => self.wakers.extend(waker),
                Err(delivery) => unclaimed.push((place, delivery)),
            }
        }
        self.ends.append(&mut unclaimed);
    }

    /// Wakes the callers, and counts what came to no reply and has no caller any more.
    fn wake(&mut self, stats: &ServerStats) {
        for (_, delivery) in self.ends.drain(..) {
            count_dropped(&delivery, stats);
        }
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }
}

/// Counts the commands of a parcel whose caller has dropped its future, as far as they ended without a reply.
fn count_dropped(delivery: &Delivery, stats: &ServerStats) {
    let Delivery::Broken(broken) = delivery else {
        return;
    };
    for (at, command) in broken
        .commands
        .iter()
        .enumerate()
        .skip(broken.replies.len())
    {
        let class = broken.cause.failure(at < broken.written).class;
        stats.failure(*command, Failure::in_part(class, Part::Dropped));
    }
}

/// What a reply did.
pub(crate) struct Progress {
    pub(crate) answered: Option<u16>,
    pub(crate) complete: bool,
}

/// The life of the connection behind an outbox.
#[derive(Debug)]
enum Phase {
    /// Callers wait, or are told `cause` at once when the outage lasts.
    Disconnected {
        since: Instant,
        cause: Option<Cause>,
    },
    Up,
    /// No new work until a new connection is there; what is queued and in flight is still answered.
    Renewing(Cause),
    /// No new work; what is queued and in flight is still answered.
    Draining(Cause),
    Closed(Cause),
}

struct State {
    owner: Owner,
    generation: u64,
    incarnation: u32,
    phase: Phase,
    /// Encoded bytes in order: the chunks, then the tail. A parcel lies whole in one of them.
    chunks: Vec<Vec<u8>>,
    tail: Vec<u8>,
    waiters: VecDeque<Waiter>,
    places: Places,
    /// Some queued waiter may have been dropped by its caller.
    abandoned: bool,
    /// Bytes ever queued on this connection; the stream position of the next parcel.
    total: u64,
    /// Earliest deadline among the queued waiters.
    earliest: Option<Instant>,
    /// Queued and in flight.
    commands: u32,
    bytes: u64,
    /// Callers that wait for room.
    waiting: u32,
    /// The driver, when it sleeps.
    driver: Option<Waker>,
    /// It sleeps with nothing under way, and the last callers came one by one: the next one drives it.
    is_lonely: bool,
    drive: Option<Arc<dyn Drive>>,
    /// Scripts that this connection has loaded.
    loaded: HashSet<[u8; 20]>,
    /// The driver must give the connection up, for this reason.
    cut: Option<Cause>,
    opened: Instant,
    /// What a connection that was greeted before the newest switch must say first.
    preamble: Vec<u8>,
}

/// Whose commands a connection carries now, which says what it may send of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Everybody's.
    Many,
    /// Those of one owner. A PING among them would be a part of its transaction, or end its wait.
    One,
    /// Nobody's, until it is lent again.
    Nobody,
}

/// The queue of one connection. It outlives the connection: reconnecting opens it again.
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// It is never lent.
    is_shared: bool,
    /// Room, a connection, a newer generation, or the end: whoever waits looks again.
    changed: Notify,
    bounds: Bounds,
    stats: Arc<ServerStats>,
}

/// Wakes the driver for a parcel of so many bytes, or drives it.
#[cold]
fn rouse(mut state: MutexGuard<'_, State>, size: usize) {
    let Some(task) = state.driver.take() else {
        return;
    };
    // Not with a large one: while it is written the driver's task could only wait.
    let drive = match &state.drive {
        Some(drive) if state.is_lonely && size <= LARGE_BYTES => Some(drive.clone()),
        _ => None,
    };
    drop(state);
    if !drive.is_some_and(|drive| drive.drive(&task)) {
        task.wake();
    }
}

/// A driver as callers know it.
pub(super) trait Drive: Send + Sync {
    /// Does now what the driver's task would do when it is woken, which spares a lone caller the way over that task. False when the
    /// driver is at work already: then its task is to be woken.
    fn drive(&self, task: &Waker) -> bool;
}

/// What the driver finds when it looks for work.
pub(crate) enum Take {
    Parcels(Taken),
    /// It is parked: the next push wakes it.
    Nothing,
    /// Fewer parcels than it asked for; it is not parked.
    TooFew,
}

/// What the driver takes in one go.
pub(crate) struct Taken {
    pub(crate) chunks: Vec<Vec<u8>>,
    pub(crate) earliest: Option<Instant>,
}

impl Outbox {
    /// That of a shared connection.
    pub(crate) fn new(
        generation: u64,
        bounds: Bounds,
        stats: Arc<ServerStats>,
        now: Instant,
    ) -> Outbox {
        Outbox::owned_by(Owner::Many, generation, bounds, stats, now)
    }

    /// That of a leased connection, which has its owner already.
    pub(crate) fn leased(
        generation: u64,
        bounds: Bounds,
        stats: Arc<ServerStats>,
        now: Instant,
    ) -> Outbox {
        Outbox::owned_by(Owner::One, generation, bounds, stats, now)
    }

    fn owned_by(
        owner: Owner,
        generation: u64,
        bounds: Bounds,
        stats: Arc<ServerStats>,
        now: Instant,
    ) -> Outbox {
        Outbox {
            is_shared: owner == Owner::Many,
            state: Mutex::new(State {
                owner,
                generation,
                incarnation: 0,
                phase: Phase::Disconnected {
                    since: now,
                    cause: None,
                },
                chunks: Vec::new(),
                tail: Vec::new(),
                waiters: VecDeque::new(),
                places: Places::default(),
                abandoned: false,
                total: 0,
                earliest: None,
                commands: 0,
                bytes: 0,
                waiting: 0,
                driver: None,
                is_lonely: false,
                drive: None,
                loaded: HashSet::new(),
                cut: None,
                opened: now,
                preamble: Vec::new(),
            }),
            changed: Notify::new(),
            bounds,
            stats,
        }
    }

    /// Queues a parcel that was routed under `generation`, or says why not; then nothing of it is written.
    ///
    /// Every way to a server ends here, so this is where "one request, one reply" is kept: a request of no arguments
    /// (`*0`) gets no reply, and would leave a waiter that takes the next caller's.
    pub(crate) fn push(
        self: &Arc<Self>,
        generation: u64,
        parcel: &Parcel<'_>,
    ) -> Result<Ticket, Refusal> {
        self.push_to_wake(generation, parcel, None)
    }

    /// The same for a caller that is to be woken, and need not poll the ticket before.
    pub(crate) fn push_to_wake(
        self: &Arc<Self>,
        generation: u64,
        parcel: &Parcel<'_>,
        waker: Option<&Waker>,
    ) -> Result<Ticket, Refusal> {
        let count = parcel.items.len() as u32;
        let Some(size) = parcel.items.size_hint() else {
            return Err(Refusal::Empty);
        };
        // Big values are encoded before the lock is taken: nobody waits while they are copied. Not before there is room for them, or a
        // caller that waits would encode again at each look.
        let large = if size > LARGE_BYTES {
            self.admit(
                &self.state.lock(),
                generation,
                parcel.behind,
                count,
                size as u64,
            )?;
            Some(encode_large(&parcel.items, size))
        } else {
            None
        };

        let mut guard = self.state.lock();
        let state = &mut *guard;
        self.admit(state, generation, parcel.behind, count, size as u64)?;

        let before = state.tail.len();
        let mut skip = 0;
        for script in parcel.scripts {
            if state.loaded.insert(script.sha) {
                state.tail.extend_from_slice(&script.load);
                skip += 1;
            }
        }
        let prelude = Prelude {
            skip,
            bytes: (state.tail.len() - before) as u64,
        };
        let (expect, bytes) = match large {
            Some((mut chunk, ends)) => {
                let expect = match &parcel.items {
                    Items::One(item) => one(item.command, prelude, chunk.len()),
                    Items::Many(items) => many(items, ends, prelude),
                    Items::Packed(packed) => one(packed.command, prelude, chunk.len()),
                };
                // A parcel lies whole in one chunk, so its prelude goes in front of it there.
                if prelude.bytes > 0 {
                    let mut joined = state.tail.split_off(before);
                    joined.append(&mut chunk);
                    chunk = joined;
                }
                if !state.tail.is_empty() {
                    let sealed = std::mem::take(&mut state.tail);
                    state.chunks.push(sealed);
                }
                let bytes = chunk.len() as u64;
                state.chunks.push(chunk);
                (expect, bytes)
            }
            None => {
                state.tail.reserve(size);
                let first = state.tail.len();
                let expect = match &parcel.items {
                    Items::One(item) => {
                        encode(item.cmd, &mut state.tail);
                        one(item.command, prelude, state.tail.len() - first)
                    }
                    Items::Many(items) => {
                        let mut ends = Vec::with_capacity(items.len());
                        for item in *items {
                            encode(item.cmd, &mut state.tail);
                            ends.push((state.tail.len() - first) as u64);
                        }
                        many(items, ends, prelude)
                    }
                    Items::Packed(packed) => {
                        packed.write(&mut state.tail);
                        one(packed.command, prelude, state.tail.len() - first)
                    }
                };
                (expect, (state.tail.len() - before) as u64)
            }
        };
        let place = (!parcel.no_reply).then(|| state.places.occupy(waker));
        state.enqueue(Waiter {
            place,
            blocking: parcel.blocking,
            expect,
            bytes,
            end: 0,
            started: parcel.started,
            deadline: parcel.deadline,
        });
        state.earliest = Some(match state.earliest {
            Some(earliest) => earliest.min(parcel.deadline),
            None => parcel.deadline,
        });
        let incarnation = Incarnation(state.incarnation);
        if state.driver.is_some() {
            rouse(guard, size);
        } else {
            drop(guard);
        }
        Ok(Ticket {
            outbox: self.clone(),
            place,
            incarnation,
        })
    }

    /// May this generation still send, is there a connection, and is there room?
    fn admit(
        &self,
        state: &State,
        generation: u64,
        behind: Option<Incarnation>,
        count: u32,
        size: u64,
    ) -> Result<(), Refusal> {
        if generation < state.generation {
            return Err(Refusal::Stale);
        }
        let is_severed = behind.is_some_and(|incarnation| incarnation.0 != state.incarnation);
        match &state.phase {
            Phase::Up if is_severed => return Err(Refusal::Severed),
            Phase::Up => {}
            Phase::Disconnected { .. } | Phase::Renewing(_) if behind.is_some() => {
                return Err(Refusal::Severed);
            }
            Phase::Disconnected { since, cause } => {
                return Err(Refusal::Disconnected {
                    since: *since,
                    cause: cause.clone(),
                });
            }
            Phase::Renewing(_) => {
                return Err(Refusal::Disconnected {
                    since: now(),
                    cause: None,
                });
            }
            Phase::Draining(cause) | Phase::Closed(cause) => {
                return Err(Refusal::Closed(cause.clone()));
            }
        }
        let Bounds {
            commands_max,
            bytes_max,
        } = self.bounds;
        // What is larger than a bound has to go at some time. It counts as half of it, so that it finds room where others do; if it had
        // to wait for an empty connection, a steady stream of small commands would keep it out for ever.
        let count = if count > commands_max {
            (commands_max / 2).max(1)
        } else {
            count
        };
        let size = if size > bytes_max {
            (bytes_max / 2).max(1)
        } else {
            size
        };
        if state.commands > 0
            && (state.commands.saturating_add(count) > commands_max
                || state.bytes.saturating_add(size) > bytes_max)
        {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Raises the generation and appends `preamble` (one command): from here on nothing routed under an older generation is taken. The
    /// receiver hears when everything that was taken before has been answered or failed.
    pub(crate) fn advance(
        &self,
        generation: u64,
        preamble: &[u8],
        deadline: Instant,
    ) -> oneshot::Receiver<Delivery> {
        let mut state = self.state.lock();
        state.generation = state.generation.max(generation);
        state.preamble = preamble.to_vec();
        let heard = state.say(preamble, deadline);
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        // Those who wait for room or for a dial were routed under the old generation too: they route again.
        self.changed.notify_waiters();
        heard
    }

    /// Asks the server for a sign of life and for proof that replies go to their callers: a PING with a token. Nobody waits
    /// for it; that it does not come is noticed as silence. False where the connection must not say anything of its own.
    pub(super) fn ping(&self, deadline: Instant) -> bool {
        let mut state = self.state.lock();
        if state.owner == Owner::One {
            return false;
        }
        let token = Token::new();
        state.say_expecting(&token.ping(), Expect::Token(token), deadline)
    }

    /// The connection has been idle for long: gives back what a burst has left.
    pub(super) fn shrink(&self) {
        let mut state = self.state.lock();
        state.waiters.shrink_to(0);
        state.places.shrink();
    }

    /// Whether the commands on it are of many callers, always.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Says whose commands come now. From here on nothing is written between those of one owner.
    pub(crate) fn hand_to(&self, owner: Owner) {
        debug_assert!(!self.is_shared, "a shared connection is not lent");
        self.state.lock().owner = owner;
    }

    /// Sends a command on behalf of the pool; nobody waits for its reply.
    pub(crate) fn tell(&self, packed: &[u8]) {
        let mut state = self.state.lock();
        let deadline = now();
        drop(state.say(packed, deadline));
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// The newest generation that was told to this outbox.
    pub(crate) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    /// Tells the connections behind it apart: what was pushed and answered while this stayed the same went over one and the same.
    pub(crate) fn incarnation(&self) -> u32 {
        self.state.lock().incarnation
    }

    /// Hears of room, of a connection, of a newer generation, and of the end. Enable it before the push that may be refused.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Counts a caller that waits for room, so that the driver tells it; undone when the guard is dropped.
    pub(crate) fn wait_for_room(&self) -> WaitingForRoom<'_> {
        self.state.lock().waiting += 1;
        WaitingForRoom { outbox: self }
    }

    /// Whether a parcel could be pushed now, as far as the connection goes.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Up)
    }

    /// Why there is no connection now, and since when.
    pub(crate) fn outage(&self) -> Option<(Instant, Option<Cause>)> {
        match &self.state.lock().phase {
            Phase::Disconnected { since, cause } => Some((*since, cause.clone())),
            _ => None,
        }
    }

    /// Commands queued and in flight.
    pub(crate) fn in_flight(&self) -> u32 {
        self.state.lock().commands
    }

    /// Commands and bytes queued and in flight.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (u32, u64) {
        let state = self.state.lock();
        (state.commands, state.bytes)
    }

    /// Forgets that the connection knows a script: it answered NOSCRIPT (somebody flushed).
    pub(crate) fn forget_script(&self, sha: &[u8; 20]) {
        self.state.lock().loaded.remove(sha);
    }

    /// Forgets all scripts: SCRIPT FLUSH.
    pub(crate) fn forget_scripts(&self) {
        self.state.lock().loaded.clear();
    }

    /// A connection is there: the stream starts anew. `greeted` is the generation at which it was named; if there is a newer one by
    /// now, its preamble goes first. False when the outbox was closed meanwhile.
    pub(crate) fn open(&self, greeted: u64) -> bool {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Disconnected { .. }) {
            return false;
        }
        state.phase = Phase::Up;
        state.incarnation = state.incarnation.wrapping_add(1);
        state.total = 0;
        state.loaded.clear();
        state.cut = None;
        state.opened = now();
        if state.generation > greeted {
            let preamble = state.preamble.clone();
            let deadline = state.opened;
            drop(state.say(&preamble, deadline));
        }
        drop(state);
        self.changed.notify_waiters();
        true
    }

    /// A dial failed: callers are told why once the outage has lasted.
    pub(crate) fn dial_failed(&self, why: Cause) {
        let mut state = self.state.lock();
        if let Phase::Disconnected { cause, .. } = &mut state.phase {
            *cause = Some(why);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// No new work on this connection; once what it has is answered, a new one is dialled. Not done to a connection younger than
    /// `age_min`: a server that goes on refusing must not be dialled at every call.
    pub(crate) fn renew(&self, cause: Cause, age_min: Duration) {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Up)
            || now().saturating_duration_since(state.opened) < age_min
        {
            return;
        }
        state.phase = Phase::Renewing(cause);
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        self.changed.notify_waiters();
    }

    /// No new work from now on; the driver ends once what it has is answered.
    pub(crate) fn drain(&self, cause: Cause) {
        let mut state = self.state.lock();
        state.phase = match &state.phase {
            Phase::Up | Phase::Renewing(_) => Phase::Draining(cause),
            Phase::Draining(_) | Phase::Closed(_) => return,
            Phase::Disconnected { .. } => Phase::Closed(cause),
        };
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        self.changed.notify_waiters();
    }

    /// Gives the connection up at once; what is in flight ends as its bytes stand.
    pub(crate) fn cut(&self, cause: Cause) {
        let mut state = self.state.lock();
        if matches!(
            state.phase,
            Phase::Up | Phase::Renewing(_) | Phase::Draining(_)
        ) {
            state.cut = Some(cause);
        }
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state.lock().phase, Phase::Closed(_))
    }

    /// Ends the outbox for good. Queued work fails as not sent.
    pub(crate) fn close(&self, cause: Cause) {
        self.disconnect(cause, true);
    }

    // --- the driver's side -----------------------------------------------------------------------------------------------------

    /// Makes the driver known to callers, until the connection is gone.
    pub(super) fn introduce(&self, drive: Arc<dyn Drive>) {
        self.state.lock().drive = Some(drive);
    }

    /// Takes everything that is queued, or nothing if it is less than `enough` parcels. Parks the driver when there is nothing; if it is
    /// `lonely`, the next caller drives it.
    pub(crate) fn take(
        &self,
        cx: &Context<'_>,
        in_flight: &mut VecDeque<Waiter>,
        spare: &mut Option<Vec<u8>>,
        enough: usize,
        lonely: bool,
    ) -> Result<Take, Cause> {
        let mut guard = self.state.lock();
        if guard.abandoned {
            guard = self.cut_out_abandoned(guard);
        }
        let state = &mut *guard;
        if let Some(cause) = state.cut.take() {
            return Err(cause);
        }
        if state.waiters.is_empty() {
            if let Phase::Draining(cause) | Phase::Renewing(cause) | Phase::Closed(cause) =
                &state.phase
                && in_flight.is_empty()
            {
                return Err(cause.clone());
            }
            if state.tail.capacity() == 0
                && let Some(spare) = spare.take().filter(|spare| spare.capacity() <= KEEP_BYTES)
            {
                state.tail = spare;
            }
            match &state.driver {
                Some(waker) if waker.will_wake(cx.waker()) => {}
                _ => state.driver = Some(cx.waker().clone()),
            }
            state.is_lonely = lonely;
            return Ok(Take::Nothing);
        }
        if state.waiters.len() < enough {
            return Ok(Take::TooFew);
        }
        state.driver = None;
        let mut chunks = std::mem::take(&mut state.chunks);
        let tail = std::mem::replace(
            &mut state.tail,
            spare
                .take()
                .filter(|s| s.capacity() <= KEEP_BYTES)
                .unwrap_or_default(),
        );
        if !tail.is_empty() {
            chunks.push(tail);
        }
        in_flight.append(&mut state.waiters);
        Ok(Take::Parcels(Taken {
            chunks,
            earliest: state.earliest.take(),
        }))
    }

    /// Dropped callers' commands are cut out before they are written: they were never sent.
    #[cold]
    fn cut_out_abandoned<'a>(&'a self, mut guard: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let state = &mut *guard;
        state.abandoned = false;
        let mut ends = Ends::default();
        let is_abandoned = |waiter: &Waiter, places: &Places| {
            waiter.place.is_some_and(|place| places.is_left(place))
        };
        state.cut_out(
            is_abandoned,
            Cause::Dropped("its caller is gone"),
            &mut ends,
        );
        self.tell_ends(guard, &mut ends);
        self.state.lock()
    }

    /// Puts ends in their places and wakes who waits for them, and who waits for room.
    fn tell_ends(&self, mut guard: MutexGuard<'_, State>, ends: &mut Ends) {
        ends.put(&mut guard.places);
        let wake = self.has_room_for_a_crowd(&guard);
        drop(guard);
        ends.wake(&self.stats);
        if wake {
            self.changed.notify_waiters();
        }
    }

    /// Parks the driver so that `push`, `cut` and `drain` wake it even while it has bytes to write.
    pub(crate) fn park(&self, cx: &Context<'_>) -> Result<(), Cause> {
        let mut state = self.state.lock();
        if let Some(cause) = state.cut.take() {
            return Err(cause);
        }
        state.driver = Some(cx.waker().clone());
        state.is_lonely = false;
        Ok(())
    }

    /// Somebody has pushed, or wants the driver's attention, since it was parked.
    pub(crate) fn has_woken_driver(&self) -> bool {
        self.state.lock().driver.is_none()
    }

    /// Accounts for parcels that were answered, tells their callers, and lets waiting ones in.
    pub(crate) fn settle(&self, commands: u32, bytes: u64, ends: &mut Ends) {
        let mut state = self.state.lock();
        state.commands = state.commands.saturating_sub(commands);
        state.bytes = state.bytes.saturating_sub(bytes);
        self.tell_ends(state, ends);
    }

    /// Fails queued waiters whose deadline has passed; returns the earliest deadline of the others.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.earliest.is_none_or(|earliest| earliest > now) {
            return state.earliest;
        }
        let mut ends = Ends::default();
        state.cut_out(
            |waiter, _| waiter.deadline <= now,
            Cause::Deadline,
            &mut ends,
        );
        state.earliest = state
            .waiters
            .iter()
            .filter(|waiter| !waiter.is_tombstone())
            .map(|waiter| waiter.deadline)
            .min();
        let earliest = state.earliest;
        self.tell_ends(guard, &mut ends);
        earliest
    }

    /// Half empty before anyone is woken: a whole crowd is let in at once in place of one at a time.
    fn has_room_for_a_crowd(&self, state: &State) -> bool {
        state.waiting > 0
            && state.commands <= self.bounds.commands_max / 2
            && state.bytes <= self.bounds.bytes_max / 2
    }

    /// The connection is gone: queued work fails as not sent. `for_good` when it will not be opened again.
    pub(crate) fn disconnect(&self, cause: Cause, for_good: bool) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.phase = match (&state.phase, for_good) {
            (Phase::Closed(first), _) => Phase::Closed(first.clone()),
            (Phase::Draining(first), _) => Phase::Closed(first.clone()),
            (_, true) => Phase::Closed(cause.clone()),
            (Phase::Disconnected { since, .. }, false) => Phase::Disconnected {
                since: *since,
                cause: Some(cause.clone()),
            },
            (Phase::Up | Phase::Renewing(_), false) => Phase::Disconnected {
                since: now(),
                cause: None,
            },
        };
        let waiters = std::mem::take(&mut state.waiters);
        state.chunks.clear();
        state.tail = Vec::new();
        state.commands = 0;
        state.bytes = 0;
        state.earliest = None;
        state.driver = None;
        let drive = state.drive.take();
        state.loaded.clear();
        state.cut = None;
        let mut ends = Ends::default();
        for mut waiter in waiters {
            waiter.fail(0, cause.clone(), &mut ends);
        }
        self.tell_ends(guard, &mut ends);
        drop(drive);
        self.changed.notify_waiters();
    }
}

impl State {
    /// Queues a command of the connection's own. The receiver fails at once when there is no connection: then nothing was before it.
    fn say(&mut self, packed: &[u8], deadline: Instant) -> oneshot::Receiver<Delivery> {
        let (tx, rx) = oneshot::channel();
        self.say_expecting(packed, Expect::Housekeeping(Some(tx)), deadline);
        rx
    }

    /// False when there is no connection.
    fn say_expecting(&mut self, packed: &[u8], expect: Expect, deadline: Instant) -> bool {
        let is_connected = matches!(
            self.phase,
            Phase::Up | Phase::Renewing(_) | Phase::Draining(_)
        );
        if packed.is_empty() || !is_connected {
            return false;
        }
        self.tail.extend_from_slice(packed);
        self.enqueue(Waiter {
            place: None,
            blocking: false,
            expect,
            bytes: packed.len() as u64,
            end: 0,
            started: now(),
            deadline,
        });
        true
    }

    /// Into `push`, where every command comes by: a call costs 20 instructions of some 1,200.
    #[inline(always)]
    fn enqueue(&mut self, mut waiter: Waiter) {
        self.total += waiter.bytes;
        waiter.end = self.total;
        self.commands += waiter.commands();
        self.bytes += waiter.bytes;
        self.waiters.push_back(waiter);
    }

    /// Takes queued waiters and their bytes out. Rare, so it may copy. Never the connection's own commands, which nobody waits for either.
    fn cut_out(
        &mut self,
        unwanted: impl Fn(&Waiter, &Places) -> bool,
        cause: Cause,
        ends: &mut Ends,
    ) {
        let places = &self.places;
        let unwanted = |waiter: &Waiter| waiter.place.is_some() && unwanted(waiter, places);
        if !self.waiters.iter().any(unwanted) {
            return;
        }
        let mut chunks = std::mem::take(&mut self.chunks);
        chunks.push(std::mem::take(&mut self.tail));
        let mut kept: Vec<Vec<u8>> = Vec::with_capacity(chunks.len());
        let mut queued = std::mem::take(&mut self.waiters);
        let mut removed = 0;
        for chunk in chunks {
            // A chunk is exactly its waiters' bytes, one after the other.
            let mut end = 0;
            let count = queued
                .iter()
                .take_while(|waiter| {
                    end += waiter.bytes as usize;
                    end <= chunk.len()
                })
                .count();
            let is_touched = queued.iter().take(count).any(unwanted);
            // Megabytes that stay as they are must not be copied at each tick.
            let mut keep = Vec::with_capacity(if is_touched { chunk.len() } else { 0 });
            let mut at = 0;
            for mut waiter in queued.drain(..count) {
                let end = at + waiter.bytes as usize;
                if unwanted(&waiter) {
                    // Only the command goes: a script that it loads may be relied upon by others.
                    let prelude = waiter.prelude();
                    let gone = waiter.bytes - prelude.bytes;
                    removed += gone;
                    self.commands -= waiter.count();
                    self.bytes -= gone;
                    waiter.fail(0, cause.clone(), ends);
                    if prelude.skip > 0 {
                        keep.extend_from_slice(&chunk[at..at + prelude.bytes as usize]);
                        waiter.end -= removed;
                        self.waiters.push_back(waiter.into_prelude(prelude));
                    }
                } else {
                    if is_touched {
                        keep.extend_from_slice(&chunk[at..end]);
                    }
                    waiter.end -= removed;
                    self.waiters.push_back(waiter);
                }
                at = end;
            }
            kept.push(if is_touched { keep } else { chunk });
        }
        self.total -= removed;
        self.tail = kept.pop().unwrap_or_default();
        self.chunks = kept.into_iter().filter(|chunk| !chunk.is_empty()).collect();
    }
}

fn one(command: u16, prelude: Prelude, bytes: usize) -> Expect {
    if prelude.skip == 0 {
        return Expect::One(command);
    }
    Expect::Many(Box::new(Many {
        commands: Box::new([command]),
        ends: Box::new([prelude.bytes + bytes as u64]),
        replies: Vec::with_capacity(1),
        prelude,
        is_one: true,
    }))
}

fn many(items: &[Item<'_>], mut ends: Vec<u64>, prelude: Prelude) -> Expect {
    for end in &mut ends {
        *end += prelude.bytes;
    }
    Expect::Many(Box::new(Many {
        commands: items.iter().map(|item| item.command).collect(),
        ends: ends.into_boxed_slice(),
        replies: Vec::with_capacity(items.len()),
        prelude,
        is_one: false,
    }))
}

fn encode_large(items: &Items<'_>, size: usize) -> (Vec<u8>, Vec<u64>) {
    let mut bytes = Vec::with_capacity(size);
    let mut ends = Vec::new();
    match items {
        Items::One(item) => encode(item.cmd, &mut bytes),
        Items::Packed(packed) => packed.write(&mut bytes),
        Items::Many(items) => {
            for item in *items {
                encode(item.cmd, &mut bytes);
                ends.push(bytes.len() as u64);
            }
        }
    }
    (bytes, ends)
}

/// A parcel on its way. Dropping it cancels: a command that is still queued is not sent, one that was written is executed and its reply
/// thrown away.
#[derive(Debug)]
pub(crate) struct Ticket {
    outbox: Arc<Outbox>,
    /// None once the delivery has come, and where nobody waits for it.
    place: Option<PlaceId>,
    incarnation: Incarnation,
}

impl Ticket {
    /// The connection that the parcel went to.
    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}

impl Future for Ticket {
    type Output = Delivery;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Delivery> {
        let Some(place) = self.place else {
            unreachable!("a ticket was polled after its delivery, or has none to wait for")
        };
        let mut old = None;
        let mut state = self.outbox.state.lock();
        let polled = state.places.poll(place, cx.waker(), &mut old);
        drop(state);
        drop(old);
        if polled.is_ready() {
            self.place = None;
        }
        polled
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut state = self.outbox.state.lock();
        let left = state.places.leave(place);
        state.abandoned |= left.is_early();
        drop(state);
        if let Some(delivery) = left.delivery() {
            count_dropped(delivery, &self.outbox.stats);
        }
        drop(left);
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

/// While it lives, the driver knows that somebody waits for room.
pub(crate) struct WaitingForRoom<'a> {
    outbox: &'a Outbox,
}

impl Drop for WaitingForRoom<'_> {
    fn drop(&mut self) {
        self.outbox.state.lock().waiting -= 1;
    }
}
