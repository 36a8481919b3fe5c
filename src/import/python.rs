//! Finds the clusters of nydus and rb in a Python file.

use super::draft::Draft;
use super::error::{Place, Problem, shown};
use super::literal::{self, Call, Kind, Statement, Value};
use super::remark;
use super::{Found, nydus, rb};
use crate::placement::NODES_MAX;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Whose cluster it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Nydus,
    Rb,
}

/// Settings of one cluster, as the program's function is given them.
pub(super) struct Cluster<'v> {
    pub(super) program: Program,
    /// The variable, or the key of the dict around it.
    pub(super) name: &'v str,
    pub(super) place: Place,
    pub(super) settings: Fields<'v>,
}

/// Texts and what belongs to them, in the order of the file. Of equal texts the later counts, as in Python.
pub(super) struct Fields<'v> {
    pub(super) entries: Vec<(&'v str, &'v Value)>,
    names: &'v Names<'v>,
}

/// What names of the file stand for.
pub(super) struct Names<'v>(HashMap<&'v str, &'v Value>);

/// A name stands for another one at most so often.
const ALIASES_MAX: usize = 16;

const NYDUS_KEYS: [&str; 5] = [
    "engine",
    "backend",
    "router",
    "defaults",
    "max_connection_retries",
];
const RB_KEYS: [&str; 5] = [
    "host_defaults",
    "pool_cls",
    "pool_options",
    "router_cls",
    "router_options",
];

/// `program`: whose settings they are; `None`: told by their keys.
pub(super) fn read(text: &str, program: Option<Program>) -> Result<Vec<Found>, Problem> {
    let statements = literal::module(text)?;
    let names = names(&statements);
    let clusters = clusters(&statements, &names, program)?;
    if clusters.is_empty() {
        return Err(Problem::new("no cluster in the text")
            .expected(
                "a dict with hosts, alone, assigned to a name, or in other dicts; create_cluster({..}); Cluster(hosts=..)",
            )
            .help("give the settings as they stand in the Python file"));
    }
    clusters
        .iter()
        .map(|cluster| match cluster.program {
            Program::Nydus => nydus::found(cluster),
            Program::Rb => rb::found(cluster),
        })
        .collect()
}

/// Whose settings the first cluster of the text are; `None` if there is none.
pub(super) fn program(text: &str) -> Result<Option<Program>, Problem> {
    let statements = literal::module(text)?;
    let names = names(&statements);
    let clusters = clusters(&statements, &names, None)?;
    Ok(clusters.first().map(|cluster| cluster.program))
}

fn names(statements: &[Statement]) -> Names<'_> {
    let assigned = statements.iter().filter_map(|statement| match statement {
        Statement::Assigned { name, value } => Some((name.as_str(), value)),
        _ => None,
    });
    Names(assigned.collect())
}

fn clusters<'v>(
    statements: &'v [Statement],
    names: &'v Names<'v>,
    program: Option<Program>,
) -> Result<Vec<Cluster<'v>>, Problem> {
    let mut clusters = Vec::new();
    for statement in statements {
        match statement {
            Statement::Assigned { name, value } => {
                find(value, name, names, program, &mut clusters)?;
            }
            Statement::Alone(value) => find(value, "cluster", names, program, &mut clusters)?,
            // Something else's, unless it speaks of hosts.
            Statement::Other { problem, words } if words.iter().any(|word| word == "hosts") => {
                return Err(problem.clone());
            }
            Statement::Other { .. } => {}
        }
    }
    Ok(clusters)
}

