//! Rounds over the contestants of a cell: A B C, B C A, C A B; what is stored is the same before each turn.

use super::data::{
    AUTHORS, HOME, NEW_IDS, NEW_SCORES, OWNERS, PAGE, POSTS, Places, SKEWED, newest,
};
use super::holdings::Holdings;
use super::order::{Act, Combination, Contestant, Form, Item, Order, Setup, Told, Turn};
use super::plan::{Plan, What, pairs};
use super::{delay, limit, python};
use crate::coordinator::WorkerProcess;
use crate::layout::Layout;
use crate::peers::{Answer, Failure};
use crate::results::{Cell, Column, Round, Section, Settings};
use crate::servers::{Shape, Stage};
use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

const SHAPE: Shape = Shape {
    servers: 2,
    nodes: 64,
    tls: false,
    cluster: false,
    proxy: false,
    sizes: &[],
};
/// Long beside what a call takes, so that one more of it is not to be overlooked.
const DELAY_MS: u64 = 100;
/// What redis-benchmark may draw twice: a key and a member of 50,000 each.
const LIMIT_SHARE_MIN: f64 = 0.999;

pub struct Coordinator {
    settings: Settings,
    progress: ProgressBar,
    stage: Stage,
    delayed: Layout,
    places: Places,
    holdings: Holdings,
    /// How many items were delivered: each has an id of its own.
    delivered: u64,
    owners: Vec<u64>,
    authors: Vec<u64>,
    skewed: Vec<u64>,
}

/// The workers of one cell, each started when it is first needed.
type Crew = HashMap<Contestant, WorkerProcess>;

impl Coordinator {
    pub fn new(settings: Settings, plans: &[Plan]) -> Result<Coordinator> {
        let stage = Stage::set(SHAPE).context("cannot start the servers")?;
        let places = Places::new(&stage.layout);
        let delay = Duration::from_millis(DELAY_MS);
        let ports = stage.layout.servers.iter();
        let delayed = Layout {
            servers: ports
                .map(|port| delay::start(*port, delay))
                .collect::<Result<_>>()?,
            ..stage.layout.clone()
        };
        let turns: usize = plans.iter().map(|plan| plan.contestants.len()).sum();
        let progress = ProgressBar::new((turns * settings.rounds) as u64);
        progress.set_style(ProgressStyle::with_template(
            "[{elapsed_precise}] {bar:30} {pos}/{len}, {eta} left: {msg}",
        )?);
        Ok(Coordinator {
            holdings: Holdings::connect(&stage.layout.servers)?,
            owners: places.shuffled_owners(HOME, OWNERS),
            authors: places.owners(POSTS, AUTHORS),
            skewed: places.owners(SKEWED, AUTHORS),
            settings,
            progress,
            stage,
            delayed,
            places,
            delivered: 0,
        })
    }

    /// All cells of one part.
    pub fn part(&mut self, plans: &[&Plan]) -> Result<Vec<Cell>> {
        self.progress.set_message("filling the servers");
        self.holdings.clear()?;
        match plans.first().map(|plan| plan.section) {
            Some(Section::Deliver) => self.holdings.fill_timelines(&self.places, &self.owners)?,
            Some(Section::Probe | Section::Equal | Section::Algebra) => {
                let plans: Vec<Plan> = plans.iter().map(|plan| (*plan).clone()).collect();
                self.holdings.fill_sets(&self.places, &pairs(&plans))?;
            }
            Some(Section::Merged) => {
                let (places, authors) = (&self.places, &self.authors);
                self.holdings.fill_authors(places, POSTS, authors, None)?;
                let (skewed, later) = (&self.skewed, self.skewed.first().copied());
                self.holdings.fill_authors(places, SKEWED, skewed, later)?;
            }
            Some(Section::Fanout) => self.holdings.fill_values(&self.places.values())?,
            // Of which every turn begins with nothing.
            _ => {}
        }
        plans.iter().map(|plan| self.cell(plan)).collect()
    }

    pub fn finish(self) {
        self.progress.finish_and_clear();
    }

