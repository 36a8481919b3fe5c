//! The handle of a subscriber. What is behind it is in [`crate::pubsub`].

use super::Cluster;
use crate::error::{Error, ErrorKind};
use crate::pubsub::{Answer, Call, Inbox, Kind, PubSubEvent, Slot, SubscriberId, Topic};
use std::collections::HashMap;
use std::sync::Arc;

/// Subscriptions. Made by [`Cluster::pubsub`]; those of one subscriber are independent of every other's.
///
/// A channel is subscribed on the server of its node, as PUBLISH routes it; a pattern, and a `__keyspace@` or `__keyevent@` channel, on
/// every server. Notifications about keys need `notify-keyspace-events` on each server, which `keyway check` looks at. All subscribers of a
/// cluster share one connection per server that has a subscription; it speaks RESP3 and is named with the prefix `kwsub:`.
///
/// **What may be lost**: delivery is at most once. What is published while the server of a channel is away, or while the channel follows
/// its node to another server, is lost. **How one knows**: each gap is an event, at its place between the last message before and the first
/// after it: [`Resubscribed`](PubSubEvent::Resubscribed) with the subscriptions that it is about, or [`Lagged`](PubSubEvent::Lagged) when
/// the subscriber was too slow. Two gaps of a subscription with nothing between them are one event while it has not been taken.
/// **What to do then**: read what the messages were about from where it is kept. What is published by a client with an older topology,
/// to a server that a channel has left, is not noticed by anybody.
///
/// **Order**: the messages of a channel come in the order of its server, and over a move those of the new server after those of the old.
/// The messages of a pattern come in the order of each server; over a move no order is promised.
///
/// **Bounds**: at most `limits.pubsub_buffer` (1,024) events and `limits.pubsub_bytes` (64 MiB) wait for a subscriber. Beyond that the oldest are
/// dropped, for this subscriber alone.
///
/// A call whose future is dropped has subscribed all the same. Dropping this ends its subscriptions.
#[derive(Debug)]
pub struct PubSub {
    cluster: Cluster,
    id: SubscriberId,
    inbox: Arc<Inbox>,
}

impl PubSub {
    pub(crate) fn new(cluster: Cluster) -> PubSub {
        let config = cluster.config();
        let limits = config.limits();
        let bytes = usize::try_from(limits.pubsub_bytes).unwrap_or(usize::MAX);
        let inbox = Arc::new(Inbox::new(limits.pubsub_buffer as usize, bytes));
        let id = cluster.hub().join(inbox.clone());
        PubSub { cluster, id, inbox }
    }

    /// Subscribes to a channel; confirmed by the server when this returns. One round trip, and a dial if this is the first subscription at
    /// that server; none if another subscriber of this cluster has the channel. Dropping the future does not undo the subscription.
    ///
    /// # Errors
    /// In each case it stays wanted, until [`unsubscribe`](PubSub::unsubscribe), and [`PubSubEvent::Subscribed`] says when it succeeds:
    /// [`ErrorKind::ServerDown`] when the server cannot be reached; [`ErrorKind::NotSent`] when it did not confirm within the deadline;
    /// [`ErrorKind::Server`] when it refuses, because the user has no right to the channel, say.
    pub async fn subscribe(&mut self, channel: impl AsRef<[u8]>) -> Result<(), Error> {
        one(self.subscribe_many([channel]).await)
    }

