//! From TOML to a [`ScenarioBuilder`], with the place of every setting noted for errors.

use super::{Scenario, ScenarioBuilder, Vary};
use crate::config::{Config, ConfigError, Problem, Source, closest, parse_size};
use crate::plan::Pace;
use crate::simulation::capacity::CapacitySpec;
use crate::simulation::fleet::{SERVERS_MAX, Server, Step};
use crate::simulation::scheme::{Scheme, SchemeError};
use crate::simulation::storm::StormSpec;
use crate::simulation::workload::{Keys, Popularity, ValueBytes};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Value;
use toml::de::{DeTable, DeValue};

/// The commented example, with every setting.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Servers that one step may add by number.
const COUNT_MAX: i64 = SERVERS_MAX as i64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: Option<String>,
    seed: Option<u64>,
    repeats: Option<u32>,
    vary: Option<RawVary>,
    #[serde(default)]
    schemes: Vec<String>,
    #[serde(default)]
    sensitivity: Vec<u16>,
    costs: Option<bool>,
    requests_per_s: Option<f64>,
    keys: Option<RawKeys>,
    servers: Option<RawServers>,
    #[serde(default)]
    steps: Vec<RawStep>,
    pace: Option<Pace>,
    storm: Option<StormSpec>,
    capacity: Option<CapacitySpec>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawVary {
    Names,
    Keys,
    Both,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    count: Option<u64>,
    file: Option<String>,
    popularity: Option<Value>,
    value_bytes: Option<Value>,
    overhead_bytes: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServers {
    count: Option<i64>,
    names: Option<Vec<String>>,
    cluster: Option<String>,
    #[serde(default)]
    weights: BTreeMap<String, u32>,
    memory_max: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    add: Option<Value>,
    remove: Option<Value>,
    replace: Option<String>,
    with: Option<String>,
    reweight: Option<BTreeMap<String, u32>>,
    kill: Option<Value>,
    placement: Option<String>,
    weight: Option<u32>,
    memory_max: Option<Value>,
}

type Result<T, E = Problem> = std::result::Result<T, E>;

impl Scenario {
    /// Reads a scenario, or a cluster file: that is one of its servers, with its placement, and no step. Relative paths in it are relative to it.
    ///
    /// # Errors
    /// [`ConfigError`], with file, line and column, what was read, what is expected and what to do.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Scenario, ConfigError> {
        Scenario::from_file_with(path, |builder| builder)
    }

    /// The same with changes that go before what the file says.
    ///
    /// # Errors
    /// As [`from_file`](Scenario::from_file).
    pub fn from_file_with(
        path: impl AsRef<Path>,
        change: impl FnOnce(ScenarioBuilder) -> ScenarioBuilder,
    ) -> Result<Scenario, ConfigError> {
        let path = path.as_ref();
        let text =
            crate::config::read(path).map_err(|error| ConfigError::unreadable(path, error))?;
        Scenario::parse_with(&text, path, change)
    }

    /// Reads TOML text. `origin` names it in messages, and relative paths are relative to its directory.
    ///
    /// # Errors
    /// As [`from_file`](Scenario::from_file).
    pub fn parse(text: &str, origin: &Path) -> Result<Scenario, ConfigError> {
        Scenario::parse_with(text, origin, |builder| builder)
    }

    fn parse_with(
        text: &str,
        origin: &Path,
        change: impl FnOnce(ScenarioBuilder) -> ScenarioBuilder,
    ) -> Result<Scenario, ConfigError> {
        if is_cluster(text) {
            let config = Config::parse(text, origin, &|name| std::env::var(name).ok())?;
            return change(Scenario::builder().cluster(&config)).build();
        }
        let mut source = Source::new(text, origin);
        let document = DeTable::parse(text);
        let is_toml = document.is_ok();
        if let Ok(document) = document {
            locate("", document.get_ref(), text, &mut source);
        }
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                let problem = malformed(text, &error);
                let is_scenario = is_toml && !error.message().starts_with("unknown field");
                // What is no scenario at all may be a broken cluster file, with passwords.
                return Err(match is_scenario {
                    true => source.public().error(problem),
                    false => source.error(problem),
                });
            }
        };
        let source = source.public();
        let directory = origin.parent().unwrap_or(Path::new(""));
        let cluster = match file
            .servers
            .as_ref()
            .and_then(|servers| servers.cluster.as_ref())
        {
            None => None,
            Some(path) => Some(Config::from_file(directory.join(path))?),
        };
        builder(file, cluster.as_ref(), directory)
            .and_then(|builder| change(builder).check())
            .map_err(|problem| source.error(problem))
    }
}

