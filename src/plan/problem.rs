//! A goal in numbers: servers and nodes by index, what each may do, what each may hold.

use crate::placement::NodeId;
use crate::plan::size::{NodeSize, Sizes};
use crate::topology::Topology;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a server may do under a goal. By default nothing: what it has stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    /// Nodes may leave it.
    pub(super) gives: bool,
    /// Nodes may come.
    pub(super) takes: bool,
    /// All its nodes must leave.
    pub(super) is_emptied: bool,
    /// It gets no more than its share, rounded up.
    pub(super) only_its_share: bool,
}

/// One server.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) name: Arc<str>,
    pub(super) weight: u32,
    pub(super) memory_bytes_max: Option<u64>,
    pub(super) nodes_before: usize,
    /// The old topology has it.
    pub(super) is_old: bool,
    pub(super) rules: Rules,
}

impl Seat {
    pub(super) fn new(name: Arc<str>, weight: u32, memory_bytes_max: Option<u64>) -> Seat {
        Seat {
            name,
            weight,
            memory_bytes_max,
            nodes_before: 0,
            is_old: false,
            rules: Rules::default(),
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.memory_bytes_max.unwrap_or(u64::MAX)
    }
}

/// Servers, sorted by name, and the nodes on them.
pub(super) struct Problem<'a> {
    pub(super) seats: Vec<Seat>,
    /// The server of each node, before.
    pub(super) origin: Vec<usize>,
    pub(super) sizes: &'a [NodeSize],
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        old: &Topology,
        seats: BTreeMap<Arc<str>, Seat>,
        sizes: &'a Sizes,
    ) -> Problem<'a> {
        let seats: Vec<Seat> = seats.into_values().collect();
        let mut origin = vec![0; old.node_count()];
        for (index, seat) in seats.iter().enumerate() {
            if let Some(server) = old.server_by_name(&seat.name) {
                for node in old.nodes_of(server) {
                    origin[node.index()] = index;
                }
            }
        }
        Problem {
            seats,
            origin,
            sizes: &sizes.nodes,
        }
    }

    pub(super) fn node_count(&self) -> usize {
        self.origin.len()
    }

    pub(super) fn weight_total(&self) -> u64 {
        self.seats.iter().map(|seat| u64::from(seat.weight)).sum()
    }

    pub(super) fn bytes(&self, node: usize) -> u64 {
        self.sizes[node].bytes
    }

    /// Nodes of every server in this assignment, each ascending.
    pub(super) fn nodes_by_server(&self, assignment: &[usize]) -> Vec<Vec<usize>> {
        let mut nodes = vec![Vec::new(); self.seats.len()];
        for (node, &server) in assignment.iter().enumerate() {
            nodes[server].push(node);
        }
        nodes
    }

    /// Bytes of every server in this assignment. No sum overflows: the total was checked.
    pub(super) fn loads(&self, assignment: &[usize]) -> Vec<u64> {
        let mut loads = vec![0; self.seats.len()];
        for (node, &server) in assignment.iter().enumerate() {
            loads[server] += self.bytes(node);
        }
        loads
    }

    /// Whether the node may end on this server.
    pub(super) fn may_be(&self, node: usize, server: usize) -> bool {
        let origin = self.origin[node];
        match server == origin {
            true => !self.seats[origin].rules.is_emptied,
            false => self.seats[origin].rules.gives && self.seats[server].rules.takes,
        }
    }

    /// The nodes that most limits are about, in the order in which a server gives them away: small first, and of equal ones the last, so that
    /// ranges stay ranges.
    pub(super) fn by_size(&self, nodes: &mut [usize]) {
        nodes.sort_by_key(|&node| (self.bytes(node), std::cmp::Reverse(node)));
    }
}

/// A node id of an index, which is below [`NODES_MAX`](crate::placement::NODES_MAX) as it comes from a topology.
pub(super) fn node_id(node: usize) -> NodeId {
    NodeId(node as u16)
}
