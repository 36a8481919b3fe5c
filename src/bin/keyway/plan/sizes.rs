//! What the user knows of the nodes' sizes.

use crate::failure::CliError;
use keyway::Config;
use keyway::placement::Placement;
use keyway::plan::Sizes;
use keyway::survey;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, stdin};
use std::path::{Path, PathBuf};

/// A line longer than this is no key.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
/// A file of settings larger than this is none.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// Sizes of nodes.
#[derive(Debug, clap::Args)]
pub(super) struct SizeArgs {
    /// All keys together; every node is assumed to have the same: 10000000, 10m, 2g
    #[arg(long, value_name = "N", value_parser = crate::arguments::count, conflicts_with = "keys_file")]
    keys: Option<u64>,
    /// What all keys take together: 40GiB. With --keys-file, for a file that does not say what each takes
    #[arg(long, value_name = "SIZE", value_parser = crate::arguments::size)]
    bytes: Option<u64>,
    /// Keys, one a line, each with its bytes after a tab or none with; "-" is standard input
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
    /// Ask the servers: keys and bytes of every node, estimated from a sample as `keyway balance` does. Connects; writes nothing
    #[arg(long, conflicts_with_all = ["keys", "bytes", "keys_file"])]
    live: bool,
    /// With --live: keys to look at per server, up to 1000000
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = crate::balance::sample, requires = "live")]
    sample: usize,
    /// With --live: look at every key
    #[arg(long, requires = "live", conflicts_with = "sample")]
    exact: bool,
}

impl SizeArgs {
    pub(super) fn read(&self, config: &Config) -> Result<Sizes, CliError> {
        let placement = config.placement();
        if self.live {
            return self.surveyed(config);
        }
        let Some(path) = &self.keys_file else {
            return Ok(Sizes::even(
                placement.node_count(),
                self.keys.unwrap_or(0),
                self.bytes.unwrap_or(0),
            ));
        };
        if !placement.has_homes() {
            return Err(CliError::NoHomes(placement.algorithm()));
        }
        let place = path.display().to_string();
        let (sizes, have_bytes) = if path.as_os_str() == "-" {
            counted(placement, stdin().lock(), "standard input")?
        } else {
            let file =
                File::open(path).map_err(|error| CliError::Unreadable(place.clone(), error))?;
            counted(placement, BufReader::new(file), &place)?
        };
        match (have_bytes, self.bytes) {
            (true, Some(_)) => Err(CliError::Usage(format!(
                "{place} says what each key takes: leave --bytes out"
            ))),
            (false, Some(bytes)) => Ok(sizes.with_total_bytes(bytes)),
            (_, None) => Ok(sizes),
        }
    }

    /// Whether nodes are known to be of different sizes.
    pub(super) fn differ(&self) -> bool {
        self.live || self.keys_file.is_some()
    }

    fn surveyed(&self, config: &Config) -> Result<Sizes, CliError> {
        let mut options = survey::Options::default();
        options.sample = self.sample;
        options.exact = self.exact;
        let looking = crate::balance::looked_at(config, &options);
        let survey = crate::runtime()?.block_on(looking)?;
        Ok(survey.sizes()?)
    }
}

/// Sizes by a list of keys, and whether that says what each takes.
fn counted(
    placement: &Placement,
    input: impl BufRead,
    place: &str,
) -> Result<(Sizes, bool), CliError> {
    let mut lines = Lines {
        input,
        number: 0,
        have_bytes: None,
        failure: None,
    };
    let sizes = Sizes::from_keys(placement, &mut lines);
    match lines.failure {
        Some(Failure::Io(error)) => Err(CliError::Unreadable(place.to_owned(), error)),
        Some(Failure::Line(what)) => {
            Err(CliError::Usage(format!("{place}:{}: {what}", lines.number)))
        }
        None => Ok((sizes, lines.have_bytes == Some(true))),
    }
}

/// The keys of a list. Ends at what is no key, and keeps why; in memory there is one line at a time.
struct Lines<R> {
    input: R,
    number: u64,
    have_bytes: Option<bool>,
    failure: Option<Failure>,
}

enum Failure {
    Io(std::io::Error),
    Line(&'static str),
}

impl<R: BufRead> Lines<R> {
    /// `None` at the end.
    fn line(&mut self) -> Result<Option<(Vec<u8>, u64)>, Failure> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.input)
                .take(LINE_BYTES_MAX + 1)
                .read_until(b'\n', &mut line)
                .map_err(Failure::Io)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if line.len() as u64 > LINE_BYTES_MAX {
                return Err(Failure::Line("longer than 1 MiB; expected a key"));
            }
            let (key, bytes) = key_and_bytes(&line).map_err(Failure::Line)?;
            if key.is_empty() {
                continue;
            }
            if *self.have_bytes.get_or_insert(bytes.is_some()) != bytes.is_some() {
                return Err(Failure::Line(
                    "some keys have their bytes after a tab, and some have none; expected all or none",
                ));
            }
            return Ok(Some((key.to_vec(), bytes.unwrap_or(0))));
        }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = (Vec<u8>, u64);

    fn next(&mut self) -> Option<Self::Item> {
        self.line().unwrap_or_else(|failure| {
            self.failure = Some(failure);
            None
        })
    }
}

fn key_and_bytes(line: &[u8]) -> Result<(&[u8], Option<u64>), &'static str> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some(tab) = line.iter().rposition(|byte| *byte == b'\t') else {
        return Ok((line, None));
    };
    let (key, bytes) = (&line[..tab], &line[tab + 1..]);
    let number = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok());
    match number {
        Some(number) if !key.is_empty() => Ok((key, Some(number))),
        _ => Err("expected a key, or a key, a tab and its bytes as a number"),
    }
}

/// A small file.
pub(super) fn small_text(path: &Path) -> Result<String, CliError> {
    let unreadable = |error| CliError::Unreadable(path.display().to_string(), error);
    let mut text = String::new();
    File::open(path)
        .map_err(unreadable)?
        .take(TEXT_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway::placement::Algorithm;

    fn read(text: &[u8]) -> Result<(Sizes, bool), String> {
        let placement = Placement::with_nodes(Algorithm::Ketama, 8).unwrap();
        counted(&placement, text, "keys.txt").map_err(|error| error.to_string())
    }

    #[test]
    fn keys_come_one_a_line_with_their_bytes_or_without() {
        let (sizes, have_bytes) = read(b"user:1\t100\r\n\nuser:2\t50").unwrap();
        assert!(have_bytes);
        assert_eq!((sizes.total().keys, sizes.total().bytes), (2, 150));
        let (sizes, have_bytes) = read(b"user:1\nuser:2\n\xff\n").unwrap();
        assert!(!have_bytes);
        assert_eq!((sizes.total().keys, sizes.total().bytes), (3, 0));
        assert_eq!(read(b"").unwrap().0.total().keys, 0);
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_with_its_line() {
        insta::assert_snapshot!(read(b"a\t1\nb\n").unwrap_err(), @"keys.txt:2: some keys have their bytes after a tab, and some have none; expected all or none");
        insta::assert_snapshot!(read(b"a\tx\n").unwrap_err(), @"keys.txt:1: expected a key, or a key, a tab and its bytes as a number");
        insta::assert_snapshot!(read(b"\t1\n").unwrap_err(), @"keys.txt:1: expected a key, or a key, a tab and its bytes as a number");
        let long = vec![b'k'; 1024 * 1024 + 1];
        insta::assert_snapshot!(read(&long).unwrap_err(), @"keys.txt:1: longer than 1 MiB; expected a key");
    }
}
