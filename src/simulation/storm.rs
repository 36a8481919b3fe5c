//! The storm of misses when keys of a cache change server and their values do not: hit rate and reads of the database over time.
//!
//! A cache in front of a database, looked at first: a request finds the key's value, or misses, reads the database and sets the value for `ttl`. At
//! time 0 some keys are asked of another server, which does not have their values; the others notice nothing. All figures are expected values.
//!
//! With a key's requests a Poisson process of rate `l`, the value absent at time 0, the database answering after `d`, and `D = d + ttl`, the times at
//! which a request finds nothing and begins a read are a renewal process: an exponential wait, then `D`. So
//!
//! - the key waits for its first request with probability `w(t) = sum over j >= 0 with j * D <= t of Poisson(j; l * (t - j * D))`, which is
//!   `exp(-l * t)` until `D`, and after it shows that keys that came back together also expire together;
//! - reads begun until `t`: `M(t) = sum over i >= 0 of 1 - w(t - i * D)`, as one less `w` is the chance that one began within the last `D`;
//! - a request at `t` finds no value with probability `u(t) = w(t) + M(t) - M(t - d)`: nobody has asked yet, or the database has not answered yet;
//! - in the steady state, `u = (1/l + d) / (1/l + D)`: a hit rate of `l * ttl / (1 + l * D)`.
//!
//! Reads are `M(t)` less `t * l / (1 + l * D)` ahead of what they would have been. With a TTL that comes down again, since what has just been read need
//! not be read so soon: `extra_reads` is the most that they are ahead.
//!
//! Every request that finds no value reads the database, at a rate of `l * u(t)`; if callers `coalesce` theirs, one of them does, at `l * w(t)`. The reads
//! without coalescing are of requests that come while the first is read; that they set the value again, up to `d` later, is left out.
//!
//! Keys are taken together in [classes](Popularity) of about the same popularity, and of each class a part moves. Assumed besides:
//! - The cache holds every value for its TTL: nothing is evicted for want of memory. Values that stay behind on the old server take memory there until
//!   they expire.
//! - The database takes all reads in the same time. Where reads exceed what it can take, the true storm is longer and worse than this one: queries
//!   queue, time out, and the keys stay absent.
//! - All values have the same TTL and nobody deletes them. A TTL that varies smooths the second wave, at `D`.
//!
//! ```
//! use keyway::simulation::storm::{Popularity, StormInput, StormSpec, storm};
//!
//! let mut spec = StormSpec::default();
//! spec.requests_per_s = 20_000.0;
//! let classes = Popularity::zipf(1_000_000, 0.99);
//! let modulo = StormInput::even("modulo", 5.0 / 6.0, &classes);
//! let live = StormInput::even("ketama@64, moved live", 0.0, &classes);
//! let report = storm(&spec, "add f", &classes, &[modulo, live])?;
//! assert!(report.schemes[0].hit_rate_min < report.hit_rate_before / 5.0);
//! assert_eq!(report.schemes[1].extra_reads, 0.0);
//! # Ok::<(), keyway::simulation::storm::StormError>(())
//! ```

use super::report::{StormPoint, StormReport, StormScheme};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Most classes of popularity.
pub const CLASSES_MAX: usize = 4_096;
/// Most schemes to look at.
pub const INPUTS_MAX: usize = 1_000;
/// Most TTLs to look at, one after another.
const TTLS_MAX: f64 = 100.0;
/// Ranks that are classes of their own; then a doubling of ranks is [`CLASSES_PER_DOUBLING`] classes.
const SINGLE_RANKS: u64 = 32;
const CLASSES_PER_DOUBLING: u64 = 8;
/// Moments to look at: evenly over the time, closer together after each moment at which something begins, and how many of those.
const POINTS_EVEN: u32 = 120;
const POINTS_AFTER: u32 = 40;
const WAVES_MAX: u32 = 4;
/// The first moment that is looked at after each of these.
const CLOSEST_S: f64 = 1e-3;
/// Recovered: the hit rate is this much of what it was.
const RECOVERED: f64 = 0.99;

/// The cache and its database: `[storm]` of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StormSpec {
    /// Requests to the cache, per second, all together. Default: 10,000.
    pub requests_per_s: f64,
    /// How long a value lives, in seconds; `inf`: for ever. Default: 3,600.
    pub ttl_s: f64,
    /// How long the database takes to answer, in milliseconds. Default: 5.
    pub database_latency_ms: f64,
    /// Whether of requests that miss one key at the same time only one reads the database. Default: no.
    pub coalesce: bool,
    /// What the database can take, in reads per second. It is only reported: see the assumptions.
    pub database_reads_per_s_max: Option<f64>,
    /// How long to look, in minutes. Default: 60. At most 10,080, a week, and 100 TTLs.
    pub minutes: f64,
}

