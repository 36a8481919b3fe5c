//! SCRIPT KILL and FUNCTION KILL: over a connection that is made for this one command.
//!
//! On a shared connection it would wait for the very script that it is to end.

use super::{Manner, Scatter, fail};
use crate::connection::{Cause, Interrupted};
use crate::error::{Error, ErrorKind};
use crate::routing::Known;
use crate::stats::{Class, Failure, Part};
use redis::{Cmd, Value};
use std::time::Instant;

impl Scatter {
    /// Sends the command to the server by this name, once. Until a script has run for the server's `busy-reply-threshold` (5 s by
    /// default), the server reads nothing at all, and this waits for it until the call's deadline. Dropping the future does not
    /// take the command back.
    pub(crate) async fn interrupt(
        &self,
        cmd: &Cmd,
        known: Known,
        name: &str,
        manner: Manner,
    ) -> Result<Value, Error> {
        let server = {
            let current = self.control.load();
            match current.topology.server_by_name(name) {
                Some(id) => current.server(id).clone(),
                None => {
                    let why = format!("the topology has no server {name:?} any more");
                    return Err(Error::new(ErrorKind::Refused, why).of_command(known.name()));
                }
            }
        };
        let (cause, may_have_run) = match server.interrupt(cmd, manner.deadline).await {
            Ok(reply) => {
                let error = match &reply {
                    Value::ServerError(error) => Some(error),
                    _ => None,
                };
                let took = Instant::now().saturating_duration_since(manner.started);
                server.stats().reply(known.id(), took, error);
                return Ok(reply);
            }
            Err(Interrupted::NotSent(cause)) => (cause, false),
            Err(Interrupted::Unanswered(cause)) => (cause, true),
            Err(Interrupted::Late) => {
                let why = "the server is busy: it did not answer a new connection before the deadline. A script that has not run for \
                           busy-reply-threshold (5 s by default) cannot be killed yet; call again with_timeout(10 s)";
                let error = Error::new(ErrorKind::NotSent, why).by_timeout();
                server
                    .stats()
                    .failure(known.id(), Failure::in_part(Class::NotSent, Part::Timeout));
                return Err(error.of_command(known.name()).at_server(server.name()));
            }
        };
        let cause = match cause {
            Cause::ClosedByServer if !may_have_run => Cause::Down(
                "the server closed the connection (does it expect TLS, rediss://?)".into(),
            ),
            cause => cause,
        };
        Err(fail(Some(&server), known, may_have_run, cause)
            .of_command(known.name())
            .at_server(server.name()))
    }
}
