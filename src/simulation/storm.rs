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
//! Every request that finds no value reads the database, at a rate of `l * u(t)`; if callers `coalesce` theirs, one of them does, at `l * w(t)`. The reads
//! without coalescing are of requests that come while the first is read; that they set the value again, up to `d` later, is left out.
//!
//! A point of the report is the mean over the second before it, as monitoring shows it, or since the step where that is less; so the first point is the
//! moment of the step itself, when all that moved is missing. The means are exact, by `M` and its integral.
//!
//! With a TTL, reads are ahead of what they would have been only for a while, since what has just been read need not be read so soon: `extra_reads` is
//! the most that they are ahead.
//!
//! Keys are taken together in [classes](Popularity) of about the same popularity, and of each class a part moves. Assumed besides:
//! - The cache holds every value for its TTL: nothing is evicted for want of memory. Values that stay behind on the old server take memory there until
//!   they expire.
//! - The database takes all reads in the same time. If it is said what it can take, reads beyond that wait, one after another, and `overload` says how
//!   many and how long; but the course of the hit rate stays that of a database that takes all. So where it is overloaded the true storm is worse than
//!   this one: requests for what is waited for miss meanwhile, callers give up and ask again.
//! - All values have the same TTL and nobody deletes them. So the keys that many ask for expire together, `D` after the step and again and again: a TTL
//!   that varies from key to key smooths these waves, and the storm is over sooner.
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

use super::report::{StormOverload, StormPoint, StormReport, StormScheme};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
/// What a point is the mean of.
const WINDOW_S: f64 = 1.0;
/// Moments to look at: evenly over the time; after the step, closer and closer to it; and after each of the waves that follow it.
const POINTS_EVEN: u32 = 120;
const POINTS_AFTER_STEP: u32 = 60;
const CLOSEST_S: f64 = 1e-3;
const POINTS_AFTER_WAVE_S: [f64; 7] = [0.0, 0.25, 1.0, 2.0, 5.0, 10.0, 30.0];
/// Recovered: the hit rate is this much of what it was.
const RECOVERED: f64 = 0.99;

