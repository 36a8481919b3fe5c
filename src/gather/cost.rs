//! The cost model: what the steps of set algebra over nodes move and take, estimated from the sizes of the sets. Pure.
//!
//! Bytes are those of the protocol (RESP), requests and replies both counted, without TCP's own:
//!
//! | what | bytes |
//! |---|---|
//! | a member of `b` bytes, in a request or a reply | `b` + 5 + the digits of `b`: `$10\r\n`, the member, `\r\n` |
//! | a yes or no of SMISMEMBER | 4: `:1\r\n` |
//! | a command, a list of `n` | 3 + the digits of its element count: `*1000\r\n` |
//!
//! Time decides between steps. Its terms are nanoseconds of one core at the server and one at the client together, as one call is answered.
//! They were measured with Redis 7.0.15 on loopback and this crate in release mode on one thread, on a machine of two cores: members of ten bytes, in sets of 10,000 and of 1,000,000, whose table is beyond the processor's cache; the median of 5 to 40 calls over
//! the elements of a call. The constant is between both, for no one constant is right for both:
//!
//! | measured per element | 10,000 | 1,000,000 | of it at the server |
//! |---|---|---|---|
//! | SMEMBERS | 92 ns | 311 ns | 53, 250 |
//! | SSCAN COUNT 4096 | 168 ns | 341 ns | 137, 342 |
//! | SMISMEMBER of 1,000 | 101 ns | 445 ns | 41, 361 |
//! | ZRANGE | 57 ns | 109 ns | 25, 33 |
//! | ZRANGE WITHSCORES | 448 ns | 476 ns | 343, 331 |
//! | ZMSCORE of 1,000 | 463 ns | 1,146 ns | 465, 1,031 |
//! | a small command among 1,000 in a pipeline | 356 ns | 357 ns | 100 |
//! | a small command by itself, a round trip on loopback | 7,333 ns | 7,363 ns | 100 |
//!
//! | term | constant | what it stands for |
//! |---|---|---|
//! | a member listed (SMEMBERS, SINTER, SSCAN, ZRANGE) | [`LISTED_NS`] | the server's walk and reply, decoding it here |
//! | a member probed (SMISMEMBER, ZMSCORE) | [`PROBED_NS`] | encoding it here, the server's parsing and lookup, decoding the answer |
//! | a score | [`SCORE_NS`] | printing it with 17 digits at the server, reading it here |
//! | a command | [`COMMAND_NS`] | its dispatch on the server, its place in a batch |
//! | a byte | [`BYTE_NS`] | not measured: a network of 10 Gbit/s, 0.8 ns |
//! | a round trip | [`ROUND_TRIP_NS`] | not measured: 100 µs, a round trip within a data centre; on loopback it is a tenth of that |

use serde::Serialize;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

pub(super) const LISTED_NS: u64 = 200;
pub(super) const PROBED_NS: u64 = 270;
pub(super) const COMMAND_NS: u64 = 400;
pub(super) const SCORE_NS: u64 = 370;
pub(super) const BYTE_NS: u64 = 1;
pub(super) const ROUND_TRIP_NS: u64 = 100_000;

/// Members of one SMISMEMBER at most: what one command holds up a server for stays far below a millisecond.
pub(super) const PROBE_MEMBERS_MAX: usize = 1_000;
/// Bytes of the members of one SMISMEMBER or SADD at most, but for a single member that is larger.
pub(super) const PROBE_BYTES_MAX: usize = 256 * 1024;
/// Bytes of members that are looked up in one round trip, at most: what requests on the way take beside what is held.
pub(super) const PIECE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Keys whose sizes and samples are asked for in one round trip; with more, it takes several.
pub(super) const SAMPLED_KEYS_MAX: usize = 256;
/// Members asked for beside each size: what is smaller comes whole in the first round trip, and of the others this tells how long members
/// are. The more, the more bytes are moved in vain when a set is large.
pub(super) const SAMPLE_MEMBERS: u64 = 128;
/// Members of one SSCAN at most, about: a server gives whole chains of its hash table, and small encodings whole.
pub(super) const SCAN_MEMBERS_MAX: u64 = 4_096;
/// The COUNT of a walk's SSCAN grows by this, so that a small limit is found with little and a large set with few round trips.
pub(super) const SCAN_GROWTH: u64 = 4;

/// What is sent and comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Traffic {
    /// Times that something is awaited; what is sent to several servers at once is one.
    pub round_trips: u64,
    /// Commands sent, to all servers together.
    pub commands: u64,
    /// Bytes of the requests, as the protocol writes them.
    pub bytes_sent: u64,
    /// Bytes of the replies, as the protocol writes them.
    pub bytes_received: u64,
}

impl Traffic {
    /// Bytes of requests and replies.
    pub fn bytes(&self) -> u64 {
        self.bytes_sent + self.bytes_received
    }
}

