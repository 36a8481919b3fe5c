//! Measuring on a live cluster what the model of moves has to be told: [`Pace`].

use crate::config::Config;
use crate::connection::Probe;
use crate::inspect::{self, Answer, Facts};
use crate::plan::Pace;
use crate::sampling::{COUNT, Walk, is_reserved, understand};
use crate::topology::ServerId;
use redis::{Cmd, Value, cmd};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// No single measurement takes longer than this and one question.
const MEASURE: Duration = Duration::from_millis(500);
/// What goes over the wire and back to measure it.
const ECHO_BYTES: usize = 1 << 20;
const ECHOS_MAX: usize = 16;
/// Keys whose values are read, at most, and what each and all of them may take.
const READ_KEYS_MAX: usize = 2_000;
const READ_KEY_BYTES_MAX: u64 = 64 << 10;
const READ_BYTES_MAX: u64 = 8 << 20;
/// Commands in one pipeline.
const PIPELINE: usize = 100;
/// Fewer connections than this, and a CLIENT LIST takes no longer than its round trip.
const CONNECTIONS_MIN: u64 = 64;
/// What must be free of a server's memory limit before anything is written to it: eight times what is written.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// What is written goes away by itself after this, whatever becomes of us.
const WRITTEN_MS: u64 = 60_000;

/// What a calibration may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CalibrateOptions {
    /// Bound on each dial and on each question to a server. Default 5 s.
    pub timeout: Duration,
    /// A server to write to: at most 2,000 copies of sampled values, 8 MiB together, under `keyway:calibrate:<random>:`, which are removed at
    /// once, also on error, and have a time to live of a minute in case that this process dies. Default: none, and nothing is written.
    pub write_to: Option<String>,
}

impl Default for CalibrateOptions {
    fn default() -> CalibrateOptions {
        CalibrateOptions {
            timeout: Duration::from_secs(5),
            write_to: None,
        }
    }
}

/// A pace, and how it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Calibration {
    /// The cluster's name.
    pub cluster: String,
    /// What was measured, and the defaults for what was not.
    pub pace: Pace,
    /// Where each figure of it comes from, in the order of [`Pace`]'s fields.
    pub figures: Vec<Figure>,
    /// What was measured on each server.
    pub servers: Vec<ServerPace>,
}

/// One field of a pace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figure {
    /// Its name in [`Pace`]; what is in `load` as `load.purge`.
    pub field: String,
    /// Whether it was measured here; else it is the default.
    pub is_measured: bool,
    /// How it was measured, or why not.
    pub how: String,
}

/// What was measured on one server; `None`: it could not be, or was not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerPace {
    /// Its name.
    pub server: String,
    /// Why there is nothing, or not all.
    pub failure: Option<String>,
    /// Median of nine PINGs, in microseconds.
    pub round_trip_us: Option<u64>,
    /// What the wire carries one way, in bytes per second: by ECHO of 1 MiB, up and down again.
    pub wire_bytes_per_s: Option<u64>,
    /// Keys that SCAN passes, per second.
    pub scan_keys_per_s: Option<u64>,
    /// Keys that are read as a mover does, DUMP and PTTL in pipelines of 100, per second.
    pub read_keys_per_s: Option<u64>,
    /// Keys that are installed, RESTORE in pipelines of 100, per second.
    pub install_keys_per_s: Option<u64>,
    /// Keys that are removed, UNLINK in pipelines of 100, per second.
    pub remove_keys_per_s: Option<u64>,
    /// Connections of clients, ours not counted.
    pub connections: Option<u64>,
    /// Median of five CLIENT LISTs, in microseconds.
    pub client_list_us: Option<u64>,
    /// Commands in the last second or so, before we began.
    pub commands_per_s: Option<u64>,
    /// What clients send, reads included, in bytes per second, before we began.
    pub input_bytes_per_s: Option<u64>,
    /// `repl-diskless-sync-delay` in milliseconds; 0 where synchronizations go by way of the disk.
    pub sync_delay_ms: Option<u64>,
}

