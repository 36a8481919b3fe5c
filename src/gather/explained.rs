//! What a call over several sets did: its plan, and beside each step's estimate what it came to.

use super::cost::{Facts, Traffic};
use super::plan::{self, Action, Aim, Operation, Plan};
use redis::{Cmd, Value};
use serde::Serialize;
use std::fmt;

/// A plan that was carried out. Plain data; its `Display` is a table.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explained {
    /// What was asked.
    pub operation: Operation,
    /// How many members were asked for; `None` for all.
    pub limit: Option<u64>,
    /// The different sets, in the order in which they were given.
    pub sets: Vec<ExplainedSet>,
    /// What was done, in order. Steps of one round trip are told apart, those of several chunks are not.
    pub steps: Vec<ExplainedStep>,
    /// What all of it was expected to move.
    pub estimated: Traffic,
    /// What all of it moved.
    pub actual: Traffic,
    /// Members of the answer.
    pub members: u64,
}

/// A set as the first round trip found it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExplainedSet {
    /// Its key, escaped where it is not ASCII.
    pub key: String,
    /// The server on which its node lived.
    pub server: String,
    /// Its size.
    pub members: u64,
    /// Bytes of a member, on average over a sample.
    pub bytes_each: f64,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ExplainedStep {
    /// What it does.
    pub action: Action,
    /// With which command.
    pub command: String,
    /// The sets concerned, by their positions in [`Explained::sets`].
    pub sets: Vec<usize>,
    /// What it was expected to move at most: nobody knows before how many candidates a set leaves over.
    pub estimated: Traffic,
    /// What it moved.
    pub actual: Traffic,
}

/// Notes what is done, if somebody wants to know.
pub(crate) struct Log(Option<Box<Explained>>);

impl Log {
    pub(crate) fn off() -> Log {
        Log(None)
    }

    pub(crate) fn of(operation: Operation, limit: Option<u64>) -> Log {
        Log(Some(Box::new(Explained {
            operation,
            limit,
            sets: Vec::new(),
            steps: Vec::new(),
            estimated: Traffic::default(),
            actual: Traffic::default(),
            members: 0,
        })))
    }

    /// `None` if nothing was noted.
    pub(crate) fn finish(self, members: u64) -> Option<Explained> {
        self.0.map(|explained| Explained {
            members,
            ..*explained
        })
    }

    pub(super) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    /// What was done is void.
    pub(super) fn begin_anew(&mut self) {
        if let Some(explained) = &mut self.0 {
            explained.sets.clear();
            explained.steps.clear();
            (explained.estimated, explained.actual) = Default::default();
        }
    }

    /// The plan, before it is carried out. What the sizes have moved is noted before.
    pub(super) fn expect(
        &mut self,
        sets: &[(&[u8], String)],
        aim: &Aim<'_>,
        plan: &Plan,
        with_sizes: bool,
    ) {
        let Some(explained) = &mut self.0 else { return };
        let (steps, all) = plan::estimate(aim, plan, with_sizes);
        explained.estimated = all;
        let facts: &[Facts] = aim.sets;
        explained.sets = sets
            .iter()
            .zip(facts)
            .map(|((key, server), facts)| ExplainedSet {
                key: key.escape_ascii().to_string(),
                server: server.clone(),
                members: facts.members,
                bytes_each: facts.bytes_each,
            })
            .collect();
        for step in steps {
            explained.step(step.action, &step.sets).estimated = step.traffic;
        }
    }

    pub(super) fn count_all(&self, cmds: &[Cmd]) -> Traffic {
        let mut traffic = Traffic::default();
        if self.is_kept() {
            traffic.commands = cmds.len() as u64;
            traffic.bytes_sent = cmds
                .iter()
                .map(|cmd| cmd.get_packed_command().len() as u64)
                .sum();
        }
        traffic
    }

    pub(super) fn count_reply(&self, traffic: &mut Traffic, reply: &Value) {
        if self.is_kept() {
            traffic.bytes_received += on_wire(reply);
        }
    }

