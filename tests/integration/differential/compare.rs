//! When two replies are the same: equal, but for the listed commands whose reply is not determined by what was sent.

use redis::Value;

/// How the replies of a command are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum How {
    Exactly,
    /// As multisets: of elements, or of pairs of them.
    Sorted,
    SortedPairs,
    /// Type, length and the types within.
    Shape,
    /// Integers within so many of each other; negative ones and all else exactly.
    Near(i64),
    /// A cursor and elements in any order; if one scan did not see all, only that both have elements and a cursor.
    Scan,
    /// A cursor and elements, from somewhere in a hash table.
    ScanStep,
    /// Exactly, but for clock readings and idle times.
    Clocks,
}

use How::{Clocks, Exactly, Near, Scan, ScanStep, Shape, Sorted, SortedPairs};

/// The commands that are not compared exactly, and why.
const NOT_EXACT: &[(&str, How, &str)] = &[
    (
        "DUMP",
        Shape,
        "hash tables are dumped in the order of a seed of the process",
    ),
    (
        "EXPIRETIME",
        Near(5),
        "counted from the moment at which the server got EXPIRE",
    ),
    ("TTL", Near(5), "counts down"),
    ("PEXPIRETIME", Near(5_000), "as EXPIRETIME"),
    ("PTTL", Near(5_000), "counts down"),
    (
        "KEYS",
        Sorted,
        "the order of a hash table, and of several servers",
    ),
    (
        "OBJECT IDLETIME",
        Shape,
        "grows, and is another clock's after a change of maxmemory-policy",
    ),
    ("OBJECT FREQ", Near(255), "a counter that grows by chance"),
    ("SDIFF", Sorted, "the order of a hash table"),
    ("SINTER", Sorted, "the order of a hash table"),
    ("SMEMBERS", Sorted, "the order of a hash table"),
    ("SUNION", Sorted, "the order of a hash table"),
    ("SPOP", Shape, "random"),
    ("SRANDMEMBER", Shape, "random"),
    ("ZRANDMEMBER", Shape, "random"),
    ("HRANDFIELD", Shape, "random"),
    ("HGETALL", SortedPairs, "the order of a hash table"),
    ("HKEYS", Sorted, "the order of a hash table"),
    ("HVALS", Sorted, "the order of a hash table"),
    ("SSCAN", Scan, "the order of a hash table"),
    ("ZSCAN", Scan, "the order of a hash table"),
    ("HSCAN", Scan, "the order of a hash table"),
    (
        "PUBSUB CHANNELS",
        Sorted,
        "the order of a hash table, and of several servers",
    ),
    (
        "XINFO STREAM",
        Clocks,
        "FULL tells when an entry was delivered",
    ),
    (
        "XINFO CONSUMERS",
        Clocks,
        "tells how long a consumer has been idle",
    ),
    (
        "XPENDING",
        Clocks,
        "tells how long an entry has been pending",
    ),
    ("MEMORY USAGE", Shape, "depends on the allocator"),
];

