//! Figures on rings of points, by the exact lengths of their arcs.

use super::{Figure, around, deviation, largest, mean, servers};
use keyway::simulation::study::Study;

const GRYSKI: &str =
    "D. Gryski, Consistent Hashing: Algorithmic Tradeoffs, after arXiv:1406.2294, table 1";
const MULTI_PROBE: &str = "arXiv:1505.00062";
const LOCAL_RENDEZVOUS: &str = "arXiv:2512.23434, abstract: one run of each";

/// A server's part of all hashes, over the mean.
fn loads(study: &str, server_count: usize, seed: u64) -> Vec<f64> {
    let built = study
        .parse::<Study>()
        .and_then(|study| study.build(&servers(server_count, seed)));
    let shares = built.ok().and_then(|built| built.shares());
    let scaled = shares.unwrap_or_default().into_iter();
    scaled.map(|share| share * server_count as f64).collect()
}

/// Of several rings together.
fn loads_of(study: &str, server_count: usize, rings: u64) -> Vec<f64> {
    (0..rings)
        .flat_map(|seed| loads(study, server_count, seed))
        .collect()
}

/// The largest load of each of several rings.
fn peaks(study: &str, server_count: usize, rings: u64) -> Vec<f64> {
    (0..rings)
        .map(|seed| largest(&loads(study, server_count, seed)))
        .collect()
}

/// What 99 % are between.
fn interval_99(mut loads: Vec<f64>) -> (f64, f64) {
    loads.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| loads[(part * loads.len() as f64) as usize];
    (at(0.005), at(0.995))
}

/// Tolerance of a deviation, as a part of it: four standard errors of one that was found from so many loads.
fn four_errors(loads: usize) -> f64 {
    4.0 / (2.0 * loads as f64).sqrt()
}

/// The ends of the interval have a standard error of 0.005, which is the root of 0.005 * 0.995 / 5,000 over the density there, 0.145 / 0.1 of a
/// load; and they are published with two digits.
pub(super) fn points_100() -> Figure {
    let loads = loads_of("ring/100", 1_000, 5);
    let tolerance = 0.1 * four_errors(loads.len());
    let deviation = deviation(&loads);
    let (low, high) = interval_99(loads);
    Figure::new("ring, 100 points a server", GRYSKI)
        .value("deviation", "about 10 %", deviation, around(0.1, tolerance))
        .value("99 % of loads, from", "0.76", low, around(0.76, 0.025))
        .value("to", "1.28", high, around(1.28, 0.025))
}

/// As above, a third of the width. Theory (a gamma distribution) has 0.921 to 1.083: the published 1.09 is rounded up.
pub(super) fn points_1000() -> Figure {
    let loads = loads_of("ring/1000", 250, 2);
    let tolerance = 0.032 * four_errors(loads.len());
    let deviation = deviation(&loads);
    let (low, high) = interval_99(loads);
    Figure::new("ring, 1,000 points a server", GRYSKI)
        .value(
            "deviation",
            "about 3.2 %",
            deviation,
            around(0.032, tolerance),
        )
        .value("99 % of loads, from", "0.92", low, around(0.92, 0.02))
        .value("to", "1.09", high, around(1.09, 0.02))
}

pub(super) fn one_over_the_root_of_points() -> Figure {
    let mut figure = Figure::new("ring, 1/sqrt(points)", "theory");
    for (study, published, expected) in [
        ("ring/40", "15.8 %", 0.158),
        ("ring/128", "8.8 %", 0.088),
        ("ring/160", "7.9 %", 0.079),
    ] {
        let loads = loads_of(study, 500, 4);
        let tolerance = expected * four_errors(loads.len());
        figure = figure.value(
            study,
            published,
            deviation(&loads),
            around(expected, tolerance),
        );
    }
    figure
}

/// Five percent are what 400 points have.
pub(super) fn points_200_are_not_five_percent() -> Figure {
    let (found, claimed) = (1.0 / 200_f64.sqrt(), 0.05);
    let loads = loads_of("ring/200", 500, 4);
    let tolerance = four_errors(loads.len());
    Figure::new(
        "ring, 200 points a server",
        "pages that say 5 %, which is wrong",
    )
    .value(
        "deviation",
        "5 % (wrong: 7.1 %)",
        deviation(&loads),
        around(found, found * tolerance),
    )
    .value(
        "400 points",
        "5 %",
        deviation(&loads_of("ring/400", 250, 4)),
        around(claimed, claimed * 2_f64.sqrt() * tolerance),
    )
}

/// The largest of `n` arcs of a circle is 1 + 1/2 + ... + 1/n times the mean, on average, which is ln(n) + 0.58; its deviation is nearly
/// pi/sqrt(6).
pub(super) fn one_point() -> Figure {
    let mut figure = Figure::new(
        "ring, 1 point a server",
        "arXiv:2512.23434: peak is of the order of ln(n)",
    );
    for (count, rings, published) in [
        (10_usize, 200_u64, "ln(n) + 0.58 = 2.93"),
        (100, 100, "5.19"),
        (1_000, 50, "7.49"),
    ] {
        let expected: f64 = (1..=count).map(|i| 1.0 / i as f64).sum();
        let peak = mean(&peaks("ring/1", count, rings));
        let tolerance = 4.0 * 1.283 / (rings as f64).sqrt();
        figure = figure.value(
            format!("peak of {count} servers"),
            published,
            peak,
            around(expected, tolerance),
        );
    }
    figure
}

