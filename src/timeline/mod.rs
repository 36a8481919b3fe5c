//! Timelines: a sorted set per owner, newest first, on whatever node its key has.
//!
//! A timeline knows no topology: it is a name, bounds, and the commands that they become.

mod capacity;
mod cursor;
mod deliver;
mod follow;
mod hybrid;
mod item;
mod page;
mod public;
mod push;
mod range;
mod trim;

pub use capacity::Capacity;
pub use cursor::{CURSOR_CHARS_MAX, Cursor, CursorKeys};
pub use deliver::{Ending, Failure, FanOut, Progress, Report};
pub use follow::{Backfill, Backfilled, Purge, Purged};
pub use hybrid::{Hybrid, Posted};
pub use item::{ID_BYTES_MAX, Id, Item, SCORE_END};
pub use page::{
    FailedSource, MERGED_PAGE_ITEMS_MAX, PAGE_ITEMS_MAX, Page, PageCost, PageRequest, SOURCES_MAX,
};
pub use public::PublicTimeline;

use crate::cluster::Cluster;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use trim::{Clock, Ledger};

/// The timelines of one name: for every owner a sorted set with the key `name:owner`, whose members are ids and whose scores are times.
///
/// Cheap to clone; clones share what they know of which timelines are due to be trimmed.
///
/// In cache mode it is as in store mode: what a dead server holds is an error, for reads too, never an empty timeline.
///
/// ```no_run
/// # async fn example(cluster: keyway::Cluster) {
/// use std::time::Duration;
///
/// let home = keyway::Timeline::new(&cluster, "home")
///     .keep(1000)
///     .max_age(Duration::from_secs(30 * 24 * 3600));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Timeline<I: Id = u64> {
    cluster: Cluster,
    name: String,
    keep: Option<usize>,
    max_age: Option<Duration>,
    slack: Option<usize>,
    tracked: usize,
    sequence_bits: u32,
    clock: Clock,
    ledger: Arc<Ledger>,
    cursor_keys: Option<CursorKeys>,
    ids: PhantomData<fn() -> I>,
}

impl Timeline<u64> {
    /// Timelines whose ids are numbers, written in decimal. No round trip.
    pub fn new(cluster: &Cluster, name: impl Into<String>) -> Timeline<u64> {
        Timeline::named(cluster, name.into())
    }
}

impl Timeline<String> {
    /// Timelines whose ids are strings. No round trip.
    pub fn of_strings(cluster: &Cluster, name: impl Into<String>) -> Timeline<String> {
        Timeline::named(cluster, name.into())
    }
}

impl<I: Id> Timeline<I> {
    fn named(cluster: &Cluster, name: String) -> Timeline<I> {
        Timeline {
            cluster: cluster.clone(),
            name,
            keep: None,
            max_age: None,
            slack: None,
            tracked: trim::default_tracked(),
            sequence_bits: 0,
            clock: Clock::default(),
            ledger: Arc::new(Ledger::new(trim::default_tracked())),
            cursor_keys: None,
            ids: PhantomData,
        }
    }

    /// The newest items that are kept of each timeline, at least 1; default: all. It may hold more, by a stated bound: see [`slack`](Timeline::slack).
    pub fn keep(mut self, items: usize) -> Timeline<I> {
        self.keep = Some(items);
        self.renewed()
    }

    /// The age up to which items are kept and shown; default: any.
    pub fn max_age(mut self, age: Duration) -> Timeline<I> {
        self.max_age = Some(age);
        self.renewed()
    }

    /// The key of an owner's timeline: `name:owner`.
    pub fn key(&self, owner: impl std::fmt::Display) -> String {
        format!("{}:{owner}", self.name)
    }
}
