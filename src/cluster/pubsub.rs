//! Pub/sub over the cluster: a channel lives on the server of its node, a pattern on all of them.

use super::Cluster;
use crate::connection::{Stream, backoff};
use crate::error::{Error, ErrorKind};
use crate::pool::Server;
use crate::resp::Decoder;
use redis::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

/// Subscriptions. Made by [`Cluster::pubsub`]; independent of every other.
///
/// A channel is subscribed on the server of its node (as PUBLISH routes it), a pattern and a `__keyspace@`/`__keyevent@` channel on every
/// server. Delivery is at most once: what is published while a connection is away is lost, and [`PubSubEvent::Resubscribed`] says that it
/// may have been. At most `limits.pubsub_buffer` events wait for the subscriber; beyond that the oldest are dropped and
/// [`PubSubEvent::Lagged`] says how many. One connection per server that has a subscription, ended when this is dropped.
#[derive(Debug)]
pub struct PubSub {
    cluster: Cluster,
    wanted: Wanted,
    listeners: BTreeMap<Arc<str>, Listener>,
    inbox: Arc<Inbox>,
    generation: u64,
}

/// What to listen to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    channels: BTreeSet<Vec<u8>>,
    patterns: BTreeSet<Vec<u8>>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The channel it was published on.
    pub channel: Vec<u8>,
    /// The pattern that matched, for a pattern subscription.
    pub pattern: Option<Vec<u8>>,
    /// What was published.
    pub payload: Vec<u8>,
    /// The server it came from.
    pub server: Arc<str>,
}

/// What a subscriber hears.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PubSubEvent {
    /// A message.
    Message(Message),
    /// This many events were dropped because the subscriber was too slow.
    Lagged(u64),
    /// The connection to a server was lost and is there again, or a channel has followed its node to this server: messages in between are
    /// lost.
    Resubscribed {
        /// Its name.
        server: Arc<str>,
    },
}

/// A bounded queue that drops the oldest.
#[derive(Debug)]
struct Inbox {
    state: parking_lot::Mutex<InboxState>,
    arrived: Notify,
    capacity: usize,
}

#[derive(Debug, Default)]
struct InboxState {
    events: VecDeque<PubSubEvent>,
    lagged: u64,
}

impl Inbox {
    fn put(&self, event: PubSubEvent) {
        let mut state = self.state.lock();
        if state.events.len() >= self.capacity {
            state.events.pop_front();
            state.lagged += 1;
        }
        state.events.push_back(event);
        drop(state);
        self.arrived.notify_one();
    }

    fn take(&self) -> Option<PubSubEvent> {
        let mut state = self.state.lock();
        if state.lagged > 0 {
            return Some(PubSubEvent::Lagged(std::mem::take(&mut state.lagged)));
        }
        state.events.pop_front()
    }
}

/// The task that listens to one server.
#[derive(Debug)]
struct Listener {
    server: Arc<Server>,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
    /// Set when the task has ended, which only happens with its runtime.
    gone: Arc<AtomicBool>,
    /// What it was told to listen to.
    part: Wanted,
}

/// Tells the subscriber that a listener has ended.
struct TellGone {
    gone: Arc<AtomicBool>,
    inbox: Arc<Inbox>,
}

impl Drop for TellGone {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Release);
        self.inbox.arrived.notify_one();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A new set of subscriptions, and who hears when the server has confirmed it.
#[derive(Debug)]
struct Order {
    wanted: Wanted,
    confirmed: oneshot::Sender<Result<(), String>>,
}

impl PubSub {
    pub(super) fn new(cluster: Cluster) -> PubSub {
        let capacity = cluster.config().limits().pubsub_buffer as usize;
        let inbox = Inbox {
            state: parking_lot::Mutex::default(),
            arrived: Notify::new(),
            capacity,
        };
        let generation = cluster.current().generation;
        PubSub {
            cluster,
            wanted: Wanted::default(),
            listeners: BTreeMap::new(),
            inbox: Arc::new(inbox),
            generation,
        }
    }

    /// Subscribes to a channel; confirmed by the server when this returns. One round trip, and a dial if this is the first subscription
    /// at that server. Dropping the future does not undo the subscription.
    ///
    /// # Errors
    /// [`ErrorKind::ServerDown`] or [`ErrorKind::NotSent`] when the server did not confirm within the deadline; it is still asked when it
    /// comes back.
    pub async fn subscribe(&mut self, channel: impl AsRef<[u8]>) -> Result<(), Error> {
        self.wanted.channels.insert(channel.as_ref().to_vec());
        self.apply().await
    }

