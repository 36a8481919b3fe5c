//! A RESP server on top of [`keyway::Cluster`], for tests only: it lets programs that speak to
//! Redis run their own test suites against a cluster.
//!
//! A client's commands are carried out one after the other, as Redis does it. Each goes to the
//! cluster as it came; what the front answers by itself, or sends in another way, is in the one
//! table of `own.rs`.

mod listener;
mod local;
pub(crate) mod own;
mod pubsub;
mod read;
mod session;
mod transaction;
mod write;

pub(crate) use listener::{Front, Settings};
