//! The settings that are not about placement or servers, each with unit, default, bound and consequence.

use std::time::Duration;

/// What a dead server means to callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// An error for the keys that live there. The default.
    #[default]
    Store,
    /// A miss: commands that have a miss value answer it, plain SET, SETEX and MSET are dropped and counted, all else is an
    /// error.
    Cache,
}

/// Which version of the Redis protocol all connections speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// RESP2, the default, as in redis-rs.
    #[default]
    Resp2,
    /// RESP3, which changes the shape of some replies: maps, sets, booleans, doubles.
    Resp3,
}

/// What becomes of MGET, MSET, DEL, UNLINK, EXISTS, TOUCH and gathered reads whose keys are on several nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MultiKey {
    /// They are split, so they are not atomic. The default.
    #[default]
    Split,
    /// They are refused with `CrossNode`, as every other command with several keys always is.
    Refuse,
}

/// What connecting to a cluster does about servers that cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Startup {
    /// It succeeds, and they are retried behind. The default.
    #[default]
    Lazy,
    /// It fails unless all servers answer.
    All,
}

/// `[timeouts]`: how long things may take. Each is from 1 ms to 24 h.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// One dial: DNS, TCP, TLS and the handshake. Default 1 s. It is also how long callers wait for a server that has just
    /// died, before they get `ServerDown` at once.
    pub connect: Duration,
    /// Deadline of every operation, unless the call brings its own: queueing, retries and the reply. Default 500 ms. Watched in
    /// steps of 10 ms.
    pub response: Duration,
    /// A connection from which no byte came for this long, with replies outstanding, is closed; later, if a command that was written
    /// before the silence has a longer deadline, but not after `silence_max`. Default 4 times `response`; must be more than
    /// `response`, or a slow reply would cost everybody the connection.
    pub dead: Duration,
    /// How long a connection may be silent at most, however much time the callers allow whose commands it carries. Default 10 s; not
    /// less than `dead`. A script whose own deadline is longer goes over a connection of its own.
    pub silence_max: Duration,
    /// A connection without traffic for this long is asked PING. Default 30 s. Shorter finds half-open connections sooner, at
    /// one round trip per connection each time.
    pub idle_ping: Duration,
    /// How long `close()` waits for outstanding replies before it drops connections. Default 5 s.
    pub close: Duration,
}

impl Timeouts {
    /// The defaults around this deadline: `dead` is 4 times `response`, and `silence_max` 10 s or `dead`, whichever is more.
    pub fn for_response(response: Duration) -> Timeouts {
        let dead = response.saturating_mul(4);
        Timeouts {
            connect: Duration::from_secs(1),
            response,
            dead,
            silence_max: dead.max(Duration::from_secs(10)),
            idle_ping: Duration::from_secs(30),
            close: Duration::from_secs(5),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts::for_response(Duration::from_millis(500))
    }
}

/// `[retry]`: what happens to commands that are safe to send again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// Attempts of one operation, the first included. 1 to 100, default 4; 1 switches retries off. The deadline ends them sooner.
    pub attempts_max: u32,
    /// Upper bound of the first wait, after LOADING and the like and between dials; each further one doubles, with full jitter.
    /// 1 ms to `backoff_max`, default 2 ms.
    pub backoff_min: Duration,
    /// Upper bound of any wait. Up to 60 s, default 1 s. Longer spares a server that comes back, and finds it later.
    pub backoff_max: Duration,
    /// Retries per 100 calls of a server, so that an outage does not multiply the load. 0 to 100, default 10; 0 switches
    /// retries off.
    pub budget_percent: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            attempts_max: 4,
            backoff_min: Duration::from_millis(2),
            backoff_max: Duration::from_secs(1),
            budget_percent: 10,
        }
    }
}

/// `[pool]`: how many connections each server gets from this process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pool {
    /// Shared, pipelined connections. 1 to 64, default 1, which is the fastest unless one core cannot keep up. With n, a node
    /// uses number `node % n`, so that the order of one node's commands holds.
    pub connections: u16,
    /// Shared connections for big values (`cluster.bulk()`), opened when first used. 1 to 64, default 1.
    pub bulk_connections: u16,
    /// Most dedicated connections at a time: blocking commands, WATCH, transactions by hand. 1 to 10,000, default 64; callers
    /// beyond that wait within their deadline.
    pub dedicated_max: u16,
    /// Dedicated connections kept open while nobody uses them. 0 to `dedicated_max`, default 8; others are closed when returned.
    pub dedicated_idle_max: u16,
}

