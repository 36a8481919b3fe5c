//! The command line against real servers: what it prints, and the code it exits with.

use crate::fixture::{RedisServer, TestCluster, cluster_toml, parse};
use redis::AsyncCommands;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A cluster file, and keyway run on it.
struct Cli {
    directory: TempDir,
}

impl Cli {
    fn new(toml: &str) -> Cli {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("cluster.toml"), toml).unwrap();
        Cli { directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("cluster.toml")
    }

    fn command(&self, subcommand: &str, rest: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyway"));
        command
            .arg(subcommand)
            .arg(self.file())
            .args(rest)
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, subcommand: &str, rest: &[&str]) -> Output {
        self.command(subcommand, rest).output().unwrap()
    }

    /// Exit code and JSON of `check --json`.
    fn check(&self) -> (Option<i32>, Value) {
        let output = self.run("check", &["--json", "--timeout", "2s"]);
        (output.status.code(), json(&output))
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The subjects of all errors, with their servers.
fn errors(report: &Value) -> Vec<(String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or("").to_owned();
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["level"] == "error")
        .map(|finding| (word(&finding["subject"]), word(&finding["server"])))
        .collect()
}

fn finding<'a>(report: &'a Value, subject: &str) -> &'a Value {
    report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["subject"] == subject)
        .unwrap_or_else(|| panic!("no finding about {subject}: {report:#}"))
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
        .collect()
}

async fn fill(fixture: &TestCluster, keys: usize) {
    let mut redis = fixture.connect().await;
    let pairs: Vec<(String, usize)> = (0..keys).map(|i| (format!("user:{i}"), i)).collect();
    let _: () = redis.mset(&pairs).await.unwrap();
}

#[tokio::test]
async fn check_finds_a_right_file_in_order() {
    let fixture = TestCluster::start(2).await.settings("mode = \"cache\"\n");
    fill(&fixture, 3000).await;
    let cli = Cli::new(&fixture.toml());
    let (code, report) = cli.check();
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["verdict"], "fine");
    assert_eq!(errors(&report), []);
    for server in report["servers"].as_array().unwrap() {
        assert_eq!(server["state"], "reached");
        assert_eq!(server["sample"]["keys"], 1000);
        assert_eq!(server["sample"]["is_complete"], false);
        assert_eq!(server["sample"]["misplaced"], 0);
        assert_eq!(server["missing_rights"], Value::Array(Vec::new()));
    }
    let output = cli.run("check", &["--sample", "10000"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{output:?}");
    let page = text(&output.stdout);
    assert!(page.contains("3,000 keys were looked at."), "{page}");
    assert!(page.contains("All is in order."), "{page}");
    assert!(!page.contains('\x1b'), "no colours in a pipe: {page:?}");
    assert!(
        page.lines().all(|line| line.chars().count() <= 100),
        "{page}"
    );
}

#[tokio::test]
async fn check_writes_nothing() {
    let fixture = TestCluster::start(2).await;
    fill(&fixture, 100).await;
    let (code, _) = Cli::new(&fixture.toml()).check();
    assert_eq!(code, Some(0));
    for server in &fixture.servers {
        let mut connection = server.connection().await;
        let info: String = redis::cmd("INFO")
            .arg("commandstats")
            .query_async(&mut connection)
            .await
            .unwrap();
        // MSET is ours; whatever was tried inside MULTI was discarded, so it does not count as a call.
        for absent in [
            "cmdstat_script|load",
            "cmdstat_client|unblock",
            "cmdstat_set:",
        ] {
            assert!(!info.contains(absent), "{absent}: {info}");
        }
        assert!(info.contains("cmdstat_discard"), "{info}");
    }
}

#[tokio::test]
async fn check_finds_the_keys_of_exchanged_servers() {
    let fixture = TestCluster::start(2).await;
    fill(&fixture, 3000).await;
    let mut ports = fixture.ports();
    ports.reverse();
    let cli = Cli::new(&cluster_toml("", 64, &ports));
    let (code, report) = cli.check();
    assert_eq!(code, Some(1));
    assert_eq!(report["verdict"], "problems");
    assert_eq!(
        errors(&report),
        pairs(&[("misplaced", "s0"), ("misplaced", "s1")])
    );
    assert_eq!(
        finding(&report, "misplaced")["advice"],
        "s0 and s1 look exchanged: give each the url, or the nodes, of the other"
    );
    let example = &report["servers"][0]["sample"]["examples"][0];
    assert_eq!(example["found_on"], "s0");
    assert_eq!(example["belongs_on"], "s1");

    let output = cli.run("check", &[]);
    assert_eq!(output.status.code(), Some(1));
    let page = text(&output.stdout);
    assert!(page.contains("MISPLACED KEY"), "{page}");
    assert!(page.contains("\nerror "), "{page}");
}

#[tokio::test]
async fn check_names_the_algorithm_that_the_data_was_written_with() {
    let fixture = TestCluster::start(2).await;
    fill(&fixture, 2000).await;
    let cli = Cli::new(&fixture.toml().replace("ketama", "jump"));
    let (code, report) = cli.check();
    assert_eq!(code, Some(1));
    assert_eq!(
        finding(&report, "misplaced")["advice"],
        "the keys are where algorithm = \"ketama\" or \"twemproxy-ketama\" with hash = \"crc32a\" puts them, and this file says \"jump\""
    );
}

#[tokio::test]
async fn check_ignores_keys_of_keyway_itself_and_stops_at_a_fence() {
    let fixture = TestCluster::start(2).await;
    for server in &fixture.servers {
        let mut connection = server.connection().await;
        for i in 0..50 {
            let _: () = connection.set(format!("keyway:{i}"), 1).await.unwrap();
        }
    }
    let cli = Cli::new(&fixture.toml());
    let (code, report) = cli.check();
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["servers"][0]["sample"]["keys"], 0);

    let mut connection = fixture.servers[1].connection().await;
    let _: () = connection.set("keyway:fence", "7").await.unwrap();
    let (code, report) = cli.check();
    assert_eq!(code, Some(1));
    assert_eq!(errors(&report), pairs(&[("fence", "s1")]));
}

