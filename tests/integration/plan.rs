//! `keyway plan`: what it prints, and the code it exits with. It needs no server.

use crate::fixture::cluster_toml;
use keyway::Config;
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Files, and keyway run beside them.
struct Files {
    directory: TempDir,
}

impl Files {
    /// A cluster.toml of 64 nodes over so many servers, `s0`, `s1` ...
    fn new(servers: u16) -> Files {
        let files = Files {
            directory: tempfile::tempdir().unwrap(),
        };
        let ports: Vec<u16> = (1..=servers).collect();
        files.write("cluster.toml", &cluster_toml("", 64, &ports));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyway"));
        command
            .arg("plan")
            .args(arguments)
            .current_dir(self.directory.path())
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null());
        command
    }

    fn plan(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn page(&self, arguments: &[&str]) -> String {
        let output = self.plan(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let page = String::from_utf8(output.stdout).unwrap();
        assert!(!page.contains('\x1b'), "no colours in a pipe: {page:?}");
        for line in page.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
        page
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.command(arguments).arg("--json").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Exit code and message.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.plan(arguments);
        assert!(output.stdout.is_empty(), "{output:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), message)
    }
}

#[test]
fn plan_says_which_nodes_go_to_a_new_server_and_why() {
    let files = Files::new(5);
    let page = files.page(&[
        "cluster.toml",
        "--add",
        "f",
        "--keys",
        "10m",
        "--bytes",
        "40GiB",
    ]);
    for expected in [
        "10 of 64 nodes move (15.6 %), 6.2 GiB of 40.0 GiB: 5 moves in 5 waves",
        "By the model of moves that takes",
        "s0 -> f  s0 has 12 of 64 nodes; its share of 6 equal servers is 10 or 11",
        "[servers.f]\nnodes = \"",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let plan = files.json(&[
        "cluster.toml",
        "--add",
        "f",
        "--keys",
        "10m",
        "--bytes",
        "40GiB",
    ]);
    let moves = plan["moves"].as_array().unwrap();
    assert_eq!(moves.len(), 5);
    assert_eq!(moves[0]["kind"], "split");
    assert_eq!(moves[1]["kind"], "migrate");
    assert!(moves.iter().all(|one| one["to"] == "f"));
    assert_eq!(plan["times"].as_array().unwrap().len(), 5);
    assert!(plan["times"][0]["freeze_ms"].as_f64().unwrap() > 1.0);
    assert!(plan["total_s"].as_f64().unwrap() > 60.0);
    assert_eq!(plan["sizes"]["origin"]["from"], "assumed");
    // Half of the sizes makes no times.
    let plan = files.json(&["cluster.toml", "--add", "f", "--bytes", "40GiB"]);
    assert_eq!(plan["times"], Value::Array(Vec::new()));
    assert_eq!(plan["total_s"], Value::Null);
}

/// The lines that a plan prints are put into a file; from there nothing has to move, and from the old file the plan is the same.
#[test]
fn the_nodes_that_plan_prints_make_the_file_that_it_plans_for() {
    let files = Files::new(4);
    let goal = ["cluster.toml", "--drain", "s1"];
    let page = files.page(&goal);
    let mut toml = files.read("cluster.toml");
    for (name, nodes) in page.split("\n[servers.").skip(1).map(|part| {
        let (name, rest) = part.split_once("]\n").unwrap();
        (
            name,
            rest.lines().next().unwrap().split("   #").next().unwrap(),
        )
    }) {
        let table = toml.find(&format!("[servers.{name}]")).unwrap();
        let start = table + toml[table..].find("nodes = ").unwrap();
        let end = start + toml[start..].find('\n').unwrap();
        toml.replace_range(start..end, nodes);
    }
    assert!(toml.contains("nodes = []"), "{toml}");
    files.write("new.toml", &toml);
    let new = Config::parse(&toml, "new.toml".as_ref(), &|_| None).unwrap();
    let drained = new.topology().server_by_name("s1").unwrap();
    assert_eq!(new.topology().nodes_of(drained).count(), 0);

    let between = files.json(&["cluster.toml", "new.toml"]);
    let goal = files.json(&goal);
    let nodes = |plan: &Value| -> Vec<(Value, Value, Value)> {
        let moves = plan["moves"].as_array().unwrap().iter();
        moves
            .map(|one| (one["from"].clone(), one["to"].clone(), one["nodes"].clone()))
            .collect()
    };
    assert_eq!(nodes(&between), nodes(&goal));
    assert_eq!(between["nodes"], goal["nodes"]);
    let page = files.page(&["new.toml", "--even", "--weight", "s1=0"]);
    assert!(page.contains("Nothing has to move."), "{page}");
}

#[test]
fn plan_counts_a_list_of_keys_and_makes_their_bytes_even() {
    let files = Files::new(3);
    // A node with nearly everything: by nodes all is even, by bytes it is not.
    let keys: String = (0..5_000)
        .map(|i| match i % 10 {
            0 => format!("user:{i}\t100\n"),
            _ => format!("{{big}}:{i}\t1000\n"),
        })
        .collect();
    files.write("keys.txt", &keys);
    let by_bytes = files.json(&["cluster.toml", "--even", "--keys-file", "keys.txt"]);
    assert_eq!(by_bytes["sizes"]["origin"]["keys"], 5_000);
    assert_eq!(by_bytes["sizes"]["total"]["bytes"], 4_500_000 + 50_000);
    assert_eq!(by_bytes["limits"]["balance"]["by"], "bytes");
    assert_eq!(by_bytes["reached"]["is_within_tolerance"], false);
    let by_nodes = files.json(&[
        "cluster.toml",
        "--even",
        "--keys-file",
        "keys.txt",
        "--balance",
        "nodes",
    ]);
    assert_eq!(by_nodes["moves"].as_array().unwrap().len(), 0);

    // The same from standard input; without bytes, a total is shared out by keys.
    let mut process = files
        .command(&[
            "cluster.toml",
            "--add",
            "f",
            "--keys-file",
            "-",
            "--bytes",
            "1GiB",
            "--json",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    for i in 0..5_000 {
        writeln!(input, "user:{i}").unwrap();
    }
    drop(input);
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["sizes"]["total"]["keys"], 5_000);
    assert_eq!(plan["sizes"]["total"]["bytes"], 1 << 30);
}

#[test]
fn plan_exits_with_1_where_there_is_no_room_and_with_2_where_the_question_is_wrong() {
    let files = Files::new(4);
    let full = [
        "cluster.toml",
        "--drain",
        "s0",
        "--bytes",
        "40GiB",
        "--memory-max",
        "12GiB",
    ];
    let (code, message) = files.refused(&full);
    assert_eq!(code, 1);
    assert_eq!(
        message,
        "error: 40.0 GiB do not fit into 3 servers with limits of 36.0 GiB in all (nodes stay whole): raise limits, or add a server\n"
    );
    // One that is larger takes more.
    let larger = files.json(&[&full[..], &["--memory-max", "s3=20GiB"]].concat());
    assert_eq!(larger["servers"][3]["after"]["nodes"], 26);

    for (arguments, expected) in [
        (&["cluster.toml"][..], "required"),
        (
            &["cluster.toml", "--even", "--servers", "3"],
            "cannot be used with",
        ),
        (
            &["cluster.toml", "--drain", "x"],
            "there is no server x; expected one of s0, s1, s2, s3",
        ),
        (
            &["cluster.toml", "--add", "s1"],
            "server s1 is there already, with 16 nodes",
        ),
        (
            &["cluster.toml", "--add", "a b"],
            "expected a server's name",
        ),
        (
            &["cluster.toml", "--even", "--weight", "x=2"],
            "there is no server x",
        ),
        (
            &["cluster.toml", "--even", "--weight", "s1"],
            "expected NAME=N",
        ),
        (
            &["cluster.toml", "--even", "--memory-max", "16GiB"],
            "--memory-max needs sizes",
        ),
        (
            &[
                "cluster.toml",
                "--even",
                "--memory-max",
                "16GB",
                "--bytes",
                "1GiB",
            ],
            "is no size",
        ),
        (
            &["cluster.toml", "--even", "--at-once", "0"],
            "from 1 to 1000",
        ),
        (
            &["cluster.toml", "--even", "--balance", "bytes"],
            "the nodes' bytes must be known",
        ),
        (
            &["cluster.toml", "--servers", "0"],
            "0 servers cannot hold the nodes",
        ),
        (
            &["cluster.toml", "--even", "--keys-file", "none.txt"],
            "none.txt cannot be read",
        ),
        (
            &["none.toml", "--even"],
            "none.toml: the file cannot be read",
        ),
        (
            &["cluster.toml", "none.toml"],
            "none.toml: the file cannot be read",
        ),
    ] {
        let (code, message) = files.refused(arguments);
        assert_eq!(code, 2, "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    files.write("keys.txt", "user:1\t10\nuser:2\n");
    let (code, message) = files.refused(&["cluster.toml", "--even", "--keys-file", "keys.txt"]);
    assert_eq!(code, 2);
    assert!(message.starts_with("error: keys.txt:2: "), "{message}");
}

#[test]
fn plan_refuses_another_placement() {
    let files = Files::new(2);
    files.write("new.toml", &cluster_toml("", 32, &[1, 2]));
    let (code, message) = files.refused(&["cluster.toml", "new.toml"]);
    assert_eq!(code, 2);
    assert!(
        message.contains("ketama over 64 nodes in cluster.toml, ketama over 32 nodes in new.toml"),
        "{message}"
    );
}

#[test]
fn plan_reads_a_pace() {
    let files = Files::new(2);
    let question = [
        "cluster.toml",
        "--add",
        "f",
        "--keys",
        "1m",
        "--bytes",
        "1GiB",
    ];
    files.write(
        "pace.toml",
        "title = \"measured\"\n[pace]\nsync_delay_ms = 0\ncopy_bytes_per_s = 1000000000\n",
    );
    let slow = files.json(&question);
    let fast = files.json(&[&question[..], &["--pace", "pace.toml"]].concat());
    let copy = |plan: &Value| plan["times"][0]["copy_s"].as_f64().unwrap();
    assert!(copy(&fast) + 5.0 < copy(&slow), "{fast}");
    for (text, expected) in [
        ("[pace]\nspeed = 1\n", "pace.toml:2: unknown field `speed`"),
        ("[pace]\ncopy_bytes_per_s = 0\n", "pace.copy_bytes_per_s: 0"),
        ("", "expected a table [pace]"),
    ] {
        files.write("pace.toml", text);
        let (code, message) = files.refused(&[&question[..], &["--pace", "pace.toml"]].concat());
        assert_eq!(code, 2);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn plan_keeps_to_so_many_moves_at_once() {
    let files = Files::new(5);
    let waves = |at_once: &str| {
        let plan = files.json(&["cluster.toml", "--add", "f,g", "--at-once", at_once]);
        let moves = plan["moves"].as_array().unwrap();
        moves.last().unwrap()["wave"].as_u64().unwrap() + 1
    };
    assert!(waves("3") < waves("1"), "{} {}", waves("3"), waves("1"));
}

#[test]
fn help_of_plan_teaches() {
    let output = Files::new(1).plan(&["--help"]);
    let page = String::from_utf8(output.stdout).unwrap();
    for word in [
        "--drain <NAME>",
        "keyway plan cluster.toml --add f",
        "Exit codes:",
        "--at-once",
    ] {
        assert!(page.contains(word), "{word}: {page}");
    }
}
