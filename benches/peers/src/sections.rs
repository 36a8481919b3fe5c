//! What a full run measures: each section's cells, and which peers take part.

use crate::data::Size;
use crate::peers::Peer;
use crate::results::{Runtime, Section};
use crate::servers::Shape;
use crate::worker::Work;

/// A cell to be filled.
#[derive(Clone, Debug)]
pub struct Plan {
    pub section: Section,
    pub shape: Shape,
    pub runtime: Runtime,
    pub work: Work,
    pub tasks: u32,
    pub peers: Vec<Peer>,
}

const RUNTIMES: [Runtime; 2] = [Runtime::CurrentThread, Runtime::TwoWorkers];

/// Two servers of 64 nodes, for most sections.
const TWO_SERVERS: Shape = Shape {
    servers: 2,
    nodes: 64,
    tls: false,
    cluster: true,
    proxy: true,
    sizes: &[Size::Bytes64, Size::Kib4],
};

const EVERYBODY: [Peer; 13] = [
    Peer::Keyway,
    Peer::RedisRs,
    Peer::RedisRsTuned,
    Peer::RedisRsPerNode,
    Peer::RedisRsPerNodeTuned,
    Peer::RedisRsCluster,
    Peer::Fred,
    Peer::FredPlain,
    Peer::Rustis,
    Peer::RustisPlain,
    Peer::TwemproxyRedisRs,
    Peer::BareSockets,
    Peer::RedisBenchmark,
];

/// All cells, those of the same servers and of the same runtime one after the other.
pub fn all() -> Vec<Plan> {
    let sections = [points, mget, pipeline, mixed, servers, nodes, tls];
    sections.iter().flat_map(|section| section()).collect()
}

/// Where clients are opened to see what they cost when idle, and whose.
pub const IDLE: (Shape, &[Peer]) = (TWO_SERVERS, {
    let (workers, _limits) = EVERYBODY.split_at(EVERYBODY.len() - 2);
    workers
});

fn points() -> Vec<Plan> {
    let works = [
        Work::Get(Size::Bytes64),
        Work::Set(Size::Bytes64),
        Work::Get(Size::Kib4),
        Work::Set(Size::Kib4),
    ];
    cells(
        Section::Points,
        TWO_SERVERS,
        &works,
        &[1, 64, 1_024, 10_000],
        &EVERYBODY,
    )
}

fn mget() -> Vec<Plan> {
    cells(
        Section::Mget,
        TWO_SERVERS,
        &[Work::Mget],
        &[1, 16, 64],
        &EVERYBODY,
    )
}

fn pipeline() -> Vec<Plan> {
    cells(
        Section::Pipeline,
        TWO_SERVERS,
        &[Work::Pipeline],
        &[1, 16],
        &EVERYBODY,
    )
}

fn mixed() -> Vec<Plan> {
    let shape = Shape {
        cluster: false,
        proxy: false,
        sizes: &[Size::Bytes64, Size::Mb10],
        ..TWO_SERVERS
    };
    let peers = [
        Peer::Keyway,
        Peer::KeywayBulk,
        Peer::RedisRs,
        Peer::RedisRsOwn,
        Peer::FredPlain,
        Peer::RustisPlain,
    ];
    cells(Section::Mixed, shape, &[Work::Mixed], &[64], &peers)
}

fn servers() -> Vec<Plan> {
    let peers = [
        Peer::Keyway,
        Peer::RedisRs,
        Peer::RedisRsCluster,
        Peer::Fred,
        Peer::Rustis,
    ];
    let of = |servers| {
        let shape = Shape {
            servers,
            proxy: false,
            sizes: &[Size::Bytes64],
            ..TWO_SERVERS
        };
        let get = Work::Get(Size::Bytes64);
        cells(Section::Servers, shape, &[get], &[1_024], &peers)
    };
    [2, 8, 64].into_iter().flat_map(of).collect()
}

fn nodes() -> Vec<Plan> {
    let of = |nodes| {
        let shape = Shape {
            nodes,
            cluster: false,
            proxy: false,
            sizes: &[Size::Bytes64],
            ..TWO_SERVERS
        };
        // 4,096 connections to two servers are nothing that anybody would run.
        let peers: &[Peer] = match nodes {
            4_096 => &[Peer::Keyway],
            _ => &[Peer::Keyway, Peer::RedisRsPerNode],
        };
        let get = Work::Get(Size::Bytes64);
        let mut plans = cells(Section::Nodes, shape, &[get], &[1_024], peers);
        plans.extend(cells(Section::Nodes, shape, &[Work::Mget], &[16], peers));
        // Workers of the same runtime are used again only if they follow each other.
        plans.sort_by_key(|plan| plan.runtime);
        plans
    };
    [64, 1_024, 4_096].into_iter().flat_map(of).collect()
}

fn tls() -> Vec<Plan> {
    let shape = Shape {
        tls: true,
        cluster: false,
        proxy: false,
        sizes: &[Size::Bytes64],
        ..TWO_SERVERS
    };
    // Not rustis, whose TLS comes with another implementation of the ciphers than everybody else's here.
    let peers = [
        Peer::Keyway,
        Peer::RedisRs,
        Peer::RedisRsTuned,
        Peer::RedisRsPerNode,
        Peer::FredPlain,
    ];
    let get = Work::Get(Size::Bytes64);
    cells(Section::Tls, shape, &[get], &[1, 64, 1_024], &peers)
}

fn cells(
    section: Section,
    shape: Shape,
    works: &[Work],
    tasks: &[u32],
    peers: &[Peer],
) -> Vec<Plan> {
    let mut plans = Vec::new();
    for runtime in RUNTIMES {
        for &work in works {
            for &tasks in tasks {
                plans.push(Plan {
                    section,
                    shape,
                    runtime,
                    work,
                    tasks,
                    peers: peers
                        .iter()
                        .copied()
                        .filter(|peer| tasks == 1 || *peer != Peer::BareSockets)
                        .collect(),
                });
            }
        }
    }
    plans
}

impl Plan {
    pub fn work_name(&self) -> String {
        match self.work {
            Work::Get(size) => format!("GET {}", size.name()),
            Work::Set(size) => format!("SET {}", size.name()),
            Work::Mget => "100-key MGET".into(),
            Work::Pipeline => "1,000-command pipeline".into(),
            Work::Mixed => "GET 64 B beside 10 MB values".into(),
        }
    }

    pub fn commands_per_call(&self) -> u32 {
        match self.work {
            Work::Get(_) | Work::Set(_) | Work::Mixed => 1,
            Work::Mget => Work::MGET_KEYS,
            Work::Pipeline => Work::PIPELINE_COMMANDS,
        }
    }
}
