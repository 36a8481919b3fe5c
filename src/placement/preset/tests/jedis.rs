use super::*;

const ALL: [Algorithm; 4] = [
    Algorithm::JedisMurmur,
    Algorithm::JedisMd5,
    Algorithm::JedisMurmurNamed,
    Algorithm::JedisMd5Named,
];

fn tagged(hash_tag: &[u8; 2]) -> Options {
    Options {
        hash_tag: Some(*hash_tag),
        ..Options::default()
    }
}

#[test]
fn places_every_key_as_jedis_does() {
    for (file, algorithm) in [
        ("murmur-3.csv", Algorithm::JedisMurmur),
        ("murmur-weights-1-2-5.csv", Algorithm::JedisMurmur),
        ("murmur-named-3-tag.csv", Algorithm::JedisMurmurNamed),
        ("md5-4.csv", Algorithm::JedisMd5),
    ] {
        let file = format!("jedis/{file}");
        let rows = nodes_of(&file);
        let shards = rows.iter().map(|row| {
            // A shard without a name is hashed by its position, so that the address is as good a name as any.
            let name = if row[3].is_empty() { &row[2] } else { &row[3] };
            NodeSpec::weighted(name, row[4].parse().unwrap())
        });
        let options = match rows[0][6].as_str() {
            "" => Options::default(),
            _ => tagged(b"{}"),
        };
        let placement = Placement::with_options(algorithm, options, shards.collect()).unwrap();
        let nodes: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        check(&file, &placement, &nodes);
    }
}

/// Jedis 3.10.0, ShardedJedisTest.java: testMD5Sharding, testMurmurSharding and the two of testMasterSlaveShardingConsistency.
#[test]
fn passes_jediss_own_tests() {
    let keys: Vec<_> = (0..1_000).map(|i: u32| i.to_string()).collect();
    let local = ["localhost:6379", "localhost:6380", "localhost:6381"];
    let other = ["127.0.0.1:6379", "127.0.0.1:6380", "127.0.0.1:6381"];
    for algorithm in [Algorithm::JedisMurmur, Algorithm::JedisMd5] {
        let placement = Placement::new(algorithm, specs(local)).unwrap();
        let mut counts = [0; 3];
        for key in &keys {
            counts[placement.node(key.as_bytes()).index()] += 1;
        }
        assert!(
            counts.iter().all(|count| (301..400).contains(count)),
            "{counts:?}"
        );

        let replicas = Placement::new(algorithm, specs(other)).unwrap();
        for key in &keys {
            assert_eq!(
                replicas.node(key.as_bytes()),
                placement.node(key.as_bytes())
            );
        }
    }
    for algorithm in [Algorithm::JedisMurmurNamed, Algorithm::JedisMd5Named] {
        let placement = |names: [&str; 3]| Placement::new(algorithm, specs(names)).unwrap();
        let masters = placement(["HOST1:1234", "HOST2:1234", "HOST3:1234"]);
        let replicas = placement(["HOST2:1234", "HOST3:1234", "HOST1:1234"]);
        for key in &keys {
            let node = masters.node(key.as_bytes());
            let replica = replicas.node(key.as_bytes());
            assert_eq!(replicas.node_name(replica), masters.node_name(node));
        }
    }
}

#[test]
fn named_shards_by_md5_have_the_points_of_jedis() {
    // Taken from Jedis 3.10.0, Hashing.MD5.hash("alpha*0") and so on.
    let of_alpha = points(Algorithm::JedisMd5Named, &specs(["alpha"]));
    for point in [2_353_910_576, 72_105_456, 2_149_000_454] {
        assert!(of_alpha.contains(&(point, 0)), "{point}");
    }
    assert_eq!(of_alpha.len(), 160);
}

#[test]
fn hashes_the_tag_only_of_a_key_that_is_text_and_only_if_told() {
    for algorithm in ALL {
        let names = ["a", "b", "c"];
        let plain = Placement::new(algorithm, specs(names)).unwrap();
        let by_tag = Placement::with_options(algorithm, tagged(b"{}"), specs(names)).unwrap();
        assert_eq!(plain.hashed(b"x{tag}y"), b"x{tag}y");
        assert_eq!(by_tag.hashed(b"x{tag}y"), b"tag");
        assert_eq!(by_tag.hashed(b"x{tag}y\xff"), b"x{tag}y\xff");
        assert_eq!(by_tag.node(b"x{tag}y"), plain.node(b"tag"));
    }
}

#[test]
fn refuses_a_tag_pattern_that_is_not_jediss_own() {
    let refused = |hash_tag: &[u8; 2]| {
        Placement::with_options(Algorithm::JedisMurmur, tagged(hash_tag), specs(["a"]))
    };
    insta::assert_snapshot!(refused(b"[]").unwrap_err(), @r#"jedis-murmur: hash_tag is "[]", and the only pattern known is Jedis's own DEFAULT_KEY_TAG_PATTERN: write "{}" for it, or no hash tag if the shards were made without a pattern"#);
    assert!(refused(b"{{").is_err());
    assert!(refused(b"}{").is_err());
}

#[test]
fn of_two_shards_with_one_point_the_later_has_it() {
    check_later_wins(
        Algorithm::JedisMd5Named,
        ["shard-183", "shard-287"],
        3_577_251_857,
    );
    // SHARD-216-NODE-75 and SHARD-418-NODE-30.
    let names = specs((0..419).map(|i| i.to_string()));
    let points = points(Algorithm::JedisMd5, &names);
    assert!(points.contains(&(2_668_443_712, 418)));
}
