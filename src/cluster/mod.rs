//! The cluster: what a service holds. Connect, then everything that users of redis-rs know works.

mod batch;
mod dedicated;
mod health;
mod pubsub;
mod routed;
mod scripts;
mod servers;

pub use batch::{Batch, BatchReply, Replies};
pub use dedicated::Dedicated;
pub use health::{Health, ServerHealth};
pub use pubsub::{Message, PubSub, PubSubEvent};
pub use routed::Routed;
pub use servers::{ServerReply, Servers};

use crate::command::Rule;
use crate::config::Config;
use crate::connection::{Admission, Script};
use crate::control::{Control, Current};
use crate::error::{Error, ErrorKind};
use crate::gather;
use crate::placement::NodeId;
use crate::pool::{self, Lane, Server};
use crate::routing::{self, Known, Route, Scope};
use crate::scatter::{Body, Call, Entry, Manner, Scatter, Target};
use crate::stats::StatsSnapshot;
use crate::topology::NodeMove;
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, RedisFuture, ToRedisArgs, Value};
use scripts::ScriptBook;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::Instrument;

/// A cluster of Redis servers, as one connection.
///
/// Cheap to clone, `Send + Sync`; clones share everything. It is a [`redis::aio::ConnectionLike`], so `redis::AsyncCommands`,
/// `redis::pipe()`, `redis::Script` and whatever else takes one work on it. Commands with one key cost one round trip; those over many
/// keys one round trip per server, all at once.
///
/// **Deadline**: every call ends within `timeouts.response` (or [`with_timeout`](Cluster::with_timeout)), queueing, dialling and retries
/// included. **Dropped futures**: a call whose future is dropped before its first poll does nothing; a command that is still queued is
/// not sent; one that was written is executed, and its reply thrown away. Replies never shift.
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
    /// The node's name: its hashing identity.
    pub node_name: String,
    /// The server on which the node lives now.
    pub server: Arc<str>,
    /// That server's address.
    pub address: String,
    /// That server's database.
    pub database: u32,
}

