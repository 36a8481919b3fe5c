//! Admission: what a new connection says first, and whether it may be used.
//!
//! Every connection, shared, leased or for pub/sub, is named with its client and epoch and checks the server before its first command. A
//! live move later relies on these names to know that nothing routed under an older epoch can run any more; today the check keeps us off
//! servers that somebody with a newer map is moving, off Redis Cluster, and off wrong credentials.

use crate::config::Protocol;
use crate::reply_code;
use redis::{Value, cmd};
use std::sync::Arc;

/// The key under which a mover leaves its fence on a server.
pub(crate) const FENCE_KEY: &str = "keyway:fence";

/// What the connection is for: the prefix of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Commands,
    /// Commands with big values; a lane of its own.
    Bulk,
    PubSub,
}

impl Purpose {
    fn prefix(self) -> &'static str {
        match self {
            Purpose::Commands | Purpose::Bulk => "kw",
            Purpose::PubSub => "kwsub",
        }
    }
}

/// Who we are, for every server of the cluster.
#[derive(Debug)]
pub(crate) struct Admission {
    /// `<cluster name>.<16 hex>`: one per `Cluster`.
    client: Arc<str>,
    protocol: Protocol,
}

/// The greeting, ready to be written, and how many replies it will get.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) bytes: Vec<u8>,
    pub(crate) steps: Vec<Step>,
}

/// One command of the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Hello,
    Auth,
    Select,
    SetName,
    Id,
    Fence,
    Info,
}

/// May the connection be used?
#[derive(Debug)]
pub(crate) enum Verdict {
    Admitted(Admitted),
    /// Not now: the server is loading, say. Dial again later.
    Wait(String),
    /// Not now: the server is there, and answers nothing while a script runs.
    Busy(String),
    /// Not with this configuration.
    Refused(String),
}

/// What the greeting taught.
#[derive(Clone, Debug)]
pub(crate) struct Admitted {
    /// For CLIENT UNBLOCK and CLIENT KILL by whoever has to.
    pub(crate) connection_id: i64,
}

/// Credentials as read for this dial.
pub(crate) struct Credentials<'a> {
    pub(crate) username: Option<&'a str>,
    pub(crate) password: Option<&'a str>,
    pub(crate) database: u32,
}

impl Admission {
    pub(crate) fn new(cluster: &str, protocol: Protocol) -> Admission {
        Admission {
            client: format!("{cluster}.{:016x}", fastrand::u64(..)).into(),
            protocol,
        }
    }

    /// The name of a connection at `epoch`, and the command that gives it: the preamble of an epoch switch, too.
    pub(crate) fn set_name(&self, purpose: Purpose, epoch: u64) -> Vec<u8> {
        let name = format!("{}:{}:{epoch}", purpose.prefix(), self.client);
        cmd("CLIENT").arg("SETNAME").arg(name).get_packed_command()
    }

    pub(crate) fn greeting(
        &self,
        purpose: Purpose,
        epoch: u64,
        credentials: &Credentials<'_>,
    ) -> Greeting {
        let mut bytes = Vec::new();
        let mut steps = Vec::new();
        let mut say = |step, packed: Vec<u8>| {
            bytes.extend_from_slice(&packed);
            steps.push(step);
        };
        // Confirmations and messages are told apart from replies only in RESP3, which every supported server speaks.
        let protocol = match purpose {
            Purpose::PubSub => Protocol::Resp3,
            Purpose::Commands | Purpose::Bulk => self.protocol,
        };
        match (protocol, credentials.password) {
            (Protocol::Resp3, Some(password)) => {
                let username = credentials.username.unwrap_or("default");
                say(
                    Step::Hello,
                    cmd("HELLO")
                        .arg(3)
                        .arg("AUTH")
                        .arg(username)
                        .arg(password)
                        .get_packed_command(),
                );
            }
            (Protocol::Resp3, None) => say(Step::Hello, cmd("HELLO").arg(3).get_packed_command()),
            (_, Some(password)) => {
                let mut auth = cmd("AUTH");
                if let Some(username) = credentials.username {
                    auth.arg(username);
                }
                say(Step::Auth, auth.arg(password).get_packed_command());
            }
            (_, None) => {}
        }
        if credentials.database != 0 {
            say(
                Step::Select,
                cmd("SELECT").arg(credentials.database).get_packed_command(),
            );
        }
        say(Step::SetName, self.set_name(purpose, epoch));
        say(Step::Id, cmd("CLIENT").arg("ID").get_packed_command());
        say(Step::Fence, cmd("GET").arg(FENCE_KEY).get_packed_command());
        say(Step::Info, cmd("INFO").arg("server").get_packed_command());
        Greeting { bytes, steps }
    }

