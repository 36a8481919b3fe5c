//! What is counted: each case does its work `n` times.

use crate::server;
use keyway::config::Endpoint;
use keyway::placement::{Algorithm, Placement};
use keyway::{Cluster, Config, instructions};
use redis::{AsyncCommands, Cmd};
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
        name: "encode-get",
        what: "a GET is written into a buffer",
        times: 10_000,
        run: |n| instructions::encode(&gets()[0], n),
    },
    Case {
        name: "encode-set-4k",
        what: "a SET of 4 KB is written into a buffer",
        times: 10_000,
        run: |n| instructions::encode(&set(), n),
    },
    Case {
        name: "outbox-get",
        what: "a GET is queued, taken with 63 others, and answered",
        times: 6_400,
        run: |n| instructions::outbox(&gets()[0], n),
    },
    Case {
        name: "outbox-set-4k",
        what: "a SET of 4 KB, likewise",
        times: 6_400,
        run: |n| instructions::outbox(&set(), n),
    },
    Case {
        name: "route-64",
        what: "from a GET to its outbox; ketama, 64 nodes",
        times: 10_240,
        run: |n| route(64, n),
    },
    Case {
        name: "route-4096",
        what: "the same, 4096 nodes",
        times: 10_240,
        run: |n| route(4096, n),
    },
    Case {
        name: "split-mget-100",
        what: "from a 100-key MGET to each key's node; 64 nodes",
        times: 1_000,
        run: |n| split(64, n),
    },
    Case {
        name: "decode-64",
        what: "a bulk string of 64 B, decoded and dropped",
        times: 10_000,
        run: |n| instructions::decode(&server::bulk(64), n),
    },
    Case {
        name: "decode-4k",
        what: "a bulk string of 4 KB",
        times: 10_000,
        run: |n| instructions::decode(&server::bulk(4096), n),
    },
    Case {
        name: "decode-array-100",
        what: "an array of 100 bulk strings of 64 B",
        times: 1_000,
        run: |n| instructions::decode(&server::array(100), n),
    },
    Case {
        name: "decode-integer",
        what: "an integer",
        times: 10_000,
        run: |n| instructions::decode(b":12345\r\n", n),
    },
    Case {
        name: "decode-ok",
        what: "the status OK",
        times: 10_000,
        run: |n| instructions::decode(b"+OK\r\n", n),
    },
    Case {
        name: "decode-nil",
        what: "a nil",
        times: 10_000,
        run: |n| instructions::decode(b"$-1\r\n", n),
    },
    Case {
        name: "stats",
        what: "the statistics of one reply",
        times: 10_240,
        run: instructions::record,
    },
    Case {
        name: "get-1",
        what: "a whole GET of 64 B by one task, over a pipe",
        times: 6_400,
        run: |n| get(1, n),
    },
    Case {
        name: "get-64",
        what: "the same by 64 tasks at once; for each GET",
        times: 12_800,
        run: |n| get(64, n),
    },
    Case {
        name: "mget-100",
        what: "a whole 100-key MGET over 64 nodes on 2 servers",
        times: 400,
        run: mget,
    },
    Case {
        name: "server-1",
        what: "in get-1: the pipe and its server, without keyway",
        times: 6_400,
        run: |n| server_alone(&gets()[0], server::bulk(server::VALUE_BYTES), 1, n),
    },
    Case {
        name: "server-64",
        what: "in get-64: the same",
        times: 12_800,
        run: |n| server_alone(&gets()[0], server::bulk(server::VALUE_BYTES), 64, n),
    },
    Case {
        name: "server-mget-100",
        what: "in mget-100: about the same, were it one MGET",
        times: 1_000,
        run: |n| server_alone(&mget_of(100), server::array(100), 1, n),
    },
];

const KEYS: usize = 1024;

fn gets() -> Vec<Cmd> {
    (0..KEYS).map(|n| Cmd::get(server::key(n))).collect()
}

fn set() -> Cmd {
    Cmd::set(server::key(1), vec![b'v'; 4096])
}

fn mget_of(keys: usize) -> Cmd {
    let keys: Vec<String> = (0..keys).map(server::key).collect();
    Cmd::mget(keys)
}

fn route(nodes: u16, n: usize) {
    on_runtime(async { instructions::route(&cluster(nodes).await, &gets(), n) });
}

fn split(nodes: u16, n: usize) {
    on_runtime(async { instructions::split(&cluster(nodes).await, &mget_of(100), n) });
}

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

fn mget(n: usize) {
    on_runtime(async {
        let mut redis = cluster(64).await;
        let task = tokio::spawn(async move {
            let keys: Vec<String> = (0..100).map(server::key).collect();
            for _ in 0..n {
                let values: Vec<Vec<u8>> = redis.mget(&keys).await.expect("the servers answer");
                assert_eq!(black_box(values).len(), keys.len());
            }
        });
        task.await.expect("it does not panic");
    });
}

/// What is left without keyway: the bytes there and back, `together` commands in one write.
fn server_alone(cmd: &Cmd, reply: Vec<u8>, together: usize, n: usize) {
    on_runtime(async {
        let mut pipe = server::accept();
        let request = cmd.get_packed_command().repeat(together);
        let mut replies = vec![0; reply.len() * together];
        for _ in 0..n / together {
            pipe.write_all(&request).await.expect("the server reads");
            pipe.read_exact(&mut replies).await.expect("and answers");
            black_box(&replies);
        }
        assert_eq!(replies, reply.repeat(together));
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

/// A cluster of two servers, at whose addresses nobody listens: they are dialled by way of pipes.
async fn cluster(nodes: u16) -> Cluster {
    instructions::listen(server::accept);
    Cluster::connect_config(config(nodes))
        .await
        .expect("the servers admit us")
}

/// Built in code: a parsed file leaves the heap in an order that depends on random hash keys, and `malloc` is counted, too.
fn config(nodes: u16) -> Config {
    let placement = Placement::with_nodes(Algorithm::Ketama, nodes).expect("a placement");
    let at = |url| Endpoint::from_url(url).expect("an endpoint");
    Config::builder("instructions")
        .placement(placement)
        .server("a", at("redis://127.0.0.1:1"), 0..nodes / 2)
        .server("b", at("redis://127.0.0.1:2"), nodes / 2..nodes)
        .build()
        .expect("a configuration")
}
