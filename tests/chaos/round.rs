//! One round: fresh servers, proxies and workers; faults for a while; all healed; what the servers
//! hold, and the oracle.

use crate::faults::{self, Lane, Log, Past};
use crate::history::{FromWorker, Kind, Record, ToWorker, Totals, Violation, WorkerOrder};
use crate::map::{Maps, nodes_of_tags};
use crate::oracle::{Evidence, judge};
use crate::report::Progress;
use crate::state;
use crate::worker::unix_ms;
use futures::future::join_all;
use keyway_testing::{FaultProxy, RedisServer, eventually};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// How long after the last fault a worker has reported, far beyond all its own bounds.
const REPORTED_AFTER: Duration = Duration::from_secs(240);
const PATIENCE: Duration = Duration::from_secs(60);

/// What a round is made of. The same order gives the same faults and the same calls, as far as time
/// allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundOrder {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    pub(crate) servers: usize,
    pub(crate) processes: usize,
    pub(crate) tasks: usize,
}

#[derive(Debug)]
pub(crate) struct RoundResult {
    pub(crate) totals: Totals,
    pub(crate) faults: Vec<Past>,
    pub(crate) violations: Vec<Violation>,
}

pub(crate) async fn play(order: RoundOrder, progress: &mut Progress) -> RoundResult {
    let mut rng = fastrand::Rng::with_seed(order.seed);
    let started = (0..order.servers).map(|server| async move {
        let redis = RedisServer::builder().appendonly().start().await;
        state::place(server, &redis).await;
        let proxy = FaultProxy::start(redis.port()).await;
        (redis, proxy)
    });
    let (servers, proxies): (Vec<_>, Vec<_>) = join_all(started).await.into_iter().unzip();
    let direct_ports: Vec<u16> = servers.iter().map(RedisServer::port).collect();
    let ports: Vec<u16> = proxies.iter().map(FaultProxy::port).collect();
    let began_ms = unix_ms();
    let (sender, mut reports) = mpsc::unbounded_channel();
    let mut workers = Vec::new();
    for index in 0..order.processes {
        let order = WorkerOrder {
            index,
            seed: order.seed,
            tasks: order.tasks,
            ports: ports.clone(),
            direct_ports: direct_ports.clone(),
            began_ms,
        };
        workers.push(WorkerProcess::start(&order, sender.clone()));
    }
    drop(sender);
    let mut round = Round {
        totals: vec![Totals::default(); order.processes],
        ready: 0,
        idle: 0,
        gone: 0,
        finished: 0,
        records: Vec::new(),
        violations: Vec::new(),
    };
    let log = Log::new(began_ms);

    let latest = Instant::now() + PATIENCE;
    while round.ready < order.processes && round.gone == 0 && Instant::now() < latest {
        let next = Instant::now() + Duration::from_millis(10);
        round.listen_until(next, &mut reports, &log, progress).await;
    }
    let end = Instant::now() + order.length;
    let pace = [1, 2, 4][rng.usize(..3)];
    let mut lane = |server| Lane {
        server,
        seed: rng.u64(..),
        pace,
        end,
        log: log.clone(),
    };
    let processes: Vec<_> = servers
        .into_iter()
        .enumerate()
        .map(|(server, redis)| tokio::spawn(faults::of_process(lane(server), redis)))
        .collect();
    let networks: Vec<_> = proxies
        .into_iter()
        .enumerate()
        .map(|(server, proxy)| tokio::spawn(faults::of_network(lane(server), proxy)))
        .collect();
    let mut generation = 0;
    while Instant::now() < end {
        let next = (Instant::now() + Duration::from_millis(rng.u64(200..2000))).min(end);
        round.listen_until(next, &mut reports, &log, progress).await;
        if next < end {
            generation += 1;
            for worker in &mut workers {
                worker.tell(ToWorker::Reload(generation)).await;
            }
        }
    }
    let servers = join(processes).await;
    let proxies = join(networks).await;
    for worker in &mut workers {
        worker.tell(ToWorker::Stop).await;
    }
    let latest = Instant::now() + REPORTED_AFTER;
    let mut is_flushed = false;
    while round.finished < order.processes && Instant::now() < latest {
        let next = Instant::now() + Duration::from_millis(100);
        round.listen_until(next, &mut reports, &log, progress).await;
        if round.idle == order.processes && !is_flushed {
            // Each worker has given its script to keyway by now, and its last check finds no server
            // that knows it.
            is_flushed = true;
            for redis in &servers {
                faults::say(redis, "SCRIPT FLUSH").await;
            }
            for worker in &mut workers {
                worker.tell(ToWorker::Report).await;
            }
        }
        if round.gone > round.finished {
            break;
        }
    }
    if round.finished < order.processes {
        round.violations.push(Violation {
            kind: Kind::NeverEnded,
            operation: format!(
                "{} of {} workers",
                order.processes - round.finished,
                order.processes
            ),
            expected: format!("a report within {REPORTED_AFTER:?} of the last fault"),
            seen: format!("none; {} of them have ended", round.gone),
            at_ms: None,
        });
    } else {
        for worker in workers {
            worker.end().await;
        }
        let nodes = nodes_of_tags();
        let evidence = Evidence {
            maps: Maps {
                seed: order.seed,
                servers: order.servers,
            },
            nodes: &nodes,
            servers: read_all(&servers, &proxies).await,
            records: &round.records,
        };
        round.violations.extend(judge(&evidence));
    }
    let faults = std::mem::take(&mut *log.past.lock());
    RoundResult {
        totals: round.total(),
        faults,
        violations: round.violations,
    }
}

