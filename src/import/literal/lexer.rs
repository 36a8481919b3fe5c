//! From text to tokens.

use super::super::error::{Place, Problem, shown};
use super::{DEPTH_MAX, Dialect};
use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) place: Place,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum TokenKind {
    Name(String),
    Text {
        text: String,
        is_unicode: bool,
    },
    Bytes(Vec<u8>),
    /// A text with an f before it.
    Formatted,
    Int(i64),
    Float(f64),
    /// A number that settings have no use for: complex, or too large.
    Odd,
    /// Any other single character.
    Sign(char),
    /// `**`, `==` and whatever else has two characters and is no part of a literal.
    Operator(&'static str),
    /// The end of a line outside of brackets.
    Newline,
    End,
}

pub(super) fn tokens(text: &str, dialect: Dialect) -> Result<Vec<Token>, Problem> {
    let mut lexer = Lexer {
        chars: text.chars().peekable(),
        place: Place::START,
        dialect,
        open: Vec::new(),
    };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let is_end = token.kind == TokenKind::End;
        tokens.push(token);
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    chars: Peekable<Chars<'t>>,
    place: Place,
    dialect: Dialect,
    open: Vec<(char, Place)>,
}

const OPERATORS: [&str; 12] = [
    "**", "==", "!=", "<=", ">=", "//", "<<", ">>", "+=", "-=", "->", ":=",
];

impl Lexer<'_> {
    fn peek(&mut self) -> Option<char> {
        self.chars.peek().copied()
    }

    fn second(&self) -> Option<char> {
        self.chars.clone().nth(1)
    }

    fn take(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        if c == '\n' {
            self.place.line += 1;
            self.place.column = 1;
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn next(&mut self) -> Result<Token, Problem> {
        loop {
            let place = self.place;
            let token = |kind| Ok(Token { place, kind });
            let Some(c) = self.peek() else {
                return match self.open.last() {
                    Some((bracket, at)) => Err(Problem::new("a bracket that is not closed")
                        .at(*at)
                        .read(format!("{bracket:?}, and the text ends"))
                        .expected("a closing bracket for each opening one")
                        .help("is this the whole text?")),
                    None => token(TokenKind::End),
                };
            };
            match c {
                '\n' => {
                    self.take();
                    if self.open.is_empty() {
                        return token(TokenKind::Newline);
                    }
                }
                ' ' | '\t' | '\r' | '\u{c}' => {
                    self.take();
                }
                '#' if self.dialect == Dialect::Python => {
                    while self.peek().is_some_and(|c| c != '\n') {
                        self.take();
                    }
                }
                '\\' if matches!(self.second(), Some('\n' | '\r')) => {
                    self.take();
                    if self.peek() == Some('\r') {
                        self.take();
                    }
                    if self.peek() == Some('\n') {
                        self.take();
                    }
                }
                '"' | '\'' => return self.text(place, ""),
                c if c.is_alphabetic() || c == '_' => {
                    let word = self.word();
                    let is_prefix = word.len() <= 2
                        && word.chars().all(|c| "rRuUbBfF".contains(c))
                        && matches!(self.peek(), Some('"' | '\''));
                    return match is_prefix && self.dialect == Dialect::Python {
                        true => self.text(place, &word),
                        false => token(TokenKind::Name(word)),
                    };
                }
                c if c.is_ascii_digit()
                    || (c == '.' && self.second().is_some_and(|c| c.is_ascii_digit())) =>
                {
                    let kind = self.number();
                    return token(kind);
                }
                _ => return self.sign(place, c),
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
            self.take();
        }
        word
    }

    fn sign(&mut self, place: Place, c: char) -> Result<Token, Problem> {
        if c.is_control() {
            return Err(
                Problem::new("a character that has no place outside of quotes")
                    .at(place)
                    .read(format!("{c:?}"))
                    .expected("text")
                    .help("remove it"),
            );
        }
        if let Some(second) = self.second()
            && let Some(operator) = OPERATORS
                .into_iter()
                .find(|operator| operator.chars().eq([c, second]))
        {
            self.take();
            self.take();
            return Ok(Token {
                place,
                kind: TokenKind::Operator(operator),
            });
        }
        self.take();
        match c {
            '(' | '[' | '{' => {
                if self.open.len() == DEPTH_MAX {
                    return Err(Problem::new("brackets too deep in one another")
                        .at(place)
                        .expected(format!("at most {DEPTH_MAX}"))
                        .help("settings are not nested that deep"));
                }
                self.open.push((c, place));
            }
            ')' | ']' | '}' => {
                let matching = match c {
                    ')' => '(',
                    ']' => '[',
                    _ => '{',
                };
                match self.open.pop() {
                    Some((open, _)) if open == matching => {}
                    Some((open, at)) => {
                        return Err(Problem::new("brackets that do not match")
                            .at(place)
                            .read(format!("{c:?} for the {open:?} of line {}", at.line))
                            .expected("a closing bracket for each opening one")
                            .help("a bracket is missing before, or is one too many here"));
                    }
                    None => {
                        return Err(Problem::new("a closing bracket without an opening one")
                            .at(place)
                            .read(format!("{c:?}"))
                            .expected("a closing bracket for each opening one")
                            .help("remove it, or add the opening one"));
                    }
                }
            }
            _ => {}
        }
        Ok(Token {
            place,
            kind: TokenKind::Sign(c),
        })
    }

    /// A number in any notation.
    fn number(&mut self) -> TokenKind {
        let mut digits = String::new();
        while let Some(c) = self.peek() {
            let is_sign = matches!(c, '+' | '-')
                && digits.ends_with(['e', 'E'])
                && !digits.starts_with("0x")
                && !digits.starts_with("0X");
            if !(c.is_ascii_alphanumeric() || c == '_' || c == '.' || is_sign) {
                break;
            }
            digits.push(c);
            self.take();
        }
        let digits = digits.replace('_', "").to_ascii_lowercase();
        // Python 2: 6379L, 0777.
        let whole = digits.trim_end_matches('l');
        let radix = [("0x", 16), ("0o", 8), ("0b", 2)]
            .into_iter()
            .find_map(|(prefix, radix)| Some((whole.strip_prefix(prefix)?, radix)));
        let integer = match radix {
            Some((rest, radix)) => i64::from_str_radix(rest, radix).ok(),
            None if whole.len() > 1
                && whole.starts_with('0')
                && whole.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                i64::from_str_radix(whole, 8).ok()
            }
            None if whole.bytes().all(|byte| byte.is_ascii_digit()) => whole.parse().ok(),
            None => {
                let is_float = digits
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'));
                return match digits.parse::<f64>() {
                    Ok(number) if is_float && number.is_finite() => TokenKind::Float(number),
                    _ => TokenKind::Odd,
                };
            }
        };
        integer.map_or(TokenKind::Odd, TokenKind::Int)
    }

    fn text(&mut self, place: Place, prefix: &str) -> Result<Token, Problem> {
        let has = |letter: char| prefix.chars().any(|c| c.eq_ignore_ascii_case(&letter));
        let (is_raw, is_bytes) = (has('r'), has('b'));
        let quote = self.take().unwrap_or('"');
        if quote == '\'' && self.dialect == Dialect::Json {
            return Err(Problem::new("a text in single quotes")
                .at(place)
                .expected("JSON: texts in double quotes")
                .help("if this is Python, say its format"));
        }
        let mut is_triple = false;
        if self.dialect == Dialect::Python && self.peek() == Some(quote) {
            self.take();
            if self.peek() != Some(quote) {
                return Ok(self.finish(place, prefix, Vec::new()));
            }
            self.take();
            is_triple = true;
        }
        let unclosed = || {
            Problem::new("a text that is not closed")
                .at(place)
                .expected("a closing quote, on the same line unless there are three")
                .help("add the quote; a quote inside of the text has a backslash before it")
        };
        let mut units: Vec<Unit> = Vec::new();
        loop {
            let at = self.place;
            let c = self.take().ok_or_else(unclosed)?;
            match c {
                c if c == quote => {
                    if !is_triple {
                        break;
                    }
                    let mut rest = self.chars.clone();
                    if rest.next() == Some(quote) && rest.next() == Some(quote) {
                        self.take();
                        self.take();
                        break;
                    }
                    units.push(Unit::Char(c));
                }
                '\n' if !is_triple => return Err(unclosed()),
                '\\' if is_raw => {
                    units.push(Unit::Char('\\'));
                    units.push(Unit::Char(self.take().ok_or_else(unclosed)?));
                }
                '\\' => self.escape(at, is_bytes, &mut units)?,
                c => units.push(Unit::Char(c)),
            }
        }
        Ok(self.finish(place, prefix, units))
    }

    /// What a backslash starts.
    fn escape(&mut self, at: Place, is_bytes: bool, units: &mut Vec<Unit>) -> Result<(), Problem> {
        let refused = |what: &str, read: &str| {
            Err(Problem::new(what)
                .at(at)
                .read(shown(read))
                .expected("an escape that the language has: \\n, \\\", \\\\, \\u00e9")
                .help("a backslash itself is written twice"))
        };
        let is_json = self.dialect == Dialect::Json;
        let Some(c) = self.take() else {
            return refused("a text that ends in a backslash", "\\");
        };
        let simple = match c {
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            '\\' | '"' => Some(c),
            '/' if is_json => Some('/'),
            '\'' if !is_json => Some('\''),
            'a' if !is_json => Some('\u{7}'),
            'v' if !is_json => Some('\u{b}'),
            _ => None,
        };
        if let Some(c) = simple {
            units.push(Unit::Char(c));
            return Ok(());
        }
        if c == '\n' && !is_json {
            return Ok(());
        }
        if is_json && c != 'u' {
            return refused("an escape that JSON has not", &format!("\\{c}"));
        }
        let digits = match c {
            'x' => 2,
            'u' if !is_bytes => 4,
            'U' if !is_bytes => 8,
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    code = code * 8 + digit;
                    self.take();
                }
                units.push(Unit::Code(code));
                return Ok(());
            }
            'N' if !is_bytes => return refused("a character by its name", "\\N"),
            // Python keeps what it does not know.
            c => {
                units.push(Unit::Char('\\'));
                units.push(Unit::Char(c));
                return Ok(());
            }
        };
        let mut code = 0_u32;
        for _ in 0..digits {
            let Some(digit) = self.peek().and_then(|c| c.to_digit(16)) else {
                return refused("too few hexadecimal digits", &format!("\\{c}"));
            };
            code = code.wrapping_mul(16).wrapping_add(digit);
            self.take();
        }
        units.push(Unit::Code(code));
        Ok(())
    }

    fn finish(&self, place: Place, prefix: &str, units: Vec<Unit>) -> Token {
        let has = |letter: char| prefix.chars().any(|c| c.eq_ignore_ascii_case(&letter));
        let kind = if has('f') {
            TokenKind::Formatted
        } else if has('b') {
            let mut bytes = Vec::new();
            for unit in units {
                match unit {
                    Unit::Char(c) => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
                    Unit::Code(code) => bytes.push(code as u8),
                }
            }
            TokenKind::Bytes(bytes)
        } else {
            match joined(&units) {
                Some(text) => TokenKind::Text {
                    text,
                    is_unicode: has('u'),
                },
                // Half of a surrogate pair: no text of ours.
                None => TokenKind::Odd,
            }
        };
        Token { place, kind }
    }
}

/// A character, or a number that stands for one; two of the latter may be a surrogate pair.
#[derive(Clone, Copy)]
enum Unit {
    Char(char),
    Code(u32),
}

fn joined(units: &[Unit]) -> Option<String> {
    let mut text = String::new();
    let mut units = units.iter().copied().peekable();
    while let Some(unit) = units.next() {
        match unit {
            Unit::Char(c) => text.push(c),
            Unit::Code(high @ 0xd800..0xdc00) => match units.next() {
                Some(Unit::Code(low @ 0xdc00..0xe000)) => {
                    text.push(char::from_u32(
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00),
                    )?);
                }
                _ => return None,
            },
            Unit::Code(code) => text.push(char::from_u32(code)?),
        }
    }
    Some(text)
}
