//! keyway: data spread over many plain Redis servers.
#![forbid(unsafe_code)]

pub mod placement;
#[allow(dead_code, reason = "used by the connection, the next layer")]
mod resp;
#[allow(dead_code, reason = "used by the connection, the next layer")]
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
