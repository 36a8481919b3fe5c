//! redis-rs with multiplexed connections that are chosen by hand: per server, per node, or one to a proxy.

use super::parts::Parts;
use super::{Answer, Client, Peer};
use crate::data::Key;
use crate::layout::Layout;
use futures::future::try_join_all;
use redis::TlsCertificates;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, Cmd, IntoConnectionInfo, Pipeline};
use std::time::Duration;

#[derive(Clone)]
pub struct RedisRs {
    connections: Vec<MultiplexedConnection>,
    /// Empty if big values go with the others.
    big: Vec<MultiplexedConnection>,
    parts: Parts,
    // Kept from call to call for their memory, as a caller who measures would do.
    commands: Vec<Cmd>,
    pipelines: Vec<Pipeline>,
}

impl RedisRs {
    pub async fn connect(layout: &Layout, peer: Peer) -> Answer<RedisRs> {
        let (mut connections, mut big) = (Vec::new(), Vec::new());
        match peer {
            Peer::TwemproxyRedisRs => connections.push(to_proxy(layout).await?),
            Peer::RedisRsPerNode | Peer::RedisRsPerNodeTuned => {
                for node in 0..layout.nodes {
                    let server = usize::from(layout.server_of(node));
                    connections.push(to_server(layout, server, peer).await?);
                }
            }
            _ => {
                for server in 0..layout.servers.len() {
                    connections.push(to_server(layout, server, peer).await?);
                    if peer == Peer::RedisRsOwn {
                        big.push(to_server(layout, server, peer).await?);
                    }
                }
            }
        }
        Ok(RedisRs {
            connections,
            big,
            parts: Parts::default(),
            commands: Vec::new(),
            pipelines: Vec::new(),
        })
    }

    fn connection(&mut self, key: Key) -> &mut MultiplexedConnection {
        &mut self.connections[usize::from(key.home)]
    }
}

async fn to_server(layout: &Layout, server: usize, peer: Peer) -> Answer<MultiplexedConnection> {
    let url = layout.url(server);
    let client = match &layout.ca_file {
        None => redis::Client::open(url)?,
        Some(file) => redis::Client::build_with_tls(
            url,
            TlsCertificates {
                client_tls: None,
                root_cert: Some(std::fs::read(file)?),
            },
        )?,
    };
    let config = match peer {
        Peer::RedisRsTuned | Peer::RedisRsPerNodeTuned => tuned(),
        // A thousand dials at once take their time; it changes nothing that is measured.
        _ => AsyncConnectionConfig::new().set_connection_timeout(Some(Duration::from_secs(10))),
    };
    Ok(client
        .get_multiplexed_async_connection_with_config(&config)
        .await?)
}

/// Everything that its documentation offers for many tasks on one connection.
fn tuned() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(16_384)
        .set_write_backpressure_boundary(256 << 10)
}

async fn to_proxy(layout: &Layout) -> Answer<MultiplexedConnection> {
    let port = layout.proxy.expect("the coordinator has started it");
    let info = format!("redis://127.0.0.1:{port}").into_connection_info()?;
    // nutcracker hangs up on CLIENT SETINFO.
    let redis = info.redis_settings().clone().set_skip_set_lib_name();
    let client = redis::Client::open(info.set_redis_settings(redis))?;
    Ok(client.get_multiplexed_async_connection().await?)
}

impl Client for RedisRs {
    type Value = Vec<u8>;

    async fn get(&mut self, key: Key) -> Answer<Vec<u8>> {
        Ok(self.connection(key).get(key.text).await?)
    }

    async fn set(&mut self, key: Key, value: &[u8]) -> Answer<()> {
        Ok(self.connection(key).set(key.text, value).await?)
    }

    async fn mget(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        self.parts.split(keys, self.connections.len());
        self.commands.resize_with(self.connections.len(), Cmd::new);
        let connections = self.connections.iter_mut().zip(&mut self.commands);
        let calls =
            connections
                .zip(self.parts.iter())
                .filter_map(|((connection, command), positions)| {
                    if positions.is_empty() {
                        return None;
                    }
                    command.clear();
                    command.arg("MGET");
                    for at in positions {
                        command.arg(keys[usize::from(*at)].text);
                    }
                    Some(command.query_async::<Vec<Vec<u8>>>(connection))
                });
        let answers = try_join_all(calls).await?;
        Ok(self.parts.join(answers))
    }

    async fn pipeline(&mut self, keys: &[Key]) -> Answer<Vec<Vec<u8>>> {
        self.parts.split(keys, self.connections.len());
        self.pipelines
            .resize_with(self.connections.len(), Pipeline::new);
        let connections = self.connections.iter_mut().zip(&mut self.pipelines);
        let calls =
            connections
                .zip(self.parts.iter())
                .filter_map(|((connection, pipeline), positions)| {
                    if positions.is_empty() {
                        return None;
                    }
                    pipeline.clear();
                    for at in positions {
                        pipeline.get(keys[usize::from(*at)].text);
                    }
                    Some(pipeline.query_async::<Vec<Vec<u8>>>(connection))
                });
        let answers = try_join_all(calls).await?;
        Ok(self.parts.join(answers))
    }

    fn for_big_values(&self) -> RedisRs {
        let mut client = self.clone();
        if !self.big.is_empty() {
            client.connections.clone_from(&self.big);
        }
        client
    }
}
