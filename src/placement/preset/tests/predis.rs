use super::*;
use crate::hash::crc32;
use crate::hash::md5_le;

fn servers() -> Vec<NodeSpec> {
    specs(["127.0.0.1:7000", "127.0.0.1:7001", "127.0.0.1:7002"])
}

#[test]
fn places_every_key_as_predis_does() {
    for (file, algorithm) in [
        ("hashring-3.csv", Algorithm::PredisHashring),
        ("hashring-weights-1-2-5.csv", Algorithm::PredisHashring),
        ("hashring-weights-3-8-9.csv", Algorithm::PredisHashring),
        ("ketama-3.csv", Algorithm::PredisKetama),
        ("ketama-49.csv", Algorithm::PredisKetama),
        ("ketama-weights-1-2-5.csv", Algorithm::PredisKetama),
    ] {
        let file = format!("predis/{file}");
        let rows = nodes_of(&file);
        let nodes: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        // Weights count by their ratio alone, to the last bit: predis's default of 100 is as good as 1.
        for factor in [1, 100, 97] {
            let servers = rows.iter().map(|row| {
                let weight: u32 = if row[3].is_empty() {
                    1
                } else {
                    row[3].parse().unwrap()
                };
                NodeSpec::weighted(&row[4], weight * factor)
            });
            let placement = Placement::new(algorithm, servers.collect()).unwrap();
            check(&file, &placement, &nodes);
        }
    }
}

