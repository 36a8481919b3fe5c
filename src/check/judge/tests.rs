use super::*;
use crate::inspect::ServerState;
use crate::topology::ServerId;
use std::path::Path;

fn config(top: &str, algorithm: &str) -> Config {
    let text = format!(
        "name = \"t\"\n{top}\n[placement]\nalgorithm = \"{algorithm}\"\nnodes = 64\n\
         [servers.a]\nurl = \"redis://h:1\"\nnodes = \"0-31\"\n[servers.b]\nurl = \"redis://h:2\"\nnodes = \"32-63\"\n"
    );
    Config::parse(&text, Path::new("t.toml"), &|_| None).unwrap()
}

fn fine() -> Facts {
    Facts {
        version: Some("7.0.15".to_owned()),
        mode: Some("standalone".to_owned()),
        role: Some("master".to_owned()),
        clients: Some(1),
        clients_max: Some(10_000),
        memory_bytes: Some(1),
        memory_bytes_max: Some(0),
        memory_policy: Some("noeviction".to_owned()),
        appendonly: Some(true),
        clock_offset_us: Some(0),
        ..Facts::default()
    }
}

fn seen(name: &str, answer: Answer) -> Seen {
    Seen {
        state: ServerState {
            name: name.to_owned(),
            address: format!("h:{name}"),
            database: 0,
            nodes: 32,
            answer,
        },
        keys: None,
        not_sampled: None,
        is_fenced: false,
        missing_rights: Vec::new(),
    }
}

fn reached(name: &str, facts: Facts) -> Seen {
    seen(name, Answer::Reached(Box::new(facts)))
}

/// What is found about one server with these facts, in the mode of `top`.
fn about(top: &str, facts: Facts) -> Vec<(Level, Subject)> {
    findings(&config(top, "ketama"), &[reached("a", facts)])
        .into_iter()
        .map(|finding| (finding.level, finding.subject))
        .collect()
}

/// The keys that the algorithm of `data` puts on each server, looked at by `config`'s. `names` says which server of the data is which of
/// the file.
fn holding(config: &Config, data: &Config, servers: [u16; 2], count: usize) -> Vec<Seen> {
    let keys_of = |server: u16| {
        (0..)
            .map(|i| format!("key:{i}").into_bytes())
            .filter(|key| data.topology().server_of(data.placement().node(key)) == ServerId(server))
            .take(count)
            .collect()
    };
    ["a", "b"]
        .into_iter()
        .zip([0, 1])
        .zip(servers)
        .map(|((name, id), of)| {
            let mut seen = reached(name, fine());
            seen.keys = Some(Keys::judged(config, ServerId(id), keys_of(of), false));
            seen
        })
        .collect()
}

#[test]
fn a_server_in_order_gives_no_finding() {
    assert_eq!(about("", fine()), []);
    assert_eq!(verdict(&[]), Verdict::Fine);
}

#[test]
fn versions_before_7_0_are_errors_and_later_ones_a_note() {
    let version = |version: &str| {
        about(
            "",
            Facts {
                version: Some(version.to_owned()),
                ..fine()
            },
        )
    };
    assert_eq!(version("7.0.0"), []);
    assert_eq!(version("6.2.14"), [(Level::Error, Subject::Version)]);
    assert_eq!(version("7.2.4"), [(Level::Note, Subject::Version)]);
    assert_eq!(version("10.0.0"), [(Level::Note, Subject::Version)]);
    assert_eq!(version("unheard of"), []);
}

#[test]
fn eviction_and_lost_data_matter_to_a_store_only() {
    let evicts = Facts {
        memory_policy: Some("allkeys-lru".to_owned()),
        ..fine()
    };
    let forgets = Facts {
        appendonly: Some(false),
        save: Some(String::new()),
        ..fine()
    };
    assert_eq!(
        about("", evicts.clone()),
        [(Level::Warning, Subject::Memory)]
    );
    assert_eq!(
        about("", forgets.clone()),
        [(Level::Warning, Subject::Persistence)]
    );
    assert_eq!(about("mode = \"cache\"", evicts), []);
    assert_eq!(about("mode = \"cache\"", forgets), []);
    // Whoever may not ask for `save` is not told that there is none.
    let unknown = Facts {
        appendonly: Some(false),
        save: None,
        ..fine()
    };
    assert_eq!(about("", unknown), []);
}

