//! Made-up results for tests. Nobody measured them; they are never to be published.

use crate::results::{
    Applications, Cell, Column, Idle, Machine, Results, Round, Runtime, Section, Settings,
};

/// A cell of each kind that a report treats in its own way.
pub fn small() -> Results {
    let mut points = cell(Section::Points, "GET 64 B", Runtime::CurrentThread, 1_024);
    points.columns = vec![
        column("keyway", 0.65, 1_024),
        column("redis-rs", 1.72, 1_024),
        column("redis-rs-cluster", 4.1, 1_024),
        column("rustis", 0.64, 1_024),
        column("redis-benchmark", 0.31, 1_024),
    ];
    let mut alone = cell(Section::Points, "GET 64 B", Runtime::CurrentThread, 1);
    alone.columns = vec![
        column("keyway", 12.4, 1),
        column("redis-rs", 12.2, 1),
        column("bare-sockets", 9.1, 1),
    ];
    let mut mget = cell(Section::Mget, "100-key MGET", Runtime::TwoWorkers, 16);
    mget.commands_per_call = 100;
    let refused = Column {
        peer: "twemproxy-redis-rs".to_owned(),
        rounds: Vec::new(),
        sockets: 0,
        refused: Some("nutcracker is not installed".to_owned()),
    };
    mget.columns = vec![
        column("keyway", 31.0, 16),
        column("redis-rs-per-node", 211.0, 16),
        refused,
    ];
    let mut few = cell(Section::Nodes, "GET 64 B", Runtime::CurrentThread, 1_024);
    few.columns = vec![column("keyway", 0.65, 1_024)];
    let mut many = Cell {
        nodes: 4_096,
        ..few.clone()
    };
    many.columns = vec![column("keyway", 0.66, 1_024)];
    Results {
        cells: vec![points, alone, mget, few, many],
        idle: vec![Idle {
            peer: "keyway".to_owned(),
            servers: 2,
            nodes: 64,
            sockets: 2,
            memory_kib: 142.4,
        }],
        ..nothing()
    }
}

/// Every section, every peer: what graphs are looked at with.
pub fn full() -> Results {
    let mut cells = Vec::new();
    for runtime in [Runtime::CurrentThread, Runtime::TwoWorkers] {
        for (tasks, slow) in [(1, 14.0), (64, 1.6), (1_024, 1.0), (10_000, 1.2)] {
            let mut points = cell(Section::Points, "GET 64 B", runtime, tasks);
            points.columns = everyone(slow, tasks);
            cells.push(points);
        }
        for (tasks, slow) in [(1, 90.0), (16, 35.0), (64, 30.0)] {
            let mut mget = cell(Section::Mget, "100-key MGET", runtime, tasks);
            mget.commands_per_call = 100;
            mget.columns = everyone(slow, tasks);
            cells.push(mget);
        }
        let mut mixed = cell(Section::Mixed, "GET 64 B beside 10 MB values", runtime, 64);
        mixed.columns = vec![
            column("keyway", 80.0, 64),
            column("keyway-bulk", 2.1, 64),
            column("redis-rs", 95.0, 64),
            column("redis-rs-own", 2.6, 64),
        ];
        for column in &mut mixed.columns {
            for round in &mut column.rounds {
                round.big_bytes_per_second = 1.1e9;
            }
        }
        cells.push(mixed);
        for (work, tasks, slow) in [("GET 64 B", 1_024, 1.0), ("100-key MGET", 16, 35.0)] {
            for nodes in [64, 1_024, 4_096] {
                let mut layout = cell(Section::Nodes, work, runtime, tasks);
                layout.nodes = nodes;
                let grown = 1.0 + f64::from(nodes) / 4_096.0;
                layout.columns = vec![column("keyway", 0.65 * slow, tasks)];
                if nodes < 4_096 {
                    let per_node = column("redis-rs-per-node", 3.0 * slow * grown, tasks);
                    layout.columns.push(per_node);
                }
                cells.push(layout);
            }
        }
    }
    Results { cells, ..nothing() }
}

