//! From counts to the report.

use super::balance::{balance, share};
use super::capacity::capacity;
use super::costs::costs;
use super::count::{Counts, Load, Moved};
use super::course::{Setting, Traffic, course};
use super::movement::movement;
use super::report::CourseReport;
use super::report::StormReport;
use super::report::{
    HotKeyReport, KeysReport, Report, SCHEMA, SchemeReport, SensitivityReport, ShareReport,
    StageReport,
};
use super::run::RunError;
use super::scenario::{Scenario, grouped};
use super::storm::{self, StormInput};
use super::track::Track;
use super::workload::{Piece, Popularity, Workload};
use crate::plan::{Move, NodeSize, Origin, Sizes};

/// Keys with many requests that are named.
pub const HOT_KEYS: u64 = 10;

/// What is kept of a repeat.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) total: Load,
    /// By track, then stage.
    tracks: Vec<Vec<StageOutcome>>,
    /// By track, then layout, then unit: only of the first repeat, and only where nodes move.
    units: Vec<Vec<Vec<Load>>>,
}

#[derive(Clone, Debug)]
struct StageOutcome {
    /// By id.
    servers: Vec<Load>,
    moved: Moved,
}

impl Outcome {
    /// `has_units` is for the first repeat.
    pub(super) fn new(
        scenario: &Scenario,
        workload: &Workload<'_>,
        counts: &Counts,
        has_units: bool,
    ) -> Outcome {
        let tracks = &scenario.tracks;
        let servers = scenario.fleet.servers.len();
        let each = workload.bytes_each;
        let stage = |track, stage| StageOutcome {
            servers: counts.servers(tracks, track, stage, each, servers),
            moved: match stage {
                0 => Moved::default(),
                _ => counts.moved(tracks, track, stage, each),
            },
        };
        Outcome {
            total: counts.total,
            tracks: tracks
                .iter()
                .enumerate()
                .map(|(track, of)| {
                    (0..of.stages.len())
                        .map(|number| stage(track, number))
                        .collect()
                })
                .collect(),
            units: match has_units {
                true => tracks
                    .iter()
                    .enumerate()
                    .map(|(number, track)| units(counts, number, track, each))
                    .collect(),
                false => Vec::new(),
            },
        }
    }
}

fn units(counts: &Counts, number: usize, track: &Track, each: Option<u64>) -> Vec<Vec<Load>> {
    if !track.stages.iter().any(|stage| stage.change.is_some()) {
        return Vec::new();
    }
    (0..track.layouts.len())
        .map(|layout| counts.units(number, layout, each))
        .collect()
}

pub(super) fn report(
    scenario: &Scenario,
    workload: &Workload<'_>,
    outcomes: &[Outcome],
    repeats_done: u32,
) -> Result<Report, RunError> {
    let first = outcomes
        .first()
        .map_or(Load::default(), |outcome| outcome.total);
    let is_complete = repeats_done == scenario.repeats;
    let mut notes = scenario.notes.clone();
    if repeats_done == 0 {
        notes.push(format!(
            "Stopped in the first repeat, after {} of {} keys.",
            grouped(first.keys),
            grouped(scenario.keys.count())
        ));
    } else if !is_complete {
        notes.push(format!(
            "Stopped after {repeats_done} of {} repeats.",
            scenario.repeats
        ));
    }
    let schemes: Vec<SchemeReport> = (0..scenario.schemes)
        .map(|track| scheme(scenario, workload, outcomes, track))
        .collect::<Result<_, RunError>>()?;
    Ok(Report {
        schema: SCHEMA.to_owned(),
        keyway: env!("CARGO_PKG_VERSION").to_owned(),
        title: scenario.title.clone(),
        seed: scenario.seed,
        repeats: scenario.repeats,
        repeats_done,
        is_complete,
        keys: KeysReport {
            source: scenario.keys.to_string(),
            count: first.keys,
            bytes: first.bytes,
        },
        sensitivity: (scenario.schemes..scenario.tracks.len())
            .map(|track| sensitivity(scenario, outcomes, track))
            .collect(),
        courses: courses(scenario, outcomes, &mut notes),
        storm: misses(scenario, &schemes, &mut notes),
        schemes,
        // Checked when the scenario was made.
        capacity: scenario
            .capacity
            .as_ref()
            .and_then(|spec| capacity(spec).ok()),
        costs: match scenario.costs && is_complete {
            true => costs(scenario, workload),
            false => Vec::new(),
        },
        notes,
    })
}

