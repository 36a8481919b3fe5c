//! The keyway command line.

mod demo;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Data spread over many plain Redis servers.
#[derive(Debug, Parser)]
#[command(name = "keyway", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Demo(args) => demo::run(args).await,
    }
}
