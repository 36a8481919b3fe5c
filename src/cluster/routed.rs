use super::{Cluster, name_of, parse, window};
use crate::error::Error;
use crate::placement::NodeId;
use crate::routing::Scope;
use redis::aio::ConnectionLike;
use redis::{Cmd, FromRedisValue, Pipeline, RedisFuture, Value};
use std::sync::Arc;

/// A cluster bound to one node or one server: commands go there, and nowhere else. Cheap to clone.
///
/// Made by [`Cluster::for_key`], [`Cluster::on_node`] and [`Cluster::on_server`]. Bound to a node it follows the node when that moves.
#[derive(Clone, Debug)]
pub struct Routed {
    cluster: Cluster,
    scope: Scope,
    server: Option<Arc<str>>,
}

impl Routed {
    pub(super) fn to_node(cluster: Cluster, node: NodeId) -> Routed {
        Routed {
            cluster,
            scope: Scope::Node(node),
            server: None,
        }
    }

    pub(super) fn to_server(cluster: Cluster, name: Arc<str>) -> Routed {
        Routed {
            cluster,
            scope: Scope::Server,
            server: Some(name),
        }
    }

    /// Sends one command, one round trip; an error reply of the server is an `Err`. Dropping the future is as for [`Cluster`].
    ///
    /// # Errors
    /// As a command on the cluster; [`CrossNode`](crate::ErrorKind::CrossNode) for a key of another node.
    pub async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Error> {
        parse(
            name_of(cmd),
            self.cluster
                .execute(cmd, self.scope, self.server.as_deref())
                .await?,
        )
    }
}

impl ConnectionLike for Routed {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            self.cluster
                .execute(cmd, self.scope, self.server.as_deref())
                .await
                .map_err(Into::into)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let values = self
                .cluster
                .execute_pipeline(pipeline, self.scope, self.server.as_deref())
                .await?;
            Ok(window(values, pipeline, offset, count))
        })
    }

    fn get_db(&self) -> i64 {
        let Some(name) = &self.server else { return 0 };
        let current = self.cluster.current();
        let server = current
            .topology
            .server_by_name(name)
            .map(|id| current.server(id));
        server.map_or(0, |server| {
            i64::from(server.settings().server.endpoint.database)
        })
    }
}
