//! Numbers and reasons as operators read them.

use crate::placement::NodeId;
use crate::plan::order::Leg;
use crate::plan::problem::{Problem, Seat, node_id};
use crate::plan::search::shares_bytes;
use crate::plan::{Balance, Goal};

/// What the reasons of all moves are made of.
pub(super) struct Reasons<'a> {
    problem: &'a Problem<'a>,
    /// `None`: what a given topology wants.
    goal: Option<&'a Goal>,
    balance: Balance,
    loads: Vec<u64>,
    shares: Vec<u64>,
    servers_with_weight: usize,
    are_equal: bool,
}

impl<'a> Reasons<'a> {
    pub(super) fn new(problem: &'a Problem<'a>, goal: Option<&'a Goal>, balance: Balance) -> Self {
        let mut weights = problem
            .seats
            .iter()
            .map(|seat| seat.weight)
            .filter(|weight| *weight > 0);
        let first = weights.next();
        Reasons {
            problem,
            goal,
            balance,
            loads: problem.loads(&problem.origin),
            shares: shares_bytes(problem),
            servers_with_weight: problem.seats.iter().filter(|seat| seat.weight > 0).count(),
            are_equal: weights.all(|weight| Some(weight) == first),
        }
    }

    /// `a has 13 of 64 nodes; its share of 6 equal servers is 10 or 11: 2 nodes (3.1 %) go to f, which is new`
    pub(super) fn of(&self, leg: &Leg) -> String {
        let to = &self.problem.seats[leg.to];
        format!(
            "{}: {} ({}) {} to {}{}",
            self.cause(leg.from),
            plural(leg.nodes.len(), "node"),
            percent(leg.nodes.len() as u64, self.problem.node_count() as u64),
            if leg.nodes.len() == 1 { "goes" } else { "go" },
            to.name,
            self.about(leg.to),
        )
    }

    fn cause(&self, server: usize) -> String {
        let seat = &self.problem.seats[server];
        let node_count = self.problem.node_count();
        let load = self.loads[server];
        let has = format!(
            "{} has {} of {} nodes",
            seat.name, seat.nodes_before, node_count
        );
        if self.goal.is_none() {
            return format!("{has}, and the new topology gives some to others");
        }
        if seat.rules.is_emptied {
            return format!("{has} and is to be emptied");
        }
        if load > seat.limit() {
            return format!(
                "{} holds {}, more than its limit of {}",
                seat.name,
                bytes(load),
                bytes(seat.limit())
            );
        }
        match self.balance {
            Balance::Nodes if seat.nodes_before <= self.share_nodes(seat).0 => {
                format!("{has}, which is not too many, but memory limits call for an exchange")
            }
            Balance::Nodes => {
                let share = match self.share_nodes(seat) {
                    (low, true) => low.to_string(),
                    (low, false) => format!("{low} or {}", low + 1),
                };
                format!("{has}; {} {share}", self.whose_share(seat))
            }
            Balance::Bytes { .. } if load <= self.shares[server] => format!(
                "{} holds {}, which is not too much, but an exchange brings servers nearer to their shares",
                seat.name,
                bytes(load)
            ),
            Balance::Bytes { .. } => format!(
                "{} holds {}; {} {}",
                seat.name,
                bytes(load),
                self.whose_share(seat),
                bytes(self.shares[server])
            ),
        }
    }

    fn whose_share(&self, seat: &Seat) -> String {
        match self.are_equal {
            true => format!("its share of {} is", equal(self.servers_with_weight)),
            false => format!(
                "its share by weight {} of {} is",
                seat.weight,
                self.problem.weight_total()
            ),
        }
    }

    /// A server's share in whole nodes, rounded down, and whether it is that exactly.
    fn share_nodes(&self, seat: &Seat) -> (usize, bool) {
        let product = self.problem.node_count() as u64 * u64::from(seat.weight);
        let total = self.problem.weight_total().max(1);
        // Below the number of nodes.
        ((product / total) as usize, product.is_multiple_of(total))
    }

    fn about(&self, server: usize) -> String {
        let seat = &self.problem.seats[server];
        match (seat.nodes_before, seat.is_old) {
            (0, false) => ", which is new".to_owned(),
            (0, true) => ", which has none".to_owned(),
            (nodes, _) => match self.balance {
                Balance::Nodes => format!(", which has {nodes}"),
                Balance::Bytes { .. } => format!(", which holds {}", bytes(self.loads[server])),
            },
        }
    }
}

fn equal(servers: usize) -> String {
    match servers {
        1 => "1 server".to_owned(),
        _ => format!("{servers} equal servers"),
    }
}

/// `1 node`, `2 nodes`.
pub(super) fn plural(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// `3.1 %`, rounded half up.
pub(super) fn percent(part: u64, whole: u64) -> String {
    let permille = (u128::from(part) * 1_000 + u128::from(whole) / 2) / u128::from(whole.max(1));
    format!("{}.{} %", permille / 10, permille % 10)
}

/// `1.5 MiB`.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = number as f64;
    let mut unit = 0;
    // Rounded first, so that nothing is printed as 1024.0 KiB.
    while (size * 10.0).round() >= 10_240.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{number} B"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}

/// `0-12,40`.
pub(super) fn ranges(nodes: &[NodeId]) -> String {
    crate::config::node_ranges(nodes)
}

/// The same of indices.
pub(super) fn ids(nodes: &[usize]) -> Vec<NodeId> {
    nodes.iter().map(|&node| node_id(node)).collect()
}
