//! What a simulation found, on a terminal: the answers in sentences, then the tables behind them. Never wider than 100 columns.

use crate::output::{self, ERROR, HEADING, styled};
use comfy_table::{Cell, ContentArrangement};
use keyway::simulation::export::{self, Headline, Table};
use keyway::simulation::report::Report;
use std::fmt::Write;

const COLUMNS_MAX: u16 = 100;
/// A table's: who needs more asks for a page or for CSV.
const ROWS_MAX: usize = 24;

/// Everything that a person wants to know first.
pub(crate) fn tables(report: &Report) -> String {
    let mut text = head(report);
    let mut subject = String::new();
    for Headline {
        subject: about,
        text: sentence,
        ..
    } in export::headlines(report)
    {
        if about != subject {
            let _ = writeln!(text, "\n{}", styled(HEADING, &about));
            subject = about;
        }
        text.push_str(&item(&sentence));
    }
    let tables = export::tables(report, ROWS_MAX);
    let mut has_more = false;
    for table in &tables {
        if is_shown(report, table) {
            text.push_str(&show(table));
        } else {
            has_more = true;
        }
        has_more |= table.rows_left_out > 0;
    }
    if !report.notes.is_empty() {
        let _ = writeln!(text, "\n{}", styled(HEADING, "Notes"));
        for note in &report.notes {
            text.push_str(&item(&output::shown(note.as_bytes())));
        }
    }
    if has_more {
        text.push_str(
            "\nServers of every scheme, and all rows: --html FILE, --csv DIR or --json.\n",
        );
    }
    text
}

fn head(report: &Report) -> String {
    let mut text = wrapped(&output::shown(report.title.as_bytes()));
    let facts = format!(
        "{} keys ({}), {}; {}, seed {}; ± is the 95 % confidence interval",
        output::count(report.keys.count),
        output::shown(report.keys.source.as_bytes()),
        output::bytes(report.keys.bytes),
        output::plural(report.repeats_done as usize, "repeat"),
        report.seed,
    );
    let facts = match report.repeats_done {
        ..2 => facts.replace("; ± is the 95 % confidence interval", ""),
        _ => facts,
    };
    text.push_str(&wrapped(&facts));
    if !report.is_complete {
        let stopped = format!(
            "stopped before its end: {} of {} repeats",
            report.repeats_done, report.repeats
        );
        let _ = writeln!(text, "{}", styled(ERROR, &stopped));
    }
    text
}

/// One scheme's servers, after each step, and its moves; where keys are hot, in the end.
fn is_shown(report: &Report, table: &Table) -> bool {
    let first = |course: &str| {
        let step = table
            .stage
            .and_then(|at| Some(&report.schemes.first()?.stages.get(at)?.step));
        let mut courses = report
            .courses
            .iter()
            .filter(|course| Some(&course.step) == step);
        courses.next().is_some_and(|one| one.scheme == course)
    };
    match table.name {
        "servers" => table.scheme.as_ref() == report.schemes.first().map(|scheme| &scheme.name),
        "moves" | "load" => table.scheme.as_deref().is_some_and(first),
        "hot keys" => report
            .schemes
            .first()
            .is_some_and(|scheme| table.stage == scheme.stages.len().checked_sub(1)),
        _ => true,
    }
}

fn show(table: &Table) -> String {
    let headings: Vec<String> = table
        .columns
        .iter()
        .map(|c| c.heading.to_uppercase())
        .collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let numbers: Vec<usize> = (0..table.columns.len())
        .filter(|&at| table.columns.get(at).is_some_and(|column| column.is_number))
        .collect();
    let mut grid = output::table(&headings, &numbers);
    for row in &table.rows {
        grid.add_row(row.iter().map(Cell::new));
    }
    let mut text = String::from("\n");
    for line in wrapped(&table.title).lines() {
        let _ = writeln!(text, "{}", styled(HEADING, line));
    }
    text.push_str(&within(grid));
    if table.rows_left_out > 0 {
        let rows = output::plural(table.rows_left_out, "more row");
        let _ = writeln!(text, "({rows})");
    }
    text
}

/// `- ` and a sentence.
fn item(text: &str) -> String {
    let mut list = output::list(vec![vec![Cell::new("-"), Cell::new(text)]]);
    if let Some(sign) = list.column_mut(0) {
        sign.set_padding((0, 1));
    }
    within(list)
}

/// A text in as many lines as it needs.
fn wrapped(text: &str) -> String {
    within(output::list(vec![vec![Cell::new(text)]]))
}

/// In a pipe too: a wrapped row is read, one of 140 columns is not.
fn within(mut table: comfy_table::Table) -> String {
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(COLUMNS_MAX);
    // What has held figures and units together has done its work.
    output::lines(&table).replace('\u{a0}', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Report {
        serde_json::from_str(json).unwrap()
    }

    fn full() -> Report {
        read(include_str!("../../../../tests/reports/full.json"))
    }

    /// As a terminal without colours shows it.
    fn plain(report: &Report) -> String {
        anstream::adapter::strip_str(&tables(report)).to_string()
    }

    /// Without the blanks at the ends of lines, which insta does not keep apart.
    #[test]
    fn everything_of_a_report_is_readable() {
        insta::assert_snapshot!(plain(&full()), @"");
    }

    #[test]
    fn the_smallest_report_is_a_few_lines() {
        let small = read(include_str!("../../../../tests/reports/small.json"));
        insta::assert_snapshot!(plain(&small), @"");
    }

    #[test]
    fn nothing_is_wider_than_100_columns_whatever_the_names() {
        let mut report = full();
        for (number, scheme) in report.schemes.iter_mut().enumerate() {
            scheme.name = format!("{}-{}", "鍵".repeat(40 * number), scheme.name);
            scheme.title = "word ".repeat(60);
            for stage in &mut scheme.stages {
                stage.step = "x".repeat(300);
                for share in &mut stage.servers {
                    share.server = format!("{}\u{1b}[2J{}", share.server, "y".repeat(200));
                    share.bytes.mean *= 1e9;
                }
                for hot in &mut stage.hot_keys {
                    hot.key = "z".repeat(500);
                }
            }
        }
        report.notes.push("n".repeat(1_000));
        let text = plain(&report);
        for line in text.lines() {
            let mut one = comfy_table::Table::new();
            one.load_preset(comfy_table::presets::NOTHING)
                .add_row([line]);
            let columns = one.column(0).map_or(0, |column| column.max_content_width());
            assert!(columns <= COLUMNS_MAX, "{columns}: {line}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn of_many_servers_and_schemes_a_terminal_shows_what_matters() {
        let mut report = full();
        let few = report.schemes.clone();
        report.schemes = few.iter().cycle().take(10).cloned().collect();
        for (number, scheme) in report.schemes.iter_mut().enumerate() {
            scheme.name = format!("scheme-{number}");
            for stage in &mut scheme.stages {
                let few = stage.servers.clone();
                stage.servers = few.iter().cycle().take(50).cloned().collect();
            }
        }
        let text = plain(&report);
        assert!(text.lines().count() < 260, "{}", text.lines().count());
        assert!(text.contains("(26 more rows)"));
        assert!(text.contains("scheme-9"));
    }
}
