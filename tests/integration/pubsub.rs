//! Pub/sub: every gap is announced, once, at its place; and no server's trouble is another's.

use crate::fixture::{
    Proxied, RedisServer, TestCluster, ask, cluster_toml, eventually, parse, query,
};
use keyway::{Cluster, ErrorKind, PubSub, PubSubEvent, Subscription};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

async fn next(pubsub: &mut PubSub) -> PubSubEvent {
    tokio::time::timeout(PATIENCE, pubsub.next())
        .await
        .expect("an event comes")
        .expect("it is subscribed")
}

/// The next message's payload as a number, and the gaps of its channel that were said before it.
async fn number(pubsub: &mut PubSub, channel: &str) -> (u64, u64) {
    let mut gaps = 0;
    loop {
        match next(pubsub).await {
            PubSubEvent::Message(message) => {
                let text = String::from_utf8(message.payload).unwrap();
                return (text.parse().unwrap(), gaps);
            }
            PubSubEvent::Resubscribed { to, .. } => {
                let this = Subscription::Channel(channel.as_bytes().to_vec());
                gaps += to.iter().filter(|to| **to == this).count() as u64;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn channels(names: &[&str]) -> BTreeSet<Subscription> {
    let all = names
        .iter()
        .map(|name| Subscription::Channel(name.as_bytes().to_vec()));
    all.collect()
}

/// A channel whose node is on this server.
fn channel_on(cluster: &Cluster, server: &str, prefix: &str) -> String {
    (0..)
        .map(|i| format!("{prefix}{i}"))
        .find(|channel| &*cluster.locate(channel).server == server)
        .unwrap()
}

async fn publish(cluster: &Cluster, channel: &str, payload: impl ToString) -> i64 {
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(channel).arg(payload.to_string());
    cluster.query(&publish).await.unwrap()
}

/// A server whose user `feeds` may do all, on these channels.
async fn with_user(rules: &str) -> (RedisServer, Cluster) {
    let user = format!("feeds on >pw ~* +@all resetchannels {rules}");
    let server = RedisServer::builder().user_acl(&user).start().await;
    let toml = cluster_toml("", 64, &[server.port()]);
    let toml = toml.replace("redis://127", "redis://feeds:pw@127");
    let cluster = Cluster::connect_config(parse(&toml)).await.unwrap();
    (server, cluster)
}

async fn set_rules(server: &RedisServer, rules: &str) {
    let _: String = ask(server, &format!("ACL SETUSER feeds resetchannels {rules}")).await;
}

#[tokio::test]
async fn a_refused_channel_silences_no_other_and_every_call_hears_of_it() {
    let (server, cluster) = with_user("&news* &old*").await;
    let mut pubsub = cluster.pubsub();
    for channel in ["news1", "news2", "old1"] {
        pubsub.subscribe(channel).await.unwrap();
    }
    set_rules(&server, "&news*").await;
    // Redis closes the connection of who may not listen any more.
    let (mut again, mut refused) = (BTreeSet::new(), Vec::new());
    while again.len() < 2 || refused.is_empty() {
        match next(&mut pubsub).await {
            PubSubEvent::Resubscribed { to, .. } => again.extend(to),
            PubSubEvent::Refused { to, error, .. } => refused.push((to, error)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(again, channels(&["news1", "news2"]));
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, Subscription::Channel(b"old1".to_vec()));
    assert!(refused[0].1.starts_with("NOPERM "), "{refused:?}");
    assert_eq!(publish(&cluster, "news1", 1).await, 1);
    assert_eq!(publish(&cluster, "news2", 2).await, 1);
    for payload in [1, 2] {
        assert_eq!(number(&mut pubsub, "").await, (payload, 0));
    }
    // Whoever asks hears it, each time.
    let mut other = cluster.pubsub();
    for subscriber in [&mut pubsub, &mut other] {
        for _ in 0..2 {
            let error = subscriber.subscribe("old1").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Server);
            assert!(error.to_string().contains("NOPERM "), "{error}");
        }
    }
    set_rules(&server, "&news* &old*").await;
    for subscriber in [&mut pubsub, &mut other] {
        let event = next(subscriber).await;
        let PubSubEvent::Subscribed { to, .. } = event else {
            panic!("{event:?}")
        };
        assert_eq!(to, [Subscription::Channel(b"old1".to_vec())]);
    }
    assert_eq!(publish(&cluster, "old1", 3).await, 1);
    assert_eq!(number(&mut pubsub, "old1").await, (3, 0));
    assert_eq!(number(&mut other, "old1").await, (3, 0));
}

#[tokio::test]
async fn of_many_channels_only_those_are_refused_that_are() {
    let (_server, cluster) = with_user("&a* &c*").await;
    let mut pubsub = cluster.pubsub();
    let names: Vec<String> = (0..600)
        .map(|i| {
            format!(
                "{}{i}",
                ["a", "b", "c"][usize::from(i % 50 == 0) + usize::from(i % 7 == 0)]
            )
        })
        .collect();
    let results = pubsub.subscribe_many(&names).await;
    for (name, result) in names.iter().zip(results) {
        match result {
            Ok(()) => assert!(!name.starts_with('b'), "{name}"),
            Err(error) => {
                assert!(name.starts_with('b'), "{name}: {error}");
                assert_eq!(error.kind(), ErrorKind::Server);
            }
        }
    }
    assert_eq!(pubsub.channels().len(), 600, "the refused are still wanted");
}

#[tokio::test]
async fn a_server_that_is_down_keeps_nobody_from_healthy_ones() {
    let mut fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let (here, there) = (
        channel_on(&cluster, "s0", "c"),
        channel_on(&cluster, "s1", "c"),
    );
    fixture.servers[1].kill();
    let mut pubsub = cluster.pubsub();
    let error = pubsub.subscribe(&there).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
    pubsub.subscribe(&here).await.unwrap();
    // Later calls know it at once.
    let error = pubsub.subscribe(&there).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown, "{error}");
    let unconfirmed = pubsub.psubscribe("c*").await.unwrap();
    assert_eq!(unconfirmed, ["s1".into()] as [Arc<str>; 1]);
    pubsub.unsubscribe(&there).await.unwrap();
    pubsub.subscribe(&there).await.unwrap_err();
    assert_eq!(publish(&cluster, &here, 1).await, 2);
    fixture.servers[1].restart().await;
    let mut late = BTreeSet::new();
    while late.len() < 2 {
        match next(&mut pubsub).await {
            PubSubEvent::Subscribed { server, to } => {
                assert_eq!(&*server, "s1");
                late.extend(to);
            }
            PubSubEvent::Message(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let there = Subscription::Channel(there.into_bytes());
    assert_eq!(late, [there, Subscription::Pattern(b"c*".to_vec())].into());
}

#[tokio::test]
async fn a_server_that_hangs_keeps_no_other_from_being_asked() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    pubsub
        .subscribe(channel_on(&cluster, "s1", "first"))
        .await
        .unwrap();
    fixture.servers[1].stop();
    let mut hasty = cluster.with_timeout(Duration::from_millis(1)).pubsub();
    for i in 0..40 {
        let there = channel_on(&cluster, "s1", &format!("there{i}x"));
        let error = hasty.subscribe(there).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSent, "{error}");
    }
    let here: Vec<String> = (0..40)
        .map(|i| channel_on(&cluster, "s0", &format!("here{i}x")))
        .collect();
    for channel in &here {
        pubsub.subscribe(channel).await.unwrap();
        assert_eq!(publish(&cluster, channel, 1).await, 1);
    }
    fixture.servers[1].resume();
    let mut late = 0;
    while late < 40 {
        match next(&mut hasty).await {
            PubSubEvent::Subscribed { to, .. } => late += to.len(),
            other => panic!("{other:?}"),
        }
    }
}

/// The cluster file, or the same with the nodes of the two servers exchanged.
fn exchanged(fixture: &TestCluster, is_exchanged: bool) -> keyway::Config {
    let toml = cluster_toml("", 64, &fixture.ports());
    if !is_exchanged {
        return parse(&toml);
    }
    let toml = toml
        .replace("\"0-31\"", "\"first\"")
        .replace("\"32-63\"", "\"0-31\"");
    parse(&toml.replace("\"first\"", "\"32-63\""))
}

#[tokio::test]
async fn what_is_published_between_two_reloads_is_a_gap_though_nobody_was_listening_for_events() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    pubsub.subscribe("c").await.unwrap();
    assert_eq!(publish(&cluster, "c", 0).await, 1);
    cluster.reload(exchanged(&fixture, true)).await.unwrap();
    for i in 1..50 {
        publish(&cluster, "c", i).await;
    }
    cluster.reload(exchanged(&fixture, false)).await.unwrap();
    eventually("it is heard again", PATIENCE, async || {
        publish(&cluster, "c", 50).await == 1
    })
    .await;
    assert_eq!(number(&mut pubsub, "c").await, (0, 0));
    // Some of those between may be heard, each after a gap.
    let (mut last, mut gaps) = (0, 0);
    while last < 50 {
        let (heard, gap) = number(&mut pubsub, "c").await;
        assert!(heard > last || heard == 50, "{heard} after {last}");
        assert!(
            heard == last + 1 || heard == last || gap == 1,
            "{heard} after {last}: {gap} gaps"
        );
        (last, gaps) = (heard, gaps + gap);
    }
    assert!((1..=2).contains(&gaps), "{gaps} gaps");
}

#[tokio::test]
async fn over_moves_there_and_back_each_gap_is_said_once_between_the_messages_around_it() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    pubsub.subscribe("c").await.unwrap();
    let publishing = tokio::spawn({
        let cluster = cluster.clone();
        async move {
            let mut sent = 0;
            loop {
                sent += 1;
                publish(&cluster, "c", sent).await;
                tokio::task::yield_now().await;
            }
        }
    });
    let listening = tokio::spawn(async move {
        let (mut last, mut gaps, mut jumps, mut heard) = (None::<u64>, 0, 0, 0_u64);
        loop {
            let event = tokio::time::timeout(Duration::from_secs(3), pubsub.next()).await;
            let Ok(event) = event else {
                return (gaps, jumps, heard);
            };
            match event.unwrap() {
                PubSubEvent::Resubscribed { to, .. } => {
                    assert_eq!(to, [Subscription::Channel(b"c".to_vec())]);
                    gaps += 1;
                    // Whatever comes next is explained.
                    last = None;
                }
                PubSubEvent::Message(message) => {
                    let number = String::from_utf8(message.payload).unwrap();
                    let number: u64 = number.parse().unwrap();
                    heard += 1;
                    if let Some(last) = last {
                        assert_eq!(number, last + 1, "a gap that nobody has said");
                    } else {
                        jumps += 1;
                    }
                    last = Some(number);
                }
                other => panic!("{other:?}"),
            }
        }
    });
    let moves = 10;
    for i in 0..moves {
        cluster
            .reload(exchanged(&fixture, i % 2 == 0))
            .await
            .unwrap();
    }
    eventually("it is heard", PATIENCE, async || {
        let mut heard: Vec<(String, i64)> = Vec::new();
        for server in &fixture.servers {
            heard.push(ask(server, "PUBSUB NUMSUB c").await);
        }
        heard.iter().map(|(_, heard)| heard).sum::<i64>() == 1
    })
    .await;
    publishing.abort();
    let (gaps, _, heard) = listening.await.unwrap();
    assert!(
        (1..=moves as u64).contains(&gaps),
        "{gaps} gaps in {moves} moves"
    );
    assert!(heard > 0);
}

#[tokio::test]
async fn when_unsubscribe_returns_the_server_knows() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    for i in 0..100 {
        let channel = format!("c{i}");
        pubsub.subscribe(&channel).await.unwrap();
        assert_eq!(publish(&cluster, &channel, i).await, 1);
        pubsub.unsubscribe(&channel).await.unwrap();
        assert_eq!(publish(&cluster, &channel, i).await, 0, "{channel}");
    }
    pubsub.psubscribe("p*").await.unwrap();
    assert_eq!(publish(&cluster, "p1", 1).await, 1);
    pubsub.punsubscribe("p*").await.unwrap();
    assert_eq!(publish(&cluster, "p1", 1).await, 0);
    // What waited is taken back.
    assert_eq!(pubsub.next().await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_further_channel_costs_the_same_however_many_there_are() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect_patiently().await;
    let mut pubsub = cluster.pubsub();
    let sent = || cluster.stats().servers[0].bytes_sent;
    let mut cost_of_ten = async |at: usize| {
        let before = sent();
        for i in 0..10 {
            pubsub.subscribe(format!("one{at:06}x{i}")).await.unwrap();
        }
        let cost = sent() - before;
        let many = (0..2_000).map(|i| format!("many{at}x{i}"));
        for result in pubsub.subscribe_many(many).await {
            result.unwrap();
        }
        cost
    };
    let first = cost_of_ten(0).await;
    for at in 1..5 {
        let cost = cost_of_ten(at).await;
        // The connection's own PINGs may be among it.
        assert!(cost <= first + 500, "{cost} bytes, {first} at first");
    }
    let numbers: Vec<String> = query(&cluster, "PUBSUB CHANNELS *").await.unwrap();
    assert_eq!(numbers.len(), 5 * 2_010);
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_and_a_slow_subscriber_lags_alone() {
    let fixture = TestCluster::start(1)
        .await
        .settings("[limits]\npubsub_bytes = \"1MiB\"\n");
    let cluster = fixture.connect_patiently().await;
    let mut slow = cluster.pubsub();
    let mut quick = cluster.pubsub();
    slow.subscribe("c").await.unwrap();
    quick.subscribe("c").await.unwrap();
    let big = "x".repeat(256 << 10);
    for i in 0..50 {
        assert_eq!(publish(&cluster, "c", format!("{i} {big}")).await, 1);
        let event = next(&mut quick).await;
        assert!(matches!(event, PubSubEvent::Message(_)), "{i}");
    }
    let event = next(&mut slow).await;
    let PubSubEvent::Lagged(lagged) = event else {
        panic!("{event:?}")
    };
    let mut heard = 0;
    while heard + lagged < 50 {
        let event = next(&mut slow).await;
        let PubSubEvent::Message(message) = event else {
            panic!("{event:?}")
        };
        let expected = format!("{} ", lagged + heard);
        assert!(message.payload.starts_with(expected.as_bytes()));
        heard += 1;
    }
    assert!((2..=4).contains(&heard), "{heard} of 256 KiB in 1 MiB");
}

#[tokio::test]
async fn subscribers_share_a_connection_and_a_channel_is_left_with_its_last() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect().await;
    let mut first = cluster.pubsub();
    let mut second = cluster.pubsub();
    first.subscribe("c").await.unwrap();
    second.subscribe("c").await.unwrap();
    let names = async || {
        let list: String = ask(&fixture.servers[0], "CLIENT LIST").await;
        let names = list.split_whitespace();
        let names = names.filter(|word| word.starts_with("name=kwsub:"));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names().await.len(), 1);
    assert!(names().await[0].ends_with(":0"), "{:?}", names().await);
    assert_eq!(publish(&cluster, "c", 1).await, 1);
    first.unsubscribe("c").await.unwrap();
    assert_eq!(publish(&cluster, "c", 2).await, 1);
    for payload in [1, 2] {
        assert_eq!(number(&mut second, "c").await, (payload, 0));
    }
    drop(second);
    eventually("the connection ends", PATIENCE, async || {
        names().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn sharded_channels_are_channels_of_their_own() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    pubsub.ssubscribe("c").await.unwrap();
    pubsub.subscribe("d").await.unwrap();
    let heard: i64 = query(&cluster, "SPUBLISH c 1").await.unwrap();
    assert_eq!(heard, 1);
    assert_eq!(publish(&cluster, "c", 2).await, 0);
    let event = next(&mut pubsub).await;
    let PubSubEvent::Message(message) = event else {
        panic!("{event:?}")
    };
    assert!(message.is_sharded);
    assert_eq!(
        (message.channel, message.payload),
        (b"c".to_vec(), b"1".to_vec())
    );
    pubsub.sunsubscribe("c").await.unwrap();
    let heard: i64 = query(&cluster, "SPUBLISH c 1").await.unwrap();
    assert_eq!(heard, 0);
}

#[tokio::test]
async fn a_killed_connection_is_one_gap_of_all_that_it_had() {
    let proxied = Proxied::start(1, "").await;
    let cluster = proxied.connect().await;
    let mut pubsub = cluster.pubsub();
    let names: Vec<String> = (0..100).map(|i| format!("c{i}")).collect();
    for result in pubsub.subscribe_many(&names).await {
        result.unwrap();
    }
    for round in 0..3 {
        let killed: i64 = ask(&proxied.fixture.servers[0], "CLIENT KILL TYPE pubsub").await;
        assert_eq!(killed, 1);
        let mut again = BTreeSet::new();
        while again.len() < 100 {
            match next(&mut pubsub).await {
                PubSubEvent::Resubscribed { to, .. } => {
                    for to in to {
                        assert!(again.insert(to), "said twice");
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(publish(&cluster, "c7", round).await, 1);
        assert_eq!(number(&mut pubsub, "c7").await, (round, 0));
    }
}

#[tokio::test]
async fn connections_are_named_anew_at_a_switch() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    pubsub.subscribe("c").await.unwrap();
    let named = async || {
        let stats: String = ask(&fixture.servers[0], "INFO commandstats").await;
        let line = stats.lines().find(|line| line.contains("client|setname"));
        let calls = line.and_then(|line| line.split("calls=").nth(1)?.split(',').next());
        calls.unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(named().await, 2, "one for commands, one for pub/sub");
    cluster.reload(fixture.config()).await.unwrap();
    eventually("both have their new names", PATIENCE, async || {
        named().await == 4
    })
    .await;
    assert_eq!(publish(&cluster, "c", 1).await, 1);
    assert_eq!(number(&mut pubsub, "c").await, (1, 0));
}

#[tokio::test]
async fn close_ends_subscribers_after_what_waits_for_them() {
    let fixture = TestCluster::start(1).await;
    let cluster = fixture.connect().await;
    let mut pubsub = cluster.pubsub();
    pubsub.subscribe("c").await.unwrap();
    assert_eq!(publish(&cluster, "c", 1).await, 1);
    eventually("it has come", PATIENCE, async || {
        cluster.stats().servers[0].pubsub.messages == 1
    })
    .await;
    cluster.close().await.unwrap();
    assert_eq!(number(&mut pubsub, "c").await, (1, 0));
    assert_eq!(pubsub.next().await.unwrap_err().kind(), ErrorKind::Closed);
    let error = pubsub.subscribe("d").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    let list: String = ask(&fixture.servers[0], "CLIENT LIST").await;
    assert!(!list.contains("name=kwsub"), "{list}");
}