/// Why there is no calibration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// [`CalibrateOptions::write_to`] names no server.
    #[error("there is no server {name}: the file has {known}")]
    UnknownServer {
        /// What was asked for.
        name: String,
        /// The servers that there are.
        known: String,
    },
    /// Every server failed.
    #[error("no server could be measured: {server}: {why}")]
    NoServer {
        /// The first of them.
        server: String,
        /// What went wrong there.
        why: String,
    },
}

/// Measures one server after the other, so that they do not disturb each other; about 3 s each, and at most 16 MiB up, 24 MiB down.
///
/// By default nothing is written. Reading values for a move is measured by DUMP, which counts as an access for eviction: of at most 2,000 keys
/// per server, of at most 64 KiB each and 8 MiB together. No key is read that MEMORY USAGE has not said to be small.
///
/// Of the servers' figures the slowest goes into the pace. A server that fails is told and does not stop the others.
///
/// # Errors
/// [`CalibrateError`]: nothing was measured.
pub async fn calibrate(
    config: &Config,
    options: &CalibrateOptions,
) -> Result<Calibration, CalibrateError> {
    let topology = config.topology();
    let write_to = match &options.write_to {
        None => None,
        Some(name) => Some(topology.server_by_name(name).ok_or_else(|| {
            let names: Vec<&str> = topology
                .servers()
                .map(|id| &**topology.server_name(id))
                .collect();
            CalibrateError::UnknownServer {
                name: name.clone(),
                known: names.join(", "),
            }
        })?),
    };
    let mut servers = Vec::new();
    let mut dumps = Vec::new();
    for id in topology.servers() {
        let mut measuring = Measuring::new(topology.server_name(id));
        if let Err(why) = measuring.read(config, id, options.timeout).await {
            measuring.pace.failure = Some(why);
        }
        // The server that is written to gets what the others have, and if it alone has keys, its own.
        if dumps.is_empty() || (write_to != Some(id) && !measuring.dumps.is_empty()) {
            dumps = measuring.dumps;
        }
        servers.push(measuring.pace);
    }
    if let Some(id) = write_to
        && servers[id.index()].failure.is_none()
        && let Err(why) = write(
            config,
            id,
            options.timeout,
            &dumps,
            &mut servers[id.index()],
        )
        .await
    {
        servers[id.index()].failure = Some(why);
    }
    let measured = |server: &ServerPace| server.round_trip_us.is_some();
    if !servers.iter().any(measured) {
        let first = servers.first();
        return Err(CalibrateError::NoServer {
            server: first.map_or_else(String::new, |server| server.server.clone()),
            why: first
                .and_then(|server| server.failure.clone())
                .unwrap_or_else(|| "our user may not PING".to_owned()),
        });
    }
    let (pace, figures) = judged(&servers, options.write_to.as_deref());
    Ok(Calibration {
        cluster: config.name().to_owned(),
        pace,
        figures,
        servers,
    })
}

