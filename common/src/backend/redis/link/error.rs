//! What can become of a call, in the terms a caller decides by.

use redis::ServerError;

use crate::backend::redis::url::Address;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Nothing was sent: the primary is unknown, unreachable or too busy.
    #[error("Redis is unavailable: {0}")]
    Unavailable(String),
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

/// Codes of refusals that pass by themselves: failover, migration, loading, replicas behind,
/// memory full, a long script.
const PASSING: [&str; 11] = [
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "OOM",
    "BUSY",
    "MISCONF",
];

impl LinkError {
    /// Whether the same call may succeed later without anyone changing anything. After
    /// [`Unknown`](Self::Unknown) and [`TooFewReplicas`](Self::TooFewReplicas) only an idempotent
    /// operation may be retried.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Unknown { .. } | Self::TooFewReplicas { .. } => true,
            Self::Server { code, .. } => PASSING.contains(&code.as_str()),
            Self::Shape(_) => false,
        }
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
    fn what_may_be_retried() {
        let cases = [
            (
                "READONLY You can't write against a read only replica.",
                true,
            ),
            (
                "TRYAGAIN Multiple keys request during rehashing of slot",
                true,
            ),
            ("LOADING Redis is loading the dataset in memory", true),
            ("NOREPLICAS Not enough good replicas to write.", true),
            ("ERR unknown command", false),
            ("NOPERM this user has no permissions", false),
            ("WRONGTYPE Operation against a key", false),
        ];
        for (line, retryable) in cases {
            assert_eq!(
                LinkError::from(&server_error(line)).retryable(),
                retryable,
                "{line}"
            );
        }
        assert!(LinkError::Unavailable(String::new()).retryable());
        assert!(LinkError::TooFewReplicas { wanted: 1, got: 0 }.retryable());
        assert!(!LinkError::shape("x").retryable());
    }
}
