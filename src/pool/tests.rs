//! The pool against fake servers on local sockets.

use super::*;
use crate::connection::fake_server::{FakeServer, Manners};
use crate::connection::{Item, Items, Parcel, Refusal};
use redis::cmd;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn soon() -> Instant {
    Instant::now() + ms(2000)
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

/// A port on which nobody listens.
async fn closed_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    listener.local_addr().expect("an address").port()
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
    let servers = timeout(ms(5000), connecting)
        .await
        .expect("connect comes to an end")
        .map_err(|(_, error)| error)
        .expect("connected");
    servers[0].clone()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        sleep(ms(2)).await;
    }
    panic!("in vain: {what}");
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
    let server = start(closed_port().await, "[pool]\nconnections = 3\n").await;
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
    timeout(ms(1000), server.ended()).await.expect("ended");
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
    let server = start(listen(&fake).await, "").await;
    fake.manners.lock().pause = Some((1, ms(50)));
    let lease = server.lease(None, 1, Instant::now() + ms(20)).await;
    assert!(matches!(lease, Err(Cause::Deadline)));
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
    let waiting = tokio::spawn({
        let server = server.clone();
        async move { server.lease(Some(node), 1, soon()).await.err() }
    });
    sleep(ms(20)).await;
    advance(vec![(server.clone(), vec![])], 2, 1, soon()).await;
    held.return_clean();
    assert!(matches!(
        waiting.await.expect("not cancelled"),
        Some(Cause::NodeMoved)
    ));
    // The one that was out during the switch still has its old name, so it was not kept.
    assert!(server.idle.lock().is_empty());
    let fresh = server.lease(Some(node), 2, soon()).await.expect("leased");
    assert_eq!(fresh.link().outbox().generation(), 2);
}

#[tokio::test]
async fn a_lease_that_is_dialled_while_a_reload_drops_its_server_is_routed_again() {
    let fake = FakeServer::default();
    let server = start(listen(&fake).await, "").await;
    fake.manners.lock().pause = Some((1, ms(50)));
    let dialled = tokio::spawn({
        let server = server.clone();
        async move { server.lease(Some(NodeId(3)), 1, soon()).await.err() }
    });
    let places = usize::from(server.settings().pool.dedicated_max);
    until("dialled", || server.leases.available_permits() < places).await;
    advance(vec![(server.clone(), vec![NodeId(3)])], 2, 1, soon()).await;
    server.drain();
    let cause = dialled.await.expect("not cancelled");
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
    timeout(ms(2000), server.ended()).await.expect("ended");
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
    let fake = FakeServer::default();
    // The replies to the greeting, to the byte.
    fake.manners.lock().replies_bytes_max = Some(5 + 4 + 5 + 30);
    let server = start(listen(&fake).await, "").await;
    sleep(ms(400)).await;
    let dials = *fake.ended.lock();
    assert!((2..=40).contains(&dials), "{dials} dials in 400 ms");
    assert!(server.stats().snapshot(0).disconnects >= 1);
}
