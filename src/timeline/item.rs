//! What a timeline holds: ids with the times at which they belong.

use crate::error::{Error, ErrorKind};
use crate::routing;
use std::fmt::Debug;

/// Scores are below this, 2^53: from there on a double, which is what Redis keeps, no longer holds every integer.
pub const SCORE_END: u64 = 1 << 53;
/// Ids have at most so many bytes: a longer one would fit into no cursor, so that no page could end with it.
pub const ID_BYTES_MAX: usize = 1_024;

/// One item of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item<I: Id = u64> {
    /// What it is; 1 to [`ID_BYTES_MAX`] bytes.
    pub id: I,
    /// Where it belongs: milliseconds since 1970, or whatever grows; below [`SCORE_END`].
    pub score: u64,
}

impl<I: Id> Item<I> {
    /// An item with this id at this score. A score that is too large, and an id that is too long or empty, is refused when the item is used.
    pub fn new(id: impl Into<I>, score: u64) -> Item<I> {
        Item {
            id: id.into(),
            score,
        }
    }

    /// The member that it is written as. Refuses what could not be read again: a score that Redis would round, an id that no page can show.
    pub(super) fn member(&self) -> Result<Vec<u8>, Error> {
        let member = self.id.to_member();
        let why = if self.score >= SCORE_END {
            format!(
                "the score {} of item {} is not below 2^53 ({SCORE_END}): Redis keeps scores as doubles and would round it",
                self.score,
                routing::shorten(&member)
            )
        } else if member.is_empty() {
            format!(
                "the item with the score {} has an empty id, which names nothing: is a value missing?",
                self.score
            )
        } else if member.len() > ID_BYTES_MAX {
            format!(
                "the id \"{}\" has {} bytes; ids have at most {ID_BYTES_MAX}, so that they fit into cursors: keep a hash of it, or a number",
                routing::shorten(&member),
                member.len()
            )
        } else {
            return Ok(member);
        };
        Err(Error::new(ErrorKind::Invalid, why))
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else is to name it")]
    pub trait Sealed {}
    impl Sealed for u64 {}
    impl Sealed for String {}
}

/// The ids that a timeline can hold: `u64`, written in decimal, and `String` of 1 to [`ID_BYTES_MAX`] bytes. Items of one score are in the
/// order of their ids' bytes, so numbers of different lengths are not in numerical order there.
pub trait Id:
    sealed::Sealed + Clone + Debug + Eq + std::hash::Hash + Send + Sync + 'static
{
    /// As the member of a sorted set.
    fn to_member(&self) -> Vec<u8>;

    /// What a member says; `None` if no id of this kind is written so.
    fn from_member(member: Vec<u8>) -> Option<Self>;
}

impl Id for u64 {
    fn to_member(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    fn from_member(member: Vec<u8>) -> Option<u64> {
        let text = std::str::from_utf8(&member).ok()?;
        let id: u64 = text.parse().ok()?;
        // "007" and "+7" are other members than "7".
        (id.to_string() == text).then_some(id)
    }
}

impl Id for String {
    fn to_member(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn from_member(member: Vec<u8>) -> Option<String> {
        String::from_utf8(member).ok().filter(|id| !id.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_member_and_nothing_else_does() {
        for id in [0, 7, u64::MAX] {
            assert_eq!(u64::from_member(id.to_member()), Some(id));
        }
        for member in ["", "007", "+7", "-1", "7 ", "18446744073709551616", "x"] {
            assert_eq!(u64::from_member(member.into()), None, "{member:?}");
        }
        assert_eq!(
            String::from_member("ü".to_owned().to_member()),
            Some("ü".to_owned())
        );
        for member in [vec![0xff], vec![]] {
            assert_eq!(String::from_member(member), None);
        }
    }

    #[test]
    fn what_could_not_be_read_again_is_refused() {
        let of_string = |id: String, score| Item::<String>::new(id, score).member();
        assert_eq!(
            Item::<u64>::new(7u64, SCORE_END - 1).member().unwrap(),
            b"7"
        );
        let longest = "x".repeat(ID_BYTES_MAX);
        assert_eq!(
            of_string(longest.clone(), 1).unwrap(),
            longest.as_bytes().to_vec()
        );
        let refused = [
            Item::<u64>::new(1u64, SCORE_END).member(),
            of_string(String::new(), 1),
            of_string(longest + "x", 1),
        ];
        let mut said = Vec::new();
        for refused in refused {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            said.push(error.to_string());
        }
        insta::assert_snapshot!(said.join("\n"), @r#"
the score 9007199254740992 of item 1 is not below 2^53 (9007199254740992): Redis keeps scores as doubles and would round it
the item with the score 1 has an empty id, which names nothing: is a value missing?
the id "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..." has 1025 bytes; ids have at most 1024, so that they fit into cursors: keep a hash of it, or a number
"#);
    }
}