impl Default for Pool {
    fn default() -> Self {
        Pool {
            connections: 1,
            bulk_connections: 1,
            dedicated_max: 64,
            dedicated_idle_max: 8,
        }
    }
}

/// `[limits]`: bounds on memory, so that a slow server or an absurd reply cannot take the process with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Commands queued and in flight on one connection. 1 to 1,048,576, default 16,384; callers beyond that wait within their deadline.
    pub in_flight_max: u32,
    /// Bytes of requests queued on one connection. 1 KiB to 16 GiB, default 64 MiB; an item larger than that goes alone.
    pub request_bytes_max: u64,
    /// Bytes of one reply. 1 KiB to 16 GiB, default 513 MiB: the largest value that Redis allows, and its framing. A longer one
    /// closes the connection.
    pub reply_bytes_max: u64,
    /// Bytes of intermediate results that one command over several nodes may hold. 1 KiB to 16 GiB, default 64 MiB; a command
    /// beyond that fails with `TooLarge`, which names this setting.
    pub gather_bytes_max: u64,
    /// Bodies of scripts kept to load them again where they are missing. 1 to 1,048,576, default 1,024; the least recently
    /// used goes first.
    pub scripts_max: u32,
    /// Messages that one subscriber may be behind. 1 to 1,048,576, default 1,024; the oldest are dropped, and `Lagged` says
    /// how many.
    pub pubsub_buffer: u32,
    /// Bytes of events that may wait for one subscriber, and of messages that wait for a move. 1 KiB to 16 GiB, default 64 MiB; the
    /// oldest are dropped, and `Lagged` says how many.
    pub pubsub_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Limits {
            in_flight_max: 16_384,
            request_bytes_max: 64 * MIB,
            reply_bytes_max: 513 * MIB,
            gather_bytes_max: 64 * MIB,
            scripts_max: 1_024,
            pubsub_buffer: 1_024,
            pubsub_bytes: 64 * MIB,
        }
    }
}

/// `[tcp]`: socket options; unix sockets ignore them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tcp {
    /// TCP_NODELAY. Default true; false lets the kernel delay small writes, which only ever helps a benchmark.
    pub nodelay: bool,
    /// Keepalive probes on idle connections. Default true.
    pub keepalive: bool,
    /// Idle time before the first probe, whole seconds. 1 s to 24 h, default 30 s.
    pub keepalive_idle: Duration,
    /// Time between probes, whole seconds. 1 s to 24 h, default 10 s.
    pub keepalive_interval: Duration,
    /// Unanswered probes after which the kernel gives the connection up. 1 to 100, default 3.
    pub keepalive_retries: u32,
    /// SO_RCVBUF of the connections for big values (`cluster.bulk()`).
    pub bulk_receive_buffer: ReceiveBuffer,
}

/// How much of a reply the system may take in before the client has read it. The less, the smaller are the pieces in which a server on the same
/// machine hands over a big value, and the sooner it gets to the small commands of others between them; and the longer the big value takes:
/// with 128 KiB a reader of ten-megabyte values that has the server to itself gets two thirds of the bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveBuffer {
    /// 128 KiB where the server is on this machine, else as [`System`](ReceiveBuffer::System): over a network, a buffer below bandwidth times
    /// round trip would be the limit.
    #[default]
    Auto,
    /// What the system chooses; Linux lets it grow with the rate, up to `net.ipv4.tcp_rmem`.
    System,
    /// So many bytes, as the system rounds them. 16 KiB to 1 GiB; Linux takes no more than `net.core.rmem_max`.
    Bytes(u64),
}

impl Default for Tcp {
    fn default() -> Self {
        Tcp {
            nodelay: true,
            keepalive: true,
            keepalive_idle: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(10),
            keepalive_retries: 3,
            bulk_receive_buffer: ReceiveBuffer::Auto,
        }
    }
}
