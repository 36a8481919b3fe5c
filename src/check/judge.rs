//! From what was seen to what is wrong. Pure.

use super::rights::remedy;
use super::sample::Keys;
use super::{Finding, Level, Right, Seen, Subject, Verdict};
use crate::config::{Config, Mode};
use crate::connection::FENCE_KEY;
use crate::hash::Hashkit;
use crate::inspect::{Answer, Facts};
use crate::placement::{Algorithm, NodeSpec, Options, Placement};
use std::collections::{BTreeMap, HashSet};

/// The oldest version with everything that a client uses.
const VERSION_MIN: (u32, u32) = (7, 0);
/// Clocks this far apart are worth a word: timelines and locks compare times of several servers.
const CLOCK_DIFFERENCE_US_MAX: i64 = 1_000_000;
/// Of connections and memory.
const FULL_PERCENT: u64 = 90;
/// A cause explains the misplaced keys if it explains this share of the sample; the rest may be strangers, or a second mistake.
const EXPLAINED_PERCENT: usize = 90;
/// Fewer keys than this explain nothing.
const EXPLAINED_KEYS_MIN: usize = 20;
/// Algorithms that explain the keys equally well: most that are told.
const ALIKE_MAX: usize = 4;
/// Some hundred presets and options are tried: fewer keys may fit one of them by chance.
const PRESET_KEYS_MIN: usize = 60;
/// With more nodes than this it would take long to try them all.
const PRESET_NODES_MAX: usize = 1_024;

pub(super) fn verdict(findings: &[Finding]) -> Verdict {
    let mut errors = findings
        .iter()
        .filter(|finding| finding.level == Level::Error)
        .peekable();
    if errors.peek().is_none() {
        Verdict::Fine
    } else if errors.all(|error| error.subject == Subject::Unreachable) {
        Verdict::Unreachable
    } else {
        Verdict::Problems
    }
}

pub(super) fn findings(config: &Config, seen: &[Seen]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for server in seen {
        of_server(config, server, &mut findings);
    }
    same_server(seen, &mut findings);
    clocks(seen, &mut findings);
    keyspace_events(seen, &mut findings);
    misplaced(config, seen, &mut findings);
    // Stable: within one level the order of the checks and of the servers stays.
    findings.sort_by_key(|finding| finding.level);
    findings
}

impl Finding {
    fn new(level: Level, subject: Subject, message: String) -> Finding {
        Finding {
            level,
            subject,
            server: None,
            message,
            advice: String::new(),
        }
    }

    fn error(subject: Subject, message: impl Into<String>) -> Finding {
        Finding::new(Level::Error, subject, message.into())
    }

    fn warning(subject: Subject, message: impl Into<String>) -> Finding {
        Finding::new(Level::Warning, subject, message.into())
    }

    fn note(subject: Subject, message: impl Into<String>) -> Finding {
        Finding::new(Level::Note, subject, message.into())
    }

    fn at(mut self, server: &str) -> Finding {
        self.server = Some(server.to_owned());
        self
    }

    fn advice(mut self, advice: impl Into<String>) -> Finding {
        self.advice = advice.into();
        self
    }
}

