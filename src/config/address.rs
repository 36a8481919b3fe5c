//! Where a server is and how to be let in.

use super::{ConfigError, Password, Secret, mask::mask_url, source::Problem};
use std::{fmt, ops::Range, path::PathBuf};

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

    /// Reads `redis://user:password@host:6379/0`, `rediss://...` (TLS) or `unix:///run/redis.sock?db=1&user=...&pass=...`
    /// (`redis+unix` is the same). User and password are percent-encoded.
    ///
    /// # Errors
    /// [`ConfigError`], which says what is wrong with the URL and does not show its password.
    pub fn from_url(url: &str) -> Result<Endpoint, ConfigError> {
        let parsed = parse_url(url).map_err(|problem| {
            problem
                .at_setting("url")
                .value(mask_url(url))
                .in_code("endpoint")
        })?;
        Ok(Endpoint {
            address: parsed.address,
            database: parsed.database.unwrap_or(0),
            username: parsed.username,
            password: parsed.password.map(Password::Inline),
            tls: parsed.tls.then(Tls::default),
        })
    }
}

impl std::str::FromStr for Endpoint {
    type Err = ConfigError;

    fn from_str(url: &str) -> Result<Endpoint, ConfigError> {
        Endpoint::from_url(url)
    }
}

/// What a URL says. `None` is what it leaves open.
#[derive(Debug)]
pub(super) struct ParsedUrl {
    pub(super) address: Address,
    pub(super) database: Option<u32>,
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) tls: bool,
}

/// Why a URL was refused. Holds no part of the URL but its scheme and the names of its parameters.
#[derive(Debug)]
pub(super) struct UrlProblem {
    what: String,
    expected: &'static str,
    help: String,
}

impl UrlProblem {
    pub(super) fn at_setting(self, path: impl Into<String>) -> Problem {
        Problem::new(path, self.what)
            .expected(self.expected)
            .help(self.help)
    }
}

const TCP_SHAPE: &str = "redis://[user:password@]host[:port][/database], or rediss:// for TLS";
const UNIX_SHAPE: &str = "unix:///path/of/socket, with ?db=, &user= and &pass= if needed";

/// The largest number of a database that the servers' `databases` setting allows.
pub(super) const DATABASE_MAX: u32 = i32::MAX as u32;

fn refuse<T>(
    expected: &'static str,
    what: impl Into<String>,
    help: impl Into<String>,
) -> Result<T, UrlProblem> {
    Err(UrlProblem {
        what: what.into(),
        expected,
        help: help.into(),
    })
}

pub(super) fn parse_url(url: &str) -> Result<ParsedUrl, UrlProblem> {
    let any = "redis://host:port, rediss://host:port or unix:///path";
    let Some((scheme, rest)) = url.split_once("://") else {
        return refuse(any, "the URL has no scheme", "put redis:// before the host");
    };
    if let Some(c) = rest.chars().find(|c| c.is_whitespace() || c.is_control()) {
        let name = if c == ' ' {
            "a space"
        } else {
            "a control character or white space"
        };
        return refuse(
            any,
            format!("the URL has {name} in it"),
            "remove it; in a password, a space is %20",
        );
    }
    match scheme {
        "redis" => parse_tcp(rest, false),
        "rediss" => parse_tcp(rest, true),
        "unix" | "redis+unix" => parse_unix(rest),
        "http" | "https" => refuse(
            any,
            format!("{scheme}:// is not a Redis URL"),
            "Redis does not speak HTTP; write redis://",
        ),
        "valkey" | "valkeys" | "tcp" | "tls" | "redis+tls" | "redis-sentinel" | "redis+cluster" => {
            refuse(
                any,
                format!("{scheme}:// is not supported"),
                "write redis://, or rediss:// for TLS",
            )
        }
        // A scheme that nobody knows may be a piece of a password.
        _ => refuse(
            any,
            "the URL's scheme is unknown",
            "write redis://, rediss:// for TLS, or unix:// for a socket",
        ),
    }
}

