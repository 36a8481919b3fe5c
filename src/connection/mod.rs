//! Connections: from an endpoint to a pipelined stream of commands and replies, and back to one when it breaks.
//!
//! A [`Link`] is one connection slot: an [`Outbox`] that callers push to, and a task behind it. The slot of a shared connection outlives
//! its connections; that of a leased one ends with it.

mod admission;
mod cause;
mod dial;
mod driver;
#[cfg(test)]
pub(crate) mod fake_server;
mod interrupt;
mod outbox;
#[cfg(keyway_instructions)]
mod pipe;
mod places;
mod probe;
mod stream;
#[cfg(test)]
mod tests;
#[cfg(feature = "tls")]
mod tls;

pub(crate) use admission::{Admission, FENCE_KEY, Purpose, info_field};
pub(crate) use cause::Cause;
pub(crate) use dial::{DialError, Manner};
pub(crate) use driver::Patience;
pub(crate) use interrupt::Interrupted;
pub(crate) use outbox::{
    Bounds, Broken, Delivery, Item, Items, Outbox, Owner, Packed, Parcel, Refusal, Script, Ticket,
};
#[cfg(keyway_instructions)]
pub(crate) use outbox::{Ends, Take};
#[cfg(keyway_instructions)]
pub use pipe::listen;
pub(crate) use probe::Probe;
pub(crate) use stream::Stream;

use crate::config::{Endpoint, Retry};
use crate::resp::Decoder;
use crate::stats::ServerStats;
use admission::Admitted;
use driver::{Driver, Driving};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

/// The clock of the connections' timers: the system's, but for tests that stop time.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// All that is needed to reach one server, and the one place from which it is dialled.
#[derive(Debug)]
pub(crate) struct Dialler {
    name: Arc<str>,
    endpoint: Endpoint,
    manner: Manner,
    patience: Patience,
    bounds: Bounds,
    retry: Retry,
    admission: Arc<Admission>,
    stats: Arc<ServerStats>,
    /// The epoch that new connections are named with.
    epoch: AtomicU64,
    /// Held while dialling and while backing off: one dial at a time per server. The count of failures since the last success.
    turn: tokio::sync::Mutex<u32>,
    /// The newest failure, for those that wait for their turn meanwhile.
    failed: watch::Sender<Option<DialError>>,
}

/// What a [`Dialler`] is made of.
pub(crate) struct DiallerParts {
    pub(crate) name: Arc<str>,
    pub(crate) endpoint: Endpoint,
    pub(crate) manner: Manner,
    pub(crate) patience: Patience,
    pub(crate) bounds: Bounds,
    pub(crate) retry: Retry,
    pub(crate) admission: Arc<Admission>,
    pub(crate) stats: Arc<ServerStats>,
    pub(crate) epoch: u64,
}

impl Dialler {
    pub(crate) fn new(parts: DiallerParts) -> Dialler {
        Dialler {
            name: parts.name,
            endpoint: parts.endpoint,
            manner: parts.manner,
            patience: parts.patience,
            bounds: parts.bounds,
            retry: parts.retry,
            admission: parts.admission,
            stats: parts.stats,
            epoch: AtomicU64::new(parts.epoch),
            turn: tokio::sync::Mutex::new(0),
            failed: watch::Sender::new(None),
        }
    }

    pub(crate) fn stats(&self) -> &Arc<ServerStats> {
        &self.stats
    }

    /// From now on connections are named with this epoch. Returns the preamble that renames the open ones.
    pub(crate) fn set_epoch(&self, epoch: u64) -> Vec<u8> {
        self.epoch.fetch_max(epoch, Ordering::SeqCst);
        self.admission.set_name(Purpose::Commands, epoch)
    }

    /// The command that names a connection.
    pub(crate) fn name_of(&self, purpose: Purpose, epoch: u64) -> Vec<u8> {
        self.admission.set_name(purpose, epoch)
    }

