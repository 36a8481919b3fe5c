//! The cluster: what a service holds. Connect, then everything that users of redis-rs know works.

mod batch;
mod call;
mod dedicated;
mod execute;
mod health;
mod pubsub;
mod reload;
mod routed;
mod scripts;
mod servers;

pub use crate::pubsub::{Message, PubSubEvent, Subscription};
pub use batch::{Batch, BatchReply, Replies};
pub use dedicated::Dedicated;
pub use health::{Health, ServerHealth};
pub use pubsub::PubSub;
pub use routed::Routed;
pub use servers::{ServerReply, Servers};

pub use reload::Reloaded;

use crate::config::Config;
use crate::connection::Admission;
use crate::control::{Control, Current};
use crate::deadline;
use crate::error::{Error, ErrorKind};
use crate::placement::NodeId;
use crate::pool::{self, Lane, Server};
use crate::pubsub::{self as listening, Hub};
use crate::routing::Scope;
use crate::scatter::{Manner, Scatter, Tried};
use crate::stats::{ServerSnapshot, StatsSnapshot};
use futures::TryFutureExt;
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, RedisFuture, ToRedisArgs, Value};
use scripts::ScriptBook;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A cluster of Redis servers, as one connection.
///
/// Cheap to clone, `Send + Sync`; clones share everything. It is a [`redis::aio::ConnectionLike`], so `redis::AsyncCommands`,
/// `redis::pipe()`, `redis::Script` and whatever else takes one work on it. Commands with one key cost one round trip; those over many
/// keys one round trip per server, all at once.
///
/// **Deadline**: every call ends within `timeouts.response` (or [`with_timeout`](Cluster::with_timeout)), queueing, dialling and retries
/// included. **Dropped futures**: a call whose future is dropped before its first poll does nothing; a command that is still queued is
/// not sent; one that was written is executed, and its reply thrown away. Replies never shift. A dropped BLPOP, or another command that
/// waits and takes, may take the next push, and the value is lost: its connection is closed, but the server may serve it before it notices. Give
/// it a timeout and let it end in place of dropping it (in `select!`, for instance).
///
/// **Runtime**: connections are owned by the tokio runtime on which `connect` was called. Calls may come from any tokio runtime; when the
/// owner is shut down, every call, also one under way, ends with [`ErrorKind::Closed`] or, if it may have been executed,
/// [`ErrorKind::Unknown`]. When the last clone is dropped, connections end after what they have been given is answered.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use redis::AsyncCommands;
///
/// let cluster = keyway::Cluster::connect("cluster.toml").await?;
/// let mut redis = cluster.clone();
/// let _: () = redis.set("user:42:name", "ada").await?;
/// let names: Vec<Option<String>> = redis.mget(&["user:42:name", "user:7:name"]).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Cluster {
    core: Arc<Core>,
    lane: Lane,
    timeout: Option<Duration>,
}

pub(crate) struct Core {
    scatter: Scatter,
    admission: Arc<Admission>,
    scripts: ScriptBook,
    hub: Arc<Hub>,
    runtime: Handle,
    /// True once `close()` was called.
    closed: watch::Sender<bool>,
}

/// Where a key lives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// The part of the key that is hashed.
    pub hashed: Vec<u8>,
    /// The node: fixed for the life of the data.
    pub node: NodeId,
    /// The key is there and nowhere else. False where no key [has a home](crate::placement::Placement::has_homes): the node is then that of
    /// a channel of this name, and the key may be on any.
    pub is_home: bool,
    /// The node's name: its hashing identity.
    pub node_name: String,
    /// The server on which the node lives now.
    pub server: Arc<str>,
    /// That server's address.
    pub address: String,
    /// That server's database.
    pub database: u32,
}

