//! Dialling: from an endpoint to an admitted stream, within one deadline.

use super::admission::{Admission, Admitted, Credentials, Purpose, Verdict};
use super::cause::Cause;
use super::stream::Stream;
use crate::config::{Address, Endpoint, ReceiveBuffer, Tcp};
use crate::resp::{Decoder, DecoderLimits};
use redis::Value;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Why a dial failed.
#[derive(Clone, Debug)]
pub(crate) struct DialError {
    /// Trying again with the same configuration cannot help: `connect` fails at once.
    pub(crate) is_configuration: bool,
    /// The server is there, and runs a script.
    pub(crate) is_busy: bool,
    pub(crate) message: String,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl DialError {
    /// The next try may do better.
    pub(super) fn unreachable(message: impl Into<String>) -> DialError {
        DialError {
            is_configuration: false,
            is_busy: false,
            message: message.into(),
        }
    }

    /// The server will answer once its script has ended.
    pub(super) fn busy(message: impl Into<String>) -> DialError {
        DialError {
            is_busy: true,
            ..DialError::unreachable(message)
        }
    }

    /// For those who wait for the connection.
    pub(crate) fn cause(&self) -> Cause {
        let why = self.message.as_str().into();
        if self.is_busy {
            Cause::Busy(why)
        } else {
            Cause::Down(why)
        }
    }

    /// The configuration must change first.
    pub(super) fn misconfigured(message: impl Into<String>) -> DialError {
        DialError {
            is_configuration: true,
            ..DialError::unreachable(message)
        }
    }
}

/// How to dial: all that does not differ from server to server.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// Covers name resolution, the TCP and TLS handshakes and the greeting.
    pub(crate) connect: Duration,
    pub(crate) tcp: Tcp,
    pub(crate) decoder: DecoderLimits,
}

/// Dials, greets and is admitted, or says why not. Nothing but the greeting is sent.
pub(crate) async fn dial(
    endpoint: &Endpoint,
    manner: &Manner,
    admission: &Admission,
    purpose: Purpose,
    epoch: u64,
) -> Result<(Stream, Decoder, Admitted), DialError> {
    let stage = AtomicU8::new(CONNECTING);
    let attempt = async {
        let mut stream = open(endpoint, manner, purpose, &stage).await?;
        stage.store(GREETING, Ordering::Relaxed);
        let password = match &endpoint.password {
            // Read anew at each dial, so that a rotated password needs no restart.
            Some(password) => Some(
                password
                    .read()
                    .map_err(|error| DialError::misconfigured(format!("cannot read {error}")))?,
            ),
            None => None,
        };
        let greeting = admission.greeting(
            purpose,
            epoch,
            &Credentials {
                username: endpoint.username.as_deref(),
                password: password.as_ref().map(|secret| secret.expose()),
                database: endpoint.database,
            },
        );
        let mut decoder = Decoder::new(manner.decoder);
        let replies = greet(
            &mut stream,
            &mut decoder,
            &greeting.bytes,
            greeting.steps.len(),
        )
        .await?;
        match admission.admit(&greeting, &replies) {
            Verdict::Admitted(admitted) => Ok((stream, decoder, admitted)),
            Verdict::Wait(why) => Err(DialError::unreachable(why)),
            Verdict::Busy(why) => Err(DialError::busy(why)),
            Verdict::Refused(why) => Err(DialError::misconfigured(why)),
        }
    };
    match tokio::time::timeout(manner.connect, attempt).await {
        Ok(result) => result,
        Err(_) => Err(DialError::unreachable(format!(
            "{} within {:?} (timeouts.connect)",
            match stage.into_inner() {
                CONNECTING => "no connection",
                SHAKING_HANDS =>
                    "connected, but no TLS handshake (is it a server without TLS, redis://?)",
                _ => "connected, but no answer to the greeting",
            },
            manner.connect
        ))),
    }
}

/// How far a dial has come, for the message when it takes too long.
const CONNECTING: u8 = 0;
const SHAKING_HANDS: u8 = 1;
const GREETING: u8 = 2;

