//! Pages: what is asked for, how it is read, what comes back.

use super::cursor::{Cursor, CursorKeys, Sealer};
use super::push::answer;
use super::range::{self, Cut, Direction, Entry, Reading};
use super::{Id, Item, Timeline};
use crate::cluster::Cluster;
use crate::error::{Error, ErrorKind};
use redis::Value;
use std::collections::HashSet;
use std::fmt::Display;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;

/// Items of a page of one timeline, at most.
pub const PAGE_ITEMS_MAX: usize = 10_000;
/// Items of a page over several timelines, at most.
pub const MERGED_PAGE_ITEMS_MAX: usize = 1_000;
/// Timelines of one page, at most: as many as a placement can have nodes.
pub const SOURCES_MAX: usize = crate::placement::NODES_MAX;

const PAGE_ITEMS_DEFAULT: usize = 50;

/// Some items of a timeline, and where to go on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page<I: Id = u64> {
    /// Newest first: by score, those of one score by the bytes of their ids, both descending, as ZREVRANGE has them. This also when newer
    /// items were read.
    pub items: Vec<Item<I>>,
    /// To older items. After a read of older items `None` only if there was none at the time; after a read of newer ones always there, as
    /// nobody has looked.
    pub next: Option<Cursor>,
    /// To newer items, the nearest first. Always there, since newer ones may come: poll with it.
    pub previous: Cursor,
    /// Whether there were more in the direction that was read, so that it is worth while to ask at once.
    pub has_more: bool,
    /// Which timelines could not be read, after [`partial`](PageRequest::partial); otherwise empty.
    pub failed: Vec<FailedSource>,
    /// Items may be missing between this page and one before it: this or an earlier page on the way here was read while timelines had
    /// [failed](PageRequest::partial). The cursors of this page carry it on.
    pub has_gaps: bool,
    /// What it took.
    pub cost: PageCost,
}

/// A timeline that could not be read for a page.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailedSource {
    /// Its key.
    pub key: String,
    /// Why.
    pub error: Error,
}

/// What a page has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PageCost {
    /// Round trips, each to all servers concerned at once.
    pub round_trips: usize,
    /// Entries that the servers sent; a page of n items takes at least n + 1 to know whether there are more.
    pub entries_read: usize,
}

impl<I: Id> Timeline<I> {
    /// Reads a page of an owner's timeline, the newest items first.
    ///
    /// ```no_run
    /// # async fn example(home: keyway::Timeline) -> Result<(), Box<dyn std::error::Error>> {
    /// let newest = home.page("user:42").limit(50).await?;
    /// let text = newest.next.as_ref().map(ToString::to_string); // into a URL
    /// if let Some(text) = text {
    ///     let older = home.page("user:42").limit(50).from(&text.parse()?).await?;
    /// }
    /// let newer = home.page("user:42").limit(50).from(&newest.previous).await?; // what has come meanwhile
    /// # Ok(()) }
    /// ```
    ///
    /// **Stable**: a page has the items that are strictly beyond its cursor, whatever was inserted or deleted meanwhile, the cursor's own item
    /// included. Whoever reads from page to page misses no item that was there throughout, and sees none twice. An item is an id at a score: one
    /// that is pushed again with another score is another item, at another place.
    ///
    /// **What is shown**: items up to [`max_age`](Timeline::max_age) exactly, whether older ones were trimmed or not; all that the sorted set
    /// holds otherwise, which between two trims is more than [`keep`](Timeline::keep), by as much as a trim may lag behind. A timeline that is
    /// not there is empty. One whose server is down is an error, in cache mode too: an empty page would say that there is nothing.
    ///
    /// **Cost**: one round trip and n + 1 entries for a page of n; from a cursor 8 more entries, and one round trip unless more than 8 items that
    /// are not beyond the cursor have its very score. With k of them, they are read through in chunks of up to some 4,000, so that it takes
    /// about 3 + k / 4,096; beyond a million it is refused. Each round trip has the deadline of a call.
    ///
    /// # Errors
    /// Those of a read. [`ErrorKind::Invalid`], with nothing sent, for a limit that is out of range and for a cursor that is not for this
    /// timeline and owner. WRONGTYPE, and [`ErrorKind::UnexpectedReply`] for an entry that no timeline has written: a member that is no id of
    /// this kind, a score that is no integer below [`SCORE_END`](super::SCORE_END). Nothing is passed over in silence; the key is in the message.
    pub fn page(&self, owner: impl Display) -> PageRequest<I> {
        let owner = owner.to_string();
        let mut request = PageRequest::new(self, &["page", &self.name, &owner]);
        request.sources.add(self, [owner]);
        request
    }

