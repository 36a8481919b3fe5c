//! What each format becomes, what is refused, and that nothing makes it panic.

use super::*;
use crate::config::{Address, Config};
use std::path::{Path, PathBuf};

mod addresses;
mod broken;
mod golden;
mod nutcracker;
mod nydus;
mod rb;
mod ring;

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(path)
}

fn text_of(path: &str) -> String {
    let path = data(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn import_as(format: Format, text: &str) -> Import {
    let options = Options {
        format: Some(format),
        ..Options::default()
    };
    read(text.as_bytes(), "original".as_ref(), &options).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal_as(format: Format, text: &str) -> String {
    let options = Options {
        format: Some(format),
        ..Options::default()
    };
    match read(text.as_bytes(), "original".as_ref(), &options) {
        Err(error) => error.to_string(),
        Ok(import) => panic!("{import:#?}"),
    }
}

/// The configuration that an imported file gives, where every variable has this value.
fn config_with(cluster: &Imported, value: &str) -> Config {
    let variable = |name: &str| {
        assert!(cluster.variables.iter().any(|known| known == name));
        Some(value.to_owned())
    };
    Config::parse(&cluster.toml, "cluster.toml".as_ref(), &variable)
        .unwrap_or_else(|error| panic!("{error}\n{}", cluster.toml))
}

fn config(cluster: &Imported) -> Config {
    config_with(cluster, "hunter2")
}

/// All remarks, a line each.
fn remarks(cluster: &Imported) -> String {
    let lines = cluster.remarks.iter().map(|remark| format!("{remark}\n"));
    lines.collect()
}

#[test]
fn formats_have_names() {
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
    }
    assert!("yaml".parse::<Format>().is_err());
}

#[test]
fn the_content_tells_the_format() {
    let format = |text: &str| {
        let import = read(text.as_bytes(), "original".as_ref(), &Options::default());
        import
            .map(|import| import.format)
            .map_err(|error| error.to_string())
    };
    let cases = [
        (
            Format::Nutcracker,
            "a:\n  listen: h:1\n  servers:\n  - h:1:1\n",
        ),
        (
            Format::Nutcracker,
            "# c\na:\n  servers:\n   - h:1:1 n\n  redis: true\n  listen: 10.0.0.1:1\n",
        ),
        (
            Format::Nydus,
            "{'backend': 'nydus.db.backends.redis.Redis', 'hosts': {0: {}}}",
        ),
        (
            Format::Nydus,
            "import os\nA = {\n 'x': {'engine': 'nydus.db.backends.redis.Redis', 'hosts': {0: {'db': 1}}}}\n",
        ),
        (
            Format::Nydus,
            "r = create_cluster({'backend': 'nydus.db.backends.redis.Redis', 'hosts': ['a']})",
        ),
        (Format::Rb, "c = Cluster(hosts={0: {'port': 6379}})"),
        (Format::Rb, "{'hosts': {0: {'port': 6379}}}"),
        (
            Format::Rb,
            "OPTIONS['redis.clusters'] = {'default': {'hosts': {0: {'host': '10.0.0.1'}}}}",
        ),
        (Format::GoRedis, "{\"a\": \"10.0.0.1:6379\"}"),
        (Format::GoRedis, "\n  {\"addrs\": {\"a\": \":6379\"}}"),
        (Format::Addresses, "10.0.0.1:6379\n10.0.0.2:6379 3\n"),
        (
            Format::Addresses,
            "# list\nredis.example.com\n/run/redis.sock\n",
        ),
        (Format::Addresses, "\u{feff}10.0.0.1:6379\r\n"),
    ];
    for (expected, text) in cases {
        assert_eq!(format(text), Ok(expected), "{text}");
    }
    let mut refused = String::new();
    for text in [
        "",
        "\n # only\n",
        "hello world",
        "import os\nA = {1: 2}\n",
        "{'a': }",
        "{\"a\": 'x'}",
    ] {
        refused += &format(text).unwrap_err();
        refused += "\n";
    }
    insta::assert_snapshot!(refused, @r#"
    original: the text is empty
      = expected: nutcracker.yml, settings of nydus or rb, a Ring's addresses in JSON, or addresses one a line
      = help: give the configuration that is in use
    original: the text is empty
      = expected: nutcracker.yml, settings of nydus or rb, a Ring's addresses in JSON, or addresses one a line
      = help: give the configuration that is in use
    original: this is none of the formats that are known
      = expected: nutcracker.yml, settings of nydus or rb, a Ring's addresses in JSON, or addresses one a line
      = help: say its format, and what is wrong with it is said
    original: no cluster in the text, which looks like Python
      = expected: a dict with hosts, create_cluster({..}) or Cluster(hosts=..)
      = help: say its format if it is something else
    original: no cluster in the text, which looks like Python
      = expected: a dict with hosts
      = help: say its format if it is something else
    original: no cluster in the text, which looks like Python
      = expected: a dict with hosts
      = help: say its format if it is something else
    "#);
}

#[test]
fn a_text_that_is_no_text_is_refused_at_its_place() {
    let read = |text: &[u8]| read(text, "original".as_ref(), &Options::default());
    let error = read(b"a:\n  listen: \xff").unwrap_err();
    assert_eq!((error.line(), error.column()), (Some(2), Some(11)));
    let long = vec![b' '; INPUT_BYTES_MAX + 1];
    insta::assert_snapshot!(format!("{error}\n{}", read(&long).unwrap_err()), @r#"
    original:2:11: not UTF-8
      = read: the byte 0xff
      = expected: text in UTF-8
      = help: is this the configuration? If so, save it as UTF-8
    original: the text is too long
      = read: 1048577 bytes
      = expected: at most 1048576 bytes
      = help: give the configuration itself
    "#);
}

#[test]
fn one_of_several_clusters_can_be_chosen_and_named() {
    let text = "a:\n  listen: h:1\n  redis: true\n  servers:\n  - h:1:1\nb:\n  listen: h:2\n  servers:\n  - h:1:1\n";
    let import = |only: Option<&str>, name: Option<&str>| {
        let options = Options {
            only: only.map(str::to_owned),
            name: name.map(str::to_owned),
            ..Options::default()
        };
        read(text.as_bytes(), "original".as_ref(), &options)
    };
    let both = import(None, None).unwrap();
    assert_eq!((both.clusters.len(), both.skipped.len()), (1, 1));
    let named = import(Some("a"), Some("feeds")).unwrap();
    assert_eq!(
        (&*named.clusters[0].name, &*named.clusters[0].origin),
        ("feeds", "a")
    );
    assert_eq!(config(&named.clusters[0]).name(), "feeds");
    assert_eq!(import(Some("b"), None).unwrap().clusters, []);
    let refused = format!(
        "{}\n{}",
        import(Some("c"), None).unwrap_err(),
        import(None, Some("a b")).unwrap_err()
    );
    insta::assert_snapshot!(refused, @r#"
    original: no cluster of this name in the text
      = read: "c"
      = expected: one of a, b
      = help: names are those of the original
    original: this is no name for a cluster
      = read: "a b"
      = expected: 1 to 40 letters, digits, _ . or -
      = help: it is part of the names of connections
    "#);
}
