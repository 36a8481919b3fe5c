//! What holds for all ways out.

use super::fixture::{HOSTILE, full, hostile, large, small};
use super::{csv, headlines, page, plots, tables};

#[test]
fn dump() {
    let Ok(dir) = std::env::var("DUMP") else {
        return;
    };
    let dir = std::path::Path::new(&dir);
    for (name, report) in [
        ("full", full()),
        ("small", small()),
        ("large", large()),
        ("hostile", hostile()),
    ] {
        std::fs::write(dir.join(format!("{name}.html")), page(&report)).unwrap();
        std::fs::write(
            dir.join(format!("{name}.json")),
            serde_json::to_string_pretty(&report).unwrap(),
        )
        .unwrap();
        for plot in plots(&report) {
            std::fs::write(dir.join(format!("{name}-{}.svg", plot.name)), plot.svg()).unwrap();
        }
        for file in csv(&report) {
            std::fs::write(dir.join(format!("{name}-{}", file.name)), file.text).unwrap();
        }
        for line in headlines(&report) {
            println!("{}: {}", line.subject, line.text);
        }
        let _ = tables(&report, 16);
    }
    let _ = HOSTILE;
}
