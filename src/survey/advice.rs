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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Servers as (nodes, load, load by nodes, memory used of 100); nodes as their bytes, one estimate each.
    fn survey(servers: &[(usize, f64, f64, u64)], nodes: &[u64], biggest: Value) -> Survey {
        let exact = |value: u64| json!({"value": value, "low": value, "high": value});
        let bytes: u64 = nodes.iter().sum();
        let servers: Vec<Value> = servers
            .iter()
            .zip(["a", "b", "c"])
            .map(|(&(nodes, load, by_nodes, used), name)| {
                let held = bytes as f64 * load / servers.len() as f64;
                json!({
                    "name": name, "address": "", "database": 0, "nodes": nodes, "state": "reached",
                    "memory_bytes": used, "memory_bytes_max": 100, "memory_policy": "noeviction", "target": 0.5,
                    "held": {
                        "keys": 100, "looked_at": 100, "is_complete": true, "bytes": exact(held as u64),
                        "misplaced_keys": exact(0), "misplaced_bytes": null,
                        "load": {"keys": load, "bytes": load}, "load_by_nodes": {"keys": by_nodes, "bytes": by_nodes},
                    },
                    "failure": null,
                })
            })
            .collect();
        let nodes: Vec<Value> = nodes
            .iter()
            .enumerate()
            .map(|(node, &bytes)| {
                json!({
                    "node": node, "name": "", "server": "a", "keys": exact(100), "bytes": exact(bytes), "load": null,
                    "requests": null,
                })
            })
            .collect();
        serde_json::from_value(json!({
            "cluster": "feeds", "placement": "", "is_complete": true, "looked_at": 0, "servers": servers, "nodes": nodes,
            "evenness": {}, "requests": {"known": "by_counters"}, "biggest_keys": biggest, "hottest_keys": [],
            "notes": [],
        }))
        .unwrap()
    }

    #[test]
    fn the_fullest_server_is_named_with_the_reason() {
        let advice =
            |servers: &[(usize, f64, f64, u64)]| survey(servers, &[10; 8], json!([])).advice();
        let even = [(4, 1.02, 1.02, 10), (4, 0.98, 0.98, 10)];
        assert_eq!(
            advice(&even),
            ["Servers are even: a, the fullest, has 1.02 of their mean."]
        );
        assert!(!survey(&even, &[10; 8], json!([])).is_uneven());
        let by_count = [(2, 0.5, 1.0, 10), (6, 1.5, 1.0, 10)];
        assert_eq!(
            advice(&by_count),
            ["b has 1.50 of the mean of all servers: it has 6 of 8 nodes."]
        );
        assert!(survey(&by_count, &[10; 8], json!([])).is_uneven());
        assert_eq!(
            advice(&[(4, 1.31, 1.31, 10), (4, 0.69, 0.69, 10)]),
            ["a has 1.31 of the mean of all servers: its 4 nodes hold 1.31 of what they should."]
        );
        assert_eq!(
            advice(&[(5, 1.6, 1.28, 10), (3, 0.4, 0.53, 10)]),
            [
                "a has 1.60 of the mean of all servers: it has 5 of 8 nodes, and they hold 1.28 of what they should."
            ]
        );
    }

    #[test]
    fn a_server_that_is_nearly_full_comes_first() {
        let advice = survey(&[(4, 1.0, 1.0, 79), (4, 1.0, 1.0, 93)], &[10; 8], json!([])).advice();
        assert_eq!(
            advice[0],
            "b uses 93 % of its memory limit: at 100 % it refuses writes."
        );
        assert_eq!(advice.len(), 2, "{advice:?}");
    }

    #[test]
    fn what_no_plan_can_divide_is_named() {
        // 150 of 220 bytes in one node, 110 for each server.
        let nodes = [150, 10, 10, 10, 10, 10, 10, 10];
        let servers = [(4, 1.6, 1.6, 10), (4, 0.4, 0.4, 10)];
        let key = json!([{"key": "home", "node": 0, "server": "a", "bytes": 75, "accesses": null}]);
        let advice = survey(&servers, &nodes, key).advice();
        assert_eq!(
            advice[1..],
            [
                "Node 0 alone has 1.36 of the mean of all servers: no plan makes them even, as a node is never divided.",
                "One key takes 50 % of node 0: \"home\", 75 bytes. It stays in one piece wherever the node goes."
            ]
        );
    }
}
