//! The protocol, RESP2 and RESP3 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>): commands to bytes, and an
//! incremental decoder of replies into [`redis::Value`].
//!
//! The decoder gives the values that redis-rs's own parser gives, with these deliberate differences:
//! - an error that is not UTF-8 is decoded lossily, and a status that is not UTF-8 becomes a `BulkString`; redis-rs refuses
//!   both, and a script can make either, so one caller could end the connection of all others;
//! - a reply above a limit of [`DecoderLimits`], a line above [`BIG_NUMBER_DIGITS_MAX`] digits, and a verbatim string or an
//!   error of negative length are refused at once; redis-rs waits for bytes that cannot come.

#[cfg(any(test, fuzzing))]
pub(crate) mod differential;
mod encode;
#[cfg(test)]
mod tests;

pub(crate) use encode::{encode, encode_array, encode_bulk};

use redis::{PushKind, Value, VerbatimFormat};

/// Digits of the longest big number; converting to binary takes time in the square of this.
const BIG_NUMBER_DIGITS_MAX: usize = 16 * 1024;

/// Elements reserved at an array's header, before any of them has been seen.
const RESERVED_ITEMS_MAX: usize = 1024;

/// The shortest value on the wire: `_\r\n`.
const VALUE_BYTES_MIN: usize = 3;

/// Bytes of a reply that an error message shows.
const EXCERPT_BYTES_MAX: usize = 64;

/// Why bytes are not a reply. The connection they came from is of no further use: nobody can say where the next reply starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The bytes break the protocol.
    #[error("read {read}, expected {expected}: not the reply of a Redis server")]
    Malformed {
        /// What came, escaped and cut short.
        read: String,
        /// What the protocol wants there.
        expected: &'static str,
    },
    /// One reply is larger than `reply_bytes_max`.
    #[error(
        "read {read}, which makes one reply larger than {limit} bytes; ask for less at once, or raise the limit"
    )]
    TooLarge {
        /// The header that announces too much.
        read: String,
        /// `reply_bytes_max`.
        limit: usize,
    },
    /// A status, error or number is longer than `line_bytes_max`.
    #[error("read a line that starts {read} and is longer than {limit} bytes")]
    LineTooLong {
        /// Its start.
        read: String,
        /// `line_bytes_max`.
        limit: usize,
    },
    /// Arrays are nested deeper than `depth_max`.
    #[error("read a reply nested deeper than {limit} levels")]
    TooDeep {
        /// `depth_max`.
        limit: usize,
    },
    /// The decoder was used again after an error.
    #[error(
        "read more bytes after a reply that could not be decoded; the connection must be closed"
    )]
    Failed,
}

impl DecodeError {
    fn malformed(kind: u8, line: &[u8], expected: &'static str) -> Self {
        Self::Malformed {
            read: excerpt(kind, line),
            expected,
        }
    }
}

/// What one reply may cost. A reply above a limit is an error, and the connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecoderLimits {
    /// Bytes of one whole reply: its payload, and the size of a `Value` for every element. Default 1 GiB (the largest string
    /// of a Redis server is 512 MiB).
    pub(crate) reply_bytes_max: usize,
    /// Levels of nesting; a value outside of any array is at level 1. Default 100, as redis-rs. Bounds the recursion of
    /// whoever walks or drops the value.
    pub(crate) depth_max: usize,
    /// Bytes of a status, error, number or length, without its type and line end. Default 512 KiB.
    pub(crate) line_bytes_max: usize,
}

impl Default for DecoderLimits {
    fn default() -> Self {
        Self {
            reply_bytes_max: 1 << 30,
            depth_max: 100,
            line_bytes_max: 512 * 1024,
        }
    }
}

/// Where the decoder stopped.
#[derive(Debug)]
enum State {
    /// The next byte is a value's type.
    Type,
    /// In the line of a value of this type; what has arrived of it is in `Decoder::line`.
    Line(u8),
    /// In the payload of a `$`, `!` or `=` of `length` bytes.
    Payload {
        kind: u8,
        length: usize,
        bytes: Vec<u8>,
    },
    /// Between `\r` and `\n` after a payload.
    PayloadEnd {
        kind: u8,
        bytes: Vec<u8>,
    },
    Failed,
}

#[derive(Debug)]
enum Items {
    Array(Vec<Value>),
    Set(Vec<Value>),
    Push(Vec<Value>),
    Map {
        pairs: Vec<(Value, Value)>,
        key: Option<Value>,
    },
    Attribute {
        pairs: Vec<(Value, Value)>,
        key: Option<Value>,
    },
}

