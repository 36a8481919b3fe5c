//! The worker processes of one runtime on one layout, each started when it is first needed.

use crate::layout::Layout;
use crate::peers::redis_benchmark::RedisBenchmark;
use crate::peers::{Answer, Failure, Peer};
use crate::results::Runtime;
use crate::worker::{IdleCost, Job, Order, Outcome, Reply, Setup};
use serde::Serialize;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub(super) struct Crew {
    runtime: Runtime,
    layout: Layout,
    workers: HashMap<Peer, Worker>,
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
            None => Worker::start(&Setup {
                peer,
                runtime: self.runtime,
                layout: self.layout.clone(),
            })?,
        };
        let reply = worker.ask(&order)?;
        // One that has failed may still have calls under way: the next cell gets a new process.
        self.workers.insert(peer, worker);
        Ok(reply)
    }
}

/// A child process of this same program; killed when dropped.
struct Worker {
    process: Child,
    orders: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Worker {
    fn start(setup: &Setup) -> Answer<Worker> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().expect("it is piped");
        let replies = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut worker = Worker {
            process,
            orders,
            replies,
        };
        match worker.ask(setup)? {
            Reply::Ready => Ok(worker),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&mut self, order: &impl Serialize) -> Answer<Reply> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.orders.write_all(&line)?;
        let mut reply = String::new();
        if self.replies.read_line(&mut reply)? == 0 {
            return Err(Failure::Refused(format!(
                "its process ended: {}",
                self.process.wait()?
            )));
        }
        match serde_json::from_str(&reply)? {
            Reply::Wrong(what) => Err(Failure::Wrong(what)),
            Reply::Refused(why) => Err(Failure::Refused(why)),
            other => Ok(other),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn unexpected(reply: &Reply) -> Failure {
    Failure::Refused(format!("the worker answered {reply:?}"))
}