fn parse_tcp(rest: &str, tls: bool) -> Result<ParsedUrl, UrlProblem> {
    if rest.contains('#') {
        let help = match rest.ends_with("#insecure") {
            true => {
                "to take any certificate, set danger_accept_invalid_certificates = true in the server's tls table"
            }
            false => "remove it; in a password, # is %23",
        };
        return refuse(TCP_SHAPE, "the URL has a fragment (#)", help);
    }
    let (rest, query) = rest
        .split_once('?')
        .map_or((rest, None), |(rest, query)| (rest, Some(query)));
    if let Some(query) = query {
        if query.contains('@') {
            return refuse(
                TCP_SHAPE,
                "the URL has an @ after a ?",
                "in a password, ? is %3F",
            );
        }
        let name = query.split(['=', '&']).next().unwrap_or_default();
        let help = match name {
            "protocol" => "set protocol = \"resp3\" at the top of the file, for the whole cluster",
            "db" => "write the database as a path: redis://host:port/3",
            _ => "remove it; what it sets is a setting of the file, or not supported",
        };
        return refuse(TCP_SHAPE, "the URL has query parameters", help);
    }
    let (authority, path) = rest
        .split_once('/')
        .map_or((rest, None), |(authority, path)| (authority, Some(path)));
    if path.is_some_and(|path| path.contains('@')) {
        return refuse(
            TCP_SHAPE,
            "the URL has an @ after a /",
            "in a user name or password, / is %2F and @ is %40",
        );
    }
    let (userinfo, host_port) = authority
        .rsplit_once('@')
        .map_or((None, authority), |(user, host)| (Some(user), host));
    let (username, password) = userinfo.map_or(Ok((None, None)), parse_userinfo)?;
    let (host, port) = parse_host_port(host_port)?;
    let database = match path {
        None | Some("") => None,
        Some(path) => Some(parse_database(path, TCP_SHAPE)?),
    };
    Ok(ParsedUrl {
        address: Address::Tcp { host, port },
        database,
        username,
        password,
        tls,
    })
}

fn parse_userinfo(userinfo: &str) -> Result<(Option<String>, Option<Secret>), UrlProblem> {
    let (user, password) = userinfo
        .split_once(':')
        .map_or((userinfo, None), |(user, password)| (user, Some(password)));
    if userinfo.contains('@') {
        return refuse(
            TCP_SHAPE,
            "the URL has two @",
            "in a user name or password, @ is %40",
        );
    }
    let username = match user {
        "" => None,
        user => Some(percent_decode(user, TCP_SHAPE)?),
    };
    let password = password
        .map(|password| percent_decode(password, TCP_SHAPE))
        .transpose()?;
    if password.as_deref() == Some("") {
        return refuse(
            TCP_SHAPE,
            "the URL's password is empty",
            "remove the colon and the @ if the server has no password; if it comes from a variable, set it",
        );
    }
    Ok((username, password.map(Secret::new)))
}

fn parse_host_port(text: &str) -> Result<(String, u16), UrlProblem> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inside) => {
            let Some((host, after)) = inside.split_once(']') else {
                return refuse(
                    TCP_SHAPE,
                    "the URL has a [ without a ]",
                    "write an IPv6 address as [::1]",
                );
            };
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return refuse(
                    TCP_SHAPE,
                    "the URL's host is in [] but is no IPv6 address",
                    "write it as [::1], without a zone",
                );
            }
            match (after, after.strip_prefix(':')) {
                ("", _) => (host.to_owned(), None),
                (_, Some(port)) => (host.to_owned(), Some(port)),
                (_, None) => {
                    return refuse(
                        TCP_SHAPE,
                        "the URL has text after the ]",
                        "write [::1]:6379",
                    );
                }
            }
        }
        None if text.matches(':').count() > 1 => {
            return refuse(
                TCP_SHAPE,
                "the URL's host has more than one colon",
                "write an IPv6 address as [::1]:6379",
            );
        }
        None => {
            let (host, port) = text
                .split_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port)));
            if host.is_empty() {
                return refuse(
                    TCP_SHAPE,
                    "the URL has no host",
                    "name the host: redis://10.0.0.1:6379",
                );
            }
            match url::Host::parse(host) {
                Ok(url::Host::Ipv6(_)) | Err(_) => {
                    return refuse(
                        TCP_SHAPE,
                        "the URL's host is not a name that a host can have",
                        "check the host; in a password, / is %2F and @ is %40",
                    );
                }
                Ok(host) => (host.to_string(), port),
            }
        }
    };
    let port = match port {
        None => PORT_DEFAULT,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => {
                let help = format!(
                    "leave the port out for {PORT_DEFAULT}; if a password was meant, put an @ after it"
                );
                return refuse(
                    TCP_SHAPE,
                    "the URL's port is not a number from 1 to 65535",
                    help,
                );
            }
        },
    };
    Ok((host, port))
}

const PORT_DEFAULT: u16 = 6379;

