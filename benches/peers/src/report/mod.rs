//! What becomes of the results of a run: a table on the terminal, and BENCHMARKS.md with its graphs.

mod comparison;
pub mod fixture;
mod floors;
mod grid;
mod heading;
pub mod markdown;
mod number;
mod series;
mod statistics;
mod table;

use crate::results::Results;
use std::io::Write;

/// The whole run, on standard output.
pub fn print(results: &Results) {
    // A reader who has seen enough (`| head`) is no failure of the bench.
    let _ = std::io::stdout().write_all(table::text(results).as_bytes());
}
