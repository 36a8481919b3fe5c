//! From a name, in any case, to its row. No allocation and no lock: the index is built by the compiler.

use super::arguments::printable;
use super::table::{ROWS, TABLE};
use super::{CommandId, Row};

/// What the first word of a command names.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// A command by itself.
    Row(&'static Row),
    /// The first word of several commands; the next argument says which.
    Container(Container),
}

/// The first word of several commands, such as CLIENT or XGROUP.
#[derive(Clone, Copy, Debug)]
pub struct Container {
    rows: &'static [Row],
    name: &'static str,
}

impl Container {
    /// The word, in upper case.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The row of a subcommand, in any case.
    pub fn row(&self, subcommand: &[u8]) -> Option<&'static Row> {
        let from = self.name.len() + 1;
        // The length first: it settles most rows, and comparing without case is slow.
        self.rows.iter().find(|row| {
            let name = row.name.as_bytes();
            name.len() == from + subcommand.len() && name[from..].eq_ignore_ascii_case(subcommand)
        })
    }

    /// The row of the word alone. Only COMMAND has one.
    pub fn bare(&self) -> Option<&'static Row> {
        self.rows.first().filter(|row| row.name == self.name)
    }

    /// Every row of this container.
    pub fn rows(&self) -> &'static [Row] {
        self.rows
    }
}

/// A command that the table does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unknown {
    /// No arguments at all, or an empty name.
    #[error("an empty command was given: expected a name and its arguments")]
    Empty,
    /// No command has this name.
    #[error(
        "`{name}` is not a command of Redis 7.0{} A command of a newer server or a module is sent when its key or node \
         is given: cluster.for_key(key)",
        meaning(nearest, ".")
    )]
    Command {
        /// The name as it was given, made printable and cut short.
        name: String,
        /// The name nearest to it, if one is near.
        nearest: Option<&'static str>,
    },
    /// A container was named without a subcommand.
    #[error("`{container}` needs a subcommand as its next argument")]
    NoSubcommand {
        /// The container.
        container: &'static str,
    },
    /// The container has no such subcommand.
    #[error(
        "`{container} {subcommand}` is not a subcommand in Redis 7.0{}",
        meaning(nearest, "")
    )]
    Subcommand {
        /// The container.
        container: &'static str,
        /// The subcommand as it was given, made printable and cut short.
        subcommand: String,
        /// The whole name nearest to it, if one is near.
        nearest: Option<&'static str>,
    },
}

fn meaning(nearest: &Option<&'static str>, end: &str) -> String {
    nearest.map_or(end.to_owned(), |nearest| {
        format!("; did you mean {nearest}?")
    })
}

/// Finds what `name` (the first word, in any case) names. A few nanoseconds; does not allocate.
///
/// ```
/// use keyway::command::{Found, Rule, lookup};
///
/// assert!(matches!(lookup(b"get"), Some(Found::Row(row)) if row.name == "GET" && row.rule == Rule::Keyed));
/// assert!(matches!(lookup(b"XGROUP"), Some(Found::Container(_))));
/// assert!(lookup(b"GTE").is_none());
/// ```
pub fn lookup(name: &[u8]) -> Option<Found> {
    let mut place = hash(name);
    loop {
        let entry = INDEX[place];
        if entry.rows == 0 {
            return None;
        }
        let row = &TABLE[usize::from(entry.first)];
        let word_len = usize::from(entry.word_len);
        if row.name.as_bytes()[..word_len].eq_ignore_ascii_case(name) {
            if entry.rows == 1 && word_len == row.name.len() {
                return Some(Found::Row(row));
            }
            let rows = &TABLE[usize::from(entry.first)..][..usize::from(entry.rows)];
            return Some(Found::Container(Container {
                rows,
                name: &row.name[..word_len],
            }));
        }
        place = (place + 1) & MASK;
    }
}

