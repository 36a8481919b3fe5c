//! What a subscriber hears.

use super::topic::{Kind, Topic};
use std::sync::Arc;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The channel it was published on.
    pub channel: Vec<u8>,
    /// The pattern that matched, for a pattern subscription.
    pub pattern: Option<Vec<u8>>,
    /// It was published by SPUBLISH, and heard by [`ssubscribe`](crate::PubSub::ssubscribe).
    pub is_sharded: bool,
    /// What was published.
    pub payload: Vec<u8>,
    /// The server it came from.
    pub server: Arc<str>,
}

/// What a subscriber has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Subscription {
    /// By [`subscribe`](crate::PubSub::subscribe).
    Channel(Vec<u8>),
    /// By [`psubscribe`](crate::PubSub::psubscribe).
    Pattern(Vec<u8>),
    /// By [`ssubscribe`](crate::PubSub::ssubscribe).
    Sharded(Vec<u8>),
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PubSubEvent {
    /// A message.
    Message(Message),
    /// The server has confirmed subscriptions whose call had ended without a confirmation, or that it had refused. Messages come from here on.
    Subscribed {
        /// Its name.
        server: Arc<str>,
        /// Those that it has confirmed.
        to: Vec<Subscription>,
    },
    /// The server refuses a subscription: the rights of its user do not allow it, say. It is asked again, with growing pauses. Said once;
    /// `Subscribed` says when it succeeds.
    Refused {
        /// Its name.
        server: Arc<str>,
        /// What it refuses.
        to: Subscription,
        /// Its words.
        error: String,
    },
    /// At this place messages may be lost: the connection to the server was away, or the channel has followed its node to this server.
    /// The server has confirmed; what comes from here on is without a gap again.
    Resubscribed {
        /// Its name.
        server: Arc<str>,
        /// Of these. Of no other subscription anything is lost here.
        to: Vec<Subscription>,
    },
    /// At this place this many events were dropped, because the subscriber was too slow. Each of its subscriptions may have lost messages here,
    /// and a `Resubscribed`, `Refused` or `Subscribed` may be among what was dropped.
    Lagged(u64),
}

impl From<&Topic> for Subscription {
    fn from(topic: &Topic) -> Subscription {
        let name = topic.name.to_vec();
        match topic.kind {
            Kind::Channel => Subscription::Channel(name),
            Kind::Pattern => Subscription::Pattern(name),
            Kind::Sharded => Subscription::Sharded(name),
        }
    }
}

impl Message {
    /// What kind of subscription heard it.
    pub(crate) fn kind(&self) -> Kind {
        match (&self.pattern, self.is_sharded) {
            (Some(_), _) => Kind::Pattern,
            (None, true) => Kind::Sharded,
            (None, false) => Kind::Channel,
        }
    }
}

impl Subscription {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Subscription::Channel(_) => Kind::Channel,
            Subscription::Pattern(_) => Kind::Pattern,
            Subscription::Sharded(_) => Kind::Sharded,
        }
    }

    /// The channel, or the pattern.
    pub fn name(&self) -> &[u8] {
        match self {
            Subscription::Channel(name)
            | Subscription::Pattern(name)
            | Subscription::Sharded(name) => name,
        }
    }
}
