//! Surveys of live clusters against what is really there.

use crate::fixture::{RedisServer, TestCluster, cluster_toml, parse, seeded};
use keyway::Config;
use keyway::inspect::Answer;
use keyway::survey::{
    CalibrateError, CalibrateOptions, Calibration, Estimate, Options, Progress, Requests, Survey,
    SurveyError, UnknownSizes, calibrate, sample_keys, survey,
};
use redis::AsyncCommands;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Nothing here may be late, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    options.timeout = PATIENCE;
    change(&mut options);
    options
}

async fn look(config: &Config, change: impl FnOnce(&mut Options)) -> Survey {
    survey(config, &options(change), |_| {}).await.unwrap()
}

async fn exactly(config: &Config) -> Survey {
    look(config, |options| options.exact = true).await
}

/// Keys `user:0` and on, by way of the client; returns how many belong to each node.
async fn fill(fixture: &TestCluster, keys: usize) -> Vec<u64> {
    let (config, mut redis) = (fixture.config(), fixture.connect_patiently().await);
    let pairs: Vec<(String, usize)> = (0..keys).map(|i| (format!("user:{i}"), i)).collect();
    let mut counts = vec![0; config.placement().node_count()];
    for piece in pairs.chunks(10_000) {
        let _: () = redis.mset(piece).await.unwrap();
        for (key, _) in piece {
            counts[config.placement().node(key.as_bytes()).index()] += 1;
        }
    }
    counts
}

/// As one script, which is quicker than any client.
async fn run_script(server: &RedisServer, script: &str) {
    let mut redis = server.connection().await;
    let _: () = redis::cmd("EVAL")
        .arg(script)
        .arg(0)
        .query_async(&mut redis)
        .await
        .unwrap();
}

async fn dbsize(server: &RedisServer) -> u64 {
    let mut redis = server.connection().await;
    redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap()
}

fn node_keys(survey: &Survey) -> Vec<u64> {
    let keys = |estimate: Option<Estimate>| estimate.unwrap().value;
    survey.nodes.iter().map(|node| keys(node.keys)).collect()
}

#[tokio::test]
async fn an_exact_survey_counts_every_key_and_every_byte() {
    let fixture = TestCluster::start(3).await;
    let counts = fill(&fixture, 5_000).await;
    let (expected, looked) = (Cell::new(0), Cell::new(0));
    let survey = survey(
        &fixture.config(),
        &options(|options| options.exact = true),
        |step| match step {
            Progress::Expected(keys) => expected.set(expected.get() + keys),
            Progress::Looked(keys) => looked.set(looked.get() + keys),
            _ => {}
        },
    )
    .await
    .unwrap();
    assert_eq!((expected.get(), looked.get()), (5_000, 5_000));
    assert!(survey.is_complete);
    assert_eq!(survey.looked_at, 5_000);
    assert_eq!(node_keys(&survey), counts);
    assert_eq!(survey.notes, Vec::<String>::new());
    let mut bytes = 0;
    for (server, real) in survey.servers.iter().zip(&fixture.servers) {
        let held = server.held.as_ref().unwrap();
        assert_eq!(held.keys, dbsize(real).await);
        assert_eq!(held.misplaced_keys.value, 0);
        let of_nodes: u64 = survey
            .nodes
            .iter()
            .filter(|node| node.server == server.state.name)
            .map(|node| node.bytes.unwrap().value)
            .sum();
        assert_eq!(held.bytes.unwrap().value, of_nodes);
        assert_eq!(held.bytes.unwrap().relative_error(), 0.0);
        bytes += of_nodes;
    }
    // As the server counts them itself.
    let mut redis = fixture.servers[0].connection().await;
    let keys: Vec<String> = redis.keys("*").await.unwrap();
    let mut pipe = redis::pipe();
    for key in &keys {
        pipe.cmd("MEMORY").arg("USAGE").arg(key);
    }
    let usages: Vec<u64> = pipe.query_async(&mut redis).await.unwrap();
    let held = survey.servers[0].held.as_ref().unwrap();
    assert_eq!(held.bytes.unwrap().value, usages.iter().sum::<u64>());

    let sizes = survey.sizes().unwrap();
    assert_eq!(sizes.relative_error, 0.0);
    assert_eq!((sizes.total().keys, sizes.total().bytes), (5_000, bytes));
    let spread = survey.evenness.nodes_keys.unwrap();
    let most = *counts.iter().max().unwrap() as f64;
    assert!((spread.max_over_mean - most / (5_000.0 / 64.0)).abs() < 1e-9);
    assert_eq!(spread.sampling_sd, 0.0);
    let json = serde_json::to_string(&survey).unwrap();
    let back: Survey = serde_json::from_str(&json).unwrap();
    assert_eq!(back.servers.len(), 3);
    assert_eq!(node_keys(&back), counts);
}

