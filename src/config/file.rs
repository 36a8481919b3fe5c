//! From TOML to a [`ConfigBuilder`].
//!
//! The table is walked by hand rather than by serde's derive: serde's errors repeat the value that they refuse, which may be a
//! password, and cannot say what to do.

use super::{
    Address, Config, ConfigError, Endpoint, Mode, MultiKey, Password, Protocol, ReceiveBuffer,
    Secret, Startup, Timeouts, Tls,
    address::{DATABASE_MAX, parse_url},
    builder::{ConfigBuilder, ServerDraft},
    nodes::{NodesError, parse_ranges},
    schema::{DEFAULTS, LIMITS, PLACEMENT, POOL, RETRY, ROOT, SERVER, TCP, TIMEOUTS, TLS, closest},
    section::{File, Section, integer},
    source::{Problem, Source},
};
use crate::hash::Hashkit;
use crate::placement::{
    Algorithm, Custom, LABEL_BYTES_MAX, Label, NODES_MAX, NodeId, NodeSpec, Options, Placement,
    PlacementError, list_of, without_option, without_weights,
};
use std::{cell::RefCell, collections::HashMap, path::Path};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

type Result<T, E = Problem> = std::result::Result<T, E>;

pub(super) fn parse(
    text: &str,
    origin: &Path,
    env: &dyn Fn(&str) -> Option<String>,
    customs: &[Custom],
) -> Result<Config, ConfigError> {
    let file = File {
        source: RefCell::new(Source::new(text, origin)),
        directory: origin.parent().map(Path::to_path_buf).unwrap_or_default(),
        env,
        customs,
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
        // Left out, it is no less than `dead`.
        draft.timeouts.silence_max = draft.timeouts.silence_max.max(draft.timeouts.dead);
        section.duration("silence_max", &mut draft.timeouts.silence_max)?;
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
        section.size("pubsub_bytes", &mut draft.limits.pubsub_bytes)?;
    }
    if let Some(section) = root.table("tcp", TCP)? {
        section.flag("nodelay", &mut draft.tcp.nodelay)?;
        section.flag("keepalive", &mut draft.tcp.keepalive)?;
        section.duration("keepalive_idle", &mut draft.tcp.keepalive_idle)?;
        section.duration("keepalive_interval", &mut draft.tcp.keepalive_interval)?;
        section.count("keepalive_retries", &mut draft.tcp.keepalive_retries)?;
        section.size_or(
            "bulk_receive_buffer",
            &[
                ("auto", ReceiveBuffer::Auto),
                ("system", ReceiveBuffer::System),
            ],
            ReceiveBuffer::Bytes,
            &mut draft.tcp.bulk_receive_buffer,
        )?;
    }
    Ok(())
}

fn placement(section: &Section<'_, '_>) -> Result<Placement> {
    let algorithm = algorithm(section)?;
    let custom = custom(section, algorithm)?;
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
    let weights = weights(section, algorithm, names.len())?;
    let labels = labels(section, algorithm, names.len())?;
    let options = options(section, algorithm)?;
    let specs = names.iter().zip(weights).zip(labels);
    let specs = specs.map(|((name, weight), label)| NodeSpec {
        label,
        ..NodeSpec::weighted(name, weight)
    });
    let placement = match custom {
        Some(custom) => Placement::custom(custom, specs.collect()),
        None => Placement::with_options(algorithm, options, specs.collect()),
    };
    placement.map_err(|error| no_placement(section, &names, &error))
}

