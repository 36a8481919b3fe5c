//! Fan-out: the same work for every owner that a stream names, in bounded memory.

use super::push::{Ended, Keys, Work};
use super::{Id, Item, Timeline};
use crate::error::{Error, ErrorKind};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, Stream, StreamExt};
use std::collections::VecDeque;
use std::fmt::{self, Display};
use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Owners that are written together.
const PIECE_OWNERS: usize = 1000;
/// Pieces that are under way at once, over all servers: the servers have the next one when they are done with the last.
const PIECES: usize = 6;
/// Pieces that may have ended before one that was begun earlier has.
const PIECES_AHEAD: usize = 1024;
/// Failures that a report holds unless told otherwise.
const FAILURES_MAX: usize = 10_000;

impl<I: Id> Timeline<I> {
    /// Adds an item to the timelines of all these owners: fan-out on write.
    ///
    /// `owners` is any stream (of an iterator: `futures::stream::iter`) of what a key can be made of. It may be of any length: at most some
    /// 7,000 owners are held at a time, those under way and those being gathered, and the stream is asked only as fast as the servers take
    /// them. They are written in pieces of 1,000 to all servers at once, of which up to 6 are under way, each with the cluster's deadline
    /// (`timeouts.response`, or that of [`with_timeout`](crate::Cluster::with_timeout)). A slow stream is not waited for while nothing is under
    /// way. One command per owner, and a trim before it if the owner's timeline is due: see [`slack`](Timeline::slack).
    ///
    /// ```no_run
    /// # async fn example(home: keyway::Timeline, followers: Vec<u64>) -> Result<(), keyway::Error> {
    /// use futures::stream;
    /// use keyway::timeline::Item;
    ///
    /// let post = Item::new(17u64, 1_750_000_000_000);
    /// let report = home
    ///     .deliver(&post, stream::iter(&followers))
    ///     .on_progress(|progress| println!("{} of {} done", progress.done, progress.taken))
    ///     .await?;
    /// // Whoever failed, and it may be everyone, has it from a second delivery, and nobody has it twice.
    /// let again: Vec<u64> = report.failures.iter().map(|failure| *failure.owner).collect();
    /// let report = home.deliver(&post, stream::iter(again)).await?;
    /// # assert!(report.is_complete());
    /// # Ok(()) }
    /// ```
    ///
    /// **Failures** are an owner's own: a server that is down fails its owners, at once after the first `timeouts.connect` of the outage, and
    /// the others go on. Each is in [`Report::failures`], up to [`failures_max`](FanOut::failures_max) of them, or is given to
    /// [`on_failure`](FanOut::on_failure). The [kind](Error::kind) of its error says whether the item may be there all the same. Nothing is
    /// sent twice except what was certainly not executed. A repetition is up to the caller, and safe: a timeline is a set, so the same item
    /// twice is the item once.
    ///
    /// **A repetition that races a retraction** brings the item back: where both happen, retract after the last delivery has ended. So
    /// does a delivery whose outcome is [unknown](ErrorKind::Unknown), if the server executes it late; after such failures retract again.
    ///
    /// **Stopping**: the stream's end, [`until`](FanOut::until), or dropping the future. Dropped, the owners of the pieces under way have the item or
    /// not; what was still queued is not sent. [`Progress::settled`] says how many owners at the head of the stream need not be gone through
    /// again.
    ///
    /// # Errors
    /// Of the future as a whole, before anything is sent or an owner is taken: as [`push`](Timeline::push).
    pub fn deliver<'a, S>(&self, item: &Item<I>, owners: S) -> FanOut<'a, I, S>
    where
        S: Stream<Item: Display + Send> + Send + 'a,
    {
        FanOut::new(self, self.adding(item), owners)
    }

    /// Takes an item out of the timelines of all these owners. As [`deliver`](Timeline::deliver) in everything else; safe to repeat. An owner
    /// who never had it is no failure. Any id will do, also one that could not be pushed but that another program has written.
    ///
    /// # Errors
    /// As [`deliver`](Timeline::deliver).
    pub fn retract<'a, S>(&self, id: impl Into<I>, owners: S) -> FanOut<'a, I, S>
    where
        S: Stream<Item: Display + Send> + Send + 'a,
    {
        let member = id.into().to_member();
        FanOut::new(self, Ok(Work::Remove { member }), owners)
    }