/// What a [`Cluster::reload`] changed.
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
        let scatter = Scatter::new(Control::new(Arc::new(config), servers));
        let core = Core {
            scatter,
            admission,
            scripts: ScriptBook::new(),
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
    /// lane do not wait behind them. Order between the lanes is not kept. Connects when first used.
    pub fn bulk(&self) -> Cluster {
        Cluster {
            lane: Lane::Bulk,
            ..self.clone()
        }
    }

    /// The same cluster with another deadline for every call, in place of `timeouts.response`. Blocking commands add it to their own.
    pub fn with_timeout(&self, timeout: Duration) -> Cluster {
        Cluster {
            timeout: Some(timeout),
            ..self.clone()
        }
    }

    /// Commands for the node of `key`: scripts that declare no key, commands that the table does not know. Declared keys must be on it.
    pub fn for_key(&self, key: impl ToRedisArgs) -> Routed {
        let node = self.node_of(key);
        Routed::to_node(self.clone(), node)
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

    /// Commands for one server, administration included. A write to a key that lives elsewhere is refused. No round trip.
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
    /// for a place within the deadline; no round trip, but a dial when no idle connection is left.
    ///
    /// # Errors
    /// [`ErrorKind::NotSent`] when `pool.dedicated_max` are in use until the deadline, [`ErrorKind::ServerDown`].
    pub async fn dedicated(&self, key: impl ToRedisArgs) -> Result<Dedicated, Error> {
        let node = self.node_of(key);
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
            hashed: crate::hash::hash_tag(key).to_vec(),
            node,
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
        StatsSnapshot {
            servers: self
                .current()
                .servers
                .iter()
                .map(|server| server.stats().snapshot(server.in_flight()))
                .collect(),
        }
    }

    /// Sends one command and returns its reply; an error reply of the server is an `Err`. What `redis::cmd(..).query_async(..)` does, with
    /// this crate's own error. One round trip for a command with one key; see [`Cluster`] for the rest, the deadline and dropped futures.
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

    pub(crate) fn runtime(&self) -> &Handle {
        &self.core.runtime
    }

    fn node_of(&self, key: impl ToRedisArgs) -> NodeId {
        let args = key.to_redis_args();
        self.core
            .scatter
            .control()
            .load()
            .node(args.first().map_or(&[][..], Vec::as_slice))
    }

    pub(crate) fn manner(&self) -> Manner {
        let started = Instant::now();
        let timeout = self.timeout.unwrap_or_else(|| {
            self.core
                .scatter
                .control()
                .load()
                .config
                .timeouts()
                .response
        });
        Manner {
            lane: self.lane,
            started,
            deadline: started + timeout,
        }
    }

    /// Sends one command where it belongs. Error replies come as values.
    pub(crate) async fn execute(
        &self,
        cmd: &Cmd,
        scope: Scope,
        server: Option<&str>,
    ) -> Result<Value, Error> {
        // Most calls: one key, nothing special.
        if scope == Scope::Cluster
            && let Some((row, key)) = routing::simple(cmd)
        {
            let node = self.core.scatter.control().load().node(key);
            let known = Known {
                row: Some(row),
                is_read: row.access == crate::command::Access::Read,
            };
            let call = Call {
                cmd,
                known,
                target: Target::Node(node),
                script: None,
                manner: self.manner(),
            };
            return self.core.scatter.call(&call).await;
        }
        let args = routing::arguments(cmd);
        let known = routing::identify(&args, scope)?;
        let manner = self.manner();
        let route = {
            let current = self.core.scatter.control().load();
            routing::route(
                current.config.placement(),
                &args,
                known,
                scope,
                current.config.multi_key(),
            )?
        };
        let scatter = &self.core.scatter;
        let script = self.script_of(known, &args);
        match route {
            Route::Node(node) => {
                scatter
                    .call(&Call {
                        cmd,
                        known,
                        target: Target::Node(node),
                        script,
                        manner,
                    })
                    .await
            }
            Route::Blocking(node, wait) => {
                scatter
                    .call_blocking(
                        &Call {
                            cmd,
                            known,
                            target: Target::Node(node),
                            script,
                            manner,
                        },
                        wait,
                    )
                    .await
            }
            Route::Named => {
                let Some(name) = server else {
                    return Err(Error::new(
                        ErrorKind::Refused,
                        "say where it goes: cluster.on_server(name)",
                    )
                    .of_command(known.name()));
                };
                self.check_at_home(&args, known, name)?;
                let call = Call {
                    cmd,
                    known,
                    target: Target::Server(name),
                    script,
                    manner,
                };
                match known.row.map(|row| row.blocks(&args)) {
                    Some(Ok(Some(wait))) => scatter.call_blocking(&call, wait).await,
                    _ => scatter.call(&call).await,
                }
            }
            Route::Split(split, parts) => {
                let body = Body::Split { split, args, parts };
                one(scatter
                    .many(
                        vec![Entry {
                            cmd,
                            known,
                            body,
                            script: None,
                        }],
                        manner,
                    )
                    .await)
            }
            Route::Everywhere(merge) => {
                let entry = Entry {
                    cmd,
                    known,
                    body: Body::Everywhere(merge),
                    script: None,
                };
                let reply = one(scatter.many(vec![entry], manner).await)?;
                self.remember_scripts(known, &args, &reply);
                Ok(reply)
            }
            Route::Gather(gather, keys) => {
                gather::algebra(scatter, gather, &args, keys, manner).await
            }
            Route::Scan => gather::scan(scatter, cmd, &args, manner).await,
        }
    }

    /// Sends a pipeline. `Err` only when nothing was sent; what fails at one position is an error value there.
    pub(crate) async fn execute_pipeline(
        &self,
        pipeline: &Pipeline,
        scope: Scope,
        server: Option<&str>,
    ) -> Result<Vec<Value>, Error> {
        let cmds: Vec<&Cmd> = pipeline.cmd_iter().collect();
        let manner = self.manner();
        if pipeline.is_transaction() {
            return Ok(vec![
                self.execute_atomic(&cmds, scope, server, manner).await?,
            ]);
        }
        let mut entries = Vec::with_capacity(cmds.len());
        for cmd in cmds {
            let entry = self.entry(cmd, scope, server);
            if let Body::Refused(error) = entry.body {
                return Err(error);
            }
            entries.push(entry);
        }
        self.learn_scripts(&mut entries);
        let results = self.core.scatter.many(entries, manner).await;
        Ok(results
            .into_iter()
            .map(|result| result.unwrap_or_else(Error::into_value))
            .collect())
    }

    async fn execute_atomic(
        &self,
        cmds: &[&Cmd],
        scope: Scope,
        server: Option<&str>,
        manner: Manner,
    ) -> Result<Value, Error> {
        let mut node = None;
        let mut items = Vec::with_capacity(cmds.len());
        let mut scripts = Vec::new();
        for cmd in cmds {
            let args = routing::arguments(cmd);
            let known = routing::identify(&args, scope)?;
            let route = {
                let current = self.core.scatter.control().load();
                routing::route(
                    current.config.placement(),
                    &args,
                    known,
                    scope,
                    crate::config::MultiKey::Refuse,
                )?
            };
            match (route, server) {
                // Inside a transaction a blocking command does not block.
                (Route::Node(to) | Route::Blocking(to, _), _) => {
                    let first = *node.get_or_insert((to, known.name()));
                    if first.0 != to {
                        let why = format!(
                            "a transaction needs all its keys on one node: {} goes to node {}, {} to node {to}. Keys with the same hash \
                             tag share a node: \"{{user:42}}:a\" and \"{{user:42}}:b\"",
                            first.1,
                            first.0,
                            known.name()
                        );
                        return Err(Error::new(ErrorKind::CrossNode, why).of_command(known.name()));
                    }
                }
                (Route::Named, Some(name)) => self.check_at_home(&args, known, name)?,
                _ => {
                    let why = "it goes to several nodes or servers, so it cannot be part of a transaction";
                    return Err(Error::new(ErrorKind::Refused, why).of_command(known.name()));
                }
            }
            scripts.extend(self.script_of(known, &args));
            items.push((*cmd, known));
        }
        let target = match (server, node) {
            (Some(name), _) => Target::Server(name),
            (None, Some((node, _))) => Target::Node(node),
            // An empty transaction needs no server to say that it did nothing.
            (None, None) => return Ok(Value::Array(Vec::new())),
        };
        match self
            .core
            .scatter
            .atomic(&items, &scripts, target, manner)
            .await?
        {
            Value::ServerError(error) => Err(Error::from_server(error).of_command("EXEC")),
            value => Ok(value),
        }
    }

    /// One command as part of a batch.
    pub(crate) fn entry<'a>(
        &self,
        cmd: &'a Cmd,
        scope: Scope,
        server: Option<&'a str>,
    ) -> Entry<'a> {
        if scope == Scope::Cluster
            && let Some((row, key)) = routing::simple(cmd)
        {
            let node = self.core.scatter.control().load().node(key);
            let known = Known {
                row: Some(row),
                is_read: row.access == crate::command::Access::Read,
            };
            return Entry {
                cmd,
                known,
                body: Body::Node(node),
                script: None,
            };
        }
        let args = routing::arguments(cmd);
        let known = match routing::identify(&args, scope) {
            Ok(known) => known,
            Err(error) => {
                let known = Known {
                    row: None,
                    is_read: false,
                };
                return Entry {
                    cmd,
                    known,
                    body: Body::Refused(error),
                    script: None,
                };
            }
        };
        let route = {
            let current = self.core.scatter.control().load();
            routing::route(
                current.config.placement(),
                &args,
                known,
                scope,
                current.config.multi_key(),
            )
        };
        let script = self.script_of(known, &args);
        let refuse =
            |why: &str| Body::Refused(Error::new(ErrorKind::Refused, why).of_command(known.name()));
        let body = match route {
            Err(error) => Body::Refused(error),
            Ok(Route::Node(node)) => Body::Node(node),
            Ok(Route::Split(split, parts)) => Body::Split { split, args, parts },
            Ok(Route::Everywhere(_)) if known.name() == "SCRIPT FLUSH" => {
                refuse("scripts are flushed by a call of their own, not in a pipeline")
            }
            Ok(Route::Everywhere(merge)) => Body::Everywhere(merge),
            Ok(Route::Blocking(..)) => {
                refuse("it may block, and would hold up every command behind it; call it by itself")
            }
            Ok(Route::Gather(..)) => refuse(
                "its keys are on several nodes, which takes several round trips; call it by itself, not in a pipeline",
            ),
            Ok(Route::Scan) => refuse(
                "a scan over the cluster is a sequence of calls; call it by itself, not in a pipeline",
            ),
            Ok(Route::Named) => match server {
                None => refuse("say where it goes: cluster.on_server(name)"),
                Some(_)
                    if known
                        .row
                        .is_some_and(|row| matches!(row.blocks(&args), Ok(Some(_)))) =>
                {
                    refuse(
                        "it may block, and would hold up every command behind it; call it by itself",
                    )
                }
                Some(name) => match self.check_at_home(&args, known, name) {
                    Ok(()) => Body::Server(name),
                    Err(error) => Body::Refused(error),
                },
            },
        };
        Entry {
            cmd,
            known,
            body,
            script,
        }
    }

    /// Takes in the scripts that a batch is about to load, so that an EVALSHA behind SCRIPT LOAD in the same batch is not run by a
    /// connection that has not seen the script yet. Not before the batch is known to be sent: what was refused must leave nothing behind.
    pub(crate) fn learn_scripts(&self, entries: &mut [Entry<'_>]) {
        let mut loads = false;
        for entry in entries {
            let is_load = entry.known.name() == "SCRIPT LOAD";
            if !(is_load || loads && entry.known.runs_scripts()) {
                continue;
            }
            let args = routing::arguments(entry.cmd);
            match (&entry.body, args.as_slice()) {
                (Body::Everywhere(_), [_, _, body]) if is_load => {
                    let scripts_max = self.config().limits().scripts_max;
                    self.core.scripts.learn(body, scripts_max);
                    loads = true;
                }
                _ if entry.script.is_none() => entry.script = self.script_of(entry.known, &args),
                _ => {}
            }
        }
    }

    /// A write that names its server must not go to the wrong one: there it would be found by nobody.
    fn check_at_home(&self, args: &[&[u8]], known: Known, name: &str) -> Result<(), Error> {
        let Some(row) = known.row else { return Ok(()) };
        let routed_by_key = matches!(
            row.rule,
            Rule::Keyed | Rule::Split(_) | Rule::Gather(_) | Rule::Script
        );
        if known.is_read || !routed_by_key {
            return Ok(());
        }
        let current = self.core.scatter.control().load();
        let keys = row.key_positions(args).map_err(|error| {
            Error::new(ErrorKind::Invalid, error.to_string()).of_command(row.name)
        })?;
        for at in keys {
            let node = current.node(args[at]);
            let home = current.server_of(node);
            if &**home.name() != name {
                let why = format!(
                    "the key \"{}\" belongs to node {node}, which lives on server {:?}, not on {name:?}",
                    args[at].escape_ascii(),
                    home.name()
                );
                return Err(Error::new(ErrorKind::Refused, why).of_command(row.name));
            }
        }
        Ok(())
    }

    fn script_of(&self, known: Known, args: &[&[u8]]) -> Option<Arc<Script>> {
        match known.row.map(|row| row.name) {
            Some("EVALSHA" | "EVALSHA_RO") => self.core.scripts.find(args.get(1)?),
            _ => None,
        }
    }

    fn remember_scripts(&self, known: Known, args: &[&[u8]], reply: &Value) {
        match (known.name(), args, reply) {
            ("SCRIPT LOAD", [_, _, body, ..], Value::BulkString(_) | Value::SimpleString(_)) => {
                self.core
                    .scripts
                    .learn(body, self.config().limits().scripts_max);
            }
            ("SCRIPT FLUSH", _, Value::Okay) => {
                self.core.scripts.forget_all();
                for server in &self.current().servers {
                    server.forget_scripts();
                }
            }
            _ => {}
        }
    }
}