/// The sampling itself: SCAN from random places of a real server's table, whose hash has a random seed.
#[tokio::test]
async fn ninety_three_of_a_hundred_intervals_hold_the_truth_for_keys_of_uneven_sizes() {
    let mut rng = seeded("intervals");
    fastrand::seed(rng.u64(..));
    let fixture = TestCluster::start(1).await;
    // Sizes from 1 B to 2 KiB, and names that go with them: a scan by name would be far from fair.
    let fill = "for i = 1, 100000 do local size = 2 ^ math.floor(i / 9000) \
                redis.call('SET', 'k:' .. i, string.rep('x', size)) end";
    run_script(&fixture.servers[0], fill).await;
    let config = fixture.config();
    let truth = exactly(&config).await;
    assert_eq!(truth.looked_at, 100_000);
    const RUNS: usize = 100;
    let (mut keys_held, mut bytes_held, mut server_held) = (0, 0, 0);
    let mut errors = 0.0;
    for _ in 0..RUNS {
        let survey = look(&config, |options| options.sample = 1_000).await;
        assert!(!survey.is_complete && survey.looked_at < 1_600);
        let holds = |estimate: Option<Estimate>, truth: Option<Estimate>| {
            let (estimate, truth) = (estimate.unwrap(), truth.unwrap().value);
            usize::from((estimate.low..=estimate.high).contains(&truth))
        };
        for (node, truth) in survey.nodes.iter().zip(&truth.nodes) {
            keys_held += holds(node.keys, truth.keys);
            bytes_held += holds(node.bytes, truth.bytes);
        }
        let bytes = |survey: &Survey| survey.servers[0].held.as_ref().unwrap().bytes;
        server_held += holds(bytes(&survey), bytes(&truth));
        errors += bytes(&survey).unwrap().value as f64 / bytes(&truth).unwrap().value as f64 - 1.0;
    }
    let all = (RUNS * 64) as f64;
    let (keys, bytes) = (keys_held as f64 / all, bytes_held as f64 / all);
    assert!(keys >= 0.93, "keys: {keys}");
    assert!(bytes >= 0.93, "bytes: {bytes}");
    // 95 of 100 on average: 88 has a chance of one in 200.
    assert!(server_held >= 86, "bytes of the server: {server_held}");
    // No bias: the mean of all runs is within four standard errors of a run's some 6 %.
    let bias = errors / RUNS as f64;
    assert!(bias.abs() < 0.025, "bias {bias}");
}

#[tokio::test]
async fn a_table_that_is_growing_is_sampled_as_fairly() {
    let server = RedisServer::builder()
        .arg("--activerehashing", "no")
        .start()
        .await;
    // Just past a power of two: some of the keys are in the old table, the others in the new one, and every question moves a few.
    let fill = "for i = 1, 65537 do redis.call('SET', 'k:' .. i, '') end";
    run_script(&server, fill).await;
    let config = parse(&cluster_toml("", 64, &[server.port()]));
    let mut truth = vec![0; 64];
    for i in 1..=65_537 {
        let node = config.placement().node(format!("k:{i}").as_bytes());
        truth[node.index()] += 1;
    }
    const RUNS: usize = 20;
    let mut held = 0;
    for _ in 0..RUNS {
        let survey = look(&config, |options| options.sample = 500).await;
        let surveyed = survey.nodes.iter().zip(&truth);
        held += surveyed
            .filter(|(node, truth)| {
                let keys = node.keys.unwrap();
                (keys.low..=keys.high).contains(truth)
            })
            .count();
    }
    let part = held as f64 / (RUNS * 64) as f64;
    assert!(part >= 0.92, "{part}");
}

