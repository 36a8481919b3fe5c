//! Batches: one round sends what is pending to every server at once; rounds follow until every entry has its result.

use super::batch::{Batch, Ended, Group, GroupEnd};
use super::lease::refused;
use super::retry::pause;
use super::{Entry, Manner, Misses, Outcome, Scatter, broken_outcomes};
use crate::config::Mode;
use crate::connection::{Cause, Delivery, Item, Items, Parcel, Refusal, Script, Ticket};
use crate::control::Current;
use crate::error::Error;
use crate::pool::Server;
use futures::future::join_all;
use redis::{Cmd, Value};
use std::sync::Arc;

/// A non-atomic pipeline enters a connection in pieces of this many commands, so that others get between.
const PIECE_COMMANDS: usize = 1000;

impl Scatter {
    /// Sends a batch and returns one result per entry, in order. Entries of one node keep their order; what failed on one server says
    /// nothing about the others. Refused entries are answered as such and the others sent: the caller decides first whether it wants that.
    pub(crate) async fn many(
        &self,
        entries: Vec<Entry<'_>>,
        manner: Manner,
    ) -> Vec<Result<Value, Error>> {
        self.go_through(Batch::new(entries), 0, manner).await
    }

    /// As `many`, but what becomes of a read whose server is down is said by the caller.
    pub(crate) async fn many_with(
        &self,
        entries: Vec<Entry<'_>>,
        manner: Manner,
        misses: Misses,
    ) -> Vec<Result<Value, Error>> {
        let mut batch = Batch::new(entries);
        batch.misses = misses;
        self.go_through(batch, 0, manner).await
    }

    /// Sends what is pending of a batch, round by round, until nothing is. `failures` is how many rounds have failed before.
    pub(super) async fn go_through(
        &self,
        mut batch: Batch<'_>,
        mut failures: u32,
        manner: Manner,
    ) -> Vec<Result<Value, Error>> {
        batch.take_turn(self);
        while batch.has_pending() {
            let current = self.control.load_full();
            let mut held = false;
            let groups = batch.group(&current, manner.lane, &mut held);
            if groups.is_empty() && held {
                match self.hold(current.generation, manner.deadline).await {
                    Outcome::NotSent(cause) => {
                        batch.fail_pending(&cause, &current);
                        break;
                    }
                    _ => continue,
                }
            }
            let ends = join_all(
                groups
                    .into_iter()
                    .map(|group| self.send_group(group, &current, &batch, manner)),
            )
            .await;
            let mut wait = None;
            for end in ends {
                wait = wait.max(batch.settle(end, &current, failures, manner));
            }
            if let Some(wait) = wait {
                failures += 1;
                pause(wait, manner.deadline).await;
                batch.take_turn(self);
            }
        }
        let may_miss = batch.misses == Misses::OfMode;
        let (cache, values_bytes_max) = {
            let config = &self.control.load().config;
            let cache = may_miss && config.mode() == Mode::Cache;
            (cache, config.limits().gather_bytes_max)
        };
        let mut results = Vec::with_capacity(batch.slots.len());
        for (entry, mut slot) in batch.entries.iter().zip(batch.slots) {
            if cache {
                slot.forgive(entry);
            }
            results.push(match slot.finish(entry, values_bytes_max) {
                Ok(value) => Ok(value),
                Err((error, _)) if !may_miss => Err(error),
                Err((error, server)) => {
                    self.or_miss(entry.cmd, entry.known, server.as_ref(), error)
                }
            });
        }
        results
    }

