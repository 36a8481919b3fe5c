//! What a run found, as plain data: the JSON file is exactly this.

use crate::spread::Spread;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The day, as 2026-01-31.
    pub date: String,
    pub machine: Machine,
    /// Name to version: rustc, keyway and the other crate.
    pub versions: BTreeMap<String, String>,
    /// What was typed.
    pub command: String,
    /// Without a step and with one.
    pub speeds: Vec<Speed>,
    /// By rising number of keys.
    pub memory: Vec<Weight>,
    pub peers: Option<Peers>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
}

/// A simulation beside bare lookups of the same number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Speed {
    /// What happens to the servers: `64 servers`.
    pub about: String,
    pub schemes: Vec<String>,
    /// How often each key is looked up by each scheme.
    pub stages: usize,
    /// Of one repeat.
    pub keys: usize,
    /// Seeds, in all pairs together.
    pub repeats: u32,
    pub threads: usize,
    /// Seconds, one figure a pair: those with the same position are one.
    pub simulation_s: Vec<f64>,
    pub bare_s: Vec<f64>,
    /// All repeats in one run.
    pub whole_s: f64,
}

/// What a simulation of so many keys took at most.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Weight {
    pub keys: u64,
    pub peak_bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peers {
    pub servers: usize,
    /// Of each server.
    pub points: usize,
    pub rounds: usize,
    /// Of a turn.
    pub keys: usize,
    /// Of a turn in Python.
    pub python_keys: usize,
    /// keyway's ketama is the first.
    pub rows: Vec<Peer>,
    /// Why there is no Python.
    pub missing: Option<String>,
}

/// One figure a round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Peer {
    pub name: String,
    /// What differs beside the ring.
    pub about: String,
    pub keys_per_s: Vec<f64>,
    /// Empty if another row says it.
    pub build_s: Vec<f64>,
}

/// A floor or a ceiling, and what was found.
pub struct Verdict {
    pub what: String,
    pub bound: f64,
    pub found: f64,
    pub holds: bool,
}

/// A simulation must have so much of the speed of bare lookups.
const SPEED_MIN: f64 = 0.8;

/// Memory may grow to so much of that at the fewest keys.
const MEMORY_MAX: f64 = 1.1;

impl Speed {
    /// Of the speed of bare lookups.
    pub fn ratio(&self) -> Spread {
        Spread::of_ratios(&self.bare_s, &self.simulation_s)
    }

    pub fn lookups(&self) -> f64 {
        (self.schemes.len() * self.stages * self.keys) as f64 * f64::from(self.repeats)
    }
}

impl Results {
    pub fn to_json(&self) -> Result<String, String> {
        serde_json::to_string(self)
            .map(|text| text + "\n")
            .map_err(|error| format!("no JSON of this: {error}"))
    }

    pub fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for speed in &self.speeds {
            let found = speed.ratio().median;
            verdicts.push(Verdict {
                what: format!("speed over bare lookups, {}, at least", speed.about),
                bound: SPEED_MIN,
                found,
                holds: found >= SPEED_MIN,
            });
        }
        if let (Some(least), Some(most)) = (self.memory.first(), self.memory.last()) {
            let found = most.peak_bytes as f64 / least.peak_bytes as f64;
            verdicts.push(Verdict {
                what: "memory at the most keys over that at the fewest, at most".to_owned(),
                bound: MEMORY_MAX,
                found,
                holds: found <= MEMORY_MAX,
            });
        }
        verdicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn a_missed_bound_fails_the_run() {
        let holds = |results: &Results| results.verdicts().iter().all(|verdict| verdict.holds);
        assert!(holds(&fixture()));
        let mut slow = fixture();
        for simulation_s in &mut slow.speeds[1].simulation_s {
            *simulation_s *= 1.2;
        }
        assert!(!holds(&slow));
        let mut large = fixture();
        large.memory[2].peak_bytes = 12_000_000;
        assert!(!holds(&large));
        assert_eq!(large.verdicts().len(), 3);
        let mut nothing = fixture();
        (nothing.speeds, nothing.memory) = (Vec::new(), Vec::new());
        assert!(nothing.verdicts().is_empty());
    }
}