fn find<'v>(
    value: &'v Value,
    name: &'v str,
    names: &'v Names<'v>,
    program: Option<Program>,
    found: &mut Vec<Cluster<'v>>,
) -> Result<(), Problem> {
    match &value.kind {
        Kind::Dict(entries) => {
            let settings = || Fields::new(entries.iter().map(|(key, value)| (key, value)), names);
            if entries.iter().any(|(key, _)| key.text() == Some("hosts")) {
                let settings = settings()?;
                let program = match program {
                    Some(program) => program,
                    None => told_by_keys(value, &settings)?,
                };
                found.push(Cluster {
                    program,
                    name,
                    place: value.place,
                    settings,
                });
                return Ok(());
            }
            for (key, value) in entries {
                find(value, key.text().unwrap_or(name), names, program, found)?;
            }
        }
        Kind::List(items) | Kind::Tuple(items) | Kind::Set(items) => {
            for item in items {
                find(item, name, names, program, found)?;
            }
        }
        Kind::Call(call) => find_in_call(value, call, name, names, program, found)?,
        _ => {}
    }
    Ok(())
}

fn find_in_call<'v>(
    value: &'v Value,
    call: &'v Call,
    name: &'v str,
    names: &'v Names<'v>,
    program: Option<Program>,
    found: &mut Vec<Cluster<'v>>,
) -> Result<(), Problem> {
    let function = call.callee.rsplit('.').next().unwrap_or_default();
    let program = match function {
        "create_cluster" => Some(program.unwrap_or(Program::Nydus)),
        _ => program,
    };
    let has_hosts = call.keywords.iter().any(|(keyword, _)| keyword == "hosts");
    if has_hosts {
        let mut settings = Fields {
            entries: Vec::new(),
            names,
        };
        for unpacked in &call.unpacked {
            let unpacked = names.resolve(unpacked);
            let Kind::Dict(entries) = &unpacked.kind else {
                return Err(unpacked
                    .problem("arguments that Python computes")
                    .read(format!("{} behind **", unpacked.what()))
                    .expected("a dict that stands in the same text")
                    .help("write the arguments down"));
            };
            for (key, value) in entries {
                settings.add(key, value)?;
            }
        }
        for (keyword, value) in &call.keywords {
            settings.set(keyword, value);
        }
        let told = match settings.get("backend").or(settings.get("engine")) {
            Some(_) => Program::Nydus,
            None => Program::Rb,
        };
        found.push(Cluster {
            program: program.unwrap_or(told),
            name,
            place: value.place,
            settings,
        });
        return Ok(());
    }
    let keywords = call.keywords.iter().map(|(_, value)| value);
    for argument in call.arguments.iter().chain(keywords) {
        find(argument, name, names, program, found)?;
    }
    Ok(())
}

fn told_by_keys(value: &Value, settings: &Fields<'_>) -> Result<Program, Problem> {
    let has = |keys: &[&str]| {
        let mut entries = settings.entries.iter();
        entries.any(|(key, _)| keys.contains(key))
    };
    match (has(&NYDUS_KEYS), has(&RB_KEYS)) {
        (true, true) => Err(value
            .problem("settings of nydus and of rb in one dict")
            .expected(format!(
                "either {} or {}",
                NYDUS_KEYS.join(", "),
                RB_KEYS.join(", ")
            ))
            .help("say whose they are: format nydus or rb")),
        (true, false) => Ok(Program::Nydus),
        (false, _) => Ok(Program::Rb),
    }
}

impl<'v> Names<'v> {
    /// What a name stands for; the value itself if it is none, or if the text does not say.
    pub(super) fn resolve(&self, value: &'v Value) -> &'v Value {
        let mut value = value;
        for _ in 0..ALIASES_MAX {
            match &value.kind {
                Kind::Name(name) => match self.0.get(name.as_str()) {
                    Some(next) => value = next,
                    None => break,
                },
                _ => break,
            }
        }
        value
    }
}

impl<'v> Fields<'v> {
    fn new(
        entries: impl Iterator<Item = (&'v Value, &'v Value)>,
        names: &'v Names<'v>,
    ) -> Result<Fields<'v>, Problem> {
        let mut fields = Fields {
            entries: Vec::new(),
            names,
        };
        for (key, value) in entries {
            fields.add(key, value)?;
        }
        Ok(fields)
    }

    fn add(&mut self, key: &'v Value, value: &'v Value) -> Result<(), Problem> {
        let Some(text) = key.text() else {
            return Err(key
                .problem("a key that is no text")
                .read(key.what())
                .expected("the name of a setting, in quotes")
                .help("check the brackets"));
        };
        self.set(text, value);
        Ok(())
    }

