//! What the arguments of one call say: its keys, whether it writes, how long it may wait, what a missing key would answer.

use super::{Access, Blocking, Keys, Miss, Row, Rule};
use std::time::Duration;

/// Why the keys or the timeout of a command cannot be read. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It ends before its keys do.
    #[error(
        "{command} has too few arguments: its key at position {position} is missing (the command's name is 0)"
    )]
    TooFewArguments {
        /// The command's name.
        command: &'static str,
        /// Where the first missing key or count should be.
        position: usize,
    },
    /// Keys and values, or keys and ids, do not pair up.
    #[error(
        "{command} has {count} arguments after position {position}: expected pairs, so an even number above 0"
    )]
    Unpaired {
        /// The command's name.
        command: &'static str,
        /// How many arguments there are.
        count: usize,
        /// What they follow.
        position: usize,
    },
    /// The count of keys is not a number, or one that cannot be.
    #[error(
        "{command} says `{read}` at position {position}: expected how many keys follow, from {min} to {max}"
    )]
    KeyCount {
        /// The command's name.
        command: &'static str,
        /// What was read there, made printable.
        read: String,
        /// Where.
        position: usize,
        /// 0 for scripts, else 1.
        min: usize,
        /// How many arguments follow.
        max: usize,
    },
    /// XREAD or XREADGROUP without streams.
    #[error(
        "{command} has no word STREAMS where an option was expected: its keys follow that word"
    )]
    NoStreams {
        /// The command's name.
        command: &'static str,
    },
    /// A timeout that is not a number, or negative, or too long.
    #[error(
        "{command} says `{read}` for its timeout: expected a number of {unit}, 0 to wait for ever"
    )]
    Timeout {
        /// The command's name.
        command: &'static str,
        /// What was read, made printable.
        read: String,
        /// `seconds` or `milliseconds`.
        unit: &'static str,
    },
}

/// How long a blocking command may wait on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlocksFor {
    /// Until there is an answer, or this has passed.
    AtMost(Duration),
    /// Until there is an answer.
    Forever,
}

/// The positions of a command's keys in its arguments, in the order in which the server reports them. Copied freely;
/// nothing is allocated however many keys there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyPositions {
    // Position 0 is the command's name, never a key: here it says that there is none.
    before: usize,
    first: usize,
    step: usize,
    count: usize,
    after: usize,
}

impl KeyPositions {
    const NONE: KeyPositions = KeyPositions {
        before: 0,
        first: 0,
        step: 1,
        count: 0,
        after: 0,
    };

    fn one(position: usize) -> Self {
        Self::run(position, 1)
    }

    fn run(first: usize, count: usize) -> Self {
        KeyPositions {
            first,
            count,
            ..Self::NONE
        }
    }

    /// How many keys there are; a key named twice counts twice.
    pub fn len(&self) -> usize {
        self.count + usize::from(self.before > 0) + usize::from(self.after > 0)
    }

    /// Whether the command names no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The position of the first key.
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// The positions in order.
    pub fn iter(&self) -> KeyPositionsIter {
        KeyPositionsIter { rest: *self }
    }
}

impl IntoIterator for KeyPositions {
    type Item = usize;
    type IntoIter = KeyPositionsIter;

    fn into_iter(self) -> KeyPositionsIter {
        self.iter()
    }
}

impl IntoIterator for &KeyPositions {
    type Item = usize;
    type IntoIter = KeyPositionsIter;

    fn into_iter(self) -> KeyPositionsIter {
        self.iter()
    }
}

/// Iterator over [`KeyPositions`].
#[derive(Clone, Debug)]
pub struct KeyPositionsIter {
    rest: KeyPositions,
}

impl Iterator for KeyPositionsIter {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let rest = &mut self.rest;
        if rest.before > 0 {
            return Some(std::mem::take(&mut rest.before));
        }
        if rest.count > 0 {
            let position = rest.first;
            rest.first += rest.step;
            rest.count -= 1;
            return Some(position);
        }
        Some(std::mem::take(&mut rest.after)).filter(|&position| position > 0)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest.len(), Some(self.rest.len()))
    }
}

impl ExactSizeIterator for KeyPositionsIter {}

impl Row {
    /// Whether argument 1 is the only key and routing needs to look no further: true of most calls.
    pub const fn single_key(&self) -> bool {
        matches!(self.rule, Rule::Keyed)
            && matches!(
                self.keys,
                Keys::Range {
                    first: 1,
                    last: 1,
                    ..
                }
            )
    }