#[test]
fn bounds_are_warned_of_when_they_are_near() {
    let clients = |clients| Facts {
        clients: Some(clients),
        clients_max: Some(100),
        ..fine()
    };
    assert_eq!(about("", clients(89)), []);
    assert_eq!(about("", clients(90)), [(Level::Warning, Subject::Clients)]);
    let memory = |bytes, max| Facts {
        memory_bytes: Some(bytes),
        memory_bytes_max: Some(max),
        ..fine()
    };
    assert_eq!(about("", memory(u64::MAX, 0)), []);
    assert_eq!(
        about("", memory(u64::MAX, u64::MAX)),
        [(Level::Warning, Subject::Memory)]
    );
}

#[test]
fn replicas_and_cluster_mode_are_errors() {
    let replica = Facts {
        role: Some("slave".to_owned()),
        ..fine()
    };
    let cluster = Facts {
        mode: Some("cluster".to_owned()),
        ..fine()
    };
    assert_eq!(
        about("", replica.clone()),
        [(Level::Error, Subject::Replica)]
    );
    // Where nothing is written, it is as good as any.
    let in_turn = findings(&config("", "nydus-round-robin"), &[reached("a", replica)]);
    assert_eq!(in_turn.len(), 1);
    assert_eq!(
        (in_turn[0].level, in_turn[0].subject),
        (Level::Warning, Subject::Replica)
    );
    assert_eq!(about("", cluster), [(Level::Error, Subject::ClusterMode)]);
}

#[test]
fn two_names_of_one_database_are_an_error_and_two_databases_of_one_process_are_none() {
    let facts = Facts {
        run_id: Some("abc".to_owned()),
        ..fine()
    };
    let mut both = [reached("a", facts.clone()), reached("b", facts)];
    let config = config("", "ketama");
    let found = findings(&config, &both);
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].message,
        "servers a and b are one process and one database"
    );
    both[1].state.database = 1;
    assert_eq!(findings(&config, &both), []);
}

#[test]
fn clocks_may_differ_by_a_second() {
    let offset = |name, clock_offset_us| {
        let clock_offset_us = Some(clock_offset_us);
        reached(
            name,
            Facts {
                clock_offset_us,
                ..fine()
            },
        )
    };
    let config = config("", "ketama");
    // Ours may be wrong by any amount: what counts is the difference between servers.
    let close = [offset("a", 90_000_000), offset("b", 91_000_000)];
    assert_eq!(findings(&config, &close), []);
    let apart = [offset("a", -600_000), offset("b", 900_000)];
    let found = findings(&config, &apart);
    assert_eq!(
        found[0].message,
        "the clock of b is 1.5 s ahead of that of a"
    );
}

#[test]
fn unreachable_is_the_verdict_only_if_nothing_is_worse() {
    let cause = || "refused".to_owned();
    let dead = seen("a", Answer::Unreachable { cause: cause() });
    let refused = seen("b", Answer::Refused { cause: cause() });
    let evicts = Facts {
        memory_policy: Some("allkeys-lru".to_owned()),
        ..fine()
    };
    let config = config("", "ketama");
    let verdict_of = |seen: &[Seen]| verdict(&findings(&config, seen));
    assert_eq!(
        verdict_of(&[dead.clone(), reached("b", evicts)]),
        Verdict::Unreachable
    );
    assert_eq!(verdict_of(&[dead, refused]), Verdict::Problems);
}

#[test]
fn missing_rights_come_with_the_line_that_grants_them() {
    let right = |command: &str, rule: &str, is_required| Right {
        command: command.to_owned(),
        rule: rule.to_owned(),
        is_required,
        purpose: "tests".to_owned(),
    };
    let mut limited = reached(
        "a",
        Facts {
            user: Some("app".to_owned()),
            ..fine()
        },
    );
    limited.missing_rights = vec![
        right("CLIENT ID", "+client|id", true),
        right("GET", "+get %R~keyway:*", true),
        right("EXEC", "+exec", false),
    ];
    let found = findings(&config("", "ketama"), &[limited]);
    let shown: Vec<_> = found
        .iter()
        .map(|finding| (finding.level, finding.advice.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            (Level::Error, "ACL SETUSER app +client|id +get %R~keyway:*"),
            (Level::Warning, "ACL SETUSER app +exec"),
        ]
    );
    assert!(found[0].message.contains("CLIENT ID (tests)"), "{found:?}");
}

