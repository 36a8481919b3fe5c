//! Keys placed in a second by one thread, over 64 servers of 160 points.

use crate::keys::Keys;
use crate::results::{Peer, Peers};
use hashring::HashRing;
use keyway::placement::{Algorithm, NodeSpec, Placement};
use keyway::simulation::study::Study;
use keyway::simulation::{Scenario, Scheme, run, uninterrupted};
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

const SERVERS: usize = 64;
const POINTS: usize = 160;
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/uhashring/bin/python3");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/turns.py");

/// Something that places keys. A turn places `keys` of them and says how many seconds that took.
struct Subject {
    name: &'static str,
    about: &'static str,
    /// `None`: it is the build of another row.
    build_s: Option<Box<dyn FnMut() -> Result<f64, String>>>,
    turn_s: Box<dyn FnMut() -> Result<f64, String>>,
    /// Keys of a turn.
    keys: usize,
}

pub fn measure(quick: bool) -> Result<Peers, String> {
    let (rounds, keys, python_keys) = if quick {
        (3, 100_000, 10_000)
    } else {
        (15, 500_000, 100_000)
    };
    eprintln!("keys placed in a second ...");
    let keys: &'static Keys = Box::leak(Box::new(Keys::new(keys, 7)));
    let mut subjects = vec![
        placement("keyway ketama", "crc32 of keys", Algorithm::Ketama, keys)?,
        placement(
            "keyway libketama",
            "MD5 of keys, as uhashring",
            Algorithm::Libketama,
            keys,
        )?,
        study("keyway ring/160", "xxh3 of keys", keys)?,
        simulation("keyway simulate", "ketama; makes its keys, counts", keys)?,
        hashring(keys),
    ];
    let missing = match uhashring(keys, python_keys) {
        Ok(subject) => {
            subjects.push(subject);
            None
        }
        Err(why) => Some(why),
    };
    let mut rows: Vec<Peer> = subjects
        .iter()
        .map(|subject| Peer {
            name: subject.name.to_owned(),
            about: subject.about.to_owned(),
            keys_per_s: Vec::new(),
            build_s: Vec::new(),
        })
        .collect();
    for round in 0..rounds {
        for step in 0..subjects.len() {
            let at = (round + step) % subjects.len();
            let subject = &mut subjects[at];
            if let Some(build_s) = &mut subject.build_s {
                rows[at].build_s.push(build_s()?);
            }
            let elapsed_s = (subject.turn_s)()?;
            rows[at].keys_per_s.push(subject.keys as f64 / elapsed_s);
        }
    }
    Ok(Peers {
        servers: SERVERS,
        points: POINTS,
        rounds,
        keys: keys.slices().len(),
        python_keys,
        rows,
        missing,
    })
}

fn name(server: usize) -> String {
    format!("10.0.0.{server}:6379")
}

fn specs() -> Vec<NodeSpec> {
    (0..SERVERS)
        .map(|server| NodeSpec::new(name(server)))
        .collect()
}

/// Places all keys, one after the other.
fn turn(
    keys: &'static Keys,
    find: impl Fn(&[u8]) -> u64 + 'static,
) -> Box<dyn FnMut() -> Result<f64, String>> {
    let slices = keys.slices();
    Box::new(move || {
        let start = Instant::now();
        let sum: u64 = black_box(&slices).iter().map(|key| find(key)).sum();
        black_box(sum);
        Ok(start.elapsed().as_secs_f64())
    })
}

/// Builds it and throws it away.
fn build<T>(make: impl Fn() -> T + 'static) -> Box<dyn FnMut() -> Result<f64, String>> {
    Box::new(move || {
        let start = Instant::now();
        drop(black_box(make()));
        Ok(start.elapsed().as_secs_f64())
    })
}

fn placement(
    name: &'static str,
    about: &'static str,
    algorithm: Algorithm,
    keys: &'static Keys,
) -> Result<Subject, String> {
    let placement =
        Placement::new(algorithm, specs()).map_err(|error| format!("{name}: {error}"))?;
    Ok(Subject {
        name,
        about,
        build_s: Some(build(move || Placement::new(algorithm, specs()))),
        turn_s: turn(keys, move |key| u64::from(placement.node(key).0)),
        keys: keys.slices().len(),
    })
}

fn study(name: &'static str, about: &'static str, keys: &'static Keys) -> Result<Subject, String> {
    let study = Study::Ring {
        points: POINTS as u32,
    };
    let built = study.build(&specs()).map_err(|error| error.to_string())?;
    Ok(Subject {
        name,
        about,
        build_s: Some(build(move || study.build(&specs()))),
        turn_s: turn(keys, move |key| u64::from(built.index(key))),
        keys: keys.slices().len(),
    })
}

