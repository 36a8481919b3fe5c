#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::collection::vec;
use proptest::prelude::*;
use redis::{PushKind, ServerErrorKind, Value, VerbatimFormat};

use super::differential::{LIMITS, Outcome, check, decode_cut};
use super::{DecodeError, Decoder, DecoderLimits, Items, State};

/// One complete value each, of every type, redis-rs being able to read all of them.
const CORPUS: &[&[u8]] = &[
    b"+OK\r\n",
    b"+\r\n",
    b"+PONG\r\n",
    b"+a\rb\nc\r\n",
    b"+\n\r\r\n",
    b"-ERR unknown command 'x'\r\n",
    b"-LOADING\r\n",
    b"-\r\n",
    b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    b":0\r\n",
    b":-1\r\n",
    b":+7\r\n",
    b": 12 \r\n",
    b":999999999999999999\r\n",
    b":1000000000000000000\r\n",
    b":9223372036854775807\r\n",
    b":-9223372036854775808\r\n",
    b"$0\r\n\r\n",
    b"$5\r\nhello\r\n",
    b"$4\r\n\r\n\r\n\r\n",
    b"$03\r\n\xff\x00\xfe\r\n",
    b"$-1\r\n",
    b"$-7\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*3\r\n$1\r\na\r\n$-1\r\n:3\r\n",
    b"*2\r\n*2\r\n+OK\r\n*0\r\n*1\r\n-MOVED 1 a:1\r\n",
    b"_\r\n",
    b"#t\r\n",
    b"#f\r\n",
    b",1.5\r\n",
    b",inf\r\n",
    b",-inf\r\n",
    b",nan\r\n",
    b",-nan\r\n",
    b",2.67923e+8\r\n",
    b"(-3492890328409238509324850943850943825024385\r\n",
    b"!21\r\nSYNTAX invalid syntax\r\n",
    b"!7\r\nERR\r\nab\r\n",
    b"!0\r\n\r\n",
    b"!5\r\nERR \xff\r\n",
    b"=8\r\ntxt:a\r\nb\r\n",
    b"=5\r\nmkd:x\r\n",
    b"=4\r\nabc:\r\n",
    b"=5\r\ntxt:\xff\r\n",
    b"%0\r\n",
    b"%2\r\n+a\r\n:1\r\n$1\r\nb\r\n%1\r\n_\r\n_\r\n",
    b"~2\r\n+a\r\n#t\r\n",
    b"~-1\r\n",
    b">3\r\n$7\r\nmessage\r\n+c\r\n$1\r\nx\r\n",
    b">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
    b">1\r\n+else\r\n",
    b">0\r\n",
    b">-1\r\n",
    b"|1\r\n+ttl\r\n:9\r\n*1\r\n+x\r\n",
    b"|0\r\n+x\r\n",
    b"*2\r\n|1\r\n+k\r\n+v\r\n:1\r\n:2\r\n",
];

fn decode(bytes: &[u8]) -> Outcome {
    decode_cut(DecoderLimits::default(), bytes, &[bytes.len()])
}

