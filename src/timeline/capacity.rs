//! What timelines take of a server's memory, measured, and what follows for so many more.

use super::push::answer;
use super::{Id, Timeline};
use crate::error::{Error, ErrorKind};
use redis::Cmd;
use serde::{Deserialize, Serialize};
use std::fmt::Display;

/// Owners of one sample, at most.
const SAMPLE_MAX: usize = 100_000;
/// Owners that are asked for in one round trip.
const PIECE_OWNERS: usize = 1_000;

/// What a sample of timelines takes, and by that what others will: plain data.
///
/// Bytes are those of MEMORY USAGE with every element looked at: the key, its entry in the server's table, the sorted set and all its members,
/// each as large as the allocator made it. Not in them: the table itself (8 to 16 bytes per key), fragmentation, buffers of clients and of
/// replication, copies on write during a save. What `maxmemory` is compared with has the first and most of the others; leave room for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capacity {
    /// Timelines that were measured: those of the sample that are there. At least 1.
    pub timelines: u64,
    /// Owners of the sample that have no timeline.
    pub missing: u64,
    /// Items of the measured ones, together.
    pub items: u64,
    /// Bytes of the measured ones, together.
    pub bytes: u64,
    /// Bytes of the largest.
    pub bytes_max: u64,
}

impl Capacity {
    /// Of the measured timelines, on average.
    pub fn bytes_per_timeline(&self) -> f64 {
        self.bytes as f64 / self.timelines as f64
    }

    /// Of the measured timelines, on average.
    pub fn items_per_timeline(&self) -> f64 {
        self.items as f64 / self.timelines as f64
    }

    /// With each item's share of what a timeline takes by itself.
    pub fn bytes_per_item(&self) -> f64 {
        self.bytes as f64 / self.items as f64
    }

    /// How many timelines like the measured ones fit into so many bytes, rounded down.
    pub fn timelines_in(&self, bytes: u64) -> u64 {
        let fit = u128::from(bytes) * u128::from(self.timelines) / u128::from(self.bytes.max(1));
        u64::try_from(fit).unwrap_or(u64::MAX)
    }

    /// What so many timelines like the measured ones take, rounded up.
    pub fn bytes_for(&self, timelines: u64) -> u64 {
        let all = u128::from(timelines) * u128::from(self.bytes);
        u64::try_from(all.div_ceil(u128::from(self.timelines.max(1)))).unwrap_or(u64::MAX)
    }
}

impl<I: Id> Timeline<I> {
    /// Measures the timelines of these owners, up to 100,000 of them. What they say of others depends on how they were chosen: take them at random.
    /// Timelines that are not full yet will be larger: measure some of [`keep`](Timeline::keep) items.
    ///
    /// ```no_run
    /// # async fn example(home: keyway::Timeline, sample: Vec<u64>) -> Result<(), keyway::Error> {
    /// let capacity = home.capacity(&sample).await?;
    /// println!("{:.0} bytes per timeline of {:.0} items", capacity.bytes_per_timeline(), capacity.items_per_timeline());
    /// println!("12 GiB have room for {} of them", capacity.timelines_in(12 << 30));
    /// # Ok(()) }
    /// ```
    ///
    /// One round trip per 1,000 owners. Every item is looked at, so that it is as much work for a server as reading the timelines whole: not for
    /// every minute.
    ///
    /// # Errors
    /// Those of a read, WRONGTYPE among them, with the key in the message. [`ErrorKind::Invalid`] for an owner too many, and when no owner has a
    /// timeline.
    pub async fn capacity(
        &self,
        owners: impl IntoIterator<Item = impl Display>,
    ) -> Result<Capacity, Error> {
        self.check()?;
        let keys: Vec<String> = (owners.into_iter().take(SAMPLE_MAX + 1))
            .map(|owner| self.key(owner))
            .collect();
        if keys.len() > SAMPLE_MAX {
            let why = format!(
                "the sample has more than {SAMPLE_MAX} owners: a thousand at random say as much"
            );
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        let mut capacity = Capacity {
            timelines: 0,
            missing: 0,
            items: 0,
            bytes: 0,
            bytes_max: 0,
        };
        for piece in keys.chunks(PIECE_OWNERS) {
            self.measure(piece, &mut capacity).await?;
        }
        if capacity.timelines == 0 {
            let why = format!(
                "none of the {} owners has a timeline named {:?}, so there is nothing to measure",
                keys.len(),
                self.name
            );
            return Err(Error::new(ErrorKind::Invalid, why));
        }
        Ok(capacity)
    }

    async fn measure(&self, keys: &[String], capacity: &mut Capacity) -> Result<(), Error> {
        let mut cmds = Vec::with_capacity(2 * keys.len());
        for key in keys {
            let mut usage = redis::cmd("MEMORY");
            usage.arg("USAGE").arg(key).arg("SAMPLES").arg(0);
            cmds.push(usage);
            cmds.push(Cmd::zcard(key));
        }
        let mut replies = cmds.iter().zip(self.cluster.send_all_strictly(&cmds).await);
        for key in keys {
            let Some(((cmd, bytes), (count_cmd, items))) = replies.next().zip(replies.next())
            else {
                return Err(
                    Error::new(ErrorKind::UnexpectedReply, "no reply").about_key(key.as_bytes())
                );
            };
            let items: u64 = answer(count_cmd, items, key)?;
            match answer::<Option<u64>>(cmd, bytes, key)? {
                Some(bytes) if items > 0 => {
                    capacity.timelines += 1;
                    capacity.items = capacity.items.saturating_add(items);
                    capacity.bytes = capacity.bytes.saturating_add(bytes);
                    capacity.bytes_max = capacity.bytes_max.max(bytes);
                }
                _ => capacity.missing += 1,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_arithmetic_rounds_against_the_optimist_and_never_overflows() {
        let capacity = Capacity {
            timelines: 3,
            missing: 1,
            items: 30,
            bytes: 1000,
            bytes_max: 500,
        };
        assert_eq!(capacity.timelines_in(999), 2);
        assert_eq!(capacity.timelines_in(1000), 3);
        assert_eq!(capacity.bytes_for(1), 334);
        assert_eq!(capacity.bytes_for(3), 1000);
        assert_eq!(capacity.items_per_timeline(), 10.0);
        assert!((capacity.bytes_per_item() - 33.33).abs() < 0.01);
        assert_eq!(capacity.timelines_in(u64::MAX), 55_340_232_221_128_654);
        assert_eq!(capacity.bytes_for(u64::MAX), u64::MAX);
    }
}
