//! What steps move.

use super::count::{Load, Moved};
use super::fleet::Stage;
use super::report::MovementReport;
use super::statistics::estimate;
use super::track::Cause;

/// Over all repeats: what each moved, and the keys that it had.
pub(super) fn movement(
    before: &Stage,
    after: &Stage,
    nodes_moved: Option<u32>,
    repeats: &[(Moved, Load)],
) -> MovementReport {
    let part = |keys: &dyn Fn(&Moved) -> u64| {
        let parts: Vec<f64> = repeats
            .iter()
            .map(|(moved, total)| keys(moved) as f64 / total.keys.max(1) as f64)
            .collect();
        estimate(&parts)
    };
    let by = |cause: Cause| part(&|moved| moved.keys[cause as usize]);
    let bytes: Vec<f64> = repeats
        .iter()
        .map(|(moved, _)| moved.bytes as f64)
        .collect();
    MovementReport {
        moved: part(&|moved| moved.keys.iter().sum()),
        minimum: minimum(before, after),
        moved_bytes: estimate(&bytes),
        to_added: by(Cause::ToAdded),
        from_gone: by(Cause::FromGone),
        reweighted: by(Cause::Reweighted),
        replaced: by(Cause::Replaced),
        evened: by(Cause::Evened),
        violations: repeats
            .iter()
            .map(|(moved, _)| moved.keys[Cause::Violation as usize])
            .sum(),
        violating: by(Cause::Violation),
        nodes_moved,
        unreachable: part(&|moved| moved.unreachable),
    }
}

/// What servers have to lose, by their targets: whoever places keys as evenly moves that much.
fn minimum(before: &Stage, after: &Stage) -> f64 {
    let targets = after.targets();
    let target_of = |id| {
        let index = after.members.iter().position(|member| member.id == id);
        index.map_or(0.0, |index| targets[index])
    };
    let members = before.members.iter().zip(before.targets());
    members
        .map(|(member, target)| (target - target_of(member.id)).max(0.0))
        .sum()
}
