//! Looking at one server: a walk over its keys, asked about in passing, added up at once.

use super::estimate::Tally;
use super::{BIGGEST_KEYS, Options, Progress};
use crate::config::Config;
use crate::connection::Probe;
use crate::inspect::{self, Answer, ServerState};
use crate::placement::NodeId;
use crate::sampling::{COUNT, Walk, is_reserved, understand};
use crate::topology::ServerId;
use redis::{Cmd, Value, cmd};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// No pause is longer, however slow the server is.
pub(super) const PAUSE_MAX: Duration = Duration::from_millis(100);
/// What LFU counters start from, and below which every access counts (`LFU_INIT_VAL` of Redis).
const LFU_FIRST: u64 = 5;
/// `lfu-log-factor` unless the server says otherwise.
const LFU_LOG_FACTOR: u64 = 10;

/// All that was learned about one server.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) state: ServerState,
    /// What came of its keys; why there are none, if it was reached.
    pub(super) keys: Result<Looked, String>,
}

/// The keys of one server, added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Looked {
    /// DBSIZE before and after.
    pub(super) total: u64,
    pub(super) total_after: u64,
    pub(super) is_complete: bool,
    /// Every key that was looked at.
    pub(super) all: Tally,
    /// Those of this server's nodes; each of its nodes is there.
    pub(super) nodes: BTreeMap<NodeId, Tally>,
    /// Those of nodes that live elsewhere.
    pub(super) misplaced: Tally,
    /// Keyway's own.
    pub(super) reserved: Tally,
    /// Why bytes are not known.
    pub(super) no_bytes: Option<String>,
    /// Whether the server counts accesses.
    pub(super) has_accesses: bool,
    pub(super) biggest: Vec<Met>,
    pub(super) hottest: Vec<Met>,
}

/// A key that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Met {
    pub(super) key: Vec<u8>,
    pub(super) node: Option<NodeId>,
    pub(super) bytes: u64,
    pub(super) accesses: u64,
}

pub(super) async fn look(
    config: &Config,
    id: ServerId,
    options: &Options,
    progress: &impl Fn(Progress),
) -> Seen {
    let (state, probe) = inspect::look(config, id, options.timeout).await;
    let keys = match (&state.answer, probe) {
        (Answer::Reached(facts), Some(mut probe)) => {
            // Without a limit, keys whose value is the same small integer share one object, and so one counter.
            let is_lfu = facts.memory_bytes_max.is_some_and(|bytes| bytes > 0)
                && facts
                    .memory_policy
                    .as_deref()
                    .is_some_and(|policy| policy.ends_with("-lfu"));
            let mut looking = Looking::new(config, id);
            match looking.walk(&mut probe, is_lfu, options, progress).await {
                Ok(()) => Ok(looking.looked),
                Err(why) => Err(why),
            }
        }
        (Answer::Refused { cause } | Answer::Unreachable { cause }, _) => Err(cause.clone()),
        _ => Err("there is no connection to it".to_owned()),
    };
    progress(Progress::ServerDone);
    Seen { state, keys }
}

struct Looking<'c> {
    config: &'c Config,
    server: ServerId,
    looked: Looked,
    lfu_log_factor: u64,
}

impl<'c> Looking<'c> {
    fn new(config: &'c Config, server: ServerId) -> Looking<'c> {
        let nodes = config.topology().nodes_of(server);
        Looking {
            config,
            server,
            looked: Looked {
                nodes: nodes.map(|node| (node, Tally::default())).collect(),
                ..Looked::default()
            },
            lfu_log_factor: LFU_LOG_FACTOR,
        }
    }

    async fn walk(
        &mut self,
        probe: &mut Probe,
        is_lfu: bool,
        options: &Options,
        progress: &impl Fn(Progress),
    ) -> Result<(), String> {
        let begin = Instant::now();
        self.looked.total = size(probe).await?;
        if is_lfu {
            self.looked.has_accesses = true;
            self.lfu_log_factor = lfu_log_factor(probe).await?;
        }
        let wanted = options.sample.min(super::SAMPLE_MAX);
        let mut walk = match options.exact {
            true => Walk::all(),
            // Where half of it would be looked at anyway, the rest makes it exact.
            false if self.looked.total <= 2 * wanted as u64 => {
                Walk::sample(self.looked.total, 2 * wanted + COUNT)
            }
            false => Walk::sample(self.looked.total, wanted),
        };
        let expected = match options.exact {
            true => self.looked.total,
            false if self.looked.total <= 2 * wanted as u64 => self.looked.total,
            false => wanted as u64,
        };
        progress(Progress::Expected(expected));
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let is_late = begin.elapsed() > options.server_time_max;
            let scan = walk.question().filter(|_| !is_late);
            if scan.is_none() && keys.is_empty() {
                break;
            }
            let asked = Instant::now();
            // Questions about the last answer's keys go with the next SCAN: one round trip.
            let questions: Vec<Cmd> = self
                .questions(&keys)
                .into_iter()
                .chain(scan.clone())
                .collect();
            let mut replies = match questions.is_empty() {
                true => Vec::new(),
                false => probe.ask(&questions).await.map_err(|error| error.message)?,
            };
            let next = match scan {
                Some(_) => walk.take(replies.pop())?,
                None => Vec::new(),
            };
            progress(Progress::Looked(keys.len() as u64));
            self.take(std::mem::replace(&mut keys, next), replies)?;
            // The server is ours half of the time at most.
            tokio::time::sleep(asked.elapsed().min(PAUSE_MAX)).await;
        }
        self.looked.is_complete = walk.is_complete();
        self.looked.total_after = size(probe).await?;
        Ok(())
    }

