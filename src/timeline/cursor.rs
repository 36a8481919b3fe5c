//! Cursors: a place in a timeline and a direction, as text that goes through a URL and comes back.

use super::item::{ID_BYTES_MAX, SCORE_END};
use super::range::{Cut, Direction, Entry};
use crate::error::{Error, ErrorKind};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The text of a cursor is at most so long; that of a signed one with a number for an id has at most 60 characters.
pub const CURSOR_CHARS_MAX: usize = (BYTES_MAX * 4).div_ceil(3);

const BYTES_MAX: usize = HEAD_BYTES + SCORE_BYTES + ID_BYTES_MAX + MAC_BYTES;
/// Version and flags.
const HEAD_BYTES: usize = 2;
const SCORE_BYTES: usize = 7;
const MAC_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;
const VERSION: u8 = 1;

const NEWER: u8 = 1;
const GAPS: u8 = 1 << 1;
const SIGNED: u8 = 1 << 2;
const CUT_SHIFT: u32 = 3;
const FLAGS_END: u8 = 1 << 5;

/// A key shorter than this can be guessed.
const KEY_BYTES_MIN: usize = 16;
const KEY_BYTES_MAX: usize = 1_024;
/// Each is tried for a cursor that none of the others has signed.
const KEYS_MAX: usize = 16;

/// Where a page ends and the next one begins. As text (`Display`, `FromStr`, serde) it is opaque, of letters, digits, `-` and `_`, and of at
/// most [`CURSOR_CHARS_MAX`] of them.
///
/// It is a place **between** items, by score and id, and a direction. Nothing is kept for it anywhere, it does not expire, and the items beside
/// it may be deleted. Parsing only looks whether it is one; whether it belongs to a timeline is found out where it is used, before anything is
/// sent.
///
/// **What it is bound to**: what is read (the name and, for a page of one owner, the owner), as a whole with its place. Not bound is the list of
/// timelines that are merged, since whom one follows may change between two pages, and a place is a place whatever is merged. With
/// [`CursorKeys`] the binding is a signature, HMAC-SHA256 cut to 16 bytes: nobody else can make, change or carry over a cursor. Without it is a
/// checksum of 32 bits, which finds accidents but keeps out nobody. A cursor is no permission: it says where to read, not that one may.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cursor {
    pub(super) direction: Direction,
    pub(super) cut: Cut,
    pub(super) has_gaps: bool,
    seal: Seal,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Seal {
    Checksum([u8; CHECKSUM_BYTES]),
    Mac([u8; MAC_BYTES]),
}

impl Cursor {
    /// Whether it leads to newer items; else to older ones.
    pub fn is_newer(&self) -> bool {
        self.direction == Direction::Newer
    }

