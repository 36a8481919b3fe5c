//! Reads requests: arrays of bulk strings, or inline commands.

use std::io;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// One command and its arguments, or what is wrong with the bytes, which ends the connection.
pub(crate) type Request = Result<Vec<Vec<u8>>, String>;

const LINE_BYTES_MAX: u64 = 64 * 1024;
const ARGUMENTS_MAX: i64 = 1024 * 1024;
const BULK_BYTES_MAX: i64 = 512 * 1024 * 1024;

/// The next request; `None` at the end of the connection.
pub(crate) async fn read_request(
    from: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<Request>> {
    loop {
        let line = match read_line(from).await? {
            None => return Ok(None),
            Some(Err(why)) => return Ok(Some(Err(why))),
            Some(Ok(line)) => line,
        };
        let request = match line.strip_prefix(b"*") {
            Some(count) => read_array(from, count).await?,
            None => split_inline(&line)
                .ok_or_else(|| "ERR Protocol error: unbalanced quotes in request".to_owned()),
        };
        // Redis answers nothing to an empty request.
        if request.as_ref().is_ok_and(Vec::is_empty) {
            continue;
        }
        return Ok(Some(request));
    }
}

/// A line without its end; `None` when the connection ended before one was whole.
async fn read_line(
    from: &mut (impl AsyncBufRead + Unpin),
) -> io::Result<Option<Result<Vec<u8>, String>>> {
    let mut line = Vec::new();
    let read = from
        .take(LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)
        .await?;
    if line.pop_if(|end| *end == b'\n').is_none() {
        let too_long = read as u64 == LINE_BYTES_MAX;
        return Ok(too_long.then(|| Err("ERR Protocol error: too big inline request".to_owned())));
    }
    line.pop_if(|end| *end == b'\r');
    Ok(Some(Ok(line)))
}

async fn read_array(from: &mut (impl AsyncBufRead + Unpin), count: &[u8]) -> io::Result<Request> {
    let Some(count) = number(count).filter(|count| *count <= ARGUMENTS_MAX) else {
        return Ok(Err(
            "ERR Protocol error: invalid multibulk length".to_owned()
        ));
    };
    let mut arguments = Vec::new();
    for _ in 0..count {
        let line = match read_line(from).await? {
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(Err(why)) => return Ok(Err(why)),
            Some(Ok(line)) => line,
        };
        let Some(length) = line.strip_prefix(b"$") else {
            let found = char::from(line.first().copied().unwrap_or(b'\r'));
            return Ok(Err(format!(
                "ERR Protocol error: expected '$', got '{found}'"
            )));
        };
        let Some(length) = number(length).filter(|length| (0..=BULK_BYTES_MAX).contains(length))
        else {
            return Ok(Err("ERR Protocol error: invalid bulk length".to_owned()));
        };
        // Grows with what comes, not with what was promised.
        let mut argument = Vec::new();
        let read = (&mut *from)
            .take(length as u64)
            .read_to_end(&mut argument)
            .await?;
        let mut end = [0; 2];
        if (read as i64) < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        from.read_exact(&mut end).await?;
        arguments.push(argument);
    }
    Ok(Ok(arguments))
}

fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The words of an inline command, quoted as redis-cli quotes them; `None` when a quote has no end.
fn split_inline(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        let mut word = Vec::new();
        let mut quote = None;
        loop {
            match (quote, rest) {
                (None, []) => break,
                (Some(_), []) => return None,
                (None, [space, ..]) if space.is_ascii_whitespace() => break,
                (None, [mark @ (b'"' | b'\''), tail @ ..]) => {
                    quote = Some(*mark);
                    rest = tail;
                }
                (Some(mark), [end, tail @ ..]) if mark == *end => {
                    if !tail.first().is_none_or(u8::is_ascii_whitespace) {
                        return None;
                    }
                    quote = None;
                    rest = tail;
                }
                (Some(b'"'), [b'\\', b'x', high, low, tail @ ..])
                    if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
                {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).ok()?;
                    word.push(u8::from_str_radix(digits, 16).ok()?);
                    rest = tail;
                }
                (Some(b'"'), [b'\\', escaped, tail @ ..]) => {
                    word.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'b' => 8,
                        b'a' => 7,
                        other => *other,
                    });
                    rest = tail;
                }
                (Some(b'\''), [b'\\', b'\'', tail @ ..]) => {
                    word.push(b'\'');
                    rest = tail;
                }
                (_, [byte, tail @ ..]) => {
                    word.push(*byte);
                    rest = tail;
                }
            }
        }
        words.push(word);
        rest = rest.trim_ascii_start();
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn requests(mut bytes: &[u8]) -> Vec<Request> {
        let mut all = Vec::new();
        while let Ok(Some(request)) = read_request(&mut bytes).await {
            all.push(request);
        }
        all
    }

    fn words(words: &[&str]) -> Request {
        Ok(words.iter().map(|word| word.as_bytes().to_vec()).collect())
    }

    #[tokio::test]
    async fn arrays_and_inline_commands_may_be_mixed() {
        let bytes =
            b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\nPING\r\n\r\n*0\r\nSET k \"two\\x20words\\n\"\n";
        let expected = [
            words(&["GET", "a\r\nb"]),
            words(&["PING"]),
            words(&["SET", "k", "two words\n"]),
        ];
        assert_eq!(requests(bytes).await, expected);
    }

    #[tokio::test]
    async fn what_is_not_a_request_is_said_as_redis_says_it() {
        for (bytes, why) in [
            (&b"*x\r\n"[..], "invalid multibulk length"),
            (b"*1\r\n:1\r\n", "expected '$', got ':'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"GET \"k\r\n", "unbalanced quotes in request"),
            (b"GET \"k\"k\r\n", "unbalanced quotes in request"),
        ] {
            let error = requests(bytes).await.remove(0).expect_err("no request");
            assert_eq!(error, format!("ERR Protocol error: {why}"));
        }
    }

    #[tokio::test]
    async fn half_a_request_is_none() {
        for bytes in [&b"GET k"[..], b"*2\r\n$3\r\nGET\r\n", b"*1\r\n$4\r\nPI"] {
            assert_eq!(requests(bytes).await, []);
        }
    }
}
