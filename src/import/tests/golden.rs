//! Keys that the originals have placed, in `tests/data/<origin>/`: the imported file places each where the original did.

use super::*;

/// The rows of `tests/data/<origin>/nodes.csv`, by file.
fn nodes(origin: &str) -> Vec<(String, Vec<Vec<String>>)> {
    let text = text_of(&format!("{origin}/nodes.csv"));
    let mut files: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    for line in text.lines().skip(1) {
        // Only the last column has commas, if any.
        let row: Vec<String> = line.split(',').map(str::to_owned).collect();
        match files.last_mut() {
            Some((file, rows)) if *file == row[0] => rows.push(row),
            _ => files.push((row[0].clone(), vec![row])),
        }
    }
    files
}

/// Every key of the file is on the node that its row says, and that node's server is the one at the address.
fn check(file: &str, cluster: &Imported, words: &[&str], addresses: &[String]) {
    let config = config(cluster);
    let text = text_of(file);
    let mut rows = 0;
    for line in text.lines().skip(1) {
        let (key, expected) = line.split_once(',').unwrap();
        let key: Vec<u8> = percent_encoding::percent_decode_str(key).collect();
        let node = config.placement().node(&key);
        assert_eq!(words[node.index()], expected, "{file}: {line}");
        let server = config.topology().server_of(node);
        let endpoint = &config.servers()[server.index()].endpoint;
        let address = match (&endpoint.address, endpoint.database) {
            (address @ Address::Unix(_), _) | (address, 0) => address.to_string(),
            (address, database) => format!("{address}/{database}"),
        };
        assert_eq!(address, addresses[node.index()], "{file}: {line}");
        rows += 1;
    }
    assert_eq!(rows, 2_000, "{file}");
}

fn words(rows: &[Vec<String>]) -> Vec<&str> {
    rows.iter().map(|row| row[1].as_str()).collect()
}

#[test]
fn a_nutcracker_yml_places_every_key_as_nutcracker_does() {
    let files = nodes("twemproxy");
    assert_eq!(files.len(), 26);
    for (file, rows) in files {
        let [.., distribution, hash, hash_tag] = &rows[0][..] else {
            panic!("{file}");
        };
        let mut yml = format!(
            "golden:\n  listen: 127.0.0.1:7420\n  redis: true\n  distribution: {distribution}\n"
        );
        if hash != "(default)" {
            yml += &format!("  hash: {hash}\n");
        }
        if !hash_tag.is_empty() {
            yml += &format!("  hash_tag: \"{hash_tag}\"\n");
        }
        yml += "  servers:\n";
        for row in &rows {
            let (server, weight, name) = (&row[2], &row[3], &row[4]);
            yml += format!("   - {server}:{weight} {name}").trim_end();
            yml += "\n";
        }
        let addresses: Vec<_> = rows.iter().map(|row| row[2].replace(":0", ":")).collect();
        let import = import_as(Format::Nutcracker, &yml);
        check(
            &format!("twemproxy/{file}"),
            &import.clusters[0],
            &words(&rows),
            &addresses,
        );
    }
}

