//! The pool against fake servers on local sockets.

use super::*;
use crate::connection::fake_server::{FakeServer, Manners};
use crate::connection::{Item, Items, Parcel, Refusal};
use futures::poll;
use redis::cmd;
use std::net::Ipv4Addr;
use std::pin::pin;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::{sleep, timeout};

/// Far more than anything here takes, also on a busy machine. The sockets are real, so the clock cannot be stopped: no test
/// depends on how much time passes.
const PATIENCE: Duration = Duration::from_secs(60);
/// A dial that the test holds up does not give up by itself.
const PATIENT: &str = "[timeouts]\nconnect = \"1h\"\nresponse = \"1h\"\n";

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

/// A fake server on a port of its own.
async fn listen(server: &FakeServer) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = server.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(server.clone().serve(stream));
        }
    });
    port
}

/// A port on which nobody listens, and which nobody else is given while the socket lives.
fn closed_port() -> (u16, TcpSocket) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind((Ipv4Addr::LOCALHOST, 0).into())
        .expect("a port");
    (socket.local_addr().expect("an address").port(), socket)
}

fn config(port: u16, tables: &str) -> Config {
    Config::parse(
        &format!(
            "name = \"test\"\n[placement]\nalgorithm = \"ketama\"\nnodes = 8\n\
             [servers.a]\nurl = \"redis://127.0.0.1:{port}\"\nnodes = \"0-7\"\n{tables}"
        ),
        "test.toml".as_ref(),
        &|_| None,
    )
    .expect("a good configuration")
}

async fn start(port: u16, tables: &str) -> Arc<Server> {
    let admission = Arc::new(Admission::new("test", Protocol::Resp2));
    let (config, runtime) = (config(port, tables), Handle::current());
    let connecting = connect(&config, &[], &admission, 1, &runtime);
    let servers = timeout(PATIENCE, connecting)
        .await
        .expect("connect comes to an end")
        .map_err(|(_, error)| error)
        .expect("connected");
    servers[0].clone()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = soon();
    while !is_so() {
        assert!(Instant::now() < end, "in vain: {what}");
        sleep(ms(2)).await;
    }
}

fn push(link: &Link, generation: u64, text: &str) -> Result<crate::connection::Ticket, Refusal> {
    link.outbox().push(
        generation,
        &Parcel {
            items: Items::One(Item {
                cmd: cmd("ECHO").arg(text),
                command: 0,
            }),
            scripts: &[],
            started: Instant::now(),
            deadline: soon(),
            blocking: false,
            no_reply: false,
            behind: None,
        },
    )
}

