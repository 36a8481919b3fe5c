//! Timelines, read: pages, cursors, merged reads, public timelines, capacity; against a model, under change and failure.

use crate::fixture::{PATIENT, RedisServer, TestCluster, cluster_toml, eventually, parse, seeded};
use futures::future::join_all;
use futures::stream;
use keyway::timeline::{CursorKeys, Id, Item, Page, PageRequest};
use keyway::{Cluster, Cursor, ErrorKind, Hybrid, PublicTimeline, Timeline};
use redis::{AsyncCommands, cmd};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// One timeline, in its order: by score, then by the bytes of the id.
type Model = BTreeSet<(u64, String)>;

fn shown<I: Id>(page: &Page<I>) -> Vec<(u64, String)> {
    let member = |item: &Item<I>| (item.score, String::from_utf8(item.id.to_member()).unwrap());
    page.items.iter().map(member).collect()
}

fn newest<'m>(of: impl IntoIterator<Item = &'m Model>) -> Vec<(u64, String)> {
    let all: Model = of.into_iter().flatten().cloned().collect();
    all.into_iter().rev().collect()
}

async fn add(cluster: &Cluster, key: &str, score: impl redis::ToRedisArgs, member: &str) {
    let _: u64 = cluster
        .query(cmd("ZADD").arg(key).arg(score).arg(member))
        .await
        .unwrap();
}

/// Commands sent so far, to all servers.
fn sent(cluster: &Cluster) -> u64 {
    cluster
        .stats()
        .servers
        .iter()
        .map(|server| server.calls)
        .sum()
}

/// Random operations, read back after each in every way, and walks through all pages in between.
struct World {
    cluster: Cluster,
    posts: Timeline,
    owners: Vec<String>,
    models: BTreeMap<String, Model>,
    random: fastrand::Rng,
    scores: u64,
}

impl World {
    fn new(cluster: Cluster, name: &str, seed: u64) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let keys = CursorKeys::new("a key that nobody can guess").unwrap();
        let posts = Timeline::new(&cluster, name);
        World {
            posts: if random.bool() {
                posts.sign_cursors(&keys)
            } else {
                posts
            },
            cluster,
            owners: (0..12).map(|owner| format!("o{owner}")).collect(),
            models: BTreeMap::new(),
            // Few scores are many ties.
            scores: [1, 3, 50][random.usize(..3)],
            random,
        }
    }

    fn owner(&mut self) -> String {
        let owners = self.owners.len();
        // The last few owners stay without a timeline.
        self.owners[self.random.usize(..owners - 2)].clone()
    }

    /// Adds or takes out an item; what it was, if it is there no more.
    async fn change(&mut self) -> Option<(String, (u64, String))> {
        let owner = self.owner();
        // The same ids everywhere, so that timelines have items in common.
        let (id, score) = (self.random.u64(..200), self.random.u64(..self.scores));
        let key = self.posts.key(&owner);
        let model = self.models.entry(owner.clone()).or_default();
        let before = model
            .iter()
            .find(|(_, member)| *member == id.to_string())
            .cloned();
        if let Some(before) = &before {
            model.remove(before);
        }
        if self.random.u32(..10) < 7 {
            model.insert((score, id.to_string()));
            add(&self.cluster, &key, score, &id.to_string()).await;
            if before == Some((score, id.to_string())) {
                return None;
            }
        } else {
            let _: u64 = self
                .cluster
                .query(cmd("ZREM").arg(&key).arg(id))
                .await
                .unwrap();
        }
        before.map(|before| (owner, before))
    }

    fn some_owners(&mut self) -> Vec<String> {
        let count = self.random.usize(..30);
        (0..count)
            .map(|_| self.owners[self.random.usize(..self.owners.len())].clone())
            .collect()
    }

    fn expected(&self, owners: &[String]) -> Vec<(u64, String)> {
        newest(owners.iter().filter_map(|owner| self.models.get(owner)))
    }

    fn request(&self, owners: &[String]) -> PageRequest {
        match owners {
            [owner] => self.posts.page(owner),
            owners => self.posts.merged(owners),
        }
    }

    /// All pages at rest, there and back.
    async fn compare(&mut self) {
        let owners = match self.random.bool() {
            true => vec![self.owner()],
            false => self.some_owners(),
        };
        let limit = self.random.usize(1..20);
        let all = self.expected(&owners);
        let mut page = self.request(&owners).limit(limit).await.unwrap();
        let mut at = 0;
        loop {
            let end = (at + limit).min(all.len());
            assert_eq!(shown(&page), all[at..end], "{owners:?} from {at}");
            assert_eq!(page.next.is_some(), end < all.len());
            assert_eq!(page.has_more, end < all.len());
            let back = self
                .request(&owners)
                .limit(limit)
                .from(&page.previous)
                .await
                .unwrap();
            let before = at.saturating_sub(limit);
            if !page.items.is_empty() {
                assert_eq!(shown(&back), all[before..at], "{owners:?} back from {at}");
                assert_eq!(back.has_more, before > 0);
                let again = self
                    .request(&owners)
                    .limit(limit)
                    .from(back.next.as_ref().unwrap())
                    .await
                    .unwrap();
                assert_eq!(
                    shown(&again),
                    shown(&page),
                    "{owners:?} back and forth at {at}"
                );
            }
            at = end;
            let Some(next) = &page.next else { break };
            let text: Cursor = next.to_string().parse().unwrap();
            page = self
                .request(&owners)
                .limit(limit)
                .from(&text)
                .await
                .unwrap();
            assert!(
                owners.len() == 1 || page.cost.round_trips <= 2 || self.scores < 50,
                "{:?}",
                page.cost
            );
        }
        assert_eq!(at, all.len());
    }

    /// All pages, while items come and go between them: what is there throughout is seen, and nothing is seen twice.
    async fn walk(&mut self) {
        let owners = match self.random.bool() {
            true => vec![self.owner()],
            false => self.some_owners(),
        };
        let limit = self.random.usize(1..15);
        let is_back = self.random.bool();
        let mut throughout: BTreeSet<(String, (u64, String))> = BTreeSet::new();
        for owner in &owners {
            let model = self.models.get(owner).into_iter().flatten();
            throughout.extend(model.map(|item| (owner.clone(), item.clone())));
        }
        let mut seen = Vec::new();
        let mut page = self.request(&owners).limit(limit).await.unwrap();
        if is_back {
            // From the end, which is found by going there.
            while let Some(next) = &page.next {
                page = self.request(&owners).limit(limit).from(next).await.unwrap();
            }
            seen.extend(shown(&page));
        }
        loop {
            if !is_back {
                seen.extend(shown(&page));
            }
            for _ in 0..self.random.usize(..4) {
                if let Some(gone) = self.change().await {
                    throughout.remove(&gone);
                }
            }
            let cursor = match is_back {
                true => Some(&page.previous),
                false => page.next.as_ref(),
            };
            let Some(cursor) = cursor else { break };
            page = self
                .request(&owners)
                .limit(limit)
                .from(cursor)
                .await
                .unwrap();
            if is_back {
                seen.extend(shown(&page));
                if !page.has_more {
                    break;
                }
            }
        }
        let unique: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(
            seen.len(),
            unique.len(),
            "an item was shown twice: {seen:?}"
        );
        for (owner, item) in throughout {
            assert!(
                unique.contains(&item),
                "{item:?} of {owner} was missed, back: {is_back}"
            );
        }
    }
}

