//! A slow server is not a dead one, and a dead one is noticed as soon as ever.

use crate::fixture::{Proxied, ScriptedServer, TestCluster, USUAL, ask, cmd, eventually, query};
use keyway::{Cluster, ErrorKind};
use redis::{Cmd, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Far beyond what anything here takes, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A script that keeps the server busy for as many seconds as ARGV[1] says.
const BUSY: &str = "local function now() local t = redis.call('TIME') return t[1] + t[2] / 1e6 end
    local start = now() while now() - start < tonumber(ARGV[1]) do end return 'done'";

fn busy(seconds: &str) -> Cmd {
    let mut eval = redis::cmd("EVAL");
    eval.arg(BUSY).arg(1).arg("k").arg(seconds);
    eval
}

fn disconnects(cluster: &Cluster) -> u64 {
    let stats = cluster.stats();
    stats.servers.iter().map(|server| server.disconnects).sum()
}

#[tokio::test]
async fn a_slow_script_with_a_long_deadline_cuts_off_nobody() {
    let fixture = TestCluster::start(1).await.settings(USUAL);
    let cluster = fixture.connect().await;
    // On the shared connection, and on one of its own: its deadline is above silence_max.
    for timeout in [8, 60] {
        let patient = cluster.with_timeout(Duration::from_secs(timeout));
        let script = tokio::spawn({
            let patient = patient.clone();
            async move { patient.query::<String>(&busy("3")).await }
        });
        let others: Vec<_> = (0..10)
            .map(|i| {
                let patient = patient.clone();
                tokio::spawn(async move {
                    patient
                        .query::<String>(cmd("SET").arg(format!("k{i}")).arg(i))
                        .await
                })
            })
            .collect();
        for other in others {
            assert_eq!(other.await.unwrap().unwrap(), "OK");
        }
        assert_eq!(script.await.unwrap().unwrap(), "done");
        assert_eq!(disconnects(&cluster), 0, "with a timeout of {timeout} s");
    }
    // The long one had a connection of its own, the short one had not.
    assert_eq!(cluster.stats().servers[0].connects, 2);
}

#[tokio::test]
async fn a_script_of_six_seconds_within_its_deadline_is_no_sign_of_shifted_replies() {
    let fixture = TestCluster::start(1).await.settings(USUAL);
    let cluster = fixture.connect().await.with_timeout(Duration::from_secs(9));
    let script = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.query::<String>(&busy("6")).await }
    });
    assert_eq!(script.await.unwrap().unwrap(), "done");
    let stats = &cluster.stats().servers[0];
    assert_eq!((stats.disconnects, stats.shifts), (0, 0));
}

