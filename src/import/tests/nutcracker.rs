use super::*;

fn pools() -> Import {
    import_as(Format::Nutcracker, &text_of("import/pools.yml"))
}

fn minimal(directives: &str) -> String {
    format!(
        "a:\n  listen: 127.0.0.1:1\n  redis: true\n{directives}  servers:\n   - 10.0.0.1:6379:1\n"
    )
}

#[test]
fn every_pool_of_redis_becomes_a_file_and_the_others_are_named() {
    let import = pools();
    let clusters: Vec<_> = import
        .clusters
        .iter()
        .map(|cluster| (&*cluster.origin, cluster.line))
        .collect();
    assert_eq!(clusters, [("timelines", 2), ("counters", 24)]);
    let skipped: Vec<_> = import
        .skipped
        .iter()
        .map(|skipped| {
            format!(
                "{} (line {}): {}",
                skipped.origin, skipped.line, skipped.reason
            )
        })
        .collect();
    insta::assert_snapshot!(skipped.join("\n"), @r#"
    sessions (line 33): without redis: true it is a pool of memcached servers, which keyway does not speak to
    pages (line 42): redis: false makes it a pool of memcached servers, which keyway does not speak to
    scatter (line 49): distribution: random puts every key on any server, so that none can be found again. Its data is read by asking every server for every key: cluster.servers().each(..) with any algorithm; then write it anew under that
    "#);
}

#[test]
fn a_pool_with_most_directives() {
    let import = pools();
    let cluster = &import.clusters[0];
    assert_eq!(cluster.variables, ["TIMELINES_PASSWORD"]);
    insta::assert_snapshot!(cluster.toml, @r#"
    # Made by `keyway import` from original, pool "timelines", line 2.
    # Before it is used, `keyway check` this file: it samples the keys of every server and must find
    # none misplaced.
    #
    # To do:
    # - redis_auth (line 9): set the variable TIMELINES_PASSWORD to the password, which is not in this
    #   file
    #
    # No equal:
    # - auto_eject_hosts (line 7): the keys of a dead server go nowhere else: they are errors, or misses
    #   with mode = "cache". What nutcracker wrote while a server was ejected lies on others, where
    #   nobody looks for it; `keyway check` finds it
    # - server_retry_timeout (line 11): nothing is ejected, so nothing has to be let in again; a lost
    #   server is dialled again at growing intervals up to 1s
    # - server_failure_limit (line 12): nothing is ejected, so nothing has to be let in again; a lost
    #   server is dialled again at growing intervals up to 1s
    # - listen, backlog, client_connections: there is no proxy, and nothing listens. Every process that
    #   uses keyway connects to every server itself: they must be reachable from there, and their
    #   maxclients must allow it
    #
    # Different:
    # - timeout (line 18): timeouts.connect and timeouts.response here. keyway's deadline is that of a
    #   whole call, with its retries
    # - server_connections (line 13): not taken over: one connection carries the commands of all tasks,
    #   and pool.connections = 8 would be no help, as a server with one node uses one of them. For big
    #   values there is cluster.bulk()
    # - preconnect (line 16): keyway always does; startup = "all" makes it an error if a server cannot
    #   be reached then

    name = "timelines"

    # Fixed for the life of the data: another algorithm, name, weight or order looks for keys where they
    # are not.
    [placement]
    algorithm = "twemproxy-ketama"
    hash = "fnv1a_64"
    hash_tag = "{}"
    names = ["timelines-01", "timelines-02", "timelines-03"]
    weights = [1, 1, 2]

    [defaults]
    database = 2
    password = "${TIMELINES_PASSWORD}"

    [timeouts]
    connect = "400ms"
    response = "400ms"

    [tcp]
    keepalive = true

    # Line 20: - redis-01.example.net:6379:1 timelines-01
    [servers.timelines-01]
    url = "redis://redis-01.example.net:6379"
    nodes = ["timelines-01"]

    # Line 21: - redis-02.example.net:6379:1 timelines-02
    [servers.timelines-02]
    url = "redis://redis-02.example.net:6379"
    nodes = ["timelines-02"]

    # Line 22: - redis-03.example.net:6379:2 timelines-03
    [servers.timelines-03]
    url = "redis://redis-03.example.net:6379"
    nodes = ["timelines-03"]
    "#);
    let config = config(cluster);
    assert_eq!(config.servers().len(), 3);
    assert_eq!(config.timeouts().response.as_millis(), 400);
    assert_eq!(config.timeouts().connect.as_millis(), 400);
    assert!(config.tcp().keepalive);
    assert!(
        config
            .servers()
            .iter()
            .all(|server| server.endpoint.database == 2 && server.endpoint.password.is_some())
    );
}

#[test]
fn a_pool_with_few_directives_has_nutcrackers_defaults() {
    let import = import_as(Format::Nutcracker, &text_of("import/minimal.yml"));
    let cluster = &import.clusters[0];
    insta::assert_snapshot!(cluster.toml, @r#"
    # Made by `keyway import` from original, pool "feeds", line 2.
    # Before it is used, `keyway check` this file: it samples the keys of every server and must find
    # none misplaced.
    #
    # No equal:
    # - listen: there is no proxy, and nothing listens. Every process that uses keyway connects to every
    #   server itself: they must be reachable from there, and their maxclients must allow it
    #
    # Different:
    # - timeout: nutcracker waits for ever without one, and so may a client of keyway not:
    #   timeouts.response is 500ms unless the file says otherwise

    name = "feeds"

    # Fixed for the life of the data: another algorithm, name, weight or order looks for keys where they
    # are not.
    [placement]
    algorithm = "twemproxy-ketama"
    hash = "fnv1a_64"
    names = ["localhost:6379", "second"]

    # Line 4: - localhost:6379:1
    [servers.localhost-6379]
    url = "redis://localhost:6379"
    nodes = ["localhost:6379"]

    # Line 5: - localhost:6380:1 second
    [servers.second]
    url = "redis://localhost:6380"
    nodes = ["second"]
    "#);
    let config = config(cluster);
    assert_eq!(config.placement().algorithm(), Algorithm::TwemproxyKetama);
    assert_eq!(
        config.placement().options().hash.unwrap().name(),
        "fnv1a_64"
    );
    assert_eq!(config.placement().options().hash_tag, None);
}

#[test]
fn peculiar_names_are_hashed_as_nutcracker_does() {
    let import = import_as(Format::Nutcracker, &text_of("import/names.yml"));
    let cluster = &import.clusters[0];
    insta::assert_snapshot!(cluster.toml, @r#"
    # Made by `keyway import` from original, pool "shards/eu", line 1.
    # Before it is used, `keyway check` this file: it samples the keys of every server and must find
    # none misplaced.
    #
    # No equal:
    # - server_retry_timeout (line 7): of use to nutcracker with auto_eject_hosts only; keyway dials a
    #   lost server again by itself, at growing intervals up to 1s
    # - listen: there is no proxy, and nothing listens. Every process that uses keyway connects to every
    #   server itself: they must be reachable from there, and their maxclients must allow it
    #
    # Different:
    # - servers: servers of one address are one server here, which has the nodes of all of them
    # - servers (line 16): nutcracker finds no host by an address in [ ], so that it never reached this
    #   server; keyway does
    # - timeout (line 8): 0 waits for ever, and so may a client of keyway not: timeouts.response is
    #   500ms unless the file says otherwise
    # - name (line 1): "shards/eu" is no name for a cluster, or another cluster has it: it is called
    #   "shards-eu" here, which is part of the names of connections only

    name = "shards-eu"

    # Fixed for the life of the data: another algorithm, name, weight or order looks for keys where they
    # are not.
    [placement]
    algorithm = "twemproxy-ketama"
    hash = "murmur"
    hash_tag = "||"
    names = [
      "shard0", "shard1", "10.0.0.9:11211", "10.0.0.3", "10.0.0.4:06379", "2001:db8::5:6379",
      "[2001:db8::6]:6379", "/run/redis/seven.sock:", "eight$$8",
    ]
    weights = [1, 1, 3, 1, 1, 1, 1, 1, 1]
    labels = [
      "shard0", "shard1", "10.0.0.9:11211", "10.0.0.3", "10.0.0.4:06379", "2001:db8::5:6379",
      "[2001:db8::6]:6379", "/run/redis/seven.sock:", "eight$$8",
    ]

    # Line 10: - 10.0.0.1:6379:1 shard0
    # Line 11: - 10.0.0.1:6379:1 shard1
    [servers.shard0]
    url = "redis://10.0.0.1:6379"
    nodes = ["shard0", "shard1"]

    # Line 12: - 10.0.0.2:6379:3 10.0.0.9:11211
    [servers."10.0.0.9-11211"]
    url = "redis://10.0.0.2:6379"
    nodes = ["10.0.0.9:11211"]

    # Line 13: - 10.0.0.3:11211:1
    [servers."10.0.0.3-11211"]
    url = "redis://10.0.0.3:11211"
    nodes = ["10.0.0.3"]

    # Line 14: - 10.0.0.4:06379:1
    [servers."10.0.0.4-6379"]
    url = "redis://10.0.0.4:6379"
    nodes = ["10.0.0.4:06379"]

    # Line 15: - 2001:db8::5:6379:1
    [servers.2001-db8--5-6379]
    url = "redis://[2001:db8::5]:6379"
    nodes = ["2001:db8::5:6379"]

    # Line 16: - [2001:db8::6]:6379:1
    [servers.2001-db8--6-6379]
    url = "redis://[2001:db8::6]:6379"
    nodes = ["[2001:db8::6]:6379"]

    # Line 17: - /run/redis/seven.sock:1
    [servers."seven.sock"]
    url = "unix:///run/redis/seven.sock"
    nodes = ["/run/redis/seven.sock:"]

    # Line 18: - /run/redis/eight.sock:1 eight$8
    [servers.eight-8]
    url = "unix:///run/redis/eight.sock"
    nodes = ["eight$$8"]
    "#);
    // The same without keyway's names: what nutcracker hashes, each as a label.
    let hashed = [
        "shard0",
        "shard1",
        "10.0.0.9:11211",
        "10.0.0.3",
        "10.0.0.4:06379",
        "2001:db8::5:6379",
        "[2001:db8::6]:6379",
        "/run/redis/seven.sock:",
        "eight$8",
    ];
    let nodes = hashed
        .iter()
        .enumerate()
        .map(|(index, hashed)| crate::placement::NodeSpec {
            label: Some(crate::placement::Label::new(*hashed)),
            ..crate::placement::NodeSpec::weighted(
                index.to_string(),
                if index == 2 { 3 } else { 1 },
            )
        });
    let options = crate::placement::Options {
        hash: Some(crate::hash::Hashkit::Murmur),
        hash_tag: Some(*b"||"),
        ..crate::placement::Options::default()
    };
    let expected = crate::placement::Placement::with_options(
        Algorithm::TwemproxyKetama,
        options,
        nodes.collect(),
    )
    .unwrap();
    let config = config(cluster);
    for i in 0..2_000 {
        let key = format!("user:{i}|tag{}|", i % 7);
        assert_eq!(
            config.placement().node(key.as_bytes()),
            expected.node(key.as_bytes()),
            "{key}"
        );
    }
    assert_eq!(
        config.servers().len(),
        8,
        "two servers of one address are one database"
    );
}

/// A dollar starts a variable in a cluster file.
#[test]
fn dollars_stay_dollars() {
    let text = minimal("  hash_tag: \"$$\"\n").replace("6379:1", "6379:1 ${HOME}$");
    let config = config(&import_as(Format::Nutcracker, &text).clusters[0]);
    assert_eq!(config.placement().options().hash_tag, Some(*b"$$"));
    assert_eq!(
        config.placement().node_name(crate::placement::NodeId(0)),
        "${HOME}$"
    );
}

/// Each of these names would be read as an address, and another text hashed, if it were a node's name.
#[test]
fn a_name_that_looks_like_an_address_is_a_label() {
    for name in ["a:11211", "/a", "a:6379:1"] {
        let text = format!(
            "a:\n  listen: 127.0.0.1:1\n  redis: true\n  servers:\n   - 10.0.0.1:6379:1 {name}\n   - 10.0.0.2:6379:1 b\n"
        );
        let import = import_as(Format::Nutcracker, &text);
        assert!(
            import.clusters[0]
                .toml
                .contains(&format!("labels = [\"{name}\", \"b\"]")),
            "{}",
            import.clusters[0].toml
        );
        config(&import.clusters[0]);
    }
}

#[test]
fn no_password_is_in_what_is_handed_out() {
    let import = pools();
    assert!(!format!("{import:?}").contains("s3cret"));
    for file in ["memcache-auth", "empty-value"] {
        let text = text_of(&format!("import/broken/{file}.yml"));
        assert!(!refusal_as(Format::Nutcracker, &text).contains("s3cret"));
    }
    // A password in a misspelt directive, in two, in a list.
    for text in [
        minimal("  redis_aut: s3cret\n"),
        minimal("  redis_auth: s3cret\n  redis_auth: s3cret\n"),
        minimal("  redis_auth:\n   - s3cret\n"),
        minimal("  redis_auth: s3cret: s3cret\n"),
        minimal("  redis_auth: \"s3cret\n"),
        minimal("  redis_auth: {s3cret}\n"),
        minimal("  redis_auth: *s3cret\n"),
        minimal("  redis_auth: &s3cret x\n"),
        minimal("  redis_auth: !s3cret x\n"),
        minimal("  redis_auth: @s3cret\n"),
    ] {
        let refusal = refusal_as(Format::Nutcracker, &text);
        assert!(!refusal.contains("s3cret"), "{text}{refusal}");
    }
}

#[test]
fn what_nutcracker_refuses_is_refused_at_its_place() {
    let mut refusals = String::new();
    let mut count = 0;
    let mut files: Vec<_> = std::fs::read_dir(data("import/broken"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected = text
            .lines()
            .next()
            .unwrap()
            .trim_start_matches("# refused at ");
        let name = file.file_name().unwrap().to_string_lossy();
        let refusal = refusal_as(Format::Nutcracker, &text);
        assert!(
            refusal.starts_with(&format!("original:{expected}: ")),
            "{name}: {refusal}"
        );
        assert!(refusal.contains("\n  = help: "), "{name}: {refusal}");
        refusals += &format!("{name} {}\n", refusal.lines().next().unwrap());
        count += 1;
    }
    assert_eq!(count, 27);
    insta::assert_snapshot!(refusals, @r#"
    anchor.yml original:3:11: nutcracker refuses anchors (&name)
    bool.yml original:4:10: neither true nor false
    document.yml original:2:1: nutcracker refuses document markers (---, ...), directives (%) and second documents
    duplicate-directive.yml original:5:3: "redis" stands twice in one pool
    duplicate-listen.yml original:7:1: two pools have one listening address
    duplicate-server.yml original:7:6: two servers have one name
    empty-value.yml original:5:13: an empty text
    flow-tag.yml original:5:13: nutcracker refuses mappings in { }
    fork-directive.yml original:5:3: nutcracker 0.5.0 has no such directive
    fork-distribution.yml original:5:17: unknown distribution
    fork-pools.yml original:4:5: the directive "a" has directives of its own
    hash-tag.yml original:5:13: hash_tag has not two characters
    hash.yml original:5:9: unknown hash
    list-of-lists.yml original:6:6: a list in a list
    memcache-auth.yml original:4:3: redis_auth in a pool that is not for Redis
    no-listen.yml original:2:1: no `listen` in the pool "a"
    no-port.yml original:6:6: the server has no port, or no weight
    no-servers.yml original:2:1: no servers in the pool "a"
    number.yml original:5:12: not a number
    overflow.yml original:5:12: the number is too large: nutcracker counts in 32 bits and takes another
    pool-scalar.yml original:2:4: a pool without directives
    server-key.yml original:6:6: a list item with a key
    spaces.yml original:6:6: the server's weight is not a number from 1 to 2147483647
    tab.yml original:3:1: a tab before the text of a line
    template.yml original:2:2: not YAML: unexpected character: `%'
    unclosed.yml original:5:13: not YAML: invalid indentation in quoted scalar
    weight.yml original:6:6: the server's weight is 0
    "#);
}

#[test]
fn a_refusal_says_what_to_do() {
    let refusals = [
        text_of("import/broken/fork-directive.yml"),
        text_of("import/broken/duplicate-server.yml"),
        minimal("  listen: 127.0.0.1\n").replace("  listen: 127.0.0.1:1\n", ""),
        minimal("  hash_tag: é\n"),
        "a:\n  listen: 127.0.0.1:1\n  redis: true\n  servers:\n   - a b:6379:1\n".to_owned(),
        "a:\n  listen: 127.0.0.1:1\n  redis: true\n  servers:\n   - a/b:6379:1\n".to_owned(),
        // Two points of md5 that are equal: the original leaves to chance whose it is.
        "a:\n  listen: 127.0.0.1:1\n  redis: true\n  servers:\n   - h:1:2000000 x\n".to_owned(),
    ]
    .map(|text| refusal_as(Format::Nutcracker, &text));
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    original:5:3: nutcracker 0.5.0 has no such directive
      = read: "sentinels"
      = expected: listen, hash, hash_tag, distribution, timeout, backlog, client_connections, redis, tcpkeepalive, reuseport, redis_auth, redis_db, preconnect, auto_eject_hosts, server_connections, server_retry_timeout, server_failure_limit, servers
      = help: if a changed nutcracker reads this file: find out whether the directive changes where keys are; if it does not, remove the line and import again
    original:7:6: two servers have one name
      = read: "10.0.0.1:6379", as in line 6
      = expected: names that differ: nutcracker refuses others. Without a name, host:port is one, without the port if it is 11211
      = help: remove or rename one
    original:3:11: the listening address has no port
      = read: "127.0.0.1"
      = expected: host:port, or the path of a socket and maybe its permissions in octal
      = help: see twemproxy's README for what listen may be
    original:4:3: hash_tag is one character of two bytes
      = expected: two ASCII characters
      = help: keyway has no such tags: place keys by a function of your own (custom)
    original:5:6: the server has no weight
      = read: "a b:6379:1"
      = expected: host:port:weight or /path:weight, and maybe a name behind one space
      = help: the weight must not be left out; 1 is an equal share
    original:5:6: the host is not a name that a host can have
      = read: "a/b"
      = expected: a host name or an IP address
      = help: check the host
    original:1:1: no placement can be made of pool "a"
      = expected: servers that the preset can place keys by, exactly as the original does
      = help: node "x" has weight 2000000: expected 1 to 1000000 (a node without keys is one to leave out)
    "#);
}

#[test]
fn the_listening_address_may_be_a_socket_with_permissions() {
    for listen in [
        "/tmp/a 0666",
        "/tmp/a",
        "/tmp/a 777",
        "localhost:1",
        "::1:1",
    ] {
        let text = format!("a:\n  listen: {listen}\n  servers:\n   - h:1:1\n");
        assert_eq!(
            import_as(Format::Nutcracker, &text).skipped.len(),
            1,
            "{listen}"
        );
    }
    for listen in [
        "/tmp/a 1777",
        ":1",
        "localhost:0",
        "localhost:65536",
        "localhost",
        "[::1]:1",
    ] {
        let text = format!("a:\n  listen: \"{listen}\"\n  servers:\n   - h:1:1\n");
        assert!(
            refusal_as(Format::Nutcracker, &text).starts_with("original:2:11: "),
            "{listen}"
        );
    }
}
