//! What waits for one subscriber: bounded in events and in bytes. The oldest goes first, and its place is marked.

use super::event::{Message, PubSubEvent, Subscription};
use super::topic::{Kind, Topic};
use crate::stats::SubscribersSnapshot;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// What an event costs beside the bytes in it, about.
const EVENT_BYTES: usize = 128;

#[derive(Debug)]
pub(crate) struct Inbox {
    state: Mutex<State>,
    pub(crate) arrived: Notify,
    events_max: usize,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Each with its number, which only grows.
    events: VecDeque<(u64, PubSubEvent)>,
    bytes: usize,
    /// Events dropped since the subscriber was told of some. Their place is in front of all that waits.
    lagged: u64,
    /// The number of the next event.
    next: u64,
    lagged_ever: u64,
}

/// The event in which a gap of one subscription was said last, until a message of it follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SaidAt(Option<u64>);

impl SaidAt {
    /// A message has followed, so that the next gap is another one.
    pub(crate) fn forget(&mut self) {
        self.0 = None;
    }
}

impl Inbox {
    pub(crate) fn new(events_max: usize, bytes_max: usize) -> Inbox {
        Inbox {
            state: Mutex::default(),
            arrived: Notify::new(),
            events_max: events_max.max(1),
            bytes_max,
        }
    }

    /// The next event.
    pub(crate) fn take(&self) -> Option<PubSubEvent> {
        let mut state = self.state.lock();
        if state.lagged > 0 {
            return Some(PubSubEvent::Lagged(std::mem::take(&mut state.lagged)));
        }
        let (_, event) = state.events.pop_front()?;
        state.bytes -= size_of_event(&event);
        Some(event)
    }

    /// Adds what it holds.
    pub(crate) fn add_to(&self, all: &mut SubscribersSnapshot) {
        let state = self.state.lock();
        all.subscribers += 1;
        all.events_held += state.events.len() as u64;
        all.bytes_held += state.bytes as u64;
        all.lagged += state.lagged_ever;
    }

    pub(crate) fn message(&self, message: Message) {
        self.put(PubSubEvent::Message(message));
    }

    pub(crate) fn refused(&self, server: &Arc<str>, topic: &Topic, error: &str) {
        self.put(PubSubEvent::Refused {
            server: server.clone(),
            to: topic.into(),
            error: error.to_owned(),
        });
    }

    /// Late success. What the server has confirmed without anything between is one event.
    pub(crate) fn subscribed(&self, server: &Arc<str>, topic: &Topic) {
        let mut state = self.state.lock();
        let added = match state.events.back_mut() {
            Some((_, PubSubEvent::Subscribed { server: last, to })) if last == server => {
                to.push(topic.into());
                Some(size_of_subscription(topic.name.len()))
            }
            _ => None,
        };
        match added {
            Some(bytes) => self.grown(&mut state, bytes),
            None => {
                let event = PubSubEvent::Subscribed {
                    server: server.clone(),
                    to: vec![topic.into()],
                };
                self.push(&mut state, event);
            }
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// A gap of one subscription. Not said again while the last one still waits and nothing of the subscription has followed it.
    pub(crate) fn gap(&self, server: &Arc<str>, topic: &Topic, said: &mut SaidAt) -> bool {
        let mut state = self.state.lock();
        let front = state.events.front().map_or(u64::MAX, |(at, _)| *at);
        if said.0.is_some_and(|at| at >= front) {
            return false;
        }
        let added = match state.events.back_mut() {
            Some((_, PubSubEvent::Resubscribed { server: last, to })) if last == server => {
                to.push(topic.into());
                Some(size_of_subscription(topic.name.len()))
            }
            _ => None,
        };
        match added {
            Some(bytes) => self.grown(&mut state, bytes),
            None => {
                let event = PubSubEvent::Resubscribed {
                    server: server.clone(),
                    to: vec![topic.into()],
                };
                self.push(&mut state, event);
            }
        }
        *said = SaidAt(state.events.back().map(|(at, _)| *at));
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// Takes out what is about subscriptions that have ended.
    pub(crate) fn purge(&self, is_ended: impl Fn(Kind, &[u8]) -> bool) {
        let mut state = self.state.lock();
        let is_of = |to: &Subscription| is_ended(to.kind(), to.name());
        state.events.retain_mut(|(_, event)| match event {
            PubSubEvent::Message(message) => {
                let name = message.pattern.as_deref().unwrap_or(&message.channel);
                !is_ended(message.kind(), name)
            }
            PubSubEvent::Subscribed { to, .. } | PubSubEvent::Resubscribed { to, .. } => {
                to.retain(|to| !is_of(to));
                !to.is_empty()
            }
            PubSubEvent::Refused { to, .. } => !is_of(to),
            PubSubEvent::Lagged(_) => true,
        });
        state.bytes = state
            .events
            .iter()
            .map(|(_, event)| size_of_event(event))
            .sum();
    }

    fn put(&self, event: PubSubEvent) {
        let mut state = self.state.lock();
        self.push(&mut state, event);
        drop(state);
        self.arrived.notify_one();
    }

    fn push(&self, state: &mut State, event: PubSubEvent) {
        state.bytes += size_of_event(&event);
        let at = state.next;
        state.next += 1;
        state.events.push_back((at, event));
        self.drop_oldest(state);
    }

    /// The last event has grown.
    fn grown(&self, state: &mut State, bytes: usize) {
        state.bytes += bytes;
        self.drop_oldest(state);
    }

    /// An event that is larger than the whole bound goes too, and all before it: its place is where it would have been.
    fn drop_oldest(&self, state: &mut State) {
        while state.events.len() > self.events_max || state.bytes > self.bytes_max {
            let Some((_, event)) = state.events.pop_front() else {
                return;
            };
            state.bytes -= size_of_event(&event);
            state.lagged += 1;
            state.lagged_ever += 1;
        }
    }
}

fn size_of_subscription(name: usize) -> usize {
    size_of::<Subscription>() + name
}

fn size_of_event(event: &PubSubEvent) -> usize {
    let of_all = |to: &[Subscription]| -> usize {
        to.iter()
            .map(|to| size_of_subscription(to.name().len()))
            .sum()
    };
    EVENT_BYTES
        + match event {
            PubSubEvent::Message(message) => {
                let pattern = message.pattern.as_ref().map_or(0, Vec::len);
                message.channel.len() + message.payload.len() + pattern
            }
            PubSubEvent::Subscribed { to, .. } | PubSubEvent::Resubscribed { to, .. } => of_all(to),
            PubSubEvent::Refused { to, error, .. } => {
                size_of_subscription(to.name().len()) + error.len()
            }
            PubSubEvent::Lagged(_) => 0,
        }
}

/// The size of a message as it is counted here, before it is put anywhere.
pub(crate) fn size_of_message(message: &Message) -> usize {
    EVENT_BYTES
        + message.channel.len()
        + message.payload.len()
        + message.pattern.as_ref().map_or(0, Vec::len)
}
