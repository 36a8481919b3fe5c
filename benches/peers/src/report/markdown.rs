//! Fills what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` in BENCHMARKS.md; the prose around stays.

use super::comparison::{self, Comparison, is_limit};
use super::grid::Grid;
use super::number::{self, three_digits};
use super::series::{Axis, Series};
use super::statistics::Figure;
use super::{floors, heading, table};
use crate::results::{Cell, Results, Section};
use anyhow::{Result, anyhow, bail};
use std::fmt::Write;

/// A block that this run did not measure says so: two runs in one file would be compared.
const NOT_MEASURED: &str = "Not measured in this run.\n";

/// The file's text with every block made anew.
pub fn fill(text: &str, results: &Results) -> Result<String> {
    fill_blocks(text, "bench", blocks(results))
}

/// The same for the blocks whose markers begin with this word.
pub(super) fn fill_blocks(text: &str, word: &str, blocks: Vec<Block>) -> Result<String> {
    let begin = format!("<!-- {word}:");
    for line in text.lines() {
        let name = line
            .strip_prefix(&begin)
            .and_then(|rest| rest.strip_suffix(" -->"));
        if name.is_some_and(|name| blocks.iter().all(|block| block.name != name)) {
            let names: Vec<&str> = blocks.iter().map(|block| block.name).collect();
            bail!(
                "`{line}`: no such block; expected one of {}",
                names.join(", ")
            );
        }
    }
    let mut filled = text.to_owned();
    for block in blocks {
        filled = replace(&filled, word, &block)?;
    }
    Ok(filled)
}

pub(super) struct Block {
    pub(super) name: &'static str,
    pub(super) text: String,
}

fn replace(text: &str, word: &str, block: &Block) -> Result<String> {
    let opening = format!("<!-- {word}:{} -->\n", block.name);
    let closing = format!("<!-- /{word}:{} -->\n", block.name);
    let missing = |marker: &str| {
        let marker = marker.trim_end();
        anyhow!("no line `{marker}`: write it, and its partner, where these figures shall stand")
    };
    let start = text.find(&opening).ok_or_else(|| missing(&opening))? + opening.len();
    let end = text[start..]
        .find(&closing)
        .ok_or_else(|| missing(&closing))?
        + start;
    let body = match block.text.trim() {
        "" => NOT_MEASURED.trim_end(),
        body => body,
    };
    Ok(format!("{}\n{body}\n\n{}", &text[..start], &text[end..]))
}

fn blocks(results: &Results) -> Vec<Block> {
    let section = |section: Section, work: &str| {
        let cells = results.cells.iter();
        let cells = cells.filter(|cell| cell.section == section && cell.work.starts_with(work));
        section_text(section, cells)
    };
    let compared = Comparison::all(results);
    let mut loses = String::new();
    if !compared.is_empty() {
        let losses = table::losses(&compared).map(|losses| losses.markdown());
        loses = format!(
            "{}\n{}",
            table::losses_summary(&compared),
            losses.unwrap_or_default()
        );
    }
    let mut floor_text = String::new();
    if !results.cells.is_empty() {
        let unseen = floors::unseen(results).unwrap_or_default();
        floor_text = format!("{}\n{unseen}", floors::grid(results).markdown());
    }
    let mut idle = String::new();
    if !results.idle.is_empty() {
        idle = table::idle(&results.idle).markdown();
    }
    let block = |name, text| Block { name, text };
    vec![
        block("machine", heading::markdown(results)),
        block("floors", floor_text),
        block("loses", loses),
        block("points-get", section(Section::Points, "GET")),
        block("points-set", section(Section::Points, "SET")),
        block("mget", section(Section::Mget, "")),
        block("pipeline", section(Section::Pipeline, "")),
        block("mixed", section(Section::Mixed, "")),
        block("servers", section(Section::Servers, "")),
        block("nodes", section(Section::Nodes, "")),
        block("tls", section(Section::Tls, "")),
        block("idle", idle),
    ]
}

