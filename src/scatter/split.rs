//! The short way of an MGET over several nodes, which nearly all are: each key is hashed and encoded into its server's part in one pass, and the
//! values of the plain replies go straight to their places. What does not go so goes on as a [batch](super::batch), from where it stands.

use super::batch::{Batch, Ended, GroupEnd};
use super::retry::pause;
use super::{Body, Divided, Entry, Manner, Outcome, Scatter, broken_outcomes};
use crate::command::Split;
use crate::connection::{Delivery, Items, Packed, Parcel, Ticket};
use crate::control::Current;
use crate::error::{Error, ErrorKind};
use crate::placement::NodeId;
use crate::pool::{Lane, Server};
use crate::resp::{encode_array, encode_bulk};
use crate::routing::{self, Gate, Known, Part};
use redis::{Arg, Cmd, Value};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What a key takes on the wire, about: what a part's buffer begins with, per key.
const KEY_BYTES: usize = 40;

/// An MGET under way on several connections.
pub(crate) struct SplitRead {
    pub(crate) known: Known,
    manner: Manner,
    current: Arc<Current<Server>>,
    /// The part of each key.
    order: Vec<u16>,
    /// In the order of their servers and connections.
    parts: Vec<Sent>,
}

/// The keys of one connection.
struct Sent {
    keys: usize,
    progress: Progress,
}

enum Progress {
    Asked(Ticket),
    Ended(Delivery),
    /// There was no room or no connection just then: nothing was sent.
    NotAsked,
}

/// The keys for one connection, while they are collected.
struct Collected {
    /// By server and connection.
    at: usize,
    /// What it is called in the order of keys so far.
    number: u16,
    server: usize,
    node: NodeId,
    keys: usize,
    bytes: Vec<u8>,
}

impl Scatter {
    /// Sends an MGET whose nodes are on several connections, or `None` and nothing was sent.
    pub(crate) fn start_split(
        &self,
        current: &Arc<Current<Server>>,
        cmd: &Cmd,
        known: Known,
        manner: Manner,
    ) -> Option<SplitRead> {
        let mut args = cmd.args_iter();
        let Arg::Simple(name) = args.next()? else {
            return None;
        };
        let (parts, order) = collect(current, args, manner.lane)?;
        let mut asked = false;
        let mut sent = Vec::with_capacity(parts.len());
        for part in parts {
            let server = &current.servers[part.server];
            let mut head = Vec::with_capacity(32);
            encode_array(part.keys + 1, &mut head);
            encode_bulk(name, &mut head);
            let parcel = Parcel {
                items: Items::Packed(Packed {
                    bytes: [&head, &part.bytes],
                    command: known.id(),
                }),
                scripts: &[],
                started: manner.started,
                deadline: manner.deadline,
                behind: None,
                blocking: false,
                no_reply: false,
            };
            let outbox = server.link(manner.lane, part.node).outbox();
            let progress = match outbox.push(current.generation, &parcel) {
                Ok(ticket) => {
                    server.budget().earn(1);
                    asked = true;
                    Progress::Asked(ticket)
                }
                Err(_) => Progress::NotAsked,
            };
            sent.push(Sent {
                keys: part.keys,
                progress,
            });
        }
        asked.then(|| SplitRead {
            known,
            manner,
            current: current.clone(),
            order,
            parts: sent,
        })
    }

