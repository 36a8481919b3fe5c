//! Simulation: what a change of servers would cost, before anything moves. Needs no server, is seeded, and says its seed.

mod balance;
pub mod capacity;
mod costs;
mod count;
pub mod course;
pub mod export;
mod fleet;
mod mix;
mod movement;
mod nodes;
mod outcome;
pub mod report;
mod run;
mod scenario;
mod scheme;
mod statistics;
pub mod storm;
pub mod study;
mod track;
pub mod workload;
mod zipf;

pub use fleet::{NAME_BYTES_MAX, SERVERS_MAX, Server, Step};
pub use outcome::HOT_KEYS;
pub use run::{Observer, Progress, RunError, run, uninterrupted};
pub use scenario::{
    CELLS_MAX, EXAMPLE, REPEATS_MAX, SCHEMES_MAX, SENSITIVITY_MAX, STEPS_MAX, Scenario,
    ScenarioBuilder, Vary,
};
pub use scheme::{BuildError, SCHEME_BYTES_MAX, Scheme, SchemeError};
pub use workload::{Keys, KeysError, Popularity, ValueBytes};

#[cfg(test)]
mod tests;
