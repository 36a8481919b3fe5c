use super::points::{draw, mix};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn servers(names: std::ops::Range<u32>) -> Vec<NodeSpec> {
    names
        .map(|name| NodeSpec::new(format!("server-{name}")))
        .collect()
}

fn key(number: u32) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

fn study(text: &str) -> Study {
    text.parse().unwrap()
}

/// All of them, with room for 96 servers.
const ALL: [&str; 8] = [
    "ring/1",
    "ring/40",
    "multi-probe/21",
    "multi-probe/5/8",
    "lrh/16/8",
    "anchor/96",
    "dx/96",
    "memento",
];

/// Those that never move a key between two servers that stay.
fn monotone() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().filter(|text| !text.starts_with("lrh"))
}

#[test]
fn a_study_is_written_as_it_is_read() {
    for text in ALL.into_iter().chain(["ring/65536", "lrh/256/64"]) {
        assert_eq!(study(text).to_string(), text);
    }
    assert_eq!(study("multi-probe/21/1").to_string(), "multi-probe/21");
    assert_eq!(format!("{:>8}", study("ring/40")), " ring/40");
}

#[test]
fn what_is_no_study_is_refused_with_what_was_expected() {
    for text in ["", "rin/100", "ketama", "Ring/100", "/100"] {
        let error = text.parse::<Study>().unwrap_err();
        assert!(
            matches!(error, StudyError::Unknown { .. }),
            "{text}: {error}"
        );
    }
    for text in [
        "ring",
        "ring/",
        "ring/0",
        "ring/+5",
        "ring/-1",
        "ring/ 5",
        "ring/65537",
        "ring/1/2",
        "ring/99999999999",
        "multi-probe",
        "multi-probe/0",
        "multi-probe/257",
        "multi-probe/3/0",
        "lrh/8",
        "lrh/8/0",
        "lrh/8/65",
        "lrh/8/8/8",
        "anchor",
        "anchor/0",
        "anchor/65537",
        "dx/0",
        "memento/5",
        "memento/",
    ] {
        let error = text.parse::<Study>().unwrap_err();
        assert!(
            matches!(error, StudyError::Malformed { .. }),
            "{text}: {error}"
        );
    }
    insta::assert_snapshot!(
        ["rin/100", "ring/0", "lrh/8", "memento/5"].map(|text| text.parse::<Study>().unwrap_err().to_string()).join("\n"),
        @r#"
    unknown study "rin/100": expected ring/POINTS, multi-probe/PROBES, lrh/POINTS/CANDIDATES, anchor/CAPACITY, dx/CAPACITY or memento
    "ring/0" cannot be used: expected ring/POINTS, with 1 to 65536 points for each unit of weight, such as ring/100
    "lrh/8" cannot be used: expected lrh/POINTS/CANDIDATES, with 1 to 65536 points of each server and 1 to 64 candidates, such as lrh/256/8
    "memento/5" cannot be used: expected memento, which has no parameters
    "#
    );
}

#[test]
fn limits_stand_in_the_texts_that_state_them() {
    for (text, limit) in [
        (RING, POINTS_MAX),
        (MULTI_PROBE, POINTS_MAX),
        (MULTI_PROBE, PROBES_MAX),
        (LOCAL_RENDEZVOUS, POINTS_MAX),
        (LOCAL_RENDEZVOUS, CANDIDATES_MAX),
        (ANCHOR, CAPACITY_MAX),
        (DX, CAPACITY_MAX),
    ] {
        assert!(text.contains(&format!("1 to {limit}")), "{limit}: {text}");
    }
}

#[test]
fn a_list_of_servers_that_cannot_be_placed_is_refused() {
    let twice = ["a", "b", "a"].map(NodeSpec::new);
    let heavy = [NodeSpec::new("a"), NodeSpec::weighted("b", 2)];
    let none = [NodeSpec::new("a"), NodeSpec::weighted("b", 0)];
    let huge = [NodeSpec::weighted("a", 257)];
    let refusals = [
        study("ring/5").build(&[]),
        study("memento").build(&servers(0..16_385)),
        study("memento").build(&twice),
        study("lrh/8/8").build(&heavy),
        study("ring/8").build(&none),
        study("ring/65536").build(&huge),
        study("anchor/2").build(&servers(0..3)),
        Study::Ring { points: 0 }.build(&servers(0..3)),
    ];
    insta::assert_snapshot!(
        refusals.map(|refusal| refusal.unwrap_err().to_string()).join("\n"),
        @r#"
    ring/5 needs at least one server, and none was given
    16385 servers are too many: expected at most 16384
    two servers are named "a": names must differ, they are what is hashed
    server "b" has weight 2: lrh/8/8 takes no weights, so that it must be 1
    server "b" has weight 0: ring/8 takes 1 and above
    ring/65536 would have 16842752 points: expected at most 16777216. Take fewer points, or divide the weights by a common factor
    anchor/2 has room for 2 servers, and 3 were given: its capacity has to be chosen for all that will ever come
    "ring/0" cannot be used: expected ring/POINTS, with 1 to 65536 points for each unit of weight, such as ring/100
    "#
    );
    let four = study("anchor/4").build(&servers(0..4)).unwrap();
    let refusal = four.changed(&servers(0..5)).unwrap_err();
    assert!(
        matches!(refusal, StudyError::OverCapacity { .. }),
        "{refusal}"
    );
}

