//! Simulation: what a change of servers would cost, before anything moves. Needs no server, is seeded, and says its seed.

pub mod capacity;
pub mod course;
pub mod report;