/// The cache and its database: `[storm]` of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StormSpec {
    /// Requests to the cache, per second, all together. Default: 10,000.
    pub requests_per_s: f64,
    /// How long a value lives, in seconds, at least 1; `inf`: for ever. Default: 3,600.
    pub ttl_s: f64,
    /// How long the database takes to answer, in milliseconds. Default: 5.
    pub database_latency_ms: f64,
    /// Whether of requests that miss one key at the same time only one reads the database. Default: no.
    pub coalesce: bool,
    /// What the database can take, in reads per second: for `overload` in the report. Default: not said.
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
        within("ttl_s", self.ttl_s, 1.0, f64::INFINITY)?;
        within(
            "database_latency_ms",
            self.database_latency_ms,
            0.0,
            60_000.0,
        )?;
        if let Some(max) = self.database_reads_per_s_max {
            within("database_reads_per_s_max", max, 0.001, 1e12)?;
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
/// Cost: 200 to 900 moments times the classes, for all schemes together: some 5 ms for a million keys and a time of one TTL, 0.2 s for 100 TTLs.
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
    let moments = moments(spec);
    let is_moved = |at: usize| inputs.iter().any(|input| input.moved[at] > 0.0);
    let courses: Vec<Vec<Course>> = (classes.iter().enumerate())
        .map(|(at, class)| match is_moved(at) && class.rate > 0.0 {
            true => class.course(&moments),
            false => Vec::new(),
        })
        .collect();
    Ok(StormReport {
        step: step.to_owned(),
        requests_per_s: spec.requests_per_s,
        hit_rate_before: steady.hit_rate,
        database_reads_per_s_max: spec.database_reads_per_s_max,
        schemes: inputs
            .iter()
            .map(|input| scheme(spec, &classes, &courses, input, steady))
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
    courses: &[Vec<Course>],
    input: &StormInput,
    steady: StormPoint,
) -> StormScheme {
    let moved: Vec<(Class, f64)> = (classes.iter().copied())
        .zip(input.moved.iter().copied())
        .filter(|(class, moved)| class.rate > 0.0 && *moved > 0.0)
        .collect();
    let courses: Vec<&Vec<Course>> = (courses.iter().zip(&input.moved))
        .filter(|(course, moved)| !course.is_empty() && **moved > 0.0)
        .map(|(course, _)| course)
        .collect();
    let mut points = Vec::new();
    let mut extra_reads: f64 = 0.0;
    let mut queue = (spec.database_reads_per_s_max)
        .map(|reads_per_s_max| Queue::new(reads_per_s_max, steady.database_reads_per_s));
    for (place, moment) in moments(spec).iter().enumerate() {
        let at_s = moment.at_s(spec.period_s());
        let now = |class: usize| courses[class][place].last;
        points.push(point(spec, &moved, at_s, steady, now));
        let all = |class: usize| courses[class][place].all;
        let ahead = ahead(spec, &moved, at_s, all);
        extra_reads = extra_reads.max(ahead);
        if let Some(queue) = &mut queue {
            queue.advance(at_s, ahead);
        }
    }
    let of = |value: fn(&StormPoint) -> f64| points.iter().map(value);
    let hit_rate = |at_s: f64| {
        let from_s = (at_s - WINDOW_S).max(0.0);
        let now = |class: usize| moved[class].0.mean(from_s, at_s);
        point(spec, &moved, at_s, steady, now).hit_rate
    };
    StormScheme {
        scheme: input.scheme.clone(),
        hit_rate_min: of(|point| point.hit_rate).fold(f64::INFINITY, f64::min),
        database_reads_per_s_peak: of(|point| point.database_reads_per_s).fold(0.0, f64::max),
        extra_reads,
        recovered_s: recovered_s(&points, RECOVERED * steady.hit_rate, hit_rate),
        overload: queue.map(|queue| queue.overload),
        points,
    }
}

/// Reads that wait for a database that takes so many a second, in the order in which they come.
struct Queue {
    reads_per_s_max: f64,
    steady_per_s: f64,
    at_s: f64,
    /// Reads that have come by then, less those that could have been taken.
    net: f64,
    waiting: f64,
    overload: StormOverload,
}

impl Queue {
    fn new(reads_per_s_max: f64, steady_per_s: f64) -> Queue {
        Queue {
            reads_per_s_max,
            steady_per_s,
            at_s: 0.0,
            net: 0.0,
            waiting: 0.0,
            overload: StormOverload {
                until_s: Some(0.0),
                ..StormOverload::default()
            },
        }
    }

    /// Lindley: what waits is what waited and came, less what was taken, and never less than nothing.
    fn advance(&mut self, at_s: f64, ahead: f64) {
        let net = (self.steady_per_s - self.reads_per_s_max) * at_s + ahead;
        let came = net - self.net;
        let before = self.waiting;
        let left = before + came;
        self.waiting = left.max(0.0);
        let overload = &mut self.overload;
        overload.waiting_max = overload.waiting_max.max(self.waiting);
        overload.wait_s_max = match overload.waiting_max > 0.0 {
            true => overload.waiting_max / self.reads_per_s_max,
            false => 0.0,
        };
        if self.waiting > 0.0 {
            overload.until_s = None;
        } else if before > 0.0 {
            // Between the two moments, where a straight line meets nothing.
            overload.until_s = Some(self.at_s + (at_s - self.at_s) * before / (before - left));
        }
        (self.at_s, self.net) = (at_s, net);
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

/// How it is if of each class that moved it is as `now` says.
fn point(
    spec: &StormSpec,
    moved: &[(Class, f64)],
    at_s: f64,
    steady: StormPoint,
    now: impl Fn(usize) -> Chances,
) -> StormPoint {
    let (mut misses, mut reads) = (0.0, 0.0);
    for (at, (class, moved)) in moved.iter().enumerate() {
        let (now, before) = (now(at), class.steady());
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

/// Reads of the database until then, less those that there would have been without the step. `all` says how it was since the step.
fn ahead(
    spec: &StormSpec,
    moved: &[(Class, f64)],
    at_s: f64,
    all: impl Fn(usize) -> Chances,
) -> f64 {
    let mut ahead = 0.0;
    for (at, (class, moved)) in moved.iter().enumerate() {
        let more = all(at).reading(spec) - class.steady().reading(spec);
        ahead += class.keys * moved * class.rate * at_s * more;
    }
    ahead
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

/// So long after the begin of a wave. Many moments are the same time after different waves, and have all but one term in common.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Moment {
    wave: usize,
    /// Less than a period.
    after_s: f64,
}

impl Moment {
    fn at_s(self, period_s: f64) -> f64 {
        match self.wave {
            0 => self.after_s,
            wave => wave as f64 * period_s + self.after_s,
        }
    }
}

/// The moments to look at, ascending.
fn moments(spec: &StormSpec) -> Vec<Moment> {
    let (horizon_s, period_s) = (spec.horizon_s(), spec.period_s());
    let step_s = horizon_s / f64::from(POINTS_EVEN);
    let even = (0..=POINTS_EVEN).map(|at| step_s * f64::from(at));
    let after_each: Vec<f64> = even.chain(POINTS_AFTER_WAVE_S).collect();
    let ratio = libm::log(horizon_s / CLOSEST_S).max(0.0) / f64::from(POINTS_AFTER_STEP);
    let after_step = (0..POINTS_AFTER_STEP).map(|at| CLOSEST_S * libm::exp(ratio * f64::from(at)));
    let waves = libm::floor(horizon_s / period_s) as usize;
    let mut moments: Vec<Moment> = after_step
        .map(|after_s| Moment { wave: 0, after_s })
        .collect();
    for wave in 0..=waves {
        moments.extend(after_each.iter().map(|&after_s| Moment { wave, after_s }));
    }
    moments.retain(|moment| moment.after_s < period_s && moment.at_s(period_s) <= horizon_s);
    moments.sort_by(|a, b| a.at_s(period_s).total_cmp(&b.at_s(period_s)));
    moments.dedup_by(|a, b| a.at_s(period_s) - b.at_s(period_s) < 1e-6);
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

/// Of a key's requests.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Chances {
    /// Those that are the first since the value was there: `w`.
    wait: f64,
    /// Those that find no value: `u`.
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

    /// How it is at these moments, if the value was lost at 0.
    fn course(&self, moments: &[Moment]) -> Vec<Course> {
        let mut untils: BTreeMap<u64, Vec<Until>> = BTreeMap::new();
        let mut until = |wave: usize, after_s: f64| {
            let (wave, after_s) = match (after_s < 0.0, wave) {
                (false, _) => (wave, after_s),
                (true, 0) => return Until::default(),
                // What is taken off is less than a period: a second, or a second and the time of a read, and a TTL is at least a second.
                (true, _) => (wave - 1, after_s + self.period_s),
            };
            let series = untils.entry(after_s.to_bits()).or_default();
            while series.len() <= wave {
                let before = series.last().copied().unwrap_or_default();
                let wave = series.len();
                let at_s = Moment { wave, after_s }.at_s(self.period_s);
                series.push(self.next(before, at_s));
            }
            series[wave]
        };
        let course = |&Moment { wave, after_s }: &Moment| {
            let at_s = Moment { wave, after_s }.at_s(self.period_s);
            let to = (until(wave, after_s), until(wave, after_s - self.latency_s));
            let from_s = after_s - WINDOW_S;
            let from = (until(wave, from_s), until(wave, from_s - self.latency_s));
            Course {
                last: self.mean_of(from, to, at_s.min(WINDOW_S)),
                all: self.mean_of(Default::default(), to, at_s),
            }
        };
        moments.iter().map(course).collect()
    }

    /// The mean from `from_s` until `to_s` after the value was lost; of no time, what is true at its loss.
    fn mean(&self, from_s: f64, to_s: f64) -> Chances {
        let until = |at_s: f64| (self.until(at_s), self.until(at_s - self.latency_s));
        self.mean_of(until(from_s), until(to_s), to_s - from_s)
    }

    /// By what was begun until the begin and the end of a time, and until `d` before each.
    fn mean_of(&self, from: (Until, Until), to: (Until, Until), span_s: f64) -> Chances {
        if span_s <= 0.0 {
            return Chances {
                wait: 1.0,
                miss: 1.0,
            };
        }
        // Reads begin at the rate of requests, where nobody has asked yet.
        let wait = ((to.0.begun - from.0.begun) / (self.rate * span_s)).clamp(0.0, 1.0);
        let ever = (to.0.begun_integral - from.0.begun_integral) / span_s;
        let answered = (to.1.begun_integral - from.1.begun_integral) / span_s;
        Chances {
            wait,
            miss: (wait + (ever - answered).max(0.0)).min(1.0),
        }
    }

    /// `M` and its integral.
    fn until(&self, t_s: f64) -> Until {
        let mut until = Until::default();
        if t_s > 0.0 {
            let waves = libm::floor(t_s / self.period_s) as usize;
            for back in (0..=waves).rev() {
                let at_s = match back {
                    0 => t_s,
                    _ => (t_s - back as f64 * self.period_s).max(0.0),
                };
                until = self.next(until, at_s);
            }
        }
        until
    }

    /// At `at_s`, by what it was a period before: one term more. `1 - w` integrates to `t - M(t) / l`.
    fn next(&self, before: Until, at_s: f64) -> Until {
        let begun = before.begun + 1.0 - self.wait(at_s);
        Until {
            begun,
            begun_integral: before.begun_integral + at_s - begun / self.rate,
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
}

/// How it was with a key that was lost: over the second before a moment, and since the step.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Course {
    last: Chances,
    all: Chances,
}

/// What was begun until a moment by one key: `M`, and its integral.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Until {
    begun: f64,
    begun_integral: f64,
}

/// The chance of `count` events where `mean` are expected.
fn poisson(count: f64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return if count == 0.0 { 1.0 } else { 0.0 };
    }
    libm::exp(count * libm::log(mean) - mean - libm::lgamma(count + 1.0))
}

#[cfg(test)]
mod tests;
