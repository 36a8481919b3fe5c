//! The fixture itself: each fault really happens, as a raw socket or redis-rs sees it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on fails here, with the cause"
)]

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use keyway_testing::{Cut, FaultProxy, RedisServer, eventually};

const SOON: Duration = Duration::from_secs(60);
/// Long enough for a loopback round trip even on a loaded machine; only waited out where nothing may come.
const SILENCE: Duration = Duration::from_millis(150);

const PING: &[u8] = b"PING\r\n";
const PONG: &[u8] = b"+PONG\r\n";

mod servers {
    use super::*;

    #[tokio::test]
    async fn a_server_answers_on_its_port_and_is_the_process_that_was_started() {
        let server = RedisServer::start().await;
        assert_eq!(
            exchange(&mut connect(server.port()).await, PING, PONG.len()).await,
            PONG
        );
        assert_eq!(server.url(), format!("redis://127.0.0.1:{}", server.port()));
        assert_eq!(info(&server, "process_id").await, server.pid().to_string());
        assert_eq!(info(&server, "tcp_port").await, server.port().to_string());
    }

    #[tokio::test]
    async fn many_servers_start_at_once_on_ports_of_their_own() {
        let starts = (0..12).map(|_| RedisServer::start());
        let servers = futures::future::join_all(starts).await;
        let mut ports: Vec<u16> = servers.iter().map(RedisServer::port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), servers.len());
        for server in &servers {
            assert_eq!(info(server, "process_id").await, server.pid().to_string());
        }
    }

    #[tokio::test]
    #[should_panic(expected = "taken by another process")]
    async fn a_given_port_that_is_taken_is_reported() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        RedisServer::builder()
            .port(taken.local_addr().unwrap().port())
            .start()
            .await;
    }

    #[tokio::test]
    #[should_panic(expected = "Bad directive")]
    async fn a_wrong_argument_is_reported_in_the_words_of_the_server() {
        RedisServer::builder()
            .arg("--no-such-setting", "1")
            .start()
            .await;
    }

    #[tokio::test]
    async fn a_dropped_server_is_gone_with_its_directory() {
        let server = RedisServer::start().await;
        let (port, directory) = (server.port(), server.directory().to_owned());
        drop(server);
        assert_eq!(
            TcpStream::connect(("127.0.0.1", port))
                .await
                .unwrap_err()
                .kind(),
            ErrorKind::ConnectionRefused
        );
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn a_panicking_test_leaves_no_server_behind() {
        let server = RedisServer::start().await;
        let port = server.port();
        let panicked = tokio::spawn(async move {
            let _owned = server;
            panic!("on purpose");
        });
        assert!(panicked.await.unwrap_err().is_panic());
        assert_eq!(
            TcpStream::connect(("127.0.0.1", port))
                .await
                .unwrap_err()
                .kind(),
            ErrorKind::ConnectionRefused
        );
    }

    #[tokio::test]
    async fn a_killed_server_refuses_and_comes_back_empty_on_the_same_port() {
        let mut server = RedisServer::start().await;
        let (port, pid) = (server.port(), server.pid());
        let () = server.connection().await.set("key", "value").await.unwrap();
        server.kill();
        assert_eq!(
            TcpStream::connect(("127.0.0.1", port))
                .await
                .unwrap_err()
                .kind(),
            ErrorKind::ConnectionRefused
        );
        server.kill();
        server.restart().await;
        assert_eq!(server.port(), port);
        assert_ne!(server.pid(), pid);
        let value: Option<String> = server.connection().await.get("key").await.unwrap();
        assert_eq!(value, None);
    }

    #[tokio::test]
    async fn an_appendonly_server_keeps_acknowledged_writes_through_a_kill() {
        let mut server = RedisServer::builder().appendonly().start().await;
        let mut connection = server.connection().await;
        for _ in 0..500 {
            let _: i64 = connection.incr("counter", 1).await.unwrap();
        }
        server.kill();
        server.restart().await;
        let counter: i64 = server.connection().await.get("counter").await.unwrap();
        assert_eq!(counter, 500);
    }

    #[tokio::test]
    async fn a_server_can_be_met_while_it_is_loading() {
        // 50 ms per key keep it busy for seconds, and after each 1024 bytes it answers others.
        let mut server = RedisServer::builder()
            .arg("--key-load-delay", "50000")
            .arg("--loading-process-events-interval-bytes", "1024")
            .arg("--rdbcompression", "no")
            .start()
            .await;
        let mut connection = server.connection().await;
        for key in 0..200 {
            let () = connection.set(key, "x".repeat(2_000)).await.unwrap();
        }
        let () = redis::cmd("SAVE")
            .query_async(&mut connection)
            .await
            .unwrap();
        server.restart_while_loading().await;
        let reply = exchange(&mut connect(server.port()).await, b"GET 1\r\n", 8).await;
        assert_eq!(reply, b"-LOADING");
        server.kill();
    }

    #[tokio::test]
    async fn a_stopped_server_keeps_its_sockets_and_answers_when_resumed() {
        let server = RedisServer::start().await;
        let mut stream = connect(server.port()).await;
        server.stop();
        stream.write_all(PING).await.unwrap();
        assert_silent(&mut stream).await;
        server.resume();
        assert_eq!(read(&mut stream, PONG.len()).await, PONG);
    }

    #[tokio::test]
    async fn a_stopped_server_can_be_killed() {
        let mut server = RedisServer::start().await;
        server.stop();
        server.kill();
        assert!(
            TcpStream::connect(("127.0.0.1", server.port()))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn a_password_is_demanded_and_is_in_the_url() {
        let server = RedisServer::builder().password("p@ss/word").start().await;
        let reply = exchange(&mut connect(server.port()).await, b"GET key\r\n", 7).await;
        assert_eq!(reply, b"-NOAUTH");
        let mut connection = redis_rs(&server.url()).await;
        let () = connection.set("key", "value").await.unwrap();
        let value: String = server.connection().await.get("key").await.unwrap();
        assert_eq!(value, "value");
    }

    #[tokio::test]
    async fn a_user_has_the_rights_of_its_rules() {
        let server = RedisServer::builder()
            .user_acl("reader on >secret ~* +@read")
            .start()
            .await;
        let url = format!("redis://reader:secret@{}", server.address());
        let mut connection = redis_rs(&url).await;
        let _: Option<String> = connection.get("key").await.unwrap();
        let refused = connection
            .set::<_, _, ()>("key", "value")
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Some("NOPERM"));
    }

    #[tokio::test]
    async fn a_unix_socket_is_there_when_asked_for() {
        assert_eq!(RedisServer::start().await.socket_path(), None);
        let server = RedisServer::builder().unix_socket().start().await;
        let mut stream = UnixStream::connect(server.socket_path().unwrap())
            .await
            .unwrap();
        stream.write_all(PING).await.unwrap();
        let mut reply = [0; PONG.len()];
        stream.read_exact(&mut reply).await.unwrap();
        assert_eq!(reply, PONG);
    }

    #[tokio::test]
    async fn arguments_arrive() {
        let server = RedisServer::builder()
            .arg("--maxclients", "4")
            .start()
            .await;
        let mut connection = server.connection().await;
        let settings: Vec<String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("maxclients")
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(settings, ["maxclients", "4"]);
    }

    #[tokio::test]
    async fn cluster_mode_is_on_when_asked_for() {
        let server = RedisServer::builder().cluster_enabled().start().await;
        assert_eq!(info(&server, "cluster_enabled").await, "1");
    }

    #[tokio::test]
    async fn a_replica_has_its_masters_data_and_refuses_writes() {
        let master = RedisServer::builder().password("secret").start().await;
        let () = master.connection().await.set("key", "value").await.unwrap();
        let replica = RedisServer::builder().replica_of(&master).start().await;
        let mut connection = replica.connection().await;
        let value: String = connection.get("key").await.unwrap();
        assert_eq!(value, "value");
        let refused = connection
            .set::<_, _, ()>("key", "other")
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Some("READONLY"));
    }

    async fn info(server: &RedisServer, field: &str) -> String {
        let info: redis::InfoDict = redis::cmd("INFO")
            .query_async(&mut server.connection().await)
            .await
            .unwrap();
        info.get(field).unwrap()
    }
}

