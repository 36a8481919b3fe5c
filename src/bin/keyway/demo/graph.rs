//! Who follows whom: read from a file or generated, and kept in memory as the truth that the servers' answers are held against.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Longer lines are not edges, whatever they are; reading stops there instead of filling memory.
const LINE_BYTES_MAX: u64 = 1024;
/// Of a bad line, this much is shown.
const SHOWN_CHARS_MAX: usize = 60;
/// 75,000 users make 400,000 edges.
const EDGES_PER_3_USERS: u64 = 16;
/// Rounds in which a small, dense graph may replace the edges that it drew twice.
const ROUNDS_MAX: usize = 32;

/// A follow graph. Users are numbered densely, in the order of their ids.
#[derive(Debug)]
pub(crate) struct Graph {
    ids: Vec<u64>,
    follows: Neighbours,
    followers: Neighbours,
}

/// Sorted lists, one per user, end to end.
#[derive(Debug)]
struct Neighbours {
    begins: Vec<usize>,
    members: Vec<u32>,
}

/// The two kinds of sets that are stored, one of each per user who has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// `follows:<id>`: whom this user follows.
    Follows,
    /// `followers:<id>`: who follows this user.
    Followers,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Follows, Side::Followers];

    /// No hash tag: the sets are to spread over all nodes.
    pub(crate) fn key(self, id: u64) -> String {
        match self {
            Side::Follows => format!("follows:{id}"),
            Side::Followers => format!("followers:{id}"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum GraphError {
    #[error("cannot read {file}: {source}", file = .file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error(
        "{file}:{line}: read {read}; expected two user numbers, as in \"17 42\" (42 follows 17), or a comment that begins with #",
        file = .file.display()
    )]
    Line {
        file: PathBuf,
        line: u64,
        read: String,
    },
    #[error("{file}: there is no edge in it; expected lines as \"17 42\" (42 follows 17)", file = .file.display())]
    Empty { file: PathBuf },
    #[error("{file}: {users} users; the demo takes up to {}", u32::MAX, file = .file.display())]
    TooMany { file: PathBuf, users: usize },
}

impl Graph {
    /// Reads lines `a b`: b follows a. `bytes_read` follows the progress.
    pub(crate) fn read(file: &Path, bytes_read: &AtomicU64) -> Result<Graph, GraphError> {
        let failed = |source| GraphError::Read {
            file: file.to_owned(),
            source,
        };
        let mut input = BufReader::new(File::open(file).map_err(failed)?);
        let mut edges = Vec::new();
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let count = (&mut input)
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut text)
                .map_err(failed)?;
            if count == 0 {
                break;
            }
            bytes_read.fetch_add(count as u64, Ordering::Relaxed);
            let is_cut = count as u64 == LINE_BYTES_MAX && !text.ends_with(b"\n");
            match parse_line(&text) {
                Some(edge) if !is_cut => edges.extend(edge),
                _ => {
                    return Err(GraphError::Line {
                        file: file.to_owned(),
                        line,
                        read: show_line(&text),
                    });
                }
            }
        }
        if edges.is_empty() {
            return Err(GraphError::Empty {
                file: file.to_owned(),
            });
        }
        let mut ids: Vec<u64> = edges.iter().flat_map(|(a, b)| [*a, *b]).collect();
        ids.sort_unstable();
        ids.dedup();
        if u32::try_from(ids.len()).is_err() {
            return Err(GraphError::TooMany {
                file: file.to_owned(),
                users: ids.len(),
            });
        }
        let number = |id: u64| ids.partition_point(|other| *other < id) as u32;
        let edges = edges
            .into_iter()
            .map(|(a, b)| (number(a), number(b)))
            .collect();
        Ok(Graph::new(ids, edges))
    }

    /// A graph whose in-degrees are heavy-tailed: the user of popularity rank k is followed with a probability that falls as k^(-2/3), and
    /// the user of activity rank k follows others as k^(-1/2); the two ranks have nothing to do with each other. Everybody follows somebody.
    /// The same seed makes the same graph.
    pub(crate) fn generate(users: u32, seed: u64) -> Graph {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut by_popularity: Vec<u32> = (0..users).collect();
        random.shuffle(&mut by_popularity);
        let mut by_activity: Vec<u32> = (0..users).collect();
        random.shuffle(&mut by_activity);
        // Inverse transform of a power law: rank / users = x^(1 / (1 - exponent)). Products only, so every machine draws the same.
        let rank = |x: f64| ((x * f64::from(users)) as usize).min(users as usize - 1);
        let followed = |random: &mut fastrand::Rng| {
            let x = random.f64();
            by_popularity[rank(x * x * x)]
        };
        let follower = |random: &mut fastrand::Rng| {
            let x = random.f64();
            by_activity[rank(x * x)]
        };

        let wanted = edges_wanted(users);
        let mut edges: Vec<(u32, u32)> = (0..users)
            .map(|user| (followed(&mut random), user))
            .collect();
        for _ in 0..ROUNDS_MAX {
            edges.retain(|(a, b)| a != b);
            edges.sort_unstable();
            edges.dedup();
            if edges.len() >= wanted {
                break;
            }
            for _ in edges.len()..wanted {
                edges.push((followed(&mut random), follower(&mut random)));
            }
        }
        Graph::new((1..=u64::from(users)).collect(), edges)
    }

    fn new(ids: Vec<u64>, mut edges: Vec<(u32, u32)>) -> Graph {
        edges.sort_unstable();
        edges.dedup();
        let followers = Neighbours::new(ids.len(), &edges);
        for (a, b) in &mut edges {
            std::mem::swap(a, b);
        }
        edges.sort_unstable();
        let follows = Neighbours::new(ids.len(), &edges);
        Graph {
            ids,
            follows,
            followers,
        }
    }

    pub(crate) fn users(&self) -> u32 {
        self.ids.len() as u32
    }

    pub(crate) fn edges(&self) -> usize {
        self.follows.members.len()
    }

    pub(crate) fn id(&self, user: u32) -> u64 {
        self.ids[user as usize]
    }

    /// The members of one set, ascending.
    pub(crate) fn set(&self, side: Side, user: u32) -> &[u32] {
        let neighbours = match side {
            Side::Follows => &self.follows,
            Side::Followers => &self.followers,
        };
        let user = user as usize;
        &neighbours.members[neighbours.begins[user]..neighbours.begins[user + 1]]
    }

    /// Every set that is not empty.
    pub(crate) fn sets(&self) -> impl Iterator<Item = (Side, u32)> + '_ {
        Side::BOTH
            .into_iter()
            .flat_map(|side| (0..self.users()).map(move |user| (side, user)))
            .filter(|(side, user)| !self.set(*side, *user).is_empty())
    }

    /// Users by the size of one of their sets, largest first.
    pub(crate) fn heaviest(&self, side: Side) -> Vec<u32> {
        let mut users: Vec<u32> = (0..self.users())
            .filter(|user| !self.set(side, *user).is_empty())
            .collect();
        users.sort_by_key(|user| std::cmp::Reverse(self.set(side, *user).len()));
        users
    }

    /// Members that the sets of two users have in common, as ids, ascending.
    pub(crate) fn common(&self, side: Side, a: u32, b: u32) -> Vec<u64> {
        self.chosen(side, a, b, true)
    }

    /// Members of the first user's set that are not in the second's, as ids, ascending.
    pub(crate) fn only_in_first(&self, side: Side, a: u32, b: u32) -> Vec<u64> {
        self.chosen(side, a, b, false)
    }

    fn chosen(&self, side: Side, a: u32, b: u32, in_both: bool) -> Vec<u64> {
        let others = self.set(side, b);
        self.set(side, a)
            .iter()
            .filter(|member| others.binary_search(member).is_ok() == in_both)
            .map(|member| self.id(*member))
            .collect()
    }
}

