//! keyway through `redis::AsyncCommands`, with its default settings.

use super::{Answer, Client};
use crate::data::Key;
use crate::layout::Layout;
use keyway::Cluster;
use redis::{AsyncCommands, Pipeline};

#[derive(Clone)]
pub struct Keyway {
    cluster: Cluster,
    big: Cluster,
    pipeline: Pipeline,
}

impl Keyway {
    /// With `bulk`, big values are read through the lane that is there for them.
    pub async fn connect(layout: &Layout, bulk: bool) -> Answer<Keyway> {
        let cluster = Cluster::connect_config(layout.config()).await?;
        Ok(Keyway {
            big: if bulk {
                cluster.bulk()
            } else {
                cluster.clone()
            },
            cluster,
            pipeline: Pipeline::new(),
        })
    }
}

impl Client for Keyway {
    type Value = Vec<u8>;

    async fn get(&mut self, key: Key) -> Answer<Vec<u8>> {
        Ok(self.cluster.get(key.text).await?)
    }

    async fn set(&mut self, key: Key, value: &[u8]) -> Answer<()> {
        Ok(self.cluster.set(key.text, value).await?)
    }

    async fn mget(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        Ok(self.cluster.mget(keys).await?)
    }

    async fn pipeline(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        self.pipeline.clear();
        for key in keys {
            self.pipeline.get(key.text);
        }
        Ok(self.pipeline.query_async(&mut self.cluster).await?)
    }

    fn for_big_values(&self) -> Keyway {
        Keyway {
            cluster: self.big.clone(),
            ..self.clone()
        }
    }
}