#[tokio::test]
async fn pages_are_what_the_model_says_on_any_topology_also_while_items_come_and_go() {
    let fixture = TestCluster::with_nodes(5, 128).await;
    let ports = fixture.ports();
    let seed = seeded("pages_are_what_the_model_says").u64(..);
    let topologies = [
        (1, 1),
        (1, 64),
        (2, 2),
        (2, 7),
        (2, 128),
        (5, 5),
        (5, 64),
        (5, 128),
    ];
    join_all(
        topologies
            .into_iter()
            .enumerate()
            .map(|(at, (servers, nodes))| {
                let protocol = ["resp2", "resp3"][at % 2];
                let settings = format!("protocol = \"{protocol}\"\n{PATIENT}");
                let config = parse(&cluster_toml(&settings, nodes, &ports[..servers]));
                async move {
                    let cluster = Cluster::connect_config(config).await.unwrap();
                    let mut world =
                        World::new(cluster, &format!("t{at}"), seed.wrapping_add(at as u64));
                    for _ in 0..12 {
                        for _ in 0..40 {
                            world.change().await;
                        }
                        world.compare().await;
                        world.walk().await;
                    }
                }
            }),
    )
    .await;
}

#[tokio::test]
async fn a_reader_beside_a_writer_misses_nothing_that_stays_and_sees_nothing_twice() {
    let fixture = TestCluster::with_nodes(2, 16).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    let posts = Timeline::new(&cluster, "posts");
    let authors: Vec<u64> = (0..20).collect();
    // What stays has even ids, what comes and goes odd ones; many share a score.
    let mut stays = BTreeSet::new();
    let mut load = redis::pipe();
    for id in (0..4_000u64).step_by(2) {
        load.zadd(posts.key(id / 2 % 20), id, id / 100).ignore();
        stays.insert((id / 100, id.to_string()));
    }
    let _: () = load.query_async(&mut cluster.clone()).await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let changes = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn({
        let (cluster, posts, done, changes) = (
            cluster.clone(),
            posts.clone(),
            done.clone(),
            changes.clone(),
        );
        async move {
            let random = fastrand::Rng::new;
            let mut random = random();
            while !done.load(Ordering::Relaxed) {
                let mut batch = redis::pipe();
                for _ in 0..20 {
                    let id = random.u64(..2_000) * 2 + 1;
                    let key = posts.key(random.u64(..20));
                    if random.bool() {
                        batch.zadd(key, id, random.u64(..40)).ignore();
                    } else {
                        batch.zrem(key, id).ignore();
                    }
                }
                let _: () = batch.query_async(&mut cluster.clone()).await.unwrap();
                changes.fetch_add(20, Ordering::Relaxed);
            }
        }
    });
    eventually("the writer writes", PATIENCE, async || {
        changes.load(Ordering::Relaxed) > 0
    })
    .await;
    for limit in [7, 50, 333] {
        let before = changes.load(Ordering::Relaxed);
        let mut seen = Vec::new();
        let mut page = posts.merged(&authors).limit(limit).await.unwrap();
        loop {
            seen.extend(shown(&page));
            let Some(next) = &page.next else { break };
            page = posts
                .merged(&authors)
                .limit(limit)
                .from(next)
                .await
                .unwrap();
        }
        let unique: BTreeSet<_> = seen.iter().cloned().collect();
        let again: Vec<_> = seen.windows(2).filter(|pair| pair[0] <= pair[1]).collect();
        assert!(again.is_empty() && unique.len() == seen.len(), "{again:?}");
        assert!(
            unique.is_superset(&stays),
            "missed {:?}",
            stays.difference(&unique).next()
        );

        // And back, by polling from the end on.
        let mut back = shown(&page);
        loop {
            page = posts
                .merged(&authors)
                .limit(limit)
                .from(&page.previous)
                .await
                .unwrap();
            let mut items = shown(&page);
            items.append(&mut back);
            back = items;
            if !page.has_more {
                break;
            }
        }
        let unique: BTreeSet<_> = back.iter().cloned().collect();
        assert_eq!(unique.len(), back.len());
        assert!(
            unique.is_superset(&stays),
            "missed {:?}",
            stays.difference(&unique).next()
        );
        assert!(
            changes.load(Ordering::Relaxed) > before,
            "nothing was written meanwhile"
        );
    }
    done.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_timeline_is_polled_for_what_is_new_also_from_an_empty_one() {
    let fixture = TestCluster::start(2).await;
    let home = Timeline::new(&fixture.connect().await, "home");
    let empty = home.page(1).await.unwrap();
    assert!(empty.items.is_empty() && empty.next.is_none() && !empty.has_more);
    let mut page = home.page(1).from(&empty.previous).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
    for id in 1..=5u64 {
        home.push(1, &Item::new(id, 100)).await.unwrap();
        page = home.page(1).from(&page.previous).await.unwrap();
        assert_eq!(page.items, [Item::new(id, 100)]);
        let nothing = home.page(1).from(&page.previous).await.unwrap();
        assert!(nothing.items.is_empty() && !nothing.has_more);
        // Between what is there and what may come: the older ones begin with the newest.
        let older = home
            .page(1)
            .limit(1)
            .from(nothing.next.as_ref().unwrap())
            .await
            .unwrap();
        assert_eq!(older.items, [Item::new(id, 100)]);
        page = nothing;
    }
}

#[tokio::test]
async fn what_is_too_old_is_hidden_exactly_whether_it_was_trimmed_or_not() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let now = Arc::new(AtomicU64::new(10_000));
    let clock = |now: &Arc<AtomicU64>| {
        let now = now.clone();
        move || now.load(Ordering::Relaxed)
    };
    let home = Timeline::new(&cluster, "home")
        .max_age(Duration::from_millis(1_000))
        .clock(clock(&now));
    let all = Timeline::new(&cluster, "home");
    for at in (0..=10_000u64).step_by(100) {
        add(&cluster, &home.key(1), at, &at.to_string()).await;
    }
    let ids = |page: Page| {
        page.items
            .into_iter()
            .map(|item| item.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids(home.page(1).await.unwrap()),
        (90..=100).rev().map(|at| at * 100).collect::<Vec<_>>()
    );
    assert_eq!(all.page(1).limit(200).await.unwrap().items.len(), 101);
    let oldest = home.page(1).limit(10).await.unwrap();
    let cursor = oldest.next.unwrap();
    assert_eq!(
        ids(home.page(1).from(&cursor).await.unwrap()),
        [9_000],
        "of exactly that age: shown"
    );
    now.store(10_001, Ordering::Relaxed);
    let page = home.page(1).from(&cursor).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
    assert_eq!(
        ids(home.page(1).limit(2).from(&page.previous).await.unwrap()),
        [9_200, 9_100]
    );
    now.store(30_000, Ordering::Relaxed);
    let page = home.page(1).await.unwrap();
    assert!(page.items.is_empty());
    // A cursor that has become older than anything shown costs nothing, and goes on from the bound.
    let sent_before = sent(&cluster);
    assert!(home.page(1).from(&cursor).await.unwrap().items.is_empty());
    assert_eq!(sent(&cluster), sent_before);
    add(&cluster, &home.key(1), 29_500, "29500").await;
    assert_eq!(
        ids(home.page(1).from(&page.previous).await.unwrap()),
        [29_500]
    );

    // Each timeline of a page by its own bound.
    let posts = Timeline::new(&cluster, "posts");
    add(&cluster, &posts.key(2), 3, "3").await;
    assert_eq!(
        ids(home.page(1).with(&posts, [2]).await.unwrap()),
        [29_500, 3]
    );
    let fine = Timeline::new(&cluster, "fine")
        .max_age(Duration::from_millis(10))
        .sequence_bits(4)
        .clock(clock(&now));
    for score in [29_990 * 16 - 1, 29_990 * 16, 30_000 * 16 + 15] {
        add(&cluster, &fine.key(1), score, &score.to_string()).await;
    }
    assert_eq!(ids(fine.page(1).await.unwrap()), [480_015, 479_840]);
    // What is not shown is not copied either, whatever the other timeline shows.
    let copied = all.backfill(2, &fine, 1).await.unwrap();
    assert_eq!((copied.read, copied.added), (2, 2));
}

#[tokio::test]
async fn a_cursor_that_is_not_for_this_is_refused_with_nothing_sent() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let keys = CursorKeys::new("a key that nobody can guess").unwrap();
    let plain = Timeline::new(&cluster, "home");
    let home = plain.clone().sign_cursors(&keys);
    for id in 0..9u64 {
        plain.push(1, &Item::new(id, id)).await.unwrap();
        plain.push(2, &Item::new(id, id)).await.unwrap();
    }
    let unsigned = plain.page(1).limit(3).await.unwrap().next.unwrap();
    let page = home.page(1).limit(3).await.unwrap();
    let signed = page.next.unwrap();
    let merged = home.merged([1, 2]).limit(3).await.unwrap().next.unwrap();
    let bound = home
        .merged([1, 2])
        .bound_to("reader 7")
        .limit(3)
        .await
        .unwrap()
        .next
        .unwrap();
    let posts = Timeline::new(&cluster, "posts").sign_cursors(&keys);
    let other_key = CursorKeys::new("another key that nobody knows").unwrap();
    let before = sent(&cluster);
    for (what, request) in [
        ("another owner", home.page(2).from(&signed)),
        ("another owner, polled", home.page(2).from(&page.previous)),
        ("another name", posts.page(1).from(&signed)),
        ("another reading", home.merged([1]).from(&signed)),
        ("another reading", home.page(1).from(&merged)),
        ("not signed", home.page(1).from(&unsigned)),
        ("not for those without keys", plain.page(1).from(&signed)),
        ("another owner, not signed", plain.page(2).from(&unsigned)),
        (
            "another reader",
            home.merged([1, 2]).bound_to("reader 8").from(&bound),
        ),
        ("any reader", home.merged([1, 2]).from(&bound)),
        (
            "another key",
            plain.clone().sign_cursors(&other_key).page(1).from(&signed),
        ),
    ] {
        let error = request.await.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
    }
    assert_eq!(sent(&cluster), before);
    // And what they are for goes on, with others merged in as well.
    let id_of = |page: Page| page.items[0].id;
    assert_eq!(id_of(home.page(1).from(&signed).await.unwrap()), 5);
    assert_eq!(
        id_of(home.page(1).with(&posts, [1]).from(&signed).await.unwrap()),
        5
    );
    assert_eq!(id_of(home.merged([2]).from(&merged).await.unwrap()), 5);
    assert_eq!(
        id_of(
            home.merged([1])
                .bound_to("reader 7")
                .from(&bound)
                .await
                .unwrap()
        ),
        5
    );
    let rotated = other_key.accept("a key that nobody can guess").unwrap();
    assert_eq!(
        id_of(
            plain
                .sign_cursors(&rotated)
                .page(1)
                .from(&signed)
                .await
                .unwrap()
        ),
        5
    );
}

