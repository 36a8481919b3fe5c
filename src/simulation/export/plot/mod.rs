//! Pictures of a report, as SVG without a font, a script or a request: each drawn for a wide screen and for a narrow one.
//!
//! Drawn by hand, and not by a plotting library: shapes need classes, to look right in light and in dark, and a text for the pointer.

mod bars;
mod course;
mod drawing;
mod lines;
mod palette;
mod scale;

use super::table::{courses, load_of, stages, when};
use super::words::{percent, percents, ratio, shown};
use crate::simulation::report::{
    CapacityReport, CourseReport, Estimate, Report, SensitivityReport, StageReport, StormReport,
};
use bars::{Bar, Bars};
use drawing::{Drawing, Size};
use lines::{Line, Lines, Point};
use maud::{Markup, html};
pub(super) use palette::css;
use scale::time_unit;

/// One picture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plot {
    /// Of its file, without `.svg`: `balance-1`, where the number is that of the step (0: at the start).
    pub name: String,
    /// What it shows.
    pub title: String,
    /// How to read it, for who sees it for the first time, and for who cannot see it.
    pub description: String,
    /// The step that it belongs to, if to one.
    pub step: Option<String>,
    figure: Figure,
}

#[derive(Clone, Debug)]
enum Figure {
    Bars(Bars),
    Lines(Lines),
    Course(Box<CourseReport>),
}

impl Plot {
    /// A file of its own: as wide as on a screen, light or dark as its reader likes it.
    pub fn svg(&self) -> String {
        let (drawing, height) = self.draw(Size::Wide);
        let mut text = drawing.standalone(height, &self.title, &self.description);
        text.push('\n');
        text
    }

    /// Within a page, which shows the one that fits.
    pub(super) fn inline(&self) -> Markup {
        let sized = |size, class| {
            let (drawing, height) = self.draw(size);
            drawing.inline(height, &self.title, &self.description, class)
        };
        html! { (sized(Size::Wide, "wide")) (sized(Size::Narrow, "narrow")) }
    }

    fn draw(&self, size: Size) -> (Drawing, f64) {
        match &self.figure {
            Figure::Bars(bars) => bars::draw(bars, size),
            Figure::Lines(lines) => lines::draw(lines, size),
            Figure::Course(course) => course::draw(course, size),
        }
    }
}

/// Every picture for which there is something to show: balance and movement of each step, courses, storm, sensitivity, capacity.
pub fn plots(report: &Report) -> Vec<Plot> {
    let mut plots = Vec::new();
    for (at, stage) in stages(report) {
        plots.push(balance(report, stage, at));
        plots.extend(movement(report, stage, at));
        let courses = courses(report, at).into_iter();
        plots.extend(courses.enumerate().map(|(number, c)| course(c, at, number)));
    }
    plots.extend(report.storm.as_ref().map(storm));
    plots.extend(sensitivity(&report.sensitivity));
    plots.extend(report.capacity.as_ref().map(capacity));
    plots
}

fn interval(estimate: &Estimate) -> Option<(f64, f64)> {
    estimate.spread.map(|spread| (spread.low, spread.high))
}

fn balance(report: &Report, stage: &StageReport, at: usize) -> Plot {
    let panel = |scheme: &crate::simulation::report::SchemeReport| {
        let bars = scheme.stages.get(at)?.servers.iter().map(|share| {
            let load = load_of(share);
            let part = |value: f64| value / share.target;
            Bar {
                label: match share.is_up {
                    true => share.server.clone(),
                    false => format!("{} (down)", share.server),
                },
                value: load.unwrap_or(0.0),
                text: load.map_or_else(|| "no share".to_owned(), ratio),
                interval: load
                    .and_then(|_| interval(&share.keys))
                    .map(|(low, high)| (part(low), part(high))),
                part: 0.0,
                mark: None,
            }
        });
        Some(bars::Panel {
            title: scheme.name.clone(),
            bars: bars.collect(),
        })
    };
    Plot {
        name: format!("balance-{at}"),
        title: format!("Keys of each server {}", when(&stage.step, at)),
        description: "A bar per server and a panel per scheme: its keys, relative to its share. At 1 a server has what it should; \
                      thin lines are 95 % confidence intervals."
            .to_owned(),
        step: Some(stage.step.clone()),
        figure: Figure::Bars(Bars {
            panels: report.schemes.iter().filter_map(panel).collect(),
            x_title: "keys, relative to the share",
            reference: Some((1.0, "its share")),
            part_name: "",
            mark_name: "",
        }),
    }
}

