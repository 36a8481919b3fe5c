//! Sorted sets: ZUNION, ZINTER and ZDIFF over members and scores that several servers sent, with the arithmetic, the order and the digits
//! of Redis 7.0 (`zunionInterDiffGenericCommand` and `addReplyDouble` there).

use super::sets;
use super::{Wrong, integer};
use crate::command::Gather;
use crate::config::Protocol;
use redis::Value;
use std::cmp::Ordering;
use std::collections::HashMap;

/// How the scores of one member become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    pub(super) fn name(self) -> &'static str {
        match self {
            Aggregate::Sum => "SUM",
            Aggregate::Min => "MIN",
            Aggregate::Max => "MAX",
        }
    }

    fn add(self, so_far: f64, score: f64) -> f64 {
        match self {
            Aggregate::Sum => or_zero(so_far + score),
            // Written out: f64::min treats NaN and the sign of zero in another way.
            Aggregate::Min if score < so_far => score,
            Aggregate::Max if score > so_far => score,
            Aggregate::Min | Aggregate::Max => so_far,
        }
    }
}

/// Infinity minus infinity, and zero times infinity, count as 0.
fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// What follows the keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    /// One per key.
    pub(super) weights: Vec<f64>,
    pub(super) aggregate: Aggregate,
    pub(super) with_scores: bool,
    /// Of ZINTERCARD; 0 is none.
    pub(super) limit: usize,
}

impl Options {
    pub(super) fn read(gather: Gather, args: &[&[u8]], keys: usize) -> Result<Options, Wrong> {
        if args.get(1).and_then(|count| integer(count)).is_none() {
            return Err(Wrong::NotInteger);
        }
        let mut options = Options {
            weights: vec![1.0; keys],
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: 0,
        };
        let weighs = matches!(gather, Gather::ZUnion | Gather::ZInter);
        let counts = gather == Gather::ZInterCard;
        let mut rest = args.get(2 + keys..).unwrap_or_default();
        while let Some((option, values)) = rest.split_first() {
            let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
            rest = if weighs && values.len() >= keys && is(b"WEIGHTS") {
                for (weight, text) in options.weights.iter_mut().zip(values) {
                    *weight = float(text).ok_or(Wrong::WeightNotFloat)?;
                }
                &values[keys..]
            } else if weighs && !values.is_empty() && is(b"AGGREGATE") {
                options.aggregate = match values[0].to_ascii_uppercase().as_slice() {
                    b"SUM" => Aggregate::Sum,
                    b"MIN" => Aggregate::Min,
                    b"MAX" => Aggregate::Max,
                    _ => return Err(Wrong::Syntax),
                };
                &values[1..]
            } else if !counts && is(b"WITHSCORES") {
                options.with_scores = true;
                values
            } else if counts && !values.is_empty() && is(b"LIMIT") {
                options.limit = sets::limit_value(values[0])?;
                &values[1..]
            } else {
                return Err(Wrong::Syntax);
            };
        }
        Ok(options)
    }
}

/// A number as the server's `strtod` reads one, hexadecimal included; out of range and NaN are refused.
fn float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let size = match digits.get(..2) {
        Some("0x" | "0X") => hexadecimal(&digits[2..])?,
        _ => {
            // A second sign is Rust's to take, not the server's.
            if !digits.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.') {
                return None;
            }
            let size: f64 = digits.parse().ok()?;
            let is_word = digits.starts_with(|c: char| c.is_ascii_alphabetic());
            let mantissa = digits.split(['e', 'E']).next().unwrap_or_default();
            let is_nonzero = mantissa.contains(|c: char| ('1'..='9').contains(&c));
            let out_of_range = (size.is_infinite() && !is_word) || (size == 0.0 && is_nonzero);
            Some(size).filter(|size| !out_of_range && !size.is_nan())?
        }
    };
    Some(if negative { -size } else { size })
}

