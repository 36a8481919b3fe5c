//! Faults put in on purpose, so that `make chaos-planted` shows that the chaos finds them. Only a build with
//! `--cfg keyway_planted` has them; in every other one each of these questions is a constant.

/// Whether this fault was asked for, by the environment variable `KEYWAY_PLANTED`, which is read once.
#[cfg(keyway_planted)]
pub(crate) fn is(fault: &str) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let planted = PLANTED.get_or_init(|| std::env::var("KEYWAY_PLANTED").ok());
    planted.as_deref() == Some(fault)
}

#[cfg(not(keyway_planted))]
#[inline(always)]
pub(crate) const fn is(_fault: &str) -> bool {
    false
}
