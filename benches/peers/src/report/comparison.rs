//! A cell as a reader compares it: each peer's figures, and keyway's ratio to them.

use super::number;
use super::statistics::{Figure, Spread};
use crate::results::{Cell, Column, Results, Runtime, Section};

/// Not a client library but what the servers give at most.
pub const LIMIT: &str = "redis-benchmark";
/// Nor that: what one task gets of them at most.
pub const LONE_LIMIT: &str = "bare-sockets";

/// Shown, and no peer.
pub fn is_limit(peer: &str) -> bool {
    peer == LIMIT || peer == LONE_LIMIT
}

pub fn is_ours(peer: &str) -> bool {
    peer == "keyway" || peer.starts_with("keyway-")
}

pub fn column<'a>(cell: &'a Cell, peer: &str) -> Option<&'a Column> {
    cell.columns.iter().find(|column| column.peer == peer)
}

/// The column of ours that this peer is set against; None for our own columns.
fn counterpart<'a>(cell: &'a Cell, peer: &str) -> Option<&'a Column> {
    if is_ours(peer) {
        return None;
    }
    // A peer with a connection of its own for big values is matched by our lane for them.
    let ours = match peer {
        "redis-rs-own" => "keyway-bulk",
        _ => "keyway",
    };
    column(cell, ours)
}

/// Ours to this peer, round by round. None for our own columns, and where either has no such figure.
pub fn ratio(cell: &Cell, theirs: &Column, figure: Figure) -> Option<Spread> {
    figure.ratio(counterpart(cell, &theirs.peer)?, theirs)
}

/// keyway beside one peer in one cell.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    pub cell: &'a Cell,
    pub peer: &'a str,
    pub calls_per_second: Option<Spread>,
    pub cpu: Option<Spread>,
}

impl Comparison<'_> {
    /// All that could be made.
    pub fn all(results: &Results) -> Vec<Comparison<'_>> {
        let columns = results
            .cells
            .iter()
            .flat_map(|cell| cell.columns.iter().map(move |column| (cell, column)));
        columns
            .map(|(cell, column)| Comparison {
                cell,
                peer: &column.peer,
                calls_per_second: ratio(cell, column, Figure::CallsPerSecond),
                cpu: ratio(cell, column, Figure::CpuUs),
            })
            .filter(|one| one.calls_per_second.is_some() || one.cpu.is_some())
            .collect()
    }

    /// The peer has more throughput or needs less CPU.
    pub fn is_lost(&self) -> bool {
        self.lost().next().is_some()
    }

    /// Lost, but not in every round.
    pub fn is_close(&self) -> bool {
        self.is_lost() && self.lost().all(|ratio| ratio.straddles(1.0))
    }

    fn lost(&self) -> impl Iterator<Item = Spread> {
        let both = [
            (Figure::CallsPerSecond, self.calls_per_second),
            (Figure::CpuUs, self.cpu),
        ];
        both.into_iter()
            .filter_map(|(figure, ratio)| ratio.filter(|ratio| figure.is_loss(ratio.median)))
    }
}

/// "1.45 1.40-1.52", with a sign in front where keyway loses.
pub fn ratio_text(figure: Figure, ratio: Option<Spread>) -> String {
    let Some(ratio) = ratio else {
        return String::new();
    };
    format!("{}{}", loss_sign(figure, ratio), spread_text(ratio))
}

pub fn loss_sign(figure: Figure, ratio: Spread) -> &'static str {
    if figure.is_loss(ratio.median) {
        LOSS
    } else {
        ""
    }
}

/// "1.45 1.40-1.52": median, min and max.
pub fn spread_text(Spread { median, min, max }: Spread) -> String {
    let (median, min, max) = (
        number::ratio(median),
        number::ratio(min),
        number::ratio(max),
    );
    format!("{median} {min}-{max}")
}

/// In front of a ratio that keyway loses.
pub const LOSS: &str = "▼";

pub fn runtime_name(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::CurrentThread => "current-thread",
        Runtime::TwoWorkers => "two workers",
    }
}

/// "GET 64 B, current-thread, 1,024 tasks".
pub fn work_place(cell: &Cell) -> String {
    let tls = if cell.tls { " by TLS" } else { "" };
    let (runtime, tasks) = (runtime_name(cell.runtime), counted(cell.tasks, "task"));
    format!("{}{tls}, {runtime}, {tasks}", cell.work)
}

/// The shortest name within a run: what does not vary in the cell's section is left out.
pub fn place(cell: &Cell) -> String {
    let place = work_place(cell);
    match cell.section {
        Section::Servers => format!("{place}, {}", counted(cell.servers, "server")),
        Section::Nodes => format!("{place}, {}", counted(cell.nodes, "node")),
        Section::Points | Section::Mget | Section::Pipeline | Section::Mixed | Section::Tls => {
            place
        }
        // One caller, always.
        _ => format!("{}, {}", cell.work, runtime_name(cell.runtime)),
    }
}

/// "GET 64 B, current-thread, 1,024 tasks, 2 servers, 64 nodes".
pub fn title(cell: &Cell) -> String {
    let mut parts = vec![
        cell.work.clone(),
        runtime_name(cell.runtime).to_owned(),
        counted(cell.tasks, "task"),
        counted(cell.servers, "server"),
        counted(cell.nodes, "node"),
    ];
    if cell.tls {
        parts.push("TLS".to_owned());
    }
    if cell.commands_per_call > 1 {
        let commands = number::whole(cell.commands_per_call);
        parts.push(format!("1 call = {commands} commands"));
    }
    parts.join(", ")
}

pub fn counted(count: u32, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number::whole(count))
}
