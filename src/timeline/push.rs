//! What a push, a retraction and a trim send to the owners of one piece, and what came of it.

use super::{Id, Item, Timeline};
use crate::cluster::parse;
use crate::error::{Error, ErrorKind};
use crate::routing::RESERVED_PREFIX;
use redis::{Cmd, Value};
use std::fmt::{Display, Write};

impl<I: Id> Timeline<I> {
    /// Adds an item to one owner's timeline; true if it was not there. An item that is there gets this score. One round trip, that of
    /// the trim included, if the timeline is due: see [`slack`](Timeline::slack).
    ///
    /// Dropping the future before its first poll does nothing; later, the item may be added or not.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a score of 2^53 or more, for an id that is empty or longer than [`ID_BYTES_MAX`](super::ID_BYTES_MAX), for an
    /// item that is older than [`max_age`](Timeline::max_age), which would be gone with the next trim, and for a name that cannot be used; [`ErrorKind::Refused`] where no key has a home; and what a ZADD can fail with.
    /// After any of them the same push may be made again: the same item twice is the item once.
    pub async fn push(&self, owner: impl Display, item: &Item<I>) -> Result<bool, Error> {
        self.check()?;
        let work = self.adding(item)?;
        let mut keys = Keys::with_capacity(1);
        keys.add(&self.name, owner);
        let ended = self.carry_out(&work, &keys).await;
        match ended.results.into_iter().next() {
            Some(Ok(added)) => Ok(added > 0),
            Some(Err(error)) => Err(error),
            None => Err(Error::new(ErrorKind::UnexpectedReply, "no reply").of_command("ZADD")),
        }
    }

