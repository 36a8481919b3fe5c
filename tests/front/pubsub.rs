//! A client's subscriptions.

use super::transaction::wrong_arity;
use super::write::{Reply, bulk};
use keyway::{Cluster, PubSub, PubSubEvent};
use redis::{PushKind, Value};
use std::collections::BTreeSet;

#[derive(Default)]
pub(crate) struct Subscriptions {
    /// From the first subscription on.
    pubsub: Option<PubSub>,
    channels: BTreeSet<Vec<u8>>,
    patterns: BTreeSet<Vec<u8>>,
}

impl Subscriptions {
    /// Channels and patterns.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.channels.len(), self.patterns.len())
    }

    /// Whether anything is subscribed.
    pub(crate) fn is_some(&self) -> bool {
        self.counts() != (0, 0)
    }

    /// The next message, as the client is to get it; `None` when it was too slow, for which a
    /// server cuts it off too. Waits for ever while nothing is subscribed.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        if !self.is_some() {
            std::future::pending::<()>().await;
        }
        let pubsub = self.pubsub.as_mut()?;
        loop {
            return match pubsub.next().await {
                Ok(PubSubEvent::Message(message)) => {
                    let (channel, payload) = (bulk(message.channel), bulk(message.payload));
                    Some(match message.pattern {
                        None => push(PushKind::Message, vec![channel, payload]),
                        Some(pattern) => {
                            push(PushKind::PMessage, vec![bulk(pattern), channel, payload])
                        }
                    })
                }
                // Messages may be lost while a server is away, as when a client connects again.
                Ok(PubSubEvent::Resubscribed { .. } | PubSubEvent::Subscribed { .. }) => continue,
                _ => None,
            };
        }
    }

    pub(crate) async fn add(
        &mut self,
        cluster: &Cluster,
        is_pattern: bool,
        args: &[&[u8]],
    ) -> Reply {
        let [_, names @ ..] = args else {
            return wrong_arity("subscribe");
        };
        if names.is_empty() {
            return wrong_arity(if is_pattern {
                "psubscribe"
            } else {
                "subscribe"
            });
        }
        let mut confirmed = Vec::new();
        for name in names {
            let pubsub = self.pubsub.get_or_insert_with(|| cluster.pubsub());
            let (result, names, kind) = match is_pattern {
                true => (
                    pubsub.psubscribe(name).await.map(drop),
                    &mut self.patterns,
                    PushKind::PSubscribe,
                ),
                false => (
                    pubsub.subscribe(name).await,
                    &mut self.channels,
                    PushKind::Subscribe,
                ),
            };
            if let Err(error) = result {
                return Reply::of(Err(error));
            }
            names.insert(name.to_vec());
            confirmed.push(self.confirm(kind, bulk(*name)));
        }
        Reply::Many(confirmed)
    }

    pub(crate) async fn remove(&mut self, is_pattern: bool, args: &[&[u8]]) -> Reply {
        let (all, kind) = match is_pattern {
            true => (&self.patterns, PushKind::PUnsubscribe),
            false => (&self.channels, PushKind::Unsubscribe),
        };
        let names: Vec<Vec<u8>> = match args {
            [_, names @ ..] if !names.is_empty() => {
                names.iter().map(|name| name.to_vec()).collect()
            }
            _ => all.iter().cloned().collect(),
        };
        if names.is_empty() {
            return Reply::Many(vec![self.confirm(kind, Value::Nil)]);
        }
        let mut confirmed = Vec::new();
        for name in names {
            if let Some(pubsub) = &mut self.pubsub {
                let result = match is_pattern {
                    true => pubsub.punsubscribe(&name).await,
                    false => pubsub.unsubscribe(&name).await,
                };
                if let Err(error) = result {
                    return Reply::of(Err(error));
                }
            }
            match is_pattern {
                true => self.patterns.remove(&name),
                false => self.channels.remove(&name),
            };
            confirmed.push(self.confirm(kind.clone(), bulk(name)));
        }
        Reply::Many(confirmed)
    }

    fn confirm(&self, kind: PushKind, name: Value) -> Value {
        let (channels, patterns) = self.counts();
        push(kind, vec![name, Value::Int((channels + patterns) as i64)])
    }
}

fn push(kind: PushKind, data: Vec<Value>) -> Value {
    Value::Push { kind, data }
}
