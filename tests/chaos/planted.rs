//! Finds faults that were put into keyway on purpose: what shows that the oracle would find such a
//! one.

use crate::arguments::Arguments;
use crate::history::Kind;
use crate::report::{Summary, print, say};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The name that `src/planted.rs` knows, and the violation by which it must be found.
const FAULTS: [(&str, Kind); 4] = [
    // A command without a name is written, and each later reply goes to its predecessor's caller.
    ("empty-command", Kind::WrongReply),
    // A connection that is silent is never given up.
    ("never-silent", Kind::Unreachable),
    // A transaction of which a part failed for want of a script is sent again.
    ("repeat-transaction", Kind::Doubled),
    // A write whose outcome is unknown is sent again.
    ("retried-write", Kind::Doubled),
];
/// No new round for one fault after this.
const LIMIT: Duration = Duration::from_secs(60);
const ROUND_SECONDS: u64 = 8;

/// Whether all were found.
pub(crate) fn find_all() -> bool {
    let mut all = true;
    for (fault, kind) in FAULTS {
        let began = Instant::now();
        let mut seed = 1;
        let found = loop {
            let kinds = kinds_of_a_round(fault, seed);
            if kinds.contains(&kind) {
                break true;
            }
            if began.elapsed() > LIMIT {
                break false;
            }
            seed += 1;
        };
        let seconds = began.elapsed().as_secs();
        print(&match found {
            true => format!("{fault:<20} found as {kind:?} in {seconds} s, seed {seed}\n"),
            false => format!("{fault:<20} NOT FOUND as {kind:?} in {seconds} s\n"),
        });
        all &= found;
    }
    all
}

/// The kinds of violations in one round with this fault, each once.
fn kinds_of_a_round(fault: &str, seed: u64) -> Vec<Kind> {
    let round = Arguments::parse(&[]).map(|arguments| {
        let order = arguments.round(0, Duration::ZERO).map(|mut order| {
            order.seed = seed;
            order.length = Duration::from_secs(ROUND_SECONDS);
            order
        });
        order.map(|order| arguments.again(order))
    });
    let Ok(Some(round)) = round else {
        return Vec::new();
    };
    let output = Command::new(std::env::current_exe().unwrap())
        .args(round.split(' '))
        .arg("--json")
        .env("KEYWAY_PLANTED", fault)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    match serde_json::from_slice::<Summary>(&output.stdout) {
        Ok(summary) => {
            let mut kinds: Vec<Kind> = summary
                .violations
                .iter()
                .map(|violation| violation.kind)
                .collect();
            kinds.sort_unstable();
            kinds.dedup();
            say(&format!("{fault}, seed {seed}: {kinds:?}\n"));
            kinds
        }
        Err(error) => {
            say(&format!(
                "{fault}, seed {seed}: no summary ({error}), {}\n",
                output.status
            ));
            Vec::new()
        }
    }
}
