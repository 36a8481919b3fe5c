//! Keys, made or given, with what each takes and how often it is asked for. Made in pieces, so that memory does not grow with their number.
//!
//! # Specification
//!
//! Made keys are data for ever: a seed that was written down makes the same keys in every version. All integers are unsigned, of 64 bits, and wrap;
//! `finalise` is SplitMix64's: `z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9; z = (z ^ z >> 27) * 0x94D049BB133111EB; z ^ z >> 31`, and `G` is
//! 0x9E3779B97F4A7C15.
//!
//! - A stream of random numbers: `base(seed, repeat, purpose) = finalise(finalise(finalise(seed + G) + repeat + G) + purpose + G)`; its number `i` is
//!   `finalise(base + (i + 1) * G)`. `finalise` is one to one and `G` odd, so that the numbers of one stream differ all.
//! - Key `i` (from 0) of a repeat is `user:` and the number `i` of purpose 0, in decimal. Its size comes from the purposes 1 and 2.
//! - Popularity goes by `i`: key 0 is the most popular one. By Zipf's law with the exponent `s`, requests for key `i` are in proportion to
//!   `r^-s` with the rank `r = i + 1`, as a whole number of units: there are between 2^61 and 2^62 units over all keys, more or less, so a key's share
//!   is exact to about 2^-61 of all requests. Ranks from 2^17 on share the weight of the middle of their block, which has ranks that agree in their upper
//!   17 bits: off by less than `s` in 100,000.

use super::mix::Stream;
use super::zipf::Zipf;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Most keys of one repeat.
pub const KEYS_MAX: u64 = 10_000_000_000;

/// Most keys of a list: they are held in memory, each with 12 bytes beside its own.
pub const LIST_KEYS_MAX: usize = 100_000_000;

/// Most bytes of the keys of a list, together.
pub const LIST_BYTES_MAX: usize = u32::MAX as usize;

/// The largest value, in bytes: Redis's own limit of a string.
pub const VALUE_BYTES_MAX: u64 = 512 << 20;

/// The largest exponent of Zipf's law.
pub const ZIPF_MAX: f64 = 4.0;

/// Keys of a piece: some hundred kilobytes.
pub(super) const PIECE_KEYS: u64 = 4_096;

/// Where keys come from, what they take, how often they are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys {
    pub(super) source: Source,
    pub(super) popularity: Popularity,
    pub(super) value_bytes: ValueBytes,
    pub(super) overhead_bytes: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Made { count: u64 },
    List(Arc<KeyList>),
}

/// How often keys are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Popularity {
    /// All alike.
    #[default]
    Uniform,
    /// The key of rank r in proportion to r^-exponent. 0.99 is what YCSB takes.
    Zipf {
        /// Above 0, at most [`ZIPF_MAX`].
        exponent: f64,
    },
}

/// How large values are, in bytes, each at most [`VALUE_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ValueBytes {
    /// All alike. The default: 100.
    Fixed(u64),
    /// Every size from `min` to `max` is as likely.
    Uniform {
        /// The smallest.
        min: u64,
        /// The largest.
        max: u64,
    },
    /// Half are below `median`; the logarithm is normal with the standard deviation `sigma`, 0 to 5. Cut off at [`VALUE_BYTES_MAX`].
    Lognormal {
        /// The middle one.
        median: u64,
        /// How far they differ: with 1, one in six is above 2.7 times the median.
        sigma: f64,
    },
}

/// Keys that were given, in one buffer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct KeyList {
    text: Vec<u8>,
    /// Where each key ends in `text`.
    ends: Vec<u32>,
    /// What each takes; empty if that was not said of any.
    bytes: Vec<u64>,
    /// What it is called: `keys.txt`, `a sample of feeds`.
    pub(super) name: String,
}

/// Why keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// No key at all.
    #[error("there is no key")]
    Empty,
    /// More than [`LIST_KEYS_MAX`], or than [`LIST_BYTES_MAX`].
    #[error(
        "too many keys: a list has at most {LIST_KEYS_MAX}, of {LIST_BYTES_MAX} bytes in all. Take a sample"
    )]
    TooMany,
    /// The sizes do not fit into 64 bits together.
    #[error("the sizes of the keys add up to more than 2^63 bytes")]
    TooLarge,
    /// A file that cannot be read.
    #[error("{path} cannot be read: {error}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        error: String,
    },
    /// A line whose size is none.
    #[error(
        "line {line}: {read:?} after the tab is no size: expected the key's bytes as a whole number, or no tab"
    )]
    Size {
        /// From 1.
        line: usize,
        /// What was read.
        read: String,
    },
}

