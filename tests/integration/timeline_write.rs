//! What is written to timelines: against a model, over random topologies, and when servers die in the middle of it.

use crate::fixture::{
    Cut, PATIENT, Proxied, RedisServer, TestCluster, cluster_toml, eventually, parse, seeded,
};
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use keyway::timeline::{Ending, Item};
use keyway::{Cluster, ErrorKind, PublicTimeline, Timeline};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);
const NOW: u64 = 1_750_000_000_000;

/// Settings with this protocol.
fn by(protocol: &str) -> String {
    format!("protocol = \"{protocol}\"\n{PATIENT}")
}

/// A timeline as it should be: scores by id.
type Model = BTreeMap<u64, u64>;

/// What the servers hold under these keys.
async fn read(cluster: &Cluster, keys: &[String]) -> Vec<Model> {
    let mut redis = cluster.clone();
    let mut models = Vec::new();
    for keys in keys.chunks(5000) {
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.zrange_withscores(key, 0, -1);
        }
        let found: Vec<Vec<(u64, f64)>> = pipe.query_async(&mut redis).await.unwrap();
        models.extend(found.into_iter().map(|items| {
            items
                .into_iter()
                .map(|(id, score)| (id, score as u64))
                .collect::<Model>()
        }));
    }
    models
}

async fn read_owners(cluster: &Cluster, timeline: &Timeline, owners: &[String]) -> Vec<Model> {
    let keys: Vec<String> = owners.iter().map(|owner| timeline.key(owner)).collect();
    read(cluster, &keys).await
}

fn owners(count: usize) -> Vec<String> {
    (0..count).map(|owner| format!("user:{owner}")).collect()
}

/// The bounds of the timelines under test.
#[derive(Clone, Debug)]
struct Bounds {
    keep: Option<usize>,
    max_age_ms: Option<u64>,
    bits: u32,
    slack: usize,
    tracked: usize,
}

impl Bounds {
    fn random(rng: &mut fastrand::Rng) -> Bounds {
        Bounds {
            keep: rng.bool().then(|| rng.usize(1..6)),
            max_age_ms: rng.bool().then(|| rng.u64(5..40)),
            bits: rng.u32(..3),
            slack: rng.usize(1..5),
            tracked: *rng.choice([0, 1, 4, 1000].iter()).unwrap(),
        }
    }

    fn timeline(&self, cluster: &Cluster, name: &str, clock: &Arc<AtomicU64>) -> Timeline {
        let clock = clock.clone();
        let mut timeline = Timeline::new(cluster, name)
            .slack(self.slack)
            .tracked(self.tracked)
            .sequence_bits(self.bits)
            .clock(move || clock.load(Ordering::SeqCst));
        if let Some(keep) = self.keep {
            timeline = timeline.keep(keep);
        }
        if let Some(age) = self.max_age_ms {
            timeline = timeline.max_age(Duration::from_millis(age));
        }
        timeline
    }

    fn cutoff(&self, now: u64) -> u64 {
        self.max_age_ms.map_or(0, |age| (now - age) << self.bits)
    }

    fn trimmed(&self, model: &Model, now: u64) -> Model {
        let items = in_order(model, self.cutoff(now));
        let surplus = items.len().saturating_sub(self.keep.unwrap_or(usize::MAX));
        items.into_iter().skip(surplus).collect()
    }
}

/// Every operation, with duplicates, ties, wrong types and a clock that goes on, on servers dealt out in many ways. A push may trim first
/// or not, so after each operation the timelines must be one of what it may have left.
#[tokio::test]
async fn random_operations_leave_what_the_model_says_on_every_topology() {
    let mut rng = seeded("random_operations");
    let servers = join_all((0..5).map(|_| RedisServer::start())).await;
    let topologies = [(1, 1), (1, 64), (2, 2), (2, 128), (5, 128), (5, 7), (2, 1)];
    let turned = rng.usize(..2);
    for (at, (count, nodes)) in topologies.into_iter().enumerate() {
        let protocol = ["resp2", "resp3"][(at + turned) % 2];
        for server in &servers {
            let mut direct = server.connection().await;
            let _: () = redis::cmd("FLUSHALL")
                .query_async(&mut direct)
                .await
                .unwrap();
        }
        let ports: Vec<u16> = servers[..count].iter().map(RedisServer::port).collect();
        let cluster = Cluster::connect_config(parse(
            &cluster_toml(&by(protocol), nodes, &ports).replace("\"\"", "[]"),
        ))
        .await
        .unwrap();
        for round in 0..4 {
            let bounds = Bounds::random(&mut rng);
            operate(&cluster, &bounds, &format!("home{round}"), &mut rng).await;
        }
        cluster.close().await.unwrap();
    }
}

