//! Writes replies, in the protocol that the client has chosen.

use keyway::ErrorKind;
use redis::{RedisError, Value};

/// What a command is answered with.
#[derive(Debug)]
pub(crate) enum Reply {
    Value(Value),
    /// An error line without its dash: `ERR why`.
    Error(String),
    /// RESP2 has two nils; this is the one of EXEC and of blocking commands.
    NilArray,
    /// One command may have several replies: SUBSCRIBE has one for each channel.
    Many(Vec<Value>),
    /// The reply of a client that is cut off.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

impl Reply {
    pub(crate) fn ok() -> Reply {
        Reply::Value(Value::Okay)
    }

    pub(crate) fn error(line: impl Into<String>) -> Reply {
        Reply::Error(line.into())
    }

    pub(crate) fn bulk(bytes: impl Into<Vec<u8>>) -> Reply {
        Reply::Value(bulk(bytes))
    }

    /// What `cluster.query` has returned.
    pub(crate) fn of(result: Result<Value, keyway::Error>) -> Reply {
        match result {
            Ok(value) => Reply::Value(value),
            Err(error) => Reply::of_redis_error(&error.into()),
        }
    }

    /// The server's own words where there are any; else the code that keyway gives the error, and
    /// its text.
    pub(crate) fn of_redis_error(error: &RedisError) -> Reply {
        let line = match (error.code(), error.detail(), ErrorKind::of(error)) {
            (Some(code), Some(detail), _) => format!("{code} {detail}"),
            (Some(code), None, _) => code.to_owned(),
            (None, _, Some(kind)) => format!("KEYWAY_{kind:?} {error}").replacen(
                &format!("{kind:?}"),
                &format!("{kind:?}").to_uppercase(),
                1,
            ),
            (None, _, None) => format!("ERR {error}"),
        };
        Reply::Error(line)
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>, protocol: Protocol) {
        match self {
            Reply::Value(value) => write_value(out, value, protocol),
            Reply::Error(line) => write_error(out, line),
            Reply::NilArray if protocol == Protocol::Resp2 => out.extend(b"*-1\r\n"),
            Reply::NilArray => out.extend(b"_\r\n"),
            Reply::Many(values) => values
                .iter()
                .for_each(|value| write_value(out, value, protocol)),
            Reply::Nothing => {}
        }
    }
}

pub(crate) fn bulk(bytes: impl Into<Vec<u8>>) -> Value {
    Value::BulkString(bytes.into())
}

pub(crate) fn write_value(out: &mut Vec<u8>, value: &Value, protocol: Protocol) {
    let resp3 = protocol == Protocol::Resp3;
    match value {
        Value::Nil if resp3 => out.extend(b"_\r\n"),
        Value::Nil => out.extend(b"$-1\r\n"),
        Value::Okay => out.extend(b"+OK\r\n"),
        Value::Int(number) => write_line(out, b':', &number.to_string()),
        Value::SimpleString(text) => write_line(out, b'+', text),
        Value::ServerError(error) => {
            let details = error.details().unwrap_or_default();
            write_error(out, format!("{} {details}", error.code()).trim_end());
        }
        Value::BulkString(bytes) => write_bulk(out, bytes),
        Value::Array(items) => write_all(out, b'*', items, protocol),
        Value::Set(items) => write_all(out, if resp3 { b'~' } else { b'*' }, items, protocol),
        Value::Map(pairs) if resp3 => {
            write_line(out, b'%', &pairs.len().to_string());
            write_pairs(out, pairs, protocol);
        }
        Value::Map(pairs) => {
            write_line(out, b'*', &(2 * pairs.len()).to_string());
            write_pairs(out, pairs, protocol);
        }
        Value::Push { kind, data } => {
            let mark = if resp3 { b'>' } else { b'*' };
            write_line(out, mark, &(data.len() + 1).to_string());
            write_bulk(out, kind.to_string().as_bytes());
            data.iter()
                .for_each(|item| write_value(out, item, protocol));
        }
        Value::Double(number) if resp3 => write_line(out, b',', &number.to_string()),
        Value::Double(number) => write_bulk(out, number.to_string().as_bytes()),
        Value::Boolean(yes) if resp3 => write_line(out, b'#', if *yes { "t" } else { "f" }),
        Value::Boolean(yes) => write_line(out, b':', if *yes { "1" } else { "0" }),
        Value::BigNumber(number) if resp3 => write_line(out, b'(', &number.to_string()),
        Value::BigNumber(number) => write_bulk(out, number.to_string().as_bytes()),
        Value::VerbatimString { format, text } if resp3 => {
            let body = format!("{format}:{text}");
            write_line(out, b'=', &body.len().to_string());
            out.extend(body.as_bytes());
            out.extend(b"\r\n");
        }
        Value::VerbatimString { text, .. } => write_bulk(out, text.as_bytes()),
        Value::Attribute { data, .. } => write_value(out, data, protocol),
        other => write_error(out, &format!("ERR the front cannot write {other:?}")),
    }
}

fn write_all(out: &mut Vec<u8>, mark: u8, items: &[Value], protocol: Protocol) {
    write_line(out, mark, &items.len().to_string());
    items
        .iter()
        .for_each(|item| write_value(out, item, protocol));
}

fn write_pairs(out: &mut Vec<u8>, pairs: &[(Value, Value)], protocol: Protocol) {
    for (key, value) in pairs {
        write_value(out, key, protocol);
        write_value(out, value, protocol);
    }
}

fn write_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    write_line(out, b'$', &bytes.len().to_string());
    out.extend(bytes);
    out.extend(b"\r\n");
}

/// A line end within the text would begin another reply.
fn write_error(out: &mut Vec<u8>, line: &str) {
    write_line(out, b'-', &line.replace(['\r', '\n'], " "));
}

fn write_line(out: &mut Vec<u8>, mark: u8, text: &str) {
    out.push(mark);
    out.extend(text.as_bytes());
    out.extend(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value, protocol: Protocol) -> String {
        let mut out = Vec::new();
        write_value(&mut out, value, protocol);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn shapes_of_resp3_become_those_of_resp2() {
        let map = Value::Map(vec![(bulk("f"), Value::Double(1.5))]);
        assert_eq!(written(&map, Protocol::Resp3), "%1\r\n$1\r\nf\r\n,1.5\r\n");
        assert_eq!(
            written(&map, Protocol::Resp2),
            "*2\r\n$1\r\nf\r\n$3\r\n1.5\r\n"
        );
        let set = Value::Set(vec![Value::Nil, Value::Boolean(true)]);
        assert_eq!(written(&set, Protocol::Resp3), "~2\r\n_\r\n#t\r\n");
        assert_eq!(written(&set, Protocol::Resp2), "*2\r\n$-1\r\n:1\r\n");
        let text = Value::VerbatimString {
            format: redis::VerbatimFormat::Text,
            text: "a\r\nb".into(),
        };
        assert_eq!(written(&text, Protocol::Resp3), "=8\r\ntxt:a\r\nb\r\n");
        assert_eq!(written(&text, Protocol::Resp2), "$4\r\na\r\nb\r\n");
        assert_eq!(
            written(&Value::Double(f64::INFINITY), Protocol::Resp3),
            ",inf\r\n"
        );
    }

    #[test]
    fn an_error_stays_on_its_line() {
        let mut out = Vec::new();
        Reply::error("ERR one\r\n:1").write(&mut out, Protocol::Resp2);
        assert_eq!(out, b"-ERR one  :1\r\n");
    }
}
