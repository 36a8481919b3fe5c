//! A batch under way: what is pending, by connection; what is known, by entry; and what may be sent again.

use super::merge::merge_replies;
use super::{
    Body, Entry, Manner, Outcome, RENEW_EVERY, fail, is_absence, is_transient, not_executed,
};
use crate::command::Split;
use crate::connection::{Cause, Outbox, backoff};
use crate::control::Current;
use crate::error::{Error, ErrorKind, Partial};
use crate::placement::NodeId;
use crate::pool::{Lane, Server};
use crate::routing::{self, Gate};
use redis::{Cmd, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A batch under way.
pub(super) struct Batch<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) slots: Vec<Slot>,
}

/// What is known of one entry so far.
pub(super) enum Slot {
    Pending,
    Done(Result<Value, (Error, Option<Arc<Server>>)>),
    /// Per part of a split entry: the value (MGET) or that it was done.
    Split {
        parts: Vec<PartState>,
        sum: i64,
        error: Option<(Error, Option<Arc<Server>>)>,
    },
    /// Per server name.
    Everywhere {
        generation: u64,
        replies: BTreeMap<Arc<str>, Result<Value, Error>>,
    },
}

pub(super) enum PartState {
    Pending,
    Done(Value),
    /// Not done because its server is down: what cache mode forgives.
    Absent,
    Failed,
    Unknown,
}

/// Commands of one batch for one connection, in order.
pub(super) struct Group {
    pub(super) server: Arc<Server>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) shipments: Vec<Shipment>,
}

/// One command as it is sent: an entry, or those parts of it that go to one server.
pub(super) struct Shipment {
    pub(super) entry: usize,
    /// Indexes into the parts of a split entry.
    pub(super) parts: Vec<usize>,
    /// Whose order it must keep.
    pub(super) nodes: Vec<NodeId>,
}

