//! Why something could not be done.

use std::time::Duration;

use carillon_common::{http::Problem, protocol::SUBPROTOCOL};
use http::StatusCode;
use url::Url;

use crate::AddressError;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The token cannot be had, or no header can carry it.
    #[error("{0}")]
    Token(String),
    /// What was given as a token is an API key. It was not shown to the gateway.
    #[error(
        "this is an API key, which services show to a dispatcher: a client needs a token (JWT)"
    )]
    ApiKeyAsToken,
    /// Nobody is there, or nobody who can serve now: it may work later.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// Where it was tried, for people.
        address: String,
        /// What the network or the gateway said.
        why: String,
        /// Not before this time, where the gateway named one.
        retry_after: Option<Duration>,
    },
    /// The address answers, but with no WebSocket.
    #[error("{url} answered {status} instead of a WebSocket")]
    NoWebSocket {
        /// The address.
        url: Url,
        /// Its answer.
        status: StatusCode,
    },
    /// The address answers a handshake otherwise than the protocol has it.
    #[error("{url} does not speak {SUBPROTOCOL}: {why}")]
    NotSpoken {
        /// The address.
        url: Url,
        /// What is wrong with its answer.
        why: String,
    },
    /// The gateway closed the connection, and to come back is of no use.
    #[error("the gateway ended it: {}", closed(*.code, .reason))]
    Closed {
        /// Of the close frame: 40xx, but for 4008, or what RFC 6455 has for a broken protocol.
        code: u16,
        /// The gateway's word for it.
        reason: String,
    },
    /// The dispatcher refused the call (RFC 9457).
    #[error("{0}")]
    Refused(Box<Problem>),
    /// The answer is not one that a dispatcher gives.
    #[error("{url} answered {status}, but not as a Carillon dispatcher does")]
    NotCarillon {
        /// The API's address.
        url: Url,
        /// Of the answer.
        status: StatusCode,
    },
    /// This process cannot speak TLS: whom it is to trust cannot be read, or none of it can be set up.
    #[error("{0}")]
    Setup(String),
}

/// The end of a connection in words.
pub(crate) fn closed(code: u16, reason: &str) -> String {
    match reason {
        "" => format!("closed with {code}"),
        reason => format!("closed with {code} {reason}"),
    }
}

/// The innermost cause: what is around it repeats the URL and names layers of the library.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}
