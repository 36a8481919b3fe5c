//! The board: what all subscribers of a cluster want, and how far each server is with it. Pure: no I/O and no clock of its own.
//!
//! A topic that lives on one server has a seat there, and for a while after a move one on the server before. A pattern has a seat on
//! every server. What moves a seat on is in the table of [the module](super).
//!
//! Kept apart for each seat: what is wanted (it has listeners), asked ([`State::Asked`], [`State::Leaving`]), granted and refused.

use super::call::{Answer, Call, Ticket};
use super::event::Message;
use super::inbox::{Inbox, SaidAt, size_of_message};
use super::topic::{ByTopic, Kind, Topic};
use crate::planted;
use crate::stats::PubSubSnapshot;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names in one command at most.
const NAMES_MAX: usize = 1_024;
/// Bytes of names in one command, about.
const NAMES_BYTES: usize = 64 * 1024;
/// Names that were asked for and are not answered yet, on one connection: the server's answers must find room.
const OUTSTANDING_MAX: usize = 16 * 1024;

/// A server of the board. One that a reload has replaced is another, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DeskId(pub(crate) u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SubscriberId(u64);

/// Limits and waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// How long messages of a new server wait for the last ones of the old.
    pub(crate) hold: Duration,
    /// Bytes of messages that wait so, of all topics.
    pub(crate) held_max: usize,
    /// The pause after the first refusal, which doubles, and its bound.
    pub(crate) pause_min: Duration,
    pub(crate) pause_max: Duration,
}

/// What a value on a connection was, if it may stay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// As expected.
    Fine,
    /// Nothing that this connection has asked for: it must be closed.
    Nonsense(&'static str),
}

/// One push or reply, taken apart.
#[derive(Debug)]
pub(crate) enum Word {
    Message {
        kind: Kind,
        /// What was subscribed: the channel or the pattern.
        topic: Vec<u8>,
        /// Of a pattern.
        channel: Option<Vec<u8>>,
        payload: Vec<u8>,
    },
    /// A confirmation.
    Confirmed {
        kind: Kind,
        is_subscribe: bool,
        name: Vec<u8>,
    },
    /// An error reply: its code and text.
    Error { text: String, is_transient: bool },
    /// Another reply that is no push: of PING or CLIENT SETNAME.
    Reply,
    /// A push that is no business of ours.
    Other,
}

#[derive(Debug)]
pub(crate) struct Board {
    manner: Manner,
    desks: BTreeMap<DeskId, Desk>,
    /// The servers of the topology in force.
    current: Vec<DeskId>,
    places: ByTopic<Place>,
    subscribers: HashMap<SubscriberId, Subscriber>,
    next_subscriber: u64,
    /// Of messages that wait for an old server.
    held_bytes: usize,
    /// When topics stop waiting for their old server.
    holds: BTreeMap<(Instant, u64), Topic>,
    next_timer: u64,
}

#[derive(Debug)]
struct Subscriber {
    inbox: Arc<Inbox>,
    topics: HashSet<Topic>,
}

/// Where a topic has seats. A topic that is everywhere has no home.
#[derive(Debug, Default)]
struct Place {
    home: Option<DeskId>,
    /// The server before the last move, while its messages are handed on and those of the home wait.
    former: Option<(DeskId, (Instant, u64))>,
    held: VecDeque<Message>,
    held_bytes: usize,
    /// The former home has had a message since the move.
    has_former_spoken: bool,
}

/// One server.
#[derive(Debug)]
struct Desk {
    name: Arc<str>,
    link: Link,
    seats: ByTopic<Seat>,
    /// Topics whose state and wish differ, each once.
    todo: VecDeque<Topic>,
    /// Pieces of refused commands, to be asked apart.
    pieces: VecDeque<Vec<Topic>>,
    /// Other commands, to be written first.
    housekeeping: VecDeque<Vec<u8>>,
    /// What was written and is not answered, in order.
    expected: VecDeque<Expected>,
    outstanding: usize,
    /// When refused topics are asked for again.
    retries: BTreeMap<(Instant, u64), Topic>,
    granted: u64,
    refused: u64,
    messages: u64,
    gaps: u64,
    has_news: bool,
}

#[derive(Debug)]
enum Link {
    /// On its way, or never tried.
    Connecting,
    Up,
    /// The last dial failed: why.
    Down(Arc<str>),
}

#[derive(Debug)]
enum Expected {
    Names {
        kind: Kind,
        is_subscribe: bool,
        names: VecDeque<Arc<[u8]>>,
        is_begun: bool,
    },
    /// CLIENT SETNAME: an error closes the connection.
    Housekeeping,
    Ping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not asked on this connection.
    Wanted,
    /// SUBSCRIBE is on its way.
    Asked,
    Granted,
    /// An error reply; asked again at this timer.
    Refused,
    /// UNSUBSCRIBE is on its way.
    Leaving,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The topic lives here.
    Home,
    /// It did before the last move: what still comes goes to its listeners.
    Former,
    /// It did once: what still comes is dropped.
    Silent,
}

#[derive(Debug)]
struct Seat {
    state: State,
    role: Role,
    is_queued: bool,
    /// Its SUBSCRIBE was sent before the topic moved away and back: the confirmation is none.
    is_stale: bool,
    refusals: u32,
    retry: Option<(Instant, u64)>,
    /// The words of the last refusal, if it was none that passes by itself.
    refusal: Option<Arc<str>>,
    listeners: Vec<Listener>,
    /// Calls that wait for UNSUBSCRIBE.
    leavers: Vec<Ticket>,
}

