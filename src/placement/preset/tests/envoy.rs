//! No program placed these: the vectors are those of Envoy's own tests, `ring_hash_lb_test.cc` and `maglev_lb_test.cc` (main, 2026).

use super::super::{Finder, Preset};
use super::*;
use crate::hash::{murmur_libstdcxx, xxh64, xxh64_seed_1};
use crate::placement::PlacementError;
use keyway_testing::swept;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};

const RINGS: [Algorithm; 2] = [Algorithm::EnvoyRingXxhash, Algorithm::EnvoyRingMurmur2];

fn local(ports: impl IntoIterator<Item = u32>) -> Vec<NodeSpec> {
    specs(ports.into_iter().map(|port| format!("127.0.0.1:{port}")))
}

fn weighted(nodes: Vec<NodeSpec>, weights: impl IntoIterator<Item = u32>) -> Vec<NodeSpec> {
    let weighted = nodes.into_iter().zip(weights);
    weighted
        .map(|(node, weight)| NodeSpec::weighted(node.name, weight))
        .collect()
}

fn ring_of(min: u32, max: Option<u32>) -> Options {
    Options {
        ring_points_min: Some(min),
        ring_points_max: max,
        ..Options::default()
    }
}

fn table_of(entries: u32) -> Options {
    Options {
        table_entries: Some(entries),
        ..Options::default()
    }
}

fn preset(algorithm: Algorithm, options: &Options, nodes: &[NodeSpec]) -> Preset {
    Preset::new(algorithm, options, nodes).unwrap()
}

/// The node of a hash: Envoy's tests know no keys.
fn at(preset: &Preset, hash: u64) -> u16 {
    match &preset.finder {
        Finder::WideRing(ring) => ring.node(hash),
        Finder::Table(table) => table[(hash % table.len() as u64) as usize],
        _ => panic!("Envoy has no other"),
    }
}

/// Every point is its node's, and so is what comes behind the point before it.
fn check_ring(preset: &Preset, ring: &[(u16, u64)]) {
    for (this, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        assert_eq!(at(preset, this.1), this.0, "{}", this.1);
        assert_eq!(at(preset, this.1 + 1), next.0, "{} + 1", this.1);
    }
    assert_eq!(at(preset, 0), ring[0].0);
    assert_eq!(at(preset, u64::MAX), ring[0].0, "the ring closes");
}

#[test]
fn the_ring_is_that_of_envoys_test_basic() {
    let ring = [
        (4, 833_437_586_790_550_860),
        (2, 928_266_305_478_181_108),
        (0, 1_033_482_794_131_418_490),
        (5, 3_551_244_743_356_806_947),
        (3, 3_851_675_632_748_031_481),
        (1, 5_583_722_120_771_150_861),
        (1, 6_311_230_543_546_372_928),
        (3, 7_700_377_290_971_790_572),
        (5, 13_144_177_310_400_110_813),
        (2, 13_444_792_449_719_432_967),
        (4, 15_516_499_411_664_133_160),
        (0, 16_117_243_373_044_804_889),
    ];
    let nodes = local(90..96);
    check_ring(
        &preset(Algorithm::EnvoyRingXxhash, &ring_of(12, None), &nodes),
        &ring,
    );
}

#[test]
fn the_ring_is_that_of_envoys_test_basic_with_murmur2() {
    let ring = [
        (5, 1_358_027_074_129_602_068),
        (3, 4_361_834_613_929_391_114),
        (4, 7_224_494_972_555_149_682),
        (1, 7_701_421_856_454_313_576),
        (2, 8_649_315_368_077_433_379),
        (4, 8_739_448_859_063_030_639),
        (1, 9_887_544_217_113_020_895),
        (2, 10_150_910_876_324_007_731),
        (3, 15_168_472_011_420_622_455),
        (0, 15_427_156_902_705_414_897),
        (5, 16_375_050_414_328_759_093),
        (0, 17_613_279_263_364_193_813),
    ];
    let nodes = local(80..86);
    check_ring(
        &preset(Algorithm::EnvoyRingMurmur2, &ring_of(12, None), &nodes),
        &ring,
    );
}

