//! One peer on one runtime, in a process of its own: its CPU, its memory and its sockets are nobody else's.
//!
//! Orders come as JSON lines on stdin, the first of them a [`Setup`]; each is answered by one line on stdout. Between
//! orders a worker keeps its connections and does nothing.

pub mod applications;
mod calls;
mod closed_loop;
pub mod process;

use crate::data::{Keys, Size};
use crate::layout::Layout;
use crate::peers::bare_sockets::BareSockets;
use crate::peers::fred::{Fred, FredPlain};
use crate::peers::keyway::Keyway;
use crate::peers::redis_rs::RedisRs;
use crate::peers::redis_rs_cluster::RedisRsCluster;
use crate::peers::rustis::{Rustis, RustisPlain};
use crate::peers::{Answer, Client, Failure, Peer};
use crate::results::Runtime;
use calls::{Get, Many, Set};
use closed_loop::Run;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::time::Duration;
use tokio::sync::mpsc;

pub use process::{allow_many_sockets, children_cpu_us};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    pub peer: Peer,
    pub runtime: Runtime,
    pub layout: Layout,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Order {
    Run(Job),
    /// Opens so many more clients and says what each costs.
    Idle {
        clients: u32,
    },
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Job {
    pub work: Work,
    pub tasks: u32,
    pub warm_up_ms: u64,
    pub window_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    Get(Size),
    Set(Size),
    /// 100 keys over all nodes.
    Mget,
    /// 1,000 GETs over all nodes.
    Pipeline,
    /// GETs of 64 B, while one more task reads 10 MB values; only the small ones are measured.
    Mixed,
}

impl Work {
    pub const MGET_KEYS: u32 = 100;
    pub const PIPELINE_COMMANDS: u32 = 1_000;
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// To the setup.
    Ready,
    Ran(Outcome),
    Idle(IdleCost),
    Refused(String),
    Wrong(String),
}

/// One window.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub calls_per_second: f64,
    pub cpu_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    /// Of the peer; the runtime's own are not in it.
    pub sockets: u32,
    /// Of the values that were read beside.
    pub big_bytes_per_second: f64,
}

/// Of one client.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct IdleCost {
    pub sockets: u32,
    pub memory_kib: f64,
}

/// The whole life of a worker process.
pub fn main() -> anyhow::Result<()> {
    allow_many_sockets();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let setup: Setup = serde_json::from_str(&line)?;
    let inbox = inbox();
    let runtime = runtime_of(setup.runtime)?;
    // Spawned, because what block_on itself runs is no task of the workers.
    runtime.block_on(async { tokio::spawn(serve_peer(setup, inbox)).await })?;
    Ok(())
}

/// The orders on stdin. A thread reads them, so that the runtime is awake between orders: timers and pings of the clients go on.
fn inbox<O: DeserializeOwned + Send + 'static>() -> mpsc::UnboundedReceiver<O> {
    let (orders, inbox) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let order: O = serde_json::from_str(&line).expect("the coordinator is this program");
            if orders.send(order).is_err() {
                break;
            }
        }
    });
    inbox
}

fn runtime_of(runtime: Runtime) -> std::io::Result<tokio::runtime::Runtime> {
    let mut runtime = match runtime {
        Runtime::CurrentThread => tokio::runtime::Builder::new_current_thread(),
        Runtime::TwoWorkers => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2);
            builder
        }
    };
    runtime.enable_all().build()
}

async fn serve_peer(setup: Setup, orders: mpsc::UnboundedReceiver<Order>) {
    let (layout, peer) = (&setup.layout, setup.peer);
    match peer {
        Peer::Keyway => serve(&setup, orders, || Keyway::connect(layout, false)).await,
        Peer::KeywayBulk => serve(&setup, orders, || Keyway::connect(layout, true)).await,
        Peer::RedisRs
        | Peer::RedisRsTuned
        | Peer::RedisRsOwn
        | Peer::RedisRsPerNode
        | Peer::RedisRsPerNodeTuned
        | Peer::TwemproxyRedisRs => {
            serve(&setup, orders, || RedisRs::connect(layout, peer)).await;
        }
        Peer::RedisRsCluster => serve(&setup, orders, || RedisRsCluster::connect(layout)).await,
        Peer::Fred => serve(&setup, orders, || Fred::connect(layout)).await,
        Peer::FredPlain => serve(&setup, orders, || FredPlain::connect(layout)).await,
        Peer::Rustis => serve(&setup, orders, || Rustis::connect(layout)).await,
        Peer::RustisPlain => serve(&setup, orders, || RustisPlain::connect(layout)).await,
        Peer::BareSockets => serve(&setup, orders, || BareSockets::connect(layout)).await,
        Peer::RedisBenchmark => reply(&Reply::Refused("redis-benchmark has no worker".into())),
    }
}

