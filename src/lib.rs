//! keyway: data spread over many plain Redis servers.
#![forbid(unsafe_code)]

pub mod check;
mod cluster;
pub mod command;
pub mod config;
mod connection;
mod control;
mod error;
mod gather;
pub mod hash;
pub mod inspect;
pub mod placement;
mod pool;
mod resp;
mod routing;
mod scatter;
pub mod stats;
pub mod topology;

/// What the fuzz targets reach. Not part of the API.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    /// Panics if the decoder and redis-rs's parser disagree; the first bytes say how the rest is cut into pieces.
    pub fn decode(data: &[u8]) {
        crate::resp::differential::check_cut_by_input(data);
    }
}

pub use cluster::{
    Batch, BatchReply, Cluster, Dedicated, Health, Location, Message, PubSub, PubSubEvent,
    Reloaded, Replies, Routed, ServerHealth, ServerReply, Servers,
};
pub use config::Config;
pub use error::{Error, ErrorKind, Partial};
pub use placement::NodeId;