/// Everything that was sent has arrived or will never arrive, and been executed, before a server is
/// read.
async fn read_all(servers: &[RedisServer], proxies: &[FaultProxy]) -> Vec<crate::oracle::Keyspace> {
    let mut keyspaces = Vec::new();
    for (redis, proxy) in servers.iter().zip(proxies) {
        tokio::task::block_in_place(|| proxy.cut_all());
        eventually(
            "the server has read all its clients to their end",
            PATIENCE,
            async || state::other_clients(redis).await == 0,
        )
        .await;
        keyspaces.push(state::read(redis).await);
    }
    keyspaces
}

async fn join<T>(tasks: Vec<tokio::task::JoinHandle<T>>) -> Vec<T> {
    let mut all = Vec::new();
    for task in tasks {
        all.push(task.await.unwrap());
    }
    all
}

/// What has been reported so far.
struct Round {
    totals: Vec<Totals>,
    ready: usize,
    idle: usize,
    /// Their output has ended.
    gone: usize,
    finished: usize,
    records: Vec<Record>,
    violations: Vec<Violation>,
}

impl Round {
    async fn listen_until(
        &mut self,
        until: Instant,
        reports: &mut mpsc::UnboundedReceiver<(usize, Option<FromWorker>)>,
        log: &Log,
        progress: &mut Progress,
    ) {
        loop {
            match tokio::time::timeout_at(until, reports.recv()).await {
                Err(_) => return,
                // All workers are gone.
                Ok(None) => return sleep(Duration::from_millis(10)).await,
                Ok(Some((_, Some(FromWorker::Ready)))) => self.ready += 1,
                Ok(Some((_, Some(FromWorker::Idle)))) => self.idle += 1,
                Ok(Some((_, Some(FromWorker::Violation(violation))))) => {
                    self.violations.push(violation)
                }
                Ok(Some((_, Some(FromWorker::Record(record))))) => self.records.push(record),
                Ok(Some((_, Some(FromWorker::Finished)))) => {
                    self.finished += 1;
                    if self.finished == self.totals.len() {
                        return;
                    }
                }
                Ok(Some((_, None))) => self.gone += 1,
                Ok(Some((index, Some(FromWorker::Progress(totals))))) => {
                    self.totals[index] = totals;
                    let faults = log.past.lock().len();
                    progress.show(log.now_ms(), self.total(), faults, self.violations.len());
                }
            }
        }
    }

    fn total(&self) -> Totals {
        let mut total = Totals::default();
        self.totals.iter().for_each(|totals| total.add(*totals));
        total
    }
}

/// This program once more.
struct WorkerProcess {
    child: Child,
    orders: ChildStdin,
}

impl WorkerProcess {
    fn start(
        order: &WorkerOrder,
        reports: mpsc::UnboundedSender<(usize, Option<FromWorker>)>,
    ) -> WorkerProcess {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("worker")
            .arg(serde_json::to_string(order).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let index = order.index;
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let report = serde_json::from_str(&line).unwrap();
                if reports.send((index, Some(report))).is_err() {
                    return;
                }
            }
            // An error means that the round is over.
            let _ = reports.send((index, None));
        });
        WorkerProcess { child, orders }
    }

    async fn tell(&mut self, order: ToWorker) {
        let line = serde_json::to_string(&order).unwrap() + "\n";
        // A worker that has panicked is noticed by its missing report.
        let _ = self.orders.write_all(line.as_bytes()).await;
    }

    /// It has reported, so it ends by itself.
    async fn end(mut self) {
        drop(self.orders);
        let ended = timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.is_ok(), "a worker that has reported does not end");
    }
}
