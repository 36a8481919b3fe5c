//! The plan of set algebra over nodes: from the sizes of the sets to what is fetched, probed and walked. Pure.
//!
//! A plan has one source, whose members are the candidates of the answer, and says for every other set how the candidates are held against it.

use super::cost::{self, Cost, Facts, ROUND_TRIP_NS, Traffic};
use serde::Serialize;

/// What is asked of the sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Operation {
    /// Members of every set.
    Intersect,
    /// Members of any set.
    Union,
    /// Members of the first set and of no other.
    Difference,
}

impl Operation {
    /// The command that does it on one server.
    pub(super) fn command(self) -> &'static str {
        match self {
            Operation::Intersect => "SINTER",
            Operation::Union => "SUNION",
            Operation::Difference => "SDIFF",
        }
    }

    /// Whether a candidate stays that was found, or not found, in another set.
    pub(super) fn keeps(self, is_found: bool) -> bool {
        match self {
            Operation::Intersect => is_found,
            Operation::Union | Operation::Difference => !is_found,
        }
    }
}

/// How sets on other servers are held against the candidates. Without one the cost model decides for each set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// The candidates are fetched, and looked up in the other sets by SMISMEMBER.
    Probe,
    /// Every set is fetched, all at once, and combined here.
    Fetch,
    /// The candidates come by SSCAN, in chunks that grow, and each chunk is looked up in the other sets.
    Stream,
}

/// Where the candidates come from. Sets are named by their position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// There are none, so the answer is empty.
    Nothing,
    /// The set came whole with its size.
    InHand(usize),
    /// Fetched: one set, or several that share a server and are combined there.
    Fetch(Vec<usize>),
    /// Walked, and every other set is probed.
    Walk(usize),
}

/// How the candidates are held against another set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Other {
    InHand(usize),
    /// Several that share a server are combined there.
    Fetch(Vec<usize>),
    Probe(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) source: Source,
    pub(super) others: Vec<Other>,
}

/// What a plan is chosen for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim<'a> {
    pub(super) operation: Operation,
    /// Different sets; of a difference the first is what the others are taken from.
    pub(super) sets: &'a [Facts],
    pub(super) limit: Option<u64>,
    pub(super) strategy: Option<Strategy>,
    /// Memory for intermediate results.
    pub(super) bytes_max: u64,
}

/// Chooses by the cost model, or as told.
pub(super) fn choose(aim: &Aim<'_>) -> Plan {
    let sets = aim.sets;
    let smallest = (0..sets.len()).min_by_key(|at| sets[*at].members);
    let base = match aim.operation {
        Operation::Intersect => smallest,
        Operation::Difference | Operation::Union => (!sets.is_empty()).then_some(0),
    };
    let nothing = Plan {
        source: Source::Nothing,
        others: Vec::new(),
    };
    let Some(base) = base else {
        return nothing;
    };
    if aim.operation == Operation::Union {
        return union(aim);
    }
    if sets[base].members == 0 || aim.limit == Some(0) {
        return nothing;
    }
    let walk = || Plan {
        source: Source::Walk(base),
        others: (0..sets.len())
            .filter(|at| *at != base)
            .map(Other::Probe)
            .collect(),
    };
    let is_limited = aim.limit.is_some_and(|limit| limit < sets[base].members);
    match aim.strategy {
        Some(Strategy::Stream) => return walk(),
        None if is_limited && !sets[base].is_whole => return walk(),
        _ => {}
    }
    let chosen = combined(aim, base);
    if aim.strategy.is_none() && held(sets, &chosen) > aim.bytes_max {
        return walk();
    }
    chosen
}

fn union(aim: &Aim<'_>) -> Plan {
    let all: u64 = aim.sets.iter().map(|set| set.members).sum();
    let is_walked = match aim.strategy {
        Some(strategy) => strategy == Strategy::Stream,
        None => aim.limit.is_some_and(|limit| limit < all),
    };
    let mut groups = by_home(aim.sets, 0..aim.sets.len()).into_iter();
    match groups.next() {
        None => Plan {
            source: Source::Nothing,
            others: Vec::new(),
        },
        Some(_) if is_walked => Plan {
            source: Source::Walk(0),
            others: Vec::new(),
        },
        Some(first) => Plan {
            source: Source::Fetch(first),
            others: groups.map(Other::Fetch).collect(),
        },
    }
}

