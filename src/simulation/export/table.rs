//! The tables of a report, in the order in which they matter, as text in cells. Who shows them decides how.

use super::words::{
    bytes, count, milliseconds, percent, percents, ratio, ratios, rounded, seconds, short,
};
use crate::plan::MoveKind;
use crate::simulation::report::{
    CapacityReport, CostReport, CourseReport, HotKeyReport, MovementReport, Report, SchemeReport,
    SensitivityReport, ShareReport, StageReport, StormReport,
};
use std::collections::BTreeMap;

/// A table for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Table {
    /// What is in it: `schemes`, `causes`, `servers`, `hot keys`, `moves`, `load`, `storm`, `capacity`, `sensitivity` or `costs`.
    pub name: &'static str,
    /// The stage that it belongs to, if to one; 0 is the start.
    pub stage: Option<usize>,
    /// The scheme that it is about, if about one alone.
    pub scheme: Option<String>,
    /// What it shows, in words.
    pub title: String,
    /// At least one.
    pub columns: Vec<Column>,
    /// Each with a cell for every column.
    pub rows: Vec<Vec<String>>,
    /// Rows that were left out.
    pub rows_left_out: usize,
}

/// A column of a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// At its head; in lower case.
    pub heading: &'static str,
    /// Whether it has figures, which are right-aligned.
    pub is_number: bool,
}

/// Names take at most this many columns of a terminal.
const NAME_COLUMNS_MAX: usize = 20;
/// A scheme's, beside many figures.
const SCHEME_COLUMNS_MAX: usize = 18;
const KEY_COLUMNS_MAX: usize = 48;

/// Every table for which there is something to say. One has at most `rows_max` rows: of servers, those that are furthest from their share are
/// kept, of a growth curve the months in which something changes, of anything else the first.
///
/// With names of at most 18 columns none is wider than 100 columns, and longer names are cut.
pub fn tables(report: &Report, rows_max: usize) -> Vec<Table> {
    let mut tables = Vec::new();
    for (at, stage) in stages(report) {
        let first = tables.len();
        tables.push(schemes(report, stage, at));
        tables.extend(causes(report, stage, at));
        for scheme in &report.schemes {
            tables.extend(servers(scheme, at, rows_max));
        }
        tables.extend(hot_keys(report, stage, at));
        for course in courses(report, at) {
            tables.push(moves(course));
            tables.push(load(course));
        }
        for table in tables.iter_mut().skip(first) {
            table.stage = Some(at);
        }
    }
    tables.extend(report.storm.as_ref().map(storm));
    tables.extend(report.capacity.as_ref().map(|c| capacity(c, rows_max)));
    tables.extend(sensitivity(&report.sensitivity));
    tables.extend(costs(&report.costs));
    for table in &mut tables {
        let gone = table.rows.len().saturating_sub(rows_max);
        table.rows.truncate(rows_max);
        table.rows_left_out += gone;
    }
    tables
}

/// The stages of the first scheme that has most; all schemes go through the same steps, but one that was stopped has fewer.
pub(super) fn stages(report: &Report) -> impl Iterator<Item = (usize, &StageReport)> {
    let most = report
        .schemes
        .iter()
        .rev()
        .max_by_key(|scheme| scheme.stages.len());
    most.into_iter()
        .flat_map(|scheme| scheme.stages.iter().enumerate())
}

/// The courses of a stage's step, in the order of the report. Where several steps read the same, the first course of a scheme belongs to the first of them.
pub(super) fn courses(report: &Report, at: usize) -> Vec<&CourseReport> {
    let steps: Vec<&str> = stages(report).map(|(_, stage)| &*stage.step).collect();
    let Some(&step) = steps.get(at) else {
        return Vec::new();
    };
    let same = |steps: &[&str]| steps.iter().filter(|&&other| other == step).count();
    let (before, all) = (same(steps.get(..at).unwrap_or_default()), same(&steps));
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut courses = Vec::new();
    for course in report.courses.iter().filter(|course| course.step == step) {
        let number = seen.entry(&course.scheme).or_default();
        if all == 1 || *number == before {
            courses.push(course);
        }
        *number += 1;
    }
    courses
}

/// `after add f`, `at the start`.
pub(super) fn when(step: &str, at: usize) -> String {
    match at {
        0 => "at the start".to_owned(),
        _ => format!("after {}", super::words::shown(step)),
    }
}

fn table(
    name: &'static str,
    title: String,
    columns: &[(&'static str, bool)],
    rows: Vec<Vec<String>>,
) -> Table {
    Table {
        name,
        stage: None,
        scheme: None,
        title,
        columns: columns
            .iter()
            .map(|&(heading, is_number)| Column { heading, is_number })
            .collect(),
        rows,
        rows_left_out: 0,
    }
}

const TEXT: bool = false;
const NUMBER: bool = true;

/// Nothing to say about.
const NONE: &str = "-";

fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| NONE.to_owned())
}

