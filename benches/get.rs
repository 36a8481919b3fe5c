//! GET of 64 bytes through `AsyncCommands`: keyway over 64 nodes on two servers, beside redis-rs with one `MultiplexedConnection` per
//! server and the key's server known to the caller. Same run, same servers, interleaved; ratios are medians of pairs.
//!
//! `cargo bench --bench get`. Starts its own redis-servers. Absolute times are those of this machine on this day; compare the ratios.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark that cannot go on stops here, and prints"
)]

use keyway::{Cluster, Config};
use redis::AsyncCommands;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const KEYS: u64 = 10_000;
const PAIRS: usize = 5;

struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Server {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("its number").port();
        drop(free);
        let process = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server in PATH (Debian: apt-get install redis-server)");
        let server = Server { process, port };
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "redis-server does not listen"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Client CPU so far, user and system, in microseconds; 0 where the system does not say.
fn cpu_us() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return 0.0;
    };
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|ticks| ticks.parse::<f64>().ok())
            .unwrap_or_default()
    };
    (ticks(11) + ticks(12)) * 10_000.0
}

#[derive(Clone, Copy)]
struct Run {
    per_second: f64,
    cpu_us: f64,
}

/// Every task asks for keys in an order of its own; every answer is checked. `pick` says which connection holds a key.
async fn drive<C>(
    connections: Vec<C>,
    pick: impl Fn(u64) -> usize + Clone + Send + 'static,
    tasks: u64,
    calls: u64,
) -> Run
where
    C: AsyncCommands + Clone + Send + Sync + 'static,
{
    let (started, cpu) = (Instant::now(), cpu_us());
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (mut connections, pick) = (connections.clone(), pick.clone());
            tokio::spawn(async move {
                let mut at = task * 7_919;
                for _ in 0..calls / tasks {
                    at = (at + 7_907) % KEYS;
                    let value: Vec<u8> = connections[pick(at)].get(key(at)).await.expect("a reply");
                    assert_eq!(value.len(), 64);
                }
            })
        })
        .collect();
    for task in running {
        task.await.expect("the task ends");
    }
    let done = (calls / tasks * tasks) as f64;
    Run {
        per_second: done / started.elapsed().as_secs_f64(),
        cpu_us: (cpu_us() - cpu) / done,
    }
}

fn key(at: u64) -> String {
    format!("key:{at:08}")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn compare(ports: [u16; 2], runtime: &str) {
    let toml = format!(
        "name = \"bench\"\n[placement]\nalgorithm = \"ketama\"\nnodes = 64\n[timeouts]\nresponse = \"10s\"\n\
         [servers.a]\nurl = \"redis://127.0.0.1:{}\"\nnodes = \"0-31\"\n[servers.b]\nurl = \"redis://127.0.0.1:{}\"\nnodes = \"32-63\"\n",
        ports[0], ports[1]
    );
    let config = Config::parse(&toml, Path::new("bench.toml"), &|_| None).expect("a right file");
    let cluster = Cluster::connect_config(config)
        .await
        .expect("the servers answer");
    let mut plain = Vec::new();
    for port in ports {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).expect("a url");
        plain.push(
            client
                .get_multiplexed_async_connection()
                .await
                .expect("the server answers"),
        );
    }
    let mut load = redis::pipe();
    for at in 0..KEYS {
        load.set(key(at), [b'x'; 64].as_slice()).ignore();
    }
    let _: () = load
        .query_async(&mut cluster.clone())
        .await
        .expect("the keys are stored");
    let home: Vec<usize> = (0..KEYS)
        .map(|at| usize::from(&*cluster.locate(key(at)).server == "b"))
        .collect();
    let at_home = move |at: u64| home[at as usize];
    for (tasks, calls) in [(1, 20_000), (64, 200_000), (1_024, 400_000)] {
        let mut pairs = Vec::new();
        for _ in 0..PAIRS {
            let theirs = drive(plain.clone(), at_home.clone(), tasks, calls).await;
            let ours = drive(vec![cluster.clone()], |_| 0, tasks, calls).await;
            pairs.push((theirs, ours));
        }
        let of = |figure: fn(&(Run, Run)) -> f64| median(pairs.iter().map(figure).collect());
        println!(
            "{runtime:<15} {tasks:>6} {:>12.0} {:>12.0} {:>7.2} {:>9.2} {:>9.2} {:>7.2}",
            of(|pair| pair.0.per_second),
            of(|pair| pair.1.per_second),
            of(|pair| pair.1.per_second / pair.0.per_second),
            of(|pair| pair.0.cpu_us),
            of(|pair| pair.1.cpu_us),
            of(|pair| pair.1.cpu_us / pair.0.cpu_us),
        );
    }
}

fn main() {
    let servers = [Server::start(), Server::start()];
    let ports = [servers[0].port, servers[1].port];
    println!(
        "GET of 64 B, {KEYS} keys, 2 servers, medians of {PAIRS} interleaved pairs; ratio = keyway / redis-rs"
    );
    println!(
        "{:<15} {:>6} {:>12} {:>12} {:>7} {:>9} {:>9} {:>7}",
        "runtime", "tasks", "redis-rs /s", "keyway /s", "ratio", "us CPU", "us CPU", "ratio"
    );
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    current.block_on(async move {
        tokio::spawn(compare(ports, "current-thread"))
            .await
            .expect("it ends")
    });
    let two = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    two.block_on(async move {
        tokio::spawn(compare(ports, "two workers"))
            .await
            .expect("it ends")
    });
}
