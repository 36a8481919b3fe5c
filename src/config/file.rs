//! From TOML to a [`ConfigBuilder`].
//!
//! The table is walked by hand rather than by serde's derive: serde's errors repeat the value that they refuse, which may be a
//! password, and cannot say what to do.

use super::{
    Address, Config, ConfigError, Endpoint, Mode, MultiKey, Password, Protocol, Secret, Startup,
    Timeouts, Tls,
    address::{DATABASE_MAX, ExpandProblem, expand, expand_url, parse_url},
    builder::{ConfigBuilder, ServerDraft},
    nodes::{NodesError, parse_ranges},
    quantity::{parse_duration, parse_size},
    source::{Problem, Source},
};
use crate::placement::{Algorithm, NODES_MAX, NodeId, NodeSpec, Placement};
use std::{
    cell::RefCell,
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

type Result<T, E = Problem> = std::result::Result<T, E>;

/// Every table with its settings. `servers` has names of its own in between.
const ROOT: &[&str] = &[
    "name",
    "mode",
    "protocol",
    "multi_key",
    "startup",
    "placement",
    "defaults",
    "servers",
    "timeouts",
    "retry",
    "pool",
    "limits",
    "tcp",
];
const PLACEMENT: &[&str] = &["algorithm", "nodes", "names", "weights"];
const DEFAULTS: &[&str] = &["username", "password", "password_file", "database", "tls"];
const SERVER: &[&str] = &[
    "url",
    "nodes",
    "username",
    "password",
    "password_file",
    "database",
    "tls",
];
const TLS: &[&str] = &[
    "ca_file",
    "client_cert_file",
    "client_key_file",
    "server_name",
    "danger_accept_invalid_certificates",
];
const TIMEOUTS: &[&str] = &["connect", "response", "dead", "idle_ping", "close"];
const RETRY: &[&str] = &[
    "attempts_max",
    "backoff_min",
    "backoff_max",
    "budget_percent",
];
const POOL: &[&str] = &[
    "connections",
    "bulk_connections",
    "dedicated_max",
    "dedicated_idle_max",
];
const LIMITS: &[&str] = &[
    "in_flight_max",
    "request_bytes_max",
    "reply_bytes_max",
    "gather_bytes_max",
    "scripts_max",
    "pubsub_buffer",
];
const TCP: &[&str] = &[
    "nodelay",
    "keepalive",
    "keepalive_idle",
    "keepalive_interval",
    "keepalive_retries",
];

const TABLES: &[(&str, &[&str])] = &[
    ("the top of the file", ROOT),
    ("[placement]", PLACEMENT),
    ("[defaults]", DEFAULTS),
    ("a [servers.NAME]", SERVER),
    ("a tls table", TLS),
    ("[timeouts]", TIMEOUTS),
    ("[retry]", RETRY),
    ("[pool]", POOL),
    ("[limits]", LIMITS),
    ("[tcp]", TCP),
];

/// For the test that the reference file leaves none out.
#[cfg(test)]
pub(super) fn all_settings() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|(_, settings)| *settings).copied()
}

/// What people call a setting in other programs.
const ALIASES: &[(&str, &str)] = &[
    ("user", "username"),
    ("pass", "password"),
    ("passwd", "password"),
    ("pwd", "password"),
    ("auth", "password"),
    ("requirepass", "password"),
    ("secret", "password"),
    ("token", "password"),
    ("db", "database"),
    ("uri", "url"),
    ("address", "url"),
    ("addr", "url"),
    ("host", "url"),
    ("hosts", "servers"),
    ("timeout", "response"),
    ("read_timeout", "response"),
    ("connect_timeout", "connect"),
    ("pool_size", "connections"),
    ("retries", "attempts_max"),
    ("slots", "nodes"),
    ("hash", "algorithm"),
    ("insecure", "danger_accept_invalid_certificates"),
    (
        "accept_invalid_certificates",
        "danger_accept_invalid_certificates",
    ),
];

/// The setting that a key is, or was meant to be.
pub(super) fn closest_setting(key: &str) -> Option<&'static str> {
    // An exact match in any table before a near one: `nodes` is not a misspelt `names`.
    let exact = TABLES
        .iter()
        .flat_map(|(_, settings)| *settings)
        .find(|setting| **setting == key);
    exact.copied().or_else(|| {
        let all: Vec<&'static str> = TABLES
            .iter()
            .flat_map(|(_, settings)| settings.iter().copied())
            .collect();
        closest(key, &all)
    })
}

