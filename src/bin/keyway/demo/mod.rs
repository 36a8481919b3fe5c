//! `keyway demo`: two real servers, a social graph, a crash and a recovery, on one screen.

mod feed;
mod graph;
mod outage;
mod progress;
mod report;
mod screen;
mod servers;
mod story;

use feed::Feed;
use graph::{Graph, GraphError};
use progress::Progress;
use report::{ClientServer, GraphFacts, Report};
use servers::{Servers, ServersError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use story::{Story, StoryError};

/// Two real servers, a social graph, a crash and a recovery: what keyway does, and how fast
///
/// Starts two redis-servers on free ports in a temporary directory, spreads a follow graph over 64 nodes, intersects sets across servers,
/// delivers a post of every user to the timelines of all followers, kills a server amid a delivery and brings it back. Every answer is
/// checked against a plain computation in memory.
/// Everything that it started is gone when it ends, Ctrl-C included.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Follow graph to load: lines "a b" (b follows a), # begins a comment [default: a generated one]
    #[arg(long, value_name = "FILE", conflicts_with = "users")]
    edges: Option<PathBuf>,
    /// Users of the generated graph; they make 16 edges per 3 users
    #[arg(long, value_name = "COUNT", default_value_t = 75_000, value_parser = clap::value_parser!(u32).range(10..=5_000_000))]
    users: u32,
    /// Of the generated graph and of the samples: the same seed asks the same
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the report as JSON, and nothing else, on stdout
    #[arg(long)]
    json: bool,
}

/// The server that dies.
const VICTIM: &str = "b";
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Graph(#[from] GraphError),
    #[error(transparent)]
    Servers(#[from] ServersError),
    #[error(transparent)]
    Story(#[from] StoryError),
    #[error("cannot connect to the demo's own cluster: {0}")]
    Connect(keyway::Error),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Runs the demo. 0 when every check holds, 1 when one does not or nothing can be shown, 128 + n after signal n.
pub(crate) async fn run(args: Args) -> ExitCode {
    let outcome = tokio::select! {
        // First, so that the handlers are there before anything is started.
        biased;
        signal = interrupted() => Err(signal),
        // Dropping it ends the servers and removes their directory.
        outcome = tell(&args) => Ok(outcome),
    };
    let shown = match outcome {
        Err(signal) => {
            complain("stopped; its servers and their directory are gone");
            return ExitCode::from(128 + signal);
        }
        Ok(Ok(report)) => show(&report, args.json).map(|()| report.passed),
        Ok(Err(error)) => Err(error),
    };
    match shown {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            complain("a check failed; this is a bug in keyway, please report it");
            ExitCode::FAILURE
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn tell(args: &Args) -> Result<Report, DemoError> {
    let began = Instant::now();
    let progress = Progress;
    let graph = graph_of(args, &progress).await?;
    let (mut servers, ready) = {
        let _bar = progress.spinner("starting two redis-servers");
        Servers::start().await?
    };
    let cluster_toml = servers.cluster_toml();
    let file = servers.directory().join("cluster.toml");
    std::fs::write(&file, &cluster_toml)?;
    let cluster = keyway::Cluster::connect(&file)
        .await
        .map_err(DemoError::Connect)?;

    let mut random = fastrand::Rng::with_seed(args.seed);
    let mut story = Story {
        cluster: cluster.clone(),
        graph: &graph,
        progress: &progress,
        feed: Feed::new(&cluster, &graph, &mut random),
        random,
        checks: Vec::new(),
    };
    let memory_before = story.memory().await?;
    let load = story.load().await?;
    let balance = story.balance(&memory_before).await?;
    let intersections = story.intersect().await?;
    let delivery = story.deliver().await?;
    let (crash, failed) = story.crash(&mut servers, VICTIM).await?;
    let recovery = story.recover(&mut servers, VICTIM, failed).await?;
    let checks = story.checks;
    let client = ClientServer::all(cluster.stats());
    cluster.close().await.map_err(StoryError::from)?;
    servers.stop()?;
    Ok(Report {
        passed: checks.iter().all(|check| check.passed),
        seconds: began.elapsed().as_secs_f64(),
        checks,
        cluster_toml,
        redis_version: ready.version,
        graph: facts(args, &graph),
        load,
        balance,
        intersections,
        delivery,
        crash,
        recovery,
        client,
    })
}

async fn graph_of(args: &Args, progress: &Progress) -> Result<Graph, DemoError> {
    let (seed, users) = (args.seed, args.users);
    let Some(file) = args.edges.clone() else {
        let _bar = progress.spinner("generating a graph");
        return Ok(aside(move || Graph::generate(users, seed)).await);
    };
    let bytes = std::fs::metadata(&file).map_or(0, |data| data.len());
    let bar = progress.bytes("reading", bytes);
    let bytes_read = Arc::new(AtomicU64::new(0));
    let counter = bytes_read.clone();
    let reading = aside(move || Graph::read(&file, &counter));
    tokio::pin!(reading);
    let mut tick = tokio::time::interval(PROGRESS_EVERY);
    loop {
        tokio::select! {
            graph = &mut reading => return Ok(graph?),
            _ = tick.tick() => bar.set(bytes_read.load(Ordering::Relaxed)),
        }
    }
}

/// On a thread that nobody waits for: tokio's blocking tasks would hold up the end of the process after Ctrl-C.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        // Nobody listens any more after Ctrl-C.
        let _ = done.send(work());
    });
    match result.await {
        Ok(value) => value,
        // The sender is only dropped unused by a panic, which goes on here.
        Err(_) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => std::future::pending().await,
        },
    }
}

fn facts(args: &Args, graph: &Graph) -> GraphFacts {
    let heaviest = graph.heaviest(graph::Side::Followers);
    let followers = |at: usize| {
        let user = heaviest.get(at).copied();
        user.map_or(0, |user| {
            graph.set(graph::Side::Followers, user).len() as u64
        })
    };
    GraphFacts {
        source: match &args.edges {
            Some(file) => base_name(file),
            None => "generated".to_owned(),
        },
        seed: args.seed,
        users: graph.users().into(),
        edges: graph.edges() as u64,
        followers_max: followers(0),
        followers_median: followers(heaviest.len() / 2),
    }
}

fn base_name(file: &Path) -> String {
    file.file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn show(report: &Report, as_json: bool) -> Result<(), DemoError> {
    let written = match as_json {
        true => serde_json::to_string_pretty(report)
            .map_err(io::Error::other)
            .and_then(|text| writeln!(io::stdout().lock(), "{text}")),
        // Colours are taken out where they are not wanted: no terminal, NO_COLOR.
        false => {
            let columns = usize::from(crate::output::terminal_columns());
            let text = screen::render(report, columns);
            write!(anstream::stdout().lock(), "{text}")
        }
    };
    match written {
        // Whoever reads had enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn complain(what: &str) {
    // Where stderr is gone there is nobody to tell.
    let _ = writeln!(anstream::stderr().lock(), "keyway demo: {what}");
}

/// The number of the first signal that asks us to end.
#[cfg(unix)]
async fn interrupted() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind: SignalKind, number: u8| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
                number
            }
            // No handler: the default action ends us, and the servers are left to the next start of the machine.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        number = wait(SignalKind::interrupt(), 2) => number,
        number = wait(SignalKind::terminate(), 15) => number,
        number = wait(SignalKind::hangup(), 1) => number,
    }
}

#[cfg(not(unix))]
async fn interrupted() -> u8 {
    match tokio::signal::ctrl_c().await {
        Ok(()) => 2,
        Err(_) => std::future::pending().await,
    }
}
