//! The pool: for each server its shared pipelined connections and its leased ones. A switch of topology walks this one list.

use crate::config::{self, Config, Limits, Pool as PoolSettings, Protocol, Retry, Tcp, Timeouts};
use crate::connection::{
    Admission, Bounds, Cause, Delivery, DialError, Dialler, DiallerParts, Interrupted, Link,
    Manner, Owner, Patience, Purpose, Stream,
};
use crate::placement::NodeId;
use crate::resp::{Decoder, DecoderLimits};
use crate::stats::ServerStats;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Which of a server's shared connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lane {
    #[default]
    Shared,
    /// For big values, so that they do not stand in the way of small ones.
    Bulk,
}

/// Everything that connections to a server depend on. Equal settings on a reload: the connections stay.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) server: config::Server,
    pub(crate) protocol: Protocol,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: Retry,
    pub(crate) pool: PoolSettings,
    pub(crate) limits: Limits,
    pub(crate) tcp: Tcp,
}

impl Settings {
    fn of(config: &Config, server: &config::Server) -> Settings {
        Settings {
            server: server.clone(),
            protocol: config.protocol(),
            timeouts: config.timeouts().clone(),
            retry: config.retry().clone(),
            pool: config.pool().clone(),
            limits: config.limits().clone(),
            tcp: config.tcp().clone(),
        }
    }

    fn decoder_limits(&self) -> DecoderLimits {
        DecoderLimits {
            reply_bytes_max: usize::try_from(self.limits.reply_bytes_max).unwrap_or(usize::MAX),
            // As redis-rs: what its users nest, a script's reply for instance, comes through.
            depth_max: DecoderLimits::default().depth_max,
            line_bytes_max: 1024 * 1024,
        }
    }
}

/// One server, as this process is connected to it.
#[derive(Debug)]
pub(crate) struct Server {
    settings: Settings,
    dialler: Arc<Dialler>,
    runtime: Handle,
    shared: Box<[Arc<Link>]>,
    bulk: OnceLock<Box<[Arc<Link>]>>,
    /// Raised before the bulk connections read their generation: a switch then waits for them, or they see the new one.
    bulk_wanted: AtomicBool,
    /// The newest generation, for connections that are opened later.
    generation: AtomicU64,
    leases: Arc<Semaphore>,
    idle: Mutex<Vec<Arc<Link>>>,
    /// Until they are idle or closed: one that its owner has dropped may still be writing, and a switch has to wait for it, too.
    leased: Mutex<Vec<(Arc<Link>, Vec<NodeId>)>>,
    budget: Budget,
}

/// Hears how the first dial of each shared connection went.
type FirstDials = Vec<oneshot::Receiver<Result<(), DialError>>>;

