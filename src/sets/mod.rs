//! Sets: intersections, unions and differences of any number of sets on any nodes, with typed members.
//!
//! ```no_run
//! use futures::StreamExt;
//!
//! # async fn example(cluster: keyway::Cluster) -> Result<(), Box<dyn std::error::Error>> {
//! let sets = cluster.sets();
//! let mutual: Vec<u64> = sets.intersect(["follows:42", "attendees:ep"]).members().await?;
//! let at_least: u64 = sets.intersect(["follows:42", "attendees:ep"]).limit(10).count().await?; // stops early
//! let only_here: Vec<String> = sets.difference(["follows:42", "follows:7"]).members().await?;
//!
//! let mut everyone = sets.union(["attendees:ep", "attendees:rc"]).stream::<u64>(); // bounded memory
//! while let Some(id) = everyone.next().await {
//!     println!("{}", id?);
//! }
//!
//! let stored: u64 = sets.intersect(["follows:42", "attendees:ep"]).store_non_atomic("friends:ep").await?;
//! println!("{}", sets.intersect(["follows:42", "attendees:ep"]).explain().await?);
//! # Ok(()) }
//! ```
//!
//! # How
//! The first round trip asks for all sizes and a sample of each set; sets of up to 128 members, or in one of Redis's small encodings, come whole
//! with it. Sets that share a server are combined there. Then the smallest set is fetched, and for each of the others a cost model chooses: its
//! members are looked up there (SMISMEMBER, at most 1,000 members or 256 KiB a command) or it is fetched as well. So the bytes that are moved
//! follow the smallest set, not the largest. With a limit, or where the candidates do not fit into memory, the smallest set is read in chunks by
//! SSCAN and each chunk is looked up, while the next one is read. [`Combination::explain`] shows which, and what it came to.
//!
//! A union without a limit, and sets that are all on one server, take one round trip. Otherwise one when all sets are small, two or three else.
//! That two sets share a server makes it cheaper and changes nothing else. A set with another key, or no key of that name, is empty.
//!
//! # Not atomic
//! Several round trips are not one moment. Of each member it holds that it was, or was not, in each set at some time during the call; a member
//! that nobody adds or removes meanwhile is always judged rightly. Called by name, these questions are answered with `multi_key = "refuse"` too.
//!
//! # Limits and failures
//! One deadline for the whole call, `timeouts.response` or [`Cluster::with_timeout`]; for a stream one for each chunk. All that a call holds is
//! bounded by `limits.gather_bytes_max`, which is looked at as replies come: sizes and samples are asked for 256 keys at a time, members are
//! looked up in pieces of 4 MiB; with more of either there are more round trips. Only reads are sent, which may be repeated, but for the write of
//! `store_non_atomic`. A dropped future cancels what has not been written. In cache mode too, a server that is down is an error: without one of
//! its sets there is no answer. A user whose rights are limited needs SCARD, SSCAN, SMEMBERS and SMISMEMBER beside SINTER, SINTERCARD, SUNION
//! and SDIFF. The
//! statistics count all of it under SINTER, SUNION or SDIFF.

use crate::cluster::{Cluster, parse};
use crate::command::row_of;
use crate::error::{Error, ErrorKind};
use crate::gather::{self, Answer, Chunks, Ended, Log, Question};
use crate::routing::{self, Known};
use crate::scatter::{Choice, Target};
use futures::Stream;
use redis::{Cmd, FromRedisValue, ServerError, ToRedisArgs, Value};
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use crate::gather::{
    Action, Explained, ExplainedSet, ExplainedStep, Operation, Strategy, Traffic,
};

/// The sets of a cluster. Made by [`Cluster::sets`].
#[derive(Clone, Debug)]
pub struct Sets {
    cluster: Cluster,
}

/// A combination of sets: nothing is sent before it is asked for its [`members`](Combination::members), its [`count`](Combination::count) or the
/// like.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until it is asked for its members, its count or a stream"]
pub struct Combination {
    cluster: Cluster,
    operation: Operation,
    keys: Vec<Vec<u8>>,
    limit: Option<u64>,
    strategy: Option<Strategy>,
}

impl Cluster {
    /// Set algebra over nodes: see [`sets`](crate::sets).
    pub fn sets(&self) -> Sets {
        Sets {
            cluster: self.clone(),
        }
    }
}

impl Sets {
    /// The members of every set. `keys` is an array, a slice, a `Vec` or any iterator of keys; one that is
    /// given twice counts once.
    pub fn intersect(&self, keys: impl IntoIterator<Item = impl ToRedisArgs>) -> Combination {
        self.combine(Operation::Intersect, keys)
    }

