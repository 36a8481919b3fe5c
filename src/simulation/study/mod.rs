//! Algorithms that no cluster of keyway can use, to see beside those that one can: what papers propose, and what other programs have.
//!
//! A key is a server's here, with no nodes between them. What is hashed of a key is its [hash tag](crate::hash::hash_tag), by
//! [`xxh3`](crate::hash::xxh3), and of a server its name. Nothing of this is data for ever: a later version may place keys otherwise.
//!
//! | study | lookup | a server comes or goes | weights |
//! |---|---|---|---|
//! | `ring/100` | a table and about one point | only its own keys move | points |
//! | `multi-probe/21` | the same for each probe | only its own keys move | points |
//! | `lrh/256/8` | the same, and asks 8 servers | its own keys move, and about as many others | no |
//! | `anchor/128` | about ln(capacity / servers) hops | only its own keys move | no |
//! | `dx/128` | about capacity / servers probes | only its own keys move | no |
//! | `memento` | as jump, and a hop for each server found gone | only its own keys move | no |
//!
//! Consistent hashing with bounded loads depends on the load, so that it is no lookup: see [`Built::bounded`].

mod anchor;
mod bounded;
mod memento;
mod points;
mod seats;
mod shares;
#[cfg(test)]
mod tests;

use crate::hash::{hash_tag, xxh3};
use crate::placement::{NODES_MAX, NodeSpec};
use anchor::Anchor;
use memento::Memento;
use points::Points;
use seats::{Dx, Seats};
use std::fmt;
use std::str::FromStr;

pub use bounded::BOUND_PERCENT_MAX;

/// Most points on a ring for one unit of weight.
pub const POINTS_MAX: u32 = 65_536;

/// Most points on a ring in all, of all servers: 8 bytes each, and about as much again for the table that finds them.
pub const POINTS_TOTAL_MAX: u64 = 1 << 24;

/// Most probes of a lookup.
pub const PROBES_MAX: u32 = 256;

/// Most servers that a lookup asks.
pub const CANDIDATES_MAX: u32 = 64;

/// Largest capacity.
pub const CAPACITY_MAX: u32 = 65_536;

/// An algorithm with its parameters. As text: `ring/100`, `multi-probe/21`, `lrh/256/8`, `anchor/128`, `dx/128`, `memento`.
///
/// ```
/// use keyway::placement::NodeSpec;
/// use keyway::simulation::study::Study;
/// let study: Study = "ring/100".parse()?;
/// let ring = study.build(&["a", "b", "c"].map(NodeSpec::new))?;
/// assert!(ring.index(b"user:42") < 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Study {
    /// The ring of many points. Source: D. Karger et al., "Consistent Hashing and Random Trees", STOC 1997.
    Ring {
        /// Points for each unit of weight: 1 to [`POINTS_MAX`].
        points: u32,
    },
    /// Multi-probe consistent hashing: few points, and of all probes the one that is closest to its point decides. Source: B. Appleton,
    /// M. O'Reilly, "Multi-probe consistent hashing", arXiv:1505.00062. Weights, which the paper leaves out, are points here.
    MultiProbe {
        /// Hashes of a key: 1 to [`PROBES_MAX`].
        probes: u32,
        /// Points for each unit of weight: 1 in the paper; `multi-probe/8/256` has 256, at most [`POINTS_MAX`].
        points: u32,
    },
    /// Local rendezvous hashing: of the next few servers on a ring the highest bid wins. Source: Y. Guan, "Local Rendezvous Hashing",
    /// arXiv:2512.23434. What it says of minimal churn holds while the ring stays as it is and servers are only passed over; here, as
    /// elsewhere, a server that is removed leaves the ring.
    LocalRendezvous {
        /// Points of each server: 1 to [`POINTS_MAX`].
        points: u32,
        /// Servers that are asked: 1 to [`CANDIDATES_MAX`].
        candidates: u32,
    },
    /// AnchorHash. Source: G. Mendelson et al., "AnchorHash: A Scalable Consistent Hash", arXiv:1812.09674, algorithm 3.
    Anchor {
        /// The most servers that there can ever be: 1 to [`CAPACITY_MAX`].
        capacity: u32,
    },
    /// DxHash. Source: C. Dong, F. Wang, "DxHash: A Scalable Consistent Hash Based on the Pseudo-Random Sequence", arXiv:2107.07930, without
    /// its weights and without the doubling of its capacity.
    Dx {
        /// The most servers that there can ever be: 1 to [`CAPACITY_MAX`].
        capacity: u32,
    },
    /// MementoHash: jump, with a memory of the servers that are gone. Source: M. Coluzzi et al., "MementoHash: A Stateful, Minimal Memory,
    /// Best Performing Consistent Hash Algorithm", arXiv:2306.09783.
    Memento,
}

