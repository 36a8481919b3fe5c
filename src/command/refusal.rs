//! The server's words for a call that keyway does not send, because its keys or its timeout cannot be read.
//!
//! Programs look for these texts. They are those of Redis 7.0, and a test compares each with a live server's. Where
//! several arguments are wrong, the server may report another one than keyway does.

use super::{KeyError, Keys, Row, Rule};

const NOT_AN_INTEGER: &str = "value is not an integer or out of range";
const SYNTAX: &str = "syntax error";
const MORE_KEYS_THAN_ARGUMENTS: &str = "Number of keys can't be greater than number of args";
const NEGATIVE_TIMEOUT: &str = "timeout is negative";

/// What the server says of a call with too few or too many arguments; `name` is a row's or a container's.
pub(crate) fn wrong_arity(name: &str) -> String {
    let name = name.to_ascii_lowercase().replace(' ', "|");
    format!("wrong number of arguments for '{name}' command")
}

impl Row {
    /// Whether the server would refuse the call by the number of its arguments, which it checks first. `false` where the
    /// row does not have that number.
    pub(crate) fn has_wrong_arity(&self, args: &[&[u8]]) -> bool {
        self.arity.is_some_and(|arity| {
            let count = usize::from(arity.unsigned_abs());
            args.len() < count || arity > 0 && args.len() > count
        })
    }

    /// The error that the server would answer to this call, without its code, which is ERR.
    pub(crate) fn refusal(&self, args: &[&[u8]], error: &KeyError) -> String {
        if self.has_wrong_arity(args) {
            return wrong_arity(self.name);
        }
        match error {
            _ if self.keys == Keys::Streams => self.refusal_of_streams(args).to_owned(),
            // Keys and values of MSET and MSETNX do not pair up.
            KeyError::TooFewArguments { .. }
            | KeyError::Unpaired { .. }
            | KeyError::NoStreams { .. } => wrong_arity(self.name),
            KeyError::KeyCount { position, .. } => self.refusal_of_count(args[*position]),
            KeyError::Timeout { read, .. } => refusal_of_seconds(read).to_owned(),
        }
    }

    fn refusal_of_count(&self, count: &[u8]) -> String {
        let count = integer(count);
        let text = match (self.rule, self.name, count) {
            (_, "FCALL" | "FCALL_RO", None) => "Bad number of keys provided",
            (Rule::Script, _, None) => NOT_AN_INTEGER,
            (Rule::Script, _, Some(..=-1)) => "Number of keys can't be negative",
            (Rule::Script, _, Some(_)) => MORE_KEYS_THAN_ARGUMENTS,
            (_, "SINTERCARD" | "LMPOP" | "ZMPOP" | "BLMPOP" | "BZMPOP", None | Some(..=0)) => {
                "numkeys should be greater than 0"
            }
            (_, "SINTERCARD", Some(_)) => MORE_KEYS_THAN_ARGUMENTS,
            (_, _, None) => NOT_AN_INTEGER,
            (_, name, Some(..=0)) => {
                let name = name.to_ascii_lowercase();
                return format!("at least 1 input key is needed for '{name}' command");
            }
            (_, _, Some(_)) => SYNTAX,
        };
        text.to_owned()
    }

    /// Reads the options in the server's order, up to the first that is wrong.
    fn refusal_of_streams(&self, args: &[&[u8]]) -> &'static str {
        let is_group = self.name == "XREADGROUP";
        let mut rest = args.get(1..).unwrap_or_default();
        loop {
            let Some((option, after)) = rest.split_first() else {
                return SYNTAX;
            };
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            rest = match after {
                [millis, after @ ..] if is("BLOCK") => match integer(millis) {
                    None => return "timeout is not an integer or out of range",
                    Some(..=-1) => return NEGATIVE_TIMEOUT,
                    Some(_) => after,
                },
                [count, after @ ..] if is("COUNT") => match integer(count) {
                    None => return NOT_AN_INTEGER,
                    Some(_) => after,
                },
                [_, _, ..] if is("GROUP") && !is_group => {
                    return "The GROUP option is only supported by XREADGROUP. You called XREAD instead.";
                }
                [_, _, after @ ..] if is("GROUP") => after,
                _ if is("NOACK") && !is_group => {
                    return "The NOACK option is only supported by XREADGROUP. You called XREAD instead.";
                }
                after if is("NOACK") => after,
                [_, ..] if is("STREAMS") => {
                    return "Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.";
                }
                _ => return SYNTAX,
            };
        }
    }
}

fn refusal_of_seconds(read: &str) -> &'static str {
    match read.parse::<f64>() {
        Ok(seconds) if seconds < 0.0 => NEGATIVE_TIMEOUT,
        // Redis 7.0 computes with what has overflowed, and says that it is negative.
        Ok(seconds) if seconds > 0.0 => "timeout is out of range",
        _ => "timeout is not a float or out of range",
    }
}

/// An integer as the server reads one: no sign but `-`, no zero in front.
fn integer(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_that_is_too_long_is_not_called_negative() {
        for (read, text) in [
            ("1e300", "timeout is out of range"),
            ("inf", "timeout is out of range"),
            ("-inf", NEGATIVE_TIMEOUT),
            ("nan", "timeout is not a float or out of range"),
            ("", "timeout is not a float or out of range"),
        ] {
            assert_eq!(refusal_of_seconds(read), text, "{read}");
        }
    }

    #[test]
    fn an_integer_is_read_as_the_server_reads_it() {
        assert_eq!(integer(b"-1"), Some(-1));
        for wrong in ["", "+1", "01", " 1", "1.0", "-0", "99999999999999999999"] {
            assert_eq!(integer(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
