//! What can be subscribed to.

use std::collections::HashMap;
use std::sync::Arc;

/// The three kinds of subscription of Redis, each with names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Channel,
    Pattern,
    /// Sharded pub/sub, Redis 7.0 and later. On a server that is not in cluster mode it differs from a channel only in its name.
    Sharded,
}

/// A channel, a pattern or a sharded channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Topic {
    pub(crate) kind: Kind,
    pub(crate) name: Arc<[u8]>,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Sharded];

    /// The command that asks for it.
    pub(crate) fn subscribe(self) -> &'static str {
        match self {
            Kind::Channel => "SUBSCRIBE",
            Kind::Pattern => "PSUBSCRIBE",
            Kind::Sharded => "SSUBSCRIBE",
        }
    }

    /// The command that leaves it.
    pub(crate) fn unsubscribe(self) -> &'static str {
        match self {
            Kind::Channel => "UNSUBSCRIBE",
            Kind::Pattern => "PUNSUBSCRIBE",
            Kind::Sharded => "SUNSUBSCRIBE",
        }
    }
}

impl Topic {
    pub(crate) fn new(kind: Kind, name: &[u8]) -> Topic {
        Topic {
            kind,
            name: name.into(),
        }
    }

    /// It is subscribed on every server: what matches a pattern can be published on each, and notifications about keys are published by
    /// the server on which the key is.
    pub(crate) fn is_everywhere(&self) -> bool {
        self.kind == Kind::Pattern
            || self.kind == Kind::Channel
                && (self.name.starts_with(b"__keyspace@") || self.name.starts_with(b"__keyevent@"))
    }
}

/// A map by topic that is asked with a borrowed name.
#[derive(Debug)]
pub(crate) struct ByTopic<V>([HashMap<Arc<[u8]>, V>; 3]);

impl<V> Default for ByTopic<V> {
    fn default() -> Self {
        ByTopic(std::array::from_fn(|_| HashMap::new()))
    }
}

impl<V> ByTopic<V> {
    pub(crate) fn find(&mut self, kind: Kind, name: &[u8]) -> Option<&mut V> {
        self.0[kind as usize].get_mut(name)
    }

    pub(crate) fn get(&self, topic: &Topic) -> Option<&V> {
        self.0[topic.kind as usize].get(&topic.name)
    }

    pub(crate) fn get_mut(&mut self, topic: &Topic) -> Option<&mut V> {
        self.0[topic.kind as usize].get_mut(&topic.name)
    }

    pub(crate) fn or_insert_with(&mut self, topic: &Topic, make: impl FnOnce() -> V) -> &mut V {
        self.0[topic.kind as usize]
            .entry(topic.name.clone())
            .or_insert_with(make)
    }

    pub(crate) fn remove(&mut self, topic: &Topic) -> Option<V> {
        self.0[topic.kind as usize].remove(&topic.name)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(HashMap::len).sum()
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = Topic> + '_ {
        self.iter().map(|(topic, _)| topic)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Topic, &V)> + '_ {
        Kind::ALL.into_iter().flat_map(|kind| {
            self.0[kind as usize].iter().map(move |(name, value)| {
                let name = name.clone();
                (Topic { kind, name }, value)
            })
        })
    }
}