impl Cluster {
    /// Reads a cluster file and connects to all its servers, in parallel. Takes as long as the slowest first dial, which is at most
    /// `timeouts.connect`. Dropping the future ends the connections that were begun.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] when the file is wrong (with line and column) or a server refuses this configuration: wrong password,
    /// TLS, a database that it does not have, cluster mode, data that is being moved. A server that cannot be reached is retried behind,
    /// unless `startup = "all"`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(path: impl AsRef<Path>) -> Result<Cluster, Error> {
        Cluster::connect_config(Config::from_file(path)?).await
    }

    /// As [`connect`](Cluster::connect), with a configuration made in code.
    ///
    /// # Errors
    /// As `connect`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect_config(config: Config) -> Result<Cluster, Error> {
        let runtime = Handle::current();
        let admission = Arc::new(Admission::new(config.name(), config.protocol()));
        let servers = pool::connect(&config, &[], &admission, 1, &runtime)
            .await
            .map_err(|(name, error)| cannot_connect(&name, &error))?;
        let hub = Hub::new(listening_manner(&config), runtime.clone());
        let scatter = Scatter::new(Control::new(Arc::new(config), servers));
        let core = Core {
            scatter,
            admission,
            scripts: ScriptBook::new(),
            hub,
            runtime,
            closed: watch::Sender::new(false),
        };
        Ok(Cluster {
            core: Arc::new(core),
            lane: Lane::Shared,
            timeout: None,
        })
    }

    /// The configuration in use.
    pub fn config(&self) -> Arc<Config> {
        self.current().config.clone()
    }

    /// The same cluster over its second lane of connections, for values of some hundred kilobytes and more: small commands on the first
    /// lane do not wait behind them. Order between the lanes is not kept. Connects when first used. A server on the same machine sends in pieces
    /// of [`tcp.bulk_receive_buffer`](crate::config::ReceiveBuffer), and serves others between them.
    pub fn bulk(&self) -> Cluster {
        Cluster {
            lane: Lane::Bulk,
            ..self.clone()
        }
    }

    /// The same cluster with another deadline for every call, in place of `timeouts.response`. Blocking commands add it to their own. A
    /// script whose deadline is above `timeouts.silence_max` goes over a connection of its own. No duration is too
    /// long: `Duration::MAX` is as good as no deadline.
    pub fn with_timeout(&self, timeout: Duration) -> Cluster {
        Cluster {
            timeout: Some(timeout),
            ..self.clone()
        }
    }

    /// Commands for the node of `key`: scripts that declare no key, commands that the table does not know. Declared keys must be on it, and
    /// the first argument of a command that the table does not know must be `key` itself; [`on_node`](Cluster::on_node) does not
    /// ask for that. Such a command takes a connection of its own for the time of its call, of which there are `pool.dedicated_max`. Where no key [has a home](crate::placement::Placement::has_homes), for the node whose turn it is, and any key.
    pub fn for_key(&self, key: impl ToRedisArgs) -> Routed {
        let key = key.to_redis_args().into_iter().next().unwrap_or_default();
        match self.home_of(&key) {
            Some(node) => Routed::to_home_of(self.clone(), node, key.into()),
            None => {
                let node = self.core.scatter.next_node(&Tried::default());
                Routed::to_node(self.clone(), node)
            }
        }
    }

    /// Commands for one node: scripts without keys, commands that the table does not know. Declared keys must be on it. No round trip.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the placement has no such node.
    pub fn on_node(&self, node: NodeId) -> Result<Routed, Error> {
        let nodes = self.current().topology.node_count();
        if node.index() >= nodes {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("there is no node {node}: the placement has {nodes}, from 0"),
            ));
        }
        Ok(Routed::to_node(self.clone(), node))
    }

    /// Commands for one server, administration included. A write to a key that lives elsewhere is refused, also if it has moved by the time
    /// the write is sent. A blocking command ends as [`Refused`](ErrorKind::Refused) when its key moves. No round trip.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] when the topology has no such server.
    pub fn on_server(&self, name: &str) -> Result<Routed, Error> {
        let current = self.current();
        match current.topology.server_by_name(name) {
            Some(id) => Ok(Routed::to_server(
                self.clone(),
                current.server(id).name().clone(),
            )),
            None => {
                let names: Vec<&str> = current
                    .servers
                    .iter()
                    .map(|server| &**server.name())
                    .collect();
                Err(Error::new(
                    ErrorKind::Invalid,
                    format!(
                        "there is no server {name:?}; there are {}",
                        names.join(", ")
                    ),
                ))
            }
        }
    }

    /// A connection of one's own to the server of `key`'s node: WATCH, MULTI typed by hand, WAIT, `redis::aio::transaction_async`. Waits
    /// for a place within the deadline; no round trip, but a dial when no idle connection is left. Where no key
    /// [has a home](crate::placement::Placement::has_homes), to the next server in turn that can be reached, and for any key.
    ///
    /// # Errors
    /// [`ErrorKind::NotSent`] when `pool.dedicated_max` are in use until the deadline, [`ErrorKind::ServerDown`].
    pub async fn dedicated(&self, key: impl ToRedisArgs) -> Result<Dedicated, Error> {
        let node = self.home_of(key);
        Dedicated::open(self.clone(), node).await
    }

    /// Channels and patterns of all servers.
    pub fn pubsub(&self) -> PubSub {
        PubSub::new(self.clone())
    }

    /// Commands that are sent together, each with its own typed result.
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    /// The servers, to ask each of them for itself.
    pub fn servers(&self) -> Servers {
        Servers::new(self.clone())
    }

    /// Where a key lives now. No round trip.
    pub fn locate(&self, key: impl AsRef<[u8]>) -> Location {
        let key = key.as_ref();
        let current = self.current();
        let node = current.node(key);
        let server = current.server_of(node);
        let endpoint = &server.settings().server.endpoint;
        Location {
            hashed: current.config.placement().hashed(key).to_vec(),
            node,
            is_home: current.config.placement().has_homes(),
            node_name: current.config.placement().node_name(node).to_owned(),
            server: server.name().clone(),
            address: endpoint.address.to_string(),
            database: endpoint.database,
        }
    }

    /// Which servers are connected now, for readiness probes. No round trip.
    pub fn health(&self) -> Health {
        Health::of(&self.current())
    }

    /// Counters and latencies of every server since it was first connected; those of servers that a reload dropped are gone. No round
    /// trip.
    pub fn stats(&self) -> StatsSnapshot {
        let hub = &self.core.hub;
        StatsSnapshot {
            servers: self
                .current()
                .servers
                .iter()
                .map(|server| ServerSnapshot {
                    pubsub: hub.snapshot(server),
                    ..server.stats().snapshot(server.in_flight())
                })
                .collect(),
            subscribers: hub.subscribers(),
        }
    }

    /// Sends one command and returns its reply; an error reply of the server is an `Err`. What `redis::cmd(..).query_async(..)` does, with
    /// this crate's own error. One round trip for a command with one key; see [`Cluster`] for the rest, the deadline and dropped futures: a
    /// dropped BLPOP may take the next push.
    ///
    /// With [`Cmd::set_no_response`] it returns nil once the command is queued, and the reply is thrown away. What is known by then (refused,
    /// no room, the server is down) is an error; what comes later is not, and nothing is retried: a write may be lost without a word. A command
    /// over several servers, a blocking one, and one that the table does not know are waited for all the same.
    ///
    /// # Errors
    /// Any but the configuration's; [`ErrorKind::UnexpectedReply`] when the reply is not a `T`, which may be after the command was executed.
    pub async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Error> {
        parse(name_of(cmd), self.execute(cmd, Scope::Cluster, None).await?)
    }

    /// Replaces the topology: nodes on other servers, servers added and dropped, changed settings. One round trip on every connection, all at
    /// once, and the dials of new servers. Connections whose settings are equal
    /// are kept. When it returns, every command that was routed by the old topology has been answered or has failed, and none can be sent
    /// any more. Blocking commands on nodes that moved are asked again on the new server, with what is left of their timeout.
    ///
    /// It moves no data: a node that is given another server must have its keys there already. Dropping the future does not stop it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], and nothing has changed: another placement, name or protocol; a new server that refuses us.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, Error> {
        let core = self.core.clone();
        // On the owner's runtime, so that a caller who gives up does not leave the switch half done.
        let task = self
            .core
            .runtime
            .spawn(async move { core.reload(config).await });
        task.await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Closed,
                "the runtime that owns the connections is gone",
            ))
        })
    }

    /// Ends all connections: new calls are refused, those under way are answered, for at most `timeouts.close` (default 5 s); what is
    /// outstanding then fails. For all clones. Dropping the future leaves the connections to end by themselves, with nothing cut off.
    ///
    /// # Errors
    /// [`ErrorKind::Unknown`] when something had to be cut off.
    pub async fn close(&self) -> Result<(), Error> {
        // First: a reload that is under way then closes what it has connected.
        self.core.closed.send_replace(true);
        self.core.hub.close();
        let current = self.current();
        let patience = current.config.timeouts().close;
        for server in &current.servers {
            server.drain();
        }
        let all_ended =
            futures::future::join_all(current.servers.iter().map(|server| server.ended()));
        if tokio::time::timeout(patience, all_ended).await.is_ok() {
            return Ok(());
        }
        for server in &current.servers {
            server.cut();
        }
        Err(Error::new(
            ErrorKind::Unknown,
            format!("commands were still unanswered after {patience:?}, and were cut off"),
        ))
    }

    /// Whether it is a clone of that one, on whichever lane and with whichever deadline.
    pub(crate) fn is_same_as(&self, other: &Cluster) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    pub(crate) fn current(&self) -> Arc<Current<Server>> {
        self.core.scatter.control().load_full()
    }

    pub(crate) fn scatter(&self) -> &Scatter {
        &self.core.scatter
    }

    /// Hears of `close()`.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.core.closed.subscribe()
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.core.hub
    }

    /// `None` where no key has one.
    fn home_of(&self, key: impl ToRedisArgs) -> Option<NodeId> {
        let current = self.core.scatter.control().load();
        if !current.config.placement().has_homes() {
            return None;
        }
        let args = key.to_redis_args();
        Some(current.node(args.first().map_or(&[][..], Vec::as_slice)))
    }

    pub(crate) fn manner(&self) -> Manner {
        self.manner_by(&self.core.scatter.control().load())
    }

    fn manner_by(&self, current: &Current<Server>) -> Manner {
        let started = Instant::now();
        Manner {
            lane: self.lane,
            started,
            deadline: deadline::after(started, self.response_timeout(current)),
        }
    }

    /// Of a call that was begun before, with this deadline. When it began follows from the timeout in use now, exact enough for statistics.
    fn manner_until(&self, current: &Current<Server>, deadline: Instant) -> Manner {
        let begun = deadline.checked_sub(self.response_timeout(current));
        Manner {
            lane: self.lane,
            started: begun.unwrap_or_else(Instant::now),
            deadline,
        }
    }

    fn response_timeout(&self, current: &Current<Server>) -> Duration {
        self.timeout.unwrap_or(current.config.timeouts().response)
    }
}