/// An array, or its like, whose elements are arriving.
#[derive(Debug)]
struct Frame {
    items: Items,
    /// Elements still to come; a pair counts as two, an attribute's data as one.
    missing: usize,
}

/// The decoder of one connection: turns bytes into values, however they are cut into pieces. Keeps unfinished values itself, so
/// the caller's read buffer is free after every call. Its memory follows what has arrived, never what a header announces.
#[derive(Debug)]
pub(crate) struct Decoder {
    limits: DecoderLimits,
    state: State,
    line: Vec<u8>,
    stack: Vec<Frame>,
    /// Cost so far of the reply in work, see `reply_bytes_max`.
    spent: usize,
}

impl Decoder {
    pub(crate) fn new(limits: DecoderLimits) -> Self {
        Self {
            limits,
            state: State::Type,
            line: Vec::new(),
            stack: Vec::new(),
            spent: 0,
        }
    }

    /// Whether the decoder is between two values, where a connection may end cleanly.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Type) && self.stack.is_empty()
    }

    /// Consumes from `input` up to the end of one value, and never beyond. Returns how many bytes were consumed, and the value if
    /// it is complete; without a value, all of `input` was consumed. The next call goes on where this one stopped, and looks at
    /// no byte of a payload again.
    ///
    /// # Errors
    /// [`DecodeError`]; from then on every call fails.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<(usize, Option<Value>), DecodeError> {
        let mut input = Input {
            bytes: input,
            at: 0,
        };
        // The common whole replies are built where they are returned: every move of a `Value` costs about as much as decoding it.
        if self.is_idle() && self.limits.depth_max > 0 {
            let room = self.limits.reply_bytes_max.checked_sub(size_of::<Value>());
            match (input.bytes.first(), room) {
                (Some(b'+'), Some(2..)) if input.bytes.starts_with(b"+OK\r\n") => {
                    return Ok((b"+OK\r\n".len(), Some(Value::Okay)));
                }
                (Some(b':'), Some(_)) => {
                    input.at = 1;
                    if let Some(number) = input.short_number() {
                        return Ok((input.at, Some(Value::Int(number))));
                    }
                }
                (Some(b'$'), Some(room)) => {
                    if input.bytes.starts_with(b"$-1\r\n") {
                        return Ok((b"$-1\r\n".len(), Some(Value::Nil)));
                    }
                    if let Some(bytes) = input.whole_string(room) {
                        return Ok((input.at, Some(Value::BulkString(bytes.to_vec()))));
                    }
                }
                _ => {}
            }
            input.at = 0;
        }
        match self.value(&mut input) {
            Ok(value) => {
                if value.is_some() {
                    self.spent = 0;
                }
                Ok((input.at, value))
            }
            Err(error) => {
                // What is half done may be large, and is worthless now.
                *self = Self::new(self.limits);
                self.state = State::Failed;
                Err(error)
            }
        }
    }

    fn value(&mut self, input: &mut Input<'_>) -> Result<Option<Value>, DecodeError> {
        loop {
            self.whole_strings(input);
            let Some(mut value) = self.step(input)? else {
                if input.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            // A complete element may complete the array it is in, and so on outwards.
            loop {
                let Some(frame) = self.stack.last_mut() else {
                    return Ok(Some(value));
                };
                frame.add(value);
                if frame.missing > 0 {
                    break;
                }
                let items = std::mem::take(&mut frame.items);
                self.stack.pop();
                value = items.finish()?;
            }
        }
    }

    /// The strings of an array that are here in whole, for as long as there are any; all but the array's last element.
    fn whole_strings(&mut self, input: &mut Input<'_>) {
        if !matches!(self.state, State::Type) || self.stack.len() >= self.limits.depth_max {
            return;
        }
        let Some(Frame {
            items: Items::Array(items),
            missing,
        }) = self.stack.last_mut()
        else {
            return;
        };
        while *missing > 1
            && let Some(room) =
                (self.limits.reply_bytes_max - self.spent).checked_sub(size_of::<Value>())
            && let Some(bytes) = input.whole_string(room)
        {
            self.spent += bytes.len() + size_of::<Value>();
            *missing -= 1;
            grow_within(items, *missing);
            // Built where it stays: moving what was written just now waits until it is.
            items.push(Value::BulkString(bytes.to_vec()));
        }
    }

    /// One value without elements, or one header, or the rest of `input`.
    #[inline]
    fn step(&mut self, input: &mut Input<'_>) -> Result<Option<Value>, DecodeError> {
        if !matches!(self.state, State::Type) {
            return self.resume(input);
        }
        let Some(kind) = input.next() else {
            return Ok(None);
        };
        self.check_type(kind, input.rest())?;
        if matches!(kind, b'$' | b':' | b'*')
            && let Some(number) = input.short_number()
        {
            return self.number(kind, number, input);
        }
        self.line(kind, input)
    }

    /// Goes on in the middle of a value.
    fn resume(&mut self, input: &mut Input<'_>) -> Result<Option<Value>, DecodeError> {
        match std::mem::replace(&mut self.state, State::Type) {
            State::Type => Ok(None),
            State::Line(kind) => self.line(kind, input),
            State::Payload {
                kind,
                length,
                bytes,
            } => self.payload(kind, length, bytes, input),
            State::PayloadEnd { kind, bytes } => self.payload_end(kind, bytes, input),
            State::Failed => Err(DecodeError::Failed),
        }
    }

    #[inline]
    fn check_type(&self, kind: u8, rest: &[u8]) -> Result<(), DecodeError> {
        // Before the type is judged, as redis-rs does it.
        if self.stack.len() >= self.limits.depth_max {
            return Err(DecodeError::TooDeep {
                limit: self.limits.depth_max,
            });
        }
        match kind {
            b'+' | b'-' | b':' | b'$' | b'*' | b'_' | b'#' | b',' | b'(' | b'!' | b'=' | b'%'
            | b'~' | b'>' | b'|' => Ok(()),
            _ => Err(DecodeError::malformed(
                kind,
                rest,
                "the type of a reply, one of + - : $ * _ # , ( ! = % ~ > |",
            )),
        }
    }

    /// Reads on in a line; judges it when it is complete.
    fn line(&mut self, kind: u8, input: &mut Input<'_>) -> Result<Option<Value>, DecodeError> {
        let limit = self.limits.line_bytes_max;
        let rest = input.rest();
        let mut from = 0;
        while let Some(found) = memchr::memchr(b'\n', &rest[from..]) {
            let newline = from + found;
            let before = match newline {
                0 => self.line.last(),
                _ => rest.get(newline - 1),
            };
            if before != Some(&b'\r') {
                from = newline + 1;
                continue;
            }
            input.at += newline + 1;
            if self.line.is_empty() {
                return self.whole_line(kind, &rest[..newline - 1], input);
            }
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&rest[..newline]);
            line.pop();
            let value = self.whole_line(kind, &line, input);
            // One large line must not hold its memory for the life of the connection.
            if line.capacity() <= 1024 {
                line.clear();
                self.line = line;
            }
            return value;
        }
        input.at += rest.len();
        self.line.extend_from_slice(rest);
        // One more for a `\r` whose `\n` has not come yet.
        if self.line.len() > limit.saturating_add(1) {
            return Err(DecodeError::LineTooLong {
                read: excerpt(kind, &self.line),
                limit,
            });
        }
        self.state = State::Line(kind);
        Ok(None)
    }

    fn whole_line(
        &mut self,
        kind: u8,
        line: &[u8],
        input: &mut Input<'_>,
    ) -> Result<Option<Value>, DecodeError> {
        let limit = self.limits.line_bytes_max;
        if line.len() > limit {
            return Err(DecodeError::LineTooLong {
                read: excerpt(kind, line),
                limit,
            });
        }
        let malformed = |expected| DecodeError::malformed(kind, line, expected);
        let text = || std::str::from_utf8(line);
        let value = match kind {
            b'+' if line == b"OK" => Value::Okay,
            b'+' => match text() {
                Ok(text) => Value::SimpleString(text.to_owned()),
                Err(_) => Value::BulkString(line.to_vec()),
            },
            b'-' => server_error(line)?,
            b'_' => text()
                .map(|_| Value::Nil)
                .map_err(|_| malformed("nothing after the type of a null"))?,
            b'#' => match line {
                b"t" => Value::Boolean(true),
                b"f" => Value::Boolean(false),
                _ => return Err(malformed("t or f")),
            },
            b',' => text()
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .map(Value::Double)
                .ok_or_else(|| malformed("a floating-point number"))?,
            b'(' if line.len() > BIG_NUMBER_DIGITS_MAX => {
                return Err(malformed("a number of at most 16384 digits"));
            }
            b'(' => big_number(line)?,
            _ => {
                let number = text()
                    .ok()
                    .and_then(|text| text.trim().parse().ok())
                    .ok_or_else(|| malformed("an integer of 64 bits"))?;
                return self.number(kind, number, input);
            }
        };
        self.spend(kind, line, line.len())?;
        Ok(Some(value))
    }

    /// A value of which only the number after its type is known: an integer, or a length.
    #[inline]
    fn number(
        &mut self,
        kind: u8,
        number: i64,
        input: &mut Input<'_>,
    ) -> Result<Option<Value>, DecodeError> {
        if kind == b':' {
            self.spend_number(kind, number, 0)?;
            return Ok(Some(Value::Int(number)));
        }
        let Ok(length) = usize::try_from(number) else {
            self.spend_number(kind, number, 0)?;
            return match kind {
                b'$' | b'*' | b'~' if number < 0 => Ok(Some(Value::Nil)),
                b'>' if number < 0 => Ok(Some(empty_push())),
                _ => Err(DecodeError::malformed(
                    kind,
                    number.to_string().as_bytes(),
                    "a length",
                )),
            };
        };
        match kind {
            b'$' | b'!' | b'=' => {
                self.spend_number(kind, number, length)?;
                if let Some(bytes) = input.whole_payload(length) {
                    return payload_value(kind, bytes.to_vec()).map(Some);
                }
                self.payload(kind, length, Vec::new(), input)
            }
            _ => self.header(kind, number, length, input),
        }
    }

    /// The header of an array or its like.
    fn header(
        &mut self,
        kind: u8,
        number: i64,
        length: usize,
        input: &Input<'_>,
    ) -> Result<Option<Value>, DecodeError> {
        let missing = match kind {
            b'%' => length.saturating_mul(2),
            b'|' => length.saturating_mul(2).saturating_add(1),
            _ => length,
        };
        // Refuse now what could only be refused after gigabytes; what the elements cost is added as they arrive.
        let least = missing.saturating_mul(size_of::<Value>());
        self.spend_number(kind, number, 0)?;
        if least > self.limits.reply_bytes_max - self.spent {
            return Err(DecodeError::TooLarge {
                read: excerpt(kind, number.to_string().as_bytes()),
                limit: self.limits.reply_bytes_max,
            });
        }
        let reserved = length
            .min(input.rest().len() / VALUE_BYTES_MIN)
            .min(RESERVED_ITEMS_MAX);
        let items = match kind {
            b'*' => Items::Array(Vec::with_capacity(reserved)),
            b'~' => Items::Set(Vec::with_capacity(reserved)),
            b'>' if length == 0 => return Ok(Some(empty_push())),
            b'>' => Items::Push(Vec::with_capacity(reserved)),
            b'%' => Items::Map {
                pairs: Vec::with_capacity(reserved / 2),
                key: None,
            },
            _ => Items::Attribute {
                pairs: Vec::with_capacity(reserved / 2),
                key: None,
            },
        };
        if missing == 0 {
            return items.finish().map(Some);
        }
        self.stack.push(Frame { items, missing });
        Ok(None)
    }

    fn payload(
        &mut self,
        kind: u8,
        length: usize,
        mut bytes: Vec<u8>,
        input: &mut Input<'_>,
    ) -> Result<Option<Value>, DecodeError> {
        let arrived = input.take(length - bytes.len());
        let free = bytes.capacity() - bytes.len();
        if free < arrived.len() {
            // Twice what has arrived, so that the copying stays linear, but never more than announced.
            let more = arrived.len().max(bytes.len()).min(length - bytes.len());
            bytes.reserve_exact(more);
        }
        bytes.extend_from_slice(arrived);
        if bytes.len() < length {
            self.state = State::Payload {
                kind,
                length,
                bytes,
            };
            return Ok(None);
        }
        match input.next() {
            None => {
                self.state = State::Payload {
                    kind,
                    length,
                    bytes,
                };
                Ok(None)
            }
            Some(b'\r') => self.payload_end(kind, bytes, input),
            Some(byte) => Err(no_line_end(byte)),
        }
    }

    fn payload_end(
        &mut self,
        kind: u8,
        bytes: Vec<u8>,
        input: &mut Input<'_>,
    ) -> Result<Option<Value>, DecodeError> {
        match input.next() {
            None => {
                self.state = State::PayloadEnd { kind, bytes };
                Ok(None)
            }
            Some(b'\n') => payload_value(kind, bytes).map(Some),
            Some(byte) => Err(no_line_end(byte)),
        }
    }

    #[inline]
    fn spend_number(&mut self, kind: u8, number: i64, payload: usize) -> Result<(), DecodeError> {
        if self.spend_fits(payload) {
            return Ok(());
        }
        self.spend(kind, number.to_string().as_bytes(), payload)
    }

    #[inline]
    fn spend_fits(&mut self, payload: usize) -> bool {
        let spent = self
            .spent
            .saturating_add(payload)
            .saturating_add(size_of::<Value>());
        let fits = spent <= self.limits.reply_bytes_max;
        if fits {
            self.spent = spent;
        }
        fits
    }

    fn spend(&mut self, kind: u8, line: &[u8], payload: usize) -> Result<(), DecodeError> {
        if self.spend_fits(payload) {
            return Ok(());
        }
        Err(DecodeError::TooLarge {
            read: excerpt(kind, line),
            limit: self.limits.reply_bytes_max,
        })
    }
}

