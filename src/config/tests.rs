//! Every refusal, pinned as it is printed; and that none of them shows a password.

use super::*;
use crate::{
    placement::{Algorithm, Custom, Label, NodeId, NodeSpec, Placement},
    topology::ServerId,
};
use insta::assert_snapshot;
use std::time::Duration;

const GOOD: &str = r#"name = "feeds"

[placement]
algorithm = "ketama"
nodes = 64

[servers.a]
url = "redis://10.0.0.1:6379"
nodes = "0-31"

[servers.b]
url = "redis://10.0.0.2:6379"
nodes = "32-63"
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("conf/cluster.toml"), &|name| match name {
        "SECRET" => Some("hunter2-from-env".to_owned()),
        "SHARP" => Some("p/w@r%d:#?".to_owned()),
        "WHOLE_URL" => Some("redis://:hunter2-in-url@10.0.0.9:7000/3".to_owned()),
        "HOST" => Some("redis-one.internal".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    })
}

/// The message for a text that must be refused.
fn refused(text: &str) -> String {
    let error = parse(text).expect_err("this must be refused");
    let debug = format!("{error:?}");
    let message = error.to_string();
    for printed in [&debug, &message] {
        assert!(
            !printed.contains("hunter2"),
            "a secret is printed: {printed}"
        );
    }
    assert!(error.line().is_some() && error.column().is_some());
    message
}

/// [`GOOD`] with one piece replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the example");
    GOOD.replacen(from, to, 1)
}

fn with_url(url: &str) -> String {
    with("redis://10.0.0.1:6379", url)
}

fn and(more: &str) -> String {
    format!("{GOOD}\n{more}\n")
}

fn endpoint(text: &str) -> Endpoint {
    parse(text).unwrap().servers()[0].endpoint.clone()
}

fn password(endpoint: &Endpoint) -> Option<String> {
    endpoint
        .password
        .as_ref()
        .map(|password| password.read().unwrap().expose().to_owned())
}

#[test]
fn a_small_file_gets_all_the_defaults() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.name(), "feeds");
    assert_eq!(config.mode(), Mode::Store);
    assert_eq!(config.protocol(), Protocol::Resp2);
    assert_eq!(config.multi_key(), MultiKey::Split);
    assert_eq!(config.startup(), Startup::Lazy);
    assert_eq!(config.placement().node_count(), 64);
    assert_eq!(config.topology().server_of(NodeId(32)), ServerId(1));
    assert_eq!(*config.timeouts(), Timeouts::default());
    assert_eq!(*config.retry(), Retry::default());
    assert_eq!(*config.pool(), Pool::default());
    assert_eq!(*config.limits(), Limits::default());
    assert_eq!(*config.tcp(), Tcp::default());
    let names: Vec<&str> = config
        .servers()
        .iter()
        .map(|server| &*server.name)
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(
        config.servers()[1].endpoint.address.to_string(),
        "10.0.0.2:6379"
    );
}

#[test]
fn the_reference_file_says_the_defaults() {
    let config = Config::parse(REFERENCE, Path::new("reference.toml"), &|_| None).unwrap();
    assert_eq!(config.mode(), Mode::default());
    assert_eq!(config.protocol(), Protocol::default());
    assert_eq!(config.multi_key(), MultiKey::default());
    assert_eq!(config.startup(), Startup::default());
    assert_eq!(*config.timeouts(), Timeouts::default());
    assert_eq!(*config.retry(), Retry::default());
    assert_eq!(*config.pool(), Pool::default());
    assert_eq!(*config.limits(), Limits::default());
    assert_eq!(*config.tcp(), Tcp::default());
}

#[test]
fn the_reference_file_has_every_setting() {
    // Those that are off by default stand in comments: "# key = ...".
    let said: Vec<&str> = REFERENCE
        .lines()
        .map(|line| line.trim_start_matches(['#', ' ']))
        .filter_map(|line| line.split_once(" = ").map(|(key, _)| key.trim()))
        .collect();
    for setting in schema::all_settings() {
        let is_table = [
            "placement",
            "defaults",
            "servers",
            "timeouts",
            "retry",
            "pool",
            "limits",
            "tcp",
            "tls",
        ]
        .contains(&setting);
        assert!(
            is_table || said.contains(&setting),
            "{setting} is not in the reference file"
        );
    }
}

