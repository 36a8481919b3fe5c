//! What a service can watch: statistics as plain data, and spans and events with stable names.

use crate::fixture::{TestCluster, eventually};
use redis::AsyncCommands;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Collects `target name` of every span and event of ours, and their fields as text.
#[derive(Clone, Default)]
struct Notebook {
    names: Arc<Mutex<BTreeSet<String>>>,
    text: Arc<Mutex<String>>,
}

struct Fields<'a>(&'a mut String, String);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.1 = format!("{value:?}");
        }
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Notebook {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::span::Id,
        _: Context<'_, S>,
    ) {
        let metadata = attributes.metadata();
        if metadata.target().starts_with("keyway") {
            let name = format!("{} {}", metadata.target(), metadata.name());
            self.names.lock().unwrap().insert(name);
            attributes.record(&mut Fields(&mut self.text.lock().unwrap(), String::new()));
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let target = event.metadata().target();
        if target.starts_with("keyway") {
            let mut text = self.text.lock().unwrap();
            let mut fields = Fields(&mut text, String::new());
            event.record(&mut fields);
            let name = format!("{target} {}", fields.1);
            self.names.lock().unwrap().insert(name);
        }
    }
}

#[tokio::test]
async fn spans_and_events_have_stable_names_and_no_data() {
    let notebook = Notebook::default();
    // For this thread only: the test's runtime has no other.
    let _listening = tracing_subscriber::registry()
        .with(notebook.clone())
        .set_default();
    // `tracing` asks once per event in the source whether anybody listens, and remembers it for all threads. While there is
    // one subscriber in the process, it asks only the thread that meets the event first, which may be another test's. With
    // two it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let mut fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut redis = cluster.clone();
    let _: () = redis.set("secret-key", "secret-value").await.unwrap();
    let _: () = redis::pipe()
        .set("a", 1)
        .ignore()
        .query_async(&mut redis)
        .await
        .unwrap();
    let mut batch = cluster.batch();
    let place = batch.get::<i64>("a");
    assert_eq!(batch.send().await.take(place).unwrap(), 1);
    let _: i64 = cluster
        .dedicated("a")
        .await
        .unwrap()
        .get("a")
        .await
        .unwrap();
    let (home, other) = if &*cluster.locate("a").server == "s0" {
        (0, 1)
    } else {
        (1, 0)
    };
    fixture.servers[home].kill();
    let _ = redis.get::<_, Option<i64>>("a").await;
    eventually(
        "the outage is noticed",
        Duration::from_secs(60),
        async || {
            notebook
                .names
                .lock()
                .unwrap()
                .contains("keyway::connection dial failed")
        },
    )
    .await;
    let ports = [fixture.servers[other].port()];
    cluster
        .reload(fixture.config_with_ports(&ports))
        .await
        .unwrap();
    let names = notebook.names.lock().unwrap().clone();
    for name in [
        "keyway::call keyway.call",
        "keyway::call keyway.pipeline",
        "keyway::call keyway.batch",
        "keyway::call keyway.dedicated",
        "keyway::connection connected",
        "keyway::connection disconnected",
        "keyway::connection dial failed",
        "keyway::control topology switched",
    ] {
        assert!(names.contains(name), "{name} is missing in {names:?}");
    }
    let text = notebook.text.lock().unwrap().clone();
    assert!(text.contains("command=\"SET\""), "{text}");
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn statistics_are_plain_data_and_count_what_happened() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut redis = cluster.clone();
    for i in 0..100 {
        let _: () = redis.set(format!("k{i}"), "x".repeat(100)).await.unwrap();
    }
    let earlier = cluster.stats();
    for i in 0..100 {
        let _: String = redis.get(format!("k{i}")).await.unwrap();
    }
    assert!(redis.incr::<_, _, i64>("k1", 1).await.is_err());
    let stats = cluster.stats();
    let since = stats.since(&earlier);
    let calls = |name: &str| -> u64 {
        let commands = since.servers.iter().flat_map(|server| &server.commands);
        commands
            .filter(|command| command.name == name)
            .map(|command| command.calls)
            .sum()
    };
    assert_eq!((calls("GET"), calls("SET"), calls("INCRBY")), (100, 0, 1));
    let errors: u64 = since
        .servers
        .iter()
        .filter_map(|server| server.errors.get("ERR"))
        .sum();
    assert_eq!(errors, 1);
    let received: u64 = since
        .servers
        .iter()
        .map(|server| server.bytes_received)
        .sum();
    assert!(received >= 100 * 100, "{received}");
    assert!(
        stats
            .servers
            .iter()
            .all(|server| server.connects == 1 && server.reconnects == 0)
    );
    let json = serde_json::to_string(&stats).unwrap();
    let back: keyway::stats::StatsSnapshot = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&back).unwrap(), json);
    let get = stats.servers[0]
        .commands
        .iter()
        .find(|command| command.name == "GET")
        .unwrap();
    assert!(get.latency.p50_us <= get.latency.p99_us && get.latency.p99_us <= get.latency.max_us);
}