    /// What the seal is over.
    fn body(&self, is_signed: bool) -> Vec<u8> {
        let (kind, entry) = match &self.cut {
            Cut::Bottom => (0, None),
            Cut::Below(entry) => (1, Some(entry)),
            Cut::Above(entry) => (2, Some(entry)),
            Cut::Top => (3, None),
        };
        let mut flags = kind << CUT_SHIFT;
        for (is_so, flag) in [
            (self.is_newer(), NEWER),
            (self.has_gaps, GAPS),
            (is_signed, SIGNED),
        ] {
            flags |= if is_so { flag } else { 0 };
        }
        let mut bytes = vec![VERSION, flags];
        if let Some(entry) = entry {
            bytes.extend_from_slice(&entry.score.to_be_bytes()[8 - SCORE_BYTES..]);
            bytes.extend_from_slice(&entry.member);
        }
        bytes
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut bytes, seal): (_, &[u8]) = match &self.seal {
            Seal::Checksum(checksum) => (self.body(false), checksum),
            Seal::Mac(mac) => (self.body(true), mac),
        };
        bytes.extend_from_slice(seal);
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Cursor, Error> {
        if text.len() > CURSOR_CHARS_MAX {
            return Err(malformed(&format!("it has {} bytes", text.len())));
        }
        let bytes = URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_| malformed("it is cut short, or changed on its way"))?;
        let [version, flags, rest @ ..] = bytes.as_slice() else {
            return Err(malformed(&format!("it has {} bytes", text.len())));
        };
        if *version != VERSION {
            return Err(malformed(&format!(
                "its version is {version}, and this library reads {VERSION}"
            )));
        }
        if *flags >= FLAGS_END {
            return Err(malformed("it says what no version of this library does"));
        }
        let cut_short = || malformed("it is cut short");
        let (place, seal) = match flags & SIGNED != 0 {
            true => {
                let (place, mac) = rest.split_last_chunk().ok_or_else(cut_short)?;
                (place, Seal::Mac(*mac))
            }
            false => {
                let (place, checksum) = rest.split_last_chunk().ok_or_else(cut_short)?;
                (place, Seal::Checksum(*checksum))
            }
        };
        let kind = flags >> CUT_SHIFT;
        let cut = match (kind, place.split_first_chunk::<SCORE_BYTES>()) {
            (0, None) if place.is_empty() => Cut::Bottom,
            (3, None) if place.is_empty() => Cut::Top,
            (1 | 2, Some((score, member))) => {
                let mut whole = [0; 8];
                whole[8 - SCORE_BYTES..].copy_from_slice(score);
                let score = u64::from_be_bytes(whole);
                if score >= SCORE_END || member.len() > ID_BYTES_MAX {
                    return Err(malformed("no item is where it points"));
                }
                let entry = Entry {
                    score,
                    member: member.to_vec(),
                };
                if kind == 1 {
                    Cut::Below(entry)
                } else {
                    Cut::Above(entry)
                }
            }
            _ => return Err(cut_short()),
        };
        Ok(Cursor {
            direction: match flags & NEWER != 0 {
                true => Direction::Newer,
                false => Direction::Older,
            },
            cut,
            has_gaps: flags & GAPS != 0,
            seal,
        })
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> String {
        cursor.to_string()
    }
}

impl TryFrom<String> for Cursor {
    type Error = Error;

    fn try_from(text: String) -> Result<Cursor, Error> {
        text.parse()
    }
}

/// The keys that sign cursors. Cheap to clone. `Debug` does not show them.
///
/// ```
/// # fn example(cluster: keyway::Cluster, secret: &str, last_years: &str) -> Result<(), keyway::Error> {
/// use keyway::timeline::CursorKeys;
///
/// let keys = CursorKeys::new(secret)?.accept(last_years)?;
/// let home = keyway::Timeline::new(&cluster, "home").sign_cursors(&keys);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CursorKeys {
    /// The first signs. An HMAC that has taken in its key, to be cloned.
    keys: Arc<[Hmac<Sha256>]>,
}

impl CursorKeys {
    /// Signs with this key, which is any 16 to 1,024 bytes that nobody can guess: 32 of a random number generator, say.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a key that is too short or too long.
    pub fn new(key: impl AsRef<[u8]>) -> Result<CursorKeys, Error> {
        Ok(CursorKeys {
            keys: [keyed(key.as_ref())?].into(),
        })
    }

    /// Accepts what this key has signed, too; up to 15 of them. To change keys in a fleet: first let everyone accept the new one, then sign with
    /// it and accept the old one, and drop that when no cursor of it is in use any more.
    ///
    /// # Errors
    /// As [`new`](CursorKeys::new), and for more keys than that.
    pub fn accept(self, key: impl AsRef<[u8]>) -> Result<CursorKeys, Error> {
        if self.keys.len() >= KEYS_MAX {
            let why = format!(
                "these are more than {KEYS_MAX} keys for cursors: drop those of which no cursor is in use"
            );
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        let keys = self.keys.iter().cloned();
        Ok(CursorKeys {
            keys: keys.chain([keyed(key.as_ref())?]).collect(),
        })
    }
}

impl fmt::Debug for CursorKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CursorKeys({}, not shown)", self.keys.len())
    }
}

/// What a cursor is bound to, and by what.
#[derive(Clone, Debug)]
pub(super) struct Sealer {
    scope: Vec<u8>,
    keys: Option<CursorKeys>,
}

