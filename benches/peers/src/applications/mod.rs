//! What applications do with a cluster, beside the same by hand: fan-out, set algebra, merged reads.
//!
//! A run of its own, of some minutes; each of its parts can be measured and published alone.

pub mod data;
mod delay;
mod holdings;
mod limit;
pub mod order;
pub mod plan;
mod python;
mod turns;

use crate::machine;
use crate::report;
use crate::results::{Applications, Results, Section, Settings};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use turns::Coordinator;

#[derive(Args)]
pub struct Arguments {
    /// Few rounds: a look, in place of six minutes
    #[arg(long)]
    quick: bool,
    /// These parts only: the others keep their figures
    #[arg(long, value_delimiter = ',', value_name = "PART,..")]
    only: Vec<Part>,
    /// How often every contestant has its turn
    #[arg(long)]
    rounds: Option<usize>,
    /// Where the figures go; parts that are there and not measured now stay, with their own date and commit
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/applications.json"))]
    json: PathBuf,
    /// Only write BENCHMARKS.md anew, from the figures that it refers to
    #[arg(long)]
    rewrite: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Part {
    /// Fan-out on write to 100,000 owners
    Deliver,
    /// Peak memory of a fan-out to 1,000,000
    Memory,
    /// A small set with a large one on another server
    Probe,
    /// Sets of equal size
    Equal,
    /// Union and difference
    Algebra,
    /// The newest items of 500 authors
    Merged,
    /// 100 values in one call
    Fanout,
    /// probe, equal and algebra
    Sets,
    /// deliver, memory and merged
    Timelines,
}

impl Part {
    fn has(self, section: Section) -> bool {
        match self {
            Part::Deliver => section == Section::Deliver,
            Part::Memory => section == Section::Memory,
            Part::Probe => section == Section::Probe,
            Part::Equal => section == Section::Equal,
            Part::Algebra => section == Section::Algebra,
            Part::Merged => section == Section::Merged,
            Part::Fanout => section == Section::Fanout,
            Part::Sets => matches!(section, Section::Probe | Section::Equal | Section::Algebra),
            Part::Timelines => {
                matches!(
                    section,
                    Section::Deliver | Section::Memory | Section::Merged
                )
            }
        }
    }
}

/// How many floors were missed by what was measured.
pub fn measure(arguments: &Arguments, publish: bool) -> Result<usize> {
    let repo_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if arguments.rewrite {
        let published = report::applications::published(&repo_root)?;
        report::applications::publish(&published, &repo_root)?;
        return Ok(0);
    }
    crate::worker::allow_many_sockets();
    let mut plans = plan::all();
    plans.retain(|plan| {
        arguments.only.is_empty() || arguments.only.iter().any(|part| part.has(plan.section))
    });
    let (rounds, window_ms) = if arguments.quick { (2, 50) } else { (5, 200) };
    let settings = Settings {
        rounds: arguments.rounds.unwrap_or(rounds),
        warm_up_ms: 0,
        window_ms,
        keys: 0,
    };
    if settings.rounds == 0 {
        bail!("--rounds 0 measures nothing: say at least 1");
    }
    // What is measured is what was committed when it began.
    let (commit, versions) = (machine::commit(), versions());
    let mut coordinator = Coordinator::new(settings.clone(), &plans)?;
    let mut measured = Applications::default();
    for section in plan::PARTS {
        let plans: Vec<_> = plans
            .iter()
            .filter(|plan| plan.section == section)
            .collect();
        if plans.is_empty() {
            continue;
        }
        let cells = coordinator.part(&plans)?;
        let results = Results {
            date: machine::today(),
            commit: commit.clone(),
            machine: machine::machine(),
            versions: versions.clone(),
            settings: settings.clone(),
            cells,
            idle: Vec::new(),
        };
        measured.parts.insert(section, results);
        // What is measured is kept, whatever becomes of the next part.
        write(&arguments.json, &measured)?;
    }
    coordinator.finish();

    report::applications::print(&measured);
    if publish {
        let mut published = report::applications::published(&repo_root)?;
        published.parts.extend(measured.parts.clone());
        report::applications::publish(&published, &repo_root)?;
    }
    Ok(report::applications::missed(&measured))
}

fn write(json: &Path, measured: &Applications) -> Result<()> {
    let mut all = match std::fs::read_to_string(json) {
        // One of an older version of this bench is no loss.
        Ok(text) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => Applications::default(),
    };
    all.parts.extend(measured.parts.clone());
    std::fs::write(json, all.to_json()?).with_context(|| format!("cannot write {}", json.display()))
}

/// Of what takes part here.
fn versions() -> BTreeMap<String, String> {
    let mut versions = machine::versions();
    for other in ["fred", "rustis", "nutcracker"] {
        versions.remove(other);
    }
    versions.extend(python::versions());
    versions
}
