//! What is explained is what happens.

use super::*;
use crate::hash::md5;
use crate::placement::{Custom, Label, Options};
use keyway_testing::swept;

const KEYS: [&[u8]; 6] = [
    b"user:42",
    b"cart:{user:42}:7",
    b"",
    b"\xff\x00",
    b"{}x",
    b"a",
];

fn nodes(count: usize) -> Vec<NodeSpec> {
    (0..count)
        .map(|node| NodeSpec::new(format!("redis://localhost:6379/{node}")))
        .collect()
}

/// Names that the algorithm's original could have.
fn nodes_for(algorithm: Algorithm, count: usize) -> Vec<NodeSpec> {
    use Algorithm::*;
    let name = |node: usize| match algorithm {
        RbKetama => format!(
            "<HostInfo db={node} host='h' host_id={node} password=None port=6379 ssl=False ssl_options=None unix_socket_path=None>"
        ),
        RedisRb4 | RedisRb5 | RedisRb5Db => format!("redis://localhost:6379/{node}"),
        _ => format!("10.0.0.{node}:6379"),
    };
    let count = match algorithm {
        CodisSlots => 1_024,
        RedisClusterSlots => 16_384,
        _ => count,
    };
    (0..count).map(|node| NodeSpec::new(name(node))).collect()
}

/// Every algorithm over few nodes, with weights and with options where it has them.
fn placements() -> Vec<Placement> {
    let mut placements = Vec::new();
    for algorithm in Algorithm::all() {
        for count in [1, 2, 7] {
            let placement = Placement::new(algorithm, nodes_for(algorithm, count)).unwrap();
            placements.push(placement);
        }
        let mut weighted = nodes_for(algorithm, 5);
        for (node, weight) in weighted.iter_mut().zip([1, 2, 3, 4, 1].into_iter().cycle()) {
            node.weight = weight;
        }
        placements.extend(Placement::new(algorithm, weighted).ok());
        for hash in crate::hash::Hashkit::all() {
            let options = Options {
                hash: Some(hash),
                hash_tag: algorithm.takes("hash_tag").then_some(*b"{}"),
                ..Options::default()
            };
            let nodes = nodes_for(algorithm, 4);
            placements.extend(Placement::with_options(algorithm, options, nodes).ok());
        }
    }
    placements
}

/// Whose point was made of that text.
fn node_of_text(placement: &Placement, text: &str, point: u64) -> u16 {
    let mut found = Vec::new();
    let (algorithm, options, nodes) = (
        placement.algorithm(),
        placement.options(),
        placement.specs(),
    );
    if algorithm == Algorithm::Ketama {
        ketama::marks(nodes, &mut |node, of, points| {
            if of == text && points.map(u64::from).contains(&point) {
                found.push(node);
            }
        });
    } else {
        let Find::Circle(circle) = recipe(algorithm, &options, nodes).unwrap().find else {
            panic!("{algorithm} has no circle");
        };
        (circle.marks)(algorithm, &options, nodes, &mut |node, of, points| {
            if of == text && points.contains(&point) {
                found.push(node);
            }
        });
    }
    assert_eq!(found.len(), 1, "{text}");
    found[0]
}

fn hash_of(explanation: &Explanation) -> &HashValue {
    explanation.hash.as_ref().expect("a hash")
}

/// The node that the steps lead to.
fn found(explanation: &Explanation, placement: &Placement) -> u16 {
    match &explanation.finding {
        Finding::Ring { point, .. } => node_of_text(placement, &point.text, point.hash.value),
        Finding::Modulo {
            remainder, order, ..
        } => match order {
            None => *remainder as u16,
            Some(places) => {
                let place = places
                    .iter()
                    .find(|place| (place.first..=place.last).contains(remainder));
                place.unwrap().node
            }
        },
        Finding::Bids { winner, .. } => winner.node,
        Finding::Table { entry, entries } => {
            assert_eq!(*entry, hash_of(explanation).value % entries);
            explanation.node
        }
        Finding::Custom { .. } => explanation.node,
        Finding::InTurn { nodes } => (hash_of(explanation).value % nodes) as u16,
        Finding::Jumps { landings, .. } => *landings.last().unwrap(),
    }
}

