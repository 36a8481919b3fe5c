//! Outbox and driver against a fake server over an in-memory pipe, in a stopped clock.

use super::driver::{Driver, Driving};
use super::fake_server::{FakeServer, Manners, command};
use super::outbox::{Ends, Take};
use super::*;
use crate::resp::DecoderLimits;
use futures::FutureExt;
use parking_lot::Mutex;
use proptest::prelude::*;
use redis::{Cmd, Value, cmd};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const PATIENCE: Patience = Patience {
    dead: Duration::from_secs(2),
    silence_max: Duration::from_secs(10),
    idle_ping: Duration::from_secs(30),
};
const BOUNDS: Bounds = Bounds {
    commands_max: 1000,
    bytes_max: 1 << 20,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn echo(text: &str) -> Cmd {
    let mut echo = cmd("ECHO");
    echo.arg(text);
    echo
}

fn script(n: u8) -> Arc<Script> {
    Arc::new(Script {
        sha: [n; 20],
        load: cmd("SCRIPT")
            .arg("LOAD")
            .arg(format!("script{n}"))
            .get_packed_command(),
        body_bytes: format!("script{n}").len(),
    })
}

fn stats() -> Arc<ServerStats> {
    Arc::new(ServerStats::new("s".into(), 1, |_| "echo"))
}

fn new_outbox(bounds: Bounds) -> Arc<Outbox> {
    Arc::new(Outbox::new(1, bounds, stats(), now()))
}

fn driver<S: AsyncRead + AsyncWrite + Unpin>(stream: S, outbox: &Arc<Outbox>) -> Driving<S> {
    driver_with(stream, outbox, stats())
}

fn driver_with<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    outbox: &Arc<Outbox>,
    stats: Arc<ServerStats>,
) -> Driving<S> {
    let driver = Driver::start(
        stream,
        outbox.clone(),
        stats,
        Decoder::new(DecoderLimits::default()),
        PATIENCE,
    );
    assert!(outbox.open(outbox.generation()));
    driver
}

fn push_to(
    outbox: &Arc<Outbox>,
    generation: u64,
    cmds: &[Cmd],
    scripts: &[Arc<Script>],
    patience: Duration,
) -> Result<Ticket, Refusal> {
    let items: Vec<Item<'_>> = cmds.iter().map(|cmd| Item { cmd, command: 0 }).collect();
    outbox.push(
        generation,
        &Parcel {
            items: match &items[..] {
                [one] => Items::One(*one),
                many => Items::Many(many),
            },
            scripts,
            started: now(),
            deadline: now() + patience,
            blocking: false,
            no_reply: false,
            behind: None,
        },
    )
}

/// A connection to a fake server.
struct Bench {
    outbox: Arc<Outbox>,
    server: FakeServer,
    stats: Arc<ServerStats>,
    driver: JoinHandle<Cause>,
}

impl Bench {
    fn new(pipe_bytes: usize, bounds: Bounds) -> Bench {
        let (ours, theirs) = tokio::io::duplex(pipe_bytes);
        let server = FakeServer::default();
        tokio::spawn(server.clone().serve(theirs));
        let stats = stats();
        let outbox = Arc::new(Outbox::new(1, bounds, stats.clone(), now()));
        let driver = tokio::spawn(driver_with(ours, &outbox, stats.clone()));
        Bench {
            outbox,
            server,
            stats,
            driver,
        }
    }

    fn push(&self, text: &str, patience: Duration) -> Ticket {
        push_to(&self.outbox, u64::MAX, &[echo(text)], &[], patience).expect("it is taken")
    }

    fn stall(&self, is_stalled: bool) {
        self.server.manners.lock().is_stalled = is_stalled;
    }
}

/// What the driver has written and the test has not read yet.
fn arrived(theirs: &mut DuplexStream) -> String {
    let mut bytes = [0; 4096];
    let read = tokio::io::AsyncReadExt::read(theirs, &mut bytes).now_or_never();
    let n = read.map_or(0, |n| n.expect("the pipe is whole"));
    String::from_utf8_lossy(&bytes[..n]).into_owned()
}

fn text(value: &Value) -> &str {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).expect("text"),
        other => panic!("not an ECHO's reply: {other:?}"),
    }
}

fn reply(delivery: Delivery) -> String {
    match delivery {
        Delivery::Reply(value) => text(&value).to_owned(),
        other => panic!("no reply: {other:?}"),
    }
}

