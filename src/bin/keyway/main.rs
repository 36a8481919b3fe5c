//! The keyway command line.
fn main() {}
