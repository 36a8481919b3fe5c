//! Medians and spreads over rounds.

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// # Panics
    /// If there is no value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Spread {
            median,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        }
    }

    /// Round by round, `values` divided by `others`.
    pub fn of_ratios(values: &[f64], others: &[f64]) -> Spread {
        let pairs = values.iter().zip(others);
        Spread::of(pairs.map(|(value, other)| value / other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_value_or_between_the_two_middle_ones() {
        let odd = Spread::of([3.0, 1.0, 10.0]);
        assert_eq!((odd.median, odd.min, odd.max), (3.0, 1.0, 10.0));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 10.0]).median, 3.0);
    }

    #[test]
    fn a_ratio_is_the_median_of_pairs_not_a_ratio_of_medians() {
        // The machine was slow in another round for each of them: medians are 2 and 2, but pairs are 1/4, 2/1 and 4/2.
        let ratio = Spread::of_ratios(&[1.0, 2.0, 4.0], &[4.0, 1.0, 2.0]);
        assert_eq!((ratio.median, ratio.min, ratio.max), (2.0, 0.25, 2.0));
    }
}