#[derive(Clone, Debug)]
struct Listener {
    subscriber: SubscriberId,
    inbox: Arc<Inbox>,
    hears: Hears,
    /// Messages may be lost since it last heard, and it was not told.
    has_gap: bool,
    said: SaidAt,
}

#[derive(Clone, Debug)]
enum Hears {
    /// Not yet; this call waits for it.
    Asked(Ticket),
    /// Not yet; its call has ended, and the subscriber knows no more.
    Late,
    Yes,
    /// Refused, and the subscriber knows.
    Refused,
}

impl Seat {
    fn new() -> Seat {
        Seat {
            state: State::Wanted,
            role: Role::Home,
            is_queued: false,
            is_stale: false,
            refusals: 0,
            retry: None,
            refusal: None,
            listeners: Vec::new(),
            leavers: Vec::new(),
        }
    }

    fn is_wanted(&self) -> bool {
        self.role == Role::Home && !self.listeners.is_empty()
    }

    fn has_left(&mut self) {
        for leaver in self.leavers.drain(..) {
            leaver.answer(Answer::Done);
        }
    }
}

impl Desk {
    fn new(name: Arc<str>) -> Desk {
        Desk {
            name,
            link: Link::Connecting,
            seats: ByTopic::default(),
            todo: VecDeque::new(),
            pieces: VecDeque::new(),
            housekeeping: VecDeque::new(),
            expected: VecDeque::new(),
            outstanding: 0,
            retries: BTreeMap::new(),
            granted: 0,
            refused: 0,
            messages: 0,
            gaps: 0,
            has_news: false,
        }
    }

    fn is_up(&self) -> bool {
        matches!(self.link, Link::Up)
    }

    /// The seat's state and its wish may differ.
    fn look_at(&mut self, topic: &Topic) {
        if let Some(seat) = self.seats.get_mut(topic)
            && !std::mem::replace(&mut seat.is_queued, true)
        {
            self.todo.push_back(topic.clone());
        }
        self.has_news = true;
    }

    fn set_state(&mut self, topic: &Topic, state: State) {
        if let Some(seat) = self.seats.get_mut(topic) {
            for (counted, is) in [
                (&mut self.granted, State::Granted),
                (&mut self.refused, State::Refused),
            ] {
                *counted -= u64::from(seat.state == is);
                *counted += u64::from(state == is);
            }
            seat.state = state;
            if let Some(timer) = seat.retry.take() {
                self.retries.remove(&timer);
            }
        }
    }

    fn remove(&mut self, topic: &Topic) {
        self.set_state(topic, State::Wanted);
        if let Some(mut seat) = self.seats.remove(topic) {
            seat.has_left();
        }
    }
}

impl Board {
    pub(crate) fn new(manner: Manner) -> Board {
        Board {
            manner,
            desks: BTreeMap::new(),
            current: Vec::new(),
            places: ByTopic::default(),
            subscribers: HashMap::new(),
            next_subscriber: 0,
            held_bytes: 0,
            holds: BTreeMap::new(),
            next_timer: 0,
        }
    }

    // What subscribers do.

    pub(crate) fn join(&mut self, inbox: Arc<Inbox>) -> SubscriberId {
        let id = SubscriberId(self.next_subscriber);
        self.next_subscriber += 1;
        let topics = HashSet::new();
        self.subscribers.insert(id, Subscriber { inbox, topics });
        id
    }

    /// The subscriber is gone.
    pub(crate) fn leave(&mut self, id: SubscriberId) {
        let Some(subscriber) = self.subscribers.remove(&id) else {
            return;
        };
        for topic in subscriber.topics {
            self.forget_listener(id, &topic, None);
        }
    }

    pub(crate) fn wants_anything(&self, id: SubscriberId) -> bool {
        self.subscribers
            .get(&id)
            .is_some_and(|subscriber| !subscriber.topics.is_empty())
    }

    pub(crate) fn wanted_by(&self, id: SubscriberId, kind: Kind) -> Vec<Topic> {
        let topics = self.subscribers.get(&id).map(|all| all.topics.iter());
        topics
            .into_iter()
            .flatten()
            .filter(|topic| topic.kind == kind)
            .cloned()
            .collect()
    }

