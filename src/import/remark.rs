//! What a cluster file cannot say by itself.

use serde::Serialize;
use std::fmt;

/// What kind of remark it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// The user has to do something before the file can be used.
    ToDo,
    /// The original does something that keyway does not.
    NoEqual,
    /// keyway does the same in another way, or by itself.
    Different,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::ToDo, Kind::NoEqual, Kind::Different];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Kind::ToDo => "to do",
            Kind::NoEqual => "no equal",
            Kind::Different => "different",
        }
    }
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Remark {
    /// What kind.
    pub kind: Kind,
    /// The setting of the original that it is about, as it is called there; empty if it is about none.
    pub setting: String,
    /// The setting's line in the original, from 1; `None` if it does not stand there.
    pub line: Option<usize>,
    /// The remark, a sentence or two.
    pub text: String,
}

impl Remark {
    pub(super) fn new(kind: Kind, setting: impl Into<String>, text: impl Into<String>) -> Remark {
        Remark {
            kind,
            setting: setting.into(),
            line: None,
            text: text.into(),
        }
    }

    pub(super) fn line(mut self, line: usize) -> Remark {
        self.line = Some(line);
        self
    }
}

/// `no equal: auto_eject_hosts (line 7): ...`
impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.title(), self.without_kind())
    }
}

impl Remark {
    pub(super) fn without_kind(&self) -> String {
        match (self.setting.is_empty(), self.line) {
            (true, _) => self.text.clone(),
            (false, None) => format!("{}: {}", self.setting, self.text),
            (false, Some(line)) => format!("{} (line {line}): {}", self.setting, self.text),
        }
    }
}
