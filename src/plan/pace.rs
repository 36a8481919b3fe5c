//! How fast data moves, and what that makes of a move.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How fast servers and the network between them are. The defaults are what a prototype of the move protocol reached on two shared cores and
/// loopback: measure your own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Pace {
    /// What a server sends of its data in a full synchronization, in bytes per second.
    pub copy_bytes_per_s: u64,
    /// Keys that a mover reads on one server and installs on another, per second.
    pub install_keys_per_s: u64,
    /// Keys that are removed where they do not belong any more, per second.
    pub purge_keys_per_s: u64,
    /// One round trip between a client and a server, in microseconds.
    pub round_trip_us: u64,
    /// Connections of clients per server: the barrier of a freeze looks at all of them.
    pub connections: u64,
    /// Commands per second that one server can take.
    pub commands_per_s_max: u64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            copy_bytes_per_s: 100 << 20,
            install_keys_per_s: 43_900,
            purge_keys_per_s: 74_000,
            round_trip_us: 200,
            connections: 16,
            commands_per_s_max: 100_000,
        }
    }
}

/// How long a move takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MoveTime {
    /// Until all data is there.
    pub copy: Duration,
    /// While the nodes take no command: callers wait.
    pub freeze: Duration,
    /// Until what was left behind is removed.
    pub purge: Duration,
}
