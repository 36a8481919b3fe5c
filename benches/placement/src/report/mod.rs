//! What a person reads: on the terminal, within 100 columns, and as Markdown.

#[cfg(test)]
pub mod fixture;

use crate::floors;
use crate::grid::Grid;
use crate::number::{bytes, duration, ratio, three_digits, whole};
use crate::results::{Cell, Measured, Outcome, Results, Row};
use crate::statistics::Spread;
use std::fmt::Write;

pub fn text(results: &Results) -> String {
    let mut text = heading(results).join("\n") + "\n";
    for cell in &results.cells {
        let _ = write!(
            text,
            "\n{} nodes\n\n{}",
            whole(cell.nodes.into()),
            lookups(cell).terminal()
        );
    }
    let floors = floor_grid(results);
    if !floors.is_empty() {
        let _ = write!(text, "\nfloors\n\n{}", floors.terminal());
    }
    for (title, lines) in lists(results) {
        let _ = write!(text, "\n{title}\n\n");
        for line in lines {
            text += &wrapped(&line);
        }
    }
    text
}

pub fn markdown(results: &Results) -> String {
    let mut text = "# What a lookup costs\n\nWritten by `make bench-placement ARGS=--publish`; what is measured, and how, is in `src/main.rs` beside \
                    this file.\n\n"
        .to_owned();
    for line in heading(results) {
        let _ = writeln!(text, "- {line}");
    }
    for cell in &results.cells {
        let _ = write!(
            text,
            "\n## {} nodes\n\n{}",
            whole(cell.nodes.into()),
            lookups(cell).markdown()
        );
    }
    let floors = floor_grid(results);
    if !floors.is_empty() {
        let _ = write!(text, "\n## Floors\n\n{}", floors.markdown());
    }
    for (title, lines) in lists(results) {
        let mut title = title.to_owned();
        title[..1].make_ascii_uppercase();
        let _ = write!(text, "\n## {title}\n\n");
        for line in lines {
            let _ = writeln!(text, "- {line}");
        }
    }
    text
}

fn heading(results: &Results) -> Vec<String> {
    let (machine, settings) = (&results.machine, &results.settings);
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
        format!(
            "{} keys of {} bytes on average, in random order; {} rounds of {} us each",
            three_digits(settings.keys as f64),
            three_digits(settings.key_bytes),
            settings.rounds,
            settings.window_us
        ),
        "ns: of one lookup, and of the key's hash alone: medians of rounds, with the least and most"
            .to_owned(),
        "ratio: of the lookup to the hash alone, and to a lookup of pingora-ketama; medians of pairs"
            .to_owned(),
    ]
}

fn lookups(cell: &Cell) -> Grid {
    let mut grid = Grid::new(
        1,
        &[
            "algorithm",
            "ns",
            "spread",
            "hash",
            "ns",
            "ratio",
            "pingora",
            "build",
            "memory",
        ],
    );
    for row in &cell.rows {
        let name = row.name.clone();
        let word = |word: &str| {
            let mut texts = vec![String::new(); 9];
            texts[0].clone_from(&name);
            texts[1] = word.to_owned();
            texts
        };
        grid.row(match &row.outcome {
            Outcome::Refused(_) => word("refused"),
            Outcome::Missing(_) => word("missing"),
            Outcome::Measured(measured) => vec![
                name,
                three_digits(measured.lookup().median),
                spread(measured.lookup()),
                short(&row.hash).to_owned(),
                three_digits(measured.hash().median),
                ratio(measured.to_hash().median),
                ratio(measured.to_pingora().median),
                duration(measured.build_ms),
                bytes(measured.bytes),
            ],
        });
    }
    grid
}

fn spread(spread: Spread) -> String {
    format!("{}-{}", three_digits(spread.min), three_digits(spread.max))
}

/// The column has no room for the whole of it.
fn short(hash: &str) -> &str {
    match hash {
        "one_at_a_time" => "one_at_a",
        hash => hash,
    }
}

