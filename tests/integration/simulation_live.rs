//! Predictions of the simulation against what real servers then have: exact.

use crate::fixture::{RedisServer, TestCluster, parse};
use futures::StreamExt;
use keyway::plan::{Goal, Limits, Plan, ServerSpec, Sizes};
use keyway::simulation::report::{Report, StageReport};
use keyway::simulation::{self, Keys, Scenario, Server, Step};
use keyway::survey::{Options, survey};
use keyway::{Cluster, Config, NodeId};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const SEED: u64 = 7;

/// The made keys of a scenario's first repeat, written down a second time from the specification in `simulation::workload`.
fn made_keys(seed: u64, count: u64) -> impl Iterator<Item = String> {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    fn finalise(z: u64) -> u64 {
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    let base = finalise(
        finalise(finalise(seed.wrapping_add(GOLDEN)).wrapping_add(GOLDEN)).wrapping_add(GOLDEN),
    );
    (0..count).map(move |i| {
        let number = finalise(base.wrapping_add((i + 1).wrapping_mul(GOLDEN)));
        format!("user:{number}")
    })
}

/// Loads them through the client, as MSETs of 500 keys, of which some are under way at a time.
async fn load(cluster: &Cluster, keys: impl Iterator<Item = String>) {
    let mut keys = keys.peekable();
    let pieces = std::iter::from_fn(move || {
        keys.peek()?;
        let mut mset = redis::cmd("MSET");
        for key in keys.by_ref().take(500) {
            mset.arg(key).arg("");
        }
        Some(mset)
    });
    futures::stream::iter(pieces)
        .map(|mset| async move { cluster.query::<()>(&mset).await })
        .buffer_unordered(16)
        .for_each(async |reply| reply.unwrap())
        .await;
}

async fn dbsizes(servers: &[RedisServer]) -> Vec<u64> {
    let size = async |server: &RedisServer| {
        let mut redis = server.connection().await;
        redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap()
    };
    futures::future::join_all(servers.iter().map(size)).await
}

fn simulate(scenario: Scenario) -> Report {
    simulation::run(&scenario, &mut simulation::uninterrupted).unwrap()
}

/// Keys of every server, by the names in the configuration.
fn predicted(stage: &StageReport, config: &Config, keys: u64) -> Vec<u64> {
    let of_server = |name: &str| {
        let mut shares = stage.servers.iter();
        let share = shares.find(|share| share.server == name).unwrap();
        whole(share.keys.mean * keys as f64)
    };
    config
        .servers()
        .iter()
        .map(|server| of_server(&server.name))
        .collect()
}

/// A fraction of all keys is a number of keys.
fn whole(keys: f64) -> u64 {
    assert!((keys - keys.round()).abs() < 1e-6, "{keys}");
    keys.round() as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_keys_are_on_the_servers_where_the_simulation_has_them() {
    const KEYS: u64 = 1_000_000;
    let fixture = TestCluster::start(5).await;
    let config = fixture.config();
    let scenario = Scenario::builder()
        .cluster(&config)
        .seed(SEED)
        .repeats(1)
        .keys(Keys::made(KEYS))
        .build()
        .unwrap();
    let report = tokio::task::spawn_blocking(|| simulate(scenario));
    load(&fixture.connect_patiently().await, made_keys(SEED, KEYS)).await;
    let report = report.await.unwrap();
    let sizes = dbsizes(&fixture.servers).await;
    assert_eq!(sizes.iter().sum::<u64>(), KEYS);
    assert_eq!(
        predicted(&report.schemes[0].stages[0], &config, KEYS),
        sizes
    );
}

/// One node per server, as twemproxy places keys: by what its nutcracker.yml calls them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_where_the_simulation_has_them_by_a_plain_ring_too() {
    const KEYS: u64 = 1_000_000;
    let fixture = TestCluster::with_nodes(4, 4).await;
    let names: Vec<String> = fixture
        .servers
        .iter()
        .map(|server| format!("\"{}\"", server.address()))
        .collect();
    let placement = format!(
        "algorithm = \"twemproxy-ketama\"\nnames = [{}]",
        names.join(", ")
    );
    let toml = fixture
        .toml()
        .replace("algorithm = \"ketama\"\nnodes = 4", &placement);
    let config = parse(&toml);
    let mut scenario = Scenario::builder()
        .seed(SEED)
        .repeats(1)
        .keys(Keys::made(KEYS))
        .scheme("twemproxy-ketama".parse().unwrap());
    for server in config.servers() {
        let mut simulated = Server::new(server.name.clone());
        simulated.address = Some(server.endpoint.address.to_string());
        scenario = scenario.server(simulated);
    }
    let report = simulate(scenario.build().unwrap());
    let cluster = Cluster::connect_config(config.clone())
        .await
        .unwrap()
        .with_timeout(PATIENCE);
    load(&cluster, made_keys(SEED, KEYS)).await;
    let sizes = dbsizes(&fixture.servers).await;
    assert_eq!(
        predicted(&report.schemes[0].stages[0], &config, KEYS),
        sizes
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_that_a_new_server_would_get_are_those_counted_on_the_nodes_that_would_move() {
    const KEYS: u64 = 100_000;
    let fixture = TestCluster::start(5).await;
    let config = fixture.config();
    let scenario = Scenario::builder()
        .cluster(&config)
        .seed(SEED)
        .repeats(1)
        .keys(Keys::made(KEYS))
        .step(Step::Add(vec![Server::new("new")]))
        .build()
        .unwrap();
    let report = simulate(scenario);
    load(&fixture.connect_patiently().await, made_keys(SEED, KEYS)).await;

    let mut options = Options::default();
    options.exact = true;
    options.timeout = PATIENCE;
    let found = survey(&config, &options, |_| {}).await.unwrap();
    let sizes = found.sizes().unwrap();
    assert!(found.is_complete);
    let mut counts = vec![0; 64];
    for key in made_keys(SEED, KEYS) {
        counts[config.placement().node(key.as_bytes()).index()] += 1;
    }
    let keys: Vec<u64> = sizes.nodes.iter().map(|node| node.keys).collect();
    assert_eq!(keys, counts, "the survey counts what the placement says");

    let mut servers: Vec<ServerSpec> = config
        .servers()
        .iter()
        .map(|server| ServerSpec::new(server.name.clone()))
        .collect();
    servers.push(ServerSpec::new("new"));
    let plan_by = |sizes: &Sizes| {
        let (goal, limits) = (Goal::Add(vec!["new".into()]), Limits::default());
        let plan = Plan::for_goal(config.topology(), &goal, &servers, sizes, &limits).unwrap();
        assert_eq!(plan.nodes_moved(), 10);
        plan
    };
    // Counted on the servers, one key at a time.
    let on_nodes_of = async |plan: &Plan| {
        let moves: Vec<NodeId> = plan
            .moves()
            .iter()
            .flat_map(|one| one.nodes.clone())
            .collect();
        let mut count = 0;
        for server in &fixture.servers {
            let mut redis = server.connection().await;
            let names: Vec<String> = redis::cmd("KEYS")
                .arg("*")
                .query_async(&mut redis)
                .await
                .unwrap();
            let is_moved = |key: &&String| moves.contains(&config.placement().node(key.as_bytes()));
            count += names.iter().filter(is_moved).count() as u64;
        }
        count
    };
    // By what is really there the smallest nodes go; by nothing but their number, others.
    let by_survey = plan_by(&sizes);
    assert_eq!(by_survey.size_moved().keys, on_nodes_of(&by_survey).await);
    let by_number = plan_by(&Sizes::even(64, KEYS, KEYS));
    let movement = report.schemes[0].stages[1].movement.as_ref().unwrap();
    assert_eq!(movement.nodes_moved, Some(10));
    let predicted = whole(movement.moved.mean * KEYS as f64);
    assert_eq!(predicted, on_nodes_of(&by_number).await);
}
