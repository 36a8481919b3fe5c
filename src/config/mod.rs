//! Configuration: a TOML file, or code, becomes a [`Config`], which cannot be wrong.
//!
//! Every setting with its default, unit and consequence is in [`REFERENCE`]. An error names file, line and column, what was read,
//! what was expected and what to do; no error and no Debug shows a password.

mod address;
mod builder;
mod file;
mod mask;
mod nodes;
mod quantity;
mod reader;
mod schema;
mod secret;
mod section;
mod settings;
mod source;
#[cfg(test)]
mod tests;

pub use address::{Address, Endpoint, Tls};
pub use builder::ConfigBuilder;
pub use nodes::show_ranges as node_ranges;
pub use reader::ConfigReader;
pub use secret::{Password, Secret};
pub use settings::{
    Limits, Mode, MultiKey, Pool, Protocol, ReceiveBuffer, Retry, Startup, Tcp, Timeouts,
};
pub use source::ConfigError;

pub(crate) use quantity::parse_size;
pub(crate) use schema::closest;
pub(crate) use source::{Problem, Source};

use crate::{placement::Placement, topology::Topology};
use std::{path::Path, sync::Arc};

/// An example file with every setting at its default, and what each one does.
pub const REFERENCE: &str = include_str!("reference.toml");

/// One server of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// Its name in the file, `[servers.NAME]`: `[A-Za-z0-9_.-]{1,40}`.
    pub name: Arc<str>,
    /// How to reach it. A reload keeps the connections of servers whose endpoint is equal.
    pub endpoint: Endpoint,
}

/// Everything that a cluster is told: placement, topology, servers and limits. A value of this type has passed every check.
#[derive(Clone, Debug)]
pub struct Config {
    name: Arc<str>,
    mode: Mode,
    protocol: Protocol,
    multi_key: MultiKey,
    startup: Startup,
    placement: Placement,
    topology: Arc<Topology>,
    servers: Arc<[Server]>,
    timeouts: Timeouts,
    retry: Retry,
    pool: Pool,
    limits: Limits,
    tcp: Tcp,
}

impl Config {
    /// Reads a TOML file; `${NAME}` is taken from the process's environment. Relative paths in it are relative to it. A file whose placement
    /// is a function in code is for a [`ConfigReader`].
    ///
    /// # Errors
    /// [`ConfigError`], for a file that cannot be read or that says something wrong.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Config, ConfigError> {
        ConfigReader::new().read(path)
    }

    /// Reads TOML text. `origin` names the text in messages, and relative paths are relative to its directory; `env` answers
    /// `${NAME}`.
    ///
    /// # Errors
    /// [`ConfigError`], for a text that says something wrong.
    ///
    /// ```
    /// let text = "name = \"feeds\"\n[timeouts]\nconnect = \"1 fortnight\"\n";
    /// let error = keyway::Config::parse(text, "cluster.toml".as_ref(), &|_| None).unwrap_err();
    /// assert_eq!((error.line(), error.setting()), (Some(3), "timeouts.connect"));
    /// ```
    pub fn parse(
        text: &str,
        origin: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        ConfigReader::new().parse(text, origin, env)
    }

    /// Starts a configuration in code. `name` is the cluster's, `[A-Za-z0-9_.-]{1,40}`.
    pub fn builder(name: impl Into<String>) -> ConfigBuilder {
        ConfigBuilder::new(name.into())
    }

    /// The cluster's name, which is part of its connections' names.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a dead server means to callers.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Which version of the Redis protocol all connections speak.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether commands with keys on several nodes are split.
    pub fn multi_key(&self) -> MultiKey {
        self.multi_key
    }

    /// Whether connecting needs every server.
    pub fn startup(&self) -> Startup {
        self.startup
    }

    /// Key to node.
    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    /// Node to server.
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// The servers, in the order of the topology's [`ServerId`](crate::topology::ServerId)s.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// How long things may take.
    pub fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    /// What happens to commands that are safe to send again.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// How many connections each server gets.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Bounds on memory.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Socket options.
    pub fn tcp(&self) -> &Tcp {
        &self.tcp
    }
}

/// A file larger than this is not a configuration.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

pub(crate) fn read(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind, Read};
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::new(ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    Ok(text)
}