impl Calibration {
    /// The servers that could not be measured, or not in full, with the reason.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.servers
            .iter()
            .filter_map(|server| Some((&*server.server, server.failure.as_deref()?)))
    }

    /// The table `[pace]` of a scenario, with where each figure comes from as comments.
    pub fn to_toml(&self) -> String {
        let mut text = format!("# Measured on {}.\n", self.cluster);
        for (server, why) in self.failures() {
            // One line, whatever a server says.
            let why: String = why.chars().filter(|c| !c.is_control()).collect();
            let _ = writeln!(text, "# {server} is not in it, or not in full: {why}");
        }
        text.push_str("[pace]\n");
        let pace = &self.pace;
        for figure in &self.figures {
            let value = match &*figure.field {
                "copy_bytes_per_s" => pace.copy_bytes_per_s.to_string(),
                "write_bytes_per_s" => pace.write_bytes_per_s.to_string(),
                "sync_delay_ms" => pace.sync_delay_ms.to_string(),
                "install_keys_per_s" => pace.install_keys_per_s.to_string(),
                "scan_keys_per_s" => pace.scan_keys_per_s.to_string(),
                "remove_keys_per_s" => pace.remove_keys_per_s.to_string(),
                "round_trip_us" => pace.round_trip_us.to_string(),
                "connections" => pace.connections.to_string(),
                "client_list_ns_per_connection" => pace.client_list_ns_per_connection.to_string(),
                "split_work_us" => pace.split_work_us.to_string(),
                "migrate_work_us" => pace.migrate_work_us.to_string(),
                "commands_per_s_max" => pace.commands_per_s_max.to_string(),
                _ => format!(
                    "{{ copy_source = {:?}, copy_destination = {:?}, install_source = {:?}, install_destination = {:?}, purge = {:?} }}",
                    pace.load.copy_source,
                    pace.load.copy_destination,
                    pace.load.install_source,
                    pace.load.install_destination,
                    pace.load.purge
                ),
            };
            let basis = match figure.is_measured {
                true => "measured",
                false => "assumed",
            };
            let _ = writeln!(
                text,
                "# {basis}: {}\n{} = {value}",
                figure.how, figure.field
            );
        }
        text
    }
}

