//! What was seen of all servers, put together: estimates, loads, evenness, notes. Pure.

use super::estimate::{Estimate, Population, Tally};
use super::look::{Looked, Met, Seen};
use super::{
    BIGGEST_KEYS, Evenness, Held, Load, MetKey, Requests, Spread, Survey, SurveyedNode,
    SurveyedServer,
};
use crate::config::Config;
use crate::inspect::{Answer, Facts, ServerState};
use crate::placement::NodeId;
use crate::topology::ServerId;

/// Longest piece of a key that is shown.
const KEY_BYTES_MAX: usize = 200;
/// What Redis counts for a key outside of `used_memory_dataset`, and MEMORY USAGE counts with it: the table's entry and the object's header.
const ENTRY_BYTES: u64 = 24 + 16;
/// The sample explains a server's memory if it comes to this part of it.
const EXPLAINED_PERCENT: u64 = 75;
/// Memory that is not worth a note, in bytes.
const UNEXPLAINED_BYTES_MIN: u64 = 1 << 20;
pub(super) const NO_BYTES: &str = "MEMORY USAGE was refused";

pub(super) fn survey(config: &Config, seen: &[Seen]) -> Survey {
    let sizes: Vec<Option<ServerSizes>> = seen
        .iter()
        .map(|seen| seen.keys.as_ref().ok().map(ServerSizes::of))
        .collect();
    let mut nodes = nodes(config, &sizes);
    let nodes_keys = node_loads(
        config,
        &mut nodes,
        |node| node.keys,
        |load, of| load.keys = of,
    );
    let nodes_bytes = node_loads(
        config,
        &mut nodes,
        |node| node.bytes,
        |load, of| load.bytes = Some(of),
    );
    let requests = requests(seen, &sizes, &mut nodes);
    let (servers, servers_keys, servers_bytes) = servers(config, seen, &sizes);
    let looked = || seen.iter().filter_map(|seen| seen.keys.as_ref().ok());
    Survey {
        cluster: config.name().to_owned(),
        placement: config.placement().describe(),
        is_complete: seen
            .iter()
            .all(|seen| seen.keys.as_ref().is_ok_and(|looked| looked.is_complete)),
        looked_at: looked().map(|looked| looked.all.keys).sum(),
        biggest_keys: most(config, seen, |looked| &looked.biggest, |met| met.bytes),
        hottest_keys: most(config, seen, |looked| &looked.hottest, |met| met.accesses),
        notes: notes(seen, &sizes),
        servers,
        nodes,
        evenness: Evenness {
            servers_keys,
            servers_bytes,
            nodes_keys,
            nodes_bytes,
        },
        requests,
    }
}

/// Our user there, for a remedy.
pub(super) fn user(state: &ServerState) -> String {
    match &state.answer {
        Answer::Reached(facts) => facts.user.clone(),
        _ => None,
    }
    .unwrap_or_else(|| "default".to_owned())
}

/// What one server's sample says.
struct ServerSizes<'s> {
    looked: &'s Looked,
    population: Population,
    keys: u64,
    bytes: Option<Estimate>,
}

