//! On what machine, with what versions and how a run was taken.

use super::comparison::counted;
use super::number::whole;
use crate::results::Results;

pub fn text(results: &Results) -> String {
    lines(results).join("\n") + "\n"
}

pub fn markdown(results: &Results) -> String {
    let items = lines(results).into_iter().map(|line| format!("- {line}\n"));
    items.collect()
}

fn lines(results: &Results) -> Vec<String> {
    let settings = &results.settings;
    let mut lines = of_run(results);
    lines.push(format!(
        "{}, {} + {} ms per peer (warm-up, window); {} keys",
        counted(u32::try_from(settings.rounds).unwrap_or(u32::MAX), "round"),
        settings.warm_up_ms,
        settings.window_ms,
        whole(settings.keys)
    ));
    lines
        .push("three times the rounds at 1 task (half as long; MGETs six times), for 16 MGETs at once and beside 10 MB values".to_owned());
    lines.push(
        "figures: medians of rounds; CPU: the client's, per call; ratios: medians of pairs, one a round, with min-max"
            .to_owned(),
    );
    lines
}

/// When, on what machine, from which commit, with what versions.
pub(super) fn of_run(results: &Results) -> Vec<String> {
    let machine = &results.machine;
    let versions: Vec<String> = results
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let cores = u32::try_from(machine.cores).unwrap_or(u32::MAX);
    let mut lines = vec![format!(
        "{}: {}, {}, {} GiB of memory, {}",
        results.date,
        machine.cpu,
        counted(cores, "core"),
        machine.memory_gib,
        machine.kernel
    )];
    if !results.commit.is_empty() {
        lines.push(format!("commit {}", results.commit));
    }
    lines.extend(versions.chunks(VERSIONS_A_LINE).map(|some| some.join(", ")));
    lines
}

/// As many as fit a terminal.
const VERSIONS_A_LINE: usize = 5;
