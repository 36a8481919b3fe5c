//! A plan for people.

use super::{Outcome, Times};
use crate::output::{self, GOOD, styled};
use comfy_table::Cell;
use keyway::config::node_ranges;
use keyway::plan::{Balance, Loads, Move, MoveKind, Origin, Plan, ServerChange};
use std::fmt::Write;

/// Text is broken to fit this; tables fit it with names of usual length.
const COLUMNS: usize = 100;
/// Longest list of nodes in a table.
const NODES_COLUMNS: usize = 26;

pub(super) fn page(outcome: &Outcome) -> String {
    let plan = &outcome.plan;
    let mut text = format!(
        "{}, {}: {}\n\n",
        outcome.cluster,
        outcome.placement,
        plan.goal()
    );
    if plan.is_empty() {
        let _ = writeln!(text, "{}\n", styled(GOOD, "Nothing has to move."));
    } else {
        text.push_str(&wrapped(&summary(outcome), 0));
        text.push('\n');
        text.push_str(&moves(plan, &outcome.times));
        text.push('\n');
        text.push_str(&reasons(plan.moves()));
        text.push('\n');
    }
    text.push_str(&servers(plan));
    text.push('\n');
    text.push_str(&wrapped(&evenness(plan), 0));
    if !plan.is_empty() {
        text.push_str(&file(outcome));
    }
    text
}

fn summary(outcome: &Outcome) -> String {
    let plan = &outcome.plan;
    let (moved, total) = (plan.size_moved(), plan.sizes().total);
    let mut text = format!(
        "{} of {} move ({})",
        plan.nodes_moved(),
        output::plural(plan.node_count(), "node"),
        percent(plan.nodes_moved() as u64, plan.node_count() as u64)
    );
    if total.bytes > 0 {
        let _ = write!(
            text,
            ", {} of {}",
            output::bytes(moved.bytes),
            output::bytes(total.bytes)
        );
    } else if total.keys > 0 {
        let _ = write!(
            text,
            ", {} of {} keys",
            output::count(moved.keys),
            output::count(total.keys)
        );
    }
    let _ = write!(
        text,
        ": {} in {}, at most {} per server at a time",
        output::plural(plan.moves().len(), "move"),
        output::plural(plan.waves().count(), "wave"),
        plan.limits().moves_per_server_max
    );
    if let Some(total_s) = outcome.total_s {
        let frozen_ms: f64 = outcome.times.iter().map(|times| times.freeze_ms).sum();
        let _ = write!(
            text,
            ". By the model of moves that takes {}, with freezes of {} in all",
            time(total_s),
            time(frozen_ms / 1e3)
        );
    }
    text.push('.');
    match &plan.sizes().origin {
        Origin::Assumed if total.bytes == 0 && total.keys == 0 => {
            text.push_str(" Nothing is known of sizes: --keys and --bytes, or --keys-file, give bytes and times.");
        }
        Origin::Assumed => text.push_str(" Sizes are assumed: every node has the same."),
        Origin::Keys { keys } => {
            let _ = write!(text, " Sizes are those of {} keys.", output::count(*keys));
        }
        Origin::Sampled { keys, of } => {
            let _ = write!(
                text,
                " Sizes are estimated from {} of {} keys: give or take {:.1} % for a typical node.",
                output::count(*keys),
                output::count(*of),
                plan.sizes().relative_error * 100.0
            );
        }
        _ => {}
    }
    text.push('\n');
    text
}

