//! Turns: which node serves next what any node serves. Only for placements in which no key has a home.

use super::{Choice, Outcome, Scatter, Target};
use crate::connection::{Cause, Ticket};
use crate::control::Current;
use crate::placement::NodeId;
use crate::pool::Server;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often a call that waits for a server that is away looks whether another one is there by now.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Counts the turns of all calls.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    next: AtomicUsize,
}

/// The servers that one call has tried.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<Arc<Server>>);

impl Tried {
    pub(crate) fn add(&mut self, server: Arc<Server>) {
        self.0.push(server);
    }

    pub(crate) fn has(&self, server: &Arc<Server>) -> bool {
        self.0.iter().any(|tried| Arc::ptr_eq(tried, server))
    }
}

impl Turns {
    /// The next of so many nodes that fits, if one does. Those that do not lose their turn, so that the others share it evenly.
    fn next(&self, nodes: usize, fits: impl Fn(NodeId) -> bool) -> Option<NodeId> {
        (0..nodes)
            // At most `NODES_MAX`, so that it fits.
            .map(|_| NodeId((self.next.fetch_add(1, Ordering::Relaxed) % nodes) as u16))
            .find(|node| fits(*node))
    }
}

impl Scatter {
    /// The node whose turn it is, for a call of which every node serves all.
    pub(crate) fn any(&self) -> Target<'static> {
        Target::Node(self.next_node(&Tried::default()), Choice::Any)
    }

    /// The next node whose server is up and was not tried; if there is none, the next whose server is up; if none is, the next.
    pub(crate) fn next_node(&self, tried: &Tried) -> NodeId {
        let current = self.control.load();
        let nodes = current.topology.node_count();
        let is_up = |node| current.server_of(node).is_up();
        let is_fresh = |node| !tried.has(current.server_of(node));
        let next = |fits: &dyn Fn(NodeId) -> bool| self.turns.next(nodes, fits);
        next(&|node| is_fresh(node) && is_up(node))
            .or_else(|| next(&is_up))
            .or_else(|| next(&|_| true))
            .unwrap_or(NodeId(0))
    }

    /// Gives the next attempt of a call to another node, if any node serves it.
    pub(super) fn turn_on(
        &self,
        target: &mut Target<'_>,
        tried: &mut Tried,
        server: Option<Arc<Server>>,
    ) {
        if let Target::Node(node, Choice::Any) = target {
            server.into_iter().for_each(|server| tried.add(server));
            *node = self.next_node(tried);
        }
    }

    pub(crate) fn is_other_up(&self, server: &Arc<Server>) -> bool {
        is_other_up(&self.control.load(), server)
    }

    /// A push that waits for its server no longer than until another one is up, if any node serves the call.
    pub(super) async fn or_elsewhere(
        &self,
        target: Target<'_>,
        server: &Arc<Server>,
        push: impl Future<Output = Result<Ticket, Outcome>>,
    ) -> Result<Ticket, Outcome> {
        if !target.is_any() {
            return push.await;
        }
        let mut push = pin!(push);
        loop {
            if !server.is_up() && self.is_other_up(server) {
                let why = Cause::Dropped("its server is not connected");
                return Err(Outcome::NotSent(server.outage_cause().unwrap_or(why)));
            }
            if let Ok(pushed) = tokio::time::timeout(LOOK_EVERY, push.as_mut()).await {
                return pushed;
            }
        }
    }
}

/// Whether another server with a node is up.
pub(super) fn is_other_up(current: &Current<Server>, server: &Arc<Server>) -> bool {
    let topology = &current.topology;
    topology
        .servers()
        .filter(|id| topology.nodes_of(*id).next().is_some())
        .map(|id| current.server(id))
        .any(|other| !Arc::ptr_eq(other, server) && other.is_up())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(turns: &Turns, count: usize, up: &[u16]) -> Vec<u16> {
        let next = || turns.next(4, |node| up.contains(&node.0));
        (0..count)
            .filter_map(|_| next().map(|node| node.0))
            .collect()
    }

    #[test]
    fn every_node_has_its_turn_and_those_that_are_up_share_the_turns_of_the_others() {
        let counter = Turns::default();
        assert_eq!(turns(&counter, 6, &[0, 1, 2, 3]), [0, 1, 2, 3, 0, 1]);
        assert_eq!(turns(&counter, 6, &[0, 2, 3]), [2, 3, 0, 2, 3, 0]);
        assert_eq!(turns(&counter, 3, &[1]), [1, 1, 1]);
        assert_eq!(turns(&counter, 3, &[]), [0; 0]);
    }

    #[test]
    fn the_turns_of_many_threads_are_even() {
        let counter = Turns::default();
        let taken: Vec<Vec<u16>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| turns(&counter, 1_000, &[0, 1, 2, 3])))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        for node in 0..4 {
            let count = taken
                .iter()
                .flatten()
                .filter(|taken| **taken == node)
                .count();
            assert_eq!(count, 1_000);
        }
    }
}
