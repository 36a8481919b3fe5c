//! Medians and spreads of what was measured.

use crate::results::Measured;
pub use crate::spread::Spread;

impl Measured {
    pub fn lookup(&self) -> Spread {
        Spread::of(self.lookup_ns.iter().copied())
    }

    pub fn hash(&self) -> Spread {
        Spread::of(self.hash_ns.iter().copied())
    }

    pub fn to_hash(&self) -> Spread {
        Spread::of_ratios(&self.lookup_ns, &self.hash_ns)
    }

    pub fn to_pingora(&self) -> Spread {
        Spread::of_ratios(&self.lookup_ns, &self.pingora_ns)
    }

    pub fn to_hashring(&self) -> Spread {
        Spread::of_ratios(&self.lookup_ns, &self.hashring_ns)
    }
}
