//! The error of a call: opaque, asked by its methods, and convertible to what users of redis-rs expect.

use crate::command::{self, Rule};
use crate::placement::NodeId;
use crate::reply_code;
use redis::{RedisError, ServerError, Value, make_extension_error};
use std::fmt;
use std::io;
use std::sync::Arc;

/// What went wrong with one call. Ask it: [`kind`](Error::kind), [`is_retryable`](Error::is_retryable), [`server`](Error::server),
/// [`node`](Error::node), [`command`](Error::command), [`partial`](Error::partial).
///
/// Converts into [`redis::RedisError`]: `NotSent` and `ServerDown` wrap an I/O error (what others retry is safe to retry), `CrossNode` is
/// a CROSSSLOT, a server's error is itself. Of wrong arguments (`Invalid`) the server has well-known texts: where it has one, kind, code and detail
/// are the server's, such as ERR and `wrong number of arguments for 'get' command`. Everything else is an extension error with a code that begins
/// with `KEYWAY_`, which no one retries by itself.
#[derive(Clone)]
pub struct Error(Box<Report>);

#[derive(Clone)]
struct Report {
    kind: ErrorKind,
    message: String,
    command: Option<String>,
    node: Option<NodeId>,
    server: Option<Arc<str>>,
    is_timeout: bool,
    partial: Option<Partial>,
    server_error: Option<ServerError>,
    /// What the server would have answered, had it been asked; without the code, which is ERR.
    refused_as: Option<String>,
    aborted_by: Option<(usize, ServerError)>,
}

/// The classes of errors. What matters first: may the command have run?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Certainly not executed, by a broken connection, a deadline or a bound. Safe to repeat.
    NotSent,
    /// Written, and not answered: it may have been executed or may still be. Repeat it only if twice is as good as once.
    Unknown,
    /// Not executed: the server cannot be reached now.
    ServerDown,
    /// The keys are on different nodes and the command needs them on one. Nothing was sent.
    CrossNode,
    /// Not possible this way; the message names the call that is. Nothing was sent.
    Refused,
    /// Not in the table of commands. Nothing was sent.
    UnknownCommand,
    /// The arguments are wrong. Nothing was sent. Where Redis 7.0 has a text for it, the `RedisError` has that text, with the code ERR.
    Invalid,
    /// The server answered with an error.
    Server,
    /// A command over several servers, or a split one, succeeded on some only: see [`Error::partial`].
    Partial,
    /// A SCAN cursor from before the topology changed. Begin the scan anew.
    CursorStale,
    /// The intermediate results of a command over several nodes exceed `limits.gather_bytes_max`.
    TooLarge,
    /// The cluster was closed, or its runtime is gone. Not executed.
    Closed,
    /// The configuration cannot work: wrong credentials, a cluster-mode server, a changed placement.
    Configuration,
    /// The reply is not of a shape that this command has.
    UnexpectedReply,
}

