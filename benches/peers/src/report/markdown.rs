//! Fills what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->` in BENCHMARKS.md; the prose around stays.

use super::comparison::{self, Comparison, LIMIT};
use super::grid::Grid;
use super::number::{self, three_digits};
use super::series::{Axis, Series};
use super::statistics::Figure;
use super::{floors, heading, table};
use crate::results::{Cell, Results, Section};
use std::fmt::Write;

/// The file has not the markers that it must have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkerError {
    #[error("no line `{0}`: write it and its partner where the figures shall stand")]
    Missing(String),
    #[error("a marker of no block that is known, `{0}`: correct its name")]
    Unknown(String),
}

/// A block that this run did not measure says so: two runs in one file would be compared.
const NOT_MEASURED: &str = "Not measured in this run.\n";

/// The file's text with every block made anew.
pub fn fill(text: &str, results: &Results) -> Result<String, MarkerError> {
    let blocks = blocks(results);
    for line in text.lines() {
        let name = line
            .strip_prefix("<!-- bench:")
            .and_then(|rest| rest.strip_suffix(" -->"));
        if name.is_some_and(|name| blocks.iter().all(|block| block.name != name)) {
            return Err(MarkerError::Unknown(line.to_owned()));
        }
    }
    let mut filled = text.to_owned();
    for block in blocks {
        filled = replace(&filled, &block)?;
    }
    Ok(filled)
}

struct Block {
    name: &'static str,
    text: String,
}

fn replace(text: &str, block: &Block) -> Result<String, MarkerError> {
    let opening = format!("<!-- bench:{} -->\n", block.name);
    let closing = format!("<!-- /bench:{} -->\n", block.name);
    let missing = |marker: &str| MarkerError::Missing(marker.trim_end().to_owned());
    let start = text.find(&opening).ok_or_else(|| missing(&opening))? + opening.len();
    let end = start
        + text[start..]
            .find(&closing)
            .ok_or_else(|| missing(&closing))?;
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
        LIMIT => format!("*{LIMIT}*"),
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
        let _ = writeln!(text, "{}", refusals);
    }
    text
}
