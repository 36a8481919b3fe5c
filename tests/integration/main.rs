//! One integration binary; each module tests one subject against real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails here, with the cause"
)]

mod client;
mod faults;
mod fixture;
mod fixture_works;

mod command_table;
