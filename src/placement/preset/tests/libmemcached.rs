use super::super::Find;
use super::*;
use crate::hash::Hashkit;
use crate::hash::md5_le;

fn placement(mode: &str, hash: &str, nodes: Vec<NodeSpec>) -> Placement {
    let algorithm = match mode {
        "spyweighted" => Algorithm::LibmemcachedSpyWeighted,
        mode => format!("libmemcached-{mode}").parse().unwrap(),
    };
    let options = Options {
        hash: match hash {
            "default" => None,
            hash => Some(hash.parse().unwrap()),
        },
        ..Options::default()
    };
    Placement::with_options(algorithm, options, nodes).unwrap()
}

/// The eight servers of upstream's own tables.
fn upstream_nodes() -> Vec<NodeSpec> {
    let weights = [600, 300, 200, 350, 1000, 800, 950, 100];
    (1..)
        .zip(weights)
        .map(|(i, weight)| NodeSpec::weighted(format!("10.0.1.{i}:11211"), weight))
        .collect()
}

#[test]
fn places_every_key_as_libmemcached_does() {
    let files = files_of("libmemcached");
    assert_eq!(files.len(), 15);
    for file in files {
        let rows = nodes_of(&file);
        let nodes = rows
            .iter()
            .map(|row| {
                let [_, _, host, port, weight, ..] = &row[..] else {
                    panic!("{file}: {row:?}");
                };
                let name = match &port[..] {
                    "0" => host.clone(),
                    port => format!("{host}:{port}"),
                };
                NodeSpec::weighted(name, weight.parse().unwrap())
            })
            .collect();
        let placement = placement(&rows[0][5], &rows[0][6], nodes);
        let words: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        check(&file, &placement, &words);
    }
}

/// Upstream, `test/fixtures/ketama.hpp`: key, its hash, the point that has it, the server.
#[test]
fn a_key_a_point_and_a_server_are_those_that_libmemcached_tests() {
    let placement = placement("weighted", "default", upstream_nodes());
    let mut points = Vec::new();
    let circle = super::super::libmemcached::recipe(
        Algorithm::LibmemcachedWeighted,
        &Options::default(),
        &upstream_nodes(),
    );
    let Find::Circle(circle) = circle.unwrap().find else {
        panic!("a circle");
    };
    points.extend(
        circle
            .points(
                Algorithm::LibmemcachedWeighted,
                &Options::default(),
                &upstream_nodes(),
            )
            .unwrap(),
    );
    for (key, hash, point, server) in [
        ("SVa_]_V41)", 443_691_461, 445_379_617, "10.0.1.7:11211"),
        (
            "*/Z;?V(.\\8",
            1_422_915_503,
            1_428_303_028,
            "10.0.1.1:11211",
        ),
    ] {
        assert_eq!(md5_le(key.as_bytes()), hash);
        let at = points.partition_point(|&(end, _)| end < u64::from(hash));
        assert_eq!(points[at].0, point);
        assert_eq!(placement.node_name(placement.node(key.as_bytes())), server);
    }
    assert_eq!(md5_le(b"VDEAAAAA"), 0xFFFC_D1B5);
    assert!(points.last().unwrap().0 < 0xFFFC_D1B5);
    assert_eq!(
        placement.node(b"VDEAAAAA").0,
        points[0].1,
        "past the end is the first"
    );
}

#[test]
fn keys_are_hashed_as_libhashkit_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/libmemcached/hashes.csv");
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let hashes: Vec<Hashkit> = header[1..]
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
    assert_eq!(hashes.len(), 9);
    let mut rows = 0;
    for row in lines {
        let key: Vec<u8> = percent_encoding::percent_decode_str(row[0]).collect();
        for (hash, expected) in hashes.iter().zip(&row[1..]) {
            assert_eq!(
                hash.hash(&key).to_string(),
                *expected,
                "{hash} of {}",
                row[0]
            );
        }
        rows += 1;
    }
    assert!(rows > 100, "hashes.csv is cut off");
}
