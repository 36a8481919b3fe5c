//! The arguments.

use crate::round::RoundOrder;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Chaos with an oracle: real servers, faults by a seeded schedule, and a check of every call.

Usage: chaos [OPTIONS]
       chaos planted        finds each fault that was put in on purpose

  --seconds N         of faults in all (60)
  --round-seconds N   of faults in one round; each round has fresh servers (15)
  --seed N            of the first round; the next ones have N+1, N+2 ... (by chance)
  --seeds A,B,...     one round of each, in place of --seed and --seconds
  --processes N       worker processes (3)
  --tasks N           callers in each (12)
  --servers N         (3)
  --json              the summary as JSON, on standard output

Exit code: 0 no violation; 1 a violation; 2 wrong usage.
";

#[derive(Clone, Debug)]
pub(crate) struct Arguments {
    pub(crate) seeds: Vec<u64>,
    pub(crate) round: Duration,
    pub(crate) processes: usize,
    pub(crate) tasks: usize,
    pub(crate) servers: usize,
    pub(crate) json: bool,
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
        let round_seconds = round_seconds.clamp(1, seconds.max(1));
        for (name, value, most) in [
            ("--processes", processes, 99),
            ("--tasks", tasks, 90),
            ("--servers", servers, 9),
        ] {
            if value == 0 || value > most {
                return Err(format!("{name} {value}: expected 1 to {most}"));
            }
        }
        if seeds.is_empty() {
            let rounds = seconds.div_ceil(round_seconds).max(1);
            seeds = (0..rounds).map(|round| seed.wrapping_add(round)).collect();
        }
        let round = Duration::from_secs(round_seconds);
        Ok(Arguments {
            seeds,
            round,
            processes,
            tasks,
            servers,
            json,
        })
    }

    pub(crate) fn rounds(&self) -> impl Iterator<Item = RoundOrder> {
        self.seeds.iter().map(|seed| RoundOrder {
            seed: *seed,
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
    fn the_seconds_become_rounds_with_seeds_of_their_own() {
        let arguments = parse("--seconds 40 --round-seconds 15 --seed 7 --json").unwrap();
        assert_eq!(arguments.seeds, [7, 8, 9]);
        assert!(arguments.json);
        let again = arguments.again(arguments.rounds().nth(1).unwrap());
        let again = parse(&again).unwrap();
        assert_eq!((again.seeds, again.round), (vec![8], arguments.round));
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
