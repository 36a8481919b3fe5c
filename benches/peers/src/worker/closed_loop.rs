//! Tasks that call, wait for the answer and call again, until the window is over.

use super::calls::{Call, Get};
use super::{Outcome, process};
use crate::peers::{Answer, Client, Failure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Longer than any timeout of a peer: one that hangs is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// One window of so many tasks, and possibly of a reader of big values beside them.
pub(super) struct Run<C> {
    tasks: u32,
    window: Duration,
    beside: Option<(C, Get)>,
}

/// What one task did.
struct Tally {
    calls: u64,
    ended: Instant,
    latencies: Vec<Duration>,
}

/// Says when to begin and when to end.
struct Signals {
    ready: AtomicU32,
    begin: Semaphore,
    stop: AtomicBool,
}

impl<C: Client> Run<C> {
    pub(super) fn new(tasks: u32, window: Duration) -> Run<C> {
        Run {
            tasks,
            window,
            beside: None,
        }
    }

    pub(super) fn beside(mut self, client: C, get: Get) -> Run<C> {
        self.beside = Some((client, get));
        self
    }

    /// The clock runs from when all tasks stand at the start until the last has its last answer. Nothing is made or
    /// dropped meanwhile but what the calls themselves need.
    pub(super) async fn drive<W: Call<C>>(
        self,
        client: &C,
        work: impl Fn(u32) -> W,
    ) -> Answer<Outcome> {
        let signals = Arc::new(Signals {
            ready: AtomicU32::new(0),
            begin: Semaphore::new(0),
            stop: AtomicBool::new(false),
        });
        // A lone task is timed at every call; of many, every eighth call tells enough.
        let every = if self.tasks == 1 { 1 } else { 8 };
        let tasks: Vec<_> = (0..self.tasks)
            .map(|task| {
                let sample = Sample {
                    every,
                    first: u64::from(task) % every,
                };
                tokio::spawn(repeat(client.clone(), work(task), sample, signals.clone()))
            })
            .collect();
        let big_bytes = self
            .beside
            .as_ref()
            .map_or(0, |(_, get)| get.size().bytes());
        let beside = self.beside.map(|(client, get)| {
            let sample = Sample {
                every: u64::MAX,
                first: 1,
            };
            tokio::spawn(repeat(client, get, sample, signals.clone()))
        });
        let all = self.tasks + u32::from(beside.is_some());
        while signals.ready.load(Relaxed) < all {
            tokio::task::yield_now().await;
        }

        let (started, cpu) = (Instant::now(), process::cpu_us());
        signals.begin.add_permits(all as usize);
        let timer = tokio::spawn({
            let signals = signals.clone();
            async move {
                tokio::time::sleep(self.window).await;
                signals.stop.store(true, Relaxed);
            }
        });
        let give_up = tokio::time::Instant::now() + self.window + PATIENCE;
        // Clients are dropped after the clock has stopped.
        let mut clients = Vec::with_capacity(tasks.len() + 1);
        let mut tallies = Vec::with_capacity(tasks.len());
        for task in tasks {
            let (client, tally) = join(task, give_up).await?;
            clients.push(client);
            tallies.push(tally);
        }
        let cpu_us = process::cpu_us() - cpu;
        let beside = match beside {
            Some(task) => Some(join(task, give_up).await?.1?),
            None => None,
        };
        timer.abort();

        let tallies = tallies.into_iter().collect::<Answer<Vec<Tally>>>()?;
        let big_values = beside.map_or(0, |tally| tally.calls);
        let mut outcome = summary(tallies, started, cpu_us)?;
        outcome.big_bytes_per_second =
            (big_values * big_bytes as u64) as f64 / started.elapsed().as_secs_f64();
        Ok(outcome)
    }
}

async fn join<T>(task: JoinHandle<T>, give_up: tokio::time::Instant) -> Answer<T> {
    match tokio::time::timeout_at(give_up, task).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failure::Refused(format!(
            "no answer for {PATIENCE:?} after the window"
        ))),
    }
}

/// Which calls of a task are timed.
struct Sample {
    every: u64,
    first: u64,
}

async fn repeat<C, W: Call<C>>(
    mut client: C,
    mut work: W,
    sample: Sample,
    signals: Arc<Signals>,
) -> (C, Answer<Tally>) {
    let mut tally = Tally {
        calls: 0,
        ended: Instant::now(),
        latencies: Vec::new(),
    };
    signals.ready.fetch_add(1, Relaxed);
    let begin = signals.begin.acquire().await;
    begin.expect("nobody closes it").forget();
    while !signals.stop.load(Relaxed) {
        let asked = (tally.calls % sample.every == sample.first).then(Instant::now);
        if let Err(failure) = work.call(&mut client).await {
            signals.stop.store(true, Relaxed);
            return (client, Err(failure));
        }
        if let Some(asked) = asked {
            tally.latencies.push(asked.elapsed());
        }
        tally.calls += 1;
    }
    tally.ended = Instant::now();
    (client, Ok(tally))
}

fn summary(tallies: Vec<Tally>, started: Instant, cpu_us: f64) -> Answer<Outcome> {
    let calls: u64 = tallies.iter().map(|tally| tally.calls).sum();
    let ended = tallies.iter().map(|tally| tally.ended).max();
    let mut latencies: Vec<Duration> = tallies
        .into_iter()
        .flat_map(|tally| tally.latencies)
        .collect();
    latencies.sort_unstable();
    let (Some(ended), false) = (ended, latencies.is_empty()) else {
        return Err(Failure::Refused("no call ended within the window".into()));
    };
    Ok(Outcome {
        calls_per_second: calls as f64 / (ended - started).as_secs_f64(),
        cpu_us: cpu_us / calls as f64,
        p50_us: percentile_us(&latencies, 0.5),
        p99_us: percentile_us(&latencies, 0.99),
        p999_us: percentile_us(&latencies, 0.999),
        sockets: 0,
        big_bytes_per_second: 0.0,
    })
}

/// The smallest latency that at least this share of the calls did not exceed.
pub(super) fn percentile_us(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted[rank.max(1) - 1].as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let of = |count: u64, share| {
            let sorted: Vec<_> = (1..=count).map(Duration::from_micros).collect();
            percentile_us(&sorted, share).round()
        };
        assert_eq!(of(1, 0.999), 1.0);
        assert_eq!(of(2, 0.5), 1.0);
        assert_eq!(of(1_000, 0.5), 500.0);
        assert_eq!(of(1_000, 0.99), 990.0);
        assert_eq!(of(1_000, 0.999), 999.0);
    }
}
