//! After `reload()` has returned, no command of the old topology is sent any more.

use super::{PATIENCE, PATIENT, Proxied, ask, cmd, key_on, query};
use crate::fixture::{FaultProxy, RedisServer, eventually, parse};
use futures::FutureExt;
use keyway::{Cluster, Config, ErrorKind};
use redis::{AsyncCommands, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const NODES: u16 = 16;

/// Servers s0, s1, ... at these ports; `home` says which of them a node lives on.
fn config(ports: &[u16], settings: &str, home: impl Fn(u16) -> usize) -> Config {
    let mut toml = format!(
        "name = \"test\"\n[placement]\nalgorithm = \"ketama\"\nnodes = {NODES}\n{settings}\n"
    );
    for (at, port) in ports.iter().enumerate() {
        let nodes: Vec<String> = (0..NODES)
            .filter(|node| home(*node) == at)
            .map(|node| node.to_string())
            .collect();
        let nodes = match nodes.as_slice() {
            [] => "[]".to_owned(),
            _ => format!("{:?}", nodes.join(",")),
        };
        toml.push_str(&format!(
            "[servers.s{at}]\nurl = \"redis://127.0.0.1:{port}\"\nnodes = {nodes}\n"
        ));
    }
    parse(&toml)
}

fn ports(proxies: &[FaultProxy]) -> Vec<u16> {
    proxies.iter().map(FaultProxy::port).collect()
}

/// Half of the nodes live on s0 for ever, the others on s1 in even rounds and on s2 in odd ones. The file moves no data, so each of these
/// servers counts for itself, and the sum over all says what was executed.
fn wandering(round: usize) -> impl Fn(u16) -> usize {
    move |node| if node % 2 == 0 { 0 } else { 1 + round % 2 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_command_of_the_old_topology_arrives_after_reload_has_returned() {
    let settings = "[timeouts]\nresponse = \"10s\"\ndead = \"20s\"\n";
    let proxied = Proxied::start(3, "").await;
    let ports = ports(&proxied.proxies);
    for proxy in &proxied.proxies {
        proxy.delay(Duration::from_millis(3));
    }
    let cluster = Cluster::connect_config(config(&ports, settings, wandering(0)))
        .await
        .unwrap();
    let keys: Vec<String> = (0..64).map(|i| format!("n{i}")).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Vec<AtomicU64>> =
        Arc::new(keys.iter().map(|_| AtomicU64::new(0)).collect());
    let tasks: Vec<_> = (0..10)
        .map(|task| {
            let (cluster, stop) = (cluster.clone(), stop.clone());
            let (keys, acknowledged) = (keys.clone(), acknowledged.clone());
            tokio::spawn(async move {
                let mut redis = cluster.clone();
                let mut at = task;
                while !stop.load(Ordering::Relaxed) {
                    at = (at + 7) % keys.len();
                    match task {
                        // Pipelines and split commands over all nodes.
                        0 | 1 => {
                            let mut pipe = redis::pipe();
                            keys.iter().for_each(|key| {
                                pipe.cmd("INCR").arg(key);
                            });
                            let _: Vec<i64> = pipe.query_async(&mut redis).await.unwrap();
                            for count in &*acknowledged {
                                count.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        2 => {
                            let values: Vec<Option<i64>> = redis.mget(&keys).await.unwrap();
                            assert_eq!(values.len(), keys.len());
                        }
                        3 => {
                            let mut pipe = redis::pipe();
                            pipe.atomic().cmd("INCR").arg(&keys[at]);
                            let _: (i64,) = pipe.query_async(&mut redis).await.unwrap();
                            acknowledged[at].fetch_add(1, Ordering::Relaxed);
                        }
                        4 => {
                            let _: Option<i64> = redis.get(&keys[at]).await.unwrap();
                        }
                        _ => {
                            let _: i64 = query(&cluster, &format!("INCR {}", keys[at]))
                                .await
                                .unwrap();
                            acknowledged[at].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
            })
        })
        .collect();
    // Keys that wander, read at the server they have left: their values must stand still there.
    let wanderers: Vec<&String> = keys
        .iter()
        .filter(|key| cluster.locate(key).node.0 % 2 == 1)
        .collect();
    assert!(wanderers.len() > 10);
    let mut all_wanderers = redis::cmd("MGET");
    wanderers.iter().for_each(|key| {
        all_wanderers.arg(key);
    });
    let mut direct = Vec::new();
    for server in &proxied.fixture.servers {
        direct.push(server.connection().await);
    }
    let mut moved_values = 0;
    for round in 1..=15 {
        let reloaded = cluster
            .reload(config(&ports, settings, wandering(round)))
            .await
            .unwrap();
        assert_eq!(reloaded.moved.len(), usize::from(NODES) / 2);
        assert!(reloaded.connected.is_empty() && reloaded.dropped.is_empty());
        let left = 1 + (round + 1) % 2;
        let at_return: Vec<Option<i64>> =
            all_wanderers.query_async(&mut direct[left]).await.unwrap();
        let here = 1 + round % 2;
        let before: Vec<Option<i64>> = all_wanderers.query_async(&mut direct[here]).await.unwrap();
        // Long enough for everything that could still be on its way: others have been answered meanwhile.
        eventually("calls go on at the new server", PATIENCE, async || {
            let now: Vec<Option<i64>> = all_wanderers.query_async(&mut direct[here]).await.unwrap();
            now.iter()
                .zip(&before)
                .filter(|(now, before)| now > before)
                .count()
                > wanderers.len() / 2
        })
        .await;
        let later: Vec<Option<i64>> = all_wanderers.query_async(&mut direct[left]).await.unwrap();
        assert_eq!(
            at_return, later,
            "round {round}: a command of the old topology arrived at s{left}"
        );
        moved_values += at_return.iter().flatten().sum::<i64>();
    }
    assert!(moved_values > 0);
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    for (key, acknowledged) in keys.iter().zip(&*acknowledged) {
        let mut sum = 0;
        for direct in &mut direct {
            let value: Option<u64> = cmd("GET").arg(key).query_async(direct).await.unwrap();
            sum += value.unwrap_or(0);
        }
        assert_eq!(sum, acknowledged.load(Ordering::Relaxed), "{key}");
    }
    for server in &cluster.stats().servers {
        assert_eq!(
            server.connects, 1,
            "connections whose settings are equal are kept"
        );
    }
}

#[tokio::test]
async fn connections_are_named_with_the_cluster_and_its_epoch() {
    let proxied = Proxied::start(1, PATIENT).await;
    let cluster = proxied.connect().await;
    let names = async || -> Vec<String> {
        let list: String = ask(&proxied.fixture.servers[0], "CLIENT LIST").await;
        list.lines()
            .filter_map(|line| {
                line.split(' ')
                    .find_map(|field| field.strip_prefix("name="))
            })
            .filter(|name| name.starts_with("kw"))
            .map(str::to_owned)
            .collect()
    };
    let _dedicated = cluster.dedicated("k").await.unwrap();
    let mut pubsub = cluster.pubsub();
    pubsub.subscribe("c").await.unwrap();
    let mut names = names().await;
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    let id = names[0]
        .strip_prefix("kw:test.")
        .unwrap()
        .strip_suffix(":0")
        .unwrap()
        .to_owned();
    assert_eq!(id.len(), 16);
    assert_eq!(names[1], names[0]);
    assert_eq!(names[2], format!("kwsub:test.{id}:0"));
}

#[tokio::test]
async fn a_stalled_server_does_not_keep_reload_for_longer_than_it_takes_to_be_dead() {
    let settings = "[timeouts]\nresponse = \"200ms\"\ndead = \"600ms\"\n";
    let proxied = Proxied::start(2, "").await;
    let ports = ports(&proxied.proxies);
    let cluster = Cluster::connect_config(config(&ports, settings, |node| usize::from(node % 2)))
        .await
        .unwrap();
    let key = key_on(&cluster, "s1", "k");
    proxied.proxies[1].stall(true);
    let call = tokio::spawn({
        let (cluster, key) = (cluster.with_timeout(PATIENCE), key.clone());
        async move { query::<i64>(&cluster, &format!("INCR {key}")).await }
    });
    eventually("it is under way", PATIENCE, async || {
        cluster.stats().servers[1].in_flight > 0
    })
    .await;
    let reloaded = tokio::time::timeout(PATIENCE, cluster.reload(config(&ports, settings, |_| 0)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(reloaded.moved.len(), 8);
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
    let n: i64 = query(&cluster.with_timeout(PATIENCE), &format!("INCR {key}"))
        .await
        .unwrap();
    assert_eq!(n, 1, "at the new server");
}

#[tokio::test]
async fn blocking_commands_go_on_at_the_new_server_and_no_element_is_lost() {
    let settings = "[timeouts]\nresponse = \"5s\"\n";
    let proxied = Proxied::start(2, "").await;
    let ports = ports(&proxied.proxies);
    let servers = &proxied.fixture.servers;
    let home = |server: usize| config(&ports, settings, move |_| server);
    let cluster = Cluster::connect_config(home(0)).await.unwrap();
    let popped: Arc<parking_lot::Mutex<Vec<u64>>> = Arc::default();
    let consumers: Vec<_> = (0..4)
        .map(|_| {
            let (cluster, popped) = (cluster.clone(), popped.clone());
            tokio::spawn(async move {
                loop {
                    let (_, job): (String, u64) = query(&cluster, "BLPOP queue 0").await.unwrap();
                    popped.lock().push(job);
                }
            })
        })
        .collect();
    let mut pushed = 0;
    for round in 0..8 {
        let (here, there) = (round % 2, (round + 1) % 2);
        let mut direct = servers[here].connection().await;
        eventually("all consumers wait", PATIENCE, async || {
            let info: String = ask(&servers[here], "INFO clients").await;
            info.contains("blocked_clients:4")
        })
        .await;
        // Some are just being handed over while the reload runs.
        let push = async {
            for _ in 0..20 {
                let _: i64 = cmd("RPUSH queue")
                    .arg(pushed)
                    .query_async(&mut direct)
                    .await
                    .unwrap();
                pushed += 1;
            }
        };
        let (reloaded, ()) = tokio::join!(cluster.reload(home(there)), push);
        assert_eq!(reloaded.unwrap().moved.len(), usize::from(NODES));
        // What was left behind is for whoever moves the data: here, us.
        let left: Vec<u64> = ask(&servers[here], "LRANGE queue 0 -1").await;
        let _: i64 = ask(&servers[here], "DEL queue").await;
        let mut direct = servers[there].connection().await;
        for job in left {
            let _: i64 = cmd("RPUSH queue")
                .arg(job)
                .query_async(&mut direct)
                .await
                .unwrap();
        }
        let info: String = ask(&servers[here], "INFO clients").await;
        assert!(info.contains("blocked_clients:0"), "{info}");
    }
    eventually("every element has come", PATIENCE, async || {
        popped.lock().len() >= pushed as usize
    })
    .await;
    let mut popped = popped.lock().clone();
    popped.sort();
    assert_eq!(popped, (0..pushed).collect::<Vec<u64>>(), "each once");
    consumers.into_iter().for_each(|consumer| consumer.abort());
}

#[tokio::test]
async fn a_blocking_command_on_a_server_that_is_dropped_goes_on_and_keeps_its_timeout() {
    let proxied = Proxied::start(2, "").await;
    let ports = ports(&proxied.proxies);
    let settings = "[timeouts]\nresponse = \"5s\"\n";
    let both = config(&ports, settings, |_| 1);
    let cluster = Cluster::connect_config(both).await.unwrap();
    let waits = tokio::spawn({
        let cluster = cluster.clone();
        async move { query::<Option<(String, String)>>(&cluster, "BLPOP queue 1").await }
    });
    let started = std::time::Instant::now();
    eventually("it blocks", PATIENCE, async || {
        let info: String = ask(&proxied.fixture.servers[1], "INFO clients").await;
        info.contains("blocked_clients:1")
    })
    .await;
    let reloaded = cluster
        .reload(config(&ports[..1], settings, |_| 0))
        .await
        .unwrap();
    assert_eq!(
        reloaded
            .dropped
            .iter()
            .map(|name| &**name)
            .collect::<Vec<_>>(),
        ["s1"]
    );
    assert_eq!(waits.await.unwrap().unwrap(), None);
    let took = started.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < PATIENCE,
        "{took:?}"
    );
    eventually(
        "nothing is left of the dropped server",
        PATIENCE,
        async || proxied.proxies[1].connections() == 0,
    )
    .await;
}

#[tokio::test]
async fn whoever_waits_for_a_dedicated_connection_during_a_reload_gets_it_at_the_new_server() {
    let settings =
        "[timeouts]\nresponse = \"15s\"\n[pool]\ndedicated_max = 1\ndedicated_idle_max = 1\n";
    let proxied = Proxied::start(2, "").await;
    let ports = ports(&proxied.proxies);
    let cluster = Cluster::connect_config(config(&ports, settings, |node| usize::from(node % 2)))
        .await
        .unwrap();
    let stays = key_on(&cluster, "s1", "stays");
    let goes = (0..)
        .map(|i| format!("goes{i}"))
        .find(|key| {
            let location = cluster.locate(key);
            &*location.server == "s1" && location.node != cluster.locate(&stays).node
        })
        .unwrap();
    let staying = cluster.locate(&stays).node.0;
    let holder = cluster.dedicated(&stays).await.unwrap();
    let waiting = tokio::spawn({
        let (cluster, goes) = (cluster.clone(), goes.clone());
        async move {
            let dedicated = cluster.dedicated(&goes).await.unwrap();
            dedicated
                .query::<()>(cmd("SET").arg(&goes).arg("by hand"))
                .await
                .unwrap();
        }
    });
    let blocking = tokio::spawn({
        let (cluster, goes) = (cluster.clone(), goes.clone());
        async move {
            query::<Option<(String, String)>>(&cluster, &format!("BLPOP {{{goes}}}list 0.05")).await
        }
    });
    // Both wait for the one place.
    tokio::task::yield_now().await;
    cluster
        .reload(config(&ports, settings, move |node| {
            usize::from(node == staying)
        }))
        .await
        .unwrap();
    assert_eq!(&*cluster.locate(&goes).server, "s0");
    holder
        .query::<()>(cmd("SET").arg(&stays).arg("by hand"))
        .await
        .unwrap();
    drop(holder);
    waiting.await.unwrap();
    assert_eq!(blocking.await.unwrap().unwrap(), None);
    let here: i64 = ask(&proxied.fixture.servers[0], &format!("EXISTS {goes}")).await;
    let there: i64 = ask(&proxied.fixture.servers[1], &format!("EXISTS {goes}")).await;
    assert_eq!(
        (here, there),
        (1, 0),
        "a command of the old topology after the reload"
    );
    let blocked: String = ask(&proxied.fixture.servers[1], "INFO commandstats").await;
    assert!(!blocked.contains("blpop"), "{blocked}");
}

#[tokio::test]
async fn a_refused_reload_changes_nothing() {
    let proxied = Proxied::start(2, "").await;
    let ports = ports(&proxied.proxies);
    let halves = |node: u16| usize::from(node % 2);
    let cluster = Cluster::connect_config(config(&ports, PATIENT, halves))
        .await
        .unwrap();
    query::<()>(&cluster, "SET k v").await.unwrap();
    let at = cluster.locate("k");
    let locked = RedisServer::builder().password("secret").start().await;
    let good = |name: &str, algorithm: &str, protocol: &str, port: u16| {
        parse(&format!(
            "name = \"{name}\"\nprotocol = \"{protocol}\"\n[placement]\nalgorithm = \"{algorithm}\"\nnodes = {NODES}\n{PATIENT}\
             [servers.s0]\nurl = \"redis://127.0.0.1:{}\"\nnodes = \"0-15\"\n[servers.s1]\nurl = \"redis://127.0.0.1:{port}\"\nnodes = []\n",
            ports[0]
        ))
    };
    let mut errors = Vec::new();
    for config in [
        good("other", "ketama", "resp2", ports[1]),
        good("test", "jump", "resp2", ports[1]),
        good("test", "ketama", "resp3", ports[1]),
        good("test", "ketama", "resp2", locked.port()),
    ] {
        let error = cluster.reload(config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        errors.push(error.to_string());
        assert_eq!(cluster.locate("k"), at);
    }
    insta::assert_snapshot!(errors.join("\n"), @r#"
    the name differs ("test" before, "other" now): this is another cluster's file
    the placement differs (ketama over 16 nodes before, jump over 16 nodes now): keys would be looked for where they are not. Placement is fixed for the life of the data; only which server a node lives on may change
    the protocol differs: reply shapes would change under the callers; connect anew for that
    server "s1": NOAUTH Authentication required. (the server wants a password: give one in the url or by password_file)
    "#);
    assert_eq!(query::<String>(&cluster, "GET k").await.unwrap(), "v");
    assert!(
        cluster
            .stats()
            .servers
            .iter()
            .all(|server| server.connects == 1)
    );
    eventually(
        "the server that refused us is left alone",
        PATIENCE,
        async || {
            let list: String = ask(&locked, "CLIENT LIST").await;
            list.lines().count() == 1
        },
    )
    .await;
    // The same, allowed.
    cluster
        .reload(good("test", "ketama", "resp2", ports[1]))
        .await
        .unwrap();
    assert_eq!(&*cluster.locate("k").server, "s0");
}

/// Keys of the nodes that [`odd_away`] moves.
fn odd_keys<const N: usize>(cluster: &Cluster) -> [String; N] {
    let keys = (0..).map(|i| format!("k{i}"));
    let odd = keys.filter(|key| cluster.locate(key).node.0 % 2 == 1);
    odd.take(N).collect::<Vec<_>>().try_into().unwrap()
}

fn odd_away(node: u16) -> usize {
    usize::from(node % 2)
}

/// The server's connections end, and no new one is made.
async fn shut(cluster: &Cluster, proxy: &FaultProxy) {
    proxy.refuse(true);
    proxy.cut_all();
    eventually("its connection has ended", PATIENCE, async || {
        !cluster.health().is_ready()
    })
    .await;
}

/// So that a call waits for its connection until the test lets it.
const WAITING: &str = "[timeouts]\nconnect = \"60s\"\nresponse = \"60s\"\n";

#[tokio::test]
async fn a_write_that_names_its_server_is_refused_if_its_key_moves_before_it_is_sent() {
    let proxied = Proxied::start(2, "").await;
    let ports = ports(&proxied.proxies);
    let here = config(&ports, WAITING, |_| 0);
    let cluster = Cluster::connect_config(here).await.unwrap();
    let [single, piped, atomic] = odd_keys(&cluster);
    shut(&cluster, &proxied.proxies[0]).await;
    let call = |cmd: redis::Pipeline| {
        let mut named = cluster.on_server("s0").unwrap();
        async move { cmd.query_async::<Value>(&mut named).await }.boxed()
    };
    let mut calls = [
        {
            let mut named = cluster.on_server("s0").unwrap();
            async move { named.set::<_, _, Value>(single, 1).await }.boxed()
        },
        call(redis::pipe().set(piped, 1).to_owned()),
        call(redis::pipe().atomic().set(atomic, 1).to_owned()),
    ];
    for call in &mut calls {
        assert!(futures::poll!(call).is_pending(), "it waits to be sent");
    }
    let there = config(&ports, WAITING, odd_away);
    assert_eq!(cluster.reload(there).await.unwrap().moved.len(), 8);
    proxied.proxies[0].refuse(false);
    for call in calls {
        let error = call.await.unwrap_err();
        let text = error.to_string();
        let names_it = text.contains("KEYWAY_REFUSED") && text.contains("lives on server \"s1\"");
        assert!(names_it, "{text}");
    }
    for server in &proxied.fixture.servers {
        assert_eq!(ask::<i64>(server, "DBSIZE").await, 0);
    }
}

#[tokio::test]
async fn a_blocking_command_that_names_its_server_ends_as_refused_when_its_key_moves() {
    let proxied = Proxied::start(2, "").await;
    let ports = ports(&proxied.proxies);
    let here = config(&ports, PATIENT, |_| 0);
    let cluster = Cluster::connect_config(here).await.unwrap();
    let [key] = odd_keys(&cluster);
    let waits = tokio::spawn({
        let (named, key) = (cluster.on_server("s0").unwrap(), key.clone());
        async move {
            let blpop = redis::cmd("BLPOP").arg(key).arg(0).to_owned();
            named.query::<Option<(String, String)>>(&blpop).await
        }
    });
    eventually("it blocks", PATIENCE, async || {
        let info: String = ask(&proxied.fixture.servers[0], "INFO clients").await;
        info.contains("blocked_clients:1")
    })
    .await;
    let there = config(&ports, PATIENT, odd_away);
    cluster.reload(there).await.unwrap();
    // What comes to the old server after the reload is not this caller's.
    let pushed: i64 = ask(&proxied.fixture.servers[0], &format!("RPUSH {key} x")).await;
    assert_eq!(pushed, 1);
    let error = waits.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let left: i64 = ask(&proxied.fixture.servers[0], &format!("LLEN {key}")).await;
    assert_eq!(left, 1);
}

#[tokio::test]
async fn a_write_that_names_its_server_goes_to_the_address_that_this_server_has_when_it_is_sent() {
    let proxied = Proxied::start(2, "").await;
    let ports = ports(&proxied.proxies);
    let at = |port: u16| config(&[port], WAITING, |_| 0);
    let cluster = Cluster::connect_config(at(ports[0])).await.unwrap();
    shut(&cluster, &proxied.proxies[0]).await;
    let mut named = cluster.on_server("s0").unwrap();
    let mut call = async move { named.set::<_, _, Value>("k", 1).await }.boxed();
    assert!(
        futures::poll!(&mut call).is_pending(),
        "it waits to be sent"
    );
    cluster.reload(at(ports[1])).await.unwrap();
    proxied.proxies[0].refuse(false);
    call.await.unwrap();
    for (server, keys) in proxied.fixture.servers.iter().zip([0, 1]) {
        assert_eq!(ask::<i64>(server, "DBSIZE").await, keys);
    }
}
