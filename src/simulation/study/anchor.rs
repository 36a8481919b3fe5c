//! AnchorHash: a key's seat is drawn from all there can ever be; from a free seat it goes on among those that were taken when that one was freed.
//!
//! Source: G. Mendelson et al., "AnchorHash: A Scalable Consistent Hash", arXiv:1812.09674, algorithm 3, in the form with two arrays.

use super::points::{below, draw, mix};
use super::seats::Seating;

#[derive(Clone, Debug)]
pub(super) struct Anchor {
    /// The paper's `A`: how many seats were still taken when this one was freed; 0 if it is taken.
    left_when_freed: Box<[u32]>,
    /// The paper's `K`: the seat that took this one's place among the first `left_when_freed` ones; itself if it is taken.
    successor: Box<[u32]>,
    /// The paper's `R`: the last one freed is the first to be taken again.
    free: Vec<u32>,
    /// The paper's `N`.
    taken: u32,
}

impl Anchor {
    /// The first `count` of `capacity` seats are taken.
    pub(super) fn new(capacity: u32, count: u32) -> Anchor {
        let freed = |seat: u32| if seat < count { 0 } else { seat };
        Anchor {
            left_when_freed: (0..capacity).map(freed).collect(),
            successor: (0..capacity).collect(),
            free: (count..capacity).rev().collect(),
            taken: count,
        }
    }

    /// Which seat stood in place `seat` when only `left` were taken.
    #[inline]
    fn when_left(&self, mut seat: u32, left: u32) -> u32 {
        while self.left_when_freed[seat as usize] >= left {
            seat = self.successor[seat as usize];
        }
        seat
    }
}

impl Seating for Anchor {
    #[inline]
    fn seat(&self, hash: u64) -> u32 {
        let mut seat = below(mix(hash), self.left_when_freed.len() as u32);
        loop {
            let left = self.left_when_freed[seat as usize];
            if left == 0 {
                return seat;
            }
            seat = self.when_left(below(draw(hash, seat.into()), left), left);
        }
    }

    fn add(&mut self) -> u32 {
        let seat = self.free.pop().unwrap_or_default();
        self.left_when_freed[seat as usize] = 0;
        self.successor[seat as usize] = seat;
        self.taken += 1;
        seat
    }

    fn remove(&mut self, seat: u32) {
        self.successor[seat as usize] = self.when_left(self.taken - 1, self.taken);
        self.taken -= 1;
        self.left_when_freed[seat as usize] = self.taken;
        self.free.push(seat);
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.left_when_freed) + size_of_val(&*self.successor)
    }
}
