//! Stands in for the write side's file of this name: the clock, and what is too old.

use super::{Id, SCORE_END, Timeline};
use crate::error::{Error, ErrorKind};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

impl<I: Id> Timeline<I> {
    /// Scores are milliseconds since 1970, shifted left by this many bits for a number that orders the items of one millisecond; 0 to 12,
    /// default 0. With 12 bits, which is what Snowflake ids have, scores stay below 2^53 until the year 2039. Only [`max_age`](Timeline::max_age)
    /// needs it.
    pub fn sequence_bits(mut self, bits: u32) -> Timeline<I> {
        self.sequence_bits = bits;
        self
    }

    /// Where "now" comes from, in milliseconds since 1970; default: the system's clock. Only [`max_age`](Timeline::max_age) asks.
    pub fn clock(mut self, now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Timeline<I> {
        self.clock = Clock(Some(Arc::new(now_ms)));
        self
    }

    pub(super) fn check_bounds(&self) -> Result<(), Error> {
        if self.sequence_bits <= 12 {
            return Ok(());
        }
        let why = format!("sequence_bits is {}; it is from 0 to 12", self.sequence_bits);
        Err(Error::new(ErrorKind::Invalid, why))
    }

    /// The lowest score that is not too old; `None` without a `max_age`.
    pub(super) fn cutoff(&self) -> Option<u64> {
        let age_ms = u64::try_from(self.max_age?.as_millis()).unwrap_or(u64::MAX);
        let oldest_ms = self.clock.now_ms().saturating_sub(age_ms);
        // Beyond 2^53 there are no scores, so nothing is lost by stopping there.
        Some(oldest_ms.min(SCORE_END >> self.sequence_bits) << self.sequence_bits)
    }
}

/// The caller's clock, or the system's.
#[derive(Clone, Default)]
pub(super) struct Clock(Option<Arc<dyn Fn() -> u64 + Send + Sync>>);

impl Clock {
    pub(super) fn now_ms(&self) -> u64 {
        match &self.0 {
            Some(now_ms) => now_ms(),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                let since = since.unwrap_or(Duration::ZERO);
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "the caller's"
        } else {
            "the system's"
        })
    }
}
