//! Sorted sets: ZINTER and ZDIFF over nodes, by the same [plan](super::plan) as sets, with scores. Plain sets may be among them; their scores are 1.
//!
//! A sorted set of up to 128 members, or in Redis's small encoding, comes whole with its size. Of an intersection the smallest set is fetched with
//! its scores, and its members are looked up in each of the others by ZMSCORE, or that one is fetched too; of a difference only the first one's
//! scores matter. A member whose score is nil by then is not in the answer.

use super::bytes_held;
use super::cost::Facts;
use super::engine::{self, Asked, Found, Kind, Question, Sampled, Stop, different};
use super::explained::Log;
use super::plan::{self, Action, Aim, Operation, Other, Plan, Source, Strategy};
use super::sets;
use super::zsets::{self, Input, Options, Scored};
use crate::error::Error;
use crate::scatter::{Manner, Scatter};
use redis::{ServerError, Value};
use std::collections::{HashMap, HashSet};
use std::time::Instant;

pub(super) enum Answer {
    Scored(Scored),
    Refused(ServerError),
}

/// Answers a ZINTER or a ZDIFF, anew when the topology or the kind of a key changes under a plan, within the deadline.
pub(super) async fn ask(
    scatter: &Scatter,
    question: &Question<'_>,
    options: &Options,
    manner: Manner,
) -> Result<Answer, Error> {
    let (keys, first_is_taken) = different(question);
    loop {
        let current = scatter.control().load_full();
        let mut log = Log::off();
        let mut asked = Asked::new(scatter, question, &current, &keys, manner, &mut log);
        match asked.scored(question, options, first_is_taken).await {
            Ok(scored) => return Ok(Answer::Scored(scored)),
            Err(Stop::Refused(error, _)) => return Ok(Answer::Refused(error)),
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Stale) if Instant::now() < manner.deadline => {}
            Err(Stop::Stale) => return Err(engine::late(question.known)),
        }
    }
}

/// What is known of one key: all its members, or those that may be in the answer.
pub(super) struct List {
    pub(super) members: Scored,
    /// How many it has in all.
    pub(super) cardinality: u64,
}

/// One input for each key as it was given; the lists are those of the different keys, in the order of first appearance.
pub(super) fn inputs<'a>(keys: &[&[u8]], weights: &[f64], lists: &'a [List]) -> Vec<Input<'a>> {
    let mut index = HashMap::new();
    keys.iter()
        .zip(weights)
        .map(|(key, weight)| {
            let next = index.len();
            let list = &lists[*index.entry(*key).or_insert(next)];
            Input {
                members: &list.members,
                cardinality: list.cardinality,
                weight: *weight,
            }
        })
        .collect()
}