#[test]
fn the_steps_lead_to_the_node() {
    for placement in placements() {
        // Presets make all their points for each.
        let count = if placement.algorithm().is_preset() {
            swept(2, 10)
        } else {
            swept(20, 300)
        };
        for i in 0..count {
            let key = format!("key:{i}");
            for key in KEYS.into_iter().chain([key.as_bytes()]) {
                let explanation = placement.explain(key);
                assert_eq!(explanation.node, placement.node(key).0);
                assert_eq!(
                    found(&explanation, &placement),
                    explanation.node,
                    "{placement:?}\n{explanation}"
                );
                if let Finding::Bids {
                    winner, runner_up, ..
                } = &explanation.finding
                {
                    assert_ne!(Some(winner.node), runner_up.as_ref().map(|bid| bid.node));
                    assert_eq!(runner_up.is_some(), placement.node_count() > 1);
                }
            }
        }
    }
}

#[test]
fn a_point_is_the_hash_of_the_text_that_is_told() {
    let placement = Placement::new(Algorithm::NydusKetama, nodes(3)).unwrap();
    let (mut wrapped, mut straight) = (0, 0);
    for i in 0.. {
        if wrapped > 0 && straight > 100 {
            break;
        }
        let explanation = placement.explain(format!("key:{i}").as_bytes());
        let Finding::Ring {
            point,
            has_wrapped,
            points,
            ..
        } = &explanation.finding
        else {
            panic!("nydus has a ring");
        };
        assert_eq!(*points, 480);
        let digest = md5(point.text.as_bytes());
        let bytes = digest.as_chunks::<4>().0[point.part as usize];
        assert_eq!(point.hash.value, u64::from(u32::from_le_bytes(bytes)));
        assert_eq!(
            point.hash.value <= hash_of(&explanation).value,
            *has_wrapped
        );
        match has_wrapped {
            true => wrapped += 1,
            false => straight += 1,
        }
    }
}

#[test]
fn a_hash_on_a_point_is_before_it_or_at_it_by_the_rule() {
    let found = |pick, clash, hash| {
        let mut search = Search::new(pick, clash, false, hash);
        for (node, text, points) in [(0, "a", [20, 10]), (1, "b", [20, 30])] {
            search.offer(node, text, &points);
        }
        let Finding::Ring {
            point, has_wrapped, ..
        } = search.finding(&nodes(2), MD5_WORDS)
        else {
            panic!("a search is for a point");
        };
        (point.hash.value, point.text, has_wrapped)
    };
    let on = |pick, hash| {
        let (point, _, has_wrapped) = found(pick, Clash::Undefined, hash);
        (point, has_wrapped)
    };
    let all = |hash| [Pick::AtOrAfter, Pick::After, Pick::AtOrBefore].map(|pick| on(pick, hash));
    assert_eq!(all(9), [(10, false), (10, false), (30, true)]);
    assert_eq!(all(10), [(10, false), (20, false), (10, false)]);
    assert_eq!(all(20), [(20, false), (30, false), (20, false)]);
    assert_eq!(all(30), [(30, false), (10, true), (30, false)]);
    assert_eq!(all(31), [(10, true), (10, true), (30, false)]);
    // Of keyway's own ketama the lower index has it.
    assert_eq!(found(Pick::AtOrAfter, Clash::Undefined, 20).1, "a");
    assert_eq!(found(Pick::AtOrAfter, Clash::LaterWins, 20).1, "b");
}