/// All schemes beside each other.
fn schemes(report: &Report, stage: &StageReport, at: usize) -> Table {
    let stages = report
        .schemes
        .iter()
        .filter_map(|scheme| Some((scheme, scheme.stages.get(at)?)));
    let row = |(scheme, stage): (&SchemeReport, &StageReport)| {
        let movement = stage.movement.as_ref();
        let mut row = vec![
            short(&scheme.name, SCHEME_COLUMNS_MAX),
            ratios(&stage.keys.max_over_mean),
            ratio(stage.keys.min_over_mean.mean),
            percents(&stage.keys.relative_sd),
        ];
        if at > 0 {
            row.extend([
                or_none(movement.map(|m| percents(&m.moved))),
                or_none(movement.map(|m| percent(m.minimum))),
                or_none(movement.map(needless)),
            ]);
        }
        row
    };
    let mut columns = vec![
        ("scheme", TEXT),
        ("max/mean", NUMBER),
        ("min/mean", NUMBER),
        ("sd", NUMBER),
    ];
    if at > 0 {
        columns.extend([("moved", NUMBER), ("least", NUMBER), ("needless", NUMBER)]);
    }
    table(
        "schemes",
        format!("How even keys are {}", when(&stage.step, at))
            + if at > 0 { ", and what moved" } else { "" },
        &columns,
        stages.map(row).collect(),
    )
}

/// Moves between servers that the step did not touch, as a fraction of all keys.
fn needless(movement: &MovementReport) -> String {
    match movement.violations {
        0 => "0".to_owned(),
        _ => percent(movement.violating.mean),
    }
}

/// What moved, by cause. Columns in which no scheme has anything are left out.
fn causes(report: &Report, stage: &StageReport, at: usize) -> Option<Table> {
    let movements: Vec<(&SchemeReport, &MovementReport)> = report
        .schemes
        .iter()
        .filter_map(|scheme| Some((scheme, scheme.stages.get(at)?.movement.as_ref()?)))
        .collect();
    if movements.is_empty() {
        return None;
    }
    type Cause = (&'static str, fn(&MovementReport) -> f64);
    const CAUSES: [Cause; 7] = [
        ("to added", |m| m.to_added.mean),
        ("from gone", |m| m.from_gone.mean),
        ("reweighted", |m| m.reweighted.mean),
        ("replaced", |m| m.replaced.mean),
        ("evened", |m| m.evened.mean),
        ("needless", |m| m.violating.mean),
        ("lost", |m| m.unreachable.mean),
    ];
    let causes: Vec<Cause> = CAUSES
        .into_iter()
        .filter(|(_, of)| movements.iter().any(|(_, movement)| of(movement) != 0.0))
        .collect();
    let has_nodes = movements.iter().any(|(_, m)| m.nodes_moved.is_some());
    let row = |(scheme, movement): &(&SchemeReport, &MovementReport)| {
        let mut row = vec![short(&scheme.name, SCHEME_COLUMNS_MAX)];
        if has_nodes {
            row.push(or_none(movement.nodes_moved.map(|n| count(n.into()))));
        }
        row.push(bytes(movement.moved_bytes.mean));
        row.extend(causes.iter().map(|(_, of)| percent(of(movement))));
        row
    };
    let rows = movements.iter().map(row).collect();
    let mut columns = vec![("scheme", TEXT)];
    if has_nodes {
        columns.push(("nodes", NUMBER));
    }
    columns.push(("bytes", NUMBER));
    columns.extend(causes.iter().map(|&(heading, _)| (heading, NUMBER)));
    let title = format!(
        "What {} moves, and why, as a part of all keys",
        super::words::shown(&stage.step)
    );
    Some(table("causes", title, &columns, rows))
}

/// Of one scheme. With more servers than rows, the fullest and the emptiest stay.
fn servers(scheme: &SchemeReport, at: usize, rows_max: usize) -> Option<Table> {
    let stage = scheme.stages.get(at)?;
    let shares = stage.servers.as_slice();
    let has_nodes = scheme.has_nodes;
    let has_limit = shares.iter().any(|share| share.memory_bytes_max.is_some());
    let row = |share: &ShareReport| {
        const DOWN: &str = " (down)";
        let server = match share.is_up {
            true => short(&share.server, NAME_COLUMNS_MAX),
            false => short(&share.server, NAME_COLUMNS_MAX - DOWN.len()) + DOWN,
        };
        let mut row = vec![server];
        if has_nodes {
            row.push(or_none(share.nodes.map(|nodes| count(nodes.into()))));
        }
        row.extend([
            percents(&share.keys),
            percent(share.target),
            load_of(share).map_or_else(|| NONE.to_owned(), ratio),
            percent(share.requests.mean),
            bytes(share.bytes.mean),
        ]);
        if has_limit {
            let limit = share.memory_bytes_max;
            row.extend([
                or_none(limit.map(|limit| bytes(limit as f64))),
                or_none(limit.map(|limit| percent(share.bytes.mean / limit as f64))),
            ]);
        }
        row
    };
    let kept = furthest(shares, rows_max);
    let mut columns = vec![("server", TEXT)];
    if has_nodes {
        columns.push(("nodes", NUMBER));
    }
    columns.extend([
        ("keys", NUMBER),
        ("share", NUMBER),
        ("load", NUMBER),
        ("requests", NUMBER),
        ("memory", NUMBER),
    ]);
    if has_limit {
        columns.extend([("limit", NUMBER), ("full", NUMBER)]);
    }
    let mut table = table(
        "servers",
        format!(
            "Servers {}, {}",
            when(&stage.step, at),
            super::words::shown(&scheme.title)
        ),
        &columns,
        kept.iter().map(|&share| row(share)).collect(),
    );
    table.scheme = Some(scheme.name.clone());
    table.rows_left_out = shares.len() - kept.len();
    Some(table)
}

/// What it has of what it should have.
pub(super) fn load_of(share: &ShareReport) -> Option<f64> {
    (share.target > 0.0).then(|| share.keys.mean / share.target)
}

/// In the order in which they were; as many of the fullest as of the emptiest.
fn furthest(shares: &[ShareReport], rows_max: usize) -> Vec<&ShareReport> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&a, &b| {
        let load = |at: usize| shares.get(at).and_then(load_of).unwrap_or(0.0);
        load(b).total_cmp(&load(a)).then(a.cmp(&b))
    });
    if order.len() > rows_max {
        let full = rows_max.div_ceil(2);
        let empty = rows_max - full;
        order.drain(full..order.len() - empty);
        order.sort_unstable();
    } else {
        order.sort_unstable();
    }
    order.iter().filter_map(|&at| shares.get(at)).collect()
}

