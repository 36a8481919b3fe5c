//! twemproxy's `nutcracker.yml`.
//!
//! Source: twemproxy 0.5.0, `src/nc_conf.c` and `nc_conf.h`: what is read, what is refused, and what counts where a directive is missing.
//! `reuseport`, which came after it, is known too. It
//! counts numbers in 32 bits without a check; here, those that do not fit are refused. Listening addresses are not resolved.

use super::draft::{Draft, Node, Nodes, Server, Template};
use super::error::{Place, Problem, shown};
use super::remark::Kind;
use super::write::bounded;
use super::yaml::{self, Block, Scalar, Value};
use super::{Found, Skipped, host};
use crate::config::Address;
use crate::hash::Hashkit;
use crate::placement::Algorithm;
use std::collections::HashMap;
use std::time::Duration;

/// Longest path of a listening socket.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// The port that is left out of a server's name.
const PORT_UNNAMED: u16 = 11_211;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distribution {
    Ketama,
    Modula,
    Random,
}

/// A value with its line, where it stands in the file.
type Given<T> = Option<(T, Place)>;

struct Pool {
    name: Scalar,
    listen: String,
    hash: Given<Hashkit>,
    hash_tag: Given<String>,
    distribution: Given<Distribution>,
    timeout: Given<u32>,
    backlog: Given<u32>,
    client_connections: Given<u32>,
    redis: Given<bool>,
    tcpkeepalive: Given<bool>,
    reuseport: Given<bool>,
    redis_auth: Given<String>,
    redis_db: Given<u32>,
    preconnect: Given<bool>,
    auto_eject_hosts: Given<bool>,
    server_connections: Given<u32>,
    server_retry_timeout: Given<u32>,
    server_failure_limit: Given<u32>,
    servers: Vec<Line>,
}

/// A line of `servers`.
struct Line {
    /// As it stands in the file.
    text: String,
    place: Place,
    /// What is hashed: the name, or `host:port`, `host` or `/path:`.
    hashed: String,
    /// The name that the line ends in.
    name: Option<String>,
    /// `host:port` or `/path`, as written.
    written: String,
    host: String,
    /// `None` for a socket.
    port: Option<u16>,
    weight: u32,
}

pub(super) fn read(text: &str) -> Result<Vec<Found>, Problem> {
    let blocks = yaml::read(text)?;
    let pools = blocks
        .into_iter()
        .map(Pool::read)
        .collect::<Result<Vec<Pool>, Problem>>()?;
    check_different(&pools)?;
    pools.into_iter().map(found).collect()
}

/// No two pools may have one name or one listening address.
fn check_different(pools: &[Pool]) -> Result<(), Problem> {
    let (mut names, mut listens) = (HashMap::new(), HashMap::new());
    for pool in pools {
        let first = match names.insert(&pool.name.text, pool) {
            Some(first) => Some((first, "name")),
            None => listens
                .insert(&pool.listen, pool)
                .map(|first| (first, "listening address")),
        };
        if let Some((first, what)) = first {
            return Err(Problem::new(format!("two pools have one {what}"))
                .at(pool.name.place)
                .read(format!(
                    "the pool {:?}, as that of line {}",
                    shown(&pool.name.text),
                    first.name.place.line
                ))
                .expected("names and listening addresses that differ: nutcracker refuses others")
                .help("remove or change one of the two"));
        }
    }
    Ok(())
}

