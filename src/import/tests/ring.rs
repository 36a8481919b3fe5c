use super::*;

#[test]
fn the_options_of_a_ring() {
    let import = import_as(Format::GoRedis, &text_of("import/ring.json"));
    let cluster = &import.clusters[0];
    assert!(!format!("{import:?}").contains("s3cret"));
    insta::assert_snapshot!(cluster.toml, @r#"
    # Made by `keyway import` from original, the Ring, line 2.
    # Before it is used, `keyway check` this file: it samples the keys of every server and must find
    # none misplaced.
    #
    # To do:
    # - Password (line 8): set the variable RING_PASSWORD to the password, which is not in this file
    # - NewConsistentHash: this file is for the Ring of go-redis 8 and later without a NewConsistentHash
    #   of its own; with one, or before version 8, keys are elsewhere
    #
    # No equal:
    # - PoolSize (line 12): not taken over; see [retry], [pool], [tcp] and TLS in keyway's reference
    # - MaxRetries (line 13): not taken over; see [retry], [pool], [tcp] and TLS in keyway's reference
    # - HeartbeatFrequency: a Ring sends the keys of a shard that is down to the others; here they are
    #   errors, or misses with mode = "cache". What was written meanwhile lies where nobody looks for
    #   it; `keyway check` finds it
    #
    # Different:
    # - DialTimeout (line 10): timeouts.connect here
    # - ReadTimeout (line 11): timeouts.response here, which is the deadline of a whole call with its
    #   retries

    name = "ring"

    # Fixed for the life of the data: another algorithm, name, weight or order looks for keys where they
    # are not.
    [placement]
    algorithm = "go-redis-ring"
    names = ["shard1", "shard2", "local"]

    [defaults]
    database = 3
    username = "feeds"
    password = "${RING_PASSWORD}"

    [timeouts]
    connect = "2s"
    response = "500ms"

    # Line 3: shard "shard1"
    [servers.shard1]
    url = "redis://10.2.0.1:6379"
    nodes = ["shard1"]

    # Line 4: shard "shard2"
    [servers.shard2]
    url = "redis://10.2.0.2:6379"
    nodes = ["shard2"]

    # Line 5: shard "local"
    [servers.local]
    url = "redis://127.0.0.1:7000"
    nodes = ["local"]
    "#);
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
    let names: Vec<_> = placement
        .nodes()
        .map(|node| placement.node_name(node))
        .collect();
    assert_eq!(names, ["aé/\"$", "😀", "x"]);
    let server = config.topology().server_of(crate::placement::NodeId(2));
    assert_eq!(
        config.servers()[server.index()]
            .endpoint
            .address
            .to_string(),
        "10.0.0.4:1"
    );
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
    insta::assert_snapshot!(refusals, @r#"
    original:1:1: not an object
      = read: a list
      = expected: {"shard1": "10.0.0.1:6379"}, or RingOptions: {"Addrs": {..}}
      = help: give the map that RingOptions.Addrs is set to
    original:1:1: a Ring of 0 shards
      = expected: 1 to 16384 shards
      = help: give the map that is in use
    original:1:11: Addrs is no object
      = read: a list
      = expected: {"shard1": "10.0.0.1:6379"}
      = help: a Ring hashes the names of its shards, so an address alone is not enough
    original:1:11: a Ring of 0 shards
      = expected: 1 to 16384 shards
      = help: give the map that is in use
    original:1:17: the address of the shard "a" is no text
      = read: a number
      = expected: host:port in quotes
      = help: write it as Go dials it
    original:1:7: the port is not a number from 1 to 65535
      = read: "x"
      = expected: a port, such as 6379
      = help: check the port
    original:1:1: a bracket that is not closed
      = read: '{', and the text ends
      = expected: a closing bracket for each opening one
      = help: is this the whole text?
    original:2:6: not a value of JSON as settings have them
      = read: a text
      = expected: a colon behind the key
      = help: is a comma missing before it, or a quote?
    original:1:24: RingOptions has no such field
      = read: "Adress"
      = expected: fields of go-redis's RingOptions: Addrs, Username, Password, DB, ..
      = help: remove it, or correct its name
    original:1:30: DB is not the number of a database
      = read: a text
      = expected: a number from 0
      = help: correct it
    original:1:36: Password is no text
      = read: a list
      = expected: a text in quotes
      = help: correct it
    original:1:39: ReadTimeout is no number
      = read: a text
      = expected: nanoseconds, as Go's time.Duration is in JSON
      = help: write 3000000000 for three seconds
    original:1:8: an escape that JSON has not
      = read: \x
      = expected: an escape that the language has: \n, \", \\, \u00e9
      = help: a backslash itself is written twice
    original:1:7: a word without quotes
      = read: True
      = expected: JSON: texts in double quotes, numbers, true, false, null, { } and [ ]
      = help: put it into double quotes
    "#);
}
