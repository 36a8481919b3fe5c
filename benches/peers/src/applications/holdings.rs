//! What is stored at the servers: put there, looked at, put back.

use super::data::{
    HOME, ITEMS_BEFORE, NEW_SCORES, OLD_IDS, OLD_SCORES, OWNERS, Pair, Places, items_of, timeline,
};
use super::order::Key;
use anyhow::{Result, bail, ensure};
use redis::{Connection, Pipeline};

/// Commands of one pipeline: few enough that neither side holds many answers.
const COMMANDS_AT_ONCE: usize = 5_000;
/// What every owner's timeline is a copy of.
const BEFORE: &str = "before";

pub struct Holdings {
    servers: Vec<Connection>,
    /// The keys of the owners' timelines on each server, and those that redis-benchmark makes.
    owners: Vec<Vec<String>>,
    limits: Vec<Vec<String>>,
}

impl Holdings {
    pub fn connect(ports: &[u16]) -> Result<Holdings> {
        let connect = |port: &u16| {
            let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
            Ok(client.get_connection()?)
        };
        Ok(Holdings {
            servers: ports.iter().map(connect).collect::<Result<_>>()?,
            owners: vec![Vec::new(); ports.len()],
            limits: vec![Vec::new(); ports.len()],
        })
    }

    pub fn clear(&mut self) -> Result<()> {
        for server in &mut self.servers {
            let _: () = redis::cmd("FLUSHALL").query(server)?;
        }
        Ok(())
    }

    /// Timelines of as many items for every owner, and for as many keys as redis-benchmark will make up.
    pub fn fill_timelines(&mut self, places: &Places, owners: &[u64]) -> Result<()> {
        let count = self.servers.len();
        self.owners = vec![Vec::new(); count];
        for owner in owners {
            let key = timeline(HOME, *owner);
            if let Some(server) = places.server(&key) {
                self.owners[server].push(key);
            }
        }
        let limits = (0..OWNERS / count).map(|at| format!("{LIMIT_KEYS}{at:012}"));
        self.limits = vec![limits.collect(); count];
        for server in &mut self.servers {
            let mut before = redis::cmd("ZADD");
            before.arg(BEFORE);
            for at in 0..ITEMS_BEFORE {
                before.arg(OLD_SCORES + at).arg(OLD_IDS + at);
            }
            let _: () = before.query(server)?;
        }
        self.put_back(true)?;
        self.put_back(false)
    }

    /// Every timeline of the owners, or of redis-benchmark, as it was before.
    pub fn put_back(&mut self, is_limit: bool) -> Result<()> {
        self.at_each(is_limit, |server, keys| {
            in_pieces(server, keys, |pipeline, key| {
                pipeline.cmd("COPY").arg(BEFORE).arg(key).arg("REPLACE");
            })
            .map(|_| ())
        })
        .map(|_| ())
    }

    /// That each owner has exactly one item more than before, which is new, and at most what may be beyond `keep`.
    pub fn check_delivered(&mut self, keep: usize) -> Result<()> {
        let before = ITEMS_BEFORE as usize;
        let expected = before.min(keep)..=before + 1;
        self.at_each(false, |server, keys| {
            let counts = counts(server, keys)?;
            for (key, counted) in keys.iter().zip(counts.chunks_exact(2)) {
                let (new, all) = (counted[0], counted[1] as usize);
                ensure!(
                    new == 1 && expected.contains(&all),
                    "{key} has {all} items of which {new} are new; expected 1 new one of {expected:?}"
                );
            }
            Ok(())
        })
        .map(|_| ())
    }

    /// How many of redis-benchmark's items are there: it draws keys and members by lot, so a few are the same.
    pub fn delivered_by_limit(&mut self) -> Result<u64> {
        let each = self.at_each(true, |server, keys| {
            let counts = counts(server, keys)?;
            Ok(counts
                .chunks_exact(2)
                .map(|counted| counted[0])
                .sum::<u64>())
        })?;
        Ok(each.into_iter().sum())
    }

    /// How many keys there are.
    pub fn keys(&mut self) -> Result<u64> {
        let mut keys = 0;
        for server in &mut self.servers {
            keys += redis::cmd("DBSIZE").query::<u64>(server)?;
        }
        Ok(keys)
    }