impl Pool {
    fn read(block: Block) -> Result<Pool, Problem> {
        let mut pool = Pool {
            name: block.name,
            listen: String::new(),
            hash: None,
            hash_tag: None,
            distribution: None,
            timeout: None,
            backlog: None,
            client_connections: None,
            redis: None,
            tcpkeepalive: None,
            reuseport: None,
            redis_auth: None,
            redis_db: None,
            preconnect: None,
            auto_eject_hosts: None,
            server_connections: None,
            server_retry_timeout: None,
            server_failure_limit: None,
            servers: Vec::new(),
        };
        let mut listen = None;
        let mut has_servers = false;
        for directive in block.directives {
            let key = &directive.key;
            if key.text == "servers" {
                if std::mem::replace(&mut has_servers, true) {
                    return Err(twice(key));
                }
                let Value::List(items) = directive.value else {
                    return Err(Problem::new("`servers` is no list")
                        .at(key.place)
                        .expected("a server a line, each behind a dash")
                        .help("write - host:port:weight below servers:"));
                };
                pool.servers = items
                    .into_iter()
                    .map(Line::read)
                    .collect::<Result<_, _>>()?;
                continue;
            }
            let value = match directive.value {
                Value::Scalar(value) => value,
                Value::List(_) if !DIRECTIVES.split(", ").any(|known| known == key.text) => {
                    return Err(unknown(key));
                }
                Value::List(_) => {
                    return Err(Problem::new("a list where one value is expected")
                        .at(key.place)
                        .read(format!("a list as {:?}", shown(&key.text)))
                        .expected("a list of servers only")
                        .help("write the value behind the colon"));
                }
            };
            match key.text.as_str() {
                "listen" => set(&mut listen, key, &value, |text| listening(text))?,
                "hash" => set(&mut pool.hash, key, &value, hash)?,
                "hash_tag" => set(&mut pool.hash_tag, key, &value, hash_tag)?,
                "distribution" => set(&mut pool.distribution, key, &value, distribution)?,
                "timeout" => set(&mut pool.timeout, key, &value, number)?,
                "backlog" => set(&mut pool.backlog, key, &value, number)?,
                "client_connections" => {
                    set(&mut pool.client_connections, key, &value, number)?;
                }
                "redis" => set(&mut pool.redis, key, &value, flag)?,
                "tcpkeepalive" => set(&mut pool.tcpkeepalive, key, &value, flag)?,
                "reuseport" => set(&mut pool.reuseport, key, &value, flag)?,
                "redis_auth" => {
                    set(
                        &mut pool.redis_auth,
                        key,
                        &value,
                        |text| Ok(text.to_owned()),
                    )?;
                }
                "redis_db" => set(&mut pool.redis_db, key, &value, number)?,
                "preconnect" => set(&mut pool.preconnect, key, &value, flag)?,
                "auto_eject_hosts" => set(&mut pool.auto_eject_hosts, key, &value, flag)?,
                "server_connections" => {
                    set(
                        &mut pool.server_connections,
                        key,
                        &value,
                        |text| match number(text)? {
                            0 => Err(Problem::new("server_connections is 0")
                                .expected("at least 1: nutcracker refuses 0")),
                            number => Ok(number),
                        },
                    )?;
                }
                "server_retry_timeout" => {
                    set(&mut pool.server_retry_timeout, key, &value, number)?;
                }
                "server_failure_limit" => {
                    set(&mut pool.server_failure_limit, key, &value, number)?;
                }
                _ => return Err(unknown(key)),
            }
        }
        pool.check(listen)
    }

    fn check(mut self, listen: Given<String>) -> Result<Pool, Problem> {
        let at_pool = |what: &str| {
            Problem::new(format!("{what} in the pool {:?}", shown(&self.name.text)))
                .at(self.name.place)
        };
        let Some((listen, _)) = listen else {
            return Err(at_pool("no `listen`")
                .expected("listen: host:port, without which nutcracker does not start")
                .help("is this the whole file?"));
        };
        if self.servers.is_empty() {
            return Err(at_pool("no servers")
                .expected("servers: and a list of at least one")
                .help("is this the whole file?"));
        }
        if let (false, Some((_, place))) = (self.is_redis(), &self.redis_auth) {
            return Err(Problem::new("redis_auth in a pool that is not for Redis")
                .at(*place)
                .expected("redis: true beside it: nutcracker refuses it otherwise")
                .help("add redis: true if the servers are Redis"));
        }
        let mut lines: HashMap<&str, &Line> = HashMap::new();
        for line in &self.servers {
            if let Some(first) = lines.insert(&line.hashed, line) {
                return Err(Problem::new("two servers have one name")
                    .at(line.place)
                    .read(format!(
                        "{:?}, as in line {}",
                        shown(&line.hashed),
                        first.place.line
                    ))
                    .expected("names that differ: nutcracker refuses others. Without a name, host:port is one, without the port if it is 11211")
                    .help("remove or rename one"));
            }
        }
        self.listen = listen;
        Ok(self)
    }