    /// Subscribes to channels, with a result for each, in their order. One round trip for all on each server, and more if some are refused.
    /// Errors are as those of [`subscribe`](PubSub::subscribe).
    pub async fn subscribe_many(
        &mut self,
        channels: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Vec<Result<(), Error>> {
        let asked = self.ask(Kind::Channel, channels).await;
        asked.into_iter().map(by_all).collect()
    }

    /// Subscribes to a sharded channel: what SPUBLISH publishes. Otherwise as [`subscribe`](PubSub::subscribe).
    ///
    /// # Errors
    /// As `subscribe`.
    pub async fn ssubscribe(&mut self, channel: impl AsRef<[u8]>) -> Result<(), Error> {
        one(self.ssubscribe_many([channel]).await)
    }

    /// Subscribes to sharded channels, as [`subscribe_many`](PubSub::subscribe_many).
    pub async fn ssubscribe_many(
        &mut self,
        channels: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Vec<Result<(), Error>> {
        let asked = self.ask(Kind::Sharded, channels).await;
        asked.into_iter().map(by_all).collect()
    }

    /// Subscribes to a pattern, on every server at once. One round trip. Answers the names of the servers that have not confirmed within the
    /// deadline, or cannot be reached: they are asked when they are back, and [`PubSubEvent::Subscribed`] says it.
    ///
    /// # Errors
    /// [`ErrorKind::Server`] when a server refuses it. It stays wanted on all of them.
    pub async fn psubscribe(&mut self, pattern: impl AsRef<[u8]>) -> Result<Vec<Arc<str>>, Error> {
        one(self.psubscribe_many([pattern]).await)
    }

    /// Subscribes to patterns, with a result for each as that of [`psubscribe`](PubSub::psubscribe).
    pub async fn psubscribe_many(
        &mut self,
        patterns: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Vec<Result<Vec<Arc<str>>, Error>> {
        let asked = self.ask(Kind::Pattern, patterns).await;
        asked.into_iter().map(by_some).collect()
    }

    /// Ends the subscription to a channel. When this returns the server has confirmed it, and no message of the channel comes any more; one
    /// round trip, or none while another subscriber of this cluster has the channel, or while its server cannot be reached.
    ///
    /// # Errors
    /// [`ErrorKind::NotSent`] when the server did not confirm within the deadline. No message comes all the same.
    pub async fn unsubscribe(&mut self, channel: impl AsRef<[u8]>) -> Result<(), Error> {
        one(self.unsubscribe_many([channel]).await)
    }

    /// Ends subscriptions to channels, with a result for each as that of [`unsubscribe`](PubSub::unsubscribe).
    pub async fn unsubscribe_many(
        &mut self,
        channels: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Vec<Result<(), Error>> {
        self.part(Kind::Channel, channels).await
    }

    /// Ends the subscription to a sharded channel, as [`unsubscribe`](PubSub::unsubscribe).
    ///
    /// # Errors
    /// As `unsubscribe`.
    pub async fn sunsubscribe(&mut self, channel: impl AsRef<[u8]>) -> Result<(), Error> {
        one(self.sunsubscribe_many([channel]).await)
    }

    /// Ends subscriptions to sharded channels, as [`unsubscribe_many`](PubSub::unsubscribe_many).
    pub async fn sunsubscribe_many(
        &mut self,
        channels: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Vec<Result<(), Error>> {
        self.part(Kind::Sharded, channels).await
    }

    /// Ends the subscription to a pattern, on every server; as [`unsubscribe`](PubSub::unsubscribe).
    ///
    /// # Errors
    /// As `unsubscribe`.
    pub async fn punsubscribe(&mut self, pattern: impl AsRef<[u8]>) -> Result<(), Error> {
        one(self.punsubscribe_many([pattern]).await)
    }

    /// Ends subscriptions to patterns, as [`unsubscribe_many`](PubSub::unsubscribe_many).
    pub async fn punsubscribe_many(
        &mut self,
        patterns: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Vec<Result<(), Error>> {
        self.part(Kind::Pattern, patterns).await
    }

    /// The next event; waits for ever if there is none. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when nothing is subscribed, as there is nothing to wait for; when the cluster was closed, or the runtime that
    /// owns its connections is gone. What waits already is given out before.
    pub async fn next(&mut self) -> Result<PubSubEvent, Error> {
        let mut closed = self.cluster.closed();
        loop {
            let mut arrived = std::pin::pin!(self.inbox.arrived.notified());
            arrived.as_mut().enable();
            if let Some(event) = self.inbox.take() {
                return Ok(event);
            }
            if *closed.borrow() {
                return Err(super::closed());
            }
            if self.cluster.hub().is_gone() {
                return Err(runtime_gone());
            }
            if !self.cluster.hub().wants_anything(self.id) {
                return Err(Error::new(ErrorKind::Closed, "nothing is subscribed"));
            }
            tokio::select! {
                () = arrived => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
        }
    }

    /// The events as a stream, which ends when nothing is subscribed, or the cluster is closed.
    pub fn into_stream(self) -> impl futures::Stream<Item = PubSubEvent> {
        futures::stream::unfold(self, |mut pubsub| async move {
            pubsub.next().await.ok().map(|event| (event, pubsub))
        })
    }

    /// The channels that are subscribed, confirmed or not, in no order.
    pub fn channels(&self) -> Vec<Vec<u8>> {
        self.wanted(Kind::Channel)
    }

    /// The sharded channels that are subscribed, confirmed or not, in no order.
    pub fn sharded_channels(&self) -> Vec<Vec<u8>> {
        self.wanted(Kind::Sharded)
    }

    /// The patterns that are subscribed, confirmed or not, in no order.
    pub fn patterns(&self) -> Vec<Vec<u8>> {
        self.wanted(Kind::Pattern)
    }

    fn wanted(&self, kind: Kind) -> Vec<Vec<u8>> {
        let topics = self.cluster.hub().wanted_by(self.id, kind);
        topics.iter().map(|topic| topic.name.to_vec()).collect()
    }

    /// Subscribes, and waits for all answers within the deadline.
    async fn ask(
        &mut self,
        kind: Kind,
        names: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Vec<Result<Vec<Slot>, Error>> {
        let names = Names::of(kind, names);
        if let Some(why) = self.ended() {
            return names.each(|| Err(why.clone()));
        }
        let call = CloseOnDrop(Arc::new(Call::default()));
        let hub = self.cluster.hub();
        hub.subscribe(&self.cluster.current(), self.id, &names.topics, &call.0);
        let slots = self.answers(call).await;
        names.spread(slots.into_iter().map(Ok).collect())
    }

    async fn part(
        &mut self,
        kind: Kind,
        names: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Vec<Result<(), Error>> {
        let names = Names::of(kind, names);
        if let Some(why) = self.ended() {
            return names.each(|| Err(why.clone()));
        }
        let call = CloseOnDrop(Arc::new(Call::default()));
        self.cluster
            .hub()
            .unsubscribe(self.id, &names.topics, &call.0);
        let slots = self.answers(call).await;
        let parted = slots.into_iter().map(|slots| by_all(Ok(slots))).collect();
        names.spread(parted)
    }

    fn ended(&self) -> Option<Error> {
        if *self.cluster.closed().borrow() {
            Some(super::closed())
        } else if self.cluster.hub().is_gone() {
            Some(runtime_gone())
        } else {
            None
        }
    }

    /// The answers by topic.
    async fn answers(&self, call: CloseOnDrop) -> Vec<Vec<Slot>> {
        let mut closed = self.cluster.closed();
        let deadline = self.cluster.manner().deadline;
        tokio::select! {
            () = call.0.answered() => {}
            () = tokio::time::sleep_until(deadline.into()) => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
        let mut slots: Vec<Vec<Slot>> = Vec::new();
        for slot in call.0.close() {
            if slots.len() <= slot.topic {
                slots.resize_with(slot.topic + 1, Vec::new);
            }
            slots[slot.topic].push(slot);
        }
        slots
    }
}

impl Drop for PubSub {
    fn drop(&mut self) {
        self.cluster.hub().leave(self.id);
    }
}

/// A call that is dropped hears no answers any more: they become events.
struct CloseOnDrop(Arc<Call>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The names of a call, each once.
struct Names {
    /// Each with its place.
    topics: Vec<(usize, Topic)>,
    /// Of each name that was given: its place among the topics.
    places: Vec<usize>,
}

impl Names {
    fn of(kind: Kind, names: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Names {
        let mut known: HashMap<Topic, usize> = HashMap::new();
        let mut topics = Vec::new();
        let mut places = Vec::new();
        for name in names {
            let topic = Topic::new(kind, name.as_ref());
            let place = *known.entry(topic.clone()).or_insert_with(|| {
                topics.push((topics.len(), topic));
                topics.len() - 1
            });
            places.push(place);
        }
        Names { topics, places }
    }

    fn each<T>(&self, make: impl FnMut() -> T) -> Vec<T> {
        std::iter::repeat_with(make)
            .take(self.places.len())
            .collect()
    }

    /// From what came for each topic to what comes for each name. A topic without an answer has nothing to wait for.
    fn spread<T: Clone + Default>(
        &self,
        of_topics: Vec<Result<T, Error>>,
    ) -> Vec<Result<T, Error>> {
        self.places
            .iter()
            .map(|place| {
                of_topics
                    .get(*place)
                    .cloned()
                    .unwrap_or_else(|| Ok(T::default()))
            })
            .collect()
    }
}

fn one<T>(mut results: Vec<Result<T, Error>>) -> Result<T, Error> {
    results
        .pop()
        .unwrap_or_else(|| Err(Error::new(ErrorKind::Invalid, "no name was given")))
}

/// Every server of the topic must have confirmed.
fn by_all(slots: Result<Vec<Slot>, Error>) -> Result<(), Error> {
    for slot in slots? {
        if let Some(error) = error_of(&slot) {
            return Err(error);
        }
    }
    Ok(())
}

/// Those that have not confirmed. A refusal is an error.
fn by_some(slots: Result<Vec<Slot>, Error>) -> Result<Vec<Arc<str>>, Error> {
    let mut unconfirmed = Vec::new();
    for slot in slots? {
        match error_of(&slot) {
            None => {}
            Some(error) if error.kind() == ErrorKind::Server => return Err(error),
            Some(_) => unconfirmed.push(slot.server),
        }
    }
    Ok(unconfirmed)
}

fn error_of(slot: &Slot) -> Option<Error> {
    let error = match &slot.answer {
        Answer::Done => return None,
        Answer::Pending => Error::new(
            ErrorKind::NotSent,
            "no confirmation before the deadline; it is still being tried",
        )
        .by_timeout(),
        Answer::Down(why) => Error::new(ErrorKind::ServerDown, &**why),
        Answer::Refused(text) => Error::new(ErrorKind::Server, &**text),
    };
    Some(error.of_command("pub/sub").at_server(&slot.server))
}

fn runtime_gone() -> Error {
    Error::new(
        ErrorKind::Closed,
        "the runtime that owns the connections is gone",
    )
}
