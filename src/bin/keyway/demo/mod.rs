//! The demo.

use crate::failure::CliError;
use std::path::PathBuf;

/// See it work: real servers, a social graph, a crash and a recovery
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A follow graph to load: one "FOLLOWER FOLLOWED" per line. Without it, one is generated
    #[arg(long, value_name = "FILE")]
    pub(crate) edges: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> Result<(), CliError> {
    Err(CliError::Failed(format!(
        "the demo is not part of this build (asked for {})",
        args.edges
            .map_or("the generated graph".to_owned(), |path| path
                .display()
                .to_string())
    )))
}
