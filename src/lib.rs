//! keyway: data spread over many plain Redis servers.
#![forbid(unsafe_code)]

pub mod hash;
pub mod placement;
#[allow(dead_code, reason = "used by the connection, the next layer")]
mod resp;
#[allow(dead_code, reason = "used by the connection, the next layer")]
pub mod stats;
pub mod topology;
