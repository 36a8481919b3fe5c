//! What a survey means, in words. Pure.

use super::{Survey, SurveyedNode, SurveyedServer};
use crate::inspect::Answer;

/// Servers count as even up to this multiple of their mean.
pub const EVEN_MAX: f64 = 1.1;
/// A server is nearly full from this part of its limit on.
const NEARLY_FULL: f64 = 0.8;
/// A key is a lump from this part of its node on.
const LUMP: f64 = 0.25;

impl Survey {
    /// What to make of it, a sentence each, the most urgent first: servers that are nearly full or have more than [`EVEN_MAX`] of the mean,
    /// nodes and keys that no plan could divide. Never empty if there are keys.
    pub fn advice(&self) -> Vec<String> {
        let mut advice: Vec<String> = self.servers.iter().filter_map(nearly_full).collect();
        advice.extend(self.fullest());
        advice.extend(self.lumps());
        advice
    }

    /// Whether servers are so uneven that a plan is worth a look.
    pub fn is_uneven(&self) -> bool {
        self.servers
            .iter()
            .filter_map(load_of)
            .any(|load| load > EVEN_MAX)
    }

    fn fullest(&self) -> Option<String> {
        let known = || {
            self.servers
                .iter()
                .filter_map(|server| Some((server, load_of(server)?)))
        };
        let (server, load) = known().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let name = &server.state.name;
        if load == 0.0 {
            return None;
        }
        if known().count() == 1 {
            return Some(format!("{name} has all there is."));
        }
        if load <= EVEN_MAX {
            return Some(format!(
                "Servers are even: {name}, the fullest, has {load:.2} of their mean."
            ));
        }
        let by_nodes = server.held.as_ref()?.load_by_nodes;
        let by_nodes = by_nodes.bytes.unwrap_or(by_nodes.keys);
        let (nodes, of) = (server.state.nodes, self.nodes.len());
        let why = match () {
            () if by_nodes <= EVEN_MAX => format!("it has {nodes} of {of} nodes"),
            () if load / by_nodes <= EVEN_MAX => {
                format!("its {nodes} nodes hold {by_nodes:.2} of what they should")
            }
            () => {
                format!(
                    "it has {nodes} of {of} nodes, and they hold {by_nodes:.2} of what they should"
                )
            }
        };
        Some(format!(
            "{name} has {load:.2} of the mean of all servers: {why}."
        ))
    }

    /// What cannot be divided: nodes that alone fill a server's share, keys that are much of their node.
    fn lumps(&self) -> Vec<String> {
        let held = || {
            self.servers
                .iter()
                .filter_map(|server| server.held.as_ref())
        };
        let bytes: u64 = held()
            .filter_map(|held| held.bytes)
            .map(|bytes| bytes.value)
            .sum();
        let mean = bytes as f64 / held().count().max(1) as f64;
        let bytes_of = |node: &SurveyedNode| node.bytes.map_or(0.0, |bytes| bytes.value as f64);
        let mut lumps = Vec::new();
        if held().count() > 1 && self.nodes.len() > held().count() {
            for node in self.nodes_by_bytes().into_iter().take(3) {
                if bytes_of(node) > mean && mean > 0.0 {
                    lumps.push(format!(
                        "Node {} alone has {:.2} of the mean of all servers: no plan makes them even, as a node is never divided.",
                        node.node,
                        bytes_of(node) / mean
                    ));
                }
            }
        }
        for key in self.biggest_keys.iter().take(3) {
            let node = key.node.and_then(|node| self.nodes.get(node.index()));
            // A key that was met is counted as often as the sample is small; itself it is there once.
            let Some(node) = node.filter(|node| node.keys.is_some_and(|keys| keys.value > 10))
            else {
                continue;
            };
            let part = key.bytes as f64 / bytes_of(node).max(1.0);
            if part >= LUMP {
                lumps.push(format!(
                    "One key takes {:.0} % of node {}: {:?}, {} bytes. It stays in one piece wherever the node goes.",
                    (part * 100.0).min(100.0),
                    node.node,
                    key.key,
                    key.bytes
                ));
            }
        }
        lumps
    }
}

fn load_of(server: &SurveyedServer) -> Option<f64> {
    let load = server.held.as_ref()?.load;
    Some(load.bytes.unwrap_or(load.keys))
}

fn nearly_full(server: &SurveyedServer) -> Option<String> {
    let Answer::Reached(facts) = &server.state.answer else {
        return None;
    };
    let limit = facts.memory_bytes_max.filter(|&limit| limit > 0)? as f64;
    let full = facts.memory_bytes? as f64 / limit;
    (full >= NEARLY_FULL).then(|| {
        format!(
            "{} uses {:.0} % of its memory limit{}.",
            server.state.name,
            full * 100.0,
            match facts.memory_policy.as_deref() {
                Some("noeviction") => ": at 100 % it refuses writes",
                Some(_) => ": at 100 % it evicts keys",
                None => "",
            }
        )
    })
}
