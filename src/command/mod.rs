//! Every command of Redis 7.0: where its keys are, whether it writes, whether it blocks, and what a cluster of many
//! servers does with it.
//!
//! One static table ([`all`]) answers for routing, retries, cache mode and statistics alike, so that no two parts of the
//! client can disagree about a command. It is checked against what a live server says of itself.
//!
//! ```
//! use keyway::command::{self, Rule};
//!
//! let args: [&[u8]; 4] = [b"zunionstore", b"sum", b"1", b"today"];
//! let row = command::row_of(&args)?;
//! assert_eq!(row.name, "ZUNIONSTORE");
//! assert_eq!(row.rule, Rule::Keyed);
//! assert_eq!(row.key_positions(&args)?.iter().collect::<Vec<_>>(), [1, 3]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod arguments;
mod lookup;
mod refusal;
mod table;

pub use arguments::{BlocksFor, KeyError, KeyPositions, KeyPositionsIter};
pub use lookup::{Container, Found, Unknown, lookup, row_of};
pub(crate) use refusal::wrong_arity;

/// Every row, grouped by kind; the subcommands of one container are neighbours. A row's [`CommandId`] is its index.
pub fn all() -> &'static [Row] {
    &table::TABLE
}

/// Number of a command: its index in [`all`]. Small and dense, so that counters per command are a plain array.
/// It may change from release to release; what lasts is the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u16);

impl CommandId {
    /// How many commands there are; every id is smaller.
    pub const COUNT: usize = table::TABLE.len();

    /// The number as an index into per-command tables.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The row with this number, or `None` for a number that no row has.
    pub fn row(self) -> Option<&'static Row> {
        table::TABLE.get(self.index())
    }
}

/// What is known of one command.
///
/// Positions of arguments count the command's name as 0, and a subcommand as 1: the key of `XGROUP CREATE key` is at 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Index in [`all`].
    pub id: CommandId,
    /// Upper case; a subcommand after its container and one space: `XGROUP CREATE`.
    pub name: &'static str,
    /// What a cluster does with the command.
    pub rule: Rule,
    /// Where its keys are.
    pub keys: Keys,
    /// Whether repeating it is harmless, whatever its arguments; [`Row::is_read`] looks at the arguments too.
    pub access: Access,
    /// Whether it may wait on the server.
    pub blocking: Blocking,
    /// What cache mode answers while the server is down, before the arguments are looked at; see [`Row::miss_reply`].
    pub miss: Miss,
    /// For a command that a cluster does not route: what to do instead, as the end of a sentence. Empty for others.
    pub remedy: &'static str,
    /// It has no key and says nothing of any key, so that it may be asked on a dedicated connection and within a transaction,
    /// whatever else lives on that server: PING, TIME, SCRIPT LOAD and the like.
    pub is_neutral: bool,
    /// It has to reach a server that is busy with a script, and so goes over a connection made for it: SCRIPT KILL, FUNCTION KILL.
    pub interrupts: bool,
    /// The first version of the server that has it, major and minor.
    pub since: (u8, u8),
    /// How many arguments it has, its name included, as COMMAND reports it: negative for at least as many. Only for commands whose keys or
    /// timeout are found by what the arguments say; of others the server alone knows it.
    pub arity: Option<i8>,
}

/// What a cluster does with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// Routed by its keys, all of which must be on one node.
    Keyed,
    /// Keys may be on several nodes: split per server, and the replies put together in call order.
    Split(Split),
    /// Routed when all keys are on one node; else computed exactly from the replies of several.
    Gather(Gather),
    /// No key: sent to every server, and the replies merged into one of the same type.
    Everywhere(Merge),
    /// SCAN: one cursor over all servers.
    Scan,
    /// Routed by the channel, argument 1.
    Channel,
    /// EVAL and its kin: routed by the declared keys, on one node; without keys refused unless a target is given.
    Script,
    /// Answered by each server for itself; a merged reply would change its type, so the caller asks the servers one by one.
    PerServer,
    /// Acts on one server's whole keyspace, its files or its life: only on a server that the caller names.
    OnServer,
    /// Needs a connection of its own: only on a dedicated connection.
    Dedicated,
    /// Turns a connection into a subscriber: only through the cluster's own pub/sub.
    PubSub,
    /// Changes the state of a connection that others share, or takes it over: always refused.
    Connection,
}

