//! [`Error`]: what went wrong with a Redis operation, classified by what can be done about it.

use std::fmt;

use redis::{ErrorKind as RedisErrorKind, RedisError, ServerErrorKind};

use crate::{connection::Objection, tls_fault::TlsFault};

/// A failed Redis operation.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} failed ({}): {cause}{}", kind.label(), Advice(*fault))]
pub struct Error {
    operation: &'static str,
    kind: ErrorKind,
    /// Printed above, and therefore not also offered as `source()`: chains would print it twice.
    cause: RedisError,
    /// What is wrong with TLS, if that is it.
    fault: Option<TlsFault>,
}

/// What to do about a fault, behind what failed.
struct Advice(Option<TlsFault>);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |fault| write!(f, "; {fault}"))
    }
}

/// What a failure means for the caller. A closed set: its labels are metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection, or it broke. A command in flight may have been applied.
    Connection,
    /// No answer in time. The command may have been applied.
    Timeout,
    /// The password or the user is not accepted (`NOAUTH`, `WRONGPASS`, `NOPERM`).
    Auth,
    /// The consumer group or the stream does not exist (`NOGROUP`, `UNBLOCKED`).
    NoGroup,
    /// A key holds another type (`WRONGTYPE`).
    WrongType,
    /// The server is at `maxmemory` and refuses writes (`OOM`).
    OutOfMemory,
    /// The server is a replica or cannot persist (`READONLY`, `MISCONF`, `NOREPLICAS`).
    ReadOnly,
    /// The server is starting or failing over (`LOADING`, `MASTERDOWN`, `CLUSTERDOWN`, `TRYAGAIN`).
    Loading,
    /// The server has no room for another connection.
    MaxClients,
    /// The two sides do not come to speak TLS, or only one of them wants to.
    Tls,
    /// A reply of a shape that this library does not know.
    Reply,
    /// Any other refusal of the server.
    Server,
}

impl ErrorKind {
    /// Every kind, so that each metric series exists at 0 from the start.
    pub const ALL: [Self; 12] = [
        Self::Connection,
        Self::Timeout,
        Self::Auth,
        Self::NoGroup,
        Self::WrongType,
        Self::OutOfMemory,
        Self::ReadOnly,
        Self::Loading,
        Self::MaxClients,
        Self::Tls,
        Self::Reply,
        Self::Server,
    ];

    /// The kind as a metric label and in messages.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Auth => "auth",
            Self::NoGroup => "no_group",
            Self::WrongType => "wrong_type",
            Self::OutOfMemory => "out_of_memory",
            Self::ReadOnly => "read_only",
            Self::Loading => "loading",
            Self::MaxClients => "max_clients",
            Self::Tls => "tls",
            Self::Reply => "reply",
            Self::Server => "server",
        }
    }

    fn of(error: &RedisError) -> Self {
        // The server's own code comes first: redis-rs leaves many codes as `Extension`.
        // A refused transaction holds the reason in the errors of its commands.
        let refused = matches!(error.code(), None | Some("EXECABORT"));
        let of_commands = refused.then(|| error.clone().into_server_errors()).flatten();
        let of_command =
            of_commands.as_ref().and_then(|errors| errors.first()).map(|(_, error)| error.code());
        match of_command.or(error.code()) {
            Some("NOGROUP" | "UNBLOCKED") => return Self::NoGroup,
            Some("WRONGTYPE") => return Self::WrongType,
            Some("OOM") => return Self::OutOfMemory,
            Some("READONLY" | "MISCONF" | "NOREPLICAS") => return Self::ReadOnly,
            Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY") => return Self::Loading,
            Some("NOAUTH" | "WRONGPASS" | "NOPERM") => return Self::Auth,
            _ => {}
        }
        if error.to_string().contains("max number of clients") {
            return Self::MaxClients;
        }
        if TlsFault::of(error).is_some() {
            return Self::Tls;
        }
        match error.kind() {
            RedisErrorKind::AuthenticationFailed => Self::Auth,
            RedisErrorKind::Io if error.is_timeout() => Self::Timeout,
            RedisErrorKind::Io => Self::Connection,
            RedisErrorKind::Parse | RedisErrorKind::UnexpectedReturnType => Self::Reply,
            RedisErrorKind::Server(ServerErrorKind::ReadOnly) => Self::ReadOnly,
            _ => Self::Server,
        }
    }
}

impl Error {
    pub(crate) fn new(operation: &'static str, cause: RedisError) -> Self {
        Self { operation, kind: ErrorKind::of(&cause), fault: TlsFault::of(&cause), cause }
    }

    /// Part of what was asked for was refused, in these words of the server.
    pub(crate) fn refused(operation: &'static str, words: &str) -> Self {
        let (code, detail) = words.split_once(' ').unwrap_or((words, ""));
        Self::new(operation, redis::make_extension_error(code.to_owned(), Some(detail.to_owned())))
    }

    /// The connection broke for a reason that the server has. What was in flight may have been applied.
    pub(crate) fn because_of(self, objection: Objection) -> Self {
        let fault = TlsFault::of_objection(objection);
        let kind = if fault.is_some() { ErrorKind::Tls } else { ErrorKind::MaxClients };
        Self { kind, fault, ..self }
    }

    /// What is wrong with TLS, if that is what failed.
    pub const fn tls_fault(&self) -> Option<TlsFault> {
        self.fault
    }

    /// What the failure means.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the server may have applied the command although no success was reported.
    pub fn may_have_been_applied(&self) -> bool {
        // `Reply` is an answer to something that ran; the others were refused before they ran.
        match ErrorKind::of(&self.cause) {
            ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::Reply => {
                !self.cause.is_connection_refusal()
            }
            ErrorKind::Tls => !self.fault.is_some_and(TlsFault::is_of_a_certificate),
            _ => false,
        }
    }

    /// Whether it is the plain answer to a question: a group that exists already, a stream that does not. Whoever
    /// asked takes it for one.
    pub(crate) fn is_answer(&self) -> bool {
        self.code() == Some("BUSYGROUP") || self.cause.to_string().contains("no such key")
    }

    /// Whether the server does not know a script (`NOSCRIPT`), which whoever ran it loads and runs again.
    pub(crate) fn is_unknown_script(&self) -> bool {
        self.code() == Some("NOSCRIPT")
    }

    /// The server's error code, such as `BUSYGROUP`.
    pub fn code(&self) -> Option<&str> {
        self.cause.code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct() {
        let mut labels: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), ErrorKind::ALL.len());
    }
}
