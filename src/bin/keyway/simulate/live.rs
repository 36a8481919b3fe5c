//! What a simulation takes from a live cluster: its keys, and how fast its data would move. Reads only.

use crate::balance;
use crate::failure::CliError;
use anstream::eprintln;
use indicatif::ProgressBar;
use keyway::Config;
use keyway::plan::Pace;
use keyway::simulation::Keys;
use keyway::survey::{self, CalibrateOptions, Options};
use std::path::{Path, PathBuf};

/// Which clusters are asked, and for what.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Live {
    /// Keys and what they take, drawn at random from the live cluster of this file; in place of --keys. Reads only
    #[arg(long, value_name = "CLUSTER.toml", conflicts_with_all = ["keys", "value_bytes"])]
    live: Option<PathBuf>,
    /// With --live: how many keys, from all servers together
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = balance::sample, requires = "live")]
    sample: usize,
    /// How fast data moves, measured on the live cluster of this file as by keyway balance --calibrate; in place of [pace]. Reads only, some 3 s a server
    #[arg(long, value_name = "CLUSTER.toml")]
    calibrate: Option<PathBuf>,
}

/// What they said.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) keys: Option<Keys>,
    pub(super) pace: Option<Pace>,
}

impl Live {
    pub(super) async fn ask(&self) -> Result<Found, CliError> {
        let mut found = Found::default();
        if let Some(file) = &self.live {
            found.keys = Some(keys(file, self.sample).await?);
        }
        if let Some(file) = &self.calibrate {
            found.pace = Some(pace(file).await?);
        }
        Ok(found)
    }
}

async fn keys(file: &Path, sample: usize) -> Result<Keys, CliError> {
    let config = Config::from_file(file)?;
    let mut options = Options::default();
    options.sample = sample;
    let progress = balance::bar();
    let drawn = survey::sample_keys(&config, &options, |step| balance::show(&progress, step)).await;
    progress.finish_and_clear();
    let drawn = drawn?;
    // Keys of the other servers alone would be another cluster's.
    if let Some((server, why)) = drawn.failures.into_iter().next() {
        return Err(CliError::Away { server, why });
    }
    let name = format!("a sample of {}", config.name());
    Keys::list(name, drawn.keys)
        .map_err(|error| CliError::Usage(format!("--live {}: {error}", file.display())))
}

async fn pace(file: &Path) -> Result<Pace, CliError> {
    let config = Config::from_file(file)?;
    let spinner = ProgressBar::new_spinner();
    let measured = survey::calibrate(&config, &CalibrateOptions::default(), |server| {
        spinner.set_message(format!("measuring {server}"));
        spinner.tick();
    })
    .await;
    spinner.finish_and_clear();
    let calibration = measured?;
    for (server, why) in calibration.failures() {
        eprintln!("{server} is not in what was measured, or not in full: {why}");
    }
    Ok(calibration.pace)
}