impl Server {
    /// Starts dialling the shared connections on `runtime`.
    fn start(
        settings: Settings,
        admission: Arc<Admission>,
        generation: u64,
        epoch: u64,
        runtime: &Handle,
    ) -> (Server, FirstDials) {
        let stats = Arc::new(ServerStats::new(
            settings.server.name.clone(),
            // One more for what the table does not have.
            crate::command::CommandId::COUNT as u16 + 1,
            |command| {
                crate::command::CommandId(command)
                    .row()
                    .map_or("other", |row| row.name)
            },
        ));
        let dialler = Arc::new(Dialler::new(DiallerParts {
            name: settings.server.name.clone(),
            endpoint: settings.server.endpoint.clone(),
            manner: Manner {
                connect: settings.timeouts.connect,
                tcp: settings.tcp.clone(),
                decoder: settings.decoder_limits(),
            },
            patience: Patience {
                dead: settings.timeouts.dead,
                silence_max: settings.timeouts.silence_max.max(settings.timeouts.dead),
                idle_ping: settings.timeouts.idle_ping,
            },
            bounds: Bounds {
                commands_max: settings.limits.in_flight_max,
                bytes_max: settings.limits.request_bytes_max,
            },
            retry: settings.retry.clone(),
            admission,
            stats,
            epoch,
        }));
        let (shared, first): (Vec<_>, Vec<_>) = (0..settings.pool.connections)
            .map(|_| Link::shared(dialler.clone(), Purpose::Commands, generation, runtime))
            .unzip();
        let server = Server {
            leases: Arc::new(Semaphore::new(usize::from(settings.pool.dedicated_max))),
            budget: Budget::new(settings.retry.budget_percent),
            settings,
            dialler,
            runtime: runtime.clone(),
            shared: shared.into_boxed_slice(),
            bulk: OnceLock::new(),
            bulk_wanted: AtomicBool::new(false),
            generation: AtomicU64::new(generation),
            idle: Mutex::default(),
            leased: Mutex::default(),
        };
        (server, first)
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.settings.server.name
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn stats(&self) -> &Arc<ServerStats> {
        self.dialler.stats()
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The connection that a node's commands take. A node keeps to one, so that the order of its commands holds.
    pub(crate) fn link(&self, lane: Lane, node: NodeId) -> &Arc<Link> {
        let links = match lane {
            Lane::Shared => &self.shared,
            Lane::Bulk => match self.bulk.get() {
                Some(links) => links,
                None => self.open_bulk(),
            },
        };
        &links[node.index() % links.len()]
    }

    fn open_bulk(&self) -> &[Arc<Link>] {
        self.bulk_wanted.store(true, Ordering::SeqCst);
        let links = self.bulk.get_or_init(|| {
            let generation = self.generation.load(Ordering::SeqCst);
            (0..self.settings.pool.bulk_connections)
                .map(|_| {
                    Link::shared(
                        self.dialler.clone(),
                        Purpose::Bulk,
                        generation,
                        &self.runtime,
                    )
                    .0
                })
                .collect()
        });
        // Asked behind their making: a drain that came before has not met them.
        if self.leases.is_closed() {
            for link in links {
                link.outbox().drain(Cause::Closed);
            }
        }
        links
    }

    /// How many connections a lane has.
    pub(crate) fn width(&self, lane: Lane) -> usize {
        match lane {
            Lane::Shared => self.shared.len(),
            Lane::Bulk => usize::from(self.settings.pool.bulk_connections),
        }
    }

    /// Up if every shared connection is.
    pub(crate) fn is_up(&self) -> bool {
        self.shared.iter().all(|link| link.outbox().is_up())
    }

    /// Since when and why the server cannot be reached.
    pub(crate) fn outage(&self) -> Option<(Instant, Option<Cause>)> {
        self.shared.iter().find_map(|link| link.outbox().outage())
    }

    /// Why the last dial of any connection failed, if one is missing: they are dialled one after the other, and those that wait for
    /// their turn have no cause of their own.
    pub(crate) fn outage_cause(&self) -> Option<Cause> {
        self.shared
            .iter()
            .chain(self.bulk.get().into_iter().flatten())
            .find_map(|link| link.outbox().outage()?.1)
    }

    /// Commands queued and in flight on all connections.
    pub(crate) fn in_flight(&self) -> u64 {
        self.all()
            .iter()
            .map(|link| u64::from(link.outbox().in_flight()))
            .sum()
    }

    /// A connection of one's own, for a caller that was routed here under `routed`, a generation. Waits for a place until the deadline;
    /// does not dial a server that is known to be down.
    ///
    /// # Errors
    /// The cause; nothing was sent. [`Cause::NodeMoved`]: the topology was switched meanwhile, so route again.
    pub(crate) async fn lease(
        self: &Arc<Self>,
        nodes: impl IntoIterator<Item = NodeId>,
        routed: u64,
        deadline: Instant,
    ) -> Result<Lease, Cause> {
        let nodes: Vec<NodeId> = nodes.into_iter().collect();
        let permit =
            match tokio::time::timeout_at(deadline.into(), self.leases.clone().acquire_owned())
                .await
            {
                Err(_) => return Err(Cause::NoLease(self.settings.pool.dedicated_max)),
                // A server that a reload has dropped: the newer topology knows better.
                Ok(Err(_)) if self.generation.load(Ordering::SeqCst) > routed => {
                    return Err(Cause::NodeMoved);
                }
                Ok(Err(_)) => return Err(Cause::Closed),
                Ok(Ok(permit)) => permit,
            };
        if let Some(link) = self.take_idle(&nodes) {
            return self.lend(link, routed, permit);
        }
        if let Some((_, Some(cause))) = self.outage() {
            return Err(cause);
        }
        let greeted = self.generation.load(Ordering::SeqCst);
        // Dialled on the owner's runtime: a caller that gives up must not tear a half-made connection out of another runtime.
        let (dialler, runtime) = (self.dialler.clone(), self.runtime.clone());
        let dial = self
            .runtime
            .spawn(async move { Link::leased(dialler, greeted, &runtime).await });
        match tokio::time::timeout_at(deadline.into(), dial).await {
            Err(_) => Err(Cause::Deadline),
            Ok(Err(_)) => Err(Cause::RuntimeGone),
            Ok(Ok(Err(error))) => Err(error.cause()),
            Ok(Ok(Ok(link))) => {
                self.leased.lock().push((link.clone(), nodes));
                self.lend(link, greeted.min(routed), permit)
            }
        }
    }

    /// Moves a connection from the idle ones to the leased ones; a switch that walks both never misses it.
    fn take_idle(&self, nodes: &[NodeId]) -> Option<Arc<Link>> {
        let mut idle = self.idle.lock();
        loop {
            let link = idle.pop()?;
            // The outbox's count is not asked: it falls a moment after the last owner has its reply, and that owner has vouched for the rest.
            if link.outbox().is_up() {
                link.outbox().hand_to(Owner::One);
                self.leased.lock().push((link.clone(), nodes.to_vec()));
                return Some(link);
            }
        }
    }

    /// Hands out a connection that is on the list already. A switch or a close that came before it was there is seen here; one that
    /// comes now finds it on the list.
    fn lend(
        self: &Arc<Self>,
        link: Arc<Link>,
        routed: u64,
        permit: OwnedSemaphorePermit,
    ) -> Result<Lease, Cause> {
        self.leased
            .lock()
            .retain(|(other, _)| Arc::ptr_eq(other, &link) || !other.outbox().is_closed());
        let lease = Lease {
            link,
            server: self.clone(),
            clean: false,
            _permit: permit,
        };
        // First: a server that a reload has dropped is closed too, and the newer topology knows better.
        if self.generation.load(Ordering::SeqCst) > routed {
            return Err(Cause::NodeMoved);
        }
        if self.leases.is_closed() {
            return Err(Cause::Closed);
        }
        Ok(lease)
    }

    /// One command over a connection made for it, past all that waits, on the runtime that owns the connections.
    pub(crate) async fn interrupt(
        &self,
        command: &redis::Cmd,
        deadline: Instant,
    ) -> Result<redis::Value, Interrupted> {
        let (dialler, command) = (self.dialler.clone(), command.clone());
        let asking = self
            .runtime
            .spawn(async move { dialler.interrupt(&command, deadline).await });
        asking
            .await
            .unwrap_or(Err(Interrupted::NotSent(Cause::RuntimeGone)))
    }

    /// CLIENT SETNAME of a connection for pub/sub, with the epoch in force.
    pub(crate) fn pubsub_name(&self, epoch: u64) -> Vec<u8> {
        self.dialler.name_of(Purpose::PubSub, epoch)
    }

    /// A connection for pub/sub: its stream is the caller's.
    pub(crate) async fn dial_pubsub(&self) -> Result<(Stream, Decoder), DialError> {
        self.dialler
            .dial(Purpose::PubSub)
            .await
            .map(|(stream, decoder, _)| (stream, decoder))
    }

    /// Tells every connection of the new generation. `moved` are the nodes that left this server.
    fn advance(
        self: &Arc<Self>,
        generation: u64,
        epoch: u64,
        moved: &[NodeId],
        deadline: Instant,
    ) -> Vec<Barrier> {
        let preamble = self.dialler.set_epoch(epoch);
        self.generation.fetch_max(generation, Ordering::SeqCst);
        let bulk = if self.bulk_wanted.load(Ordering::SeqCst) {
            self.open_bulk()
        } else {
            &[]
        };
        let mut barriers = Vec::new();
        let mut tell = |link: &Arc<Link>, leased_from: Option<Arc<Server>>| {
            let heard = link.outbox().advance(generation, &preamble, deadline);
            barriers.push(Barrier {
                link: link.clone(),
                heard,
                leased_from,
            });
        };
        for link in self.shared.iter().chain(bulk) {
            tell(link, None);
        }
        for link in self.idle.lock().iter() {
            tell(link, None);
        }
        for (link, nodes) in self.leased.lock().iter() {
            if nodes.iter().any(|node| moved.contains(node)) {
                tell(link, Some(self.clone()));
                link.outbox().drain(Cause::NodeMoved);
            }
        }
        barriers
    }

    /// Ends a blocking command of a leased connection with an error, so that nothing it might have taken is lost: a closed connection
    /// could lose an element that the server was just handing over.
    fn unblock(&self, link: &Link) {
        let packed = redis::cmd("CLIENT")
            .arg("UNBLOCK")
            .arg(link.connection_id())
            .arg("ERROR")
            .get_packed_command();
        self.shared[0].outbox().tell(&packed);
    }

    /// No new work; what is queued and in flight is answered, then the connections end.
    pub(crate) fn drain(&self) {
        self.leases.close();
        for link in self.all() {
            link.outbox().drain(Cause::Closed);
        }
    }

    /// Ends every connection now.
    pub(crate) fn cut(&self) {
        for link in self.all() {
            link.outbox().cut(Cause::Closed);
        }
    }

    /// Resolves when every connection has ended.
    pub(crate) async fn ended(&self) {
        for link in self.all() {
            link.ended().await;
        }
    }

    /// Every connection forgets which scripts it has loaded: SCRIPT FLUSH.
    pub(crate) fn forget_scripts(&self) {
        for link in self.all() {
            link.outbox().forget_scripts();
        }
    }

    fn all(&self) -> Vec<Arc<Link>> {
        let mut links: Vec<Arc<Link>> = self.shared.to_vec();
        links.extend(
            self.bulk
                .get()
                .into_iter()
                .flat_map(|links| links.iter().cloned()),
        );
        links.extend(self.idle.lock().iter().cloned());
        links.extend(self.leased.lock().iter().map(|(link, _)| link.clone()));
        links
    }
}

impl Drop for Server {
    /// The last user is gone: the connections end, or their tasks would dial for ever.
    fn drop(&mut self) {
        for link in self.all() {
            link.outbox().drain(Cause::Closed);
        }
    }
}

/// One connection's promise that everything before a switch is answered or failed.
struct Barrier {
    link: Arc<Link>,
    heard: oneshot::Receiver<Delivery>,
    /// For a leased connection, which may be blocking: its server.
    leased_from: Option<Arc<Server>>,
}

/// How often a leased connection is asked to stop blocking: its command may not have reached the server the first time.
const UNBLOCK_EVERY: Duration = Duration::from_millis(20);

/// A connection of one owner. Dropped: returned if it was left clean, else closed.
#[derive(Debug)]
pub(crate) struct Lease {
    link: Arc<Link>,
    server: Arc<Server>,
    clean: bool,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The owner vouches that the connection is as it was: no transaction, no WATCH, nothing outstanding.
    pub(crate) fn return_clean(mut self) {
        self.clean = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let outbox = self.link.outbox();
        if self.clean && !self.server.leases.is_closed() {
            let mut idle = self.server.idle.lock();
            // One that was out during a switch has not been told of it, and goes.
            let is_current = outbox.generation() >= self.server.generation.load(Ordering::SeqCst);
            let has_room = idle.len() < usize::from(self.server.settings.pool.dedicated_idle_max);
            if is_current && has_room && outbox.is_up() {
                outbox.hand_to(Owner::Nobody);
                idle.push(self.link.clone());
                self.server
                    .leased
                    .lock()
                    .retain(|(link, _)| !Arc::ptr_eq(link, &self.link));
                return;
            }
        }
        outbox.cut(Cause::Dropped("its owner dropped the dedicated connection"));
    }
}

/// Retries that a server may still get: each answered call earns a part of one, so that an outage does not multiply the load.
#[derive(Debug)]
pub(crate) struct Budget {
    /// In hundredths of a retry.
    tokens: AtomicI64,
    percent: i64,
}

/// So many retries may be saved up, and are there at the start.
const BUDGET_MAX: i64 = 100 * 100;

impl Budget {
    fn new(percent: u32) -> Budget {
        Budget {
            tokens: AtomicI64::new(if percent == 0 { 0 } else { BUDGET_MAX }),
            percent: i64::from(percent),
        }
    }

    /// `calls` were made.
    pub(crate) fn earn(&self, calls: usize) {
        if self.tokens.load(Ordering::Relaxed) < BUDGET_MAX {
            self.tokens
                .fetch_add(self.percent.saturating_mul(calls as i64), Ordering::Relaxed);
        }
    }

    /// Takes one retry, if there is one.
    pub(crate) fn spend(&self) -> bool {
        self.tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                (tokens >= 100).then(|| tokens - 100)
            })
            .is_ok()
    }
}