/// A file with a placement is a cluster's.
fn is_cluster(text: &str) -> bool {
    DeTable::parse(text).is_ok_and(|document| document.get_ref().contains_key("placement"))
}

/// Notes where everything is.
fn locate(path: &str, table: &DeTable<'_>, text: &str, source: &mut Source<'_>) {
    for (key, value) in table {
        let path = match path {
            "" => key.get_ref().to_string(),
            _ => format!("{path}.{}", key.get_ref()),
        };
        // Of a table with a header, its name; of others, all of it.
        let is_inline = text[value.span()].starts_with('{');
        let is_table = matches!(value.get_ref(), DeValue::Table(_)) && !is_inline;
        source.locate(&path, if is_table { key.span() } else { value.span() });
        match value.get_ref() {
            DeValue::Table(table) => locate(&path, table, text, source),
            DeValue::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let path = format!("{path}[{number}]");
                    source.locate(&path, item.span());
                    if let DeValue::Table(table) = item.get_ref() {
                        locate(&path, table, text, source);
                    }
                }
            }
            _ => {}
        }
    }
}

/// What serde or the parser say, in our form.
fn malformed(text: &str, error: &toml::de::Error) -> Problem {
    let message = error.message();
    let (what, expected) = match message.split_once(", expected ") {
        Some((what, expected)) => (what, expected),
        None => (message, ""),
    };
    let at = error.span().unwrap_or(0..0);
    let mut problem = Problem::new("", what).at(at.clone());
    if !expected.is_empty() {
        problem = problem.expected(expected.replace('`', "").replace("one of ", "one of: "));
    }
    let read = text.get(at).unwrap_or_default();
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let help = match closest(read.trim_matches('"'), &known) {
        Some(meant) if what.starts_with("unknown") => format!("did you mean {meant}?"),
        _ => "keyway simulate --example prints a scenario with every setting".to_owned(),
    };
    problem.help(help)
}

fn builder(file: File, cluster: Option<&Config>, directory: &Path) -> Result<ScenarioBuilder> {
    let mut builder = Scenario::builder();
    builder.title = file.title;
    builder.seed = file.seed.unwrap_or(builder.seed);
    builder.repeats = file.repeats.unwrap_or(builder.repeats);
    builder.vary = file.vary.map(|vary| match vary {
        RawVary::Names => Vary::Names,
        RawVary::Keys => Vary::Keys,
        RawVary::Both => Vary::Both,
    });
    builder.costs = file.costs.unwrap_or_default();
    builder.requests_per_s = file.requests_per_s.unwrap_or_default();
    builder.sensitivity = file.sensitivity;
    builder.pace = file.pace.unwrap_or_default();
    builder.storm = file.storm;
    builder.capacity = file.capacity;
    if let Some(keys) = file.keys {
        builder.keys = keys_of(keys, directory)?;
    }
    let servers = file.servers.ok_or_else(|| {
        Problem::new("servers", "there are no servers")
            .expected("a table [servers] with count, names or cluster")
            .help("add [servers] and count = 5")
    })?;
    builder = servers_of(servers, cluster, builder)?;
    for (number, step) in file.steps.into_iter().enumerate() {
        let step = step_of(step, &format!("steps[{number}]"), &builder)?;
        builder.steps.push(step);
    }
    for (number, text) in file.schemes.iter().enumerate() {
        builder
            .schemes
            .push(scheme(text, &format!("schemes[{number}]"))?);
    }
    Ok(builder)
}

fn scheme(text: &str, at: &str) -> Result<Scheme> {
    text.parse().map_err(|error: SchemeError| {
        let problem = Problem::new(at, error.what()).expected(error.expected());
        match error.help() {
            Some(help) => problem.help(help),
            None => problem,
        }
    })
}