/// The file that the proxy itself was run with.
#[test]
fn the_nutcracker_yml_that_placed_the_keys_places_them_again() {
    let mut checked = 0;
    let files = nodes("twemproxy");
    for yml in ["nutcracker.yml", "nutcracker-ketama-25.yml"] {
        let import = import_as(Format::Nutcracker, &text_of(&format!("twemproxy/{yml}")));
        assert_eq!(import.skipped, []);
        for cluster in &import.clusters {
            let file = format!("{}.csv", cluster.origin);
            let Some((_, rows)) = files.iter().find(|(name, _)| *name == file) else {
                panic!("no golden file for the pool {}", cluster.origin);
            };
            let addresses: Vec<_> = rows.iter().map(|row| row[2].clone()).collect();
            check(
                &format!("twemproxy/{file}"),
                cluster,
                &words(rows),
                &addresses,
            );
            checked += 1;
        }
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn settings_of_nydus_place_every_key_as_nydus_does() {
    let mut checked = 0;
    for (file, rows) in nodes("nydus") {
        if rows.iter().any(|row| row[3] != "up") {
            // A host that is down is taken out of nydus's ring, which no settings say.
            continue;
        }
        let router = match file.starts_with("ketama") {
            true => "ConsistentHashingRouter",
            false => "PartitionRouter",
        };
        let mut python = format!(
            "CLUSTER = {{\n    'backend': 'nydus.db.backends.redis.Redis',\n    'router': 'nydus.db.routers.keyvalue.{router}',\n    'hosts': {{\n"
        );
        let mut addresses = Vec::new();
        for row in &rows {
            let options = match row[2].strip_prefix("redis://") {
                Some(url) => {
                    let (address, db) = url.split_once('/').unwrap();
                    let (host, port) = address.split_once(':').unwrap();
                    addresses.push(match db {
                        "0" => address.to_owned(),
                        _ => url.to_owned(),
                    });
                    format!("'host': '{host}', 'port': {port}, 'db': {db}")
                }
                // Of nydus's own tests.
                None => {
                    addresses.push(format!("10.0.0.{}:6379", row[1]));
                    format!("'host': '10.0.0.{}', 'identifier': '{}'", row[1], row[2])
                }
            };
            python += &format!("        {}: {{{options}}},\n", row[1]);
        }
        python += "    },\n}\n";
        let import = import_as(Format::Nydus, &python);
        check(
            &format!("nydus/{file}"),
            &import.clusters[0],
            &words(&rows),
            &addresses,
        );
        checked += 1;
    }
    assert_eq!(checked, 6);
}

#[test]
fn arguments_of_rb_place_every_key_as_rb_does() {
    let files = nodes("rb");
    assert_eq!(files.len(), 4);
    for (file, rows) in files {
        let router = match file.starts_with("ketama") {
            true => "router_cls=rb.ConsistentHashingRouter, ",
            false => "",
        };
        let mut python = format!("cluster = rb.Cluster({router}hosts={{\n");
        let mut addresses = Vec::new();
        for row in &rows {
            let label = row[2..].join(",");
            let part = |key: &str| -> Option<&str> {
                let (_, rest) = label.split_once(&format!(" {key}="))?;
                Some(rest.split([' ', '>']).next().unwrap_or_default())
            };
            let (host, port, db) = (
                part("host").unwrap_or("'127.0.0.1'"),
                part("port").unwrap_or("6379"),
                part("db").unwrap_or(&row[1]),
            );
            let mut options = format!("'host': {host}, 'port': {port}, 'db': {db}");
            for key in ["password", "ssl", "unix_socket_path"] {
                if let Some(value) = part(key).filter(|value| !matches!(*value, "None" | "False")) {
                    options += &format!(", '{key}': {value}");
                }
            }
            python += &format!("    {}: {{{options}}},\n", row[1]);
            let address = format!("{}:{port}", host.trim_matches('\''));
            addresses.push(match db {
                "0" => address,
                _ => format!("{address}/{db}"),
            });
        }
        python += "})\n";
        let import = import_as(Format::Rb, &python);
        check(
            &format!("rb/{file}"),
            &import.clusters[0],
            &words(&rows),
            &addresses,
        );
    }
}

#[test]
fn the_addresses_of_a_ring_place_every_key_as_go_redis_does() {
    let files = nodes("go-redis");
    assert_eq!(files.len(), 2);
    for (file, rows) in files {
        let shards: Vec<_> = rows
            .iter()
            .map(|row| format!("  \"{}\": \"{}\"", row[1], row[2]))
            .collect();
        let map = format!("{{\n{}\n}}", shards.join(",\n"));
        let addresses: Vec<_> = rows.iter().map(|row| row[2].clone()).collect();
        for json in [map.clone(), format!("{{\"Addrs\": {map}, \"DB\": 0}}")] {
            let import = import_as(Format::GoRedis, &json);
            check(
                &format!("go-redis/{file}"),
                &import.clusters[0],
                &words(&rows),
                &addresses,
            );
        }
    }
}

#[test]
fn a_list_of_addresses_places_keys_by_the_algorithm_that_is_said() {
    for (file, algorithm) in [
        ("libketama/ketama-weights-8.csv", "libketama"),
        ("libmemcached/weighted-8.csv", "libmemcached-weighted"),
        ("twemproxy/ketama-weights-1-2-5.csv", "twemproxy-ketama"),
    ] {
        let (origin, name) = file.split_once('/').unwrap();
        let rows: Vec<_> = nodes(origin)
            .into_iter()
            .find(|(file, _)| file == name)
            .unwrap()
            .1;
        let server = |row: &[String]| match origin {
            "libmemcached" => (format!("{}:{}", row[2], row[3]), row[4].clone()),
            _ => (row[2].clone(), row[3].clone()),
        };
        let servers: Vec<_> = rows.iter().map(|row| server(row)).collect();
        let list: String = servers
            .iter()
            .map(|(address, weight)| format!("{address} {weight}\n"))
            .collect();
        let options = Options {
            algorithm: Some(algorithm.parse().unwrap()),
            ..Options::default()
        };
        let import = read(list.as_bytes(), "list".as_ref(), &options)
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        let addresses: Vec<_> = servers.into_iter().map(|(address, _)| address).collect();
        check(file, &import.clusters[0], &words(&rows), &addresses);
    }
}