impl Default for StormSpec {
    fn default() -> StormSpec {
        StormSpec {
            requests_per_s: 10_000.0,
            ttl_s: 3_600.0,
            database_latency_ms: 5.0,
            coalesce: false,
            database_reads_per_s_max: None,
            minutes: 60.0,
        }
    }
}

impl StormSpec {
    /// Says what of it cannot be.
    ///
    /// # Errors
    /// The field, and why its value is refused.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let within = |field, value: f64, min: f64, max: f64| match (min..=max).contains(&value) {
            true => Ok(()),
            false => Err((field, format!("{value}: expected {min} to {max}"))),
        };
        within("requests_per_s", self.requests_per_s, 0.001, 1e12)?;
        // For ever is fine, NaN is not.
        within("ttl_s", self.ttl_s, 0.001, f64::INFINITY)?;
        within(
            "database_latency_ms",
            self.database_latency_ms,
            0.0,
            60_000.0,
        )?;
        if let Some(max) = self.database_reads_per_s_max {
            within("database_reads_per_s_max", max, 0.0, 1e12)?;
        }
        within("minutes", self.minutes, 0.001, 10_080.0)?;
        if self.minutes * 60.0 > TTLS_MAX * self.ttl_s {
            let why = format!(
                "{}: expected at most {} here, {TTLS_MAX} times the TTL of {} s; a storm is over long before",
                self.minutes,
                TTLS_MAX * self.ttl_s / 60.0,
                self.ttl_s
            );
            return Err(("minutes", why));
        }
        Ok(())
    }

    fn horizon_s(&self) -> f64 {
        self.minutes * 60.0
    }

    fn latency_s(&self) -> f64 {
        self.database_latency_ms * 1e-3
    }

    /// From the begin of a read until the value has expired.
    fn period_s(&self) -> f64 {
        self.latency_s() + self.ttl_s
    }
}

/// Keys that are asked for about equally often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Popularity {
    /// How many.
    pub keys: u64,
    /// The part of all requests that asks for them, all together, relative to the sum over all classes.
    pub requests: f64,
}

impl Popularity {
    /// So many keys with so large a part of the requests.
    pub fn new(keys: u64, requests: f64) -> Self {
        Popularity { keys, requests }
    }

    /// The class of the key with this rank, where 0 is asked for most: the first 32 ranks have one each, then eight have each doubling, so that keys of a
    /// class differ by less than a tenth in a Zipf distribution.
    pub fn class_of(rank: u64) -> usize {
        if rank < SINGLE_RANKS {
            return rank as usize;
        }
        let doubling = u64::from(rank.ilog2());
        let first = 1 << doubling;
        // Eight pieces of a power of two of at least 32 are whole.
        let piece = (rank - first) / (first / CLASSES_PER_DOUBLING);
        let singles = u64::from(SINGLE_RANKS.ilog2());
        (SINGLE_RANKS + (doubling - singles) * CLASSES_PER_DOUBLING + piece) as usize
    }

    /// The ranks of a class; empty if they would be beyond 2^62.
    pub fn ranks_of(class: usize) -> Range<u64> {
        let class = class as u64;
        if class < SINGLE_RANKS {
            return class..class + 1;
        }
        let doubling = (class - SINGLE_RANKS) / CLASSES_PER_DOUBLING;
        let piece = (class - SINGLE_RANKS) % CLASSES_PER_DOUBLING;
        if doubling > 56 {
            return 0..0;
        }
        let first = SINGLE_RANKS << doubling;
        let width = first / CLASSES_PER_DOUBLING;
        first + piece * width..first + (piece + 1) * width
    }

    /// The classes of so many keys of which the one of rank `r` (from 0) is asked for as `1 / (r + 1)^exponent`. Exponent 0: all alike.
    ///
    /// Classes of more than 64 keys are integrated in place of summed up, which is off by less than 1e-6.
    pub fn zipf(keys: u64, exponent: f64) -> Vec<Popularity> {
        let mut classes = Vec::new();
        let mut first = 0;
        while first < keys.min(1 << 62) {
            let ranks = Popularity::ranks_of(classes.len());
            let ranks = ranks.start..ranks.end.min(keys);
            let count = ranks.end - ranks.start;
            let requests = match count {
                0..=64 => ranks
                    .clone()
                    .map(|rank| libm::pow((rank + 1) as f64, -exponent))
                    .sum(),
                // The midpoint rule read backwards: rank r is the integral from r + 0.5 to r + 1.5.
                _ => power_integral(ranks.start as f64 + 0.5, ranks.end as f64 + 0.5, exponent),
            };
            classes.push(Popularity::new(count, requests));
            first = ranks.end;
        }
        classes
    }
}

/// The integral of `x^-exponent`.
fn power_integral(from: f64, to: f64, exponent: f64) -> f64 {
    let power = 1.0 - exponent;
    if power.abs() < 1e-9 {
        return libm::log(to / from);
    }
    (libm::pow(to, power) - libm::pow(from, power)) / power
}

