//! The hub: one per cluster. It has the board, the map that the board has followed, and a session for each server that is needed.

use super::board::{Board, DeskId, Manner, SubscriberId};
use super::call::Call;
use super::inbox::Inbox;
use super::session;
use super::topic::{Kind, Topic};
use crate::control::Current;
use crate::pool::Server;
use crate::stats::{PubSubSnapshot, SubscribersSnapshot};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    runtime: Handle,
}

#[derive(Debug)]
struct State {
    board: Board,
    /// `None` until somebody subscribes: what nobody asks for costs nothing.
    map: Option<Arc<Current<Server>>>,
    /// The servers that the board knows, those of older maps until they are done with.
    servers: BTreeMap<DeskId, Arc<Server>>,
    sessions: BTreeMap<DeskId, Session>,
    next_desk: u64,
    is_closed: bool,
    /// The runtime that has the connections has ended.
    is_gone: bool,
}

#[derive(Debug)]
struct Session {
    wake: Arc<Notify>,
    task: AbortHandle,
}

impl Hub {
    pub(crate) fn new(manner: Manner, runtime: Handle) -> Arc<Hub> {
        Arc::new(Hub {
            state: Mutex::new(State {
                board: Board::new(manner),
                map: None,
                servers: BTreeMap::new(),
                sessions: BTreeMap::new(),
                next_desk: 0,
                is_closed: false,
                is_gone: false,
            }),
            runtime,
        })
    }