impl Frame {
    fn add(&mut self, value: Value) {
        self.missing -= 1;
        match &mut self.items {
            Items::Array(items) | Items::Set(items) | Items::Push(items) => {
                push_within(items, value, self.missing);
            }
            Items::Map { pairs, key } | Items::Attribute { pairs, key } => match key.take() {
                Some(key) => push_within(pairs, (key, value), self.missing / 2),
                None => *key = Some(value),
            },
        }
    }
}

impl Default for Items {
    fn default() -> Self {
        Self::Array(Vec::new())
    }
}

impl Items {
    fn finish(self) -> Result<Value, DecodeError> {
        Ok(match self {
            Items::Array(items) => Value::Array(items),
            Items::Set(items) => Value::Set(items),
            Items::Map { pairs, .. } => Value::Map(pairs),
            Items::Attribute { pairs, key } => Value::Attribute {
                // The last element has no partner: it is what the attributes are about.
                data: Box::new(key.unwrap_or(Value::Nil)),
                attributes: pairs,
            },
            Items::Push(items) => {
                let mut items = items.into_iter();
                let kind = match items.next() {
                    Some(Value::SimpleString(kind)) => Ok(kind),
                    Some(Value::BulkString(kind)) => {
                        String::from_utf8(kind).map_err(|error| error.into_bytes())
                    }
                    _ => Err(Vec::new()),
                };
                let kind = kind.map_err(|read| {
                    DecodeError::malformed(b'>', &read, "a string first in a push, its kind")
                })?;
                Value::Push {
                    kind: push_kind(kind),
                    data: items.collect(),
                }
            }
        })
    }
}

