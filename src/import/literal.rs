//! Literals of Python and JSON, with their places: what settings are written in. A small part of Python, enough to read settings and never to
//! run anything: dicts, lists, tuples, sets, texts, numbers, names, calls that are kept as they stand, and assignments.
//!
//! Source: The Python Language Reference, "Lexical analysis" and "Expressions", of 2.7 and 3.13; RFC 8259.

mod lexer;
mod parser;
#[cfg(test)]
mod tests;

pub(super) use parser::{Statement, module, value};

use super::error::{Place, Problem};

/// Whose literals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Python,
    Json,
}

/// Brackets are at most so deep.
pub(super) const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Value {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// `is_unicode`: it has the prefix u, which shows in Python 2's repr.
    Text {
        text: String,
        is_unicode: bool,
    },
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// `a`, or `a.b.c`.
    Name(String),
    Call(Box<Call>),
    /// Something that only Python can say: `os.environ["A"]`, `f(1).x`.
    Computed,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) callee: String,
    pub(super) arguments: Vec<Value>,
    pub(super) keywords: Vec<(String, Value)>,
    /// `**name`.
    pub(super) unpacked: Vec<Value>,
}

impl Value {
    /// What kind of value it is, for messages: never the value itself.
    pub(super) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::None => "None",
            Kind::Bool(_) => "True or False",
            Kind::Int(_) | Kind::Float(_) => "a number",
            Kind::Text { .. } => "a text",
            Kind::Bytes(_) => "bytes",
            Kind::List(_) => "a list",
            Kind::Tuple(_) => "a tuple",
            Kind::Set(_) => "a set",
            Kind::Dict(_) => "a dict",
            Kind::Name(_) => "a name",
            Kind::Call(_) => "a call",
            Kind::Computed => "something that Python computes",
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text { text, .. } => Some(text),
            _ => None,
        }
    }

    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        Problem::new(what).at(self.place)
    }
}
