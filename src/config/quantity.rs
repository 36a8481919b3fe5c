//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads `"500ms"`, `"1s"`, `"1.5s"`, `"2m"`, `"1h"`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let nanos_per_unit: u64 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let parts_per_unit = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u64 = fraction.parse().ok()?;
    let fraction_nanos =
        u128::from(nanos_per_unit) * u128::from(fraction) / u128::from(parts_per_unit);
    let nanos = whole
        .checked_mul(nanos_per_unit)?
        .checked_add(u64::try_from(fraction_nanos).ok()?)?;
    Some(Duration::from_nanos(nanos))
}

/// Prints a duration the way it is written in a file.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match (duration.subsec_nanos() % 1_000_000, millis) {
        (0, 0) => "0s".to_owned(),
        (0, millis) if millis % 3_600_000 == 0 => format!("{}h", millis / 3_600_000),
        (0, millis) if millis % 60_000 == 0 => format!("{}m", millis / 60_000),
        (0, millis) if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        (0, millis) => format!("{millis}ms"),
        _ => format!("{duration:?}"),
    }
}

const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// Reads `"64MiB"`, `"512 KiB"`; in bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let (_, bytes) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(bytes)
}

/// Prints a number of bytes the way it is written in a file.
pub(super) fn show_size(bytes: u64) -> String {
    SIZE_UNITS
        .into_iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(
            || "0B".to_owned(),
            |(name, unit)| format!("{}{name}", bytes / unit),
        )
}

fn split_unit(text: &str) -> Option<(&str, &str)> {
    let unit_at = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let (number, unit) = text.split_at(unit_at);
    (!number.is_empty()).then(|| (number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in [
            ("500ms", 500),
            ("1s", 1_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1 h", 3_600_000),
            ("0.25ms", 0),
        ] {
            assert_eq!(
                parse_duration(text).map(|d| d.as_millis()),
                Some(millis),
                "{text}"
            );
        }
        assert_eq!(parse_duration("0.25ms"), Some(Duration::from_micros(250)));
        for text in [
            "",
            "1",
            "s",
            "-1s",
            "1.s",
            ".5s",
            "1,5s",
            "1S",
            "1sec",
            "1s1s",
            "1e3s",
            "99999999999999h",
            "1.2.3s",
            "+1s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_read() {
        for text in ["500ms", "1s", "1500ms", "2m", "24h", "0s"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
    }

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1KiB", 1024),
            ("16GiB", 16 << 30),
            ("1000B", 1000),
            ("3 KiB", 3072),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(show_size(bytes), text.replace(' ', ""));
        }
        for text in [
            "64MB",
            "64",
            "MiB",
            "1.5MiB",
            "64mib",
            "-1B",
            "99999999999GiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
