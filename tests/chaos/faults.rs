//! The faults, by a schedule of the seed: for each server one lane of faults of its process and one
//! of its network. Lanes do not know of each other, so their faults meet in all ways.

use crate::state::load_foreign_script;
use crate::worker::unix_ms;
use keyway_testing::{Cut, FaultProxy, RedisServer};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Before the first fault, so that each worker has met each server.
const CALM: Duration = Duration::from_millis(300);

/// A fault that was, for reports.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Past {
    pub(crate) kind: String,
    pub(crate) server: usize,
    /// In milliseconds of the round.
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

/// What has been done so far.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) began_ms: u64,
    pub(crate) past: Arc<Mutex<Vec<Past>>>,
}

impl Log {
    pub(crate) fn new(began_ms: u64) -> Log {
        let past = Arc::default();
        Log { began_ms, past }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        unix_ms().saturating_sub(self.began_ms)
    }

    pub(crate) fn add(&self, kind: &str, server: usize, from_ms: u64) {
        self.past.lock().push(Past {
            kind: kind.to_owned(),
            server,
            from_ms,
            to_ms: self.now_ms(),
        });
    }
}

/// Which faults are to come.
pub(crate) struct Lane {
    pub(crate) server: usize,
    pub(crate) seed: u64,
    /// The pauses between faults are this many times as long as the shortest ones: with 1, most
    /// calls meet a fault.
    pub(crate) pace: u64,
    pub(crate) end: Instant,
    pub(crate) log: Log,
}

/// Faults of a server's process. Returns the server, which runs again.
pub(crate) async fn of_process(lane: Lane, mut redis: RedisServer) -> RedisServer {
    let Lane {
        server,
        seed,
        pace,
        end,
        log,
    } = lane;
    let mut rng = fastrand::Rng::with_seed(seed);
    sleep(CALM).await;
    while pause(&mut rng, 200 * pace..1800 * pace, end).await {
        let from_ms = log.now_ms();
        let kind = match rng.u8(..14) {
            0..4 => {
                redis.kill();
                hold(&mut rng, 0..900, end).await;
                redis.restart().await;
                load_foreign_script(&redis).await;
                "kill"
            }
            4..7 => {
                redis.stop();
                hold(&mut rng, 10..2500, end).await;
                redis.resume();
                "stop"
            }
            7..10 => {
                say(&redis, "SCRIPT FLUSH").await;
                hold(&mut rng, 0..300, end).await;
                load_foreign_script(&redis).await;
                "script flush"
            }
            10..12 => {
                say(&redis, "CLIENT KILL TYPE normal").await;
                "client kill"
            }
            12 => {
                let text = format!("CLIENT PAUSE {} WRITE", rng.u32(10..700));
                say(&redis, &text).await;
                "client pause"
            }
            _ => {
                // A master that does not exist: the data stays, and writes are refused.
                say(&redis, "REPLICAOF 127.0.0.1 1").await;
                hold(&mut rng, 50..700, end).await;
                say(&redis, "REPLICAOF NO ONE").await;
                "read-only"
            }
        };
        log.add(kind, server, from_ms);
    }
    redis
}

/// Faults of the network in front of a server. Returns the proxy, which lets new connections pass.
pub(crate) async fn of_network(lane: Lane, proxy: FaultProxy) -> FaultProxy {
    let Lane {
        server,
        seed,
        pace,
        end,
        log,
    } = lane;
    let mut rng = fastrand::Rng::with_seed(seed);
    sleep(CALM).await;
    while pause(&mut rng, 50 * pace..900 * pace, end).await {
        proxy.cut_by(if rng.bool() { Cut::Reset } else { Cut::Fin });
        let from_ms = log.now_ms();
        let kind = match rng.u8(..22) {
            0..2 => {
                // It blocks its thread until all are closed.
                tokio::task::block_in_place(|| proxy.cut_all());
                "cut"
            }
            2..6 => {
                proxy.cut_after_bytes_to_server(rng.u64(..3000));
                "cut at a byte of a request"
            }
            6..10 => {
                proxy.cut_after_bytes_to_client(rng.u64(..3000));
                "cut at a byte of a reply"
            }
            10..12 => {
                proxy.delay(Duration::from_millis(rng.u64(1..60)));
                hold(&mut rng, 100..1200, end).await;
                proxy.delay(Duration::ZERO);
                "delay"
            }
            12 => {
                proxy.split_every_byte(true);
                hold(&mut rng, 50..500, end).await;
                proxy.split_every_byte(false);
                "single bytes"
            }
            13 => {
                proxy.bytes_per_second(Some(rng.u64(20_000..200_000)));
                hold(&mut rng, 50..800, end).await;
                proxy.bytes_per_second(None);
                "drip"
            }
            14..16 => {
                proxy.stall(true);
                hold(&mut rng, 50..2500, end).await;
                proxy.stall(false);
                "black hole"
            }
            16 => {
                proxy.stall_to_server(true);
                hold(&mut rng, 50..2000, end).await;
                proxy.stall_to_server(false);
                "black hole of requests"
            }
            17..19 => {
                proxy.stall_to_client(true);
                hold(&mut rng, 50..2000, end).await;
                proxy.stall_to_client(false);
                "black hole of replies"
            }
            19..21 => {
                proxy.strand();
                "black hole for good"
            }
            _ => {
                proxy.refuse(true);
                tokio::task::block_in_place(|| proxy.cut_all());
                hold(&mut rng, 50..800, end).await;
                proxy.refuse(false);
                "refused connections"
            }
        };
        log.add(kind, server, from_ms);
    }
    // Those that have not met their byte yet.
    proxy.cut_after_bytes_to_server(u64::MAX);
    proxy.cut_after_bytes_to_client(u64::MAX);
    // The last fault is one that never heals: who does not give up a silent connection will not
    // reach this server.
    proxy.strand();
    log.add("black hole for good", server, log.now_ms());
    proxy
}

/// Whether there is time for another fault.
async fn pause(rng: &mut fastrand::Rng, ms: std::ops::Range<u64>, end: Instant) -> bool {
    hold(rng, ms, end).await;
    Instant::now() < end
}

async fn hold(rng: &mut fastrand::Rng, ms: std::ops::Range<u64>, end: Instant) {
    let until = Instant::now() + Duration::from_millis(rng.u64(ms));
    sleep_until(until.min(end)).await;
}

/// To the server itself, past its proxy.
pub(crate) async fn say(redis: &RedisServer, text: &str) {
    let mut words = text.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap());
    words.for_each(|word| {
        cmd.arg(word);
    });
    let _: redis::Value = cmd
        .query_async(&mut redis.connection().await)
        .await
        .unwrap();
}
