//! What a simulation found, on a terminal: the answers in sentences, then the tables behind them. Never wider than 100 columns.

use crate::output::{self, ERROR, HEADING, styled};
use comfy_table::{Cell, ContentArrangement};
use keyway::simulation::export::{self, Headline, Table};
use keyway::simulation::report::Report;
use std::fmt::Write;

const COLUMNS_MAX: u16 = 100;
/// A table's: who needs more asks for a page or for CSV.
const ROWS_MAX: usize = 24;

/// Everything that a person wants to know first.
pub(crate) fn tables(report: &Report) -> String {
    let mut text = head(report);
    let mut subject = String::new();
    for Headline {
        subject: about,
        text: sentence,
        ..
    } in export::headlines(report)
    {
        if about != subject {
            text.push_str(&heading(&about));
            subject = about;
        }
        text.push_str(&item(&sentence));
    }
    let tables = export::tables(report, ROWS_MAX);
    let mut has_more = false;
    for table in &tables {
        if is_shown(report, &tables, table) {
            text.push_str(&show(table));
        } else {
            has_more = true;
        }
        has_more |= table.rows_left_out > 0;
    }
    if !report.notes.is_empty() {
        text.push_str(&heading("Notes"));
        for note in &report.notes {
            text.push_str(&item(&output::shown(note.as_bytes())));
        }
    }
    if has_more {
        text.push_str(
            "\nServers of every scheme, and all rows: --html FILE, --csv DIR or --json.\n",
        );
    }
    text
}

fn head(report: &Report) -> String {
    let mut text = wrapped(&output::shown(report.title.as_bytes()));
    let facts = format!(
        "{} keys ({}), {}; {}, seed {}; ± is the 95 % confidence interval",
        output::count(report.keys.count),
        output::shown(report.keys.source.as_bytes()),
        output::bytes(report.keys.bytes),
        output::plural(report.repeats_done as usize, "repeat"),
        report.seed,
    );
    let facts = match report.repeats_done {
        ..2 => facts.replace("; ± is the 95 % confidence interval", ""),
        _ => facts,
    };
    text.push_str(&wrapped(&facts));
    if !report.is_complete {
        let stopped = format!(
            "stopped before its end: {} of {} repeats",
            report.repeats_done, report.repeats
        );
        let _ = writeln!(text, "{}", styled(ERROR, &stopped));
    }
    text
}

/// One scheme's servers, after each step, and its moves; where keys are hot, in the end.
fn is_shown(report: &Report, tables: &[Table], table: &Table) -> bool {
    let first = report.schemes.first();
    match table.name {
        "servers" => table.scheme.as_ref() == first.map(|scheme| &scheme.name),
        "moves" | "load" => tables
            .iter()
            .find(|one| (one.name, one.stage) == (table.name, table.stage))
            .is_some_and(|one| one.scheme == table.scheme),
        "hot keys" => first.is_some_and(|scheme| table.stage == scheme.stages.len().checked_sub(1)),
        _ => true,
    }
}

fn show(table: &Table) -> String {
    let headings: Vec<String> = table
        .columns
        .iter()
        .map(|c| c.heading.to_uppercase())
        .collect();
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let numbers: Vec<usize> = (0..table.columns.len())
        .filter(|&at| table.columns.get(at).is_some_and(|column| column.is_number))
        .collect();
    let mut grid = output::table(&headings, &numbers);
    for row in &table.rows {
        grid.add_row(row.iter().map(Cell::new));
    }
    let mut text = heading(&table.title);
    text.push_str(&within(grid));
    if table.rows_left_out > 0 {
        let rows = output::plural(table.rows_left_out, "more row");
        let _ = writeln!(text, "({rows})");
    }
    text
}

/// Behind an empty line.
fn heading(title: &str) -> String {
    let lines = wrapped(title);
    let styled = lines.lines().map(|line| styled(HEADING, line));
    styled.fold(String::from("\n"), |text, line| text + &line + "\n")
}

