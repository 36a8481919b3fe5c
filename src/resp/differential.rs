//! The decoder against redis-rs's parser, for the property tests and the fuzz target.

use redis::{ErrorKind, Value};

use super::{DecodeError, Decoder, DecoderLimits};

/// Small enough that generated input reaches every limit but the depth, which is redis-rs's own.
pub(crate) const LIMITS: DecoderLimits = DecoderLimits {
    reply_bytes_max: 1 << 20,
    depth_max: 100,
    line_bytes_max: 1 << 12,
};

/// What became of the bytes of at most one value.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A value, and the bytes that it took.
    Value(Value, usize),
    /// More bytes are needed.
    Incomplete,
    Error(DecodeError),
}

impl Outcome {
    /// Equality that holds for NaN, too.
    pub(crate) fn same(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

/// Decodes one value from pieces of `bytes`; `pieces` gives their lengths, again and again; 0 hands over an empty piece.
pub(crate) fn decode_cut(limits: DecoderLimits, bytes: &[u8], pieces: &[usize]) -> Outcome {
    let mut decoder = Decoder::new(limits);
    let mut at = 0;
    // An empty piece at the end of every round keeps a list of zeros from looping for ever.
    let mut lengths = pieces.iter().copied().chain([1]).cycle();
    while at < bytes.len() {
        let length = lengths.next().unwrap_or(1).min(bytes.len() - at);
        match decoder.decode(&bytes[at..at + length]) {
            Ok((consumed, Some(value))) => {
                assert!(consumed <= length);
                assert!(decoder.is_idle());
                return Outcome::Value(value, at + consumed);
            }
            Ok((consumed, None)) => {
                assert_eq!(
                    consumed, length,
                    "bytes left lying without a complete value"
                );
                at += consumed;
                assert_eq!(decoder.is_idle(), at == 0);
            }
            Err(error) => {
                assert_eq!(decoder.decode(b"+OK\r\n"), Err(DecodeError::Failed));
                return Outcome::Error(error);
            }
        }
    }
    Outcome::Incomplete
}

/// Panics unless `bytes` decode to the same whole and in pieces, and as redis-rs decodes them, but for the documented
/// differences.
pub(crate) fn check(bytes: &[u8], pieces: &[usize]) {
    let whole = decode_cut(LIMITS, bytes, &[bytes.len()]);
    let cut = decode_cut(LIMITS, bytes, pieces);
    match (&whole, &cut) {
        // The excerpt of an error may be shorter if less had arrived.
        (Outcome::Error(_), Outcome::Error(_)) => {}
        _ => assert!(
            whole.same(&cut),
            "whole: {whole:?}\nin pieces of {pieces:?}: {cut:?}"
        ),
    }
    if matches!(
        whole,
        Outcome::Error(DecodeError::TooLarge { .. } | DecodeError::LineTooLong { .. })
    ) {
        return;
    }
    let theirs = redis::parse_redis_value(bytes);
    match (&whole, &theirs) {
        (Outcome::Value(ours, consumed), Ok(theirs)) => {
            assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
            assert!(redis::parse_redis_value(&bytes[..*consumed]).is_ok());
            assert!(redis::parse_redis_value(&bytes[..*consumed - 1]).is_err());
        }
        (Outcome::Value(_, consumed), Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::Parse);
            assert!(
                std::str::from_utf8(&bytes[..*consumed]).is_err(),
                "only we accept {whole:?}, and not because of UTF-8: {error}"
            );
        }
        (Outcome::Incomplete, Err(error)) if error.kind() == ErrorKind::Parse => {
            assert!(
                std::str::from_utf8(bytes).is_err(),
                "only they refuse, and not because of UTF-8: {error}"
            );
        }
        (Outcome::Incomplete, Err(error)) => assert_eq!(error.kind(), ErrorKind::Io),
        // Where we see an error they may want more bytes: they report the end of input even after a byte that cannot be right.
        // That we do not give up too early is for the tests that cut valid values short.
        (Outcome::Error(_), Err(_)) => {}
        (Outcome::Incomplete | Outcome::Error(_), Ok(theirs)) => {
            panic!("we: {whole:?}, they: {theirs:?}")
        }
    }
}

/// [`check`] with pieces from `data` itself: a count, as many lengths, then the bytes to decode.
#[cfg_attr(test, allow(dead_code, reason = "for the fuzz target"))]
pub(crate) fn check_cut_by_input(data: &[u8]) {
    let Some((count, data)) = data.split_first() else {
        return;
    };
    let (lengths, bytes) = data.split_at(usize::from(*count % 8).min(data.len()));
    let pieces: Vec<usize> = lengths
        .iter()
        .map(|length| usize::from(*length % 32))
        .collect();
    check(bytes, &pieces);
}
