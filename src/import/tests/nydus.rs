use super::*;

const BACKEND: &str = "'backend': 'nydus.db.backends.redis.Redis'";

fn settings(router: &str, rest: &str) -> String {
    format!("feeds = {{\n{BACKEND},\n'router': 'nydus.db.routers.{router}',\n{rest}}}\n")
}

#[test]
fn a_settings_file_becomes_a_file_for_each_cluster() {
    let text = text_of("import/preset.py");
    let import = read(text.as_bytes(), "preset.py".as_ref(), &Options::default()).unwrap();
    assert_eq!(import.format, Format::Nydus);
    let names: Vec<_> = import
        .clusters
        .iter()
        .map(|cluster| &*cluster.name)
        .collect();
    assert_eq!(names, ["feeds", "counts", "blaster"]);
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
    pages (line 39): its backend is not nydus's Redis, so it is not known what is hashed for a host
    everything (line 45): without a router every call goes to every host, which no placement does: servers().each(&cmd) sends one command to all
    "#);
    insta::assert_snapshot!(import.clusters[0].toml, @r#"
    # Made by `keyway import` from preset.py, cluster "feeds", line 16.
    # Before it is used, `keyway check` this file: it samples the keys of every server and must find
    # none misplaced.
    #
    # To do:
    # - password: set the variable FEEDS_PASSWORD to the password: none is in this file
    #
    # No equal:
    # - router: ConsistentHashingRouter sends the keys of a host that is down to the others; here they
    #   are errors, or misses with mode = "cache". What was written meanwhile lies where nobody looks
    #   for it; `keyway check` finds it
    #
    # Different:
    # - timeout: timeouts.connect and timeouts.response here. keyway's deadline is that of a whole call,
    #   with its retries
    # - max_connection_retries (line 29): not taken over: keyway retries what is safe to repeat, see
    #   [retry]

    name = "feeds"

    # Fixed for the life of the data: another algorithm, name, weight or order looks for keys where they
    # are not.
    [placement]
    algorithm = "nydus-ketama"
    names = ["redis://10.1.0.1:6379/0", "redis://10.1.0.1:6379/1", "redis://10.1.0.1:6380/2"]

    [defaults]
    password = "${FEEDS_PASSWORD}"

    [timeouts]
    connect = "1500ms"
    response = "1500ms"

    # Line 25: host 0
    [servers."10.1.0.1-6379"]
    url = "redis://10.1.0.1:6379"
    nodes = ["redis://10.1.0.1:6379/0"]

    # Line 26: host 1
    [servers."10.1.0.1-6379-1"]
    url = "redis://10.1.0.1:6379"
    nodes = ["redis://10.1.0.1:6379/1"]
    database = 1

    # Line 27: host 2
    [servers."10.1.0.1-6380-2"]
    url = "redis://10.1.0.1:6380"
    nodes = ["redis://10.1.0.1:6380/2"]
    database = 2
    "#);
    insta::assert_snapshot!(import.clusters[1].toml, @r#"
    # Made by `keyway import` from preset.py, cluster "counts", line 31.
    # Before it is used, `keyway check` this file: it samples the keys of every server and must find
    # none misplaced.
    #
    # Different:
    # - timeout: nydus waits for ever without one, and so may a client of keyway not: timeouts.response
    #   is 500ms unless the file says otherwise

    name = "counts"

    # Fixed for the life of the data: another algorithm, name, weight or order looks for keys where they
    # are not.
    [placement]
    algorithm = "nydus-partition"
    names = ["redis://10.1.0.2:6379/0", "redis://10.1.0.3:6379/0"]

    # Line 35: host 0
    [servers."10.1.0.2-6379"]
    url = "redis://10.1.0.2:6379"
    nodes = ["redis://10.1.0.2:6379/0"]

    # Line 36: host 1
    [servers."10.1.0.3-6379"]
    url = "redis://10.1.0.3:6379"
    nodes = ["redis://10.1.0.3:6379/0"]
    "#);
    assert!(!format!("{import:?}").contains("s3cret"));
    let feeds = config(&import.clusters[0]);
    assert_eq!(feeds.timeouts().response.as_millis(), 1_500);
    assert_eq!(
        feeds.servers()[2].endpoint.address.to_string(),
        "10.1.0.1:6380"
    );
}

/// What identifies a host is what its settings print as, whether it is reached there or not.
#[test]
fn an_identifier_is_what_nydus_prints() {
    let cases = [
        ("{}", "redis://localhost:6379/0"),
        (
            "{'host': u'10.0.0.1', 'port': '6380'}",
            "redis://10.0.0.1:6380/0",
        ),
        ("{'db': None}", "redis://localhost:6379/None"),
        (
            "{'unix_socket_path': '/run/a.sock', 'db': 4}",
            "redis://localhost:6379/4",
        ),
        ("{'identifier': 'first'}", "first"),
        ("('10.0.0.2', 6381, 2)", "redis://10.0.0.2:6381/2"),
        ("'10.0.0.3'", "redis://10.0.0.3:6379/0"),
        ("['10.0.0.4',]", "redis://10.0.0.4:6379/0"),
    ];
    for (host, expected) in cases {
        let text = settings(
            "keyvalue.ConsistentHashingRouter",
            &format!("'hosts': {{0: {host}}}"),
        );
        let import = import_as(Format::Nydus, &text);
        let config = config(&import.clusters[0]);
        assert_eq!(
            config.placement().node_name(crate::placement::NodeId(0)),
            expected,
            "{host}"
        );
    }
    let text = settings(
        "keyvalue.ConsistentHashingRouter",
        "'hosts': {0: {'unix_socket_path': '/run/a.sock', 'db': 4}}",
    );
    let import = import_as(Format::Nydus, &text);
    let config = config(&import.clusters[0]);
    let endpoint = &config.servers()[0].endpoint;
    assert_eq!(
        (endpoint.address.to_string(), endpoint.database),
        ("/run/a.sock".to_owned(), 4)
    );
}

#[test]
fn an_identifier_that_may_hold_a_password_is_a_variable() {
    let text = settings(
        "keyvalue.ConsistentHashingRouter",
        "'hosts': {0: {'identifier': 'redis://:s3cret@10.0.0.1:6379/0'}, 1: {'port': 6380}}",
    );
    let import = import_as(Format::Nydus, &text);
    let cluster = &import.clusters[0];
    assert!(!format!("{cluster:?}").contains("s3cret"));
    assert_eq!(cluster.variables, ["FEEDS_IDENTIFIER_0"]);
    let labels = cluster
        .toml
        .lines()
        .find(|line| line.starts_with("labels"))
        .unwrap();
    assert_eq!(
        labels,
        "labels = [\"${FEEDS_IDENTIFIER_0}\", \"redis://localhost:6380/0\"]"
    );
    config_with(cluster, "redis://:s3cret@10.0.0.1:6379/0");
}

#[test]
fn hosts_go_by_their_numbers_and_the_later_of_two_counts() {
    let text = settings(
        "keyvalue.PartitionRouter",
        "'hosts': {2: {'port': 3}, 0: {'port': 9}, 1: {'port': 2}, 0: {'port': 1}}",
    );
    let config = config(&import_as(Format::Nydus, &text).clusters[0]);
    for node in 0..3 {
        let server = config.topology().server_of(crate::placement::NodeId(node));
        let address = config.servers()[server.index()]
            .endpoint
            .address
            .to_string();
        assert_eq!(address, format!("localhost:{}", node + 1));
    }
}

#[test]
fn routers_are_told_by_text_or_class() {
    for (router, expected) in [
        (
            "'nydus.db.routers.keyvalue.PartitionRouter'",
            Some(Algorithm::NydusPartition),
        ),
        (
            "'nydus.db.routers.redis.ConsistentHashingRouter'",
            Some(Algorithm::NydusKetama),
        ),
        (
            "'nydus.db.routers.RoundRobinRouter'",
            Some(Algorithm::NydusRoundRobin),
        ),
        ("keyvalue.PartitionRouter", Some(Algorithm::NydusPartition)),
        ("PartitionRouter", Some(Algorithm::NydusPartition)),
        ("'nydus.db.routers.base.BaseRouter'", None),
        ("'feeds.routers.PartitionRouter'", None),
        ("mine.PartitionRouter", None),
        ("make_router()", None),
    ] {
        let text = format!("a = {{{BACKEND}, 'router': {router}, 'hosts': {{0: {{}}}}}}");
        let import = import_as(Format::Nydus, &text);
        let algorithm = import
            .clusters
            .first()
            .map(|cluster| config(cluster).placement().algorithm());
        assert_eq!(algorithm, expected, "{router}");
        assert_eq!(import.skipped.len(), usize::from(expected.is_none()));
    }
}

#[test]
fn passwords_are_variables_one_for_each_that_differs() {
    let text = settings(
        "keyvalue.PartitionRouter",
        "'defaults': {'password': 's3cret-0'}, 'hosts': {0: {'db': 0}, 1: {'db': 1}, 2: {'db': 2, 'password': 's3cret-1'}, 3: {'db': 3, 'password': None}, 4: {'db': 4, 'password': env('X')}}",
    );
    let import = import_as(Format::Nydus, &text);
    let cluster = &import.clusters[0];
    assert!(!format!("{cluster:?}").contains("s3cret"));
    assert_eq!(
        cluster.variables,
        ["FEEDS_PASSWORD_0", "FEEDS_PASSWORD_2", "FEEDS_PASSWORD_4"]
    );
    let has_password: Vec<bool> = config(cluster)
        .servers()
        .iter()
        .map(|server| server.endpoint.password.is_some())
        .collect();
    assert_eq!(has_password, [true, true, true, false, true]);
    insta::assert_snapshot!(remarks(cluster), @r#"
    to do: password: set each of the 3 variables FEEDS_PASSWORD_0 to FEEDS_PASSWORD_4 to the password of its hosts: none is in this file
    different: timeout: nydus waits for ever without one, and so may a client of keyway not: timeouts.response is 500ms unless the file says otherwise
    "#);
}

#[test]
fn what_nydus_would_refuse_or_keyway_cannot_know_is_refused() {
    let partition = |rest: &str| settings("keyvalue.PartitionRouter", rest);
    let ketama = |rest: &str| settings("keyvalue.ConsistentHashingRouter", rest);
    let texts = [
        "a = {'hosts': {0: {}}}".to_owned(),
        partition("'hosts': {0: {}, 2: {'db': 1}}"),
        partition("'hosts': {}"),
        partition("'hosts': {0: {'prot': 6379}}"),
        partition("'hosts': {0: {}}, 'options': {}"),
        partition("'hosts': {0: {'host': HOST}}"),
        partition("'hosts': make_hosts()"),
        partition("'hosts': {n: {'db': n} for n in range(3)}"),
        partition("'hosts': {0: {'port': 'x'}}"),
        partition("'hosts': {0: {'db': -1}}"),
        partition("'hosts': {(1, 2): {}}"),
        ketama("'hosts': {0: {}, 1: {'unix_socket_path': '/a'}}"),
        ketama("'hosts': {0: {'host': 'é'}}"),
        "a = {'hosts': {0: {}}, 'backend': 'x', 'router_cls': 1}".to_owned(),
        "a = {'hosts': {0: {}}".to_owned(),
        "a = 1".to_owned(),
    ];
    let refusals: Vec<_> = texts
        .iter()
        .map(|text| {
            let options = Options {
                format: (!text.contains("router_cls")).then_some(Format::Nydus),
                ..Options::default()
            };
            let refused = read(text.as_bytes(), "original".as_ref(), &options);
            refused.map_or_else(
                |error| error.to_string(),
                |import| panic!("{text}: {import:?}"),
            )
        })
        .collect();
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    original:1:5: no backend
      = expected: 'backend': 'nydus.db.backends.redis.Redis', without which nydus refuses the settings
      = help: if these are arguments of rb's Cluster, say its format
    original:1:9: there is no host 1
      = expected: hosts numbered 0, 1, 2 and so on: PartitionRouter counts them so, and fails for keys of a host that is missing
      = help: give the settings that are in use
    original:4:10: there are 0 hosts
      = expected: 1 to 16384 hosts
      = help: give the settings that are in use
    original:4:23: nydus's Redis takes no such argument
      = read: "prot"
      = expected: host, port, db, timeout, password, unix_socket_path, identifier, strict
      = help: remove it, or correct its name
    original:4:30: a cluster of nydus takes no such argument
      = read: "options"
      = expected: engine, backend, cluster, router, hosts, defaults, max_connection_retries
      = help: remove it, or correct its name
    original:4:23: host is no text or number that is known here
      = read: a name
      = expected: an ASCII text or a whole number as it stands, since nydus hashes it
      = help: write down what it comes to: this reads Python and does not run it
    original:4:10: hosts are no dict
      = read: a call
      = expected: a dict from the number of each host to its settings: {0: {'port': 6379}}
      = help: write it down: this reads Python and does not run it
    original:4:24: something that Python computes
      = expected: settings as they stand: texts, numbers, dicts, lists
      = help: write down what it comes to: this reads Python and does not run it
    original:4:14: the port is not a number from 1 to 65535
      = read: "x"
      = expected: a port, such as 6379
      = help: check the port
    original:4:14: db is not the number of a database
      = read: "-1"
      = expected: a number from 0
      = help: correct it
    original:4:11: the key of a host is no number
      = read: a tuple
      = expected: 0, 1, 2 and so on
      = help: number the hosts as the program does
    original:4:18: two hosts have one identifier
      = read: host 1
      = expected: hosts that differ: nydus sends a key of this identifier to both of them
      = help: keys that are on two servers have no equal: remove one of the hosts
    original:4:23: host is no text or number that is known here
      = read: a text
      = expected: an ASCII text or a whole number as it stands, since nydus hashes it
      = help: write down what it comes to: this reads Python and does not run it
    original:1:5: settings of nydus and of rb in one dict
      = expected: either engine, backend, router, defaults, max_connection_retries or host_defaults, pool_cls, pool_options, router_cls, router_options
      = help: say whose they are: format nydus or rb
    original:1:5: a bracket that is not closed
      = read: '{', and the text ends
      = expected: a closing bracket for each opening one
      = help: is this the whole text?
    original: no cluster in the text
      = expected: a dict with hosts, alone, assigned to a name, or in other dicts; create_cluster({..}); Cluster(hosts=..)
      = help: give the settings as they stand in the Python file
    "#);
}
