//! Batches: one round sends what is pending to every server at once; rounds follow until every entry has its result.

use super::batch::{Batch, Group, GroupEnd};
use super::{Entry, Manner, Outcome, Scatter, pause};
use crate::config::Mode;
use crate::connection::{Broken, Cause, Delivery, Item, Items, Parcel, Refusal, Script, Ticket};
use crate::control::Current;
use crate::error::Error;
use crate::pool::Server;
use futures::future::join_all;
use redis::{Cmd, Value};
use std::borrow::Cow;
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
        let mut batch = Batch::new(entries);
        let mut failures = 0;
        while batch.has_pending() {
            let current = self.control.load_full();
            let mut held = false;
            let groups = batch.group(&current, manner.lane, &mut held);
            if groups.is_empty() && held {
                match self.hold(current.generation, manner.deadline).await {
                    Outcome::Stale => continue,
                    _ => {
                        batch.fail_pending(&Cause::Deadline);
                        break;
                    }
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
            }
        }
        let cache = self.control.load().config.mode() == Mode::Cache;
        let mut results = Vec::with_capacity(batch.slots.len());
        for (entry, mut slot) in batch.entries.iter().zip(batch.slots) {
            if cache {
                slot.forgive(entry);
            }
            results.push(match slot.finish(entry) {
                Ok(value) => Ok(value),
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
        let cmds: Vec<Cow<'_, Cmd>> = shipments
            .iter()
            .map(|shipment| batch.command(shipment))
            .collect();
        let mut outcomes = Vec::with_capacity(shipments.len());
        let mut tickets = Vec::new();
        let mut stopped: Option<Outcome> = None;
        // Small beside the bound, or a piece would wait for a moment at which nobody else uses the connection.
        let bound = server.settings().limits.in_flight_max as usize;
        let piece_commands = PIECE_COMMANDS.min((bound / 4).max(1));
        for (piece, chunk) in cmds.chunks(piece_commands).enumerate() {
            let first = piece * piece_commands;
            let items: Vec<Item<'_>> = chunk
                .iter()
                .zip(&shipments[first..])
                .map(|(cmd, shipment)| Item {
                    cmd,
                    command: batch.entries[shipment.entry].known.id(),
                })
                .collect();
            let scripts: Vec<Arc<Script>> = shipments[first..first + chunk.len()]
                .iter()
                .filter_map(|shipment| batch.entries[shipment.entry].script.clone())
                .collect();
            let parcel = Parcel {
                items: if items.len() == 1 {
                    Items::One(items[0])
                } else {
                    Items::Many(&items)
                },
                scripts: &scripts,
                started: manner.started,
                deadline: manner.deadline,
                behind: tickets
                    .last()
                    .map(|(ticket, _): &(Ticket, usize)| ticket.incarnation()),
                blocking: false,
            };
            // The first piece usually fits at once; later ones wait for room behind it.
            let pushed = match outbox.push(current.generation, &parcel) {
                Ok(ticket) => Ok(ticket),
                Err(Refusal::Stale) => Err(Outcome::Stale),
                Err(_) => {
                    self.push_patiently(&server, &outbox, current.generation, &parcel)
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
        for (ticket, count) in tickets {
            match ticket.await {
                Delivery::Reply(value) => outcomes.push(Outcome::Reply(value)),
                Delivery::Replies(values) => {
                    outcomes.extend(values.into_iter().map(Outcome::Reply))
                }
                Delivery::Broken(broken) => outcomes.extend(broken_outcomes(*broken, count)),
            }
        }
        while outcomes.len() < shipments.len() {
            outcomes.push(match &stopped {
                Some(Outcome::NotSent(cause)) => Outcome::NotSent(cause.clone()),
                _ => Outcome::Stale,
            });
        }
        GroupEnd {
            server,
            outbox,
            shipments,
            outcomes,
        }
    }
}

/// What a broken parcel means for each of its commands.
pub(super) fn broken_outcomes(broken: Broken, count: usize) -> impl Iterator<Item = Outcome> {
    let Broken {
        replies,
        written,
        cause,
    } = broken;
    let answered = replies.len();
    let rest = (answered..count).map(move |at| {
        if at < written {
            Outcome::Unknown(cause.clone())
        } else {
            Outcome::NotSent(cause.clone())
        }
    });
    replies.into_iter().map(Outcome::Reply).chain(rest)
}