#[tokio::test]
async fn what_cannot_be_a_page_is_refused_with_nothing_sent() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect().await;
    let other = fixture.connect().await;
    let home = Timeline::new(&cluster, "home");
    let tagged = PublicTimeline::new(&cluster, "{public}");
    let in_turn = parse(
        &cluster_toml("", 4, &fixture.ports()).replace("\"ketama\"", "\"nydus-round-robin\""),
    );
    let in_turn = Cluster::connect_config(in_turn).await.unwrap();
    let mut said = Vec::new();
    for request in [
        home.page(1).limit(0),
        home.page(1).limit(10_001),
        home.merged([1, 2]).limit(1_001),
        home.merged(0..16_385),
        home.page(1).with(&Timeline::new(&other, "posts"), [1]),
        home.clone()
            .sequence_bits(13)
            .max_age(Duration::from_secs(1))
            .page(1),
        Timeline::new(&cluster, "").page(1),
        tagged.page(),
        PublicTimeline::new(&in_turn, "public").page(),
        Timeline::new(&in_turn, "home").page(1),
    ] {
        said.push(request.await.unwrap_err().to_string());
    }
    assert_eq!((sent(&cluster), sent(&in_turn)), (0, 0));
    insta::assert_snapshot!(said.join("\n"), @r#"
a page of 0 items says nothing, not even whether there are any: ask for at least 1
a page of 10001 items is too large, 10000 is the most: all of it is one reply, for which others wait. Read on from `next` instead
a page of 1001 items over 2 timelines is too large, 1000 is the most: many times as many entries are read for it. Read on from `next` instead
these are more than 16384 timelines for one page: deliver to a timeline of the reader's own in place of merging so many
the timelines "posts" are on another cluster than those that they are to be merged with
sequence_bits is 13; it is from 0 to 12
the timelines have an empty name: their keys are `name:owner`, so say Timeline::new(&cluster, "home")
the public timeline is named "{public}", which has a hash tag: all its parts would be on one node. Take a name without one
by nydus-round-robin a key may be on any server, so no timeline is whole anywhere; timelines need a placement that gives keys a home
by nydus-round-robin a key may be on any server, so no timeline is whole anywhere; timelines need a placement that gives keys a home
"#);
    assert!(home.page(1).limit(10_000).await.is_ok());
    // Named twice is there once, and one timeline may have a large page.
    assert!(home.merged([1, 1]).limit(10_000).await.is_ok());
    let nobody = home.merged([0u64; 0]).await.unwrap();
    assert!(nobody.items.is_empty() && nobody.next.is_none() && nobody.cost.round_trips == 0);
    assert!(home.clone().max_age(Duration::MAX).page(1).await.is_ok());
}

