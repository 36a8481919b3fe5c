//! rustis: its cluster client, or one client per server that is chosen by hand.

use super::parts::Parts;
use super::{Answer, Client};
use crate::data::Key;
use crate::layout::Layout;
use futures::future::try_join_all;
use rustis::client::{BatchPreparedCommand, IntoConfig};
use rustis::commands::StringCommands;
use rustis::resp::{BulkString, RefBulkString};

/// Routes by itself.
#[derive(Clone)]
pub struct Rustis(rustis::client::Client);

impl Rustis {
    pub async fn connect(layout: &Layout) -> Answer<Rustis> {
        let url = format!("redis+cluster://127.0.0.1:{}", layout.cluster[0]);
        Ok(Rustis(connect(&url).await?))
    }
}

impl Client for Rustis {
    type Value = Vec<u8>;

    async fn get(&mut self, key: Key) -> Answer<Vec<u8>> {
        let value: BulkString = self.0.get(key.text).await?;
        Ok(value.into())
    }

    async fn set(&mut self, key: Key, value: &[u8]) -> Answer<()> {
        Ok(self.0.set(key.text, RefBulkString::new(value)).await?)
    }

    /// Its own split of an MGET answers keys of one slot in the order of their bytes, not of the call (0.27.2); given
    /// sorted keys it is right, but slower than GETs sent together, except at many tasks.
    async fn mget(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        self.pipeline(keys).await
    }

    async fn pipeline(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        pipeline(&self.0, keys.iter().map(|key| key.text)).await
    }
}

#[derive(Clone)]
pub struct RustisPlain {
    clients: Vec<rustis::client::Client>,
    parts: Parts,
}

impl RustisPlain {
    pub async fn connect(layout: &Layout) -> Answer<RustisPlain> {
        let mut clients = Vec::new();
        for server in 0..layout.servers.len() {
            clients.push(connect(&layout.url(server)).await?);
        }
        Ok(RustisPlain {
            clients,
            parts: Parts::default(),
        })
    }

    fn client(&self, key: Key) -> &rustis::client::Client {
        &self.clients[usize::from(key.home)]
    }
}

impl Client for RustisPlain {
    type Value = Vec<u8>;

    async fn get(&mut self, key: Key) -> Answer<Vec<u8>> {
        let value: BulkString = self.client(key).get(key.text).await?;
        Ok(value.into())
    }

    async fn set(&mut self, key: Key, value: &[u8]) -> Answer<()> {
        let value = RefBulkString::new(value);
        Ok(self.client(key).set(key.text, value).await?)
    }

    async fn mget(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        self.parts.split(keys, self.clients.len());
        let parts = self.clients.iter().zip(self.parts.iter());
        let calls = parts.filter(|(_, positions)| !positions.is_empty()).map(
            |(client, positions)| async move {
                let keys: Vec<&str> = positions
                    .iter()
                    .map(|at| keys[usize::from(*at)].text)
                    .collect();
                let values: Vec<BulkString> = client.mget(keys).await?;
                Ok::<_, rustis::Error>(values.into_iter().map(Vec::from).collect())
            },
        );
        let answers = try_join_all(calls).await?;
        Ok(self.parts.join(answers))
    }

    async fn pipeline(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        self.parts.split(keys, self.clients.len());
        let parts = self.clients.iter().zip(self.parts.iter());
        let calls =
            parts
                .filter(|(_, positions)| !positions.is_empty())
                .map(|(client, positions)| {
                    let keys = positions.iter().map(|at| keys[usize::from(*at)].text);
                    pipeline(client, keys)
                });
        let answers = try_join_all(calls).await?;
        Ok(self.parts.join(answers))
    }
}

async fn connect(url: &str) -> Answer<rustis::client::Client> {
    let mut config = url.into_config()?;
    // Its 16 MiB of queued requests are less than 10,000 tasks that write 4 KB have in flight; 0 is no limit.
    config.backpressure.max_queued_bytes = 0;
    Ok(rustis::client::Client::connect(config).await?)
}

async fn pipeline(
    client: &rustis::client::Client,
    keys: impl Iterator<Item = &'static str>,
) -> Answer<Vec<Vec<u8>>> {
    let mut pipeline = client.create_pipeline();
    pipeline.reserve(keys.size_hint().0);
    for key in keys {
        pipeline.get::<()>(key).queue();
    }
    let values: Vec<BulkString> = pipeline.execute().await?;
    Ok(values.into_iter().map(Vec::from).collect())
}