fn of_server(config: &Config, seen: &Seen, findings: &mut Vec<Finding>) {
    let name = &seen.state.name;
    let address = &seen.state.address;
    let mut add = |finding: Finding| findings.push(finding.at(name));
    let facts = match &seen.state.answer {
        Answer::Reached(facts) => facts,
        Answer::Unreachable { cause } => {
            add(
                Finding::error(Subject::Unreachable, format!("{address}: {cause}")).advice(
                    "is the server running, is the address right, does a firewall stand between?",
                ),
            );
            return;
        }
        Answer::Refused { cause } => {
            add(Finding::error(
                Subject::Refused,
                format!("{address}: {cause}"),
            ));
            return;
        }
    };
    if let Some(mode) = facts.mode.as_deref().filter(|mode| *mode != "standalone") {
        add(Finding::error(
            Subject::ClusterMode,
            format!("{address} runs in {mode} mode; keyway spreads data over plain servers"),
        )
        .advice("use a Redis Cluster client, or start the server with cluster-enabled no"));
    }
    if facts.role.as_deref() == Some("slave") {
        add(if config.placement().has_homes() {
            Finding::error(
                Subject::Replica,
                format!("{address} is a replica: writes fail there"),
            )
            .advice("give the address of its master, or promote it with REPLICAOF NO ONE")
        } else {
            Finding::warning(
                Subject::Replica,
                format!("{address} is a replica: a write whose turn is there has to go on to another server, and transactions and scripts that write fail"),
            )
            .advice("fine for a cluster that only reads; write to the master, through another cluster file or on_server(name)")
        });
    }
    version(facts).into_iter().for_each(&mut add);
    if seen.is_fenced {
        add(
            Finding::error(
                Subject::Fence,
                format!("holds the key {FENCE_KEY}: its data is being moved, or was, by a keyway with a newer map than this file; clients refuse to serve"),
            )
            .advice("use the topology that the move works from"),
        );
    }
    missing_rights(facts, &seen.missing_rights)
        .into_iter()
        .for_each(&mut add);
    if let Some(why) = &seen.not_sampled {
        let advice = if why.starts_with("NOPERM") {
            let user = facts.user.as_deref().unwrap_or("default");
            format!("for this check: ACL SETUSER {user} +scan +dbsize, or run it as another user")
        } else {
            String::new()
        };
        add(
            Finding::warning(
                Subject::NotSampled,
                format!("its keys could not be looked at, so nothing tells whether this file is right for them: {why}"),
            )
            .advice(advice),
        );
    }
    memory(config.mode(), facts).into_iter().for_each(&mut add);
    if config.mode() == Mode::Store
        && facts.appendonly == Some(false)
        && facts.save.as_deref() == Some("")
    {
        add(Finding::warning(
            Subject::Persistence,
            "keeps nothing on disk: a restart loses all data, and this cluster is a store",
        )
        .advice("switch on appendonly or save, or say mode = \"cache\""));
    }
    if let (Some(clients), Some(max)) = (facts.clients, facts.clients_max)
        && is_nearly_full(clients, max)
    {
        add(
            Finding::warning(Subject::Clients, format!("{clients} of at most {max} clients are connected; beyond that, clients are turned away"))
                .advice("raise maxclients, or lower pool.dedicated_max"),
        );
    }
    if seen.state.nodes == 0 {
        add(
            Finding::note(Subject::Idle, "no node lives here: it will get no commands")
                .advice("give it nodes, or take it out of the file"),
        );
    }
}

fn is_nearly_full(used: u64, max: u64) -> bool {
    max > 0 && u128::from(used) * 100 >= u128::from(max) * u128::from(FULL_PERCENT)
}

fn version(facts: &Facts) -> Option<Finding> {
    let version = facts.version.as_deref()?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let parsed = (numbers.next().flatten()?, numbers.next().flatten()?);
    if parsed < VERSION_MIN {
        Some(
            Finding::error(
                Subject::Version,
                format!("runs Redis {version}; keyway needs 7.0 or newer"),
            )
            .advice("upgrade the server"),
        )
    } else if parsed > VERSION_MIN {
        Some(Finding::note(
            Subject::Version,
            format!("runs Redis {version}; keyway is tested with 7.0, newer ones are untested"),
        ))
    } else {
        None
    }
}

fn missing_rights(facts: &Facts, missing: &[Right]) -> Vec<Finding> {
    let user = facts.user.as_deref();
    let who = user.map_or_else(|| "our user".to_owned(), |user| format!("user {user:?}"));
    [true, false]
        .into_iter()
        .filter_map(|is_required| {
            let rights: Vec<&Right> = missing
                .iter()
                .filter(|right| right.is_required == is_required)
                .collect();
            if rights.is_empty() {
                return None;
            }
            let commands: Vec<String> = rights
                .iter()
                .map(|right| format!("{} ({})", right.command, right.purpose))
                .collect();
            let list = commands.join(", ");
            let finding = if is_required {
                Finding::error(
                    Subject::Rights,
                    format!("{who} may not do what every client has to: {list}"),
                )
            } else {
                Finding::warning(
                    Subject::Rights,
                    format!("{who} may not do what some calls need: {list}"),
                )
            };
            Some(finding.advice(remedy(user, &rights)))
        })
        .collect()
}

