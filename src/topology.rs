//! Topology: which server each node lives on, at an epoch. Immutable; a change makes a new one.

use crate::placement::{NODES_MAX, NodeId};
use std::sync::Arc;

/// Number of a server within one topology: its position in the list of servers, which is sorted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u16);

impl ServerId {
    /// The number as an index into per-server tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Cluster-wide number of a topology. 0 for a topology that comes from a plain file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// What a node may be asked to do now. A plain file only ever says `Serving`; the other states belong to live moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeState {
    /// Reads and writes go to the node's server.
    #[default]
    Serving,
    /// Nothing is sent; callers wait for the next topology within their deadline.
    Frozen,
    /// Keys are being installed on `to`; a key is fetched from `from` before its first command.
    Importing {
        /// Where the node's keys come from.
        from: ServerId,
        /// Where the node's keys go to.
        to: ServerId,
    },
    /// Writes are refused.
    ReadOnly {
        /// Why, for the error that a write gets.
        reason: Arc<str>,
    },
}

/// A topology that cannot be. The message names the node or the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopologyError {
    /// There is nothing to serve.
    #[error("a topology of 0 nodes; expected 1 to {NODES_MAX}")]
    NoNodes,
    /// More nodes than a node id or a placement can hold.
    #[error("a topology of {0} nodes; expected 1 to {NODES_MAX}")]
    TooManyNodes(usize),
    /// More servers than a server id can hold.
    #[error("a topology of {0} servers; expected at most {SERVERS_MAX}")]
    TooManyServers(usize),
    /// A server without a name.
    #[error("a server has an empty name; give every server a name")]
    EmptyServerName,
    /// Two servers of one name.
    #[error("two servers are named {0}; expected each name once")]
    RepeatedServer(Arc<str>),
    /// A node that the placement does not have.
    #[error("server {server} has node {node}; expected 0 to {max}", max = node_count.saturating_sub(1))]
    NodeOutOfRange {
        /// The node that does not exist.
        node: NodeId,
        /// The server that lists it.
        server: Arc<str>,
        /// How many nodes there are.
        node_count: usize,
    },
    /// A node that two servers, or one server twice, claim.
    #[error(
        "node {node} is on {first} and on {second}; expected every node on exactly one server, once"
    )]
    NodeRepeated {
        /// The node claimed twice.
        node: NodeId,
        /// The server that comes first by name.
        first: Arc<str>,
        /// The other one; the same as `first` if it lists the node twice.
        second: Arc<str>,
    },
    /// A node that no server has.
    #[error("node {node} is on no server; expected every node on exactly one server")]
    NodeMissing {
        /// The first node without a server.
        node: NodeId,
    },
    /// As many states as nodes are needed.
    #[error("{states} node states for {node_count} nodes; expected one for each")]
    StatesMismatch {
        /// How many states were given.
        states: usize,
        /// How many nodes there are.
        node_count: usize,
    },
    /// A node that is imported from or to a server that is not there, from its own server, or to another than its own.
    #[error(
        "node {node} cannot be importing: `to` must be its own server and `from` another one of this topology"
    )]
    BadImport {
        /// The node with that state.
        node: NodeId,
    },
}

/// Most servers of one topology. Far above any fleet that a client could hold connections to.
pub const SERVERS_MAX: usize = 4_096;

/// One node that two topologies have on different servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeMove {
    /// The node.
    pub node: NodeId,
    /// Name of the server in the older topology.
    pub from: Arc<str>,
    /// Name of the server in the newer one.
    pub to: Arc<str>,
}

/// Which server each node lives on and what the node may be asked to do, at an epoch. Immutable.
///
/// A value of this type is right: every node is on exactly one server, and servers have unique names. A server may own no node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    epoch: Epoch,
    /// Indexed by node: what every command reads.
    server_of: Box<[ServerId]>,
    states: Box<[NodeState]>,
    plain: bool,
    /// Sorted by name.
    servers: Box<[Owner]>,
    tag: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    name: Arc<str>,
    nodes: Box<[NodeId]>,
}

impl Topology {
    /// Makes a topology in which every node is serving. Servers are sorted by name, which gives them their ids.
    ///
    /// # Errors
    /// [`TopologyError`] if a node is missing, on two servers or out of range, or if a server's name is empty or repeated.
    pub fn new(
        epoch: Epoch,
        node_count: usize,
        mut servers: Vec<(Arc<str>, Vec<NodeId>)>,
    ) -> Result<Topology, TopologyError> {
        match node_count {
            0 => return Err(TopologyError::NoNodes),
            1..=NODES_MAX => {}
            _ => return Err(TopologyError::TooManyNodes(node_count)),
        }
        if servers.len() > SERVERS_MAX {
            return Err(TopologyError::TooManyServers(servers.len()));
        }
        servers.sort_by(|a, b| a.0.cmp(&b.0));
        if servers.first().is_some_and(|(name, _)| name.is_empty()) {
            return Err(TopologyError::EmptyServerName);
        }
        if let Some(pair) = servers.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(TopologyError::RepeatedServer(pair[0].0.clone()));
        }