#[tokio::test]
async fn what_no_timeline_has_written_is_an_error_that_names_the_key() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let home = Timeline::new(&cluster, "home");
    let _: () = cluster.clone().set("home:list", "text").await.unwrap();
    for (owner, score, member) in [
        ("word", "1", "x"),
        ("zeros", "1", "007"),
        ("half", "1.5", "1"),
        ("large", "9007199254740992", "1"),
        ("minus", "-1", "1"),
        ("endless", "+inf", "1"),
    ] {
        add(&cluster, &home.key(owner), score, member).await;
    }
    add(&cluster, &home.key("well"), 5, "5").await;
    for owner in ["list", "word", "zeros", "half", "large", "minus", "endless"] {
        let key = format!("\"home:{owner}\"");
        let of_one = home.page(owner).await.unwrap_err();
        let merged = home.merged(["well", owner]).await.unwrap_err();
        let again = home.page(owner).partial().await.unwrap_err();
        for error in [of_one, merged, again] {
            let kind = if owner == "list" {
                ErrorKind::Server
            } else {
                ErrorKind::UnexpectedReply
            };
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(&key), "{error}");
            assert_eq!(
                owner == "list",
                error.to_string().contains("WRONGTYPE"),
                "{error}"
            );
        }
        let page = home.merged(["well", owner]).partial().await.unwrap();
        assert_eq!(page.items, [Item::new(5u64, 5)]);
        assert_eq!(page.failed[0].key, home.key(owner));
        assert!(
            page.has_gaps && page.next.is_some(),
            "what has failed may have older ones"
        );
    }
    let words = Timeline::of_strings(&cluster, "home");
    assert_eq!(words.page("word").await.unwrap().items, [Item::new("x", 1)]);
    let all = home.merged(["list", "word"]).partial().await.unwrap_err();
    assert!(all.to_string().contains("home:list"), "{all}");
}

