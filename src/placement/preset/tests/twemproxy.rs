use super::*;

#[test]
fn places_every_key_as_twemproxy_does() {
    let files = files_of("twemproxy");
    assert_eq!(files.len(), 26);
    for file in files {
        let rows = nodes_of(&file);
        let [.., distribution, hash, hash_tag] = &rows[0][..] else {
            panic!("{file}: {:?}", rows[0]);
        };
        let algorithm = format!("twemproxy-{distribution}").parse().unwrap();
        let options = Options {
            hash: match &hash[..] {
                "(default)" => None,
                hash => Some(hash.parse().unwrap()),
            },
            hash_tag: hash_tag.as_bytes().try_into().ok(),
            ..Options::default()
        };
        let nodes = rows
            .iter()
            .map(|row| {
                let [_, _, server, weight, name, ..] = &row[..] else {
                    panic!("{file}: {row:?}");
                };
                let name = if name.is_empty() { server } else { name };
                NodeSpec::weighted(name, weight.parse().unwrap())
            })
            .collect();
        let placement = Placement::with_options(algorithm, options, nodes).unwrap();
        let words: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        check(&file, &placement, &words);
    }
}

/// Upstream, `src/test_all.c`.
#[test]
fn the_points_of_a_server_are_those_that_twemproxy_tests() {
    let points = crate::placement::preset::md5_points("server1-8");
    assert_eq!((points[0], points[3]), (3_853_726_576, 2_667_054_752));
}

#[test]
fn points_of_15_bits_leave_one_server_all_keys() {
    let options = Options {
        hash: Some(crate::hash::Hashkit::Crc32),
        ..Options::default()
    };
    let nodes = specs(["a:1", "b:1", "c:1"]);
    let placement = Placement::with_options(Algorithm::TwemproxyKetama, options, nodes).unwrap();
    let first = placement.node(b"0");
    assert!((0..1_000).all(|i| placement.node(i.to_string().as_bytes()) == first));
}