    /// What follows a [`SplitRead`] that has not ended with plain replies.
    pub(crate) async fn finish_split(&self, cmd: &Cmd, split: SplitRead) -> Result<Value, Error> {
        let SplitRead {
            known,
            manner,
            current,
            parts,
            ..
        } = split;
        let args = routing::arguments(cmd);
        let divided = Divided {
            split: Split::Mget,
            parts: (1..args.len())
                .map(|at| Part {
                    node: current.node(args[at]),
                    at,
                })
                .collect(),
            args,
        };
        let mut batch = Batch::new(vec![Entry {
            cmd,
            known,
            body: Body::Split(Box::new(divided)),
            script: None,
        }]);
        // By the same topology the parts are the same, in the same order.
        let groups = batch.group(&current, manner.lane, &mut false);
        let mut wait = None;
        for (group, part) in groups.into_iter().zip(parts) {
            let outcome = match part.progress {
                Progress::Ended(Delivery::Broken(broken)) => broken_outcomes(*broken, 1).next(),
                Progress::Ended(Delivery::Reply(value)) => Some(Outcome::Reply(value)),
                _ => None,
            };
            let end = GroupEnd {
                server: group.server,
                outbox: group.outbox,
                shipments: group.shipments,
                // Nothing was sent, so that it is routed like new.
                ended: Ended::Mixed(vec![outcome.unwrap_or(Outcome::Stale)]),
            };
            wait = wait.max(batch.settle(end, &current, 0, manner));
        }
        if let Some(wait) = wait {
            pause(wait, manner.deadline).await;
        }
        let failures = u32::from(wait.is_some());
        let mut results = self.go_through(batch, failures, manner).await;
        results
            .pop()
            .unwrap_or_else(|| Err(Error::new(ErrorKind::NotSent, "nothing was sent")))
    }
}

/// The keys by connection, and the part of each key; `None` where the short way ends.
fn collect<'a>(
    current: &Current<Server>,
    keys: impl ExactSizeIterator<Item = Arg<&'a [u8]>> + Clone,
    lane: Lane,
) -> Option<(Vec<Collected>, Vec<u16>)> {
    let widths = current.servers.iter().map(|server| server.width(lane));
    let stride = widths.max()?.max(1);
    // By server and connection: the part, plus 1.
    let mut part_at = vec![0_u16; current.servers.len() * stride];
    let mut order = Vec::with_capacity(keys.len());
    let mut parts: Vec<Collected> = Vec::with_capacity(part_at.len().min(keys.len()));
    let keys_each = keys.len() / part_at.len() + 8;
    let nodes = current.config.placement().nodes_of(keys.clone().map(bytes));
    for (arg, node) in keys.zip(nodes) {
        // A cursor, whose value only redis-rs knows, has no place here.
        let Arg::Simple(key) = arg else { return None };
        if key.starts_with(routing::RESERVED_PREFIX)
            || routing::gate(&current.topology, node, true) != Gate::Send
        {
            return None;
        }
        let server = current.topology.server_of(node).index();
        // Seldom more than one, which spares a division per key.
        let connection = match current.servers[server].width(lane) {
            0 | 1 => 0,
            width => node.index() % width,
        };
        let at = server * stride + connection;
        if part_at[at] == 0 {
            let number = u16::try_from(parts.len()).ok()?;
            parts.push(Collected {
                at,
                number,
                server,
                node,
                keys: 0,
                bytes: Vec::with_capacity(keys_each * KEY_BYTES),
            });
            part_at[at] = number.checked_add(1)?;
        }
        let part = part_at[at] - 1;
        order.push(part);
        let part = &mut parts[usize::from(part)];
        part.keys += 1;
        encode_bulk(key, &mut part.bytes);
    }
    // On one connection it might be on one node, and then it is not split.
    if parts.len() < 2 {
        return None;
    }
    in_order_of_servers(&mut parts, &mut order);
    Some((parts, order))
}

/// Always the same server first, whichever has the first key: see [`Batch::group`].
fn in_order_of_servers(parts: &mut [Collected], order: &mut [u16]) {
    parts.sort_unstable_by_key(|part| part.at);
    let mut rank = vec![0; parts.len()];
    for (at, part) in (0..).zip(parts.iter()) {
        rank[usize::from(part.number)] = at;
    }
    for part in order {
        *part = rank[usize::from(*part)];
    }
}

fn bytes(arg: Arg<&[u8]>) -> &[u8] {
    match arg {
        Arg::Simple(bytes) => bytes,
        _ => &[],
    }
}

impl SplitRead {
    /// All of it, for [`Scatter::finish_split`]; nothing is left to be polled.
    pub(crate) fn take(&mut self) -> SplitRead {
        SplitRead {
            known: self.known,
            manner: self.manner,
            current: self.current.clone(),
            order: std::mem::take(&mut self.order),
            parts: std::mem::take(&mut self.parts),
        }
    }