async fn operate(cluster: &Cluster, bounds: &Bounds, name: &str, rng: &mut fastrand::Rng) {
    let clock = Arc::new(AtomicU64::new(NOW));
    let home = bounds.timeline(cluster, name, &clock);
    let posts = Timeline::new(cluster, format!("posts-{name}"));
    let everyone = owners(10);
    let authors = owners(3);
    let wrong = &everyone[7];
    let mut redis = cluster.clone();
    let _: () = redis::AsyncCommands::set(&mut redis, home.key(wrong), "text")
        .await
        .unwrap();
    let good: Vec<String> = everyone
        .iter()
        .filter(|owner| *owner != wrong)
        .cloned()
        .collect();
    let mut before = read_owners(cluster, &home, &good).await;
    let mut cast = vec![Model::new(); authors.len()];
    for step in 0..60 {
        let now = clock.fetch_add(rng.u64(..4), Ordering::SeqCst);
        let now = now.max(clock.load(Ordering::SeqCst));
        let score = (now - rng.u64(..20)) << bounds.bits | rng.u64(..1 << bounds.bits);
        let item = Item::new(rng.u64(..40), score);
        let is_old = score < bounds.cutoff(now);
        // With duplicates.
        let some: Vec<String> = (0..rng.usize(..15))
            .map(|_| rng.choice(&everyone).unwrap().clone())
            .collect();
        let hit = |owner: &String| some.iter().filter(|other| *other == owner).count();
        let wrong_hits = hit(wrong) as u64;
        let context = format!("step {step}, {bounds:?}, {item:?}, {some:?}");
        let at = rng.usize(..good.len());
        let author = rng.usize(..authors.len());
        // What each timeline may be now.
        let possible: Vec<Vec<Model>> = match rng.u32(..100) {
            0..20 => {
                let pushed = home.push(&good[at], &item).await;
                if is_old {
                    assert_eq!(pushed.unwrap_err().kind(), ErrorKind::Invalid, "{context}");
                    before.iter().map(|model| vec![model.clone()]).collect()
                } else {
                    let is_new = pushed.unwrap();
                    assert!(is_new || before[at].contains_key(&item.id), "{context}");
                    let options = |other: usize| {
                        pushes(bounds, &before[other], &item, now, usize::from(other == at))
                    };
                    (0..good.len()).map(options).collect()
                }
            }
            20..45 => {
                let result = home.deliver(&item, stream::iter(some.clone())).await;
                if is_old {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::Invalid, "{context}");
                    before.iter().map(|model| vec![model.clone()]).collect()
                } else {
                    let report = result.unwrap();
                    assert_eq!(
                        (report.taken, report.failed),
                        (some.len() as u64, wrong_hits)
                    );
                    for failure in &report.failures {
                        assert_eq!(failure.owner, *wrong);
                        assert_eq!(failure.error.kind(), ErrorKind::Server);
                        let text = failure.error.to_string();
                        assert!(
                            text.contains(&home.key(wrong)) && text.contains("WRONGTYPE"),
                            "{text}"
                        );
                    }
                    let options = |(model, owner)| pushes(bounds, model, &item, now, hit(owner));
                    before.iter().zip(&good).map(options).collect()
                }
            }
            45..60 => {
                let report = home
                    .retract(item.id, stream::iter(some.clone()))
                    .await
                    .unwrap();
                assert_eq!(
                    (report.taken, report.failed),
                    (some.len() as u64, wrong_hits)
                );
                let mut removed = 0;
                let left = before.iter().zip(&good).map(|(model, owner)| {
                    let mut model = model.clone();
                    if hit(owner) > 0 && model.remove(&item.id).is_some() {
                        removed += 1;
                    }
                    vec![model]
                });
                let left = left.collect();
                assert_eq!(report.changed, removed, "{context}");
                left
            }
            60..70 => {
                let result = home.trim(stream::iter(some.clone())).await;
                if bounds.keep.is_none() && bounds.max_age_ms.is_none() {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::Invalid);
                    before.iter().map(|model| vec![model.clone()]).collect()
                } else {
                    let report = result.unwrap();
                    let mut removed = 0;
                    let left = before
                        .iter()
                        .zip(&good)
                        .map(|(model, owner)| match hit(owner) {
                            0 => vec![model.clone()],
                            _ => {
                                let left = bounds.trimmed(model, now);
                                removed += model.len() - left.len();
                                vec![left]
                            }
                        });
                    let left = left.collect();
                    assert_eq!(
                        (report.changed, report.trimmed),
                        (removed as u64, removed as u64)
                    );
                    left
                }
            }
            70..80 => {
                posts.push(&authors[author], &item).await.unwrap();
                cast[author].insert(item.id, item.score);
                before.iter().map(|model| vec![model.clone()]).collect()
            }
            80..90 => {
                let limit = rng.usize(..8);
                let done = home
                    .backfill(&good[at], &posts, &authors[author])
                    .limit(limit)
                    .await
                    .unwrap();
                let items = newest(&cast[author], limit, bounds.cutoff(now));
                assert_eq!(done.read, items.len() as u64, "{context}");
                // Added between trims, newest first, so many at a time as fit below the bound.
                let (mut all, mut added) = (before[at].clone(), 0);
                for items in items.chunks(bounds.slack) {
                    all = bounds.trimmed(&all, now);
                    let held = all.len();
                    all.extend(items.iter().copied());
                    added += all.len() - held;
                }
                assert_eq!(done.added as usize, added, "{context}");
                let mut left: Vec<Vec<Model>> =
                    before.iter().map(|model| vec![model.clone()]).collect();
                if !items.is_empty() {
                    left[at] = vec![bounds.trimmed(&all, now)];
                }
                left
            }
            _ => {
                let done = home
                    .purge(&good[at], &posts, &authors[author])
                    .await
                    .unwrap();
                let oldest = before[at].values().min().copied().unwrap_or(u64::MAX);
                let mut left = before[at].clone();
                left.retain(|id, _| cast[author].get(id).is_none_or(|score| *score < oldest));
                assert_eq!(
                    done.removed as usize,
                    before[at].len() - left.len(),
                    "{context}"
                );
                let mut all: Vec<Vec<Model>> =
                    before.iter().map(|model| vec![model.clone()]).collect();
                all[at] = vec![left];
                all
            }
        };
        let after = read_owners(cluster, &home, &good).await;
        for (at, (after, possible)) in after.iter().zip(&possible).enumerate() {
            assert!(
                possible.contains(after),
                "{context}: {} is {after:?}, not one of {possible:?}",
                good[at]
            );
            let bound = bounds.keep.map_or(usize::MAX, |keep| keep + bounds.slack);
            assert!(after.len() <= bound, "{context}: {after:?}");
        }
        before = after;
    }
}