#[test]
fn keys_with_one_hash_tag_are_on_one_server() {
    for text in ALL {
        let built = study(text).build(&servers(0..50)).unwrap();
        for number in 0..50 {
            let tagged = format!("a:{{key:{number}}}:b");
            assert_eq!(
                built.index(tagged.as_bytes()),
                built.index(&key(number)),
                "{text}"
            );
        }
    }
}

/// The rule read aloud: a map from place to server, and a walk.
#[test]
fn a_ring_finds_the_same_server_as_a_map_of_its_points() {
    for (count, points) in [(1, 1), (1, 3), (2, 1), (7, 100), (300, 5)] {
        let servers = servers(0..count);
        let mut map = BTreeMap::new();
        for (index, server) in servers.iter().enumerate() {
            for i in 0..points {
                let place = draw(xxh3(server.name.as_bytes()), i) >> 14;
                map.entry(place).or_insert(index as u16);
            }
        }
        let built = Study::Ring {
            points: points as u32,
        }
        .build(&servers)
        .unwrap();
        let Table::Ring(ring) = &built.table else {
            panic!("no ring");
        };
        let expected = |hash: u64| {
            let after = map.range(hash >> 14..).next();
            *after.or(map.first_key_value()).unwrap().1
        };
        let beside = |place: &u64| [place - 1, *place, place + 1].map(|place| place << 14);
        let edges = map
            .keys()
            .flat_map(beside)
            .chain([0, 1, u64::MAX, 1 << 63, (1 << 63) - 1]);
        for hash in edges.chain((0..20_000).map(|number| draw(7, number))) {
            assert_eq!(ring.owner(ring.position(hash)), expected(hash), "{hash:x}");
        }
        let arcs: u64 = (0..ring.count()).map(|position| ring.arc(position)).sum();
        assert_eq!(arcs, 1 << 50);
    }
}

#[test]
fn the_probe_closest_to_its_point_decides() {
    let servers = servers(0..40);
    let built = study("multi-probe/21").build(&servers).unwrap();
    let places: Vec<u64> = servers
        .iter()
        .map(|server| draw(xxh3(server.name.as_bytes()), 0) >> 14)
        .collect();
    for number in 0..2_000 {
        let hash = xxh3(&key(number));
        let ways = (0..21).flat_map(|probe| {
            let place = draw(hash, probe) >> 14;
            let way = move |point: &u64| (point.wrapping_sub(place)) & ((1 << 50) - 1);
            places.iter().map(way).zip(0_u16..).collect::<Vec<_>>()
        });
        assert_eq!(built.index(&key(number)), ways.min().unwrap().1);
    }
}

#[test]
fn the_highest_bid_of_the_next_different_servers_wins() {
    let servers = servers(0..20);
    let built = study("lrh/10/4").build(&servers).unwrap();
    let mut ring: Vec<(u64, u16)> = Vec::new();
    for (server, index) in servers.iter().zip(0..) {
        let seed = xxh3(server.name.as_bytes());
        ring.extend((0..10).map(|i| (draw(seed, i) >> 14, index)));
    }
    ring.sort_unstable();
    for number in 0..5_000 {
        let hash = xxh3(&key(number));
        let start = ring.partition_point(|(place, _)| *place < hash >> 14);
        let mut asked: Vec<u16> = Vec::new();
        for (_, server) in ring[start..].iter().chain(&ring) {
            if asked.len() < 4 && !asked.contains(server) {
                asked.push(*server);
            }
        }
        let bid = |server: &&u16| mix(hash ^ xxh3(servers[usize::from(**server)].name.as_bytes()));
        assert_eq!(
            built.index(&key(number)),
            *asked.iter().max_by_key(bid).unwrap()
        );
    }
    // With as many candidates as servers it is rendezvous, whatever the ring is like.
    let all = study("lrh/1/64").build(&servers).unwrap();
    let other = study("lrh/9/64").build(&servers).unwrap();
    assert!((0..2_000).all(|number| all.index(&key(number)) == other.index(&key(number))));
}