impl Keys {
    /// Keys `user:<number>`, of 100 bytes each, asked for alike. `count` is 1 to [`KEYS_MAX`].
    pub fn made(count: u64) -> Keys {
        Keys {
            source: Source::Made { count },
            popularity: Popularity::Uniform,
            value_bytes: ValueBytes::Fixed(100),
            overhead_bytes: 0,
        }
    }

    /// The keys given, with what each takes in bytes; `None` leaves that to [`value_bytes`](Keys::value_bytes). `name` says what they are. The first is
    /// the most popular one, if popularity differs.
    ///
    /// # Errors
    /// No key, or too many.
    pub fn list<K: AsRef<[u8]>>(
        name: impl Into<String>,
        keys: impl IntoIterator<Item = (K, Option<u64>)>,
    ) -> Result<Keys, KeysError> {
        let mut list = KeyList {
            name: name.into(),
            ..KeyList::default()
        };
        let mut total: u64 = 0;
        for (key, bytes) in keys {
            list.push(key.as_ref(), bytes, &mut total)?;
        }
        list.into_keys()
    }

    /// Text with one key a line; after a tab may stand what it takes, in bytes. Empty lines are passed over, and a carriage return before a line's end.
    ///
    /// # Errors
    /// As [`list`](Keys::list), and a size that is none.
    pub fn parse(name: impl Into<String>, text: &[u8]) -> Result<Keys, KeysError> {
        let mut list = KeyList {
            name: name.into(),
            ..KeyList::default()
        };
        let mut total: u64 = 0;
        for (line, content) in (1..).zip(text.split(|byte| *byte == b'\n')) {
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            if content.is_empty() {
                continue;
            }
            let mut parts = content.splitn(2, |byte| *byte == b'\t');
            let key = parts.next().unwrap_or_default();
            let bytes = parts.next().map(|size| {
                let size = String::from_utf8_lossy(size);
                size.trim().parse().map_err(|_| KeysError::Size {
                    line,
                    read: size.chars().take(40).collect(),
                })
            });
            list.push(key, bytes.transpose()?, &mut total)?;
        }
        list.into_keys()
    }

    /// Reads such a text from a file.
    ///
    /// # Errors
    /// As [`parse`](Keys::parse), and a file that cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Keys, KeysError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let unreadable = |error: std::io::Error| KeysError::Unreadable {
            path: name.clone(),
            error: error.to_string(),
        };
        let mut text = Vec::new();
        // Sizes after the keys take some more; more than that is no list of keys.
        let bytes_max = 2 * LIST_BYTES_MAX as u64;
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let read = file.take(bytes_max + 1).read_to_end(&mut text);
        match read.map_err(unreadable)? {
            bytes if bytes as u64 > bytes_max => Err(KeysError::TooMany),
            _ => Keys::parse(name, &text),
        }
    }

    /// How often they are asked for.
    pub fn popularity(mut self, popularity: Popularity) -> Keys {
        self.popularity = popularity;
        self
    }

    /// How large their values are, where that was not given with the key.
    pub fn value_bytes(mut self, value_bytes: ValueBytes) -> Keys {
        self.value_bytes = value_bytes;
        self
    }

    /// What each takes beside its value, in bytes (default 0); a size given with a key has it already. A short string with a key of 25 bytes takes about
    /// 90 of a Redis 7, if it expires 110.
    pub fn overhead_bytes(mut self, overhead_bytes: u32) -> Keys {
        self.overhead_bytes = overhead_bytes;
        self
    }

    /// Popularity and sizes as those of others.
    pub fn like(self, others: &Keys) -> Keys {
        Keys {
            source: self.source,
            ..others.clone()
        }
    }

    /// How many there are in one repeat.
    pub fn count(&self) -> u64 {
        match &self.source {
            Source::Made { count } => *count,
            Source::List(list) => list.ends.len() as u64,
        }
    }

    /// What they take together, in bytes, as far as that is known beforehand.
    pub(super) fn bytes_expected(&self) -> u64 {
        let mean = match self.value_bytes {
            ValueBytes::Fixed(bytes) => bytes as f64,
            ValueBytes::Uniform { min, max } => (min as f64 + max as f64) / 2.0,
            ValueBytes::Lognormal { median, sigma } => {
                median as f64 * libm::exp(sigma * sigma / 2.0)
            }
        };
        let each = mean + f64::from(self.overhead_bytes);
        let expected = |count: u64| (count as f64 * each) as u64;
        match &self.source {
            Source::List(list) if !list.bytes.is_empty() => {
                let given = list.bytes.iter().filter(|bytes| **bytes != NOT_SAID);
                let not_said = list.bytes.len() - given.clone().count();
                given.sum::<u64>().saturating_add(expected(not_said as u64))
            }
            _ => expected(self.count()),
        }
    }

    /// True if every repeat can have other keys.
    pub(super) fn are_made(&self) -> bool {
        matches!(self.source, Source::Made { .. })
    }

    /// What is wrong with the numbers, and what is expected, by the setting.
    pub(super) fn problem(&self) -> Option<(&'static str, String, &'static str)> {
        let count = self.count();
        if !(1..=KEYS_MAX).contains(&count) {
            return Some(("count", count.to_string(), "1 to 10000000000"));
        }
        if let Popularity::Zipf { exponent } = self.popularity
            && !(exponent > 0.0 && exponent <= ZIPF_MAX)
        {
            return Some((
                "popularity",
                exponent.to_string(),
                "an exponent above 0, at most 4",
            ));
        }
        let expected = "bytes from 0 to 536870912 (512MiB), min not above max, sigma from 0 to 5";
        let is_right = match self.value_bytes {
            ValueBytes::Fixed(bytes) => bytes <= VALUE_BYTES_MAX,
            ValueBytes::Uniform { min, max } => min <= max && max <= VALUE_BYTES_MAX,
            ValueBytes::Lognormal { median, sigma } => {
                median <= VALUE_BYTES_MAX && (0.0..=5.0).contains(&sigma)
            }
        };
        if !is_right {
            return Some(("value_bytes", self.value_bytes.to_string(), expected));
        }
        (self.overhead_bytes > 1 << 20).then(|| {
            (
                "overhead_bytes",
                self.overhead_bytes.to_string(),
                "0 to 1048576",
            )
        })
    }
}

