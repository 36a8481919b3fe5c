//! redis-benchmark delivers: as many pipelined ZADDs of new members, a process per server, all at once.

use super::data::{NEW_IDS, NEW_SCORES, OWNERS};
use super::holdings::LIMIT_KEYS;
use super::order::Turn;
use crate::layout::Layout;
use crate::peers::Answer;
use crate::peers::redis_benchmark::Share;

const CONNECTIONS: u32 = 10;
const PIPELINED: u32 = 100;

/// The time is its own count from its first request to its last answer, so that starting it costs it nothing; that of the slower process, as a
/// delivery is done when both halves are.
pub fn deliver(layout: &Layout) -> Answer<Turn> {
    let servers = u32::try_from(layout.servers.len())?;
    let requests = u32::try_from(OWNERS)? / servers;
    // Twelve digits are filled in: a key out of as many as there are, and a member of 13 digits as everybody's.
    let member = format!("{}__rand_int__", NEW_IDS / 1_000_000_000_000);
    let share = Share {
        servers,
        connections: CONNECTIONS,
        pipelined: PIPELINED,
        random_keys: Some(requests),
        command: vec![
            "ZADD".into(),
            format!("{LIMIT_KEYS}__rand_int__"),
            NEW_SCORES.to_string(),
            member,
        ],
    };
    let window = share.run(layout, requests)?;
    let seconds = f64::from(requests) / window.slowest();
    Ok(Turn {
        calls: 1,
        seconds,
        cpu_us: window.cpu_us,
        p50_us: seconds * 1e6,
        p99_us: seconds * 1e6,
        p999_us: 0.0,
        sockets: servers * CONNECTIONS,
        peak_kib: 0.0,
    })
}
