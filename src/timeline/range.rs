//! The order of timelines, places in it, and the plan by which many of them are read as one: pure, with no server in sight.
//!
//! A read goes in rounds. In each, [`Reading::requests`] says what to ask of which source, and [`Reading::take`] takes the replies in; it ends
//! when nothing is asked any more. Every reply is one range of one sorted set at one time, so it holds all that was there between its ends.

use super::cursor::ID_BYTES_MAX;
use super::item::{Id, SCORE_END};
use crate::error::{Error, ErrorKind};
use redis::{Cmd, Value};
use std::cmp::Ordering;

/// Entries at the cursor's own score that a page over one timeline passes over within its one round trip: the cursor's item, if it is still
/// there, and others of that score that are not beyond it.
const TIES: usize = 8;
/// More entries of one timeline at one score than this are not read through.
const TIES_MAX: usize = 1_000_000;
/// By so many at most grows a chunk in which nothing was beyond the place.
const CHUNK_MAX: usize = 4_096;
/// From so many known ties on they are passed over by an offset, and so many of them are read again to see that the offset is still right.
const OFFSET_FROM: usize = 64;
const OVERLAP: usize = 16;

/// One entry of a sorted set: where it belongs, and its bytes. In the order of ZRANGE; ZREVRANGE goes the other way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entry {
    pub(super) score: u64,
    pub(super) member: Vec<u8>,
}

/// A place between entries, whether these are there or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cut {
    /// Below everything.
    Bottom,
    /// The entry is the first above it.
    Below(Entry),
    /// The entry is the first below it.
    Above(Entry),
    /// Above everything.
    Top,
}

impl Cut {
    fn is_below(&self, entry: &Entry) -> bool {
        match self {
            Cut::Bottom => true,
            Cut::Below(at) => entry >= at,
            Cut::Above(at) => entry > at,
            Cut::Top => false,
        }
    }

    fn score(&self) -> Option<u64> {
        match self {
            Cut::Bottom | Cut::Top => None,
            Cut::Below(at) | Cut::Above(at) => Some(at.score),
        }
    }
}

/// Which way a page reads from its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Direction {
    Older,
    Newer,
}

impl Direction {
    /// Whether a read from the cut comes to the entry.
    fn reaches(self, cut: &Cut, entry: &Entry) -> bool {
        cut.is_below(entry) == (self == Direction::Newer)
    }

    fn compare(self, a: &Entry, b: &Entry) -> Ordering {
        match self {
            Direction::Older => b.cmp(a),
            Direction::Newer => a.cmp(b),
        }
    }

    /// The place of a read that has just had this entry.
    fn past(self, entry: Entry) -> Cut {
        match self {
            Direction::Older => Cut::Below(entry),
            Direction::Newer => Cut::Above(entry),
        }
    }
}

/// What is to be asked of one source in this round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) source: usize,
    offset: usize,
    count: usize,
    /// Entries from `start` to `end`, both included and in the direction of reading; `None` is no end.
    start: Option<u64>,
    end: Option<u64>,
}

impl Request {
    pub(super) fn command(&self, direction: Direction, key: &str) -> Cmd {
        let (name, no_start, no_end) = match direction {
            Direction::Older => ("ZREVRANGEBYSCORE", "+inf", "-inf"),
            Direction::Newer => ("ZRANGEBYSCORE", "-inf", "+inf"),
        };
        let mut cmd = redis::cmd(name);
        cmd.arg(key);
        for (score, otherwise) in [(self.start, no_start), (self.end, no_end)] {
            match score {
                Some(score) => cmd.arg(score),
                None => cmd.arg(otherwise),
            };
        }
        cmd.arg("WITHSCORES");
        cmd.arg("LIMIT").arg(self.offset).arg(self.count);
        cmd
    }
}

/// How far one source has been read.
#[derive(Debug)]
struct Source {
    /// The lowest score that is shown.
    floor: Option<u64>,
    /// All entries up to here have been read.
    reached: Cut,
    /// As many entries as were seen, at the score of `reached`, up to it.
    ties: usize,
    /// Chunks in sequence in which nothing was beyond `reached`.
    stalls: u32,
    asked: Option<Request>,
    is_open: bool,
}

/// A read of the first entries beyond a place, over many sources, under way.
#[derive(Debug)]
pub(super) struct Reading {
    direction: Direction,
    wanted: usize,
    sources: Vec<Source>,
    /// The first entries of all, no two the same, in the order of reading; at most `wanted`.
    found: Vec<Entry>,
    fresh: Vec<Entry>,
    rounds: usize,
    entries_read: usize,
}