/// The row of a whole command, its subcommand resolved.
///
/// # Errors
/// [`Unknown`] for a name that the table does not have, or a container without a known subcommand.
pub fn row_of(args: &[&[u8]]) -> Result<&'static Row, Unknown> {
    let name = args.first().copied().unwrap_or_default();
    match lookup(name) {
        Some(Found::Row(row)) => Ok(row),
        Some(Found::Container(container)) => match args.get(1) {
            Some(subcommand) => container
                .row(subcommand)
                .ok_or_else(|| unknown_subcommand(container, subcommand)),
            None => container.bare().ok_or(Unknown::NoSubcommand {
                container: container.name,
            }),
        },
        None if name.is_empty() => Err(Unknown::Empty),
        None => Err(unknown(name)),
    }
}

fn unknown(name: &[u8]) -> Unknown {
    let name = printable(name);
    let nearest = nearest(
        &name,
        TABLE
            .iter()
            .map(|row| (first_word(row.name), first_word(row.name))),
    );
    Unknown::Command { name, nearest }
}

fn unknown_subcommand(container: Container, subcommand: &[u8]) -> Unknown {
    let subcommand = printable(subcommand);
    let words = container
        .rows
        .iter()
        .filter_map(|row| Some((subcommand_of(row.name)?, row.name)));
    let nearest = nearest(&subcommand, words);
    Unknown::Subcommand {
        container: container.name,
        subcommand,
        nearest,
    }
}

/// Names of newer servers that are one letter from a name of the table.
const NOT_TYPING_MISTAKES: [&str; 2] = ["HSETEX", "MSETEX"];

/// The name whose word becomes `word` by one typing mistake.
fn nearest(
    word: &str,
    candidates: impl Iterator<Item = (&'static str, &'static str)>,
) -> Option<&'static str> {
    let word = word.to_ascii_uppercase();
    if NOT_TYPING_MISTAKES.contains(&word.as_str()) {
        return None;
    }
    candidates
        .filter_map(|(meant, name)| Some((mistake(meant.as_bytes(), word.as_bytes())?, name)))
        .min_by_key(|&(mistake, _)| mistake)
        .map(|(_, name)| name)
}

/// How a word is mistyped, the likeliest first.
///
/// A letter too many is not among them unless it repeats its neighbour, and neither is another first letter or a first
/// letter that lacks: commands of newer servers are made that way. HEXPIRE is not EXPIRE, and VADD is not ZADD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mistake {
    Swapped,
    Doubled,
    Missing,
    Wrong,
}

/// The one mistake by which `meant` was written as `written`.
fn mistake(meant: &[u8], written: &[u8]) -> Option<Mistake> {
    let same = meant.iter().zip(written).take_while(|(a, b)| a == b);
    let (before, meant, written) = same
        .fold((None, meant, written), |(_, meant, written), (a, _)| {
            (Some(a), &meant[1..], &written[1..])
        });
    match (meant, written) {
        ([a, b, meant @ ..], [c, d, written @ ..]) if (a, b) == (d, c) && meant == written => {
            Some(Mistake::Swapped)
        }
        (_, [again, written @ ..]) if Some(again) == before && meant == written => {
            Some(Mistake::Doubled)
        }
        ([_, meant @ ..], _) if before.is_some() && meant == written => Some(Mistake::Missing),
        ([_, meant @ ..], [_, written @ ..]) if before.is_some() && meant == written => {
            Some(Mistake::Wrong)
        }
        _ => None,
    }
}

/// Places of the index: a power of two, four times the number of first words, so that nearly every probe hits at once.
const PLACES: usize = 1 << PLACES_LOG2;
const PLACES_LOG2: u32 = 10;
const MASK: usize = PLACES - 1;

/// The rows of one first word, which are neighbours in the table.
#[derive(Clone, Copy)]
struct Entry {
    first: u16,
    /// 0 in an empty place.
    rows: u8,
    word_len: u8,
}

static INDEX: [Entry; PLACES] = index();

/// Open addressing over the hashes of first words.
const fn index() -> [Entry; PLACES] {
    let mut index = [Entry {
        first: 0,
        rows: 0,
        word_len: 0,
    }; PLACES];
    let mut id = 0;
    while id < CommandId::COUNT {
        let name = ROWS[id].name;
        let word = name.as_bytes().split_at(first_word_len(name)).0;
        let mut place = hash(word);
        while index[place].rows > 0 && !is_first_word(ROWS[index[place].first as usize].name, word)
        {
            place = (place + 1) & MASK;
        }
        let entry = &mut index[place];
        if entry.rows == 0 {
            entry.first = id as u16;
            entry.word_len = word.len() as u8;
        }
        // Stops the build if the rows of a container are apart.
        assert!(entry.first as usize + entry.rows as usize == id);
        entry.rows += 1;
        id += 1;
    }
    index
}

