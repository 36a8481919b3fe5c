//! The future of one command. Written by hand, because each call under way has one: an `async fn` keeps all that its longest way needs, and
//! with a thousand calls in flight that is what falls out of the processor's cache.

use super::{Cluster, name_of};
use crate::command::Access;
use crate::config::MultiKey;
use crate::connection::Delivery;
use crate::control::Current;
use crate::error::Error;
use crate::placement::NodeId;
use crate::pool::Server;
use crate::routing::{self, Known, Scope};
use crate::scatter::{First, SplitRead, Started};
use redis::{Cmd, Value};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use tracing::Instrument;

/// One command on its way. Nothing is done before the first poll; dropping it cancels what has not been written.
#[must_use = "nothing is sent until it is awaited"]
pub(crate) struct Execute<'a> {
    cluster: &'a Cluster,
    cmd: &'a Cmd,
    progress: Progress<'a>,
}

enum Progress<'a> {
    New {
        scope: Scope,
        server: Option<&'a str>,
    },
    /// What nearly all calls are: one key, its connection is up, and the reply will be a plain one.
    Short(Started),
    /// An MGET over several nodes, likewise.
    Split(Box<SplitRead>),
    Long(Long<'a>),
}

const _: () = assert!(size_of::<Execute<'_>>() <= 64, "a cache line");

type Long<'a> = Pin<Box<dyn Future<Output = Result<Value, Error>> + Send + 'a>>;

impl Cluster {
    /// Sends one command where it belongs. Error replies come as values.
    pub(crate) fn execute<'a>(
        &'a self,
        cmd: &'a Cmd,
        scope: Scope,
        server: Option<&'a str>,
    ) -> Execute<'a> {
        Execute {
            cluster: self,
            cmd,
            progress: Progress::New { scope, server },
        }
    }

    fn begin<'a>(
        &'a self,
        cmd: &'a Cmd,
        scope: Scope,
        server: Option<&'a str>,
        waker: &Waker,
    ) -> Progress<'a> {
        let span =
            tracing::trace_span!(target: "keyway::call", "keyway.call", command = name_of(cmd));
        if !span.is_disabled() {
            let call = self.go_the_long_way(cmd, scope, server);
            return Progress::Long(Box::pin(call.instrument(span)));
        }
        if let Some(started) = self.start(cmd, scope, waker) {
            return Progress::Short(started);
        }
        match self.start_split(cmd, scope) {
            Some(split) => Progress::Split(Box::new(split)),
            None => Progress::Long(self.go_the_long_way(cmd, scope, server)),
        }
    }

    /// Not in line: its future is made on the stack, and the short way needs none of that.
    #[inline(never)]
    fn go_the_long_way<'a>(
        &'a self,
        cmd: &'a Cmd,
        scope: Scope,
        server: Option<&'a str>,
    ) -> Long<'a> {
        Box::pin(self.route_and_send(cmd, scope, server))
    }

    /// The short way of an MGET over several nodes, likewise.
    fn start_split(&self, cmd: &Cmd, scope: Scope) -> Option<SplitRead> {
        if scope != Scope::Cluster || cmd.is_no_response() {
            return None;
        }
        let known = Known {
            row: Some(routing::split_read(cmd)?),
            is_read: true,
        };
        let current = self.current();
        if current.config.multi_key() != MultiKey::Split || !current.config.placement().has_homes()
        {
            return None;
        }
        let manner = self.manner_by(&current);
        let scatter = &self.core.scatter;
        scatter.start_split(&current, cmd, known, manner)
    }

    #[inline(never)]
    fn finish_split<'a>(&'a self, cmd: &'a Cmd, split: SplitRead) -> Long<'a> {
        Box::pin(self.core.scatter.finish_split(cmd, split))
    }

    /// The short way: routed and pushed under one look at the topology, or nothing was done.
    fn start(&self, cmd: &Cmd, scope: Scope, waker: &Waker) -> Option<Started> {
        let current = self.core.scatter.control().load();
        let (known, node) = simple(&current, cmd, scope)?;
        let first = First {
            known,
            node,
            manner: self.manner_by(&current),
        };
        self.core.scatter.start(&current, cmd, first, waker)
    }

    /// What follows a short way that has not ended with a plain reply. What was known at its start is found anew: to keep it would make every
    /// call larger.
    #[inline(never)]
    fn finish<'a>(&'a self, cmd: &'a Cmd, started: &Started, delivery: Delivery) -> Long<'a> {
        let current = self.current();
        let server = started.server.clone();
        let manner = self.manner_until(&current, started.deadline);
        let scatter = &self.core.scatter;
        let first = simple(&current, cmd, Scope::Cluster);
        Box::pin(async move {
            let Some((known, node)) = first else {
                unreachable!("no reload changes the placement, so it is as simple as before")
            };
            let first = First {
                known,
                node,
                manner,
            };
            scatter.finish(cmd, first, delivery, server).await
        })
    }
}

/// What most calls are: one key, for the node that it hashes to.
pub(super) fn simple(
    current: &Current<Server>,
    cmd: &Cmd,
    scope: Scope,
) -> Option<(Known, NodeId)> {
    // Who does not want the reply is not kept until it comes: the long way.
    if scope != Scope::Cluster || cmd.is_no_response() {
        return None;
    }
    let (row, key) = routing::simple(cmd)?;
    if !current.config.placement().has_homes() {
        return None;
    }
    let known = Known {
        row: Some(row),
        is_read: row.access == Access::Read,
    };
    Some((known, current.node(key)))
}

impl Future for Execute<'_> {
    type Output = Result<Value, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.progress {
                Progress::New { scope, server } => {
                    let (scope, server) = (*scope, *server);
                    this.progress = this.cluster.begin(this.cmd, scope, server, cx.waker());
                    if let Progress::Short(_) = this.progress {
                        // Its ticket has the waker already, and a reply may take its time.
                        return Poll::Pending;
                    }
                }
                Progress::Short(started) => {
                    let delivery = ready!(Pin::new(&mut started.ticket).poll(cx));
                    match delivery {
                        Delivery::Reply(value) if !matches!(value, Value::ServerError(_)) => {
                            return Poll::Ready(Ok(value));
                        }
                        other => {
                            let rest = this.cluster.finish(this.cmd, started, other);
                            this.progress = Progress::Long(rest);
                        }
                    }
                }
                Progress::Split(split) => {
                    if let Some(values) = ready!(split.poll_values(cx)) {
                        return Poll::Ready(Ok(values));
                    }
                    let rest = this.cluster.finish_split(this.cmd, split.take());
                    this.progress = Progress::Long(rest);
                }
                Progress::Long(rest) => return rest.as_mut().poll(cx),
            }
        }
    }
}