#[tokio::test]
async fn check_refuses_replicas_and_servers_in_cluster_mode() {
    let master = RedisServer::start().await;
    let replica = RedisServer::builder().replica_of(&master).start().await;
    let cluster = RedisServer::builder().cluster_enabled().start().await;
    let ports = [master.port(), replica.port(), cluster.port()];
    let (code, report) = Cli::new(&cluster_toml("", 64, &ports)).check();
    assert_eq!(code, Some(1));
    assert_eq!(
        errors(&report),
        pairs(&[("replica", "s1"), ("cluster_mode", "s2")])
    );
}

#[tokio::test]
async fn check_finds_two_names_for_one_database() {
    let server = RedisServer::start().await;
    let toml = cluster_toml("", 64, &[server.port(), server.port()]);
    // The file itself cannot repeat an address, but a host has many names.
    let toml = toml.replacen("127.0.0.1", "localhost", 1);
    let (code, report) = Cli::new(&toml).check();
    assert_eq!(code, Some(1));
    assert_eq!(errors(&report), pairs(&[("same_server", "")]));
    let other_database = toml.replacen(
        &format!("localhost:{}", server.port()),
        &format!("localhost:{}/3", server.port()),
        1,
    );
    let (code, report) = Cli::new(&other_database).check();
    assert_eq!(code, Some(0), "{report:#}");
}

