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
    insta::assert_snapshot!(cluster.toml, @"");
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
    insta::assert_snapshot!(refusals, @"");
}

#[test]
fn names_are_what_the_original_hashes() {
    let names = |algorithm: &str, text: &str| {
        let import = list(text, Some(algorithm.parse().unwrap())).unwrap();
        let config = config(&import.clusters[0]);
        let placement = config.placement();
        placement.nodes().map(|node| placement.node_name(node).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("libmemcached-weighted", "10.0.0.1:11211 600\n10.0.0.2:6379"), ["10.0.0.1", "10.0.0.2:6379"]);
    assert_eq!(names("redis-rb-5", "10.0.0.1:6379\nredis://10.0.0.2/3"), ["redis://10.0.0.1:6379/0", "redis://10.0.0.2:6379/3"]);
    assert_eq!(names("nydus-ketama", "10.0.0.1"), ["redis://10.0.0.1:6379/0"]);
    assert_eq!(names("twemproxy-ketama", "10.0.0.1:06379\n/a.sock"), ["10.0.0.1:06379", "/a.sock"]);
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
    insta::assert_snapshot!(refusals, @"");
    let servers: String = (0..65).map(|i| format!("10.0.0.{i}\n")).collect();
    insta::assert_snapshot!(list(&servers, None).unwrap_err(), @"");
}

#[test]
fn a_new_cluster_has_every_node_once_and_each_server_its_share() {
    for (weights, count, expected) in [
        (vec![1, 1], 64, vec![32, 32]),
        (vec![1, 1, 1], 64, vec![21, 22, 21]),
        (vec![1, 2, 1], 64, vec![16, 32, 16]),
        (vec![1_000_000, 1, 1], 3, vec![1, 1, 1]),
        (vec![1], 16_384, vec![16_384]),
    ] {
        let shares = super::super::fresh::spread(&weights, count).unwrap();
        let sizes: Vec<_> = shares.iter().map(Vec::len).collect();
        assert_eq!(sizes, expected, "{weights:?}");
        let nodes: Vec<u16> = shares.concat();
        assert_eq!(nodes, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn a_fresh_file_teaches_and_is_right() {
    let text = fresh(&Fresh::default()).unwrap();
    insta::assert_snapshot!(text, @"");
    // With every example setting switched on, too.
    let all: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.starts_with('[') || setting.contains(" = ") => format!("{setting}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let parse = |text: &str| Config::parse(text, "cluster.toml".as_ref(), &|_| Some("hunter2".to_owned()));
    assert!(all.contains("\nattempts_max = 4"));
    let (plain, all) = (parse(&text).unwrap(), parse(&all).unwrap());
    assert_eq!((plain.timeouts(), plain.retry()), (all.timeouts(), all.retry()), "they are the defaults");
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
    insta::assert_snapshot!(refusals.join("\n"), @"");
}
