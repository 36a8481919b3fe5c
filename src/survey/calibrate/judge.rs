//! From what was measured to a pace. Pure.

use super::{Figure, PIPELINE, ServerPace};
use crate::plan::Pace;
use crate::sampling::COUNT;

/// Fewer connections than this, and a CLIENT LIST takes no longer than its round trip.
const CONNECTIONS_MIN: u64 = 64;

/// The slowest of what was measured, and the defaults.
pub(super) fn judged(servers: &[ServerPace], write_to: Option<&str>) -> (Pace, Vec<Figure>) {
    let least = |of: fn(&ServerPace) -> Option<u64>| servers.iter().filter_map(of).min();
    let most = |of: fn(&ServerPace) -> Option<u64>| servers.iter().filter_map(of).max();
    let mut pace = Pace::default();
    let mut figures = Vec::new();
    let mut say = |field: &str, is_measured: bool, how: String| {
        figures.push(Figure {
            field: field.to_owned(),
            is_measured,
            how,
        });
    };
    let written = |field: &str| match write_to {
        Some(server) => format!("{field} on {server} failed; the default"),
        None => "the default: measuring it takes writes, see --write-to".to_owned(),
    };

    let wire = least(|server| server.wire_bytes_per_s);
    match wire.filter(|&wire| wire < pace.copy_bytes_per_s) {
        Some(wire) => {
            pace.copy_bytes_per_s = wire.max(1);
            let how = "what the slowest wire carries one way, by ECHO of 1 MiB from here: less than a server's snapshot is assumed to";
            say("copy_bytes_per_s", true, how.to_owned());
        }
        None => {
            let wire = wire.map_or("could not be measured".to_owned(), |wire| {
                format!("carries {wire} B/s, by ECHO of 1 MiB from here, so it is not what limits")
            });
            let how = format!("the default for a server's snapshot; the wire {wire}");
            say("copy_bytes_per_s", false, how);
        }
    }
    match most(|server| server.input_bytes_per_s) {
        Some(input) => {
            pace.write_bytes_per_s = input.min(pace.copy_bytes_per_s - 1);
            let how = "all that clients send to the busiest server, reads included: at most so much is writes";
            say("write_bytes_per_s", true, how.to_owned());
        }
        None => say("write_bytes_per_s", false, "INFO does not say".to_owned()),
    }
    match most(|server| server.sync_delay_ms) {
        Some(delay) => {
            pace.sync_delay_ms = delay.min(3_600_000);
            let how = "repl-diskless-sync-delay of the servers, the longest; 0 where repl-diskless-sync is off";
            say("sync_delay_ms", true, how.to_owned());
        }
        None => say(
            "sync_delay_ms",
            false,
            "the default of Redis 7: our user may not CONFIG GET".to_owned(),
        ),
    }
    let read = least(|server| server.read_keys_per_s);
    let install = least(|server| server.install_keys_per_s);
    match (read, install) {
        (Some(read), Some(install)) => {
            pace.install_keys_per_s = one_after_another(read, install);
            let how = format!(
                "read on the slowest server at {read} keys/s (DUMP and PTTL), then installed at {install} keys/s (RESTORE), one after the other"
            );
            say("install_keys_per_s", true, how);
        }
        (Some(read), None) if read < pace.install_keys_per_s => {
            pace.install_keys_per_s = read.max(1);
            let how = format!(
                "reading alone (DUMP and PTTL) makes {read} keys/s on the slowest server; with installing it is less"
            );
            say("install_keys_per_s", true, how);
        }
        (read, _) => {
            let read = read.map_or("could not be measured".to_owned(), |read| {
                format!("makes {read} keys/s (DUMP and PTTL)")
            });
            let how = format!("{}; reading {read}", written("RESTORE"));
            say("install_keys_per_s", false, how);
        }
    }
    match least(|server| server.scan_keys_per_s) {
        Some(scan) => {
            pace.scan_keys_per_s = scan.max(1);
            let how = format!("SCAN of {COUNT} at a time on the slowest server");
            say("scan_keys_per_s", true, how);
        }
        None => say("scan_keys_per_s", false, "too few keys to tell".to_owned()),
    }
    match least(|server| server.remove_keys_per_s) {
        Some(remove) => {
            pace.remove_keys_per_s = remove.max(1);
            let how = format!("UNLINK in pipelines of {PIPELINE}");
            say("remove_keys_per_s", true, how);
        }
        None => say("remove_keys_per_s", false, written("UNLINK")),
    }
    match most(|server| server.round_trip_us) {
        Some(round_trip) => {
            pace.round_trip_us = round_trip.clamp(1, 10_000_000);
            let how = "median of nine PINGs from here, of the farthest server";
            say("round_trip_us", true, how.to_owned());
        }
        None => say("round_trip_us", false, "our user may not PING".to_owned()),
    }
    match most(|server| server.connections) {
        Some(connections) => {
            pace.connections = connections.min(1_000_000);
            let how = "of all clients, on the server with the most, ours not counted";
            say("connections", true, how.to_owned());
        }
        None => say("connections", false, "INFO does not say".to_owned()),
    }
    let per_connection = servers
        .iter()
        .filter_map(|server| {
            let (list, ping) = (server.client_list_us?, server.round_trip_us?);
            let connections = server.connections?;
            (connections >= CONNECTIONS_MIN)
                .then(|| list.saturating_sub(ping).saturating_mul(1_000) / connections)
        })
        .max();
    match per_connection {
        Some(nanoseconds) => {
            pace.client_list_ns_per_connection = nanoseconds.min(1_000_000);
            let how = "median of five CLIENT LISTs without a round trip, over the connections";
            say("client_list_ns_per_connection", true, how.to_owned());
        }
        None => say(
            "client_list_ns_per_connection",
            false,
            format!(
                "no server has {CONNECTIONS_MIN} connections that it would show on, or our user may not CLIENT LIST"
            ),
        ),
    }
    for field in ["split_work_us", "migrate_work_us"] {
        let how = "only a move would tell; what a prototype on loopback took";
        say(field, false, how.to_owned());
    }
    let now = most(|server| server.commands_per_s);
    match now.filter(|&now| now > pace.commands_per_s_max) {
        Some(now) => {
            pace.commands_per_s_max = now;
            let how = "what the busiest server does now, which is more than the default";
            say("commands_per_s_max", true, how.to_owned());
        }
        None => {
            let now = now.map_or("does not say".to_owned(), |now| format!("does {now} now"));
            let how = format!("measuring it would take all that a server can; the busiest {now}");
            say("commands_per_s_max", false, how);
        }
    }
    let how = "only a move would tell; fractions of a server's one thread";
    say("load", false, how.to_owned());
    (pace, figures)
}