    fn cell(&mut self, plan: &Plan) -> Result<Cell> {
        let message = format!("{}, {:?}", plan.work, plan.runtime);
        if self.progress.is_hidden() {
            eprintln!("{message}");
        }
        self.progress.set_message(message);
        let mut columns: Vec<Column> = plan.contestants.iter().map(|one| empty(*one)).collect();
        let mut crew = Crew::new();
        let mut round_trips = HashMap::new();
        for round in 0..self.settings.rounds {
            for turn in 0..columns.len() {
                let at = (round + turn) % columns.len();
                let (contestant, column) = (plan.contestants[at], &mut columns[at]);
                self.progress.inc(1);
                if column.refused.is_some() {
                    continue;
                }
                match self.turn(plan, contestant, &mut crew, &mut round_trips) {
                    Ok((sockets, round)) => {
                        column.sockets = sockets;
                        column.rounds.push(round);
                    }
                    Err(Failure::Refused(why)) => {
                        self.progress.println(format!(
                            "{}, {}: {why}",
                            plan.work,
                            contestant.name()
                        ));
                        column.rounds.clear();
                        column.refused = Some(why);
                    }
                    Err(Failure::Wrong(what)) => {
                        bail!("{}, {}: {what}", contestant.name(), plan.work)
                    }
                }
            }
        }
        Ok(Cell {
            section: plan.section,
            work: plan.work.to_owned(),
            runtime: plan.runtime,
            tasks: 1,
            servers: SHAPE.servers.into(),
            nodes: SHAPE.nodes.into(),
            tls: SHAPE.tls,
            commands_per_call: plan.commands_per_call,
            columns,
        })
    }

    fn turn(
        &mut self,
        plan: &Plan,
        contestant: Contestant,
        crew: &mut Crew,
        round_trips: &mut HashMap<Contestant, f64>,
    ) -> Answer<(u32, Round)> {
        if matches!(plan.what, What::DeliverLazily { .. }) {
            // Whatever was before this turn is in its peak too.
            crew.remove(&contestant);
        }
        if contestant != Contestant::RedisBenchmark && !crew.contains_key(&contestant) {
            let mut worker = self.start(plan, contestant)?;
            if counts_round_trips(plan.section, contestant) {
                let order = Order::RoundTrips {
                    act: self.act(plan),
                    delay_ms: DELAY_MS,
                };
                match told(worker.ask(&order)?)? {
                    Told::RoundTrips(counted) => round_trips.insert(contestant, counted),
                    other => return Err(unexpected(&other)),
                };
            }
            crew.insert(contestant, worker);
        }
        let act = self.act(plan);
        let questions = self.traffic_of_a_question()?;
        let before = self.holdings.traffic().map_err(refused)?;
        let turn = match crew.get_mut(&contestant) {
            Some(worker) => self.ask(worker, act)?,
            None => limit::deliver(&self.stage.layout)?,
        };
        let after = self.holdings.traffic().map_err(refused)?;
        self.look_at(plan, contestant)
            .map_err(|error| Failure::Wrong(format!("{error:#}")))?;
        let bytes = after.saturating_sub(before).saturating_sub(questions);
        let calls = turn.calls.max(1) as f64;
        let round = Round {
            calls_per_second: turn.calls as f64 / turn.seconds,
            cpu_us: turn.cpu_us,
            p50_us: turn.p50_us,
            p99_us: turn.p99_us,
            p999_us: turn.p999_us,
            big_bytes_per_second: 0.0,
            bytes: bytes as f64 / calls,
            round_trips: round_trips.get(&contestant).copied().unwrap_or_default(),
            peak_kib: if plan.section == Section::Memory {
                turn.peak_kib
            } else {
                0.0
            },
        };
        Ok((turn.sockets, round))
    }

    /// Ready, and knowing what it would know after many calls.
    fn start(&mut self, plan: &Plan, contestant: Contestant) -> Answer<WorkerProcess> {
        let setup = Setup {
            contestant,
            runtime: plan.runtime,
            layout: self.stage.layout.clone(),
            delayed: self.delayed.clone(),
        };
        let mut worker = match contestant {
            Contestant::Rb => python::start()?,
            _ => {
                let mut command = Command::new(std::env::current_exe()?);
                WorkerProcess::start(command.arg("application-worker"))?
            }
        };
        ready(told(worker.ask(&setup)?)?)?;
        if let What::Deliver { .. } = plan.what {
            ready(told(worker.ask(&Order::Owners(self.owners.clone()))?)?)?;
            let act = self.act(plan);
            ready(told(worker.ask(&Order::WarmUp { act })?)?)?;
            self.holdings.put_back(false).map_err(refused)?;
        }
        Ok(worker)
    }