    /// Subscribes to a pattern, on every server.
    ///
    /// # Errors
    /// As [`subscribe`](PubSub::subscribe).
    pub async fn psubscribe(&mut self, pattern: impl AsRef<[u8]>) -> Result<(), Error> {
        self.wanted.patterns.insert(pattern.as_ref().to_vec());
        self.apply().await
    }

    /// Ends the subscription to a channel.
    ///
    /// # Errors
    /// As [`subscribe`](PubSub::subscribe).
    pub async fn unsubscribe(&mut self, channel: impl AsRef<[u8]>) -> Result<(), Error> {
        self.wanted.channels.remove(channel.as_ref());
        self.apply().await
    }

    /// Ends the subscription to a pattern.
    ///
    /// # Errors
    /// As [`subscribe`](PubSub::subscribe).
    pub async fn punsubscribe(&mut self, pattern: impl AsRef<[u8]>) -> Result<(), Error> {
        self.wanted.patterns.remove(pattern.as_ref());
        self.apply().await
    }

    /// The next event; waits for ever if there is none. Subscriptions follow their nodes when the topology changes. Dropping the future
    /// loses nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] when nothing is subscribed, as there is nothing to wait for; when the cluster was closed, or the runtime that
    /// owns its connections is gone.
    pub async fn next(&mut self) -> Result<PubSubEvent, Error> {
        let mut closed = self.cluster.closed();
        let mut switched = self.cluster.scatter().control().watch();
        loop {
            if let Some(event) = self.inbox.take() {
                return Ok(event);
            }
            if self.wanted == Wanted::default() {
                return Err(Error::new(ErrorKind::Closed, "nothing is subscribed"));
            }
            if *closed.borrow() {
                self.listeners.clear();
                return Err(super::closed());
            }
            if self
                .listeners
                .values()
                .any(|listener| listener.gone.load(Ordering::Acquire))
            {
                return Err(Error::new(
                    ErrorKind::Closed,
                    "the runtime that owns the connections is gone",
                ));
            }
            if self.cluster.current().generation != self.generation {
                // A server that cannot be reached now is asked when it comes back, so its error is no reason to stop listening.
                let _ = self.apply().await;
                continue;
            }
            let inbox = self.inbox.clone();
            let generation = self.generation;
            tokio::select! {
                () = inbox.arrived.notified() => {}
                _ = switched.wait_for(|newest| *newest > generation) => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
        }
    }

    /// The events as a stream, which ends when nothing is subscribed.
    pub fn into_stream(self) -> impl futures::Stream<Item = PubSubEvent> {
        futures::stream::unfold(self, |mut pubsub| async move {
            pubsub.next().await.ok().map(|event| (event, pubsub))
        })
    }

    /// Gives every server its part of what is wanted, and waits until they have confirmed it.
    async fn apply(&mut self) -> Result<(), Error> {
        if *self.cluster.closed().borrow() {
            return Err(super::closed());
        }
        let current = self.cluster.current();
        let switched = self.generation != current.generation;
        self.generation = current.generation;
        let deadline = self.cluster.manner().deadline;
        let mut parts: BTreeMap<Arc<str>, (Arc<Server>, Wanted)> = current
            .servers
            .iter()
            .map(|server| (server.name().clone(), (server.clone(), Wanted::default())))
            .collect();
        for channel in &self.wanted.channels {
            if is_keyspace(channel) {
                parts.values_mut().for_each(|(_, part)| {
                    part.channels.insert(channel.clone());
                });
            } else if let Some((_, part)) =
                parts.get_mut(current.server_of(current.node(channel)).name())
            {
                part.channels.insert(channel.clone());
            }
        }
        for (_, part) in parts.values_mut() {
            part.patterns = self.wanted.patterns.clone();
        }
        // Listeners of servers that are gone, or that were replaced by a reload, end.
        self.listeners.retain(|name, listener| {
            parts.get(name).is_some_and(|(server, part)| {
                Arc::ptr_eq(server, &listener.server) && *part != Wanted::default()
            })
        });
        let mut confirmations = Vec::new();
        for (name, (server, part)) in parts {
            if part == Wanted::default() {
                continue;
            }
            let mut is_other = false;
            let listener = self.listeners.entry(name.clone()).or_insert_with(|| {
                is_other = true;
                let (orders, orders_rx) = mpsc::channel(16);
                let gone = Arc::new(AtomicBool::new(false));
                let tell = TellGone {
                    gone: gone.clone(),
                    inbox: self.inbox.clone(),
                };
                let task = self
                    .cluster
                    .runtime()
                    .spawn(listen(server.clone(), orders_rx, tell));
                Listener {
                    server,
                    orders,
                    task,
                    gone,
                    part: Wanted::default(),
                }
            });
            is_other |= listener.part != part;
            listener.part = part.clone();
            // What moved here with a switch was not heard in between. Said before the first message from here can come.
            if switched && is_other {
                self.inbox.put(PubSubEvent::Resubscribed {
                    server: name.clone(),
                });
            }
            let (confirmed, heard) = oneshot::channel();
            let order = Order {
                wanted: part,
                confirmed,
            };
            let sent = tokio::time::timeout_at(deadline.into(), listener.orders.send(order)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return Err(
                    Error::new(ErrorKind::NotSent, "the subscriber's connection is busy")
                        .of_command("pub/sub")
                        .at_server(&name),
                );
            }
            confirmations.push((name, heard));
        }
        let mut first_error = None;
        for (name, heard) in confirmations {
            let (kind, why, is_timeout) =
                match tokio::time::timeout_at(deadline.into(), heard).await {
                    Ok(Ok(Ok(()))) => continue,
                    Ok(Ok(Err(why))) => (ErrorKind::ServerDown, why, false),
                    Ok(Err(_)) => (
                        ErrorKind::Closed,
                        "the runtime that owns the connections is gone".to_owned(),
                        false,
                    ),
                    Err(_) => (
                        ErrorKind::NotSent,
                        "no confirmation before the deadline; it is still being tried".to_owned(),
                        true,
                    ),
                };
            let error = Error::new(kind, why).of_command("pub/sub").at_server(&name);
            first_error.get_or_insert(if is_timeout {
                error.by_timeout()
            } else {
                error
            });
        }
        first_error.map_or(Ok(()), Err)
    }
}

/// Notifications about keys are published by the server on which the key is.
fn is_keyspace(channel: &[u8]) -> bool {
    channel.starts_with(b"__keyspace@") || channel.starts_with(b"__keyevent@")
}

/// Keeps one server's subscriptions, over as many connections as it takes.
async fn listen(server: Arc<Server>, mut orders: mpsc::Receiver<Order>, tell: TellGone) {
    let inbox = &tell.inbox;
    let mut wanted = Wanted::default();
    let mut waiting: Vec<oneshot::Sender<Result<(), String>>> = Vec::new();
    let mut failures = 0;
    let mut was_connected = false;
    loop {
        let connection = server.dial_pubsub().await;
        let (stream, decoder) = match connection {
            Ok(connection) => connection,
            Err(error) => {
                for confirmed in waiting.drain(..) {
                    // Whoever gave up does not listen.
                    let _ = confirmed.send(Err(error.message.clone()));
                }
                let pause = tokio::time::sleep(backoff(&server.settings().retry, failures));
                failures += 1;
                tokio::pin!(pause);
                loop {
                    tokio::select! {
                        () = &mut pause => break,
                        order = orders.recv() => match order {
                            None => return,
                            Some(order) => {
                                wanted = order.wanted;
                                waiting.push(order.confirmed);
                            }
                        },
                    }
                }
                continue;
            }
        };
        failures = 0;
        let mut session = Session {
            stream,
            decoder,
            server: server.clone(),
            have: Wanted::default(),
            expected: 0,
            waiting: std::mem::take(&mut waiting),
        };
        let resubscribed = was_connected;
        was_connected = true;
        if session.order(&wanted).await.is_ok() {
            session
                .run(&mut wanted, &mut orders, inbox, resubscribed)
                .await;
        }
        waiting.append(&mut session.waiting);
        if orders.is_closed() {
            return;
        }
        server.stats().disconnected();
        tracing::warn!(target: "keyway::pubsub", server = %server.name(), "subscriber disconnected");
    }
}

/// One connection of a listener.
struct Session {
    stream: Stream,
    decoder: Decoder,
    server: Arc<Server>,
    have: Wanted,
    /// Confirmations that are still to come.
    expected: usize,
    waiting: Vec<oneshot::Sender<Result<(), String>>>,
}

impl Session {
    /// Asks for the difference between what is wanted and what is there.
    async fn order(&mut self, wanted: &Wanted) -> std::io::Result<()> {
        let mut packed = Vec::new();
        let mut expected = 0;
        let mut say = |name: &str, channels: Vec<&Vec<u8>>| {
            if channels.is_empty() {
                return;
            }
            expected += channels.len();
            let mut cmd = redis::cmd(name);
            for channel in channels {
                cmd.arg(channel);
            }
            cmd.write_packed_command(&mut packed);
        };
        say(
            "SUBSCRIBE",
            wanted.channels.difference(&self.have.channels).collect(),
        );
        say(
            "PSUBSCRIBE",
            wanted.patterns.difference(&self.have.patterns).collect(),
        );
        say(
            "UNSUBSCRIBE",
            self.have.channels.difference(&wanted.channels).collect(),
        );
        say(
            "PUNSUBSCRIBE",
            self.have.patterns.difference(&wanted.patterns).collect(),
        );
        self.expected += expected;
        self.have = wanted.clone();
        if !packed.is_empty() {
            self.stream.write_all(&packed).await?;
            self.stream.flush().await?;
        }
        self.confirm();
        Ok(())
    }