fn algorithm(section: &Section<'_, '_>) -> Result<Algorithm> {
    const ALGORITHMS: &str = "\"ketama\", \"modulo\", \"rendezvous\", \"jump\" or \"maglev\"; for data that another program has placed, \
        its preset: nydus-..., rb-..., twemproxy-..., libmemcached-..., libketama, redis-rb-..., predis-..., jedis-..., go-redis-ring, \
        envoy-..., codis-slots or redis-cluster-slots; \"custom\" for a function in the program's own code";
    let read = section.required_text("algorithm", "algorithm = \"ketama\"")?;
    if let Ok(algorithm) = read.parse() {
        return Ok(algorithm);
    }
    let read = read.to_lowercase().replace(['_', ' '], "-");
    if matches!(
        read.as_str(),
        "random" | "twemproxy-random" | "nutcracker-random"
    ) {
        return Err(section
            .problem("algorithm", "by twemproxy's random distribution no key can be found again")
            .expected("an algorithm that says where a key is")
            .help(
                "its data is read by asking every server for every key: cluster.servers().each(..) with any algorithm; then write it anew \
                 under that",
            ));
    }
    let meant = Algorithm::of_origin(&read);
    let names: Vec<&str> = Algorithm::all().map(Algorithm::name).collect();
    let help = match meant.as_slice() {
        [] => match closest(&read, &names) {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => {
                "choose the one that the data was written with; for new data, \"ketama\"".to_owned()
            }
        },
        [meant] => format!("did you mean \"{meant}\"?"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|one| with_original(*one)).collect();
            format!("say which: {} or {}", most.join(", "), with_original(*last))
        }
    };
    Err(section
        .problem("algorithm", "unknown algorithm")
        .expected(ALGORITHMS)
        .help(help))
}

/// `"nydus-partition" (PartitionRouter)`
fn with_original(algorithm: Algorithm) -> String {
    let original = algorithm.original();
    let which = original
        .split_once(", ")
        .map_or(original, |(_, which)| which);
    format!("\"{algorithm}\" ({which})")
}

/// What some presets have to be told.
fn options(section: &Section<'_, '_>, algorithm: Algorithm) -> Result<Options> {
    let options = [
        "hash",
        "hash_tag",
        "ring_points_min",
        "ring_points_max",
        "table_entries",
    ];
    let useless = options
        .into_iter()
        .find(|option| section.get(option).is_some() && !algorithm.takes(option));
    if let Some(option) = useless {
        return Err(section
            .problem(option, format!("{algorithm} has no use for {option}"))
            .help(without_option(algorithm, option)));
    }
    let number = |option: &str| -> Result<Option<u32>> {
        let mut number = 0;
        section.count(option, &mut number)?;
        Ok(section.get(option).map(|_| number))
    };
    Ok(Options {
        hash: hash(section)?,
        hash_tag: hash_tag(section)?,
        ring_points_min: number("ring_points_min")?,
        ring_points_max: number("ring_points_max")?,
        table_entries: number("table_entries")?,
    })
}

fn hash(section: &Section<'_, '_>) -> Result<Option<Hashkit>> {
    let Some(text) = section.text("hash")? else {
        return Ok(None);
    };
    if let Ok(hash) = text.parse() {
        return Ok(Some(hash));
    }
    let names: Vec<&str> = Hashkit::all().map(Hashkit::name).collect();
    let help = match closest(&text, &names) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => {
            "write what the other program's configuration says; leave it out if it says nothing"
                .to_owned()
        }
    };
    Err(section
        .problem("hash", "unknown hash")
        .expected(format!("one of {}", names.join(", ")))
        .help(help))
}

fn hash_tag(section: &Section<'_, '_>) -> Result<Option<[u8; 2]>> {
    let Some(text) = section.text("hash_tag")? else {
        return Ok(None);
    };
    match <[u8; 2]>::try_from(text.as_bytes()) {
        Ok(tag) if tag.is_ascii() => Ok(Some(tag)),
        _ => Err(section
            .problem("hash_tag", "not two characters")
            .expected("exactly two ASCII characters, the one before a tag and the one after it: hash_tag = \"{}\"")
            .help("leave it out if the other program hashes whole keys; a $ is written $$")),
    }
}