pub(super) fn how(name: &str, args: &[Vec<u8>]) -> How {
    let is = |word: &str| {
        args.iter()
            .any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    // BY a pattern without an asterisk switches sorting off.
    let is_unsorted = || {
        args.windows(2)
            .any(|pair| pair[0].eq_ignore_ascii_case(b"BY") && !pair[1].contains(&b'*'))
    };
    match name {
        // Of a set: in the order of a hash table, and then which part of it LIMIT takes is not determined.
        "SORT" | "SORT_RO" if is_unsorted() && is("LIMIT") => Shape,
        "SORT" | "SORT_RO" if is_unsorted() => Sorted,
        "XADD" if is("*") => Shape,
        // A cursor that was made up.
        "HSCAN" | "SSCAN" | "ZSCAN" if args.get(2).is_none_or(|cursor| cursor != b"0") => ScanStep,
        _ => NOT_EXACT
            .iter()
            .find(|(listed, _, _)| *listed == name)
            .map_or(Exactly, |(_, how, _)| *how),
    }
}

/// `None` if they are the same; else both, printed.
pub(super) fn difference(how: How, ours: &Value, theirs: &Value) -> Option<String> {
    if ours == theirs {
        return None;
    }
    let (ours, theirs) = match (how, ours, theirs) {
        (_, Value::ServerError(_), _) | (_, _, Value::ServerError(_)) => {
            (print(ours), print(theirs))
        }
        (Sorted, ours, theirs) => (sorted(ours, 1), sorted(theirs, 1)),
        (SortedPairs, ours, theirs) => (sorted(ours, 2), sorted(theirs, 2)),
        (Shape, ours, theirs) => (shape(ours), shape(theirs)),
        (Near(most), Value::Int(ours), Value::Int(theirs))
            if *ours >= 0 && *theirs >= 0 && (ours - theirs).abs() <= most =>
        {
            return None;
        }
        (ScanStep, ours, theirs) if scanned(ours).is_some() && scanned(theirs).is_some() => {
            return None;
        }
        (Scan, ours, theirs) => match (scanned(ours), scanned(theirs)) {
            (Some(ours), Some(theirs)) if ours.complete && theirs.complete => {
                (sorted(ours.elements, 1), sorted(theirs.elements, 1))
            }
            (Some(_), Some(_)) => return None,
            _ => (print(ours), print(theirs)),
        },
        (Clocks, ours, theirs) => (
            print(&without_clocks(ours.clone())),
            print(&without_clocks(theirs.clone())),
        ),
        (Exactly | ScanStep | Near(_), ours, theirs) => (print(ours), print(theirs)),
    };
    (ours != theirs).then(|| format!("keyway {ours}\n    redis  {theirs}"))
}

pub(super) fn print(value: &Value) -> String {
    let list = |values: &[Value]| values.iter().map(print).collect::<Vec<_>>().join(", ");
    match value {
        Value::BulkString(bytes) if bytes.len() > 200 => {
            format!(
                "\"{}...\" ({} bytes)",
                bytes[..40].escape_ascii(),
                bytes.len()
            )
        }
        Value::BulkString(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        Value::Array(values) => format!("[{}]", list(values)),
        Value::Set(values) => format!("set[{}]", list(values)),
        Value::Map(pairs) => {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(key, value)| format!("{}: {}", print(key), print(value)))
                .collect();
            format!("map[{}]", pairs.join(", "))
        }
        Value::ServerError(error) => {
            format!(
                "error {} {}",
                error.code(),
                error.details().unwrap_or_default()
            )
        }
        other => format!("{other:?}"),
    }
}

fn shape(value: &Value) -> String {
    let list = |values: &[Value]| values.iter().map(shape).collect::<Vec<_>>().join(", ");
    match value {
        Value::Array(values) => format!("array of {} [{}]", values.len(), list(values)),
        Value::Set(values) => format!("set of {} [{}]", values.len(), list(values)),
        Value::Map(pairs) => format!("map of {}", pairs.len()),
        Value::BulkString(_) => "a string".to_owned(),
        Value::Int(_) => "an integer".to_owned(),
        Value::Double(_) => "a double".to_owned(),
        other => format!("{other:?}"),
    }
}

fn sorted(value: &Value, group: usize) -> String {
    let (kind, mut items): (&str, Vec<String>) = match value {
        Value::Array(values) => (
            "array",
            values
                .chunks(group)
                .map(|chunk| chunk.iter().map(print).collect::<Vec<_>>().join(": "))
                .collect(),
        ),
        Value::Set(values) => ("set", values.iter().map(print).collect()),
        Value::Map(pairs) => (
            "map",
            pairs
                .iter()
                .map(|(key, value)| format!("{}: {}", print(key), print(value)))
                .collect(),
        ),
        other => return print(other),
    };
    items.sort();
    format!("{kind} [{}]", items.join(", "))
}

struct Scanned<'a> {
    complete: bool,
    elements: &'a Value,
}

fn scanned(value: &Value) -> Option<Scanned<'_>> {
    match value {
        Value::Array(parts) => match parts.as_slice() {
            [Value::BulkString(cursor), elements @ Value::Array(_)] => Some(Scanned {
                complete: cursor == b"0",
                elements,
            }),
            _ => None,
        },
        _ => None,
    }
}

/// Idle times follow the word `idle`, or stand third in the rows of XPENDING; all other clock readings are milliseconds since 1970.
fn without_clocks(value: Value) -> Value {
    const LONG_AGO_MILLIS: i64 = 1_000_000_000_000;
    let masked = || Value::SimpleString("a time".to_owned());
    let is_idle = |value: &Value| matches!(value, Value::BulkString(word) if word == b"idle");
    match value {
        Value::Int(time) if time > LONG_AGO_MILLIS => masked(),
        Value::Array(mut values) => {
            for at in 0..values.len() {
                let after_idle = at > 0 && is_idle(&values[at - 1]);
                let third_of_pending = at == 2
                    && matches!(
                        values.as_slice(),
                        [
                            Value::BulkString(_),
                            Value::BulkString(_),
                            Value::Int(_),
                            Value::Int(_)
                        ]
                    );
                if after_idle || third_of_pending {
                    values[at] = masked();
                }
            }
            Value::Array(values.into_iter().map(without_clocks).collect())
        }
        Value::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .map(|(key, value)| {
                    let value = if is_idle(&key) {
                        masked()
                    } else {
                        without_clocks(value)
                    };
                    (key, value)
                })
                .collect(),
        ),
        other => other,
    }
}