/// The shares of 8 servers sum to 1, which takes an eighth of the variance: 1/sqrt(160 * 8) * sqrt(7/8) = 2.6 %.
pub(super) fn two_levels() -> Figure {
    let (nodes, servers) = (64, 8);
    let loads: Vec<f64> = (0..200)
        .flat_map(|seed| {
            let nodes = loads("ring/160", nodes, seed);
            let server = |nodes: &[f64]| mean(nodes);
            let loads: Vec<f64> = nodes.chunks(nodes.len() / servers).map(server).collect();
            loads
        })
        .collect();
    let expected = (7.0_f64 / 8.0 / (160.0 * 8.0)).sqrt();
    let tolerance = expected * four_errors(loads.len());
    Figure::new("64 nodes of 160 points on 8 servers", "arithmetic").value(
        "deviation of servers",
        "2.8 %, slightly less",
        deviation(&loads),
        around(expected, tolerance),
    )
}

/// With very many servers the peak tends to k / (k - 1), which for 21 is 1.05. How far that of one ring of 1,000 is off has been measured, over 200
/// of them: deviations of 0.028, 0.0125 and 0.0054. This is the mean of 40.
pub(super) fn probes_21() -> Figure {
    let mut figure = Figure::new("multi-probe, peak 1 + e with 1 + 1/e probes", MULTI_PROBE);
    for (study, published, expected, deviation) in [
        ("multi-probe/3", "1.5", 1.5, 0.028),
        ("multi-probe/6", "1.2", 1.2, 0.0125),
        ("multi-probe/21", "1.05", 1.05, 0.0054),
    ] {
        let peak = mean(&peaks(study, 1_000, 40));
        let tolerance = 4.0 * deviation / 40_f64.sqrt();
        figure = figure.value(study, published, peak, around(expected, tolerance));
    }
    figure
}

/// 3,224 points for 100 servers. The largest of 100 normal values is 2.51 deviations above the mean, give or take 0.43: 1.044, so that 700 is on
/// the safe side of 1.05. A tenth of the points makes the distance larger by the root of ten.
pub(super) fn points_700_ln_n() -> Figure {
    let mut figure = Figure::new(
        "ring of 100 servers, 700 ln(n) points for the same",
        MULTI_PROBE,
    );
    for (study, what, published, points) in [
        ("ring/3224", "peak", "1.05 (theory: 1.044)", 3_224.0_f64),
        (
            "ring/322",
            "with a tenth of the points",
            "more (theory: 1.14)",
            322.0,
        ),
    ] {
        let tolerance = 4.0 * 0.43 / (points * 6.0).sqrt();
        let expected = 1.0 + 2.51 / points.sqrt();
        let peak = mean(&peaks(study, 100, 6));
        figure = figure.value(what, published, peak, around(expected, tolerance));
    }
    figure
}

/// The paper has one run of 50 million keys, 10,000 a server, whose chance adds a deviation of 1 % to the ring's. The largest of 5,000 loads
/// differs from run to run by a deviation of 1.28 / sqrt(2 ln 5000) = 0.31 deviations of a load, and there is one run on either side: three of
/// both together are 1.3 deviations of a load. The deviations are known better, and by theory too: 1/sqrt(256) for the ring, and that over
/// the root of 8 for 8 candidates.
pub(super) fn local_rendezvous() -> Figure {
    let mut figure = Figure::new("5,000 servers, 256 points each", LOCAL_RENDEZVOUS);
    for (study, what, published, expected, theory) in [
        ("ring/256", "ring", "1.2785", 1.2785, 1.0 / 16.0),
        (
            "lrh/256/8",
            "8 candidates",
            "1.0947",
            1.0947,
            1.0 / 16.0 / 8_f64.sqrt(),
        ),
        (
            "multi-probe/8/256",
            "8 probes",
            "1.0697",
            1.0697,
            probes_deviation(8.0) / 16.0,
        ),
    ] {
        let loads = loads(study, 5_000, 1);
        let found = deviation(&loads);
        let loads = with_keys(&loads, 10_000.0);
        figure = figure
            .value(
                format!("{what}, peak with 50 million keys"),
                published,
                largest(&loads),
                around(expected, 1.3 * deviation(&loads)),
            )
            .value(
                format!("{what}, deviation of the hash space"),
                "theory",
                found,
                around(theory, theory * four_errors(5_000)),
            );
    }
    figure
}

/// Of one point's load with `k` probes: with an arc of length `x` over the mean, which is exponential, it is `(1 - exp(-(k - 1) x)) k / (k - 1)`.
fn probes_deviation(k: f64) -> f64 {
    let scale = k / (k - 1.0);
    // The mean of exp(-a x) is 1 / (1 + a).
    let variance = 1.0 / (2.0 * k - 1.0) - 1.0 / (k * k);
    scale * variance.sqrt()
}

/// What so many keys a server make of these loads: a normal value of the right variance, by the sum of twelve even ones.
fn with_keys(loads: &[f64], keys: f64) -> Vec<f64> {
    let mut random = SplitMix(251_223_434);
    let noisy = loads.iter().map(|load| {
        let sum: f64 = (0..12).map(|_| random.unit()).sum();
        load + (sum - 6.0) * (load / keys).sqrt()
    });
    noisy.collect()
}

struct SplitMix(u64);

impl SplitMix {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as f64 / u64::MAX as f64
    }
}
