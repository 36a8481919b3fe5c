//! Which part of a key is hashed, by the rules of the programs that placements come from.

use super::{hash_tag, may_have_brace};
use memchr::memchr;

/// A rule for the part of a key that is hashed. Works on bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagRule {
    /// The whole key, always.
    Whole,
    /// Redis Cluster's: what stands between the first `{` and the first `}` after it, unless that is nothing.
    Braces,
    /// Codis's: the same, but an empty tag counts. Source: Codis 3.2, `pkg/proxy/mapper.go`, `Hash`.
    BracesMaybeEmpty,
    /// twemproxy's `hash_tag`: between the first of the one byte and the first of the other after it, unless that is nothing. Source: twemproxy
    /// 0.5.0, `src/nc_server.c`, `server_pool_idx`.
    Between([u8; 2]),
    /// libketama's: what stands before the first NUL, which ends a string of C.
    BeforeNul,
    /// redis-rb's `/^\{(.+?)\}/`: `^` is the start of any line, and `.` is anything but a line feed. Source: redis-rb 5.4,
    /// `lib/redis/distributed.rb`.
    RubyLineStart,
    /// Jedis's `\{(.+?)\}`: anywhere, but a tag spans no line end. Only for keys that are UTF-8: others can only have been given as bytes, of
    /// which Jedis hashes all. Source: Jedis 3.10, `util/Sharded.java`.
    Java,
}

impl TagRule {
    /// The part of `key` that is hashed.
    #[inline]
    pub(crate) fn apply(self, key: &[u8]) -> &[u8] {
        match self {
            TagRule::Whole => key,
            TagRule::Braces => hash_tag(key),
            TagRule::BracesMaybeEmpty if !may_have_brace(key) => key,
            TagRule::BracesMaybeEmpty => between([b'{', b'}'], key).unwrap_or(key),
            TagRule::Between(marks) => match between(marks, key) {
                None | Some([]) => key,
                Some(tag) => tag,
            },
            TagRule::BeforeNul => &key[..memchr(0, key).unwrap_or(key.len())],
            TagRule::RubyLineStart => ruby(key).unwrap_or(key),
            TagRule::Java => java(key).unwrap_or(key),
        }
    }
}

/// What stands between the first of the one byte and the first of the other after it.
fn between([open, close]: [u8; 2], key: &[u8]) -> Option<&[u8]> {
    let inside = &key[memchr(open, key)? + 1..];
    Some(&inside[..memchr(close, inside)?])
}

fn ruby(key: &[u8]) -> Option<&[u8]> {
    // Most keys have no tag at all, and are not to be walked line by line.
    memchr(b'{', key)?;
    key.split(|byte| *byte == b'\n').find_map(|line| {
        let inside = line.strip_prefix(b"{")?;
        lazy(inside)
    })
}

fn java(key: &[u8]) -> Option<&[u8]> {
    memchr(b'{', key)?;
    // What `.` does not match without `DOTALL` and `UNIX_LINES`: java.util.regex.Pattern, "Line terminators".
    const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];
    let text = str::from_utf8(key).ok()?;
    text.split(LINE_ENDS).find_map(|line| {
        // If the first brace of a line finds no end there, neither does a later one.
        let line = line.as_bytes();
        lazy(&line[memchr(b'{', line)? + 1..])
    })
}

