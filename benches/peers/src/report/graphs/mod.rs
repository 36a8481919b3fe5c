//! The graphs of BENCHMARKS.md, as SVG. Text is drawn by whoever shows them, so no fonts are needed here.

mod bars;
mod lines;
mod palette;
mod scale;

use super::comparison::{self, counted, runtime_name};
use super::series::{Axis, Series};
use super::statistics::Figure;
use crate::results::{Cell, Results, Section};
use lines::Line;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use scale::Scale;

pub type Error = DrawingAreaErrorKind<std::io::Error>;
type Drawn = Result<(), Error>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "sans-serif";
const TITLE_HEIGHT: u32 = 44;

pub struct Graph {
    /// Of its file.
    pub name: &'static str,
    /// None if the run has no figures for it.
    pub draw: fn(&Results) -> Result<Option<String>, Error>,
}

pub const ALL: [Graph; 6] = [
    Graph {
        name: "get-throughput.svg",
        draw: |results| lines::draw(over_tasks(results, Figure::CallsPerSecond)),
    },
    Graph {
        name: "get-cpu.svg",
        draw: |results| lines::draw(over_tasks(results, Figure::CpuUs)),
    },
    Graph {
        name: "get-latency.svg",
        draw: |results| bars::draw(&latencies(results)),
    },
    Graph {
        name: "mget.svg",
        draw: |results| bars::draw(&mget(results)),
    },
    Graph {
        name: "mixed.svg",
        draw: |results| bars::draw(&mixed(results)),
    },
    Graph {
        name: "nodes.svg",
        draw: |results| lines::draw(over_nodes(results)),
    },
];

/// Of applications, which have a run of their own.
pub const DELIVERIES: &str = "deliver.svg";

/// A row per work, a panel per runtime; None if the run has no figures for it.
pub fn deliveries(results: &Results) -> Result<Option<String>, Error> {
    let mut per_owner = results.clone();
    for cell in &mut per_owner.cells {
        let owners = f64::from(cell.commands_per_call);
        for round in cell
            .columns
            .iter_mut()
            .flat_map(|column| &mut column.rounds)
        {
            round.calls_per_second *= owners;
        }
    }
    let mut works: Vec<&str> = Vec::new();
    for cell in cells(&per_owner, Section::Deliver) {
        if !works.contains(&cell.work.as_str()) {
            works.push(&cell.work);
        }
    }
    let of = |work: &&str| {
        let cells: Vec<&Cell> = cells(&per_owner, Section::Deliver)
            .filter(|cell| cell.work == **work)
            .collect();
        // What they have in common is in the graph's title; a panel has not the room for it.
        let name = |cell: &Cell| {
            let place = comparison::place(cell);
            let short = place.split_once(", ").map(|(_, short)| short.to_owned());
            short.unwrap_or(place)
        };
        row(&cells, &[Figure::CallsPerSecond], name)
    };
    bars::draw(&bars::Graph {
        title: "deliveries per second, of one post to 100,000 owners (more is better)".to_owned(),
        x_title: "deliveries/s",
        bars: vec!["deliveries/s"],
        rows: works.iter().flat_map(of).collect(),
    })
}

const GET: &str = "GET 64 B";

fn cells(results: &Results, section: Section) -> impl Iterator<Item = &Cell> {
    results
        .cells
        .iter()
        .filter(move |cell| cell.section == section)
}

/// One panel per runtime.
fn over_tasks(results: &Results, figure: Figure) -> lines::Graph {
    let cells = cells(results, Section::Points).filter(|cell| cell.work == GET);
    let series = Series::group(Axis::Tasks, cells);
    let (title, y_title) = match figure {
        Figure::CpuUs => (
            "client CPU per GET of 64 B (less is better)",
            "CPU us per GET",
        ),
        _ => ("GETs of 64 B per second (more is better)", "calls/s"),
    };
    // One scale for both panels, which spans decades: from one task to many, and from the slowest peer to redis-benchmark.
    let all = series.iter().flat_map(|one| peer_lines(one, figure));
    let y = Scale::log(values(all));
    let panels = series.iter().map(|one| lines::Panel {
        title: runtime_name(one.cells[0].runtime).to_owned(),
        y_title,
        y: y.clone(),
        lines: peer_lines(one, figure),
    });
    lines::Graph {
        title: title.to_owned(),
        x_title: "tasks (log scale)",
        panels: panels.collect(),
    }
}

/// A row per work, a panel per runtime.
fn over_nodes(results: &Results) -> lines::Graph {
    let mut series = Series::group(Axis::Nodes, cells(results, Section::Nodes));
    series.sort_by_key(|one| (one.cells[0].commands_per_call, one.cells[0].runtime));
    let panel = |one: &Series| {
        let cell = one.cells[0];
        let same_work = series
            .iter()
            .filter(|other| other.cells[0].work == cell.work);
        let lines = same_work.flat_map(|other| peer_lines(other, Figure::CpuUs));
        lines::Panel {
            title: comparison::work_place(cell),
            y_title: "CPU us per call",
            y: Scale::linear(values(lines)),
            lines: peer_lines(one, Figure::CpuUs),
        }
    };
    lines::Graph {
        title: "client CPU per call over the number of nodes, on two servers (flat is good)"
            .to_owned(),
        x_title: "nodes (log scale)",
        panels: series.iter().map(panel).collect(),
    }
}

fn values(lines: impl Iterator<Item = Line>) -> impl Iterator<Item = f64> {
    lines.flat_map(|line| line.points.into_iter().map(|(_, value)| value))
}