/// What so many pushes of an item may leave.
fn pushes(bounds: &Bounds, model: &Model, item: &Item, now: u64, times: usize) -> Vec<Model> {
    let mut possible = vec![model.clone()];
    for _ in 0..times {
        let mut next = Vec::new();
        for model in possible {
            for mut left in [bounds.trimmed(&model, now), model] {
                left.insert(item.id, item.score);
                next.push(left);
            }
        }
        possible = next;
    }
    possible
}

fn newest(model: &Model, limit: usize, cutoff: u64) -> Vec<(u64, u64)> {
    let items = in_order(model, cutoff).into_iter();
    items.rev().take(limit).collect()
}

/// Ids and scores, as the server has them: by score, then by the text of the id.
fn in_order(model: &Model, cutoff: u64) -> Vec<(u64, u64)> {
    let items = model.iter().map(|(id, score)| (*id, *score));
    let mut items: Vec<(u64, u64)> = items.filter(|(_, score)| *score >= cutoff).collect();
    items.sort_by_key(|(id, score)| (*score, id.to_string()));
    items
}

/// Three handles deliver to the same owners, and connections break all the time. At every moment, no timeline is over the bound.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_holds_for_several_handles_while_connections_break() {
    let mut rng = seeded("the_bound_holds");
    let proxied = Proxied::start(2, "[retry]\nbackoff_max = \"5ms\"\n").await;
    let direct = proxied.fixture.connect_patiently().await;
    let (keep, slack, handles) = (5, 4, 3);
    let everyone = owners(40);
    let stop = Arc::new(AtomicBool::new(false));
    let mut work = Vec::new();
    for handle in 0..handles {
        let protocol = ["resp2", "resp3"][handle % 2];
        let settings = format!("protocol = \"{protocol}\"\n{}", proxied.fixture.settings);
        let config = parse(&cluster_toml(
            &settings,
            proxied.fixture.nodes,
            &proxied.ports(),
        ));
        let cluster = Cluster::connect_config(config).await.unwrap();
        let home = Timeline::new(&cluster, "home")
            .keep(keep)
            .slack(slack)
            .tracked([4, 1000][handle % 2]);
        let (everyone, stop) = (everyone.clone(), stop.clone());
        work.push(tokio::spawn(async move {
            let (mut done, mut failed) = (0, 0);
            for id in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let item = Item::new(id * 10 + handle as u64, NOW + id);
                let report = home.deliver(&item, stream::iter(&everyone)).await.unwrap();
                done += report.done;
                failed += report.failed;
            }
            (done, failed)
        }));
    }
    let mut longest = 0;
    for _ in 0..60 {
        let proxy = rng.choice(&proxied.proxies).unwrap();
        proxy.cut_by(if rng.bool() { Cut::Reset } else { Cut::Fin });
        match rng.u32(..3) {
            0 => proxy.cut_all(),
            1 => proxy.cut_after_bytes_to_server(rng.u64(..9_000)),
            _ => proxy.cut_after_bytes_to_client(rng.u64(..900)),
        }
        let home = Timeline::new(&direct, "home");
        for model in read_owners(&direct, &home, &everyone).await {
            longest = longest.max(model.len());
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut failed = 0;
    let mut done = 0;
    for task in work {
        let counts = task.await.unwrap();
        (done, failed) = (done + counts.0, failed + counts.1);
    }
    assert!(done > 0 && failed > 0, "{done} done, {failed} failed");
    let bound = keep + handles * slack;
    assert!(
        longest > keep && longest <= bound,
        "{longest} items, the bound is {bound}"
    );
    let home = Timeline::new(&direct, "home").keep(keep);
    let report = home.trim(stream::iter(&everyone)).await.unwrap();
    assert!(report.is_complete());
    for model in read_owners(&direct, &home, &everyone).await {
        assert!(model.len() <= keep);
    }
}

#[tokio::test]
async fn a_server_killed_during_a_delivery_fails_its_owners_and_a_repetition_completes() {
    let start = || RedisServer::builder().appendonly().start();
    let mut fixture = TestCluster {
        servers: join_all([start(), start()]).await,
        nodes: 64,
        settings: String::new(),
    };
    let cluster = fixture.connect_patiently().await;
    let home = Timeline::new(&cluster, "home").keep(100);
    let everyone = owners(40_000);
    let before = Item::new(1u64, NOW - 1);
    let report = home
        .deliver(&before, stream::iter(&everyone))
        .await
        .unwrap();
    assert!(report.is_complete(), "{report:?}");
    let item = Item::new(2u64, NOW);
    let mut is_killed = false;
    let report = home
        .deliver(&item, stream::iter(&everyone))
        .failures_max(usize::MAX)
        .on_progress(|progress| {
            if progress.done > 8_000 && !is_killed {
                is_killed = true;
                fixture.servers[0].kill();
            }
        })
        .await
        .unwrap();
    assert_eq!(report.taken, 40_000);
    assert_eq!(report.ending, Ending::AllTaken);
    assert_eq!(report.done + report.failed, report.taken);
    assert_eq!(report.failures.len() as u64, report.failed);
    assert!(report.failed > 5_000, "{} failed", report.failed);
    for failure in &report.failures {
        let error = &failure.error;
        assert_eq!(error.server(), Some("s0"));
        assert_eq!(&*cluster.locate(home.key(failure.owner)).server, "s0");
        let kinds = [
            ErrorKind::NotSent,
            ErrorKind::Unknown,
            ErrorKind::ServerDown,
        ];
        assert!(kinds.contains(&error.kind()), "{error:?}");
        assert!(
            error.to_string().contains(&home.key(failure.owner)),
            "{error}"
        );
    }
    fixture.servers[0].restart().await;
    eventually("the server is back", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    let failed: Vec<&String> = report
        .failures
        .iter()
        .map(|failure| failure.owner)
        .collect();
    let again = home.deliver(&item, stream::iter(failed)).await.unwrap();
    assert!(again.is_complete(), "{again:?}");
    assert_eq!(again.taken, report.failed);
    let expected: Model = [(1, NOW - 1), (2, NOW)].into();
    for (at, model) in read_owners(&cluster, &home, &everyone)
        .await
        .iter()
        .enumerate()
    {
        assert_eq!(*model, expected, "owner {at}");
    }
}

#[tokio::test]
async fn a_delivery_with_one_of_two_servers_gone_ends_in_seconds() {
    let settings = "[timeouts]\nconnect = \"2s\"\nresponse = \"4s\"\ndead = \"6s\"\n";
    for is_silent in [false, true] {
        let mut fixture = TestCluster::start(2).await.settings(settings);
        let cluster = fixture.connect_patiently().await;
        let home = Timeline::new(&cluster, "home").keep(100);
        let everyone = owners(100_000);
        let started = Instant::now();
        let first = Item::new(0u64, NOW);
        let report = home.deliver(&first, stream::iter(&everyone)).await.unwrap();
        assert_eq!(report.done, 100_000);
        let healthy = started.elapsed();
        match is_silent {
            true => fixture.servers[0].stop(),
            false => fixture.servers[0].kill(),
        }
        let started = Instant::now();
        let mut failed = 0;
        let report = home
            .deliver(&Item::new(1u64, NOW), stream::iter(&everyone))
            .on_failure(|_, error| {
                failed += 1;
                assert_eq!(error.server(), Some("s0"));
            })
            .await
            .unwrap();
        let elapsed = started.elapsed();
        // The silence is paid for once, by `timeouts.dead`, and not by each of some 50 pieces.
        assert!(
            elapsed < Duration::from_secs(30) + 4 * healthy,
            "{elapsed:?}, healthy {healthy:?}, silent: {is_silent}"
        );
        assert_eq!(report.taken, 100_000);
        assert_eq!(report.failed, failed);
        assert!(report.failures.is_empty());
        let there = |owner: &&String| &*cluster.locate(home.key(owner)).server == "s1";
        let there = everyone.iter().filter(there).count() as u64;
        assert_eq!((report.done, report.changed), (there, there));
        if is_silent {
            fixture.servers[0].resume();
        }
    }
}

/// An owner that knows how many of its kind there are.
struct Counted {
    name: u64,
    alive: Arc<AtomicUsize>,
}

impl std::fmt::Display for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "user:{}", self.name)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_delivery_holds_few_owners_at_a_time_and_its_progress_only_grows() {
    let fixture = TestCluster::start(2).await.settings(PATIENT);
    let cluster = fixture.connect_patiently().await;
    let home = Timeline::new(&cluster, "home").keep(100);
    let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let lazily = stream::iter(0..200_000_u64).map(|name| {
        let now = alive.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        Counted {
            name,
            alive: alive.clone(),
        }
    });
    let mut last = keyway::timeline::Progress::default();
    let mut calls = 0;
    let report = home
        .deliver(&Item::new(1u64, NOW), lazily)
        .on_progress(|progress| {
            calls += 1;
            assert!(progress.settled >= last.settled && progress.taken >= last.taken);
            assert!(progress.settled <= progress.done + progress.failed);
            assert!(progress.done + progress.failed <= progress.taken);
            assert_eq!(progress.done, last.done + 1000);
            last = progress;
        })
        .await
        .unwrap();
    assert!(report.is_complete());
    assert_eq!(
        (report.taken, report.changed, calls),
        (200_000, 200_000, 200)
    );
    assert_eq!(
        (last.taken, last.settled, last.done),
        (200_000, 200_000, 200_000)
    );
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    let most = most.load(Ordering::SeqCst);
    assert!((2_000..=6_000).contains(&most), "{most} owners at a time");
    let sizes = cluster.query::<u64>(&redis::cmd("DBSIZE")).await.unwrap();
    assert_eq!(sizes, 200_000);
}

#[tokio::test]
async fn a_dropped_delivery_is_resumed_behind_what_was_settled() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let home = Timeline::new(&cluster, "home").keep(10).slack(1);
    let everyone = owners(30_000);
    let item = Item::new(1u64, NOW);
    let settled = AtomicU64::new(0);
    let (reached, enough) = tokio::sync::oneshot::channel();
    let mut reached = Some(reached);
    let delivery = home
        .deliver(&item, stream::iter(&everyone))
        .on_progress(|progress| {
            settled.store(progress.settled, Ordering::SeqCst);
            if progress.settled >= 9_000
                && let Some(reached) = reached.take()
            {
                let _ = reached.send(());
            }
        });
    tokio::select! {
        biased;
        _ = enough => {}
        _ = delivery.into_future() => panic!("it ended before it was dropped"),
    }
    let settled = settled.load(Ordering::SeqCst) as usize;
    assert!((9_000..30_000).contains(&settled), "{settled}");
    let models = read_owners(&cluster, &home, &everyone[..settled]).await;
    assert!(
        models.iter().all(|model| model.len() == 1),
        "the settled ones have it"
    );
    let rest = home
        .deliver(&item, stream::iter(&everyone[settled..]))
        .await
        .unwrap();
    assert!(rest.is_complete());
    assert_eq!(rest.taken as usize, 30_000 - settled);
    assert!(rest.changed <= rest.taken);
    let expected: Model = [(1, NOW)].into();
    let models = read_owners(&cluster, &home, &everyone).await;
    assert!(models.iter().all(|model| *model == expected));
}

