//! Where replies wait for their callers: one table per outbox, under its lock.
//!
//! The driver puts the replies of a whole turn down under the lock that it takes anyway, and a caller that fetches his own gives the place
//! back to the next command. A channel per command would cost an allocation, and a cache line or two for each call under way.
//!
//! Nothing foreign may run under that lock: wakers are woken and dropped, and replies nobody fetches are dropped, by who has released it.

use super::outbox::Delivery;
use std::num::NonZeroU32;
use std::task::{Poll, Waker};

/// A place in [`Places`]. It belongs to one caller and one waiter, until the caller is gone and the waiter has put something there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlaceId(NonZeroU32);

#[derive(Debug)]
enum Place {
    /// The next free one.
    Free(Option<PlaceId>),
    /// By a caller that is to be woken, if it was polled yet.
    Awaited(Option<Waker>),
    Filled(Delivery),
    /// The caller is gone, and the waiter does not know.
    Left,
}

#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<Place>,
    free: Option<PlaceId>,
    taken: usize,
}

/// What a caller has left behind: his waker, or a reply that had come.
#[derive(Debug)]
pub(super) struct LeftBehind(Place);

impl LeftBehind {
    /// Its command may be in the queue yet.
    pub(super) fn is_early(&self) -> bool {
        matches!(self.0, Place::Awaited(_))
    }

    /// How it had ended.
    pub(super) fn delivery(&self) -> Option<&Delivery> {
        match &self.0 {
            Place::Filled(delivery) => Some(delivery),
            _ => None,
        }
    }
}

impl Places {
    /// A place for a new command.
    pub(super) fn occupy(&mut self, waker: Option<&Waker>) -> PlaceId {
        self.taken += 1;
        let awaited = Place::Awaited(waker.cloned());
        match self.free {
            Some(id) => {
                let place = self.at(id);
                let Place::Free(next) = std::mem::replace(place, awaited) else {
                    unreachable!("the list of free places has only free ones")
                };
                self.free = next;
                id
            }
            None => {
                // Memory ends long before a u32 does.
                let id = PlaceId(NonZeroU32::MIN.saturating_add(self.places.len() as u32));
                self.places.push(awaited);
                id
            }
        }
    }

    /// Puts down how a command ended; who is to be woken for it. Gives it back when nobody waits any more.
    pub(super) fn put(
        &mut self,
        id: PlaceId,
        delivery: Delivery,
    ) -> Result<Option<Waker>, Delivery> {
        let place = self.at(id);
        match place {
            Place::Awaited(waker) => {
                let waker = waker.take();
                *place = Place::Filled(delivery);
                Ok(waker)
            }
            _ => {
                debug_assert!(matches!(place, Place::Left), "one delivery per command");
                self.release(id);
                Err(delivery)
            }
        }
    }

    /// What has been put down, or who is to be woken for it from now on. A waker that is of no use any more is left in `old`.
    pub(super) fn poll(
        &mut self,
        id: PlaceId,
        waker: &Waker,
        old: &mut Option<Waker>,
    ) -> Poll<Delivery> {
        let free = self.free;
        let place = self.at(id);
        match place {
            Place::Awaited(known) => {
                if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                    *old = known.replace(waker.clone());
                }
                Poll::Pending
            }
            _ => {
                let Place::Filled(delivery) = std::mem::replace(place, Place::Free(free)) else {
                    unreachable!("a ticket's place is its own until it is fetched or left")
                };
                self.free = Some(id);
                self.taken -= 1;
                Poll::Ready(delivery)
            }
        }
    }

    /// The caller will not come for it.
    pub(super) fn leave(&mut self, id: PlaceId) -> LeftBehind {
        let place = std::mem::replace(self.at(id), Place::Left);
        if let Place::Filled(_) = place {
            self.release(id);
        }
        LeftBehind(place)
    }

    pub(super) fn is_left(&self, id: PlaceId) -> bool {
        matches!(self.places[index(id)], Place::Left)
    }

    /// Gives memory back, if nobody has a place.
    pub(super) fn shrink(&mut self) {
        if self.taken == 0 {
            *self = Places::default();
        }
    }

    fn release(&mut self, id: PlaceId) {
        *self.at(id) = Place::Free(self.free);
        self.free = Some(id);
        self.taken -= 1;
    }

    fn at(&mut self, id: PlaceId) -> &mut Place {
        &mut self.places[index(id)]
    }
}

