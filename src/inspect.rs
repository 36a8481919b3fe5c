//! Inspection: what each server of a cluster says about itself.
//!
//! Looks at servers that no [`Cluster`](crate::Cluster) would connect to, too: replicas, servers in cluster mode, servers whose ACL is too
//! narrow. Reads only. [`check`](crate::check) judges what is found here.

use crate::config::{Config, Server};
use crate::connection::{DialError, Manner, Probe, info_field};
use crate::resp::DecoderLimits;
use crate::topology::ServerId;
use futures::future::join_all;
use redis::{Cmd, Value, cmd};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How many PINGs the median is of.
const PINGS: usize = 9;

/// One server, as it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ServerState {
    /// Its name in the configuration.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its database.
    pub database: u32,
    /// How many nodes live on it.
    pub nodes: usize,
    /// What it said.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What came of asking a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// It answered.
    Reached(Box<Facts>),
    /// It, or what stands at its address, turned us away: password, TLS, database.
    Refused {
        /// Why, and what to do.
        cause: String,
    },
    /// It could not be reached, or did not answer in time.
    Unreachable {
        /// Why.
        cause: String,
    },
}

/// What a server says about itself. `None`: it did not say, or our user may not ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Facts {
    /// `7.0.15`.
    pub version: Option<String>,
    /// Random name of this run of the process; two servers with one are one process.
    pub run_id: Option<String>,
    /// `standalone`, `cluster` or `sentinel`.
    pub mode: Option<String>,
    /// `master` or `slave`.
    pub role: Option<String>,
    /// Of the process, in seconds.
    pub uptime_s: Option<u64>,
    /// Connections now, ours included.
    pub clients: Option<u64>,
    /// The bound on them.
    pub clients_max: Option<u64>,
    /// Memory of the data and its overhead, in bytes.
    pub memory_bytes: Option<u64>,
    /// The bound on it, in bytes; 0 is none.
    pub memory_bytes_max: Option<u64>,
    /// Memory of the data of all databases alone, without tables, connections and the like, in bytes.
    pub memory_dataset_bytes: Option<u64>,
    /// What happens at that bound: `noeviction`, `allkeys-lru` and so on.
    pub memory_policy: Option<String>,
    /// Whether there is an append-only file.
    pub appendonly: Option<bool>,
    /// When snapshots are saved, as in redis.conf; empty is never. Needs the right to CONFIG GET.
    pub save: Option<String>,
    /// Which changes of keys are announced by pub/sub, as in redis.conf; empty is none. Needs the right to CONFIG GET.
    pub notify_keyspace_events: Option<String>,
    /// Commands in the last second or so.
    pub commands_per_s: Option<u64>,
    /// What clients send, in bytes per second, in the last second or so.
    pub input_bytes_per_s: Option<u64>,
    /// Reads that found their key, since the start.
    pub hits: Option<u64>,
    /// Reads that did not.
    pub misses: Option<u64>,
    /// Keys in the configured database.
    pub keys: Option<u64>,
    /// All databases that hold keys.
    pub databases: Vec<DatabaseKeys>,
    /// The ACL user that we are.
    pub user: Option<String>,
    /// Median round trip of a PING on an open connection, in microseconds.
    pub ping_us: Option<u64>,
    /// The server's clock minus ours, in microseconds; off by at most half a round trip.
    pub clock_offset_us: Option<i64>,
    /// Who of keyway is connected. Needs the right to CLIENT LIST.
    pub keyway_clients: Option<Vec<KeywayClients>>,
}

/// Keys of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DatabaseKeys {
    /// Its number.
    pub database: u32,
    /// How many keys.
    pub keys: u64,
    /// How many of them have a time to live.
    pub expiring: u64,
}

/// Connections of keyway to one server, by the cluster and epoch that their names tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeywayClients {
    /// The name in their cluster file.
    pub cluster: String,
    /// The epoch of the topology that they route by.
    pub epoch: u64,
    /// How many `Cluster`s: mostly one per process.
    pub instances: usize,
    /// How many connections, those for pub/sub included.
    pub connections: usize,
}

impl Facts {
    /// Reads that found their key, of all reads: 0 to 1. `None` before the first read.
    pub fn hit_rate(&self) -> Option<f64> {
        let (hits, misses) = (self.hits?, self.misses?);
        let reads = hits.saturating_add(misses);
        (reads > 0).then(|| hits as f64 / reads as f64)
    }
}

/// Asks all servers at once, each on a connection of its own. `timeout` bounds the dial and every question. One that cannot be reached
/// says nothing about the others; the order is that of `config.servers()`.
///
/// Costs one dial and some 15 round trips per server.
pub async fn inspect(config: &Config, timeout: Duration) -> Vec<ServerState> {
    let all = config
        .topology()
        .servers()
        .map(|id| look(config, id, timeout));
    join_all(all)
        .await
        .into_iter()
        .map(|(state, _)| state)
        .collect()
}

