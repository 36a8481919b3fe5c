//! keyway's own calls.

use super::{Act, Answer, Answered, Combination, Failure, Form, Key, Layout};
use crate::applications::order::Item as Post;
use futures::stream;
use keyway::Cluster;
use keyway::timeline::{Item, Timeline};
use redis::AsyncCommands;

pub(super) struct Keyway {
    cluster: Cluster,
    /// Knows nothing of any owner, whatever was delivered before.
    is_cold: bool,
    /// What deliveries were made through, by their `keep`.
    home: Option<(usize, Timeline)>,
    pub(super) owners: Vec<u64>,
}

impl Keyway {
    pub(super) async fn connect(layout: &Layout, is_cold: bool) -> Answer<Keyway> {
        Ok(Keyway {
            cluster: Cluster::connect_config(layout.config()).await?,
            is_cold,
            home: None,
            owners: Vec::new(),
        })
    }

    /// As after a long time of many posts to owners of all kinds: as many owners are due at each delivery as at any other. Without it all would
    /// be due at the same one, and none at those that are measured.
    pub(super) async fn warm_up(&mut self, act: &Act) -> Answer<()> {
        let Act::Deliver {
            timelines,
            keep,
            item,
        } = act
        else {
            return Ok(());
        };
        if self.is_cold {
            return Ok(());
        }
        let home = self.home(timelines, *keep);
        let post = Item::new(item.id, item.score);
        for phase in 0..slack(*keep) {
            let owners = self.owners.iter().enumerate();
            let owners = owners
                .filter(|(at, _)| at % slack(*keep) >= phase)
                .map(|(_, owner)| owner);
            let report = home.deliver(&post, stream::iter(owners)).await?;
            if !report.is_complete() {
                return Err(Failure::Refused(format!("the warm-up failed: {report:?}")));
            }
        }
        Ok(())
    }

    pub(super) async fn call(&mut self, act: &Act) -> Answer<Answered> {
        match act {
            Act::Deliver {
                timelines,
                keep,
                item,
            } => {
                let home = self.home(timelines, *keep);
                let owners = stream::iter(&self.owners);
                deliver(&home, *item, owners, self.owners.len() as u64).await
            }
            Act::DeliverLazily {
                timelines,
                keep,
                owners,
                item,
            } => {
                let home = self.home(timelines, *keep);
                deliver(&home, *item, stream::iter(0..*owners), *owners).await
            }
            Act::Merged {
                timelines,
                authors,
                expected,
            } => {
                let posts = Timeline::new(&self.cluster, timelines);
                let page = posts.merged(authors).limit(expected.len()).await?;
                Ok(Answered::Members(
                    page.items.into_iter().map(|item| item.id).collect(),
                ))
            }
            Act::Values(keys) => self.values(keys).await,
            Act::Combine {
                how, sets, form, ..
            } => self.combine(*how, sets, *form).await,
        }
    }

    async fn combine(&mut self, how: Combination, sets: &[Key], form: Form) -> Answer<Answered> {
        let keys: Vec<&str> = sets.iter().map(|set| set.key.as_str()).collect();
        let sets = self.cluster.sets();
        let combined = match how {
            Combination::Intersect => sets.intersect(keys),
            Combination::Union => sets.union(keys),
            Combination::Difference => sets.difference(keys),
        };
        Ok(match form {
            Form::Members => Answered::Members(combined.members().await?),
            Form::Count => Answered::Count(combined.count().await?),
            Form::Limit(some) => Answered::Members(combined.limit(some).members().await?),
        })
    }

    fn home(&mut self, timelines: &str, keep: usize) -> Timeline {
        if let Some((kept, home)) = &self.home
            && *kept == keep
            && !self.is_cold
        {
            return home.clone();
        }
        let home = Timeline::new(&self.cluster, timelines).keep(keep);
        self.home = Some((keep, home.clone()));
        home
    }

    async fn values(&mut self, keys: &[Key]) -> Answer<Answered> {
        let keys: Vec<&str> = keys.iter().map(|key| key.key.as_str()).collect();
        Ok(Answered::Values(self.cluster.mget(keys).await?))
    }
}

/// keyway's default: every so manieth push to an owner trims.
fn slack(keep: usize) -> usize {
    (keep / 16).clamp(16, 1_024)
}

async fn deliver<O: std::fmt::Display + Send + std::fmt::Debug>(
    home: &Timeline,
    post: Post,
    owners: impl stream::Stream<Item = O> + Send,
    count: u64,
) -> Answer<Answered> {
    let post = Item::new(post.id, post.score);
    let report = home.deliver(&post, owners).await?;
    if !report.is_complete() || report.changed != count {
        let (changed, failed) = (report.changed, report.failed);
        return Err(Failure::Wrong(format!(
            "{changed} of {count} items added, {failed} owners failed"
        )));
    }
    Ok(Answered::Nothing)
}