mod certificates {
    use std::path::Path;
    use std::sync::Arc;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio_rustls::TlsConnector;

    use super::*;
    use keyway_testing::Certificates;

    #[tokio::test]
    async fn a_tls_server_is_trusted_by_its_authority_and_by_no_other() {
        let certificates = Certificates::generate();
        let server = RedisServer::builder().tls(&certificates).start().await;
        assert!(server.url().starts_with("rediss://"));
        for host in ["127.0.0.1", "localhost"] {
            ping_over_tls(&server, host, &certificates.ca_file(), None)
                .await
                .unwrap();
        }
        let untrusted = ping_over_tls(
            &server,
            "127.0.0.1",
            &certificates.unrelated_ca_file(),
            None,
        )
        .await;
        assert!(untrusted.unwrap_err().to_string().contains("UnknownIssuer"));
        // The fixture's own way in needs no TLS.
        let () = server.connection().await.set("key", "value").await.unwrap();
    }

    #[tokio::test]
    async fn a_certificate_for_another_host_is_not_accepted() {
        let certificates = Certificates::for_hosts(&["elsewhere.example"]);
        let server = RedisServer::builder().tls(&certificates).start().await;
        ping_over_tls(&server, "elsewhere.example", &certificates.ca_file(), None)
            .await
            .unwrap();
        let wrong_host = ping_over_tls(&server, "127.0.0.1", &certificates.ca_file(), None).await;
        assert!(
            wrong_host
                .unwrap_err()
                .to_string()
                .contains("not valid for name")
        );
    }

