//! The board against servers that are played: what a subscriber hears is the truth, whatever happens.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use super::board::{Board, DeskId, Heard, Manner, SubscriberId, Word};
use super::call::{Answer, Call};
use super::event::{PubSubEvent, Subscription};
use super::inbox::Inbox;
use super::topic::{Kind, Topic};
use crate::resp::{Decoder, DecoderLimits};
use redis::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CHANNELS: usize = 6;
const SUBSCRIBERS: usize = 3;

/// A server, and the connection to it if there is one.
#[derive(Default)]
struct Played {
    name: String,
    is_alive: bool,
    connection: Option<Connection>,
    /// What its user may not subscribe to.
    denied: BTreeSet<Vec<u8>>,
    published: u64,
}

#[derive(Default)]
struct Connection {
    subscribed: BTreeSet<(Kind, Vec<u8>)>,
    to_server: VecDeque<Vec<Vec<u8>>>,
    to_client: VecDeque<Word>,
}

/// What one subscriber knows of one of its subscriptions: of a pattern, at one server.
#[derive(Clone, Debug, Default)]
struct Known {
    is_wanted: bool,
    last: Option<u64>,
    /// A jump in the numbers is explained since the last message.
    is_explained: bool,
    /// `Subscribed` must come before the next message.
    needs_subscribed: bool,
    /// How often it may hear that it is refused: once for each time that it asks, or succeeds.
    refusals: u64,
    /// Losses and moves that may have cost it messages, since the last gap that was said.
    incidents: u64,
}

struct World {
    seed: u64,
    random: fastrand::Rng,
    now: Instant,
    board: Board,
    servers: BTreeMap<DeskId, Played>,
    /// Those of the map.
    map: Vec<DeskId>,
    homes: HashMap<Vec<u8>, DeskId>,
    numbers: HashMap<Vec<u8>, u64>,
    subscribers: Vec<(SubscriberId, Arc<Inbox>)>,
    calls: Vec<(usize, Topic, Arc<Call>)>,
    known: HashMap<(usize, Topic, Option<String>), Known>,
    next_server: u64,
    log: Vec<String>,
    heard: u64,
    gaps: u64,
    lags: u64,
}

