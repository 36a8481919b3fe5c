//! What the workers report: each write with what its caller was told, and what was wrong at once.

use serde::{Deserialize, Serialize};

/// What a caller was told about one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fate {
    /// Acknowledged: it was executed once.
    Done,
    /// Not executed: `NotSent`, `ServerDown`, or an error by which a server says so.
    Never,
    /// `Unknown`, or the future was dropped: it was executed at most once.
    Perhaps,
}

/// The generations of the map that a command may have been routed by: the last one whose reload had
/// returned when the command began, to the last one whose reload had begun when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// One command of a worker, or one part of a transaction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Unique. What is written is the id itself, so the servers show who wrote it.
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) deed: Deed,
    pub(crate) fate: Fate,
    pub(crate) window: Window,
    /// When it ended, in milliseconds of the round.
    pub(crate) at_ms: u64,
    /// The call that it belongs to, for reports.
    pub(crate) call: String,
}

/// What a record did, with what the reply said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deed {
    /// Adds its id to the value of the key. `place`: where the reply says that it is, from 0.
    Write { place: Option<i64>, part: Part },
    /// Adds 1 to a counter. `value`: the reply.
    Count { value: Option<i64> },
    /// Adds its id to a queue.
    Push,
    /// Takes an id from a queue: which one, or none.
    Take { taken: Option<String> },
}

/// All or nothing: the parts of one transaction have the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Not in a transaction.
    Alone,
    /// In a transaction.
    Plain,
    /// A script in a transaction. The server may not know it, and executes the other parts all the
    /// same.
    Script,
}

/// A promise that was broken.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    /// The operation: what was called, by whom.
    pub(crate) operation: String,
    pub(crate) expected: String,
    pub(crate) seen: String,
    /// When the operation ended, in milliseconds of the round; `None`: it concerns the whole of it.
    pub(crate) at_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Acknowledged, and not there.
    Lost,
    /// Executed more than once.
    Doubled,
    /// Its caller was told that it was not executed, and it was.
    RanAnyway,
    /// A reply that is not this caller's.
    WrongReply,
    /// Executed on a server that no map in force gives the key to.
    WrongServer,
    /// A part of a transaction was executed and another was not.
    Torn,
    /// On a server, and nobody wrote it there.
    Foreign,
    /// An error that no fault explains.
    UnexpectedError,
    /// A command without a name was answered.
    EmptyAnswered,
    /// keyway itself has noticed that replies went to other callers, or believes so.
    Shifted,
    /// A call did not end long after its deadline.
    NeverEnded,
    /// All faults are healed, and a server is still not reached.
    Unreachable,
    /// A transaction does not find a script whose body keyway was given before.
    ScriptMissing,
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) operations: u64,
    /// Reads and writes that were answered.
    pub(crate) acknowledged: u64,
    pub(crate) not_sent: u64,
    pub(crate) unknown: u64,
    /// Futures that were dropped before their end.
    pub(crate) dropped: u64,
    pub(crate) reloads: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, other: Totals) {
        self.operations += other.operations;
        self.acknowledged += other.acknowledged;
        self.not_sent += other.not_sent;
        self.unknown += other.unknown;
        self.dropped += other.dropped;
        self.reloads += other.reloads;
    }
}

/// A line that a worker writes for the coordinator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum FromWorker {
    Ready,
    /// The workload has ended.
    Idle,
    Violation(Violation),
    /// So far; replaces the last one.
    Progress(Totals),
    /// After the end of the workload.
    Record(Record),
    Finished,
}

/// A line that the coordinator writes for a worker.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum ToWorker {
    /// Reload to the map of this generation.
    Reload(u32),
    /// The faults are healed: end the workload.
    Stop,
    /// Scripts were flushed once more: look whether all servers are reached, and report.
    Report,
}

/// How a worker is started: its only argument, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorkerOrder {
    pub(crate) index: usize,
    pub(crate) seed: u64,
    pub(crate) tasks: usize,
    /// Of the fault proxies.
    pub(crate) ports: Vec<u16>,
    /// Of the servers themselves.
    pub(crate) direct_ports: Vec<u16>,
    /// The round's beginning, in milliseconds of the Unix epoch.
    pub(crate) began_ms: u64,
}
