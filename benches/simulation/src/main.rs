//! Measures the simulator: how much slower it is than bare lookups on two threads, whether its memory grows with the number of keys, and how many keys
//! are placed in a second beside other crates and a ring in Python.
//!
//! What is compared has its turns one after the other, round by round, so that whatever else the machine does meets all of it; ratios are medians over
//! pairs of one round. Bare lookups get keys that are there already, some thousand at a time, so that they lie in the processor's cache.

#[path = "../../shared/grid.rs"]
#[allow(dead_code, reason = "not every bench asks whether a table is empty")]
mod grid;
mod keys;
#[path = "../../shared/machine.rs"]
mod machine;
mod memory;
#[path = "../../shared/number.rs"]
mod number;
mod peers;
mod report;
mod results;
mod speed;
#[path = "../../shared/spread.rs"]
mod spread;

/// The published figures, found again; a part of what is published here.
#[path = "../../../examples/figures/main.rs"]
#[allow(
    dead_code,
    reason = "it is an example, and its main and tests are its own"
)]
mod figures;

use clap::{Parser, ValueEnum};
use results::Results;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How fast simulations are, what memory they take, and other rings beside
#[derive(Parser)]
#[command(name = "simulation")]
struct Arguments {
    /// Fewer rounds and fewer keys: a look
    #[arg(long)]
    quick: bool,
    /// These parts only
    #[arg(long, value_delimiter = ',', value_name = "PART,..")]
    only: Vec<Part>,
    /// Write all figures, round by round, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables to benches/simulation/RESULTS.md
    #[arg(long)]
    publish: bool,
    /// Run one simulation over so many keys and print the memory it took: what the part `memory` starts
    #[arg(long, hide = true, value_name = "KEYS")]
    weigh: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Part {
    /// Ten algorithms, 64 servers, 1 million keys, 20 seeds, beside bare lookups
    Speed,
    /// Peak memory at 1 million, 10 million and 100 million keys
    Memory,
    /// Keys placed in a second, beside hashring and uhashring
    Peers,
}

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// 0 when all floors hold, 1 when not, 2 when the run could not be made.
fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("simulation: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    if let Some(keys) = arguments.weigh {
        println!("{}", memory::weighed(keys)?);
        return Ok(true);
    }
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    let results = Results {
        date: machine::today(),
        machine: machine::machine(),
        versions: machine::versions(["keyway", "hashring"]),
        command: command(),
        speeds: match wanted(Part::Speed) {
            true => speed::measure(arguments.quick)?,
            false => Vec::new(),
        },
        memory: match wanted(Part::Memory) {
            true => memory::measure(arguments.quick)?,
            false => Vec::new(),
        },
        peers: match wanted(Part::Peers) {
            true => Some(peers::measure(arguments.quick)?),
            false => None,
        },
    };
    print!("{}", report::text(&results));
    if let Some(file) = &arguments.json {
        write(file, &results.to_json()?)?;
    }
    if arguments.publish {
        let figures = figures::table(&figures::all());
        write(Path::new(PUBLISHED), &report::markdown(&results, &figures))?;
    }
    Ok(results.verdicts().iter().all(|verdict| verdict.holds))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// What to type for a run like this one.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.is_empty() {
        true => "make bench-simulation".to_owned(),
        false => format!("make bench-simulation ARGS=\"{}\"", arguments.join(" ")),
    }
}