/// What follows `0x`: hexadecimal digits, perhaps a point, perhaps `p` and a power of two.
fn hexadecimal(text: &str) -> Option<f64> {
    let (digits, power) = match text.split_once(['p', 'P']) {
        Some((digits, power)) => {
            let unsigned = power.strip_prefix(['-', '+']).unwrap_or(power);
            if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            // Beyond this the digits cannot make up for it.
            let far = if power.starts_with('-') {
                -1_000_000
            } else {
                1_000_000
            };
            (
                digits,
                power
                    .parse::<i64>()
                    .unwrap_or(far)
                    .clamp(-1_000_000, 1_000_000),
            )
        }
        None => (text, 0),
    };
    let (mut mantissa, mut power, mut seen_point, mut any, mut lost) =
        (0u64, power, false, false, false);
    for c in digits.chars() {
        match c.to_digit(16) {
            Some(digit) => {
                any = true;
                power -= if seen_point { 4 } else { 0 };
                if mantissa >> 60 == 0 {
                    mantissa = mantissa << 4 | u64::from(digit);
                } else {
                    power += 4;
                    lost |= digit != 0;
                }
            }
            None if c == '.' && !seen_point => seen_point = true,
            None => return None,
        }
    }
    // What was cut off only matters for rounding, where one bit stands for all of it.
    let size = libm::scalbn(
        (mantissa | u64::from(lost)) as f64,
        power.clamp(-5_000, 5_000) as i32,
    );
    let out_of_range = size.is_infinite() || (size == 0.0 && mantissa != 0);
    (any && !out_of_range).then_some(size)
}

/// Members with their scores.
pub(super) type Scored = Vec<(Vec<u8>, f64)>;

/// Reads the reply of a command with WITHSCORES; `None` if it is none.
pub(super) fn scored(reply: Value) -> Option<Scored> {
    let Value::Array(items) = reply else {
        return None;
    };
    if matches!(items.first(), Some(Value::Array(_))) {
        return items
            .into_iter()
            .map(|pair| {
                let Value::Array(pair) = pair else {
                    return None;
                };
                match <[Value; 2]>::try_from(pair).ok()? {
                    [Value::BulkString(member), score] => Some((member, score_of(score)?)),
                    _ => None,
                }
            })
            .collect();
    }
    if !items.len().is_multiple_of(2) {
        return None;
    }
    let mut items = items.into_iter();
    let mut all = Vec::with_capacity(items.len() / 2);
    while let (Some(member), Some(score)) = (items.next(), items.next()) {
        let Value::BulkString(member) = member else {
            return None;
        };
        all.push((member, score_of(score)?));
    }
    Some(all)
}

/// Members and scores of a flat list of both.
pub(super) fn pairs(items: Vec<Value>) -> Option<(Vec<Value>, Vec<f64>)> {
    if !items.len().is_multiple_of(2) {
        return None;
    }
    let mut items = items.into_iter();
    let half = items.len() / 2;
    let (mut members, mut scores) = (Vec::with_capacity(half), Vec::with_capacity(half));
    while let (Some(member), Some(score)) = (items.next(), items.next()) {
        members.push(member);
        scores.push(score_of(score)?);
    }
    Some((members, scores))
}

/// Bytes of a score as it is printed, on average.
pub(super) fn mean_bytes(scores: &[f64]) -> f64 {
    // A handful tells.
    let some = scores.len().min(16);
    let bytes: usize = scores[..some].iter().map(|score| print(*score).len()).sum();
    bytes as f64 / some.max(1) as f64
}

pub(super) fn score_of(value: Value) -> Option<f64> {
    match value {
        Value::Double(score) => Some(score),
        Value::BulkString(text) => std::str::from_utf8(&text).ok()?.parse().ok(),
        _ => None,
    }
}

/// One key as it was given: a key given twice is two inputs.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// All of them, or of an intersection those that may be in the answer.
    pub(super) members: &'a Scored,
    /// How many it has in all.
    pub(super) cardinality: u64,
    pub(super) weight: f64,
}