/// By the first scheme.
fn hot_keys(report: &Report, stage: &StageReport, at: usize) -> Option<Table> {
    let scheme = report.schemes.first()?;
    let keys: &[HotKeyReport] = &scheme.stages.get(at)?.hot_keys;
    if keys.is_empty() {
        return None;
    }
    let rows = keys.iter().map(|hot| {
        vec![
            short(&hot.key, KEY_COLUMNS_MAX),
            percent(hot.requests),
            short(&hot.server, NAME_COLUMNS_MAX),
        ]
    });
    let mut table = table(
        "hot keys",
        format!(
            "The keys with the most requests, {}, {}",
            when(&stage.step, at),
            super::words::shown(&scheme.title)
        ),
        &[("key", TEXT), ("requests", NUMBER), ("server", TEXT)],
        rows.collect(),
    );
    table.scheme = Some(scheme.name.clone());
    Some(table)
}

/// `split`, `migrate`.
pub(super) fn kind(kind: MoveKind) -> &'static str {
    match kind {
        MoveKind::Split => "split",
        MoveKind::Migrate => "migrate",
    }
}

fn moves(course: &CourseReport) -> Table {
    let rows = course.moves.iter().map(|a_move| {
        vec![
            (a_move.wave + 1).to_string(),
            format!("{} to {}", short(&a_move.from, 12), short(&a_move.to, 12)),
            kind(a_move.kind).to_owned(),
            count(a_move.nodes.into()),
            count(a_move.keys),
            bytes(a_move.bytes as f64),
            seconds(a_move.start_s),
            seconds(a_move.copy_s),
            milliseconds(a_move.freeze_ms),
            seconds(a_move.purge_s),
        ]
    });
    let title = format!(
        "Moves of {} by {}: {} in all, {} frozen",
        super::words::shown(&course.step),
        super::words::shown(&course.scheme),
        seconds(course.total_s),
        milliseconds(course.freeze_ms),
    );
    let mut table = table(
        "moves",
        title,
        &[
            ("wave", NUMBER),
            ("move", TEXT),
            ("how", TEXT),
            ("nodes", NUMBER),
            ("keys", NUMBER),
            ("bytes", NUMBER),
            ("begins", NUMBER),
            ("copy", NUMBER),
            ("freeze", NUMBER),
            ("purge", NUMBER),
        ],
        rows.collect(),
    );
    table.scheme = Some(course.scheme.clone());
    table
}

