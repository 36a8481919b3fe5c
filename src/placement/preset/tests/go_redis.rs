use super::*;

#[test]
fn places_every_key_as_go_redis_does() {
    for file in ["go-redis/ring-3.csv", "go-redis/ring-16.csv"] {
        let names: Vec<_> = nodes_of(file)
            .into_iter()
            .map(|row| row[1].clone())
            .collect();
        let placement = Placement::new(Algorithm::GoRedisRing, specs(&names)).unwrap();
        check(file, &placement, &names);
    }
}

/// go-redis, internal/hashtag/rendezvous_test.go.
#[test]
fn passes_go_rediss_own_tests() {
    let counts = |nodes: u32, keys: u32| {
        let names = (0..nodes).map(|i| format!("node-{i}"));
        let placement = Placement::new(Algorithm::GoRedisRing, specs(names)).unwrap();
        let mut counts = vec![0_u32; nodes as usize];
        for i in 0..keys {
            counts[placement.node(format!("key-{i}").as_bytes()).index()] += 1;
        }
        counts
    };
    assert!(counts(3, 100).iter().all(|count| *count > 25));
    assert!(
        counts(5, 100_000)
            .iter()
            .all(|count| count.abs_diff(20_000) < 2_000)
    );
}

#[test]
fn the_order_of_the_shards_is_of_no_account() {
    let names: Vec<_> = (0..40).map(|i| format!("shard{i}")).collect();
    let forward = Placement::new(Algorithm::GoRedisRing, specs(&names)).unwrap();
    let backward = Placement::new(Algorithm::GoRedisRing, specs(names.iter().rev())).unwrap();
    for i in 0..5_000 {
        let key = format!("key:{i}");
        let (here, there) = (forward.node(key.as_bytes()), backward.node(key.as_bytes()));
        assert_eq!(forward.node_name(here), backward.node_name(there));
    }
}
