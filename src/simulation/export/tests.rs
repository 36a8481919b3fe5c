//! What holds for all ways out.

use super::fixture::{HOSTILE, full, hostile, large, small};
use super::words::columns;
use super::{csv, headlines, page, plots, tables};
use crate::simulation::report::Report;
use std::collections::BTreeSet;

fn all() -> [(&'static str, Report); 4] {
    [
        ("full", full()),
        ("small", small()),
        ("large", large()),
        ("hostile", hostile()),
    ]
}

#[test]
fn the_answers_are_sentences() {
    let text = |report: &Report| {
        let lines = headlines(report)
            .into_iter()
            .map(|one| format!("{}: {}\n", one.subject, one.text.replace('\u{a0}', " ")));
        lines.collect::<String>()
    };
    insta::assert_snapshot!(text(&full()), @r#"
    start: The fullest server, relative to its share: 1.029 with ketama@64, 1.114 with ketama, 1.001 with modulo, 1.002 with jump and 1.002 with maglev.
    add f: With 64 nodes by ketama 15.6 % of the keys move (10 nodes, 29.8 MiB; the least for even servers is 16.7 %); with ketama 17.1 %, modulo 83.3 %, jump 16.7 % and maglev 20.8 %.
    add f: Keys move needlessly, between servers that the step does not touch, with modulo (66.7 % of all keys) and maglev (4.1 %).
    add f: The fullest server, relative to its share: 1.052 with ketama@64, 1.124 with ketama, 1.002 with modulo, 1.001 with jump and 1.007 with maglev.
    add f: With ketama@64 the moves take 8.4 s (10 nodes in 5 waves), and no node stands still for more than 7.0 ms. On the way memory does not suffice on f (67.9 MiB, and may hold 56.0 MiB).
    kill c: No key moves.
    kill c: Keys are lost, or cannot be reached, with ketama@64 (17.1 % of all keys), ketama (17.6 %), modulo (16.6 %), jump (16.7 %) and maglev (16.7 %).
    kill c: The fullest server, relative to its share: 1.044 with ketama@64, 1.092 with ketama, 1.001 with modulo, 1.003 with jump and 1.005 with maglev.
    cache misses after add f: With ketama@64 the hit rate falls from 95.0 % to 80.2 %, the database gets up to 9,922 reads/s, and it is over after 3 min 40 s.
    cache misses after add f: With modulo the hit rate falls from 95.0 % to 15.8 %, the database gets up to 42,082 reads/s (it can take 12,000), and it is not over in the time looked at.
    cache misses after add f: With jump the hit rate falls from 95.0 % to 79.2 %, the database gets up to 10,414 reads/s, and it is over after 3 min 50 s.
    cache misses after add f: With maglev the hit rate falls from 95.0 % to 75.2 %, the database gets up to 12,385 reads/s (it can take 12,000), and it is over after 4 min.
    cache misses after add f: With ketama the hit rate falls from 95.0 % to 78.7 %, the database gets up to 10,632 reads/s, and it is over after 3 min 50 s.
    capacity: The next split is due in month 5.6: the servers that there are hold 792,917 users at 78.1 KiB each.
    capacity: Assumed: a user takes 80,000 B; a server holds 16 GiB, of which 4 GiB are headroom; 8 % more users a month.
    capacity: In month 34.2 more servers than nodes would be needed (10,307,921 users fit): this number of nodes is at its end.
    "#);
    insta::assert_snapshot!(text(&small()), @"start: The fullest server, relative to its share: 1.000 with modulo.");
}

#[test]
fn every_table_is_regular_and_none_is_wider_than_a_terminal() {
    for (name, report) in all() {
        for rows_max in [1, 2, 7, 1_000] {
            for table in tables(&report, rows_max) {
                let widths = (0..table.columns.len()).map(|at| {
                    let cells = table.rows.iter().map(|row| columns(&row[at]));
                    cells
                        .max()
                        .unwrap_or(0)
                        .max(columns(table.columns[at].heading))
                        + 2
                });
                let width: usize = widths.sum();
                assert!(width <= 102, "{name}: {} is {width} wide", table.name);
                assert!(table.rows.len() <= rows_max && !table.columns.is_empty());
                for row in &table.rows {
                    assert_eq!(row.len(), table.columns.len(), "{name}: {}", table.name);
                    assert!(
                        row.iter()
                            .all(|cell| !cell.contains("NaN") && !cell.contains("inf"))
                    );
                }
            }
        }
    }
}

#[test]
fn of_many_servers_the_fullest_and_the_emptiest_are_kept() {
    let all = tables(&large(), 6);
    let servers = all.iter().find(|table| table.name == "servers").unwrap();
    assert_eq!(servers.rows_left_out, 44);
    let load = servers
        .columns
        .iter()
        .position(|column| column.heading == "load")
        .unwrap();
    let mut loads: Vec<&str> = servers.rows.iter().map(|row| row[load].as_str()).collect();
    loads.sort_unstable();
    assert_eq!(
        loads,
        ["0.700", "0.712", "0.725", "1.288", "1.300", "1.312"]
    );
}

/// A reader of RFC 4180, to see what others see.
fn read(text: &str) -> Vec<Vec<String>> {
    let mut rows = vec![vec![String::new()]];
    let mut is_quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let row = rows.last_mut().unwrap();
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => {
                letters.next();
                row.last_mut().unwrap().push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(String::new()),
            '\r' if !is_quoted && letters.peek() == Some(&'\n') => {
                letters.next();
                rows.push(vec![String::new()]);
            }
            other => row.last_mut().unwrap().push(other),
        }
    }
    assert_eq!(
        rows.pop(),
        Some(vec![String::new()]),
        "it ends with a line end"
    );
    rows
}

#[test]
fn every_csv_file_has_its_headers_and_rows_of_as_many_cells() {
    for (name, report) in all() {
        for file in csv(&report) {
            let rows = read(&file.text);
            for row in &rows {
                assert_eq!(row.len(), rows[0].len(), "{name}: {}: {row:?}", file.name);
            }
            assert!(
                rows.len() > 1 || name == "small",
                "{name}: {} is empty",
                file.name
            );
        }
    }
    let headers: Vec<String> = csv(&small())
        .iter()
        .map(|file| format!("{} {}", file.name, file.text.lines().next().unwrap()))
        .collect();
    insta::assert_snapshot!(headers.join("\n"), @r#"
    balance.csv scheme,stage,step,of,max_over_mean_mean,max_over_mean_sd,max_over_mean_low,max_over_mean_high,min_over_mean_mean,min_over_mean_sd,min_over_mean_low,min_over_mean_high,relative_sd_mean,relative_sd_sd,relative_sd_low,relative_sd_high,load_low_99,load_high_99
    shares.csv scheme,stage,step,server,is_up,target_fraction,nodes,keys_fraction_mean,keys_fraction_sd,keys_fraction_low,keys_fraction_high,bytes_mean,bytes_sd,bytes_low,bytes_high,requests_fraction_mean,requests_fraction_sd,requests_fraction_low,requests_fraction_high,memory_bytes_max
    movement.csv scheme,stage,step,moved_fraction_mean,moved_fraction_sd,moved_fraction_low,moved_fraction_high,minimum_fraction,moved_bytes_mean,moved_bytes_sd,moved_bytes_low,moved_bytes_high,to_added_fraction_mean,to_added_fraction_sd,to_added_fraction_low,to_added_fraction_high,from_gone_fraction_mean,from_gone_fraction_sd,from_gone_fraction_low,from_gone_fraction_high,reweighted_fraction_mean,reweighted_fraction_sd,reweighted_fraction_low,reweighted_fraction_high,replaced_fraction_mean,replaced_fraction_sd,replaced_fraction_low,replaced_fraction_high,evened_fraction_mean,evened_fraction_sd,evened_fraction_low,evened_fraction_high,violations_keys,violating_fraction_mean,violating_fraction_sd,violating_fraction_low,violating_fraction_high,nodes_moved,unreachable_fraction_mean,unreachable_fraction_sd,unreachable_fraction_low,unreachable_fraction_high
    hot_keys.csv scheme,stage,step,key,requests_fraction,server
    moves.csv scheme,step,wave,from,to,kind,nodes,keys,bytes,start_s,copy_s,freeze_ms,purge_s,why
    load.csv scheme,step,server,at_s,requests_fraction,moves_fraction,memory_bytes,memory_bytes_peak,memory_bytes_max
    storm.csv scheme,step,at_s,hit_rate,database_reads_per_s
    capacity.csv month,users,bytes,servers,is_split
    sensitivity.csv algorithm,nodes,servers,max_over_mean_mean,max_over_mean_sd,max_over_mean_low,max_over_mean_high,relative_sd_mean,relative_sd_sd,relative_sd_low,relative_sd_high
    costs.csv scheme,build_us,lookup_ns,table_bytes
    "#);
}

#[test]
fn a_csv_file_has_every_text_as_it_is_and_every_figure_unrounded() {
    let report = hostile();
    let file = |name: &str| {
        let file = csv(&report)
            .into_iter()
            .find(|file| file.name == name)
            .unwrap();
        read(&file.text)
    };
    let hot = file("hot_keys.csv");
    let key = hot[0].iter().position(|header| header == "key").unwrap();
    assert!(hot[1..].iter().all(|row| row[key] == HOSTILE));
    let shares = file("shares.csv");
    let mean = shares[0]
        .iter()
        .position(|header| header == "keys_fraction_mean")
        .unwrap();
    let read: Vec<f64> = shares[1..]
        .iter()
        .map(|row| row[mean].parse().unwrap())
        .collect();
    let servers = report
        .schemes
        .iter()
        .flat_map(|s| &s.stages)
        .flat_map(|s| &s.servers);
    assert_eq!(
        read,
        servers.map(|share| share.keys.mean).collect::<Vec<_>>()
    );
}

#[test]
fn every_plot_is_well_formed_xml_with_a_title_and_a_name_of_its_own() {
    for (name, report) in all() {
        let mut names = BTreeSet::new();
        for plot in plots(&report) {
            let svg = plot.svg();
            let document = roxmltree::Document::parse(&svg)
                .unwrap_or_else(|error| panic!("{name}: {}: {error}", plot.name));
            let root = document.root_element();
            assert_eq!(
                root.tag_name().namespace(),
                Some("http://www.w3.org/2000/svg")
            );
            let child = |tag| {
                root.children()
                    .find(|one| one.has_tag_name(("http://www.w3.org/2000/svg", tag)))
            };
            assert!(child("title").is_some() && child("desc").is_some());
            assert!(
                !document
                    .descendants()
                    .any(|one| one.has_tag_name(("http://www.w3.org/2000/svg", "script")))
            );
            assert!(
                !svg.contains("NaN") && !svg.contains("inf"),
                "{name}: {}",
                plot.name
            );
            assert!(
                plot.name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '-')
            );
            assert!(
                names.insert(plot.name.clone()),
                "{name}: {} twice",
                plot.name
            );
        }
    }
    let names: Vec<String> = plots(&full()).into_iter().map(|plot| plot.name).collect();
    assert_eq!(
        names,
        [
            "balance-0",
            "balance-1",
            "movement-1",
            "course-1-1",
            "balance-2",
            "storm",
            "sensitivity",
            "capacity"
        ]
    );
    assert_eq!(plots(&small()).len(), 1);
}

#[test]
fn figures_that_are_none_break_nothing() {
    let mut report = full();
    let nothing = f64::NAN;
    for share in report
        .schemes
        .iter_mut()
        .flat_map(|s| &mut s.stages)
        .flat_map(|s| &mut s.servers)
    {
        share.keys.mean = nothing;
        share.target = 0.0;
    }
    for course in &mut report.courses {
        course.total_s = f64::INFINITY;
        course.moves[0].copy_s = nothing;
        course.servers[0].points[0].requests = nothing;
    }
    if let Some(storm) = &mut report.storm {
        storm.schemes[0].points[0].hit_rate = nothing;
        storm.schemes[1].points.clear();
    }
    for plot in plots(&report) {
        assert!(
            !plot.svg().contains("NaN") && !plot.svg().contains("inf"),
            "{}",
            plot.name
        );
    }
    assert!(!page(&report).contains("NaN"));
    assert!(csv(&report).iter().all(|file| !file.text.contains("NaN")));
    let _ = headlines(&report);
}

#[test]
fn a_page_has_nothing_from_outside_but_as_text() {
    let text = page(&hostile());
    // The one that saves, and the data.
    assert_eq!(text.matches("<script").count(), 2);
    assert_eq!(text.matches("</script").count(), 2);
    assert_eq!(text.matches("<img").count(), 0);
    let full = page(&full()).replace("http://www.w3.org/2000/svg", "");
    for address in ["http:", "https:", "src=", "url(", "@import"] {
        assert!(!full.contains(address), "{address}");
    }
    for character in ['\u{1b}', '\u{0}', '\u{202e}'] {
        assert!(!text.contains(character), "{character:?}");
    }
}

/// Paper is white, whatever the screen is.
#[test]
fn dark_colours_are_for_screens_only() {
    let mut pages = vec![page(&full())];
    pages.extend(plots(&full()).iter().map(super::plot::Plot::svg));
    for text in pages {
        let dark = text.matches("prefers-color-scheme").count();
        assert!(dark > 0);
        let on_screen = text.matches("@media screen and (prefers-color-scheme:dark)");
        assert_eq!(on_screen.count(), dark);
    }
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    let report = full();
    assert_eq!(page(&report), page(&report.clone()));
    // A digest that is the same on every machine: change it with what is drawn.
    let svgs: String = plots(&report).iter().map(|plot| plot.svg()).collect();
    assert_eq!(crc32fast::hash(svgs.as_bytes()), 3_035_308_672);
}

#[test]
fn of_steps_that_read_the_same_each_has_its_own_course() {
    let mut report = full();
    for scheme in &mut report.schemes {
        scheme.stages[2].step = "add f".to_owned();
    }
    let mut second = report.courses[0].clone();
    second.total_s = 77.0;
    report.courses.push(second);
    let moves: Vec<_> = tables(&report, 9)
        .into_iter()
        .filter(|table| table.name == "moves")
        .map(|table| (table.stage, table.title.contains("77 s")))
        .collect();
    assert_eq!(moves, [(Some(1), false), (Some(2), true)]);
}

#[test]
fn thousands_of_servers_make_a_plot_of_a_bounded_size() {
    let mut report = large();
    for stage in report.schemes.iter_mut().flat_map(|s| &mut s.stages) {
        stage.servers = stage.servers.iter().cycle().take(4_096).cloned().collect();
    }
    let plots = plots(&report);
    let plot = plots.iter().find(|plot| plot.name == "balance-0").unwrap();
    assert_eq!(plot.svg().matches("<rect class=\"f0\"").count(), 10 * 100);
    assert!(plot.svg().contains("4096 servers, least first"));
}

#[test]
fn a_storm_is_drawn_until_it_is_over_and_a_while_longer() {
    let points = |report: &Report| {
        let plots = plots(report);
        let plot = plots.iter().find(|plot| plot.name == "storm").unwrap();
        let svg = plot.svg();
        let line = svg
            .split("<polyline class=\"line l0 d0\" points=\"")
            .nth(2)
            .unwrap();
        line.split('"').next().unwrap().split(' ').count()
    };
    let mut report = full();
    assert_eq!(points(&report), 61, "modulo is not over in ten minutes");
    for scheme in &mut report.storm.as_mut().unwrap().schemes {
        scheme.recovered_s = Some(100.0);
    }
    assert_eq!(points(&report), 21);
}
