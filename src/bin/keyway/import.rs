//! `keyway import`: cluster files from other programs' configurations. Connects to nothing.

use crate::failure::{CliError, PROBLEMS};
use crate::output::{self, plural};
use anstream::eprintln;
use keyway::import::{self, Format, Import, Imported, Options};
use keyway::placement::Algorithm;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
What is read:
  nutcracker   nutcracker.yml of twemproxy, every pool
  nydus        a Python file with settings of nydus
  rb           a Python file with Cluster(hosts=..) of rb, or its arguments as a dict
  go-redis     the addresses of a Ring, or RingOptions, in JSON
  addresses    host:port one a line; --algorithm says how keys were placed

Exit codes:
  0  every cluster has become a file
  1  one has no equal (a memcached pool, distribution: random), or a file could not be written
  2  wrong usage, or the configuration says something wrong

Examples:
  keyway import nutcracker.yml --pool alpha > alpha.toml
  keyway import nutcracker.yml --output clusters/      a file for each pool
  keyway import settings.py --format nydus > feeds.toml
  keyway import ring.json | tee feeds.toml
  keyway import servers.txt --algorithm libketama
  keyway check feeds.toml                              then hold it against the servers";

/// Turn another program's configuration into a cluster file with the same placement
///
/// Every key is found where that program has put it. What has no equal is said in words, on standard error and as comments in the file. Passwords
/// are not taken over: the file has a ${VARIABLE} in their place. Connects to nothing; a file that is there is not overwritten.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The configuration; "-" reads standard input
    file: PathBuf,
    /// Only this pool or cluster, by its name there
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// What it is; told by its content otherwise
    #[arg(long)]
    format: Option<Format>,
    /// The cluster's name, in place of the one that it has there
    #[arg(long)]
    name: Option<String>,
    /// For a list of addresses: how keys were placed, such as twemproxy-ketama
    #[arg(long)]
    algorithm: Option<Algorithm>,
    /// For a list of addresses without data: the number of nodes [default: 64]
    #[arg(long, value_name = "N")]
    nodes: Option<u16>,
    /// Write a file NAME.toml for each cluster into this directory
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Overwrite files
    #[arg(long, requires = "output")]
    force: bool,
    /// One JSON object with files, remarks and what was skipped
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, CliError> {
    let text = read(&args.file)?;
    let origin = match args.file.as_os_str() == "-" {
        true => Path::new("standard input"),
        false => &args.file,
    };
    let mut options = Options::default();
    options.only = args.pool.clone();
    options.format = args.format;
    options.name = args.name.clone();
    options.algorithm = args.algorithm;
    options.node_count = args.nodes;
    let import = import::read(&text, origin, &options)?;
    if args.json {
        output::print_verdict(&output::json_page(&import)?)?;
        return Ok(exit_code(&import));
    }
    match (&args.output, import.clusters.as_slice()) {
        (Some(directory), clusters) => {
            let written = write(directory, clusters, args.force)?;
            remarks(&import);
            output::print_verdict(&written)?;
        }
        (None, [] | [_]) => {
            remarks(&import);
            if let Some(cluster) = import.clusters.first() {
                output::print_verdict(&cluster.toml)?;
            }
        }
        (None, clusters) => {
            let names: Vec<&str> = clusters
                .iter()
                .map(|cluster| cluster.origin.as_str())
                .collect();
            return Err(CliError::Usage(format!(
                "{} are in {}: {}. Say one, --pool NAME, or --output DIR for a file each",
                plural(clusters.len(), "cluster"),
                origin.display(),
                names.join(", ")
            )));
        }
    }
    Ok(exit_code(&import))
}

fn exit_code(import: &Import) -> ExitCode {
    match import.skipped.is_empty() {
        true => ExitCode::SUCCESS,
        false => PROBLEMS.into(),
    }
}

/// A little more than is ever read, so that what is too long is told.
fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    let unreadable = |error| CliError::Unreadable(file.display().to_string(), error);
    let mut text = Vec::new();
    let most = import::INPUT_BYTES_MAX as u64 + 4;
    match file.as_os_str() == "-" {
        true => std::io::stdin().lock().take(most).read_to_end(&mut text),
        false => std::fs::File::open(file)
            .map_err(unreadable)?
            .take(most)
            .read_to_end(&mut text),
    }
    .map_err(unreadable)?;
    Ok(text)
}

/// Every file or, if one is there already, none.
fn write(directory: &Path, clusters: &[Imported], force: bool) -> Result<String, CliError> {
    let path = |cluster: &Imported| directory.join(format!("{}.toml", cluster.name));
    let there: Vec<String> = clusters
        .iter()
        .map(path)
        .filter(|path| !force && path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if !there.is_empty() {
        return Err(CliError::Usage(format!(
            "nothing is written, as there is already: {}. Take another directory, or --force",
            there.join(", ")
        )));
    }
    std::fs::create_dir_all(directory)
        .map_err(|error| CliError::Unwritable(directory.display().to_string(), error))?;
    let mut written = String::new();
    for cluster in clusters {
        let path = path(cluster);
        write_file(&path, &cluster.toml, force)?;
        let todo = match cluster.variables.is_empty() {
            true => String::new(),
            false => format!("; set {}", cluster.variables.join(", ")),
        };
        written += &format!("wrote {}{todo}\n", path.display());
    }
    Ok(written)
}

/// Overwrites nothing without `force`, whoever else writes at the time.
pub(crate) fn write_file(path: &Path, text: &str, force: bool) -> Result<(), CliError> {
    let mut options = std::fs::OpenOptions::new();
    match force {
        true => options.write(true).create(true).truncate(true),
        false => options.write(true).create_new(true),
    };
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => CliError::Usage(format!(
            "{} is there already, and is not overwritten: name another file, or remove it",
            path.display()
        )),
        _ => CliError::Unwritable(path.display().to_string(), error),
    })
}

/// On standard error, a line each.
fn remarks(import: &Import) {
    for cluster in &import.clusters {
        for remark in &cluster.remarks {
            eprintln!("{}: {remark}", cluster.name);
        }
    }
    for skipped in &import.skipped {
        eprintln!(
            "{}skipped:{:#} {} (line {}): {}",
            output::ERROR,
            output::ERROR,
            output::shown(skipped.origin.as_bytes()),
            skipped.line,
            skipped.reason
        );
    }
}
