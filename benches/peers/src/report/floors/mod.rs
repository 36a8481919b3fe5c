//! What must show, as data, and what a run showed of it. A missed floor is printed, and fails nothing: the machine may be noisy.

mod demands;

use super::comparison::{self, column, counted, is_limit, is_ours};
use super::grid::Grid;
use super::number;
use super::statistics::{Figure, Spread};
use crate::results::{Cell, Column, Results, Runtime, Section};

/// A bound on a ratio: keyway's figure divided by another one.
#[derive(Clone, Copy, Debug)]
struct Floor {
    place: Place,
    figure: Figure,
    ours: &'static str,
    against: Against,
    wanted: Wanted,
    /// What we would like to see beyond what must show.
    aim: Option<f64>,
    /// Shown beside the floors, and no floor itself.
    is_information: bool,
}

/// The cells that a floor speaks of; None is any.
#[derive(Clone, Copy, Debug)]
struct Place {
    section: Section,
    work: Option<&'static str>,
    runtime: Option<Runtime>,
    tasks: Option<u32>,
    nodes: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Against {
    Peer(&'static str),
    /// Whoever has the most calls per second in the cell; the limit is no peer.
    BestPeer,
    /// Ourselves, in the cell that differs in its nodes only.
    OursAtNodes(u32),
    /// Ourselves, in the cell that differs in its work only.
    OursAtWork(&'static str),
    /// The figure itself is bounded.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
    Below(f64),
}

impl Wanted {
    fn holds(self, ratio: f64) -> bool {
        match self {
            Wanted::AtMost(bound) => ratio <= bound,
            Wanted::AtLeast(bound) => ratio >= bound,
            Wanted::Below(bound) => ratio < bound,
        }
    }

    fn text(self) -> String {
        match self {
            Wanted::AtMost(bound) => format!("≤{bound:.2}"),
            Wanted::AtLeast(bound) => format!("≥{bound:.2}"),
            Wanted::Below(bound) => format!("<{bound:.2}"),
        }
    }
}

impl Place {
    fn holds(&self, cell: &Cell) -> bool {
        cell.section == self.section
            && self.work.is_none_or(|work| cell.work == work)
            && self.runtime.is_none_or(|runtime| cell.runtime == runtime)
            && self.tasks.is_none_or(|tasks| cell.tasks == tasks)
            && self.nodes.is_none_or(|nodes| cell.nodes == nodes)
    }
}

impl Floor {
    /// The other side's name, and the ratio if both sides were measured.
    fn seen(&self, cell: &Cell, results: &Results) -> (String, Option<Spread>) {
        let ours = column(cell, self.ours);
        let ratio_to = |theirs| self.figure.ratio(ours?, theirs);
        match self.against {
            Against::Peer(peer) => (self.against.text(), column(cell, peer).and_then(ratio_to)),
            Against::BestPeer => match best_peer(cell) {
                Some(best) => (format!("{}{BEST_SIGN}", best.peer), ratio_to(best)),
                None => (self.against.text(), None),
            },
            Against::OursAtNodes(nodes) => {
                let fewer = cell_at_nodes(results, cell, nodes);
                (self.against.text(), self.ours_to_ours(cell, fewer))
            }
            Against::OursAtWork(work) => {
                let other = cell_at_work(results, cell, work);
                (self.against.text(), self.ours_to_ours(cell, other))
            }
            Against::Nothing => (
                self.against.text(),
                ours.and_then(|ours| self.figure.of(ours)),
            ),
        }
    }
}

impl Floor {
    fn ours_to_ours(&self, cell: &Cell, other: Option<&Cell>) -> Option<Spread> {
        let here = self.figure.of(column(cell, self.ours)?)?;
        let there = self.figure.of(column(other?, self.ours)?)?;
        Some(ratio_of_medians(here, there))
    }
}

impl Against {
    fn text(self) -> String {
        match self {
            Against::Peer(peer) => peer.to_owned(),
            Against::BestPeer => "the best peer".to_owned(),
            Against::OursAtNodes(nodes) => format!("itself at {}", counted(nodes, "node")),
            Against::OursAtWork(work) => format!("itself at \"{work}\""),
            Against::Nothing => String::new(),
        }
    }
}

/// Behind the name of a peer that was chosen because it is the best there.
const BEST_SIGN: &str = " (best)";

fn best_peer(cell: &Cell) -> Option<&Column> {
    cell.columns
        .iter()
        .filter(|column| !is_ours(&column.peer) && !is_limit(&column.peer))
        .filter_map(|column| Some((Figure::CallsPerSecond.of(column)?.median, column)))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, column)| column)
}

/// The cell that differs from this one in its nodes only.
fn cell_at_nodes<'a>(results: &'a Results, cell: &Cell, nodes: u32) -> Option<&'a Cell> {
    let rest = |cell: &Cell| (cell.section, cell.runtime, cell.tasks, cell.servers);
    results
        .cells
        .iter()
        .find(|other| other.nodes == nodes && rest(other) == rest(cell) && other.work == cell.work)
}

/// The cell that differs from this one in its work only.
fn cell_at_work<'a>(results: &'a Results, cell: &Cell, work: &str) -> Option<&'a Cell> {
    let rest = |cell: &Cell| (cell.section, cell.runtime, cell.nodes, cell.servers);
    let mut cells = results.cells.iter();
    cells.find(|other| other.work == work && rest(other) == rest(cell))
}

/// Cells of different layouts are not measured in turns, so there are no pairs: the spread is the widest that the rounds allow.
fn ratio_of_medians(ours: Spread, theirs: Spread) -> Spread {
    Spread {
        median: ours.median / theirs.median,
        min: ours.min / theirs.max,
        max: ours.max / theirs.min,
    }
}

