use super::*;
use std::path::Path;

fn refusal(text: &str) -> String {
    let error = Scenario::parse(text, Path::new("s.toml")).unwrap_err();
    format!("{error}\n")
}

/// Every line of the example that is a setting in a comment, with the comment taken off, if `wanted` says so.
fn uncommented(wanted: impl Fn(&str) -> bool) -> String {
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(setting) if wanted(setting) => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    EXAMPLE.lines().map(line).collect()
}

#[test]
fn the_example_says_the_defaults() {
    let read = Scenario::parse(EXAMPLE, Path::new("example.toml")).unwrap();
    let mut made = Scenario::builder()
        .servers_made(5)
        .step(Step::Add(vec![Server::new("f")]));
    for scheme in ["ketama@64", "ketama", "jump", "modulo"] {
        made = made.scheme(scheme.parse().unwrap());
    }
    assert_eq!(format!("{read:?}"), format!("{:?}", made.build().unwrap()));
}

#[test]
fn the_example_with_its_comments_taken_off_is_right_too() {
    // These exclude others, or each other, or name files that are not there.
    let alone = [
        "file =",
        "names =",
        "cluster =",
        "value_bytes = { min",
        "sensitivity =",
    ];
    let is_setting = |setting: &str| {
        let key = setting.split(" = ").next().unwrap_or_default();
        setting.starts_with('[') || (setting.contains(" = ") && !key.contains(' '))
    };
    let text = uncommented(|setting| {
        is_setting(setting) && !alone.iter().any(|one| setting.starts_with(one))
    });
    // What the comments stand beside.
    let text = text
        .replace("popularity = \"uniform\"\n", "")
        .replace("value_bytes = 100\n", "");
    let scenario = Scenario::parse(&text, Path::new("example.toml")).unwrap();
    let stages: Vec<&str> = scenario.stages().collect();
    assert_eq!(
        stages,
        [
            "start",
            "add f",
            "remove b",
            "replace c by z",
            "reweight a to 2",
            "kill d",
            "place by maglev@64"
        ]
    );
    assert_eq!(scenario.title(), "One more server for feeds");
    assert_eq!(
        scenario.keys().to_string(),
        "synthetic, Zipf 0.99, lognormal sizes of median 300 B, sigma 1"
    );
    assert_eq!(scenario.servers()[0].weight, 2);
    assert_eq!(
        scenario.servers()[5],
        Server::new("f").weight(2).memory_bytes_max(32 << 30)
    );
    assert!(scenario.capacity.is_some());
    for line in EXAMPLE.lines().filter(|line| line.starts_with("# names =")) {
        let text = EXAMPLE.replace("count = 5\n", &line[2..]);
        assert_eq!(
            Scenario::parse(&text, Path::new("example.toml"))
                .unwrap()
                .vary,
            Vary::Both
        );
    }
}

