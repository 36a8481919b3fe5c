//! The replies of all servers as one of the same type.

use crate::command::{Merge, Row};
use crate::error::{Error, ErrorKind, Partial, PartialServers};
use redis::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One reply out of every server's.
pub(super) fn merge_replies(
    merge: Merge,
    replies: BTreeMap<Arc<str>, Result<Value, Error>>,
    row: Option<&'static Row>,
) -> Result<Value, Error> {
    let name = row.map_or("command", |row| row.name);
    // A script is kept by us and loaded where it is missing, so one server that is down does not break it elsewhere.
    let loads_script = name == "SCRIPT LOAD";
    let mut values = Vec::with_capacity(replies.len());
    let (mut partial, mut first_error) = (PartialServers::default(), None);
    for (server, reply) in replies {
        let reply = reply.and_then(|value| match value {
            Value::ServerError(error) => Err(Error::from_server(error)
                .of_command(name)
                .at_server(&server)),
            value => Ok(value),
        });
        match reply {
            Ok(value) => {
                partial.done.push(server.to_string());
                values.push(value);
            }
            Err(error) => {
                let list = if error.kind() == ErrorKind::Unknown {
                    &mut partial.unknown
                } else {
                    &mut partial.failed
                };
                list.push(server.to_string());
                if !(loads_script && error.kind() != ErrorKind::Server) {
                    first_error.get_or_insert(error);
                }
            }
        }
    }
    if let Some(error) = first_error {
        if partial.done.is_empty() || error.kind() == ErrorKind::Server {
            return Err(error.with_partial(Partial::Servers(partial)));
        }
        let message = format!(
            "{} of {} servers done; the first failure: {error}",
            partial.done.len(),
            partial.done.len() + partial.failed.len() + partial.unknown.len()
        );
        return Err(Error::new(ErrorKind::Partial, message)
            .of_command(name)
            .with_partial(Partial::Servers(partial)));
    }
    let odd = || {
        Error::new(
            ErrorKind::UnexpectedReply,
            "a server's reply has another shape than the command's",
        )
        .of_command(name)
    };
    match merge {
        Merge::Sum => {
            let mut sum = 0i64;
            for value in values {
                let Value::Int(n) = value else {
                    return Err(odd());
                };
                sum = sum.checked_add(n).ok_or_else(odd)?;
            }
            Ok(Value::Int(sum))
        }
        Merge::Concat => {
            let mut all = Vec::new();
            for value in values {
                match value {
                    // Two databases of one server report the same channels.
                    Value::Array(items) | Value::Set(items) if name == "PUBSUB CHANNELS" => {
                        for item in items {
                            if !all.contains(&item) {
                                all.push(item);
                            }
                        }
                    }
                    Value::Array(items) | Value::Set(items) => all.extend(items),
                    _ => return Err(odd()),
                }
            }
            Ok(Value::Array(all))
        }
        Merge::AllOk => values.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::ServerDown, "no server answered").of_command(name)
        }),
        Merge::AndBits => {
            let mut bits: Option<Vec<i64>> = None;
            for value in values {
                let Value::Array(items) = value else {
                    return Err(odd());
                };
                let row: Vec<i64> = items
                    .iter()
                    .map(|item| i64::from(matches!(item, Value::Int(1))))
                    .collect();
                bits = Some(match bits {
                    None => row,
                    Some(so_far) if so_far.len() == row.len() => {
                        so_far.iter().zip(row).map(|(a, b)| a & b).collect()
                    }
                    Some(_) => return Err(odd()),
                });
            }
            Ok(Value::Array(
                bits.unwrap_or_default()
                    .into_iter()
                    .map(Value::Int)
                    .collect(),
            ))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_does_not_fit_is_an_unexpected_reply() {
        let row = crate::command::row_of(&[b"DBSIZE"]).ok();
        let sum = |counts: [i64; 2]| {
            let names = ["a", "b"].map(Arc::from);
            let replies = counts.map(|count| Ok(Value::Int(count)));
            merge_replies(Merge::Sum, names.into_iter().zip(replies).collect(), row)
        };
        assert_eq!(sum([i64::MAX, 0]).unwrap(), Value::Int(i64::MAX));
        for counts in [[i64::MAX, 1], [i64::MIN, -1]] {
            assert_eq!(sum(counts).unwrap_err().kind(), ErrorKind::UnexpectedReply);
        }
    }
}