pub(super) async fn open(
    endpoint: &Endpoint,
    manner: &Manner,
    purpose: Purpose,
    stage: &AtomicU8,
) -> Result<Stream, DialError> {
    #[cfg(keyway_instructions)]
    if let Some(pipe) = super::pipe::dial() {
        return Ok(Stream::Pipe(pipe));
    }
    match &endpoint.address {
        Address::Tcp { host, port } => {
            // Resolved at every dial: after a failover the name may lead elsewhere.
            let stream = TcpStream::connect((host.as_str(), *port))
                .await
                .map_err(|error| DialError::unreachable(error.to_string()))?;
            set_options(&stream, &manner.tcp, purpose);
            match &endpoint.tls {
                None => Ok(Stream::Tcp(stream)),
                #[cfg(feature = "tls")]
                Some(tls) => {
                    stage.store(SHAKING_HANDS, Ordering::Relaxed);
                    super::tls::connect(stream, tls, host).await
                }
                #[cfg(not(feature = "tls"))]
                Some(_) => {
                    stage.store(SHAKING_HANDS, Ordering::Relaxed);
                    Err(DialError::misconfigured(
                        "this build has no TLS: build keyway with the feature `tls`",
                    ))
                }
            }
        }
        #[cfg(unix)]
        Address::Unix(path) => match tokio::net::UnixStream::connect(path).await {
            Ok(stream) => Ok(Stream::Unix(stream)),
            Err(error) => Err(DialError::unreachable(error.to_string())),
        },
        #[cfg(not(unix))]
        Address::Unix(_) => Err(DialError::misconfigured("unix sockets need a unix system")),
    }
}

/// A system without an option is served by the idle PING and by larger writes, so a failure is no more than a note.
fn set_options(stream: &TcpStream, tcp: &Tcp, purpose: Purpose) {
    let mut result = stream.set_nodelay(tcp.nodelay);
    if tcp.keepalive {
        let settings = socket2::TcpKeepalive::new()
            .with_time(tcp.keepalive_idle)
            .with_interval(tcp.keepalive_interval)
            .with_retries(tcp.keepalive_retries);
        result = result.and(socket2::SockRef::from(stream).set_tcp_keepalive(&settings));
    }
    if let (Purpose::Bulk, Some(bytes)) = (purpose, receive_bytes(stream, tcp)) {
        result = result.and(socket2::SockRef::from(stream).set_recv_buffer_size(bytes));
    }
    if let Err(error) = result {
        tracing::debug!(target: "keyway::connection", %error, "socket option not set");
    }
}

/// A server on this machine finds room as fast as it writes, and the reader a core beside it: without a bound, Redis hands ten megabytes over
/// in one write and answers nobody meanwhile. With this much the reader gets as many bytes a second as redis-rs does, and as many GETs are
/// answered beside it on two workers, 1.6 times as many on a current-thread runtime (BENCHMARKS.md). When it was set, half as much cost another
/// quarter of the bytes, and twice as much most of the gain.
const LOCAL_RECEIVE_BYTES: usize = 128 * 1024;

/// `None`: as the system chooses.
fn receive_bytes(stream: &TcpStream, tcp: &Tcp) -> Option<usize> {
    match tcp.bulk_receive_buffer {
        ReceiveBuffer::Auto => is_local(stream).then_some(LOCAL_RECEIVE_BYTES),
        ReceiveBuffer::System => None,
        ReceiveBuffer::Bytes(bytes) => Some(usize::try_from(bytes).unwrap_or(usize::MAX)),
    }
}

fn is_local(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(ours), Ok(theirs)) => is_same_machine(ours.ip(), theirs.ip()),
        _ => false,
    }
}

/// Of the two ends of one connection.
fn is_same_machine(ours: IpAddr, theirs: IpAddr) -> bool {
    let (ours, theirs) = (ours.to_canonical(), theirs.to_canonical());
    theirs.is_loopback() || theirs == ours
}