#[tokio::test]
async fn a_page_without_a_dead_servers_timelines_says_so_and_so_do_the_pages_after_it() {
    let mut fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let keys = CursorKeys::new("a key that nobody can guess").unwrap();
    let posts = Timeline::new(&cluster, "posts").sign_cursors(&keys);
    for author in 0..20u64 {
        for post in 0..5u64 {
            posts
                .push(author, &Item::new(author * 5 + post, post * 20 + author))
                .await
                .unwrap();
        }
    }
    let is_dead = |author: &u64| &*cluster.locate(posts.key(author)).server == "s1";
    let (dead, alive): (Vec<u64>, Vec<u64>) = (0..20).partition(is_dead);
    assert!(!dead.is_empty() && !alive.is_empty());
    let whole = posts.merged(0..20).limit(10).await.unwrap();
    fixture.servers[1].kill();

    eventually("the server is known to be down", PATIENCE, async || {
        !cluster.health().servers[1].is_up
    })
    .await;
    let error = posts.merged(0..20).limit(10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
    assert!(error.to_string().contains("\"posts:"), "{error}");
    let none = posts.merged(&dead).partial().await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::ServerDown);

    let page = posts.merged(0..20).limit(10).partial().await.unwrap();
    let of_alive = posts.merged(&alive).limit(10).await.unwrap();
    assert_eq!(page.items, of_alive.items);
    let failed: Vec<&str> = page
        .failed
        .iter()
        .map(|failed| failed.key.as_str())
        .collect();
    let expected: Vec<String> = dead.iter().map(|author| posts.key(author)).collect();
    assert_eq!(failed, expected);
    assert!(page.failed.iter().all(|failed| failed.error.is_retryable()));
    assert!(page.has_gaps && page.has_more);
    // At the end of what could be read there may be more, and an empty page loses nothing.
    let mut last = page.clone();
    while !last.items.is_empty() {
        let next = last.next.as_ref().expect("there may be older ones");
        last = posts
            .merged(0..20)
            .limit(10)
            .partial()
            .from(next)
            .await
            .unwrap();
    }
    assert!(last.has_more && last.next.is_some());
    // An empty page loses nothing.
    let without_items = |server: &str| {
        (100_000_u64..)
            .find(|author| &*cluster.locate(posts.key(author)).server == server)
            .unwrap()
    };
    let authors = [without_items("s0"), without_items("s1")];
    let silent = posts.merged(authors).partial().await.unwrap();
    assert!(silent.items.is_empty());
    assert_eq!(silent.failed.len(), 1);
    assert_eq!(silent.failed[0].key, posts.key(authors[1]));
    assert!(!silent.has_gaps);

    fixture.servers[1].restart().await;
    eventually("the server is back", PATIENCE, async || {
        cluster.health().servers[1].is_up
    })
    .await;
    let text = page.next.unwrap().to_string();
    let next = posts
        .merged(0..20)
        .limit(10)
        .from(&text.parse().unwrap())
        .await
        .unwrap();
    assert!(
        next.failed.is_empty() && next.has_gaps,
        "the way here has gaps"
    );
    let back = posts
        .merged(0..20)
        .limit(10)
        .from(&next.previous)
        .await
        .unwrap();
    assert!(back.has_gaps);
    // Its cursors say it for as long as one goes on by them; who begins anew begins without.
    let anew = posts.merged(0..20).limit(10).await.unwrap();
    assert!(!anew.has_gaps && !whole.has_gaps);
}

