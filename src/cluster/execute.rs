//! From a command to the layer that answers it: routed, split, gathered, broadcast or refused.

use super::Cluster;
use super::call::simple;
use super::scripts::with_body;
use crate::command::{BlocksFor, Rule};
use crate::config::MultiKey;
use crate::connection::Script;
use crate::control::Current;
use crate::error::{Error, ErrorKind};
use crate::gather;
use crate::pool::Server;
use crate::routing::{self, Known, Route, Scope};
use crate::scatter::{Body, Call, Choice, Divided, Entry, Lent, Manner, Named, Target};
use redis::{Cmd, Pipeline, Value};
use std::sync::Arc;
use tracing::Instrument;

impl Cluster {
    /// Where a command goes; `multi_key` in place of the configured one.
    fn route(
        &self,
        args: &[&[u8]],
        known: Known,
        scope: Scope,
        multi_key: Option<MultiKey>,
    ) -> Result<Route, Error> {
        let current = self.core.scatter.control().load();
        let multi_key = multi_key.unwrap_or_else(|| current.config.multi_key());
        routing::route(current.config.placement(), args, known, scope, multi_key)
    }

    /// Everything but the short way of [`Execute`](super::call::Execute).
    pub(super) async fn route_and_send(
        &self,
        cmd: &Cmd,
        scope: Scope,
        server: Option<&str>,
    ) -> Result<Value, Error> {
        let args = routing::arguments(cmd);
        let known = routing::identify(&args, scope)?;
        let manner = self.manner();
        let route = self.route(&args, known, scope, None)?;
        let scatter = &self.core.scatter;
        self.learn_script(known, &args);
        let script = self.script_of(known, &args);
        let to = |target| Call {
            cmd,
            known,
            target,
            script,
            manner,
        };
        let reply = match route {
            Route::Node(node) => {
                let call = to(Target::Node(node, Choice::Only));
                self.send_whole(call, None).await
            }
            Route::Any(wait) => self.send_whole(to(scatter.any()), wait).await,
            Route::Blocking(node, wait) => {
                let call = to(Target::Node(node, Choice::Only));
                self.send_whole(call, Some(wait)).await
            }
            Route::Named => {
                let Some(name) = server else {
                    return Err(unnamed(known));
                };
                let named = self.named(&args, known, name)?;
                if known.row.is_some_and(|row| row.interrupts) {
                    return scatter.interrupt(cmd, known, name, manner).await;
                }
                let wait = known.row.and_then(|row| row.blocks(&args).ok().flatten());
                self.send_whole(to(Target::Server(&named)), wait).await
            }
            Route::Split(split, parts) => {
                let body = Body::Split(Box::new(Divided { split, args, parts }));
                let entry = Entry {
                    cmd,
                    known,
                    body,
                    script: None,
                };
                one(scatter.many(vec![entry], manner).await)
            }
            Route::Everywhere(merge) => {
                let entry = Entry {
                    cmd,
                    known,
                    body: Body::Everywhere(merge),
                    script: None,
                };
                let reply = one(scatter.many(vec![entry], manner).await)?;
                if known.name() == "SCRIPT FLUSH" && reply == Value::Okay {
                    self.forget_scripts();
                }
                Ok(reply)
            }
            Route::Gather(gather, keys) => {
                gather::algebra(scatter, gather, &args, keys, manner).await
            }
            Route::Scan => gather::scan(scatter, cmd, &args, manner).await,
        }?;
        // What goes to several servers is waited for all the same; its caller does not want to know more.
        Ok(if cmd.is_no_response() {
            Value::Nil
        } else {
            reply
        })
    }

    /// One command for one server: over the shared connection, or over one of its own if nobody else is to wait for it, or be
    /// changed by it.
    async fn send_whole(&self, call: Call<'_>, wait: Option<BlocksFor>) -> Result<Value, Error> {
        let scatter = &self.core.scatter;
        let lent = match (wait, call.known.row) {
            (Some(wait), _) => Lent::Blocks(wait),
            (None, None) if crate::planted::is("empty-command") => return scatter.call(call).await,
            (None, None) => Lent::Unknown,
            (None, Some(row)) if row.rule == Rule::Script && self.is_long(call.manner) => {
                Lent::LongScript
            }
            (None, Some(_)) => return scatter.call(call).await,
        };
        scatter.call_lent(call, lent).await
    }

