//! What a simulation takes at most, in a process of its own for every number of keys.

use crate::results::Weight;
use keyway::simulation::{
    Keys, Popularity, Scenario, Scheme, Step, ValueBytes, run, uninterrupted,
};
use std::process::Command;

/// With nodes and without, and with all that is counted for a key: popularity, sizes, a step.
const SCHEMES: [&str; 3] = ["ketama", "maglev", "ketama@64"];

pub fn measure(quick: bool) -> Result<Vec<Weight>, String> {
    let mut counts = vec![1_000_000, 10_000_000];
    if !quick {
        counts.push(100_000_000);
    }
    counts.into_iter().map(measured).collect()
}

fn measured(keys: u64) -> Result<Weight, String> {
    eprintln!("memory at {keys} keys ...");
    let failed = |what: &str| format!("memory at {keys} keys: {what}");
    let this = std::env::current_exe().map_err(|error| failed(&error.to_string()))?;
    let output = Command::new(this)
        .args(["--weigh", &keys.to_string()])
        .output()
        .map_err(|error| failed(&error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let peak_bytes = text
        .trim()
        .parse()
        .map_err(|_| failed(String::from_utf8_lossy(&output.stderr).trim()))?;
    Ok(Weight { keys, peak_bytes })
}

/// Bytes that this process has taken at most, after a simulation of so many keys.
pub fn weighed(keys: u64) -> Result<u64, String> {
    let made = Keys::made(keys)
        .popularity(Popularity::Zipf { exponent: 0.99 })
        .value_bytes(ValueBytes::Uniform {
            min: 10,
            max: 1_000,
        });
    let mut builder = Scenario::builder()
        .keys(made)
        .servers_made(16)
        .step(Step::Remove(vec!["b".to_owned()]))
        .repeats(1)
        .threads(2);
    for name in SCHEMES {
        let scheme: Scheme = name.parse().map_err(|error| format!("{name}: {error}"))?;
        builder = builder.scheme(scheme);
    }
    let scenario = builder.build().map_err(|error| error.to_string())?;
    run(&scenario, &mut uninterrupted).map_err(|error| error.to_string())?;
    peak_bytes()
}

fn peak_bytes() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status");
    let status = status.map_err(|error| format!("cannot read /proc/self/status: {error}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes
        .map(|kibibytes| kibibytes * 1_024)
        .ok_or_else(|| "no VmHWM in /proc/self/status".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulation_says_what_it_took() {
        let bytes = weighed(10_000).unwrap();
        assert!((1 << 20..1 << 30).contains(&bytes), "{bytes}");
    }
}
