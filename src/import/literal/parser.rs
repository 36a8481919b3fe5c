//! From tokens to values and statements. Depth is bounded by the lexer's count of brackets.

use super::super::error::{Place, Problem, shown};
use super::lexer::{Token, TokenKind, tokens};
use super::{Call, Dialect, Kind, Value};

/// A statement of a Python file that may have something to do with settings.
#[derive(Debug)]
pub(in super::super) enum Statement {
    /// `a = value`, `a.b = value`, `a["b"] = value`: the last name or key, and the value.
    Assigned { name: String, value: Value },
    /// A value by itself.
    Alone(Value),
    /// What is no literal, and why; it may be another matter altogether.
    Other {
        problem: Problem,
        words: Vec<String>,
    },
}

/// A text that is one value.
pub(in super::super) fn value(text: &str, dialect: Dialect) -> Result<Value, Problem> {
    let mut parser = Parser::new(text, dialect)?;
    parser.skip_newlines();
    let value = parser.value()?;
    parser.skip_newlines();
    match &parser.peek().kind {
        TokenKind::End => Ok(value),
        _ => Err(parser.unexpected("the end of the text")),
    }
}

/// The statements of a Python file, in order, without those that cannot be settings (imports, definitions).
pub(in super::super) fn module(text: &str) -> Result<Vec<Statement>, Problem> {
    let mut parser = Parser::new(text, Dialect::Python)?;
    let mut statements = Vec::new();
    loop {
        parser.skip_newlines();
        if parser.peek().kind == TokenKind::End {
            return Ok(statements);
        }
        let start = parser.at;
        match parser.statement() {
            Ok(statement) => statements.push(statement),
            Err(problem) => {
                parser.at = start;
                let words = parser.skip_line();
                statements.push(Statement::Other { problem, words });
            }
        }
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    dialect: Dialect,
}

/// Words that start a statement which is no assignment.
const STATEMENTS: [&str; 14] = [
    "import", "from", "def", "class", "if", "elif", "else", "for", "while", "try", "except",
    "with", "return", "async",
];

impl Parser {
    fn new(text: &str, dialect: Dialect) -> Result<Parser, Problem> {
        Ok(Parser {
            tokens: tokens(text, dialect)?,
            at: 0,
            dialect,
        })
    }

    /// The last token is the end, and it is never passed.
    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn place(&self) -> Place {
        self.peek().place
    }

    fn is_sign(&self, sign: char) -> bool {
        self.peek().kind == TokenKind::Sign(sign)
    }

    fn accept(&mut self, sign: char) -> bool {
        let is_there = self.is_sign(sign);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, sign: char, expected: &str) -> Result<(), Problem> {
        match self.accept(sign) {
            true => Ok(()),
            false => Err(self.unexpected(expected)),
        }
    }

    fn skip_newlines(&mut self) {
        while matches!(self.peek().kind, TokenKind::Newline | TokenKind::Sign(';')) {
            self.at += 1;
        }
    }

    /// To the end of a statement's line. All names and texts in it.
    fn skip_line(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        loop {
            match &self.peek().kind {
                TokenKind::End => return words,
                TokenKind::Newline => {
                    self.at += 1;
                    return words;
                }
                TokenKind::Name(word) | TokenKind::Text { text: word, .. } => {
                    words.push(word.clone());
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn statement(&mut self) -> Result<Statement, Problem> {
        if let TokenKind::Name(word) = &self.peek().kind
            && STATEMENTS.contains(&word.as_str())
        {
            return Err(self.unexpected("a setting"));
        }
        let first = self.at;
        let value = self.value()?;
        let target = self.target(first);
        // `a: dict = value`
        if self.accept(':') {
            self.value()?;
        }
        if !self.accept('=') {
            self.end_of_line()?;
            return Ok(Statement::Alone(value));
        }
        let value = self.value()?;
        self.end_of_line()?;
        Ok(Statement::Assigned {
            name: target,
            value,
        })
    }

    fn end_of_line(&mut self) -> Result<(), Problem> {
        match self.peek().kind {
            TokenKind::Newline | TokenKind::End | TokenKind::Sign(';') => Ok(()),
            _ => Err(self.unexpected("the end of the line")),
        }
    }

    /// The last name or key of what is assigned to: `b` in `a.b` and in `a["b"]`.
    fn target(&self, first: usize) -> String {
        let assigned = &self.tokens[first..self.at];
        let last = assigned.iter().rev().find_map(|token| match &token.kind {
            TokenKind::Name(word) | TokenKind::Text { text: word, .. } => Some(word.clone()),
            _ => None,
        });
        last.unwrap_or_default()
    }

    fn value(&mut self) -> Result<Value, Problem> {
        let place = self.place();
        let mut sign = 1;
        while let TokenKind::Sign(c @ ('-' | '+')) = self.peek().kind {
            sign *= if c == '-' { -1 } else { 1 };
            self.at += 1;
        }
        let is_signed = self.place() != place;
        let value = self.atom()?;
        let kind = match value.kind {
            Kind::Int(number) if is_signed => Kind::Int(sign * number),
            Kind::Float(number) if is_signed => Kind::Float(f64::from(sign as i32) * number),
            _ if is_signed => Kind::Computed,
            kind => kind,
        };
        if self.goes_on() {
            return Err(Problem::new("something that Python computes")
                .at(self.place())
                .expected("settings as they stand: texts, numbers, dicts, lists")
                .help("write down what it comes to: this reads Python and does not run it"));
        }
        Ok(Value { place, kind })
    }

    /// Whether an operator follows, so that the value was a part of something that is computed.
    fn goes_on(&self) -> bool {
        match &self.peek().kind {
            TokenKind::Operator(operator) => *operator != "**",
            TokenKind::Sign(c) => "+-*/%<>&|^@.".contains(*c),
            TokenKind::Name(word) => {
                matches!(
                    word.as_str(),
                    "if" | "or" | "and" | "for" | "in" | "is" | "not"
                )
            }
            _ => false,
        }
    }

    fn atom(&mut self) -> Result<Value, Problem> {
        let place = self.place();
        let kind = match self.peek().kind.clone() {
            TokenKind::Text { .. } | TokenKind::Bytes(_) | TokenKind::Formatted => self.texts(),
            TokenKind::Int(number) => self.took(Kind::Int(number)),
            TokenKind::Float(number) => self.took(Kind::Float(number)),
            TokenKind::Odd => {
                return Err(
                    Problem::new("a number or a text that settings have no use for")
                        .at(place)
                        .expected("whole numbers of 64 bits, decimal numbers, Unicode text")
                        .help("correct it"),
                );
            }
            TokenKind::Name(word) => return self.name(place, word),
            TokenKind::Sign('(') => self.parenthesis()?,
            TokenKind::Sign('[') => {
                self.at += 1;
                Kind::List(self.items(']')?)
            }
            TokenKind::Sign('{') => self.braces()?,
            _ => return Err(self.unexpected("a value")),
        };
        self.computed(Value { place, kind })
    }

    fn took(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    /// Texts side by side are one.
    fn texts(&mut self) -> Kind {
        let mut whole = String::new();
        let mut bytes = Vec::new();
        let (mut has_unicode, mut has_bytes, mut is_formatted) = (false, false, false);
        loop {
            match &self.peek().kind {
                TokenKind::Text { text, is_unicode } => {
                    whole.push_str(text);
                    has_unicode |= is_unicode;
                }
                TokenKind::Bytes(more) => {
                    bytes.extend_from_slice(more);
                    has_bytes = true;
                }
                TokenKind::Formatted => is_formatted = true,
                _ => break,
            }
            self.at += 1;
            // Of Python only.
            if self.dialect == Dialect::Json {
                break;
            }
        }
        if is_formatted || (has_bytes && !whole.is_empty()) {
            Kind::Computed
        } else if has_bytes {
            Kind::Bytes(bytes)
        } else {
            Kind::Text {
                text: whole,
                is_unicode: has_unicode,
            }
        }
    }

    fn name(&mut self, place: Place, word: String) -> Result<Value, Problem> {
        self.at += 1;
        let constant = match (self.dialect, word.as_str()) {
            (Dialect::Python, "None") | (Dialect::Json, "null") => Some(Kind::None),
            (Dialect::Python, "True") | (Dialect::Json, "true") => Some(Kind::Bool(true)),
            (Dialect::Python, "False") | (Dialect::Json, "false") => Some(Kind::Bool(false)),
            (Dialect::Json, _) => {
                return Err(Problem::new("a word without quotes")
                    .at(place)
                    .read(shown(&word))
                    .expected(
                        "JSON: texts in double quotes, numbers, true, false, null, { } and [ ]",
                    )
                    .help("put it into double quotes"));
            }
            _ => None,
        };
        if let Some(kind) = constant {
            return Ok(Value { place, kind });
        }
        if word == "lambda" {
            return Err(Problem::new("a function")
                .at(place)
                .expected("settings as they stand: texts, numbers, dicts, lists")
                .help("write down what it comes to: this reads Python and does not run it"));
        }
        let mut dotted = word;
        while self.is_sign('.') {
            self.at += 1;
            let TokenKind::Name(word) = self.peek().kind.clone() else {
                return Err(self.unexpected("a name behind the dot"));
            };
            self.at += 1;
            dotted = format!("{dotted}.{word}");
        }
        let kind = match self.accept('(') {
            true => self.call(dotted)?,
            false => Kind::Name(dotted),
        };
        self.computed(Value { place, kind })
    }

    /// What follows a value makes it another one, which is not known here.
    fn computed(&mut self, mut value: Value) -> Result<Value, Problem> {
        loop {
            if self.accept('[') {
                self.items(']')?;
            } else if self.is_sign('(') {
                self.at += 1;
                self.call(String::new())?;
            } else if self.is_sign('.') {
                self.at += 1;
                let TokenKind::Name(_) = self.peek().kind else {
                    return Err(self.unexpected("a name behind the dot"));
                };
                self.at += 1;
            } else {
                return Ok(value);
            }
            value.kind = Kind::Computed;
        }
    }

    fn call(&mut self, callee: String) -> Result<Kind, Problem> {
        let mut call = Call {
            callee,
            arguments: Vec::new(),
            keywords: Vec::new(),
            unpacked: Vec::new(),
        };
        while !self.accept(')') {
            if self.peek().kind == TokenKind::Operator("**") {
                self.at += 1;
                call.unpacked.push(self.value()?);
            } else {
                let keyword = match (&self.peek().kind, self.tokens.get(self.at + 1)) {
                    (TokenKind::Name(word), Some(next)) if next.kind == TokenKind::Sign('=') => {
                        Some(word.clone())
                    }
                    _ => None,
                };
                match keyword {
                    Some(keyword) => {
                        self.at += 2;
                        call.keywords.push((keyword, self.value()?));
                    }
                    None => call.arguments.push(self.value()?),
                }
            }
            if !self.accept(',') {
                self.expect(')', "a comma or the closing parenthesis")?;
                break;
            }
        }
        Ok(match call.callee == "dict" {
            true => dict_of(call),
            false => Kind::Call(Box::new(call)),
        })
    }

    fn parenthesis(&mut self) -> Result<Kind, Problem> {
        self.at += 1;
        if self.accept(')') {
            return Ok(Kind::Tuple(Vec::new()));
        }
        let first = self.value()?;
        if self.accept(')') {
            return Ok(first.kind);
        }
        self.expect(',', "a comma or the closing parenthesis")?;
        let mut items = vec![first];
        items.extend(self.items(')')?);
        Ok(Kind::Tuple(items))
    }

    /// Values up to a closing bracket, which is taken.
    fn items(&mut self, close: char) -> Result<Vec<Value>, Problem> {
        let mut items = Vec::new();
        while !self.accept(close) {
            items.push(self.value()?);
            if !self.accept(',') {
                self.expect(close, "a comma or the closing bracket")?;
                break;
            }
        }
        Ok(items)
    }

    fn braces(&mut self) -> Result<Kind, Problem> {
        self.at += 1;
        if self.accept('}') {
            return Ok(Kind::Dict(Vec::new()));
        }
        let first = self.value()?;
        if !self.is_sign(':') && self.dialect == Dialect::Python {
            let mut items = vec![first];
            if self.accept(',') {
                items.extend(self.items('}')?);
            } else {
                self.expect(
                    '}',
                    "a colon behind the key of a dict, a comma or the closing brace",
                )?;
            }
            return Ok(Kind::Set(items));
        }
        let mut entries = Vec::new();
        let mut key = first;
        loop {
            self.expect(':', "a colon behind the key")?;
            let value = self.value()?;
            entries.push((key, value));
            if !self.accept(',') {
                self.expect('}', "a comma or the closing brace")?;
                break;
            }
            if self.accept('}') {
                break;
            }
            key = self.value()?;
        }
        Ok(Kind::Dict(entries))
    }

    fn unexpected(&self, expected: &str) -> Problem {
        let token = self.peek();
        let read = match &token.kind {
            TokenKind::Name(word) => format!("the word {}", shown(word)),
            TokenKind::Text { .. } | TokenKind::Bytes(_) | TokenKind::Formatted => {
                "a text".to_owned()
            }
            TokenKind::Int(_) | TokenKind::Float(_) | TokenKind::Odd => "a number".to_owned(),
            TokenKind::Sign(sign) => format!("{sign:?}"),
            TokenKind::Operator(operator) => format!("{operator:?}"),
            TokenKind::Newline => "the end of the line".to_owned(),
            TokenKind::End => "the end of the text".to_owned(),
        };
        let (language, help) = match self.dialect {
            Dialect::Json => ("JSON", "is a comma missing before it, or a quote?"),
            Dialect::Python => (
                "Python",
                "is a comma missing before it, or a quote? Only literals are read: nothing is run",
            ),
        };
        Problem::new(format!("not a value of {language} as settings have them"))
            .at(token.place)
            .read(read)
            .expected(expected)
            .help(help)
    }
}

/// `dict(a=1)`, `dict({..}, a=1)`, `dict([(k, v)])`.
fn dict_of(call: Call) -> Kind {
    let mut entries = Vec::new();
    if call.arguments.len() > 1 || !call.unpacked.is_empty() {
        return Kind::Computed;
    }
    for argument in call.arguments {
        match argument.kind {
            Kind::Dict(more) => entries.extend(more),
            Kind::List(items) | Kind::Tuple(items) => {
                for item in items {
                    let (Kind::List(pair) | Kind::Tuple(pair)) = item.kind else {
                        return Kind::Computed;
                    };
                    let Ok([key, value]) = <[Value; 2]>::try_from(pair) else {
                        return Kind::Computed;
                    };
                    entries.push((key, value));
                }
            }
            _ => return Kind::Computed,
        }
    }
    for (keyword, value) in call.keywords {
        let key = Value {
            place: value.place,
            kind: Kind::Text {
                text: keyword,
                is_unicode: false,
            },
        };
        entries.push((key, value));
    }
    Kind::Dict(entries)
}
