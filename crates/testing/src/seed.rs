//! One seed for all random tests.

/// The environment variable that replays a random test: `KEYWAY_TEST_SEED`.
pub const SEED_VARIABLE: &str = "KEYWAY_TEST_SEED";

/// The seed of a test that makes other random choices in each run.
///
/// It is the value of [`SEED_VARIABLE`], or random if that is not set. It is printed, so that a failed run can be
/// replayed: cargo shows what a failed test has printed.
///
/// # Panics
/// When the variable is set to something that is not a number of 64 bits.
pub fn seed(test: &str) -> u64 {
    printed(
        test,
        from_environment().unwrap_or_else(|| fastrand::u64(..)),
    )
}

/// The seed of a test that makes the same random choices in each run.
///
/// It is the value of [`SEED_VARIABLE`], or `usual` if that is not set. It is printed, as by [`seed`].
///
/// # Panics
/// When the variable is set to something that is not a number of 64 bits.
pub fn seed_or(test: &str, usual: u64) -> u64 {
    printed(test, from_environment().unwrap_or(usual))
}

#[expect(
    clippy::print_stdout,
    reason = "cargo shows it when the test fails, which is when it is needed"
)]
fn printed(test: &str, seed: u64) -> u64 {
    println!("{test}: {SEED_VARIABLE}={seed}");
    seed
}

fn from_environment() -> Option<u64> {
    let text = std::env::var_os(SEED_VARIABLE)?;
    Some(parse(&text.to_string_lossy()))
}

fn parse(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|error| panic!("{SEED_VARIABLE}={text}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_any_number_of_64_bits() {
        assert_eq!(parse("18446744073709551615"), u64::MAX);
    }

    #[test]
    #[should_panic(expected = "KEYWAY_TEST_SEED=seven: invalid digit")]
    fn another_text_is_an_error_and_no_other_seed() {
        parse("seven");
    }
}