    /// A round trip in which these steps were taken, or went on.
    pub(super) fn round(&mut self, steps: &[Done]) {
        let Some(explained) = &mut self.0 else { return };
        let mut round_trips = 0;
        for (action, sets, traffic) in steps {
            let mut traffic = *traffic;
            // One, but for a step that was taken in several pieces.
            traffic.round_trips = match traffic.commands {
                0 => 0,
                _ => traffic.round_trips.max(1),
            };
            round_trips = round_trips.max(traffic.round_trips);
            explained.step(*action, sets).actual += traffic;
            traffic.round_trips = 0;
            explained.actual += traffic;
        }
        explained.actual.round_trips += round_trips;
    }
}

/// A step, the sets concerned, and what it moved.
pub(super) type Done = (Action, Vec<usize>, Traffic);

impl Explained {
    fn step(&mut self, action: Action, sets: &[usize]) -> &mut ExplainedStep {
        let found = |step: &ExplainedStep| step.action == action && step.sets == sets;
        let at = self.steps.iter().position(found).unwrap_or_else(|| {
            self.steps.push(ExplainedStep {
                action,
                command: self.command(action, sets).to_owned(),
                sets: sets.to_vec(),
                estimated: Traffic::default(),
                actual: Traffic::default(),
            });
            self.steps.len() - 1
        });
        &mut self.steps[at]
    }

    fn command(&self, action: Action, sets: &[usize]) -> &'static str {
        match action {
            Action::Sizes => "SCARD, SSCAN",
            Action::Probe => "SMISMEMBER",
            Action::Scan => "SSCAN",
            Action::Fetch => fetch_command(self.operation, sets),
        }
    }
}

/// The command that combines sets which share a server.
pub(super) fn fetch_command(operation: Operation, sets: &[usize]) -> &'static str {
    match (operation, sets) {
        (_, [_]) => "SMEMBERS",
        // All but the first are to be taken away.
        (Operation::Difference, [first, ..]) if *first != 0 => "SUNION",
        (operation, _) => operation.command(),
    }
}

/// Bytes of a reply as the protocol writes it.
fn on_wire(value: &Value) -> u64 {
    use super::cost::{digits, list};
    match value {
        Value::BulkString(bytes) => bytes.len() as u64 + 5 + digits(bytes.len() as u64),
        Value::Array(items) | Value::Set(items) => {
            list(items.len() as u64) + items.iter().map(on_wire).sum::<u64>()
        }
        Value::Int(number) => 3 + digits(number.unsigned_abs()) + u64::from(*number < 0),
        _ => 4,
    }
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.operation {
            Operation::Intersect => "intersection",
            Operation::Union => "union",
            Operation::Difference => "difference",
        };
        write!(f, "{name} of {}", counted(self.sets.len() as u64, "set"))?;
        if let Some(limit) = self.limit {
            write!(f, ", at most {}", counted(limit, "member"))?;
        }
        writeln!(
            f,
            ": {} in {}\n",
            counted(self.members, "member"),
            counted(self.actual.round_trips, "round trip")
        )?;
        let mut rows = vec![["set", "server", "members", "bytes each"].map(str::to_owned)];
        for set in &self.sets {
            rows.push([
                set.key.clone(),
                set.server.clone(),
                grouped(set.members),
                format!("{:.1}", set.bytes_each),
            ]);
        }
        table(f, &rows, 2)?;
        writeln!(f)?;
        let mut rows =
            vec![["step", "", "commands", "round trips", "estimated", "actual"].map(str::to_owned)];
        for step in &self.steps {
            let action = match step.action {
                Action::Sizes => "sizes",
                Action::Fetch => "fetch",
                Action::Probe => "probe",
                Action::Scan => "scan",
            };
            let of = match step.action {
                Action::Sizes => "all".to_owned(),
                _ => step
                    .sets
                    .iter()
                    .map(|at| self.sets.get(*at).map_or("", |set| set.key.as_str()))
                    .collect::<Vec<_>>()
                    .join(" "),
            };
            rows.push([
                format!("{action} {of}"),
                step.command.clone(),
                grouped(step.actual.commands),
                grouped(step.actual.round_trips),
                bytes(step.estimated.bytes()),
                bytes(step.actual.bytes()),
            ]);
        }
        rows.push([
            "all".to_owned(),
            String::new(),
            grouped(self.actual.commands),
            grouped(self.actual.round_trips),
            bytes(self.estimated.bytes()),
            bytes(self.actual.bytes()),
        ]);
        table(f, &rows, 2)
    }
}

