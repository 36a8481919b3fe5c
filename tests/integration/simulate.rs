//! `keyway simulate`: what it prints, what it writes, and the code it exits with. Needs no server.

use crate::fixture::eventually;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn keyway(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyway"));
    command
        .arg("simulate")
        .args(arguments)
        .current_dir(directory)
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    keyway(directory, arguments).output().unwrap()
}

fn succeeds(directory: &Path, arguments: &[&str]) -> String {
    let output = run(directory, arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const CLUSTER: &str = r#"
name = "feeds"
[placement]
algorithm = "ketama"
nodes = 64
[servers.a]
url = "redis://10.0.0.1:6379"
nodes = "0-31"
[servers.b]
url = "redis://:hunter2@10.0.0.2:6379"
nodes = "32-63"
"#;

#[test]
fn flags_are_a_scenario_and_the_seed_repeats_it_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let flags = [
        "--servers",
        "5",
        "--add",
        "1",
        "--remove",
        "b",
        "--kill",
        "c",
        "--schemes",
        "ketama@64,ketama,modulo",
        "--keys",
        "20k",
        "--zipf",
        "0.99",
        "--value-bytes",
        "100-400",
        "--repeats",
        "3",
        "--seed",
        "7",
        "--sensitivity",
        "16,64",
        "--json",
    ];
    let with = |more: &[&str]| succeeds(directory.path(), &[&flags[..], more].concat());
    let one = with(&["--threads", "1"]);
    assert_eq!(one, with(&["--threads", "3"]));
    assert_eq!(one, with(&[]));
    let report = json(&one);
    assert_eq!(report["schema"], "keyway.simulation/1");
    assert_eq!(
        (
            &report["seed"],
            &report["repeats_done"],
            &report["is_complete"]
        ),
        (&7.into(), &3.into(), &true.into())
    );
    assert_eq!(
        report["keys"]["source"],
        "synthetic, Zipf 0.99, 100 to 400 B each"
    );
    let steps: Vec<&str> = report["schemes"][0]["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["step"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["start", "add f", "remove b", "kill c"]);
    assert_eq!(
        report["schemes"][0]["stages"][1]["movement"]["nodes_moved"],
        10
    );
    assert_eq!(report["sensitivity"].as_array().unwrap().len(), 4);
}

#[test]
fn the_example_is_a_scenario_and_flags_go_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let example = succeeds(directory.path(), &["--example"]);
    std::fs::write(directory.path().join("scenario.toml"), example).unwrap();
    let page = succeeds(
        directory.path(),
        &[
            "scenario.toml",
            "--keys",
            "5000",
            "--repeats",
            "2",
            "--schemes",
            "jump",
            "--remove",
            "a",
        ],
    );
    assert!(
        page.starts_with("5 servers, add f, remove a; 5,000 keys\n"),
        "{page}"
    );
    assert!(
        page.lines().all(|line| line.chars().count() <= 100),
        "{page}"
    );
}

#[test]
fn a_cluster_file_is_simulated_as_it_is_with_keys_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("cluster.toml"), CLUSTER).unwrap();
    let keys: String = (0..1_000)
        .map(|number| format!("user:{number}\t{number}\n"))
        .collect();
    std::fs::write(path("keys.txt"), keys).unwrap();
    let page = succeeds(
        directory.path(),
        &[
            "cluster.toml",
            "--add",
            "c",
            "--keys",
            "keys.txt",
            "--json=report.json",
            "--csv",
            "csv",
            "--svg",
            "svg",
            "--html",
            "page.html",
        ],
    );
    assert!(page.contains("64 nodes"), "{page}");
    let report = std::fs::read_to_string(path("report.json")).unwrap();
    assert!(!report.contains("hunter2"));
    let report = json(&report);
    assert_eq!(
        (
            &report["repeats"],
            &report["keys"]["count"],
            &report["keys"]["bytes"]
        ),
        (&1.into(), &1_000.into(), &499_500.into())
    );
    assert_eq!(report["schemes"][0]["name"], "cluster");
    assert_eq!(report["schemes"][0]["stages"][0]["servers"][0]["nodes"], 32);
    assert!(path("page.html").exists() && path("csv/balance.csv").exists());
    assert!(std::fs::read_dir(path("svg")).unwrap().count() > 0);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("wrong.toml"),
        "schemes = [\"ketama@64\"]\n[servers]\ncount = 3\n[[steps]]\nremove = \"z\"\n",
    )
    .unwrap();
    let refused = |arguments: &[&str]| {
        let output = run(directory.path(), arguments);
        assert_eq!(
            (output.status.code(), output.stdout.len()),
            (Some(2), 0),
            "{output:?}"
        );
        String::from_utf8(output.stderr).unwrap()
    };
    let error = refused(&["wrong.toml", "--html", "page.html"]);
    assert!(
        error.starts_with("error: wrong.toml:5:10: there is no server \"z\" then\n"),
        "{error}"
    );
    assert!(!directory.path().join("page.html").exists());
    assert!(refused(&["nowhere.toml"]).contains("cannot be read"));
    assert!(refused(&[]).contains("--servers 5"));
    assert!(refused(&["--servers", "5", "--keys", "many"]).contains("no number, and no file"));
    assert!(refused(&["--servers", "5", "--schemes", "ketma"]).contains("did you mean ketama?"));
    assert!(refused(&["--servers", "5", "--zipf", "9"]).contains("an exponent above 0, at most 4"));
    assert!(refused(&["--servers", "5", "--kill", "x"]).contains("there is no server \"x\" then"));
    assert!(refused(&["wrong.toml", "--servers", "5"]).contains("cannot be used with"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn ctrl_c_prints_what_is_done_so_far() {
    let directory = tempfile::tempdir().unwrap();
    // Hours of it.
    let child = keyway(
        directory.path(),
        &[
            "--servers",
            "5",
            "--keys",
            "10G",
            "--threads",
            "1",
            "--json",
        ],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let pid = child.id();
    eventually(
        "SIGINT is waited for",
        Duration::from_secs(30),
        async || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            // Signal n is bit n - 1.
            caught
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .is_some_and(|mask| mask & 2 != 0)
        },
    )
    .await;
    let killed = Command::new("kill")
        .args(["-INT", &pid.to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let report = json(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(
        (&report["is_complete"], &report["repeats_done"]),
        (&false.into(), &0.into())
    );
    let keys = report["keys"]["count"].as_u64().unwrap();
    assert!((1..10_000_000_000).contains(&keys), "{keys}");
    assert!(
        report["schemes"][0]["stages"][0]["keys"]["max_over_mean"]["mean"]
            .as_f64()
            .unwrap()
            >= 1.0
    );
}