/// Where the same keys are, by name.
fn names(built: &Built, servers: &[NodeSpec], keys: u32) -> Vec<String> {
    (0..keys)
        .map(|number| servers[usize::from(built.index(&key(number)))].name.clone())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any number of steps, each of which takes some servers away and adds others.
    #[test]
    fn a_monotone_study_moves_only_keys_of_servers_that_go_and_to_servers_that_come(
        steps in proptest::collection::vec((proptest::collection::vec(0_usize..64, 0..6), 0_u32..6), 1..8),
        first in 1_u32..40,
    ) {
        for text in monotone() {
            let mut list = servers(0..first);
            let mut next_name = first;
            let mut built = study(text).build(&list).unwrap();
            let mut before = names(&built, &list, 300);
            for (gone, come) in &steps {
                let mut changed = list.clone();
                for at in gone {
                    if changed.len() > 1 {
                        changed.remove(at % changed.len());
                    }
                }
                let stays: Vec<String> = changed.iter().map(|server| server.name.clone()).collect();
                changed.extend(servers(next_name..next_name + come));
                next_name += come;
                built = built.changed(&changed).unwrap();
                let after = names(&built, &changed, 300);
                for (old, new) in before.iter().zip(&after) {
                    prop_assert!(
                        old == new || !stays.contains(old) || !stays.contains(new),
                        "{text}: from {old} to {new}, both of which stay"
                    );
                }
                (list, before) = (changed, after);
            }
            prop_assert!(list.len() == built.server_count());
        }
    }
}

#[test]
fn a_study_that_is_changed_and_changed_back_is_as_it_was() {
    for text in monotone() {
        let list = servers(0..30);
        let built = study(text).build(&list).unwrap();
        let before = names(&built, &list, 2_000);
        let fewer: Vec<NodeSpec> = [&list[..3], &list[4..17], &list[18..]].concat();
        let without = built.changed(&fewer).unwrap();
        // The last one that went is the first to come back.
        let with = [&fewer[..], &[list[17].clone()], &[list[3].clone()]].concat();
        let again = without.changed(&with).unwrap();
        assert_eq!(names(&again, &with, 2_000), before, "{text}");
    }
}

#[test]
fn a_server_that_comes_takes_its_share_and_one_that_goes_leaves_it_evenly() {
    const KEYS: u32 = 60_000;
    for text in ["anchor/30", "anchor/96", "dx/30", "dx/96", "memento"] {
        let list = servers(0..20);
        let built = study(text).build(&list).unwrap();
        let fewer: Vec<NodeSpec> = [&list[..5], &list[8..]].concat();
        let without = built.changed(&fewer).unwrap();
        let more = [&fewer[..], &servers(100..105)].concat();
        let with = without.changed(&more).unwrap();
        for (built, count) in [(&built, 20), (&without, 17), (&with, 22)] {
            let mut keys = vec![0_u32; count];
            for number in 0..KEYS {
                keys[usize::from(built.index(&key(number)))] += 1;
            }
            // Multinomial; five standard deviations.
            let mean = f64::from(KEYS) / count as f64;
            for (server, keys) in keys.iter().enumerate() {
                let sigmas = (f64::from(*keys) - mean) / mean.sqrt();
                assert!(
                    sigmas.abs() < 5.0,
                    "{text}, {count}: server {server} has {keys}"
                );
            }
        }
    }
}

#[test]
fn local_rendezvous_moves_about_as_many_keys_between_servers_that_stay_as_it_must_move() {
    const KEYS: u32 = 60_000;
    let list = servers(0..50);
    let fewer = [&list[..20], &list[21..]].concat();
    let built = study("lrh/64/8").build(&list).unwrap();
    let before = names(&built, &list, KEYS);
    let after = names(&built.changed(&fewer).unwrap(), &fewer, KEYS);
    let gone = &list[20].name;
    let moved = before.iter().zip(&after).filter(|(old, new)| old != new);
    let (due, excess): (Vec<_>, Vec<_>) = moved.partition(|(old, _)| *old == gone);
    // The one that goes was asked for C of n keys, and another one is asked in its place, which wins one of C: K / n again.
    let share = |moved: usize| moved as f64 * 50.0 / f64::from(KEYS);
    assert!((0.85..1.15).contains(&share(due.len())), "{}", due.len());
    assert!(
        (0.7..1.15).contains(&share(excess.len())),
        "{}",
        excess.len()
    );
}