fn floor_grid(results: &Results) -> Grid {
    let mut grid = Grid::new(
        3,
        &[
            "algorithm",
            "against",
            "",
            "nodes",
            "bound",
            "ratio",
            "spread",
        ],
    );
    for verdict in floors::verdicts(results) {
        let word = match (verdict.is_demanded, verdict.holds()) {
            (true, true) => "holds",
            (true, false) => "MISSED",
            (false, true) => "(holds)",
            (false, false) => "(above)",
        };
        grid.row(vec![
            verdict.row.name.clone(),
            verdict.against.to_owned(),
            word.to_owned(),
            whole(verdict.nodes.into()),
            ratio(verdict.bound),
            ratio(verdict.ratio.median),
            format!("{}-{}", ratio(verdict.ratio.min), ratio(verdict.ratio.max)),
        ]);
    }
    grid
}

/// Titles, each with its lines; none without.
fn lists(results: &Results) -> Vec<(&'static str, Vec<String>)> {
    let lists = [
        ("where keyway loses", losses(results)),
        ("what was refused", absent(results.refused())),
        (
            "MISSING: what panicked, and is not written yet",
            absent(results.missing()),
        ),
    ];
    lists
        .into_iter()
        .filter(|(_, lines): &(_, Vec<String>)| !lines.is_empty())
        .collect()
}

/// A line for each algorithm, with the first reason.
fn absent<'r>(rows: impl Iterator<Item = (u16, &'r Row, &'r str)>) -> Vec<String> {
    let mut algorithms: Vec<(&str, Vec<String>, &str)> = Vec::new();
    for (nodes, row, why) in rows {
        match algorithms.iter_mut().find(|(name, ..)| *name == row.name) {
            Some((_, counts, _)) => counts.push(whole(nodes.into())),
            None => algorithms.push((&row.name, vec![whole(nodes.into())], why)),
        }
    }
    let lines = algorithms.into_iter().map(|(name, counts, why)| {
        // A refusal of keyway begins with the algorithm's name.
        let why = why.strip_prefix(&format!("{name}: ")).unwrap_or(why);
        format!("{name}, {} nodes: {why}", counts.join(" and "))
    });
    lines.collect()
}

fn losses(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    for (nodes, row, measured) in results.measured().filter(|(_, row, _)| !row.is_peer) {
        let slower: Vec<String> = [
            ("pingora-ketama", measured.to_pingora()),
            ("hashring", measured.to_hashring()),
        ]
        .into_iter()
        .filter(|(_, ratios)| ratios.median > 1.0)
        .map(|(peer, ratios)| format!("{} of {peer}'s", ratio(ratios.median)))
        .collect();
        let mut lost = Vec::new();
        if !slower.is_empty() {
            lost.push(format!("a lookup takes {} time", slower.join(" and ")));
        }
        if row.name == "ketama" {
            lost.extend(ketamas_price(results, nodes, measured));
        }
        if !lost.is_empty() {
            lines.push(format!(
                "{}, {} nodes: {}",
                row.name,
                whole(nodes.into()),
                lost.join("; ")
            ));
        }
    }
    lines
}

/// Like with like: both are 160 points a node.
fn ketamas_price(results: &Results, at_nodes: u16, ours: &Measured) -> Vec<String> {
    let mut lost = Vec::new();
    for (_, peer, theirs) in results
        .measured()
        .filter(|(nodes, row, _)| *nodes == at_nodes && row.is_peer)
    {
        if ours.build_ms > theirs.build_ms {
            let times = ratio(ours.build_ms / theirs.build_ms);
            lost.push(format!("it is built in {times} of {}'s time", peer.name));
        }
        if ours.bytes > theirs.bytes {
            let times = ratio(ours.bytes as f64 / theirs.bytes as f64);
            lost.push(format!("it takes {times} of {}'s memory", peer.name));
        }
    }
    lost
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
mod tests {
    use super::*;

    #[test]
    fn a_run_as_a_person_reads_it() {
        let text = text(&fixture::results());
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_run_as_it_is_published() {
        insta::assert_snapshot!(markdown(&fixture::results()));
    }
}
