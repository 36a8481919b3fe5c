//! Keys placed by the original programs: `tests/data/<origin>/`, see the README there.

use super::{Find, recipe};
use crate::placement::{Algorithm, NodeSpec, Options, Placement};
use std::path::Path;

mod codis;
mod digests;
mod envoy;
mod go_redis;
mod jedis;
mod libketama;
mod libmemcached;
mod nydus;
mod predis;
mod rb;
mod redis_cluster;
mod redis_rb;
mod twemproxy;

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

/// The names of the files of rows in `tests/data/<origin>/`: `nodes.csv` lists them.
fn files_of(origin: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(origin)
        .join("nodes.csv");
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut files: Vec<_> = text
        .lines()
        .skip(1)
        .filter_map(|line| {
            line.split_once(',')
                .map(|(file, _)| format!("{origin}/{file}"))
        })
        .collect();
    files.dedup();
    files
}

fn specs(names: impl IntoIterator<Item = impl Into<String>>) -> Vec<NodeSpec> {
    names.into_iter().map(NodeSpec::new).collect()
}

/// All points of a preset's circle, each with the node that has it.
fn points(algorithm: Algorithm, nodes: &[NodeSpec]) -> Vec<(u64, u16)> {
    let options = Options::default();
    let Find::Circle(circle) = recipe(algorithm, &options, nodes).unwrap().find else {
        panic!("{algorithm} has no circle");
    };
    circle.points(algorithm, &options, nodes).unwrap()
}

/// Both nodes have this point, and the one that is listed later gets it.
fn check_later_wins(algorithm: Algorithm, names: [&str; 2], point: u64) {
    for names in [names, [names[1], names[0]]] {
        let nodes = specs(names);
        for node in 0..2 {
            let alone = points(algorithm, &nodes[node..=node]);
            assert!(alone.contains(&(point, 0)), "{algorithm}: {names:?}");
        }
        assert!(
            points(algorithm, &nodes).contains(&(point, 1)),
            "{algorithm}: {names:?}"
        );
    }
}

/// Why no placement is made of these nodes.
fn refusal(algorithm: Algorithm, nodes: Vec<NodeSpec>) -> String {
    let refusal = Placement::new(algorithm, nodes).unwrap_err();
    format!("{refusal}\n")
}