    /// Refuses what can never work, before anything is sent.
    pub(super) fn check(&self) -> Result<(), Error> {
        let name = &self.name;
        if name.is_empty() {
            let why = "the timelines have an empty name: their keys are `name:owner`, so say Timeline::new(&cluster, \"home\")";
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        if format!("{name}:").as_bytes().starts_with(RESERVED_PREFIX) {
            let why = format!(
                "the timelines are named {name:?}, but keys that begin with `keyway:` are keyway's own: take another name"
            );
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        self.check_bounds()?;
        let config = self.cluster.config();
        let placement = config.placement();
        if !placement.has_homes() {
            let why = format!(
                "by {} a key may be on any server, so no timeline is whole anywhere; timelines need a placement that gives keys a home",
                placement.algorithm()
            );
            return Err(Error::new(ErrorKind::Refused, why));
        }
        Ok(())
    }

    /// # Errors
    /// `Invalid` for an item that could not be read again, or is too old.
    pub(super) fn adding(&self, item: &Item<I>) -> Result<Work, Error> {
        let member = item.member()?;
        if let Some(cutoff) = self.cutoff()
            && item.score < cutoff
        {
            let why = format!(
                "item {:?} is older than max_age: its score is {}, and what is below {cutoff} is trimmed; scores are milliseconds since 1970{}",
                item.id,
                item.score,
                match self.sequence_bits {
                    0 => String::new(),
                    bits => format!(", shifted left by {bits}"),
                }
            );
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        Ok(Work::Add {
            score: item.score.to_string(),
            member,
        })
    }

    /// Does the work for these owners: in one write per server, one round trip.
    pub(super) async fn carry_out(&self, work: &Work, keys: &Keys) -> Ended {
        let trimming = self.trimming();
        let per_trim = trimming.len();
        let mut cmds = Vec::with_capacity(keys.len() + 2);
        let mut piece = None;
        // Whether the owner's commands begin with those of a trim.
        let mut trimmed = vec![matches!(work, Work::Trim); keys.len()];
        match work {
            Work::Add { score, member } => {
                if per_trim > 0 {
                    let begun = self.ledger.begin();
                    let mut at = 0;
                    begun.plan(self.slack_items(), keys.iter(), |trims| {
                        trimmed[at] = trims;
                        at += 1;
                    });
                    piece = Some(begun);
                }
                for (key, trims) in keys.iter().zip(&trimmed) {
                    if *trims {
                        trimming.add(key, &mut cmds);
                    }
                    let size = key.len() + score.len() + member.len() + 4;
                    let mut cmd = Cmd::with_capacity(4, size);
                    cmd.arg("ZADD").arg(key).arg(score).arg(&member[..]);
                    cmds.push(cmd);
                }
            }
            Work::Remove { member } => {
                for key in keys.iter() {
                    let mut cmd = Cmd::with_capacity(3, key.len() + member.len() + 4);
                    cmd.arg("ZREM").arg(key).arg(&member[..]);
                    cmds.push(cmd);
                }
            }
            Work::Trim => {
                for key in keys.iter() {
                    trimming.add(key, &mut cmds);
                }
            }
        }
        let mut replies = cmds.iter().zip(self.cluster.send_all_strictly(&cmds).await);
        let mut ended = Ended {
            results: Vec::with_capacity(keys.len()),
            trimmed: 0,
        };
        let mut done = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let mut removed = Ok(0);
            if trimmed[at] {
                for (cmd, reply) in replies.by_ref().take(per_trim) {
                    let reply = count(cmd, reply, key);
                    removed = removed.and_then(|sum| reply.map(|items| items.saturating_add(sum)));
                }
            }
            if let Ok(items) = removed {
                ended.trimmed = ended.trimmed.saturating_add(items);
                if trimmed[at] && piece.is_some() {
                    done.push(key);
                }
            }
            ended
                .results
                .push(match (work, replies_of(work, &mut replies)) {
                    (Work::Trim, _) => removed,
                    (_, Some((cmd, reply))) => {
                        // What befell the item itself says more than what befell the trim before it.
                        count(cmd, reply, key).and_then(|changed| removed.map(|_| changed))
                    }
                    (_, None) => Err(Error::new(ErrorKind::UnexpectedReply, "no reply")),
                });
        }
        if let Some(piece) = piece {
            piece.trimmed(done.into_iter());
        }
        ended
    }
}

/// The reply to what is sent to an owner beside a trim.
fn replies_of<'c>(
    work: &Work,
    replies: &mut impl Iterator<Item = (&'c Cmd, Result<Value, Error>)>,
) -> Option<(&'c Cmd, Result<Value, Error>)> {
    match work {
        Work::Add { .. } | Work::Remove { .. } => replies.next(),
        Work::Trim => None,
    }
}

/// What is done to every owner.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Add { score: String, member: Vec<u8> },
    Remove { member: Vec<u8> },
    Trim,
}

/// How a piece ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// By owner, the items that were added or, by a retraction or a trim, removed.
    pub(super) results: Vec<Result<u64, Error>>,
    /// The items that trims have removed.
    pub(super) trimmed: u64,
}

/// A reply that is a number of items; an error says which key.
pub(super) fn count(cmd: &Cmd, reply: Result<Value, Error>, key: &str) -> Result<u64, Error> {
    match reply {
        Ok(Value::Int(items)) if items >= 0 => Ok(items.unsigned_abs()),
        other => answer(cmd, other, key),
    }
}

/// A reply as what it should be; an error says which key.
pub(super) fn answer<T: redis::FromRedisValue>(
    cmd: &Cmd,
    reply: Result<Value, Error>,
    key: &str,
) -> Result<T, Error> {
    let command = match cmd.args_iter().next() {
        Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    };
    reply
        .and_then(|value| parse(&command, value))
        .map_err(|error| error.of_command(&command).about_key(key.as_bytes()))
}

/// The keys of a piece in one string.
pub(super) struct Keys {
    text: String,
    ends: Vec<usize>,
}

impl Keys {
    pub(super) fn with_capacity(keys: usize) -> Keys {
        Keys {
            text: String::with_capacity(keys * 24),
            ends: Vec::with_capacity(keys),
        }
    }

    pub(super) fn add(&mut self, name: &str, owner: impl Display) {
        // Writing to a string does not fail, and a Display that does has written what it could, as in format!.
        let _ = write!(self.text, "{name}:{owner}");
        self.ends.push(self.text.len());
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| &self.text[start..*end])
    }
}