/// What one scheme moves without its data.
#[derive(Clone, Debug, PartialEq)]
pub struct StormInput {
    /// The scheme's name.
    pub scheme: String,
    /// Of each class, the fraction of the keys that are asked of another server than before and whose values did not go there. All 0 for nodes that
    /// are moved live: their data goes with them.
    pub moved: Vec<f64>,
}

impl StormInput {
    /// The same fraction of every class: what a hash does to many keys. A few hot keys move or do not: say it by class if you know.
    pub fn even(scheme: impl Into<String>, moved: f64, classes: &[Popularity]) -> Self {
        StormInput {
            scheme: scheme.into(),
            moved: vec![moved; classes.len()],
        }
    }
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StormError {
    /// What [`StormSpec::check`] refuses.
    #[error("{0}: {1}")]
    Spec(&'static str, String),
    /// Classes that nobody asks for, or that are no parts.
    #[error(
        "the classes' requests are {0} together; expected 1 to {CLASSES_MAX} classes with a number of at least 0 each, and some above 0"
    )]
    Classes(f64),
    /// Fractions that are not one per class, or no fractions; or too many schemes.
    #[error(
        "scheme {scheme}: {found}; expected a fraction, 0 to 1, for each of the {classes} classes, and at most {INPUTS_MAX} schemes"
    )]
    Moved {
        /// The scheme.
        scheme: String,
        /// What is wrong.
        found: String,
        /// How many classes there are.
        classes: usize,
    },
}

/// The storm of each scheme when `step` is taken.
///
/// Cost: some 300 moments times the classes times the TTLs that have gone by: COST
///
/// # Errors
/// [`StormError`] for a spec, classes or fractions that cannot be.
pub fn storm(
    spec: &StormSpec,
    step: &str,
    classes: &[Popularity],
    inputs: &[StormInput],
) -> Result<StormReport, StormError> {
    spec.check()
        .map_err(|(field, why)| StormError::Spec(field, why))?;
    // `sum` of nothing is -0.
    let all = (classes.iter()).fold(0.0, |all, class| all + class.requests);
    let fine = classes
        .iter()
        .all(|class| class.requests.is_finite() && class.requests >= 0.0);
    if !fine || classes.len() > CLASSES_MAX || !(all > 0.0 && all.is_finite()) {
        return Err(StormError::Classes(all));
    }
    for (at, input) in inputs.iter().enumerate() {
        check(input, classes.len(), at)?;
    }
    let classes: Vec<Class> = (classes.iter())
        .map(|class| Class::new(class, class.requests / all, spec))
        .collect();
    let steady = steady(spec, &classes);
    Ok(StormReport {
        step: step.to_owned(),
        requests_per_s: spec.requests_per_s,
        hit_rate_before: steady.hit_rate,
        database_reads_per_s_max: spec.database_reads_per_s_max,
        schemes: inputs
            .iter()
            .map(|input| scheme(spec, &classes, input, steady))
            .collect(),
    })
}

fn check(input: &StormInput, classes: usize, at: usize) -> Result<(), StormError> {
    let wrong = (input.moved.iter()).find(|part| !(0.0..=1.0).contains(*part));
    let found = match wrong {
        _ if at >= INPUTS_MAX => format!("it is scheme number {}", at + 1),
        _ if input.moved.len() != classes => format!("{} fractions", input.moved.len()),
        Some(wrong) => format!("a fraction of {wrong}"),
        None => return Ok(()),
    };
    Err(StormError::Moved {
        scheme: input.scheme.clone(),
        found,
        classes,
    })
}

fn scheme(
    spec: &StormSpec,
    classes: &[Class],
    input: &StormInput,
    steady: StormPoint,
) -> StormScheme {
    let moved: Vec<(Class, f64)> = (classes.iter().copied())
        .zip(input.moved.iter().copied())
        .filter(|(class, moved)| class.rate > 0.0 && *moved > 0.0)
        .collect();
    let moments = moments(spec);
    let points: Vec<StormPoint> = (moments.iter())
        .map(|&at_s| point(spec, &moved, at_s, steady))
        .collect();
    let of = |value: fn(&StormPoint) -> f64| points.iter().map(value);
    StormScheme {
        scheme: input.scheme.clone(),
        hit_rate_min: of(|point| point.hit_rate).fold(f64::INFINITY, f64::min),
        database_reads_per_s_peak: of(|point| point.database_reads_per_s).fold(0.0, f64::max),
        extra_reads: (moments.iter())
            .map(|&at_s| extra_reads(spec, &moved, at_s))
            .fold(0.0, f64::max),
        recovered_s: recovered_s(&points, RECOVERED * steady.hit_rate, |at_s| {
            point(spec, &moved, at_s, steady).hit_rate
        }),
        points,
    }
}