    /// One command over a connection made for it, past all that waits.
    pub(crate) async fn interrupt(
        &self,
        command: &redis::Cmd,
        deadline: Instant,
    ) -> Result<redis::Value, Interrupted> {
        interrupt::interrupt(&self.endpoint, &self.manner, command, deadline).await
    }

    /// One dial, now.
    pub(crate) async fn dial(
        &self,
        purpose: Purpose,
    ) -> Result<(Stream, Decoder, Admitted), DialError> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        let result = dial::dial(
            &self.endpoint,
            &self.manner,
            &self.admission,
            purpose,
            epoch,
        )
        .await;
        match &result {
            Ok(_) => {
                self.stats.connected();
                tracing::info!(target: "keyway::connection", server = %self.name, address = %self.endpoint.address, "connected");
            }
            Err(error) => {
                self.stats.dial_failed();
                tracing::warn!(target: "keyway::connection", server = %self.name, address = %self.endpoint.address, %error, "dial failed");
            }
        }
        result
    }

    /// Dials until it succeeds or the outbox is closed. `first` hears when the first try failed.
    async fn dial_until(
        &self,
        purpose: Purpose,
        outbox: &Outbox,
        first: &mut Option<oneshot::Sender<Result<(), DialError>>>,
    ) -> Option<(Stream, Decoder, Admitted)> {
        let mut tell = |error: &DialError| {
            if let Some(first) = first.take() {
                // Nobody listens after the connect has given up.
                let _ = first.send(Err(error.clone()));
            }
            outbox.dial_failed(error.cause());
        };
        let mut others = self.failed.subscribe();
        let mut turn = {
            let mut turn = std::pin::pin!(self.turn.lock());
            loop {
                // Whoever has the turn keeps it while the server is down, so its failures are ours, too.
                tokio::select! {
                    biased;
                    turn = &mut turn => break turn,
                    () = closed(outbox) => return None,
                    Ok(()) = others.changed() => {
                        if let Some(error) = others.borrow_and_update().clone() {
                            tell(&error);
                        }
                    }
                }
            }
        };
        loop {
            let result = tokio::select! {
                biased;
                () = closed(outbox) => return None,
                result = self.dial(purpose) => result,
            };
            match result {
                Ok(connection) => {
                    *turn = 0;
                    return Some(connection);
                }
                Err(error) => {
                    tell(&error);
                    self.failed.send_replace(Some(error));
                    // Full jitter, so that the clients of a server that comes back do not come all at once.
                    let pause = backoff(&self.retry, *turn);
                    *turn = turn.saturating_add(1);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = closed(outbox) => {}
                    }
                }
            }
        }
    }
}

/// A wait with full jitter whose bound doubles with each failure.
pub(crate) fn backoff(retry: &Retry, failures: u32) -> Duration {
    let bound = retry
        .backoff_min
        .saturating_mul(1 << failures.min(20))
        .min(retry.backoff_max);
    bound.mul_f64(fastrand::f64())
}

async fn closed(outbox: &Outbox) {
    loop {
        let mut changed = std::pin::pin!(outbox.changed());
        changed.as_mut().enable();
        if outbox.is_closed() {
            return;
        }
        changed.await;
    }
}

/// One connection slot.
#[derive(Debug)]
pub(crate) struct Link {
    outbox: Arc<Outbox>,
    dialler: Arc<Dialler>,
    purpose: Purpose,
    connection_id: AtomicI64,
}

impl Link {
    fn new(dialler: Arc<Dialler>, purpose: Purpose, outbox: Outbox) -> Arc<Link> {
        Arc::new(Link {
            outbox: Arc::new(outbox),
            dialler,
            purpose,
            connection_id: AtomicI64::new(0),
        })
    }

    /// A slot that is kept connected by a task on `runtime` until its outbox is closed. The receiver hears how the first dial went.
    pub(crate) fn shared(
        dialler: Arc<Dialler>,
        purpose: Purpose,
        generation: u64,
        runtime: &Handle,
    ) -> (Arc<Link>, oneshot::Receiver<Result<(), DialError>>) {
        let outbox = Outbox::new(generation, dialler.bounds, dialler.stats.clone(), now());
        let link = Link::new(dialler, purpose, outbox);
        let (tx, rx) = oneshot::channel();
        // Made here, not inside: a runtime that is gone drops the task before its first poll, and callers must hear of that too.
        let gone = CloseOnDrop(link.outbox.clone());
        runtime.spawn(link.clone().keep_connected(Some(tx), gone));
        (link, rx)
    }