/// Pushes, within what [`grow_within`] allows.
fn push_within<T>(items: &mut Vec<T>, item: T, missing: usize) {
    grow_within(items, missing);
    items.push(item);
}

/// Makes room for one more: when full, grows to twice the length, but never beyond the `missing` behind that one that the header announced.
#[inline]
fn grow_within<T>(items: &mut Vec<T>, missing: usize) {
    if items.len() == items.capacity() {
        let more = items.len().max(4).min(missing.saturating_add(1));
        items.reserve_exact(more);
    }
}

fn payload_value(kind: u8, bytes: Vec<u8>) -> Result<Value, DecodeError> {
    match kind {
        b'$' => Ok(Value::BulkString(bytes)),
        b'!' => server_error(&bytes),
        _ => {
            let text = String::from_utf8_lossy(&bytes);
            let Some((format, text)) = text.split_once(':') else {
                return Err(DecodeError::malformed(
                    kind,
                    &bytes,
                    "a verbatim string: its format, a colon, its text",
                ));
            };
            Ok(Value::VerbatimString {
                format: match format {
                    "txt" => VerbatimFormat::Text,
                    "mkd" => VerbatimFormat::Markdown,
                    other => VerbatimFormat::Unknown(other.to_owned()),
                },
                text: text.to_owned(),
            })
        }
    }
}

