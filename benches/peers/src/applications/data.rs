//! What the servers hold, as arithmetic: what is loaded, and what must be answered, come from the same few lines.

use super::order::{Expected, Key};
use crate::layout::Layout;
use keyway::Config;
use keyway::placement::Placement;
use std::path::Path;

/// What their timelines are called.
pub const HOME: &str = "home";
pub const POSTS: &str = "posts";
/// As `POSTS`, but all of the newest items are one author's.
pub const SKEWED: &str = "skewed";
pub const OWNERS: usize = 100_000;
/// What is in each timeline before a delivery.
pub const ITEMS_BEFORE: u64 = 100;
pub const AUTHORS: usize = 500;
pub const ITEMS_OF_AUTHOR: u64 = 200;
pub const PAGE: usize = 50;
pub const VALUES: usize = 100;

/// Ids and scores of what is there before; all have 13 digits.
pub const OLD_IDS: u64 = 1_000_000_000_000;
pub const OLD_SCORES: u64 = 1_600_000_000_000;
/// Of what is delivered: whatever is at or above it was delivered in this run.
pub const NEW_IDS: u64 = 2_000_000_000_000;
pub const NEW_SCORES: u64 = 1_700_000_000_000;

/// Where keys are, by everybody who routes.
///
/// rb routes in its own way, so only such names are used whose server is the same for both: one copy of the data serves all.
pub struct Places {
    layout: Layout,
    keyway: Placement,
    rb: Placement,
}

impl Places {
    pub fn new(layout: &Layout) -> Places {
        let servers = layout.servers.len();
        let mut file = format!(
            "name = \"rb\"\n[placement]\nalgorithm = \"rb-partition\"\nnodes = {servers}\n"
        );
        for server in 0..servers {
            file += &format!(
                "[servers.s{server}]\nurl = \"redis://127.0.0.1:{}\"\nnodes = \"{server}\"\n",
                1 + server
            );
        }
        let rb = Config::parse(&file, Path::new("rb.toml"), &|_| None).expect("a right file");
        Places {
            layout: layout.clone(),
            keyway: layout.placement(),
            rb: rb.placement().clone(),
        }
    }

    /// None where they do not agree.
    pub fn server(&self, key: &str) -> Option<usize> {
        let node = self.keyway.node(key.as_bytes()).0;
        let server = usize::from(self.layout.server_of(node));
        (usize::from(self.rb.node(key.as_bytes()).0) == server).then_some(server)
    }

    /// The first numbers whose timelines are in the same place for all, shuffled: a follower list is in no order of memory, and in the order of
    /// their keys' creation deliveries would find each timeline beside the last one.
    pub fn shuffled_owners(&self, timelines: &str, count: usize) -> Vec<u64> {
        let mut owners = self.owners(timelines, count);
        owners.sort_unstable_by_key(|owner| mixed(*owner));
        owners
    }

    /// The first numbers whose timelines are in the same place for all.
    pub fn owners(&self, timelines: &str, count: usize) -> Vec<u64> {
        (0..)
            .filter(|owner| self.server(&timeline(timelines, *owner)).is_some())
            .take(count)
            .collect()
    }

    /// The first name that begins so and is on this server.
    pub fn key(&self, begins: &str, server: usize) -> Key {
        let key = (0..)
            .map(|at| format!("{begins}:{at}"))
            .find(|key| self.server(key) == Some(server))
            .expect("endless names");
        Key { key, server }
    }

    pub fn values(&self) -> Vec<Key> {
        (0..)
            .map(|at| format!("name:{at:012}"))
            .filter_map(|key| {
                let server = self.server(&key)?;
                Some(Key { key, server })
            })
            .take(VALUES)
            .collect()
    }
}

pub fn timeline(timelines: &str, owner: u64) -> String {
    format!("{timelines}:{owner}")
}

/// Two sets, their common members first; each member has ten digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    pub name: &'static str,
    pub sizes: [u64; 2],
    pub common: u64,
}

const COMMON: u64 = 1_000_000_000;
const OWN: [u64; 2] = [2_000_000_000, 3_000_000_000];

impl Pair {
    pub fn members(self, which: usize) -> impl Iterator<Item = u64> {
        let own = self.sizes[which] - self.common;
        (COMMON..COMMON + self.common).chain(OWN[which]..OWN[which] + own)
    }