impl Sealer {
    pub(super) fn new(keys: Option<CursorKeys>, scope: &[&str]) -> Sealer {
        // Each part with its length, so that the parts of no two scopes run into one text. The first is this format's own name: a key that is
        // used for something else as well signs no cursor by accident.
        let mut bytes = Vec::new();
        for part in [&["keyway cursor"], scope].concat() {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        Sealer { scope: bytes, keys }
    }

    pub(super) fn cursor(&self, direction: Direction, cut: Cut, has_gaps: bool) -> Cursor {
        let mut cursor = Cursor {
            direction,
            cut,
            has_gaps,
            seal: Seal::Checksum([0; CHECKSUM_BYTES]),
        };
        let body = cursor.body(self.keys.is_some());
        cursor.seal = match self.keys.as_ref().and_then(|keys| keys.keys.first()) {
            Some(key) => {
                let mut mac = [0; MAC_BYTES];
                let whole = self.mac(key, &body).finalize().into_bytes();
                mac.copy_from_slice(&whole[..MAC_BYTES]);
                Seal::Mac(mac)
            }
            None => Seal::Checksum(self.checksum(&body)),
        };
        cursor
    }

    /// Refuses a cursor that was not made for this.
    pub(super) fn check(&self, cursor: &Cursor) -> Result<(), Error> {
        let is_right = match (&cursor.seal, &self.keys) {
            (Seal::Mac(mac), Some(keys)) => {
                let body = cursor.body(true);
                // Compares in constant time.
                let is_by = |key| self.mac(key, &body).verify_truncated_left(mac).is_ok();
                keys.keys.iter().any(is_by)
            }
            (Seal::Checksum(checksum), None) => self.checksum(&cursor.body(false)) == *checksum,
            (Seal::Checksum(_), Some(_)) => {
                return Err(refused(
                    "it is not signed, and this timeline signs its cursors",
                ));
            }
            (Seal::Mac(_), None) => {
                return Err(refused(
                    "it is signed, and this timeline has no keys to check that by (sign_cursors)",
                ));
            }
        };
        if is_right {
            return Ok(());
        }
        Err(refused(match self.keys {
            Some(_) => {
                "it was changed, is of another timeline or owner, or none of the keys has signed it"
            }
            None => "it was changed, or is of another timeline or owner",
        }))
    }

    fn mac(&self, key: &Hmac<Sha256>, body: &[u8]) -> Hmac<Sha256> {
        key.clone().chain_update(&self.scope).chain_update(body)
    }

    fn checksum(&self, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.scope);
        hasher.update(body);
        hasher.finalize().to_be_bytes()
    }
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>, Error> {
    let invalid = |why: String| Error::new(ErrorKind::Invalid, why);
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
        let bytes = key.len();
        return Err(invalid(format!(
            "a key for cursors has {bytes} bytes: expected {KEY_BYTES_MIN} to {KEY_BYTES_MAX} that nobody can guess"
        )));
    }
    Hmac::new_from_slice(key).map_err(|error| invalid(format!("a key for cursors: {error}")))
}

fn malformed(why: &str) -> Error {
    let why = format!(
        "this is no cursor: {why}. Expected the text of a page's `next` or `previous`, unchanged; begin again without a cursor"
    );
    Error::new(ErrorKind::Invalid, why)
}

