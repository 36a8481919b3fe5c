//! How even servers are.

use super::count::Load;
use super::fleet::Stage;
use super::report::{BalanceReport, Estimate};
use super::statistics::{deviation, estimate, middle_99};

/// The loads of the servers that are up in one repeat: each its part of all divided by its target. Servers that are to have nothing have none.
fn loads(stage: &Stage, servers: &[Load], total: u64, of: impl Fn(&Load) -> u64) -> Vec<f64> {
    let targets = stage.targets();
    let members = stage.members.iter().zip(targets);
    members
        .filter(|(member, target)| member.is_up && *target > 0.0)
        .map(|(member, target)| {
            let part = of(&servers[usize::from(member.id)]);
            part as f64 / total.max(1) as f64 / target
        })
        .collect()
}

/// Over all repeats: for each, what every server holds, by id, and what there is in all.
pub(super) fn balance(
    stage: &Stage,
    repeats: &[(Vec<Load>, Load)],
    of: impl Fn(&Load) -> u64 + Copy,
) -> BalanceReport {
    let mut all = Vec::new();
    let (mut most, mut least, mut deviations) = (Vec::new(), Vec::new(), Vec::new());
    for (servers, total) in repeats {
        let loads = loads(stage, servers, of(total), of);
        most.push(loads.iter().copied().fold(0.0, f64::max));
        least.push(loads.iter().copied().fold(f64::INFINITY, f64::min));
        deviations.push(deviation(&loads));
        all.extend(loads);
    }
    let (load_low_99, load_high_99) = middle_99(all);
    BalanceReport {
        max_over_mean: estimate(&most),
        min_over_mean: estimate(&least),
        relative_sd: estimate(&deviations),
        load_low_99,
        load_high_99,
    }
}

/// A server's part of all, over the repeats.
pub(super) fn share(repeats: &[(Vec<Load>, Load)], id: u16, of: impl Fn(&Load) -> u64) -> Estimate {
    let shares: Vec<f64> = repeats
        .iter()
        .map(|(servers, total)| of(&servers[usize::from(id)]) as f64 / of(total).max(1) as f64)
        .collect();
    estimate(&shares)
}
