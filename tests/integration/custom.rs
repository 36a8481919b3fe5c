//! Placement by a function in code: what runs by it, and what a reload compares.

use crate::fixture::{TestCluster, cluster_toml};
use keyway::config::ConfigReader;
use keyway::placement::Custom;
use keyway::{Cluster, Config, ErrorKind};
use redis::AsyncCommands;
use std::path::Path;

const NODES: usize = 16;

/// By the key's first byte; a key that begins with a dot is more than this function can take.
fn first_byte(key: &[u8], nodes: u16) -> u16 {
    match key.first() {
        Some(b'.') => panic!("a dot"),
        Some(b'~') => nodes,
        byte => u16::from(byte.copied().unwrap_or_default()) % nodes,
    }
}

/// A program that has these versions of the function under these names.
fn reader() -> ConfigReader {
    [("first-byte", 3), ("first-byte", 4), ("second-byte", 3)]
        .into_iter()
        .fold(ConfigReader::new(), |reader, (name, version)| {
            reader.custom(Custom::new(name, version, first_byte))
        })
}

fn toml(ports: &[u16], name: &str, version: u32) -> String {
    cluster_toml("", NODES, ports).replace(
        "\"ketama\"",
        &format!("\"custom\"\ncustom = \"{name}\"\nversion = {version}"),
    )
}

fn config(ports: &[u16], name: &str, version: u32) -> Config {
    reader()
        .parse(&toml(ports, name, version), Path::new("test.toml"), &|_| {
            None
        })
        .unwrap()
}

#[tokio::test]
async fn a_reload_with_another_function_or_version_is_refused_and_both_are_named() {
    let servers = TestCluster::with_nodes(2, NODES).await;
    let ports = servers.ports();
    let cluster = Cluster::connect_config(config(&ports, "first-byte", 3))
        .await
        .unwrap();
    let mut errors = Vec::new();
    for other in [
        config(&ports, "first-byte", 4),
        config(&ports, "second-byte", 3),
        servers.config(),
    ] {
        let error = cluster.reload(other).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        let said = error.to_string();
        errors.push(said.split(": keys").next().unwrap_or_default().to_owned());
    }
    insta::assert_snapshot!(errors.join("\n"), @r#"
    the placement differs (custom "first-byte" version 3 over 16 nodes before, custom "first-byte" version 4 over 16 nodes now)
    the placement differs (custom "first-byte" version 3 over 16 nodes before, custom "second-byte" version 3 over 16 nodes now)
    the placement differs (custom "first-byte" version 3 over 16 nodes before, ketama over 16 nodes now)
    "#);

    // The same function read anew is the same placement, and its nodes may move.
    let reversed: Vec<u16> = ports.iter().rev().copied().collect();
    let reloaded = cluster
        .reload(config(&reversed, "first-byte", 3))
        .await
        .unwrap();
    assert!(reloaded.moved.is_empty() && reloaded.connected.len() == 2);
}

#[tokio::test]
async fn keys_are_where_the_function_says() {
    let servers = TestCluster::with_nodes(2, NODES).await;
    let cluster = Cluster::connect_config(config(&servers.ports(), "first-byte", 3))
        .await
        .unwrap();
    let mut redis = cluster.clone();
    let keys: Vec<String> = ('a'..='z').map(|first| format!("{first}:name")).collect();
    let pairs: Vec<(&String, &String)> = keys.iter().map(|key| (key, key)).collect();
    let _: () = redis.mset(&pairs).await.unwrap();
    let values: Vec<String> = redis.mget(&keys).await.unwrap();
    assert_eq!(values, keys);
    for key in &keys {
        let node = key.as_bytes()[0] % NODES as u8;
        assert_eq!(cluster.locate(key).node.0, u16::from(node));
        let home = usize::from(node) * 2 / NODES;
        let mut direct = servers.servers[home].connection().await;
        assert!(direct.exists::<_, bool>(key).await.unwrap(), "{key}");
    }
}

#[tokio::test]
async fn a_function_that_fails_takes_its_caller_with_it_and_no_key_anywhere() {
    let servers = TestCluster::with_nodes(2, NODES).await;
    let cluster = Cluster::connect_config(config(&servers.ports(), "first-byte", 3))
        .await
        .unwrap();
    for (key, said) in [
        (".name", "a dot"),
        (
            "~name",
            "custom \"first-byte\" version 3 placed the key \"~name\" on node 16, but the nodes are 0 to 15",
        ),
    ] {
        let mut redis = cluster.clone();
        let call = tokio::spawn(async move { redis.set::<_, _, ()>(key, "v").await });
        let panic = call.await.unwrap_err().into_panic();
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or(panic.downcast_ref::<&str>().copied());
        assert_eq!(message, Some(said));
        for server in &servers.servers {
            let mut direct = server.connection().await;
            assert!(!direct.exists::<_, bool>(key).await.unwrap());
        }
    }
    let mut redis = cluster.clone();
    let _: () = redis.set("name", "v").await.unwrap();
    assert_eq!(redis.get::<_, String>("name").await.unwrap(), "v");
    assert!(
        cluster
            .stats()
            .servers
            .iter()
            .all(|server| server.connects == 1)
    );
}

#[cfg(feature = "cli")]
#[test]
fn the_command_line_says_that_it_cannot_know_the_function() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cluster.toml");
    std::fs::write(&file, toml(&[1, 2], "first-byte", 3)).unwrap();
    for arguments in [vec!["check"], vec!["stats"], vec!["locate", "user:1"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_keyway"))
            .arg(arguments[0])
            .arg(&file)
            .args(&arguments[1..])
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(
            said.contains("The command line keyway cannot know it"),
            "{said}"
        );
    }
}