/// The server adds scores from the smallest input to the largest, in the order of the arguments among equals.
fn by_cardinality(inputs: &mut [Input<'_>]) {
    inputs.sort_by_key(|input| input.cardinality);
}

/// Members of any input.
pub(super) fn union(mut inputs: Vec<Input<'_>>, aggregate: Aggregate) -> Scored {
    by_cardinality(&mut inputs);
    let mut all: HashMap<&[u8], f64> =
        HashMap::with_capacity(inputs.last().map_or(0, |input| input.members.len()));
    for input in &inputs {
        for (member, score) in input.members {
            let score = or_zero(input.weight * score);
            all.entry(member)
                .and_modify(|so_far| *so_far = aggregate.add(*so_far, score))
                .or_insert(score);
        }
    }
    in_order(
        all.into_iter()
            .map(|(member, score)| (member.to_vec(), score))
            .collect(),
    )
}

/// Members of every input.
pub(super) fn intersection(mut inputs: Vec<Input<'_>>, aggregate: Aggregate) -> Scored {
    by_cardinality(&mut inputs);
    let Some((smallest, others)) = inputs.split_first() else {
        return Scored::new();
    };
    let mut common: HashMap<&[u8], f64> = smallest
        .members
        .iter()
        .map(|(member, score)| (member.as_slice(), or_zero(smallest.weight * score)))
        .collect();
    for input in others {
        let next = |(member, score): &'_ (Vec<u8>, f64)| {
            let (member, so_far) = common.remove_entry(member.as_slice())?;
            // A product that is not a number is aggregated as it is: only the smallest input's is taken for 0.
            Some((member, aggregate.add(so_far, input.weight * score)))
        };
        common = input.members.iter().filter_map(next).collect();
    }
    in_order(
        common
            .into_iter()
            .map(|(member, score)| (member.to_vec(), score))
            .collect(),
    )
}

/// By score, then by the bytes of the member.
pub(super) fn in_order(mut members: Scored) -> Scored {
    members.sort_unstable_by(|(a, x), (b, y)| {
        x.partial_cmp(y)
            .unwrap_or(Ordering::Equal)
            .then_with(|| a.cmp(b))
    });
    members
}

/// The reply that the server would send: with scores a flat list under RESP2, pairs under RESP3.
pub(super) fn reply(members: Scored, with_scores: bool, protocol: Protocol) -> Value {
    let members = members.into_iter();
    Value::Array(match (with_scores, protocol) {
        (false, _) => members
            .map(|(member, _)| Value::BulkString(member))
            .collect(),
        (true, Protocol::Resp2) => members
            .flat_map(|(member, score)| {
                [
                    Value::BulkString(member),
                    Value::BulkString(print(score).into_bytes()),
                ]
            })
            .collect(),
        (true, Protocol::Resp3) => members
            .map(|(member, score)| {
                Value::Array(vec![Value::BulkString(member), Value::Double(score)])
            })
            .collect(),
    })
}

