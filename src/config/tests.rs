//! Every refusal, pinned as it is printed; and that none of them shows a password.

use super::*;
use crate::{placement::NodeId, topology::ServerId};
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
    for setting in file::all_settings() {
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
    // Alternatives exclude each other; the rest must stand together.
    let text = text
        .replace("\nnames = ", "\n#")
        .replace("\npassword = ", "\n#");
    let config = Config::parse(&text, Path::new("/etc/reference.toml"), &|_| {
        Some("x".to_owned())
    })
    .unwrap();
    assert!(
        config
            .servers()
            .iter()
            .any(|server| server.endpoint.tls.is_some())
            || cfg!(not(feature = "tls"))
    );
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
    assert_snapshot!(error, @"");
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
    assert_snapshot!(said(good().timeouts(timeouts)), @"");
    assert_snapshot!(said(good().server("c", endpoint("redis://:hunter2@10.0.0.3"), [5])), @"");
    assert_snapshot!(said(good().server("c", endpoint("redis://:hunter2@10.0.0.1"), [])), @"");
    assert_snapshot!(said(good().server("a", endpoint("redis://10.0.0.3"), [])), @"");
    assert_snapshot!(said(good().server("c", Endpoint::new(Address::Tcp { host: "10.0.0.3".into(), port: 0 }), [])), @"");
    assert_snapshot!(said(good().server("c", Endpoint::new(Address::Unix("run/redis.sock".into())), [])), @"");
    assert_snapshot!(said(Config::builder("my feeds")), @"");
    assert_snapshot!(said(Config::builder("feeds")), @"");
    assert_snapshot!(said(Config::builder("feeds").placement(placement.clone())), @"");
    assert_snapshot!(Endpoint::from_url("redis://ada:hunter2@host:nine").unwrap_err(), @"");
}

#[test]
fn what_is_not_toml_is_refused() {
    assert_snapshot!(refused(&with("nodes = 64", "nodes = ")), @"");
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = feeds")), @"");
    assert_snapshot!(refused(&with("nodes = \"32-63\"", "nodes = \"32-63")), @"");
    assert_snapshot!(refused(&with("[servers.b]", "[servers.b")), @"");
    assert_snapshot!(refused(&with("[servers.b]", "[servers.a]")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 64\nnodes = 65")), @"");
}

#[test]
fn unknown_settings_are_refused() {
    assert_snapshot!(refused(&and("[timeouts]\nconect = \"1s\"")), @"");
    assert_snapshot!(refused(&and("[timeout]\nconnect = \"1s\"")), @"");
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\nresponse = \"1s\"")), @"");
    assert_snapshot!(refused(&and("[pool]\npool-size = 3\nconnections = 4")), @"");
    assert_snapshot!(refused(&with("[servers.b]", "weight = 3\n[servers.b]")), @"");
    assert_snapshot!(refused(&and("[control]\nurl = \"redis://:hunter2@10.0.0.9:6379\"")), @"");
}

#[test]
fn a_wrong_type_is_refused() {
    assert_snapshot!(refused(&and("[timeouts]\nconnect = 500")), @"");
    assert_snapshot!(refused(&and("[timeouts]\nconnect = 1.5")), @"");
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = 7")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "nodes = \"64\"")), @"");
    assert_snapshot!(refused(&with("nodes = \"0-31\"", "nodes = 31")), @"");
    assert_snapshot!(refused(&with("nodes = \"0-31\"", "nodes = [0, true]")), @"");
    assert_snapshot!(refused(&and("[tcp]\nkeepalive = \"yes\"")), @"");
    assert_snapshot!(refused(&and("[retry]\nattempts_max = \"4\"")), @"");
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\ntimeouts = \"1s\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]\nurl", "[servers]\na = \"redis://10.0.0.1\"\n[defaults]\nurl")), @"");
}

