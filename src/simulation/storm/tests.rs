use super::*;
use proptest::prelude::*;

#[track_caller]
fn near(found: f64, expected: f64, tolerance: f64) {
    let off = (found - expected).abs();
    assert!(
        off <= tolerance,
        "{found} is not within {tolerance} of {expected}"
    );
}

fn at(scheme: &StormScheme, at_s: f64) -> StormPoint {
    *scheme
        .points
        .iter()
        .rfind(|point| point.at_s <= at_s)
        .unwrap()
}

fn one(spec: &StormSpec, classes: &[Popularity], moved: f64) -> (StormReport, StormScheme) {
    let report = storm(
        spec,
        "step",
        classes,
        &[StormInput::even("s", moved, classes)],
    )
    .unwrap();
    let scheme = report.schemes[0].clone();
    (report, scheme)
}

#[test]
fn keys_that_are_all_alike_and_never_expire_come_back_one_by_one() {
    // 1,000 keys, each asked for once a second; half of them lost. Nothing else misses.
    let spec = StormSpec {
        requests_per_s: 1_000.0,
        ttl_s: f64::INFINITY,
        database_latency_ms: 0.0,
        minutes: 1.0,
        ..StormSpec::default()
    };
    let (report, scheme) = one(&spec, &[Popularity::new(1_000, 1.0)], 0.5);
    assert_eq!(report.hit_rate_before, 1.0);
    near(scheme.hit_rate_min, 0.5, 1e-12);
    near(scheme.database_reads_per_s_peak, 500.0, 1e-9);
    // After 1 s, e^-1 of them have not been asked for.
    let point = at(&scheme, 5.0);
    let missing = libm::exp(1.0 - point.at_s) - libm::exp(-point.at_s);
    near(point.hit_rate, 1.0 - 0.5 * missing, 1e-12);
    // The mean of 0.5 e^-t over the second before t is 0.01 at ln(50 (e - 1)).
    near(scheme.recovered_s.unwrap(), 4.453_348, 1e-5);
    // Each of the 500 once.
    near(scheme.extra_reads, 500.0, 1e-6);
}

#[test]
fn with_a_ttl_the_steady_state_is_a_renewal_process_and_keys_that_came_back_together_expire_together()
 {
    // Asked for ten times a second, with a TTL of 10 s: 100 of 101 requests hit.
    let spec = StormSpec {
        requests_per_s: 10.0,
        ttl_s: 10.0,
        database_latency_ms: 0.0,
        minutes: 1.0,
        ..StormSpec::default()
    };
    let (report, scheme) = one(&spec, &[Popularity::new(1, 1.0)], 1.0);
    near(report.hit_rate_before, 100.0 / 101.0, 1e-12);
    assert_eq!(scheme.hit_rate_min, 0.0);
    near(at(&scheme, 9.0).hit_rate, 1.0, 1e-12);
    // 0.1 s after the first values expired, of keys that came back a tenth of a second after the step or later: Poisson(1; 1) = 0.368.
    let class = Class::new(&Popularity::new(1, 1.0), 1.0, &spec);
    near(class.wait(10.1), libm::exp(-1.0), 1e-6);
    // After 10.3 s a third wave cannot have begun: Poisson(0; 103) + Poisson(1; 3).
    near(class.wait(10.3), 3.0 * libm::exp(-3.0), 1e-12);
    // Long after, the steady state.
    near(class.wait(300_000.0), 1.0 / 101.0, 1e-6);
    // One read after 0.1 s, less 10 * 1/101 of a read in every second that goes by; the most is right after it.
    let (ahead, _) =
        (0..10_000)
            .map(|ms| f64::from(ms) / 1e3)
            .fold((0.0, 0.0), |(most, when), t: f64| {
                let ahead = 1.0 - libm::exp(-10.0 * t) - t * 10.0 / 101.0;
                if ahead > most {
                    (ahead, t)
                } else {
                    (most, when)
                }
            });
    near(scheme.extra_reads, ahead, 0.01);
}

