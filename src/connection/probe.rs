//! A plain conversation with a server that no client may be able to use: question, answer, question.

use super::admission::{Purpose, Step, Verdict, refuse};
use super::dial::{DialError, Manner, greet, open};
use super::stream::Stream;
use crate::config::Endpoint;
use crate::resp::Decoder;
use redis::{Cmd, Value, cmd};
use std::sync::atomic::AtomicU8;

/// One connection outside of any pool: let in with the server's credentials, in RESP2, and admitted by nobody. It only serves to find out
/// why a server cannot be used, so nothing of the cluster's data may be written through it.
pub(crate) struct Probe {
    stream: Stream,
    decoder: Decoder,
    manner: Manner,
}

impl Probe {
    /// Dials, authenticates and selects the database. `manner.connect` bounds this, and each [`ask`](Probe::ask).
    pub(crate) async fn open(endpoint: &Endpoint, manner: Manner) -> Result<Probe, DialError> {
        let opening = async {
            let stream = open(endpoint, &manner, Purpose::Commands, &AtomicU8::new(0)).await?;
            let mut probe = Probe {
                stream,
                decoder: Decoder::new(manner.decoder),
                manner: manner.clone(),
            };
            probe.introduce(endpoint).await?;
            Ok(probe)
        };
        match tokio::time::timeout(manner.connect, opening).await {
            Ok(result) => result,
            Err(_) => Err(DialError::unreachable(format!(
                "no answer within {:?}",
                manner.connect
            ))),
        }
    }

    async fn introduce(&mut self, endpoint: &Endpoint) -> Result<(), DialError> {
        if let Some(password) = &endpoint.password {
            let password = password.read().map_err(|error| {
                DialError::misconfigured(format!("the password file cannot be read: {error}"))
            })?;
            let mut auth = cmd("AUTH");
            if let Some(username) = &endpoint.username {
                auth.arg(username);
            }
            auth.arg(password.expose());
            self.require(Step::Auth, &auth).await?;
        }
        if endpoint.database != 0 {
            let mut select = cmd("SELECT");
            self.require(Step::Select, select.arg(endpoint.database))
                .await?;
        }
        // Not PING: a replica without its master refuses that, and is to be recognised as what it is.
        match self.answer(cmd("INFO").arg("server")).await? {
            // A user without INFO is somebody to tell what is missing, not somebody to turn away.
            Value::ServerError(error) if error.code() != "NOPERM" => {
                Err(judged(Step::Info, &error))
            }
            _ => Ok(()),
        }
    }

    async fn require(&mut self, step: Step, command: &Cmd) -> Result<(), DialError> {
        match self.answer(command).await? {
            Value::ServerError(error) => Err(judged(step, &error)),
            _ => Ok(()),
        }
    }

    async fn answer(&mut self, command: &Cmd) -> Result<Value, DialError> {
        Ok(self.ask(std::slice::from_ref(command)).await?.remove(0))
    }

    /// Sends the commands together and returns as many replies, error replies as values.
    pub(crate) async fn ask(&mut self, commands: &[Cmd]) -> Result<Vec<Value>, DialError> {
        let bytes: Vec<u8> = commands.iter().flat_map(Cmd::get_packed_command).collect();
        let asking = greet(&mut self.stream, &mut self.decoder, &bytes, commands.len());
        let replies = match tokio::time::timeout(self.manner.connect, asking).await {
            Ok(replies) => replies?,
            Err(_) => {
                return Err(DialError::unreachable(format!(
                    "no answer within {:?}",
                    self.manner.connect
                )));
            }
        };
        if replies.len() == commands.len() {
            return Ok(replies);
        }
        // A server that is full says so, once, and hangs up.
        match replies
            .into_iter()
            .find(|reply| matches!(reply, Value::ServerError(_)))
        {
            Some(Value::ServerError(error)) => Err(judged(Step::Info, &error)),
            _ => Err(DialError::unreachable(
                "the server closed the connection (does it expect TLS, rediss://?)",
            )),
        }
    }
}

fn judged(step: Step, error: &redis::ServerError) -> DialError {
    match refuse(step, error) {
        Verdict::Wait(why) => DialError::unreachable(why),
        Verdict::Busy(why) => DialError::busy(why),
        Verdict::Refused(why) => DialError::misconfigured(why),
        Verdict::Admitted(_) => DialError::misconfigured("the server refused the greeting"),
    }
}
