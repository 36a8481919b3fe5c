//! The demo of the command line, as a newcomer runs it: the program itself, with servers of its own.

use crate::fixture::eventually;
use serde_json::Value;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// The demo with a place of its own for its temporary directory, so that what it leaves behind is seen.
struct Demo {
    place: TempDir,
}

impl Demo {
    fn new() -> Demo {
        Demo {
            place: tempfile::Builder::new()
                .prefix("keyway-test-demo-")
                .tempdir()
                .unwrap(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyway"));
        command
            .arg("demo")
            .args(args)
            .env("TMPDIR", self.place.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn left_behind(&self) -> Vec<PathBuf> {
        let entries = self.place.path().read_dir().unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    /// The ports in the cluster file, which is written when both servers are up.
    fn ports(&self) -> Option<Vec<u16>> {
        let file = self.left_behind().pop()?.join("cluster.toml");
        let text = std::fs::read_to_string(file).ok()?;
        let ports: Vec<u16> = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix("url = \"redis://127.0.0.1:")?
                    .strip_suffix('"')
            })
            .map(|port| port.parse().unwrap())
            .collect();
        (ports.len() == 2 && text.contains("[timeouts]")).then_some(ports)
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn is_listening(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn a_small_demo_succeeds_and_every_check_holds() {
    let demo = Demo::new();
    let output = demo.run(&["--users", "2000", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value =
        serde_json::from_slice(&output.stdout).expect("stdout is JSON and nothing else");
    assert_eq!(report["passed"], true);
    let checks = report["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 16, "{checks:?}");
    for check in checks {
        assert_eq!(check["passed"], true, "{check}");
        assert!(check["checked"].as_u64() > Some(0), "{check}");
    }
    assert_eq!(report["graph"]["users"], 2000);
    assert_eq!(report["graph"]["edges"], 10_666);
    let intersections = &report["intersections"];
    assert_eq!(intersections["pairs"], 1_400);
    assert_eq!(intersections["random_pairs"], 1_000);
    assert!(intersections["pairs_with_common"].as_u64() > Some(100));
    let plan = &intersections["plan"];
    assert_ne!(
        plan["sets"][0]["server"], plan["sets"][1]["server"],
        "{plan}"
    );
    assert!(plan["bytes"].as_u64() > Some(0), "{plan}");
    assert!(
        plan["bytes"].as_u64() <= plan["bytes_of_fetching"].as_u64(),
        "{plan}"
    );
    assert_eq!(
        report["balance"]["keys_per_node"].as_array().unwrap().len(),
        64
    );
    let delivery = &report["delivery"];
    assert_eq!(delivery["deliveries"], 10_666, "a write per edge");
    assert_eq!(delivery["items_read"], 10_666, "and all of them are read");
    assert_eq!(
        delivery["timelines_read"], 2_000,
        "everybody follows somebody"
    );
    assert_eq!(delivery["pull"]["readers"], 200);
    let of = |field: &str| delivery[field].as_u64().unwrap();
    assert_eq!(of("commands"), of("followers") * of("posts"));
    assert!(of("trimmed") > 0, "{delivery}");
    assert!(of("held_max") > of("kept"), "{delivery}");
    assert!(of("held_max") <= of("kept") + of("slack"), "{delivery}");

    let crash = &report["crash"];
    assert!(
        crash["answered"].as_u64() > Some(500) && crash["failed"].as_u64() > Some(500),
        "{crash}"
    );
    let example = crash["example_error"].as_str().unwrap();
    assert!(example.contains("server \"b\""), "{example}");
    let (cut, retry) = (&crash["delivery"], &report["recovery"]["retry"]);
    let of = |field: &str| cut[field].as_u64().unwrap();
    assert_eq!(of("owners"), 2_000);
    assert!(of("done") >= of("done_living"), "{cut}");
    let failed = of("never_written") + of("outcome_unknown");
    assert!(failed > 500, "{cut}");
    assert_eq!(of("done") + failed, 2_000, "nobody is left out: {cut}");
    assert_eq!(retry["owners"], failed);
    let had_it = retry["unknown_had_it"].as_u64().unwrap();
    assert_eq!(retry["added"], failed - had_it, "nothing is doubled");
    assert_eq!(retry["timelines_read"], 2_000, "all have it");
    assert_eq!(demo.left_behind(), Vec::<PathBuf>::new());
}

#[test]
fn the_screen_is_plain_text_in_a_pipe() {
    let demo = Demo::new();
    let edges = demo.place.path().join("edges.txt");
    std::fs::write(
        &edges,
        "# a comment\n1 2\n1\t3\n 2 3 # so\n\n3 1\n4 1\n4 2\n4 3\n",
    )
    .unwrap();
    let output = demo.run(&["--edges", &edges.to_string_lossy()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let screen = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(!screen.contains('\x1b'), "{screen}");
    assert!(screen.contains("4 users, 7 edges (edges.txt)"), "{screen}");
    assert!(
        screen.contains("nodes = \"32-63\""),
        "the cluster file is shown: {screen}"
    );
    assert!(screen.contains("7 deliveries in"), "{screen}");
    assert!(screen.contains("all 4 have it once"), "{screen}");
    assert!(screen.lines().count() <= 50, "{screen}");
    assert_eq!(stderr(&output), "", "no progress where nobody looks");
    assert_eq!(demo.left_behind(), [edges]);
}

#[test]
fn a_bad_line_of_an_edges_file_is_named_before_anything_starts() {
    let demo = Demo::new();
    let edges = demo.place.path().join("edges.txt");
    std::fs::write(&edges, "# a b\n1 2\n2 three\n").unwrap();
    let output = demo.run(&["--edges", &edges.to_string_lossy()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let error = stderr(&output);
    assert!(
        error.contains("edges.txt:3: read \"2 three\"; expected two user numbers"),
        "{error}"
    );
    assert_eq!(demo.left_behind(), [edges]);
}

#[test]
fn a_missing_redis_server_is_an_error_that_says_what_to_install() {
    let demo = Demo::new();
    let mut command = demo.command(&["--users", "10"]);
    let output = command
        .env("KEYWAY_REDIS_SERVER", "/nowhere/redis-server")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = stderr(&output);
    assert!(
        error.contains("cannot run /nowhere/redis-server"),
        "{error}"
    );
    assert!(error.contains("apt-get install redis-server"), "{error}");
    assert_eq!(demo.left_behind(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_interrupted_demo_leaves_no_server_and_no_file() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let demo = Demo::new();
        let mut child = demo.command(&[]).spawn().unwrap();
        let ports = ports_of(&demo, &mut child).await;
        assert!(ports.iter().all(|port| is_listening(*port)));
        interrupt(signal, code, &demo, &mut child, &ports).await;
    }
}

#[tokio::test]
async fn a_demo_that_is_interrupted_amid_its_outage_leaves_no_server_and_no_file() {
    let demo = Demo::new();
    let mut child = demo.command(&["--users", "2000"]).spawn().unwrap();
    let ports = ports_of(&demo, &mut child).await;
    eventually("server b is killed", PATIENCE, async || {
        assert_eq!(child.try_wait().unwrap(), None, "it has ended already");
        !is_listening(ports[1])
    })
    .await;
    interrupt("INT", 130, &demo, &mut child, &ports).await;
}

async fn ports_of(demo: &Demo, child: &mut Child) -> Vec<u16> {
    let mut ports = Vec::new();
    eventually("the demo's servers are up", PATIENCE, async || {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it does not end by itself so early"
        );
        ports = demo.ports().unwrap_or_default();
        !ports.is_empty()
    })
    .await;
    ports
}

/// Sends the signal, and looks at what is left.
async fn interrupt(signal: &str, code: i32, demo: &Demo, child: &mut Child, ports: &[u16]) {
    send(signal, child);
    let mut status = None;
    eventually("the demo ends", PATIENCE, async || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(code), "SIG{signal}");
    assert!(
        !ports.iter().any(|port| is_listening(*port)),
        "SIG{signal}: {ports:?}"
    );
    assert_eq!(demo.left_behind(), Vec::<PathBuf>::new(), "SIG{signal}");
}

/// The shell's own kill: calling kill(2) would take unsafe code.
fn send(signal: &str, child: &Child) {
    let command = format!("kill -{signal} {}", child.id());
    let status = Command::new("sh").args(["-c", &command]).status().unwrap();
    assert!(status.success(), "{command}");
}
