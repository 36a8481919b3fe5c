//! Gather: commands answered from several nodes. Set algebra, sorted-set algebra, and one SCAN over the cluster.
//!
//! The answer is the one that a single server with all the keys would give, to the digits of a score. What a command means is read here
//! and combined in [`sets`] and [`zsets`], which are pure. Of sets, what is sent is decided by the [cost model](cost) in [`plan`], also pure, and
//! carried out in [`engine`] and [`walk`]; of sorted sets by [`Parts`].

mod cost;
mod engine;
mod explained;
mod plan;
mod scan;
mod sets;
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
use crate::control::Current;
use crate::error::{Error, ErrorKind};
use crate::placement::NodeId;
use crate::routing::{self, Gate, Known, Scope};
use crate::scatter::{Body, Entry, Manner, Scatter};
use redis::{Cmd, Value};
use sets::Members;
use std::collections::HashMap;
use std::time::Instant;

/// Answers set or sorted-set algebra over keys of several nodes. Sorted sets and SUNION take one round trip to all servers at once; SINTER,
/// SINTERCARD and SDIFF as many as their [plan](plan) has, one when all sets are small and three as a rule.
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
            Ok(limit) => asked.cardinality(limit).await,
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
                Gather::ZInterCard => {
                    asked
                        .count(Parts::TogetherCounted("ZINTER"), options.limit)
                        .await
                }
                Gather::ZDiff => asked.sorted_difference(&options).await,
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

/// What is sent for the keys of a command.
#[derive(Clone, Copy)]
enum Parts {
    /// The keys on one server are combined there by this command, with a count before them.
    TogetherCounted(&'static str),
    /// What is on the first key's server is subtracted there; elsewhere only what is to be subtracted is fetched. Scores matter for the first
    /// key only.
    SortedFirstAgainst { with_scores: bool },
    /// Every different key by itself, with scores: they must be added in the order of all cardinalities.
    EachWithScores(&'static str),
    /// Every different key by itself, and nothing but an error comes back.
    EachForItsType,
}

impl Parts {
    fn joins(self) -> bool {
        !matches!(self, Parts::EachWithScores(_) | Parts::EachForItsType)
    }

    /// The command for the group at position `at`.
    fn command(self, at: usize, keys: &[&[u8]]) -> Cmd {
        let counted = |name: &str, with_scores: bool| {
            let mut cmd = redis::cmd(name);
            cmd.arg(keys.len()).arg(keys);
            if with_scores {
                cmd.arg("WITHSCORES");
            }
            cmd
        };
        match self {
            Parts::TogetherCounted(name) => counted(name, false),
            Parts::SortedFirstAgainst { with_scores } if at == 0 => counted("ZDIFF", with_scores),
            Parts::SortedFirstAgainst { .. } => counted("ZUNION", false),
            Parts::EachWithScores(name) => counted(name, true),
            // A set without itself is empty at no cost, whatever its size.
            Parts::EachForItsType => {
                let mut cmd = redis::cmd("ZDIFF");
                cmd.arg(2).arg(keys).arg(keys);
                cmd
            }
        }
    }
}

/// Keys that one sub-command carries.
struct Group<'a> {
    /// Of the first key; the others' are on the same server.
    node: NodeId,
    keys: Vec<&'a [u8]>,
}

/// Groups the keys, in the order of their first appearance: the first group has the first key. Also says whether a group holds for this
/// topology only.
fn group<'a, S>(current: &Current<S>, keys: &[&'a [u8]], plan: Parts) -> (Vec<Group<'a>>, bool) {
    #[derive(PartialEq, Eq, Hash)]
    enum Home<'a> {
        Server(u16),
        /// Its node is not served now, so it may live elsewhere when it is.
        Node(NodeId),
        Key(&'a [u8]),
    }
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut index = HashMap::new();
    let mut is_tied = false;
    for key in keys {
        let node = current.node(key);
        let home = if !plan.joins() {
            Home::Key(key)
        } else if routing::gate(&current.topology, node, true) == Gate::Send {
            Home::Server(current.topology.server_of(node).0)
        } else {
            Home::Node(node)
        };
        let at = *index.entry(home).or_insert_with(|| {
            groups.push(Group {
                node,
                keys: Vec::new(),
            });
            groups.len() - 1
        });
        let group = &mut groups[at];
        is_tied |= group.node != node;
        if plan.joins() || group.keys.is_empty() {
            group.keys.push(key);
        }
    }
    (groups, is_tied)
}

/// A command under way.
struct Asked<'a> {
    scatter: &'a Scatter,
    known: Known,
    keys: &'a [&'a [u8]],
    manner: Manner,
}

/// The replies of a plan's groups, or the error that one of them answered.
enum Fetched {
    Replies(Vec<Value>),
    Error(Value),
}

