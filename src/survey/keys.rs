//! Keys of a live cluster, for a simulation of what would become of them.

use super::{Options, Progress, SAMPLE_MAX, SurveyError};
use crate::config::Config;
use crate::connection::Probe;
use crate::inspect::{self, Answer};
use crate::sampling::{Walk, is_reserved, understand};
use crate::topology::ServerId;
use futures::future::join_all;
use redis::{Cmd, cmd};
use std::time::Instant;

/// Most bytes of the keys of a sample, their values not counted: they are held in memory.
pub const SAMPLE_BYTES_MAX: usize = 256 << 20;

/// Keys that were drawn at random, as many from each server as it has of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SampledKeys {
    /// Each with what it takes by MEMORY USAGE, in bytes; `None` if our user may not ask. Servers by name, and within a server in no order.
    pub keys: Vec<(Vec<u8>, Option<u64>)>,
    /// How many keys there are on the servers that were reached.
    pub of: u64,
    /// The servers that could not be looked at, with the reason: their keys are missing.
    pub failures: Vec<(String, String)>,
}

/// Draws about [`Options::sample`] keys from the whole cluster (not from each server), for [`Keys::list`](crate::simulation::Keys::list); all of
/// them with
/// [`Options::exact`], up to [`SAMPLE_MAX`]. Keyway's own keys, and those on a server where this file does not put them, are left out.
///
/// Reads only, one question at a time to each server, as [`survey`](super::survey) does. Ends early at [`SAMPLE_BYTES_MAX`].
///
/// # Errors
/// As [`survey`](super::survey).
pub async fn sample_keys(
    config: &Config,
    options: &Options,
    progress: impl Fn(Progress),
) -> Result<SampledKeys, SurveyError> {
    if !config.placement().has_homes() {
        return Err(SurveyError::NoHomes(config.placement().algorithm()));
    }
    let servers: Vec<ServerId> = config.topology().servers().collect();
    let opened = join_all(servers.iter().map(|&id| open(config, id, options))).await;
    let sizes = opened.iter().flatten().map(|(_, size)| *size);
    let total = sizes.fold(0, u64::saturating_add);
    let wanted = match options.exact {
        true => total.min(SAMPLE_MAX as u64),
        false => total.min(options.sample.clamp(1, SAMPLE_MAX) as u64),
    };
    progress(Progress::Expected(wanted));
    let bytes_max = SAMPLE_BYTES_MAX / servers.len().max(1);
    let draws = servers.iter().zip(opened).map(|(&id, opened)| {
        let progress = &progress;
        async move {
            let (mut probe, size) = opened?;
            // In proportion, rounded up: of a server that has keys at least one is drawn.
            let part = u128::from(wanted) * u128::from(size);
            let part = part.div_ceil(u128::from(total.max(1))) as usize;
            let drawing = Drawing {
                config,
                server: id,
                wanted: part,
                bytes_max,
            };
            let drawn = drawing.draw(&mut probe, size, options, progress).await;
            progress(Progress::ServerDone);
            drawn
        }
    });
    let mut sampled = SampledKeys {
        of: total,
        ..SampledKeys::default()
    };
    for (&id, drawn) in servers.iter().zip(join_all(draws).await) {
        match drawn {
            Ok(keys) => sampled.keys.extend(keys),
            Err(why) => {
                let name = config.topology().server_name(id).to_string();
                sampled.failures.push((name, why));
            }
        }
    }
    Ok(sampled)
}

async fn open(config: &Config, id: ServerId, options: &Options) -> Result<(Probe, u64), String> {
    let (state, probe) = inspect::look(config, id, options.timeout).await;
    let mut probe = match (state.answer, probe) {
        (Answer::Refused { cause } | Answer::Unreachable { cause }, _) => return Err(cause),
        (_, probe) => probe.ok_or("there is no connection to it")?,
    };
    let replies = probe.ask(&[cmd("DBSIZE")]).await;
    let size = understand(replies.map_err(|error| error.message)?.into_iter().next())?;
    Ok((probe, size))
}

type Drawn = Vec<(Vec<u8>, Option<u64>)>;

struct Drawing<'c> {
    config: &'c Config,
    server: ServerId,
    wanted: usize,
    bytes_max: usize,
}

impl Drawing<'_> {
    async fn draw(
        &self,
        probe: &mut Probe,
        size: u64,
        options: &Options,
        progress: &impl Fn(Progress),
    ) -> Result<Drawn, String> {
        let begin = Instant::now();
        let mut walk = Walk::sample(size, self.wanted);
        let mut drawn = Drawn::new();
        let mut bytes = 0;
        while let Some(scan) = walk.question()
            && bytes <= self.bytes_max
            && begin.elapsed() <= options.server_time_max
        {
            let asked = Instant::now();
            let replies = probe.ask(&[scan]).await.map_err(|error| error.message)?;
            let mut keys = walk.take(replies.into_iter().next())?;
            keys.retain(|key| self.belongs_here(key));
            // The last answer brings more than was wanted; which of them stay must not depend on their names.
            keys.truncate(self.wanted.saturating_sub(drawn.len()));
            let questions: Vec<Cmd> = keys
                .iter()
                .map(|key| cmd("MEMORY").arg("USAGE").arg(key).to_owned())
                .collect();
            let replies = match questions.is_empty() {
                true => Vec::new(),
                false => probe.ask(&questions).await.map_err(|error| error.message)?,
            };
            progress(Progress::Looked(keys.len() as u64));
            for (key, reply) in keys.into_iter().zip(replies) {
                let usage = match understand::<Option<u64>>(Some(reply)) {
                    // Gone since.
                    Ok(None) => continue,
                    Ok(usage) => usage,
                    Err(_) => None,
                };
                bytes += key.len();
                drawn.push((key, usage));
            }
            tokio::time::sleep(asked.elapsed().min(super::look::PAUSE_MAX)).await;
        }
        Ok(drawn)
    }

    fn belongs_here(&self, key: &[u8]) -> bool {
        let home = || {
            let node = self.config.placement().node(key);
            self.config.topology().server_of(node)
        };
        !is_reserved(key) && home() == self.server
    }
}
