//! Subscriptions: at most once, and what may have been missed is said.

use super::{PATIENCE, PATIENT, Proxied, ask, cmd, query};
use crate::fixture::{TestCluster, cluster_toml, eventually, parse};
use keyway::{ErrorKind, PubSub, PubSubEvent, Subscription};
use std::collections::BTreeSet;

async fn next(pubsub: &mut PubSub) -> PubSubEvent {
    tokio::time::timeout(PATIENCE, pubsub.next())
        .await
        .expect("an event comes")
        .unwrap()
}

/// The next message: channel, pattern and payload.
fn of_channel(name: &str) -> Subscription {
    Subscription::Channel(name.as_bytes().to_vec())
}

/// Waits until the gaps of these are said, by this server and each once.
async fn resubscribed(pubsub: &mut PubSub, from: &str, all: &[Subscription]) {
    let mut again = BTreeSet::new();
    while again.len() < all.len() {
        match next(pubsub).await {
            PubSubEvent::Resubscribed { server, to } => {
                assert_eq!(&*server, from);
                for to in to {
                    assert!(again.insert(to), "said twice");
                }
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(again, all.iter().cloned().collect());
}

async fn message(pubsub: &mut PubSub) -> (String, Option<String>, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    match next(pubsub).await {
        PubSubEvent::Message(message) => (
            text(message.channel),
            message.pattern.map(text),
            text(message.payload),
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn channels_and_patterns_of_all_servers_are_heard() {
    let fixture = TestCluster::start(2).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    let error = pubsub.next().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let channels: BTreeSet<String> = (0..20).map(|i| format!("c{i}")).collect();
    for channel in &channels {
        pubsub.subscribe(channel).await.unwrap();
    }
    for channel in &channels {
        let heard: i64 = query(&cluster, &format!("PUBLISH {channel} {channel}!"))
            .await
            .unwrap();
        assert_eq!(heard, 1);
    }
    let mut heard = BTreeSet::new();
    for _ in 0..20 {
        let (channel, pattern, payload) = message(&mut pubsub).await;
        assert_eq!((payload, pattern), (format!("{channel}!"), None));
        heard.insert(channel);
    }
    assert_eq!(heard, channels);
    pubsub.unsubscribe("c0").await.unwrap();
    let nobody: i64 = query(&cluster, "PUBLISH c0 x").await.unwrap();
    assert_eq!(nobody, 0);

    let mut patterns = cluster.pubsub();
    patterns.psubscribe("c*").await.unwrap();
    for channel in &channels {
        query::<i64>(&cluster, &format!("PUBLISH {channel} x"))
            .await
            .unwrap();
        let heard = message(&mut patterns).await;
        assert_eq!(
            heard,
            (channel.clone(), Some("c*".to_owned()), "x".to_owned())
        );
    }
}

#[tokio::test]
async fn changes_of_keys_are_heard_from_every_server() {
    let fixture = TestCluster::start(2).await.settings(PATIENT);
    let cluster = fixture.connect().await;
    for server in &fixture.servers {
        ask::<()>(server, "CONFIG SET notify-keyspace-events KEA").await;
    }
    let mut pubsub = cluster.pubsub();
    pubsub.subscribe("__keyevent@0__:set").await.unwrap();
    let keys: BTreeSet<String> = (0..20).map(|i| format!("k{i}")).collect();
    for key in &keys {
        query::<()>(&cluster, &format!("SET {key} v"))
            .await
            .unwrap();
    }
    let mut heard = BTreeSet::new();
    for _ in &keys {
        heard.insert(message(&mut pubsub).await.2);
    }
    assert_eq!(heard, keys);
}

#[tokio::test]
async fn a_slow_subscriber_hears_how_much_it_has_missed() {
    let fixture = TestCluster::start(1)
        .await
        .settings("[timeouts]\nresponse = \"10s\"\n[limits]\npubsub_buffer = 10\n");
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    pubsub.subscribe("c").await.unwrap();
    for i in 0..50 {
        query::<i64>(&cluster, &format!("PUBLISH c {i}"))
            .await
            .unwrap();
    }
    let mut missed = 0;
    let mut heard = Vec::new();
    while heard.last() != Some(&49) {
        match next(&mut pubsub).await {
            PubSubEvent::Lagged(n) => missed += n,
            PubSubEvent::Message(message) => {
                heard.push(
                    String::from_utf8(message.payload)
                        .unwrap()
                        .parse::<u64>()
                        .unwrap(),
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0, "{heard:?}");
    assert_eq!(missed + heard.len() as u64, 50);
    assert!(heard.is_sorted());
}

#[tokio::test]
async fn after_a_restart_it_is_subscribed_again_and_says_so() {
    let mut fixture = TestCluster::start(2)
        .await
        .settings("[timeouts]\nresponse = \"10s\"\n");
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    let channel = super::key_on(&cluster, "s1", "c");
    pubsub.subscribe(&channel).await.unwrap();
    pubsub.psubscribe("pattern*").await.unwrap();
    fixture.servers[1].kill();
    fixture.servers[1].restart().await;
    let both = [
        of_channel(&channel),
        Subscription::Pattern(b"pattern*".to_vec()),
    ];
    resubscribed(&mut pubsub, "s1", &both).await;
    eventually("calls work again", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    let heard: i64 = query(&cluster, &format!("PUBLISH {channel} again"))
        .await
        .unwrap();
    assert_eq!(heard, 1);
    assert_eq!(message(&mut pubsub).await.2, "again");

    // A subscription to a server that is down fails, and is made as soon as it is back.
    fixture.servers[1].kill();
    let other = super::key_on(&cluster, "s1", "other");
    let error = pubsub.subscribe(&other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
    fixture.servers[1].restart().await;
    // Its call has ended with an error, so that this says it.
    let mut late = None;
    let mut again = BTreeSet::new();
    while late.is_none() || again.len() < 2 {
        match next(&mut pubsub).await {
            PubSubEvent::Subscribed { to, .. } => late = Some(to),
            PubSubEvent::Resubscribed { to, .. } => again.extend(to),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(late, Some(vec![of_channel(&other)]));
    assert_eq!(again, both.into());
    let heard: i64 = ask(&fixture.servers[1], &format!("PUBLISH {other} x")).await;
    assert_eq!(heard, 1);
    assert_eq!(message(&mut pubsub).await.0, other);
}

#[tokio::test]
async fn a_half_open_subscription_is_noticed() {
    let settings = "[timeouts]\nconnect = \"1s\"\nresponse = \"100ms\"\ndead = \"300ms\"\nsilence_max = \"300ms\"\nidle_ping = \"100ms\"\n";
    let proxied = Proxied::start(1, settings).await;
    let cluster = proxied.connect().await;
    let mut pubsub = cluster.with_timeout(PATIENCE).pubsub();
    pubsub.subscribe("c").await.unwrap();
    let accepted = proxied.proxies[0].accepted();
    proxied.proxies[0].stall(true);
    eventually("both connections are given up", PATIENCE, async || {
        proxied.proxies[0].accepted() >= accepted + 2
    })
    .await;
    proxied.proxies[0].stall(false);
    resubscribed(&mut pubsub, "s0", &[of_channel("c")]).await;
}

#[tokio::test]
async fn a_subscription_follows_its_node() {
    let fixture = TestCluster::start(2)
        .await
        .settings("[timeouts]\nresponse = \"10s\"\n");
    let cluster = fixture.connect().await;
    let channel = super::key_on(&cluster, "s1", "c");
    let mut pubsub = cluster.pubsub();
    pubsub.subscribe(&channel).await.unwrap();
    let listening = tokio::spawn(async move {
        let followed = next(&mut pubsub).await;
        let heard = message(&mut pubsub).await;
        (followed, heard, pubsub)
    });
    cluster
        .reload(parse(&cluster_toml(
            &fixture.settings,
            64,
            &fixture.ports()[..1],
        )))
        .await
        .unwrap();
    eventually("somebody listens at the new server", PATIENCE, async || {
        let heard: i64 = cmd("PUBLISH")
            .arg(&channel)
            .arg("moved")
            .query_async(&mut cluster.clone())
            .await
            .unwrap();
        heard == 1
    })
    .await;
    let (followed, heard, _pubsub) = listening.await.unwrap();
    assert_eq!(
        followed,
        PubSubEvent::Resubscribed {
            server: "s0".into(),
            to: vec![of_channel(&channel)],
        },
        "what was published in between is lost, and the subscriber is told so"
    );
    assert_eq!(heard, (channel, None, "moved".to_owned()));
    eventually("nobody listens at the old server", PATIENCE, async || {
        let list: String = ask(&fixture.servers[1], "CLIENT LIST").await;
        !list.contains("name=kwsub")
    })
    .await;
}
