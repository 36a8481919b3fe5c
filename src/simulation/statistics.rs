//! Means with confidence intervals, and quantiles. Sums are in the order given, so that every machine gets the same bits.

use super::report::{Estimate, Spread};

/// The mean of the repeats, with the 95 % interval by Student's t. 0 of nothing.
pub(super) fn estimate(values: &[f64]) -> Estimate {
    let count = values.len();
    if count == 0 {
        return Estimate::default();
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    if count == 1 {
        return Estimate { mean, spread: None };
    }
    let squares: f64 = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    let sd = (squares / (count - 1) as f64).sqrt();
    let half = student_975(count - 1) * sd / (count as f64).sqrt();
    Estimate {
        mean,
        spread: Some(Spread {
            sd,
            low: mean - half,
            high: mean + half,
        }),
    }
}

/// Standard deviation about the mean, of all there are (not an estimate for more).
pub(super) fn deviation(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    (squares / count).sqrt()
}

/// The ends of the shortest run of the sorted values that leaves at most half a percent of them out on either side. 0 of nothing.
pub(super) fn middle_99(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let left_out = values.len() / 200;
    match values.get(left_out..values.len() - left_out) {
        Some([low, .., high]) => (*low, *high),
        Some([one]) => (*one, *one),
        _ => (0.0, 0.0),
    }
}

/// The 97.5 % quantile of Student's t, so that 95 % lie between it and its negative.
fn student_975(degrees: usize) -> f64 {
    /// Of 1, 2, 3 ... degrees of freedom. Source: the table in every textbook, to six digits.
    const TABLE: [f64; 30] = [
        12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.30600, 2.26216, 2.22814,
        2.20099, 2.17881, 2.16037, 2.14479, 2.13145, 2.11991, 2.10982, 2.10092, 2.09302, 2.08596,
        2.07961, 2.07387, 2.06866, 2.06390, 2.05954, 2.05553, 2.05183, 2.04841, 2.04523, 2.04227,
    ];
    if let Some(quantile) = degrees.checked_sub(1).and_then(|index| TABLE.get(index)) {
        return *quantile;
    }
    // The expansion of Cornish and Fisher about the normal quantile; right to the fifth digit from here on.
    let z = 1.959_963_984_540_054_f64;
    let n = degrees as f64;
    let z2 = z * z;
    let (z3, z5, z7) = (z * z2, z * z2 * z2, z * z2 * z2 * z2);
    z + (z3 + z) / (4.0 * n)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n * n)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * n * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_interval_of_the_textbook() {
        assert_eq!(estimate(&[]), Estimate::default());
        assert_eq!(
            estimate(&[3.0]),
            Estimate {
                mean: 3.0,
                spread: None
            }
        );
        // Of 1 to 5: mean 3, sd 1.5811, t(4) 2.776: 3 -+ 1.963.
        let Estimate { mean, spread } = estimate(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        let Spread { sd, low, high } = spread.unwrap();
        assert_eq!(mean, 3.0);
        assert!((sd - 1.581_14).abs() < 1e-5);
        assert!(
            (low - 1.036_76).abs() < 1e-4 && (high - 4.963_24).abs() < 1e-4,
            "{low} {high}"
        );
    }

    #[test]
    fn quantiles_beyond_the_table_go_on_where_it_ends() {
        for (degrees, quantile) in [
            (31, 2.03951),
            (40, 2.02108),
            (60, 2.00030),
            (120, 1.97993),
            (1_000, 1.96234),
        ] {
            assert!(
                (student_975(degrees) - quantile).abs() < 1e-5,
                "{degrees}: {}",
                student_975(degrees)
            );
        }
    }

    #[test]
    fn one_in_two_hundred_is_left_out_on_either_side() {
        let values = |count: u32| (0..count).rev().map(f64::from).collect();
        assert_eq!(middle_99(values(0)), (0.0, 0.0));
        assert_eq!(middle_99(values(1)), (0.0, 0.0));
        assert_eq!(middle_99(values(199)), (0.0, 198.0));
        assert_eq!(middle_99(values(200)), (1.0, 198.0));
        assert_eq!(middle_99(values(1_000)), (5.0, 994.0));
    }
}
