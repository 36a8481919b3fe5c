//! A simulation beside the same lookups and nothing else.

use crate::keys::Keys;
use crate::results::Speed;
use indicatif::{ProgressBar, ProgressStyle};
use keyway::placement::{Algorithm, NodeSpec, Placement};
use keyway::simulation::report::Report;
use keyway::simulation::study::{Built, Study};
use keyway::simulation::{Progress, Scenario, Scheme, Server, Step, run};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

/// At 64 servers: the five of keyway, four of other programs, and a ring.
pub const SCHEMES: [&str; 10] = [
    "ketama",
    "modulo",
    "rendezvous",
    "jump",
    "maglev",
    "twemproxy-ketama",
    "jedis-murmur",
    "redis-rb-5",
    "envoy-maglev",
    "ring/160",
];
const SERVERS: usize = 64;
const THREADS: usize = 2;

/// The bare lookups go round the algorithms with so many keys at a time, which a core's second cache holds.
const BLOCK_KEYS: usize = 4_096;

/// Without a step and with one: pairs of a simulation and of bare lookups, then all seeds in one run, with progress.
pub fn measure(quick: bool) -> Result<Vec<Speed>, String> {
    let (keys, pairs) = if quick { (100_000, 3) } else { (1_000_000, 10) };
    let step = Step::Add(vec![Server::new("new")]);
    Ok(vec![
        beside_bare("64 servers", &[], keys, pairs)?,
        beside_bare("64 servers and one more", &[step], keys, pairs)?,
    ])
}

/// Seeds of a pair.
const PAIR_REPEATS: u32 = 2;

fn beside_bare(about: &str, steps: &[Step], keys: usize, pairs: u32) -> Result<Speed, String> {
    eprintln!("{about}: {pairs} pairs ...");
    let repeats = pairs * PAIR_REPEATS;
    // Each step adds a server.
    let subjects: Result<Vec<Vec<Subject>>, String> = (0..=steps.len())
        .map(|more| subjects(SERVERS + more))
        .collect();
    let subjects = subjects?.into_iter().flatten().collect::<Vec<_>>();
    let mut speed = Speed {
        about: about.to_owned(),
        schemes: SCHEMES.map(str::to_owned).to_vec(),
        stages: 1 + steps.len(),
        keys,
        repeats,
        threads: THREADS,
        simulation_s: Vec::new(),
        bare_s: Vec::new(),
        whole_s: 0.0,
    };
    for pair in 0..pairs {
        let ready: Vec<Keys> = (0..PAIR_REPEATS)
            .map(|repeat| Keys::new(keys, u64::from(pair * PAIR_REPEATS + repeat)))
            .collect();
        let simulate = || timed(&scenario(steps, keys, u64::from(pair), PAIR_REPEATS)?);
        let look_up = || bare(&subjects, &ready);
        // Whoever is second finds the machine warmed up: they take turns.
        let (simulation_s, bare_s) = match pair % 2 {
            0 => (simulate()?, look_up()),
            _ => {
                let bare_s = look_up();
                (simulate()?, bare_s)
            }
        };
        speed.simulation_s.push(simulation_s);
        speed.bare_s.push(bare_s);
    }
    speed.whole_s = timed(&scenario(steps, keys, 1, repeats)?)?;
    Ok(speed)
}

fn scenario(steps: &[Step], keys: usize, seed: u64, repeats: u32) -> Result<Scenario, String> {
    let mut builder = Scenario::builder()
        .keys(keyway::simulation::Keys::made(keys as u64))
        .servers_made(SERVERS)
        .seed(seed)
        .repeats(repeats)
        .threads(THREADS);
    for step in steps {
        builder = builder.step(step.clone());
    }
    for name in SCHEMES {
        let scheme: Scheme = name.parse().map_err(|error| format!("{name}: {error}"))?;
        builder = builder.scheme(scheme);
    }
    builder.build().map_err(|error| error.to_string())
}

/// Seconds of a run, with its progress on the terminal.
fn timed(scenario: &Scenario) -> Result<f64, String> {
    let bar = ProgressBar::new(0).with_style(style());
    let mut observer = |progress: Progress| {
        bar.set_length(progress.keys_total);
        bar.set_position(progress.keys_done);
        ControlFlow::Continue(())
    };
    let start = Instant::now();
    let report: Report = run(scenario, &mut observer).map_err(|error| error.to_string())?;
    let elapsed_s = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    match report.is_complete && report.schemes.len() == SCHEMES.len() {
        true => Ok(elapsed_s),
        false => Err("the simulation is not complete".to_owned()),
    }
}

fn style() -> ProgressStyle {
    let template = "{wide_bar} {percent} % of {human_len} keys, {eta} left";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

enum Subject {
    Placement(Placement),
    Study(Built),
}

fn subjects(servers: usize) -> Result<Vec<Subject>, String> {
    SCHEMES
        .iter()
        .map(|name| {
            let failed = |error: String| format!("{name}: {error}");
            if let Ok(study) = name.parse::<Study>() {
                let built = study.build(&specs(servers, Algorithm::Ketama));
                return built
                    .map(Subject::Study)
                    .map_err(|error| failed(error.to_string()));
            }
            let algorithm: Algorithm = name.parse().map_err(|_| failed("unknown".to_owned()))?;
            Placement::new(algorithm, specs(servers, algorithm))
                .map(Subject::Placement)
                .map_err(|error| failed(error.to_string()))
        })
        .collect()
}

/// Some want addresses, and some the scheme before them.
fn specs(servers: usize, algorithm: Algorithm) -> Vec<NodeSpec> {
    let prefix = match algorithm {
        Algorithm::RedisRb5 => "redis://",
        _ => "",
    };
    (0..servers)
        .map(|server| NodeSpec::new(format!("{prefix}10.0.0.{server}:6379")))
        .collect()
}

impl Subject {
    /// One match for many keys: the loop has the lookup inside.
    fn sum(&self, keys: &[&[u8]]) -> u64 {
        match self {
            Subject::Placement(placement) => keys
                .iter()
                .map(|key| u64::from(placement.node(key).0))
                .sum(),
            Subject::Study(built) => keys.iter().map(|key| u64::from(built.index(key))).sum(),
        }
    }
}

/// Seconds in which two threads look all these keys up, each in every algorithm.
fn bare(subjects: &[Subject], ready: &[Keys]) -> f64 {
    let slices: Vec<Vec<&[u8]>> = ready.iter().map(Keys::slices).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let slices = &slices;
            scope.spawn(move || {
                for keys in slices {
                    let part = keys.len().div_ceil(THREADS);
                    let mine = keys.chunks(part).nth(thread).unwrap_or_default();
                    for block in mine.chunks(BLOCK_KEYS) {
                        for subject in subjects {
                            black_box(subject.sum(black_box(block)));
                        }
                    }
                }
            });
        }
    });
    start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheme_is_one_that_both_sides_know() {
        assert_eq!(subjects(SERVERS).unwrap().len(), SCHEMES.len());
        assert!(timed(&scenario(&[], 1_000, 1, 2).unwrap()).unwrap() > 0.0);
    }

    #[test]
    fn two_threads_look_up_all_keys_and_none_twice() {
        let keys = Keys::new(10_001, 1);
        let slices = keys.slices();
        let part = slices.len().div_ceil(THREADS);
        let parts: Vec<_> = slices.chunks(part).collect();
        assert_eq!(parts.len(), THREADS);
        assert_eq!(parts.concat(), slices);
        assert!(bare(&subjects(SERVERS).unwrap(), &[keys]) > 0.0);
    }
}
