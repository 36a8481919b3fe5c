//! Which rights a client needs, and which of them our user has.

use crate::connection::{DialError, FENCE_KEY, Probe};
use redis::{Cmd, Value, cmd};
use serde::{Deserialize, Serialize};

/// A right that a client needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Right {
    /// The command: `CLIENT SETNAME`.
    pub command: String,
    /// The rule that grants it, as for ACL SETUSER: `+client|setname`.
    pub rule: String,
    /// Without it no client connects; others are for scripts, transactions or blocking commands only.
    pub is_required: bool,
    /// What it is for.
    pub purpose: String,
}

struct Need {
    words: &'static [&'static str],
    /// What stands after the words when it is tried.
    arguments: &'static [&'static str],
    rule: &'static str,
    is_required: bool,
    purpose: &'static str,
}

const GREETING: &str = "the handshake";

/// Tried inside MULTI, where the server checks rights and executes nothing; so whatever stands here must be allowed in a transaction.
const NEEDS: [Need; 7] = [
    Need {
        words: &["PING"],
        arguments: &[],
        rule: "+ping",
        is_required: false,
        purpose: "noticing half-open connections, and replies that go to the wrong callers",
    },
    Need {
        words: &["CLIENT", "SETNAME"],
        arguments: &["kwcheck"],
        rule: "+client|setname",
        is_required: true,
        purpose: GREETING,
    },
    Need {
        words: &["CLIENT", "ID"],
        arguments: &[],
        rule: "+client|id",
        is_required: true,
        purpose: GREETING,
    },
    Need {
        words: &["INFO"],
        arguments: &["server"],
        rule: "+info",
        is_required: true,
        purpose: GREETING,
    },
    Need {
        words: &["GET"],
        arguments: &[FENCE_KEY],
        rule: "+get %R~keyway:*",
        is_required: true,
        purpose: GREETING,
    },
    Need {
        words: &["SCRIPT", "LOAD"],
        arguments: &["return 1"],
        rule: "+script|load",
        is_required: false,
        purpose: "scripts",
    },
    Need {
        words: &["CLIENT", "UNBLOCK"],
        arguments: &["0"],
        rule: "+client|unblock",
        is_required: false,
        purpose: "blocking commands",
    },
];

impl Need {
    fn command(&self) -> Cmd {
        let mut command = Cmd::new();
        for word in self.words.iter().chain(self.arguments) {
            command.arg(*word);
        }
        command
    }

    fn right(&self) -> Right {
        Right {
            command: self.words.join(" "),
            rule: self.rule.to_owned(),
            is_required: self.is_required,
            purpose: self.purpose.to_owned(),
        }
    }
}

/// Whether somebody moves this data.
pub(super) async fn is_fenced(probe: &mut Probe) -> Result<bool, DialError> {
    let reply = probe.ask(&[cmd("GET").arg(FENCE_KEY).to_owned()]).await?;
    // An error reply is a missing right, which is found below; a key of another type is a fence of whatever kind.
    Ok(match &reply[0] {
        Value::Nil => false,
        Value::ServerError(error) => error.code() == "WRONGTYPE",
        _ => true,
    })
}

/// What our user may not do. Nothing is executed, except when MULTI itself is not allowed: then SCRIPT LOAD loads `return 1`.
pub(super) async fn missing(probe: &mut Probe) -> Result<Vec<Right>, DialError> {
    let mut commands = vec![cmd("MULTI")];
    commands.extend(NEEDS.iter().map(Need::command));
    // A GET without a key spoils the transaction, so that EXEC has nothing to execute: it ends in EXECABORT, whether allowed or not.
    commands.extend([cmd("GET"), cmd("EXEC"), cmd("DISCARD")]);
    let replies = probe.ask(&commands).await?;
    let after = NEEDS.len() + 1;
    let of_needs = NEEDS
        .iter()
        .zip(&replies[1..after])
        .filter(|(_, reply)| is_denied(reply))
        .map(|(need, _)| need.right());
    let of_transactions = [
        ("MULTI", &replies[0]),
        ("EXEC", &replies[after + 1]),
        ("DISCARD", &replies[after + 2]),
    ]
    .into_iter()
    .filter(|(_, reply)| is_denied(reply))
    .map(|(command, _)| Right {
        command: command.to_owned(),
        rule: format!("+{}", command.to_ascii_lowercase()),
        is_required: false,
        purpose: "transactions".to_owned(),
    });
    Ok(of_needs.chain(of_transactions).collect())
}

fn is_denied(reply: &Value) -> bool {
    let Value::ServerError(error) = reply else {
        return false;
    };
    match error.code() {
        "NOPERM" => true,
        // A denied EXEC says "discarded because of: NOPERM"; an allowed one, of previous errors.
        "EXECABORT" => error.details().is_some_and(|why| why.contains("NOPERM")),
        _ => false,
    }
}

/// The command for an administrator that grants what is missing.
pub(super) fn remedy(user: Option<&str>, missing: &[&Right]) -> String {
    let rules: Vec<&str> = missing.iter().map(|right| right.rule.as_str()).collect();
    format!(
        "ACL SETUSER {} {}",
        user.unwrap_or("default"),
        rules.join(" ")
    )
}
