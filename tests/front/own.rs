//! What the front answers by itself, or sends in another way than `cluster.query`: the whole list.

use keyway::command::{Access, Keys, Row, Rule, row_of};

/// How a command is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By `cluster.query`, as it came. The rule; everything else is in [`OWN`].
    Cluster,
    Ping,
    Hello,
    Auth,
    Select,
    Quit,
    Reset,
    Password,
    Client,
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Subscribe,
    PatternSubscribe,
    Unsubscribe,
    PatternUnsubscribe,
    ReceiverCounts,
    /// `cluster.on_server`, the first by name.
    FirstServer,
    /// `cluster.on_server` for each; the first answer that is no error, or the first error.
    EveryServer,
    /// `cluster.on_server` for the server of the first key.
    HomeServer,
    /// `cluster.for_key` of the first argument, or `cluster.on_node(0)`.
    SomeNode,
}

struct Own {
    /// The command as it is shown: its name, or what such commands have in common.
    what: &'static str,
    is: Which,
    way: Way,
    why: &'static str,
}

enum Which {
    /// The commands of this name; for a container, all of its subcommands.
    Named,
    Where(fn(&Asked<'_>) -> bool),
}

/// A command that has come.
pub(crate) struct Asked<'a> {
    pub(crate) args: &'a [&'a [u8]],
    /// Its row in keyway's table.
    pub(crate) row: Option<&'static Row>,
    /// Whether the cluster has one node only, so that every key is on it.
    pub(crate) is_one_node: bool,
}

const CONNECTION: &str = "the state of a client's connection, which ends at the front";
const TRANSACTION: &str = "commands are queued here, and sent at EXEC as one atomic pipeline; over `dedicated` after WATCH";
const PUBSUB: &str = "each client has a `cluster.pubsub()` of its own";
const KEYSPACE: &str = "acts on a whole server, so that keyway wants the server's name";

/// The first line that fits counts.
const OWN: &[Own] = &[
    own(
        "PING",
        Way::Ping,
        "its reply has another shape while subscribed",
    ),
    own("HELLO", Way::Hello, CONNECTION),
    own("AUTH", Way::Auth, CONNECTION),
    own("SELECT", Way::Select, "there is one database, 0"),
    own("QUIT", Way::Quit, CONNECTION),
    own("RESET", Way::Reset, CONNECTION),
    own("CONFIG SET REQUIREPASS", Way::Password, CONNECTION),
    own("CLIENT", Way::Client, CONNECTION),
    own("MULTI", Way::Multi, TRANSACTION),
    own("EXEC", Way::Exec, TRANSACTION),
    own("DISCARD", Way::Discard, TRANSACTION),
    own("WATCH", Way::Watch, TRANSACTION),
    own("UNWATCH", Way::Unwatch, TRANSACTION),
    own("SUBSCRIBE", Way::Subscribe, PUBSUB),
    own("PSUBSCRIBE", Way::PatternSubscribe, PUBSUB),
    own("UNSUBSCRIBE", Way::Unsubscribe, PUBSUB),
    own("PUNSUBSCRIBE", Way::PatternUnsubscribe, PUBSUB),
    own(
        "PUBSUB NUMSUB",
        Way::ReceiverCounts,
        "the servers' numbers are added up",
    ),
    own("FLUSHALL", Way::EveryServer, KEYSPACE),
    own("DEBUG", Way::EveryServer, KEYSPACE),
    own("SWAPDB", Way::EveryServer, KEYSPACE),
    own("REPLICAOF", Way::EveryServer, KEYSPACE),
    own("SLAVEOF", Way::EveryServer, KEYSPACE),
    Own {
        what: "commands that keyway's table calls PerServer, if they read",
        is: Which::Where(|asked| is_per_server(asked, Access::Read)),
        way: Way::FirstServer,
        why: "one server's answer has to do for all",
    },
    Own {
        what: "commands that keyway's table calls PerServer, if they write",
        is: Which::Where(|asked| is_per_server(asked, Access::Write)),
        way: Way::EveryServer,
        why: "one server's answer has to do for all",
    },
    Own {
        what: "MOVE, MIGRATE, and COPY with DB",
        is: Which::Where(|asked| {
            asked.row.is_some_and(|row| {
                row.rule == Rule::OnServer && row.keys != Keys::None
                    || row.forbidden(asked.args).is_some()
            })
        }),
        way: Way::HomeServer,
        why: "goes to another database or server, so that keyway wants the server's name",
    },
    Own {
        what: "scripts and functions that declare no key",
        is: Which::Where(|asked| {
            asked.row.is_some_and(|row| {
                row.rule == Rule::Script
                    && row
                        .key_positions(asked.args)
                        .is_ok_and(|keys| keys.is_empty())
            })
        }),
        way: Way::SomeNode,
        why: "keyway wants to know the node, and the client cannot say it",
    },
    Own {
        what: "SORT with BY or GET patterns, if there is one node only",
        is: Which::Where(|asked| {
            asked.is_one_node && asked.row.is_some_and(|row| row.has_patterns(asked.args))
        }),
        way: Way::SomeNode,
        why: "keyway wants to know the node of the keys that the pattern reads",
    },
    Own {
        what: "commands that keyway's table does not have",
        is: Which::Where(|asked| asked.row.is_none()),
        way: Way::SomeNode,
        why: "keyway wants to know the node; the server then says what it thinks of the command",
    },
];

const fn own(name: &'static str, way: Way, why: &'static str) -> Own {
    Own {
        what: name,
        is: Which::Named,
        way,
        why,
    }
}

fn is_per_server(asked: &Asked<'_>, access: Access) -> bool {
    asked
        .row
        .is_some_and(|row| row.rule == Rule::PerServer && row.access == access)
}

impl<'a> Asked<'a> {
    pub(crate) fn new(args: &'a [&'a [u8]], is_one_node: bool) -> Asked<'a> {
        Asked {
            args,
            row: row_of(args).ok(),
            is_one_node,
        }
    }

    /// How it is carried out.
    pub(crate) fn way(&self) -> Way {
        OWN.iter()
            .find(|own| match own.is {
                Which::Named => self.is_named(own.what),
                Which::Where(holds) => holds(self),
            })
            .map_or(Way::Cluster, |own| own.way)
    }

    pub(crate) fn first_key(&self) -> Option<&'a [u8]> {
        let keys = self.row?.key_positions(self.args).ok()?;
        keys.first().map(|at| self.args[at])
    }

    fn is_named(&self, name: &str) -> bool {
        let mut args = self.args.iter();
        name.split(' ').all(|word| {
            args.next()
                .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
        })
    }
}

/// The table as text: what, how, why.
pub(crate) fn list_own_answers() -> String {
    OWN.iter()
        .map(|own| {
            format!(
                "{:58}  {:20}  {}\n",
                own.what,
                format!("{:?}", own.way),
                own.why
            )
        })
        .collect()
}