/// The servers of a configuration: those of `old` whose settings are equal are taken over, the others are dialled, all at once.
///
/// # Errors
/// The first server that refuses this configuration, or with `startup = "all"` the first that cannot be reached; then nothing was changed.
pub(crate) async fn connect(
    config: &Config,
    old: &[Arc<Server>],
    admission: &Arc<Admission>,
    generation: u64,
    runtime: &Handle,
) -> Result<Box<[Arc<Server>]>, (Arc<str>, DialError)> {
    let mut servers = Vec::with_capacity(config.servers().len());
    let mut dials = Vec::new();
    for server in config.servers() {
        let settings = Settings::of(config, server);
        if let Some(kept) = old.iter().find(|old| old.settings == settings) {
            servers.push(kept.clone());
            continue;
        }
        let epoch = config.topology().epoch().0;
        let (started, first) =
            Server::start(settings, admission.clone(), generation, epoch, runtime);
        dials.extend(first.into_iter().map(|dial| (server.name.clone(), dial)));
        servers.push(Arc::new(started));
    }
    let all = config.startup() == config::Startup::All;
    // All are under way already, so waiting for one after the other costs no more than the slowest.
    for (name, dial) in dials {
        match dial.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is_configuration || all => return Err((name, error)),
            Ok(Err(_)) => {}
            Err(_) => {
                let message = "the runtime was shut down".to_owned();
                return Err((
                    name,
                    DialError {
                        is_configuration: false,
                        is_busy: false,
                        message,
                    },
                ));
            }
        }
    }
    Ok(servers.into_boxed_slice())
}