    /// The caller allows more time than a shared connection may be silent.
    pub(super) fn is_long(&self, manner: Manner) -> bool {
        manner.allowance() > self.current().config.timeouts().silence_max
    }

    /// Sends a pipeline. `Err` only when nothing was sent; what fails at one position is an error value there.
    pub(crate) async fn execute_pipeline(
        &self,
        pipeline: &Pipeline,
        scope: Scope,
        server: Option<&str>,
    ) -> Result<Vec<Value>, Error> {
        let span = tracing::trace_span!(target: "keyway::call", "keyway.pipeline", commands = pipeline.len());
        self.send_pipeline(pipeline, scope, server)
            .instrument(span)
            .await
    }

    async fn send_pipeline(
        &self,
        pipeline: &Pipeline,
        scope: Scope,
        server: Option<&str>,
    ) -> Result<Vec<Value>, Error> {
        let cmds: Vec<&Cmd> = pipeline.cmd_iter().collect();
        let manner = self.manner();
        if cmds.is_empty() && !pipeline.is_transaction() {
            return Err(Error::empty_pipeline());
        }
        if pipeline.is_transaction() {
            return Ok(vec![
                self.execute_atomic(&cmds, scope, server, manner).await?,
            ]);
        }
        let mut entries = Vec::with_capacity(cmds.len());
        let current = self.current();
        for cmd in cmds {
            let entry = self.entry(&current, cmd, scope, server);
            if let Body::Refused(error) = entry.body {
                return Err(error);
            }
            entries.push(entry);
        }
        drop(current);
        self.learn_scripts(&mut entries);
        let results = self.core.scatter.many(entries, manner).await;
        Error::into_replies(results)
    }

    async fn execute_atomic(
        &self,
        cmds: &[&Cmd],
        scope: Scope,
        server: Option<&str>,
        manner: Manner,
    ) -> Result<Value, Error> {
        let mut node = None;
        let mut keys = Vec::new();
        let mut items = Vec::with_capacity(cmds.len());
        for cmd in cmds {
            let args = routing::arguments(cmd);
            let known = routing::identify(&args, scope)?;
            if known.row.is_some_and(|row| row.is_neutral) {
                items.push((*cmd, known));
                continue;
            }
            let route = self.route(&args, known, scope, Some(MultiKey::Split))?;
            match (route, server) {
                (Route::Split(..) | Route::Gather(..), _) => {
                    let current = self.current();
                    let torn =
                        |row| routing::torn_transaction(current.config.placement(), &args, row);
                    return Err(known.row.map_or_else(|| scattered(known), torn));
                }
                (Route::Any(_), _) => {}
                // Inside a transaction a blocking command does not block.
                (Route::Node(to) | Route::Blocking(to, _), _) => {
                    let key = known
                        .row
                        .map_or(&b""[..], |row| routing::first_key(&args, row));
                    let (first, first_key) = *node.get_or_insert((to, key));
                    if first != to {
                        let why = format!(
                            "a transaction needs all its keys on one node: \"{}\" is on node {first}, \"{}\" on node {to}. {}",
                            routing::shorten(first_key),
                            routing::shorten(key),
                            self.current().config.placement().tag_remedy(first_key)
                        );
                        return Err(Error::new(ErrorKind::CrossNode, why).of_command(known.name()));
                    }
                }
                (Route::Named, Some(name)) => keys.extend(self.named(&args, known, name)?.keys),
                _ => return Err(scattered(known)),
            }
            items.push((*cmd, known));
        }
        let named = server.map(|name| Named { name, keys });
        let target = match (&named, node, scope) {
            (Some(named), ..) => Target::Server(named),
            (None, Some((node, _)), _) | (None, None, Scope::Node(node)) => {
                Target::Node(node, Choice::Only)
            }
            (None, None, _) if !items.is_empty() => self.core.scatter.any(),
            // No server is meant, and none is needed to say that nothing was done.
            (None, None, _) => return Ok(Value::Array(Vec::new())),
        };
        self.learn_scripts_of(&items);
        let scripts = self.put_scripts(&items);
        let items = scripts.items(&items);
        let reply = self
            .core
            .scatter
            .atomic(&items, &scripts.in_front, target, manner)
            .await?;
        match reply {
            Value::ServerError(error) => Err(Error::from_server(error).of_command("EXEC")),
            value => Ok(value),
        }
    }

