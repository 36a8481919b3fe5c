//! What a caller of redis-rs writes who has no such library: one connection per server, routing for free.

use super::{
    Act, Answer, Answered, Combination, Contestant, Failure, Form, HOME, Key, Layout, timeline,
};
use crate::applications::data::PAGE;
use crate::applications::order::Item;
use futures::future::try_join_all;
use futures::stream::{FuturesUnordered, TryStreamExt};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, Cmd, Pipeline};
use std::collections::{HashMap, HashSet};

/// Owners of one pipeline.
const PIECE_OWNERS: usize = 1_000;
/// Pipelines under way on each server.
const PIECES: usize = 4;

pub(super) struct ByHand {
    contestant: Contestant,
    connections: Vec<MultiplexedConnection>,
    /// Of each server.
    owners: Vec<Vec<u64>>,
    /// Where authors are; asked once, as a caller would remember it.
    servers: HashMap<String, usize>,
    layout: Layout,
}

impl ByHand {
    pub(super) async fn connect(layout: &Layout, contestant: Contestant) -> Answer<ByHand> {
        // A set of a million takes longer than its default of half a second.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connections = Vec::new();
        for server in 0..layout.servers.len() {
            let client = redis::Client::open(layout.url(server))?;
            connections.push(
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await?,
            );
        }
        Ok(ByHand {
            contestant,
            owners: vec![Vec::new(); connections.len()],
            connections,
            servers: HashMap::new(),
            layout: layout.clone(),
        })
    }

    /// Each owner's server is known beforehand: routing is free.
    pub(super) fn learn_owners(&mut self, owners: Vec<u64>, layout: &Layout) {
        let placement = layout.placement();
        self.owners = vec![Vec::new(); layout.servers.len()];
        for owner in owners {
            let node = placement.node(timeline(HOME, owner).as_bytes()).0;
            self.owners[usize::from(layout.server_of(node))].push(owner);
        }
    }

    pub(super) async fn call(&mut self, act: &Act) -> Answer<Answered> {
        match act {
            Act::Deliver {
                timelines,
                keep,
                item,
            } => self.deliver(timelines, *keep, *item).await,
            Act::DeliverLazily { .. } => Err(Failure::Refused("it is not asked to stream".into())),
            Act::Combine {
                how, sets, form, ..
            } => match self.contestant {
                Contestant::RedisRsSmall => {
                    // What is looked at is what it costs: its answer is another one.
                    let _: Vec<u64> = self.connections[sets[0].server]
                        .smembers(&sets[0].key)
                        .await?;
                    Ok(Answered::Unchecked)
                }
                Contestant::RedisRsProbe => self.probe(*how, sets, *form).await,
                _ => self.fetch(*how, sets, *form).await,
            },
            Act::Merged {
                timelines, authors, ..
            } => self.merged(timelines, authors).await,
            Act::Values(keys) => self.values(keys).await,
        }
    }

    async fn deliver(&mut self, timelines: &str, keep: usize, item: Item) -> Answer<Answered> {
        let trims = self.contestant == Contestant::RedisRsTrim;
        let last = format!("-{}", keep + 1);
        let servers = self
            .connections
            .iter()
            .zip(&self.owners)
            .map(|(connection, owners)| {
                let trim = trims.then(|| last.clone());
                let delivery = deliver_to(
                    connection.clone(),
                    owners.clone(),
                    timelines.to_owned(),
                    item,
                    trim,
                );
                // A task for each server, so that two workers share the work.
                tokio::spawn(delivery)
            });
        let mut added = 0;
        for server in servers.collect::<Vec<_>>() {
            added += server.await??;
        }
        let owners: usize = self.owners.iter().map(Vec::len).sum();
        if added != owners as u64 {
            return Err(Failure::Wrong(format!("{added} of {owners} items added")));
        }
        Ok(Answered::Nothing)
    }

    /// Both whole sets at once, the first into a `HashSet`.
    async fn fetch(&mut self, how: Combination, sets: &[Key], form: Form) -> Answer<Answered> {
        let [one, other] = sets else {
            return Err(Failure::Refused("it combines two sets".into()));
        };
        let mut connections = [one, other].map(|set| self.connections[set.server].clone());
        let [first, second] = &mut connections;
        let (one, other): (HashSet<u64>, Vec<u64>) =
            futures::future::try_join(first.smembers(&one.key), second.smembers(&other.key))
                .await?;
        let members = combine(how, one, other);
        Ok(match form {
            Form::Members => Answered::Members(members),
            Form::Count => Answered::Count(members.len() as u64),
            Form::Limit(some) => {
                Answered::Members(members.into_iter().take(some as usize).collect())
            }
        })
    }