    fn is_redis(&self) -> bool {
        matches!(self.redis, Some((true, _)))
    }
}

fn set<T>(
    slot: &mut Given<T>,
    key: &Scalar,
    value: &Scalar,
    read: impl FnOnce(&str) -> Result<T, Problem>,
) -> Result<(), Problem> {
    if slot.is_some() {
        return Err(twice(key));
    }
    let value = read(&value.text).map_err(|problem| {
        problem
            .help(format!(
                "see twemproxy's README for what {} may be",
                key.text
            ))
            .at(value.place)
    })?;
    *slot = Some((value, key.place));
    Ok(())
}

fn twice(key: &Scalar) -> Problem {
    Problem::new(format!("{:?} stands twice in one pool", shown(&key.text)))
        .at(key.place)
        .expected("every directive once: nutcracker refuses others")
        .help("remove one")
}

const DIRECTIVES: &str = "listen, hash, hash_tag, distribution, timeout, backlog, client_connections, redis, tcpkeepalive, reuseport, redis_auth, \
                          redis_db, preconnect, auto_eject_hosts, server_connections, server_retry_timeout, server_failure_limit, servers";

fn unknown(key: &Scalar) -> Problem {
    Problem::new("nutcracker 0.5.0 has no such directive")
        .at(key.place)
        .read(format!("{:?}", shown(&key.text)))
        .expected(DIRECTIVES)
        .help("if a changed nutcracker reads this file: find out whether the directive changes where keys are; if it does not, remove the line and import again")
}

fn number(text: &str) -> Result<u32, Problem> {
    let refused = |what: &str| {
        Problem::new(what)
            .read(format!("{:?}", shown(text)))
            .expected(format!("a whole number, from 0 to {}", i32::MAX))
    };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(refused("not a number"));
    }
    match text.parse::<u32>() {
        Ok(number) if number <= i32::MAX as u32 => Ok(number),
        _ => Err(refused(
            "the number is too large: nutcracker counts in 32 bits and takes another",
        )),
    }
}

fn flag(text: &str) -> Result<bool, Problem> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Problem::new("neither true nor false")
            .read(format!("{:?}", shown(text)))
            .expected("true or false, in lower case: nutcracker takes no yes or on")),
    }
}

fn hash(text: &str) -> Result<Hashkit, Problem> {
    text.parse().map_err(|_| {
        let names: Vec<&str> = Hashkit::all().map(Hashkit::name).collect();
        Problem::new("unknown hash")
            .read(format!("{:?}", shown(text)))
            .expected(format!("one of {}", names.join(", ")))
    })
}

fn hash_tag(text: &str) -> Result<String, Problem> {
    match text.len() {
        2 => Ok(text.to_owned()),
        _ => Err(Problem::new("hash_tag has not two characters")
            .read(format!("{:?}", shown(text)))
            .expected("two characters, in quotes: \"{}\"")),
    }
}

fn distribution(text: &str) -> Result<Distribution, Problem> {
    match text {
        "ketama" => Ok(Distribution::Ketama),
        "modula" => Ok(Distribution::Modula),
        "random" => Ok(Distribution::Random),
        _ => Err(Problem::new("unknown distribution")
            .read(format!("{:?}", shown(text)))
            .expected("ketama, modula or random")),
    }
}

