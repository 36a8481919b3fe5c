//! What following and unfollowing does to a timeline: an author's items go into it, or out of it again.

use super::push::{answer, count};
use super::{ID_BYTES_MAX, Id, Item, Timeline};
use crate::error::{Error, ErrorKind};
use crate::routing;
use futures::future::{BoxFuture, join};
use redis::{Cmd, Value};
use std::cmp::Ordering;
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
        let from = self.home.cutoff().max(self.posts.cutoff());
        let from = from.map(|cutoff| cutoff.to_string());
        let mut walk = Walk::new(self.posts, self.author.clone(), from);
        let mut backfilled = Backfilled::default();
        let mut left = self.limit;
        let mut chunk = walk.next(left.min(CHUNK_ITEMS)).await?;
        while !chunk.is_empty() {
            left -= chunk.len();
            let (added, next) = join(
                add(self.home, &self.key, &self.author, &chunk),
                walk.next(left.min(CHUNK_ITEMS)),
            )
            .await;
            backfilled.read += chunk.len() as u64;
            backfilled.added += added?;
            chunk = next?;
        }
        Ok(backfilled)
    }
}

/// Adds items of one timeline to another.
async fn add<I: Id>(
    home: &Timeline<I>,
    key: &str,
    from: &str,
    chunk: &[Scored],
) -> Result<u64, Error> {
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
        for (member, score) in items {
            cmd.arg(score_of::<I>(from, member, *score)?)
                .arg(&member[..]);
        }
        cmds.push(cmd);
    }
    trimming.add(key, &mut cmds);
    let replies = home.cluster.send_all_strictly(&cmds).await;
    let mut added = 0;
    for (at, (cmd, reply)) in cmds.iter().zip(replies).enumerate() {
        let items = count(cmd, reply, key)?;
        if at % (trimming.len() + 1) == trimming.len() {
            added += items;
        }
    }
    Ok(added)
}

/// A score that an item can have.
fn score_of<I: Id>(key: &str, member: &[u8], score: f64) -> Result<u64, Error> {
    let whole = score as u64;
    let id = I::from_member(member.to_vec());
    if whole as f64 == score && id.is_some_and(|id| Item::<I> { id, score: whole }.member().is_ok())
    {
        return Ok(whole);
    }
    let why = format!(
        "the member \"{}\" with the score {score} is no item of a timeline: ids are {} of 1 to {ID_BYTES_MAX} bytes, scores whole numbers from 0 and below 2^53; the key is \
         \"{}\"",
        routing::shorten(member),
        std::any::type_name::<I>(),
        routing::shorten(key.as_bytes())
    );
    Err(Error::new(ErrorKind::UnexpectedReply, why))
}

impl<I: Id> Purge<'_, I> {
    async fn run(self) -> Result<Purged, Error> {
        self.home.check()?;
        self.posts.check()?;
        let mut walk = Walk::new(self.posts, self.author, None);
        let (oldest, chunk) = join(oldest(self.home, &self.key), walk.next(CHUNK_ITEMS)).await;
        let (oldest, mut chunk) = (oldest?, chunk?);
        let mut purged = Purged::default();
        let Some(oldest) = oldest else {
            return Ok(purged);
        };
        walk.from = oldest.to_string();
        while !chunk.is_empty() {
            purged.read += chunk.len() as u64;
            let is_last = chunk.last().is_some_and(|(_, score)| *score < oldest);
            chunk.retain(|(_, score)| *score >= oldest);
            let next = async {
                if is_last {
                    return Ok(Vec::new());
                }
                walk.next(CHUNK_ITEMS).await
            };
            let (removed, next) = join(remove(self.home, &self.key, &chunk), next).await;
            purged.removed += removed?;
            chunk = next?;
        }
        Ok(purged)
    }
}

/// The lowest score of a timeline.
async fn oldest<I: Id>(home: &Timeline<I>, key: &str) -> Result<Option<f64>, Error> {
    let mut cmd = redis::cmd("ZRANGE");
    cmd.arg(key).arg(0).arg(0).arg("WITHSCORES");
    let scored = ask(home, &cmd, key).await?;
    Ok(scored.first().map(|(_, score)| *score))
}