    /// What becomes of the scripts of a transaction: see [`with_body`].
    pub(super) fn put_scripts(&self, items: &[(&Cmd, Known)]) -> ScriptsOf {
        let mut scripts = ScriptsOf {
            bodies: vec![None; items.len()],
            in_front: Vec::new(),
        };
        for (at, (cmd, known)) in items.iter().enumerate() {
            let script = self.script_of(*known, &routing::arguments(cmd));
            if let Some(script) = script {
                scripts.bodies[at] = with_body(cmd, &script);
                if scripts.bodies[at].is_none() {
                    scripts.in_front.push(script);
                }
            }
        }
        scripts
    }

    /// The scripts of commands outside of a transaction: loaded in front of them.
    pub(super) fn load_scripts(&self, items: &[(&Cmd, Known)]) -> ScriptsOf {
        let called = items
            .iter()
            .filter_map(|(cmd, known)| self.script_of(*known, &routing::arguments(cmd)));
        ScriptsOf {
            in_front: called.collect(),
            bodies: vec![None; items.len()],
        }
    }

    /// Keeps the bodies that a transaction, or a pipeline over a connection of one's own, is about to load.
    pub(super) fn learn_scripts_of(&self, items: &[(&Cmd, Known)]) {
        for (cmd, known) in items {
            if known.name() == SCRIPT_LOAD {
                self.learn_script(*known, &routing::arguments(cmd));
            }
        }
    }