    /// The members of any set.
    pub fn union(&self, keys: impl IntoIterator<Item = impl ToRedisArgs>) -> Combination {
        self.combine(Operation::Union, keys)
    }

    /// The members of the first set that are in none of the others.
    pub fn difference(&self, keys: impl IntoIterator<Item = impl ToRedisArgs>) -> Combination {
        self.combine(Operation::Difference, keys)
    }

    fn combine(
        &self,
        operation: Operation,
        keys: impl IntoIterator<Item = impl ToRedisArgs>,
    ) -> Combination {
        Combination {
            cluster: self.cluster.clone(),
            operation,
            keys: keys
                .into_iter()
                .flat_map(|key| key.to_redis_args())
                .collect(),
            limit: None,
            strategy: None,
        }
    }
}

impl Combination {
    /// At most so many members, whichever are found first; a count goes up to it. By default there is no limit. With one, looking ends early.
    pub fn limit(mut self, members: u64) -> Combination {
        self.limit = Some(members);
        self
    }

    /// In place of the cost model's choice, for measurements and tests: the answer is the same. What came whole with its size is neither probed
    /// nor fetched, and a union cannot be probed.
    pub fn strategy(mut self, strategy: Strategy) -> Combination {
        self.strategy = Some(strategy);
        self
    }

    /// All members, in no order, up to the limit. One to three round trips without a limit; with one, as many as there are chunks to look
    /// through: of 128 members, then four times as many each time, up to 4,096.
    ///
    /// # Errors
    /// [`ErrorKind::Server`] with WRONGTYPE, naming the key, when a key is not a set; [`ErrorKind::TooLarge`] beyond `limits.gather_bytes_max`;
    /// [`ErrorKind::UnexpectedReply`] when a member is not a `T`; [`ErrorKind::Invalid`] without keys; those of any read.
    pub async fn members<T: FromRedisValue>(&self) -> Result<Vec<T>, Error> {
        let members = self.values(&mut Log::off()).await?;
        let name = self.operation_name();
        members
            .into_iter()
            .map(|member| parse(name, member))
            .collect()
    }

    /// How many members there are, up to the limit. What [`members`](Combination::members) costs, but for an intersection whose sets are all on
    /// one server, which counts it, and a union with a limit that one of its sets reaches.
    ///
    /// # Errors
    /// As `members`.
    pub async fn count(&self) -> Result<u64, Error> {
        match self.ask(true, &mut Log::off()).await? {
            Answer::Count(count) => Ok(count),
            Answer::Members(members) => Ok(members.len() as u64),
            Answer::Refused(error, key) => Err(self.refused(error, key)),
        }
    }