/// How it is without the step.
fn steady(spec: &StormSpec, classes: &[Class]) -> StormPoint {
    let sum = |of: &dyn Fn(&Class) -> f64| {
        let parts = classes.iter().map(|class| class.share * of(class));
        parts.fold(0.0, |all, part| all + part)
    };
    StormPoint {
        at_s: 0.0,
        hit_rate: 1.0 - sum(&|class| class.steady().miss),
        database_reads_per_s: sum(&|class| class.steady().reading(spec)) * spec.requests_per_s,
    }
}

fn point(spec: &StormSpec, moved: &[(Class, f64)], at_s: f64, steady: StormPoint) -> StormPoint {
    let (mut misses, mut reads) = (0.0, 0.0);
    for (class, moved) in moved {
        let (now, before) = (class.at(at_s), class.steady());
        let share = class.share * moved;
        misses += share * (now.miss - before.miss);
        reads += share * (now.reading(spec) - before.reading(spec));
    }
    StormPoint {
        at_s,
        hit_rate: (steady.hit_rate - misses).clamp(0.0, 1.0),
        database_reads_per_s: (steady.database_reads_per_s + reads * spec.requests_per_s).max(0.0),
    }
}

/// Reads of the database until then, less those that there would have been without the step.
fn extra_reads(spec: &StormSpec, moved: &[(Class, f64)], at_s: f64) -> f64 {
    let each = |(class, moved): &(Class, f64)| {
        let more = class.begun(at_s) - at_s * class.rate * class.steady().wait;
        let reads = match spec.coalesce {
            true => 1.0,
            false => 1.0 + class.rate * class.latency_s,
        };
        class.keys * moved * more * reads
    };
    moved.iter().map(each).fold(0.0, |all, reads| all + reads)
}

/// The last moment at which the hit rate passes `enough` for good; between two points it is looked for by halving.
fn recovered_s(points: &[StormPoint], enough: f64, hit_rate: impl Fn(f64) -> f64) -> Option<f64> {
    let Some(last) = points.iter().rposition(|point| point.hit_rate < enough) else {
        return Some(0.0);
    };
    let (mut low, mut high) = (points[last].at_s, points.get(last + 1)?.at_s);
    for _ in 0..40 {
        let middle = low + (high - low) / 2.0;
        match hit_rate(middle) < enough {
            true => low = middle,
            false => high = middle,
        }
    }
    Some(high)
}

/// The moments to look at, ascending: evenly over the time, and closer and closer to each begin of a wave.
fn moments(spec: &StormSpec) -> Vec<f64> {
    let horizon_s = spec.horizon_s();
    let mut moments: Vec<f64> = (0..=POINTS_EVEN)
        .map(|at| horizon_s * f64::from(at) / f64::from(POINTS_EVEN))
        .collect();
    let mut begins = vec![0.0];
    for wave in 0..=WAVES_MAX {
        // The second of each pair is when the first values are back: 0 and d, D and D + d, and so on.
        let begin_s = f64::from(wave) * spec.period_s();
        begins.extend([begin_s, begin_s + spec.latency_s()]);
    }
    for begin_s in begins.into_iter().filter(|begin_s| *begin_s < horizon_s) {
        moments.push(begin_s);
        let span_s = (horizon_s - begin_s).min(spec.period_s());
        let ratio = libm::log((span_s / CLOSEST_S).max(1.0));
        moments.extend((0..POINTS_AFTER).map(|at| {
            let part = f64::from(at) / f64::from(POINTS_AFTER);
            begin_s + CLOSEST_S.min(span_s) * libm::exp(ratio * part)
        }));
    }
    moments.retain(|at_s| (0.0..=horizon_s).contains(at_s));
    moments.sort_by(f64::total_cmp);
    moments.dedup_by(|a, b| *a - *b < 1e-9);
    moments
}

/// Keys of one class, as one of them.
#[derive(Clone, Copy, Debug)]
struct Class {
    keys: f64,
    /// Of all requests.
    share: f64,
    /// Requests for one key, per second: the `l` above.
    rate: f64,
    latency_s: f64,
    period_s: f64,
}

/// A key that was absent at time 0.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Chances {
    /// That nobody has asked yet, since the value was there last: `w`.
    wait: f64,
    /// That a request finds no value: `u`.
    miss: f64,
}

impl Chances {
    /// Of requests, those that read the database.
    fn reading(&self, spec: &StormSpec) -> f64 {
        match spec.coalesce {
            true => self.wait,
            false => self.miss,
        }
    }
}

impl Class {
    fn new(class: &Popularity, share: f64, spec: &StormSpec) -> Class {
        let keys = class.keys as f64;
        Class {
            keys,
            share,
            rate: share * spec.requests_per_s / keys.max(1.0),
            latency_s: spec.latency_s(),
            period_s: spec.period_s(),
        }
    }

    /// In the steady state.
    fn steady(&self) -> Chances {
        let (rate, period_s) = (self.rate, self.period_s);
        if rate <= 0.0 {
            return Chances {
                wait: 1.0,
                miss: 1.0,
            };
        }
        let between = 1.0 + rate * period_s;
        Chances {
            wait: 1.0 / between,
            miss: match between.is_finite() {
                true => (1.0 + rate * self.latency_s) / between,
                false => 0.0,
            },
        }
    }