/// How the replies of a split command become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Split {
    /// Values in the order of the keys.
    Mget,
    /// Key and value alternate; `OK` when every server said so.
    Mset,
    /// The integer replies are added (DEL, UNLINK, EXISTS, TOUCH).
    Sum,
}

/// Set and sorted-set algebra over several nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the command of that name")]
pub enum Gather {
    SInter,
    SInterCard,
    SUnion,
    SDiff,
    ZInter,
    ZInterCard,
    ZUnion,
    ZDiff,
}

/// How the replies of all servers become one of the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Merge {
    /// Integers are added.
    Sum,
    /// Arrays are joined.
    Concat,
    /// Every server must succeed; the answer is that of the first (`OK`, `PONG`, the sha or library name that all agree on).
    AllOk,
    /// Arrays of 0 and 1, equally long: 1 where every server says 1.
    AndBits,
}

/// Where the keys of a command are. Positions count the command's name as 0, and a subcommand as 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keys {
    /// It has none.
    None,
    /// From `first` to `last`, every `step`th argument; a negative `last` counts from the end, -1 being the last argument.
    Range {
        /// Position of the first key.
        first: u8,
        /// Position of the last key, or from the end if negative.
        last: i8,
        /// 1, or 2 where key and value alternate.
        step: u8,
    },
    /// A count at `at`, followed by that many keys.
    Counted {
        /// Position of the count.
        at: u8,
        /// Position of a key that is written to.
        destination: Option<u8>,
    },
    /// The first half of what follows the word STREAMS (XREAD, XREADGROUP).
    Streams,
    /// Argument 1, and the argument of a STORE option (SORT, SORT_RO).
    Sort,
    /// Argument 1, and the argument of a STORE or STOREDIST option.
    GeoRadius {
        /// Position of the first option.
        options: u8,
    },
    /// Argument 3, or if that is empty everything after the word KEYS.
    Migrate,
}

/// Whether repeating a command is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Changes nothing that a client can see: it may be sent again after an unknown outcome.
    Read,
    /// May change something: sent again only if it certainly was not executed.
    Write,
}

/// Whether a command may wait on the server, and where it says how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocking {
    /// Answered at once.
    Never,
    /// Seconds in the last argument; 0 waits for ever.
    SecondsLast,
    /// Seconds at this position; 0 waits for ever.
    SecondsAt(u8),
    /// Milliseconds in the last argument; 0 waits for ever (WAIT).
    MillisLast,
    /// Waits only when this option is given before STREAMS: milliseconds after it; 0 waits for ever.
    MillisAfter(&'static str),
}

/// What a command answers when its key is missing: the reply of cache mode while the server is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Miss {
    /// No such reply exists, or it would mislead: an error even in cache mode.
    None,
    /// Nil.
    Nil,
    /// The integer 0.
    Zero,
    /// The integer -2: no such key (TTL and its kin).
    MinusTwo,
    /// An empty string.
    EmptyString,
    /// The status `none` (TYPE).
    StatusNone,
    /// An array without elements.
    EmptyArray,
    /// A map without entries; under RESP2 an empty array.
    EmptyMap,
    /// A set without members; under RESP2 an empty array.
    EmptySet,
    /// Nil without a count argument (argument 2), an empty array with one.
    NilOrEmptyArray,
    /// One nil per key (MGET).
    NilPerKey,
    /// One nil per argument after the key (HMGET, ZMSCORE ...).
    NilPerField,
    /// One 0 per argument after the key (SMISMEMBER).
    ZeroPerField,
    /// A plain write is dropped, answered `OK` and counted by whoever drops it.
    DroppedWrite,
}
