//! Set algebra over nodes, carried out: sizes in one round trip, then what the [plan](super::plan) says.
//!
//! Several round trips are not one moment: of every member it holds that it was, or was not, in each set at some time during the call.

use super::bytes_held;
use super::cost::{self, Facts};
use super::explained::{self, Done, Log};
use super::plan::{self, Action, Aim, Operation, Other, Plan, Source, Strategy};
use super::sets::{self, Seen};
use super::walk::Walk;
use super::zsets;
use crate::control::Current;
use crate::error::{Error, ErrorKind};
use crate::placement::NodeId;
use crate::pool::Server;
use crate::routing::{self, Gate, Known};
use crate::scatter::{Body, Call, Choice, Entry, Manner, Scatter, Target};
use futures::stream::{FuturesUnordered, StreamExt};
use redis::{Cmd, ServerError, Value};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Members that a set has at most. A server that says more is not believed: all sums over sets stay far from the end of a
/// number.
const MEMBERS_MAX: u64 = 1 << 40;
/// Bytes of a set at most, likewise.
const SET_BYTES_MAX: f64 = (1_u64 << 50) as f64;

/// A question to sets on any nodes.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) operation: Operation,
    /// As given: a key may be there twice.
    pub(crate) keys: &'a [&'a [u8]],
    pub(crate) limit: Option<u64>,
    pub(crate) strategy: Option<Strategy>,
    pub(crate) counts: bool,
    /// Sorted sets, among which plain sets may be; their members alone matter.
    pub(crate) is_sorted: bool,
    /// Whose row decides about retries and misses, and whose name is in errors. One without a miss value: cache mode answers nothing in a
    /// dead server's place.
    pub(crate) known: Known,
}

pub(crate) enum Answer {
    Members(Vec<Value>),
    Count(u64),
    /// A server's error; the key, where one is at fault.
    Refused(ServerError, Option<Vec<u8>>),
}

/// Why a try ended without an answer.
pub(super) enum Stop {
    /// The topology, or what kind of set a key holds, changed under a plan that relied on it.
    Stale,
    Refused(ServerError, Option<usize>),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

/// Answers a question. The plan is made and carried out anew when the topology changes under it, within the deadline.
pub(crate) async fn ask(
    scatter: &Scatter,
    question: &Question<'_>,
    manner: Manner,
    log: &mut Log,
) -> Result<Answer, Error> {
    let (keys, first_is_taken) = different(question);
    loop {
        log.begin_anew();
        let current = scatter.control().load_full();
        let mut asked = Asked::new(scatter, question, &current, &keys, manner, log);
        match asked.answer(question, first_is_taken).await {
            Ok(answer) => return Ok(answer),
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Refused(error, at)) => {
                return Ok(Answer::Refused(error, at.map(|at| keys[at].to_vec())));
            }
            Err(Stop::Stale) if Instant::now() < manner.deadline => {}
            Err(Stop::Stale) => return Err(late(question.known)),
        }
    }
}

/// Every key once, in the order of first appearance; and whether a difference takes its first set from itself.
pub(super) fn different<'a>(question: &Question<'a>) -> (Vec<&'a [u8]>, bool) {
    let mut seen = Seen::default();
    let keys = question.keys.iter().copied();
    let different = keys.filter(|key| seen.is_new(key)).collect();
    let first_is_taken = question.operation == Operation::Difference
        && question
            .keys
            .split_first()
            .is_some_and(|(first, others)| others.contains(first));
    (different, first_is_taken)
}

/// What a key holds, as far as is known: a sorted set until a server says otherwise, where sorted sets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Set,
    Sorted,
}

impl Kind {
    pub(super) fn size(self) -> &'static str {
        match self {
            Kind::Set => "SCARD",
            Kind::Sorted => "ZCARD",
        }
    }

    pub(super) fn scan(self) -> &'static str {
        match self {
            Kind::Set => "SSCAN",
            Kind::Sorted => "ZSCAN",
        }
    }

    pub(super) fn probe(self) -> &'static str {
        match self {
            Kind::Set => "SMISMEMBER",
            Kind::Sorted => "ZMSCORE",
        }
    }
}