/// What `(.+?)\}` takes from the start of a line's rest: at least one character, which may itself be a brace, up to the next `}`.
fn lazy(rest: &[u8]) -> Option<&[u8]> {
    // A character of several bytes has no brace among them, so its first byte is as good as the whole.
    let close = memchr(b'}', rest.get(1..)?)? + 1;
    Some(&rest[..close])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keys in which braces, line ends and characters of several bytes stand close together.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            6 => prop_oneof![Just("{"), Just("}")].prop_map(|brace| brace.as_bytes().to_vec()),
            3 => prop_oneof![Just("\n"), Just("\r"), Just("\u{85}"), Just("\u{2028}"), Just("\u{2029}")]
                .prop_map(|end| end.as_bytes().to_vec()),
            3 => any::<char>().prop_map(|char| char.to_string().into_bytes()),
            1 => any::<u8>().prop_map(|byte| vec![byte]),
        ];
        proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
    }

    /// `\{(.+?)\}` as a regular expression is defined: every start from the left, and from each the shortest end.
    fn first_match<T: PartialEq>(
        key: &[T],
        [open, close]: [T; 2],
        may_start: impl Fn(usize) -> bool,
        is_line_end: impl Fn(&T) -> bool,
    ) -> Option<(usize, usize)> {
        (0..key.len()).find_map(|start| {
            let end = (start + 2..key.len())
                .find(|end| key[*end] == close && !key[start + 1..*end].iter().any(&is_line_end))?;
            (key[start] == open && may_start(start)).then_some((start + 1, end))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(keyway_testing::swept(500, 4_000)))]

        #[test]
        fn rubys_tag_is_the_same_as_by_the_rule_read_aloud(key in keys()) {
            let tag = first_match(
                &key,
                [b'{', b'}'],
                |start| start == 0 || key[start - 1] == b'\n',
                |byte| *byte == b'\n',
            );
            let expected = tag.map_or(&key[..], |(start, end)| &key[start..end]);
            prop_assert_eq!(TagRule::RubyLineStart.apply(&key), expected);
        }

        #[test]
        fn javas_tag_is_the_same_as_by_the_rule_read_aloud(key in keys()) {
            let mut expected = key.clone();
            if let Ok(text) = str::from_utf8(&key) {
                let chars: Vec<char> = text.chars().collect();
                let tag = first_match(
                    &chars,
                    ['{', '}'],
                    |_| true,
                    |char| matches!(char, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}'),
                );
                if let Some((start, end)) = tag {
                    expected = chars[start..end].iter().collect::<String>().into_bytes();
                }
            }
            prop_assert_eq!(TagRule::Java.apply(&key), expected);
        }

        #[test]
        fn the_tag_between_two_bytes_is_the_same_as_by_the_rule_read_aloud(
            key in keys(),
            marks in prop_oneof![Just(*b"{}"), Just(*b"}}"), Just(*b"}{"), any::<[u8; 2]>()],
        ) {
            let mut inside = None;
            if let Some(open) = key.iter().position(|byte| *byte == marks[0])
                && let Some(length) = key[open + 1..].iter().position(|byte| *byte == marks[1])
            {
                inside = Some(&key[open + 1..open + 1 + length]);
            }
            let expected = inside.filter(|tag| !tag.is_empty()).unwrap_or(&key);
            prop_assert_eq!(TagRule::Between(marks).apply(&key), expected);
            if marks == *b"{}" {
                prop_assert_eq!(TagRule::Braces.apply(&key), expected);
                prop_assert_eq!(TagRule::BracesMaybeEmpty.apply(&key), inside.unwrap_or(&key));
            }
            prop_assert_eq!(TagRule::Whole.apply(&key), &key[..]);
        }
    }

    /// The second column is what `java.util.regex` of OpenJDK 17 printed for `\{(.+?)\}`.
    #[test]
    fn javas_tag_is_what_java_finds() {
        let cases = [
            ("{}}", "}"),
            ("{}a}", "}a"),
            ("{}", "{}"),
            ("{}{a}", "}{a"),
            ("{}{}", "}{"),
            ("{{a}}", "{a"),
            ("{\n}{a}", "a"),
            ("{a\n}{b}", "b"),
            ("{\r{x}", "x"),
            ("{\u{85}}", "{\u{85}}"),
            ("{a\u{2028}}b}", "{a\u{2028}}b}"),
            ("{a\u{2029}}{c}", "c"),
            ("a{\u{b}}", "\u{b}"),
            ("{\u{c}}", "\u{c}"),
            ("{}\n{b}", "b"),
            ("{}\n}", "{}\n}"),
            ("{a", "{a"),
            ("x{y}z{w}", "y"),
            ("{\u{e9}}", "\u{e9}"),
            ("{ }", " "),
        ];
        for (key, tag) in cases {
            let found = TagRule::Java.apply(key.as_bytes());
            assert_eq!(str::from_utf8(found), Ok(tag), "{key:?}");
        }
        assert_eq!(TagRule::Java.apply(b"{a}\xff"), b"{a}\xff");
    }

    #[test]
    fn rubys_tag_is_at_the_start_of_a_line() {
        let cases: [(&[u8], &[u8]); 10] = [
            (b"{a}b", b"a"),
            (b"b{a}", b"b{a}"),
            (b"b\n{a}c", b"a"),
            (b"b\r{a}c", b"b\r{a}c"),
            (b"{}}", b"}"),
            (b"{}\n{b}", b"b"),
            (b"{a\n}", b"{a\n}"),
            (b"{a\r}", b"a\r"),
            (b"{\xff}\xfe", b"\xff"),
            (b"x\n\n{\xc2\x85}", b"\xc2\x85"),
        ];
        for (key, tag) in cases {
            let found = TagRule::RubyLineStart.apply(key);
            assert_eq!(found, tag, "{}", key.escape_ascii());
        }
    }
}