/// Hashed in place of the names, and secret.
fn labels(
    section: &Section<'_, '_>,
    algorithm: Algorithm,
    node_count: usize,
) -> Result<Vec<Option<Label>>> {
    let Some(value) = section.get("labels") else {
        return Ok(vec![None; node_count]);
    };
    let shape = format!(
        "a list of {node_count} strings, one for each node, each of 1 to {LABEL_BYTES_MAX} bytes"
    );
    let Some(items) = value.get_ref().as_array() else {
        return Err(section.wrong_type("labels", value, "a list", &shape));
    };
    if !algorithm.takes_labels() {
        return Err(section
            .problem(
                "labels",
                format!("{algorithm} goes by the position of nodes and hashes no names"),
            )
            .expected(format!(
                "labels only with {}",
                list_of(Algorithm::takes_labels)
            ))
            .help("remove labels"));
    }
    if items.len() != node_count {
        return Err(section
            .problem(
                "labels",
                format!("{} labels for {node_count} nodes", items.len()),
            )
            .expected(shape)
            .help("a label is hashed in place of a node's name: give all nodes one, or none"));
    }
    let label = |item: &Spanned<DeValue<'_>>| {
        let DeValue::String(text) = item.get_ref() else {
            return Err(section
                .wrong_type("labels", item, "a string", &shape)
                .at(item.span()));
        };
        let label = section.expand("labels", text, item.span())?;
        section.hide(&label);
        if !(1..=LABEL_BYTES_MAX).contains(&label.len()) {
            return Err(section
                .problem("labels", format!("a label of {} bytes", label.len()))
                .at(item.span())
                .expected(shape.as_str())
                .help("write what the other program hashes for this node; if it comes from a variable, set it"));
        }
        Ok(Some(Label::new(label)))
    };
    items.iter().map(label).collect()
}

/// What is wrong with the placement as a whole, at the setting that it is about, as far as that is known.
fn no_placement(section: &Section<'_, '_>, names: &[String], error: &PlacementError) -> Problem {
    let by_name = |name: &String| names.iter().position(|other| other == name);
    let (key, node) = match error {
        PlacementError::EmptyName { node } | PlacementError::NameTooLong { node, .. } => {
            ("names", Some(node.index()))
        }
        PlacementError::DuplicateName { second, .. } => ("names", Some(second.index())),
        PlacementError::PointClash { second, .. } => ("names", by_name(second)),
        PlacementError::WeightOutOfRange { name, .. } => ("weights", by_name(name)),
        PlacementError::WeightTotalTooLarge { .. } => ("weights", None),
        PlacementError::LabelLength { name, .. } => ("labels", by_name(name)),
        PlacementError::DuplicateLabel { second, .. } => ("labels", by_name(second)),
        PlacementError::HashTagNotAscii { .. } => ("hash_tag", None),
        PlacementError::Refused { why, .. } => told_of(section, names, why),
        _ => ("", None),
    };
    let item = section
        .get(key)
        .and_then(|value| value.get_ref().as_array())
        .zip(node)
        .and_then(|(items, node)| items.get(node));
    // Names that are numbers stand in no list.
    let key = match (key, section.get(key)) {
        ("names", None) => "nodes",
        _ => key,
    };
    let problem = section
        .problem(key, format!("no placement can be made of this: {error}"))
        .help("change it as the message says");
    match item {
        Some(item) => problem.at(item.span()),
        None => problem,
    }
}

/// The setting that a preset's refusal is about, and the node: what it names first, as the messages of presets name things.
fn told_of(
    section: &Section<'_, '_>,
    names: &[String],
    why: &str,
) -> (&'static str, Option<usize>) {
    let options = [
        "hash",
        "hash_tag",
        "ring_points_min",
        "ring_points_max",
        "table_entries",
    ];
    let named =
        |option: &&&str| section.get(option).is_some() && why.starts_with(&format!("{option} "));
    if let Some(option) = options.iter().find(named) {
        return (option, None);
    }
    let quoted = names
        .iter()
        .enumerate()
        .filter_map(|(node, name)| Some((why.find(&format!("{name:?}"))?, node)));
    let numbered = why.match_indices("node ").filter_map(|(at, word)| {
        let digits = why[at + word.len()..]
            .split(|c: char| !c.is_ascii_digit())
            .next()?;
        Some((at, digits.parse().ok()?))
    });
    let first = quoted.chain(numbered).min();
    match first {
        Some((_, node)) if why.contains("label of node") => ("labels", Some(node)),
        Some((_, node)) if section.get("names").is_some() => ("names", Some(node)),
        _ if why.contains("weight") && section.get("weights").is_some() => ("weights", None),
        Some((_, node)) => ("names", Some(node)),
        None if why.contains(" nodes ") => ("names", None),
        None => ("algorithm", None),
    }
}

