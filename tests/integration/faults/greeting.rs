//! Servers that will not have us, or that we will not have: each says why, and what to do.

use super::{PATIENCE, Proxied, ask, cmd, query, redacted};
use crate::fixture::{Certificates, FaultProxy, RedisServer, eventually, parse};
use keyway::{Cluster, Error, ErrorKind};

/// One server with this url; `lines` go into its table, `settings` in front and behind.
fn toml(url: &str, lines: &str, top: &str) -> String {
    format!(
        "name = \"test\"\n{top}\n[placement]\nalgorithm = \"ketama\"\nnodes = 4\n\
         [timeouts]\nconnect = \"2s\"\nresponse = \"5s\"\n\
         [servers.a]\nurl = \"{url}\"\nnodes = \"0-3\"\n{lines}\n"
    )
}

const STRICT: &str = "startup = \"all\"";

async fn connect(url: &str, lines: &str, top: &str) -> Result<Cluster, Error> {
    Cluster::connect_config(parse(&toml(url, lines, top))).await
}

/// The error of a connect that must fail, with a lazy startup as with a strict one.
async fn refused(url: &str, lines: &str) -> Error {
    let strict = connect(url, lines, STRICT).await.unwrap_err();
    let lazy = connect(url, lines, "").await.unwrap_err();
    assert_eq!(lazy.kind(), ErrorKind::Configuration, "{lazy}");
    assert_eq!(lazy.kind(), strict.kind());
    assert_eq!(lazy.to_string(), strict.to_string());
    assert_eq!(lazy.server(), Some("a"));
    lazy
}

async fn works(url: &str, lines: &str) -> Cluster {
    let cluster = connect(url, lines, STRICT).await.unwrap();
    query::<()>(&cluster, "SET k v").await.unwrap();
    assert_eq!(query::<String>(&cluster, "GET k").await.unwrap(), "v");
    cluster
}

#[tokio::test]
async fn a_wrong_password_is_said() {
    let server = RedisServer::builder().password("right").start().await;
    let address = server.address();
    let error = refused(&format!("redis://:wrong@{address}"), "").await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": WRONGPASS invalid username-password pair or user is disabled. (check username and password of this server)"#);
    let error = refused(&format!("redis://{address}"), "").await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": NOAUTH Authentication required. (the server wants a password: give one in the url or by password_file)"#);
    let error = refused(&format!("redis://nobody:right@{address}"), "").await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": WRONGPASS invalid username-password pair or user is disabled. (check username and password of this server)"#);
    let error = refused(&format!("redis://:wrong@{address}"), "").await;
    assert!(!format!("{error:?} {error}").contains("wrong@"));
    let open = RedisServer::start().await;
    let error = refused(&format!("redis://:needless@{}", open.address()), "").await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct? (check username and password of this server)"#);
    works(&server.url(), "").await;
}

#[tokio::test]
async fn a_user_without_the_rights_for_the_greeting_is_told_which_it_needs() {
    let server = RedisServer::builder()
        .user_acl("app on >secret ~app:* +@read +@write")
        .start()
        .await;
    let error = refused(&format!("redis://app:secret@{}", server.address()), "").await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": NOPERM this user has no permissions to run the 'client|setname' command (a keyway client needs CLIENT SETNAME, CLIENT ID, INFO, PING and GET of keyway:* besides its own commands)"#);
}