/// One try.
pub(super) struct Asked<'a> {
    pub(super) scatter: &'a Scatter,
    pub(super) operation: Operation,
    pub(super) known: Known,
    pub(super) keys: &'a [&'a [u8]],
    pub(super) nodes: Vec<NodeId>,
    /// One per key.
    pub(super) kinds: Vec<Kind>,
    pub(super) is_sorted: bool,
    wants_scores: bool,
    /// Keys with equal homes share a server.
    pub(super) homes: Vec<usize>,
    pub(super) current: &'a Arc<Current<Server>>,
    pub(super) manner: Manner,
    pub(super) held: u64,
    pub(super) bytes_max: u64,
    pub(super) log: &'a mut Log,
}

/// What the first round trip told of one set.
pub(super) struct Sampled {
    pub(super) facts: Facts,
    pub(super) members: Vec<Value>,
    /// One per member of a sorted set.
    pub(super) scores: Vec<f64>,
    /// Where an SSCAN goes on; 0 if the set is whole.
    pub(super) cursor: u64,
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        scatter: &'a Scatter,
        question: &Question<'_>,
        current: &'a Arc<Current<Server>>,
        keys: &'a [&'a [u8]],
        manner: Manner,
        log: &'a mut Log,
    ) -> Asked<'a> {
        let nodes: Vec<NodeId> = keys.iter().map(|key| current.node(key)).collect();
        let servers = current.topology.servers().count();
        let homes = nodes
            .iter()
            .map(|node| match routing::gate(&current.topology, *node, true) {
                Gate::Send => current.topology.server_of(*node).index(),
                // A node that is not served now may live elsewhere when it is.
                _ => servers + node.index(),
            })
            .collect();
        Asked {
            scatter,
            operation: question.operation,
            known: question.known,
            keys,
            nodes,
            kinds: vec![
                match question.is_sorted {
                    true => Kind::Sorted,
                    false => Kind::Set,
                };
                keys.len()
            ],
            is_sorted: question.is_sorted,
            wants_scores: question.is_sorted && !question.counts,
            homes,
            current,
            manner,
            held: 0,
            bytes_max: current.config.limits().gather_bytes_max,
            log,
        }
    }

    async fn answer(
        &mut self,
        question: &Question<'_>,
        first_is_taken: bool,
    ) -> Result<Answer, Stop> {
        let answer = |members: Vec<Value>| match (question.counts, question.limit) {
            (true, limit) => {
                let count = members.len() as u64;
                Answer::Count(limit.map_or(count, |limit| count.min(limit)))
            }
            (false, limit) => {
                let mut members = members;
                members.truncate(limit.map_or(usize::MAX, |limit| {
                    usize::try_from(limit).unwrap_or(usize::MAX)
                }));
                Answer::Members(members)
            }
        };
        if question.limit == Some(0) {
            return Ok(answer(Vec::new()));
        }
        let is_plain = question.strategy.is_none() && !first_is_taken;
        let share_a_server = self.homes.iter().all(|home| *home == self.homes[0]);
        // What needs no plan, because the whole answer is one command or because all of every set is needed.
        if is_plain
            && share_a_server
            && question.operation == Operation::Intersect
            && question.counts
        {
            self.explain(question).await?;
            return Ok(Answer::Count(self.count_there(question.limit).await?));
        }
        let is_all_needed = question.operation == Operation::Union || share_a_server;
        if is_plain && is_all_needed && question.limit.is_none() {
            self.explain(question).await?;
            let groups = self.groups();
            let lists = self.fetch(&groups, Action::Fetch).await?;
            self.still_tied(&groups)?;
            return Ok(answer(sets::union(lists)));
        }
        let before = Walk::places(self);
        let mut sampled = self.sizes(true).await?;
        let facts: Vec<Facts> = sampled.iter().map(|set| set.facts).collect();
        let aim = self.aim(question, &facts);
        let largest = facts.iter().map(|set| set.members).max().unwrap_or(0);
        let plan = if first_is_taken {
            Plan {
                source: Source::Nothing,
                others: Vec::new(),
            }
        } else {
            plan::choose(&aim)
        };
        let servers = self.servers();
        self.log.expect(&servers, &aim, &plan, true);
        if let (Operation::Union, true, Some(limit)) =
            (question.operation, question.counts, question.limit)
            && largest >= limit
        {
            return Ok(Answer::Count(limit));
        }
        let members = match plan.source {
            Source::Nothing => Vec::new(),
            Source::Walk(at) => {
                let walk = Walk::new(self, at, sampled, before)?;
                self.collect(walk, question.limit).await?
            }
            _ => self.combine(&plan, &mut sampled).await?,
        };
        Ok(answer(members))
    }

    fn aim<'f>(&self, question: &Question<'_>, facts: &'f [Facts]) -> Aim<'f> {
        Aim {
            operation: question.operation,
            sets: facts,
            limit: question.limit,
            strategy: question.strategy,
            bytes_max: self.bytes_max,
        }
    }

    /// For an explanation of what goes without sizes: asks them, and does not count that.
    async fn explain(&mut self, question: &Question<'_>) -> Result<(), Stop> {
        if !self.log.is_kept() {
            return Ok(());
        }
        let sampled = self.sizes(false).await?;
        let facts: Vec<Facts> = sampled.iter().map(|set| set.facts).collect();
        self.held = 0;
        let mut groups = self.groups().into_iter();
        let plan = Plan {
            source: groups.next().map_or(Source::Nothing, Source::Fetch),
            others: groups.map(Other::Fetch).collect(),
        };
        let aim = self.aim(question, &facts);
        let servers = self.servers();
        self.log.expect(&servers, &aim, &plan, false);
        Ok(())
    }

    /// The keys, and the server of each, for an explanation.
    fn servers(&self) -> Vec<(&'a [u8], String)> {
        if !self.log.is_kept() {
            return Vec::new();
        }
        let keys = self.keys.iter().zip(&self.nodes);
        keys.map(|(key, node)| (*key, self.current.server_of(*node).name().to_string()))
            .collect()
    }

    /// Positions of keys by server.
    pub(super) fn groups(&self) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (at, home) in self.homes.iter().enumerate() {
            match groups
                .iter_mut()
                .find(|group| self.homes[group[0]] == *home)
            {
                Some(group) => group.push(at),
                None => groups.push(vec![at]),
            }
        }
        groups
    }

    /// Keys that were on one server when they were grouped may have been asked for where one of them no longer is.
    pub(super) fn still_tied(&self, groups: &[Vec<usize>]) -> Result<(), Stop> {
        let is_tied = |group: &Vec<usize>| {
            group
                .iter()
                .any(|at| self.nodes[*at] != self.nodes[group[0]])
        };
        let is_changed = self.scatter.control().load().generation != self.current.generation;
        if is_changed && groups.iter().any(is_tied) {
            return Err(Stop::Stale);
        }
        Ok(())
    }

    /// Sizes and samples of all sets, in one round trip, or in several where there are many keys. A wrong type is found here, with its key.
    ///
    /// Where sorted sets are asked for, a key of another type is asked again as a plain set: one more round trip, for those keys alone.
    pub(super) async fn sizes(&mut self, is_logged: bool) -> Result<Vec<Sampled>, Stop> {
        let all: Vec<usize> = (0..self.keys.len()).collect();
        let mut sampled: Vec<Option<Sampled>> = all.iter().map(|_| None).collect();
        let mut again = Vec::new();
        let mut refused = None;
        for (at, set) in self.sample(&all, is_logged).await? {
            match set {
                Ok(set) => sampled[at] = Some(set),
                Err(error) if self.is_sorted && error.code() == "WRONGTYPE" => {
                    self.kinds[at] = Kind::Set;
                    again.push(at);
                }
                Err(error) => {
                    refused.get_or_insert(Stop::Refused(error, Some(at)));
                }
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        for (at, set) in self.sample(&again, is_logged).await? {
            match set {
                Ok(set) => sampled[at] = Some(set),
                Err(error) => return Err(Stop::Refused(error, Some(at))),
            }
        }
        let sampled: Option<Vec<Sampled>> = sampled.into_iter().collect();
        Ok(sampled.ok_or_else(|| self.odd())?)
    }

    /// Of these keys, in pieces of [`cost::SAMPLED_KEYS_MAX`], after each of which the memory is looked at.
    async fn sample(
        &mut self,
        keys: &[usize],
        is_logged: bool,
    ) -> Result<Vec<(usize, Result<Sampled, ServerError>)>, Stop> {
        let mut sampled = Vec::with_capacity(keys.len());
        for piece in keys.chunks(cost::SAMPLED_KEYS_MAX) {
            let mut cmds = Vec::with_capacity(2 * piece.len());
            for at in piece {
                let (key, kind) = (self.keys[*at], self.kinds[*at]);
                let mut size = redis::cmd(kind.size());
                size.arg(key);
                let mut sample = redis::cmd(kind.scan());
                sample.arg(key).arg(0).arg("COUNT");
                sample.arg(cost::SAMPLE_MEMBERS);
                cmds.extend([size, sample]);
            }
            let nodes = piece.iter().flat_map(|at| [self.nodes[*at]; 2]);
            let mut replies = self.batch(cmds.iter().zip(nodes)).await.into_iter();
            let mut traffic = self.log.count_all(&cmds);
            for at in piece {
                let (Some(size), Some(sample)) = (replies.next(), replies.next()) else {
                    return Err(self.odd().into());
                };
                let (size, sample) = (size?, sample?);
                self.log.count_reply(&mut traffic, &size);
                self.log.count_reply(&mut traffic, &sample);
                sampled.push((*at, self.sampled(*at, size, sample)?));
            }
            if is_logged {
                let all = (0..self.keys.len()).collect();
                self.log.round(&[(Action::Sizes, all, traffic)]);
            }
        }
        Ok(sampled)
    }

    fn sampled(
        &mut self,
        at: usize,
        size: Value,
        sample: Value,
    ) -> Result<Result<Sampled, ServerError>, Stop> {
        let (size, sample) = match (size, sample) {
            (Value::ServerError(error), _) | (_, Value::ServerError(error)) => {
                return Ok(Err(error));
            }
            (Value::Int(size), sample) => (u64::try_from(size).map_err(|_| self.odd())?, sample),
            _ => return Err(self.odd().into()),
        };
        let scanned = scanned(sample, self.kinds[at]).ok_or_else(|| self.odd())?;
        let (cursor, members) = (scanned.cursor, scanned.members);
        self.hold(members.iter().map(|member| bytes_held(member) as u64).sum())?;
        let bytes: usize = members.iter().map(|member| sets::bytes(member).len()).sum();
        let bytes_each = match members.len() {
            0 => 0.0,
            count => bytes as f64 / count as f64,
        };
        if size > MEMBERS_MAX || size as f64 * bytes_each > SET_BYTES_MAX {
            return Err(self.odd().into());
        }
        let facts = Facts {
            members: match cursor {
                0 => members.len() as u64,
                _ => size.max(members.len() as u64),
            },
            bytes_each,
            // How many bytes the scores take is of interest to those who want them.
            score_bytes: None,
            key_bytes: self.keys[at].len(),
            is_whole: cursor == 0,
            home: self.homes[at],
        };
        Ok(Ok(Sampled {
            facts,
            members,
            scores: scanned.scores,
            cursor,
        }))
    }

    async fn count_there(&mut self, limit: Option<u64>) -> Result<u64, Stop> {
        let mut cmd = redis::cmd(match self.is_sorted {
            true => "ZINTERCARD",
            false => "SINTERCARD",
        });
        cmd.arg(self.keys.len()).arg(self.keys);
        if let Some(limit) = limit {
            cmd.arg("LIMIT")
                .arg(i64::try_from(limit).unwrap_or(i64::MAX));
        }
        let mut traffic = self.log.count_all(std::slice::from_ref(&cmd));
        let reply = self.call(&cmd, self.nodes[0]).await?;
        self.log.count_reply(&mut traffic, &reply);
        let groups = self.groups();
        self.still_tied(&groups)?;
        match reply {
            Value::Int(count) => {
                let all = (0..self.keys.len()).collect();
                self.log.round(&[(Action::Fetch, all, traffic)]);
                Ok(u64::try_from(count).map_err(|_| self.odd())?)
            }
            Value::ServerError(error) => Err(self.refused(error).await),
            _ => Err(self.odd().into()),
        }
    }

    /// The answer of a plan whose candidates fit into memory.
    async fn combine(&mut self, plan: &Plan, sampled: &mut [Sampled]) -> Result<Vec<Value>, Stop> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        if let Source::Fetch(group) = &plan.source {
            groups.push(group.clone());
        }
        let mut probed = Vec::new();
        let mut lists = Vec::new();
        for other in &plan.others {
            match other {
                Other::InHand(at) => lists.push(std::mem::take(&mut sampled[*at].members)),
                Other::Fetch(group) => groups.push(group.clone()),
                Other::Probe(at) => probed.push(*at),
            }
        }
        let base = match &plan.source {
            Source::InHand(at) => *at,
            Source::Fetch(group) => group[0],
            Source::Nothing | Source::Walk(_) => return Ok(Vec::new()),
        };
        // Of the sets that are fetched, the samples are of no more use.
        for at in groups.iter().flatten() {
            sampled[*at].members = Vec::new();
        }
        let mut fetched = self.fetch(&groups, Action::Fetch).await?.into_iter();
        self.still_tied(&groups)?;
        let first = match &plan.source {
            Source::InHand(at) => std::mem::take(&mut sampled[*at].members),
            _ => fetched.next().unwrap_or_default(),
        };
        lists.extend(fetched);
        let mut candidates = match self.operation {
            Operation::Intersect => {
                lists.push(first);
                sets::intersection(lists)
            }
            Operation::Difference => sets::difference(first, lists),
            Operation::Union => {
                lists.push(first);
                sets::union(lists)
            }
        };
        if candidates.is_empty() || probed.is_empty() {
            return Ok(candidates);
        }
        let facts: Vec<Facts> = sampled.iter().map(|set| set.facts).collect();
        let count = candidates.len() as u64;
        if plan::probes_one_by_one(&facts, &probed, &facts[base], count) {
            for at in probed {
                let keep = self.probe(&candidates, &[at]).await?;
                candidates = sets::kept(candidates, &keep);
                if candidates.is_empty() {
                    break;
                }
            }
        } else {
            let keep = self.probe(&candidates, &probed).await?;
            candidates = sets::kept(candidates, &keep);
        }
        Ok(candidates)
    }

    /// Fetches each group, combined on its server, all at once.
    pub(super) async fn fetch(
        &mut self,
        groups: &[Vec<usize>],
        action: Action,
    ) -> Result<Vec<Vec<Value>>, Stop> {
        let lists = self.fetch_replies(groups, action).await?;
        let lists: Option<Vec<Vec<Value>>> = lists.into_iter().map(sets::items).collect();
        Ok(lists.ok_or_else(|| self.odd())?)
    }

    /// The same, as the servers answered.
    pub(super) async fn fetch_replies(
        &mut self,
        groups: &[Vec<usize>],
        action: Action,
    ) -> Result<Vec<Value>, Stop> {
        if groups.is_empty() {
            return Ok(Vec::new());
        }
        let cmds: Vec<Cmd> = groups
            .iter()
            .map(|group| self.fetch_command(group))
            .collect();
        let mut steps: Vec<_> = groups
            .iter()
            .zip(&cmds)
            .map(|(group, cmd)| {
                (
                    action,
                    group.clone(),
                    self.log.count_all(std::slice::from_ref(cmd)),
                )
            })
            .collect();
        let mut lists = vec![Value::Nil; groups.len()];
        let mut refused = None;
        {
            let this = &*self;
            let mut calls: FuturesUnordered<_> = groups
                .iter()
                .zip(&cmds)
                .enumerate()
                .map(|(at, (group, cmd))| async move {
                    (at, this.call(cmd, this.nodes[group[0]]).await)
                })
                .collect();
            // Looked at as they come: what is too much ends the call, and with it what has not come yet.
            let mut held = self.held;
            while let Some((at, reply)) = calls.next().await {
                let reply = reply?;
                this.log.count_reply(&mut steps[at].2, &reply);
                if let Value::ServerError(error) = reply {
                    this.check_kind(&error)?;
                    refused.get_or_insert(error);
                    continue;
                }
                held += bytes_held(&reply) as u64;
                this.check_held(held)?;
                lists[at] = reply;
            }
            drop(calls);
            self.held = held;
        }
        if let Some(error) = refused {
            return Err(self.refused(error).await);
        }
        self.log.round(&steps);
        Ok(lists)
    }

    fn fetch_command(&self, group: &[usize]) -> Cmd {
        if self.is_sorted {
            return self.sorted_fetch_command(group);
        }
        let name = explained::fetch_command(self.operation, group);
        let mut cmd = redis::cmd(name);
        for at in group {
            cmd.arg(self.keys[*at]);
        }
        cmd
    }

    fn sorted_fetch_command(&self, group: &[usize]) -> Cmd {
        let mut cmd = match (self.operation, group) {
            (_, [at]) if self.kinds[*at] == Kind::Set => redis::cmd("SMEMBERS"),
            (_, [_]) => redis::cmd("ZRANGE"),
            (Operation::Intersect, _) => redis::cmd("ZINTER"),
            (Operation::Difference, [0, ..]) => redis::cmd("ZDIFF"),
            (Operation::Difference | Operation::Union, _) => redis::cmd("ZUNION"),
        };
        match group {
            [at] if self.kinds[*at] == Kind::Set => cmd.arg(self.keys[*at]),
            [at] => cmd.arg(self.keys[*at]).arg(0).arg(-1),
            _ => cmd.arg(group.len()),
        };
        if group.len() > 1 {
            for at in group {
                cmd.arg(self.keys[*at]);
            }
        }
        if self.come_with_scores(group) {
            cmd.arg("WITHSCORES");
        }
        cmd
    }

    /// Whether a group's scores are fetched: of a difference, only the first set's matter.
    pub(super) fn come_with_scores(&self, group: &[usize]) -> bool {
        let is_wanted = match self.operation {
            Operation::Difference => group[0] == 0,
            Operation::Intersect | Operation::Union => true,
        };
        self.wants_scores && is_wanted && (group.len() > 1 || self.kinds[group[0]] == Kind::Sorted)
    }

    /// Which candidates stay when they are looked up in these sets: one round trip, or one for every [`cost::PIECE_BYTES_MAX`] of requests.
    async fn probe(&mut self, candidates: &[Value], probed: &[usize]) -> Result<Vec<bool>, Stop> {
        let (keep, done) = self.look_up(candidates, probed).await?;
        self.log.round(&done);
        Ok(keep)
    }

    /// The same, and what it moved.
    pub(super) async fn look_up(
        &self,
        candidates: &[Value],
        probed: &[usize],
    ) -> Result<(Vec<bool>, Vec<Done>), Stop> {
        let mut keep = vec![true; candidates.len()];
        let done = self
            .look_up_each(candidates, probed, |_, at, found| {
                keep[at] &= self.operation.keeps(found.is_found());
            })
            .await?;
        Ok((keep, done))
    }

    /// What each of these sets says about each candidate, given by the positions of both.
    pub(super) async fn look_up_each(
        &self,
        candidates: &[Value],
        probed: &[usize],
        mut found: impl FnMut(usize, usize, Found) + Send,
    ) -> Result<Vec<Done>, Stop> {
        if candidates.is_empty() || probed.is_empty() {
            return Ok(Vec::new());
        }
        let mut done = Vec::with_capacity(probed.len());
        // Piece by piece, so that requests and replies on the way take little beside what is held.
        for probed in probed.chunks(sets::sets_at_once(candidates)) {
            let first = done.len();
            done.extend(
                probed
                    .iter()
                    .map(|at| (Action::Probe, vec![*at], cost::Traffic::default())),
            );
            for piece in sets::pieces(candidates, probed.len()) {
                self.look_up_piece(candidates, &piece, probed, &mut done[first..], &mut found)
                    .await?;
            }
        }
        Ok(done)
    }

    async fn look_up_piece(
        &self,
        candidates: &[Value],
        piece: &[Range<usize>],
        probed: &[usize],
        done: &mut [Done],
        found: &mut (impl FnMut(usize, usize, Found) + Send),
    ) -> Result<(), Stop> {
        let mut cmds = Vec::with_capacity(probed.len() * piece.len());
        let mut of = Vec::with_capacity(cmds.capacity());
        for (step, at) in probed.iter().enumerate() {
            for chunk in piece {
                let mut cmd = redis::cmd(self.kinds[*at].probe());
                cmd.arg(self.keys[*at]);
                for member in &candidates[chunk.clone()] {
                    cmd.arg(sets::bytes(member));
                }
                cmds.push(cmd);
                of.push((step, *at, chunk.clone()));
            }
        }
        let nodes = of.iter().map(|(_, at, _)| self.nodes[*at]);
        let replies = self.batch(cmds.iter().zip(nodes)).await;
        for step in done.iter_mut() {
            step.2.round_trips += 1;
        }
        let mut refused = None;
        for ((reply, (step, at, chunk)), cmd) in replies.into_iter().zip(of).zip(&cmds) {
            let reply = reply?;
            done[step].2 += self.log.count_all(std::slice::from_ref(cmd));
            self.log.count_reply(&mut done[step].2, &reply);
            let answers = match reply {
                Value::Array(answers) if answers.len() == chunk.len() => answers,
                Value::ServerError(error) => {
                    self.check_kind(&error)?;
                    refused.get_or_insert(Stop::Refused(error, Some(at)));
                    continue;
                }
                _ => return Err(self.odd().into()),
            };
            for (candidate, answer) in chunk.zip(answers) {
                let answer = Found::read(answer, self.kinds[at]).ok_or_else(|| self.odd())?;
                found(at, candidate, answer);
            }
        }
        refused.map_or(Ok(()), Err)
    }

    /// A sorted set that is none any more, or a plain one, makes the plan void; whether its type is a wrong one is found out anew.
    pub(super) fn check_kind(&self, error: &ServerError) -> Result<(), Stop> {
        match self.is_sorted && error.code() == "WRONGTYPE" {
            true => Err(Stop::Stale),
            false => Ok(()),
        }
    }

    /// All that a walk finds, up to the limit.
    async fn collect(&mut self, mut walk: Walk, limit: Option<u64>) -> Result<Vec<Value>, Stop> {
        let mut found = Vec::new();
        while let Some(chunk) = walk.next(self).await? {
            self.hold(chunk.iter().map(|member| bytes_held(member) as u64).sum())?;
            found.extend(chunk);
            if limit.is_some_and(|limit| found.len() as u64 >= limit) {
                break;
            }
        }
        // A walk's own memory of what it has shown is bounded; here all of it is held anyway.
        Ok(if walk.may_repeat() {
            sets::unique(found)
        } else {
            found
        })
    }

    pub(super) async fn batch<'b>(
        &self,
        cmds: impl Iterator<Item = (&'b Cmd, NodeId)>,
    ) -> Vec<Result<Value, Error>> {
        let entries = cmds
            .map(|(cmd, node)| Entry {
                cmd,
                known: self.known,
                body: Body::Node(node),
                script: None,
            })
            .collect();
        self.scatter.many(entries, self.manner).await
    }

    pub(super) async fn call(&self, cmd: &Cmd, node: NodeId) -> Result<Value, Error> {
        self.scatter
            .call(Call {
                cmd,
                known: self.known,
                target: Target::Node(node, Choice::Only),
                script: None,
                manner: self.manner,
            })
            .await
    }

    /// The error of a command with several keys: which of them is at fault is found out. If that cannot be told any more, no key is named.
    async fn refused(&mut self, error: ServerError) -> Stop {
        if error.code() == "WRONGTYPE"
            && let Err(Stop::Refused(found, at)) = Box::pin(self.sizes(false)).await
            && found.code() == "WRONGTYPE"
        {
            return Stop::Refused(error, at);
        }
        Stop::Refused(error, None)
    }

    /// Counts what is held from now on.
    pub(super) fn hold(&mut self, bytes: u64) -> Result<(), Error> {
        self.held += bytes;
        self.check_held(self.held)
    }

    pub(super) fn check_held(&self, held: u64) -> Result<(), Error> {
        if held <= self.bytes_max {
            return Ok(());
        }
        Err(too_large(&self.current.config, self.known.name(), held))
    }

    pub(super) fn odd(&self) -> Error {
        odd(self.known)
    }
}

