use crate::control::Current;
use crate::pool::Server;
use std::sync::Arc;
use std::time::Duration;

/// Which servers are connected, at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Every server of the topology, by name.
    pub servers: Vec<ServerHealth>,
}

/// One server's state.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerHealth {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// How many nodes live on it.
    pub nodes: usize,
    /// Whether all its shared connections are up.
    pub is_up: bool,
    /// For how long it has been away.
    pub down_for: Option<Duration>,
    /// Why the last dial failed.
    pub cause: Option<String>,
}

impl Health {
    pub(super) fn of(current: &Current<Server>) -> Health {
        let servers = current
            .topology
            .servers()
            .zip(&current.servers)
            .map(|(id, server)| {
                let outage = server.outage();
                ServerHealth {
                    name: server.name().clone(),
                    nodes: current.topology.nodes_of(id).count(),
                    is_up: server.is_up(),
                    down_for: outage.as_ref().map(|(since, _)| since.elapsed()),
                    cause: outage
                        .and_then(|(_, cause)| cause)
                        .map(|cause| cause.to_string()),
                }
            })
            .collect();
        Health { servers }
    }

    /// Whether every server that owns a node is connected.
    pub fn is_ready(&self) -> bool {
        self.servers
            .iter()
            .all(|server| server.is_up || server.nodes == 0)
    }
}
