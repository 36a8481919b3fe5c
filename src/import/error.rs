//! Why a text was refused: where, what was read, what was expected, what to do.

use std::fmt;
use std::path::Path;

/// Why a configuration was not imported. Display is several lines: the place, what was read, what was expected, what to do.
///
/// It shows names and numbers of the text, never a value that may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{report}")]
pub struct ImportError {
    report: Box<Report>,
}

impl ImportError {
    /// The line, from 1; `None` if the error is about the whole.
    pub fn line(&self) -> Option<usize> {
        self.report.problem.at.map(|place| place.line)
    }

    /// The column in that line in characters, from 1.
    pub fn column(&self) -> Option<usize> {
        self.report.problem.at.map(|place| place.column)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Report {
    origin: String,
    problem: Details,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = &self.problem;
        f.write_str(&self.origin)?;
        if let Some(place) = problem.at {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", problem.what)?;
        for (label, text) in [
            ("read", &problem.read),
            ("expected", &problem.expected),
            ("help", &problem.help),
        ] {
            if !text.is_empty() {
                write!(f, "\n  = {label}: {text}")?;
            }
        }
        Ok(())
    }
}

/// A place in a text: line and column in characters, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    pub(super) const START: Place = Place { line: 1, column: 1 };

    /// Where the text goes on behind `before`, which is valid UTF-8.
    pub(super) fn behind(before: &[u8]) -> Place {
        let line_start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        Place {
            line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
            column: 1 + String::from_utf8_lossy(&before[line_start..])
                .chars()
                .count(),
        }
    }
}

/// Something wrong, before it is known what the text is called. Boxed, since it travels in every Result here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem(Box<Details>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Details {
    at: Option<Place>,
    what: String,
    read: String,
    expected: String,
    help: String,
}

/// Longest piece of the text in a message.
const SHOWN_CHARS_MAX: usize = 80;

impl Problem {
    pub(super) fn new(what: impl Into<String>) -> Problem {
        Problem(Box::new(Details {
            what: what.into(),
            ..Details::default()
        }))
    }

    /// The place, unless one is known that is nearer.
    pub(super) fn at(mut self, place: Place) -> Self {
        self.0.at.get_or_insert(place);
        self
    }

    /// What stands there. Never a password.
    pub(super) fn read(mut self, read: impl Into<String>) -> Self {
        self.0.read = shown(&read.into());
        self
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = expected.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = help.into();
        self
    }

    pub(super) fn at_origin(self, origin: &Path) -> ImportError {
        ImportError {
            report: Box::new(Report {
                origin: shown(&origin.display().to_string()),
                problem: *self.0,
            }),
        }
    }
}

/// A piece of the text on one line, without what a terminal would obey, cut where it is too long.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == SHOWN_CHARS_MAX {
            shown.push_str("...");
            break;
        }
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}
