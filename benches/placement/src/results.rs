//! What a run found, as plain data: the JSON file is exactly this.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The day, as 2026-01-31.
    pub date: String,
    pub machine: Machine,
    /// Name to version: rustc, keyway and the other crates.
    pub versions: BTreeMap<String, String>,
    /// What was typed.
    pub command: String,
    pub settings: Settings,
    pub cells: Vec<Cell>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Everything has its turn once a round; who is first turns from round to round.
    pub rounds: usize,
    /// How long a turn lasts, about.
    pub window_us: u64,
    pub keys: usize,
    /// On average.
    pub key_bytes: f64,
}

/// One number of nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    pub nodes: u16,
    pub rows: Vec<Row>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// As in a cluster file; or a crate's name.
    pub name: String,
    pub is_peer: bool,
    /// The hash of its keys, by its own name.
    pub hash: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Measured(Measured),
    /// The preset does not take so many nodes, or none that were tried.
    Refused(String),
    /// It panicked: it is not written yet.
    Missing(String),
}

/// Nanoseconds for each lookup, one figure a round: those with the same position are a pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    pub lookup_ns: Vec<f64>,
    /// The hash alone, of the same keys.
    pub hash_ns: Vec<f64>,
    pub pingora_ns: Vec<f64>,
    pub hashring_ns: Vec<f64>,
    pub build_ms: f64,
    /// Of what is built, without the nodes' names.
    pub bytes: i64,
    /// Sum of the answers over all keys: as many as there are keys, each below the number of nodes.
    pub checksum: u64,
}

impl Results {
    pub fn to_json(&self) -> Result<String, String> {
        serde_json::to_string(self)
            .map(|text| text + "\n")
            .map_err(|error| format!("no JSON of this: {error}"))
    }

    /// Every row that panicked.
    pub fn missing(&self) -> impl Iterator<Item = (u16, &Row, &str)> {
        self.outcomes()
            .filter_map(|(nodes, row)| match &row.outcome {
                Outcome::Missing(why) => Some((nodes, row, why.as_str())),
                _ => None,
            })
    }

    pub fn refused(&self) -> impl Iterator<Item = (u16, &Row, &str)> {
        self.outcomes()
            .filter_map(|(nodes, row)| match &row.outcome {
                Outcome::Refused(why) => Some((nodes, row, why.as_str())),
                _ => None,
            })
    }

    pub fn measured(&self) -> impl Iterator<Item = (u16, &Row, &Measured)> {
        self.outcomes()
            .filter_map(|(nodes, row)| match &row.outcome {
                Outcome::Measured(measured) => Some((nodes, row, measured)),
                _ => None,
            })
    }

    fn outcomes(&self) -> impl Iterator<Item = (u16, &Row)> {
        self.cells
            .iter()
            .flat_map(|cell| cell.rows.iter().map(|row| (cell.nodes, row)))
    }
}
