//! Turns: who has them, for how long, and what comes of them.

use crate::build::Built;
use crate::keys::Keys;
use crate::results::{Measured, Outcome, Row, Settings};
use crate::subjects::{self, Absent, Pass};
use keyway::placement::Algorithm;
use std::hint::black_box;
use std::time::{Duration, Instant};

pub struct Bench<'k> {
    keys: Vec<&'k [u8]>,
    rounds: usize,
    window: Duration,
}

/// The rings that every row is compared with.
struct Peers {
    pingora: Built<Pass>,
    hashring: Built<Pass>,
}

/// How much of the work fills a turn: so many keys, so many times.
#[derive(Clone, Copy)]
struct Turn {
    keys: usize,
    passes: u32,
}

impl<'k> Bench<'k> {
    pub fn new(keys: &'k Keys, settings: &Settings) -> Bench<'k> {
        Bench {
            keys: keys.slices(),
            rounds: settings.rounds,
            window: Duration::from_micros(settings.window_us),
        }
    }

    /// All rows for so many nodes, the other crates last.
    ///
    /// # Errors
    /// When something answers with a node that there is not, or differently from round to round.
    pub fn rows(
        &self,
        nodes: u16,
        is_wanted: impl Fn(Algorithm) -> bool,
    ) -> Result<Vec<Row>, String> {
        let peers = Peers {
            pingora: subjects::pingora(nodes),
            hashring: subjects::hashring(nodes),
        };
        let mut rows = Vec::new();
        let placing = Algorithm::all().filter(|algorithm| algorithm.has_homes());
        for algorithm in placing.filter(|algorithm| is_wanted(*algorithm)) {
            let hash = subjects::hash_name(algorithm);
            let outcome = match subjects::keyway(algorithm, nodes) {
                Ok(built) => self.outcome(&built, hash, &peers, nodes),
                Err(Absent::Refused(why)) => Ok(Outcome::Refused(why)),
                Err(Absent::Missing(why)) => Ok(Outcome::Missing(why)),
            };
            rows.push(Row {
                name: algorithm.name().to_owned(),
                is_peer: false,
                hash: hash.to_owned(),
                outcome: outcome.map_err(|why| format!("{algorithm}, {nodes} nodes: {why}"))?,
            });
        }
        for (name, hash, built) in [
            ("pingora-ketama", "crc32", &peers.pingora),
            ("hashring", "siphash", &peers.hashring),
        ] {
            rows.push(Row {
                name: name.to_owned(),
                is_peer: true,
                hash: hash.to_owned(),
                outcome: self
                    .outcome(built, hash, &peers, nodes)
                    .map_err(|why| format!("{name}, {nodes} nodes: {why}"))?,
            });
        }
        Ok(rows)
    }

    fn outcome(
        &self,
        built: &Built<Pass>,
        hash: &str,
        peers: &Peers,
        nodes: u16,
    ) -> Result<Outcome, String> {
        let hash = match subjects::hash(hash) {
            Ok(hash) => hash,
            Err(why) => return Ok(Outcome::Missing(why)),
        };
        for key in &self.keys {
            let node = (built.value)(&[key]);
            if node >= u64::from(nodes) {
                return Err(format!("key {} is on node {node}", key.escape_ascii()));
            }
        }
        let checksum = (built.value)(&self.keys);
        let [lookup_ns, hash_ns, pingora_ns, hashring_ns] = self.turns([
            &built.value,
            &hash,
            &peers.pingora.value,
            &peers.hashring.value,
        ])?;
        Ok(Outcome::Measured(Measured {
            lookup_ns,
            hash_ns,
            pingora_ns,
            hashring_ns,
            build_ms: built.build_ms,
            bytes: built.bytes,
            checksum,
        }))
    }

    /// Nanoseconds a key for each of them, round by round.
    fn turns<const N: usize>(&self, passes: [&Pass; N]) -> Result<[Vec<f64>; N], String> {
        let turns = passes.map(|pass| self.turn(pass));
        let expected: [u64; N] = std::array::from_fn(|at| passes[at](&self.keys[..turns[at].keys]));
        let mut ns: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(self.rounds));
        for round in 0..self.rounds {
            for step in 0..N {
                let at = (round + step) % N;
                let (pass, turn) = (passes[at], turns[at]);
                let keys = &self.keys[..turn.keys];
                // Whoever was before has left the caches to itself, and it is not always the same one.
                black_box(pass(black_box(keys)));
                let mut sum = 0_u64;
                let start = Instant::now();
                for _ in 0..turn.passes {
                    sum = sum.wrapping_add(pass(black_box(keys)));
                }
                let elapsed = start.elapsed();
                if sum != expected[at].wrapping_mul(u64::from(turn.passes)) {
                    return Err("it does not answer the same every time".to_owned());
                }
                let lookups = turn.keys as f64 * f64::from(turn.passes);
                ns[at].push(elapsed.as_nanos() as f64 / lookups);
            }
        }
        Ok(ns)
    }