    fn set(&mut self, key: &'v str, value: &'v Value) {
        // Settings are few; what has many entries are hosts, which are no fields.
        let value = self.names.resolve(value);
        match self.entries.iter_mut().find(|(other, _)| *other == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'v Value> {
        let entry = self.entries.iter().find(|(other, _)| *other == key);
        entry.map(|(_, value)| *value)
    }

    /// Fields of a dict that is a value here.
    pub(super) fn of(&self, value: &'v Value) -> Result<Fields<'v>, Problem> {
        let value = self.names.resolve(value);
        match &value.kind {
            Kind::Dict(entries) => {
                if entries.len() > FIELDS_MAX {
                    return Err(value
                        .problem("a dict with too many entries")
                        .read(format!("{} entries", entries.len()))
                        .expected(format!("at most {FIELDS_MAX} settings"))
                        .help("check the brackets"));
                }
                Fields::new(entries.iter().map(|(key, value)| (key, value)), self.names)
            }
            Kind::None => Fields::new(std::iter::empty(), self.names),
            _ => Err(value
                .problem("not a dict")
                .read(value.what())
                .expected("a dict of settings as it stands: {'host': '10.0.0.1'}")
                .help("write it down: this reads Python and does not run it")),
        }
    }

    pub(super) fn resolve(&self, value: &'v Value) -> &'v Value {
        self.names.resolve(value)
    }

    /// Refuses what the program would not take.
    pub(super) fn check_known(&self, known: &[&str], whose: &str) -> Result<(), Problem> {
        match self.entries.iter().find(|(key, _)| !known.contains(key)) {
            None => Ok(()),
            Some((key, value)) => Err(value
                .problem(format!("{whose} takes no such argument"))
                .read(format!("{:?}", shown(key)))
                .expected(known.join(", "))
                .help("remove it, or correct its name")),
        }
    }
}

/// No function takes more arguments.
const FIELDS_MAX: usize = 1_000;

/// How the program calls a host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Number {
    Int(i64),
    Text(String),
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Number::Int(number) => number.fmt(f),
            Number::Text(text) => shown(text).fmt(f),
        }
    }
}

/// A host as it stands in `hosts`.
pub(super) struct Entry<'v> {
    /// `None` in a list.
    pub(super) number: Option<Number>,
    pub(super) place: Place,
    pub(super) value: &'v Value,
}

/// All hosts: at least one, at most as many as there may be nodes. Of one number the later counts, as in Python.
pub(super) fn hosts<'v>(settings: &Fields<'v>) -> Result<Vec<Entry<'v>>, Problem> {
    let Some(value) = settings.get("hosts") else {
        return Err(Problem::new("no hosts")
            .expected("hosts: a dict from the number of each host to its settings")
            .help("add hosts"));
    };
    let mut hosts = Vec::new();
    match &value.kind {
        Kind::List(items) | Kind::Tuple(items) => {
            hosts.extend(items.iter().map(|item| Entry {
                number: None,
                place: item.place,
                value: settings.resolve(item),
            }));
        }
        Kind::Dict(entries) => {
            let mut by_number = HashMap::new();
            for (key, host) in entries {
                let number = match &settings.resolve(key).kind {
                    Kind::Int(number) => Number::Int(*number),
                    Kind::Text { text, .. } => Number::Text(text.clone()),
                    _ => {
                        return Err(key
                            .problem("the key of a host is no number")
                            .read(key.what())
                            .expected("0, 1, 2 and so on")
                            .help("number the hosts as the program does"));
                    }
                };
                let entry = Entry {
                    number: Some(number.clone()),
                    place: key.place,
                    value: settings.resolve(host),
                };
                match by_number.entry(number) {
                    std::collections::hash_map::Entry::Vacant(vacant) => {
                        vacant.insert(hosts.len());
                        hosts.push(entry);
                    }
                    std::collections::hash_map::Entry::Occupied(first) => {
                        hosts[*first.get()] = entry;
                    }
                }
            }
        }
        _ => {
            return Err(value
                .problem("hosts are no dict")
                .read(value.what())
                .expected(
                    "a dict from the number of each host to its settings: {0: {'port': 6379}}",
                )
                .help("write it down: this reads Python and does not run it"));
        }
    }
    if !(1..=NODES_MAX).contains(&hosts.len()) {
        return Err(value
            .problem(format!("there are {} hosts", hosts.len()))
            .expected(format!("1 to {NODES_MAX} hosts"))
            .help("give the settings that are in use"));
    }
    Ok(hosts)
}