/// Rates of two things that each key goes through in turn.
fn one_after_another(a: u64, b: u64) -> u64 {
    let seconds = 1.0 / a.max(1) as f64 + 1.0 / b.max(1) as f64;
    ((1.0 / seconds) as u64).max(1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn server() -> ServerPace {
        ServerPace {
            server: "a".to_owned(),
            round_trip_us: Some(300),
            wire_bytes_per_s: Some(50 << 20),
            scan_keys_per_s: Some(200_000),
            read_keys_per_s: Some(60_000),
            connections: Some(10),
            client_list_us: Some(400),
            commands_per_s: Some(1_000),
            input_bytes_per_s: Some(5_000),
            sync_delay_ms: Some(5_000),
            ..ServerPace::default()
        }
    }

    fn is_measured(figures: &[Figure], field: &str) -> bool {
        let found = figures.iter().find(|figure| figure.field == field);
        found.unwrap_or_else(|| panic!("{field}")).is_measured
    }

    #[test]
    fn the_slowest_server_counts_and_what_is_not_measured_stays_as_it_was() {
        let far = ServerPace {
            round_trip_us: Some(900),
            scan_keys_per_s: Some(100_000),
            connections: Some(200),
            client_list_us: Some(1_300),
            ..server()
        };
        let (pace, figures) = judged(&[server(), far], None);
        assert_eq!(pace.copy_bytes_per_s, 50 << 20);
        assert_eq!(pace.round_trip_us, 900);
        assert_eq!(pace.scan_keys_per_s, 100_000);
        assert_eq!(pace.connections, 200);
        // (1,300 us - 900 us) over 200.
        assert_eq!(pace.client_list_ns_per_connection, 2_000);
        let default = Pace::default();
        assert_eq!(pace.install_keys_per_s, default.install_keys_per_s);
        assert_eq!(pace.remove_keys_per_s, default.remove_keys_per_s);
        for field in [
            "install_keys_per_s",
            "remove_keys_per_s",
            "split_work_us",
            "load",
        ] {
            assert!(!is_measured(&figures, field), "{field}");
        }
        assert!(is_measured(&figures, "scan_keys_per_s"));
        assert_eq!(pace.check(), Ok(()));
    }

    #[test]
    fn installing_is_reading_and_writing_one_after_the_other() {
        let mut written = server();
        written.install_keys_per_s = Some(30_000);
        written.remove_keys_per_s = Some(90_000);
        let (pace, figures) = judged(&[written], Some("a"));
        assert_eq!(pace.install_keys_per_s, 20_000);
        assert_eq!(pace.remove_keys_per_s, 90_000);
        assert!(is_measured(&figures, "install_keys_per_s"));
        let mut slow = server();
        slow.read_keys_per_s = Some(1_000);
        assert_eq!(judged(&[slow], None).0.install_keys_per_s, 1_000);
    }

    #[test]
    fn extremes_make_a_pace_that_can_be() {
        let mut odd = server();
        odd.wire_bytes_per_s = Some(0);
        odd.input_bytes_per_s = Some(u64::MAX);
        odd.sync_delay_ms = Some(u64::MAX);
        odd.round_trip_us = Some(0);
        odd.scan_keys_per_s = Some(0);
        odd.connections = Some(u64::MAX);
        assert_eq!(judged(&[odd], None).0.check(), Ok(()));
        assert_eq!(judged(&[], None).0, Pace::default());
    }
}
