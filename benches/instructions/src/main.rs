//! Instruction counts of keyway's hot paths.

mod callgrind;
mod cases;
mod server;

use cases::{CASES, Case};
use std::process::ExitCode;

#[cfg(not(keyway_instructions))]
compile_error!("build it by `make instructions`, which sets --cfg keyway_instructions");

const USAGE: &str = "usage: keyway-instructions [--profile CASE]";
/// So many functions of a profile are shown.
const FUNCTIONS: usize = 25;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["--profile", name] => case(name).and_then(print_profile),
        // What runs under valgrind.
        ["run", name, times] => case(name).and_then(|case| {
            let times = times.parse().map_err(|_| USAGE.to_owned())?;
            (case.run)(times);
            Ok(())
        }),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("instructions: {why}");
            ExitCode::from(2)
        }
    }
}

fn case(name: &str) -> Result<&'static Case, String> {
    CASES.iter().find(|case| case.name == name).ok_or_else(|| {
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        format!("there is no case {name:?}; there are {}", names.join(", "))
    })
}

fn print_profile(case: &Case) -> Result<(), String> {
    let functions = callgrind::profile(case)?;
    let total: f64 = functions.iter().map(|function| function.own).sum();
    println!("{}: {}\n", case.name, case.what);
    println!("{:>9} {:>6} {:>9}  function", "own", "%", "inclusive");
    for function in functions.iter().take(FUNCTIONS) {
        println!(
            "{:>9.1} {:>6.1} {:>9.1}  {}",
            function.own,
            100.0 * function.own / total,
            function.inclusive,
            function.name
        );
    }
    println!("{total:>9.1} {:>6.1} {:>9}  all", 100.0, "");
    Ok(())
}
