//! Comma-separated values by RFC 4180: a file per table, its columns fixed, units in their names, figures unrounded.

use super::table::kind;
use crate::simulation::report::{BalanceReport, Estimate, Report};
use std::fmt::{Display, Write};

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CsvFile {
    /// As `shares.csv`.
    pub name: &'static str,
    /// A line of headers, then a line per row, ended by CR LF. Text as it is, quoted where it must be; what is not known is empty.
    pub text: String,
}

/// Every table of the report, also those without rows: `balance`, `shares`, `movement`, `hot_keys`, `moves`, `load`, `storm`, `capacity`,
/// `sensitivity` and `costs`. Fractions are 0 to 1. An estimate is four columns: its mean, and, after more than one repeat, the standard deviation
/// of the repeats and the two ends of the 95 % confidence interval of the mean.
pub fn csv(report: &Report) -> Vec<CsvFile> {
    vec![
        balance(report),
        shares(report),
        movement(report),
        hot_keys(report),
        moves(report),
        load(report),
        storm(report),
        capacity(report),
        sensitivity(report),
        costs(report),
    ]
}

struct Sheet {
    name: &'static str,
    text: String,
    columns: usize,
    /// Of the row at hand.
    cells: usize,
}

/// What a header stands for: one column, or the four of an estimate.
enum Header {
    One(&'static str),
    Estimate(&'static str),
}
use Header::{Estimate as Four, One};

impl Sheet {
    fn new(name: &'static str, headers: &[Header]) -> Sheet {
        let mut sheet = Sheet {
            name,
            text: String::new(),
            columns: 0,
            cells: 0,
        };
        for header in headers {
            match header {
                One(name) => sheet.cell(name),
                Four(name) => {
                    for part in ["mean", "sd", "low", "high"] {
                        sheet.cell(format_args!("{name}_{part}"));
                    }
                }
            }
        }
        sheet.columns = sheet.cells;
        sheet.end();
        sheet
    }

    fn cell(&mut self, value: impl Display) {
        if self.cells > 0 {
            self.text.push(',');
        }
        self.cells += 1;
        let start = self.text.len();
        // To a String: cannot fail.
        let _ = write!(self.text, "{value}");
        let written = self.text.get(start..).unwrap_or_default();
        if written.contains(['"', ',', '\r', '\n']) || written.trim() != written {
            let quoted = format!("\"{}\"", written.replace('"', "\"\""));
            self.text.truncate(start);
            self.text.push_str(&quoted);
        }
    }

    /// Without a value for what is no number.
    fn number(&mut self, value: f64) {
        match value.is_finite() {
            true => self.cell(value),
            false => self.cell(""),
        }
    }

    fn maybe(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.cell(value),
            None => self.cell(""),
        }
    }

    fn estimate(&mut self, estimate: &Estimate) {
        self.number(estimate.mean);
        match estimate.spread {
            Some(spread) => {
                for end in [spread.sd, spread.low, spread.high] {
                    self.number(end);
                }
            }
            None => {
                for _ in 0..3 {
                    self.cell("");
                }
            }
        }
    }

    fn end(&mut self) {
        debug_assert_eq!(self.cells, self.columns, "{}", self.name);
        self.text.push_str("\r\n");
        self.cells = 0;
    }

    fn file(self) -> CsvFile {
        CsvFile {
            name: self.name,
            text: self.text,
        }
    }
}

fn balance(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "balance.csv",
        &[
            One("scheme"),
            One("stage"),
            One("step"),
            One("of"),
            Four("max_over_mean"),
            Four("min_over_mean"),
            Four("relative_sd"),
            One("load_low_99"),
            One("load_high_99"),
        ],
    );
    for scheme in &report.schemes {
        for (at, stage) in scheme.stages.iter().enumerate() {
            for (of, balance) in [
                ("keys", &stage.keys),
                ("bytes", &stage.bytes),
                ("requests", &stage.requests),
            ] {
                sheet.cell(&scheme.name);
                sheet.cell(at);
                sheet.cell(&stage.step);
                sheet.cell(of);
                let BalanceReport {
                    max_over_mean,
                    min_over_mean,
                    relative_sd,
                    load_low_99,
                    load_high_99,
                } = balance;
                for estimate in [max_over_mean, min_over_mean, relative_sd] {
                    sheet.estimate(estimate);
                }
                sheet.number(*load_low_99);
                sheet.number(*load_high_99);
                sheet.end();
            }
        }
    }
    sheet.file()
}

fn shares(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "shares.csv",
        &[
            One("scheme"),
            One("stage"),
            One("step"),
            One("server"),
            One("is_up"),
            One("target_fraction"),
            One("nodes"),
            Four("keys_fraction"),
            Four("bytes"),
            Four("requests_fraction"),
            One("memory_bytes_max"),
        ],
    );
    for scheme in &report.schemes {
        for (at, stage) in scheme.stages.iter().enumerate() {
            for share in &stage.servers {
                sheet.cell(&scheme.name);
                sheet.cell(at);
                sheet.cell(&stage.step);
                sheet.cell(&share.server);
                sheet.cell(share.is_up);
                sheet.number(share.target);
                sheet.maybe(share.nodes);
                sheet.estimate(&share.keys);
                sheet.estimate(&share.bytes);
                sheet.estimate(&share.requests);
                sheet.maybe(share.memory_bytes_max);
                sheet.end();
            }
        }
    }
    sheet.file()
}