    /// Judges the replies, in the order of the greeting. Fewer replies than steps mean that the server hung up.
    pub(crate) fn admit(&self, greeting: &Greeting, replies: &[Value]) -> Verdict {
        let mut connection_id = 0;
        for (step, reply) in greeting.steps.iter().zip(replies) {
            if let Value::ServerError(error) = reply {
                return refuse(*step, error);
            }
            match step {
                Step::Id => {
                    if let Value::Int(id) = reply {
                        connection_id = *id;
                    }
                }
                Step::Fence => {
                    if *reply != Value::Nil {
                        return Verdict::Refused(format!(
                            "the server holds the key {FENCE_KEY}: its data is being moved, or was, by a keyway with a newer map \
                             than this configuration. Use the topology that the move works from"
                        ));
                    }
                }
                Step::Info => {
                    if let Some(mode) = info_field(reply, "redis_mode")
                        && mode != "standalone"
                    {
                        return Verdict::Refused(wrong_mode(mode));
                    }
                }
                Step::Hello | Step::Auth | Step::Select | Step::SetName => {}
            }
        }
        if replies.len() < greeting.steps.len() {
            return Verdict::Wait(
                "the server closed the connection during the greeting (does it expect TLS, rediss://?)".to_owned(),
            );
        }
        Verdict::Admitted(Admitted { connection_id })
    }
}

fn wrong_mode(mode: &str) -> String {
    format!(
        "the server runs in {mode} mode; keyway spreads data over plain servers. Use a Redis Cluster client, or start the server with \
         cluster-enabled no"
    )
}

pub(super) fn refuse(step: Step, error: &redis::ServerError) -> Verdict {
    let text = match error.details() {
        Some(details) => format!("{} {details}", error.code()),
        None => error.code().to_owned(),
    };
    let hint = match (step, error.code()) {
        // The server will take us later.
        (_, "BUSY") => return Verdict::Busy(text),
        (_, code) if reply_code::is_transient(code) => return Verdict::Wait(text),
        (_, "ERR") if text.contains("max number of clients") => {
            return Verdict::Wait(format!(
                "{text}: raise maxclients, or lower pool.dedicated_max"
            ));
        }
        // A cluster-mode server need not own the slot of our key, so it says this before INFO is read.
        (_, "MOVED" | "ASK" | "CLUSTERDOWN") => return Verdict::Refused(wrong_mode("cluster")),
        (Step::Hello | Step::Auth, _) => "check username and password of this server",
        (Step::Select, _) => "check the database number in this server's url",
        (_, "NOAUTH") => "the server wants a password: give one in the url or by password_file",
        (_, "NOPERM") => {
            "a keyway client needs CLIENT SETNAME, CLIENT ID, INFO, PING and GET of keyway:* besides its own commands"
        }
        _ => "the server refused the greeting",
    };
    Verdict::Refused(format!("{text} ({hint})"))
}

/// A field of an INFO reply, which is a bulk string in RESP2 and a verbatim string in RESP3.
pub(crate) fn info_field<'a>(reply: &'a Value, field: &str) -> Option<&'a str> {
    let text = match reply {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?,
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text,
        _ => return None,
    };
    text.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn error(text: &str) -> redis::ServerError {
        match redis::parse_redis_value(format!("-{text}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => error,
            other => panic!("not an error: {other:?}"),
        }
    }

    /// The third use, what is sent again, is walked against a server that answers so: `transactions` in tests/integration.
    #[test]
    fn a_code_that_means_not_executed_means_the_same_to_the_greeting_and_to_callers() {
        for row in reply_code::all() {
            let text = format!("{} why", row.code);
            let told = Error::from_server(error(&text)).of_command("SET");
            assert_eq!(told.is_retryable(), row.is_transient, "{text}");
            // Of a script it may be the script's own word.
            for script in ["EVALSHA", "FCALL"] {
                let told = Error::from_server(error(&text)).of_command(script);
                assert!(!told.is_retryable(), "{script}: {text}");
            }
            let verdict = refuse(Step::Id, &error(&text));
            let waits = matches!(verdict, Verdict::Wait(_) | Verdict::Busy(_));
            assert_eq!(waits, row.is_transient, "{text}: {verdict:?}");
            assert_eq!(matches!(verdict, Verdict::Busy(_)), row.code == "BUSY");
        }
        let other = Error::from_server(error("WRONGTYPE why")).of_command("SET");
        assert!(!other.is_retryable());
    }
}