#[tokio::test]
async fn a_dead_server_is_told_and_does_not_stop_the_others() {
    let mut fixture = TestCluster::start(3).await;
    let counts = fill(&fixture, 3_000).await;
    let config = fixture.config();
    fixture.servers[1].kill();
    let survey = exactly(&config).await;
    assert!(!survey.is_complete);
    let failures: Vec<(&str, &str)> = survey.failures().collect();
    assert!(
        matches!(failures[..], [("s1", why)] if why.contains("refused")),
        "{failures:?}"
    );
    assert!(survey.servers[1].held.is_none());
    for (node, count) in survey.nodes.iter().zip(counts) {
        match &*node.server {
            "s1" => assert_eq!((node.keys, node.bytes, node.load), (None, None, None)),
            _ => assert_eq!(node.keys.unwrap().value, count),
        }
    }
    // Two servers are left, and are held against each other.
    let loads: f64 = survey
        .servers
        .iter()
        .filter_map(|server| Some(server.held.as_ref()?.load.keys))
        .sum();
    assert!((loads - 2.0).abs() < 1e-9, "{loads}");
    let error = survey.sizes().unwrap_err();
    assert!(
        matches!(&error, UnknownSizes::Server { server, .. } if server == "s1"),
        "{error}"
    );
    assert!(
        survey
            .notes
            .iter()
            .any(|note| note.starts_with("s1 could not be looked at: its")),
        "{:?}",
        survey.notes
    );
}

#[tokio::test]
async fn a_server_that_stops_answering_costs_one_deadline() {
    let fixture = TestCluster::start(2).await;
    fill(&fixture, 1_000).await;
    fixture.servers[0].stop();
    let begin = Instant::now();
    let survey = look(&fixture.config(), |options| {
        options.timeout = Duration::from_secs(3);
    })
    .await;
    let took = begin.elapsed();
    fixture.servers[0].resume();
    // One deadline is 3 s, and the other server's keys take many questions.
    assert!(took < Duration::from_secs(20), "{took:?}");
    let failures: Vec<(&str, &str)> = survey.failures().collect();
    assert!(
        matches!(failures[..], [("s0", why)] if why.contains("no answer within 3s")),
        "{failures:?}"
    );
}

#[tokio::test]
async fn a_wrong_password_is_told_as_such() {
    let server = RedisServer::builder().password("right").start().await;
    let toml = cluster_toml("", 4, &[server.port()]).replace("redis://", "redis://:wrong@");
    let survey = look(&parse(&toml), |_| {}).await;
    assert!(matches!(
        survey.servers[0].state.answer,
        Answer::Refused { .. }
    ));
    let failures: Vec<(&str, &str)> = survey.failures().collect();
    assert!(
        matches!(failures[..], [("s0", why)] if why.contains("WRONGPASS")),
        "{failures:?}"
    );
    assert!(!format!("{survey:?}").contains("wrong@"));
}

#[tokio::test]
async fn a_user_without_memory_usage_learns_keys_and_what_is_missing_for_bytes() {
    let server = RedisServer::builder()
        .user_acl("reader on >secret ~* +@all -memory")
        .start()
        .await;
    run_script(&server, "for i = 1, 100 do redis.call('SET', i, i) end").await;
    let toml = cluster_toml("", 4, &[server.port()]).replace("redis://", "redis://reader:secret@");
    let survey = exactly(&parse(&toml)).await;
    assert_eq!(node_keys(&survey).iter().sum::<u64>(), 100);
    assert!(survey.nodes.iter().all(|node| node.bytes.is_none()));
    assert_eq!(survey.evenness.servers_bytes, None);
    assert_eq!(survey.servers[0].held.as_ref().unwrap().load.bytes, None);
    let error = survey.sizes().unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("ACL SETUSER reader +memory|usage"),
        "{error}"
    );
    assert!(survey.notes[0].contains("NOPERM"), "{:?}", survey.notes);
}