    /// Where the keys are in `args`, which begins with the command's name.
    ///
    /// A script may have none; otherwise a command whose row has keys yields at least one.
    ///
    /// # Errors
    /// [`KeyError`] if they cannot be read. Arguments other than keys are left for the server to judge.
    pub fn key_positions(&self, args: &[&[u8]]) -> Result<KeyPositions, KeyError> {
        match self.keys {
            Keys::None => Ok(KeyPositions::NONE),
            Keys::Range { first, last, step } => {
                self.range(args, first.into(), last.into(), step.into())
            }
            Keys::Counted { at, destination } => {
                let mut keys = self.counted(args, at.into())?;
                keys.before = destination.map_or(0, usize::from);
                Ok(keys)
            }
            Keys::Streams => {
                let word = self.streams_word(args)?;
                let count = args.len() - word - 1;
                if count == 0 || count % 2 == 1 {
                    return Err(KeyError::Unpaired {
                        command: self.name,
                        count,
                        position: word,
                    });
                }
                Ok(KeyPositions::run(word + 1, count / 2))
            }
            Keys::Sort | Keys::GeoRadius { .. } => {
                self.require(args, 1)?;
                Ok(KeyPositions {
                    after: self.store_at(args).unwrap_or(0),
                    ..KeyPositions::one(1)
                })
            }
            Keys::Migrate => self.migrated(args),
        }
    }

    /// Whether repeating this very call is harmless: [`Row::access`], and for a few commands what the arguments add
    /// (SORT without STORE, GETEX without an option, BITFIELD with nothing but GET). When in doubt, no.
    pub fn is_read(&self, args: &[&[u8]]) -> bool {
        if self.access == Access::Read {
            return true;
        }
        match (self.keys, self.name) {
            (Keys::Sort | Keys::GeoRadius { .. }, _) => self.store_at(args).is_none(),
            (_, "GETEX") => args.len() == 2,
            (_, "BITFIELD") => {
                let subcommands = args.get(2..).unwrap_or_default();
                !subcommands.is_empty()
                    && subcommands
                        .chunks(3)
                        .all(|get| get.len() == 3 && is(get[0], "GET"))
            }
            _ => false,
        }
    }

    /// Whether this call may wait on the server, and how long.
    ///
    /// # Errors
    /// [`KeyError`] for a timeout that is missing or not a number: a deadline cannot be derived from it.
    pub fn blocks(&self, args: &[&[u8]]) -> Result<Option<BlocksFor>, KeyError> {
        let (position, unit, per_second) = match self.blocking {
            Blocking::Never => return Ok(None),
            Blocking::SecondsLast => (args.len().saturating_sub(1), "seconds", 1.0),
            Blocking::SecondsAt(position) => (position.into(), "seconds", 1.0),
            Blocking::MillisLast => (args.len().saturating_sub(1), "milliseconds", 1000.0),
            Blocking::MillisAfter(option) => match self.option_before_streams(args, option) {
                Some(position) => (position + 1, "milliseconds", 1000.0),
                None => return Ok(None),
            },
        };
        if position == 0 {
            return Err(KeyError::TooFewArguments {
                command: self.name,
                position: 1,
            });
        }
        self.require(args, position)?;
        let number = std::str::from_utf8(args[position])
            .ok()
            .and_then(|text| text.parse::<f64>().ok());
        // Only 0 itself waits for ever: what is too short for a `Duration` is rounded up by the server.
        match number.map(|number| (number, Duration::try_from_secs_f64(number / per_second))) {
            Some((0.0, _)) => Ok(Some(BlocksFor::Forever)),
            Some((_, Ok(timeout))) => Ok(Some(BlocksFor::AtMost(timeout))),
            _ => Err(KeyError::Timeout {
                command: self.name,
                read: printable(args[position]),
                unit,
            }),
        }
    }

    /// Whether the call reads keys that its arguments do not name: SORT with a BY or GET pattern. Without a `*` a pattern
    /// stands for no key: `GET #` is the element itself, and `BY nosort` only switches sorting off.
    pub fn has_patterns(&self, args: &[&[u8]]) -> bool {
        self.keys == Keys::Sort
            && sort_options(args)
                .any(|(option, value)| option == SortOption::Pattern && args[value].contains(&b'*'))
    }