fn moves(plan: &Plan, times: &[Times]) -> String {
    let total = plan.sizes().total;
    let mut headers = vec!["WAVE", "FROM", "TO", "HOW", "NODES", "COUNT"];
    if total.keys > 0 && total.bytes == 0 {
        headers.push("KEYS");
    }
    if total.bytes > 0 {
        headers.push("BYTES");
    }
    if !times.is_empty() {
        headers.extend(["TIME", "FREEZE"]);
    }
    let right: Vec<usize> = std::iter::once(0).chain(5..headers.len()).collect();
    let mut table = output::table(&headers, &right);
    let mut wave = None;
    for (at, one) in plan.moves().iter().enumerate() {
        // A wave's number stands at its first move.
        let number = match wave.replace(one.wave) {
            Some(last) if last == one.wave => String::new(),
            _ => (one.wave + 1).to_string(),
        };
        let how = match one.kind {
            MoveKind::Split => "split",
            MoveKind::Migrate => "migrate",
            _ => "?",
        };
        let mut row = vec![
            number,
            one.from.to_string(),
            one.to.to_string(),
            how.to_owned(),
            abbreviated(&node_ranges(&one.nodes)),
            output::count(one.nodes.len() as u64),
        ];
        if total.keys > 0 && total.bytes == 0 {
            row.push(output::count(one.keys));
        }
        if total.bytes > 0 {
            row.push(output::bytes(one.bytes));
        }
        if let Some(times) = times.get(at) {
            row.extend([time(times.total_s), time(times.freeze_ms / 1e3)]);
        }
        table.add_row(row);
    }
    output::lines(&table)
}

/// Why, once for each pair of servers.
fn reasons(moves: &[Move]) -> String {
    let mut said: Vec<&Move> = Vec::new();
    let mut rows = Vec::new();
    for one in moves {
        if said.iter().any(|other| other.why == one.why) {
            continue;
        }
        said.push(one);
        rows.push((format!("{} -> {}", one.from, one.to), one.why.as_str()));
    }
    let indent = rows.iter().map(|(pair, _)| pair.chars().count()).max();
    let width = COLUMNS.saturating_sub(indent.unwrap_or(0) + 2).max(40);
    let rows = rows
        .into_iter()
        .map(|(pair, why)| vec![Cell::new(pair), Cell::new(broken(why, width).join("\n"))])
        .collect();
    output::lines(&output::list(rows))
}

fn servers(plan: &Plan) -> String {
    let has_bytes = plan.sizes().total.bytes > 0;
    let is_limited = plan
        .servers()
        .iter()
        .any(|one| one.memory_bytes_max.is_some());
    let mut headers = vec!["SERVER", "WEIGHT", "NODES", "AFTER"];
    if has_bytes {
        headers.extend(["BYTES", "AFTER", "AT MOST"]);
    }
    if is_limited {
        headers.push("LIMIT");
    }
    headers.push("");
    let mut table = output::table(&headers, &(1..headers.len() - 1).collect::<Vec<_>>());
    for one in plan.servers() {
        let mut row = vec![
            one.name.to_string(),
            one.weight.to_string(),
            output::count(one.before.nodes as u64),
            output::count(one.after.nodes as u64),
        ];
        if has_bytes {
            row.extend([one.before.bytes, one.after.bytes, one.peak_bytes].map(output::bytes));
        }
        if is_limited {
            row.push(
                one.memory_bytes_max
                    .map_or("none".to_owned(), output::bytes),
            );
        }
        row.push(remark(one).to_owned());
        table.add_row(row);
    }
    output::lines(&table)
}

fn remark(one: &ServerChange) -> &'static str {
    match (one.is_old, one.before.nodes, one.after.nodes) {
        (false, _, _) => "new",
        (true, 1.., 0) => "emptied",
        _ => "",
    }
}

fn evenness(plan: &Plan) -> String {
    let Some(reached) = plan.reached() else {
        return String::new();
    };
    let range = |loads: Loads| format!("{:.2} to {:.2}", loads.lowest, loads.highest);
    let mut text = format!(
        "Servers have {} times their share of nodes",
        range(reached.nodes_after)
    );
    if !plan.is_empty() {
        let _ = write!(text, " (before: {})", range(reached.nodes_before));
    }
    if let (Some(before), Some(after)) = (reached.bytes_before, reached.bytes_after) {
        let _ = write!(text, ", {} times their share of bytes", range(after));
        if !plan.is_empty() {
            let _ = write!(text, " (before: {})", range(before));
        }
    }
    text.push('.');
    if let (Some(false), Balance::Bytes { tolerance }) =
        (reached.is_within_tolerance, plan.limits().balance)
    {
        let _ = write!(
            text,
            " Not all are within {} % of their share of bytes: no way to get nearer was found with whole nodes.",
            tolerance * 100.0
        );
    }
    text.push('\n');
    text
}