impl<'s> ServerSizes<'s> {
    fn of(looked: &'s Looked) -> ServerSizes<'s> {
        let population = Population::new(looked.total, looked.all, looked.is_complete);
        let mut sizes = ServerSizes {
            looked,
            population,
            keys: population.keys(&looked.all).value,
            bytes: None,
        };
        sizes.bytes = sizes.bytes_of(&looked.all);
        sizes
    }

    fn bytes_of(&self, part: &Tally) -> Option<Estimate> {
        match self.looked.no_bytes {
            Some(_) => None,
            None => self.population.bytes(part),
        }
    }
}

fn nodes(config: &Config, sizes: &[Option<ServerSizes<'_>>]) -> Vec<SurveyedNode> {
    let topology = config.topology();
    let node = |node: NodeId| {
        let server = topology.server_of(node);
        let sizes = sizes[server.index()].as_ref();
        let part = sizes.map(|sizes| sizes.looked.nodes.get(&node).copied().unwrap_or_default());
        SurveyedNode {
            node,
            name: config.placement().node_name(node).to_owned(),
            server: topology.server_name(server).to_string(),
            keys: sizes
                .zip(part)
                .map(|(sizes, part)| sizes.population.keys(&part)),
            bytes: sizes
                .zip(part)
                .and_then(|(sizes, part)| sizes.bytes_of(&part)),
            load: None,
            requests: None,
        }
    };
    config.placement().nodes().map(node).collect()
}

/// Gives each node its load, and says how even they are. Of nodes that are not known, neither.
fn node_loads(
    config: &Config,
    nodes: &mut [SurveyedNode],
    measure: impl Fn(&SurveyedNode) -> Option<Estimate>,
    set: impl Fn(&mut Load, f64),
) -> Option<Spread> {
    let weight = |node: &SurveyedNode| f64::from(config.placement().weight(node.node));
    let (mut total, mut weights) = (0.0, 0.0);
    for node in nodes.iter() {
        if let Some(estimate) = measure(node) {
            total += estimate.value as f64;
            weights += weight(node);
        }
    }
    if total == 0.0 {
        return None;
    }
    let mut loads = Vec::new();
    for node in nodes {
        if let Some(estimate) = measure(node) {
            let target = total * weight(node) / weights;
            let load = estimate.value as f64 / target;
            set(node.load.get_or_insert_default(), load);
            loads.push((load, estimate.standard_error() / target));
        }
    }
    spread(&loads)
}

/// Of loads and their standard errors.
fn spread(loads: &[(f64, f64)]) -> Option<Spread> {
    if loads.is_empty() {
        return None;
    }
    let count = loads.len() as f64;
    let mean = loads.iter().map(|(load, _)| load).sum::<f64>() / count;
    let root_mean = |squares: f64| (squares / count).sqrt();
    let deviations = loads.iter().map(|(load, _)| (load - mean) * (load - mean));
    Some(Spread {
        max_over_mean: loads.iter().map(|(load, _)| *load).fold(0.0, f64::max),
        min_over_mean: loads
            .iter()
            .map(|(load, _)| *load)
            .fold(f64::INFINITY, f64::min),
        relative_sd: root_mean(deviations.sum()),
        sampling_sd: root_mean(loads.iter().map(|(_, error)| error * error).sum()),
    })
}

type Servers = (Vec<SurveyedServer>, Option<Spread>, Option<Spread>);

fn servers(config: &Config, seen: &[Seen], sizes: &[Option<ServerSizes<'_>>]) -> Servers {
    let targets = targets(config);
    let known: Vec<usize> = (0..seen.len()).filter(|&i| sizes[i].is_some()).collect();
    // All keys together are only what the reached servers have, so the shares of those are what they are held against.
    let reached: f64 = known.iter().map(|&i| targets[i]).sum();
    let of_known = |measure: &dyn Fn(&ServerSizes<'_>) -> Option<f64>| -> Option<f64> {
        known
            .iter()
            .map(|&i| sizes[i].as_ref().and_then(measure))
            .sum()
    };
    let keys_total = of_known(&|sizes| Some(sizes.keys as f64)).unwrap_or(0.0);
    let bytes_total = of_known(&|sizes| sizes.bytes.map(|bytes| bytes.value as f64));
    let over = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let load = |keys: u64, bytes: Option<Estimate>, share: f64| Load {
        keys: over(keys as f64, keys_total * share),
        bytes: bytes
            .zip(bytes_total)
            .map(|(bytes, total)| over(bytes.value as f64, total * share)),
    };
    let even = 1.0 / known.len().max(1) as f64;
    let servers = seen
        .iter()
        .zip(sizes)
        .zip(&targets)
        .map(|((seen, sizes), &target)| SurveyedServer {
            state: seen.state.clone(),
            target,
            held: sizes.as_ref().map(|sizes| Held {
                keys: sizes.keys,
                looked_at: sizes.looked.all.keys,
                is_complete: sizes.looked.is_complete,
                bytes: sizes.bytes,
                misplaced_keys: sizes.population.keys(&sizes.looked.misplaced),
                misplaced_bytes: sizes.bytes_of(&sizes.looked.misplaced),
                load: load(sizes.keys, sizes.bytes, even),
                load_by_nodes: load(sizes.keys, sizes.bytes, over(target, reached)),
            }),
            failure: seen.keys.as_ref().err().cloned(),
        })
        .collect();
    let spread_of = |measure: &dyn Fn(&ServerSizes<'_>) -> Option<(f64, f64)>, total: f64| {
        let loads: Option<Vec<(f64, f64)>> = known
            .iter()
            .map(|&i| {
                let (value, error) = sizes[i].as_ref().and_then(measure)?;
                (total > 0.0).then(|| (value / (total * even), error / (total * even)))
            })
            .collect();
        loads.as_deref().and_then(spread)
    };
    let servers_keys = spread_of(&|sizes| Some((sizes.keys as f64, 0.0)), keys_total);
    let servers_bytes = spread_of(
        &|sizes| {
            let bytes = sizes.bytes?;
            Some((bytes.value as f64, bytes.standard_error()))
        },
        bytes_total.unwrap_or(0.0),
    );
    (servers, servers_keys, servers_bytes)
}

/// What each server's nodes should have, by their weights, as a fraction of all.
fn targets(config: &Config) -> Vec<f64> {
    let placement = config.placement();
    let weight_of = |nodes: &mut dyn Iterator<Item = NodeId>| -> u64 {
        nodes.map(|node| u64::from(placement.weight(node))).sum()
    };
    let total = weight_of(&mut placement.nodes()).max(1) as f64;
    config
        .topology()
        .servers()
        .map(|id| weight_of(&mut config.topology().nodes_of(id)) as f64 / total)
        .collect()
}

/// Each node's part of all accesses, scaled up from the samples, if all servers with nodes count them.
fn requests(
    seen: &[Seen],
    sizes: &[Option<ServerSizes<'_>>],
    nodes: &mut [SurveyedNode],
) -> Requests {
    let count = |wanted: bool| {
        sizes
            .iter()
            .flatten()
            .filter(|sizes| sizes.looked.has_accesses == wanted)
            .count()
    };
    let uncounted = seen
        .iter()
        .filter_map(|seen| Some((seen.state.name.as_str(), seen.keys.as_ref().ok()?)))
        .find(|(_, looked)| !looked.has_accesses);
    match uncounted {
        Some((server, _)) if count(true) > 0 => {
            return Requests::No {
                why: format!(
                    "server {server} does not count accesses, others do: set maxmemory, and maxmemory-policy allkeys-lfu or volatile-lfu, on all"
                ),
            };
        }
        None if count(true) > 0 => {}
        _ => {
            return Requests::No {
                why: "requests by node or key are only known where maxmemory is set and maxmemory-policy is allkeys-lfu or volatile-lfu (OBJECT FREQ); MONITOR \
                      would halve what a server can do, and is not used"
                    .to_owned(),
            };
        }
    }
    let mut accesses = vec![0.0; nodes.len()];
    for sizes in sizes.iter().flatten() {
        let scale = sizes.keys as f64 / sizes.looked.all.keys.max(1) as f64;
        for (node, part) in &sizes.looked.nodes {
            accesses[node.index()] = part.accesses as f64 * scale;
        }
    }
    let total: f64 = accesses.iter().sum();
    for (node, accesses) in nodes.iter_mut().zip(accesses) {
        if node.keys.is_some() {
            node.requests = Some(if total > 0.0 { accesses / total } else { 0.0 });
        }
    }
    Requests::ByCounters
}

fn most(
    config: &Config,
    seen: &[Seen],
    list: impl Fn(&Looked) -> &[Met],
    measure: impl Fn(&Met) -> u64,
) -> Vec<MetKey> {
    let mut all: Vec<(ServerId, bool, &Met)> = config
        .topology()
        .servers()
        .zip(seen)
        .filter_map(|(id, seen)| Some((id, seen.keys.as_ref().ok()?)))
        .flat_map(|(id, looked)| {
            let met = list(looked).iter();
            met.map(move |met| (id, looked.has_accesses, met))
        })
        .collect();
    all.sort_by(|(_, _, a), (_, _, b)| measure(b).cmp(&measure(a)).then(a.key.cmp(&b.key)));
    all.truncate(BIGGEST_KEYS);
    all.into_iter()
        .map(|(id, has_accesses, met)| MetKey {
            key: String::from_utf8_lossy(&met.key[..met.key.len().min(KEY_BYTES_MAX)]).into_owned(),
            node: met.node,
            server: config.topology().server_name(id).to_string(),
            bytes: met.bytes,
            accesses: has_accesses.then_some(met.accesses),
        })
        .collect()
}

fn notes(seen: &[Seen], sizes: &[Option<ServerSizes<'_>>]) -> Vec<String> {
    let mut notes = Vec::new();
    for (seen, sizes) in seen.iter().zip(sizes) {
        let name = &seen.state.name;
        let Some(sizes) = sizes else {
            if seen.state.nodes > 0 {
                notes.push(format!(
                    "{name} could not be looked at: its {} nodes are in no figure",
                    seen.state.nodes
                ));
            }
            continue;
        };
        let looked = sizes.looked;
        if let Some(why) = &looked.no_bytes {
            notes.push(format!(
                "{name}: bytes are not known: {NO_BYTES}: {why}. ACL SETUSER {} +memory|usage",
                user(&seen.state)
            ));
        }
        if looked.misplaced.keys > 0 {
            notes.push(format!(
                "{name}: of {} keys that were looked at, {} belong to nodes of other servers; they are counted apart, and no client finds them. \
                 `keyway check` says more",
                looked.all.keys, looked.misplaced.keys
            ));
        }
        if looked.is_complete
            && (looked.total, looked.total_after) != (looked.all.keys, looked.all.keys)
        {
            notes.push(format!(
                "{name}: keys came or went meanwhile: {} at the begin, {} at the end, {} were looked at",
                looked.total, looked.total_after, looked.all.keys
            ));
        }
        if let Answer::Reached(facts) = &seen.state.answer
            && let Some(note) = unexplained(facts, sizes)
        {
            notes.push(format!("{name}: {note}"));
        }
    }
    notes
}

/// Memory that the sample does not explain: it has missed giants.
fn unexplained(facts: &Facts, sizes: &ServerSizes<'_>) -> Option<String> {
    // The server's figure is for all its databases.
    if sizes.looked.is_complete || facts.databases.len() != 1 {
        return None;
    }
    let (explained, dataset) = (sizes.bytes?.high, facts.memory_dataset_bytes?);
    let data = dataset.saturating_add(sizes.keys.saturating_mul(ENTRY_BYTES));
    let is_short = explained < data / 100 * EXPLAINED_PERCENT;
    (is_short && data - explained > UNEXPLAINED_BYTES_MIN).then(|| {
        format!(
            "its data takes about {data} bytes, and the sample explains at most {explained}: there are keys much bigger than those that were met. \
             A larger sample, or every key, would find them"
        )
    })
}
