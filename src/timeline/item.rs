//! What a timeline holds: ids with the times at which they belong.

use crate::error::{Error, ErrorKind};
use std::fmt::Debug;

/// Scores are below this, 2^53: from there on a double, which is what Redis keeps, no longer holds every integer.
pub const SCORE_END: u64 = 1 << 53;

/// One item of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item<I: Id = u64> {
    /// What it is.
    pub id: I,
    /// Where it belongs: milliseconds since 1970, or whatever grows; below [`SCORE_END`].
    pub score: u64,
}

impl<I: Id> Item<I> {
    /// An item with this id at this score. A score that is too large is refused when the item is used.
    pub fn new(id: impl Into<I>, score: u64) -> Item<I> {
        Item {
            id: id.into(),
            score,
        }
    }

    /// Refuses a score that Redis would round.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.score < SCORE_END {
            return Ok(());
        }
        let why = format!(
            "the score {} of item {:?} is not below 2^53 ({SCORE_END}): Redis keeps scores as doubles and would round it",
            self.score, self.id
        );
        Err(Error::new(ErrorKind::Invalid, why))
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else is to name it")]
    pub trait Sealed {}
    impl Sealed for u64 {}
    impl Sealed for String {}
}

/// The ids that a timeline can hold: `u64`, written in decimal, and `String`. Items of one score are in the order of their ids' bytes, so
/// numbers of different lengths are not in numerical order there.
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
        String::from_utf8(member).ok()
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
        assert_eq!(String::from_member(vec![0xff]), None);
    }

    #[test]
    fn a_score_that_would_be_rounded_is_refused() {
        assert!(Item::<u64>::new(1u64, SCORE_END - 1).check().is_ok());
        let refused = Item::<u64>::new(1u64, SCORE_END).check().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
}