/// A cache would answer that a dead server's timeline is empty, and `next` would say that this is all there is.
#[tokio::test]
async fn in_cache_mode_a_dead_servers_timeline_is_an_error_and_never_empty() {
    let mut fixture = TestCluster::start(2).await.settings("mode = \"cache\"\n");
    let cluster = fixture.connect().await;
    let posts = Timeline::new(&cluster, "posts");
    let public = PublicTimeline::new(&cluster, "public");
    for owner in 0..20u64 {
        assert!(posts.push(owner, &Item::new(owner, 1)).await.unwrap());
        assert!(public.push(&Item::new(owner, 1)).await.unwrap());
    }
    let is_dead = |owner: &u64| &*cluster.locate(posts.key(owner)).server == "s1";
    let (dead, alive): (Vec<u64>, Vec<u64>) = (0..20).partition(is_dead);
    let (dead, alive) = (dead[0], alive[0]);
    fixture.servers[1].kill();
    eventually("the server is known to be down", PATIENCE, async || {
        !cluster.health().servers[1].is_up
    })
    .await;
    let mut redis = cluster.clone();
    let missed: Vec<u64> = redis
        .zrevrangebyscore(posts.key(dead), "+inf", "-inf")
        .await
        .unwrap();
    assert!(missed.is_empty(), "others read it as a miss");

    let errors = [
        posts.page(dead).await.unwrap_err(),
        posts.merged([alive, dead]).await.unwrap_err(),
        posts.merged([dead]).partial().await.unwrap_err(),
        posts.capacity([alive, dead]).await.unwrap_err(),
        posts.push(dead, &Item::new(99u64, 2)).await.unwrap_err(),
        posts.backfill(alive, &posts, dead).await.unwrap_err(),
        posts.backfill(dead, &posts, alive).await.unwrap_err(),
        posts.purge(alive, &posts, dead).await.unwrap_err(),
        posts.purge(dead, &posts, alive).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
        assert!(error.to_string().contains(&posts.key(dead)), "{error}");
    }
    let of_all = public.page().await.unwrap_err();
    assert_eq!(of_all.kind(), ErrorKind::ServerDown, "{of_all}");
    let page = posts.merged([alive, dead]).partial().await.unwrap();
    assert_eq!(page.items, [Item::new(alive, 1)]);
    assert!(page.has_gaps && page.next.is_some());
    assert_eq!(page.failed[0].key, posts.key(dead));
    assert_eq!(
        posts.page(alive).await.unwrap().items,
        [Item::new(alive, 1)]
    );

    fixture.servers[1].restart().await;
    eventually("the server is back", PATIENCE, async || {
        cluster.health().servers[1].is_up
    })
    .await;
    // It has nothing on disk: now it is empty for certain.
    let page = posts.page(dead).await.unwrap();
    assert!(page.items.is_empty() && page.next.is_none());
}

