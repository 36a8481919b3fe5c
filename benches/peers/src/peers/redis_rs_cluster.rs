//! redis-rs's own cluster client, on servers in cluster mode.

use super::{Answer, Client};
use crate::data::Key;
use crate::layout::Layout;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncCommands, Pipeline};

#[derive(Clone)]
pub struct RedisRsCluster {
    connection: ClusterConnection,
    pipeline: Pipeline,
}

impl RedisRsCluster {
    pub async fn connect(layout: &Layout) -> Answer<RedisRsCluster> {
        let urls = layout
            .cluster
            .iter()
            .map(|port| format!("redis://127.0.0.1:{port}"));
        let client = ClusterClient::new(urls)?;
        Ok(RedisRsCluster {
            connection: client.get_async_connection().await?,
            pipeline: Pipeline::new(),
        })
    }
}

impl Client for RedisRsCluster {
    type Value = Vec<u8>;

    async fn get(&mut self, key: Key) -> Answer<Vec<u8>> {
        Ok(self.connection.get(key.text).await?)
    }

    async fn set(&mut self, key: Key, value: &[u8]) -> Answer<()> {
        Ok(self.connection.set(key.text, value).await?)
    }

    async fn mget(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        Ok(self.connection.mget(keys).await?)
    }

    async fn pipeline(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        self.pipeline.clear();
        for key in keys {
            self.pipeline.get(key.text);
        }
        Ok(self.pipeline.query_async(&mut self.connection).await?)
    }
}
