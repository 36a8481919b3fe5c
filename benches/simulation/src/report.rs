//! What a person reads: on the terminal, within 100 columns, and as Markdown.

use crate::grid::Grid;
use crate::number::{bytes, duration, ratio, three_digits, whole};
use crate::results::{Peer, Peers, Results, Speed};
use crate::spread::Spread;
use std::fmt::Write;

pub fn text(results: &Results) -> String {
    let mut text = heading(results).join("\n") + "\n";
    for (title, lines, grid) in parts(results) {
        let _ = write!(text, "\n{title}\n\n");
        for line in &lines {
            text += &wrapped(line);
        }
        if !lines.is_empty() {
            text.push('\n');
        }
        text += &grid.terminal();
    }
    let losses = losses(results);
    if !losses.is_empty() {
        text += "\nwhere keyway loses\n\n";
        for line in losses {
            text += &wrapped(&line);
        }
    }
    text
}

/// With the published figures, which are a table already.
pub fn markdown(results: &Results, figures: &str) -> String {
    let mut text = "# Simulations\n\nWritten by `make bench-simulation ARGS=--publish`; what is measured, and how, is in `src/main.rs` beside this \
                    file.\n\n"
        .to_owned();
    for line in heading(results) {
        let _ = writeln!(text, "- {line}");
    }
    for (title, lines, grid) in parts(results) {
        let _ = write!(text, "\n## {}\n\n", capital(title));
        for line in &lines {
            let _ = writeln!(text, "- {line}");
        }
        if !lines.is_empty() {
            text.push('\n');
        }
        text += &grid.markdown();
    }
    let losses = losses(results);
    if !losses.is_empty() {
        text += "\n## Where keyway loses\n\n";
        for line in losses {
            let _ = writeln!(text, "- {line}");
        }
    }
    let _ = write!(
        text,
        "\n## Published figures\n\nFound again by `cargo run --release --example figures`; each is a test of `make test`. Where a figure is one of all \
         hashes, no keys were needed. What is accepted follows from how many random things were averaged: `examples/figures/` says how.\n\n{figures}"
    );
    text
}

fn capital(title: &str) -> String {
    let mut title = title.to_owned();
    title[..1].make_ascii_uppercase();
    title
}

fn heading(results: &Results) -> Vec<String> {
    let machine = &results.machine;
    let versions: Vec<String> = results
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    vec![
        results.command.clone(),
        format!(
            "{}: {}, {} cores, {}",
            results.date, machine.cpu, machine.cores, machine.kernel
        ),
        versions.join(", "),
    ]
}

fn parts(results: &Results) -> Vec<(&'static str, Vec<String>, Grid)> {
    let mut parts = Vec::new();
    if let Some(speed) = results.speeds.first() {
        parts.push((
            "a simulation beside bare lookups",
            speed_lines(speed),
            speed_grid(&results.speeds),
        ));
    }
    if !results.memory.is_empty() {
        let lines = vec![
            "the most that a process took for one repeat over 16 servers, one of which is removed, by ketama, maglev and ketama@64, with Zipf \
             popularity and sizes from 10 B to 1,000 B"
                .to_owned(),
        ];
        let mut grid = Grid::new(0, &["keys", "peak memory"]);
        for weight in &results.memory {
            grid.row(vec![whole(weight.keys), bytes(weight.peak_bytes as i64)]);
        }
        parts.push(("memory", lines, grid));
    }
    if let Some(peers) = &results.peers {
        parts.push((
            "keys placed in a second",
            peer_lines(peers),
            peer_grid(peers),
        ));
    }
    let verdicts = results.verdicts();
    if !verdicts.is_empty() {
        let mut grid = Grid::new(2, &["", "", "bound", "found"]);
        for verdict in verdicts {
            grid.row(vec![
                verdict.what,
                if verdict.holds { "holds" } else { "MISSED" }.to_owned(),
                ratio(verdict.bound),
                ratio(verdict.found),
            ]);
        }
        parts.push(("bounds", Vec::new(), grid));
    }
    parts
}

