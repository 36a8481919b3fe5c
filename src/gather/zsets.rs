//! Sorted sets: ZUNION, ZINTER and ZDIFF over members and scores that several servers sent, with the arithmetic, the order and the digits
//! of Redis 7.0 (`zunionInterDiffGenericCommand` and `addReplyDouble` there).

use super::{Wrong, integer, sets};
use crate::command::Gather;
use crate::config::Protocol;
use redis::Value;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

/// How the scores of one member become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
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
        let mut options = Options { weights: vec![1.0; keys], aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
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
            let far = if power.starts_with('-') { -1_000_000 } else { 1_000_000 };
            (digits, power.parse::<i64>().unwrap_or(far).clamp(-1_000_000, 1_000_000))
        }
        None => (text, 0),
    };
    let (mut mantissa, mut power, mut seen_point, mut any, mut lost) = (0u64, power, false, false, false);
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
    let size = libm::scalbn((mantissa | u64::from(lost)) as f64, power.clamp(-5_000, 5_000) as i32);
    let out_of_range = size.is_infinite() || (size == 0.0 && mantissa != 0);
    (any && !out_of_range).then_some(size)
}

/// Members with their scores.
pub(super) type Scored = Vec<(Vec<u8>, f64)>;

/// Reads the reply of a command with WITHSCORES; `None` if it is none.
pub(super) fn scored(reply: Value) -> Option<Scored> {
    let Value::Array(items) = reply else { return None };
    if matches!(items.first(), Some(Value::Array(_))) {
        return items
            .into_iter()
            .map(|pair| {
                let Value::Array(pair) = pair else { return None };
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
        let Value::BulkString(member) = member else { return None };
        all.push((member, score_of(score)?));
    }
    Some(all)
}

fn score_of(value: Value) -> Option<f64> {
    match value {
        Value::Double(score) => Some(score),
        Value::BulkString(text) => std::str::from_utf8(&text).ok()?.parse().ok(),
        _ => None,
    }
}

/// One key as it was given: a key given twice is two inputs.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) members: &'a Scored,
    pub(super) weight: f64,
}

/// The server adds scores from the smallest input to the largest, in the order of the arguments among equals.
fn by_cardinality(inputs: &mut [Input<'_>]) {
    inputs.sort_by_key(|input| input.members.len());
}

/// Members of any input.
pub(super) fn union(mut inputs: Vec<Input<'_>>, aggregate: Aggregate) -> Scored {
    by_cardinality(&mut inputs);
    let mut all: HashMap<&[u8], f64> = HashMap::with_capacity(inputs.last().map_or(0, |input| input.members.len()));
    for input in &inputs {
        for (member, score) in input.members {
            let score = or_zero(input.weight * score);
            all.entry(member).and_modify(|so_far| *so_far = aggregate.add(*so_far, score)).or_insert(score);
        }
    }
    in_order(all.into_iter().map(|(member, score)| (member.to_vec(), score)).collect())
}

/// Members of every input.
pub(super) fn intersection(mut inputs: Vec<Input<'_>>, aggregate: Aggregate) -> Scored {
    by_cardinality(&mut inputs);
    let Some((smallest, others)) = inputs.split_first() else { return Scored::new() };
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
    in_order(common.into_iter().map(|(member, score)| (member.to_vec(), score)).collect())
}

/// What is in the first and in no other, in the first's order.
pub(super) fn difference(mut first: Scored, others: Vec<Vec<Vec<u8>>>) -> Scored {
    let gone: HashSet<&[u8]> = others.iter().flatten().map(Vec::as_slice).collect();
    first.retain(|(member, _)| !gone.contains(member.as_slice()));
    first
}

/// By score, then by the bytes of the member.
fn in_order(mut members: Scored) -> Scored {
    members.sort_unstable_by(|(a, x), (b, y)| x.partial_cmp(y).unwrap_or(Ordering::Equal).then_with(|| a.cmp(b)));
    members
}

/// The reply that the server would send: with scores a flat list under RESP2, pairs under RESP3.
pub(super) fn reply(members: Scored, with_scores: bool, protocol: Protocol) -> Value {
    let members = members.into_iter();
    Value::Array(match (with_scores, protocol) {
        (false, _) => members.map(|(member, _)| Value::BulkString(member)).collect(),
        (true, Protocol::Resp2) => {
            members.flat_map(|(member, score)| [Value::BulkString(member), Value::BulkString(print(score).into_bytes())]).collect()
        }
        (true, Protocol::Resp3) => {
            members.map(|(member, score)| Value::Array(vec![Value::BulkString(member), Value::Double(score)])).collect()
        }
    })
}

/// A score as Redis 7.0 prints it: C's `%.17g`.
fn print(score: f64) -> String {
    const DIGITS: i32 = 17;
    if score.is_infinite() {
        return if score > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{score:.16e}");
    let Some((mantissa, Ok(exponent))) = scientific.split_once('e').map(|(mantissa, power)| (mantissa, power.parse::<i32>())) else {
        return scientific;
    };
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    let point = |digits: &str, at: usize| {
        let (whole, fraction) = digits.split_at(at.min(digits.len()));
        if fraction.is_empty() { format!("{whole:0<at$}") } else { format!("{whole}.{fraction}") }
    };
    if !(-4..DIGITS).contains(&exponent) {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        format!("{sign}{}e{exponent_sign}{:02}", point(digits, 1), exponent.abs())
    } else if exponent < 0 {
        format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1))
    } else {
        format!("{sign}{}", point(digits, exponent as usize + 1))
    }
}
