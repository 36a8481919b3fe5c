//! Reload: another topology for the same placement.

use super::{Core, cannot_connect, closed};
use crate::config::Config;
use crate::error::{Error, ErrorKind};
use crate::placement::NodeId;
use crate::pool::{self, Server};
use crate::topology::NodeMove;
use std::sync::Arc;
use std::time::Instant;

/// What a [`Cluster::reload`](crate::Cluster::reload) changed.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Reloaded {
    /// Nodes that are on another server now.
    pub moved: Vec<NodeMove>,
    /// Servers to which new connections were made, by name.
    pub connected: Vec<Arc<str>>,
    /// Servers whose connections were ended, by name.
    pub dropped: Vec<Arc<str>>,
}
impl Core {
    pub(super) async fn reload(&self, config: Config) -> Result<Reloaded, Error> {
        let control = self.scatter.control();
        let writer = control.writer().await;
        if *self.closed.borrow() {
            return Err(closed());
        }
        let old = control.load_full();
        check_reload(&old.config, &config)?;
        let servers = pool::connect(
            &config,
            &old.servers,
            &self.admission,
            old.generation + 1,
            &self.runtime,
        )
        .await
        .map_err(|(name, error)| cannot_connect(&name, &error))?;
        let patience = config.timeouts().dead;
        let (old, new) = writer.switch(Arc::new(config), servers);
        self.hub.follow(&new);
        if *self.closed.borrow() {
            for server in &new.servers {
                server.drain();
            }
            return Err(closed());
        }
        let mut tell: Vec<(Arc<Server>, Vec<NodeId>)> = new
            .servers
            .iter()
            .map(|server| (server.clone(), Vec::new()))
            .collect();
        for (id, server) in old.topology.servers().zip(&old.servers) {
            // A node has moved when another connection serves it, even if the server only changed its settings.
            let moved = old
                .topology
                .nodes_of(id)
                .filter(|node| !Arc::ptr_eq(new.server_of(*node), server))
                .collect();
            match tell
                .iter_mut()
                .find(|(known, _)| Arc::ptr_eq(known, server))
            {
                Some((_, nodes)) => *nodes = moved,
                None => tell.push((server.clone(), moved)),
            }
        }
        pool::advance(
            tell,
            new.generation,
            new.topology.epoch().0,
            Instant::now() + patience,
        )
        .await;
        let is_kept = |list: &[Arc<Server>], server: &Arc<Server>| {
            list.iter().any(|other| Arc::ptr_eq(other, server))
        };
        let mut reloaded = Reloaded {
            moved: old.topology.diff(&new.topology),
            ..Reloaded::default()
        };
        for server in old
            .servers
            .iter()
            .filter(|server| !is_kept(&new.servers, server))
        {
            server.drain();
            reloaded.dropped.push(server.name().clone());
        }
        reloaded.connected = new
            .servers
            .iter()
            .filter(|server| !is_kept(&old.servers, server))
            .map(|server| server.name().clone())
            .collect();
        tracing::info!(
            target: "keyway::control",
            generation = new.generation,
            moved = reloaded.moved.len(),
            connected = reloaded.connected.len(),
            dropped = reloaded.dropped.len(),
            "topology switched"
        );
        Ok(reloaded)
    }
}
/// What a reload may not change.
fn check_reload(old: &Config, new: &Config) -> Result<(), Error> {
    let refuse = |why: String| Err(Error::new(ErrorKind::Configuration, why));
    if old.placement() != new.placement() {
        return refuse(format!(
            "the placement differs ({} before, {} now): keys would be looked for where they are not. Placement is fixed for the life of \
             the data; only which server a node lives on may change",
            old.placement().describe(),
            new.placement().describe()
        ));
    }
    if old.name() != new.name() {
        return refuse(format!(
            "the name differs ({:?} before, {:?} now): this is another cluster's file",
            old.name(),
            new.name()
        ));
    }
    if old.protocol() != new.protocol() {
        return refuse("the protocol differs: reply shapes would change under the callers; connect anew for that".to_owned());
    }
    Ok(())
}