#[tokio::test]
async fn a_page_of_50_of_500_authors_takes_two_round_trips_and_few_entries() {
    let fixture = TestCluster::start(2).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    let posts = Timeline::new(&cluster, "posts");
    let mut models = Vec::new();
    let mut load = redis::pipe();
    for author in 0..500u64 {
        let mut model = Model::new();
        for post in 0..40 {
            let (id, score) = (
                author * 40 + post,
                (author * 7_919 + post * 104_729) % 1_000_003,
            );
            load.zadd(posts.key(author), id, score).ignore();
            model.insert((score, id.to_string()));
        }
        models.push(model);
    }
    let _: () = load.query_async(&mut cluster.clone()).await.unwrap();
    let all = newest(&models);
    let mut page = posts.merged(0..500).limit(50).await.unwrap();
    for at in 0..20 {
        assert_eq!(shown(&page), all[at * 50..at * 50 + 50]);
        assert!(page.cost.round_trips <= 2, "{:?}", page.cost);
        assert!(page.cost.entries_read <= 1_700, "{:?}", page.cost);
        let before = cluster.stats();
        page = posts
            .merged(0..500)
            .limit(50)
            .from(page.next.as_ref().unwrap())
            .await
            .unwrap();
        let calls: u64 = cluster
            .stats()
            .since(&before)
            .servers
            .iter()
            .map(|server| server.calls)
            .sum();
        assert!((500..=550).contains(&calls), "{calls} commands");
    }
}

#[tokio::test]
async fn a_public_timeline_has_a_part_on_every_node_and_reads_as_one() {
    let fixture = TestCluster::with_nodes(5, 128).await.settings(PATIENT);
    let ports = fixture.ports();
    for (servers, nodes) in [(1, 1), (2, 7), (5, 128)] {
        let config = parse(&cluster_toml(PATIENT, nodes, &ports[..servers]));
        let cluster = Cluster::connect_config(config).await.unwrap();
        let all = PublicTimeline::new(&cluster, format!("public-{nodes}"));
        let keys = all.keys().unwrap();
        let homes: BTreeSet<_> = keys.iter().map(|key| cluster.locate(key).node).collect();
        assert_eq!((keys.len(), homes.len()), (nodes, nodes));
        let mut model = Model::new();
        for id in 0..1_000u64 {
            let item = Item::new(id, id / 3);
            assert!(all.push(&item).await.unwrap());
            assert!(!all.push(&item).await.unwrap());
            model.insert((item.score, id.to_string()));
        }
        for id in (0..1_000u64).step_by(10) {
            assert!(all.retract(id).await.unwrap());
            assert!(!all.retract(id).await.unwrap());
            model.remove(&(id / 3, id.to_string()));
        }
        let mut seen = Vec::new();
        let mut page = all.page().limit(64).await.unwrap();
        loop {
            assert!(page.cost.round_trips <= 2, "{:?}", page.cost);
            seen.extend(shown(&page));
            let Some(next) = &page.next else { break };
            page = all.page().limit(64).from(next).await.unwrap();
        }
        assert_eq!(seen, newest([&model]), "{nodes} nodes");
        // Each part keeps so many, so that the newest are there whatever parts they are in.
        let short = PublicTimeline::new(&cluster, format!("public-{nodes}")).keep(20);
        assert!(short.trim().await.unwrap().is_complete());
        let page = short.page().limit(20).await.unwrap();
        assert_eq!(shown(&page), newest([&model])[..20]);
        let held = join_all(keys.iter().map(async |key| {
            let held: usize = cluster.query(cmd("ZCARD").arg(key)).await.unwrap();
            held
        }));
        assert!(held.await.into_iter().all(|held| held <= 20));
    }
}