fn channel(i: usize) -> Vec<u8> {
    format!("c{i}").into_bytes()
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let manner = Manner {
            hold: Duration::from_secs(2),
            held_max: if random.bool() { 1 << 20 } else { 500 },
            pause_min: Duration::from_millis(10),
            pause_max: Duration::from_secs(1),
        };
        let mut world = World {
            seed,
            now: Instant::now(),
            board: Board::new(manner),
            servers: BTreeMap::new(),
            map: Vec::new(),
            homes: HashMap::new(),
            numbers: HashMap::new(),
            subscribers: Vec::new(),
            calls: Vec::new(),
            known: HashMap::new(),
            next_server: 0,
            log: Vec::new(),
            heard: 0,
            gaps: 0,
            lags: 0,
            random,
        };
        for _ in 0..3 {
            world.add_server();
        }
        world.switch(true);
        for _ in 0..SUBSCRIBERS {
            let events_max = [4, 30, 10_000][world.random.usize(..3)];
            let bytes_max = [2_000, 1 << 30][world.random.usize(..2)];
            let inbox = Arc::new(Inbox::new(events_max, bytes_max));
            world
                .subscribers
                .push((world.board.join(inbox.clone()), inbox));
        }
        world
    }

    fn note(&mut self, what: String) {
        self.log.push(what);
    }

    fn fail(&self, why: &str) -> ! {
        let from = self.log.len().saturating_sub(60);
        panic!("seed {}: {why}\n{}", self.seed, self.log[from..].join("\n"));
    }

    fn add_server(&mut self) -> DeskId {
        self.next_server += 1;
        let id = DeskId(self.next_server);
        let played = Played {
            name: format!("s{}", self.next_server),
            is_alive: true,
            ..Played::default()
        };
        self.servers.insert(id, played);
        self.map.push(id);
        id
    }

    fn some_server(&mut self) -> DeskId {
        let ids: Vec<DeskId> = self.servers.keys().copied().collect();
        ids[self.random.usize(..ids.len())]
    }

    fn some_topic(&mut self) -> Topic {
        match self.random.usize(..10) {
            0 => Topic::new(Kind::Pattern, b"*"),
            1 => Topic::new(Kind::Sharded, b"c0"),
            _ => Topic::new(Kind::Channel, &channel(self.random.usize(..CHANNELS))),
        }
    }

    /// A new map. Channels move; now and then a server comes or goes.
    fn switch(&mut self, is_first: bool) {
        if !is_first {
            match self.random.usize(..6) {
                0 if self.map.len() < 4 => _ = self.add_server(),
                1 if self.map.len() > 2 => {
                    let at = self.random.usize(..self.map.len());
                    self.map.remove(at);
                }
                _ => {}
            }
        }
        let before = self.homes.clone();
        for i in 0..CHANNELS {
            let is_kept = !is_first && self.random.usize(..3) > 0;
            let old = self.homes.get(&channel(i)).copied();
            let home = match old {
                Some(old) if is_kept && self.map.contains(&old) => old,
                _ => self.map[self.random.usize(..self.map.len())],
            };
            self.homes.insert(channel(i), home);
        }
        let servers: Vec<(DeskId, Arc<str>)> = self
            .map
            .iter()
            .map(|id| (*id, self.servers[id].name.as_str().into()))
            .collect();
        let homes = self.homes.clone();
        self.board.follow(&servers, |name| homes[name], self.now);
        for ((_, topic, server), known) in &mut self.known {
            match server {
                None => {
                    let moved = before.get(&*topic.name) != homes.get(&*topic.name);
                    known.incidents += u64::from(moved);
                }
                Some(server) => {
                    // A server that has left the map may be cut off at any time.
                    let is_known = servers.iter().any(|(_, name)| **name == **server);
                    known.incidents += u64::from(!is_known);
                }
            }
        }
        // A pattern hears a new server from its confirmation on.
        for (sub, _) in self.subscribers.iter().enumerate() {
            let pattern = Topic::new(Kind::Pattern, b"*");
            let wants = self
                .known
                .iter()
                .any(|((s, topic, _), known)| *s == sub && *topic == pattern && known.is_wanted);
            for (_, name) in &servers {
                let key = (sub, pattern.clone(), Some(name.to_string()));
                if wants && !self.known.get(&key).is_some_and(|known| known.is_wanted) {
                    let known = self.known.entry(key).or_default();
                    known.is_wanted = true;
                    known.is_explained = true;
                    known.incidents += 1;
                }
            }
        }
        self.note(format!("switch: {:?} {:?}", self.map, self.homes));
    }

    fn publish(&mut self, kind: Kind, name: Vec<u8>) {
        let home = self.homes[&name];
        let number = self.numbers.entry(name.clone()).or_default();
        *number += 1;
        let number = *number;
        let server = self.servers.get_mut(&home).unwrap();
        if !server.is_alive {
            return;
        }
        server.published += 1;
        let payload = format!("{number} {}", server.published).into_bytes();
        if let Some(connection) = &mut server.connection {
            let topic = (kind, name.clone());
            if connection.subscribed.contains(&topic) {
                connection.to_client.push_back(Word::Message {
                    kind,
                    topic: name.clone(),
                    channel: None,
                    payload: payload.clone(),
                });
            }
            if kind == Kind::Channel
                && connection
                    .subscribed
                    .contains(&(Kind::Pattern, b"*".to_vec()))
            {
                connection.to_client.push_back(Word::Message {
                    kind: Kind::Pattern,
                    topic: b"*".to_vec(),
                    channel: Some(name.clone()),
                    payload,
                });
            }
        }
        let name = String::from_utf8(name).unwrap();
        self.note(format!("publish {kind:?} {name} {number} at {home:?}"));
    }

    /// The server executes the next command of a connection.
    fn execute(&mut self, id: DeskId) -> bool {
        let server = self.servers.get_mut(&id).unwrap();
        let Some(connection) = &mut server.connection else {
            return false;
        };
        let Some(args) = connection.to_server.pop_front() else {
            return false;
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (kind, is_subscribe) = match text(&args[0]).as_str() {
            "SUBSCRIBE" => (Kind::Channel, true),
            "PSUBSCRIBE" => (Kind::Pattern, true),
            "SSUBSCRIBE" => (Kind::Sharded, true),
            "UNSUBSCRIBE" => (Kind::Channel, false),
            "PUNSUBSCRIBE" => (Kind::Pattern, false),
            "SUNSUBSCRIBE" => (Kind::Sharded, false),
            _ => {
                connection.to_client.push_back(Word::Reply);
                return true;
            }
        };
        if is_subscribe && args[1..].iter().any(|name| server.denied.contains(name)) {
            connection.to_client.push_back(Word::Error {
                text: "NOPERM no".to_owned(),
                is_transient: false,
            });
            return true;
        }
        for name in &args[1..] {
            let topic = (kind, name.clone());
            if is_subscribe {
                connection.subscribed.insert(topic);
            } else {
                connection.subscribed.remove(&topic);
            }
            connection.to_client.push_back(Word::Confirmed {
                kind,
                is_subscribe,
                name: name.clone(),
            });
        }
        let all: Vec<String> = args.iter().map(|arg| text(arg)).collect();
        self.note(format!("{id:?} executes {}", all.join(" ")));
        true
    }

    fn pump(&mut self, id: DeskId) {
        let server = self.servers.get_mut(&id).unwrap();
        let Some(connection) = &mut server.connection else {
            return;
        };
        let mut out = Vec::new();
        self.board.orders(id, &mut out);
        let mut decoder = Decoder::new(DecoderLimits::default());
        let mut at = 0;
        while at < out.len() {
            let (used, value) = decoder.decode(&out[at..]).unwrap();
            at += used;
            let Some(Value::Array(args)) = value else {
                panic!("a command is an array")
            };
            let args = args.into_iter().map(|arg| match arg {
                Value::BulkString(bytes) => bytes,
                other => panic!("{other:?}"),
            });
            connection.to_server.push_back(args.collect());
        }
    }

    /// The client reads one word.
    fn read(&mut self, id: DeskId) -> bool {
        let server = self.servers.get_mut(&id).unwrap();
        let Some(connection) = &mut server.connection else {
            return false;
        };
        let Some(word) = connection.to_client.pop_front() else {
            return false;
        };
        let said = format!("{id:?} says {word:?}");
        self.note(said);
        if let Heard::Nonsense(why) = self.board.hear(id, word, self.now) {
            self.fail(why);
        }
        true
    }

    fn cut(&mut self, id: DeskId) {
        let server = self.servers.get_mut(&id).unwrap();
        let name = server.name.clone();
        if server.connection.take().is_none() {
            return;
        }
        self.note(format!("{id:?} is cut"));
        for ((_, topic, at), known) in &mut self.known {
            let is_here = match at {
                Some(at) => *at == name,
                // On the way from here, or here: either may cost messages.
                None => self.homes.get(&*topic.name) == Some(&id) || known.incidents > 0,
            };
            known.incidents += u64::from(is_here);
        }
        self.board.lost(id, self.now);
    }

    fn dial(&mut self, id: DeskId) {
        let server = self.servers.get_mut(&id).unwrap();
        if server.connection.is_some() || !self.board.is_needed(id) {
            return;
        }
        if !self.map.contains(&id) {
            self.board.forget(id, self.now);
            return;
        }
        if server.is_alive {
            server.connection = Some(Connection::default());
            self.note(format!("{id:?} is connected"));
            self.board.connected(id);
        } else {
            self.note(format!("{id:?} is not there"));
            self.board.dial_failed(id, &"refused".into());
        }
    }

    fn subscribe(&mut self, sub: usize) {
        self.look_at_calls();
        let topic = self.some_topic();
        let call = Arc::new(Call::default());
        let home = self.homes.get(&*topic.name).copied();
        let home = home.unwrap_or(DeskId(1));
        let (id, _) = self.subscribers[sub];
        self.note(format!("{sub} subscribes {topic:?}"));
        let servers: Vec<Option<String>> = match topic.kind {
            Kind::Pattern => self
                .map
                .iter()
                .map(|id| Some(self.servers[id].name.clone()))
                .collect(),
            _ => vec![None],
        };
        for server in servers {
            let known = self.known.entry((sub, topic.clone(), server)).or_default();
            if !known.is_wanted {
                *known = Known {
                    is_wanted: true,
                    is_explained: true,
                    ..Known::default()
                };
            }
            known.refusals += 1;
        }
        // A subscriber makes one call at a time.
        self.calls.retain(|(s, _, call)| {
            let is_others = *s != sub;
            if !is_others {
                call.close();
            }
            is_others
        });
        self.board.subscribe(id, &topic, home, &call, 0);
        self.calls.push((sub, topic, call));
    }

    /// What a call says needs no event.
    fn look_at_calls(&mut self) {
        for (sub, topic, call) in &self.calls {
            for slot in call.slots() {
                let server = (topic.kind == Kind::Pattern).then(|| slot.server.to_string());
                if slot.answer == Answer::Done
                    && let Some(known) = self.known.get_mut(&(*sub, topic.clone(), server))
                    && std::mem::take(&mut known.needs_subscribed)
                {
                    known.is_explained = true;
                }
            }
        }
    }

    /// Ends a call: what it has not heard by now it hears as an event.
    fn end_call(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        self.look_at_calls();
        let at = self.random.usize(..self.calls.len());
        let (sub, topic, call) = self.calls.swap_remove(at);
        for slot in call.close() {
            self.note(format!(
                "{sub} hears {:?} of {topic:?} at {}",
                slot.answer, slot.server
            ));
        }
    }

    fn unsubscribe(&mut self, sub: usize) {
        let topic = self.some_topic();
        let (id, _) = self.subscribers[sub];
        self.note(format!("{sub} unsubscribes {topic:?}"));
        let call = Arc::new(Call::default());
        self.board.unsubscribe(id, &topic, &call, 0);
        self.board.purge(id, std::iter::once(&topic));
        self.known.retain(|(s, t, _), _| *s != sub || *t != topic);
        self.calls.retain(|(s, t, _)| *s != sub || *t != topic);
    }

    /// A subscriber takes an event, and the oracle judges it.
    fn take(&mut self, sub: usize) -> bool {
        self.look_at_calls();
        let Some(event) = self.subscribers[sub].1.take() else {
            return false;
        };
        self.note(format!("{sub} takes {event:?}"));
        let keys =
            |server: &Arc<str>, to: &[Subscription]| -> Vec<(usize, Topic, Option<String>)> {
                to.iter()
                    .map(|to| match to {
                        Subscription::Pattern(name) => (
                            sub,
                            Topic::new(Kind::Pattern, name),
                            Some(server.to_string()),
                        ),
                        Subscription::Channel(name) => (sub, Topic::new(Kind::Channel, name), None),
                        Subscription::Sharded(name) => (sub, Topic::new(Kind::Sharded, name), None),
                    })
                    .collect()
            };
        match event {
            PubSubEvent::Lagged(_) => {
                self.lags += 1;
                for ((s, _, _), known) in &mut self.known {
                    if *s == sub {
                        known.is_explained = true;
                        known.needs_subscribed = false;
                        known.refusals += 1;
                        // What was dropped may have been a gap of any.
                        known.incidents += 1;
                    }
                }
            }
            PubSubEvent::Resubscribed { server, to } => {
                for key in keys(&server, &to) {
                    self.gaps += 1;
                    let Some(known) = self.known.get_mut(&key) else {
                        continue;
                    };
                    if known.incidents == 0 {
                        self.fail("a gap that was none, or was said before");
                    }
                    // A later one may have come before this was taken.
                    known.incidents -= 1;
                    known.is_explained = true;
                }
            }
            PubSubEvent::Subscribed { server, to } => {
                for key in keys(&server, &to) {
                    if let Some(known) = self.known.get_mut(&key) {
                        known.is_explained = true;
                        known.needs_subscribed = false;
                        known.refusals += 1;
                    }
                }
            }
            PubSubEvent::Refused { server, to, .. } => {
                for key in keys(&server, &[to]) {
                    if let Some(known) = self.known.get_mut(&key) {
                        if known.refusals == 0 {
                            self.fail("refused twice without a success between");
                        }
                        known.needs_subscribed = true;
                        known.refusals -= 1;
                    }
                }
            }
            PubSubEvent::Message(message) => {
                self.heard += 1;
                let payload = String::from_utf8(message.payload.clone()).unwrap();
                let (of_channel, of_server) = payload.split_once(' ').unwrap();
                let (key, number) = match &message.pattern {
                    Some(pattern) => (
                        (
                            sub,
                            Topic::new(Kind::Pattern, pattern),
                            Some(message.server.to_string()),
                        ),
                        of_server,
                    ),
                    None => (
                        (sub, Topic::new(message.kind(), &message.channel), None),
                        of_channel,
                    ),
                };
                let number: u64 = number.parse().unwrap();
                // Numbers of a channel are shared with the sharded one of this name, so that only the order is told there.
                let has_jumps = key.1.kind == Kind::Sharded
                    || *key.1.name == *b"c0"
                    || key.1.kind == Kind::Pattern;
                let Some(known) = self.known.get_mut(&key) else {
                    self.fail("a message of what is not subscribed");
                };
                if known.needs_subscribed {
                    self.fail("a message before the subscription was confirmed");
                }
                match known.last {
                    Some(last) if number <= last => self.fail("a message twice, or out of order"),
                    Some(last) if number > last + 1 && !known.is_explained && !has_jumps => {
                        self.fail("a gap that nobody has said")
                    }
                    _ => {}
                }
                known.last = Some(number);
                known.is_explained = false;
            }
        }
        true
    }

    fn step(&mut self) {
        let id = self.some_server();
        let sub = self.random.usize(..SUBSCRIBERS);
        match self.random.usize(..100) {
            0..=4 => self.subscribe(sub),
            5 => self.unsubscribe(sub),
            6..=9 => self.end_call(),
            10..=39 => {
                let name = channel(self.random.usize(..CHANNELS));
                let is_sharded = self.random.usize(..8) == 0 && name == b"c0";
                let kind = if is_sharded {
                    Kind::Sharded
                } else {
                    Kind::Channel
                };
                self.publish(kind, name);
            }
            40..=49 => self.pump(id),
            50..=61 => _ = self.execute(id),
            62..=77 => _ = self.read(id),
            78..=87 => _ = self.take(sub),
            88..=92 => self.dial(id),
            93 => self.cut(id),
            94 => {
                let server = self.servers.get_mut(&id).unwrap();
                server.is_alive = !server.is_alive;
                if !server.is_alive {
                    self.cut(id);
                }
            }
            95 => {
                let name = channel(self.random.usize(..CHANNELS));
                let server = self.servers.get_mut(&id).unwrap();
                if !server.denied.remove(&name) {
                    server.denied.insert(name.clone());
                    let is_heard = server
                        .connection
                        .as_ref()
                        .is_some_and(|c| c.subscribed.contains(&(Kind::Channel, name.clone())));
                    self.note(format!("{id:?} denies {name:?}"));
                    // As Redis does.
                    if is_heard {
                        self.cut(id);
                    }
                }
            }
            96..=97 => self.switch(false),
            _ => {
                self.now += Duration::from_millis(self.random.u64(1..700));
                self.board.tick(self.now);
            }
        }
    }

    /// Everything is well again, and each subscription must hear.
    fn settle(&mut self) {
        let ids: Vec<DeskId> = self.servers.keys().copied().collect();
        for id in &ids {
            let server = self.servers.get_mut(id).unwrap();
            server.is_alive = true;
            server.denied.clear();
        }
        for _ in 0..30 {
            self.now += Duration::from_secs(1);
            self.board.tick(self.now);
            for id in &ids {
                self.dial(*id);
                self.pump(*id);
                while self.execute(*id) {}
                while self.read(*id) {}
            }
        }
        for sub in 0..SUBSCRIBERS {
            while self.take(sub) {}
        }
        // All is heard. A loss of each connection, twice with nothing between: one gap of each subscription.
        for known in self.known.values_mut() {
            known.incidents = 0;
            known.is_explained = false;
        }
        let before = self.gaps;
        for _ in 0..2 {
            for id in &ids {
                self.cut(*id);
                self.dial(*id);
                self.pump(*id);
                while self.execute(*id) {}
                while self.read(*id) {}
            }
        }
        let lags = self.lags;
        for sub in 0..SUBSCRIBERS {
            while self.take(sub) {}
        }
        let current: Vec<&String> = self.map.iter().map(|id| &self.servers[id].name).collect();
        let of_now =
            |server: &Option<String>| server.as_ref().is_none_or(|name| current.contains(&name));
        let expected = self
            .known
            .keys()
            .filter(|(_, _, server)| of_now(server))
            .count() as u64;
        if self.lags == lags && self.gaps - before != expected {
            self.fail(&format!(
                "{} gaps were said, not {expected}",
                self.gaps - before
            ));
        }
        let numbers: Vec<Vec<u8>> = (0..CHANNELS).map(channel).collect();
        for name in numbers {
            // Before the other, as they share their numbers.
            if name == b"c0" {
                self.publish(Kind::Sharded, name.clone());
            }
            self.publish(Kind::Channel, name);
            for id in &ids {
                while self.read(*id) {}
            }
            for sub in 0..SUBSCRIBERS {
                while self.take(sub) {}
            }
        }
        for ((_, topic, server), known) in &self.known {
            let is_everywhere = server.is_some();
            let last = self.numbers.get(&*topic.name).copied();
            let expected = match topic.kind {
                Kind::Channel => last,
                Kind::Sharded => last.map(|last| last - 1),
                Kind::Pattern => None,
            };
            if !is_everywhere && known.last != expected {
                self.fail(&format!(
                    "{topic:?} ends at {:?}, not {expected:?}",
                    known.last
                ));
            }
        }
        // Those who leave, leave everything.
        for sub in 0..SUBSCRIBERS {
            self.board.leave(self.subscribers[sub].0);
        }
        for _ in 0..5 {
            for id in &ids {
                self.pump(*id);
                while self.execute(*id) {}
                while self.read(*id) {}
            }
        }
        for id in &ids {
            if self.board.is_needed(*id) {
                self.fail("something is wanted that nobody wants");
            }
            if let Some(connection) = &self.servers[id].connection
                && !connection.subscribed.is_empty()
            {
                self.fail("something is subscribed that nobody wants");
            }
        }
    }
}

fn run(seed: u64) -> (u64, u64, u64) {
    let mut world = World::new(seed);
    for _ in 0..3_000 {
        world.step();
    }
    world.settle();
    (world.heard, world.gaps, world.lags)
}

#[test]
fn every_gap_is_said_once_at_its_place_whatever_happens() {
    let mut all = (0, 0, 0);
    let seeds = keyway_testing::swept(100, 1_000);
    for seed in 0..seeds {
        let (heard, gaps, lags) = run(seed);
        all = (all.0 + heard, all.1 + gaps, all.2 + lags);
    }
    assert!(
        all.0 > seeds * 50 && all.1 > seeds && all.2 > seeds / 10,
        "{all:?}"
    );
}