    /// Pushes a group's commands in pieces, then awaits them all.
    async fn send_group(
        &self,
        group: Group,
        current: &Current<Server>,
        batch: &Batch<'_>,
        manner: Manner,
    ) -> GroupEnd {
        let Group {
            server,
            outbox,
            shipments,
        } = group;
        server.budget().earn(shipments.len());
        // What nobody knows may change its connection: the group has one of its own then.
        let lease = if batch.needs_lease() {
            let nodes = batch.homes(&shipments);
            match server
                .lease(nodes, current.generation, manner.deadline)
                .await
            {
                Ok(lease) => Some(lease),
                Err(cause) => {
                    let outcome = || match &cause {
                        Cause::NodeMoved => Outcome::Stale,
                        cause => Outcome::NotSent(cause.clone()),
                    };
                    let ended = Ended::Mixed(shipments.iter().map(|_| outcome()).collect());
                    return GroupEnd {
                        server,
                        outbox,
                        shipments,
                        ended,
                    };
                }
            }
        } else {
            None
        };
        let (outbox, generation) = match &lease {
            // A lease belongs to its nodes, and a switch that takes one away closes it.
            Some(lease) => (lease.link().outbox().clone(), u64::MAX),
            None => (outbox, current.generation),
        };
        let subs: Vec<Option<Cmd>> = if batch.is_split() {
            shipments
                .iter()
                .map(|shipment| batch.sub_command(shipment))
                .collect()
        } else {
            Vec::new()
        };
        let items: Vec<Item<'_>> = shipments
            .iter()
            .enumerate()
            .map(|(at, shipment)| {
                let entry = &batch.entries[shipment.entry];
                Item {
                    cmd: subs.get(at).and_then(Option::as_ref).unwrap_or(entry.cmd),
                    command: entry.known.id(),
                }
            })
            .collect();
        let mut tickets = Vec::with_capacity(1);
        let mut stopped: Option<Outcome> = None;
        // Small beside the bound, or a piece would wait for a moment at which nobody else uses the connection.
        let bound = server.settings().limits.in_flight_max as usize;
        let piece_commands = PIECE_COMMANDS.min((bound / 4).max(1));
        for (piece, chunk) in items.chunks(piece_commands).enumerate() {
            let first = piece * piece_commands;
            let scripts: Vec<Arc<Script>> = shipments[first..first + chunk.len()]
                .iter()
                .filter_map(|shipment| batch.entries[shipment.entry].script.clone())
                .collect();
            let parcel = Parcel {
                items: match chunk {
                    [item] => Items::One(*item),
                    items => Items::Many(items),
                },
                scripts: &scripts,
                started: manner.started,
                deadline: manner.deadline,
                behind: tickets
                    .last()
                    .map(|(ticket, _): &(Ticket, usize)| ticket.incarnation()),
                blocking: false,
                no_reply: false,
            };
            // The first piece usually fits at once; later ones wait for room behind it.
            let pushed = match outbox.push(generation, &parcel) {
                Ok(ticket) => Ok(ticket),
                Err(Refusal::Stale) => Err(Outcome::Stale),
                Err(refusal) if lease.is_some() && !matches!(refusal, Refusal::Full) => {
                    Err(Outcome::NotSent(refused(refusal)))
                }
                Err(_) => {
                    let pushed = self.push_patiently(&server, &outbox, generation, &parcel);
                    self.or_elsewhere(batch.target(&shipments), &server, pushed)
                        .await
                }
            };
            match pushed {
                Ok(ticket) => tickets.push((ticket, chunk.len())),
                Err(outcome) => {
                    stopped = Some(outcome);
                    break;
                }
            }
        }
        let mut ended = Ended::Well(Vec::new());
        for (ticket, count) in tickets {
            ended = ended.and(ticket.await, count);
        }
        let answered = ended.len();
        if answered < shipments.len() {
            let mut outcomes = ended.into_outcomes();
            outcomes.resize_with(shipments.len(), || match &stopped {
                Some(Outcome::NotSent(cause)) => Outcome::NotSent(cause.clone()),
                _ => Outcome::Stale,
            });
            ended = Ended::Mixed(outcomes);
        }
        if let Some(lease) = lease
            && ended.is_answered()
        {
            lease.return_clean();
        }
        GroupEnd {
            server,
            outbox,
            shipments,
            ended,
        }
    }
}

impl Ended {
    /// What the next parcel's delivery adds.
    fn and(self, delivery: Delivery, count: usize) -> Ended {
        let is_plain = |value: &Value| !matches!(value, Value::ServerError(_));
        let (values, broken) = match delivery {
            Delivery::Reply(value) => (vec![value], None),
            Delivery::Replies(values) => (values, None),
            Delivery::Broken(broken) => (Vec::new(), Some(broken)),
        };
        match self {
            Ended::Well(mut before) if broken.is_none() && values.iter().all(is_plain) => {
                Ended::Well(if before.is_empty() {
                    values
                } else {
                    before.extend(values);
                    before
                })
            }
            before => {
                let mut outcomes = before.into_outcomes();
                outcomes.extend(values.into_iter().map(Outcome::Reply));
                if let Some(broken) = broken {
                    outcomes.extend(broken_outcomes(*broken, count));
                }
                Ended::Mixed(outcomes)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Ended::Well(values) => values.len(),
            Ended::Mixed(outcomes) => outcomes.len(),
        }
    }

    fn is_answered(&self) -> bool {
        match self {
            Ended::Well(_) => true,
            Ended::Mixed(outcomes) => outcomes
                .iter()
                .all(|outcome| matches!(outcome, Outcome::Reply(_))),
        }
    }

    fn into_outcomes(self) -> Vec<Outcome> {
        match self {
            Ended::Well(values) => values.into_iter().map(Outcome::Reply).collect(),
            Ended::Mixed(outcomes) => outcomes,
        }
    }
}
