//! nydus: the settings that `create_cluster` is given.
//!
//! Source: nydus 0.11.0, `nydus/db/__init__.py`, `nydus/db/base.py`, `nydus/db/backends/redis.py`, `nydus/db/routers/`.

use super::draft::{Draft, Node, Nodes, Server, Template};
use super::error::{Place, Problem, shown};
use super::literal::{Kind as ValueKind, Value};
use super::python::{Cluster, Fields, Number, gap, seconds, secret, variables};
use super::remark::Kind;
use super::write::bounded;
use super::{Found, Skipped, host};
use crate::config::Address;
use crate::placement::Algorithm;
use std::collections::HashSet;

/// Of `create_cluster`.
const SETTINGS: [&str; 7] = [
    "engine",
    "backend",
    "cluster",
    "router",
    "hosts",
    "defaults",
    "max_connection_retries",
];

/// Of the backend `Redis`, in the order in which a host that is a list gives them.
const OPTIONS: [&str; 8] = [
    "host",
    "port",
    "db",
    "timeout",
    "password",
    "unix_socket_path",
    "identifier",
    "strict",
];

struct Host<'v> {
    number: Number,
    place: Place,
    options: Fields<'v>,
    address: Address,
    database: u32,
    /// What nydus hashes.
    identifier: String,
    is_identifier_given: bool,
}

pub(super) fn found(cluster: &Cluster<'_>) -> Result<Found, Problem> {
    let settings = &cluster.settings;
    let skipped = |reason: String| {
        Ok(Found::Skipped(Skipped {
            origin: cluster.name.to_owned(),
            line: cluster.place.line,
            reason,
        }))
    };
    settings
        .check_known(&SETTINGS, "a cluster of nydus")
        .map_err(|problem| problem.at(cluster.place))?;
    let Some(backend) = settings.get("engine").or(settings.get("backend")) else {
        return Err(Problem::new("no backend")
            .at(cluster.place)
            .expected("'backend': 'nydus.db.backends.redis.Redis', without which nydus refuses the settings")
            .help("if these are arguments of rb's Cluster, say its format"));
    };
    if !is_of_nydus(backend, "Redis", &["nydus.db.backends.redis"]) {
        return skipped(
            "its backend is not nydus's Redis, so it is not known what is hashed for a host"
                .to_owned(),
        );
    }
    if settings
        .get("cluster")
        .is_some_and(|cluster| cluster.kind != ValueKind::None)
    {
        return skipped(
            "it has a cluster class of its own, which may send keys anywhere".to_owned(),
        );
    }
    let algorithm = match settings.get("router").map(router) {
        Some(Some(algorithm)) => algorithm,
        Some(None) => {
            return skipped(
                "its router is none of nydus's, or one that sends every call to every host; a rule of your own is a function in code here: algorithm = \"custom\""
                    .to_owned(),
            );
        }
        None => {
            return skipped(
                "without a router every call goes to every host, which no placement does: servers().each(&cmd) sends one command to all"
                    .to_owned(),
            );
        }
    };
    draft(cluster, algorithm).map(|draft| Found::Cluster(Box::new(draft)))
}

/// `nydus.db.backends.redis.Redis` as a text, or the class by its name.
fn is_of_nydus(value: &Value, class: &str, modules: &[&str]) -> bool {
    match &value.kind {
        ValueKind::Text { text, .. } => modules
            .iter()
            .any(|module| text.strip_prefix(module) == Some(&format!(".{class}"))),
        ValueKind::Name(name) => match name.rsplit_once('.') {
            None => name == class,
            Some((module, last)) => {
                last == class
                    && modules
                        .iter()
                        .any(|known| *known == module || known.ends_with(&format!(".{module}")))
            }
        },
        _ => false,
    }
}

fn router(value: &Value) -> Option<Algorithm> {
    const KEYS: [&str; 2] = ["nydus.db.routers.keyvalue", "nydus.db.routers.redis"];
    const ROUNDS: [&str; 4] = [
        "nydus.db.routers",
        "nydus.db.routers.base",
        "nydus.db.routers.keyvalue",
        "nydus.db.routers.redis",
    ];
    [
        ("ConsistentHashingRouter", &KEYS[..], Algorithm::NydusKetama),
        ("PartitionRouter", &KEYS[..], Algorithm::NydusPartition),
        ("RoundRobinRouter", &ROUNDS[..], Algorithm::NydusRoundRobin),
    ]
    .into_iter()
    .find(|(class, modules, _)| is_of_nydus(value, class, modules))
    .map(|(_, _, algorithm)| algorithm)
}

