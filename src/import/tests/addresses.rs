use super::*;

fn list(text: &str, algorithm: Option<Algorithm>) -> Result<Import, ImportError> {
    let options = Options {
        format: Some(Format::Addresses),
        algorithm,
        ..Options::default()
    };
    read(text.as_bytes(), "list".as_ref(), &options)
}

#[test]
fn a_list_without_an_algorithm_is_a_new_cluster_and_says_so() {
    let import = list(&text_of("import/addresses.txt"), None).unwrap();
    let cluster = &import.clusters[0];
    assert!(!format!("{import:?}").contains("s3cret"));
    insta::assert_snapshot!(cluster.toml, @r#"
    # Made by `keyway import` from list, the list, line 2.
    # Before it is used, `keyway check` this file: it samples the keys of every server and must find
    # none misplaced.
    #
    # To do:
    # - algorithm: the list does not say how keys were placed, so this is a new cluster of 64 nodes, and
    #   the original's keys are not found by it. If data is there, import again with the algorithm that
    #   placed it
    # - password (line 5): set the variable CLUSTER_PASSWORD to this server's password, which is not in
    #   this file

    name = "cluster"

    # Fixed for the life of the data: another algorithm, name, weight or order looks for keys where they
    # are not.
    [placement]
    algorithm = "ketama"
    nodes = 64

    # Line 2: 10.3.0.1:6379
    [servers."10.3.0.1-6379"]
    url = "redis://10.3.0.1:6379"
    nodes = "0-10"

    # Line 3: 10.3.0.2:6379
    [servers."10.3.0.2-6379"]
    url = "redis://10.3.0.2:6379"
    nodes = "11-31"

    # Line 4: redis-3.example.net
    [servers."redis-3.example.net-6379"]
    url = "redis://redis-3.example.net:6379"
    nodes = "32-42"

    # Line 5
    [servers."10.3.0.4-6380-1"]
    url = "redis://10.3.0.4:6380"
    nodes = "43-52"
    database = 1
    username = "feeds"
    password = "${CLUSTER_PASSWORD}"

    # Line 6: /run/redis/five.sock
    [servers."five.sock"]
    url = "unix:///run/redis/five.sock"
    nodes = "53-63"
    "#);
    assert_eq!(config(cluster).placement().node_count(), 64);
}

/// Every algorithm either makes a file of a list or says what it needs.
#[test]
fn every_algorithm_takes_a_list_or_says_what_it_needs() {
    let mut refusals = String::new();
    for algorithm in Algorithm::all() {
        match list("10.0.0.1:6379\n10.0.0.2:6380\n", Some(algorithm)) {
            Ok(import) => {
                let config = config(&import.clusters[0]);
                assert_eq!(config.placement().algorithm(), algorithm);
                assert_eq!(config.servers().len(), 2);
            }
            Err(error) => refusals += &format!("{error}\n"),
        }
    }
    insta::assert_snapshot!(refusals, @r#"
    list: addresses are not enough for rb-ketama
      = expected: the arguments of rb's Cluster, as it hashes them all
      = help: give that
    list: addresses are not enough for jedis-murmur-named
      = expected: the names of the shards, which Jedis hashes: write the cluster file by hand
      = help: give that
    list: addresses are not enough for jedis-md5-named
      = expected: the names of the shards, which Jedis hashes: write the cluster file by hand
      = help: give that
    list: addresses are not enough for go-redis-ring
      = expected: the JSON map from names of shards to addresses, as a Ring hashes the names
      = help: give that
    "#);
}

#[test]
fn names_are_what_the_original_hashes() {
    let names = |algorithm: &str, text: &str| {
        let import = list(text, Some(algorithm.parse().unwrap())).unwrap();
        let config = config(&import.clusters[0]);
        let placement = config.placement();
        placement
            .nodes()
            .map(|node| placement.node_name(node).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("libmemcached-weighted", "10.0.0.1:11211 600\n10.0.0.2:6379"),
        ["10.0.0.1", "10.0.0.2:6379"]
    );
    assert_eq!(
        names("redis-rb-5", "10.0.0.1:6379\nredis://10.0.0.2/3"),
        ["redis://10.0.0.1:6379/0", "redis://10.0.0.2:6379/3"]
    );
    assert_eq!(
        names("nydus-ketama", "10.0.0.1"),
        ["redis://10.0.0.1:6379/0"]
    );
    assert_eq!(
        names("twemproxy-ketama", "10.0.0.1:06379\n/a.sock"),
        ["10.0.0.1:06379", "/a.sock"]
    );
    assert_eq!(names("jedis-murmur", "10.0.0.1\n10.0.0.2"), ["0", "1"]);
}

#[test]
fn what_is_no_list_is_refused_at_its_line() {
    let refusals = [
        ("10.0.0.1:6379\n\n  10.0.0.2:x\n", None),
        ("10.0.0.1:6379 1 a\n", None),
        ("10.0.0.1:6379 0\n", None),
        ("10.0.0.1:6379 x\n", None),
        ("redis://:s3cret@\n", None),
        ("user:s3cret@10.0.0.1:6379\n", None),
        ("# nothing\n", None),
        ("10.0.0.1 2\n", Some(Algorithm::RedisRb5)),
        ("10.0.0.1\n10.0.0.1\n", Some(Algorithm::Libketama)),
        ("10.0.0.1\n10.0.0.1\n", Some(Algorithm::RbKetama)),
    ]
    .map(|(text, algorithm)| list(text, algorithm).unwrap_err().to_string())
    .join("\n");
    assert!(!refusals.contains("s3cret"));
    insta::assert_snapshot!(refusals, @r#"
    list:3:3: the port is not a number from 1 to 65535
      = read: "x"
      = expected: host:port, host, /path, or a URL as in a cluster file; and maybe a weight behind a space; # starts a comment
      = help: check the port
    list:1:1: more than an address and a weight
      = read: 3 words
      = expected: host:port, host, /path, or a URL as in a cluster file; and maybe a weight behind a space; # starts a comment
      = help: if this is no list of addresses, say its format
    list:1:1: the weight is not a number from 1
      = expected: host:port, host, /path, or a URL as in a cluster file; and maybe a weight behind a space; # starts a comment
      = help: 1 is an equal share
    list:1:1: the weight is not a number from 1
      = expected: host:port, host, /path, or a URL as in a cluster file; and maybe a weight behind a space; # starts a comment
      = help: 1 is an equal share
    list:1:1: the URL has no host
      = expected: host:port, host, /path, or a URL as in a cluster file; and maybe a weight behind a space; # starts a comment
      = help: user and password are percent-encoded
    list:1:1: an address with an @
      = expected: host:port, host, /path, or a URL as in a cluster file; and maybe a weight behind a space; # starts a comment
      = help: write redis:// before it if it has a user or a password
    list: there are no addresses
      = expected: host:port, host, /path, or a URL as in a cluster file; and maybe a weight behind a space; # starts a comment
      = help: write one a line
    list:1:1: redis-rb-5 takes no such weight
      = read: 2
      = expected: no weights
      = help: is this the algorithm that the data was placed by?
    list:1:1: no placement can be made of the list
      = expected: servers that the preset can place keys by, exactly as the original does
      = help: nodes 0 and 1 are both named "10.0.0.1": names must differ, they are what is hashed
    list: addresses are not enough for rb-ketama
      = expected: the arguments of rb's Cluster, as it hashes them all
      = help: give that
    "#);
    let servers: String = (0..65).map(|i| format!("10.0.0.{i}\n")).collect();
    insta::assert_snapshot!(list(&servers, None).unwrap_err(), @r#"
    list: 65 servers for 64 nodes
      = expected: at least one server, and at least one node for each
      = help: a node is on one server: there must be as many nodes as there will ever be servers
    "#);
}

#[test]
fn a_new_cluster_has_every_node_once_and_each_server_its_share() {
    for (weights, count, expected) in [
        (vec![1, 1], 64, vec![32, 32]),
        (vec![1, 1, 1], 64, vec![21, 22, 21]),
        (vec![1, 2, 1], 64, vec![16, 32, 16]),
        (vec![1_000_000, 1, 1], 3, vec![1, 1, 1]),
        (vec![1, 1_000_000], 3, vec![1, 2]),
        (vec![1], 16_384, vec![16_384]),
    ] {
        let shares = fresh::spread(&weights, count).unwrap();
        let sizes: Vec<_> = shares.iter().map(Vec::len).collect();
        assert_eq!(sizes, expected, "{weights:?}");
        let nodes: Vec<u16> = shares.concat();
        assert_eq!(nodes, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn a_fresh_file_teaches_and_is_right() {
    let text = fresh(&Fresh::default()).unwrap();
    insta::assert_snapshot!(text, @r#"
    # A keyway cluster: how keys become nodes, and which server each node lives on. `keyway check` holds
    # this file against the servers.

    # Part of the name of every connection, as CLIENT LIST shows it.
    name = "cluster"

    # How keys become nodes. FIXED FOR THE LIFE OF THE DATA: with another algorithm or number of nodes,
    # keys are looked for where they are not. Nodes are what is moved to servers to come, so there are
    # more of them than there will ever be servers.
    [placement]
    algorithm = "ketama"
    nodes = 64

    # Every node lives on exactly one server. To add a server, give it some nodes of the others once
    # their data is there: nothing moves by itself.
    [servers."127.0.0.1-6379"]
    url = "redis://127.0.0.1:6379"
    nodes = "0-31"

    [servers."127.0.0.1-6380"]
    url = "redis://127.0.0.1:6380"
    nodes = "32-63"

    # What follows are defaults; take the # away to change one. There are more: see src/config/reference.toml.

    # [defaults]
    # password = "${CLUSTER_PASSWORD}"   # from the environment
    # database = 0

    # [timeouts]
    # response = "500ms"   # deadline of every operation, retries included
    # connect = "1s"

    # [retry]
    # attempts_max = 4   # of what is safe to repeat
    "#);
    // With every example setting switched on, too.
    let all: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.starts_with('[') || setting.contains(" = ") => {
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let parse = |text: &str| {
        Config::parse(text, "cluster.toml".as_ref(), &|_| {
            Some("hunter2".to_owned())
        })
    };
    assert!(all.contains("\nattempts_max = 4"));
    let (plain, all) = (parse(&text).unwrap(), parse(&all).unwrap());
    assert_eq!(
        (plain.timeouts(), plain.retry()),
        (all.timeouts(), all.retry()),
        "they are the defaults"
    );
}

#[test]
fn a_fresh_file_that_cannot_be_is_refused() {
    let refusal = |change: &dyn Fn(&mut Fresh)| {
        let mut cluster = Fresh::default();
        change(&mut cluster);
        fresh(&cluster).unwrap_err().to_string()
    };
    let refusals = [
        refusal(&|cluster| cluster.name = "a b".to_owned()),
        refusal(&|cluster| cluster.servers = Vec::new()),
        refusal(&|cluster| cluster.servers = vec!["a".to_owned(), "a:6379".to_owned()]),
        refusal(&|cluster| cluster.servers = vec!["redis://a".to_owned()]),
        refusal(&|cluster| cluster.node_count = 1),
        refusal(&|cluster| cluster.node_count = 0),
        refusal(&|cluster| cluster.node_count = 16_385),
        refusal(&|cluster| cluster.algorithm = Algorithm::TwemproxyKetama),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    a new cluster: this is no name for a cluster
      = read: "a b"
      = expected: 1 to 40 letters, digits, _ . or -
      = help: it is part of the names of connections
    a new cluster: 0 servers for 64 nodes
      = expected: at least one server, and at least one node for each
      = help: a node is on one server: there must be as many nodes as there will ever be servers
    a new cluster: no cluster file can be made of this
      = read: cluster.toml:21:7: servers a-6379 and a-6379-2 are the same keyspace
      = expected: servers that differ, each reachable by its address
      = help: change what it is about
    a new cluster: an address with a scheme
      = read: "redis"
      = expected: host:port, host, or the path of a socket
      = help: leave the scheme out; a user, a password or TLS go into the file
    a new cluster: 2 servers for 1 nodes
      = expected: at least one server, and at least one node for each
      = help: a node is on one server: there must be as many nodes as there will ever be servers
    a new cluster: a number of nodes that cannot be
      = read: 0
      = expected: 1 to 16384
      = help: 64 is enough for most
    a new cluster: a number of nodes that cannot be
      = read: 16385
      = expected: 1 to 16384
      = help: 64 is enough for most
    a new cluster: twemproxy-ketama is not for new data
      = expected: ketama, modulo, rendezvous, jump, maglev
      = help: for data that another program has placed, import its configuration; "ketama" otherwise
    "#);
}