#[tokio::test]
async fn a_delivery_stops_when_told_and_says_how_far_it_came() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let home = Timeline::new(&cluster, "home");
    let item = Item::new(1u64, NOW);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let mut stop = Some(stop);
    // Without an end.
    let report = home
        .deliver(&item, stream::iter(0u64..))
        .until(stopped)
        .on_progress(|progress| {
            if progress.done >= 5_000
                && let Some(stop) = stop.take()
            {
                let _ = stop.send(());
            }
        })
        .await
        .unwrap();
    assert_eq!(report.ending, Ending::Stopped);
    assert!(!report.is_complete());
    assert_eq!(report.done, report.taken);
    assert!((5_000..=12_000).contains(&report.taken), "{}", report.taken);
    let sizes = cluster.query::<u64>(&redis::cmd("DBSIZE")).await.unwrap();
    assert_eq!(sizes, report.taken, "nobody behind them has it");
}

#[tokio::test]
async fn too_many_failures_end_a_delivery_and_none_is_lost() {
    let fixture = TestCluster::start(2).await.settings(PATIENT);
    let cluster = fixture.connect_patiently().await;
    let home = Timeline::new(&cluster, "home").keep(10);
    let everyone = owners(50_000);
    let wrong: Vec<&String> = everyone.iter().step_by(2).collect();
    let mut redis = cluster.clone();
    for owners in wrong.chunks(5_000) {
        let mut pipe = redis::pipe();
        for owner in owners {
            pipe.set(home.key(owner), "text").ignore();
        }
        let _: () = pipe.query_async(&mut redis).await.unwrap();
    }
    let item = Item::new(1u64, NOW);
    let report = home
        .deliver(&item, stream::iter(&everyone))
        .failures_max(3_000)
        .await
        .unwrap();
    assert_eq!(report.ending, Ending::TooManyFailures);
    assert_eq!(report.failures.len() as u64, report.failed);
    assert!(
        (3_000..=9_000).contains(&report.failed),
        "{}",
        report.failed
    );
    let taken = report.taken as usize;
    let failed: BTreeSet<&String> = report
        .failures
        .iter()
        .map(|failure| failure.owner)
        .collect();
    let expected: BTreeSet<&String> = everyone[..taken].iter().step_by(2).collect();
    assert_eq!(failed, expected, "exactly those of a wrong type");
    let good: Vec<String> = everyone.iter().skip(1).step_by(2).cloned().collect();
    for (at, model) in read_owners(&cluster, &home, &good).await.iter().enumerate() {
        assert_eq!(model.len(), usize::from(2 * at + 1 < taken), "{}", good[at]);
    }
}