fn peer_lines(series: &Series, figure: Figure) -> Vec<Line> {
    let line = |peer: &str| {
        let points = series.cells.iter().filter_map(|cell| {
            let median = figure.of(comparison::column(cell, peer)?)?.median;
            Some((series.axis.value(cell), median))
        });
        Line {
            peer: peer.to_owned(),
            points: points.collect(),
        }
    };
    let lines = series.peers().into_iter().map(line);
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn latencies(results: &Results) -> bars::Graph {
    let tasks = 1_024;
    let cells: Vec<&Cell> = cells(results, Section::Points)
        .filter(|cell| cell.work == GET && cell.tasks == tasks)
        .collect();
    let figures = [Figure::P50Us, Figure::P99Us, Figure::P999Us];
    bars::Graph {
        title: format!(
            "latency of GETs of 64 B, {} (less is better)",
            counted(tasks, "task")
        ),
        x_title: "latency, us",
        bars: vec!["p50", "p99", "p99.9"],
        rows: row(&cells, &figures, |cell| {
            runtime_name(cell.runtime).to_owned()
        }),
    }
}

fn mixed(results: &Results) -> bars::Graph {
    let cells: Vec<&Cell> = cells(results, Section::Mixed).collect();
    let name = |cell: &Cell| {
        format!(
            "{}, {}",
            runtime_name(cell.runtime),
            counted(cell.tasks, "task")
        )
    };
    bars::Graph {
        title: "latency of GETs of 64 B while one task reads 10 MB values (less is better)"
            .to_owned(),
        x_title: "latency, us",
        bars: vec!["p50", "p99"],
        rows: row(&cells, &[Figure::P50Us, Figure::P99Us], name),
    }
}

/// A row per runtime, a panel per number of tasks.
fn mget(results: &Results) -> bars::Graph {
    let series = Series::group(Axis::Tasks, cells(results, Section::Mget));
    let name = |cell: &Cell| {
        format!(
            "{}, {}",
            runtime_name(cell.runtime),
            counted(cell.tasks, "task")
        )
    };
    let rows = series
        .iter()
        .flat_map(|one| row(&one.cells, &[Figure::CallsPerSecond], name));
    bars::Graph {
        title: "100-key MGETs per second over 64 nodes (more is better)".to_owned(),
        x_title: "calls/s",
        bars: vec!["calls/s"],
        rows: rows.collect(),
    }
}

/// A panel per cell; none if there is no cell.
fn row(cells: &[&Cell], figures: &[Figure], name: impl Fn(&Cell) -> String) -> Vec<bars::Row> {
    let all = Series {
        axis: Axis::Tasks,
        cells: cells.to_vec(),
    };
    let has_figure = |peer: &str| {
        cells.iter().any(|cell| {
            comparison::column(cell, peer).is_some_and(|column| figures[0].of(column).is_some())
        })
    };
    let peers: Vec<String> = all
        .peers()
        .into_iter()
        .filter(|peer| has_figure(peer))
        .map(str::to_owned)
        .collect();
    if peers.is_empty() {
        return Vec::new();
    }
    let groups = |cell: &Cell| -> Vec<Vec<f64>> {
        let group = |peer: &String| {
            let column = comparison::column(cell, peer);
            let medians = figures
                .iter()
                .filter_map(|figure| Some(figure.of(column?)?.median));
            medians.collect()
        };
        peers.iter().map(group).collect()
    };
    let panels = cells.iter().map(|cell| {
        let groups = groups(cell);
        bars::Panel {
            title: name(cell),
            x: Scale::linear(groups.iter().flatten().copied()),
            groups,
        }
    });
    vec![bars::Row {
        panels: panels.collect(),
        peers: peers.clone(),
    }]
}

fn title(root: &Area, text: &str) -> Drawn {
    let centered = Pos::new(HPos::Center, VPos::Center);
    let font = (FONT, 19)
        .into_font()
        .style(FontStyle::Bold)
        .color(&palette::INK)
        .pos(centered);
    let (width, _) = root.dim_in_pixel();
    let middle = (i32::try_from(width / 2).unwrap_or(0), 24);
    root.draw(&Text::new(text.to_owned(), middle, font))
}

/// Ours is bold.
fn peer_font(peer: &str) -> TextStyle<'static> {
    let font = (FONT, 14).into_font();
    if comparison::is_ours(peer) {
        font.style(FontStyle::Bold).color(&palette::INK)
    } else {
        font.color(&palette::INK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn every_graph_names_every_peer_that_it_has_figures_of() {
        let results = fixture::full();
        for Graph { name, draw } in ALL {
            let svg = draw(&results).unwrap().unwrap();
            let section = match name {
                "nodes.svg" => Section::Nodes,
                "mget.svg" => Section::Mget,
                "mixed.svg" => Section::Mixed,
                _ => Section::Points,
            };
            assert!(
                svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
                "{name}"
            );
            for column in cells(&results, section).flat_map(|cell| &cell.columns) {
                // A text of its own, and not the beginning of another one.
                let written = format!("\n{}\n", column.peer);
                assert!(
                    svg.contains(&written),
                    "{name} does not name {}",
                    column.peer
                );
            }
            assert!(!svg.contains("NaN"), "{name}");
        }
    }

    #[test]
    fn a_run_without_figures_has_no_graphs() {
        let mut results = fixture::full();
        for column in results.cells.iter_mut().flat_map(|cell| &mut cell.columns) {
            column.rounds.clear();
            column.refused = Some("no".to_owned());
        }
        assert!(
            ALL.iter()
                .all(|graph| (graph.draw)(&results).unwrap().is_none())
        );
        results.cells.clear();
        assert!(
            ALL.iter()
                .all(|graph| (graph.draw)(&results).unwrap().is_none())
        );
    }
}