    /// All values in the order of the keys, if every part has ended with a plain reply.
    pub(crate) fn poll_values(&mut self, cx: &mut Context<'_>) -> Poll<Option<Value>> {
        // One after the other: whoever comes last wakes the caller, and the others seldom do.
        for part in &mut self.parts {
            if let Progress::Asked(ticket) = &mut part.progress {
                part.progress = Progress::Ended(ready!(Pin::new(ticket).poll(cx)));
            }
        }
        let is_plain = |part: &Sent| matches!(&part.progress, Progress::Ended(Delivery::Reply(Value::Array(values))) if values.len() == part.keys);
        if !self.parts.iter().all(is_plain) {
            return Poll::Ready(None);
        }
        let mut replies: Vec<(Vec<Value>, usize)> = self
            .parts
            .drain(..)
            .map(|part| match part.progress {
                Progress::Ended(Delivery::Reply(Value::Array(values))) => (values, 0),
                _ => (Vec::new(), 0),
            })
            .collect();
        let values = self.order.iter().map(|part| {
            let (values, at) = &mut replies[usize::from(*part)];
            *at += 1;
            // Each part has as many values as `order` has keys of it. An iterator's Option would be another copy.
            std::mem::replace(&mut values[*at - 1], Value::Nil)
        });
        Poll::Ready(Some(Value::Array(values.collect())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Protocol};
    use crate::connection::Admission;
    use crate::control::Control;
    use crate::pool;

    /// Three servers that nobody answers for: nothing is sent here.
    async fn current() -> Arc<Current<Server>> {
        let text = "name = \"order\"\n[placement]\nalgorithm = \"ketama\"\nnodes = 64\n\
            [servers.a]\nurl = \"redis://127.0.0.1:1\"\nnodes = \"0-20\"\n\
            [servers.b]\nurl = \"redis://127.0.0.1:2\"\nnodes = \"21-40\"\n\
            [servers.c]\nurl = \"redis://127.0.0.1:3\"\nnodes = \"41-63\"\n";
        let config = Config::parse(text, "test.toml".as_ref(), &|_| None).expect("a cluster file");
        let admission = Arc::new(Admission::new("order", Protocol::Resp2));
        let runtime = tokio::runtime::Handle::current();
        let connecting = pool::connect(&config, &[], &admission, 1, &runtime);
        let Ok(servers) = connecting.await else {
            panic!("no dial is waited for")
        };
        Control::new(Arc::new(config), servers).load_full()
    }

    #[tokio::test]
    async fn parts_and_groups_go_out_in_the_order_of_the_servers_and_keys_stay_with_theirs() {
        let current = current().await;
        let server_of = |key: &str| {
            current
                .topology
                .server_of(current.node(key.as_bytes()))
                .index()
        };
        let keys: Vec<String> = (0..30).map(|i| format!("key{i}")).collect();
        let mut firsts = [false; 3];
        for first in 0..keys.len() {
            let mut asked = keys.clone();
            asked.rotate_left(first);
            firsts[server_of(&asked[0])] = true;
            let cmd = redis::cmd("MGET").arg(&asked).clone();
            let args = routing::arguments(&cmd);

            let (parts, order) =
                collect(&current, cmd.args_iter().skip(1), Lane::Shared).expect("it is split");
            let servers: Vec<usize> = parts.iter().map(|part| part.server).collect();
            assert_eq!(servers, [0, 1, 2], "{asked:?}");
            for (key, part) in asked.iter().zip(&order) {
                assert_eq!(parts[usize::from(*part)].server, server_of(key), "{key}");
            }

            let node = |at: usize| current.node(args[at]);
            let divided = Divided {
                split: Split::Mget,
                parts: (1..args.len())
                    .map(|at| Part { node: node(at), at })
                    .collect(),
                args: args.to_vec(),
            };
            let mut batch = Batch::new(vec![Entry {
                cmd: &cmd,
                known: Known {
                    row: routing::split_read(&cmd),
                    is_read: true,
                },
                body: Body::Split(Box::new(divided)),
                script: None,
            }]);
            let groups = batch.group(&current, Lane::Shared, &mut false);
            let names: Vec<&str> = groups.iter().map(|group| &**group.server.name()).collect();
            assert_eq!(names, ["a", "b", "c"], "{asked:?}");
        }
        assert_eq!(firsts, [true; 3], "each server had the first key once");
    }
}