pub(super) struct GroupEnd {
    pub(super) server: Arc<Server>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) shipments: Vec<Shipment>,
    pub(super) outcomes: Vec<Outcome>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(entries: Vec<Entry<'a>>) -> Batch<'a> {
        let slots = entries
            .iter()
            .map(|entry| match &entry.body {
                Body::Node(_) | Body::Server(_) => Slot::Pending,
                Body::Split { parts, .. } => Slot::Split {
                    parts: parts.iter().map(|_| PartState::Pending).collect(),
                    sum: 0,
                    error: None,
                },
                Body::Everywhere(_) => Slot::Everywhere {
                    generation: 0,
                    replies: BTreeMap::new(),
                },
                Body::Refused(error) => Slot::Done(Err((error.clone(), None))),
            })
            .collect();
        Batch { entries, slots }
    }

    pub(super) fn has_pending(&self) -> bool {
        self.slots.iter().any(|slot| match slot {
            Slot::Pending => true,
            Slot::Done(_) => false,
            Slot::Split { parts, .. } => {
                parts.iter().any(|part| matches!(part, PartState::Pending))
            }
            Slot::Everywhere { generation, .. } => *generation != u64::MAX,
        })
    }

    /// Pending work by connection. Entries whose node is held or refused now are left out, or failed.
    pub(super) fn group(
        &mut self,
        current: &Current<Server>,
        lane: Lane,
        held: &mut bool,
    ) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        // By server and connection number; small, so a scan per command would do, but a table is as short.
        let mut index: Vec<Option<usize>> = vec![None; current.servers.len() * 64];
        let mut ship = |server: usize, node: NodeId, shipment: Shipment| {
            let target = &current.servers[server];
            let place = server * 64 + node.index() % target.width(lane).max(1);
            let group = *index[place].get_or_insert_with(|| {
                groups.push(Group {
                    server: target.clone(),
                    outbox: target.link(lane, node).outbox().clone(),
                    shipments: Vec::new(),
                });
                groups.len() - 1
            });
            // Parts of one entry for one connection become one command.
            match groups[group].shipments.last_mut() {
                Some(last) if last.entry == shipment.entry && !last.parts.is_empty() => {
                    last.parts.extend(shipment.parts);
                    last.nodes.extend(shipment.nodes);
                }
                _ => groups[group].shipments.push(shipment),
            }
        };
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            let is_read = entry.known.is_read;
            match (&entry.body, &mut self.slots[at]) {
                (Body::Node(node), slot @ Slot::Pending) => {
                    match routing::gate(&current.topology, *node, is_read) {
                        Gate::Send => {
                            let server = current.topology.server_of(*node).index();
                            ship(
                                server,
                                *node,
                                Shipment {
                                    entry: at,
                                    parts: Vec::new(),
                                    nodes: vec![*node],
                                },
                            );
                        }
                        Gate::Hold | Gate::Import => *held = true,
                        Gate::Refuse(why) => {
                            let error = Error::new(ErrorKind::Refused, why)
                                .of_command(entry.known.name())
                                .at_node(*node);
                            *slot = Slot::Done(Err((error, None)));
                        }
                    }
                }
                (Body::Server(name), slot @ Slot::Pending) => {
                    match current.topology.server_by_name(name) {
                        Some(id) => ship(
                            id.index(),
                            NodeId(0),
                            Shipment {
                                entry: at,
                                parts: Vec::new(),
                                nodes: vec![NodeId(0)],
                            },
                        ),
                        None => {
                            let why = format!("the topology has no server {name:?} any more");
                            *slot = Slot::Done(Err((
                                Error::new(ErrorKind::Refused, why).of_command(entry.known.name()),
                                None,
                            )));
                        }
                    }
                }
                (
                    Body::Split { parts, .. },
                    Slot::Split {
                        parts: states,
                        error,
                        ..
                    },
                ) => {
                    for (i, part) in parts.iter().enumerate() {
                        if !matches!(states[i], PartState::Pending) {
                            continue;
                        }
                        match routing::gate(&current.topology, part.node, is_read) {
                            Gate::Send => {
                                let server = current.topology.server_of(part.node).index();
                                ship(
                                    server,
                                    part.node,
                                    Shipment {
                                        entry: at,
                                        parts: vec![i],
                                        nodes: vec![part.node],
                                    },
                                );
                            }
                            Gate::Hold | Gate::Import => *held = true,
                            Gate::Refuse(why) => {
                                states[i] = PartState::Failed;
                                let refused = Error::new(ErrorKind::Refused, why)
                                    .of_command(entry.known.name())
                                    .at_node(part.node);
                                error.get_or_insert((refused, None));
                            }
                        }
                    }
                }
                (
                    Body::Everywhere(_),
                    Slot::Everywhere {
                        generation,
                        replies,
                    },
                ) if *generation != u64::MAX => {
                    // A merged read over two topologies would count a moved node twice or not at all.
                    if is_read && *generation != current.generation {
                        replies.clear();
                    }
                    *generation = current.generation;
                    let mut complete = true;
                    for (server, target) in current.servers.iter().enumerate() {
                        if !replies.contains_key(target.name()) {
                            complete = false;
                            ship(
                                server,
                                NodeId(0),
                                Shipment {
                                    entry: at,
                                    parts: Vec::new(),
                                    nodes: Vec::new(),
                                },
                            );
                        }
                    }
                    if complete {
                        *generation = u64::MAX;
                    }
                }
                _ => {}
            }
        }
        groups
    }

    pub(super) fn command(&self, shipment: &Shipment) -> Cow<'_, Cmd> {
        let entry = &self.entries[shipment.entry];
        match &entry.body {
            Body::Split { split, args, parts } => Cow::Owned(routing::sub_command(
                args,
                *split,
                shipment.parts.iter().map(|part| parts[*part].at),
            )),
            _ => Cow::Borrowed(entry.cmd),
        }
    }

    /// Takes a group's outcomes in. `Some(wait)` when something of it is to be sent again after that wait.
    pub(super) fn settle(
        &mut self,
        end: GroupEnd,
        current: &Current<Server>,
        failures: u32,
        manner: Manner,
    ) -> Option<Duration> {
        let GroupEnd {
            server,
            outbox,
            shipments,
            mut outcomes,
        } = end;
        let is_plain = |outcome: &Outcome| match outcome {
            Outcome::Reply(value) => !matches!(value, Value::ServerError(_)),
            _ => false,
        };
        if outcomes.iter().all(is_plain) {
            // As nearly always: nothing to weigh.
            for (shipment, outcome) in shipments.iter().zip(outcomes) {
                if let Outcome::Reply(value) = outcome {
                    self.store(shipment, Ok(value), &server, current);
                }
            }
            return None;
        }
        let retry = &server.settings().retry;
        let mut wait = Duration::ZERO;
        // What the server said to those that are taken for not sent: their reply after all, if they are not sent again.
        let mut said: HashMap<usize, Value> = HashMap::new();
        // LOADING and the like mean "not executed", but sending such a command again must not overtake a later one of its node.
        let mut executed_later: HashSet<NodeId> = HashSet::new();
        let mut renew = false;
        for (at, (shipment, outcome)) in shipments.iter().zip(&mut outcomes).enumerate().rev() {
            let entry = &self.entries[shipment.entry];
            if let Outcome::Reply(value) = outcome {
                if let Value::ServerError(error) = value {
                    if error.code() == "NOSCRIPT"
                        && let Some(script) = &entry.script
                    {
                        outbox.forget_script(&script.sha);
                        if !shipment
                            .nodes
                            .iter()
                            .any(|node| executed_later.contains(node))
                        {
                            let why = Cause::Dropped("the server has lost the script");
                            if let Outcome::Reply(value) =
                                std::mem::replace(outcome, Outcome::NotSent(why))
                            {
                                said.insert(at, value);
                            }
                            continue;
                        }
                    } else if not_executed(error)
                        && !entry.known.runs_scripts()
                        && failures + 1 < retry.attempts_max
                        && !shipment
                            .nodes
                            .iter()
                            .any(|node| executed_later.contains(node))
                    {
                        renew |= error.code() == "READONLY";
                        wait = wait.max(backoff(retry, failures + 3));
                        let why = Cause::Dropped("the server could not execute just now");
                        if let Outcome::Reply(value) =
                            std::mem::replace(outcome, Outcome::NotSent(why))
                        {
                            said.insert(at, value);
                        }
                        continue;
                    }
                }
                executed_later.extend(shipment.nodes.iter().copied());
            }
        }
        if renew {
            outbox.renew(
                Cause::Dropped("the server has become read-only"),
                RENEW_EVERY,
            );
        }
        let lost = |outcome: &Outcome| match outcome {
            Outcome::NotSent(cause) | Outcome::Unknown(cause) => Some(cause.clone()),
            _ => None,
        };
        let any_lost = outcomes.iter().find_map(lost);
        let may_retry = any_lost.as_ref().is_some_and(is_transient)
            && failures + 1 < retry.attempts_max
            && Instant::now() + wait < manner.deadline
            && server.budget().spend();
        // The unanswered commands of one node are sent again only if none of them can have been executed, or all are reads; and nothing
        // of a node is sent behind a command of it that failed. A command over several nodes ties them together.
        let mut bad: HashSet<NodeId> = HashSet::new();
        let unanswered_writes: HashSet<NodeId> = shipments
            .iter()
            .zip(&outcomes)
            .filter(|(shipment, outcome)| {
                !matches!(outcome, Outcome::Reply(_)) && !self.entries[shipment.entry].known.is_read
            })
            .flat_map(|(shipment, _)| shipment.nodes.iter().copied())
            .collect();
        loop {
            let before = bad.len();
            for (shipment, outcome) in shipments.iter().zip(&outcomes) {
                let fails = match outcome {
                    Outcome::Reply(_) => false,
                    Outcome::Stale => shipment.nodes.iter().any(|node| bad.contains(node)),
                    Outcome::NotSent(_) => {
                        !may_retry || shipment.nodes.iter().any(|node| bad.contains(node))
                    }
                    Outcome::Unknown(_) => {
                        !may_retry
                            || !self.entries[shipment.entry].known.is_read
                            || shipment.nodes.iter().any(|node| bad.contains(node))
                            || shipment
                                .nodes
                                .iter()
                                .any(|node| unanswered_writes.contains(node))
                    }
                };
                if fails {
                    bad.extend(shipment.nodes.iter().copied());
                }
            }
            if bad.len() == before {
                break;
            }
        }
        let mut again = false;
        for (at, (shipment, outcome)) in shipments.into_iter().zip(outcomes).enumerate() {
            let known = self.entries[shipment.entry].known;
            let tied = shipment.nodes.iter().any(|node| bad.contains(node));
            let final_outcome = match outcome {
                Outcome::Reply(value) => Ok(value),
                Outcome::Stale if !tied => continue,
                Outcome::Stale => Err(Error::new(
                    ErrorKind::NotSent,
                    "an earlier command of its node failed",
                )),
                Outcome::NotSent(_) | Outcome::Unknown(_)
                    if may_retry && !tied && (!shipment.nodes.is_empty() || known.is_read) =>
                {
                    server.stats().retried(known.id());
                    again = true;
                    continue;
                }
                Outcome::NotSent(_) if may_retry && shipment.nodes.is_empty() => {
                    again = true;
                    continue;
                }
                Outcome::NotSent(cause) => match said.remove(&at) {
                    Some(value) => Ok(value),
                    None => Err(fail(Some(&server), known, false, cause)),
                },
                Outcome::Unknown(cause) => Err(fail(Some(&server), known, true, cause)),
            };
            let final_outcome = final_outcome.map_err(|error| {
                let error = error.of_command(known.name()).at_server(server.name());
                match shipment.nodes.as_slice() {
                    [node] => error.at_node(*node),
                    _ => error,
                }
            });
            self.store(&shipment, final_outcome, &server, current);
        }
        again.then_some(wait)
    }

    fn store(
        &mut self,
        shipment: &Shipment,
        outcome: Result<Value, Error>,
        server: &Arc<Server>,
        current: &Current<Server>,
    ) {
        let entry = &self.entries[shipment.entry];
        match (&mut self.slots[shipment.entry], &entry.body) {
            (slot @ Slot::Pending, _) => {
                *slot = Slot::Done(outcome.map_err(|error| (error, Some(server.clone()))))
            }
            (Slot::Split { parts, sum, error }, Body::Split { split, .. }) => {
                let outcome = outcome.and_then(|value| match value {
                    Value::ServerError(error) => Err(Error::from_server(error)
                        .of_command(entry.known.name())
                        .at_server(server.name())),
                    value => Ok(value),
                });
                match (outcome, split) {
                    (Ok(Value::Array(values)), Split::Mget)
                        if values.len() == shipment.parts.len() =>
                    {
                        for (part, value) in shipment.parts.iter().zip(values) {
                            parts[*part] = PartState::Done(value);
                        }
                    }
                    (Ok(Value::Int(n)), Split::Sum) => {
                        *sum += n;
                        shipment
                            .parts
                            .iter()
                            .for_each(|part| parts[*part] = PartState::Done(Value::Nil));
                    }
                    (Ok(_), Split::Mset) => {
                        shipment
                            .parts
                            .iter()
                            .for_each(|part| parts[*part] = PartState::Done(Value::Nil));
                    }
                    (Ok(_), _) => {
                        shipment
                            .parts
                            .iter()
                            .for_each(|part| parts[*part] = PartState::Unknown);
                        let odd = Error::new(
                            ErrorKind::UnexpectedReply,
                            "the reply has another shape than the command's",
                        )
                        .of_command(entry.known.name())
                        .at_server(server.name());
                        error.get_or_insert((odd, Some(server.clone())));
                    }
                    (Err(failed), _) => {
                        for part in &shipment.parts {
                            parts[*part] = match failed.kind() {
                                kind if is_absence(kind, entry.known.is_read) => PartState::Absent,
                                ErrorKind::Unknown => PartState::Unknown,
                                _ => PartState::Failed,
                            };
                        }
                        error.get_or_insert((failed, Some(server.clone())));
                    }
                }
            }
            (
                Slot::Everywhere {
                    replies,
                    generation,
                },
                _,
            ) => {
                let outcome = match (outcome, entry.known.name()) {
                    (Ok(Value::Array(keys)), "KEYS") => {
                        Ok(Value::Array(own_keys(keys, server, current)))
                    }
                    (outcome, _) => outcome,
                };
                replies.insert(server.name().clone(), outcome);
                if current
                    .servers
                    .iter()
                    .all(|server| replies.contains_key(server.name()))
                {
                    *generation = u64::MAX;
                }
            }
            _ => {}
        }
    }

    pub(super) fn fail_pending(&mut self, cause: &Cause) {
        for (entry, slot) in self.entries.iter().zip(&mut self.slots) {
            match slot {
                Slot::Pending => {
                    let error = fail(None, entry.known, false, cause.clone())
                        .of_command(entry.known.name());
                    *slot = Slot::Done(Err((error, None)));
                }
                Slot::Split { parts, error, .. } => {
                    for part in parts
                        .iter_mut()
                        .filter(|part| matches!(part, PartState::Pending))
                    {
                        *part = PartState::Failed;
                        error.get_or_insert_with(|| {
                            (
                                fail(None, entry.known, false, cause.clone())
                                    .of_command(entry.known.name()),
                                None,
                            )
                        });
                    }
                }
                Slot::Everywhere { generation, .. } => *generation = u64::MAX,
                Slot::Done(_) => {}
            }
        }
    }
}

