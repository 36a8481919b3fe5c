//! redis-benchmark: what servers and kernel leave for any client. It has no worker, its answers are not checked, and
//! it does nothing with them.

use super::{Answer, Failure};
use crate::data::{KEYS, Size};
use crate::layout::Layout;
use crate::worker::{Job, Outcome, Work, children_cpu_us};
use std::process::{Child, Command, Stdio};

/// One connection to each server, each with its share of the tasks as pipelined commands; all servers at once.
#[derive(Default)]
pub struct RedisBenchmark {
    /// Requests a second and process in the last window: it takes a number of requests, not a time.
    pace: Option<f64>,
}

const FIRST_REQUESTS: u32 = 2_000;
const ATTEMPTS: usize = 3;

impl RedisBenchmark {
    pub fn run(&mut self, job: Job, layout: &Layout) -> Answer<Outcome> {
        let share = Share::of(job, u32::try_from(layout.servers.len())?)?;
        let pace = match self.pace {
            Some(pace) => pace,
            None => {
                // In place of a warm-up.
                let requests = FIRST_REQUESTS.max(4 * share.pipelined);
                slowest(&share.run(layout, requests)?.rows)
            }
        };
        let requests = (pace * job.window_ms as f64 / 1e3) as u32;
        let requests = requests.max(share.pipelined);
        let Window { rows, cpu_us } = share.run(layout, requests)?;
        self.pace = Some(slowest(&rows));

        let rates = rows.iter().map(|row| row.per_second);
        let calls_per_second = match job.work {
            // An MGET is done when both of its halves are.
            Work::Mget => slowest(&rows),
            Work::Pipeline => rates.sum::<f64>() / f64::from(Work::PIPELINE_COMMANDS),
            _ => rates.sum(),
        };
        let sent = f64::from(requests) * rows.len() as f64;
        let calls = match job.work {
            Work::Mget => sent / rows.len() as f64,
            Work::Pipeline => sent / f64::from(Work::PIPELINE_COMMANDS),
            _ => sent,
        };
        let worst = |figure: fn(&Row) -> f64| rows.iter().map(figure).fold(0.0, f64::max);
        Ok(Outcome {
            calls_per_second,
            cpu_us: cpu_us / calls,
            p50_us: worst(|row| row.p50_ms) * 1e3,
            p99_us: worst(|row| row.p99_ms) * 1e3,
            // It prints no p99.9.
            p999_us: 0.0,
            sockets: share.servers,
            big_bytes_per_second: 0.0,
        })
    }
}

/// What all processes of one window found.
pub struct Window {
    rows: Vec<Row>,
    /// Of all processes.
    pub cpu_us: f64,
}

impl Window {
    /// Requests a second of the slowest process, from its first request to its last answer.
    pub fn slowest(&self) -> f64 {
        slowest(&self.rows)
    }
}

/// What each process does.
pub struct Share {
    pub servers: u32,
    pub connections: u32,
    pub pipelined: u32,
    pub command: Vec<String>,
    /// Out of how many each `__rand_int__` is drawn.
    pub random_keys: Option<u32>,
}

impl Share {
    fn of(job: Job, servers: u32) -> Answer<Share> {
        let random = |size: Size| format!("{}__rand_int__", size.prefix());
        let share = (job.tasks / servers).max(1);
        // A single task waits for one server at a time.
        let servers = servers.min(job.tasks);
        let (servers, pipelined, command) = match job.work {
            Work::Get(size) => (servers, share, vec!["GET".into(), random(size)]),
            Work::Set(size) => {
                // Of one key, because it would fill in another number in the value.
                let key = size.key(0);
                let value = String::from_utf8(size.value(&key))?;
                (servers, share, vec!["SET".into(), key, value])
            }
            Work::Mget => {
                let half = (0..Work::MGET_KEYS / 2).map(|_| random(Size::Bytes64));
                let command = std::iter::once("MGET".into()).chain(half).collect();
                (2, job.tasks, command)
            }
            Work::Pipeline => {
                let commands = job.tasks * Work::PIPELINE_COMMANDS / 2;
                (2, commands, vec!["GET".into(), random(Size::Bytes64)])
            }
            Work::Mixed => return Err(Failure::Refused("it sends one kind of command".into())),
        };
        Ok(Share {
            servers,
            pipelined,
            connections: 1,
            random_keys: (!matches!(job.work, Work::Set(_))).then_some(KEYS),
            command,
        })
    }

    pub fn run(&self, layout: &Layout, requests: u32) -> Answer<Window> {
        let mut complaint = String::new();
        // It sometimes gives up at its end with "All clients disconnected": its timer fired before its last count.
        for _ in 0..ATTEMPTS {
            let cpu = children_cpu_us();
            let processes: Vec<Child> = layout.servers[..self.servers as usize]
                .iter()
                .map(|port| self.start(*port, requests))
                .collect::<Answer<_>>()?;
            let mut rows = Vec::new();
            for process in processes {
                let output = process.wait_with_output()?;
                rows.extend(Row::parse(&String::from_utf8_lossy(&output.stdout)));
                complaint += &String::from_utf8_lossy(&output.stderr);
            }
            if rows.len() == self.servers as usize {
                let cpu_us = children_cpu_us() - cpu;
                return Ok(Window { rows, cpu_us });
            }
        }
        Err(Failure::Refused(format!(
            "redis-benchmark printed no row of CSV in {ATTEMPTS} attempts: {}",
            complaint.trim()
        )))
    }

    fn start(&self, port: u16, requests: u32) -> Answer<Child> {
        let mut command = Command::new("redis-benchmark");
        command
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "--csv"])
            .args(["-c", &self.connections.to_string()])
            .args(["-P", &self.pipelined.to_string()])
            .args(["-n", &requests.to_string()]);
        if let Some(keys) = self.random_keys {
            command.args(["-r", &keys.to_string()]);
        }
        Ok(command
            .args(&self.command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?)
    }
}

fn slowest(rows: &[Row]) -> f64 {
    rows.iter()
        .map(|row| row.per_second)
        .fold(f64::INFINITY, f64::min)
}

/// A line of its CSV: "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms",
/// "p99_latency_ms","max_latency_ms".
#[derive(Debug, PartialEq)]
struct Row {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Row {
    /// The last line. Its first field is the command, with whatever that holds, so fields are counted from the end.
    fn parse(csv: &str) -> Option<Row> {
        let line = csv.lines().next_back()?;
        let mut fields = line
            .rsplit(',')
            .map(|field| field.trim_matches('"').parse());
        let mut next = || fields.next()?.ok();
        let _max: f64 = next()?;
        let p99_ms = next()?;
        let _p95: f64 = next()?;
        let p50_ms = next()?;
        let (_min, _average): (f64, f64) = (next()?, next()?);
        Some(Row {
            per_second: next()?,
            p50_ms,
            p99_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_row_is_read_from_its_end() {
        let csv = concat!(
            "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",",
            "\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n",
            "\"SET a,b \"c\"\",\"1428571.38\",\"0.010\",\"0.008\",\"0.015\",\"0.023\",\"0.031\",\"0.183\"\n"
        );
        let row = Row {
            per_second: 1_428_571.38,
            p50_ms: 0.015,
            p99_ms: 0.031,
        };
        assert_eq!(Row::parse(csv), Some(row));
        assert_eq!(Row::parse("Could not connect to Redis\n"), None);
        assert_eq!(Row::parse(""), None);
    }
}
