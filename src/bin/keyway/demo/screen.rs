//! The report as one screen, for somebody who has never seen keyway. Tables fit into 80 columns, text takes what there are.

use super::report::{Check, Plan, Report};
use anstream::adapter::strip_str;
use anstyle::{AnsiColor, Style};
use std::fmt::Write;

const TITLE: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const FILE: Style = AnsiColor::Cyan.on_default();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const INDENT: usize = 10;
/// A space between a number and its unit, where no line ends.
const TIED: char = '\u{a0}';
/// Of a command in the client's statistics.
const COMMAND_COLUMNS: usize = 17;

pub(crate) fn render(report: &Report, columns: usize) -> String {
    let mut sheet = Sheet {
        text: String::new(),
        columns,
    };
    // A String takes whatever is written to it.
    let _ = write_all(&mut sheet, report);
    sheet.text
}

struct Sheet {
    text: String,
    columns: usize,
}

impl Write for Sheet {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.text.write_str(text)
    }
}

fn write_all(to: &mut Sheet, report: &Report) -> std::fmt::Result {
    writeln!(
        to,
        "{TITLE}keyway demo{TITLE:#}: 64 nodes on two plain redis-servers ({}), configured by",
        report.redis_version
    )?;
    for line in report.cluster_toml.lines() {
        let (text, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        writeln!(to, "    {FILE}{text}{FILE:#}{QUIET}{comment}{QUIET:#}")?;
    }
    writeln!(to)?;
    load(to, report)?;
    balance(to, report)?;
    intersect(to, report)?;
    deliver(to, report)?;
    crash(to, report)?;
    recover(to, report)?;
    client(to, report)?;
    writeln!(to)?;
    checks(to, report)?;
    next(to, report)
}

fn heading(to: &mut Sheet, what: &str) -> std::fmt::Result {
    write!(to, "{TITLE}{what:<INDENT$}{TITLE:#}")
}

/// A heading and its text, wrapped.
fn paragraph(to: &mut Sheet, what: &str, text: &str) -> std::fmt::Result {
    heading(to, what)?;
    for (at, line) in wrap(text, to.columns - INDENT).into_iter().enumerate() {
        let indent = if at == 0 { 0 } else { INDENT };
        writeln!(to, "{:indent$}{line}", "")?;
    }
    Ok(())
}

fn load(to: &mut Sheet, report: &Report) -> std::fmt::Result {
    let (graph, load) = (&report.graph, &report.load);
    let source = match graph.source.as_str() {
        "generated" => format!("generated, seed {}", graph.seed),
        file => file.to_owned(),
    };
    let text = format!(
        "{} users, {} edges ({source}); most followers: {}, median: {}",
        count(graph.users),
        count(graph.edges),
        count(graph.followers_max),
        count(graph.followers_median),
    );
    paragraph(to, "Graph", &text)?;
    let text = format!(
        "{} sets with {} members in {}: {} SADD/s, {} members/s",
        count(load.sets),
        count(load.members),
        seconds(load.seconds),
        rate(load.commands, load.seconds),
        rate(load.members, load.seconds),
    );
    paragraph(to, "Load", &text)
}

fn balance(to: &mut Sheet, report: &Report) -> std::fmt::Result {
    let balance = &report.balance;
    let all: u64 = balance.servers.iter().map(|server| server.keys).sum();
    let nodes = &balance.keys_per_node;
    let (min, max) = (
        nodes.iter().min().unwrap_or(&0),
        nodes.iter().max().unwrap_or(&0),
    );
    heading(to, "Balance")?;
    let mut rest = nodes.as_slice();
    for (at, server) in balance.servers.iter().enumerate() {
        let indent = if at == 0 { 0 } else { INDENT };
        let (own, others) = rest.split_at(rest.len().min(server.nodes as usize));
        rest = others;
        writeln!(
            to,
            "{:indent$}{} {:4.1} %  {GOOD}{}{GOOD:#}  {:>9} keys  {:>9}",
            "",
            server.name,
            100.0 * ratio(server.keys, all),
            sparkline(own, *max),
            count(server.keys),
            size(server.data_bytes).replace(TIED, " "),
        )?;
    }
    let mean = ratio(all, nodes.len() as u64);
    let variance = nodes
        .iter()
        .map(|keys| (*keys as f64 - mean).powi(2))
        .sum::<f64>()
        / nodes.len().max(1) as f64;
    let text = format!(
        "keys per node: min {}, mean {}, max {}, standard deviation {:.1}{TIED}%",
        count(*min),
        count(mean.round() as u64),
        count(*max),
        100.0 * variance.sqrt() / mean.max(1.0),
    );
    paragraph(to, "", &text)
}

fn intersect(to: &mut Sheet, report: &Report) -> std::fmt::Result {
    let found = &report.intersections;
    let text = format!(
        "two sets on different servers each: {} random pairs p50 {}, p99 {}; {} pairs of the largest sets p50 {}, p99 {}, \
         their differences p50 {}, only counted, up to {}, p50 {}. {} pairs have members in common, {} at most",
        count(found.random_pairs),
        micros(found.random_latency.p50_us),
        micros(found.random_latency.p99_us),
        count(found.pairs - found.random_pairs),
        micros(found.heavy_latency.p50_us),
        micros(found.heavy_latency.p99_us),
        micros(found.difference_latency.p50_us),
        found.counted_max,
        micros(found.count_latency.p50_us),
        count(found.pairs_with_common),
        count(found.common_max),
    );
    paragraph(to, "Intersect", &text)?;
    found.plan.as_ref().map_or(Ok(()), |found| plan(to, found))
}

/// What `explain` says, in short.
fn plan(to: &mut Sheet, plan: &Plan) -> std::fmt::Result {
    let sets: Vec<String> = plan
        .sets
        .iter()
        .map(|set| format!("{} ({} on {})", set.key, count(set.members), set.server))
        .collect();
    let steps: Vec<String> = plan
        .steps
        .iter()
        .map(|step| {
            let of = match step.keys.as_slice() {
                [key] => key,
                _ => "both",
            };
            format!("{} of {of} ({})", step.command, size(step.bytes))
        })
        .collect();
    let text = format!(
        "explained: {}, {} in common: {}. These {} moved {}, {} expected; to fetch both would move {}",
        sets.join(" and "),
        count(plan.members),
        steps.join(", then "),
        counted(plan.round_trips, "round trip"),
        size(plan.bytes),
        size(plan.bytes_estimated),
        size(plan.bytes_of_fetching),
    );
    for line in wrap(&text, to.columns - INDENT - 2) {
        writeln!(to, "{:INDENT$}  {QUIET}{line}{QUIET:#}", "")?;
    }
    Ok(())
}

fn deliver(to: &mut Sheet, report: &Report) -> std::fmt::Result {
    let sent = &report.delivery;
    let (pull, trim) = (&sent.pull, &sent.trim);
    let text = format!(
        "every user posts once, to all followers: {} deliveries in {} ({}/s). All {} home timelines read back whole in {}. \
         A page of {}: p50 {}; the same page merged at read from up to {}, in {}: p50 {}, p99 {}",
        count(sent.deliveries),
        seconds(sent.deliver_seconds),
        rate(sent.deliveries, sent.deliver_seconds),
        count(sent.timelines_read),
        seconds(sent.read_seconds),
        pull.page_items,
        micros(sent.read_one.p50_us),
        counted(pull.authors_max, "author"),
        counted(pull.round_trips_max, "round trip"),
        micros(pull.read_one.p50_us),
        micros(pull.read_one.p99_us),
    );
    paragraph(to, "Deliver", &text)?;
    let text = format!(
        "user {}, the most followed, posts {} times more to {} timelines that keep {}: the first post in {}, {} deliveries/s. \
         They held {} at most, and {} after a trim",
        trim.user,
        trim.posts,
        count(trim.followers),
        trim.kept,
        seconds(trim.first_post_seconds),
        rate(trim.commands, trim.seconds),
        trim.held_max,
        trim.kept,
    );
    paragraph(to, "Trim", &text)
}

fn crash(to: &mut Sheet, report: &Report) -> std::fmt::Result {
    let crash = &report.crash;
    let cut = &crash.delivery;
    let text = format!(
        "SIGKILL of {} amid a post to all {}: {GOOD}{} have it{GOOD:#}, everybody on the other server among them; \
         {BAD}{} failed{BAD:#} within {}, in which {} might have come back: {} never written, {} with outcome unknown. \
         Then {} keys asked at once: {GOOD}{} on the other server answered{GOOD:#} (p50 {}), {BAD}{} failed{BAD:#} at once \
         (p50 {}):",
        crash.server,
        count(cut.owners),
        count(cut.done),
        count(cut.never_written + cut.outcome_unknown),
        seconds(crash.first_failures_seconds),
        crash.server,
        count(cut.never_written),
        count(cut.outcome_unknown),
        count(crash.keys_asked),
        count(crash.answered),
        micros(crash.answered_latency.p50_us),
        count(crash.failed),
        micros(crash.failed_again_latency.p50_us),
    );
    paragraph(to, "Crash", &text)?;
    for line in wrap(&crash.example_error, to.columns - INDENT - 2) {
        writeln!(to, "{:INDENT$}  {QUIET}{line}{QUIET:#}", "")?;
    }
    Ok(())
}

fn recover(to: &mut Sheet, report: &Report) -> std::fmt::Result {
    let recovery = &report.recovery;
    let retry = &recovery.retry;
    let text = format!(
        "{} is back, its append-only file loaded in {}; all keys answer {} later. The post goes again to the {} who failed, \
         in {} (of the unknown, {} had it): {GOOD}all {} have it once{GOOD:#}. All {} sets read back in {} ({} members/s): nothing that was \
         acknowledged is lost",
        report.crash.server,
        seconds(recovery.server_ready_seconds),
        seconds(recovery.client_ready_seconds),
        count(retry.owners),
        seconds(retry.seconds),
        count(retry.unknown_had_it),
        count(retry.timelines_read),
        count(recovery.sets_read),
        seconds(recovery.read_seconds),
        rate(recovery.members_read, recovery.read_seconds),
    );
    paragraph(to, "Recover", &text)
}

fn client(to: &mut Sheet, report: &Report) -> std::fmt::Result {
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
    busiest.truncate((to.columns - INDENT - 4) / COMMAND_COLUMNS);
    paragraph(
        to,
        "Client",
        "p50 / p99 from queue to reply, waits in batches included",
    )?;
    write!(to, "{:INDENT$}    ", "")?;
    for name in &busiest {
        write!(to, "{QUIET}{name:>COMMAND_COLUMNS$}{QUIET:#}")?;
    }
    writeln!(to)?;
    for server in &report.client {
        write!(to, "{:INDENT$}{:<4}", "", server.server)?;
        for name in &busiest {
            let command = server.commands.iter().find(|command| command.name == *name);
            let latency = command.map_or("-".to_owned(), |command| {
                format!("{} / {}", short(command.p50_us), short(command.p99_us))
            });
            write!(to, "{latency:>COMMAND_COLUMNS$}")?;
        }
        writeln!(to)?;
    }
    for server in &report.client {
        let text = format!(
            "{}: {} calls, {} failed, {} retries, {} reconnects, {} out, {} in",
            server.server,
            count(server.calls),
            count(server.failures),
            count(server.retries),
            server.reconnects,
            size(server.bytes_sent),
            size(server.bytes_received),
        );
        paragraph(to, "", &text)?;
    }
    Ok(())
}

fn checks(to: &mut Sheet, report: &Report) -> std::fmt::Result {
    let checked: u64 = report.checks.iter().map(|check| check.checked).sum();
    let wrong: Vec<&Check> = report.checks.iter().filter(|check| !check.passed).collect();
    if wrong.is_empty() {
        let text = format!(
            "{GOOD}{} answers against a plain computation in memory: all right{GOOD:#}, {} in all",
            count(checked),
            seconds(report.seconds),
        );
        return paragraph(to, "Checked", &text);
    }
    let text = format!(
        "{BAD}{} of {} kinds of answers are wrong{BAD:#}",
        wrong.len(),
        report.checks.len()
    );
    paragraph(to, "Checked", &text)?;
    for check in wrong {
        let example = check.example.as_deref().unwrap_or_default();
        let text = format!(
            "{}: {} of {}, such as {example}",
            check.what,
            count(check.wrong),
            count(check.checked)
        );
        for line in wrap(&text, to.columns - INDENT) {
            writeln!(to, "{:INDENT$}{BAD}{line}{BAD:#}", "")?;
        }
    }
    Ok(())
}

fn next(to: &mut Sheet, report: &Report) -> std::fmt::Result {
    let graph = match report.graph.source.as_str() {
        "generated" => format!(
            "your own graph: {FILE}make demo ARGS=\"--edges FILE\"{FILE:#}, lines \"a b\" (b follows a). "
        ),
        _ => String::new(),
    };
    let text = format!(
        "{graph}In your service: {FILE}keyway::Cluster::connect(\"cluster.toml\").await?{FILE:#} as in README.md"
    );
    paragraph(to, "Next", &text)
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

fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(number))
}