    /// Reads a page of many owners' timelines merged into one. The same id at the same score in several of them is one item; at another score
    /// it is another item. An owner that is named twice counts once. At most [`SOURCES_MAX`] (16,384) timelines.
    ///
    /// Cursors are bound to the name of these timelines, not to the owners, which may be others at the next page: an item of an owner that was
    /// not asked before is shown if it is beyond the cursor. See [`bound_to`](PageRequest::bound_to).
    ///
    /// **Cost**: at most two round trips, each one pipeline per server, whatever the number of timelines. The first asks every timeline for its
    /// first few items: an even share of the page and as much again for chance, or `limit / sqrt(2 x timelines)` if that is more. The
    /// second asks only those of which all that came is on the page so far, and for no more than can still be on it: by number, and by score
    /// down to the page's last item. For a page of 50 of 500 timelines these are 1,000 entries in the first and at most some 700 in the second.
    /// One more for every timeline from a cursor; more round trips only if more than 64 items of one timeline that are not beyond the cursor
    /// have its very score, or something is written to them between the two.
    ///
    /// # Errors
    /// As [`page`](Timeline::page): the first failure of any timeline, with its key, unless the page may be
    /// [`partial`](PageRequest::partial). [`ErrorKind::Invalid`], with nothing sent, for too many timelines.
    pub fn merged(&self, owners: impl IntoIterator<Item = impl Display>) -> PageRequest<I> {
        let mut request = PageRequest::new(self, &["merged", &self.name]);
        request.sources.add(self, owners);
        request
    }

    /// Reads a page of the parts of a public timeline.
    pub(super) fn page_of_parts(&self, parts: Result<&[usize], Error>) -> PageRequest<I> {
        let mut request = PageRequest::new(self, &["public", &self.name]);
        match parts {
            Ok(parts) => request.sources.add(self, parts),
            Err(error) => request.sources.error = Some(error),
        }
        request
    }

    /// Signs the cursors of pages, and refuses those that are not signed; default: a checksum, see [`Cursor`].
    pub fn sign_cursors(mut self, keys: &CursorKeys) -> Timeline<I> {
        self.cursor_keys = Some(keys.clone());
        self
    }
}

/// A page to be read: awaiting it reads it.
///
/// Dropping the future is harmless: only reads are sent.
#[derive(Clone, Debug)]
#[must_use = "a page is read when this is awaited"]
pub struct PageRequest<I: Id = u64> {
    cluster: Cluster,
    keys: Option<CursorKeys>,
    /// What cursors are bound to.
    scope: Vec<String>,
    sources: Sources,
    limit: usize,
    from: Option<Cursor>,
    is_partial: bool,
    ids: PhantomData<fn() -> I>,
}

/// Timelines to be read: their keys, each once, and what of each is not shown.
#[derive(Clone, Debug, Default)]
struct Sources {
    keys: Vec<String>,
    /// As many.
    floors: Vec<Option<u64>>,
    seen: HashSet<String>,
    /// They cannot be read together.
    error: Option<Error>,
}

impl<I: Id> PageRequest<I> {
    /// With no timelines yet.
    fn new(timeline: &Timeline<I>, scope: &[&str]) -> PageRequest<I> {
        PageRequest {
            cluster: timeline.cluster.clone(),
            keys: timeline.cursor_keys.clone(),
            scope: scope.iter().map(|part| (*part).to_owned()).collect(),
            sources: Sources::default(),
            limit: PAGE_ITEMS_DEFAULT,
            from: None,
            is_partial: false,
            ids: PhantomData,
        }
    }

