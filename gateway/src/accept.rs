//! The public port: our own accept loop and our own reading of a request's head.
//!
//! Not an HTTP server's, though hyper would give the bare stream back after an upgrade: it ends some of what
//! is no handshake without an answer (a head that never ends, HTTP/2, a head that is too long), and here each
//! is told what is wrong. What is meant for another path is handed on to it, with the bytes that were read.

use std::{net::IpAddr, sync::Arc};

use axum::Router;
use carillon_common::http::{Acceptor, Place, Problem, serve_connection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant, error::Elapsed, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admission::Refused,
    connection::Opened,
    gateway::Gateway,
    handshake::{self, Refusal},
    head::{Head, Unread},
    rewound::Rewound,
};

/// For a client that is refused to read why.
const GOODBYE: Duration = Duration::from_secs(2);
/// What is read and thrown away of what it still sends.
const DISCARDED_BYTES: usize = 256 << 10;

/// Accepts until `stop`.
pub(crate) async fn accept(
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    http: Router,
    stop: CancellationToken,
    tasks: &TaskTracker,
) {
    let acceptor = Acceptor::new(listener);
    while let Some((stream, peer)) = stop.run_until_cancelled(acceptor.next()).await {
        let Some(place) = gateway.arrivals().enter().await else {
            gateway.rejected("arrivals");
            refuse_at_once(&stream);
            continue;
        };
        let guest = Guest {
            stream,
            address: peer.ip(),
            place,
        };
        tasks.spawn(live(gateway.clone(), guest, http.clone(), stop.clone()));
    }
}

/// A socket that is not a connection yet.
pub(crate) struct Guest {
    pub stream: TcpStream,
    /// The peer's, until its head names the client's.
    pub address: IpAddr,
    /// Among those that are not connections yet.
    pub place: Place,
}

/// Runs a connection, if one begins.
async fn live(gateway: Arc<Gateway>, guest: Guest, http: Router, stop: CancellationToken) {
    let until = Instant::now() + gateway.settings().gateway.handshake_timeout;
    if !speaks(&gateway, &guest, until).await {
        return;
    }
    // Boxed: what comes before a connection is not to size its task.
    let opened = Box::pin(begin(gateway.clone(), guest, until, http, stop)).await;
    if let Some(opened) = opened {
        gateway.hold(opened).await;
    }
}

/// Waits for its first byte: whoever says nothing costs little more than a descriptor.
async fn speaks(gateway: &Gateway, guest: &Guest, until: Instant) -> bool {
    let readable = guest.stream.readable();
    let Some(begun) = in_time(gateway, &guest.place, until, readable).await else {
        return false;
    };
    let begun = matches!(begun, Ok(Ok(())));
    if !begun {
        gateway.rejected("head");
    }
    begun
}

/// Everything up to the connection; an HTTP request is answered.
async fn begin(
    gateway: Arc<Gateway>,
    mut guest: Guest,
    until: Instant,
    http: Router,
    stop: CancellationToken,
) -> Option<Box<Opened>> {
    let head = match read_head(&gateway, &mut guest, until).await? {
        Ok(head) => head,
        Err(refusal) => {
            gateway.rejected("head");
            return turn_down(guest, &refusal).await;
        }
    };
    match handshake::read(head.bytes(), &gateway.settings().gateway) {
        Ok(Some(upgrade)) => {
            guest.place.works();
            gateway.upgrade(guest, upgrade, head.into_rest()).await
        }
        Ok(None) => {
            let stream = Rewound::new(guest.stream, head.into_all());
            serve_connection(stream, http, guest.place, stop).await;
            None
        }
        Err(refusal) => {
            gateway.rejected("handshake");
            turn_down(guest, &refusal).await
        }
    }
}

/// `None` where there is nobody to be told anything: gone, silent, or in the way of another.
async fn read_head(
    gateway: &Gateway,
    guest: &mut Guest,
    until: Instant,
) -> Option<Result<Head, Refusal>> {
    let Guest { stream, place, .. } = guest;
    match in_time(gateway, place, until, Head::read(stream)).await? {
        Ok(Ok(head)) => Some(Ok(head)),
        Ok(Err(Unread::Refused(refusal))) => Some(Err(refusal)),
        // It has begun: the first byte was waited for.
        Err(_) => Some(Err(too_slow())),
        Ok(Err(Unread::Gone)) => {
            gateway.rejected("head");
            None
        }
    }
}

/// What is done until a time, if it need not give way to another before.
async fn in_time<T>(
    gateway: &Gateway,
    place: &Place,
    until: Instant,
    work: impl Future<Output = T>,
) -> Option<Result<T, Elapsed>> {
    tokio::select! {
        done = timeout_at(until, work) => Some(done),
        () = place.gone() => {
            gateway.rejected("crowded");
            None
        }
    }
}

/// RFC 9110, section 15.5.9.
fn too_slow() -> Refusal {
    let problem = Problem::new(408, "head_timeout", "Too slow")
        .detail("the request's head did not arrive within gateway.handshake_timeout");
    Refusal {
        problem: Box::new(problem),
        fields: "",
    }
}

/// Answers with a problem, and ends the connection.
async fn turn_down(guest: Guest, refusal: &Refusal) -> Option<Box<Opened>> {
    let Guest { stream, place, .. } = guest;
    part(stream, &place, &answer(&refusal.problem, refusal.fields)).await;
    None
}

/// Answers a handshake that is not admitted: 503 with `Retry-After` (RFC 9110 section 15.6.4).
pub(crate) async fn refuse(guest: Guest, refused: &Refused) {
    let Guest { stream, place, .. } = guest;
    part(stream, &place, &unavailable(refused)).await;
}

/// The same for one that there is no place for: nothing is waited for.
fn refuse_at_once(stream: &TcpStream) {
    let refused = Refused::later("arrivals");
    if let Err(error) = stream.try_write(&unavailable(&refused)) {
        tracing::trace!(%error, "a refusal for a socket that is gone");
    }
}

fn unavailable(refused: &Refused) -> Vec<u8> {
    let (code, title, why) = match refused.reason {
        "draining" => ("draining", "Draining", "takes no new connections"),
        "rate" | "address" => (
            "overloaded",
            "Overloaded",
            "is at its limit of handshakes per second",
        ),
        "user" => (
            "overloaded",
            "Overloaded",
            "is at its limit of handshakes per second of one user",
        ),
        "arrivals" => (
            "overloaded",
            "Overloaded",
            "is at its limit of handshakes under way",
        ),
        "gone" => (
            "unavailable",
            "Unavailable",
            "has seen that your side of the connection is closed",
        ),
        "store" => (
            "unavailable",
            "Unavailable",
            "cannot reach its store, so it could not promise you anything",
        ),
        _ => ("overloaded", "Overloaded", "is at its limit of connections"),
    };
    let seconds = refused.retry_after.as_secs();
    let problem = Problem::new(503, code, title)
        .detail(format!("this gateway {why}; try again in {seconds} s"))
        .retry_after(refused.retry_after);
    answer(&problem, "")
}

/// A problem as the last answer of a connection.
fn answer(problem: &Problem, fields: &str) -> Vec<u8> {
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

/// Says a last word. What the client still sends lies unread; closing on it would reset the word away.
async fn part(mut stream: TcpStream, place: &Place, word: &[u8]) {
    place.waits();
    let goodbye = async {
        stream.write_all(word).await.ok()?;
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
