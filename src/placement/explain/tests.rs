//! What is explained is what happens.

use super::*;
use crate::hash::md5;
use crate::placement::Label;

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

fn placements() -> Vec<Placement> {
    let mut placements = Vec::new();
    for algorithm in Algorithm::OWN
        .into_iter()
        .chain([Algorithm::NydusKetama, Algorithm::NydusPartition])
    {
        for count in [1, 2, 7] {
            placements.push(Placement::new(algorithm, nodes(count)).unwrap());
        }
        let mut weighted = nodes(5);
        for (node, weight) in weighted.iter_mut().zip(1..) {
            node.weight = weight;
        }
        placements.extend(Placement::new(algorithm, weighted).ok());
    }
    placements
}

/// The node that the steps lead to.
fn found(explanation: &Explanation, placement: &Placement) -> u16 {
    match &explanation.finding {
        Finding::Ring { point, .. } => {
            let whose = |node: &NodeId| {
                point
                    .text
                    .starts_with(&format!("{}-", placement.node_name(*node)))
            };
            placement.nodes().find(whose).unwrap().0
        }
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
            assert_eq!(*entry, explanation.hash.value % entries);
            explanation.node
        }
        Finding::Jumps { landings, .. } => *landings.last().unwrap(),
    }
}

#[test]
fn the_steps_lead_to_the_node() {
    for placement in placements() {
        for i in 0..300 {
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
        } = explanation.finding
        else {
            panic!("nydus has a ring");
        };
        assert_eq!(points, 480);
        let digest = md5(point.text.as_bytes());
        let bytes = digest.as_chunks::<4>().0[point.part as usize];
        assert_eq!(point.hash.value, u64::from(u32::from_le_bytes(bytes)));
        assert_eq!(point.hash.value <= explanation.hash.value, has_wrapped);
        match has_wrapped {
            true => wrapped += 1,
            false => straight += 1,
        }
    }
}

#[test]
fn each_way_is_told_in_lines() {
    let mut text = String::new();
    for algorithm in [
        Algorithm::Ketama,
        Algorithm::Modulo,
        Algorithm::Rendezvous,
        Algorithm::Jump,
        Algorithm::Maglev,
        Algorithm::NydusKetama,
        Algorithm::NydusPartition,
    ] {
        let placement = Placement::new(algorithm, nodes(4)).unwrap();
        text += &format!("{}\n\n", placement.explain(b"cart:{7}"));
    }
    let mut weighted = nodes(3);
    weighted[2].weight = 10;
    let placement = Placement::new(Algorithm::Rendezvous, weighted).unwrap();
    text += &format!("{}\n", placement.explain(b"\xff"));
    insta::assert_snapshot!(text, @r#"
    placed by  ketama (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       1790921346 (0x6abf4a82) by CRC-32
    point      1796116398 (0x6b0e8fae) of 640
    made by    MD5, its bytes 0 to 3 little-endian, of "redis://localhost:6379/3-22"
    ring rule  the first point at or after the hash; after the last, the first
    node       3 "redis://localhost:6379/3"

    placed by  modulo (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       1790921346 (0x6abf4a82) by CRC-32
    modulo     1790921346 % 4 = 2
    node       2 "redis://localhost:6379/2"

    placed by  rendezvous (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       499566431179015674 (0x06eed105b82285fa) by XXH3 of 64 bits
    winner     0xfb47b02e661ec481 of node 1 "redis://localhost:6379/1"
    next best  0xb1b2fe0005ea658f of node 0 "redis://localhost:6379/0"
    bid rule   SplitMix64's finaliser of the hash xor XXH3 of the name; the highest wins
    node       1 "redis://localhost:6379/1"

    placed by  jump (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       499566431179015674 (0x06eed105b82285fa) by XXH3 of 64 bits
    jumps      0, 2; the next, 6, is beyond the last node
    node       2 "redis://localhost:6379/2"

    placed by  maglev (keyway)
    hashed     "7", its hash tag
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       499566431179015674 (0x06eed105b82285fa) by XXH3 of 64 bits
    entry      hash % 65537 = 38895
    node       0 "redis://localhost:6379/0"

    placed by  nydus-ketama (nydus, ConsistentHashingRouter)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       2788147221 (0xa62fc015) by MD5, its first four bytes little-endian
    point      2803627355 (0xa71bf55b) of 640
    made by    MD5, its bytes 0 to 3 little-endian, of "redis://localhost:6379/3-25-salt"
    ring rule  the first point after the hash, not at it; after the last, the first
    node       3 "redis://localhost:6379/3"

    placed by  nydus-partition (nydus, PartitionRouter)
    hashed     "cart:{7}", the whole key
    tag rule   none: the whole key, always
    hash       633268068 (0x25bee764) by CRC-32
    modulo     633268068 % 4 = 0
    node       0 "redis://localhost:6379/0"

    placed by  rendezvous (keyway)
    hashed     0xff, the whole key
    tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
    hash       15473502163978278702 (0xd6bcec3c6b29d72e) by XXH3 of 64 bits
    winner     0x55eb49d6a4112b3b of node 2 "redis://localhost:6379/2", cost 1.091771e-1
    next best  0x6c21133f04358559 of node 1 "redis://localhost:6379/1", cost 8.618506e-1
    bid rule   the bid is SplitMix64's finaliser of the hash xor XXH3 of the name; the lowest -ln(bid / 2^64) / weight wins
    node       2 "redis://localhost:6379/2"
    "#);
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