impl Add for Traffic {
    type Output = Traffic;
    fn add(self, other: Traffic) -> Traffic {
        Traffic {
            round_trips: self.round_trips + other.round_trips,
            commands: self.commands + other.commands,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            bytes_received: self.bytes_received + other.bytes_received,
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Traffic) {
        *self = *self + other;
    }
}

/// Traffic, and the work behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) traffic: Traffic,
    /// Members that servers list.
    pub(super) listed: u64,
    /// Members that servers look up.
    pub(super) probed: u64,
    /// Scores that servers print.
    pub(super) scores: u64,
}

impl Cost {
    /// Work and transfer, without the waiting for round trips: those of parallel steps count once, so the plan counts them.
    pub(super) fn work_ns(&self) -> u64 {
        self.listed * LISTED_NS
            + self.probed * PROBED_NS
            + self.scores * SCORE_NS
            + self.traffic.commands * COMMAND_NS
            + self.traffic.bytes() * BYTE_NS
    }
}

impl Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost {
            traffic: self.traffic + other.traffic,
            listed: self.listed + other.listed,
            probed: self.probed + other.probed,
            scores: self.scores + other.scores,
        }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(all: I) -> Cost {
        all.fold(Cost::default(), Add::add)
    }
}

/// What the model knows of a set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Facts {
    pub(super) members: u64,
    /// Bytes of a member, on average.
    pub(super) bytes_each: f64,
    /// Bytes of a score, on average, if it is a sorted set and its scores are wanted.
    pub(super) score_bytes: Option<f64>,
    pub(super) key_bytes: usize,
    /// All its members came with its size.
    pub(super) is_whole: bool,
    /// Sets with equal homes share a server.
    pub(super) home: usize,
}

impl Facts {
    /// Memory that these many of its members take here.
    pub(super) fn held(&self, members: u64) -> u64 {
        (members as f64 * (size_of::<redis::Value>() as f64 + self.bytes_each)) as u64
    }

    fn on_wire(&self, members: u64) -> u64 {
        (members as f64 * string(self.bytes_each)).round() as u64
    }

    fn scores_on_wire(&self, scores: u64) -> u64 {
        (scores as f64 * self.score_bytes.map_or(0.0, string)).round() as u64
    }

    /// How many scores come with these many members.
    fn scores(&self, members: u64) -> u64 {
        self.score_bytes.map_or(0, |_| members)
    }
}

/// The sizes of all sets, and samples of them.
pub(super) fn sizes(sets: &[Facts]) -> Cost {
    let of_one = |set: &Facts| {
        let sample = if set.is_whole {
            set.members
        } else {
            SAMPLE_MEMBERS.min(set.members)
        };
        let sent = 2 * (list(2) + string(set.key_bytes as f64) as u64) + 11 + 11 + 7 + 11 + 10;
        let received = (1 + digits(set.members) + 2) + 4 + 9 + list(sample) + set.on_wire(sample);
        Cost {
            traffic: Traffic {
                round_trips: 0,
                commands: 2,
                bytes_sent: sent,
                bytes_received: received,
            },
            listed: sample,
            ..Cost::default()
        }
    };
    in_rounds(sets.iter().map(of_one).sum(), 1)
}

/// `members` of a set, or of several that are combined on their server, listed by one command.
pub(super) fn fetch(keys: &[&Facts], members: u64) -> Cost {
    let each = keys.first().copied();
    let sent = list(1 + keys.len() as u64)
        + 13
        + keys
            .iter()
            .map(|key| string(key.key_bytes as f64) as u64)
            .sum::<u64>();
    let cost = Cost {
        traffic: Traffic {
            round_trips: 0,
            commands: 1,
            bytes_sent: sent,
            bytes_received: each.map_or(list(members), |set| {
                list(members + set.scores(members))
                    + set.on_wire(members)
                    + set.scores_on_wire(members)
            }),
        },
        listed: members,
        // To combine sets is a lookup per member and set.
        probed: members * (keys.len() as u64).saturating_sub(1) / 2,
        scores: each.map_or(0, |set| set.scores(members)),
    };
    in_rounds(cost, 1)
}

/// `candidates` of members like those of `of`, looked up in a set.
pub(super) fn probe(set: &Facts, of: &Facts, candidates: u64) -> Cost {
    let per_command = (PROBE_MEMBERS_MAX as u64)
        .min((PROBE_BYTES_MAX as f64 / of.bytes_each.max(1.0)) as u64)
        .max(1);
    let commands = candidates.div_ceil(per_command);
    let each = candidates.min(per_command);
    let cost = Cost {
        traffic: Traffic {
            round_trips: 0,
            commands,
            bytes_sent: commands * (list(each + 2) + 16 + string(set.key_bytes as f64) as u64)
                + of.on_wire(candidates),
            bytes_received: commands * list(each)
                + match set.score_bytes {
                    None => 4 * candidates,
                    Some(_) => set.scores_on_wire(candidates),
                },
        },
        listed: 0,
        probed: candidates,
        scores: set.scores(candidates),
    };
    in_rounds(cost, u64::from(candidates > 0))
}

