//! A batch under way: what is pending, by connection; what is known, by entry; and what may be sent again.

use super::merge::merge_replies;
use super::settle::{Attempted, Came, Next, settle};
use super::turns::is_other_up;
use super::{
    Body, Choice, Divided, Entry, Manner, Misses, Outcome, RENEW_EVERY, Scatter, Target, Tried,
    fail, is_absence, is_down, is_transient, may_be_read_again,
};
use crate::command::Split;
use crate::connection::{Cause, Outbox, backoff};
use crate::control::Current;
use crate::error::{Error, ErrorKind, Partial, PartialKeys};
use crate::placement::NodeId;
use crate::pool::{Lane, Server};
use crate::reply_code;
use crate::routing::{self, Gate, Part};
use crate::topology::ServerId;
use redis::{Cmd, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A batch under way.
pub(super) struct Batch<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) slots: Vec<Slot>,
    /// For what any node serves, if the batch has such commands.
    turn: Option<Turn>,
    pub(super) misses: Misses,
    /// By entry.
    past: Vec<Past>,
    needs_lease: bool,
}

/// What the rounds before have done to one entry.
#[derive(Clone, Copy, Default)]
struct Past {
    /// It was written and not answered.
    may_have_run: bool,
    /// It is a read that was sent again after a silence, which is done once.
    was_silent: bool,
}

/// The node of what any node serves.
#[derive(Default)]
struct Turn {
    node: NodeId,
    tried: Tried,
    /// A write was answered: what reads it must not be asked elsewhere.
    stays: bool,
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
    pub(super) place: Place,
}

/// What of its entry a shipment carries, which says whose order it must keep.
pub(super) enum Place {
    /// All of it, for this node.
    Node(NodeId),
    /// These parts of a split entry.
    Parts(Vec<u32>),
    /// What goes to every server, and keeps no order.
    Everywhere,
}

impl Shipment {
    /// The parts of a split entry; none for what is sent whole.
    fn parts(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        let parts: &[u32] = match &self.place {
            Place::Parts(parts) => parts,
            Place::Node(_) | Place::Everywhere => &[],
        };
        parts.iter().map(|part| *part as usize)
    }

    fn nodes<'s>(&'s self, entries: &'s [Entry<'_>]) -> impl Iterator<Item = NodeId> + 's {
        let whole = match self.place {
            Place::Node(node) => Some(node),
            Place::Parts(_) | Place::Everywhere => None,
        };
        let split: &[Part] = match &entries[self.entry].body {
            Body::Split(split) => &split.parts,
            _ => &[],
        };
        whole
            .into_iter()
            .chain(self.parts().map(|part| split[part].node))
    }
}

/// How the commands of a group ended, in their order.
pub(super) enum Ended {
    /// All got a reply that is not an error.
    Well(Vec<Value>),
    Mixed(Vec<Outcome>),
}

pub(super) struct GroupEnd {
    pub(super) server: Arc<Server>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) shipments: Vec<Shipment>,
    pub(super) ended: Ended,
}