fn movement(report: &Report, stage: &StageReport, at: usize) -> Option<Plot> {
    let movements = report
        .schemes
        .iter()
        .filter_map(|scheme| Some((scheme, scheme.stages.get(at)?.movement.as_ref()?)));
    let bars: Vec<Bar> = movements
        .map(|(scheme, movement)| Bar {
            label: scheme.name.clone(),
            value: movement.moved.mean * 100.0,
            text: percents(&movement.moved),
            interval: interval(&movement.moved).map(|(low, high)| (low * 100.0, high * 100.0)),
            part: movement.violating.mean * 100.0,
            mark: Some(movement.minimum * 100.0),
        })
        .collect();
    // A server that dies, say, moves nothing.
    let is_something = |bar: &Bar| bar.value > 0.0 || bar.mark.is_some_and(|least| least > 0.0);
    bars.iter().any(is_something).then(|| Plot {
        name: format!("movement-{at}"),
        title: format!("Keys that {} moves", shown(&stage.step)),
        description: "A bar per scheme: keys that are on another server than before, in percent of all. The upright mark is the least that \
                      makes servers even."
            .to_owned(),
        step: Some(stage.step.clone()),
        figure: Figure::Bars(Bars {
            panels: vec![bars::Panel {
                title: String::new(),
                bars,
            }],
            x_title: "moved, % of all keys",
            reference: None,
            part_name: "between servers that the step does not touch",
            mark_name: "the least possible",
        }),
    })
}

fn course(course: &CourseReport, at: usize, number: usize) -> Plot {
    Plot {
        name: format!("course-{at}-{}", number + 1),
        title: format!(
            "The course of {} by {}",
            shown(&course.step),
            shown(&course.scheme)
        ),
        description: "Each move over time: copy, freeze (drawn wider than it is, to be seen) and purge. Below, the load of each server: \
                      requests, and moves on top of them."
            .to_owned(),
        step: Some(course.step.clone()),
        figure: Figure::Course(Box::new(course.clone())),
    }
}

fn storm(storm: &StormReport) -> Plot {
    let points = || storm.schemes.iter().flat_map(|scheme| &scheme.points);
    let last_s = points().map(|point| point.at_s).fold(0.0, f64::max);
    // It is over long before the end that was asked for, as a rule: all of it would be a stroke at the left.
    let over_s = storm.schemes.iter().try_fold(0.0_f64, |over, scheme| {
        scheme.recovered_s.map(|recovered| over.max(recovered))
    });
    let end_s = over_s
        .filter(|&over| over > 0.0)
        .map_or(last_s, |over| (over * 2.0).min(last_s));
    let (unit, unit_s) = time_unit(end_s);
    let lines = |of: fn(&crate::simulation::report::StormPoint) -> f64| {
        let line = |(series, scheme): (usize, &crate::simulation::report::StormScheme)| Line {
            series,
            points: scheme
                .points
                .iter()
                .filter(|point| point.at_s <= end_s)
                .map(|point| Point {
                    x: point.at_s / unit_s,
                    y: of(point),
                    interval: None,
                })
                .collect(),
            is_step: false,
        };
        storm.schemes.iter().enumerate().map(line).collect()
    };
    let limit = storm
        .database_reads_per_s_max
        .map(|most| (most, "what the database can take".to_owned()));
    Plot {
        name: "storm".to_owned(),
        title: format!("Cache misses after {}", shown(&storm.step)),
        description: format!(
            "A line per scheme: requests that find their value (before: {}), and below what the database has to read instead.",
            percent(storm.hit_rate_before)
        ),
        step: Some(storm.step.clone()),
        figure: Figure::Lines(Lines {
            x_title: format!("{unit} after the step"),
            is_x_log: false,
            series: storm.schemes.iter().map(|s| s.scheme.clone()).collect(),
            panels: vec![
                lines::Panel {
                    title: "Hit rate, %".to_owned(),
                    is_from_zero: true,
                    lines: lines(|point| point.hit_rate * 100.0),
                    reference: None,
                },
                lines::Panel {
                    title: "Reads of the database, per second".to_owned(),
                    is_from_zero: true,
                    lines: lines(|point| point.database_reads_per_s),
                    reference: limit,
                },
            ],
            moments: Vec::new(),
        }),
    }
}

