//! What becomes of the figures of applications: a chapter of BENCHMARKS.md, part by part, each with the run that it is of.

use super::comparison::{self, runtime_name};
use super::grid::Grid;
use super::markdown::{self, Block};
use super::number::{three_digits, whole};
use super::statistics::Figure;
use super::{floors, graphs, heading, table, write};
use crate::applications::plan::PARTS;
use crate::results::{Applications, Cell, Column, Results, Section};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// What the page refers to.
const FIGURES: &str = "benches/peers/applications.json";

/// All parts, on standard output.
pub fn print(applications: &Applications) {
    // A reader who has seen enough (`| head`) is no failure of the bench.
    let _ = std::io::stdout().write_all(text(applications).as_bytes());
}

/// How many floors are missed, or have no figures.
pub fn missed(applications: &Applications) -> usize {
    let parts = applications.parts.values();
    parts.map(floors::missed_by_applications).sum()
}

/// What is published; nothing where nothing was.
pub fn published(repo_root: &Path) -> Result<Applications> {
    let file = repo_root.join(FIGURES);
    if !file.exists() {
        return Ok(Applications::default());
    }
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not of this bench", file.display()))
}

/// Writes all parts into BENCHMARKS.md, its graph, and the figures that it refers to.
pub fn publish(applications: &Applications, repo_root: &Path) -> Result<()> {
    let page = repo_root.join("BENCHMARKS.md");
    let text =
        fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    // Everything is made before anything is written: half a publication is none.
    let text = markdown::fill_blocks(&text, "applications", blocks(applications))
        .with_context(|| page.display().to_string())?;
    let drawn = match applications.parts.get(&Section::Deliver) {
        Some(results) => graphs::deliveries(results).context("cannot draw the graph")?,
        None => None,
    };
    let json = applications.to_json()?;

    let folder = repo_root.join("benches/graphs");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let graph = folder.join(graphs::DELIVERIES);
    match drawn {
        Some(svg) => write(&graph, &svg)?,
        None if graph.exists() => {
            fs::remove_file(&graph)
                .with_context(|| format!("cannot remove {}", graph.display()))?;
        }
        None => {}
    }
    write(&repo_root.join(FIGURES), &json)?;
    write(&page, &text)
}

fn text(applications: &Applications) -> String {
    let mut text = String::new();
    for (names, lines) in runs(applications) {
        let _ = writeln!(text, "{}\n{}\n", names.join(", "), lines.join("\n"));
    }
    for results in in_order(applications) {
        if is_memory(results) {
            let _ = writeln!(text, "peak memory\n\n{}", memory(results).terminal());
            text.extend(results.cells.iter().filter_map(table::refusals));
            continue;
        }
        for cell in &results.cells {
            let _ = writeln!(text, "{}\n\n{}", title(cell), columns(cell).terminal());
            text += &table::refusals(cell).map_or(String::new(), |refusals| refusals + "\n");
        }
    }
    text += "floors\n\n";
    for results in in_order(applications) {
        let grid = floors::grid(results);
        if !grid.rows.is_empty() {
            text += &(grid.terminal() + "\n");
        }
    }
    text
}

fn in_order(applications: &Applications) -> impl Iterator<Item = &Results> {
    PARTS.iter().filter_map(|part| applications.parts.get(part))
}

/// Parts that were measured in the same run on the same machine, and what that was.
fn runs(applications: &Applications) -> Vec<(Vec<&'static str>, Vec<String>)> {
    let mut runs: Vec<(Vec<&'static str>, Vec<String>)> = Vec::new();
    for part in PARTS {
        let Some(results) = applications.parts.get(&part) else {
            continue;
        };
        let mut lines = heading::of_run(results);
        let rounds = u32::try_from(results.settings.rounds).unwrap_or(u32::MAX);
        lines.push(format!(
            "{}, {} ms per turn; a delivery is one turn",
            comparison::counted(rounds, "round"),
            results.settings.window_ms
        ));
        match runs.iter_mut().find(|(_, others)| *others == lines) {
            Some((names, _)) => names.push(name(part)),
            None => runs.push((vec![name(part)], lines)),
        }
    }
    runs
}

/// As in `--only`.
fn name(part: Section) -> &'static str {
    match part {
        Section::Deliver => "deliver",
        Section::Memory => "memory",
        Section::Probe => "probe",
        Section::Equal => "equal",
        Section::Algebra => "algebra",
        Section::Merged => "merged",
        Section::Fanout => "fanout",
        _ => "",
    }
}

