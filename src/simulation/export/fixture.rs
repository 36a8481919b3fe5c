//! Reports to show.

use crate::simulation::report::{Report, SchemeReport};

/// Something of everything: 5 servers, `add f`, `kill c`, five schemes, stopped early.
pub(super) fn full() -> Report {
    serde_json::from_str(include_str!("../../../tests/reports/full.json")).unwrap()
}

/// One server, one scheme, no step, one repeat.
pub(super) fn small() -> Report {
    serde_json::from_str(include_str!("../../../tests/reports/small.json")).unwrap()
}

/// 50 servers, 10 schemes.
pub(super) fn large() -> Report {
    let mut report = full();
    let grown = |scheme: &SchemeReport, number: usize| {
        let mut scheme = scheme.clone();
        scheme.name = format!("{}-{number}", scheme.name);
        for stage in &mut scheme.stages {
            let few = stage.servers.clone();
            stage.servers = (0..50)
                .map(|at| {
                    let mut share = few[at % few.len()].clone();
                    share.server = format!("cache-eu-west-{at:02}");
                    share.target = 0.02;
                    share.keys.mean = 0.02 * (0.7 + (at * 17 % 50) as f64 / 80.0);
                    share.keys.spread = None;
                    share
                })
                .collect();
        }
        scheme
    };
    let few = report.schemes.clone();
    report.schemes = (0..10).map(|at| grown(&few[at % few.len()], at)).collect();
    let course = &mut report.courses[0];
    course.scheme = report.schemes[0].name.clone();
    course.moves = course.moves.iter().cycle().take(60).cloned().collect();
    course.servers = course.servers.iter().cycle().take(50).cloned().collect();
    report
}

/// What a key or a name should not be able to do to who shows it.
pub(super) const HOSTILE: &str =
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u{1b}[2J\u{0}\u{202e}]]>";

/// [`full`], with [`HOSTILE`] wherever a text comes from outside.
pub(super) fn hostile() -> Report {
    let mut report = full();
    let hostile = || HOSTILE.to_owned();
    report.title = hostile();
    report.keyway = hostile();
    report.keys.source = hostile();
    for scheme in &mut report.schemes {
        scheme.title = hostile();
        scheme.name.push_str(HOSTILE);
        for stage in &mut scheme.stages {
            stage.step.push_str(HOSTILE);
            for share in &mut stage.servers {
                share.server.push_str(HOSTILE);
            }
            for hot in &mut stage.hot_keys {
                (hot.key, hot.server) = (hostile(), hostile());
            }
        }
    }
    for row in &mut report.sensitivity {
        row.algorithm.push_str(HOSTILE);
    }
    for course in &mut report.courses {
        course.step.push_str(HOSTILE);
        course.scheme = hostile();
        for a_move in &mut course.moves {
            (a_move.from, a_move.to, a_move.why) = (hostile(), hostile(), hostile());
        }
        for server in &mut course.servers {
            server.server = hostile();
        }
    }
    if let Some(storm) = &mut report.storm {
        storm.step = hostile();
        for scheme in &mut storm.schemes {
            scheme.scheme.push_str(HOSTILE);
        }
    }
    if let Some(capacity) = &mut report.capacity {
        capacity.assumptions = hostile();
    }
    for cost in &mut report.costs {
        cost.scheme = hostile();
    }
    report.notes = vec![hostile()];
    report
}