/// Every part, with figures that pass every floor.
pub fn applications() -> Applications {
    use crate::applications::plan;
    let mut applications = Applications::default();
    for plan in plan::all() {
        let part = applications
            .parts
            .entry(plan.section)
            .or_insert_with(nothing);
        let mut cell = cell(plan.section, plan.work, plan.runtime, 1);
        cell.commands_per_call = plan.commands_per_call;
        for contestant in plan.contestants {
            let (cpu_us, bytes) = match contestant.name() {
                "keyway" => (200.0, 38_000.0),
                "redis-rs-probe" | "redis-benchmark" => (190.0, 37_000.0),
                "redis-rs-small" => (90.0, 17_000.0),
                "redis-rs-fetch" => (20_000.0, 1_700_000.0),
                _ => (900.0, 70_000.0),
            };
            let mut column = column(contestant.name(), cpu_us, 1);
            for round in &mut column.rounds {
                round.bytes = bytes;
                match plan.section {
                    Section::Deliver => round.bytes = 0.0,
                    Section::Memory => round.peak_kib = 20_000.0,
                    _ => round.round_trips = 2.0,
                }
            }
            if contestant.name() == "rb" {
                column.rounds.clear();
                column.refused = Some("rb is not installed".to_owned());
            }
            cell.columns.push(column);
        }
        part.cells.push(cell);
    }
    applications
}

fn everyone(slow: f64, tasks: u32) -> Vec<Column> {
    let peers = [
        ("keyway", 0.65),
        ("redis-rs", 1.72),
        ("redis-rs-tuned", 1.41),
        ("redis-rs-per-node", 3.6),
        ("redis-rs-per-node-tuned", 3.2),
        ("redis-rs-cluster", 4.1),
        ("fred", 2.2),
        ("fred-plain", 1.9),
        ("rustis", 1.1),
        ("rustis-plain", 0.9),
        ("twemproxy-redis-rs", 1.6),
        ("redis-benchmark", 0.31),
    ];
    peers
        .into_iter()
        .map(|(peer, cpu_us)| column(peer, cpu_us * slow, tasks))
        .collect()
}

/// Three rounds, of which the second is the median and the third the slowest.
fn column(peer: &str, cpu_us: f64, tasks: u32) -> Column {
    let round = |slow: f64| {
        let calls_per_second = 5e5 / (cpu_us * slow);
        let mean_us = f64::from(tasks) * 1e6 / calls_per_second;
        Round {
            calls_per_second,
            cpu_us: cpu_us * slow,
            p50_us: mean_us,
            p99_us: 1.6 * mean_us,
            p999_us: 2.7 * mean_us,
            ..Round::default()
        }
    };
    // A different swing for each, so that ratios have a spread.
    let swing = 0.01 * (1.0 + (peer.len() % 5) as f64);
    Column {
        peer: peer.to_owned(),
        rounds: vec![round(1.0 - swing), round(1.0), round(1.0 + 2.0 * swing)],
        sockets: 2,
        refused: None,
    }
}

fn cell(section: Section, work: &str, runtime: Runtime, tasks: u32) -> Cell {
    Cell {
        section,
        work: work.to_owned(),
        runtime,
        tasks,
        servers: 2,
        nodes: 64,
        tls: false,
        commands_per_call: 1,
        columns: Vec::new(),
    }
}

fn nothing() -> Results {
    let versions = [("keyway", "0.0.0"), ("redis", "0.0.0")];
    Results {
        date: "2000-01-01".to_owned(),
        commit: "0123456".to_owned(),
        machine: Machine {
            cpu: "a made-up processor".to_owned(),
            cores: 2,
            memory_gib: 8,
            kernel: "Linux 0.0".to_owned(),
        },
        versions: versions
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into(),
        settings: Settings {
            rounds: 3,
            warm_up_ms: 100,
            window_ms: 1_000,
            keys: 10_000,
        },
        cells: Vec::new(),
        idle: Vec::new(),
    }
}