    /// Does something to the board, and tells the sessions that have to do with it.
    pub(super) fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut Board) -> T) -> T {
        let mut state = self.state.lock();
        let result = act(&mut state.board);
        self.wake(&mut state);
        result
    }

    fn wake(self: &Arc<Self>, state: &mut State) {
        if state.is_closed || state.is_gone {
            return;
        }
        let news: Vec<DeskId> = state.board.desks_with_news().collect();
        for id in news {
            match state.sessions.get(&id) {
                Some(session) => session.wake.notify_one(),
                None if state.board.is_needed(id) => {
                    let Some(server) = state.servers.get(&id) else {
                        continue;
                    };
                    let wake = Arc::new(Notify::new());
                    let kept = session::keep(self.clone(), id, server.clone(), wake.clone());
                    let task = self.runtime.spawn(kept).abort_handle();
                    state.sessions.insert(id, Session { wake, task });
                }
                None => _ = state.board.take_news(id),
            }
        }
    }

    /// A switch: called by whoever makes it, under the lock that makes switches one by one, so that none is missed.
    pub(crate) fn follow(self: &Arc<Self>, current: &Arc<Current<Server>>) {
        let mut state = self.state.lock();
        if state.map.is_some() {
            self.take_map(&mut state, current);
        }
    }

    fn take_map(self: &Arc<Self>, state: &mut State, current: &Arc<Current<Server>>) {
        let is_switch = state.map.is_some();
        if state
            .map
            .as_ref()
            .is_some_and(|map| map.generation >= current.generation)
        {
            return;
        }
        let mut ids = Vec::with_capacity(current.servers.len());
        for server in &current.servers {
            let known = state
                .servers
                .iter()
                .find(|(_, known)| Arc::ptr_eq(known, server))
                .map(|(id, _)| *id);
            let id = known.unwrap_or_else(|| {
                state.next_desk += 1;
                let id = DeskId(state.next_desk);
                state.servers.insert(id, server.clone());
                id
            });
            ids.push((id, server.name().clone()));
        }
        let home = |name: &[u8]| {
            let server = current.topology.server_of(current.node(name));
            ids[server.index()].0
        };
        if is_switch {
            // Before the first SUBSCRIBE under the new map.
            for (id, _) in &ids {
                let packed = state.servers[id].pubsub_name(current.topology.epoch().0);
                state.board.rename(*id, packed);
            }
        }
        state.board.follow(&ids, home, Instant::now());
        state.map = Some(current.clone());
        let State {
            servers,
            board,
            sessions,
            ..
        } = state;
        servers.retain(|id, _| {
            ids.iter().any(|(kept, _)| kept == id)
                || sessions.contains_key(id)
                || board.is_needed(*id)
        });
        for (id, session) in &state.sessions {
            // It may have become one of an older map, which it has to look at.
            if !ids.iter().any(|(kept, _)| kept == id) {
                session.wake.notify_one();
            }
        }
        self.wake(state);
    }

    /// Subscribes to topics, each with its place in the call.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        current: &Arc<Current<Server>>,
        id: SubscriberId,
        topics: &[(usize, Topic)],
        call: &Arc<Call>,
    ) {
        let mut state = self.state.lock();
        if state.map.is_none() {
            self.take_map(&mut state, current);
        }
        let Some(map) = state.map.clone() else {
            return;
        };
        for (at, topic) in topics {
            let server = map.server_of(map.node(&topic.name));
            let home = state
                .servers
                .iter()
                .find(|(_, known)| Arc::ptr_eq(known, server))
                .map(|(id, _)| *id);
            if let Some(home) = home {
                state.board.subscribe(id, topic, home, call, *at);
            }
        }
        self.wake(&mut state);
    }

    pub(crate) fn unsubscribe(
        self: &Arc<Self>,
        id: SubscriberId,
        topics: &[(usize, Topic)],
        call: &Arc<Call>,
    ) {
        self.with(|board| {
            for (at, topic) in topics {
                board.unsubscribe(id, topic, call, *at);
            }
            board.purge(id, topics.iter().map(|(_, topic)| topic));
        });
    }

    pub(crate) fn wanted_by(&self, id: SubscriberId, kind: Kind) -> Vec<Topic> {
        self.state.lock().board.wanted_by(id, kind)
    }

    pub(crate) fn wants_anything(&self, id: SubscriberId) -> bool {
        self.state.lock().board.wants_anything(id)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state.lock().is_gone
    }

    /// The board, for a session, which needs no waking.
    pub(super) fn quietly<T>(&self, act: impl FnOnce(&mut Board) -> T) -> T {
        act(&mut self.state.lock().board)
    }

    /// A session whose server is not needed ends; under one lock, so that a subscription just behind makes a new one.
    pub(super) fn ends(&self, id: DeskId) -> bool {
        let mut state = self.state.lock();
        if state.board.is_needed(id) {
            return false;
        }
        state.board.forget(id, Instant::now());
        state.sessions.remove(&id);
        true
    }

    /// A session ends for good whatever its server still has.
    pub(super) fn give_up(&self, id: DeskId) {
        let mut state = self.state.lock();
        state.board.forget(id, Instant::now());
        state.sessions.remove(&id);
        state.servers.remove(&id);
    }

    /// A session was dropped with its runtime.
    pub(super) fn gone(&self) {
        let mut state = self.state.lock();
        if state.is_closed {
            return;
        }
        state.is_gone = true;
        for inbox in state.board.inboxes() {
            inbox.arrived.notify_one();
        }
    }

    pub(super) fn is_current(&self, id: DeskId) -> bool {
        let state = self.state.lock();
        let server = state.servers.get(&id);
        let map = state.map.as_ref();
        server
            .zip(map)
            .is_some_and(|(server, map)| map.servers.iter().any(|known| Arc::ptr_eq(known, server)))
    }

    /// Ends all connections.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        for session in std::mem::take(&mut state.sessions).into_values() {
            session.task.abort();
        }
    }

    /// Of one server, if anybody has subscribed there.
    pub(crate) fn snapshot(&self, server: &Arc<Server>) -> PubSubSnapshot {
        let state = self.state.lock();
        let mut servers = state.servers.iter();
        servers
            .find(|(_, known)| Arc::ptr_eq(known, server))
            .map_or(PubSubSnapshot::default(), |(id, _)| {
                state.board.snapshot(*id)
            })
    }

    /// What waits for all subscribers.
    pub(crate) fn subscribers(&self) -> SubscribersSnapshot {
        let state = self.state.lock();
        let mut all = SubscribersSnapshot::default();
        for inbox in state.board.inboxes() {
            inbox.add_to(&mut all);
        }
        all
    }

    pub(crate) fn join(&self, inbox: Arc<Inbox>) -> SubscriberId {
        self.state.lock().board.join(inbox)
    }

    pub(crate) fn leave(self: &Arc<Self>, id: SubscriberId) {
        self.with(|board| board.leave(id));
    }
}
