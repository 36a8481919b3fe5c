use super::*;

#[test]
fn the_options_of_a_ring() {
    let import = import_as(Format::GoRedis, &text_of("import/ring.json"));
    let cluster = &import.clusters[0];
    assert!(!format!("{import:?}").contains("s3cret"));
    insta::assert_snapshot!(cluster.toml, @"");
    let config = config(cluster);
    assert_eq!(config.timeouts().response.as_millis(), 500);
    assert_eq!(config.timeouts().connect.as_millis(), 2_000);
    let endpoint = &config.servers()[0].endpoint;
    assert_eq!(endpoint.database, 3);
    assert_eq!(endpoint.username.as_deref(), Some("feeds"));
}

#[test]
fn names_of_shards_are_taken_as_json_means_them() {
    let text = "{\"a\\u00e9\\/\\\"$\": \"10.0.0.1:1\", \"\\ud83d\\ude00\": \"10.0.0.2:1\", \"x\": \"10.0.0.3:1\", \"x\": \"10.0.0.4:1\"}";
    let config = config(&import_as(Format::GoRedis, text).clusters[0]);
    let placement = config.placement();
    let names: Vec<_> = placement.nodes().map(|node| placement.node_name(node)).collect();
    assert_eq!(names, ["aé/\"$", "😀", "x"]);
    let server = config.topology().server_of(crate::placement::NodeId(2));
    assert_eq!(config.servers()[server.index()].endpoint.address.to_string(), "10.0.0.4:1");
}

#[test]
fn what_is_no_ring_is_refused() {
    let texts = [
        "[]",
        "{}",
        "{\"Addrs\": []}",
        "{\"Addrs\": {}}",
        "{\"Addrs\": {\"a\": 6379}}",
        "{\"a\": \"10.0.0.1:x\"}",
        "{\"a\": \"10.0.0.1:1\"",
        "{\"a\": \"10.0.0.1:1\",\n \"b\" \"s3cret\"}",
        "{\"Addrs\": {\"a\": \":1\"}, \"Adress\": 1}",
        "{\"Addrs\": {\"a\": \":1\"}, \"DB\": \"s3cret\"}",
        "{\"Addrs\": {\"a\": \":1\"}, \"Password\": [\"s3cret\"]}",
        "{\"Addrs\": {\"a\": \":1\"}, \"ReadTimeout\": \"3s\"}",
        "{\"a\": \"\\x41\"}",
        "{\"a\": True}",
    ];
    let refusals = texts.map(|text| refusal_as(Format::GoRedis, text));
    let refusals = refusals.join("\n");
    assert!(!refusals.contains("s3cret"));
    insta::assert_snapshot!(refusals, @"");
}