    /// Trims the timelines of all these owners to [`keep`](Timeline::keep) items and to [`max_age`](Timeline::max_age): what nobody pushes to any
    /// more is trimmed by nothing else. As [`deliver`](Timeline::deliver) in everything else; safe to repeat.
    ///
    /// # Errors
    /// As [`deliver`](Timeline::deliver); [`ErrorKind::Invalid`] when there is neither bound.
    pub fn trim<'a, S>(&self, owners: S) -> FanOut<'a, I, S>
    where
        S: Stream<Item: Display + Send> + Send + 'a,
    {
        let work = if self.trimming().len() > 0 {
            Ok(Work::Trim)
        } else {
            let why =
                "nothing says to what to trim: give the timelines keep(items) or max_age(age)";
            Err(Error::new(ErrorKind::Invalid, why))
        };
        FanOut::new(self, work, owners)
    }
}

/// A fan-out to be awaited: [`Timeline::deliver`], [`retract`](Timeline::retract), [`trim`](Timeline::trim).
#[must_use = "nothing is sent until it is awaited"]
pub struct FanOut<'a, I: Id, S: Stream> {
    timeline: Timeline<I>,
    work: Result<Work, Error>,
    owners: S,
    on_progress: Option<OnProgress<'a>>,
    on_failure: Option<OnFailure<'a, S::Item>>,
    until: Option<BoxFuture<'a, ()>>,
    failures_max: usize,
}

type OnProgress<'a> = Box<dyn FnMut(Progress) + Send + 'a>;
type OnFailure<'a, O> = Box<dyn FnMut(O, Error) + Send + 'a>;

/// How far a fan-out has come. All count owners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Taken from the stream.
    pub taken: u64,
    /// For whom it is done.
    pub done: u64,
    /// For whom it has failed.
    pub failed: u64,
    /// So many, from the first on in the stream's order, are each done or have been reported as failed. Whoever goes on later may skip
    /// them.
    pub settled: u64,
}

/// How a fan-out ended. No owner is under way any more: `taken` is `done` and `failed`.
#[derive(Clone, Debug)]
#[must_use = "owners may have failed"]
#[non_exhaustive]
pub struct Report<O> {
    /// Owners taken from the stream, all of them settled: whoever goes on later may skip so many.
    pub taken: u64,
    /// Owners for whom it is done.
    pub done: u64,
    /// Owners for whom it has failed.
    pub failed: u64,
    /// Items that were added and had not been there; or, by a retraction, removed.
    pub changed: u64,
    /// Items that were trimmed, because a timeline was due or because that was the work.
    pub trimmed: u64,
    /// The owners that failed, in no order; empty if they were given to [`FanOut::on_failure`].
    pub failures: Vec<Failure<O>>,
    /// Why no more owners were taken.
    pub ending: Ending,
}

/// An owner for whom it has failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure<O> {
    /// Whose timeline.
    pub owner: O,
    /// What went wrong; names the key. Its [kind](Error::kind) says whether it may have been done all the same.
    pub error: Error,
}

/// Why a fan-out takes no more owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The stream has ended.
    AllTaken,
    /// The future given to [`FanOut::until`] has ended.
    Stopped,
    /// The report has as many failures as it may hold. There may be more owners in the stream.
    TooManyFailures,
}

impl<O> Report<O> {
    /// Every owner of the stream was taken, and it is done for each.
    pub fn is_complete(&self) -> bool {
        self.ending == Ending::AllTaken && self.failed == 0
    }
}