/// The slowest of what was measured, and the defaults.
fn judged(servers: &[ServerPace], write_to: Option<&str>) -> (Pace, Vec<Figure>) {
    let least = |of: fn(&ServerPace) -> Option<u64>| servers.iter().filter_map(of).min();
    let most = |of: fn(&ServerPace) -> Option<u64>| servers.iter().filter_map(of).max();
    let mut pace = Pace::default();
    let mut figures = Vec::new();
    let mut say = |field: &str, is_measured: bool, how: String| {
        figures.push(Figure {
            field: field.to_owned(),
            is_measured,
            how,
        });
    };
    let written = |field: &str| match write_to {
        Some(server) => format!("{field} on {server} failed; the default"),
        None => "the default: measuring it takes writes, see --write-to".to_owned(),
    };

    let wire = least(|server| server.wire_bytes_per_s);
    match wire.filter(|&wire| wire < pace.copy_bytes_per_s) {
        Some(wire) => {
            pace.copy_bytes_per_s = wire.max(1);
            let how = "what the slowest wire carries one way, by ECHO of 1 MiB from here: less than a server's snapshot is assumed to";
            say("copy_bytes_per_s", true, how.to_owned());
        }
        None => {
            let wire = wire.map_or("could not be measured".to_owned(), |wire| {
                format!("carries {wire} B/s, by ECHO of 1 MiB from here, so it is not what limits")
            });
            let how = format!("the default for a server's snapshot; the wire {wire}");
            say("copy_bytes_per_s", false, how);
        }
    }
    match most(|server| server.input_bytes_per_s) {
        Some(input) => {
            pace.write_bytes_per_s = input.min(pace.copy_bytes_per_s - 1);
            let how = "all that clients send to the busiest server, reads included: at most so much is writes";
            say("write_bytes_per_s", true, how.to_owned());
        }
        None => say("write_bytes_per_s", false, "INFO does not say".to_owned()),
    }
    match most(|server| server.sync_delay_ms) {
        Some(delay) => {
            pace.sync_delay_ms = delay.min(3_600_000);
            let how = "repl-diskless-sync-delay of the servers, the longest; 0 where repl-diskless-sync is off";
            say("sync_delay_ms", true, how.to_owned());
        }
        None => say(
            "sync_delay_ms",
            false,
            "the default of Redis 7: our user may not CONFIG GET".to_owned(),
        ),
    }
    let read = least(|server| server.read_keys_per_s);
    let install = least(|server| server.install_keys_per_s);
    match (read, install) {
        (Some(read), Some(install)) => {
            pace.install_keys_per_s = one_after_another(read, install);
            let how = format!(
                "read on the slowest server at {read} keys/s (DUMP and PTTL), then installed at {install} keys/s (RESTORE), one after the other"
            );
            say("install_keys_per_s", true, how);
        }
        (Some(read), None) if read < pace.install_keys_per_s => {
            pace.install_keys_per_s = read.max(1);
            let how = format!(
                "reading alone (DUMP and PTTL) makes {read} keys/s on the slowest server; with installing it is less"
            );
            say("install_keys_per_s", true, how);
        }
        (read, _) => {
            let read = read.map_or("could not be measured".to_owned(), |read| {
                format!("makes {read} keys/s (DUMP and PTTL)")
            });
            let how = format!("{}; reading {read}", written("RESTORE"));
            say("install_keys_per_s", false, how);
        }
    }
    match least(|server| server.scan_keys_per_s) {
        Some(scan) => {
            pace.scan_keys_per_s = scan.max(1);
            let how = format!("SCAN of {COUNT} at a time on the slowest server");
            say("scan_keys_per_s", true, how);
        }
        None => say("scan_keys_per_s", false, "too few keys to tell".to_owned()),
    }
    match least(|server| server.remove_keys_per_s) {
        Some(remove) => {
            pace.remove_keys_per_s = remove.max(1);
            let how = format!("UNLINK in pipelines of {PIPELINE}");
            say("remove_keys_per_s", true, how);
        }
        None => say("remove_keys_per_s", false, written("UNLINK")),
    }
    match most(|server| server.round_trip_us) {
        Some(round_trip) => {
            pace.round_trip_us = round_trip.clamp(1, 10_000_000);
            let how = "median of nine PINGs from here, of the farthest server";
            say("round_trip_us", true, how.to_owned());
        }
        None => say("round_trip_us", false, "our user may not PING".to_owned()),
    }
    match most(|server| server.connections) {
        Some(connections) => {
            pace.connections = connections.min(1_000_000);
            let how = "of all clients, on the server with the most, ours not counted";
            say("connections", true, how.to_owned());
        }
        None => say("connections", false, "INFO does not say".to_owned()),
    }
    let per_connection = servers
        .iter()
        .filter_map(|server| {
            let (list, ping) = (server.client_list_us?, server.round_trip_us?);
            let connections = server.connections?;
            (connections >= CONNECTIONS_MIN)
                .then(|| list.saturating_sub(ping).saturating_mul(1_000) / connections)
        })
        .max();
    match per_connection {
        Some(nanoseconds) => {
            pace.client_list_ns_per_connection = nanoseconds.min(1_000_000);
            let how = "median of five CLIENT LISTs without a round trip, over the connections";
            say("client_list_ns_per_connection", true, how.to_owned());
        }
        None => say(
            "client_list_ns_per_connection",
            false,
            format!(
                "no server has {CONNECTIONS_MIN} connections that it would show on, or our user may not CLIENT LIST"
            ),
        ),
    }
    for field in ["split_work_us", "migrate_work_us"] {
        let how = "only a move would tell; what a prototype on loopback took";
        say(field, false, how.to_owned());
    }
    let now = most(|server| server.commands_per_s);
    match now.filter(|&now| now > pace.commands_per_s_max) {
        Some(now) => {
            pace.commands_per_s_max = now;
            let how = "what the busiest server does now, which is more than the default";
            say("commands_per_s_max", true, how.to_owned());
        }
        None => {
            let now = now.map_or("does not say".to_owned(), |now| format!("does {now} now"));
            let how = format!("measuring it would take all that a server can; the busiest {now}");
            say("commands_per_s_max", false, how);
        }
    }
    let how = "only a move would tell; fractions of a server's one thread";
    say("load", false, how.to_owned());
    (pace, figures)
}

/// Rates of two things that each key goes through in turn.
fn one_after_another(a: u64, b: u64) -> u64 {
    let seconds = 1.0 / a.max(1) as f64 + 1.0 / b.max(1) as f64;
    ((1.0 / seconds) as u64).max(1)
}

