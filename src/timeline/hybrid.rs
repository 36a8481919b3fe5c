//! Hybrid delivery: a post goes to every follower's timeline, unless there are too many of them; then the readers fetch it.

use super::deliver::Report;
use super::{Id, Item, PageRequest, Timeline};
use crate::error::Error;
use futures::stream::{self, Stream};
use std::fmt::Display;

const THRESHOLD: u64 = 10_000;

/// Home timelines, and the authors' own timelines beside them. A post of an author with few followers is delivered to each; one of an author
/// with many is only kept in the author's own, and merged into the pages of those who follow.
///
/// Cheap to clone.
///
/// ```no_run
/// # async fn example(cluster: keyway::Cluster, followers: Vec<u64>) -> Result<(), keyway::Error> {
/// use futures::stream;
/// use keyway::timeline::Item;
/// use keyway::{Hybrid, Timeline};
///
/// let feed = Hybrid::new(
///     Timeline::new(&cluster, "home").keep(1000),
///     Timeline::new(&cluster, "posts").keep(1000),
/// );
/// let post = Item::new(17u64, 1_750_000_000_000);
/// feed.post("ada", followers.len() as u64, &post, stream::iter(followers)).await?;
/// let page = feed.page("grace", ["knuth"]).limit(50).await?; // knuth has too many followers
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Hybrid<I: Id = u64> {
    home: Timeline<I>,
    posts: Timeline<I>,
    threshold: u64,
}

/// What came of a post.
#[derive(Clone, Debug)]
#[must_use = "owners may have failed"]
#[non_exhaustive]
pub struct Posted<O> {
    /// It was not in the author's own timeline before.
    pub is_new: bool,
    /// How the delivery ended; `None` if there was none, because the author is merged at read.
    pub delivery: Option<Report<O>>,
}

impl<O> Posted<O> {
    /// Everyone who is to have it has it, or will read it from the author's own timeline.
    pub fn is_complete(&self) -> bool {
        self.delivery.as_ref().is_none_or(Report::is_complete)
    }
}

impl<I: Id> Hybrid<I> {
    /// `home` by reader, `posts` by author.
    pub fn new(home: Timeline<I>, posts: Timeline<I>) -> Hybrid<I> {
        Hybrid {
            home,
            posts,
            threshold: THRESHOLD,
        }
    }

    /// The number of followers from which on an author's posts are merged at read; default: 10,000. A delivery costs a write per follower, a
    /// merged author one more timeline per page that is read by a follower.
    pub fn threshold(mut self, followers: u64) -> Hybrid<I> {
        self.threshold = followers;
        self
    }

    /// Whether an author with so many followers is merged at read.
    pub fn is_merged(&self, follower_count: u64) -> bool {
        follower_count >= self.threshold
    }

    /// The readers' timelines.
    pub fn home(&self) -> &Timeline<I> {
        &self.home
    }

    /// The authors' timelines.
    pub fn posts(&self) -> &Timeline<I> {
        &self.posts
    }

    /// Adds an item to the author's own timeline and then, if the author is not [merged](Hybrid::is_merged), to those of all followers.
    /// `followers` is not asked for anything otherwise. For progress, cancellation and the like do the two by hand: [`Timeline::push`] to
    /// [`posts`](Hybrid::posts), [`Timeline::deliver`] to [`home`](Hybrid::home).
    ///
    /// One round trip, and the cost of a delivery. Safe to repeat, which is also how a dropped future is made good.
    ///
    /// # Errors
    /// As [`push`](Timeline::push), and nothing is delivered then. Followers that fail are in the report.
    pub async fn post<S>(
        &self,
        author: impl Display,
        follower_count: u64,
        item: &Item<I>,
        followers: S,
    ) -> Result<Posted<S::Item>, Error>
    where
        S: Stream<Item: Display + Send> + Send,
    {
        // What home would refuse is refused before it is in the author's.
        if !self.is_merged(follower_count) {
            self.home.check()?;
            self.home.adding(item)?;
        }
        let is_new = self.posts.push(author, item).await?;
        let delivery = match self.is_merged(follower_count) {
            true => None,
            false => Some(self.home.deliver(item, followers).await?),
        };
        Ok(Posted { is_new, delivery })
    }

    /// Takes an item out of the author's own timeline, and out of those of all followers, whatever the author's number of followers is now or was
    /// then.
    ///
    /// # Errors
    /// When it is still in the author's own; the followers were not asked then. Followers that fail are in the report.
    pub async fn retract<S>(
        &self,
        author: impl Display + Send,
        id: impl Into<I>,
        followers: S,
    ) -> Result<Report<S::Item>, Error>
    where
        S: Stream<Item: Display + Send> + Send,
    {
        let id: I = id.into();
        let own = self.posts.retract(id.clone(), stream::iter([author]));
        if let Some(failure) = own.await?.failures.into_iter().next() {
            return Err(failure.error);
        }
        self.home.retract(id, followers).await
    }

    /// Reads a page of a reader's home timeline, merged with the own timelines of those `authors` that the reader follows and that are
    /// [merged](Hybrid::is_merged) at read. What costs and cursors are: as [`Timeline::merged`] and [`Timeline::page`].
    ///
    /// **Across the threshold**: an item is shown once if it is in both timelines. So an author who rises above the threshold is just named here
    /// from then on. Of one who falls below it, older posts were never delivered: go on to name the author until they are too old to
    /// matter, or [`backfill`](Timeline::backfill) the followers.
    ///
    /// # Errors
    /// As [`Timeline::merged`].
    pub fn page(
        &self,
        reader: impl Display,
        authors: impl IntoIterator<Item = impl Display>,
    ) -> PageRequest<I> {
        self.home.page(reader).with(&self.posts, authors)
    }
}