/// Asks one server, and keeps the connection for more questions.
pub(crate) async fn look(
    config: &Config,
    id: ServerId,
    timeout: Duration,
) -> (ServerState, Option<Probe>) {
    let server = &config.servers()[id.index()];
    let (answer, probe) = match ask(config, server, timeout).await {
        Ok((facts, probe)) => (Answer::Reached(Box::new(facts)), Some(probe)),
        Err(DialError {
            is_configuration: true,
            message: cause,
            ..
        }) => (Answer::Refused { cause }, None),
        Err(DialError { message: cause, .. }) => (Answer::Unreachable { cause }, None),
    };
    let state = ServerState {
        name: server.name.to_string(),
        address: server.endpoint.address.to_string(),
        database: server.endpoint.database,
        nodes: config.topology().nodes_of(id).count(),
        answer,
    };
    (state, probe)
}

async fn ask(
    config: &Config,
    server: &Server,
    timeout: Duration,
) -> Result<(Facts, Probe), DialError> {
    let manner = Manner {
        connect: timeout,
        tcp: config.tcp().clone(),
        decoder: DecoderLimits::default(),
    };
    let mut probe = Probe::open(&server.endpoint, manner).await?;
    let replies = probe
        .ask(&[
            cmd("INFO"),
            words("CONFIG GET save"),
            words("CLIENT LIST"),
            words("ACL WHOAMI"),
            words("CONFIG GET notify-keyspace-events"),
        ])
        .await?;
    let mut facts = facts_of_info(&replies[0], server.endpoint.database);
    // [name, value]; an error reply when the user may not ask.
    if let Value::Array(pair) = &replies[1] {
        facts.save = pair.get(1).and_then(text);
    }
    if let Value::Array(pair) = &replies[4] {
        facts.notify_keyspace_events = pair.get(1).and_then(text);
    }
    facts.keyway_clients = text(&replies[2]).map(|list| keyway_clients(&list));
    // Who may not ask is who the configuration says; without a name that is the default user.
    let username = server.endpoint.username.as_deref().unwrap_or("default");
    facts.user = Some(text(&replies[3]).unwrap_or_else(|| username.to_owned()));
    facts.ping_us = ping_us(&mut probe).await?;
    facts.clock_offset_us = clock_offset_us(&mut probe).await?;
    Ok((facts, probe))
}

async fn ping_us(probe: &mut Probe) -> Result<Option<u64>, DialError> {
    let ping = [cmd("PING")];
    let mut times = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let asked = Instant::now();
        if let Value::ServerError(_) = probe.ask(&ping).await?[0] {
            return Ok(None);
        }
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    Ok(u64::try_from(times[PINGS / 2].as_micros()).ok())
}

async fn clock_offset_us(probe: &mut Probe) -> Result<Option<i64>, DialError> {
    let (asked, clock) = (Instant::now(), SystemTime::now());
    let reply = probe.ask(&[cmd("TIME")]).await?.remove(0);
    let Ok((seconds, microseconds)) = redis::from_redis_value::<(u64, u64)>(reply) else {
        return Ok(None);
    };
    let theirs = Duration::from_secs(seconds) + Duration::from_micros(microseconds);
    // The reply was made about half way.
    let ours = clock.duration_since(UNIX_EPOCH).unwrap_or_default() + asked.elapsed() / 2;
    let offset = |later: Duration, earlier: Duration| i64::try_from((later - earlier).as_micros());
    Ok(if theirs >= ours {
        offset(theirs, ours).ok()
    } else {
        offset(ours, theirs).ok().map(|microseconds| -microseconds)
    })
}

fn words(line: &str) -> Cmd {
    let mut words = Cmd::new();
    for word in line.split(' ') {
        words.arg(word);
    }
    words
}

fn text(reply: &Value) -> Option<String> {
    match reply {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) => Some(text.clone()),
        _ => None,
    }
}

fn facts_of_info(info: &Value, database: u32) -> Facts {
    let field = |name: &str| info_field(info, name).map(str::to_owned);
    let number = |name: &str| info_field(info, name)?.parse::<u64>().ok();
    let databases = databases(info);
    // A database without keys is not listed.
    let has_info = matches!(info, Value::BulkString(_));
    let keys = has_info.then(|| {
        databases
            .iter()
            .find(|keys| keys.database == database)
            .map_or(0, |keys| keys.keys)
    });
    Facts {
        version: field("redis_version"),
        run_id: field("run_id"),
        mode: field("redis_mode"),
        role: field("role"),
        uptime_s: number("uptime_in_seconds"),
        clients: number("connected_clients"),
        clients_max: number("maxclients"),
        memory_bytes: number("used_memory"),
        memory_bytes_max: number("maxmemory"),
        memory_dataset_bytes: number("used_memory_dataset"),
        memory_policy: field("maxmemory_policy"),
        appendonly: number("aof_enabled").map(|enabled| enabled != 0),
        commands_per_s: number("instantaneous_ops_per_sec"),
        input_bytes_per_s: field("instantaneous_input_kbps")
            .and_then(|kib| kib.parse::<f64>().ok())
            .map(|kib| (kib * 1024.0) as u64),
        hits: number("keyspace_hits"),
        misses: number("keyspace_misses"),
        keys,
        databases,
        ..Facts::default()
    }
}