/// predis 1.1.10, tests/Predis/Cluster/Distributor/HashRingTest.php and KetamaRingTest.php.
#[test]
fn passes_prediss_own_tests() {
    type Case = (&'static str, usize, u32, u64);
    let cases: [(Algorithm, [Case; 6]); 2] = [
        (
            Algorithm::PredisHashring,
            [
                ("uid:256", 1, 3_045_577_209, 3_039_891_617),
                ("uid:281", 1, 2_655_861_271, 2_652_652_386),
                ("uid:312", 0, 3_611_605_715, 3_607_228_001),
                ("uid:432", 1, 3_762_147_028, 3_750_124_951),
                ("uid:500", 2, 618_436_108, 609_245_004),
                ("uid:641", 0, 905_043_399, 902_549_909),
            ],
        ),
        (
            Algorithm::PredisKetama,
            [
                ("uid:256", 1, 3_703_689_762, 3_709_282_143),
                ("uid:281", 2, 2_662_956_036, 2_677_727_763),
                ("uid:312", 1, 345_494_622, 353_009_954),
                ("uid:432", 0, 3_252_341_478, 3_257_173_273),
                ("uid:500", 0, 3_829_503_673, 3_836_242_955),
                ("uid:641", 2, 2_141_928_822, 2_151_204_104),
            ],
        ),
    ];
    for (algorithm, cases) in cases {
        let placement = Placement::new(algorithm, servers()).unwrap();
        let points = points(algorithm, &servers());
        for (key, node, hash, slot) in cases {
            let key = key.as_bytes();
            assert_eq!(placement.node(key).index(), node);
            let found = match algorithm {
                Algorithm::PredisHashring => crc32(key),
                _ => md5_le(key),
            };
            assert_eq!(found, hash);
            assert!(points.contains(&(slot, node as u16)), "{slot}");
        }
    }

    let nodes_of_squares = |algorithm| {
        let placement = Placement::new(algorithm, servers()).unwrap();
        (0..20)
            .map(|i| placement.node((i * i).to_string().as_bytes()).0)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        nodes_of_squares(Algorithm::PredisHashring),
        [1, 1, 1, 2, 2, 1, 1, 0, 1, 2, 2, 2, 2, 0, 2, 2, 2, 0, 1, 2]
    );
    assert_eq!(
        nodes_of_squares(Algorithm::PredisKetama),
        [0, 1, 0, 2, 0, 1, 0, 1, 0, 2, 0, 0, 1, 0, 1, 2, 0, 2, 1, 2]
    );
}

#[test]
fn a_server_may_be_a_socket_or_have_an_address_of_version_6() {
    for algorithm in [Algorithm::PredisHashring, Algorithm::PredisKetama] {
        let names = ["/tmp/redis.sock", "::1:6379", "cache.example:6379"];
        assert!(Placement::new(algorithm, specs(names)).is_ok());
    }
}

#[test]
fn refuses_names_that_predis_does_not_hash() {
    for name in [
        "tcp://127.0.0.1:7000",
        "redis://127.0.0.1:7000",
        "unix:///tmp/redis.sock",
        "unix:/tmp/redis.sock",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:70000",
        "127.0.0.1:7000/2",
        "127.0.0.1:7000?weight=2",
        ":7000",
        "[::1]:7000",
    ] {
        for algorithm in [Algorithm::PredisHashring, Algorithm::PredisKetama] {
            refusal(algorithm, specs([name]));
        }
    }
    let mut text = String::new();
    text += &refusal(Algorithm::PredisHashring, specs(["tcp://127.0.0.1:7000"]));
    text += &refusal(
        Algorithm::PredisKetama,
        specs(["a:1", "redis://:hunter2@127.0.0.1:7000"]),
    );
    text += &refusal(Algorithm::PredisKetama, specs(["127.0.0.1"]));
    text += &refusal(Algorithm::PredisKetama, specs(["[::1]:7000"]));
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text, @r#"
    predis-hashring: the name "tcp://127.0.0.1:7000" of node 0 is a URL, of which predis hashes host:port only, or the path of a unix socket only: write that
    predis-ketama: the name of node 1 is a URL, of which predis hashes host:port only, or the path of a unix socket only: write that
    predis-ketama: the name "127.0.0.1" of node 0 is neither host:port nor the path of a unix socket, which is what predis hashes: write for example 127.0.0.1:6379, with predis's defaults (host 127.0.0.1, port 6379) where its configuration has none, and without database and password
    predis-ketama: the name "[::1]:7000" of node 0 has brackets, which predis takes off the host of a URL: write ::1:6379 for [::1]:6379
    "#);
}

/// 61 * 7 * 128 / 1,792 is 30.5, and 30.499999999999996 in predis's order of operations.
#[test]
fn refuses_a_weight_that_php_rounds_by_its_version() {
    let servers = |weights: [u32; 7]| {
        let numbered = weights.iter().enumerate();
        numbered
            .map(|(i, weight)| NodeSpec::weighted(format!("10.0.0.{i}:6379"), *weight))
            .collect::<Vec<_>>()
    };
    let weights = [61, 500, 500, 500, 77, 77, 77];
    insta::assert_snapshot!(refusal(Algorithm::PredisHashring, servers(weights)), @r#"predis-hashring: weight 61 is worth 30.499999999999996 points to node "10.0.0.0:6379", which is 31 to PHP before 8.4 and 30 from there on: to say which, multiply all weights by 1,000 and make this one larger or smaller by 1; then compare where some keys are with predis"#);
    assert!(Placement::new(Algorithm::PredisKetama, servers(weights)).is_ok());

    for (first, expected) in [(61_001, 31), (60_999, 30)] {
        let mut weights = weights.map(|weight| weight * 1_000);
        weights[0] = first;
        let points = points(Algorithm::PredisHashring, &servers(weights));
        let of_first = points.iter().filter(|(_, node)| *node == 0);
        assert_eq!(of_first.count(), expected);
    }
}

#[test]
fn a_half_that_is_exact_is_rounded_up() {
    // 85 * 3 * 128 / 256 is 127.5.
    let servers = [85, 85, 86].iter().enumerate();
    let servers: Vec<_> = servers
        .map(|(i, weight)| NodeSpec::weighted(format!("10.0.0.{i}:6379"), *weight))
        .collect();
    let points = points(Algorithm::PredisHashring, &servers);
    for (node, expected) in [(0, 128), (1, 128), (2, 129)] {
        let of_node = points.iter().filter(|point| point.1 == node);
        assert_eq!(of_node.count(), expected);
    }
}

#[test]
fn of_two_nodes_with_one_point_the_later_has_it() {
    check_later_wins(
        Algorithm::PredisHashring,
        ["i-4f16c81.example:6379", "i-03cf8717.example:6379"],
        3_350_783_464,
    );
    check_later_wins(
        Algorithm::PredisKetama,
        ["10.0.0.73:6379", "10.0.0.118:6379"],
        4_294_193_668,
    );
}
