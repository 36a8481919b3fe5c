//! Replaced at merge.
use crate::command::{Gather, KeyPositions};
use crate::error::Error;
use crate::scatter::{Manner, Scatter};
use redis::{Cmd, Value};
pub(crate) async fn algebra(
    _: &Scatter,
    _: Gather,
    _: &[&[u8]],
    _: KeyPositions,
    _: Manner,
) -> Result<Value, Error> {
    Err(Error::new(crate::ErrorKind::Refused, "not merged yet"))
}
pub(crate) async fn scan(_: &Scatter, _: &Cmd, _: &[&[u8]], _: Manner) -> Result<Value, Error> {
    Err(Error::new(crate::ErrorKind::Refused, "not merged yet"))
}