    /// `at` is the place of the topic in its call, `home` the server on which it lives.
    pub(crate) fn subscribe(
        &mut self,
        id: SubscriberId,
        topic: &Topic,
        home: DeskId,
        call: &Arc<Call>,
        at: usize,
    ) {
        let Some(subscriber) = self.subscribers.get_mut(&id) else {
            return;
        };
        subscriber.topics.insert(topic.clone());
        let inbox = subscriber.inbox.clone();
        let place = self.places.or_insert_with(topic, Place::default);
        let desks: Vec<DeskId> = if topic.is_everywhere() {
            self.current.clone()
        } else {
            vec![*place.home.get_or_insert(home)]
        };
        for desk in desks {
            let Some(desk) = self.desks.get_mut(&desk) else {
                continue;
            };
            let ticket = call.expect(at, &desk.name);
            let down = match &desk.link {
                Link::Down(why) => Some(why.clone()),
                Link::Connecting | Link::Up => None,
            };
            let seat = desk.seats.or_insert_with(topic, Seat::new);
            let known = seat
                .listeners
                .iter_mut()
                .find(|listener| listener.subscriber == id);
            let hears = if seat.state == State::Granted {
                ticket.answer(Answer::Done);
                Hears::Yes
            } else if let Some(why) = down {
                ticket.answer(Answer::Down(why));
                known
                    .as_ref()
                    .map_or(Hears::Late, |known| late_or_gap(known))
            } else {
                Hears::Asked(ticket)
            };
            match known {
                Some(known) => known.hears = hears,
                None => seat.listeners.push(Listener {
                    subscriber: id,
                    inbox: inbox.clone(),
                    hears,
                    has_gap: false,
                    said: SaidAt::default(),
                }),
            }
            if seat.state == State::Refused {
                // Whoever asks hears an answer of now.
                desk.set_state(topic, State::Wanted);
            }
            desk.look_at(topic);
        }
    }

    pub(crate) fn unsubscribe(
        &mut self,
        id: SubscriberId,
        topic: &Topic,
        call: &Arc<Call>,
        at: usize,
    ) {
        if let Some(subscriber) = self.subscribers.get_mut(&id) {
            subscriber.topics.remove(topic);
        }
        self.forget_listener(id, topic, Some((call, at)));
    }

