//! The chapters: load, measure, intersect, deliver, crash, recover. Each checks what the servers say against the graph in memory.

use super::graph::{Graph, Side};
use super::progress::Progress;
use super::report::{
    Balance, Check, Crash, Delivery, Intersections, Latencies, Load, Recovery, ServerLoad,
};
use super::servers::{Servers, ServersError, info_field};
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use keyway::{Cluster, Error, ErrorKind};
use redis::{AsyncCommands, Cmd, FromRedisValue};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Bounds of what is in memory: pieces under way, commands in a piece, members in a command.
const PIECES_MAX: usize = 4;
const PIECE_COMMANDS_MAX: usize = 1_000;
const SADD_MEMBERS_MAX: usize = 256;
/// Pairs of each of the three kinds.
const PAIRS_MAX: usize = 200;
/// "Heavy" pairs are drawn among that many users.
const HEAVY_USERS: usize = 100;
const POSTS: u64 = 12;
const POSTS_KEPT: u64 = 10;
/// Score of the first post: a time in milliseconds, as in a real timeline.
const FIRST_POST_MS: u64 = 1_750_000_000_000;
const CRASH_KEYS_MAX: usize = 2_000;
const RECOVERY_DEADLINE: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(2);

pub(crate) struct Story<'a> {
    pub(crate) cluster: Cluster,
    pub(crate) graph: &'a Graph,
    pub(crate) progress: &'a Progress,
    pub(crate) random: fastrand::Rng,
    pub(crate) checks: Vec<Check>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum StoryError {
    #[error(transparent)]
    Client(#[from] Error),
    #[error("{0}")]
    Redis(#[from] redis::RedisError),
    #[error(transparent)]
    Servers(#[from] ServersError),
    #[error(
        "server {server} does not answer {left} of its keys {RECOVERY_DEADLINE:?} after its return: {last}"
    )]
    NotRecovered {
        server: String,
        left: usize,
        last: Error,
    },
}

type Told<T> = Result<T, StoryError>;

impl Story<'_> {
    /// One SADD for up to 256 members, in batches that the client splits over the servers.
    pub(crate) async fn load(&mut self) -> Told<Load> {
        let graph = self.graph;
        let commands: u64 = graph
            .sets()
            .map(|(side, user)| graph.set(side, user).len().div_ceil(SADD_MEMBERS_MAX) as u64)
            .sum();
        let bar = self.progress.bar("loading", commands);
        let started = Instant::now();
        let mut sadds = graph.sets().flat_map(|(side, user)| {
            let key = side.key(graph.id(user));
            let pieces = graph.set(side, user).chunks(SADD_MEMBERS_MAX);
            pieces.map(move |members| {
                let ids: Vec<u64> = members.iter().map(|member| graph.id(*member)).collect();
                (Cmd::sadd(&key, ids), members.len() as u64)
            })
        });
        let pieces = std::iter::from_fn(|| piece(&mut sadds));
        let cluster = &self.cluster;
        let mut check = Check::new("SADD that added all its members");
        let mut replies = stream::iter(pieces)
            .map(|piece| async {
                let (cmds, expected): (Vec<Cmd>, Vec<u64>) = piece.into_iter().unzip();
                Ok::<_, Error>((send::<u64>(cluster, cmds).await?, expected))
            })
            .buffer_unordered(PIECES_MAX);
        while let Some(piece) = replies.next().await {
            let (added, expected) = piece?;
            bar.inc(added.len() as u64);
            for (added, expected) in added.into_iter().zip(expected) {
                check.expect(added == expected, || {
                    format!("{added} members added, not {expected}")
                });
            }
        }
        self.checks.push(check.done());
        Ok(Load {
            sets: graph.sets().count() as u64,
            members: 2 * graph.edges() as u64,
            commands,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// Memory that each server uses, by name.
    pub(crate) async fn memory(&self) -> Told<Vec<u64>> {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        let mut used = Vec::new();
        for answer in self.cluster.servers().each::<String>(&info).await {
            let text = answer.reply?;
            let bytes = info_field(&text, "used_memory").and_then(|bytes| bytes.parse().ok());
            used.push(bytes.unwrap_or(0));
        }
        Ok(used)
    }

    /// What the placement says of every key, and whether the servers have as many.
    pub(crate) async fn balance(&mut self, memory_before: &[u64]) -> Told<Balance> {
        let config = self.cluster.config();
        let (placement, topology) = (config.placement(), config.topology());
        let mut keys_per_node = vec![0; placement.node_count()];
        let mut servers: Vec<ServerLoad> = topology
            .servers()
            .map(|id| ServerLoad {
                name: topology.server_name(id).to_string(),
                nodes: topology.nodes_of(id).count() as u64,
                keys: 0,
                members: 0,
                data_bytes: 0,
            })
            .collect();
        for (side, user) in self.graph.sets() {
            let node = placement.node(side.key(self.graph.id(user)).as_bytes());
            keys_per_node[node.index()] += 1;
            let server = &mut servers[topology.server_of(node).index()];
            server.keys += 1;
            server.members += self.graph.set(side, user).len() as u64;
        }
        let mut check = Check::new("servers with as many keys as the placement says");
        let memory = self.memory().await?;
        let sizes = self
            .cluster
            .servers()
            .each::<u64>(&redis::cmd("DBSIZE"))
            .await;
        for (at, answer) in sizes.into_iter().enumerate() {
            let (size, server) = (answer.reply?, &mut servers[at]);
            server.data_bytes = memory[at].saturating_sub(memory_before[at]);
            check.expect(size == server.keys, || {
                format!(
                    "server {} has {size} keys, not {}",
                    server.name, server.keys
                )
            });
        }
        self.checks.push(check.done());
        Ok(Balance {
            servers,
            keys_per_node,
        })
    }

    /// SINTER of sets on different servers: one call each, as an application would.
    pub(crate) async fn intersect(&mut self) -> Told<Intersections> {
        let pairs = self.pairs();
        let bar = self.progress.bar("intersecting", pairs.len() as u64);
        let mut redis = self.cluster.clone();
        let mut check = Check::new("intersections over two servers");
        let mut times = Vec::with_capacity(pairs.len());
        let (mut with_common, mut members, mut largest) = (0, 0, 0);
        for (side, a, b) in pairs {
            let keys = [side.key(self.graph.id(a)), side.key(self.graph.id(b))];
            let started = Instant::now();
            let mut answer: Vec<u64> = redis.sinter(&keys).await?;
            times.push(started.elapsed());
            answer.sort_unstable();
            let expected = self.graph.common(side, a, b);
            check.expect(answer == expected, || {
                let (got, want) = (answer.len(), expected.len());
                format!(
                    "SINTER {} {}: {got} members, not {want}, or others",
                    keys[0], keys[1]
                )
            });
            with_common += u64::from(!answer.is_empty());
            members += answer.len() as u64;
            largest = largest.max(answer.len() as u64);
            bar.inc(1);
        }
        self.checks.push(check.done());
        Ok(Intersections {
            pairs: times.len() as u64,
            pairs_with_common: with_common,
            common_members: members,
            common_max: largest,
            latency: Latencies::of(times),
        })
    }

    /// Random pairs, pairs of those who follow most, pairs of those who are followed most; the two keys always on different servers.
    fn pairs(&mut self) -> Vec<(Side, u32, u32)> {
        let config = self.cluster.config();
        let server_of = |side: Side, user| {
            let node = config
                .placement()
                .node(side.key(self.graph.id(user)).as_bytes());
            config.topology().server_of(node)
        };
        let mut pairs = Vec::new();
        for (side, pool_max) in [
            (Side::Follows, usize::MAX),
            (Side::Follows, HEAVY_USERS),
            (Side::Followers, HEAVY_USERS),
        ] {
            let mut pool = self.graph.heaviest(side);
            pool.truncate(pool_max);
            let mut seen = HashSet::new();
            // A small graph has fewer pairs than wanted.
            for _ in 0..20 * PAIRS_MAX {
                let (Some(&a), Some(&b)) = (self.random.choice(&pool), self.random.choice(&pool))
                else {
                    break;
                };
                if seen.len() < PAIRS_MAX && server_of(side, a) != server_of(side, b) {
                    seen.insert((a.min(b), a.max(b)));
                }
            }
            let mut seen: Vec<_> = seen.into_iter().collect();
            seen.sort_unstable();
            pairs.extend(seen.into_iter().map(|(a, b)| (side, a, b)));
        }
        pairs
    }

    /// The most followed user posts; every follower's timeline keeps the newest.
    pub(crate) async fn deliver(&mut self) -> Told<Delivery> {
        let graph = self.graph;
        let Some(&author) = graph.heaviest(Side::Followers).first() else {
            return Ok(Delivery::default());
        };
        let followers = graph.set(Side::Followers, author);
        let bar = self
            .progress
            .bar("delivering", POSTS * followers.len() as u64);
        let cluster = &self.cluster;
        let (started, mut first_post) = (Instant::now(), Duration::ZERO);
        for post in 0..POSTS {
            let mut commands = followers.iter().flat_map(|follower| {
                let key = timeline(graph.id(*follower));
                let trim = -(POSTS_KEPT as isize) - 1;
                [
                    Cmd::zadd(&key, post, FIRST_POST_MS + post),
                    Cmd::zremrangebyrank(&key, 0, trim),
                ]
            });
            let pieces = std::iter::from_fn(|| piece(&mut commands));
            let mut replies = stream::iter(pieces)
                .map(|piece| send::<u64>(cluster, piece))
                .buffer_unordered(PIECES_MAX);
            while let Some(piece) = replies.next().await {
                bar.inc(piece?.len() as u64 / 2);
            }
            if post == 0 {
                first_post = started.elapsed();
            }
        }
        let seconds = started.elapsed().as_secs_f64();

        let mut check = Check::new("timelines, newest first, trimmed");
        let expected = newest_posts();
        let mut reads = followers
            .iter()
            .map(|follower| Cmd::zrevrange(timeline(graph.id(*follower)), 0, -1));
        let mut at = 0;
        while let Some(piece) = piece(&mut reads) {
            for answer in send::<Vec<u64>>(cluster, piece).await? {
                check.expect(answer == expected, || {
                    format!("{}: {answer:?}", timeline(graph.id(followers[at])))
                });
                at += 1;
            }
        }
        // And as an application reads: one page, one call.
        let mut redis = self.cluster.clone();
        let mut times = Vec::new();
        for follower in followers.iter().take(PAIRS_MAX) {
            let one = Instant::now();
            let page: Vec<u64> = redis.zrevrange(timeline(graph.id(*follower)), 0, 4).await?;
            times.push(one.elapsed());
            check.expect(page == expected[..5], || format!("a page: {page:?}"));
        }
        self.checks.push(check.done());
        Ok(Delivery {
            user: graph.id(author),
            followers: followers.len() as u64,
            posts: POSTS,
            kept: POSTS_KEPT,
            commands: 2 * POSTS * followers.len() as u64,
            seconds,
            first_post_seconds: first_post.as_secs_f64(),
            timelines_read: at as u64,
            read_one: Latencies::of(times),
        })
    }

    /// SIGKILL, then thousands of callers at once, each with a key of its own.
    pub(crate) async fn crash(&mut self, servers: &mut Servers, dead: &str) -> Told<Crash> {
        let bar = self.progress.spinner("a server is killed");
        let keys = self.crash_keys();
        servers.kill(dead);
        let started = Instant::now();
        let answers = self.ask(&keys).await;
        let first_failures = started.elapsed();

        let mut alive = Check::new("keys of the living server answered right");
        let mut lost = Check::new("keys of the dead server failed and said so");
        let (mut answered_times, mut example) = (Vec::new(), String::new());
        let mut lost_keys = Vec::new();
        for (key, answer) in keys.iter().zip(answers) {
            if key.server != dead {
                alive.expect(answer.count.as_ref().ok() == Some(&key.count), || {
                    format!("SCARD {}: {:?}", key.name, answer.count)
                });
                answered_times.push(answer.time);
                continue;
            }
            // Those that were written before the client heard of the kill end as "outcome unknown", beyond the budget for retries.
            let was_cut = matches!(&answer.count, Err(error)
                if error.kind() == ErrorKind::Unknown && error.server() == Some(dead));
            lost.expect(was_cut || is_down(&answer.count, dead), || {
                format!("SCARD {}: {:?}", key.name, answer.count)
            });
            lost_keys.push(key.clone());
        }
        // It is known to be down now: nobody waits for it.
        let mut again_times = Vec::new();
        for (key, answer) in lost_keys.iter().zip(self.ask(&lost_keys).await) {
            lost.expect(is_down(&answer.count, dead), || {
                format!("SCARD {}: {:?}", key.name, answer.count)
            });
            again_times.push(answer.time);
            if let Err(error) = answer.count {
                example = error.to_string();
            }
        }
        bar.finish_and_clear();
        let (answered, failed) = (alive.checked - alive.wrong, lost_keys.len() as u64);
        self.checks.push(alive.done());
        self.checks.push(lost.done());
        Ok(Crash {
            server: dead.to_owned(),
            keys_asked: keys.len() as u64,
            answered,
            failed,
            answered_latency: Latencies::of(answered_times),
            first_failures_seconds: first_failures.as_secs_f64(),
            failed_again_latency: Latencies::of(again_times),
            example_error: example,
        })
    }

    /// The same port, the same files: until every key answers, then everything is read back.
    pub(crate) async fn recover(&mut self, servers: &mut Servers, dead: &str) -> Told<Recovery> {
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

        let reading = Instant::now();
        let sets_read = self.read_everything().await?;
        Ok(Recovery {
            server_ready_seconds: server_ready.as_secs_f64(),
            client_ready_seconds: client_ready.as_secs_f64(),
            sets_read,
            members_read: 2 * self.graph.edges() as u64,
            read_seconds: reading.elapsed().as_secs_f64(),
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

fn timeline(id: u64) -> String {
    format!("timeline:{id}")
}

fn newest_posts() -> Vec<u64> {
    (0..POSTS).rev().take(POSTS_KEPT as usize).collect()
}

fn piece<T>(commands: &mut impl Iterator<Item = T>) -> Option<Vec<T>> {
    let piece: Vec<T> = commands.take(PIECE_COMMANDS_MAX).collect();
    (!piece.is_empty()).then_some(piece)
}

/// One batch: one write per server. Any failure is one.
async fn send<T: FromRedisValue>(cluster: &Cluster, cmds: Vec<Cmd>) -> Result<Vec<T>, Error> {
    let mut batch = cluster.batch();
    let places: Vec<_> = cmds.into_iter().map(|cmd| batch.add::<T>(cmd)).collect();
    let mut replies = batch.send().await;
    places
        .into_iter()
        .map(|place| replies.take(place))
        .collect()
}