#[tokio::test]
async fn a_slow_stream_is_not_waited_for() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let home = Timeline::new(&cluster, "home");
    let (mut owners, stream) = futures::channel::mpsc::unbounded();
    let delivery = tokio::spawn({
        let home = home.clone();
        async move { home.deliver(&Item::new(1u64, NOW), stream).await.unwrap() }
    });
    for round in 0..5 {
        for owner in 0..7 {
            owners.start_send(round * 7 + owner).unwrap();
        }
        eventually("the owners so far have it", PATIENCE, async || {
            cluster.query::<i64>(&redis::cmd("DBSIZE")).await.unwrap() == (round + 1) * 7
        })
        .await;
    }
    drop(owners);
    let report = delivery.await.unwrap();
    assert!(report.is_complete());
    assert_eq!(report.done, 35);
}

#[tokio::test]
async fn an_author_is_walked_through_ties_and_changes_without_missing_an_item() {
    let mut rng = seeded("an_author_is_walked");
    let protocol = rng.choice(["resp2", "resp3"]).unwrap();
    let fixture = TestCluster::start(2).await.settings(&by(protocol));
    let cluster = fixture.connect_patiently().await;
    let posts = Timeline::new(&cluster, "posts");
    let home = Timeline::new(&cluster, "home");
    let mut redis = cluster.clone();
    // More items of one millisecond than are read at a time; the ids from 10,000 on come and go.
    let score = |id: u64| NOW - if id < 4_000 { 0 } else { id % 7 };
    let ids: Vec<u64> = (0..5_000).map(|id| 20_000 + id).collect();
    for ids in ids.chunks(1000) {
        let items: Vec<(u64, u64)> = ids.iter().map(|id| (score(id - 20_000), *id)).collect();
        let _: u64 = redis::AsyncCommands::zadd_multiple(&mut redis, posts.key("author"), &items)
            .await
            .unwrap();
    }
    for round in 0..6 {
        let stop = AtomicBool::new(false);
        // Ahead of the others of their millisecond, and taken away while these are walked through.
        let key = posts.key("author");
        let mut doomed: Vec<u64> = (30_000..36_000).collect();
        for ids in doomed.chunks(1000) {
            let items: Vec<(u64, u64)> = ids.iter().map(|id| (NOW, *id)).collect();
            let _: u64 = redis::AsyncCommands::zadd_multiple(&mut redis, &key, &items)
                .await
                .unwrap();
        }
        let changes = async {
            while !stop.load(Ordering::Relaxed) {
                let mut pipe = redis::pipe();
                for id in doomed.drain(..doomed.len().min(700)) {
                    pipe.zrem(&key, id).ignore();
                }
                for _ in 0..20 {
                    let id = 10_000 + rng.u64(..60_000);
                    if (20_000..25_000).contains(&id) {
                        continue;
                    }
                    if rng.bool() {
                        pipe.zadd(&key, id, NOW - rng.u64(..3)).ignore();
                    } else {
                        pipe.zrem(&key, id).ignore();
                    }
                }
                let mut redis = cluster.clone();
                let _: () = pipe.query_async(&mut redis).await.unwrap();
            }
        };
        let walk = async {
            if round % 2 == 0 {
                let done = home
                    .backfill("owner", &posts, "author")
                    .limit(1_000_000)
                    .await
                    .unwrap();
                assert!(done.read >= 5_000 && done.added >= 5_000, "{done:?}");
            } else {
                let done = home.purge("owner", &posts, "author").await.unwrap();
                assert!(done.read >= 5_000 && done.removed >= 5_000, "{done:?}");
            }
            stop.store(true, Ordering::Relaxed);
        };
        futures::future::join(changes, walk).await;
        let held = read(&cluster, &[home.key("owner")]).await.remove(0);
        let there = ids.iter().filter(|id| held.contains_key(id)).count();
        assert_eq!(there, if round % 2 == 0 { 5_000 } else { 0 });
    }
    let _: u64 = redis::AsyncCommands::del(&mut redis, home.key("owner"))
        .await
        .unwrap();
    let kept = Timeline::new(&cluster, "home").keep(50).slack(3);
    let done = kept
        .backfill("owner", &posts, "author")
        .limit(4_000)
        .await
        .unwrap();
    assert_eq!(done.read, 4_000);
    let held = read(&cluster, &[home.key("owner")]).await.remove(0);
    let author = read(&cluster, &[posts.key("author")]).await.remove(0);
    let expected: Model = newest(&author, 50, 0).into_iter().collect();
    assert_eq!(held, expected);
}