fn closest<'s>(word: &str, candidates: &[&'s str]) -> Option<&'s str> {
    let lower = word.to_lowercase().replace('-', "_");
    if let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| *alias == lower)
        && let Some(candidate) = candidates.iter().find(|candidate| *candidate == meant)
    {
        return Some(candidate);
    }
    let allowed = (lower.chars().count() / 3).max(1);
    candidates
        .iter()
        .map(|candidate| (edits(&lower, candidate), *candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals and replacements between two words (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

pub(super) fn parse(
    text: &str,
    origin: &Path,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let file = File {
        source: RefCell::new(Source::new(text, origin)),
        directory: origin.parent().map(Path::to_path_buf).unwrap_or_default(),
        env,
    };
    let outcome = read(text, &file);
    outcome.map_err(|problem| file.source.borrow().error(problem))
}

fn read(text: &str, file: &File<'_>) -> Result<Config> {
    let document = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
    let root = document.get_ref();
    if let Some((key, _)) = root.get_key_value("control") {
        return Err(
            Problem::new("control", "this version does not support [control]")
                .at(key.span())
                .expected("a file that holds the topology itself: the nodes of every server")
                .help("remove [control]"),
        );
    }
    let root = Section::open(file, String::new(), root, ROOT)?;

    let name = root.required_text("name", "name = \"feeds\"")?;
    let mut draft = ConfigBuilder::new(name);
    draft.mode = root.choice("mode", &[("store", Mode::Store), ("cache", Mode::Cache)])?;
    draft.protocol = root.choice(
        "protocol",
        &[("resp2", Protocol::Resp2), ("resp3", Protocol::Resp3)],
    )?;
    draft.multi_key = root.choice(
        "multi_key",
        &[("split", MultiKey::Split), ("refuse", MultiKey::Refuse)],
    )?;
    draft.startup = root.choice("startup", &[("lazy", Startup::Lazy), ("all", Startup::All)])?;
    settings(&root, &mut draft)?;
    draft.placement = root
        .table("placement", PLACEMENT)?
        .map(|section| placement(&section))
        .transpose()?;
    if let Some(placement) = &draft.placement {
        draft.servers = servers(&root, placement)?;
    }
    draft.check()
}

fn settings(root: &Section<'_, '_>, draft: &mut ConfigBuilder) -> Result<()> {
    if let Some(section) = root.table("timeouts", TIMEOUTS)? {
        let mut response = draft.timeouts.response;
        section.duration("response", &mut response)?;
        draft.timeouts = Timeouts::for_response(response);
        section.duration("connect", &mut draft.timeouts.connect)?;
        section.duration("dead", &mut draft.timeouts.dead)?;
        section.duration("idle_ping", &mut draft.timeouts.idle_ping)?;
        section.duration("close", &mut draft.timeouts.close)?;
    }
    if let Some(section) = root.table("retry", RETRY)? {
        section.count("attempts_max", &mut draft.retry.attempts_max)?;
        section.duration("backoff_min", &mut draft.retry.backoff_min)?;
        section.duration("backoff_max", &mut draft.retry.backoff_max)?;
        section.count("budget_percent", &mut draft.retry.budget_percent)?;
    }
    if let Some(section) = root.table("pool", POOL)? {
        section.count("connections", &mut draft.pool.connections)?;
        section.count("bulk_connections", &mut draft.pool.bulk_connections)?;
        section.count("dedicated_max", &mut draft.pool.dedicated_max)?;
        // Its default must not contradict a small dedicated_max.
        draft.pool.dedicated_idle_max = draft.pool.dedicated_idle_max.min(draft.pool.dedicated_max);
        section.count("dedicated_idle_max", &mut draft.pool.dedicated_idle_max)?;
    }
    if let Some(section) = root.table("limits", LIMITS)? {
        section.count("in_flight_max", &mut draft.limits.in_flight_max)?;
        section.size("request_bytes_max", &mut draft.limits.request_bytes_max)?;
        section.size("reply_bytes_max", &mut draft.limits.reply_bytes_max)?;
        section.size("gather_bytes_max", &mut draft.limits.gather_bytes_max)?;
        section.count("scripts_max", &mut draft.limits.scripts_max)?;
        section.count("pubsub_buffer", &mut draft.limits.pubsub_buffer)?;
    }
    if let Some(section) = root.table("tcp", TCP)? {
        section.flag("nodelay", &mut draft.tcp.nodelay)?;
        section.flag("keepalive", &mut draft.tcp.keepalive)?;
        section.duration("keepalive_idle", &mut draft.tcp.keepalive_idle)?;
        section.duration("keepalive_interval", &mut draft.tcp.keepalive_interval)?;
        section.count("keepalive_retries", &mut draft.tcp.keepalive_retries)?;
    }
    Ok(())
}

fn placement(section: &Section<'_, '_>) -> Result<Placement> {
    const ALGORITHMS: &str = "\"ketama\", \"modulo\", \"rendezvous\", \"jump\" or \"maglev\"";
    let algorithm = section.required_text("algorithm", "algorithm = \"ketama\"")?;
    let Ok(algorithm) = algorithm.parse::<Algorithm>() else {
        let help = match closest(
            &algorithm,
            &["ketama", "modulo", "rendezvous", "jump", "maglev"],
        ) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => {
                "choose the one that the data was written with; for new data, \"ketama\"".to_owned()
            }
        };
        return Err(section
            .problem("algorithm", "unknown algorithm")
            .expected(ALGORITHMS)
            .help(help));
    };
    let names = match (section.get("nodes"), section.get("names")) {
        (Some(_), Some(_)) => {
            return Err(section
                .problem("names", "both nodes and names")
                .expected("nodes = 64 for nodes named \"0\" to \"63\", or the list of all names")
                .help("remove one"));
        }
        (None, None) => {
            return Err(section
                .problem("nodes", "the placement has no nodes")
                .expected(format!("nodes, from 1 to {NODES_MAX}, or names"))
                .help("add nodes = 64; it stays for as long as the data, so choose more than servers to come"));
        }
        (Some(_), None) => numbered(section)?,
        (None, Some(value)) => named(section, value)?,
    };
    let weights = weights(section, &algorithm.to_string(), names.len())?;
    let specs = names
        .into_iter()
        .zip(weights)
        .map(|(name, weight)| NodeSpec { name, weight })
        .collect();
    Placement::new(algorithm, specs).map_err(|error| {
        section
            .problem("", format!("no placement can be made of this: {error}"))
            .help("change it as the message says")
    })
}

fn numbered(section: &Section<'_, '_>) -> Result<Vec<String>> {
    let mut count = 0_u32;
    section.count("nodes", &mut count)?;
    match usize::try_from(count) {
        Ok(count @ 1..=NODES_MAX) => Ok((0..count).map(|node| node.to_string()).collect()),
        _ => Err(section
            .problem(
                "nodes",
                format!(
                    "nodes is too {}",
                    if count == 0 { "small" } else { "large" }
                ),
            )
            .expected(format!("1 to {NODES_MAX}"))
            .help("nodes are units of placement, not of storage: 64 is enough for most")),
    }
}

fn named(section: &Section<'_, '_>, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>> {
    const SHAPE: &str = "a list of different strings: names = [\"eu-1\", \"eu-2\"]";
    let Some(items) = value.get_ref().as_array() else {
        return Err(section.wrong_type("names", value, "a list", SHAPE));
    };
    if items.is_empty() || items.len() > NODES_MAX {
        return Err(section
            .problem("names", format!("names has {} items", items.len()))
            .expected(format!("1 to {NODES_MAX} names"))
            .help("name every node, or write nodes = 64 in its place"));
    }
    let mut names = Vec::with_capacity(items.len());
    let mut first: HashMap<String, usize> = HashMap::new();
    for (position, item) in items.iter().enumerate() {
        let DeValue::String(text) = item.get_ref() else {
            return Err(section
                .wrong_type("names", item, "a string", SHAPE)
                .at(item.span()));
        };
        let name = section.expand("names", text, item.span())?;
        let refuse = |what: String| {
            Err(section
                .problem("names", what)
                .at(item.span())
                .expected(SHAPE))
        };
        if name.is_empty() {
            return refuse(format!("node {position} has an empty name"))
                .map_err(|problem| problem.help("give it a name"));
        }
        if let Some(first) = first.insert(name.clone(), position) {
            return refuse(format!("nodes {first} and {position} have one name")).map_err(
                |problem| problem.help("a name is what a node is hashed by: make them differ"),
            );
        }
        names.push(name);
    }
    Ok(names)
}

fn weights(section: &Section<'_, '_>, algorithm: &str, node_count: usize) -> Result<Vec<u32>> {
    let Some(value) = section.get("weights") else {
        return Ok(vec![1; node_count]);
    };
    let shape = format!("a list of {node_count} integers from 1, one for each node");
    let Some(items) = value.get_ref().as_array() else {
        return Err(section.wrong_type("weights", value, "a list", &shape));
    };
    if matches!(algorithm, "modulo" | "jump") {
        return Err(section
            .problem("weights", format!("{algorithm} knows no weights"))
            .expected("weights only with ketama, rendezvous and maglev")
            .help("remove weights; changing the algorithm would lose the data that is there"));
    }
    if items.len() != node_count {
        return Err(section
            .problem(
                "weights",
                format!("{} weights for {node_count} nodes", items.len()),
            )
            .expected(shape)
            .help("1 is the weight of a node that gets an equal share"));
    }
    let weight = |item: &Spanned<DeValue<'_>>| match integer(item.get_ref()) {
        Some(weight @ 1..) => Ok(u32::try_from(weight).unwrap_or(u32::MAX)),
        Some(_) => Err(section
            .problem("weights", "a weight below 1")
            .at(item.span())
            .expected(shape.as_str())
            .help("a node that shall hold nothing is best left out of the placement")),
        None => Err(section
            .wrong_type("weights", item, "an integer", &shape)
            .at(item.span())),
    };
    items.iter().map(weight).collect()
}

/// What `[defaults]` gives to servers that do not say otherwise.
#[derive(Default)]
struct Inherited {
    username: Option<String>,
    password: Option<Password>,
    database: Option<u32>,
    tls: Option<Tls>,
}

fn servers(root: &Section<'_, '_>, placement: &Placement) -> Result<Vec<ServerDraft>> {
    let inherited = match root.table("defaults", DEFAULTS)? {
        None => Inherited::default(),
        Some(section) => Inherited {
            username: section.text("username")?,
            password: password(&section)?,
            database: database(&section)?,
            tls: section
                .table("tls", TLS)?
                .map(|section| tls(&section, Tls::default()))
                .transpose()?,
        },
    };
    let Some(value) = root.get("servers") else {
        return Ok(Vec::new());
    };
    let shape = "a table for each server: [servers.a] with url and nodes";
    let Some(tables) = value.get_ref().as_table() else {
        return Err(root.wrong_type("servers", value, "a table", shape));
    };
    let mut drafts = Vec::with_capacity(tables.len());
    for (key, value) in tables.iter() {
        let path = format!("servers.{}", key.get_ref());
        root.file.source.borrow_mut().locate(&path, key.span());
        let Some(table) = value.get_ref().as_table() else {
            return Err(root
                .wrong_type(&path, value, "a table", shape)
                .at(value.span()));
        };
        let section = Section::open(root.file, path, table, SERVER)?;
        drafts.push((
            key.span().start,
            server(&section, key.get_ref(), &inherited, placement)?,
        ));
    }
    if inherited.tls.is_some()
        && !drafts.is_empty()
        && drafts.iter().all(|(_, draft)| draft.endpoint.tls.is_none())
    {
        return Err(Problem::new("defaults.tls", "[defaults.tls] is of use to no server")
            .expected("at least one server with rediss://, since redis:// sends everything in the clear")
            .help("write rediss:// in the urls, or remove [defaults.tls]"));
    }
    // In the order of the file, so that a repetition is found at the later line.
    drafts.sort_by_key(|(start, _)| *start);
    Ok(drafts.into_iter().map(|(_, draft)| draft).collect())
}

fn server(
    section: &Section<'_, '_>,
    name: &str,
    inherited: &Inherited,
    placement: &Placement,
) -> Result<ServerDraft> {
    let template = section.required_raw("url", "url = \"redis://host:6379\"")?;
    let url = section.expand_url(&template)?;
    let parsed = parse_url(&url).map_err(|problem| problem.at_setting(section.path_of("url")))?;
    if let Some(secret) = &parsed.password {
        section.hide(secret.expose());
    }

    let own_password = password(section)?;
    if parsed.password.is_some() && own_password.is_some() {
        let key = if section.get("password").is_some() {
            "password"
        } else {
            "password_file"
        };
        return Err(twice(section, key, "password"));
    }
    let own_username = section.text("username")?;
    if parsed.username.is_some() && own_username.is_some() {
        return Err(twice(section, "username", "user"));
    }
    let own_database = database(section)?;
    if parsed.database.is_some() && own_database.is_some() {
        return Err(twice(section, "database", "database"));
    }
    let own_tls = section.table("tls", TLS)?;
    let tls = match (parsed.tls, own_tls) {
        (false, Some(_)) => {
            let socket = matches!(parsed.address, Address::Unix(_));
            let help = if socket {
                "remove tls: a unix socket has none"
            } else {
                "write rediss:// in the url, or remove tls"
            };
            return Err(section
                .problem("tls", "tls for a server whose url is not rediss://")
                .note("while its url is in plain text")
                .related(section.path_of("url"))
                .expected("rediss://, since redis:// sends everything in the clear")
                .help(help));
        }
        (false, None) => None,
        (true, own) => {
            let base = inherited.tls.clone().unwrap_or_default();
            Some(own.map_or(Ok(base.clone()), |own| tls(&own, base))?)
        }
    };
    let endpoint = Endpoint {
        address: parsed.address,
        database: parsed
            .database
            .or(own_database)
            .or(inherited.database)
            .unwrap_or(0),
        username: parsed
            .username
            .or(own_username)
            .or_else(|| inherited.username.clone()),
        password: parsed
            .password
            .map(Password::Inline)
            .or(own_password)
            .or_else(|| inherited.password.clone()),
        tls,
    };
    Ok(ServerDraft {
        name: name.to_owned(),
        endpoint,
        nodes: nodes(section, placement)?,
    })
}

fn twice(section: &Section<'_, '_>, key: &str, what: &str) -> Problem {
    section
        .problem(key, format!("the {what} is given twice"))
        .note("besides the one in url")
        .related(section.path_of("url"))
        .expected(format!("the {what} in one place"))
        .help(format!("remove {key}, or the {what} in the url"))
}

fn password(section: &Section<'_, '_>) -> Result<Option<Password>> {
    let inline = section.text("password")?;
    if let Some(secret) = &inline {
        section.hide(secret);
        if secret.is_empty() {
            return Err(section
                .problem("password", "the password is empty")
                .expected("a password, or none at all")
                .help("leave it out if the server has none; if it comes from a variable, set it"));
        }
    }
    match (inline, section.path("password_file")?) {
        (Some(_), Some(_)) => Err(section
            .problem("password_file", "both password and password_file")
            .expected("the password in one place")
            .help("remove password; the file is read anew at each dial")),
        (Some(secret), None) => Ok(Some(Password::Inline(Secret::new(secret)))),
        (None, path) => Ok(path.map(Password::File)),
    }
}

fn database(section: &Section<'_, '_>) -> Result<Option<u32>> {
    if section.get("database").is_none() {
        return Ok(None);
    }
    let mut database = 0;
    section.count("database", &mut database)?;
    if database > DATABASE_MAX {
        return Err(section
            .problem("database", "database is too large")
            .expected(format!("0 to {DATABASE_MAX}"))
            .help("leave it out for the default, 0"));
    }
    Ok(Some(database))
}

fn tls(section: &Section<'_, '_>, base: Tls) -> Result<Tls> {
    let mut accept = base.accept_invalid_certificates;
    section.flag("danger_accept_invalid_certificates", &mut accept)?;
    Ok(Tls {
        ca_file: section.path("ca_file")?.or(base.ca_file),
        client_cert_file: section.path("client_cert_file")?.or(base.client_cert_file),
        client_key_file: section.path("client_key_file")?.or(base.client_key_file),
        server_name: section.text("server_name")?.or(base.server_name),
        accept_invalid_certificates: accept,
    })
}

fn nodes(section: &Section<'_, '_>, placement: &Placement) -> Result<Vec<NodeId>> {
    let node_count = placement.node_count();
    let last = node_count.saturating_sub(1);
    let shape = format!("\"0-{last}\" or \"0-3,7\", or a list of nodes' names; [] for none");
    let Some(value) = section.get("nodes") else {
        return Err(section
            .problem("", "the server has no nodes setting")
            .expected(format!("nodes = {shape}"))
            .help("say which nodes live here: explicit, so that adding a server moves nothing by itself"));
    };
    let at = value.span();
    let refuse = |what: String, help: String| {
        Err(section
            .problem("nodes", what)
            .at(at.clone())
            .expected(shape.as_str())
            .help(help))
    };
    let out_of_range = |node: u64| {
        let shown = if node == u64::MAX {
            "with so large a number".to_owned()
        } else {
            node.to_string()
        };
        format!("node {shown} does not exist")
    };
    let last_is = format!("the placement has {node_count} nodes, so the last one is {last}");
    let items = match value.get_ref() {
        DeValue::String(text) => {
            let text = section.expand("nodes", text, value.span())?;
            return match parse_ranges(&text, node_count) {
                Ok(nodes) => Ok(nodes),
                Err(NodesError::OutOfRange(node)) => refuse(out_of_range(node), last_is),
                Err(NodesError::Backwards(first, last)) => refuse(
                    format!("the range {first}-{last} runs backwards"),
                    format!("write {last}-{first}"),
                ),
                Err(NodesError::Syntax) if text.trim().is_empty() => refuse(
                    "nodes is empty".to_owned(),
                    "write nodes = [] for a server without nodes".to_owned(),
                ),
                Err(NodesError::Syntax) => refuse(
                    "nodes is not a list of numbers and ranges".to_owned(),
                    "separate numbers by commas, and the ends of a range by one -".to_owned(),
                ),
            };
        }
        DeValue::Array(items) => items,
        _ => return Err(section.wrong_type("nodes", value, "a string or a list", &shape)),
    };
    let node = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
        DeValue::String(text) => {
            let name = section.expand("nodes", text, item.span())?;
            placement.node_by_name(&name).ok_or_else(|| {
                let what = format!("no node is named {name:?}");
                let help =
                    "names are those of [placement]; ranges go into one string: nodes = \"0-3,7\"";
                section
                    .problem("nodes", what)
                    .at(item.span())
                    .expected(shape.as_str())
                    .help(help)
            })
        }
        other => match integer(other) {
            Some(number) => match u16::try_from(number) {
                Ok(node) if usize::from(node) < node_count => Ok(NodeId(node)),
                _ => {
                    let what = format!("node {number} does not exist");
                    Err(section
                        .problem("nodes", what)
                        .at(item.span())
                        .expected(shape.as_str())
                        .help(last_is.as_str()))
                }
            },
            None => Err(section
                .wrong_type("nodes", item, "a node", &shape)
                .at(item.span())),
        },
    };
    items.iter().map(node).collect()
}

fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message().replace('\n', ", ");
    let at = error.span().unwrap_or(0..0);
    let line_start = text
        .get(..at.start)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |newline| newline + 1);
    let line = text
        .get(line_start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let (expected, help) = if message.contains("duplicate key") {
        (
            "every table and every setting once",
            "remove or rename one of the two",
        )
    } else if line.contains('=') && !line.contains(['"', '\'']) {
        ("TOML", "texts, durations and URLs stand in double quotes")
    } else {
        (
            "TOML",
            "see https://toml.io; texts, durations and URLs stand in double quotes",
        )
    };
    Problem::new("", format!("not TOML: {message}"))
        .at(at)
        .expected(expected)
        .help(help)
}