/// Writes the greeting and reads its replies; fewer, when the server hangs up.
pub(super) async fn greet(
    stream: &mut Stream,
    decoder: &mut Decoder,
    bytes: &[u8],
    replies: usize,
) -> Result<Vec<Value>, DialError> {
    // A server that is full answers and hangs up before it reads, so its answer is worth more than our write error.
    let wrote = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    }
    .await;
    let mut values = Vec::with_capacity(replies);
    let mut buffer = vec![0; 4096];
    while values.len() < replies {
        let n = match stream.read(&mut buffer).await {
            Ok(0) => break,
            Ok(n) => n,
            // In TLS 1.3 the server judges our certificate after we have taken the handshake for done.
            #[cfg(feature = "tls")]
            Err(error) if super::tls::is_refusal(&error) => {
                return Err(super::tls::refused(&error));
            }
            // A reset or an end of stream in place of an answer: the same hang-up, told by another packet.
            Err(_) => break,
        };
        let mut at = 0;
        while at < n {
            let (used, value) = decoder.decode(&buffer[at..n]).map_err(|error| {
                DialError::misconfigured(format!("the peer does not speak the Redis protocol ({error}); does it expect TLS (rediss://)?"))
            })?;
            at += used;
            match value {
                Some(Value::Push { .. }) => {}
                Some(value) => values.push(value),
                None => break,
            }
        }
    }
    match wrote {
        #[cfg(feature = "tls")]
        Err(error) if values.is_empty() && super::tls::is_refusal(&error) => {
            Err(super::tls::refused(&error))
        }
        _ => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    #[test]
    fn only_the_same_machine_is_local() {
        for (ours, theirs, is_same) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.9", true),
            ("::1", "::1", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
            ("10.0.0.5", "10.0.0.5", true),
            ("::ffff:10.0.0.5", "10.0.0.5", true),
            ("10.0.0.5", "10.0.0.6", false),
            ("fe80::5", "fe80::6", false),
        ] {
            let [a, b] = [ours, theirs].map(|address| address.parse().unwrap());
            assert_eq!(is_same_machine(a, b), is_same, "{ours} to {theirs}");
        }
    }

    /// What the system gives to such a connection, in multiples of what is asked for.
    async fn receive_buffer(port: u16, setting: ReceiveBuffer, purpose: Purpose) -> usize {
        let endpoint = Endpoint::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
        let tcp = Tcp {
            bulk_receive_buffer: setting,
            ..Tcp::default()
        };
        let manner = Manner {
            connect: Duration::from_secs(5),
            tcp,
            decoder: DecoderLimits::default(),
        };
        let stage = AtomicU8::new(CONNECTING);
        match open(&endpoint, &manner, purpose, &stage).await.unwrap() {
            Stream::Tcp(stream) => buffer_of(&stream),
            other => panic!("{other:?}"),
        }
    }

    fn buffer_of(stream: &TcpStream) -> usize {
        socket2::SockRef::from(stream).recv_buffer_size().unwrap()
    }

    #[tokio::test]
    async fn only_connections_for_big_values_have_a_receive_buffer_of_their_own() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plain = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
        let plain = plain.unwrap();
        let system = buffer_of(&plain);
        // Rounded by the system, as it does for whoever asks.
        let asked = |bytes| {
            let socket = socket2::SockRef::from(&plain);
            socket.set_recv_buffer_size(bytes).unwrap();
            socket.recv_buffer_size().unwrap()
        };
        let (auto, small) = (asked(LOCAL_RECEIVE_BYTES), asked(32 << 10));
        assert_ne!(auto, small);
        assert_ne!(system, small);
        use {Purpose::*, ReceiveBuffer::*};
        for (setting, purpose, bytes) in [
            (Auto, Bulk, auto),
            (Auto, Commands, system),
            (Auto, PubSub, system),
            (System, Bulk, system),
            (Bytes(32 << 10), Bulk, small),
            (Bytes(32 << 10), Commands, system),
        ] {
            let seen = receive_buffer(port, setting, purpose).await;
            assert_eq!(seen, bytes, "{setting:?} for {purpose:?}");
        }
    }
}
