//! A server that costs next to nothing: it knows how long each measured command is, and has every reply ready.
//!
//! What it costs is a case of its own, so that it can be taken off the cases in which it answers.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// All keys are this long.
pub const KEY_BYTES: usize = 10;
/// All values are this long.
pub const VALUE_BYTES: usize = 64;
/// Never full in any case, so that no case depends on where the pipe's bytes are cut.
const PIPE_BYTES: usize = 256 * 1024;

const NIL: &[u8] = b"$-1\r\n";

pub fn key(n: usize) -> String {
    format!("key:{n:06}")
}

/// The reply to one GET.
pub fn bulk(bytes: usize) -> Vec<u8> {
    let mut reply = format!("${bytes}\r\n").into_bytes();
    reply.resize(reply.len() + bytes, b'v');
    reply.extend_from_slice(b"\r\n");
    reply
}

/// The reply to an MGET.
pub fn array(keys: usize) -> Vec<u8> {
    let mut reply = format!("*{keys}\r\n").into_bytes();
    reply.extend(bulk(VALUE_BYTES).repeat(keys));
    reply
}

/// One end of a pipe with a server of its own at the other. Called inside of the runtime.
pub fn accept() -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    tokio::spawn(serve(theirs));
    ours
}

async fn serve(mut stream: DuplexStream) {
    let value = bulk(VALUE_BYTES);
    let mut input = vec![0; PIPE_BYTES];
    let mut filled = 0;
    let mut output = Vec::with_capacity(PIPE_BYTES);
    // Until the client hangs up.
    while let Ok(1..) = stream
        .read(&mut input[filled..])
        .await
        .inspect(|n| filled += n)
    {
        let mut at = 0;
        while let Some(used) = answer(&input[at..filled], &value, &mut output) {
            at += used;
        }
        input.copy_within(at..filled, 0);
        filled -= at;
        if stream.write_all(&output).await.is_err() {
            return;
        }
        output.clear();
    }
}

/// Answers the first command of `input` and returns its length; `None` if it is not here in whole.
fn answer(input: &[u8], value: &[u8], output: &mut Vec<u8>) -> Option<usize> {
    const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$10\r\nkey:";
    const GET_BYTES: usize = GET.len() - b"key:".len() + KEY_BYTES + 2;
    const MGET: &[u8] = b"$4\r\nMGET\r\n";
    const ARGUMENT_BYTES: usize = b"$10\r\n\r\n".len() + KEY_BYTES;
    if input.len() >= GET_BYTES && input.starts_with(GET) {
        output.extend_from_slice(value);
        return Some(GET_BYTES);
    }
    let (count, name) = length(input)?;
    if input[name..].starts_with(MGET) {
        let keys = count - 1;
        let used = name + MGET.len() + keys * ARGUMENT_BYTES;
        if input.len() < used {
            return None;
        }
        output.extend_from_slice(format!("*{keys}\r\n").as_bytes());
        for _ in 0..keys {
            output.extend_from_slice(value);
        }
        return Some(used);
    }
    // The greeting of a new connection: no case counts it.
    let mut at = name;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let (bytes, header) = length(&input[at..])?;
        at += header;
        words.push(input.get(at..at + bytes)?);
        at += bytes + 2;
    }
    if at > input.len() {
        return None;
    }
    output.extend_from_slice(match words[..] {
        [b"CLIENT", b"ID"] => b":7\r\n",
        [b"INFO", ..] => b"$23\r\nredis_mode:standalone\r\n\r\n",
        [b"GET", ..] => NIL,
        _ => b"+OK\r\n",
    });
    Some(at)
}

/// The number of a `*` or `$` line, and the line's length.
fn length(input: &[u8]) -> Option<(usize, usize)> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let digits = input.get(1..end - 1)?;
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
    Some((number, end + 1))
}
