//! What must show, and what a run showed of it.

use crate::results::{Measured, Results, Row};
use crate::statistics::Spread;

/// A floor speaks of these numbers of nodes; with others the ratio is shown, and fails nothing.
const NODES: [u16; 2] = [64, 1_024];

/// One ratio beside its bound.
pub struct Verdict<'r> {
    pub nodes: u16,
    pub row: &'r Row,
    pub against: &'static str,
    pub bound: f64,
    pub ratio: Spread,
    /// Else it is information.
    pub is_demanded: bool,
}

impl Verdict<'_> {
    pub fn holds(&self) -> bool {
        self.ratio.median <= self.bound
    }
}

struct Floor {
    is_about: fn(&Row) -> bool,
    is_demanded: fn(&Row) -> bool,
    against: &'static str,
    ratio: fn(&Measured) -> Spread,
    bound: f64,
}

const FLOORS: [Floor; 3] = [
    Floor {
        is_about: |row| row.name == "ketama",
        is_demanded: |_| true,
        against: "pingora-ketama",
        ratio: Measured::to_pingora,
        bound: 0.6,
    },
    Floor {
        is_about: |row| row.hash == "md5",
        is_demanded: |_| true,
        against: "md5",
        ratio: Measured::to_hash,
        bound: 1.3,
    },
    Floor {
        is_about: |row| {
            let modulo_like = ["modulo", "-partition", "-modula", "-slots"];
            modulo_like.iter().any(|end| row.name.ends_with(end))
        },
        is_demanded: |row| row.name == "modulo",
        against: "its hash",
        ratio: Measured::to_hash,
        bound: 1.2,
    },
];

pub fn verdicts(results: &Results) -> Vec<Verdict<'_>> {
    let mut verdicts = Vec::new();
    for floor in &FLOORS {
        for (nodes, row, measured) in results.measured() {
            if !row.is_peer && (floor.is_about)(row) {
                verdicts.push(Verdict {
                    nodes,
                    row,
                    against: floor.against,
                    bound: floor.bound,
                    ratio: (floor.ratio)(measured),
                    is_demanded: NODES.contains(&nodes) && (floor.is_demanded)(row),
                });
            }
        }
    }
    verdicts
}

pub fn all_hold(results: &Results) -> bool {
    verdicts(results)
        .iter()
        .all(|verdict| verdict.holds() || !verdict.is_demanded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::results::Outcome;

    fn with(name: &str, nodes: u16, lookup_ns: f64) -> Results {
        let mut results = fixture::results();
        for cell in results.cells.iter_mut().filter(|cell| cell.nodes == nodes) {
            for row in cell.rows.iter_mut().filter(|row| row.name == name) {
                if let Outcome::Measured(measured) = &mut row.outcome {
                    measured.lookup_ns = vec![lookup_ns; 3];
                }
            }
        }
        results
    }

    #[test]
    fn a_missed_floor_fails_the_run_and_missed_information_does_not() {
        assert!(all_hold(&fixture::results()));
        // pingora-ketama takes 20 ns there, md5 100 and crc32 5.
        for (name, nodes, held, missed) in [
            ("ketama", 64, 12.0, 12.1),
            ("nydus-ketama", 64, 130.0, 131.0),
            ("modulo", 64, 6.0, 6.1),
        ] {
            assert!(all_hold(&with(name, nodes, held)), "{name} {held}");
            assert!(!all_hold(&with(name, nodes, missed)), "{name} {missed}");
        }
        assert!(
            all_hold(&with("ketama", 16_384, 1_000.0)),
            "not demanded there"
        );
        assert!(
            all_hold(&with("nydus-partition", 64, 1_000.0)),
            "information"
        );
        assert!(all_hold(&with("rendezvous", 64, 1_000.0)), "no floor");
    }

    #[test]
    fn information_is_shown_beside_the_floors() {
        let results = fixture::results();
        let shown: Vec<(&str, u16, bool)> = verdicts(&results)
            .iter()
            .map(|verdict| {
                (
                    verdict.row.name.as_str(),
                    verdict.nodes,
                    verdict.is_demanded,
                )
            })
            .collect();
        for expected in [
            ("ketama", 64, true),
            ("ketama", 16_384, false),
            ("nydus-partition", 64, false),
            ("modulo", 64, true),
            ("nydus-ketama", 64, true),
        ] {
            assert!(
                shown.contains(&expected),
                "{expected:?} is not in {shown:?}"
            );
        }
    }
}
