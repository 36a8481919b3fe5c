//! Servers in numbered seats: what algorithms need that give a key a number, and know no names.

use super::points::{below, draw};
use crate::placement::NodeSpec;

/// An algorithm over seats, some of which are taken.
pub(super) trait Seating: Clone {
    /// The seat of a key. It is taken.
    fn seat(&self, hash: u64) -> u32;
    /// Takes one more seat and says which. There must be room.
    fn add(&mut self) -> u32;
    /// Frees a seat that is taken.
    fn remove(&mut self, seat: u32);
    /// What a lookup reads.
    fn bytes(&self) -> usize;
}

/// Who sits where.
#[derive(Clone, Debug)]
pub(super) struct Seats<S> {
    seating: S,
    /// By seat, the position of its server in the list.
    server_of: Vec<u16>,
    /// By server, its seat.
    seat_of: Vec<u32>,
}

impl<S: Seating> Seats<S> {
    /// The first `count` seats are taken, by the servers in their order.
    pub(super) fn new(seating: S, count: u32) -> Seats<S> {
        Seats {
            seating,
            // At most `NODES_MAX`.
            server_of: (0..count).map(|seat| seat as u16).collect(),
            seat_of: (0..count).collect(),
        }
    }

    #[inline]
    pub(super) fn server(&self, hash: u64) -> u16 {
        self.server_of[self.seating.seat(hash) as usize]
    }

    /// Frees the seats of servers that are gone, then gives seats to those that are new.
    pub(super) fn changed(&self, old: &[NodeSpec], new: &[NodeSpec]) -> Seats<S> {
        let position = |list: &[NodeSpec]| {
            let mut by_name: Vec<(String, usize)> = list
                .iter()
                .map(|server| server.name.clone())
                .zip(0..)
                .collect();
            by_name.sort_unstable();
            move |name: &str| {
                let found = by_name.binary_search_by(|(other, _)| other.as_str().cmp(name));
                found.ok().map(|at| by_name[at].1)
            }
        };
        let (in_old, in_new) = (position(old), position(new));
        let mut seating = self.seating.clone();
        for (server, &seat) in old.iter().zip(&self.seat_of) {
            if in_new(&server.name).is_none() {
                seating.remove(seat);
            }
        }
        let seat_of: Vec<u32> = new
            .iter()
            .map(|server| match in_old(&server.name) {
                Some(position) => self.seat_of[position],
                None => seating.add(),
            })
            .collect();
        let seats = seat_of.iter().max().map_or(0, |seat| *seat as usize + 1);
        let mut server_of = vec![0; seats];
        for (&seat, server) in seat_of.iter().zip(0_u16..) {
            server_of[seat as usize] = server;
        }
        Seats {
            seating,
            server_of,
            seat_of,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.seating.bytes() + size_of_val(&*self.server_of)
    }
}

/// DxHash: seats are drawn until one is taken.
#[derive(Clone, Debug)]
pub(super) struct Dx {
    is_taken: Vec<bool>,
    /// The last one freed is the first to be taken again.
    free: Vec<u32>,
}

impl Dx {
    pub(super) fn new(capacity: u32, count: u32) -> Dx {
        Dx {
            is_taken: (0..capacity).map(|seat| seat < count).collect(),
            free: (count..capacity).rev().collect(),
        }
    }
}

impl Seating for Dx {
    #[inline]
    fn seat(&self, hash: u64) -> u32 {
        let capacity = self.is_taken.len() as u32;
        let draws = (0..).map(|i| below(draw(hash, i), capacity));
        // One in e^64 lookups with a single server gets to the end.
        let found = draws
            .take(64 * self.is_taken.len())
            .find(|seat| self.is_taken[*seat as usize]);
        found.unwrap_or_else(|| {
            let first = self.is_taken.iter().position(|is_taken| *is_taken);
            first.unwrap_or_default() as u32
        })
    }

    fn add(&mut self) -> u32 {
        let seat = self.free.pop().unwrap_or_default();
        self.is_taken[seat as usize] = true;
        seat
    }

    fn remove(&mut self, seat: u32) {
        self.is_taken[seat as usize] = false;
        self.free.push(seat);
    }

    fn bytes(&self) -> usize {
        self.is_taken.len()
    }
}
