//! Tests that run small every day, and large on demand.

/// The environment variable that makes [`swept`] tests large: `KEYWAY_SWEEP=1`.
pub const SWEEP_VARIABLE: &str = "KEYWAY_SWEEP";

/// `large` when [`SWEEP_VARIABLE`] is set to anything but `0`, else `small`.
///
/// For how many keys, cases or rounds a test takes. The same test then runs in a second at every change, and sweeps
/// through far more from time to time.
///
/// ```
/// for number in 0..keyway_testing::swept(100, 1_000_000) {
///     assert_eq!(number.to_string().parse(), Ok(number));
/// }
/// ```
pub fn swept<T>(small: T, large: T) -> T {
    if std::env::var_os(SWEEP_VARIABLE).is_some_and(|value| value != "0") {
        large
    } else {
        small
    }
}
