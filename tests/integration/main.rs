//! One integration binary; each module tests one subject against real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails here, with the cause"
)]

mod arity;
#[cfg(feature = "cli")]
mod browser;
mod busy;
#[cfg(feature = "cli")]
mod cli;
mod client;
mod counters;
mod custom;
#[cfg(feature = "cli")]
mod demo;
mod differential;
mod faults;
mod fixture;
mod front;
mod gather;
#[cfg(feature = "cli")]
mod import;
mod observability;
mod one_reply;
mod own_connections;
#[cfg(feature = "cli")]
mod page;
mod partial;
mod pipelines;
#[cfg(feature = "cli")]
mod plan;
mod pubsub;
mod redis_rs;
mod right_answers;
mod round_robin;
mod sets;
mod sets_failures;
#[cfg(feature = "cli")]
mod simulate;
mod simulation_live;
mod sorted;
mod survey;
mod timeline_cost;
mod timeline_read;
mod timeline_write;
mod track_record;
mod transactions;
mod ways;

mod command_table;
