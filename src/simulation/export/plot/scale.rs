//! From figures to places, with ticks at round numbers.

use crate::simulation::export::words::{UNKNOWN, count};

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    /// Ascending, all within the axis.
    pub(super) ticks: Vec<f64>,
}

impl Scale {
    /// From 0, or from less if something is less, to a little more than the largest.
    pub(super) fn linear(values: impl Iterator<Item = f64>, ticks_max: usize) -> Scale {
        let (low, high) = extent(values.chain([0.0]));
        Scale::between(low, high, ticks_max)
    }

    /// From somewhat below the smallest figure on: where only differences matter.
    pub(super) fn around(values: impl Iterator<Item = f64>, ticks_max: usize) -> Scale {
        let (low, high) = extent(values);
        Scale::between(low, high, ticks_max)
    }

    fn between(low: f64, high: f64, ticks_max: usize) -> Scale {
        // Something to divide by.
        let high = if high > low { high } else { low + 1.0 };
        let step = step(high - low, ticks_max.max(1));
        let first = (low / step).floor();
        let last = (high / step).ceil();
        let ticks = (0..=(last - first) as usize).map(|at| (first + at as f64) * step);
        Scale {
            low: first * step,
            high: last * step,
            is_log: false,
            ticks: ticks.collect(),
        }
    }

    /// From 0 to exactly `high`, the last tick being below it.
    pub(super) fn until(high: f64, ticks_max: usize) -> Scale {
        let high = if high.is_finite() && high > 0.0 {
            high
        } else {
            1.0
        };
        let mut scale = Scale::between(0.0, high, ticks_max);
        scale.high = high;
        scale.ticks.retain(|&tick| tick <= high);
        scale
    }

    /// Powers of two: every one within the figures, or every second, fourth ... as there is room for.
    pub(super) fn log2(values: impl Iterator<Item = f64>, ticks_max: usize) -> Scale {
        let (low, high) = extent(values.filter(|&value| value > 0.0));
        let (low, high) = (low.max(1.0), high.max(2.0));
        let powers: Vec<f64> = (0..63)
            .map(|power| (1_u64 << power) as f64)
            .filter(|power| (low..=high).contains(power))
            .collect();
        let every = powers.len().div_ceil(ticks_max.max(1)).max(1);
        Scale {
            // Room for the markers of the outermost points.
            low: low / 1.15,
            high: high * 1.15,
            is_log: true,
            ticks: powers.into_iter().step_by(every).collect(),
        }
    }

    /// From 0 at the beginning of the axis to 1 at its end; what is outside is at the nearer one.
    pub(super) fn part(&self, value: f64) -> f64 {
        let part = match self.is_log {
            // The same bits everywhere, unlike std's.
            true => libm::log2(value / self.low) / libm::log2(self.high / self.low),
            false => (value - self.low) / (self.high - self.low),
        };
        if part.is_finite() {
            part.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let ends = finite.fold(None, |ends: Option<(f64, f64)>, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    });
    ends.unwrap_or((0.0, 1.0))
}

/// The smallest of 1, 2 and 5 times a power of ten that makes no more than so many steps.
fn step(length: f64, steps_max: usize) -> f64 {
    let least = length / steps_max as f64;
    let mut power = 1.0;
    while power > least {
        power /= 10.0;
    }
    while power * 10.0 <= least {
        power *= 10.0;
    }
    let fits = [1.0, 2.0, 5.0].into_iter().map(|times| times * power);
    fits.into_iter()
        .find(|&step| step >= least)
        .unwrap_or(10.0 * power)
}

/// `0.05`, `1.5`, `12,000`, `1.2 M`: as short as tells neighbours apart.
pub(super) fn tick(number: f64) -> String {
    if !number.is_finite() {
        return UNKNOWN.to_owned();
    }
    let short = |number: f64| {
        let text = format!("{number:.4}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if text == "-0" {
            "0".to_owned()
        } else {
            text.to_owned()
        }
    };
    match number.abs() {
        ..1_000.0 => short(number),
        ..99_999.5 => count(number.abs().round() as u64),
        ..999_999.5 => format!("{} k", short(number / 1e3)),
        ..999_999_999.5 => format!("{} M", short(number / 1e6)),
        _ => format!("{} G", short(number / 1e9)),
    }
}

/// A unit of time that makes short ticks, and its seconds.
pub(super) fn time_unit(longest_s: f64) -> (&'static str, f64) {
    match longest_s {
        ..0.5 => ("milliseconds", 1e-3),
        ..180.0 => ("seconds", 1.0),
        ..10_800.0 => ("minutes", 60.0),
        ..259_200.0 => ("hours", 3_600.0),
        _ => ("days", 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_no_more_than_there_is_room_for() {
        for high in [0.000_31, 0.83, 1.0, 1.7, 999.0, 123_456_789.0] {
            for most in 1..12 {
                let scale = Scale::linear([high].into_iter(), most);
                assert!(scale.ticks.len() <= most + 1, "{high} {most}: {scale:?}");
                assert_eq!(scale.ticks[0], 0.0);
                assert!(scale.high >= high && scale.part(high) <= 1.0);
            }
        }
        assert_eq!(
            Scale::linear([0.83].into_iter(), 5)
                .ticks
                .iter()
                .map(|&t| tick(t))
                .collect::<Vec<_>>(),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
    }

    #[test]
    fn an_axis_without_figures_or_with_one_alone_is_an_axis_still() {
        for values in [vec![], vec![0.0], vec![f64::NAN], vec![5.0]] {
            let scale = Scale::around(values.iter().copied(), 4);
            assert!(scale.high > scale.low, "{values:?}");
            assert!(scale.part(f64::NAN) == 0.0 && scale.part(1e300) <= 1.0);
        }
        assert_eq!(Scale::until(0.0, 4).high, 1.0);
    }

    #[test]
    fn a_logarithmic_axis_has_powers_of_two() {
        let scale = Scale::log2([8.0, 1024.0].into_iter(), 4);
        assert_eq!(scale.ticks, [8.0, 32.0, 128.0, 512.0]);
        assert!((scale.part(1024.0 * 1.15) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(
            [0.0, 0.05, 1.5, 12_000.0, 250_000.0, 1_200_000.0, 3e9].map(tick),
            ["0", "0.05", "1.5", "12,000", "250 k", "1.2 M", "3 G"]
        );
    }
}