impl<'a, I: Id, S: Stream> FanOut<'a, I, S> {
    fn new(timeline: &Timeline<I>, work: Result<Work, Error>, owners: S) -> FanOut<'a, I, S> {
        FanOut {
            timeline: timeline.clone(),
            work,
            owners,
            on_progress: None,
            on_failure: None,
            until: None,
            failures_max: FAILURES_MAX,
        }
    }

    /// Calls this after every piece of 1,000 owners, and at the end. It runs between sending and receiving: it should be short.
    pub fn on_progress(mut self, call: impl FnMut(Progress) + Send + 'a) -> FanOut<'a, I, S> {
        self.on_progress = Some(Box::new(call));
        self
    }

    /// Calls this for every owner that fails, in place of collecting them: then any number may. Before the progress that counts them.
    pub fn on_failure(mut self, call: impl FnMut(S::Item, Error) + Send + 'a) -> FanOut<'a, I, S> {
        self.on_failure = Some(Box::new(call));
        self
    }

    /// How many failures the report holds; default: 10,000. When it has so many, no more owners are taken and the fan-out ends with
    /// [`Ending::TooManyFailures`]; those that were under way by then, up to 6,000, may still add to them.
    pub fn failures_max(mut self, failures: usize) -> FanOut<'a, I, S> {
        self.failures_max = failures;
        self
    }

    /// Takes no more owners once this future ends; those under way are waited for. Any handle will do: the receiver of a oneshot channel, a
    /// sleep, a cancellation token.
    pub fn until<F>(mut self, stop: F) -> FanOut<'a, I, S>
    where
        F: Future<Output: Send> + Send + 'a,
    {
        self.until = Some(Box::pin(async move {
            stop.await;
        }));
        self
    }
}

impl<'a, I, S> IntoFuture for FanOut<'a, I, S>
where
    I: Id,
    S: Stream<Item: Display + Send> + Send + 'a,
{
    type Output = Result<Report<S::Item>, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<'a, I, S> FanOut<'a, I, S>
where
    I: Id,
    S: Stream<Item: Display + Send> + Send + 'a,
{
    async fn run(self) -> Result<Report<S::Item>, Error> {
        self.timeline.check()?;
        let work = self.work?;
        let mut outcome = Outcome {
            report: Report {
                taken: 0,
                done: 0,
                failed: 0,
                changed: 0,
                trimmed: 0,
                failures: Vec::new(),
                ending: Ending::AllTaken,
            },
            settled: Settled::default(),
            on_progress: self.on_progress,
            on_failure: self.on_failure,
        };
        let mut intake = Intake {
            owners: Box::pin(self.owners),
            until: self.until,
            gathered: Vec::new(),
            ending: None,
        };
        let mut under_way = FuturesUnordered::new();
        loop {
            let may_begin = under_way.len() < PIECES && outcome.settled.has_room();
            let is_idle = under_way.is_empty();
            // Pieces that have ended first: what they held makes room.
            let next = poll_fn(|cx| {
                if let Poll::Ready(Some(ended)) = under_way.poll_next_unpin(cx) {
                    return Poll::Ready(Next::Ended(ended));
                }
                match intake.poll_piece(cx, may_begin, is_idle) {
                    Poll::Ready(Some(owners)) => Poll::Ready(Next::Owners(owners)),
                    Poll::Ready(None) if is_idle => Poll::Ready(Next::Nothing),
                    _ => Poll::Pending,
                }
            });
            match next.await {
                Next::Owners(owners) => {
                    let number = outcome.settled.begin(owners.len());
                    outcome.report.taken += owners.len() as u64;
                    // The owners themselves are not looked at from within, so they need not be Sync.
                    let mut keys = Keys::with_capacity(owners.len());
                    for owner in &owners {
                        keys.add(&self.timeline.name, owner);
                    }
                    let (timeline, work) = (&self.timeline, &work);
                    under_way.push(async move {
                        let ended = timeline.carry_out(work, &keys).await;
                        (number, owners, ended)
                    });
                }
                Next::Ended((number, owners, ended)) => {
                    outcome.take_in(number, owners, ended);
                    if outcome.on_failure.is_none()
                        && outcome.report.failures.len() >= self.failures_max
                        && outcome.report.failed > 0
                    {
                        intake.end(Ending::TooManyFailures);
                    }
                }
                Next::Nothing => break,
            }
        }
        outcome.report.ending = intake.ending.unwrap_or(Ending::AllTaken);
        Ok(outcome.report)
    }
}

enum Next<O> {
    Owners(Vec<O>),
    Ended((u64, Vec<O>, Ended)),
    Nothing,
}

/// Where owners come from, until they do not.
struct Intake<'a, S: Stream> {
    owners: Pin<Box<S>>,
    until: Option<BoxFuture<'a, ()>>,
    /// Taken from the stream, not yet a piece.
    gathered: Vec<S::Item>,
    ending: Option<Ending>,
}