fn empty_push() -> Value {
    Value::Push {
        kind: PushKind::Other(String::new()),
        data: Vec::new(),
    }
}

fn push_kind(kind: String) -> PushKind {
    match kind.as_str() {
        "invalidate" => PushKind::Invalidate,
        "message" => PushKind::Message,
        "pmessage" => PushKind::PMessage,
        "smessage" => PushKind::SMessage,
        "unsubscribe" => PushKind::Unsubscribe,
        "punsubscribe" => PushKind::PUnsubscribe,
        "sunsubscribe" => PushKind::SUnsubscribe,
        "subscribe" => PushKind::Subscribe,
        "psubscribe" => PushKind::PSubscribe,
        "ssubscribe" => PushKind::SSubscribe,
        _ => PushKind::Other(kind),
    }
}

/// redis-rs has no way to build a `ServerError` of a known kind but its parser. As a bulk error, because that form has no byte
/// or line end that could end it early.
fn server_error(text: &[u8]) -> Result<Value, DecodeError> {
    let text = String::from_utf8_lossy(text);
    let wire = format!("!{}\r\n{}\r\n", text.len(), text);
    redis::parse_redis_value(wire.as_bytes())
        .map_err(|_| DecodeError::malformed(b'-', text.as_bytes(), "an error"))
}