impl fmt::Display for ValueBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueBytes::Fixed(bytes) => write!(f, "{bytes} B each"),
            ValueBytes::Uniform { min, max } => write!(f, "{min} to {max} B each"),
            ValueBytes::Lognormal { median, sigma } => {
                write!(f, "lognormal sizes of median {median} B, sigma {sigma}")
            }
        }
    }
}

/// For people: `synthetic, Zipf 0.99, 200 B each`.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_sizes = match &self.source {
            Source::Made { .. } => {
                f.write_str("synthetic")?;
                false
            }
            Source::List(list) => {
                f.write_str(&list.name)?;
                !list.bytes.is_empty()
            }
        };
        match self.popularity {
            Popularity::Uniform => f.write_str(", uniform")?,
            Popularity::Zipf { exponent } => write!(f, ", Zipf {exponent}")?,
        }
        match has_sizes {
            true => f.write_str(", sizes as given")?,
            false => write!(f, ", {}", self.value_bytes)?,
        }
        match self.overhead_bytes {
            0 => Ok(()),
            bytes => write!(f, " and {bytes} B beside"),
        }
    }
}

/// In place of a size that was not given.
const NOT_SAID: u64 = u64::MAX;

impl KeyList {
    fn push(&mut self, key: &[u8], bytes: Option<u64>, total: &mut u64) -> Result<(), KeysError> {
        if self.ends.len() >= LIST_KEYS_MAX || self.text.len() + key.len() > LIST_BYTES_MAX {
            return Err(KeysError::TooMany);
        }
        *total = total
            .checked_add(bytes.unwrap_or(VALUE_BYTES_MAX + (1 << 20)))
            .filter(|total| *total < 1 << 63)
            .ok_or(KeysError::TooLarge)?;
        if bytes.is_some() && self.bytes.is_empty() {
            self.bytes = vec![NOT_SAID; self.ends.len()];
        }
        self.text.extend_from_slice(key);
        // Checked above.
        self.ends.push(self.text.len() as u32);
        if bytes.is_some() || !self.bytes.is_empty() {
            self.bytes.push(bytes.unwrap_or(NOT_SAID));
        }
        Ok(())
    }

    fn into_keys(self) -> Result<Keys, KeysError> {
        if self.ends.is_empty() {
            return Err(KeysError::Empty);
        }
        Ok(Keys {
            source: Source::List(Arc::new(self)),
            ..Keys::made(0)
        })
    }
}

/// Makes pieces of the keys of a repeat.
pub(super) struct Workload<'a> {
    keys: &'a Keys,
    seed: u64,
    zipf: Option<Zipf>,
    /// What every key takes, if all take the same.
    pub(super) bytes_each: Option<u64>,
}

/// Some keys in one buffer. Reused.
#[derive(Default)]
pub(super) struct Piece {
    text: Vec<u8>,
    ends: Vec<u32>,
    /// Empty if all take the same.
    pub(super) bytes: Vec<u64>,
    /// In units; empty if all are asked for alike.
    pub(super) requests: Vec<u64>,
}

