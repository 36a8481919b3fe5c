//! A walk: one set read by SSCAN in chunks that grow, each chunk held against the other sets. Memory is that of two chunks, and of a bounded
//! memory of what was shown.
//!
//! A cursor means something only to the process that gave it, and for the node's data there. So a walk notes on which connection its cursor was
//! given ([`Place`]): while that connection lives, the process is the same and the node has not moved. If it is gone, the walk begins its set
//! anew and leaves out what it has shown, as long as it remembers all of that; else it is stale.

use super::cost::{self, Facts};
use super::engine::{Asked, Sampled, Stop, scanned};
use super::explained::Done;
use super::plan::{Action, Operation};
use super::sets::{self, Seed};
use crate::pool::Server;
use redis::Value;
use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// How often a walk begins a set anew before it gives up.
const RESTARTS_MAX: u32 = 16;
/// Memory for what was shown, at most; `limits.gather_bytes_max` if that is less.
const SHOWN_BYTES_MAX: u64 = 64 << 20;
/// What one member takes in a hash table of its fingerprints, at the worst load.
const SHOWN_BYTES_EACH: u64 = 48;

/// The connection on which a node's cursors are given.
pub(super) struct Place {
    server: Arc<Server>,
    incarnation: u32,
}

impl Place {
    /// Where this key's node is served now.
    fn of(asked: &Asked<'_>, at: usize) -> Place {
        let current = asked.scatter.control().load();
        let node = asked.nodes[at];
        let server = current.server_of(node).clone();
        let incarnation = server.link(asked.manner.lane, node).outbox().incarnation();
        Place {
            server,
            incarnation,
        }
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        Arc::ptr_eq(&self.server, &other.server) && self.incarnation == other.incarnation
    }
}

pub(crate) struct Walk {
    reader: Reader,
    sieve: Sieve,
    /// Read, and not yet held against the other sets.
    ready: Option<Chunk>,
}

/// Members of one set, as they were read.
struct Chunk {
    of: usize,
    members: Vec<Value>,
}

/// Reads the sources, one after the other.
struct Reader {
    /// Those not read to the end; the first is being read.
    sources: VecDeque<usize>,
    /// What came with the sizes, by set.
    samples: Vec<Option<(Vec<Value>, u64)>>,
    places: Vec<Place>,
    /// Of the first source; `None` before its sample was taken.
    cursor: Option<u64>,
    count: u64,
    count_max: u64,
    restarts: u32,
}

/// Holds chunks against the other sets, and against what was shown.
struct Sieve {
    operation: Operation,
    probed: Vec<usize>,
    /// Other sets that are held here.
    in_hand: Vec<HashSet<Vec<u8>, Seed>>,
    shown: Shown,
}

impl Walk {
    /// Where each key's node is served; to be asked before the sizes are.
    pub(super) fn places(asked: &Asked<'_>) -> Vec<Place> {
        (0..asked.keys.len())
            .map(|at| Place::of(asked, at))
            .collect()
    }

    /// A walk over the set at `base`; of a union, over all sets.
    pub(super) fn new(
        asked: &Asked<'_>,
        base: usize,
        mut sampled: Vec<Sampled>,
        before: Vec<Place>,
    ) -> Result<Walk, Stop> {
        let sources: VecDeque<usize> = match asked.operation {
            Operation::Union => (0..sampled.len()).collect(),
            _ => VecDeque::from([base]),
        };
        for at in &sources {
            if sampled[*at].cursor != 0 && Place::of(asked, *at) != before[*at] {
                return Err(Stop::Stale);
            }
        }
        let mut probed = Vec::new();
        let mut in_hand = Vec::new();
        if asked.operation != Operation::Union {
            for at in (0..sampled.len()).filter(|at| *at != base) {
                if sampled[at].facts.is_whole {
                    in_hand.push(hashed(std::mem::take(&mut sampled[at].members)));
                } else {
                    probed.push(at);
                }
            }
        }
        let bytes_max = asked.current.config.limits().gather_bytes_max;
        // A chunk read, one looked up and its requests fit into the limit, whatever the length of members.
        let of_one = sampled
            .iter()
            .map(|set| set.facts.held(1))
            .max()
            .unwrap_or(1);
        let count_max = (bytes_max / 4 / of_one.max(1)).max(1);
        let samples = sampled
            .into_iter()
            .enumerate()
            .map(|(at, set)| sources.contains(&at).then_some((set.members, set.cursor)))
            .collect();
        Ok(Walk {
            reader: Reader {
                sources,
                samples,
                places: before,
                cursor: None,
                count: cost::SAMPLE_MEMBERS,
                count_max,
                restarts: 0,
            },
            sieve: Sieve {
                operation: asked.operation,
                probed,
                in_hand,
                shown: Shown::new(bytes_max.min(SHOWN_BYTES_MAX) / SHOWN_BYTES_EACH),
            },
            ready: None,
        })
    }