    /// A connection of one owner, dialled now; its slot closes when it dies.
    pub(crate) async fn leased(
        dialler: Arc<Dialler>,
        generation: u64,
        runtime: &Handle,
    ) -> Result<Arc<Link>, DialError> {
        let outbox = Outbox::leased(generation, dialler.bounds, dialler.stats.clone(), now());
        let link = Link::new(dialler, Purpose::Commands, outbox);
        let connection = link.dialler.dial(link.purpose).await?;
        let driver = link.start(connection, generation).ok_or_else(|| {
            DialError::unreachable("the connection was closed while it was dialled")
        })?;
        let outbox = link.outbox.clone();
        let stats = link.dialler.stats.clone();
        runtime.spawn(async move {
            let cause = driver.await;
            if cause.is_loss() {
                stats.disconnected();
            }
            outbox.close(cause);
        });
        Ok(link)
    }

    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    #[cfg(test)]
    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Resolves when the slot is closed for good.
    pub(crate) async fn ended(&self) {
        closed(&self.outbox).await;
    }

    /// The server's number of this connection, for CLIENT UNBLOCK.
    pub(crate) fn connection_id(&self) -> i64 {
        self.connection_id.load(Ordering::Relaxed)
    }

    /// None when the slot was closed meanwhile.
    fn start(
        &self,
        (stream, decoder, admitted): (Stream, Decoder, Admitted),
        greeted: u64,
    ) -> Option<Driving<Stream>> {
        self.connection_id
            .store(admitted.connection_id, Ordering::Relaxed);
        let driver = Driver::start(
            stream,
            self.outbox.clone(),
            self.dialler.stats.clone(),
            decoder,
            self.dialler.patience,
        );
        // Opened behind the driver's birth: its drop would fail whatever was pushed in between.
        self.outbox.open(greeted).then_some(driver)
    }

    async fn keep_connected(
        self: Arc<Self>,
        mut first: Option<oneshot::Sender<Result<(), DialError>>>,
        // A runtime that is torn down drops this task wherever it is; callers must hear of it.
        _gone: CloseOnDrop,
    ) {
        let retry = &self.dialler.retry;
        let mut short_lives = 0;
        loop {
            let greeted = self.outbox.generation();
            let dial = self
                .dialler
                .dial_until(self.purpose, &self.outbox, &mut first);
            let Some(connection) = dial.await else {
                return;
            };
            let Some(driver) = self.start(connection, greeted) else {
                return;
            };
            // Only now: whoever has connected finds the connection up.
            if let Some(first) = first.take() {
                let _ = first.send(Ok(()));
            }
            let opened = now();
            let cause = driver.await;
            if cause.is_loss() {
                self.dialler.stats.disconnected();
            }
            if self.outbox.is_closed() {
                return;
            }
            tracing::warn!(target: "keyway::connection", server = %self.dialler.name, %cause, "disconnected");
            // A server that admits us and hangs up at once must not be dialled as fast as it can answer.
            if cause.is_loss() && now() - opened < retry.backoff_max {
                tokio::select! {
                    () = tokio::time::sleep(backoff(retry, short_lives)) => {}
                    () = closed(&self.outbox) => {}
                }
                short_lives = short_lives.saturating_add(1);
            } else {
                short_lives = 0;
            }
        }
    }
}

impl Drop for Link {
    /// The last owner of a leased connection is gone, perhaps before it was handed out; its driver would keep it open for ever.
    fn drop(&mut self) {
        self.outbox
            .cut(Cause::Dropped("nobody wants the connection any more"));
    }
}

struct CloseOnDrop(Arc<Outbox>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(Cause::RuntimeGone);
    }
}
