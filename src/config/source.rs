//! Configuration errors: where in the text, what was read, what was expected, what to do. And the one place that hides passwords
//! from them.

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
    pub(super) fn unreadable(path: &Path, source: std::io::Error) -> ConfigError {
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

/// Something wrong with a setting, before it is known where that was written.
#[derive(Debug)]
pub(super) struct Problem {
    /// The setting with its tables: `timeouts.connect`.
    pub(super) path: String,
    /// Where exactly, if the setting's own place is not it.
    pub(super) at: Option<Range<usize>>,
    what: String,
    value: Option<String>,
    note: String,
    related: Option<String>,
    expected: String,
    help: String,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, what: impl Into<String>) -> Problem {
        Problem {
            path: path.into(),
            at: None,
            what: what.into(),
            value: None,
            note: String::new(),
            related: None,
            expected: String::new(),
            help: String::new(),
        }
    }

    /// The place in the text, where it is another than the setting's value.
    pub(super) fn at(self, at: Range<usize>) -> Self {
        Problem {
            at: Some(at),
            ..self
        }
    }

    /// The value, for configurations made in code; a file shows its own text. Never a password.
    pub(super) fn value(self, value: impl fmt::Display) -> Self {
        Problem {
            value: Some(value.to_string()),
            ..self
        }
    }

    /// What is to be said about the value: "which ...".
    pub(super) fn note(self, note: impl Into<String>) -> Self {
        Problem {
            note: note.into(),
            ..self
        }
    }

    /// Another setting, whose line ends the note.
    pub(super) fn related(self, path: impl Into<String>) -> Self {
        Problem {
            related: Some(path.into()),
            ..self
        }
    }

    pub(super) fn expected(self, expected: impl Into<String>) -> Self {
        Problem {
            expected: expected.into(),
            ..self
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Problem {
            help: help.into(),
            ..self
        }
    }

    /// The error for a configuration made in code.
    pub(super) fn in_code(self, cluster: &str) -> ConfigError {
        let mut parts: Vec<String> = self.value.into_iter().collect();
        parts.extend(Some(self.note).filter(|note| !note.is_empty()));
        let read = if parts.is_empty() {
            String::new()
        } else {
            format!("read: {}", parts.join(", "))
        };
        ConfigError {
            report: Box::new(Report {
                place: cluster.to_owned(),
                setting: self.path,
                what: self.what,
                read,
                excerpt: None,
                expected: self.expected,
                help: self.help,
            }),
            source: None,
        }
    }
}

/// A text with what is known about it: where each setting is, and what must not be printed.
pub(super) struct Source<'a> {
    text: &'a str,
    origin: String,
    spans: HashMap<String, Range<usize>>,
    /// Texts from variables and passwords, each with what is printed in their place.
    hidden: Vec<(String, String)>,
}

/// Shorter texts would be replaced where they only happen to occur. None gets into a message by itself anyway.
const HIDDEN_BYTES_MIN: usize = 4;

/// Longest line shown; of a longer one, the part around the mark.
const SHOWN_CHARS_MAX: usize = 120;

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str, origin: &Path) -> Source<'a> {
        Source {
            text,
            origin: origin.display().to_string(),
            spans: HashMap::new(),
            hidden: Vec::new(),
        }
    }

    pub(super) fn locate(&mut self, path: &str, at: Range<usize>) {
        self.spans.insert(path.to_owned(), at);
    }

    /// From now on, no message shows `secret`.
    pub(super) fn hide(&mut self, secret: &str, shown: String) {
        if secret.len() >= HIDDEN_BYTES_MIN {
            self.hidden.push((secret.to_owned(), shown));
            // The longest first, or a part of one that contains another would stay.
            self.hidden
                .sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        }
    }

    pub(super) fn error(&self, problem: Problem) -> ConfigError {
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

        let masked = Masked::new(line, self.context(line_start));
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

/// At most `max` characters of a text.
fn clip(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max - 3).collect();
    short.push_str("...");
    short
}

/// A line that may be printed.
struct Masked {
    text: String,
    /// Ranges of the original line that are replaced by [`MASK`], ascending.
    cuts: Vec<Range<usize>>,
    /// Where the original ends for us: its comment starts here.
    end: usize,
}

const MASK: &str = "***";

