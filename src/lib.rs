//! keyway: data spread over many plain Redis servers.
#![forbid(unsafe_code)]

pub mod command;
pub mod config;
mod connection;
mod control;
mod error;
pub mod hash;
pub mod placement;
mod pool;
mod resp;
mod routing;
mod scatter;
pub mod stats;
pub mod topology;

pub use config::Config;
pub use error::{Error, ErrorKind};