/// What sections of one file share.
struct File<'a> {
    source: RefCell<Source<'a>>,
    directory: PathBuf,
    env: &'a dyn Fn(&str) -> Option<String>,
}

/// One table, whose keys are all known.
struct Section<'a, 'f> {
    file: &'a File<'f>,
    path: String,
    table: &'a DeTable<'a>,
}

impl<'a, 'f> Section<'a, 'f> {
    /// Notes where each setting is, and refuses unknown ones: first of all, or a misspelt setting would be reported missing.
    fn open(
        file: &'a File<'f>,
        path: String,
        table: &'a DeTable<'a>,
        known: &[&'static str],
    ) -> Result<Section<'a, 'f>> {
        let section = Section { file, path, table };
        let mut unknown: Option<Spanned<&str>> = None;
        for (key, value) in table.iter() {
            let is_table = matches!(value.get_ref(), DeValue::Table(_));
            let at = if is_table { key.span() } else { value.span() };
            file.source
                .borrow_mut()
                .locate(&section.path_of(key.get_ref()), at);
            // The first in the file, not in the alphabet.
            let first = unknown
                .as_ref()
                .is_none_or(|earlier| key.span().start < earlier.span().start);
            if first && !known.contains(&key.get_ref().as_ref()) {
                unknown = Some(Spanned::new(key.span(), key.get_ref()));
            }
        }
        match unknown {
            None => Ok(section),
            Some(key) => Err(section.unknown(key.get_ref(), key.span(), known)),
        }
    }

    fn unknown(&self, key: &str, at: Range<usize>, known: &[&'static str]) -> Problem {
        let elsewhere = TABLES.iter().find(|(_, settings)| settings.contains(&key));
        let help = match (closest(key, known), elsewhere) {
            (_, Some((table, _))) => format!("{key} belongs in {table}"),
            (Some(meant), None) => format!("did you mean {meant}?"),
            (None, None) => "remove it".to_owned(),
        };
        self.problem(key, format!("unknown setting {key}"))
            .at(at)
            .expected(format!("one of {}", known.join(", ")))
            .help(help)
    }

    fn path_of(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    fn problem(&self, key: &str, what: impl Into<String>) -> Problem {
        Problem::new(self.path_of(key), what)
    }

    fn wrong_type(
        &self,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        shape: &str,
    ) -> Problem {
        let name = path.rsplit('.').next().unwrap_or(path);
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.problem(name, format!("{found} where {wanted} is needed"))
            .at(value.span())
            .expected(shape)
            .help(format!("write {wanted}"))
    }

    fn hide(&self, secret: &str) {
        self.file.source.borrow_mut().hide(secret, "***".to_owned());
    }

    fn get(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.table.get(key)
    }

    fn table(&self, key: &str, known: &[&'static str]) -> Result<Option<Section<'a, 'f>>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let Some(table) = value.get_ref().as_table() else {
            let shape = format!("a table: [{}]", self.path_of(key));
            return Err(self.wrong_type(key, value, "a table", &shape));
        };
        Section::open(self.file, self.path_of(key), table, known).map(Some)
    }

    fn raw(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::String(text) => Ok(Some(text)),
            _ => Err(self.wrong_type(
                key,
                value,
                "a string",
                &format!("a text in quotes: {key} = \"...\""),
            )),
        }
    }

    fn required_raw(&self, key: &str, example: &str) -> Result<&'a str> {
        self.raw(key)?.ok_or_else(|| {
            let what = match self.path.as_str() {
                "" => format!("there is no {key}"),
                path => format!("[{path}] has no {key}"),
            };
            self.problem("", what)
                .expected(format!("{key}, which has no default"))
                .help(format!("add {example}"))
        })
    }

    fn required_text(&self, key: &str, example: &str) -> Result<String> {
        let text = self.required_raw(key, example)?;
        self.expand(key, text, self.span(key))
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        self.raw(key)?
            .map(|text| self.expand(key, text, self.span(key)))
            .transpose()
    }

    fn span(&self, key: &str) -> Range<usize> {
        self.get(key).map_or(0..0, Spanned::span)
    }

    fn lookup(&self, name: &str) -> Result<String, ExpandProblem> {
        let value = (self.file.env)(name).ok_or_else(|| ExpandProblem::Unset(name.to_owned()))?;
        self.file
            .source
            .borrow_mut()
            .hide(&value, format!("${{{name}}}"));
        Ok(value)
    }

    fn expand(&self, key: &str, text: &str, at: Range<usize>) -> Result<String> {
        expand(text, &mut |name, _| self.lookup(name))
            .map_err(|problem| self.expand_problem(key, problem).at(at))
    }

    fn expand_url(&self, template: &str) -> Result<String> {
        expand_url(template, &mut |name| self.lookup(name))
            .map_err(|problem| self.expand_problem("url", problem))
    }

    fn expand_problem(&self, key: &str, problem: ExpandProblem) -> Problem {
        let expected = "${NAME} for a variable of the environment that is set, $$ for a dollar";
        match problem {
            ExpandProblem::Unset(name) => self
                .problem(key, format!("the variable {name} is not set"))
                .expected(expected)
                .help(format!("set {name} in the environment of this process")),
            ExpandProblem::LoneDollar => self
                .problem(key, "a $ that starts no variable")
                .expected(expected)
                .help("write $$ if a dollar is meant; a variable's name has letters, digits and _ only"),
        }
    }

    /// A path; relative ones start at the file's directory.
    fn path(&self, key: &str) -> Result<Option<PathBuf>> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        if text.is_empty() {
            return Err(self
                .problem(key, format!("{key} is empty"))
                .expected("the path of a file; relative ones start at the directory of this file")
                .help("leave it out if there is none"));
        }
        Ok(Some(self.file.directory.join(text)))
    }