impl Masked {
    /// `context` is the key of an earlier line that this one may continue.
    fn new(line: &str, context: Option<&str>) -> Masked {
        let marks = Marks::new(line);
        // A comment may say anything: "old password: ...".
        let end = line[..marks.comment.unwrap_or(line.len())].trim_end().len();
        let mut cuts = secret_values(&line[..end], &marks, context);
        cuts.extend(secret_urls(&line[..end], &marks));
        cuts.sort_by_key(|cut| (cut.start, std::cmp::Reverse(cut.end)));
        let mut disjoint: Vec<Range<usize>> = Vec::new();
        for cut in cuts.into_iter().filter(|cut| !cut.is_empty()) {
            match disjoint.last_mut() {
                Some(last) if cut.start <= last.end => last.end = last.end.max(cut.end),
                _ => disjoint.push(cut),
            }
        }
        let mut text = String::new();
        let mut copied = 0;
        for cut in &disjoint {
            text.push_str(&line[copied..cut.start]);
            text.push_str(MASK);
            copied = cut.end;
        }
        text.push_str(&line[copied.min(end)..end]);
        Masked {
            text,
            cuts: disjoint,
            end,
        }
    }

    /// Where an offset of the original line is now. Inside of what is hidden: before the mask, or after it.
    fn position(&self, offset: usize, after: bool) -> usize {
        let offset = offset.min(self.end);
        let mut removed = 0;
        let mut added = 0;
        for cut in &self.cuts {
            if offset <= cut.start {
                break;
            }
            if offset < cut.end {
                return cut.start - removed + added + if after { MASK.len() } else { 0 };
            }
            removed += cut.len();
            added += MASK.len();
        }
        offset - removed + added
    }
}

/// What a line consists of, as far as hiding needs to know. Works on broken lines too.
struct Marks {
    /// Contents of strings; an unclosed one goes to the end of the line.
    strings: Vec<Range<usize>>,
    /// `=` outside of strings.
    equals: Vec<usize>,
    comment: Option<usize>,
}

impl Marks {
    fn new(line: &str) -> Marks {
        let mut marks = Marks {
            strings: Vec::new(),
            equals: Vec::new(),
            comment: None,
        };
        let mut open: Option<(char, usize)> = None;
        let mut chars = line.char_indices();
        while let Some((at, c)) = chars.next() {
            match (open, c) {
                (Some(('"', _)), '\\') => drop(chars.next()),
                (Some((quote, start)), c) if c == quote => {
                    marks.strings.push(start..at);
                    open = None;
                }
                (Some(_), _) => {}
                (None, '"' | '\'') => open = Some((c, at + 1)),
                (None, '=') => marks.equals.push(at),
                (None, '#') => {
                    marks.comment = Some(at);
                    break;
                }
                (None, _) => {}
            }
        }
        if let Some((_, start)) = open {
            marks.strings.push(start..line.len());
        }
        marks
    }
}

fn is_key_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// The last part of the key that ends before `equals`.
fn key_before(line: &str, equals: usize) -> &str {
    let left = line[..equals].trim_end().trim_end_matches(['"', '\'']);
    let start = left.rfind(|c| !is_key_char(c)).map_or(0, |at| {
        at + left[at..].chars().next().map_or(1, char::len_utf8)
    });
    &left[start..]
}

/// Only values of settings that we know are shown: a misspelt `passwrod` is as secret as a `password`.
fn may_show(key: &str) -> bool {
    use super::schema::closest_setting;
    closest_setting(key).is_some_and(|setting| setting != "password")
}

fn secret_values(line: &str, marks: &Marks, context: Option<&str>) -> Vec<Range<usize>> {
    let trimmed = line.trim_start();
    let indent = line.len() - trimmed.len();
    if marks.equals.is_empty() {
        if trimmed.starts_with('[') {
            return Vec::new();
        }
        let word_end = trimmed.find(|c| !is_key_char(c)).unwrap_or(trimmed.len());
        let word = &trimmed[..word_end];
        let continues = matches!(
            trimmed.chars().next(),
            Some('"' | '\'' | ',' | ']' | '}' | '0'..='9')
        );
        if (continues && context.is_some_and(may_show)) || (!word.is_empty() && may_show(word)) {
            return Vec::new();
        }
        if closest_is_password(word) {
            return vec![indent + word_end..line.len()];
        }
        return vec![indent..line.len()];
    }
    let mut cuts = Vec::new();
    for &equals in &marks.equals {
        if may_show(key_before(line, equals)) {
            continue;
        }
        let value = &line[equals + 1..];
        let start = equals + 1 + (value.len() - value.trim_start().len());
        if value.trim_start().starts_with('{') {
            // `a = { ... }`: the keys in it are looked at one by one.
            continue;
        }
        cuts.push(start..end_of_value(line, start, marks));
    }
    cuts
}