impl Reading {
    /// Of `wanted` entries. `floors`: of each source the lowest score that is shown.
    pub(super) fn new(
        direction: Direction,
        from: &Cut,
        wanted: usize,
        floors: impl IntoIterator<Item = Option<u64>>,
    ) -> Reading {
        let sources = floors.into_iter().map(|floor| Source {
            floor,
            reached: from.clone(),
            ties: 0,
            stalls: 0,
            asked: None,
            is_open: true,
        });
        Reading {
            direction,
            wanted,
            sources: sources.collect(),
            found: Vec::new(),
            fresh: Vec::new(),
            rounds: 0,
            entries_read: 0,
        }
    }

    /// What to ask next, all at once; nothing when the read is complete. Every answer goes to [`take`](Reading::take) or
    /// [`give_up`](Reading::give_up) before this is called again.
    pub(super) fn requests(&mut self) -> Vec<Request> {
        let direction = self.direction;
        self.found.append(&mut self.fresh);
        self.found.sort_unstable_by(|a, b| direction.compare(a, b));
        // One id at one score is one item, wherever it was found.
        self.found.dedup();
        // What is beyond the wanted ones now will be so when more are known.
        self.found.truncate(self.wanted);
        let last = match self.found.len() == self.wanted {
            true => self.found.last(),
            false => None,
        };
        let first_count = first_count(self.wanted, self.sources.len());
        let mut requests = Vec::new();
        for (at, source) in self.sources.iter_mut().enumerate() {
            let may_have_more = last.is_none_or(|last| direction.reaches(&source.reached, last));
            if !source.is_open || !may_have_more {
                continue;
            }
            // The next of this source comes after those that were found up to its place, so that only so many of it can still matter.
            let before =
                (self.found).partition_point(|entry| !direction.reaches(&source.reached, entry));
            let need = match self.rounds {
                0 => first_count + source.passed_over(self.wanted == first_count),
                _ => self.wanted - before + source.passed_over(true),
            };
            let request = source.request(at, direction, need, last.map(|last| last.score));
            source.is_open = request.is_some();
            source.asked = request;
            requests.extend(request);
        }
        if !requests.is_empty() {
            self.rounds += 1;
        }
        requests
    }

    /// Takes in what a source has answered, in the order of reading.
    pub(super) fn take(&mut self, at: usize, chunk: Vec<Entry>) -> Result<(), Error> {
        let direction = self.direction;
        let source = &mut self.sources[at];
        let Some(asked) = source.asked.take() else {
            return Ok(());
        };
        self.entries_read += chunk.len();
        let passed = chunk.partition_point(|entry| !direction.reaches(&source.reached, entry));
        if asked.offset > 0 && passed == 0 {
            // Ties were deleted meanwhile: the chunk begins too far on, and what is before it was not seen.
            source.ties = asked.offset / 2;
            return Ok(());
        }
        source.is_open = chunk.len() == asked.count;
        let Some(last) = chunk.last() else {
            return Ok(());
        };
        let of_last = chunk
            .iter()
            .rev()
            .take_while(|entry| entry.score == last.score)
            .count();
        source.ties = match of_last == chunk.len() {
            true => asked.offset + of_last,
            false => of_last,
        };
        if passed == chunk.len() {
            source.stalls += 1;
        } else {
            source.stalls = 0;
            source.reached = direction.past(last.clone());
            self.fresh.extend(chunk.into_iter().skip(passed));
        }
        if source.is_open && source.ties > TIES_MAX {
            let why = format!(
                "more than {TIES_MAX} items have the score {}: a page is not looked for among so many. Give items scores that differ: \
                 milliseconds, with a number that tells those of one millisecond apart",
                source.reached.score().unwrap_or_default()
            );
            return Err(Error::new(ErrorKind::TooLarge, why));
        }
        Ok(())
    }

    /// The source has failed, and is to be left out.
    pub(super) fn give_up(&mut self, at: usize) {
        self.sources[at].asked = None;
        self.sources[at].is_open = false;
    }

    /// How many times something was asked for.
    pub(super) fn rounds(&self) -> usize {
        self.rounds
    }

    /// How many entries the answers had.
    pub(super) fn entries_read(&self) -> usize {
        self.entries_read
    }

    /// The first entries of all sources, in the order of reading; fewer than were wanted only if there are no more.
    pub(super) fn into_found(self) -> Vec<Entry> {
        self.found
    }
}

