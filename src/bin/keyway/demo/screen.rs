//! The report as one screen: at most 100 columns, for somebody who has never seen keyway.

use super::report::{Check, Report};
use anstyle::{AnsiColor, Style};
use std::fmt::Write;

const TITLE: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const FILE: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const COLUMNS: usize = 100;
const BAR_CELLS: u64 = 32;
const COMMANDS_SHOWN: usize = 5;

pub(crate) fn render(report: &Report) -> String {
    let mut sheet = String::new();
    // A String takes whatever is written to it.
    let _ = write_all(&mut sheet, report);
    sheet
}

fn write_all(to: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        to,
        "{TITLE}keyway demo{TITLE:#}: 64 nodes on two plain redis-servers ({}). All the configuration there is:",
        report.redis_version
    )?;
    for line in report.cluster_toml.lines() {
        let (text, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        writeln!(to, "    {FILE}{text}{FILE:#}{QUIET}{comment}{QUIET:#}")?;
    }
    load(to, report)?;
    balance(to, report)?;
    reads_and_writes(to, report)?;
    crash(to, report)?;
    client(to, report)?;
    checks(to, report)?;
    next(to, report)
}

fn heading(to: &mut String, what: &str) -> std::fmt::Result {
    write!(to, "{TITLE}{what:<10}{TITLE:#}")
}

fn load(to: &mut String, report: &Report) -> std::fmt::Result {
    let (graph, load) = (&report.graph, &report.load);
    let source = match graph.source.as_str() {
        "generated" => format!("generated, seed {}", graph.seed),
        file => file.to_owned(),
    };
    heading(to, "Graph")?;
    writeln!(
        to,
        "{} users, {} edges ({source}); the most followed has {} followers, the median {}",
        count(graph.users),
        count(graph.edges),
        count(graph.followers_max),
        count(graph.followers_median),
    )?;
    heading(to, "Load")?;
    writeln!(
        to,
        "{} sets with {} members in {}: {} SADD/s, {} members/s",
        count(load.sets),
        count(load.members),
        seconds(load.seconds),
        rate(load.commands, load.seconds),
        rate(load.members, load.seconds),
    )
}

fn balance(to: &mut String, report: &Report) -> std::fmt::Result {
    let balance = &report.balance;
    let all: u64 = balance.servers.iter().map(|server| server.keys).sum();
    heading(to, "Balance")?;
    for (at, server) in balance.servers.iter().enumerate() {
        let indent = if at == 0 { "" } else { "          " };
        let cells = (server.keys * BAR_CELLS).checked_div(all).unwrap_or(0);
        let bar = "█".repeat(cells as usize);
        writeln!(
            to,
            "{indent}{}  {GOOD}{bar:<20}{GOOD:#} {:4.1} %  {} nodes  {:>9} keys  {:>9} members  {:>6.1} MiB",
            server.name,
            100.0 * ratio(server.keys, all),
            server.nodes,
            count(server.keys),
            count(server.members),
            server.data_bytes as f64 / f64::from(1 << 20),
        )?;
    }
    let nodes = &balance.keys_per_node;
    let (min, max) = (
        nodes.iter().min().unwrap_or(&0),
        nodes.iter().max().unwrap_or(&0),
    );
    let mean = ratio(all, nodes.len() as u64);
    let variance = nodes
        .iter()
        .map(|keys| (*keys as f64 - mean).powi(2))
        .sum::<f64>()
        / nodes.len().max(1) as f64;
    writeln!(
        to,
        "          {GOOD}{}{GOOD:#}  0 to 63",
        sparkline(nodes, *max),
    )?;
    writeln!(
        to,
        "          keys per node: min {}, mean {}, max {}, standard deviation {:.1} %",
        count(*min),
        count(mean.round() as u64),
        count(*max),
        100.0 * variance.sqrt() / mean.max(1.0),
    )
}

fn reads_and_writes(to: &mut String, report: &Report) -> std::fmt::Result {
    let (found, post) = (&report.intersections, &report.delivery);
    heading(to, "Intersect")?;
    writeln!(
        to,
        "{} SINTER of two sets on different servers: p50 {}, p99 {}; {} had members",
        count(found.pairs),
        micros(found.latency.p50_us),
        micros(found.latency.p99_us),
        count(found.pairs_with_common),
    )?;
    writeln!(
        to,
        "          in common, {} in all, {} at most. One round trip to both servers at once",
        count(found.common_members),
        count(found.common_max),
    )?;
    heading(to, "Deliver")?;
    writeln!(
        to,
        "user {} posts {} times to {} followers: the first post in {}, {} ZADD/s with",
        post.user,
        post.posts,
        count(post.followers),
        seconds(post.first_post_seconds),
        rate(post.commands / 2, post.seconds),
    )?;
    writeln!(
        to,
        "          as many trims to {} posts; a page of 5 is read in {} (p50), {} (p99)",
        post.kept,
        micros(post.read_one.p50_us),
        micros(post.read_one.p99_us),
    )
}

