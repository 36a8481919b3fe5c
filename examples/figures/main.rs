//! The figures that papers, blogs and proxies' manuals publish on consistent hashing, found again: `cargo run --release --example figures` prints
//! them side by side, and `cargo test` checks each. Needs no server.
//!
//! Where a figure is about the space of hashes, it is computed from that (the lengths of arcs, the entries of a table) and not from a sample of
//! keys. Tolerances follow from how many random things were averaged: four standard errors, where no other reason is given.

#![expect(clippy::print_stdout, reason = "an example prints what it did")]

mod moves;
mod rings;
mod tables;

use keyway::placement::NodeSpec;
use std::fmt::Write;
use std::ops::RangeInclusive;

/// What was published, and what comes out here.
pub(crate) struct Figure {
    /// What it is about.
    about: &'static str,
    /// Who says so.
    source: &'static str,
    values: Vec<Value>,
}

struct Value {
    what: String,
    /// As it was published.
    published: &'static str,
    ours: f64,
    /// What `ours` has to be in.
    accepted: RangeInclusive<f64>,
}

impl Figure {
    fn new(about: &'static str, source: &'static str) -> Figure {
        Figure {
            about,
            source,
            values: Vec::new(),
        }
    }

    fn value(
        mut self,
        what: impl Into<String>,
        published: &'static str,
        ours: f64,
        accepted: RangeInclusive<f64>,
    ) -> Figure {
        self.values.push(Value {
            what: what.into(),
            published,
            ours,
            accepted,
        });
        self
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Figure> {
    let figures = [
        rings::points_100,
        rings::points_1000,
        rings::one_over_the_root_of_points,
        rings::points_200_are_not_five_percent,
        rings::one_point,
        rings::two_levels,
        rings::probes_21,
        rings::points_700_ln_n,
        rings::local_rendezvous,
        tables::jump_is_even,
        tables::maglev_is_even,
        tables::maglev_is_not_minimal,
        tables::maglev_moves_twice_what_a_ring_moves,
        moves::modulo,
        moves::jump,
        moves::rendezvous,
        moves::anchor,
        moves::bounded_loads,
        moves::jedis,
        moves::go_redis,
        moves::presharding,
    ];
    figures.into_iter().map(|figure| figure()).collect()
}

/// As a table in Markdown.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text =
        "| figure | published | ours | accepted | source |\n|:--|:--|--:|:--|:--|\n".to_owned();
    for figure in figures {
        for (value, number) in figure.values.iter().zip(0..) {
            let source = if number == 0 { figure.source } else { "same" };
            let (least, most) = (value.accepted.start(), value.accepted.end());
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {}, {} | {} | {} | {} to {} | {source} |",
                figure.about,
                value.what,
                value.published,
                digits(value.ours),
                digits(*least),
                digits(*most)
            );
        }
    }
    text
}

fn digits(value: f64) -> String {
    match value {
        _ if value.fract() == 0.0 => format!("{value}"),
        _ if value.abs() < 1e-4 => format!("{value:.2e}"),
        _ if value.abs() < 10.0 => format!("{value:.4}"),
        _ => format!("{value:.1}"),
    }
}

fn main() {
    print!("{}", table(&all()));
}

/// Servers with names that no other seed gives.
fn servers(count: usize, seed: u64) -> Vec<NodeSpec> {
    (0..count)
        .map(|server| NodeSpec::new(format!("{seed}:{server}")))
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Around a known mean of 1.
fn deviation(loads: &[f64]) -> f64 {
    let squares: f64 = loads.iter().map(|load| (load - 1.0).powi(2)).sum();
    (squares / loads.len() as f64).sqrt()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Around a published value.
fn around(value: f64, tolerance: f64) -> RangeInclusive<f64> {
    value - tolerance..=value + tolerance
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(figure: Figure) {
        assert!(!figure.values.is_empty());
        for value in &figure.values {
            let Value {
                what,
                published,
                ours,
                accepted,
            } = value;
            assert!(
                accepted.contains(ours),
                "{}, {what}: published {published}, ours {ours}, accepted {accepted:?} ({})",
                figure.about,
                figure.source
            );
        }
    }

    #[test]
    fn a_ring_of_100_points_has_a_deviation_of_ten_percent() {
        holds(rings::points_100());
    }

    #[test]
    fn a_ring_of_1000_points_has_a_deviation_of_three_percent() {
        holds(rings::points_1000());
    }

    #[test]
    fn a_rings_deviation_is_one_over_the_root_of_its_points() {
        holds(rings::one_over_the_root_of_points());
    }

    #[test]
    fn a_ring_of_200_points_does_not_have_a_deviation_of_five_percent() {
        holds(rings::points_200_are_not_five_percent());
    }

    #[test]
    fn a_ring_of_one_point_has_a_peak_of_the_logarithm_of_its_servers() {
        holds(rings::one_point());
    }

    #[test]
    fn servers_with_several_nodes_are_more_even_than_nodes_by_the_root_of_their_number() {
        holds(rings::two_levels());
    }

    #[test]
    fn twenty_one_probes_have_a_peak_of_1_05() {
        holds(rings::probes_21());
    }

    #[test]
    fn a_ring_needs_700_ln_n_points_for_a_peak_of_1_05() {
        holds(rings::points_700_ln_n());
    }

    #[test]
    fn local_rendezvous_has_the_peaks_of_its_paper() {
        holds(rings::local_rendezvous());
    }

    #[test]
    fn jump_is_even_to_eight_digits() {
        holds(tables::jump_is_even());
    }

    #[test]
    fn maglev_with_100_entries_a_node_is_even_to_one_percent() {
        holds(tables::maglev_is_even());
    }

    #[test]
    fn maglev_moves_more_than_it_must() {
        holds(tables::maglev_is_not_minimal());
    }

    #[test]
    fn maglev_moves_twice_as_many_keys_as_a_ring() {
        holds(tables::maglev_moves_twice_what_a_ring_moves());
    }

    #[test]
    fn modulo_moves_n_of_n_plus_1() {
        holds(moves::modulo());
    }

    #[test]
    fn jump_moves_one_of_n_plus_1() {
        holds(moves::jump());
    }

    #[test]
    fn rendezvous_is_multinomial_and_moves_what_was_on_the_server_that_goes() {
        holds(moves::rendezvous());
    }

    #[test]
    fn anchor_moves_what_was_on_the_server_that_goes() {
        holds(moves::anchor());
    }

    #[test]
    fn bounded_loads_are_at_most_the_bound() {
        holds(moves::bounded_loads());
    }

    #[test]
    fn jediss_own_test_passes() {
        holds(moves::jedis());
    }

    #[test]
    fn go_rediss_own_test_passes() {
        holds(moves::go_redis());
    }

    #[test]
    fn presharding_moves_10_of_64_nodes_and_hashes_no_key_anew() {
        holds(moves::presharding());
    }

    #[test]
    fn the_table_has_a_line_for_each_value() {
        let figure = Figure::new("a ring", "a paper").value("peak", "1.05", 1.0512, 1.0..=1.25);
        let figure = figure.value("deviation", "7.64e-9", 1e-8, 0.0..=1e-7);
        insta::assert_snapshot!(table(&[figure]), @r"
        | figure | published | ours | accepted | source |
        |:--|:--|--:|:--|:--|
        | a ring, peak | 1.05 | 1.0512 | 1 to 1.2500 | a paper |
        | a ring, deviation | 7.64e-9 | 1.00e-8 | 0 to 1.00e-7 | same |
        ");
    }
}