/// A value as DUMP gives it.
type Dump = Vec<u8>;

struct Measuring {
    pace: ServerPace,
    dumps: Vec<Dump>,
}

impl Measuring {
    fn new(server: &str) -> Measuring {
        Measuring {
            pace: ServerPace {
                server: server.to_owned(),
                ..ServerPace::default()
            },
            dumps: Vec::new(),
        }
    }

    async fn read(
        &mut self,
        config: &Config,
        id: ServerId,
        timeout: Duration,
    ) -> Result<(), String> {
        let (state, probe) = inspect::look(config, id, timeout).await;
        let facts = match state.answer {
            Answer::Reached(facts) => facts,
            Answer::Refused { cause } | Answer::Unreachable { cause } => return Err(cause),
        };
        let mut probe = probe.ok_or("there is no connection to it")?;
        self.take_facts(&facts);
        self.settings(&mut probe).await?;
        self.client_list(&mut probe).await?;
        self.wire(&mut probe).await?;
        let keys = self.scan(&mut probe).await?;
        self.values(&mut probe, &keys).await
    }

    fn take_facts(&mut self, facts: &Facts) {
        self.pace.round_trip_us = facts.ping_us;
        self.pace.connections = facts.clients.map(|clients| clients.saturating_sub(1));
        self.pace.commands_per_s = facts.commands_per_s;
        self.pace.input_bytes_per_s = facts.input_bytes_per_s;
    }

    async fn settings(&mut self, probe: &mut Probe) -> Result<(), String> {
        let get = |name: &str| cmd("CONFIG").arg("GET").arg(name).to_owned();
        let replies = ask(
            probe,
            &[get("repl-diskless-sync"), get("repl-diskless-sync-delay")],
        )
        .await?;
        let mut values = replies.into_iter().map(|reply| {
            // [name, value]; an error reply when the user may not ask.
            let pair: Option<Vec<String>> = understand(Some(reply)).ok();
            pair.and_then(|pair| pair.into_iter().nth(1))
        });
        let (diskless, delay) = (values.next().flatten(), values.next().flatten());
        self.pace.sync_delay_ms = match diskless.as_deref() {
            Some("no") => Some(0),
            Some(_) => delay
                .and_then(|delay| delay.parse::<u64>().ok())
                .map(|seconds| seconds.saturating_mul(1_000)),
            None => None,
        };
        Ok(())
    }

    async fn client_list(&mut self, probe: &mut Probe) -> Result<(), String> {
        let mut times = Vec::new();
        for _ in 0..5 {
            let asked = Instant::now();
            let list = cmd("CLIENT").arg("LIST").to_owned();
            let replies = ask(probe, &[list]).await?;
            if matches!(replies[..], [Value::ServerError(_)]) {
                return Ok(());
            }
            times.push(asked.elapsed());
        }
        times.sort_unstable();
        self.pace.client_list_us = u64::try_from(times[times.len() / 2].as_micros()).ok();
        Ok(())
    }

    /// ECHO goes up whole before it comes down: the wire is used one way at a time.
    async fn wire(&mut self, probe: &mut Probe) -> Result<(), String> {
        let echo = [cmd("ECHO").arg(vec![b'x'; ECHO_BYTES]).to_owned()];
        let (begin, mut echos) = (Instant::now(), 0);
        while echos < ECHOS_MAX && begin.elapsed() < MEASURE {
            if let [Value::ServerError(_)] = ask(probe, &echo).await?[..] {
                return Ok(());
            }
            echos += 1;
        }
        self.pace.wire_bytes_per_s = rate(2 * echos * ECHO_BYTES, begin.elapsed());
        Ok(())
    }

