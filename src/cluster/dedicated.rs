use super::execute::ScriptsOf;
use super::{Cluster, name_of, parse, window};
use crate::command::{BlocksFor, Rule};
use crate::connection::{Cause, Script};
use crate::error::{Error, ErrorKind};
use crate::placement::NodeId;
use crate::pool::Lease;
use crate::routing::{self, Known, Route, Scope};
use crate::scatter::{self, Manner, Tried};
use parking_lot::Mutex;
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, RedisFuture, Value};
use std::sync::Arc;
use tracing::Instrument;

/// A connection of one's own, to the server of one node: for WATCH, MULTI typed by hand, WAIT, blocking commands.
///
/// Keys of other nodes are refused. Nothing is retried: what the connection has seen cannot be repeated on another. Clones share the
/// connection. When the last one is dropped the connection is returned to the pool, or closed if it was left inside a transaction, with
/// keys watched, or with a reply outstanding (a future that was dropped, a deadline that passed). When the node moves to another server
/// the connection is refused from then on: ask for a new one.
#[derive(Clone, Debug)]
pub struct Dedicated {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    node: NodeId,
    /// Taken only in `drop`.
    lease: Option<Lease>,
    conversation: Mutex<Conversation>,
}

/// What the server remembers of this connection.
#[derive(Debug, Default)]
struct Conversation {
    watching: bool,
    in_multi: bool,
    /// A reply may still come for somebody who no longer waits.
    is_broken: bool,
}

impl Dedicated {
    /// To the server of `home`, or to any.
    pub(super) async fn open(cluster: Cluster, home: Option<NodeId>) -> Result<Dedicated, Error> {
        let manner = cluster.manner();
        let scatter = cluster.scatter();
        let mut tried = Tried::default();
        let mut node = home.unwrap_or_else(|| scatter.next_node(&tried));
        let lease = loop {
            let current = cluster.current();
            let server = current.server_of(node);
            match server
                .lease(Some(node), current.generation, manner.deadline)
                .await
            {
                Ok(lease) => break lease,
                // There is a newer topology by now: its server is asked.
                Err(Cause::NodeMoved) => {}
                // Nothing was said over it yet, so that another will do as well. Each is tried once.
                Err(cause)
                    if home.is_none()
                        && (matches!(cause, Cause::Down(_)) || cause.is_loss())
                        && !tried.has(server)
                        && scatter.is_other_up(server) =>
                {
                    tried.add(server.clone());
                    node = scatter.next_node(&tried);
                }
                Err(cause) => {
                    let known = Known {
                        row: None,
                        is_read: false,
                    };
                    return Err(scatter::fail(Some(server), known, false, cause)
                        .at_node(node)
                        .at_server(server.name()));
                }
            }
        };
        let conversation = Mutex::default();
        Ok(Dedicated {
            shared: Arc::new(Shared {
                cluster,
                node,
                lease: Some(lease),
                conversation,
            }),
        })
    }

    /// The node it belongs to.
    pub fn node(&self) -> NodeId {
        self.shared.node
    }

    /// Sends one command, one round trip; an error reply of the server is an `Err`. Dropping the future leaves a reply outstanding: later
    /// calls are refused with `NotSent`, and the connection is closed when the last clone is dropped. A dropped BLPOP waits until then, and may
    /// take a push that nobody will see.
    ///
    /// # Errors
    /// As a command on the cluster, without retries.
    pub async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Error> {
        parse(name_of(cmd), self.execute(cmd).await?)
    }