fn parse_unix(rest: &str) -> Result<ParsedUrl, UrlProblem> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        return refuse(
            UNIX_SHAPE,
            "the URL's socket is not an absolute path",
            "write three slashes: unix:///run/redis.sock",
        );
    }
    if path.ends_with('/') {
        return refuse(
            UNIX_SHAPE,
            "the URL's socket is a directory",
            "name the socket in it: unix:///run/redis.sock",
        );
    }
    let mut parsed = ParsedUrl {
        address: Address::Unix(PathBuf::from(percent_decode(path, UNIX_SHAPE)?)),
        database: None,
        username: None,
        password: None,
        tls: false,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let twice = match name {
            "db" => parsed
                .database
                .replace(parse_database(value, UNIX_SHAPE)?)
                .is_some(),
            "user" => parsed
                .username
                .replace(percent_decode(value, UNIX_SHAPE)?)
                .is_some(),
            "pass" => parsed
                .password
                .replace(Secret::new(percent_decode(value, UNIX_SHAPE)?))
                .is_some(),
            _ => {
                let help = "remove it: only db, user and pass are known";
                return refuse(UNIX_SHAPE, "the URL has an unknown query parameter", help);
            }
        };
        if twice {
            return refuse(
                UNIX_SHAPE,
                format!("the URL has the query parameter {name} twice"),
                "remove one",
            );
        }
        if value.is_empty() {
            let help = "remove it, or set it; if it comes from a variable, set that";
            return refuse(
                UNIX_SHAPE,
                format!("the URL's query parameter {name} is empty"),
                help,
            );
        }
    }
    Ok(parsed)
}

fn parse_database(text: &str, shape: &'static str) -> Result<u32, UrlProblem> {
    match text.parse::<u32>() {
        Ok(database)
            if database <= DATABASE_MAX && text.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Ok(database)
        }
        _ => refuse(
            shape,
            "the URL's database is not a number",
            "write a number from 0, such as 3, or leave it out for 0",
        ),
    }
}

fn percent_decode(text: &str, shape: &'static str) -> Result<String, UrlProblem> {
    let bytes = text.as_bytes();
    let broken = bytes.iter().enumerate().any(|(at, byte)| {
        *byte == b'%'
            && !bytes
                .get(at + 1..at + 3)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if broken {
        return refuse(
            shape,
            "the URL has a % that is not followed by two hexadecimal digits",
            "in a password, % is %25",
        );
    }
    match percent_encoding::percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => refuse(
            shape,
            "the URL's percent-encoding is not UTF-8",
            "encode the UTF-8 bytes of each character",
        ),
    }
}

/// Puts variables into a URL. A value that lands in the user or the password is taken literally, so that it need not be
/// percent-encoded; elsewhere, or if the whole URL is a variable, it is pasted.
pub(super) fn expand_url(
    template: &str,
    lookup: &mut dyn FnMut(&str) -> Result<String, ExpandProblem>,
) -> Result<String, ExpandProblem> {
    let userinfo = userinfo_range(template);
    expand(template, &mut |name, at| {
        let value = lookup(name)?;
        Ok(match userinfo.contains(&at) {
            true => {
                percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC)
                    .to_string()
            }
            false => value,
        })
    })
}

fn userinfo_range(template: &str) -> Range<usize> {
    let Some(start) = template.find("://").map(|at| at + 3) else {
        return 0..0;
    };
    if matches!(&template[..start - 3], "unix" | "redis+unix") {
        // What follows `?` are user and password, and `db`, which encoding does not change.
        return template
            .find('?')
            .map_or(0..0, |query| query..template.len());
    }
    let end = template[start..]
        .find(['/', '?', '#'])
        .map_or(template.len(), |end| start + end);
    template[start..end]
        .rfind('@')
        .map_or(0..0, |at| start..start + at)
}

/// Why a text with `${NAME}` could not be completed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExpandProblem {
    /// The variable is not set.
    Unset(String),
    /// A `$` that starts neither `${NAME}` nor `$$`.
    LoneDollar,
}

/// Replaces `${NAME}` by what `lookup` says of the name and of its offset, and `$$` by `$`.
pub(super) fn expand(
    template: &str,
    lookup: &mut dyn FnMut(&str, usize) -> Result<String, ExpandProblem>,
) -> Result<String, ExpandProblem> {
    let mut expanded = String::new();
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let reference = after
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'));
        match reference {
            Some((name, after)) if is_variable(name) => {
                expanded.push_str(&lookup(name, template.len() - rest.len() + dollar)?);
                rest = after;
            }
            _ => return Err(ExpandProblem::LoneDollar),
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
