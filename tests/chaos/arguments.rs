//! The arguments.

use crate::round::RoundOrder;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Chaos with an oracle: real servers, faults by a seeded schedule, and a check of every call.

Usage: chaos [OPTIONS]
       chaos planted        finds each fault that was put in on purpose

  --seconds N         of all rounds together: no round begins later (60)
  --round-seconds N   of faults in one round, 15 at most; each round has fresh servers (15)
  --seed N            of the first round; the next ones have N+1, N+2 ... (by chance)
  --seeds A,B,...     one round of each, in place of --seed and --seconds
  --processes N       worker processes (3)
  --tasks N           callers in each (12)
  --servers N         (3)
  --json              the summary as JSON, on standard output

Exit code: 0 no violation; 1 a violation; 2 wrong usage.
";

/// Longer rounds find no more, and a violation in them has more causes near.
const ROUND_SECONDS_MAX: u64 = 15;

#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    pub(crate) extent: Extent,
    pub(crate) round: Duration,
    pub(crate) processes: usize,
    pub(crate) tasks: usize,
    pub(crate) servers: usize,
    pub(crate) json: bool,
}

/// Which rounds there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// One round of each seed.
    Seeds(Vec<u64>),
    /// Rounds of the seed `first` and the next ones. None begins after this wall time, faults and all that is around them.
    Time { first: u64, limit: Duration },
}

impl Arguments {
    /// `Err` says what is wrong.
    pub(crate) fn parse(words: &[String]) -> Result<Arguments, String> {
        let (mut seconds, mut round_seconds) = (60, 15);
        let (mut seed, mut seeds) = (u64::from(fastrand::u32(..)), Vec::new());
        let (mut processes, mut tasks, mut servers, mut json) = (3, 12, 3, false);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--json" {
                json = true;
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{word:?} has no value, or is unknown"))?;
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_| format!("{word} {value:?}: expected a number"))
            };
            match word.as_str() {
                "--seconds" => seconds = number()?,
                "--round-seconds" => round_seconds = number()?,
                "--seed" => seed = number()?,
                "--seeds" => {
                    for one in value.split(',') {
                        seeds.push(
                            one.parse()
                                .map_err(|_| format!("--seeds {value:?}: {one:?} is no number"))?,
                        );
                    }
                }
                "--processes" => processes = number()? as usize,
                "--tasks" => tasks = number()? as usize,
                "--servers" => servers = number()? as usize,
                _ => return Err(format!("{word:?} is unknown")),
            }
        }
        let round_seconds = round_seconds.min(seconds).clamp(1, ROUND_SECONDS_MAX);
        for (name, value, most) in [
            ("--processes", processes, 99),
            ("--tasks", tasks, 90),
            ("--servers", servers, 9),
        ] {
            if value == 0 || value > most {
                return Err(format!("{name} {value}: expected 1 to {most}"));
            }
        }
        let extent = if seeds.is_empty() {
            let limit = Duration::from_secs(seconds);
            Extent::Time { first: seed, limit }
        } else {
            Extent::Seeds(seeds)
        };
        Ok(Arguments {
            extent,
            round: Duration::from_secs(round_seconds),
            processes,
            tasks,
            servers,
            json,
        })
    }

    /// The round of this number, from 0, if it still begins after so much time.
    pub(crate) fn round(&self, number: usize, elapsed: Duration) -> Option<RoundOrder> {
        let seed = match &self.extent {
            Extent::Seeds(seeds) => *seeds.get(number)?,
            Extent::Time { limit, .. } if number > 0 && elapsed >= *limit => return None,
            Extent::Time { first, .. } => first.wrapping_add(number as u64),
        };
        Some(RoundOrder {
            seed,
            length: self.round,
            servers: self.servers,
            processes: self.processes,
            tasks: self.tasks,
        })
    }

    /// The arguments of this one round.
    pub(crate) fn again(&self, order: RoundOrder) -> String {
        let seconds = order.length.as_secs();
        format!(
            "--seeds {} --round-seconds {seconds} --processes {} --tasks {} --servers {}",
            order.seed, order.processes, order.tasks, order.servers
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, String> {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn rounds_have_seeds_of_their_own_and_none_begins_after_the_seconds() {
        let arguments = parse("--seconds 40 --round-seconds 14 --seed 7 --json").unwrap();
        assert!(arguments.json);
        let seed = |number, seconds| {
            let elapsed = Duration::from_secs(seconds);
            arguments.round(number, elapsed).map(|order| order.seed)
        };
        assert_eq!(seed(0, 50), Some(7), "there is always one");
        assert_eq!((seed(2, 39), seed(2, 40)), (Some(9), None));
        let order = arguments.round(1, Duration::ZERO).unwrap();
        let again = parse(&arguments.again(order)).unwrap();
        assert_eq!(again.extent, Extent::Seeds(vec![8]));
        assert_eq!(again.round, arguments.round);
        let long = parse("--seconds 900 --round-seconds 300").unwrap();
        assert_eq!(long.round, Duration::from_secs(ROUND_SECONDS_MAX));
        let short = parse("--seconds 4").unwrap();
        assert_eq!(short.round, Duration::from_secs(4));
    }

    #[test]
    fn seeds_have_a_round_each_however_long_they_take() {
        let arguments = parse("--seeds 5,3").unwrap();
        let seed = |number| {
            let order = arguments.round(number, Duration::MAX);
            order.map(|order| order.seed)
        };
        assert_eq!([seed(0), seed(1), seed(2)], [Some(5), Some(3), None]);
    }

    #[test]
    fn a_wrong_argument_is_named() {
        for (text, word) in [
            ("--fast", "--fast"),
            ("--seconds many", "many"),
            ("--seeds 1,x", "\"x\""),
            ("--processes 0", "--processes"),
            ("--what 1", "--what"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