#[test]
fn keys_where_they_belong_are_no_finding() {
    let config = config("", "ketama");
    assert_eq!(
        findings(&config, &holding(&config, &config, [0, 1], 100)),
        []
    );
}

#[test]
fn exchanged_servers_are_recognised() {
    let config = config("", "ketama");
    let found = findings(&config, &holding(&config, &config, [1, 0], 100));
    assert_eq!(found.len(), 2);
    assert_eq!(
        found[0].message,
        "100 of 100 keys looked at belong elsewhere by this file: 100 on b"
    );
    assert_eq!(
        found[0].advice,
        "a and b look exchanged: give each the url, or the nodes, of the other"
    );
    assert_eq!(verdict(&found), Verdict::Problems);
}

#[test]
fn the_algorithm_that_the_data_was_written_with_is_recognised() {
    for (ours, theirs) in [("ketama", "jump"), ("modulo", "rendezvous")] {
        let config_ours = config("", ours);
        let data = config("", theirs);
        let found = findings(&config_ours, &holding(&config_ours, &data, [0, 1], 200));
        let expected = format!(
            "the keys are where algorithm = \"{theirs}\" puts them, and this file says \"{ours}\""
        );
        assert_eq!(found[0].advice, expected);
    }
}

/// Three nodes on two servers, named as nydus names them.
fn named(algorithm: &str) -> Config {
    let text = format!(
        "name = \"t\"\n[placement]\nalgorithm = \"{algorithm}\"\nnames = [\"redis://h:6379/0\", \"redis://h:6379/1\", \
         \"redis://h:6379/2\"]\n[servers.a]\nurl = \"redis://10.0.0.1\"\nnodes = \"0-1\"\n\
         [servers.b]\nurl = \"redis://10.0.0.2\"\nnodes = [2]\n"
    );
    Config::parse(&text, Path::new("cluster.toml"), &|_| None).unwrap()
}

#[test]
fn the_preset_that_the_data_was_placed_by_is_recognised() {
    for (theirs, told) in [
        ("nydus-ketama", "\"nydus-ketama\""),
        // One rule under two names.
        ("nydus-partition", "\"nydus-partition\" or \"rb-partition\""),
    ] {
        let (ours, data) = (named("ketama"), named(theirs));
        let found = findings(&ours, &holding(&ours, &data, [0, 1], 200));
        let expected = format!(
            "the keys are where algorithm = {told} puts them, and this file says \"ketama\""
        );
        assert_eq!(found[0].advice, expected);
    }
}

#[test]
fn a_preset_is_not_guessed_from_few_keys_or_from_those_of_one_server() {
    let (ours, data) = (named("ketama"), named("nydus-ketama"));
    let guessed = |seen: &[Seen]| {
        let found = findings(&ours, seen);
        let misplaced = found
            .iter()
            .find(|finding| finding.subject == Subject::Misplaced);
        misplaced.unwrap().advice.contains("puts them")
    };
    assert!(guessed(&holding(&ours, &data, [0, 1], 30)));
    assert!(!guessed(&holding(&ours, &data, [0, 1], 25)));
    let mut seen = holding(&ours, &data, [0, 1], 200);
    seen[1].keys = None;
    assert!(!guessed(&seen));
}