#[test]
fn shares_are_what_many_keys_tend_to() {
    const KEYS: u32 = 200_000;
    let weighted: Vec<NodeSpec> = (0..12)
        .map(|i| NodeSpec::weighted(format!("server-{i}"), 1 + i % 4))
        .collect();
    let even = servers(0..12);
    for (text, list) in [
        ("ring/20", &weighted),
        ("multi-probe/7", &weighted),
        ("multi-probe/3/4", &even),
        ("multi-probe/1", &even),
        ("lrh/8/4", &even),
        ("lrh/8/32", &even),
    ] {
        let built = study(text).build(list).unwrap();
        let shares = built.shares().unwrap();
        let sum: f64 = shares.iter().sum();
        assert!((sum - 1.0).abs() < 1e-12, "{text}: {sum}");
        let mut keys = vec![0_u32; list.len()];
        for number in 0..KEYS {
            keys[usize::from(built.index(&key(number)))] += 1;
        }
        for (keys, share) in keys.iter().zip(&shares) {
            let expected = share * f64::from(KEYS);
            let sigmas = (f64::from(*keys) - expected) / expected.sqrt();
            assert!(
                sigmas.abs() < 4.5,
                "{text}: {keys} keys, expected {expected}"
            );
        }
    }
    assert_eq!(
        study("ring/1").build(&servers(0..1)).unwrap().shares(),
        Some(vec![1.0])
    );
    assert_eq!(study("memento").build(&even).unwrap().shares(), None);
}

#[test]
fn weights_are_points() {
    let list: Vec<NodeSpec> = (0..20)
        .map(|i| NodeSpec::weighted(format!("server-{i}"), 1 + i / 10))
        .collect();
    for text in ["ring/400", "multi-probe/21/20"] {
        let shares = study(text).build(&list).unwrap().shares().unwrap();
        let heavy: f64 = shares[10..].iter().sum();
        assert!((heavy - 2.0 / 3.0).abs() < 0.02, "{text}: {heavy}");
    }
}

#[test]
fn bounded_loads_are_bounded_and_a_key_leaves_its_server_only_when_that_is_full() {
    let list: Vec<NodeSpec> = (0..9)
        .map(|i| NodeSpec::weighted(format!("server-{i}"), 1 + i % 2))
        .collect();
    let built = study("ring/10").build(&list).unwrap();
    let keys: Vec<Vec<u8>> = (0..10_001).map(key).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    for percent in [100, 110, 125, 200] {
        let placed = built.bounded(&keys, percent).unwrap();
        let mut loads = [0_u64; 9];
        for (server, key) in placed.iter().zip(&keys) {
            let wanted = built.index(key);
            let room = |server: u16| {
                let weight = u64::from(list[usize::from(server)].weight);
                (10_001 * u64::from(percent) * weight).div_ceil(100 * 13)
            };
            if *server != wanted {
                assert_eq!(loads[usize::from(wanted)], room(wanted), "it is full");
            }
            loads[usize::from(*server)] += 1;
            assert!(loads[usize::from(*server)] <= room(*server));
        }
        assert_eq!(loads.iter().sum::<u64>(), 10_001);
    }
    assert_eq!(built.bounded(&keys, 99), None);
    assert_eq!(built.bounded(&keys, 100_001), None);
    assert_eq!(built.bounded(&[], 125), Some(Vec::new()));
    let anchor = study("anchor/9").build(&servers(0..9)).unwrap();
    assert_eq!(anchor.bounded(&keys, 125), None);
}

#[test]
fn tables_say_what_they_take() {
    let list = servers(0..1_000);
    // 100,000 points of 8 bytes, and 131,072 starts of 4.
    let ring = study("ring/100").build(&list).unwrap();
    assert_eq!(ring.table_bytes(), 800_000 + 524_288);
    assert_eq!(ring.study(), study("ring/100"));
    assert_eq!(ring.server_count(), 1_000);
    let lrh = study("lrh/100/8").build(&list).unwrap();
    assert_eq!(lrh.table_bytes(), ring.table_bytes() + 8_000);
    let anchor = study("anchor/2000").build(&list).unwrap();
    assert_eq!(anchor.table_bytes(), 2_000 * 8 + 2_000);
}