    fn choice<T: Copy + Default>(&self, key: &str, choices: &[(&str, T)]) -> Result<T> {
        let Some(text) = self.text(key)? else {
            return Ok(T::default());
        };
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let help = match closest(&text, &names) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("leave it out for the default, {}", quoted[0]),
        };
        Err(self
            .problem(key, format!("unknown {key}"))
            .expected(quoted.join(" or "))
            .help(help))
    }

    fn flag(&self, key: &str, flag: &mut bool) -> Result<()> {
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        *flag = value.get_ref().as_bool().ok_or_else(|| {
            self.wrong_type(
                key,
                value,
                "true or false",
                &format!("{key} = true or {key} = false"),
            )
        })?;
        Ok(())
    }

    fn duration(&self, key: &str, duration: &mut Duration) -> Result<()> {
        const SHAPE: &str =
            "a number and its unit in quotes: \"500ms\", \"1.5s\", \"2m\" or \"1h\"";
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        match value.get_ref() {
            DeValue::String(text) => {
                let text = self.expand(key, text, value.span())?;
                *duration = parse_duration(&text).ok_or_else(|| {
                    self.problem(key, format!("{key} is not a duration"))
                        .expected(SHAPE)
                        .help(match text.starts_with('-') {
                            true => "time runs forward: remove the -",
                            false => "write one number and one unit: ms, s, m or h",
                        })
                })?;
                Ok(())
            }
            DeValue::Integer(number) => Err(self
                .wrong_type(key, value, "a duration", SHAPE)
                .help(format!("add the unit: {key} = \"{}ms\"", number.as_str()))),
            _ => Err(self.wrong_type(key, value, "a duration", SHAPE)),
        }
    }

    fn size(&self, key: &str, bytes: &mut u64) -> Result<()> {
        const SHAPE: &str = "a number of bytes, or a number and its unit in quotes: \"64MiB\"";
        if let Some(value) = self.get(key)
            && let DeValue::String(text) = value.get_ref()
        {
            let text = self.expand(key, text, value.span())?;
            *bytes = parse_size(&text).ok_or_else(|| {
                self.problem(key, format!("{key} is not a size"))
                    .expected(SHAPE)
                    .help("the units are B, KiB, MiB and GiB")
            })?;
            return Ok(());
        }
        self.count(key, bytes)
    }

    /// A number that is too large for its type becomes the type's largest, which is beyond every bound that is checked later.
    fn count<T: TryFrom<i64> + Bounded>(&self, key: &str, count: &mut T) -> Result<()> {
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        let Some(number) = integer(value.get_ref()) else {
            return Err(self.wrong_type(
                key,
                value,
                "an integer",
                &format!("a whole number without quotes: {key} = 1"),
            ));
        };
        if number < 0 {
            return Err(self
                .problem(key, format!("{key} is negative"))
                .expected("a whole number, not below 0")
                .help("leave it out for the default"));
        }
        *count = T::try_from(number).unwrap_or(T::LARGEST);
        Ok(())
    }
}

/// A type's largest number.
trait Bounded {
    const LARGEST: Self;
}

impl Bounded for u16 {
    const LARGEST: u16 = u16::MAX;
}

impl Bounded for u32 {
    const LARGEST: u32 = u32::MAX;
}

impl Bounded for u64 {
    const LARGEST: u64 = u64::MAX;
}

/// An integer of any notation; one that is too large becomes the largest.
fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    let digits = integer.as_str().replace('_', "");
    let limit = if digits.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    Some(i64::from_str_radix(&digits, integer.radix()).unwrap_or(limit))
}
