//! The chapters on timelines: everybody posts, pages are read, timelines are trimmed. And what each timeline holds, computed in memory.

use super::graph::{Graph, Side};
use super::report::{Check, Delivery, Latencies, Pull, Trim};
use super::story::{HEAVY_USERS, PIECE_COMMANDS_MAX, Story, Told, send};
use futures::stream::{self, StreamExt};
use keyway::timeline::{Item, Progress, SOURCES_MAX};
use keyway::{Cluster, Error, Timeline};
use redis::Cmd;
use std::time::{Duration, Instant};

/// Authors whose posts are under way at once, and timelines that are read at once.
const AUTHORS_MAX: usize = 64;
const READERS_MAX: usize = 128;
/// Items that are read at a time; larger timelines are read on from page to page.
const PAGE_ITEMS: usize = 500;
/// As an application shows them.
const SHOWN_ITEMS: usize = 50;
/// Readers of each of the two kinds whose pages are also merged at read.
const PULLS_MAX: usize = 100;
const MORE_POSTS: u64 = 12;
const KEPT: usize = 20;
/// Items beyond those, up to which a timeline is not trimmed.
const SLACK: usize = 4;
/// A time in milliseconds, as scores are in a real timeline.
const FIRST_HOUR_MS: u64 = 1_750_000_000_000;
const HOUR_MS: u64 = 3_600_000;

/// The timelines, and what they are to hold.
pub(crate) struct Feed {
    /// By reader.
    pub(crate) home: Timeline,
    /// By author.
    posts: Timeline,
    /// Of each user's first post.
    scores: Vec<u64>,
    /// Whose further posts went to timelines that keep only some.
    busy: Option<u32>,
    /// Everybody has been sent the announcement.
    pub(crate) is_announced: bool,
}

impl Feed {
    pub(crate) fn new(cluster: &Cluster, graph: &Graph, random: &mut fastrand::Rng) -> Feed {
        let score = |_| FIRST_HOUR_MS + random.u64(..HOUR_MS);
        Feed {
            home: Timeline::new(cluster, "home"),
            posts: Timeline::new(cluster, "posts"),
            scores: (0..graph.users()).map(score).collect(),
            busy: None,
            is_announced: false,
        }
    }

    /// The one post that every user writes. The id is dense, unlike those of users, so there is room for further ones.
    fn first_post(&self, author: u32) -> Item {
        Item::new(author, self.scores[author as usize])
    }

    fn further_post(&self, number: u64) -> Item {
        let id = self.scores.len() as u64 + number;
        Item::new(id, FIRST_HOUR_MS + HOUR_MS + number)
    }

    /// What goes to everybody in the end.
    pub(crate) fn announcement(&self) -> Item {
        let id = self.scores.len() as u64 + MORE_POSTS;
        Item::new(id, FIRST_HOUR_MS + 2 * HOUR_MS)
    }

    /// A home timeline, newest first.
    fn expected(&self, graph: &Graph, reader: u32) -> Vec<Item> {
        let followed = graph.set(Side::Follows, reader);
        let mut items: Vec<Item> = followed.iter().map(|user| self.first_post(*user)).collect();
        // Items of one score are in the order of their ids' bytes.
        items.sort_by(|a, b| {
            let by_id = || b.id.to_string().cmp(&a.id.to_string());
            b.score.cmp(&a.score).then_with(by_id)
        });
        if let Some(busy) = self.busy
            && followed.binary_search(&busy).is_ok()
        {
            let further = (0..MORE_POSTS).rev().map(|post| self.further_post(post));
            items.splice(..0, further);
            items.truncate(KEPT);
        }
        if self.is_announced {
            items.insert(0, self.announcement());
        }
        items
    }

    /// All of a home timeline, from page to page.
    async fn read_whole(&self, owner: u64) -> Result<Vec<Item>, Error> {
        let mut page = self.home.page(owner).limit(PAGE_ITEMS).await?;
        let mut items = page.items;
        while let (true, Some(next)) = (page.has_more, page.next) {
            page = self.home.page(owner).limit(PAGE_ITEMS).from(&next).await?;
            items.extend(page.items);
        }
        Ok(items)
    }

