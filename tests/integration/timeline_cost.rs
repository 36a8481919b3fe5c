//! The round trips that the documentation of timelines states.

use crate::fixture::TestCluster;
use futures::{poll, stream};
use keyway::timeline::{Item, Page};
use keyway::{Cluster, Hybrid, PublicTimeline, Timeline};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

const NOW: u64 = 1_750_000_000_000;

/// One server, whose round trips are counted.
struct Counted {
    fixture: TestCluster,
    cluster: Cluster,
}

impl Counted {
    async fn start(protocol: &str) -> Counted {
        let settings = format!("protocol = \"{protocol}\"\n");
        let fixture = TestCluster::start(1).await.settings(&settings);
        let cluster = fixture.connect_patiently().await;
        Counted { fixture, cluster }
    }

    fn in_flight(&self) -> u64 {
        self.cluster.stats().servers[0].in_flight
    }

    /// What it comes to, and in how many round trips: how often it has asked for something and can do no more before the answers come.
    async fn count<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let mut work = pin!(work);
        let mut trips = 0;
        loop {
            if let Poll::Ready(done) = poll!(work.as_mut()) {
                return (done, trips);
            }
            if self.in_flight() > 0 {
                trips += 1;
            }
            // It is not polled before all answers are there, and the connection's task has its turns.
            tokio::task::yield_now().await;
            while self.in_flight() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// How often the server was asked this since the last time.
    async fn calls(&self, command: &str) -> u64 {
        let mut direct = self.fixture.servers[0].connection().await;
        let mut info = redis::cmd("INFO");
        let text: String = info
            .arg("commandstats")
            .query_async(&mut direct)
            .await
            .unwrap();
        let mut reset = redis::cmd("CONFIG");
        let _: () = reset
            .arg("RESETSTAT")
            .query_async(&mut direct)
            .await
            .unwrap();
        let line = format!("cmdstat_{command}:calls=");
        let calls = text.lines().find_map(|text| text.strip_prefix(&line));
        calls.map_or(0, |calls| calls.split(',').next().unwrap().parse().unwrap())
    }

    async fn fill(&self, timeline: &Timeline, owner: u64, items: impl Iterator<Item = (u64, u64)>) {
        let items: Vec<(u64, u64)> = items.collect();
        for items in items.chunks(1000) {
            let key = timeline.key(owner);
            let _: u64 = redis::AsyncCommands::zadd_multiple(&mut self.cluster.clone(), key, items)
                .await
                .unwrap();
        }
    }

    /// A page whose own account of its round trips is right, and these.
    async fn page(&self, request: keyway::timeline::PageRequest) -> (Page, u64) {
        let (page, trips) = self.count(request.into_future()).await;
        let page = page.unwrap();
        assert_eq!(page.cost.round_trips as u64, trips);
        (page, trips)
    }
}

#[tokio::test]
async fn writes_take_the_round_trips_that_are_said() {
    for protocol in ["resp2", "resp3"] {
        let counted = Counted::start(protocol).await;
        let bounded = || {
            Timeline::new(&counted.cluster, "home")
                .keep(20)
                .slack(2)
                .max_age(Duration::from_millis(10))
                .clock(|| NOW)
        };
        let home = bounded();
        counted.calls("zadd").await;
        for id in 0..6_u64 {
            let item = Item::new(id, NOW);
            let (pushed, trips) = counted.count(home.push(1, &item)).await;
            assert!(pushed.unwrap());
            assert_eq!(trips, 1, "push {id}");
        }
        let some = || stream::iter(0..20);
        let (report, trips) = counted
            .count(home.deliver(&Item::new(9u64, NOW), some()).into_future())
            .await;
        assert_eq!((report.unwrap().changed, trips), (20, 1));
        let (report, trips) = counted
            .count(home.retract(9u64, some()).into_future())
            .await;
        assert_eq!((report.unwrap().changed, trips), (20, 1));
        let (report, trips) = counted.count(home.trim(some()).into_future()).await;
        assert_eq!((report.unwrap().done, trips), (20, 1));

        let public = PublicTimeline::new(&counted.cluster, "public").keep(20);
        let (pushed, trips) = counted.count(public.push(&Item::new(1u64, NOW))).await;
        assert_eq!((pushed.unwrap(), trips), (true, 1));
        let (gone, trips) = counted.count(public.retract(1u64)).await;
        assert_eq!((gone.unwrap(), trips), (true, 1));
        let feed = Hybrid::new(bounded(), Timeline::new(&counted.cluster, "posts")).threshold(3);
        let item = Item::new(1u64, NOW);
        let (posted, trips) = counted.count(feed.post(7, 3, &item, some())).await;
        assert_eq!((posted.unwrap().is_new, trips), (true, 1));
        let (posted, trips) = counted.count(feed.post(7, 2, &item, some())).await;
        assert_eq!(
            (posted.unwrap().is_complete(), trips),
            (true, 2),
            "and a delivery"
        );
        let (capacity, trips) = counted.count(home.capacity(0..100)).await;
        assert_eq!((capacity.unwrap().timelines, trips), (20, 1));
    }
}

#[tokio::test]
async fn a_backfill_and_a_purge_take_the_round_trips_that_are_said() {
    for protocol in ["resp2", "resp3"] {
        let counted = Counted::start(protocol).await;
        let posts = Timeline::new(&counted.cluster, "posts");
        let home = Timeline::new(&counted.cluster, "home");
        for (author, items, trips, reads) in [(1, 50, 2, 1), (2, 1_000, 2, 1), (3, 2_500, 4, 3)] {
            counted
                .fill(&posts, author, (0..items).map(|id| (NOW + id / 3, id)))
                .await;
            counted.calls("").await;
            let backfill = home.backfill(1, &posts, author).limit(items as usize);
            let (done, taken) = counted.count(backfill.into_future()).await;
            assert_eq!(done.unwrap().added, items);
            assert_eq!(
                (taken, counted.calls("zrevrangebyscore").await),
                (trips, reads)
            );
            let (done, taken) = counted
                .count(home.purge(1, &posts, author).into_future())
                .await;
            assert_eq!(done.unwrap().removed, items);
            assert_eq!(taken, trips);
        }
        let (none, trips) = counted
            .count(home.backfill(1, &posts, 9).into_future())
            .await;
        assert_eq!((none.unwrap().read, trips), (0, 1));
        let (none, trips) = counted.count(home.purge(9, &posts, 1).into_future()).await;
        assert_eq!((none.unwrap().removed, trips), (0, 1));
    }
}

#[tokio::test]
async fn pages_take_the_round_trips_that_are_said() {
    for protocol in ["resp2", "resp3"] {
        let counted = Counted::start(protocol).await;
        let posts = Timeline::new(&counted.cluster, "posts");
        // Eight of each score: from a cursor, up to so many are to be passed over.
        for author in 0..40 {
            let items = (0..176).map(|post| (post / 8, author * 1_000 + post));
            counted.fill(&posts, author, items).await;
        }
        let (mut page, trips) = counted.page(posts.page(1).limit(10)).await;
        assert_eq!((trips, page.cost.entries_read), (1, 11));
        let mut seen = page.items.len();
        while let Some(next) = &page.next {
            let (older, trips) = counted.page(posts.page(1).limit(10).from(next)).await;
            assert_eq!(trips, 1);
            assert!(older.cost.entries_read <= 10 + 1 + 8);
            page = older;
            seen += page.items.len();
        }
        assert_eq!(seen, 176);
        let (newer, trips) = counted.page(posts.page(1).from(&page.previous)).await;
        assert_eq!((newer.items.len(), trips), (50, 1));

        let public = PublicTimeline::from(posts.clone());
        let mut most = 0;
        for request in [
            posts.merged(0..40),
            posts.merged(0..40).limit(500),
            posts.merged([1, 2, 99]),
            public.page(),
        ] {
            let (mut page, mut trips) = counted.page(request.clone()).await;
            for _ in 0..10 {
                most = most.max(trips);
                assert!(trips <= 2, "{trips}");
                let Some(next) = &page.next else { break };
                (page, trips) = counted.page(request.clone().from(next)).await;
            }
        }
        assert_eq!(most, 2, "the second was needed");
    }
}
