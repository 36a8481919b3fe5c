//! Sets: the algebra of members that several servers sent, and what SINTERCARD's arguments say.

use super::{Wrong, integer};
use redis::Value;
use std::collections::HashSet;

/// The members of a reply; `None` if it is not a list of strings.
pub(super) fn members(reply: Value) -> Option<Vec<Vec<u8>>> {
    let (Value::Array(items) | Value::Set(items)) = reply else { return None };
    items
        .into_iter()
        .map(|item| match item {
            Value::BulkString(member) => Some(member),
            _ => None,
        })
        .collect()
}

/// Members of every set. Only the smallest is hashed.
pub(super) fn intersection(mut sets: Vec<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    sets.sort_by_key(Vec::len);
    let mut sets = sets.into_iter();
    let mut common: HashSet<Vec<u8>> = sets.next().unwrap_or_default().into_iter().collect();
    for set in sets {
        common = set.into_iter().filter_map(|member| common.take(&member)).collect();
    }
    common.into_iter().collect()
}

/// Members of any set.
pub(super) fn union(sets: Vec<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    let all: HashSet<Vec<u8>> = sets.into_iter().flatten().collect();
    all.into_iter().collect()
}

/// Members of the first set and of no other.
pub(super) fn difference(sets: Vec<Vec<Vec<u8>>>) -> Vec<Vec<u8>> {
    let mut sets = sets.into_iter();
    let mut left: HashSet<Vec<u8>> = sets.next().unwrap_or_default().into_iter().collect();
    for member in sets.flatten() {
        left.remove(&member);
    }
    left.into_iter().collect()
}

/// SINTERCARD's LIMIT; 0 if there is none. The last one counts.
pub(super) fn limit_of(args: &[&[u8]], keys: usize) -> Result<usize, Wrong> {
    if args.get(1).and_then(|count| integer(count)).is_none() {
        return Err(Wrong::KeyCount);
    }
    let mut limit = 0;
    let mut options = args.iter().skip(2 + keys);
    while let Some(option) = options.next() {
        let Some(value) = options.next().filter(|_| option.eq_ignore_ascii_case(b"LIMIT")) else { return Err(Wrong::Syntax) };
        limit = limit_value(value)?;
    }
    Ok(limit)
}

/// The value of a LIMIT.
pub(super) fn limit_value(text: &[u8]) -> Result<usize, Wrong> {
    integer(text).and_then(|limit| usize::try_from(limit).ok()).ok_or(Wrong::NegativeLimit)
}
