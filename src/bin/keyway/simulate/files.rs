//! The files that a report is written to.

use crate::failure::CliError;
use keyway::simulation::export;
use keyway::simulation::report::Report;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a report goes besides the terminal.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Files {
    /// Write one page with everything: plots, tables, data; opens offline
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Write every plot as an SVG of its own into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
    /// Write every table as a CSV file into this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) csv: Option<PathBuf>,
}

impl Files {
    /// Fails where something could not be written in the end, so that nobody waits for a simulation in vain. Makes the directories.
    pub(crate) fn prepare(&self) -> Result<(), CliError> {
        for directory in [&self.svg, &self.csv].into_iter().flatten() {
            fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
        }
        if let Some(file) = &self.html {
            // Opened, and left as it was.
            fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(file)
                .map_err(|error| failed(file, error))?;
        }
        Ok(())
    }

    /// Writes what was asked for, over what is there.
    pub(crate) fn write(&self, report: &Report) -> Result<(), CliError> {
        if let Some(file) = &self.html {
            write(file, &export::page(report))?;
        }
        if let Some(directory) = &self.svg {
            for plot in export::plots(report) {
                write(&directory.join(format!("{}.svg", plot.name)), &plot.svg())?;
            }
        }
        if let Some(directory) = &self.csv {
            for file in export::csv(report) {
                write(&directory.join(file.name), &file.text)?;
            }
        }
        Ok(())
    }
}

fn write(file: &Path, text: &str) -> Result<(), CliError> {
    fs::write(file, text).map_err(|error| failed(file, error))
}

fn failed(file: &Path, error: std::io::Error) -> CliError {
    CliError::Unwritable(file.display().to_string(), error)
}