fn closest_is_password(word: &str) -> bool {
    super::schema::closest_setting(word) == Some("password")
}

/// The end of a well-formed string that starts here, else of the line.
fn end_of_value(line: &str, start: usize, marks: &Marks) -> usize {
    let Some(string) = marks
        .strings
        .iter()
        .find(|string| string.start == start + 1)
    else {
        return line.len();
    };
    let after = (string.end + 1).min(line.len());
    match line[after..].trim_start().chars().next() {
        None | Some(',' | '}') => after,
        Some(_) => line.len(),
    }
}

fn secret_urls(line: &str, marks: &Marks) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    for string in &marks.strings {
        let string = string.start.min(line.len())..string.end.min(line.len());
        cuts.extend(shift(secret_in_url(&line[string.clone()]), string.start));
    }
    // Outside of strings: somebody forgot the quotes, so that nothing tells where the value ends.
    if let Some(equals) = marks.equals.first()
        && marks.strings.is_empty()
    {
        cuts.extend(shift(secret_in_url(&line[equals + 1..]), equals + 1));
    }
    cuts
}

fn shift(cuts: Vec<Range<usize>>, by: usize) -> impl Iterator<Item = Range<usize>> {
    cuts.into_iter()
        .map(move |cut| cut.start + by..cut.end + by)
}

/// A URL, right or wrong, without its password.
pub(super) fn mask_url(url: &str) -> String {
    let mut masked = url.to_owned();
    for cut in secret_in_url(url).into_iter().rev() {
        masked.replace_range(cut, MASK);
    }
    clip(&masked, SHOWN_CHARS_MAX)
}

/// What must be hidden of a text that may be a URL: disjoint, ascending. Hides too much rather than too little, for the URLs that
/// come here are wrong ones.
fn secret_in_url(text: &str) -> Vec<Range<usize>> {
    let Some(scheme_end) = text.find("://").map(|at| at + 3) else {
        let last_at = text.rfind('@');
        // "redis:secret", "redis:/:secret@host"; but "10.0.0.1:6379" and "a${B}" may be seen.
        let suspicious = text.split_once(':').is_some_and(|(before, after)| {
            matches!(before, "redis" | "rediss" | "unix" | "redis+unix")
                || (!before.is_empty() && !before.contains(' ') && after.starts_with('/'))
        });
        return match last_at {
            Some(at) => vec![0..at],
            None if suspicious => vec![0..text.len()],
            None => Vec::new(),
        };
    };
    let mut cuts = Vec::new();
    let mut rest = scheme_end;
    if let Some(at) = text[scheme_end..].rfind('@').map(|at| scheme_end + at) {
        let start = text[scheme_end..at]
            .find(':')
            .map_or(scheme_end, |colon| scheme_end + colon + 1);
        cuts.push(start..at);
        rest = at + 1;
    } else {
        let host_end = text[rest..]
            .find(']')
            .map_or(rest, |bracket| rest + bracket + 1);
        let authority_end = text[host_end..]
            .find(['/', '?', '#'])
            .map_or(text.len(), |end| host_end + end);
        if let Some(colon) = text[host_end..authority_end]
            .find(':')
            .map(|colon| host_end + colon)
        {
            let port = &text[colon + 1..authority_end];
            if colon == scheme_end
                || !(port.bytes().all(|byte| byte.is_ascii_digit()) || port.starts_with("${"))
            {
                // The `@` was forgotten, so this is a password.
                return vec![colon + 1..text.len()];
            }
        }
    }
    if let Some(query) = text[rest..].find('?').map(|at| rest + at + 1) {
        let mut start = query;
        for pair in text[query..].split('&') {
            if let Some((name, value)) = pair.split_once('=')
                && name != "db"
            {
                cuts.push(start + name.len() + 1..start + name.len() + 1 + value.len());
            }
            start += pair.len() + 1;
        }
    }
    cuts.retain(|cut| !cut.is_empty());
    cuts
}
