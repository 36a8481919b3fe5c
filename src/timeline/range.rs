//! The order of timelines, places in it, and the plan by which many of them are read as one: pure, with no server in sight.
//!
//! A read goes in rounds. In each, [`Reading::next_requests`] says what to ask of which source, and [`Reading::take`] takes the replies in; it ends
//! when nothing is asked any more. Every reply is one range of one sorted set at one time, so it holds all that was there between its ends.

use super::item::{ID_BYTES_MAX, Id, SCORE_END};
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

/// A read that takes more rounds is being outrun by deletions.
const ROUNDS_MAX: usize = 1_000;

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
    /// Those of what was looked for before.
    rounds_before: usize,
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
            rounds_before: 0,
            entries_read: 0,
        }
    }

    /// What to ask next, all at once; nothing when the read is complete. Every answer goes to [`take`](Reading::take) or
    /// [`give_up`](Reading::give_up) before this is called again.
    pub(super) fn next_requests(&mut self) -> Result<Vec<Request>, Error> {
        let requests = self.requests();
        if !requests.is_empty() && self.rounds > self.rounds_before + ROUNDS_MAX {
            let why = format!(
                "the read was not complete after {ROUNDS_MAX} round trips: items are deleted faster than those of one score are passed over"
            );
            return Err(Error::new(ErrorKind::NotSent, why));
        }
        Ok(requests)
    }

    fn requests(&mut self) -> Vec<Request> {
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
        let is_only = self.sources.len() == 1;
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
                0 => first_count + source.passed_over(is_only),
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

    /// As `into_found`, to go on behind them: for as many, until `want` says otherwise.
    pub(super) fn take_found(&mut self) -> Vec<Entry> {
        let found = std::mem::take(&mut self.found);
        if let Some(last) = found.last() {
            let place = self.direction.past(last.clone());
            for source in &mut self.sources {
                // What was read beyond the wanted ones is read again.
                if source.reached != place {
                    source.reached = place.clone();
                    (source.ties, source.stalls, source.is_open) = (0, 0, true);
                }
            }
        }
        found
    }

    /// How many entries are looked for from now on, and down to which score.
    pub(super) fn want(&mut self, entries: usize, floor: Option<u64>) {
        self.wanted = entries;
        self.rounds_before = self.rounds;
        for source in &mut self.sources {
            source.floor = source.floor.max(floor);
        }
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
        let is_empty = match (direction, &self.reached, start, end) {
            // Nothing is beyond the end.
            (Direction::Older, Cut::Bottom, ..) | (Direction::Newer, Cut::Top, ..) => true,
            (Direction::Older, _, Some(start), Some(end)) => start < end,
            (Direction::Newer, _, Some(start), Some(end)) => start > end,
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

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_testing::swept;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Set = BTreeSet<Entry>;

    fn entry(score: u64, member: u64) -> Entry {
        Entry {
            score,
            member: member.to_string().into_bytes(),
        }
    }

    /// What a server answers.
    fn answer(request: &Request, direction: Direction, set: &Set) -> Vec<Entry> {
        let is_in = |entry: &&Entry| {
            let (low, high) = match direction {
                Direction::Older => (request.end, request.start),
                Direction::Newer => (request.start, request.end),
            };
            low.is_none_or(|low| entry.score >= low) && high.is_none_or(|high| entry.score <= high)
        };
        let mut all: Vec<Entry> = set.iter().filter(is_in).cloned().collect();
        if direction == Direction::Older {
            all.reverse();
        }
        all.into_iter()
            .skip(request.offset)
            .take(request.count)
            .collect()
    }

    fn read(
        sets: &mut [Set],
        reading: &mut Reading,
        mut between: impl FnMut(&mut [Set]),
    ) -> Vec<Entry> {
        loop {
            let requests = reading.requests();
            if requests.is_empty() {
                return reading.take_found();
            }
            assert!(reading.rounds < 1_000, "it does not end");
            for request in &requests {
                let chunk = answer(request, reading.direction, &sets[request.source]);
                reading.take(request.source, chunk).unwrap();
            }
            between(sets);
        }
    }

    /// The same, read aloud.
    fn expected(
        sets: &[Set],
        floors: &[Option<u64>],
        direction: Direction,
        from: &Cut,
        wanted: usize,
    ) -> Vec<Entry> {
        let mut all = Set::new();
        for (set, floor) in sets.iter().zip(floors) {
            let shown = set
                .iter()
                .filter(|entry| floor.is_none_or(|floor| entry.score >= floor));
            all.extend(
                shown
                    .filter(|entry| direction.reaches(from, entry))
                    .cloned(),
            );
        }
        match direction {
            Direction::Older => all.into_iter().rev().take(wanted).collect(),
            Direction::Newer => all.into_iter().take(wanted).collect(),
        }
    }

    fn entries(scores: u64) -> impl Strategy<Value = Entry> {
        (0..scores, 0..60_u64).prop_map(|(score, member)| entry(score, member))
    }

    fn cuts(scores: u64) -> impl Strategy<Value = Cut> {
        prop_oneof![
            1 => Just(Cut::Bottom),
            1 => Just(Cut::Top),
            4 => entries(scores).prop_map(Cut::Below),
            4 => entries(scores).prop_map(Cut::Above),
        ]
    }

    fn directions() -> impl Strategy<Value = Direction> {
        prop_oneof![Just(Direction::Older), Just(Direction::Newer)]
    }

    fn sets(scores: u64) -> impl Strategy<Value = Vec<Set>> {
        let set = proptest::collection::btree_set(entries(scores), 0..40);
        proptest::collection::vec(set, 1..30)
    }

    /// Entries at the place's own score that are not beyond it: what a read has to pass over.
    fn ties(set: &Set, direction: Direction, from: &Cut) -> usize {
        set.iter()
            .filter(|entry| Some(entry.score) == from.score() && !direction.reaches(from, entry))
            .count()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(swept(200, 1_000)))]

        #[test]
        fn a_read_is_what_the_model_says_in_two_rounds(
            mut sets in prop_oneof![sets(4), sets(30), sets(1_000)],
            floors in proptest::collection::vec(proptest::option::of(0..30_u64), 30),
            direction in directions(),
            from in prop_oneof![cuts(4), cuts(30), cuts(1_000)],
            wanted in 1..60_usize,
        ) {
            let floors = &floors[..sets.len()];
            let most = sets.iter().map(|set| ties(set, direction, &from)).max().unwrap_or(0);
            let mut reading = Reading::new(direction, &from, wanted, floors.iter().copied());
            let found = read(&mut sets, &mut reading, |_| ());
            prop_assert_eq!(found, expected(&sets, floors, direction, &from, wanted));
            let count = sets.len();
            let rounds = if count == 1 && most <= TIES { 1 } else { 2 };
            prop_assert!(most > 64 || reading.rounds <= rounds, "{} rounds, {} ties", reading.rounds, most);
            let first = first_count(wanted, count);
            let again = wanted / first + 1;
            prop_assert!(
                most > 1 || count == 1 || reading.entries_read <= count * (first + 1) + again * (wanted + 40),
                "{} entries of {} sources for {}", reading.entries_read, count, wanted
            );
        }

        /// Walks all pages down or up, while entries come and go after every round.
        #[test]
        fn who_reads_from_page_to_page_misses_nothing_that_stays_and_sees_nothing_twice(
            mut sets in prop_oneof![sets(3), sets(30)],
            changes in proptest::collection::vec((any::<prop::sample::Index>(), entries(30), any::<bool>()), 0..300),
            direction in directions(),
            limit in 1..12_usize,
        ) {
            let mut throughout: BTreeSet<(usize, Entry)> = BTreeSet::new();
            for (at, set) in sets.iter().enumerate() {
                throughout.extend(set.iter().map(|entry| (at, entry.clone())));
            }
            let mut changes = changes.into_iter();
            let mut seen: BTreeMap<Entry, usize> = BTreeMap::new();
            let mut from = match direction { Direction::Older => Cut::Top, Direction::Newer => Cut::Bottom };
            loop {
                let mut reading = Reading::new(direction, &from, limit + 1, sets.iter().map(|_| None));
                let mut found = read(&mut sets, &mut reading, |sets| {
                    for (at, entry, comes) in changes.by_ref().take(5) {
                        let at = at.index(sets.len());
                        if comes {
                            sets[at].insert(entry);
                        } else {
                            sets[at].remove(&entry);
                            throughout.remove(&(at, entry));
                        }
                    }
                });
                let has_more = found.len() > limit;
                found.truncate(limit);
                for entry in &found {
                    *seen.entry(entry.clone()).or_default() += 1;
                }
                match found.pop() {
                    Some(last) if has_more => from = direction.past(last),
                    _ => break,
                }
            }
            prop_assert!(seen.values().all(|times| *times == 1), "{:?}", seen);
            for (_, entry) in &throughout {
                prop_assert!(seen.contains_key(entry), "{:?} is missing", entry);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(swept(60, 300)))]

        /// The same by one reading that goes on, among more ties than are passed over without an offset.
        #[test]
        fn a_reading_that_goes_on_misses_nothing_that_stays_and_meets_nothing_twice(
            set in proptest::collection::btree_set((0..2_u64, 0..400_u64), 0..500),
            changes in proptest::collection::vec((0..2_u64, 0..400_u64, any::<bool>()), 0..600),
            at_once in 1..60_usize,
            direction in directions(),
            wanted in 1..90_usize,
        ) {
            let mut sets: [Set; 1] = [set.into_iter().map(|(score, member)| entry(score, member)).collect()];
            let mut throughout = sets[0].clone();
            let mut changes = changes.into_iter();
            let from = match direction { Direction::Older => Cut::Top, Direction::Newer => Cut::Bottom };
            let mut reading = Reading::new(direction, &from, 0, [None]);
            let mut seen: Vec<Entry> = Vec::new();
            loop {
                reading.want(wanted, None);
                let found = read(&mut sets, &mut reading, |sets| {
                    for (score, member, comes) in changes.by_ref().take(at_once) {
                        let entry = entry(score, member);
                        if comes {
                            sets[0].insert(entry);
                        } else {
                            sets[0].remove(&entry);
                            throughout.remove(&entry);
                        }
                    }
                });
                prop_assert!(found.len() <= wanted);
                if found.is_empty() {
                    break;
                }
                seen.extend(found);
            }
            prop_assert!(seen.is_sorted_by(|a, b| direction.compare(a, b).is_lt()), "{:?}", seen);
            for entry in &throughout {
                prop_assert!(seen.contains(entry), "{:?} is missing", entry);
            }
        }
    }

    #[test]
    fn many_ties_are_passed_over_in_growing_chunks_also_while_they_are_deleted() {
        for deleted in [0, 3_000] {
            for direction in [Direction::Older, Direction::Newer] {
                let mut set: Set = (0..30_000)
                    .map(|member| entry(5, 100_000 + member))
                    .collect();
                set.extend([entry(4, 1), entry(6, 1)]);
                let from = match direction {
                    Direction::Older => Cut::Below(entry(5, 110_000)),
                    Direction::Newer => Cut::Above(entry(5, 120_000)),
                };
                let mut sets = [set];
                let mut reading = Reading::new(direction, &from, 11, [None]);
                let found = read(&mut sets, &mut reading, |sets| {
                    // From the end where the read begins, and never what it is to find.
                    for _ in 0..deleted {
                        let passed =
                            |entry: &&Entry| entry.score == 5 && !direction.reaches(&from, entry);
                        let gone = match direction {
                            Direction::Older => sets[0].iter().rev().find(passed).cloned(),
                            Direction::Newer => sets[0].iter().find(passed).cloned(),
                        };
                        gone.map(|gone| sets[0].remove(&gone));
                    }
                });
                let from_model = expected(&sets, &[None], direction, &from, 11);
                assert_eq!(found, from_model);
                let most = 3 + 20_000_usize.div_ceil(CHUNK_MAX) + if deleted > 0 { 6 } else { 0 };
                assert!(
                    reading.rounds <= most,
                    "{} rounds, deleted {deleted}",
                    reading.rounds
                );
                assert!(deleted > 0 || reading.entries_read < 21_000 + CHUNK_MAX);
            }
        }
    }

    #[test]
    fn an_offset_that_overshoots_because_ties_were_deleted_passes_over_nothing() {
        let mut overshot = 0;
        for direction in [Direction::Older, Direction::Newer] {
            // 200 to be passed over, then 200 to be read. The third read has an offset.
            let all: Set = (0..400).map(|member| entry(5, 1_000 + member)).collect();
            let from = match direction {
                Direction::Older => Cut::Below(entry(5, 1_200)),
                Direction::Newer => Cut::Above(entry(5, 1_199)),
            };
            for (round, deleted) in
                (1..5).flat_map(|round| (0..=200).step_by(swept(5, 1)).map(move |d| (round, d)))
            {
                let mut sets = [all.clone()];
                let mut reading = Reading::new(direction, &from, 11, [None]);
                let mut rounds = 0;
                let found = read(&mut sets, &mut reading, |sets| {
                    rounds += 1;
                    if rounds == round {
                        let passed = |entry: &Entry| !direction.reaches(&from, entry);
                        let gone: Vec<Entry> =
                            sets[0].iter().filter(|e| passed(e)).cloned().collect();
                        gone.iter().take(deleted).for_each(|gone| {
                            sets[0].remove(gone);
                        });
                    }
                });
                let model = expected(std::slice::from_ref(&all), &[None], direction, &from, 11);
                assert_eq!(
                    found, model,
                    "{direction:?}, {deleted} deleted after round {round}"
                );
                overshot += usize::from(rounds > 3);
                assert!(rounds <= 5, "{rounds} rounds");
            }
        }
        assert!(
            overshot > swept(20, 100),
            "only {overshot} reads were led too far"
        );
    }

    #[test]
    fn a_page_of_50_of_500_authors_takes_as_few_entries_as_is_said() {
        assert_eq!(first_count(51, 500), 2);
        let everyone = |score: &dyn Fn(u64, u64) -> u64| -> Vec<Set> {
            (0..500)
                .map(|author| {
                    (0..60)
                        .map(|post| entry(score(author, post), author * 60 + post))
                        .collect()
                })
                .collect()
        };
        let cost = |mut sets: Vec<Set>| {
            let floors = vec![None; sets.len()];
            let mut reading = Reading::new(Direction::Older, &Cut::Top, 51, floors.iter().copied());
            let found = read(&mut sets, &mut reading, |_| ());
            assert_eq!(
                found,
                expected(&sets, &floors, Direction::Older, &Cut::Top, 51)
            );
            (reading.rounds, reading.entries_read)
        };
        let mixed = cost(everyone(&|author, post| {
            (author * 7_919 + post * 104_729) % 1_000_003
        }));
        assert_eq!(mixed, (1, 1_000));
        let of_one = cost(everyone(&|author, post| author * 1_000 + post));
        // As bad as it gets: the newest are of authors who each have just as much there as was asked for, and so are asked again.
        assert_eq!(of_one, (2, 1_650));
        let worst = cost(everyone(&|author, post| match (author, post) {
            (..25, 58..) => 1_000_000 - author,
            (..25, _) => 900_000,
            _ => post,
        }));
        assert_eq!(worst, (2, 1_675));
    }

    #[test]
    fn a_reply_is_read_by_either_protocol_and_nothing_is_passed_over() {
        let text = |text: &str| Value::BulkString(text.into());
        let read = |reply| super::entries::<u64>(reply);
        let resp2 = Value::Array(vec![
            text("7"),
            text("9007199254740991"),
            text("8"),
            text("-0"),
        ]);
        let resp3 = Value::Array(vec![
            Value::Array(vec![text("7"), Value::Double(9_007_199_254_740_991.0)]),
            Value::Array(vec![text("8"), Value::Double(-0.0)]),
        ]);
        for reply in [resp2, resp3] {
            assert_eq!(read(reply).unwrap(), [entry(SCORE_END - 1, 7), entry(0, 8)]);
        }
        let mut said = Vec::new();
        for (member, score) in [
            ("7", "9007199254740992"),
            ("7", "1.5"),
            ("7", "-1"),
            ("7", "inf"),
            ("7", "nan"),
            ("007", "1"),
            (&"7".repeat(ID_BYTES_MAX + 1), "1"),
        ] {
            let error = read(Value::Array(vec![text(member), text(score)])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedReply);
            said.push(error.to_string());
        }
        for odd in [
            Value::Nil,
            Value::Array(vec![text("7")]),
            Value::Array(vec![text("7"), text("x")]),
        ] {
            said.push(read(odd).unwrap_err().to_string());
        }
        insta::assert_snapshot!(said.join("\n"), @r#"
an entry has the score 9007199254740992, which is no integer from 0 to below 2^53 (9007199254740992): no timeline has written it. Is this another program's key?
an entry has the score 1.5, which is no integer from 0 to below 2^53 (9007199254740992): no timeline has written it. Is this another program's key?
an entry has the score -1, which is no integer from 0 to below 2^53 (9007199254740992): no timeline has written it. Is this another program's key?
an entry has the score inf, which is no integer from 0 to below 2^53 (9007199254740992): no timeline has written it. Is this another program's key?
an entry has the score NaN, which is no integer from 0 to below 2^53 (9007199254740992): no timeline has written it. Is this another program's key?
an entry with the score 1 is no id of this timeline: no u64 is written so. Is this another program's key?
an entry with the score 1 has 1025 bytes; ids have at most 1024, so that they fit into cursors
the reply is not a list of members with scores
the reply is not a list of members with scores
the reply is not a list of members with scores
"#);
    }
}
