//! A small run with all that a report can say, its figures made up.

use crate::results::{Cell, Machine, Measured, Outcome, Results, Row, Settings};

pub fn results() -> Results {
    let versions = [("keyway", "0.1.0"), ("rustc", "1.95.0")];
    Results {
        date: "2026-01-31".to_owned(),
        machine: Machine {
            cpu: "A processor".to_owned(),
            cores: 2,
            kernel: "6.1.0".to_owned(),
        },
        versions: versions
            .into_iter()
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .collect(),
        command: "make bench-placement".to_owned(),
        settings: Settings {
            rounds: 3,
            window_us: 2_000,
            keys: 10_000,
            key_bytes: 27.64,
        },
        cells: vec![small(), large()],
    }
}

fn small() -> Cell {
    let missing = Outcome::Missing("not yet implemented".to_owned());
    Cell {
        nodes: 64,
        rows: vec![
            row("ketama", "crc32", measured(7.0, 5.0)),
            row("modulo", "crc32", measured(5.5, 5.0)),
            row("rendezvous", "xxh3", measured(61.0, 2.0)),
            row("nydus-ketama", "md5", measured(110.0, 100.0)),
            row("nydus-partition", "crc32", measured(6.5, 5.0)),
            row("libmemcached-weighted", "md5", missing),
            row("libmemcached-modula", "one_at_a_time", measured(12.0, 11.0)),
            peer("pingora-ketama", "crc32", measured(20.0, 5.0)),
            peer("hashring", "siphash", measured(40.0, 18.0)),
        ],
    }
}

/// With the widest figures that there are.
fn large() -> Cell {
    let refused = "nydus-ketama: the nodes \"10.0.0.1:6379\" and \"10.0.0.2:6379\" have the point 3141592653 both, and the original does \
                   not define whose it is";
    let Outcome::Measured(mut heavy) = measured(16_234.0, 101.0) else {
        unreachable!()
    };
    (heavy.build_ms, heavy.bytes) = (1_830.0, 123_456_789);
    Cell {
        nodes: 16_384,
        rows: vec![
            row("ketama", "crc32", measured(19.0, 5.0)),
            row("nydus-ketama", "md5", Outcome::Refused(refused.to_owned())),
            row(
                "libmemcached-weighted",
                "one_at_a_time",
                Outcome::Measured(heavy),
            ),
            peer("pingora-ketama", "crc32", measured(70.0, 5.0)),
        ],
    }
}

fn measured(lookup_ns: f64, hash_ns: f64) -> Outcome {
    let around = |ns: f64| vec![ns, 0.95 * ns, 1.1 * ns];
    Outcome::Measured(Measured {
        lookup_ns: around(lookup_ns),
        hash_ns: around(hash_ns),
        pingora_ns: around(20.0),
        hashring_ns: around(40.0),
        build_ms: 0.1 * lookup_ns,
        bytes: 20_000 + (1_000.0 * hash_ns) as i64,
        checksum: 314_159,
    })
}

fn row(name: &str, hash: &str, outcome: Outcome) -> Row {
    Row {
        name: name.to_owned(),
        is_peer: false,
        hash: hash.to_owned(),
        outcome,
    }
}

fn peer(name: &str, hash: &str, outcome: Outcome) -> Row {
    Row {
        is_peer: true,
        ..row(name, hash, outcome)
    }
}