/// Why a text is no study, or a list of servers cannot be placed by one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// The text begins with no study's name.
    #[error(
        "unknown study {read:?}: expected ring/POINTS, multi-probe/PROBES, lrh/POINTS/CANDIDATES, anchor/CAPACITY, dx/CAPACITY or memento"
    )]
    Unknown {
        /// The text.
        read: String,
    },
    /// The name is known, and what follows is not as it should be, or beyond its limits.
    #[error("{read:?} cannot be used: expected {expected}")]
    Malformed {
        /// The text.
        read: String,
        /// What should be there.
        expected: &'static str,
    },
    /// No servers.
    #[error("{study} needs at least one server, and none was given")]
    NoServers {
        /// The study.
        study: Study,
    },
    /// More servers than [`NODES_MAX`].
    #[error("{count} servers are too many: expected at most {NODES_MAX}")]
    TooManyServers {
        /// How many there are.
        count: usize,
    },
    /// Two servers have one name.
    #[error("two servers are named {name:?}: names must differ, they are what is hashed")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A weight of 0, or another than 1 where there are none.
    #[error("server {name:?} has weight {weight}: {study} takes {}", if .study.has_weights() { "1 and above" } else { "no weights, so that it must be 1" })]
    Weight {
        /// The study.
        study: Study,
        /// The server's name.
        name: String,
        /// Its weight.
        weight: u32,
    },
    /// More points than [`POINTS_TOTAL_MAX`].
    #[error(
        "{study} would have {points} points: expected at most {POINTS_TOTAL_MAX}. Take fewer points, or divide the weights by a common factor"
    )]
    TooManyPoints {
        /// The study.
        study: Study,
        /// How many there would be.
        points: u64,
    },
    /// More servers than the capacity.
    #[error(
        "{study} has room for {capacity} servers, and {count} were given: its capacity has to be chosen for all that will ever come"
    )]
    OverCapacity {
        /// The study.
        study: Study,
        /// Its capacity.
        capacity: u32,
        /// How many servers there are.
        count: usize,
    },
}

/// Tables that say of every key on which server of a list it is.
#[derive(Clone, Debug)]
pub struct Built {
    study: Study,
    servers: Vec<NodeSpec>,
    table: Table,
}

#[derive(Clone, Debug)]
enum Table {
    Ring(Points),
    MultiProbe {
        points: Points,
        probes: u32,
    },
    LocalRendezvous {
        points: Points,
        candidates: usize,
        /// The hash of each server's name.
        names: Box<[u64]>,
    },
    Anchor(Seats<Anchor>),
    Dx(Seats<Dx>),
    Memento(Seats<Memento>),
}

impl Study {
    /// Tables for these servers, as if they had been there from the beginning. Labels are ignored. Cost: about 25 ns a point.
    ///
    /// # Errors
    /// No servers, or too many for the study; a name that is there twice; a weight that the study does not take; parameters beyond their limits.
    pub fn build(self, servers: &[NodeSpec]) -> Result<Built, StudyError> {
        self.check(servers)?;
        let table = match self {
            Study::Ring { points } => Table::Ring(Points::new(servers, points)),
            Study::MultiProbe { probes, points } => Table::MultiProbe {
                points: Points::new(servers, points),
                probes,
            },
            Study::LocalRendezvous { points, candidates } => Table::LocalRendezvous {
                points: Points::new(servers, points),
                candidates: servers.len().min(candidates as usize),
                names: servers
                    .iter()
                    .map(|server| xxh3(server.name.as_bytes()))
                    .collect(),
            },
            Study::Anchor { capacity } => {
                let count = servers.len() as u32;
                Table::Anchor(Seats::new(Anchor::new(capacity, count), count))
            }
            Study::Dx { capacity } => {
                let count = servers.len() as u32;
                Table::Dx(Seats::new(Dx::new(capacity, count), count))
            }
            Study::Memento => {
                let count = servers.len() as u32;
                Table::Memento(Seats::new(Memento::new(count), count))
            }
        };
        Ok(Built {
            study: self,
            servers: servers.to_vec(),
            table,
        })
    }

