//! Handshakes that are refused with an HTTP status and a problem (RFC 9457).

use std::time::Duration;

use carillon_common::http::Problem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Guest, request::Refusal};
use crate::limits::{Reason, Refused};

/// For a client that is refused to read why.
const GOODBYE: Duration = Duration::from_secs(2);
/// What is read and thrown away of what it still sends.
const DISCARDED_BYTES: usize = 256 << 10;

/// RFC 9110, section 15.5.9.
pub(super) fn too_slow() -> Refusal {
    let problem = Problem::new(408, "head_timeout", "Too slow")
        .detail("the request's head did not arrive within gateway.handshake_timeout");
    Refusal {
        problem: Box::new(problem),
        fields: "",
    }
}

/// Answers with a problem, and ends the connection.
pub(super) async fn answer_problem(guest: Guest, refusal: &Refusal) {
    last_answer(guest, &answer(&refusal.problem, refusal.fields)).await;
}

/// Answers a handshake that is not admitted: 503 with `Retry-After` (RFC 9110 section 15.6.4).
pub(super) async fn answer_unavailable(guest: Guest, refused: &Refused) {
    last_answer(guest, &unavailable(refused)).await;
}

/// The same for one that there is no place for: nothing is waited for.
pub(super) fn answer_unavailable_at_once(stream: &TcpStream) {
    let refused = Refused::later(Reason::Arrivals);
    if let Err(error) = stream.try_write(&unavailable(&refused)) {
        tracing::trace!(%error, "a refusal for a socket that is gone");
    }
}

fn unavailable(refused: &Refused) -> Vec<u8> {
    answer(&why_unavailable(refused), "")
}

/// Why somebody is not let in now.
pub(super) fn why_unavailable(refused: &Refused) -> Problem {
    let (code, title, why) = match refused.reason {
        Reason::Draining => ("draining", "Draining", "takes no new connections"),
        Reason::Gone => (
            "unavailable",
            "Unavailable",
            "has seen that your side of the connection is closed",
        ),
        Reason::Store => (
            "unavailable",
            "Unavailable",
            "cannot reach its store, so it could not promise you anything",
        ),
        Reason::Rate | Reason::Address => (
            "overloaded",
            "Overloaded",
            "is at its limit of handshakes per second",
        ),
        Reason::User => (
            "overloaded",
            "Overloaded",
            "is at its limit of handshakes per second of one user",
        ),
        Reason::Arrivals => (
            "overloaded",
            "Overloaded",
            "is at its limit of handshakes under way",
        ),
        Reason::Connections => ("overloaded", "Overloaded", "is at its limit of connections"),
    };
    let seconds = refused.retry_after.as_secs();
    Problem::new(503, code, title)
        .detail(format!("this gateway {why}; try again in {seconds} s"))
        .retry_after(refused.retry_after)
}

/// A problem as the last answer of a connection.
pub(super) fn answer(problem: &Problem, fields: &str) -> Vec<u8> {
    let (status, headers, body) = problem.answer();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut answer = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in &headers {
        answer.extend_from_slice(
            &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat(),
        );
    }
    let length = body.len();
    let rest = format!("{fields}connection: close\r\ncontent-length: {length}\r\n\r\n");
    answer.extend_from_slice(rest.as_bytes());
    answer.extend_from_slice(&body);
    answer
}

/// Writes the last answer and ends the connection. What the client still sends is read and thrown away:
/// closing on it would reset the connection before the answer is read.
pub(super) async fn last_answer(guest: Guest, answer: &[u8]) {
    let Guest {
        mut stream, place, ..
    } = guest;
    place.waits();
    let goodbye = async {
        stream.write_all(answer).await.ok()?;
        stream.shutdown().await.ok()?;
        let (mut rest, mut left) = ([0; 1024], DISCARDED_BYTES);
        while left > 0 {
            match stream.read(&mut rest).await {
                Ok(read @ 1..) => left = left.saturating_sub(read),
                _ => return None,
            }
        }
        Some(())
    };
    tokio::select! {
        _ = timeout(GOODBYE, goodbye) => {}
        () = place.gone() => {}
    }
}
