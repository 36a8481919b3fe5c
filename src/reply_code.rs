//! Codes of error replies by which a server says that it did not execute a command, for a reason that is its own.
//!
//! One table answers for retries, for [`Error::is_retryable`](crate::Error::is_retryable) and for the greeting. It
//! holds for plain commands only: the reply of a script, and each reply within EXEC's, may begin with any of these
//! words and yet have done something.

/// What a code means as the reply to a plain command, which was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyCode {
    pub(crate) code: &'static str,
    /// The same command may be executed a moment later, by this server or by the one that takes its place.
    pub(crate) is_transient: bool,
}

/// Messages of Redis 7.0's `server.c` (`createSharedObjects`) and `processCommand`.
const TABLE: [ReplyCode; 9] = [
    // The server has become a replica: the name in the configuration will lead to its master.
    transient("READONLY"),
    // It reads its data from disk.
    transient("LOADING"),
    // A replica without its master, and replica-serve-stale-data no.
    transient("MASTERDOWN"),
    // A script or a function runs for longer than busy-reply-threshold.
    transient("BUSY"),
    // A Redis Cluster moves a slot. Not among plain servers, but a proxy may say it.
    transient("TRYAGAIN"),
    // Fewer good replicas than min-replicas-to-write.
    transient("NOREPLICAS"),
    // Above maxmemory: the same write would be refused again.
    lasting("OOM"),
    // Saves fail and stop-writes-on-bgsave-error is on: somebody has to look after the disk.
    lasting("MISCONF"),
    // A Redis Cluster, which keyway does not use.
    lasting("CLUSTERDOWN"),
];

const fn transient(code: &'static str) -> ReplyCode {
    ReplyCode {
        code,
        is_transient: true,
    }
}

const fn lasting(code: &'static str) -> ReplyCode {
    ReplyCode {
        code,
        is_transient: false,
    }
}

/// The row of a code; `None` for codes that say nothing of the kind.
pub(crate) fn of(code: &str) -> Option<ReplyCode> {
    TABLE.into_iter().find(|row| row.code == code)
}

/// Not executed, and worth another try.
pub(crate) fn is_transient(code: &str) -> bool {
    of(code).is_some_and(|row| row.is_transient)
}

/// All rows, for tests that walk them through every use.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = ReplyCode> {
    TABLE.into_iter()
}
