//! Reading of files whose placement is a function in code.

use super::{Config, ConfigError, file, read};
use crate::placement::Custom;
use std::path::Path;

/// Reads configurations that may name a [`Custom`] placement: what [`Config::from_file`] does, with functions to choose from.
///
/// ```
/// use keyway::config::ConfigReader;
/// use keyway::placement::Custom;
/// let first_byte = Custom::new("first-byte", 3, |key: &[u8], nodes: u16| {
///     u16::from(key.first().copied().unwrap_or_default()) % nodes
/// });
/// let text = r#"
///     name = "feeds"
///     [placement]
///     algorithm = "custom"
///     custom = "first-byte"
///     version = 3
///     nodes = 64
///     [servers.a]
///     url = "redis://10.0.0.1:6379"
///     nodes = "0-63"
/// "#;
/// let reader = ConfigReader::new().custom(first_byte);
/// let config = reader.parse(text, "cluster.toml".as_ref(), &|_| None)?;
/// assert_eq!(config.placement().node(b"a:1").0, u16::from(b'a') % 64);
/// # Ok::<(), keyway::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ConfigReader {
    customs: Vec<Custom>,
}

impl ConfigReader {
    /// One that knows no function yet.
    pub fn new() -> ConfigReader {
        ConfigReader::default()
    }

    /// Registers a function, for files with its name and version. Several versions of one function may be registered; the same name and
    /// version twice are an error in files that name them.
    pub fn custom(mut self, custom: Custom) -> ConfigReader {
        self.customs.push(custom);
        self
    }

    /// Reads a TOML file, as [`Config::from_file`] does.
    ///
    /// # Errors
    /// As there, and where the file names a function, or a version of one, that is not registered.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Config, ConfigError> {
        let path = path.as_ref();
        let text = read(path).map_err(|error| ConfigError::unreadable(path, error))?;
        self.parse(&text, path, &|name| std::env::var(name).ok())
    }

    /// Reads TOML text, as [`Config::parse`] does.
    ///
    /// # Errors
    /// As [`read`](ConfigReader::read), without those of reading a file.
    pub fn parse(
        &self,
        text: &str,
        origin: &Path,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        file::parse(text, origin, env, &self.customs)
    }
}