    /// How fast SCAN is, and the keys that it met, as many as may be read.
    async fn scan(&mut self, probe: &mut Probe) -> Result<Vec<Vec<u8>>, String> {
        let replies = ask(probe, &[cmd("DBSIZE")]).await?;
        let total: u64 = understand(replies.into_iter().next())?;
        let mut walk = Walk::sample(total, 200_000);
        let mut keys: Vec<Vec<u8>> = Vec::new();
        let (begin, mut met) = (Instant::now(), 0);
        while let Some(scan) = walk.question()
            && begin.elapsed() < MEASURE
        {
            let fresh = walk.take(ask(probe, &[scan]).await?.into_iter().next())?;
            met += fresh.len();
            if keys.len() < READ_KEYS_MAX {
                keys.extend(fresh.into_iter().filter(|key| !is_reserved(key)));
            }
        }
        // One answer tells the round trip, not the pace.
        if met >= 4 * COUNT {
            self.pace.scan_keys_per_s = rate(met, begin.elapsed());
        }
        keys.truncate(READ_KEYS_MAX);
        Ok(keys)
    }

    /// Reads values as a mover does. Only of keys that are small: a DUMP of a giant would stop everybody.
    async fn values(&mut self, probe: &mut Probe, keys: &[Vec<u8>]) -> Result<(), String> {
        let small = small(probe, keys).await?;
        let (begin, mut bytes) = (Instant::now(), 0);
        for piece in small.chunks(PIPELINE) {
            if begin.elapsed() >= MEASURE {
                break;
            }
            let questions: Vec<Cmd> = piece
                .iter()
                .flat_map(|key| ["DUMP", "PTTL"].map(|name| cmd(name).arg(key).to_owned()))
                .collect();
            for reply in ask(probe, &questions).await? {
                match reply {
                    Value::BulkString(dump) => {
                        bytes += dump.len();
                        self.dumps.push(dump);
                    }
                    // The user may not: it stays unknown.
                    Value::ServerError(_) => return Ok(()),
                    _ => {}
                }
            }
        }
        if self.dumps.len() >= PIPELINE {
            self.pace.read_keys_per_s = rate(self.dumps.len(), begin.elapsed());
        }
        debug_assert!(bytes as u64 <= 2 * READ_BYTES_MAX, "{bytes}");
        Ok(())
    }
}

/// Those of the keys that are small, as many as may be read.
async fn small<'k>(probe: &mut Probe, keys: &'k [Vec<u8>]) -> Result<Vec<&'k [u8]>, String> {
    let (mut small, mut bytes) = (Vec::new(), 0);
    for piece in keys.chunks(PIPELINE) {
        let questions: Vec<Cmd> = piece
            .iter()
            .map(|key| cmd("MEMORY").arg("USAGE").arg(key).to_owned())
            .collect();
        let replies = ask(probe, &questions).await?;
        for (key, reply) in piece.iter().zip(replies) {
            // Without an answer a key may be a giant, so it is left alone.
            if let Ok(Some(size)) = understand::<Option<u64>>(Some(reply))
                && size <= READ_KEY_BYTES_MAX
                && bytes + size <= READ_BYTES_MAX
            {
                bytes += size;
                small.push(&**key);
            }
        }
    }
    Ok(small)
}

/// Writes the copies, removes them, and measures both.
async fn write(
    config: &Config,
    id: ServerId,
    timeout: Duration,
    dumps: &[Dump],
    pace: &mut ServerPace,
) -> Result<(), String> {
    let (state, probe) = inspect::look(config, id, timeout).await;
    let (Answer::Reached(facts), Some(mut probe)) = (state.answer, probe) else {
        return Err("it cannot be reached any more".to_owned());
    };
    if dumps.len() < PIPELINE {
        return Err(format!(
            "nothing was written: there are {} values to copy, and it takes {PIPELINE}",
            dumps.len()
        ));
    }
    may_write(&facts)?;
    let names: Vec<String> = {
        let run = fastrand::u64(..);
        (0..dumps.len())
            .map(|i| format!("keyway:calibrate:{run:016x}:{i}"))
            .collect()
    };
    let installed = install(&mut probe, &names, dumps).await;
    let removed = match remove(&mut probe, &names).await {
        Ok(removed) => Ok(removed),
        // The connection may be what broke.
        Err(first) => match inspect::look(config, id, timeout).await {
            (_, Some(mut probe)) => remove(&mut probe, &names).await.map(|_| None),
            _ => Err(first),
        },
    };
    let removed = removed.map_err(|why| {
        format!(
            "what was written under keyway:calibrate: could not be removed ({why}); it goes away by itself within a minute"
        )
    })?;
    pace.install_keys_per_s = installed?;
    pace.remove_keys_per_s = removed;
    Ok(())
}

