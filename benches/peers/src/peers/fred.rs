//! fred: its cluster client, or one client per server that is chosen by hand.

use super::parts::Parts;
use super::{Answer, Client};
use crate::data::Key;
use crate::layout::Layout;
use bytes::Bytes;
use fred::interfaces::{ClientLike, KeysInterface};
use fred::types::Builder;
use fred::types::config::{Config, TlsConfig};
use futures::future::try_join_all;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Routes by itself.
#[derive(Clone)]
pub struct Fred(fred::clients::Client);

impl Fred {
    pub async fn connect(layout: &Layout) -> Answer<Fred> {
        let url = format!("redis-cluster://127.0.0.1:{}", layout.cluster[0]);
        Ok(Fred(connect(Config::from_url(&url)?).await?))
    }
}

impl Client for Fred {
    type Value = Bytes;

    async fn get(&mut self, key: Key) -> Answer<Bytes> {
        Ok(self.0.get(key.text).await?)
    }

    async fn set(&mut self, key: Key, value: &[u8]) -> Answer<()> {
        Ok(set(&self.0, key, value).await?)
    }

    /// It sends an MGET to one slot only; GETs sent together are the best that it has for keys of many slots.
    async fn mget(&mut self, keys: &[Key]) -> Answer<Vec<Bytes>> {
        self.pipeline(keys).await
    }

    async fn pipeline(&mut self, keys: &[Key]) -> Answer<Vec<Bytes>> {
        let pipeline = self.0.pipeline();
        for key in keys {
            // Only queues.
            let () = pipeline.get(key.text).await?;
        }
        Ok(pipeline.all().await?)
    }
}

#[derive(Clone)]
pub struct FredPlain {
    clients: Vec<fred::clients::Client>,
    parts: Parts,
}

impl FredPlain {
    pub async fn connect(layout: &Layout) -> Answer<FredPlain> {
        let mut clients = Vec::new();
        for server in 0..layout.servers.len() {
            let mut config = Config::from_url(&layout.url(server))?;
            if let Some(file) = &layout.ca_file {
                config.tls = Some(trusting(&std::fs::read(file)?)?);
            }
            clients.push(connect(config).await?);
        }
        Ok(FredPlain {
            clients,
            parts: Parts::default(),
        })
    }

    fn client(&self, key: Key) -> &fred::clients::Client {
        &self.clients[usize::from(key.home)]
    }
}

impl Client for FredPlain {
    type Value = Bytes;

    async fn get(&mut self, key: Key) -> Answer<Bytes> {
        Ok(self.client(key).get(key.text).await?)
    }

    async fn set(&mut self, key: Key, value: &[u8]) -> Answer<()> {
        Ok(set(self.client(key), key, value).await?)
    }

    async fn mget(&mut self, keys: &[Key]) -> Answer<Vec<Bytes>> {
        self.parts.split(keys, self.clients.len());
        let parts = self.clients.iter().zip(self.parts.iter());
        let calls =
            parts
                .filter(|(_, positions)| !positions.is_empty())
                .map(|(client, positions)| {
                    let keys: Vec<&str> = positions
                        .iter()
                        .map(|at| keys[usize::from(*at)].text)
                        .collect();
                    client.mget::<Vec<Bytes>, _>(keys)
                });
        let answers = try_join_all(calls).await?;
        Ok(self.parts.join(answers))
    }

    async fn pipeline(&mut self, keys: &[Key]) -> Answer<Vec<Bytes>> {
        self.parts.split(keys, self.clients.len());
        let parts = self.clients.iter().zip(self.parts.iter());
        let calls = parts.filter(|(_, positions)| !positions.is_empty()).map(
            |(client, positions)| async move {
                let pipeline = client.pipeline();
                for at in positions {
                    let () = pipeline.get(keys[usize::from(*at)].text).await?;
                }
                pipeline.all::<Vec<Bytes>>().await
            },
        );
        let answers = try_join_all(calls).await?;
        Ok(self.parts.join(answers))
    }
}

async fn connect(config: Config) -> Answer<fred::clients::Client> {
    let client = Builder::from_config(config).build()?;
    client.init().await?;
    Ok(client)
}

async fn set(
    client: &fred::clients::Client,
    key: Key,
    value: &[u8],
) -> Result<(), fred::error::Error> {
    // It takes owned values only.
    client.set(key.text, value, None, None, false).await
}

fn trusting(authority: &[u8]) -> Answer<TlsConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority)?)?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(fred::types::config::TlsConnector::from(config).into())
}
