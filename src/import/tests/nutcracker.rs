use super::*;

fn pools() -> Import {
    import_as(Format::Nutcracker, &text_of("import/pools.yml"))
}

fn minimal(directives: &str) -> String {
    format!("a:\n  listen: 127.0.0.1:1\n  redis: true\n{directives}  servers:\n   - 10.0.0.1:6379:1\n")
}

#[test]
fn every_pool_of_redis_becomes_a_file_and_the_others_are_named() {
    let import = pools();
    let clusters: Vec<_> = import.clusters.iter().map(|cluster| (&*cluster.origin, cluster.line)).collect();
    assert_eq!(clusters, [("timelines", 2), ("counters", 22)]);
    let skipped: Vec<_> = import
        .skipped
        .iter()
        .map(|skipped| format!("{} (line {}): {}", skipped.origin, skipped.line, skipped.reason))
        .collect();
    insta::assert_snapshot!(skipped.join("\n"), @"");
}

#[test]
fn a_pool_with_most_directives() {
    let import = pools();
    let cluster = &import.clusters[0];
    assert_eq!(cluster.variables, ["TIMELINES_PASSWORD"]);
    insta::assert_snapshot!(cluster.toml, @"");
    let config = config(cluster);
    assert_eq!(config.servers().len(), 3);
    assert_eq!(config.timeouts().response.as_millis(), 400);
    assert_eq!(config.timeouts().connect.as_millis(), 400);
    assert!(config.tcp().keepalive);
    assert!(config.servers().iter().all(|server| server.endpoint.database == 2 && server.endpoint.password.is_some()));
}

#[test]
fn a_pool_with_few_directives_has_nutcrackers_defaults() {
    let import = import_as(Format::Nutcracker, &text_of("import/minimal.yml"));
    let cluster = &import.clusters[0];
    insta::assert_snapshot!(cluster.toml, @"");
    let config = config(cluster);
    assert_eq!(config.placement().algorithm(), Algorithm::TwemproxyKetama);
    assert_eq!(config.placement().options().hash.unwrap().name(), "fnv1a_64");
    assert_eq!(config.placement().options().hash_tag, None);
}

#[test]
fn peculiar_names_are_hashed_as_nutcracker_does() {
    let import = import_as(Format::Nutcracker, &text_of("import/names.yml"));
    let cluster = &import.clusters[0];
    insta::assert_snapshot!(cluster.toml, @"");
    // The same without keyway's names: what nutcracker hashes, each as a label.
    let hashed = ["shard0", "shard1", "10.0.0.9:11211", "10.0.0.3", "10.0.0.4:06379", "2001:db8::5:6379", "[2001:db8::6]:6379", "/run/redis/seven.sock:", "eight$8"];
    let nodes = hashed.iter().enumerate().map(|(index, hashed)| crate::placement::NodeSpec {
        label: Some(crate::placement::Label::new(*hashed)),
        ..crate::placement::NodeSpec::weighted(index.to_string(), if index == 2 { 3 } else { 1 })
    });
    let options = crate::placement::Options {
        hash: Some(crate::hash::Hashkit::Murmur),
        hash_tag: Some(*b"||"),
        ..crate::placement::Options::default()
    };
    let expected = crate::placement::Placement::with_options(Algorithm::TwemproxyKetama, options, nodes.collect()).unwrap();
    let config = config(cluster);
    for i in 0..2_000 {
        let key = format!("user:{i}|tag{}|", i % 7);
        assert_eq!(config.placement().node(key.as_bytes()), expected.node(key.as_bytes()), "{key}");
    }
    assert_eq!(config.servers().len(), 8, "two servers of one address are one database");
}

/// Each of these names would be read as an address, and another text hashed, if it were a node's name.
#[test]
fn a_name_that_looks_like_an_address_is_a_label() {
    for name in ["a:11211", "/a", "a:6379:1"] {
        let text = format!("a:\n  listen: 127.0.0.1:1\n  redis: true\n  servers:\n   - 10.0.0.1:6379:1 {name}\n   - 10.0.0.2:6379:1 b\n");
        let import = import_as(Format::Nutcracker, &text);
        assert!(import.clusters[0].toml.contains(&format!("labels = [\"{name}\", \"b\"]")), "{}", import.clusters[0].toml);
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
    let mut files: Vec<_> = std::fs::read_dir(data("import/broken")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().trim_start_matches("# refused at ");
        let name = file.file_name().unwrap().to_string_lossy();
        let refusal = refusal_as(Format::Nutcracker, &text);
        assert!(refusal.starts_with(&format!("original:{expected}: ")), "{name}: {refusal}");
        assert!(refusal.contains("\n  = help: "), "{name}: {refusal}");
        refusals += &format!("{name} {}\n", refusal.lines().next().unwrap());
        count += 1;
    }
    assert_eq!(count, 27);
    insta::assert_snapshot!(refusals, @"");
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
    insta::assert_snapshot!(refusals.join("\n"), @"");
}

#[test]
fn the_listening_address_may_be_a_socket_with_permissions() {
    for listen in ["/tmp/a 0666", "/tmp/a", "/tmp/a 777", "localhost:1", "::1:1"] {
        let text = format!("a:\n  listen: {listen}\n  servers:\n   - h:1:1\n");
        assert_eq!(import_as(Format::Nutcracker, &text).skipped.len(), 1, "{listen}");
    }
    for listen in ["/tmp/a 1777", ":1", "localhost:0", "localhost:65536", "localhost", "[::1]:1"] {
        let text = format!("a:\n  listen: \"{listen}\"\n  servers:\n   - h:1:1\n");
        assert!(refusal_as(Format::Nutcracker, &text).starts_with("original:2:11: "), "{listen}");
    }
}
