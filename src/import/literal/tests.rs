use super::*;

fn python(text: &str) -> Result<Kind, String> {
    let value = value(text, Dialect::Python);
    value
        .map(|value| value.kind)
        .map_err(|problem| problem.at_origin("t".as_ref()).to_string())
}

fn text(text: &str) -> Kind {
    Kind::Text {
        text: text.to_owned(),
        is_unicode: false,
    }
}

#[test]
fn texts_are_what_python_makes_of_them() {
    for (literal, expected) in [
        (r#"'a'"#, "a"),
        (r#""a'b""#, "a'b"),
        (r#"'a\'b\"c\\d\n\t\x41\101\0'"#, "a'b\"c\\d\n\tAA\0"),
        (r#"r'a\n\''"#, "a\\n\\'"),
        (
            r#"'a' "b"
           'c'"#,
            "a",
        ),
        (
            r#"('a' "b"
           'c')"#,
            "abc",
        ),
        ("'''a\n'b''c'''", "a\n'b''c"),
        ("\"\"\"\"a\"\"\"", "\"a"),
        ("''", ""),
        ("''''''", ""),
        (r"'\u00e9\U0001F600\q'", "é😀\\q"),
        ("'a\\\nb'", "ab"),
    ] {
        let expected = match literal.starts_with("'a' \"b\"") {
            // The second line is another statement.
            true => {
                assert!(python(literal).is_err());
                continue;
            }
            false => text(expected),
        };
        assert_eq!(python(literal), Ok(expected), "{literal}");
    }
    assert_eq!(
        python("u'a'"),
        Ok(Kind::Text {
            text: "a".to_owned(),
            is_unicode: true
        })
    );
    assert_eq!(python("b'\\xff' b'a'"), Ok(Kind::Bytes(vec![0xff, b'a'])));
    assert_eq!(python("f'{a}'"), Ok(Kind::Computed));
}

#[test]
fn numbers_are_what_python_makes_of_them() {
    for (literal, expected) in [
        ("0", 0),
        ("6379", 6379),
        ("1_000", 1_000),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("0b101", 5),
        ("6379L", 6379),
        ("-5", -5),
        ("+5", 5),
        ("- -5", 5),
        ("(7)", 7),
        ("9223372036854775807", i64::MAX),
    ] {
        assert_eq!(python(literal), Ok(Kind::Int(expected)), "{literal}");
    }
    for (literal, expected) in [
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1_000.0),
        ("-2.5e-1", -0.25),
    ] {
        assert_eq!(python(literal), Ok(Kind::Float(expected)), "{literal}");
    }
    for literal in ["9223372036854775808", "1j", "1e999", "0xg", "089", "1..2"] {
        assert!(python(literal).is_err(), "{literal}");
    }
}

#[test]
fn containers_may_end_in_a_comma_and_dict_is_a_dict() {
    let one = |kind: &Kind| match kind {
        Kind::Dict(entries) => entries
            .iter()
            .map(|(key, value)| (key.kind.clone(), value.kind.clone()))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let expected = vec![(text("a"), Kind::Int(1))];
    for literal in [
        "{'a': 1}",
        "{'a': 1,}",
        "dict(a=1)",
        "dict({'a': 1},)",
        "dict([('a', 1)])",
        "{ # c\n 'a' : # d\n 1\n}",
    ] {
        assert_eq!(one(&python(literal).unwrap()), expected, "{literal}");
    }
    assert!(matches!(python("()"), Ok(Kind::Tuple(items)) if items.is_empty()));
    assert!(matches!(python("(1,)"), Ok(Kind::Tuple(items)) if items.len() == 1));
    assert!(matches!(python("[1, 2,]"), Ok(Kind::List(items)) if items.len() == 2));
    assert!(matches!(python("{1, 2}"), Ok(Kind::Set(items)) if items.len() == 2));
    assert!(matches!(python("os.environ['A']"), Ok(Kind::Computed)));
    assert!(matches!(python("a.b.c"), Ok(Kind::Name(name)) if name == "a.b.c"));
}

#[test]
fn mistakes_have_a_place() {
    let literals = [
        "{'a': 1",
        "{'a' 1}",
        "[1 2]",
        "(1, 2]",
        "'a",
        "'a\n'",
        "{1: 2, 3}",
        "1 + 2",
        "{**a}",
        "[x for x in y]",
        "'\\x4'",
        "\u{1}",
        "}",
        "a b",
        "lambda: 1",
        "",
    ];
    let refusals: Vec<_> = literals
        .iter()
        .map(|literal| {
            python(literal)
                .unwrap_err()
                .lines()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    t:1:1: a bracket that is not closed   = read: '{', and the text ends
    t:1:6: not a value of Python as settings have them   = read: a number
    t:1:4: not a value of Python as settings have them   = read: a number
    t:1:6: brackets that do not match   = read: ']' for the '(' of line 1
    t:1:1: a text that is not closed   = expected: a closing quote, on the same line unless there are three
    t:1:1: a text that is not closed   = expected: a closing quote, on the same line unless there are three
    t:1:9: not a value of Python as settings have them   = read: '}'
    t:1:3: something that Python computes   = expected: settings as they stand: texts, numbers, dicts, lists
    t:1:2: not a value of Python as settings have them   = read: "**"
    t:1:4: something that Python computes   = expected: settings as they stand: texts, numbers, dicts, lists
    t:1:2: too few hexadecimal digits   = read: \x
    t:1:1: a character that has no place outside of quotes   = read: '\u{1}'
    t:1:1: a closing bracket without an opening one   = read: '}'
    t:1:3: not a value of Python as settings have them   = read: the word b
    t:1:1: a function   = expected: settings as they stand: texts, numbers, dicts, lists
    t:1:1: not a value of Python as settings have them   = read: the end of the text
    "#);
}

#[test]
fn a_module_is_read_past_what_is_no_setting() {
    let text = "import os\nfrom a import b\n\nA = 1; B = 'x'\nc.d = {1: 2}\nE['f'] = [\n  1,\n]\ng: dict = {}\nif A:\n    H = 2\nI = a + b\ndef f(x):\n    return x\nprint 'x'\nj(1)\n";
    let names: Vec<String> = module(text)
        .unwrap()
        .iter()
        .map(|statement| match statement {
            Statement::Assigned { name, value } => format!("{name} = {}", value.what()),
            Statement::Alone(value) => value.what().to_owned(),
            Statement::Other { .. } => "-".to_owned(),
        })
        .collect();
    assert_eq!(
        names,
        [
            "-",
            "-",
            "A = a number",
            "B = a text",
            "d = a dict",
            "f = a list",
            "g = a dict",
            "-",
            "H = a number",
            "-",
            "-",
            "-",
            "-",
            "a call"
        ]
    );
}
