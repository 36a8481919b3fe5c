//! The answer of a set operation in chunks, each asked for when it is wanted.

use super::cost::{self, Facts};
use super::engine::{Asked, Question, Stop, different};
use super::explained::Log;
use super::plan::Operation;
use super::walk::Walk;
use crate::error::{Error, ErrorKind};
use crate::routing::Known;
use crate::scatter::{Manner, Scatter};
use redis::{ServerError, Value};
use std::time::Instant;

/// An answer under way.
pub(crate) struct Chunks {
    operation: Operation,
    keys: Vec<Vec<u8>>,
    known: Known,
    first_is_taken: bool,
    walk: Option<Walk>,
}

/// Why a stream ends early.
pub(crate) enum Ended {
    /// A server's error; the key, where one is at fault.
    Refused(ServerError, Option<Vec<u8>>),
    Failed(Error),
}

impl Chunks {
    pub(crate) fn new(question: &Question<'_>) -> Chunks {
        let (keys, first_is_taken) = different(question);
        Chunks {
            operation: question.operation,
            keys: keys.into_iter().map(<[u8]>::to_vec).collect(),
            known: question.known,
            first_is_taken,
            walk: None,
        }
    }

    /// The next members, perhaps none; `None` at the end. One round trip; the first call has two.
    pub(crate) async fn next(
        &mut self,
        scatter: &Scatter,
        manner: Manner,
    ) -> Result<Option<Vec<Value>>, Ended> {
        let keys: Vec<&[u8]> = self.keys.iter().map(Vec::as_slice).collect();
        let question = Question {
            operation: self.operation,
            keys: &keys,
            limit: None,
            strategy: None,
            counts: false,
            is_sorted: false,
            known: self.known,
        };
        loop {
            let current = scatter.control().load_full();
            let mut log = Log::off();
            let mut asked = Asked::new(scatter, &question, &current, &keys, manner, &mut log);
            let stop = match &mut self.walk {
                Some(walk) => match walk.next(&mut asked).await {
                    Ok(members) => return Ok(members),
                    Err(Stop::Stale) => {
                        return Err(Ended::Failed(stale(self.known)));
                    }
                    Err(stop) => stop,
                },
                None => match begin(&mut asked, self.first_is_taken).await {
                    Ok(Some(walk)) => {
                        self.walk = Some(walk);
                        continue;
                    }
                    Ok(None) => return Ok(None),
                    Err(Stop::Stale) if Instant::now() < manner.deadline => continue,
                    Err(Stop::Stale) => return Err(Ended::Failed(stale(self.known))),
                    Err(stop) => stop,
                },
            };
            return Err(match stop {
                Stop::Refused(error, at) => Ended::Refused(error, at.map(|at| keys[at].to_vec())),
                Stop::Failed(error) => Ended::Failed(error),
                Stop::Stale => Ended::Failed(stale(self.known)),
            });
        }
    }
}

/// Sizes first, which also find wrong types; `None` if the answer is empty.
async fn begin(asked: &mut Asked<'_>, first_is_taken: bool) -> Result<Option<Walk>, Stop> {
    let before = Walk::places(asked);
    let sampled = asked.sizes(true).await?;
    let facts: Vec<Facts> = sampled.iter().map(|set| set.facts).collect();
    let base = match asked.operation {
        Operation::Intersect => (0..facts.len())
            .min_by_key(|at| facts[*at].members)
            .unwrap_or(0),
        Operation::Union | Operation::Difference => 0,
    };
    let is_empty =
        first_is_taken || asked.operation != Operation::Union && facts[base].members == 0;
    if is_empty {
        return Ok(None);
    }
    let mut walk = Walk::new(asked, base, sampled, before)?;
    if asked.operation == Operation::Difference {
        // What is small beside the walked set is held here: to look a million members up in a set of a thousand moves a million.
        let is_cheap = |at: &usize| {
            let fetch = cost::fetch(&[&facts[*at]], facts[*at].members).work_ns();
            fetch < cost::probe(&facts[*at], &facts[base], facts[base].members).work_ns()
        };
        let cheap: Vec<usize> = (0..facts.len())
            .filter(|at| *at != base)
            .filter(is_cheap)
            .collect();
        walk.take_in(asked, &facts, &cheap).await?;
    }
    Ok(Some(walk))
}

fn stale(known: Known) -> Error {
    let why = "its cursor is void, because the server's connection was replaced or the node has moved, and more was shown than is remembered; \
               begin anew";
    Error::new(ErrorKind::CursorStale, why).of_command(known.name())
}