    /// What fills the window, found by doubling. A warm-up at that.
    fn turn(&self, pass: &Pass) -> Turn {
        let mut keys = 16.min(self.keys.len());
        loop {
            let start = Instant::now();
            black_box(pass(black_box(&self.keys[..keys])));
            let elapsed = start.elapsed();
            if elapsed >= self.window / 2 {
                return Turn { keys, passes: 1 };
            }
            if keys == self.keys.len() {
                let passes = self.window.as_nanos() / elapsed.as_nanos().max(1);
                return Turn {
                    keys,
                    passes: (passes as u32).max(1),
                };
            }
            keys = (2 * keys).min(self.keys.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(keys: &Keys) -> Bench<'_> {
        let settings = Settings {
            rounds: 3,
            window_us: 50,
            keys: keys.count(),
            key_bytes: keys.bytes_mean(),
        };
        Bench::new(keys, &settings)
    }

    fn measured(row: &Row) -> &Measured {
        match &row.outcome {
            Outcome::Measured(measured) => measured,
            other => panic!("{}: {other:?}", row.name),
        }
    }

    #[test]
    fn every_row_has_a_figure_for_every_round_and_the_other_crates_are_last() {
        let keys = Keys::new();
        let rows = bench(&keys)
            .rows(4, |algorithm| algorithm == Algorithm::Ketama)
            .unwrap();
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["ketama", "pingora-ketama", "hashring"]);
        for row in &rows {
            let measured = measured(row);
            for ns in [
                &measured.lookup_ns,
                &measured.hash_ns,
                &measured.pingora_ns,
                &measured.hashring_ns,
            ] {
                assert_eq!(ns.len(), 3);
                assert!(ns.iter().all(|ns| *ns > 0.0));
            }
            assert!(measured.bytes > 0 && measured.build_ms > 0.0);
            // Evenly spread, the answers' mean is 1.5.
            let mean = measured.checksum as f64 / keys.count() as f64;
            assert!((1.2..1.8).contains(&mean), "{}: {mean}", row.name);
        }
    }

    #[test]
    fn the_checksum_is_that_of_the_placement() {
        let keys = Keys::new();
        let rows = bench(&keys)
            .rows(64, |algorithm| algorithm == Algorithm::Jump)
            .unwrap();
        let placement = keyway::placement::Placement::with_nodes(Algorithm::Jump, 64).unwrap();
        let sum: u64 = keys
            .slices()
            .iter()
            .map(|key| u64::from(placement.node(key).0))
            .sum();
        assert_eq!(measured(&rows[0]).checksum, sum);
    }

    #[test]
    fn an_answer_that_is_no_node_or_not_always_the_same_ends_the_run() {
        let keys = Keys::new();
        let bench = bench(&keys);
        let peers = Peers {
            pingora: subjects::pingora(4),
            hashring: subjects::hashring(4),
        };
        let built = |value| Built {
            value,
            build_ms: 1.0,
            bytes: 1,
        };
        let beyond = built(Box::new(|keys: &[&[u8]]| 4 * keys.len() as u64) as Pass);
        let error = bench.outcome(&beyond, "crc32", &peers, 4).unwrap_err();
        assert!(error.ends_with("is on node 4"), "{error}");
        let calls = std::cell::Cell::new(0_u64);
        let moody = built(Box::new(move |_: &[&[u8]]| {
            calls.set(calls.get() + 1);
            calls.get() % 3
        }) as Pass);
        let error = bench.outcome(&moody, "crc32", &peers, 4).unwrap_err();
        assert!(error.contains("the same every time"), "{error}");
    }
}
