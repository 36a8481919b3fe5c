//! How figures are written: three digits are as many as a run repeats.

/// 412345.6 as "412,000", 1.2345 as "1.23". Figures of a run are not negative; what is, is noise around nothing.
pub fn three_digits(value: f64) -> String {
    if value <= 0.0 {
        return "0".to_owned();
    }
    // Of the rounded value: 99.96 is 100, and has three digits before the point.
    let rounded = rounded_to_three_digits(value);
    let before_point = rounded.log10().floor() as i32 + 1;
    let after_point = (3 - before_point).clamp(0, 3) as usize;
    thousands(&format!("{rounded:.after_point$}"))
}

/// A whole number: 10000 as "10,000".
pub fn whole(value: u32) -> String {
    thousands(&value.to_string())
}

/// A ratio to two places below ten, as 1.05 and 1.4 are what is asked for.
pub fn ratio(value: f64) -> String {
    match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => three_digits(value),
    }
}

/// A round number on an axis, in full and without zeros at its end: "0.5", "200,000".
pub fn tick(value: f64) -> String {
    let digits = format!("{value:.6}");
    thousands(digits.trim_end_matches('0').trim_end_matches('.'))
}

fn rounded_to_three_digits(value: f64) -> f64 {
    let unit = 10_f64.powi(value.log10().floor() as i32 - 2);
    (value / unit).round() * unit
}

fn thousands(digits: &str) -> String {
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.char_indices() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_has_three_digits_and_thousand_separators() {
        let written = [
            (0.0, "0"),
            (-3.0, "0"),
            (0.0456, "0.046"),
            (0.6789, "0.679"),
            (0.9999, "1.00"),
            (1.2345, "1.23"),
            (9.999, "10.0"),
            (99.96, "100"),
            (123.4, "123"),
            (999.9, "1,000"),
            (1_234.5, "1,230"),
            (412_345.6, "412,000"),
            (1_234_567.8, "1,230,000"),
        ];
        for (value, text) in written {
            assert_eq!(three_digits(value), text, "{value}");
        }
    }

    #[test]
    fn a_whole_number_keeps_all_of_its_digits() {
        assert_eq!(whole(7), "7");
        assert_eq!(whole(1_024), "1,024");
        assert_eq!(whole(1_234_567), "1,234,567");
    }

    #[test]
    fn a_tick_has_no_digit_too_many() {
        assert_eq!(tick(0.0), "0");
        assert_eq!(tick(3.0 * 0.1), "0.3");
        assert_eq!(tick(200_000.0), "200,000");
    }

    #[test]
    fn a_ratio_has_two_places_until_it_is_large() {
        assert_eq!(ratio(0.296), "0.30");
        assert_eq!(ratio(1.4), "1.40");
        assert_eq!(ratio(12.34), "12.3");
        assert_eq!(ratio(1_234.0), "1,230");
    }
}