#[tokio::test]
async fn what_cannot_be_a_timeline_is_refused_before_anything_is_sent() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let item = Item::new(1u64, NOW);
    let none = || stream::iter(["user:1"]);
    for (timeline, says) in [
        (Timeline::new(&cluster, ""), "empty name"),
        (Timeline::new(&cluster, "keyway"), "keyway's own"),
        (Timeline::new(&cluster, "keyway:home"), "keyway's own"),
        (Timeline::new(&cluster, "home").keep(0), "keep(0)"),
        (Timeline::new(&cluster, "home").slack(0), "from 1 to 4096"),
        (
            Timeline::new(&cluster, "home").slack(4097),
            "from 1 to 4096",
        ),
        (Timeline::new(&cluster, "home").sequence_bits(13), "0 to 12"),
    ] {
        let errors = [
            timeline.push("user:1", &item).await.unwrap_err(),
            timeline.deliver(&item, none()).await.unwrap_err(),
            timeline.retract(1u64, none()).await.unwrap_err(),
            timeline
                .clone()
                .keep(timeline_keep(says))
                .trim(none())
                .await
                .unwrap_err(),
            timeline
                .backfill("user:1", &timeline, "a")
                .await
                .unwrap_err(),
            timeline.purge("user:1", &timeline, "a").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(says), "{error}");
        }
    }
    let home = Timeline::new(&cluster, "home")
        .max_age(Duration::from_millis(5))
        .clock(|| NOW);
    let late = home
        .push("user:1", &Item::new(1u64, NOW - 6))
        .await
        .unwrap_err();
    insta::assert_snapshot!(late, @"item 1 is older than max_age: its score is 1749999999994, and what is below 1749999999995 is trimmed; scores are milliseconds since 1970");
    home.push("user:1", &Item::new(1u64, NOW - 5))
        .await
        .unwrap();
    let huge = home
        .push("user:1", &Item::new(1u64, 1 << 53))
        .await
        .unwrap_err();
    assert_eq!(huge.kind(), ErrorKind::Invalid);
    let unbounded = Timeline::new(&cluster, "home")
        .trim(none())
        .await
        .unwrap_err();
    insta::assert_snapshot!(unbounded, @"nothing says to what to trim: give the timelines keep(items) or max_age(age)");

    let in_turn =
        cluster_toml("", 1, &fixture.ports()).replace("\"ketama\"", "\"nydus-round-robin\"");
    let in_turn = Cluster::connect_config(parse(&in_turn)).await.unwrap();
    let refused = Timeline::new(&in_turn, "home")
        .push("user:1", &item)
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    insta::assert_snapshot!(refused, @"by nydus-round-robin a key may be on any server, so no timeline is whole anywhere; timelines need a placement that gives keys a home");
    let sizes = cluster.query::<u64>(&redis::cmd("DBSIZE")).await.unwrap();
    assert_eq!(sizes, 1, "only what was pushed");
}