/// How subscriptions wait. What a reload changes of it takes effect with the next connect.
fn listening_manner(config: &Config) -> listening::Manner {
    let retry = config.retry();
    listening::Manner {
        hold: config.timeouts().dead,
        held_max: usize::try_from(config.limits().pubsub_bytes).unwrap_or(usize::MAX),
        pause_min: retry.backoff_min,
        pause_max: retry.backoff_max,
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the cluster has been closed")
}

fn cannot_connect(name: &Arc<str>, error: &crate::connection::DialError) -> Error {
    let kind = if error.is_configuration {
        ErrorKind::Configuration
    } else {
        ErrorKind::ServerDown
    };
    Error::new(kind, error.message.clone()).at_server(name)
}

/// A reply as the type that the caller wants; an error reply becomes an `Err`.
pub(crate) fn parse<T: FromRedisValue>(command: &str, value: Value) -> Result<T, Error> {
    if let Value::ServerError(error) = value {
        return Err(Error::from_server(error).of_command(command));
    }
    let shape = shape_of(&value);
    // redis-rs's own message repeats the value, which is the user's data and may end up in a log.
    redis::from_redis_value(value).map_err(|_| {
        let why = format!(
            "the reply is {shape}, which does not fit into {}",
            std::any::type_name::<T>()
        );
        Error::new(ErrorKind::UnexpectedReply, why).of_command(command)
    })
}

fn shape_of(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Int(_) => "an integer",
        Value::BulkString(_) | Value::SimpleString(_) | Value::VerbatimString { .. } => "a string",
        Value::Okay => "OK",
        Value::Array(_) => "an array",
        Value::Map(_) => "a map",
        Value::Set(_) => "a set",
        Value::Double(_) => "a double",
        Value::Boolean(_) => "a boolean",
        Value::BigNumber(_) => "a big number",
        _ => "of another kind",
    }
}