fn speed_lines(speed: &Speed) -> Vec<String> {
    vec![
        format!(
            "{}; {} keys a seed, {} seeds, {} threads",
            speed.schemes.join(", "),
            whole(speed.keys as u64),
            speed.repeats,
            speed.threads
        ),
        format!(
            "a simulation builds its tables, makes its keys, looks them up, counts, and shows its progress; bare lookups have tables and \
             keys, these in the cache, and do nothing else. {} pairs, medians with the least and most; all: all seeds in one run",
            speed.simulation_s.len()
        ),
    ]
}

fn speed_grid(speeds: &[Speed]) -> Grid {
    let mut grid = Grid::new(
        2,
        &[
            "",
            "",
            "million lookups/s",
            "spread",
            "ratio",
            "spread",
            "all",
        ],
    );
    for speed in speeds {
        let lookups = speed.lookups() / speed.simulation_s.len() as f64;
        let rates = |seconds: &[f64]| {
            let spread = Spread::of(seconds.iter().map(|seconds| lookups / seconds / 1e6));
            [
                three_digits(spread.median),
                format!("{}-{}", three_digits(spread.min), three_digits(spread.max)),
            ]
        };
        let shown = speed.ratio();
        let mut row = vec![speed.about.clone(), "simulation".to_owned()];
        row.extend(rates(&speed.simulation_s));
        row.push(ratio(shown.median));
        row.push(format!("{}-{}", ratio(shown.min), ratio(shown.max)));
        row.push(duration(speed.whole_s * 1e3));
        grid.row(row);
        let mut row = vec![String::new(), "bare".to_owned()];
        row.extend(rates(&speed.bare_s));
        row.extend([ratio(1.0), String::new(), String::new()]);
        grid.row(row);
    }
    grid
}

fn peer_lines(peers: &Peers) -> Vec<String> {
    let mut lines = vec![
        format!(
            "one thread, {} servers of {} points each; {} rounds of {} keys ({} in Python), ratios to keyway's ketama are medians of pairs",
            peers.servers,
            peers.points,
            peers.rounds,
            whole(peers.keys as u64),
            whole(peers.python_keys as u64)
        ),
        "each hashes keys in its own way; uhashring has the ring of libketama and hashes keys as it does, which is checked".to_owned(),
    ];
    lines.extend(peers.missing.clone());
    lines
}

fn peer_grid(peers: &Peers) -> Grid {
    let mut grid = Grid::new(
        2,
        &["ring", "hash", "million keys/s", "spread", "ratio", "build"],
    );
    let ours = peers.rows.first();
    for row in &peers.rows {
        let rate = Spread::of(row.keys_per_s.iter().map(|rate| rate / 1e6));
        let against = ours.map(|ours| Spread::of_ratios(&row.keys_per_s, &ours.keys_per_s));
        grid.row(vec![
            row.name.clone(),
            row.about.clone(),
            three_digits(rate.median),
            format!("{}-{}", three_digits(rate.min), three_digits(rate.max)),
            against.map_or(String::new(), |against| ratio(against.median)),
            match row.build_s.is_empty() {
                true => String::new(),
                false => duration(Spread::of(row.build_s.iter().copied()).median * 1e3),
            },
        ]);
    }
    grid
}

/// Of keyway's rows against the others.
fn losses(results: &Results) -> Vec<String> {
    let Some(peers) = &results.peers else {
        return Vec::new();
    };
    let is_ours = |row: &&Peer| row.name.starts_with("keyway");
    let mut losses = Vec::new();
    for ours in peers.rows.iter().filter(is_ours) {
        for other in peers.rows.iter().filter(|row| !is_ours(row)) {
            let slower = Spread::of_ratios(&other.keys_per_s, &ours.keys_per_s).median;
            if slower > 1.0 {
                losses.push(format!(
                    "{}: {} places {} times as many keys",
                    ours.name,
                    other.name,
                    ratio(slower)
                ));
            }
            let is_built = !ours.build_s.is_empty() && !other.build_s.is_empty();
            let longer = || Spread::of_ratios(&ours.build_s, &other.build_s).median;
            if let Some(longer) = is_built.then(longer).filter(|longer| *longer > 1.0) {
                losses.push(format!(
                    "{}: it is built in {} times the time of {}",
                    ours.name,
                    ratio(longer),
                    other.name
                ));
            }
        }
    }
    losses
}

