//! What a full run of applications measures, and who takes part.

use super::data::Pair;
use super::order::{Combination, Contestant, Form};
use crate::results::{Runtime, Section};
use Contestant::*;

/// A cell to be filled.
#[derive(Clone, Debug)]
pub struct Plan {
    pub section: Section,
    pub work: &'static str,
    pub runtime: Runtime,
    pub what: What,
    pub commands_per_call: u32,
    pub contestants: Vec<Contestant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    Deliver {
        keep: usize,
    },
    /// In processes that have done nothing before.
    DeliverLazily {
        owners: u64,
    },
    Combine(Combination, Pair, Form),
    Merged {
        skewed: bool,
    },
    Values,
}

pub const PARTS: [Section; 7] = [
    Section::Deliver,
    Section::Memory,
    Section::Probe,
    Section::Equal,
    Section::Algebra,
    Section::Merged,
    Section::Fanout,
];

pub const DELIVER: &str = "deliver to 100,000 owners, keep 1,000";
pub const DELIVER_FULL: &str = "deliver to 100,000 owners, keep 100 (full)";
pub const TO_100_000: &str = "stream of 100,000 owners";
pub const TO_A_MILLION: &str = "stream of 1,000,000 owners";
pub const PROBE: &str = "intersect 1,000 with 1,000,000";
/// The newest come from everywhere.
pub const MERGED: &str = "newest 50 of 500 authors";

const RUNTIMES: [Runtime; 2] = [Runtime::CurrentThread, Runtime::TwoWorkers];

const SMALL_AND_LARGE: Pair = Pair {
    name: "small-large",
    sizes: [1_000, 1_000_000],
    common: 500,
};

const fn equal(name: &'static str, size: u64, common: u64) -> Pair {
    Pair {
        name,
        sizes: [size, size],
        common,
    }
}

const HALF_10_000: Pair = equal("10000-half", 10_000, 5_000);

/// Every pair of sets that any cell asks for.
pub fn pairs(plans: &[Plan]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for plan in plans {
        if let What::Combine(_, pair, _) = plan.what
            && !pairs.contains(&pair)
        {
            pairs.push(pair);
        }
    }
    pairs
}

/// All cells, those of the same part one after the other.
pub fn all() -> Vec<Plan> {
    let parts = [deliver, memory, probe, equals, algebra, merged, fanout];
    parts.iter().flat_map(|part| part()).collect()
}

fn deliver() -> Vec<Plan> {
    let contestants = [Keyway, KeywayCold, RedisRs, RedisRsTrim, Rb, RedisBenchmark];
    let of = |work, keep| {
        let what = What::Deliver { keep };
        on_both(Section::Deliver, work, what, &contestants)
    };
    let mut plans = of(DELIVER, 1_000);
    plans.extend(of(DELIVER_FULL, 100));
    for plan in &mut plans {
        plan.commands_per_call = 100_000;
    }
    plans
}

fn memory() -> Vec<Plan> {
    let of = |work, owners: u32| Plan {
        section: Section::Memory,
        work,
        runtime: Runtime::CurrentThread,
        what: What::DeliverLazily {
            owners: owners.into(),
        },
        commands_per_call: owners,
        contestants: vec![Keyway],
    };
    vec![of(TO_100_000, 100_000), of(TO_A_MILLION, 1_000_000)]
}

fn probe() -> Vec<Plan> {
    let of = |work, form, contestants: &[Contestant]| {
        let what = What::Combine(Combination::Intersect, SMALL_AND_LARGE, form);
        on_both(Section::Probe, work, what, contestants)
    };
    let all = [Keyway, RedisRsFetch, RedisRsProbe, RedisRsSmall, Rb];
    let mut plans = of(PROBE, Form::Members, &all);
    let by_hand = [Keyway, RedisRsProbe];
    plans.extend(of("count of 1,000 with 1,000,000", Form::Count, &by_hand));
    plans.extend(of("10 of 1,000 with 1,000,000", Form::Limit(10), &by_hand));
    plans
}

fn equals() -> Vec<Plan> {
    let pairs = [
        (
            "intersect 1,000 with 1,000, half common",
            equal("1000-half", 1_000, 500),
        ),
        (
            "intersect 1,000 with 1,000, disjoint",
            equal("1000-none", 1_000, 0),
        ),
        ("intersect 10,000 with 10,000, half common", HALF_10_000),
        (
            "intersect 10,000 with 10,000, disjoint",
            equal("10000-none", 10_000, 0),
        ),
        (
            "intersect 100,000 with 100,000, half common",
            equal("100000-half", 100_000, 50_000),
        ),
        (
            "intersect 100,000 with 100,000, disjoint",
            equal("100000-none", 100_000, 0),
        ),
    ];
    let of = |(work, pair)| {
        let what = What::Combine(Combination::Intersect, pair, Form::Members);
        on_both(
            Section::Equal,
            work,
            what,
            &[Keyway, RedisRsFetch, RedisRsProbe],
        )
    };
    pairs.into_iter().flat_map(of).collect()
}

fn algebra() -> Vec<Plan> {
    let of = |work, how, pair| {
        let what = What::Combine(how, pair, Form::Members);
        on_both(Section::Algebra, work, what, &[Keyway, RedisRsFetch])
    };
    let mut plans = of(
        "union of 10,000 and 10,000",
        Combination::Union,
        HALF_10_000,
    );
    plans.extend(of(
        "10,000 without 10,000",
        Combination::Difference,
        HALF_10_000,
    ));
    plans.extend(of(
        "1,000 without 1,000,000",
        Combination::Difference,
        SMALL_AND_LARGE,
    ));
    plans
}

fn merged() -> Vec<Plan> {
    let of = |work, skewed| {
        let what = What::Merged { skewed };
        on_both(Section::Merged, work, what, &[Keyway, RedisRs, Rb])
    };
    let mut plans = of(MERGED, false);
    plans.extend(of("newest 50 of 500 authors, all by one of them", true));
    plans
}

fn fanout() -> Vec<Plan> {
    on_both(
        Section::Fanout,
        "100 GETs in one call",
        What::Values,
        &[Keyway, RedisRs, Rb],
    )
}

fn on_both(
    section: Section,
    work: &'static str,
    what: What,
    contestants: &[Contestant],
) -> Vec<Plan> {
    let on = |runtime| Plan {
        section,
        work,
        runtime,
        what,
        commands_per_call: 1,
        contestants: contestants.to_vec(),
    };
    RUNTIMES.map(on).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_part_has_cells_and_every_cell_has_us_in_it() {
        let plans = all();
        let parts: HashSet<Section> = plans.iter().map(|plan| plan.section).collect();
        assert_eq!(parts, PARTS.into_iter().collect());
        assert!(plans.iter().all(|plan| plan.contestants[0] == Keyway));
        let works: HashSet<_> = plans.iter().map(|plan| (plan.work, plan.runtime)).collect();
        assert_eq!(works.len(), plans.len());
    }

    #[test]
    fn pairs_of_one_name_are_one_pair() {
        let pairs = pairs(&all());
        let names: HashSet<_> = pairs.iter().map(|pair| pair.name).collect();
        assert_eq!((pairs.len(), names.len()), (7, 7));
    }
}
