//! What `benches/instructions` reaches: the hot paths, piece by piece. Not part of the API.

pub use crate::connection::listen;
