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
        self.rows.iter().find(|row| {
            subcommand_of(row.name)
                .is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(subcommand))
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
#[error("{}", self.text())]
pub struct Unknown {
    /// The name as it was given, made printable and cut short; container and subcommand with a space between.
    pub name: String,
    /// The known name nearest to it, if one is near.
    pub nearest: Option<&'static str>,
    /// The container that was named, if the subcommand is what is missing or unknown.
    pub container: Option<&'static str>,
}

impl Unknown {
    fn text(&self) -> String {
        let mut text = match self.container {
            Some(container) if self.name == container => {
                format!("`{container}` needs a subcommand")
            }
            Some(container) => format!(
                "`{}` is not a subcommand of {container} in Redis 7.0",
                self.name
            ),
            None => format!("`{}` is not a command of Redis 7.0", self.name),
        };
        if let Some(nearest) = self.nearest {
            text.push_str(&format!("; did you mean {nearest}?"));
        }
        text.push_str(" A command of a newer server or a module is sent when its key or node is given (for_key, on_node)");
        text
    }
}

/// Finds what `name` (the first word, in any case) names. A few nanoseconds; does not allocate.
pub fn lookup(name: &[u8]) -> Option<Found> {
    let mut place = hash(name) & MASK;
    loop {
        let entry = INDEX[place];
        if entry == EMPTY {
            return None;
        }
        let row = &TABLE[usize::from(entry & !CONTAINER)];
        let word = first_word(row.name);
        if word.as_bytes().eq_ignore_ascii_case(name) {
            return Some(if entry & CONTAINER == 0 {
                Found::Row(row)
            } else {
                Found::Container(container(row, word))
            });
        }
        place = (place + 1) & MASK;
    }
}

/// The row of a whole command, its subcommand resolved.
///
/// # Errors
/// [`Unknown`] for no arguments at all, a name that the table does not have, or a container without a known subcommand.
pub fn row_of(args: &[&[u8]]) -> Result<&'static Row, Unknown> {
    let name = args.first().copied().unwrap_or_default();
    match lookup(name) {
        Some(Found::Row(row)) => Ok(row),
        Some(Found::Container(container)) => match args.get(1) {
            Some(subcommand) => container
                .row(subcommand)
                .ok_or_else(|| unknown_subcommand(container, subcommand)),
            None => container.bare().ok_or_else(|| Unknown {
                name: container.name.to_owned(),
                nearest: None,
                container: Some(container.name),
            }),
        },
        None => Err(unknown(name)),
    }
}

fn unknown(name: &[u8]) -> Unknown {
    let name = printable(name);
    let upper = name.to_ascii_uppercase();
    Unknown {
        nearest: nearest(&upper, TABLE.iter().map(|row| first_word(row.name))),
        name,
        container: None,
    }
}

fn unknown_subcommand(container: Container, subcommand: &[u8]) -> Unknown {
    let name = printable(subcommand);
    let upper = name.to_ascii_uppercase();
    Unknown {
        nearest: nearest(
            &upper,
            container
                .rows
                .iter()
                .filter_map(|row| subcommand_of(row.name)),
        ),
        name: format!("{} {name}", container.name),
        container: Some(container.name),
    }
}

/// The candidate with the fewest single-character edits, if a third of the name's length suffices.
fn nearest(name: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    candidates
        .map(|candidate| (edits(name.as_bytes(), candidate.as_bytes()), candidate))
        .min_by_key(|&(edits, _)| edits)
        .filter(|&(edits, _)| edits <= (name.len() / 3).max(1) && edits < name.len())
        .map(|(_, candidate)| candidate)
}

/// Damerau's distance in its restricted form: insertions, deletions, substitutions and swaps of neighbours.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, &have) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, &want) in to.iter().enumerate() {
            let mut best = (above[column] + usize::from(have != want))
                .min(above[column + 1] + 1)
                .min(current[column] + 1);
            if row > 0 && column > 0 && have == to[column - 1] && from[row - 1] == want {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[to.len()]
}

/// The rows that share the first word of `first`, which are neighbours in the table.
fn container(first: &'static Row, name: &'static str) -> Container {
    let rows = &TABLE[first.id.index()..];
    let count = rows
        .iter()
        .take_while(|row| first_word(row.name) == name)
        .count();
    Container {
        rows: &rows[..count],
        name,
    }
}

/// Places of the index: a power of two, four times the number of first words, so that nearly every probe hits at once.
const PLACES: usize = 1024;
const MASK: usize = PLACES - 1;
const EMPTY: u16 = u16::MAX;
/// Flag on an entry whose first word is shared by several rows.
const CONTAINER: u16 = 0x8000;

static INDEX: [u16; PLACES] = index();

/// Open addressing over the hashes of first words; an entry is the first row of its word.
const fn index() -> [u16; PLACES] {
    let mut index = [EMPTY; PLACES];
    let mut id = 0;
    while id < CommandId::COUNT {
        let name = ROWS[id].name;
        let word = name.as_bytes().split_at(first_word_len(name)).0;
        let mut place = hash(word) & MASK;
        let entry = loop {
            let entry = index[place];
            if entry == EMPTY || is_first_word(ROWS[(entry & !CONTAINER) as usize].name, word) {
                break entry;
            }
            place = (place + 1) & MASK;
        };
        index[place] = if entry != EMPTY {
            entry | CONTAINER
        } else if word.len() < name.len() {
            id as u16 | CONTAINER
        } else {
            id as u16
        };
        id += 1;
    }
    index
}

/// From the length and the first and last eight bytes, without case: clearing bit 5 folds letters, and what it does to
/// other bytes it does on both sides.
const fn hash(name: &[u8]) -> usize {
    let mut head = name.len() as u64;
    let mut tail = 0;
    let mut at = 0;
    while at < name.len() && at < 8 {
        head = (head << 8) ^ (name[at] & 0xDF) as u64;
        at += 1;
    }
    if name.len() > 8 {
        at = name.len() - 8;
        while at < name.len() {
            tail = (tail << 8) | (name[at] & 0xDF) as u64;
            at += 1;
        }
    }
    // Fibonacci hashing: the golden ratio's multiplier spreads the low bytes into the top bits.
    let mixed = (head ^ tail.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 48) as usize
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