    /// Fetches sets that are better held here than probed, as long as half the limit holds them.
    pub(super) async fn take_in(
        &mut self,
        asked: &mut Asked<'_>,
        facts: &[Facts],
        sets: &[usize],
    ) -> Result<(), Stop> {
        let mut room = asked.current.config.limits().gather_bytes_max / 2;
        let mut groups = Vec::new();
        for at in sets.iter().filter(|at| self.sieve.probed.contains(at)) {
            // Twice, as a reply and as a table.
            let held = 2 * facts[*at].held(facts[*at].members);
            if held <= room {
                room -= held;
                groups.push(vec![*at]);
            }
        }
        for (group, members) in groups
            .iter()
            .zip(asked.fetch(&groups, Action::Fetch).await?)
        {
            self.sieve.probed.retain(|at| *at != group[0]);
            self.sieve.in_hand.push(hashed(members));
        }
        Ok(())
    }

    /// The next members of the answer, perhaps none; `None` at the end. One round trip: the next chunk is read while one is held against the
    /// other sets.
    ///
    /// # Errors
    /// `Stale` when its cursor is void and it cannot begin anew.
    pub(super) async fn next(&mut self, asked: &mut Asked<'_>) -> Result<Option<Vec<Value>>, Stop> {
        if self.ready.is_none() {
            let (chunk, done) = self.read(asked).await?;
            asked.log.round(&done);
            let Some(chunk) = chunk else {
                return Ok(None);
            };
            self.ready = Some(chunk);
        }
        let Some(chunk) = self.ready.take() else {
            return Ok(None);
        };
        let (read, sifted) = {
            let asked = &*asked;
            futures::join!(self.reader.next(asked), self.sieve.sift(asked, chunk))
        };
        let (members, mut done) = sifted?;
        match read {
            Ok((chunk, of_reading)) => {
                done.extend(of_reading);
                self.ready = chunk;
            }
            Err(Stop::Stale) => self.begin_anew(asked)?,
            Err(stop) => return Err(stop),
        }
        asked.log.round(&done);
        Ok(Some(members))
    }

    async fn read(&mut self, asked: &Asked<'_>) -> Result<(Option<Chunk>, Vec<Done>), Stop> {
        loop {
            match self.reader.next(asked).await {
                Err(Stop::Stale) => self.begin_anew(asked)?,
                other => return other,
            }
        }
    }

    /// Reads its set from the start again, if it remembers all that it has shown.
    fn begin_anew(&mut self, asked: &Asked<'_>) -> Result<(), Stop> {
        let is_late = std::time::Instant::now() >= asked.manner.deadline;
        if !self.sieve.shown.is_complete || self.reader.restarts >= RESTARTS_MAX || is_late {
            return Err(Stop::Stale);
        }
        self.reader.restarts += 1;
        self.reader.cursor = Some(0);
        // Sets still to be read find out for themselves whether their samples' cursors are void.
        if let Some(&at) = self.reader.sources.front() {
            self.reader.places[at] = Place::of(asked, at);
        }
        Ok(())
    }

    /// Some member may have been shown twice: the memory of them was full.
    pub(super) fn may_repeat(&self) -> bool {
        !self.sieve.shown.is_complete
    }
}

impl Reader {
    async fn next(&mut self, asked: &Asked<'_>) -> Result<(Option<Chunk>, Vec<Done>), Stop> {
        let Some(&of) = self.sources.front() else {
            return Ok((None, Vec::new()));
        };
        let (cursor, members, done) = match self.cursor {
            None => {
                let (members, cursor) = self.samples[of].take().unwrap_or_default();
                (cursor, members, Vec::new())
            }
            Some(cursor) => {
                self.check_place(asked, of)?;
                self.count = cost::next_chunk(self.count).min(self.count_max);
                let mut cmd = redis::cmd(asked.kinds[of].scan());
                cmd.arg(asked.keys[of])
                    .arg(cursor)
                    .arg("COUNT")
                    .arg(self.count);
                let mut traffic = asked.log.count_all(std::slice::from_ref(&cmd));
                let reply = asked.call(&cmd, asked.nodes[of]).await?;
                asked.log.count_reply(&mut traffic, &reply);
                // Asked and answered on one and the same connection, or what the cursor meant is not known.
                self.check_place(asked, of)?;
                if let Value::ServerError(error) = reply {
                    asked.check_kind(&error)?;
                    return Err(Stop::Refused(error, Some(of)));
                }
                let found = scanned(reply, asked.kinds[of]).ok_or_else(|| asked.odd())?;
                (
                    found.cursor,
                    found.members,
                    vec![(Action::Scan, vec![of], traffic)],
                )
            }
        };
        let bytes = members
            .iter()
            .map(|member| super::bytes_held(member) as u64)
            .sum();
        asked.check_held(bytes)?;
        if cursor == 0 {
            self.sources.pop_front();
            self.cursor = None;
            self.restarts = 0;
        } else {
            self.cursor = Some(cursor);
        }
        Ok((Some(Chunk { of, members }), done))
    }

