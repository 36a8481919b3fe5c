//! The chapters on an outage: a server is killed amid a delivery, and comes back.

use super::graph::Side;
use super::report::{Check, Crash, CutDelivery, Latencies, Recovery, Retry};
use super::servers::Servers;
use super::story::{
    PIECE_COMMANDS_MAX, PIECES_MAX, RECOVERY_DEADLINE, Story, StoryError, Told, send,
};
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use keyway::{Error, ErrorKind};
use redis::Cmd;
use std::fmt::{self, Display};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const CRASH_KEYS_MAX: usize = 2_000;
const POLL_EVERY: Duration = Duration::from_millis(2);

/// Owners who were reported as failed.
#[derive(Debug, Default)]
pub(crate) struct Failed {
    /// Those who certainly do not have it.
    never_written: Vec<u32>,
    /// Those who may have it.
    unknown: Vec<u32>,
}

impl Story<'_> {
    /// SIGKILL amid a delivery to everybody; then thousands of callers at once, each with a key of its own.
    pub(crate) async fn crash(
        &mut self,
        servers: &mut Servers,
        dead: &str,
    ) -> Told<(Crash, Failed)> {
        let (delivery, failed, first_failures) = self.cut_delivery(servers, dead).await?;
        let bar = self.progress.spinner("asking both servers");
        let keys = self.crash_keys();
        let answers = self.ask(&keys).await;
        let mut alive = Check::new("keys of the living server answered right");
        let mut lost = Check::new("keys of the dead server failed and said so");
        let (mut answered_times, mut failed_times) = (Vec::new(), Vec::new());
        let mut example = String::new();
        for (key, answer) in keys.iter().zip(answers) {
            if key.server != dead {
                alive.expect(answer.count.as_ref().ok() == Some(&key.count), || {
                    format!("SCARD {}: {:?}", key.name, answer.count)
                });
                answered_times.push(answer.time);
                continue;
            }
            // It is known to be down: nobody waits for it.
            lost.expect(is_down(&answer.count, dead), || {
                format!("SCARD {}: {:?}", key.name, answer.count)
            });
            failed_times.push(answer.time);
            if let Err(error) = answer.count {
                example = error.to_string();
            }
        }
        bar.finish_and_clear();
        let answered = alive.checked - alive.wrong;
        self.checks.extend([alive.done(), lost.done()]);
        let crash = Crash {
            server: dead.to_owned(),
            delivery,
            keys_asked: keys.len() as u64,
            answered,
            failed: failed_times.len() as u64,
            answered_latency: Latencies::of(answered_times),
            first_failures_seconds: first_failures.as_secs_f64(),
            failed_again_latency: Latencies::of(failed_times),
            example_error: example,
        };
        Ok((crash, failed))
    }

    /// A post to everybody. When a quarter of them has been taken, the server is killed.
    async fn cut_delivery(
        &mut self,
        servers: &mut Servers,
        dead: &str,
    ) -> Told<(CutDelivery, Failed, Duration)> {
        let graph = self.graph;
        let bar = self
            .progress
            .bar("a server is killed", graph.users().into());
        let post = self.feed.announcement();
        let mut killed = None;
        let mut kill = || {
            servers.kill(dead);
            killed = Some(Instant::now());
        };
        // By number and not by progress, so that it is amid the delivery to a handful of users too.
        let owners = (0..graph.users()).map(|user| {
            if user == graph.users() / 4 {
                kill();
            }
            Owner {
                user,
                id: graph.id(user),
            }
        });
        let report = self
            .feed
            .home
            .deliver(&post, stream::iter(owners))
            .failures_max(usize::MAX)
            .on_progress(|progress| bar.set(progress.done + progress.failed))
            .await?;
        let after_kill = killed.map_or(Duration::ZERO, |at: Instant| at.elapsed());
        bar.finish_and_clear();
        self.feed.is_announced = true;

        let mut check = Check::new("a delivery cut by a crash, owner by owner");
        let mut failed = Failed::default();
        let mut has_failed = vec![false; graph.users() as usize];
        for failure in &report.failures {
            let (Owner { user, id }, error) = (failure.owner, &failure.error);
            let is_unknown = error.kind() == ErrorKind::Unknown;
            check.expect(
                error.server() == Some(dead) && (is_unknown || error.is_retryable()),
                || format!("home:{id}: {error:?}"),
            );
            has_failed[user as usize] = true;
            match is_unknown {
                true => failed.unknown.push(user),
                false => failed.never_written.push(user),
            }
        }
        // Whoever lives on the other server is not among the failed, and has it now.
        let living: Vec<u32> = (0..graph.users())
            .filter(|user| self.server_of_home(*user) != dead)
            .collect();
        let have_it = self.feed.have_announcement(&self.cluster, graph, &living);
        for (user, has_it) in living.iter().zip(have_it.await?) {
            check.expect(has_it && !has_failed[*user as usize], || {
                format!(
                    "home:{} on the living server: failed or not there",
                    graph.id(*user)
                )
            });
        }
        let settled = report.done + report.failures.len() as u64;
        check.expect(settled == u64::from(graph.users()), || {
            format!("{settled} owners in the report of {}", graph.users())
        });
        self.checks.push(check.done());
        let delivery = CutDelivery {
            owners: graph.users().into(),
            done: report.done,
            done_living: living.len() as u64,
            never_written: failed.never_written.len() as u64,
            outcome_unknown: failed.unknown.len() as u64,
        };
        Ok((delivery, failed, after_kill))
    }

    fn server_of_home(&self, user: u32) -> String {
        let key = self.feed.home.key(self.graph.id(user));
        self.cluster.locate(&key).server.to_string()
    }

    /// The same port, the same files: until every key answers, then everything is read back.
    pub(crate) async fn recover(
        &mut self,
        servers: &mut Servers,
        dead: &str,
        failed: Failed,
    ) -> Told<Recovery> {
        let bar = self.progress.spinner("the server comes back");
        let mut left = self.crash_keys();
        left.retain(|key| key.server == dead);
        let mut check = Check::new("keys of the server that came back");
        let started = Instant::now();
        servers.restart(dead).await?;
        let server_ready = started.elapsed();
        loop {
            // No round trip: what a readiness probe asks.
            while !self.cluster.health().is_ready()
                && started.elapsed() < server_ready + RECOVERY_DEADLINE
            {
                sleep(POLL_EVERY).await;
            }
            let mut last = None;
            let mut unanswered = Vec::new();
            for (key, answer) in left.iter().zip(self.ask(&left).await) {
                match answer.count {
                    Ok(count) => check.expect(count == key.count, || {
                        format!("SCARD {}: {count}, not {}", key.name, key.count)
                    }),
                    Err(error) => {
                        last = Some(error);
                        unanswered.push(key.clone());
                    }
                }
            }
            left = unanswered;
            let Some(last) = last else { break };
            if started.elapsed() > server_ready + RECOVERY_DEADLINE {
                return Err(StoryError::NotRecovered {
                    server: dead.to_owned(),
                    left: left.len(),
                    last,
                });
            }
        }
        let client_ready = started.elapsed() - server_ready;
        bar.finish_and_clear();
        self.checks.push(check.done());

        let retry = self.retry(failed).await?;
        let reading = Instant::now();
        let sets_read = self.read_everything().await?;
        Ok(Recovery {
            server_ready_seconds: server_ready.as_secs_f64(),
            client_ready_seconds: client_ready.as_secs_f64(),
            retry,
            sets_read,
            members_read: 2 * self.graph.edges() as u64,
            read_seconds: reading.elapsed().as_secs_f64(),
        })
    }

    /// The delivery again, to those who failed. Then every timeline is read.
    async fn retry(&mut self, failed: Failed) -> Told<Retry> {
        let graph = self.graph;
        let post = self.feed.announcement();
        let mut check = Check::new("what was reported of the failed, and their second delivery");
        let feed = &self.feed;
        let have_it = feed.have_announcement(&self.cluster, graph, &failed.never_written);
        for (user, has_it) in failed.never_written.iter().zip(have_it.await?) {
            check.expect(!has_it, || {
                format!("home:{} has what was never written", graph.id(*user))
            });
        }
        let have_it = feed.have_announcement(&self.cluster, graph, &failed.unknown);
        let unknown_had_it = have_it.await?.into_iter().filter(|has_it| *has_it).count() as u64;

        let owners = [failed.never_written, failed.unknown].concat();
        let bar = self.progress.bar("delivering again", owners.len() as u64);
        let started = Instant::now();
        let ids = stream::iter(&owners).map(|user| graph.id(*user));
        let report = feed
            .home
            .deliver(&post, ids)
            .on_progress(|progress| bar.set(progress.done))
            .await?;
        let seconds = started.elapsed().as_secs_f64();
        bar.finish_and_clear();
        let (added, missing) = (report.changed, owners.len() as u64 - unknown_had_it);
        check.expect(report.is_complete() && added == missing, || {
            let failure = report.failures.first();
            format!("added to {added}, not to {missing}; first failure {failure:?}")
        });
        self.checks.push(check.done());
        let whole = Check::new("home timelines after the crash: nothing lost, nothing twice");
        let (timelines_read, _) = self.check_timelines(whole).await?;
        Ok(Retry {
            owners: owners.len() as u64,
            unknown_had_it,
            added,
            seconds,
            timelines_read,
        })
    }

    /// Every set of both servers, member by member.
    async fn read_everything(&mut self) -> Told<u64> {
        let graph = self.graph;
        let sets: Vec<(Side, u32)> = graph.sets().collect();
        let bar = self.progress.bar("reading all back", sets.len() as u64);
        let mut check = Check::new("sets read back whole after the crash");
        let cluster = &self.cluster;
        let mut answers = stream::iter(sets.chunks(PIECE_COMMANDS_MAX))
            .map(|piece| async move {
                let reads = piece
                    .iter()
                    .map(|(side, user)| Cmd::smembers(side.key(graph.id(*user))));
                Ok::<_, Error>((piece, send::<Vec<u64>>(cluster, reads.collect()).await?))
            })
            .buffered(PIECES_MAX);
        while let Some(answer) = answers.next().await {
            let (piece, answers) = answer?;
            for ((side, user), mut members) in piece.iter().zip(answers) {
                members.sort_unstable();
                let expected = graph.set(*side, *user);
                let is_right = members.len() == expected.len()
                    && members
                        .iter()
                        .zip(expected)
                        .all(|(id, user)| *id == graph.id(*user));
                check.expect(is_right, || {
                    let key = side.key(graph.id(*user));
                    format!(
                        "SMEMBERS {key}: {} members, not {}, or others",
                        members.len(),
                        expected.len()
                    )
                });
            }
            bar.inc(piece.len() as u64);
        }
        self.checks.push(check.done());
        Ok(sets.len() as u64)
    }

    /// The same keys every time: evenly over all sets.
    fn crash_keys(&self) -> Vec<AskedKey> {
        let count = self.graph.sets().count();
        let step = count.div_ceil(CRASH_KEYS_MAX).max(1);
        self.graph
            .sets()
            .step_by(step)
            .map(|(side, user)| {
                let name = side.key(self.graph.id(user));
                AskedKey {
                    server: self.cluster.locate(&name).server.to_string(),
                    count: self.graph.set(side, user).len() as u64,
                    name,
                }
            })
            .collect()
    }

    /// One caller per key, all at once.
    async fn ask(&self, keys: &[AskedKey]) -> Vec<Answer> {
        join_all(keys.iter().map(|key| async {
            let started = Instant::now();
            let count = self.cluster.query::<u64>(&Cmd::scard(&key.name)).await;
            Answer {
                count,
                time: started.elapsed(),
            }
        }))
        .await
    }
}

/// An owner by number, who is shown, in a key, by id.
#[derive(Clone, Copy, Debug)]
struct Owner {
    user: u32,
    id: u64,
}

impl Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

#[derive(Clone, Debug)]
struct AskedKey {
    name: String,
    server: String,
    count: u64,
}

struct Answer {
    count: Result<u64, Error>,
    time: Duration,
}

fn is_down(answer: &Result<u64, Error>, server: &str) -> bool {
    matches!(answer, Err(error) if error.is_retryable() && error.server() == Some(server))
}
