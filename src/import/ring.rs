//! go-redis's `Ring`: its addresses, or its options, in JSON.
//!
//! Source: go-redis 9.5.1, `ring.go` (`RingOptions`), `options.go`. Names of options are told as Go's encoding/json does, in any case.

use super::draft::{Draft, Node, Nodes, Server};
use super::error::{Problem, shown};
use super::literal::{self, Dialect, Kind as ValueKind, Value};
use super::remark::Kind;
use super::write::bounded;
use super::{Found, host};
use crate::placement::{Algorithm, NODES_MAX};
use std::collections::HashMap;
use std::time::Duration;

/// `RingOptions` of go-redis 8 and 9, as far as JSON can say them and they are not taken over.
const OTHERS: [&str; 29] = [
    "NewClient",
    "ClientName",
    "HeartbeatFrequency",
    "NewConsistentHash",
    "Protocol",
    "MaxRetries",
    "MinRetryBackoff",
    "MaxRetryBackoff",
    "WriteTimeout",
    "ContextTimeoutEnabled",
    "PoolFIFO",
    "PoolSize",
    "PoolTimeout",
    "MinIdleConns",
    "MaxIdleConns",
    "MaxActiveConns",
    "ConnMaxIdleTime",
    "ConnMaxLifetime",
    "MaxConnAge",
    "IdleTimeout",
    "IdleCheckFrequency",
    "DisableIndentity",
    "DisableIdentity",
    "IdentitySuffix",
    "UnstableResp3",
    "Limiter",
    "OnConnect",
    "Dialer",
    "TLSConfig",
];

const TAKEN: [&str; 6] = [
    "Addrs",
    "Username",
    "Password",
    "DB",
    "DialTimeout",
    "ReadTimeout",
];

/// Whether a value is one that this reads.
pub(super) fn is_ring(value: &Value) -> bool {
    let ValueKind::Dict(entries) = &value.kind else {
        return false;
    };
    let has_addrs = entries.iter().any(|(key, _)| {
        key.text()
            .is_some_and(|key| key.eq_ignore_ascii_case("addrs"))
    });
    let all_texts = entries.iter().all(|(_, value)| value.text().is_some());
    has_addrs || (all_texts && !entries.is_empty())
}

pub(super) fn read(text: &str) -> Result<Vec<Found>, Problem> {
    let value = literal::value(text, Dialect::Json)?;
    let ValueKind::Dict(entries) = &value.kind else {
        return Err(value
            .problem("not an object")
            .read(value.what())
            .expected("{\"shard1\": \"10.0.0.1:6379\"}, or RingOptions: {\"Addrs\": {..}}")
            .help("give the map that RingOptions.Addrs is set to"));
    };
    let mut options: HashMap<&str, &Value> = HashMap::new();
    let is_options = entries.iter().any(|(key, _)| {
        key.text()
            .is_some_and(|key| key.eq_ignore_ascii_case("addrs"))
    });
    if is_options {
        for (key, value) in entries {
            let text = key.text().unwrap_or_default();
            let known = TAKEN
                .into_iter()
                .chain(OTHERS)
                .find(|known| known.eq_ignore_ascii_case(text));
            let Some(known) = known else {
                return Err(key
                    .problem("RingOptions has no such field")
                    .read(format!("{:?}", shown(text)))
                    .expected("fields of go-redis's RingOptions: Addrs, Username, Password, DB, ..")
                    .help("remove it, or correct its name"));
            };
            options.insert(known, value);
        }
    }
    let addresses = match options.get("Addrs") {
        Some(addresses) => *addresses,
        None => &value,
    };
    let mut draft = Draft::new(
        "the Ring".to_owned(),
        "ring",
        addresses.place,
        Algorithm::GoRedisRing,
    );
    settings(&mut draft, &options)?;
    let database = database(&options)?;
    shards(&mut draft, addresses, database)?;
    draft.remark(
        Kind::NoEqual,
        "HeartbeatFrequency",
        "a Ring sends the keys of a shard that is down to the others; here they are errors, or misses with mode = \"cache\". What was written meanwhile \
         lies where nobody looks for it; `keyway check` finds it",
    );
    draft.remark(
        Kind::ToDo,
        "NewConsistentHash",
        "this file is for the Ring of go-redis 8 and later without a NewConsistentHash of its own; with one, or before version 8, keys are elsewhere",
    );
    Ok(vec![Found::Cluster(Box::new(draft))])
}