/// The first number from 0 that no host has, if they are not 0, 1, 2 and so on, each once.
pub(super) fn gap<'n>(numbers: impl ExactSizeIterator<Item = &'n Number>) -> Option<i64> {
    let count = numbers.len() as i64;
    let numbers: HashSet<&Number> = numbers.collect();
    (0..count).find(|number| !numbers.contains(&Number::Int(*number)))
}

/// A password of the original.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Secret {
    None,
    Known(String),
    /// Python computes it, here.
    Unknown(Place),
}

pub(super) fn secret(value: Option<&Value>) -> Result<Secret, Problem> {
    let Some(value) = value else {
        return Ok(Secret::None);
    };
    match &value.kind {
        Kind::None => Ok(Secret::None),
        Kind::Text { text, .. } if text.is_empty() => Ok(Secret::None),
        Kind::Text { text, .. } => Ok(Secret::Known(text.clone())),
        Kind::Int(number) => Ok(Secret::Known(number.to_string())),
        Kind::Name(_) | Kind::Call(_) | Kind::Computed => Ok(Secret::Unknown(value.place)),
        _ => Err(value
            .problem("the password is no text")
            .read(value.what())
            .expected("a text, or None")
            .help("write it as a text; it will not be in the file")),
    }
}

/// Variables for the passwords: one for all hosts if they have one password, which servers then inherit; else one for each that has any.
pub(super) fn variables(draft: &mut Draft, secrets: &[(String, Secret)]) -> Vec<Option<String>> {
    let Some((_, first)) = secrets.first() else {
        return Vec::new();
    };
    let todo = |draft: &mut Draft, what: String| {
        draft.remark(
            remark::Kind::ToDo,
            "password",
            format!("set {what}: none is in this file"),
        );
    };
    if secrets.iter().all(|(_, secret)| secret == first) {
        let value = match first {
            Secret::None => return vec![None; secrets.len()],
            Secret::Known(value) => value.clone(),
            Secret::Unknown(_) => STAND_IN.to_owned(),
        };
        let variable = draft.variable("PASSWORD", &value);
        todo(draft, format!("the variable {variable} to the password"));
        draft.password = Some(variable.clone());
        return vec![Some(variable); secrets.len()];
    }
    // One variable for each password, called after the first host that has it.
    let mut by_secret: HashMap<&Secret, String> = HashMap::new();
    let mut named = Vec::new();
    let mut variables = Vec::new();
    for (host, secret) in secrets {
        let value = match secret {
            Secret::None => {
                variables.push(None);
                continue;
            }
            Secret::Known(value) => value.as_str(),
            Secret::Unknown(_) => STAND_IN,
        };
        let variable = by_secret.entry(secret).or_insert_with(|| {
            let variable = draft.variable(&format!("PASSWORD_{host}"), value);
            named.push(variable.clone());
            variable
        });
        variables.push(Some(variable.clone()));
    }
    let what = match named.as_slice() {
        [one] => format!("the variable {one} to the password of its hosts"),
        [first, .., last] => format!(
            "each of the {} variables {first} to {last} to the password of its hosts",
            named.len()
        ),
        [] => return variables,
    };
    todo(draft, what);
    variables
}

/// What a file is checked with where Python computes a password.
const STAND_IN: &str = "computed";

/// Seconds, as Python gives them.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value.kind {
        Kind::Int(number) => number as f64,
        Kind::Float(number) => number,
        _ => return None,
    };
    (seconds > 0.0 && seconds < 1e9).then(|| Duration::from_secs_f64(seconds))
}
