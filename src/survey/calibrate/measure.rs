//! What can be measured on one server by reading.

use super::{Dump, MEASURE, PIPELINE, ServerPace, ask, rate};
use crate::config::Config;
use crate::connection::Probe;
use crate::inspect::{self, Answer, Facts};
use crate::sampling::{COUNT, Walk, is_reserved, understand};
use crate::topology::ServerId;
use redis::{Cmd, Value, cmd};
use std::time::{Duration, Instant};

/// What goes over the wire and back to measure it.
const ECHO_BYTES: usize = 1 << 20;
const ECHOS_MAX: usize = 16;
/// Keys whose values are read, at most, and what each and all of them may take.
const READ_KEYS_MAX: usize = 2_000;
const READ_KEY_BYTES_MAX: u64 = 64 << 10;
const READ_BYTES_MAX: u64 = 8 << 20;

pub(super) struct Measuring {
    pub(super) pace: ServerPace,
    pub(super) dumps: Vec<Dump>,
}

impl Measuring {
    pub(super) fn new(server: &str) -> Measuring {
        Measuring {
            pace: ServerPace {
                server: server.to_owned(),
                ..ServerPace::default()
            },
            dumps: Vec::new(),
        }
    }

    pub(super) async fn read(
        &mut self,
        config: &Config,
        id: ServerId,
        timeout: Duration,
    ) -> Result<(), String> {
        let (state, probe) = inspect::look(config, id, timeout).await;
        let facts = match state.answer {
            Answer::Reached(facts) => facts,
            Answer::Refused { cause } | Answer::Unreachable { cause } => return Err(cause),
        };
        let mut probe = probe.ok_or("there is no connection to it")?;
        self.take_facts(&facts);
        self.settings(&mut probe).await?;
        self.client_list(&mut probe).await?;
        self.wire(&mut probe).await?;
        let keys = self.scan(&mut probe).await?;
        self.values(&mut probe, &keys).await
    }

    fn take_facts(&mut self, facts: &Facts) {
        self.pace.round_trip_us = facts.ping_us;
        self.pace.connections = facts.clients.map(|clients| clients.saturating_sub(1));
        self.pace.commands_per_s = facts.commands_per_s;
        self.pace.input_bytes_per_s = facts.input_bytes_per_s;
    }

    async fn settings(&mut self, probe: &mut Probe) -> Result<(), String> {
        let get = |name: &str| cmd("CONFIG").arg("GET").arg(name).to_owned();
        let replies = ask(
            probe,
            &[get("repl-diskless-sync"), get("repl-diskless-sync-delay")],
        )
        .await?;
        let mut values = replies.into_iter().map(|reply| {
            // [name, value]; an error reply when the user may not ask.
            let pair: Option<Vec<String>> = understand(Some(reply)).ok();
            pair.and_then(|pair| pair.into_iter().nth(1))
        });
        let (diskless, delay) = (values.next().flatten(), values.next().flatten());
        self.pace.sync_delay_ms = match diskless.as_deref() {
            Some("no") => Some(0),
            Some(_) => delay
                .and_then(|delay| delay.parse::<u64>().ok())
                .map(|seconds| seconds.saturating_mul(1_000)),
            None => None,
        };
        Ok(())
    }

    async fn client_list(&mut self, probe: &mut Probe) -> Result<(), String> {
        let mut times = Vec::new();
        for _ in 0..5 {
            let asked = Instant::now();
            let list = cmd("CLIENT").arg("LIST").to_owned();
            let replies = ask(probe, &[list]).await?;
            if matches!(replies[..], [Value::ServerError(_)]) {
                return Ok(());
            }
            times.push(asked.elapsed());
        }
        times.sort_unstable();
        self.pace.client_list_us = u64::try_from(times[times.len() / 2].as_micros()).ok();
        Ok(())
    }

    /// ECHO goes up whole before it comes down: the wire is used one way at a time.
    async fn wire(&mut self, probe: &mut Probe) -> Result<(), String> {
        let echo = [cmd("ECHO").arg(vec![b'x'; ECHO_BYTES]).to_owned()];
        let (begin, mut echos) = (Instant::now(), 0);
        while echos < ECHOS_MAX && begin.elapsed() < MEASURE {
            if let [Value::ServerError(_)] = ask(probe, &echo).await?[..] {
                return Ok(());
            }
            echos += 1;
        }
        self.pace.wire_bytes_per_s = rate(2 * echos * ECHO_BYTES, begin.elapsed());
        Ok(())
    }

    /// How fast SCAN is, and the keys that it met, as many as may be read.
    async fn scan(&mut self, probe: &mut Probe) -> Result<Vec<Vec<u8>>, String> {
        let replies = ask(probe, &[cmd("DBSIZE")]).await?;
        let total: u64 = understand(replies.into_iter().next())?;
        let mut walk = Walk::sample(total, 200_000);
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let (begin, mut met) = (Instant::now(), 0);
        // One answer tells the round trip, not the pace.
        let enough = 4 * COUNT;
        while let Some(scan) = walk.question()
            && (met < enough || begin.elapsed() < MEASURE)
        {
            let fresh = walk.take(ask(probe, &[scan]).await?.into_iter().next())?;
            met += fresh.len();
            if keys.len() < READ_KEYS_MAX {
                keys.extend(fresh.into_iter().filter(|key| !is_reserved(key)));
            }
        }
        if met >= enough {
            self.pace.scan_keys_per_s = rate(met, begin.elapsed());
        }
        keys.truncate(READ_KEYS_MAX);
        Ok(keys)
    }

    /// Reads values as a mover does. Only of keys that are small: a DUMP of a giant would stop everybody.
    async fn values(&mut self, probe: &mut Probe, keys: &[Vec<u8>]) -> Result<(), String> {
        let small = small(probe, keys).await?;
        let (begin, mut bytes) = (Instant::now(), 0);
        for piece in small.chunks(PIPELINE) {
            if begin.elapsed() >= MEASURE {
                break;
            }
            let questions: Vec<Cmd> = piece
                .iter()
                .flat_map(|key| ["DUMP", "PTTL"].map(|name| cmd(name).arg(key).to_owned()))
                .collect();
            for reply in ask(probe, &questions).await? {
                match reply {
                    Value::BulkString(dump) => {
                        bytes += dump.len();
                        self.dumps.push(dump);
                    }
                    // The user may not: it stays unknown.
                    Value::ServerError(_) => return Ok(()),
                    _ => {}
                }
            }
        }
        if self.dumps.len() >= PIPELINE {
            self.pace.read_keys_per_s = rate(self.dumps.len(), begin.elapsed());
        }
        debug_assert!(bytes as u64 <= 2 * READ_BYTES_MAX, "{bytes}");
        Ok(())
    }
}

/// Those of the keys that are small, as many as may be read.
async fn small<'k>(probe: &mut Probe, keys: &'k [Vec<u8>]) -> Result<Vec<&'k [u8]>, String> {
    let (mut small, mut bytes) = (Vec::new(), 0);
    for piece in keys.chunks(PIPELINE) {
        let questions: Vec<Cmd> = piece
            .iter()
            .map(|key| cmd("MEMORY").arg("USAGE").arg(key).to_owned())
            .collect();
        let replies = ask(probe, &questions).await?;
        for (key, reply) in piece.iter().zip(replies) {
            // Without an answer a key may be a giant, so it is left alone.
            if let Ok(Some(size)) = understand::<Option<u64>>(Some(reply))
                && size <= READ_KEY_BYTES_MAX
                && bytes + size <= READ_BYTES_MAX
            {
                bytes += size;
                small.push(&**key);
            }
        }
    }
    Ok(small)
}
