//! Control: where the topology comes from, and the one writer of what calls route by.
//!
//! Today a file; later a Redis. A call loads [`Current`] once per attempt and never sees half a switch.

use crate::config::Config;
use crate::placement::NodeId;
use crate::topology::{ServerId, Topology};
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard, watch};

/// What one attempt routes by. Immutable; a switch makes a new one with the next generation.
#[derive(Debug)]
pub(crate) struct Current<S> {
    /// Process-local number; what outboxes compare.
    pub(crate) generation: u64,
    pub(crate) config: Arc<Config>,
    pub(crate) topology: Arc<Topology>,
    /// By `ServerId`.
    pub(crate) servers: Box<[Arc<S>]>,
}

impl<S> Current<S> {
    pub(crate) fn node(&self, key: &[u8]) -> NodeId {
        self.config.placement().node(key)
    }

    pub(crate) fn server(&self, id: ServerId) -> &Arc<S> {
        &self.servers[id.index()]
    }

    pub(crate) fn server_of(&self, node: NodeId) -> &Arc<S> {
        &self.servers[self.topology.server_of(node).index()]
    }
}

/// Holds the current topology; the only thing that replaces it is [`Writer::switch`].
#[derive(Debug)]
pub(crate) struct Control<S> {
    // ArcSwap in place of a RwLock: every call reads, a reload writes, and readers on many threads must not share a lock's cache line.
    current: ArcSwap<Current<S>>,
    writer: Mutex<()>,
    changed: watch::Sender<u64>,
}

/// The right to switch, held by one reload at a time.
pub(crate) struct Writer<'a, S> {
    control: &'a Control<S>,
    _turn: MutexGuard<'a, ()>,
}

impl<S> Control<S> {
    pub(crate) fn new(config: Arc<Config>, servers: Box<[Arc<S>]>) -> Control<S> {
        let topology = config.topology().clone();
        let first = Current {
            generation: 1,
            config,
            topology,
            servers,
        };
        Control {
            current: ArcSwap::from_pointee(first),
            writer: Mutex::new(()),
            changed: watch::Sender::new(1),
        }
    }

    /// Borrowed for the length of a routing decision.
    pub(crate) fn load(&self) -> Guard<Arc<Current<S>>> {
        self.current.load()
    }

    /// Owned, for whoever awaits while holding it.
    pub(crate) fn load_full(&self) -> Arc<Current<S>> {
        self.current.load_full()
    }

    /// Hears of every switch.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) async fn writer(&self) -> Writer<'_, S> {
        Writer {
            control: self,
            _turn: self.writer.lock().await,
        }
    }
}

impl<S> Writer<'_, S> {
    /// Publishes the next topology and returns what it replaced, and the new one. From here on no call routes by the old; those that
    /// already have are refused by the outboxes once `generation` was told to them.
    pub(crate) fn switch(
        &self,
        config: Arc<Config>,
        servers: Box<[Arc<S>]>,
    ) -> (Arc<Current<S>>, Arc<Current<S>>) {
        let old = self.control.current.load_full();
        let topology = config.topology().clone();
        let new = Arc::new(Current {
            generation: old.generation + 1,
            config,
            topology,
            servers,
        });
        self.control.current.store(new.clone());
        self.control.changed.send_replace(new.generation);
        (old, new)
    }
}
