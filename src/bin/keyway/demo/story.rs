//! The first chapters: load, measure, intersect. `feed` and `outage` go on. Each checks what the servers say against the graph in memory.

use super::feed::Feed;
use super::graph::{Graph, Side};
use super::progress::Progress;
use super::report::{Balance, Check, Intersections, Latencies, Load, Plan, ServerLoad};
use super::servers::{ServersError, info_field};
use futures::stream::{self, StreamExt};
use keyway::sets::Strategy;
use keyway::{Cluster, Error};
use redis::{Cmd, FromRedisValue};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Bounds of what is in memory: pieces under way, commands in a piece, members in a command.
pub(crate) const PIECES_MAX: usize = 4;
pub(crate) const PIECE_COMMANDS_MAX: usize = 1_000;
const SADD_MEMBERS_MAX: usize = 256;
const RANDOM_PAIRS_MAX: usize = 1_000;
/// Of each of the two kinds of heavy pairs.
const HEAVY_PAIRS_MAX: usize = 200;
/// "Heavy" is among that many users.
pub(crate) const HEAVY_USERS: usize = 100;
/// Up to here a set has one of Redis's small encodings, and comes whole with its size.
const SMALL_SET_MAX: usize = 512;
/// How far members are counted where "at least so many" is enough.
const COUNTED_MAX: u64 = 10;
pub(crate) const RECOVERY_DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Story<'a> {
    pub(crate) cluster: Cluster,
    pub(crate) graph: &'a Graph,
    pub(crate) progress: &'a Progress,
    pub(crate) random: fastrand::Rng,
    pub(crate) feed: Feed,
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

