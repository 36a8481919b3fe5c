//! Gather: commands answered from several nodes. Set algebra, sorted-set algebra, and one SCAN over the cluster.
//!
//! The answer is the one that a single server with all the keys would give, to the digits of a score. What a command means is read here
//! and combined in [`sets`] and [`zsets`], which are pure. Of sets, what is sent is decided by the [cost model](cost) in [`plan`], also pure, and
//! carried out in [`engine`] and [`walk`], and for scores in [`sorted`]; a ZUNION fetches all of every set, for all is needed.

mod cost;
mod engine;
mod explained;
mod plan;
mod scan;
mod sets;
mod sorted;
mod stream;
mod walk;
mod zsets;

pub use cost::Traffic;
pub(crate) use engine::{Answer, Question, ask};
pub(crate) use explained::Log;
pub use explained::{Explained, ExplainedSet, ExplainedStep};
pub use plan::{Action, Operation, Strategy};
pub(crate) use scan::scan;
pub(crate) use sets::chunks;
pub(crate) use stream::{Chunks, Ended};

use crate::command::{Gather, KeyPositions};
use crate::config::Protocol;
use crate::error::Error;
use crate::placement::NodeId;
use crate::routing::{self, Known, Scope};
use crate::scatter::{Call, Choice, Manner, Scatter, Target};
use futures::stream::{FuturesUnordered, StreamExt};
use redis::{Cmd, Value};

/// Answers set or sorted-set algebra over keys of several nodes. ZUNION takes one round trip to all servers at once; the others as many as their
/// [plan](plan) has: one when all sets are small, three as a rule.
///
/// Wrong arguments and wrong types come as the server's own error, in `Value::ServerError`. The intermediate results are held in memory, up
/// to `limits.gather_bytes_max`.
///
/// # Errors
/// The error of any part, for all keys are needed, in cache mode too; `TooLarge` beyond the limit.
pub(crate) async fn algebra(
    scatter: &Scatter,
    gather: Gather,
    args: &[&[u8]],
    keys: KeyPositions,
    manner: Manner,
) -> Result<Value, Error> {
    let known = routing::identify(args, Scope::Cluster)?;
    let keys: Vec<&[u8]> = keys.iter().map(|at| args[at]).collect();
    let asked = Asked {
        scatter,
        known,
        keys: &keys,
        manner,
    };
    match gather {
        Gather::SInter => asked.sets(Operation::Intersect).await,
        Gather::SUnion => asked.sets(Operation::Union).await,
        Gather::SDiff => asked.sets(Operation::Difference).await,
        Gather::SInterCard => match sets::limit_of(args, keys.len()) {
            Ok(limit) => asked.cardinality(limit, false).await,
            Err(wrong) => Ok(wrong.reply()),
        },
        Gather::ZInter | Gather::ZUnion | Gather::ZDiff | Gather::ZInterCard => {
            let options = match zsets::Options::read(gather, args, keys.len()) {
                Ok(options) => options,
                Err(wrong) if wrong.is_found_before_types() => return Ok(wrong.reply()),
                // The server looks at the types of the keys first.
                Err(wrong) => return Ok(asked.wrong_type().await.unwrap_or_else(|| wrong.reply())),
            };
            match gather {
                Gather::ZInterCard => asked.cardinality(options.limit, true).await,
                Gather::ZUnion => asked.sorted_union(&options).await,
                _ => asked.sorted(gather, &options).await,
            }
        }
    }
}

/// A wrong argument, in the server's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Syntax,
    NegativeLimit,
    WeightNotFloat,
    /// ZUNION and its kin.
    NotInteger,
    /// SINTERCARD.
    KeyCount,
}

impl Wrong {
    fn is_found_before_types(self) -> bool {
        matches!(self, Wrong::NotInteger | Wrong::KeyCount)
    }

    fn reply(self) -> Value {
        server_error(match self {
            Wrong::Syntax => "ERR syntax error",
            Wrong::NegativeLimit => "ERR LIMIT can't be negative",
            Wrong::WeightNotFloat => "ERR weight value is not a float",
            Wrong::NotInteger => "ERR value is not an integer or out of range",
            Wrong::KeyCount => "ERR numkeys should be greater than 0",
        })
    }
}