fn value(bytes: &[u8]) -> Value {
    match decode(bytes) {
        Outcome::Value(value, consumed) if consumed == bytes.len() => value,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn error(bytes: &[u8]) -> DecodeError {
    match decode(bytes) {
        Outcome::Error(error) => error,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn bulk(bytes: &[u8]) -> Value {
    Value::BulkString(bytes.to_vec())
}

fn simple(text: &str) -> Value {
    Value::SimpleString(text.to_owned())
}

#[test]
fn known_values() {
    assert_eq!(value(b"+OK\r\n"), Value::Okay);
    assert_eq!(value(b"+OKAY\r\n"), simple("OKAY"));
    assert_eq!(value(b":-42\r\n"), Value::Int(-42));
    assert_eq!(value(b":-9223372036854775808\r\n"), Value::Int(i64::MIN));
    assert_eq!(value(b"$2\r\n\r\n\r\n"), bulk(b"\r\n"));
    assert_eq!(value(b"$-1\r\n"), Value::Nil);
    assert_eq!(value(b"*-1\r\n"), Value::Nil);
    assert_eq!(value(b"_\r\n"), Value::Nil);
    assert_eq!(
        value(b"*3\r\n$1\r\na\r\n*0\r\n+b\r\n"),
        Value::Array(vec![bulk(b"a"), Value::Array(vec![]), simple("b")])
    );
    assert_eq!(
        value(b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n"),
        Value::Map(vec![
            (simple("a"), Value::Int(1)),
            (simple("b"), Value::Int(2))
        ])
    );
    assert_eq!(
        value(b"~2\r\n#t\r\n,-inf\r\n"),
        Value::Set(vec![Value::Boolean(true), Value::Double(f64::NEG_INFINITY)])
    );
    assert_eq!(
        value(b"=7\r\ntxt:a:b\r\n"),
        Value::VerbatimString {
            format: VerbatimFormat::Text,
            text: "a:b".to_owned()
        }
    );
    assert_eq!(
        value(b">2\r\n+pmessage\r\n:1\r\n"),
        Value::Push {
            kind: PushKind::PMessage,
            data: vec![Value::Int(1)]
        }
    );
    assert_eq!(
        value(b"|1\r\n+ttl\r\n:9\r\n$1\r\nx\r\n"),
        Value::Attribute {
            data: Box::new(bulk(b"x")),
            attributes: vec![(simple("ttl"), Value::Int(9))]
        }
    );
}

#[test]
fn errors_of_known_and_unknown_kinds() {
    let Value::ServerError(error) = value(b"-READONLY You can't write\r\n") else {
        panic!()
    };
    assert_eq!(error.kind(), Some(ServerErrorKind::ReadOnly));
    assert_eq!(error.details(), Some("You can't write"));
    let Value::ServerError(error) = value(b"!14\r\nBUSYGROUP a\r\nb\r\n") else {
        panic!()
    };
    assert_eq!(
        (error.kind(), error.code(), error.details()),
        (None, "BUSYGROUP", Some("a\r\nb"))
    );
}

/// A script can make either; redis-rs would end the connection.
#[test]
fn lines_that_are_not_utf8() {
    let Value::ServerError(error) = value(b"-ERR bad \xff\xfe byte\r\n") else {
        panic!()
    };
    assert_eq!(error.kind(), Some(ServerErrorKind::ResponseError));
    assert_eq!(error.details(), Some("bad \u{fffd}\u{fffd} byte"));
    assert_eq!(value(b"+\xff\r\n"), bulk(b"\xff"));
    assert!(redis::parse_redis_value(b"-ERR bad \xff\r\n").is_err());
    assert!(redis::parse_redis_value(b"+\xff\r\n").is_err());
}

#[test]
fn every_split_of_the_corpus() {
    for bytes in CORPUS {
        for split in 0..=bytes.len() {
            check(bytes, &[split, bytes.len()]);
        }
        check(bytes, &[1]);
        check(bytes, &[0, 2, 3]);
        for end in 0..bytes.len() {
            assert!(
                matches!(decode(&bytes[..end]), Outcome::Incomplete),
                "{}",
                bytes.escape_ascii()
            );
        }
        value(bytes);
    }
}

#[test]
fn values_in_one_buffer_are_taken_one_by_one() {
    let bytes = CORPUS.concat();
    for piece in [1, 7, bytes.len()] {
        let mut decoder = Decoder::new(DecoderLimits::default());
        let mut values = Vec::new();
        for mut chunk in bytes.chunks(piece) {
            while !chunk.is_empty() {
                let (consumed, value) = decoder.decode(chunk).unwrap();
                chunk = &chunk[consumed..];
                values.extend(value);
            }
        }
        assert!(decoder.is_idle());
        let expected: Vec<Value> = CORPUS.iter().map(|bytes| value(bytes)).collect();
        assert_eq!(format!("{values:?}"), format!("{expected:?}"));
    }
}

#[test]
fn messages_say_what_was_read_and_what_was_expected() {
    let of = |bytes: &[u8]| error(bytes).to_string();
    insta::assert_snapshot!(
        [
            of(b"HTTP/1.1 400 Bad Request\r\n"),
            of(b":12a\r\n"),
            of(b"*?\r\n"),
            of(b"$3\r\nabcd"),
            of(b"%-1\r\n"),
            of(b"#x\r\n"),
            of(b",one\r\n"),
            of(b"(1x\r\n"),
            of(b"=3\r\nabc\r\n"),
            of(b">1\r\n:1\r\n"),
            of(format!(":{}\r\n", "\x01".repeat(100)).as_bytes()),
            of(b"$2000000000\r\n"),
            of(b"*1000000000\r\n"),
            of(format!("+{}", "x".repeat(600_000)).as_bytes()),
            of(b"*1\r\n".repeat(101).as_slice()),
        ]
        .join("\n"),
        @r##"
        read "HTTP/1.1 400 Bad Request\r\n", expected the type of a reply, one of + - : $ * _ # , ( ! = % ~ > |: not the reply of a Redis server
        read ":12a", expected an integer of 64 bits: not the reply of a Redis server
        read "*?", expected an integer of 64 bits: not the reply of a Redis server
        read "d" after a string, expected \r\n: not the reply of a Redis server
        read "%-1", expected a length: not the reply of a Redis server
        read "#x", expected t or f: not the reply of a Redis server
        read ",one", expected a floating-point number: not the reply of a Redis server
        read "(1x", expected an integer: not the reply of a Redis server
        read "=abc", expected a verbatim string: its format, a colon, its text: not the reply of a Redis server
        read ">", expected a string first in a push, its kind: not the reply of a Redis server
        read ":\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"..., expected an integer of 64 bits: not the reply of a Redis server
        read "$2000000000", which makes one reply larger than 1073741824 bytes; ask for less at once, or raise the limit
        read "*1000000000", which makes one reply larger than 1073741824 bytes; ask for less at once, or raise the limit
        read a line that starts "+xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"... and is longer than 524288 bytes
        read a reply nested deeper than 100 levels
        "##
    );
}

/// Bytes that the decoder holds for what it has not handed out.
fn held_bytes(decoder: &Decoder) -> usize {
    let frames: usize = decoder
        .stack
        .iter()
        .map(|frame| match &frame.items {
            Items::Array(items) | Items::Set(items) | Items::Push(items) => {
                items.capacity() * size_of::<Value>()
            }
            Items::Map { pairs, .. } | Items::Attribute { pairs, .. } => {
                pairs.capacity() * size_of::<(Value, Value)>()
            }
        })
        .sum();
    let payload = match &decoder.state {
        State::Payload { bytes, .. } | State::PayloadEnd { bytes, .. } => bytes.capacity(),
        State::Type | State::Line(_) | State::Failed => 0,
    };
    decoder.line.capacity()
        + frames
        + payload
        + decoder.stack.capacity() * size_of::<super::Frame>()
}

#[test]
fn announced_sizes_allocate_nothing() {
    for header in [
        &b"$536870911\r\n"[..],
        b"*19000000\r\n",
        b"~19000000\r\n",
        b">19000000\r\n",
        b"%9000000\r\n",
        b"|9000000\r\n",
        b"!536870911\r\n",
        b"=536870911\r\n",
    ] {
        let mut decoder = Decoder::new(DecoderLimits::default());
        assert_eq!(decoder.decode(header), Ok((header.len(), None)));
        assert!(
            held_bytes(&decoder) < 4096,
            "{}: {}",
            header.escape_ascii(),
            held_bytes(&decoder)
        );
    }
}

#[test]
fn nested_headers_in_a_large_read_stay_bounded() {
    let mut bytes = b"*1000000\r\n".repeat(99);
    bytes.resize(1 << 20, b' ');
    let mut decoder = Decoder::new(DecoderLimits::default());
    let headers = 99 * b"*1000000\r\n".len();
    assert_eq!(decoder.decode(&bytes[..headers]), Ok((headers, None)));
    assert!(held_bytes(&decoder) < 8 << 20);
    assert!(decoder.decode(&bytes[headers..]).is_err());
    assert_eq!(held_bytes(&decoder), 0);
}

#[test]
fn a_large_string_holds_at_most_twice_what_arrived() {
    let length = 10_000_000;
    let mut decoder = Decoder::new(DecoderLimits::default());
    decoder.decode(format!("${length}\r\n").as_bytes()).unwrap();
    let chunk = vec![b'x'; 10_000];
    for arrived in (10_000..=length).step_by(10_000) {
        assert_eq!(decoder.decode(&chunk), Ok((chunk.len(), None)));
        assert!(held_bytes(&decoder) <= (2 * arrived).min(length) + 4096);
    }
    let (consumed, value) = decoder.decode(b"\r\n+OK\r\n").unwrap();
    let Some(Value::BulkString(bytes)) = value else {
        panic!()
    };
    assert_eq!(
        (consumed, bytes.len(), bytes.capacity()),
        (2, length, length)
    );
}

#[test]
fn arrays_end_with_the_capacity_they_need() {
    for length in [1usize, 5, 1024, 1025, 5000] {
        let mut bytes = format!("*{length}\r\n").into_bytes();
        bytes.extend(b":1\r\n".repeat(length));
        for piece in [1, 100, bytes.len()] {
            let Outcome::Value(Value::Array(items), _) =
                decode_cut(DecoderLimits::default(), &bytes, &[piece])
            else {
                panic!()
            };
            assert_eq!((items.len(), items.capacity()), (length, length));
        }
    }
}

#[test]
fn a_long_line_leaves_no_memory_behind() {
    let mut decoder = Decoder::new(DecoderLimits::default());
    let line = vec![b'x'; 100_000];
    decoder.decode(b"+").unwrap();
    decoder.decode(&line).unwrap();
    let (_, value) = decoder.decode(b"\r\n").unwrap();
    assert!(matches!(value, Some(Value::SimpleString(text)) if text.len() == 100_000));
    assert!(held_bytes(&decoder) < 4096);
}

#[test]
fn limits_are_exact() {
    let limits = DecoderLimits {
        reply_bytes_max: 10 * size_of::<Value>(),
        depth_max: 3,
        line_bytes_max: 8,
    };
    let ok = |bytes: &[u8]| {
        for pieces in [&[bytes.len()][..], &[1]] {
            let outcome = decode_cut(limits, bytes, pieces);
            assert!(matches!(outcome, Outcome::Value(..)), "{outcome:?}");
        }
    };
    let refused = |bytes: &[u8], expected: fn(&DecodeError) -> bool| {
        for pieces in [&[bytes.len()][..], &[1]] {
            let outcome = decode_cut(limits, bytes, pieces);
            assert!(
                matches!(&outcome, Outcome::Error(error) if expected(error)),
                "{outcome:?}"
            );
        }
    };
    let too_large = |error: &DecodeError| matches!(error, DecodeError::TooLarge { .. });
    let too_deep = |error: &DecodeError| matches!(error, DecodeError::TooDeep { limit: 3 });
    let too_long = |error: &DecodeError| matches!(error, DecodeError::LineTooLong { limit: 8, .. });

    ok(b"+12345678\r\n");
    refused(b"+123456789\r\n", too_long);
    ok(b"*1\r\n*1\r\n:1\r\n");
    refused(b"*1\r\n*1\r\n*1\r\n:1\r\n", too_deep);
    refused(b"*1\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", too_deep);
    ok(b"*1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    // One for the array itself.
    ok(&[&b"*9\r\n"[..], &b":1\r\n".repeat(9)].concat());
    refused(b"*10\r\n", too_large);
    refused(b"%5\r\n", too_large);
    let payload = 9 * size_of::<Value>();
    let string = |length: usize| format!("${length}\r\n{}\r\n", "x".repeat(length)).into_bytes();
    ok(&string(payload));
    refused(&string(payload + 1), too_large);
    // The limit is of one reply, not of the connection.
    let mut decoder = Decoder::new(limits);
    for _ in 0..20 {
        assert!(matches!(decoder.decode(&string(payload)), Ok((_, Some(_)))));
    }
    // Spread over elements.
    let elements = [&b"*3\r\n"[..], &string(payload / 3).repeat(3)].concat();
    refused(&elements, too_large);
}

/// Bytes of one valid value.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let text = "[ -~é\r]{0,20}";
    let line = |kind: &'static str| move |text: String| format!("{kind}{text}\r\n").into_bytes();
    let payload = |kind: &'static str| {
        move |bytes: Vec<u8>| {
            let header = format!("{kind}{}\r\n", bytes.len());
            [header.as_bytes(), &bytes, b"\r\n"].concat()
        }
    };
    let leaf = prop_oneof![
        Just(b"+OK\r\n".to_vec()),
        Just(b"$-1\r\n".to_vec()),
        Just(b"*-1\r\n".to_vec()),
        Just(b"_\r\n".to_vec()),
        // A line must not end in \r, or its line end would move.
        text.prop_map(|text| text.trim_end_matches('\r').to_owned())
            .prop_map(line("+")),
        "(ERR|MOVED|WRONGTYPE|READONLY)( [ -~é]{0,20})?".prop_map(line("-")),
        any::<i64>()
            .prop_map(|number| number.to_string())
            .prop_map(line(":")),
        (-9i64..10)
            .prop_map(|number| number.to_string())
            .prop_map(line(":")),
        any::<f64>()
            .prop_map(|number| number.to_string())
            .prop_map(line(",")),
        "-?[1-9][0-9]{0,60}".prop_map(line("(")),
        "[tf]".prop_map(line("#")),
        vec(any::<u8>(), 0..60).prop_map(payload("$")),
        vec(any::<u8>(), 0..60).prop_map(payload("!")),
        ("(txt|mkd|abc):", text)
            .prop_map(|(format, text)| (format + &text).into_bytes())
            .prop_map(payload("=")),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        let many = |kind: &'static str, per: usize, extra: usize| {
            vec(inner.clone(), 0..8).prop_map(move |mut items| {
                items.truncate((items.len().saturating_sub(extra)) / per * per + extra);
                while items.len() < extra {
                    items.push(b":1\r\n".to_vec());
                }
                let length = (items.len() - extra) / per;
                [format!("{kind}{length}\r\n").into_bytes(), items.concat()].concat()
            })
        };
        let push =
            ("(message|subscribe|other)", vec(inner.clone(), 0..5)).prop_map(|(kind, items)| {
                let header = format!(">{}\r\n+{kind}\r\n", items.len() + 1);
                [header.into_bytes(), items.concat()].concat()
            });
        prop_oneof![
            many("*", 1, 0),
            many("~", 1, 0),
            many("%", 2, 0),
            many("|", 2, 1),
            push
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn valid_values_decode_as_redis_rs_decodes_them(
        bytes in wire(),
        pieces in vec(0usize..40, 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let short = decode_cut(LIMITS, &bytes[..cut.index(bytes.len())], &pieces);
        prop_assert!(matches!(short, Outcome::Incomplete), "{short:?}");
        let outcome = decode_cut(LIMITS, &bytes, &pieces);
        let Outcome::Value(value, consumed) = outcome else {
            return Err(TestCaseError::fail(format!("{}: {outcome:?}", bytes.escape_ascii())));
        };
        prop_assert_eq!(consumed, bytes.len());
        prop_assert_eq!(format!("{value:?}"), format!("{:?}", redis::parse_redis_value(&bytes).unwrap()));
        check(&bytes, &pieces);
    }

    #[test]
    fn mutated_values_are_judged_as_redis_rs_judges_them(
        bytes in wire(),
        mutations in vec((any::<prop::sample::Index>(), 0u8..3, any::<u8>()), 1..4),
        pieces in vec(0usize..40, 1..6),
    ) {
        let mut bytes = bytes;
        for (at, what, byte) in mutations {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            match what {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ if at < bytes.len() => { bytes.remove(at); }
                _ => {}
            }
        }
        check(&bytes, &pieces);
    }

    #[test]
    fn garbage_never_panics(
        bytes in vec(prop_oneof![any::<u8>(), prop::sample::select(b"+-:$*_#,(!=%~>|\r\n0123456789".to_vec())], 0..80),
        pieces in vec(0usize..40, 1..6),
    ) {
        check(&bytes, &pieces);
    }
}