#[tokio::test]
async fn a_push_whose_trim_is_refused_fails_and_stays_due_for_the_next() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let home = Timeline::new(&cluster, "home").keep(2).slack(3);
    let mut direct = fixture.servers[0].connection().await;
    let mut acl = async |rule: &str| {
        let mut cmd = redis::cmd("ACL");
        cmd.arg("SETUSER").arg("default").arg(rule);
        let _: () = cmd.query_async(&mut direct).await.unwrap();
    };
    acl("-zremrangebyrank").await;
    let owner = owners(1);
    for id in 0..6_u64 {
        let error = home
            .push(&owner[0], &Item::new(id, NOW + id))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server);
        let text = error.to_string();
        assert!(
            text.contains("NOPERM") && text.contains("home:user:0"),
            "{text}"
        );
        let held = read_owners(&cluster, &home, &owner).await.remove(0);
        assert_eq!(held.len() as u64, id + 1, "the item itself is there");
    }
    acl("+zremrangebyrank").await;
    for (id, held) in [(6_u64, 3), (7, 4), (8, 5), (9, 3)] {
        assert!(
            home.push(&owner[0], &Item::new(id, NOW + id))
                .await
                .unwrap()
        );
        let found = read_owners(&cluster, &home, &owner).await.remove(0);
        assert_eq!(found.len(), held, "after item {id}");
    }
}