/// When every one of 50 tasks that read without a pause has got `ServerDown`, counted from the fault.
async fn noticed_after(
    cluster: &Cluster,
    fault: impl FnOnce(),
    after_the_first_failure: impl FnOnce(),
) -> Duration {
    let failed = Arc::new(AtomicU64::new(0));
    let down = Arc::new(AtomicU64::new(0));
    let calls = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..50)
        .map(|i| {
            let (cluster, down, calls) = (cluster.clone(), down.clone(), calls.clone());
            let failed = failed.clone();
            tokio::spawn(async move {
                let get = Cmd::get(format!("k{i}"));
                loop {
                    match cluster.query::<Option<String>>(&get).await {
                        Ok(_) => _ = calls.fetch_add(1, Ordering::Relaxed),
                        Err(error) if error.kind() == ErrorKind::ServerDown => break,
                        Err(_) => _ = failed.fetch_add(1, Ordering::Relaxed),
                    }
                }
                down.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    eventually("the load runs", PATIENCE, async || {
        calls.load(Ordering::Relaxed) > 1_000
    })
    .await;
    let started = Instant::now();
    fault();
    let has_failed = async || failed.load(Ordering::Relaxed) > 0;
    eventually("a call fails", PATIENCE, has_failed).await;
    after_the_first_failure();
    let all_are_told = async || down.load(Ordering::Relaxed) == 50;
    eventually("ServerDown", PATIENCE, all_are_told).await;
    let took = started.elapsed();
    for task in tasks {
        task.await.unwrap();
    }
    took
}

/// `dead` and `connect` of the default settings, and as much again for a slow machine. `silence_max` is far above.
const SOON: Duration = Duration::from_secs(6);
const QUIET: &str = "[timeouts]\nsilence_max = \"20s\"\n";

#[tokio::test]
async fn a_stopped_server_is_noticed_under_load_whatever_is_pushed_after_the_stop() {
    let fixture = TestCluster::start(1).await.settings(QUIET);
    let cluster = fixture.connect().await;
    let patient = cluster.with_timeout(Duration::from_secs(60));
    let mut late = None;
    let took = noticed_after(
        &cluster,
        || fixture.servers[0].stop(),
        || {
            let get = async move { patient.query::<Option<String>>(&Cmd::get("late")).await };
            late = Some(tokio::spawn(get));
        },
    )
    .await;
    fixture.servers[0].resume();
    assert!(took < SOON, "{took:?}");
    // It was told as well, or sent again once the server was there.
    let late = late.unwrap().await.unwrap();
    assert!(late.is_ok() || late.is_err_and(|error| error.kind() != ErrorKind::UnexpectedReply));
}

#[tokio::test]
async fn a_black_hole_is_noticed_under_load() {
    let proxied = Proxied::start(1, QUIET).await;
    let cluster = proxied.connect().await;
    let took = noticed_after(&cluster, || proxied.proxies[0].stall(true), || {}).await;
    assert!(took < SOON, "{took:?}");
}

#[tokio::test]
async fn a_command_that_was_written_before_the_silence_is_waited_for_until_silence_max() {
    let proxied = Proxied::start(1, "[timeouts]\nsilence_max = \"4s\"\n").await;
    let cluster = proxied.connect().await;
    let patient = cluster.with_timeout(Duration::from_secs(60));
    proxied.proxies[0].stall_to_client(true);
    let started = Instant::now();
    let before = proxied.proxies[0].bytes_to_server();
    let waiting = tokio::spawn(async move { patient.query::<i64>(&Cmd::incr("n", 1)).await });
    eventually("it is written", PATIENCE, async || {
        proxied.proxies[0].bytes_to_server() > before
    })
    .await;
    let error = waiting.await.unwrap().unwrap_err();
    let took = started.elapsed();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    // Later than `dead`, 2 s, and far before its own deadline.
    assert!(
        (Duration::from_secs(4)..PATIENCE).contains(&took),
        "{took:?}"
    );
}

#[tokio::test]
async fn a_reply_and_an_upload_that_trickle_in_for_longer_than_dead_are_no_silence() {
    // Five seconds each, and no silence may be longer than three. The kernel's buffers hold the end of the upload, some ten
    // megabytes, which is then silent for more than a second.
    let settings = "[timeouts]\nconnect = \"10s\"\nresponse = \"200ms\"\ndead = \"1s\"\nsilence_max = \"3s\"\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied
        .connect()
        .await
        .with_timeout(Duration::from_secs(60));
    let value = "v".repeat(40_000_000);
    proxied.proxies[0].bytes_per_second(Some(8_000_000));
    let set: String = cluster.query(&Cmd::set("k", &value)).await.unwrap();
    assert_eq!(set, "OK");
    proxied.proxies[0].bytes_per_second(Some(200_000));
    let got: String = cluster
        .query(redis::cmd("GETRANGE").arg("k").arg(0).arg(999_999))
        .await
        .unwrap();
    assert_eq!(got.len(), 1_000_000);
    assert_eq!(disconnects(&cluster), 0);
}

#[tokio::test]
async fn a_read_that_ended_by_silence_is_sent_again_once_and_ends_as_unknown() {
    let asked = Arc::new(AtomicU64::new(0));
    let server = ScriptedServer::start({
        let asked = asked.clone();
        move |words| {
            // Never answered.
            (words[0] == "STRLEN").then(|| {
                asked.fetch_add(1, Ordering::Relaxed);
                String::new()
            })
        }
    })
    .await;
    let settings = "[timeouts]\nresponse = \"100ms\"\ndead = \"300ms\"\nsilence_max = \"300ms\"\n";
    let toml = crate::fixture::cluster_toml(settings, 8, &[server.port()]);
    let cluster = Cluster::connect_config(crate::fixture::parse(&toml))
        .await
        .unwrap();
    let patient = cluster.with_timeout(PATIENCE);
    let error = query::<i64>(&patient, "STRLEN k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    // In a batch, too.
    let mut batch = patient.batch();
    let place = batch.add::<i64>(cmd("STRLEN k"));
    let error = batch.send().await.take(place).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_read_that_was_sent_and_could_not_be_sent_again_ends_as_unknown() {
    let mut fixture = TestCluster::start(1).await;
    let cluster = fixture.connect().await;
    let patient = cluster.with_timeout(Duration::from_secs(8));
    fixture.servers[0].stop();
    let read = tokio::spawn(async move {
        let mut eval = redis::cmd("EVAL_RO");
        eval.arg("return 1").arg(1).arg("k");
        patient.query::<i64>(&eval).await
    });
    eventually("it is written", PATIENCE, async || {
        cluster.stats().servers[0].in_flight > 0
    })
    .await;
    fixture.servers[0].kill();
    let error = read.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
}

/// Starts a script that never ends by itself; resolves once the server runs it.
async fn endless(
    cluster: &Cluster,
    script: Cmd,
) -> tokio::task::JoinHandle<Result<Value, keyway::Error>> {
    let patient = cluster.with_timeout(Duration::from_secs(120));
    let task = tokio::spawn(async move { patient.query::<Value>(&script).await });
    // A call that is not answered in 100 ms, again and again: the server is busy.
    let probe = cluster.with_timeout(Duration::from_millis(100));
    eventually("the script runs", PATIENCE, async || {
        probe.query::<Value>(&cmd("GET k")).await.is_err()
    })
    .await;
    task
}

#[tokio::test]
async fn a_script_and_a_function_are_killed_over_a_connection_of_their_own() {
    let mut server = crate::fixture::RedisServer::builder()
        .password("secret")
        .start()
        .await;
    let toml = crate::fixture::cluster_toml(USUAL, 8, &[server.port()])
        .replace("redis://", "redis://:secret@");
    let cluster = Cluster::connect_config(crate::fixture::parse(&toml))
        .await
        .unwrap();
    let patient = cluster.with_timeout(PATIENCE);
    let library =
        "#!lua name=lib\nredis.register_function('loop', function() while true do end end)";
    let _: String = patient
        .query(redis::cmd("FUNCTION").arg("LOAD").arg(library))
        .await
        .unwrap();
    let mut eval = redis::cmd("EVAL");
    eval.arg("while true do end").arg(1).arg("k");
    let mut fcall = redis::cmd("FCALL");
    fcall.arg("loop").arg(1).arg("k");
    for (script, kill) in [(eval, "SCRIPT KILL"), (fcall, "FUNCTION KILL")] {
        let script = endless(&cluster, script).await;
        // Before busy-reply-threshold, 5 s, the server reads nothing.
        let error = cluster
            .with_timeout(Duration::from_millis(300))
            .on_server("s0")
            .unwrap()
            .query::<String>(&cmd(kill))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSent, "{error}");
        assert!(error.to_string().contains("the server is busy"), "{error}");
        let killed = patient.servers().each::<String>(&cmd(kill)).await;
        assert_eq!(killed[0].reply.as_ref().unwrap(), "OK", "{kill}");
        let error = script.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server, "{error}");
        assert!(error.to_string().contains("killed"), "{error}");
        eventually("it serves again", PATIENCE, async || {
            query::<Value>(&cluster, "GET k").await.is_ok()
        })
        .await;
    }
    // Nothing runs: the server's own words.
    let error = patient
        .on_server("s0")
        .unwrap()
        .query::<String>(&cmd("SCRIPT KILL"))
        .await
        .unwrap_err();
    assert_eq!(error.server_error().unwrap().code(), "NOTBUSY");
    server.kill();
    let error = patient
        .on_server("s0")
        .unwrap()
        .query::<String>(&cmd("SCRIPT KILL"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
}

#[tokio::test]
async fn a_busy_server_is_not_down_and_did_not_execute_what_it_refused() {
    let fixture = TestCluster::start(1).await.settings(USUAL);
    let cluster = fixture.connect().await;
    let _: String = ask(&fixture.servers[0], "CONFIG SET busy-reply-threshold 100").await;
    let mut eval = redis::cmd("EVAL");
    eval.arg("while true do end").arg(1).arg("k");
    let script = endless(&cluster, eval).await;
    // A new connection is refused by its greeting, in the server's words.
    let patient = cluster.with_timeout(PATIENCE);
    let error = patient.dedicated("k").await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSent, "{error}");
    assert!(error.to_string().contains("BUSY"), "{error}");
    let killed: String = patient
        .on_server("s0")
        .unwrap()
        .query(&cmd("SCRIPT KILL"))
        .await
        .unwrap();
    assert_eq!(killed, "OK");
    assert!(script.await.unwrap().is_err());
}
