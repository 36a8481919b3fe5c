//! Waiting for a condition.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

const POLL_EVERY: Duration = Duration::from_millis(3);

/// Waits until `condition` holds, and asks every few milliseconds. Tests use this in place of sleeps.
///
/// The deadline only ends a test that would hang. Give it far more time than a busy machine needs.
///
/// ```
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut asked = 0;
/// keyway_testing::eventually("the third answer", Duration::from_secs(20), async || {
///     asked += 1;
///     asked == 3
/// })
/// .await;
/// # assert_eq!(asked, 3);
/// # }
/// ```
///
/// # Panics
/// With `what`, when the condition does not hold within `deadline`. A condition that hangs counts as not holding.
/// Also outside of a tokio runtime with timers.
pub async fn eventually(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !matches!(timeout_at(end, condition()).await, Ok(true)) {
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        sleep(POLL_EVERY).await;
    }
}
