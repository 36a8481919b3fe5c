//! Counting: the one loop over all keys. Everything is an integer, so that the order in which pieces are counted makes no difference.

use super::scheme::Lookup;
use super::track::{CAUSES, Track};
use super::workload::{Piece, Workload};

/// What some part of something holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) keys: u64,
    pub(super) bytes: u64,
    /// In units of the workload.
    pub(super) requests: u64,
}

impl Load {
    pub(super) fn add(&mut self, other: Load) {
        self.keys += other.keys;
        self.bytes += other.bytes;
        self.requests += other.requests;
    }
}

/// What a step moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// By [`Cause`](super::track::Cause).
    pub(super) keys: [u64; CAUSES],
    pub(super) bytes: u64,
    /// Keys that cannot be reached, or whose data is lost.
    pub(super) unreachable: u64,
}

impl Moved {
    fn add(&mut self, other: &Moved) {
        for (sum, keys) in self.keys.iter_mut().zip(other.keys) {
            *sum += keys;
        }
        self.bytes += other.bytes;
        self.unreachable += other.unreachable;
    }
}

/// Of the keys of one repeat that were counted so far.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) total: Load,
    pub(super) tracks: Vec<TrackCounts>,
}

#[derive(Clone, Debug)]
pub(super) struct TrackCounts {
    /// By layout, then by unit.
    layouts: Vec<Units>,
    /// By stage; only of those whose layout is another than before.
    crossings: Vec<Moved>,
}

/// Sums are kept only of what differs between keys.
#[derive(Clone, Debug)]
struct Units {
    keys: Vec<u64>,
    bytes: Vec<u64>,
    requests: Vec<u64>,
}

impl Counts {
    pub(super) fn new(tracks: &[Track], workload: &Workload<'_>) -> Counts {
        let units = |track: &Track, layout: usize| {
            let stage = track.stages.iter().find(|stage| stage.layout == layout);
            let count = stage.map_or(0, |stage| stage.server_of.len());
            let if_any = |is_any: bool| vec![0; if is_any { count } else { 0 }];
            Units {
                keys: vec![0; count],
                bytes: if_any(workload.bytes_each.is_none()),
                requests: if_any(workload.has_popularity()),
            }
        };
        Counts {
            total: Load::default(),
            tracks: tracks
                .iter()
                .map(|track| TrackCounts {
                    layouts: (0..track.layouts.len())
                        .map(|layout| units(track, layout))
                        .collect(),
                    crossings: vec![Moved::default(); track.stages.len()],
                })
                .collect(),
        }
    }

    pub(super) fn add(&mut self, other: &Counts) {
        self.total.add(other.total);
        for (sum, track) in self.tracks.iter_mut().zip(&other.tracks) {
            for (sum, units) in sum.layouts.iter_mut().zip(&track.layouts) {
                for (sum, units) in [
                    (&mut sum.keys, &units.keys),
                    (&mut sum.bytes, &units.bytes),
                    (&mut sum.requests, &units.requests),
                ] {
                    for (sum, count) in sum.iter_mut().zip(units) {
                        *sum += count;
                    }
                }
            }
            for (sum, moved) in sum.crossings.iter_mut().zip(&track.crossings) {
                sum.add(moved);
            }
        }
    }

    /// What each server holds at a stage, by id.
    pub(super) fn servers(
        &self,
        tracks: &[Track],
        track: usize,
        stage: usize,
        bytes_each: Option<u64>,
        servers: usize,
    ) -> Vec<Load> {
        let mut loads = vec![Load::default(); servers];
        let at = &tracks[track].stages[stage];
        for (unit, &server) in at.server_of.iter().enumerate() {
            loads[usize::from(server)].add(self.unit(track, at.layout, unit, bytes_each));
        }
        loads
    }

    /// What each unit of a layout holds.
    pub(super) fn units(&self, track: usize, layout: usize, bytes_each: Option<u64>) -> Vec<Load> {
        let count = self.tracks[track].layouts[layout].keys.len();
        (0..count)
            .map(|unit| self.unit(track, layout, unit, bytes_each))
            .collect()
    }