impl ConnectionLike for Cluster {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.execute(cmd, Scope::Cluster, None).map_err(Into::into))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let values = self
                .execute_pipeline(pipeline, Scope::Cluster, None)
                .await?;
            Ok(window(values, pipeline, offset, count))
        })
    }

    fn get_db(&self) -> i64 {
        // Each server has its own; the protocol's question has no answer, and 0 is the usual one.
        0
    }
}

/// redis-rs asks for the last `count` of `offset + count` replies. For a transaction we only ever have EXEC's.
pub(crate) fn window(
    values: Vec<Value>,
    pipeline: &Pipeline,
    offset: usize,
    count: usize,
) -> Vec<Value> {
    if pipeline.is_transaction() || (offset == 0 && count == values.len()) {
        return values;
    }
    values.into_iter().skip(offset).take(count).collect()
}

pub(crate) fn name_of(cmd: &Cmd) -> &str {
    match cmd.args_iter().next() {
        Some(redis::Arg::Simple(name)) => std::str::from_utf8(name).unwrap_or("?"),
        _ => "?",
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let current = self.current();
        f.debug_struct("Cluster")
            .field("name", &current.config.name())
            .field("nodes", &current.topology.node_count())
            .field("servers", &current.servers.len())
            .field("generation", &current.generation)
            .finish_non_exhaustive()
    }
}