fn memory(mode: Mode, facts: &Facts) -> Option<Finding> {
    let policy = facts.memory_policy.as_deref()?;
    let max = facts.memory_bytes_max?;
    if mode == Mode::Store && policy.starts_with("allkeys-") {
        return Some(
            Finding::warning(Subject::Memory, format!("maxmemory-policy {policy} throws away any key when memory is full, and this cluster is a store"))
                .advice("set maxmemory-policy to noeviction, or say mode = \"cache\""),
        );
    }
    if policy == "noeviction" && is_nearly_full(facts.memory_bytes?, max) {
        return Some(
            Finding::warning(
                Subject::Memory,
                format!(
                    "more than {FULL_PERCENT} % of maxmemory is used; beyond that, writes fail"
                ),
            )
            .advice("raise maxmemory, or move nodes to another server"),
        );
    }
    None
}

/// Two names for one database: every key would be where the file says, and the two would still be one.
fn same_server(seen: &[Seen], findings: &mut Vec<Finding>) {
    let mut names: BTreeMap<(&str, u32), Vec<&str>> = BTreeMap::new();
    for server in seen {
        if let Answer::Reached(facts) = &server.state.answer
            && let Some(run_id) = &facts.run_id
        {
            names
                .entry((run_id, server.state.database))
                .or_default()
                .push(&server.state.name);
        }
    }
    let mut shared: Vec<Vec<&str>> = names
        .into_values()
        .filter(|names| names.len() > 1)
        .collect();
    shared.sort_unstable();
    findings.extend(shared.into_iter().map(|names| {
        Finding::error(
            Subject::SameServer,
            format!("servers {} are one process and one database", names.join(" and ")),
        )
        .advice("make them one server of the file with the nodes of all, or correct the url that is wrong")
    }));
}

fn clocks(seen: &[Seen], findings: &mut Vec<Finding>) {
    let offsets = seen.iter().filter_map(|server| match &server.state.answer {
        Answer::Reached(facts) => Some((facts.clock_offset_us?, server.state.name.as_str())),
        _ => None,
    });
    let (Some(slowest), Some(fastest)) = (offsets.clone().min(), offsets.max()) else {
        return;
    };
    let difference_us = fastest.0.saturating_sub(slowest.0);
    if difference_us > CLOCK_DIFFERENCE_US_MAX {
        findings.push(
            Finding::warning(
                Subject::Clock,
                format!(
                    "the clock of {} is {:.1} s ahead of that of {}",
                    fastest.1,
                    difference_us as f64 / 1e6,
                    slowest.1
                ),
            )
            .advice("expiry and timelines go by it: run NTP on the servers"),
        );
    }
}

/// Off everywhere is a choice; off on some means that subscribers hear of some keys only.
fn keyspace_events(seen: &[Seen], findings: &mut Vec<Finding>) {
    let mut off = Vec::new();
    let mut on = 0;
    for server in seen {
        if let Answer::Reached(facts) = &server.state.answer
            && let Some(events) = &facts.notify_keyspace_events
        {
            match events.is_empty() {
                true => off.push(server.state.name.as_str()),
                false => on += 1,
            }
        }
    }
    if off.is_empty() {
        return;
    }
    let names = off.join(", ");
    findings.push(if on > 0 {
        Finding::warning(
            Subject::KeyspaceEvents,
            format!("notify-keyspace-events is off on {names}, and on elsewhere: subscribers hear of changes of some keys only"),
        )
        .advice("set it alike on all servers")
    } else {
        Finding::note(
            Subject::KeyspaceEvents,
            format!("notify-keyspace-events is off on {names}: changes of keys are not announced"),
        )
        .advice("set it if you subscribe to __keyspace@ or __keyevent@ channels")
    });
}