fn index(id: PlaceId) -> usize {
    id.0.get() as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redis::Value;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Caller(AtomicUsize);

    impl Wake for Caller {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn caller() -> (Arc<Caller>, Waker) {
        let caller = Arc::new(Caller::default());
        (caller.clone(), Waker::from(caller))
    }

    fn reply(number: i64) -> Delivery {
        Delivery::Reply(Value::Int(number))
    }

    fn number(delivery: &Delivery) -> i64 {
        match delivery {
            Delivery::Reply(Value::Int(number)) => *number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_waker_that_looked_last_is_woken_and_the_one_before_is_handed_back() {
        let mut places = Places::default();
        let ((_, first), (_, second)) = (caller(), caller());
        let id = places.occupy(Some(&first));
        let mut old = None;
        assert!(places.poll(id, &first, &mut old).is_pending());
        assert!(old.is_none(), "nothing has changed");
        assert!(places.poll(id, &second, &mut old).is_pending());
        assert!(old.is_some_and(|old| old.will_wake(&first)));
        let woken = places.put(id, reply(1)).unwrap();
        assert!(woken.is_some_and(|woken| woken.will_wake(&second)));
        let fetched = places.poll(id, &first, &mut None);
        assert!(matches!(fetched, Poll::Ready(delivery) if number(&delivery) == 1));
        assert_eq!(places.taken, 0);
    }

    #[test]
    fn a_reply_that_comes_before_its_ticket_is_polled_wakes_nobody_and_waits() {
        let mut places = Places::default();
        let id = places.occupy(None);
        assert!(places.put(id, reply(7)).unwrap().is_none());
        let fetched = places.poll(id, Waker::noop(), &mut None);
        assert!(matches!(fetched, Poll::Ready(delivery) if number(&delivery) == 7));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Send(bool),
        Poll(usize),
        Answer(usize),
        Leave(usize),
        Shrink,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<bool>().prop_map(Step::Send),
            3 => any::<usize>().prop_map(Step::Poll),
            3 => any::<usize>().prop_map(Step::Answer),
            1 => any::<usize>().prop_map(Step::Leave),
            1 => Just(Step::Shrink),
        ]
    }

    /// A command as callers and waiters see it.
    struct Command {
        id: PlaceId,
        number: i64,
        caller: Arc<Caller>,
        waker: Waker,
        is_known: bool,
        is_answered: bool,
        has_left: bool,
    }

    proptest! {
        #[test]
        fn everybody_finds_his_own_reply_and_no_place_is_lost(steps in proptest::collection::vec(step(), 1..200)) {
            let mut places = Places::default();
            let mut commands: Vec<Command> = Vec::new();
            let (mut number_of_last, mut most) = (0, 0);
            for step in steps {
                match step {
                    Step::Send(is_known) => {
                        let (caller, waker) = caller();
                        let id = places.occupy(is_known.then_some(&waker));
                        prop_assert!(commands.iter().all(|command| command.id != id));
                        number_of_last += 1;
                        commands.push(Command {
                            id,
                            number: number_of_last,
                            caller,
                            waker,
                            is_known,
                            is_answered: false,
                            has_left: false,
                        });
                        most = most.max(commands.len());
                    }
                    Step::Poll(at) if !commands.is_empty() => {
                        let at = at % commands.len();
                        let command = &mut commands[at];
                        if command.has_left {
                            continue;
                        }
                        match places.poll(command.id, &command.waker, &mut None) {
                            Poll::Ready(delivery) => {
                                prop_assert!(command.is_answered);
                                prop_assert_eq!(number(&delivery), command.number);
                                commands.swap_remove(at);
                            }
                            Poll::Pending => {
                                prop_assert!(!command.is_answered);
                                command.is_known = true;
                            }
                        }
                    }
                    Step::Answer(at) if !commands.is_empty() => {
                        let at = at % commands.len();
                        let command = &mut commands[at];
                        if command.is_answered {
                            continue;
                        }
                        command.is_answered = true;
                        prop_assert_eq!(places.is_left(command.id), command.has_left);
                        match places.put(command.id, reply(command.number)) {
                            Ok(woken) => {
                                prop_assert!(!command.has_left);
                                prop_assert_eq!(woken.is_some(), command.is_known);
                                woken.into_iter().for_each(Waker::wake);
                                let heard = command.caller.0.load(Ordering::Relaxed);
                                prop_assert_eq!(heard, usize::from(command.is_known));
                            }
                            Err(delivery) => {
                                prop_assert!(command.has_left);
                                prop_assert_eq!(number(&delivery), command.number);
                                commands.swap_remove(at);
                            }
                        }
                    }
                    Step::Leave(at) if !commands.is_empty() => {
                        let at = at % commands.len();
                        let command = &mut commands[at];
                        if command.has_left {
                            continue;
                        }
                        command.has_left = true;
                        let left = places.leave(command.id);
                        prop_assert_eq!(left.is_early(), !command.is_answered);
                        if command.is_answered {
                            commands.swap_remove(at);
                        }
                    }
                    Step::Shrink => {
                        places.shrink();
                        if commands.is_empty() {
                            most = 0;
                        }
                    }
                    Step::Poll(_) | Step::Answer(_) | Step::Leave(_) => {}
                }
                prop_assert_eq!(places.taken, commands.len());
                prop_assert_eq!(places.places.len(), most, "free places are used before new ones");
            }
        }
    }
}