impl Asked<'_> {
    async fn scored(
        &mut self,
        question: &Question<'_>,
        options: &Options,
        first_is_taken: bool,
    ) -> Result<Scored, Stop> {
        if self.groups().len() == 1 {
            return self.scored_there(question, options).await;
        }
        let mut sampled = self.sizes(false).await?;
        if first_is_taken {
            return Ok(Scored::new());
        }
        let facts = self.scored_facts(&sampled);
        let plan = self.scored_plan(&facts);
        match self.operation {
            Operation::Difference => self.scored_difference(&plan, &facts, &mut sampled).await,
            Operation::Intersect | Operation::Union => {
                let lists = self.scored_lists(&plan, &facts, &mut sampled).await?;
                let inputs = inputs(question.keys, &options.weights, &lists);
                Ok(zsets::intersection(inputs, options.aggregate))
            }
        }
    }

    /// All keys are on one server, which answers.
    async fn scored_there(
        &mut self,
        question: &Question<'_>,
        options: &Options,
    ) -> Result<Scored, Stop> {
        let is_difference = self.operation == Operation::Difference;
        let mut cmd = redis::cmd(if is_difference { "ZDIFF" } else { "ZINTER" });
        cmd.arg(question.keys.len()).arg(question.keys);
        if !is_difference {
            // Rust prints a number with as many digits as tell it from all others.
            let weights = options.weights.iter().map(f64::to_string);
            cmd.arg("WEIGHTS").arg(weights.collect::<Vec<_>>());
            cmd.arg("AGGREGATE").arg(options.aggregate.name());
        }
        cmd.arg("WITHSCORES");
        let reply = self.call(&cmd, self.nodes[0]).await?;
        self.still_tied(&self.groups())?;
        self.hold(bytes_held(&reply) as u64)?;
        match reply {
            Value::ServerError(error) => Err(Stop::Refused(error, None)),
            reply => Ok(zsets::scored(reply).ok_or_else(|| self.odd())?),
        }
    }

    /// What the cost model goes by. Of an intersection every single score is wanted, so nothing is combined on a server.
    fn scored_facts(&self, sampled: &[Sampled]) -> Vec<Facts> {
        let is_intersection = self.operation == Operation::Intersect;
        let of_one = |(at, set): (usize, &Sampled)| Facts {
            score_bytes: self
                .come_with_scores(&[at])
                .then(|| zsets::mean_bytes(&set.scores)),
            home: if is_intersection { at } else { set.facts.home },
            ..set.facts
        };
        sampled.iter().enumerate().map(of_one).collect()
    }

    /// Candidates that do not fit into memory are not walked: their scores would have to be held.
    fn scored_plan(&self, facts: &[Facts]) -> Plan {
        let aim = Aim {
            operation: self.operation,
            sets: facts,
            limit: None,
            strategy: None,
            bytes_max: self.bytes_max,
        };
        let plan = plan::choose(&aim);
        match plan.source {
            Source::Walk(_) => plan::choose(&Aim {
                strategy: Some(Strategy::Probe),
                ..aim
            }),
            _ => plan,
        }
    }

    /// Of an intersection: what there is to know of every key.
    async fn scored_lists(
        &mut self,
        plan: &Plan,
        facts: &[Facts],
        sampled: &mut [Sampled],
    ) -> Result<Vec<List>, Stop> {
        let empty = facts.iter().map(|facts| List {
            members: Scored::new(),
            cardinality: facts.members,
        });
        let mut lists: Vec<List> = empty.collect();
        let parts = Parts::of(plan);
        let Some(base) = parts.base else {
            return Ok(lists);
        };
        for at in &parts.in_hand {
            lists[*at].members = self.in_hand(&mut sampled[*at], *at);
        }
        let replies = self.fetch_replies(&parts.fetched, Action::Fetch).await?;
        for (group, reply) in parts.fetched.iter().zip(replies) {
            let members = self.fetched(reply, group)?;
            lists[group[0]] = List {
                cardinality: members.len() as u64,
                members,
            };
        }
        let mut keep = vec![true; lists[base].members.len()];
        for at in parts.in_hand.iter().chain(parts.fetched.iter().flatten()) {
            if *at != base && !parts.probed.is_empty() {
                let list: HashSet<&[u8], sets::Seed> = lists[*at]
                    .members
                    .iter()
                    .map(|(m, _)| m.as_slice())
                    .collect();
                for (keep, (member, _)) in keep.iter_mut().zip(&lists[base].members) {
                    *keep &= list.contains(member.as_slice());
                }
            }
        }
        let mut candidates = Vec::new();
        if !parts.probed.is_empty() {
            let members = lists[base].members.iter().zip(&keep);
            let members = members.filter(|(_, keep)| **keep);
            candidates.extend(members.map(|((member, _), _)| Value::BulkString(member.clone())));
            self.hold(
                candidates
                    .iter()
                    .map(|member| bytes_held(member) as u64)
                    .sum(),
            )?;
        }
        for round in parts.rounds(facts, base, candidates.len()) {
            let mut keep = vec![true; candidates.len()];
            let mut scores: Vec<(usize, usize, f64)> = Vec::new();
            self.look_up_each(&candidates, round, |set, at, found| match found {
                Found::No => keep[at] = false,
                Found::Yes => scores.push((set, at, 1.0)),
                Found::Scored(score) => scores.push((set, at, score)),
            })
            .await?;
            scores.retain(|(_, at, _)| keep[*at]);
            let of_one = |at: usize| bytes_held(&candidates[at]) as u64;
            self.hold(scores.iter().map(|(_, at, _)| of_one(*at)).sum())?;
            for (set, at, score) in scores {
                let member = sets::bytes(&candidates[at]).to_vec();
                lists[set].members.push((member, score));
            }
            candidates = sets::kept(candidates, &keep);
        }
        Ok(lists)
    }

    async fn scored_difference(
        &mut self,
        plan: &Plan,
        facts: &[Facts],
        sampled: &mut [Sampled],
    ) -> Result<Scored, Stop> {
        let parts = Parts::of(plan);
        let Some(base) = parts.base else {
            return Ok(Scored::new());
        };
        let mut first = None;
        let mut gone: HashSet<Vec<u8>, sets::Seed> = HashSet::default();
        for at in &parts.in_hand {
            let members = self.in_hand(&mut sampled[*at], *at);
            match *at == base {
                true => first = Some(members),
                false => gone.extend(members.into_iter().map(|(member, _)| member)),
            }
        }
        let replies = self.fetch_replies(&parts.fetched, Action::Fetch).await?;
        self.still_tied(&parts.fetched)?;
        for (group, reply) in parts.fetched.iter().zip(replies) {
            let members = self.fetched(reply, group)?;
            match group[0] == base {
                true => first = Some(members),
                false => gone.extend(members.into_iter().map(|(member, _)| member)),
            }
        }
        let mut left = first.unwrap_or_default();
        left.retain(|(member, _)| !gone.contains(member));
        drop(gone);
        let (candidates, mut scores): (Vec<Value>, Vec<f64>) = left
            .into_iter()
            .map(|(member, score)| (Value::BulkString(member), score))
            .unzip();
        let mut candidates = candidates;
        for round in parts.rounds(facts, base, candidates.len()) {
            let (keep, _) = self.look_up(&candidates, round).await?;
            candidates = sets::kept(candidates, &keep);
            let mut keep = keep.into_iter();
            scores.retain(|_| keep.next() == Some(true));
        }
        Ok(zsets::in_order(together(candidates, scores)))
    }

    /// A set that came whole with its size.
    fn in_hand(&self, set: &mut Sampled, at: usize) -> Scored {
        let members = std::mem::take(&mut set.members);
        match self.kinds[at] {
            Kind::Set => ones(members),
            Kind::Sorted => together(members, std::mem::take(&mut set.scores)),
        }
    }

    /// The members of a group's reply. Where scores do not come, they are those of a plain set, or do not matter.
    fn fetched(&self, reply: Value, group: &[usize]) -> Result<Scored, Error> {
        let members = match self.come_with_scores(group) {
            true => zsets::scored(reply),
            false => sets::items(reply).map(ones),
        };
        members.ok_or_else(|| self.odd())
    }
}

