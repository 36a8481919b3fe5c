//! Measures what finding a key's node costs: every algorithm and preset of keyway, the bare hash of the key, and two other crates.
//!
//! A row's algorithm, its hash and the two crates have their turns one after the other, round by round, so that whatever else the machine
//! does meets all of them; ratios are medians over pairs of one round.

mod build;
mod floors;
#[path = "../../shared/grid.rs"]
mod grid;
mod keys;
#[path = "../../shared/machine.rs"]
mod machine;
mod measure;
#[path = "../../shared/number.rs"]
mod number;
mod report;
mod results;
#[path = "../../shared/spread.rs"]
mod spread;
mod statistics;
mod subjects;

use clap::Parser;
use keyway::placement::Algorithm;
use measure::Bench;
use results::{Cell, Results, Settings};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What finding a key's node costs, for every algorithm and preset, beside other crates
#[derive(Parser)]
#[command(name = "placement")]
struct Arguments {
    /// Fewer rounds and shorter turns: a look
    #[arg(long)]
    quick: bool,
    /// These algorithms only, by their names in a cluster file
    #[arg(long, value_delimiter = ',', value_name = "NAME,..")]
    only: Vec<Algorithm>,
    /// With these numbers of nodes only
    #[arg(long, value_delimiter = ',', value_name = "NODES,..", default_values_t = NODE_COUNTS)]
    nodes: Vec<u16>,
    /// Write all figures, round by round, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables to benches/placement/RESULTS.md
    #[arg(long)]
    publish: bool,
}

const NODE_COUNTS: [u16; 4] = [4, 64, 1_024, 16_384];
const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// 0 when all floors hold and nothing is missing, 1 when not, 2 when the run could not be made.
fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("placement: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool, String> {
    let (rounds, window_us) = if arguments.quick {
        (5, 500)
    } else {
        (31, 2_000)
    };
    let keys = keys::Keys::new();
    let settings = Settings {
        rounds,
        window_us,
        keys: keys.count(),
        key_bytes: keys.bytes_mean(),
    };
    let bench = Bench::new(&keys, &settings);
    let mut cells = Vec::new();
    for &nodes in &arguments.nodes {
        eprintln!("{nodes} nodes ...");
        let rows = bench.rows(nodes, |algorithm| {
            arguments.only.is_empty() || arguments.only.contains(&algorithm)
        })?;
        cells.push(Cell { nodes, rows });
    }
    let results = Results {
        date: machine::today(),
        machine: machine::machine(),
        versions: machine::versions(["keyway", "pingora-ketama", "hashring"]),
        command: command(),
        settings,
        cells,
    };
    print!("{}", report::text(&results));
    if let Some(file) = &arguments.json {
        write(file, &results.to_json()?)?;
    }
    if arguments.publish {
        write(Path::new(PUBLISHED), &report::markdown(&results))?;
    }
    Ok(floors::all_hold(&results) && results.missing().next().is_none())
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// What to type for a run like this one.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.is_empty() {
        true => "make bench-placement".to_owned(),
        false => format!("make bench-placement ARGS=\"{}\"", arguments.join(" ")),
    }
}
