//! keyway: data spread over many plain Redis servers.
#![forbid(unsafe_code)]

pub mod hash;
pub mod placement;
pub mod topology;