fn movement(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "movement.csv",
        &[
            One("scheme"),
            One("stage"),
            One("step"),
            Four("moved_fraction"),
            One("minimum_fraction"),
            Four("moved_bytes"),
            Four("to_added_fraction"),
            Four("from_gone_fraction"),
            Four("reweighted_fraction"),
            Four("replaced_fraction"),
            Four("evened_fraction"),
            One("violations_keys"),
            Four("violating_fraction"),
            One("nodes_moved"),
            Four("unreachable_fraction"),
        ],
    );
    for scheme in &report.schemes {
        for (at, stage) in scheme.stages.iter().enumerate() {
            let Some(movement) = &stage.movement else {
                continue;
            };
            sheet.cell(&scheme.name);
            sheet.cell(at);
            sheet.cell(&stage.step);
            sheet.estimate(&movement.moved);
            sheet.number(movement.minimum);
            for estimate in [
                &movement.moved_bytes,
                &movement.to_added,
                &movement.from_gone,
                &movement.reweighted,
                &movement.replaced,
                &movement.evened,
            ] {
                sheet.estimate(estimate);
            }
            sheet.cell(movement.violations);
            sheet.estimate(&movement.violating);
            sheet.maybe(movement.nodes_moved);
            sheet.estimate(&movement.unreachable);
            sheet.end();
        }
    }
    sheet.file()
}

fn hot_keys(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "hot_keys.csv",
        &[
            One("scheme"),
            One("stage"),
            One("step"),
            One("key"),
            One("requests_fraction"),
            One("server"),
        ],
    );
    for scheme in &report.schemes {
        for (at, stage) in scheme.stages.iter().enumerate() {
            for hot in &stage.hot_keys {
                sheet.cell(&scheme.name);
                sheet.cell(at);
                sheet.cell(&stage.step);
                sheet.cell(&hot.key);
                sheet.number(hot.requests);
                sheet.cell(&hot.server);
                sheet.end();
            }
        }
    }
    sheet.file()
}

fn moves(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "moves.csv",
        &[
            One("scheme"),
            One("step"),
            One("wave"),
            One("from"),
            One("to"),
            One("kind"),
            One("nodes"),
            One("keys"),
            One("bytes"),
            One("start_s"),
            One("copy_s"),
            One("freeze_ms"),
            One("purge_s"),
            One("why"),
        ],
    );
    for course in &report.courses {
        for a_move in &course.moves {
            sheet.cell(&course.scheme);
            sheet.cell(&course.step);
            sheet.cell(a_move.wave);
            sheet.cell(&a_move.from);
            sheet.cell(&a_move.to);
            sheet.cell(kind(a_move.kind));
            sheet.cell(a_move.nodes);
            sheet.cell(a_move.keys);
            sheet.cell(a_move.bytes);
            for time in [
                a_move.start_s,
                a_move.copy_s,
                a_move.freeze_ms,
                a_move.purge_s,
            ] {
                sheet.number(time);
            }
            sheet.cell(&a_move.why);
            sheet.end();
        }
    }
    sheet.file()
}

fn load(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "load.csv",
        &[
            One("scheme"),
            One("step"),
            One("server"),
            One("at_s"),
            One("requests_fraction"),
            One("moves_fraction"),
            One("memory_bytes"),
            One("memory_bytes_peak"),
            One("memory_bytes_max"),
        ],
    );
    for course in &report.courses {
        for server in &course.servers {
            for point in &server.points {
                sheet.cell(&course.scheme);
                sheet.cell(&course.step);
                sheet.cell(&server.server);
                sheet.number(point.at_s);
                sheet.number(point.requests);
                sheet.number(point.moves);
                sheet.cell(point.memory_bytes);
                sheet.cell(server.memory_bytes_peak);
                sheet.maybe(server.memory_bytes_max);
                sheet.end();
            }
        }
    }
    sheet.file()
}

fn storm(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "storm.csv",
        &[
            One("scheme"),
            One("step"),
            One("at_s"),
            One("hit_rate"),
            One("database_reads_per_s"),
        ],
    );
    if let Some(storm) = &report.storm {
        for scheme in &storm.schemes {
            for point in &scheme.points {
                sheet.cell(&scheme.scheme);
                sheet.cell(&storm.step);
                sheet.number(point.at_s);
                sheet.number(point.hit_rate);
                sheet.number(point.database_reads_per_s);
                sheet.end();
            }
        }
    }
    sheet.file()
}

fn capacity(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "capacity.csv",
        &[
            One("month"),
            One("users"),
            One("bytes"),
            One("servers"),
            One("is_split"),
        ],
    );
    for point in report.capacity.iter().flat_map(|c| &c.points) {
        sheet.cell(point.month);
        sheet.cell(point.users);
        sheet.cell(point.bytes);
        sheet.cell(point.servers);
        sheet.cell(point.is_split);
        sheet.end();
    }
    sheet.file()
}

fn sensitivity(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "sensitivity.csv",
        &[
            One("algorithm"),
            One("nodes"),
            One("servers"),
            Four("max_over_mean"),
            Four("relative_sd"),
        ],
    );
    for row in &report.sensitivity {
        sheet.cell(&row.algorithm);
        sheet.cell(row.nodes);
        sheet.cell(row.servers);
        sheet.estimate(&row.max_over_mean);
        sheet.estimate(&row.relative_sd);
        sheet.end();
    }
    sheet.file()
}

fn costs(report: &Report) -> CsvFile {
    let mut sheet = Sheet::new(
        "costs.csv",
        &[
            One("scheme"),
            One("build_us"),
            One("lookup_ns"),
            One("table_bytes"),
        ],
    );
    for cost in &report.costs {
        sheet.cell(&cost.scheme);
        sheet.number(cost.build_us);
        sheet.number(cost.lookup_ns);
        sheet.maybe(cost.table_bytes);
        sheet.end();
    }
    sheet.file()
}
