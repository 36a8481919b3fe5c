//! A worker: a process of its own with one `Cluster`, many tasks, and the order to reload now and
//! then.

use crate::history::{FromWorker, Kind, Record, ToWorker, Totals, Violation, Window, WorkerOrder};
use crate::map::{Maps, TAGS, key, list_of, mark_of, name_of};
use crate::workload::Task;
use futures::future::join_all;
use keyway::{Cluster, Config};
use parking_lot::Mutex;
use redis::Cmd;
use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// A call that has not ended after this long, far beyond every deadline here, does not end.
pub(crate) const NEVER: Duration = Duration::from_secs(60);
/// How long after the last fault every server is reached again, also on a busy machine. keyway's
/// own bounds add up to some 12 s.
const REACHED_AFTER: Duration = Duration::from_secs(40);
const MARK_WITHIN: Duration = Duration::from_millis(200);
const PROGRESS_EVERY: Duration = Duration::from_millis(500);

/// What the tasks of a worker share.
pub(crate) struct Worker {
    pub(crate) order: WorkerOrder,
    pub(crate) cluster: Cluster,
    pub(crate) stopping: AtomicBool,
    /// keyway has been given the body of the tasks' script.
    pub(crate) script_given: AtomicBool,
    /// The generation of the last reload that has returned.
    completed: AtomicU32,
    /// The generation of the last reload that has begun.
    begun: AtomicU32,
    records: Mutex<Vec<Record>>,
    totals: Mutex<Totals>,
}

/// Runs until the coordinator has had the report, or is gone.
pub(crate) fn run(order: WorkerOrder) {
    // Both kinds of runtime meet all faults.
    let mut builder = if order.index.is_multiple_of(2) {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work(order));
}

async fn work(order: WorkerOrder) {
    let maps = order.maps();
    let cluster = Cluster::connect_config(order.config(0)).await.unwrap();
    let worker = Arc::new(Worker {
        order,
        cluster,
        stopping: AtomicBool::new(false),
        script_given: AtomicBool::new(false),
        completed: AtomicU32::new(0),
        begun: AtomicU32::new(0),
        records: Mutex::default(),
        totals: Mutex::default(),
    });
    let mut orders = listen();
    send(&FromWorker::Ready);
    let tasks: Vec<_> = (0..worker.order.tasks)
        .map(|index| tokio::spawn(Task::new(worker.clone(), maps, index).run()))
        .collect();
    let mut progress = tokio::time::interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            _ = progress.tick() => send(&FromWorker::Progress(*worker.totals.lock())),
            order = orders.recv() => match order {
                Some(ToWorker::Reload(generation)) => worker.reload(generation).await,
                Some(ToWorker::Stop | ToWorker::Report) => break,
                // The coordinator is gone.
                None => return,
            },
        }
    }
    worker.stopping.store(true, Ordering::SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    // Once, whatever becomes of it: from now on the cluster knows the body.
    Task::new(worker.clone(), maps, worker.order.tasks)
        .load()
        .await;
    send(&FromWorker::Idle);
    if orders.recv().await.is_none() {
        return;
    }
    if worker.reach_all_nodes().await {
        worker.run_a_script_in_a_transaction(maps).await;
    }
    worker.look_for_shifts();
    // Its connections end with what they have been given; that it may take too long for them is no
    // promise.
    let _ = worker.cluster.close().await;
    send(&FromWorker::Progress(*worker.totals.lock()));
    let records = std::mem::take(&mut *worker.records.lock());
    for record in records {
        send(&FromWorker::Record(record));
    }
    send(&FromWorker::Finished);
}

impl WorkerOrder {
    pub(crate) fn maps(&self) -> Maps {
        Maps {
            seed: self.seed,
            servers: self.ports.len(),
        }
    }

    /// Workers differ in what users may choose.
    fn config(&self, generation: u32) -> Config {
        let protocol = ["resp2", "resp3"][self.index / 2 % 2];
        let connections = 1 + self.index % 2;
        let in_flight_max = [16_384, 200][self.index % 2];
        let settings = format!(
            "protocol = \"{protocol}\"\n\
             [timeouts]\nconnect = \"500ms\"\nresponse = \"500ms\"\ndead = \"1s\"\nsilence_max = \"3s\"\nidle_ping = \"1s\"\nclose = \"2s\"\n\
             [pool]\nconnections = {connections}\ndedicated_max = 16\ndedicated_idle_max = 4\n\
             [limits]\nin_flight_max = {in_flight_max}\n"
        );
        self.maps().config(generation, &settings, &self.ports)
    }
}

impl Worker {
    pub(crate) fn completed(&self) -> u32 {
        self.completed.load(Ordering::SeqCst)
    }

    /// The maps by which a command may have been routed that began when `from` was the last
    /// completed one.
    pub(crate) fn window(&self, from: u32) -> Window {
        let to = self.begun.load(Ordering::SeqCst);
        Window { from, to }
    }