#[test]
fn the_ring_is_that_of_envoys_test_basic_with_hostname() {
    let ring = [
        (5, 1_975_508_444_536_362_413),
        (5, 2_376_063_919_839_173_711),
        (3, 2_386_806_903_309_390_596),
        (4, 6_749_904_478_991_551_885),
        (3, 6_803_900_775_736_438_537),
        (2, 7_225_015_537_174_310_577),
        (0, 8_787_465_352_164_086_522),
        (2, 11_282_020_843_382_717_940),
        (1, 13_723_418_369_486_627_818),
        (0, 13_776_502_110_861_797_421),
        (1, 14_338_313_586_354_474_791),
        (4, 15_364_271_037_087_512_980),
    ];
    let nodes = specs((90..96).map(|name| name.to_string()));
    check_ring(
        &preset(Algorithm::EnvoyRingXxhash, &ring_of(12, None), &nodes),
        &ring,
    );
}

#[test]
fn the_rings_are_those_of_envoys_test_uneven_hosts() {
    let first = [
        (0, 5_454_692_015_285_649_509),
        (1, 7_859_399_908_942_313_493),
        (0, 13_838_424_394_637_650_569),
        (1, 16_064_866_803_292_627_174),
    ];
    let second = [
        (0, 7_859_399_908_942_313_493),
        (1, 8_241_336_090_459_785_962),
        (1, 12_882_406_409_176_325_258),
        (0, 16_064_866_803_292_627_174),
    ];
    for (ports, ring) in [([80, 81], first), ([81, 82], second)] {
        check_ring(
            &preset(Algorithm::EnvoyRingXxhash, &ring_of(3, None), &local(ports)),
            &ring,
        );
    }
}

#[test]
fn the_ring_is_that_of_envoys_test_host_weighted_tiny_ring() {
    let ring = [
        (2, 928_266_305_478_181_108),
        (2, 4_443_673_547_860_492_590),
        (1, 5_583_722_120_771_150_861),
        (1, 6_311_230_543_546_372_928),
        (2, 13_444_792_449_719_432_967),
        (0, 16_117_243_373_044_804_889),
    ];
    let nodes = weighted(local(90..93), 1..=3);
    check_ring(
        &preset(Algorithm::EnvoyRingXxhash, &ring_of(6, Some(6)), &nodes),
        &ring,
    );
}

/// How many of `count` hashes spread over the circle each node gets.
fn hits(preset: &Preset, node_count: usize, count: u64) -> Vec<u32> {
    let mut hits = vec![0; node_count];
    for i in 0..count {
        hits[usize::from(at(preset, i * (u64::MAX / count)))] += 1;
    }
    hits
}

#[test]
fn the_nodes_have_as_many_hashes_as_in_envoys_tests_of_large_rings() {
    let ring = preset(
        Algorithm::EnvoyRingXxhash,
        &ring_of(6_144, None),
        &weighted(local(90..93), 1..=3),
    );
    // HostWeightedLargeRing.
    assert_eq!(hits(&ring, 3, 6_000), [987, 1_932, 3_081]);
    let ring = preset(
        Algorithm::EnvoyRingXxhash,
        &ring_of(1_023, Some(1_023)),
        &local(90..92),
    );
    // LargeFractionalScale: 512 points and 511.
    assert_eq!(hits(&ring, 2, 1_023), [526, 497]);
}

#[test]
fn in_a_ring_that_is_too_small_some_nodes_have_no_points() {
    let ring = preset(
        Algorithm::EnvoyRingXxhash,
        &ring_of(2, Some(2)),
        &local(90..94),
    );
    // SmallFractionalScale: half a point each.
    let hits = hits(&ring, 4, 1_024);
    assert!(hits[0] > 0 && hits[2] > 0, "{hits:?}");
    assert_eq!([hits[1], hits[3]], [0, 0]);
}