    /// Why a command that is routed by its keys is refused with these arguments, if it is: COPY with DB leaves the
    /// database. The text says what to do instead, as the end of a sentence.
    pub fn forbidden(&self, args: &[&[u8]]) -> Option<&'static str> {
        let leaves_database =
            self.name == "COPY" && args.iter().skip(3).any(|option| is(option, "DB"));
        leaves_database
            .then_some("COPY with DB writes to another database: send it through on_server(..)")
    }

    /// Whether this is a write that cache mode may drop while the server is down: SETEX, MSET, and SET with nothing but
    /// one of EX, PX, EXAT, PXAT and KEEPTTL. NX, XX and GET make the reply depend on what is stored.
    pub fn is_plain_set(&self, args: &[&[u8]]) -> bool {
        match (self.name, args) {
            ("SETEX", args) => args.len() == 4,
            ("MSET", args) => args.len() >= 3 && args.len() % 2 == 1,
            ("SET", [_, _, _]) => true,
            ("SET", [_, _, _, option]) => is(option, "KEEPTTL"),
            ("SET", [_, _, _, option, _]) => ["EX", "PX", "EXAT", "PXAT"]
                .iter()
                .any(|name| is(option, name)),
            _ => false,
        }
    }

    /// What cache mode answers to this call while the server is down, or `None` if the call is then an error. It is the
    /// server's own reply for a missing key, in the shape of the protocol in use.
    pub fn miss_reply(&self, args: &[&[u8]], resp3: bool) -> Option<redis::Value> {
        use redis::Value;
        let each = |value: Value, from: usize| {
            (args.len() > from).then(|| Value::Array(vec![value; args.len() - from]))
        };
        match self.miss {
            Miss::None => None,
            Miss::Nil => Some(Value::Nil),
            Miss::Zero => Some(Value::Int(0)),
            Miss::MinusTwo => Some(Value::Int(-2)),
            Miss::EmptyString => Some(Value::BulkString(Vec::new())),
            Miss::StatusNone => Some(Value::SimpleString("none".to_owned())),
            Miss::EmptyMap if resp3 => Some(Value::Map(Vec::new())),
            Miss::EmptySet if resp3 => Some(Value::Set(Vec::new())),
            Miss::EmptyArray | Miss::EmptyMap | Miss::EmptySet => Some(Value::Array(Vec::new())),
            Miss::NilOrEmptyArray if args.len() > 2 => Some(Value::Array(Vec::new())),
            Miss::NilOrEmptyArray => Some(Value::Nil),
            Miss::NilPerKey => each(Value::Nil, 1),
            Miss::NilPerField => each(Value::Nil, 2),
            Miss::ZeroPerField => each(Value::Int(0), 2),
            Miss::DroppedWrite => self.is_plain_set(args).then_some(Value::Okay),
        }
    }

    fn require(&self, args: &[&[u8]], position: usize) -> Result<(), KeyError> {
        if position < args.len() {
            Ok(())
        } else {
            Err(KeyError::TooFewArguments {
                command: self.name,
                position,
            })
        }
    }

    fn range(
        &self,
        args: &[&[u8]],
        first: usize,
        last: isize,
        step: usize,
    ) -> Result<KeyPositions, KeyError> {
        self.require(args, first)?;
        let last = if last < 0 {
            args.len().saturating_sub(last.unsigned_abs())
        } else {
            last.unsigned_abs()
        };
        if last < first {
            return Err(KeyError::TooFewArguments {
                command: self.name,
                position: first,
            });
        }
        self.require(args, last)?;
        let span = last - first + 1;
        if !span.is_multiple_of(step) {
            return Err(KeyError::Unpaired {
                command: self.name,
                count: span,
                position: first - 1,
            });
        }
        Ok(KeyPositions {
            step,
            ..KeyPositions::run(first, span / step)
        })
    }

    fn counted(&self, args: &[&[u8]], at: usize) -> Result<KeyPositions, KeyError> {
        self.require(args, at)?;
        let min = usize::from(self.rule != Rule::Script);
        let max = args.len() - at - 1;
        let count = std::str::from_utf8(args[at])
            .ok()
            .and_then(|text| text.parse::<usize>().ok());
        match count {
            Some(count) if (min..=max).contains(&count) => Ok(KeyPositions::run(at + 1, count)),
            _ => Err(KeyError::KeyCount {
                command: self.name,
                read: printable(args[at]),
                position: at,
                min,
                max,
            }),
        }
    }

    /// Where the word STREAMS is. Only words in the place of an option count: a consumer group may be called STREAMS.
    fn streams_word(&self, args: &[&[u8]]) -> Result<usize, KeyError> {
        self.option_before_streams(args, "STREAMS")
            .ok_or(KeyError::NoStreams { command: self.name })
    }

    fn option_before_streams(&self, args: &[&[u8]], wanted: &str) -> Option<usize> {
        let mut at = 1;
        while let Some(option) = args.get(at) {
            if is(option, wanted) {
                return Some(at);
            }
            at += match () {
                () if is(option, "COUNT") || is(option, "BLOCK") => 2,
                () if is(option, "GROUP") => 3,
                () if is(option, "NOACK") => 1,
                () => return None,
            };
        }
        None
    }

    /// Where the key that a STORE option names is. As on the server, the last one counts.
    fn store_at(&self, args: &[&[u8]]) -> Option<usize> {
        match self.keys {
            // The server refuses STORE for SORT_RO, so naming no key there is harmless.
            Keys::Sort => sort_options(args)
                .filter(|(option, _)| *option == SortOption::Store)
                .map(|(_, value)| value)
                .last(),
            Keys::GeoRadius { options } => {
                let mut at = usize::from(options);
                let mut store = None;
                while let Some(option) = args.get(at) {
                    let stores = is(option, "STORE") || is(option, "STOREDIST");
                    if stores && at + 1 < args.len() {
                        store = Some(at + 1);
                    }
                    at += if stores || is(option, "COUNT") { 2 } else { 1 };
                }
                store
            }
            _ => None,
        }
    }

    fn migrated(&self, args: &[&[u8]]) -> Result<KeyPositions, KeyError> {
        self.require(args, 3)?;
        if !args[3].is_empty() {
            return Ok(KeyPositions::one(3));
        }
        let mut at = 6;
        while let Some(option) = args.get(at) {
            if is(option, "KEYS") {
                self.require(args, at + 1)?;
                return Ok(KeyPositions::run(at + 1, args.len() - at - 1));
            }
            at += match () {
                () if is(option, "AUTH") => 2,
                () if is(option, "AUTH2") => 3,
                () => 1,
            };
        }
        Err(KeyError::TooFewArguments {
            command: self.name,
            position: args.len(),
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum SortOption {
    Pattern,
    Store,
}

/// The options of SORT that name a key or a pattern, each with the position of its value.
fn sort_options<'a>(args: &'a [&'a [u8]]) -> impl Iterator<Item = (SortOption, usize)> + 'a {
    let mut at = 2;
    std::iter::from_fn(move || {
        loop {
            let option = args.get(at)?;
            let found = match () {
                () if is(option, "BY") || is(option, "GET") => Some(SortOption::Pattern),
                () if is(option, "STORE") => Some(SortOption::Store),
                () => None,
            };
            at += match found {
                Some(_) => 2,
                None if is(option, "LIMIT") => 3,
                None => 1,
            };
            if let Some(found) = found {
                // The option as the last word lacks its value: a syntax error, which the server reports.
                return (at - 1 < args.len()).then_some((found, at - 1));
            }
        }
    })
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// What was read, for an error: without control characters, and short.
pub(super) fn printable(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(40)];
    let mut text = cut.escape_ascii().to_string();
    if cut.len() < bytes.len() {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::command::row_of;

    /// Splits at blanks; `""` is the empty argument.
    fn words(line: &str) -> Vec<&[u8]> {
        line.split(' ')
            .map(|word| if word == "\"\"" { b"" } else { word.as_bytes() })
            .collect()
    }

    fn keys(line: &str) -> Result<Vec<usize>, KeyError> {
        let args = words(line);
        row_of(&args)
            .unwrap()
            .key_positions(&args)
            .map(|keys| keys.iter().collect())
    }

    fn keys_error(line: &str) -> String {
        keys(line).unwrap_err().to_string()
    }

    fn is_read(line: &str) -> bool {
        let args = words(line);
        row_of(&args).unwrap().is_read(&args)
    }

    fn blocks(line: &str) -> Result<Option<BlocksFor>, KeyError> {
        let args = words(line);
        row_of(&args).unwrap().blocks(&args)
    }

    fn has_patterns(line: &str) -> bool {
        let args = words(line);
        row_of(&args).unwrap().has_patterns(&args)
    }

    #[test]
    fn key_positions_of_every_shape() {
        assert_eq!(keys("PING"), Ok(vec![]));
        assert_eq!(keys("get k"), Ok(vec![1]));
        assert_eq!(keys("MGET a b c"), Ok(vec![1, 2, 3]));
        assert_eq!(keys("MSET a 1 b 2"), Ok(vec![1, 3]));
        assert_eq!(keys("BLPOP a b 0"), Ok(vec![1, 2]));
        assert_eq!(keys("BITOP AND d a b"), Ok(vec![2, 3, 4]));
        assert_eq!(keys("XGROUP CREATE k g $"), Ok(vec![2]));
        assert_eq!(keys("ZUNIONSTORE d 2 a b WEIGHTS 1 2"), Ok(vec![1, 3, 4]));
        assert_eq!(keys("BLMPOP 0 2 a b LEFT"), Ok(vec![3, 4]));
        assert_eq!(keys("EVAL s 2 a b x y"), Ok(vec![3, 4]));
        assert_eq!(keys("FCALL f 0 x"), Ok(vec![]));
        assert_eq!(
            keys("XREAD COUNT 2 BLOCK 0 STREAMS a b 0 0"),
            Ok(vec![6, 7])
        );
        assert_eq!(keys("SORT k LIMIT 0 STORE STORE d ALPHA"), Ok(vec![1, 6]));
        assert_eq!(
            keys("GEORADIUS k 1 2 3 km COUNT 5 ANY STORE a STOREDIST b"),
            Ok(vec![1, 12])
        );
        assert_eq!(keys("MIGRATE host 6379 k 0 100"), Ok(vec![3]));
        assert_eq!(
            keys("MIGRATE host 6379 \"\" 0 100 AUTH KEYS KEYS a b"),
            Ok(vec![9, 10])
        );
    }

    #[test]
    fn a_consumer_group_may_be_called_streams() {
        assert_eq!(
            keys("XREADGROUP GROUP STREAMS BLOCK NOACK STREAMS k >"),
            Ok(vec![6])
        );
        assert_eq!(
            blocks("XREADGROUP GROUP STREAMS BLOCK NOACK STREAMS k >"),
            Ok(None)
        );
        assert_eq!(blocks("XREAD STREAMS BLOCK 0"), Ok(None));
    }

    #[test]
    fn a_huge_count_of_keys_is_refused_not_believed() {
        for count in [
            "18446744073709551615",
            "4294967296",
            "99999999999999999999",
            "3",
            "-1",
            "0",
            "two",
            "1.0",
        ] {
            let line = format!("SINTERCARD {count} a b");
            assert!(
                matches!(keys(&line), Err(KeyError::KeyCount { min: 1, max: 2, .. })),
                "{line}"
            );
        }
    }

    #[test]
    fn errors_say_what_was_read_and_expected() {
        assert_eq!(
            keys_error("GET"),
            "GET has too few arguments: its key at position 1 is missing (the command's name is 0)"
        );
        assert_eq!(
            keys_error("BLPOP k"),
            "BLPOP has too few arguments: its key at position 1 is missing (the command's name is 0)"
        );
        assert_eq!(
            keys_error("MSET a 1 b"),
            "MSET has 3 arguments after position 0: expected pairs, so an even number above 0"
        );
        assert_eq!(
            keys_error("EVAL s x"),
            "EVAL says `x` at position 2: expected how many keys follow, from 0 to 0"
        );
        assert_eq!(
            keys_error("XREAD COUNT 2"),
            "XREAD has no word STREAMS where an option was expected: its keys follow that word"
        );
        assert_eq!(
            keys_error("XREAD STREAMS a b 0"),
            "XREAD has 3 arguments after position 1: expected pairs, so an even number above 0"
        );
        assert_eq!(
            blocks("BLPOP k soon").unwrap_err().to_string(),
            "BLPOP says `soon` for its timeout: expected a number of seconds, 0 to wait for ever"
        );
    }

    #[test]
    fn no_call_however_short_makes_any_row_panic() {
        for row in crate::command::all() {
            let name: Vec<&[u8]> = row.name.split(' ').map(str::as_bytes).collect();
            for filler in [
                "1", "0", "", "STREAMS", "STORE", "KEYS", "COUNT", "BLOCK", "GROUP", "GET",
                "AUTH2", "EX",
            ] {
                for len in 0..12 {
                    let mut args = name.clone();
                    args.extend(std::iter::repeat_n(filler.as_bytes(), len));
                    if let Ok(keys) = row.key_positions(&args) {
                        assert_eq!(keys.len(), keys.iter().count());
                        assert!(
                            keys.iter().all(|key| (1..args.len()).contains(&key)),
                            "{} {filler} x {len}",
                            row.name
                        );
                    }
                    row.is_read(&args);
                    row.is_plain_set(&args);
                    row.has_patterns(&args);
                    row.forbidden(&args);
                    row.miss_reply(&args, true);
                    let _ = row.blocks(&args);
                }
            }
        }
    }

    #[test]
    fn a_write_is_a_read_only_where_its_arguments_prove_it() {
        for read in [
            "GET k",
            "GETEX k",
            "SORT k BY nosort",
            "SORT k LIMIT 0 STORE",
            "GEORADIUS k 1 2 3 km WITHDIST",
            "BITFIELD k GET u8 0 get u8 8",
        ] {
            assert!(is_read(read), "{read}");
        }
        for write in [
            "SET k v",
            "GETEX k PERSIST",
            "SORT k STORE d",
            "GEORADIUS k 1 2 3 km STOREDIST d",
            "GEORADIUSBYMEMBER k m 3 km STORE d",
            "BITFIELD k GET u8 0 SET u8 0 1",
            "BITFIELD k OVERFLOW SAT GET u8 0",
            "BITFIELD k GET u8",
            "XREADGROUP GROUP g c STREAMS k >",
        ] {
            assert!(!is_read(write), "{write}");
        }
    }

    #[test]
    fn timeouts_are_seconds_or_milliseconds_and_zero_is_for_ever() {
        let at_most = |millis| Ok(Some(BlocksFor::AtMost(Duration::from_millis(millis))));
        assert_eq!(blocks("GET k"), Ok(None));
        assert_eq!(blocks("BLPOP a b 0"), Ok(Some(BlocksFor::Forever)));
        assert_eq!(blocks("BLPOP a b 1.5"), at_most(1500));
        assert_eq!(blocks("BLMOVE a b LEFT RIGHT 2"), at_most(2000));
        assert_eq!(blocks("BZMPOP 0.25 1 a MIN"), at_most(250));
        assert_eq!(blocks("XREAD BLOCK 250 STREAMS k 0"), at_most(250));
        assert_eq!(
            blocks("XREAD COUNT 1 block 0 STREAMS k 0"),
            Ok(Some(BlocksFor::Forever))
        );
        assert_eq!(blocks("BLPOP k 1e-30"), at_most(0));
        for wrong in [
            "BLPOP k -1",
            "BLPOP k nan",
            "BLPOP k inf",
            "BLPOP k 1e300",
            "BLPOP",
            "XREAD BLOCK",
        ] {
            assert!(blocks(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn patterns_of_sort_are_seen_where_the_server_would_follow_them() {
        assert!(has_patterns("SORT k BY w_*"));
        assert!(has_patterns("SORT_RO k LIMIT 0 10 GET # GET o_*->name"));
        assert!(!has_patterns("SORT k BY nosort GET # STORE w_*"));
        assert!(!has_patterns("SORT k"));
    }

    #[test]
    fn only_a_set_whose_reply_is_always_ok_is_plain() {
        let plain = |line: &str| {
            let args = words(line);
            row_of(&args).unwrap().is_plain_set(&args)
        };
        for line in [
            "SET k v",
            "set k NX",
            "SET k v EX 10",
            "SET k v px 10",
            "SET k v keepttl",
            "SETEX k 1 v",
            "MSET a 1",
        ] {
            assert!(plain(line), "{line}");
        }
        for line in [
            "SET k v NX",
            "SET k v XX EX 1",
            "SET k v GET",
            "SET k v EX",
            "SET k",
            "SETNX k v",
            "GET k",
        ] {
            assert!(!plain(line), "{line}");
        }
    }

    #[test]
    fn copy_to_another_database_is_forbidden() {
        let forbidden = |line: &str| {
            let args = words(line);
            row_of(&args).unwrap().forbidden(&args).is_some()
        };
        assert!(forbidden("COPY a b db 1"));
        assert!(!forbidden("COPY a DB REPLACE"));
        assert!(!forbidden("COPY DB DB"));
    }
}
