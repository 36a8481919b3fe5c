//! A server that the caller named, and the keys that must live there.

use crate::control::Current;
use crate::placement::NodeId;
use crate::pool::Server;
use crate::topology::ServerId;

/// Where a command by `on_server(name)` goes.
#[derive(Debug)]
pub(crate) struct Named<'a> {
    pub(crate) name: &'a str,
    /// The keys of a write, with their nodes. A read may look for any key.
    pub(crate) keys: Vec<(NodeId, &'a [u8])>,
}

impl<'a> Named<'a> {
    /// For what need not be at home there.
    pub(crate) fn only(name: &'a str) -> Named<'a> {
        let keys = Vec::new();
        Named { name, keys }
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.keys.iter().map(|(node, _)| *node)
    }

    /// The server in this topology. Each attempt asks again: a reload may have taken a key's node away since the last one, and a write
    /// that went to its old server would be found by nobody.
    ///
    /// # Errors
    /// Why the command is refused.
    pub(crate) fn find(&self, current: &Current<Server>) -> Result<ServerId, String> {
        let Named { name, keys } = self;
        let id = current
            .topology
            .server_by_name(name)
            .ok_or_else(|| format!("the topology has no server {name:?} any more"))?;
        let away = keys
            .iter()
            .find(|(node, _)| current.topology.server_of(*node) != id);
        match away {
            None => Ok(id),
            Some((node, key)) => Err(format!(
                "the key \"{}\" belongs to node {node}, which lives on server {:?}, not on {name:?}",
                key.escape_ascii(),
                current.server_of(*node).name()
            )),
        }
    }
}
