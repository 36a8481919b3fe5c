//! Points of servers on a circle of 2^50, and what lookups do with them.

use crate::hash::xxh3;
use crate::placement::NodeSpec;

/// Of a point the lower bits are its server, so that a point is one word and sorts by itself: `NODES_MAX` servers have numbers of 14 bits.
const SERVER_BITS: u32 = 14;
const SERVER_MASK: u64 = (1 << SERVER_BITS) - 1;

/// How many different places there are for points.
pub(super) const PLACES: u64 = 1 << (u64::BITS - SERVER_BITS);

/// An arc ends at a point, which belongs to it, and is the point's server's.
#[derive(Clone, Debug)]
pub(super) struct Points {
    /// Sorted, no two in one place.
    points: Box<[u64]>,
    /// By the upper bits of a hash, the position of the first point that is not before all such hashes.
    starts: Box<[u32]>,
    start_shift: u32,
}

impl Points {
    /// Point `i` of a server is the output `i` of SplitMix64 with the hash of its name as the seed, which comes to a random place for every pair of
    /// name and `i`. Of two servers' points in one place the earlier server has it.
    pub(super) fn new(servers: &[NodeSpec], points_per_weight: u32) -> Points {
        let count = |server: &NodeSpec| u64::from(points_per_weight) * u64::from(server.weight);
        let mut points = Vec::with_capacity(servers.iter().map(count).sum::<u64>() as usize);
        for (server, index) in servers.iter().zip(0_u64..) {
            let seed = xxh3(server.name.as_bytes());
            let places = (0..count(server)).map(|i| draw(seed, i) & !SERVER_MASK);
            points.extend(places.map(|place| place | index));
        }
        points.sort_unstable();
        points.dedup_by_key(|point| *point & !SERVER_MASK);

        let start_bits = points.len().next_power_of_two().ilog2().max(1);
        let start_shift = u64::BITS - start_bits;
        let mut starts = Vec::with_capacity(1 << start_bits);
        for (point, at) in points.iter().zip(0_u32..) {
            let sector = (point >> start_shift) as usize;
            while starts.len() <= sector {
                starts.push(at);
            }
        }
        starts.resize(1 << start_bits, points.len() as u32);
        Points {
            points: points.into(),
            starts: starts.into(),
            start_shift,
        }
    }

    /// The first point that is not before `hash`; after the last one, the first.
    #[inline]
    pub(super) fn position(&self, hash: u64) -> usize {
        let place = hash & !SERVER_MASK;
        let start = self.starts[(hash >> self.start_shift) as usize] as usize;
        let skipped = self.points[start..]
            .iter()
            .take_while(|point| **point < place)
            .count();
        match start + skipped {
            beyond if beyond == self.points.len() => 0,
            position => position,
        }
    }

    #[inline]
    pub(super) fn owner(&self, position: usize) -> u16 {
        (self.points[position] & SERVER_MASK) as u16
    }

    /// Of all probes the one with the shortest way to its point decides; of equal ones the first.
    #[inline]
    pub(super) fn closest(&self, hash: u64, probes: u32) -> u16 {
        let mut closest = (u64::MAX, 0);
        for probe in 0..probes {
            let place = draw(hash, probe.into()) & !SERVER_MASK;
            let position = self.position(place);
            let distance = (self.points[position] & !SERVER_MASK).wrapping_sub(place);
            // The longest way is below the largest number, as its lower bits are 0.
            if distance < closest.0 {
                closest = (distance, position);
            }
        }
        self.owner(closest.1)
    }

    /// Of the next `candidates` different servers the one with the highest bid; of equal ones the first.
    #[inline]
    pub(super) fn highest_bid(&self, hash: u64, candidates: usize, names: &[u64]) -> u16 {
        let position = self.position(hash);
        let mut highest = (0, self.owner(position));
        self.each_candidate(position, candidates, |server| {
            let bid = mix(hash ^ names[usize::from(server)]);
            if bid > highest.0 {
                highest = (bid, server);
            }
        });
        highest.1
    }

    /// The first `candidates` different servers from a position on. There must be as many.
    #[inline]
    pub(super) fn each_candidate(
        &self,
        position: usize,
        candidates: usize,
        mut each: impl FnMut(u16),
    ) {
        let mut seen = [0; super::CANDIDATES_MAX as usize];
        let mut count = 0;
        let mut at = position;
        // Once around is enough; it ends sooner.
        for _ in 0..self.points.len() {
            let server = self.owner(at);
            if !seen[..count].contains(&server) {
                seen[count] = server;
                count += 1;
                each(server);
                if count == candidates {
                    return;
                }
            }
            at += 1;
            if at == self.points.len() {
                at = 0;
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        self.points.len()
    }

    /// How many places the arc has that ends at the point in this position. All of them are [`PLACES`].
    pub(super) fn arc(&self, position: usize) -> u64 {
        let previous = match position {
            0 => self.points.len() - 1,
            position => position - 1,
        };
        let place = |position: usize| self.points[position] >> SERVER_BITS;
        match place(position).wrapping_sub(place(previous)) & (PLACES - 1) {
            // A point alone has the whole circle.
            0 => PLACES,
            arc => arc,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.points) + size_of_val(&*self.starts)
    }
}

/// Output `i` of SplitMix64 (Steele et al., 2014).
#[inline]
pub(super) fn draw(seed: u64, i: u64) -> u64 {
    mix(seed.wrapping_add((i.wrapping_add(1)).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

/// SplitMix64's finalizer: every bit of the output depends on every bit of the input.
#[inline]
pub(super) fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number below `count`, as evenly as a hash of 64 bits can be spread.
#[inline]
pub(super) fn below(hash: u64, count: u32) -> u32 {
    ((u128::from(hash) * u128::from(count)) >> 64) as u32
}