#[tokio::test]
async fn misplaced_keys_and_those_of_keyway_are_counted_apart() {
    let fixture = TestCluster::start(2).await;
    fill(&fixture, 2_000).await;
    for server in &fixture.servers {
        let script = "for i = 1, 30 do redis.call('SET', 'keyway:' .. i, 1) end";
        run_script(server, script).await;
    }
    let right = exactly(&fixture.config()).await;
    assert_eq!(node_keys(&right).iter().sum::<u64>(), 2_000);
    assert_eq!(right.looked_at, 2_060);

    let mut ports = fixture.ports();
    ports.reverse();
    let exchanged = parse(&cluster_toml("", 64, &ports));
    let survey = exactly(&exchanged).await;
    assert_eq!(node_keys(&survey).iter().sum::<u64>(), 0);
    let misplaced: u64 = survey
        .servers
        .iter()
        .map(|server| server.held.as_ref().unwrap().misplaced_keys.value)
        .sum();
    assert_eq!(misplaced, 2_000);
    assert_eq!(
        survey
            .notes
            .iter()
            .filter(|note| note.contains("belong to nodes of other servers"))
            .count(),
        2,
        "{:?}",
        survey.notes
    );
}

#[tokio::test]
async fn an_empty_cluster_has_nothing_and_one_node_has_all() {
    let fixture = TestCluster::start(2).await;
    let survey = look(&fixture.config(), |_| {}).await;
    assert!(survey.is_complete);
    assert_eq!(survey.looked_at, 0);
    assert_eq!(survey.evenness.servers_keys, None);
    assert_eq!(survey.evenness.nodes_bytes, None);
    assert_eq!(survey.sizes().unwrap().total().keys, 0);
    assert_eq!(survey.advice(), Vec::<String>::new());
    assert!(survey.biggest_keys.is_empty());

    let fixture = TestCluster::with_nodes(1, 1).await;
    fill(&fixture, 300).await;
    let survey = look(&fixture.config(), |_| {}).await;
    assert!(survey.is_complete, "fewer keys than the sample");
    assert_eq!(node_keys(&survey), [300]);
    assert_eq!(survey.nodes[0].load.unwrap().keys, 1.0);
    assert_eq!(survey.advice(), ["s0 has all there is."]);
}

#[tokio::test]
async fn a_placement_without_homes_is_refused_before_anything_is_asked() {
    // Nobody listens at these ports.
    let toml = cluster_toml("", 2, &[1, 2]).replace("\"ketama\"", "\"nydus-round-robin\"");
    let error = survey(&parse(&toml), &Options::default(), |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, SurveyError::NoHomes(_)));
    insta::assert_snapshot!(error, @"by nydus-round-robin no key has a home: any server may have any key, so there are no nodes to survey. `keyway stats` shows the keys of each server");
}

