//! Sets: the algebra of members that several servers sent, and what SINTERCARD's arguments say.

use super::cost::{PIECE_BYTES_MAX, PROBE_BYTES_MAX, PROBE_MEMBERS_MAX};
use super::{Wrong, integer};
use redis::Value;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The elements of a list of strings; `None` if it is none.
pub(super) fn items(reply: Value) -> Option<Vec<Value>> {
    let (Value::Array(items) | Value::Set(items)) = reply else {
        return None;
    };
    let are_strings = items
        .iter()
        .all(|item| matches!(item, Value::BulkString(_)));
    are_strings.then_some(items)
}

/// The bytes of one of [`items`].
pub(super) fn bytes(member: &Value) -> &[u8] {
    match member {
        Value::BulkString(bytes) => bytes,
        _ => &[],
    }
}

/// Members of every set. Only the smallest is hashed.
pub(super) fn intersection(mut lists: Vec<Vec<Value>>) -> Vec<Value> {
    lists.sort_by_key(Vec::len);
    let mut lists = lists.into_iter();
    let smallest = lists.next().unwrap_or_default();
    let others = lists.len() as u32;
    if others == 0 || smallest.is_empty() {
        return smallest;
    }
    // In how many of the others each was found.
    let mut found = vec![0; smallest.len()];
    let at = positions(&smallest);
    for (before, list) in (0..).zip(lists) {
        for member in &list {
            if let Some(at) = at.get(bytes(member))
                && found[*at as usize] == before
            {
                found[*at as usize] = before + 1;
            }
        }
    }
    drop(at);
    let mut found = found.into_iter();
    let mut common = smallest;
    common.retain(|_| found.next() == Some(others));
    common
}

/// Members of any set.
pub(super) fn union(mut lists: Vec<Vec<Value>>) -> Vec<Value> {
    if lists.len() < 2 {
        return lists.pop().unwrap_or_default();
    }
    unique(lists.into_iter().flatten().collect())
}

/// Every member once.
pub(super) fn unique(mut members: Vec<Value>) -> Vec<Value> {
    let mut seen = Seen::with_capacity(members.len());
    let is_new: Vec<bool> = members
        .iter()
        .map(|member| seen.is_new(bytes(member)))
        .collect();
    drop(seen);
    let mut is_new = is_new.into_iter();
    members.retain(|_| is_new.next() == Some(true));
    members
}

/// Members of the first set and of no other. The smaller side is hashed.
pub(super) fn difference(mut first: Vec<Value>, others: Vec<Vec<Value>>) -> Vec<Value> {
    let taken: usize = others.iter().map(Vec::len).sum();
    if taken == 0 || first.is_empty() {
        return first;
    }
    if taken < first.len() {
        let mut gone = Seen::with_capacity(taken);
        for member in others.iter().flatten() {
            gone.is_new(bytes(member));
        }
        first.retain(|member| !gone.0.contains(bytes(member)));
        return first;
    }
    let mut is_left = vec![true; first.len()];
    let at = positions(&first);
    for member in others.iter().flatten() {
        if let Some(at) = at.get(bytes(member)) {
            is_left[*at as usize] = false;
        }
    }
    drop(at);
    kept(first, &is_left)
}

/// Those that are to be kept.
pub(super) fn kept(mut members: Vec<Value>, keep: &[bool]) -> Vec<Value> {
    let mut keep = keep.iter();
    members.retain(|_| keep.next() == Some(&true));
    members
}

/// Cuts members into what one command carries.
pub(crate) fn chunks(members: &[Value]) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let (mut start, mut held) = (0, 0);
    for (at, member) in members.iter().enumerate() {
        let bytes = bytes(member).len();
        let is_full = at - start >= PROBE_MEMBERS_MAX || held + bytes > PROBE_BYTES_MAX;
        if is_full && at > start {
            chunks.push(start..at);
            (start, held) = (at, 0);
        }
        held += bytes;
    }
    if start < members.len() {
        chunks.push(start..members.len());
    }
    chunks
}