fn draft(cluster: &Cluster<'_>, algorithm: Algorithm) -> Result<Draft, Problem> {
    let settings = &cluster.settings;
    let origin = format!("cluster {:?}", shown(cluster.name));
    let mut draft = Draft::new(origin, cluster.name, cluster.place, algorithm);
    let hosts = hosts(settings)?;
    if algorithm == Algorithm::NydusPartition
        && let Some(missing) = gap(hosts.iter().map(|host| &host.number))
    {
        return Err(Problem::new(format!("there is no host {missing}"))
            .at(cluster.place)
            .expected("hosts numbered 0, 1, 2 and so on: PartitionRouter counts them so, and fails for keys of a host that is missing")
            .help("give the settings that are in use"));
    }
    nodes(&mut draft, &hosts)?;
    let secrets: Vec<_> = hosts
        .iter()
        .map(|host| {
            Ok((
                host.number.to_string(),
                secret(host.options.get("password"))?,
            ))
        })
        .collect::<Result<_, Problem>>()?;
    let passwords = variables(&mut draft, &secrets);
    let is_inherited = draft.password.is_some();
    for (index, (host, password)) in hosts.iter().zip(passwords).enumerate() {
        let mut server = Server::new("", host.address.clone(), host.database);
        server.password = password.filter(|_| !is_inherited);
        server.nodes.push(index as u16);
        server
            .notes
            .push(format!("Line {}: host {}", host.place.line, host.number));
        if draft.add(server) {
            draft.remark_at(
                Kind::Different,
                ("hosts", host.place.line),
                "a host that is the same database as another one is one server with it here, which has the nodes of both",
            );
        }
    }
    timeouts(&mut draft, &hosts);
    remarks(&mut draft, settings, &hosts);
    Ok(draft)
}

/// In the order of their numbers, which is that of the nodes.
fn hosts<'v>(settings: &Fields<'v>) -> Result<Vec<Host<'v>>, Problem> {
    let defaults = match settings.get("defaults") {
        Some(defaults) => settings.of(defaults)?,
        None => Fields::of(settings, &NONE)?,
    };
    let mut hosts = Vec::new();
    for (index, entry) in super::python::hosts(settings)?.into_iter().enumerate() {
        // Those of a list are numbered by their places.
        let number = entry.number.unwrap_or(Number::Int(index as i64));
        hosts.push(read_host(
            settings,
            &defaults,
            (number, entry.place),
            entry.value,
        )?);
    }
    hosts.sort_by(|a, b| a.number.cmp(&b.number));
    Ok(hosts)
}

static NONE: Value = Value {
    place: Place::START,
    kind: ValueKind::None,
};

fn read_host<'v>(
    settings: &Fields<'v>,
    defaults: &Fields<'v>,
    (number, place): (Number, Place),
    host: &'v Value,
) -> Result<Host<'v>, Problem> {
    let mut options = match &host.kind {
        ValueKind::Dict(_) => settings.of(host)?,
        ValueKind::Text { .. } => positional(settings, std::slice::from_ref(host))?,
        ValueKind::List(items) | ValueKind::Tuple(items) => {
            if items.len() > OPTIONS.len() {
                return Err(host
                    .problem("a host with too many values")
                    .read(format!("{} values", items.len()))
                    .expected(OPTIONS.join(", "))
                    .help("remove what is too much"));
            }
            positional(settings, items)?
        }
        _ => {
            return Err(host
                .problem("a host is no dict")
                .read(host.what())
                .expected("a dict of its settings: {'host': '10.0.0.1', 'db': 0}")
                .help("write it down: this reads Python and does not run it"));
        }
    };
    for (key, value) in &defaults.entries {
        if options.get(key).is_none() {
            options.entries.push((key, value));
        }
    }
    options
        .check_known(&OPTIONS, "nydus's Redis")
        .map_err(|problem| problem.at(host.place))?;
    let text = |key: &str, default: &str| match options.get(key) {
        None => Ok(default.to_owned()),
        Some(value) => printed(value, key),
    };
    let (name, port, db) = (
        text("host", "localhost")?,
        text("port", "6379")?,
        text("db", "0")?,
    );
    let database = match db.as_str() {
        "None" => 0,
        db => db.parse().map_err(|_| {
            Problem::new("db is not the number of a database")
                .at(host.place)
                .read(format!("{:?}", shown(db)))
                .expected("a number from 0")
                .help("correct it")
        })?,
    };
    let address = match options
        .get("unix_socket_path")
        .map(|path| (path, &path.kind))
    {
        Some((path, ValueKind::Text { text, .. })) => {
            host::unix(text).map_err(|problem| problem.at(path.place))?
        }
        None | Some((_, ValueKind::None)) => host::port(&port)
            .and_then(|port| host::tcp(&name, port))
            .map_err(|problem| problem.at(host.place))?,
        Some((path, _)) => {
            return Err(path
                .problem("the socket's path is no text")
                .read(path.what())
                .expected("a path in quotes, or None")
                .help("write it down"));
        }
    };
    let given = match options.get("identifier") {
        None => None,
        Some(value) if value.kind == ValueKind::None => None,
        Some(value) => Some(printed(value, "identifier")?),
    };
    Ok(Host {
        number,
        place,
        address,
        database,
        is_identifier_given: given.is_some(),
        identifier: given.unwrap_or_else(|| format!("redis://{name}:{port}/{db}")),
        options,
    })
}

fn positional<'v>(settings: &Fields<'v>, items: &'v [Value]) -> Result<Fields<'v>, Problem> {
    let mut options = Fields::of(settings, &NONE)?;
    for (key, item) in OPTIONS.into_iter().zip(items) {
        options.entries.push((key, settings.resolve(item)));
    }
    Ok(options)
}