    #[tokio::test]
    async fn a_client_certificate_is_demanded_when_required() {
        let certificates = Certificates::generate();
        let server = RedisServer::builder()
            .tls(&certificates)
            .client_certificate_required()
            .start()
            .await;
        ping_over_tls(
            &server,
            "127.0.0.1",
            &certificates.ca_file(),
            Some(&certificates),
        )
        .await
        .unwrap();
        ping_over_tls(&server, "127.0.0.1", &certificates.ca_file(), None)
            .await
            .unwrap_err();
    }

    #[tokio::test]
    async fn a_tls_server_survives_its_test_dropping_the_certificates() {
        let certificates = Certificates::generate();
        let mut server = RedisServer::builder().tls(&certificates).start().await;
        drop(certificates);
        server.restart().await;
    }

    async fn ping_over_tls(
        server: &RedisServer,
        host: &str,
        ca_file: &Path,
        identity: Option<&Certificates>,
    ) -> std::io::Result<()> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(ca_file).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = config.with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(certificates) => {
                let certificate =
                    CertificateDer::from_pem_file(certificates.client_certificate_file()).unwrap();
                let key = PrivateKeyDer::from_pem_file(certificates.client_key_file()).unwrap();
                config
                    .with_client_auth_cert(vec![certificate], key)
                    .unwrap()
            }
        };
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let mut stream = TlsConnector::from(Arc::new(config))
            .connect(name, connect(server.port()).await)
            .await?;
        stream.write_all(PING).await?;
        let mut reply = [0; PONG.len()];
        stream.read_exact(&mut reply).await?;
        assert_eq!(reply, PONG);
        Ok(())
    }
}

mod faults {
    use super::*;

