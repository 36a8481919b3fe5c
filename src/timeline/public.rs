//! One timeline of everything, a part of it on every node.

use super::cursor::CursorKeys;
use super::deliver::Report;
use super::{Id, Item, PageRequest, Timeline};
use crate::cluster::Cluster;
use crate::error::{Error, ErrorKind};
use crate::placement::Placement;
use futures::stream;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Numbers that are tried in search of a key for every node: so many per node, but at least `TRIES_MIN`. Data for ever, as a placement is.
const TRIES_PER_NODE: usize = 256;
const TRIES_MIN: usize = 65_536;

/// A timeline that is too large, or too busy, for one server: every node has a part of it, and a page is merged from all parts.
///
/// Part of it is a sorted set with the key `name:n`, for every node that with the smallest n whose key is on that node. An item is in the part
/// of the node that `name:id` would be on, so that nodes have their share by the placement; items whose ids have the same hash tag are in
/// one part. A node for which no key is found among the first 256 numbers per node (of all; at least 65,536) has no part, and its items are in
/// that of the next node. Neither changes as long as the placement does not.
///
/// Cheap to clone; clones share what they know.
///
/// ```no_run
/// # async fn example(cluster: keyway::Cluster) -> Result<(), keyway::Error> {
/// use keyway::timeline::Item;
///
/// let all = keyway::PublicTimeline::new(&cluster, "public").keep(1000);
/// all.push(&Item::new(17u64, 1_750_000_000_000)).await?;
/// let page = all.page().limit(50).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct PublicTimeline<I: Id = u64> {
    /// Whose owners are the parts.
    timeline: Timeline<I>,
    parts: Arc<OnceLock<Parts>>,
}

/// The parts, by their numbers.
#[derive(Debug)]
struct Parts {
    numbers: Vec<usize>,
    /// By node.
    of_node: Vec<usize>,
}

impl PublicTimeline<u64> {
    /// A timeline whose ids are numbers. No round trip.
    pub fn new(cluster: &Cluster, name: impl Into<String>) -> PublicTimeline<u64> {
        Timeline::new(cluster, name).into()
    }
}

impl PublicTimeline<String> {
    /// A timeline whose ids are strings. No round trip.
    pub fn of_strings(cluster: &Cluster, name: impl Into<String>) -> PublicTimeline<String> {
        Timeline::of_strings(cluster, name).into()
    }
}

/// With everything that is set there; its name is that of the parts.
impl<I: Id> From<Timeline<I>> for PublicTimeline<I> {
    fn from(timeline: Timeline<I>) -> PublicTimeline<I> {
        PublicTimeline {
            timeline,
            parts: Arc::default(),
        }
    }
}

impl<I: Id> PublicTimeline<I> {
    /// The newest items that are kept of **each part**; default: all. Of the whole, the newest `items` are there for certain, whatever parts they
    /// are in, and at most as many times that as there are parts (and what trims lag behind, [`Timeline::slack`], for each). Below the newest
    /// `items` a page may lack items whose part has more newer ones than others.
    pub fn keep(self, items: usize) -> PublicTimeline<I> {
        self.timeline.keep(items).into()
    }

    /// The age up to which items are kept and shown; default: any.
    pub fn max_age(self, age: Duration) -> PublicTimeline<I> {
        self.timeline.max_age(age).into()
    }

    /// As [`Timeline::sign_cursors`].
    pub fn sign_cursors(self, keys: &CursorKeys) -> PublicTimeline<I> {
        self.timeline.sign_cursors(keys).into()
    }

    /// Adds an item; true if it was not there. One round trip. An item that is there gets this score. Otherwise as [`Timeline::push`].
    ///
    /// # Errors
    /// As [`Timeline::push`]; [`ErrorKind::Invalid`] for a name with a hash tag, by which all parts would be on one node.
    pub async fn push(&self, item: &Item<I>) -> Result<bool, Error> {
        let part = self.part_of(&item.id)?;
        self.timeline.push(part, item).await
    }

    /// Takes an item out; true if it was there. One round trip. Safe to repeat.
    ///
    /// # Errors
    /// Those of a ZREM, naming the key, and as [`push`](PublicTimeline::push).
    pub async fn retract(&self, id: impl Into<I>) -> Result<bool, Error> {
        let id: I = id.into();
        let part = self.part_of(&id)?;
        let report = self.timeline.retract(id, stream::iter([part])).await?;
        match report.failures.into_iter().next() {
            Some(failure) => Err(failure.error),
            None => Ok(report.changed > 0),
        }
    }

    /// Trims all parts, also those to which nothing is pushed any more: [`Timeline::trim`].
    ///
    /// # Errors
    /// As [`Timeline::trim`] and as [`push`](PublicTimeline::push).
    pub async fn trim(&self) -> Result<Report<usize>, Error> {
        let parts = self.parts()?.numbers.clone();
        self.timeline.trim(stream::iter(parts)).await
    }