/// What a set says about a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found {
    No,
    Yes,
    Scored(f64),
}

impl Found {
    fn read(answer: Value, kind: Kind) -> Option<Found> {
        Some(match (kind, answer) {
            (Kind::Set, Value::Int(1)) => Found::Yes,
            (Kind::Set, Value::Int(0)) | (Kind::Sorted, Value::Nil) => Found::No,
            (Kind::Sorted, score) => Found::Scored(zsets::score_of(score)?),
            (Kind::Set, _) => return None,
        })
    }

    pub(super) fn is_found(self) -> bool {
        self != Found::No
    }
}

/// What an SSCAN or a ZSCAN has found.
pub(super) struct Scanned {
    pub(super) cursor: u64,
    pub(super) members: Vec<Value>,
    /// Of a ZSCAN, one per member.
    pub(super) scores: Vec<f64>,
}

pub(super) fn scanned(reply: Value, kind: Kind) -> Option<Scanned> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let [Value::BulkString(cursor), items] = <[Value; 2]>::try_from(parts).ok()? else {
        return None;
    };
    let cursor = std::str::from_utf8(&cursor).ok()?.parse().ok()?;
    let items = sets::items(items)?;
    if kind == Kind::Set {
        return Some(Scanned {
            cursor,
            members: items,
            scores: Vec::new(),
        });
    }
    let (members, scores) = zsets::pairs(items)?;
    Some(Scanned {
        cursor,
        members,
        scores,
    })
}

/// The refusal of intermediate results beyond the limit.
pub(super) fn too_large(config: &crate::config::Config, command: &str, held: u64) -> Error {
    let bytes_max = config.limits().gather_bytes_max;
    let one_node = match config.placement().has_tags() {
        true => "put the keys on one node by a hash tag, ",
        false => "",
    };
    let why = format!(
        "its intermediate results take {held} bytes; limits.gather_bytes_max allows {bytes_max}. Raise that limit, {one_node}or \
         combine them in parts"
    );
    Error::new(ErrorKind::TooLarge, why).of_command(command)
}

pub(super) fn late(known: Known) -> Error {
    let why = "the deadline passed while the topology changed";
    Error::new(ErrorKind::NotSent, why)
        .of_command(known.name())
        .by_timeout()
}

pub(super) fn odd(known: Known) -> Error {
    Error::new(
        ErrorKind::UnexpectedReply,
        "a server's reply has another shape than the command's",
    )
    .of_command(known.name())
}
