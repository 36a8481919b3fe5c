//! Hash tags in words: what is hashed of a key, and what a person can do so that keys share a node.

use super::{Lookup, Placement};
use crate::hash::TagRule;

/// For messages; longer keys are cut.
const SHOWN_BYTES_MAX: usize = 64;

impl Placement {
    pub(super) fn tag_rule(&self) -> TagRule {
        match &self.built.lookup {
            Lookup::Preset(preset) => preset.tag(),
            // It is given the whole key.
            Lookup::Custom(_) => TagRule::Whole,
            Lookup::InTurn(_) => TagRule::Whole,
            _ => TagRule::Braces,
        }
    }

    /// Whether keys can be made to share a node.
    pub(crate) fn has_tags(&self) -> bool {
        self.tag_rule().marks().is_some()
    }

    /// One or two sentences that say what makes `key` and another share a node here, with an example where there is one.
    pub(crate) fn tag_remedy(&self, key: &[u8]) -> String {
        if let Lookup::Custom(custom) = &self.built.lookup {
            return format!(
                "Where keys are is up to {custom}: send a command for each key, or give them names that it places on one node"
            );
        }
        let rule = self.tag_rule();
        let Some((open, close)) = rule.marks() else {
            return format!(
                "{} hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together \
                 in one key",
                self.describe_algorithm()
            );
        };
        let what = match rule {
            TagRule::RubyLineStart => "Keys that begin with the same hash tag share a node",
            _ => "Keys with the same hash tag share a node",
        };
        // A key with such a character in it would end the example's tag, or start another.
        let is_plain = |byte: u8| !byte.is_ascii_control() && ![open, close].contains(&byte);
        let tag = [
            std::str::from_utf8(key).unwrap_or_default(),
            "user:42",
            "KEY",
        ]
        .into_iter()
        .find(|text| !text.is_empty() && text.bytes().all(is_plain))
        .map_or_else(|| "7".to_owned(), shortened);
        let (open, close) = (char::from(open), char::from(close));
        format!("{what}: \"{open}{tag}{close}:a\" and \"{open}{tag}{close}:b\"")
    }