fn scheme(
    scenario: &Scenario,
    workload: &Workload<'_>,
    outcomes: &[Outcome],
    track: usize,
) -> Result<SchemeReport, RunError> {
    let of = &scenario.tracks[track];
    let hot = hot_keys(
        scenario,
        workload,
        track,
        outcomes.first().map_or(0, |outcome| outcome.total.requests),
    )?;
    let stages = (0..of.stages.len()).zip(hot).map(|(number, hot_keys)| {
        let stage = &scenario.fleet.stages[number];
        let repeats: Vec<(Vec<Load>, Load)> = outcomes
            .iter()
            .map(|outcome| (outcome.tracks[track][number].servers.clone(), outcome.total))
            .collect();
        let moved: Vec<(Moved, Load)> = outcomes
            .iter()
            .map(|outcome| (outcome.tracks[track][number].moved, outcome.total))
            .collect();
        let nodes = |id| {
            let servers = of.stages[number].server_of.iter();
            of.has_nodes(number)
                .then(|| servers.filter(|server| **server == id).count() as u32)
        };
        let servers = stage.members.iter().zip(stage.targets());
        StageReport {
            step: stage.step.clone(),
            servers: servers
                .map(|(member, target)| ShareReport {
                    server: scenario.fleet.servers[usize::from(member.id)]
                        .name
                        .to_string(),
                    is_up: member.is_up,
                    target,
                    nodes: nodes(member.id),
                    keys: share(&repeats, member.id, |load| load.keys),
                    bytes: super::statistics::estimate(
                        &repeats
                            .iter()
                            .map(|(servers, _)| servers[usize::from(member.id)].bytes as f64)
                            .collect::<Vec<f64>>(),
                    ),
                    requests: share(&repeats, member.id, |load| load.requests),
                    memory_bytes_max: member.memory_bytes_max,
                })
                .collect(),
            keys: balance(stage, &repeats, |load| load.keys),
            bytes: balance(stage, &repeats, |load| load.bytes),
            requests: balance(stage, &repeats, |load| load.requests),
            movement: number.checked_sub(1).map(|before| {
                movement(
                    &scenario.fleet.stages[before],
                    stage,
                    of.stages[number].nodes_moved,
                    &moved,
                )
            }),
            hot_keys,
        }
    });
    Ok(SchemeReport {
        name: of.scheme.name().to_owned(),
        title: of.scheme.title(),
        has_nodes: of.scheme.has_nodes(),
        stages: stages.collect(),
    })
}

/// The most popular keys of the first repeat, which are the first ones, by stage. None if all are alike.
fn hot_keys(
    scenario: &Scenario,
    workload: &Workload<'_>,
    track: usize,
    requests: u64,
) -> Result<Vec<Vec<HotKeyReport>>, RunError> {
    let of = &scenario.tracks[track];
    if !workload.has_popularity() {
        return Ok(vec![Vec::new(); of.stages.len()]);
    }
    let mut piece = Piece::default();
    workload.fill(0, 0, HOT_KEYS, &mut piece);
    let total = requests.max(1) as f64;
    let lookups = scenario
        .naming()
        .build(of, &scenario.fleet, 0)
        .map_err(|source| RunError::Placement {
            scheme: of.scheme.name().to_owned(),
            repeat: 0,
            source,
        })?;
    let stages = of.stages.iter().map(|stage| {
        let mut units = Vec::new();
        lookups[stage.layout].units(piece.keys(), &mut units);
        let keys = piece.keys().zip(&piece.requests).zip(units);
        keys.map(|((key, requests), unit)| {
            let server = stage.server_of[usize::from(unit)];
            HotKeyReport {
                key: String::from_utf8_lossy(key).into_owned(),
                requests: *requests as f64 / total,
                server: scenario.fleet.servers[usize::from(server)].name.to_string(),
            }
        })
        .collect()
    });
    Ok(stages.collect())
}