fn shards(draft: &mut Draft, addresses: &Value, database: u32) -> Result<(), Problem> {
    let ValueKind::Dict(entries) = &addresses.kind else {
        return Err(addresses
            .problem("Addrs is no object")
            .read(addresses.what())
            .expected("{\"shard1\": \"10.0.0.1:6379\"}")
            .help("a Ring hashes the names of its shards, so an address alone is not enough"));
    };
    // Of equal names the later counts, as in Go.
    let mut by_name: HashMap<&str, usize> = HashMap::new();
    let mut shards: Vec<(&str, &Value)> = Vec::new();
    for (key, value) in entries {
        let Some(name) = key.text() else {
            continue;
        };
        match by_name.get(name) {
            Some(&first) => shards[first].1 = value,
            None => {
                by_name.insert(name, shards.len());
                shards.push((name, value));
            }
        }
    }
    if !(1..=NODES_MAX).contains(&shards.len()) {
        return Err(addresses
            .problem(format!("a Ring of {} shards", shards.len()))
            .expected(format!("1 to {NODES_MAX} shards"))
            .help("give the map that is in use"));
    }
    let mut nodes = Vec::new();
    for (index, (name, value)) in shards.into_iter().enumerate() {
        let Some(text) = value.text() else {
            return Err(value
                .problem(format!(
                    "the address of the shard {:?} is no text",
                    shown(name)
                ))
                .read(value.what())
                .expected("host:port in quotes")
                .help("write it as Go dials it"));
        };
        let address = match text.strip_prefix(':') {
            // As Go dials it.
            Some(port) => host::port(port).and_then(|port| host::tcp("127.0.0.1", port)),
            None => host::read(text),
        };
        let address = address.map_err(|problem| problem.at(value.place))?;
        nodes.push(Node {
            name: name.to_owned(),
            weight: 1,
            label: None,
        });
        let mut server = Server::new(name, address, database);
        server.nodes.push(index as u16);
        server.notes.push(format!(
            "Line {}: shard {:?}",
            value.place.line,
            shown(name)
        ));
        if draft.add(server) {
            draft.remark_at(
                Kind::Different,
                ("Addrs", value.place.line),
                "a shard that is the same database as another one is one server with it here, which has the nodes of both",
            );
        }
    }
    draft.nodes = Nodes::Named(nodes);
    Ok(())
}

fn settings(draft: &mut Draft, options: &HashMap<&str, &Value>) -> Result<(), Problem> {
    let text = |key: &str| match options.get(key).map(|value| (value, &value.kind)) {
        None | Some((_, ValueKind::None)) => Ok(None),
        Some((value, ValueKind::Text { text, .. })) => {
            Ok(Some((text.clone(), value.place.line)).filter(|(text, _)| !text.is_empty()))
        }
        Some((value, _)) => Err(value
            .problem(format!("{key} is no text"))
            .read(value.what())
            .expected("a text in quotes")
            .help("correct it")),
    };
    let (username, password) = (text("Username")?, text("Password")?);
    match (&username, password) {
        (_, Some((password, line))) => {
            let variable = draft.variable("PASSWORD", &password);
            draft.remark_at(
                Kind::ToDo,
                ("Password", line),
                format!("set the variable {variable} to the password, which is not in this file"),
            );
            draft.password = Some(variable);
            draft.username = username.map(|(username, _)| username);
        }
        (Some((_, line)), None) => draft.remark_at(
            Kind::Different,
            ("Username", *line),
            "of no use without a password, so it is left out",
        ),
        (None, None) => {}
    }
    for (key, what) in [("DialTimeout", "connect"), ("ReadTimeout", "response")] {
        let Some(value) = options.get(key) else {
            continue;
        };
        let nanoseconds = match value.kind {
            ValueKind::Int(nanoseconds) => nanoseconds,
            _ => {
                return Err(value
                    .problem(format!("{key} is no number"))
                    .read(value.what())
                    .expected("nanoseconds, as Go's time.Duration is in JSON")
                    .help("write 3000000000 for three seconds"));
            }
        };
        let Ok(nanoseconds @ 1..) = u64::try_from(nanoseconds) else {
            continue;
        };
        let (duration, _) = bounded(Duration::from_nanos(nanoseconds));
        match what {
            "connect" => draft.connect = Some(duration),
            _ => draft.response = Some(duration),
        }
        draft.remark_at(
            Kind::Different,
            (key, value.place.line),
            match what {
                "connect" => "timeouts.connect here",
                _ => {
                    "timeouts.response here, which is the deadline of a whole call with its retries"
                }
            },
        );
    }
    if draft.response.is_none() {
        draft.remark(
            Kind::Different,
            "ReadTimeout",
            "3s in go-redis unless it is set; timeouts.response is 500ms unless the file says otherwise",
        );
    }
    let mut others: Vec<_> = OTHERS
        .into_iter()
        .filter_map(|key| options.get(key).map(|value| (key, value.place.line)))
        .filter(|(key, _)| !matches!(*key, "HeartbeatFrequency" | "NewConsistentHash"))
        .collect();
    others.sort_by_key(|(_, line)| *line);
    for at in others {
        draft.remark_at(
            Kind::NoEqual,
            at,
            "not taken over; see [retry], [pool], [tcp] and TLS in keyway's reference",
        );
    }
    Ok(())
}

fn database(options: &HashMap<&str, &Value>) -> Result<u32, Problem> {
    let Some(value) = options.get("DB") else {
        return Ok(0);
    };
    match value.kind {
        ValueKind::Int(number) if (0..=i64::from(i32::MAX)).contains(&number) => Ok(number as u32),
        ValueKind::None => Ok(0),
        _ => Err(value
            .problem("DB is not the number of a database")
            .read(value.what())
            .expected("a number from 0")
            .help("correct it")),
    }
}