fn blocks(applications: &Applications) -> Vec<Block> {
    let mut run_text = String::new();
    for (names, lines) in runs(applications) {
        let _ = writeln!(run_text, "{}:\n", names.join(", "));
        run_text.extend(lines.iter().map(|line| format!("- {line}\n")));
        run_text.push('\n');
    }
    let mut all_floors = Grid::default();
    for results in in_order(applications) {
        let grid = floors::grid(results);
        all_floors.rows.extend(grid.rows.clone());
        all_floors = Grid {
            rows: all_floors.rows,
            ..grid
        };
    }
    let floor_text = match all_floors.rows.as_slice() {
        [] => String::new(),
        _ => all_floors.markdown(),
    };
    let mut blocks = vec![
        Block {
            name: "runs",
            text: run_text,
        },
        Block {
            name: "floors",
            text: floor_text,
        },
    ];
    blocks.extend(PARTS.map(|part| {
        Block {
            name: name(part),
            text: applications
                .parts
                .get(&part)
                .map(part_text)
                .unwrap_or_default(),
        }
    }));
    blocks
}

fn part_text(results: &Results) -> String {
    let mut text = format!("{}, commit {}.\n\n", results.date, results.commit);
    if is_memory(results) {
        text += &memory(results).markdown();
        text.extend(results.cells.iter().filter_map(table::refusals));
        return text;
    }
    for cell in &results.cells {
        let _ = writeln!(text, "**{}**\n\n{}", title(cell), columns(cell).markdown());
        if let Some(refusals) = table::refusals(cell) {
            let _ = writeln!(text, "{refusals}");
        }
    }
    text
}

fn title(cell: &Cell) -> String {
    format!("{}, {}", cell.work, runtime_name(cell.runtime))
}

/// Whose cells are rows of one table.
fn is_memory(results: &Results) -> bool {
    results
        .cells
        .iter()
        .any(|cell| cell.section == Section::Memory)
}

fn columns(cell: &Cell) -> Grid {
    match cell.section {
        Section::Deliver => deliveries(cell),
        _ => calls(cell),
    }
}

/// Per owner.
fn deliveries(cell: &Cell) -> Grid {
    let headers = [
        "peer",
        "deliveries/s",
        "CPU us\nper delivery",
        "all of it\nms",
        "keyway/peer\ndeliveries/s",
        "keyway/peer\nCPU",
    ];
    let mut grid = Grid::new(1, headers);
    let owners = f64::from(cell.commands_per_call);
    for column in &cell.columns {
        let median = |figure, factor: f64| median(column, figure, factor);
        grid.rows.push(vec![
            peer(column),
            median(Figure::CallsPerSecond, owners),
            median(Figure::CpuUs, 1.0 / owners),
            median(Figure::P50Us, 1e-3),
            ratio(cell, column, Figure::CallsPerSecond),
            ratio(cell, column, Figure::CpuUs),
        ]);
    }
    grid
}

/// Per call.
fn calls(cell: &Cell) -> Grid {
    let headers = [
        "peer",
        "p50\nus",
        "p99\nus",
        "CPU\nus",
        "bytes",
        "round\ntrips",
        "keyway/peer\np50",
        "keyway/peer\nCPU",
        "keyway/peer\nbytes",
    ];
    let mut grid = Grid::new(1, headers);
    for column in &cell.columns {
        let median = |figure| median(column, figure, 1.0);
        grid.rows.push(vec![
            peer(column),
            median(Figure::P50Us),
            median(Figure::P99Us),
            median(Figure::CpuUs),
            median(Figure::Bytes),
            Figure::RoundTrips
                .of(column)
                .map_or("-".to_owned(), |seen| whole(seen.median as u32)),
            ratio(cell, column, Figure::P50Us),
            ratio(cell, column, Figure::CpuUs),
            bytes_ratio(cell, column),
        ]);
    }
    grid
}

fn memory(results: &Results) -> Grid {
    let headers = ["what", "peak KiB", "min", "max", "deliveries/s"];
    let mut grid = Grid::new(1, headers);
    for cell in &results.cells {
        for column in &cell.columns {
            let peak = Figure::PeakKib.of(column);
            let text = |value: Option<f64>| value.map_or("-".to_owned(), |kib| whole(kib as u32));
            let mark = if column.refused.is_some() { " *" } else { "" };
            grid.rows.push(vec![
                format!("{}{mark}", cell.work),
                text(peak.map(|peak| peak.median)),
                text(peak.map(|peak| peak.min)),
                text(peak.map(|peak| peak.max)),
                median(
                    column,
                    Figure::CallsPerSecond,
                    cell.commands_per_call.into(),
                ),
            ]);
        }
    }
    grid
}

fn peer(column: &Column) -> String {
    let mark = if column.refused.is_some() { " *" } else { "" };
    format!("{}{mark}", column.peer)
}

fn median(column: &Column, figure: Figure, factor: f64) -> String {
    match figure.of(column) {
        Some(spread) => three_digits(spread.median * factor),
        None => "-".to_owned(),
    }
}

