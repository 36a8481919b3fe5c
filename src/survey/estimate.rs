//! From a sample to what is there: the formulas, and nothing else.
//!
//! A server has `N` keys (DBSIZE), `n` of which were looked at, a simple random sample without replacement (why: `src/sampling.rs`); `x` of
//! those belong to the part that is asked about, a node say. `z` is 1.96, `f = n / N`.
//!
//! - **Keys**: `N x / n`, with Wilson's score interval for `p = x / n` (E. B. Wilson, 1927), in which the finite population is taken into
//!   account by the usual effective size `n (N - 1) / (N - n)`. It keeps its 95 % where few keys were seen, and says something where none was.
//! - **Bytes**: `N / n` times the sum of the sampled keys' bytes, plus or minus `z N sqrt((1 - f) s^2 / n)` (W. G. Cochran, Sampling
//!   Techniques, 3rd ed., 2.9 and 2.11: estimates over subpopulations). `s^2` is the variance of `y`, a key's bytes where it belongs to the
//!   part and 0 where not; or, if that is more, `p q - (p m)^2` with mean `m` and mean square `q` of the bytes of all sampled keys of the
//!   server. The second is what the variance would be if the part's keys were like all the others, which they are, as hashing does not ask for
//!   sizes: without it, a node none of whose few big keys was seen would state a narrow interval around far too little. Where no key of the part was
//!   seen, the interval ends at `m` times the upper end of its keys.
//!
//! No interval ends below what was seen. Both have been tried by simulation (`tests` below): 94 to 99 % of the intervals hold the true value
//! for sizes that are equal, uniform, log-normal (sigma 1.5), one percent of which is 100 times as big, or Pareto with exponent 2.5. For Pareto 1.5,
//! whose variance is infinite, it is 85 to 95 %: **no sample says anything about a giant that it did not meet**.

use serde::{Deserialize, Serialize};

/// The normal distribution's quantile for 95 % both sides.
const Z: f64 = 1.96;

/// A figure from a sample, with the interval that holds the true one in 95 of 100 surveys. Where all was looked at, the three are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Estimate {
    /// The best guess.
    pub value: u64,
    /// The interval's lower end.
    pub low: u64,
    /// Its upper end.
    pub high: u64,
}

impl Estimate {
    /// Known, not guessed.
    pub(super) fn exact(value: u64) -> Estimate {
        Estimate {
            value,
            low: value,
            high: value,
        }
    }

    /// Half the interval, relative to the value: 0.05 is five percent either way. 0 where the value is 0 and exact; infinite where it is 0 and not.
    pub fn relative_error(&self) -> f64 {
        let half = self.high.saturating_sub(self.low) as f64 / 2.0;
        match half == 0.0 {
            true => 0.0,
            false => half / self.value as f64,
        }
    }

    /// What the interval makes of one standard error.
    pub(super) fn standard_error(&self) -> f64 {
        self.high.saturating_sub(self.low) as f64 / (2.0 * Z)
    }
}

/// What was added up over sampled keys: all that is kept of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) keys: u64,
    pub(super) bytes: u64,
    /// Of the squares of the keys' bytes.
    pub(super) squares: u128,
    /// By the server's LFU counters.
    pub(super) accesses: u64,
}

impl Tally {
    pub(super) fn add(&mut self, bytes: u64, accesses: u64) {
        self.keys += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.squares = self
            .squares
            .saturating_add(u128::from(bytes) * u128::from(bytes));
        self.accesses = self.accesses.saturating_add(accesses);
    }
}

/// A server's keys, and the sample of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Population {
    total: u64,
    looked_at: Tally,
    is_complete: bool,
}

impl Population {
    /// `total`: keys that there are. Of a complete walk the keys that were met are what there is.
    pub(super) fn new(total: u64, looked_at: Tally, is_complete: bool) -> Population {
        Population {
            total: match is_complete {
                true => looked_at.keys,
                false => total.max(looked_at.keys),
            },
            looked_at,
            is_complete,
        }
    }