impl Neighbours {
    /// Of edges that are sorted.
    fn new(users: usize, edges: &[(u32, u32)]) -> Neighbours {
        let mut begins = vec![0; users + 1];
        for (user, _) in edges {
            begins[*user as usize + 1] += 1;
        }
        for user in 0..users {
            begins[user + 1] += begins[user];
        }
        Neighbours {
            begins,
            members: edges.iter().map(|(_, member)| *member).collect(),
        }
    }
}

fn edges_wanted(users: u32) -> usize {
    let users = u64::from(users);
    // Up to a quarter of all that are possible, or drawing without repetition takes for ever.
    (users * EDGES_PER_3_USERS / 3).min(users * (users - 1) / 4) as usize
}

/// `Some(None)` for a comment or a blank line, `None` for one that is neither that nor an edge.
fn parse_line(text: &[u8]) -> Option<Option<(u64, u64)>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut fields = text.split('#').next()?.split_whitespace();
    let Some(a) = fields.next() else {
        return Some(None);
    };
    let b = fields.next()?;
    match fields.next() {
        Some(_) => None,
        None => Some(Some((a.parse().ok()?, b.parse().ok()?))),
    }
}

fn show_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.trim_end();
    match line.chars().count() > SHOWN_CHARS_MAX {
        true => format!(
            "{:?}...",
            line.chars().take(SHOWN_CHARS_MAX).collect::<String>()
        ),
        false => format!("{line:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Graph, String> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("edges");
        std::fs::write(&file, text).unwrap();
        Graph::read(&file, &AtomicU64::new(0))
            .map_err(|error| error.to_string().replace(&*file.to_string_lossy(), "edges"))
    }

    #[test]
    fn b_follows_a() {
        let graph = read(b"# a comment\n\n 17\t42 \r\n17 7 # again\n17 42\n7 17").unwrap();
        assert_eq!((graph.users(), graph.edges()), (3, 3));
        let ids = |side, user| -> Vec<u64> {
            graph
                .set(side, user)
                .iter()
                .map(|user| graph.id(*user))
                .collect()
        };
        // 7, 17, 42 in this order.
        assert_eq!(ids(Side::Followers, 1), [7, 42]);
        assert_eq!(ids(Side::Follows, 1), [7]);
        assert_eq!(ids(Side::Follows, 2), [17]);
        assert_eq!(graph.common(Side::Follows, 0, 2), [17]);
        assert_eq!(graph.only_in_first(Side::Followers, 1, 0), [7, 42]);
        assert_eq!(graph.only_in_first(Side::Followers, 0, 1), [17]);
        assert_eq!(graph.heaviest(Side::Followers), [1, 0]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let long = [&b"1 2\n"[..], &[b'7'; 5000]].concat();
        let errors: Vec<String> = [
            &b"1 2\n3\n"[..],
            b"1 2\n\n3 x\n",
            b"1 2 3\n",
            b"-1 2\n",
            b"1 2\n\xff\xfe\n",
            b"1 18446744073709551616",
            &long,
            b"# nothing\n",
        ]
        .into_iter()
        .map(|text| read(text).unwrap_err())
        .collect();
        insta::assert_snapshot!(errors.join("\n"), @r#"
        edges:2: read "3"; expected two user numbers, as in "17 42" (42 follows 17), or a comment that begins with #
        edges:3: read "3 x"; expected two user numbers, as in "17 42" (42 follows 17), or a comment that begins with #
        edges:1: read "1 2 3"; expected two user numbers, as in "17 42" (42 follows 17), or a comment that begins with #
        edges:1: read "-1 2"; expected two user numbers, as in "17 42" (42 follows 17), or a comment that begins with #
        edges:2: read "��"; expected two user numbers, as in "17 42" (42 follows 17), or a comment that begins with #
        edges:1: read "1 18446744073709551616"; expected two user numbers, as in "17 42" (42 follows 17), or a comment that begins with #
        edges:2: read "777777777777777777777777777777777777777777777777777777777777"...; expected two user numbers, as in "17 42" (42 follows 17), or a comment that begins with #
        edges: there is no edge in it; expected lines as "17 42" (42 follows 17)
        "#);
    }

    #[test]
    fn a_generated_graph_is_heavy_tailed_and_the_same_for_the_same_seed() {
        let graph = Graph::generate(20_000, 7);
        assert_eq!(graph.users(), 20_000);
        assert_eq!(graph.edges(), 106_666);
        let heaviest = graph.heaviest(Side::Followers);
        let top = graph.set(Side::Followers, heaviest[0]).len();
        let middle = graph
            .set(Side::Followers, heaviest[heaviest.len() / 2])
            .len();
        assert!(top > 200 * middle, "{top} {middle}");
        assert_eq!(
            graph.heaviest(Side::Follows).len(),
            20_000,
            "everybody follows somebody"
        );
        let again = Graph::generate(20_000, 7);
        assert_eq!(graph.followers.members, again.followers.members);
        let other = Graph::generate(20_000, 8);
        assert_ne!(graph.followers.members, other.followers.members);
    }

    #[test]
    fn the_smallest_graphs_can_be_generated() {
        for users in 10..40 {
            let graph = Graph::generate(users, 1);
            assert!(
                graph.edges() >= users as usize / 2,
                "{users}: {}",
                graph.edges()
            );
        }
        assert_eq!(edges_wanted(75_000), 400_000);
    }
}
