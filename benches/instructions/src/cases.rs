//! What is counted: each case does its work `n` times.

use crate::server;
use keyway::{Cluster, Config};
use redis::AsyncCommands;
use std::future::Future;
use std::hint::black_box;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    /// A run does it this often, and three times as often: enough that what is rounded does not show.
    pub times: usize,
    pub run: fn(usize),
}

pub const CASES: &[Case] = &[
    Case {
        name: "get-1",
        what: "a GET of 64 B by one task, over a pipe",
        times: 2_000,
        run: |n| get(1, n),
    },
    Case {
        name: "get-64",
        what: "a GET of 64 B by 64 tasks at once, over a pipe",
        times: 12_800,
        run: |n| get(64, n),
    },
    Case {
        name: "server-1",
        what: "the pipe and its server alone: a GET",
        times: 2_000,
        run: |n| server_alone(1, n),
    },
    Case {
        name: "server-64",
        what: "the same, 64 GETs in one write; for each",
        times: 12_800,
        run: |n| server_alone(64, n),
    },
];

const KEYS: usize = 1024;

fn get(tasks: usize, n: usize) {
    on_runtime(async {
        let cluster = cluster(64).await;
        let tasks: Vec<_> = (0..tasks)
            .map(|task| {
                let mut redis = cluster.clone();
                let keys: Vec<String> = (0..KEYS).map(|k| server::key(k + task)).collect();
                tokio::spawn(async move {
                    for key in keys.iter().cycle().take(n / tasks) {
                        let value: Vec<u8> = redis.get(key).await.expect("the server answers");
                        assert_eq!(black_box(value).len(), server::VALUE_BYTES);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no task panics");
        }
    });
}

/// What is left of a GET without keyway: the bytes there and back, many commands in one write.
fn server_alone(commands: usize, n: usize) {
    on_runtime(async {
        let mut pipe = server::accept();
        let get = redis::cmd("GET").arg(server::key(1)).get_packed_command();
        let request = get.repeat(commands);
        let mut replies = vec![0; server::bulk(server::VALUE_BYTES).len() * commands];
        for _ in 0..n / commands {
            pipe.write_all(&request).await.expect("the server reads");
            pipe.read_exact(&mut replies).await.expect("and answers");
            black_box(&replies);
        }
    });
}

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A cluster of one server, whose address nobody listens at: it is dialled by way of pipes.
async fn cluster(nodes: u32) -> Cluster {
    keyway::instructions::listen(server::accept);
    Cluster::connect_config(config(nodes))
        .await
        .expect("the server admits us")
}

fn config(nodes: u32) -> Config {
    let file = format!(
        r#"
        name = "instructions"
        [placement]
        algorithm = "ketama"
        nodes = {nodes}
        [servers.a]
        url = "redis://127.0.0.1:1"
        nodes = "0-{}"
        "#,
        nodes - 1
    );
    Config::parse(&file, "instructions.toml".as_ref(), &|_| None).expect("a configuration")
}