    /// The members as a stream, in no order, in bounded memory, up to the limit. One set after the other is read by SSCAN (of an intersection
    /// the smallest, of a difference the first) in chunks that grow from 128 to 4,096 members, and each chunk is looked up in the other sets
    /// while the next one is read: a round trip per chunk, and nothing is read before it is polled.
    ///
    /// Held are two chunks, the small sets that came whole, of a difference also what is subtracted if half of `limits.gather_bytes_max` holds
    /// it, and 16 bytes of hash (about 48 with their table) for each member shown, up to `limits.gather_bytes_max` or 64 MiB: some 1.4 million.
    /// As long as all of them are remembered, no member is shown twice. Beyond that the newest half of it still is, which is enough unless
    /// members of a set are removed by the hundred thousand between two chunks; then a member may come again. Of a union that large, a member
    /// that is added to an earlier set while a later one is read may be left out, or come twice if it is taken from one.
    ///
    /// # Errors
    /// An item, the last one: as [`members`](Combination::members), and [`ErrorKind::CursorStale`] when the topology has moved the node that is
    /// read, or its connection was replaced (perhaps by another process, to which the cursor means nothing), and more was shown than is
    /// remembered. Until then the set is read again from its start, and only what was not shown is.
    pub fn stream<T: FromRedisValue + Send + 'static>(&self) -> Members<T> {
        let keys = self.key_slices();
        let begun = match self.question_of(&keys, false) {
            Ok(_) if self.limit == Some(0) => Begun::Ended,
            Ok(question) => Begun::Going(
                Box::new(Chunks::new(&question)),
                self.limit.unwrap_or(u64::MAX),
            ),
            Err(error) => Begun::Failed(error),
        };
        let state = (self.cluster.clone(), self.clone(), begun);
        let chunks = futures::stream::unfold(state, |(cluster, asked, begun)| async move {
            match begun {
                Begun::Ended => None,
                Begun::Failed(error) => Some((Err(error), (cluster, asked, Begun::Ended))),
                Begun::Going(mut chunks, left) => {
                    let (item, then) = match chunks.next(cluster.scatter(), cluster.manner()).await
                    {
                        Ok(Some(mut members)) => {
                            members.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                            match left - members.len() as u64 {
                                0 => (Ok(members), Begun::Ended),
                                left => (Ok(members), Begun::Going(chunks, left)),
                            }
                        }
                        Ok(None) => return None,
                        Err(Ended::Failed(error)) => (Err(error), Begun::Ended),
                        Err(Ended::Refused(error, key)) => {
                            (Err(asked.refused(error, key)), Begun::Ended)
                        }
                    };
                    Some((item, (cluster, asked, then)))
                }
            }
        });
        Members {
            name: self.operation_name(),
            ready: Vec::new().into_iter(),
            chunks: Some(Box::pin(chunks)),
            member: PhantomData,
        }
    }

    /// Writes the members to `destination` in place of what is there, and returns how many; an empty answer deletes it, as SINTERSTORE does.
    ///
    /// Not atomic: first the sets are read, then the answer is written, and what others write meanwhile, to the destination too, is overwritten
    /// or not seen. The write itself is one transaction on the destination's node, so nobody sees half of it. The destination may be one of the
    /// sets. One round trip more than [`members`](Combination::members).
    ///
    /// A store that the server refuses leaves the destination as it was: Redis looks at `maxmemory`, at the user's rights and at whether it may
    /// write (a replica, a failed snapshot) before it runs EXEC, not within, and within it neither DEL nor SADD of what was deleted can fail. EXEC
    /// promises no rollback, and none is needed. A server that dies while it writes keeps what its own persistence has.
    ///
    /// # Errors
    /// As `members`; [`ErrorKind::Unknown`] when the answer was perhaps written, which a repetition makes sure of.
    pub async fn store_non_atomic(&self, destination: impl ToRedisArgs) -> Result<u64, Error> {
        let destination = destination.to_redis_args();
        let [destination] = destination.as_slice() else {
            return Err(Error::new(ErrorKind::Invalid, "the destination is one key"));
        };
        let (delete, add) = (known("DEL"), known("SADD"));
        if let Some(row) = add.row {
            routing::check_reserved(destination, row)?;
        }
        let started = self.cluster.manner();
        let members = self.values_by(&mut Log::off(), started).await?;
        let mut cmds: Vec<(Cmd, Known)> = Vec::new();
        let mut del = redis::cmd("DEL");
        del.arg(destination);
        cmds.push((del, delete));
        for chunk in gather::chunks(&members) {
            let mut cmd = redis::cmd("SADD");
            cmd.arg(destination);
            for member in &members[chunk] {
                if let Value::BulkString(member) = member {
                    cmd.arg(member.as_slice());
                }
            }
            cmds.push((cmd, add));
        }
        let items: Vec<(&Cmd, Known)> = cmds.iter().map(|(cmd, known)| (cmd, *known)).collect();
        let node = self.cluster.current().node(destination);
        let target = Target::Node(node, Choice::Only);
        let scatter = self.cluster.scatter();
        let replies = match scatter.atomic(&items, &[], target, started).await? {
            Value::Array(replies) => replies,
            Value::ServerError(error) => return Err(Error::from_server(error).of_command("EXEC")),
            _ => {
                return Err(
                    Error::new(ErrorKind::UnexpectedReply, "EXEC answers a list")
                        .of_command("EXEC"),
                );
            }
        };
        for reply in replies {
            if let Value::ServerError(error) = reply {
                return Err(Error::from_server(error)
                    .of_command("SADD")
                    .about_key(destination));
            }
        }
        Ok(members.len() as u64)
    }

    /// Does what [`members`](Combination::members) does, and in place of them returns the plan: each step with the bytes and round trips that
    /// the cost model expected and those that it took. Its `Display` is a table. Where `members` needs no sizes they are asked for
    /// nevertheless, to be shown, and not counted.
    ///
    /// # Errors
    /// As `members`.
    pub async fn explain(&self) -> Result<Explained, Error> {
        let mut log = Log::of(self.operation, self.limit);
        let members = self.values(&mut log).await?;
        log.finish(members.len() as u64)
            .ok_or_else(|| Error::new(ErrorKind::UnexpectedReply, "nothing was noted"))
    }

    async fn values(&self, log: &mut Log) -> Result<Vec<Value>, Error> {
        self.values_by(log, self.cluster.manner()).await
    }

    async fn values_by(
        &self,
        log: &mut Log,
        manner: crate::scatter::Manner,
    ) -> Result<Vec<Value>, Error> {
        let keys = self.key_slices();
        let question = self.question_of(&keys, false)?;
        match gather::ask(self.cluster.scatter(), &question, manner, log).await? {
            Answer::Members(members) => Ok(members),
            Answer::Count(_) => Ok(Vec::new()),
            Answer::Refused(error, key) => Err(self.refused(error, key)),
        }
    }

    async fn ask(&self, counts: bool, log: &mut Log) -> Result<Answer, Error> {
        let keys = self.key_slices();
        let question = self.question_of(&keys, counts)?;
        gather::ask(
            self.cluster.scatter(),
            &question,
            self.cluster.manner(),
            log,
        )
        .await
    }

    fn key_slices(&self) -> Vec<&[u8]> {
        self.keys.iter().map(Vec::as_slice).collect()
    }

    fn question_of<'a>(&self, keys: &'a [&'a [u8]], counts: bool) -> Result<Question<'a>, Error> {
        let known = known(self.operation_name());
        if keys.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "it names no key").of_command(known.name()));
        }
        if let Some(row) = known.row {
            for key in keys {
                routing::check_reserved(key, row)?;
            }
        }
        let config = self.cluster.config();
        if !config.placement().has_homes() {
            let why = format!(
                "by {} no key has a home, so there is nothing to combine over nodes; send {} as a command, which any server answers",
                config.placement().algorithm(),
                known.name()
            );
            return Err(Error::new(ErrorKind::Refused, why).of_command(known.name()));
        }
        Ok(Question {
            operation: self.operation,
            keys,
            limit: self.limit,
            strategy: self.strategy,
            counts,
            is_sorted: false,
            known,
        })
    }

    /// The command that does it on one server: its row has no miss value, so that in cache mode no part is taken for empty.
    fn operation_name(&self) -> &'static str {
        match self.operation {
            Operation::Intersect => "SINTER",
            Operation::Union => "SUNION",
            Operation::Difference => "SDIFF",
        }
    }

    fn refused(&self, error: ServerError, key: Option<Vec<u8>>) -> Error {
        let error = Error::from_server(error).of_command(self.operation_name());
        match key {
            Some(key) => {
                let node = self.cluster.current().node(&key);
                error.about_key(&key).at_node(node)
            }
            None => error,
        }
    }
}

