//! Where an axis begins and ends, and which ticks it has.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use std::ops::Range;

#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    pub is_log: bool,
    pub range: Range<f64>,
    pub ticks: Vec<f64>,
}

impl Scale {
    /// From 0 to a little above the largest value, with about four ticks.
    pub fn linear(values: impl Iterator<Item = f64>) -> Scale {
        let max = values.fold(f64::MIN_POSITIVE, f64::max);
        let decade = 10_f64.powf((max / 4.0).log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|step| step * decade);
        let step = steps
            .into_iter()
            .find(|step| max / step <= 4.0)
            .unwrap_or(max);
        Scale {
            is_log: false,
            range: 0.0..max * 1.04,
            ticks: (0..=4)
                .map(|at| f64::from(at) * step)
                .filter(|tick| *tick <= max)
                .collect(),
        }
    }

    /// Ticks at 1, 2 and 5 of each decade that the values touch.
    pub fn log(values: impl Iterator<Item = f64>) -> Scale {
        let positive: Vec<f64> = values.filter(|value| *value > 0.0).collect();
        let low = 0.85 * positive.iter().copied().fold(f64::MAX, f64::min);
        let high = 1.15 * positive.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let ticks = decades
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(decade)))
            .filter(|tick| (low..=high).contains(tick));
        Scale {
            is_log: true,
            ticks: ticks.collect(),
            range: low..high,
        }
    }

    /// Ticks where something was measured, and nowhere else.
    pub fn log_at(measured: &[u32]) -> Scale {
        let ticks: Vec<f64> = measured.iter().copied().map(f64::from).collect();
        let low = ticks.iter().copied().fold(f64::MAX, f64::min);
        let high = ticks.iter().copied().fold(low, f64::max);
        // Room for the markers of the outermost points.
        let margin = (high / low).powf(0.05).max(1.1);
        Scale {
            is_log: true,
            range: low / margin..high * margin,
            ticks,
        }
    }

    /// From 0 at the range's start to 1 at its end.
    pub fn share(&self, value: f64) -> f64 {
        let Range { start, end } = self.range;
        if self.is_log {
            (value / start).ln() / (end / start).ln()
        } else {
            (value - start) / (end - start)
        }
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        from + (self.share(*value) * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_scale_begins_at_0_and_holds_every_value() {
        let scale = Scale::linear([120_000.0, 769_000.0].into_iter());
        assert_eq!(scale.ticks, [0.0, 200_000.0, 400_000.0, 600_000.0]);
        assert!(scale.range.start == 0.0 && scale.range.contains(&769_000.0));
    }

    #[test]
    fn a_logarithmic_scale_has_ticks_at_1_2_and_5() {
        let scale = Scale::log([0.6, 11.0].into_iter());
        assert_eq!(scale.ticks, [1.0, 2.0, 5.0, 10.0]);
        assert!((scale.share(scale.range.end) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn an_axis_of_what_was_measured_has_a_tick_for_each_and_room_beside_them() {
        let scale = Scale::log_at(&[1, 64, 10_000]);
        assert_eq!(scale.ticks.len(), 3);
        assert!(scale.range.start < 1.0 && scale.range.end > 10_000.0);
    }
}
