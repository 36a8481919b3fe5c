use crate::stats::{Class, Failure, Part};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why an attempt or a connection came to nothing. Cheap to clone: one dead connection tells all its waiters.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// Reading or writing failed.
    Io(Arc<io::Error>),
    /// The server closed the connection.
    ClosedByServer,
    /// Work was outstanding and not a byte came for `timeouts.dead`.
    Silent(Duration),
    /// The server sent a reply that nobody asked for, or of an impossible shape.
    Protocol(Arc<str>),
    /// The reply to this very command cannot be read: no RESP, or larger than `limits.reply_bytes_max`.
    Unreadable(Arc<str>),
    /// The connection had to be closed over the reply to another command.
    Poisoned(Arc<str>),
    /// Replies went to the wrong callers.
    Shifted,
    /// The caller's deadline passed.
    Deadline,
    /// The connection was busy to its bound until the deadline.
    NoRoom,
    /// All dedicated connections were in use until the deadline.
    NoLease(u16),
    /// The server could not be reached, or refused us; callers are told at once until a dial succeeds.
    Down(Arc<str>),
    /// The server runs a script and answers nothing else until it ends.
    Busy(Arc<str>),
    /// MULTI was refused, so that the commands of a transaction ran one by one.
    NoTransaction(Arc<str>),
    /// The node's state does not let it through, or its server is no more.
    Refused(Arc<str>),
    /// The runtime that owns the connections is gone.
    RuntimeGone,
    /// `close()` was called.
    Closed,
    /// The node of this leased connection has moved to another server.
    NodeMoved,
    /// A request of no arguments, to which no server replies.
    Empty,
    /// The connection was given up on purpose, for the reason named.
    Dropped(&'static str),
}

impl Cause {
    /// The connection was lost, as opposed to given up on purpose.
    pub(crate) fn is_loss(&self) -> bool {
        match self {
            Cause::Io(_)
            | Cause::ClosedByServer
            | Cause::Silent(_)
            | Cause::Protocol(_)
            | Cause::Shifted
            | Cause::Unreadable(_)
            | Cause::Poisoned(_) => true,
            Cause::Deadline
            | Cause::NoRoom
            | Cause::NoLease(_)
            | Cause::Down(_)
            | Cause::Busy(_)
            | Cause::NoTransaction(_)
            | Cause::Refused(_)
            | Cause::RuntimeGone
            | Cause::Closed
            | Cause::NodeMoved
            | Cause::Empty
            | Cause::Dropped(_) => false,
        }
    }
}

impl Cause {
    /// As what a command counts that ended so. `may_have_run`: it was written, now or at an earlier attempt.
    pub(crate) fn failure(&self, may_have_run: bool) -> Failure {
        let class = match self {
            _ if may_have_run => Class::Unknown,
            Cause::Down(_) => Class::ServerDown,
            Cause::Refused(_) | Cause::Empty => Class::Refused,
            Cause::Closed | Cause::RuntimeGone => Class::Closed,
            _ => Class::NotSent,
        };
        let part = match self {
            Cause::Deadline => Some(Part::Timeout),
            Cause::NoRoom | Cause::NoLease(_) if !may_have_run => Some(Part::Full),
            _ => None,
        };
        Failure { class, part }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Io(error) => write!(f, "{error}"),
            Cause::ClosedByServer => f.write_str("the server closed the connection"),
            Cause::Silent(quiet) => write!(f, "no byte from the server for {quiet:?} with work outstanding"),
            Cause::Protocol(what) => write!(f, "the server broke the protocol: {what}"),
            Cause::Unreadable(what) => write!(f, "the reply cannot be read: {what}"),
            Cause::Poisoned(what) => write!(f, "the connection was closed over the reply to another command: {what}"),
            Cause::Shifted => f.write_str(
                "the server's replies did not match the commands any more, so the connection was closed; callers shortly before may have had others' replies",
            ),
            Cause::Deadline => f.write_str("the deadline passed"),
            Cause::NoRoom => f.write_str("the connection was busy to its bound until the deadline"),
            Cause::NoLease(most) => write!(
                f,
                "all {most} dedicated connections (pool.dedicated_max) were in use until the deadline"
            ),
            Cause::NoTransaction(why) => write!(
                f,
                "MULTI was refused, so that the commands did not run as one transaction but one by one: {why}"
            ),
            Cause::Down(why) | Cause::Busy(why) | Cause::Refused(why) => f.write_str(why),
            Cause::RuntimeGone => f.write_str(
                "the tokio runtime that owns this cluster's connections has been shut down; connect again on a running one",
            ),
            Cause::Closed => f.write_str("the cluster has been closed"),
            Cause::NodeMoved => f.write_str("the node of this connection has moved to another server"),
            Cause::Empty => f.write_str("empty command"),
            Cause::Dropped(why) => f.write_str(why),
        }
    }
}