impl Source {
    /// How many entries to ask for beside the needed ones, because so many may not be beyond the place.
    fn passed_over(&self, generously: bool) -> usize {
        let is_known = self.ties > 0 && self.stalls == 0;
        match self.reached.score() {
            None => 0,
            Some(_) if is_known => 0,
            Some(_) if !generously => 1,
            Some(_) => (TIES << (3 * self.stalls.min(3))).min(CHUNK_MAX),
        }
    }

    /// `end`: beyond this score nothing can matter. `None` if there is nothing to ask.
    fn request(
        &self,
        source: usize,
        direction: Direction,
        need: usize,
        end: Option<u64>,
    ) -> Option<Request> {
        let offset = match self.ties > OFFSET_FROM {
            true => self.ties - OVERLAP,
            false => 0,
        };
        let start = self.reached.score();
        let (start, end) = match direction {
            Direction::Older => (start, end.max(self.floor)),
            Direction::Newer => (start.max(self.floor), end),
        };
        let is_empty = match (direction, start, end) {
            (Direction::Older, Some(start), Some(end)) => start < end,
            (Direction::Newer, Some(start), Some(end)) => start > end,
            _ => false,
        };
        (!is_empty).then_some(Request {
            source,
            offset,
            count: self.ties - offset + need,
            start,
            end,
        })
    }
}

/// How many entries each of several sources is asked for at first. A source that gives so many, all of them among the first `wanted`, is asked
/// again, and then for all that can matter of it: so there are two rounds, and the question is what both bring in together.
///
/// A source's even share, with room for chance; but at least `wanted / sqrt(2 x sources)`, where the first round's `sources x count` entries
/// are as many as the second round's at worst: `wanted / count` sources can be asked again, and for `wanted / 2` entries on average.
fn first_count(wanted: usize, sources: usize) -> usize {
    if sources <= 1 {
        return wanted;
    }
    let (wanted_f, sources_f) = (wanted as f64, sources as f64);
    let share = wanted_f / sources_f;
    let by_chance = share + 2.0 * share.sqrt();
    let by_cost = wanted_f / (2.0 * sources_f).sqrt();
    (by_chance.max(by_cost).ceil() as usize).clamp(1, wanted)
}

/// The entries of a reply, whichever protocol it came by. All are looked at, also those that no page will show.
pub(super) fn entries<I: Id>(reply: Value) -> Result<Vec<Entry>, Error> {
    let Value::Array(values) = reply else {
        return Err(odd());
    };
    let mut entries = Vec::with_capacity(values.len());
    let mut values = values.into_iter();
    while let Some(value) = values.next() {
        let (member, score) = match value {
            // RESP3: pairs.
            Value::Array(pair) => {
                let mut pair = pair.into_iter();
                match (pair.next(), pair.next()) {
                    (Some(member), Some(score)) => (member, score),
                    _ => return Err(odd()),
                }
            }
            member => match values.next() {
                Some(score) => (member, score),
                None => return Err(odd()),
            },
        };
        let Value::BulkString(member) = member else {
            return Err(odd());
        };
        let score = match &score {
            Value::Double(score) => Some(*score),
            Value::BulkString(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok()),
            _ => None,
        };
        let score: f64 = score.ok_or_else(odd)?;
        if !(score >= 0.0 && score < SCORE_END as f64 && score.fract() == 0.0) {
            let why = format!(
                "an entry has the score {score}, which is no integer from 0 to below 2^53 ({SCORE_END}): no timeline has written it. Is this \
                 another program's key?"
            );
            return Err(Error::new(ErrorKind::UnexpectedReply, why));
        }
        if member.len() > ID_BYTES_MAX {
            let why = format!(
                "an entry with the score {score} has {} bytes; ids have at most {ID_BYTES_MAX}, so that they fit into cursors",
                member.len()
            );
            return Err(Error::new(ErrorKind::UnexpectedReply, why));
        }
        if I::from_member(member.clone()).is_none() {
            return Err(no_id::<I>(score as u64));
        }
        entries.push(Entry {
            score: score as u64,
            member,
        });
    }
    Ok(entries)
}

pub(super) fn no_id<I: Id>(score: u64) -> Error {
    let why = format!(
        "an entry with the score {score} is no id of this timeline: no {} is written so. Is this another program's key?",
        std::any::type_name::<I>()
    );
    Error::new(ErrorKind::UnexpectedReply, why)
}

fn odd() -> Error {
    let why = "the reply is not a list of members with scores";
    Error::new(ErrorKind::UnexpectedReply, why)
}