/// Under the name of a cell; not plain spaces, which Markdown would eat.
const INDENT: &str = "· ";

/// A row per floor and cell, under a row that names the cell.
pub fn grid(results: &Results) -> Grid {
    let mut grid = Grid::new(1, ["keyway / peer", "wanted", "aim", "seen", "verdict"]);
    let floors: Vec<Floor> = demands::all()
        .into_iter()
        .chain(demands::applications())
        .collect();
    for cell in &results.cells {
        let here: Vec<&Floor> = floors
            .iter()
            .filter(|floor| floor.place.holds(cell))
            .collect();
        if !here.is_empty() {
            let mut heading = vec![String::new(); grid.headers.len()];
            heading[0] = comparison::place(cell);
            grid.rows.push(heading);
        }
        for floor in here {
            grid.rows.push(row(floor, cell, results));
        }
    }
    grid
}

/// What the grid does not show, if anything: floors of cells that are not in these results.
pub fn unseen(results: &Results) -> Option<String> {
    let is_seen = |floor: &Floor| results.cells.iter().any(|cell| floor.place.holds(cell));
    let unseen = demands::all()
        .iter()
        .filter(|floor| !is_seen(floor))
        .count();
    (unseen > 0)
        .then(|| format!("{unseen} more floors are of cells that this run did not measure.\n"))
}

/// How many floors of applications these results miss, or have no figures for.
pub fn missed_by_applications(results: &Results) -> usize {
    let floors = demands::applications();
    let missed = |floor: &Floor, cell: &Cell| {
        floor.place.holds(cell)
            && !floor
                .seen(cell, results)
                .1
                .is_some_and(|seen| floor.wanted.holds(seen.median))
    };
    let of = |cell| floors.iter().filter(|floor| missed(floor, cell)).count();
    results.cells.iter().map(of).sum()
}

fn row(floor: &Floor, cell: &Cell, results: &Results) -> Vec<String> {
    let (theirs, seen) = floor.seen(cell, results);
    let verdict = match seen {
        None => "no data",
        Some(_) if floor.is_information => "-",
        Some(seen) if floor.wanted.holds(seen.median) => "passed",
        Some(_) => "MISSED",
    };
    let theirs = match floor.against {
        Against::Nothing => theirs,
        _ => format!(" / {theirs}"),
    };
    let figure = match floor.figure {
        Figure::CallsPerSecond => "calls/s",
        Figure::CpuUs => "CPU",
        Figure::P50Us => "p50",
        Figure::P99Us => "p99",
        Figure::P999Us => "p99.9",
        Figure::Bytes => "bytes",
        Figure::RoundTrips => "round trips",
        Figure::PeakKib => "peak memory",
        Figure::BigBytesPerSecond => "bytes of big values",
    };
    vec![
        format!("{INDENT}{figure}{theirs}"),
        if floor.is_information {
            "-".to_owned()
        } else {
            floor.wanted.text()
        },
        floor.aim.map_or(String::new(), number::ratio),
        seen.map_or(String::new(), seen_text),
        verdict.to_owned(),
    ]
}

/// With a third place, so that 0.501 is not read as the 0.50 that it misses.
fn seen_text(seen: Spread) -> String {
    let (min, max) = (number::ratio(seen.min), number::ratio(seen.max));
    format!("{:.3} {min}-{max}", seen.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn verdict(results: &Results, place: &str, floor: &str) -> (String, String) {
        let rows = grid(results).rows;
        let mut below = rows.iter().skip_while(|row| row[0] != place);
        let row = below
            .find(|row| row[0] == format!("{INDENT}{floor}"))
            .unwrap();
        (row[3].clone(), row[4].clone())
    }

    #[test]
    fn a_floor_is_passed_missed_or_without_data() {
        let small = fixture::small();
        let busy = "GET 64 B, current-thread, 1,024 tasks";
        assert_eq!(verdict(&small, busy, "CPU / redis-rs").1, "passed");
        let (seen, missed) = verdict(&small, busy, "CPU / rustis");
        assert!(seen.starts_with("1.016 ") && missed == "MISSED");
        let nobody = (String::new(), "no data".to_owned());
        assert_eq!(verdict(&small, busy, "CPU / fred"), nobody);
    }

    #[test]
    fn the_best_peer_is_neither_ourselves_nor_the_limit() {
        let (_, passed) = verdict(
            &fixture::full(),
            "100-key MGET, two workers, 16 tasks",
            "calls/s / rustis-plain (best)",
        );
        assert_eq!(passed, "passed");
    }

    #[test]
    fn small_values_beside_big_ones_are_judged_by_our_lane_for_big_ones() {
        let place = "GET 64 B beside 10 MB values, two workers, 64 tasks";
        let (seen, passed) = verdict(&fixture::full(), place, "p50 / redis-rs-own");
        assert!(seen.starts_with("0.808 ") && passed == "passed", "{seen}");
    }

    #[test]
    fn many_nodes_are_set_against_few() {
        let place = "GET 64 B, current-thread, 1,024 tasks, 4,096 nodes";
        let (seen, passed) = verdict(&fixture::small(), place, "CPU / itself at 64 nodes");
        assert!(seen.starts_with("1.015 ") && passed == "passed", "{seen}");
    }

    #[test]
    fn a_full_run_has_a_cell_for_every_floor() {
        assert_eq!(unseen(&fixture::full()), None);
        assert!(unseen(&fixture::small()).is_some());
    }
}