#[test]
fn each_way_is_told_in_lines() {
    let mut text = String::new();
    for algorithm in Algorithm::all() {
        let placement = Placement::new(algorithm, nodes_for(algorithm, 4)).unwrap();
        text += &format!("{}\n\n", placement.explain(b"cart:{7}"));
    }
    let mut weighted = nodes(3);
    weighted[2].weight = 10;
    let placement = Placement::new(Algorithm::Rendezvous, weighted.clone()).unwrap();
    text += &format!("{}\n\n", placement.explain(b"\xff"));
    let names = ["zeta", "Beta", "a"].into_iter().zip(&mut weighted);
    for (name, node) in names {
        node.name = name.to_owned();
    }
    let options = Options {
        hash: Some(crate::hash::Hashkit::Crc32a),
        hash_tag: Some(*b"[]"),
        ..Options::default()
    };
    let placement = Placement::with_options(Algorithm::TwemproxyModula, options, weighted);
    text += &format!("{}\n\n", placement.unwrap().explain(b"cart:[7]"));
    let by_length = Custom::new("by-length", 3, |key: &[u8], nodes| key.len() as u16 % nodes);
    let placement = Placement::custom(by_length, nodes(3)).unwrap();
    text += &format!("{}\n", placement.explain(b"cart"));
    insta::assert_snapshot!(text, @r#"
    placed by  ketama (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       1790921346 (0x6abf4a82) by CRC-32
    point      1800100857 (0x6b4b5bf9) of 640
    made of    "10.0.0.0:6379-11" by MD5, its bytes 0 to 3 little-endian
    ring rule  the first point at or after the hash; after the last, the first
    node       0 "10.0.0.0:6379"

    placed by  modulo (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       1790921346 (0x6abf4a82) by CRC-32
    modulo     1790921346 % 4 = 2
    node       2 "10.0.0.2:6379"

    placed by  rendezvous (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       499566431179015674 (0x06eed105b82285fa) by XXH3 of 64 bits
    winner     0xe51b44dc3463ba15 of node 0 "10.0.0.0:6379"
    next best  0xa681797e57655544 of node 1 "10.0.0.1:6379"
    bid rule   SplitMix64's finaliser of the hash xor XXH3 of the name; the highest wins
    node       0 "10.0.0.0:6379"

    placed by  jump (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       499566431179015674 (0x06eed105b82285fa) by XXH3 of 64 bits
    jumps      0, 2; the next, 6, is beyond the last node
    node       2 "10.0.0.2:6379"

    placed by  maglev (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       499566431179015674 (0x06eed105b82285fa) by XXH3 of 64 bits
    entry      hash % 65537 = 38895
    node       2 "10.0.0.2:6379"

    placed by  nydus-ketama (nydus, ConsistentHashingRouter)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       2788147221 (0xa62fc015) by MD5, its first four bytes little-endian
    point      2807765634 (0xa75b1a82) of 640
    made of    "10.0.0.2:6379-20-salt" by MD5, its bytes 12 to 15 little-endian
    ring rule  the first point after the hash, not at it; after the last, the first
    node       2 "10.0.0.2:6379"

    placed by  nydus-partition (nydus, PartitionRouter)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       633268068 (0x25bee764) by CRC-32
    modulo     633268068 % 4 = 0
    node       0 "10.0.0.0:6379"

    placed by  nydus-round-robin (nydus, RoundRobinRouter)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       633268068 (0x25bee764) by CRC-32
    turns      each call asks the next of 4 nodes, whatever the key; a channel is on node hash % 4
    channel    0 "10.0.0.0:6379"

    placed by  rb-ketama (rb, ConsistentHashingRouter)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       2788147221 (0xa62fc015) by MD5, its first four bytes little-endian
    point      2788492162 (0xa6350382) of 640
    made of    "<HostInfo db=2 host='h' host_id=2 password=None port=6379 ssl=False ssl_options=None unix_socket_path=None>-37-salt" by MD5, its bytes 8 to 11 little-endian
    ring rule  the first point after the hash, not at it; after the last, the first
    node       2 "<HostInfo db=2 host='h' host_id=2 password=None port=6379 ssl=False ssl_options=None unix_socket_path=None>"

    placed by  rb-partition (rb, PartitionRouter)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       633268068 (0x25bee764) by CRC-32
    modulo     633268068 % 4 = 0
    node       0 "10.0.0.0:6379"

    placed by  twemproxy-ketama (twemproxy, distribution: ketama)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       202577412 (0x0c131604) by fnv1a_64, as twemproxy has it
    point      202889841 (0x0c17da71) of 640
    made of    "10.0.0.3:6379-14" by MD5, its bytes 8 to 11 little-endian
    ring rule  the first point at or after the hash; after the last, the first
    node       3 "10.0.0.3:6379"

    placed by  twemproxy-modula (twemproxy, distribution: modula)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       202577412 (0x0c131604) by fnv1a_64, as twemproxy has it
    modulo     202577412 % 4 = 0
    node       0 "10.0.0.0:6379"

    placed by  libmemcached-weighted (libmemcached, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       2788147221 (0xa62fc015) by MD5, its first four bytes little-endian
    point      2798390383 (0xa6cc0c6f) of 640
    made of    "10.0.0.2:6379-4" by MD5, its bytes 0 to 3 little-endian
    ring rule  the first point at or after the hash; after the last, the first
    node       2 "10.0.0.2:6379"

    placed by  libmemcached-ketama (libmemcached, MEMCACHED_BEHAVIOR_KETAMA)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       1101016895 (0x41a02f3f) by one_at_a_time, as libhashkit has it
    point      1113157318 (0x42596ec6) of 400
    made of    "10.0.0.1:6379-99" by one_at_a_time, as libhashkit has it
    ring rule  the first point at or after the hash; after the last, the first
    node       1 "10.0.0.1:6379"

    placed by  libmemcached-modula (libmemcached, MEMCACHED_DISTRIBUTION_MODULA)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       1101016895 (0x41a02f3f) by one_at_a_time, as libhashkit has it
    modulo     1101016895 % 4 = 3
    node       3 "10.0.0.3:6379"

    placed by  libmemcached-spy (libmemcached, MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       1101016895 (0x41a02f3f) by one_at_a_time, as libhashkit has it
    point      1113965069 (0x4265c20d) of 400
    made of    "/10.0.0.3:6379-33" by one_at_a_time, as libhashkit has it
    ring rule  the first point at or after the hash; after the last, the first
    node       3 "10.0.0.3:6379"

    placed by  libmemcached-spy-weighted (libmemcached, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, then MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       2788147221 (0xa62fc015) by MD5, its first four bytes little-endian
    point      2790285415 (0xa6506067) of 640
    made of    "/10.0.0.2:6379-16" by MD5, its bytes 12 to 15 little-endian
    ring rule  the first point at or after the hash; after the last, the first
    node       2 "10.0.0.2:6379"

    placed by  libketama (libketama)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, up to the first NUL in it, as C ends a text there
    hash       2788147221 (0xa62fc015) by MD5, its first four bytes little-endian
    point      2798390383 (0xa6cc0c6f) of 640
    made of    "10.0.0.2:6379-4" by MD5, its bytes 0 to 3 little-endian
    ring rule  the first point at or after the hash; after the last, the first
    node       2 "10.0.0.2:6379"

    placed by  redis-rb-4 (redis-rb up to 4.x)
    hashed     "cart:{7}", the whole key
    tag rule   what stands between a { at the start of the key, or of a line in it, and the first } after at least one character of the same line; else the whole key
    hash       633268068 (0x25bee764) by CRC-32
    point      632864412 (0x25b8be9c) of 640
    made of    "redis://localhost:6379/3:118" by CRC-32
    ring rule  the last point at or before the hash; before the first, the last
    node       3 "redis://localhost:6379/3"

    placed by  redis-rb-5 (redis-rb from 5.0 with redis-client from 0.21)
    hashed     "cart:{7}", the whole key
    tag rule   what stands between a { at the start of the key, or of a line in it, and the first } after at least one character of the same line; else the whole key
    hash       633268068 (0x25bee764) by CRC-32
    point      630789856 (0x259916e0) of 640
    made of    "redis://localhost:6379/1:30" by MD5, its first four bytes big-endian
    ring rule  the last point at or before the hash; before the first, the last
    node       1 "redis://localhost:6379/1"

    placed by  redis-rb-5-db (redis-rb from 5.0 with redis-client before 0.21)
    hashed     "cart:{7}", the whole key
    tag rule   what stands between a { at the start of the key, or of a line in it, and the first } after at least one character of the same line; else the whole key
    hash       633268068 (0x25bee764) by CRC-32
    point      630789856 (0x259916e0) of 640
    made of    "redis://localhost:6379/1:30" by MD5, its first four bytes big-endian
    ring rule  the last point at or before the hash; before the first, the last
    node       1 "redis://localhost:6379/1"

    placed by  predis-hashring (predis, HashRing, its default)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       1790921346 (0x6abf4a82) by CRC-32
    point      1788616310 (0x6a9c1e76) of 512
    made of    "10.0.0.0:6379:95" by CRC-32
    ring rule  the last point at or before the hash; before the first, the last
    node       0 "10.0.0.0:6379"

    placed by  predis-ketama (predis, KetamaRing)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       1608782991 (0x5fe4148f) by MD5, its first four bytes little-endian
    point      1608868031 (0x5fe560bf) of 640
    made of    "10.0.0.1:6379-19" by MD5, its bytes 12 to 15 little-endian
    ring rule  the first point at or after the hash; after the last, the first
    node       1 "10.0.0.1:6379"

    placed by  jedis-murmur (Jedis, MURMUR_HASH, shards without names)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       3022094658158655406 (0x29f0a3147126f7ae) by MurmurHash64A, seed 0x1234ABCD
    point      3041617747837801745 (0x2a35ff39fa655511) of 640
    made of    "SHARD-2-NODE-138" by MurmurHash64A, seed 0x1234ABCD
    ring rule  the first point at or after the hash; after the last, the first
    node       2 "10.0.0.2:6379"

    placed by  jedis-md5 (Jedis, MD5, shards without names)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       2788147221 (0xa62fc015) by MD5, its first four bytes little-endian
    point      2790223975 (0xa64f7067) of 640
    made of    "SHARD-0-NODE-111" by MD5, its first four bytes little-endian
    ring rule  the first point at or after the hash; after the last, the first
    node       0 "10.0.0.0:6379"

    placed by  jedis-murmur-named (Jedis, MURMUR_HASH, shards with names)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       3022094658158655406 (0x29f0a3147126f7ae) by MurmurHash64A, seed 0x1234ABCD
    point      3092794112801797756 (0x2aebcfdbf8f8767c) of 640
    made of    "10.0.0.1:6379*13" by MurmurHash64A, seed 0x1234ABCD
    ring rule  the first point at or after the hash; after the last, the first
    node       1 "10.0.0.1:6379"

    placed by  jedis-md5-named (Jedis, MD5, shards with names)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       2788147221 (0xa62fc015) by MD5, its first four bytes little-endian
    point      2793554476 (0xa682422c) of 640
    made of    "10.0.0.0:6379*52" by MD5, its first four bytes little-endian
    ring rule  the first point at or after the hash; after the last, the first
    node       0 "10.0.0.0:6379"

    placed by  go-redis-ring (go-redis, Ring)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       1750302349509622455 (0x184a52b6a00d7ab7) by XXH64
    winner     0xf7f8d38ee74fb6ac of node 1 "10.0.0.1:6379"
    next best  0xba04a818d90f8a0b of node 2 "10.0.0.2:6379"
    bid rule   xorshift64* of the hash xor XXH64 of the name; the highest wins
    node       1 "10.0.0.1:6379"

    placed by  envoy-ring-xxhash (Envoy, RING_HASH, XX_HASH)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       5257609684488895081 (0x48f6c826eb9d3a69) by MurmurHash2 of 64 bits, seed 0xC70F6907
    point      5263565022761336368 (0x490bf08029dc3e30) of 1024
    made of    "10.0.0.2:6379_16" by XXH64
    ring rule  the first point at or after the hash; after the last, the first
    node       2 "10.0.0.2:6379"

    placed by  envoy-ring-murmur2 (Envoy, RING_HASH, MURMUR_HASH_2)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       5257609684488895081 (0x48f6c826eb9d3a69) by MurmurHash2 of 64 bits, seed 0xC70F6907
    point      5271951515628184714 (0x4929bbf8b219a48a) of 1024
    made of    "10.0.0.3:6379_84" by MurmurHash2 of 64 bits, seed 0xC70F6907
    ring rule  the first point at or after the hash; after the last, the first
    node       3 "10.0.0.3:6379"

    placed by  envoy-maglev (Envoy, MAGLEV)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       5257609684488895081 (0x48f6c826eb9d3a69) by MurmurHash2 of 64 bits, seed 0xC70F6907
    entry      hash % 65537 = 52733
    node       2 "10.0.0.2:6379"

    placed by  codis-slots (Codis)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, even if that is nothing; without them the whole key
    hash       1790921346 (0x6abf4a82) by CRC-32
    modulo     1790921346 % 1024 = 642
    node       642 "10.0.0.642:6379"

    placed by  redis-cluster-slots (Redis Cluster)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       18100 (0x46b4) by CRC-16/XMODEM
    modulo     18100 % 16384 = 1716
    node       1716 "10.0.0.1716:6379"

    placed by  rendezvous (keyway)
    hashed     0xff, the whole key
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       15473502163978278702 (0xd6bcec3c6b29d72e) by XXH3 of 64 bits
    winner     0x55eb49d6a4112b3b of node 2 "redis://localhost:6379/2", cost 1.091771e-1
    next best  0x6c21133f04358559 of node 1 "redis://localhost:6379/1", cost 8.618506e-1
    bid rule   the bid is SplitMix64's finaliser of the hash xor XXH3 of the name; the lowest -ln(bid / 2^64) / weight wins
    node       2 "redis://localhost:6379/2"

    placed by  twemproxy-modula (twemproxy, distribution: modula)
    hashed     "7", its hash tag
    tag rule   what stands between the first [ and the first ] after it, unless that is nothing; else the whole key
    hash       1790921346 (0x6abf4a82) by crc32a, as twemproxy has it
    modulo     1790921346 % 12 = 6
    order      0-9 "a", 10 "Beta", 11 "zeta"
    sorted     by name, shorter ones first, each as often as its weight says
    node       2 "a"

    placed by  custom (a function of the program's own)
    hashed     "cart", the whole key
    tag rule   none but those that the function looks for
    function   "by-length" version 3
    node       1 "redis://localhost:6379/1"
    "#);
}

/// Rows of the table that upstream has for predis: the hash, and the point that it finds.
#[test]
fn predis_explains_what_its_own_tests_say() {
    let nodes = [7000, 7001, 7002].map(|port| NodeSpec::new(format!("127.0.0.1:{port}")));
    for (algorithm, key, hash, point, node) in [
        (
            Algorithm::PredisHashring,
            "uid:256",
            3_045_577_209,
            3_039_891_617,
            1,
        ),
        (
            Algorithm::PredisHashring,
            "uid:500",
            618_436_108,
            609_245_004,
            2,
        ),
        (
            Algorithm::PredisKetama,
            "uid:256",
            3_703_689_762,
            3_709_282_143,
            1,
        ),
        (
            Algorithm::PredisKetama,
            "uid:432",
            3_252_341_478,
            3_257_173_273,
            0,
        ),
    ] {
        let placement = Placement::new(algorithm, nodes.to_vec()).unwrap();
        let explanation = placement.explain(key.as_bytes());
        assert_eq!(hash_of(&explanation).value, hash, "{key}");
        assert_eq!(explanation.node, node, "{key}");
        let Finding::Ring { point: found, .. } = explanation.finding else {
            panic!("predis has a ring");
        };
        assert_eq!(found.hash.value, point, "{key}");
    }
}

/// Java compares signed numbers, so that its circle ends elsewhere.
#[test]
fn a_ring_of_jedis_wraps_where_java_says() {
    let nodes = nodes_for(Algorithm::JedisMurmur, 1);
    let placement = Placement::new(Algorithm::JedisMurmur, nodes).unwrap();
    let mut wrapped = 0;
    for i in 0.. {
        let explanation = placement.explain(format!("key:{i}").as_bytes());
        let hash = hash_of(&explanation).signed.unwrap();
        let Finding::Ring {
            point, has_wrapped, ..
        } = &explanation.finding
        else {
            panic!("Jedis has a ring");
        };
        assert_eq!(point.hash.signed.unwrap() < hash, *has_wrapped);
        wrapped += u32::from(*has_wrapped);
        if wrapped > 1 && i > 100 {
            break;
        }
    }
}

#[test]
fn a_label_is_not_shown() {
    let mut nodes = nodes(3);
    for node in &mut nodes {
        node.label = Some(Label::new(format!("hunter2@{}", node.name)));
    }
    for algorithm in [
        Algorithm::Ketama,
        Algorithm::Rendezvous,
        Algorithm::NydusKetama,
    ] {
        let placement = Placement::new(algorithm, nodes.clone()).unwrap();
        for i in 0..100 {
            let explanation = placement.explain(format!("key:{i}").as_bytes());
            let json = serde_json::to_string(&explanation).unwrap();
            let shown = format!("{explanation} {explanation:?} {json}");
            assert!(!shown.contains("hunter2"), "{shown}");
            if let Finding::Ring { point, .. } = &explanation.finding {
                assert!(point.text.starts_with("(label)-"), "{}", point.text);
            }
        }
    }
    // A preset may make another text of a label.
    let mut node = NodeSpec::new("a");
    node.label = Some(Label::new("hunter2:11211"));
    assert_eq!(without_label("hunter2-7".to_owned(), &node), "(label)");
}

/// Whose a remainder is, of an order like that of twemproxy's sorted and weighted servers.
#[test]
fn an_order_is_told_around_the_remainder() {
    let placement = Placement::new(Algorithm::Modulo, nodes(40)).unwrap();
    assert_eq!(placement.order(&(0..40).collect::<Vec<_>>(), 3), None);
    let backwards: Vec<u16> = (0..40).rev().flat_map(|node| [node; 2]).collect();
    for at in 0..80 {
        let places = placement.order(&backwards, at).unwrap();
        assert_eq!(places.len(), PLACES_MAX);
        let place = places
            .iter()
            .find(|place| (place.first..=place.last).contains(&at))
            .unwrap();
        assert_eq!(place.node, backwards[at as usize]);
        assert_eq!(place.last - place.first, 1);
    }
    let few = placement.order(&[2, 0, 0, 1], 2).unwrap();
    insta::assert_snapshot!(in_order(&few, 4), @r#"0 "redis://localhost:6379/2", 1-2 "redis://localhost:6379/0", 3 "redis://localhost:6379/1""#);
    let many = placement.order(&backwards, 40).unwrap();
    assert!(in_order(&many, 80).starts_with("..., "));
}

#[test]
fn what_is_told_survives_json() {
    for placement in placements() {
        let explanation = placement.explain(b"cart:{7}");
        let json = serde_json::to_string(&explanation).unwrap();
        let Finding::Bids { .. } = explanation.finding else {
            assert_eq!(
                serde_json::from_str::<Explanation>(&json).unwrap(),
                explanation
            );
            continue;
        };
        // The last digit of a cost may differ.
        assert_eq!(
            serde_json::from_str::<Explanation>(&json).unwrap().node,
            explanation.node
        );
    }
}
