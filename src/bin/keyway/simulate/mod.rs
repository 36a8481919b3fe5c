//! `keyway simulate`: runs what [`keyway::simulation`] is told, and shows what it finds.

mod files;
mod live;
mod scenario;
mod table;

use crate::failure::CliError;
use crate::output;
use files::Files;
use indicatif::{ProgressBar, ProgressStyle};
use keyway::simulation::report::Report;
use keyway::simulation::{self, RunError, Scenario};
use std::fmt::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const EXAMPLES: &str = "\
Examples:
  keyway simulate --servers 5 --add 1
      what does a sixth server move? 64 nodes by ketama, a plain ring and modulo side by side
  keyway simulate cluster.toml --add f --keys 10000000 --zipf 0.99 --value-bytes 200
      the cluster that there is, one server more, hot keys
  keyway simulate cluster.toml --remove b --keys keys.txt
      the same with true keys: redis-cli --scan > keys.txt
  keyway simulate cluster.toml --add f --live cluster.toml --calibrate cluster.toml
      keys and speeds of the cluster as it runs
  keyway simulate --servers 8 --add 1 --schemes twemproxy-ketama,libmemcached-modula,ketama@256
      what other programs do, and a finer cut
  keyway simulate --servers 5 --schemes ketama@64 --sensitivity 16,64,256,1024 --html nodes.html
      how many nodes? A page with plots
  keyway simulate --example > scenario.toml; keyway simulate scenario.toml
      all there is: steps in any order, weights, memory, storms of misses, capacity

Exit codes:
  0    done
  1    something did not work
  2    wrong usage, or the scenario says something wrong
  3    a server could not be reached (--live, --calibrate)
  130  stopped by Ctrl-C; what is done so far is printed all the same";

/// What a change of servers costs, before anything moves; no server is asked unless by --live or --calibrate
///
/// Places keys as the real clients do, by any set of schemes side by side, and takes one step after the other: how even are keys, bytes and requests,
/// how many keys does a step move, how long do the moves take. A scheme is ALGORITHM[/PARAMETER][@NODES]: ketama@64 is 64 nodes, given to servers by the
/// plan; ketama is plain, a node for each server. The same seed gives the same report, byte for byte, on any machine.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A scenario, or a cluster file: its servers, and its placement as the first scheme
    #[arg(value_name = "SCENARIO.toml|CLUSTER.toml")]
    file: Option<PathBuf>,
    /// Print a scenario with every setting, and what each one does
    #[arg(long, exclusive = true)]
    example: bool,
    /// Print the JSON Schema of what --json gives
    #[arg(long, exclusive = true)]
    schema: bool,
    #[command(flatten)]
    flags: scenario::Flags,
    #[command(flatten)]
    live: live::Live,
    /// Threads that count; by default as many as there are cores. The report is the same
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// The report as JSON: in place of the tables, or beside them in a file
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    json: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

/// 128 and the number of SIGINT, as shells count.
const STOPPED: u8 = 130;

pub(crate) async fn run(args: Args) -> Result<ExitCode, CliError> {
    if args.example {
        output::print(simulation::EXAMPLE)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.schema {
        output::print(simulation::export::JSON_SCHEMA)?;
        return Ok(ExitCode::SUCCESS);
    }
    let found = args.live.ask().await?;
    let scenario = scenario::read(args.file.as_deref(), &args.flags, args.threads, found)?;
    args.files.prepare()?;
    let json_file = args.json.as_deref().filter(|file| *file != Path::new("-"));

    let is_stopped = Arc::new(AtomicBool::new(false));
    let listener = tokio::spawn(listen(is_stopped.clone()));
    let outcome = count(scenario, is_stopped.clone()).await;
    listener.abort();
    let report = outcome?;

    args.files.write(&report)?;
    let json = output::json_page(&report)?;
    if let Some(file) = json_file {
        std::fs::write(file, &json)
            .map_err(|error| CliError::Unwritable(file.display().to_string(), error))?;
    }
    let text = match (&args.json, json_file) {
        (Some(_), None) => json,
        _ => table::tables(&report),
    };
    output::print_verdict(&text)?;
    Ok(match report.is_complete {
        true => ExitCode::SUCCESS,
        false => STOPPED.into(),
    })
}

/// The first Ctrl-C asks for what is done so far; whoever is still waiting then ends it with the second.
async fn listen(is_stopped: Arc<AtomicBool>) {
    loop {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        if is_stopped.swap(true, Ordering::Relaxed) {
            std::process::exit(STOPPED.into());
        }
    }
}

async fn count(scenario: Scenario, is_stopped: Arc<AtomicBool>) -> Result<Report, RunError> {
    let counted = tokio::task::spawn_blocking(move || {
        let bar = Bar::new(&scenario);
        simulation::run(&scenario, &mut |progress| {
            bar.show(&progress);
            match is_stopped.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })
    });
    match counted.await {
        Ok(report) => report,
        // It is not cancelled, so it has panicked: go on with that.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Drawn on standard error, and only if that is a terminal; gone when dropped.
struct Bar(ProgressBar);

impl Bar {
    fn new(scenario: &Scenario) -> Bar {
        let total = scenario
            .keys()
            .count()
            .saturating_mul(scenario.repeats().into());
        let bar = ProgressBar::new(total);
        let template = "  {wide_bar} {human_pos} of {human_len} keys, {msg}{eta} to go";
        // A template that does not parse would be a bar of another look, not a failure.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Bar(bar)
    }

    fn show(&self, progress: &simulation::Progress) {
        let mut message = String::new();
        let _ = write!(
            message,
            "{} done, ",
            output::plural(progress.repeats_done as usize, "repeat")
        );
        self.0.set_message(message);
        self.0.set_position(progress.keys_done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
