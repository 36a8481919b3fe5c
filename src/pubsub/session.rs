//! The connection to one server: it dials, writes what the board orders, and tells the board what comes.

use super::board::{Board, DeskId, Heard, Word};
use super::hub::Hub;
use super::topic::Kind;
use crate::connection::{Stream, backoff};
use crate::pool::Server;
use crate::reply_code;
use crate::resp::Decoder;
use redis::{PushKind, Value};
use std::io;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::sync::Notify;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// Tells the hub when the task is dropped before its end: its runtime is gone.
struct TellGone {
    hub: Arc<Hub>,
    has_ended: bool,
}

impl Drop for TellGone {
    fn drop(&mut self) {
        if !self.has_ended {
            self.hub.gone();
        }
    }
}

/// Keeps a connection to the server for as long as the board needs one.
pub(super) async fn keep(hub: Arc<Hub>, id: DeskId, server: Arc<Server>, wake: Arc<Notify>) {
    let mut tell = TellGone {
        hub: hub.clone(),
        has_ended: false,
    };
    let mut failures = 0;
    let mut retired: Option<Instant> = None;
    loop {
        if hub.ends(id) {
            break;
        }
        if !hub.is_current(id) {
            // What it still had to say is said by its loss.
            hub.give_up(id);
            break;
        }
        let dialled = tokio::select! {
            dialled = server.dial_pubsub() => dialled,
            () = unneeded(&hub, id, &wake) => continue,
        };
        let why = match dialled {
            Ok((stream, decoder)) => {
                failures = 0;
                let mut session = Session {
                    hub: &hub,
                    id,
                    server: &server,
                    decoder,
                };
                let why = session.run(stream, &wake, &mut retired).await;
                hub.with(|board| board.lost(id, Instant::now()));
                let Some(why) = why else { continue };
                server.stats().disconnected();
                why
            }
            Err(error) => {
                let message: Arc<str> = error.message.as_str().into();
                hub.with(|board| board.dial_failed(id, &message));
                let pause = tokio::time::sleep(backoff(&server.settings().retry, failures));
                failures = failures.saturating_add(1);
                tokio::select! {
                    () = pause => {}
                    () = unneeded(&hub, id, &wake) => {}
                }
                continue;
            }
        };
        tracing::warn!(target: "keyway::pubsub", server = %server.name(), %why, "subscriber disconnected");
    }
    tell.has_ended = true;
}

/// Resolves when nothing is wanted of this server any more.
async fn unneeded(hub: &Hub, id: DeskId, wake: &Notify) {
    loop {
        if !hub.quietly(|board| board.is_needed(id)) || !hub.is_current(id) {
            return;
        }
        wake.notified().await;
    }
}

struct Session<'a> {
    hub: &'a Arc<Hub>,
    id: DeskId,
    server: &'a Arc<Server>,
    decoder: Decoder,
}