#[test]
fn the_tables_are_those_of_envoys_maglev_tests() {
    let check = |entries: u32, nodes: &[NodeSpec], expected: &[u16]| {
        let maglev = preset(Algorithm::EnvoyMaglev, &table_of(entries), nodes);
        for hash in 0..3 * u64::from(entries) {
            let expected = expected[(hash % u64::from(entries)) as usize];
            assert_eq!(at(&maglev, hash), expected, "{hash}");
        }
    };
    // Basic, and BasicStability: the order of the hosts is of no importance.
    check(7, &local(90..96), &[2, 4, 0, 1, 5, 0, 3]);
    check(7, &local((90..96).rev()), &[3, 1, 5, 4, 0, 5, 2]);
    // BasicWithHostName.
    let named = specs((90..96).map(|name| name.to_string()));
    check(7, &named, &[2, 5, 0, 3, 4, 1, 0]);
    // Weighted.
    check(
        17,
        &weighted(local(90..92), [1, 2]),
        &[1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1],
    );
    // LocalityWeightedSameLocalityWeights: as without weights.
    check(
        17,
        &local(90..92),
        &[1, 0, 0, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1],
    );
    // LocalityWeightedDifferentLocalityWeights: 8 to 2, and nothing for the third.
    check(
        17,
        &weighted(local(90..92), [8, 2]),
        &[1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0],
    );
    // WeightedSingleHost.
    check(17, &weighted(local([90]), [7]), &[0; 17]);
}

/// As the original fills its table: every node is asked in every round.
fn table_read_aloud(entries: u64, nodes: &[NodeSpec]) -> Vec<u16> {
    let total: u32 = nodes.iter().map(|node| node.weight).sum();
    let share = |node: usize| f64::from(nodes[node].weight) * 1.0 / f64::from(total);
    let largest = (0..nodes.len()).map(share).fold(0.0, f64::max);
    let mut order: Vec<usize> = (0..nodes.len()).collect();
    order.sort_by_key(|node| &nodes[*node].name);
    let mut state: Vec<(u64, f64)> = vec![(0, 0.0); nodes.len()];
    let mut table = vec![None; entries as usize];
    for round in 1_u32.. {
        for &node in &order {
            if table.iter().all(Option::is_some) {
                return table.into_iter().flatten().collect();
            }
            let key = nodes[node].name.as_bytes();
            let (next, target) = &mut state[node];
            if f64::from(round) * share(node) < *target {
                continue;
            }
            *target += largest;
            loop {
                let skip = xxh64_seed_1(key) % (entries - 1) + 1;
                let entry = ((xxh64(key) % entries + skip * *next) % entries) as usize;
                *next += 1;
                if table[entry].is_none() {
                    table[entry] = Some(node as u16);
                    break;
                }
            }
        }
    }
    unreachable!()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_table_is_the_same_as_by_asking_every_node_in_every_round(
        weights in proptest::collection::vec(prop_oneof![Just(1_u32), 1..10_u32, 1..3_000_u32], 1..12),
        entries in prop_oneof![Just(13_u32), Just(17), Just(101), Just(307)],
    ) {
        let nodes = weighted(local(90..90 + weights.len() as u32), weights);
        let maglev = preset(Algorithm::EnvoyMaglev, &table_of(entries), &nodes);
        let expected = table_read_aloud(u64::from(entries), &nodes);
        for hash in 0..u64::from(entries) {
            prop_assert_eq!(at(&maglev, hash), expected[hash as usize]);
        }
    }
}

/// As the original makes its ring: point by point, while there are fewer than due.
fn ring_read_aloud(
    algorithm: Algorithm,
    (min, max): (f64, f64),
    nodes: &[NodeSpec],
) -> BTreeMap<u64, u16> {
    let total: u32 = nodes.iter().map(|node| node.weight).sum();
    let share = |spec: &NodeSpec| f64::from(spec.weight) * 1.0 / f64::from(total);
    let smallest = nodes.iter().map(share).fold(1.0, f64::min);
    let scale = f64::min((smallest * min).ceil() / smallest, max);
    let (mut current, mut target) = (0.0, 0.0);
    let mut ring = BTreeMap::new();
    for (node, spec) in nodes.iter().enumerate() {
        target += scale * share(spec);
        let mut i = 0;
        while current < target {
            let text = format!("{}_{i}", spec.name);
            let point = match algorithm {
                Algorithm::EnvoyRingMurmur2 => murmur_libstdcxx(text.as_bytes()),
                _ => xxh64(text.as_bytes()),
            };
            ring.insert(point, node as u16);
            i += 1;
            current += 1.0;
        }
    }
    ring
}

