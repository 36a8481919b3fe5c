//! keyway's own calls.

use super::{Act, Answer, Answered, Failure, Key, Layout};
use keyway::Cluster;
use redis::AsyncCommands;

pub(super) struct Keyway {
    cluster: Cluster,
    /// Knows nothing of any owner, whatever was delivered before.
    is_cold: bool,
    pub(super) owners: Vec<u64>,
}

impl Keyway {
    pub(super) async fn connect(layout: &Layout, is_cold: bool) -> Answer<Keyway> {
        Ok(Keyway {
            cluster: Cluster::connect_config(layout.config()).await?,
            is_cold,
            owners: Vec::new(),
        })
    }

    pub(super) async fn warm_up(&mut self, _act: &Act) -> Answer<()> {
        Ok(())
    }

    pub(super) async fn call(&mut self, act: &Act) -> Answer<Answered> {
        match act {
            Act::Values(keys) => self.values(keys).await,
            _ => Err(Failure::Refused("not in this version".into())),
        }
    }

    async fn values(&mut self, keys: &[Key]) -> Answer<Answered> {
        let keys: Vec<&str> = keys.iter().map(|key| key.key.as_str()).collect();
        Ok(Answered::Values(self.cluster.mget(keys).await?))
    }
}
