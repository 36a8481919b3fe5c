//! What schemes cost on this machine. The one part of a report that no seed repeats, and the one place of the simulation that looks at a clock.

use super::report::CostReport;
use super::scenario::Scenario;
use super::scheme::Lookup;
use super::workload::{PIECE_KEYS, Piece, Workload};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Keys that are looked up in each pass: a piece, which is in the processor's cache.
const PASSES: u32 = 50;

/// Builds are repeated so often, but not beyond this time.
const BUILDS: u32 = 5;
const BUILD_TIME_MAX: Duration = Duration::from_millis(200);

/// The fastest of several passes: what it takes when nothing else is in the way. On one thread.
pub(super) fn costs(scenario: &Scenario, workload: &Workload<'_>) -> Vec<CostReport> {
    let mut piece = Piece::default();
    workload.fill(0, 0, PIECE_KEYS, &mut piece);
    let mut costs = Vec::new();
    for track in &scenario.tracks[..scenario.schemes] {
        let mut fastest = Duration::MAX;
        let mut spent = Duration::ZERO;
        let mut built = None;
        for _ in 0..BUILDS {
            let start = Instant::now();
            let Ok(lookup) = scenario.naming().build_first(track, &scenario.fleet) else {
                break;
            };
            let took = start.elapsed();
            built = Some(lookup);
            fastest = fastest.min(took);
            spent += took;
            if spent > BUILD_TIME_MAX {
                break;
            }
        }
        let Some(lookup) = built else {
            continue;
        };
        costs.push(CostReport {
            scheme: track.scheme.name().to_owned(),
            build_us: fastest.as_nanos() as f64 / 1e3,
            lookup_ns: lookup_ns(&lookup, &piece),
            table_bytes: lookup.table_bytes(),
        });
    }
    costs
}

fn lookup_ns(lookup: &Lookup, piece: &Piece) -> f64 {
    let mut units = Vec::with_capacity(piece.len());
    let mut fastest = Duration::MAX;
    for _ in 0..PASSES {
        let start = Instant::now();
        lookup.units(piece.keys(), &mut units);
        black_box(&units);
        fastest = fastest.min(start.elapsed());
    }
    fastest.as_nanos() as f64 / piece.len().max(1) as f64
}