/// Of an intersection or a difference: the source fetched or in hand, and for each server the cheapest way.
fn combined(aim: &Aim<'_>, base: usize) -> Plan {
    let sets = aim.sets;
    let is_source_in_hand = sets[base].is_whole;
    let mut others: Vec<Other> = Vec::new();
    let mut open = Vec::new();
    let mut source = vec![base];
    for at in (0..sets.len()).filter(|at| *at != base) {
        if sets[at].is_whole {
            others.push(Other::InHand(at));
        } else if !is_source_in_hand && sets[at].home == sets[base].home {
            source.push(at);
        } else {
            open.push(at);
        }
    }
    let candidates = sets[base].members;
    let groups = by_home(sets, open.into_iter());
    let fetches: Vec<Cost> = groups
        .iter()
        .map(|group| fetched(aim.operation, sets, group))
        .collect();
    let probes: Vec<Cost> = groups
        .iter()
        .map(|group| {
            group
                .iter()
                .map(|at| cost::probe(&sets[*at], &sets[base], candidates))
                .sum()
        })
        .collect();
    let is_probed: Vec<bool> = match aim.strategy {
        Some(Strategy::Probe) => vec![true; groups.len()],
        Some(_) => vec![false; groups.len()],
        None => {
            let cheapest: Vec<bool> = fetches
                .iter()
                .zip(&probes)
                .map(|(fetch, probe)| probe.work_ns() < fetch.work_ns())
                .collect();
            let total = |is_probed: &dyn Fn(usize) -> bool| -> u64 {
                (0..groups.len())
                    .map(|at| {
                        if is_probed(at) {
                            probes[at]
                        } else {
                            fetches[at]
                        }
                        .work_ns()
                    })
                    .sum()
            };
            // What is fetched comes with the source; to probe is another round trip, unless the source is in hand.
            let wait = if is_source_in_hand { 0 } else { ROUND_TRIP_NS };
            if total(&|at| cheapest[at]) + wait < total(&|_| false) {
                cheapest
            } else {
                vec![false; groups.len()]
            }
        }
    };
    let mut probed = Vec::new();
    for (group, is_probed) in groups.into_iter().zip(is_probed) {
        if is_probed {
            probed.extend(group);
        } else {
            others.push(Other::Fetch(group));
        }
    }
    // What thins the candidates out most goes first: of an intersection the smallest, of a difference the largest.
    match aim.operation {
        Operation::Difference => probed.sort_by_key(|at| std::cmp::Reverse(sets[*at].members)),
        _ => probed.sort_by_key(|at| sets[*at].members),
    }
    others.extend(probed.into_iter().map(Other::Probe));
    Plan {
        source: if is_source_in_hand {
            Source::InHand(base)
        } else {
            Source::Fetch(source)
        },
        others,
    }
}

/// What combining a group on its server and fetching the result costs at most.
fn fetched(operation: Operation, sets: &[Facts], group: &[usize]) -> Cost {
    let members = group.iter().map(|at| sets[*at].members);
    let result = match operation {
        Operation::Intersect => members.min(),
        Operation::Union | Operation::Difference => Some(members.sum()),
    };
    let facts: Vec<&Facts> = group.iter().map(|at| &sets[*at]).collect();
    cost::fetch(&facts, result.unwrap_or(0))
}

