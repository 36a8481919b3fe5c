//! What a cluster's servers were asked and how they answered: counters and latency histograms, per server and per command.
//!
//! The live half (`ServerStats`) is atomics that the connections add to; the other half is plain data that
//! serde reads and writes: [`StatsSnapshot`].

mod histogram;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;

pub(crate) use server::{Class, Failure, Part, ServerStats};
pub use snapshot::{
    CommandSnapshot, Failures, Latency, LatencyBucket, PubSubSnapshot, ServerSnapshot,
    StatsSnapshot, SubscribersSnapshot,
};
