//! `keyway locate`: where keys live. Asks the file only.

use crate::failure::CliError;
use crate::output;
use comfy_table::Cell;
use keyway::Config;
use keyway::placement::Explanation;
use serde::Serialize;
use std::ffi::OsString;
use std::io::{BufRead, stdin};
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  keyway locate cluster.toml user:42:name 'cart:{user:42}'
  keyway locate cluster.toml user:42:name --explain
  redis-cli --scan | keyway locate cluster.toml - --json | jq -r .server | sort | uniq -c";

/// JSON is written in pieces of this size: a million keys fit in any memory, and a key is no system call.
const PRINTED_BYTES: usize = 16 * 1024;

/// Say on which node and server keys live; never connects
///
/// By most placements only the part of a key in {...} is hashed, if it has one: keys that share it share a node, so they may be in one
/// transaction.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The cluster file
    file: PathBuf,
    /// Keys; "-" reads keys from standard input, one a line
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<OsString>,
    /// Say step by step how each key finds its node, to compare with the program that placed the data
    #[arg(long)]
    explain: bool,
    /// One JSON object per key and line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    key: String,
    /// Only for keys that are not UTF-8, which JSON cannot hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_hex: Option<String>,
    hashed: String,
    node: u16,
    node_name: String,
    server: String,
    address: String,
    database: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let config = Config::from_file(&args.file)?;
    if !config.placement().has_homes() {
        return Err(CliError::NoHomes(config.placement().algorithm()));
    }
    let keys = args
        .keys
        .iter()
        .flat_map(|key| -> Box<dyn Iterator<Item = _>> {
            match key.as_encoded_bytes() {
                b"-" => Box::new(lines_of_input()),
                bytes => Box::new(std::iter::once(Ok(bytes.to_vec()))),
            }
        });
    let mut table = output::table(
        &["KEY", "HASHED", "NODE", "NAME", "SERVER", "ADDRESS"],
        &[2],
    );
    let mut unprinted = String::new();
    for key in keys {
        let key = key.map_err(CliError::Input)?;
        let row = locate(&config, &key, args.explain);
        if args.json || args.explain {
            match args.json {
                true => unprinted.push_str(&output::json_line(&row)?),
                false => unprinted.push_str(&block(&key, &row)),
            }
            if unprinted.len() >= PRINTED_BYTES {
                output::print(&unprinted)?;
                unprinted.clear();
            }
        } else {
            table.add_row([
                output::shown(&key).into_owned(),
                output::shown(config.placement().hashed(&key)).into_owned(),
                row.node.to_string(),
                row.node_name,
                row.server,
                output::place(&row.address, row.database),
            ]);
        }
    }
    if !table.is_empty() {
        unprinted = output::lines(&table);
    }
    output::print(&unprinted)?;
    Ok(ExitCode::SUCCESS)
}

fn locate(config: &Config, key: &[u8], explain: bool) -> Row {
    let placement = config.placement();
    let node = placement.node(key);
    let server = &config.servers()[config.topology().server_of(node).index()];
    let is_text = std::str::from_utf8(key).is_ok();
    Row {
        key: String::from_utf8_lossy(key).into_owned(),
        key_hex: (!is_text).then(|| key.iter().map(|byte| format!("{byte:02x}")).collect()),
        hashed: String::from_utf8_lossy(placement.hashed(key)).into_owned(),
        node: node.0,
        node_name: placement.node_name(node).to_owned(),
        server: server.name.to_string(),
        address: server.endpoint.address.to_string(),
        database: server.endpoint.database,
        explanation: explain.then(|| placement.explain(key)),
    }
}

/// The steps from key to server, one a line, below the key.
fn block(key: &[u8], row: &Row) -> String {
    let mut steps = row
        .explanation
        .as_ref()
        .map_or_else(Vec::new, Explanation::steps);
    let place = output::place(&row.address, row.database);
    steps.push(("server", format!("{}, {place}", row.server)));
    let rows = steps
        .into_iter()
        .map(|(name, text)| vec![Cell::new(format!("  {name}")), Cell::new(text)])
        .collect();
    let heading = output::styled(output::HEADING, &output::shown(key));
    format!("{heading}\n{}\n", output::lines(&output::list(rows)))
}

fn lines_of_input() -> impl Iterator<Item = std::io::Result<Vec<u8>>> {
    stdin()
        .lock()
        .split(b'\n')
        // An empty line is no key; a carriage return is Windows's.
        .map(|line| line.map(|line| line.strip_suffix(b"\r").unwrap_or(&line).to_vec()))
        .filter(|line| !matches!(line, Ok(line) if line.is_empty()))
}
