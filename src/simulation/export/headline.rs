//! The answers, a sentence each.

use super::table::stages;
use super::words::{and, bytes, count, milliseconds, percent, plural, ratio, rounded, seconds, shown};
use crate::simulation::report::{
    CapacityReport, CourseReport, MovementReport, Report, StageReport, StormReport,
};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Headline {
    /// What it is about: a step, or `storm`.
    pub subject: String,
    /// The sentence.
    pub text: String,
}

/// Schemes that a sentence names; the table has all.
const NAMED_MAX: usize = 5;

/// What matters most, first. A scheme is called by its name, and by its title where it comes first.
pub fn headlines(report: &Report) -> Vec<Headline> {
    let mut headlines = Vec::new();
    let mut say = |subject: &str, text: String| {
        headlines.push(Headline {
            subject: shown(subject),
            text,
        });
    };
    for (at, stage) in stages(report) {
        for text in [moved(report, at), needless(report, at), lost(report, at)]
            .into_iter()
            .flatten()
        {
            say(&stage.step, text);
        }
        say(&stage.step, evenness(report, at));
        for text in too_full(report, at) {
            say(&stage.step, text);
        }
        for course in report.courses.iter().filter(|c| c.step == stage.step) {
            say(&stage.step, takes(course));
        }
    }
    for text in report.storm.iter().flat_map(misses) {
        say("storm", text);
    }
    for text in report.capacity.iter().flat_map(splits) {
        say("capacity", text);
    }
    headlines
}

/// Of every scheme that has got so far.
fn of_schemes(report: &Report, at: usize) -> Vec<(&str, &str, &StageReport)> {
    let stage = |scheme: &'_ crate::simulation::report::SchemeReport| scheme.stages.get(at).is_some();
    report
        .schemes
        .iter()
        .filter(|scheme| stage(scheme))
        .filter_map(|scheme| Some((&*scheme.name, &*scheme.title, scheme.stages.get(at)?)))
        .collect()
}

fn movements(report: &Report, at: usize) -> Vec<(&str, &str, &MovementReport)> {
    of_schemes(report, at)
        .into_iter()
        .filter_map(|(name, title, stage)| Some((name, title, stage.movement.as_ref()?)))
        .collect()
}

fn moved(report: &Report, at: usize) -> Option<String> {
    let movements = movements(report, at);
    let (_, title, first) = movements.first()?;
    let nodes = first
        .nodes_moved
        .map(|nodes| format!("{}, ", plural(nodes.into(), "node")))
        .unwrap_or_default();
    let mut text = format!(
        "{} moves {nodes}{} of the keys ({}); {} would make servers even",
        shown(title),
        percent(first.moved.mean),
        bytes(first.moved_bytes.mean),
        percent(first.minimum),
    );
    let others: Vec<String> = movements
        .iter()
        .skip(1)
        .take(NAMED_MAX)
        .map(|(name, _, movement)| format!("{} {}", shown(name), percent(movement.moved.mean)))
        .collect();
    if !others.is_empty() {
        text.push_str(". ");
        text.push_str(&and(&others));
    }
    text.push('.');
    Some(text)
}

fn needless(report: &Report, at: usize) -> Option<String> {
    let guilty: Vec<String> = movements(report, at)
        .into_iter()
        .filter(|(_, _, movement)| movement.violations > 0)
        .take(NAMED_MAX)
        .map(|(name, _, movement)| {
            format!("{} {}", shown(name), percent(movement.violating.mean))
        })
        .collect();
    (!guilty.is_empty()).then(|| {
        format!(
            "Keys change between servers that the step does not touch by {} of the keys.",
            and(&guilty)
        )
    })
}

fn lost(report: &Report, at: usize) -> Option<String> {
    let lost: Vec<String> = movements(report, at)
        .into_iter()
        .filter(|(_, _, movement)| movement.unreachable.mean > 0.0)
        .take(NAMED_MAX)
        .map(|(name, _, movement)| {
            format!("{} {}", shown(name), percent(movement.unreachable.mean))
        })
        .collect();
    (!lost.is_empty()).then(|| {
        format!("Keys that died with their server, or cannot be reached: {}.", and(&lost))
    })
}