fn ones(members: Vec<Value>) -> Scored {
    let scores = vec![1.0; members.len()];
    together(members, scores)
}

fn together(members: Vec<Value>, scores: Vec<f64>) -> Scored {
    let of_one = |(member, score)| match member {
        Value::BulkString(member) => Some((member, score)),
        _ => None,
    };
    members.into_iter().zip(scores).filter_map(of_one).collect()
}

/// A plan by what is done with each set.
struct Parts {
    base: Option<usize>,
    in_hand: Vec<usize>,
    fetched: Vec<Vec<usize>>,
    probed: Vec<usize>,
}

impl Parts {
    fn of(plan: &Plan) -> Parts {
        let mut parts = Parts {
            base: None,
            in_hand: Vec::new(),
            fetched: Vec::new(),
            probed: Vec::new(),
        };
        match &plan.source {
            Source::Nothing | Source::Walk(_) => return parts,
            Source::InHand(at) => {
                parts.base = Some(*at);
                parts.in_hand.push(*at);
            }
            Source::Fetch(group) => {
                parts.base = Some(group[0]);
                parts.fetched.push(group.clone());
            }
        }
        for other in &plan.others {
            match other {
                Other::InHand(at) => parts.in_hand.push(*at),
                Other::Fetch(group) => parts.fetched.push(group.clone()),
                Other::Probe(at) => parts.probed.push(*at),
            }
        }
        parts
    }

    /// Which sets are probed together: all, or one after the other.
    fn rounds(&self, facts: &[Facts], base: usize, candidates: usize) -> Vec<&[usize]> {
        let probed = &self.probed;
        match plan::probes_one_by_one(facts, probed, &facts[base], candidates as u64) {
            true => probed.chunks(1).collect(),
            false => vec![probed],
        }
    }
}
