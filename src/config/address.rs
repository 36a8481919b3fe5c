//! Where a server is and how to be let in.

use super::secret::Password;
use std::{fmt, path::PathBuf};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A host name or an IP address, resolved anew at each dial.
    Tcp {
        /// Name or address; IPv6 without brackets.
        host: String,
        /// 1 to 65535; URLs default to 6379.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => path.display().fmt(f),
        }
    }
}

/// One Redis endpoint: address, database and credentials. Two equal endpoints may share connections.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoint {
    /// Where the server listens.
    pub address: Address,
    /// The database to SELECT; default 0.
    pub database: u32,
    /// The ACL user; without one, a password is for the user `default`.
    pub username: Option<String>,
    /// The password; without one, no AUTH is sent.
    pub password: Option<Password>,
    /// TLS, if the URL says `rediss://`.
    pub tls: Option<Tls>,
}

impl Endpoint {
    /// An endpoint without credentials or TLS, database 0.
    pub fn new(address: Address) -> Endpoint {
        Endpoint {
            address,
            database: 0,
            username: None,
            password: None,
            tls: None,
        }
    }
}

/// TLS towards one server, by rustls (1.2 and 1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// PEM file of the authorities to trust. Default: those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate chain, for servers that ask for one. Needs `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    /// PEM file of our private key. Needs `client_cert_file`.
    pub client_key_file: Option<PathBuf>,
    /// Name that the server's certificate must have. Default: the host of the URL.
    pub server_name: Option<String>,
    /// Takes any certificate, so anybody between us and the server can read and change everything. Default false. In a file
    /// it is called `danger_accept_invalid_certificates`.
    pub accept_invalid_certificates: bool,
}
