use super::{Cluster, name_of, parse, window};
use crate::command;
use crate::error::Error;
use crate::placement::NodeId;
use crate::routing::{self, Scope};
use redis::aio::ConnectionLike;
use redis::{Arg, Cmd, FromRedisValue, Pipeline, RedisFuture, Value};
use std::sync::Arc;

/// A cluster bound to one node or one server: commands go there, and nowhere else. Cheap to clone.
///
/// Made by [`Cluster::for_key`], [`Cluster::on_node`] and [`Cluster::on_server`]. Bound to a node it follows the node when that moves.
#[derive(Clone, Debug)]
pub struct Routed {
    cluster: Cluster,
    scope: Scope,
    server: Option<Arc<str>>,
    /// What the first argument of a command must be that the table does not know.
    key: Option<Arc<[u8]>>,
}

impl Routed {
    pub(super) fn to_node(cluster: Cluster, node: NodeId) -> Routed {
        Routed {
            cluster,
            scope: Scope::Node(node),
            server: None,
            key: None,
        }
    }

    pub(super) fn to_home_of(cluster: Cluster, node: NodeId, key: Arc<[u8]>) -> Routed {
        Routed {
            key: Some(key),
            ..Routed::to_node(cluster, node)
        }
    }

    pub(super) fn to_server(cluster: Cluster, name: Arc<str>) -> Routed {
        Routed {
            cluster,
            scope: Scope::Server,
            server: Some(name),
            key: None,
        }
    }

    /// Refuses what the table does not know, unless it is plainly about the key that the caller named.
    fn check(&self, cmd: &Cmd) -> Result<(), Error> {
        let (Some(key), Some(Arg::Simple(name))) = (&self.key, cmd.args_iter().next()) else {
            return Ok(());
        };
        if matches!(command::lookup(name), Some(command::Found::Row(_))) {
            return Ok(());
        }
        let args = routing::arguments(cmd);
        match routing::identify(&args, self.scope)?.row {
            Some(_) => Ok(()),
            None => routing::check_first_argument(&args, key),
        }
    }

    /// Sends one command, one round trip; an error reply of the server is an `Err`. Dropping the future is as for [`Cluster`].
    ///
    /// # Errors
    /// As a command on the cluster; [`CrossNode`](crate::ErrorKind::CrossNode) for a key of another node.
    pub async fn query<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Error> {
        self.check(cmd)?;
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
            self.check(cmd)?;
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
            pipeline.cmd_iter().try_for_each(|cmd| self.check(cmd))?;
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
