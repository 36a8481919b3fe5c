//! The driver: the one that owns a socket. It takes parcels from the outbox, writes them, reads replies and hands each to the oldest
//! waiter. A task of its own polls it; a caller that finds it asleep, with nobody else at work, polls it in place of that task.
//!
//! Reading and writing advance together, never one without the other: a client that only writes while the server only writes is a TCP
//! deadlock. The driver knows no topology and no retry; a connection that dies tells every waiter how far its bytes had got.

use super::cause::Cause;
use super::now;
use super::outbox::{Drive, Ends, Outbox, Take, TokenReply, Waiter};
use crate::resp::Decoder;
use crate::stats::ServerStats;
use parking_lot::Mutex;
use redis::Value;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io::IoSlice;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// One read asks for at least this much room.
const READ_BYTES: usize = 64 * 1024;
/// After so many values the callers that got them have their turn, before more of what was read is decoded. They ask again while the server
/// would otherwise wait for all the others to be served first, and so do they: client and server would take turns in place of working side
/// by side.
const TURN_VALUES: usize = 256;
/// A reply of so many values is a turn of its own, and what its caller asks next waits for others: see [`Driver::take`].
const MANY_VALUES: usize = 32;
/// A parcel of so many is never held back. With 64 callers, half of them would leave the server idle for long.
const HELD_PARCELS: usize = 8;
/// Deadlines are looked at this often while something waits: one timer per connection, none per command.
#[cfg(not(keyway_instructions))]
const TICK: Duration = Duration::from_millis(10);
/// Valgrind stretches time: how many ticks fall into a run must not be counted with its instructions.
#[cfg(keyway_instructions)]
const TICK: Duration = Duration::from_secs(3600);
/// A shared connection proves that replies go to their callers after this many of them, or after [`TOKEN_EVERY`].
const TOKEN_REPLIES: i64 = 65_536;
/// And at the latest this long after a reply. A PING in a second costs nothing that could be measured.
#[cfg(not(keyway_instructions))]
const TOKEN_EVERY: Duration = Duration::from_secs(1);
#[cfg(keyway_instructions)]
const TOKEN_EVERY: Duration = Duration::from_secs(3600);
/// At most this many chunks go into one vectored write.
const SLICES: usize = 16;

/// When a connection counts as dead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// No byte for this long with work outstanding: dead, unless a command that was written before has more time.
    pub(crate) dead: Duration,
    /// No byte for this long with work outstanding: dead, whatever time the commands have.
    pub(crate) silence_max: Duration,
    /// No work for this long: a PING is written, so that a half-open connection is noticed before a caller meets it.
    pub(crate) idle_ping: Duration,
}

/// How long a parcel has been held back that is smaller than what is still to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// As long as there are replies to hand out.
    Fresh,
    /// The runtime was asked to look at its sockets once more.
    Looked,
    /// It goes out.
    Enough,
}

/// What is known of the order of replies on a shared connection.
///
/// The server answers each request once and in order, and so replies go to the oldest waiters. If that is ever not so,
/// by a fault of the server, of something in between or of ours, every caller gets another's reply from then on. A PING with a
/// token finds it out.
struct Order {
    /// A connection of one owner is not watched: a PING among its commands would be a part of its transaction.
    is_watched: bool,
    /// Replies since the last token was answered. Negative for a moment: see [`Driver::answer`].
    unproven: i64,
    /// When the first of them came.
    unproven_since: Instant,
    /// Replies since the last good token.
    since_good: i64,
    /// A token is under way.
    is_asked: bool,
}

impl Order {
    fn is_due(&self, now: Instant) -> bool {
        let is_due = |due| now >= due || self.unproven >= TOKEN_REPLIES;
        self.due().is_some_and(is_due)
    }

    /// When a token has to be sent at the latest.
    fn due(&self) -> Option<Instant> {
        let waits = self.is_watched && self.unproven > 0 && !self.is_asked;
        waits.then(|| self.unproven_since + TOKEN_EVERY)
    }
}