/// Clears the bit that tells lower from upper case. What that does to other bytes it does on both sides.
const FOLD: u64 = 0xDFDF_DFDF_DFDF_DFDF;

/// From the length and both ends, without case. Words of up to 16 bytes are taken in whole; loads may overlap.
const fn hash(name: &[u8]) -> usize {
    let mixed = if let (Some(head), Some(tail)) = (name.first_chunk(), name.last_chunk()) {
        u64::from_le_bytes(*head) & FOLD ^ (u64::from_le_bytes(*tail) & FOLD).rotate_left(29)
    } else if let (Some(head), Some(tail)) = (name.first_chunk(), name.last_chunk()) {
        ((u32::from_le_bytes(*head) as u64) << 32 | u32::from_le_bytes(*tail) as u64) & FOLD
    } else if let [first, .., last] = name {
        ((*first as u64) << 16 | (name[1] as u64) << 8 | *last as u64) & FOLD
    } else {
        0
    };
    // Fibonacci hashing: the golden ratio's multiplier carries every bit into the top ones.
    ((mixed ^ name.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - PLACES_LOG2)) as usize
}

const fn first_word_len(name: &str) -> usize {
    let bytes = name.as_bytes();
    let mut len = 0;
    while len < bytes.len() && bytes[len] != b' ' {
        len += 1;
    }
    len
}

const fn is_first_word(name: &str, word: &[u8]) -> bool {
    let bytes = name.as_bytes();
    if first_word_len(name) != word.len() {
        return false;
    }
    let mut at = 0;
    while at < word.len() {
        if bytes[at] != word[at] {
            return false;
        }
        at += 1;
    }
    true
}

