//! Starts servers and workers, and lets the peers of a cell work strictly one after the other.

mod crew;
mod rounds;
mod worker_process;

use crate::peers::{Failure, Peer};
use crate::results::{Cell, Idle, Runtime, Settings};
use crate::sections::Plan;
use crate::servers::{Shape, Stage};
use anyhow::{Context, Result, bail};
use crew::Crew;
use indicatif::{ProgressBar, ProgressStyle};

pub use worker_process::WorkerProcess;

/// Few enough for every server's limit of clients, with one connection per node.
const IDLE_CLIENTS: u32 = 16;

pub struct Coordinator {
    settings: Settings,
    progress: ProgressBar,
    /// Kept while the cells need the same.
    stage: Option<Stage>,
    crew: Option<Crew>,
}

impl Coordinator {
    pub fn new(settings: Settings, plans: &[Plan], idle: &[Peer]) -> Result<Coordinator> {
        let turns = |plan: &Plan| plan.peers.len() * rounds::pace(&settings, plan).rounds;
        let turns: usize = plans.iter().map(turns).sum();
        let progress = ProgressBar::new((turns + idle.len()) as u64);
        progress.set_style(ProgressStyle::with_template(
            "[{elapsed_precise}] {bar:30} {pos}/{len}, {eta} left: {msg}",
        )?);
        Ok(Coordinator {
            settings,
            progress,
            stage: None,
            crew: None,
        })
    }

    pub fn cell(&mut self, plan: &Plan) -> Result<Cell> {
        let message = format!(
            "{}, {} tasks, {:?}, {} servers, {} nodes",
            plan.work_name(),
            plan.tasks,
            plan.runtime,
            plan.shape.servers,
            plan.shape.nodes
        );
        if self.progress.is_hidden() {
            eprintln!("{message}");
        }
        self.progress.set_message(message);
        self.prepare(plan.shape, plan.runtime)?;
        let crew = self.crew.as_mut().expect("just prepared");
        rounds::measure(plan, crew, &self.settings, &self.progress)
    }

    /// What a client of each peer costs that does nothing, each in a process that has only such clients.
    pub fn idle(&mut self, shape: Shape, peers: &[Peer]) -> Result<Vec<Idle>> {
        let mut found = Vec::new();
        self.crew = None;
        for &peer in peers {
            self.progress.set_message(format!("idle clients: {peer}"));
            self.prepare(shape, Runtime::CurrentThread)?;
            let crew = self.crew.as_mut().expect("just prepared");
            match crew.idle(peer, IDLE_CLIENTS) {
                Ok(cost) => found.push(Idle {
                    peer: peer.to_string(),
                    servers: shape.servers.into(),
                    nodes: shape.nodes.into(),
                    sockets: cost.sockets,
                    memory_kib: cost.memory_kib,
                }),
                Err(Failure::Refused(why)) => {
                    self.progress.println(format!("idle {peer}: {why}"));
                }
                Err(Failure::Wrong(what)) => bail!("{peer}: {what}"),
            }
            // The next peer's process is a new one.
            self.crew = None;
            self.progress.inc(1);
        }
        Ok(found)
    }

    pub fn finish(self) {
        self.progress.finish_and_clear();
    }

    fn prepare(&mut self, shape: Shape, runtime: Runtime) -> Result<()> {
        if self.stage.as_ref().map(|stage| stage.shape) != Some(shape) {
            // In this order: clients go before their servers, and these before the next ones.
            self.crew = None;
            self.stage = None;
            let stage = Stage::set(shape)
                .with_context(|| format!("cannot start {} servers", shape.servers))?;
            self.stage = Some(stage);
        }
        if self.crew.as_ref().map(Crew::runtime) != Some(runtime) {
            let stage = self.stage.as_ref().expect("just set");
            self.crew = None;
            self.crew = Some(Crew::new(runtime, stage.layout.clone()));
        }
        Ok(())
    }
}