/// `db0:keys=5,expires=1,avg_ttl=0`, one line per database.
fn databases(info: &Value) -> Vec<DatabaseKeys> {
    let Some(info) = text(info) else {
        return Vec::new();
    };
    let database = |line: &str| {
        let (number, fields) = line.strip_prefix("db")?.split_once(':')?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        Some(DatabaseKeys {
            database: number.parse().ok()?,
            keys: field("keys")?,
            expiring: field("expires").unwrap_or(0),
        })
    };
    info.lines().filter_map(database).collect()
}

/// The lines of CLIENT LIST whose connection is named `kw:<cluster>.<16 hex>:<epoch>`, or `kwsub:` or `kwmover:`.
fn keyway_clients(list: &str) -> Vec<KeywayClients> {
    let mut groups: BTreeMap<(&str, u64), Vec<&str>> = BTreeMap::new();
    let names = list.lines().filter_map(|line| {
        line.split(' ')
            .find_map(|field| field.strip_prefix("name="))
    });
    for name in names {
        if let Some((cluster, instance, epoch)) = parse_client_name(name) {
            groups.entry((cluster, epoch)).or_default().push(instance);
        }
    }
    groups
        .into_iter()
        .map(|((cluster, epoch), mut instances)| {
            let connections = instances.len();
            instances.sort_unstable();
            instances.dedup();
            KeywayClients {
                cluster: cluster.to_owned(),
                epoch,
                instances: instances.len(),
                connections,
            }
        })
        .collect()
}

fn parse_client_name(name: &str) -> Option<(&str, &str, u64)> {
    let (purpose, rest) = name.split_once(':')?;
    if !matches!(purpose, "kw" | "kwsub" | "kwmover") {
        return None;
    }
    let (client, epoch) = rest.rsplit_once(':')?;
    // Cluster names may have dots; the instance has none.
    let (cluster, instance) = client.rsplit_once('.')?;
    let is_instance = instance.len() == 16 && instance.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_instance.then_some((cluster, instance, epoch.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_keyway_are_counted_by_cluster_and_epoch() {
        let list = "\
id=3 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name=kw:feeds.eu.00000000000000aa:0 age=1 user=default\n\
id=4 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name=kwsub:feeds.eu.00000000000000aa:0 age=1\n\
id=5 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name=kw:feeds.eu.00000000000000bb:0 age=1\n\
id=6 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name=kw:feeds.eu.00000000000000bb:7 age=1\n\
id=7 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name= age=1\n\
id=8 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name=kw:feeds.short:0 age=1\n\
id=9 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=8 name=other:feeds.00000000000000aa:0 age=1\n";
        let group = |epoch, instances, connections| KeywayClients {
            cluster: "feeds.eu".to_owned(),
            epoch,
            instances,
            connections,
        };
        assert_eq!(keyway_clients(list), [group(0, 2, 3), group(7, 1, 1)]);
    }

    #[test]
    fn facts_are_read_from_info() {
        let info = Value::BulkString(
            b"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:abc\r\nuptime_in_seconds:61\r\n\
              maxclients:10000\r\naof_enabled:0\r\nkeyspace_hits:3\r\nkeyspace_misses:1\r\n\
              db0:keys=5,expires=1,avg_ttl=0\r\ndb12:keys=7,expires=0,avg_ttl=0\r\n"
                .to_vec(),
        );
        let facts = facts_of_info(&info, 12);
        assert_eq!(facts.version.as_deref(), Some("7.0.15"));
        assert_eq!(facts.keys, Some(7));
        assert_eq!(facts.appendonly, Some(false));
        assert_eq!(facts.hit_rate(), Some(0.75));
        assert_eq!(facts.memory_bytes, None);
        assert_eq!(facts.databases.len(), 2);
        assert_eq!(facts_of_info(&info, 3).keys, Some(0));
        assert_eq!(facts_of_info(&Value::Nil, 0), Facts::default());
    }

    #[test]
    fn a_server_survives_the_way_to_json_and_back() {
        let reached = ServerState {
            name: "a".to_owned(),
            address: "10.0.0.1:6379".to_owned(),
            database: 0,
            nodes: 32,
            answer: Answer::Reached(Box::new(Facts {
                version: Some("7.0.15".to_owned()),
                clock_offset_us: Some(-3),
                ..Facts::default()
            })),
        };
        let json = serde_json::to_value(&reached).unwrap();
        assert_eq!(json["state"], "reached");
        assert_eq!(json["version"], "7.0.15");
        assert_eq!(
            serde_json::from_value::<ServerState>(json).unwrap(),
            reached
        );
    }
}