/// What Python 2's `%s` makes of it.
fn printed(value: &Value, key: &str) -> Result<String, Problem> {
    match &value.kind {
        ValueKind::Text { text, .. } if text.is_ascii() => Ok(text.clone()),
        ValueKind::Int(number) => Ok(number.to_string()),
        ValueKind::None => Ok("None".to_owned()),
        ValueKind::Bool(true) => Ok("True".to_owned()),
        ValueKind::Bool(false) => Ok("False".to_owned()),
        _ => Err(value
            .problem(format!("{key} is no text or number that is known here"))
            .read(value.what())
            .expected("an ASCII text or a whole number as it stands, since nydus hashes it")
            .help("write down what it comes to: this reads Python and does not run it")),
    }
}

fn nodes(draft: &mut Draft, hosts: &[Host<'_>]) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    let twice = hosts.iter().find(|host| !seen.insert(&host.identifier));
    if let Some(host) = twice {
        if draft.algorithm == Algorithm::NydusKetama {
            return Err(Problem::new("two hosts have one identifier")
                .at(host.place)
                .read(format!("host {}", host.number))
                .expected("hosts that differ: nydus sends a key of this identifier to both of them")
                .help("keys that are on two servers have no equal: remove one of the hosts"));
        }
        draft.nodes = Nodes::Numbered(hosts.len() as u16);
        return Ok(());
    }
    // An identifier of one's own may hold a password, as URLs do.
    let is_secret = |host: &Host<'_>| host.is_identifier_given && host.identifier.contains('@');
    let is_ketama = draft.algorithm == Algorithm::NydusKetama;
    if hosts.iter().any(is_secret) {
        if !is_ketama {
            draft.nodes = Nodes::Numbered(hosts.len() as u16);
            return Ok(());
        }
        let mut nodes = Vec::new();
        for host in hosts {
            let number = host.number.to_string();
            let label = match is_secret(host) {
                true => {
                    let variable =
                        draft.variable(&format!("IDENTIFIER_{number}"), &host.identifier);
                    draft.remark_at(
                        Kind::ToDo,
                        ("identifier", host.place.line),
                        format!(
                            "set the variable {variable} to the identifier of host {number}, which may hold a password and is not in this file"
                        ),
                    );
                    Template::variable(variable)
                }
                false => Template::text(&host.identifier),
            };
            nodes.push(Node {
                name: number,
                weight: 1,
                label: Some(label),
            });
        }
        draft.nodes = Nodes::Named(nodes);
        return Ok(());
    }
    let node = |host: &Host<'_>| Node {
        name: host.identifier.clone(),
        weight: 1,
        label: None,
    };
    draft.nodes = Nodes::Named(hosts.iter().map(node).collect());
    Ok(())
}

fn timeouts(draft: &mut Draft, hosts: &[Host<'_>]) {
    let given: Vec<_> = hosts
        .iter()
        .map(|host| host.options.get("timeout").and_then(seconds))
        .collect();
    let longest = given.iter().flatten().max().copied();
    match longest {
        Some(longest) if given.iter().all(Option::is_some) => {
            let (duration, _) = bounded(longest);
            draft.response = Some(duration);
            draft.connect = Some(duration);
            let text = match given.iter().all(|timeout| *timeout == Some(longest)) {
                true => {
                    "timeouts.connect and timeouts.response here. keyway's deadline is that of a whole call, with its retries"
                }
                false => {
                    "the longest of the hosts' timeouts is timeouts.connect and timeouts.response here, which hold for all servers"
                }
            };
            draft.remark(Kind::Different, "timeout", text);
        }
        _ => draft.remark(
            Kind::Different,
            "timeout",
            "nydus waits for ever without one, and so may a client of keyway not: timeouts.response is 500ms unless the file says otherwise",
        ),
    }
}

fn remarks(draft: &mut Draft, settings: &Fields<'_>, hosts: &[Host<'_>]) {
    match draft.algorithm {
        Algorithm::NydusRoundRobin => draft.remark(
            Kind::Different,
            "router",
            "no key has a home, and every call goes to the next server that is up. What may have been executed is repeated only if it is a read; nydus \
             repeats writes, too",
        ),
        Algorithm::NydusKetama => draft.remark(
            Kind::NoEqual,
            "router",
            "ConsistentHashingRouter sends the keys of a host that is down to the others; here they are errors, or misses with mode = \"cache\". What \
             was written meanwhile lies where nobody looks for it; `keyway check` finds it",
        ),
        _ => {}
    }
    if let Some(retries) = settings.get("max_connection_retries") {
        draft.remark_at(
            Kind::Different,
            ("max_connection_retries", retries.place.line),
            "not taken over: keyway retries what is safe to repeat, see [retry]",
        );
    }
    let strict = hosts.iter().find_map(|host| host.options.get("strict"));
    if let Some(strict) = strict {
        draft.remark_at(
            Kind::Different,
            ("strict", strict.place.line),
            "it chooses between two classes of redis-py, which name some arguments in another order; servers do not see it",
        );
    }
}
