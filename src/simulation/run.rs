//! Runs a scenario on all cores. The result is the same for any number of threads: only whole numbers are summed up while counting.

use super::count::{Counts, Scratch};
use super::outcome::{Outcome, report};
use super::report::Report;
use super::scenario::Scenario;
use super::scheme::{BuildError, Lookup};
use super::workload::{PIECE_KEYS, Workload};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Keys that were counted, of all repeats.
    pub keys_done: u64,
    /// Keys that there are, in all repeats.
    pub keys_total: u64,
    /// Repeats that are complete.
    pub repeats_done: u32,
}

/// Is told how far a run is whenever a thread has counted some 65,000 keys, and can stop it by `ControlFlow::Break`: that takes as long as a few thousand
/// more.
pub type Observer<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// An observer that looks away.
pub fn uninterrupted(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Why a run came to no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An algorithm refused the names of some repeat.
    #[error("{scheme} in repeat {repeat}: {source}. Take another seed")]
    Placement {
        /// The scheme.
        scheme: String,
        /// The repeat, from 0.
        repeat: u32,
        /// Why.
        source: BuildError,
    },
}

/// Runs a scenario. Blocks; the observer is called on this thread. If it stops the run, the report has the repeats that are complete; if none is, what was
/// counted of the first.
///
/// Memory: some hundred kilobytes per thread, the tables of the placements, and 24 bytes per repeat, scheme, stage and server. Not the keys, unless they
/// were given.
///
/// # Errors
/// [`RunError`].
pub fn run(scenario: &Scenario, observer: &mut Observer<'_>) -> Result<Report, RunError> {
    let threads = match scenario.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let run = Run::new(scenario);
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(threads * 2);
        for _ in 0..threads {
            let (run, sender) = (&run, sender.clone());
            scope.spawn(move || run.work(&sender));
        }
        drop(sender);
        run.watch(&receiver, observer);
    });
    let queue = run
        .queue
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = queue.failure {
        return Err(error);
    }
    let mut outcomes: Vec<Outcome> = queue.outcomes.into_values().collect();
    let repeats_done = outcomes.len() as u32;
    if outcomes.is_empty() {
        // Stopped in the first repeat: what is done of it is better than nothing. It is something, as the observer is called after the first chunk.
        let begun = queue
            .begun
            .into_iter()
            .filter(|begun| begun.counts.total.keys > 0);
        let begun = begun.min_by_key(|begun| begun.repeat);
        let counts = begun.map_or_else(
            || Counts::new(&scenario.tracks, &run.workload),
            |begun| begun.counts,
        );
        outcomes.push(Outcome::new(scenario, &run.workload, &counts, true));
    }
    report(scenario, &run.workload, &outcomes, repeats_done)
}

/// Pieces that a worker counts before it says so: some ten milliseconds.
const CHUNK_PIECES: u64 = 16;

const CHUNK_KEYS: u64 = CHUNK_PIECES * PIECE_KEYS;

struct Run<'a> {
    scenario: &'a Scenario,
    workload: Workload<'a>,
    /// Of all repeats, if names do not differ.
    shared: Mutex<Option<Arc<Lookups>>>,
    queue: Mutex<Queue>,
    is_stopped: AtomicBool,
}

type Lookups = Vec<Vec<Lookup>>;

/// What is done, and what is to be done.
#[derive(Default)]
struct Queue {
    /// The next repeat that nobody has begun.
    next_repeat: u32,
    /// Not complete; at most one for each thread.
    begun: Vec<Begun>,
    outcomes: BTreeMap<u32, Outcome>,
    failure: Option<RunError>,
}

struct Begun {
    repeat: u32,
    lookups: Arc<Lookups>,
    next_key: u64,
    counts: Counts,
}

