//! What following and unfollowing does to a timeline: an author's items go into it, or out of it again.

use super::push::{answer, count};
use super::range::{self, Cut, Direction, Entry, Reading};
use super::{Id, Timeline};
use crate::error::{Error, ErrorKind};
use futures::future::{BoxFuture, join};
use redis::{Cmd, Value};
use std::fmt::Display;
use std::future::IntoFuture;

/// Items that are read at a time.
const CHUNK_ITEMS: usize = 1000;
/// Items of one ZADD where no bound asks for fewer.
const ADD_ITEMS: usize = 500;
/// Items that a backfill takes when nothing says how many.
const LIMIT: usize = 1000;

impl<I: Id> Timeline<I> {
    /// On following: the newest items of an author's timeline (of `posts`, any timelines with the same kind of ids) are added to an owner's.
    ///
    /// Takes at most [`limit`](Backfill::limit) items, and none that is older than the [`max_age`](Timeline::max_age) of either. What the author adds
    /// meanwhile may be missed, so deliver to the new follower first. Items are written between trims, so the bound of
    /// [`slack`](Timeline::slack) holds, and at the end the timeline is trimmed; pushes to this owner that are under way come on top.
    ///
    /// Two round trips for up to 1,000 items, and one more for each further 1,000; as much memory as 2,000 take. Dropping the
    /// future leaves some of the items added. After that, and after an error, it may be repeated: the same item twice is the item once.
    ///
    /// # Errors
    /// As [`push`](Timeline::push), for either timeline, naming the key; [`ErrorKind::UnexpectedReply`] when the author's holds what is no item.
    pub fn backfill<'a>(
        &'a self,
        owner: impl Display,
        posts: &'a Timeline<I>,
        author: impl Display,
    ) -> Backfill<'a, I> {
        Backfill {
            home: self,
            key: self.key(owner),
            posts,
            author: posts.key(author),
            limit: self.keep.unwrap_or(LIMIT),
        }
    }

    /// On unfollowing: the items of an author's timeline go out of an owner's.
    ///
    /// The author's timeline is walked from its newest item down to the age of the owner's oldest, in chunks of 1,000: an item that is there
    /// throughout is found whatever else is added or removed. Not found is what the author's timeline does not hold any more, and what is
    /// delivered later: stop delivering to the owner first.
    ///
    /// Two round trips for up to 1,000 items, and one more for each further 1,000; as much memory as 2,000 take. Dropping the
    /// future leaves some of the items there. After that, and after an error, it may be repeated.
    ///
    /// # Errors
    /// As [`backfill`](Timeline::backfill).
    pub fn purge<'a>(
        &'a self,
        owner: impl Display,
        posts: &'a Timeline<I>,
        author: impl Display,
    ) -> Purge<'a, I> {
        Purge {
            home: self,
            key: self.key(owner),
            posts,
            author: posts.key(author),
        }
    }
}

impl<I: Id> Timeline<I> {
    async fn send_one(&self, cmd: &Cmd) -> Result<Value, Error> {
        let mut results = (self.cluster.send_all_strictly(std::slice::from_ref(cmd))).await;
        let missing = || Err(Error::new(ErrorKind::UnexpectedReply, "no reply"));
        results.pop().unwrap_or_else(missing)
    }
}

/// A backfill to be awaited: [`Timeline::backfill`].
#[derive(Debug)]
#[must_use = "nothing is sent until it is awaited"]
pub struct Backfill<'a, I: Id> {
    home: &'a Timeline<I>,
    key: String,
    posts: &'a Timeline<I>,
    author: String,
    limit: usize,
}

/// A purge to be awaited: [`Timeline::purge`].
#[derive(Debug)]
#[must_use = "nothing is sent until it is awaited"]
pub struct Purge<'a, I: Id> {
    home: &'a Timeline<I>,
    key: String,
    posts: &'a Timeline<I>,
    author: String,
}

/// What a backfill has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backfilled {
    /// Items read from the author's timeline.
    pub read: u64,
    /// Those that the owner's had not. Some may have been trimmed since: those that were too many.
    pub added: u64,
}

/// What a purge has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// Items read from the author's timeline.
    pub read: u64,
    /// Those that were in the owner's.
    pub removed: u64,
}

impl<I: Id> Backfill<'_, I> {
    /// The newest items that are taken at most; default: as many as the owner's timeline keeps, or 1,000 if it keeps all.
    pub fn limit(mut self, items: usize) -> Self {
        self.limit = items;
        self
    }

    async fn run(self) -> Result<Backfilled, Error> {
        self.home.check()?;
        self.posts.check()?;
        // What either does not show.
        let floor = self.home.cutoff().max(self.posts.cutoff());
        let mut walk = Walk::new(self.posts, &self.author, floor);
        let mut backfilled = Backfilled::default();
        let mut left = self.limit;
        let mut chunk = walk.next(left.min(CHUNK_ITEMS), floor).await?;
        while !chunk.is_empty() {
            left -= chunk.len();
            let (added, next) = join(
                add(self.home, &self.key, &chunk),
                walk.next(left.min(CHUNK_ITEMS), floor),
            )
            .await;
            backfilled.read += chunk.len() as u64;
            backfilled.added = backfilled.added.saturating_add(added?);
            chunk = next?;
        }
        Ok(backfilled)
    }
}

