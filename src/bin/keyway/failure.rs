//! Why a command failed, and the codes that the program exits with.

use std::io;
use std::process::ExitCode;

/// Problems were found, or something did not work.
pub(crate) const PROBLEMS: u8 = 1;
/// Wrong usage, or a cluster file that says something wrong. clap uses the same number.
pub(crate) const WRONG_FILE: u8 = 2;
/// A server could not be reached, and nothing worse was found.
pub(crate) const UNREACHABLE: u8 = 3;

/// Why a command came to no result. Printed after `error: `.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CliError {
    /// Says file, line and column, and what to do, by itself.
    #[error(transparent)]
    File(#[from] keyway::config::ConfigError),
    #[error(transparent)]
    Cluster(#[from] keyway::Error),
    /// Says file, line and column, and what to do, by itself.
    #[error(transparent)]
    Import(#[from] keyway::import::ImportError),
    /// What the user asked for cannot be; the text says what can.
    #[error("{0}")]
    Usage(String),
    #[error("{0} cannot be read: {1}")]
    Unreadable(String, #[source] io::Error),
    #[error("{0} cannot be written: {1}")]
    Unwritable(String, #[source] io::Error),
    #[error(transparent)]
    Plan(#[from] keyway::plan::PlanError),
    #[error("by {0} no key has a home: any server may have any key. Ask each of them, with EXISTS")]
    NoHomes(keyway::placement::Algorithm),
    #[error(transparent)]
    Simulation(#[from] keyway::simulation::RunError),
    #[error(transparent)]
    Survey(#[from] keyway::survey::SurveyError),
    #[error(transparent)]
    Sizes(#[from] keyway::survey::UnknownSizes),
    #[error(transparent)]
    Calibrate(#[from] keyway::survey::CalibrateError),
    #[error(
        "{server} cannot be looked at: {why}. Nothing was counted; try again when it can be reached"
    )]
    Away { server: String, why: String },
    #[error("the keys on standard input cannot be read: {0}")]
    Input(#[source] io::Error),
    #[error("the result cannot be written: {0}")]
    Output(#[source] io::Error),
    #[error(
        "the asynchronous runtime does not start: {0}. Are threads or file descriptors limited (ulimit -u, ulimit -n)?"
    )]
    Runtime(#[source] io::Error),
}

impl CliError {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            CliError::Plan(error) if error.is_about_room() => PROBLEMS.into(),
            CliError::Calibrate(keyway::survey::CalibrateError::NoServer { .. })
            | CliError::Sizes(_)
            | CliError::Away { .. } => UNREACHABLE.into(),
            CliError::File(_)
            | CliError::Import(_)
            | CliError::Usage(_)
            | CliError::Unreadable(..)
            | CliError::Plan(_)
            | CliError::Input(_)
            | CliError::NoHomes(_)
            | CliError::Survey(_)
            | CliError::Calibrate(_) => WRONG_FILE.into(),
            _ => PROBLEMS.into(),
        }
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