pub(crate) type Told<T> = Result<T, StoryError>;

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

    /// One question each, as an application would: who is followed by both, how many at least, who by one only.
    pub(crate) async fn intersect(&mut self) -> Told<Intersections> {
        let random = self.pairs(Side::Follows, usize::MAX, RANDOM_PAIRS_MAX);
        let mut heavy = self.pairs(Side::Follows, HEAVY_USERS, HEAVY_PAIRS_MAX);
        heavy.extend(self.pairs(Side::Followers, HEAVY_USERS, HEAVY_PAIRS_MAX));
        let questions = random.len() + 3 * heavy.len();
        let bar = self.progress.bar("intersecting", questions as u64);
        let (graph, sets) = (self.graph, self.cluster.sets());
        let mut intersected = Check::new("intersections over two servers");
        let mut counted = Check::new("members counted up to a limit");
        let mut subtracted = Check::new("differences over two servers");
        let (mut random_times, mut heavy_times) = (Vec::new(), Vec::new());
        let (mut count_times, mut difference_times) = (Vec::new(), Vec::new());
        let (mut with_common, mut members, mut largest) = (0, 0, 0);
        let pairs = random.iter().map(|pair| (pair, false));
        for (pair, is_heavy) in pairs.chain(heavy.iter().map(|pair| (pair, true))) {
            let keys = pair.keys(graph);
            let expected = graph.common(pair.side, pair.a, pair.b);
            let started = Instant::now();
            let answer: Vec<u64> = sets.intersect(&keys).members().await?;
            let times = if is_heavy {
                &mut heavy_times
            } else {
                &mut random_times
            };
            times.push(started.elapsed());
            with_common += u64::from(!answer.is_empty());
            members += answer.len() as u64;
            largest = largest.max(answer.len() as u64);
            compare(&mut intersected, "intersection", &keys, answer, &expected);
            bar.inc(1);
            if !is_heavy {
                continue;
            }
            let started = Instant::now();
            let count = sets.intersect(&keys).limit(COUNTED_MAX).count().await?;
            count_times.push(started.elapsed());
            let wanted = COUNTED_MAX.min(expected.len() as u64);
            counted.expect(count == wanted, || {
                format!("{}, {}: counted {count}, not {wanted}", keys[0], keys[1])
            });
            let started = Instant::now();
            let answer: Vec<u64> = sets.difference(&keys).members().await?;
            difference_times.push(started.elapsed());
            let expected = graph.only_in_first(pair.side, pair.a, pair.b);
            compare(&mut subtracted, "difference", &keys, answer, &expected);
            bar.inc(2);
        }
        let (random_latency, heavy_latency) = (
            Latencies::of(random_times.clone()),
            Latencies::of(heavy_times.clone()),
        );
        random_times.extend(heavy_times);
        let plan = self.plan().await?;
        self.checks
            .extend([intersected.done(), counted.done(), subtracted.done()]);
        Ok(Intersections {
            pairs: random_times.len() as u64,
            random_pairs: random.len() as u64,
            pairs_with_common: with_common,
            common_members: members,
            common_max: largest,
            latency: Latencies::of(random_times),
            random_latency,
            heavy_latency,
            counted_max: COUNTED_MAX,
            count_latency: Latencies::of(count_times),
            difference_latency: Latencies::of(difference_times),
            plan,
        })
    }

    /// Pairs of users among those with the largest sets; the two keys always on different servers.
    fn pairs(&mut self, side: Side, pool_max: usize, pairs_max: usize) -> Vec<Pair> {
        let mut pool = self.graph.heaviest(side);
        pool.truncate(pool_max);
        let mut seen = HashSet::new();
        // A small graph has fewer pairs than wanted.
        for _ in 0..20 * pairs_max {
            let (Some(&a), Some(&b)) = (self.random.choice(&pool), self.random.choice(&pool))
            else {
                break;
            };
            if seen.len() < pairs_max && self.server_of(side, a) != self.server_of(side, b) {
                seen.insert((a.min(b), a.max(b)));
            }
        }
        let mut seen: Vec<_> = seen.into_iter().collect();
        seen.sort_unstable();
        let pair = |(a, b)| Pair { side, a, b };
        seen.into_iter().map(pair).collect()
    }

    /// The plan for a very large set and a much smaller one on the other server; `None` where the graph has no two such.
    async fn plan(&self) -> Told<Option<Plan>> {
        let side = Side::Followers;
        let mut pool = self.graph.heaviest(side);
        pool.truncate(HEAVY_USERS);
        let Some(&a) = pool.first() else {
            return Ok(None);
        };
        let is_far = |user: &&u32| self.server_of(side, **user) != self.server_of(side, a);
        let others: Vec<u32> = pool.iter().filter(is_far).copied().collect();
        let is_large = |user: &&u32| self.graph.set(side, **user).len() > SMALL_SET_MAX;
        let Some(&b) = others.iter().rev().find(is_large).or(others.last()) else {
            return Ok(None);
        };
        let sets = self.cluster.sets();
        let asked = sets.intersect(Pair { side, a, b }.keys(self.graph));
        let chosen = asked.explain().await?;
        let both = asked.strategy(Strategy::Fetch).explain().await?;
        Ok(Some(Plan::of(&chosen, both.actual.bytes())))
    }

    fn server_of(&self, side: Side, user: u32) -> keyway::topology::ServerId {
        let config = self.cluster.config();
        let key = side.key(self.graph.id(user));
        let node = config.placement().node(key.as_bytes());
        config.topology().server_of(node)
    }
}

#[derive(Clone, Copy, Debug)]
struct Pair {
    side: Side,
    a: u32,
    b: u32,
}

impl Pair {
    fn keys(self, graph: &Graph) -> [String; 2] {
        [self.a, self.b].map(|user| self.side.key(graph.id(user)))
    }
}

/// `expected` is ascending.
fn compare(
    check: &mut Check,
    what: &str,
    keys: &[String; 2],
    mut answer: Vec<u64>,
    expected: &[u64],
) {
    answer.sort_unstable();
    check.expect(answer == expected, || {
        let (got, want) = (answer.len(), expected.len());
        format!(
            "{what} of {}, {}: {got} members, not {want}, or others",
            keys[0], keys[1]
        )
    });
}

pub(crate) fn piece<T>(commands: &mut impl Iterator<Item = T>) -> Option<Vec<T>> {
    let piece: Vec<T> = commands.take(PIECE_COMMANDS_MAX).collect();
    (!piece.is_empty()).then_some(piece)
}

/// One batch: one write per server. Any failure is one.
pub(crate) async fn send<T: FromRedisValue>(
    cluster: &Cluster,
    cmds: Vec<Cmd>,
) -> Result<Vec<T>, Error> {
    let mut batch = cluster.batch();
    let places: Vec<_> = cmds.into_iter().map(|cmd| batch.add::<T>(cmd)).collect();
    let mut replies = batch.send().await;
    places
        .into_iter()
        .map(|place| replies.take(place))
        .collect()
}
