//! Configuration errors: where in the text, what was read, what was expected, what to do.

use super::mask::{MASK, Marks, Masked, clip, ends_inside_secret, key_before};
use std::{collections::HashMap, fmt, ops::Range, path::Path};

/// Why a configuration was refused. Display is several lines: the place, the line as it was read, what was expected, what to do.
///
/// It holds no password: those in a shown line are replaced by `***`, and a variable's value by its `${NAME}`.
#[derive(Debug, thiserror::Error)]
#[error("{report}")]
pub struct ConfigError {
    report: Box<Report>,
    #[source]
    source: Option<std::io::Error>,
}

impl ConfigError {
    /// The line in the file, from 1; `None` if the configuration was made in code, or the file could not be read.
    pub fn line(&self) -> Option<usize> {
        self.report.excerpt.as_ref().map(|excerpt| excerpt.line)
    }

    /// The column in that line in characters, from 1.
    pub fn column(&self) -> Option<usize> {
        self.report.excerpt.as_ref().map(|excerpt| excerpt.column)
    }

    /// The setting's name with its tables, such as `timeouts.connect`; empty if the error is about the whole.
    pub fn setting(&self) -> &str {
        &self.report.setting
    }

    /// A file that cannot be read at all.
    pub(crate) fn unreadable(path: &Path, source: std::io::Error) -> ConfigError {
        let help = match source.kind() {
            std::io::ErrorKind::NotFound => {
                "check the path; relative paths start at the current directory"
            }
            std::io::ErrorKind::PermissionDenied => {
                "check the file's owner and mode, and those of its directories"
            }
            _ => "check the path",
        };
        ConfigError {
            report: Box::new(Report {
                place: path.display().to_string(),
                what: "the file cannot be read".to_owned(),
                expected: "a TOML file".to_owned(),
                help: help.to_owned(),
                ..Report::default()
            }),
            source: Some(source),
        }
    }
}

#[derive(Debug, Default)]
struct Report {
    /// The file, or the cluster if there is no file.
    place: String,
    setting: String,
    what: String,
    read: String,
    excerpt: Option<Excerpt>,
    expected: String,
    help: String,
}

#[derive(Debug)]
struct Excerpt {
    line: usize,
    column: usize,
    /// The line without its comment, passwords replaced.
    shown: String,
    /// Characters before the mark, and its width.
    indent: usize,
    width: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)?;
        match &self.excerpt {
            Some(at) => {
                let number = at.line.to_string();
                let margin = " ".repeat(number.len());
                writeln!(f, ":{}:{}: {}", at.line, at.column, self.what)?;
                writeln!(f, "{margin} |")?;
                writeln!(f, "{}", format!("{number} | {}", at.shown).trim_end())?;
                let mark = format!(
                    "{margin} | {}{} {}",
                    " ".repeat(at.indent),
                    "^".repeat(at.width),
                    self.read
                );
                f.write_str(mark.trim_end())?;
                self.advise(f, &margin)
            }
            None => {
                let colon = if self.setting.is_empty() { "" } else { ": " };
                write!(f, "{colon}{}: {}", self.setting, self.what)?;
                if !self.read.is_empty() {
                    write!(f, "\n  = {}", self.read)?;
                }
                self.advise(f, " ")
            }
        }
    }
}

impl Report {
    fn advise(&self, f: &mut fmt::Formatter<'_>, margin: &str) -> fmt::Result {
        if !self.expected.is_empty() {
            write!(f, "\n{margin} = expected: {}", self.expected)?;
        }
        if !self.help.is_empty() {
            write!(f, "\n{margin} = help: {}", self.help)?;
        }
        Ok(())
    }
}

/// Something wrong with a setting, before it is known where that was written. Boxed, since it travels in every Result here.
#[derive(Debug)]
pub(crate) struct Problem(Box<Details>);

#[derive(Debug, Default)]
struct Details {
    /// The setting with its tables: `timeouts.connect`.
    path: String,
    /// Where exactly, if the setting's own place is not it.
    at: Option<Range<usize>>,
    what: String,
    value: Option<String>,
    note: String,
    related: Option<String>,
    expected: String,
    help: String,
}