#[test]
fn a_bad_name_or_word_is_refused() {
    assert_snapshot!(refused(&with("name = \"feeds\"\n", "")), @"");
    assert_snapshot!(refused(&with("\"feeds\"", "\"my feeds\"")), @"");
    assert_snapshot!(refused(&with("\"feeds\"", "\"\"")), @"");
    assert_snapshot!(refused(&with("\"feeds\"", "\"feeds-of-all-the-people-in-all-the-countries\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.\"a/b\"]")), @"");
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\nmode = \"stor\"")), @"");
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\nprotocol = \"3\"")), @"");
    assert_snapshot!(refused(&with("name = \"feeds\"", "name = \"feeds\"\nstartup = \"eager\"")), @"");
}

#[test]
fn a_bad_number_or_duration_is_refused() {
    assert_snapshot!(refused(&and("[timeouts]\nresponse = \"0ms\"")), @"");
    assert_snapshot!(refused(&and("[timeouts]\nconnect = \"2 days\"")), @"");
    assert_snapshot!(refused(&and("[timeouts]\nconnect = \"48h\"")), @"");
    assert_snapshot!(refused(&and("[timeouts]\nidle_ping = \"-1s\"")), @"");
    assert_snapshot!(refused(&and("[timeouts]\nresponse = \"2s\"\ndead = \"2s\" # as long")), @"");
    assert_snapshot!(refused(&and("[retry]\nbackoff_min = \"2s\"")), @"");
    assert_snapshot!(refused(&and("[retry]\nattempts_max = 0")), @"");
    assert_snapshot!(refused(&and("[retry]\nbudget_percent = -1")), @"");
    assert_snapshot!(refused(&and("[retry]\nbudget_percent = 99999999999999999999999")), @"");
    assert_snapshot!(refused(&and("[pool]\nconnections = 100_000")), @"");
    assert_snapshot!(refused(&and("[pool]\ndedicated_idle_max = 65")), @"");
    assert_snapshot!(refused(&and("[limits]\nreply_bytes_max = \"64MB\"")), @"");
    assert_snapshot!(refused(&and("[limits]\nreply_bytes_max = 12")), @"");
    assert_snapshot!(refused(&and("[limits]\nin_flight_max = 0")), @"");
    assert_snapshot!(refused(&and("[tcp]\nkeepalive_idle = \"1500ms\"")), @"");
}

#[test]
fn a_bad_placement_is_refused() {
    assert_snapshot!(refused(&with("[placement]\nalgorithm = \"ketama\"\nnodes = 64\n", "")), @"");
    assert_snapshot!(refused(&with("algorithm = \"ketama\"\n", "")), @"");
    assert_snapshot!(refused(&with("\"ketama\"", "\"ketema\"")), @"");
    assert_snapshot!(refused(&with("\"ketama\"", "\"crc16\"")), @"");
    assert_snapshot!(refused(&with("nodes = 64\n", "")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 0")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 1_000_000_000_000")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 64\nnames = [\"a\"]")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "names = []")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "names = [\n  \"a\",\n  \"b\",\n  \"a\",\n]")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "names = [\"a\", \"\"]")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "names = [\"a\", 2]")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 2\nweights = [1]")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "nodes = 2\nweights = [1, 0]")), @"");
    assert_snapshot!(refused(&with("\"ketama\"\nnodes = 64", "\"modulo\"\nnodes = 2\nweights = [1, 2]")), @"");
}

