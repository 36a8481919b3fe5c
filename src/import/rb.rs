//! rb: the arguments of `Cluster`.
//!
//! Source: rb 1.11.0, `rb/cluster.py` (`Cluster`, `HostInfo`), `rb/router.py`; the `repr` of CPython 3.

use super::draft::{Draft, Node, Nodes, Piece, Server, Template, Tls};
use super::error::{Place, Problem, shown};
use super::literal::{Kind as ValueKind, Value};
use super::python::{Cluster, Fields, Number, Secret, gap, seconds, secret, variables};
use super::remark::Kind;
use super::write::bounded;
use super::{Found, Skipped, host};
use crate::placement::Algorithm;
use std::fmt::Write;

/// Of `Cluster`.
const SETTINGS: [&str; 6] = [
    "hosts",
    "host_defaults",
    "pool_cls",
    "pool_options",
    "router_cls",
    "router_options",
];

/// Of `add_host`.
const OPTIONS: [&str; 8] = [
    "host_id",
    "host",
    "port",
    "unix_socket_path",
    "db",
    "password",
    "ssl",
    "ssl_options",
];

struct Host<'v> {
    id: i64,
    place: Place,
    options: Fields<'v>,
}

pub(super) fn found(cluster: &Cluster<'_>) -> Result<Found, Problem> {
    let settings = &cluster.settings;
    settings
        .check_known(&SETTINGS, "rb's Cluster")
        .map_err(|problem| problem.at(cluster.place))?;
    let origin = format!("cluster {:?}", shown(cluster.name));
    let algorithm = match settings.get("router_cls") {
        None => Some(Algorithm::RbPartition),
        Some(router) => self::router(router),
    };
    let Some(algorithm) = algorithm else {
        return Ok(Found::Skipped(Skipped {
            origin: cluster.name.to_owned(),
            line: cluster.place.line,
            reason: "its router is none of rb's; a rule of your own is a function in code here: algorithm = \"custom\"".to_owned(),
        }));
    };
    let mut draft = Draft::new(origin, cluster.name, cluster.place, algorithm);
    let hosts = hosts(settings)?;
    if let Some(options) = settings.get("router_options")
        && settings.of(options)?.entries.first().is_some()
    {
        return Err(options
            .problem("rb's routers take no options")
            .expected("no router_options")
            .help("remove them"));
    }
    servers(&mut draft, &hosts)?;
    pool(&mut draft, settings)?;
    Ok(Found::Cluster(Box::new(draft)))
}

fn router(value: &Value) -> Option<Algorithm> {
    let name = match &value.kind {
        ValueKind::None => return Some(Algorithm::RbPartition),
        ValueKind::Text { text, .. } => text,
        ValueKind::Name(name) => name,
        _ => return None,
    };
    let (module, class) = name.rsplit_once('.').unwrap_or(("", name));
    if !matches!(module, "" | "rb" | "rb.router" | "router") {
        return None;
    }
    match class {
        "PartitionRouter" => Some(Algorithm::RbPartition),
        "ConsistentHashingRouter" => Some(Algorithm::RbKetama),
        _ => None,
    }
}

/// In the order of their ids, which are 0, 1, 2 and so on.
fn hosts<'v>(settings: &Fields<'v>) -> Result<Vec<Host<'v>>, Problem> {
    let defaults = match settings.get("host_defaults") {
        Some(defaults) => Some(settings.of(defaults)?),
        None => None,
    };
    let mut read = Vec::new();
    for entry in super::python::hosts(settings)? {
        let (id, host) = match (&entry.number, &entry.value.kind) {
            (Some(number), _) => (Some(number.clone()), entry.value),
            (None, ValueKind::Tuple(pair)) if pair.len() == 2 => {
                (int(settings.resolve(&pair[0])), &pair[1])
            }
            (None, _) => (None, entry.value),
        };
        let mut options = settings.of(host)?;
        for (key, value) in defaults.iter().flat_map(|defaults| &defaults.entries) {
            if options.get(key).is_none() {
                options.entries.push((key, value));
            }
        }
        options
            .check_known(&OPTIONS, "a host of rb")
            .map_err(|problem| problem.at(entry.place))?;
        let id = id.or(options.get("host_id").and_then(int));
        let Some(Number::Int(id)) = id else {
            return Err(Problem::new("the id of a host is no number")
                .at(entry.place)
                .expected("hosts numbered 0, 1, 2 and so on, each once: rb refuses others")
                .help("number them as the program does"));
        };
        read.push(Host {
            id,
            place: entry.place,
            options,
        });
    }
    let ids: Vec<Number> = read.iter().map(|host| Number::Int(host.id)).collect();
    if let Some(missing) = gap(ids.iter()) {
        return Err(Problem::new(format!("there is no host {missing}"))
            .at(read.first().map_or(Place::START, |host| host.place))
            .read(format!("{} hosts", ids.len()))
            .expected("hosts numbered 0, 1, 2 and so on, each once: rb refuses others")
            .help("give the settings that are in use"));
    }
    read.sort_by_key(|host| host.id);
    Ok(read)
}