impl<'a> Batch<'a> {
    pub(super) fn new(entries: Vec<Entry<'a>>) -> Batch<'a> {
        let mut turn: Option<Turn> = None;
        let slots = entries
            .iter()
            .map(|entry| match &entry.body {
                Body::Node(_) | Body::Server(_) => Slot::Pending,
                Body::Any => {
                    turn.get_or_insert_default();
                    Slot::Pending
                }
                Body::Split(split) => Slot::Split {
                    parts: split.parts.iter().map(|_| PartState::Pending).collect(),
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
        let is_unknown = |entry: &Entry<'_>| {
            entry.known.row.is_none() && !matches!(entry.body, Body::Refused(_))
        };
        Batch {
            past: vec![Past::default(); entries.len()],
            needs_lease: entries.iter().any(is_unknown),
            entries,
            slots,
            turn,
            misses: Misses::OfMode,
        }
    }

    /// Gives what any node serves to the next one, if it may go there.
    pub(super) fn take_turn(&mut self, scatter: &Scatter) {
        if let Some(turn) = self.turn.as_mut().filter(|turn| !turn.stays) {
            turn.node = scatter.next_node(&turn.tried);
        }
    }

    /// Where a group goes, or would go next.
    pub(super) fn target(&self, shipments: &[Shipment]) -> Target<'static> {
        let is_any = |shipment: &Shipment| matches!(self.entries[shipment.entry].body, Body::Any);
        match &self.turn {
            Some(turn) if !turn.stays && shipments.iter().any(is_any) => {
                Target::Node(turn.node, Choice::Any)
            }
            _ => Target::Node(NodeId(0), Choice::Only),
        }
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
    ///
    /// Always in the order of the servers, whichever has the first command. On a host with several servers a
    /// caller that asks them in another order each time has been seen to gather them on one processor, where they take turns (BENCHMARKS.md).
    pub(super) fn group(
        &mut self,
        current: &Current<Server>,
        lane: Lane,
        held: &mut bool,
    ) -> Vec<Group> {
        let mut grouping = Grouping::new(current, lane, self.entries.len());
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            let is_read = entry.known.is_read;
            match (&entry.body, &mut self.slots[at]) {
                (body @ (Body::Node(_) | Body::Any), slot @ Slot::Pending) => {
                    let node = match (body, &self.turn) {
                        (Body::Node(node), _) => *node,
                        (_, turn) => turn.as_ref().map_or(NodeId(0), |turn| turn.node),
                    };
                    match routing::gate(&current.topology, node, is_read) {
                        Gate::Send => {
                            grouping.add(current.topology.server_of(node), node, at);
                        }
                        Gate::Hold | Gate::Import => *held = true,
                        Gate::Refuse(why) => {
                            let server = Some(current.server_of(node));
                            let error =
                                fail(server, entry.known, false, Cause::Refused(why.into()))
                                    .of_command(entry.known.name())
                                    .at_node(node);
                            *slot = Slot::Done(Err((error, None)));
                        }
                    }
                }
                (Body::Server(named), slot @ Slot::Pending) => match named.find(current) {
                    Ok(id) => grouping.add(id, NodeId(0), at),
                    Err(why) => {
                        let error =
                            Error::new(ErrorKind::Refused, why).of_command(entry.known.name());
                        *slot = Slot::Done(Err((error, None)));
                    }
                },
                (
                    Body::Split(split),
                    Slot::Split {
                        parts: states,
                        error,
                        ..
                    },
                ) => {
                    for (i, part) in split.parts.iter().enumerate() {
                        if !matches!(states[i], PartState::Pending) {
                            continue;
                        }
                        match routing::gate(&current.topology, part.node, is_read) {
                            Gate::Send => {
                                let server = current.topology.server_of(part.node);
                                grouping.add_part(server, part.node, at, i);
                            }
                            Gate::Hold | Gate::Import => *held = true,
                            Gate::Refuse(why) => {
                                states[i] = PartState::Failed;
                                error.get_or_insert_with(|| {
                                    let server = Some(current.server_of(part.node));
                                    let cause = Cause::Refused(why.into());
                                    let refused = fail(server, entry.known, false, cause)
                                        .of_command(entry.known.name())
                                        .at_node(part.node);
                                    (refused, None)
                                });
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
                            grouping.add_everywhere(ServerId(server as u16), at);
                        }
                    }
                    if complete {
                        *generation = u64::MAX;
                    }
                }
                _ => {}
            }
        }
        in_order(grouping.groups, &grouping.index)
    }

    /// Some entry is sent in parts.
    pub(super) fn is_split(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| matches!(entry.body, Body::Split(_)))
    }

    /// The command that carries these parts of a split entry.
    pub(super) fn sub_command(&self, shipment: &Shipment) -> Option<Cmd> {
        let Body::Split(split) = &self.entries[shipment.entry].body else {
            return None;
        };
        let keys = shipment.parts().map(|part| split.parts[part].at);
        Some(routing::sub_command(&split.args, split.split, keys))
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
            ended,
        } = end;
        let outcomes = match ended {
            // As nearly always: nothing to weigh.
            Ended::Well(values) => {
                for (shipment, value) in shipments.iter().zip(values) {
                    self.store(shipment, Ok(value), &server, current);
                }
                return None;
            }
            Ended::Mixed(outcomes) => outcomes,
        };
        for (shipment, outcome) in shipments.iter().zip(&outcomes) {
            if matches!(outcome, Outcome::Reply(_)) {
                self.answered(shipment.entry);
            }
            if matches!(outcome, Outcome::Unknown(_)) {
                self.past[shipment.entry].may_have_run = true;
            }
        }
        let elsewhere = self.target(&shipments).is_any() && is_other_up(current, &server);
        let round: Vec<Attempted> = shipments
            .iter()
            .zip(&outcomes)
            .map(|(shipment, outcome)| self.attempted(shipment, outcome, elsewhere))
            .collect();
        let retry = &server.settings().retry;
        let is_again = |next: &[Next]| {
            let mut all = next.iter().zip(&round);
            all.any(|(next, attempted)| *next == Next::Again && attempted.came != Came::Stale)
        };
        let mut next = settle(&round, failures + 1 < retry.attempts_max);
        let mut wait = Duration::ZERO;
        if is_again(&next) {
            if round
                .iter()
                .any(|attempted| attempted.came == Came::NotExecuted)
            {
                wait = backoff(retry, failures + 3);
            }
            if Instant::now() + wait >= manner.deadline || !server.budget().spend() {
                next = settle(&round, false);
            }
        }
        let again = is_again(&next);
        for ((shipment, outcome), next) in shipments.into_iter().zip(outcomes).zip(next) {
            let known = self.entries[shipment.entry].known;
            learn_from(&self.entries[shipment.entry], &outcome, &outbox);
            let past = &mut self.past[shipment.entry];
            let may_have_run = past.may_have_run;
            let failed =
                |cause| Err::<Value, Error>(fail(Some(&server), known, may_have_run, cause));
            let result = match (next, outcome) {
                (Next::Again, Outcome::Stale) => continue,
                (Next::Again, outcome) => {
                    server.stats().retried(known.id());
                    if matches!(outcome, Outcome::Unknown(Cause::Silent(_))) {
                        past.was_silent = true;
                    }
                    continue;
                }
                (_, Outcome::Reply(value)) => Ok(value),
                // That it may have run, by this attempt or an earlier one, is noted above.
                (_, Outcome::NotSent(cause) | Outcome::Unknown(cause)) => failed(cause),
                (_, Outcome::Stale) => {
                    failed(Cause::Dropped("an earlier command of its node failed"))
                }
            };
            let result = result.map_err(|error| {
                let error = error.of_command(known.name()).at_server(server.name());
                let mut nodes = shipment.nodes(&self.entries);
                match (nodes.next(), nodes.next()) {
                    (Some(node), None) => error.at_node(node),
                    _ => error,
                }
            });
            self.store(&shipment, result, &server, current);
        }
        if again && let Some(turn) = &mut self.turn {
            turn.tried.add(server);
        }
        again.then_some(wait)
    }

    /// One command of a round as [`settle`] sees it.
    fn attempted(&self, shipment: &Shipment, outcome: &Outcome, elsewhere: bool) -> Attempted {
        let entry = &self.entries[shipment.entry];
        let came = match outcome {
            Outcome::Reply(Value::ServerError(error)) => {
                let lacks_a_script = error.code() == "NOSCRIPT" && entry.script.is_some();
                let is_refused =
                    reply_code::is_transient(error.code()) && !entry.known.runs_scripts();
                if lacks_a_script || is_refused {
                    Came::NotExecuted
                } else {
                    Came::Reply
                }
            }
            Outcome::Reply(_) => Came::Reply,
            Outcome::NotSent(cause) => Came::NotSent {
                hopeful: is_transient(cause) || is_down(cause) && elsewhere,
            },
            Outcome::Unknown(cause) => {
                let was_silent =
                    matches!(cause, Cause::Silent(_)) && self.past[shipment.entry].was_silent;
                Came::Unknown {
                    hopeful: may_be_read_again(cause) && !was_silent,
                }
            }
            Outcome::Stale => Came::Stale,
        };
        Attempted {
            nodes: shipment.nodes(&self.entries).collect(),
            is_read: entry.known.is_read,
            came,
        }
    }

    /// The nodes that must stay on the server of a group.
    pub(super) fn homes(&self, shipments: &[Shipment]) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        for shipment in shipments {
            match &self.entries[shipment.entry].body {
                Body::Server(named) => nodes.extend(named.nodes()),
                _ => nodes.extend(shipment.nodes(&self.entries)),
            }
        }
        nodes
    }

