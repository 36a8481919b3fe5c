//! `keyway import` and `keyway init`: what they print and write, and the codes they exit with.

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/import")
        .join(file)
}

fn keyway(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyway"));
    command
        .args(arguments)
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    keyway(arguments).output().unwrap()
}

fn import(file: &str, rest: &[&str]) -> Output {
    let file = data(file).display().to_string();
    let arguments: Vec<&str> = ["import", file.as_str()]
        .into_iter()
        .chain(rest.iter().copied())
        .collect();
    run(&arguments)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn config(toml: &str) -> keyway::Config {
    keyway::Config::parse(toml, "cluster.toml".as_ref(), &|_| {
        Some("hunter2".to_owned())
    })
    .unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

#[test]
fn a_pool_goes_to_standard_output_and_its_remarks_to_standard_error() {
    let output = import("pools.yml", &["--pool", "counters"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let config = config(&text(&output.stdout));
    assert_eq!(config.name(), "counters");
    assert_eq!(config.placement().algorithm().name(), "twemproxy-modula");
    let remarks = text(&output.stderr);
    assert_eq!(remarks.lines().count(), 2, "{remarks}");
    assert!(
        remarks.starts_with("counters: no equal: listen: there is no proxy"),
        "{remarks}"
    );
    assert!(!remarks.contains('\x1b'));
}

#[test]
fn several_pools_need_a_choice_or_a_directory() {
    let output = import("pools.yml", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = text(&output.stderr);
    assert!(error.starts_with("error: 2 clusters are in "), "{error}");
    assert!(error.contains("timelines, counters"), "{error}");

    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("new/clusters");
    let output = import("pools.yml", &["--output", into.to_str().unwrap()]);
    // One of the pools is memcached's.
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let timelines = into.join("timelines.toml");
    let written = text(&output.stdout);
    assert_eq!(
        written,
        format!(
            "wrote {}; set TIMELINES_PASSWORD\nwrote {}\n",
            timelines.display(),
            into.join("counters.toml").display()
        )
    );
    let errors = text(&output.stderr);
    for skipped in ["sessions", "pages", "scatter"] {
        assert!(
            errors.contains(&format!("skipped: {skipped} (line ")),
            "{errors}"
        );
    }
    let toml = std::fs::read_to_string(&timelines).unwrap();
    assert_eq!(config(&toml).servers().len(), 3);
    assert!(!format!("{toml}{written}{errors}").contains("s3cret"));
}

#[test]
fn nothing_is_overwritten_unless_it_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().to_str().unwrap();
    let (timelines, counters) = (
        directory.path().join("timelines.toml"),
        directory.path().join("counters.toml"),
    );
    std::fs::write(&counters, "mine").unwrap();
    let output = import("pools.yml", &["--output", into]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("counters.toml"), "{output:?}");
    assert!(!timelines.exists(), "all or nothing");
    assert_eq!(std::fs::read_to_string(&counters).unwrap(), "mine");

    let output = import("pools.yml", &["--output", into, "--force"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(timelines.exists());
    assert!(
        std::fs::read_to_string(&counters)
            .unwrap()
            .contains("twemproxy-modula")
    );
}

#[test]
fn what_has_no_equal_is_said_by_the_exit_code() {
    let output = import("pools.yml", &["--pool", "scatter"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(
        text(&output.stderr).contains("distribution: random"),
        "{output:?}"
    );
}

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    let output = import("broken/weight.yml", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = text(&output.stderr);
    assert!(
        error.contains("weight.yml:6:6: the server's weight is 0"),
        "{error}"
    );
    let output = import("none.yml", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("none.yml cannot be read: "),
        "{output:?}"
    );
}

#[test]
fn standard_input_is_read_and_the_format_may_be_said() {
    let mut child = keyway(&[
        "import",
        "-",
        "--format",
        "addresses",
        "--algorithm",
        "libketama",
        "--name",
        "feeds",
    ])
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"10.0.0.1:6379 600\n10.0.0.2:6379 300\n")
        .unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let config = config(&text(&output.stdout));
    assert_eq!(
        (config.name(), config.placement().algorithm().name()),
        ("feeds", "libketama")
    );

    let output = import("ring.json", &["--format", "redis"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("expected one of nutcracker, nydus, rb, go-redis, addresses"),
        "{output:?}"
    );
}

#[test]
fn json_has_files_remarks_and_what_was_skipped() {
    let output = import("pools.yml", &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty(), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["format"], "nutcracker");
    assert_eq!(json["skipped"].as_array().unwrap().len(), 3);
    let timelines = &json["clusters"][0];
    assert_eq!(
        (&timelines["origin"], &timelines["line"]),
        (&"timelines".into(), &2.into())
    );
    assert_eq!(timelines["variables"][0], "TIMELINES_PASSWORD");
    assert_eq!(timelines["remarks"][0]["kind"], "to-do");
    assert_eq!(timelines["remarks"][0]["setting"], "redis_auth");
    assert_eq!(timelines["remarks"][0]["line"], 9);
    config(timelines["toml"].as_str().unwrap());
    assert!(!text(&output.stdout).contains("s3cret"));
}

#[test]
fn init_writes_a_file_that_keyway_reads_and_none_twice() {
    let directory: TempDir = tempfile::tempdir().unwrap();
    let init = |rest: &[&str]| {
        let arguments: Vec<&str> = ["init"].into_iter().chain(rest.iter().copied()).collect();
        keyway(&arguments).current_dir(&directory).output().unwrap()
    };
    let output = init(&[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(
        text(&output.stdout),
        "wrote cluster.toml: 64 nodes on 2 servers. Next: keyway check cluster.toml\n"
    );
    let file = directory.path().join("cluster.toml");
    let config = keyway::Config::from_file(&file).unwrap();
    assert_eq!(config.placement().node_count(), 64);
    assert_eq!(config.servers().len(), 2);

    std::fs::write(&file, "mine").unwrap();
    let output = init(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("cluster.toml is there already"),
        "{output:?}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");

    let output = init(&[
        "feeds.toml",
        "--name",
        "feeds",
        "--algorithm",
        "jump",
        "--nodes",
        "100",
        "--servers",
        "10.0.0.1:1,10.0.0.2,/run/a.sock",
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let config = keyway::Config::from_file(directory.path().join("feeds.toml")).unwrap();
    assert_eq!(
        (config.name(), config.placement().describe().as_str()),
        ("feeds", "jump over 100 nodes")
    );
    let addresses: Vec<_> = config
        .servers()
        .iter()
        .map(|server| server.endpoint.address.to_string())
        .collect();
    assert_eq!(addresses, ["10.0.0.1:1", "10.0.0.2:6379", "/run/a.sock"]);

    let output = init(&["-", "--algorithm", "twemproxy-ketama"]);
    assert_eq!(output.status.code(), Some(2));
    let output = init(&["-"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).starts_with("# A keyway cluster"));
}