fn sensitivity(scenario: &Scenario, outcomes: &[Outcome], track: usize) -> SensitivityReport {
    let of = &scenario.tracks[track];
    let stage = &scenario.fleet.stages[0];
    let repeats: Vec<(Vec<Load>, Load)> = outcomes
        .iter()
        .map(|outcome| (outcome.tracks[track][0].servers.clone(), outcome.total))
        .collect();
    let balance = balance(stage, &repeats, |load| load.keys);
    SensitivityReport {
        algorithm: of.scheme.algorithm_name().to_owned(),
        nodes: of.scheme.nodes.unwrap_or_default().into(),
        servers: stage.members.len() as u32,
        max_over_mean: balance.max_over_mean,
        relative_sd: balance.relative_sd,
    }
}

/// Of every step that moves nodes, with the sizes that nodes have in the first repeat.
fn courses(
    scenario: &Scenario,
    outcomes: &[Outcome],
    notes: &mut Vec<String>,
) -> Vec<CourseReport> {
    let mut courses = Vec::new();
    let Some(first) = outcomes.iter().find(|outcome| !outcome.units.is_empty()) else {
        return courses;
    };
    for (number, track) in scenario.tracks[..scenario.schemes].iter().enumerate() {
        for (stage, at) in scenario.fleet.stages.iter().zip(&track.stages) {
            let Some(change) = &at.change else {
                continue;
            };
            let loads = &first.units[number][at.layout];
            let size = |load: &Load| NodeSize {
                keys: load.keys,
                bytes: load.bytes,
            };
            let keys = first.total.keys;
            let sizes = Sizes {
                nodes: loads.iter().map(size).collect(),
                origin: Origin::Keys { keys },
                relative_error: 0.0,
            };
            let requests = first.total.requests.max(1) as f64;
            let shares: Vec<f64> = loads
                .iter()
                .map(|load| load.requests as f64 / requests)
                .collect();
            let setting = Setting {
                scheme: track.scheme.name(),
                step: &stage.step,
                old: &change.old,
                servers: &change.servers,
                sizes: &sizes,
                pace: &scenario.pace,
                traffic: Traffic {
                    requests_per_s: scenario.requests_per_s,
                    shares: &shares,
                },
            };
            match course(&setting, &resized(&change.moves, &sizes)) {
                Ok(course) => courses.push(course),
                Err(error) => notes.push(format!(
                    "{}, {}: no course: {error}.",
                    track.scheme, stage.step
                )),
            }
        }
    }
    courses
}

/// The moves with what their nodes really hold.
fn resized(moves: &[Move], sizes: &Sizes) -> Vec<Move> {
    let mut moves = moves.to_vec();
    for one in &mut moves {
        let nodes = one.nodes.iter().map(|node| sizes.nodes[node.index()]);
        let (keys, bytes) = nodes.fold((0, 0), |(keys, bytes), size| {
            (keys + size.keys, bytes + size.bytes)
        });
        (one.keys, one.bytes) = (keys, bytes);
    }
    moves
}

/// Of the first step that moves keys. Nodes may be moved live, with their data, or be looked for elsewhere at once, without it.
fn misses(
    scenario: &Scenario,
    schemes: &[SchemeReport],
    notes: &mut Vec<String>,
) -> Option<StormReport> {
    let spec = scenario.storm.as_ref()?;
    let moved = |scheme: &SchemeReport, stage: usize| {
        scheme.stages[stage]
            .movement
            .as_ref()
            .map_or(0.0, |movement| movement.moved.mean)
    };
    let stages = 1..scenario.fleet.stages.len();
    let Some(stage) = stages
        .into_iter()
        .find(|stage| schemes.iter().any(|scheme| moved(scheme, *stage) > 0.0))
    else {
        notes.push("No step moves keys: no storm.".to_owned());
        return None;
    };
    let exponent = match scenario.keys.popularity {
        Popularity::Uniform => 0.0,
        Popularity::Zipf { exponent } => exponent,
    };
    let classes = storm::Popularity::zipf(scenario.keys.count(), exponent);
    let mut inputs = Vec::new();
    for scheme in schemes {
        inputs.push(StormInput::even(
            &scheme.name,
            moved(scheme, stage).clamp(0.0, 1.0),
            &classes,
        ));
        if scheme.has_nodes {
            inputs.push(StormInput::even(
                format!("{}, moved live", scheme.name),
                0.0,
                &classes,
            ));
        }
    }
    match storm::storm(spec, &scenario.fleet.stages[stage].step, &classes, &inputs) {
        Ok(report) => Some(report),
        Err(error) => {
            notes.push(format!("No storm: {error}."));
            None
        }
    }
}
