//! From the configuration of another program to a cluster file whose placement is that program's, and, in words, what has no equal here.
//!
//! Pure: text in, text out. What is written is read back by [`Config::parse`](crate::Config::parse), and its placement compared with the one
//! that was meant, before it is handed out.
//!
//! | format | what is read |
//! |---|---|
//! | [`Nutcracker`](Format::Nutcracker) | `nutcracker.yml`: every pool, by the rules of nutcracker 0.5.0; what it refuses is refused |
//! | [`Nydus`](Format::Nydus) | settings in a Python file: dicts with `backend` or `engine`, alone, in a dict, or given to `create_cluster` |
//! | [`Rb`](Format::Rb) | `Cluster(hosts=..)`, or its arguments as a dict, in a Python file |
//! | [`GoRedis`](Format::GoRedis) | JSON: a Ring's map from names to addresses, or `RingOptions` |
//! | [`Addresses`](Format::Addresses) | an address a line, maybe with a weight; nothing in it says how keys were placed |
//!
//! No password is in what is handed out: where the original has one, the file says `${VARIABLE}`, and a remark says to set it.
//!
//! Limits: [`INPUT_BYTES_MAX`] of text, brackets 64 deep, 16,384 nodes. Errors have line and column, and show no value that may be secret.

mod addresses;
mod detect;
mod draft;
mod error;
mod fresh;
mod host;
mod literal;
mod nutcracker;
mod nydus;
mod python;
mod rb;
mod remark;
mod ring;
mod write;
mod yaml;

#[cfg(test)]
mod tests;

pub use error::ImportError;
pub use fresh::{Fresh, NODES_DEFAULT, fresh};
pub use remark::{Kind, Remark};

use crate::placement::Algorithm;
use error::{Place, Problem};
use serde::Serialize;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A larger text is no configuration: 1 MiB.
pub const INPUT_BYTES_MAX: usize = 1024 * 1024;

/// What kind of configuration a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// `nutcracker.yml` of twemproxy.
    Nutcracker,
    /// Settings of nydus.
    Nydus,
    /// Arguments of rb's `Cluster`.
    Rb,
    /// Addresses, or options, of a go-redis `Ring`.
    GoRedis,
    /// Addresses, one a line.
    Addresses,
}

impl Format {
    /// All of them.
    pub const ALL: [Format; 5] = [
        Format::Nutcracker,
        Format::Nydus,
        Format::Rb,
        Format::GoRedis,
        Format::Addresses,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Nutcracker => "nutcracker",
            Format::Nydus => "nydus",
            Format::Rb => "rb",
            Format::GoRedis => "go-redis",
            Format::Addresses => "addresses",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Format, String> {
        let found = Format::ALL.into_iter().find(|format| format.name() == text);
        found.ok_or_else(|| {
            let names = Format::ALL.map(Format::name);
            format!("unknown format; expected one of {}", names.join(", "))
        })
    }
}

/// What the text itself does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The format; `None`: told by the content.
    pub format: Option<Format>,
    /// The one cluster that is wanted, as the original calls it: the pool, the variable. `None`: all.
    pub only: Option<String>,
    /// The cluster's name, in place of the one that the original gives; only where one cluster is read.
    pub name: Option<String>,
    /// For [`Format::Addresses`]: how keys were placed. `None`: no data is there yet, so keyway's own `ketama`.
    pub algorithm: Option<Algorithm>,
    /// For [`Format::Addresses`] with an algorithm of keyway's own: the number of nodes, default [`NODES_DEFAULT`].
    pub node_count: Option<u16>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Import {
    /// What the text was taken for.
    pub format: Format,
    /// In the order of the text. Their names differ.
    pub clusters: Vec<Imported>,
    /// What has no equal as a whole.
    pub skipped: Vec<Skipped>,
}

/// A cluster file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Imported {
    /// What the original calls it: the pool, the variable.
    pub origin: String,
    /// The line where it begins there.
    pub line: usize,
    /// The cluster's name.
    pub name: String,
    /// The cluster file, with the remarks as comments on top.
    pub toml: String,
    /// Variables of the environment that have to be set before the file can be used.
    pub variables: Vec<String>,
    /// What the user has to do, what has no equal, what is different.
    pub remarks: Vec<Remark>,
}

/// A cluster of the original that no cluster file can be made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skipped {
    /// What the original calls it.
    pub origin: String,
    /// Where it begins.
    pub line: usize,
    /// Why.
    pub reason: String,
}

/// Reads `text`. `origin` names it in messages and in the files' comments.
///
/// # Errors
/// [`ImportError`]: the text is malformed, or says what the original would refuse, or what keyway cannot take over without a guess.
///
/// ```
/// let text = b"feeds:\n  listen: 127.0.0.1:22121\n  redis: true\n  servers:\n    - 10.0.0.1:6379:1\n    - 10.0.0.2:6379:1\n";
/// let import = keyway::import::read(text, "nutcracker.yml".as_ref(), &Default::default())?;
/// let cluster = &import.clusters[0];
/// let config = keyway::Config::parse(&cluster.toml, "feeds.toml".as_ref(), &|_| None).expect("it was checked");
/// assert_eq!(config.placement().algorithm().name(), "twemproxy-ketama");
/// # Ok::<(), keyway::import::ImportError>(())
/// ```
pub fn read(text: &[u8], origin: &Path, options: &Options) -> Result<Import, ImportError> {
    read_text(text, origin, options).map_err(|problem| problem.at_origin(origin))
}

fn read_text(text: &[u8], origin: &Path, options: &Options) -> Result<Import, Problem> {
    let text = decode(text)?;
    let format = match options.format {
        Some(format) => format,
        None => detect::format(text)?,
    };
    let found = match format {
        Format::Nutcracker => nutcracker::read(text)?,
        // What was told by the content is told of each cluster by itself.
        Format::Nydus | Format::Rb => python::read(
            text,
            options.format.map(|format| match format {
                Format::Nydus => python::Program::Nydus,
                _ => python::Program::Rb,
            }),
        )?,
        Format::GoRedis => ring::read(text)?,
        Format::Addresses => addresses::read(text, options)?,
    };
    write::write(found, format, origin, options)
}

/// One cluster of the original.
enum Found {
    Cluster(Box<draft::Draft>),
    Skipped(Skipped),
}

impl Found {
    /// What the original calls it.
    fn name(&self) -> &str {
        match self {
            Found::Cluster(draft) => &draft.name,
            Found::Skipped(skipped) => &skipped.origin,
        }
    }
}

fn decode(text: &[u8]) -> Result<&str, Problem> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.len() > INPUT_BYTES_MAX {
        return Err(Problem::new("the text is too long")
            .read(format!("{} bytes", text.len()))
            .expected(format!("at most {INPUT_BYTES_MAX} bytes"))
            .help("give the configuration itself"));
    }
    std::str::from_utf8(text).map_err(|error| {
        let before = &text[..error.valid_up_to()];
        Problem::new("not UTF-8")
            .at(Place::behind(before))
            .read(format!("the byte {:#04x}", text[error.valid_up_to()]))
            .expected("text in UTF-8")
            .help("is this the configuration? If so, save it as UTF-8")
    })
}
