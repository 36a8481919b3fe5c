//! What takes writes: only on a server that was named, and only keys of our own, which are removed again.

use super::{Dump, MEASURE, PIPELINE, ServerPace, ask, rate};
use crate::config::Config;
use crate::connection::Probe;
use crate::inspect::{self, Answer, Facts};
use crate::sampling::understand;
use crate::topology::ServerId;
use redis::{Cmd, cmd};
use std::time::{Duration, Instant};

/// What must be free of a server's memory limit before anything is written to it: eight times what is written.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// What is written goes away by itself after this, whatever becomes of us.
const WRITTEN_MS: u64 = 60_000;

/// Writes the copies, removes them, and measures both.
pub(super) async fn write(
    config: &Config,
    id: ServerId,
    timeout: Duration,
    dumps: &[Dump],
    pace: &mut ServerPace,
) -> Result<(), String> {
    let (state, probe) = inspect::look(config, id, timeout).await;
    let (Answer::Reached(facts), Some(mut probe)) = (state.answer, probe) else {
        return Err("it cannot be reached any more".to_owned());
    };
    if dumps.len() < PIPELINE {
        return Err(format!(
            "nothing was written: there are {} values to copy, and it takes {PIPELINE}",
            dumps.len()
        ));
    }
    may_write(&facts)?;
    let names: Vec<String> = {
        let run = fastrand::u64(..);
        (0..dumps.len())
            .map(|i| format!("keyway:calibrate:{run:016x}:{i}"))
            .collect()
    };
    let installed = install(&mut probe, &names, dumps).await;
    let removed = match remove(&mut probe, &names).await {
        Ok(removed) => Ok(removed),
        // The connection may be what broke.
        Err(first) => match inspect::look(config, id, timeout).await {
            (_, Some(mut probe)) => remove(&mut probe, &names).await.map(|_| None),
            _ => Err(first),
        },
    };
    let removed = removed.map_err(|why| {
        format!(
            "what was written under keyway:calibrate: could not be removed ({why}); it goes away by itself within a minute"
        )
    })?;
    pace.install_keys_per_s = installed?;
    pace.remove_keys_per_s = removed;
    Ok(())
}

/// Whether a few MiB do no harm there.
fn may_write(facts: &Facts) -> Result<(), String> {
    if facts.role.as_deref() != Some("master") {
        return Err("nothing was written: it is a replica, or does not say what it is".to_owned());
    }
    let (used, limit) = (facts.memory_bytes, facts.memory_bytes_max);
    match (used, limit) {
        (_, Some(0)) => Ok(()),
        (Some(used), Some(limit)) if used.saturating_add(FREE_BYTES_MIN) <= limit => Ok(()),
        _ => Err(format!(
            "nothing was written: less than {FREE_BYTES_MIN} B of its memory limit are free, or it does not say; keys could be evicted"
        )),
    }
}

async fn install(
    probe: &mut Probe,
    names: &[String],
    dumps: &[Dump],
) -> Result<Option<u64>, String> {
    let begin = Instant::now();
    let mut installed = 0;
    for (names, dumps) in names.chunks(PIPELINE).zip(dumps.chunks(PIPELINE)) {
        if begin.elapsed() >= MEASURE {
            break;
        }
        let restores: Vec<Cmd> = names
            .iter()
            .zip(dumps)
            .map(|(name, dump)| {
                let mut restore = cmd("RESTORE");
                restore.arg(name).arg(WRITTEN_MS).arg(dump);
                restore
            })
            .collect();
        for reply in ask(probe, &restores).await? {
            understand::<()>(Some(reply)).map_err(|why| format!("RESTORE: {why}"))?;
            installed += 1;
        }
    }
    Ok(rate(installed, begin.elapsed()))
}

/// Tries all of them, whatever becomes of one.
async fn remove(probe: &mut Probe, names: &[String]) -> Result<Option<u64>, String> {
    let begin = Instant::now();
    let (mut removed, mut failure) = (0, None);
    for names in names.chunks(PIPELINE) {
        let unlinks: Vec<Cmd> = names
            .iter()
            .map(|name| cmd("UNLINK").arg(name).to_owned())
            .collect();
        for reply in ask(probe, &unlinks).await? {
            match understand::<usize>(Some(reply)) {
                Ok(count) => removed += count,
                Err(why) => failure = failure.or(Some(format!("UNLINK: {why}"))),
            }
        }
    }
    match failure {
        Some(why) => Err(why),
        None => Ok(rate(removed, begin.elapsed())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_where_keys_could_be_evicted() {
        let mut facts = Facts {
            role: Some("master".to_owned()),
            memory_bytes: Some(100 << 20),
            memory_bytes_max: Some(0),
            ..Facts::default()
        };
        assert_eq!(may_write(&facts), Ok(()));
        facts.memory_bytes_max = Some(150 << 20);
        assert!(may_write(&facts).unwrap_err().contains("evicted"));
        facts.memory_bytes_max = Some(164 << 20);
        assert_eq!(may_write(&facts), Ok(()));
        facts.role = Some("slave".to_owned());
        assert!(may_write(&facts).unwrap_err().contains("replica"));
    }
}