fn known(name: &str) -> Known {
    let row = row_of(&[name.as_bytes()]).ok();
    Known {
        row,
        is_read: row.is_some_and(|row| row.is_read(&[name.as_bytes()])),
    }
}

enum Begun {
    Going(Box<Chunks>, u64),
    Failed(Error),
    Ended,
}

type Chunk = Result<Vec<Value>, Error>;

/// The members of a combination as they come: a [`Stream`] of `Result<T, Error>`. After an error it ends. Dropped, it sends nothing more.
#[must_use = "nothing is sent until it is polled"]
pub struct Members<T> {
    name: &'static str,
    ready: std::vec::IntoIter<Value>,
    /// `None` at the end.
    chunks: Option<Pin<Box<dyn Stream<Item = Chunk> + Send>>>,
    member: PhantomData<fn() -> T>,
}

impl<T: FromRedisValue> Stream for Members<T> {
    type Item = Result<T, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T, Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(member) = this.ready.next() {
                let member = parse(this.name, member);
                if member.is_err() {
                    this.end();
                }
                return Poll::Ready(Some(member));
            }
            let Some(chunks) = &mut this.chunks else {
                return Poll::Ready(None);
            };
            match std::task::ready!(chunks.as_mut().poll_next(cx)) {
                Some(Ok(members)) => this.ready = members.into_iter(),
                Some(Err(error)) => {
                    this.end();
                    return Poll::Ready(Some(Err(error)));
                }
                None => this.end(),
            }
        }
    }
}

impl<T> Members<T> {
    fn end(&mut self) {
        self.ready = Vec::new().into_iter();
        self.chunks = None;
    }
}

impl<T> fmt::Debug for Members<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members")
            .field("ready", &self.ready.len())
            .field("ended", &self.chunks.is_none())
            .finish_non_exhaustive()
    }
}