fn crash(to: &mut String, report: &Report) -> std::fmt::Result {
    let (crash, recovery) = (&report.crash, &report.recovery);
    heading(to, "Crash")?;
    writeln!(
        to,
        "SIGKILL of {}, then {} callers at once: {GOOD}{} answered{GOOD:#} (p50 {}), {BAD}{} failed{BAD:#} after {},",
        crash.server,
        count(crash.keys_asked),
        count(crash.answered),
        micros(crash.answered_latency.p50_us),
        count(crash.failed),
        seconds(crash.first_failures_seconds),
    )?;
    writeln!(
        to,
        "          and at once ({}) when asked again, for the server is known to be down:",
        micros(crash.failed_again_latency.p50_us),
    )?;
    writeln!(
        to,
        "          {QUIET}{}{QUIET:#}",
        cut(&crash.example_error, COLUMNS - 10)
    )?;
    heading(to, "Recover")?;
    writeln!(
        to,
        "{} is back: its append-only file loaded in {}, all keys answered {} later;",
        crash.server,
        seconds(recovery.server_ready_seconds),
        seconds(recovery.client_ready_seconds),
    )?;
    writeln!(
        to,
        "          {} sets read back in {} ({} members/s): nothing that was acknowledged is lost",
        count(recovery.sets_read),
        seconds(recovery.read_seconds),
        rate(recovery.members_read, recovery.read_seconds),
    )
}

fn client(to: &mut String, report: &Report) -> std::fmt::Result {
    let Some(first) = report.client.first() else {
        return Ok(());
    };
    let mut busiest: Vec<&str> = first
        .commands
        .iter()
        .map(|command| command.name.as_str())
        .collect();
    let calls = |name: &str| -> u64 {
        let commands = report.client.iter().flat_map(|server| &server.commands);
        commands
            .filter(|command| command.name == name)
            .map(|command| command.calls)
            .sum()
    };
    busiest.sort_by_key(|name| std::cmp::Reverse(calls(name)));
    busiest.truncate(COMMANDS_SHOWN);
    heading(to, "Client")?;
    write!(to, "{QUIET}p50 / p99 {QUIET:#}")?;
    for name in &busiest {
        write!(to, "{QUIET}{name:>16}{QUIET:#}")?;
    }
    writeln!(to)?;
    for server in &report.client {
        write!(to, "          {:<10}", server.server)?;
        for name in &busiest {
            let command = server.commands.iter().find(|command| command.name == *name);
            let latency = command.map_or("-".to_owned(), |command| {
                format!("{} / {}", short(command.p50_us), short(command.p99_us))
            });
            write!(to, "{latency:>16}")?;
        }
        writeln!(to)?;
    }
    for server in &report.client {
        writeln!(
            to,
            "          {}: {} calls, {} failed, {} retries, {} reconnects, {:.1} MiB out, {:.1} MiB in",
            server.server,
            count(server.calls),
            count(server.failures),
            count(server.retries),
            server.reconnects,
            server.bytes_sent as f64 / f64::from(1 << 20),
            server.bytes_received as f64 / f64::from(1 << 20),
        )?;
    }
    Ok(())
}

fn checks(to: &mut String, report: &Report) -> std::fmt::Result {
    heading(to, "Checked")?;
    let checked: u64 = report.checks.iter().map(|check| check.checked).sum();
    let wrong: Vec<&Check> = report.checks.iter().filter(|check| !check.passed).collect();
    if wrong.is_empty() {
        return writeln!(
            to,
            "{GOOD}{} answers against a plain computation in memory: all right{GOOD:#}, {} in all",
            count(checked),
            seconds(report.seconds),
        );
    }
    writeln!(
        to,
        "{BAD}{} of {} kinds of answers are wrong{BAD:#}",
        wrong.len(),
        report.checks.len()
    )?;
    for check in wrong {
        let example = check.example.as_deref().unwrap_or("nothing was checked");
        let line = format!(
            "{}: {} of {}; {example}",
            check.what,
            count(check.wrong),
            count(check.checked)
        );
        writeln!(to, "          {BAD}{}{BAD:#}", cut(&line, COLUMNS - 10))?;
    }
    Ok(())
}

fn next(to: &mut String, report: &Report) -> std::fmt::Result {
    heading(to, "Next")?;
    if report.graph.source == "generated" {
        writeln!(
            to,
            "your own graph: {FILE}make demo ARGS=\"--edges FILE\"{FILE:#} (lines \"a b\": b follows a)"
        )?;
        write!(to, "          ")?;
    }
    writeln!(
        to,
        "in your service: {FILE}keyway::Cluster::connect(\"cluster.toml\").await?{FILE:#}; README.md has the tour"
    )
}

/// One character per node, from the bottom at 0 keys to the top at `max`.
fn sparkline(values: &[u64], max: u64) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    values
        .iter()
        .map(|value| {
            LEVELS[(value * 8)
                .saturating_sub(1)
                .checked_div(max)
                .unwrap_or(0)
                .min(7) as usize]
        })
        .collect()
}

fn ratio(part: u64, whole: u64) -> f64 {
    match whole {
        0 => 0.0,
        _ => part as f64 / whole as f64,
    }
}

/// 1234567 is 1,234,567.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn rate(number: u64, seconds: f64) -> String {
    match seconds > 0.0 {
        true => count((number as f64 / seconds).round() as u64),
        false => "-".to_owned(),
    }
}

fn seconds(seconds: f64) -> String {
    match seconds < 1.0 {
        true => format!("{:.0} ms", seconds * 1000.0),
        false => format!("{seconds:.1} s"),
    }
}

fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.1} s", us as f64 / 1e6),
    }
}

/// As `micros`, for narrow columns.
fn short(us: u64) -> String {
    micros(us).replace(' ', "")
}

fn cut(text: &str, columns: usize) -> String {
    match text.chars().count() > columns {
        true => text
            .chars()
            .take(columns - 3)
            .chain("...".chars())
            .collect(),
        false => text.to_owned(),
    }
}