/// A score as Redis 7.0 prints it: C's `%.17g`.
fn print(score: f64) -> String {
    const DIGITS: i32 = 17;
    if score.is_infinite() {
        return if score > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{score:.16e}");
    let Some((mantissa, Ok(exponent))) = scientific
        .split_once('e')
        .map(|(mantissa, power)| (mantissa, power.parse::<i32>()))
    else {
        return scientific;
    };
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    let point = |digits: &str, at: usize| {
        let (whole, fraction) = digits.split_at(at.min(digits.len()));
        if fraction.is_empty() {
            format!("{whole:0<at$}")
        } else {
            format!("{whole}.{fraction}")
        }
    };
    if !(-4..DIGITS).contains(&exponent) {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        format!(
            "{sign}{}e{exponent_sign}{:02}",
            point(digits, 1),
            exponent.abs()
        )
    } else if exponent < 0 {
        format!(
            "{sign}0.{}{digits}",
            "0".repeat(exponent.unsigned_abs() as usize - 1)
        )
    } else {
        format!("{sign}{}", point(digits, exponent as usize + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_map, vec};
    use proptest::num::f64::{NORMAL, SUBNORMAL};
    use proptest::prelude::*;

    fn read(gather: Gather, text: &str) -> Result<Options, Wrong> {
        let args: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
        Options::read(gather, &args, 2)
    }

    fn scored_list(members: &[(&str, f64)]) -> Scored {
        members
            .iter()
            .map(|(member, score)| (member.as_bytes().to_vec(), *score))
            .collect()
    }

    /// Inputs with these weights.
    fn inputs<'a>(sets: &'a [Scored], weights: &[f64]) -> Vec<Input<'a>> {
        sets.iter()
            .zip(weights)
            .map(|(members, weight)| Input {
                members,
                cardinality: members.len() as u64,
                weight: *weight,
            })
            .collect()
    }

    #[test]
    fn scores_are_printed_as_by_c() {
        // Made by C's printf("%.17g").
        let table = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (10.0, "10"),
            (100.0, "100"),
            (3.7, "3.7000000000000002"),
            (0.1, "0.10000000000000001"),
            (0.2, "0.20000000000000001"),
            (1e15, "1000000000000000"),
            (1e16, "10000000000000000"),
            (12345678901234567.0, "12345678901234568"),
            (1e17, "1e+17"),
            (1e20, "1e+20"),
            (1.5e21, "1.5e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (0.000012345, "1.2345e-05"),
            (123456.789, "123456.789"),
            (1e-300, "1e-300"),
            (5e-324, "4.9406564584124654e-324"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (9007199254740992.0, "9007199254740992"),
            (12_345_678.0 + 1.0 / 1024.0, "12345678.000976562"),
            (12_345_678.0 + 3.0 / 1024.0, "12345678.002929688"),
            (1e17 - 16.0, "99999999999999984"),
            (-2.5e-7, "-2.4999999999999999e-07"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (score, text) in table {
            assert_eq!(print(score), text);
        }
    }

    proptest! {
        #[test]
        fn a_printed_score_reads_as_itself(score in NORMAL | SUBNORMAL) {
            let text = print(score);
            prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), score.to_bits(), "{}", text);
            prop_assert_eq!(float(text.as_bytes()).map(f64::to_bits), Some(score.to_bits()), "{}", text);
        }

        #[test]
        fn hexadecimal_weights_are_exact(mantissa in 0u64..1 << 53, power in -900i32..900) {
            let text = format!("-0x{mantissa:x}.0P{power:+}");
            prop_assert_eq!(float(text.as_bytes()), Some(-libm::scalbn(mantissa as f64, power)), "{}", text);
        }

        /// Integers are added without loss, so for them order cannot matter and a plain sum is the truth.
        #[test]
        fn the_algebra_is_that_of_weighted_maps(
            sets in vec((btree_map("[a-f]{1,2}", -1000i32..1000, 0..20), -9i32..9), 1..5),
        ) {
            let scored: Vec<Scored> = sets
                .iter()
                .map(|(set, _)| set.iter().map(|(member, score)| (member.clone().into_bytes(), f64::from(*score))).collect())
                .collect();
            let weights: Vec<f64> = sets.iter().map(|(_, weight)| f64::from(*weight)).collect();
            for aggregate in [Aggregate::Sum, Aggregate::Min, Aggregate::Max] {
                let mut truth: Vec<(i32, &str, usize)> = Vec::new();
                for member in sets.iter().flat_map(|(set, _)| set.keys()).collect::<std::collections::BTreeSet<_>>() {
                    let scores: Vec<i32> = sets.iter().filter_map(|(set, weight)| Some(set.get(member)? * weight)).collect();
                    let score = match aggregate {
                        Aggregate::Sum => scores.iter().sum(),
                        Aggregate::Min => *scores.iter().min().unwrap(),
                        Aggregate::Max => *scores.iter().max().unwrap(),
                    };
                    truth.push((score, member, scores.len()));
                }
                truth.sort();
                let in_all = |all: bool| -> Vec<(String, i32)> {
                    let kept = truth.iter().filter(|(_, _, count)| !all || *count == sets.len());
                    kept.map(|(score, member, _)| (member.to_string(), *score)).collect()
                };
                let plain = |got: Scored| -> Vec<(String, i32)> {
                    got.into_iter().map(|(member, score)| (String::from_utf8(member).unwrap(), score as i32)).collect()
                };
                prop_assert_eq!(plain(union(inputs(&scored, &weights), aggregate)), in_all(false));
                prop_assert_eq!(plain(intersection(inputs(&scored, &weights), aggregate)), in_all(true));
            }
        }
    }

    #[test]
    fn scores_are_added_from_the_smallest_input_on() {
        // 1e16 + 1 + 1 is 1e16, and 1 + 1 + 1e16 is not.
        let big = scored_list(&[("m", 1e16), ("x", 0.0), ("y", 0.0)]);
        let sets = [
            big,
            scored_list(&[("m", 1.0)]),
            scored_list(&[("m", 1.0), ("z", 0.0)]),
        ];
        let of_m = |all: Scored| all.iter().find(|(member, _)| member == b"m").unwrap().1;
        assert_eq!(
            of_m(union(inputs(&sets, &[1.0; 3]), Aggregate::Sum)),
            10_000_000_000_000_002.0
        );
        assert_eq!(
            of_m(intersection(inputs(&sets, &[1.0; 3]), Aggregate::Sum)),
            10_000_000_000_000_002.0
        );
        // Among equals the arguments' order counts.
        let equals = [1e16, 1.0, 1.0].map(|score| scored_list(&[("m", score)]));
        assert_eq!(
            of_m(union(inputs(&equals, &[1.0; 3]), Aggregate::Sum)),
            1e16
        );
    }

    #[test]
    fn what_is_not_a_number_counts_as_zero_where_the_server_says_so() {
        const INF: f64 = f64::INFINITY;
        let one = |sets: &[f64], weights: &[f64], intersect: bool, aggregate| {
            let sets: Vec<Scored> = sets
                .iter()
                .map(|score| scored_list(&[("m", *score)]))
                .collect();
            let inputs = inputs(&sets, weights);
            let all = if intersect {
                intersection(inputs, aggregate)
            } else {
                union(inputs, aggregate)
            };
            all[0].1
        };
        for intersect in [false, true] {
            assert_eq!(
                one(&[INF, -INF], &[1.0, 1.0], intersect, Aggregate::Sum),
                0.0
            );
            assert_eq!(
                one(&[INF, 5.0], &[0.0, 1.0], intersect, Aggregate::Sum),
                5.0
            );
            assert_eq!(
                one(&[-INF, INF], &[1.0, 1.0], intersect, Aggregate::Min),
                -INF
            );
        }
        // ZINTER checks only the first product and the sum; ZUNION every product.
        assert_eq!(one(&[5.0, INF], &[1.0, 0.0], false, Aggregate::Sum), 5.0);
        assert_eq!(one(&[5.0, INF], &[1.0, 0.0], true, Aggregate::Sum), 0.0);
        assert_eq!(one(&[5.0, INF], &[1.0, 0.0], false, Aggregate::Min), 0.0);
        assert_eq!(one(&[5.0, INF], &[1.0, 0.0], true, Aggregate::Min), 5.0);
    }

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        let all = read(
            Gather::ZUnion,
            "ZUNION 2 a b weights 2 -inf AGGREGATE max withscores AGGREGATE Min",
        )
        .unwrap();
        let expected = Options {
            weights: vec![2.0, f64::NEG_INFINITY],
            aggregate: Aggregate::Min,
            with_scores: true,
            limit: 0,
        };
        assert_eq!(all, expected);
        assert_eq!(
            read(Gather::ZInterCard, "ZINTERCARD 2 a b LIMIT 7")
                .unwrap()
                .limit,
            7
        );
        assert!(
            read(Gather::ZDiff, "ZDIFF 2 a b WITHSCORES WITHSCORES")
                .unwrap()
                .with_scores
        );
        for (gather, text, wrong) in [
            (Gather::ZUnion, "ZUNION +2 a b", Wrong::NotInteger),
            (Gather::ZUnion, "ZUNION 2 a b WEIGHTS 1", Wrong::Syntax),
            (
                Gather::ZUnion,
                "ZUNION 2 a b WEIGHTS 1 x",
                Wrong::WeightNotFloat,
            ),
            (
                Gather::ZUnion,
                "ZUNION 2 a b WEIGHTS 1 nan",
                Wrong::WeightNotFloat,
            ),
            (Gather::ZUnion, "ZUNION 2 a b AGGREGATE", Wrong::Syntax),
            (Gather::ZInter, "ZINTER 2 a b AGGREGATE avg", Wrong::Syntax),
            (Gather::ZInter, "ZINTER 2 a b LIMIT 3", Wrong::Syntax),
            (Gather::ZDiff, "ZDIFF 2 a b WEIGHTS 1 2", Wrong::Syntax),
            (Gather::ZDiff, "ZDIFF 2 a b AGGREGATE SUM", Wrong::Syntax),
            (
                Gather::ZInterCard,
                "ZINTERCARD 2 a b WITHSCORES",
                Wrong::Syntax,
            ),
            (Gather::ZInterCard, "ZINTERCARD 2 a b LIMIT", Wrong::Syntax),
            (
                Gather::ZInterCard,
                "ZINTERCARD 2 a b LIMIT -1",
                Wrong::NegativeLimit,
            ),
        ] {
            assert_eq!(read(gather, text), Err(wrong), "{text}");
        }
    }

    #[test]
    fn weights_are_read_as_by_strtod() {
        for (text, number) in [
            ("1", 1.0),
            ("+1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("-1e-3", -0.001),
            ("Infinity", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
            ("0x1.8p1", 3.0),
            ("0X.8", 0.5),
            ("0x20000000000001", 9_007_199_254_740_993.0),
            ("0x1.00000000000008000000001p0", 1.0 + f64::EPSILON),
            ("0e999", 0.0),
            ("4.9e-324", 5e-324),
        ] {
            assert_eq!(float(text.as_bytes()), Some(number), "{text}");
        }
        for text in [
            "", " 1", "1 ", "x", "nan", "-nan", "1e999", "-1e999", "1e-999", "0x", "0x.", "0x1p",
            "0x1p9999", "--1", "+-1", "1e", ".", "1\0",
        ] {
            assert_eq!(float(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn replies_have_the_shape_of_their_protocol_and_read_back() {
        let members = scored_list(&[("a", f64::NEG_INFINITY), ("b", 1.5)]);
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let flat = Value::Array(vec![text("a"), text("-inf"), text("b"), text("1.5")]);
        let pairs = Value::Array(vec![
            Value::Array(vec![text("a"), Value::Double(f64::NEG_INFINITY)]),
            Value::Array(vec![text("b"), Value::Double(1.5)]),
        ]);
        assert_eq!(reply(members.clone(), true, Protocol::Resp2), flat);
        assert_eq!(reply(members.clone(), true, Protocol::Resp3), pairs);
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            assert_eq!(
                reply(members.clone(), false, protocol),
                Value::Array(vec![text("a"), text("b")])
            );
        }
        assert_eq!(scored(flat), Some(members.clone()));
        assert_eq!(scored(pairs), Some(members));
        assert_eq!(scored(Value::Array(vec![text("a")])), None);
        assert_eq!(scored(Value::Array(vec![text("a"), text("b")])), None);
        assert_eq!(scored(Value::Nil), None);
    }
}