fn keys_of(raw: RawKeys, directory: &Path) -> Result<Keys> {
    let mut keys = match (raw.count, raw.file) {
        (Some(_), Some(_)) => {
            return Err(Problem::new("keys.count", "both count and file")
                .expected("count = 1000000 for made keys, or file = \"keys.txt\"")
                .help("remove one"));
        }
        (None, Some(file)) => key_file(&file, directory)?,
        (count, None) => Keys::made(count.unwrap_or(Scenario::builder().keys.count())),
    };
    if let Some(popularity) = raw.popularity {
        keys = keys.popularity(popularity_of(&popularity)?);
    }
    if let Some(value) = raw.value_bytes {
        keys = keys.value_bytes(value_bytes(&value)?);
    }
    Ok(keys.overhead_bytes(raw.overhead_bytes.unwrap_or_default()))
}

fn key_file(file: &str, directory: &Path) -> Result<Keys> {
    Keys::read(directory.join(file)).map_err(|error| {
        Problem::new("keys.file", error.to_string())
            .expected("a file with one key a line, and after a tab its bytes, if they are known")
            .help("redis-cli --scan > keys.txt writes one")
    })
}

fn popularity_of(value: &Value) -> Result<Popularity> {
    let exponent = value.as_table().filter(|table| table.len() == 1);
    let exponent = exponent
        .and_then(|table| table.get("zipf"))
        .and_then(number);
    match (value.as_str(), exponent) {
        (Some("uniform"), _) => Ok(Popularity::Uniform),
        (_, Some(exponent)) => Ok(Popularity::Zipf { exponent }),
        _ => Err(Problem::new("keys.popularity", "unknown popularity")
            .expected("\"uniform\" or { zipf = 0.99 }")),
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Integer(number) => Some(*number as f64),
        _ => None,
    }
}

fn value_bytes(value: &Value) -> Result<ValueBytes> {
    const SHAPE: &str = "200, \"1KiB\", { min = 100, max = 1000 } or { median = 300, sigma = 1.0 }";
    let refused = || Problem::new("keys.value_bytes", "value_bytes is no size").expected(SHAPE);
    if let Some(bytes) = size(value) {
        return Ok(ValueBytes::Fixed(bytes));
    }
    let table = value.as_table().ok_or_else(refused)?;
    let whole = |name: &str| table.get(name).and_then(size);
    match (whole("min"), whole("max"), whole("median")) {
        (Some(min), Some(max), None) if table.len() == 2 => Ok(ValueBytes::Uniform { min, max }),
        (None, None, Some(median)) if table.len() == 2 => {
            let sigma = table.get("sigma").and_then(number);
            Ok(ValueBytes::Lognormal {
                median,
                sigma: sigma.ok_or_else(refused)?,
            })
        }
        _ => Err(refused()),
    }
}

/// Bytes, or a text with a unit.
fn size(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(bytes) => u64::try_from(*bytes).ok(),
        Value::String(text) => parse_size(text),
        _ => None,
    }
}

fn servers_of(
    raw: RawServers,
    cluster: Option<&Config>,
    mut builder: ScenarioBuilder,
) -> Result<ScenarioBuilder> {
    const SHAPE: &str = "count = 5, names = [\"a\", \"b\"] or cluster = \"cluster.toml\"";
    builder = match (raw.count, raw.names, cluster) {
        (Some(count), None, None) if (1..=COUNT_MAX).contains(&count) => {
            builder.servers_made(count as usize)
        }
        (Some(count), None, None) => {
            return Err(Problem::new("servers.count", "count is out of range")
                .value(count)
                .expected(format!("1 to {SERVERS_MAX}")));
        }
        (None, Some(list), None) => {
            let servers = list.into_iter().map(Server::new);
            servers.fold(builder, ScenarioBuilder::server)
        }
        (None, None, Some(config)) => builder.cluster(config),
        (None, None, None) => {
            return Err(Problem::new("servers", "there are no servers").expected(SHAPE));
        }
        _ => {
            return Err(Problem::new("servers", "servers are named twice")
                .expected(format!("one of {SHAPE}"))
                .help("remove the others"));
        }
    };
    for server in &mut builder.servers {
        server.memory_bytes_max =
            memory_of(raw.memory_max.as_ref(), &server.name, "servers.memory_max")?;
    }
    for (name, weight) in raw.weights {
        let server = builder
            .servers
            .iter_mut()
            .find(|server| *server.name == *name);
        match server {
            Some(server) => server.weight = weight,
            None => {
                return Err(Problem::new(
                    format!("servers.weights.{name}"),
                    format!("there is no server {name:?}"),
                )
                .expected("the name of a server of this table"));
            }
        }
    }
    Ok(builder)
}

