//! Medians and spreads over rounds. Rounds of two peers are compared in pairs, as a machine's mood changes from round to round.

use crate::results::{Column, Round};

/// One figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// None of no values, and when one is not a finite number: half a truth is none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        if sorted.iter().any(|value| !value.is_finite()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Spread { median, min, max })
    }

    /// Both sides of `value` were seen: another run may end on the other one.
    pub fn straddles(&self, value: f64) -> bool {
        self.min < value && value < self.max
    }
}

/// One of the figures of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    CallsPerSecond,
    CpuUs,
    P50Us,
    P99Us,
    P999Us,
    BigBytesPerSecond,
    Bytes,
    RoundTrips,
    PeakKib,
}

impl Figure {
    pub fn in_round(self, round: &Round) -> f64 {
        match self {
            Figure::CallsPerSecond => round.calls_per_second,
            Figure::CpuUs => round.cpu_us,
            Figure::P50Us => round.p50_us,
            Figure::P99Us => round.p99_us,
            Figure::P999Us => round.p999_us,
            Figure::BigBytesPerSecond => round.big_bytes_per_second,
            Figure::Bytes => round.bytes,
            Figure::RoundTrips => round.round_trips,
            Figure::PeakKib => round.peak_kib,
        }
    }

    /// None for a peer that was refused, and for a figure that it does not report (0 in every round).
    pub fn of(self, column: &Column) -> Option<Spread> {
        Spread::of(column.rounds.iter().map(|round| self.in_round(round)))
            .filter(|spread| spread.max > 0.0)
    }

    /// Ours divided by theirs, round by round; rounds that only one of them has are left out.
    pub fn ratio(self, ours: &Column, theirs: &Column) -> Option<Spread> {
        self.of(ours)?;
        let pairs = ours.rounds.iter().zip(&theirs.rounds);
        Spread::of(pairs.map(|(ours, theirs)| self.in_round(ours) / self.in_round(theirs)))
    }

    /// Is this ratio, ours to theirs, worse than equal?
    pub fn is_loss(self, ratio: f64) -> bool {
        match self {
            Figure::CallsPerSecond | Figure::BigBytesPerSecond => ratio < 1.0,
            _ => ratio > 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(cpus_us: &[f64]) -> Column {
        let round = |&cpu_us: &f64| Round {
            calls_per_second: 1e6 / cpu_us,
            cpu_us,
            p50_us: 2.0 * cpu_us,
            p99_us: 3.0 * cpu_us,
            p999_us: 0.0,
            ..Round::default()
        };
        Column {
            peer: "a peer".to_owned(),
            rounds: cpus_us.iter().map(round).collect(),
            sockets: 2,
            refused: None,
        }
    }

    #[test]
    fn a_median_is_the_middle_value_or_between_the_two_middle_ones() {
        let odd = Spread::of([3.0, 1.0, 10.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (3.0, 1.0, 10.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 10.0]).unwrap().median, 3.0);
        assert_eq!(Spread::of([7.0]).unwrap().median, 7.0);
    }

    #[test]
    fn nothing_comes_of_no_values_or_of_one_that_is_no_number() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, f64::NAN]), None);
        assert_eq!(Spread::of([1.0, f64::INFINITY]), None);
    }

    #[test]
    fn half_of_the_values_are_on_either_side_of_the_median_whatever_their_order() {
        let mut state = 42_u64;
        for count in 1..60 {
            let values: Vec<f64> = (0..count)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 40) as f64
                })
                .collect();
            let spread = Spread::of(values.iter().copied()).unwrap();
            let below = values
                .iter()
                .filter(|&&value| value < spread.median)
                .count();
            let above = values
                .iter()
                .filter(|&&value| value > spread.median)
                .count();
            assert!(below <= count / 2 && above <= count / 2);
            assert!(spread.min <= spread.median && spread.median <= spread.max);
            assert_eq!(Spread::of(values.into_iter().rev()), Some(spread));
        }
    }

    #[test]
    fn a_ratio_is_the_median_of_pairs_not_a_ratio_of_medians() {
        // The machine was slow in another round for each of them: medians are 2 and 2, but pairs are 1/4, 2/1 and 4/2.
        let ratio = Figure::CpuUs.ratio(&column(&[1.0, 2.0, 4.0]), &column(&[4.0, 1.0, 2.0]));
        let expected = Spread {
            median: 2.0,
            min: 0.25,
            max: 2.0,
        };
        assert_eq!(ratio, Some(expected));
    }

    #[test]
    fn a_peer_without_a_partner_round_by_round_has_no_ratio() {
        let measured = column(&[1.0, 2.0]);
        assert_eq!(Figure::CpuUs.ratio(&measured, &column(&[])), None);
        assert_eq!(Figure::P999Us.ratio(&measured, &measured), None);
        assert_eq!(Figure::P999Us.of(&measured), None);
        let one = Figure::CpuUs.ratio(&measured, &column(&[2.0])).unwrap();
        assert_eq!((one.min, one.max), (0.5, 0.5));
    }

    #[test]
    fn more_throughput_is_a_gain_and_more_of_anything_else_a_loss() {
        assert!(Figure::CallsPerSecond.is_loss(0.99) && !Figure::CallsPerSecond.is_loss(1.01));
        assert!(Figure::CpuUs.is_loss(1.01) && !Figure::CpuUs.is_loss(0.99));
        assert!(!Figure::CpuUs.is_loss(1.0) && !Figure::CallsPerSecond.is_loss(1.0));
    }
}