    /// At `t_s` after the value was lost.
    fn at(&self, t_s: f64) -> Chances {
        let wait = self.wait(t_s);
        let reading = match self.latency_s > 0.0 {
            true => self.begun(t_s) - self.begun(t_s - self.latency_s),
            false => 0.0,
        };
        Chances {
            wait,
            miss: (wait + reading).clamp(wait.min(1.0), 1.0),
        }
    }

    /// `w`.
    fn wait(&self, t_s: f64) -> f64 {
        if t_s < self.period_s {
            return libm::exp(-self.rate * t_s);
        }
        let most = libm::floor(t_s / self.period_s);
        let likely = self.rate * t_s / (1.0 + self.rate * self.period_s);
        let likely = libm::round(likely).clamp(0.0, most);
        let term = |j: f64| poisson(j, self.rate * (t_s - j * self.period_s));
        let mut all = term(likely);
        // The terms rise to one peak and fall again. It is near, so the closest ones are always taken.
        for (step, room) in [(1.0, most - likely), (-1.0, likely)] {
            let mut away = 1.0;
            while away <= room {
                let one = term(likely + step * away);
                all += one;
                if away >= 3.0 && one <= 1e-17 * all {
                    break;
                }
                away += 1.0;
            }
        }
        all.min(1.0)
    }

    /// `M`: reads begun, those of requests that come while one is under way not counted.
    fn begun(&self, t_s: f64) -> f64 {
        let (mut begun, mut since_s) = (0.0, t_s);
        while since_s > 0.0 {
            begun += 1.0 - self.wait(since_s);
            since_s -= self.period_s;
        }
        begun
    }
}