    /// Takes back what waits for a subscriber of topics that it has left.
    pub(crate) fn purge<'t>(&self, id: SubscriberId, topics: impl Iterator<Item = &'t Topic>) {
        let Some(subscriber) = self.subscribers.get(&id) else {
            return;
        };
        let ended: HashSet<(Kind, &[u8])> =
            topics.map(|topic| (topic.kind, &*topic.name)).collect();
        subscriber
            .inbox
            .purge(|kind, name| ended.contains(&(kind, name)));
    }

    fn forget_listener(
        &mut self,
        id: SubscriberId,
        topic: &Topic,
        call: Option<(&Arc<Call>, usize)>,
    ) {
        for desk in self.desks.values_mut() {
            let Some(seat) = desk.seats.get_mut(topic) else {
                continue;
            };
            seat.listeners.retain(|listener| listener.subscriber != id);
            if !seat.listeners.is_empty() || seat.role != Role::Home {
                continue;
            }
            match (&desk.link, seat.state) {
                (Link::Up, State::Asked | State::Granted | State::Leaving) => {
                    if let Some((call, at)) = call {
                        seat.leavers.push(call.expect(at, &desk.name));
                    }
                    desk.look_at(topic);
                }
                _ => desk.remove(topic),
            }
        }
        self.tidy(topic);
    }

    /// Forgets a topic without seats.
    fn tidy(&mut self, topic: &Topic) {
        if self
            .desks
            .values()
            .any(|desk| desk.seats.get(topic).is_some())
        {
            return;
        }
        if let Some(place) = self.places.remove(topic) {
            self.held_bytes -= place.held_bytes;
            if let Some((_, timer)) = place.former {
                self.holds.remove(&timer);
            }
        }
    }

    // What the topology does.

    /// Every switch comes here, in order: that two come to the same map again does not mean that nothing was missed in between.
    /// `servers` are those of the map now, `home` says where a topic lives.
    pub(crate) fn follow(
        &mut self,
        servers: &[(DeskId, Arc<str>)],
        home: impl Fn(&[u8]) -> DeskId,
        now: Instant,
    ) {
        let is_first = self.current.is_empty();
        let old = std::mem::replace(
            &mut self.current,
            servers.iter().map(|(desk, _)| *desk).collect(),
        );
        for (desk, name) in servers {
            self.desks
                .entry(*desk)
                .or_insert_with(|| Desk::new(name.clone()));
        }
        if is_first {
            return;
        }
        let topics: Vec<(Topic, Option<DeskId>)> = self
            .places
            .iter()
            .map(|(topic, place)| (topic, place.home))
            .collect();
        for (topic, from) in topics {
            match from {
                None => self.spread(&topic, &old),
                Some(from) => {
                    let to = home(&topic.name);
                    if from != to {
                        self.move_topic(&topic, from, to, now);
                    }
                }
            }
            self.tidy(&topic);
        }
    }

    /// A topic that is everywhere gets seats on new servers, and leaves those that are gone.
    fn spread(&mut self, topic: &Topic, old: &[DeskId]) {
        let mut listeners: Vec<Listener> = Vec::new();
        for desk in old {
            let Some(seat) = self.desks.get(desk).and_then(|desk| desk.seats.get(topic)) else {
                continue;
            };
            if seat.role != Role::Home {
                continue;
            }
            for listener in &seat.listeners {
                match listeners
                    .iter_mut()
                    .find(|known| known.subscriber == listener.subscriber)
                {
                    Some(known) => {
                        if matches!(listener.hears, Hears::Yes) {
                            known.hears = Hears::Yes;
                        }
                    }
                    None => {
                        let mut listener = listener.clone();
                        // A call waits for the servers that it has asked.
                        if !matches!(listener.hears, Hears::Yes) {
                            listener.hears = Hears::Late;
                        }
                        listener.said = SaidAt::default();
                        listeners.push(listener);
                    }
                }
            }
        }
        for listener in &mut listeners {
            listener.has_gap = matches!(listener.hears, Hears::Yes);
        }
        for id in old.iter().filter(|id| !self.current.contains(id)) {
            if let Some(desk) = self.desks.get_mut(id) {
                retire(desk, topic, true);
            }
        }
        for id in &self.current {
            if old.contains(id) {
                continue;
            }
            if let Some(desk) = self.desks.get_mut(id) {
                let seat = desk.seats.or_insert_with(topic, Seat::new);
                let is_known = seat.role != Role::Home || seat.state != State::Wanted;
                seat.role = Role::Home;
                seat.listeners = listeners.clone();
                if is_known {
                    ask_anew(desk, topic);
                }
                desk.look_at(topic);
            }
        }
    }

    fn move_topic(&mut self, topic: &Topic, from: DeskId, to: DeskId, now: Instant) {
        let Some(place) = self.places.get_mut(topic) else {
            return;
        };
        place.home = Some(to);
        // They belong to a server that is no home any more, and the gap that will be said covers them.
        self.held_bytes -= std::mem::take(&mut place.held_bytes);
        place.held.clear();
        let mut former = place.former.take();
        let mut listeners = Vec::new();
        if let Some(desk) = self.desks.get_mut(&from)
            && let Some(seat) = desk.seats.get_mut(topic)
        {
            // What it hears now is handed on until it has left. Not if it waits for another server itself.
            let hands_on = seat.state == State::Granted && former.is_none();
            listeners = seat.listeners.clone();
            retire(desk, topic, hands_on);
            if hands_on {
                let timer = (now + self.manner.hold, self.next_timer);
                self.next_timer += 1;
                self.holds.insert(timer, topic.clone());
                former = Some((from, timer));
            }
        }
        if let Some((desk, timer)) = former
            && desk == to
        {
            self.holds.remove(&timer);
            former = None;
        }
        place.former = former;
        if let Some(desk) = self.desks.get_mut(&to) {
            for listener in &mut listeners {
                match &listener.hears {
                    Hears::Yes => listener.has_gap = !planted::is("silent-switch"),
                    Hears::Asked(ticket) => ticket.moved_to(&desk.name),
                    // The new server has not refused it.
                    Hears::Refused => listener.hears = Hears::Refused,
                    Hears::Late => {}
                }
                if let (Hears::Asked(ticket), Link::Down(why)) = (&listener.hears, &desk.link) {
                    ticket.answer(Answer::Down(why.clone()));
                    listener.hears = Hears::Late;
                }
            }
            if planted::is("early-gap") {
                announce(&desk.name, topic, &mut listeners);
            }
            let is_known = desk.seats.get(topic).is_some();
            let seat = desk.seats.or_insert_with(topic, Seat::new);
            seat.role = Role::Home;
            seat.listeners = listeners;
            if is_known {
                ask_anew(desk, topic);
            }
            desk.look_at(topic);
        }
    }

    /// Whether a connection to this server is needed.
    pub(crate) fn is_needed(&self, id: DeskId) -> bool {
        self.desks.get(&id).is_some_and(|desk| desk.seats.len() > 0)
    }

    /// Its connection is closed for good.
    pub(crate) fn forget(&mut self, id: DeskId, now: Instant) {
        self.lost(id, now);
        if !self.current.contains(&id) {
            let topics: Vec<Topic> = match self.desks.get(&id) {
                Some(desk) => desk.seats.topics().collect(),
                None => return,
            };
            if let Some(desk) = self.desks.get_mut(&id) {
                for topic in &topics {
                    desk.remove(topic);
                }
            }
            self.desks.remove(&id);
            for topic in &topics {
                self.tidy(topic);
            }
        }
    }

    // What connections do.

    /// A dial has failed: who waits for this server is told.
    pub(crate) fn dial_failed(&mut self, id: DeskId, why: &Arc<str>) {
        let Some(desk) = self.desks.get_mut(&id) else {
            return;
        };
        let was_down = matches!(desk.link, Link::Down(_));
        desk.link = Link::Down(why.clone());
        if was_down {
            return;
        }
        let topics: Vec<Topic> = desk.seats.topics().collect();
        for topic in &topics {
            let Some(seat) = desk.seats.get_mut(topic) else {
                continue;
            };
            for listener in &mut seat.listeners {
                if let Hears::Asked(ticket) = &listener.hears {
                    ticket.answer(Answer::Down(why.clone()));
                    listener.hears = late_or_gap(listener);
                }
            }
        }
    }

    /// A connection is greeted, and nothing is subscribed on it.
    pub(crate) fn connected(&mut self, id: DeskId) {
        let Some(desk) = self.desks.get_mut(&id) else {
            return;
        };
        desk.link = Link::Up;
        let topics: Vec<Topic> = desk.seats.topics().collect();
        for topic in &topics {
            desk.set_state(topic, State::Wanted);
            desk.look_at(topic);
        }
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self, id: DeskId, _now: Instant) {
        let Some(desk) = self.desks.get_mut(&id) else {
            return;
        };
        desk.link = Link::Connecting;
        desk.expected.clear();
        desk.outstanding = 0;
        desk.pieces.clear();
        desk.todo.clear();
        desk.housekeeping.clear();
        let name = desk.name.clone();
        let topics: Vec<Topic> = desk.seats.topics().collect();
        let mut ended = Vec::new();
        let mut gaps = 0;
        for topic in topics {
            let Some(seat) = desk.seats.get_mut(&topic) else {
                continue;
            };
            seat.is_queued = false;
            seat.is_stale = false;
            let was_granted = seat.state == State::Granted;
            match seat.role {
                Role::Home if seat.listeners.is_empty() => desk.remove(&topic),
                Role::Home => {
                    // They came before the loss, and the gap that will be said covers them.
                    if let Some(place) = self.places.get_mut(&topic) {
                        self.held_bytes -= std::mem::take(&mut place.held_bytes);
                        place.held.clear();
                    }
                    if was_granted {
                        for listener in &mut seat.listeners {
                            listener.has_gap |= matches!(listener.hears, Hears::Yes);
                        }
                    }
                    if seat.state != State::Refused {
                        desk.set_state(&topic, State::Wanted);
                    }
                    // A place in the queue is taken again with the next connection.
                    continue;
                }
                Role::Former => {
                    if topic.is_everywhere() {
                        // No server takes over from it, so nobody else would say that its last messages may be lost.
                        for listener in &mut seat.listeners {
                            if matches!(listener.hears, Hears::Yes) {
                                let inbox = listener.inbox.clone();
                                gaps += u64::from(inbox.gap(&name, &topic, &mut listener.said));
                            }
                        }
                    }
                    desk.remove(&topic);
                    ended.push(topic.clone());
                    continue;
                }
                Role::Silent => desk.remove(&topic),
            }
            ended.push(topic);
        }
        desk.gaps += gaps;
        for topic in ended {
            self.former_has_left(&topic, id);
            self.tidy(&topic);
        }
    }

    /// CLIENT SETNAME, before anything else.
    pub(crate) fn rename(&mut self, id: DeskId, packed: Vec<u8>) {
        if let Some(desk) = self.desks.get_mut(&id)
            && desk.is_up()
        {
            desk.housekeeping.push_back(packed);
            desk.has_news = true;
        }
    }

    pub(crate) fn ping(&mut self, id: DeskId, out: &mut Vec<u8>) {
        if let Some(desk) = self.desks.get_mut(&id) {
            desk.expected.push_back(Expected::Ping);
            out.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
        }
    }

    /// Something is written and not answered.
    pub(crate) fn is_waiting(&self, id: DeskId) -> bool {
        self.desks
            .get(&id)
            .is_some_and(|desk| !desk.expected.is_empty())
    }

    /// True once after something has changed that this connection may have to write.
    pub(crate) fn take_news(&mut self, id: DeskId) -> bool {
        self.desks
            .get_mut(&id)
            .is_some_and(|desk| std::mem::take(&mut desk.has_news))
    }

    /// Desks with news.
    pub(crate) fn desks_with_news(&self) -> impl Iterator<Item = DeskId> + '_ {
        self.desks
            .iter()
            .filter(|(_, desk)| desk.has_news)
            .map(|(id, _)| *id)
    }

    /// Adds to `out` what the connection has to write now.
    pub(crate) fn orders(&mut self, id: DeskId, out: &mut Vec<u8>) {
        let mut done = Vec::new();
        if let Some(desk) = self.desks.get_mut(&id)
            && desk.is_up()
        {
            desk.has_news = false;
            while let Some(packed) = desk.housekeeping.pop_front() {
                out.extend_from_slice(&packed);
                desk.expected.push_back(Expected::Housekeeping);
            }
            while desk.outstanding < OUTSTANDING_MAX {
                let Some(piece) = desk.pieces.pop_front() else {
                    break;
                };
                let mut wanted = Vec::with_capacity(piece.len());
                for topic in piece {
                    let Some(seat) = desk.seats.get_mut(&topic) else {
                        continue;
                    };
                    seat.is_queued = false;
                    match (seat.state, seat.is_wanted()) {
                        (State::Wanted, true) => {
                            desk.set_state(&topic, State::Asked);
                            wanted.push(topic);
                        }
                        (State::Wanted | State::Refused, false) => done.push(topic),
                        _ => {}
                    }
                }
                if let Some(first) = wanted.first() {
                    let kind = first.kind;
                    say(desk, kind, true, wanted, out);
                }
            }
            let mut run: Vec<Topic> = Vec::new();
            let mut run_is: Option<(Kind, bool)> = None;
            let mut run_bytes = 0;
            while desk.outstanding + run.len() < OUTSTANDING_MAX {
                let Some(topic) = desk.todo.pop_front() else {
                    break;
                };
                let Some(seat) = desk.seats.get_mut(&topic) else {
                    continue;
                };
                seat.is_queued = false;
                let is_subscribe = match (seat.state, seat.is_wanted()) {
                    (State::Wanted, true) => true,
                    (State::Granted, false) => false,
                    (State::Wanted | State::Refused, false) => {
                        done.push(topic);
                        continue;
                    }
                    _ => continue,
                };
                let this = (topic.kind, is_subscribe);
                if run_is.is_some_and(|run_is| run_is != this)
                    || run.len() >= NAMES_MAX
                    || run_bytes >= NAMES_BYTES
                {
                    if let Some((kind, is_subscribe)) = run_is {
                        say(desk, kind, is_subscribe, std::mem::take(&mut run), out);
                    }
                    run_bytes = 0;
                }
                // Here and not when it is written: a topic that was left and is wanted again may be in the queue twice.
                desk.set_state(
                    &topic,
                    if is_subscribe {
                        State::Asked
                    } else {
                        State::Leaving
                    },
                );
                run_is = Some(this);
                run_bytes += topic.name.len() + 16;
                run.push(topic);
            }
            if let Some((kind, is_subscribe)) = run_is
                && !run.is_empty()
            {
                say(desk, kind, is_subscribe, run, out);
            }
            for topic in &done {
                desk.remove(topic);
            }
            desk.has_news = false;
        }
        for topic in done {
            self.former_has_left(&topic, id);
            self.tidy(&topic);
        }
    }

    /// Takes in what came.
    pub(crate) fn hear(&mut self, id: DeskId, word: Word, now: Instant) -> Heard {
        match word {
            Word::Message {
                kind,
                topic,
                channel,
                payload,
            } => {
                self.message(id, kind, topic, channel, payload);
                Heard::Fine
            }
            Word::Confirmed {
                kind,
                is_subscribe,
                name,
            } => self.confirmed(id, kind, is_subscribe, &name),
            Word::Error { text, is_transient } => self.refused(id, &text, is_transient, now),
            Word::Reply => {
                let Some(desk) = self.desks.get_mut(&id) else {
                    return Heard::Fine;
                };
                match desk.expected.pop_front() {
                    Some(Expected::Housekeeping | Expected::Ping) => Heard::Fine,
                    _ => Heard::Nonsense("a reply that nobody asked for"),
                }
            }
            Word::Other => Heard::Fine,
        }
    }

    fn message(
        &mut self,
        id: DeskId,
        kind: Kind,
        topic: Vec<u8>,
        channel: Option<Vec<u8>>,
        payload: Vec<u8>,
    ) {
        let Some(desk) = self.desks.get_mut(&id) else {
            return;
        };
        desk.messages += 1;
        let Some(seat) = desk.seats.find(kind, &topic) else {
            return;
        };
        let (channel, pattern) = match channel {
            Some(channel) => (channel, Some(topic.clone())),
            None => (topic.clone(), None),
        };
        let message = Message {
            channel,
            pattern,
            is_sharded: kind == Kind::Sharded,
            payload,
            server: desk.name.clone(),
        };
        match seat.role {
            Role::Home if seat.state != State::Granted => {}
            Role::Home => {
                let place = self.places.find(kind, &topic);
                match place {
                    Some(place) if place.former.is_some() => {
                        let bytes = size_of_message(&message);
                        place.held_bytes += bytes;
                        self.held_bytes += bytes;
                        place.held.push_back(message);
                        while self.held_bytes > self.manner.held_max
                            && let Some(oldest) = place.held.pop_front()
                        {
                            let bytes = size_of_message(&oldest);
                            place.held_bytes -= bytes;
                            self.held_bytes -= bytes;
                            for listener in &mut seat.listeners {
                                listener.has_gap |= matches!(listener.hears, Hears::Yes);
                            }
                        }
                    }
                    _ => deliver(&mut seat.listeners, message),
                }
            }
            Role::Former => {
                if let Some(place) = self.places.find(kind, &topic) {
                    place.has_former_spoken = true;
                }
                deliver(&mut seat.listeners, message);
            }
            Role::Silent => {}
        }
    }

    fn confirmed(&mut self, id: DeskId, kind: Kind, is_subscribe: bool, name: &[u8]) -> Heard {
        let Some(desk) = self.desks.get_mut(&id) else {
            return Heard::Fine;
        };
        let name = match desk.expected.front_mut() {
            Some(Expected::Names {
                kind: asked,
                is_subscribe: asks,
                names,
                is_begun,
            }) if *asked == kind
                && *asks == is_subscribe
                && names.front().is_some_and(|first| **first == *name) =>
            {
                *is_begun = true;
                let Some(name) = names.pop_front() else {
                    return Heard::Fine;
                };
                if names.is_empty() {
                    desk.expected.pop_front();
                }
                name
            }
            _ => return Heard::Nonsense("a confirmation of what was not asked"),
        };
        desk.outstanding -= 1;
        desk.has_news |= !desk.todo.is_empty() || !desk.pieces.is_empty();
        let topic = Topic { kind, name };
        let Some(seat) = desk.seats.get_mut(&topic) else {
            return Heard::Fine;
        };
        if is_subscribe {
            if std::mem::take(&mut seat.is_stale) {
                desk.set_state(&topic, State::Wanted);
                desk.look_at(&topic);
                return Heard::Fine;
            }
            seat.refusals = 0;
            desk.set_state(&topic, State::Granted);
            let is_wanted = desk.seats.get(&topic).is_some_and(Seat::is_wanted);
            if is_wanted {
                self.granted(id, &topic);
            } else {
                desk.look_at(&topic);
            }
            return Heard::Fine;
        }
        seat.has_left();
        let is_wanted = seat.is_wanted();
        desk.set_state(&topic, State::Wanted);
        if is_wanted {
            desk.look_at(&topic);
        } else {
            desk.remove(&topic);
            self.former_has_left(&topic, id);
            self.tidy(&topic);
        }
        Heard::Fine
    }

    /// The home of a topic has granted it. Calls hear it now; what has a place among messages waits for the former home.
    fn granted(&mut self, id: DeskId, topic: &Topic) {
        let is_held = self
            .places
            .get(topic)
            .is_some_and(|place| place.former.is_some());
        let Some(desk) = self.desks.get_mut(&id) else {
            return;
        };
        let name = desk.name.clone();
        let Some(seat) = desk.seats.get_mut(topic) else {
            return;
        };
        for listener in &mut seat.listeners {
            if let Hears::Asked(ticket) = &listener.hears {
                listener.hears = if ticket.answer(Answer::Done) {
                    Hears::Yes
                } else {
                    late_or_gap(listener)
                };
            }
        }
        if !is_held {
            desk.gaps += announce(&name, topic, &mut seat.listeners);
        }
    }

    /// If a topic waits for this server: not any more.
    fn former_has_left(&mut self, topic: &Topic, id: DeskId) {
        let Some(place) = self.places.get_mut(topic) else {
            return;
        };
        let Some((former, timer)) = place.former else {
            return;
        };
        if former != id {
            return;
        }
        self.holds.remove(&timer);
        place.former = None;
        let has_spoken = std::mem::take(&mut place.has_former_spoken);
        self.held_bytes -= std::mem::take(&mut place.held_bytes);
        let held = std::mem::take(&mut place.held);
        let Some(desk) = place.home.and_then(|home| self.desks.get_mut(&home)) else {
            return;
        };
        let name = desk.name.clone();
        let Some(seat) = desk.seats.get_mut(topic) else {
            return;
        };
        if has_spoken {
            for listener in &mut seat.listeners {
                listener.said.forget();
            }
        }
        if seat.role != Role::Home {
            return;
        }
        if seat.state == State::Refused {
            tell_refusal(&name, topic, seat, false);
        }
        if seat.state != State::Granted {
            return;
        }
        desk.gaps += announce(&name, topic, &mut seat.listeners);
        for message in held {
            deliver(&mut seat.listeners, message);
        }
    }

    fn refused(&mut self, id: DeskId, text: &str, is_transient: bool, now: Instant) -> Heard {
        let manner = self.manner;
        let timer = self.next_timer;
        let Some(desk) = self.desks.get_mut(&id) else {
            return Heard::Fine;
        };
        let (kind, is_subscribe, names) = match desk.expected.pop_front() {
            Some(Expected::Names {
                kind,
                is_subscribe,
                names,
                is_begun: false,
            }) => (kind, is_subscribe, names),
            // The server answers, and that is what was asked.
            Some(Expected::Ping) => return Heard::Fine,
            Some(Expected::Housekeeping) => {
                return Heard::Nonsense("it does not take its new name");
            }
            _ => return Heard::Nonsense("an error that answers nothing"),
        };
        desk.outstanding -= names.len();
        desk.has_news |= !desk.todo.is_empty() || !desk.pieces.is_empty();
        let topics: Vec<Topic> = names.into_iter().map(|name| Topic { kind, name }).collect();
        if !is_subscribe {
            // It cannot be left on this connection.
            return Heard::Nonsense("it does not let a subscription go");
        }
        if topics.len() > 1 && planted::is("refused-batch") {
            for topic in &topics {
                desk.set_state(topic, State::Granted);
            }
            return Heard::Fine;
        }
        if topics.len() > 1 {
            // One that may not be subscribed refuses all: asked again by halves.
            for topic in &topics {
                desk.set_state(topic, State::Wanted);
                if let Some(seat) = desk.seats.get_mut(topic) {
                    seat.is_queued = true;
                    seat.is_stale = false;
                }
            }
            let second = topics[topics.len() / 2..].to_vec();
            let first = topics[..topics.len() / 2].to_vec();
            desk.pieces.push_front(second);
            desk.pieces.push_front(first);
            desk.has_news = true;
            return Heard::Fine;
        }
        let name = desk.name.clone();
        for topic in topics {
            desk.set_state(&topic, State::Refused);
            let Some(seat) = desk.seats.get_mut(&topic) else {
                continue;
            };
            seat.is_stale = false;
            if !seat.is_wanted() {
                desk.remove(&topic);
                self.former_has_left(&topic, id);
                self.tidy(&topic);
                return Heard::Fine;
            }
            let pause = manner
                .pause_min
                .saturating_mul(1 << seat.refusals.min(20))
                .min(manner.pause_max);
            seat.refusals += 1;
            seat.retry = Some((now + pause, timer));
            desk.retries.insert((now + pause, timer), topic.clone());
            desk.has_news = true;
            if is_transient {
                seat.refusal = None;
                continue;
            }
            seat.refusal = Some(text.into());
            // The last messages of the server before come first.
            let is_held = self
                .places
                .get(&topic)
                .is_some_and(|place| place.former.is_some());
            tell_refusal(&name, &topic, seat, is_held);
        }
        self.next_timer += 1;
        Heard::Fine
    }

    // What time does.

    /// The next moment at which [`tick`](Board::tick) has something to do.
    pub(crate) fn next_tick(&self) -> Option<Instant> {
        let retries = self
            .desks
            .values()
            .filter(|desk| desk.is_up())
            .filter_map(|desk| desk.retries.first_key_value());
        let holds = self.holds.first_key_value().map(|((at, _), _)| *at);
        retries.map(|((at, _), _)| *at).chain(holds).min()
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        for desk in self.desks.values_mut().filter(|desk| desk.is_up()) {
            while let Some(((at, timer), topic)) = desk
                .retries
                .first_key_value()
                .map(|(key, topic)| (*key, topic.clone()))
                && at <= now
            {
                desk.retries.remove(&(at, timer));
                desk.set_state(&topic, State::Wanted);
                desk.look_at(&topic);
            }
        }
        while let Some(((at, _), topic)) = self
            .holds
            .first_key_value()
            .map(|(key, topic)| (*key, topic.clone()))
            && at <= now
        {
            let Some((former, _)) = self.places.get(&topic).and_then(|place| place.former) else {
                self.holds.pop_first();
                continue;
            };
            if let Some(desk) = self.desks.get_mut(&former)
                && let Some(seat) = desk.seats.get_mut(&topic)
            {
                seat.role = Role::Silent;
                seat.listeners.clear();
            }
            self.former_has_left(&topic, former);
        }
    }

    // What is counted.

    pub(crate) fn snapshot(&self, id: DeskId) -> PubSubSnapshot {
        let mut snapshot = PubSubSnapshot::default();
        if let Some(desk) = self.desks.get(&id) {
            snapshot.wanted = desk.seats.len() as u64;
            snapshot.granted = desk.granted;
            snapshot.refused = desk.refused;
            snapshot.messages = desk.messages;
            snapshot.gaps = desk.gaps;
        }
        snapshot
    }

    pub(crate) fn inboxes(&self) -> impl Iterator<Item = &Arc<Inbox>> {
        self.subscribers
            .values()
            .map(|subscriber| &subscriber.inbox)
    }
}