/// Known kinds of server errors can only be made by parsing one.
fn server_error(line: &str) -> Value {
    // An error line always parses; were it not so, the text must not be lost.
    redis::parse_redis_value(format!("-{line}\r\n").as_bytes())
        .unwrap_or_else(|_| Value::SimpleString(line.to_owned()))
}

/// What is sent for every different key, where no plan is made.
#[derive(Clone, Copy)]
enum Part {
    /// All members with their scores: of a union all are needed, and scores must be added in the order of all cardinalities.
    WithScores,
    /// Nothing but an error comes back.
    Type,
}

impl Part {
    fn command(self, key: &[u8]) -> Cmd {
        match self {
            Part::WithScores => {
                let mut cmd = redis::cmd("ZUNION");
                cmd.arg(1).arg(key).arg("WITHSCORES");
                cmd
            }
            // A set without itself is empty at no cost, whatever its size.
            Part::Type => {
                let mut cmd = redis::cmd("ZDIFF");
                cmd.arg(2).arg(key).arg(key);
                cmd
            }
        }
    }
}

/// A command under way.
struct Asked<'a> {
    scatter: &'a Scatter,
    known: Known,
    keys: &'a [&'a [u8]],
    manner: Manner,
}

/// The replies of all different keys, in the order of first appearance, or the error that one of them answered.
enum Fetched {
    Replies(Vec<Value>),
    Error(Value),
}

impl Asked<'_> {
    async fn sets(&self, operation: Operation) -> Result<Value, Error> {
        Ok(match self.ask(self.question(operation)).await? {
            Answer::Members(members) => match self.protocol() {
                Protocol::Resp2 => Value::Array(members),
                Protocol::Resp3 => Value::Set(members),
            },
            Answer::Count(_) => return Err(self.odd()),
            Answer::Refused(error, _) => Value::ServerError(error),
        })
    }

    /// SINTERCARD or ZINTERCARD; a limit of 0 is none.
    async fn cardinality(&self, limit: usize, is_sorted: bool) -> Result<Value, Error> {
        let question = Question {
            limit: (limit > 0).then_some(limit as u64),
            counts: true,
            is_sorted,
            ..self.question(Operation::Intersect)
        };
        Ok(match self.ask(question).await? {
            Answer::Count(count) => Value::Int(i64::try_from(count).unwrap_or(i64::MAX)),
            Answer::Members(_) => return Err(self.odd()),
            Answer::Refused(error, _) => Value::ServerError(error),
        })
    }

    fn question(&self, operation: Operation) -> Question<'_> {
        Question {
            operation,
            keys: self.keys,
            limit: None,
            strategy: None,
            counts: false,
            is_sorted: false,
            known: self.known,
        }
    }

    async fn ask(&self, question: Question<'_>) -> Result<Answer, Error> {
        ask(self.scatter, &question, self.manner, &mut Log::off()).await
    }

    /// ZINTER or ZDIFF.
    async fn sorted(&self, gather: Gather, options: &zsets::Options) -> Result<Value, Error> {
        let operation = match gather {
            Gather::ZDiff => Operation::Difference,
            _ => Operation::Intersect,
        };
        let question = Question {
            is_sorted: true,
            ..self.question(operation)
        };
        Ok(
            match sorted::ask(self.scatter, &question, options, self.manner).await? {
                sorted::Answer::Scored(members) => {
                    zsets::reply(members, options.with_scores, self.protocol())
                }
                sorted::Answer::Refused(error) => Value::ServerError(error),
            },
        )
    }

    async fn sorted_union(&self, options: &zsets::Options) -> Result<Value, Error> {
        let replies = match self.fetch(Part::WithScores).await? {
            Fetched::Replies(replies) => replies,
            Fetched::Error(error) => return Ok(error),
        };
        let scored = replies
            .into_iter()
            .map(zsets::scored)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| self.odd())?;
        let lists: Vec<sorted::List> = scored
            .into_iter()
            .map(|members| sorted::List {
                cardinality: members.len() as u64,
                members,
            })
            .collect();
        let combined = zsets::union(
            sorted::inputs(self.keys, &options.weights, &lists),
            options.aggregate,
        );
        Ok(zsets::reply(combined, options.with_scores, self.protocol()))
    }

    /// The server's error about the type of a key, if it has one. Other failures are left aside: the arguments are wrong anyway.
    async fn wrong_type(&self) -> Option<Value> {
        match self.fetch(Part::Type).await {
            Ok(Fetched::Error(Value::ServerError(error))) if error.code() == "WRONGTYPE" => {
                Some(Value::ServerError(error))
            }
            _ => None,
        }
    }

    /// Asks for every different key by itself, all at once. What is too much ends it as soon as it has come, and with it what has not come yet.
    async fn fetch(&self, part: Part) -> Result<Fetched, Error> {
        let current = self.scatter.control().load_full();
        let mut seen = sets::Seen::default();
        let keys = self.keys.iter().filter(|key| seen.is_new(key));
        let cmds: Vec<(Cmd, NodeId)> = keys
            .map(|key| (part.command(key), current.node(key)))
            .collect();
        let mut calls: FuturesUnordered<_> = cmds
            .iter()
            .enumerate()
            .map(|(at, (cmd, node))| async move {
                // Its row has no miss value, so cache mode answers nothing in a dead server's place.
                let call = Call {
                    cmd,
                    known: self.known,
                    target: Target::Node(*node, Choice::Only),
                    script: None,
                    manner: self.manner,
                };
                (at, self.scatter.call(call).await)
            })
            .collect();
        let bytes_max = current.config.limits().gather_bytes_max;
        let mut replies = vec![Value::Nil; cmds.len()];
        let mut refused = None;
        let mut held = 0;
        while let Some((at, reply)) = calls.next().await {
            match reply? {
                Value::ServerError(error) => {
                    refused.get_or_insert(error);
                }
                reply => replies[at] = reply,
            }
            held += bytes_held(&replies[at]) as u64;
            if held > bytes_max {
                return Err(engine::too_large(&current.config, self.known.name(), held));
            }
        }
        Ok(match refused {
            Some(error) => Fetched::Error(Value::ServerError(error)),
            None => Fetched::Replies(replies),
        })
    }

    fn odd(&self) -> Error {
        engine::odd(self.known)
    }

    fn protocol(&self) -> Protocol {
        self.scatter.control().load().config.protocol()
    }
}