impl Asked<'_> {
    async fn sets(&self, operation: Operation) -> Result<Value, Error> {
        Ok(match self.ask(operation, false, None).await? {
            Answer::Members(members) => match self.protocol() {
                Protocol::Resp2 => Value::Array(members),
                Protocol::Resp3 => Value::Set(members),
            },
            Answer::Count(_) => return Err(self.odd()),
            Answer::Refused(error, _) => Value::ServerError(error),
        })
    }

    /// SINTERCARD; a limit of 0 is none.
    async fn cardinality(&self, limit: usize) -> Result<Value, Error> {
        let limit = (limit > 0).then_some(limit as u64);
        Ok(match self.ask(Operation::Intersect, true, limit).await? {
            Answer::Count(count) => Value::Int(i64::try_from(count).unwrap_or(i64::MAX)),
            Answer::Members(_) => return Err(self.odd()),
            Answer::Refused(error, _) => Value::ServerError(error),
        })
    }

    async fn ask(
        &self,
        operation: Operation,
        counts: bool,
        limit: Option<u64>,
    ) -> Result<Answer, Error> {
        let question = Question {
            operation,
            keys: self.keys,
            limit,
            strategy: None,
            counts,
            known: self.known,
        };
        ask(self.scatter, &question, self.manner, &mut Log::off()).await
    }

    /// The size of an intersection, up to the limit; 0 is none.
    async fn count(&self, plan: Parts, limit: usize) -> Result<Value, Error> {
        let members = match self.fetch(plan).await? {
            Fetched::Replies(replies) => self.each_items(replies)?,
            Fetched::Error(error) => return Ok(error),
        };
        let count = sets::intersection(members).len();
        let count = if limit == 0 { count } else { count.min(limit) };
        Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
    }

    async fn sorted(&self, gather: Gather, options: &zsets::Options) -> Result<Value, Error> {
        let name = if gather == Gather::ZInter {
            "ZINTER"
        } else {
            "ZUNION"
        };
        let replies = match self.fetch(Parts::EachWithScores(name)).await? {
            Fetched::Replies(replies) => replies,
            Fetched::Error(error) => return Ok(error),
        };
        let scored = replies
            .into_iter()
            .map(zsets::scored)
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| self.odd())?;
        // Replies are by different key, in the order of first appearance.
        let mut index = HashMap::new();
        let inputs: Vec<zsets::Input<'_>> = self
            .keys
            .iter()
            .zip(&options.weights)
            .map(|(key, weight)| {
                let next = index.len();
                let at = *index.entry(*key).or_insert(next);
                zsets::Input {
                    members: &scored[at],
                    weight: *weight,
                }
            })
            .collect();
        let combined = match gather {
            Gather::ZInter => zsets::intersection(inputs, options.aggregate),
            _ => zsets::union(inputs, options.aggregate),
        };
        Ok(zsets::reply(combined, options.with_scores, self.protocol()))
    }

    async fn sorted_difference(&self, options: &zsets::Options) -> Result<Value, Error> {
        let plan = Parts::SortedFirstAgainst {
            with_scores: options.with_scores,
        };
        let mut replies = match self.fetch(plan).await? {
            Fetched::Replies(replies) => replies.into_iter(),
            Fetched::Error(error) => return Ok(error),
        };
        let first = replies.next().ok_or_else(|| self.odd())?;
        let first = if options.with_scores {
            zsets::scored(first).ok_or_else(|| self.odd())?
        } else {
            let members = sets::members(first).ok_or_else(|| self.odd())?;
            members.into_iter().map(|member| (member, 0.0)).collect()
        };
        let left = zsets::difference(first, self.each_members(replies)?);
        Ok(zsets::reply(left, options.with_scores, self.protocol()))
    }

    /// The server's error about the type of a key, if it has one. Other failures are left aside: the arguments are wrong anyway.
    async fn wrong_type(&self) -> Option<Value> {
        match self.fetch(Parts::EachForItsType).await {
            Ok(Fetched::Error(Value::ServerError(error))) if error.code() == "WRONGTYPE" => {
                Some(Value::ServerError(error))
            }
            _ => None,
        }
    }

    /// Sends a plan in one batch. Done again if the topology changed meanwhile and the plan relied on it.
    async fn fetch(&self, plan: Parts) -> Result<Fetched, Error> {
        loop {
            let current = self.scatter.control().load_full();
            let (groups, is_tied) = group(&current, self.keys, plan);
            let cmds: Vec<Cmd> = groups
                .iter()
                .enumerate()
                .map(|(at, group)| plan.command(at, &group.keys))
                .collect();
            // Its row has no miss value, so cache mode answers nothing in a dead server's place.
            let entries = groups
                .iter()
                .zip(&cmds)
                .map(|(group, cmd)| Entry {
                    cmd,
                    known: self.known,
                    body: Body::Node(group.node),
                    script: None,
                })
                .collect();
            let results = self.scatter.many(entries, self.manner).await;
            if is_tied && self.scatter.control().load().generation != current.generation {
                // A key that was on the same server may have been asked for where it no longer is.
                if Instant::now() < self.manner.deadline {
                    continue;
                }
                let why = "the deadline passed while the topology changed";
                return Err(Error::new(ErrorKind::NotSent, why)
                    .of_command(self.known.name())
                    .by_timeout());
            }
            let mut replies = Vec::with_capacity(results.len());
            let mut refused = None;
            for result in results {
                match result? {
                    Value::ServerError(error) => {
                        refused.get_or_insert(error);
                    }
                    value => replies.push(value),
                }
            }
            if let Some(error) = refused {
                return Ok(Fetched::Error(Value::ServerError(error)));
            }
            let held: usize = replies.iter().map(bytes_held).sum();
            if held as u64 > current.config.limits().gather_bytes_max {
                return Err(engine::too_large(
                    &current.config,
                    self.known.name(),
                    held as u64,
                ));
            }
            return Ok(Fetched::Replies(replies));
        }
    }

    fn each_members(
        &self,
        replies: impl IntoIterator<Item = Value>,
    ) -> Result<Vec<Members>, Error> {
        replies
            .into_iter()
            .map(sets::members)
            .collect::<Option<_>>()
            .ok_or_else(|| self.odd())
    }

    fn each_items(&self, replies: Vec<Value>) -> Result<Vec<Vec<Value>>, Error> {
        let items = replies.into_iter().map(sets::items);
        items.collect::<Option<_>>().ok_or_else(|| self.odd())
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
    use crate::config::{Address, Config, Endpoint};
    use crate::placement::{Algorithm, Placement};
    use crate::topology::{NodeState, Topology};
    use std::sync::Arc;

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

    /// Two nodes on `a`, one on `b`; and for each node a key.
    fn three_nodes() -> (Current<()>, [String; 3]) {
        let placement = Placement::with_nodes(Algorithm::Modulo, 3).unwrap();
        let key_of = |node: u16| {
            (0..)
                .map(|i| format!("key:{i}"))
                .find(|key| placement.node(key.as_bytes()) == NodeId(node))
                .unwrap()
        };
        let keys = [key_of(0), key_of(1), key_of(2)];
        let endpoint = |port| {
            Endpoint::new(Address::Tcp {
                host: "127.0.0.1".into(),
                port,
            })
        };
        let config = Config::builder("test")
            .placement(placement)
            .server("a", endpoint(1), [0, 2])
            .server("b", endpoint(2), [1])
            .build()
            .unwrap();
        let topology = config.topology().clone();
        let servers = vec![Arc::new(()), Arc::new(())].into_boxed_slice();
        (
            Current {
                generation: 1,
                config: Arc::new(config),
                topology,
                servers,
            },
            keys,
        )
    }

    fn sent(current: &Current<()>, keys: &[&String], plan: Parts) -> (Vec<String>, bool) {
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let (groups, is_tied) = group(current, &keys, plan);
        let show = |cmd: Cmd| {
            routing::arguments(&cmd)
                .iter()
                .map(|arg| String::from_utf8_lossy(arg).into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        (
            groups
                .iter()
                .enumerate()
                .map(|(at, group)| show(plan.command(at, &group.keys)))
                .collect(),
            is_tied,
        )
    }

    #[test]
    fn keys_on_one_server_travel_together_where_that_is_exact() {
        let (current, [k0, k1, k2]) = &three_nodes();
        let keys = [k1, k0, k2, k1];
        assert_eq!(
            sent(current, &keys, Parts::TogetherCounted("ZINTER")),
            (
                vec![format!("ZINTER 2 {k1} {k1}"), format!("ZINTER 2 {k0} {k2}")],
                true
            )
        );
        assert_eq!(
            sent(
                current,
                &[k0, k1, k2],
                Parts::SortedFirstAgainst { with_scores: true }
            )
            .0,
            [
                format!("ZDIFF 2 {k0} {k2} WITHSCORES"),
                format!("ZUNION 1 {k1}")
            ]
        );
    }

    #[test]
    fn keys_whose_scores_are_needed_travel_alone_and_once() {
        let (current, [k0, k1, k2]) = &three_nodes();
        let keys = [k2, k0, k2, k1];
        let expected = [k2, k0, k1]
            .map(|key| format!("ZUNION 1 {key} WITHSCORES"))
            .to_vec();
        assert_eq!(
            sent(current, &keys, Parts::EachWithScores("ZUNION")),
            (expected, false)
        );
        assert_eq!(
            sent(current, &[k0], Parts::EachForItsType).0,
            [format!("ZDIFF 2 {k0} {k0}")]
        );
    }

    #[test]
    fn a_node_that_is_not_served_now_is_asked_by_itself() {
        let (mut current, [k0, k1, k2]) = three_nodes();
        let states = vec![NodeState::Serving, NodeState::Serving, NodeState::Frozen];
        current.topology = Arc::new(
            Topology::clone(&current.topology)
                .with_states(states)
                .unwrap(),
        );
        let (sent, is_tied) = sent(&current, &[&k0, &k1, &k2], Parts::TogetherCounted("ZINTER"));
        assert_eq!(
            sent,
            [
                format!("ZINTER 1 {k0}"),
                format!("ZINTER 1 {k1}"),
                format!("ZINTER 1 {k2}")
            ]
        );
        assert!(!is_tied);
    }
}
