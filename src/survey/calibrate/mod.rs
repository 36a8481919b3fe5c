//! Measuring on a live cluster what the model of moves has to be told: [`Pace`].

mod judge;
mod measure;
mod write;

use crate::config::Config;
use crate::connection::Probe;
use crate::plan::Pace;
use judge::judged;
use measure::Measuring;
use redis::{Cmd, Value};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::time::Duration;

/// No single measurement takes longer than this and some questions: it has at least so many answers that they tell something.
const MEASURE: Duration = Duration::from_millis(500);
/// Commands in one pipeline.
const PIPELINE: usize = 100;

/// What a calibration may do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CalibrateOptions {
    /// Bound on each dial and on each question to a server. Default 5 s.
    pub timeout: Duration,
    /// A server to write to: at most 2,000 copies of sampled values, 8 MiB together, under `keyway:calibrate:<random>:`, which are removed at
    /// once, also on error, and have a time to live of a minute in case that this process dies. Default: none, and nothing is written.
    pub write_to: Option<String>,
}

impl Default for CalibrateOptions {
    fn default() -> CalibrateOptions {
        CalibrateOptions {
            timeout: Duration::from_secs(5),
            write_to: None,
        }
    }
}

/// A pace, and how it is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Calibration {
    /// The cluster's name.
    pub cluster: String,
    /// What was measured, and the defaults for what was not.
    pub pace: Pace,
    /// Where each figure of it comes from, in the order of [`Pace`]'s fields.
    pub figures: Vec<Figure>,
    /// What was measured on each server.
    pub servers: Vec<ServerPace>,
}

/// One field of a pace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Figure {
    /// Its name in [`Pace`]; what is in `load` as `load.purge`.
    pub field: String,
    /// Whether it was measured here; else it is the default.
    pub is_measured: bool,
    /// How it was measured, or why not.
    pub how: String,
}

/// What was measured on one server; `None`: it could not be, or was not asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ServerPace {
    /// Its name.
    pub server: String,
    /// Why there is nothing, or not all.
    pub failure: Option<String>,
    /// Median of nine PINGs, in microseconds.
    pub round_trip_us: Option<u64>,
    /// What the wire carries one way, in bytes per second: by ECHO of 1 MiB, up and down again.
    pub wire_bytes_per_s: Option<u64>,
    /// Keys that SCAN passes, per second.
    pub scan_keys_per_s: Option<u64>,
    /// Keys that are read as a mover does, DUMP and PTTL in pipelines of 100, per second.
    pub read_keys_per_s: Option<u64>,
    /// Keys that are installed, RESTORE in pipelines of 100, per second.
    pub install_keys_per_s: Option<u64>,
    /// Keys that are removed, UNLINK in pipelines of 100, per second.
    pub remove_keys_per_s: Option<u64>,
    /// Connections of clients, ours not counted.
    pub connections: Option<u64>,
    /// Median of five CLIENT LISTs, in microseconds.
    pub client_list_us: Option<u64>,
    /// Commands in the last second or so, before we began.
    pub commands_per_s: Option<u64>,
    /// What clients send, reads included, in bytes per second, before we began.
    pub input_bytes_per_s: Option<u64>,
    /// `repl-diskless-sync-delay` in milliseconds; 0 where synchronizations go by way of the disk.
    pub sync_delay_ms: Option<u64>,
}

/// Why there is no calibration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// [`CalibrateOptions::write_to`] names no server.
    #[error("there is no server {name}: the file has {known}")]
    UnknownServer {
        /// What was asked for.
        name: String,
        /// The servers that there are.
        known: String,
    },
    /// Every server failed.
    #[error("no server could be measured: {server}: {why}")]
    NoServer {
        /// The first of them.
        server: String,
        /// What went wrong there.
        why: String,
    },
}