    fn confirm(&mut self) {
        if self.expected == 0 {
            for confirmed in self.waiting.drain(..) {
                let _ = confirmed.send(Ok(()));
            }
        }
    }

    async fn run(
        &mut self,
        wanted: &mut Wanted,
        orders: &mut mpsc::Receiver<Order>,
        inbox: &Inbox,
        mut resubscribed: bool,
    ) {
        let patience = self.server.settings().timeouts.dead;
        let idle = self.server.settings().timeouts.idle_ping;
        let mut buffer = vec![0; 16 * 1024];
        let mut last_byte = Instant::now();
        let mut pinged = false;
        loop {
            // A server that does not answer the PING of an idle connection is gone.
            let wait_until = last_byte + if pinged { idle + patience } else { idle };
            tokio::select! {
                read = self.stream.read(&mut buffer) => {
                    let n = match read {
                        Ok(0) | Err(_) => return,
                        Ok(n) => n,
                    };
                    last_byte = Instant::now();
                    pinged = false;
                    self.server.stats().received(n);
                    let mut at = 0;
                    while at < n {
                        match self.decoder.decode(&buffer[at..n]) {
                            Err(_) => return,
                            Ok((used, value)) => {
                                at += used;
                                let Some(value) = value else { break };
                                if let Err(why) = self.hear(value, inbox) {
                                    for confirmed in self.waiting.drain(..) {
                                        let _ = confirmed.send(Err(why.clone()));
                                    }
                                }
                            }
                        }
                    }
                    if self.expected == 0 && std::mem::take(&mut resubscribed) {
                        inbox.put(PubSubEvent::Resubscribed { server: self.server.name().clone() });
                    }
                    self.confirm();
                }
                order = orders.recv() => {
                    let Some(order) = order else { return };
                    *wanted = order.wanted;
                    self.waiting.push(order.confirmed);
                    if self.order(wanted).await.is_err() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(wait_until.into()) => {
                    if pinged || self.stream.write_all(b"*1\r\n$4\r\nPING\r\n").await.is_err() || self.stream.flush().await.is_err() {
                        return;
                    }
                    pinged = true;
                }
            }
        }
    }

    /// Takes one value in: a confirmation, a message, a PONG, or an error, which is the answer to the last order.
    fn hear(&mut self, value: Value, inbox: &Inbox) -> Result<(), String> {
        let items = match value {
            Value::Array(items) => items,
            Value::Push { kind, data } => {
                let mut items = vec![Value::BulkString(kind.to_string().into_bytes())];
                items.extend(data);
                items
            }
            Value::ServerError(error) => {
                self.expected = 0;
                return Err(error.to_string());
            }
            _ => return Ok(()),
        };
        let mut parts = items.into_iter();
        let bytes = |value: Option<Value>| match value {
            Some(Value::BulkString(bytes)) => bytes,
            Some(Value::SimpleString(text)) => text.into_bytes(),
            _ => Vec::new(),
        };
        let kind = bytes(parts.next());
        let server = self.server.name().clone();
        match kind.as_slice() {
            b"message" => {
                let (channel, payload) = (bytes(parts.next()), bytes(parts.next()));
                inbox.put(PubSubEvent::Message(Message {
                    channel,
                    pattern: None,
                    payload,
                    server,
                }));
            }
            b"pmessage" => {
                let (pattern, channel, payload) = (
                    bytes(parts.next()),
                    bytes(parts.next()),
                    bytes(parts.next()),
                );
                inbox.put(PubSubEvent::Message(Message {
                    channel,
                    pattern: Some(pattern),
                    payload,
                    server,
                }));
            }
            b"subscribe" | b"psubscribe" | b"unsubscribe" | b"punsubscribe" => {
                self.expected = self.expected.saturating_sub(1);
            }
            _ => {}
        }
        Ok(())
    }
}