#[test]
fn keys_are_where_a_ring_made_point_by_point_has_them() {
    // Among these are numbers of equal nodes for which a share is rounded up, so that one node has a point more: 75, 77, 91, 1000.
    let unequal = |count: u32| weighted(local(0..count), (0..count).map(|i| 1 + i % 5));
    let lists = [1, 2, 3, 49, 75, 77, 91, 1_000]
        .map(|count| local(0..count))
        .into_iter()
        .chain([5, 7, 64].map(unequal));
    for nodes in lists {
        for algorithm in RINGS {
            let placement = Placement::new(algorithm, nodes.clone()).unwrap();
            let ring = ring_read_aloud(algorithm, (1_024.0, 8_388_608.0), &nodes);
            for i in 0..5_000 {
                let key = format!("user:{i}:timeline");
                let hash = murmur_libstdcxx(key.as_bytes());
                let expected = ring.range(hash..).next().or(ring.iter().next());
                assert_eq!(
                    placement.node(key.as_bytes()).0,
                    *expected.unwrap().1,
                    "{} nodes, {key}",
                    nodes.len()
                );
            }
        }
    }
}

#[test]
fn keys_are_where_a_table_has_the_remainder_of_their_hash() {
    let nodes = local(0..64);
    let placement = Placement::new(Algorithm::EnvoyMaglev, nodes.clone()).unwrap();
    let by_hash = preset(Algorithm::EnvoyMaglev, &Options::default(), &nodes);
    let mut counts: HashMap<u16, u32> = HashMap::new();
    for i in 0..65_537 {
        *counts.entry(at(&by_hash, i)).or_default() += 1;
        let key = format!("user:{i}:timeline");
        let hash = murmur_libstdcxx(key.as_bytes());
        assert_eq!(
            placement.node(key.as_bytes()).0,
            at(&by_hash, hash % 65_537)
        );
    }
    assert!(counts.len() == 64 && counts.values().all(|count| [1_024, 1_025].contains(count)));
}

#[test]
fn whole_keys_are_hashed_unless_hash_tags_are_on() {
    for algorithm in RINGS.into_iter().chain([Algorithm::EnvoyMaglev]) {
        let nodes = || local(0..64);
        let whole = Placement::new(algorithm, nodes()).unwrap();
        assert_eq!(whole.hashed(b"{user:1}:a"), b"{user:1}:a");
        let options = Options {
            hash_tag: Some(*b"{}"),
            ..Options::default()
        };
        let tagged = Placement::with_options(algorithm, options, nodes()).unwrap();
        for (key, hashed) in [
            ("{user:1}:a", "user:1"),
            ("a:{user:1}", "user:1"),
            ("{}:a", "{}:a"),
            ("{a", "{a"),
        ] {
            assert_eq!(tagged.hashed(key.as_bytes()), hashed.as_bytes());
            assert_eq!(
                tagged.node(key.as_bytes()),
                whole.node(hashed.as_bytes()),
                "{key}"
            );
        }
    }
}

#[test]
fn a_ring_of_the_largest_size_finds_its_nodes() {
    let most = swept(1 << 20, 8_388_608);
    let nodes = local(0..3);
    let ring = preset(Algorithm::EnvoyRingXxhash, &ring_of(most, None), &nodes);
    for (node, spec) in nodes.iter().enumerate() {
        // A third of all points, for the third node rounded down; the last ones too.
        for i in (0..most / 3).rev().step_by(997) {
            let point = xxh64(format!("{}_{i}", spec.name).as_bytes());
            assert_eq!(usize::from(at(&ring, point)), node, "{i}");
        }
    }
    // Where a node had more points than it should, it would have more hashes.
    let (keys, expected) = swept((60_000, 19_600..20_400), (300_000, 99_000..101_000));
    let hits = hits(&ring, 3, keys);
    assert!(hits.iter().all(|hits| expected.contains(hits)), "{hits:?}");
}

