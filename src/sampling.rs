//! Looking at the keys of one server, one SCAN after the other. Asks nothing itself: it says the next question and takes the answer in.
//!
//! **Why a run of keys is a fair sample.** Redis keeps keys in a table whose place for a key is SipHash of the key, with a seed drawn at the
//! start of the process, and SCAN goes through that table in an order of its own. So whatever keys are called, and whatever is in them, which
//! of them share a run is a matter of the seed: a run is a simple random sample without replacement, and a second random place to start
//! from would add nothing. It stays so while a table grows or shrinks, as SCAN then takes both tables' parts of the same hashes.
//! `tests/integration/survey.rs` measures it. What a run misses are keys that have expired and are still counted by DBSIZE.

use crate::hash::xxh3;
use redis::{Cmd, FromRedisValue, Value, cmd};
use std::collections::HashSet;

/// What one SCAN is to bring: a fraction of a millisecond of the server's time. At most ten times as many places of the table are looked at.
pub(crate) const COUNT: usize = 250;
/// A table that has shrunk is mostly empty, and scanning all of it is no longer a sample.
const EMPTY_ANSWERS_MAX: usize = 1_000;
/// Ours: not placed.
const RESERVED: &[u8] = b"keyway:";

/// Whether a key is keyway's own, which no placement places.
pub(crate) fn is_reserved(key: &[u8]) -> bool {
    key.starts_with(RESERVED)
}

/// A way through the keys of one database.
#[derive(Debug)]
pub(crate) struct Walk {
    cursor: u64,
    wanted: usize,
    /// Hashes of the keys that were met, so that none counts twice; `None` on a walk over everything, whose memory would have no bound.
    met: Option<HashSet<u64>>,
    found: usize,
    empty_answers: usize,
    /// Began at 0, so that the end of the table is the end of the walk.
    is_last_lap: bool,
    is_complete: bool,
}

impl Walk {
    /// Up to `wanted` different keys (a few more, as an answer is taken whole) of a database of about `total`: all of it if it has no more
    /// than that, else from a random place on. Takes about 16 bytes of memory per key.
    pub(crate) fn sample(total: u64, wanted: usize) -> Walk {
        let is_whole = total <= wanted as u64;
        Walk {
            // Any number is a cursor: the server looks at as many bits as its table has.
            cursor: if is_whole { 0 } else { fastrand::u64(1..) },
            wanted,
            met: Some(HashSet::new()),
            found: 0,
            empty_answers: 0,
            is_last_lap: is_whole,
            is_complete: false,
        }
    }

    /// Every key, in constant memory. One that moves within the table while it grows or shrinks may be met twice; none that stays is missed.
    pub(crate) fn all() -> Walk {
        Walk {
            met: None,
            ..Walk::sample(0, usize::MAX)
        }
    }

    /// The next question; `None` at the end.
    pub(crate) fn question(&self) -> Option<Cmd> {
        let is_lost = self.met.is_some() && self.empty_answers >= EMPTY_ANSWERS_MAX;
        let is_done = self.is_complete || self.found >= self.wanted || is_lost;
        (!is_done).then(|| {
            let mut scan = cmd("SCAN");
            scan.arg(self.cursor).arg("COUNT").arg(COUNT);
            scan
        })
    }

    /// The keys of an answer that were not met before, keyway's own included, which do not count towards what is wanted.
    pub(crate) fn take(&mut self, answer: Option<Value>) -> Result<Vec<Vec<u8>>, String> {
        let (next, mut keys): (u64, Vec<Vec<u8>>) = understand(answer)?;
        if let Some(met) = &mut self.met {
            keys.retain(|key| met.insert(xxh3(key)));
        }
        let fresh = keys.iter().filter(|key| !is_reserved(key)).count();
        self.found += fresh;
        self.empty_answers += usize::from(fresh == 0);
        self.cursor = next;
        if next == 0 {
            self.is_complete = self.is_last_lap;
            self.is_last_lap = true;
        }
        Ok(keys)
    }

    /// Whether every key of the database was met.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }
}

/// A reply as what it must be, or what the server said in its place.
pub(crate) fn understand<T: FromRedisValue>(reply: Option<Value>) -> Result<T, String> {
    match reply {
        Some(Value::ServerError(error)) => Err(format!(
            "{} {}",
            error.code(),
            error.details().unwrap_or_default()
        )),
        Some(reply) => redis::from_redis_value(reply).map_err(|error| error.to_string()),
        None => Err("no reply".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(next: u64, keys: &[&str]) -> Option<Value> {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        Some(Value::Array(vec![
            text(&next.to_string()),
            Value::Array(keys.iter().map(|key| text(key)).collect()),
        ]))
    }

    #[test]
    fn a_small_database_is_walked_from_the_begin_to_the_end() {
        let mut walk = Walk::sample(3, 3);
        assert_eq!(walk.cursor, 0);
        assert_eq!(walk.take(answer(7, &["a", "keyway:x"])).unwrap().len(), 2);
        assert!(walk.question().is_some());
        assert_eq!(walk.take(answer(0, &["b", "a"])).unwrap(), [b"b"]);
        assert!(walk.is_complete() && walk.question().is_none());
    }

    #[test]
    fn a_large_database_is_walked_from_anywhere_and_past_its_end_once() {
        let mut walk = Walk::sample(1_000, 3);
        assert_ne!(walk.cursor, 0);
        walk.take(answer(0, &["a"])).unwrap();
        assert!(!walk.is_complete());
        walk.take(answer(5, &["b"])).unwrap();
        assert!(walk.question().is_some());
        walk.take(answer(6, &["c", "d"])).unwrap();
        assert!(walk.question().is_none() && !walk.is_complete());
    }

    #[test]
    fn a_sample_of_an_empty_table_ends_and_a_walk_over_all_does_not_give_up() {
        let (mut sample, mut all) = (Walk::sample(1_000, 3), Walk::all());
        for _ in 0..EMPTY_ANSWERS_MAX {
            sample.take(answer(5, &[])).unwrap();
            all.take(answer(5, &[])).unwrap();
        }
        assert!(sample.question().is_none() && all.question().is_some());
    }

    #[test]
    fn what_is_no_answer_is_an_error_that_says_what_came() {
        let mut walk = Walk::all();
        assert!(walk.take(None).is_err());
        assert!(walk.take(Some(Value::Int(3))).is_err());
        let scan = walk.question().unwrap().get_packed_command();
        assert!(String::from_utf8(scan).unwrap().contains("COUNT"));
    }
}