    /// Items of the page; default 50. At most [`PAGE_ITEMS_MAX`] (10,000), over several timelines [`MERGED_PAGE_ITEMS_MAX`] (1,000).
    pub fn limit(mut self, items: usize) -> PageRequest<I> {
        self.limit = items;
        self
    }

    /// Begins at a cursor, which knows its direction; default: with the newest items.
    pub fn from(mut self, cursor: &Cursor) -> PageRequest<I> {
        self.from = Some(cursor.clone());
        self
    }

    /// Merges these owners' timelines of another name into the page, each with its own [`max_age`](Timeline::max_age). What that costs is said
    /// at [`Timeline::merged`]. Cursors stay those of what was asked first, whoever is merged.
    pub fn with(
        mut self,
        timeline: &Timeline<I>,
        owners: impl IntoIterator<Item = impl Display>,
    ) -> PageRequest<I> {
        if !timeline.cluster.is_same_as(&self.cluster) {
            let why = format!(
                "the timelines {:?} are on another cluster than those that they are to be merged with",
                timeline.name
            );
            let error = Error::new(ErrorKind::Invalid, why);
            self.sources.error.get_or_insert(error);
        }
        self.sources.add(timeline, owners);
        self
    }

    /// Binds the page's cursors to this as well: the name of the reader of a merged page, say, which otherwise they are not bound to. Reads
    /// from a cursor have to say the same.
    pub fn bound_to(mut self, whom: impl Display) -> PageRequest<I> {
        self.scope.push(whom.to_string());
        self
    }

    /// Leaves out timelines that cannot be read, and says which, in [`Page::failed`]; default: an error. When none can be read, that is an
    /// error nevertheless.
    ///
    /// **What is lost**: of what has failed, the items that belong on this page are on no later one. The cursors of such a page say so:
    /// [`Page::has_gaps`] is true from here on, through their text. Ask for the same page again, by the cursor that it was asked by, to have
    /// them. An empty page loses nothing: its cursors are at the place where it began.
    pub fn partial(mut self) -> PageRequest<I> {
        self.is_partial = true;
        self
    }

    async fn read(self) -> Result<Page<I>, Error> {
        let scope: Vec<&str> = self.scope.iter().map(String::as_str).collect();
        let sealer = Sealer::new(self.keys.clone(), &scope);
        self.check()?;
        let (direction, from, had_gaps) = match &self.from {
            Some(cursor) => {
                sealer.check(cursor)?;
                (cursor.direction, cursor.cut.clone(), cursor.has_gaps)
            }
            None => (Direction::Older, Cut::Top, false),
        };
        // One more than is shown, to know whether there are more.
        let floors = self.sources.floors.iter().copied();
        let mut reading = Reading::new(direction, &from, self.limit + 1, floors);
        let failed = self.carry_out(&mut reading, direction).await?;
        let cost = PageCost {
            round_trips: reading.rounds(),
            entries_read: reading.entries_read(),
        };

        let mut found = reading.into_found();
        let has_more = found.len() > self.limit;
        found.truncate(self.limit);
        let lost_some = !failed.is_empty() && !found.is_empty();
        let at = Place {
            direction,
            from,
            has_more,
            // What has failed may have more.
            is_certain: failed.is_empty(),
        };
        let (next, previous) = at.around(&mut found);
        let has_gaps = had_gaps || lost_some;
        Ok(Page {
            items: items(found)?,
            next: next.map(|cut| sealer.cursor(Direction::Older, cut, has_gaps)),
            previous: sealer.cursor(Direction::Newer, previous, has_gaps),
            has_more: has_more || !failed.is_empty(),
            failed,
            has_gaps,
            cost,
        })
    }

