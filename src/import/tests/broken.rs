//! Whatever comes, there is an answer: a file that is right, or an error with a place.

use super::*;
use keyway_testing::swept;
use proptest::prelude::*;

/// What was read is right, and if nothing was, the error stands on one of the text's lines.
fn check(text: &[u8], format: Option<Format>) {
    let options = Options {
        format,
        ..Options::default()
    };
    match read(text, "original".as_ref(), &options) {
        Ok(import) => {
            for cluster in &import.clusters {
                // A variable's value decides nothing but labels and passwords.
                let variable = |_: &str| Some("x".to_owned());
                let parsed = Config::parse(&cluster.toml, "cluster.toml".as_ref(), &variable);
                if let Err(error) = parsed {
                    assert!(
                        cluster.variables.len() > 1 || cluster.toml.contains("labels"),
                        "{error}"
                    );
                }
            }
        }
        Err(error) => {
            let lines = text
                .iter()
                .filter(|byte| matches!(**byte, b'\n' | b'\r'))
                .count()
                + 1;
            assert!(
                error
                    .line()
                    .is_none_or(|line| (1..=lines + 1).contains(&line)),
                "{error}"
            );
            assert!(!error.to_string().is_empty());
        }
    }
}

fn check_all(text: &[u8]) {
    check(text, None);
    for format in Format::ALL {
        check(text, Some(format));
    }
}

const FILES: [&str; 7] = [
    "import/pools.yml",
    "import/names.yml",
    "import/minimal.yml",
    "import/preset.py",
    "import/ring.json",
    "import/addresses.txt",
    "twemproxy/nutcracker-ketama-25.yml",
];

/// Characters that mean something in one of the languages.
const SIGNS: &str =
    ":-#\"'{}[]()&*!|>%@`,= \t\n\r\\/$0123456789eExuUbrfNaé\u{0}\u{85}\u{2028}\u{feff}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        check_all(&bytes);
    }

    #[test]
    fn any_text_of_signs_has_an_answer(signs in proptest::collection::vec(0..SIGNS.chars().count(), 0..200)) {
        let text: String = signs.iter().filter_map(|sign| SIGNS.chars().nth(*sign)).collect();
        check_all(text.as_bytes());
    }

    #[test]
    fn a_file_with_changes_has_an_answer(
        file in 0..FILES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<prop::sample::Index>()), 1..6),
    ) {
        let mut chars: Vec<char> = text_of(FILES[file]).chars().collect();
        let signs: Vec<char> = SIGNS.chars().collect();
        for (at, what, other) in changes {
            if chars.is_empty() {
                break;
            }
            let at = at.index(chars.len());
            match what {
                0 => chars[at] = signs[other.index(signs.len())],
                1 => chars.insert(at, signs[other.index(signs.len())]),
                2 => {
                    chars.remove(at);
                }
                // A piece of it stands twice.
                _ => {
                    let end = (at + other.index(40)).min(chars.len());
                    let piece = chars[at..end].to_vec();
                    chars.splice(at..at, piece);
                }
            }
        }
        let text: String = chars.into_iter().collect();
        check_all(text.as_bytes());
    }

    /// What is cut off in the middle, as by a full disk.
    #[test]
    fn a_file_that_is_cut_off_has_an_answer(file in 0..FILES.len(), at in any::<prop::sample::Index>()) {
        let text = text_of(FILES[file]);
        check_all(&text.as_bytes()[..at.index(text.len())]);
    }
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [
        ("[", "]"),
        ("{1:", "}"),
        ("(", ",)"),
        ("f(", ")"),
        ("{\"a\":", "}"),
        ("dict(a=", ")"),
        ("a[", "]"),
    ] {
        for depth in [10, 63, 64, 65, 20_000] {
            let text = format!("a = {}1{}", open.repeat(depth), close.repeat(depth));
            check_all(text.as_bytes());
            check_all(text.trim_start_matches("a = ").as_bytes());
            check_all(open.repeat(depth).as_bytes());
        }
    }
    for text in [
        "- ".repeat(20_000),
        "a:\n ".repeat(10_000),
        "? ".repeat(20_000),
        "-".repeat(20_000),
        "+-".repeat(10_000) + "1",
        "a.".repeat(20_000),
        "a()".repeat(20_000),
        "\"a\"".repeat(20_000),
    ] {
        check_all(text.as_bytes());
    }
    let deep: String = (0..2_000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth % 400)))
        .collect();
    check_all(deep.as_bytes());
}

/// Ten aliases of ten aliases of ... are refused at the first.
#[test]
fn aliases_do_not_expand() {
    let mut yaml = String::from("a0: &a0 [x, x]\n");
    for i in 1..30 {
        yaml += &format!("a{i}: &a{i} [{}]\n", format!("*a{}, ", i - 1).repeat(9));
    }
    check_all(yaml.as_bytes());
    assert!(
        refusal_as(Format::Nutcracker, &yaml)
            .starts_with("original:1:5: nutcracker refuses anchors")
    );
    // In Python a name stands for a list of names.
    let mut python = String::from("a0 = {'hosts': {0: {}}}\n");
    for i in 1..30 {
        python += &format!("a{i} = [{}]\n", format!("a{}, ", i - 1).repeat(9));
    }
    assert_eq!(import_as(Format::Rb, &python).clusters.len(), 1);
    check_all("a = b\nb = a\nc = Cluster(hosts=a)".as_bytes());
}

#[test]
fn sizes_are_bounded() {
    let many = |item: &str| item.repeat(INPUT_BYTES_MAX / swept(64, 8) / item.len());
    for text in [
        many("a:\n  servers:\n   - h:1:1\n"),
        format!(
            "a:\n  listen: h:1\n  redis: true\n  servers:\n{}",
            many("   - h:1:1\n")
        ),
        many("10.0.0.1\n"),
        many("\"\"\"\n"),
        many("#\n"),
        many("\n"),
        format!("{{'hosts': {{{}}}}}", many("0: {},")),
        format!("{{'hosts': [{}]}}", many("{},")),
        format!("{{{}}}", many("\"a\":\"b\",")),
        "9".repeat(20_000),
        format!("a = 0x{}", "f".repeat(20_000)),
        format!("a = 1e{}", "9".repeat(20_000)),
        format!("a:\n  timeout: {}\n", "9".repeat(20_000)),
        format!(
            "a:\n  listen: h:1\n  redis: true\n  servers:\n   - {}:1:1\n",
            "h".repeat(20_000)
        ),
        format!(
            "a:\n  listen: h:1\n  redis: true\n  servers:\n   - h:1:1 {}\n",
            "n".repeat(20_000)
        ),
    ] {
        check_all(text.as_bytes());
    }
    // As many servers as there may be nodes, and one more.
    for (count, is_right) in [(16_384, true), (16_385, false)] {
        let servers: String = (0..count).map(|i| format!("   - h:1:1 n{i}\n")).collect();
        let text = format!(
            "a:\n  listen: h:1\n  redis: true\n  distribution: modula\n  servers:\n{servers}"
        );
        let read = read(text.as_bytes(), "original".as_ref(), &Options::default());
        assert_eq!(read.is_ok(), is_right, "{:?}", read.err());
    }
}