impl Problem {
    pub(crate) fn new(path: impl Into<String>, what: impl Into<String>) -> Problem {
        Problem(Box::new(Details {
            path: path.into(),
            what: what.into(),
            ..Details::default()
        }))
    }

    /// The place in the text, where it is another than the setting's value.
    pub(crate) fn at(mut self, at: Range<usize>) -> Self {
        self.0.at = Some(at);
        self
    }

    /// The value, for configurations made in code; a file shows its own text. Never a password.
    pub(crate) fn value(mut self, value: impl fmt::Display) -> Self {
        self.0.value = Some(value.to_string());
        self
    }

    /// What is to be said about the value: "which ...".
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.0.note = note.into();
        self
    }

    /// Another setting, whose line ends the note.
    pub(crate) fn related(mut self, path: impl Into<String>) -> Self {
        self.0.related = Some(path.into());
        self
    }

    pub(crate) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = expected.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = help.into();
        self
    }

    /// The error for a configuration made in code.
    pub(crate) fn in_code(self, cluster: &str) -> ConfigError {
        let problem = *self.0;
        let mut parts: Vec<String> = problem.value.into_iter().collect();
        parts.extend(Some(problem.note).filter(|note| !note.is_empty()));
        let read = if parts.is_empty() {
            String::new()
        } else {
            format!("read: {}", parts.join(", "))
        };
        ConfigError {
            report: Box::new(Report {
                place: cluster.to_owned(),
                setting: problem.path,
                what: problem.what,
                read,
                excerpt: None,
                expected: problem.expected,
                help: problem.help,
            }),
            source: None,
        }
    }
}

/// A text with what is known about it: where each setting is, and what must not be printed.
pub(crate) struct Source<'a> {
    text: &'a str,
    origin: String,
    spans: HashMap<String, Range<usize>>,
    /// Texts from variables and passwords, each with what is printed in their place.
    hidden: Vec<(String, String)>,
    /// Lines are shown as they are.
    is_public: bool,
}

/// Shorter texts would be replaced where they only happen to occur. None gets into a message by itself anyway.
const HIDDEN_BYTES_MIN: usize = 4;

