use super::*;

fn cluster(arguments: &str) -> String {
    format!("cluster = Cluster({arguments})\n")
}

#[test]
fn the_label_is_the_repr_of_the_host() {
    let text = text_of("import/preset.py");
    let import = read(text.as_bytes(), "preset.py".as_ref(), &Options::default()).unwrap();
    let blaster = &import.clusters[2];
    insta::assert_snapshot!(blaster.toml, @"");
}

/// Labels that CPython 3.11 printed.
#[test]
fn labels_are_as_python_prints_them() {
    let cases = [
        ("{'port': 6379}", "<HostInfo db=0 host='localhost' host_id=0 password=None port=6379 ssl=False ssl_options=None unix_socket_path=None>"),
        ("{'host': \"it's\", 'unix_socket_path': '/a\\tb\"', 'port': '6379'}", r#"<HostInfo db=0 host="it's" host_id=0 password=None port='6379' ssl=False ssl_options=None unix_socket_path='/a\tb"'>"#),
        ("{'ssl': True, 'ssl_options': {'ca_certs': '/a.pem', 'x': [1, (2,), None, True]}}", "<HostInfo db=0 host='localhost' host_id=0 password=None port=6379 ssl=True ssl_options={'ca_certs': '/a.pem', 'x': [1, (2,), None, True]} unix_socket_path=None>"),
        ("{'db': 3, 'password': ''}", "<HostInfo db=3 host='localhost' host_id=0 password='' port=6379 ssl=False ssl_options=None unix_socket_path=None>"),
    ];
    for (host, expected) in cases {
        let text = cluster(&format!("hosts={{0: {host}}}, router_cls=rb.ConsistentHashingRouter"));
        let import = import_as(Format::Rb, &text);
        let toml: toml::Table = import.clusters[0].toml.parse().unwrap();
        assert_eq!(toml["placement"]["labels"][0].as_str(), Some(expected), "{host}");
    }
}

/// A password that Python prints as it is stands between its quotes; another is a variable with its repr.
#[test]
fn a_password_takes_part_and_is_not_shown() {
    for (password, value, shape, variables) in [
        ("'s3cret'", "s3cret", "password='${CLUSTER_PASSWORD}' ", 1),
        ("\"s3cret'\"", "s3cret'", "password=\"${CLUSTER_PASSWORD}\" ", 1),
        ("53_000", "53000", "password=${CLUSTER_PASSWORD} ", 1),
        ("'s3cret\\\\'", "s3cret\\", "password=${CLUSTER_PASSWORD_REPR_0} ", 2),
        ("'s3crét'", "s3crét", "password=${CLUSTER_PASSWORD_REPR_0} ", 2),
        ("env['X']", "s3cret", "password='${CLUSTER_PASSWORD}' ", 1),
    ] {
        let text = cluster(&format!("hosts={{0: {{'password': {password}}}}}, router_cls=rb.ConsistentHashingRouter"));
        let import = import_as(Format::Rb, &text);
        let cluster = &import.clusters[0];
        assert!(!format!("{cluster:?}").contains("s3cr"), "{password}");
        assert!(cluster.toml.replace("\\\"", "\"").contains(shape), "{password}: {}", cluster.toml);
        assert_eq!(cluster.variables.len(), variables, "{password}");
        config_with(cluster, value);
    }
    let text = cluster("hosts={0: {'ssl': True, 'ssl_options': {'password': 's3cret'}}}, router_cls=rb.ConsistentHashingRouter");
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
        let address = config.servers()[server.index()].endpoint.address.to_string();
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
    insta::assert_snapshot!(refusals.join("\n"), @"");
}