    fn unit(&self, track: usize, layout: usize, unit: usize, bytes_each: Option<u64>) -> Load {
        let units = &self.tracks[track].layouts[layout];
        let keys = units.keys[unit];
        Load {
            keys,
            bytes: bytes_each.map_or_else(|| units.bytes[unit], |each| keys * each),
            requests: units.requests.get(unit).copied().unwrap_or(keys),
        }
    }

    /// What the step before a stage moved.
    pub(super) fn moved(
        &self,
        tracks: &[Track],
        track: usize,
        stage: usize,
        bytes_each: Option<u64>,
    ) -> Moved {
        let stages = &tracks[track].stages;
        let (before, after) = (&stages[stage - 1], &stages[stage]);
        if before.layout != after.layout {
            return self.tracks[track].crossings[stage];
        }
        // Keys have stayed in their units.
        let mut moved = Moved::default();
        for (unit, (&from, &to)) in before.server_of.iter().zip(&after.server_of).enumerate() {
            let load = self.unit(track, after.layout, unit, bytes_each);
            if after.causes.is_lost(from, to) {
                moved.unreachable += load.keys;
            }
            if from != to {
                moved.keys[after.causes.of(from, to) as usize] += load.keys;
                moved.bytes += load.bytes;
            }
        }
        moved
    }
}

/// What a worker needs again for every piece.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) piece: Piece,
    before: Vec<u16>,
    units: Vec<u16>,
}

impl Scratch {
    /// Counts the keys of the piece.
    pub(super) fn count(
        &mut self,
        tracks: &[Track],
        lookups: &[Vec<Lookup>],
        bytes_each: Option<u64>,
        counts: &mut Counts,
    ) {
        let piece = &self.piece;
        let keys = piece.len() as u64;
        counts.total.add(Load {
            keys,
            bytes: bytes_each.map_or_else(|| piece.bytes.iter().sum(), |each| keys * each),
            requests: match piece.requests.is_empty() {
                true => keys,
                false => piece.requests.iter().sum(),
            },
        });
        for ((track, lookups), counts) in tracks.iter().zip(lookups).zip(&mut counts.tracks) {
            for (layout, (lookup, sums)) in lookups.iter().zip(&mut counts.layouts).enumerate() {
                std::mem::swap(&mut self.before, &mut self.units);
                lookup.units(self.piece.keys(), &mut self.units);
                for &unit in &self.units {
                    sums.keys[usize::from(unit)] += 1;
                }
                add(&mut sums.bytes, &self.units, &self.piece.bytes);
                add(&mut sums.requests, &self.units, &self.piece.requests);
                if layout > 0 {
                    cross(
                        track,
                        layout,
                        (&self.before, &self.units),
                        (&self.piece, bytes_each),
                        &mut counts.crossings,
                    );
                }
            }
        }
    }
}

fn add(sums: &mut [u64], units: &[u16], values: &[u64]) {
    if sums.is_empty() {
        return;
    }
    for (&unit, value) in units.iter().zip(values) {
        sums[usize::from(unit)] += value;
    }
}

/// The way from the layout before to this one.
fn cross(
    track: &Track,
    layout: usize,
    (before, after): (&[u16], &[u16]),
    (piece, bytes_each): (&Piece, Option<u64>),
    crossings: &mut [Moved],
) {
    let Some(stage) = track.stages.iter().position(|stage| stage.layout == layout) else {
        return;
    };
    let (old, new) = (
        &track.stages[stage - 1].server_of,
        &track.stages[stage].server_of,
    );
    let causes = &track.stages[stage].causes;
    let moved = &mut crossings[stage];
    for (index, (&from, &to)) in before.iter().zip(after).enumerate() {
        let (from, to) = (old[usize::from(from)], new[usize::from(to)]);
        moved.unreachable += u64::from(causes.is_lost(from, to));
        if from != to {
            moved.keys[causes.of(from, to) as usize] += 1;
            moved.bytes += bytes_each.unwrap_or_else(|| piece.bytes[index]);
        }
    }
}
