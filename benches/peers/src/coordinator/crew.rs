//! The worker processes of one runtime on one layout, each started when it is first needed.

use super::worker_process::WorkerProcess;
use crate::layout::Layout;
use crate::peers::redis_benchmark::RedisBenchmark;
use crate::peers::{Answer, Failure, Peer};
use crate::results::Runtime;
use crate::worker::{IdleCost, Job, Order, Outcome, Reply, Setup};
use std::collections::HashMap;
use std::process::Command;

pub(super) struct Crew {
    runtime: Runtime,
    layout: Layout,
    workers: HashMap<Peer, WorkerProcess>,
}

impl Crew {
    pub(super) fn new(runtime: Runtime, layout: Layout) -> Crew {
        Crew {
            runtime,
            layout,
            workers: HashMap::new(),
        }
    }

    pub(super) fn runtime(&self) -> Runtime {
        self.runtime
    }

    /// `limit` is this cell's redis-benchmark, which no worker runs.
    pub(super) fn run(
        &mut self,
        peer: Peer,
        job: Job,
        limit: &mut RedisBenchmark,
    ) -> Answer<Outcome> {
        if peer == Peer::RedisBenchmark {
            return limit.run(job, &self.layout);
        }
        match self.ask(peer, Order::Run(job))? {
            Reply::Ran(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn idle(&mut self, peer: Peer, clients: u32) -> Answer<IdleCost> {
        match self.ask(peer, Order::Idle { clients })? {
            Reply::Idle(cost) => Ok(cost),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&mut self, peer: Peer, order: Order) -> Answer<Reply> {
        if peer == Peer::TwemproxyRedisRs && self.layout.proxy.is_none() {
            return Err(Failure::Refused("nutcracker is not installed".into()));
        }
        let mut worker = match self.workers.remove(&peer) {
            Some(worker) => worker,
            None => start(&Setup {
                peer,
                runtime: self.runtime,
                layout: self.layout.clone(),
            })?,
        };
        let reply = told(worker.ask(&order)?)?;
        // One that has failed may still have calls under way: the next cell gets a new process.
        self.workers.insert(peer, worker);
        Ok(reply)
    }
}

fn start(setup: &Setup) -> Answer<WorkerProcess> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut worker = WorkerProcess::start(command.arg("worker"))?;
    match told(worker.ask(setup)?)? {
        Reply::Ready => Ok(worker),
        other => Err(unexpected(&other)),
    }
}

fn told(reply: Reply) -> Answer<Reply> {
    match reply {
        Reply::Wrong(what) => Err(Failure::Wrong(what)),
        Reply::Refused(why) => Err(Failure::Refused(why)),
        other => Ok(other),
    }
}

fn unexpected(reply: &Reply) -> Failure {
    Failure::Refused(format!("the worker answered {reply:?}"))
}
