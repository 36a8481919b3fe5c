//! The one retry loop of a call, whatever it sends: one command, one over a connection of its own, or a transaction.
//!
//! Every attempt ends as an [`Outcome`]; [`Scatter::judge`] decides what follows, and nobody else. Batches come in
//! rounds, for which [`settle`](super::settle) decides.

use super::lease::Lent;
use super::transaction::Transaction;
use super::{
    Call, Outcome, RENEW_EVERY, Scatter, Tried, fail, is_down, is_transient, may_be_read_again,
};
use crate::connection::{Cause, backoff};
use crate::error::Error;
use crate::pool::Server;
use crate::reply_code;
use redis::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How the commands of a call reach the server.
pub(super) enum Form<'a> {
    /// One command on a connection that others use too.
    Shared,
    /// One command on a connection of its own.
    Lent(Lent),
    /// MULTI, the commands and EXEC in one write.
    Transaction(Transaction<'a>),
}

/// What one attempt came to, and at which server, if it got that far.
pub(super) type Attempted = (Outcome, Option<Arc<Server>>);

/// What the attempts of one call have come to so far.
#[derive(Default)]
struct Past {
    failures: u32,
    tried: Tried,
    /// An attempt was written and not answered, so that the call as a whole may have been executed.
    may_have_run: bool,
    /// A read was sent again after a silence, which is done once: the server may be busy with that very command.
    was_silent: bool,
}

/// What follows an attempt.
enum Verdict {
    Done(Result<Value, Error>),
    /// Again, after this wait.
    Again(Duration),
}

impl Scatter {
    /// Attempts until a verdict. `first` is the outcome of a first attempt, if there was one.
    pub(super) async fn run(
        &self,
        mut call: Call<'_>,
        form: &Form<'_>,
        mut first: Option<Attempted>,
    ) -> Result<Value, Error> {
        let mut past = Past::default();
        loop {
            let (outcome, server) = match (first.take(), form) {
                (Some(first), _) => first,
                (None, Form::Shared) => self.attempt(&call).await,
                (None, Form::Lent(lent)) => Box::pin(self.attempt_lent(&call, *lent)).await,
                (None, Form::Transaction(transaction)) => {
                    Box::pin(self.attempt_transaction(&call, transaction)).await
                }
            };
            if matches!(outcome, Outcome::Stale) {
                continue;
            }
            match self.judge(&call, form, outcome, server.as_ref(), &mut past) {
                Verdict::Done(result) => return self.ended(&call, form, result, server.as_ref()),
                Verdict::Again(wait) => {
                    if let Some(server) = &server {
                        server.stats().retried(call.known.id());
                    }
                    tracing::debug!(target: "keyway::scatter", command = call.known.name(), attempt = past.failures + 1, "retry");
                    pause(wait, form.deadline(&call)).await;
                    self.turn_on(&mut call.target, &mut past.tried, server);
                }
            }
        }
    }

    fn judge(
        &self,
        call: &Call<'_>,
        form: &Form<'_>,
        outcome: Outcome,
        server: Option<&Arc<Server>>,
        past: &mut Past,
    ) -> Verdict {
        let elsewhere =
            || call.target.is_any() && server.is_some_and(|server| self.is_other_up(server));
        let again = |past: &mut Past, wait: Duration| -> Option<Verdict> {
            let server = server?;
            let retry = &server.settings().retry;
            past.failures += 1;
            let possible = past.failures < retry.attempts_max
                && Instant::now() + wait < call.manner.deadline
                && server.budget().spend();
            possible.then_some(Verdict::Again(wait))
        };
        match outcome {
            Outcome::Reply(Value::ServerError(error)) => {
                if let Some(script) = &call.script
                    && error.code() == "NOSCRIPT"
                    && let Some(server) = server
                {
                    // Somebody else has flushed the server's scripts.
                    let link = server.link(call.manner.lane, call.target.lane_node());
                    link.outbox().forget_script(&script.sha);
                    if let Some(verdict) = again(past, Duration::ZERO) {
                        return verdict;
                    }
                }
                if reply_code::is_transient(error.code())
                    && !call.known.runs_scripts()
                    && let Some(server) = server
                {
                    if error.code() == "READONLY" && !matches!(form, Form::Lent(_)) {
                        let why = Cause::Dropped("the server has become read-only");
                        let link = server.link(call.manner.lane, call.target.lane_node());
                        link.outbox().renew(why, RENEW_EVERY);
                    }
                    let wait = match past.failures {
                        // The next server may well be able to, now.
                        0 if elsewhere() => Duration::ZERO,
                        _ => backoff(&server.settings().retry, past.failures + 3),
                    };
                    if let Some(verdict) = again(past, wait) {
                        return verdict;
                    }
                }
                Verdict::Done(Ok(Value::ServerError(error)))
            }
            Outcome::Reply(Value::Array(replies))
                if crate::planted::is("repeat-transaction")
                    && replies
                        .iter()
                        .any(|reply| matches!(reply, Value::ServerError(_))) =>
            {
                again(past, Duration::ZERO).unwrap_or(Verdict::Done(Ok(Value::Array(replies))))
            }
            Outcome::Reply(value) => Verdict::Done(Ok(value)),
            Outcome::NotSent(cause) => {
                if (is_transient(&cause) || is_down(&cause) && elsewhere())
                    && let Some(verdict) = again(past, Duration::ZERO)
                {
                    return verdict;
                }
                Verdict::Done(Err(fail(server, call.known, past.may_have_run, cause)))
            }
            Outcome::Unknown(cause) => {
                past.may_have_run = true;
                let is_silence = matches!(cause, Cause::Silent(_));
                if (call.known.is_read || crate::planted::is("retried-write"))
                    && may_be_read_again(&cause)
                    && !(is_silence && (past.was_silent || matches!(form, Form::Lent(_))))
                    && let Some(verdict) = again(past, Duration::ZERO)
                {
                    past.was_silent |= is_silence;
                    return verdict;
                }
                Verdict::Done(Err(fail(server, call.known, true, cause)))
            }
            Outcome::Stale => Verdict::Again(Duration::ZERO),
        }
    }

    /// The result of a call, its error with all that is known of it.
    fn ended(
        &self,
        call: &Call<'_>,
        form: &Form<'_>,
        result: Result<Value, Error>,
        server: Option<&Arc<Server>>,
    ) -> Result<Value, Error> {
        let error = match result {
            // A fault of the server, not of the command: which server it is matters.
            Ok(Value::ServerError(error))
                if reply_code::of(error.code()).is_some() && !call.known.runs_scripts() =>
            {
                Error::from_server(error)
            }
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let error = Self::name(call, error, server);
        match form {
            Form::Shared => self.or_miss(call.cmd, call.known, server, error),
            Form::Lent(_) | Form::Transaction(_) => Err(error),
        }
    }
}

impl Form<'_> {
    /// Until when a call in this form may go on.
    fn deadline(&self, call: &Call<'_>) -> Instant {
        match self {
            Form::Lent(lent) => lent.deadline(call.manner),
            Form::Shared | Form::Transaction(_) => call.manner.deadline,
        }
    }
}

pub(super) async fn pause(wait: Duration, deadline: Instant) {
    if !wait.is_zero() {
        tokio::time::sleep_until((Instant::now() + wait).min(deadline).into()).await;
    }
}
