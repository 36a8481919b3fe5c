//! MementoHash: jump over all seats there have been; from a free one a key goes on among those that were taken when it was freed.
//!
//! Source: M. Coluzzi et al., "MementoHash: A Stateful, Minimal Memory, Best Performing Consistent Hash Algorithm", arXiv:2306.09783. The paper
//! keeps the free seats in a hash table; here they have an array, which is larger.

use super::points::{below, draw};
use super::seats::Seating;
use crate::placement::jump;

#[derive(Clone, Debug)]
pub(super) struct Memento {
    /// How many seats were still taken when this one was freed, which is also the number of the seat that took its place; `TAKEN` if it is taken.
    left_when_freed: Vec<u32>,
    /// The seats that are free, in the order in which they became so; those at the end of the array are not kept.
    free: Vec<u32>,
}

const TAKEN: u32 = u32::MAX;

impl Memento {
    pub(super) fn new(count: u32) -> Memento {
        Memento {
            left_when_freed: vec![TAKEN; count as usize],
            free: Vec::new(),
        }
    }
}

impl Seating for Memento {
    #[inline]
    fn seat(&self, hash: u64) -> u32 {
        // There are never more seats than there were servers at once, at most `NODES_MAX`.
        let mut seat = u32::from(jump::node(hash, self.left_when_freed.len() as u16));
        let mut left = self.left_when_freed[seat as usize];
        while left != TAKEN {
            seat = below(draw(hash, seat.into()), left);
            let mut next = self.left_when_freed[seat as usize];
            while next != TAKEN && next >= left {
                seat = next;
                next = self.left_when_freed[seat as usize];
            }
            left = next;
        }
        seat
    }

    fn add(&mut self) -> u32 {
        match self.free.pop() {
            Some(seat) => {
                self.left_when_freed[seat as usize] = TAKEN;
                seat
            }
            None => {
                self.left_when_freed.push(TAKEN);
                self.left_when_freed.len() as u32 - 1
            }
        }
    }

    fn remove(&mut self, seat: u32) {
        let last = self.left_when_freed.len() - 1;
        if self.free.is_empty() && seat as usize == last {
            self.left_when_freed.pop();
        } else {
            let left = self.left_when_freed.len() - self.free.len() - 1;
            self.left_when_freed[seat as usize] = left as u32;
            self.free.push(seat);
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.left_when_freed)
    }
}
