//! What is to be simulated: a TOML file, or code, becomes a [`Scenario`], which has passed every check.

mod builder;
mod file;

pub use builder::ScenarioBuilder;
pub(super) use builder::grouped;
pub use file::EXAMPLE;

#[cfg(test)]
use super::fleet::Step;
use super::fleet::{Fleet, Server};
use super::scheme::Scheme;
use super::track::{Naming, Track};
use super::workload::Keys;
use crate::plan::Pace;
use crate::simulation::capacity::CapacitySpec;
use crate::simulation::storm::StormSpec;

/// Most repeats.
pub const REPEATS_MAX: u32 = 10_000;

/// Most schemes side by side.
pub const SCHEMES_MAX: usize = 32;

/// Most steps.
pub const STEPS_MAX: usize = 32;

/// Most numbers of nodes to compare.
pub const SENSITIVITY_MAX: usize = 16;

/// Most figures that are kept to the end: repeats x schemes x stages x servers. 24 bytes each.
pub const CELLS_MAX: u64 = 10_000_000;

/// What differs between repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Vary {
    /// The names that are hashed, of servers and of nodes: how evenly a scheme places at all. The first repeat has the true names.
    Names,
    /// The keys: what these names make of other keys. The default for servers that have names.
    Keys,
    /// Both. The default for servers whose names are made up.
    Both,
}

/// What is to be simulated. Made by [`builder`](Scenario::builder), or read from TOML; a value of this type has passed every check.
///
/// ```
/// use keyway::simulation::{self, Keys, Scenario, Server, Step};
/// let scenario = Scenario::builder()
///     .servers_made(5)
///     .step(Step::Add(vec![Server::new("f")]))
///     .scheme("ketama@64".parse()?)
///     .scheme("modulo".parse()?)
///     .keys(Keys::made(10_000))
///     .repeats(3)
///     .build()?;
/// let report = simulation::run(&scenario, &mut simulation::uninterrupted)?;
/// let moved = |scheme: usize| report.schemes[scheme].stages[1].movement.as_ref().map_or(0.0, |movement| movement.moved.mean);
/// assert!(moved(0) < 0.2 && moved(1) > 0.8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scenario {
    pub(super) title: String,
    pub(super) seed: u64,
    pub(super) repeats: u32,
    pub(super) vary: Vary,
    pub(super) keys: Keys,
    pub(super) fleet: Fleet,
    /// Those that were asked for, then those for sensitivity.
    pub(super) tracks: Vec<Track>,
    /// How many were asked for.
    pub(super) schemes: usize,
    pub(super) costs: bool,
    pub(super) threads: usize,
    pub(super) pace: Pace,
    pub(super) requests_per_s: f64,
    pub(super) storm: Option<StormSpec>,
    pub(super) capacity: Option<CapacitySpec>,
    pub(super) notes: Vec<String>,
}

impl Scenario {
    /// Starts a scenario in code.
    pub fn builder() -> ScenarioBuilder {
        ScenarioBuilder::default()
    }

    /// What was asked, in a line.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Of everything random.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How often it is repeated: once where nothing would differ.
    pub fn repeats(&self) -> u32 {
        self.repeats
    }

    /// The keys of one repeat.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The schemes, in order.
    pub fn schemes(&self) -> impl ExactSizeIterator<Item = &Scheme> {
        self.tracks[..self.schemes]
            .iter()
            .map(|track| &track.scheme)
    }

    /// Every server that there ever is.
    pub fn servers(&self) -> &[Server] {
        &self.fleet.servers
    }

    /// The start and each step, in words.
    pub fn stages(&self) -> impl ExactSizeIterator<Item = &str> {
        self.fleet.stages.iter().map(|stage| stage.step.as_str())
    }

    pub(super) fn varies_names(&self) -> bool {
        matches!(self.vary, Vary::Names | Vary::Both)
    }

    pub(super) fn varies_keys(&self) -> bool {
        matches!(self.vary, Vary::Keys | Vary::Both) && self.keys.are_made()
    }

    pub(super) fn naming(&self) -> Naming {
        Naming {
            seed: self.seed,
            vary: self.varies_names(),
        }
    }
}

#[cfg(test)]
mod tests;