impl ErrorKind {
    /// The class of an error that came through redis-rs, if it was one of ours: `redis::RedisError` keeps the class of every error of this
    /// crate, and for [`NotSent`](ErrorKind::NotSent) and [`ServerDown`](ErrorKind::ServerDown) the whole error as its source.
    ///
    /// [`Invalid`](ErrorKind::Invalid) means that keyway has found the wrong arguments, and sent nothing. The error may have the server's text,
    /// such as `ERR wrong number of arguments for 'get' command`. An error with the same text that a server did answer is not of this crate.
    ///
    /// A pipeline's error is a list of the commands that failed. It does not say what became of the others, so its class never means
    /// that the pipeline may be repeated: [`Unknown`](ErrorKind::Unknown) if one of the list is, [`Server`](ErrorKind::Server) if each of the
    /// list is an answer of its server, else [`Partial`](ErrorKind::Partial). A pipeline of which nothing was executed fails as a whole, as
    /// `NotSent` or `ServerDown`.
    ///
    /// ```
    /// # fn example(error: redis::RedisError) {
    /// match keyway::ErrorKind::of(&error) {
    ///     Some(keyway::ErrorKind::Unknown) => { /* it may have been executed: look before you repeat it */ }
    ///     Some(keyway::ErrorKind::NotSent | keyway::ErrorKind::ServerDown) => { /* safe to repeat */ }
    ///     _ => {}
    /// }
    /// # }
    /// ```
    pub fn of(error: &RedisError) -> Option<ErrorKind> {
        if let Some(ours) = wrapped(error) {
            return Some(ours.kind());
        }
        // redis-rs makes a list of a single error too; only its text tells the two apart.
        if let Some(list) = error.clone().into_server_errors()
            && !matches!(&list[..], [(_, only)] if only.to_string() == error.to_string())
        {
            return Some(ErrorKind::of_list(&list));
        }
        if is_refusal(error) {
            return Some(ErrorKind::Invalid);
        }
        if error.kind() == redis::ErrorKind::Client && error.detail().is_none() {
            return (error.to_string() == empty_command().to_string())
                .then_some(ErrorKind::Invalid);
        }
        let code = error.code()?;
        ErrorKind::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The class of a pipeline of which these commands have failed.
    fn of_list(list: &[(usize, ServerError)]) -> ErrorKind {
        let ours = |(_, error): &(usize, ServerError)| {
            ErrorKind::ALL
                .into_iter()
                .find(|kind| kind.code() == error.code())
        };
        if list
            .iter()
            .any(|failed| ours(failed) == Some(ErrorKind::Unknown))
        {
            ErrorKind::Unknown
        } else if list.iter().all(|failed| ours(failed).is_none()) {
            ErrorKind::Server
        } else {
            ErrorKind::Partial
        }
    }

    const ALL: [ErrorKind; 14] = [
        ErrorKind::NotSent,
        ErrorKind::Unknown,
        ErrorKind::ServerDown,
        ErrorKind::CrossNode,
        ErrorKind::Refused,
        ErrorKind::UnknownCommand,
        ErrorKind::Invalid,
        ErrorKind::Server,
        ErrorKind::Partial,
        ErrorKind::CursorStale,
        ErrorKind::TooLarge,
        ErrorKind::Closed,
        ErrorKind::Configuration,
        ErrorKind::UnexpectedReply,
    ];

    fn code(self) -> &'static str {
        match self {
            ErrorKind::NotSent => "KEYWAY_NOTSENT",
            ErrorKind::Unknown => "KEYWAY_UNKNOWN",
            ErrorKind::ServerDown => "KEYWAY_SERVERDOWN",
            ErrorKind::CrossNode => "CROSSSLOT",
            ErrorKind::Refused => "KEYWAY_REFUSED",
            ErrorKind::UnknownCommand => "KEYWAY_UNKNOWNCOMMAND",
            ErrorKind::Invalid => "KEYWAY_INVALID",
            ErrorKind::Server => "KEYWAY_SERVER",
            ErrorKind::Partial => "KEYWAY_PARTIAL",
            ErrorKind::CursorStale => "KEYWAY_CURSORSTALE",
            ErrorKind::TooLarge => "KEYWAY_TOOLARGE",
            ErrorKind::Closed => "KEYWAY_CLOSED",
            ErrorKind::Configuration => "KEYWAY_CONFIGURATION",
            ErrorKind::UnexpectedReply => "KEYWAY_UNEXPECTEDREPLY",
        }
    }
}

/// What redis-rs says of a command without a name.
const EMPTY_COMMAND: &str = "empty command";

/// The error of ours that an I/O error of redis-rs wraps.
fn wrapped(error: &RedisError) -> Option<&Error> {
    type Shared = Arc<dyn std::error::Error + Send + Sync>;
    let source = std::error::Error::source(error)?;
    let io = match source.downcast_ref::<Shared>() {
        Some(shared) => shared.downcast_ref::<io::Error>()?,
        None => source.downcast_ref::<io::Error>()?,
    };
    io.get_ref()?.downcast_ref::<Error>()
}

/// How far a command over several servers came.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Partial {
    /// Of a command whose keys are on several nodes (MGET, DEL): which keys.
    Keys(PartialKeys),
    /// Of a command that goes to every server (SCRIPT LOAD, DBSIZE): which servers.
    Servers(PartialServers),
}

