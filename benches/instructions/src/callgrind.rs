//! Runs a case under valgrind's callgrind, which counts every instruction of the process.
//!
//! A case is run twice, doing its work `times` and 3 * `times` times: the difference is free of start-up and of ending.

use crate::cases::Case;
use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

/// Instructions of a function, for each time that the case does its work.
pub struct Function {
    pub name: String,
    /// Without the functions that it calls.
    pub own: f64,
    /// With them. Too high for a function that calls itself by way of others.
    pub inclusive: f64,
}

/// Instructions for each time that the case does its work.
pub fn count(case: &Case) -> Result<f64, String> {
    let few = run(case, case.times, Path::new("/dev/null"))?;
    let many = run(case, 3 * case.times, Path::new("/dev/null"))?;
    Ok((many as f64 - few as f64) / (2 * case.times) as f64)
}

/// The functions that the count is made of, the dearest first.
pub fn profile(case: &Case) -> Result<Vec<Function>, String> {
    let mut functions: HashMap<String, Function> = HashMap::new();
    for (times, sign) in [(3 * case.times, 1.0), (case.times, -1.0)] {
        let file = std::env::temp_dir().join(format!("keyway-instructions.{}", std::process::id()));
        let costs = run(case, times, &file).and_then(|_| {
            std::fs::read_to_string(&file)
                .map_err(|error| format!("cannot read {}: {error}", file.display()))
        });
        // Left behind, it would do no harm.
        let _ = std::fs::remove_file(&file);
        for (name, [own, inclusive]) in costs_by_function(&costs?) {
            let scale = sign / (2 * case.times) as f64;
            let function = functions.entry(name.clone()).or_insert(Function {
                name,
                own: 0.0,
                inclusive: 0.0,
            });
            function.own += own as f64 * scale;
            function.inclusive += inclusive as f64 * scale;
        }
    }
    let mut functions: Vec<Function> = functions.into_values().collect();
    functions.sort_by(|a, b| b.own.total_cmp(&a.own));
    Ok(functions)
}

/// Instructions of one process that does the case's work `times` times.
fn run(case: &Case, times: usize, profile: &Path) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| format!("where am I: {error}"))?;
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(program)
        .args(["run", case.name, &times.to_string()])
        .output()
        .map_err(|error| {
            format!("cannot run valgrind: {error}. It is Debian's package `valgrind`: apt-get install valgrind")
        })?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("case {} failed under valgrind:\n{said}", case.name));
    }
    said.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .ok_or_else(|| format!("valgrind said no `Collected : NUMBER`, but:\n{said}"))
}

/// Own and inclusive cost by name, from a file in callgrind's format. Parts that were inlined count for the function they are in.
fn costs_by_function(file: &str) -> HashMap<String, [u64; 2]> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut costs: HashMap<String, [u64; 2]> = HashMap::new();
    let (mut function, mut callee, mut is_call) = ("", "", false);
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("fn=") {
            function = resolve(&mut names, name);
        } else if let Some(name) = line.strip_prefix("cfn=") {
            callee = resolve(&mut names, name);
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            // A position and a cost. Behind a `calls=` line it is the cost of what was called.
            let cost = line.split(' ').nth(1).and_then(|cost| cost.parse().ok());
            let cost: u64 = cost.unwrap_or(0);
            let [own, inclusive] = costs.entry(function.to_owned()).or_default();
            if !is_call {
                *own += cost;
                *inclusive += cost;
            } else if callee != function {
                *inclusive += cost;
            }
            is_call = false;
        }
    }
    costs
}

/// `(ID) NAME` the first time, `(ID)` from then on. The levels of a recursion (`NAME'2`) are one function.
fn resolve<'a>(names: &mut HashMap<&'a str, &'a str>, text: &'a str) -> &'a str {
    let Some((id, name)) = text.split_once(' ') else {
        return names.get(text).copied().unwrap_or(text);
    };
    let name = match name.rsplit_once('\'') {
        Some((name, level)) if level.parse::<u32>().is_ok() => name,
        _ => name,
    };
    names.insert(id, name);
    name
}
