//! What one call of a subscriber waits for: an answer for each of its topics at each of their servers.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

/// What a server has said to one topic of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It was asked, and has not answered.
    Pending,
    /// Confirmed.
    Done,
    /// Refused by an error reply: its text.
    Refused(Arc<str>),
    /// The server cannot be reached, and why. It is asked when it is back.
    Down(Arc<str>),
}

/// One answer of a call.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Which of the topics of the call.
    pub(crate) topic: usize,
    pub(crate) server: Arc<str>,
    pub(crate) answer: Answer,
}

/// A call that waits.
#[derive(Debug, Default)]
pub(crate) struct Call {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    pending: usize,
    slots: Vec<Slot>,
}

/// A place for one answer.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    call: Arc<Call>,
    slot: usize,
}

impl Call {
    /// Adds a place for an answer.
    pub(crate) fn expect(self: &Arc<Call>, topic: usize, server: &Arc<str>) -> Ticket {
        let mut state = self.state.lock();
        state.pending += 1;
        state.slots.push(Slot {
            topic,
            server: server.clone(),
            answer: Answer::Pending,
        });
        Ticket {
            call: self.clone(),
            slot: state.slots.len() - 1,
        }
    }

    /// Resolves when every place has its answer.
    pub(crate) async fn answered(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.state.lock().pending == 0 {
                return;
            }
            changed.await;
        }
    }

    #[cfg(test)]
    pub(crate) fn slots(&self) -> Vec<Slot> {
        self.state.lock().slots.clone()
    }

    /// Nobody listens any more: what comes later is told otherwise. The answers so far.
    pub(crate) fn close(&self) -> Vec<Slot> {
        let mut state = self.state.lock();
        state.is_closed = true;
        std::mem::take(&mut state.slots)
    }
}

impl Ticket {
    /// Gives the answer. False when the call has ended, or has an answer here.
    pub(crate) fn answer(&self, answer: Answer) -> bool {
        let mut state = self.call.state.lock();
        if state.is_closed {
            return false;
        }
        let slot = &mut state.slots[self.slot];
        if slot.answer != Answer::Pending {
            return false;
        }
        slot.answer = answer;
        state.pending -= 1;
        let is_last = state.pending == 0;
        drop(state);
        if is_last {
            self.call.changed.notify_waiters();
        }
        true
    }

    /// It is another server's to answer: the topic has moved.
    pub(crate) fn moved_to(&self, server: &Arc<str>) {
        let mut state = self.call.state.lock();
        if let Some(slot) = state.slots.get_mut(self.slot) {
            slot.server = server.clone();
        }
    }
}
