//! What becomes of the results of a run: tables on the terminal, and BENCHMARKS.md with its graphs.

pub mod applications;
mod comparison;
#[cfg(test)]
mod fixture;
mod floors;
mod graphs;
mod grid;
mod heading;
mod markdown;
mod number;
mod series;
mod statistics;
mod table;

use crate::results::Results;
use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::Path;

/// The whole run, on standard output.
pub fn print(results: &Results) {
    // A reader who has seen enough (`| head`) is no failure of the bench.
    let _ = std::io::stdout().write_all(table::text(results).as_bytes());
}

/// Writes the figures into BENCHMARKS.md, and the graphs and the JSON file that it refers to. Graphs of which this run has no figures are
/// removed: the file would show another run's.
pub fn publish(results: &Results, repo_root: &Path) -> Result<()> {
    let page = repo_root.join("BENCHMARKS.md");
    let text =
        fs::read_to_string(&page).with_context(|| format!("cannot read {}", page.display()))?;
    // Everything is made before anything is written: half a publication is none.
    let text = markdown::fill(&text, results).with_context(|| page.display().to_string())?;
    let drawn: Vec<(&str, Option<String>)> = graphs::ALL
        .into_iter()
        .map(|graph| Ok((graph.name, (graph.draw)(results)?)))
        .collect::<Result<_>>()
        .context("cannot draw the graphs")?;
    let json = results.to_json()?;

    let folder = repo_root.join("benches/graphs");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, svg) in drawn {
        let file = folder.join(name);
        match svg {
            Some(svg) => write(&file, &svg)?,
            None if file.exists() => {
                fs::remove_file(&file)
                    .with_context(|| format!("cannot remove {}", file.display()))?;
            }
            None => {}
        }
    }
    write(&repo_root.join("benches/peers/results.json"), &json)?;
    write(&page, &text)
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("benches/peers")).unwrap();
        let page = include_str!("../../../../BENCHMARKS.md");
        fs::write(root.path().join("BENCHMARKS.md"), page).unwrap();
        root
    }

    #[test]
    fn a_publication_is_a_page_its_graphs_and_the_figures() {
        let root = repo();
        publish(&fixture::full(), root.path()).unwrap();
        let page = fs::read_to_string(root.path().join("BENCHMARKS.md")).unwrap();
        for graphs::Graph { name, .. } in graphs::ALL {
            assert!(
                page.contains(&format!("(benches/graphs/{name})")),
                "{name} is shown nowhere"
            );
            assert!(root.path().join("benches/graphs").join(name).exists());
        }
        let json = fs::read_to_string(root.path().join("benches/peers/results.json")).unwrap();
        let read: Results = serde_json::from_str(&json).unwrap();
        assert_eq!(read.cells.len(), fixture::full().cells.len());
    }

    #[test]
    fn graphs_of_an_earlier_run_do_not_stay() {
        let root = repo();
        publish(&fixture::full(), root.path()).unwrap();
        publish(&fixture::small(), root.path()).unwrap();
        let graph = |name: &str| root.path().join("benches/graphs").join(name).exists();
        assert!(graph("mget.svg") && !graph("mixed.svg"));
    }

    #[test]
    fn a_page_that_cannot_be_filled_is_left_as_it_is() {
        let root = repo();
        fs::write(root.path().join("BENCHMARKS.md"), "no markers\n").unwrap();
        let error = format!("{:#}", publish(&fixture::small(), root.path()).unwrap_err());
        assert!(
            error.contains("BENCHMARKS.md: no line `<!-- bench:machine -->`"),
            "{error}"
        );
        assert!(!root.path().join("benches/peers/results.json").exists());
    }
}