fn refused(why: &str) -> Error {
    let why =
        format!("the cursor is not for what is read here: {why}. Begin again without a cursor");
    Error::new(ErrorKind::Invalid, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "a key that nobody can guess";

    fn sealer(key: Option<&str>, scope: &[&str]) -> Sealer {
        Sealer::new(key.map(|key| CursorKeys::new(key).unwrap()), scope)
    }

    fn cuts() -> impl Strategy<Value = Cut> {
        let member = proptest::collection::vec(any::<u8>(), 0..40);
        let entry = (0..SCORE_END, member).prop_map(|(score, member)| Entry { score, member });
        prop_oneof![
            1 => Just(Cut::Bottom),
            1 => Just(Cut::Top),
            4 => entry.clone().prop_map(Cut::Below),
            4 => entry.prop_map(Cut::Above),
        ]
    }

    fn cursors(key: Option<&'static str>) -> impl Strategy<Value = Cursor> {
        (any::<bool>(), cuts(), any::<bool>()).prop_map(move |(is_newer, cut, has_gaps)| {
            let direction = if is_newer {
                Direction::Newer
            } else {
                Direction::Older
            };
            sealer(key, &["page", "home", "42"]).cursor(direction, cut, has_gaps)
        })
    }

    /// Whether it is read and accepted.
    fn is_taken(text: &str, sealer: &Sealer) -> bool {
        match text.parse::<Cursor>() {
            Ok(cursor) => sealer.check(&cursor).is_ok(),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Invalid);
                false
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(keyway_testing::swept(200, 1_000)))]

        #[test]
        fn a_cursor_comes_back_from_its_text(cursor in prop_oneof![cursors(None), cursors(Some(KEY))]) {
            let text = cursor.to_string();
            prop_assert!(text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'), "{}", text);
            prop_assert!(text.len() <= CURSOR_CHARS_MAX);
            prop_assert_eq!(&text.parse::<Cursor>().unwrap(), &cursor);
            let json = serde_json::to_string(&cursor).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
        }

        #[test]
        fn a_cursor_of_which_one_bit_or_one_character_is_changed_is_refused(
            is_signed in any::<bool>(),
            signed in cursors(Some(KEY)),
            unsigned in cursors(None),
            at in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
        ) {
            let (cursor, key) = if is_signed { (signed, Some(KEY)) } else { (unsigned, None) };
            let sealer = sealer(key, &["page", "home", "42"]);
            let text = cursor.to_string();
            prop_assert!(is_taken(&text, &sealer));

            let mut bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!is_taken(&URL_SAFE_NO_PAD.encode(bytes), &sealer), "bit {} of {}", bit, text);

            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let mut changed = text.clone().into_bytes();
            let at = at.index(changed.len());
            changed[at] = alphabet.as_bytes()[to.index(64)];
            let changed = String::from_utf8(changed).unwrap();
            prop_assert!(changed == text || !is_taken(&changed, &sealer), "{} for {}", changed, text);
        }

        #[test]
        fn a_cursor_that_is_cut_short_or_lengthened_is_refused(
            signed in cursors(Some(KEY)), at in any::<prop::sample::Index>(), more in "[A-Za-z0-9_-]{1,8}"
        ) {
            let sealer = sealer(Some(KEY), &["page", "home", "42"]);
            let text = signed.to_string();
            prop_assert!(!is_taken(&text[..at.index(text.len())], &sealer));
            let longer = text + &more;
            prop_assert!(!is_taken(&longer, &sealer));
        }

        #[test]
        fn no_text_makes_parsing_panic(text in any::<String>(), close in "[A-Za-z0-9_-]{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let sealer = sealer(Some(KEY), &["page", "home", "42"]);
            // Most that is random has another version.
            let likely = [&[VERSION, bytes.first().copied().unwrap_or_default() % FLAGS_END], &bytes[..]].concat();
            for text in [text, close, URL_SAFE_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(likely)] {
                prop_assert!(!is_taken(&text, &sealer), "{}", text);
                // What is read is written in the same way.
                if let Ok(cursor) = text.parse::<Cursor>() {
                    prop_assert_eq!(cursor.to_string(), text);
                }
            }
        }
    }

    #[test]
    fn a_cursor_is_bound_to_what_was_read_and_to_a_key() {
        let owner = ["page", "home", "42"];
        let make = |sealer: &Sealer| sealer.cursor(Direction::Older, Cut::Top, false);
        for key in [None, Some(KEY)] {
            let cursor = make(&sealer(key, &owner));
            assert!(sealer(key, &owner).check(&cursor).is_ok());
            for other in [
                &["page", "home", "43"][..],
                &["page", "posts", "42"],
                &["merged", "home", "42"],
                &["page", "home4", "2"],
                &["page", "home", "4", "2"],
                &["page", "home"],
            ] {
                assert!(sealer(key, other).check(&cursor).is_err(), "{other:?}");
            }
        }
        let mut said = Vec::new();
        for (made, checked) in [
            (None, Some(KEY)),
            (Some(KEY), None),
            (Some(KEY), Some("another key of some length")),
        ] {
            let cursor = make(&sealer(made, &owner));
            let error = sealer(checked, &owner).check(&cursor).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            said.push(error.to_string());
        }
        said.push("AQ".parse::<Cursor>().unwrap_err().to_string());
        said.push("?".parse::<Cursor>().unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n"), @r#"
the cursor is not for what is read here: it is not signed, and this timeline signs its cursors. Begin again without a cursor
the cursor is not for what is read here: it is signed, and this timeline has no keys to check that by (sign_cursors). Begin again without a cursor
the cursor is not for what is read here: it was changed, is of another timeline or owner, or none of the keys has signed it. Begin again without a cursor
this is no cursor: it has 2 bytes. Expected the text of a page's `next` or `previous`, unchanged; begin again without a cursor
this is no cursor: it is cut short, or changed on its way. Expected the text of a page's `next` or `previous`, unchanged; begin again without a cursor
"#);
    }

    #[test]
    fn a_key_is_replaced_while_cursors_of_the_old_one_are_in_use() {
        let scope = ["public", "all"];
        let (old, new) = ("the key of last year", "the key of this year");
        let by = |keys: CursorKeys| Sealer::new(Some(keys), &scope);
        let make = |sealer: &Sealer| sealer.cursor(Direction::Newer, Cut::Bottom, true);
        let before = by(CursorKeys::new(old).unwrap());
        let between = by(CursorKeys::new(old).unwrap().accept(new).unwrap());
        let changed = by(CursorKeys::new(new).unwrap().accept(old).unwrap());
        let after = by(CursorKeys::new(new).unwrap());
        let taken = |cursor: &Cursor, by: &[&Sealer]| {
            by.iter()
                .map(|by| by.check(cursor).is_ok())
                .collect::<Vec<_>>()
        };
        let all = [&before, &between, &changed, &after];
        assert_eq!(taken(&make(&before), &all), [true, true, true, false]);
        assert_eq!(
            taken(&make(&between), &all),
            [true, true, true, false],
            "the first key signs"
        );
        assert_eq!(
            taken(&make(&changed), &all),
            [false, true, true, true],
            "the first key signs"
        );
        assert_eq!(
            format!("{:?}", changed.keys),
            "Some(CursorKeys(2, not shown))"
        );

        assert!(CursorKeys::new("15 bytes, short").is_err());
        assert!(CursorKeys::new([7; KEY_BYTES_MAX + 1]).is_err());
        let most = (1..KEYS_MAX).fold(CursorKeys::new(old).unwrap(), |keys, _| {
            keys.accept(new).unwrap()
        });
        assert!(most.accept(new).is_err());
    }

    #[test]
    fn the_longest_cursor_is_as_long_as_is_said_and_signatures_stay_what_they_are() {
        let entry = Entry {
            score: SCORE_END - 1,
            member: vec![b'x'; ID_BYTES_MAX],
        };
        let longest = sealer(Some(KEY), &["page", "home", "42"])
            .cursor(Direction::Newer, Cut::Above(entry), true)
            .to_string();
        assert_eq!(longest.len(), CURSOR_CHARS_MAX);
        assert!(longest.parse::<Cursor>().is_ok());
        assert!(format!("{longest}A").parse::<Cursor>().is_err());
        // Cursors are in the hands of users: a release reads those of the one before it.
        let entry = Entry {
            score: 1_700_000_000_000,
            member: u64::MAX.to_string().into_bytes(),
        };
        let cursor = |key| {
            sealer(key, &["page", "home", "42"]).cursor(
                Direction::Older,
                Cut::Below(entry.clone()),
                false,
            )
        };
        insta::assert_snapshot!(cursor(Some(KEY)), @"AQwAAYvP5WgAMTg0NDY3NDQwNzM3MDk1NTE2MTVlx5UnUQqq2DxnaAcQ9H6i");
        insta::assert_snapshot!(cursor(None), @"AQgAAYvP5WgAMTg0NDY3NDQwNzM3MDk1NTE2MTXugIHS");
    }
}