#[tokio::test]
async fn requests_by_node_and_hot_keys_are_known_where_servers_count_them() {
    let lfu = || {
        RedisServer::builder()
            .arg("--maxmemory-policy", "allkeys-lfu")
            .arg("--maxmemory", "1gb")
            .start()
    };
    let servers = [lfu().await, lfu().await];
    let ports = [servers[0].port(), servers[1].port()];
    let config = parse(&cluster_toml("", 64, &ports));
    let node = config.placement().node(b"hot");
    let home = config.topology().server_of(node).index();
    let script = "for i = 1, 200 do redis.call('SET', 'k:' .. i, i) end";
    run_script(&servers[home], script).await;
    let heat = "redis.call('SET', 'hot', 1) for i = 1, 50000 do redis.call('GET', 'hot') end";
    run_script(&servers[home], heat).await;

    let survey = exactly(&config).await;
    assert_eq!(survey.requests, Requests::ByCounters);
    assert_eq!(survey.hottest_keys[0].key, "hot");
    assert_eq!(survey.hottest_keys[0].node, Some(node));
    // The counter is random: 50,000 accesses bring it to about 100, give or take some 5 %, which is 10 % of the accesses.
    let accesses = survey.hottest_keys[0].accesses.unwrap();
    assert!((30_000..80_000).contains(&accesses), "{accesses}");
    let part = |node: keyway::NodeId| survey.nodes[node.index()].requests.unwrap();
    assert!(part(node) > 0.9, "{}", part(node));
    let all: f64 = survey.nodes.iter().filter_map(|node| node.requests).sum();
    assert!((all - 1.0).abs() < 1e-9, "{all}");

    // One that does not count makes parts of all unknown.
    let mut redis = servers[1 - home].connection().await;
    let _: () = redis::cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory-policy")
        .arg("noeviction")
        .query_async(&mut redis)
        .await
        .unwrap();
    let survey = exactly(&config).await;
    assert!(matches!(&survey.requests, Requests::No { why } if why.contains("does not count")));
    assert!(survey.nodes.iter().all(|node| node.requests.is_none()));
    assert_eq!(
        survey.hottest_keys[0].key, "hot",
        "keys are known all the same"
    );

    // Without a limit keys share counters, so they say nothing.
    for server in &servers {
        let mut redis = server.connection().await;
        for (setting, value) in [("maxmemory-policy", "allkeys-lfu"), ("maxmemory", "0")] {
            let mut set = redis::cmd("CONFIG");
            set.arg("SET").arg(setting).arg(value);
            let _: () = set.query_async(&mut redis).await.unwrap();
        }
    }
    let survey = exactly(&config).await;
    assert!(matches!(&survey.requests, Requests::No { why } if why.contains("maxmemory is set")));
    assert!(survey.hottest_keys.is_empty());
}

#[tokio::test]
async fn a_survey_writes_nothing_and_leaves_what_eviction_goes_by_as_it_is() {
    let server = RedisServer::builder()
        .arg("--maxmemory-policy", "allkeys-lfu")
        .arg("--maxmemory", "1gb")
        .start()
        .await;
    run_script(&server, "for i = 1, 100 do redis.call('SET', i, i) end").await;
    let mut redis = server.connection().await;
    let _: () = redis::cmd("CONFIG")
        .arg("RESETSTAT")
        .query_async(&mut redis)
        .await
        .unwrap();
    let config = parse(&cluster_toml("", 4, &[server.port()]));
    for _ in 0..30 {
        exactly(&config).await;
    }
    let info: String = redis::cmd("INFO")
        .arg("all")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(info.contains("cmdstat_memory|usage:calls=3000"), "{info}");
    assert!(info.contains("cmdstat_object|freq:calls=3000"), "{info}");
    let allowed = [
        "info",
        "scan",
        "dbsize",
        "memory|usage",
        "object|freq",
        "config|get",
        "config|resetstat",
        "client|list",
        "client|setinfo",
        "acl|whoami",
        "ping",
        "time",
        "command",
        "select",
    ];
    for line in info
        .lines()
        .filter_map(|line| line.strip_prefix("cmdstat_"))
    {
        let command = line.split(':').next().unwrap();
        assert!(allowed.contains(&command), "{command}");
    }
    // 30 surveys that touched them would have brought these counters from 5 up.
    let mut pipe = redis::pipe();
    for i in 1..=100 {
        pipe.cmd("OBJECT").arg("FREQ").arg(i);
    }
    let counters: Vec<u64> = pipe.query_async(&mut redis).await.unwrap();
    assert!(counters.iter().all(|&counter| counter <= 5), "{counters:?}");
}

