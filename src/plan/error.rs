//! Why there is no plan.

use crate::placement::NodeId;
use crate::plan::words::{bytes, plural};
use crate::topology::{SERVERS_MAX, TopologyError};
use std::fmt::Write;
use std::sync::Arc;

/// A plan that cannot be. The message says what was asked, what is missing, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A server that is to be drained is not there.
    #[error("there is no server {name}; expected one of {}", .known.join(", "))]
    UnknownServer {
        /// What was read.
        name: Arc<str>,
        /// Those that there are.
        known: Vec<Arc<str>>,
    },
    /// A server that is to be added has nodes already.
    #[error(
        "server {name} is there already, with {nodes} nodes; expected the name of a new one. Evening out gives it its share"
    )]
    AlreadyThere {
        /// Its name.
        name: Arc<str>,
        /// Its nodes.
        nodes: usize,
    },
    /// A server that is to be added is to have no node.
    #[error("server {name} is to be added, and has weight 0; expected a weight of 1 or more")]
    AddedWithoutWeight {
        /// Its name.
        name: Arc<str>,
    },
    /// Two servers of one name.
    #[error("server {name} is listed twice; expected each name once")]
    RepeatedServer {
        /// The name.
        name: Arc<str>,
    },
    /// A server without a name.
    #[error("a server has an empty name; give every server a name")]
    EmptyName,
    /// Nobody may have a node.
    #[error(
        "no server is left that may have nodes: all weights are 0, or all servers are drained. Give one a weight, or add one"
    )]
    NoWeight,
    /// A goal of no servers.
    #[error("0 servers cannot hold the nodes; expected 1 to {SERVERS_MAX}")]
    NoServers,
    /// A goal of too many servers.
    #[error("{count} servers are too many; expected at most {SERVERS_MAX}")]
    TooManyServers {
        /// How many there would be.
        count: usize,
    },
    /// Two topologies of different placements.
    #[error(
        "one topology has {old} nodes, the other {new}: the number of nodes is fixed for the life of the data. A plan moves whole nodes between servers"
    )]
    NodeCounts {
        /// Nodes of the old one.
        old: usize,
        /// Nodes of the new one.
        new: usize,
    },
    /// Sizes of another placement.
    #[error("sizes of {sizes} nodes, for a topology of {nodes}; expected one for each node")]
    SizesOfOthers {
        /// How many sizes there are.
        sizes: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// Sizes that no machine has.
    #[error(
        "the nodes' keys or bytes add up to more than {}; expected sizes of nodes in bytes",
        u64::MAX
    )]
    SizesTooLarge,
    /// A topology in which something is going on.
    #[error(
        "node {node} is being moved, or is frozen; expected a topology at rest. End that move first"
    )]
    NotAtRest {
        /// The node.
        node: NodeId,
    },
    /// No move would be allowed.
    #[error("0 moves at once per server; expected at least 1")]
    NoMovesAllowed,
    /// Nothing to make even.
    #[error(
        "to make servers even by bytes, the nodes' bytes must be known, and they are 0. Give sizes, or make nodes even"
    )]
    NoBytes,
    /// A tolerance that is no fraction.
    #[error("a tolerance of {tolerance}; expected 0 to 1, such as 0.05 for five percent")]
    Tolerance {
        /// What was read.
        tolerance: f64,
    },
    /// All servers together are too small.
    #[error(
        "{} do not fit into {} with limits of {} in all (nodes stay whole): raise limits, or add a server",
        bytes(*.needed_bytes), plural(*.servers, "server"), bytes(*.room_bytes)
    )]
    NotEnoughMemory {
        /// What all nodes take.
        needed_bytes: u64,
        /// The limits of those servers, together.
        room_bytes: u64,
        /// How many servers that are.
        servers: usize,
    },
    /// All servers together are large enough, but some server is not.
    #[error("{}", no_room(.over))]
    NoRoom {
        /// Servers over their limits in the nearest arrangement that was found, the worst first.
        over: Vec<OverLimit>,
    },
    /// Moves that wait for each other.
    #[error("{}", stuck(.moves, *.is_certain))]
    Stuck {
        /// What cannot go on.
        moves: Vec<StuckMove>,
        /// Whether all orders were tried; there may be too many.
        is_certain: bool,
    },
    /// A topology that is not the one that the plan was made for.
    #[error("the plan takes node {node} from {expected}, and it is on {found}: make the plan anew")]
    AnotherTopology {
        /// The node.
        node: NodeId,
        /// Where the plan has it.
        expected: Arc<str>,
        /// Where it is.
        found: Arc<str>,
    },
    /// The result is no topology: only by a plan that was not made here.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

impl PlanError {
    /// Whether the question was right, and servers are too small for it: more memory, or more servers, help.
    pub fn is_about_room(&self) -> bool {
        matches!(
            self,
            PlanError::NotEnoughMemory { .. } | PlanError::NoRoom { .. } | PlanError::Stuck { .. }
        )
    }
}

/// A server that would hold too much.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OverLimit {
    /// Its name.
    pub server: Arc<str>,
    /// What it would hold.
    pub bytes: u64,
    /// What it may hold.
    pub limit_bytes: u64,
}

/// A move that finds no room at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StuckMove {
    /// How many nodes are still to move.
    pub nodes: usize,
    /// The server that they are on.
    pub from: Arc<str>,
    /// The server that they go to.
    pub to: Arc<str>,
    /// What that holds when nothing can go on.
    pub held_bytes: u64,
    /// What it may hold.
    pub limit_bytes: u64,
    /// What is missing there for the smallest of the nodes; 0 if it waits for another only.
    pub missing_bytes: u64,
}

/// More lines help nobody.
const LINES_MAX: usize = 8;

fn no_room(over: &[OverLimit]) -> String {
    let mut text = "whole nodes do not fit into the limits that way:".to_owned();
    for one in over.iter().take(LINES_MAX) {
        let _ = write!(
            text,
            "\n  {} would hold {}, {} over its limit of {}",
            one.server,
            bytes(one.bytes),
            bytes(one.bytes.saturating_sub(one.limit_bytes)),
            bytes(one.limit_bytes)
        );
    }
    and_more(&mut text, over.len());
    text.push_str(
        "\nraise these limits, or add a server; evening out may move more than other goals",
    );
    text
}

fn stuck(moves: &[StuckMove], is_certain: bool) -> String {
    let mut text = match is_certain {
        true => "no order keeps every server within its limit at any moment; stuck are:".to_owned(),
        false => {
            "no order was found that keeps every server within its limit at any moment; stuck are:"
                .to_owned()
        }
    };
    for one in moves.iter().take(LINES_MAX) {
        let _ = write!(
            text,
            "\n  {} of {} to {}, which holds {} of {}: short of {} for the smallest",
            plural(one.nodes, "node"),
            one.from,
            one.to,
            bytes(one.held_bytes),
            bytes(one.limit_bytes),
            bytes(one.missing_bytes)
        );
    }
    and_more(&mut text, moves.len());
    if let Some(least) = moves.iter().min_by_key(|one| one.missing_bytes) {
        let _ = write!(
            text,
            "\nraise the limit of {} by at least {} for the time of the moves, or let a spare server take part",
            least.to,
            bytes(least.missing_bytes)
        );
    }
    text
}

fn and_more(text: &mut String, count: usize) {
    if count > LINES_MAX {
        let _ = write!(text, "\n  and {} more", count - LINES_MAX);
    }
}
