use super::*;
use crate::placement::{Label, PlacementError};

fn host(id: u16, password: &str) -> String {
    format!(
        "<HostInfo db=0 host='127.0.0.1' host_id={id} password={password} port=6379 ssl=False ssl_options=None unix_socket_path=None>"
    )
}

#[test]
fn places_every_key_as_rb_does() {
    for file in ["rb/ketama-4.csv", "rb/ketama-64.csv"] {
        let rows = nodes_of(file);
        let nodes: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        let placement = Placement::new(Algorithm::RbKetama, specs(rows.iter().map(|row| &row[2])));
        check(file, &placement.unwrap(), &nodes);

        let labelled = rows.iter().map(|row| NodeSpec {
            label: Some(Label::new(&row[2])),
            ..NodeSpec::new(&row[1])
        });
        let placement = Placement::new(Algorithm::RbKetama, labelled.collect());
        check(file, &placement.unwrap(), &nodes);
    }
}

#[test]
fn partitions_every_key_as_rb_does() {
    for file in ["rb/partition-4.csv", "rb/partition-64.csv"] {
        let nodes: Vec<_> = nodes_of(file)
            .into_iter()
            .map(|row| row[1].clone())
            .collect();
        let placement = Placement::new(Algorithm::RbPartition, specs(&nodes)).unwrap();
        check(file, &placement, &nodes);
    }
}

#[test]
fn a_password_stays_in_the_label_and_moves_keys() {
    let placement = |password| {
        let nodes = (0..2).map(|id| NodeSpec {
            label: Some(Label::new(host(id, password))),
            ..NodeSpec::new(format!("host-{id}"))
        });
        Placement::new(Algorithm::RbKetama, nodes.collect()).unwrap()
    };
    let (open, secret) = (placement("None"), placement("'hunter2'"));
    let moved = (0..1_000).filter(|i| {
        let key = format!("key:{i}");
        open.node(key.as_bytes()) != secret.node(key.as_bytes())
    });
    assert!(moved.count() > 300);

    let text = refusal(
        Algorithm::RbKetama,
        specs([host(0, "None"), host(1, "'hunter2'")]),
    );
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text, @"rb-ketama: the name of node 1 has a password in it, and names are shown: put the text into the node's label, which is not, and give the node another name");
    let options = host(0, "None").replace(
        "ssl_options=None",
        "ssl_options={'ssl_password': 'hunter2'}",
    );
    assert!(!refusal(Algorithm::RbKetama, specs([options])).contains("hunter2"));
}

#[test]
fn refuses_names_and_labels_that_rb_does_not_hash() {
    let text = refusal(Algorithm::RbKetama, specs(["redis://127.0.0.1:6379/0"]));
    insta::assert_snapshot!(text, @"rb-ketama: the name of node 0 is not what rb hashes, which is the repr of a host. Ask rb's cluster for repr(cluster.hosts[0]), and take all of it, from <HostInfo to >: as the label, or as the name if it has no password");
    let labelled = |label: &str| NodeSpec {
        label: Some(Label::new(label)),
        ..NodeSpec::new("a")
    };
    let text = refusal(Algorithm::RbKetama, vec![labelled("hunter2")]);
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text, @"rb-ketama: the label of node 0 is not what rb hashes, which is the repr of a host. Ask rb's cluster for repr(cluster.hosts[0]), and take all of it, from <HostInfo to >: as the label, or as the name if it has no password");
    for cut in [
        host(0, "None").replace(" port=6379", ""),
        host(0, "None").replace("HostInfo", "Host"),
        host(0, "None").replace('>', ""),
    ] {
        refusal(Algorithm::RbKetama, vec![labelled(&cut)]);
    }
}

#[test]
fn refuses_two_hosts_with_one_point() {
    let names = [("10.0.0.4", 6, 54), ("10.0.0.42", 5, 661)].map(|(address, db, id)| {
        host(id, "None")
            .replace("127.0.0.1", address)
            .replace("db=0", &format!("db={db}"))
    });
    assert!(matches!(
        Placement::new(Algorithm::RbKetama, specs(names)),
        Err(PlacementError::PointClash {
            point: 1_220_306_118,
            ..
        })
    ));
}
