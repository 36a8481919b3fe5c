//! How figures are written.

/// To three digits: 0.0123 as "0.012", 4.567 as "4.57", 1234.5 as "1,230".
pub fn three_digits(value: f64) -> String {
    if value <= 0.0 {
        return "0".to_owned();
    }
    let unit = 10_f64.powi(value.log10().floor() as i32 - 2);
    let rounded = (value / unit).round() * unit;
    // Of the rounded value: 99.96 is 100, and has three digits before the point.
    let before_point = rounded.log10().floor() as i32 + 1;
    let after_point = (3 - before_point).clamp(0, 3) as usize;
    thousands(&format!("{rounded:.after_point$}"))
}

/// Two places below ten, as the floors have.
pub fn ratio(value: f64) -> String {
    match value {
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => three_digits(value),
    }
}

/// 1234.5 ms as "1.23 s".
pub fn duration(ms: f64) -> String {
    match ms {
        ..0.9995 => format!("{} us", three_digits(1_000.0 * ms)),
        ..999.5 => format!("{} ms", three_digits(ms)),
        _ => format!("{} s", three_digits(ms / 1_000.0)),
    }
}

/// 131,588 bytes as "129 KiB".
pub fn bytes(bytes: i64) -> String {
    let bytes = bytes as f64;
    match bytes {
        ..1_023.5 => format!("{bytes} B"),
        ..1_048_064.0 => format!("{} KiB", three_digits(bytes / 1_024.0)),
        _ => format!("{} MiB", three_digits(bytes / 1_048_576.0)),
    }
}

/// 16384 as "16,384".
pub fn whole(value: u64) -> String {
    thousands(&value.to_string())
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
    fn a_figure_has_three_digits_and_its_unit() {
        let written = [
            (three_digits(0.0), "0"),
            (three_digits(0.0456), "0.046"),
            (three_digits(4.567), "4.57"),
            (three_digits(99.96), "100"),
            (three_digits(16_384.4), "16,400"),
            (ratio(0.296), "0.30"),
            (ratio(12.34), "12.3"),
            (ratio(1_234.0), "1,230"),
            (duration(0.000_4), "0.400 us"),
            (duration(0.9), "900 us"),
            (duration(12.34), "12.3 ms"),
            (duration(1_234.0), "1.23 s"),
            (bytes(64), "64 B"),
            (bytes(131_588), "129 KiB"),
            (bytes(117_440_512), "112 MiB"),
            (whole(16_384), "16,384"),
        ];
        for (text, expected) in written {
            assert_eq!(text, expected);
        }
    }
}
