//! One request, one reply: nothing that a caller sends can shift the replies of the others.

use crate::fixture::TestCluster;
use crate::ways::every_way_in;
use keyway::{Cluster, ErrorKind};
use redis::{Cmd, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::task::JoinHandle;

/// Callers that set and get values of their own, on every node, until they are told to stop.
struct Innocents {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<u64>>,
}

impl Innocents {
    fn start(cluster: &Cluster, count: usize) -> Innocents {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (0..count)
            .map(|number| tokio::spawn(innocent(cluster.clone(), number, stop.clone())))
            .collect();
        Innocents { stop, tasks }
    }

    /// How many of their replies were right; one that was not has failed the test.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let mut right = 0;
        for task in self.tasks {
            right += task.await.unwrap();
        }
        right
    }
}

async fn innocent(cluster: Cluster, number: usize, stop: Arc<AtomicBool>) -> u64 {
    let mut right = 0;
    while !stop.load(Ordering::Relaxed) {
        let key = format!("innocent:{number}:{}", right % 97);
        let value = format!("{key}={right}");
        let set: String = cluster.query(&Cmd::set(&key, &value)).await.unwrap();
        assert_eq!(set, "OK", "the reply of SET {key}");
        let got: String = cluster.query(&Cmd::get(&key)).await.unwrap();
        assert_eq!(got, value, "the reply of GET {key}");
        right += 1;
    }
    right
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_command_is_refused_by_every_way_in_and_shifts_nobodys_replies() {
    let fixture = TestCluster::start(2).await;
    let cluster = fixture.connect_patiently().await;
    let innocents = Innocents::start(&cluster, 8);
    let as_redis_rs_says = |error: &redis::RedisError| {
        assert_eq!(error.kind(), redis::ErrorKind::Client, "{error}");
        assert!(error.to_string().contains("empty command"), "{error}");
    };
    for _ in 0..20 {
        for answer in every_way_in(&cluster, "{q}0", &Cmd::new()).await {
            assert_eq!(answer.kind, Some(ErrorKind::Invalid), "{answer:?}");
            as_redis_rs_says(answer.error());
        }
        // In the midst of a pipeline, nothing of it is sent.
        let mut pipe = redis::pipe();
        pipe.set("{q}1", "x").add_command(Cmd::new()).get("{q}1");
        let mut dedicated = cluster.dedicated("{q}0").await.unwrap();
        as_redis_rs_says(&pipe.query_async::<()>(&mut dedicated).await.unwrap_err());
        as_redis_rs_says(&pipe.query_async::<()>(&mut cluster.clone()).await.unwrap_err());
        let set: Value = cluster.query(&Cmd::get("{q}1")).await.unwrap();
        assert_eq!(set, Value::Nil);
        // The connection is as good as before.
        let set: String = dedicated.query(&Cmd::set("{q}2", 1)).await.unwrap();
        assert_eq!(set, "OK");
    }
    assert!(innocents.stop().await > 0);
}