/// One command with these names, whose state says it already.
fn say(desk: &mut Desk, kind: Kind, is_subscribe: bool, topics: Vec<Topic>, out: &mut Vec<u8>) {
    let mut cmd = redis::cmd(if is_subscribe {
        kind.subscribe()
    } else {
        kind.unsubscribe()
    });
    let mut names = VecDeque::with_capacity(topics.len());
    for topic in topics {
        cmd.arg(&*topic.name);
        names.push_back(topic.name);
    }
    cmd.write_packed_command(out);
    desk.outstanding += names.len();
    desk.expected.push_back(Expected::Names {
        kind,
        is_subscribe,
        names,
        is_begun: false,
    });
}

/// The topic lives here no more.
fn retire(desk: &mut Desk, topic: &Topic, hands_on: bool) {
    let is_up = desk.is_up();
    let Some(seat) = desk.seats.get_mut(topic) else {
        return;
    };
    seat.has_left();
    if hands_on && seat.state == State::Granted {
        seat.role = Role::Former;
        seat.listeners
            .retain(|listener| matches!(listener.hears, Hears::Yes));
    } else {
        seat.role = Role::Silent;
        seat.listeners.clear();
    }
    if is_up && !matches!(seat.state, State::Wanted | State::Refused) {
        desk.look_at(topic);
    } else {
        desk.remove(topic);
    }
}