fn int(value: &Value) -> Option<Number> {
    match value.kind {
        ValueKind::Int(number) => Some(Number::Int(number)),
        _ => None,
    }
}

fn servers(draft: &mut Draft, hosts: &[Host<'_>]) -> Result<(), Problem> {
    let secrets: Vec<(String, Secret)> = hosts
        .iter()
        .map(|host| Ok((host.id.to_string(), secret(host.options.get("password"))?)))
        .collect::<Result<_, Problem>>()?;
    let passwords = variables(draft, &secrets);
    let is_inherited = draft.password.is_some();
    if draft.algorithm == Algorithm::RbKetama {
        let mut nodes = Vec::new();
        for (host, password) in hosts.iter().zip(&passwords) {
            nodes.push(Node {
                name: host.id.to_string(),
                weight: 1,
                label: Some(label(draft, host, password.as_deref())?),
            });
        }
        draft.nodes = Nodes::Named(nodes);
        draft.remark(
            Kind::ToDo,
            "labels",
            "hold them against repr(cluster.hosts[0]) and so on, which rb hashes: they are as Python 3 writes them, and Python 2 puts u before some texts",
        );
    } else {
        draft.nodes = Nodes::Numbered(hosts.len() as u16);
    }
    for (index, (host, password)) in hosts.iter().zip(passwords).enumerate() {
        let mut server = server(draft, host)?;
        server.password = password.filter(|_| !is_inherited);
        server.nodes.push(index as u16);
        server
            .notes
            .push(format!("Line {}: host {}", host.place.line, host.id));
        if draft.add(server) {
            draft.remark_at(
                Kind::Different,
                ("hosts", host.place.line),
                "a host that is the same database as another one is one server with it here, which has the nodes of both",
            );
        }
    }
    Ok(())
}

fn server(draft: &mut Draft, host: &Host<'_>) -> Result<Server, Problem> {
    let options = &host.options;
    let wrong = |value: &Value, key: &str, expected: &str| {
        value
            .problem(format!("{key} of host {} is not known here", host.id))
            .read(value.what())
            .expected(expected)
            .help("write down what it comes to: this reads Python and does not run it")
    };
    let name = match options.get("host").map(|value| (value, &value.kind)) {
        None => "localhost",
        Some((_, ValueKind::Text { text, .. })) => text,
        Some((value, _)) => return Err(wrong(value, "host", "a text")),
    };
    let number = |key: &str, default: i64| match options.get(key).map(|v| (v, &v.kind)) {
        None | Some((_, ValueKind::None)) => Ok(default),
        Some((_, ValueKind::Int(number))) => Ok(*number),
        Some((value, ValueKind::Text { text, .. })) => match text.parse() {
            Ok(number) => Ok(number),
            Err(_) => Err(wrong(value, key, "a number")),
        },
        Some((value, _)) => Err(wrong(value, key, "a number")),
    };
    let port = number("port", 6379)?;
    let Ok(database) = u32::try_from(number("db", 0)?) else {
        return Err(wrong(
            options.get("db").unwrap_or(&ZERO),
            "db",
            "a number from 0",
        ));
    };
    let is_tls = match options.get("ssl").map(|value| (value, &value.kind)) {
        None | Some((_, ValueKind::None | ValueKind::Bool(false) | ValueKind::Int(0))) => false,
        Some((_, ValueKind::Bool(true) | ValueKind::Int(_))) => true,
        Some((value, _)) => return Err(wrong(value, "ssl", "True or False")),
    };
    let path = options.get("unix_socket_path");
    let address = match path.map(|value| (value, &value.kind)) {
        None | Some((_, ValueKind::None)) => {
            let port = host::port(&port.to_string());
            port.and_then(|port| host::tcp(name, port))
        }
        Some((value, _)) if is_tls => {
            return Err(wrong(
                value,
                "ssl beside unix_socket_path",
                "one of the two: rb refuses both",
            ));
        }
        Some((_, ValueKind::Text { text, .. })) => host::unix(text),
        Some((value, _)) => return Err(wrong(value, "unix_socket_path", "a text")),
    };
    let address = address.map_err(|problem| {
        let at = options.get("host").or(path);
        problem.at(at.map_or(host.place, |value| value.place))
    })?;
    let mut server = Server::new("", address, database);
    if is_tls {
        server.tls = Some(tls(draft, options)?);
    }
    Ok(server)
}

static ZERO: Value = Value {
    place: Place::START,
    kind: ValueKind::Int(0),
};

fn tls(draft: &mut Draft, options: &Fields<'_>) -> Result<Tls, Problem> {
    let mut tls = Tls::default();
    let given = match options.get("ssl_options") {
        Some(given) => options.of(given)?,
        None => return Ok(tls),
    };
    for (key, value) in &given.entries {
        let file = value.text().map(str::to_owned);
        let slot = match *key {
            "ca_certs" => &mut tls.ca_file,
            "certfile" => &mut tls.client_cert_file,
            "keyfile" => &mut tls.client_key_file,
            _ => {
                draft.remark_at(
                    Kind::ToDo,
                    ("ssl_options", value.place.line),
                    format!(
                        "{:?} is not taken over: look at [defaults.tls] in keyway's reference for what it may be there",
                        shown(key)
                    ),
                );
                continue;
            }
        };
        *slot = file;
    }
    if tls.client_cert_file.is_none() != tls.client_key_file.is_none() {
        // One file with both.
        let one = tls.client_cert_file.clone().or(tls.client_key_file.clone());
        tls.client_cert_file = one.clone();
        tls.client_key_file = one;
    }
    Ok(tls)
}

/// `repr` of the host, with variables for what is secret.
fn label(draft: &mut Draft, host: &Host<'_>, password: Option<&str>) -> Result<Template, Problem> {
    let options = &host.options;
    let printed = |key: &str, default: &str| match options.get(key) {
        None => Ok(default.to_owned()),
        Some(value) => repr(value),
    };
    let mut pieces = vec![Piece::Text(format!(
        "<HostInfo db={} host={} host_id={} password=",
        printed("db", "0")?,
        printed("host", "'localhost'")?,
        host.id
    ))];
    match (options.get("password"), password) {
        (Some(value), Some(variable)) => {
            secret_repr(draft, host, value, variable, &mut pieces);
        }
        (value, _) => pieces.push(Piece::Text(value.map_or(Ok("None".to_owned()), repr)?)),
    }
    pieces.push(Piece::Text(format!(
        " port={} ssl={} ssl_options=",
        printed("port", "6379")?,
        printed("ssl", "False")?,
    )));
    let ssl_options = printed("ssl_options", "None")?;
    match ssl_options.contains("password") {
        true => {
            let variable = draft.variable(&format!("SSL_OPTIONS_{}", host.id), &ssl_options);
            draft.remark(
                Kind::ToDo,
                "ssl_options",
                format!(
                    "set the variable {variable} to repr(cluster.hosts[{}].ssl_options), which has a password in it and is not in this file",
                    host.id
                ),
            );
            pieces.push(Piece::Variable(variable));
        }
        false => pieces.push(Piece::Text(ssl_options)),
    }
    pieces.push(Piece::Text(format!(
        " unix_socket_path={}>",
        printed("unix_socket_path", "None")?
    )));
    Ok(Template(pieces))
}

fn secret_repr(
    draft: &mut Draft,
    host: &Host<'_>,
    value: &Value,
    variable: &str,
    pieces: &mut Vec<Piece>,
) {
    let (quote, is_plain) = match (&value.kind, value.text()) {
        (ValueKind::Int(_), _) => ("", true),
        (_, Some(text)) => {
            let printed = text_repr(text);
            let quote = if printed.starts_with('"') { "\"" } else { "'" };
            let is_plain = text.is_ascii() && printed == format!("{quote}{text}{quote}");
            (quote, is_plain)
        }
        // Computed: as most passwords are.
        _ => ("'", true),
    };
    if is_plain {
        pieces.push(Piece::Text(quote.to_owned()));
        pieces.push(Piece::Variable(variable.to_owned()));
        pieces.push(Piece::Text(quote.to_owned()));
        return;
    }
    let printed = value.text().map(text_repr).unwrap_or_default();
    let suffix = format!("PASSWORD_REPR_{}", host.id);
    let variable = draft.variable(&suffix, &printed);
    draft.remark_at(
        Kind::ToDo,
        ("password", value.place.line),
        format!(
            "set the variable {variable} to repr(password), quotes included: Python writes this password in another way than it is, and rb hashes that"
        ),
    );
    pieces.push(Piece::Variable(variable));
}

/// CPython 3's `repr`.
fn repr(value: &Value) -> Result<String, Problem> {
    let list = |items: &[Value], open: &str, close: &str| {
        let items = items.iter().map(repr).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("{open}{}{close}", items.join(", ")))
    };
    match &value.kind {
        ValueKind::None => Ok("None".to_owned()),
        ValueKind::Bool(true) => Ok("True".to_owned()),
        ValueKind::Bool(false) => Ok("False".to_owned()),
        ValueKind::Int(number) => Ok(number.to_string()),
        ValueKind::Text { text, .. } if text.is_ascii() => Ok(text_repr(text)),
        ValueKind::List(items) => list(items, "[", "]"),
        ValueKind::Tuple(items) if items.len() == 1 => list(items, "(", ",)"),
        ValueKind::Tuple(items) => list(items, "(", ")"),
        ValueKind::Dict(entries) => {
            let mut printed = Vec::new();
            for (key, value) in entries {
                printed.push(format!("{}: {}", repr(key)?, repr(value)?));
            }
            Ok(format!("{{{}}}", printed.join(", ")))
        }
        _ => Err(value
            .problem("what rb hashes of this is not known here")
            .read(value.what())
            .expected("ASCII texts, whole numbers, True, False, None, and lists and dicts of them, as they stand")
            .help("write down what it comes to: this reads Python and does not run it")),
    }
}