/// `members` of a set, listed by SSCAN in growing chunks behind its sample.
pub(super) fn scan(set: &Facts, members: u64) -> Cost {
    let mut left = members.saturating_sub(SAMPLE_MEMBERS);
    let rest = left;
    let (mut steps, mut chunk) = (0, SAMPLE_MEMBERS);
    while left > 0 {
        chunk = next_chunk(chunk);
        left = left.saturating_sub(chunk);
        steps += 1;
    }
    let cost = Cost {
        traffic: Traffic {
            round_trips: steps,
            commands: steps,
            bytes_sent: steps * (list(5) + 11 + string(set.key_bytes as f64) as u64 + 12 + 11 + 10),
            bytes_received: steps * (4 + 12 + 7) + set.on_wire(rest),
        },
        listed: rest,
        ..Cost::default()
    };
    in_rounds(cost, steps)
}

/// How many round trips a walk takes over these many members, the sample's included.
pub(super) fn chunks(members: u64) -> u64 {
    let (mut left, mut chunk, mut count) = (members, SAMPLE_MEMBERS, 0);
    while left > 0 {
        left = left.saturating_sub(chunk);
        chunk = next_chunk(chunk);
        count += 1;
    }
    count
}

/// The COUNT behind this one.
pub(super) fn next_chunk(chunk: u64) -> u64 {
    (chunk * SCAN_GROWTH).min(SCAN_MEMBERS_MAX)
}

fn in_rounds(mut cost: Cost, round_trips: u64) -> Cost {
    cost.traffic.round_trips = round_trips;
    cost
}

/// Bytes of a string on the wire.
pub(super) fn string(bytes: f64) -> f64 {
    bytes + 5.0 + digits(bytes.round() as u64) as f64
}

/// Bytes of a list's header, and of a command's.
pub(super) fn list(elements: u64) -> u64 {
    3 + digits(elements)
}

pub(super) fn digits(number: u64) -> u64 {
    number.checked_ilog10().unwrap_or(0) as u64 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn set(members: u64, bytes_each: f64) -> Facts {
        Facts {
            members,
            bytes_each,
            score_bytes: None,
            key_bytes: 10,
            is_whole: false,
            home: 0,
        }
    }

    #[test]
    fn bytes_are_those_of_the_protocol() {
        let of_ten = set(1_000, 10.0);
        let members: Vec<Vec<u8>> = (0..1_000)
            .map(|i| format!("{i:010}").into_bytes())
            .collect();
        let mut smembers = redis::cmd("SMEMBERS");
        smembers.arg("0123456789");
        let fetched = fetch(&[&of_ten], 1_000).traffic;
        let reply = "*1000\r\n".len() + 1_000 * "$10\r\n0123456789\r\n".len();
        assert_eq!(fetched.bytes_received, reply as u64);
        assert!(
            fetched
                .bytes_sent
                .abs_diff(smembers.get_packed_command().len() as u64)
                <= 2
        );
        let mut smismember = redis::cmd("SMISMEMBER");
        smismember.arg("0123456789").arg(&members);
        let probed = probe(&of_ten, &of_ten, 1_000).traffic;
        assert!(
            probed
                .bytes_sent
                .abs_diff(smismember.get_packed_command().len() as u64)
                <= 2
        );
        assert_eq!(probed.bytes_received, ("*1000\r\n".len() + 4_000) as u64);
    }

    proptest! {
        #[test]
        fn more_never_costs_less(members in 0u64..10_000_000, more in 0u64..1_000_000, bytes in 1.0f64..5_000.0, longer in 0.0f64..100.0) {
            let (small, large) = (set(members, bytes), set(members + more, bytes + longer));
            for cost in [
                |set: &Facts| fetch(&[set], set.members),
                |set: &Facts| probe(set, set, set.members),
                |set: &Facts| scan(set, set.members),
                |set: &Facts| sizes(&[*set]),
                |set: &Facts| fetch(&[set, set], set.members),
            ] {
                let (less, more) = (cost(&small), cost(&large));
                prop_assert!(less.work_ns() <= more.work_ns(), "{less:?} {more:?}");
                prop_assert!(less.traffic.bytes() <= more.traffic.bytes());
                prop_assert!(less.traffic.round_trips <= more.traffic.round_trips);
            }
        }
    }

    #[test]
    fn a_walk_takes_the_round_trips_of_its_growing_chunks() {
        assert_eq!(chunks(0), 0);
        assert_eq!(chunks(128), 1);
        assert_eq!(chunks(129), 2);
        assert_eq!(chunks(128 + 512 + 2_048 + 4_096 + 1), 5);
        assert_eq!(scan(&set(128, 10.0), 128).traffic.round_trips, 0);
        assert_eq!(scan(&set(10_000, 10.0), 128 + 512).traffic.round_trips, 1);
    }
}