#[tokio::test]
async fn a_password_file_that_changes_between_dials_is_read_again() {
    let server = RedisServer::builder()
        .user_acl("app on >first ~* &* +@all")
        .start()
        .await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let lines = format!("username = \"app\"\npassword_file = {file:?}");
    let cluster = works(&format!("redis://{}", server.address()), &lines).await;

    let mut admin = server.connection().await;
    let _: () = cmd("ACL SETUSER app resetpass >second")
        .query_async(&mut admin)
        .await
        .unwrap();
    std::fs::write(&file, "second\n").unwrap();
    let _: i64 = cmd("CLIENT KILL USER app")
        .query_async(&mut admin)
        .await
        .unwrap();
    assert_eq!(query::<String>(&cluster, "GET k").await.unwrap(), "v");
    assert_eq!(cluster.stats().servers[0].dial_failures, 0);

    // The server's side first: until the file follows, the cause is named, and nothing needs a restart afterwards.
    let _: () = cmd("ACL SETUSER app resetpass >third")
        .query_async(&mut admin)
        .await
        .unwrap();
    let _: i64 = cmd("CLIENT KILL USER app")
        .query_async(&mut admin)
        .await
        .unwrap();
    eventually("the dial fails", PATIENCE, async || {
        cluster.health().servers[0].cause.is_some()
    })
    .await;
    let cause = cluster.health().servers[0].cause.clone().unwrap();
    assert!(cause.contains("WRONGPASS"), "{cause}");
    std::fs::write(&file, "third\n").unwrap();
    eventually("it is connected again", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;

    std::fs::remove_file(&file).unwrap();
    let error = refused(&format!("redis://{}", server.address()), &lines).await;
    insta::assert_snapshot!(redacted(&error, &[&directory.path().display().to_string()]), @r#"server "a": cannot read password file [...]/password: No such file or directory (os error 2)"#);
}

fn ca(certificates: &Certificates) -> String {
    format!("tls = {{ ca_file = {:?} }}", certificates.ca_file())
}

fn mutual(certificates: &Certificates) -> String {
    format!(
        "tls = {{ ca_file = {:?}, client_cert_file = {:?}, client_key_file = {:?} }}",
        certificates.ca_file(),
        certificates.client_certificate_file(),
        certificates.client_key_file()
    )
}

#[tokio::test]
async fn tls_works_and_its_mistakes_are_told_apart() {
    let certificates = Certificates::generate();
    let server = RedisServer::builder().tls(&certificates).start().await;
    let url = server.url();
    assert!(url.starts_with("rediss://"));
    works(&url, &ca(&certificates)).await;
    works(&url, &mutual(&certificates)).await;
    works(&url, "tls = { danger_accept_invalid_certificates = true }").await;

    let unrelated = format!(
        "tls = {{ ca_file = {:?} }}",
        certificates.unrelated_ca_file()
    );
    let error = refused(&url, &unrelated).await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": TLS: the server's certificate was refused: UnknownIssuer; check tls.ca_file and tls.server_name"#);

    let other_name = format!(
        "tls = {{ ca_file = {:?}, server_name = \"redis.example\" }}",
        certificates.ca_file()
    );
    let error = refused(&url, &other_name).await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": TLS: the server's certificate was refused: certificate not valid for name "redis.example"; certificate is only valid for IpAddress(127.0.0.1) or DnsName("localhost"); check tls.ca_file and tls.server_name"#);

    let missing = "tls = { ca_file = \"/nonexistent/ca.pem\" }";
    let error = refused(&url, missing).await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": TLS: /nonexistent/ca.pem cannot be read: I/O error: No such file or directory (os error 2)"#);

    // A plain server answers a TLS greeting only if a line end is among its random bytes; else it waits for one.
    let plain = RedisServer::start().await;
    let error = connect(
        &format!("rediss://{}", plain.address()),
        &ca(&certificates),
        STRICT,
    )
    .await
    .unwrap_err();
    let either = [
        r#"server "a": TLS: the server answers, but not with TLS; use redis:// for a server without it"#,
        r#"server "a": not executed, the server is down: connected, but no TLS handshake (is it a server without TLS, redis://?) within 2s (timeouts.connect)"#,
    ];
    assert!(either.contains(&error.to_string().as_str()), "{error}");

    // It hangs up without a word, which a server that just goes away does as well: no reason to refuse the configuration.
    let in_the_clear = format!("redis://{}", server.address());
    let error = connect(&in_the_clear, "", STRICT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown);
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": not executed, the server is down: the server closed the connection during the greeting (does it expect TLS, rediss://?)"#);
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_says_so() {
    let certificates = Certificates::generate();
    let server = RedisServer::builder()
        .tls(&certificates)
        .client_certificate_required()
        .start()
        .await;
    works(&server.url(), &mutual(&certificates)).await;
    let error = refused(&server.url(), &ca(&certificates)).await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": TLS: the server refused us with CertificateRequired; does it ask for a client certificate (tls.client_cert_file)?"#);
}

#[tokio::test]
async fn large_values_over_tls_are_written_to_the_last_byte_through_a_full_socket() {
    let certificates = Certificates::generate();
    let server = RedisServer::builder().tls(&certificates).start().await;
    let proxy = FaultProxy::start(server.port()).await;
    let url = format!("rediss://{}", proxy.address());
    let top = "";
    let lines = format!(
        "{}\n[limits]\nreply_bytes_max = \"128MiB\"\n",
        ca(&certificates)
    );
    let cluster = connect(&url, &lines, top)
        .await
        .unwrap()
        .with_timeout(PATIENCE);
    // Slower than we write, so that the last bytes meet a full socket.
    proxy.bytes_per_second(Some(64 << 20));
    for round in 0..4_usize {
        let length = (12 << 20) + round * 5_000;
        let value: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let set = redis::cmd("SET").arg("k").arg(&value).to_owned();
        cluster.query::<()>(&set).await.unwrap();
        let length: usize = query(&cluster, "STRLEN k").await.unwrap();
        assert_eq!(length, value.len());
    }
    assert_eq!(cluster.stats().servers[0].disconnects, 0);
}

#[tokio::test]
async fn a_server_that_loads_is_waited_for() {
    let mut server = RedisServer::builder()
        .arg("--key-load-delay", "3000")
        .arg("--loading-process-events-interval-bytes", "1024")
        .start()
        .await;
    let mut pipe = redis::pipe();
    for i in 0..800 {
        pipe.set(format!("k{i}"), i).ignore();
    }
    let mut direct = server.connection().await;
    let _: () = pipe.query_async(&mut direct).await.unwrap();
    let _: () = ask(&server, "SAVE").await;
    server.restart_while_loading().await;
    let address = format!("redis://{}", server.address());
    let error = connect(&address, "", STRICT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown);
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": not executed, the server is down: LOADING Redis is loading the dataset in memory"#);
    let cluster = connect(&address, "", "").await.unwrap();
    let health = cluster.health();
    assert!(!health.is_ready());
    assert_eq!(
        health.servers[0].cause.as_deref(),
        Some("LOADING Redis is loading the dataset in memory")
    );
    // Callers wait for timeouts.connect, then they are told why; which of the two depends on how long it still loads.
    match query::<i64>(&cluster.with_timeout(PATIENCE), "GET k7").await {
        Ok(value) => assert_eq!(value, 7),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ServerDown);
            assert!(error.to_string().contains("LOADING"), "{error}");
        }
    }
    eventually("it has loaded", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    assert_eq!(query::<i64>(&cluster, "GET k7").await.unwrap(), 7);
}

#[tokio::test]
async fn a_master_that_has_become_a_replica_is_left_for_the_new_one() {
    let mut proxied = Proxied::start(
        1,
        "[timeouts]\nresponse = \"10s\"\n[retry]\nattempts_max = 3\n",
    )
    .await;
    let cluster = proxied.connect().await;
    query::<i64>(&cluster, "INCR n").await.unwrap();
    let master = RedisServer::start().await;
    let old = &proxied.fixture.servers[0];
    ask::<()>(old, &format!("REPLICAOF 127.0.0.1 {}", master.port())).await;

    let error = query::<i64>(&cluster, "INCR n").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert_eq!(
        error.server_error().map(|error| error.code()),
        Some("READONLY")
    );
    insta::assert_snapshot!(
        redacted(&error, &[&format!("node {}", cluster.locate("n").node)]),
        @r#"INCR, [...], server "s0": READONLY You can't write against a read only replica."#
    );
    // Reads go on.
    query::<Option<i64>>(&cluster, "GET n").await.unwrap();

    // The address leads elsewhere now; the connection that answers READONLY is given up, and the next one finds the master.
    proxied.proxies[0].forward_to(master.port());
    eventually("the new master is found", PATIENCE, async || {
        query::<i64>(&cluster, "INCR n").await.is_ok()
    })
    .await;
    let n: i64 = ask(&master, "GET n").await;
    assert_eq!(n, 1, "the old data was the old master's, and INCR ran once");

    // Turned back without a new address: the same connection works again.
    proxied.proxies.truncate(0);
    let plain = RedisServer::start().await;
    let cluster = works(&plain.url(), "").await;
    ask::<()>(&plain, "REPLICAOF 127.0.0.1 1").await;
    let error = query::<i64>(&cluster, "INCR n").await.unwrap_err();
    assert_eq!(
        error.server_error().map(|error| error.code()),
        Some("READONLY")
    );
    ask::<()>(&plain, "REPLICAOF NO ONE").await;
    eventually("it takes writes again", PATIENCE, async || {
        query::<i64>(&cluster, "INCR n").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_replica_without_its_master_is_said() {
    let server = RedisServer::builder()
        .arg("--replica-serve-stale-data", "no")
        .start()
        .await;
    ask::<()>(&server, "REPLICAOF 127.0.0.1 1").await;
    let error = connect(&server.url(), "", STRICT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown);
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": not executed, the server is down: MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."#);
}

#[tokio::test]
async fn a_server_that_is_full_says_so_and_is_asked_again() {
    let server = RedisServer::start().await;
    let mut admin = server.connection().await;
    let mut limit = async |maxclients: u32| {
        let _: () = cmd("CONFIG SET maxclients")
            .arg(maxclients)
            .query_async(&mut admin)
            .await
            .unwrap();
    };
    limit(1).await;
    let mut errors = Vec::new();
    for _ in 0..5 {
        let error = connect(&server.url(), "", STRICT).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ServerDown);
        errors.push(redacted(&error, &[]));
    }
    errors.dedup();
    assert_eq!(errors.len(), 1, "{errors:?}");
    insta::assert_snapshot!(errors[0], @r#"server "a": not executed, the server is down: ERR max number of clients reached: raise maxclients, or lower pool.dedicated_max"#);
    let cluster = connect(&server.url(), "", "").await.unwrap();
    limit(100).await;
    eventually("there is room", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    query::<()>(&cluster, "SET k v").await.unwrap();
}

#[tokio::test]
async fn a_cluster_mode_server_is_refused() {
    let server = RedisServer::builder().cluster_enabled().start().await;
    let error = refused(&server.url(), "").await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": the server runs in cluster mode; keyway spreads data over plain servers. Use a Redis Cluster client, or start the server with cluster-enabled no"#);
}

#[tokio::test]
async fn a_database_that_the_server_does_not_have_is_refused() {
    let server = RedisServer::start().await;
    let error = refused(&format!("{}/99", server.url()), "").await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": ERR DB index is out of range (check the database number in this server's url)"#);
    works(&format!("{}/7", server.url()), "").await;
    let keys: i64 = ask(&server, "DBSIZE").await;
    assert_eq!(keys, 0, "k is in database 7");
}

#[tokio::test]
async fn a_unix_socket_works() {
    let server = RedisServer::builder().unix_socket().start().await;
    let path = server.socket_path().unwrap();
    works(&format!("unix://{}", path.display()), "").await;
    let nowhere = format!("unix://{}", path.with_file_name("nowhere.sock").display());
    let error = connect(&nowhere, "", STRICT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown);
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": not executed, the server is down: No such file or directory (os error 2)"#);
}

#[tokio::test]
async fn data_that_somebody_is_moving_is_not_served() {
    let server = RedisServer::start().await;
    let cluster = works(&server.url(), "").await;
    ask::<()>(&server, "SET keyway:fence 12").await;
    let error = refused(&server.url(), "").await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": the server holds the key keyway:fence: its data is being moved, or was, by a keyway with a newer map than this configuration. Use the topology that the move works from"#);
    // A client that was there before meets it at its next dial.
    ask::<i64>(&server, "CLIENT KILL TYPE normal").await;
    eventually("it is refused", PATIENCE, async || {
        cluster.health().servers[0]
            .cause
            .as_deref()
            .is_some_and(|cause| cause.contains("keyway:fence"))
    })
    .await;
    ask::<i64>(&server, "DEL keyway:fence").await;
    eventually("it is admitted", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
}

#[tokio::test]
async fn startup_all_needs_every_server_and_lazy_none() {
    let mut server = RedisServer::start().await;
    let url = server.url();
    server.kill();
    let error = connect(&url, "", STRICT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown);
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": not executed, the server is down: Connection refused (os error 111)"#);
    let lazy = tokio::time::timeout(PATIENCE, connect(&url, "", "")).await;
    let cluster = lazy.expect("nobody waits for it").unwrap();
    assert!(!cluster.health().is_ready());
    server.restart().await;
    eventually("it is found", PATIENCE, async || {
        cluster.health().is_ready()
    })
    .await;
    query::<()>(&cluster, "SET k v").await.unwrap();

    // A host name that nobody has, and a peer that is no Redis.
    let error = connect("redis://nowhere.invalid", "", STRICT)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ServerDown);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let web = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 64];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = refused(&format!("redis://{address}"), "").await;
    insta::assert_snapshot!(redacted(&error, &[]), @r#"server "a": the peer does not speak the Redis protocol (read "HTTP/1.1 400 Bad Request\r\n\r\n", expected the type of a reply, one of + - : $ * _ # , ( ! = % ~ > |: not the reply of a Redis server); does it expect TLS (rediss://)?"#);
    web.abort();
}
