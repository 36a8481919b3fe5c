//! Rounds over the peers of a cell: A B C, B C A, C A B.

use super::crew::Crew;
use crate::peers::redis_benchmark::RedisBenchmark;
use crate::peers::{Failure, Peer};
use crate::results::{Cell, Column, Round, Settings};
use crate::sections::Plan;
use crate::worker::{Job, Work};
use anyhow::{Result, bail};
use indicatif::ProgressBar;

pub(super) fn measure(
    plan: &Plan,
    crew: &mut Crew,
    settings: &Settings,
    progress: &ProgressBar,
) -> Result<Cell> {
    let settings = pace(settings, plan);
    let job = Job {
        work: plan.work,
        tasks: plan.tasks,
        warm_up_ms: settings.warm_up_ms,
        window_ms: settings.window_ms,
    };
    let mut limit = RedisBenchmark::default();
    let mut columns: Vec<Column> = plan.peers.iter().map(|peer| empty(*peer)).collect();
    for round in 0..settings.rounds {
        for turn in 0..columns.len() {
            let at = (round + turn) % columns.len();
            let (peer, column) = (plan.peers[at], &mut columns[at]);
            progress.inc(1);
            if column.refused.is_some() {
                continue;
            }
            match crew.run(peer, job, &mut limit) {
                Ok(outcome) => {
                    column.sockets = outcome.sockets;
                    column.rounds.push(Round {
                        calls_per_second: outcome.calls_per_second,
                        cpu_us: outcome.cpu_us,
                        p50_us: outcome.p50_us,
                        p99_us: outcome.p99_us,
                        p999_us: outcome.p999_us,
                        big_bytes_per_second: outcome.big_bytes_per_second,
                        ..Round::default()
                    });
                }
                Err(Failure::Refused(why)) => {
                    progress.println(format!(
                        "{}, {} tasks, {peer}: {why}",
                        plan.work_name(),
                        plan.tasks
                    ));
                    column.rounds.clear();
                    column.refused = Some(why);
                }
                Err(Failure::Wrong(what)) => bail!("{peer}, {}: {what}", plan.work_name()),
            }
        }
    }
    Ok(Cell {
        section: plan.section,
        work: plan.work_name(),
        runtime: plan.runtime,
        tasks: plan.tasks,
        servers: plan.shape.servers.into(),
        nodes: plan.shape.nodes.into(),
        tls: plan.shape.tls,
        commands_per_call: plan.commands_per_call(),
        columns,
    })
}

/// A lone caller's figures depend most of all on whether the scheduler has put client and server on the same core. That changes from one
/// window to the next, so it takes more of them, which may be shorter.
///
/// Beside big values it depends on who gets to the servers first, and for few MGETs at once on which of them shares the client's core: pairs of
/// five rounds have said anything from 0.9 to 6, and from 0.8 to 1.4. A lone MGET waits for two servers, side by side or one behind the other
/// on one core, which is twice as long: 0.5 to 2.2 of a peer's, by windows.
pub(super) fn pace(settings: &Settings, plan: &Plan) -> Settings {
    let mut settings = settings.clone();
    let few_mgets = plan.work == Work::Mget && plan.tasks <= 16;
    if plan.tasks == 1 || few_mgets || plan.work == Work::Mixed {
        settings.rounds *= 3;
    }
    if plan.tasks == 1 && few_mgets {
        settings.rounds *= 2;
    }
    if plan.tasks == 1 {
        settings.warm_up_ms /= 2;
        settings.window_ms /= 2;
    }
    settings
}

fn empty(peer: Peer) -> Column {
    Column {
        peer: peer.to_string(),
        rounds: Vec::new(),
        sockets: 0,
        refused: None,
    }
}