    fn check(&self) -> Result<(), Error> {
        if let Some(error) = &self.sources.error {
            return Err(error.clone());
        }
        let sources = self.sources.keys.len();
        let why = if self.limit == 0 {
            "a page of 0 items says nothing, not even whether there are any: ask for at least 1"
                .to_owned()
        } else if self.limit > PAGE_ITEMS_MAX {
            format!(
                "a page of {} items is too large, {PAGE_ITEMS_MAX} is the most: all of it is one reply, for which others wait. Read on from \
                 `next` instead",
                self.limit
            )
        } else if sources > 1 && self.limit > MERGED_PAGE_ITEMS_MAX {
            format!(
                "a page of {} items over {sources} timelines is too large, {MERGED_PAGE_ITEMS_MAX} is the most: many times as many entries are \
                 read for it. Read on from `next` instead",
                self.limit
            )
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Invalid, why))
    }

    /// Asks until nothing is missing, a batch a round.
    async fn carry_out(
        &self,
        reading: &mut Reading,
        direction: Direction,
    ) -> Result<Vec<FailedSource>, Error> {
        let keys = &self.sources.keys;
        let mut failed = Vec::new();
        loop {
            let requests = reading.next_requests()?;
            if requests.is_empty() {
                break;
            }
            let cmds: Vec<_> = requests
                .iter()
                .map(|request| request.command(direction, &keys[request.source]))
                .collect();
            let replies = self.cluster.send_all_strictly(&cmds).await;
            for ((request, cmd), reply) in requests.iter().zip(&cmds).zip(replies) {
                let key = &keys[request.source];
                let taken = answer::<Value>(cmd, reply, key).and_then(|reply| {
                    let chunk = range::entries::<I>(reply);
                    let taken = chunk.and_then(|chunk| reading.take(request.source, chunk));
                    taken.map_err(|error| error.about_key(key.as_bytes()))
                });
                let Err(error) = taken else { continue };
                if !self.is_partial {
                    return Err(error);
                }
                reading.give_up(request.source);
                failed.push(FailedSource {
                    key: key.clone(),
                    error,
                });
            }
        }
        match failed.len() == keys.len() {
            true => failed
                .into_iter()
                .next()
                .map_or(Ok(Vec::new()), |first| Err(first.error)),
            false => Ok(failed),
        }
    }
}

impl Sources {
    fn add<I: Id>(
        &mut self,
        timeline: &Timeline<I>,
        owners: impl IntoIterator<Item = impl Display>,
    ) {
        if let Err(error) = timeline.check() {
            self.error.get_or_insert(error);
        }
        if self.error.is_some() {
            return;
        }
        // Once for all, so that the bound is at one time.
        let floor = timeline.cutoff();
        for owner in owners {
            let key = timeline.key(owner);
            if self.seen.contains(&key) {
                continue;
            }
            if self.keys.len() == SOURCES_MAX {
                let why = format!(
                    "these are more than {SOURCES_MAX} timelines for one page: deliver to a timeline of the reader's own in place of merging so many"
                );
                self.error = Some(Error::new(ErrorKind::Invalid, why));
                return;
            }
            self.seen.insert(key.clone());
            self.keys.push(key);
            self.floors.push(floor);
        }
    }
}

fn items<I: Id>(found: Vec<Entry>) -> Result<Vec<Item<I>>, Error> {
    let item = |Entry { score, member }| match I::from_member(member) {
        Some(id) => Ok(Item { id, score }),
        None => Err(range::no_id::<I>(score)),
    };
    found.into_iter().map(item).collect()
}

/// Where a page began, and what is known beyond its end.
struct Place {
    direction: Direction,
    from: Cut,
    has_more: bool,
    is_certain: bool,
}

impl Place {
    /// Puts the newest first, and says where older (if there are any) and newer items begin.
    fn around(self, found: &mut [Entry]) -> (Option<Cut>, Cut) {
        if self.direction == Direction::Newer {
            found.reverse();
        }
        let may_be_older = match self.direction {
            Direction::Older => self.has_more || !self.is_certain,
            Direction::Newer => self.from != Cut::Bottom || !found.is_empty() || !self.is_certain,
        };
        let (older, newer) = match (found.first(), found.last()) {
            (Some(first), Some(last)) => (Cut::Below(last.clone()), Cut::Above(first.clone())),
            // Nothing is above the top, and all that comes will be above the bottom.
            _ if self.from == Cut::Top => (Cut::Top, Cut::Bottom),
            _ => (self.from.clone(), self.from),
        };
        (may_be_older.then_some(older), newer)
    }
}

impl<I: Id> IntoFuture for PageRequest<I> {
    type Output = Result<Page<I>, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.read())
    }
}