/// Raises the generation on every connection of both topologies, and waits until all that was routed under older ones is answered or
/// failed. A connection that has not got there by `deadline` is cut: what it still owes fails, and then it holds as well.
pub(crate) async fn advance(
    servers: Vec<(Arc<Server>, Vec<NodeId>)>,
    generation: u64,
    epoch: u64,
    deadline: Instant,
) {
    let mut barriers = Vec::new();
    for (server, moved) in &servers {
        barriers.extend(server.advance(generation, epoch, moved, deadline));
    }
    for Barrier {
        link,
        mut heard,
        leased_from,
    } in barriers
    {
        let reached = match leased_from {
            None => tokio::time::timeout_at(deadline.into(), &mut heard)
                .await
                .is_ok(),
            Some(server) => loop {
                server.unblock(&link);
                if tokio::time::timeout(UNBLOCK_EVERY, &mut heard)
                    .await
                    .is_ok()
                {
                    break true;
                }
                if Instant::now() >= deadline {
                    break false;
                }
            },
        };
        if !reached {
            link.outbox().cut(Cause::Dropped(
                "it did not finish its old commands before the deadline of the reload",
            ));
            // The cut is carried out by the driver; the barrier's waiter fails with all the others.
            let _ = heard.await;
        }
    }
}

#[cfg(test)]
mod tests;