    pub fn intersection(self) -> Expected {
        Expected::of(COMMON..COMMON + self.common)
    }

    pub fn union(self) -> Expected {
        let second = self.sizes[1] - self.common;
        Expected::of(self.members(0).chain(OWN[1]..OWN[1] + second))
    }

    pub fn difference(self) -> Expected {
        let first = self.sizes[0] - self.common;
        Expected::of(OWN[0]..OWN[0] + first)
    }

    /// Each on a server of its own.
    pub fn keys(self, places: &Places) -> Vec<Key> {
        let key = |which| places.key(&format!("set:{}:{which}", self.name), which);
        vec![key(0), key(1)]
    }
}

/// One author's items, as (score, id): spread over the same time as everybody's, but for the one who writes `later`.
pub fn items_of(author: u64, later: Option<u64>) -> impl Iterator<Item = (u64, u64)> {
    let begin = OLD_SCORES + if later == Some(author) { SPAN } else { 0 };
    (0..ITEMS_OF_AUTHOR).map(move |at| {
        let id = OLD_IDS + author * ITEMS_OF_AUTHOR + at;
        (begin + mixed(id) % SPAN, id)
    })
}

/// The time over which an author's items are spread.
const SPAN: u64 = 10_000_000_000;

/// The newest of all, newest first; of equal scores the greater id.
pub fn newest(authors: &[u64], later: Option<u64>, count: usize) -> Vec<u64> {
    let items = authors.iter().flat_map(|author| items_of(*author, later));
    let mut all: Vec<(u64, u64)> = items.collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    all.truncate(count);
    all.into_iter().map(|(_, id)| id).collect()
}

/// splitmix64: the same on every machine.
fn mixed(at: u64) -> u64 {
    let mut mixed = at.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn places() -> Places {
        Places::new(&Layout {
            servers: vec![1, 2],
            nodes: 64,
            ..Layout::default()
        })
    }

    #[test]
    fn owners_are_on_both_servers_where_everybody_looks_for_them() {
        let places = places();
        let owners = places.owners("home", 10_000);
        let second = owners
            .iter()
            .filter(|owner| places.server(&timeline("home", **owner)) == Some(1));
        let second = second.count();
        assert!((4_000..6_000).contains(&second), "{second}");
        assert_eq!(owners.iter().collect::<HashSet<_>>().len(), 10_000);
    }

    #[test]
    fn what_is_expected_of_two_sets_is_what_a_hash_set_says() {
        let pair = Pair {
            name: "test",
            sizes: [10, 30],
            common: 4,
        };
        let [one, other] = [0, 1].map(|which| pair.members(which).collect::<HashSet<u64>>());
        assert_eq!((one.len(), other.len()), (10, 30));
        assert_eq!(
            pair.intersection(),
            Expected::of(one.intersection(&other).copied())
        );
        assert_eq!(pair.union(), Expected::of(one.union(&other).copied()));
        assert_eq!(
            pair.difference(),
            Expected::of(one.difference(&other).copied())
        );
        assert!(
            one.iter()
                .chain(&other)
                .all(|member| member.to_string().len() == 10)
        );
    }

    #[test]
    fn each_set_of_a_pair_is_on_a_server_of_its_own() {
        let pair = Pair {
            name: "test",
            sizes: [1, 1],
            common: 0,
        };
        let places = places();
        for (server, key) in pair.keys(&places).iter().enumerate() {
            assert_eq!(
                (key.server, places.server(&key.key)),
                (server, Some(server))
            );
        }
    }

    #[test]
    fn the_newest_items_come_from_many_authors_and_differ_in_their_scores() {
        let authors: Vec<u64> = (0..500).collect();
        let page = newest(&authors, None, PAGE);
        let from: HashSet<u64> = page
            .iter()
            .map(|id| (id - OLD_IDS) / ITEMS_OF_AUTHOR)
            .collect();
        assert!(page.len() == PAGE && from.len() > 30, "{}", from.len());
        let scores: Vec<u64> = page.iter().map(|id| mixed(*id) % SPAN).collect();
        assert!(scores.is_sorted_by(|one, other| one > other));
        let skewed = newest(&authors, Some(7), PAGE);
        assert!(
            skewed
                .iter()
                .all(|id| (id - OLD_IDS) / ITEMS_OF_AUTHOR == 7)
        );
    }
}
