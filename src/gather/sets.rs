//! Sets: the algebra of members that several servers sent, and what SINTERCARD's arguments say.

use super::{Wrong, integer};
use redis::Value;
use std::collections::HashSet;

/// The members of one set, in any order.
pub(super) type Members = Vec<Vec<u8>>;

/// The members of a reply; `None` if it is not a list of strings.
pub(super) fn members(reply: Value) -> Option<Members> {
    let (Value::Array(items) | Value::Set(items)) = reply else {
        return None;
    };
    items
        .into_iter()
        .map(|item| match item {
            Value::BulkString(member) => Some(member),
            _ => None,
        })
        .collect()
}

/// Members of every set. Only the smallest is hashed.
pub(super) fn intersection(mut sets: Vec<Members>) -> Members {
    sets.sort_by_key(Vec::len);
    let mut sets = sets.into_iter();
    let mut common: HashSet<Vec<u8>> = sets.next().unwrap_or_default().into_iter().collect();
    for set in sets {
        common = set
            .into_iter()
            .filter_map(|member| common.take(&member))
            .collect();
    }
    common.into_iter().collect()
}

/// Members of any set.
pub(super) fn union(sets: Vec<Members>) -> Members {
    let all: HashSet<Vec<u8>> = sets.into_iter().flatten().collect();
    all.into_iter().collect()
}

/// Members of the first set and of no other.
pub(super) fn difference(sets: Vec<Members>) -> Members {
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

    fn sorted(mut members: Members) -> Members {
        members.sort();
        members
    }

    proptest! {
        #[test]
        fn the_algebra_is_that_of_sets(sets in vec(btree_set("[a-f]{0,2}".prop_map(String::into_bytes), 0..30), 1..5)) {
            let lists = || sets.iter().map(|set| set.iter().cloned().collect()).collect::<Vec<Members>>();
            type Set = BTreeSet<Vec<u8>>;
            let fold = |f: fn(Set, &Set) -> Set| -> Members {
                sets[1..].iter().fold(sets[0].clone(), f).into_iter().collect()
            };
            prop_assert_eq!(sorted(intersection(lists())), fold(|a, b| &a & b));
            prop_assert_eq!(sorted(union(lists())), fold(|a, b| &a | b));
            prop_assert_eq!(sorted(difference(lists())), fold(|a, b| &a - b));
        }
    }

    #[test]
    fn only_lists_of_strings_are_members() {
        let member = || Value::BulkString(b"m".to_vec());
        assert_eq!(
            members(Value::Array(vec![member()])),
            Some(vec![b"m".to_vec()])
        );
        assert_eq!(
            members(Value::Set(vec![member()])),
            Some(vec![b"m".to_vec()])
        );
        assert_eq!(members(Value::Array(vec![member(), Value::Nil])), None);
        assert_eq!(members(Value::Nil), None);
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
