//! What must show, as data, and what a run showed of it. A missed floor is printed, and fails nothing: the machine may be noisy.

use super::comparison::{self, LIMIT, column, counted, is_ours};
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

const RUNTIMES: [Runtime; 2] = [Runtime::CurrentThread, Runtime::TwoWorkers];

fn floors() -> Vec<Floor> {
    let mut floors = Vec::new();
    for runtime in RUNTIMES {
        let busy = get(runtime, 1_024);
        let (cpu, aim, throughput) = match runtime {
            Runtime::CurrentThread => (0.50, 0.30, 1.4),
            Runtime::TwoWorkers => (0.70, 0.50, 1.25),
        };
        floors.extend([
            busy.floor(Figure::CpuUs, "redis-rs", Wanted::AtMost(cpu))
                .aim(aim),
            busy.floor(Figure::CpuUs, "redis-rs-cluster", Wanted::AtMost(0.30)),
            busy.floor(Figure::CpuUs, "rustis", Wanted::Below(1.0)),
            busy.floor(Figure::CpuUs, "fred", Wanted::Below(1.0)),
            busy.floor(Figure::CpuUs, "rustis-plain", Wanted::Below(1.0))
                .information(),
            busy.floor(Figure::CpuUs, "fred-plain", Wanted::Below(1.0))
                .information(),
            busy.floor(
                Figure::CallsPerSecond,
                "redis-rs",
                Wanted::AtLeast(throughput),
            ),
            busy.floor(
                Figure::CallsPerSecond,
                "redis-rs-per-node",
                Wanted::AtLeast(2.5),
            ),
        ]);
        let alone = get(runtime, 1);
        floors.extend([
            alone.floor(Figure::P50Us, "redis-rs", Wanted::AtMost(1.05)),
            alone.floor(Figure::CpuUs, "redis-rs", Wanted::AtMost(1.05)),
        ]);
    }
    for tasks in [1, 16, 64] {
        let mget = Place {
            work: Some("100-key MGET"),
            tasks: Some(tasks),
            ..Place::section(Section::Mget)
        };
        let best = mget.floor(Figure::CallsPerSecond, "", Wanted::AtLeast(0.95));
        floors.push(Floor {
            against: Against::BestPeer,
            ..best
        });
        floors.push(mget.floor(
            Figure::CallsPerSecond,
            "redis-rs-per-node",
            Wanted::AtLeast(4.0),
        ));
    }
    let mixed = Place {
        runtime: Some(Runtime::TwoWorkers),
        ..Place::section(Section::Mixed)
    };
    let bulk = mixed.floor(Figure::P50Us, "redis-rs-own", Wanted::AtMost(2.0));
    floors.push(Floor {
        ours: "keyway-bulk",
        ..bulk
    });
    for (figure, wanted) in [
        (Figure::CallsPerSecond, Wanted::AtLeast(0.95)),
        (Figure::CpuUs, Wanted::AtMost(1.05)),
    ] {
        let many = Place {
            nodes: Some(4_096),
            ..Place::section(Section::Nodes)
        };
        let flat = many.floor(figure, "", wanted);
        floors.push(Floor {
            against: Against::OursAtNodes(64),
            ..flat
        });
    }
    floors
}

fn get(runtime: Runtime, tasks: u32) -> Place {
    Place {
        work: Some("GET 64 B"),
        runtime: Some(runtime),
        tasks: Some(tasks),
        ..Place::section(Section::Points)
    }
}

impl Place {
    fn section(section: Section) -> Place {
        Place {
            section,
            work: None,
            runtime: None,
            tasks: None,
            nodes: None,
        }
    }

    fn floor(self, figure: Figure, peer: &'static str, wanted: Wanted) -> Floor {
        Floor {
            place: self,
            figure,
            ours: "keyway",
            against: Against::Peer(peer),
            wanted,
            aim: None,
            is_information: false,
        }
    }

    fn holds(&self, cell: &Cell) -> bool {
        cell.section == self.section
            && self.work.is_none_or(|work| cell.work == work)
            && self.runtime.is_none_or(|runtime| cell.runtime == runtime)
            && self.tasks.is_none_or(|tasks| cell.tasks == tasks)
            && self.nodes.is_none_or(|nodes| cell.nodes == nodes)
    }
}

impl Floor {
    fn aim(self, aim: f64) -> Floor {
        Floor {
            aim: Some(aim),
            ..self
        }
    }

    fn information(self) -> Floor {
        Floor {
            is_information: true,
            ..self
        }
    }

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
                let fewer = fewer.and_then(|cell| self.figure.of(column(cell, self.ours)?));
                let many = ours.and_then(|ours| self.figure.of(ours));
                let ratio = many
                    .zip(fewer)
                    .map(|(many, few)| ratio_of_medians(many, few));
                (self.against.text(), ratio)
            }
        }
    }
}

impl Against {
    fn text(self) -> String {
        match self {
            Against::Peer(peer) => peer.to_owned(),
            Against::BestPeer => "the best peer".to_owned(),
            Against::OursAtNodes(nodes) => format!("itself at {}", counted(nodes, "node")),
        }
    }
}

/// Behind the name of a peer that was chosen because it is the best there.
const BEST_SIGN: &str = " (best)";

fn best_peer(cell: &Cell) -> Option<&Column> {
    cell.columns
        .iter()
        .filter(|column| !is_ours(&column.peer) && column.peer != LIMIT)
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
    let floors = floors();
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
    let unseen = floors().iter().filter(|floor| !is_seen(floor)).count();
    (unseen > 0)
        .then(|| format!("{unseen} more floors are of cells that this run did not measure.\n"))
}

fn row(floor: &Floor, cell: &Cell, results: &Results) -> Vec<String> {
    let (theirs, seen) = floor.seen(cell, results);
    let verdict = match seen {
        None => "no data",
        Some(_) if floor.is_information => "-",
        Some(seen) if floor.wanted.holds(seen.median) => "passed",
        Some(_) => "MISSED",
    };
    let figure = match floor.figure {
        Figure::CallsPerSecond => "calls/s",
        Figure::CpuUs => "CPU",
        Figure::P50Us => "p50",
        Figure::P99Us => "p99",
        Figure::P999Us => "p99.9",
    };
    vec![
        format!("{INDENT}{figure} / {theirs}"),
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
