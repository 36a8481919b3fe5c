//! What a worker is told and what it answers, as JSON lines; the Python worker reads the same.

use crate::layout::Layout;
use crate::results::Runtime;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    pub contestant: Contestant,
    pub runtime: Runtime,
    pub layout: Layout,
    /// The same servers behind a delay of every answer.
    pub delayed: Layout,
}

/// A column. Its name is its id in the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    Keyway,
    /// A new `Timeline` for each delivery: it knows nothing of any owner.
    KeywayCold,
    /// By hand, without trimming where there is something to trim.
    RedisRs,
    /// By hand, trimming after each ZADD.
    RedisRsTrim,
    /// Whole sets, combined in a `HashSet`.
    RedisRsFetch,
    /// The small set, then SMISMEMBER of the large one.
    RedisRsProbe,
    /// SMEMBERS of the small set and nothing else: no peer but what bytes are measured by.
    RedisRsSmall,
    /// In Python.
    Rb,
    /// The limit.
    RedisBenchmark,
}

impl Contestant {
    pub fn name(self) -> &'static str {
        match self {
            Contestant::Keyway => "keyway",
            Contestant::KeywayCold => "keyway-cold",
            Contestant::RedisRs => "redis-rs",
            Contestant::RedisRsTrim => "redis-rs-trim",
            Contestant::RedisRsFetch => "redis-rs-fetch",
            Contestant::RedisRsProbe => "redis-rs-probe",
            Contestant::RedisRsSmall => "redis-rs-small",
            Contestant::Rb => "rb",
            Contestant::RedisBenchmark => "redis-benchmark",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Remembered for the deliveries that follow.
    Owners(Vec<u64>),
    /// What a contestant knows after many deliveries; what is at the servers is put back by the coordinator.
    WarmUp { act: Act },
    /// Calls until the window is over, and one at least.
    Turn { act: Act, window_ms: u64 },
    /// How many delays are in one call.
    RoundTrips { act: Act, delay_ms: u64 },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    /// One new item, to the owners that were told before.
    Deliver {
        timelines: String,
        keep: usize,
        item: Item,
    },
    /// The same to owners 0 and up, made one by one.
    DeliverLazily {
        timelines: String,
        keep: usize,
        owners: u64,
        item: Item,
    },
    Combine {
        how: Combination,
        sets: Vec<Key>,
        form: Form,
        expected: Expected,
    },
    /// The newest items of all authors, newest first.
    Merged {
        timelines: String,
        authors: Vec<u64>,
        expected: Vec<u64>,
    },
    /// Each value is its key.
    Values(Vec<Key>),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Item {
    pub id: u64,
    pub score: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Combination {
    Intersect,
    Union,
    /// The first without the others.
    Difference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    Members,
    Count,
    /// So many of them, any.
    Limit(u64),
}

/// With its server, so that routing by hand is free.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Key {
    pub key: String,
    pub server: usize,
}

/// The answer without its thousands of members: as many, all in this range, with this sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    pub count: u64,
    pub first: u64,
    pub last: u64,
    /// None of a count, and of some members out of many.
    pub sum: Option<u64>,
}

impl Expected {
    pub fn of(members: impl IntoIterator<Item = u64>) -> Expected {
        let mut expected = Expected {
            count: 0,
            first: u64::MAX,
            last: 0,
            sum: Some(0),
        };
        let mut sum = 0_u64;
        for member in members {
            expected.count += 1;
            expected.first = expected.first.min(member);
            expected.last = expected.last.max(member);
            sum = sum.wrapping_add(member);
        }
        expected.sum = Some(sum);
        expected
    }

    /// What `some` of these members must be like.
    pub fn some(self, some: u64) -> Expected {
        Expected {
            count: some.min(self.count),
            sum: None,
            ..self
        }
    }

    /// What is wrong about this answer, if anything.
    pub fn misses(self, members: &[u64]) -> Option<String> {
        let mut distinct = members.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let seen = Expected::of(members.iter().copied());
        let fits = seen.count == self.count
            && distinct.len() == members.len()
            && (seen.count == 0 || (seen.first >= self.first && seen.last <= self.last))
            && self.sum.is_none_or(|sum| seen.sum == Some(sum));
        (!fits).then(|| {
            format!(
                "{} members from {} to {} with the sum {:?}, {} of them distinct; expected {self:?}",
                seen.count,
                seen.first,
                seen.last,
                seen.sum,
                distinct.len()
            )
        })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Told {
    /// To the setup and to owners.
    Ready,
    Turn(Turn),
    RoundTrips(f64),
    Refused(String),
    Wrong(String),
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Turn {
    pub calls: u64,
    /// In calls; answers are checked beside.
    pub seconds: f64,
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub sockets: u32,
    pub peak_kib: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_wrong_by_a_member_too_few_too_many_twice_or_of_another_set() {
        let all = Expected::of([10, 11, 12]);
        assert_eq!(all.misses(&[12, 10, 11]), None);
        for wrong in [
            &[10, 11][..],
            &[10, 11, 12, 13],
            &[10, 10, 13],
            &[11, 11, 11],
            &[],
        ] {
            assert!(all.misses(wrong).is_some(), "{wrong:?}");
        }
        let two = all.some(2);
        assert_eq!(two.misses(&[12, 10]), None);
        for wrong in [&[10, 10][..], &[10, 13], &[9, 10], &[10], &[10, 11, 12]] {
            assert!(two.misses(wrong).is_some(), "{wrong:?}");
        }
        assert_eq!(Expected::of([]).misses(&[]), None);
        assert!(Expected::of([]).misses(&[1]).is_some());
    }

    #[test]
    fn a_column_is_named_as_it_is_written_in_orders() {
        for contestant in [
            Contestant::KeywayCold,
            Contestant::Rb,
            Contestant::RedisRsProbe,
        ] {
            let written = serde_json::to_string(&contestant).unwrap();
            assert_eq!(written, format!("\"{}\"", contestant.name()));
        }
    }
}