/// Owns a stream until it dies.
pub(crate) struct Driver<S> {
    stream: S,
    outbox: Arc<Outbox>,
    stats: Arc<ServerStats>,
    decoder: Decoder,
    patience: Patience,
    /// What is being written; `at` bytes of the front are out.
    writing: VecDeque<Vec<u8>>,
    at: usize,
    spare: Option<Vec<u8>>,
    /// Bytes that the socket has accepted since the connection came up.
    written: u64,
    write_failed: Option<Cause>,
    /// Accepted bytes may still lie in the TLS layer.
    flushing: bool,
    /// The socket took no more at the last try.
    blocked: bool,
    reading: Box<[u8]>,
    /// What of it has not been decoded yet.
    unread: Range<usize>,
    /// What was written when it was read: it answers nothing that came later.
    written_before: u64,
    /// Taken from the outbox, not yet answered, oldest first. Those at the end may not be written yet.
    in_flight: VecDeque<Waiter>,
    /// Whose callers are to be told.
    ends: Ends,
    earliest: Option<Instant>,
    /// Since when the server has owed us a byte, or since its last one.
    quiet_since: Instant,
    /// How much was written then: what was pushed during a silence does not prolong it.
    quiet_written: u64,
    /// The server owes us something since the last look at the clock.
    newly_busy: bool,
    /// The driver went to sleep at the end of its last poll.
    slept: bool,
    /// Behind the last take, more than one parcel was under way.
    is_crowded: bool,
    /// The last turn handed out a reply of [`MANY_VALUES`].
    many_values: bool,
    held: Held,
    order: Order,
    /// When deadlines were last looked at.
    looked_at: Instant,
    tick: Pin<Box<Sleep>>,
    tick_at: Instant,
    ended: Option<Cause>,
}