    /// Whether servers can have weights other than 1.
    pub fn has_weights(self) -> bool {
        matches!(self, Study::Ring { .. } | Study::MultiProbe { .. })
    }

    /// Whether what is placed depends on which servers have come and gone in which order: [`Built::changed`] has to be asked for the next list.
    pub fn has_history(self) -> bool {
        matches!(
            self,
            Study::Anchor { .. } | Study::Dx { .. } | Study::Memento
        )
    }

    fn check(self, servers: &[NodeSpec]) -> Result<(), StudyError> {
        self.checked()?;
        if servers.is_empty() {
            return Err(StudyError::NoServers { study: self });
        }
        if servers.len() > NODES_MAX {
            return Err(StudyError::TooManyServers {
                count: servers.len(),
            });
        }
        let mut names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(StudyError::DuplicateName {
                name: pair[0].to_owned(),
            });
        }
        let refused = |weight: u32| weight == 0 || (weight != 1 && !self.has_weights());
        if let Some(server) = servers.iter().find(|server| refused(server.weight)) {
            return Err(StudyError::Weight {
                study: self,
                name: server.name.clone(),
                weight: server.weight,
            });
        }
        match self {
            Study::Ring { points }
            | Study::MultiProbe { points, .. }
            | Study::LocalRendezvous { points, .. } => {
                let weight: u64 = servers.iter().map(|server| u64::from(server.weight)).sum();
                let points = u64::from(points) * weight;
                if points > POINTS_TOTAL_MAX {
                    return Err(StudyError::TooManyPoints {
                        study: self,
                        points,
                    });
                }
            }
            Study::Anchor { capacity } | Study::Dx { capacity } => {
                if servers.len() > capacity as usize {
                    return Err(StudyError::OverCapacity {
                        study: self,
                        capacity,
                        count: servers.len(),
                    });
                }
            }
            Study::Memento => {}
        }
        Ok(())
    }

    /// Itself, if its parameters are within their limits.
    fn checked(self) -> Result<Study, StudyError> {
        let is_within = |value: u32, max: u32| (1..=max).contains(&value);
        let (is_right, expected) = match self {
            Study::Ring { points } => (is_within(points, POINTS_MAX), RING),
            Study::MultiProbe { probes, points } => (
                is_within(probes, PROBES_MAX) && is_within(points, POINTS_MAX),
                MULTI_PROBE,
            ),
            Study::LocalRendezvous { points, candidates } => (
                is_within(points, POINTS_MAX) && is_within(candidates, CANDIDATES_MAX),
                LOCAL_RENDEZVOUS,
            ),
            Study::Anchor { capacity } => (is_within(capacity, CAPACITY_MAX), ANCHOR),
            Study::Dx { capacity } => (is_within(capacity, CAPACITY_MAX), DX),
            Study::Memento => (true, MEMENTO),
        };
        match is_right {
            true => Ok(self),
            false => Err(StudyError::Malformed {
                read: self.to_string(),
                expected,
            }),
        }
    }
}

const RING: &str = "ring/POINTS, with 1 to 65536 points for each unit of weight, such as ring/100";
const MULTI_PROBE: &str = "multi-probe/PROBES, with 1 to 256 probes, such as multi-probe/21; or multi-probe/PROBES/POINTS, with 1 to 65536 points \
                           for each unit of weight";
const LOCAL_RENDEZVOUS: &str = "lrh/POINTS/CANDIDATES, with 1 to 65536 points of each server and 1 to 64 candidates, such as lrh/256/8";
const ANCHOR: &str = "anchor/CAPACITY, with a capacity of 1 to 65536 servers, such as anchor/128";
const DX: &str = "dx/CAPACITY, with a capacity of 1 to 65536 servers, such as dx/128";
const MEMENTO: &str = "memento, which has no parameters";

impl fmt::Display for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match *self {
            Study::Ring { points } => format!("ring/{points}"),
            Study::MultiProbe { probes, points: 1 } => format!("multi-probe/{probes}"),
            Study::MultiProbe { probes, points } => format!("multi-probe/{probes}/{points}"),
            Study::LocalRendezvous { points, candidates } => format!("lrh/{points}/{candidates}"),
            Study::Anchor { capacity } => format!("anchor/{capacity}"),
            Study::Dx { capacity } => format!("dx/{capacity}"),
            Study::Memento => "memento".to_owned(),
        };
        f.pad(&text)
    }
}