/// Longest line shown; of a longer one, the part around the mark.
pub(crate) const SHOWN_CHARS_MAX: usize = 120;

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str, origin: &Path) -> Source<'a> {
        Source {
            text,
            origin: origin.display().to_string(),
            spans: HashMap::new(),
            hidden: Vec::new(),
            is_public: false,
        }
    }

    /// A text that is known to hold no secret, so that nothing of it is hidden.
    pub(crate) fn public(self) -> Source<'a> {
        Source {
            is_public: true,
            ..self
        }
    }

    pub(crate) fn locate(&mut self, path: &str, at: Range<usize>) {
        self.spans.insert(path.to_owned(), at);
    }

    /// From now on, no message shows `secret`.
    pub(crate) fn hide(&mut self, secret: &str, shown: String) {
        if secret.len() >= HIDDEN_BYTES_MIN {
            self.hidden.push((secret.to_owned(), shown));
            // The longest first, or a part of one that contains another would stay.
            self.hidden
                .sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        }
    }

    /// Nothing there may be named: it may belong to a secret that was left open.
    pub(super) fn is_hidden(&self, at: Range<usize>) -> bool {
        self.excerpt(at).1.contains(MASK)
    }

    pub(crate) fn error(&self, problem: Problem) -> ConfigError {
        let problem = *problem.0;
        let at = problem
            .at
            .clone()
            .unwrap_or_else(|| self.whole_header(self.span_of(&problem.path)));
        let (excerpt, token) = self.excerpt(at);
        let mut parts: Vec<String> = Some(token)
            .filter(|token| !token.is_empty())
            .into_iter()
            .collect();
        if !problem.note.is_empty() {
            let mut note = self.scrub(problem.note);
            if let Some(related) = &problem.related {
                note += &format!(" (line {})", self.line_of(self.span_of(related).start));
            }
            parts.push(note);
        }
        let read = if parts.is_empty() {
            String::new()
        } else {
            format!("read: {}", parts.join(", "))
        };
        ConfigError {
            report: Box::new(Report {
                place: self.origin.clone(),
                setting: self.scrub(problem.path),
                what: self.scrub(problem.what),
                read,
                excerpt: Some(excerpt),
                expected: self.scrub(problem.expected),
                help: self.scrub(problem.help),
            }),
            source: None,
        }
    }

    fn scrub(&self, message: String) -> String {
        self.hidden
            .iter()
            .fold(message, |message, (secret, shown)| {
                message.replace(secret.as_str(), shown)
            })
    }

    /// Where the setting is; where its table is, if it is not there.
    fn span_of(&self, path: &str) -> Range<usize> {
        let mut path = path;
        loop {
            if let Some(span) = self.spans.get(path) {
                return span.clone();
            }
            match path.rfind('.') {
                Some(dot) => path = &path[..dot],
                None => return 0..0,
            }
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        1 + self.text.as_bytes()[..offset.min(self.text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    }

    /// A table is known by a part of its key; what is shown of it is `[servers.a]`.
    fn whole_header(&self, at: Range<usize>) -> Range<usize> {
        let (Some(before), Some(after)) = (self.text.get(..at.start), self.text.get(at.end..))
        else {
            return at;
        };
        let line = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = after
            .find('\n')
            .map_or(self.text.len(), |newline| at.end + newline);
        match self.text[at.end..line_end].find(']') {
            Some(close) if before[line..].trim_start().starts_with('[') => line..at.end + close + 1,
            _ => at,
        }
    }

    /// The line around a span, and the span's text, both without passwords.
    fn excerpt(&self, at: Range<usize>) -> (Excerpt, String) {
        let floor = |offset: usize| {
            let mut offset = offset.min(self.text.len());
            while !self.text.is_char_boundary(offset) {
                offset -= 1;
            }
            offset
        };
        let (start, end) = (floor(at.start), floor(at.end.max(at.start)));
        let line_start = self.text[..start]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let line_end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |newline| start + newline);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let from = (start - line_start).min(line.len());
        let to = (end.min(line_end) - line_start).min(line.len()).max(from);

        let masked = match !self.is_public && ends_inside_secret(&self.text[..line_start]) {
            true => Masked::whole(line),
            false if self.is_public => Masked::nothing(line),
            false => Masked::new(line, self.context(line_start)),
        };
        let (shown_from, shown_to) = (masked.position(from, false), masked.position(to, true));
        let token = clip(masked.text[shown_from..shown_to.max(shown_from)].trim(), 60);
        let chars = |text: &str| text.chars().count();
        let mut shown = masked.text.clone();
        let mut indent = chars(&masked.text[..shown_from]);
        let mut width = chars(&masked.text[shown_from..shown_to.max(shown_from)]).max(1);
        if chars(&shown) > SHOWN_CHARS_MAX {
            let skipped = indent.saturating_sub(40);
            let dots = if skipped > 0 { "..." } else { "" };
            let window: String = shown.chars().skip(skipped).take(SHOWN_CHARS_MAX).collect();
            let more = if chars(&shown) > skipped + SHOWN_CHARS_MAX {
                "..."
            } else {
                ""
            };
            width = width.min(SHOWN_CHARS_MAX - (indent - skipped));
            indent = indent - skipped + dots.len();
            shown = format!("{dots}{window}{more}");
        }
        let shown = shown
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let excerpt = Excerpt {
            line: self.line_of(start),
            column: chars(&line[..from]) + 1,
            shown,
            indent,
            width,
        };
        (
            excerpt,
            token
                .chars()
                .map(|c| if c.is_control() { ' ' } else { c })
                .collect(),
        )
    }

    /// The last key in the lines above, which a line without a key belongs to.
    fn context(&self, line_start: usize) -> Option<&str> {
        self.text[..line_start].lines().rev().find_map(|line| {
            let equals = *Marks::new(line).equals.first()?;
            Some(key_before(line, equals))
        })
    }
}