/// The [`chunks`], as many together as are looked up in `sets` sets in one round trip.
pub(super) fn pieces(members: &[Value], sets: usize) -> Vec<Vec<Range<usize>>> {
    let mut pieces: Vec<Vec<Range<usize>>> = Vec::new();
    let mut held = 0;
    for chunk in chunks(members) {
        let bytes = sets * bytes_of(&members[chunk.clone()]);
        match pieces.last_mut() {
            Some(piece) if held + bytes <= PIECE_BYTES_MAX => piece.push(chunk),
            _ => {
                pieces.push(vec![chunk]);
                held = 0;
            }
        }
        held += bytes;
    }
    pieces
}

/// In how many sets these are looked up at once, at most: in so many that one chunk for each is a piece.
pub(super) fn sets_at_once(members: &[Value]) -> usize {
    let largest = chunks(members)
        .into_iter()
        .map(|chunk| bytes_of(&members[chunk]))
        .max();
    (PIECE_BYTES_MAX / largest.unwrap_or(0).max(1)).max(1)
}

fn bytes_of(members: &[Value]) -> usize {
    let of_one = |member: &Value| size_of::<Value>() + bytes(member).len();
    members.iter().map(of_one).sum()
}

fn positions(members: &[Value]) -> HashMap<&[u8], u32, Seed> {
    let mut at = HashMap::with_capacity_and_hasher(members.len(), Seed::random());
    at.extend(members.iter().map(bytes).zip(0..));
    at
}

/// Tells what comes for the first time.
#[derive(Default)]
pub(super) struct Seen<'a>(HashSet<&'a [u8], Seed>);

impl<'a> Seen<'a> {
    fn with_capacity(members: usize) -> Seen<'a> {
        Seen(HashSet::with_capacity_and_hasher(members, Seed::random()))
    }

    pub(super) fn is_new(&mut self, member: &'a [u8]) -> bool {
        self.0.insert(member)
    }
}

/// xxh3 with a seed of its own for every table: several times as fast as the standard library's hash on short members, and nobody who adds
/// members can know which of them collide.
#[derive(Clone)]
pub(super) struct Seed(u64);

impl Seed {
    pub(super) fn random() -> Seed {
        Seed(fastrand::u64(..))
    }
}

impl Default for Seed {
    fn default() -> Seed {
        Seed::random()
    }
}

impl BuildHasher for Seed {
    type Hasher = Hash;

    fn build_hasher(&self) -> Hash {
        Hash(self.0)
    }
}

/// The seed, then the hash.
pub(super) struct Hash(u64);