/// `- ` and a sentence.
fn item(text: &str) -> String {
    let mut list = output::list(vec![vec![Cell::new("-"), Cell::new(text)]]);
    if let Some(sign) = list.column_mut(0) {
        sign.set_padding((0, 1));
    }
    within(list)
}

/// A text in as many lines as it needs.
fn wrapped(text: &str) -> String {
    within(output::list(vec![vec![Cell::new(text)]]))
}

/// In a pipe too: a wrapped row is read, one of 140 columns is not.
fn within(mut table: comfy_table::Table) -> String {
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(COLUMNS_MAX);
    // What has held figures and units together has done its work.
    output::lines(&table).replace('\u{a0}', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Report {
        serde_json::from_str(json).unwrap()
    }

    fn full() -> Report {
        read(include_str!("../../../../tests/reports/full.json"))
    }

    /// As a terminal without colours shows it.
    fn plain(report: &Report) -> String {
        anstream::adapter::strip_str(&tables(report)).to_string()
    }

    /// Without the blanks at the ends of lines, which insta does not keep apart.
    #[test]
    fn everything_of_a_report_is_readable() {
        insta::assert_snapshot!(plain(&full()), @r#"
        5 servers, add f, kill c: 5 schemes, 1,000,000 keys
        1,000,000 keys (synthetic, Zipf 0.99, 200 B each), 190.7 MiB; 12 repeats, seed 42; ± is the 95 %
        confidence interval
        stopped before its end: 12 of 20 repeats

        start
        - The fullest server, relative to its share: 1.029 with ketama@64, 1.114 with ketama, 1.001 with
          modulo, 1.002 with jump and 1.002 with maglev.

        add f
        - With 64 nodes by ketama 15.6 % of the keys move (10 nodes, 29.8 MiB; the least for even servers
          is 16.7 %); with ketama 17.1 %, modulo 83.3 %, jump 16.7 % and maglev 20.8 %.
        - Keys move needlessly, between servers that the step does not touch, with modulo (66.7 % of all
          keys) and maglev (4.1 %).
        - The fullest server, relative to its share: 1.052 with ketama@64, 1.124 with ketama, 1.002 with
          modulo, 1.001 with jump and 1.007 with maglev.
        - With ketama@64 the moves take 8.4 s (10 nodes in 5 waves), and no node stands still for more
          than 7.0 ms. On the way memory does not suffice on f (67.9 MiB, and may hold 56.0 MiB).

        kill c
        - No key moves.
        - Keys are lost, or cannot be reached, with ketama@64 (17.1 % of all keys), ketama (17.6 %),
          modulo (16.6 %), jump (16.7 %) and maglev (16.7 %).
        - The fullest server, relative to its share: 1.044 with ketama@64, 1.092 with ketama, 1.001 with
          modulo, 1.003 with jump and 1.005 with maglev.

        cache misses after add f
        - With ketama@64 the hit rate falls from 95.0 % to 80.2 %, the database gets up to 9,922 reads/s,
          and it is over after 3 min 40 s.
        - With modulo the hit rate falls from 95.0 % to 15.8 %, the database gets up to 42,082 reads/s (it
          can take 12,000), and it is not over in the time looked at.
        - With jump the hit rate falls from 95.0 % to 79.2 %, the database gets up to 10,414 reads/s, and
          it is over after 3 min 50 s.
        - With maglev the hit rate falls from 95.0 % to 75.2 %, the database gets up to 12,385 reads/s (it
          can take 12,000), and it is over after 4 min.
        - With ketama the hit rate falls from 95.0 % to 78.7 %, the database gets up to 10,632 reads/s,
          and it is over after 3 min 50 s.

        capacity
        - The next split is due in month 5.6: the servers that there are hold 792,917 users at 78.1 KiB
          each.
        - Assumed: a user takes 80,000 B; a server holds 16 GiB, of which 4 GiB are headroom; 8 % more
          users a month.
        - In month 34.2 more servers than nodes would be needed (10,307,921 users fit): this number of
          nodes is at its end.

        How even keys are at the start
        SCHEME          MAX/MEAN  MIN/MEAN               SD
        ─────────────────────────────────────────────────────
        ketama@64  1.029 ± 0.006     0.935      3.3 ± 0.2 %
        ketama     1.114 ± 0.006     0.896      7.8 ± 0.4 %
        modulo     1.001 ± 0.006     0.998    0.11 ± 0.01 %
        jump       1.002 ± 0.006     0.999  0.099 ± 0.005 %
        maglev     1.002 ± 0.006     0.998    0.13 ± 0.01 %

        Servers at the start, 64 nodes by ketama
        SERVER  NODES          KEYS   SHARE   LOAD  REQUESTS    MEMORY     LIMIT    FULL
        ──────────────────────────────────────────────────────────────────────────────────
        a          13  20.2 ± 0.1 %  20.0 %  1.012    17.3 %  38.6 MiB  56.0 MiB  68.9 %
        b          13  20.2 ± 0.1 %  20.0 %  1.011    21.9 %  38.6 MiB  56.0 MiB  68.9 %
        c          13  20.3 ± 0.1 %  20.0 %  1.013    20.4 %  38.6 MiB  56.0 MiB  69.0 %
        d          13  20.6 ± 0.1 %  20.0 %  1.029    20.8 %  39.3 MiB  56.0 MiB  70.1 %
        e          12  18.7 ± 0.1 %  20.0 %  0.935    19.7 %  35.6 MiB  56.0 MiB  63.7 %

        How even keys are after add f, and what moved
        SCHEME          MAX/MEAN  MIN/MEAN               SD         MOVED   LEAST  NEEDLESS
        ─────────────────────────────────────────────────────────────────────────────────────
        ketama@64  1.052 ± 0.006     0.946      3.9 ± 0.2 %  15.6 ± 0.1 %  16.7 %         0
        ketama     1.124 ± 0.006     0.864      7.8 ± 0.4 %  17.1 ± 0.1 %  16.7 %         0
        modulo     1.002 ± 0.006     0.998    0.12 ± 0.01 %  83.3 ± 0.4 %  16.7 %    66.7 %
        jump       1.001 ± 0.006     0.999  0.067 ± 0.003 %  16.7 ± 0.1 %  16.7 %         0
        maglev     1.007 ± 0.006     0.993    0.43 ± 0.02 %  20.8 ± 0.1 %  16.7 %     4.1 %

        What add f moves, and why, as a part of all keys
        SCHEME     NODES      BYTES  TO ADDED  NEEDLESS
        ─────────────────────────────────────────────────
        ketama@64     10   29.8 MiB    15.6 %       0 %
        ketama         -   32.7 MiB    17.1 %       0 %
        modulo         -  158.9 MiB    16.7 %    66.7 %
        jump           -   31.8 MiB    16.7 %       0 %
        maglev         -   39.7 MiB    16.7 %     4.1 %

        Servers after add f, 64 nodes by ketama
        SERVER  NODES          KEYS   SHARE   LOAD  REQUESTS    MEMORY     LIMIT    FULL
        ──────────────────────────────────────────────────────────────────────────────────
        a          11  16.9 ± 0.1 %  16.7 %  1.013    16.6 %  32.2 MiB  56.0 MiB  57.5 %
        b          11  17.2 ± 0.1 %  16.7 %  1.034    18.6 %  32.9 MiB  56.0 MiB  58.7 %
        c          11  17.5 ± 0.1 %  16.7 %  1.052    17.6 %  33.5 MiB  56.0 MiB  59.7 %
        d          11  16.7 ± 0.1 %  16.7 %  1.003    15.8 %  31.9 MiB  56.0 MiB  57.0 %
        e          10  15.8 ± 0.1 %  16.7 %  0.946    14.4 %  30.1 MiB  56.0 MiB  53.7 %
        f          10  15.9 ± 0.1 %  16.7 %  0.952    17.0 %  30.3 MiB  56.0 MiB  54.0 %

        Moves of add f by ketama@64: 8.4 s in all, 29 ms frozen
        WAVE  MOVE    HOW      NODES    KEYS    BYTES  BEGINS    COPY  FREEZE   PURGE
        ───────────────────────────────────────────────────────────────────────────────
           1  a to f  split        2  31,250  6.0 MiB     0 s  680 ms  3.8 ms  422 ms
           2  b to f  migrate      2  31,250  6.0 MiB   1.1 s   1.4 s  6.9 ms  422 ms
           3  c to f  migrate      2  31,250  6.0 MiB   2.9 s   1.4 s  4.5 ms  422 ms
           4  d to f  migrate      2  31,250  6.0 MiB   4.7 s   1.4 s  7.0 ms  422 ms
           5  e to f  migrate      2  31,250  6.0 MiB   6.5 s   1.4 s  6.4 ms  422 ms

        What servers have to do meanwhile, as a part of what they can, ketama@64
        SERVER  REQUESTS   MOVES  MOST TOGETHER  MEMORY, AT MOST     LIMIT      FULL
        ──────────────────────────────────────────────────────────────────────────────
        a         38.0 %  22.0 %         60.0 %         38.1 MiB  56.0 MiB    68.1 %
        b         38.0 %  31.0 %         69.0 %         38.1 MiB  56.0 MiB    68.1 %
        c         38.0 %  31.0 %         69.0 %         38.1 MiB  56.0 MiB    68.1 %
        d         38.0 %  31.0 %         69.0 %         38.1 MiB  56.0 MiB    68.1 %
        e         38.0 %  31.0 %         69.0 %         38.1 MiB  56.0 MiB    68.1 %
        f            0 %  31.0 %         55.0 %         67.9 MiB  56.0 MiB  TOO MUCH

        How even keys are after kill c, and what moved
        SCHEME          MAX/MEAN  MIN/MEAN               SD  MOVED  LEAST  NEEDLESS
        ─────────────────────────────────────────────────────────────────────────────
        ketama@64  1.044 ± 0.006     0.934      4.3 ± 0.2 %    0 %    0 %         0
        ketama     1.092 ± 0.006     0.928      6.0 ± 0.3 %    0 %    0 %         0
        modulo     1.001 ± 0.006     0.999  0.078 ± 0.004 %    0 %    0 %         0
        jump       1.003 ± 0.006     0.997    0.19 ± 0.01 %    0 %    0 %         0
        maglev     1.005 ± 0.006     0.987    0.60 ± 0.03 %    0 %    0 %         0

        What kill c moves, and why, as a part of all keys
        SCHEME     NODES  BYTES    LOST
        ─────────────────────────────────
        ketama@64      0    0 B  17.1 %
        ketama         -    0 B  17.6 %
        modulo         -    0 B  16.6 %
        jump           -    0 B  16.7 %
        maglev         -    0 B  16.7 %

        Servers after kill c, 64 nodes by ketama
        SERVER    NODES          KEYS   SHARE   LOAD  REQUESTS    MEMORY     LIMIT    FULL
        ────────────────────────────────────────────────────────────────────────────────────
        a            11  17.0 ± 0.1 %  16.7 %  1.019    17.8 %  32.4 MiB  56.0 MiB  57.9 %
        b            11  17.4 ± 0.1 %  16.7 %  1.044    17.2 %  33.2 MiB  56.0 MiB  59.3 %
        c (down)     11  17.1 ± 0.1 %  16.7 %  1.026    16.3 %  32.6 MiB  56.0 MiB  58.3 %
        d            11  17.1 ± 0.1 %  16.7 %  1.029    17.4 %  32.7 MiB  56.0 MiB  58.4 %
        e            10  15.6 ± 0.1 %  16.7 %  0.934    15.2 %  29.7 MiB  56.0 MiB  53.0 %
        f            10  15.8 ± 0.1 %  16.7 %  0.947    16.1 %  30.1 MiB  56.0 MiB  53.8 %

        The keys with the most requests, after kill c, 64 nodes by ketama
        KEY             REQUESTS  SERVER
        ──────────────────────────────────
        user:1:home        6.2 %  c
        user:7:home        3.1 %  d
        user:3:home        2.1 %  f
        user:42:home       1.6 %  c
        user:99:home       1.3 %  b
        user:12:home       1.1 %  c
        user:5:home       0.90 %  c
        user:1001:home    0.79 %  b
        user:77:home      0.70 %  f
        user:8:home       0.63 %  c

        Cache misses after add f: 50,000 requests/s, hit rate 95.0 % before
        SCHEME     HIT RATE, LEAST  DATABASE, MOST  OF ITS LIMIT  EXTRA READS        BACK AFTER
        ─────────────────────────────────────────────────────────────────────────────────────────
        ketama@64           80.2 %         9,922/s        82.7 %      631,324        3 min 40 s
        modulo              15.8 %        42,082/s       350.7 %    3,366,927  not in that time
        jump                79.2 %        10,414/s        86.8 %      673,143        3 min 50 s
        maglev              75.2 %        12,385/s       103.2 %      840,823             4 min
        ketama              78.7 %        10,632/s        88.6 %      691,729        3 min 50 s

        Users, and the servers that they need
        MONTH      USERS      BYTES  SERVERS  DUE
        ─────────────────────────────────────────────
            0    500,000   37.3 GiB        5
            6    793,437   59.1 GiB        6  split
            9    999,502   74.5 GiB        7  split
           10  1,079,462   80.4 GiB        8  split
           13  1,359,811  101.3 GiB       10  split
           15  1,586,084  118.2 GiB       11  split
           17  1,850,009  137.8 GiB       13  split
           19  2,157,850  160.8 GiB       16  split
           22  2,718,270  202.5 GiB       22  split
           26  3,698,176  275.5 GiB       32  split
           31  5,433,834  404.9 GiB       64  split
           36  7,984,085  594.9 GiB       64
        (25 more rows)

        How even servers are, by the number of nodes
        ALGORITHM   SERVERS  NODES       MAX/MEAN               SD
        ────────────────────────────────────────────────────────────
        ketama            6      8  1.587 ± 0.007     25.9 ± 1.5 %
        ketama            6     16  1.186 ± 0.006      7.9 ± 0.4 %
        ketama            6     32  1.168 ± 0.005      7.1 ± 0.4 %
        ketama            6     64  1.062 ± 0.005      2.9 ± 0.2 %
        ketama            6    128  1.053 ± 0.005      2.3 ± 0.1 %
        ketama            6    256  1.023 ± 0.005      1.3 ± 0.1 %
        ketama            6    512  1.019 ± 0.005    0.94 ± 0.05 %
        ketama            6  1,024  1.010 ± 0.005    0.61 ± 0.03 %
        jump              6      8  1.502 ± 0.007     25.0 ± 1.4 %
        jump              6     16  1.127 ± 0.005      6.3 ± 0.4 %
        jump              6     32  1.126 ± 0.005      6.3 ± 0.4 %
        jump              6     64  1.032 ± 0.005      1.6 ± 0.1 %
        jump              6    128  1.032 ± 0.005      1.6 ± 0.1 %
        jump              6    256  1.008 ± 0.005    0.39 ± 0.02 %
        jump              6    512  1.008 ± 0.005    0.39 ± 0.02 %
        jump              6  1,024  1.002 ± 0.005  0.099 ± 0.006 %
        rendezvous        6      8  1.502 ± 0.007     25.0 ± 1.4 %
        rendezvous        6     16  1.127 ± 0.005      6.3 ± 0.4 %
        rendezvous        6     32  1.126 ± 0.005      6.3 ± 0.4 %
        rendezvous        6     64  1.032 ± 0.005      1.6 ± 0.1 %
        rendezvous        6    128  1.032 ± 0.005      1.6 ± 0.1 %
        rendezvous        6    256  1.008 ± 0.005    0.39 ± 0.02 %
        rendezvous        6    512  1.008 ± 0.005    0.39 ± 0.02 %
        rendezvous        6  1,024  1.002 ± 0.005  0.099 ± 0.006 %

        What placing costs, measured on this machine
        SCHEME      BUILD  ONE LOOKUP     TABLES
        ──────────────────────────────────────────
        ketama@64  1.2 ms     28.4 ns  240.2 KiB
        ketama     118 us     21.9 ns   23.8 KiB
        modulo     0.4 us      9.8 ns        0 B
        jump       0.3 us     24.7 ns          ?
        maglev     1.8 ms     11.2 ns  128.0 KiB

        Notes
        - Stopped after 12 of 20 repeats: the intervals are wider than asked for.
        - Bytes are what values take; Redis needs some 50 to 90 B more for each key.
        - modulo and maglev place keys on servers: nothing moves by plan, keys are missed until they are
          written again.

        Servers of every scheme, and all rows: --html FILE, --csv DIR or --json.
        "#);
    }

    #[test]
    fn the_smallest_report_is_a_few_lines() {
        let small = read(include_str!("../../../../tests/reports/small.json"));
        insta::assert_snapshot!(plain(&small), @r#"
        1 server, no step
        1 keys (from a file), 0 B; 1 repeat, seed 0

        start
        - The fullest server, relative to its share: 1.000 with modulo.

        How even keys are at the start
        SCHEME  MAX/MEAN  MIN/MEAN   SD
        ─────────────────────────────────
        modulo     1.000     1.000  0 %

        Servers at the start, crc32 modulo servers
        SERVER     KEYS    SHARE   LOAD  REQUESTS  MEMORY
        ───────────────────────────────────────────────────
        a       100.0 %  100.0 %  1.000   100.0 %     0 B
        "#);
    }

    #[test]
    fn nothing_is_wider_than_100_columns_whatever_the_names() {
        let mut report = full();
        for (number, scheme) in report.schemes.iter_mut().enumerate() {
            scheme.name = format!("{}-{}", "鍵".repeat(40 * number), scheme.name);
            scheme.title = "word ".repeat(60);
            for stage in &mut scheme.stages {
                stage.step = "x".repeat(300);
                for share in &mut stage.servers {
                    share.server = format!("{}\u{1b}[2J{}", share.server, "y".repeat(200));
                    share.bytes.mean *= 1e9;
                }
                for hot in &mut stage.hot_keys {
                    hot.key = "z".repeat(500);
                }
            }
        }
        report.notes.push("n".repeat(1_000));
        let text = plain(&report);
        for line in text.lines() {
            let columns = line.chars().count() + line.matches('鍵').count();
            assert!(columns <= usize::from(COLUMNS_MAX), "{columns}: {line}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn of_many_servers_and_schemes_a_terminal_shows_what_matters() {
        let mut report = full();
        let few = report.schemes.clone();
        report.schemes = few.iter().cycle().take(10).cloned().collect();
        for (number, scheme) in report.schemes.iter_mut().enumerate() {
            scheme.name = format!("scheme-{number}");
            for stage in &mut scheme.stages {
                let few = stage.servers.clone();
                stage.servers = few.iter().cycle().take(50).cloned().collect();
            }
        }
        let text = plain(&report);
        assert!(text.lines().count() < 320, "{}", text.lines().count());
        assert!(text.contains("(26 more rows)"));
        assert!(text.contains("scheme-9"));
    }
}
