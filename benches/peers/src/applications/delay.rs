//! The same servers, but every answer comes later: what a call takes longer by, counted in delays, are its round trips.

use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// As much as a read takes at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Listens until the process ends. Every chunk of an answer is held back for so long, one beside the other: it is a longer way, not a
/// narrower one.
pub fn start(server: u16, delay: Duration) -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a delay")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A server that is gone is a client whose connection ends.
            let _ = connect(client, server, delay);
        }
    });
    Ok(port)
}

fn connect(client: TcpStream, server: u16, delay: Duration) -> std::io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (asking, answering) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut &asking, &mut &answering);
        let _ = answering.shutdown(Shutdown::Write);
    });
    let (chunks, due) = channel();
    thread::spawn(move || {
        let mut from = server;
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(bytes @ 1..) = from.read(&mut chunk) {
            if chunks
                .send((Instant::now() + delay, chunk[..bytes].to_vec()))
                .is_err()
            {
                break;
            }
        }
    });
    thread::spawn(move || hold_back(&due, client));
    Ok(())
}

fn hold_back(due: &Receiver<(Instant, Vec<u8>)>, mut client: TcpStream) {
    for (when, chunk) in due {
        thread::sleep(when.saturating_duration_since(Instant::now()));
        if client.write_all(&chunk).is_err() {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_a_delay_later_and_two_in_a_row_come_two_later_but_two_at_once_one() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        thread::spawn(move || {
            let (stream, _) = server.accept().unwrap();
            let _ = std::io::copy(&mut &stream, &mut &stream);
        });
        let delay = Duration::from_millis(60);
        let port = start(port, delay).unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let mut delays_of = |asks: &[&[u8]]| {
            let asked = Instant::now();
            for ask in asks {
                client.write_all(ask).unwrap();
                let mut answer = vec![0; ask.len()];
                client.read_exact(&mut answer).unwrap();
                assert_eq!(answer, *ask);
            }
            asked.elapsed().as_secs_f64() / delay.as_secs_f64()
        };
        assert_eq!(delays_of(&[b"one"]).floor(), 1.0);
        assert_eq!(delays_of(&[b"one", b"two"]).floor(), 2.0);
        assert_eq!(delays_of(&[b"onetwo"]).floor(), 1.0);
    }
}
