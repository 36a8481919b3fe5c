//! Instruction counts of keyway's hot paths: compared with the committed baseline, or one of them by function.
//!
//! Wall time on a shared machine varies by more than most changes are worth; the number of instructions does not.

mod baseline;
mod callgrind;
mod cases;
mod server;

use baseline::Baseline;
use callgrind::Function;
use cases::{CASES, Case};
use std::process::ExitCode;

#[cfg(not(keyway_instructions))]
compile_error!("build it by `make instructions`, which sets --cfg keyway_instructions");

const USAGE: &str = "make instructions             every case beside the baseline; exit code 1 when one has grown by more than 3 %
make instructions ARGS=\"CASE ...\"       only these
make instructions ARGS=--save           the counts become the baseline
make instructions ARGS=\"--profile CASE\" the functions that a case spends its instructions in";
/// A difference is marked from here on.
const CHANGED: f64 = 0.01;
/// Growth beyond this fails the run.
const GROWTH_MAX: f64 = 0.03;
/// So many functions of a profile are shown.
const FUNCTIONS: usize = 25;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        // What runs under valgrind.
        ["run", name, times] => case(name).and_then(|case| {
            let times = times.parse().map_err(|_| USAGE.to_owned())?;
            (case.run)(times);
            Ok(ExitCode::SUCCESS)
        }),
        ["--profile", name] => case(name).and_then(print_profile),
        ["--save"] => compare(CASES.iter().collect(), true),
        [] => compare(CASES.iter().collect(), false),
        _ if args.iter().any(|arg| arg.starts_with('-')) => Err(format!("usage:\n{USAGE}")),
        _ => args
            .iter()
            .map(|name| case(name))
            .collect::<Result<_, _>>()
            .and_then(|cases| compare(cases, false)),
    };
    result.unwrap_or_else(|why| {
        eprintln!("instructions: {why}");
        ExitCode::from(2)
    })
}

fn case(name: &str) -> Result<&'static Case, String> {
    CASES.iter().find(|case| case.name == name).ok_or_else(|| {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        format!("there is no case {name:?}; there are {}", names.join(", "))
    })
}

fn compare(cases: Vec<&Case>, save: bool) -> Result<ExitCode, String> {
    let baseline = Baseline::read()?;
    let mut counts = Vec::with_capacity(cases.len());
    let mut has_grown = false;
    println!(
        "{:<16} {:>10} {:>10} {:>8}  each time",
        "case", "baseline", "now", "%"
    );
    for case in cases {
        let now = callgrind::count(case)?;
        counts.push((case.name, now));
        let then = baseline.as_ref().and_then(|b| b.count(case.name));
        let Some(then) = then else {
            println!(
                "{:<16} {:>10} {now:>10.1} {:>8}  {}",
                case.name, "-", "new", case.what
            );
            continue;
        };
        // The baseline has one decimal, and more than it has must not be read out of it.
        let change = ((now * 10.0).round() / 10.0 - then) / then;
        let mark = if change > GROWTH_MAX {
            "  << has grown"
        } else if change.abs() > CHANGED {
            "  < changed"
        } else {
            ""
        };
        has_grown |= change > GROWTH_MAX;
        let percent = 100.0 * change;
        println!(
            "{:<16} {then:>10.1} {now:>10.1} {percent:>+8.2}  {}{mark}",
            case.name, case.what
        );
    }
    if let Some(baseline) = &baseline {
        for name in baseline.cases().filter(|name| case(name).is_err()) {
            println!("{name:<16} is in the baseline, but no case any more");
        }
        for line in baseline.differences()? {
            println!("Not as in the baseline: {line}.");
        }
    }
    if save {
        baseline::save(&counts)?;
        println!("These counts are the baseline now.");
        return Ok(ExitCode::SUCCESS);
    }
    if has_grown {
        println!(
            "Something has grown by more than 3 %. If it is worth it, ARGS=--save and say why in the commit."
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_profile(case: &Case) -> Result<ExitCode, String> {
    let functions = callgrind::profile(case)?;
    let total: f64 = functions.iter().map(|function| function.own).sum();
    println!("{}: {}\n", case.name, case.what);
    println!("{:>9} {:>6} {:>9}  function", "own", "%", "inclusive");
    let spends = |function: &&Function| function.own >= 0.05;
    for function in functions.iter().filter(spends).take(FUNCTIONS) {
        println!(
            "{:>9.1} {:>6.1} {:>9.1}  {}",
            function.own,
            100.0 * function.own / total,
            function.inclusive,
            function.name
        );
    }
    println!("{total:>9.1} {:>6.1} {:>9}  all", 100.0, "");
    Ok(ExitCode::SUCCESS)
}