/// The chance of `count` events where `mean` are expected.
fn poisson(count: f64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return if count == 0.0 { 1.0 } else { 0.0 };
    }
    libm::exp(count * libm::log(mean) - mean - libm::lgamma(count + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn near(found: f64, expected: f64, tolerance: f64) {
        let off = (found - expected).abs();
        assert!(
            off <= tolerance,
            "{found} is not within {tolerance} of {expected}"
        );
    }

    fn at(scheme: &StormScheme, at_s: f64) -> StormPoint {
        *scheme
            .points
            .iter()
            .rfind(|point| point.at_s <= at_s)
            .unwrap()
    }

    fn one(spec: &StormSpec, classes: &[Popularity], moved: f64) -> (StormReport, StormScheme) {
        let report = storm(
            spec,
            "step",
            classes,
            &[StormInput::even("s", moved, classes)],
        )
        .unwrap();
        let scheme = report.schemes[0].clone();
        (report, scheme)
    }

    #[test]
    fn keys_that_are_all_alike_and_never_expire_come_back_one_by_one() {
        // 1,000 keys, each asked for once a second; half of them lost. Nothing else misses.
        let spec = StormSpec {
            requests_per_s: 1_000.0,
            ttl_s: f64::INFINITY,
            database_latency_ms: 0.0,
            minutes: 1.0,
            ..StormSpec::default()
        };
        let (report, scheme) = one(&spec, &[Popularity::new(1_000, 1.0)], 0.5);
        assert_eq!(report.hit_rate_before, 1.0);
        near(scheme.hit_rate_min, 0.5, 1e-12);
        near(scheme.database_reads_per_s_peak, 500.0, 1e-9);
        // After 1 s, e^-1 of them have not been asked for.
        let point = at(&scheme, 1.0);
        near(point.hit_rate, 1.0 - 0.5 * libm::exp(-point.at_s), 1e-12);
        // 0.5 e^-t = 0.01 at ln 50.
        near(scheme.recovered_s.unwrap(), 3.912_023, 1e-5);
        // Each of the 500 once.
        near(scheme.extra_reads, 500.0, 1e-6);
    }

    #[test]
    fn with_a_ttl_the_steady_state_is_a_renewal_process_and_keys_that_came_back_together_expire_together()
     {
        // Asked for ten times a second, with a TTL of 10 s: 100 of 101 requests hit.
        let spec = StormSpec {
            requests_per_s: 10.0,
            ttl_s: 10.0,
            database_latency_ms: 0.0,
            minutes: 1.0,
            ..StormSpec::default()
        };
        let (report, scheme) = one(&spec, &[Popularity::new(1, 1.0)], 1.0);
        near(report.hit_rate_before, 100.0 / 101.0, 1e-12);
        assert_eq!(scheme.hit_rate_min, 0.0);
        near(at(&scheme, 9.0).hit_rate, 1.0, 1e-12);
        // 0.1 s after the first values expired, of keys that came back a tenth of a second after the step or later: Poisson(1; 1) = 0.368.
        let class = Class::new(&Popularity::new(1, 1.0), 1.0, &spec);
        near(class.wait(10.1), libm::exp(-1.0), 1e-6);
        // After 10.3 s a third wave cannot have begun: Poisson(0; 103) + Poisson(1; 3).
        near(class.wait(10.3), 3.0 * libm::exp(-3.0), 1e-12);
        // Long after, the steady state.
        near(class.wait(300_000.0), 1.0 / 101.0, 1e-6);
        // One read after 0.1 s, less 10 * 1/101 of a read in every second that goes by; the most is right after it.
        let (ahead, _) =
            (0..10_000)
                .map(|ms| f64::from(ms) / 1e3)
                .fold((0.0, 0.0), |(most, when), t: f64| {
                    let ahead = 1.0 - libm::exp(-10.0 * t) - t * 10.0 / 101.0;
                    if ahead > most {
                        (ahead, t)
                    } else {
                        (most, when)
                    }
                });
        near(scheme.extra_reads, ahead, 0.01);
    }

    #[test]
    fn a_slow_database_is_read_by_everyone_who_asks_meanwhile_unless_they_coalesce() {
        // One key, 1,000 requests a second, 100 ms: 1 request begins the read and 100 come while it is under way.
        let spec = StormSpec {
            requests_per_s: 1_000.0,
            ttl_s: f64::INFINITY,
            database_latency_ms: 100.0,
            minutes: 1.0,
            ..StormSpec::default()
        };
        let key = [Popularity::new(1, 1.0)];
        let (_, each) = one(&spec, &key, 1.0);
        near(each.extra_reads, 101.0, 1e-9);
        near(at(&each, 0.09).database_reads_per_s, 1_000.0, 1e-6);
        near(at(&each, 0.2).database_reads_per_s, 0.0, 1e-6);
        let (_, together) = one(
            &StormSpec {
                coalesce: true,
                ..spec
            },
            &key,
            1.0,
        );
        near(together.extra_reads, 1.0, 1e-9);
        near(at(&together, 0.09).database_reads_per_s, 0.0, 1e-6);
        // They all wait, either way.
        near(at(&together, 0.09).hit_rate, 0.0, 1e-6);
        assert_eq!(each.recovered_s, together.recovered_s);
        near(
            together.recovered_s.unwrap(),
            0.1 + libm::log(100.0) / 1_000.0,
            1e-6,
        );
    }

    #[test]
    fn what_moves_with_its_data_makes_no_storm() {
        let classes = Popularity::zipf(100_000, 0.99);
        let (report, scheme) = one(&StormSpec::default(), &classes, 0.0);
        assert!(
            scheme
                .points
                .iter()
                .all(|point| point.hit_rate == report.hit_rate_before)
        );
        assert_eq!(
            (scheme.hit_rate_min, scheme.recovered_s, scheme.extra_reads),
            (report.hit_rate_before, Some(0.0), 0.0)
        );
    }

    #[test]
    fn a_storm_that_outlasts_the_time_has_no_end() {
        let spec = StormSpec {
            requests_per_s: 1.0,
            minutes: 1.0,
            ..StormSpec::default()
        };
        let (_, scheme) = one(&spec, &[Popularity::new(100, 1.0)], 1.0);
        assert_eq!(scheme.recovered_s, None);
    }

    #[test]
    fn classes_cover_all_ranks_once_and_agree_with_the_sum_over_keys() {
        let mut next = 0;
        for class in 0..400 {
            let ranks = Popularity::ranks_of(class);
            assert_eq!(ranks.start, next);
            for rank in [
                ranks.start,
                ranks.start + (ranks.end - ranks.start) / 2,
                ranks.end - 1,
            ] {
                assert_eq!(Popularity::class_of(rank), class, "rank {rank}");
            }
            next = ranks.end;
        }
        assert_eq!(Popularity::ranks_of(100_000), 0..0);
        assert!(Popularity::class_of(u64::MAX) < CLASSES_MAX);

        for exponent in [0.0, 0.5, 0.99, 1.0, 1.3] {
            let classes = Popularity::zipf(100_000, exponent);
            assert_eq!(classes.iter().map(|class| class.keys).sum::<u64>(), 100_000);
            let sum: f64 = (1..=100_000)
                .map(|rank| libm::pow(f64::from(rank), -exponent))
                .sum();
            let found: f64 = classes.iter().map(|class| class.requests).sum();
            near(found / sum, 1.0, 1e-6);

            // The hit rate by classes is that of a sum over all keys.
            let spec = StormSpec {
                ttl_s: 60.0,
                requests_per_s: 1_000.0,
                ..StormSpec::default()
            };
            let (report, _) = one(&spec, &classes, 0.5);
            let each: f64 = (1..=100_000)
                .map(|rank| {
                    let share = libm::pow(f64::from(rank), -exponent) / sum;
                    let rate = 1_000.0 * share;
                    share * (60.0 * rate) / (1.0 + rate * 60.005)
                })
                .sum();
            near(report.hit_rate_before, each, 1e-4);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let classes = [Popularity::new(10, 1.0)];
        let refused = |spec: StormSpec, classes: &[Popularity], moved: Vec<f64>| {
            let input = StormInput {
                scheme: "s".into(),
                moved,
            };
            storm(&spec, "step", classes, &[input])
                .unwrap_err()
                .to_string()
        };
        let fine = StormSpec::default();
        assert_eq!(
            refused(
                StormSpec {
                    requests_per_s: f64::NAN,
                    ..fine
                },
                &classes,
                vec![0.0]
            ),
            "requests_per_s: NaN: expected 0.001 to 1000000000000"
        );
        assert_eq!(
            refused(StormSpec { ttl_s: 1.0, ..fine }, &classes, vec![0.0]),
            "minutes: 60: expected at most 1.6666666666666667 here, 100 times the TTL of 1 s; a storm is over long before"
        );
        assert_eq!(
            refused(fine, &[], vec![]),
            "the classes' requests are 0 together; expected 1 to 4096 classes with a number of at least 0 each, and some above 0"
        );
        assert_eq!(
            refused(fine, &classes, vec![1.5]),
            "scheme s: a fraction of 1.5; expected a fraction, 0 to 1, for each of the 1 classes, and at most 1000 schemes"
        );
        assert!(refused(fine, &classes, vec![]).starts_with("scheme s: 0 fractions; expected"));
        let read: StormSpec = toml::from_str("ttl_s = inf\nrequests_per_s = 5e4").unwrap();
        assert_eq!(
            read,
            StormSpec {
                ttl_s: f64::INFINITY,
                requests_per_s: 5e4,
                ..fine
            }
        );
        assert!(toml::from_str::<StormSpec>("ttl = 5").is_err());
    }

    /// What happened to one key in one life.
    #[derive(Clone, Copy)]
    struct Life {
        /// The value is there from then until then.
        from_s: f64,
        until_s: f64,
    }

    /// Every request of every key, one after another, by its definition. A warm-up of five to six TTLs, so that keys do not begin together; then
    /// the step at 0.
    fn brute_force(
        spec: &StormSpec,
        keys: u32,
        exponent: f64,
        seed: u64,
        bins: &[(f64, f64)],
    ) -> (Vec<[f64; 3]>, f64) {
        let mut state = seed;
        let mut uniform = || {
            // splitmix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        let sum: f64 = (1..=keys)
            .map(|rank| libm::pow(f64::from(rank), -exponent))
            .sum();
        let end_s = bins[bins.len() - 1].1;
        // Requests, misses and reads by bin, and the most that reads until the end of a bin are ahead is left to the caller.
        let mut counts = vec![[0.0; 3]; bins.len()];
        let mut reads_after = 0.0;
        for rank in 1..=keys {
            let rate = spec.requests_per_s * libm::pow(f64::from(rank), -exponent) / sum;
            let moved = rank % 2 == 0;
            let mut life = Life {
                from_s: f64::INFINITY,
                until_s: f64::NEG_INFINITY,
            };
            let mut lost = !moved;
            let mut now_s = -spec.ttl_s * (5.0 + uniform());
            loop {
                now_s -= libm::log(1.0 - uniform()) / rate;
                if now_s >= end_s {
                    break;
                }
                if now_s >= 0.0 && !lost {
                    lost = true;
                    life = Life {
                        from_s: f64::INFINITY,
                        until_s: f64::NEG_INFINITY,
                    };
                }
                let is_hit = life.from_s <= now_s && now_s < life.until_s;
                let is_reading = now_s < life.from_s && life.until_s > f64::NEG_INFINITY;
                let mut reads = 0.0;
                if !is_hit {
                    if !is_reading {
                        let from_s = now_s + spec.latency_s();
                        life = Life {
                            from_s,
                            until_s: from_s + spec.ttl_s,
                        };
                    }
                    reads = if is_reading && spec.coalesce {
                        0.0
                    } else {
                        1.0
                    };
                }
                if now_s >= 0.0 {
                    reads_after += reads;
                    if let Some(bin) = bins.iter().position(|bin| bin.0 <= now_s && now_s < bin.1) {
                        counts[bin][0] += 1.0;
                        counts[bin][1] += f64::from(u8::from(!is_hit));
                        counts[bin][2] += reads;
                    }
                }
            }
        }
        (counts, reads_after)
    }

    /// The model's mean over a bin, by many moments.
    fn model(
        spec: &StormSpec,
        classes: &[Class],
        moved: &[(Class, f64)],
        bin: (f64, f64),
    ) -> (f64, f64) {
        let steady = steady(spec, classes);
        let pieces = 50;
        let mut mean = (0.0, 0.0);
        for piece in 0..pieces {
            let at_s = bin.0 + (bin.1 - bin.0) * (f64::from(piece) + 0.5) / f64::from(pieces);
            let point = point(spec, moved, at_s, steady);
            mean.0 += point.hit_rate / f64::from(pieces);
            mean.1 += point.database_reads_per_s / f64::from(pieces);
        }
        mean
    }

    #[test]
    fn the_model_agrees_with_a_simulation_of_every_request() {
        // 400 keys, 2,000 requests a second, a TTL of 6 s: waves at 0, 6 and 12 s. Ten seeds, so some 5,000 to 40,000 requests a bin.
        let bins = [
            (0.0, 0.25),
            (0.25, 1.0),
            (1.0, 3.0),
            (3.0, 5.5),
            (6.0, 6.5),
            (6.5, 8.0),
            (8.0, 11.0),
            (12.0, 13.0),
            (13.0, 15.0),
        ];
        for (latency_ms, coalesce) in [(0.0, false), (50.0, false), (50.0, true)] {
            let spec = StormSpec {
                requests_per_s: 2_000.0,
                ttl_s: 6.0,
                database_latency_ms: latency_ms,
                coalesce,
                minutes: 0.25,
                ..StormSpec::default()
            };
            // One class per key: what is to be shown is the course, not the classes.
            let keys: Vec<Popularity> = (1..=400)
                .map(|rank| Popularity::new(1, libm::pow(f64::from(rank), -0.9)))
                .collect();
            let all: f64 = keys.iter().map(|key| key.requests).sum();
            let classes: Vec<Class> = keys
                .iter()
                .map(|key| Class::new(key, key.requests / all, &spec))
                .collect();
            let moved: Vec<(Class, f64)> = classes
                .iter()
                .copied()
                .skip(1)
                .step_by(2)
                .map(|class| (class, 1.0))
                .collect();

            let mut counts = vec![[0.0; 3]; bins.len()];
            let mut reads = 0.0;
            for seed in 0..10 {
                let (found, after) = brute_force(&spec, 400, 0.9, seed, &bins);
                reads += after / 10.0;
                for (all, one) in counts.iter_mut().zip(found) {
                    for (all, one) in all.iter_mut().zip(one) {
                        *all += one / 10.0;
                    }
                }
            }
            for (bin, [requests, misses, reads]) in bins.into_iter().zip(counts) {
                let (hit_rate, reads_per_s) = model(&spec, &classes, &moved, bin);
                // A hundredth in the hit rate; reads within 4 %, and 10 a second.
                near(1.0 - misses / requests, hit_rate, 0.01);
                let found = reads / (bin.1 - bin.0);
                near(found, reads_per_s, 0.04 * reads_per_s + 10.0);
            }
            // All reads of 15 s: those of the steady state and those that the step adds.
            let expected = steady(&spec, &classes).database_reads_per_s * 15.0
                + extra_reads(&spec, &moved, 15.0);
            near(reads, expected, 0.02 * expected);
        }
    }

    proptest! {
        #[test]
        fn chances_are_chances_and_more_moved_keys_are_more_misses(
            rate in 0.001_f64..1e5, ttl_s in 0.5_f64..1e4, latency_ms in 0.0_f64..500.0, at in 0.0_f64..20.0, moved in 0.0_f64..0.9,
        ) {
            let spec = StormSpec { requests_per_s: rate, ttl_s, database_latency_ms: latency_ms, minutes: ttl_s / 20.0, ..StormSpec::default() };
            let class = Class::new(&Popularity::new(1, 1.0), 1.0, &spec);
            let t_s = at * ttl_s;
            let now = class.at(t_s);
            prop_assert!(0.0 <= now.wait && now.wait <= now.miss && now.miss <= 1.0, "{:?}", now);
            // Reads begin at the rate of requests times the chance that nobody has asked: M' = l w.
            let step_s = (0.01 / rate).min(ttl_s / 1e3);
            if t_s > step_s && (t_s - step_s) % class.period_s > 2.0 * step_s && t_s % class.period_s > 2.0 * step_s {
                let begun = class.begun(t_s) - class.begun(t_s - step_s);
                let expected = rate * step_s * (class.wait(t_s) + 4.0 * class.wait(t_s - step_s / 2.0) + class.wait(t_s - step_s)) / 6.0;
                prop_assert!((begun - expected).abs() <= 1e-6 * expected + 1e-8, "{} begun, {} expected", begun, expected);
            }
            let classes = [Popularity::new(7, 1.0), Popularity::new(1_000, 0.5)];
            let (_, less) = one(&spec, &classes, moved);
            let (_, more) = one(&spec, &classes, moved + 0.1);
            prop_assert!(more.hit_rate_min <= less.hit_rate_min + 1e-12);
            prop_assert!(more.database_reads_per_s_peak >= less.database_reads_per_s_peak - 1e-9);
            prop_assert!(more.extra_reads >= less.extra_reads);
            prop_assert!(less.points.windows(2).all(|pair| pair[0].at_s < pair[1].at_s));
            prop_assert!(less.points[0].at_s == 0.0);
        }
    }
}