fn misplaced(config: &Config, seen: &[Seen], findings: &mut Vec<Finding>) {
    let samples: Vec<&Keys> = seen.iter().filter_map(|seen| seen.keys.as_ref()).collect();
    let explanation = explain(config, &samples).unwrap_or_else(|| {
        "either this file is not the one that the data was written with (placement, node names, nodes of each server), or somebody \
         else keeps keys here too. Let no client use it before that is clear"
            .to_owned()
    });
    for keys in samples.iter().filter(|keys| keys.sample.misplaced > 0) {
        let sample = &keys.sample;
        let all = if sample.is_complete { "all " } else { "" };
        let belong_on: Vec<String> = sample
            .belong_on
            .iter()
            .map(|(server, keys)| format!("{keys} on {server}"))
            .collect();
        findings.push(
            Finding::error(
                Subject::Misplaced,
                format!(
                    "{} of {all}{} keys looked at belong elsewhere by this file: {}",
                    sample.misplaced,
                    sample.keys,
                    belong_on.join(", ")
                ),
            )
            .at(config.topology().server_name(keys.server))
            .advice(explanation.clone()),
        );
    }
}

/// What one mistake would put the keys where they are.
fn explain(config: &Config, samples: &[&Keys]) -> Option<String> {
    let total: usize = samples.iter().map(|keys| keys.keys.len()).sum();
    let misplaced: usize = samples.iter().map(|keys| keys.sample.misplaced).sum();
    if misplaced == 0 || total < EXPLAINED_KEYS_MIN {
        return None;
    }
    renamed_servers(config, samples).or_else(|| other_algorithm(config, samples, total))
}

/// The keys of one server are, as a whole, those of another: urls or nodes were exchanged.
fn renamed_servers(config: &Config, samples: &[&Keys]) -> Option<String> {
    let mut renamed: Vec<(String, String)> = Vec::new();
    for keys in samples {
        let sample = &keys.sample;
        if sample.misplaced == 0 {
            continue;
        }
        let (belongs_on, count) = sample.belong_on.iter().max_by_key(|(_, count)| **count)?;
        if count * 100 < sample.keys * EXPLAINED_PERCENT {
            return None;
        }
        let found_on = config.topology().server_name(keys.server).to_string();
        renamed.push((found_on, belongs_on.clone()));
    }
    match renamed.as_slice() {
        [(a, b), (c, d)] if a == d && b == c => Some(format!(
            "{a} and {b} look exchanged: give each the url, or the nodes, of the other"
        )),
        renamed => {
            let pairs: Vec<String> = renamed
                .iter()
                .map(|(found_on, belongs_on)| {
                    format!("{found_on} holds what belongs on {belongs_on}")
                })
                .collect();
            Some(format!("urls or nodes look mixed up: {}", pairs.join(", ")))
        }
    }
}

/// Other algorithms over the same nodes fit; those that fit best.
fn other_algorithm(config: &Config, samples: &[&Keys], total: usize) -> Option<String> {
    let ours = config.placement();
    let mut best: Vec<(Algorithm, Options)> = Vec::new();
    let mut fewest = usize::MAX;
    for (algorithm, options) in candidates(ours, total) {
        // What its original cannot have is no guess: weights for jump, names without a port for redis-rb.
        let nodes = specs_for(algorithm, ours);
        let Ok(placement) = Placement::with_options(algorithm, options, nodes) else {
            continue;
        };
        let fits = match algorithm.is_preset() {
            true => explains_each(config, samples, &placement),
            false => explains_all(config, samples, &placement, total),
        };
        if !fits {
            continue;
        }
        let elsewhere = samples
            .iter()
            .map(|keys| keys.elsewhere_by(config, &placement).count())
            .sum();
        if elsewhere < fewest {
            fewest = elsewhere;
            best.clear();
        }
        // Of one algorithm the simplest options: a hash_tag makes no difference to keys without one.
        if elsewhere == fewest && best.iter().all(|(one, _)| *one != algorithm) {
            best.push((algorithm, options));
        }
    }
    let written: Vec<String> = best
        .iter()
        .take(ALIKE_MAX)
        .map(|(algorithm, options)| as_written(*algorithm, options))
        .collect();
    let written = match written.as_slice() {
        [] => return None,
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    };
    Some(format!(
        "the keys are where algorithm = {written} puts them, and this file says {}",
        as_written(ours.algorithm(), &ours.options())
    ))
}