/// The task of a driver; resolves to the reason why its connection ended.
pub(crate) struct Driving<S> {
    driver: Arc<Mutex<Driver<S>>>,
    /// The outbox knows the driver.
    is_introduced: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// `decoder` is the handshake's, in case that the first bytes of a reply came behind it.
    pub(crate) fn start(
        stream: S,
        outbox: Arc<Outbox>,
        stats: Arc<ServerStats>,
        decoder: Decoder,
        patience: Patience,
    ) -> Driving<S> {
        let now = now();
        let tick_at = now + patience.idle_ping;
        let order = Order {
            is_watched: outbox.is_shared(),
            unproven: 0,
            unproven_since: now,
            since_good: 0,
            is_asked: false,
        };
        let driver = Driver {
            stream,
            outbox,
            stats,
            decoder,
            patience,
            writing: VecDeque::new(),
            at: 0,
            spare: None,
            written: 0,
            write_failed: None,
            flushing: false,
            blocked: false,
            reading: vec![0; READ_BYTES].into_boxed_slice(),
            unread: 0..0,
            written_before: 0,
            in_flight: VecDeque::new(),
            ends: Ends::default(),
            earliest: None,
            quiet_since: now,
            quiet_written: 0,
            newly_busy: false,
            slept: false,
            is_crowded: false,
            many_values: false,
            held: Held::Fresh,
            order,
            looked_at: now,
            tick: Box::pin(tokio::time::sleep_until(tick_at.into())),
            tick_at,
            ended: None,
        };
        Driving {
            driver: Arc::new(Mutex::new(driver)),
            is_introduced: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Cause> {
        if let Some(cause) = &self.ended {
            return Poll::Ready(cause.clone());
        }
        let Err(cause) = std::task::ready!(self.poll_drive(cx));
        // What was read before is answered.
        let _ = self.answer(usize::MAX);
        self.end(&cause, false);
        Poll::Ready(cause)
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<Infallible, Cause>> {
        // Woken by the first of a crowd: the others are about to push, and on some schedulers the driver runs before all of them.
        let mut gathering = std::mem::take(&mut self.slept) && self.is_crowded;
        loop {
            let holds = self.writing.is_empty()
                && self.write_failed.is_none()
                && !gathering
                && self.take(cx)?;
            let wrote = self.poll_write(cx);
            let answered = match self.poll_read(cx) {
                Ok(answered) => answered,
                Err(cause) => return Poll::Ready(Err(cause)),
            };
            if let (Some(cause), None) = (&self.write_failed, answered) {
                // Replies that had come before the write failed have been handed out; there will be no more.
                return Poll::Ready(Err(cause.clone()));
            }
            if answered.is_some() {
                // A connection that always has something to read never comes to its tick.
                self.expire_if_due(self.quiet_since);
            }
            match answered {
                // The rest of a long one may be long in coming.
                Some(0) => self.held = Held::Enough,
                // A lone caller has its answer, and nobody else waits: there is no parcel to wait for.
                Some(1) if self.in_flight.is_empty() && self.unread.is_empty() => {}
                // The tasks that were just woken fill the next parcel before the driver takes it: fewer, larger writes.
                Some(_) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                None if holds && self.held == Held::Fresh => {
                    self.held = Held::Looked;
                    // Its first poll is pending, and wakes this task behind every one that is ready and a look at the sockets.
                    let _ = std::pin::pin!(tokio::task::yield_now()).poll(cx);
                    return Poll::Pending;
                }
                None if holds => self.held = Held::Enough,
                None if std::mem::take(&mut gathering) => {
                    if self.outbox.has_woken_driver() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                None if wrote && self.writing.is_empty() => {}
                None => {
                    if !self.writing.is_empty() {
                        self.outbox.park(cx)?;
                    }
                    self.slept = true;
                    return self.poll_tick(cx);
                }
            }
        }
    }

    /// Takes what is queued, unless it is better held back, which is true.
    ///
    /// Where long replies are handed out one by one, every caller's next command would be a write of its own, and wake the server for it.
    /// So a parcel waits until it is as large as the rest that is under way, or [`HELD_PARCELS`]: some callers are then served here while the
    /// others are at the server. It waits for replies that are there, and for one more look for them; never for the server.
    fn take(&mut self, cx: &mut Context<'_>) -> Result<bool, Cause> {
        let before = self.in_flight.len();
        let idle = before == 0;
        // The silence of a PING that nobody waits for says less than that of the first command after it.
        let owes_nobody = idle || before == 1 && self.in_flight[0].is_token();
        let enough = if self.many_values && self.held != Held::Enough {
            before.min(HELD_PARCELS)
        } else {
            0
        };
        let lonely = idle && !self.is_crowded;
        let (in_flight, spare) = (&mut self.in_flight, &mut self.spare);
        let taken = match self.outbox.take(cx, in_flight, spare, enough, lonely)? {
            Take::Parcels(taken) => taken,
            Take::Nothing => return Ok(false),
            Take::TooFew => return Ok(true),
        };
        self.held = Held::Fresh;
        // The server has owed us nothing before this moment, however long ago the call began: it may have waited elsewhere.
        self.newly_busy |= owes_nobody;
        self.is_crowded = self.in_flight.len() > 1;
        self.earliest = match (self.earliest, taken.earliest) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.writing.extend(taken.chunks);
        Ok(false)
    }

    /// Writes what it can; true when it got anywhere.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while !self.writing.is_empty() {
            let result = if self.writing.len() == 1 {
                Pin::new(&mut self.stream).poll_write(cx, &self.writing[0][self.at..])
            } else {
                let mut slices: Vec<IoSlice<'_>> = Vec::with_capacity(SLICES);
                for (i, chunk) in self.writing.iter().take(SLICES).enumerate() {
                    slices.push(IoSlice::new(if i == 0 { &chunk[self.at..] } else { chunk }));
                }
                Pin::new(&mut self.stream).poll_write_vectored(cx, &slices)
            };
            match result {
                Poll::Ready(Ok(0)) => {
                    self.give_up_writing(Cause::Io(Arc::new(std::io::ErrorKind::WriteZero.into())));
                    return progress;
                }
                Poll::Ready(Ok(n)) => {
                    progress = true;
                    self.wrote(n);
                }
                Poll::Ready(Err(error)) => {
                    self.give_up_writing(Cause::Io(Arc::new(error)));
                    return progress;
                }
                Poll::Pending => {
                    self.blocked = true;
                    return progress;
                }
            }
        }
        if self.flushing {
            // TLS keeps accepted bytes until it is flushed, and may need several tries; for TCP this is free.
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flushing = false,
                Poll::Ready(Err(error)) => self.give_up_writing(Cause::Io(Arc::new(error))),
                Poll::Pending => {}
            }
        }
        progress
    }

    fn give_up_writing(&mut self, cause: Cause) {
        self.writing.clear();
        self.at = 0;
        self.flushing = false;
        self.write_failed = Some(cause);
    }

    fn wrote(&mut self, mut n: usize) {
        self.written += n as u64;
        self.flushing = true;
        self.stats.sent(n);
        if std::mem::take(&mut self.blocked) {
            // A full socket has room again: the server has acknowledged bytes, which is a sign of life during a long upload.
            self.heard(now());
        }
        while let Some(front) = self.writing.front() {
            let left = front.len() - self.at;
            if n < left {
                self.at += n;
                return;
            }
            n -= left;
            self.at = 0;
            if let Some(mut done) = self.writing.pop_front() {
                done.clear();
                self.spare = Some(done);
            }
        }
    }

    /// Reads once, unless there is something left of the last time. `None`: nothing there. `Some(n)`: bytes came, and n waiters got their
    /// reply.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<Option<usize>, Cause> {
        if self.unread.is_empty() {
            let mut buffer = ReadBuf::new(&mut self.reading);
            let n = match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => return Ok(None),
                Poll::Ready(Err(error)) => return Err(Cause::Io(Arc::new(error))),
                Poll::Ready(Ok(())) => buffer.filled().len(),
            };
            if n == 0 {
                return Err(self.write_failed.clone().unwrap_or(Cause::ClosedByServer));
            }
            self.stats.received(n);
            self.unread = 0..n;
            self.written_before = self.written;
        }
        self.answer(TURN_VALUES).map(Some)
    }

    /// Decodes what was read, and hands out replies until some waiter has got its own and there were `values_max` values. Returns how many
    /// waiters got theirs.
    fn answer(&mut self, values_max: usize) -> Result<usize, Cause> {
        let now = now();
        self.heard(now);
        let (mut answered, mut commands, mut bytes) = (0, 0i64, 0);
        let Range {
            start: mut at,
            end: n,
        } = self.unread;
        let mut failed = None;
        let mut values = 0;
        let mut many_values = self.many_values;
        while at < n && (answered == 0 || values < values_max) {
            let value = match self.decoder.decode(&self.reading[at..n]) {
                Ok((used, value)) => {
                    at += used;
                    value
                }
                Err(error) => {
                    let why: Arc<str> = error.to_string().into();
                    // Whose reply it is must not ask for it again; those behind it have done nothing wrong and may.
                    if let Some(mut culprit) = self.in_flight.pop_front() {
                        culprit.fail(self.written, Cause::Unreadable(why.clone()), &mut self.ends);
                    }
                    failed = Some(Cause::Poisoned(why));
                    break;
                }
            };
            let Some(value) = value else { break };
            // RESP3 pushes stand outside the order of replies.
            if matches!(value, Value::Push { .. }) {
                continue;
            }
            // An answer to what has not been asked yet would shift all replies by one.
            let written = self.written_before;
            let asked = self
                .in_flight
                .front_mut()
                .filter(|waiter| waiter.start() < written);
            let Some(waiter) = asked else {
                failed = Some(match &value {
                    // Said before it hangs up, as a rule.
                    Value::ServerError(error) => {
                        Cause::Protocol(format!("an error nobody asked for: {error}").into())
                    }
                    // One reply too many: it may have been another one that was.
                    _ => self.shifted(self.order.since_good + commands),
                });
                break;
            };
            let error = match &value {
                Value::ServerError(error) => Some(error.clone()),
                _ => None,
            };
            let count = match &value {
                Value::Array(items) => 1 + items.len(),
                _ => 1,
            };
            many_values = count > MANY_VALUES;
            values += if many_values { TURN_VALUES } else { count };
            let started = waiter.started();
            let progress = waiter.reply(value, &mut self.ends);
            commands += 1;
            if progress.complete {
                bytes += waiter.bytes();
                answered += 1;
                self.in_flight.pop_front();
            }
            if let Some(command) = progress.answered {
                self.stats.reply(
                    command,
                    now.saturating_duration_since(started),
                    error.as_ref(),
                );
            } else if let Some(reply) = self.ends.take_token_reply()
                && let Err(cause) = self.prove(reply, commands)
            {
                failed = Some(cause);
                break;
            }
        }
        if self.order.unproven == 0 {
            self.order.unproven_since = now;
        }
        self.order.unproven += commands;
        self.order.since_good += commands;
        if self.order.is_due(now) {
            self.ask_for_proof(now);
        }
        self.many_values = many_values;
        // Behind something that cannot be read nothing can.
        self.unread = if failed.is_some() { 0..0 } else { at..n };
        if commands > 0 || failed.is_some() {
            self.outbox
                .settle(commands.unsigned_abs() as u32, bytes, &mut self.ends);
        }
        match failed {
            Some(cause) => Err(cause),
            None => Ok(answered),
        }
    }

    fn ask_for_proof(&mut self, now: Instant) {
        self.order.is_asked = self.outbox.ping(now + self.patience.dead);
    }

    /// The reply to a token has come, as the last of `commands` replies of this turn, which are not counted yet.
    fn prove(&mut self, reply: TokenReply, commands: i64) -> Result<(), Cause> {
        self.order.is_asked = false;
        // What comes after the token in the same turn is still to be proven.
        self.order.unproven = -commands;
        match reply {
            TokenReply::Good => {
                self.order.since_good = -commands;
                Ok(())
            }
            TokenReply::NoProof => Ok(()),
            TokenReply::Shifted => Err(self.shifted(self.order.since_good + commands)),
        }
    }

    /// Somebody has had a reply that was not his own, and nobody knows who.
    fn shifted(&mut self, replies: i64) -> Cause {
        self.stats.shifted();
        tracing::error!(
            target: "keyway::connection",
            server = self.stats.name(),
            commands = replies,
            "the server's replies did not match the commands any more, so the connection was closed: each caller since the last \
             proof, `commands` in all, may have had the reply to another's command. Check what was read and written through this \
             client in the last second; report the fault with the commands and the server's version"
        );
        self.ends.spoil(&Cause::Shifted);
        Cause::Shifted
    }

    /// Called before the driver sleeps: deadlines, silence and idleness, all on one coarse timer.
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Result<Infallible, Cause>> {
        loop {
            let busy = !self.in_flight.is_empty();
            if busy {
                let now = now();
                if std::mem::take(&mut self.newly_busy) {
                    self.heard(now);
                }
                let due = self.due(now);
                self.tick_by(due);
            } else if let Some(due) = self.order.due() {
                self.tick_by(due);
            }
            std::task::ready!(self.tick.as_mut().poll(cx));
            let now = now();
            if !busy {
                let is_idle = now >= self.quiet_since + self.patience.idle_ping;
                if is_idle {
                    self.heard(now);
                    self.in_flight.shrink_to(0);
                    self.ends = Ends::default();
                    self.outbox.shrink();
                }
                if (is_idle || self.order.is_due(now)) && !self.order.is_asked {
                    self.ask_for_proof(now);
                    // Written by the next poll, which parks after it; from here the driver would sleep unparked.
                    cx.waker().wake_by_ref();
                }
                self.tick_at = (self.quiet_since + self.patience.idle_ping).max(now + TICK);
                self.tick.as_mut().reset(self.tick_at.into());
                continue;
            }
            self.expire_if_due(now);
            let watched = self
                .in_flight
                .front()
                .is_some_and(|waiter| !waiter.is_blocking());
            let quiet = now.saturating_duration_since(self.quiet_since);
            if watched
                && quiet >= self.patience.dead
                && quiet >= self.silence_allowed()
                && !crate::planted::is("never-silent")
            {
                return Poll::Ready(Err(Cause::Silent(quiet)));
            }
            self.tick_at = self.due(now);
            self.tick.as_mut().reset(self.tick_at.into());
        }
    }

    /// The server lives, or owes us nothing: a silence, if one comes, begins now.
    fn heard(&mut self, now: Instant) {
        self.quiet_since = now;
        self.quiet_written = self.written;
    }

    /// How long this silence may last. A slow command is not a dead server: those that were written before the silence began have
    /// the time that their callers gave them. A script of 3 s within a deadline of 20 s cost everybody the connection after 2 s.
    fn silence_allowed(&self) -> Duration {
        let mut callers = self.in_flight.iter().filter(|waiter| !waiter.is_token());
        if callers.clone().next().is_none() {
            // Only a PING of ours is under way: there is time to see whether the server is just busy.
            return self.patience.silence_max;
        }
        let mut allowed = self.patience.dead;
        while let Some(waiter) = callers.next()
            && waiter.end() <= self.quiet_written
        {
            let left = waiter
                .deadline()
                .saturating_duration_since(self.quiet_since);
            allowed = allowed.max(left);
        }
        allowed.min(self.patience.silence_max)
    }

    fn tick_by(&mut self, due: Instant) {
        if self.tick_at > due {
            self.tick_at = due;
            self.tick.as_mut().reset(due.into());
        }
    }

    /// When to look at deadlines and silence again, with something in flight: not before something can be due. A timer that is far away
    /// costs less: every sleep of the runtime with a near one sets the hardware's clock.
    fn due(&self, now: Instant) -> Instant {
        let soonest = now + TICK;
        if !self.writing.is_empty() {
            // Behind a full socket others wait in the outbox, whose deadlines are not known here.
            return soonest;
        }
        let silent = self.quiet_since + self.patience.dead;
        self.earliest
            .map_or(silent, |earliest| earliest.min(silent))
            .max(soonest)
    }

    fn expire_if_due(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked_at) >= TICK {
            self.looked_at = now;
            self.expire(now);
            self.outbox.expire(now);
        }
    }

    /// A waiter whose deadline has passed is told, and stays as a tombstone so that replies never shift.
    fn expire(&mut self, now: Instant) {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return;
        }
        let mut earliest: Option<Instant> = None;
        for waiter in self
            .in_flight
            .iter_mut()
            .filter(|waiter| !waiter.is_tombstone())
        {
            if waiter.deadline() <= now {
                // Even if its bytes still lie here they will be written, so nobody may be told that they were not.
                waiter.fail(u64::MAX, Cause::Deadline, &mut self.ends);
            } else {
                earliest = Some(earliest.map_or(waiter.deadline(), |e| e.min(waiter.deadline())));
            }
        }
        self.earliest = earliest;
        self.outbox.settle(0, 0, &mut self.ends);
    }
}

