//! Every way by which a command gets to a server. A test of what a command answers goes through
//! [`every_way_in`], so that a fault in one way is looked for in all of them.

use keyway::{Cluster, ErrorKind};
use redis::aio::ConnectionLike;
use redis::{Cmd, Pipeline, RedisError, Value};
use std::fmt;

/// One way in, for messages and exceptions of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Way {
    /// `cluster.query(cmd)`
    Cluster,
    /// `cmd.query_async(&mut cluster)`, as users of redis-rs write it.
    ClusterByRedis,
    Bulk,
    ForKey,
    OnNode,
    OnServer,
    /// `cluster.servers().each(cmd)`: the answer of the key's own server.
    Each,
    Dedicated,
    Batch,
    Pipeline,
    /// A pipeline by `for_key`.
    ForKeyPipeline,
    /// A pipeline by `on_server`.
    OnServerPipeline,
    DedicatedPipeline,
    Atomic,
    ForKeyAtomic,
    OnServerAtomic,
    DedicatedAtomic,
}

impl Way {
    pub(crate) const ALL: [Way; 17] = [
        Way::Cluster,
        Way::ClusterByRedis,
        Way::Bulk,
        Way::ForKey,
        Way::OnNode,
        Way::OnServer,
        Way::Each,
        Way::Dedicated,
        Way::Batch,
        Way::Pipeline,
        Way::ForKeyPipeline,
        Way::OnServerPipeline,
        Way::DedicatedPipeline,
        Way::Atomic,
        Way::ForKeyAtomic,
        Way::OnServerAtomic,
        Way::DedicatedAtomic,
    ];

    /// A transaction: MULTI, the command, EXEC.
    pub(crate) fn is_atomic(self) -> bool {
        matches!(
            self,
            Way::Atomic | Way::ForKeyAtomic | Way::OnServerAtomic | Way::DedicatedAtomic
        )
    }

    pub(crate) fn is_dedicated(self) -> bool {
        matches!(
            self,
            Way::Dedicated | Way::DedicatedPipeline | Way::DedicatedAtomic
        )
    }

    /// Sends `cmd` this way, once. `key` says which node and which server are meant.
    pub(crate) async fn send(self, cluster: &Cluster, key: &str, cmd: &Cmd) -> Answer {
        let home = cluster.locate(key);
        let mut pipeline = redis::pipe();
        if self.is_atomic() {
            pipeline.atomic();
        }
        pipeline.add_command(cmd.clone());
        let ours = |result: Result<Value, keyway::Error>| (self, result);
        match self {
            Way::Cluster => ours(cluster.query(cmd).await).into(),
            Way::ClusterByRedis => Answer::of(self, cmd.query_async(&mut cluster.clone()).await),
            Way::Bulk => ours(cluster.bulk().query(cmd).await).into(),
            Way::ForKey => ours(cluster.for_key(key).query(cmd).await).into(),
            Way::OnNode => ours(cluster.on_node(home.node).unwrap().query(cmd).await).into(),
            Way::OnServer => ours(cluster.on_server(&home.server).unwrap().query(cmd).await).into(),
            Way::Each => {
                let replies = cluster.servers().each(cmd).await;
                let is_home = |reply: &keyway::ServerReply<Value>| reply.server == home.server;
                ours(replies.into_iter().find(is_home).unwrap().reply).into()
            }
            Way::Dedicated => match cluster.dedicated(key).await {
                Ok(dedicated) => ours(dedicated.query(cmd).await).into(),
                Err(error) => ours(Err(error)).into(),
            },
            Way::Batch => {
                let mut batch = cluster.batch();
                let place = batch.add(cmd.clone());
                ours(batch.send().await.take(place)).into()
            }
            Way::Pipeline | Way::Atomic => self.piped(&pipeline, cluster.clone()).await,
            Way::ForKeyPipeline | Way::ForKeyAtomic => {
                self.piped(&pipeline, cluster.for_key(key)).await
            }
            Way::OnServerPipeline | Way::OnServerAtomic => {
                let server = cluster.on_server(&home.server).unwrap();
                self.piped(&pipeline, server).await
            }
            Way::DedicatedPipeline | Way::DedicatedAtomic => match cluster.dedicated(key).await {
                Ok(dedicated) => self.piped(&pipeline, dedicated).await,
                Err(error) => ours(Err(error)).into(),
            },
        }
    }

    /// The only reply of a pipeline of one command.
    async fn piped(self, pipeline: &Pipeline, mut connection: impl ConnectionLike) -> Answer {
        let replies: Result<Vec<Value>, RedisError> = pipeline.query_async(&mut connection).await;
        Answer::of(
            self,
            replies.map(|mut replies| {
                assert_eq!(
                    replies.len(),
                    1,
                    "{self:?}: one command, one reply: {:.200}",
                    String::from_utf8_lossy(&pipeline.get_packed_pipeline())
                );
                replies.remove(0)
            }),
        )
    }
}

/// What one way answered.
#[derive(Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) way: Way,
    /// keyway's class of the error, by its own error or through redis-rs.
    pub(crate) kind: Option<ErrorKind>,
    pub(crate) result: Result<Value, RedisError>,
}

impl Answer {
    fn of(way: Way, result: Result<Value, RedisError>) -> Answer {
        let kind = result.as_ref().err().and_then(ErrorKind::of);
        Answer { way, kind, result }
    }

    pub(crate) fn error(&self) -> &RedisError {
        match &self.result {
            Ok(value) => panic!("{:?}: an error is expected, not {value:?}", self.way),
            Err(error) => error,
        }
    }
}

impl From<(Way, Result<Value, keyway::Error>)> for Answer {
    fn from((way, result): (Way, Result<Value, keyway::Error>)) -> Answer {
        let kind = result.as_ref().err().map(keyway::Error::kind);
        Answer {
            way,
            kind,
            result: result.map_err(RedisError::from),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:?} {:?}", self.way, self.kind, self.result)
    }
}

/// Sends `cmd` by every way there is, one after the other.
pub(crate) async fn every_way_in(cluster: &Cluster, key: &str, cmd: &Cmd) -> Vec<Answer> {
    let mut answers = Vec::with_capacity(Way::ALL.len());
    for way in Way::ALL {
        answers.push(way.send(cluster, key, cmd).await);
    }
    answers
}
