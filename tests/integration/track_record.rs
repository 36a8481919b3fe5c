//! The track record of faults names tests that are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where tests are: the first part of a test's name is a module in one of these.
const ROOTS: [&str; 5] = [
    "src",
    "src/bin/keyway",
    "tests/integration",
    "crates/testing/src",
    "crates/testing/tests/works",
];

#[test]
fn every_test_that_is_named_is_there() {
    let record = read(&top().join("tests/TRACK_RECORD.md"));
    let rows = rows(&record);
    assert!(rows.len() > 80, "only {} rows are found", rows.len());
    let mut mistakes = Vec::new();
    for (fault, proof) in &rows {
        match proof {
            Proof::Tests(names) => mistakes.extend(
                names
                    .iter()
                    .filter(|name| !is_there(&top(), name))
                    .map(|name| format!("there is no test {name}: {fault}")),
            ),
            Proof::Open => {}
            Proof::Other(text) => mistakes.push(format!("{text:?} names no test: {fault}")),
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    let faults: BTreeSet<&str> = rows.iter().map(|(fault, _)| *fault).collect();
    assert_eq!(faults.len(), rows.len(), "a fault has two rows");
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    let text = "| fault | test |\n|---|---|\n| A `x` | `a::b`, `c::d` |\n| B | open: issue 7 |\n| C | none |\n| D | |\n";
    let rows = rows(text);
    assert_eq!(
        rows,
        [
            ("A `x`", Proof::Tests(vec!["a::b", "c::d"])),
            ("B", Proof::Open),
            ("C", Proof::Other("none")),
            ("D", Proof::Other("")),
        ]
    );
    let here = "track_record::a_test_that_is_not_there_is_noticed";
    assert!(is_there(&top(), here));
    assert!(!is_there(&top(), "track_record::a_test_that_is_not_there"));
    // It is a function, and no test.
    assert!(!is_there(&top(), "track_record::is_there"));
    // It is a test of another module.
    assert!(!is_there(
        &top(),
        "client::a_test_that_is_not_there_is_noticed"
    ));
    assert!(!is_there(&top(), "a_test_that_is_not_there_is_noticed"));
}

#[derive(Debug, PartialEq)]
enum Proof<'a> {
    Tests(Vec<&'a str>),
    Open,
    Other(&'a str),
}

/// The rows of all tables: a fault, and how it is proven.
fn rows(record: &str) -> Vec<(&str, Proof<'_>)> {
    let lines = record.lines().filter_map(|line| {
        let cells = line.strip_prefix('|')?.strip_suffix('|')?;
        let (fault, proof) = cells.rsplit_once('|')?;
        Some((fault.trim(), proof.trim()))
    });
    lines
        .filter(|(fault, _)| *fault != "fault" && !fault.starts_with("---"))
        .map(|(fault, proof)| (fault, proof_of(proof)))
        .collect()
}

fn proof_of(text: &str) -> Proof<'_> {
    let number = text.strip_prefix("open: issue ");
    if number.is_some_and(|number| number.parse::<u32>().is_ok()) {
        return Proof::Open;
    }
    let names = text.split(", ");
    let names = names.map(|name| name.strip_prefix('`')?.strip_suffix('`'));
    match names.collect() {
        Some(names) => Proof::Tests(names),
        None => Proof::Other(text),
    }
}

/// Whether one of the roots has the test in a file of the module that is named, or of one around it.
fn is_there(top: &Path, name: &str) -> bool {
    let path: Vec<&str> = name.split("::").collect();
    let Some((function, modules)) = path.split_last() else {
        return false;
    };
    ROOTS.iter().any(|root| {
        (0..=modules.len())
            .rev()
            .flat_map(|depth| files(&top.join(root), &modules[..depth]))
            .any(|file| has_test(&file, function))
    })
}

/// A module's own file, in either place, if it has one. A root by itself is a file only if it is one program.
fn files(root: &Path, modules: &[&str]) -> Vec<PathBuf> {
    let directory = modules
        .iter()
        .fold(root.to_owned(), |path, module| path.join(module));
    [directory.with_extension("rs"), directory.join("mod.rs")]
        .into_iter()
        .filter(|file| file.is_file())
        .collect()
}

/// A function of this name under the attribute of a test.
fn has_test(file: &Path, function: &str) -> bool {
    let source = read(file);
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_start = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line
            .strip_prefix("fn ")
            .and_then(|line| line.strip_prefix(function));
        rest.is_some_and(|rest| rest.starts_with('('))
    };
    lines.iter().enumerate().any(|(at, line)| {
        let before = lines[..at].iter().rev();
        is_start(line)
            && before
                .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
                .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