/// A trim needs a bound to be asked for at all.
fn timeline_keep(says: &str) -> usize {
    if says == "keep(0)" { 0 } else { 1 }
}

#[tokio::test]
async fn what_is_too_old_is_gone_after_as_many_pushes_as_the_slack_is() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let clock = Arc::new(AtomicU64::new(NOW));
    let now = clock.clone();
    let home = Timeline::new(&cluster, "home")
        .max_age(Duration::from_millis(5))
        .slack(4)
        .clock(move || now.load(Ordering::SeqCst));
    let owner = owners(1);
    // One push a millisecond, and its item.
    let mut longest = 0;
    for id in 0..60_u64 {
        let now = clock.fetch_add(1, Ordering::SeqCst) + 1;
        home.push(&owner[0], &Item::new(id, now)).await.unwrap();
        let held = read_owners(&cluster, &home, &owner).await.remove(0);
        let oldest = held.values().min().unwrap();
        let late = (now - 5).saturating_sub(*oldest);
        assert!(late < 4, "{late} pushes after it became too old");
        longest = longest.max(late);
    }
    assert_eq!(longest, 3, "not trimmed with every push");
}

#[tokio::test]
async fn ids_that_no_page_could_show_are_refused_and_the_longest_is_shown() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let home = Timeline::of_strings(&cluster, "home");
    let longest = "é".repeat(keyway::timeline::ID_BYTES_MAX / 2);
    for id in [String::new(), format!("{longest}x")] {
        let item = Item::new(id, NOW);
        let errors = [
            home.push("user:1", &item).await.unwrap_err(),
            home.deliver(&item, stream::iter(["user:1"]))
                .await
                .unwrap_err(),
            PublicTimeline::from(home.clone())
                .push(&item)
                .await
                .unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        }
    }
    for score in 1..4 {
        let id = longest.replacen('é', &score.to_string(), 1);
        home.push("user:1", &Item::new(id, score)).await.unwrap();
    }
    home.push("user:1", &Item::new(longest.clone(), NOW))
        .await
        .unwrap();
    let mut page = home.page("user:1").limit(1).await.unwrap();
    assert_eq!(page.items, [Item::new(longest, NOW)]);
    let mut seen = 1;
    while let Some(next) = &page.next {
        let next = next.to_string().parse().unwrap();
        page = home.page("user:1").limit(1).from(&next).await.unwrap();
        seen += page.items.len();
    }
    assert_eq!(seen, 4);
    // Another program's: an error for whoever reads it, and it can be taken out.
    let mut redis = cluster.clone();
    for member in [String::new(), "x".repeat(1_025)] {
        let key = home.key("user:2");
        let _: u64 = redis::AsyncCommands::zadd(&mut redis, &key, &member, 1)
            .await
            .unwrap();
        let errors = [
            home.page("user:2").await.unwrap_err(),
            home.backfill("user:3", &home, "user:2").await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::UnexpectedReply);
            assert!(error.to_string().contains(&key), "{error}");
        }
        let report = home
            .retract(member, stream::iter(["user:2"]))
            .await
            .unwrap();
        assert_eq!(report.changed, 1);
    }
    assert!(home.page("user:2").await.unwrap().items.is_empty());
}

#[tokio::test]
async fn timelines_of_strings_are_pushed_and_retracted() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let home = Timeline::of_strings(&cluster, "home").keep(2).slack(1);
    for (id, score) in [("a", 1), ("b", 2), ("c", 3), ("é", 4)] {
        assert!(home.push("user:1", &Item::new(id, score)).await.unwrap());
    }
    assert!(!home.push("user:1", &Item::new("é", 5)).await.unwrap());
    let report = home
        .retract("c", stream::iter(["user:1", "user:2"]))
        .await
        .unwrap();
    assert_eq!((report.done, report.changed), (2, 1));
    let report = home.trim(stream::iter(["user:1", "user:2"])).await.unwrap();
    assert!(report.is_complete());
    let mut redis = cluster.clone();
    let held: Vec<String> = redis::AsyncCommands::zrange(&mut redis, "home:user:1", 0, -1)
        .await
        .unwrap();
    assert_eq!(
        held,
        ["é"].map(str::to_owned),
        "b was trimmed before c went"
    );
}