fn ratio(cell: &Cell, column: &Column, figure: Figure) -> String {
    comparison::ratio_text(figure, comparison::ratio(cell, column, figure))
}

/// The same in every round but for a byte, so without a spread.
fn bytes_ratio(cell: &Cell, column: &Column) -> String {
    let Some(ratio) = comparison::ratio(cell, column, Figure::Bytes) else {
        return String::new();
    };
    let sign = comparison::loss_sign(Figure::Bytes, ratio);
    format!("{sign}{:.2}", ratio.median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    const BENCHMARKS: &str = include_str!("../../../../BENCHMARKS.md");

    fn filled(applications: &Applications) -> String {
        markdown::fill_blocks(BENCHMARKS, "applications", blocks(applications)).unwrap()
    }

    #[test]
    fn applications_as_a_person_reads_them() {
        insta::assert_snapshot!(text(&fixture::applications()));
    }

    #[test]
    fn nothing_is_wider_than_110_columns() {
        for line in text(&fixture::applications()).lines() {
            assert!(line.chars().count() <= 110, "{line}");
        }
    }

    #[test]
    fn the_real_file_has_every_marker_and_filling_it_again_changes_nothing() {
        let once = filled(&fixture::applications());
        assert_ne!(once, BENCHMARKS);
        let again = markdown::fill_blocks(&once, "applications", blocks(&fixture::applications()));
        assert_eq!(again.unwrap(), once);
    }

    #[test]
    fn each_part_says_which_run_it_is_of_and_parts_of_one_run_are_said_together() {
        let mut applications = fixture::applications();
        let later = applications.parts.get_mut(&Section::Merged).unwrap();
        (later.date, later.commit) = ("2000-02-02".to_owned(), "7654321 with changes".to_owned());
        let page = filled(&applications);
        assert!(
            page.contains("2000-02-02, commit 7654321 with changes.\n"),
            "{page}"
        );
        assert!(page.contains("2000-01-01, commit 0123456.\n"));
        assert!(page.contains("\nmerged:\n") && page.contains("\ndeliver, memory, probe"));
    }

    #[test]
    fn a_floor_that_is_missed_or_without_figures_is_counted() {
        let mut applications = fixture::applications();
        assert_eq!(missed(&applications), 0);
        let deliver = applications.parts.get_mut(&Section::Deliver).unwrap();
        for round in &mut deliver.cells[0].columns[0].rounds {
            round.calls_per_second /= 10.0;
        }
        assert_eq!(missed(&applications), 1);
        let merged = applications.parts.get_mut(&Section::Merged).unwrap();
        merged.cells[0].columns[0].rounds.clear();
        assert_eq!(missed(&applications), 2);
        let probe = applications.parts.get_mut(&Section::Probe).unwrap();
        for round in &mut probe.cells[0].columns[0].rounds {
            round.bytes = 60_000.0;
        }
        assert_eq!(missed(&applications), 3);
        let memory = applications.parts.get_mut(&Section::Memory).unwrap();
        for round in &mut memory.cells[1].columns[0].rounds {
            round.peak_kib *= 1.2;
        }
        assert_eq!(missed(&applications), 4);
    }

    #[test]
    fn a_publication_of_one_part_leaves_the_others_as_they_were() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("benches/peers")).unwrap();
        fs::write(root.path().join("BENCHMARKS.md"), BENCHMARKS).unwrap();
        publish(&fixture::applications(), root.path()).unwrap();
        let first = fs::read_to_string(root.path().join("BENCHMARKS.md")).unwrap();

        let mut again = published(root.path()).unwrap();
        let mut merged = fixture::applications()
            .parts
            .remove(&Section::Merged)
            .unwrap();
        merged.date = "2000-02-02".to_owned();
        again.parts.insert(Section::Merged, merged);
        publish(&again, root.path()).unwrap();
        let second = fs::read_to_string(root.path().join("BENCHMARKS.md")).unwrap();

        let block = |page: &str, name: &str| {
            let begin = page.find(&format!("<!-- applications:{name} -->")).unwrap();
            let end = page
                .find(&format!("<!-- /applications:{name} -->"))
                .unwrap();
            page[begin..end].to_owned()
        };
        assert_ne!(block(&first, "merged"), block(&second, "merged"));
        for name in [
            "deliver", "memory", "probe", "equal", "algebra", "fanout", "floors",
        ] {
            assert_eq!(block(&first, name), block(&second, name), "{name}");
        }
        assert!(second.contains(&format!("(benches/graphs/{})", graphs::DELIVERIES)));
        assert!(
            root.path()
                .join("benches/graphs")
                .join(graphs::DELIVERIES)
                .exists()
        );
    }
}