    pub(super) fn keys(&self, part: &Tally) -> Estimate {
        let seen = part.keys;
        if self.is_exact() {
            return Estimate::exact(seen);
        }
        let (total, looked_at) = (self.total as f64, self.looked_at.keys as f64);
        if looked_at == 0.0 {
            return Estimate {
                value: 0,
                low: 0,
                high: self.total,
            };
        }
        let p = seen as f64 / looked_at;
        let size = looked_at * (total - 1.0) / (total - looked_at);
        let (center, half) = wilson(p, size);
        // What was looked at and does not belong to the part cannot be of it.
        let most = self.total - (self.looked_at.keys - seen);
        Estimate {
            value: whole(total * p),
            low: whole(total * (center - half)).clamp(seen, most),
            high: whole(total * (center + half)).clamp(seen, most),
        }
    }

    /// `None` where no key was looked at: then nothing is known, and a bound would be made up.
    pub(super) fn bytes(&self, part: &Tally) -> Option<Estimate> {
        if self.is_exact() {
            return Some(Estimate::exact(part.bytes));
        }
        let (total, looked_at) = (self.total as f64, self.looked_at.keys as f64);
        if looked_at == 0.0 {
            return None;
        }
        let mean = self.looked_at.bytes as f64 / looked_at;
        if part.keys == 0 {
            return Some(Estimate {
                value: 0,
                low: 0,
                high: whole(self.keys(part).high as f64 * mean),
            });
        }
        let sum = part.bytes as f64;
        let own = (part.squares as f64 - sum * sum / looked_at) / (looked_at - 1.0).max(1.0);
        let p = part.keys as f64 / looked_at;
        let mean_square = self.looked_at.squares as f64 / looked_at;
        let pooled = p * mean_square - (p * mean) * (p * mean);
        let variance = own.max(pooled).max(0.0);
        let half = Z * total * ((1.0 - looked_at / total) * variance / looked_at).sqrt();
        let value = total * sum / looked_at;
        Some(Estimate {
            value: whole(value),
            low: whole(value - half).max(part.bytes),
            high: whole(value + half),
        })
    }

    fn is_exact(&self) -> bool {
        self.is_complete || self.total == self.looked_at.keys
    }
}

/// Center and half width of the score interval.
fn wilson(p: f64, size: f64) -> (f64, f64) {
    let z2 = Z * Z;
    let shrink = 1.0 + z2 / size;
    let center = (p + z2 / (2.0 * size)) / shrink;
    let half = Z / shrink * (p * (1.0 - p) / size + z2 / (4.0 * size * size)).sqrt();
    (center, half)
}

