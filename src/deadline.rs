//! Instants from durations that a caller chose: a deadline, a blocking command's own timeout.
//!
//! The durations of a configuration need none of this: they are 24 h at most.

use std::time::{Duration, Instant};

/// As good as never. `Instant` ends somewhere later, at a place that depends on the platform.
pub(crate) const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// `wait` after `start`, and 30 years after it at most: `start + Duration::MAX` would panic.
pub(crate) fn after(start: Instant, wait: Duration) -> Instant {
    start.checked_add(wait.min(FOREVER)).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_saturates_and_what_is_not_is_exact() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(after(now, second), now + second);
        assert_eq!(after(now, Duration::ZERO), now);
        assert_eq!(after(now, Duration::MAX), now + FOREVER);
        // A blocking command adds its own timeout to the call's.
        let twice = after(after(now, Duration::MAX), Duration::MAX);
        assert_eq!(twice, now + FOREVER + FOREVER);
    }
}
