//! The whole report on one page: a file that asks for nothing, on a disk or on a server, with or without scripts.

use super::headline::{Headline, headlines};
use super::plot::{self, Plot, plots};
use super::table::{Table, courses, stages, tables};
use super::words::{bytes, count, is_unfit, plural, shown};
use crate::simulation::report::{CourseReport, Report};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

const CSS: &str = include_str!("page.css");
/// Saves the data that is in the page anyway. Nothing else needs it.
const SCRIPT: &str = include_str!("page.js");
/// A table's; a page with more could not be scrolled through.
const ROWS_MAX: usize = 200;

/// Everything about a report as one HTML page: answers, plots with their tables, and the report's JSON in the element `#report`.
///
/// It makes no request of any kind, which its own Content-Security-Policy enforces, and allows no script but the one that saves the data, known by
/// its hash. Light or dark as its reader likes it, and light on paper.
pub fn page(report: &Report) -> String {
    let css = format!("{CSS}{}", plot::css());
    let policy = format!(
        "default-src 'none'; img-src data:; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        hash(&css),
        hash(SCRIPT)
    );
    let tables = tables(report, ROWS_MAX);
    let plots = plots(report);
    let sections = sections(report);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content={ "keyway " (shown(&report.keyway)) };
                // Otherwise a browser asks a server for one.
                link rel="icon" href="data:,";
                title { (shown(&report.title)) }
                style { (PreEscaped(&css)) }
            }
            body {
                header {
                    h1 { (shown(&report.title)) }
                    (facts(report))
                    nav aria-label="Sections" { ul {
                        @for section in &sections { li { a href={ "#" (section.id) } { (section.title) } } }
                        li { a href="#data" { "Notes and data" } }
                    } }
                }
                main {
                    (answers(&headlines(report)))
                    @for section in &sections {
                        section id=(section.id) aria-labelledby={ (section.id) "-title" } {
                            h2 id={ (section.id) "-title" } { (section.title) }
                            (section.body(report, &plots, &tables))
                        }
                    }
                    (data(report))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

fn facts(report: &Report) -> Markup {
    html! {
        p.facts {
            (count(report.keys.count)) " keys (" (shown(&report.keys.source)) "), " (bytes(report.keys.bytes as f64)) "; "
            (plural(report.repeats_done.into(), "repeat")) ", seed " (report.seed) "; keyway " (shown(&report.keyway)) ". "
            @if report.repeats_done > 1 { "± is the 95 % confidence interval of the mean." }
        }
        @if !report.is_complete {
            p.warning role="note" {
                "Stopped before its end: " (report.repeats_done) " of " (report.repeats) " repeats."
            }
        }
    }
}

fn answers(headlines: &[Headline]) -> Markup {
    let mut subjects: Vec<&str> = Vec::new();
    for headline in headlines {
        if !subjects.contains(&headline.subject.as_str()) {
            subjects.push(&headline.subject);
        }
    }
    html! {
        div.answers {
            h2 { "In short" }
            @for subject in subjects {
                h3 { (subject) }
                ul {
                    @for headline in headlines.iter().filter(|headline| headline.subject == subject) {
                        li { (headline.text) }
                    }
                }
            }
        }
    }
}

/// A part of the page.
struct Section {
    id: String,
    title: String,
    content: Content,
}

enum Content {
    /// What a step does, by its number; 0 is the start.
    Step(usize),
    /// A picture and a table of this name.
    Topic(&'static str),
}

fn sections(report: &Report) -> Vec<Section> {
    let steps = stages(report).map(|(at, stage)| Section {
        id: format!("step-{at}"),
        title: match at {
            0 => "At the start".to_owned(),
            _ => format!("Step {at}: {}", shown(&stage.step)),
        },
        content: Content::Step(at),
    });
    let topic = |is_there: bool, name: &'static str, title: &str| {
        is_there.then(|| Section {
            id: name.to_owned(),
            title: title.to_owned(),
            content: Content::Topic(name),
        })
    };
    let topics = [
        topic(report.storm.is_some(), "storm", "Cache misses"),
        topic(
            !report.sensitivity.is_empty(),
            "sensitivity",
            "How many nodes",
        ),
        topic(
            report.capacity.is_some(),
            "capacity",
            "When servers run out",
        ),
        topic(!report.costs.is_empty(), "costs", "What placing costs"),
    ];
    steps.chain(topics.into_iter().flatten()).collect()
}

impl Section {
    fn body(&self, report: &Report, plots: &[Plot], tables: &[Table]) -> Markup {
        match self.content {
            Content::Topic(name) => html! {
                @for one in plots.iter().filter(|one| one.name == name) { (picture(one)) }
                @for one in tables.iter().filter(|one| one.name == name) { (titled(one)) }
            },
            Content::Step(at) => step(report, at, plots, tables),
        }
    }
}

fn step(report: &Report, at: usize, plots: &[Plot], tables: &[Table]) -> Markup {
    let plot = |name: String| plots.iter().find(move |one| one.name == name);
    let of = |name: &'static str| {
        tables
            .iter()
            .filter(move |table| table.stage == Some(at) && table.name == name)
    };
    let courses = courses(report, at);
    html! {
        @if let Some(one) = plot(format!("movement-{at}")) { (picture(one)) }
        @for one in of("schemes") { (titled(one)) }
        @for one in of("causes") { (titled(one)) }
        @if let Some(one) = plot(format!("balance-{at}")) { (picture(one)) }
        @for (number, one) in of("servers").enumerate() { (folded(one, number == 0)) }
        @for one in of("hot keys") { (folded(one, false)) }
        @for (number, (course, (moves, load))) in courses.iter().zip(of("moves").zip(of("load"))).enumerate() {
            @if let Some(one) = plot(format!("course-{at}-{}", number + 1)) { (picture(one)) }
            (folded(moves, number == 0))
            (folded(load, number == 0))
            (reasons(course))
        }
    }
}

/// Why each move is there.
fn reasons(course: &CourseReport) -> Markup {
    html! {
        @if !course.moves.is_empty() {
            details {
                summary { "Why each of them" }
                ol {
                    @for a_move in course.moves.iter().take(ROWS_MAX) {
                        li { (shown(&a_move.why)) }
                    }
                }
                @if course.moves.len() > ROWS_MAX { p.more { (more(course.moves.len() - ROWS_MAX)) } }
            }
        }
    }
}

fn picture(plot: &Plot) -> Markup {
    html! {
        h3 { (shown(&plot.title)) }
        figure {
            figcaption { (plot.description) }
            (plot.inline())
        }
    }
}

fn folded(table: &Table, is_open: bool) -> Markup {
    html! {
        details open[is_open] {
            summary { (table.title) }
            (grid(table))
        }
    }
}

fn titled(table: &Table) -> Markup {
    html! {
        // The caption is for who hears the page: within the box that scrolls it could not be read.
        p.title aria-hidden="true" { (table.title) }
        (grid(table))
    }
}

/// Its box scrolls, not the page; by keys too.
fn grid(table: &Table) -> Markup {
    html! {
        div.table tabindex="0" role="region" aria-label=(table.title) {
            table {
                caption { (table.title) }
                thead { tr {
                    @for column in &table.columns {
                        th.number[column.is_number] scope="col" { (column.heading) }
                    }
                } }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (at, (cell, column)) in row.iter().zip(&table.columns).enumerate() {
                                @if at == 0 {
                                    th.number[column.is_number] scope="row" { (cell) }
                                } @else {
                                    td.number[column.is_number] { (cell) }
                                }
                            }
                        }
                    }
                }
            }
        }
        @if table.rows_left_out > 0 {
            p.more { (more(table.rows_left_out)) }
        }
    }
}

fn data(report: &Report) -> Markup {
    html! {
        section id="data" aria-labelledby="data-title" {
            h2 id="data-title" { "Notes and data" }
            @if !report.notes.is_empty() {
                ul { @for note in &report.notes { li { (shown(note)) } } }
            }
            p { "The whole report is in this page as JSON (" code { "keyway simulate --schema" } " describes it), in the element " code { "#report" } "." }
            button id="save" type="button" hidden { "Save it as a file" }
            script id="report" type="application/json" { (PreEscaped(embedded(report))) }
        }
    }
}

/// Nothing in it can end the element that it is in, nor begin another.
fn embedded(report: &Report) -> String {
    // A report has no map with other keys than texts, so nothing can fail.
    let json = serde_json::to_string(report).unwrap_or_else(|_| "null".to_owned());
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match matches!(c, '<' | '>' | '&') || is_unfit(c) {
            // None of these is beyond the plane that four digits reach.
            true => safe.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => safe.push(c),
        }
    }
    safe
}

/// `3 rows not shown`.
fn more(rows: usize) -> String {
    format!("{} not shown", plural(rows as u64, "row"))
}