#[test]
fn what_envoy_does_not_take_is_refused_with_what_to_do() {
    let mut text = String::new();
    let mut refuse = |algorithm, options: Options, nodes: Vec<NodeSpec>| {
        let error = Placement::with_options(algorithm, options, nodes).unwrap_err();
        assert!(matches!(error, PlacementError::Refused { .. }), "{error}");
        text += &format!("{error}\n");
    };
    let ring = Algorithm::EnvoyRingXxhash;
    let tag = |hash_tag: &[u8; 2]| Options {
        hash_tag: Some(*hash_tag),
        ..Options::default()
    };
    refuse(ring, tag(b"<>"), local(90..92));
    refuse(Algorithm::EnvoyMaglev, tag(b"}{"), local(90..92));
    refuse(ring, ring_of(0, None), local(90..92));
    refuse(ring, ring_of(8_388_609, None), local(90..92));
    refuse(ring, ring_of(20, Some(10)), local(90..92));
    let only_max = Options {
        ring_points_max: Some(512),
        ..Options::default()
    };
    refuse(Algorithm::EnvoyRingMurmur2, only_max, local(90..92));
    let heavy = weighted(local(0..4_295), std::iter::repeat(1_000_000));
    refuse(ring, Options::default(), heavy);
    for entries in [0, 1, 65_536, 5_000_023, 4_294_967_291] {
        refuse(Algorithm::EnvoyMaglev, table_of(entries), local(90..92));
    }
    refuse(Algorithm::EnvoyMaglev, table_of(7), local(90..98));
    insta::assert_snapshot!(text, @r#"
    envoy-ring-xxhash: hash_tag is "<>": Envoy has tags between { and } only; write "{}" if its enable_hashtagging was true, else leave it out
    envoy-maglev: hash_tag is "}{": Envoy has tags between { and } only; write "{}" if its enable_hashtagging was true, else leave it out
    envoy-ring-xxhash: ring_points_min is 0: expected 1 to 8388608, as in Envoy's configuration
    envoy-ring-xxhash: ring_points_min is 8388609: expected 1 to 8388608, as in Envoy's configuration
    envoy-ring-xxhash: ring_points_min is 20 and ring_points_max is 10, but the one must not be above the other: Envoy refuses that too. Where its configuration has no minimum_ring_size it is 1024, and where it has no maximum_ring_size it is 8388608
    envoy-ring-murmur2: ring_points_min is 1024 and ring_points_max is 512, but the one must not be above the other: Envoy refuses that too. Where its configuration has no minimum_ring_size it is 1024, and where it has no maximum_ring_size it is 8388608
    envoy-ring-xxhash: the weights add up to 4295000000: Envoy takes at most 4294967295 in all
    envoy-maglev: table_entries is 0: expected a prime up to 5000011, as in Envoy's table_size
    envoy-maglev: table_entries is 1: expected a prime up to 5000011, as in Envoy's table_size
    envoy-maglev: table_entries is 65536: expected a prime up to 5000011, as in Envoy's table_size
    envoy-maglev: table_entries is 5000023: expected a prime up to 5000011, as in Envoy's table_size
    envoy-maglev: table_entries is 4294967291: expected a prime up to 5000011, as in Envoy's table_size
    envoy-maglev: 8 nodes for 7 entries of the table: the last ones would have none; give fewer nodes
    "#);
}

#[test]
fn equal_points_of_two_nodes_are_refused() {
    // By chance there is one in 10^11 rings; two hosts with one hash key have all their points in common.
    let mut nodes = local(90..93);
    for node in &mut nodes[1..] {
        node.label = Some(crate::placement::Label::new("same"));
    }
    for algorithm in RINGS {
        // A placement refuses equal labels before it looks at points.
        let preset = Preset::new(algorithm, &Options::default(), &nodes);
        let error = preset.err().expect("a clash");
        assert!(
            matches!(&error, PlacementError::PointClash { first, second, .. }
                if first == "127.0.0.1:91" && second == "127.0.0.1:92"),
            "{error}"
        );
    }
}

#[test]
fn a_ring_that_depends_on_the_processor_is_refused() {
    let refused = (1..=200).find_map(|count| {
        let nodes = weighted(local(0..count), (0..count).map(|i| 1 + i % 5));
        Placement::new(Algorithm::EnvoyRingXxhash, nodes).err()
    });
    insta::assert_snapshot!(refused.unwrap(), @"envoy-ring-xxhash: with these weights and this size of the ring, how many points a node has depends on what Envoy was built for: a compiler may round a product and a sum once (ARM) or twice (x86-64). There is no one placement to reproduce");
}
