//! keyway: data spread over many plain Redis servers.
#![forbid(unsafe_code)]

pub mod config;
mod connection;
pub mod hash;
pub mod placement;
mod resp;
pub mod stats;
pub mod topology;