/// Orders here and users there, which fnv1_64 hashes to few places: by twemproxy's ring all are on the right servers, by chance.
#[test]
fn data_that_nobody_spread_is_not_explained_by_a_weak_hash() {
    let names: Vec<String> = (0..64)
        .map(|i| format!("\"redis://10.0.0.{i}:6379/0\""))
        .collect();
    let text = format!(
        "name = \"t\"\n[placement]\nalgorithm = \"ketama\"\nnames = [{}]\n[servers.a]\nurl = \"redis://10.0.0.1\"\nnodes = \"0-31\"\n\
         [servers.b]\nurl = \"redis://10.0.0.2\"\nnodes = \"32-63\"\n",
        names.join(", ")
    );
    let parse = |text: &str| Config::parse(text, Path::new("cluster.toml"), &|_| None).unwrap();
    let ours = parse(&text);
    let weak = parse(&text.replace("\"ketama\"", "\"twemproxy-ketama\"\nhash = \"fnv1_64\""));
    let mut seen = Vec::new();
    for (server, prefix) in [(ServerId(0), "ka"), (ServerId(1), "kb")] {
        let keys: Vec<Vec<u8>> = (0..1_000)
            .map(|i| format!("{prefix}:{i}").into_bytes())
            .collect();
        let by_weak = Keys::judged(&weak, server, keys.clone(), false);
        assert!(by_weak.sample.misplaced <= 100, "another example is needed");
        let mut one = reached(["a", "b"][seen.len()], fine());
        one.keys = Some(Keys::judged(&ours, server, keys, false));
        seen.push(one);
    }
    let found = findings(&ours, &seen);
    assert!(
        !found[0].advice.contains("puts them"),
        "{}",
        found[0].advice
    );
}

#[test]
fn what_cannot_be_explained_is_not_explained() {
    let config = config("", "ketama");
    let strangers: Vec<Vec<u8>> = (0..100)
        .map(|i| format!("other:{i}").into_bytes())
        .collect();
    let mut a = reached("a", fine());
    a.keys = Some(Keys::judged(&config, ServerId(0), strangers, true));
    let found = findings(&config, &[a]);
    assert!(found[0].message.contains("of all 100 keys"), "{found:?}");
    assert!(found[0].advice.starts_with("either this file"), "{found:?}");
}

#[test]
fn examples_name_both_servers_and_are_few() {
    let config = config("", "ketama");
    let all = holding(&config, &config, [1, 0], 100);
    let sample = &all[0].keys.as_ref().unwrap().sample;
    assert_eq!(sample.examples.len(), 10);
    assert_eq!(sample.misplaced, 100);
    let example = &sample.examples[0];
    assert_eq!((&*example.belongs_on, &*example.found_on), ("b", "a"));
    assert!(example.node >= 32);
}

#[test]
fn where_no_key_has_a_home_none_is_misplaced_and_that_explains_no_data() {
    let (in_turn, ketama) = (config("", "nydus-round-robin"), config("", "ketama"));
    let seen = holding(&in_turn, &ketama, [0, 1], 100);
    assert_eq!(findings(&in_turn, &seen), []);
    assert!(
        seen.iter()
            .all(|seen| seen.keys.as_ref().unwrap().sample.keys == 100)
    );
    // Every key on each server, as by round robin: no algorithm fits, and this one is not proposed.
    let both = holding(&ketama, &ketama, [0, 0], 100);
    let advice: String = findings(&ketama, &both)
        .into_iter()
        .map(|found| found.advice)
        .collect();
    assert!(
        !advice.is_empty() && !advice.contains("round-robin"),
        "{advice}"
    );
}

#[test]
fn servers_that_do_not_announce_changes_of_keys_are_named() {
    let announcing = |events: &str| Facts {
        notify_keyspace_events: Some(events.to_owned()),
        ..fine()
    };
    let found = |a: &str, b: &str| {
        let seen = [reached("a", announcing(a)), reached("b", announcing(b))];
        let mut findings = findings(&config("", "ketama"), &seen);
        findings.retain(|finding| finding.subject == Subject::KeyspaceEvents);
        findings
            .pop()
            .map(|finding| (finding.level, finding.message))
    };
    assert_eq!(found("KEA", "AKE"), None);
    let (level, message) = found("", "").unwrap();
    assert_eq!(level, Level::Note);
    assert!(message.contains("off on a, b:"), "{message}");
    let (level, message) = found("KEA", "").unwrap();
    assert_eq!(level, Level::Warning);
    assert!(message.contains("off on b,"), "{message}");
}
