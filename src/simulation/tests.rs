//! What theory says, and what must never change.

use super::report::{MovementReport, Report};
use super::*;
use crate::hash::crc32;

fn scenario(schemes: &[&str]) -> ScenarioBuilder {
    let builder = Scenario::builder()
        .keys(Keys::made(20_000))
        .repeats(4)
        .threads(2);
    schemes.iter().fold(builder, |builder, scheme| {
        builder.scheme(scheme.parse().unwrap())
    })
}

fn report(builder: ScenarioBuilder) -> Report {
    run(&builder.build().unwrap(), &mut uninterrupted).unwrap()
}

fn add(name: &str) -> Step {
    Step::Add(vec![Server::new(name)])
}

fn moved(report: &Report, scheme: usize, stage: usize) -> &MovementReport {
    report.schemes[scheme].stages[stage]
        .movement
        .as_ref()
        .unwrap()
}

fn near(value: f64, expected: f64, tolerance: f64) {
    assert!(
        (value - expected).abs() <= tolerance,
        "{value} is not {expected} within {tolerance}"
    );
}

#[test]
fn one_more_server_moves_what_theory_says() {
    let report = report(
        scenario(&["modulo", "jump", "rendezvous", "ketama@64"])
            .servers_made(5)
            .step(add("f")),
    );
    // Keys that keep their server by chance: hash % 30 must agree in % 5 and % 6, which 5 of 30 do.
    near(moved(&report, 0, 1).moved.mean, 5.0 / 6.0, 0.01);
    near(moved(&report, 1, 1).moved.mean, 1.0 / 6.0, 0.01);
    near(moved(&report, 2, 1).moved.mean, 1.0 / 6.0, 0.01);
    assert_eq!(moved(&report, 3, 1).nodes_moved, Some(10));
    near(moved(&report, 3, 1).moved.mean, 10.0 / 64.0, 0.01);
    for scheme in 0..4 {
        near(moved(&report, scheme, 1).minimum, 1.0 / 6.0, 1e-12);
    }
    assert!(moved(&report, 0, 1).violations > 10_000);
    for scheme in 1..4 {
        assert_eq!(moved(&report, scheme, 1).violations, 0);
        assert_eq!(
            moved(&report, scheme, 1).moved,
            moved(&report, scheme, 1).to_added
        );
    }
}

#[test]
fn the_report_is_the_same_for_any_number_of_threads_and_on_any_machine() {
    let json = |threads| {
        let builder = scenario(&["ketama@64", "ketama", "modulo", "rendezvous@16", "maglev"])
            .servers_made(5)
            .step(add("f"))
            .step(Step::Remove(vec!["b".to_owned()]))
            .step(Step::Kill(vec!["c".to_owned()]))
            .keys(
                Keys::made(150_000)
                    .popularity(Popularity::Zipf { exponent: 0.99 })
                    .value_bytes(ValueBytes::Lognormal {
                        median: 300,
                        sigma: 1.0,
                    }),
            )
            .sensitivity([16, 64])
            .threads(threads);
        serde_json::to_string(&report(builder)).unwrap()
    };
    let one = json(1);
    assert_eq!(one, json(2));
    assert_eq!(one, json(5));
    assert_eq!(format!("{:08x}", crc32(one.as_bytes())), "");
}