#[tokio::test]
async fn a_giant_that_the_sample_has_missed_is_suspected_by_the_servers_memory() {
    let server = RedisServer::start().await;
    let fill = "for i = 1, 30000 do redis.call('SET', 'k:' .. i, '') end \
                redis.call('SET', 'giant', string.rep('x', 30000000))";
    run_script(&server, fill).await;
    let config = parse(&cluster_toml("", 64, &[server.port()]));
    let survey = look(&config, |options| options.sample = 500).await;
    let suspects = |survey: &Survey| survey.notes.iter().any(|note| note.contains("much bigger"));
    // One sample in thirty meets it.
    let has_met = survey.biggest_keys[0].key == "giant";
    assert_eq!(suspects(&survey), !has_met, "{:?}", survey.notes);
    let exact = exactly(&config).await;
    assert_eq!(exact.biggest_keys[0].key, "giant");
    assert!(!suspects(&exact));
    assert!(
        exact
            .advice()
            .iter()
            .any(|advice| advice.contains("\"giant\"")),
        "{:?}",
        exact.advice()
    );
}

#[tokio::test]
async fn the_whole_of_a_server_has_a_deadline_and_what_was_seen_by_then_is_a_sample() {
    let fixture = TestCluster::start(1).await;
    let fill = "for i = 1, 50000 do redis.call('SET', 'k:' .. i, '') end";
    run_script(&fixture.servers[0], fill).await;
    let config = fixture.config();
    // As short as lets this machine, at this moment, see anything.
    let mut deadline = Duration::from_millis(1);
    let survey = loop {
        let survey = look(&config, |options| {
            options.exact = true;
            options.server_time_max = deadline;
        })
        .await;
        assert!(!survey.is_complete, "{deadline:?}");
        if survey.looked_at > 0 {
            break survey;
        }
        deadline *= 2;
    };
    assert!(
        survey.looked_at > 0 && survey.looked_at < 50_000,
        "{}",
        survey.looked_at
    );
    let total: u64 = node_keys(&survey).iter().sum();
    assert!((49_000..=51_000).contains(&total), "{total}");
}

/// Everything that servers keep, to see whether a calibration has left something.
async fn all_keys(servers: &[RedisServer]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for server in servers {
        let mut keys: Vec<String> = server.connection().await.keys("*").await.unwrap();
        keys.sort_unstable();
        all.push(keys);
    }
    all
}

fn calibrate_options(change: impl FnOnce(&mut CalibrateOptions)) -> CalibrateOptions {
    let mut options = CalibrateOptions::default();
    options.timeout = PATIENCE;
    change(&mut options);
    options
}

fn is_measured(calibration: &Calibration, field: &str) -> bool {
    let mut figures = calibration.figures.iter();
    figures
        .find(|figure| figure.field == field)
        .unwrap_or_else(|| panic!("{field}: {calibration:?}"))
        .is_measured
}

#[tokio::test]
async fn a_calibration_reads_what_it_can_and_says_what_it_assumes() {
    let fixture = TestCluster::start(2).await;
    fill(&fixture, 5_000).await;
    let mut redis = fixture.servers[0].connection().await;
    let _: () = redis::cmd("CONFIG")
        .arg("RESETSTAT")
        .query_async(&mut redis)
        .await
        .unwrap();
    let begin = Instant::now();
    let calibration = calibrate(&fixture.config(), &calibrate_options(|_| {}), |_| {})
        .await
        .unwrap();
    let took = begin.elapsed();
    assert_eq!(calibration.failures().count(), 0, "{calibration:?}");
    for field in [
        "round_trip_us",
        "scan_keys_per_s",
        "connections",
        "sync_delay_ms",
    ] {
        assert!(is_measured(&calibration, field), "{field}");
    }
    for field in ["remove_keys_per_s", "split_work_us", "load"] {
        assert!(!is_measured(&calibration, field), "{field}");
    }
    for server in &calibration.servers {
        // What was done at least, within all the time that there was: nothing is slower than that.
        let at_least = |count: f64| (count / took.as_secs_f64()) as u64;
        assert!(u128::from(server.round_trip_us.unwrap()) <= took.as_micros());
        assert!(server.wire_bytes_per_s.unwrap() >= at_least(2_097_152.0));
        assert!(server.read_keys_per_s.unwrap() >= at_least(100.0));
        assert!(server.client_list_us.is_some());
        assert_eq!(server.install_keys_per_s, None);
        // What the fixture sets is the delay itself.
        assert_eq!(server.sync_delay_ms, Some(0));
    }
    assert_eq!(calibration.pace.check(), Ok(()));
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut redis)
        .await
        .unwrap();
    for write in [
        "cmdstat_restore",
        "cmdstat_set:",
        "cmdstat_unlink",
        "cmdstat_del:",
    ] {
        assert!(!info.contains(write), "{info}");
    }
}

