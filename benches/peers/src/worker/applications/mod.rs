//! One contestant of the applications, in a process of its own: a lone caller, whose calls come one after the other.

mod by_hand;
mod keyway;

use super::closed_loop::percentile_us;
use super::{process, runtime_of};
use crate::applications::data::{HOME, timeline};
use crate::applications::order::{
    Act, Combination, Contestant, Form, Key, Order, Setup, Told, Turn,
};
use crate::layout::Layout;
use crate::peers::{Answer, Failure};
use by_hand::ByHand;
use keyway::Keyway;
use std::io::BufRead;
use std::time::{Duration, Instant};

/// The whole life of a worker process.
pub fn main() -> anyhow::Result<()> {
    super::allow_many_sockets();
    let mut lines = std::io::stdin().lock().lines();
    let Some(setup) = lines.next().transpose()? else {
        return Ok(());
    };
    let setup: Setup = serde_json::from_str(&setup)?;
    drop(lines);
    let runtime = runtime_of(setup.runtime)?;
    let mut orders = super::inbox();
    // Spawned, because what block_on itself runs is no task of the workers.
    runtime.block_on(async {
        tokio::spawn(async move {
            let mut worker = match Worker::start(setup).await {
                Ok(worker) => worker,
                Err(failure) => return super::reply(&told(failure)),
            };
            super::reply(&Told::Ready);
            while let Some(order) = orders.recv().await {
                super::reply(&worker.carry_out(order).await.unwrap_or_else(told));
            }
        })
        .await
    })?;
    Ok(())
}

/// A contestant's connections, and what it knows of the owners.
enum Client {
    Keyway(Box<Keyway>),
    ByHand(ByHand),
}

struct Worker {
    setup: Setup,
    sockets_before: u32,
    client: Client,
    /// Connected when first needed.
    delayed: Option<Client>,
}

/// What a call answered, to be checked when the clock has stopped.
enum Answered {
    Nothing,
    /// Of a column that is no peer.
    Unchecked,
    Members(Vec<u64>),
    Count(u64),
    Values(Vec<String>),
}

impl Worker {
    async fn start(setup: Setup) -> Answer<Worker> {
        let sockets_before = process::sockets();
        Ok(Worker {
            client: Client::connect(setup.contestant, &setup.layout).await?,
            setup,
            sockets_before,
            delayed: None,
        })
    }

    async fn carry_out(&mut self, order: Order) -> Answer<Told> {
        match order {
            Order::Owners(owners) => {
                match &mut self.client {
                    Client::Keyway(client) => client.owners = owners,
                    Client::ByHand(client) => client.learn_owners(owners, &self.setup.layout),
                }
                Ok(Told::Ready)
            }
            Order::WarmUp { act } => {
                if let Client::Keyway(client) = &mut self.client {
                    client.warm_up(&act).await?;
                }
                Ok(Told::Ready)
            }
            Order::Turn { act, window_ms } => {
                let mut turn = self.turn(&act, Duration::from_millis(window_ms)).await?;
                turn.sockets = process::sockets() - self.sockets_before;
                turn.peak_kib = process::peak_memory_kib();
                Ok(Told::Turn(turn))
            }
            Order::RoundTrips { act, delay_ms } => {
                let delay = Duration::from_millis(delay_ms);
                Ok(Told::RoundTrips(self.round_trips(&act, delay).await?))
            }
        }
    }

    async fn turn(&mut self, act: &Act, window: Duration) -> Answer<Turn> {
        let mut latencies = Vec::new();
        let (begun, cpu) = (Instant::now(), process::cpu_us());
        let mut checking_us = 0.0;
        loop {
            let asked = Instant::now();
            let answered = self.client.call(act).await?;
            latencies.push(asked.elapsed());
            let before = process::thread_cpu_us();
            check(act, &answered)?;
            drop(answered);
            checking_us += process::thread_cpu_us() - before;
            if begun.elapsed() >= window {
                break;
            }
        }
        let cpu_us = process::cpu_us() - cpu - checking_us;
        latencies.sort_unstable();
        Ok(Turn {
            calls: latencies.len() as u64,
            seconds: latencies.iter().sum::<Duration>().as_secs_f64(),
            cpu_us: cpu_us / latencies.len() as f64,
            p50_us: percentile_us(&latencies, 0.5),
            p99_us: percentile_us(&latencies, 0.99),
            p999_us: percentile_us(&latencies, 0.999),
            sockets: 0,
            peak_kib: 0.0,
        })
    }

    /// What every answer's delay adds to a call, counted in delays: however a client arranges its writes, this is what a network costs it.
    async fn round_trips(&mut self, act: &Act, delay: Duration) -> Answer<f64> {
        if self.delayed.is_none() {
            let client = Client::connect(self.setup.contestant, &self.setup.delayed).await?;
            self.delayed = Some(client);
        }
        let delayed = self.delayed.as_mut().expect("just connected");
        let near = quickest(&mut self.client, act).await?;
        let far = quickest(delayed, act).await?;
        let delays = far.saturating_sub(near).as_secs_f64() / delay.as_secs_f64();
        Ok(delays.round())
    }
}

/// Of some calls, after one that is not counted.
async fn quickest(client: &mut Client, act: &Act) -> Answer<Duration> {
    let mut quickest = Duration::MAX;
    for attempt in 0..3 {
        let asked = Instant::now();
        let answered = client.call(act).await?;
        if attempt > 0 {
            quickest = quickest.min(asked.elapsed());
        }
        check(act, &answered)?;
    }
    Ok(quickest)
}

impl Client {
    async fn connect(contestant: Contestant, layout: &Layout) -> Answer<Client> {
        Ok(match contestant {
            Contestant::Keyway | Contestant::KeywayCold => {
                let is_cold = contestant == Contestant::KeywayCold;
                Client::Keyway(Box::new(Keyway::connect(layout, is_cold).await?))
            }
            _ => Client::ByHand(ByHand::connect(layout, contestant).await?),
        })
    }

    async fn call(&mut self, act: &Act) -> Answer<Answered> {
        match self {
            Client::Keyway(client) => client.call(act).await,
            Client::ByHand(client) => client.call(act).await,
        }
    }
}

fn check(act: &Act, answered: &Answered) -> Answer<()> {
    let wrong = match (act, answered) {
        // Looked at by the coordinator, who asks the servers.
        (Act::Deliver { .. } | Act::DeliverLazily { .. }, Answered::Nothing) => None,
        (Act::Combine { expected, .. }, Answered::Members(members)) => expected.misses(members),
        (Act::Combine { expected, .. }, Answered::Count(count)) => (*count != expected.count)
            .then(|| format!("a count of {count}; expected {}", expected.count)),
        (Act::Merged { expected, .. }, Answered::Members(ids)) => {
            (ids != expected).then(|| format!("the page {ids:?}; expected {expected:?}"))
        }
        (Act::Values(keys), Answered::Values(values)) => {
            let wrong = keys
                .iter()
                .zip(values)
                .find(|(key, value)| key.key != **value);
            match wrong {
                Some((key, value)) => Some(format!("{value:?} for {}", key.key)),
                None => (keys.len() != values.len()).then(|| format!("{} values", values.len())),
            }
        }
        (Act::Combine { .. }, Answered::Unchecked) => None,
        _ => Some("an answer to something else".to_owned()),
    };
    match wrong {
        Some(what) => Err(Failure::Wrong(what)),
        None => Ok(()),
    }
}

fn told(failure: Failure) -> Told {
    match failure {
        Failure::Wrong(what) => Told::Wrong(what),
        Failure::Refused(why) => Told::Refused(why),
    }
}
