//! One command over a connection of its own, past everything that waits on the others: to end a script.

use super::admission::{Purpose, Step, Verdict, refuse};
use super::cause::Cause;
use super::dial::{DialError, Manner, greet, open};
use crate::config::Endpoint;
use crate::resp::Decoder;
use redis::{Cmd, Value, cmd};
use std::sync::atomic::AtomicU8;
use std::time::Instant;

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// Nothing of the command was written.
    NotSent(Cause),
    /// The server did not answer the greeting before the deadline; nothing of the command was written.
    Late,
    /// It was written.
    Unanswered(Cause),
}

/// Dials, authenticates, sends the command, waits for its reply and hangs up. The connection has no name, belongs to no pool,
/// and is admitted by nobody: while a script runs, the server answers nothing that admission asks.
pub(crate) async fn interrupt(
    endpoint: &Endpoint,
    manner: &Manner,
    command: &Cmd,
    deadline: Instant,
) -> Result<Value, Interrupted> {
    let deadline = deadline.into();
    let mut decoder = Decoder::new(manner.decoder);
    let opening = async {
        let stage = AtomicU8::new(0);
        let mut stream = open(endpoint, manner, Purpose::Commands, &stage).await?;
        let (step, greeting) = greeting(endpoint)?;
        // Its answer shows that the server reads again: a command that lies in the socket could end a later script, long after
        // its caller has gone.
        let replies = greet(&mut stream, &mut decoder, &greeting.get_packed_command(), 1).await?;
        match replies.first() {
            Some(Value::ServerError(error)) if step == Step::Auth => Err(refused(step, error)),
            Some(Value::ServerError(error)) if error.code() == "NOAUTH" => {
                Err(refused(step, error))
            }
            Some(_) => Ok(stream),
            None => Err(DialError::unreachable(
                "the server closed the connection (does it expect TLS, rediss://?)",
            )),
        }
    };
    let mut stream = match tokio::time::timeout_at(deadline, opening).await {
        Err(_) => return Err(Interrupted::Late),
        Ok(Err(error)) => return Err(Interrupted::NotSent(error.cause())),
        Ok(Ok(stream)) => stream,
    };
    let packed = command.get_packed_command();
    let asking = greet(&mut stream, &mut decoder, &packed, 1);
    match tokio::time::timeout_at(deadline, asking).await {
        Err(_) => Err(Interrupted::Unanswered(Cause::Deadline)),
        Ok(Err(error)) => Err(Interrupted::Unanswered(error.cause())),
        Ok(Ok(replies)) => match replies.into_iter().next() {
            Some(reply) => Ok(reply),
            None => Err(Interrupted::Unanswered(Cause::ClosedByServer)),
        },
    }
}

/// What a server answers even while it is busy: AUTH, or PING by an error.
fn greeting(endpoint: &Endpoint) -> Result<(Step, Cmd), DialError> {
    let Some(password) = &endpoint.password else {
        return Ok((Step::Info, cmd("PING")));
    };
    let password = password.read().map_err(|error| {
        DialError::misconfigured(format!("the password file cannot be read: {error}"))
    })?;
    let mut auth = cmd("AUTH");
    if let Some(username) = &endpoint.username {
        auth.arg(username);
    }
    auth.arg(password.expose());
    Ok((Step::Auth, auth))
}

fn refused(step: Step, error: &redis::ServerError) -> DialError {
    match refuse(step, error) {
        Verdict::Wait(why) | Verdict::Refused(why) => DialError::misconfigured(why),
        Verdict::Busy(why) => DialError::busy(why),
        Verdict::Admitted(_) => DialError::misconfigured("the server refused the greeting"),
    }
}