/// The keys of a split command. Each of its keys is in one of the three lists, as often as the call names it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PartialKeys {
    /// Keys for which it was done.
    pub done: Vec<Vec<u8>>,
    /// Those for which it certainly was not.
    pub failed: Vec<Vec<u8>>,
    /// Those for which it may have been.
    pub unknown: Vec<Vec<u8>>,
    /// Of an MGET the values that came, by position of the key in the call: `Some(Value::Nil)` for a key that does not exist, `None` for a key
    /// whose value did not come. Empty for other commands, and when the values have more than `limits.gather_bytes_max` bytes.
    pub values: Vec<Option<Value>>,
}

/// The servers of a command that goes to all of them, by their names in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartialServers {
    /// Servers on which it was done.
    pub done: Vec<String>,
    /// Those on which it certainly was not.
    pub failed: Vec<String>,
    /// Those on which it may have been.
    pub unknown: Vec<String>,
}

impl Partial {
    /// The keys, if the command was split by them.
    pub fn keys(&self) -> Option<&PartialKeys> {
        match self {
            Partial::Keys(keys) => Some(keys),
            Partial::Servers(_) => None,
        }
    }

    /// The servers, if the command went to all of them.
    pub fn servers(&self) -> Option<&PartialServers> {
        match self {
            Partial::Keys(_) => None,
            Partial::Servers(servers) => Some(servers),
        }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Report {
            kind,
            message: message.into(),
            command: None,
            node: None,
            server: None,
            is_timeout: false,
            partial: None,
            server_error: None,
            refused_as: None,
            aborted_by: None,
        }))
    }

    /// A command without a name, as redis-rs refuses it.
    pub(crate) fn empty_command() -> Error {
        Error::new(ErrorKind::Invalid, EMPTY_COMMAND)
    }

    /// A pipeline without commands, as redis-rs's own connections refuse it.
    pub(crate) fn empty_pipeline() -> Error {
        Error::empty_command()
    }

    /// Wrong arguments of which the server would say `text`, with the code ERR. `own` is what keyway adds to it; may be empty.
    pub(crate) fn refused_as(text: String, own: &str) -> Error {
        let message = match own {
            "" => text.clone(),
            own => format!("{}; {own}", text.trim_end_matches('.')),
        };
        let mut made = Error::new(ErrorKind::Invalid, message);
        made.0.refused_as = Some(text);
        made
    }

    pub(crate) fn from_server(error: ServerError) -> Error {
        let message = match error.details() {
            Some(details) => format!("{} {details}", error.code()),
            None => error.code().to_owned(),
        };
        let mut made = Error::new(ErrorKind::Server, message);
        made.0.server_error = Some(error);
        made
    }

    pub(crate) fn at_server(mut self, server: &Arc<str>) -> Error {
        self.0.server.get_or_insert_with(|| server.clone());
        self
    }

    pub(crate) fn at_node(mut self, node: NodeId) -> Error {
        self.0.node.get_or_insert(node);
        self
    }

    pub(crate) fn of_command(mut self, command: &str) -> Error {
        self.0.command.get_or_insert_with(|| command.to_owned());
        self
    }

    /// Names the key that is at fault.
    pub(crate) fn about_key(mut self, key: &[u8]) -> Error {
        let key = crate::routing::shorten(key);
        self.0.message = format!("the key \"{key}\": {}", self.0.message);
        self
    }

    pub(crate) fn by_timeout(mut self) -> Error {
        self.0.is_timeout = true;
        self
    }

    pub(crate) fn aborted_at(mut self, index: usize, error: ServerError) -> Error {
        self.0.aborted_by = Some((index, error));
        self
    }

    pub(crate) fn with_partial(mut self, partial: Partial) -> Error {
        self.0.partial = Some(partial);
        self
    }

    /// The class.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may be made again with no risk of doing it twice: it was certainly not executed, and might succeed later.
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::NotSent | ErrorKind::ServerDown => true,
            // The reply of a script, and each within EXEC's, may begin with any of these words.
            ErrorKind::Server => {
                let code = self.0.server_error.as_ref().map(ServerError::code);
                code.is_some_and(reply_code::is_transient) && !self.may_be_a_scripts()
            }
            _ => false,
        }
    }

    fn may_be_a_scripts(&self) -> bool {
        self.0.command.as_deref().is_some_and(|command| {
            let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
            command::row_of(&words).is_ok_and(|row| row.rule == Rule::Script)
        })
    }

    /// Whether the deadline passed. `kind` says whether the command may have been executed.
    pub fn is_timeout(&self) -> bool {
        self.0.is_timeout
    }

    /// The server concerned, by its name in the configuration.
    pub fn server(&self) -> Option<&str> {
        self.0.server.as_deref()
    }

    /// The node concerned.
    pub fn node(&self) -> Option<NodeId> {
        self.0.node
    }

    /// The command concerned.
    pub fn command(&self) -> Option<&str> {
        self.0.command.as_deref()
    }

    /// How far a command over several nodes or servers came, and of an MGET the values that did; `None` for others.
    pub fn partial(&self) -> Option<&Partial> {
        self.0.partial.as_ref()
    }

    /// Of a transaction that the server has discarded (EXECABORT): which of its commands the server refused when it was queued, counted from 0,
    /// and with which error. A `RedisError` has both in its text only.
    pub fn aborted_by(&self) -> Option<(usize, &ServerError)> {
        self.0
            .aborted_by
            .as_ref()
            .map(|(index, error)| (*index, error))
    }

    /// The server's own error, if that is what this is.
    pub fn server_error(&self) -> Option<&ServerError> {
        self.0.server_error.as_ref()
    }

    /// Certainly not executed, for want of a connection, of room or of time.
    pub(crate) fn is_not_executed(&self) -> bool {
        matches!(self.0.kind, ErrorKind::NotSent | ErrorKind::ServerDown)
    }

    /// The replies of a pipeline as redis-rs takes them, with an error value for what failed at its position. Nothing of it was executed:
    /// then the pipeline itself fails.
    pub(crate) fn into_replies(results: Vec<Result<Value, Error>>) -> Result<Vec<Value>, Error> {
        let is_lost =
            |result: &Result<Value, Error>| result.as_ref().is_err_and(Error::is_not_executed);
        if results.iter().all(is_lost)
            && let Some(Err(first)) = results.first()
        {
            return Err(first.clone());
        }
        Ok(results
            .into_iter()
            .map(|result| result.unwrap_or_else(Error::into_value))
            .collect())
    }

    /// As a value at a position of a pipeline, where only server errors fit.
    pub(crate) fn into_value(self) -> Value {
        if let Some(error) = self.0.server_error {
            return Value::ServerError(error);
        }
        let known = match (self.0.kind, &self.0.refused_as) {
            (ErrorKind::CrossNode, _) => parsed("CROSSSLOT", &self.to_string()),
            (_, Some(text)) => parsed("ERR", text),
            _ => None,
        };
        if let Some(error) = known {
            return error;
        }
        let code = self.0.kind.code().to_owned();
        match ServerError::try_from(make_extension_error(code, Some(self.to_string()))) {
            Ok(error) => Value::ServerError(error),
            // Not reached: an extension error is a server error by its type's own definition. Nil would hide a failure, so say it.
            Err(error) => Value::SimpleString(error.to_string()),
        }
    }
}