/// What becomes of the cluster file.
fn file(outcome: &Outcome) -> String {
    let mut text = "\nAfter the last move, the cluster file says:\n".to_owned();
    for one in outcome.plan.servers().iter().filter(|one| one.stays) {
        let nodes = outcome.nodes.get(&one.name).map_or("", String::as_str);
        let _ = write!(text, "\n[servers.{}]", table_key(&one.name));
        let _ = match nodes {
            "" => write!(text, "\nnodes = []"),
            _ => write!(text, "\nnodes = \"{nodes}\""),
        };
        text.push_str(match remark(one) {
            "new" => "   # and its url",
            "emptied" => "   # or leave the server out",
            _ => "",
        });
        text.push('\n');
    }
    text
}

/// A dot in a bare key of TOML would make two of it.
fn table_key(name: &str) -> String {
    match name.contains('.') {
        true => format!("\"{name}\""),
        false => name.to_owned(),
    }
}

/// `0-3,7,9 ...`: all of it is in the JSON, and in the lines for the file.
fn abbreviated(nodes: &str) -> String {
    if nodes.len() <= NODES_COLUMNS {
        return nodes.to_owned();
    }
    let end = nodes[..NODES_COLUMNS - 4].rfind(',').unwrap_or(0);
    format!("{} ...", &nodes[..end])
}

fn time(seconds: f64) -> String {
    // Saturates: a pace may make years of it.
    match seconds as u64 {
        0..120 => output::microseconds((seconds * 1e6).round() as u64),
        seconds => output::age(seconds),
    }
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}

/// Lines that fit.
fn wrapped(text: &str, indent: usize) -> String {
    broken(text, COLUMNS - indent)
        .into_iter()
        .map(|line| format!("{}{line}\n", " ".repeat(indent)))
        .collect()
}

fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use anstream::adapter::strip_str;
    use keyway::Config;
    use keyway::plan::{Goal, Limits, NodeSize, Pace, ServerSpec, Sizes};

    const FILE: &str = r#"
        name = "feeds"
        [placement]
        algorithm = "ketama"
        nodes = 64
        [servers.a]
        url = "redis://10.0.0.1:6379"
        nodes = "0-31"
        [servers."b.eu"]
        url = "redis://10.0.0.2:6379"
        nodes = "32-63"
    "#;

    fn shown(goal: &Goal, servers: &[ServerSpec], sizes: &Sizes) -> String {
        let config = Config::parse(FILE, "cluster.toml".as_ref(), &|_| None).unwrap();
        let limits = Limits::default();
        let plan = Plan::for_goal(config.topology(), goal, servers, sizes, &limits).unwrap();
        let new = plan.apply(config.topology()).unwrap();
        let pace = (sizes.total().bytes > 0).then(Pace::default);
        let page = page(&Outcome::new(&config, plan, &new, pace.as_ref()));
        let page = strip_str(&page).to_string();
        for line in page.lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
        page
    }

    fn servers(names: &[&str]) -> Vec<ServerSpec> {
        names
            .iter()
            .map(|name| ServerSpec {
                memory_bytes_max: Some(12 << 30),
                ..ServerSpec::new(*name)
            })
            .collect()
    }

    #[test]
    fn a_plan_with_sizes_has_times_and_limits() {
        let sizes = Sizes::even(64, 4_000_000, 16 << 30);
        let page = shown(
            &Goal::Add(vec!["c".into()]),
            &servers(&["a", "b.eu", "c"]),
            &sizes,
        );
        insta::assert_snapshot!(page, @r#"
    feeds, ketama over 64 nodes: add c

    21 of 64 nodes move (32.8 %), 5.2 GiB of 16.0 GiB: 2 moves in 2 waves, at most 1 per server at a
    time. By the model of moves that takes 2m 39s, with freezes of 19.5 ms in all. Sizes are assumed:
    every node has the same.

    WAVE  FROM  TO  HOW      NODES  COUNT    BYTES     TIME   FREEZE
    ──────────────────────────────────────────────────────────────────
       1  b.eu  c   split    53-63     11  2.8 GiB  103.5 s  11.0 ms
       2  a     c   migrate  22-31     10  2.5 GiB   55.9 s   8.5 ms

    b.eu -> c  b.eu has 32 of 64 nodes; its share of 3 equal servers is 21 or 22: 11 nodes (17.2 %) go
               to c, which is new
    a -> c     a has 32 of 64 nodes; its share of 3 equal servers is 21 or 22: 10 nodes (15.6 %) go to
               c, which is new

    SERVER  WEIGHT  NODES  AFTER    BYTES    AFTER  AT MOST     LIMIT
    ────────────────────────────────────────────────────────────────────────
    a            1     32     22  8.0 GiB  5.5 GiB  8.0 GiB  12.0 GiB
    b.eu         1     32     21  8.0 GiB  5.2 GiB  8.0 GiB  12.0 GiB
    c            1      0     21      0 B  5.2 GiB  8.0 GiB  12.0 GiB  new

    Servers have 0.98 to 1.03 times their share of nodes (before: 0.00 to 1.50), 0.98 to 1.03 times
    their share of bytes (before: 0.00 to 1.50).

    After the last move, the cluster file says:

    [servers.a]
    nodes = "0-21"

    [servers."b.eu"]
    nodes = "32-52"

    [servers.c]
    nodes = "22-31,53-63"   # and its url
    "#);
    }

    #[test]
    fn a_plan_without_sizes_speaks_of_nodes_only() {
        let page = shown(
            &Goal::Drain(vec!["a".into()]),
            &[ServerSpec::new("b.eu")],
            &Sizes::even(64, 0, 0),
        );
        insta::assert_snapshot!(page, @r#"
    feeds, ketama over 64 nodes: drain a

    32 of 64 nodes move (50.0 %): 1 move in 1 wave, at most 1 per server at a time. Nothing is known of
    sizes: --keys and --bytes, or --keys-file, give bytes and times.

    WAVE  FROM  TO    HOW      NODES  COUNT
    ─────────────────────────────────────────
       1  a     b.eu  migrate  0-31      32

    a -> b.eu  a has 32 of 64 nodes and is to be emptied: 32 nodes (50.0 %) go to b.eu, which has 32

    SERVER  WEIGHT  NODES  AFTER
    ───────────────────────────────────────
    a            0     32      0  emptied
    b.eu         1     32     64

    Servers have 1.00 to 1.00 times their share of nodes (before: 0.50 to 0.50).

    After the last move, the cluster file says:

    [servers.a]
    nodes = []   # or leave the server out

    [servers."b.eu"]
    nodes = "0-63"
    "#);
    }

    #[test]
    fn where_nothing_moves_the_page_says_so() {
        let mut sizes = Sizes::even(64, 64, 0);
        sizes.nodes[3] = NodeSize { keys: 99, bytes: 0 };
        let page = shown(&Goal::Even, &servers(&["a", "b.eu"]), &sizes);
        insta::assert_snapshot!(page, @r"
    feeds, ketama over 64 nodes: even out

    Nothing has to move.

    SERVER  WEIGHT  NODES  AFTER     LIMIT
    ───────────────────────────────────────────
    a            1     32     32  12.0 GiB
    b.eu         1     32     32  12.0 GiB

    Servers have 1.00 to 1.00 times their share of nodes.
    ");
    }

    #[test]
    fn long_lists_of_nodes_are_cut_at_a_node() {
        assert_eq!(abbreviated("0-12"), "0-12");
        let long = "10,12,14,16,18,20,22,24,26,28,30";
        assert_eq!(abbreviated(long), "10,12,14,16,18,20,22 ...");
        assert!(abbreviated(long).len() <= NODES_COLUMNS);
    }
}