#[test]
fn a_wrong_scenario_is_refused_with_its_place_and_what_to_do() {
    let servers = "schemes = [\"ketama@64\"]\n[servers]\ncount = 3\n";
    let mut text = String::new();
    for wrong in [
        "schemes = [\"ketama\"\n",
        "schemes = [\"ketama\"]\n",
        "scheems = [\"ketama\"]\n",
        "name = \"feeds\"\n[servers.a]\nurl = \"redis://:hunter2@10.0.0.1\"\n",
        "servers = { password = \"hunter2\" \n",
        "schemes = [\"ketma@64\"]\n[servers]\ncount = 3\n",
        "schemes = [\"ketama@0\"]\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\", \"ketama/7\"]\n[servers]\ncount = 3\n",
        "schemes = [\"ring/0\"]\n[servers]\ncount = 3\n",
        "schemes = [\"codis-slots@64\"]\n[servers]\ncount = 3\n",
        "schemes = [\"nydus-round-robin\"]\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\", \"modulo\"]\n[servers]\ncount = 3\n",
        "schemes = []\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\nrepeats = 0\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\nrepeats = \"many\"\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\nvary = \"all\"\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\nsensitivity = [0]\n[servers]\ncount = 3\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 0\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\nnames = [\"a\"]\n",
        "schemes = [\"modulo\"]\n[servers]\nnames = [\"a\", \"a\"]\n",
        "schemes = [\"modulo\"]\n[servers]\nnames = [\"a b\"]\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\nmemory_max = \"16GB\"\n",
        "schemes = [\"ketama\"]\n[servers]\ncount = 3\nweights = { a = 200 }\n",
        "schemes = [\"ketama\"]\n[servers]\ncount = 3\nweights = { z = 2 }\n",
        "schemes = [\"modulo\"]\n[servers]\ncluster = \"nowhere.toml\"\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\ncount = 0\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\npopularity = { zipf = 5.0 }\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\npopularity = \"zipf\"\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\nvalue_bytes = { min = 3, max = 1 }\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\nvalue_bytes = [1]\n",
        "schemes = [\"modulo\"]\n[servers]\ncount = 3\n[keys]\nfile = \"nowhere.txt\"\n",
        &format!("{servers}[[steps]]\nadd = \"d\"\n[[steps]]\nremove = \"e\"\n"),
        &format!("{servers}[[steps]]\nadd = [\"a\"]\n"),
        &format!("{servers}[[steps]]\nadd = 1.5\n"),
        &format!("{servers}[[steps]]\nadd = \"d\"\nremove = \"a\"\n"),
        &format!("{servers}[[steps]]\n"),
        &format!("{servers}[[steps]]\nreplace = \"a\"\n"),
        &format!("{servers}[[steps]]\nremove = \"a\"\nweight = 2\n"),
        &format!("{servers}[[steps]]\nremove = [\"a\", \"b\", \"c\"]\n"),
        &format!("{servers}[[steps]]\nkill = [\"a\"]\n[[steps]]\nkill = [\"a\"]\n"),
        &format!("{servers}[[steps]]\nplacement = \"jmp@64\"\n"),
        &format!("{servers}[[steps]]\nreweight = {{ a = -1 }}\n"),
        &format!("{servers}[pace]\ncopy_bytes_per_s = 0\n"),
        &format!("{servers}[capacity]\nheadroom = 2.0\n"),
        &format!("{servers}[keys]\ncount = 10000000001\n"),
        "schemes = [\"modulo\", \"jump\"]\nrepeats = 10000\n[servers]\ncount = 1000\n",
    ] {
        text += &refusal(wrong);
    }
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text, @r#"
    s.toml:1:20: unclosed array
      |
    1 | schemes = ***
      |              ^
      = expected: ]
      = help: keyway simulate --example prints a scenario with every setting
    s.toml:1:1: there are no servers
      |
    1 | schemes = ["ketama"]
      | ^
      = expected: a table [servers] with count, names or cluster
      = help: add [servers] and count = 5
    s.toml:1:1: unknown field `scheems`
      |
    1 | scheems = ***
      | ^^^^^^^ read: scheems
      = expected: one of: title, seed, repeats, vary, schemes, sensitivity, costs, requests_per_s, keys, servers, steps, pace, storm, capacity
      = help: did you mean schemes?
    s.toml:1:1: unknown field `name`
      |
    1 | name = "feeds"
      | ^^^^ read: name
      = expected: one of: title, seed, repeats, vary, schemes, sensitivity, costs, requests_per_s, keys, servers, steps, pace, storm, capacity
      = help: keyway simulate --example prints a scenario with every setting
    s.toml:1:33: unclosed inline table
      |
    1 | servers = { password = ***
      |                           ^
      = expected: }
      = help: keyway simulate --example prints a scenario with every setting
    s.toml:1:12: unknown algorithm "ketma"
      |
    1 | schemes = ["ketma@64"]
      |            ^^^^^^^^^^ read: "ketma@64"
      = expected: ketama, modulo, rendezvous, jump or maglev, a preset such as twemproxy-ketama, or a study such as ring/100; with @64 for 64 nodes
      = help: did you mean ketama?
    s.toml:1:12: "ketama@0" has "0" nodes
      |
    1 | schemes = ["ketama@0"]
      |            ^^^^^^^^^^ read: "ketama@0"
      = expected: a number from 1 to 16384 after the @
    s.toml:1:22: "7" as the parameter of ketama
      |
    1 | schemes = ["modulo", "ketama/7"]
      |                      ^^^^^^^^^^ read: "ketama/7"
      = expected: none, as it takes none
    s.toml:1:12: "ring/0" cannot be used
      |
    1 | schemes = ["ring/0"]
      |            ^^^^^^^^ read: "ring/0"
      = expected: ring/POINTS, with 1 to 65536 points for each unit of weight, such as ring/100
    s.toml:1:12: codis-slots with 64 nodes
      |
    1 | schemes = ["codis-slots@64"]
      |            ^^^^^^^^^^^^^^^^ read: "codis-slots@64"
      = expected: codis-slots@1024, as it has no other number
    s.toml:1:12: by nydus-round-robin no key has a home
      |
    1 | schemes = ["nydus-round-robin"]
      |            ^^^^^^^^^^^^^^^^^^^ read: "nydus-round-robin"
      = expected: an algorithm that says where a key is
    s.toml:1:22: modulo is there twice
      |
    1 | schemes = ["modulo", "modulo"]
      |                      ^^^^^^^^ read: "modulo"
      = expected: every scheme once
      = help: remove one
    s.toml:1:11: 0 schemes
      |
    1 | schemes = []
      |           ^^ read: []
      = expected: 1 to 32 of them
    s.toml:2:11: repeats is out of range
      |
    2 | repeats = 0
      |           ^ read: 0
      = expected: 1 to 10000
    s.toml:2:11: invalid type: string "many"
      |
    2 | repeats = "many"
      |           ^^^^^^ read: "many"
      = expected: u32
      = help: keyway simulate --example prints a scenario with every setting
    s.toml:2:8: unknown variant `all`
      |
    2 | vary = "all"
      |        ^^^^^ read: "all"
      = expected: one of: names, keys, both
      = help: keyway simulate --example prints a scenario with every setting
    s.toml:2:16: 0 nodes
      |
    2 | sensitivity = [0]
      |                ^ read: 0
      = expected: 1 to 16384 of them
    s.toml:3:9: count is out of range
      |
    3 | count = 0
      |         ^ read: 0
      = expected: 1 to 4096
    s.toml:2:1: servers are named twice
      |
    2 | [servers]
      | ^^^^^^^^^ read: [servers]
      = expected: one of count = 5, names = ["a", "b"] or cluster = "cluster.toml"
      = help: remove the others
    s.toml:2:1: a is there already
      |
    2 | [servers]
      | ^^^^^^^^^ read: [servers]
      = expected: every name once
      = help: give the new server another name
    s.toml:2:1: "a b" is no name of a server
      |
    2 | [servers]
      | ^^^^^^^^^ read: [servers]
      = expected: 1 to 40 letters, digits, _ . or -
    s.toml:4:14: memory_max is no size
      |
    4 | memory_max = "16GB"
      |              ^^^^^^ read: "16GB"
      = expected: bytes, or a text with a unit such as "16GiB"; for some servers only { a = "16GiB" }
    s.toml:1:12: ketama takes no weight of 200
      |
    1 | schemes = ["ketama"]
      |            ^^^^^^^^ read: "ketama"
      = expected: weights up to 100
      = help: divide all weights by a common factor
    s.toml:4:17: there is no server "z"
      |
    4 | weights = { z = 2 }
      |                 ^ read: 2
      = expected: the name of a server of this table
    nowhere.toml: the file cannot be read
      = expected: a TOML file
      = help: check the path; relative paths start at the current directory
    s.toml:5:9: count is out of range
      |
    5 | count = 0
      |         ^ read: 0
      = expected: 1 to 10000000000
    s.toml:5:14: popularity is out of range
      |
    5 | popularity = { zipf = 5.0 }
      |              ^^^^^^^^^^^^^^ read: { zipf = 5.0 }
      = expected: an exponent above 0, at most 4
    s.toml:5:14: unknown popularity
      |
    5 | popularity = "zipf"
      |              ^^^^^^ read: "zipf"
      = expected: "uniform" or { zipf = 0.99 }
    s.toml:5:15: value_bytes is out of range
      |
    5 | value_bytes = { min = 3, max = 1 }
      |               ^^^^^^^^^^^^^^^^^^^^ read: { min = 3, max = 1 }
      = expected: bytes from 0 to 536870912 (512MiB), min not above max, sigma from 0 to 5
    s.toml:5:15: value_bytes is no size
      |
    5 | value_bytes = [1]
      |               ^^^ read: [1]
      = expected: 200, "1KiB", { min = 100, max = 1000 } or { median = 300, sigma = 1.0 }
    s.toml:5:8: nowhere.txt cannot be read: No such file or directory (os error 2)
      |
    5 | file = "nowhere.txt"
      |        ^^^^^^^^^^^^^ read: "nowhere.txt"
      = expected: a file with one key a line, and after a tab its bytes, if they are known
      = help: redis-cli --scan > keys.txt writes one
    s.toml:7:10: there is no server "e" then
      |
    7 | remove = "e"
      |          ^^^ read: "e"
      = expected: one of a, b, c, d
    s.toml:5:7: a is there already
      |
    5 | add = ["a"]
      |       ^^^^^ read: ["a"]
      = expected: every name once
      = help: give the new server another name
    s.toml:5:7: these are no names of servers
      |
    5 | add = 1.5
      |       ^^^ read: 1.5
      = expected: a name, "b", or several, ["b", "c"]; or how many: add = 1
    s.toml:4:1: a step that does several things
      |
    4 | [[steps]]
      | ^^^^^^^^^ read: [[steps]]
      = expected: one of add, remove, replace, reweight, kill and placement
      = help: make a [[steps]] of each
    s.toml:4:1: a step that does nothing
      |
    4 | [[steps]]
      | ^^^^^^^^^ read: [[steps]]
      = expected: one of add, remove, replace, reweight, kill and placement
    s.toml:4:1: replace and with go together
      |
    4 | [[steps]]
      | ^^^^^^^^^ read: [[steps]]
      = expected: replace = "a" and with = "z"
    s.toml:4:1: weight and memory_max are for servers that come
      |
    4 | [[steps]]
      | ^^^^^^^^^ read: [[steps]]
      = expected: them beside add or replace
      = help: reweight = { a = 2 } changes the weight of one that is there
    s.toml:4:1: no server is left that may have keys
      |
    4 | [[steps]]
      | ^^^^^^^^^ read: [[steps]]
      = expected: at least one server with a weight above 0
    s.toml:7:8: a is dead already
      |
    7 | kill = ["a"]
      |        ^^^^^ read: ["a"]
      = expected: a server that is up
    s.toml:5:13: unknown algorithm "jmp"
      |
    5 | placement = "jmp@64"
      |             ^^^^^^^^ read: "jmp@64"
      = expected: ketama, modulo, rendezvous, jump or maglev, a preset such as twemproxy-ketama, or a study such as ring/100; with @64 for 64 nodes
      = help: did you mean jump?
    s.toml:5:18: invalid value: integer `-1`
      |
    5 | reweight = { a = -1 }
      |                  ^^ read: -1
      = expected: u32
      = help: keyway simulate --example prints a scenario with every setting
    s.toml:5:20: copy_bytes_per_s cannot be 0
      |
    5 | copy_bytes_per_s = 0
      |                    ^ read: 0
      = expected: at least 1 per second
    s.toml:4:1: users cannot be 0
      |
    4 | [capacity]
      | ^^^^^^^^^^ read: [capacity]
      = expected: how many users there are now, at least 1
    s.toml:5:9: count is out of range
      |
    5 | count = 10000000001
      |         ^^^^^^^^^^^ read: 10000000001
      = expected: 1 to 10000000000
    s.toml:2:11: too much to keep
      |
    2 | repeats = 10000
      |           ^^^^^ read: 10000, 20000000 figures: repeats x schemes x stages x servers
      = expected: at most 10000000 of them
      = help: take fewer repeats, schemes, steps or servers
    "#);
}