/// Memory that a reply takes, the framing of its elements included.
fn bytes_held(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::BulkString(bytes) => bytes.len(),
            Value::Array(items) | Value::Set(items) => items.iter().map(bytes_held).sum(),
            _ => 0,
        }
}

/// An integer as the server reads one: no sign but a minus, no leading zero, 64 bits.
fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_plain = text == b"0" || matches!(digits.first(), Some(b'1'..=b'9'));
    std::str::from_utf8(text)
        .ok()
        .filter(|_| is_plain)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{self, Miss, Rule};

    #[test]
    fn no_part_can_be_answered_as_a_miss() {
        let gathered = command::all()
            .iter()
            .filter(|row| matches!(row.rule, Rule::Gather(_) | Rule::Scan));
        let with_miss: Vec<&str> = gathered
            .filter(|row| row.miss != Miss::None)
            .map(|row| row.name)
            .collect();
        assert_eq!(
            with_miss, [""; 0],
            "a dead server's part would silently be empty in cache mode"
        );
    }

    #[test]
    fn calls_may_be_awaited_on_any_thread() {
        fn is_send<T: Send>(_: fn(&'static Scatter, &'static [&'static [u8]], Manner) -> T) {}
        is_send(|scatter, args, manner| {
            algebra(
                scatter,
                Gather::ZUnion,
                args,
                KeyPositions::default(),
                manner,
            )
        });
    }

    #[test]
    fn integers_are_read_as_the_server_reads_them() {
        for (text, number) in [
            ("0", 0),
            ("12", 12),
            ("-7", -7),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(integer(text.as_bytes()), Some(number));
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1.0",
            "9223372036854775808",
            "\u{661}",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn every_element_of_a_reply_counts() {
        let (empty, one) = (
            bytes_held(&Value::Nil),
            bytes_held(&Value::BulkString(vec![0; 100])),
        );
        assert_eq!(one, empty + 100);
        let list = vec![Value::BulkString(vec![0; 100]); 3];
        assert_eq!(bytes_held(&Value::Array(list.clone())), empty + 3 * one);
        assert_eq!(bytes_held(&Value::Set(list)), empty + 3 * one);
    }
}