    #[tokio::test]
    async fn a_proxy_without_faults_passes_and_counts() {
        let (_server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        assert_eq!(exchange(&mut stream, PING, PONG.len()).await, PONG);
        assert_eq!((proxy.connections(), proxy.accepted()), (1, 1));
        assert_eq!(
            (proxy.bytes_to_server(), proxy.bytes_to_client()),
            (PING.len() as u64, PONG.len() as u64)
        );
        drop(stream);
        eventually("the connection is gone", SOON, async || {
            proxy.connections() == 0
        })
        .await;
    }

    #[tokio::test]
    async fn a_large_value_passes_unchanged() {
        let (server, proxy) = proxied_server().await;
        let value: Vec<u8> = (0..8_000_000_u32).map(|i| (i % 251) as u8).collect();
        let () = server.connection().await.set("key", &value).await.unwrap();
        let mut stream = connect(proxy.port()).await;
        let head = b"$8000000\r\n";
        let reply = exchange(&mut stream, b"GET key\r\n", head.len() + value.len() + 2).await;
        assert!(reply[head.len()..].starts_with(&value));
    }

    #[tokio::test]
    async fn a_cut_resets_every_connection_and_only_those() {
        let (_server, proxy) = proxied_server().await;
        let mut streams = Vec::new();
        for _ in 0..5 {
            let mut stream = connect(proxy.port()).await;
            exchange(&mut stream, PING, PONG.len()).await;
            streams.push(stream);
        }
        proxy.cut_all();
        assert_eq!(proxy.connections(), 0);
        for mut stream in streams {
            assert_eq!(end_of(&mut stream).await, Err(ErrorKind::ConnectionReset));
        }
        assert_eq!(
            exchange(&mut connect(proxy.port()).await, PING, PONG.len()).await,
            PONG
        );
    }

    #[tokio::test]
    async fn a_cut_by_fin_ends_the_stream_in_order() {
        let (_server, proxy) = proxied_server().await;
        proxy.cut_by(Cut::Fin);
        let mut stream = connect(proxy.port()).await;
        exchange(&mut stream, PING, PONG.len()).await;
        proxy.cut_all();
        assert_eq!(end_of(&mut stream).await, Ok(0));
    }

    #[tokio::test]
    async fn a_refused_client_is_reset_at_once() {
        let (_server, proxy) = proxied_server().await;
        let mut before = connect(proxy.port()).await;
        exchange(&mut before, PING, PONG.len()).await;
        proxy.refuse(true);
        let refused = end_of_new(proxy.port()).await;
        assert_eq!(refused, Err(ErrorKind::ConnectionReset));
        assert_eq!(exchange(&mut before, PING, PONG.len()).await, PONG);
        proxy.refuse(false);
        assert_eq!(
            exchange(&mut connect(proxy.port()).await, PING, PONG.len()).await,
            PONG
        );
        assert_eq!(proxy.accepted(), 3);
    }

    #[tokio::test]
    async fn a_stall_passes_nothing_and_ends_nothing_until_it_is_over() {
        let (mut server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        exchange(&mut stream, PING, PONG.len()).await;
        let passed = proxy.bytes_to_server();
        proxy.stall(true);
        stream.write_all(PING).await.unwrap();
        assert_silent(&mut stream).await;
        assert_eq!(proxy.bytes_to_server(), passed);
        // Half-open: the server is dead, and the client is not told.
        server.kill();
        assert_silent(&mut stream).await;
        assert_eq!(proxy.connections(), 1);
        proxy.stall(false);
        end_of(&mut stream).await.ok();
        drop(stream);
        eventually("the dead connection is gone", SOON, async || {
            proxy.connections() == 0
        })
        .await;
    }

    #[tokio::test]
    async fn a_stalled_connection_can_be_cut() {
        let (_server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        exchange(&mut stream, PING, PONG.len()).await;
        proxy.stall(true);
        stream.write_all(PING).await.unwrap();
        proxy.cut_all();
        assert_eq!(end_of(&mut stream).await, Err(ErrorKind::ConnectionReset));
    }

    #[tokio::test]
    async fn a_stall_towards_the_server_delays_execution() {
        let (server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        proxy.stall_to_server(true);
        stream.write_all(b"INCR counter\r\n").await.unwrap();
        assert_silent(&mut stream).await;
        assert_eq!(counter(&server).await, 0);
        proxy.stall_to_server(false);
        assert_eq!(read(&mut stream, 4).await, b":1\r\n");
    }

    #[tokio::test]
    async fn a_stall_towards_the_client_executes_but_does_not_reply() {
        let (server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        proxy.stall_to_client(true);
        stream.write_all(b"INCR counter\r\n").await.unwrap();
        eventually("the command is executed", SOON, async || {
            counter(&server).await == 1
        })
        .await;
        assert_silent(&mut stream).await;
        proxy.stall_to_client(false);
        assert_eq!(read(&mut stream, 4).await, b":1\r\n");
    }

    #[tokio::test]
    async fn a_stranded_connection_passes_nothing_any_more_and_the_next_one_works() {
        let (server, proxy) = proxied_server().await;
        let mut stranded = connect(proxy.port()).await;
        assert_eq!(exchange(&mut stranded, PING, PONG.len()).await, PONG);
        proxy.strand();
        stranded.write_all(b"INCR counter\r\n").await.unwrap();
        assert_silent(&mut stranded).await;
        let mut next = connect(proxy.port()).await;
        assert_eq!(exchange(&mut next, PING, PONG.len()).await, PONG);
        assert_silent(&mut stranded).await;
        assert_eq!(counter(&server).await, 0);
        proxy.cut_all();
        assert_eq!(proxy.connections(), 0);
    }

    #[tokio::test]
    async fn split_replies_arrive_in_many_reads() {
        let (server, proxy) = proxied_server().await;
        let () = server
            .connection()
            .await
            .set("key", "v".repeat(2_000))
            .await
            .unwrap();
        let mut stream = connect(proxy.port()).await;
        proxy.split_every_byte(true);
        let expected = "$2000\r\n".len() + 2_000 + 2;
        // The kernel joins what the reader is too slow for. On a loaded machine that may be much, so it has many tries.
        eventually("a reply in many reads", SOON, async || {
            stream.write_all(b"GET key\r\n").await.unwrap();
            let (mut received, mut reads, mut single) = (0, 0, 0);
            while received < expected {
                let count = stream.read(&mut [0; 4096]).await.unwrap();
                assert_ne!(count, 0);
                received += count;
                reads += 1;
                single += usize::from(count == 1);
            }
            reads > 100 && single > 50
        })
        .await;
    }

    #[tokio::test]
    async fn a_delay_makes_each_exchange_later_in_both_directions() {
        let (_server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        proxy.delay(Duration::from_millis(60));
        let begin = Instant::now();
        exchange(&mut stream, PING, PONG.len()).await;
        assert!(begin.elapsed() >= Duration::from_millis(120));
    }

    #[tokio::test]
    async fn a_drip_keeps_to_its_rate() {
        let (server, proxy) = proxied_server().await;
        let () = server
            .connection()
            .await
            .set("key", "v".repeat(3_000))
            .await
            .unwrap();
        let mut stream = connect(proxy.port()).await;
        proxy.bytes_per_second(Some(10_000));
        let begin = Instant::now();
        exchange(&mut stream, b"GET key\r\n", 3_000).await;
        assert!(
            begin.elapsed() >= Duration::from_millis(250),
            "{:?}",
            begin.elapsed()
        );
        proxy.bytes_per_second(None);
        read(&mut stream, "$3000\r\n\r\n".len()).await;
        assert_eq!(exchange(&mut stream, PING, PONG.len()).await, PONG);
    }

    #[tokio::test]
    async fn a_cut_before_a_write_keeps_it_from_the_server() {
        let (server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        exchange(&mut stream, PING, PONG.len()).await;
        proxy.cut_after_bytes_to_server(0);
        stream.write_all(b"INCR counter\r\n").await.unwrap();
        assert_eq!(end_of(&mut stream).await, Err(ErrorKind::ConnectionReset));
        assert_eq!(proxy.bytes_to_server(), PING.len() as u64);
        assert_eq!(counter(&server).await, 0);
        assert_eq!(
            exchange(&mut connect(proxy.port()).await, b"INCR counter\r\n", 4).await,
            b":1\r\n"
        );
    }

    #[tokio::test]
    async fn a_cut_during_a_write_executes_what_was_whole() {
        let (server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        proxy.cut_after_bytes_to_server("INCR counter\r\nINCR cou".len() as u64);
        stream
            .write_all(b"INCR counter\r\nINCR counter\r\n")
            .await
            .unwrap();
        end_of(&mut stream).await.ok();
        eventually("the first is executed", SOON, async || {
            counter(&server).await == 1
        })
        .await;
        eventually("the server sees the end", SOON, async || {
            clients(&server).await == 1
        })
        .await;
        assert_eq!(counter(&server).await, 1);
    }

    #[tokio::test]
    async fn a_cut_after_a_write_executes_it_without_a_reply() {
        let (server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        let request = b"INCR counter\r\n";
        proxy.cut_after_bytes_to_server(request.len() as u64);
        stream.write_all(request).await.unwrap();
        assert_eq!(end_of(&mut stream).await, Err(ErrorKind::ConnectionReset));
        assert_eq!(proxy.bytes_to_client(), 0);
        eventually("the command is executed", SOON, async || {
            counter(&server).await == 1
        })
        .await;
    }

    #[tokio::test]
    async fn a_cut_during_a_reply_passes_the_bytes_before_it() {
        let (_server, proxy) = proxied_server().await;
        proxy.cut_by(Cut::Fin);
        let mut stream = connect(proxy.port()).await;
        proxy.cut_after_bytes_to_client(3);
        stream.write_all(PING).await.unwrap();
        let mut received = Vec::new();
        timeout(SOON, stream.read_to_end(&mut received))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(received, &PONG[..3]);
    }

    #[tokio::test]
    async fn a_dead_server_behind_the_proxy_ends_the_connection_and_a_restarted_one_serves_again() {
        let (mut server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        exchange(&mut stream, PING, PONG.len()).await;
        server.kill();
        end_of(&mut stream).await.ok();
        assert_eq!(
            end_of_new(proxy.port()).await,
            Err(ErrorKind::ConnectionReset)
        );
        server.restart().await;
        assert_eq!(
            exchange(&mut connect(proxy.port()).await, PING, PONG.len()).await,
            PONG
        );
    }

    #[tokio::test]
    async fn new_connections_follow_the_proxy_to_another_server() {
        let (server, proxy) = proxied_server().await;
        let other = RedisServer::start().await;
        let mut stream = connect(proxy.port()).await;
        exchange(&mut stream, b"INCR counter\r\n", 4).await;
        proxy.forward_to(other.port());
        exchange(&mut stream, b"INCR counter\r\n", 4).await;
        exchange(&mut connect(proxy.port()).await, b"INCR counter\r\n", 4).await;
        assert_eq!((counter(&server).await, counter(&other).await), (2, 1));
    }

    #[tokio::test]
    async fn a_dropped_proxy_closes_its_connections_and_its_port() {
        let (_server, proxy) = proxied_server().await;
        let mut stream = connect(proxy.port()).await;
        exchange(&mut stream, PING, PONG.len()).await;
        let address = proxy.address();
        drop(proxy);
        end_of(&mut stream).await.ok();
        assert_eq!(
            TcpStream::connect(address).await.unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    }

    #[tokio::test]
    async fn redis_rs_works_through_the_proxy() {
        let (_server, proxy) = proxied_server().await;
        let mut connection = redis_rs(&proxy.url()).await;
        let () = connection.set("key", "value").await.unwrap();
        proxy.cut_all();
        assert!(
            connection
                .get::<_, String>("key")
                .await
                .unwrap_err()
                .is_unrecoverable_error()
        );
    }

    async fn proxied_server() -> (RedisServer, FaultProxy) {
        let server = RedisServer::start().await;
        let proxy = FaultProxy::start(server.port()).await;
        (server, proxy)
    }

    async fn counter(server: &RedisServer) -> i64 {
        let counter: Option<i64> = server.connection().await.get("counter").await.unwrap();
        counter.unwrap_or(0)
    }

    /// The one that asks included.
    async fn clients(server: &RedisServer) -> usize {
        let mut connection = server.connection().await;
        let list: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(&mut connection)
            .await
            .unwrap();
        list.lines().count()
    }
}

mod waiting {
    use super::*;

    #[tokio::test]
    async fn eventually_returns_when_the_condition_holds() {
        let mut asked = 0;
        eventually("asked three times", SOON, async || {
            asked += 1;
            asked == 3
        })
        .await;
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "not within 20ms: pigs fly")]
    async fn eventually_panics_at_the_deadline() {
        eventually("pigs fly", Duration::from_millis(20), async || false).await;
    }

    #[tokio::test]
    #[should_panic(expected = "not within 20ms: an answer comes")]
    async fn eventually_panics_at_the_deadline_when_the_condition_hangs() {
        eventually(
            "an answer comes",
            Duration::from_millis(20),
            std::future::pending,
        )
        .await;
    }
}

/// redis-rs by itself waits for 500 ms, which is too short on a busy machine.
async fn redis_rs(url: &str) -> redis::aio::MultiplexedConnection {
    let patience = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(SOON))
        .set_response_timeout(Some(SOON));
    redis::Client::open(url)
        .unwrap()
        .get_multiplexed_async_connection_with_config(&patience)
        .await
        .unwrap()
}

async fn connect(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).await.unwrap()
}

async fn exchange(stream: &mut TcpStream, request: &[u8], reply_bytes: usize) -> Vec<u8> {
    stream.write_all(request).await.unwrap();
    read(stream, reply_bytes).await
}

async fn read(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut reply = vec![0; bytes];
    timeout(SOON, stream.read_exact(&mut reply))
        .await
        .expect("a reply in time")
        .unwrap();
    reply
}

/// How the stream ends: `Ok(0)` for a FIN.
async fn end_of(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    let end = timeout(SOON, stream.read(&mut [0; 16]))
        .await
        .expect("the stream ends");
    end.map_err(|error| error.kind())
}

/// How a new connection ends; a reset may come before the client knows that it is connected.
async fn end_of_new(port: u16) -> Result<usize, ErrorKind> {
    match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(mut stream) => end_of(&mut stream).await,
        Err(error) => Err(error.kind()),
    }
}

async fn assert_silent(stream: &mut TcpStream) {
    let read = timeout(SILENCE, stream.read(&mut [0; 16])).await;
    assert!(
        read.is_err(),
        "expected neither bytes nor an end, got {read:?}"
    );
}