    /// Which of these readers have the announcement.
    pub(crate) async fn have_announcement(
        &self,
        cluster: &Cluster,
        graph: &Graph,
        readers: &[u32],
    ) -> Result<Vec<bool>, Error> {
        let post = self.announcement();
        let mut has_it = Vec::with_capacity(readers.len());
        for piece in readers.chunks(PIECE_COMMANDS_MAX) {
            let reads = piece
                .iter()
                .map(|reader| Cmd::zscore(self.home.key(graph.id(*reader)), post.id));
            let scores = send::<Option<u64>>(cluster, reads.collect()).await?;
            has_it.extend(scores.into_iter().map(|score| score == Some(post.score)));
        }
        Ok(has_it)
    }
}

impl Story<'_> {
    /// Every user posts once, to all followers: a write per edge of the graph.
    pub(crate) async fn deliver(&mut self) -> Told<Delivery> {
        let (graph, feed) = (self.graph, &self.feed);
        let bar = &self.progress.bar("delivering", graph.edges() as u64);
        let started = Instant::now();
        let mut check = Check::new("posts that reached every follower");
        let mut posts = stream::iter(0..graph.users())
            .map(|author| async move {
                let post = feed.first_post(author);
                let followers = graph.set(Side::Followers, author);
                feed.posts.push(graph.id(author), &post).await?;
                let mut counted = 0;
                let owners = stream::iter(followers).map(|user| graph.id(*user));
                let report = feed
                    .home
                    .deliver(&post, owners)
                    .on_progress(|progress: Progress| {
                        bar.inc(progress.done - counted);
                        counted = progress.done;
                    })
                    .await?;
                Ok::<_, Error>((author, followers.len() as u64, report))
            })
            .buffer_unordered(AUTHORS_MAX);
        let mut deliveries = 0;
        while let Some(post) = posts.next().await {
            let (author, followers, report) = post?;
            let added = report.changed;
            deliveries += added;
            check.expect(report.is_complete() && added == followers, || {
                let author = graph.id(author);
                format!("the post of {author}: {added} added, not {followers}")
            });
        }
        drop(posts);
        bar.finish_and_clear();
        let deliver_seconds = started.elapsed().as_secs_f64();
        self.checks.push(check.done());

        let reading = Instant::now();
        let whole = Check::new("home timelines, whole and newest first");
        let (timelines_read, items_read) = self.check_timelines(whole).await?;
        let read_seconds = reading.elapsed().as_secs_f64();
        let (read_one, pull) = self.pull().await?;
        let trim = self.trim().await?;
        Ok(Delivery {
            authors: graph.users().into(),
            deliveries,
            deliver_seconds,
            timelines_read,
            items_read,
            read_seconds,
            read_one,
            pull,
            trim,
        })
    }

    /// Reads every home timeline, by pages, and holds all of it against what is expected. Returns how many, and their items.
    pub(crate) async fn check_timelines(&mut self, mut check: Check) -> Told<(u64, u64)> {
        let (graph, feed) = (self.graph, &self.feed);
        let bar = self.progress.bar("reading timelines", graph.users().into());
        let mut timelines = stream::iter(0..graph.users())
            .map(|reader| async move {
                let items = feed.read_whole(graph.id(reader)).await?;
                Ok::<_, Error>((reader, items))
            })
            .buffer_unordered(READERS_MAX);
        let (mut with_items, mut items_read) = (0, 0);
        while let Some(timeline) = timelines.next().await {
            let (reader, items) = timeline?;
            with_items += u64::from(!items.is_empty());
            items_read += items.len() as u64;
            compare(
                &mut check,
                graph,
                reader,
                &items,
                &feed.expected(graph, reader),
            );
            bar.inc(1);
        }
        drop(timelines);
        self.checks.push(check.done());
        Ok((with_items, items_read))
    }

    /// The newest page as it was delivered, and the same merged at read from the timelines of all whom the reader follows.
    async fn pull(&mut self) -> Told<(Latencies, Pull)> {
        let (graph, feed) = (self.graph, &self.feed);
        let mut readers = graph.heaviest(Side::Follows);
        let others = readers.split_off(readers.len().min(HEAVY_USERS));
        readers.truncate(PULLS_MAX);
        readers.extend(self.random.choose_multiple(others, PULLS_MAX));
        readers.retain(|reader| graph.set(Side::Follows, *reader).len() <= SOURCES_MAX);

        let mut check = Check::new("pages merged at read, the same as delivered");
        let (mut delivered, mut merged) = (Vec::new(), Vec::new());
        let (mut authors_max, mut round_trips_max) = (0, 0);
        for reader in &readers {
            let started = Instant::now();
            let home = feed.home.page(graph.id(*reader)).limit(SHOWN_ITEMS).await?;
            delivered.push(started.elapsed());

            let followed = graph.set(Side::Follows, *reader);
            let authors = followed.iter().map(|user| graph.id(*user));
            let started = Instant::now();
            let page = feed.posts.merged(authors).limit(SHOWN_ITEMS).await?;
            merged.push(started.elapsed());
            authors_max = authors_max.max(followed.len() as u64);
            round_trips_max = round_trips_max.max(page.cost.round_trips as u64);
            let mut expected = feed.expected(graph, *reader);
            expected.truncate(SHOWN_ITEMS);
            compare(&mut check, graph, *reader, &home.items, &expected);
            compare(&mut check, graph, *reader, &page.items, &expected);
        }
        self.checks.push(check.done());
        let pull = Pull {
            readers: readers.len() as u64,
            page_items: SHOWN_ITEMS as u64,
            authors_max,
            round_trips_max,
            read_one: Latencies::of(merged),
        };
        Ok((Latencies::of(delivered), pull))
    }

    /// The most followed user posts some more, to timelines that keep only so many.
    async fn trim(&mut self) -> Told<Trim> {
        let graph = self.graph;
        let Some(&busy) = graph.heaviest(Side::Followers).first() else {
            return Ok(Trim::default());
        };
        self.feed.busy = Some(busy);
        let feed = &self.feed;
        let followers = graph.set(Side::Followers, busy);
        let owners = || stream::iter(followers).map(|user| graph.id(*user));
        let short = feed.home.clone().keep(KEPT).slack(SLACK);
        let bar = self
            .progress
            .bar("trimming", MORE_POSTS * followers.len() as u64);
        let (started, mut first_post) = (Instant::now(), Duration::ZERO);
        let (mut deliveries, mut trimmed) = (0, 0);
        for number in 0..MORE_POSTS {
            let report = short
                .deliver(&feed.further_post(number), owners())
                .on_progress(|progress| bar.set(deliveries + progress.done))
                .await?;
            deliveries += report.changed;
            trimmed += report.trimmed;
            if number == 0 {
                first_post = started.elapsed();
            }
        }
        let seconds = started.elapsed().as_secs_f64();

        // Between two trims there may be a few more than are kept, by a stated bound.
        let mut check = Check::new("timelines within their bounds, and trimmed");
        let mut held_max = 0;
        for piece in followers.chunks(PIECE_COMMANDS_MAX) {
            let owners = piece.iter().map(|user| graph.id(*user));
            let sizes = owners.clone().map(|owner| Cmd::zcard(feed.home.key(owner)));
            let sizes = send::<usize>(&self.cluster, sizes.collect()).await?;
            for (owner, held) in owners.zip(sizes) {
                held_max = held_max.max(held);
                check.expect(held <= KEPT + SLACK, || {
                    format!("home:{owner}: {held} items, more than {KEPT} + {SLACK}")
                });
            }
        }
        trimmed += short.trim(owners()).await?.trimmed;
        let mut timelines = stream::iter(followers)
            .map(|reader| async move { (*reader, feed.read_whole(graph.id(*reader)).await) })
            .buffer_unordered(READERS_MAX);
        while let Some((reader, items)) = timelines.next().await {
            compare(
                &mut check,
                graph,
                reader,
                &items?,
                &feed.expected(graph, reader),
            );
        }
        drop(timelines);
        self.checks.push(check.done());
        Ok(Trim {
            user: graph.id(busy),
            followers: followers.len() as u64,
            posts: MORE_POSTS,
            kept: KEPT as u64,
            slack: SLACK as u64,
            held_max: held_max as u64,
            commands: deliveries,
            trimmed,
            seconds,
            first_post_seconds: first_post.as_secs_f64(),
        })
    }
}

fn compare(check: &mut Check, graph: &Graph, reader: u32, items: &[Item], expected: &[Item]) {
    check.expect(items == expected, || {
        let (owner, got, want) = (graph.id(reader), items.len(), expected.len());
        let at = items
            .iter()
            .zip(expected)
            .take_while(|(a, b)| a == b)
            .count();
        format!(
            "home:{owner}: {got} items, not {want}; item {at} is {:?}, not {:?}",
            items.get(at),
            expected.get(at)
        )
    });
}