#[tokio::test]
async fn an_unreachable_server_has_an_exit_code_of_its_own() {
    let mut fixture = TestCluster::start(2).await;
    fill(&fixture, 100).await;
    fixture.servers[1].kill();
    let cli = Cli::new(&fixture.toml());
    let (code, report) = cli.check();
    assert_eq!(code, Some(3));
    assert_eq!(report["verdict"], "unreachable");
    assert_eq!(errors(&report), pairs(&[("unreachable", "s1")]));

    let output = cli.run("stats", &["--json"]);
    assert_eq!(output.status.code(), Some(3));
    let servers = json(&output);
    assert_eq!(servers[0]["state"], "reached");
    assert_eq!(servers[1]["state"], "unreachable");
    let page = text(&cli.run("stats", &[]).stdout);
    assert!(page.contains("down"), "{page}");
    assert!(page.contains("Connection refused"), "{page}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_costs_the_timeout_and_no_more() {
    let fixture = TestCluster::start(2).await;
    fixture.servers[0].stop();
    let cli = Cli::new(&fixture.toml());
    let output = cli.run("check", &["--timeout", "300ms"]);
    fixture.servers[0].resume();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let page = text(&output.stdout);
    assert!(page.contains("no answer within 300ms"), "{page}");
}

#[tokio::test]
async fn check_says_which_rights_are_missing_and_how_to_grant_them() {
    let server = RedisServer::builder()
        .user_acl("app on >hunter2 ~user:* +@read +@write -get +client|setname +discard")
        .start()
        .await;
    let toml = format!(
        "name = \"test\"\n[placement]\nalgorithm = \"ketama\"\nnodes = 4\n\
         [servers.s0]\nurl = \"redis://app:hunter2@127.0.0.1:{}\"\nnodes = \"0-3\"\n",
        server.port()
    );
    let cli = Cli::new(&toml);
    let (code, report) = cli.check();
    assert_eq!(code, Some(1));
    let remedies: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["subject"] == "rights")
        .map(|finding| finding["advice"].as_str().unwrap())
        .collect();
    assert_eq!(
        remedies,
        [
            "ACL SETUSER app +client|id +info +get %R~keyway:*",
            "ACL SETUSER app +ping +script|load +client|unblock +multi +exec",
        ]
    );
    // What it says to grant is what was missing.
    let mut connection = server.connection().await;
    for remedy in remedies {
        let mut words = remedy.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            command.arg(word);
        });
        let _: () = command.query_async(&mut connection).await.unwrap();
    }
    let (code, report) = cli.check();
    assert_eq!(code, Some(0), "{report:#}");
    let cluster = keyway::Cluster::connect(cli.file()).await.unwrap();
    let _: () = cluster.clone().set("user:1", 1).await.unwrap();
}

#[tokio::test]
async fn no_password_is_ever_printed() {
    let server = RedisServer::builder().password("right-horse").start().await;
    let toml = |password: &str| {
        format!(
            "name = \"test\"\n[placement]\nalgorithm = \"ketama\"\nnodes = 4\n\
             [servers.s0]\nurl = \"redis://:{password}@127.0.0.1:{}\"\nnodes = \"0-3\"\n",
            server.port()
        )
    };
    for (password, code) in [("wrong-horse", 1), ("right-horse", 0)] {
        let cli = Cli::new(&toml(password));
        for arguments in [["--sample", "5"].as_slice(), &["--json"]] {
            let output = cli.run("check", arguments);
            assert_eq!(output.status.code(), Some(code), "{output:?}");
            for stream in [&output.stdout, &output.stderr] {
                assert!(!text(stream).contains("horse"), "{output:?}");
            }
        }
        let stats = cli.run("stats", &[]);
        assert!(!text(&stats.stdout).contains("horse"), "{stats:?}");
    }
    let (_, report) = Cli::new(&toml("wrong-horse")).check();
    assert_eq!(errors(&report), pairs(&[("refused", "s0")]));
    let broken = Cli::new(&toml("wrong-horse").replace("\"0-3\"", "\"0-4\""));
    let output = broken.run("check", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!text(&output.stderr).contains("horse"), "{output:?}");
}

