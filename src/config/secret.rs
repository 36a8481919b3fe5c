//! Passwords, which are never printed.

use std::{fmt, io, path::PathBuf};

/// A text that Debug and Display show as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that sends it to a server.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where a password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// Written in the URL, in `password`, or given in code.
    Inline(Secret),
    /// Read anew at each dial, so that a rotated password needs no restart. A change of the file's content does not close
    /// connections that are open.
    File(PathBuf),
}

impl Password {
    /// The password as it is now. One trailing line end is trimmed off a file's content. Reads the file with blocking calls: a
    /// few microseconds, unless the path is on a network.
    ///
    /// # Errors
    /// Those of reading the file; `InvalidData` if it is not UTF-8, is empty, or is larger than 64 KiB.
    pub fn read(&self) -> Result<Secret, io::Error> {
        match self {
            Password::Inline(secret) => Ok(secret.clone()),
            Password::File(path) => read_file(path),
        }
    }
}

/// A password file larger than this is a mistake, such as the path of a log or of a device.
const PASSWORD_FILE_BYTES_MAX: u64 = 64 * 1024;

fn read_file(path: &std::path::Path) -> Result<Secret, io::Error> {
    use io::Read;
    let invalid = |why: &str| {
        let message = format!("password file {}: {why}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let file = std::fs::File::open(path).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("password file {}: {error}", path.display()),
        )
    })?;
    let mut bytes = Vec::new();
    file.take(PASSWORD_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > PASSWORD_FILE_BYTES_MAX {
        return Err(invalid("larger than 64 KiB"));
    }
    // The error of from_utf8 would carry the bytes.
    let mut text = String::from_utf8(bytes).map_err(|_| invalid("not UTF-8"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(invalid("empty"));
    }
    Ok(Secret(text))
}