/// Whether a few MiB do no harm there.
fn may_write(facts: &Facts) -> Result<(), String> {
    if facts.role.as_deref() != Some("master") {
        return Err("nothing was written: it is a replica, or does not say what it is".to_owned());
    }
    let (used, limit) = (facts.memory_bytes, facts.memory_bytes_max);
    match (used, limit) {
        (_, Some(0)) => Ok(()),
        (Some(used), Some(limit)) if used.saturating_add(FREE_BYTES_MIN) <= limit => Ok(()),
        _ => Err(format!(
            "nothing was written: less than {FREE_BYTES_MIN} B of its memory limit are free, or it does not say; keys could be evicted"
        )),
    }
}

async fn install(
    probe: &mut Probe,
    names: &[String],
    dumps: &[Dump],
) -> Result<Option<u64>, String> {
    let begin = Instant::now();
    let mut installed = 0;
    for (names, dumps) in names.chunks(PIPELINE).zip(dumps.chunks(PIPELINE)) {
        if begin.elapsed() >= MEASURE {
            break;
        }
        let restores: Vec<Cmd> = names
            .iter()
            .zip(dumps)
            .map(|(name, dump)| {
                let mut restore = cmd("RESTORE");
                restore.arg(name).arg(WRITTEN_MS).arg(dump);
                restore
            })
            .collect();
        for reply in ask(probe, &restores).await? {
            understand::<()>(Some(reply)).map_err(|why| format!("RESTORE: {why}"))?;
            installed += 1;
        }
    }
    Ok(rate(installed, begin.elapsed()))
}

/// Tries all of them, whatever becomes of one.
async fn remove(probe: &mut Probe, names: &[String]) -> Result<Option<u64>, String> {
    let begin = Instant::now();
    let (mut removed, mut failure) = (0, None);
    for names in names.chunks(PIPELINE) {
        let unlinks: Vec<Cmd> = names
            .iter()
            .map(|name| cmd("UNLINK").arg(name).to_owned())
            .collect();
        for reply in ask(probe, &unlinks).await? {
            match understand::<usize>(Some(reply)) {
                Ok(count) => removed += count,
                Err(why) => failure = failure.or(Some(format!("UNLINK: {why}"))),
            }
        }
    }
    match failure {
        Some(why) => Err(why),
        None => Ok(rate(removed, begin.elapsed())),
    }
}

async fn ask(probe: &mut Probe, questions: &[Cmd]) -> Result<Vec<Value>, String> {
    probe.ask(questions).await.map_err(|error| error.message)
}

