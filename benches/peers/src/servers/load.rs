//! Stores every key with its value.

use super::process::connection;
use crate::data::Size;
use anyhow::{Context, Result};
use redis::cluster::{ClusterClient, cluster_pipe};

/// Few enough that 4 KB values stay in memory that is soon free again.
const KEYS_AT_ONCE: u32 = 1_000;

pub(super) fn plain(port: u16, sizes: &[Size]) -> Result<()> {
    let mut connection = connection(port)?;
    for piece in pieces(sizes) {
        let mut pipeline = redis::pipe();
        for (key, value) in piece {
            pipeline.set(key, value).ignore();
        }
        let stored: redis::RedisResult<()> = pipeline.query(&mut connection);
        stored.with_context(|| format!("cannot store the values on port {port}"))?;
    }
    Ok(())
}

pub(super) fn cluster(port: u16, sizes: &[Size]) -> Result<()> {
    let client = ClusterClient::new([format!("redis://127.0.0.1:{port}")])?;
    let mut connection = client.get_connection()?;
    for piece in pieces(sizes) {
        let mut pipeline = cluster_pipe();
        for (key, value) in piece {
            pipeline.set(key, value).ignore();
        }
        let stored: redis::RedisResult<()> = pipeline.query(&mut connection);
        stored.context("cannot store the values in the cluster")?;
    }
    Ok(())
}

fn pieces(sizes: &[Size]) -> impl Iterator<Item = Vec<(String, Vec<u8>)>> {
    sizes.iter().flat_map(|&size| {
        let keys_at_once = if size == Size::Mb10 { 1 } else { KEYS_AT_ONCE };
        (0..size.keys())
            .step_by(keys_at_once as usize)
            .map(move |begin| {
                (begin..size.keys().min(begin + keys_at_once))
                    .map(|at| {
                        let key = size.key(at);
                        let value = size.value(&key);
                        (key, value)
                    })
                    .collect()
            })
    })
}
