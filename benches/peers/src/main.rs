//! Measures keyway beside its peers: the same work, on the same real servers, in one run.
//!
//! Each peer works in a process of its own. Within a cell the peers work strictly one after the other, round by round,
//! so that whatever else the machine does meets all of them; figures are compared pair by pair.

mod applications;
mod coordinator;
mod data;
mod layout;
mod machine;
mod peers;
mod pubsub;
mod report;
mod results;
mod sections;
mod servers;
mod worker;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use coordinator::Coordinator;
use peers::Peer;
use results::{Results, Section, Settings};
use sections::Plan;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures keyway beside its peers on redis-servers that it starts itself.
#[derive(Parser)]
#[command(name = "peers")]
struct Arguments {
    /// Fewer rounds and shorter windows: a look, in place of half an hour
    #[arg(long)]
    quick: bool,
    /// These parts only
    #[arg(long, value_delimiter = ',', value_name = "PART,..")]
    only: Vec<Part>,
    /// These peers only
    #[arg(long, value_delimiter = ',', value_name = "PEER,..")]
    peers: Vec<Peer>,
    /// Cells with these numbers of tasks only
    #[arg(long, value_delimiter = ',', value_name = "TASKS,..")]
    tasks: Vec<u32>,
    /// How often every peer has its turn
    #[arg(long)]
    rounds: Option<usize>,
    /// How long a turn lasts
    #[arg(long, value_name = "MS")]
    window_ms: Option<u64>,
    /// Where the figures go
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/target/results.json"))]
    json: PathBuf,
    /// Write the figures into BENCHMARKS.md too, with its graphs
    #[arg(long, global = true)]
    publish: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// One peer, told what to do on stdin
    #[command(hide = true)]
    Worker,
    /// One contestant of the applications, told what to do on stdin
    #[command(hide = true)]
    ApplicationWorker,
    /// One contestant of pub/sub, told what to do on stdin
    #[command(hide = true)]
    PubsubWorker,
    /// What subscriptions and messages cost; exit code 1 when a ceiling is missed
    Pubsub(pubsub::Arguments),
    /// Sets and timelines beside the same by hand, six minutes; exit code 1 when a floor is missed
    Applications(applications::Arguments),
    /// The figures of an earlier run
    Report { json: PathBuf },
}

/// A section, or the costs of idle clients.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Part {
    Points,
    Mget,
    Pipeline,
    Mixed,
    Servers,
    Nodes,
    Tls,
    Idle,
}

/// 0 when the run was made; 1 when applications miss a floor, 2 when the run could not be made.
fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("peers: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Worker) => worker::main()?,
        Some(Role::ApplicationWorker) => worker::applications::main()?,
        Some(Role::PubsubWorker) => pubsub::worker()?,
        Some(Role::Pubsub(options)) => {
            if pubsub::measure(options)? > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Some(Role::Applications(options)) => {
            let missed = applications::measure(options, arguments.publish)?;
            if missed > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Some(Role::Report { json }) => {
            let text = std::fs::read_to_string(json)
                .with_context(|| format!("cannot read {}", json.display()))?;
            let results = serde_json::from_str(&text)
                .with_context(|| format!("{} is not of this bench", json.display()))?;
            report(&results, arguments.publish)?;
        }
        None => measure(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(arguments: &Arguments) -> Result<()> {
    worker::allow_many_sockets();
    let plans = arguments.plans();
    let idle = arguments.idle_peers();
    if plans.is_empty() && idle.is_empty() {
        bail!("nothing is left to measure: --only, --peers and --tasks exclude each other");
    }
    let settings = arguments.settings();
    let mut coordinator = Coordinator::new(settings.clone(), &plans, &idle)?;
    let cells = plans
        .iter()
        .map(|plan| coordinator.cell(plan))
        .collect::<Result<_>>()?;
    let idle = coordinator.idle(sections::IDLE.0, &idle)?;
    coordinator.finish();

    let results = Results {
        date: machine::today(),
        commit: machine::commit(),
        machine: machine::machine(),
        versions: machine::versions(),
        settings,
        cells,
        idle,
    };
    let json = results.to_json()?;
    std::fs::write(&arguments.json, json)
        .with_context(|| format!("cannot write {}", arguments.json.display()))?;
    report(&results, arguments.publish)
}

fn report(results: &Results, publish: bool) -> Result<()> {
    report::print(results);
    if publish {
        report::publish(
            results,
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        )?;
    }
    Ok(())
}

impl Arguments {
    fn plans(&self) -> Vec<Plan> {
        let mut plans = sections::all();
        plans.retain(|plan| self.wants(plan.section) && self.wants_tasks(plan.tasks));
        for plan in &mut plans {
            plan.peers.retain(|peer| self.wants_peer(*peer));
            // Nothing is started that nobody asks.
            plan.shape.cluster &= plan.peers.iter().any(|peer| peer.needs_cluster());
            plan.shape.proxy &= plan.peers.contains(&Peer::TwemproxyRedisRs);
        }
        plans.retain(|plan| !plan.peers.is_empty());
        plans
    }

    fn idle_peers(&self) -> Vec<Peer> {
        let peers = sections::IDLE.1.iter().copied();
        peers
            .filter(|peer| {
                (self.only.is_empty() || self.only.contains(&Part::Idle)) && self.wants_peer(*peer)
            })
            .collect()
    }

    fn settings(&self) -> Settings {
        let (rounds, warm_up_ms, window_ms) = if self.quick {
            (2, 50, 100)
        } else {
            (5, 100, 300)
        };
        Settings {
            rounds: self.rounds.unwrap_or(rounds),
            warm_up_ms,
            window_ms: self.window_ms.unwrap_or(window_ms),
            keys: data::KEYS,
        }
    }

    fn wants(&self, section: Section) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| part.is(section))
    }

    fn wants_peer(&self, peer: Peer) -> bool {
        self.peers.is_empty() || self.peers.contains(&peer)
    }

    fn wants_tasks(&self, tasks: u32) -> bool {
        self.tasks.is_empty() || self.tasks.contains(&tasks)
    }
}

impl Part {
    fn is(self, section: Section) -> bool {
        let own = match self {
            Part::Points => Section::Points,
            Part::Mget => Section::Mget,
            Part::Pipeline => Section::Pipeline,
            Part::Mixed => Section::Mixed,
            Part::Servers => Section::Servers,
            Part::Nodes => Section::Nodes,
            Part::Tls => Section::Tls,
            Part::Idle => return false,
        };
        own == section
    }
}
