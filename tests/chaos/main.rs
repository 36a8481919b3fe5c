//! Chaos with an oracle: does keyway keep its promises when everything around it fails?
//!
//! Real servers, each after a proxy that injects faults, and several worker processes, each with a
//! `Cluster` and many callers. Faults come by a schedule of the seed: processes are killed and
//! stopped, connections are cut at a byte, delayed and black-holed, scripts are flushed, clients
//! are killed, and the map is reloaded there and back. Callers use every way in, drop futures, and
//! use short deadlines. It asserts safety, never time or throughput.
//!
//! # What is promised, and how it is seen
//!
//! | promise | how |
//! |---|---|
//! | an acknowledged write was executed once | it writes an id of its own, which is found once on all servers together |
//! | `NotSent` and `ServerDown` were not executed | the id is found nowhere |
//! | `Unknown` was executed at most once | the id is found once at most |
//! | each reply is its caller's | values have the key and an id; lengths are the id's position; a counter answers each value once |
//! | a transaction is executed as a whole | all its parts have one id; `Kind::Torn` |
//! | a command goes to the server of the map in force | each server holds its own name beside each key; counters begin at another number on each server |
//! | calls end; all is reached after the last fault | waits that are far beyond every deadline |
//!
//! A reload moves no data here, as it moves none for users: each server counts for itself, and the
//! sum over all of them is what was executed. A command remembers which reloads had returned when
//! it began and which had begun when it ended; these maps give the servers on which it may be
//! found.
//!
//! Servers write their append-only file before they reply, so a killed one has all that it has
//! acknowledged after its restart. `appendfsync` is `no`: the page cache of the machine outlives
//! the process, and a sync to disk would only help against a power cut.
//!
//! # How it runs
//!
//! In rounds, of 15 s of faults at most, each with fresh servers, fresh workers and a seed of its own. At the
//! end of a round the faults are healed, each call ends, each worker reaches each server, and
//! reports every write. Then the coordinator reads the servers past keyway and past the proxies,
//! and [`oracle`] compares. A violation ends the run: it prints the seed, the operation, what was
//! expected, what was seen, and which faults were near. The same seed gives the same faults and the
//! same calls, though not at the very same moments.
//!
//! # The files
//!
//! - [`round`]: the coordinator. [`faults`]: what it breaks. [`state`]: what it places on servers and reads from them.
//! - [`worker`]: a process with a `Cluster`. [`workload`]: what its tasks call, and the checks that need nobody else.
//! - [`map`]: which server each key lives on. [`history`]: what workers report. [`oracle`]: pure, with tests of its own.
//! - [`planted`]: runs that must fail, because a fault was put into keyway on purpose.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a run that cannot go on fails here, with the cause"
)]

mod arguments;
mod faults;
mod history;
mod map;
mod oracle;
mod planted;
mod report;
mod round;
mod state;
mod worker;
mod workload;

use arguments::{Arguments, HELP};
use report::{Progress, Summary, print, print_violations, say};
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["worker", order] => {
            worker::run(serde_json::from_str(order).unwrap());
            ExitCode::SUCCESS
        }
        ["planted"] if !cfg!(keyway_planted) => {
            say("chaos: this build has no planted faults: make chaos-planted\n");
            ExitCode::from(2)
        }
        ["planted"] => exit_code(planted::find_all()),
        ["--help" | "-h"] => {
            print(HELP);
            ExitCode::SUCCESS
        }
        _ => match Arguments::parse(&words) {
            Ok(arguments) => exit_code(coordinate(&arguments)),
            Err(wrong) => {
                say(&format!("chaos: {wrong}\n\n{HELP}"));
                ExitCode::from(2)
            }
        },
    }
}

/// Round after round until one has a violation. Whether none had.
fn coordinate(arguments: &Arguments) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let (began, mut summary, mut progress) = (Instant::now(), Summary::default(), Progress::new());
    let mut number = 0;
    while let Some(order) = arguments.round(number, began.elapsed()) {
        number += 1;
        progress.begin(number, order);
        let round_began = Instant::now();
        let result = runtime.block_on(round::play(order, &mut progress));
        progress.end(round_began.elapsed().as_millis() as u64, &result);
        print_violations(order, arguments, &result);
        let is_broken = !result.violations.is_empty();
        summary.add(order, result);
        if is_broken {
            break;
        }
    }
    summary.seconds = began.elapsed().as_secs_f64();
    if arguments.json {
        print(&(serde_json::to_string_pretty(&summary).unwrap() + "\n"));
    } else {
        print(&summary.table());
    }
    summary.violations.is_empty()
}

fn exit_code(is_fine: bool) -> ExitCode {
    if is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