fn sensitivity(rows: &[SensitivityReport]) -> Option<Plot> {
    let mut series: Vec<(&str, u32)> = Vec::new();
    for row in rows {
        if !series.contains(&(&row.algorithm, row.servers)) {
            series.push((&row.algorithm, row.servers));
        }
    }
    let has_many_sizes = series.iter().any(|one| one.1 != series[0].1);
    let lines = |of: fn(&SensitivityReport) -> &Estimate, times: f64| -> Vec<Line> {
        let line = |(number, &(algorithm, servers)): (usize, &(&str, u32))| {
            let own = rows
                .iter()
                .filter(|row| row.algorithm == algorithm && row.servers == servers);
            let mut points: Vec<Point> = own
                .map(|row| Point {
                    x: f64::from(row.nodes),
                    y: of(row).mean * times,
                    interval: interval(of(row)).map(|(low, high)| (low * times, high * times)),
                })
                .collect();
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            Line {
                series: number,
                points,
                is_step: false,
            }
        };
        series.iter().enumerate().map(line).collect()
    };
    let name = |&(algorithm, servers): &(&str, u32)| match has_many_sizes {
        true => format!("{algorithm}, {servers} servers"),
        false => algorithm.to_owned(),
    };
    (!rows.is_empty()).then(|| Plot {
        name: "sensitivity".to_owned(),
        title: match has_many_sizes {
            true => "How even servers are, by the number of nodes".to_owned(),
            false => format!("How even {} servers are, by the number of nodes", series[0].1),
        },
        description: "A line per algorithm: the load of the fullest server relative to its share, and below the standard deviation of all \
                      loads. Upright strokes are 95 % confidence intervals."
            .to_owned(),
        step: None,
        figure: Figure::Lines(Lines {
            x_title: "nodes (each step is twice as many)".to_owned(),
            is_x_log: true,
            series: series.iter().map(name).collect(),
            panels: vec![
                lines::Panel {
                    title: "The fullest server, relative to its share".to_owned(),
                    is_from_zero: false,
                    lines: lines(|row| &row.max_over_mean, 1.0),
                    reference: None,
                },
                lines::Panel {
                    title: "Standard deviation, %".to_owned(),
                    is_from_zero: true,
                    lines: lines(|row| &row.relative_sd, 100.0),
                    reference: None,
                },
            ],
            moments: Vec::new(),
        }),
    })
}

fn capacity(capacity: &CapacityReport) -> Plot {
    let line = |of: fn(&crate::simulation::report::CapacityPoint) -> f64, is_step| Line {
        series: 0,
        points: capacity
            .points
            .iter()
            .map(|point| Point {
                x: f64::from(point.month),
                y: of(point),
                interval: None,
            })
            .collect(),
        is_step,
    };
    let due = |months: Option<f64>, what: &str| {
        months.map(|months| {
            (
                months,
                format!(
                    "{what}, month {}",
                    scale::tick((months * 10.0).round() / 10.0)
                ),
            )
        })
    };
    Plot {
        name: "capacity".to_owned(),
        title: "Users, and the servers that they need".to_owned(),
        description: format!(
            "Over the months: users, and below the servers that they need. {}",
            shown(&capacity.assumptions)
        ),
        step: None,
        figure: Figure::Lines(Lines {
            x_title: "months from the start".to_owned(),
            is_x_log: false,
            series: vec![String::new()],
            panels: vec![
                lines::Panel {
                    title: "Users".to_owned(),
                    is_from_zero: true,
                    lines: vec![line(|point| point.users as f64, false)],
                    reference: None,
                },
                lines::Panel {
                    title: "Servers".to_owned(),
                    is_from_zero: true,
                    lines: vec![line(|point| f64::from(point.servers), true)],
                    reference: None,
                },
            ],
            moments: [
                due(capacity.next_split_months, "the next split"),
                due(capacity.exhausted_months, "more servers than nodes"),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }),
    }
}
