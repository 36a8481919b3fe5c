//! The part of all hashes that each server has, by arithmetic in place of keys.

use super::points::{PLACES, Points};
use super::{Built, Table};

impl Built {
    /// What each server has of all possible hashes of keys: what its part of the keys tends to as their number grows. Exact but for rounding to
    /// binary64; `None` for the studies with a [history](super::Study::has_history), whose hashes cannot be counted. They add up to 1.
    pub fn shares(&self) -> Option<Vec<f64>> {
        let server_count = self.servers.len();
        match &self.table {
            Table::Ring(points) => Some(of_windows(points, server_count, 1)),
            Table::LocalRendezvous {
                points, candidates, ..
            } => Some(of_windows(points, server_count, *candidates)),
            Table::MultiProbe { points, probes } => Some(of_probes(points, server_count, *probes)),
            Table::Anchor(_) | Table::Dx(_) | Table::Memento(_) => None,
        }
    }
}

/// Each of the `candidates` servers behind a hash has it equally often.
fn of_windows(points: &Points, server_count: usize, candidates: usize) -> Vec<f64> {
    let mut places = vec![0_u64; server_count];
    for position in 0..points.count() {
        let arc = points.arc(position);
        points.each_candidate(position, candidates, |server| {
            places[usize::from(server)] += arc;
        });
    }
    // At most `CANDIDATES_MAX` circles of 2^50: exact.
    let all = PLACES as f64 * candidates as f64;
    places
        .into_iter()
        .map(|places| places as f64 / all)
        .collect()
}

/// A probe is farther than `x` from its point with the probability `G(x)`, the sum of what all arcs have beyond `x`; a point with an arc of length `L`
/// has the key with the probability that one of `k` probes is in that arc and all others are farther: the integral of `k G(x)^(k - 1)` from 0
/// to `L`. Between two lengths `G` falls straight, by as much as there are longer arcs, so that the integral is a sum of differences of `G^k`.
fn of_probes(points: &Points, server_count: usize, probes: u32) -> Vec<f64> {
    let mut arcs: Vec<(u64, u16)> = (0..points.count())
        .map(|position| (points.arc(position), points.owner(position)))
        .collect();
    arcs.sort_unstable();
    let mut shares = vec![0.0; server_count];
    let mut sum = 0.0;
    let mut beyond = 1.0;
    let mut rest: u64 = PLACES;
    for (&(arc, server), longer) in arcs.iter().zip((1..=arcs.len() as u64).rev()) {
        // What the arcs from this one on have beyond its length; at most 2^50, so exact.
        let farther = (rest - longer * arc) as f64 / PLACES as f64;
        let next = power(farther, probes);
        sum += (beyond - next) / longer as f64;
        beyond = next;
        rest -= arc;
        shares[usize::from(server)] += sum;
    }
    shares
}

/// By multiplication, so that it is the same on every machine.
fn power(base: f64, exponent: u32) -> f64 {
    (0..exponent).fold(1.0, |product, _| product * base)
}