/// The function that `algorithm = "custom"` asks for; `None` with any other algorithm.
fn custom(section: &Section<'_, '_>, algorithm: Algorithm) -> Result<Option<Custom>> {
    if algorithm != Algorithm::Custom {
        let stray = ["custom", "version"]
            .into_iter()
            .find(|key| section.get(key).is_some());
        return match stray {
            None => Ok(None),
            Some(key) => Err(section
                .problem(key, format!("{algorithm} has no {key}"))
                .expected("custom and version with algorithm = \"custom\" only")
                .help("remove it")),
        };
    }
    let name =
        section.required_text("custom", "custom = \"NAME\", that of the function in code")?;
    if section.get("version").is_none() {
        return Err(section
            .problem("", "[placement] has no version")
            .expected("version, which has no default")
            .help("add version = 3, or whatever that of the function in code is"));
    }
    let mut version = 0;
    section.count("version", &mut version)?;
    let named = || {
        section
            .file
            .customs
            .iter()
            .filter(|custom| custom.name() == name)
    };
    let mut found = named().filter(|custom| custom.version() == version);
    match (found.next(), found.next()) {
        (Some(custom), None) => Ok(Some(custom.clone())),
        (Some(_), Some(_)) => Err(section
            .problem("custom", "two functions have this name and version")
            .expected("each name and version registered once")
            .help("take one of them out of the program, or give it another version")),
        (None, _) if named().next().is_some() => Err(section
            .problem("version", format!("the program has another version of {name:?}"))
            .expected(format!("what the program has registered: {}", registered(section)))
            .help("write the version that the data was placed by, and run a program that has it; another version is another placement")),
        (None, _) => Err(section
            .problem("custom", "the program that reads this file has no such function")
            .expected(format!("what the program has registered: {}", registered(section)))
            .help(format!(
                "the function is code: register it, ConfigReader::new().custom(Custom::new({name:?}, {version}, ..)). \
                 The command line keyway cannot know it"
            ))),
    }
}

fn registered(section: &Section<'_, '_>) -> String {
    let customs = section.file.customs.iter();
    let shown: Vec<String> = customs
        .map(|custom| format!("{:?} version {}", custom.name(), custom.version()))
        .collect();
    match shown.is_empty() {
        true => "nothing".to_owned(),
        false => shown.join(", "),
    }
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

fn weights(section: &Section<'_, '_>, algorithm: Algorithm, node_count: usize) -> Result<Vec<u32>> {
    let Some(value) = section.get("weights") else {
        return Ok(vec![1; node_count]);
    };
    let shape = format!("a list of {node_count} integers from 1, one for each node");
    let Some(items) = value.get_ref().as_array() else {
        return Err(section.wrong_type("weights", value, "a list", &shape));
    };
    if algorithm.weight_max() == 1 {
        let weighted = list_of(|algorithm| algorithm.weight_max() > 1);
        return Err(section
            .problem("weights", format!("{algorithm} knows no weights"))
            .expected(format!("weights only with {weighted}"))
            .help(without_weights(algorithm).replace("leave it out", "remove weights")));
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
    let url = section.expand_url(template)?;
    let parsed = parse_url(&url).map_err(|problem| problem.at_setting(section.path_of("url")))?;
    if let Some(secret) = &parsed.password {
        section.hide(secret.expose());
    }
    let in_url = [
        ("username", parsed.username.is_some()),
        ("password", parsed.password.is_some()),
        ("database", parsed.database.is_some()),
    ];
    for (key, _) in in_url
        .into_iter()
        .filter(|(key, given)| *given && section.get(key).is_none())
    {
        section
            .file
            .source
            .borrow_mut()
            .locate(&section.path_of(key), section.span("url"));
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
    // The parser guesses what a bare word was meant to be (a boolean, a number); that it is a bare word is what helps.
    let is_bare_word = message.contains("invalid boolean") || message.contains("must be quoted");
    let message = match line.trim_end().ends_with('=') {
        true => "there is no value after =",
        false if is_bare_word => {
            "the value is neither a number nor true or false, and not in quotes"
        }
        false => message.as_str(),
    };
    let (expected, help) = if message.contains("duplicate key") {
        (
            "every table and every setting once",
            "remove or rename one of the two",
        )
    } else if message.contains("basic string") {
        ("TOML", "end the text with a double quote, on its line")
    } else if message.contains("escape") {
        ("TOML", "a backslash in double quotes is written twice")
    } else {
        (
            "TOML, see https://toml.io",
            "texts, durations and URLs stand in double quotes; tables in [ ]",
        )
    };
    Problem::new("", format!("not TOML: {message}"))
        .at(at)
        .expected(expected)
        .help(help)
}