/// By redis-rs's parser too, so that the version of num-bigint is always its own.
fn big_number(line: &[u8]) -> Result<Value, DecodeError> {
    let mut wire = Vec::with_capacity(line.len() + 3);
    wire.push(b'(');
    wire.extend_from_slice(line);
    wire.extend_from_slice(b"\r\n");
    redis::parse_redis_value(&wire).map_err(|_| DecodeError::malformed(b'(', line, "an integer"))
}

fn no_line_end(byte: u8) -> DecodeError {
    DecodeError::Malformed {
        read: format!("\"{}\" after a string", byte.escape_ascii()),
        expected: "\\r\\n",
    }
}

/// Type and line, printable and cut short.
fn excerpt(kind: u8, line: &[u8]) -> String {
    let shown = &line[..line.len().min(EXCERPT_BYTES_MAX)];
    let more = if shown.len() < line.len() { "..." } else { "" };
    format!("\"{}{}\"{more}", kind.escape_ascii(), shown.escape_ascii())
}

/// The caller's bytes, and how far they are consumed.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, most: usize) -> &'a [u8] {
        let rest = self.rest();
        let taken = &rest[..rest.len().min(most)];
        self.at += taken.len();
        taken
    }

    /// The number of a line that is here in whole and is as servers write it; anything else is left to the slow path.
    #[inline]
    fn short_number(&mut self) -> Option<i64> {
        let rest = self.rest();
        let (negative, digits) = match rest.first()? {
            b'-' => (true, &rest[1..]),
            _ => (false, rest),
        };
        let mut number = 0i64;
        // 18 digits cannot overflow.
        for (at, byte) in digits.iter().enumerate().take(19) {
            match byte {
                b'0'..=b'9' if at < 18 => number = number * 10 + i64::from(byte - b'0'),
                b'\r' if at > 0 && digits.get(at + 1) == Some(&b'\n') => {
                    self.at += usize::from(negative) + at + 2;
                    return Some(if negative { -number } else { number });
                }
                _ => return None,
            }
        }
        None
    }

    /// The payload of a `$` that is here in whole and has at most `room` bytes; otherwise nothing is consumed.
    #[inline]
    fn whole_string(&mut self, room: usize) -> Option<&'a [u8]> {
        let start = self.at;
        if let Some(length) = self.string_length()
            && length <= room
            && let Some(bytes) = self.whole_payload(length)
        {
            return Some(bytes);
        }
        self.at = start;
        None
    }

    /// The length in the header of a `$` that is here in whole. Most have one or two digits, and those need no loop.
    #[inline]
    fn string_length(&mut self) -> Option<usize> {
        let digit = |byte: &u8| usize::from(byte - b'0');
        let (length, header) = match self.rest() {
            [b'$', ones @ b'0'..=b'9', b'\r', b'\n', ..] => (digit(ones), 4),
            [
                b'$',
                tens @ b'0'..=b'9',
                ones @ b'0'..=b'9',
                b'\r',
                b'\n',
                ..,
            ] => (10 * digit(tens) + digit(ones), 5),
            [b'$', ..] => {
                self.at += 1;
                return usize::try_from(self.short_number()?).ok();
            }
            _ => return None,
        };
        self.at += header;
        Some(length)
    }

    /// A payload and its line end, if both are here.
    #[inline]
    fn whole_payload(&mut self, length: usize) -> Option<&'a [u8]> {
        let rest = self.rest();
        if rest.len().checked_sub(2)? < length || &rest[length..length + 2] != b"\r\n" {
            return None;
        }
        self.at += length + 2;
        Some(&rest[..length])
    }
}
