//! The answers, a sentence each.

use super::table::stages;
use super::words::{
    and, bytes, count, glued, milliseconds, percent, plural, ratio, rounded, seconds, shown,
};
use crate::simulation::report::{
    CapacityReport, CourseReport, MovementReport, Report, StageReport, StormReport,
};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Headline {
    /// What it is about: a step, `capacity`, or `cache misses after` a step.
    pub subject: String,
    /// The sentence; between a figure and its unit is a no-break space.
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
            text: glued(&text),
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
    if let Some(storm) = &report.storm {
        for text in misses(storm) {
            say(&format!("cache misses after {}", storm.step), text);
        }
    }
    for text in report.capacity.iter().flat_map(splits) {
        say("capacity", text);
    }
    headlines
}

/// Of every scheme that has got so far.
fn of_schemes(report: &Report, at: usize) -> Vec<(&str, &str, &StageReport)> {
    let stage =
        |scheme: &'_ crate::simulation::report::SchemeReport| scheme.stages.get(at).is_some();
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
    if movements
        .iter()
        .all(|(_, _, movement)| movement.moved.mean == 0.0)
    {
        return Some("No key moves.".to_owned());
    }
    let nodes = first
        .nodes_moved
        .map(|nodes| format!("{}, ", plural(nodes.into(), "node")));
    let mut text = format!(
        "With {} {} of the keys move ({}{}; the least for even servers is {})",
        shown(title),
        percent(first.moved.mean),
        nodes.unwrap_or_default(),
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
        text.push_str("; with ");
        text.push_str(&and(&others));
    }
    text.push('.');
    Some(text)
}

/// `modulo (66.7 % of all keys) and maglev (4.1 %)`, of the schemes of which the figure is more than nothing.
fn guilty(report: &Report, at: usize, of: fn(&MovementReport) -> f64) -> Option<String> {
    let mut parts = Vec::new();
    for (name, _, movement) in movements(report, at) {
        if of(movement) > 0.0 && parts.len() < NAMED_MAX {
            let what = if parts.is_empty() { " of all keys" } else { "" };
            parts.push(format!("{} ({}{what})", shown(name), percent(of(movement))));
        }
    }
    (!parts.is_empty()).then(|| and(&parts))
}

fn needless(report: &Report, at: usize) -> Option<String> {
    let guilty = guilty(report, at, |movement| movement.violating.mean)?;
    Some(format!(
        "Keys move needlessly, between servers that the step does not touch, with {guilty}."
    ))
}

fn lost(report: &Report, at: usize) -> Option<String> {
    let guilty = guilty(report, at, |movement| movement.unreachable.mean)?;
    Some(format!(
        "Keys are lost, or cannot be reached, with {guilty}."
    ))
}

fn evenness(report: &Report, at: usize) -> String {
    let loads: Vec<String> = of_schemes(report, at)
        .into_iter()
        .take(NAMED_MAX + 1)
        .map(|(name, _, stage)| {
            format!(
                "{} with {}",
                ratio(stage.keys.max_over_mean.mean),
                shown(name)
            )
        })
        .collect();
    format!(
        "The fullest server, relative to its share: {}.",
        and(&loads)
    )
}

/// Where memory does not suffice.
fn too_full(report: &Report, at: usize) -> Vec<String> {
    let full = |(name, _, stage): (&str, &str, &StageReport)| {
        let over = stage.servers.iter().filter_map(|share| {
            let limit = share.memory_bytes_max? as f64;
            (share.bytes.mean > limit).then_some((&*share.server, share.bytes.mean, limit))
        });
        let over = over_limit(over)?;
        Some(format!("With {} more than fits is on {over}.", shown(name)))
    };
    of_schemes(report, at)
        .into_iter()
        .filter_map(full)
        .collect()
}

/// `f (67.9 of 56.0 MiB)`, if anybody is over.
fn over_limit<'a>(servers: impl Iterator<Item = (&'a str, f64, f64)>) -> Option<String> {
    let parts: Vec<String> = servers
        .take(NAMED_MAX)
        .map(|(server, has, limit)| {
            format!(
                "{} ({}, and may hold {})",
                shown(server),
                bytes(has),
                bytes(limit)
            )
        })
        .collect();
    (!parts.is_empty()).then(|| and(&parts))
}

fn takes(course: &CourseReport) -> String {
    let nodes: u64 = course
        .moves
        .iter()
        .map(|a_move| u64::from(a_move.nodes))
        .sum();
    let waves = course
        .moves
        .iter()
        .map(|a_move| a_move.wave + 1)
        .max()
        .unwrap_or(0);
    let longest = course
        .moves
        .iter()
        .map(|a_move| a_move.freeze_ms)
        .fold(0.0, f64::max);
    let mut text = format!(
        "With {} the moves take {} ({} in {}), and no node stands still for more than {}.",
        shown(&course.scheme),
        seconds(course.total_s),
        plural(nodes, "node"),
        plural(waves as u64, "wave"),
        milliseconds(longest),
    );
    let over = course.servers.iter().filter_map(|server| {
        let limit = server.memory_bytes_max?;
        let peak = server.memory_bytes_peak;
        (peak > limit).then_some((&*server.server, peak as f64, limit as f64))
    });
    if let Some(over) = over_limit(over) {
        text.push_str(&format!(" On the way memory does not suffice on {over}."));
    }
    text
}

fn misses(storm: &StormReport) -> Vec<String> {
    let scheme = |scheme: &crate::simulation::report::StormScheme| {
        let limit = match storm.database_reads_per_s_max {
            Some(most) if scheme.database_reads_per_s_peak > most => {
                format!(" (it can take {})", rounded(most))
            }
            _ => String::new(),
        };
        let back = match scheme.recovered_s {
            Some(recovered) => format!("it is over after {}", seconds(recovered)),
            None => "it is not over in the time looked at".to_owned(),
        };
        let (before, least) = (percent(storm.hit_rate_before), percent(scheme.hit_rate_min));
        let name = shown(&scheme.scheme);
        let peak = rounded(scheme.database_reads_per_s_peak);
        match before == least {
            true => format!(
                "With {name} the hit rate stays at {before}, and the database gets up to {peak} reads/s{limit}."
            ),
            false => format!(
                "With {name} the hit rate falls from {before} to {least}, the database gets up to {peak} reads/s{limit}, and {back}."
            ),
        }
    };
    storm.schemes.iter().take(NAMED_MAX).map(scheme).collect()
}

fn splits(capacity: &CapacityReport) -> Vec<String> {
    let month = |months: f64| format!("month {months:.1}").replace(".0", "");
    let next = match capacity.next_split_months {
        Some(months) if months <= 0.0 => "A split is due now".to_owned(),
        Some(months) => format!("The next split is due in {}", month(months)),
        None => "No split is due within the curve".to_owned(),
    };
    let mut texts = vec![format!(
        "{next}: the servers that there are hold {} users at {} each.",
        count(capacity.users_max),
        bytes(capacity.bytes_per_user as f64)
    )];
    texts.push(format!(
        "Assumed: {}.",
        shown(capacity.assumptions.trim_end_matches('.'))
    ));
    if let Some(months) = capacity.exhausted_months {
        texts.push(format!(
            "In {} more servers than nodes would be needed ({} users fit): this number of nodes is at its end.",
            month(months),
            count(capacity.users_max_at_all_nodes)
        ));
    }
    texts
}
