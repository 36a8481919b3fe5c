use super::*;
use crate::placement::{Label, PlacementError};

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
        let names = specs(up.iter().map(|row| &row[2]));
        let placement = Placement::new(Algorithm::NydusKetama, names).unwrap();
        let nodes: Vec<_> = up.iter().map(|row| row[1].clone()).collect();
        check(&file, &placement, &nodes);
    }
}

#[test]
fn partitions_every_key_as_nydus_does() {
    for file in ["partition-3.csv", "partition-10.csv", "partition-64.csv"] {
        let file = format!("nydus/{file}");
        let rows = nodes_of(&file);
        let names = specs(rows.iter().map(|row| &row[2]));
        let placement = Placement::new(Algorithm::NydusPartition, names).unwrap();
        let nodes: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        check(&file, &placement, &nodes);
    }
}

/// nydus 0.11.0, tests/nydus/db/routers/tests.py.
#[test]
fn passes_nyduss_own_tests() {
    let node = |hosts: &[u16]| {
        let names = hosts.iter().map(|host| format!("dummyhost:{host}"));
        let placement = Placement::new(Algorithm::NydusKetama, specs(names)).unwrap();
        hosts[placement.node(b"foo").index()]
    };
    assert_eq!(node(&[0, 1, 2, 3, 4]), 2);
    assert_eq!(node(&[0, 1, 3, 4]), 4);
}

#[test]
fn refuses_two_hosts_with_one_point() {
    let names = ["redis://10.0.0.8:6379/6", "redis://10.0.0.15:6379/10"];
    let refused = Placement::new(Algorithm::NydusKetama, specs(names)).unwrap_err();
    let PlacementError::PointClash { point, .. } = &refused else {
        panic!("{refused}");
    };
    // Digest 28 of the one and digest 23 of the other.
    assert_eq!(*point, 2_551_265_880);
    insta::assert_snapshot!(refused, @r#"nydus-ketama: the nodes "redis://10.0.0.8:6379/6" and "redis://10.0.0.15:6379/10" have the point 2551265880 both, and the original leaves to chance whose it is. With data in place, neither rename a node nor leave one out, as that moves keys: ask the original where a key with this hash is, and place keys by a function of your own that says so (custom). If no data is there yet, rename one of the two"#);

    // Beside others, and wherever they stand in the list.
    let others = (0..50).map(|db| format!("redis://10.0.1.1:6379/{db}"));
    let names = names.map(str::to_owned).into_iter().chain(others);
    for nodes in [specs(names.clone()), specs(names.rev())] {
        assert!(matches!(
            Placement::new(Algorithm::NydusKetama, nodes),
            Err(PlacementError::PointClash { .. })
        ));
    }
}

#[test]
fn an_identifier_with_a_password_is_a_label_and_no_name() {
    let name = "redis://:hunter2@10.0.0.1:6379/0";
    let refused = refusal(Algorithm::NydusKetama, specs([name]));
    assert!(!refused.contains("hunter2"), "{refused}");
    insta::assert_snapshot!(refused, @"nydus-ketama: the name of node 0 has a user or a password, which nydus does not hash and a name would show: leave it out, as in redis://10.0.0.1:6379/0. If it is an `identifier` from nydus's configuration, put it into the node's label, which is hashed as it is");
    let mut node = NodeSpec::new("a");
    node.label = Some(Label::new(name));
    assert!(Placement::new(Algorithm::NydusKetama, vec![node]).is_ok());
}
