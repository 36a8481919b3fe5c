//! Which part of a key is hashed, by the rules of the programs that placements come from.

use super::hash_tag;

/// A rule for the part of a key that is hashed. Works on bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagRule {
    /// The whole key, always.
    Whole,
    /// Redis Cluster's: what stands between the first `{` and the first `}` after it, unless that is nothing.
    Braces,
    /// Codis's: the same, but an empty tag counts.
    BracesMaybeEmpty,
    /// twemproxy's `hash_tag`: between the first of the one byte and the first of the other after it, unless that is nothing.
    Between([u8; 2]),
    /// libketama's: what stands before the first NUL, which ends a string of C.
    BeforeNul,
    /// redis-rb's `/^\{(.+?)\}/`: `^` is the start of any line, and `.` is anything but a line feed.
    RubyLineStart,
    /// Jedis's `\{(.+?)\}`: anywhere, but a tag spans no line end. Only for keys that are UTF-8: others can only have been given as bytes, of
    /// which Jedis hashes all.
    Java,
}

impl TagRule {
    /// The part of `key` that is hashed.
    #[inline]
    pub(crate) fn apply(self, key: &[u8]) -> &[u8] {
        match self {
            TagRule::Whole => key,
            TagRule::Braces => hash_tag(key),
            TagRule::Between([open, close]) => between(key, open, close),
            TagRule::BeforeNul => &key[..memchr::memchr(0, key).unwrap_or(key.len())],
            _ => todo!(),
        }
    }
}

fn between(key: &[u8], open: u8, close: u8) -> &[u8] {
    let Some(at) = memchr::memchr(open, key) else {
        return key;
    };
    let inside = &key[at + 1..];
    match memchr::memchr(close, inside) {
        None | Some(0) => key,
        Some(length) => &inside[..length],
    }
}