fn rate(number: u64, seconds: f64) -> String {
    match seconds > 0.0 {
        true => count((number as f64 / seconds).round() as u64),
        false => "-".to_owned(),
    }
}

fn seconds(seconds: f64) -> String {
    match seconds < 1.0 {
        true => format!("{:.0}{TIED}ms", seconds * 1000.0),
        false => format!("{seconds:.1}{TIED}s"),
    }
}

fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..0x10_0000 => (1 << 10, "KiB"),
        0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
        _ => (1 << 30, "GiB"),
    };
    format!("{:.1}{TIED}{name}", bytes as f64 / f64::from(unit))
}

fn micros(us: u64) -> String {
    match us {
        0 => format!("under{TIED}1{TIED}us"),
        1..1_000 => format!("{us}{TIED}us"),
        1_000..1_000_000 => format!("{:.1}{TIED}ms", us as f64 / 1e3),
        _ => format!("{:.1}{TIED}s", us as f64 / 1e6),
    }
}

/// As `micros`, for narrow columns.
fn short(us: u64) -> String {
    micros(us).replace(TIED, "")
}

/// Lines of whole words. Colours take no room. A number stays with its unit.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let width = |text: &str| strip_str(text).to_string().chars().count();
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
        .into_iter()
        .map(|line| line.replace(TIED, " "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::*;
    use super::*;

    fn report() -> Report {
        let server = |name: &str, keys| ServerLoad {
            name: name.to_owned(),
            nodes: 32,
            keys,
            members: 6_000_000 + keys,
            data_bytes: 3_000_000_000,
        };
        let latency = |p50_us| Latencies {
            count: 200,
            p50_us,
            p99_us: 3 * p50_us,
            max_us: 4 * p50_us,
        };
        let client = |name: &str, failures| ClientServer {
            server: name.to_owned(),
            calls: 12_345_678,
            failures,
            retries: 0,
            reconnects: u64::from(failures > 0),
            bytes_sent: 1 << 30,
            bytes_received: 123_456_789,
            commands: [
                "SADD",
                "SCARD",
                "SINTER",
                "SMEMBERS",
                "ZADD",
                "ZREMRANGEBYRANK",
            ]
            .into_iter()
            .zip([3_000_000, 2_000, 600, 2_000_000, 100_000, 100_000])
            .map(|(name, calls)| ClientCommand {
                name: name.to_owned(),
                calls,
                p50_us: calls / 30,
                p99_us: calls / 10,
            })
            .collect(),
        };
        Report {
            passed: true,
            seconds: 123.4,
            checks: vec![Check {
                checked: 1_234_567,
                ..Check::new("sets").done()
            }],
            cluster_toml: "name = \"demo\"\n[placement]   # for life\nnodes = 64\n".to_owned(),
            redis_version: "7.0.15".to_owned(),
            graph: GraphFacts {
                source: "generated".to_owned(),
                seed: 18_446_744_073_709_551_615,
                users: 5_000_000,
                edges: 26_666_666,
                followers_max: 1_234_567,
                followers_median: 3,
            },
            load: Load {
                sets: 9_999_999,
                members: 53_333_332,
                commands: 10_111_111,
                seconds: 60.0,
            },
            balance: Balance {
                servers: vec![server("a", 5_100_000), server("b", 4_899_999)],
                keys_per_node: (0..64).map(|node| 156_249 + 1_000 * (node % 7)).collect(),
            },
            intersections: Intersections {
                pairs: 1_400,
                random_pairs: 1_000,
                pairs_with_common: 1_354,
                common_members: 123_456,
                common_max: 12_345,
                latency: latency(394),
                random_latency: latency(194),
                heavy_latency: latency(1_394),
                counted_max: 10,
                count_latency: latency(334),
                difference_latency: latency(1_494),
                plan: Some(plan()),
            },
            delivery: Delivery {
                authors: 5_000_000,
                deliveries: 26_666_666,
                deliver_seconds: 99.9,
                timelines_read: 5_000_000,
                items_read: 26_666_666,
                read_seconds: 88.8,
                read_one: latency(183),
                pull: Pull {
                    readers: 200,
                    page_items: 50,
                    authors_max: 12_345,
                    round_trips_max: 2,
                    read_one: latency(12_345),
                },
                trim: Trim {
                    user: 4_730_711,
                    followers: 1_234_567,
                    posts: 12,
                    kept: 20,
                    slack: 4,
                    held_max: 24,
                    trimmed: 12_345_678,
                    commands: 14_814_804,
                    seconds: 90.0,
                    first_post_seconds: 7.5,
                },
            },
            crash: Crash {
                server: "b".to_owned(),
                delivery: CutDelivery {
                    owners: 5_000_000,
                    done: 3_125_000,
                    done_living: 2_500_000,
                    never_written: 1_872_000,
                    outcome_unknown: 3_000,
                },
                keys_asked: 1_989,
                answered: 984,
                failed: 1_005,
                answered_latency: latency(8_800),
                first_failures_seconds: 10.2,
                failed_again_latency: latency(0),
                example_error: "SCARD, node 62, server \"b\": not executed, the server is down: Connection refused (os error 111)"
                    .to_owned(),
            },
            recovery: Recovery {
                server_ready_seconds: 0.188,
                client_ready_seconds: 0.233,
                retry: Retry {
                    owners: 1_875_000,
                    unknown_had_it: 1_000,
                    added: 1_874_000,
                    seconds: 8.5,
                    timelines_read: 5_000_000,
                },
                sets_read: 9_999_999,
                members_read: 53_333_332,
                read_seconds: 18.0,
            },
            client: vec![client("a", 0), client("b", 2_010)],
        }
    }

    fn plan() -> Plan {
        let set = |key: &str, server: &str, members| PlanSet {
            key: key.to_owned(),
            server: server.to_owned(),
            members,
        };
        let sets = vec![
            set("followers:4730711", "a", 1_234_567),
            set("followers:1234567", "b", 1_234),
        ];
        let step = |command: &str, of: std::ops::Range<usize>, bytes| PlanStep {
            command: command.to_owned(),
            keys: sets[of].iter().map(|set| set.key.clone()).collect(),
            bytes,
        };
        let steps = vec![
            step("SCARD, SSCAN", 0..2, 3_456),
            step("SMEMBERS", 1..2, 17_000),
            step("SMISMEMBER", 0..1, 23_000),
        ];
        Plan {
            sets,
            steps,
            members: 567,
            round_trips: 3,
            bytes: 43_456,
            bytes_estimated: 45_678,
            bytes_of_fetching: 17_000_000,
        }
    }

    #[test]
    fn the_largest_numbers_fit_on_one_screen() {
        let screen = |columns| {
            let screen = strip_str(&render(&report(), columns)).to_string();
            for line in screen.lines() {
                assert!(line.chars().count() <= columns, "{line}");
                assert!(!line.contains(TIED), "{line}");
                assert_eq!(line, line.trim_end(), "no blanks at the end");
            }
            // The real file has 12 lines, not 3.
            (screen.lines().count() + 9, screen)
        };
        let (lines, _) = screen(80);
        assert!(lines <= 70, "{lines}");
        let (lines, screen) = screen(100);
        assert!(lines <= 56, "{lines}");
        insta::assert_snapshot!(screen, @r#"
        keyway demo: 64 nodes on two plain redis-servers (7.0.15), configured by
            name = "demo"
            [placement]   # for life
            nodes = 64

        Graph     5,000,000 users, 26,666,666 edges (generated, seed 18446744073709551615); most followers:
                  1,234,567, median: 3
        Load      9,999,999 sets with 53,333,332 members in 60.0 s: 168,519 SADD/s, 888,889 members/s
        Balance   a 51.0 %  ████████████████████████████████  5,100,000 keys    2.8 GiB
                  b 49.0 %  ████████████████████████████████  4,899,999 keys    2.8 GiB
                  keys per node: min 156,249, mean 156,250, max 162,249, standard deviation 2.3 %
        Intersect two sets on different servers each: 1,000 random pairs p50 194 us, p99 582 us; 400 pairs
                  of the largest sets p50 1.4 ms, p99 4.2 ms, their differences p50 1.5 ms, only counted, up
                  to 10, p50 334 us. 1,354 pairs have members in common, 12,345 at most
                    explained: followers:4730711 (1,234,567 on a) and followers:1234567 (1,234 on b), 567 in
                    common: SCARD, SSCAN of both (3.4 KiB), then SMEMBERS of followers:1234567 (16.6 KiB),
                    then SMISMEMBER of followers:4730711 (22.5 KiB). These 3 round trips moved 42.4 KiB,
                    44.6 KiB expected; to fetch both would move 16.2 MiB
        Deliver   every user posts once, to all followers: 26,666,666 deliveries in 99.9 s (266,934/s). All
                  5,000,000 home timelines read back whole in 88.8 s. A page of 50: p50 183 us; the same
                  page merged at read from up to 12,345 authors, in 2 round trips: p50 12.3 ms, p99 37.0 ms
        Trim      user 4730711, the most followed, posts 12 times more to 1,234,567 timelines that keep 20:
                  the first post in 7.5 s, 164,609 deliveries/s. They held 24 at most, and 20 after a trim
        Crash     SIGKILL of b amid a post to all 5,000,000: 3,125,000 have it, everybody on the other
                  server among them; 1,875,000 failed within 10.2 s, in which b might have come back:
                  1,872,000 never written, 3,000 with outcome unknown. Then 1,989 keys asked at once: 984 on
                  the other server answered (p50 8.8 ms), 1,005 failed at once (p50 under 1 us):
                    SCARD, node 62, server "b": not executed, the server is down: Connection refused (os
                    error 111)
        Recover   b is back, its append-only file loaded in 188 ms; all keys answer 233 ms later. The post
                  goes again to the 1,875,000 who failed, in 8.5 s (of the unknown, 1,000 had it): all
                  5,000,000 have it once. All 9,999,999 sets read back in 18.0 s (2,962,963 members/s):
                  nothing that was acknowledged is lost
        Client    p50 / p99 from queue to reply, waits in batches included
                                   SADD         SMEMBERS             ZADD  ZREMRANGEBYRANK            SCARD
                  a   100.0ms / 300.0ms 66.7ms / 200.0ms   3.3ms / 10.0ms   3.3ms / 10.0ms     66us / 200us
                  b   100.0ms / 300.0ms 66.7ms / 200.0ms   3.3ms / 10.0ms   3.3ms / 10.0ms     66us / 200us
                  a: 12,345,678 calls, 0 failed, 0 retries, 0 reconnects, 1.0 GiB out, 117.7 MiB in
                  b: 12,345,678 calls, 2,010 failed, 0 retries, 1 reconnects, 1.0 GiB out, 117.7 MiB in

        Checked   1,234,567 answers against a plain computation in memory: all right, 123.4 s in all
        Next      your own graph: make demo ARGS="--edges FILE", lines "a b" (b follows a). In your service:
                  keyway::Cluster::connect("cluster.toml").await? as in README.md
        "#);
    }

    #[test]
    fn a_wrong_answer_is_named() {
        let mut report = report();
        let mut check = Check::new("intersections over two servers");
        check.expect(true, String::new);
        check.expect(false, || {
            "SINTER follows:1 follows:2: 3 members, not 4, or others".to_owned()
        });
        report.checks.push(check.done());
        let screen = strip_str(&render(&report, 100)).to_string();
        let checked: Vec<&str> = screen
            .lines()
            .skip_while(|line| !line.starts_with("Checked"))
            .take(3)
            .collect();
        insta::assert_snapshot!(checked.join("\n"), @r#"
        Checked   1 of 2 kinds of answers are wrong
                  intersections over two servers: 1 of 2, such as SINTER follows:1 follows:2: 3 members, not
                  4, or others
        "#);
    }

    #[test]
    fn words_are_wrapped_by_what_is_seen() {
        let text = format!("{GOOD}one{GOOD:#} two three");
        assert_eq!(wrap(&text, 7).len(), 2);
        assert_eq!(wrap(&format!("at 10{TIED}ms"), 7), ["at", "10 ms"]);
    }
}