    async fn execute(&self, cmd: &Cmd) -> Result<Value, Error> {
        let args = routing::arguments(cmd);
        let (known, wait) = self.admit(&args)?;
        let cluster = &self.shared.cluster;
        let manner = cluster.manner();
        let deadline = scatter::blocking_deadline(manner, wait);
        let is_script = known.row.is_some_and(|row| row.rule == Rule::Script);
        let may_be_silent = wait.is_some() || is_script && cluster.is_long(manner);
        cluster.learn_script(known, &args);
        let scripts = self.scripts(&[(cmd, known)]);
        let items = scripts.items(&[(cmd, known)]);
        if cmd.is_no_response() {
            scatter::tell(self.lease()?, items[0], manner)
                .map_err(|error| error.at_node(self.shared.node))?;
            self.observe(known, &Value::Nil);
            return Ok(Value::Nil);
        }
        let manner = Manner { deadline, ..manner };
        let outcomes = self
            .converse(&items, &scripts.in_front, manner, may_be_silent)
            .await?;
        let reply = outcomes
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(Error::new(ErrorKind::NotSent, "nothing was sent")));
        if let Ok(value) = &reply {
            self.observe(known, value);
        }
        reply
    }

    async fn execute_pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Value>, Error> {
        let mut items = Vec::with_capacity(pipeline.len());
        let cluster = &self.shared.cluster;
        let mut manner = cluster.manner();
        let mut may_be_silent = false;
        for cmd in pipeline.cmd_iter() {
            let (known, wait) = self.admit(&routing::arguments(cmd))?;
            // The server answers an error and goes on, so that EXEC has a reply less than there are commands.
            if pipeline.is_transaction()
                && matches!(known.name(), "MULTI" | "EXEC" | "DISCARD" | "WATCH")
            {
                let why = "it cannot be a part of a transaction; call it by itself";
                return Err(Error::new(ErrorKind::Refused, why).of_command(known.name()));
            }
            items.push((cmd, known));
            // Within a transaction no command waits.
            let Some(wait) = wait.filter(|_| !pipeline.is_transaction()) else {
                continue;
            };
            if known.row.is_none_or(|row| row.rule != Rule::Dedicated) {
                let why =
                    "it may block, and would hold up every command after it; call it by itself";
                return Err(Error::new(ErrorKind::Refused, why).of_command(known.name()));
            }
            // WAIT after writes is what a pipeline on a connection of one's own is for.
            manner.deadline = scatter::blocking_deadline(manner, Some(wait));
            may_be_silent = true;
        }
        if items.is_empty() && !pipeline.is_transaction() {
            return Err(Error::empty_pipeline());
        }
        cluster.learn_scripts_of(&items);
        if !pipeline.is_transaction() {
            let scripts = self.scripts(&items);
            let sent = scripts.items(&items);
            let results = self
                .converse(&sent, &scripts.in_front, manner, may_be_silent)
                .await?;
            for (item, result) in items.iter().zip(&results) {
                if let Ok(value) = result {
                    self.observe(item.1, value);
                }
            }
            return Error::into_replies(results);
        }
        let scripts = cluster.put_scripts(&items);
        let sent = scripts.items(&items);
        let guard = Outstanding::new(&self.shared);
        let exec = scatter::converse_atomic(self.lease()?, &sent, &scripts.in_front, manner).await;
        if exec
            .as_ref()
            .is_err_and(|error| error.kind() == ErrorKind::Unknown)
        {
            return Err(exec
                .err()
                .unwrap_or_else(|| Error::new(ErrorKind::Unknown, "no reply")));
        }
        guard.answered();
        // EXEC ends the transaction and the watch, whatever it says.
        *self.shared.conversation.lock() = Conversation::default();
        match exec? {
            Value::ServerError(error) => Err(Error::from_server(error)
                .of_command("EXEC")
                .at_node(self.shared.node)),
            value => Ok(vec![value]),
        }
    }

    /// What becomes of the scripts that are called. Within a transaction typed by hand nothing may be sent in front of a command,
    /// and a script that is known goes with its body; else it is loaded in front.
    fn scripts(&self, items: &[(&Cmd, Known)]) -> ScriptsOf {
        let cluster = &self.shared.cluster;
        if self.shared.conversation.lock().in_multi {
            ScriptsOf {
                in_front: Vec::new(),
                ..cluster.put_scripts(items)
            }
        } else {
            cluster.load_scripts(items)
        }
    }

    fn lease(&self) -> Result<&Lease, Error> {
        self.shared
            .lease
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Closed, "the connection was given back"))
    }

    /// What is known of a command that may go over this connection, and how long it may block.
    fn admit(&self, args: &[&[u8]]) -> Result<(Known, Option<BlocksFor>), Error> {
        if self.shared.conversation.lock().is_broken {
            let why = "an earlier command of this dedicated connection was not answered, so its state is not known; ask for a new one";
            return Err(Error::new(ErrorKind::NotSent, why).at_node(self.shared.node));
        }
        let scope = Scope::Dedicated(self.shared.node);
        let known = routing::identify(args, scope)?;
        let current = self.shared.cluster.current();
        match routing::route(
            current.config.placement(),
            args,
            known,
            scope,
            current.config.multi_key(),
        )? {
            Route::Node(_) => {}
            _ => {
                let why = "it goes to several servers; call it on the cluster";
                return Err(Error::new(ErrorKind::Refused, why).of_command(known.name()));
            }
        }
        let wait = known.row.and_then(|row| row.blocks(args).ok().flatten());
        Ok((known, wait))
    }

    async fn converse(
        &self,
        items: &[(&Cmd, Known)],
        scripts: &[Arc<Script>],
        manner: Manner,
        blocking: bool,
    ) -> Result<Vec<Result<Value, Error>>, Error> {
        let guard = Outstanding::new(&self.shared);
        let results = scatter::converse(self.lease()?, items, scripts, manner, blocking).await;
        let unanswered = results.iter().any(|result| {
            result
                .as_ref()
                .is_err_and(|error| error.kind() == ErrorKind::Unknown)
        });
        if !unanswered {
            guard.answered();
        }
        Ok(results
            .into_iter()
            .zip(items)
            .map(|(result, (_, known))| {
                result.map_err(|error| error.of_command(known.name()).at_node(self.shared.node))
            })
            .collect())
    }

    /// Keeps track of what the server now remembers.
    fn observe(&self, known: Known, reply: &Value) {
        let failed = matches!(reply, Value::ServerError(_));
        let mut conversation = self.shared.conversation.lock();
        match known.name() {
            "WATCH" if !failed => conversation.watching = true,
            "UNWATCH" => conversation.watching = false,
            "MULTI" if !failed => conversation.in_multi = true,
            // Also with an error: both end the transaction.
            "EXEC" | "DISCARD" => {
                *conversation = Conversation {
                    is_broken: conversation.is_broken,
                    ..Conversation::default()
                }
            }
            _ => {}
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let conversation = self.conversation.get_mut();
        let clean = !conversation.watching && !conversation.in_multi && !conversation.is_broken;
        if let Some(lease) = self.lease.take()
            && clean
        {
            lease.return_clean();
        }
    }
}

/// A command is under way. Dropped without its answer, the connection is not clean any more.
struct Outstanding<'a> {
    shared: &'a Shared,
    answered: bool,
}

impl<'a> Outstanding<'a> {
    fn new(shared: &'a Shared) -> Self {
        Outstanding {
            shared,
            answered: false,
        }
    }

    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for Outstanding<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shared.conversation.lock().is_broken = true;
        }
    }
}

impl ConnectionLike for Dedicated {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let span = tracing::trace_span!(target: "keyway::call", "keyway.dedicated", command = name_of(cmd));
        Box::pin(async move { self.execute(cmd).instrument(span).await.map_err(Into::into) })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            Ok(window(
                self.execute_pipeline(pipeline).await?,
                pipeline,
                offset,
                count,
            ))
        })
    }

    fn get_db(&self) -> i64 {
        self.shared.lease.as_ref().map_or(0, |lease| {
            i64::from(lease.server().settings().server.endpoint.database)
        })
    }
}
