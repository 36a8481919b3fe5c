//! From flags, and a file that they go before, to a scenario.

use super::live::Found;
use crate::failure::CliError;
use keyway::simulation::{
    Keys, Popularity, Scenario, ScenarioBuilder, Scheme, Server, Step, ValueBytes, Vary,
};
use std::path::{Path, PathBuf};

/// Each goes before what the file says; steps come after the file's.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// Servers at the start, if there is no file: how many, or their names
    #[arg(long, value_name = "N|A,B", conflicts_with = "file")]
    servers: Option<String>,
    /// A step: new servers, how many or their names. More than once: one step after the other
    #[arg(long, value_name = "N|A,B")]
    add: Vec<String>,
    /// A step, after those of --add: these servers are emptied and taken out
    #[arg(long, value_name = "A,B")]
    remove: Vec<String>,
    /// A step, after those of --remove: these servers die, and their keys cannot be reached
    #[arg(long, value_name = "A,B")]
    kill: Vec<String>,
    /// What to compare [default: ketama@64,ketama,modulo; for a cluster file what it says]
    #[arg(long, value_name = "SCHEME,SCHEME", value_delimiter = ',')]
    schemes: Vec<Scheme>,
    /// Keys: how many (1000000, 50k, 2M), or a file with one a line, after a tab its bytes [default: 100000]
    #[arg(long, value_name = "N|FILE")]
    keys: Option<String>,
    /// Popularity by Zipf's law with this exponent, up to 4; 0.99 is much used
    #[arg(long, value_name = "EXPONENT")]
    zipf: Option<f64>,
    /// What a value takes: 200, 100-4096, or lognormal by median and sigma, 300:1.0 [default: 100]
    #[arg(long, value_name = "BYTES", value_parser = value_bytes)]
    value_bytes: Option<ValueBytes>,
    /// Repeats, each with other keys and, if servers are made up, other names: the unit of confidence [default: 10]
    #[arg(long, value_name = "N")]
    repeats: Option<u32>,
    /// What differs between repeats: names, keys or both [default: both; keys, if servers have names]
    #[arg(long, value_name = "WHAT", value_parser = vary)]
    vary: Option<Vary>,
    /// Of everything random [default: 1]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Compare these numbers of nodes
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    sensitivity: Vec<u16>,
    /// Measure what building and looking up takes on this machine
    #[arg(long)]
    costs: bool,
}

pub(crate) fn read(
    file: Option<&Path>,
    flags: &Flags,
    threads: Option<u16>,
    found: Found,
) -> Result<Scenario, CliError> {
    let keys = match flags.keys.as_deref().map(keys).transpose()? {
        None => found.keys,
        given => given,
    };
    let change = |mut builder: ScenarioBuilder| {
        if let Some(pace) = found.pace {
            builder = builder.pace(pace);
        }
        apply(flags, keys, builder).threads(threads.map_or(0, usize::from))
    };
    if let Some(file) = file {
        return Ok(Scenario::from_file_with(file, change)?);
    }
    let mut builder = Scenario::builder();
    builder = match flags.servers.as_deref().map(servers) {
        None => {
            return Err(CliError::Usage(
                "which servers? Expected --servers 5, a scenario or a cluster file".to_owned(),
            ));
        }
        Some(Some(Servers::Made(count))) => builder.servers_made(count),
        Some(Some(Servers::Named(names))) => names
            .into_iter()
            .map(Server::new)
            .fold(builder, ScenarioBuilder::server),
        Some(None) => {
            return Err(CliError::Usage(
                "--servers names nobody: expected 5, or a,b,c".to_owned(),
            ));
        }
    };
    for scheme in ["ketama@64", "ketama", "modulo"] {
        builder = match scheme.parse() {
            Ok(scheme) => builder.scheme(scheme),
            Err(_) => builder,
        };
    }
    Ok(change(builder).build()?)
}