/// One limit for all, or a table by name.
fn memory_of(value: Option<&Value>, name: &str, at: &str) -> Result<Option<u64>> {
    let value = match value {
        None => return Ok(None),
        Some(Value::Table(table)) => match table.get(name) {
            None => return Ok(None),
            Some(value) => value,
        },
        Some(value) => value,
    };
    let bytes = size(value).ok_or_else(|| {
        Problem::new(at, "memory_max is no size")
            .expected("bytes, or a text with a unit such as \"16GiB\"; for some servers only { a = \"16GiB\" }")
    });
    bytes.map(Some)
}

fn step_of(raw: RawStep, at: &str, before: &ScenarioBuilder) -> Result<Step> {
    const SHAPE: &str = "one of add, remove, replace, reweight, kill and placement";
    let kinds = [
        raw.add.is_some(),
        raw.remove.is_some(),
        raw.replace.is_some(),
        raw.reweight.is_some(),
        raw.kill.is_some(),
        raw.placement.is_some(),
    ];
    match kinds.iter().filter(|is_there| **is_there).count() {
        1 => {}
        0 => return Err(Problem::new(at, "a step that does nothing").expected(SHAPE)),
        _ => {
            return Err(Problem::new(at, "a step that does several things")
                .expected(SHAPE)
                .help("make a [[steps]] of each"));
        }
    }
    let brings = raw.add.is_some() || raw.replace.is_some();
    if raw.with.is_some() != raw.replace.is_some() {
        return Err(Problem::new(at, "replace and with go together")
            .expected("replace = \"a\" and with = \"z\""));
    }
    if !brings && (raw.weight.is_some() || raw.memory_max.is_some()) {
        return Err(
            Problem::new(at, "weight and memory_max are for servers that come")
                .expected("them beside add or replace")
                .help("reweight = { a = 2 } changes the weight of one that is there"),
        );
    }
    let server = |name: String| -> Result<Server> {
        let memory = memory_of(raw.memory_max.as_ref(), &name, &format!("{at}.memory_max"))?;
        Ok(Server {
            weight: raw.weight.unwrap_or(1),
            memory_bytes_max: memory,
            ..Server::new(name)
        })
    };
    if let Some(value) = raw.add {
        let added = match value {
            Value::Integer(count @ 1..=COUNT_MAX) => before.fresh_names(count as usize),
            value => several(&value, &format!("{at}.add"), "; or how many: add = 1")?,
        };
        let servers: Result<Vec<Server>> = added.into_iter().map(&server).collect();
        return Ok(Step::Add(servers?));
    }
    if let (Some(from), Some(with)) = (raw.replace, raw.with) {
        let with = server(with)?;
        return Ok(Step::Replace { from, with });
    }
    if let Some(value) = raw.remove {
        return several(&value, &format!("{at}.remove"), "").map(Step::Remove);
    }
    if let Some(value) = raw.kill {
        return several(&value, &format!("{at}.kill"), "").map(Step::Kill);
    }
    if let Some(text) = raw.placement {
        return scheme(&text, &format!("{at}.placement")).map(Step::Placement);
    }
    Ok(Step::Reweight(
        raw.reweight.unwrap_or_default().into_iter().collect(),
    ))
}

/// A name, or a list of names.
fn several(value: &Value, at: &str, or: &str) -> Result<Vec<String>> {
    let names = match value {
        Value::String(name) => Some(vec![name.clone()]),
        Value::Array(names) => names
            .iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    };
    names.ok_or_else(|| {
        Problem::new(at, "these are no names of servers")
            .expected(format!("a name, \"b\", or several, [\"b\", \"c\"]{or}"))
    })
}
