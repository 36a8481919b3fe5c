//! What the user may say, and what --help teaches.

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  keyway demo                              see it work: two servers, 64 nodes, a crash, a recovery
  keyway init                              write a commented cluster.toml
  keyway import nutcracker.yml             the same placement as twemproxy has, as a cluster file
  keyway check cluster.toml                is this file right for what is on these servers?
  keyway locate cluster.toml user:42:name  on which server is this key?
  keyway stats cluster.toml                versions, memory, keys, clients of every server
  keyway balance cluster.toml              how even is it: keys and bytes of every server and node
  keyway simulate --servers 5 --add 1      what does a sixth server move, by which scheme?
  keyway plan cluster.toml --add f         which nodes would go to a new server, in which order

A cluster file says how keys become nodes, and which server each node lives on:
  name = \"feeds\"
  [placement]
  algorithm = \"ketama\"
  nodes = 64
  [servers.a]
  url = \"redis://10.0.0.1:6379\"
  nodes = \"0-31\"
  [servers.b]
  url = \"redis://:${FEEDS_PASSWORD}@10.0.0.2:6379\"
  nodes = \"32-63\"

Tables are for people. Programs read --json.";

/// Data spread over many plain Redis servers.
///
/// A key belongs to a node, for ever; a node lives on a server, for now. The cluster file says where.
#[derive(Debug, Parser)]
#[command(name = "keyway", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(crate::init::Args),
    Import(crate::import::Args),
    Check(crate::check::Args),
    Locate(crate::locate::Args),
    Stats(crate::stats::Args),
    Balance(crate::balance::Args),
    Simulate(crate::simulate::Args),
    Plan(crate::plan::Args),
    Demo(crate::demo::Args),
}

/// `2s`, `500ms`, `1m`.
pub(crate) fn duration(text: &str) -> Result<std::time::Duration, String> {
    let expected = || format!("{text:?} is no duration; expected 500ms, 2s or 1m, from 1ms to 1h");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let milliseconds = match &text[digits.len()..] {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        _ => None,
    };
    milliseconds
        .filter(|milliseconds| (1..=3_600_000).contains(milliseconds))
        .map(std::time::Duration::from_millis)
        .ok_or_else(expected)
}

/// `16GiB`, `512MiB`, in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let factor = |unit: &str| match unit {
        "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        "TiB" => Some(1 << 40),
        _ => None,
    };
    scaled(text, factor)
        .ok_or_else(|| format!("{text:?} is no size; expected 512MiB, 16GiB or 2TiB"))
}

/// `5000`, `10k`, `20m`, `2g`.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    let factor = |unit: &str| match unit {
        "" => Some(1),
        "k" => Some(1_000),
        "m" => Some(1_000_000),
        "g" => Some(1_000_000_000),
        _ => None,
    };
    scaled(text, factor)
        .ok_or_else(|| format!("{text:?} is no count; expected 5000, 10k, 20m or 2g"))
}

fn scaled(text: &str, factor: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.parse().ok().filter(|_| is_number)?;
    number.checked_mul(factor(&text[digits.len()..])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::time::Duration;

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        for wrong in [
            "",
            "2",
            "s",
            "0s",
            "2h",
            "-1s",
            "1.5s",
            "61m",
            "2 s",
            "99999999999999999999s",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_a_unit_and_counts_may_have_one() {
        assert_eq!(size("16GiB"), Ok(16 << 30));
        assert_eq!(size("0B"), Ok(0));
        for wrong in [
            "",
            "16",
            "GiB",
            "16GB",
            "-1B",
            "+1B",
            "1.5GiB",
            "99999999TiB",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(count("10m"), Ok(10_000_000));
        assert_eq!(count("7"), Ok(7));
        for wrong in ["", "m", "10M", "+1", "-1", "1e6", "99999999999g"] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