#[test]
fn a_scenario_in_code_is_refused_by_the_setting() {
    let refusal = |builder: ScenarioBuilder| format!("{}\n", builder.build().unwrap_err());
    let mut text = refusal(Scenario::builder());
    text += &refusal(Scenario::builder().scheme("modulo".parse().unwrap()));
    let scenario = Scenario::builder()
        .scheme("modulo".parse().unwrap())
        .servers_made(3);
    text += &refusal(scenario.clone().step(Step::Remove(vec!["z".to_owned()])));
    text += &refusal(
        Scenario::builder()
            .scheme("modulo".parse().unwrap())
            .servers_made(5_000),
    );
    text += &refusal(scenario.clone().threads(5_000));
    text += &refusal(scenario.clone().requests_per_s(-1.0));
    text += &refusal(
        scenario.keys(Keys::made(10).value_bytes(crate::simulation::ValueBytes::Fixed(1 << 40))),
    );
    insta::assert_snapshot!(text, @r#"
    scenario: schemes: 0 schemes
      = read: 0
      = expected: 1 to 32 of them
    scenario: servers: there are no servers
      = expected: count, names or cluster
      = help: add count = 5
    scenario: steps[0].remove: there is no server "z" then
      = expected: one of a, b, c
    scenario: servers: more than 4096 servers
      = expected: at most 4096 servers over all steps
    scenario: threads: threads is out of range
      = read: 5000
      = expected: 0 to 1024
    scenario: requests_per_s: requests_per_s is out of range
      = read: -1
      = expected: 0 to 1000000000000
    scenario: keys.value_bytes: value_bytes is out of range
      = read: 1099511627776 B each
      = expected: bytes from 0 to 536870912 (512MiB), min not above max, sigma from 0 to 5
    "#);
}