/// As redis-rs makes it of a command without a name.
fn empty_command() -> RedisError {
    (redis::ErrorKind::Client, EMPTY_COMMAND).into()
}

/// Wrong arguments as redis-rs has the server's answer to them: kind, code and detail are the same. By its description, which is
/// in the text only, [`ErrorKind::of`] knows that nothing was sent.
fn refusal(text: String) -> RedisError {
    (RESPONSE_ERROR, REFUSAL, text).into()
}

fn is_refusal(error: &RedisError) -> bool {
    // An answer of a server is its own source.
    error.kind() == RESPONSE_ERROR
        && std::error::Error::source(error).is_none()
        && error.to_string().starts_with(REFUSAL)
}

const RESPONSE_ERROR: redis::ErrorKind =
    redis::ErrorKind::Server(redis::ServerErrorKind::ResponseError);

const REFUSAL: &str = "not sent, because the server would refuse it";

/// Known kinds of server errors can only be made by parsing one.
fn parsed(code: &str, message: &str) -> Option<Value> {
    let line: String = message
        .chars()
        .map(|c| if c == '\r' || c == '\n' { ' ' } else { c })
        .collect();
    redis::parse_redis_value(format!("-{code} {line}\r\n").as_bytes()).ok()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        let mut place: Vec<String> = report.command.iter().cloned().collect();
        place.extend(report.node.map(|node| format!("node {node}")));
        place.extend(
            report
                .server
                .as_ref()
                .map(|server| format!("server {server:?}")),
        );
        if !place.is_empty() {
            write!(f, "{}: ", place.join(", "))?;
        }
        match report.kind {
            ErrorKind::NotSent => write!(f, "not executed: {}", report.message),
            ErrorKind::Unknown => write!(
                f,
                "outcome unknown, it may have been executed: {}",
                report.message
            ),
            ErrorKind::ServerDown => {
                write!(f, "not executed, the server is down: {}", report.message)
            }
            _ => f.write_str(&report.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {}

impl From<Error> for RedisError {
    fn from(error: Error) -> RedisError {
        if let Some(text) = error.0.refused_as {
            return refusal(text);
        }
        match error.0.kind {
            ErrorKind::NotSent | ErrorKind::ServerDown => {
                let kind = match (error.0.kind, error.0.is_timeout) {
                    (_, true) => io::ErrorKind::TimedOut,
                    (ErrorKind::ServerDown, _) => io::ErrorKind::NotConnected,
                    _ => io::ErrorKind::ConnectionAborted,
                };
                io::Error::new(kind, error).into()
            }
            ErrorKind::Invalid if error.0.message == EMPTY_COMMAND => empty_command(),
            _ => match error.clone().into_value() {
                Value::ServerError(server_error) => server_error.into(),
                _ => make_extension_error(error.0.kind.code().to_owned(), Some(error.to_string())),
            },
        }
    }
}

impl From<crate::config::ConfigError> for Error {
    fn from(error: crate::config::ConfigError) -> Error {
        Error::new(ErrorKind::Configuration, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_an_error_survives_redis_rs() {
        for kind in ErrorKind::ALL {
            let error = Error::new(kind, "why").of_command("GET").at_node(NodeId(7));
            let through: RedisError = error.into();
            assert_eq!(ErrorKind::of(&through), Some(kind), "{through}");
        }
        let foreign: RedisError = io::Error::from(io::ErrorKind::TimedOut).into();
        assert_eq!(ErrorKind::of(&foreign), None);
        let server = redis::parse_redis_value(b"-WRONGTYPE it is a list\r\n");
        let Ok(Value::ServerError(server)) = server else {
            panic!("an error line parses to an error")
        };
        assert_eq!(ErrorKind::of(&server.into()), None);
    }

    #[test]
    fn a_refusal_reads_as_the_servers_answer_and_is_not_taken_for_one() {
        let text = "wrong number of arguments for 'get' command";
        let line = format!("-ERR {text}\r\n");
        let Ok(Value::ServerError(answer)) = redis::parse_redis_value(line.as_bytes()) else {
            panic!("an error line parses to an error")
        };
        let ours = Error::refused_as(text.to_owned(), "it has no key").of_command("GET");
        assert_eq!(ours.kind(), ErrorKind::Invalid);
        assert_eq!(
            ours.to_string(),
            "GET: wrong number of arguments for 'get' command; it has no key"
        );
        assert_eq!(
            ours.clone().into_value(),
            Value::ServerError(answer.clone())
        );
        let (ours, answer) = (RedisError::from(ours), RedisError::from(answer));
        assert_eq!((ours.code(), ours.detail()), (Some("ERR"), Some(text)));
        assert_eq!(answer.kind(), ours.kind());
        assert_eq!(
            (answer.code(), answer.detail()),
            (ours.code(), ours.detail())
        );
        assert_eq!(ErrorKind::of(&ours), Some(ErrorKind::Invalid));
        assert_eq!(ErrorKind::of(&answer), None);
        assert_eq!(
            ours.to_string(),
            "not sent, because the server would refuse it - Server(ResponseError): \
             wrong number of arguments for 'get' command"
        );
    }

    #[test]
    fn an_error_says_where_it_happened() {
        let error = Error::new(ErrorKind::NotSent, "the deadline passed")
            .at_node(NodeId(7))
            .at_server(&"a".into());
        assert_eq!(
            error.to_string(),
            "node 7, server \"a\": not executed: the deadline passed"
        );
        assert_eq!(
            error.of_command("GET").to_string(),
            "GET, node 7, server \"a\": not executed: the deadline passed"
        );
    }
}
