//! What can become of a call, in the terms a caller decides by.

use redis::ServerError;

use crate::backend::url::Address;
use crate::backend::{Fault, FaultKind};

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nothing was sent: the primary is unknown, unreachable or too busy.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
    /// Nothing was sent: the primary is there, and no connection to it can be used.
    #[error("{0}")]
    Refused(Fault),
    /// Sent, but no answer came: the command may have been executed.
    #[error("no answer from Redis at {node}: {reason}")]
    Unknown {
        /// Who was asked.
        node: Address,
        /// What the connection or the clock said.
        reason: String,
    },
    /// Executed, but too few replicas confirmed it in time: it may be lost in a failover.
    #[error("{got} of {wanted} replicas confirmed the write in time")]
    TooFewReplicas {
        /// How many were asked for.
        wanted: u8,
        /// How many confirmed.
        got: u8,
    },
    /// The server refused the command.
    #[error("Redis answered {code} {message}")]
    Server {
        /// The first word of the answer (`ERR`, `READONLY`, `MOVED` …).
        code: String,
        /// The rest of it.
        message: String,
    },
    /// The reply has another shape than the caller expected.
    #[error("unexpected reply from Redis: {0}")]
    Shape(String),
}

/// The fault that a server's refusal shows. This is the only place that reads its words.
pub(crate) fn fault_of(code: &str, message: &str) -> Fault {
    let (kind, remedy) = match code {
        "WRONGPASS" | "NOAUTH" => (FaultKind::Auth, None),
        "NOPERM" => (FaultKind::Permission, None),
        "OOM" => (FaultKind::OutOfMemory, None),
        "READONLY" | "MASTERDOWN" => (FaultKind::Replica, None),
        "MISCONF" => (FaultKind::Disk, None),
        "NOREPLICAS" => (FaultKind::TooFewReplicas, None),
        "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "BUSY" => {
            (FaultKind::NotReady, None)
        }
        "DENIED" => (FaultKind::Misconfigured, Some(PROTECTED)),
        _ => of_words(message),
    };
    let fault = Fault::new(kind, format!("{code} {}", message.trim_end()));
    match remedy {
        Some(remedy) => fault.with_remedy(remedy),
        None => fault,
    }
}

const PROTECTED: &str = "set a password for Redis and name it here: without one it listens to its own \
                         machine alone (protected-mode)";
const IN_A_CLUSTER: &str = "write redis+cluster://host:port,… (with TLS rediss+cluster://), without a \
                            database number";
const NO_CLUSTER: &str = "write redis://host:port (with TLS rediss://): it is one server";
const NO_SUCH_DATABASE: &str = "choose a lower number at the end of backend.url, or raise `databases` of \
                                Redis";

/// Refusals that have no code of their own.
fn of_words(message: &str) -> (FaultKind, Option<&'static str>) {
    let has = |words: &str| message.contains(words);
    if has("max number of clients") {
        (FaultKind::MaxClients, None)
    } else if has("called without any password configured") || has("no password is set") {
        (FaultKind::Auth, None)
    } else if has("has no permissions to") || is_amid_a_function(message) {
        // Some refusals come without their code.
        (FaultKind::Permission, None)
    } else if has("SELECT is not allowed in cluster mode") {
        (FaultKind::WrongServer, Some(IN_A_CLUSTER))
    } else if has("cluster support disabled") {
        (FaultKind::WrongServer, Some(NO_CLUSTER))
    } else if has("DB index is out of range") || has("invalid DB index") {
        (FaultKind::Misconfigured, Some(NO_SUCH_DATABASE))
    } else if message.starts_with("unknown command") {
        (FaultKind::WrongServer, None)
    } else {
        (FaultKind::Unexpected, None)
    }
}

/// Whether a function was refused something after it had begun, so that what it wrote before stands.
pub(crate) fn is_amid_a_function(message: &str) -> bool {
    // Redis 7.0; and from 7.2 on, as Valkey.
    let words = [
        "The user executing the script can't",
        "ACL failure in script",
    ];
    words.iter().any(|words| message.contains(words))
}

impl LinkError {
    /// Whether the same call may succeed later without anyone changing anything. After
    /// [`Unknown`](Self::Unknown) and [`TooFewReplicas`](Self::TooFewReplicas) only an idempotent
    /// operation may be retried.
    pub fn retryable(&self) -> bool {
        self.kind().passes()
    }