/// All others, each with the options that people give it; presets only where trying them all takes no time, and shows something.
fn candidates(ours: &Placement, total: usize) -> impl Iterator<Item = (Algorithm, Options)> {
    let with_presets = ours.node_count() <= PRESET_NODES_MAX && total >= PRESET_KEYS_MIN;
    let (algorithm_of_ours, options_of_ours) = (ours.algorithm(), ours.options());
    Algorithm::all()
        // What puts keys anywhere explains nothing.
        .filter(|algorithm| algorithm.has_homes())
        .filter(move |algorithm| with_presets || !algorithm.is_preset())
        .flat_map(move |algorithm| {
            let hashes = Hashkit::all().filter(move |_| algorithm.takes("hash"));
            let hashes = std::iter::once(None).chain(hashes.map(Some));
            let tags = [Some(*b"{}"), options_of_ours.hash_tag]
                .into_iter()
                .filter(move |tag| tag.is_some() && algorithm.takes("hash_tag"));
            let tags = std::iter::once(None).chain(tags);
            hashes.flat_map(move |hash| {
                tags.clone().map(move |hash_tag| {
                    let options = Options {
                        hash,
                        hash_tag,
                        ..Options::default()
                    };
                    (algorithm, options)
                })
            })
        })
        .filter(move |found| *found != (algorithm_of_ours, options_of_ours))
}

fn specs_for(algorithm: Algorithm, ours: &Placement) -> Vec<NodeSpec> {
    let mut specs = ours.specs().to_vec();
    if !algorithm.takes_labels() {
        for spec in &mut specs {
            spec.label = None;
        }
    }
    specs
}

fn explains_all(config: &Config, samples: &[&Keys], placement: &Placement, total: usize) -> bool {
    let elsewhere_max = total * (100 - EXPLAINED_PERCENT) / 100;
    let elsewhere = samples
        .iter()
        .flat_map(|keys| keys.elsewhere_by(config, placement));
    // No further than is needed to know: a wrong guess is wrong soon.
    elsewhere.take(elsewhere_max + 1).count() <= elsewhere_max
}

/// The same for every server by itself, and for at least two; and the keys of each must not be too much alike. Otherwise a weak hash, which puts
/// such keys on one server, would explain data that nobody has spread: orders here, and users there.
fn explains_each(config: &Config, samples: &[&Keys], placement: &Placement) -> bool {
    let large: Vec<&&Keys> = samples
        .iter()
        .filter(|keys| keys.keys.len() >= EXPLAINED_KEYS_MIN)
        .collect();
    large.len() > 1
        && large.into_iter().all(|keys| {
            explains_all(config, &[*keys], placement, keys.keys.len())
                && neighbourhoods(placement, keys) >= EXPLAINED_KEYS_MIN
        })
}

fn neighbourhoods(placement: &Placement, keys: &Keys) -> usize {
    let all = keys.keys.iter().map(|key| placement.neighbourhood(key));
    all.collect::<HashSet<u64>>().len()
}

fn as_written(algorithm: Algorithm, options: &Options) -> String {
    let mut text = format!("\"{algorithm}\"");
    if let Some(hash) = options.hash {
        text += &format!(" with hash = \"{hash}\"");
    }
    if let Some(tag) = options.hash_tag {
        let word = if options.hash.is_some() {
            "and"
        } else {
            "with"
        };
        text += &format!(" {word} hash_tag = \"{}\"", tag.escape_ascii());
    }
    text
}

#[cfg(test)]
mod tests;