/// Per second; `None` of nothing.
fn rate(count: usize, time: Duration) -> Option<u64> {
    let per_s = count as f64 / time.as_secs_f64().max(1e-9);
    (count > 0).then_some(per_s as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ServerPace {
        ServerPace {
            server: "a".to_owned(),
            round_trip_us: Some(300),
            wire_bytes_per_s: Some(50 << 20),
            scan_keys_per_s: Some(200_000),
            read_keys_per_s: Some(60_000),
            connections: Some(10),
            client_list_us: Some(400),
            commands_per_s: Some(1_000),
            input_bytes_per_s: Some(5_000),
            sync_delay_ms: Some(5_000),
            ..ServerPace::default()
        }
    }

    fn is_measured(figures: &[Figure], field: &str) -> bool {
        let found = figures.iter().find(|figure| figure.field == field);
        found.unwrap_or_else(|| panic!("{field}")).is_measured
    }

    #[test]
    fn the_slowest_server_counts_and_what_is_not_measured_stays_as_it_was() {
        let far = ServerPace {
            round_trip_us: Some(900),
            scan_keys_per_s: Some(100_000),
            connections: Some(200),
            client_list_us: Some(1_300),
            ..server()
        };
        let (pace, figures) = judged(&[server(), far], None);
        assert_eq!(pace.copy_bytes_per_s, 50 << 20);
        assert_eq!(pace.round_trip_us, 900);
        assert_eq!(pace.scan_keys_per_s, 100_000);
        assert_eq!(pace.connections, 200);
        // (1,300 us - 900 us) over 200.
        assert_eq!(pace.client_list_ns_per_connection, 2_000);
        let default = Pace::default();
        assert_eq!(pace.install_keys_per_s, default.install_keys_per_s);
        assert_eq!(pace.remove_keys_per_s, default.remove_keys_per_s);
        for field in [
            "install_keys_per_s",
            "remove_keys_per_s",
            "split_work_us",
            "load",
        ] {
            assert!(!is_measured(&figures, field), "{field}");
        }
        assert!(is_measured(&figures, "scan_keys_per_s"));
        assert_eq!(pace.check(), Ok(()));
    }

    #[test]
    fn installing_is_reading_and_writing_one_after_the_other() {
        let mut written = server();
        written.install_keys_per_s = Some(30_000);
        written.remove_keys_per_s = Some(90_000);
        let (pace, figures) = judged(&[written], Some("a"));
        assert_eq!(pace.install_keys_per_s, 20_000);
        assert_eq!(pace.remove_keys_per_s, 90_000);
        assert!(is_measured(&figures, "install_keys_per_s"));
        let mut slow = server();
        slow.read_keys_per_s = Some(1_000);
        assert_eq!(judged(&[slow], None).0.install_keys_per_s, 1_000);
    }

    #[test]
    fn extremes_make_a_pace_that_can_be() {
        let mut odd = server();
        odd.wire_bytes_per_s = Some(0);
        odd.input_bytes_per_s = Some(u64::MAX);
        odd.sync_delay_ms = Some(u64::MAX);
        odd.round_trip_us = Some(0);
        odd.scan_keys_per_s = Some(0);
        odd.connections = Some(u64::MAX);
        assert_eq!(judged(&[odd], None).0.check(), Ok(()));
        assert_eq!(judged(&[], None).0, Pace::default());
    }

    #[test]
    fn the_toml_is_the_pace_and_says_where_each_figure_comes_from() {
        let servers = vec![server()];
        let (pace, figures) = judged(&servers, None);
        let calibration = Calibration {
            cluster: "feeds".to_owned(),
            pace: pace.clone(),
            figures,
            servers,
        };
        let text = calibration.to_toml();
        #[derive(Deserialize)]
        struct Scenario {
            pace: Pace,
        }
        let back: Scenario = toml::from_str(&text).unwrap();
        assert_eq!(back.pace, pace);
        // Every field of a pace has its line.
        let json = serde_json::to_value(&pace).unwrap();
        for field in json.as_object().unwrap().keys() {
            assert!(text.contains(&format!("\n{field} = ")), "{field}: {text}");
        }
    }

    #[test]
    fn nothing_is_written_where_keys_could_be_evicted() {
        let mut facts = Facts {
            role: Some("master".to_owned()),
            memory_bytes: Some(100 << 20),
            memory_bytes_max: Some(0),
            ..Facts::default()
        };
        assert_eq!(may_write(&facts), Ok(()));
        facts.memory_bytes_max = Some(150 << 20);
        assert!(may_write(&facts).unwrap_err().contains("evicted"));
        facts.memory_bytes_max = Some(164 << 20);
        assert_eq!(may_write(&facts), Ok(()));
        facts.role = Some("slave".to_owned());
        assert!(may_write(&facts).unwrap_err().contains("replica"));
    }
}