/// What was subscribed or asked before the topic went and came back says nothing of the time between: a new confirmation is needed.
fn ask_anew(desk: &mut Desk, topic: &Topic) {
    let Some(seat) = desk.seats.get_mut(topic) else {
        return;
    };
    match seat.state {
        State::Asked => seat.is_stale = true,
        State::Granted | State::Refused => desk.set_state(topic, State::Wanted),
        State::Wanted | State::Leaving => {}
    }
}

fn deliver(listeners: &mut [Listener], message: Message) {
    let mut hearing = listeners
        .iter_mut()
        .filter(|listener| matches!(listener.hears, Hears::Yes))
        .peekable();
    while let Some(listener) = hearing.next() {
        listener.said.forget();
        if hearing.peek().is_none() {
            listener.inbox.message(message);
            return;
        }
        listener.inbox.message(message.clone());
    }
}

/// Tells calls, and those who have heard before, that the server refuses. `is_held`: the latter hear a former server yet.
fn tell_refusal(server: &Arc<str>, topic: &Topic, seat: &mut Seat, is_held: bool) {
    // None of one that may pass by itself.
    let Some(text) = seat.refusal.clone() else {
        return;
    };
    for listener in &mut seat.listeners {
        match &listener.hears {
            Hears::Asked(ticket) if ticket.answer(Answer::Refused(text.clone())) => {}
            Hears::Refused => continue,
            _ if is_held => continue,
            _ => listener.inbox.refused(server, topic, &text),
        }
        listener.hears = Hears::Refused;
        // `Subscribed` will say where messages begin again.
        listener.has_gap = false;
    }
}

/// Says what a grant means, at its place among the messages. How many gaps were said.
fn announce(server: &Arc<str>, topic: &Topic, listeners: &mut [Listener]) -> u64 {
    let mut gaps = 0;
    for listener in listeners {
        match &listener.hears {
            Hears::Late | Hears::Refused => {
                listener.hears = Hears::Yes;
                listener.inbox.subscribed(server, topic);
                listener.said.forget();
            }
            Hears::Yes if listener.has_gap => {
                let inbox = listener.inbox.clone();
                gaps += u64::from(inbox.gap(server, topic, &mut listener.said));
            }
            Hears::Yes | Hears::Asked(_) => {}
        }
        listener.has_gap = false;
    }
    gaps
}

/// The call of a listener has ended without it.
fn late_or_gap(listener: &Listener) -> Hears {
    // It has heard before, and was asked for again while its connection was away: its gap will say it.
    if listener.has_gap {
        Hears::Yes
    } else {
        Hears::Late
    }
}