    /// Reads a page of the whole. At most two round trips, as [`Timeline::merged`] of as many timelines as there are nodes: for a page of 50 over
    /// 64 nodes some 320 entries in the first, over 4,096 nodes one of each.
    ///
    /// # Errors
    /// As [`push`](PublicTimeline::push); what reading fails with: as [`Timeline::merged`].
    pub fn page(&self) -> PageRequest<I> {
        self.timeline
            .page_of_parts(self.parts().map(|parts| &parts.numbers[..]))
    }

    /// The keys of all parts.
    ///
    /// # Errors
    /// As [`push`](PublicTimeline::push).
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        let parts = self.parts()?;
        let key = |part: &usize| self.timeline.key(part);
        Ok(parts.numbers.iter().map(key).collect())
    }

    fn part_of(&self, id: &I) -> Result<usize, Error> {
        let parts = self.parts()?;
        let key = [self.timeline.name.as_bytes(), b":", &id.to_member()].concat();
        let node = self.timeline.cluster.config().placement().node(&key);
        Ok(parts.of_node[node.index()])
    }

    fn parts(&self) -> Result<&Parts, Error> {
        if let Some(parts) = self.parts.get() {
            return Ok(parts);
        }
        self.timeline.check()?;
        let config = self.timeline.cluster.config();
        let found = Parts::find(config.placement(), &self.timeline.name)?;
        // No reload changes the placement, so that whoever was first has found the same.
        Ok(self.parts.get_or_init(|| found))
    }
}

impl Parts {
    fn find(placement: &Placement, name: &str) -> Result<Parts, Error> {
        let key = |number: usize| format!("{name}:{number}");
        let nodes = placement.node_count();
        if nodes > 1 && placement.hashed(key(0).as_bytes()) == placement.hashed(key(1).as_bytes()) {
            let why = format!(
                "the public timeline is named {name:?}, which has a hash tag: all its parts would be on one node. Take a name without one"
            );
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        let mut of_node: Vec<Option<usize>> = vec![None; nodes];
        let mut left = nodes;
        for number in 0..(nodes * TRIES_PER_NODE).max(TRIES_MIN) {
            let node = placement.node(key(number).as_bytes());
            if of_node[node.index()].is_none() {
                of_node[node.index()] = Some(number);
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        let numbers: Vec<usize> = of_node.iter().flatten().copied().collect();
        // The first that is found from a node on, going round; number 0 is on one of them.
        let mut next = of_node.iter().flatten().next().copied().unwrap_or_default();
        let mut of_node: Vec<usize> = (of_node.iter().rev())
            .map(|number| {
                next = number.unwrap_or(next);
                next
            })
            .collect();
        of_node.reverse();
        Ok(Parts { numbers, of_node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::xxh3;
    use crate::placement::{Algorithm, Custom, NodeSpec};

    fn nodes(count: usize) -> Vec<NodeSpec> {
        (0..count)
            .map(|node| NodeSpec::new(node.to_string()))
            .collect()
    }

    #[test]
    fn every_node_has_the_part_with_the_smallest_number_on_it() {
        for algorithm in [
            Algorithm::Ketama,
            Algorithm::Modulo,
            Algorithm::Rendezvous,
            Algorithm::Jump,
            Algorithm::Maglev,
        ] {
            for count in [1, 5, 128] {
                let placement = Placement::with_nodes(algorithm, count).unwrap();
                let parts = Parts::find(&placement, "public").unwrap();
                assert_eq!(parts.numbers.len(), usize::from(count));
                for (node, number) in placement.nodes().zip(&parts.of_node) {
                    let first =
                        (0..).find(|n| placement.node(format!("public:{n}").as_bytes()) == node);
                    assert_eq!(first, Some(*number), "{algorithm}, node {node} of {count}");
                }
            }
        }
    }

    #[test]
    fn parts_are_found_soon_and_never_anywhere_else() {
        let placement = Placement::with_nodes(Algorithm::Ketama, 4096).unwrap();
        let started = std::time::Instant::now();
        let parts = Parts::find(&placement, "public").unwrap();
        // 4 ms on an idle machine.
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "{:?}",
            started.elapsed()
        );
        assert_eq!(parts.numbers.len(), 4096);
        let text = format!("{:?}", parts.of_node);
        assert_eq!(format!("{:016x}", xxh3(text.as_bytes())), "");
    }

    #[test]
    fn a_node_without_a_part_leaves_its_items_to_the_next() {
        // Of five nodes, only 1 and 3 ever have a key of this name.
        let placed = |key: &[u8], _: u16| if key.ends_with(b"0") { 3 } else { 1 };
        let placement = Placement::custom(Custom::new("two-of-five", 1, placed), nodes(5)).unwrap();
        let parts = Parts::find(&placement, "public").unwrap();
        assert_eq!(parts.numbers, [1, 0]);
        assert_eq!(parts.of_node, [1, 1, 0, 0, 1]);
    }

    #[test]
    fn a_name_with_a_hash_tag_is_refused() {
        let placement = Placement::with_nodes(Algorithm::Ketama, 64).unwrap();
        let refused = Parts::find(&placement, "{public}").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        let alone = Placement::with_nodes(Algorithm::Ketama, 1).unwrap();
        assert_eq!(Parts::find(&alone, "{public}").unwrap().numbers, [0]);
    }
}
