use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::histogram::Histogram;
use super::snapshot::{CommandSnapshot, Failures, ServerSnapshot};

/// Distinct error codes counted by name; a script can invent codes without end.
const ERROR_CODES_MAX: usize = 32;

/// Bytes of the longest error code counted by name.
const ERROR_CODE_BYTES_MAX: usize = 32;

/// Where errors are counted whose code is not counted by name.
const OTHER_CODES: &str = "other";

/// How a command ended that got no reply: the class of the error that its caller got, and how it came to it where that is
/// counted beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) part: Option<Part>,
}

/// The classes of [`ErrorKind`](crate::ErrorKind) with which a command can end that was meant for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    NotSent,
    Unknown,
    ServerDown,
    Refused,
    Closed,
}

/// What is counted beside the class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The deadline passed.
    Timeout,
    /// Too much was queued already, or no connection of one's own was free.
    Full,
    /// The caller dropped its future.
    Dropped,
}

impl Failure {
    #[cfg(test)]
    pub(crate) fn of(class: Class) -> Self {
        Self { class, part: None }
    }

    pub(crate) fn in_part(class: Class, part: Part) -> Self {
        Self {
            class,
            part: Some(part),
        }
    }
}

/// Failures, live.
#[derive(Debug, Default)]
struct FailureCounters {
    classes: [AtomicU64; 5],
    parts: [AtomicU64; 3],
}

impl FailureCounters {
    fn add(&self, failure: Failure) {
        self.classes[failure.class as usize].fetch_add(1, Relaxed);
        if let Some(part) = failure.part {
            self.parts[part as usize].fetch_add(1, Relaxed);
        }
    }

    fn snapshot(&self) -> Failures {
        // The parts first: a failure between the two reads must not make a part larger than its class.
        let part = |part: Part| self.parts[part as usize].load(Relaxed);
        let (timeout, full, dropped) = (part(Part::Timeout), part(Part::Full), part(Part::Dropped));
        let class = |class: Class| self.classes[class as usize].load(Relaxed);
        Failures {
            not_sent: class(Class::NotSent),
            unknown: class(Class::Unknown),
            server_down: class(Class::ServerDown),
            refused: class(Class::Refused),
            closed: class(Class::Closed),
            timeout,
            full,
            dropped,
        }
    }
}

/// One command at one server, live; about 3 KiB, made at the command's first use.
#[derive(Debug, Default)]
struct CommandStats {
    latency: Histogram,
    errors: AtomicU64,
    failures: FailureCounters,
    retries: AtomicU64,
    not_waited_for: AtomicU64,
    cache_misses_answered: AtomicU64,
    cache_writes_dropped: AtomicU64,
}

/// Everything counted about one server, shared by its connections. All adds are relaxed: a snapshot is not one instant, but
/// no count is ever lost.
#[derive(Debug)]
pub(crate) struct ServerStats {
    name: Arc<str>,
    command_name: fn(u16) -> &'static str,
    commands: Box<[OnceLock<Box<CommandStats>>]>,
    /// Behind a lock, because only error replies come here.
    error_codes: Mutex<BTreeMap<Box<str>, u64>>,
    connects: AtomicU64,
    disconnects: AtomicU64,
    /// Connections lost and not yet replaced.
    lost: AtomicU64,
    reconnects: AtomicU64,
    dial_failures: AtomicU64,
    shifts: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
}

impl ServerStats {
    /// `commands` is how many rows there are, `command_name` the name of the row at an index below it.
    pub(crate) fn new(
        name: Arc<str>,
        commands: u16,
        command_name: fn(u16) -> &'static str,
    ) -> Self {
        Self {
            name,
            command_name,
            commands: (0..commands).map(|_| OnceLock::new()).collect(),
            error_codes: Mutex::default(),
            connects: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            dial_failures: AtomicU64::new(0),
            shifts: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
        }
    }

    /// A command outside of the table would be a fault of ours; it is not worth a panic in the connection's task.
    fn command(&self, command: u16) -> Option<&CommandStats> {
        let slot = self.commands.get(usize::from(command));
        debug_assert!(slot.is_some(), "command {command} is not in the table");
        slot.map(|slot| &**slot.get_or_init(Box::default))
    }

    /// A reply arrived, an error reply included, `latency` after the command was queued. The hot path: two relaxed adds
    /// and a load.
    pub(crate) fn reply(
        &self,
        command: u16,
        latency: Duration,
        error: Option<&redis::ServerError>,
    ) {
        let Some(stats) = self.command(command) else {
            return;
        };
        stats.latency.record(latency);
        if let Some(error) = error {
            stats.errors.fetch_add(1, Relaxed);
            self.error_code(error.code());
        }
    }