fn first_word(name: &'static str) -> &'static str {
    &name[..first_word_len(name)]
}

fn subcommand_of(name: &'static str) -> Option<&'static str> {
    name.split_once(' ').map(|(_, subcommand)| subcommand)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::command::all;

    #[test]
    fn every_row_is_found_in_upper_lower_and_mixed_case() {
        for row in all() {
            for name in [
                row.name.to_owned(),
                row.name.to_lowercase(),
                row.name.replace('E', "e"),
            ] {
                let args: Vec<&[u8]> = name.split(' ').map(str::as_bytes).collect();
                assert_eq!(row_of(&args).unwrap().id, row.id, "{name}");
                assert_eq!(row.id.row(), Some(row));
            }
        }
    }

    #[test]
    fn rows_are_unique_and_containers_are_neighbours() {
        for (position, row) in all().iter().enumerate() {
            assert_eq!(row.id.index(), position);
            assert!(
                all()[..position]
                    .iter()
                    .all(|before| before.name != row.name),
                "{} twice",
                row.name
            );
            if let Some(Found::Container(container)) = lookup(first_word(row.name).as_bytes()) {
                assert!(
                    container.rows().contains(row),
                    "{} is apart from its container",
                    row.name
                );
            }
        }
    }

    #[test]
    fn what_a_cluster_does_not_route_says_what_to_do_instead() {
        use crate::command::Rule;
        for row in all() {
            let refused = matches!(
                row.rule,
                Rule::PerServer
                    | Rule::OnServer
                    | Rule::Dedicated
                    | Rule::PubSub
                    | Rule::Connection
            );
            assert_eq!(refused, !row.remedy.is_empty(), "{}", row.name);
        }
    }

    #[test]
    fn nothing_else_is_found() {
        for name in [
            "",
            "GE",
            "GETT",
            "XGROUP CREATE",
            "CREATE",
            "\u{1}",
            "G\u{15}T",
            "GET\0",
            "RESTORE\rASKING",
        ] {
            assert!(lookup(name.as_bytes()).is_none(), "{name:?}");
        }
        assert!(lookup(&[b'A'; 100_000]).is_none());
    }

    #[test]
    fn unknown_names_are_answered_with_the_nearest() {
        let text = |args: &[&[u8]]| row_of(args).unwrap_err().to_string();
        let end = "A command of a newer server or a module is sent when its key or node is given: cluster.for_key(key)";
        assert_eq!(
            text(&[b"hgetal", b"k"]),
            format!("`hgetal` is not a command of Redis 7.0; did you mean HGETALL? {end}")
        );
        assert_eq!(
            text(&[b"JSON.GET"]),
            format!("`JSON.GET` is not a command of Redis 7.0. {end}")
        );
        assert_eq!(
            text(&[b"xgroup", b"craete"]),
            "`XGROUP craete` is not a subcommand in Redis 7.0; did you mean XGROUP CREATE?"
        );
        assert_eq!(
            text(&[b"CLIENT"]),
            "`CLIENT` needs a subcommand as its next argument"
        );
        assert_eq!(
            text(&[]),
            "an empty command was given: expected a name and its arguments"
        );
        assert!(text(&[&[0xFF; 1000]]).len() < 400);
    }

    fn hint(line: &str) -> Option<&'static str> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        match row_of(&args) {
            Err(Unknown::Command { nearest, .. } | Unknown::Subcommand { nearest, .. }) => nearest,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn one_typing_mistake_has_a_hint() {
        for (written, meant) in [
            ("GTE", "GET"),
            ("hgte", "HGET"),
            ("ZRAGNE", "ZRANGE"),
            ("SETT", "SET"),
            ("GGET", "GET"),
            ("HGETAL", "HGETALL"),
            ("EXPRE", "EXPIRE"),
            ("ZRENGE", "ZRANGE"),
            ("INCE", "INCR"),
            ("XGROUP CRATE", "XGROUP CREATE"),
            ("CONFIG GTE", "CONFIG GET"),
        ] {
            assert_eq!(hint(written), Some(meant), "{written}");
        }
        // Nothing like it, or more than one mistake.
        for written in ["NOSUCH", "G", "ZRNGAE", "ZADDD1"] {
            assert_eq!(hint(written), None, "{written}");
        }
    }

    /// Commands of Redis 7.2 to 8.4, of Valkey 8 and 9, and of modules.
    const NEWER: &str = "HEXPIRE HPEXPIRE HEXPIREAT HPEXPIREAT HEXPIRETIME HPEXPIRETIME HTTL HPTTL HPERSIST HGETDEL HGETEX HSETEX \
        VADD VCARD VDIM VEMB VGETATTR VINFO VISMEMBER VLINKS VRANDMEMBER VRANGE VREM VSETATTR VSIM \
        MSETEX DELEX DIGEST XACKDEL XDELEX XCFGSET DELIFEQ COMMANDLOG CLUSTERSCAN HOTKEYS \
        JSON.GET JSON.SET JSON.MGET JSON.DEL FT.SEARCH FT.CREATE FT.AGGREGATE BF.ADD BF.EXISTS CF.ADD CMS.QUERY TOPK.ADD TDIGEST.ADD \
        TS.ADD TS.GET TS.RANGE GRAPH.QUERY RG.PYEXECUTE";
    const NEWER_SUBCOMMANDS: &str = "CLIENT NO-TOUCH|CLIENT SETINFO|CLIENT CAPA|CLIENT IMPORT-SOURCE|CLUSTER MYSHARDID|\
        CLUSTER SLOT-STATS|CLUSTER MIGRATION|CLUSTER MIGRATESLOTS|CLUSTER GETSLOTMIGRATIONS|SCRIPT SHOW";

    #[test]
    fn a_command_of_a_newer_server_is_not_taken_for_a_typing_mistake() {
        for line in NEWER.split_whitespace().chain(NEWER_SUBCOMMANDS.split('|')) {
            assert_eq!(hint(line), None, "{line}");
        }
    }

    #[test]
    fn command_alone_is_a_command_and_a_container() {
        assert_eq!(row_of(&[b"COMMAND"]).unwrap().name, "COMMAND");
        assert_eq!(
            row_of(&[b"command", b"count"]).unwrap().name,
            "COMMAND COUNT"
        );
        assert!(row_of(&[b"COMMAND", b"COMMAND"]).is_err());
    }
}
