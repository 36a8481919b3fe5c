//! The keyway command line: reads arguments, calls the library, prints. It decides nothing that a user of the library could not.

mod arguments;
mod balance;
mod check;
mod demo;
mod failure;
mod import;
mod init;
mod locate;
mod output;
mod plan;
mod simulate;
mod stats;

use anstream::eprintln;
use arguments::{Arguments, Command};
use clap::Parser;
use failure::CliError;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Wrong usage ends here, with code 2; --help and --version with 0.
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(code) => code,
        // Whoever reads us has seen enough: `keyway locate ... | head -1`.
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}error:{:#} {error}", output::ERROR, output::ERROR);
            error.exit_code()
        }
    }
}

fn run(command: Command) -> Result<ExitCode, CliError> {
    match command {
        // These need no server, so no runtime either.
        Command::Locate(args) => locate::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Check(args) => runtime()?.block_on(check::run(&args)),
        Command::Stats(args) => runtime()?.block_on(stats::run(&args)),
        Command::Balance(args) => runtime()?.block_on(balance::run(&args)),
        Command::Simulate(args) => runtime()?.block_on(simulate::run(args)),
        Command::Demo(args) => Ok(runtime()?.block_on(demo::run(args))),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Runtime::new().map_err(CliError::Runtime)
}