/// Columns of a terminal.
const WIDTH: usize = 100;

/// A line of a list, broken between words.
fn wrapped(line: &str) -> String {
    let mut text = String::from("-");
    let mut column = 1;
    for word in line.split(' ') {
        let length = word.chars().count();
        if column + 1 + length > WIDTH {
            text += "\n ";
            column = 1;
        }
        text.push(' ');
        text += word;
        column += 1 + length;
    }
    text + "\n"
}

#[cfg(test)]
pub use tests::fixture;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Machine, Weight};

    pub fn fixture() -> Results {
        let speed = |about: &str, stages, simulation_s: [f64; 3]| Speed {
            about: about.to_owned(),
            schemes: vec!["ketama".to_owned(), "jump".to_owned()],
            stages,
            keys: 1_000_000,
            repeats: 6,
            threads: 2,
            simulation_s: simulation_s.to_vec(),
            bare_s: [0.1, 0.09, 0.1].map(|s| s * stages as f64).to_vec(),
            whole_s: 0.33,
        };
        let peer = |name: &str, about: &str, rate: f64, build_s: f64| Peer {
            name: name.to_owned(),
            about: about.to_owned(),
            keys_per_s: vec![rate, 1.1 * rate, 0.9 * rate],
            build_s: vec![build_s; 3],
        };
        Results {
            date: "2026-01-31".to_owned(),
            machine: Machine {
                cpu: "A Processor".to_owned(),
                cores: 2,
                kernel: "6.1".to_owned(),
            },
            versions: [("keyway", "0.1.0"), ("rustc", "1.95.0")]
                .map(|(name, version)| (name.to_owned(), version.to_owned()))
                .into(),
            command: "make bench-simulation".to_owned(),
            speeds: vec![
                speed("64 servers", 1, [0.11, 0.1, 0.12]),
                speed("64 servers and one more", 2, [0.22, 0.2, 0.21]),
            ],
            memory: vec![
                Weight {
                    keys: 1_000_000,
                    peak_bytes: 10_000_000,
                },
                Weight {
                    keys: 10_000_000,
                    peak_bytes: 10_100_000,
                },
                Weight {
                    keys: 100_000_000,
                    peak_bytes: 10_200_000,
                },
            ],
            peers: Some(Peers {
                servers: 64,
                points: 160,
                rounds: 3,
                keys: 500_000,
                python_keys: 100_000,
                rows: vec![
                    peer("keyway ketama", "crc32 of keys", 50e6, 0.0005),
                    Peer {
                        build_s: Vec::new(),
                        ..peer(
                            "keyway simulate",
                            "ketama; makes its keys, counts",
                            15e6,
                            0.0,
                        )
                    },
                    peer("hashring", "Rust, SipHash of keys", 20e6, 0.0003),
                    peer("uhashring", "Python, MD5 of keys", 0.5e6, 0.05),
                ],
                missing: None,
            }),
        }
    }

    #[test]
    fn a_run_as_a_person_reads_it() {
        let text = text(&fixture());
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_run_as_it_is_published() {
        insta::assert_snapshot!(markdown(&fixture(), "| figure |\n|:--|\n| a ring |\n"));
    }

    #[test]
    fn without_python_the_table_says_why() {
        let mut results = fixture();
        let peers = results.peers.as_mut().unwrap();
        peers.rows.pop();
        peers.missing = Some("no uhashring: nothing there".to_owned());
        assert!(text(&results).contains("- no uhashring: nothing there\n"));
    }
}
