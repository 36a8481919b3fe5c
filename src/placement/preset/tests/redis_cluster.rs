use super::*;

fn slots(count: usize) -> Vec<NodeSpec> {
    specs((0..count).map(|slot| slot.to_string()))
}

#[test]
fn a_key_is_in_the_slot_that_redis_says() {
    let placement = Placement::new(Algorithm::RedisClusterSlots, slots(16_384)).unwrap();
    let nodes: Vec<_> = (0..16_384).map(|slot| slot.to_string()).collect();
    check("redis-cluster/keyslot.csv", &placement, &nodes);
}

/// go-redis, internal/hashtag/hashtag_test.go; the first also in the Redis Cluster specification.
#[test]
fn passes_the_published_examples() {
    let placement = Placement::new(Algorithm::RedisClusterSlots, slots(16_384)).unwrap();
    for (key, slot) in [
        ("123456789", 12_739),
        ("{}foo", 9_500),
        ("foo{}", 5_542),
        ("foo{}{bar}", 8_363),
    ] {
        assert_eq!(placement.node(key.as_bytes()).0, slot, "{key}");
    }
    for (one, other) in [
        ("foo{bar}", "bar"),
        ("{user1000}.following", "{user1000}.followers"),
        ("foo{{bar}}zap", "{bar"),
        ("foo{bar}{zap}", "bar"),
    ] {
        assert_eq!(
            placement.node(one.as_bytes()),
            placement.node(other.as_bytes())
        );
    }
}

#[test]
fn refuses_any_other_number_of_nodes() {
    insta::assert_snapshot!(refusal(Algorithm::RedisClusterSlots, slots(6)), @"redis-cluster-slots: a node is a slot here, of which there are 16384 always, and 6 nodes were given: list 16384 nodes, slot 0 first, and let the servers have ranges of them");
    refusal(Algorithm::RedisClusterSlots, slots(16_383));
}
