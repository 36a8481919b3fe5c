//! What a program reaches that talks to its sockets itself, for one task: no library, and nothing of what a library is for. The limit of a
//! lone caller, beside which what is left is the client's own work.

use super::parts::Parts;
use super::{Answer, Client, Failure};
use crate::data::Key;
use crate::layout::Layout;
use std::io::Write;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

#[derive(Clone)]
pub struct BareSockets {
    /// Locked for a whole call: there is one task.
    connections: Arc<Mutex<Vec<Connection>>>,
    parts: Parts,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    reply: Vec<u8>,
}

impl BareSockets {
    pub async fn connect(layout: &Layout) -> Answer<BareSockets> {
        let mut connections = Vec::new();
        for port in &layout.servers {
            let stream = TcpStream::connect(("127.0.0.1", *port)).await?;
            stream.set_nodelay(true)?;
            connections.push(Connection {
                stream,
                request: Vec::new(),
                reply: Vec::with_capacity(64 << 10),
            });
        }
        Ok(BareSockets {
            connections: Arc::new(Mutex::new(connections)),
            parts: Parts::default(),
        })
    }

    /// A request per server that has keys, then all replies: `begin` and `add` write a request, `header` is what precedes the values.
    async fn ask(
        &mut self,
        keys: &[Key],
        begin: impl Fn(usize, &mut Vec<u8>),
        add: impl Fn(Key, &mut Vec<u8>),
        has_header: bool,
    ) -> Answer<Vec<Vec<u8>>> {
        let mut connections = self.connections.lock().await;
        self.parts.split(keys, connections.len());
        let asked = || self.parts.iter().enumerate();
        for (at, positions) in asked().filter(|(_, positions)| !positions.is_empty()) {
            let connection = &mut connections[at];
            begin(positions.len(), &mut connection.request);
            for position in positions {
                add(keys[usize::from(*position)], &mut connection.request);
            }
            connection.send().await?;
        }
        let mut answers = Vec::new();
        for (at, positions) in asked().filter(|(_, positions)| !positions.is_empty()) {
            let connection = &mut connections[at];
            answers.push(connection.values(positions.len(), has_header).await?);
        }
        Ok(self.parts.join(answers))
    }
}

impl Connection {
    async fn send(&mut self) -> Answer<()> {
        self.stream.write_all(&self.request).await?;
        self.request.clear();
        Ok(())
    }

    /// So many bulk strings.
    async fn values(&mut self, count: usize, has_header: bool) -> Answer<Vec<Vec<u8>>> {
        let mut values = Vec::with_capacity(count);
        let mut at = 0;
        self.reply.clear();
        let mut headers = usize::from(has_header);
        loop {
            while headers > 0
                && let Some((_, next)) = number(&self.reply, at)
            {
                at = next;
                headers -= 1;
            }
            while headers == 0
                && values.len() < count
                && let Some((value, next)) = bulk_string(&self.reply, at)
            {
                values.push(value.to_vec());
                at = next;
            }
            if values.len() == count {
                return Ok(values);
            }
            if self.stream.read_buf(&mut self.reply).await? == 0 {
                return Err(Failure::Refused("the server hung up".into()));
            }
        }
    }
}

/// The number of a header, and where it ends.
fn number(reply: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut number = 0;
    for (offset, byte) in reply.get(at + 1..)?.iter().enumerate() {
        match byte {
            b'0'..=b'9' => number = 10 * number + usize::from(byte - b'0'),
            b'\n' => return Some((number, at + offset + 2)),
            _ => {}
        }
    }
    None
}

fn bulk_string(reply: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (length, begin) = number(reply, at)?;
    let next = begin + length + 2;
    (reply.len() >= next).then(|| (&reply[begin..begin + length], next))
}

fn argument(bytes: &[u8], request: &mut Vec<u8>) {
    write!(request, "${}\r\n", bytes.len()).expect("into memory");
    request.extend_from_slice(bytes);
    request.extend_from_slice(b"\r\n");
}

fn get(key: Key, request: &mut Vec<u8>) {
    request.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
    argument(key.text.as_bytes(), request);
}

impl Client for BareSockets {
    type Value = Vec<u8>;

    async fn get(&mut self, key: Key) -> Answer<Vec<u8>> {
        let mut connections = self.connections.lock().await;
        let connection = &mut connections[usize::from(key.home)];
        get(key, &mut connection.request);
        connection.send().await?;
        let value = connection.values(1, false).await?.pop();
        Ok(value.expect("one was asked for"))
    }

    async fn set(&mut self, key: Key, value: &[u8]) -> Answer<()> {
        let mut connections = self.connections.lock().await;
        let connection = &mut connections[usize::from(key.home)];
        connection.request.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        argument(key.text.as_bytes(), &mut connection.request);
        argument(value, &mut connection.request);
        connection.send().await?;
        let mut reply = [0; 5];
        connection.stream.read_exact(&mut reply).await?;
        match &reply {
            b"+OK\r\n" => Ok(()),
            _ => Err(Failure::Wrong(format!("{reply:?} to a SET"))),
        }
    }

    async fn mget(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        let begin = |count, request: &mut Vec<u8>| {
            write!(request, "*{}\r\n$4\r\nMGET\r\n", count + 1).expect("into memory");
        };
        let add = |key: Key, request: &mut Vec<u8>| argument(key.text.as_bytes(), request);
        self.ask(keys, begin, add, true).await
    }

    async fn pipeline(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        self.ask(keys, |_, _| {}, get, false).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_when_they_are_whole() {
        let reply = b"*2\r\n$1\r\na\r\n$10\r\n0123456789\r\n";
        assert_eq!(number(reply, 0), Some((2, 4)));
        assert_eq!(bulk_string(reply, 4), Some((&b"a"[..], 11)));
        assert_eq!(bulk_string(reply, 11), Some((&b"0123456789"[..], 28)));
        for cut in 12..28 {
            assert_eq!(bulk_string(&reply[..cut], 11), None, "{cut} bytes");
        }
    }
}