impl Session<'_> {
    /// Until the connection is lost: why. `None`: it is not needed any more.
    async fn run(
        &mut self,
        stream: Stream,
        wake: &Notify,
        retired: &mut Option<Instant>,
    ) -> Option<String> {
        let timeouts = &self.server.settings().timeouts;
        let silence_max = timeouts.silence_max.max(timeouts.dead);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut buffer = vec![0; READ_BYTES];
        let mut out: Vec<u8> = Vec::new();
        let mut written = 0;
        let mut is_flushed = true;
        let mut heard_at = Instant::now();
        let mut waits_since: Option<Instant> = None;
        self.hub.with(|board| board.connected(self.id));
        loop {
            let now = Instant::now();
            let (is_waiting, next_tick, is_needed) = self.hub.with(|board| {
                board.tick(now);
                if written == out.len() {
                    out.clear();
                    written = 0;
                    board.orders(self.id, &mut out);
                }
                (
                    board.is_waiting(self.id),
                    board.next_tick(),
                    board.is_needed(self.id),
                )
            });
            if !is_needed {
                return None;
            }
            if !self.hub.is_current(self.id) {
                let since = *retired.get_or_insert(now);
                if now >= since + timeouts.dead {
                    return None;
                }
            }
            waits_since = match (is_waiting, waits_since) {
                (true, None) => Some(now),
                (true, since) => since,
                (false, _) => None,
            };
            let silent_at = waits_since.map(|since| since.max(heard_at) + silence_max);
            let ping_at = (!is_waiting).then_some(heard_at + timeouts.idle_ping);
            if silent_at.is_some_and(|at| now >= at) {
                return Some(format!("no byte for {silence_max:?} with work outstanding"));
            }
            if ping_at.is_some_and(|at| now >= at) {
                self.hub.quietly(|board| board.ping(self.id, &mut out));
                continue;
            }
            let retire_at = retired.map(|since| since + timeouts.dead);
            let until = [silent_at, ping_at, next_tick, retire_at]
                .into_iter()
                .flatten()
                .min();
            tokio::select! {
                read = reader.read(&mut buffer) => {
                    let n = match read {
                        Ok(0) => return Some("the server closed the connection".to_owned()),
                        Ok(n) => n,
                        Err(error) => return Some(error.to_string()),
                    };
                    heard_at = Instant::now();
                    self.server.stats().received(n);
                    if let Err(why) = self.take_in(&buffer[..n]) {
                        return Some(why);
                    }
                }
                wrote = step(&mut writer, &out[written..]), if written < out.len() || !is_flushed => {
                    match wrote {
                        Ok(0) if written < out.len() => {
                            return Some("the connection takes no more bytes".to_owned());
                        }
                        Ok(0) => is_flushed = true,
                        Ok(n) => {
                            self.server.stats().sent(n);
                            written += n;
                            is_flushed = false;
                            // Room in a socket that was full is a sign of life.
                            heard_at = Instant::now();
                        }
                        Err(error) => return Some(error.to_string()),
                    }
                }
                () = wake.notified() => {}
                () = sleep_until(until) => {}
            }
        }
    }

    fn take_in(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        let mut words = Vec::new();
        let mut why = None;
        while !bytes.is_empty() {
            match self.decoder.decode(bytes) {
                Err(error) => {
                    why = Some(error.to_string());
                    break;
                }
                Ok((used, value)) => {
                    bytes = &bytes[used..];
                    match value {
                        Some(value) => words.push(word_of(value)),
                        None => break,
                    }
                }
            }
        }
        let now = Instant::now();
        let nonsense = self.hub.with(|board| hear(board, self.id, words, now));
        match nonsense.map(str::to_owned).or(why) {
            None => Ok(()),
            Some(why) => Err(why),
        }
    }
}

fn hear(board: &mut Board, id: DeskId, words: Vec<Word>, now: Instant) -> Option<&'static str> {
    for word in words {
        if let Heard::Nonsense(why) = board.hear(id, word, now) {
            return Some(why);
        }
    }
    None
}

/// Writes some of the bytes, or flushes when there are none: each can be dropped half-way and loses nothing.
async fn step(writer: &mut WriteHalf<Stream>, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    writer.write(bytes).await
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}

/// Takes one value of the connection apart.
fn word_of(value: Value) -> Word {
    let (kind, data) = match value {
        Value::Push { kind, data } => (kind, data),
        Value::ServerError(error) => {
            return Word::Error {
                is_transient: reply_code::is_transient(error.code()),
                text: match error.details() {
                    Some(details) => format!("{} {details}", error.code()),
                    None => error.code().to_owned(),
                },
            };
        }
        _ => return Word::Reply,
    };
    let mut data = data.into_iter();
    let mut bytes = || match data.next() {
        Some(Value::BulkString(bytes)) => bytes,
        Some(Value::SimpleString(text)) => text.into_bytes(),
        _ => Vec::new(),
    };
    let (kind, is_subscribe) = match kind {
        PushKind::Message | PushKind::SMessage => {
            let is_sharded = kind == PushKind::SMessage;
            return Word::Message {
                kind: if is_sharded {
                    Kind::Sharded
                } else {
                    Kind::Channel
                },
                topic: bytes(),
                channel: None,
                payload: bytes(),
            };
        }
        PushKind::PMessage => {
            return Word::Message {
                kind: Kind::Pattern,
                topic: bytes(),
                channel: Some(bytes()),
                payload: bytes(),
            };
        }
        PushKind::Subscribe => (Kind::Channel, true),
        PushKind::PSubscribe => (Kind::Pattern, true),
        PushKind::SSubscribe => (Kind::Sharded, true),
        PushKind::Unsubscribe => (Kind::Channel, false),
        PushKind::PUnsubscribe => (Kind::Pattern, false),
        PushKind::SUnsubscribe => (Kind::Sharded, false),
        _ => return Word::Other,
    };
    Word::Confirmed {
        kind,
        is_subscribe,
        name: bytes(),
    }
}