    #[cold]
    fn error_code(&self, code: &str) {
        // Only what looks like a code: the first word of a script's error can be anything, a customer's data included.
        let is_code = (1..=ERROR_CODE_BYTES_MAX).contains(&code.len())
            && code
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let code = if is_code { code } else { OTHER_CODES };
        let mut codes = self.error_codes.lock();
        let code = if codes.len() < ERROR_CODES_MAX || codes.contains_key(code) {
            code
        } else {
            OTHER_CODES
        };
        match codes.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                codes.insert(code.into(), 1);
            }
        }
    }

    /// A command ended without a reply.
    pub(crate) fn failure(&self, command: u16, failure: Failure) {
        if let Some(stats) = self.command(command) {
            stats.failures.add(failure);
        }
    }

    /// An attempt is made that is not the first of its call.
    pub(crate) fn retried(&self, command: u16) {
        if let Some(stats) = self.command(command) {
            stats.retries.fetch_add(1, Relaxed);
        }
    }

    /// It was queued, and its caller does not want the reply.
    pub(crate) fn not_waited_for(&self, command: u16) {
        if let Some(stats) = self.command(command) {
            stats.not_waited_for.fetch_add(1, Relaxed);
        }
    }

    /// In cache mode: the server is down, and a read was answered as a miss.
    pub(crate) fn cache_miss_answered(&self, command: u16) {
        if let Some(stats) = self.command(command) {
            stats.cache_misses_answered.fetch_add(1, Relaxed);
        }
    }

    /// In cache mode: the server is down, and a write was dropped.
    pub(crate) fn cache_write_dropped(&self, command: u16) {
        if let Some(stats) = self.command(command) {
            stats.cache_writes_dropped.fetch_add(1, Relaxed);
        }
    }

    /// A connection is ready for commands.
    pub(crate) fn connected(&self) {
        self.connects.fetch_add(1, Relaxed);
        let replaced = self
            .lost
            .fetch_update(Relaxed, Relaxed, |lost| lost.checked_sub(1));
        if replaced.is_ok() {
            self.reconnects.fetch_add(1, Relaxed);
        }
    }

    /// A connection that was ready is lost. Not for one that was closed on purpose.
    pub(crate) fn disconnected(&self) {
        self.disconnects.fetch_add(1, Relaxed);
        self.lost.fetch_add(1, Relaxed);
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A connection's replies did not match its commands any more.
    pub(crate) fn shifted(&self) {
        self.shifts.fetch_add(1, Relaxed);
    }

    /// A dial, or its handshake, failed.
    pub(crate) fn dial_failed(&self) {
        self.dial_failures.fetch_add(1, Relaxed);
    }

    /// Bytes that the socket accepted.
    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes that were read.
    pub(crate) fn received(&self, bytes: usize) {
        self.bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    #[cfg(test)]
    pub(super) fn commands_in_use(&self) -> usize {
        self.commands
            .iter()
            .filter(|slot| slot.get().is_some())
            .count()
    }

    /// The counts now; `in_flight` is known by the outboxes. Commands that were never used are left out. Costs about a microsecond per command in use.
    pub(crate) fn snapshot(&self, in_flight: u64) -> ServerSnapshot {
        let commands: Vec<CommandSnapshot> = (0u16..)
            .zip(&self.commands)
            .filter_map(|(index, slot)| {
                let stats = slot.get()?;
                let latency = stats.latency.snapshot();
                let failures = stats.failures.snapshot();
                Some(CommandSnapshot {
                    name: (self.command_name)(index).to_owned(),
                    calls: latency.count + failures.total(),
                    errors: stats.errors.load(Relaxed),
                    failures,
                    retries: stats.retries.load(Relaxed),
                    not_waited_for: stats.not_waited_for.load(Relaxed),
                    cache_misses_answered: stats.cache_misses_answered.load(Relaxed),
                    cache_writes_dropped: stats.cache_writes_dropped.load(Relaxed),
                    latency,
                })
            })
            .collect();
        let errors = self
            .error_codes
            .lock()
            .iter()
            .map(|(code, count)| (code.to_string(), *count))
            .collect();
        ServerSnapshot {
            name: self.name.to_string(),
            errors,
            reconnects: self.reconnects.load(Relaxed),
            connects: self.connects.load(Relaxed),
            disconnects: self.disconnects.load(Relaxed),
            dial_failures: self.dial_failures.load(Relaxed),
            shifts: self.shifts.load(Relaxed),
            in_flight,
            bytes_sent: self.bytes_sent.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            ..ServerSnapshot::of_commands(commands)
        }
    }
}