#[test]
fn a_wrong_file_is_explained_on_stderr_with_code_2() {
    let cli = Cli::new(&cluster_toml("mdoe = \"store\"\n", 64, &[1, 2]));
    for subcommand in ["check", "stats"] {
        let output = cli.run(subcommand, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        let message = text(&output.stderr);
        assert!(message.starts_with("error: "), "{message}");
        assert!(message.contains("cluster.toml:2:1"), "{message}");
        assert!(message.contains("help: "), "{message}");
    }
    let missing = Command::new(env!("CARGO_BIN_EXE_keyway"))
        .args(["locate", "no-such-file.toml", "key"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
    let usage = Command::new(env!("CARGO_BIN_EXE_keyway"))
        .args(["check", "x.toml", "--sample", "many"])
        .output()
        .unwrap();
    assert_eq!(usage.status.code(), Some(2));
}

#[test]
fn locate_needs_no_server() {
    let cli = Cli::new(&cluster_toml("", 64, &[1001, 1002]));
    let output = cli.run(
        "locate",
        &["user:42:name", "cart:{user:42}", "likes:{user:42}", "a b\n"],
    );
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout), @r"
    KEY              HASHED        NODE  NAME  SERVER  ADDRESS
    ───────────────────────────────────────────────────────────────────
    user:42:name     user:42:name    26  26    s0      127.0.0.1:1001
    cart:{user:42}   user:42         42  42    s1      127.0.0.1:1002
    likes:{user:42}  user:42         42  42    s1      127.0.0.1:1002
    a b\n            a b\n           50  50    s1      127.0.0.1:1002
    ");
}

#[test]
fn locate_explains_each_key_in_a_block_or_as_data() {
    let cli = Cli::new(&cluster_toml("", 64, &[1001, 1002]));
    let output = cli.run("locate", &["cart:{user:42}", "a\n", "--explain"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output.stdout), @r#"
    cart:{user:42}
      placed by  ketama (keyway)
      hashed     "user:42", its hash tag
      tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
      hash       1684999558 (0x646f0d86) by CRC-32
      point      1685185807 (0x6471e50f) of 10240
      made of    "42-10" by MD5, its bytes 4 to 7 little-endian
      ring rule  the first point at or after the hash; after the last, the first
      node       42 "42"
      server     s1, 127.0.0.1:1002

    a\n
      placed by  ketama (keyway)
      hashed     "a\n", the whole key
      tag rule   what stands between the first { and the first } after it, unless that is nothing; else the whole key
      hash       3723141383 (0xddeaa107) by CRC-32
      point      3723557890 (0xddf0fc02) of 10240
      made of    "44-21" by MD5, its bytes 12 to 15 little-endian
      ring rule  the first point at or after the hash; after the last, the first
      node       44 "44"
      server     s1, 127.0.0.1:1002
    "#);
    let output = cli.run("locate", &["cart:{user:42}", "--explain", "--json"]);
    let row: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    let explanation = &row["explanation"];
    assert_eq!(explanation["node"], row["node"]);
    assert_eq!(explanation["hashed"], "user:42");
    assert_eq!(explanation["hash"]["hex"], "0x646f0d86");
    assert_eq!(explanation["finding"]["by"], "ring");
    assert_eq!(explanation["finding"]["point"]["hash"]["function"], "MD5");
    let output = cli.run("locate", &["cart:{user:42}", "--json"]);
    assert!(!text(&output.stdout).contains("explanation"));
}

#[test]
fn locate_reads_keys_from_standard_input_and_answers_in_json_lines() {
    let cli = Cli::new(&cluster_toml("", 64, &[1001, 1002]));
    let mut process = cli
        .command("locate", &["-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    input.write_all(b"user:1\r\n\n{x}y\n\xff\n").unwrap();
    drop(input);
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let rows: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["key"], "user:1");
    assert_eq!(rows[1]["hashed"], "x");
    assert_eq!(rows[2]["key_hex"], "ff");
    assert_eq!(rows[0]["address"].as_str().unwrap().split(':').count(), 2);
}

#[test]
fn a_reader_that_goes_away_causes_no_panic() {
    let cli = Cli::new(&cluster_toml("", 64, &[1001, 1002]));
    let keys: Vec<String> = (0..20_000).map(|i| format!("key:{i}")).collect();
    for format in [&["--json"][..], &[]] {
        let mut process = cli
            .command("locate", format)
            .args(&keys)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut first)
            .unwrap();
        assert!(!first.is_empty());
        let output = process.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[tokio::test]
async fn stats_counts_the_clients_of_keyway() {
    let fixture = TestCluster::start(2).await;
    fill(&fixture, 300).await;
    let first = fixture.connect().await;
    let second = fixture.connect().await;
    let cli = Cli::new(&fixture.toml());
    let output = cli.run("stats", &["--json"]);
    assert_eq!(output.status.code(), Some(0));
    let servers = json(&output);
    let keys: u64 = (0..2).map(|i| servers[i]["keys"].as_u64().unwrap()).sum();
    assert_eq!(keys, 300);
    assert_eq!(
        servers[0]["version"].as_str().unwrap().split('.').count(),
        3
    );
    let group = &servers[0]["keyway_clients"][0];
    assert_eq!(group["cluster"], "test");
    assert_eq!(group["epoch"], 0);
    assert!(group["instances"].as_u64().unwrap() >= 2, "{group}");
    let page = text(&cli.run("stats", &[]).stdout);
    assert!(page.contains("test, epoch 0: "), "{page}");
    drop((first, second));
}

#[test]
fn help_teaches() {
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_keyway"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        text(&output.stdout)
    };
    let page = help(&["--help"]);
    for word in ["keyway check cluster.toml", "[servers.a]", "--json", "demo"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    assert!(help(&["check", "--help"]).contains("3  a server could not be reached"));
}

#[tokio::test]
async fn balance_shows_how_even_a_cluster_is_and_which_server_is_down() {
    let mut fixture = TestCluster::start(2).await;
    fill(&fixture, 3000).await;
    let cli = Cli::new(&fixture.toml());
    let output = cli.run("balance", &["--exact"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let page = text(&output.stdout);
    assert!(page.contains("All 3,000 keys were looked at."), "{page}");
    assert!(page.contains("keys over servers"), "{page}");
    assert!(!page.contains('\x1b'), "no colours in a pipe: {page:?}");

    let output = cli.run("balance", &["--json", "--sample", "100"]);
    assert_eq!(output.status.code(), Some(0));
    let survey = json(&output);
    assert_eq!(survey["nodes"].as_array().unwrap().len(), 64);
    assert_eq!(survey["is_complete"], false);

    // Three quarters of the nodes on one of them.
    for server in &fixture.servers {
        let _: () = server.connection().await.flushall().await.unwrap();
    }
    let uneven = fixture
        .toml()
        .replace("0-31", "0-47")
        .replace("32-63", "48-63");
    let config = parse(&uneven);
    let cluster = keyway::Cluster::connect_config(config).await.unwrap();
    let pairs: Vec<(String, usize)> = (0..3000).map(|i| (format!("user:{i}"), i)).collect();
    let _: () = cluster.clone().mset(&pairs).await.unwrap();
    let output = Cli::new(&uneven).run("balance", &["--exact"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let page = text(&output.stdout);
    assert!(page.contains(" --even --live would move 1"), "{page}");

    fixture.servers[1].kill();
    let output = cli.run("balance", &[]);
    assert_eq!(output.status.code(), Some(3));
    let page = text(&output.stdout);
    assert!(page.contains("s1") && page.contains("down"), "{page}");
    assert_eq!(cli.run("balance", &["--calibrate"]).status.code(), Some(3));
}

#[tokio::test]
async fn balance_calibrates_and_prints_a_table_that_toml_reads() {
    let fixture = TestCluster::start(2).await;
    fill(&fixture, 3000).await;
    let cli = Cli::new(&fixture.toml());
    let output = cli.run("balance", &["--calibrate", "--write-to", "s0"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let page = text(&output.stdout);
    assert!(page.contains("\n# measured: "), "{page}");
    assert!(page.contains("\n# assumed: "), "{page}");
    assert!(page.contains("\n[pace]\n"), "{page}");
    let calibration = json(&cli.run("balance", &["--calibrate", "--json"]));
    assert!(calibration["pace"]["round_trip_us"].as_u64().unwrap() > 0);

    let output = cli.run("balance", &["--calibrate", "--write-to", "s7"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "error: there is no server s7: the file has s0, s1\n"
    );
}

#[test]
fn balance_refuses_a_placement_without_homes() {
    let toml = cluster_toml("", 2, &[1, 2]).replace("\"ketama\"", "\"nydus-round-robin\"");
    let output = Cli::new(&toml).run("balance", &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.starts_with("error: by nydus-round-robin no key has a home"),
        "{said}"
    );
}

#[tokio::test]
async fn plan_goes_by_what_is_on_the_servers_if_told_to() {
    let mut fixture = TestCluster::start(2).await;
    let uneven = fixture
        .toml()
        .replace("0-31", "0-47")
        .replace("32-63", "48-63");
    let config = parse(&uneven);
    let cluster = keyway::Cluster::connect_config(config.clone())
        .await
        .unwrap();
    let pairs: Vec<(String, usize)> = (0..3000).map(|i| (format!("user:{i}"), i)).collect();
    let _: () = cluster.clone().mset(&pairs).await.unwrap();
    let cli = Cli::new(&uneven);
    let output = cli.run("plan", &["--even", "--live", "--exact", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let plan = json(&output);
    assert_eq!(plan["sizes"]["origin"]["from"], "sampled");
    assert_eq!(plan["sizes"]["total"]["keys"], 3000);
    // What it says of each move is what is there.
    let mut moved = 0;
    for one in plan["moves"].as_array().unwrap() {
        let nodes: Vec<u64> = one["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node.as_u64().unwrap())
            .collect();
        let here = |(key, _): &&(String, usize)| {
            nodes.contains(&u64::from(config.placement().node(key.as_bytes()).0))
        };
        let count = pairs.iter().filter(here).count() as u64;
        assert_eq!(one["keys"].as_u64(), Some(count));
        moved += count;
    }
    assert!((500..1_000).contains(&moved), "{moved}");

    fixture.servers[1].kill();
    let output = cli.run("plan", &["--even", "--live"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.starts_with("error: how big the nodes on server s1 are is not known"),
        "{said}"
    );
    for wrong in [
        &["--even", "--exact"][..],
        &["--even", "--live", "--bytes", "1GiB"],
        &["--even", "--live", "--keys-file", "-"],
    ] {
        assert_eq!(cli.run("plan", wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn simulate_goes_by_the_keys_and_the_speed_of_a_live_cluster_if_told_to() {
    let mut fixture = TestCluster::start(2).await;
    let config = parse(&fixture.toml());
    let cluster = keyway::Cluster::connect_config(config.clone())
        .await
        .unwrap();
    let pairs: Vec<(String, usize)> = (0..3000).map(|i| (format!("user:{i}"), i)).collect();
    let _: () = cluster.clone().mset(&pairs).await.unwrap();
    let cli = Cli::new(&fixture.toml());
    let file = cli.file().display().to_string();
    let live = ["--add", "f", "--live", &file, "--repeats", "1", "--json"];
    let output = cli.run("simulate", &live);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report = json(&output);
    let source = format!("a sample of {}", config.name());
    assert!(
        report["keys"]["source"]
            .as_str()
            .unwrap()
            .starts_with(&source),
        "{report}"
    );
    // Fewer than the sample: all of them are in it, so the first server's part is what is there.
    assert_eq!(report["keys"]["count"], 3000);
    let first = config.topology().servers().next().unwrap();
    let home = |key: &str| {
        config
            .topology()
            .server_of(config.placement().node(key.as_bytes()))
    };
    let there = pairs.iter().filter(|(key, _)| home(key) == first).count();
    let part = report["schemes"][0]["stages"][0]["servers"][0]["keys"]["mean"].as_f64();
    assert_eq!(part, Some(there as f64 / 3000.0));

    // Its round trips are some hundred times what is measured here.
    std::fs::write(
        cli.file().with_file_name("scenario.toml"),
        "schemes = [\"ketama@64\"]\n[servers]\ncluster = \"cluster.toml\"\n[pace]\nround_trip_us = 100000\n[[steps]]\nadd = 1\n",
    )
    .unwrap();
    let freeze = |rest: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyway"));
        let scenario = cli.file().with_file_name("scenario.toml");
        command.arg("simulate").arg(scenario).args(rest);
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        json(&output)["courses"][0]["freeze_ms"].as_f64().unwrap()
    };
    let slow = freeze(&["--keys", "1000", "--json"]);
    let measured = freeze(&["--keys", "1000", "--json", "--calibrate", &file]);
    assert!(measured < slow / 2.0, "{measured} {slow}");

    fixture.servers[1].kill();
    let output = cli.run("simulate", &live);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.starts_with("error: s1 cannot be looked at: "),
        "{said}"
    );
    let wrong = ["--add", "f", "--live", &file, "--keys", "5"];
    assert_eq!(cli.run("simulate", &wrong).status.code(), Some(2));
}