impl Slot {
    /// In cache mode the keys of a server that is down are misses, and a plain MSET to it is dropped; both are counted.
    pub(super) fn forgive(&mut self, entry: &Entry<'_>) {
        let (Slot::Split { parts, error, .. }, Some(row)) = (self, entry.known.row) else {
            return;
        };
        if row.miss == crate::command::Miss::None
            || parts
                .iter()
                .any(|part| matches!(part, PartState::Failed | PartState::Unknown))
        {
            return;
        }
        let Some((_, server)) = error.take() else {
            return;
        };
        for part in parts
            .iter_mut()
            .filter(|part| matches!(part, PartState::Absent))
        {
            *part = PartState::Done(Value::Nil);
            match &server {
                Some(server) if row.miss == crate::command::Miss::DroppedWrite => {
                    server.stats().cache_write_dropped(row.id.0)
                }
                Some(server) => server.stats().cache_miss_answered(row.id.0),
                None => {}
            }
        }
    }

    /// The entry's one result.
    pub(super) fn finish(self, entry: &Entry<'_>) -> Result<Value, (Error, Option<Arc<Server>>)> {
        match (self, &entry.body) {
            (Slot::Done(result), _) => result,
            (
                Slot::Split { parts, sum, error },
                Body::Split {
                    split,
                    args,
                    parts: places,
                },
            ) => match error {
                None => Ok(match split {
                    Split::Mget => Value::Array(
                        parts
                            .into_iter()
                            .map(|part| match part {
                                PartState::Done(value) => value,
                                _ => Value::Nil,
                            })
                            .collect(),
                    ),
                    Split::Mset => Value::Okay,
                    Split::Sum => Value::Int(sum),
                }),
                Some((first, server)) => {
                    // Refused as a whole or in part: the caller must see which keys.
                    let mut partial = Partial::default();
                    for (state, place) in parts.iter().zip(places) {
                        let key = args[place.at].to_vec();
                        match state {
                            PartState::Done(_) => partial.done.push(key),
                            PartState::Unknown => partial.unknown.push(key),
                            PartState::Absent | PartState::Failed | PartState::Pending => {
                                partial.failed.push(key)
                            }
                        }
                    }
                    if partial.done.is_empty()
                        && (partial.unknown.is_empty() || partial.failed.is_empty())
                    {
                        return Err((first.with_partial(partial), server));
                    }
                    let message = format!(
                        "{} of {} keys done, {} failed, {} unknown; the first failure: {first}",
                        partial.done.len(),
                        parts.len(),
                        partial.failed.len(),
                        partial.unknown.len()
                    );
                    let error = Error::new(ErrorKind::Partial, message)
                        .of_command(entry.known.name())
                        .with_partial(partial);
                    Err((error, server))
                }
            },
            (Slot::Everywhere { replies, .. }, Body::Everywhere(merge)) => {
                merge_replies(*merge, replies, entry.known.row).map_err(|error| (error, None))
            }
            _ => Err((
                Error::new(ErrorKind::NotSent, "the batch ended before this command")
                    .of_command(entry.known.name()),
                None,
            )),
        }
    }
}

/// The keys that a server holds by right: left out are those of nodes that live elsewhere now, and our own.
pub(crate) fn own_keys(
    keys: Vec<Value>,
    server: &Arc<Server>,
    current: &Current<Server>,
) -> Vec<Value> {
    keys.into_iter()
        .filter(|key| match key {
            Value::BulkString(key) => {
                !key.starts_with(routing::RESERVED_PREFIX)
                    && Arc::ptr_eq(current.server_of(current.node(key)), server)
            }
            _ => true,
        })
        .collect()
}