        let mut claimed: Vec<Option<ServerId>> = vec![None; node_count];
        for (id, (name, nodes)) in (0_u16..).map(ServerId).zip(&servers) {
            for &node in nodes {
                let Some(claim) = claimed.get_mut(node.index()) else {
                    return Err(TopologyError::NodeOutOfRange {
                        node,
                        server: name.clone(),
                        node_count,
                    });
                };
                if let Some(first) = claim.replace(id) {
                    let first = servers[first.index()].0.clone();
                    return Err(TopologyError::NodeRepeated {
                        node,
                        first,
                        second: name.clone(),
                    });
                }
            }
        }
        let mut server_of = Vec::with_capacity(node_count);
        for (node, claim) in (0_u16..).map(NodeId).zip(claimed) {
            server_of.push(claim.ok_or(TopologyError::NodeMissing { node })?);
        }

        let mut digest = crc32fast::Hasher::new();
        for server in &server_of {
            digest.update(servers[server.index()].0.as_bytes());
            // Names hold no 0 byte that a file could spell, so "ab","c" and "a","bc" differ.
            digest.update(&[0]);
        }
        let digest = digest.finalize();
        Ok(Topology {
            epoch,
            states: vec![NodeState::Serving; node_count].into(),
            plain: true,
            server_of: server_of.into(),
            servers: servers
                .into_iter()
                .map(|(name, mut nodes)| {
                    nodes.sort_unstable();
                    Owner {
                        name,
                        nodes: nodes.into(),
                    }
                })
                .collect(),
            tag: ((digest ^ (digest >> 12) ^ (digest >> 24)) & 0xfff) as u16,
        })
    }

    /// The same map with these states, one per node.
    ///
    /// # Errors
    /// [`TopologyError::StatesMismatch`] if there are more or fewer states than nodes; [`TopologyError::BadImport`].
    pub fn with_states(self, states: Vec<NodeState>) -> Result<Topology, TopologyError> {
        let node_count = self.node_count();
        if states.len() != node_count {
            return Err(TopologyError::StatesMismatch {
                states: states.len(),
                node_count,
            });
        }
        for (node, state) in (0_u16..).map(NodeId).zip(&states) {
            if let NodeState::Importing { from, to } = state
                && (from.index() >= self.servers.len() || from == to || *to != self.server_of(node))
            {
                return Err(TopologyError::BadImport { node });
            }
        }
        let plain = states.iter().all(|state| *state == NodeState::Serving);
        Ok(Topology {
            states: states.into(),
            plain,
            ..self
        })
    }

    /// The cluster-wide number of this topology; 0 if it comes from a plain file.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How many nodes there are; node ids are below it.
    pub fn node_count(&self) -> usize {
        self.server_of.len()
    }

    /// How many servers there are, those without a node included.
    pub fn server_count(&self) -> usize {
        self.servers.len()
    }

    /// The server that owns the node. One index.
    ///
    /// # Panics
    /// If the node is not of this topology, that is `node.index() >= node_count()`; a placement of the same configuration
    /// never yields one.
    #[inline]
    pub fn server_of(&self, node: NodeId) -> ServerId {
        self.server_of[node.index()]
    }

    /// What the node may be asked to do.
    ///
    /// # Panics
    /// As [`Topology::server_of`].
    #[inline]
    pub fn state_of(&self, node: NodeId) -> &NodeState {
        &self.states[node.index()]
    }

    /// True if every node is [`NodeState::Serving`], so that nobody needs to look at states.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The server's name.
    ///
    /// # Panics
    /// If the id is of another topology that has more servers.
    pub fn server_name(&self, server: ServerId) -> &Arc<str> {
        &self.servers[server.index()].name
    }

    /// The server of this name.
    pub fn server_by_name(&self, name: &str) -> Option<ServerId> {
        let index = self
            .servers
            .binary_search_by(|owner| (*owner.name).cmp(name))
            .ok()?;
        u16::try_from(index).ok().map(ServerId)
    }

    /// All servers, sorted by name.
    pub fn servers(&self) -> impl Iterator<Item = ServerId> + use<> {
        (0..self.servers.len() as u16).map(ServerId)
    }

    /// The nodes of a server, ascending; empty if it owns none.
    ///
    /// # Panics
    /// As [`Topology::server_name`].
    pub fn nodes_of(&self, server: ServerId) -> impl Iterator<Item = NodeId> + '_ {
        self.servers[server.index()].nodes.iter().copied()
    }

    /// The nodes that are on a server of another name in `newer`, ascending. Nodes that only one of the two has are left out;
    /// a cluster never sees that, for its placement is fixed.
    pub fn diff(&self, newer: &Topology) -> Vec<NodeMove> {
        (0_u16..)
            .map(NodeId)
            .zip(self.server_of.iter().zip(&newer.server_of))
            .map(|(node, (from, to))| (node, self.server_name(*from), newer.server_name(*to)))
            .filter(|(_, from, to)| from != to)
            .map(|(node, from, to)| NodeMove {
                node,
                from: from.clone(),
                to: to.clone(),
            })
            .collect()
    }

    /// A 12-bit digest of which server name each node is on: equal in every process for equal maps, whatever the epoch and
    /// the states. Put into SCAN cursors, so that a cursor from another map is noticed (missed by one in 4,096).
    pub fn tag(&self) -> u16 {
        self.tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(ids: &[u16]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn topology(node_count: usize, servers: &[(&str, &[u16])]) -> Result<Topology, TopologyError> {
        let servers = servers
            .iter()
            .map(|(name, ids)| (Arc::from(*name), nodes(ids)))
            .collect();
        Topology::new(Epoch(0), node_count, servers)
    }

    #[test]
    fn servers_are_sorted_by_name_and_own_their_nodes() {
        let topology = topology(4, &[("b", &[3, 0]), ("c", &[]), ("a", &[1, 2])]).unwrap();
        assert_eq!(topology.server_count(), 3);
        assert_eq!(
            topology
                .servers()
                .map(|s| topology.server_name(s).to_string())
                .collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert_eq!(topology.server_of(NodeId(0)), ServerId(1));
        assert_eq!(topology.server_of(NodeId(2)), ServerId(0));
        assert_eq!(
            topology.nodes_of(ServerId(1)).collect::<Vec<_>>(),
            nodes(&[0, 3])
        );
        assert_eq!(topology.nodes_of(ServerId(2)).count(), 0);
        assert_eq!(topology.server_by_name("c"), Some(ServerId(2)));
        assert_eq!(topology.server_by_name("d"), None);
        assert!(topology.is_plain());
    }

    #[test]
    fn a_map_that_is_not_a_partition_is_refused() {
        let say = |servers: &[(&str, &[u16])]| topology(3, servers).unwrap_err().to_string();
        insta::assert_snapshot!(say(&[("a", &[0, 1])]), @"node 2 is on no server; expected every node on exactly one server");
        insta::assert_snapshot!(say(&[("b", &[1, 2]), ("a", &[0, 1])]), @"node 1 is on a and on b; expected every node on exactly one server, once");
        insta::assert_snapshot!(say(&[("a", &[0, 1, 2, 2])]), @"node 2 is on a and on a; expected every node on exactly one server, once");
        insta::assert_snapshot!(say(&[("a", &[0, 1, 2, 3])]), @"server a has node 3; expected 0 to 2");
        insta::assert_snapshot!(say(&[("a", &[0]), ("a", &[1, 2])]), @"two servers are named a; expected each name once");
        insta::assert_snapshot!(say(&[("", &[0]), ("a", &[1, 2])]), @"a server has an empty name; give every server a name");
        assert_eq!(topology(0, &[("a", &[])]), Err(TopologyError::NoNodes));
        assert_eq!(
            topology(NODES_MAX + 1, &[("a", &[])]),
            Err(TopologyError::TooManyNodes(NODES_MAX + 1))
        );
    }

    #[test]
    fn diff_compares_names_not_ids() {
        let older = topology(4, &[("b", &[0, 1]), ("c", &[2, 3])]).unwrap();
        let newer = topology(4, &[("a", &[3]), ("b", &[0, 1]), ("c", &[2])]).unwrap();
        assert_eq!(
            older.diff(&newer),
            [NodeMove {
                node: NodeId(3),
                from: "c".into(),
                to: "a".into()
            }]
        );
        assert_eq!(older.diff(&older), []);
    }

    #[test]
    fn the_tag_follows_the_map_and_nothing_else() {
        let one = topology(2, &[("a", &[0]), ("b", &[1])]).unwrap();
        let listed_otherwise = topology(2, &[("b", &[1]), ("c", &[]), ("a", &[0])]).unwrap();
        let other = topology(2, &[("a", &[1]), ("b", &[0])]).unwrap();
        assert_eq!(one.tag(), listed_otherwise.tag());
        assert_ne!(one.tag(), other.tag());
        assert!(one.tag() < 1 << 12);
        let frozen = one
            .clone()
            .with_states(vec![NodeState::Frozen, NodeState::Serving])
            .unwrap();
        assert_eq!(one.tag(), frozen.tag());
        // Cursors live in the hands of users of other processes, so this number is data.
        assert_eq!(one.tag(), 2046);
    }

    #[test]
    fn states_are_checked() {
        let plain = topology(2, &[("a", &[0]), ("b", &[1])]).unwrap();
        let (a, b) = (ServerId(0), ServerId(1));
        let importing = |from, to| {
            plain
                .clone()
                .with_states(vec![NodeState::Importing { from, to }, NodeState::Serving])
        };
        let moving = importing(b, a).unwrap();
        assert!(!moving.is_plain());
        assert_eq!(
            *moving.state_of(NodeId(0)),
            NodeState::Importing { from: b, to: a }
        );
        assert_eq!(
            importing(a, b),
            Err(TopologyError::BadImport { node: NodeId(0) })
        );
        assert_eq!(
            importing(a, a),
            Err(TopologyError::BadImport { node: NodeId(0) })
        );
        assert_eq!(
            importing(ServerId(9), a),
            Err(TopologyError::BadImport { node: NodeId(0) })
        );
        assert!(plain.with_states(vec![NodeState::Serving]).is_err());
    }
}