#[cfg(feature = "tls")]
#[test]
fn the_reference_file_with_its_comments_taken_off_is_right_too() {
    let text: String = REFERENCE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.contains(" = ") || setting.starts_with('[') => {
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    // Alternatives exclude each other, weights and labels are for two nodes, and ketama has no options; the rest must stand together.
    let alone = [
        "names",
        "weights",
        "labels",
        "hash",
        "hash_tag",
        "ring_points_min",
        "ring_points_max",
        "table_entries",
        "custom",
        "version",
        "password",
    ];
    let text = alone.iter().fold(text, |text, key| {
        text.replace(&format!("\n{key} = "), "\n#")
    });
    let text = text.replace("redis://10.0.0.2", "rediss://10.0.0.2");
    let config = Config::parse(&text, Path::new("/etc/reference.toml"), &|_| {
        Some("x".to_owned())
    })
    .unwrap();
    assert_eq!(
        config.servers()[1]
            .endpoint
            .tls
            .as_ref()
            .unwrap()
            .server_name
            .as_deref(),
        Some("redis.internal")
    );
}

const README: &str = include_str!("../../README.md");

#[test]
fn every_cluster_file_in_the_readme_is_right() {
    let blocks = README.split("```toml\n").skip(1);
    let files: Vec<&str> = blocks
        .filter_map(|block| block.split("```").next())
        .filter(|block| block.contains("algorithm = "))
        .collect();
    assert_eq!(
        files.len(),
        14,
        "one of five minutes, and one for each origin, two for nydus"
    );
    for file in files {
        let config = Config::parse(file, Path::new("README.md"), &|_| Some("x".to_owned()));
        if let Err(error) = config {
            panic!("{file}\n{error}");
        }
    }
}

#[test]
fn readme_and_reference_name_every_algorithm() {
    for algorithm in Algorithm::all() {
        assert!(
            REFERENCE.contains(&format!("\"{algorithm}\"")),
            "{algorithm}"
        );
        // "`libmemcached-weighted` .., `-ketama`, `-modula`".
        let end = algorithm.name().split_once('-').map_or("", |(_, end)| end);
        let is_named = README.contains(algorithm.name()) || README.contains(&format!("`-{end}`"));
        assert!(is_named, "{algorithm}");
    }
}

#[test]
fn settings_are_read() {
    let text = and(r#"
[timeouts]
response = "1.5s"
idle_ping = "2m"
[limits]
request_bytes_max = 1_048_576
reply_bytes_max = "1GiB"
[pool]
dedicated_max = 3
[tcp]
keepalive = false
"#)
    .replace("name = \"feeds\"", "name = \"feeds\"\nmode = \"cache\"\nprotocol = \"resp3\"\nmulti_key = \"refuse\"\nstartup = \"all\"");
    let config = parse(&text).unwrap();
    assert_eq!(
        (config.mode(), config.protocol()),
        (Mode::Cache, Protocol::Resp3)
    );
    assert_eq!(
        (config.multi_key(), config.startup()),
        (MultiKey::Refuse, Startup::All)
    );
    assert_eq!(config.timeouts().response, Duration::from_millis(1500));
    assert_eq!(config.timeouts().dead, Duration::from_secs(6));
    assert_eq!(config.timeouts().silence_max, Duration::from_secs(10));
    assert_eq!(config.timeouts().idle_ping, Duration::from_secs(120));
    assert_eq!(config.limits().request_bytes_max, 1 << 20);
    assert_eq!(config.limits().reply_bytes_max, 1 << 30);
    assert_eq!(
        (
            config.pool().dedicated_max,
            config.pool().dedicated_idle_max
        ),
        (3, 3)
    );
    assert!(!config.tcp().keepalive);
}

#[test]
fn urls_are_read() {
    let read = |url: &str| Endpoint::from_url(url).unwrap();
    let plain = read("redis://localhost");
    assert_eq!(
        plain.address,
        Address::Tcp {
            host: "localhost".into(),
            port: 6379
        }
    );
    assert_eq!(
        (plain.database, plain.username, plain.password, plain.tls),
        (0, None, None, None)
    );
    let full = read("redis://ada:p%40ss%3A@db-1.example:7000/12");
    assert_eq!(
        (full.address.to_string().as_str(), full.database),
        ("db-1.example:7000", 12)
    );
    assert_eq!(
        (full.username.as_deref(), password(&full).as_deref()),
        (Some("ada"), Some("p@ss:"))
    );
    let only_password = read("redis://:s3cret@10.0.0.1/");
    assert_eq!(
        (
            only_password.username.as_deref(),
            password(&only_password).as_deref()
        ),
        (None, Some("s3cret"))
    );
    assert_eq!(
        read("redis://[::1]:7000").address,
        Address::Tcp {
            host: "::1".into(),
            port: 7000
        }
    );
    assert_eq!(
        read("redis://[fe80::1]").address.to_string(),
        "[fe80::1]:6379"
    );
    assert_eq!(read("rediss://cache_1:6380").tls, Some(Tls::default()));
    let socket = read("unix:///run/redis%20one.sock?db=2&user=ada&pass=a%26b");
    assert_eq!(socket.address.to_string(), "/run/redis one.sock");
    assert_eq!(
        (
            socket.database,
            socket.username.as_deref(),
            password(&socket).as_deref()
        ),
        (2, Some("ada"), Some("a&b"))
    );
    assert_eq!(
        read("redis+unix:///run/redis.sock").address,
        Address::Unix("/run/redis.sock".into())
    );
}

#[test]
fn variables_are_filled_in() {
    let direct = endpoint(&with_url("redis://:${SECRET}@${HOST}:7000"));
    assert_eq!(direct.address.to_string(), "redis-one.internal:7000");
    assert_eq!(password(&direct).as_deref(), Some("hunter2-from-env"));
    // A password from a variable is taken as it is: nobody percent-encodes those.
    let sharp = endpoint(&with_url("redis://ada:${SHARP}x%25@10.0.0.1"));
    assert_eq!(password(&sharp).as_deref(), Some("p/w@r%d:#?x%"));
    let socket = endpoint(&with_url("unix:///run/${HOST}.sock?pass=${SHARP}&db=1"));
    assert_eq!(
        (socket.address.to_string().as_str(), socket.database),
        ("/run/redis-one.internal.sock", 1)
    );
    assert_eq!(password(&socket).as_deref(), Some("p/w@r%d:#?"));
    let whole = endpoint(&with_url("${WHOLE_URL}"));
    assert_eq!(
        (whole.address.to_string().as_str(), whole.database),
        ("10.0.0.9:7000", 3)
    );
    let dollar = endpoint(&with(
        "[servers.a]",
        "[servers.a]\npassword = \"a$$b$${HOST}\"",
    ));
    assert_eq!(password(&dollar).as_deref(), Some("a$b${HOST}"));
}

#[cfg(feature = "tls")]
#[test]
fn servers_inherit_defaults_and_may_differ() {
    let text = r#"
name = "feeds"
[placement]
algorithm = "ketama"
names = ["north", "south", "east"]
weights = [1, 2, 1]
[defaults]
username = "ada"
password_file = "redis.password"
database = 3
[defaults.tls]
ca_file = "/etc/ca.pem"
server_name = "redis.internal"
[servers.a]
url = "rediss://10.0.0.1"
nodes = ["south"]
[servers.b]
url = "rediss://:own@10.0.0.2/0"
nodes = "0"
tls = { ca_file = "own.pem", danger_accept_invalid_certificates = true }
[servers.c]
url = "redis://bob:own@10.0.0.3"
nodes = [2]
[servers.d]
url = "redis://10.0.0.4"
nodes = []
"#;
    let config = parse(text).unwrap();
    let [a, b, c, d] = config.servers() else {
        panic!("four servers")
    };
    assert_eq!(
        (a.endpoint.username.as_deref(), a.endpoint.database),
        (Some("ada"), 3)
    );
    assert_eq!(
        a.endpoint.password,
        Some(Password::File("conf/redis.password".into()))
    );
    let tls = a.endpoint.tls.clone().unwrap();
    assert_eq!(
        (tls.ca_file, tls.server_name.as_deref()),
        (Some("/etc/ca.pem".into()), Some("redis.internal"))
    );
    assert_eq!(
        (b.endpoint.username.as_deref(), b.endpoint.database),
        (Some("ada"), 0)
    );
    assert_eq!(password(&b.endpoint).as_deref(), Some("own"));
    let tls = b.endpoint.tls.clone().unwrap();
    assert_eq!(
        (tls.ca_file, tls.server_name.as_deref()),
        (Some("conf/own.pem".into()), Some("redis.internal"))
    );
    assert!(tls.accept_invalid_certificates);
    assert_eq!(
        (c.endpoint.username.as_deref(), c.endpoint.tls.clone()),
        (Some("bob"), None)
    );
    assert_eq!(d.endpoint.username.as_deref(), Some("ada"));
    let south = config.placement().node_by_name("south").unwrap();
    assert_eq!(
        &**config
            .topology()
            .server_name(config.topology().server_of(south)),
        "a"
    );
    assert_eq!(config.topology().nodes_of(ServerId(3)).count(), 0);
}

#[test]
fn no_debug_shows_a_password() {
    let text = with_url("redis://ada:hunter2@10.0.0.1")
        .replace("[servers.b]", "[servers.b]\npassword = \"hunter2\"");
    let config = parse(&text).unwrap();
    let shown = format!("{config:?} {config:#?} {:?}", config.servers());
    assert!(!shown.contains("hunter2"));
    assert!(shown.contains("***"));
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret} {secret:?}"), "*** ***");
    let builder = Config::builder("feeds").server(
        "a",
        Endpoint::from_url("redis://:hunter2@h").unwrap(),
        0..4,
    );
    assert!(!format!("{builder:?}").contains("hunter2"));
}

#[test]
fn endpoints_differ_by_their_passwords() {
    let endpoint = |url: &str| Endpoint::from_url(url).unwrap();
    assert_eq!(endpoint("redis://:a@h"), endpoint("redis://:a@h:6379/0"));
    assert_ne!(endpoint("redis://:a@h"), endpoint("redis://:b@h"));
}

#[test]
fn a_password_file_is_read_at_each_dial() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    let password = Password::File(path.clone());
    let read = || password.read().map(|secret| secret.expose().to_owned());
    assert_eq!(read().unwrap_err().kind(), std::io::ErrorKind::NotFound);
    for (content, expected) in [
        ("one\n", "one"),
        ("two", "two"),
        ("three\r\n", "three"),
        ("four\n\n", "four\n"),
        (" five ", " five "),
    ] {
        std::fs::write(&path, content).unwrap();
        assert_eq!(read().unwrap(), expected);
    }
    for content in [b"\n".as_slice(), b"", b"hunter2\xff", &[b'x'; 70_000]] {
        std::fs::write(&path, content).unwrap();
        let error = read().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::from_file("no/such/cluster.toml").unwrap_err();
    assert_eq!((error.line(), error.column()), (None, None));
    assert!(std::error::Error::source(&error).is_some());
    assert_snapshot!(error, @r#"
    no/such/cluster.toml: the file cannot be read
      = expected: a TOML file
      = help: check the path; relative paths start at the current directory
    "#);
}

#[test]
fn a_file_is_read_relative_to_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster.toml");
    std::fs::write(
        &path,
        with("[servers.a]", "[servers.a]\npassword_file = \"pw\""),
    )
    .unwrap();
    let config = Config::from_file(&path).unwrap();
    assert_eq!(
        config.servers()[0].endpoint.password,
        Some(Password::File(directory.path().join("pw")))
    );
}

#[test]
fn code_gets_the_same_checks() {
    let placement = parse(GOOD).unwrap().placement().clone();
    let endpoint = |url: &str| Endpoint::from_url(url).unwrap();
    let good = || {
        Config::builder("feeds")
            .placement(placement.clone())
            .server("b", endpoint("redis://10.0.0.2"), 32..64)
            .server("a", endpoint("redis://10.0.0.1"), 0..32)
    };
    let config = good().mode(Mode::Cache).build().unwrap();
    assert_eq!(config.mode(), Mode::Cache);
    assert_eq!(&*config.servers()[0].name, "a");
    assert_eq!(config.topology(), parse(GOOD).unwrap().topology());

    let said = |builder: ConfigBuilder| {
        let error = builder.build().unwrap_err();
        assert_eq!(error.line(), None);
        error.to_string()
    };
    let mut timeouts = Timeouts::for_response(Duration::from_secs(3));
    timeouts.dead = Duration::from_secs(2);
    assert_snapshot!(said(good().timeouts(timeouts)), @r#"
    cluster feeds: timeouts.dead: dead is not more than response
      = read: 2s, where response is 3s
      = expected: more than response, or one slow reply would cost every caller the connection
      = help: leave it out for 4 times response, 12s
    "#);
    assert_snapshot!(said(good().server("c", endpoint("redis://:hunter2@10.0.0.3"), [5])), @r#"
    cluster feeds: servers.c.nodes: node 5 is on two servers
      = read: 5, which repeats node 5 of [servers.a]
      = expected: every node from 0 to 63 on exactly one server
      = help: make it [] if all of them live on a
    "#);
    assert_snapshot!(said(good().server("c", endpoint("redis://:hunter2@10.0.0.1"), [])), @r#"
    cluster feeds: servers.c.url: servers a and c are the same keyspace
      = read: 10.0.0.1:6379 database 0, which repeats address and database of [servers.a]
      = expected: each address and database once; any number of nodes may live on one server
      = help: name another address or database, or give all the nodes to one of the two
    "#);
    assert_snapshot!(said(good().server("a", endpoint("redis://10.0.0.3"), [])), @r#"
    cluster feeds: servers.a: two servers have one name
      = read: a
      = expected: each name once
      = help: rename one
    "#);
    assert_snapshot!(said(good().server("c", Endpoint::new(Address::Tcp { host: "10.0.0.3".into(), port: 0 }), [])), @r#"
    cluster feeds: servers.c.url: the port is 0
      = read: 10.0.0.3:0
      = expected: 1 to 65535
      = help: servers listen on 6379 by default
    "#);
    assert_snapshot!(said(good().server("c", Endpoint::new(Address::Unix("run/redis.sock".into())), [])), @r#"
    cluster feeds: servers.c.url: the socket is not an absolute path
      = read: run/redis.sock
      = expected: a path from /
      = help: write the whole path
    "#);
    assert_snapshot!(said(Config::builder("my feeds")), @r#"
    cluster: name: the cluster's name has a space in it
      = read: "my feeds"
      = expected: 1 to 40 letters, digits, _ . or - (it is part of the names of connections)
      = help: use - or _ in its place
    "#);
    assert_snapshot!(said(Config::builder("feeds")), @r#"
    cluster feeds: placement: there is no placement
      = expected: an algorithm and a number of nodes, which stay for as long as the data
      = help: add [placement] with algorithm = "ketama" and nodes = 64
    "#);
    assert_snapshot!(said(Config::builder("feeds").placement(placement.clone())), @r#"
    cluster feeds: servers: there is no server
      = expected: at least one server, with a url and nodes
      = help: add [servers.a] with url = "redis://host:6379" and nodes
    "#);
    assert_snapshot!(Endpoint::from_url("redis://ada:hunter2@host:nine").unwrap_err(), @r#"
    endpoint: url: the URL's port is not a number from 1 to 65535
      = read: redis://ada:***@host:nine
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: leave the port out for 6379; if a password was meant, put an @ after it
    "#);
}

#[test]
fn what_is_not_toml_is_refused() {
    assert_snapshot!(refused(&with("nodes = 64", "nodes = ")), @r#"
    conf/cluster.toml:5:9: not TOML: there is no value after =
      |
    5 | nodes =
      |        ^
      = expected: TOML, see https://toml.io
      = help: texts, durations and URLs stand in double quotes; tables in [ ]
    "#);
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = feeds")), @r#"
    conf/cluster.toml:1:8: not TOML: the value is neither a number nor true or false, and not in quotes
      |
    1 | name = feeds
      |        ^^^^^ read: feeds
      = expected: TOML, see https://toml.io
      = help: texts, durations and URLs stand in double quotes; tables in [ ]
    "#);
    assert_snapshot!(refused(&with("nodes = \"32-63\"", "nodes = \"32-63")), @r#"
    conf/cluster.toml:13:15: not TOML: invalid basic string, expected `"`
       |
    13 | nodes = "32-63
       |               ^
       = expected: TOML
       = help: end the text with a double quote, on its line
    "#);
    assert_snapshot!(refused(&with("[servers.b]", "[servers.b")), @r#"
    conf/cluster.toml:11:11: not TOML: unclosed table, expected `]`
       |
    11 | [servers.b
       |           ^
       = expected: TOML, see https://toml.io
       = help: texts, durations and URLs stand in double quotes; tables in [ ]
    "#);
    assert_snapshot!(refused(&with("[servers.b]", "[servers.a]")), @r#"
    conf/cluster.toml:11:10: not TOML: duplicate key
       |
    11 | [servers.a]
       |          ^ read: a
       = expected: every table and every setting once
       = help: remove or rename one of the two
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 64\nnodes = 65")), @r#"
    conf/cluster.toml:6:1: not TOML: duplicate key
      |
    6 | nodes = 65
      | ^^^^^ read: nodes
      = expected: every table and every setting once
      = help: remove or rename one of the two
    "#);
}

#[test]
fn unknown_settings_are_refused() {
    assert_snapshot!(refused(&and("[timeouts]\nconect = \"1s\"")), @r#"
    conf/cluster.toml:16:1: unknown setting conect
       |
    16 | conect = "1s"
       | ^^^^^^ read: conect
       = expected: one of connect, response, dead, silence_max, idle_ping, close
       = help: did you mean connect?
    "#);
    assert_snapshot!(refused(&and("[timeout]\nconnect = \"1s\"")), @r#"
    conf/cluster.toml:15:2: unknown setting timeout
       |
    15 | [timeout]
       |  ^^^^^^^ read: timeout
       = expected: one of name, mode, protocol, multi_key, startup, placement, defaults, servers, timeouts, retry, pool, limits, tcp
       = help: did you mean timeouts?
    "#);
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\nresponse = \"1s\"")), @r#"
    conf/cluster.toml:2:1: unknown setting response
      |
    2 | response = "1s"
      | ^^^^^^^^ read: response
      = expected: one of name, mode, protocol, multi_key, startup, placement, defaults, servers, timeouts, retry, pool, limits, tcp
      = help: response belongs in [timeouts]
    "#);
    assert_snapshot!(refused(&and("[pool]\npool-size = 3\nconnections = 4")), @r#"
    conf/cluster.toml:16:1: unknown setting pool-size
       |
    16 | pool-size = 3
       | ^^^^^^^^^ read: pool-size
       = expected: one of connections, bulk_connections, dedicated_max, dedicated_idle_max
       = help: did you mean connections?
    "#);
    assert_snapshot!(refused(&with("[servers.b]", "weight = 3\n[servers.b]")), @r#"
    conf/cluster.toml:11:1: unknown setting weight
       |
    11 | weight = 3
       | ^^^^^^ read: weight
       = expected: one of url, nodes, username, password, password_file, database, tls
       = help: remove it
    "#);
    assert_snapshot!(refused(&and("[control]\nurl = \"redis://:hunter2@10.0.0.9:6379\"")), @r#"
    conf/cluster.toml:15:2: this version does not support [control]
       |
    15 | [control]
       |  ^^^^^^^ read: control
       = expected: a file that holds the topology itself: the nodes of every server
       = help: remove [control]
    "#);
}

#[test]
fn a_wrong_type_is_refused() {
    assert_snapshot!(refused(&and("[timeouts]\nconnect = 500")), @r#"
    conf/cluster.toml:16:11: an integer where a duration is needed
       |
    16 | connect = 500
       |           ^^^ read: 500
       = expected: a number and its unit in quotes: "500ms", "1.5s", "2m" or "1h"
       = help: add the unit: connect = "500ms"
    "#);
    assert_snapshot!(refused(&and("[timeouts]\nconnect = 1.5")), @r#"
    conf/cluster.toml:16:11: a float where a duration is needed
       |
    16 | connect = 1.5
       |           ^^^ read: 1.5
       = expected: a number and its unit in quotes: "500ms", "1.5s", "2m" or "1h"
       = help: write a duration
    "#);
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = 7")), @r#"
    conf/cluster.toml:1:8: an integer where a string is needed
      |
    1 | name = 7
      |        ^ read: 7
      = expected: a text in quotes: name = "..."
      = help: write a string
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "nodes = \"64\"")), @r#"
    conf/cluster.toml:5:9: a string where an integer is needed
      |
    5 | nodes = "64"
      |         ^^^^ read: "64"
      = expected: a whole number without quotes: nodes = 1
      = help: write an integer
    "#);
    assert_snapshot!(refused(&with("nodes = \"0-31\"", "nodes = 31")), @r#"
    conf/cluster.toml:9:9: an integer where a string or a list is needed
      |
    9 | nodes = 31
      |         ^^ read: 31
      = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
      = help: write a string or a list
    "#);
    assert_snapshot!(refused(&with("nodes = \"0-31\"", "nodes = [0, true]")), @r#"
    conf/cluster.toml:9:13: a boolean where a node is needed
      |
    9 | nodes = [0, true]
      |             ^^^^ read: true
      = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
      = help: write a node
    "#);
    assert_snapshot!(refused(&and("[tcp]\nkeepalive = \"yes\"")), @r#"
    conf/cluster.toml:16:13: a string where true or false is needed
       |
    16 | keepalive = "yes"
       |             ^^^^^ read: "yes"
       = expected: keepalive = true or keepalive = false
       = help: write true or false
    "#);
    assert_snapshot!(refused(&and("[retry]\nattempts_max = \"4\"")), @r#"
    conf/cluster.toml:16:16: a string where an integer is needed
       |
    16 | attempts_max = "4"
       |                ^^^ read: "4"
       = expected: a whole number without quotes: attempts_max = 1
       = help: write an integer
    "#);
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\ntimeouts = \"1s\"")), @r#"
    conf/cluster.toml:2:12: a string where a table is needed
      |
    2 | timeouts = "1s"
      |            ^^^^ read: "1s"
      = expected: a table: [timeouts]
      = help: write a table
    "#);
    assert_snapshot!(refused(&with("[servers.a]\n", "[servers]\na = \"redis://10.0.0.1\"\n[servers.c]\n")), @r#"
    conf/cluster.toml:8:5: a string where a table is needed
      |
    8 | a = ***
      |     ^^^ read: ***
      = expected: a table for each server: [servers.a] with url and nodes
      = help: write a table
    "#);
}

#[test]
fn a_bad_name_or_word_is_refused() {
    assert_snapshot!(refused(&with("name = \"feeds\"\n", "")), @r#"
    conf/cluster.toml:1:1: there is no name
      |
    1 |
      | ^
      = expected: name, which has no default
      = help: add name = "feeds"
    "#);
    assert_snapshot!(refused(&with("\"feeds\"", "\"my feeds\"")), @r#"
    conf/cluster.toml:1:8: the cluster's name has a space in it
      |
    1 | name = "my feeds"
      |        ^^^^^^^^^^ read: "my feeds"
      = expected: 1 to 40 letters, digits, _ . or - (it is part of the names of connections)
      = help: use - or _ in its place
    "#);
    assert_snapshot!(refused(&with("\"feeds\"", "\"\"")), @r#"
    conf/cluster.toml:1:8: the cluster's name is empty
      |
    1 | name = ""
      |        ^^ read: ""
      = expected: 1 to 40 letters, digits, _ . or - (it is part of the names of connections)
      = help: give it one, such as "feeds"
    "#);
    assert_snapshot!(refused(&with("\"feeds\"", "\"feeds-of-all-the-people-in-all-the-countries\"")), @r#"
    conf/cluster.toml:1:8: the cluster's name has 44 characters
      |
    1 | name = "feeds-of-all-the-people-in-all-the-countries"
      |        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "feeds-of-all-the-people-in-all-the-countries"
      = expected: 1 to 40 letters, digits, _ . or - (it is part of the names of connections)
      = help: shorten it
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.\"a/b\"]")), @r#"
    conf/cluster.toml:7:1: the server's name has '/' in it
      |
    7 | [servers."a/b"]
      | ^^^^^^^^^^^^^^^ read: [servers."a/b"]
      = expected: 1 to 40 letters, digits, _ . or - (it is part of the names of connections)
      = help: use - or _ in its place
    "#);
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\nmode = \"stor\"")), @r#"
    conf/cluster.toml:2:8: unknown mode
      |
    2 | mode = "stor"
      |        ^^^^^^ read: "stor"
      = expected: "store" or "cache"
      = help: did you mean "store"?
    "#);
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\nprotocol = \"3\"")), @r#"
    conf/cluster.toml:2:12: unknown protocol
      |
    2 | protocol = "3"
      |            ^^^ read: "3"
      = expected: "resp2" or "resp3"
      = help: leave it out for the default, "resp2"
    "#);
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\nstartup = \"eager\"")), @r#"
    conf/cluster.toml:2:11: unknown startup
      |
    2 | startup = "eager"
      |           ^^^^^^^ read: "eager"
      = expected: "lazy" or "all"
      = help: leave it out for the default, "lazy"
    "#);
}

#[test]
fn a_bad_number_or_duration_is_refused() {
    assert_snapshot!(refused(&and("[timeouts]\nresponse = \"0ms\"")), @r#"
    conf/cluster.toml:16:12: response is too small
       |
    16 | response = "0ms"
       |            ^^^^^ read: "0ms"
       = expected: 1ms to 24h
       = help: leave it out for the default, 500ms
    "#);
    assert_snapshot!(refused(&and("[timeouts]\nconnect = \"2 days\"")), @r#"
    conf/cluster.toml:16:11: connect is not a duration
       |
    16 | connect = "2 days"
       |           ^^^^^^^^ read: "2 days"
       = expected: a number and its unit in quotes: "500ms", "1.5s", "2m" or "1h"
       = help: write one number and one unit: ms, s, m or h
    "#);
    assert_snapshot!(refused(&and("[timeouts]\nconnect = \"48h\"")), @r#"
    conf/cluster.toml:16:11: connect is too large
       |
    16 | connect = "48h"
       |           ^^^^^ read: "48h"
       = expected: 1ms to 24h
       = help: leave it out for the default, 1s
    "#);
    assert_snapshot!(refused(&and("[timeouts]\nidle_ping = \"-1s\"")), @r#"
    conf/cluster.toml:16:13: idle_ping is not a duration
       |
    16 | idle_ping = "-1s"
       |             ^^^^^ read: "-1s"
       = expected: a number and its unit in quotes: "500ms", "1.5s", "2m" or "1h"
       = help: time runs forward: remove the -
    "#);
    assert_snapshot!(refused(&and("[timeouts]\nresponse = \"2s\"\ndead = \"2s\" # as long")), @r#"
    conf/cluster.toml:17:8: dead is not more than response
       |
    17 | dead = "2s"
       |        ^^^^ read: "2s", where response is 2s
       = expected: more than response, or one slow reply would cost every caller the connection
       = help: leave it out for 4 times response, 8s
    "#);
    assert_snapshot!(refused(&and("[retry]\nbackoff_min = \"2s\"")), @r#"
    conf/cluster.toml:16:15: backoff_min is more than backoff_max
       |
    16 | backoff_min = "2s"
       |               ^^^^ read: "2s", where backoff_max is 1s
       = expected: at most backoff_max
       = help: make one smaller or the other larger
    "#);
    assert_snapshot!(refused(&and("[retry]\nattempts_max = 0")), @r#"
    conf/cluster.toml:16:16: attempts_max is too small
       |
    16 | attempts_max = 0
       |                ^ read: 0
       = expected: 1 to 100
       = help: leave it out for the default, 4
    "#);
    assert_snapshot!(refused(&and("[retry]\nbudget_percent = -1")), @r#"
    conf/cluster.toml:16:18: budget_percent is negative
       |
    16 | budget_percent = -1
       |                  ^^ read: -1
       = expected: a whole number, not below 0
       = help: leave it out for the default
    "#);
    assert_snapshot!(refused(&and("[retry]\nbudget_percent = 99999999999999999999999")), @r#"
    conf/cluster.toml:16:18: budget_percent is too large
       |
    16 | budget_percent = 99999999999999999999999
       |                  ^^^^^^^^^^^^^^^^^^^^^^^ read: 99999999999999999999999
       = expected: 0 to 100
       = help: leave it out for the default, 10
    "#);
    assert_snapshot!(refused(&and("[pool]\nconnections = 100_000")), @r#"
    conf/cluster.toml:16:15: connections is too large
       |
    16 | connections = 100_000
       |               ^^^^^^^ read: 100_000
       = expected: 1 to 64
       = help: leave it out for the default, 1
    "#);
    assert_snapshot!(refused(&and("[pool]\ndedicated_idle_max = 65")), @r#"
    conf/cluster.toml:16:22: dedicated_idle_max is more than dedicated_max
       |
    16 | dedicated_idle_max = 65
       |                      ^^ read: 65, where dedicated_max is 64
       = expected: 0 to dedicated_max
       = help: make it 64 or less
    "#);
    assert_snapshot!(refused(&and("[limits]\nreply_bytes_max = \"64MB\"")), @r#"
    conf/cluster.toml:16:19: reply_bytes_max is not a size
       |
    16 | reply_bytes_max = "64MB"
       |                   ^^^^^^ read: "64MB"
       = expected: a number of bytes, or a number and its unit in quotes: "64MiB"
       = help: the units are B, KiB, MiB and GiB
    "#);
    assert_snapshot!(refused(&and("[limits]\nreply_bytes_max = 12")), @r#"
    conf/cluster.toml:16:19: reply_bytes_max is too small
       |
    16 | reply_bytes_max = 12
       |                   ^^ read: 12
       = expected: 1KiB to 16GiB
       = help: leave it out for the default, 513MiB
    "#);
    assert_snapshot!(refused(&and("[limits]\nin_flight_max = 0")), @r#"
    conf/cluster.toml:16:17: in_flight_max is too small
       |
    16 | in_flight_max = 0
       |                 ^ read: 0
       = expected: 1 to 1048576
       = help: leave it out for the default, 16384
    "#);
    assert_snapshot!(refused(&and("[tcp]\nkeepalive_idle = \"1500ms\"")), @r#"
    conf/cluster.toml:16:18: not a whole number of seconds
       |
    16 | keepalive_idle = "1500ms"
       |                  ^^^^^^^^ read: "1500ms"
       = expected: whole seconds, which is what the kernel counts
       = help: make it 2s
    "#);
    assert_snapshot!(refused(&and("[tcp]\nbulk_receive_buffer = \"8KiB\"")), @r#"
    conf/cluster.toml:16:23: bulk_receive_buffer is too small
       |
    16 | bulk_receive_buffer = "8KiB"
       |                       ^^^^^^ read: "8KiB"
       = expected: 16KiB to 1GiB
       = help: leave it out for the default, auto
    "#);
    assert_snapshot!(refused(&and("[tcp]\nbulk_receive_buffer = \"automatic\"")), @r#"
    conf/cluster.toml:16:23: bulk_receive_buffer is not a size
       |
    16 | bulk_receive_buffer = "automatic"
       |                       ^^^^^^^^^^^ read: "automatic"
       = expected: "auto", "system", a number of bytes, or a number and its unit in quotes: "64MiB"
       = help: the units are B, KiB, MiB and GiB
    "#);
    assert_snapshot!(refused(&and("[tcp]\nbulk_receive_buffer = true")), @r#"
    conf/cluster.toml:16:23: a boolean where an integer is needed
       |
    16 | bulk_receive_buffer = true
       |                       ^^^^ read: true
       = expected: a whole number without quotes: bulk_receive_buffer = 1
       = help: write an integer
    "#);
    assert_snapshot!(refused(&and("[limits]\nreply_bytes_max = \"auto\"")), @r#"
    conf/cluster.toml:16:19: reply_bytes_max is not a size
       |
    16 | reply_bytes_max = "auto"
       |                   ^^^^^^ read: "auto"
       = expected: a number of bytes, or a number and its unit in quotes: "64MiB"
       = help: the units are B, KiB, MiB and GiB
    "#);
}

#[test]
fn a_receive_buffer_is_a_size_or_left_to_others() {
    for (written, meant) in [
        ("\"auto\"", ReceiveBuffer::Auto),
        ("\"system\"", ReceiveBuffer::System),
        ("\"64KiB\"", ReceiveBuffer::Bytes(64 << 10)),
        ("1048576", ReceiveBuffer::Bytes(1 << 20)),
    ] {
        let file = and(&format!("[tcp]\nbulk_receive_buffer = {written}"));
        let config = parse(&file).unwrap();
        assert_eq!(config.tcp().bulk_receive_buffer, meant, "{written}");
    }
}

#[test]
fn a_bad_placement_is_refused() {
    assert_snapshot!(refused(&with("[placement]\nalgorithm = \"ketama\"\nnodes = 64\n", "")), @r#"
    conf/cluster.toml:1:1: there is no placement
      |
    1 | name = "feeds"
      | ^
      = expected: an algorithm and a number of nodes, which stay for as long as the data
      = help: add [placement] with algorithm = "ketama" and nodes = 64
    "#);
    assert_snapshot!(refused(&with("algorithm = \"ketama\"\n", "")), @r#"
    conf/cluster.toml:3:1: [placement] has no algorithm
      |
    3 | [placement]
      | ^^^^^^^^^^^ read: [placement]
      = expected: algorithm, which has no default
      = help: add algorithm = "ketama"
    "#);
    assert_snapshot!(refused(&with("\"ketama\"", "\"ketema\"")), @r#"
    conf/cluster.toml:4:13: unknown algorithm
      |
    4 | algorithm = "ketema"
      |             ^^^^^^^^ read: "ketema"
      = expected: "ketama", "modulo", "rendezvous", "jump" or "maglev"; for data that another program has placed, its preset: nydus-..., rb-..., twemproxy-..., libmemcached-..., libketama, redis-rb-..., predis-..., jedis-..., go-redis-ring, envoy-..., codis-slots or redis-cluster-slots; "custom" for a function in the program's own code
      = help: did you mean "ketama"?
    "#);
    assert_snapshot!(refused(&with("\"ketama\"", "\"crc16\"")), @r#"
    conf/cluster.toml:4:13: unknown algorithm
      |
    4 | algorithm = "crc16"
      |             ^^^^^^^ read: "crc16"
      = expected: "ketama", "modulo", "rendezvous", "jump" or "maglev"; for data that another program has placed, its preset: nydus-..., rb-..., twemproxy-..., libmemcached-..., libketama, redis-rb-..., predis-..., jedis-..., go-redis-ring, envoy-..., codis-slots or redis-cluster-slots; "custom" for a function in the program's own code
      = help: choose the one that the data was written with; for new data, "ketama"
    "#);
    assert_snapshot!(refused(&with("nodes = 64\n", "")), @r#"
    conf/cluster.toml:3:1: the placement has no nodes
      |
    3 | [placement]
      | ^^^^^^^^^^^ read: [placement]
      = expected: nodes, from 1 to 16384, or names
      = help: add nodes = 64; it stays for as long as the data, so choose more than servers to come
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 0")), @r#"
    conf/cluster.toml:5:9: nodes is too small
      |
    5 | nodes = 0
      |         ^ read: 0
      = expected: 1 to 16384
      = help: nodes are units of placement, not of storage: 64 is enough for most
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 1_000_000_000_000")), @r#"
    conf/cluster.toml:5:9: nodes is too large
      |
    5 | nodes = 1_000_000_000_000
      |         ^^^^^^^^^^^^^^^^^ read: 1_000_000_000_000
      = expected: 1 to 16384
      = help: nodes are units of placement, not of storage: 64 is enough for most
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 64\nnames = [\"a\"]")), @r#"
    conf/cluster.toml:6:9: both nodes and names
      |
    6 | names = ["a"]
      |         ^^^^^ read: ["a"]
      = expected: nodes = 64 for nodes named "0" to "63", or the list of all names
      = help: remove one
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "names = []")), @r#"
    conf/cluster.toml:5:9: names has 0 items
      |
    5 | names = []
      |         ^^ read: []
      = expected: 1 to 16384 names
      = help: name every node, or write nodes = 64 in its place
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "names = [\n  \"a\",\n  \"b\",\n  \"a\",\n]")), @r#"
    conf/cluster.toml:8:3: nodes 0 and 2 have one name
      |
    8 |   "a",
      |   ^^^ read: "a"
      = expected: a list of different strings: names = ["eu-1", "eu-2"]
      = help: a name is what a node is hashed by: make them differ
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "names = [\"a\", \"\"]")), @r#"
    conf/cluster.toml:5:15: node 1 has an empty name
      |
    5 | names = ["a", ""]
      |               ^^ read: ""
      = expected: a list of different strings: names = ["eu-1", "eu-2"]
      = help: give it a name
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "names = [\"a\", 2]")), @r#"
    conf/cluster.toml:5:15: an integer where a string is needed
      |
    5 | names = ["a", 2]
      |               ^ read: 2
      = expected: a list of different strings: names = ["eu-1", "eu-2"]
      = help: write a string
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 2\nweights = [1]")), @r#"
    conf/cluster.toml:6:11: 1 weights for 2 nodes
      |
    6 | weights = [1]
      |           ^^^ read: [1]
      = expected: a list of 2 integers from 1, one for each node
      = help: 1 is the weight of a node that gets an equal share
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 2\nweights = [1, 0]")), @r#"
    conf/cluster.toml:6:15: a weight below 1
      |
    6 | weights = [1, 0]
      |               ^ read: 0
      = expected: a list of 2 integers from 1, one for each node
      = help: a node that shall hold nothing is best left out of the placement
    "#);
    assert_snapshot!(refused(&with("\"ketama\"\nnodes = 64", "\"modulo\"\nnodes = 2\nweights = [1, 2]")), @r#"
    conf/cluster.toml:6:11: modulo knows no weights
      |
    6 | weights = [1, 2]
      |           ^^^^^^ read: [1, 2]
      = expected: weights only with ketama, rendezvous, maglev, twemproxy-..., libmemcached-weighted, libmemcached-spy-weighted, libketama, predis-..., jedis-... and envoy-...
      = help: remove weights, or, if no data is there yet, use ketama, rendezvous or maglev
    "#);
}

/// [`GOOD`] with another placement over the nodes "a" and "b".
fn placed(algorithm: &str, more: &str) -> String {
    let placement = format!("\"{algorithm}\"\nnames = [\"a\", \"b\"]\n{more}");
    with("\"ketama\"\nnodes = 64", &placement)
        .replace("\"0-31\"", "[\"a\"]")
        .replace("\"32-63\"", "[\"b\"]")
}

#[test]
fn a_preset_is_read_with_its_options() {
    let config = parse(&placed(
        "nydus-ketama",
        "labels = [\"hunter2-${SECRET}\", \"b\"]",
    ))
    .unwrap();
    let mut specs = ["a", "b"].map(NodeSpec::new);
    specs[0].label = Some(Label::new("hunter2-hunter2-from-env"));
    specs[1].label = Some(Label::new("b"));
    assert_eq!(
        *config.placement(),
        Placement::new(Algorithm::NydusKetama, specs.into()).unwrap()
    );
    assert_ne!(
        config.placement(),
        parse(&placed("nydus-ketama", "")).unwrap().placement()
    );
}

#[test]
fn an_algorithm_that_is_none_is_refused_with_those_that_may_be_meant() {
    let help = |algorithm: &str| {
        let message = refused(&with("\"ketama\"", &format!("\"{algorithm}\"")));
        let help = message.lines().last().expect("a help line");
        format!("{algorithm}: {}\n", help.trim_start_matches("  = help: "))
    };
    let words = [
        "nydus",
        "round-robin",
        "rb",
        "Twemproxy",
        "nutcracker",
        "libmemcached",
        "redis-rb",
        "predis",
        "Jedis",
        "go-redis",
        "envoy",
        "codis",
        "redis_cluster",
        "modula",
        "twemproxy_ketma",
        "memcached",
        "consistent",
    ];
    assert_snapshot!(words.map(help).concat(), @r#"
    nydus: say which: "nydus-ketama" (ConsistentHashingRouter), "nydus-partition" (PartitionRouter) or "nydus-round-robin" (RoundRobinRouter)
    round-robin: did you mean "nydus-round-robin"?
    rb: say which: "rb-ketama" (ConsistentHashingRouter) or "rb-partition" (PartitionRouter)
    Twemproxy: say which: "twemproxy-ketama" (distribution: ketama) or "twemproxy-modula" (distribution: modula)
    nutcracker: say which: "twemproxy-ketama" (distribution: ketama) or "twemproxy-modula" (distribution: modula)
    libmemcached: say which: "libmemcached-weighted" (MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED), "libmemcached-ketama" (MEMCACHED_BEHAVIOR_KETAMA), "libmemcached-modula" (MEMCACHED_DISTRIBUTION_MODULA), "libmemcached-spy" (MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY) or "libmemcached-spy-weighted" (MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, then MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY)
    redis-rb: say which: "redis-rb-4" (redis-rb up to 4.x), "redis-rb-5" (redis-rb from 5.0 with redis-client from 0.21) or "redis-rb-5-db" (redis-rb from 5.0 with redis-client before 0.21)
    predis: say which: "predis-hashring" (HashRing, its default) or "predis-ketama" (KetamaRing)
    Jedis: say which: "jedis-murmur" (MURMUR_HASH, shards without names), "jedis-md5" (MD5, shards without names), "jedis-murmur-named" (MURMUR_HASH, shards with names) or "jedis-md5-named" (MD5, shards with names)
    go-redis: did you mean "go-redis-ring"?
    envoy: say which: "envoy-ring-xxhash" (RING_HASH, XX_HASH), "envoy-ring-murmur2" (RING_HASH, MURMUR_HASH_2) or "envoy-maglev" (MAGLEV)
    codis: did you mean "codis-slots"?
    redis_cluster: did you mean "redis-cluster-slots"?
    modula: say which: "twemproxy-modula" (distribution: modula) or "libmemcached-modula" (MEMCACHED_DISTRIBUTION_MODULA)
    twemproxy_ketma: did you mean "twemproxy-ketama"?
    memcached: say which: "libmemcached-weighted" (MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED), "libmemcached-ketama" (MEMCACHED_BEHAVIOR_KETAMA), "libmemcached-modula" (MEMCACHED_DISTRIBUTION_MODULA), "libmemcached-spy" (MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY) or "libmemcached-spy-weighted" (MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, then MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA_SPY)
    consistent: choose the one that the data was written with; for new data, "ketama"
    "#);
    assert_snapshot!(refused(&with("\"ketama\"", "\"twemproxy-random\"")), @r#"
    conf/cluster.toml:4:13: by twemproxy's random distribution no key can be found again
      |
    4 | algorithm = "twemproxy-random"
      |             ^^^^^^^^^^^^^^^^^^ read: "twemproxy-random"
      = expected: an algorithm that says where a key is
      = help: its data is read by asking every server for every key: cluster.servers().each(..) with any algorithm; then write it anew under that
    "#);
}

#[test]
fn what_an_algorithm_has_no_use_for_is_refused() {
    assert_snapshot!(refused(&and("").replace("64", "64\nhash = \"murmur\"")), @r#"
    conf/cluster.toml:6:8: ketama has no use for hash
      |
    6 | hash = "murmur"
      |        ^^^^^^^^ read: "murmur"
      = help: remove it; it is for twemproxy-..., libmemcached-ketama, libmemcached-modula and libmemcached-spy
    "#);
    assert_snapshot!(refused(&placed("libmemcached-weighted", "hash = \"md5\"")), @r#"
    conf/cluster.toml:6:8: libmemcached-weighted has no use for hash
      |
    6 | hash = "md5"
      |        ^^^^^ read: "md5"
      = help: MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED makes md5 the hash of the keys. Remove it; but if the program set MEMCACHED_BEHAVIOR_HASH after that, its keys are where no preset puts them
    "#);
    assert_snapshot!(refused(&placed("nydus-ketama", "hash_tag = \"{}\"")), @r#"
    conf/cluster.toml:6:12: nydus-ketama has no use for hash_tag
      |
    6 | hash_tag = "{}"
      |            ^^^^ read: "{}"
      = help: remove it; it is for twemproxy-..., jedis-... and envoy-...
    "#);
    assert_snapshot!(refused(&placed("nydus-partition", "labels = [\"hunter2\", \"x\"]")), @r#"
    conf/cluster.toml:6:10: nydus-partition goes by the position of nodes and hashes no names
      |
    6 | labels = ***
      |          ^^^ read: ***
      = expected: labels only with ketama, rendezvous, maglev, nydus-ketama, rb-ketama, twemproxy-..., libmemcached-weighted, libmemcached-ketama, libmemcached-spy, libmemcached-spy-weighted, libketama, redis-rb-..., predis-..., jedis-murmur-named, jedis-md5-named, go-redis-ring and envoy-...
      = help: remove labels
    "#);
    assert_snapshot!(refused(&placed("redis-rb-5", "weights = [1, 2]")), @r#"
    conf/cluster.toml:6:11: redis-rb-5 knows no weights
      |
    6 | weights = [1, 2]
      |           ^^^^^^ read: [1, 2]
      = expected: weights only with ketama, rendezvous, maglev, twemproxy-..., libmemcached-weighted, libmemcached-spy-weighted, libketama, predis-..., jedis-... and envoy-...
      = help: remove weights, as the original has none
    "#);
    assert_snapshot!(refused(&placed("twemproxy-ketama", "hash = \"mumur\"")), @r#"
    conf/cluster.toml:6:8: unknown hash
      |
    6 | hash = "mumur"
      |        ^^^^^^^ read: "mumur"
      = expected: one of one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur, jenkins
      = help: did you mean "murmur"?
    "#);
    assert_snapshot!(refused(&placed("twemproxy-ketama", "hash = \"sha256\"")), @r#"
    conf/cluster.toml:6:8: unknown hash
      |
    6 | hash = "sha256"
      |        ^^^^^^^^ read: "sha256"
      = expected: one of one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur, jenkins
      = help: write what the other program's configuration says; leave it out if it says nothing
    "#);
    assert_snapshot!(refused(&placed("twemproxy-ketama", "hash_tag = \"{\"")), @r#"
    conf/cluster.toml:6:12: not two characters
      |
    6 | hash_tag = "{"
      |            ^^^ read: "{"
      = expected: exactly two ASCII characters, the one before a tag and the one after it: hash_tag = "{}"
      = help: leave it out if the other program hashes whole keys; a $ is written $$
    "#);
    assert_snapshot!(refused(&placed("twemproxy-ketama", "hash_tag = \"ä\"")), @r#"
    conf/cluster.toml:6:12: not two characters
      |
    6 | hash_tag = "ä"
      |            ^^^ read: "ä"
      = expected: exactly two ASCII characters, the one before a tag and the one after it: hash_tag = "{}"
      = help: leave it out if the other program hashes whole keys; a $ is written $$
    "#);
    assert_snapshot!(refused(&placed("jedis-murmur", "hash_tag = \"[]\"")), @r#"
    conf/cluster.toml:6:12: no placement can be made of this: jedis-murmur: hash_tag is "[]", and the only pattern known is Jedis's own DEFAULT_KEY_TAG_PATTERN: write "{}" for it, or no hash tag if the shards were made without a pattern
      |
    6 | hash_tag = "[]"
      |            ^^^^ read: "[]"
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("envoy-ring-xxhash", "ring_points_min = \"1k\"")), @r#"
    conf/cluster.toml:6:19: a string where an integer is needed
      |
    6 | ring_points_min = "1k"
      |                   ^^^^ read: "1k"
      = expected: a whole number without quotes: ring_points_min = 1
      = help: write an integer
    "#);
}

/// What rb hashes goes into labels if it has a password.
#[test]
fn a_password_among_the_names_is_not_shown() {
    let host = |password: &str| {
        format!(
            "<HostInfo db=0 host='a' host_id=0 password={password} port=6379 ssl=False ssl_options=None unix_socket_path=None>"
        )
    };
    let text = |one: &str, other: &str| {
        let names = format!("names = [\"{}\", \"{}\"]", host(one), host(other));
        placed("rb-ketama", "").replace("names = [\"a\", \"b\"]", &names)
    };
    for other in ["None", "'hunter2'"] {
        let refusal = refused(&text("'hunter2'", other));
        assert!(
            refusal.contains("name") && !refusal.contains("hunter2"),
            "{refusal}"
        );
    }
    let shown = refused(&text("None", "None"));
    assert!(shown.contains("password=None port=6379"), "{shown}");
}

#[test]
fn bad_labels_are_refused_and_not_shown() {
    assert_snapshot!(refused(&placed("nydus-ketama", "labels = [\"hunter2\"]")), @r#"
    conf/cluster.toml:6:10: 1 labels for 2 nodes
      |
    6 | labels = ***
      |          ^^^ read: ***
      = expected: a list of 2 strings, one for each node, each of 1 to 1024 bytes
      = help: a label is hashed in place of a node's name: give all nodes one, or none
    "#);
    assert_snapshot!(refused(&placed("nydus-ketama", "labels = \"hunter2\"")), @r#"
    conf/cluster.toml:6:10: a string where a list is needed
      |
    6 | labels = ***
      |          ^^^ read: ***
      = expected: a list of 2 strings, one for each node, each of 1 to 1024 bytes
      = help: write a list
    "#);
    assert_snapshot!(refused(&placed("nydus-ketama", "labels = [\"hunter2\", 3]")), @r#"
    conf/cluster.toml:6:22: an integer where a string is needed
      |
    6 | labels = ***
      |          ^^^ read: ***
      = expected: a list of 2 strings, one for each node, each of 1 to 1024 bytes
      = help: write a string
    "#);
    assert_snapshot!(refused(&placed("nydus-ketama", "labels = [\n  \"hunter2\",\n  \"\",\n]")), @r#"
    conf/cluster.toml:8:3: a label of 0 bytes
      |
    8 |   ***
      |   ^^^ read: ***
      = expected: a list of 2 strings, one for each node, each of 1 to 1024 bytes
      = help: write what the other program hashes for this node; if it comes from a variable, set it
    "#);
    assert_snapshot!(refused(&placed("nydus-ketama", "labels = [\n  \"hunter2\",\n  \"hunter2\",\n]")), @r#"
    conf/cluster.toml:8:3: no placement can be made of this: the nodes "a" and "b" have one label: labels must differ, they are what is hashed
      |
    8 |   ***
      |   ^^^ read: ***
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("nydus-ketama", "labels = [\n  \"a\",\n  HostInfo(host='hunter2'),\n]")), @r#"
    conf/cluster.toml:8:16: not TOML: unexpected `=` in array, expected value, `]`
      |
    8 |   ***
      |   ^^^ read: ***
      = expected: TOML, see https://toml.io
      = help: texts, durations and URLs stand in double quotes; tables in [ ]
    "#);
    assert_snapshot!(refused(&placed("nydus-ketama", "labels = [\"\"\"\nhost = hunter2 \\q\n\"\"\", \"b\"]")), @r#"
    conf/cluster.toml:7:17: not TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U`
      |
    7 | ***
      | ^^^ read: ***
      = expected: TOML
      = help: a backslash in double quotes is written twice
    "#);
    assert_snapshot!(refused(&placed("nydus-ketama", "label = [\"hunter2\", \"x\"]")), @r#"
    conf/cluster.toml:6:1: unknown setting label
      |
    6 | label = ***
      | ^^^^^ read: label
      = expected: one of algorithm, nodes, names, weights, labels, hash, hash_tag, ring_points_min, ring_points_max, table_entries, custom, version
      = help: did you mean labels?
    "#);
    assert_snapshot!(refused(&placed("nydus-ketama", "labels = [\"hunter2\", \"x\"]\nnods = 3")), @r#"
    conf/cluster.toml:7:1: unknown setting nods
      |
    7 | nods = 3
      | ^^^^ read: nods
      = expected: one of algorithm, nodes, names, weights, labels, hash, hash_tag, ring_points_min, ring_points_max, table_entries, custom, version
      = help: did you mean nodes?
    "#);
}

#[test]
fn a_placement_that_cannot_be_made_is_shown_where_it_is_wrong() {
    let long = format!("names = [\"a\", \"{}\"]", "b".repeat(256));
    let text = placed("ketama", "").replace("names = [\"a\", \"b\"]", &long);
    assert_snapshot!(refused(&text), @r#"
    conf/cluster.toml:5:15: no placement can be made of this: the name of node 1 has 256 bytes: at most 255 are allowed
      |
    5 | names = ["a", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...
      |               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb...
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("ketama", "weights = [1, 101]")), @r#"
    conf/cluster.toml:6:15: no placement can be made of this: node "b" has weight 101: expected 1 to 100 (a node without keys is one to leave out)
      |
    6 | weights = [1, 101]
      |               ^^^ read: 101
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("redis-rb-5", "").replace("\"b\"]", "\"10.0.0.2:6379\"]")), @r#"
    conf/cluster.toml:5:15: no placement can be made of this: redis-rb-5: the name "10.0.0.2:6379" of node 1 looks like host:port, whose id in redis-rb is that of a URL: write redis://10.0.0.2:6379. If it is an :id of its own, put it into the node's label, which is hashed as it is
      |
    5 | names = ["a", "10.0.0.2:6379"]
      |               ^^^^^^^^^^^^^^^ read: "10.0.0.2:6379"
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("predis-ketama", "").replace("[\"a\", \"b\"]\n", "[\"a:1\", \"b\"]\n")), @r#"
    conf/cluster.toml:5:17: no placement can be made of this: predis-ketama: the name "b" of node 1 is neither host:port nor the path of a unix socket, which is what predis hashes: write for example 127.0.0.1:6379, with predis's defaults (host 127.0.0.1, port 6379) where its configuration has none, and without database and password
      |
    5 | names = ["a:1", "b"]
      |                 ^^^ read: "b"
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("rb-ketama", "labels = [\"hunter2\", \"b\"]")), @r#"
    conf/cluster.toml:6:11: no placement can be made of this: rb-ketama: the label of node 0 is not what rb hashes, which is the repr of a host. Ask rb's cluster for repr(cluster.hosts[0]), and take all of it, from <HostInfo to >: as the label, or as the name if it has no password
      |
    6 | labels = ***
      |          ^^^ read: ***
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("codis-slots", "")), @r#"
    conf/cluster.toml:5:9: no placement can be made of this: codis-slots: a node is a slot here, of which there are 1024 always, and 2 nodes were given: list 1024 nodes, slot 0 first, and let the servers have ranges of them
      |
    5 | names = ["a", "b"]
      |         ^^^^^^^^^^ read: ["a", "b"]
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("codis-slots", "").replace("names = [\"a\", \"b\"]", "nodes = 2")), @r#"
    conf/cluster.toml:5:9: no placement can be made of this: codis-slots: a node is a slot here, of which there are 1024 always, and 2 nodes were given: list 1024 nodes, slot 0 first, and let the servers have ranges of them
      |
    5 | nodes = 2
      |         ^ read: 2
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("envoy-maglev", "table_entries = 4")), @r#"
    conf/cluster.toml:6:17: no placement can be made of this: envoy-maglev: table_entries is 4: expected a prime up to 5000011, as in Envoy's table_size
      |
    6 | table_entries = 4
      |                 ^ read: 4
      = help: change it as the message says
    "#);
    assert_snapshot!(refused(&placed("twemproxy-modula", "weights = [1, 1000001]")), @r#"
    conf/cluster.toml:6:15: no placement can be made of this: node "b" has weight 1000001: expected 1 to 1000000 (a node without keys is one to leave out)
      |
    6 | weights = [1, 1000001]
      |               ^^^^^^^ read: 1000001
      = help: change it as the message says
    "#);
    // Found by trying: the points of these two are equal once.
    let clash = placed("nydus-ketama", "").replace("\"b\"]", "\"b153033\"]");
    assert_snapshot!(refused(&clash), @r#"
    conf/cluster.toml:5:15: no placement can be made of this: nydus-ketama: the nodes "a" and "b153033" have the point 3585801663 both, and the original leaves to chance whose it is. With data in place, neither rename a node nor leave one out, as that moves keys: ask the original where a key with this hash is, and place keys by a function of your own that says so (custom). If no data is there yet, rename one of the two
      |
    5 | names = ["a", "b153033"]
      |               ^^^^^^^^^ read: "b153033"
      = help: change it as the message says
    "#);
}

/// [`GOOD`] by a function in code.
fn custom(name: &str, version: &str) -> String {
    with(
        "algorithm = \"ketama\"",
        &format!("algorithm = \"custom\"\ncustom = \"{name}\"\nversion = {version}"),
    )
}

/// A reader of a program with two functions, one of them in two versions.
fn reader() -> ConfigReader {
    let first = |key: &[u8], nodes: u16| u16::from(key[0]) % nodes;
    ConfigReader::new()
        .custom(Custom::new("first-byte", 3, first))
        .custom(Custom::new("first-byte", 4, |_: &[u8], _| 7))
        .custom(Custom::new("constant", 1, |_: &[u8], _| 0))
}

#[test]
fn a_placement_by_a_function_in_code_is_read() {
    let read = |text: &str| reader().parse(text, Path::new("cluster.toml"), &|_| None);
    let third = read(&custom("first-byte", "3")).unwrap();
    assert_eq!(
        third.placement().describe(),
        "custom \"first-byte\" version 3 over 64 nodes"
    );
    assert_eq!(third.placement().node(b"b").0, u16::from(b'b') % 64);
    let fourth = read(&custom("first-byte", "4")).unwrap();
    assert_eq!(fourth.placement().node(b"b").0, 7);
    assert_ne!(third.placement(), fourth.placement());
    let again = read(&custom("first-byte", "3")).unwrap();
    assert_eq!(third.placement(), again.placement());

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cluster.toml");
    std::fs::write(&path, custom("constant", "1")).unwrap();
    assert_eq!(reader().read(&path).unwrap().placement().node(b"b").0, 0);
    assert_eq!(
        Config::from_file(&path).unwrap_err().setting(),
        "placement.custom"
    );
}

#[test]
fn a_function_that_the_program_does_not_have_is_refused() {
    let refused_with = |reader: ConfigReader, text: &str| {
        reader
            .parse(text, Path::new("conf/cluster.toml"), &|_| None)
            .unwrap_err()
            .to_string()
    };
    assert_snapshot!(refused(&custom("first-byte", "3")), @r#"
    conf/cluster.toml:5:10: the program that reads this file has no such function
      |
    5 | custom = "first-byte"
      |          ^^^^^^^^^^^^ read: "first-byte"
      = expected: what the program has registered: nothing
      = help: the function is code: register it, ConfigReader::new().custom(Custom::new("first-byte", 3, ..)). The command line keyway cannot know it
    "#);
    assert_snapshot!(refused_with(reader(), &custom("last-byte", "3")), @r#"
    conf/cluster.toml:5:10: the program that reads this file has no such function
      |
    5 | custom = "last-byte"
      |          ^^^^^^^^^^^ read: "last-byte"
      = expected: what the program has registered: "first-byte" version 3, "first-byte" version 4, "constant" version 1
      = help: the function is code: register it, ConfigReader::new().custom(Custom::new("last-byte", 3, ..)). The command line keyway cannot know it
    "#);
    assert_snapshot!(refused_with(reader(), &custom("first-byte", "5")), @r#"
    conf/cluster.toml:6:11: the program has another version of "first-byte"
      |
    6 | version = 5
      |           ^ read: 5
      = expected: what the program has registered: "first-byte" version 3, "first-byte" version 4, "constant" version 1
      = help: write the version that the data was placed by, and run a program that has it; another version is another placement
    "#);
    let twice = reader().custom(Custom::new("constant", 1, |_: &[u8], _| 1));
    assert_snapshot!(refused_with(twice, &custom("constant", "1")), @r#"
    conf/cluster.toml:5:10: two functions have this name and version
      |
    5 | custom = "constant"
      |          ^^^^^^^^^^ read: "constant"
      = expected: each name and version registered once
      = help: take one of them out of the program, or give it another version
    "#);
    assert_snapshot!(refused_with(reader(), &custom("first-byte", "\"3\"")), @r#"
    conf/cluster.toml:6:11: a string where an integer is needed
      |
    6 | version = "3"
      |           ^^^ read: "3"
      = expected: a whole number without quotes: version = 1
      = help: write an integer
    "#);
    assert_snapshot!(refused_with(reader(), &custom("first-byte", "3").replace("version = 3\n", "")), @"
    conf/cluster.toml:3:1: [placement] has no version
      |
    3 | [placement]
      | ^^^^^^^^^^^ read: [placement]
      = expected: version, which has no default
      = help: add version = 3, or whatever that of the function in code is
    ");
    assert_snapshot!(refused_with(reader(), &custom("first-byte", "3").replace("custom = \"first-byte\"\n", "")), @r#"
    conf/cluster.toml:3:1: [placement] has no custom
      |
    3 | [placement]
      | ^^^^^^^^^^^ read: [placement]
      = expected: custom, which has no default
      = help: add custom = "NAME", that of the function in code
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 64\nversion = 3")), @r#"
    conf/cluster.toml:6:11: ketama has no version
      |
    6 | version = 3
      |           ^ read: 3
      = expected: custom and version with algorithm = "custom" only
      = help: remove it
    "#);
    assert_snapshot!(refused_with(reader(), &custom("first-byte", "3\nweights = [1, 2]").replace("64", "2")), @r#"
    conf/cluster.toml:7:11: custom knows no weights
      |
    7 | weights = [1, 2]
      |           ^^^^^^ read: [1, 2]
      = expected: weights only with ketama, rendezvous, maglev, twemproxy-..., libmemcached-weighted, libmemcached-spy-weighted, libketama, predis-..., jedis-... and envoy-...
      = help: remove weights; the function may have weights of its own
    "#);
}

#[test]
fn bad_nodes_of_a_server_are_refused() {
    assert_snapshot!(refused(&with("32-63", "31-63")), @r#"
    conf/cluster.toml:13:9: node 31 is on two servers
       |
    13 | nodes = "31-63"
       |         ^^^^^^^ read: "31-63", which repeats node 31 of [servers.a] (line 9)
       = expected: every node from 0 to 63 on exactly one server
       = help: make it "32-63"
    "#);
    assert_snapshot!(refused(&with("32-63", "0-31")), @r#"
    conf/cluster.toml:13:9: node 0 is on two servers
       |
    13 | nodes = "0-31"
       |         ^^^^^^ read: "0-31", which repeats node 0 of [servers.a] (line 9)
       = expected: every node from 0 to 63 on exactly one server
       = help: make it [] if all of them live on a
    "#);
    assert_snapshot!(refused(&with("32-63", "32-40,40-63")), @r#"
    conf/cluster.toml:13:9: node 40 is listed twice
       |
    13 | nodes = "32-40,40-63"
       |         ^^^^^^^^^^^^^ read: "32-40,40-63"
       = expected: every node from 0 to 63 on exactly one server
       = help: list it once
    "#);
    assert_snapshot!(refused(&with("32-63", "33-50,52-62")), @r#"
    conf/cluster.toml:7:1: nodes 32,51,63 are on no server
      |
    7 | [servers.a]
      | ^^^^^^^^^^^ read: [servers.a]
      = expected: every node from 0 to 63 on exactly one server
      = help: add 32,51,63 to the nodes of a server
    "#);
    assert_snapshot!(refused(&with("32-63", "32-64")), @r#"
    conf/cluster.toml:13:9: node 64 does not exist
       |
    13 | nodes = "32-64"
       |         ^^^^^^^ read: "32-64"
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: the placement has 64 nodes, so the last one is 63
    "#);
    assert_snapshot!(refused(&with("32-63", "32-9999999999999999999999")), @r#"
    conf/cluster.toml:13:9: node with so large a number does not exist
       |
    13 | nodes = "32-9999999999999999999999"
       |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "32-9999999999999999999999"
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: the placement has 64 nodes, so the last one is 63
    "#);
    assert_snapshot!(refused(&with("32-63", "63-32")), @r#"
    conf/cluster.toml:13:9: the range 63-32 runs backwards
       |
    13 | nodes = "63-32"
       |         ^^^^^^^ read: "63-32"
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: write 32-63
    "#);
    assert_snapshot!(refused(&with("32-63", "32..63")), @r#"
    conf/cluster.toml:13:9: nodes is not a list of numbers and ranges
       |
    13 | nodes = "32..63"
       |         ^^^^^^^^ read: "32..63"
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: separate numbers by commas, and the ends of a range by one -
    "#);
    assert_snapshot!(refused(&with("32-63", "")), @r#"
    conf/cluster.toml:13:9: nodes is empty
       |
    13 | nodes = ""
       |         ^^ read: ""
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: write nodes = [] for a server without nodes
    "#);
    assert_snapshot!(refused(&with("nodes = \"32-63\"\n", "")), @r#"
    conf/cluster.toml:11:1: the server has no nodes setting
       |
    11 | [servers.b]
       | ^^^^^^^^^^^ read: [servers.b]
       = expected: nodes = "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: say which nodes live here: explicit, so that adding a server moves nothing by itself
    "#);
    assert_snapshot!(refused(&with("\"32-63\"", "[32, 64]")), @r#"
    conf/cluster.toml:13:14: node 64 does not exist
       |
    13 | nodes = [32, 64]
       |              ^^ read: 64
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: the placement has 64 nodes, so the last one is 63
    "#);
    assert_snapshot!(refused(&with("\"32-63\"", "[\"32-63\"]")), @r#"
    conf/cluster.toml:13:10: no node is named "32-63"
       |
    13 | nodes = ["32-63"]
       |          ^^^^^^^ read: "32-63"
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: names are those of [placement]; ranges go into one string: nodes = "0-3,7"
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "names = [\"north\", \"south\"]").replace("\"0-31\"", "[\"north\"]").replace("\"32-63\"", "[\"north\"]")), @r#"
    conf/cluster.toml:13:9: node "north" is on two servers
       |
    13 | nodes = ["north"]
       |         ^^^^^^^^^ read: ["north"], which repeats node "north" of [servers.a] (line 9)
       = expected: every node from 0 to 1 on exactly one server
       = help: make it [] if all of them live on a
    "#);
    assert_snapshot!(refused(&with("nodes = 64", "names = [\"north\", \"south\"]").replace("\"0-31\"", "[\"north\"]").replace("\"32-63\"", "[]")), @r#"
    conf/cluster.toml:7:1: node "south" is on no server
      |
    7 | [servers.a]
      | ^^^^^^^^^^^ read: [servers.a]
      = expected: every node from 0 to 1 on exactly one server
      = help: add "south" to the nodes of a server
    "#);
}

#[test]
fn bad_servers_are_refused() {
    assert_snapshot!(refused(GOOD.split("[servers.a]").next().unwrap_or_default()), @r#"
    conf/cluster.toml:1:1: there is no server
      |
    1 | name = "feeds"
      | ^
      = expected: at least one server, with a url and nodes
      = help: add [servers.a] with url = "redis://host:6379" and nodes
    "#);
    assert_snapshot!(refused(&with("url = \"redis://10.0.0.1:6379\"\n", "")), @r#"
    conf/cluster.toml:7:1: [servers.a] has no url
      |
    7 | [servers.a]
      | ^^^^^^^^^^^ read: [servers.a]
      = expected: url, which has no default
      = help: add url = "redis://host:6379"
    "#);
    assert_snapshot!(refused(&with_url("redis://10.0.0.2")), @r#"
    conf/cluster.toml:12:7: servers a and b are the same keyspace
       |
    12 | url = "redis://10.0.0.2:6379"
       |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://10.0.0.2:6379", which repeats address and database of [servers.a] (line 8)
       = expected: each address and database once; any number of nodes may live on one server
       = help: name another address or database, or give all the nodes to one of the two
    "#);
    assert_snapshot!(refused(&with_url("redis://:hunter2@10.0.0.2:6379/0")), @r#"
    conf/cluster.toml:12:7: servers a and b are the same keyspace
       |
    12 | url = "redis://10.0.0.2:6379"
       |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://10.0.0.2:6379", which repeats address and database of [servers.a] (line 8)
       = expected: each address and database once; any number of nodes may live on one server
       = help: name another address or database, or give all the nodes to one of the two
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\nusername = \"ada\"")), @r#"
    conf/cluster.toml:8:12: server a has a user without a password
      |
    8 | username = "ada"
      |            ^^^^^ read: "ada"
      = expected: both, or only a password (for the user default), or neither
      = help: add password or password_file
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"hunter2\"\npassword_file = \"pw\"")), @r#"
    conf/cluster.toml:9:17: both password and password_file
      |
    9 | password_file = "pw"
      |                 ^^^^ read: "pw"
      = expected: the password in one place
      = help: remove password; the file is read anew at each dial
    "#);
    assert_snapshot!(refused(&with_url("redis://:hunter2@10.0.0.1").replace("[servers.a]", "[servers.a]\npassword = \"hunter2\"")), @r#"
    conf/cluster.toml:8:12: the password is given twice
      |
    8 | password = ***
      |            ^^^ read: ***, besides the one in url (line 9)
      = expected: the password in one place
      = help: remove password, or the password in the url
    "#);
    assert_snapshot!(refused(&with_url("redis://ada:hunter2@10.0.0.1").replace("[servers.a]", "[servers.a]\nusername = \"ada\"")), @r#"
    conf/cluster.toml:8:12: the user is given twice
      |
    8 | username = "ada"
      |            ^^^^^ read: "ada", besides the one in url (line 9)
      = expected: the user in one place
      = help: remove username, or the user in the url
    "#);
    assert_snapshot!(refused(&with_url("redis://10.0.0.1/3").replace("[servers.a]", "[servers.a]\ndatabase = 3")), @r#"
    conf/cluster.toml:8:12: the database is given twice
      |
    8 | database = 3
      |            ^ read: 3, besides the one in url (line 9)
      = expected: the database in one place
      = help: remove database, or the database in the url
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\ndatabase = 99999999999")), @r#"
    conf/cluster.toml:8:12: database is too large
      |
    8 | database = 99999999999
      |            ^^^^^^^^^^^ read: 99999999999
      = expected: 0 to 2147483647
      = help: leave it out for the default, 0
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"${EMPTY}\"")), @r#"
    conf/cluster.toml:8:12: the password is empty
      |
    8 | password = ***
      |            ^^^ read: ***
      = expected: a password, or none at all
      = help: leave it out if the server has none; if it comes from a variable, set it
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword_file = \"\"")), @r#"
    conf/cluster.toml:8:17: password_file is empty
      |
    8 | password_file = ""
      |                 ^^ read: ""
      = expected: the path of a file; relative ones start at the directory of this file
      = help: leave it out if there is none
    "#);
}

#[test]
fn bad_urls_are_refused() {
    assert_snapshot!(refused(&with_url("10.0.0.1:6379")), @r#"
    conf/cluster.toml:8:7: the URL has no scheme
      |
    8 | url = "10.0.0.1:6379"
      |       ^^^^^^^^^^^^^^^ read: "10.0.0.1:6379"
      = expected: redis://host:port, rediss://host:port or unix:///path
      = help: put redis:// before the host
    "#);
    assert_snapshot!(refused(&with_url("http://10.0.0.1:6379")), @r#"
    conf/cluster.toml:8:7: http:// is not a Redis URL
      |
    8 | url = "http://10.0.0.1:6379"
      |       ^^^^^^^^^^^^^^^^^^^^^^ read: "http://10.0.0.1:6379"
      = expected: redis://host:port, rediss://host:port or unix:///path
      = help: Redis does not speak HTTP; write redis://
    "#);
    assert_snapshot!(refused(&with_url("valkey://10.0.0.1")), @r#"
    conf/cluster.toml:8:7: valkey:// is not supported
      |
    8 | url = "valkey://10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^ read: "valkey://10.0.0.1"
      = expected: redis://host:port, rediss://host:port or unix:///path
      = help: write redis://, or rediss:// for TLS
    "#);
    assert_snapshot!(refused(&with_url("amqp://10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL's scheme is unknown
      |
    8 | url = "amqp://10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^ read: "amqp://10.0.0.1"
      = expected: redis://host:port, rediss://host:port or unix:///path
      = help: write redis://, rediss:// for TLS, or unix:// for a socket
    "#);
    assert_snapshot!(refused(&with_url("redis://")), @r#"
    conf/cluster.toml:8:7: the URL has no host
      |
    8 | url = "redis://"
      |       ^^^^^^^^^^ read: "redis://"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: name the host: redis://10.0.0.1:6379
    "#);
    assert_snapshot!(refused(&with_url("redis://:6379")), @r#"
    conf/cluster.toml:8:7: the URL has no host
      |
    8 | url = "redis://:***"
      |       ^^^^^^^^^^^^^^ read: "redis://:***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: name the host: redis://10.0.0.1:6379
    "#);
    assert_snapshot!(refused(&with_url("redis://10.0.0.1:0")), @r#"
    conf/cluster.toml:8:7: the URL's port is not a number from 1 to 65535
      |
    8 | url = "redis://10.0.0.1:0"
      |       ^^^^^^^^^^^^^^^^^^^^ read: "redis://10.0.0.1:0"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: leave the port out for 6379; if a password was meant, put an @ after it
    "#);
    assert_snapshot!(refused(&with_url("redis://10.0.0.1:65536")), @r#"
    conf/cluster.toml:8:7: the URL's port is not a number from 1 to 65535
      |
    8 | url = "redis://10.0.0.1:65536"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://10.0.0.1:65536"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: leave the port out for 6379; if a password was meant, put an @ after it
    "#);
    assert_snapshot!(refused(&with_url("redis://10.0.0.1:port")), @r#"
    conf/cluster.toml:8:7: the URL's port is not a number from 1 to 65535
      |
    8 | url = "redis://10.0.0.1:***"
      |       ^^^^^^^^^^^^^^^^^^^^^^ read: "redis://10.0.0.1:***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: leave the port out for 6379; if a password was meant, put an @ after it
    "#);
    assert_snapshot!(refused(&with_url("redis://10.0.0.1/zero")), @r#"
    conf/cluster.toml:8:7: the URL's database is not a number
      |
    8 | url = "redis://10.0.0.1/***"
      |       ^^^^^^^^^^^^^^^^^^^^^^ read: "redis://10.0.0.1/***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: write a number from 0, such as 3, or leave it out for 0
    "#);
    assert_snapshot!(refused(&with_url("redis://10.0.0.1/-1")), @r#"
    conf/cluster.toml:8:7: the URL's database is not a number
      |
    8 | url = "redis://10.0.0.1/***"
      |       ^^^^^^^^^^^^^^^^^^^^^^ read: "redis://10.0.0.1/***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: write a number from 0, such as 3, or leave it out for 0
    "#);
    assert_snapshot!(refused(&with_url("redis://10.0.0.1?protocol=resp3")), @r#"
    conf/cluster.toml:8:7: the URL has query parameters
      |
    8 | url = "redis://10.0.0.1?protocol=***"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://10.0.0.1?protocol=***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: set protocol = "resp3" at the top of the file, for the whole cluster
    "#);
    assert_snapshot!(refused(&with_url("redis://10.0.0.1?timeout=3")), @r#"
    conf/cluster.toml:8:7: the URL has query parameters
      |
    8 | url = "redis://10.0.0.1?timeout=***"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://10.0.0.1?timeout=***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: remove it; what it sets is a setting of the file, or not supported
    "#);
    assert_snapshot!(refused(&with_url("rediss://10.0.0.1#insecure")), @r#"
    conf/cluster.toml:8:7: the URL has a fragment (#)
      |
    8 | url = "rediss://10.0.0.1#insecure"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "rediss://10.0.0.1#insecure"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: to take any certificate, set danger_accept_invalid_certificates = true in the server's tls table
    "#);
    assert_snapshot!(refused(&with_url("redis://::1:6379")), @r#"
    conf/cluster.toml:8:7: the URL's host has more than one colon
      |
    8 | url = "redis://:***"
      |       ^^^^^^^^^^^^^^ read: "redis://:***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: write an IPv6 address as [::1]:6379
    "#);
    assert_snapshot!(refused(&with_url("redis://[::1")), @r#"
    conf/cluster.toml:8:7: the URL has a [ without a ]
      |
    8 | url = "redis://[:***"
      |       ^^^^^^^^^^^^^^^ read: "redis://[:***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: write an IPv6 address as [::1]
    "#);
    assert_snapshot!(refused(&with_url("redis://[::g]:6379")), @r#"
    conf/cluster.toml:8:7: the URL's host is in [] but is no IPv6 address
      |
    8 | url = "redis://[:***"
      |       ^^^^^^^^^^^^^^^ read: "redis://[:***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: write it as [::1], without a zone
    "#);
    assert_snapshot!(refused(&with_url("redis://[::1]6379")), @r#"
    conf/cluster.toml:8:7: the URL has text after the ]
      |
    8 | url = "redis://[::1]6379"
      |       ^^^^^^^^^^^^^^^^^^^ read: "redis://[::1]6379"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: write [::1]:6379
    "#);
    assert_snapshot!(refused(&with_url("redis://my host")), @r#"
    conf/cluster.toml:8:7: the URL has a space in it
      |
    8 | url = "redis://my host"
      |       ^^^^^^^^^^^^^^^^^ read: "redis://my host"
      = expected: redis://host:port, rediss://host:port or unix:///path
      = help: remove it; in a password, a space is %20
    "#);
    assert_snapshot!(refused(&with_url("redis://a%b@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL has a % that is not followed by two hexadecimal digits
      |
    8 | url = "redis://***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^ read: "redis://***@10.0.0.1"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: in a password, % is %25
    "#);
    assert_snapshot!(refused(&with_url("redis://ada:@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL's password is empty
      |
    8 | url = "redis://ada:@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://ada:@10.0.0.1"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: remove the colon and the @ if the server has no password; if it comes from a variable, set it
    "#);
    assert_snapshot!(refused(&with_url("redis://a<b")), @r#"
    conf/cluster.toml:8:7: the URL's host is not a name that a host can have
      |
    8 | url = "redis://a<b"
      |       ^^^^^^^^^^^^^ read: "redis://a<b"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: check the host; in a password, / is %2F and @ is %40
    "#);
    assert_snapshot!(refused(&with_url("unix://run/redis.sock")), @r#"
    conf/cluster.toml:8:7: the URL's socket is not an absolute path
      |
    8 | url = "unix://run/redis.sock"
      |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "unix://run/redis.sock"
      = expected: unix:///path/of/socket, with ?db=, &user= and &pass= if needed
      = help: write three slashes: unix:///run/redis.sock
    "#);
    assert_snapshot!(refused(&with_url("unix:///run/")), @r#"
    conf/cluster.toml:8:7: the URL's socket is a directory
      |
    8 | url = "unix:///run/"
      |       ^^^^^^^^^^^^^^ read: "unix:///run/"
      = expected: unix:///path/of/socket, with ?db=, &user= and &pass= if needed
      = help: name the socket in it: unix:///run/redis.sock
    "#);
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?database=1")), @r#"
    conf/cluster.toml:8:7: the URL has an unknown query parameter
      |
    8 | url = "unix:///run/redis.sock?database=***"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "unix:///run/redis.sock?database=***"
      = expected: unix:///path/of/socket, with ?db=, &user= and &pass= if needed
      = help: remove it: only db, user and pass are known
    "#);
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?db=x")), @r#"
    conf/cluster.toml:8:7: the URL's database is not a number
      |
    8 | url = "unix:///run/redis.sock?db=***"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "unix:///run/redis.sock?db=***"
      = expected: unix:///path/of/socket, with ?db=, &user= and &pass= if needed
      = help: write a number from 0, such as 3, or leave it out for 0
    "#);
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?db=1&db=2")), @r#"
    conf/cluster.toml:8:7: the URL has the query parameter db twice
      |
    8 | url = "unix:///run/redis.sock?db=1&db=2"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "unix:///run/redis.sock?db=1&db=2"
      = expected: unix:///path/of/socket, with ?db=, &user= and &pass= if needed
      = help: remove one
    "#);
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?pass=")), @r#"
    conf/cluster.toml:8:7: the URL's query parameter pass is empty
      |
    8 | url = "unix:///run/redis.sock?pass="
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "unix:///run/redis.sock?pass="
      = expected: unix:///path/of/socket, with ?db=, &user= and &pass= if needed
      = help: remove it, or set it; if it comes from a variable, set that
    "#);
}

#[cfg(feature = "tls")]
#[test]
fn bad_tls_is_refused() {
    assert_snapshot!(refused(&and("[servers.b.tls]\nca_file = \"ca.pem\"")), @r#"
    conf/cluster.toml:15:1: tls for a server whose url is not rediss://
       |
    15 | [servers.b.tls]
       | ^^^^^^^^^^^^^^^ read: [servers.b.tls], while its url is in plain text (line 12)
       = expected: rediss://, since redis:// sends everything in the clear
       = help: write rediss:// in the url, or remove tls
    "#);
    assert_snapshot!(refused(&and("[defaults.tls]\nca_file = \"ca.pem\"")), @r#"
    conf/cluster.toml:15:1: [defaults.tls] is of use to no server
       |
    15 | [defaults.tls]
       | ^^^^^^^^^^^^^^ read: [defaults.tls]
       = expected: at least one server with rediss://, since redis:// sends everything in the clear
       = help: write rediss:// in the urls, or remove [defaults.tls]
    "#);
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock").replace("[servers.b]", "[servers.a.tls]\n[servers.b]")), @r#"
    conf/cluster.toml:11:1: tls for a server whose url is not rediss://
       |
    11 | [servers.a.tls]
       | ^^^^^^^^^^^^^^^ read: [servers.a.tls], while its url is in plain text (line 8)
       = expected: rediss://, since redis:// sends everything in the clear
       = help: remove tls: a unix socket has none
    "#);
    assert_snapshot!(refused(&with_url("rediss://10.0.0.1").replace("[servers.b]", "[servers.a.tls]\nclient_cert_file = \"us.pem\"\n[servers.b]")), @r#"
    conf/cluster.toml:12:20: client_cert_file without client_key_file
       |
    12 | client_cert_file = "us.pem"
       |                    ^^^^^^^^ read: "us.pem"
       = expected: a client certificate and its key, or neither
       = help: add client_key_file
    "#);
    assert_snapshot!(refused(&with_url("rediss://10.0.0.1").replace("[servers.b]", "[servers.a.tls]\nserver_name = \"a b\"\n[servers.b]")), @r#"
    conf/cluster.toml:12:15: server_name is not a name that a host can have
       |
    12 | server_name = "a b"
       |               ^^^^^ read: "a b"
       = expected: a host name or an IP address, as it stands in the server's certificate
       = help: leave it out for the host of the url
    "#);
    assert_snapshot!(refused(&with_url("rediss://10.0.0.1").replace("[servers.b]", "[servers.a.tls]\ninsecure = true\n[servers.b]")), @r#"
    conf/cluster.toml:12:1: unknown setting insecure
       |
    12 | insecure = true
       | ^^^^^^^^ read: insecure
       = expected: one of ca_file, client_cert_file, client_key_file, server_name, danger_accept_invalid_certificates
       = help: did you mean danger_accept_invalid_certificates?
    "#);
}

#[test]
fn bad_variables_are_refused() {
    assert_snapshot!(refused(&with_url("redis://:${NO_SUCH}@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the variable NO_SUCH is not set
      |
    8 | url = "redis://:***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://:***@10.0.0.1"
      = expected: ${NAME} for a variable of the environment that is set, $$ for a dollar
      = help: set NO_SUCH in the environment of this process
    "#);
    assert_snapshot!(refused(&with("\"feeds\"", "\"${NO_SUCH}\"")), @r#"
    conf/cluster.toml:1:8: the variable NO_SUCH is not set
      |
    1 | name = "${NO_SUCH}"
      |        ^^^^^^^^^^^^ read: "${NO_SUCH}"
      = expected: ${NAME} for a variable of the environment that is set, $$ for a dollar
      = help: set NO_SUCH in the environment of this process
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"hunter2$x\"")), @r#"
    conf/cluster.toml:8:12: a $ that starts no variable
      |
    8 | password = ***
      |            ^^^ read: ***
      = expected: ${NAME} for a variable of the environment that is set, $$ for a dollar
      = help: write $$ if a dollar is meant; a variable's name has letters, digits and _ only
    "#);
    assert_snapshot!(refused(&with("\"feeds\"", "\"${FEEDS:-feeds}\"")), @r#"
    conf/cluster.toml:1:8: a $ that starts no variable
      |
    1 | name = "${FEEDS:-feeds}"
      |        ^^^^^^^^^^^^^^^^^ read: "${FEEDS:-feeds}"
      = expected: ${NAME} for a variable of the environment that is set, $$ for a dollar
      = help: write $$ if a dollar is meant; a variable's name has letters, digits and _ only
    "#);
    assert_snapshot!(refused(&with("\"feeds\"", "\"$FEEDS\"")), @r#"
    conf/cluster.toml:1:8: a $ that starts no variable
      |
    1 | name = "$FEEDS"
      |        ^^^^^^^^ read: "$FEEDS"
      = expected: ${NAME} for a variable of the environment that is set, $$ for a dollar
      = help: write $$ if a dollar is meant; a variable's name has letters, digits and _ only
    "#);
    assert_snapshot!(refused(&with("\"feeds\"", "\"${SECRET} \"")), @r#"
    conf/cluster.toml:1:8: the cluster's name has a space in it
      |
    1 | name = "${SECRET} "
      |        ^^^^^^^^^^^^ read: "${SECRET} "
      = expected: 1 to 40 letters, digits, _ . or - (it is part of the names of connections)
      = help: use - or _ in its place
    "#);
    assert_snapshot!(refused(&and("[timeouts]\nconnect = \"${SECRET}\"")), @r#"
    conf/cluster.toml:16:11: connect is not a duration
       |
    16 | connect = "${SECRET}"
       |           ^^^^^^^^^^^ read: "${SECRET}"
       = expected: a number and its unit in quotes: "500ms", "1.5s", "2m" or "1h"
       = help: write one number and one unit: ms, s, m or h
    "#);
    assert_snapshot!(refused(&with("\"32-63\"", "[\"${SECRET}\"]")), @r#"
    conf/cluster.toml:13:10: no node is named "${SECRET}"
       |
    13 | nodes = ["${SECRET}"]
       |          ^^^^^^^^^^^ read: "${SECRET}"
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: names are those of [placement]; ranges go into one string: nodes = "0-3,7"
    "#);
    assert_snapshot!(refused(&with_url("redis://${SECRET}:${SECRET}")), @r#"
    conf/cluster.toml:8:7: the URL's port is not a number from 1 to 65535
      |
    8 | url = "redis://${SECRET}:${SECRET}"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://${SECRET}:${SECRET}"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: leave the port out for 6379; if a password was meant, put an @ after it
    "#);
    assert_snapshot!(refused(&with("redis://10.0.0.1:6379", "redis://${HOST}").replace("redis://10.0.0.2:6379", "redis://${HOST}")), @r#"
    conf/cluster.toml:12:7: servers a and b are the same keyspace
       |
    12 | url = "redis://${HOST}"
       |       ^^^^^^^^^^^^^^^^^ read: "redis://${HOST}", which repeats address and database of [servers.a] (line 8)
       = expected: each address and database once; any number of nodes may live on one server
       = help: name another address or database, or give all the nodes to one of the two
    "#);
}

#[test]
fn passwords_are_not_shown() {
    assert_snapshot!(refused(&with_url("redis://:hunter2@10.0.0.1:x")), @r#"
    conf/cluster.toml:8:7: the URL's port is not a number from 1 to 65535
      |
    8 | url = "redis://:***@10.0.0.1:x"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://:***@10.0.0.1:x"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: leave the port out for 6379; if a password was meant, put an @ after it
    "#);
    assert_snapshot!(refused(&with_url("redis://:hunter2")), @r#"
    conf/cluster.toml:8:7: the URL has no host
      |
    8 | url = "redis://:***"
      |       ^^^^^^^^^^^^^^ read: "redis://:***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: name the host: redis://10.0.0.1:6379
    "#);
    assert_snapshot!(refused(&with_url("redis://ada:hunter2")), @r#"
    conf/cluster.toml:8:7: the URL's port is not a number from 1 to 65535
      |
    8 | url = "redis://ada:***"
      |       ^^^^^^^^^^^^^^^^^ read: "redis://ada:***"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: leave the port out for 6379; if a password was meant, put an @ after it
    "#);
    assert_snapshot!(refused(&with_url("redis://hunter2@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: server a has a user without a password
      |
    8 | url = "redis://***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^ read: "redis://***@10.0.0.1"
      = expected: both, or only a password (for the user default), or neither
      = help: add password or password_file
    "#);
    assert_snapshot!(refused(&with_url("redis:hunter2@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL has no scheme
      |
    8 | url = "***@10.0.0.1"
      |       ^^^^^^^^^^^^^^ read: "***@10.0.0.1"
      = expected: redis://host:port, rediss://host:port or unix:///path
      = help: put redis:// before the host
    "#);
    assert_snapshot!(refused(&with_url("redis:/:hunter2")), @r#"
    conf/cluster.toml:8:7: the URL has no scheme
      |
    8 | url = "***"
      |       ^^^^^ read: "***"
      = expected: redis://host:port, rediss://host:port or unix:///path
      = help: put redis:// before the host
    "#);
    assert_snapshot!(refused(&with_url("redis://:hun/hunter2@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL has an @ after a /
      |
    8 | url = "redis://:***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://:***@10.0.0.1"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: in a user name or password, / is %2F and @ is %40
    "#);
    assert_snapshot!(refused(&with_url("redis://:hunter2@hunter2@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL has two @
      |
    8 | url = "redis://:***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://:***@10.0.0.1"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: in a user name or password, @ is %40
    "#);
    assert_snapshot!(refused(&with_url("redis://:hunter2?x@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL has an @ after a ?
      |
    8 | url = "redis://:***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://:***@10.0.0.1"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: in a password, ? is %3F
    "#);
    assert_snapshot!(refused(&with_url("redis://:hunter2#x@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL has a fragment (#)
      |
    8 | url = "redis://:***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://:***@10.0.0.1"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: remove it; in a password, # is %23
    "#);
    assert_snapshot!(refused(&with_url("redis://:hunter2 @10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL has a space in it
      |
    8 | url = "redis://:***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://:***@10.0.0.1"
      = expected: redis://host:port, rediss://host:port or unix:///path
      = help: remove it; in a password, a space is %20
    "#);
    assert_snapshot!(refused(&with_url("redis://:hunter2%zz@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL has a % that is not followed by two hexadecimal digits
      |
    8 | url = "redis://:***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^^^ read: "redis://:***@10.0.0.1"
      = expected: redis://[user:password@]host[:port][/database], or rediss:// for TLS
      = help: in a password, % is %25
    "#);
    assert_snapshot!(refused(&with_url("ftp://:hunter2@10.0.0.1")), @r#"
    conf/cluster.toml:8:7: the URL's scheme is unknown
      |
    8 | url = "ftp://:***@10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^^^ read: "ftp://:***@10.0.0.1"
      = expected: redis://host:port, rediss://host:port or unix:///path
      = help: write redis://, rediss:// for TLS, or unix:// for a socket
    "#);
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?pass=hunter2&x=hunter2")), @r#"
    conf/cluster.toml:8:7: the URL has an unknown query parameter
      |
    8 | url = "unix:///run/redis.sock?pass=***&x=***"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ read: "unix:///run/redis.sock?pass=***&x=***"
      = expected: unix:///path/of/socket, with ?db=, &user= and &pass= if needed
      = help: remove it: only db, user and pass are known
    "#);
    assert_snapshot!(refused(&with("url = \"redis://10.0.0.1:6379\"", "url = redis://:hunter2@10.0.0.1:6379")), @r#"
    conf/cluster.toml:8:7: not TOML: the value is neither a number nor true or false, and not in quotes
      |
    8 | url = redis://:***@10.0.0.1:6379
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^ read: redis://:***@10.0.0.1:6379
      = expected: TOML, see https://toml.io
      = help: texts, durations and URLs stand in double quotes; tables in [ ]
    "#);
    assert_snapshot!(refused(&with_url("redis://:hunter2\\q@10.0.0.1")), @r#"
    conf/cluster.toml:8:25: not TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U`
      |
    8 | url = "redis://:***@10.0.0.1"
      |                 ^^^ read: ***
      = expected: TOML
      = help: a backslash in double quotes is written twice
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = hunter2")), @r#"
    conf/cluster.toml:8:12: not TOML: the value is neither a number nor true or false, and not in quotes
      |
    8 | password = ***
      |            ^^^ read: ***
      = expected: TOML, see https://toml.io
      = help: texts, durations and URLs stand in double quotes; tables in [ ]
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"hunter2")), @r#"
    conf/cluster.toml:8:20: not TOML: invalid basic string, expected `"`
      |
    8 | password = ***
      |               ^
      = expected: TOML
      = help: end the text with a double quote, on its line
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"hun\"hunter2\"")), @r#"
    conf/cluster.toml:8:17: not TOML: unexpected key or value, expected newline, `#`
      |
    8 | password = ***
      |            ^^^ read: ***
      = expected: TOML, see https://toml.io
      = help: texts, durations and URLs stand in double quotes; tables in [ ]
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword \"hunter2\"")), @r#"
    conf/cluster.toml:8:10: not TOML: key with no value, expected `=`
      |
    8 | password***
      |         ^^^ read: ***
      = expected: TOML, see https://toml.io
      = help: texts, durations and URLs stand in double quotes; tables in [ ]
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword =\n\"hunter2\"")), @r#"
    conf/cluster.toml:9:10: not TOML: key with no value, expected `=`
      |
    9 | ***
      |    ^
      = expected: TOML, see https://toml.io
      = help: texts, durations and URLs stand in double quotes; tables in [ ]
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"\"\"\nhunter2 \\q\n\"\"\"")), @r#"
    conf/cluster.toml:9:10: not TOML: missing escaped value, expected `b`, `e`, `f`, `n`, `r`, `\`, `"`, `x`, `u`, `U`
      |
    9 | ***
      | ^^^ read: ***
      = expected: TOML
      = help: a backslash in double quotes is written twice
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = [\"hunter2\"]")), @r#"
    conf/cluster.toml:8:12: a list where a string is needed
      |
    8 | password = ***
      |            ^^^ read: ***
      = expected: a text in quotes: password = "..."
      = help: write a string
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npasswrod = \"hunter2\"")), @r#"
    conf/cluster.toml:8:1: unknown setting passwrod
      |
    8 | passwrod = ***
      | ^^^^^^^^ read: passwrod
      = expected: one of url, nodes, username, password, password_file, database, tls
      = help: did you mean password?
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\ntoken = \"hunter2\"")), @r#"
    conf/cluster.toml:8:1: unknown setting token
      |
    8 | token = ***
      | ^^^^^ read: token
      = expected: one of url, nodes, username, password, password_file, database, tls
      = help: did you mean password?
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\nnods = \"3\" # hunter2")), @r#"
    conf/cluster.toml:8:1: unknown setting nods
      |
    8 | nods = "3"
      | ^^^^ read: nods
      = expected: one of url, nodes, username, password, password_file, database, tls
      = help: did you mean nodes?
    "#);
    assert_snapshot!(refused(&and("[servers]\nc = { url = \"redis://:hunter2@h\", nodes = \"x\" }")), @r#"
    conf/cluster.toml:16:43: nodes is not a list of numbers and ranges
       |
    16 | c = { url = "redis://:***@h", nodes = "x" }
       |                                       ^^^ read: "x"
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: separate numbers by commas, and the ends of a range by one -
    "#);
    assert_snapshot!(refused(&and("[servers]\nc = { url = \"redis://h\", password = \"hunter2\", nodes = \"x\" }")), @r#"
    conf/cluster.toml:16:56: nodes is not a list of numbers and ranges
       |
    16 | c = { url = "redis://h", password = ***, nodes = "x" }
       |                                                  ^^^ read: "x"
       = expected: "0-63" or "0-3,7", or a list of nodes' names; [] for none
       = help: separate numbers by commas, and the ends of a range by one -
    "#);
    assert_snapshot!(refused(&with("[servers.a]", "[servers.c]\nnodes = []\nurl = \"redis://h\"\npassword = \"hunter2\"\n[servers.a]\nusername = \"hunter2\"").replace("\nusername = \"hunter2\"", "\nusername = \"a\"")), @r#"
    conf/cluster.toml:12:12: server a has a user without a password
       |
    12 | username = "a"
       |            ^^^ read: "a"
       = expected: both, or only a password (for the user default), or neither
       = help: add password or password_file
    "#);
}

#[test]
fn the_rest_of_a_password_is_no_setting() {
    assert_snapshot!(refused(&and("[servers]\nc = { nodes = 3, password = 0,hunter2={} }")), @r#"
    conf/cluster.toml:16:31: unknown setting ***
       |
    16 | c = { nodes = 3, password = ***
       |                             ^^^ read: ***
       = expected: one of url, nodes, username, password, password_file, database, tls
       = help: put the value before it in quotes
    "#);
}

proptest::proptest! {
    /// Whatever surrounds a secret, and however that breaks the file, an error does not print it.
    #[test]
    fn no_password_is_printed_whatever_is_wrong(
        before in r#"[a-z:/@?%$=,.{}\[\]\\ "'0-9]{0,6}"#,
        after in r#"[a-z:/@?#%$=,.{}\[\]\\ "'0-9]{0,6}"#,
        quote in "[\"']?",
        shape in 0..10_usize,
    ) {
        let secret = format!("{before}hunter2{after}");
        // The name of a variable is no secret, and an unset one must be named.
        proptest::prop_assume!(!secret.contains("${"));
        let text = match shape {
            0 => with("\"redis://10.0.0.1:6379\"", &format!("{quote}redis://:{secret}@10.0.0.1{quote}")),
            1 => with("\"redis://10.0.0.1:6379\"", &format!("{quote}rediss://ada:{secret}@10.0.0.1:x{quote}")),
            2 => with("[servers.a]", &format!("[servers.a]\npassword = {quote}{secret}{quote}\nnods = 3")),
            3 => with("[servers.a]", &format!("[servers.a]\npassword={quote}{secret}{quote} # {secret}\n")),
            5 => placed("nydus-ketama", &format!("labels = [{quote}{secret}{quote}, \"x\"]\nnods = 3")),
            6 => placed("nydus-ketama", &format!("labels = [\n  \"x\", # {secret}\n  {quote}{secret}{quote},\n]")),
            7 => placed("nydus-ketama", &format!("labels = [\"\"\"\n{secret}\n\"\"\", '{secret}']")),
            8 => placed("nydus-ketama", &format!("lables = [\n{quote}{secret}{quote}\n, {quote}{secret}{quote}]")),
            4 => and(&format!("[servers]\nc = {{ nodes = 3, password = {quote}{secret}{quote} }}")),
            _ => with("\"redis://10.0.0.1:6379\"", &format!("{quote}unix:///run/x?db=1&pass={secret}{quote}")),
        };
        if let Err(error) = parse(&text) {
            let printed = format!("{error} {error:?}");
            proptest::prop_assert!(!printed.contains("hunter2"), "{text}\n{printed}");
        }
    }
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_is_refused_where_it_is_not_built_in() {
    assert_snapshot!(refused(&with_url("rediss://10.0.0.1")), @r#"
    conf/cluster.toml:8:7: TLS is not built into this program
      |
    8 | url = "rediss://10.0.0.1"
      |       ^^^^^^^^^^^^^^^^^^^ read: "rediss://10.0.0.1"
      = expected: redis://, since keyway was built without its feature tls
      = help: build with the feature tls
    "#);
}