/// Columns, of which the first `left` are aligned to the left.
fn table<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    rows: &[[String; N]],
    left: usize,
) -> fmt::Result {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            line.push_str("  ");
            if column < left {
                line.push_str(&format!("{cell:<width$}"));
            } else {
                line.push_str(&format!("{cell:>width$}"));
            }
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(count))
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
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

fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{} B", grouped(count)),
        10_000..10_000_000 => format!("{} kB", grouped(count.div_ceil(1_000))),
        _ => format!("{} MB", grouped(count.div_ceil(1_000_000))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(round_trips: u64, commands: u64, bytes_sent: u64, bytes_received: u64) -> Traffic {
        Traffic {
            round_trips,
            commands,
            bytes_sent,
            bytes_received,
        }
    }

    #[test]
    fn a_plan_reads_as_a_table() {
        let set = |key: &str, server: &str, members| ExplainedSet {
            key: key.to_owned(),
            server: server.to_owned(),
            members,
            bytes_each: 10.04,
        };
        let step = |action, command: &str, sets: &[usize], estimated, actual| ExplainedStep {
            action,
            command: command.to_owned(),
            sets: sets.to_vec(),
            estimated,
            actual,
        };
        let explained = Explained {
            operation: Operation::Intersect,
            limit: None,
            sets: vec![
                set("follows:42", "a", 1_000),
                set("attendees:ep", "b", 1_000_000),
            ],
            steps: vec![
                step(
                    Action::Sizes,
                    "SCARD, SSCAN",
                    &[0, 1],
                    traffic(1, 4, 170, 4_400),
                    traffic(1, 4, 172, 4_412),
                ),
                step(
                    Action::Fetch,
                    "SMEMBERS",
                    &[0],
                    traffic(1, 1, 31, 17_007),
                    traffic(1, 1, 31, 17_007),
                ),
                step(
                    Action::Probe,
                    "SMISMEMBER",
                    &[1],
                    traffic(1, 1, 17_041, 4_007),
                    traffic(1, 1, 17_041, 4_007),
                ),
            ],
            estimated: traffic(3, 6, 17_242, 25_414),
            actual: traffic(3, 6, 17_244, 25_426),
            members: 10,
        };
        insta::assert_snapshot!(explained.to_string(), @r"
        intersection of 2 sets: 10 members in 3 round trips

          set           server    members  bytes each
          follows:42    a           1,000        10.0
          attendees:ep  b       1,000,000        10.0

          step                              commands  round trips  estimated   actual
          sizes all           SCARD, SSCAN         4            1    4,570 B  4,584 B
          fetch follows:42    SMEMBERS             1            1      18 kB    18 kB
          probe attendees:ep  SMISMEMBER           1            1      22 kB    22 kB
          all                                      6            3      43 kB    43 kB
        ");
        let json = serde_json::to_value(&explained).unwrap();
        assert_eq!(json["operation"], "intersect");
        assert_eq!(json["steps"][2]["action"], "probe");
        assert_eq!(json["actual"]["bytes_sent"], 17_244);
    }

    #[test]
    fn replies_are_counted_as_they_are_written() {
        let string = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        assert_eq!(
            on_wire(&string("0123456789")),
            "$10\r\n0123456789\r\n".len() as u64
        );
        assert_eq!(on_wire(&Value::Int(1)), ":1\r\n".len() as u64);
        assert_eq!(on_wire(&Value::Int(1_000)), ":1000\r\n".len() as u64);
        let list = Value::Array(vec![string("a"), Value::Int(0)]);
        assert_eq!(on_wire(&list), "*2\r\n$1\r\na\r\n:0\r\n".len() as u64);
    }
}
