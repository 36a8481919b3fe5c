//! keyway: data spread over many plain Redis servers.
#![forbid(unsafe_code)]

pub mod config;
pub mod placement;
pub mod topology;