/// All that a simulation does, on one thread.
fn simulation(
    name: &'static str,
    about: &'static str,
    keys: &'static Keys,
) -> Result<Subject, String> {
    let count = keys.slices().len();
    let scheme: Scheme = "ketama"
        .parse()
        .map_err(|error| format!("{name}: {error}"))?;
    let scenario = Scenario::builder()
        .keys(keyway::simulation::Keys::made(count as u64))
        .servers_made(SERVERS)
        .scheme(scheme)
        .repeats(1)
        .threads(1)
        .build()
        .map_err(|error| format!("{name}: {error}"))?;
    Ok(Subject {
        name,
        about,
        build_s: None,
        turn_s: Box::new(move || {
            let start = Instant::now();
            let report = run(&scenario, &mut uninterrupted).map_err(|error| error.to_string())?;
            black_box(report);
            Ok(start.elapsed().as_secs_f64())
        }),
        keys: count,
    })
}

/// It has one point for each thing it is given: 160 of them are a server.
fn hashring(keys: &'static Keys) -> Subject {
    fn ring() -> HashRing<(u16, u16)> {
        let points = |server| (0..POINTS as u16).map(move |point| (server, point));
        let mut ring = HashRing::new();
        ring.batch_add((0..SERVERS as u16).flat_map(points).collect());
        ring
    }
    let built = ring();
    Subject {
        name: "hashring",
        about: "Rust, SipHash of keys",
        build_s: Some(build(ring)),
        turn_s: turn(keys, move |key| {
            built
                .get(&key)
                .map_or(u64::MAX, |(server, _)| u64::from(*server))
        }),
        keys: keys.slices().len(),
    }
}

/// A process that builds and places on demand, and says what it took.
struct Python {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Python {
    fn start(keys: &Keys, count: usize) -> Result<Python, String> {
        if !std::path::Path::new(PYTHON).exists() {
            return Err("no uhashring: scripts/setup-uhashring.sh has not installed it".to_owned());
        }
        let mut child = Command::new(PYTHON)
            .arg(SCRIPT)
            .arg(count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no uhashring: {error}"))?;
        let (Some(commands), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no uhashring: no pipes".to_owned());
        };
        let mut python = Python {
            child,
            commands,
            answers: BufReader::new(answers),
        };
        let lines: Vec<String> = (0..SERVERS).map(name).collect();
        let keys = keys.lines();
        let some: Vec<&[u8]> = keys.split(|byte| *byte == b'\n').take(count).collect();
        let text = [lines.join(" ").as_bytes(), &some.join(&b' ')].join(&b'\n');
        python.say(&text)?;
        Ok(python)
    }

    fn say(&mut self, line: &[u8]) -> Result<(), String> {
        let sent = self.commands.write_all(&[line, b"\n"].concat());
        let sent = sent.and_then(|()| self.commands.flush());
        sent.map_err(|error| format!("uhashring: {error}"))
    }

    /// Seconds, and the sum of the servers' numbers, which is 0 for a build.
    fn ask(&mut self, command: &str) -> Result<(f64, u64), String> {
        self.say(command.as_bytes())?;
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        read.map_err(|error| format!("uhashring: {error}"))?;
        let answer = line.trim().split_once(' ');
        let answer =
            answer.and_then(|(ns, sum)| Some((ns.parse::<f64>().ok()? / 1e9, sum.parse().ok()?)));
        answer.ok_or_else(|| format!("uhashring: {line:?} is no answer to {command}"))
    }
}

fn uhashring(keys: &'static Keys, count: usize) -> Result<Subject, String> {
    use std::cell::RefCell;
    use std::rc::Rc;

    let mut python = Python::start(keys, count)?;
    python.ask("build")?;
    // It is the ring that libketama has, so that there is something to check.
    let (_, sum) = python.ask("place")?;
    let ours = Placement::new(Algorithm::Libketama, specs()).map_err(|error| error.to_string())?;
    let slices = keys.slices();
    let expected: u64 = slices[..count]
        .iter()
        .map(|key| u64::from(ours.node(key).0))
        .sum();
    if sum != expected {
        return Err(format!(
            "uhashring places keys otherwise: its sum is {sum}, libketama's {expected}"
        ));
    }
    let python = Rc::new(RefCell::new(python));
    let other = python.clone();
    Ok(Subject {
        name: "uhashring",
        about: "Python, MD5 of keys",
        build_s: Some(Box::new(move || Ok(python.borrow_mut().ask("build")?.0))),
        turn_s: Box::new(move || Ok(other.borrow_mut().ask("place")?.0)),
        keys: count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_figure_for_every_round() {
        let peers = measure(true).unwrap();
        assert!(peers.rows.len() == 6 || peers.missing.is_some());
        for row in &peers.rows {
            let builds = if row.name == "keyway simulate" { 0 } else { 3 };
            let figures = (row.keys_per_s.len(), row.build_s.len());
            assert_eq!(figures, (3, builds), "{}", row.name);
            assert!(
                row.keys_per_s
                    .iter()
                    .chain(&row.build_s)
                    .all(|value| *value > 0.0)
            );
        }
    }
}