    /// The small set, and which of its members the large one has, in one call.
    async fn probe(&mut self, how: Combination, sets: &[Key], form: Form) -> Answer<Answered> {
        let ([small, large], Combination::Intersect) = (sets, how) else {
            return Err(Failure::Refused("it intersects two sets".into()));
        };
        let mut members: Vec<u64> = self.connections[small.server].smembers(&small.key).await?;
        let mut ask = Cmd::with_capacity(2 + members.len(), 16 * members.len());
        ask.arg("SMISMEMBER").arg(&large.key).arg(&members);
        let has: Vec<bool> = ask.query_async(&mut self.connections[large.server]).await?;
        let mut has = has.into_iter();
        members.retain(|_| has.next() == Some(true));
        Ok(match form {
            Form::Members => Answered::Members(members),
            Form::Count => Answered::Count(members.len() as u64),
            Form::Limit(some) => {
                members.truncate(some as usize);
                Answered::Members(members)
            }
        })
    }

    /// A page of every author, one pipeline per server; the newest of all of it.
    async fn merged(&mut self, timelines: &str, authors: &[u64]) -> Answer<Answered> {
        let mut pipelines = vec![Pipeline::new(); self.connections.len()];
        for author in authors {
            let key = timeline(timelines, *author);
            let server = self.server(&key);
            pipelines[server].zrevrange_withscores(&key, 0, PAGE as isize - 1);
        }
        let connections = self.connections.iter_mut().zip(&pipelines);
        let calls = connections
            .filter(|(_, pipeline)| !pipeline.is_empty())
            .map(|(connection, pipeline)| pipeline.query_async::<Vec<Vec<(u64, f64)>>>(connection));
        let pages = try_join_all(calls).await?;
        let mut items: Vec<(u64, u64)> = pages
            .into_iter()
            .flatten()
            .flatten()
            .map(|(id, score)| (score as u64, id))
            .collect();
        let newest_first = |one: &(u64, u64), other: &(u64, u64)| other.cmp(one);
        if items.len() > PAGE {
            items.select_nth_unstable_by(PAGE - 1, newest_first);
            items.truncate(PAGE);
        }
        items.sort_unstable_by(newest_first);
        Ok(Answered::Members(
            items.into_iter().map(|(_, id)| id).collect(),
        ))
    }

    fn server(&mut self, key: &str) -> usize {
        if let Some(server) = self.servers.get(key) {
            return *server;
        }
        let node = self.layout.placement().node(key.as_bytes()).0;
        let server = usize::from(self.layout.server_of(node));
        self.servers.insert(key.to_owned(), server);
        server
    }

    async fn values(&mut self, keys: &[Key]) -> Answer<Answered> {
        let mut positions = vec![Vec::new(); self.connections.len()];
        for (at, key) in keys.iter().enumerate() {
            positions[key.server].push(at);
        }
        let asked = self.connections.iter_mut().zip(&positions);
        let calls = asked.filter(|(_, positions)| !positions.is_empty()).map(
            |(connection, positions)| async move {
                let keys: Vec<&str> = positions.iter().map(|at| keys[*at].key.as_str()).collect();
                let values: Vec<String> = connection.mget(keys).await?;
                Ok::<_, redis::RedisError>((positions, values))
            },
        );
        let mut all = vec![String::new(); keys.len()];
        for (positions, values) in try_join_all(calls).await? {
            for (at, value) in positions.iter().zip(values) {
                all[*at] = value;
            }
        }
        Ok(Answered::Values(all))
    }
}

async fn deliver_to(
    connection: MultiplexedConnection,
    owners: Vec<u64>,
    timelines: String,
    item: Item,
    trim: Option<String>,
) -> redis::RedisResult<u64> {
    let mut added = 0;
    let mut under_way = FuturesUnordered::new();
    for owners in owners.chunks(PIECE_OWNERS) {
        if under_way.len() == PIECES {
            added += under_way.try_next().await?.unwrap_or_default();
        }
        let mut pipeline = Pipeline::with_capacity(2 * owners.len());
        for owner in owners {
            let key = timeline(&timelines, *owner);
            pipeline.cmd("ZADD").arg(&key).arg(item.score).arg(item.id);
            if let Some(last) = &trim {
                pipeline
                    .cmd("ZREMRANGEBYRANK")
                    .arg(&key)
                    .arg(0)
                    .arg(last)
                    .ignore();
            }
        }
        let mut connection = connection.clone();
        under_way.push(async move {
            let added: Vec<u64> = pipeline.query_async(&mut connection).await?;
            Ok::<_, redis::RedisError>(added.iter().sum::<u64>())
        });
    }
    while let Some(some) = under_way.try_next().await? {
        added += some;
    }
    Ok(added)
}

fn combine(how: Combination, one: HashSet<u64>, mut other: Vec<u64>) -> Vec<u64> {
    match how {
        Combination::Intersect => {
            other.retain(|member| one.contains(member));
            other
        }
        Combination::Union => {
            let mut all = one;
            all.extend(other);
            all.into_iter().collect()
        }
        Combination::Difference => {
            let mut left = one;
            for member in &other {
                left.remove(member);
            }
            left.into_iter().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_combined_as_their_names_say() {
        let combined = |how| {
            let mut members = combine(how, [1, 2, 3].into(), vec![3, 4]);
            members.sort_unstable();
            members
        };
        assert_eq!(combined(Combination::Intersect), [3]);
        assert_eq!(combined(Combination::Union), [1, 2, 3, 4]);
        assert_eq!(combined(Combination::Difference), [1, 2]);
    }
}