    fn check_place(&self, asked: &Asked<'_>, of: usize) -> Result<(), Stop> {
        if Place::of(asked, of) == self.places[of] {
            Ok(())
        } else {
            Err(Stop::Stale)
        }
    }
}

impl Sieve {
    /// What of a chunk is in the answer and was not shown yet.
    async fn sift(
        &mut self,
        asked: &Asked<'_>,
        chunk: Chunk,
    ) -> Result<(Vec<Value>, Vec<Done>), Stop> {
        let mut members = chunk.members;
        let mut here = HashSet::with_capacity_and_hasher(
            members.len(),
            BuildHasherDefault::<Folded>::default(),
        );
        members.retain(|member| {
            let member = sets::bytes(member);
            let print = self.shown.print(member);
            let in_hand = self
                .in_hand
                .iter()
                .all(|set| self.operation.keeps(set.contains(member)));
            in_hand && !self.shown.has(print) && here.insert(print)
        });
        let earlier: Vec<usize> = match self.operation {
            // What is in an earlier set was shown when that was read.
            Operation::Union if !self.shown.is_complete => (0..chunk.of).collect(),
            Operation::Union => Vec::new(),
            _ => self.probed.clone(),
        };
        let (keep, done) = asked.look_up(&members, &earlier).await?;
        let members = sets::kept(members, &keep);
        for member in &members {
            let print = self.shown.print(sets::bytes(member));
            self.shown.add(print);
        }
        Ok((members, done))
    }
}

fn hashed(members: Vec<Value>) -> HashSet<Vec<u8>, Seed> {
    let mut set = HashSet::with_capacity_and_hasher(members.len(), Seed::random());
    set.extend(members.into_iter().filter_map(|member| match member {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }));
    set
}

/// Remembers what was shown by 128 bits of hash, up to a number of members; beyond it, the last ones, at least half of that number.
///
/// SSCAN gives a member again when its table shrinks meanwhile, and then within the members of one chain of the smaller table: soon after,
/// in the order of the scan.
struct Shown {
    seed: u64,
    recent: Prints,
    older: Prints,
    each_max: usize,
    /// Nothing was forgotten.
    is_complete: bool,
}

type Prints = HashSet<u128, BuildHasherDefault<Folded>>;

impl Shown {
    fn new(members_max: u64) -> Shown {
        Shown {
            seed: fastrand::u64(..),
            recent: Prints::default(),
            older: Prints::default(),
            each_max: usize::try_from(members_max / 2)
                .unwrap_or(usize::MAX)
                .max(1),
            is_complete: true,
        }
    }

    fn print(&self, member: &[u8]) -> u128 {
        xxhash_rust::xxh3::xxh3_128_with_seed(member, self.seed)
    }

    fn has(&self, print: u128) -> bool {
        self.recent.contains(&print) || self.older.contains(&print)
    }

    fn add(&mut self, print: u128) {
        if self.recent.len() >= self.each_max {
            self.is_complete &= self.older.is_empty();
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(print);
    }
}

/// The hash of what is a hash already.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u128(&mut self, print: u128) {
        self.0 = print as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_shown_is_remembered_up_to_the_bound_and_then_the_last_half_of_it() {
        let mut shown = Shown::new(100);
        let prints: Vec<u128> = (0..300)
            .map(|i: u32| shown.print(&i.to_le_bytes()))
            .collect();
        for print in &prints[..100] {
            shown.add(*print);
        }
        assert!(shown.is_complete);
        assert!(prints[..100].iter().all(|print| shown.has(*print)));
        for (at, print) in prints.iter().enumerate().skip(100) {
            shown.add(*print);
            assert!(!shown.is_complete);
            assert!(prints[at - 49..=at].iter().all(|print| shown.has(*print)));
            assert!(shown.recent.len() + shown.older.len() <= 100);
        }
    }
}