impl Core {
    async fn reload(&self, config: Config) -> Result<Reloaded, Error> {
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

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the cluster has been closed")
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

fn cannot_connect(name: &Arc<str>, error: &crate::connection::DialError) -> Error {
    let kind = if error.is_configuration {
        ErrorKind::Configuration
    } else {
        ErrorKind::ServerDown
    };
    Error::new(kind, error.message.clone()).at_server(name)
}

fn one(mut results: Vec<Result<Value, Error>>) -> Result<Value, Error> {
    results
        .pop()
        .unwrap_or_else(|| Err(Error::new(ErrorKind::NotSent, "nothing was sent")))
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
        let span =
            tracing::trace_span!(target: "keyway::call", "keyway.call", command = name_of(cmd));
        let call = async move {
            self.execute(cmd, Scope::Cluster, None)
                .await
                .map_err(Into::into)
        };
        if span.is_disabled() {
            Box::pin(call)
        } else {
            Box::pin(call.instrument(span))
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let span = tracing::trace_span!(target: "keyway::call", "keyway.pipeline", commands = pipeline.len());
        let call = async move {
            let values = self
                .execute_pipeline(pipeline, Scope::Cluster, None)
                .await?;
            Ok(window(values, pipeline, offset, count))
        };
        if span.is_disabled() {
            Box::pin(call)
        } else {
            Box::pin(call.instrument(span))
        }
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
    if pipeline.is_transaction() {
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