#[test]
fn the_sum_that_stops_early_is_the_whole_sum() {
    for rate in [1e-4, 0.01, 0.3, 1.0, 7.0, 300.0, 1e5] {
        let spec = StormSpec {
            requests_per_s: rate,
            ttl_s: 10.0,
            database_latency_ms: 0.0,
            ..StormSpec::default()
        };
        let class = Class::new(&Popularity::new(1, 1.0), 1.0, &spec);
        for piece in 0..4_000 {
            let t_s = f64::from(piece) * 0.25 + if piece % 3 == 0 { 1.0 / rate } else { 0.0 };
            let most = libm::floor(t_s / 10.0) as u32;
            let all: f64 = (0..=most)
                .map(|j| poisson(f64::from(j), rate * (t_s - 10.0 * f64::from(j))))
                .sum();
            near(class.wait(t_s), all, 1e-12);
        }
    }
}

#[test]
fn moments_that_share_their_sums_are_as_each_by_itself() {
    for (rate, ttl_s, latency_ms) in [
        (0.01, 100.0, 0.0),
        (3.0, 1.0, 5.0),
        (0.7, 30.0, 2_500.0),
        (500.0, 600.0, 5.0),
        (2e4, 3_600.0, 0.0),
        (1.0, f64::INFINITY, 10.0),
    ] {
        let spec = StormSpec {
            requests_per_s: rate,
            ttl_s,
            database_latency_ms: latency_ms,
            minutes: f64::min(ttl_s / 6.0, 60.0),
            ..StormSpec::default()
        };
        let class = Class::new(&Popularity::new(1, 1.0), 1.0, &spec);
        let moments = moments(&spec);
        for (moment, course) in moments.iter().zip(class.course(&moments)) {
            let at_s = moment.at_s(class.period_s);
            let last = class.mean((at_s - 1.0).max(0.0), at_s);
            near(course.last.wait, last.wait, 1e-6);
            near(course.last.miss, last.miss, 1e-6);
            near(course.all.miss, class.mean(0.0, at_s).miss, 1e-6);
        }
    }
}

#[test]
fn a_slow_database_is_read_by_everyone_who_asks_meanwhile_unless_they_coalesce() {
    // One key, 1,000 requests a second, 100 ms: 1 request begins the read and 100 come while it is under way.
    let spec = StormSpec {
        requests_per_s: 1_000.0,
        ttl_s: f64::INFINITY,
        database_latency_ms: 100.0,
        minutes: 1.0,
        ..StormSpec::default()
    };
    let key = [Popularity::new(1, 1.0)];
    let (_, each) = one(&spec, &key, 1.0);
    near(each.extra_reads, 101.0, 1e-9);
    near(at(&each, 0.09).database_reads_per_s, 1_000.0, 1e-6);
    // 101 reads, and then no more.
    let after = at(&each, 0.5);
    near(after.database_reads_per_s, 101.0 / after.at_s, 1e-6);
    near(at(&each, 1.5).database_reads_per_s, 0.0, 1e-6);
    let (_, together) = one(
        &StormSpec {
            coalesce: true,
            ..spec
        },
        &key,
        1.0,
    );
    near(together.extra_reads, 1.0, 1e-9);
    near(
        at(&together, 0.09).database_reads_per_s,
        1.0 / at(&together, 0.09).at_s,
        1e-6,
    );
    // They all wait, either way.
    near(at(&together, 0.09).hit_rate, 0.0, 1e-6);
    assert_eq!(each.recovered_s, together.recovered_s);
    // 0.1 s and the wait of a millisecond: 0.01 s of it are in the second before 1.091.
    near(together.recovered_s.unwrap(), 1.091, 1e-6);
}

