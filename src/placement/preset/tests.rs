//! Keys placed by the original programs: `tests/data/<origin>/`, see the README there.

use crate::placement::{Algorithm, NodeSpec, Options, Placement};
use std::path::Path;

/// One row of an original's answers: the key, and the node as the file names it.
type Row = (Vec<u8>, String);

/// The rows of `tests/data/<file>`.
fn golden(file: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("key,node"), "{file}");
    let rows = lines.map(|line| {
        let (key, node) = line.split_once(',').expect("two columns");
        let key = percent_encoding::percent_decode_str(key).collect();
        (key, node.to_owned())
    });
    rows.collect()
}

/// The rows of `nodes.csv` for `file`, as columns.
fn nodes_of(file: &str) -> Vec<Vec<String>> {
    let (origin, name) = file.split_once('/').expect("origin/file");
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(origin)
        .join("nodes.csv");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<Vec<String>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>())
        .filter(|row| row[0] == name)
        .collect();
    assert!(!rows.is_empty(), "{file} has no nodes");
    rows
}

/// Every row of `file` is where `placement` puts it; `nodes` are the file's words for the nodes, in order.
fn check(file: &str, placement: &Placement, nodes: &[String]) {
    let rows = golden(file);
    assert!(rows.len() >= 1_700, "{file} is cut off");
    for (key, expected) in rows {
        let node = &nodes[placement.node(&key).index()];
        assert_eq!(
            *node,
            expected,
            "{file}: key {:?}",
            key.escape_ascii().to_string()
        );
    }
}

fn specs(names: impl IntoIterator<Item = impl Into<String>>) -> Vec<NodeSpec> {
    names.into_iter().map(NodeSpec::new).collect()
}

mod envoy;

mod nydus {
    use super::*;

    #[test]
    fn places_every_key_as_nydus_does() {
        for file in [
            "ketama-4-localhost.csv",
            "ketama-5-dummyhost.csv",
            "ketama-64-loopback.csv",
            "ketama-4-localhost-down1.csv",
            "ketama-5-dummyhost-down2.csv",
        ] {
            let file = format!("nydus/{file}");
            let up: Vec<_> = nodes_of(&file)
                .into_iter()
                .filter(|row| row[3] == "up")
                .collect();
            let placement =
                Placement::new(Algorithm::NydusKetama, specs(up.iter().map(|row| &row[2])))
                    .unwrap();
            check(
                &file,
                &placement,
                &up.iter().map(|row| row[1].clone()).collect::<Vec<_>>(),
            );
        }
    }
}
