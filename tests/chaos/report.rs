//! What people and programs read: a line while it runs, violations, and the table or JSON at the
//! end.

use crate::arguments::Arguments;
use crate::history::{Totals, Violation};
use crate::round::{RoundOrder, RoundResult};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

/// Violations of one round that are printed in full.
const SHOWN: usize = 10;
/// Faults that began this long before an operation ended are named beside it.
const NEAR_MS: u64 = 3000;

/// All rounds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) seeds: Vec<u64>,
    pub(crate) seconds: f64,
    pub(crate) totals: Totals,
    /// By kind.
    pub(crate) faults: BTreeMap<String, u64>,
    pub(crate) violations: Vec<Violation>,
}

impl Summary {
    pub(crate) fn add(&mut self, order: RoundOrder, result: RoundResult) {
        self.seeds.push(order.seed);
        self.totals.add(result.totals);
        for fault in &result.faults {
            *self.faults.entry(fault.kind.clone()).or_default() += 1;
        }
        self.violations.extend(result.violations);
    }

    /// Rows of a name and a number.
    pub(crate) fn table(&self) -> String {
        let totals = self.totals;
        let mut rows = vec![
            ("operations", totals.operations),
            ("  acknowledged", totals.acknowledged),
            ("  not sent", totals.not_sent),
            ("  unknown", totals.unknown),
            ("  dropped futures", totals.dropped),
            ("reloads", totals.reloads),
            ("faults", self.faults.values().sum()),
        ];
        let kinds: Vec<String> = self.faults.keys().map(|kind| format!("  {kind}")).collect();
        rows.extend(
            kinds
                .iter()
                .map(String::as_str)
                .zip(self.faults.values().copied()),
        );
        rows.push(("violations", self.violations.len() as u64));
        let mut table = format!("{} rounds, {:.0} s\n", self.seeds.len(), self.seconds);
        for (name, number) in rows {
            table += &format!("{name:<32}{number:>12}\n");
        }
        table
    }
}

/// One line that is written again and again, on a terminal; else nothing but the ends of rounds.
pub(crate) struct Progress {
    is_terminal: bool,
    round: String,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress {
            is_terminal: std::io::stderr().is_terminal(),
            round: String::new(),
        }
    }

    pub(crate) fn begin(&mut self, number: usize, order: RoundOrder) {
        self.round = format!("round {number}, seed {}", order.seed);
    }

    pub(crate) fn show(&mut self, now_ms: u64, totals: Totals, faults: usize, violations: usize) {
        if self.is_terminal {
            let line = self.line(now_ms, totals, faults, violations);
            say(&format!("\r\x1b[K{line}"));
        }
    }

    pub(crate) fn end(&mut self, now_ms: u64, result: &RoundResult) {
        let clear = if self.is_terminal { "\r\x1b[K" } else { "" };
        let line = self.line(
            now_ms,
            result.totals,
            result.faults.len(),
            result.violations.len(),
        );
        say(&format!("{clear}{line}\n"));
    }

    fn line(&self, now_ms: u64, totals: Totals, faults: usize, violations: usize) -> String {
        format!(
            "{}: {} s, {} operations, {} not sent, {} unknown, {faults} faults, {violations} violations",
            self.round,
            now_ms / 1000,
            totals.operations,
            totals.not_sent,
            totals.unknown + totals.dropped,
        )
    }
}

/// What was broken, beside which faults, and how to see it again.
pub(crate) fn print_violations(order: RoundOrder, arguments: &Arguments, result: &RoundResult) {
    for violation in result.violations.iter().take(SHOWN) {
        say(&format!(
            "\nVIOLATION {:?}, seed {}\n  operation: {}\n  expected:  {}\n  seen:      {}\n",
            violation.kind, order.seed, violation.operation, violation.expected, violation.seen
        ));
        if let Some(at_ms) = violation.at_ms {
            say(&format!("  at:        {at_ms} ms\n"));
            let near = result
                .faults
                .iter()
                .filter(|fault| fault.from_ms <= at_ms && fault.to_ms + NEAR_MS >= at_ms);
            for fault in near {
                say(&format!(
                    "  near:      {} of s{}, {} to {} ms\n",
                    fault.kind, fault.server, fault.from_ms, fault.to_ms
                ));
            }
        }
    }
    if result.violations.len() > SHOWN {
        say(&format!("\nand {} more\n", result.violations.len() - SHOWN));
    }
    if !result.violations.is_empty() {
        say(&format!(
            "\nAgain: make chaos ARGS=\"{}\"\n",
            arguments.again(order)
        ));
    }
}

/// To standard error, where it does not mix with `--json`.
pub(crate) fn say(text: &str) {
    // Nobody reads: nothing to be done.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// To standard output.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}