#[tokio::test]
async fn posts_are_delivered_below_the_threshold_and_merged_at_read_above_it() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let feed = Hybrid::new(
        Timeline::new(&cluster, "home"),
        Timeline::new(&cluster, "posts"),
    )
    .threshold(3);
    let post = |id: u64| Item::new(id, 100 + id);
    let few = feed
        .post("few", 2, &post(1), stream::iter([7, 8]))
        .await
        .unwrap();
    assert!(few.is_new && few.is_complete() && few.delivery.unwrap().done == 2);
    let many = feed
        .post("many", 3, &post(2), stream::iter([7, 8, 9]))
        .await
        .unwrap();
    assert!(many.is_new && many.is_complete() && many.delivery.is_none());
    assert_eq!(feed.home().page(7).await.unwrap().items, [post(1)]);
    assert_eq!(
        feed.page(7, ["many"]).await.unwrap().items,
        [post(2), post(1)]
    );
    assert_eq!(feed.page(9, ["many"]).await.unwrap().items, [post(2)]);
    // Who has risen above the threshold has items in both; they are shown once.
    let page = feed.page(7, ["many", "few"]).limit(1).await.unwrap();
    let older = feed
        .page(7, ["few", "many"])
        .from(page.next.as_ref().unwrap())
        .await
        .unwrap();
    assert_eq!((page.items, older.items), (vec![post(2)], vec![post(1)]));
    let again = feed
        .post("few", 2, &post(1), stream::iter([7, 8]))
        .await
        .unwrap();
    assert!(!again.is_new && again.delivery.unwrap().changed == 0);
    let gone = feed
        .retract("few", 1u64, stream::iter([7, 8, 9]))
        .await
        .unwrap();
    assert_eq!((gone.done, gone.changed), (3, 2));
    assert_eq!(
        feed.page(7, ["many", "few"]).await.unwrap().items,
        [post(2)]
    );
}

#[tokio::test]
async fn capacity_is_what_the_server_uses() {
    let single = RedisServer::start().await;
    let config = parse(&cluster_toml(PATIENT, 1, &[single.port()]));
    let cluster = Cluster::connect_config(config).await.unwrap();
    let home = Timeline::new(&cluster, "home");
    assert_eq!(
        home.capacity(0..10).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let used = async || {
        let mut direct = single.connection().await;
        let text: String = cmd("INFO")
            .arg("memory")
            .query_async(&mut direct)
            .await
            .unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("used_memory:"));
        line.unwrap().trim().parse::<i64>().unwrap()
    };
    let before = used().await;
    for owner in 0..200 {
        let mut load = redis::pipe();
        for id in 0..500u64 {
            load.zadd(
                home.key(owner),
                1_000_000_000_000_000 + id,
                1_750_000_000_000 + id,
            )
            .ignore();
        }
        let _: () = load.query_async(&mut cluster.clone()).await.unwrap();
    }
    let grown = used().await - before;
    let capacity = home.capacity((0..200).chain([999])).await.unwrap();
    assert_eq!(
        (capacity.timelines, capacity.missing, capacity.items),
        (200, 1, 100_000)
    );
    let of_one: u64 = cluster
        .query(
            cmd("MEMORY")
                .arg("USAGE")
                .arg("home:7")
                .arg("SAMPLES")
                .arg(0),
        )
        .await
        .unwrap();
    assert!(
        (capacity.bytes_per_timeline() / of_one as f64 - 1.0).abs() < 0.01,
        "{capacity:?}"
    );
    let ratio = grown as f64 / capacity.bytes as f64;
    assert!(
        (0.9..1.15).contains(&ratio),
        "{capacity:?}, but used_memory grew by {grown}"
    );
    assert_eq!(capacity.timelines_in(capacity.bytes), 200);
    assert_eq!(capacity.bytes_for(200), capacity.bytes);
    let _: () = cluster.clone().set("home:text", "x").await.unwrap();
    let wrong = home.capacity(["7", "text"]).await.unwrap_err();
    assert!(wrong.to_string().contains("home:text"), "{wrong}");
    assert_eq!(
        home.capacity(0..100_001).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
}
