use super::{Cluster, name_of, parse};
use crate::error::{Error, ErrorKind};
use crate::routing::Scope;
use crate::scatter::Misses;
use redis::{Cmd, FromRedisValue, ToRedisArgs, Value};
use std::marker::PhantomData;
use tracing::Instrument;

/// Commands that are sent together: one write per server, one round trip, one typed result per command.
///
/// Not a transaction: what fails on one server says nothing about the others. Commands of one node keep their order. For all or nothing on
/// one node use `redis::pipe().atomic()`.
///
/// ```no_run
/// # async fn example(cluster: keyway::Cluster) -> Result<(), keyway::Error> {
/// let mut batch = cluster.batch();
/// let visits = batch.incr::<i64>("visits:42", 1);
/// let name = batch.get::<Option<String>>("user:42:name");
/// let mut replies = batch.send().await;
/// let visits: i64 = replies.take(visits)?;
/// let name = replies.take(name)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Batch {
    cluster: Cluster,
    cmds: Vec<Cmd>,
    id: u64,
}

/// The place of one command's reply in a batch.
#[derive(Debug)]
#[must_use = "take the reply from the batch's replies, or the command's failure goes unseen"]
pub struct BatchReply<T> {
    at: usize,
    batch: u64,
    reply: PhantomData<fn() -> T>,
}

/// The results of a batch.
#[derive(Debug)]
pub struct Replies {
    results: Vec<Option<Result<Value, Error>>>,
    commands: Vec<String>,
    batch: u64,
}

macro_rules! commands {
    ($($(#[$doc:meta])* $name:ident($($arg:ident),*);)*) => {
        $(
            $(#[$doc])*
            pub fn $name<T: FromRedisValue>(&mut self, $($arg: impl ToRedisArgs),*) -> BatchReply<T> {
                let mut cmd = redis::cmd(&stringify!($name).to_uppercase());
                $(cmd.arg($arg);)*
                self.add(cmd)
            }
        )*
    };
}

impl Batch {
    pub(super) fn new(cluster: Cluster) -> Batch {
        Batch {
            cluster,
            cmds: Vec::new(),
            id: fastrand::u64(..),
        }
    }

    /// Any command. `redis::Cmd::zadd(..)` and its kin make them; so does `redis::cmd(name)`.
    pub fn add<T: FromRedisValue>(&mut self, cmd: Cmd) -> BatchReply<T> {
        self.cmds.push(cmd);
        BatchReply {
            at: self.cmds.len() - 1,
            batch: self.id,
            reply: PhantomData,
        }
    }

    commands! {
        /// GET key
        get(key);
        /// SET key value
        set(key, value);
        /// SETEX key seconds value
        setex(key, seconds, value);
        /// DEL key or keys
        del(keys);
        /// EXISTS key or keys
        exists(keys);
        /// EXPIRE key seconds
        expire(key, seconds);
        /// MGET keys
        mget(keys);
        /// INCRBY key amount
        incrby(key, amount);
        /// HGET key field
        hget(key, field);
        /// HSET key field value
        hset(key, field, value);
        /// HGETALL key
        hgetall(key);
        /// SADD key member or members
        sadd(key, members);
        /// SREM key member or members
        srem(key, members);
        /// SMEMBERS key
        smembers(key);
        /// SISMEMBER key member
        sismember(key, member);
        /// ZADD key score member
        zadd(key, score, member);
        /// ZRANGE key start stop
        zrange(key, start, stop);
        /// LPUSH key value or values
        lpush(key, values);
        /// RPUSH key value or values
        rpush(key, values);
        /// LRANGE key start stop
        lrange(key, start, stop);
    }

    /// INCRBY key amount, as redis-rs calls it.
    pub fn incr<T: FromRedisValue>(
        &mut self,
        key: impl ToRedisArgs,
        amount: impl ToRedisArgs,
    ) -> BatchReply<T> {
        self.incrby(key, amount)
    }

    /// How many commands it has.
    pub fn len(&self) -> usize {
        self.cmds.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.cmds.is_empty()
    }

    /// Sends it: one round trip to all servers concerned at once; a command that goes everywhere (DBSIZE) concerns all. A refused command
    /// fails by itself; the others are sent. Never fails as a whole: each command has its result. Dropping the future cancels what is still
    /// queued; what was written is executed.
    pub async fn send(self) -> Replies {
        let results = self.cluster.send_all(&self.cmds).await;
        Replies {
            results: results.into_iter().map(Some).collect(),
            commands: self
                .cmds
                .iter()
                .map(|cmd| name_of(cmd).to_owned())
                .collect(),
            batch: self.id,
        }
    }
}

impl Cluster {
    /// What [`Batch::send`] does: one result per command, in order, where an error reply of the server is a value.
    pub(crate) async fn send_all(&self, cmds: &[Cmd]) -> Vec<Result<Value, Error>> {
        self.send_all_by(cmds, Misses::OfMode).await
    }

    /// As `send_all`, but a server that is down is an error in cache mode as well: for whoever would take an empty reply for the truth.
    pub(crate) async fn send_all_strictly(&self, cmds: &[Cmd]) -> Vec<Result<Value, Error>> {
        self.send_all_by(cmds, Misses::Never).await
    }

    async fn send_all_by(&self, cmds: &[Cmd], misses: Misses) -> Vec<Result<Value, Error>> {
        let manner = self.manner();
        let current = self.current();
        let mut entries: Vec<_> = cmds
            .iter()
            .map(|cmd| self.entry(&current, cmd, Scope::Cluster, None))
            .collect();
        drop(current);
        self.learn_scripts(&mut entries);
        let span =
            tracing::trace_span!(target: "keyway::call", "keyway.batch", commands = cmds.len());
        self.scatter()
            .many_with(entries, manner, misses)
            .instrument(span)
            .await
    }
}

impl Replies {
    /// The result of one command. An error reply of the server is an `Err`.
    ///
    /// # Errors
    /// The command's own; [`ErrorKind::UnexpectedReply`] when the reply is not a `T`; [`ErrorKind::Invalid`] when the place is of another
    /// batch.
    pub fn take<T: FromRedisValue>(&mut self, place: BatchReply<T>) -> Result<T, Error> {
        if place.batch != self.batch {
            return Err(Error::new(
                ErrorKind::Invalid,
                "the place belongs to another batch",
            ));
        }
        match self.results.get_mut(place.at).and_then(Option::take) {
            Some(result) => result.and_then(|value| parse(&self.commands[place.at], value)),
            None => Err(Error::new(ErrorKind::Invalid, "the reply was taken before")),
        }
    }

    /// The first failure among those not taken yet, error replies of servers included.
    pub fn first_error(&self) -> Option<Error> {
        self.results
            .iter()
            .flatten()
            .find_map(|result| match result {
                Err(error) => Some(error.clone()),
                Ok(Value::ServerError(error)) => Some(Error::from_server(error.clone())),
                Ok(_) => None,
            })
    }

    /// All results not taken yet, in order. An error reply of the server is `Ok(Value::ServerError(..))` here.
    pub fn into_results(self) -> impl Iterator<Item = Result<Value, Error>> {
        self.results.into_iter().flatten()
    }
}