/// A chunk of one repeat.
struct Task {
    repeat: u32,
    lookups: Arc<Lookups>,
    first: u64,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario) -> Run<'a> {
        Run {
            scenario,
            workload: Workload::new(&scenario.keys, scenario.seed),
            shared: Mutex::new(None),
            queue: Mutex::new(Queue::default()),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// On the caller's thread.
    fn watch(&self, receiver: &Receiver<u64>, observer: &mut Observer<'_>) {
        let mut progress = Progress {
            keys_done: 0,
            keys_total: self
                .scenario
                .keys
                .count()
                .saturating_mul(self.scenario.repeats.into()),
            repeats_done: 0,
        };
        for keys in receiver {
            progress.keys_done += keys;
            progress.repeats_done = self.queue().outcomes.len() as u32;
            if observer(progress).is_break() {
                self.is_stopped.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Until there is nothing left to do. A worker stays with its repeat, then begins another, then helps with one that others have begun.
    fn work(&self, done: &SyncSender<u64>) {
        let mut scratch = Scratch::default();
        let mut counts = Counts::new(&self.scenario.tracks, &self.workload);
        let empty = counts.clone();
        let mut own = None;
        while let Some(task) = self.task(own) {
            own = Some(task.repeat);
            let before = counts.total.keys;
            for piece in 0..CHUNK_PIECES {
                let first = task.first + piece * PIECE_KEYS;
                if self.is_stopped.load(Ordering::Relaxed) || first >= self.scenario.keys.count() {
                    break;
                }
                let of_keys = if self.scenario.varies_keys() {
                    task.repeat
                } else {
                    0
                };
                self.workload
                    .fill(of_keys, first, PIECE_KEYS, &mut scratch.piece);
                scratch.count(
                    &self.scenario.tracks,
                    &task.lookups,
                    self.workload.bytes_each,
                    &mut counts,
                );
            }
            let keys = counts.total.keys - before;
            self.hand_in(task.repeat, &counts);
            counts.clone_from(&empty);
            // The watcher is gone only if the observer has panicked.
            if done.send(keys).is_err() {
                return;
            }
        }
    }

    fn task(&self, own: Option<u32>) -> Option<Task> {
        let count = self.scenario.keys.count();
        loop {
            let repeat = {
                let mut queue = self.queue();
                if self.is_stopped.load(Ordering::Relaxed) || queue.failure.is_some() {
                    return None;
                }
                let open = |begun: &&mut Begun| begun.next_key < count;
                let mine = queue
                    .begun
                    .iter_mut()
                    .filter(open)
                    .find(|begun| Some(begun.repeat) == own);
                if let Some(begun) = mine {
                    return Some(begun.take());
                }
                if queue.next_repeat < self.scenario.repeats {
                    queue.next_repeat += 1;
                    queue.next_repeat - 1
                } else {
                    let most_left = queue
                        .begun
                        .iter_mut()
                        .filter(open)
                        .min_by_key(|begun| begun.next_key);
                    return most_left.map(Begun::take);
                }
            };
            self.begin(repeat);
            let mut queue = self.queue();
            let begun = queue
                .begun
                .iter_mut()
                .filter(|begun| begun.next_key < count);
            if let Some(begun) = begun.into_iter().find(|begun| begun.repeat == repeat) {
                return Some(begun.take());
            }
        }
    }

    /// Builds the placements, which takes a while, so that others are not to wait for it.
    fn begin(&self, repeat: u32) {
        let built = match self.scenario.varies_names() {
            true => self.build(repeat),
            false => {
                let mut shared = lock(&self.shared);
                match &*shared {
                    Some(lookups) => Ok(lookups.clone()),
                    None => self.build(0).inspect(|built| *shared = Some(built.clone())),
                }
            }
        };
        let mut queue = self.queue();
        match built {
            Ok(lookups) => queue.begun.push(Begun {
                repeat,
                lookups,
                next_key: 0,
                counts: Counts::new(&self.scenario.tracks, &self.workload),
            }),
            Err(error) => queue.failure = Some(error),
        }
    }

    fn build(&self, repeat: u32) -> Result<Arc<Lookups>, RunError> {
        let naming = self.scenario.naming();
        let lookups: Result<Lookups, RunError> = self
            .scenario
            .tracks
            .iter()
            .map(|track| {
                let built = naming.build(track, &self.scenario.fleet, repeat);
                built.map_err(|source| RunError::Placement {
                    scheme: track.scheme.name().to_owned(),
                    repeat,
                    source,
                })
            })
            .collect();
        lookups.map(Arc::new)
    }

    fn hand_in(&self, repeat: u32, counts: &Counts) {
        let mut queue = self.queue();
        let Some(index) = queue.begun.iter().position(|begun| begun.repeat == repeat) else {
            return;
        };
        queue.begun[index].counts.add(counts);
        if queue.begun[index].counts.total.keys == self.scenario.keys.count() {
            let begun = queue.begun.swap_remove(index);
            drop(queue);
            let outcome = Outcome::new(self.scenario, &self.workload, &begun.counts, repeat == 0);
            self.queue().outcomes.insert(repeat, outcome);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }
}

impl Begun {
    fn take(&mut self) -> Task {
        let first = self.next_key;
        self.next_key += CHUNK_KEYS;
        Task {
            repeat: self.repeat,
            lookups: self.lookups.clone(),
            first,
        }
    }
}

/// A worker that panicked takes the whole run with it; what the lock guards is not looked at any more.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