/// Positions by server, in the order of the first of each.
fn by_home(sets: &[Facts], positions: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for at in positions {
        match groups
            .iter_mut()
            .find(|group| sets[group[0]].home == sets[at].home)
        {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

/// Memory for what a plan fetches, at most.
fn held(sets: &[Facts], plan: &Plan) -> u64 {
    let of_group = |group: &[usize]| {
        let least = group.iter().map(|at| sets[*at].held(sets[*at].members));
        least.min().unwrap_or(0)
    };
    let source = match &plan.source {
        Source::Fetch(group) => of_group(group),
        _ => 0,
    };
    let others = plan.others.iter().map(|other| match other {
        Other::Fetch(group) => of_group(group),
        _ => 0,
    });
    others.fold(source, u64::saturating_add)
}

/// A step of a plan, with what it is expected to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    pub(super) action: Action,
    pub(super) sets: Vec<usize>,
    pub(super) traffic: Traffic,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Action {
    /// SCARD, and one SSCAN from the start: small sets come whole.
    Sizes,
    /// SMEMBERS, or SINTER, SUNION, SDIFF of sets that share a server.
    Fetch,
    /// SMISMEMBER.
    Probe,
    /// SSCAN.
    Scan,
}

/// The steps of a plan, and what all of it is expected to move. Selectivity is not known: every candidate is taken to be probed at every set,
/// sets that are combined on their server give their largest possible result, and a limit is taken to need twice as many candidates.
pub(super) fn estimate(aim: &Aim<'_>, plan: &Plan, with_sizes: bool) -> (Vec<Estimate>, Traffic) {
    let sets = aim.sets;
    let mut steps = Vec::new();
    let mut add = |action, of: Vec<usize>, cost: Cost| {
        steps.push(Estimate {
            action,
            sets: of,
            traffic: cost.traffic,
        });
        cost.traffic.round_trips
    };
    let mut rounds = 0;
    if with_sizes {
        rounds += add(Action::Sizes, (0..sets.len()).collect(), cost::sizes(sets));
    }
    let source_group = |group: &[usize]| match aim.operation {
        // The first less what shares its server is at most the first.
        Operation::Difference => {
            let facts: Vec<&Facts> = group.iter().map(|at| &sets[*at]).collect();
            cost::fetch(&facts, sets[group[0]].members)
        }
        operation => fetched(operation, sets, group),
    };
    let base = match &plan.source {
        Source::Nothing => None,
        Source::InHand(at) | Source::Walk(at) => Some(*at),
        Source::Fetch(group) => {
            add(Action::Fetch, group.clone(), source_group(group));
            Some(group[0])
        }
    };
    let mut fetches = u64::from(matches!(plan.source, Source::Fetch(_)));
    for other in &plan.others {
        if let Other::Fetch(group) = other {
            fetches = 1;
            add(
                Action::Fetch,
                group.clone(),
                fetched(aim.operation, sets, group),
            );
        }
    }
    rounds += fetches;
    let Some(base) = base else {
        return total(steps, rounds);
    };
    let walked = match aim.limit {
        Some(limit) => sets[base]
            .members
            .min(limit.saturating_mul(2).max(cost::SAMPLE_MEMBERS)),
        None => sets[base].members,
    };
    let is_walk = matches!(plan.source, Source::Walk(_));
    if is_walk && aim.operation == Operation::Union {
        let mut left = aim.limit.unwrap_or(u64::MAX);
        for (at, set) in sets.iter().enumerate() {
            let of_this = left.min(set.members);
            left -= of_this;
            let cost = cost::scan(set, of_this);
            if cost.traffic.commands > 0 {
                rounds += add(Action::Scan, vec![at], cost);
            }
        }
        return total(steps, rounds);
    }
    if is_walk && !sets[base].is_whole {
        add(Action::Scan, vec![base], cost::scan(&sets[base], walked));
    }
    let probed: Vec<usize> = plan
        .others
        .iter()
        .filter_map(|other| match other {
            Other::Probe(at) => Some(*at),
            _ => None,
        })
        .collect();
    if is_walk {
        let chunks = cost::chunks(walked);
        for at in &probed {
            let mut cost = cost::probe(&sets[*at], &sets[base], walked);
            cost.traffic.round_trips = chunks;
            add(Action::Probe, vec![*at], cost);
        }
        // The next chunk is read while one is probed.
        rounds += chunks;
        return total(steps, rounds);
    }
    let one_by_one = probes_one_by_one(sets, &probed, &sets[base], walked);
    for at in &probed {
        add(
            Action::Probe,
            vec![*at],
            cost::probe(&sets[*at], &sets[base], sets[base].members),
        );
    }
    rounds += match (probed.len(), one_by_one) {
        (0, _) => 0,
        (count, true) => count as u64,
        (_, false) => 1,
    };
    total(steps, rounds)
}

fn total(steps: Vec<Estimate>, round_trips: u64) -> (Vec<Estimate>, Traffic) {
    let mut all = Traffic::default();
    for step in &steps {
        all += step.traffic;
    }
    all.round_trips = round_trips;
    (steps, all)
}

/// Whether several sets are probed one after another, each with what the one before has left, or all at once. All at once has one round trip
/// but moves all candidates for every set.
pub(super) fn probes_one_by_one(
    sets: &[Facts],
    probed: &[usize],
    of: &Facts,
    candidates: u64,
) -> bool {
    probed.first().is_some_and(|at| {
        probed.len() > 1 && cost::probe(&sets[*at], of, candidates).work_ns() > ROUND_TRIP_NS
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(members: u64, home: usize) -> Facts {
        Facts {
            members,
            bytes_each: 10.0,
            score_bytes: None,
            key_bytes: 10,
            is_whole: members <= cost::SAMPLE_MEMBERS,
            home,
        }
    }

    fn aim<'a>(operation: Operation, sets: &'a [Facts]) -> Aim<'a> {
        Aim {
            operation,
            sets,
            limit: None,
            strategy: None,
            bytes_max: 64 << 20,
        }
    }

    fn plan(operation: Operation, sets: &[(u64, usize)]) -> String {
        let sets: Vec<Facts> = sets
            .iter()
            .map(|(members, home)| set(*members, *home))
            .collect();
        show(&choose(&aim(operation, &sets)))
    }

    fn show(plan: &Plan) -> String {
        let mut text = format!("{:?}", plan.source);
        for other in &plan.others {
            text.push_str(&format!("; {other:?}"));
        }
        text
    }

    #[test]
    fn the_expected_plan_is_chosen() {
        use Operation::{Difference, Intersect, Union};
        for (operation, sets, expected) in [
            (
                Intersect,
                &[(1_000, 0), (1_000_000, 1)][..],
                "Fetch([0]); Probe(1)",
            ),
            (
                Intersect,
                &[(1_000_000, 1), (1_000, 0)],
                "Fetch([1]); Probe(0)",
            ),
            (
                Intersect,
                &[(100_000, 0), (100_000, 1)],
                "Fetch([0]); Fetch([1])",
            ),
            (
                Intersect,
                &[(10_000, 0), (10_000, 1)],
                "Fetch([0]); Fetch([1])",
            ),
            (
                Intersect,
                &[(1_000, 0), (1_100, 1)],
                "Fetch([0]); Fetch([1])",
            ),
            // A small set comes with its size; nothing is fetched any more.
            (
                Intersect,
                &[(100, 0), (1_000_000, 1)],
                "InHand(0); Probe(1)",
            ),
            (Intersect, &[(100, 0), (50, 1)], "InHand(1); InHand(0)"),
            (Intersect, &[(0, 0), (1_000_000, 1)], "Nothing"),
            // Those that share a server are combined there.
            (
                Intersect,
                &[(100_000, 0), (90_000, 1), (95_000, 0)],
                "Fetch([1]); Fetch([0, 2])",
            ),
            (
                Intersect,
                &[(1_000, 0), (1_000_000, 1), (2_000_000, 0)],
                "Fetch([0, 2]); Probe(1)",
            ),
            (
                Difference,
                &[(1_000, 0), (1_000_000, 1)],
                "Fetch([0]); Probe(1)",
            ),
            (
                Difference,
                &[(1_000_000, 0), (1_000, 1)],
                "Fetch([0]); Fetch([1])",
            ),
            (
                Difference,
                &[(1_000, 0), (5_000_000, 0), (1_000_000, 1)],
                "Fetch([0, 1]); Probe(2)",
            ),
            (Difference, &[(0, 0), (1_000_000, 1)], "Nothing"),
            (Difference, &[(1_000, 0), (0, 1)], "Fetch([0]); InHand(1)"),
            (
                Union,
                &[(1_000, 0), (1_000_000, 1), (5, 0)],
                "Fetch([0, 2]); Fetch([1])",
            ),
            (
                Intersect,
                &[(10_000_000, 0), (12_000_000, 1)],
                "Walk(0); Probe(1)",
            ),
        ] {
            assert_eq!(plan(operation, sets), expected, "{operation:?} {sets:?}");
        }
    }

    /// Where the choice turns, by what was measured: to probe a member takes a third more than to list one, and a round trip more.
    #[test]
    fn to_probe_pays_from_a_third_more_members_on_and_what_a_round_trip_takes() {
        let choice = |small: u64, large: u64, score_bytes: Option<f64>| {
            let sets = [(small, 0), (large, 1)].map(|(members, home)| Facts {
                score_bytes,
                ..set(members, home)
            });
            let plan = choose(&aim(Operation::Intersect, &sets));
            matches!(plan.others[..], [Other::Probe(1)])
        };
        for (small, last_fetched, first_probed) in [
            // The smallest is in hand, so that to probe is no round trip more.
            (100, 129, 140),
            (200, 700, 800),
            (1_000, 1_700, 1_900),
            (10_000, 13_500, 14_500),
            (100_000, 130_000, 140_000),
        ] {
            assert!(
                !choice(small, last_fetched, None),
                "{small} in {last_fetched}"
            );
            assert!(
                choice(small, first_probed, None),
                "{small} in {first_probed}"
            );
        }
        // Scores cost the same either way, so they bring both nearer together.
        for (small, last_fetched, first_probed) in [
            (1_000, 1_200, 1_350),
            (10_000, 11_000, 11_700),
            (100_000, 109_000, 115_000),
        ] {
            let scores = Some(6.0);
            assert!(
                !choice(small, last_fetched, scores),
                "{small} in {last_fetched}"
            );
            assert!(
                choice(small, first_probed, scores),
                "{small} in {first_probed}"
            );
        }
    }

    #[test]
    fn a_limit_walks_and_a_strategy_is_obeyed() {
        let sets = [set(100_000, 0), set(100_000, 1)];
        let intersect = aim(Operation::Intersect, &sets);
        let limited = Aim {
            limit: Some(10),
            ..intersect
        };
        assert_eq!(show(&choose(&limited)), "Walk(0); Probe(1)");
        let of_all = Aim {
            limit: Some(100_000),
            ..intersect
        };
        assert_eq!(show(&choose(&of_all)), "Fetch([0]); Fetch([1])");
        for (strategy, expected) in [
            (Strategy::Probe, "Fetch([0]); Probe(1)"),
            (Strategy::Fetch, "Fetch([0]); Fetch([1])"),
            (Strategy::Stream, "Walk(0); Probe(1)"),
        ] {
            let forced = Aim {
                strategy: Some(strategy),
                ..intersect
            };
            assert_eq!(show(&choose(&forced)), expected);
        }
        let union = Aim {
            operation: Operation::Union,
            ..limited
        };
        assert_eq!(show(&choose(&union)), "Walk(0)");
    }

    #[test]
    fn the_small_set_decides_what_is_moved() {
        for large in [10_000, 100_000, 1_000_000, 100_000_000] {
            let sets = [set(1_000, 0), set(large, 1)];
            let aim = aim(Operation::Intersect, &sets);
            let (_, all) = estimate(&aim, &choose(&aim), true);
            let small_reply = cost::fetch(&[&sets[0]], 1_000).traffic.bytes_received;
            assert!(
                all.bytes() < 3 * small_reply,
                "{all:?} against {small_reply}"
            );
            assert_eq!(all.round_trips, 3);
        }
    }
}