fn load(course: &CourseReport) -> Table {
    let rows =
        course.servers.iter().map(|server| {
            let before = server.points.first().map(|point| point.requests);
            let work = |of: fn(&crate::simulation::report::CoursePoint) -> f64| {
                server.points.iter().map(of).reduce(f64::max).map(percent)
            };
            vec![
                short(&server.server, NAME_COLUMNS_MAX),
                or_none(before.map(percent)),
                or_none(work(|point| point.moves)),
                or_none(work(|point| point.requests + point.moves)),
                bytes(server.memory_bytes_peak as f64),
                or_none(server.memory_bytes_max.map(|limit| bytes(limit as f64))),
                or_none(server.memory_bytes_max.map(|limit| {
                    match server.memory_bytes_peak > limit {
                        true => "TOO MUCH".to_owned(),
                        false => percent(server.memory_bytes_peak as f64 / limit as f64),
                    }
                })),
            ]
        });
    let mut table = table(
        "load",
        format!(
            "What servers have to do meanwhile, as a part of what they can, {}",
            super::words::shown(&course.scheme)
        ),
        &[
            ("server", TEXT),
            ("requests", NUMBER),
            ("moves", NUMBER),
            ("most together", NUMBER),
            ("memory, at most", NUMBER),
            ("limit", NUMBER),
            ("full", NUMBER),
        ],
        rows.collect(),
    );
    table.scheme = Some(course.scheme.clone());
    table
}

fn storm(storm: &StormReport) -> Table {
    let rows = storm.schemes.iter().map(|scheme| {
        let peak = scheme.database_reads_per_s_peak;
        vec![
            short(&scheme.scheme, NAME_COLUMNS_MAX),
            percent(scheme.hit_rate_min),
            format!("{}/s", rounded(peak)),
            or_none(
                storm
                    .database_reads_per_s_max
                    .map(|most| percent(peak / most)),
            ),
            rounded(scheme.extra_reads),
            scheme
                .recovered_s
                .map_or_else(|| "not in that time".to_owned(), seconds),
        ]
    });
    table(
        "storm",
        format!(
            "Cache misses after {}: {} requests/s, hit rate {} before",
            super::words::shown(&storm.step),
            rounded(storm.requests_per_s),
            percent(storm.hit_rate_before),
        ),
        &[
            ("scheme", TEXT),
            ("hit rate, least", NUMBER),
            ("database, most", NUMBER),
            ("of its limit", NUMBER),
            ("extra reads", NUMBER),
            ("back after", NUMBER),
        ],
        rows.collect(),
    )
}

fn capacity(capacity: &CapacityReport, rows_max: usize) -> Table {
    let last = capacity.points.len().saturating_sub(1);
    let is_kept = |at: usize| {
        capacity.points.len() <= rows_max
            || at == 0
            || at == last
            || capacity.points.get(at).is_some_and(|point| point.is_split)
    };
    let kept: Vec<_> = (0..capacity.points.len())
        .filter(|&at| is_kept(at))
        .filter_map(|at| capacity.points.get(at))
        .collect();
    let left_out = capacity.points.len() - kept.len();
    let rows = kept.iter().map(|point| {
        vec![
            point.month.to_string(),
            count(point.users),
            bytes(point.bytes as f64),
            count(point.servers.into()),
            match point.is_split {
                true => "split".to_owned(),
                false => String::new(),
            },
        ]
    });
    let mut table = table(
        "capacity",
        "Users, and the servers that they need".to_owned(),
        &[
            ("month", NUMBER),
            ("users", NUMBER),
            ("bytes", NUMBER),
            ("servers", NUMBER),
            ("due", TEXT),
        ],
        rows.collect(),
    );
    table.rows_left_out = left_out;
    table
}

fn sensitivity(rows: &[SensitivityReport]) -> Option<Table> {
    let row = |row: &SensitivityReport| {
        vec![
            short(&row.algorithm, NAME_COLUMNS_MAX),
            count(row.servers.into()),
            count(row.nodes.into()),
            ratios(&row.max_over_mean),
            percents(&row.relative_sd),
        ]
    };
    (!rows.is_empty()).then(|| {
        table(
            "sensitivity",
            "How even servers are, by the number of nodes".to_owned(),
            &[
                ("algorithm", TEXT),
                ("servers", NUMBER),
                ("nodes", NUMBER),
                ("max/mean", NUMBER),
                ("sd", NUMBER),
            ],
            rows.iter().map(row).collect(),
        )
    })
}

fn costs(rows: &[CostReport]) -> Option<Table> {
    let row = |row: &CostReport| {
        vec![
            short(&row.scheme, NAME_COLUMNS_MAX),
            seconds(row.build_us / 1e6),
            format!("{:.1} ns", row.lookup_ns),
            row.table_bytes
                .map_or_else(|| super::words::UNKNOWN.to_owned(), |b| bytes(b as f64)),
        ]
    };
    (!rows.is_empty()).then(|| {
        table(
            "costs",
            "What placing costs, measured on this machine".to_owned(),
            &[
                ("scheme", TEXT),
                ("build", NUMBER),
                ("one lookup", NUMBER),
                ("tables", NUMBER),
            ],
            rows.iter().map(row).collect(),
        )
    })
}
