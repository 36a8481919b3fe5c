//! What a person reads on the terminal, within 110 columns; Markdown shows the same grids.

use super::comparison::{self, Comparison, LIMIT, LONE_LIMIT, LOSS, is_limit};
use super::grid::Grid;
use super::number::{three_digits, whole};
use super::statistics::Figure;
use super::{floors, heading};
use crate::results::{Cell, Idle, Results};
use std::fmt::Write;

/// Everything of a run.
pub fn text(results: &Results) -> String {
    let mut text = heading::text(results);
    for cell in &results.cells {
        let _ = write!(
            text,
            "\n{}\n\n{}",
            comparison::title(cell),
            columns(cell).terminal()
        );
        text += &refusals(cell).unwrap_or_default();
    }
    if !results.idle.is_empty() {
        let _ = write!(text, "\nidle clients\n\n{}", idle(&results.idle).terminal());
    }
    let _ = write!(text, "\nfloors\n\n{}", floors::grid(results).terminal());
    text += &floors::unseen(results).unwrap_or_default();
    let compared = Comparison::all(results);
    let _ = write!(
        text,
        "\nwhere keyway loses\n\n{}",
        losses_summary(&compared)
    );
    if let Some(losses) = losses(&compared) {
        let _ = write!(text, "\n{}", losses.terminal());
    }
    text
}

/// A row per peer: medians over rounds, and keyway's ratios to it with their spread.
pub fn columns(cell: &Cell) -> Grid {
    let mut headers = vec![
        "peer",
        "calls/s",
        "CPU\nus",
        "p50\nus",
        "p99\nus",
        "p99.9\nus",
        "sockets",
    ];
    let has_big = cell
        .columns
        .iter()
        .any(|column| Figure::BigBytesPerSecond.of(column).is_some());
    if has_big {
        headers.push("10 MB values\nMB/s");
    }
    headers.extend(["keyway/peer\ncalls/s", "keyway/peer\nCPU"]);
    let mut grid = Grid::new(1, headers);
    for column in &cell.columns {
        let median = |figure: Figure| match figure.of(column) {
            Some(spread) => three_digits(spread.median),
            None => "-".to_owned(),
        };
        let ratio =
            |figure| comparison::ratio_text(figure, comparison::ratio(cell, column, figure));
        let mark = if column.refused.is_some() { " *" } else { "" };
        let mut row = vec![
            format!("{}{mark}", column.peer),
            median(Figure::CallsPerSecond),
            median(Figure::CpuUs),
            median(Figure::P50Us),
            median(Figure::P99Us),
            median(Figure::P999Us),
            if column.rounds.is_empty() {
                "-".to_owned()
            } else {
                whole(column.sockets)
            },
        ];
        if has_big {
            row.push(match Figure::BigBytesPerSecond.of(column) {
                Some(spread) => three_digits(spread.median / 1e6),
                None => "-".to_owned(),
            });
        }
        row.extend([ratio(Figure::CallsPerSecond), ratio(Figure::CpuUs)]);
        grid.rows.push(row);
    }
    grid
}

/// Why there are rows without figures.
pub fn refusals(cell: &Cell) -> Option<String> {
    let mut text = String::new();
    for column in &cell.columns {
        if let Some(why) = &column.refused {
            let why = why.replace('\n', " ");
            let _ = writeln!(text, "* {}: {why}", column.peer);
        }
    }
    (!text.is_empty()).then_some(text)
}

pub fn idle(idle: &[Idle]) -> Grid {
    let headers = [
        "peer",
        "servers",
        "nodes",
        "sockets",
        "memory KiB\nper client",
    ];
    let mut grid = Grid::new(1, headers);
    for client in idle {
        grid.rows.push(vec![
            client.peer.clone(),
            whole(client.servers),
            whole(client.nodes),
            whole(client.sockets),
            three_digits(client.memory_kib),
        ]);
    }
    grid
}

pub fn losses_summary(compared: &[Comparison]) -> String {
    let (limits, peers): (Vec<&Comparison>, Vec<&Comparison>) =
        compared.iter().partition(|one| is_limit(one.peer));
    let lost = |all: &[&Comparison]| all.iter().filter(|one| one.is_lost()).count();
    let close = peers.iter().filter(|one| one.is_close()).count();
    let mut text = format!(
        "{} of {} comparisons with a peer are lost, {close} of them not in every round.\n",
        lost(&peers),
        peers.len()
    );
    for limit in [LIMIT, LONE_LIMIT] {
        let of_it: Vec<&Comparison> = limits
            .iter()
            .copied()
            .filter(|one| one.peer == limit)
            .collect();
        if !of_it.is_empty() {
            let _ = writeln!(
                text,
                "{limit}, a limit and no peer, is ahead in {} of {} cells: {LOSS} in the tables.",
                lost(&of_it),
                of_it.len()
            );
        }
    }
    text
}

/// None if nothing is lost.
pub fn losses(compared: &[Comparison]) -> Option<Grid> {
    let mut grid = Grid::new(
        2,
        ["where", "peer", "keyway/peer\ncalls/s", "keyway/peer\nCPU"],
    );
    for one in compared {
        if one.is_lost() && !is_limit(one.peer) {
            grid.rows.push(vec![
                comparison::place(one.cell),
                one.peer.to_owned(),
                comparison::ratio_text(Figure::CallsPerSecond, one.calls_per_second),
                comparison::ratio_text(Figure::CpuUs, one.cpu),
            ]);
        }
    }
    (!grid.rows.is_empty()).then_some(grid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_small_run_as_a_person_reads_it() {
        insta::assert_snapshot!(text(&fixture::small()));
    }

    #[test]
    fn nothing_is_wider_than_110_columns() {
        for line in text(&fixture::full()).lines() {
            assert!(line.chars().count() <= 110, "{line}");
        }
    }
}
