//! The floors themselves. They were set before anything was measured.

use super::{Against, Floor, Place, Wanted};
use crate::applications::plan::{DELIVER, PROBE, TO_100_000, TO_A_MILLION};
use crate::report::comparison::{LIMIT, LONE_LIMIT};
use crate::report::statistics::Figure;
use crate::results::{Runtime, Section};

const RUNTIMES: [Runtime; 2] = [Runtime::CurrentThread, Runtime::TwoWorkers];

pub fn all() -> Vec<Floor> {
    let mut floors = Vec::new();
    for runtime in RUNTIMES {
        let busy = get(runtime, 1_024);
        let (cpu, aim, throughput) = match runtime {
            Runtime::CurrentThread => (0.50, 0.30, 1.4),
            Runtime::TwoWorkers => (0.70, 0.50, 1.25),
        };
        floors.extend([
            busy.floor(Figure::CpuUs, "redis-rs", Wanted::AtMost(cpu))
                .aim(aim),
            busy.floor(Figure::CpuUs, "redis-rs-cluster", Wanted::AtMost(0.30)),
            busy.floor(Figure::CpuUs, "rustis", Wanted::Below(1.0)),
            busy.floor(Figure::CpuUs, "fred", Wanted::Below(1.0)),
            busy.floor(Figure::CpuUs, "rustis-plain", Wanted::Below(1.0))
                .information(),
            busy.floor(Figure::CpuUs, "fred-plain", Wanted::Below(1.0))
                .information(),
            busy.floor(
                Figure::CallsPerSecond,
                "redis-rs",
                Wanted::AtLeast(throughput),
            ),
            busy.floor(
                Figure::CallsPerSecond,
                "redis-rs-per-node",
                Wanted::AtLeast(2.5),
            ),
        ]);
        let alone = get(runtime, 1);
        floors.extend([
            alone.floor(Figure::P50Us, "redis-rs", Wanted::AtMost(1.05)),
            // With one task this is the mean latency, turned over.
            alone.floor(Figure::CallsPerSecond, "redis-rs", Wanted::AtLeast(0.95)),
            alone.floor(Figure::CpuUs, "redis-rs", Wanted::AtMost(1.05)),
            alone
                .floor(Figure::CallsPerSecond, LONE_LIMIT, Wanted::AtLeast(1.0))
                .information(),
        ]);
    }
    for tasks in [1, 16, 64] {
        let mget = Place {
            work: Some("100-key MGET"),
            tasks: Some(tasks),
            ..Place::section(Section::Mget)
        };
        // Expected to be the best, with its keys grouped per server by hand; and whichever is.
        floors.push(mget.floor(Figure::CallsPerSecond, "redis-rs", Wanted::AtLeast(0.95)));
        let best = mget.floor(Figure::CallsPerSecond, "", Wanted::AtLeast(0.95));
        floors.push(Floor {
            against: Against::BestPeer,
            ..best
        });
        floors.push(mget.floor(
            Figure::CallsPerSecond,
            "redis-rs-per-node",
            Wanted::AtLeast(4.0),
        ));
        if tasks == 1 {
            let bare = mget.floor(Figure::CallsPerSecond, LONE_LIMIT, Wanted::AtLeast(1.0));
            floors.push(bare.information());
        }
    }
    let mixed = Place {
        runtime: Some(Runtime::TwoWorkers),
        ..Place::section(Section::Mixed)
    };
    let bulk = mixed.floor(Figure::P50Us, "redis-rs-own", Wanted::AtMost(2.0));
    floors.push(Floor {
        ours: "keyway-bulk",
        ..bulk
    });
    for (figure, wanted) in [
        (Figure::CallsPerSecond, Wanted::AtLeast(0.95)),
        (Figure::CpuUs, Wanted::AtMost(1.05)),
    ] {
        let many = Place {
            nodes: Some(4_096),
            ..Place::section(Section::Nodes)
        };
        let flat = many.floor(figure, "", wanted);
        floors.push(Floor {
            against: Against::OursAtNodes(64),
            ..flat
        });
    }
    floors
}

/// What applications do. A missed one is the exit status of their run.
pub fn applications() -> Vec<Floor> {
    let at = |section, work| Place {
        work: Some(work),
        ..Place::section(section)
    };
    let flat = at(Section::Memory, TO_A_MILLION).floor(Figure::PeakKib, "", Wanted::AtMost(1.1));
    let probe = at(Section::Probe, PROBE);
    // Of whomever the newest are.
    let merged = Place::section(Section::Merged);
    let two = merged.floor(Figure::RoundTrips, "", Wanted::AtMost(2.0));
    vec![
        at(Section::Deliver, DELIVER).floor(Figure::CallsPerSecond, LIMIT, Wanted::AtLeast(0.75)),
        Floor {
            against: Against::OursAtWork(TO_100_000),
            ..flat
        },
        probe.floor(
            Figure::CallsPerSecond,
            "redis-rs-fetch",
            Wanted::AtLeast(50.0),
        ),
        probe.floor(Figure::Bytes, "redis-rs-small", Wanted::Below(3.0)),
        // Two clients that do the same differ by that much from run to run: it counts as no slower.
        Place::section(Section::Equal).floor(Figure::P50Us, "redis-rs-fetch", Wanted::AtMost(1.05)),
        Floor {
            against: Against::Nothing,
            ..two
        },
    ]
}

fn get(runtime: Runtime, tasks: u32) -> Place {
    Place {
        work: Some("GET 64 B"),
        runtime: Some(runtime),
        tasks: Some(tasks),
        ..Place::section(Section::Points)
    }
}

impl Place {
    fn section(section: Section) -> Place {
        Place {
            section,
            work: None,
            runtime: None,
            tasks: None,
            nodes: None,
        }
    }

    fn floor(self, figure: Figure, peer: &'static str, wanted: Wanted) -> Floor {
        Floor {
            place: self,
            figure,
            ours: "keyway",
            against: Against::Peer(peer),
            wanted,
            aim: None,
            is_information: false,
        }
    }
}

impl Floor {
    fn aim(self, aim: f64) -> Floor {
        Floor {
            aim: Some(aim),
            ..self
        }
    }

    fn information(self) -> Floor {
        Floor {
            is_information: true,
            ..self
        }
    }
}