fn evenness(report: &Report, at: usize) -> String {
    let loads: Vec<String> = of_schemes(report, at)
        .into_iter()
        .take(NAMED_MAX + 1)
        .map(|(name, _, stage)| {
            format!("{} by {}", ratio(stage.keys.max_over_mean.mean), shown(name))
        })
        .collect();
    format!("The fullest server has this much of its share: {}.", and(&loads))
}

/// Where memory does not suffice.
fn too_full(report: &Report, at: usize) -> Vec<String> {
    let full = |(name, _, stage): (&str, &str, &StageReport)| {
        let full: Vec<String> = stage
            .servers
            .iter()
            .filter_map(|share| {
                let limit = share.memory_bytes_max? as f64;
                (share.bytes.mean > limit).then(|| {
                    format!(
                        "{} ({} of {})",
                        shown(&share.server),
                        bytes(share.bytes.mean),
                        bytes(limit)
                    )
                })
            })
            .take(NAMED_MAX)
            .collect();
        (!full.is_empty()).then(|| {
            format!("By {} more than fits is on {}.", shown(name), and(&full))
        })
    };
    of_schemes(report, at).into_iter().filter_map(full).collect()
}

fn takes(course: &CourseReport) -> String {
    let nodes: u64 = course.moves.iter().map(|a_move| u64::from(a_move.nodes)).sum();
    let waves = course.moves.iter().map(|a_move| a_move.wave + 1).max().unwrap_or(0);
    let longest = course.moves.iter().map(|a_move| a_move.freeze_ms).fold(0.0, f64::max);
    let mut text = format!(
        "By {} the moves ({}, {}) take {}; none stands still for more than {}.",
        shown(&course.scheme),
        plural(nodes, "node"),
        plural(waves as u64, "wave"),
        seconds(course.total_s),
        milliseconds(longest),
    );
    for server in &course.servers {
        if let Some(limit) = server.memory_bytes_max.filter(|&limit| server.memory_bytes_peak > limit) {
            text.push_str(&format!(
                " {} would need {} of its {} on the way.",
                shown(&server.server),
                bytes(server.memory_bytes_peak as f64),
                bytes(limit as f64)
            ));
        }
    }
    text
}

fn misses(storm: &StormReport) -> Vec<String> {
    let scheme = |scheme: &crate::simulation::report::StormScheme| {
        let limit = match storm.database_reads_per_s_max {
            Some(most) if scheme.database_reads_per_s_peak > most => {
                format!(", more than the {}/s it can take", rounded(most))
            }
            _ => String::new(),
        };
        let back = match scheme.recovered_s {
            Some(recovered) => format!("it is over after {}", seconds(recovered)),
            None => "it is not over in the time looked at".to_owned(),
        };
        format!(
            "After {} by {} the hit rate falls from {} to {}, and the database gets up to {} reads/s{limit}; {back}.",
            shown(&storm.step),
            shown(&scheme.scheme),
            percent(storm.hit_rate_before),
            percent(scheme.hit_rate_min),
            rounded(scheme.database_reads_per_s_peak),
        )
    };
    storm.schemes.iter().take(NAMED_MAX).map(scheme).collect()
}

fn splits(capacity: &CapacityReport) -> Vec<String> {
    let month = |months: f64| format!("month {months:.1}").replace(".0", "");
    let next = match capacity.next_split_months {
        Some(months) => format!("The next split is due in {}", month(months)),
        None => "The servers that there are suffice for the whole curve".to_owned(),
    };
    let mut texts = vec![format!(
        "{next}; they hold {} users at {} each.",
        count(capacity.users_max),
        bytes(capacity.bytes_per_user as f64)
    )];
    if let Some(months) = capacity.exhausted_months {
        texts.push(format!(
            "In {} every node has a server of its own ({} users): this number of nodes is at its end.",
            month(months),
            count(capacity.users_max_at_all_nodes)
        ));
    }
    texts
}
