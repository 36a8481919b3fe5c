//! WATCH, MULTI, EXEC and DISCARD: queued here, checked as a server checks what it queues, and sent
//! as one atomic pipeline.

use super::own::{Asked, Way};
use super::session::{command, some_node};
use super::write::Reply;
use keyway::{Cluster, Dedicated};
use redis::aio::ConnectionLike;
use redis::{Cmd, Value};
use std::collections::BTreeMap;

#[derive(Default)]
pub(crate) struct Transaction {
    /// Since MULTI.
    queued: Option<Vec<Cmd>>,
    /// One of them does not say for which node it is.
    needs_node: bool,
    /// The first key of those that name one.
    key: Option<Vec<u8>>,
    /// A command was refused while it was queued, so that EXEC carries out none.
    is_spoiled: bool,
    /// The connection that watches keys, from WATCH to the transaction's end.
    watching: Option<Dedicated>,
}

impl Transaction {
    /// Whether commands are queued.
    pub(crate) fn is_open(&self) -> bool {
        self.queued.is_some()
    }

    pub(crate) fn begin(&mut self) -> Reply {
        if self.is_open() {
            return Reply::error("ERR MULTI calls can not be nested");
        }
        self.queued = Some(Vec::new());
        Reply::ok()
    }

    pub(crate) fn queue(&mut self, grammar: &Grammar, asked: &Asked<'_>) -> Reply {
        if let Err(refusal) = grammar.check(asked.args) {
            self.is_spoiled = true;
            return refusal;
        }
        if let Some(queued) = &mut self.queued {
            queued.push(command(asked.args));
        }
        self.needs_node |= asked.way() == Way::SomeNode;
        if self.key.is_none() {
            self.key = asked.first_key().map(<[u8]>::to_vec);
        }
        Reply::Value(Value::SimpleString("QUEUED".to_owned()))
    }

    pub(crate) async fn exec(&mut self, mut cluster: Cluster) -> Reply {
        let Transaction {
            queued,
            needs_node,
            key,
            is_spoiled,
            watching,
        } = std::mem::take(self);
        let Some(queued) = queued else {
            // Not in a transaction: what is watched stays watched.
            self.watching = watching;
            return Reply::error("ERR EXEC without MULTI");
        };
        if is_spoiled {
            return Reply::error("EXECABORT Transaction discarded because of previous errors.");
        }
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        let count = queued.len();
        queued.into_iter().for_each(|cmd| {
            pipeline.add_command(cmd);
        });
        let replies = match watching {
            Some(mut dedicated) => dedicated.req_packed_commands(&pipeline, count + 1, 1).await,
            None if needs_node => match some_node(&cluster, key.as_deref()) {
                Ok(mut node) => node.req_packed_commands(&pipeline, count + 1, 1).await,
                Err(error) => Err(error.into()),
            },
            None => cluster.req_packed_commands(&pipeline, count + 1, 1).await,
        };
        match replies.map(|mut replies| replies.pop()) {
            Ok(None | Some(Value::Nil)) => Reply::NilArray,
            Ok(Some(value)) => Reply::Value(value),
            Err(error) => Reply::of_redis_error(&error),
        }
    }

    pub(crate) fn discard(&mut self) -> Reply {
        if !self.is_open() {
            return Reply::error("ERR DISCARD without MULTI");
        }
        *self = Transaction::default();
        Reply::ok()
    }

    pub(crate) async fn watch(&mut self, cluster: &Cluster, args: &[&[u8]]) -> Reply {
        let [_, key, ..] = args else {
            return wrong_arity("watch");
        };
        if self.is_open() {
            return Reply::error("ERR WATCH inside MULTI is not allowed");
        }
        let dedicated = match &self.watching {
            Some(dedicated) => dedicated.clone(),
            None => match cluster.dedicated(*key).await {
                Ok(dedicated) => dedicated,
                Err(error) => return Reply::of(Err(error)),
            },
        };
        let reply = dedicated.query(&command(args)).await;
        if reply.is_ok() {
            self.watching = Some(dedicated);
        }
        Reply::of(reply)
    }

    /// A connection that is dropped watches nothing any more.
    pub(crate) fn unwatch(&mut self) -> Reply {
        self.watching = None;
        Reply::ok()
    }
}

/// How many arguments each command takes, as a server says it of itself: what it checks before it
/// queues one.
pub(crate) struct Grammar {
    /// By name in lower case, that of a subcommand as `config|get`. Negative: at least this many,
    /// the name included.
    arities: BTreeMap<String, i64>,
}

impl Grammar {
    /// From the reply to COMMAND.
    pub(crate) fn of(commands: &Value) -> Grammar {
        let mut arities = BTreeMap::new();
        collect(commands, &mut arities);
        Grammar { arities }
    }

    fn check(&self, args: &[&[u8]]) -> Result<(), Reply> {
        let lower = |arg: &[u8]| String::from_utf8_lossy(arg).to_lowercase();
        let name = lower(args[0]);
        let Some(mut arity) = self.arities.get(&name).copied() else {
            let rest: String = args[1..]
                .iter()
                .map(|arg| format!("'{}' ", String::from_utf8_lossy(arg)))
                .collect();
            let name = String::from_utf8_lossy(args[0]);
            return Err(Reply::error(format!(
                "ERR unknown command '{name}', with args beginning with: {rest}"
            )));
        };
        let mut full_name = name.clone();
        if let Some(subcommand) = args.get(1) {
            let subcommand = format!("{name}|{}", lower(subcommand));
            if let Some(its_arity) = self.arities.get(&subcommand) {
                (full_name, arity) = (subcommand, *its_arity);
            }
        }
        let count = args.len() as i64;
        match if arity < 0 {
            count >= -arity
        } else {
            count == arity
        } {
            true => Ok(()),
            false => Err(wrong_arity(&full_name)),
        }
    }
}

pub(crate) fn wrong_arity(name: &str) -> Reply {
    Reply::error(format!(
        "ERR wrong number of arguments for '{name}' command"
    ))
}

/// Each command is an array: name, arity, and as the last of ten its subcommands.
fn collect(commands: &Value, into: &mut BTreeMap<String, i64>) {
    let Value::Array(commands) = commands else {
        return;
    };
    for command in commands {
        let Value::Array(parts) = command else {
            continue;
        };
        if let [Value::BulkString(name), Value::Int(arity), ..] = parts.as_slice() {
            into.insert(String::from_utf8_lossy(name).to_lowercase(), *arity);
        }
        if let Some(subcommands) = parts.get(9) {
            collect(subcommands, into);
        }
    }
}