/// In single quotes, or in double ones if only single ones are in it.
fn text_repr(text: &str) -> String {
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    let mut printed = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => printed.push_str("\\\\"),
            '\n' => printed.push_str("\\n"),
            '\r' => printed.push_str("\\r"),
            '\t' => printed.push_str("\\t"),
            c if c == quote => {
                printed.push('\\');
                printed.push(c);
            }
            ' '..='~' => printed.push(c),
            c if c.is_ascii() => {
                let _ = write!(printed, "\\x{:02x}", u32::from(c));
            }
            // Printable, as far as is known.
            c => printed.push(c),
        }
    }
    printed.push(quote);
    printed
}

fn pool(draft: &mut Draft, settings: &Fields<'_>) -> Result<(), Problem> {
    if let Some(class) = settings.get("pool_cls") {
        draft.remark_at(
            Kind::NoEqual,
            ("pool_cls", class.place.line),
            "keyway has one kind of pool, see [pool]",
        );
    }
    let given = match settings.get("pool_options") {
        Some(given) => settings.of(given)?,
        None => {
            no_timeout(draft);
            return Ok(());
        }
    };
    for (key, value) in &given.entries {
        let at = (*key, value.place.line);
        match (*key, seconds(value)) {
            ("socket_timeout", Some(timeout)) => {
                draft.response = Some(bounded(timeout).0);
                draft.remark_at(
                    Kind::Different,
                    at,
                    "timeouts.response here, which is the deadline of a whole call with its retries",
                );
            }
            ("socket_connect_timeout", Some(timeout)) => draft.connect = Some(bounded(timeout).0),
            ("socket_timeout" | "socket_connect_timeout", None) => {}
            ("password" | "db", _) => {
                draft.remark_at(
                    Kind::Different,
                    at,
                    "rb passes it over for that of the host",
                );
            }
            _ => draft.remark_at(
                Kind::NoEqual,
                at,
                "an option of redis-py that is not taken over; see [pool], [tcp] and [retry]",
            ),
        }
    }
    if draft.response.is_none() {
        no_timeout(draft);
    }
    Ok(())
}

fn no_timeout(draft: &mut Draft) {
    draft.remark(
        Kind::Different,
        "socket_timeout",
        "rb waits for ever without one, and so may a client of keyway not: timeouts.response is 500ms unless the file says otherwise",
    );
}