    /// The algorithm with the options that it was given, as a cluster file has them.
    pub(super) fn describe_algorithm(&self) -> String {
        if let Lookup::Custom(custom) = &self.built.lookup {
            return custom.to_string();
        }
        let options = &self.built.options;
        let mut text = self.built.algorithm.to_string();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                text.push_str(&format!(", {name} {value}"));
            }
        };
        add("hash", options.hash.map(|hash| hash.to_string()));
        add(
            "hash_tag",
            options.hash_tag.map(|tag| tag.escape_ascii().to_string()),
        );
        let numbers = [
            ("ring_points_min", options.ring_points_min),
            ("ring_points_max", options.ring_points_max),
            ("table_entries", options.table_entries),
        ];
        for (name, number) in numbers {
            add(name, number.map(|number| number.to_string()));
        }
        text
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().find(|(at, _)| *at >= SHOWN_BYTES_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

impl TagRule {
    /// The characters around a tag, if the rule knows tags.
    fn marks(self) -> Option<(u8, u8)> {
        match self {
            TagRule::Whole | TagRule::BeforeNul => None,
            TagRule::Between([open, close]) => Some((open, close)),
            TagRule::Braces
            | TagRule::BracesMaybeEmpty
            | TagRule::RubyLineStart
            | TagRule::Java => Some((b'{', b'}')),
        }
    }

    /// What is hashed of a key.
    pub(super) fn in_words(self) -> String {
        let tag = "what stands between the first { and the first } after it";
        match self {
            TagRule::Whole => "none: the whole key, always".to_owned(),
            TagRule::Braces => format!("{tag}, unless that is nothing; else the whole key"),
            TagRule::BracesMaybeEmpty => {
                format!("{tag}, even if that is nothing; without them the whole key")
            }
            TagRule::Between([open, close]) => format!(
                "what stands between the first {} and the first {} after it, unless that is nothing; else the whole key",
                char::from(open).escape_default(),
                char::from(close).escape_default()
            ),
            TagRule::BeforeNul => {
                "none: the whole key, up to the first NUL in it, as C ends a text there".to_owned()
            }
            TagRule::RubyLineStart => {
                "what stands between a { at the start of the key, or of a line in it, and the first } after at least one character of \
                 the same line; else the whole key"
                    .to_owned()
            }
            TagRule::Java => {
                "what stands between the first { and the first } after at least one character, all on one line; else, and in a key \
                 that is not UTF-8, the whole key"
                    .to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::{Algorithm, Custom, NodeSpec, Options};

    /// Every rule with its remedy for a few keys, some of which would break the example.
    #[test]
    fn the_remedy_names_the_tags_that_the_placement_knows() {
        let keys: [&[u8]; 5] = [b"user:7", b"a{b}c", b"", b"\xff", &[b'x'; 100]];
        let mut text = String::new();
        let tag = |tag: &[u8; 2]| Options {
            hash_tag: Some(*tag),
            ..Options::default()
        };
        for (algorithm, options) in [
            (Algorithm::Ketama, Options::default()),
            (Algorithm::NydusKetama, Options::default()),
            (Algorithm::TwemproxyKetama, Options::default()),
            (Algorithm::TwemproxyKetama, tag(b"[]")),
            (Algorithm::TwemproxyKetama, tag(b"$$")),
            (Algorithm::TwemproxyKetama, tag(b"rE")),
            (Algorithm::RedisRb5, Options::default()),
            (Algorithm::JedisMurmur, tag(b"{}")),
            (Algorithm::Libketama, Options::default()),
        ] {
            let nodes = ["redis://a:1", "redis://b:1"].map(NodeSpec::new);
            let placement = Placement::with_options(algorithm, options, nodes.into()).unwrap();
            for key in keys {
                let remedy = placement.tag_remedy(key);
                text += &format!("{remedy}\n");
                // What it says is true.
                let mut quoted = remedy.split('"').skip(1).step_by(2);
                if let (Some(one), Some(other)) = (quoted.next(), quoted.next()) {
                    let of = |key: &str| placement.hashed(key.as_bytes()).to_vec();
                    assert_eq!(of(one), of(other), "{remedy}");
                    assert_ne!(of(one), one.as_bytes(), "{remedy}");
                }
            }
        }
        let custom = Custom::new("by-user", 3, |_: &[u8], _| 0);
        let custom = Placement::custom(custom, vec![NodeSpec::new("a")]).unwrap();
        text += &custom.tag_remedy(b"user:7");
        insta::assert_snapshot!(text, @r#"
        Keys with the same hash tag share a node: "{user:7}:a" and "{user:7}:b"
        Keys with the same hash tag share a node: "{user:42}:a" and "{user:42}:b"
        Keys with the same hash tag share a node: "{user:42}:a" and "{user:42}:b"
        Keys with the same hash tag share a node: "{user:42}:a" and "{user:42}:b"
        Keys with the same hash tag share a node: "{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...}:a" and "{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...}:b"
        nydus-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        nydus-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        nydus-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        nydus-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        nydus-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        twemproxy-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        twemproxy-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        twemproxy-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        twemproxy-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        twemproxy-ketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        Keys with the same hash tag share a node: "[user:7]:a" and "[user:7]:b"
        Keys with the same hash tag share a node: "[a{b}c]:a" and "[a{b}c]:b"
        Keys with the same hash tag share a node: "[user:42]:a" and "[user:42]:b"
        Keys with the same hash tag share a node: "[user:42]:a" and "[user:42]:b"
        Keys with the same hash tag share a node: "[xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...]:a" and "[xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...]:b"
        Keys with the same hash tag share a node: "$user:7$:a" and "$user:7$:b"
        Keys with the same hash tag share a node: "$a{b}c$:a" and "$a{b}c$:b"
        Keys with the same hash tag share a node: "$user:42$:a" and "$user:42$:b"
        Keys with the same hash tag share a node: "$user:42$:a" and "$user:42$:b"
        Keys with the same hash tag share a node: "$xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...$:a" and "$xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...$:b"
        Keys with the same hash tag share a node: "r7E:a" and "r7E:b"
        Keys with the same hash tag share a node: "ra{b}cE:a" and "ra{b}cE:b"
        Keys with the same hash tag share a node: "r7E:a" and "r7E:b"
        Keys with the same hash tag share a node: "r7E:a" and "r7E:b"
        Keys with the same hash tag share a node: "rxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...E:a" and "rxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...E:b"
        Keys that begin with the same hash tag share a node: "{user:7}:a" and "{user:7}:b"
        Keys that begin with the same hash tag share a node: "{user:42}:a" and "{user:42}:b"
        Keys that begin with the same hash tag share a node: "{user:42}:a" and "{user:42}:b"
        Keys that begin with the same hash tag share a node: "{user:42}:a" and "{user:42}:b"
        Keys that begin with the same hash tag share a node: "{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...}:a" and "{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...}:b"
        Keys with the same hash tag share a node: "{user:7}:a" and "{user:7}:b"
        Keys with the same hash tag share a node: "{user:42}:a" and "{user:42}:b"
        Keys with the same hash tag share a node: "{user:42}:a" and "{user:42}:b"
        Keys with the same hash tag share a node: "{user:42}:a" and "{user:42}:b"
        Keys with the same hash tag share a node: "{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...}:a" and "{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...}:b"
        libketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        libketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        libketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        libketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        libketama hashes whole keys, so no hash tag makes keys share a node: send a command for each key, or keep what belongs together in one key
        Where keys are is up to custom "by-user" version 3: send a command for each key, or give them names that it places on one node
        "#);
    }

    #[test]
    fn every_rule_is_told_in_words() {
        let rules = [
            TagRule::Whole,
            TagRule::Braces,
            TagRule::BracesMaybeEmpty,
            TagRule::Between(*b"[]"),
            TagRule::BeforeNul,
            TagRule::RubyLineStart,
            TagRule::Java,
        ];
        let words: Vec<String> = rules.into_iter().map(TagRule::in_words).collect();
        insta::assert_snapshot!(words.join("\n"), @r#"
        none: the whole key, always
        what stands between the first { and the first } after it, unless that is nothing; else the whole key
        what stands between the first { and the first } after it, even if that is nothing; without them the whole key
        what stands between the first [ and the first ] after it, unless that is nothing; else the whole key
        none: the whole key, up to the first NUL in it, as C ends a text there
        what stands between a { at the start of the key, or of a line in it, and the first } after at least one character of the same line; else the whole key
        what stands between the first { and the first } after at least one character, all on one line; else, and in a key that is not UTF-8, the whole key
        "#);
    }
}