#[tokio::test]
async fn every_connection_of_a_dead_server_says_so_not_only_the_one_that_dials() {
    let (port, _socket) = closed_port();
    let server = start(port, "[pool]\nconnections = 3\n").await;
    until("all know why", || {
        server
            .shared
            .iter()
            .all(|link| matches!(link.outbox().outage(), Some((_, Some(Cause::Down(_))))))
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_closed_while_it_is_dialled_ends_at_once() {
    let fake = FakeServer::with(Manners {
        is_mute: true,
        ..Manners::default()
    });
    let port = listen(&fake).await;
    let config = config(port, "[timeouts]\nconnect = \"1h\"\n");
    let admission = Arc::new(Admission::new("test", Protocol::Resp2));
    let settings = Settings::of(&config, &config.servers()[0]);
    let (server, _first) = Server::start(settings, admission, 1, 0, &Handle::current());
    until("greeted", || !fake.seen.lock().is_empty()).await;
    server.drain();
    timeout(PATIENCE, server.ended()).await.expect("ended");
    until("hung up", || *fake.ended.lock() == 1).await;
}

#[tokio::test]
async fn a_clean_lease_is_used_again_and_an_unclean_one_is_closed() {
    let fake = FakeServer::default();
    let server = start(listen(&fake).await, "").await;
    for _ in 0..20 {
        let lease = server.lease(None, 1, soon()).await.expect("leased");
        let delivery = push(lease.link(), 1, "x").expect("taken").await;
        assert!(matches!(delivery, Delivery::Reply(_)));
        lease.return_clean();
    }
    assert_eq!(fake.saw("CLIENT").len(), 2 * 2, "one shared, one leased");
    drop(server.lease(None, 1, soon()).await.expect("leased"));
    until("closed", || *fake.ended.lock() == 1).await;
}

#[tokio::test]
async fn a_lease_whose_caller_gave_up_while_it_was_dialled_is_closed() {
    let fake = FakeServer::default();
    let server = start(listen(&fake).await, PATIENT).await;
    fake.manners.lock().is_stalled = true;
    let lease = server.lease(None, 1, Instant::now() + ms(20)).await;
    assert!(matches!(lease, Err(Cause::Deadline)));
    fake.manners.lock().is_stalled = false;
    until("greeted", || fake.saw("GET").len() == 2).await;
    until("closed", || *fake.ended.lock() == 1).await;
}

#[tokio::test]
async fn a_switch_bounces_leases_that_were_routed_before_it() {
    let fake = FakeServer::default();
    let server = start(listen(&fake).await, "[pool]\ndedicated_max = 1\n").await;
    let node = NodeId(3);
    let held = server.lease(Some(node), 1, soon()).await.expect("leased");
    // Waits for the only place, across the switch.
    let mut waiting = pin!(server.lease(Some(node), 1, soon()));
    assert!(poll!(&mut waiting).is_pending());
    advance(vec![(server.clone(), vec![])], 2, 1, soon()).await;
    held.return_clean();
    assert!(matches!(waiting.await, Err(Cause::NodeMoved)));
    // The one that was out during the switch still has its old name, so it was not kept.
    assert!(server.idle.lock().is_empty());
    let fresh = server.lease(Some(node), 2, soon()).await.expect("leased");
    assert_eq!(fresh.link().outbox().generation(), 2);
}

#[tokio::test]
async fn a_lease_that_is_dialled_while_a_reload_drops_its_server_is_routed_again() {
    let fake = FakeServer::default();
    let server = start(listen(&fake).await, PATIENT).await;
    // The shared connection's read is under way and answers the switch. The new connection gets no answer.
    fake.manners.lock().is_stalled = true;
    let mut dialled = pin!(server.lease(Some(NodeId(3)), 1, soon()));
    assert!(poll!(&mut dialled).is_pending());
    advance(vec![(server.clone(), vec![NodeId(3)])], 2, 1, soon()).await;
    server.drain();
    fake.manners.lock().is_stalled = false;
    let cause = dialled.await.err();
    assert!(matches!(cause, Some(Cause::NodeMoved)), "{cause:?}");
}

#[tokio::test]
async fn a_switch_that_takes_a_node_away_ends_its_lease_but_answers_it_first() {
    let fake = FakeServer::default();
    let server = start(listen(&fake).await, "").await;
    let moved = server
        .lease(Some(NodeId(3)), 1, soon())
        .await
        .expect("leased");
    let stays = server
        .lease(Some(NodeId(4)), 1, soon())
        .await
        .expect("leased");
    let dropped = server
        .lease(Some(NodeId(3)), 1, soon())
        .await
        .expect("leased");
    let ticket = push(moved.link(), u64::MAX, "last").expect("taken");
    let of_dropped = dropped.link().clone();
    drop(dropped);
    advance(vec![(server.clone(), vec![NodeId(3)])], 2, 1, soon()).await;
    assert!(matches!(ticket.await, Delivery::Reply(_)));
    assert!(push(moved.link(), u64::MAX, "x").is_err());
    assert!(!of_dropped.outbox().is_up(), "the switch waits for it, too");
    assert!(push(stays.link(), u64::MAX, "x").is_ok());
    for link in &server.shared {
        assert!(matches!(push(link, 1, "x"), Err(Refusal::Stale)));
    }
}

#[tokio::test]
async fn each_lane_dials_for_its_own_purpose() {
    let server = start(listen(&FakeServer::default()).await, "").await;
    for (lane, purpose) in [
        (Lane::Shared, Purpose::Commands),
        (Lane::Bulk, Purpose::Bulk),
    ] {
        assert_eq!(server.link(lane, NodeId(0)).purpose(), purpose);
    }
}

#[tokio::test]
async fn bulk_connections_that_are_opened_during_a_switch_are_told_of_it() {
    let fake = FakeServer::default();
    let server = start(listen(&fake).await, "").await;
    advance(vec![(server.clone(), vec![])], 2, 1, soon()).await;
    let link = server.link(Lane::Bulk, NodeId(0)).clone();
    assert_eq!(link.outbox().generation(), 2);
    advance(vec![(server.clone(), vec![])], 3, 1, soon()).await;
    assert_eq!(link.outbox().generation(), 3);
}

#[tokio::test]
async fn only_lost_connections_are_counted_as_disconnects() {
    let fake = FakeServer::default();
    let server = start(listen(&fake).await, "").await;
    drop(server.lease(None, 1, soon()).await.expect("leased"));
    until("the lease is closed", || *fake.ended.lock() == 1).await;
    server.shared[0]
        .outbox()
        .renew(Cause::Dropped("read-only"), Duration::ZERO);
    until("renewed", || *fake.ended.lock() == 2 && server.is_up()).await;
    assert_eq!(server.stats().snapshot(0).disconnects, 0);

    fake.manners.lock().replies_bytes_max = Some(400);
    let ticket = push(&server.shared[0], 1, &"x".repeat(400)).expect("taken");
    assert!(matches!(ticket.await, Delivery::Broken(_)));
    fake.manners.lock().replies_bytes_max = None;
    until("up again", || server.is_up()).await;
    server.drain();
    timeout(PATIENCE, server.ended()).await.expect("ended");
    let counts = server.stats().snapshot(0);
    assert_eq!((counts.disconnects, counts.reconnects), (1, 1));
}

#[tokio::test]
async fn commands_in_flight_are_counted_over_all_connections() {
    let fake = FakeServer::default();
    let server = start(listen(&fake).await, "").await;
    fake.manners.lock().is_mute = true;
    assert_eq!(server.in_flight(), 0);
    let lease = server.lease(None, 1, Instant::now() + ms(20)).await;
    assert!(lease.is_err());
    let tickets: Vec<_> = (0..3)
        .map(|_| push(&server.shared[0], 1, "x").expect("taken"))
        .collect();
    assert_eq!(server.in_flight(), 3);
    drop(tickets);
}

#[tokio::test]
async fn a_server_that_hangs_up_after_the_greeting_is_not_dialled_without_a_pause() {
    // The replies to the greeting, to the byte.
    let rude = FakeServer::with(Manners {
        replies_bytes_max: Some(5 + 4 + 5 + 30),
        ..Manners::default()
    });
    // Each pause is up to a minute long.
    let pauses = "[retry]\nbackoff_min = \"1m\"\nbackoff_max = \"1m\"\n";
    let server = start(listen(&rude).await, pauses).await;
    until("lost", || server.stats().snapshot(0).disconnects == 1).await;
    // Time for 20 dials, on this machine at this moment. Five pauses that are as short together do not occur.
    let polite = listen(&FakeServer::default()).await;
    for _ in 0..20 {
        start(polite, "").await;
    }
    let dials = *rude.ended.lock();
    assert!(dials <= 5, "{dials} dials");
}

#[tokio::test]
async fn a_server_that_hangs_up_after_the_greeting_is_dialled_again_and_again() {
    let rude = FakeServer::with(Manners {
        replies_bytes_max: Some(5 + 4 + 5 + 30),
        ..Manners::default()
    });
    let _server = start(listen(&rude).await, "").await;
    until("three dials", || *rude.ended.lock() >= 3).await;
}