    /// Some command of it is not known, and goes over a connection of its own.
    pub(super) fn needs_lease(&self) -> bool {
        self.needs_lease
    }

    fn answered(&mut self, entry: usize) {
        let entry = &self.entries[entry];
        if let (Body::Any, false, Some(turn)) = (&entry.body, entry.known.is_read, &mut self.turn) {
            turn.stays = true;
        }
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
            (Slot::Split { parts, sum, error }, Body::Split(split)) => {
                let outcome = outcome.and_then(|value| match value {
                    Value::ServerError(error) => Err(Error::from_server(error)
                        .of_command(entry.known.name())
                        .at_server(server.name())),
                    value => Ok(value),
                });
                match (outcome, split.split) {
                    (Ok(Value::Array(values)), Split::Mget)
                        if values.len() == shipment.parts().count() =>
                    {
                        for (part, value) in shipment.parts().zip(values) {
                            parts[part] = PartState::Done(value);
                        }
                    }
                    // A sum that does not fit is none: some server counts what it cannot have.
                    (Ok(Value::Int(n)), Split::Sum) if sum.checked_add(n).is_some() => {
                        *sum += n;
                        shipment
                            .parts()
                            .for_each(|part| parts[part] = PartState::Done(Value::Nil));
                    }
                    (Ok(_), Split::Mset) => {
                        shipment
                            .parts()
                            .for_each(|part| parts[part] = PartState::Done(Value::Nil));
                    }
                    (Ok(_), _) => {
                        shipment
                            .parts()
                            .for_each(|part| parts[part] = PartState::Unknown);
                        let odd = Error::new(
                            ErrorKind::UnexpectedReply,
                            "the reply has another shape than the command's",
                        )
                        .of_command(entry.known.name())
                        .at_server(server.name());
                        error.get_or_insert((odd, Some(server.clone())));
                    }
                    (Err(failed), _) => {
                        for part in shipment.parts() {
                            parts[part] = match failed.kind() {
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

    /// What is pending ends with `cause`. It counts for the server that its node is on.
    pub(super) fn fail_pending(&mut self, cause: &Cause, current: &Current<Server>) {
        for (entry, slot) in self.entries.iter().zip(&mut self.slots) {
            let failed = |node: Option<NodeId>| {
                let server = node.map(|node| current.server_of(node));
                let error = fail(server, entry.known, false, cause.clone());
                (error.of_command(entry.known.name()), None)
            };
            match slot {
                Slot::Pending => {
                    let node = match entry.body {
                        Body::Node(node) => Some(node),
                        _ => None,
                    };
                    *slot = Slot::Done(Err(failed(node)));
                }
                Slot::Split { parts, error, .. } => {
                    for (at, part) in parts
                        .iter_mut()
                        .enumerate()
                        .filter(|(_, part)| matches!(part, PartState::Pending))
                    {
                        *part = PartState::Failed;
                        let node = match &entry.body {
                            Body::Split(split) => split.parts.get(at).map(|part| part.node),
                            _ => None,
                        };
                        error.get_or_insert_with(|| failed(node));
                    }
                }
                Slot::Everywhere { generation, .. } => *generation = u64::MAX,
                Slot::Done(_) => {}
            }
        }
    }
}

/// What an error reply says about its connection.
fn learn_from(entry: &Entry<'_>, outcome: &Outcome, outbox: &Outbox) {
    let Outcome::Reply(Value::ServerError(error)) = outcome else {
        return;
    };
    match (error.code(), &entry.script) {
        ("NOSCRIPT", Some(script)) => outbox.forget_script(&script.sha),
        ("READONLY", _) if !entry.known.runs_scripts() => outbox.renew(
            Cause::Dropped("the server has become read-only"),
            RENEW_EVERY,
        ),
        _ => {}
    }
}

/// Pending work, by connection, while it is gathered.
struct Grouping<'c> {
    current: &'c Current<Server>,
    lane: Lane,
    groups: Vec<Group>,
    /// By server and connection number: the group's place in the list, plus 1.
    index: Vec<u32>,
    /// Connections of the server that has most.
    stride: usize,
    /// Shipments of one group, if they are spread evenly.
    expected: usize,
}

impl<'c> Grouping<'c> {
    fn new(current: &'c Current<Server>, lane: Lane, entries: usize) -> Grouping<'c> {
        let widths = current.servers.iter().map(|server| server.width(lane));
        let stride = widths.max().unwrap_or(1).max(1);
        Grouping {
            current,
            lane,
            groups: Vec::new(),
            index: vec![0; current.servers.len() * stride],
            stride,
            expected: entries / current.servers.len().max(1) + 1,
        }
    }

    fn shipments(&mut self, server: ServerId, node: NodeId) -> &mut Vec<Shipment> {
        let target = self.current.server(server);
        let connection = node.index() % target.width(self.lane).max(1);
        let index = &mut self.index[server.index() * self.stride + connection];
        if *index == 0 {
            self.groups.push(Group {
                server: target.clone(),
                outbox: target.link(self.lane, node).outbox().clone(),
                shipments: Vec::with_capacity(self.expected),
            });
            *index = self.groups.len() as u32;
        }
        &mut self.groups[*index as usize - 1].shipments
    }

    fn add(&mut self, server: ServerId, node: NodeId, entry: usize) {
        let place = Place::Node(node);
        self.shipments(server, node).push(Shipment { entry, place });
    }

    /// Parts of one entry for one connection become one command.
    fn add_part(&mut self, server: ServerId, node: NodeId, entry: usize, part: usize) {
        let shipments = self.shipments(server, node);
        match shipments.last_mut() {
            Some(Shipment {
                entry: last,
                place: Place::Parts(parts),
            }) if *last == entry => parts.push(part as u32),
            _ => shipments.push(Shipment {
                entry,
                place: Place::Parts(vec![part as u32]),
            }),
        }
    }

    fn add_everywhere(&mut self, server: ServerId, entry: usize) {
        let place = Place::Everywhere;
        self.shipments(server, NodeId(0))
            .push(Shipment { entry, place });
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
    pub(super) fn finish(
        self,
        entry: &Entry<'_>,
        values_bytes_max: u64,
    ) -> Result<Value, (Error, Option<Arc<Server>>)> {
        match (self, &entry.body) {
            (Slot::Done(result), _) => result,
            (Slot::Split { parts, sum, error }, Body::Split(divided)) => match error {
                None => Ok(match divided.split {
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
                    let error = incomplete(entry, divided, parts, first, values_bytes_max);
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

/// The error of a split entry of which some parts have failed: it says which, and keeps the values that came.
fn incomplete(
    entry: &Entry<'_>,
    divided: &Divided<'_>,
    parts: Vec<PartState>,
    first: Error,
    values_bytes_max: u64,
) -> Error {
    let mut partial = PartialKeys::default();
    for (state, place) in parts.iter().zip(&divided.parts) {
        let key = divided.args[place.at].to_vec();
        match state {
            PartState::Done(_) => partial.done.push(key),
            PartState::Unknown => partial.unknown.push(key),
            PartState::Absent | PartState::Failed | PartState::Pending => partial.failed.push(key),
        }
    }
    let (done, all) = (partial.done.len(), parts.len());
    let (failed, unknown) = (partial.failed.len(), partial.unknown.len());
    let is_of_one_kind = done == 0 && (unknown == 0 || failed == 0);
    if is_of_one_kind || first.kind() == ErrorKind::UnexpectedReply {
        return first.with_partial(Partial::Keys(partial));
    }
    let message = if divided.split == Split::Mget {
        let values: Vec<Option<Value>> = parts
            .into_iter()
            .map(|part| match part {
                PartState::Done(value) => Some(value),
                _ => None,
            })
            .collect();
        let bytes = values.iter().flatten().map(|value| match value {
            Value::BulkString(bytes) => bytes.len() as u64,
            _ => 0,
        });
        if bytes.sum::<u64>() <= values_bytes_max {
            partial.values = values;
        }
        format!(
            "the values of {done} of {all} keys came; cluster.query(..) and batch() give them with the error, by \
             error.partial(). The first failure: {first}"
        )
    } else {
        format!(
            "{done} of {all} keys done, {failed} failed, {unknown} unknown; the first failure: {first}"
        )
    };
    Error::new(ErrorKind::Partial, message)
        .of_command(entry.known.name())
        .with_partial(Partial::Keys(partial))
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

/// Groups in the order of an index that has the number of each, plus 1.
fn in_order<T>(groups: Vec<T>, index: &[u32]) -> Vec<T> {
    let mut groups: Vec<Option<T>> = groups.into_iter().map(Some).collect();
    let numbers = index.iter().filter(|number| **number > 0);
    numbers
        .filter_map(|number| groups[*number as usize - 1].take())
        .collect()
}