impl Piece {
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let key = &self.text[start..end as usize];
            start = end as usize;
            key
        })
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }
}

impl<'a> Workload<'a> {
    pub(super) fn new(keys: &'a Keys, seed: u64) -> Workload<'a> {
        let has_sizes = match &keys.source {
            Source::Made { .. } => false,
            Source::List(list) => !list.bytes.is_empty(),
        };
        let bytes_each = match keys.value_bytes {
            ValueBytes::Fixed(bytes) if !has_sizes => Some(bytes + u64::from(keys.overhead_bytes)),
            _ => None,
        };
        let zipf = match keys.popularity {
            Popularity::Uniform => None,
            Popularity::Zipf { exponent } => Some(Zipf::new(exponent, keys.count())),
        };
        Workload {
            keys,
            seed,
            zipf,
            bytes_each,
        }
    }

    pub(super) fn has_popularity(&self) -> bool {
        self.zipf.is_some()
    }

    /// Makes the keys from `first` on, at most `count` of them, in place of what was in the piece.
    pub(super) fn fill(&self, repeat: u32, first: u64, count: u64, piece: &mut Piece) {
        let last = first.saturating_add(count).min(self.keys.count());
        piece.text.clear();
        piece.ends.clear();
        piece.bytes.clear();
        piece.requests.clear();
        match &self.keys.source {
            Source::Made { .. } => {
                let names = Stream::new(self.seed, repeat, 0);
                for index in first..last {
                    piece.text.extend_from_slice(b"user:");
                    push_decimal(names.number(index), &mut piece.text);
                    // A piece has a few thousand keys of 25 bytes.
                    piece.ends.push(piece.text.len() as u32);
                }
            }
            Source::List(list) => {
                let start = match first {
                    0 => 0,
                    _ => list.ends[first as usize - 1],
                };
                let ends = &list.ends[first as usize..last as usize];
                if let Some(&end) = ends.last() {
                    let text = &list.text[start as usize..end as usize];
                    piece.text.extend_from_slice(text);
                }
                piece.ends.extend(ends.iter().map(|end| end - start));
            }
        }
        if self.bytes_each.is_none() {
            self.fill_bytes(repeat, first..last, &mut piece.bytes);
        }
        if let Some(zipf) = &self.zipf {
            zipf.fill(first + 1..last + 1, &mut piece.requests);
        }
    }

    fn fill_bytes(&self, repeat: u32, range: std::ops::Range<u64>, bytes: &mut Vec<u64>) {
        let overhead = u64::from(self.keys.overhead_bytes);
        let one = Stream::new(self.seed, repeat, 1);
        let two = Stream::new(self.seed, repeat, 2);
        let drawn = |index: u64| match self.keys.value_bytes {
            ValueBytes::Fixed(bytes) => bytes,
            ValueBytes::Uniform { min, max } => {
                let wide = u128::from(one.number(index)) * u128::from(max - min + 1);
                min + (wide >> 64) as u64
            }
            ValueBytes::Lognormal { median, sigma } => {
                lognormal(median, sigma, one.number(index), two.number(index))
            }
        };
        match &self.keys.source {
            Source::List(list) if !list.bytes.is_empty() => {
                bytes.extend(range.map(|index| match list.bytes[index as usize] {
                    NOT_SAID => drawn(index) + overhead,
                    given => given,
                }));
            }
            _ => bytes.extend(range.map(|index| drawn(index) + overhead)),
        }
    }
}

/// By Box and Muller, with the `libm` crate's functions, which give the same bits everywhere.
fn lognormal(median: u64, sigma: f64, one: u64, two: u64) -> u64 {
    let unit = |number: u64| ((number >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let radius = libm::sqrt(-2.0 * libm::log(unit(one)));
    let normal = radius * libm::cos(std::f64::consts::TAU * unit(two));
    let size = median as f64 * libm::exp(sigma * normal) + 0.5;
    (size as u64).min(VALUE_BYTES_MAX)
}

/// Two digits at a time: a third of what keys cost was their digits.
fn push_decimal(mut number: u64, text: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    while number >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    if number > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    text.extend_from_slice(&digits[at..]);
}

/// `00` to `99`.
static PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(keys: &Keys, seed: u64, repeat: u32, count: u64) -> Vec<String> {
        let mut piece = Piece::default();
        Workload::new(keys, seed).fill(repeat, 0, count, &mut piece);
        piece
            .keys()
            .map(|key| String::from_utf8(key.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn made_keys_are_those_of_the_first_release() {
        let keys = Keys::made(1_000_000);
        let three = |seed, repeat| texts(&keys, seed, repeat, 3).join(" ");
        insta::assert_snapshot!(three(1, 0), @"user:16321491304643971414 user:7437125459209307225 user:15463258474376039085");
        insta::assert_snapshot!(three(1, 1), @"user:13965736782547169918 user:16514699442114821904 user:18434298003178974883");
        insta::assert_snapshot!(three(2, 0), @"user:10422960368320252623 user:1151613137436240227 user:8035107724048120539");
        let mut many = texts(&keys, 7, 3, 1_000_000);
        many.sort_unstable();
        many.dedup();
        assert_eq!(many.len(), 1_000_000, "no key is there twice");
    }

    #[test]
    fn sizes_and_popularity_are_those_of_the_first_release() {
        let said = |keys: &Keys| {
            let mut piece = Piece::default();
            Workload::new(keys, 1).fill(0, 0, 6, &mut piece);
            format!("{:?} {:?}", piece.bytes, piece.requests)
        };
        let uniform = Keys::made(10).value_bytes(ValueBytes::Uniform { min: 10, max: 20 });
        insta::assert_snapshot!(said(&uniform.clone().overhead_bytes(100)), @"[116, 112, 111, 111, 118, 117] []");
        let lognormal = ValueBytes::Lognormal {
            median: 300,
            sigma: 1.0,
        };
        insta::assert_snapshot!(said(&uniform.clone().value_bytes(lognormal)), @"[229, 218, 145, 2130, 521, 664] []");
        let zipf = uniform.popularity(Popularity::Zipf { exponent: 1.0 });
        insta::assert_snapshot!(said(&zipf), @"[16, 12, 11, 11, 18, 17] [1152921504606846976, 576460752303423488, 384307168202282304, 288230376151711744, 230584300921369408, 192153584101141152]");
    }

    #[test]
    fn it_makes_no_difference_how_keys_are_cut_into_pieces() {
        let keys = Keys::made(300_000)
            .popularity(Popularity::Zipf { exponent: 0.8 })
            .value_bytes(ValueBytes::Uniform { min: 1, max: 9 });
        let workload = Workload::new(&keys, 3);
        let cut = |size: u64| {
            let (mut text, mut numbers) = (Vec::new(), Vec::new());
            let mut piece = Piece::default();
            for first in (0..300_000).step_by(size as usize) {
                workload.fill(2, first, size, &mut piece);
                text.extend_from_slice(&piece.text);
                numbers.extend(
                    piece
                        .bytes
                        .iter()
                        .zip(&piece.requests)
                        .map(|(b, r)| (*b, *r)),
                );
            }
            (text, numbers)
        };
        let whole = cut(300_000);
        assert!(whole == cut(4_096) && whole == cut(777));
    }

    #[test]
    fn sizes_are_distributed_as_said() {
        let mean_and_median = |value_bytes| {
            let keys = Keys::made(100_000).value_bytes(value_bytes);
            let mut piece = Piece::default();
            Workload::new(&keys, 1).fill(0, 0, 100_000, &mut piece);
            piece.bytes.sort_unstable();
            let sum: u64 = piece.bytes.iter().sum();
            assert!((sum as f64 / keys.bytes_expected() as f64 - 1.0).abs() < 0.02);
            (piece.bytes[0], piece.bytes[50_000], piece.bytes[99_999])
        };
        assert_eq!(
            mean_and_median(ValueBytes::Uniform { min: 5, max: 9 }),
            (5, 7, 9)
        );
        let (_, median, _) = mean_and_median(ValueBytes::Lognormal {
            median: 1_000,
            sigma: 1.0,
        });
        assert!((980..1_020).contains(&median), "{median}");
    }
}

#[cfg(test)]
mod decimal {
    use super::*;
    use proptest::prelude::*;

    fn pushed(number: u64) -> String {
        let mut text = b"user:".to_vec();
        push_decimal(number, &mut text);
        String::from_utf8(text).unwrap()
    }

    proptest! {
        #[test]
        fn a_number_is_written_as_the_standard_library_writes_it(number: u64, shift in 0_u32..64) {
            prop_assert_eq!(pushed(number >> shift), format!("user:{}", number >> shift));
        }
    }

    #[test]
    fn so_are_numbers_at_the_edges() {
        let powers = (0..20).map(|power| 10_u64.pow(power));
        for number in powers
            .flat_map(|power| [power - 1, power, power + 1])
            .chain([u64::MAX])
        {
            assert_eq!(pushed(number), format!("user:{number}"));
        }
    }
}