impl FromStr for Study {
    type Err = StudyError;

    fn from_str(text: &str) -> Result<Study, StudyError> {
        let mut parts = text.split('/');
        let name = parts.next().unwrap_or_default();
        let parameters: Option<Vec<u32>> = parts.map(parameter).collect();
        let (study, expected) = match (name, parameters.as_deref()) {
            ("ring", Some(&[points])) => (Some(Study::Ring { points }), RING),
            ("ring", _) => (None, RING),
            ("multi-probe", Some(&[probes])) => {
                (Some(Study::MultiProbe { probes, points: 1 }), MULTI_PROBE)
            }
            ("multi-probe", Some(&[probes, points])) => {
                (Some(Study::MultiProbe { probes, points }), MULTI_PROBE)
            }
            ("multi-probe", _) => (None, MULTI_PROBE),
            ("lrh", Some(&[points, candidates])) => (
                Some(Study::LocalRendezvous { points, candidates }),
                LOCAL_RENDEZVOUS,
            ),
            ("lrh", _) => (None, LOCAL_RENDEZVOUS),
            ("anchor", Some(&[capacity])) => (Some(Study::Anchor { capacity }), ANCHOR),
            ("anchor", _) => (None, ANCHOR),
            ("dx", Some(&[capacity])) => (Some(Study::Dx { capacity }), DX),
            ("dx", _) => (None, DX),
            ("memento", Some(&[])) => (Some(Study::Memento), MEMENTO),
            ("memento", _) => (None, MEMENTO),
            _ => {
                return Err(StudyError::Unknown {
                    read: text.to_owned(),
                });
            }
        };
        let study = study.and_then(|study| study.checked().ok());
        study.ok_or_else(|| StudyError::Malformed {
            read: text.to_owned(),
            expected,
        })
    }
}

/// Digits only: no sign.
fn parameter(text: &str) -> Option<u32> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

impl Built {
    /// The position in the list of the server of `key`. Allocates nothing; cost: see the [table](self).
    #[inline]
    pub fn index(&self, key: &[u8]) -> u16 {
        let hash = xxh3(hash_tag(key));
        match &self.table {
            Table::Ring(points) => points.owner(points.position(hash)),
            Table::MultiProbe { points, probes } => points.closest(hash, *probes),
            Table::LocalRendezvous {
                points,
                candidates,
                names,
            } => points.highest_bid(hash, *candidates, names),
            Table::Anchor(seats) => seats.server(hash),
            Table::Dx(seats) => seats.server(hash),
            Table::Memento(seats) => seats.server(hash),
        }
    }

    /// The tables for another list, when these were in use before. Servers that are not in it are removed, in the order of the old list, then new
    /// ones are added, in the order of the new one. Where a study has no [history](Study::has_history) it is the same as [`Study::build`].
    ///
    /// # Errors
    /// As [`Study::build`].
    pub fn changed(&self, servers: &[NodeSpec]) -> Result<Built, StudyError> {
        let table = match &self.table {
            Table::Ring(_) | Table::MultiProbe { .. } | Table::LocalRendezvous { .. } => {
                return self.study.build(servers);
            }
            Table::Anchor(seats) => {
                self.study.check(servers)?;
                Table::Anchor(seats.changed(&self.servers, servers))
            }
            Table::Dx(seats) => {
                self.study.check(servers)?;
                Table::Dx(seats.changed(&self.servers, servers))
            }
            Table::Memento(seats) => {
                self.study.check(servers)?;
                Table::Memento(seats.changed(&self.servers, servers))
            }
        };
        Ok(Built {
            study: self.study,
            servers: servers.to_vec(),
            table,
        })
    }

    /// What was built.
    pub fn study(&self) -> Study {
        self.study
    }

    /// How many servers there are.
    pub fn server_count(&self) -> usize {
        self.servers.len()
    }

    /// What a lookup reads, in bytes; the servers' names do not count.
    pub fn table_bytes(&self) -> u64 {
        let bytes = match &self.table {
            Table::Ring(points) | Table::MultiProbe { points, .. } => points.bytes(),
            Table::LocalRendezvous { points, names, .. } => points.bytes() + size_of_val(&**names),
            Table::Anchor(seats) => seats.bytes(),
            Table::Dx(seats) => seats.bytes(),
            Table::Memento(seats) => seats.bytes(),
        };
        bytes as u64
    }
}