impl<S> Driver<S> {
    /// Tells everyone. Queued work was never sent; what is in flight ends as its bytes stand.
    fn end(&mut self, cause: &Cause, for_good: bool) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(cause.clone());
        // The outbox first: whoever routes again on hearing of the failure must not find it open.
        self.outbox.disconnect(cause.clone(), for_good);
        for mut waiter in self.in_flight.drain(..) {
            waiter.fail(self.written, cause.clone(), &mut self.ends);
        }
        self.outbox.settle(0, 0, &mut self.ends);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Future for Driving<S> {
    type Output = Cause;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        let is_new = !std::mem::replace(&mut self.is_introduced, true);
        let mut driver = self.driver.lock();
        if is_new {
            driver.outbox.introduce(self.driver.clone());
        }
        driver.poll(cx)
    }
}

impl<S> Drop for Driving<S> {
    /// A driver whose task is dropped alive was torn down with its runtime.
    fn drop(&mut self) {
        self.driver.lock().end(&Cause::RuntimeGone, true);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Drive for Mutex<Driver<S>> {
    fn drive(&self, task: &Waker) -> bool {
        let Some(mut driver) = self.try_lock() else {
            return false;
        };
        // With the waker of the driver's task: what comes later, the reply above all, wakes that.
        let has_ended = driver.poll(&mut Context::from_waker(task)).is_ready();
        drop(driver);
        if has_ended {
            task.wake_by_ref();
        }
        true
    }
}