impl<S: Stream> Intake<'_, S> {
    /// The next piece, if one may begin; `None` when there are no more. Less than a whole one only if it is the last, or if nothing is under
    /// way that could be waited for meanwhile.
    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
        may_begin: bool,
        is_idle: bool,
    ) -> Poll<Option<Vec<S::Item>>> {
        if self.ending.is_none()
            && let Some(until) = &mut self.until
            && until.as_mut().poll(cx).is_ready()
        {
            self.until = None;
            self.end(Ending::Stopped);
        }
        if !may_begin {
            return Poll::Pending;
        }
        while self.ending.is_none() && self.gathered.len() < PIECE_OWNERS {
            match self.owners.as_mut().poll_next(cx) {
                Poll::Ready(Some(owner)) => self.gathered.push(owner),
                Poll::Ready(None) => self.end(Ending::AllTaken),
                Poll::Pending => break,
            }
        }
        let is_whole = self.gathered.len() == PIECE_OWNERS;
        if is_whole || !self.gathered.is_empty() && (is_idle || self.ending.is_some()) {
            return Poll::Ready(Some(std::mem::take(&mut self.gathered)));
        }
        match self.ending {
            Some(_) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }
}

/// What has come of the owners.
struct Outcome<'a, O> {
    report: Report<O>,
    settled: Settled,
    on_progress: Option<OnProgress<'a>>,
    on_failure: Option<OnFailure<'a, O>>,
}

impl<O> Outcome<'_, O> {
    fn take_in(&mut self, number: u64, owners: Vec<O>, ended: Ended) {
        let report = &mut self.report;
        report.trimmed = report.trimmed.saturating_add(ended.trimmed);
        for (owner, result) in owners.into_iter().zip(ended.results) {
            match (result, &mut self.on_failure) {
                (Ok(changed), _) => {
                    report.done += 1;
                    report.changed = report.changed.saturating_add(changed);
                }
                (Err(error), Some(call)) => {
                    report.failed += 1;
                    call(owner, error);
                }
                (Err(error), None) => {
                    report.failed += 1;
                    report.failures.push(Failure { owner, error });
                }
            }
        }
        self.settled.end(number);
        if let Some(call) = &mut self.on_progress {
            call(Progress {
                taken: report.taken,
                done: report.done,
                failed: report.failed,
                settled: self.settled.owners,
            });
        }
    }
}

/// How many owners at the head of the stream are settled, where pieces end in any order.
#[derive(Default)]
struct Settled {
    owners: u64,
    /// The number of the first piece that has not ended.
    first: u64,
    /// From that one on: the owners, and whether it has ended.
    pieces: VecDeque<(usize, bool)>,
}

impl Settled {
    fn has_room(&self) -> bool {
        self.pieces.len() < PIECES_AHEAD
    }

    fn begin(&mut self, owners: usize) -> u64 {
        self.pieces.push_back((owners, false));
        self.first + self.pieces.len() as u64 - 1
    }

    fn end(&mut self, number: u64) {
        if let Some((_, ended)) = self.pieces.get_mut((number - self.first) as usize) {
            *ended = true;
        }
        while let Some((owners, true)) = self.pieces.front() {
            self.owners += *owners as u64;
            self.pieces.pop_front();
            self.first += 1;
        }
    }
}

impl<I: Id, S: Stream> fmt::Debug for FanOut<'_, I, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut")
            .field("timeline", &self.timeline)
            .field("failures_max", &self.failures_max)
            .finish_non_exhaustive()
    }
}
