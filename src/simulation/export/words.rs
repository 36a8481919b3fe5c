//! Figures as people read them.

use crate::simulation::report::Estimate;

/// What stands where there is no figure.
pub(super) const UNKNOWN: &str = "?";

/// A fraction: `15.6 %`.
pub(super) fn percent(fraction: f64) -> String {
    match fraction.is_finite() {
        true if fraction == 0.0 => "0 %".to_owned(),
        true => format!("{} %", digits(fraction * 100.0, percent_decimals(fraction))),
        false => UNKNOWN.to_owned(),
    }
}

/// The mean and half the width of its confidence interval: `15.6 ± 0.2 %`; without repeats the mean alone.
pub(super) fn percents(estimate: &Estimate) -> String {
    let decimals = percent_decimals(estimate.mean);
    match half_width(estimate) {
        Some(half) if estimate.mean.is_finite() && (estimate.mean, half) != (0.0, 0.0) => format!(
            "{} ± {} %",
            digits(estimate.mean * 100.0, decimals),
            digits(half * 100.0, decimals)
        ),
        _ => percent(estimate.mean),
    }
}

/// A load, where 1 is right: `1.034`.
pub(super) fn ratio(number: f64) -> String {
    match number.is_finite() {
        true => digits(number, 3),
        false => UNKNOWN.to_owned(),
    }
}

/// `1.034 ± 0.002`.
pub(super) fn ratios(estimate: &Estimate) -> String {
    match half_width(estimate) {
        Some(half) if estimate.mean.is_finite() => {
            format!("{} ± {}", ratio(estimate.mean), digits(half, 3))
        }
        _ => ratio(estimate.mean),
    }
}

/// Tiny fractions keep a digit that says something.
fn percent_decimals(fraction: f64) -> usize {
    match fraction.abs() {
        0.0 => 1,
        ..0.000_01 => 5,
        ..0.001 => 3,
        ..0.01 => 2,
        _ => 1,
    }
}

fn half_width(estimate: &Estimate) -> Option<f64> {
    let spread = estimate.spread?;
    let half = (spread.high - spread.low) / 2.0;
    half.is_finite().then_some(half)
}

/// Without a minus in front of zero.
fn digits(number: f64, decimals: usize) -> String {
    let text = format!("{number:.decimals$}");
    match text.strip_prefix('-') {
        Some(positive) if positive.chars().all(|c| matches!(c, '0' | '.')) => positive.to_owned(),
        _ => text,
    }
}

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that need not be whole, rounded: `8,500`.
pub(super) fn rounded(number: f64) -> String {
    match number.is_finite() {
        // Saturates, and nothing here is negative.
        true => count(number.round() as u64),
        false => UNKNOWN.to_owned(),
    }
}

/// `1.5 GiB`.
pub(super) fn bytes(number: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    if !number.is_finite() {
        return UNKNOWN.to_owned();
    }
    let mut size = number;
    let mut unit = 0;
    // Rounded first, so that nothing is printed as 1024.0 KiB.
    while (size * 10.0).round() >= 10_240.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{size:.0} B"),
        _ => format!("{size:.1} {}", UNITS[unit]),
    }
}

