//! The counters say what the callers were told: each failure once, under the class of its error.

use crate::fixture::{Proxied, TestCluster, cmd, eventually, query};
use crate::ways::{Answer, Way};
use keyway::stats::{Failures, StatsSnapshot};
use keyway::{Cluster, ErrorKind};
use redis::Cmd;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// The failures of all servers, and of the commands that they are counted for.
fn failures(stats: &StatsSnapshot) -> Vec<(String, Failures)> {
    let mut all = Vec::new();
    for server in &stats.servers {
        let sum: u64 = server.commands.iter().map(|c| c.failures.total()).sum();
        assert_eq!(server.failures.total(), sum);
        assert_eq!(server.calls, server.replies + sum);
        for command in &server.commands {
            let Failures {
                timeout,
                full,
                dropped,
                ..
            } = command.failures;
            assert!(timeout + full + dropped <= command.failures.total());
            if command.failures.total() > 0 {
                all.push((command.name.clone(), command.failures));
            }
        }
    }
    all
}

fn of_class(failures: &Failures, kind: ErrorKind) -> u64 {
    match kind {
        ErrorKind::NotSent => failures.not_sent,
        ErrorKind::Unknown => failures.unknown,
        ErrorKind::ServerDown => failures.server_down,
        ErrorKind::Refused => failures.refused,
        ErrorKind::Closed => failures.closed,
        other => panic!("{other:?} is not counted as a failure"),
    }
}

/// Sends by one way what fails, and looks for this one failure in the counters.
async fn counted(cluster: &Cluster, way: Way, key: &str, cmd: &Cmd, name: &str) -> Answer {
    let before = cluster.stats();
    let answer = way.send(cluster, key, cmd).await;
    let kind = answer.kind.unwrap_or_else(|| panic!("{answer:?}"));
    let new = failures(&cluster.stats().since(&before));
    assert_eq!(new.len(), 1, "{answer:?}: {new:?}");
    let (command, failures) = &new[0];
    assert_eq!(failures.total(), 1, "{answer:?}: {failures:?}");
    assert_eq!(of_class(failures, kind), 1, "{answer:?}: {failures:?}");
    let is_timeout = u64::from(answer.error().to_string().contains("the deadline passed"));
    assert_eq!(failures.timeout, is_timeout, "{answer:?}: {failures:?}");
    // A transaction fails as a whole, and a dedicated connection before any command is known.
    let expected: &[&str] = match way {
        way if way.is_dedicated() => &["other", "EXEC", name],
        way if way.is_atomic() => &["EXEC"],
        _ => &[name],
    };
    assert!(
        expected.contains(&command.as_str()),
        "{answer:?}: {command}"
    );
    answer
}

#[tokio::test]
async fn a_failure_is_counted_once_under_the_class_that_its_caller_got() {
    let mut fixture = TestCluster::start(1).await;
    let cluster = fixture.connect().await;
    // A connection of its own for each dedicated way is there, and unused.
    let _: () = query(&cluster, "SET k v").await.unwrap();
    drop(cluster.dedicated("k").await.unwrap());
    let hasty = cluster.with_timeout(Duration::from_millis(150));
    fixture.servers[0].stop();
    for way in Way::ALL {
        for (write, name) in [(cmd("INCR k"), "INCR"), (cmd("GET k"), "GET")] {
            let answer = counted(&hasty, way, "k", &write, name).await;
            let is_known = matches!(answer.kind, Some(ErrorKind::Unknown | ErrorKind::NotSent));
            assert!(is_known, "{answer:?}");
        }
    }
    fixture.servers[0].resume();
    eventually("it is back", PATIENCE, async || {
        query::<String>(&cluster, "GET k").await.is_ok()
    })
    .await;
    fixture.servers[0].kill();
    eventually("it is down", PATIENCE, async || {
        let ended = query::<Option<String>>(&cluster, "GET k").await;
        ended.is_err_and(|error| error.kind() == ErrorKind::ServerDown)
    })
    .await;
    for way in Way::ALL {
        let answer = counted(&cluster, way, "k", &cmd("INCR k"), "INCR").await;
        assert_eq!(answer.kind, Some(ErrorKind::ServerDown), "{answer:?}");
    }
    cluster.close().await.unwrap();
}

#[tokio::test]
async fn what_the_table_does_not_know_is_counted_as_other() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect().await;
    let error = cluster
        .for_key("k")
        .query::<String>(&cmd("HEXPIREX k"))
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Server);
    let stats = cluster.stats();
    let rows = &stats.servers[0].commands;
    let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.last(), Some(&"other"), "{names:?}");
    assert!(!names.contains(&"CLUSTER SLOTS"), "{names:?}");
    let other = rows.last().unwrap();
    assert_eq!((other.calls, other.errors, other.latency.count), (1, 1, 1));
}

#[tokio::test]
async fn a_full_outbox_and_all_leases_taken_are_parts_of_not_sent() {
    let fixture = TestCluster::start(1)
        .await
        .settings("[pool]\ndedicated_max = 1\n[limits]\nin_flight_max = 4");
    let cluster = fixture.connect().await;
    let hasty = cluster.with_timeout(Duration::from_millis(100));
    let held = cluster.dedicated("k").await.unwrap();
    let before = cluster.stats();
    let error = hasty.dedicated("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSent);
    let new = failures(&cluster.stats().since(&before));
    assert_eq!((new[0].1.not_sent, new[0].1.full), (1, 1), "{new:?}");
    drop(held);
    // Four calls fill the outbox of a server that does not read.
    fixture.servers[0].stop();
    let patient = cluster.with_timeout(PATIENCE);
    let filling: Vec<_> = (0..4)
        .map(|_| {
            let patient = patient.clone();
            tokio::spawn(async move { query::<i64>(&patient, "INCR k").await })
        })
        .collect();
    eventually("it is full", PATIENCE, async || {
        cluster.stats().servers[0].in_flight == 4
    })
    .await;
    let before = cluster.stats();
    let error = query::<i64>(&hasty, "INCR k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSent, "{error}");
    let new = failures(&cluster.stats().since(&before));
    assert_eq!((new[0].1.not_sent, new[0].1.full), (1, 1), "{new:?}");
    // Callers that go before their replies: the connection is cut, nobody knows what became of their commands.
    for call in filling {
        call.abort();
        let _ = call.await;
    }
    fixture.servers[0].resume();
}

#[tokio::test]
async fn a_dropped_call_counts_as_unknown_when_its_connection_is_lost() {
    let proxied = Proxied::start(1, "").await;
    let cluster = proxied.connect().await;
    let _: () = query(&cluster, "SET k v").await.unwrap();
    let proxy = &proxied.proxies[0];
    proxy.stall_to_client(true);
    let before = cluster.stats();
    let sent = proxy.bytes_to_server();
    let call = tokio::spawn({
        let cluster = cluster.clone();
        async move { query::<i64>(&cluster, "INCR n").await }
    });
    eventually("it is written", PATIENCE, async || {
        proxy.bytes_to_server() > sent
    })
    .await;
    call.abort();
    let _ = call.await;
    proxy.cut_all();
    eventually("it is counted", PATIENCE, async || {
        let new = failures(&cluster.stats().since(&before));
        new.iter().any(|(name, failures)| {
            name == "INCR" && (failures.unknown, failures.dropped, failures.total()) == (1, 1, 1)
        })
    })
    .await;
}