#[tokio::test]
async fn a_calibration_that_writes_leaves_nothing_behind() {
    let fixture = TestCluster::start(2).await;
    fill(&fixture, 3_000).await;
    let before = all_keys(&fixture.servers).await;
    let options = calibrate_options(|options| options.write_to = Some("s1".to_owned()));
    let begin = Instant::now();
    let calibration = calibrate(&fixture.config(), &options, |_| {})
        .await
        .unwrap();
    let took = begin.elapsed();
    assert_eq!(calibration.failures().count(), 0, "{calibration:?}");
    assert!(is_measured(&calibration, "install_keys_per_s"));
    assert!(is_measured(&calibration, "remove_keys_per_s"));
    let at_least = (100.0 / took.as_secs_f64()) as u64;
    assert!(calibration.servers[1].install_keys_per_s.unwrap() >= at_least);
    assert_eq!(calibration.servers[0].install_keys_per_s, None);
    assert_eq!(all_keys(&fixture.servers).await, before);

    let nowhere = calibrate_options(|options| options.write_to = Some("s9".to_owned()));
    let error = calibrate(&fixture.config(), &nowhere, |_| {})
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no server s9: the file has s0, s1"
    );
}

#[tokio::test]
async fn a_calibration_whose_writes_fail_half_way_removes_what_it_wrote() {
    let source = RedisServer::start().await;
    let fill = "for i = 1, 2000 do redis.call('SET', i, i) end";
    run_script(&source, fill).await;
    // RESTORE is refused of every tenth name; UNLINK of none.
    let rules = "mover on >secret ~* +@all -restore (+restore ~keyway:calibrate:*[0-8])";
    let full = RedisServer::builder().user_acl(rules).start().await;
    let url = format!("redis://127.0.0.1:{}", full.port());
    let as_mover = format!("redis://mover:secret@127.0.0.1:{}", full.port());
    let toml = cluster_toml("", 2, &[source.port(), full.port()]).replace(&url, &as_mover);
    let options = calibrate_options(|options| options.write_to = Some("s1".to_owned()));
    let calibration = calibrate(&parse(&toml), &options, |_| {}).await.unwrap();
    let failures: Vec<(&str, &str)> = calibration.failures().collect();
    assert!(
        matches!(failures[..], [("s1", why)] if why.starts_with("RESTORE: NOPERM")),
        "{failures:?}"
    );
    // Not of the pace: where reading alone is slower than its default, as on a busy machine, that is measured.
    assert_eq!(calibration.servers[1].install_keys_per_s, None);
    assert_eq!(calibration.servers[1].remove_keys_per_s, None);
    let mut redis = full.connection().await;
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(
        info.contains("cmdstat_restore:calls="),
        "some were written: {info}"
    );
    assert_eq!(dbsize(&full).await, 0);
}

#[tokio::test]
async fn a_calibration_writes_nothing_where_keys_could_be_evicted_and_passes_over_dead_servers() {
    let small = RedisServer::builder()
        .arg("--maxmemory", "30mb")
        .start()
        .await;
    let mut dead = RedisServer::start().await;
    run_script(&small, "for i = 1, 500 do redis.call('SET', i, i) end").await;
    let config = parse(&cluster_toml("", 2, &[small.port(), dead.port()]));
    dead.kill();
    let options = calibrate_options(|options| options.write_to = Some("s0".to_owned()));
    let calibration = calibrate(&config, &options, |_| {}).await.unwrap();
    let failures: Vec<(&str, &str)> = calibration.failures().collect();
    assert!(
        matches!(failures[..], [("s0", full), ("s1", gone)]
            if full.contains("nothing was written") && gone.contains("refused")),
        "{failures:?}"
    );
    assert!(is_measured(&calibration, "round_trip_us"));
    assert!(calibration.to_toml().contains("\n# s1 is not in it"));
    drop(small);
    let error = calibrate(&config, &calibrate_options(|_| {}), |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error, CalibrateError::NoServer { .. }), "{error}");
}