/// `15 us`, `120 ms`, `3.2 s`, `7 min 1 s`, `2 h 5 min`, `3 d 4 h`.
pub(super) fn seconds(number: f64) -> String {
    if !number.is_finite() {
        return UNKNOWN.to_owned();
    }
    let whole = number.round() as u64;
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match number {
        0.0 => "0 s".to_owned(),
        ..0.000_009_95 => format!("{:.1} us", number * 1e6),
        ..0.000_999_5 => format!("{:.0} us", number * 1e6),
        ..0.01 => format!("{:.1} ms", number * 1e3),
        ..0.9995 => format!("{:.0} ms", number * 1e3),
        ..9.95 => format!("{number:.1} s"),
        ..119.5 => format!("{whole} s"),
        ..7_199.5 => two(whole / 60, "min", whole % 60, "s"),
        ..172_799.5 => two(whole / 3_600, "h", whole % 3_600 / 60, "min"),
        _ => two(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// As [`seconds`].
pub(super) fn milliseconds(number: f64) -> String {
    seconds(number / 1e3)
}

/// `1 server`, `2 servers`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn and(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A figure and its unit stay on one line: between them is a no-break space.
pub(super) fn glued(text: &str) -> String {
    const UNITS: [&str; 13] = [
        "%", "B", "KiB", "MiB", "GiB", "TiB", "PiB", "us", "ms", "s", "min", "h", "d",
    ];
    let mut glued = String::with_capacity(text.len() + 16);
    for (at, word) in text.split(' ').enumerate() {
        let unit = word.trim_end_matches([',', ';', '.', ')', ':']);
        if at > 0 {
            let is_unit = glued.ends_with(|c: char| c.is_ascii_digit()) && UNITS.contains(&unit);
            glued.push(if is_unit { '\u{a0}' } else { ' ' });
        }
        glued.push_str(word);
    }
    glued
}

/// A name from outside on one line: what a terminal would obey, XML forbids, or turns the text around is escaped.
pub(super) fn shown(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match is_unfit(c) {
            true => text.extend(c.escape_unicode()),
            false => text.push(c),
        }
    }
    text
}

/// What may do something to the text around it.
pub(super) fn is_unfit(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // The last two are no characters of XML.
    c.is_control() || turns || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// As [`shown`], and no wider than so many columns of a terminal: what is left out is `…`.
pub(super) fn short(name: &str, columns_max: usize) -> String {
    let text = shown(name);
    if columns(&text) <= columns_max {
        return text;
    }
    let mut width = 1;
    let mut kept = String::new();
    for c in text.chars() {
        width += char_columns(c);
        if width > columns_max {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// How wide a text is, in columns of a terminal: wide characters count twice.
pub(super) fn columns(text: &str) -> usize {
    text.chars().map(char_columns).sum()
}

/// About: who counts an accent or an emoji wrong is off by one.
fn char_columns(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::report::Spread;

    fn estimate(mean: f64, half: f64) -> Estimate {
        Estimate {
            mean,
            spread: Some(Spread {
                sd: half,
                low: mean - half,
                high: mean + half,
            }),
        }
    }

    #[test]
    fn figures_are_short_and_exact_enough() {
        assert_eq!(
            [0.0, 0.156_25, 1.0, 0.000_012_3, 0.000_000_076, f64::NAN].map(percent),
            ["0 %", "15.6 %", "100.0 %", "0.001 %", "0.00001 %", "?"]
        );
        assert_eq!(percents(&estimate(0.156_25, 0.002)), "15.6 ± 0.2 %");
        assert_eq!(ratios(&estimate(1.034, 0.0021)), "1.034 ± 0.002");
        let alone = Estimate {
            mean: 1.25,
            spread: None,
        };
        assert_eq!(
            (ratios(&alone), percents(&alone)),
            ("1.250".into(), "125.0 %".into())
        );
        assert_eq!([-0.000_000_1, -0.5].map(ratio), ["0.000", "-0.500"]);
        assert_eq!([0.0, 999.4, 8_499.6].map(rounded), ["0", "999", "8,500"]);
        assert_eq!(
            [0.0, 1_023.0, 1_048_575.0, 1.5 * 1024.0 * 1024.0 * 1024.0].map(bytes),
            ["0 B", "1023 B", "1.0 MiB", "1.5 GiB"]
        );
        assert_eq!(
            [
                0.0,
                0.000_000_4,
                0.000_12,
                0.0012,
                0.12,
                3.21,
                59.9,
                421.0,
                7_500.0,
                273_600.0
            ]
            .map(seconds),
            [
                "0 s",
                "0.4 us",
                "120 us",
                "1.2 ms",
                "120 ms",
                "3.2 s",
                "60 s",
                "7 min 1 s",
                "2 h 5 min",
                "3 d 4 h"
            ]
        );
    }

    #[test]
    fn names_cannot_control_who_shows_them() {
        assert_eq!(shown("käse:1"), "käse:1");
        assert_eq!(shown("a\u{1b}[2J\n"), "a\\u{1b}[2J\\u{a}");
        assert_eq!(shown("\u{202e}gpj"), "\\u{202e}gpj");
        assert_eq!(short("abcdefghij", 6), "abcde…");
        assert_eq!(short("abcdef", 6), "abcdef");
        assert_eq!(short("鍵鍵鍵鍵", 6), "鍵鍵…");
        assert_eq!(columns("鍵a"), 3);
    }

    #[test]
    fn figures_stay_with_their_units() {
        assert_eq!(
            glued("take 3 min 40 s (15.6 %; 1.5 GiB) with 5 servers"),
            "take 3\u{a0}min 40\u{a0}s (15.6\u{a0}%; 1.5\u{a0}GiB) with 5 servers"
        );
    }

    #[test]
    fn lists_read_like_a_sentence() {
        let list = |parts: &[&str]| and(&parts.iter().map(|&p| p.to_owned()).collect::<Vec<_>>());
        assert_eq!(list(&[]), "");
        assert_eq!(list(&["a"]), "a");
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        assert_eq!(plural(1, "server"), "1 server");
        assert_eq!(plural(2_000, "server"), "2,000 servers");
    }
}