    fn questions(&self, keys: &[Vec<u8>]) -> Vec<Cmd> {
        let mut questions = Vec::with_capacity(2 * keys.len());
        for key in keys {
            if self.looked.no_bytes.is_none() {
                let mut question = cmd("MEMORY");
                question.arg("USAGE").arg(key);
                questions.push(question);
            }
            if self.looked.has_accesses {
                let mut question = cmd("OBJECT");
                question.arg("FREQ").arg(key);
                questions.push(question);
            }
        }
        questions
    }

    /// The replies to [`Looking::questions`] of these keys.
    fn take(&mut self, keys: Vec<Vec<u8>>, replies: Vec<Value>) -> Result<(), String> {
        let (asks_bytes, asks_accesses) =
            (self.looked.no_bytes.is_none(), self.looked.has_accesses);
        let mut replies = replies.into_iter();
        for key in keys {
            let bytes = asks_bytes.then(|| understand::<Option<u64>>(replies.next()));
            let accesses = asks_accesses.then(|| understand::<Option<u64>>(replies.next()));
            let bytes = match bytes {
                // Gone since: it does not count.
                Some(Ok(None)) => continue,
                Some(Ok(Some(bytes))) => bytes,
                Some(Err(why)) => {
                    self.looked.no_bytes.get_or_insert(why);
                    0
                }
                None => 0,
            };
            let accesses = match accesses {
                Some(Ok(Some(counter))) => accesses_of(counter, self.lfu_log_factor),
                Some(Err(_)) => {
                    self.looked.has_accesses = false;
                    0
                }
                _ => 0,
            };
            self.count(key, bytes, accesses);
        }
        Ok(())
    }

    fn count(&mut self, key: Vec<u8>, bytes: u64, accesses: u64) {
        let looked = &mut self.looked;
        looked.all.add(bytes, accesses);
        let node = (!is_reserved(&key)).then(|| self.config.placement().node(&key));
        match node {
            None => looked.reserved.add(bytes, accesses),
            Some(node) if self.config.topology().server_of(node) == self.server => {
                looked.nodes.entry(node).or_default().add(bytes, accesses);
            }
            Some(_) => looked.misplaced.add(bytes, accesses),
        }
        let met = Met {
            key,
            node,
            bytes,
            accesses,
        };
        if looked.has_accesses {
            keep(&mut looked.hottest, &met, |met| met.accesses);
        }
        keep(&mut looked.biggest, &met, |met| met.bytes);
    }
}

/// Keeps the largest ones, the largest first; of equals those that came first.
fn keep(kept: &mut Vec<Met>, met: &Met, measure: impl Fn(&Met) -> u64) {
    let place = kept.partition_point(|other| measure(other) >= measure(met));
    if place < BIGGEST_KEYS && measure(met) > 0 {
        kept.insert(place, met.clone());
        kept.truncate(BIGGEST_KEYS);
    }
}

async fn size(probe: &mut Probe) -> Result<u64, String> {
    let replies = probe
        .ask(&[cmd("DBSIZE")])
        .await
        .map_err(|error| error.message)?;
    understand(replies.into_iter().next())
}

async fn lfu_log_factor(probe: &mut Probe) -> Result<u64, String> {
    let mut question = cmd("CONFIG");
    question.arg("GET").arg("lfu-log-factor");
    let replies = probe
        .ask(&[question])
        .await
        .map_err(|error| error.message)?;
    // [name, value]; an error reply when the user may not ask.
    let pair: Result<Vec<String>, _> = understand(replies.into_iter().next());
    let factor = pair.ok().and_then(|pair| pair.get(1)?.parse().ok());
    Ok(factor.unwrap_or(LFU_LOG_FACTOR))
}

/// How many accesses bring a counter to where it is, on average: Redis raises it with probability 1 / ((counter - 5) factor + 1)
/// (`LFULogIncr` in evict.c). It also lowers it with time, which is not undone here.
fn accesses_of(counter: u64, log_factor: u64) -> u64 {
    let above = counter.min(255).saturating_sub(LFU_FIRST);
    let log_factor = log_factor.min(1_000_000);
    above + log_factor * above * above.saturating_sub(1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_turned_into_accesses_as_redis_counts_them() {
        assert_eq!(accesses_of(0, 10), 0);
        assert_eq!(accesses_of(5, 10), 0);
        assert_eq!(accesses_of(6, 10), 1);
        // 1 + 11 + 21.
        assert_eq!(accesses_of(8, 10), 33);
        assert_eq!(accesses_of(105, 0), 100);
        assert!(accesses_of(u64::MAX, u64::MAX) < u64::MAX);
    }

    #[test]
    fn the_biggest_keys_are_kept_and_no_more() {
        let mut kept = Vec::new();
        for bytes in (0..100).rev().chain(50..150) {
            let met = Met {
                key: b"k".to_vec(),
                node: None,
                bytes,
                accesses: 0,
            };
            keep(&mut kept, &met, |met| met.bytes);
        }
        let sizes: Vec<u64> = kept.iter().map(|met| met.bytes).collect();
        assert_eq!(sizes, (140..150).rev().collect::<Vec<u64>>());
    }
}