    /// What it shows of the store.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Unavailable(_) => FaultKind::Unreachable,
            Self::Refused(fault) => fault.kind,
            Self::Unknown { .. } => FaultKind::Unanswered,
            Self::TooFewReplicas { .. } => FaultKind::TooFewReplicas,
            Self::Server { code, message } => fault_of(code, message).kind,
            Self::Shape(_) => FaultKind::Unexpected,
        }
    }

    /// The fault it is, if the store itself or the way to it shows one; `None` for an outage.
    pub fn fault(&self) -> Option<Fault> {
        let fault = match self {
            Self::Refused(fault) => fault.clone(),
            Self::Server { code, message } => fault_of(code, message),
            _ => return None,
        };
        (!matches!(fault.kind, FaultKind::NotReady | FaultKind::Unexpected)).then_some(fault)
    }

    /// Whether functions are refused, for which scripts take their place.
    pub(crate) fn is_of_functions(&self) -> bool {
        let Self::Server { message, .. } = self else {
            return false;
        };
        let message = message.to_ascii_lowercase();
        message.contains("'fcall") || message.contains("'function")
    }

    /// Whether the server refused with this code.
    pub fn has_code(&self, wanted: &str) -> bool {
        matches!(self, Self::Server { code, .. } if code == wanted)
    }

    pub(crate) fn shape(error: impl std::fmt::Display) -> Self {
        Self::Shape(error.to_string())
    }
}

impl From<&ServerError> for LinkError {
    fn from(error: &ServerError) -> Self {
        Self::Server {
            code: error.code().to_owned(),
            message: error.details().unwrap_or_default().to_owned(),
        }
    }
}

/// Where Redis Cluster sends a command instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Redirect {
    /// The slot lives there now.
    Moved(Address),
    /// This key already lives there while its slot is being moved.
    Ask(Address),
}

impl Redirect {
    /// The redirect in an error that `asked` gave, if it is one.
    pub(crate) fn read(error: &ServerError, asked: &Address) -> Option<Self> {
        let kind: fn(Address) -> Self = match error.code() {
            "MOVED" => Self::Moved,
            "ASK" => Self::Ask,
            _ => return None,
        };
        let address = error.details()?.split_ascii_whitespace().nth(1)?;
        Address::from_redis(address, asked).map(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_error(line: &str) -> ServerError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        let redis::Value::ServerError(error) = value else {
            panic!("{value:?}")
        };
        error
    }

    #[test]
    fn redirects() {
        let asked = Address {
            host: "asked".into(),
            port: 1,
        };
        let read = |line: &str| Redirect::read(&server_error(line), &asked);
        let b = Address {
            host: "b".into(),
            port: 2,
        };
        assert_eq!(read("MOVED 5 b:2"), Some(Redirect::Moved(b.clone())));
        assert_eq!(read("ASK 5 b:2"), Some(Redirect::Ask(b)));
        let same_host = Address {
            host: "asked".into(),
            port: 3,
        };
        assert_eq!(read("MOVED 5 :3"), Some(Redirect::Moved(same_host)));
        assert_eq!(read("ERR MOVED 5 b:2"), None);
        assert_eq!(read("MOVED"), None);
    }

    #[test]
    fn what_a_refusal_shows_and_whether_it_passes() {
        use FaultKind as K;
        let cases = [
            (
                "READONLY You can't write against a read only replica.",
                K::Replica,
                true,
            ),
            (
                "TRYAGAIN Multiple keys request during rehashing of slot",
                K::NotReady,
                true,
            ),
            (
                "LOADING Redis is loading the dataset in memory",
                K::NotReady,
                true,
            ),
            (
                "NOREPLICAS Not enough good replicas to write.",
                K::TooFewReplicas,
                true,
            ),
            ("ERR max number of clients reached", K::MaxClients, true),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                K::OutOfMemory,
                false,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                K::Disk,
                false,
            ),
            ("WRONGPASS invalid username-password pair", K::Auth, false),
            ("NOAUTH Authentication required.", K::Auth, false),
            ("NOPERM this user has no permissions", K::Permission, false),
            (
                "ERR The user executing the script can't publish to the channel mentioned in the command \
                 script: c3_send, on @user_function:1.",
                K::Permission,
                false,
            ),
            (
                "ERR ACL failure in script: User u has no permissions to access the channel 'x' script: c3_send",
                K::Permission,
                false,
            ),
            (
                "DENIED Redis is running in protected mode",
                K::Misconfigured,
                false,
            ),
            ("ERR DB index is out of range", K::Misconfigured, false),
            (
                "ERR SELECT is not allowed in cluster mode",
                K::WrongServer,
                false,
            ),
            (
                "ERR This instance has cluster support disabled",
                K::WrongServer,
                false,
            ),
            (
                "ERR unknown command 'FCALL', with args",
                K::WrongServer,
                false,
            ),
            ("WRONGTYPE Operation against a key", K::Unexpected, false),
        ];
        for (line, kind, passes) in cases {
            let error = LinkError::from(&server_error(line));
            assert_eq!((error.kind(), error.retryable()), (kind, passes), "{line}");
            let reported = !matches!(kind, K::NotReady | K::Unexpected);
            assert_eq!(error.fault().is_some(), reported, "{line}");
        }
        assert!(LinkError::Unavailable(String::new()).retryable());
        assert!(LinkError::TooFewReplicas { wanted: 1, got: 0 }.retryable());
        assert!(!LinkError::shape("x").retryable());
    }
}