/// Summaries over what the section varies, and the full tables folded behind them.
fn section_text<'a>(section: Section, cells: impl Iterator<Item = &'a Cell>) -> String {
    let mut text = String::new();
    for series in Series::group(Axis::of(section), cells) {
        // Beside big values latency is the point, and a summary has none.
        if series.cells.len() == 1 || section == Section::Mixed {
            text.extend(series.cells.iter().map(|cell| full(cell)));
            continue;
        }
        let _ = write!(text, "**{}**\n\n", series.title());
        for (figure, name) in [
            (Figure::CallsPerSecond, "calls/s (keyway/peer)"),
            (Figure::CpuUs, "client CPU us per call (keyway/peer)"),
        ] {
            let _ = writeln!(text, "{}", summary(&series, figure, name).markdown());
        }
        text += "<details><summary>latencies, sockets, spreads</summary>\n\n";
        text.extend(series.cells.iter().map(|cell| full(cell)));
        text += "</details>\n\n";
    }
    text
}

/// A row per peer, a column per value of the axis.
fn summary(series: &Series, figure: Figure, name: &str) -> Grid {
    let axis = series.axis;
    let values = series
        .cells
        .iter()
        .map(|cell| comparison::counted(axis.value(cell), axis.noun()));
    let mut grid = Grid::new(1, [name.to_owned()].into_iter().chain(values));
    for peer in series.peers() {
        let figures = series
            .cells
            .iter()
            .map(|cell| figure_text(cell, peer, figure));
        grid.rows
            .push([peer_text(peer)].into_iter().chain(figures).collect());
    }
    grid
}

/// "291,000 (2.65)".
fn figure_text(cell: &Cell, peer: &str, figure: Figure) -> String {
    let Some(column) = comparison::column(cell, peer) else {
        return String::new();
    };
    let Some(seen) = figure.of(column) else {
        return "-".to_owned();
    };
    let seen = three_digits(seen.median);
    match comparison::ratio(cell, column, figure) {
        Some(ratio) => {
            let sign = comparison::loss_sign(figure, ratio);
            format!("{seen} ({sign}{})", number::ratio(ratio.median))
        }
        None => seen,
    }
}

fn peer_text(peer: &str) -> String {
    match peer {
        "keyway" => "**keyway**".to_owned(),
        limit if is_limit(limit) => format!("*{limit}*"),
        other => other.to_owned(),
    }
}

fn full(cell: &Cell) -> String {
    let mut text = format!(
        "{}\n\n{}\n",
        comparison::title(cell),
        table::columns(cell).markdown()
    );
    if let Some(refusals) = table::refusals(cell) {
        // As a list: Markdown would join the lines.
        let _ = writeln!(text, "{refusals}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    const BENCHMARKS: &str = include_str!("../../../../BENCHMARKS.md");

    #[test]
    fn every_block_of_a_small_run() {
        let mut text = String::new();
        for block in blocks(&fixture::small()) {
            let _ = writeln!(text, "== {}\n{}", block.name, block.text);
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_real_file_has_every_marker_and_filling_it_again_changes_nothing() {
        let once = fill(BENCHMARKS, &fixture::full()).unwrap();
        assert_ne!(once, BENCHMARKS);
        assert_eq!(fill(&once, &fixture::full()).unwrap(), once);
    }

    #[test]
    fn prose_stays_and_figures_of_another_run_go() {
        let full = fill(BENCHMARKS, &fixture::full()).unwrap();
        let empty = Results {
            cells: Vec::new(),
            ..fixture::full()
        };
        let filled = fill(&full, &empty).unwrap();
        let is_table_of_figures =
            |line: &str| line.starts_with("| redis-rs-per-node |") && line.contains("(");
        assert!(full.lines().any(is_table_of_figures) && !filled.lines().any(is_table_of_figures));
        assert!(filled.contains("## How it is measured") && filled.contains(NOT_MEASURED));
    }

    #[test]
    fn a_file_without_a_marker_is_refused_with_what_to_do() {
        let without = BENCHMARKS.replace("<!-- /bench:mget -->\n", "");
        let error = fill(&without, &fixture::small()).unwrap_err().to_string();
        assert_eq!(
            error,
            "no line `<!-- /bench:mget -->`: write it, and its partner, where these figures shall stand"
        );
    }

    #[test]
    fn a_marker_that_nobody_fills_is_refused() {
        let odd = format!("{BENCHMARKS}<!-- bench:mgets -->\n");
        let error = fill(&odd, &fixture::small()).unwrap_err().to_string();
        assert!(
            error.starts_with("`<!-- bench:mgets -->`: no such block; expected one of machine")
        );
    }
}