fn broken(delivery: Delivery) -> Broken {
    match delivery {
        Delivery::Broken(broken) => *broken,
        other => panic!("not broken: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_that_the_driver_has_taken_is_not_told_as_not_sent_when_its_deadline_passes() {
    let bench = Bench::new(16, BOUNDS);
    bench.stall(true);
    let ticket = bench.push("taken, with most of it still to be written", ms(50));
    let delivery = ticket.await;
    assert_eq!(bench.server.saw("ECHO").len(), 0);
    bench.stall(false);
    sleep(ms(50)).await;
    assert_eq!(bench.server.saw("ECHO").len(), 1, "it was written later");
    let broken = broken(delivery);
    assert_eq!(broken.written, 1);
    assert!(matches!(broken.cause, Cause::Deadline));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_expires_in_the_queue_is_not_sent_and_frees_its_room() {
    let bench = Bench::new(16, BOUNDS);
    bench.stall(true);
    let first = bench.push("first, which fills the pipe", ms(1000));
    sleep(ms(5)).await;
    let started = now();
    let second = bench.push("second", ms(50));
    let third = bench.push("third", ms(1000));
    let broken = broken(second.await);
    let took = now() - started;
    assert!((ms(50)..=ms(70)).contains(&took), "{took:?}");
    assert_eq!(broken.written, 0);
    bench.stall(false);
    assert_eq!(reply(first.await), "first, which fills the pipe");
    assert_eq!(reply(third.await), "third");
    assert_eq!(
        bench.server.saw("ECHO"),
        ["first, which fills the pipe", "third"]
    );
    sleep(ms(1)).await;
    assert_eq!(bench.outbox.held(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_script_parcel_that_expires_or_is_dropped_is_cut_out_but_its_script_is_still_loaded() {
    for is_dropped in [false, true] {
        let bench = Bench::new(16, BOUNDS);
        bench.stall(true);
        let first = bench.push("first, which fills the pipe", ms(1000));
        sleep(ms(5)).await;
        let push = |text: &str, patience| {
            push_to(
                &bench.outbox,
                1,
                &[echo(text)],
                &[script(1), script(2)],
                patience,
            )
            .expect("taken")
        };
        let (loads, uses) = (push("loads", ms(50)), push("uses", ms(1000)));
        if is_dropped {
            drop(loads);
        } else {
            let ended = timeout(ms(100), loads).await.expect("told in time");
            assert_eq!(broken(ended).written, 0);
        }
        bench.stall(false);
        assert_eq!(reply(first.await), "first, which fills the pipe");
        assert_eq!(reply(uses.await), "uses");
        assert_eq!(bench.server.saw("SCRIPT"), ["script1", "script2"]);
        assert_eq!(bench.server.saw("ECHO").len(), 2, "`loads` was not sent");
        sleep(ms(1)).await;
        assert_eq!(bench.outbox.held(), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_caller_is_gone_is_counted_once_as_what_became_of_it() {
    let bench = Bench::new(64, BOUNDS);
    let counted = || {
        let all = bench.stats.snapshot(0);
        let failures = all.failures;
        assert_eq!(all.calls, all.replies + failures.total());
        (
            all.replies,
            failures.not_sent,
            failures.unknown,
            failures.dropped,
        )
    };
    // Written, and the reply comes.
    let ticket = bench.push("a", ms(1000));
    drop(ticket);
    assert_eq!(reply(bench.push("b", ms(1000)).await), "b");
    let answered = counted();
    assert_eq!((answered.0 + answered.1, answered.2), (2, 0));
    assert_eq!(answered.1, answered.3, "{answered:?}");
    // Taken back before it was written, one and several.
    bench.stall(true);
    let first = bench.push(&"x".repeat(100), ms(1000));
    sleep(ms(5)).await;
    let several = push_to(&bench.outbox, 1, &[echo("c"), echo("d")], &[], ms(1000));
    drop((bench.push("e", ms(1000)), several));
    bench.stall(false);
    assert_eq!(reply(first.await).len(), 100);
    let taken_back = counted();
    assert_eq!(
        taken_back,
        (answered.0 + 1, answered.1 + 3, answered.2, answered.3 + 3)
    );
    // Written, and the connection is lost; of the several, and of one whose caller goes when it is told already.
    bench.server.manners.lock().is_mute = true;
    let several = push_to(&bench.outbox, 1, &[echo("f"), echo("g")], &[], ms(1000));
    let one = bench.push("h", ms(1000));
    sleep(ms(5)).await;
    drop(several);
    bench.outbox.cut(Cause::ClosedByServer);
    let _ = bench.driver.await;
    drop(one);
    let all = bench.stats.snapshot(0);
    assert_eq!(
        (all.failures.unknown, all.failures.dropped),
        (3, taken_back.3 + 3)
    );
    assert_eq!(
        (all.replies, all.failures.total()),
        (taken_back.0, taken_back.1 + 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_command_in_the_queue_is_not_written_but_the_connections_own_commands_are() {
    let bench = Bench::new(16, BOUNDS);
    bench.stall(true);
    let first = bench.push("first, which fills the pipe", ms(1000));
    sleep(ms(5)).await;
    let dropped = bench.push("dropped", ms(1000));
    let big = push_to(
        &bench.outbox,
        1,
        &[echo(&"x".repeat(70_000))],
        &[],
        ms(1000),
    )
    .expect("taken");
    bench
        .outbox
        .tell(&cmd("CLIENT").arg("UNBLOCK").arg("7").get_packed_command());
    drop(bench.outbox.advance(
        2,
        &cmd("CLIENT").arg("SETNAME").arg("e2").get_packed_command(),
        now() + ms(1000),
    ));
    let last = bench.push("last", ms(1000));
    drop((dropped, big));
    bench.stall(false);
    assert_eq!(reply(first.await), "first, which fills the pipe");
    assert_eq!(reply(last.await), "last");
    assert_eq!(
        bench.server.saw("ECHO"),
        ["first, which fills the pipe", "last"]
    );
    assert_eq!(bench.server.saw("CLIENT"), ["7", "e2"]);
    sleep(ms(1)).await;
    assert_eq!(bench.outbox.held(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_greeted_before_a_switch_says_its_new_name_first() {
    let outbox = new_outbox(BOUNDS);
    let preamble = cmd("CLIENT").arg("SETNAME").arg("e2").get_packed_command();
    let barrier = outbox.advance(2, &preamble, now());
    assert!(barrier.await.is_err(), "nothing was before it");
    let (ours, theirs) = tokio::io::duplex(1024);
    let server = FakeServer::default();
    tokio::spawn(server.clone().serve(theirs));
    let decoder = Decoder::new(DecoderLimits::default());
    let driver = Driver::start(ours, outbox.clone(), stats(), decoder, PATIENCE);
    assert!(outbox.open(1));
    // Somebody gives up before the driver comes to write: the mark must not take the name away.
    drop(push_to(&outbox, 2, &[echo("dropped")], &[], ms(100)));
    let ticket = push_to(&outbox, 2, &[echo("kept")], &[], ms(100)).expect("taken");
    tokio::spawn(driver);
    assert_eq!(reply(ticket.await), "kept");
    let names: Vec<_> = server
        .seen
        .lock()
        .iter()
        .map(|words| words[0].clone())
        .collect();
    assert_eq!(names, [b"CLIENT".to_vec(), b"ECHO".to_vec()]);
}

/// Keeps what is written until it is flushed, and is not ready to flush at the first try: TLS above a full socket.
struct Reluctant {
    inner: DuplexStream,
    kept: Vec<u8>,
    tries: usize,
}

impl AsyncRead for Reluctant {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Reluctant {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tries += 1;
        if self.tries == 1 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let this = &mut *self;
        while !this.kept.is_empty() {
            let n = std::task::ready!(Pin::new(&mut this.inner).poll_write(cx, &this.kept))?;
            this.kept.drain(..n);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_tls_layer_holds_back_is_flushed_later() {
    let (inner, theirs) = tokio::io::duplex(1024);
    tokio::spawn(FakeServer::default().serve(theirs));
    let outbox = new_outbox(BOUNDS);
    let stream = Reluctant {
        inner,
        kept: Vec::new(),
        tries: 0,
    };
    tokio::spawn(driver(stream, &outbox));
    let ticket = push_to(&outbox, 1, &[echo("hello")], &[], ms(500)).expect("taken");
    assert_eq!(reply(ticket.await), "hello");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_began_long_ago_elsewhere_is_no_sign_of_a_dead_connection() {
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let outbox = new_outbox(BOUNDS);
    tokio::spawn(driver(ours, &outbox));
    sleep(PATIENCE.dead * 3).await;
    let ticket = outbox
        .push(
            1,
            &Parcel {
                items: Items::One(Item {
                    cmd: &echo("late"),
                    command: 0,
                }),
                scripts: &[],
                started: now() - PATIENCE.dead * 2,
                deadline: now() + ms(1500),
                blocking: false,
                no_reply: false,
                behind: None,
            },
        )
        .expect("taken");
    sleep(ms(500)).await;
    let write = tokio::io::AsyncWriteExt::write_all;
    write(&mut theirs, b"$4\r\nlate\r\n").await.expect("open");
    assert_eq!(reply(ticket.await), "late");
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_after_dead_and_a_half_open_one_after_the_idle_ping() {
    let about = |expected: Duration| expected..expected + ms(50);
    // A deadline below `dead`, one between, and one above `silence_max`.
    for (patience, expected) in [
        (ms(500), PATIENCE.dead),
        (ms(6_000), ms(6_000)),
        (ms(60_000), PATIENCE.silence_max),
    ] {
        let bench = Bench::new(1024, BOUNDS);
        sleep(ms(7000)).await;
        bench.server.manners.lock().is_mute = true;
        let started = now();
        let ticket = bench.push("into the void", patience);
        let ended = broken(ticket.await);
        assert_eq!(ended.written, 1);
        assert_eq!(
            matches!(ended.cause, Cause::Deadline),
            patience <= ms(6_000)
        );
        assert!(matches!(bench.driver.await, Ok(Cause::Silent(_))));
        let took = now() - started;
        assert!(about(expected).contains(&took), "{patience:?}: {took:?}");
        assert!(!bench.outbox.is_up());
    }

    // What is pushed after a silence has begun does not prolong it.
    let bench = Bench::new(1024, BOUNDS);
    bench.server.manners.lock().is_mute = true;
    let started = now();
    let first = bench.push("first", ms(500));
    sleep(ms(100)).await;
    let late = bench.push("late", ms(60_000));
    assert!(matches!(broken(first.await).cause, Cause::Deadline));
    assert!(matches!(broken(late.await).cause, Cause::Silent(_)));
    let took = now() - started;
    assert!(about(PATIENCE.dead).contains(&took), "{took:?}");

    // A token of ours that is not answered does not hide a silence, and does not make one.
    let bench = Bench::new(1024, BOUNDS);
    assert_eq!(reply(bench.push("a", ms(500)).await), "a");
    bench.server.manners.lock().is_mute = true;
    sleep(ms(5_000)).await;
    assert!(bench.outbox.is_up(), "nobody waits");
    let started = now();
    let first = bench.push("first", ms(500));
    assert!(matches!(broken(first.await).cause, Cause::Deadline));
    assert!(matches!(bench.driver.await, Ok(Cause::Silent(_))));
    let took = now() - started;
    assert!(about(PATIENCE.dead).contains(&took), "{took:?}");

    let bench = Bench::new(1024, BOUNDS);
    bench.server.manners.lock().is_mute = true;
    let started = now();
    assert!(matches!(bench.driver.await, Ok(Cause::Silent(_))));
    let took = now() - started;
    // Nobody waits, so that there is time to see whether the server is just busy.
    let expected = PATIENCE.idle_ping + PATIENCE.silence_max;
    assert!((expected..expected + ms(50)).contains(&took), "{took:?}");
}

/// Callers that ask one after the other for as long as the connection lives: how many of their replies were another's.
async fn wrong_replies(bench: &Bench, callers: usize, pause: Duration) -> usize {
    let wrong = Arc::new(AtomicUsize::new(0));
    let ask = async |caller: usize| {
        for number in 0..50_000 {
            let text = format!("{caller}.{number}");
            let pushed = push_to(&bench.outbox, u64::MAX, &[echo(&text)], &[], ms(60_000));
            match pushed {
                Ok(ticket) => match ticket.await {
                    Delivery::Reply(value) if self::text(&value) == text => {}
                    Delivery::Reply(_) => {
                        wrong.fetch_add(1, Ordering::Relaxed);
                    }
                    Delivery::Replies(_) => panic!("a reply to one command"),
                    Delivery::Broken(broken) => {
                        assert!(matches!(broken.cause, Cause::Shifted), "{:?}", broken.cause);
                        assert!(broken.written > 0, "it was written");
                        return;
                    }
                },
                Err(_) => return,
            }
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        panic!("nobody noticed");
    };
    futures::future::join_all((0..callers).map(ask)).await;
    wrong.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn replies_that_go_to_the_wrong_callers_are_noticed_within_a_second() {
    for shift in ["no reply", "two replies"] {
        let bench = Bench::new(4096, BOUNDS);
        assert_eq!(reply(bench.push("a", ms(500)).await), "a");
        // Its caller takes the next one's reply, or leaves one too many.
        let _culprit = bench.push(shift, ms(60_000));
        let started = now();
        let wrong = wrong_replies(&bench, 10, ms(10)).await;
        let took = now() - started;
        assert!(took <= ms(1_050), "{shift}: {took:?}");
        assert!(wrong <= 10 * 105, "{shift}: {wrong} wrong replies");
        assert!(matches!(bench.driver.await, Ok(Cause::Shifted)), "{shift}");
        assert_eq!(bench.stats.snapshot(0).shifts, 1, "{shift}");
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_go_to_the_wrong_callers_are_noticed_within_65_536_of_them() {
    let bench = Bench::new(1 << 16, BOUNDS);
    let _culprit = bench.push("no reply", ms(60_000));
    // No time passes, so that it is the number that counts.
    let started = now();
    let wrong = wrong_replies(&bench, 20, Duration::ZERO).await;
    assert_eq!(now(), started);
    // And those that were under way while the token was.
    assert!(
        (60_000..=65_536 + 300).contains(&wrong),
        "{wrong} wrong replies"
    );
    assert_eq!(bench.stats.snapshot(0).shifts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_nobody_asked_for_says_that_others_may_be_wrong() {
    let bench = Bench::new(4096, BOUNDS);
    let ended = broken(bench.push("two replies", ms(500)).await);
    assert!(matches!(ended.cause, Cause::Shifted), "{ended:?}");
    assert!(matches!(bench.driver.await, Ok(Cause::Shifted)));
    assert_eq!(bench.stats.snapshot(0).shifts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_ping_is_not_taken_for_one_that_shifts_replies() {
    for pong in [
        "-BUSY Redis is busy running a script\r\n",
        "-LOADING Redis is loading the dataset in memory\r\n",
        "-MASTERDOWN Link with MASTER is down\r\n",
        "-MISCONF Redis is configured to save RDB snapshots\r\n",
        "-NOPERM User feeds has no permissions to run the 'ping' command\r\n",
        "-NOAUTH Authentication required.\r\n",
        "-ERR unknown command 'PING', with args beginning with: 'x' \r\n",
    ] {
        let bench = Bench::new(4096, BOUNDS);
        bench.server.manners.lock().pong = Some(pong);
        for _ in 0..50 {
            assert_eq!(reply(bench.push("a", ms(500)).await), "a", "{pong}");
            sleep(ms(100)).await;
        }
        // The next token decides.
        bench.server.manners.lock().pong = None;
        for _ in 0..50 {
            assert_eq!(reply(bench.push("a", ms(500)).await), "a", "{pong}");
            sleep(ms(100)).await;
        }
        let pings = bench.server.saw("PING").len();
        assert!((8..=12).contains(&pings), "{pings} pings in ten seconds");
        let _culprit = bench.push("no reply", ms(60_000));
        wrong_replies(&bench, 4, ms(10)).await;
        assert_eq!(bench.stats.snapshot(0).shifts, 1, "{pong}");
    }
    let bench = Bench::new(4096, BOUNDS);
    bench.server.manners.lock().pong = Some("-ERR something else\r\n");
    assert_eq!(reply(bench.push("a", ms(500)).await), "a");
    assert!(matches!(bench.driver.await, Ok(Cause::Shifted)));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_sent_while_there_are_replies_to_prove_and_never_to_a_lent_connection() {
    let bench = Bench::new(4096, BOUNDS);
    sleep(ms(29_000)).await;
    assert_eq!(bench.server.saw("PING").len(), 0, "nothing to prove");
    assert_eq!(reply(bench.push("a", ms(500)).await), "a");
    sleep(ms(1_100)).await;
    assert_eq!(bench.server.saw("PING").len(), 1, "one reply");
    // Proven; from here it is the idle PING.
    sleep(ms(29_000)).await;
    assert_eq!(bench.server.saw("PING").len(), 1);
    sleep(ms(1_500)).await;
    assert_eq!(bench.server.saw("PING").len(), 2);

    let (ours, theirs) = tokio::io::duplex(4096);
    let server = FakeServer::default();
    tokio::spawn(server.clone().serve(theirs));
    let outbox = Arc::new(Outbox::leased(1, BOUNDS, stats(), now()));
    let driver = tokio::spawn(driver(ours, &outbox));
    for _ in 0..10 {
        let pushed = push_to(&outbox, u64::MAX, &[echo("a")], &[], ms(500));
        assert_eq!(reply(pushed.expect("it is taken").await), "a");
        sleep(ms(40_000)).await;
    }
    assert_eq!(server.saw("PING").len(), 0, "lent");
    outbox.hand_to(Owner::Nobody);
    sleep(ms(62_000)).await;
    assert!((1..=3).contains(&server.saw("PING").len()), "idle");
    outbox.hand_to(Owner::One);
    let before = server.saw("PING").len();
    sleep(ms(62_000)).await;
    assert_eq!(server.saw("PING").len(), before, "lent again");
    assert!(!driver.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_request_of_no_arguments_is_never_queued() {
    let bench = Bench::new(4096, BOUNDS);
    let empty = Cmd::new;
    for cmds in [
        vec![empty()],
        vec![],
        vec![echo("a"), empty()],
        vec![empty(), echo("b")],
        // Larger than what is encoded under the lock.
        vec![echo(&"x".repeat(100_000)), empty()],
    ] {
        let pushed = push_to(&bench.outbox, u64::MAX, &cmds, &[], ms(500));
        assert!(matches!(pushed, Err(Refusal::Empty)), "{}", cmds.len());
        assert_eq!(bench.outbox.held(), (0, 0));
    }
    let nothing = Items::Packed(Packed {
        bytes: [b"", b""],
        command: 0,
    });
    assert_eq!(nothing.size_hint(), None);
    assert_eq!(reply(bench.push("after", ms(500)).await), "after");
}

#[tokio::test(start_paused = true)]
async fn a_blocking_command_may_be_silent_for_long() {
    let bench = Bench::new(1024, BOUNDS);
    bench.server.manners.lock().is_mute = true;
    let ticket = bench
        .outbox
        .push(
            1,
            &Parcel {
                items: Items::One(Item {
                    cmd: &echo("BLPOP"),
                    command: 0,
                }),
                scripts: &[],
                started: now(),
                deadline: now() + PATIENCE.dead * 5,
                blocking: true,
                no_reply: false,
                behind: None,
            },
        )
        .expect("taken");
    assert!(matches!(broken(ticket.await).cause, Cause::Deadline));
    assert!(bench.outbox.is_up());
}

/// Counts how often the driver is polled.
struct Counted<F>(F, Arc<AtomicUsize>);

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_driver_sleeps_while_there_is_nothing_to_do() {
    let (ours, theirs) = tokio::io::duplex(64);
    let server = FakeServer::default();
    tokio::spawn(server.clone().serve(theirs));
    let outbox = new_outbox(BOUNDS);
    let polls = Arc::new(AtomicUsize::new(0));
    let polled = || polls.swap(0, Ordering::Relaxed);
    tokio::spawn(Counted(driver(ours, &outbox), polls.clone()));

    sleep(ms(10 * 60_000)).await;
    let pings = server.saw("PING").len();
    assert!((19..=20).contains(&pings), "{pings} pings in 10 minutes");
    let idle = polled();
    assert!(idle <= pings * 6 + 2, "{idle} polls in 10 idle minutes");

    // Behind a full pipe there is one tick in 10 ms, and no more.
    server.manners.lock().is_stalled = true;
    let ticket = push_to(&outbox, 1, &[echo(&"x".repeat(1000))], &[], ms(5000)).expect("taken");
    sleep(ms(1000)).await;
    let stalled = polled();
    assert!(
        (50..=120).contains(&stalled),
        "{stalled} polls in a stalled second"
    );
    server.manners.lock().is_stalled = false;
    assert_eq!(reply(ticket.await).len(), 1000);
    // A token proves the reply after a second; then the timer of the silence that did not come runs out.
    sleep(ms(1100) + PATIENCE.dead).await;
    polled();
    sleep(ms(10_000)).await;
    assert_eq!(polled(), 0, "idle again, before the next ping");
}

#[tokio::test(start_paused = true)]
async fn a_driver_woken_by_the_first_of_a_crowd_lets_the_others_push_and_a_lone_caller_does_not_wait()
 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (ours, mut theirs) = tokio::io::duplex(4096);
    let outbox = new_outbox(BOUNDS);
    let mut driver = driver(ours, &outbox);
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = || assert!(driver.poll_unpin(&mut cx).is_pending());
    let push = |text: &str| push_to(&outbox, 1, &[echo(text)], &[], ms(500)).expect("it is taken");
    // How many commands the server finds when it looks.
    let mut buffer = [0; 4096];
    let mut found = |theirs: &mut DuplexStream| match theirs.read(&mut buffer).now_or_never() {
        Some(n) => buffer[..n.expect("the pipe is open")]
            .iter()
            .filter(|byte| **byte == b'*')
            .count(),
        None => 0,
    };

    // One after the other: written at once, each.
    poll();
    for text in ["a", "b"] {
        let ticket = push(text);
        poll();
        assert_eq!(found(&mut theirs), 1, "a lone caller waits for nobody");
        theirs.write_all(b"+OK\r\n").await.expect("there is room");
        poll();
        assert!(matches!(ticket.await, Delivery::Reply(Value::Okay)));
    }
    // Two at once make a crowd.
    let crowd = [push("c"), push("d")];
    poll();
    assert_eq!(found(&mut theirs), 2);
    theirs
        .write_all(b"+OK\r\n+OK\r\n")
        .await
        .expect("there is room");
    poll();
    poll();
    for ticket in crowd {
        assert!(matches!(ticket.await, Delivery::Reply(Value::Okay)));
    }
    let first = push("e");
    poll();
    assert_eq!(
        found(&mut theirs),
        0,
        "the others of the crowd may be about to push"
    );
    let second = push("f");
    poll();
    assert_eq!(found(&mut theirs), 2, "and it waits for them once only");
    drop((first, second));
}

async fn answer(theirs: &mut DuplexStream) {
    let answered = tokio::io::AsyncWriteExt::write_all(theirs, b"+OK\r\n");
    answered.await.expect("there is room");
}

#[tokio::test(start_paused = true)]
async fn a_lone_caller_drives_a_sleeping_driver_and_a_second_one_wakes_it() {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let outbox = new_outbox(BOUNDS);
    let polls = Arc::new(AtomicUsize::new(0));
    let polled = || polls.swap(0, Ordering::Relaxed);
    let settle = || async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    };
    tokio::spawn(Counted(driver(ours, &outbox), polls.clone()));
    settle().await;
    polled();

    let push = |text: &str| push_to(&outbox, 1, &[echo(text)], &[], ms(500)).expect("it is taken");
    let first = push("first");
    assert!(arrived(&mut theirs).contains("first"), "in the push itself");
    settle().await;
    assert_eq!(polled(), 0, "and the driver's task sleeps on");
    let second = push("second");
    assert_eq!(arrived(&mut theirs), "", "one is under way");
    settle().await;
    assert_eq!(polled(), 1);
    assert!(arrived(&mut theirs).contains("second"));

    // The reply finds the driver's task, as do deadlines.
    answer(&mut theirs).await;
    assert!(matches!(first.await, Delivery::Reply(Value::Okay)));
    assert!(matches!(broken(second.await).cause, Cause::Deadline));
    answer(&mut theirs).await;
    settle().await;

    // Two were under way: the next may be the first of a crowd, and is told from it by coming alone.
    let third = push("third");
    assert_eq!(arrived(&mut theirs), "");
    settle().await;
    assert!(arrived(&mut theirs).contains("third"));
    answer(&mut theirs).await;
    assert!(matches!(third.await, Delivery::Reply(Value::Okay)));
    settle().await;
    polled();
    let fourth = push("fourth");
    assert!(arrived(&mut theirs).contains("fourth"));
    assert_eq!(polled(), 0);
    assert!(matches!(broken(fourth.await).cause, Cause::Deadline));
}

#[tokio::test(start_paused = true)]
async fn a_lone_caller_leaves_a_large_write_to_the_driver() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let outbox = new_outbox(BOUNDS);
    tokio::spawn(driver(ours, &outbox));
    tokio::task::yield_now().await;
    let text = "x".repeat(100_000);
    let ticket = push_to(&outbox, 1, &[echo(&text)], &[], ms(500)).expect("it is taken");
    assert_eq!(arrived(&mut theirs), "");
    tokio::task::yield_now().await;
    assert!(arrived(&mut theirs).contains("xxx"));
    drop(ticket);
}

#[tokio::test(start_paused = true)]
async fn a_lone_caller_whose_write_fails_is_told_and_so_is_the_drivers_task() {
    let (ours, theirs) = tokio::io::duplex(4096);
    let outbox = new_outbox(BOUNDS);
    let driver = tokio::spawn(driver(ours, &outbox));
    tokio::task::yield_now().await;
    drop(theirs);
    let ticket = push_to(&outbox, 1, &[echo("lost")], &[], ms(500)).expect("it is taken");
    // The driver's task has not been polled since.
    assert!(!outbox.is_up());
    let broken = broken(ticket.now_or_never().expect("it is told"));
    assert_eq!(broken.written, 0);
    let ended = timeout(ms(1), driver).await.expect("at once");
    assert!(matches!(ended, Ok(Cause::Io(_))), "{ended:?}");
    assert_eq!(outbox.held(), (0, 0));
}

/// A waker that uses the outbox when it is woken and when it is dropped, as that of a task may which is dropped with it.
struct Meddler {
    outbox: Arc<Outbox>,
    other: Mutex<Option<Ticket>>,
    times: Arc<AtomicUsize>,
}

impl Meddler {
    fn meddle(&self) {
        drop(self.other.lock().take());
        let _ = push_to(&self.outbox, 1, &[echo("meddled")], &[], ms(1000));
        self.times.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        self.meddle();
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.meddle();
    }
}

#[test]
fn callers_are_woken_and_their_wakers_dropped_outside_of_the_outboxs_lock() {
    type End = fn(&Outbox, &mut Option<Ticket>);
    let answered: End = |outbox, _| {
        let (mut in_flight, mut ends) = (VecDeque::new(), Ends::default());
        let cx = Context::from_waker(Waker::noop());
        let taken = outbox.take(&cx, &mut in_flight, &mut None, 0, false);
        assert!(matches!(taken, Ok(Take::Parcels(_))));
        for waiter in &mut in_flight {
            waiter.reply(Value::Okay, &mut ends);
        }
        outbox.settle(2, 0, &mut ends);
    };
    let expired: End = |outbox, _| {
        outbox.expire(now() + ms(2000));
    };
    let disconnected: End = |outbox, _| outbox.disconnect(Cause::Closed, false);
    let dropped: End = |_, ticket| drop(ticket.take());
    let polled_by_another: End = |_, ticket| {
        let mut cx = Context::from_waker(Waker::noop());
        let ticket = ticket.as_mut().expect("not dropped yet");
        assert!(Pin::new(ticket).poll(&mut cx).is_pending());
    };
    let ends = [answered, expired, disconnected, dropped, polled_by_another];
    for (at, end) in ends.into_iter().enumerate() {
        let (tx, rx) = std::sync::mpsc::channel();
        let times = Arc::new(AtomicUsize::new(0));
        let counted = times.clone();
        // On a thread of its own, for a mistake here would never end.
        std::thread::spawn(move || {
            let outbox = new_outbox(BOUNDS);
            assert!(outbox.open(1));
            let other = push_to(&outbox, 1, &[echo("other")], &[], ms(1000)).expect("room");
            let waker = Waker::from(Arc::new(Meddler {
                outbox: outbox.clone(),
                other: Mutex::new(Some(other)),
                times: counted,
            }));
            let mut ticket = push_to(&outbox, 1, &[echo("one")], &[], ms(1000)).ok();
            if let Some(ticket) = &mut ticket {
                let mut cx = Context::from_waker(&waker);
                assert!(Pin::new(ticket).poll(&mut cx).is_pending());
            }
            drop(waker);
            end(&outbox, &mut ticket);
            let _ = tx.send(());
        });
        let ended = rx.recv_timeout(Duration::from_secs(30));
        assert!(ended.is_ok(), "end {at}");
        assert!(times.load(Ordering::Relaxed) > 0, "end {at}");
    }
}

/// Callers outside of the driver's runtime, which goes away in the midst of them.
#[test]
fn a_lone_caller_on_a_thread_of_its_own_drives_until_the_drivers_runtime_is_gone() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let outbox = new_outbox(BOUNDS);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let ours = TcpStream::connect(listener.local_addr().expect("an address"));
        let (ours, theirs) = tokio::join!(ours, listener.accept());
        tokio::spawn(FakeServer::default().serve(theirs.expect("a caller").0));
        tokio::spawn(driver(ours.expect("a server"), &outbox));
    });
    let (tx, rx) = std::sync::mpsc::channel();
    let caller = std::thread::spawn({
        let outbox = outbox.clone();
        move || {
            let own = tokio::runtime::Builder::new_current_thread().build();
            let own = own.expect("a runtime");
            for i in 0..u32::MAX {
                let asked = i.to_string();
                let ticket = match push_to(&outbox, 1, &[echo(&asked)], &[], ms(60_000)) {
                    Ok(ticket) => ticket,
                    Err(Refusal::Closed(Cause::RuntimeGone)) => return,
                    // The server's task may go first.
                    Err(Refusal::Disconnected { .. }) => return,
                    Err(other) => panic!("{other:?}"),
                };
                match own.block_on(ticket) {
                    Delivery::Reply(value) => assert_eq!(text(&value), asked),
                    Delivery::Broken(broken) => {
                        let cause = broken.cause;
                        assert!(
                            matches!(
                                cause,
                                Cause::RuntimeGone | Cause::ClosedByServer | Cause::Io(_)
                            ),
                            "{cause:?}"
                        );
                    }
                    other => panic!("{other:?}"),
                }
                let _ = tx.send(i);
            }
        }
    });
    let far = rx.iter().find(|i| *i == 2000);
    assert_eq!(far, Some(2000), "replies until then");
    runtime.shutdown_background();
    caller
        .join()
        .expect("its own replies, and the truth at the end");
    assert_eq!(outbox.held(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_push_behind_the_idle_ping_is_written_at_once() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let server = FakeServer::default();
    server.manners.lock().is_mute = true;
    tokio::spawn(server.clone().serve(theirs));
    let outbox = new_outbox(BOUNDS);
    tokio::spawn(driver(ours, &outbox));
    while server.saw("PING").is_empty() {
        sleep(Duration::from_micros(100)).await;
    }
    let _ticket = push_to(&outbox, 1, &[echo("now")], &[], ms(500)).expect("taken");
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.saw("ECHO"), ["now"], "not only at the next tick");
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_what_was_not_asked_yet_ends_the_connection_in_place_of_shifting_replies() {
    let (ours, mut theirs) = tokio::io::duplex(16);
    let outbox = new_outbox(BOUNDS);
    let driver = tokio::spawn(driver(ours, &outbox));
    let first = push_to(&outbox, 1, &[echo("first")], &[], ms(500)).expect("taken");
    let second = push_to(&outbox, 1, &[echo(&"x".repeat(100))], &[], ms(500)).expect("taken");
    tokio::io::AsyncWriteExt::write_all(&mut theirs, b"$5\r\nfirst\r\n+?\r\n")
        .await
        .expect("room");
    // Nobody knows which of the two replies was one too many.
    let ended = broken(first.await);
    assert!(matches!(ended.cause, Cause::Shifted), "{ended:?}");
    assert!(ended.written > 0);
    let ended = broken(second.await);
    assert!(matches!(ended.cause, Cause::Shifted), "{ended:?}");
    assert_eq!(ended.written, 0);
    assert!(matches!(driver.await, Ok(Cause::Shifted)));
}

/// A reply of more values than a driver hands out in one turn.
fn long_reply() -> String {
    format!("*300\r\n{}", ":7\r\n".repeat(300))
}

/// A driver over a pipe in which these replies lie, with as many commands asked and written; it has just handed out the first reply.
async fn after_the_first_turn(
    replies: String,
    commands: usize,
) -> (
    Pin<Box<Driving<DuplexStream>>>,
    Arc<Outbox>,
    Vec<Ticket>,
    DuplexStream,
) {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let outbox = new_outbox(BOUNDS);
    let mut driver = Box::pin(driver(ours, &outbox));
    let mut tickets: Vec<Ticket> = (0..commands)
        .map(|_| push_to(&outbox, 1, &[echo("x")], &[], ms(500)).expect("taken"))
        .collect();
    assert!(futures::poll!(&mut driver).is_pending());
    let written = tokio::io::AsyncWriteExt::write_all(&mut theirs, replies.as_bytes());
    written.await.expect("room");
    while futures::poll!(&mut tickets[0]).is_pending() {
        assert!(futures::poll!(&mut driver).is_pending());
    }
    tickets.remove(0);
    (driver, outbox, tickets, theirs)
}

fn is_long(delivery: Option<Delivery>) -> bool {
    matches!(delivery, Some(Delivery::Reply(Value::Array(values))) if values.len() == 300)
}

#[tokio::test(start_paused = true)]
async fn who_has_a_long_reply_has_its_turn_before_the_next_is_read_and_a_dropped_one_shifts_nobodys()
 {
    let (mut driver, outbox, mut tickets, _theirs) =
        after_the_first_turn(long_reply().repeat(3) + "$1\r\nx\r\n", 4).await;
    let last = tickets.pop().expect("one");
    let second = tickets.remove(0);
    drop(tickets);
    let mut second = Some(second);
    assert!(
        second.as_mut().and_then(FutureExt::now_or_never).is_none(),
        "it is read, and not handed out"
    );
    assert!(futures::poll!(&mut driver).is_pending());
    assert!(is_long(second.and_then(FutureExt::now_or_never)));
    while outbox.held() != (0, 0) {
        assert!(futures::poll!(&mut driver).is_pending());
    }
    assert_eq!(reply(last.await), "x");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_read_before_its_question_ends_the_connection_in_place_of_shifting_replies()
 {
    let (mut driver, outbox, _, _theirs) =
        after_the_first_turn(long_reply() + "+nobody asked\r\n", 1).await;
    let next = push_to(&outbox, 1, &[echo("next")], &[], ms(500)).expect("taken");
    let ended = futures::poll!(&mut driver);
    assert!(matches!(ended, Poll::Ready(Cause::Shifted)), "{ended:?}");
    assert!(matches!(broken(next.await).cause, Cause::Shifted));
}

#[tokio::test(start_paused = true)]
async fn replies_that_were_read_are_handed_out_when_the_connection_ends_before_their_turn() {
    // Told to end, hung up by the server, and with nobody left to write to.
    for end in 0..3 {
        let (mut driver, outbox, tickets, theirs) =
            after_the_first_turn(long_reply().repeat(4), 4).await;
        match end {
            0 => outbox.cut(Cause::Closed),
            1 => drop(theirs),
            _ => {
                drop(theirs);
                let late = push_to(&outbox, 1, &[echo("late")], &[], ms(500));
                drop(late.expect("taken"));
            }
        }
        (&mut driver).await;
        for ticket in tickets {
            assert!(is_long(ticket.now_or_never()), "{end}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_after_a_long_reply_is_written_together_with_the_next_half_of_the_callers() {
    let (mut driver, outbox, mut tickets, mut theirs) =
        after_the_first_turn(long_reply().repeat(3), 6).await;
    arrived(&mut theirs);
    let again = |text: &str| push_to(&outbox, 1, &[echo(text)], &[], ms(500)).expect("taken");
    let _first = again("one");
    let mut asked = Vec::new();
    for text in ["two", "three"] {
        assert!(futures::poll!(&mut driver).is_pending());
        assert_eq!(arrived(&mut theirs), "", "{text} is not there yet");
        assert!(is_long(tickets.remove(0).now_or_never()));
        asked.push(again(text));
    }
    assert!(futures::poll!(&mut driver).is_pending());
    let written = arrived(&mut theirs);
    assert_eq!(written.matches("ECHO").count(), 3, "{written}");
}

#[tokio::test(start_paused = true)]
async fn of_a_large_crowd_eight_callers_that_ask_again_are_enough() {
    let (mut driver, outbox, mut tickets, mut theirs) =
        after_the_first_turn(long_reply().repeat(9), 100).await;
    arrived(&mut theirs);
    let mut asked = Vec::new();
    for count in 1..=8 {
        asked.push(push_to(&outbox, 1, &[echo("again")], &[], ms(500)).expect("taken"));
        assert!(futures::poll!(&mut driver).is_pending());
        let written = arrived(&mut theirs).matches("again").count();
        assert_eq!(written, if count < 8 { 0 } else { 8 });
        assert!(is_long(tickets.remove(0).now_or_never()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_after_a_long_reply_does_not_wait_for_a_server_that_is_silent_or_in_the_midst_of_a_reply()
 {
    for rest in ["", "$100\r\nthe rest is to come"] {
        let (driver, outbox, tickets, mut theirs) =
            after_the_first_turn(long_reply() + rest, 6).await;
        arrived(&mut theirs);
        let _again = push_to(&outbox, 1, &[echo("again")], &[], ms(500)).expect("taken");
        let driver = tokio::spawn(driver);
        let mut byte = [0];
        let read = tokio::io::AsyncReadExt::read(&mut theirs, &mut byte);
        // Shorter than any tick of the driver.
        let read = timeout(ms(1), read).await;
        assert_eq!(read.expect("it was written").expect("the pipe is whole"), 1);
        assert!(!driver.is_finished());
        drop(tickets);
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_again_after_a_short_reply_is_written_at_once() {
    let short = format!("*31\r\n{}", ":7\r\n".repeat(31));
    let (mut driver, outbox, _tickets, mut theirs) = after_the_first_turn(short, 6).await;
    arrived(&mut theirs);
    let _again = push_to(&outbox, 1, &[echo("again")], &[], ms(500)).expect("taken");
    assert!(futures::poll!(&mut driver).is_pending());
    assert!(arrived(&mut theirs).contains("again"));
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_was_closed_while_it_was_dialled_does_not_keep_the_connection() {
    let (ours, _theirs) = tokio::io::duplex(16);
    let outbox = new_outbox(BOUNDS);
    let decoder = Decoder::new(DecoderLimits::default());
    let driver = Driver::start(ours, outbox.clone(), stats(), decoder, PATIENCE);
    outbox.drain(Cause::Closed);
    assert!(!outbox.open(1));
    let ended = timeout(ms(1), driver).await;
    assert!(matches!(ended, Ok(Cause::Closed)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_parcel_larger_than_a_bound_gets_in_although_small_commands_never_stop() {
    let bounds = Bounds {
        commands_max: 20,
        bytes_max: 10_000,
    };
    for cmds in [vec![echo("x"); 100], vec![echo(&"x".repeat(50_000))]] {
        let bench = Bench::new(256, bounds);
        bench.server.manners.lock().pause = Some((1, ms(1)));
        let outbox = bench.outbox.clone();
        let others = tokio::spawn(async move {
            // Two at any time, so that the connection is never empty.
            let mut before = None;
            loop {
                match push_to(&outbox, 1, &[echo("other")], &[], ms(60_000)) {
                    Ok(ticket) => {
                        if let Some(before) = before.replace(ticket) {
                            before.await;
                        }
                    }
                    Err(Refusal::Full) => sleep(ms(1)).await,
                    Err(other) => panic!("{other:?}"),
                }
            }
        });
        sleep(ms(20)).await;
        let patience = bench.outbox.wait_for_room();
        let mut tries = 0;
        let ticket = loop {
            match push_to(&bench.outbox, 1, &cmds, &[], ms(60_000)) {
                Ok(ticket) => break ticket,
                Err(_) => sleep(ms(1)).await,
            }
            tries += 1;
            assert!(tries < 100, "kept out");
        };
        drop(patience);
        assert!(!matches!(ticket.await, Delivery::Broken(_)));
        others.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_woken_and_a_full_outbox_says_so() {
    let bounds = Bounds {
        commands_max: 4,
        bytes_max: 1 << 20,
    };
    let bench = Bench::new(64, bounds);
    bench.stall(true);
    let tickets: Vec<Ticket> = (0..4).map(|_| bench.push("x", ms(1000))).collect();
    let refused = push_to(&bench.outbox, 1, &[echo("y")], &[], ms(1000));
    assert!(matches!(refused, Err(Refusal::Full)));
    let mut changed = std::pin::pin!(bench.outbox.changed());
    changed.as_mut().enable();
    let waiting = bench.outbox.wait_for_room();
    bench.stall(false);
    timeout(ms(100), changed).await.expect("woken");
    drop(waiting);
    assert_eq!(reply(bench.push("y", ms(1000)).await), "y");
    for ticket in tickets {
        assert_eq!(reply(ticket.await), "x");
    }
}

/// Has a reply at every read, each a millisecond apart in real time.
struct Endless;

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::thread::sleep(ms(1));
        buffer.put_slice(b"+OK\r\n");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn deadlines_are_kept_on_a_connection_that_always_has_something_to_read() {
    let outbox = new_outbox(BOUNDS);
    let driver = driver(Endless, &outbox);
    let mut tickets: Vec<Ticket> = (0..200)
        .map(|_| push_to(&outbox, 1, &[echo("x")], &[], ms(50)).expect("taken"))
        .collect();
    tokio::spawn(driver);
    let last = tickets.pop().expect("many");
    assert!(matches!(broken(last.await).cause, Cause::Deadline));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_expires_half_answered_keeps_its_replies_and_shifts_nobodys() {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let outbox = new_outbox(BOUNDS);
    tokio::spawn(driver(ours, &outbox));
    let cmds = [echo("a"), echo("b"), echo("c")];
    let batch = push_to(&outbox, 1, &cmds, &[], ms(50)).expect("taken");
    let next = push_to(&outbox, 1, &[echo("next")], &[], ms(500)).expect("taken");
    let write = tokio::io::AsyncWriteExt::write_all;
    write(&mut theirs, b"$1\r\na\r\n").await.expect("room");
    let ended = broken(batch.await);
    assert_eq!(ended.replies.iter().map(text).collect::<Vec<_>>(), ["a"]);
    assert_eq!(ended.written, 3);
    write(&mut theirs, b"$1\r\nb\r\n$1\r\nc\r\n$4\r\nnext\r\n")
        .await
        .expect("room");
    assert_eq!(reply(next.await), "next");
    sleep(ms(1)).await;
    assert_eq!(outbox.held(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn draining_answers_what_is_queued_and_renewing_makes_way_for_a_new_connection() {
    let bench = Bench::new(16, BOUNDS);
    bench.stall(true);
    let ticket = bench.push("queued before the renewal", ms(1000));
    bench
        .outbox
        .renew(Cause::Dropped("read-only"), Duration::ZERO);
    let refused = push_to(&bench.outbox, 1, &[echo("y")], &[], ms(1000));
    assert!(matches!(
        refused,
        Err(Refusal::Disconnected { cause: None, .. })
    ));
    bench.stall(false);
    assert_eq!(reply(ticket.await), "queued before the renewal");
    assert!(matches!(
        bench.driver.await,
        Ok(Cause::Dropped("read-only"))
    ));

    let (ours, theirs) = tokio::io::duplex(16);
    tokio::spawn(FakeServer::default().serve(theirs));
    let driver = tokio::spawn(driver(ours, &bench.outbox));
    let ticket = push_to(
        &bench.outbox,
        1,
        &[echo("queued before the drain")],
        &[],
        ms(1000),
    )
    .expect("taken");
    bench.outbox.drain(Cause::Closed);
    let refused = push_to(&bench.outbox, 1, &[echo("y")], &[], ms(1000));
    assert!(matches!(refused, Err(Refusal::Closed(Cause::Closed))));
    assert_eq!(reply(ticket.await), "queued before the drain");
    assert!(matches!(driver.await, Ok(Cause::Closed)));
    assert!(bench.outbox.is_closed());
}

#[test]
fn a_runtime_that_goes_away_fails_what_it_held() {
    let outbox = new_outbox(BOUNDS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let (ticket, queued) = runtime.block_on(async {
        let (ours, theirs) = tokio::io::duplex(1024);
        std::mem::forget(theirs);
        tokio::spawn(driver(ours, &outbox));
        let ticket = push_to(&outbox, 1, &[echo("written")], &[], ms(500)).expect("taken");
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        let queued = push_to(&outbox, 1, &[echo("queued")], &[], ms(500)).expect("taken");
        (ticket, queued)
    });
    drop(runtime);
    for (ticket, written) in [(ticket, 1), (queued, 0)] {
        let ended = broken(ticket.now_or_never().expect("told"));
        assert!(matches!(ended.cause, Cause::RuntimeGone));
        assert_eq!(ended.written, written);
    }
    assert!(matches!(
        push_to(&outbox, 1, &[echo("x")], &[], ms(500)),
        Err(Refusal::Closed(Cause::RuntimeGone))
    ));
}

// --- properties -------------------------------------------------------------------------------------------------------------------

/// Remembers what was accepted, takes little at a time, and breaks at a given byte.
struct Tap {
    inner: DuplexStream,
    accepted: Arc<Mutex<Vec<u8>>>,
    write_bytes: usize,
    cut_at: Option<usize>,
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let accepted = self.accepted.lock().len();
        let left = self.cut_at.map_or(usize::MAX, |cut| cut - accepted);
        if left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let n = bytes.len().min(self.write_bytes).min(left);
        let n = std::task::ready!(Pin::new(&mut self.inner).poll_write(cx, &bytes[..n]))?;
        self.accepted.lock().extend_from_slice(&bytes[..n]);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push {
        sizes: Vec<usize>,
        scripts: Vec<u8>,
        deadline_ms: u64,
        is_stale: bool,
    },
    Drop(usize),
    Sleep(u64),
    Yield,
    Advance,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![20 => 0usize..200, 1 => 66_000usize..80_000];
    prop_oneof![
        10 => (
            prop::collection::vec(size, 1..6),
            prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(0u8..4, 1..3)],
            prop_oneof![2 => 1u64..60, 3 => Just(30_000u64)],
            prop::bool::weighted(0.2),
        ).prop_map(|(sizes, scripts, deadline_ms, is_stale)| Step::Push { sizes, scripts, deadline_ms, is_stale }),
        3 => (0usize..64).prop_map(Step::Drop),
        2 => (0u64..30).prop_map(Step::Sleep),
        4 => Just(Step::Yield),
        1 => Just(Step::Advance),
    ]
}

#[derive(Clone, Debug)]
struct Weather {
    pipe_bytes: usize,
    write_bytes: usize,
    manners: Manners,
    cut_at: Option<usize>,
}

fn weather() -> impl Strategy<Value = Weather> {
    let cut = || prop::option::weighted(0.3, 1usize..5000);
    (
        1usize..3000,
        1usize..3000,
        1usize..3000,
        prop::option::of((1usize..20, (1u64..40).prop_map(ms))),
        cut(),
        cut(),
    )
        .prop_map(
            |(pipe_bytes, write_bytes, read_bytes, pause, cut_at, replies_bytes_max)| Weather {
                pipe_bytes,
                write_bytes,
                manners: Manners {
                    read_bytes,
                    pause,
                    replies_bytes_max,
                    ..Manners::default()
                },
                cut_at,
            },
        )
}

/// One parcel of a run and how it ended.
struct Sent {
    texts: Vec<String>,
    ended: Arc<Mutex<Option<Delivery>>>,
    task: JoinHandle<()>,
    is_dropped: bool,
}

async fn run(steps: Vec<Step>, weather: Weather) {
    let (ours, theirs) = tokio::io::duplex(weather.pipe_bytes);
    let server = FakeServer::with(weather.manners.clone());
    tokio::spawn(server.clone().serve(theirs));
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let outbox = new_outbox(Bounds {
        commands_max: 30,
        bytes_max: 100_000,
    });
    let patience = Patience {
        dead: Duration::from_secs(600),
        silence_max: Duration::from_secs(600),
        idle_ping: Duration::from_secs(3600),
    };
    let decoder = Decoder::new(DecoderLimits::default());
    let stream = Tap {
        inner: ours,
        accepted: accepted.clone(),
        write_bytes: weather.write_bytes,
        cut_at: weather.cut_at,
    };
    let driver = Driver::start(stream, outbox.clone(), stats(), decoder, patience);
    outbox.open(1);
    let driver = tokio::spawn(driver);

    let mut sent: Vec<Sent> = Vec::new();
    let mut generation = 1;
    let mut barriers = Vec::new();
    for (i, step) in steps.into_iter().enumerate() {
        match step {
            Step::Push {
                sizes,
                scripts,
                deadline_ms,
                is_stale,
            } => {
                let texts: Vec<String> = sizes
                    .iter()
                    .enumerate()
                    .map(|(j, size)| format!("{i}.{j}.{}", "x".repeat(*size)))
                    .collect();
                let cmds: Vec<Cmd> = texts.iter().map(|text| echo(text)).collect();
                let scripts: Vec<_> = scripts.into_iter().map(script).collect();
                let routed = generation - u64::from(is_stale);
                match push_to(&outbox, routed, &cmds, &scripts, ms(deadline_ms)) {
                    Err(Refusal::Empty) => panic!("each command has arguments"),
                    Ok(ticket) => {
                        assert!(!is_stale, "an older generation was taken");
                        let ended = Arc::new(Mutex::new(None));
                        let slot = ended.clone();
                        let task = tokio::spawn(async move {
                            *slot.lock() = Some(ticket.await);
                        });
                        sent.push(Sent {
                            texts,
                            ended,
                            task,
                            is_dropped: false,
                        });
                    }
                    Err(Refusal::Severed) => panic!("no push was behind another"),
                    Err(Refusal::Stale) => assert!(is_stale),
                    Err(Refusal::Full) => assert!(outbox.held().0 > 0),
                    Err(Refusal::Disconnected { .. }) => {
                        assert!(
                            weather.cut_at.is_some() || weather.manners.replies_bytes_max.is_some()
                        );
                    }
                    Err(Refusal::Closed(cause)) => panic!("closed: {cause}"),
                }
            }
            Step::Drop(at) => {
                if !sent.is_empty() {
                    let at = at % sent.len();
                    sent[at].task.abort();
                    sent[at].is_dropped = true;
                }
            }
            Step::Sleep(millis) => sleep(ms(millis)).await,
            Step::Yield => tokio::task::yield_now().await,
            Step::Advance => {
                generation += 1;
                let preamble = cmd("CLIENT")
                    .arg("SETNAME")
                    .arg(generation)
                    .get_packed_command();
                let heard = outbox.advance(generation, &preamble, now());
                let before: Vec<_> = sent
                    .iter()
                    .filter(|sent| !sent.is_dropped)
                    .map(|sent| (sent.ended.clone(), sent.task.abort_handle()))
                    .collect();
                barriers.push(tokio::spawn(async move {
                    let _ = heard.await;
                    tokio::task::yield_now().await;
                    for (ended, task) in before {
                        assert!(
                            ended.lock().is_some() || task.is_finished(),
                            "the barrier came before an older reply"
                        );
                    }
                }));
            }
        }
    }
    let callers = async {
        for sent in &mut sent {
            let _ = (&mut sent.task).await;
        }
    };
    timeout(Duration::from_secs(120), callers)
        .await
        .expect("everybody is told");
    // What was dropped or has expired is still answered, and the barriers behind it, however slow the server was until now.
    server.manners.lock().pause = None;
    let barriers = async {
        for barrier in barriers {
            barrier.await.expect("the barrier holds");
        }
    };
    timeout(Duration::from_secs(120), barriers)
        .await
        .expect("every barrier is heard");
    for _ in 0..10_000 {
        if outbox.held() == (0, 0) {
            break;
        }
        sleep(ms(10)).await;
    }
    assert_eq!(
        outbox.held(),
        (0, 0),
        "commands and bytes that nobody holds"
    );
    if driver.is_finished() {
        assert!(!outbox.is_up());
    } else {
        outbox.drain(Cause::Closed);
        assert!(matches!(driver.await, Ok(Cause::Closed)));
    }

    // Judged by the bytes that the socket accepted.
    let accepted = accepted.lock();
    let (mut whole, mut at) = (Vec::new(), 0);
    while let Some((words, used)) = command(&accepted[at..]) {
        at += used;
        if words[0] == b"ECHO" {
            whole.push(String::from_utf8_lossy(&words[1]).into_owned());
        }
    }
    let mut order = Vec::new();
    for sent in &sent {
        order.extend(sent.texts.iter().filter(|text| whole.contains(text)));
        let replies = match &*sent.ended.lock() {
            None => {
                assert!(sent.is_dropped);
                continue;
            }
            Some(Delivery::Reply(value)) => {
                assert_eq!(sent.texts.len(), 1);
                vec![text(value).to_owned()]
            }
            Some(Delivery::Replies(values)) => {
                assert_eq!(sent.texts.len(), values.len());
                values.iter().map(|value| text(value).to_owned()).collect()
            }
            Some(Delivery::Broken(broken)) => {
                for (i, text) in sent.texts.iter().enumerate().skip(broken.replies.len()) {
                    let was_written = whole.contains(text);
                    if i >= broken.written {
                        assert!(!was_written, "told as not sent, but it was: {broken:?}");
                    } else if !matches!(broken.cause, Cause::Deadline) {
                        assert!(was_written, "told as sent, but it was not: {broken:?}");
                    }
                }
                assert!(broken.replies.len() < sent.texts.len());
                broken
                    .replies
                    .iter()
                    .map(|value| text(value).to_owned())
                    .collect()
            }
        };
        assert_eq!(replies[..], sent.texts[..replies.len()], "replies shifted");
    }
    assert!(
        whole.iter().eq(order),
        "commands were written in another order, or twice"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn everybody_gets_his_own_reply_or_the_truth_about_his_bytes(
        steps in prop::collection::vec(step(), 1..60),
        weather in weather(),
    ) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(run(steps, weather));
    }
}

/// 66 KB at a byte in two milliseconds take longer than any deadline, and a barrier has none.
#[tokio::test(start_paused = true)]
async fn a_barrier_stands_behind_bytes_that_are_slower_than_every_deadline() {
    let steps = vec![
        Step::Push {
            sizes: vec![66_000],
            scripts: vec![],
            deadline_ms: 1,
            is_stale: false,
        },
        Step::Advance,
    ];
    let manners = Manners {
        read_bytes: 1,
        pause: Some((1, ms(2))),
        ..Manners::default()
    };
    let weather = Weather {
        pipe_bytes: 1,
        write_bytes: 1,
        manners,
        cut_at: None,
    };
    run(steps, weather).await;
}

#[tokio::test(start_paused = true)]
async fn a_cut_reaches_a_driver_that_is_stuck_in_a_write() {
    let bench = Bench::new(16, BOUNDS);
    bench.stall(true);
    let stuck = bench.push("more than the pipe can hold", ms(60_000));
    sleep(ms(5)).await;
    let queued = bench.push("queued", ms(60_000));
    bench.outbox.cut(Cause::Closed);
    let ended = timeout(ms(1), async { (stuck.await, queued.await) }).await;
    let (stuck, queued) = ended.expect("at once");
    assert_eq!((broken(stuck).written, broken(queued).written), (0, 0));
    assert_eq!(bench.outbox.held(), (0, 0));
    assert!(matches!(bench.driver.await, Ok(Cause::Closed)));
}

/// Replies that nobody waits for come later than those of the callers.
async fn all_is_accounted_for(outbox: &Outbox) {
    timeout(Duration::from_secs(5), async {
        while outbox.held() != (0, 0) {
            sleep(ms(1)).await;
        }
    })
    .await
    .expect("all is accounted for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_forgotten_when_a_few_threads_drive_by_turns() {
    let bench = Bench::new(512, BOUNDS);
    let tasks = (0..3).map(|task| {
        let outbox = bench.outbox.clone();
        tokio::spawn(async move {
            for i in 0..3000 {
                let text = format!("{task}.{i}");
                let ticket = push_to(&outbox, 1, &[echo(&text)], &[], ms(60_000));
                assert_eq!(reply(ticket.expect("there is room").await), text);
                // Now one by one, now together.
                if i % 5 == task {
                    tokio::task::yield_now().await;
                }
            }
        })
    });
    let all = futures::future::join_all(tasks);
    for ended in timeout(Duration::from_secs(30), all)
        .await
        .expect("nobody waits for ever")
    {
        ended.expect("his own replies");
    }
    all_is_accounted_for(&bench.outbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_forgotten_when_many_threads_push_into_a_small_outbox() {
    let bench = Bench::new(
        512,
        Bounds {
            commands_max: 5,
            bytes_max: 1 << 20,
        },
    );
    let tasks = (0..16).map(|task| {
        let outbox = bench.outbox.clone();
        tokio::spawn(async move {
            for i in 0..300 {
                let text = format!("{task}.{i}");
                let ticket = loop {
                    let mut changed = std::pin::pin!(outbox.changed());
                    changed.as_mut().enable();
                    let _waiting = outbox.wait_for_room();
                    match push_to(&outbox, 1, &[echo(&text)], &[], ms(60_000)) {
                        Ok(ticket) => break ticket,
                        Err(Refusal::Full) => changed.await,
                        Err(other) => panic!("{other:?}"),
                    }
                };
                if i % 7 == 0 {
                    drop(ticket);
                } else {
                    assert_eq!(reply(ticket.await), text);
                }
            }
        })
    });
    let all = futures::future::join_all(tasks);
    for ended in timeout(Duration::from_secs(30), all)
        .await
        .expect("nobody waits for ever")
    {
        ended.expect("his own replies");
    }
    all_is_accounted_for(&bench.outbox).await;
}