async fn serve<C, F>(
    setup: &Setup,
    mut orders: mpsc::UnboundedReceiver<Order>,
    connect: impl Fn() -> F,
) where
    C: Client,
    F: Future<Output = Answer<C>>,
{
    let before = process::sockets();
    let client = match connect().await {
        Ok(client) => client,
        Err(failure) => return reply(&refused(failure)),
    };
    reply(&Reply::Ready);
    let keys = KeysOfAllSizes::new(setup);
    while let Some(order) = orders.recv().await {
        let answer = match order {
            Order::Run(job) => run(&client, &keys, job).await.map(|mut outcome| {
                outcome.sockets = process::sockets() - before;
                Reply::Ran(outcome)
            }),
            Order::Idle { clients } => idle(&connect, clients).await.map(Reply::Idle),
        };
        reply(&answer.unwrap_or_else(refused));
    }
}

struct KeysOfAllSizes {
    small: &'static Keys,
    large: &'static Keys,
    huge: &'static Keys,
}

impl KeysOfAllSizes {
    fn new(setup: &Setup) -> KeysOfAllSizes {
        let (layout, peer) = (&setup.layout, setup.peer);
        let home = |node| match peer {
            _ if peer == Peer::TwemproxyRedisRs => 0,
            _ if peer.is_per_node() => node,
            _ => layout.server_of(node),
        };
        KeysOfAllSizes {
            small: Keys::new(Size::Bytes64, layout, home),
            large: Keys::new(Size::Kib4, layout, home),
            huge: Keys::new(Size::Mb10, layout, home),
        }
    }

    fn of(&self, size: Size) -> &'static Keys {
        match size {
            Size::Bytes64 => self.small,
            Size::Kib4 => self.large,
            Size::Mb10 => self.huge,
        }
    }
}

async fn run<C: Client>(client: &C, keys: &KeysOfAllSizes, job: Job) -> Answer<Outcome> {
    let measure = async |window_ms| {
        let run = Run::new(job.tasks, Duration::from_millis(window_ms));
        match job.work {
            Work::Get(size) => {
                run.drive(client, |task| Get::new(keys.of(size), task))
                    .await
            }
            Work::Set(size) => {
                run.drive(client, |task| Set::new(keys.of(size), task))
                    .await
            }
            Work::Mget => {
                let call = |task| Many::mget(keys.small, task, Work::MGET_KEYS);
                run.drive(client, call).await
            }
            Work::Pipeline => {
                let call = |task| Many::pipeline(keys.small, task, Work::PIPELINE_COMMANDS);
                run.drive(client, call).await
            }
            Work::Mixed => {
                let run = run.beside(client.for_big_values(), Get::new(keys.huge, 0));
                run.drive(client, |task| Get::new(keys.small, task)).await
            }
        }
    };
    measure(job.warm_up_ms).await?;
    measure(job.window_ms).await
}

async fn idle<C, F>(connect: &impl Fn() -> F, clients: u32) -> Answer<IdleCost>
where
    F: Future<Output = Answer<C>>,
{
    let mut open = Vec::new();
    let mut connect_all = async || {
        for _ in 0..clients {
            open.push(connect().await?);
        }
        // What a client still does after it has connected.
        tokio::time::sleep(Duration::from_millis(300)).await;
        Answer::Ok(())
    };
    // The first ones fill what the process has freed before; the next need memory of their own.
    connect_all().await?;
    let (sockets, memory) = (process::sockets(), process::memory_kib());
    connect_all().await?;
    Ok(IdleCost {
        sockets: (process::sockets() - sockets) / clients,
        memory_kib: (process::memory_kib() - memory) / f64::from(clients),
    })
}

fn refused(failure: Failure) -> Reply {
    match failure {
        Failure::Wrong(what) => Reply::Wrong(what),
        Failure::Refused(why) => Reply::Refused(why),
    }
}

fn reply(reply: &impl Serialize) {
    let mut line = serde_json::to_vec(reply).expect("plain data");
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    // A coordinator that is gone needs no reply; stdin ends too, and so does this process.
    let _ = out.write_all(&line).and_then(|()| out.flush());
}