/// Rounded to a whole number, from 0 on.
fn whole(value: f64) -> u64 {
    value.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    const SAMPLES: usize = 400;

    fn gauss(rng: &mut Rng) -> f64 {
        libm::sqrt(-2.0 * libm::log(1.0 - rng.f64())) * libm::cos(std::f64::consts::TAU * rng.f64())
    }

    /// How often, of all samples of `looked_at` of 20,000 keys over `nodes` nodes, a node's interval holds the truth: keys and bytes.
    fn coverage(
        seed: u64,
        looked_at: usize,
        nodes: usize,
        size: impl Fn(&mut Rng) -> u64,
    ) -> (f64, f64) {
        let mut rng = Rng::with_seed(seed);
        let mut keys: Vec<(usize, u64)> = (0..20_000)
            .map(|_| (rng.usize(..nodes), size(&mut rng)))
            .collect();
        let mut truth = vec![Tally::default(); nodes];
        for &(node, bytes) in &keys {
            truth[node].add(bytes, 0);
        }
        let (mut keys_held, mut bytes_held) = (0, 0);
        for _ in 0..SAMPLES {
            let mut parts = vec![Tally::default(); nodes];
            for i in 0..looked_at {
                let j = rng.usize(i..keys.len());
                keys.swap(i, j);
                parts[keys[i].0].add(keys[i].1, 0);
            }
            let mut all = Tally::default();
            for part in &parts {
                all.keys += part.keys;
                all.bytes += part.bytes;
                all.squares += part.squares;
            }
            let population = Population::new(keys.len() as u64, all, false);
            for (part, truth) in parts.iter().zip(&truth) {
                let holds = |estimate: Estimate, truth: u64| {
                    u32::from((estimate.low..=estimate.high).contains(&truth))
                };
                keys_held += holds(population.keys(part), truth.keys);
                bytes_held += holds(population.bytes(part).unwrap(), truth.bytes);
            }
        }
        let all = (SAMPLES * nodes) as f64;
        (f64::from(keys_held) / all, f64::from(bytes_held) / all)
    }

    #[test]
    fn ninety_five_of_a_hundred_intervals_hold_the_truth_whatever_the_sizes_are() {
        type Sizes = (&'static str, fn(&mut Rng) -> u64, f64);
        let sizes: [Sizes; 6] = [
            ("equal", |_| 100, 0.94),
            ("uniform", |rng| rng.u64(50..500), 0.94),
            (
                "log-normal",
                |rng| whole(100.0 * libm::exp(1.5 * gauss(rng))),
                0.94,
            ),
            (
                "one percent a hundred times as big",
                |rng| if rng.u8(..100) == 0 { 10_000 } else { 100 },
                0.94,
            ),
            (
                "Pareto 2.5",
                |rng| whole(100.0 * libm::pow(1.0 - rng.f64(), -1.0 / 2.5)),
                0.94,
            ),
            (
                "Pareto 1.5",
                |rng| whole(100.0 * libm::pow(1.0 - rng.f64(), -1.0 / 1.5)),
                0.85,
            ),
        ];
        for (name, size, least) in sizes {
            for (looked_at, nodes) in [(2_000, 32), (5_000, 32), (2_000, 8)] {
                let (keys, bytes) = coverage(1, looked_at, nodes, size);
                assert!(
                    keys >= 0.94,
                    "{name}, {looked_at} over {nodes}: {keys} of keys"
                );
                assert!(
                    bytes >= least,
                    "{name}, {looked_at} over {nodes}: {bytes} of bytes"
                );
            }
        }
    }

    #[test]
    fn what_was_looked_at_whole_is_exact() {
        let mut part = Tally::default();
        part.add(100, 0);
        part.add(300, 0);
        for population in [
            Population::new(9, part, true),
            Population::new(2, part, false),
        ] {
            assert_eq!(population.keys(&part), Estimate::exact(2));
            assert_eq!(population.bytes(&part), Some(Estimate::exact(400)));
            assert_eq!(
                population.keys(&Tally::default()).relative_error(),
                0.0,
                "none, and known"
            );
        }
    }

    #[test]
    fn a_part_without_a_sampled_key_may_have_some() {
        let mut all = Tally::default();
        (0..100).for_each(|_| all.add(50, 0));
        let population = Population::new(10_000, all, false);
        let keys = population.keys(&Tally::default());
        assert_eq!((keys.value, keys.low), (0, 0));
        // The rule of three says 300.
        assert!((250..=420).contains(&keys.high), "{keys:?}");
        assert_eq!(
            population.bytes(&Tally::default()).unwrap().high,
            keys.high * 50
        );
        assert_eq!(keys.relative_error(), f64::INFINITY);
    }

    #[test]
    fn an_interval_never_ends_below_what_was_seen_or_above_what_there_is() {
        let (mut all, mut part) = (Tally::default(), Tally::default());
        for i in 0..99 {
            all.add(1, 0);
            if i < 98 {
                part.add(1, 0);
            }
        }
        let keys = Population::new(100, all, false).keys(&part);
        assert!(
            keys.low >= 98 && keys.high <= 99 && keys.low <= keys.high,
            "{keys:?}"
        );
        let nothing = Population::new(100, Tally::default(), false);
        assert_eq!(nothing.keys(&Tally::default()).high, 100);
        assert_eq!(nothing.bytes(&Tally::default()), None);
    }
}
