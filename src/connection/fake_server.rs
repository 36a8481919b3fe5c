//! A server for tests: answers ECHO with its argument and the greeting as Redis does, over any stream, as slowly as it is told to.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) type Words = Vec<Vec<u8>>;

/// How the server behaves. All of it may change while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// One read takes at most this much.
    pub(crate) read_bytes: usize,
    /// A pause before every n-th read.
    pub(crate) pause: Option<(usize, Duration)>,
    /// It hangs up once this many bytes of replies are out.
    pub(crate) replies_bytes_max: Option<usize>,
    /// Reads nothing.
    pub(crate) is_stalled: bool,
    /// Reads and executes, but answers nothing.
    pub(crate) is_mute: bool,
    /// What it answers to PING, in place of what Redis answers.
    pub(crate) pong: Option<&'static str>,
}

impl Default for Manners {
    fn default() -> Self {
        Manners {
            read_bytes: 16 * 1024,
            pause: None,
            replies_bytes_max: None,
            is_stalled: false,
            is_mute: false,
            pong: None,
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FakeServer {
    pub(crate) manners: Arc<Mutex<Manners>>,
    /// Commands as they were received whole.
    pub(crate) seen: Arc<Mutex<Vec<Words>>>,
    /// Connections that ended.
    pub(crate) ended: Arc<Mutex<usize>>,
}

impl FakeServer {
    pub(crate) fn with(manners: Manners) -> FakeServer {
        let server = FakeServer::default();
        *server.manners.lock() = manners;
        server
    }

    /// The last words of all commands of this name.
    pub(crate) fn saw(&self, name: &str) -> Vec<String> {
        self.seen
            .lock()
            .iter()
            .filter(|words| words[0] == name.as_bytes())
            .map(|words| String::from_utf8_lossy(&words[words.len() - 1]).into_owned())
            .collect()
    }

    pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self, mut stream: S) {
        let (mut input, mut at, mut reads, mut replied) = (Vec::new(), 0, 0, 0);
        'serving: loop {
            let manners = self.manners.lock().clone();
            if manners.is_stalled {
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
            reads += 1;
            if let Some((every, pause)) = manners.pause
                && reads % every == 0
            {
                tokio::time::sleep(pause).await;
            }
            let mut buffer = vec![0; manners.read_bytes];
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(n) => input.extend_from_slice(&buffer[..n]),
            }
            while let Some((words, used)) = command(&input[at..]) {
                at += used;
                let mut reply = answer(&words);
                let manners = self.manners.lock().clone();
                match (&words[0][..], manners.pong) {
                    (b"PING", Some(pong)) => reply = pong.as_bytes().to_vec(),
                    // By which each later reply goes to the wrong caller.
                    (b"ECHO", _) if words[1] == b"no reply" => reply.clear(),
                    (b"ECHO", _) if words[1] == b"two replies" => reply.extend_from_within(..),
                    _ => {}
                }
                self.seen.lock().push(words);
                if manners.is_mute {
                    continue;
                }
                if let Some(max) = manners.replies_bytes_max {
                    reply.truncate(max.saturating_sub(replied));
                }
                replied += reply.len();
                if stream.write_all(&reply).await.is_err()
                    || manners.replies_bytes_max.is_some_and(|max| replied >= max)
                {
                    break 'serving;
                }
            }
        }
        drop(stream);
        *self.ended.lock() += 1;
    }
}

fn answer(words: &Words) -> Vec<u8> {
    let bulk = |bytes: &[u8]| {
        let mut reply = format!("${}\r\n", bytes.len()).into_bytes();
        reply.extend_from_slice(bytes);
        reply.extend_from_slice(b"\r\n");
        reply
    };
    let last = &words[words.len() - 1];
    match &words[0][..] {
        b"ECHO" => bulk(last),
        b"GET" => b"$-1\r\n".to_vec(),
        b"INFO" => bulk(b"redis_mode:standalone\r\n"),
        b"CLIENT" if words[1] == b"ID" => b":7\r\n".to_vec(),
        b"PING" => bulk(last),
        b"SCRIPT" => bulk(b"sha"),
        _ => b"+OK\r\n".to_vec(),
    }
}

/// The first command of `bytes`, if it is whole, and its length.
pub(crate) fn command(bytes: &[u8]) -> Option<(Words, usize)> {
    let mut at = 0;
    let number = |at: &mut usize| -> Option<usize> {
        let end = *at + memchr::memchr(b'\n', bytes.get(*at..)?)?;
        let number = std::str::from_utf8(&bytes[*at + 1..end - 1]).ok()?;
        *at = end + 1;
        number.parse().ok()
    };
    let count = number(&mut at)?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let length = number(&mut at)?;
        words.push(bytes.get(at..at + length)?.to_vec());
        at += length + 2;
    }
    (at <= bytes.len()).then_some((words, at))
}
