use super::*;

fn cluster(arguments: &str) -> String {
    format!("cluster = Cluster({arguments})\n")
}

#[test]
fn the_label_is_the_repr_of_the_host() {
    let text = text_of("import/preset.py");
    let import = read(text.as_bytes(), "preset.py".as_ref(), &Options::default()).unwrap();
    let blaster = &import.clusters[2];
    insta::assert_snapshot!(blaster.toml, @r#"
    # Made by `keyway import` from preset.py, cluster "blaster", line 53.
    # Before it is used, `keyway check` this file: it samples the keys of every server and must find
    # none misplaced.
    #
    # To do:
    # - password: set each of the 2 variables BLASTER_PASSWORD_0 to BLASTER_PASSWORD_1 to the password
    #   of its hosts: none is in this file
    # - password (line 52): set the variable BLASTER_PASSWORD_REPR_1 to repr(password), quotes included:
    #   Python writes this password in another way than it is, and rb hashes that
    # - labels: hold them against repr(cluster.hosts[0]) and so on, which rb hashes: they are as Python
    #   3 writes them, and Python 2 puts u before some texts
    #
    # No equal:
    # - max_connections (line 57): an option of redis-py that is not taken over; see [pool], [tcp] and
    #   [retry]
    #
    # Different:
    # - socket_timeout (line 57): timeouts.response here, which is the deadline of a whole call with its
    #   retries

    name = "blaster"

    # Fixed for the life of the data: another algorithm, name, weight or order looks for keys where they
    # are not.
    [placement]
    algorithm = "rb-ketama"
    names = ["0", "1"]
    labels = [
      "<HostInfo db=0 host='10.1.0.5' host_id=0 password='${BLASTER_PASSWORD_0}' port=6379 ssl=False ssl_options=None unix_socket_path=None>",
      "<HostInfo db=0 host='10.1.0.5' host_id=1 password=${BLASTER_PASSWORD_REPR_1} port=6380 ssl=False ssl_options=None unix_socket_path=None>",
    ]

    [timeouts]
    response = "250ms"

    # Line 52: host 0
    [servers."10.1.0.5-6379"]
    url = "redis://10.1.0.5:6379"
    nodes = ["0"]
    password = "${BLASTER_PASSWORD_0}"

    # Line 52: host 1
    [servers."10.1.0.5-6380"]
    url = "redis://10.1.0.5:6380"
    nodes = ["1"]
    password = "${BLASTER_PASSWORD_1}"
    "#);
}

/// Labels that CPython 3.11 printed.
#[test]
fn labels_are_as_python_prints_them() {
    let cases = [
        (
            "{'port': 6379}",
            "<HostInfo db=0 host='localhost' host_id=0 password=None port=6379 ssl=False ssl_options=None unix_socket_path=None>",
        ),
        (
            "{'host': \"it's\", 'unix_socket_path': '/a\\tb\"', 'port': '6379'}",
            r#"<HostInfo db=0 host="it's" host_id=0 password=None port='6379' ssl=False ssl_options=None unix_socket_path='/a\tb"'>"#,
        ),
        (
            "{'ssl': True, 'ssl_options': {'ca_certs': '/a.pem', 'x': [1, (2,), None, True]}}",
            "<HostInfo db=0 host='localhost' host_id=0 password=None port=6379 ssl=True ssl_options={'ca_certs': '/a.pem', 'x': [1, (2,), None, True]} unix_socket_path=None>",
        ),
        (
            "{'db': 3, 'password': ''}",
            "<HostInfo db=3 host='localhost' host_id=0 password='' port=6379 ssl=False ssl_options=None unix_socket_path=None>",
        ),
    ];
    for (host, expected) in cases {
        let text = cluster(&format!(
            "hosts={{0: {host}}}, router_cls=rb.ConsistentHashingRouter"
        ));
        let import = import_as(Format::Rb, &text);
        let toml: toml::Table = import.clusters[0].toml.parse().unwrap();
        assert_eq!(
            toml["placement"]["labels"][0].as_str(),
            Some(expected),
            "{host}"
        );
    }
}

/// A password that Python prints as it is stands between its quotes; another is a variable with its repr.
#[test]
fn a_password_takes_part_and_is_not_shown() {
    for (password, value, shape, variables) in [
        ("'s3cret'", "s3cret", "password='${CLUSTER_PASSWORD}' ", 1),
        (
            "\"s3cret'\"",
            "s3cret'",
            "password=\"${CLUSTER_PASSWORD}\" ",
            1,
        ),
        ("53_000", "53000", "password=${CLUSTER_PASSWORD} ", 1),
        (
            "'s3cret\\\\'",
            "s3cret\\",
            "password=${CLUSTER_PASSWORD_REPR_0} ",
            2,
        ),
        (
            "'s3crét'",
            "s3crét",
            "password=${CLUSTER_PASSWORD_REPR_0} ",
            2,
        ),
        ("env['X']", "s3cret", "password='${CLUSTER_PASSWORD}' ", 1),
    ] {
        let text = cluster(&format!(
            "hosts={{0: {{'password': {password}}}}}, router_cls=rb.ConsistentHashingRouter"
        ));
        let import = import_as(Format::Rb, &text);
        let cluster = &import.clusters[0];
        assert!(!format!("{cluster:?}").contains("s3cr"), "{password}");
        assert!(
            cluster.toml.replace("\\\"", "\"").contains(shape),
            "{password}: {}",
            cluster.toml
        );
        assert_eq!(cluster.variables.len(), variables, "{password}");
        config_with(cluster, value);
    }
    let text = cluster(
        "hosts={0: {'ssl': True, 'ssl_options': {'password': 's3cret'}}}, router_cls=rb.ConsistentHashingRouter",
    );
    let import = import_as(Format::Rb, &text);
    assert!(!format!("{import:?}").contains("s3cret"));
    assert_eq!(import.clusters[0].variables, ["CLUSTER_SSL_OPTIONS_0"]);
}

#[test]
fn hosts_may_be_a_list_and_arguments_may_have_names() {
    let text = "DEFAULTS = dict(host='10.0.0.1')\nHOSTS = [(1, {'port': 2}), {'host_id': 0, 'port': 1}]\nc = Cluster(hosts=HOSTS, host_defaults=DEFAULTS)";
    let config = config(&import_as(Format::Rb, text).clusters[0]);
    for node in 0..2 {
        let server = config.topology().server_of(crate::placement::NodeId(node));
        let address = config.servers()[server.index()]
            .endpoint
            .address
            .to_string();
        assert_eq!(address, format!("10.0.0.1:{}", node + 1));
    }
}

#[test]
fn what_rb_would_refuse_or_keyway_cannot_know_is_refused() {
    let texts = [
        cluster("hosts={0: {}, 2: {'db': 1}}"),
        cluster("hosts={'0': {}}"),
        cluster("hosts=[{'port': 1}]"),
        cluster("hosts={0: {'hots': 'a'}}"),
        cluster("hosts={0: {}}, routers=1"),
        cluster("hosts={0: {'host': socket.gethostname()}}"),
        cluster("hosts={0: {}}, router_options={'a': 1}"),
        cluster("hosts={0: {'unix_socket_path': '/a', 'ssl': True}}"),
        cluster("hosts={0: {'host': 'é'}}, router_cls=ConsistentHashingRouter"),
        cluster("hosts={0: {'port': 70000}}"),
        cluster("hosts={0: {}}, **make()"),
    ];
    let refusals = texts.map(|text| refusal_as(Format::Rb, &text));
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    original:1:26: there is no host 1
      = read: 2 hosts
      = expected: hosts numbered 0, 1, 2 and so on, each once: rb refuses others
      = help: give the settings that are in use
    original:1:26: the id of a host is no number
      = expected: hosts numbered 0, 1, 2 and so on, each once: rb refuses others
      = help: number them as the program does
    original:1:26: the id of a host is no number
      = expected: hosts numbered 0, 1, 2 and so on, each once: rb refuses others
      = help: number them as the program does
    original:1:38: a host of rb takes no such argument
      = read: "hots"
      = expected: host_id, host, port, unix_socket_path, db, password, ssl, ssl_options
      = help: remove it, or correct its name
    original:1:42: rb's Cluster takes no such argument
      = read: "routers"
      = expected: hosts, host_defaults, pool_cls, pool_options, router_cls, router_options
      = help: remove it, or correct its name
    original:1:38: host of host 0 is not known here
      = read: a call
      = expected: a text
      = help: write down what it comes to: this reads Python and does not run it
    original:1:49: rb's routers take no options
      = expected: no router_options
      = help: remove them
    original:1:50: ssl beside unix_socket_path of host 0 is not known here
      = read: a text
      = expected: one of the two: rb refuses both
      = help: write down what it comes to: this reads Python and does not run it
    original:1:38: what rb hashes of this is not known here
      = read: a text
      = expected: ASCII texts, whole numbers, True, False, None, and lists and dicts of them, as they stand
      = help: write down what it comes to: this reads Python and does not run it
    original:1:26: the port is not a number from 1 to 65535
      = read: "70000"
      = expected: a port, such as 6379
      = help: check the port
    original:1:36: arguments that Python computes
      = read: a call behind **
      = expected: a dict that stands in the same text
      = help: write the arguments down
    "#);
}