    pub fn fill_sets(&mut self, places: &Places, pairs: &[Pair]) -> Result<()> {
        for pair in pairs {
            for (which, key) in pair.keys(places).into_iter().enumerate() {
                let members: Vec<u64> = pair.members(which).collect();
                for piece in members.chunks(COMMANDS_AT_ONCE) {
                    let mut add = redis::cmd("SADD");
                    add.arg(&key.key).arg(piece);
                    let added: usize = add.query(&mut self.servers[key.server])?;
                    ensure!(
                        added == piece.len(),
                        "{} members of {} were new",
                        added,
                        piece.len()
                    );
                }
            }
        }
        Ok(())
    }

    /// The items of all these authors; with `later`, one of them has the newest.
    pub fn fill_authors(
        &mut self,
        places: &Places,
        timelines: &str,
        authors: &[u64],
        later: Option<u64>,
    ) -> Result<()> {
        for author in authors {
            let key = timeline(timelines, *author);
            let Some(server) = places.server(&key) else {
                bail!("{key} is not where everybody looks for it");
            };
            let mut add = redis::cmd("ZADD");
            add.arg(&key);
            for (score, id) in items_of(*author, later) {
                add.arg(score).arg(id);
            }
            let _: () = add.query(&mut self.servers[server])?;
        }
        Ok(())
    }

    pub fn fill_values(&mut self, keys: &[Key]) -> Result<()> {
        for Key { key, server } in keys {
            let _: () = redis::cmd("SET")
                .arg(key)
                .arg(key)
                .query(&mut self.servers[*server])?;
        }
        Ok(())
    }

    /// Bytes that the servers have read and written so far, these questions included.
    pub fn traffic(&mut self) -> Result<u64> {
        let mut bytes = 0;
        for server in &mut self.servers {
            let info: String = redis::cmd("INFO").arg("stats").query(server)?;
            bytes +=
                field(&info, "total_net_input_bytes")? + field(&info, "total_net_output_bytes")?;
        }
        Ok(bytes)
    }

    fn at_each<T: Send>(
        &mut self,
        is_limit: bool,
        work: impl Fn(&mut Connection, &[String]) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let keys = if is_limit { &self.limits } else { &self.owners };
        let work = &work;
        std::thread::scope(|scope| {
            let servers = self.servers.iter_mut().zip(keys);
            let threads: Vec<_> = servers
                .map(|(server, keys)| scope.spawn(move || work(server, keys)))
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<T>>| {
                thread.join().unwrap_or_else(|_| bail!("a thread panicked"))
            };
            threads.into_iter().map(join).collect()
        })
    }
}

/// What redis-benchmark's keys begin with, before its twelve digits.
pub const LIMIT_KEYS: &str = "bench:";

/// New items, then all items, of each key.
fn counts(server: &mut Connection, keys: &[String]) -> Result<Vec<u64>> {
    in_pieces(server, keys, |pipeline, key| {
        pipeline.cmd("ZCOUNT").arg(key).arg(NEW_SCORES).arg("+inf");
        pipeline.cmd("ZCARD").arg(key);
    })
}

fn in_pieces(
    server: &mut Connection,
    keys: &[String],
    add: impl Fn(&mut Pipeline, &str),
) -> Result<Vec<u64>> {
    let mut answers = Vec::with_capacity(2 * keys.len());
    for piece in keys.chunks(COMMANDS_AT_ONCE) {
        let mut pipeline = redis::pipe();
        for key in piece {
            add(&mut pipeline, key);
        }
        answers.extend(pipeline.query::<Vec<u64>>(server)?);
    }
    Ok(answers)
}

fn field(info: &str, name: &str) -> Result<u64> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    match line.and_then(|value| value.trim().parse().ok()) {
        Some(value) => Ok(value),
        None => bail!("INFO stats has no number {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = "# Stats\r\ntotal_net_input_bytes_more:7\r\ntotal_net_input_bytes:42\r\n";
        assert_eq!(field(info, "total_net_input_bytes").unwrap(), 42);
        assert!(field(info, "total_net_output_bytes").is_err());
    }
}
