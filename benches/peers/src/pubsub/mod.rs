//! What subscriptions and messages cost, beside redis-rs and fred, on one server.
//!
//! Every turn is a process of its own, so that its CPU time and its memory are its alone. The contestants take turns, round by
//! round, and figures are compared within a round.

mod worker;

pub use worker::main as worker;

use crate::coordinator::WorkerProcess;
use crate::layout::Layout;
use crate::peers::Failure;
use crate::servers::{Shape, Stage};
use anyhow::{Result, anyhow};
use comfy_table::Table;
use serde::{Deserialize, Serialize};
use std::process::Command;

/// By how much keyway may cost more than redis-rs.
const CEILING: f64 = 1.5;

#[derive(clap::Args)]
pub struct Arguments {
    /// Fewer rounds, and no 100,000 channels
    #[arg(long = "quick")]
    pub is_quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Contestant {
    Keyway,
    RedisRs,
    Fred,
}

/// What one turn does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Subscribes to so many channels in one call.
    Many(u32),
    /// The same one by one, each confirmed before the next.
    Each(u32),
    /// Hears so many messages of 100 bytes on one channel.
    Messages(u32),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Turn {
    pub contestant: Contestant,
    pub work: Work,
    pub layout: Layout,
}

/// What a turn has cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cost {
    pub wall_us: f64,
    pub cpu_us: f64,
    pub peak_kib: f64,
}

impl Work {
    fn name(self) -> String {
        match self {
            Work::Many(n) => format!("{n} channels, one call"),
            Work::Each(n) => format!("{n} channels, one by one"),
            Work::Messages(n) => format!("{n} messages"),
        }
    }

    fn count(self) -> u32 {
        match self {
            Work::Many(n) | Work::Each(n) | Work::Messages(n) => n,
        }
    }

    /// fred is asked about messages only.
    fn contestants(self) -> &'static [Contestant] {
        match self {
            Work::Messages(_) => &[Contestant::Keyway, Contestant::RedisRs, Contestant::Fred],
            _ => &[Contestant::Keyway, Contestant::RedisRs],
        }
    }
}

/// How many ceilings were missed.
pub fn measure(arguments: &Arguments) -> Result<usize> {
    let (rounds, channels, messages): (usize, &[u32], u32) = if arguments.is_quick {
        (3, &[1_000, 10_000], 100_000)
    } else {
        (7, &[1_000, 10_000, 100_000], 500_000)
    };
    let each: Vec<u32> = channels.iter().copied().filter(|n| *n <= 10_000).collect();
    let works = channels
        .iter()
        .map(|n| Work::Many(*n))
        .chain(each.iter().map(|n| Work::Each(*n)))
        .chain((!arguments.is_quick).then_some(Work::Each(100_000)))
        .chain([Work::Messages(messages)]);
    let stage = Stage::set(Shape {
        servers: 1,
        nodes: 64,
        tls: false,
        cluster: false,
        proxy: false,
        sizes: &[],
    })?;
    let mut table = Table::new();
    table.set_header([
        "work",
        "who",
        "us each",
        "CPU us each",
        "peak MiB",
        "wall, of redis-rs",
        "CPU, of redis-rs",
    ]);
    let mut missed = 0;
    for work in works {
        // A hundred thousand round trips take their time.
        let rounds = if work == Work::Each(100_000) {
            rounds.min(3)
        } else {
            rounds
        };
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); work.contestants().len()];
        for round in 0..rounds {
            eprintln!("{}, round {} of {rounds}", work.name(), round + 1);
            for (at, contestant) in work.contestants().iter().enumerate() {
                costs[at].push(turn(Turn {
                    contestant: *contestant,
                    work,
                    layout: stage.layout.clone(),
                })?);
            }
        }
        for (at, contestant) in work.contestants().iter().enumerate() {
            let of = |figure: fn(&Cost) -> f64| median(costs[at].iter().map(figure).collect());
            let ratio = |figure: fn(&Cost) -> f64| {
                let pairs = costs[at].iter().zip(&costs[1]);
                median(
                    pairs
                        .map(|(ours, theirs)| figure(ours) / figure(theirs))
                        .collect(),
                )
            };
            let (wall, cpu) = (ratio(|cost| cost.wall_us), ratio(|cost| cost.cpu_us));
            if *contestant == Contestant::Keyway && !matches!(work, Work::Messages(_)) {
                missed += usize::from(wall > CEILING) + usize::from(cpu > CEILING);
            }
            let count = f64::from(work.count());
            table.add_row([
                work.name(),
                format!("{contestant:?}"),
                format!("{:.2}", of(|cost| cost.wall_us) / count),
                format!("{:.2}", of(|cost| cost.cpu_us) / count),
                format!("{:.1}", of(|cost| cost.peak_kib) / 1024.0),
                format!("{wall:.2}"),
                format!("{cpu:.2}"),
            ]);
        }
    }
    println!("{table}");
    println!(
        "{missed} of the ceilings ({CEILING} of redis-rs's wall and CPU time, for channels) are missed"
    );
    Ok(missed)
}

fn turn(turn: Turn) -> Result<Cost> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut process = WorkerProcess::start(command.arg("pubsub-worker")).map_err(told)?;
    let publisher = match turn.work {
        Work::Messages(count) => Some(worker::publisher(&turn.layout, count)?),
        _ => None,
    };
    let cost: Result<Cost, String> = process.ask(&turn).map_err(told)?;
    if let Some(publisher) = publisher {
        publisher
            .join()
            .map_err(|_| anyhow!("the publisher has ended"))??;
    }
    cost.map_err(|why| anyhow!("{:?}, {}: {why}", turn.contestant, turn.work.name()))
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn told(failure: Failure) -> anyhow::Error {
    match failure {
        Failure::Wrong(what) | Failure::Refused(what) => anyhow!(what),
    }
}
