//! Addresses of servers, as other programs write them.

use super::error::Problem;
use crate::config::{Address, Endpoint};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::path::{Path, PathBuf};

/// A host, which may be an IPv6 address with or without brackets, and its port.
pub(super) fn tcp(host: &str, port: u16) -> Result<Address, Problem> {
    let bare = host
        .strip_prefix('[')
        .and_then(|inside| inside.strip_suffix(']'))
        .unwrap_or(host);
    let refused = || {
        Problem::new("the host is not a name that a host can have")
            .read(format!("{host:?}"))
            .expected("a host name or an IP address")
            .help("check the host")
    };
    if bare.contains(':') {
        let address: std::net::Ipv6Addr = bare.parse().map_err(|_| refused())?;
        return Ok(Address::Tcp {
            host: address.to_string(),
            port,
        });
    }
    // What else may stand in a URL would be read as something other than a host there.
    let is_plain = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if host.is_empty() || !is_plain {
        return Err(refused());
    }
    let endpoint = Endpoint::from_url(&format!("redis://{host}:{port}")).map_err(|_| refused())?;
    Ok(endpoint.address)
}

/// The path of a socket.
pub(super) fn unix(path: &str) -> Result<Address, Problem> {
    let address = Address::Unix(PathBuf::from(path));
    let refused = || {
        Problem::new("the path is not that of a unix socket")
            .read(format!("{path:?}"))
            .expected("a path from /, of a file")
            .help("check the path")
    };
    match Endpoint::from_url(&url(&address, false)) {
        Ok(endpoint) if path.starts_with('/') && endpoint.address == address => Ok(address),
        _ => Err(refused()),
    }
}

/// 1 to 65535.
pub(super) fn port(text: &str) -> Result<u16, Problem> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port @ 1..) if is_number => Ok(port),
        _ => Err(Problem::new("the port is not a number from 1 to 65535")
            .read(format!("{text:?}"))
            .expected("a port, such as 6379")
            .help("check the port")),
    }
}

/// `host:port`, `[::1]:6379`, `host`, `/path`.
pub(super) fn read(text: &str) -> Result<Address, Problem> {
    if text.starts_with('/') {
        return unix(text);
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(Problem::new("an address with a scheme")
            .read(format!("{scheme:?}"))
            .expected("host:port, host, or the path of a socket")
            .help("leave the scheme out; a user, a password or TLS go into the file"));
    }
    match text.rsplit_once(':') {
        Some((host, number)) if !text.ends_with(']') => tcp(host, port(number)?),
        _ => tcp(text, PORT_DEFAULT),
    }
}

pub(super) const PORT_DEFAULT: u16 = 6379;

/// What stays as it is in a path: letters, digits and these.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

pub(super) fn url(address: &Address, tls: bool) -> String {
    match address {
        Address::Tcp { .. } => format!("{}://{address}", if tls { "rediss" } else { "redis" }),
        Address::Unix(path) => format!(
            "unix://{}",
            utf8_percent_encode(&path.to_string_lossy(), KEPT)
        ),
    }
}

/// A name for a server that has none: `10.0.0.1-6379`, or what its socket's file is called.
pub(super) fn server_name(address: &Address, database: u32) -> String {
    let name = match address {
        Address::Tcp { host, port } => format!("{host}-{port}"),
        Address::Unix(path) => {
            let file = path.file_name().map(Path::new);
            file.map_or_else(String::new, |file| file.display().to_string())
        }
    };
    match database {
        0 => name,
        _ => format!("{name}-{database}"),
    }
}