/// `host:port`, or a path and maybe its permissions.
fn listening(text: &str) -> Result<String, Problem> {
    let refused = |what: &str| {
        Problem::new(what)
            .read(format!("{:?}", shown(text)))
            .expected("host:port, or the path of a socket and maybe its permissions in octal")
    };
    if text.starts_with('/') {
        let (path, mode) = text
            .rsplit_once(' ')
            .map_or((text, None), |(path, mode)| (path, Some(mode)));
        if path.len() > SOCKET_PATH_BYTES_MAX {
            return Err(refused("the path of the listening socket is too long"));
        }
        let digits = |mode: &str| {
            let mode = mode.trim_start_matches('0');
            mode.find(|c: char| !c.is_digit(8)).unwrap_or(mode.len())
        };
        // As strtol reads it: up to what is no octal digit.
        if mode.is_some_and(|mode| mode.starts_with('-') || digits(mode) > 3) {
            return Err(refused(
                "the permissions of the listening socket are beyond 0777",
            ));
        }
        return Ok(text.to_owned());
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(refused("the listening address has no port"));
    };
    host::port(port).map_err(|_| refused("the listening port is not a number from 1 to 65535"))?;
    if host.starts_with('[') || host::tcp(host, 1).is_err() {
        return Err(refused(
            "the listening address has no host that can be resolved",
        ));
    }
    Ok(text.to_owned())
}

impl Line {
    /// `host:port:weight`, `/path:weight`, each maybe with a name behind a space. Read from its end, as nutcracker does.
    fn read(item: Scalar) -> Result<Line, Problem> {
        let text = item.text.as_str();
        let refused = |what: &str| {
            Err(Problem::new(what)
                .at(item.place)
                .read(format!("{:?}", shown(text)))
                .expected("host:port:weight or /path:weight, and maybe a name behind one space")
                .help("the weight must not be left out; 1 is an equal share"))
        };
        let (address, name) = text
            .rsplit_once(' ')
            .map_or((text, None), |(address, name)| (address, Some(name)));
        if name == Some("") {
            return refused("a space and no name behind it");
        }
        let Some((written, weight)) = address.rsplit_once(':') else {
            return refused("the server has no weight");
        };
        let weight = match number(weight) {
            Ok(0) => return refused("the server's weight is 0"),
            Ok(weight) => weight,
            Err(_) => return refused("the server's weight is not a number from 1 to 2147483647"),
        };
        let (host, port, hashed) = if text.starts_with('/') {
            if written.contains(':') {
                return refused("the path of the server's socket has a colon");
            }
            (written, None, format!("{written}:"))
        } else {
            let Some((host, port)) = written.rsplit_once(':') else {
                return refused("the server has no port, or no weight");
            };
            let Ok(port) = padded_port(port) else {
                return refused("the server's port is not a number from 1 to 65535");
            };
            let hashed = match port {
                PORT_UNNAMED => host,
                _ => written,
            };
            (host, Some(port), hashed.to_owned())
        };
        if host.is_empty() {
            return refused("the server has no host");
        }
        Ok(Line {
            hashed: name.map_or(hashed, str::to_owned),
            name: name.map(str::to_owned),
            written: written.to_owned(),
            host: host.to_owned(),
            port,
            weight,
            place: item.place,
            text: item.text,
        })
    }

    fn address(&self) -> Result<Address, Problem> {
        match self.port {
            Some(port) => host::tcp(&self.host, port),
            None => host::unix(&self.host),
        }
        .map_err(|problem| problem.at(self.place))
    }

    /// What the preset is given as a node's name, of which it makes what is hashed.
    fn node_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.written)
    }
}

/// With any zeros before it.
fn padded_port(text: &str) -> Result<u16, Problem> {
    let significant = text.trim_start_matches('0');
    host::port(significant)
}