async fn remove<I: Id>(home: &Timeline<I>, key: &str, chunk: &[Scored]) -> Result<u64, Error> {
    if chunk.is_empty() {
        return Ok(0);
    }
    let mut cmd = redis::cmd("ZREM");
    cmd.arg(key);
    for (member, _) in chunk {
        cmd.arg(&member[..]);
    }
    let reply = one(home
        .cluster
        .send_all_strictly(std::slice::from_ref(&cmd))
        .await);
    count(&cmd, reply, key)
}

type Scored = (Vec<u8>, f64);

async fn ask<I: Id>(timeline: &Timeline<I>, cmd: &Cmd, key: &str) -> Result<Vec<Scored>, Error> {
    let reply = one(timeline
        .cluster
        .send_all_strictly(std::slice::from_ref(cmd))
        .await);
    answer(cmd, reply, key)
}

fn one(mut results: Vec<Result<Value, Error>>) -> Result<Value, Error> {
    let missing = || Err(Error::new(ErrorKind::UnexpectedReply, "no reply"));
    results.pop().unwrap_or_else(missing)
}

/// A walk over a timeline from its newest item down. Whatever is added or removed meanwhile, an item that is there throughout is met, once.
struct Walk<'a, I: Id> {
    timeline: &'a Timeline<I>,
    key: String,
    /// The lowest score.
    from: String,
    /// The last item met.
    last: Option<Scored>,
    /// How many items of that one's score were met, or rather stood before its end when it was read.
    ties: usize,
    ended: bool,
}

impl<'a, I: Id> Walk<'a, I> {
    fn new(timeline: &'a Timeline<I>, key: String, from: Option<String>) -> Walk<'a, I> {
        Walk {
            timeline,
            key,
            from: from.unwrap_or_else(|| "-inf".to_owned()),
            last: None,
            ties: 0,
            ended: false,
        }
    }

    /// At most so many further items; none at the end. One round trip, unless more than those share a score or many are removed meanwhile.
    async fn next(&mut self, items: usize) -> Result<Vec<Scored>, Error> {
        if items == 0 {
            return Ok(Vec::new());
        }
        // From the last item met, itself included: that it is there shows that nothing behind it was passed over.
        let mut offset = self.ties.saturating_sub(1);
        while !self.ended {
            let wanted = items + usize::from(self.last.is_some());
            let read = self.read(offset, wanted).await?;
            let is_short = read.len() < wanted;
            if offset > 0 && read.first().is_none_or(|first| self.is_ahead(first)) {
                offset /= 2;
                continue;
            }
            let Some(end) = read.last() else {
                self.ended = true;
                break;
            };
            let is_same_score = self.last.as_ref().is_some_and(|last| last.1 == end.1);
            let position = match is_same_score {
                true => offset + read.len(),
                false => read
                    .iter()
                    .rev()
                    .take_while(|(_, score)| *score == end.1)
                    .count(),
            };
            let fresh: Vec<Scored> = read
                .into_iter()
                .filter(|item| self.is_ahead(item))
                .collect();
            self.ended = is_short;
            match fresh.last() {
                Some(last) => {
                    self.ties = position;
                    self.last = Some(last.clone());
                    return Ok(fresh);
                }
                // All met before: more were added at this score, ahead of the last one.
                None => offset = position.saturating_sub(1),
            }
        }
        Ok(Vec::new())
    }

    async fn read(&self, offset: usize, items: usize) -> Result<Vec<Scored>, Error> {
        let mut cmd = redis::cmd("ZREVRANGEBYSCORE");
        cmd.arg(&self.key);
        match &self.last {
            Some((_, score)) => cmd.arg(score.to_string()),
            None => cmd.arg("+inf"),
        };
        cmd.arg(&self.from)
            .arg("WITHSCORES")
            .arg("LIMIT")
            .arg(offset)
            .arg(items);
        ask(self.timeline, &cmd, &self.key).await
    }

    /// Whether the walk has not come to it yet.
    fn is_ahead(&self, (member, score): &Scored) -> bool {
        let Some((last_member, last_score)) = &self.last else {
            return true;
        };
        match score.total_cmp(last_score) {
            Ordering::Less => true,
            Ordering::Equal => member < last_member,
            Ordering::Greater => false,
        }
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