#[test]
fn reads_beyond_what_the_database_can_take_wait() {
    // 1,000 keys, each asked for once a second, all of them lost: 1,000 e^-t reads a second, of which 100 are taken.
    let spec = StormSpec {
        requests_per_s: 1_000.0,
        ttl_s: f64::INFINITY,
        database_latency_ms: 0.0,
        database_reads_per_s_max: Some(100.0),
        minutes: 1.0,
        ..StormSpec::default()
    };
    let (_, scheme) = one(&spec, &[Popularity::new(1_000, 1.0)], 1.0);
    let overload = scheme.overload.unwrap();
    // More come than go until ln 10 = 2.303 s: 1,000 - 100 - 230.3 wait then. All are read after 10 s, but for those that nobody has asked for.
    near(overload.waiting_max, 669.74, 1.0);
    near(overload.wait_s_max, 6.6974, 0.01);
    near(overload.until_s.unwrap(), 10.0, 0.01);

    // It takes all.
    let plenty = StormSpec {
        database_reads_per_s_max: Some(1_000.0),
        ..spec
    };
    let (_, scheme) = one(&plenty, &[Popularity::new(1_000, 1.0)], 1.0);
    assert_eq!(
        scheme.overload,
        Some(StormOverload {
            waiting_max: 0.0,
            wait_s_max: 0.0,
            until_s: Some(0.0)
        })
    );
    // Nobody said.
    let unknown = StormSpec {
        database_reads_per_s_max: None,
        ..spec
    };
    assert_eq!(
        one(&unknown, &[Popularity::new(1_000, 1.0)], 1.0)
            .1
            .overload,
        None
    );
    // It is too slow even without the step: 1,000 / 11 misses a second.
    let slow = StormSpec {
        database_reads_per_s_max: Some(80.0),
        ttl_s: 10.0,
        ..spec
    };
    let (_, scheme) = one(&slow, &[Popularity::new(1_000, 1.0)], 0.0);
    let overload = scheme.overload.unwrap();
    assert_eq!(overload.until_s, None);
    near(overload.waiting_max, (1_000.0 / 11.0 - 80.0) * 60.0, 1e-6);
}

#[test]
fn what_moves_with_its_data_makes_no_storm() {
    let classes = Popularity::zipf(100_000, 0.99);
    let (report, scheme) = one(&StormSpec::default(), &classes, 0.0);
    assert!(
        scheme
            .points
            .iter()
            .all(|point| point.hit_rate == report.hit_rate_before)
    );
    assert_eq!(
        (scheme.hit_rate_min, scheme.recovered_s, scheme.extra_reads),
        (report.hit_rate_before, Some(0.0), 0.0)
    );
}

#[test]
fn a_storm_that_outlasts_the_time_has_no_end() {
    let spec = StormSpec {
        requests_per_s: 1.0,
        minutes: 1.0,
        ..StormSpec::default()
    };
    let (_, scheme) = one(&spec, &[Popularity::new(100, 1.0)], 1.0);
    assert_eq!(scheme.recovered_s, None);
}