#[test]
fn bad_nodes_of_a_server_are_refused() {
    assert_snapshot!(refused(&with("32-63", "31-63")), @"");
    assert_snapshot!(refused(&with("32-63", "0-31")), @"");
    assert_snapshot!(refused(&with("32-63", "32-40,40-63")), @"");
    assert_snapshot!(refused(&with("32-63", "33-50,52-62")), @"");
    assert_snapshot!(refused(&with("32-63", "32-64")), @"");
    assert_snapshot!(refused(&with("32-63", "32-9999999999999999999999")), @"");
    assert_snapshot!(refused(&with("32-63", "63-32")), @"");
    assert_snapshot!(refused(&with("32-63", "32..63")), @"");
    assert_snapshot!(refused(&with("32-63", "")), @"");
    assert_snapshot!(refused(&with("nodes = \"32-63\"\n", "")), @"");
    assert_snapshot!(refused(&with("\"32-63\"", "[32, 64]")), @"");
    assert_snapshot!(refused(&with("\"32-63\"", "[\"32-63\"]")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "names = [\"north\", \"south\"]").replace("\"0-31\"", "[\"north\"]").replace("\"32-63\"", "[\"north\"]")), @"");
    assert_snapshot!(refused(&with("nodes = 64", "names = [\"north\", \"south\"]").replace("\"0-31\"", "[\"north\"]").replace("\"32-63\"", "[]")), @"");
}

#[test]
fn bad_servers_are_refused() {
    assert_snapshot!(refused(&GOOD.split("[servers.a]").next().unwrap_or_default().to_owned()), @"");
    assert_snapshot!(refused(&with("url = \"redis://10.0.0.1:6379\"\n", "")), @"");
    assert_snapshot!(refused(&with_url("redis://10.0.0.2")), @"");
    assert_snapshot!(refused(&with_url("redis://:hunter2@10.0.0.2:6379/0")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\nusername = \"ada\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"hunter2\"\npassword_file = \"pw\"")), @"");
    assert_snapshot!(refused(&with_url("redis://:hunter2@10.0.0.1").replace("[servers.a]", "[servers.a]\npassword = \"hunter2\"")), @"");
    assert_snapshot!(refused(&with_url("redis://ada:hunter2@10.0.0.1").replace("[servers.a]", "[servers.a]\nusername = \"ada\"")), @"");
    assert_snapshot!(refused(&with_url("redis://10.0.0.1/3").replace("[servers.a]", "[servers.a]\ndatabase = 3")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\ndatabase = 99999999999")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"${EMPTY}\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword_file = \"\"")), @"");
}