/// Adds items of one timeline to another.
async fn add<I: Id>(home: &Timeline<I>, key: &str, chunk: &[Entry]) -> Result<u64, Error> {
    let trimming = home.trimming();
    let slack = home.slack_items();
    let per_add = match trimming.len() {
        0 => ADD_ITEMS,
        _ => usize::from(slack).min(ADD_ITEMS),
    };
    let piece = home.ledger.begin();
    if trimming.len() > 0 {
        piece.plan_many(slack, key);
    }
    let mut cmds = Vec::new();
    for items in chunk.chunks(per_add) {
        trimming.add(key, &mut cmds);
        let mut cmd = Cmd::new();
        cmd.arg("ZADD").arg(key);
        for Entry { score, member } in items {
            cmd.arg(score).arg(&member[..]);
        }
        cmds.push(cmd);
    }
    trimming.add(key, &mut cmds);
    let replies = home.cluster.send_all_strictly(&cmds).await;
    let mut added = 0;
    for (at, (cmd, reply)) in cmds.iter().zip(replies).enumerate() {
        let items = count(cmd, reply, key)?;
        if at % (trimming.len() + 1) == trimming.len() {
            added = items.saturating_add(added);
        }
    }
    Ok(added)
}

impl<I: Id> Purge<'_, I> {
    async fn run(self) -> Result<Purged, Error> {
        self.home.check()?;
        self.posts.check()?;
        let mut walk = Walk::new(self.posts, &self.author, None);
        let (oldest, chunk) =
            join(oldest(self.home, &self.key), walk.next(CHUNK_ITEMS, None)).await;
        let (oldest, mut chunk) = (oldest?, chunk?);
        let mut purged = Purged::default();
        let Some(oldest) = oldest else {
            return Ok(purged);
        };
        while !chunk.is_empty() {
            purged.read += chunk.len() as u64;
            let is_last = chunk.last().is_some_and(|last| last.score < oldest);
            chunk.retain(|entry| entry.score >= oldest);
            let next = async {
                if is_last {
                    return Ok(Vec::new());
                }
                walk.next(CHUNK_ITEMS, Some(oldest)).await
            };
            let (removed, next) = join(remove(self.home, &self.key, &chunk), next).await;
            purged.removed = purged.removed.saturating_add(removed?);
            chunk = next?;
        }
        Ok(purged)
    }
}

/// The lowest score of a timeline.
async fn oldest<I: Id>(home: &Timeline<I>, key: &str) -> Result<Option<u64>, Error> {
    let mut cmd = redis::cmd("ZRANGE");
    cmd.arg(key).arg(0).arg(0).arg("WITHSCORES");
    let entries = ask(home, &cmd, key).await?;
    Ok(entries.first().map(|entry| entry.score))
}

async fn remove<I: Id>(home: &Timeline<I>, key: &str, chunk: &[Entry]) -> Result<u64, Error> {
    if chunk.is_empty() {
        return Ok(0);
    }
    let mut cmd = redis::cmd("ZREM");
    cmd.arg(key);
    for entry in chunk {
        cmd.arg(&entry.member[..]);
    }
    count(&cmd, home.send_one(&cmd).await, key)
}

async fn ask<I: Id>(timeline: &Timeline<I>, cmd: &Cmd, key: &str) -> Result<Vec<Entry>, Error> {
    let reply = answer(cmd, timeline.send_one(cmd).await, key)?;
    range::entries::<I>(reply).map_err(|error| error.about_key(key.as_bytes()))
}

/// A walk over a timeline from its newest item down. Whatever is added or removed meanwhile, an item that is there throughout is met, once.
struct Walk<'a, I: Id> {
    timeline: &'a Timeline<I>,
    key: &'a str,
    reading: Reading,
}

impl<'a, I: Id> Walk<'a, I> {
    fn new(timeline: &'a Timeline<I>, key: &'a str, floor: Option<u64>) -> Walk<'a, I> {
        Walk {
            timeline,
            key,
            reading: Reading::new(Direction::Older, &Cut::Top, 0, [floor]),
        }
    }

    /// At most so many further items, with this score or a higher one; none at the end. One round trip, unless many items of one score were
    /// added or removed meanwhile.
    async fn next(&mut self, items: usize, floor: Option<u64>) -> Result<Vec<Entry>, Error> {
        if items == 0 {
            return Ok(Vec::new());
        }
        self.reading.want(items, floor);
        while let Some(request) = self.reading.next_requests()?.pop() {
            let cmd = request.command(Direction::Older, self.key);
            let chunk = ask(self.timeline, &cmd, self.key).await?;
            let taken = self.reading.take(request.source, chunk);
            taken.map_err(|error| error.about_key(self.key.as_bytes()))?;
        }
        Ok(self.reading.take_found())
    }
}

impl<'a, I: Id> IntoFuture for Backfill<'a, I> {
    type Output = Result<Backfilled, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<'a, I: Id> IntoFuture for Purge<'a, I> {
    type Output = Result<Purged, Error>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