    pub(crate) fn record(&self, record: Record) {
        self.records.lock().push(record);
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.lock());
    }

    /// Milliseconds of the round.
    pub(crate) fn now_ms(&self) -> u64 {
        unix_ms().saturating_sub(self.order.began_ms)
    }

    pub(crate) fn violation(&self, kind: Kind, operation: &str, expected: &str, seen: String) {
        send(&FromWorker::Violation(Violation {
            kind,
            operation: format!("worker {}: {operation}", self.order.index),
            expected: expected.to_owned(),
            seen,
            at_ms: Some(self.now_ms()),
        }));
    }

    async fn reload(&self, generation: u32) {
        // A server that the reload drops takes its statistics along.
        self.look_for_shifts();
        self.begun.store(generation, Ordering::SeqCst);
        let config = self.order.config(generation);
        let operation = format!("reload to map {generation}");
        match timeout(NEVER, self.cluster.reload(config)).await {
            Ok(Ok(_)) => {
                self.completed.store(generation, Ordering::SeqCst);
                self.mark(generation).await;
                self.count(|totals| totals.reloads += 1);
            }
            Ok(Err(error)) => {
                let expected = "a reload among servers that accept this configuration succeeds";
                self.violation(
                    Kind::UnexpectedError,
                    &operation,
                    expected,
                    error.to_string(),
                );
            }
            Err(_) => {
                let expected = "it returns, at the latest after timeouts.dead";
                let seen = format!("not within {NEVER:?}");
                self.violation(Kind::NeverEnded, &operation, expected, seen);
            }
        }
    }

    /// Writes into the lists of this worker, on each server and past keyway, that the reload has
    /// returned: an acknowledged command after this mark was routed by this map or a later one. A
    /// server that does not answer just now gets none.
    async fn mark(&self, generation: u32) {
        let mut pipe = redis::pipe();
        for tag in 0..TAGS {
            pipe.rpush(list_of(self.order.index, tag), mark_of(generation))
                .ignore();
        }
        let pipe = &pipe;
        join_all(self.order.direct_ports.iter().map(|port| async move {
            let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
            let config = redis::AsyncConnectionConfig::new()
                .set_connection_timeout(Some(MARK_WITHIN))
                .set_response_timeout(Some(MARK_WITHIN));
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            pipe.query_async::<()>(&mut connection).await
        }))
        .await;
    }

    fn look_for_shifts(&self) {
        for server in self.cluster.stats().servers {
            if server.shifts > 0 {
                let operation = format!("all calls on {}", server.name);
                let seen = format!("{} shifts in the statistics", server.shifts);
                self.violation(Kind::Shifted, &operation, "replies in their order", seen);
            }
        }
    }

    /// Whether each node answers again, on both lanes, and so each connection. Bounded, and no
    /// measure of speed: a connection that nobody gives up is never mended.
    async fn reach_all_nodes(&self) -> bool {
        // As long as `timeouts.dead`: a longer deadline would allow as long a silence.
        let lane = self.cluster.with_timeout(Duration::from_secs(1));
        let lanes = [lane.bulk(), lane];
        let reached = lanes
            .iter()
            .flat_map(|lane| (0..TAGS).map(move |tag| reach(lane, tag)));
        let mut silent = BTreeMap::new();
        for (tag, reached) in join_all(reached).await {
            if let Err(last) = reached {
                let server = self.cluster.locate(key("name", tag)).server;
                silent.insert(server, last);
            }
        }
        for (server, last) in &silent {
            let operation = format!("GET on {server}, over and over after the last fault");
            let expected = format!("an answer within {REACHED_AFTER:?}");
            self.violation(Kind::Unreachable, &operation, &expected, last.clone());
        }
        silent.is_empty()
    }

    /// After all servers have lost their scripts. A script that is missing is a violation, which the task reports.
    async fn run_a_script_in_a_transaction(self: &Arc<Self>, maps: Maps) {
        let homes = maps.homes(self.completed());
        for server in 0..maps.servers {
            if !homes.contains(&server) {
                continue;
            }
            let mut task = Task::new(self.clone(), maps, self.order.tasks + server);
            let began = Instant::now();
            while !task.script_in_a_transaction_on(server).await {
                let operation = format!("a transaction with a script on {}", name_of(server));
                if began.elapsed() > REACHED_AFTER {
                    let expected = format!("an answer within {REACHED_AFTER:?}");
                    self.violation(Kind::Unreachable, &operation, &expected, "none".to_owned());
                    break;
                }
            }
        }
    }
}

/// `Err` is what the last call said.
async fn reach(lane: &Cluster, tag: u32) -> (u32, Result<(), String>) {
    let get = Cmd::get(key("name", tag));
    let began = Instant::now();
    loop {
        match timeout(NEVER, lane.query::<String>(&get)).await {
            Ok(Ok(_)) => return (tag, Ok(())),
            Ok(Err(error)) if began.elapsed() > REACHED_AFTER => {
                return (tag, Err(error.to_string()));
            }
            Ok(Err(_)) => sleep(Duration::from_millis(20)).await,
            Err(_) => return (tag, Err(format!("no end of the call within {NEVER:?}"))),
        }
    }
}

/// The coordinator's orders; ends with it.
fn listen() -> mpsc::UnboundedReceiver<ToWorker> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let order = serde_json::from_str(&line.unwrap()).unwrap();
            if sender.send(order).is_err() {
                return;
            }
        }
    });
    receiver
}

fn send(message: &FromWorker) {
    let mut line = serde_json::to_string(message).unwrap();
    line.push('\n');
    // An error means that the coordinator is gone, and nobody reads.
    let _ = std::io::stdout().lock().write_all(line.as_bytes());
}

pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}