#[test]
fn bad_urls_are_refused() {
    assert_snapshot!(refused(&with_url("10.0.0.1:6379")), @"");
    assert_snapshot!(refused(&with_url("http://10.0.0.1:6379")), @"");
    assert_snapshot!(refused(&with_url("valkey://10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("amqp://10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis://")), @"");
    assert_snapshot!(refused(&with_url("redis://:6379")), @"");
    assert_snapshot!(refused(&with_url("redis://10.0.0.1:0")), @"");
    assert_snapshot!(refused(&with_url("redis://10.0.0.1:65536")), @"");
    assert_snapshot!(refused(&with_url("redis://10.0.0.1:port")), @"");
    assert_snapshot!(refused(&with_url("redis://10.0.0.1/zero")), @"");
    assert_snapshot!(refused(&with_url("redis://10.0.0.1/-1")), @"");
    assert_snapshot!(refused(&with_url("redis://10.0.0.1?protocol=resp3")), @"");
    assert_snapshot!(refused(&with_url("redis://10.0.0.1?timeout=3")), @"");
    assert_snapshot!(refused(&with_url("rediss://10.0.0.1#insecure")), @"");
    assert_snapshot!(refused(&with_url("redis://::1:6379")), @"");
    assert_snapshot!(refused(&with_url("redis://[::1")), @"");
    assert_snapshot!(refused(&with_url("redis://[::g]:6379")), @"");
    assert_snapshot!(refused(&with_url("redis://[::1]6379")), @"");
    assert_snapshot!(refused(&with_url("redis://my host")), @"");
    assert_snapshot!(refused(&with_url("redis://a%b@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis://ada:@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis://a<b")), @"");
    assert_snapshot!(refused(&with_url("unix://run/redis.sock")), @"");
    assert_snapshot!(refused(&with_url("unix:///run/")), @"");
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?database=1")), @"");
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?db=x")), @"");
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?db=1&db=2")), @"");
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?pass=")), @"");
}

#[test]
fn bad_tls_is_refused() {
    assert_snapshot!(refused(&and("[servers.b.tls]\nca_file = \"ca.pem\"")), @"");
    assert_snapshot!(refused(&and("[defaults.tls]\nca_file = \"ca.pem\"")), @"");
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock").replace("[servers.b]", "[servers.a.tls]\n[servers.b]")), @"");
    assert_snapshot!(refused(&with_url("rediss://10.0.0.1").replace("[servers.b]", "[servers.a.tls]\nclient_cert_file = \"us.pem\"\n[servers.b]")), @"");
    assert_snapshot!(refused(&with_url("rediss://10.0.0.1").replace("[servers.b]", "[servers.a.tls]\nserver_name = \"a b\"\n[servers.b]")), @"");
    assert_snapshot!(refused(&with_url("rediss://10.0.0.1").replace("[servers.b]", "[servers.a.tls]\ninsecure = true\n[servers.b]")), @"");
}

#[test]
fn bad_variables_are_refused() {
    assert_snapshot!(refused(&with_url("redis://:${NO_SUCH}@10.0.0.1")), @"");
    assert_snapshot!(refused(&with("\"feeds\"", "\"${NO_SUCH}\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"hunter2$x\"")), @"");
    assert_snapshot!(refused(&with("\"feeds\"", "\"${FEEDS:-feeds}\"")), @"");
    assert_snapshot!(refused(&with("\"feeds\"", "\"$FEEDS\"")), @"");
    assert_snapshot!(refused(&with("\"feeds\"", "\"${SECRET} \"")), @"");
    assert_snapshot!(refused(&and("[timeouts]\nconnect = \"${SECRET}\"")), @"");
    assert_snapshot!(refused(&with("\"32-63\"", "[\"${SECRET}\"]")), @"");
    assert_snapshot!(refused(&with_url("redis://${SECRET}:${SECRET}")), @"");
    assert_snapshot!(refused(&with("redis://10.0.0.1:6379", "redis://${HOST}").replace("redis://10.0.0.2:6379", "redis://${HOST}")), @"");
}

#[test]
fn passwords_are_not_shown() {
    assert_snapshot!(refused(&with_url("redis://:hunter2@10.0.0.1:x")), @"");
    assert_snapshot!(refused(&with_url("redis://:hunter2")), @"");
    assert_snapshot!(refused(&with_url("redis://ada:hunter2")), @"");
    assert_snapshot!(refused(&with_url("redis://hunter2@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis:hunter2@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis:/:hunter2")), @"");
    assert_snapshot!(refused(&with_url("redis://:hun/hunter2@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis://:hunter2@hunter2@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis://:hunter2?x@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis://:hunter2#x@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis://:hunter2 @10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("redis://:hunter2%zz@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("ftp://:hunter2@10.0.0.1")), @"");
    assert_snapshot!(refused(&with_url("unix:///run/redis.sock?pass=hunter2&x=hunter2")), @"");
    assert_snapshot!(refused(&with("url = \"redis://10.0.0.1:6379\"", "url = redis://:hunter2@10.0.0.1:6379")), @"");
    assert_snapshot!(refused(&with_url("redis://:hunter2\\q@10.0.0.1")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = hunter2")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"hunter2")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"hun\"hunter2\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword \"hunter2\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword =\n\"hunter2\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = \"\"\"\nhunter2 \\q\n\"\"\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npassword = [\"hunter2\"]")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\npasswrod = \"hunter2\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\ntoken = \"hunter2\"")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.a]\nnods = \"3\" # hunter2")), @"");
    assert_snapshot!(refused(&and("[servers]\nc = { url = \"redis://:hunter2@h\", password = \"hunter2\", nodes = \"hunter2-4\" }")), @"");
    assert_snapshot!(refused(&with("[servers.a]", "[servers.c]\nnodes = []\nurl = \"redis://h\"\npassword = \"hunter2\"\n[servers.a]\nusername = \"hunter2\"").replace("\nusername = \"hunter2\"", "\nusername = \"a\"")), @"");
}
