//! keyway: data spread over many plain Redis servers.
#![forbid(unsafe_code)]

pub mod command;
pub mod placement;
pub mod topology;
