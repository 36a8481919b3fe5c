use super::{Cluster, name_of, parse};
use crate::error::Error;
use crate::routing::Scope;
use futures::future::join_all;
use redis::{Cmd, FromRedisValue};
use std::sync::Arc;

/// The servers of a cluster, to ask each of them for itself.
#[derive(Clone, Debug)]
pub struct Servers {
    cluster: Cluster,
}

/// What one server answered.
#[derive(Debug)]
#[non_exhaustive]
pub struct ServerReply<T> {
    /// The server's name in the configuration.
    pub server: Arc<str>,
    /// Its answer.
    pub reply: Result<T, Error>,
}

impl Servers {
    pub(super) fn new(cluster: Cluster) -> Servers {
        Servers { cluster }
    }

    /// Their names, sorted.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.cluster
            .current()
            .servers
            .iter()
            .map(|server| server.name().clone())
            .collect()
    }

    /// Sends the command to every server at once, one round trip, and returns one answer each, by name. One that fails says nothing about
    /// the others. Dropping the future is as for [`Cluster`]: what was written is executed.
    pub async fn each<T: FromRedisValue>(&self, cmd: &Cmd) -> Vec<ServerReply<T>> {
        let ask = |server: Arc<str>| async move {
            let reply = self
                .cluster
                .execute(cmd, Scope::Server, Some(&server))
                .await
                .and_then(|value| parse(name_of(cmd), value));
            ServerReply { server, reply }
        };
        join_all(self.names().into_iter().map(ask)).await
    }
}