    fn ask(&self, worker: &mut WorkerProcess, act: Act) -> Answer<Turn> {
        let window_ms = match act {
            // One is long enough.
            Act::Deliver { .. } | Act::DeliverLazily { .. } => 0,
            _ => self.settings.window_ms,
        };
        match told(worker.ask(&Order::Turn { act, window_ms })?)? {
            Told::Turn(turn) => Ok(turn),
            other => Err(unexpected(&other)),
        }
    }

    /// That it is done, and not only said to be; then all is as it was before.
    fn look_at(&mut self, plan: &Plan, contestant: Contestant) -> Result<()> {
        match plan.what {
            What::Deliver { .. } if contestant == Contestant::RedisBenchmark => {
                let delivered = self.holdings.delivered_by_limit()?;
                self.holdings.put_back(true)?;
                if (delivered as f64) < LIMIT_SHARE_MIN * OWNERS as f64 {
                    bail!("{delivered} of {OWNERS} items are there");
                }
            }
            What::Deliver { keep } => {
                self.holdings.check_delivered(keep)?;
                self.holdings.put_back(false)?;
            }
            What::DeliverLazily { owners } => {
                let keys = self.holdings.keys()?;
                self.holdings.clear()?;
                if keys != owners {
                    bail!("{keys} timelines of {owners} owners are there");
                }
            }
            What::Combine(..) | What::Merged { .. } | What::Values => {}
        }
        Ok(())
    }

    /// The next call of this cell. Every delivery is of a new item.
    fn act(&mut self, plan: &Plan) -> Act {
        self.delivered += 1;
        let item = Item {
            id: NEW_IDS + self.delivered,
            score: NEW_SCORES + self.delivered,
        };
        match plan.what {
            What::Deliver { keep } => Act::Deliver {
                timelines: HOME.to_owned(),
                keep,
                item,
            },
            What::DeliverLazily { owners } => Act::DeliverLazily {
                timelines: HOME.to_owned(),
                keep: 1_000,
                owners,
                item,
            },
            What::Combine(how, pair, form) => {
                let all = match how {
                    Combination::Intersect => pair.intersection(),
                    Combination::Union => pair.union(),
                    Combination::Difference => pair.difference(),
                };
                Act::Combine {
                    how,
                    sets: pair.keys(&self.places),
                    form,
                    expected: match form {
                        Form::Members | Form::Count => all,
                        Form::Limit(some) => all.some(some),
                    },
                }
            }
            What::Merged { skewed } => {
                let (timelines, authors, later) = if skewed {
                    (SKEWED, &self.skewed, self.skewed.first().copied())
                } else {
                    (POSTS, &self.authors, None)
                };
                Act::Merged {
                    timelines: timelines.to_owned(),
                    authors: authors.clone(),
                    expected: newest(authors, later, PAGE),
                }
            }
            What::Values => Act::Values(self.places.values()),
        }
    }

    /// What asking for the traffic adds to it.
    fn traffic_of_a_question(&mut self) -> Answer<u64> {
        let before = self.holdings.traffic().map_err(refused)?;
        Ok(self.holdings.traffic().map_err(refused)? - before)
    }
}

/// A delivery is a stream of pieces, of which none waits for another; and rb's worker counts none.
fn counts_round_trips(section: Section, contestant: Contestant) -> bool {
    let is_counted = !matches!(section, Section::Deliver | Section::Memory);
    is_counted && contestant != Contestant::Rb
}

fn told(told: Told) -> Answer<Told> {
    match told {
        Told::Wrong(what) => Err(Failure::Wrong(what)),
        Told::Refused(why) => Err(Failure::Refused(why)),
        other => Ok(other),
    }
}

fn ready(told: Told) -> Answer<()> {
    match told {
        Told::Ready => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(told: &Told) -> Failure {
    Failure::Refused(format!("the worker answered {told:?}"))
}

fn refused(error: anyhow::Error) -> Failure {
    Failure::Refused(format!("{error:#}"))
}

fn empty(contestant: Contestant) -> Column {
    Column {
        peer: contestant.name().to_owned(),
        rounds: Vec::new(),
        sockets: 0,
        refused: None,
    }
}
