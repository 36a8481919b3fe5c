//! Hides passwords in what is printed of a file: of lines that are right, and above all of those that are not.

use super::schema::closest_setting;
use std::ops::Range;

/// At most `max` characters of a text.
pub(super) fn clip(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(max - 3).collect();
    short.push_str("...");
    short
}

/// A line that may be printed.
pub(super) struct Masked {
    pub(super) text: String,
    /// Ranges of the original line that are replaced by [`MASK`], ascending.
    cuts: Vec<Range<usize>>,
    /// Where the original ends for us: its comment starts here.
    end: usize,
}

/// What is printed in place of a secret.
pub(super) const MASK: &str = "***";

impl Masked {
    /// `context` is the key of an earlier line that this one may continue.
    pub(super) fn new(line: &str, context: Option<&str>) -> Masked {
        let marks = Marks::new(line);
        // A comment may say anything: "old password: ...".
        let end = line[..marks.comment.unwrap_or(line.len())].trim_end().len();
        let mut cuts = secret_values(&line[..end], &marks, context);
        cuts.extend(secret_urls(&line[..end], &marks));
        cuts.extend(secret_hosts(&line[..end], &marks));
        // `#@` may be the rest of a password with a quote in it, so that nothing before it is a host.
        if line[end..].contains('@')
            && let Some(equals) = marks
                .equals
                .iter()
                .find(|equals| closest_setting(key_before(line, **equals)) == Some("url"))
        {
            cuts.push((equals + 1).min(end)..end);
        }
        let disjoint = merged(cuts);
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

    /// A line of which nothing may be printed.
    pub(super) fn whole(line: &str) -> Masked {
        let end = line.trim_end().len();
        let start = line.len() - line.trim_start().len();
        let cut = start.min(end)..end;
        Masked {
            text: format!("{}{MASK}", &line[..cut.start]),
            cuts: vec![cut],
            end,
        }
    }

    /// The line as it is, of a file that has no secrets, without its comment.
    pub(super) fn nothing(line: &str) -> Masked {
        let end = Marks::new(line).comment.unwrap_or(line.len());
        let text = line[..end].trim_end().to_owned();
        Masked {
            end: text.len(),
            text,
            cuts: Vec::new(),
        }
    }

    /// Where an offset of the original line is now. Inside of what is hidden: before the mask, or after it.
    pub(super) fn position(&self, offset: usize, after: bool) -> usize {
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
pub(super) struct Marks {
    /// Contents of strings; an unclosed one goes to the end of the line.
    strings: Vec<Range<usize>>,
    /// `=` outside of strings.
    pub(super) equals: Vec<usize>,
    comment: Option<usize>,
}

impl Marks {
    pub(super) fn new(line: &str) -> Marks {
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
pub(super) fn key_before(line: &str, equals: usize) -> &str {
    let left = line[..equals].trim_end().trim_end_matches(['"', '\'']);
    let start = left.rfind(|c| !is_key_char(c)).map_or(0, |at| {
        at + left[at..].chars().next().map_or(1, char::len_utf8)
    });
    &left[start..]
}

/// Settings whose values are never shown. Labels are hashed for a node in place of its name, for they may hold its password.
const SECRET: [&str; 2] = ["password", "labels"];

/// Only values of settings that we know are shown: a misspelt `passwrod` is as secret as a `password`.
fn may_show(key: &str) -> bool {
    closest_setting(key).is_some_and(|setting| !SECRET.contains(&setting))
}

/// Whether a secret value of several lines, a list or a string, goes on after `text`. Up to the first mistake in a file, which is the one that is
/// told, this reads it as TOML does.
pub(super) fn ends_inside_secret(text: &str) -> bool {
    let mut key = None;
    let mut depth = 0_usize;
    let mut open: Option<&str> = None;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let mut length = c.len_utf8();
        match open {
            Some(quote) => {
                if c == '\\' && quote.starts_with('"') {
                    length += rest[1..].chars().next().map_or(0, char::len_utf8);
                } else if rest.starts_with(quote) || (c == '\n' && quote.len() == 1) {
                    length = if c == '\n' { 1 } else { quote.len() };
                    open = None;
                }
            }
            None => {
                let quote = ["\"\"\"", "'''", "\"", "'"]
                    .into_iter()
                    .find(|quote| rest.starts_with(quote));
                match c {
                    _ if quote.is_some() => {
                        length = quote.map_or(1, str::len);
                        open = quote;
                    }
                    '#' => length = rest.find('\n').unwrap_or(rest.len()),
                    '=' => key = Some(at),
                    // Not those of `[servers.a]`.
                    '[' | '{' if key.is_some() => depth += 1,
                    ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
        if c == '\n' && depth == 0 && open.is_none() {
            key = None;
        }
        at += length;
    }
    key.is_some_and(|equals| {
        let line = text[..equals].rfind('\n').map_or(0, |newline| newline + 1);
        !may_show(key_before(&text[line..], equals - line))
    })
}

#[expect(
    clippy::single_range_in_vec_init,
    reason = "a list of one cut, not the numbers in it"
)]
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
        if closest_is_secret(word) {
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
        if opens_table(value) && !closest_is_secret(key_before(line, equals)) {
            // `a = { ... }`: the keys in it are looked at one by one.
            continue;
        }
        cuts.push(start..end_of_value(line, start, marks));
    }
    cuts
}

fn closest_is_secret(word: &str) -> bool {
    closest_setting(word).is_some_and(|setting| SECRET.contains(&setting))
}

/// The end of a well-formed string that starts here, else of the line.
fn end_of_value(line: &str, start: usize, marks: &Marks) -> usize {
    match marks
        .strings
        .iter()
        .find(|string| string.start == start + 1)
    {
        Some(string) if is_closed(line, string) => string.end + 1,
        _ => line.len(),
    }
}

/// Whether nothing but the end of the line or another known setting follows a string. Otherwise its quote may be one of a password's own
/// characters, and the password goes on.
fn is_closed(line: &str, string: &Range<usize>) -> bool {
    let Some(after) = line.get(string.end + 1..).map(str::trim) else {
        return false;
    };
    let next_key = after
        .strip_prefix(',')
        .and_then(|next| next.split_once('='));
    matches!(after, "" | "}")
        || next_key.is_some_and(|(key, _)| closest_setting(key.trim()) == Some(key.trim()))
}

fn secret_urls(line: &str, marks: &Marks) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let is_url = marks
        .equals
        .iter()
        .any(|equals| closest_setting(key_before(line, *equals)) == Some("url"));
    for string in &marks.strings {
        let mut string = string.start.min(line.len())..string.end.min(line.len());
        if !is_closed(line, &string) && (is_url || line[string.clone()].contains("://")) {
            string.end = line.len();
        }
        cuts.extend(shift(secret_in_url(&line[string.clone()]), string.start));
    }
    // Outside of strings: somebody forgot the quotes, so that nothing tells where the value ends.
    for equals in &marks.equals {
        let value = &line[(equals + 1).min(line.len())..];
        let start = line.len() - value.trim_start().len();
        if closest_setting(key_before(line, *equals)) == Some("url")
            && !value.trim_start().starts_with(['"', '\''])
        {
            cuts.extend(shift(secret_in_url(&line[start..]), start));
        }
    }
    cuts
}

/// Of what rb hashes, in a list of names by mistake: `<HostInfo db=0 ... password='...' port=6379 ...>`.
fn secret_hosts(line: &str, marks: &Marks) -> Vec<Range<usize>> {
    let strings = marks.strings.iter();
    let secret = |string: &Range<usize>| {
        let text = line.get(string.start..string.end.min(line.len()))?;
        let at = text.find("password=")? + "password=".len();
        let is_none = text[at..].starts_with("None") && !text[at..].contains("password=");
        (text.contains("HostInfo") && !is_none).then(|| string.start + at..line.len())
    };
    strings.filter_map(secret).collect()
}

fn shift(cuts: Vec<Range<usize>>, by: usize) -> impl Iterator<Item = Range<usize>> {
    cuts.into_iter()
        .map(move |cut| cut.start + by..cut.end + by)
}

/// A URL, right or wrong, without its password.
pub(super) fn mask_url(url: &str) -> String {
    let mut masked = url.to_owned();
    for cut in merged(secret_in_url(url)).into_iter().rev() {
        masked.replace_range(cut, MASK);
    }
    clip(&masked, super::source::SHOWN_CHARS_MAX)
}

/// What must be hidden of a text that may be a URL: any order. Hides too much rather than too little, for the URLs that
/// come here are wrong ones.
#[expect(
    clippy::single_range_in_vec_init,
    reason = "a list of one cut, not the numbers in it"
)]
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
    let is_unix = text.starts_with("unix:") || text.starts_with("redis+unix:");
    // A socket has no user before its path; `@` is a part of the path or of a parameter.
    let userinfo_end = match is_unix && text[scheme_end..].starts_with('/') {
        true => None,
        false => text[scheme_end..].rfind('@').map(|at| scheme_end + at),
    };
    if let Some(at) = userinfo_end {
        let start = text[scheme_end..at]
            .find(':')
            .map_or(scheme_end, |colon| scheme_end + colon + 1);
        cuts.push(start..at);
        rest = at + 1;
    } else {
        let host_end = match text[rest..]
            .strip_prefix('[')
            .and_then(|inside| inside.split_once(']'))
        {
            Some((host, _))
                if host
                    .bytes()
                    .all(|byte| byte.is_ascii_hexdigit() || byte == b':') =>
            {
                rest + host.len() + 2
            }
            _ => rest,
        };
        let authority_end = text[host_end..]
            .find(['/', '?', '#'])
            .map_or(text.len(), |end| host_end + end);
        if let Some(colon) = text[host_end..authority_end]
            .find(':')
            .map(|colon| host_end + colon)
        {
            let port = &text[colon + 1..authority_end];
            if colon == scheme_end || !(is_number(port) || port.starts_with("${")) {
                // The `@` was forgotten, so this is a password.
                return vec![colon + 1..text.len()];
            }
        }
        // So may be what follows a number that is no port.
        let path_end = text[authority_end..]
            .find(['?', '#'])
            .map_or(text.len(), |end| authority_end + end);
        let path = authority_end + 1..path_end;
        if !is_unix && path.start < path_end && !is_number(&text[path.clone()]) {
            return vec![path.start..text.len()];
        }
    }
    if let Some(fragment) = text[rest..].find('#').map(|at| rest + at + 1)
        && &text[fragment..] != "insecure"
    {
        cuts.push(fragment..text.len());
    }
    if let Some(query) = text[rest..].find('?').map(|at| rest + at + 1) {
        let mut start = query;
        for pair in text[query..].split('&') {
            match pair.split_once('=') {
                Some(("db", number)) if is_number(number) => {}
                Some((name, _)) => cuts.push(start + name.len() + 1..start + pair.len()),
                None => cuts.push(start..start + pair.len()),
            }
            start += pair.len() + 1;
        }
    }
    cuts.retain(|cut| !cut.is_empty());
    cuts
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Ascending and disjoint.
fn merged(mut cuts: Vec<Range<usize>>) -> Vec<Range<usize>> {
    cuts.sort_by_key(|cut| cut.start);
    let mut disjoint: Vec<Range<usize>> = Vec::new();
    for cut in cuts.into_iter().filter(|cut| !cut.is_empty()) {
        match disjoint.last_mut() {
            Some(last) if cut.start <= last.end => last.end = last.end.max(cut.end),
            _ => disjoint.push(cut),
        }
    }
    disjoint
}

/// Whether a value is an inline table that starts with a known setting.
fn opens_table(value: &str) -> bool {
    let first_key = value
        .trim_start()
        .strip_prefix('{')
        .and_then(|inside| inside.split_once('='));
    first_key.is_some_and(|(key, _)| closest_setting(key.trim()) == Some(key.trim()))
}
