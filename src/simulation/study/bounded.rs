//! Consistent hashing with bounded loads: a ring on which a full server passes keys on.

use super::{Built, Table};
use crate::hash::{hash_tag, xxh3};

/// Largest bound, in percent of the mean.
pub const BOUND_PERCENT_MAX: u32 = 100_000;

impl Built {
    /// Where each of these keys goes if they come in this order, and a server takes at most `bound_percent` percent of its share of them, rounded
    /// up: 125 is a fourth more than the mean, as `hash-balance-factor` of HAProxy and `hash_balance_factor` of Envoy have it. A key goes to the
    /// server that [`index`](Built::index) says, or on along the ring to the first one that is not full.
    ///
    /// It depends on all keys and on their order, so it is no way to find a key again: for requests, not for stores. `None` if this is no
    /// [`Ring`](super::Study::Ring), or if `bound_percent` is not 100 to [`BOUND_PERCENT_MAX`]. Memory: two bytes a key.
    ///
    /// Source: V. Mirrokni, M. Thorup, M. Zadimoghaddam, "Consistent Hashing with Bounded Loads", arXiv:1608.01350.
    pub fn bounded(&self, keys: &[&[u8]], bound_percent: u32) -> Option<Vec<u16>> {
        let Table::Ring(points) = &self.table else {
            return None;
        };
        if !(100..=BOUND_PERCENT_MAX).contains(&bound_percent) {
            return None;
        }
        let weights = || self.servers.iter().map(|server| u128::from(server.weight));
        let weight_total: u128 = weights().sum();
        let allowed = keys.len() as u128 * u128::from(bound_percent);
        let mut room: Vec<u128> = weights()
            .map(|weight| (allowed * weight).div_ceil(100 * weight_total))
            .collect();
        let placed = keys.iter().map(|key| {
            let mut position = points.position(xxh3(hash_tag(key)));
            // All rooms together are at least as many as there are keys, so that one of them is free.
            while room[usize::from(points.owner(position))] == 0 {
                position = (position + 1) % points.count();
            }
            let server = points.owner(position);
            room[usize::from(server)] -= 1;
            server
        });
        Some(placed.collect())
    }
}
