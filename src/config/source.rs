//! Configuration errors.

/// Why a configuration was refused.
#[derive(Debug, Default, thiserror::Error)]
#[error("config")]
pub struct ConfigError {}