fn found(pool: Pool) -> Result<Found, Problem> {
    let origin = format!("pool {:?}", shown(&pool.name.text));
    let skipped = |reason: &str| {
        Ok(Found::Skipped(Skipped {
            origin: pool.name.text.clone(),
            line: pool.name.place.line,
            reason: reason.to_owned(),
        }))
    };
    if !pool.is_redis() {
        return skipped(match pool.redis {
            Some(_) => {
                "redis: false makes it a pool of memcached servers, which keyway does not speak to"
            }
            None => {
                "without redis: true it is a pool of memcached servers, which keyway does not speak to"
            }
        });
    }
    let algorithm = match pool.distribution {
        None | Some((Distribution::Ketama, _)) => Algorithm::TwemproxyKetama,
        Some((Distribution::Modula, _)) => Algorithm::TwemproxyModula,
        Some((Distribution::Random, _)) => {
            return skipped(
                "distribution: random puts every key on any server, so that none can be found again. Its data is read by asking every server for every \
                 key: cluster.servers().each(..) with any algorithm; then write it anew under that",
            );
        }
    };
    let mut draft = Draft::new(origin, &pool.name.text, pool.name.place, algorithm);
    draft.options.hash = Some(pool.hash.map_or(Hashkit::Fnv1a64, |(hash, _)| hash));
    if let Some((tag, place)) = &pool.hash_tag {
        let tag: [u8; 2] = tag.as_bytes().try_into().unwrap_or_default();
        if !tag.is_ascii() || tag[0] == 0 {
            return Err(Problem::new("hash_tag is one character of two bytes")
                .at(*place)
                .expected("two ASCII characters")
                .help("keyway has no such tags: place keys by a function of your own (custom)"));
        }
        draft.options.hash_tag = Some(tag);
    }
    servers(&mut draft, &pool)?;
    timeouts(&mut draft, &pool);
    secrets(&mut draft, &pool);
    failures(&mut draft, &pool);
    connections(&mut draft, &pool);
    Ok(Found::Cluster(Box::new(draft)))
}

fn servers(draft: &mut Draft, pool: &Pool) -> Result<(), Problem> {
    // A name that the preset would read as an address is given to it as a label, which is hashed as it is; then all are.
    let is_plain = |line: &Line| match &line.name {
        None => true,
        Some(name) => !name.starts_with('/') && !name.contains(':'),
    };
    let has_labels = !pool.servers.iter().all(is_plain);
    let node = |line: &Line| match has_labels {
        true => Node {
            name: line.hashed.clone(),
            weight: line.weight,
            label: Some(Template::text(&line.hashed)),
        },
        false => Node {
            name: line.node_name().to_owned(),
            weight: line.weight,
            label: None,
        },
    };
    draft.nodes = Nodes::Named(pool.servers.iter().map(node).collect());
    let database = pool.redis_db.as_ref().map_or(0, |(database, _)| *database);
    let mut together = 0;
    for (index, line) in pool.servers.iter().enumerate() {
        let address = line.address()?;
        let name = match &line.name {
            Some(name) => name.clone(),
            None => host::server_name(&address, 0),
        };
        let mut server = Server::new(name, address, database);
        server.nodes.push(index as u16);
        server
            .notes
            .push(format!("Line {}: - {}", line.place.line, line.text));
        together += usize::from(draft.add(server));
    }
    if together > 0 {
        draft.remark(
            Kind::Different,
            "servers",
            "servers of one address are one server here, which has the nodes of all of them",
        );
    }
    if let Some(line) = pool.servers.iter().find(|line| line.host.starts_with('[')) {
        draft.remark_at(
            Kind::Different,
            ("servers", line.place.line),
            "nutcracker finds no host by an address in [ ], so that it never reached this server; keyway does",
        );
    }
    Ok(())
}