fn apply(flags: &Flags, keys: Option<Keys>, mut builder: ScenarioBuilder) -> ScenarioBuilder {
    if let Some(given) = keys {
        builder = builder.change_keys(|before| given.like(&before));
    }
    if let Some(exponent) = flags.zipf {
        builder = builder.change_keys(|keys| keys.popularity(Popularity::Zipf { exponent }));
    }
    if let Some(value_bytes) = flags.value_bytes {
        builder = builder.change_keys(|keys| keys.value_bytes(value_bytes));
    }
    if let Some(repeats) = flags.repeats {
        builder = builder.repeats(repeats);
    }
    if let Some(vary) = flags.vary {
        builder = builder.vary(vary);
    }
    if let Some(seed) = flags.seed {
        builder = builder.seed(seed);
    }
    if !flags.schemes.is_empty() {
        builder = builder.schemes(flags.schemes.iter().cloned());
    }
    if !flags.sensitivity.is_empty() {
        builder = builder.sensitivity(flags.sensitivity.iter().copied());
    }
    if flags.costs {
        builder = builder.costs(true);
    }
    for added in &flags.add {
        builder = match servers(added) {
            Some(Servers::Made(count)) => builder.add_made(count),
            Some(Servers::Named(names)) => {
                builder.step(Step::Add(names.into_iter().map(Server::new).collect()))
            }
            None => builder.step(Step::Add(Vec::new())),
        };
    }
    let names = |text: &String| text.split(',').map(str::to_owned).collect();
    for removed in &flags.remove {
        builder = builder.step(Step::Remove(names(removed)));
    }
    for killed in &flags.kill {
        builder = builder.step(Step::Kill(names(killed)));
    }
    builder
}

enum Servers {
    Made(usize),
    Named(Vec<String>),
}

fn servers(text: &str) -> Option<Servers> {
    match text.parse() {
        Ok(count) => Some(Servers::Made(count)),
        Err(_) if text.is_empty() => None,
        Err(_) => Some(Servers::Named(text.split(',').map(str::to_owned).collect())),
    }
}

fn keys(text: &str) -> Result<Keys, CliError> {
    if let Some(count) = count(text) {
        return Ok(Keys::made(count));
    }
    if !Path::new(text).exists() {
        return Err(CliError::Usage(format!(
            "--keys {text}: no number, and no file. Expected 1000000, 2M, or a file with one key a line"
        )));
    }
    Keys::read(PathBuf::from(text)).map_err(|error| CliError::Usage(format!("--keys: {error}")))
}

/// `1000000`, `1_000_000`, `50k`, `2M`, `1G`.
fn count(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'k' => (&text[..text.len() - 1], 1_000),
        b'M' => (&text[..text.len() - 1], 1_000_000),
        b'G' => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    let digits = digits.replace('_', "");
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse::<u64>()
        .ok()
        .filter(|_| is_number)?
        .checked_mul(unit)
}

fn value_bytes(text: &str) -> Result<ValueBytes, String> {
    let expected = || format!("{text:?} is no size; expected 200, 100-4096 or 300:1.0");
    let whole = |text: &str| text.parse::<u64>().map_err(|_| expected());
    if let Some((min, max)) = text.split_once('-') {
        return Ok(ValueBytes::Uniform {
            min: whole(min)?,
            max: whole(max)?,
        });
    }
    if let Some((median, sigma)) = text.split_once(':') {
        return Ok(ValueBytes::Lognormal {
            median: whole(median)?,
            sigma: sigma.parse().map_err(|_| expected())?,
        });
    }
    whole(text).map(ValueBytes::Fixed)
}

fn vary(text: &str) -> Result<Vary, String> {
    match text {
        "names" => Ok(Vary::Names),
        "keys" => Ok(Vary::Keys),
        "both" => Ok(Vary::Both),
        _ => Err("expected names, keys or both".to_owned()),
    }
}