/// Measures one server after the other, so that they do not disturb each other; about 3 s each, and at most 16 MiB up, 24 MiB down.
///
/// By default nothing is written. Reading values for a move is measured by DUMP, which counts as an access for eviction: of at most 2,000 keys
/// per server, of at most 64 KiB each and 8 MiB together. No key is read that MEMORY USAGE has not said to be small.
///
/// `progress` hears the name of each server that is turned to. Of the servers' figures the slowest goes into the pace. A server that fails is told and does not stop the others.
///
/// # Errors
/// [`CalibrateError`]: nothing was measured.
pub async fn calibrate(
    config: &Config,
    options: &CalibrateOptions,
    progress: impl Fn(&str),
) -> Result<Calibration, CalibrateError> {
    let topology = config.topology();
    let write_to = match &options.write_to {
        None => None,
        Some(name) => Some(topology.server_by_name(name).ok_or_else(|| {
            let names: Vec<&str> = topology
                .servers()
                .map(|id| &**topology.server_name(id))
                .collect();
            CalibrateError::UnknownServer {
                name: name.clone(),
                known: names.join(", "),
            }
        })?),
    };
    let mut servers = Vec::new();
    let mut dumps = Vec::new();
    for id in topology.servers() {
        progress(topology.server_name(id));
        let mut measuring = Measuring::new(topology.server_name(id));
        if let Err(why) = measuring.read(config, id, options.timeout).await {
            measuring.pace.failure = Some(why);
        }
        // The server that is written to gets what the others have, and if it alone has keys, its own.
        if dumps.is_empty() || (write_to != Some(id) && !measuring.dumps.is_empty()) {
            dumps = measuring.dumps;
        }
        servers.push(measuring.pace);
    }
    if let Some(id) = write_to
        && servers[id.index()].failure.is_none()
        && let Err(why) = write::write(
            config,
            id,
            options.timeout,
            &dumps,
            &mut servers[id.index()],
        )
        .await
    {
        servers[id.index()].failure = Some(why);
    }
    let measured = |server: &ServerPace| server.round_trip_us.is_some();
    if !servers.iter().any(measured) {
        let first = servers.first();
        return Err(CalibrateError::NoServer {
            server: first.map_or_else(String::new, |server| server.server.clone()),
            why: first
                .and_then(|server| server.failure.clone())
                .unwrap_or_else(|| "our user may not PING".to_owned()),
        });
    }
    let (pace, figures) = judged(&servers, options.write_to.as_deref());
    Ok(Calibration {
        cluster: config.name().to_owned(),
        pace,
        figures,
        servers,
    })
}

impl Calibration {
    /// The servers that could not be measured, or not in full, with the reason.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.servers
            .iter()
            .filter_map(|server| Some((&*server.server, server.failure.as_deref()?)))
    }

    /// The table `[pace]` of a scenario, with where each figure comes from as comments.
    pub fn to_toml(&self) -> String {
        let mut text = format!("# Measured on {}.\n", self.cluster);
        for (server, why) in self.failures() {
            // One line, whatever a server says.
            let why: String = why.chars().filter(|c| !c.is_control()).collect();
            let _ = writeln!(text, "# {server} is not in it, or not in full: {why}");
        }
        text.push_str("[pace]\n");
        let pace = &self.pace;
        for figure in &self.figures {
            let value = match &*figure.field {
                "copy_bytes_per_s" => pace.copy_bytes_per_s.to_string(),
                "write_bytes_per_s" => pace.write_bytes_per_s.to_string(),
                "sync_delay_ms" => pace.sync_delay_ms.to_string(),
                "install_keys_per_s" => pace.install_keys_per_s.to_string(),
                "scan_keys_per_s" => pace.scan_keys_per_s.to_string(),
                "remove_keys_per_s" => pace.remove_keys_per_s.to_string(),
                "round_trip_us" => pace.round_trip_us.to_string(),
                "connections" => pace.connections.to_string(),
                "client_list_ns_per_connection" => pace.client_list_ns_per_connection.to_string(),
                "split_work_us" => pace.split_work_us.to_string(),
                "migrate_work_us" => pace.migrate_work_us.to_string(),
                "commands_per_s_max" => pace.commands_per_s_max.to_string(),
                _ => format!(
                    "{{ copy_source = {:?}, copy_destination = {:?}, install_source = {:?}, install_destination = {:?}, purge = {:?} }}",
                    pace.load.copy_source,
                    pace.load.copy_destination,
                    pace.load.install_source,
                    pace.load.install_destination,
                    pace.load.purge
                ),
            };
            let basis = match figure.is_measured {
                true => "measured",
                false => "assumed",
            };
            let _ = writeln!(
                text,
                "# {basis}: {}\n{} = {value}",
                figure.how, figure.field
            );
        }
        text
    }
}

/// A value as DUMP gives it.
type Dump = Vec<u8>;

async fn ask(probe: &mut Probe, questions: &[Cmd]) -> Result<Vec<Value>, String> {
    probe.ask(questions).await.map_err(|error| error.message)
}

/// Per second; `None` of nothing.
fn rate(count: usize, time: Duration) -> Option<u64> {
    let per_s = count as f64 / time.as_secs_f64().max(1e-9);
    (count > 0).then_some(per_s as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use judge::tests::server;

    #[test]
    fn the_toml_is_the_pace_and_says_where_each_figure_comes_from() {
        let servers = vec![server()];
        let (pace, figures) = judged(&servers, None);
        let calibration = Calibration {
            cluster: "feeds".to_owned(),
            pace: pace.clone(),
            figures,
            servers,
        };
        let text = calibration.to_toml();
        #[derive(Deserialize)]
        struct Scenario {
            pace: Pace,
        }
        let back: Scenario = toml::from_str(&text).unwrap();
        assert_eq!(back.pace, pace);
        // Every field of a pace has its line.
        let json = serde_json::to_value(&pace).unwrap();
        for field in json.as_object().unwrap().keys() {
            assert!(text.contains(&format!("\n{field} = ")), "{field}: {text}");
        }
    }
}