impl Hasher for Hash {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The length, which a slice hashes before its bytes: xxh3 takes it in by itself.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// SINTERCARD's LIMIT; 0 if there is none. The last one counts.
pub(super) fn limit_of(args: &[&[u8]], keys: usize) -> Result<usize, Wrong> {
    if args.get(1).and_then(|count| integer(count)).is_none() {
        return Err(Wrong::KeyCount);
    }
    let mut limit = 0;
    let mut options = args.iter().skip(2 + keys);
    while let Some(option) = options.next() {
        let Some(value) = options
            .next()
            .filter(|_| option.eq_ignore_ascii_case(b"LIMIT"))
        else {
            return Err(Wrong::Syntax);
        };
        limit = limit_value(value)?;
    }
    Ok(limit)
}

/// The value of a LIMIT.
pub(super) fn limit_value(text: &[u8]) -> Result<usize, Wrong> {
    integer(text)
        .and_then(|limit| usize::try_from(limit).ok())
        .ok_or(Wrong::NegativeLimit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Members = Vec<Vec<u8>>;

    fn sorted(members: Vec<Value>) -> Members {
        let mut members: Members = members
            .iter()
            .map(|member| bytes(member).to_vec())
            .collect();
        members.sort();
        members
    }

    proptest! {
        #[test]
        fn the_algebra_is_that_of_sets(sets in vec(btree_set("[a-f]{0,2}".prop_map(String::into_bytes), 0..30), 1..5)) {
            let lists = || -> Vec<Vec<Value>> {
                sets.iter().map(|set| set.iter().cloned().map(Value::BulkString).collect()).collect()
            };
            type Set = BTreeSet<Vec<u8>>;
            let fold = |f: fn(Set, &Set) -> Set| -> Members {
                sets[1..].iter().fold(sets[0].clone(), f).into_iter().collect()
            };
            prop_assert_eq!(sorted(intersection(lists())), fold(|a, b| &a & b));
            prop_assert_eq!(sorted(union(lists())), fold(|a, b| &a | b));
            let mut others = lists();
            let first = others.remove(0);
            prop_assert_eq!(sorted(difference(first, others)), fold(|a, b| &a - b));
        }
    }

    #[test]
    fn what_one_command_carries_is_bounded_in_members_and_bytes() {
        let members = |count: usize, bytes: usize| vec![Value::BulkString(vec![0; bytes]); count];
        assert!(chunks(&[]).is_empty());
        assert_eq!(
            chunks(&members(2_500, 10)),
            [0..1_000, 1_000..2_000, 2_000..2_500]
        );
        assert_eq!(chunks(&members(5, 100 * 1024)), [0..2, 2..4, 4..5]);
        assert_eq!(chunks(&members(2, 1024 * 1024)), [0..1, 1..2]);
    }

    #[test]
    fn only_lists_of_strings_are_members() {
        let member = || Value::BulkString(b"m".to_vec());
        for list in [Value::Array(vec![member()]), Value::Set(vec![member()])] {
            assert_eq!(items(list), Some(vec![member()]));
        }
        assert_eq!(items(Value::Array(vec![member(), Value::Nil])), None);
        assert_eq!(items(Value::Nil), None);
    }

    #[test]
    fn a_piece_of_a_lookup_is_bounded_over_all_its_sets() {
        let members = vec![Value::BulkString(vec![0; 1_000]); 20_000];
        for sets in [1, 3, sets_at_once(&members)] {
            let pieces = pieces(&members, sets);
            assert!(pieces.len() > 1);
            for piece in &pieces {
                let bytes = sets * bytes_of(&members[piece[0].start..piece[piece.len() - 1].end]);
                assert!(bytes <= PIECE_BYTES_MAX, "{bytes} for {sets}");
            }
            let all: Vec<usize> = pieces.into_iter().flatten().flatten().collect();
            assert!(all.into_iter().eq(0..20_000));
        }
        assert_eq!(sets_at_once(&[]), PIECE_BYTES_MAX);
        assert_eq!(pieces(&members[..1], 1), [chunks(&members[..1])]);
    }

    #[test]
    fn a_limit_is_read_as_the_server_reads_it() {
        let read = |text: &str| {
            let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
            limit_of(&args, 2)
        };
        assert_eq!(read("SINTERCARD 2 a b"), Ok(0));
        assert_eq!(read("SINTERCARD 2 a b limit 3"), Ok(3));
        assert_eq!(read("SINTERCARD 2 a b LIMIT 3 LIMIT 0"), Ok(0));
        assert_eq!(read("SINTERCARD 2 a b LIMIT"), Err(Wrong::Syntax));
        assert_eq!(read("SINTERCARD 2 a b COUNT 3"), Err(Wrong::Syntax));
        assert_eq!(read("SINTERCARD 2 a b LIMIT 3 x"), Err(Wrong::Syntax));
        assert_eq!(read("SINTERCARD 2 a b LIMIT -1"), Err(Wrong::NegativeLimit));
        assert_eq!(read("SINTERCARD 2 a b LIMIT x"), Err(Wrong::NegativeLimit));
        assert_eq!(read("SINTERCARD 02 a b"), Err(Wrong::KeyCount));
    }
}
