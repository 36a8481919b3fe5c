//! A configuration in the making: what a file is read into, and what code fills. The checks are the same for both.

use super::{
    Config, ConfigError, Endpoint, Limits, Mode, MultiKey, Pool, Protocol, Retry, Startup, Tcp,
    Timeouts,
};
use crate::placement::{NodeId, Placement};

/// A configuration in the making, in code. [`build`](ConfigBuilder::build) makes the same checks as a file gets.
#[derive(Clone, Debug)]
pub struct ConfigBuilder {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) protocol: Protocol,
    pub(super) multi_key: MultiKey,
    pub(super) startup: Startup,
    pub(super) placement: Option<Placement>,
    pub(super) servers: Vec<ServerDraft>,
    pub(super) timeouts: Timeouts,
    pub(super) retry: Retry,
    pub(super) pool: Pool,
    pub(super) limits: Limits,
    pub(super) tcp: Tcp,
}

#[derive(Clone, Debug)]
pub(super) struct ServerDraft {
    pub(super) name: String,
    pub(super) endpoint: Endpoint,
    pub(super) nodes: Vec<NodeId>,
}

impl ConfigBuilder {
    pub(super) fn new(name: String) -> ConfigBuilder {
        ConfigBuilder {
            name,
            mode: Mode::default(),
            protocol: Protocol::default(),
            multi_key: MultiKey::default(),
            startup: Startup::default(),
            placement: None,
            servers: Vec::new(),
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            pool: Pool::default(),
            limits: Limits::default(),
            tcp: Tcp::default(),
        }
    }

    /// Key to node. Required.
    pub fn placement(self, placement: Placement) -> Self {
        ConfigBuilder {
            placement: Some(placement),
            ..self
        }
    }

    /// Adds a server and the nodes that live on it, by number: `0..32`, `[0, 7]`; none is allowed. At least one server is required.
    pub fn server(
        mut self,
        name: impl Into<String>,
        endpoint: Endpoint,
        nodes: impl IntoIterator<Item = u16>,
    ) -> Self {
        let nodes = nodes.into_iter().map(NodeId).collect();
        self.servers.push(ServerDraft {
            name: name.into(),
            endpoint,
            nodes,
        });
        self
    }

    /// What a dead server means. Default [`Mode::Store`].
    pub fn mode(self, mode: Mode) -> Self {
        ConfigBuilder { mode, ..self }
    }

    /// Version of the Redis protocol. Default [`Protocol::Resp2`].
    pub fn protocol(self, protocol: Protocol) -> Self {
        ConfigBuilder { protocol, ..self }
    }

    /// Whether commands with keys on several nodes are split. Default [`MultiKey::Split`].
    pub fn multi_key(self, multi_key: MultiKey) -> Self {
        ConfigBuilder { multi_key, ..self }
    }

    /// Whether connecting needs every server. Default [`Startup::Lazy`].
    pub fn startup(self, startup: Startup) -> Self {
        ConfigBuilder { startup, ..self }
    }

    /// How long things may take. Default [`Timeouts::default`].
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        ConfigBuilder { timeouts, ..self }
    }

    /// What happens to commands that are safe to send again. Default [`Retry::default`].
    pub fn retry(self, retry: Retry) -> Self {
        ConfigBuilder { retry, ..self }
    }

    /// How many connections each server gets. Default [`Pool::default`].
    pub fn pool(self, pool: Pool) -> Self {
        ConfigBuilder { pool, ..self }
    }

    /// Bounds on memory. Default [`Limits::default`].
    pub fn limits(self, limits: Limits) -> Self {
        ConfigBuilder { limits, ..self }
    }

    /// Socket options. Default [`Tcp::default`].
    pub fn tcp(self, tcp: Tcp) -> Self {
        ConfigBuilder { tcp, ..self }
    }

    /// Checks everything.
    ///
    /// # Errors
    /// [`ConfigError`], the same as a file gets, without a line.
    pub fn build(self) -> Result<Config, ConfigError> {
        let _ = self;
        Err(ConfigError::default())
    }
}
