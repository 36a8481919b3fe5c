use super::*;
use crate::placement::Label;

#[test]
fn places_every_key_as_redis_rb_does() {
    for (file, algorithm) in [
        ("v4-3.csv", Algorithm::RedisRb4),
        ("v4-16.csv", Algorithm::RedisRb4),
        ("v5-3.csv", Algorithm::RedisRb5),
        ("v5-16.csv", Algorithm::RedisRb5),
        ("v5-client-old-3.csv", Algorithm::RedisRb5Db),
    ] {
        let file = format!("redis-rb/{file}");
        let rows = nodes_of(&file);
        let nodes: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        let urls = specs(rows.iter().map(|row| &row[2]));
        check(&file, &Placement::new(algorithm, urls).unwrap(), &nodes);

        let labelled = rows.iter().map(|row| NodeSpec {
            label: Some(Label::new(&row[3])),
            ..NodeSpec::new(&row[1])
        });
        let placement = Placement::new(algorithm, labelled.collect());
        check(&file, &placement.unwrap(), &nodes);
    }
}

#[test]
fn derives_the_id_of_a_url_as_each_version_does() {
    let cases = [
        (
            "redis://h",
            ["redis://h:6379/0", "redis://h:6379", "redis://h:6379/0"],
        ),
        (
            "redis://h/",
            ["redis://h:6379/0", "redis://h:6379", "redis://h:6379/0"],
        ),
        (
            "redis://h:7000",
            ["redis://h:7000/0", "redis://h:7000", "redis://h:7000/0"],
        ),
        (
            "redis://h:7000/0",
            ["redis://h:7000/0", "redis://h:7000", "redis://h:7000/0"],
        ),
        ("redis://h/15", ["redis://h:6379/15"; 3]),
        ("redis://A_b.c-d:1/2", ["redis://A_b.c-d:1/2"; 3]),
        ("rediss://h:1", ["", "rediss://h:1", "rediss://h:1/0"]),
        ("rediss://h:1/2", ["", "rediss://h:1/2", "rediss://h:1/2"]),
        ("redis://[::1]:1/2", ["", "", "redis://::1:1/2"]),
        ("redis://[::1]", ["", "", "redis://::1:6379/0"]),
        (
            "unix:///tmp/r.sock",
            ["", "unix:///tmp/r.sock", "/tmp/r.sock/0"],
        ),
        (
            "unix:/tmp/r.sock?db=2",
            ["", "unix:///tmp/r.sock?db=2", "/tmp/r.sock/2"],
        ),
        // An :id of the user's own.
        ("shard-1", ["shard-1"; 3]),
        ("eu:shard", ["eu:shard"; 3]),
    ];
    let algorithms = [
        Algorithm::RedisRb4,
        Algorithm::RedisRb5,
        Algorithm::RedisRb5Db,
    ];
    for (name, ids) in cases {
        for (algorithm, id) in algorithms.into_iter().zip(ids) {
            if id.is_empty() {
                let text = refusal(algorithm, specs([name]));
                assert!(text.contains("distributed.nodes.map(&:id)"), "{text}");
                continue;
            }
            let labelled = NodeSpec {
                label: Some(Label::new(id)),
                ..NodeSpec::new("a")
            };
            assert_eq!(
                points(algorithm, &specs([name])),
                points(algorithm, &[labelled]),
                "{algorithm}: {name}"
            );
        }
    }
}

#[test]
fn refuses_names_whose_id_is_not_certain() {
    for name in [
        "redis://",
        "redis:///0",
        "redis://:7000/0",
        "redis://h:/0",
        "redis://h:0/0",
        "redis://h:07000/0",
        "redis://h:70000/0",
        "redis://h/00",
        "redis://h/0x1",
        "redis://h/1/",
        "redis://h/1?db=2",
        "redis://h?db=2",
        "redis://h%2e/1",
        "redis://h\u{e9}/1",
        "redis://[]/1",
        "redis://::1:6379/1",
        "REDIS://h/1",
        "http://h/1",
        "unix:tmp/r.sock",
        "unix://tmp/r.sock",
        "unix:////r.sock",
        "unix:///tmp/r.sock?db=",
        "unix:///tmp/r.sock?timeout=1",
        "/tmp/r.sock",
        "10.0.0.1:6379",
    ] {
        for algorithm in [
            Algorithm::RedisRb4,
            Algorithm::RedisRb5,
            Algorithm::RedisRb5Db,
        ] {
            let text = refusal(algorithm, specs([name]));
            assert!(text.contains("redis-rb"), "{text}");
        }
    }
    let mut text = String::new();
    text += &refusal(Algorithm::RedisRb4, specs(["rediss://h:6379/0"]));
    text += &refusal(Algorithm::RedisRb5, specs(["redis://[::1]:6379/0"]));
    text += &refusal(Algorithm::RedisRb4, specs(["unix:///tmp/r.sock"]));
    text += &refusal(Algorithm::RedisRb5, specs(["redis://h:6379/one"]));
    text += &refusal(Algorithm::RedisRb5, specs(["redis://:hunter2@h:6379"]));
    text += &refusal(Algorithm::RedisRb5, specs(["10.0.0.1:6379"]));
    text += &refusal(
        Algorithm::RedisRb5,
        specs(["redis://h", "redis://h:6379/0"]),
    );
    assert!(!text.contains("hunter2"));
    insta::assert_snapshot!(text, @r#"
    redis-rb-4: the name "rediss://h:6379/0" of node 0 is hashed as redis:// by redis-rb before 4.7 and as rediss:// from there on: ask redis-rb, distributed.nodes.map(&:id), and put what it prints into the node's label, which is hashed as it is
    redis-rb-5: the name "redis://[::1]:6379/0" of node 0 has an address in brackets, which are hashed with redis-client from 0.22.2 and not before it: ask redis-rb, distributed.nodes.map(&:id), and put what it prints into the node's label, which is hashed as it is
    redis-rb-4: the name "unix:///tmp/r.sock" of node 0 is hashed as redis:// and the path by redis-rb before 4.7 and as unix:// and the path from there on: ask redis-rb, distributed.nodes.map(&:id), and put what it prints into the node's label, which is hashed as it is
    redis-rb-5: the name "redis://h:6379/one" of node 0 has a database that redis-rb may not read as it stands: expected redis://host:port/database, where :port and /database may be left out; or ask redis-rb, distributed.nodes.map(&:id), and put what it prints into the node's label, which is hashed as it is
    redis-rb-5: the name of node 0 has a user or a password, which redis-rb does not hash and a name would show: leave it out: expected redis://host:port/database, where :port and /database may be left out; or ask redis-rb, distributed.nodes.map(&:id), and put what it prints into the node's label, which is hashed as it is
    redis-rb-5: the name "10.0.0.1:6379" of node 0 looks like host:port, whose id in redis-rb is that of a URL: write redis://10.0.0.1:6379. If it is an :id of its own, put it into the node's label, which is hashed as it is
    redis-rb-5: the name "redis://h:6379/0" of node 1 has the same id in redis-rb as node 0, which gets no keys there for that reason: leave node 0 out
    "#);
}

#[test]
fn of_two_nodes_with_one_point_the_later_has_it() {
    check_later_wins(
        Algorithm::RedisRb4,
        [
            "redis://i-05a5c.example:6379/0",
            "redis://i-c254e775.example:6379/0",
        ],
        1_762_830_630,
    );
    check_later_wins(
        Algorithm::RedisRb5Db,
        ["redis://10.0.0.6:6379/15", "redis://10.0.0.52:6379/1"],
        3_773_776_129,
    );
}
