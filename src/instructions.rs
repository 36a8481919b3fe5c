//! What `benches/instructions` reaches of the private parts: one function a case, each of which does its work `times` times. Not part of
//! the API.
//!
//! Panics are fine here: a case that cannot run must not be counted.
#![expect(clippy::expect_used, reason = "a case that cannot run must fail")]

pub use crate::connection::listen;

use crate::cluster::Cluster;
use crate::command::CommandId;
use crate::connection::{Bounds, Delivery, Ends, Item, Items, Outbox, Parcel, Take};
use crate::pool::Lane;
use crate::resp::{self, Decoder, DecoderLimits};
use crate::routing::{self, Gate, Route, Scope};
use crate::stats::ServerStats;
use futures::FutureExt;
use redis::{Cmd, Value};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// So many commands are queued before the driver's turn.
const TAKEN_TOGETHER: usize = 64;

/// One command, written into a buffer that has room.
pub fn encode(cmd: &Cmd, times: usize) {
    let mut buffer = Vec::new();
    for _ in 0..times {
        buffer.clear();
        resp::encode(black_box(cmd), &mut buffer);
        black_box(&buffer);
    }
}

/// Commands through an outbox without a connection: pushed, taken as the driver does, each caller told of its reply.
pub fn outbox(cmd: &Cmd, times: usize) {
    let now = Instant::now();
    let bounds = Bounds {
        commands_max: u32::MAX,
        bytes_max: u64::MAX,
    };
    let stats = Arc::new(ServerStats::new(
        "a".into(),
        CommandId::COUNT as u16,
        |_| "get",
    ));
    let outbox = Arc::new(Outbox::new(1, bounds, stats, now));
    assert!(outbox.open(1));
    let cx = Context::from_waker(Waker::noop());
    let parcel = Parcel {
        items: Items::One(Item { cmd, command: 0 }),
        scripts: &[],
        started: now,
        deadline: now + Duration::from_secs(3600),
        behind: None,
        blocking: false,
        no_reply: false,
    };
    let (mut in_flight, mut spare, mut ends) = (VecDeque::new(), None, Ends::default());
    for _ in 0..times / TAKEN_TOGETHER {
        let tickets: [_; TAKEN_TOGETHER] = std::array::from_fn(|_| {
            outbox
                .push_to_wake(1, black_box(&parcel), Some(Waker::noop()))
                .expect("there is room")
        });
        let taken = match outbox.take(&cx, &mut in_flight, &mut spare, 0, false) {
            Ok(Take::Parcels(taken)) => taken,
            _ => unreachable!("the connection is up, and something is queued"),
        };
        spare = black_box(taken.chunks).pop().map(|mut chunk| {
            chunk.clear();
            chunk
        });
        let mut bytes = 0;
        for mut waiter in in_flight.drain(..) {
            bytes += waiter.bytes();
            black_box(waiter.reply(Value::Okay, &mut ends).answered);
        }
        outbox.settle(TAKEN_TOGETHER as u32, bytes, &mut ends);
        for ticket in tickets {
            let delivery = ticket.now_or_never().expect("it was answered");
            assert!(matches!(delivery, Delivery::Reply(Value::Okay)));
        }
    }
}

/// From a command with one key to the outbox that it is pushed to, as the short way does.
pub fn route(cluster: &Cluster, cmds: &[Cmd], times: usize) {
    for cmd in cmds.iter().cycle().take(times) {
        let current = cluster.scatter().control().load();
        let (row, key) = routing::simple(black_box(cmd)).expect("a command with one key");
        assert!(current.config.placement().has_homes());
        let node = current.node(key);
        let gate = routing::gate(&current.topology, node, true);
        assert!(matches!(gate, Gate::Send));
        let link = current.server_of(node).link(Lane::Shared, node);
        black_box((row, link.outbox()));
    }
}

/// From a command with many keys to the node of each of them.
pub fn split(cluster: &Cluster, cmd: &Cmd, times: usize) {
    for _ in 0..times {
        let current = cluster.scatter().control().load();
        let args = routing::arguments(black_box(cmd));
        let known = routing::identify(&args, Scope::Cluster).expect("a known command");
        let placement = current.config.placement();
        let multi_key = current.config.multi_key();
        let route = routing::route(placement, &args, known, Scope::Cluster, multi_key);
        let route = route.expect("a command that may be split");
        assert!(matches!(&route, Route::Split(_, parts) if parts.len() + 1 == args.len()));
        black_box(&route);
    }
}

/// One whole reply, decoded and dropped.
pub fn decode(reply: &[u8], times: usize) {
    let mut decoder = Decoder::new(DecoderLimits::default());
    for _ in 0..times {
        let (used, value) = decoder.decode(black_box(reply)).expect("a reply");
        assert_eq!(used, reply.len());
        drop(black_box(value.expect("the whole reply")));
    }
}

/// What the statistics take of one reply.
pub fn record(times: usize) {
    let stats = ServerStats::new("a".into(), CommandId::COUNT as u16, |_| "get");
    for n in 0..times {
        // A few microseconds to a few milliseconds, as latencies are.
        let latency = Duration::from_nanos(5_000 + (n as u64 % 1024) * 3_000);
        stats.reply(black_box(7), black_box(latency), None);
    }
    black_box(&stats);
}