fn timeouts(draft: &mut Draft, pool: &Pool) {
    match pool.timeout {
        Some((timeout @ 1.., place)) => {
            let (duration, is_changed) = bounded(Duration::from_millis(timeout.into()));
            draft.response = Some(duration);
            draft.connect = Some(duration);
            let mut text = String::from(
                "timeouts.connect and timeouts.response here. keyway's deadline is that of a whole call, with its retries",
            );
            if is_changed {
                text += "; 24 hours are the most";
            }
            draft.remark_at(Kind::Different, ("timeout", place.line), text);
        }
        Some((0, place)) => draft.remark_at(
            Kind::Different,
            ("timeout", place.line),
            "0 waits for ever, and so may a client of keyway not: timeouts.response is 500ms unless the file says otherwise",
        ),
        None => draft.remark(
            Kind::Different,
            "timeout",
            "nutcracker waits for ever without one, and so may a client of keyway not: timeouts.response is 500ms unless the file says otherwise",
        ),
    }
}

fn secrets(draft: &mut Draft, pool: &Pool) {
    if let Some((password, place)) = &pool.redis_auth {
        let variable = draft.variable("PASSWORD", password);
        draft.remark_at(
            Kind::ToDo,
            ("redis_auth", place.line),
            format!("set the variable {variable} to the password, which is not in this file"),
        );
        draft.password = Some(variable);
    }
}

fn failures(draft: &mut Draft, pool: &Pool) {
    let Some((true, place)) = pool.auto_eject_hosts else {
        for (setting, given) in [
            ("server_retry_timeout", pool.server_retry_timeout),
            ("server_failure_limit", pool.server_failure_limit),
        ] {
            if let Some((_, place)) = given {
                draft.remark_at(
                    Kind::NoEqual,
                    (setting, place.line),
                    "of use to nutcracker with auto_eject_hosts only; keyway dials a lost server again by itself, at growing intervals up to 1s",
                );
            }
        }
        return;
    };
    draft.remark_at(
        Kind::NoEqual,
        ("auto_eject_hosts", place.line),
        "the keys of a dead server go nowhere else: they are errors, or misses with mode = \"cache\". What nutcracker wrote while a server was ejected \
         lies on others, where nobody looks for it; `keyway check` finds it",
    );
    for (setting, given) in [
        ("server_retry_timeout", pool.server_retry_timeout),
        ("server_failure_limit", pool.server_failure_limit),
    ] {
        if let Some((_, place)) = given {
            draft.remark_at(
                Kind::NoEqual,
                (setting, place.line),
                "nothing is ejected, so nothing has to be let in again; a lost server is dialled again at growing intervals up to 1s",
            );
        }
    }
}

fn connections(draft: &mut Draft, pool: &Pool) {
    let mut listening = vec!["listen"];
    for (setting, given) in [
        ("backlog", pool.backlog.is_some()),
        ("client_connections", pool.client_connections.is_some()),
        ("reuseport", pool.reuseport.is_some()),
    ] {
        if given {
            listening.push(setting);
        }
    }
    draft.remark(
        Kind::NoEqual,
        &listening.join(", "),
        "there is no proxy, and nothing listens. Every process that uses keyway connects to every server itself: they must be reachable from there, and their maxclients must allow it",
    );
    if let Some((count @ 2.., place)) = pool.server_connections {
        draft.remark_at(
            Kind::Different,
            ("server_connections", place.line),
            format!(
                "not taken over: one connection carries the commands of all tasks, and pool.connections = {} would be no help, as a server with one node uses one of \
                 them. For big values there is cluster.bulk()",
                count.min(64)
            ),
        );
    }
    if let Some((true, place)) = pool.preconnect {
        draft.remark_at(
            Kind::Different,
            ("preconnect", place.line),
            "keyway always does; startup = \"all\" makes it an error if a server cannot be reached then",
        );
    }
    if let Some((keepalive, _)) = pool.tcpkeepalive {
        draft.keepalive = Some(keepalive);
    }
}