#[test]
fn classes_cover_all_ranks_once_and_agree_with_the_sum_over_keys() {
    let mut next = 0;
    for class in 0..400 {
        let ranks = Popularity::ranks_of(class);
        assert_eq!(ranks.start, next);
        for rank in [
            ranks.start,
            ranks.start + (ranks.end - ranks.start) / 2,
            ranks.end - 1,
        ] {
            assert_eq!(Popularity::class_of(rank), class, "rank {rank}");
        }
        next = ranks.end;
    }
    assert_eq!(Popularity::ranks_of(100_000), 0..0);
    assert!(Popularity::class_of(u64::MAX) < CLASSES_MAX);

    for exponent in [0.0, 0.5, 0.99, 1.0, 1.3] {
        let classes = Popularity::zipf(100_000, exponent);
        assert_eq!(classes.iter().map(|class| class.keys).sum::<u64>(), 100_000);
        let sum: f64 = (1..=100_000)
            .map(|rank| libm::pow(f64::from(rank), -exponent))
            .sum();
        let found: f64 = classes.iter().map(|class| class.requests).sum();
        near(found / sum, 1.0, 1e-6);

        // The hit rate by classes is that of a sum over all keys.
        let spec = StormSpec {
            ttl_s: 60.0,
            requests_per_s: 1_000.0,
            ..StormSpec::default()
        };
        let (report, _) = one(&spec, &classes, 0.5);
        let each: f64 = (1..=100_000)
            .map(|rank| {
                let share = libm::pow(f64::from(rank), -exponent) / sum;
                let rate = 1_000.0 * share;
                share * (60.0 * rate) / (1.0 + rate * 60.005)
            })
            .sum();
        near(report.hit_rate_before, each, 1e-4);
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let classes = [Popularity::new(10, 1.0)];
    let refused = |spec: StormSpec, classes: &[Popularity], moved: Vec<f64>| {
        let input = StormInput {
            scheme: "s".into(),
            moved,
        };
        storm(&spec, "step", classes, &[input])
            .unwrap_err()
            .to_string()
    };
    let fine = StormSpec::default();
    assert_eq!(
        refused(
            StormSpec {
                requests_per_s: f64::NAN,
                ..fine
            },
            &classes,
            vec![0.0]
        ),
        "requests_per_s: NaN: expected 0.001 to 1000000000000"
    );
    assert_eq!(
        refused(StormSpec { ttl_s: 1.0, ..fine }, &classes, vec![0.0]),
        "minutes: 60: expected at most 1.6666666666666667 here, 100 times the TTL of 1 s; a storm is over long before"
    );
    assert_eq!(
        refused(fine, &[], vec![]),
        "the classes' requests are 0 together; expected 1 to 4096 classes with a number of at least 0 each, and some above 0"
    );
    assert_eq!(
        refused(fine, &classes, vec![1.5]),
        "scheme s: a fraction of 1.5; expected a fraction, 0 to 1, for each of the 1 classes, and at most 1000 schemes"
    );
    assert!(refused(fine, &classes, vec![]).starts_with("scheme s: 0 fractions; expected"));
    let read: StormSpec = toml::from_str("ttl_s = inf\nrequests_per_s = 5e4").unwrap();
    assert_eq!(
        read,
        StormSpec {
            ttl_s: f64::INFINITY,
            requests_per_s: 5e4,
            ..fine
        }
    );
    assert!(toml::from_str::<StormSpec>("ttl = 5").is_err());
}

/// What happened to one key in one life.
#[derive(Clone, Copy)]
struct Life {
    /// The value is there from then until then.
    from_s: f64,
    until_s: f64,
}

/// Every request of every key, one after another, by its definition. A warm-up of five to six TTLs, so that keys do not begin together; then
/// the step at 0.
fn brute_force(
    spec: &StormSpec,
    keys: u32,
    exponent: f64,
    seed: u64,
    bins: &[(f64, f64)],
) -> (Vec<[f64; 3]>, f64) {
    let mut state = seed;
    let mut uniform = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let sum: f64 = (1..=keys)
        .map(|rank| libm::pow(f64::from(rank), -exponent))
        .sum();
    let end_s = bins[bins.len() - 1].1;
    // Requests, misses and reads by bin, and the most that reads until the end of a bin are ahead is left to the caller.
    let mut counts = vec![[0.0; 3]; bins.len()];
    let mut reads_after = 0.0;
    for rank in 1..=keys {
        let rate = spec.requests_per_s * libm::pow(f64::from(rank), -exponent) / sum;
        let moved = rank % 2 == 0;
        let mut life = Life {
            from_s: f64::INFINITY,
            until_s: f64::NEG_INFINITY,
        };
        let mut lost = !moved;
        let mut now_s = -spec.ttl_s * (5.0 + uniform());
        loop {
            now_s -= libm::log(1.0 - uniform()) / rate;
            if now_s >= end_s {
                break;
            }
            if now_s >= 0.0 && !lost {
                lost = true;
                life = Life {
                    from_s: f64::INFINITY,
                    until_s: f64::NEG_INFINITY,
                };
            }
            let is_hit = life.from_s <= now_s && now_s < life.until_s;
            let is_reading = now_s < life.from_s && life.until_s > f64::NEG_INFINITY;
            let mut reads = 0.0;
            if !is_hit {
                if !is_reading {
                    let from_s = now_s + spec.latency_s();
                    life = Life {
                        from_s,
                        until_s: from_s + spec.ttl_s,
                    };
                }
                reads = if is_reading && spec.coalesce {
                    0.0
                } else {
                    1.0
                };
            }
            if now_s >= 0.0 {
                reads_after += reads;
                if let Some(bin) = bins.iter().position(|bin| bin.0 <= now_s && now_s < bin.1) {
                    counts[bin][0] += 1.0;
                    counts[bin][1] += f64::from(u8::from(!is_hit));
                    counts[bin][2] += reads;
                }
            }
        }
    }
    (counts, reads_after)
}

#[test]
fn the_model_agrees_with_a_simulation_of_every_request() {
    // 400 keys, 2,000 requests a second, a TTL of 6 s: waves at 0, 6 and 12 s. Ten seeds, so some 5,000 to 40,000 requests a bin.
    let bins = [
        (0.0, 0.25),
        (0.25, 1.0),
        (1.0, 3.0),
        (3.0, 5.5),
        (6.0, 6.5),
        (6.5, 8.0),
        (8.0, 11.0),
        (12.0, 13.0),
        (13.0, 15.0),
    ];
    for (latency_ms, coalesce) in [(0.0, false), (50.0, false), (50.0, true)] {
        let spec = StormSpec {
            requests_per_s: 2_000.0,
            ttl_s: 6.0,
            database_latency_ms: latency_ms,
            coalesce,
            minutes: 0.25,
            ..StormSpec::default()
        };
        // One class per key: what is to be shown is the course, not the classes.
        let keys: Vec<Popularity> = (1..=400)
            .map(|rank| Popularity::new(1, libm::pow(f64::from(rank), -0.9)))
            .collect();
        let all: f64 = keys.iter().map(|key| key.requests).sum();
        let classes: Vec<Class> = keys
            .iter()
            .map(|key| Class::new(key, key.requests / all, &spec))
            .collect();
        let moved: Vec<(Class, f64)> = classes
            .iter()
            .copied()
            .skip(1)
            .step_by(2)
            .map(|class| (class, 1.0))
            .collect();

        let mut counts = vec![[0.0; 3]; bins.len()];
        let mut reads = 0.0;
        for seed in 0..10 {
            let (found, after) = brute_force(&spec, 400, 0.9, seed, &bins);
            reads += after / 10.0;
            for (all, one) in counts.iter_mut().zip(found) {
                for (all, one) in all.iter_mut().zip(one) {
                    *all += one / 10.0;
                }
            }
        }
        for (bin, [requests, misses, reads]) in bins.into_iter().zip(counts) {
            let now = |class: usize| moved[class].0.mean(bin.0, bin.1);
            let expected = point(&spec, &moved, bin.1, steady(&spec, &classes), now);
            // A hundredth in the hit rate; reads within 4 %, and 10 a second.
            near(1.0 - misses / requests, expected.hit_rate, 0.01);
            let found = reads / (bin.1 - bin.0);
            let reads_per_s = expected.database_reads_per_s;
            near(found, reads_per_s, 0.04 * reads_per_s + 10.0);
        }
        // All reads of 15 s: those of the steady state and those that the step adds.
        let expected = steady(&spec, &classes).database_reads_per_s * 15.0
            + ahead(&spec, &moved, 15.0, |class| moved[class].0.mean(0.0, 15.0));
        near(reads, expected, 0.02 * expected);
    }
}

proptest! {
    #[test]
    fn chances_are_chances_and_more_moved_keys_are_more_misses(
        rate in 0.001_f64..1e5, ttl_s in 1.0_f64..1e4, latency_ms in 0.0_f64..500.0, at in 0.0_f64..20.0, moved in 0.0_f64..0.9,
    ) {
        let spec = StormSpec { requests_per_s: rate, ttl_s, database_latency_ms: latency_ms, minutes: ttl_s / 20.0, ..StormSpec::default() };
        let class = Class::new(&Popularity::new(1, 1.0), 1.0, &spec);
        let t_s = at * ttl_s;
        let now = class.mean((t_s - 1.0).max(0.0), t_s);
        prop_assert!(0.0 <= now.wait && now.wait <= now.miss && now.miss <= 1.0, "{:?}", now);
        // Reads begin at the rate of requests times the chance that nobody has asked: M' = l w.
        let step_s = (0.01 / rate).min(ttl_s / 1e3);
        if t_s > step_s && (t_s - step_s) % class.period_s > 2.0 * step_s && t_s % class.period_s > 2.0 * step_s {
            let begun = class.until(t_s).begun - class.until(t_s - step_s).begun;
            let expected = rate * step_s * (class.wait(t_s) + 4.0 * class.wait(t_s - step_s / 2.0) + class.wait(t_s - step_s)) / 6.0;
            prop_assert!((begun - expected).abs() <= 1e-6 * expected + 1e-8, "{} begun, {} expected", begun, expected);
        }
        let classes = [Popularity::new(7, 1.0), Popularity::new(1_000, 0.5)];
        let (_, less) = one(&spec, &classes, moved);
        let (_, more) = one(&spec, &classes, moved + 0.1);
        prop_assert!(more.hit_rate_min <= less.hit_rate_min + 1e-12);
        prop_assert!(more.database_reads_per_s_peak >= less.database_reads_per_s_peak - 1e-9);
        prop_assert!(more.extra_reads >= less.extra_reads);
        prop_assert!(less.points.windows(2).all(|pair| pair[0].at_s < pair[1].at_s));
        prop_assert!(less.points[0].at_s == 0.0);
    }
}