    /// One command as part of a batch.
    pub(crate) fn entry<'a>(
        &self,
        current: &Current<Server>,
        cmd: &'a Cmd,
        scope: Scope,
        server: Option<&'a str>,
    ) -> Entry<'a> {
        if let Some((known, node)) = simple(current, cmd, scope) {
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
        let route = self.route(&args, known, scope, None);
        let script = self.script_of(known, &args);
        let refuse =
            |why: &str| Body::Refused(Error::new(ErrorKind::Refused, why).of_command(known.name()));
        let body = match route {
            Err(error) => Body::Refused(error),
            Ok(Route::Node(node)) => Body::Node(node),
            Ok(Route::Split(split, parts)) => Body::Split(Box::new(Divided { split, args, parts })),
            Ok(Route::Everywhere(_)) if known.name() == "SCRIPT FLUSH" => {
                refuse("scripts are flushed by a call of their own, not in a pipeline")
            }
            Ok(Route::Everywhere(merge)) => Body::Everywhere(merge),
            Ok(Route::Any(None)) => Body::Any,
            Ok(Route::Blocking(..) | Route::Any(Some(_))) => {
                refuse("it may block, and would hold up every command behind it; call it by itself")
            }
            Ok(Route::Gather(..)) => refuse(
                "its keys are on several nodes, which takes several round trips; call it by itself, not in a pipeline",
            ),
            Ok(Route::Scan) => refuse(
                "a scan over the cluster is a sequence of calls; call it by itself, not in a pipeline",
            ),
            Ok(Route::Named) => match server {
                None => Body::Refused(unnamed(known)),
                Some(_) if known.row.is_some_and(|row| row.interrupts) => {
                    refuse("it goes over a connection of its own; call it by itself")
                }
                Some(_)
                    if known
                        .row
                        .is_some_and(|row| matches!(row.blocks(&args), Ok(Some(_)))) =>
                {
                    refuse(
                        "it may block, and would hold up every command behind it; call it by itself",
                    )
                }
                Some(name) => match self.named(&args, known, name) {
                    Ok(named) => Body::Server(Box::new(named)),
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
            let is_load = entry.known.name() == SCRIPT_LOAD;
            let is_refused = matches!(entry.body, Body::Refused(_));
            if is_refused || !(is_load || loads && entry.known.runs_scripts()) {
                continue;
            }
            let args = routing::arguments(entry.cmd);
            if is_load {
                self.learn_script(entry.known, &args);
                loads = true;
            } else if entry.script.is_none() {
                entry.script = self.script_of(entry.known, &args);
            }
        }
    }

    /// A server by its name. A write must not go to the wrong one: there it would be found by nobody. It is refused here if its keys live
    /// elsewhere now, and by each attempt if they have moved since.
    fn named<'a>(
        &self,
        args: &[&'a [u8]],
        known: Known,
        name: &'a str,
    ) -> Result<Named<'a>, Error> {
        let mut named = Named::only(name);
        let Some(row) = known.row else {
            return Ok(named);
        };
        let routed_by_key = matches!(
            row.rule,
            Rule::Keyed | Rule::Split(_) | Rule::Gather(_) | Rule::Script
        );
        let current = self.core.scatter.control().load();
        if known.is_read || !routed_by_key || !current.config.placement().has_homes() {
            return Ok(named);
        }
        let keys = row
            .key_positions(args)
            .map_err(|error| routing::invalid(row, args, &error))?;
        named.keys = keys
            .into_iter()
            .map(|at| (current.node(args[at]), args[at]))
            .collect();
        match named.find(&current) {
            Ok(_) => Ok(named),
            Err(why) => Err(Error::new(ErrorKind::Refused, why).of_command(row.name)),
        }
    }

    pub(super) fn script_of(&self, known: Known, args: &[&[u8]]) -> Option<Arc<Script>> {
        match known.row.map(|row| row.name) {
            Some("EVALSHA" | "EVALSHA_RO") => self.core.scripts.find(args.get(1)?),
            _ => None,
        }
    }

    /// Keeps the body that SCRIPT LOAD is about to load. Before it is sent: the caller has given the body, whatever becomes of the call,
    /// and a server that does not answer now must not keep the others' transactions from running the script.
    pub(super) fn learn_script(&self, known: Known, args: &[&[u8]]) {
        if let (SCRIPT_LOAD, [_, _, body]) = (known.name(), args) {
            let scripts_max = self.config().limits().scripts_max;
            self.core.scripts.learn(body, scripts_max);
        }
    }

    fn forget_scripts(&self) {
        self.core.scripts.forget_all();
        for server in &self.current().servers {
            server.forget_scripts();
        }
    }
}

/// The name of its row.
const SCRIPT_LOAD: &str = "SCRIPT LOAD";

fn one(mut results: Vec<Result<Value, Error>>) -> Result<Value, Error> {
    results
        .pop()
        .unwrap_or_else(|| Err(Error::new(ErrorKind::NotSent, "nothing was sent")))
}

/// The scripts of a transaction: EVALSHA with its body in place, or to be loaded in front of MULTI.
pub(super) struct ScriptsOf {
    /// By command: what is sent in place of it.
    pub(super) bodies: Vec<Option<Cmd>>,
    pub(super) in_front: Vec<Arc<Script>>,
}

impl ScriptsOf {
    /// The commands as they are sent.
    pub(super) fn items<'a>(&'a self, items: &[(&'a Cmd, Known)]) -> Vec<(&'a Cmd, Known)> {
        let sent = items.iter().zip(&self.bodies);
        sent.map(|((cmd, known), body)| (body.as_ref().unwrap_or(cmd), *known))
            .collect()
    }
}

fn unnamed(known: Known) -> Error {
    let why = "say where it goes: cluster.on_server(name)";
    Error::new(ErrorKind::Refused, why).of_command(known.name())
}

/// A part of a transaction that no single node can run.
fn scattered(known: Known) -> Error {
    let why = "it goes to several nodes or servers, so it cannot be part of a transaction";
    Error::new(ErrorKind::Refused, why).of_command(known.name())
}