#[tokio::test]
async fn a_giant_is_not_read_by_a_calibration() {
    let server = RedisServer::start().await;
    let fill = "for i = 1, 300 do redis.call('SET', i, string.rep('x', 10 * i)) end \
                for i = 1, 20 do redis.call('SET', 'big:' .. i, string.rep('x', 100000)) end";
    run_script(&server, fill).await;
    let config = parse(&cluster_toml("", 2, &[server.port()]));
    let calibration = calibrate(&config, &calibrate_options(|_| {}), |_| {})
        .await
        .unwrap();
    assert!(calibration.servers[0].read_keys_per_s.is_some());
    let mut redis = server.connection().await;
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert!(info.contains("cmdstat_dump:calls=300,"), "{info}");
}

#[tokio::test]
async fn keys_are_drawn_from_each_server_as_it_has_of_all() {
    let mut fixture = TestCluster::start(2).await;
    // Three quarters of the nodes on one of them.
    let uneven = fixture
        .toml()
        .replace("0-31", "0-47")
        .replace("32-63", "48-63");
    let config = parse(&uneven);
    let mut redis = keyway::Cluster::connect_config(config.clone())
        .await
        .unwrap()
        .with_timeout(PATIENCE);
    let pairs: Vec<(String, usize)> = (0..8_000).map(|i| (format!("user:{i}"), i)).collect();
    let _: () = redis.mset(&pairs).await.unwrap();
    run_script(&fixture.servers[0], "redis.call('SET', 'keyway:x', 1)").await;
    // It belongs to the other one.
    let stranger = (0..).map(|i| format!("stranger:{i}"));
    let mut strangers = stranger.filter(|key| config.placement().node(key.as_bytes()).0 > 47);
    let mut first = fixture.servers[0].connection().await;
    let _: () = first.set(strangers.next().unwrap(), 1).await.unwrap();

    let drawn = sample_keys(&config, &options(|options| options.sample = 1_000), |_| {})
        .await
        .unwrap();
    assert_eq!(drawn.of, 8_002);
    assert!(
        (1_000..=1_001).contains(&drawn.keys.len()),
        "{}",
        drawn.keys.len()
    );
    assert!(
        drawn
            .keys
            .iter()
            .all(|(key, bytes)| key.starts_with(b"user:") && *bytes > Some(40))
    );
    let on_first = |key: &[u8]| config.placement().node(key).0 <= 47;
    let share = |keys: &mut dyn Iterator<Item = &[u8]>| keys.filter(|key| on_first(key)).count();
    let there = share(&mut pairs.iter().map(|(key, _)| key.as_bytes()));
    let in_sample = share(&mut drawn.keys.iter().map(|(key, _)| key.as_slice()));
    assert!(in_sample.abs_diff(there / 8) <= 2, "{in_sample} of {there}");

    let all = sample_keys(&config, &options(|options| options.exact = true), |_| {})
        .await
        .unwrap();
    let mut keys: Vec<Vec<u8>> = all.keys.into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    let mut expected: Vec<Vec<u8>> = pairs.into_iter().map(|(key, _)| key.into()).collect();
    expected.sort_unstable();
    assert_eq!(keys, expected);

    fixture.servers[1].kill();
    let some = sample_keys(&config, &options(|_| {}), |_| {})
        .await
        .unwrap();
    assert_eq!(some.failures.len(), 1);
    assert_eq!(some.failures[0].0, "s1");
    assert_eq!(some.keys.len(), there);
}
