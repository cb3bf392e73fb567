//! The public port: our own accept loop and our own reading of a request's head.
//!
//! Not an HTTP server's, though hyper would give the bare stream back after an upgrade: it ends some of what
//! is no handshake without an answer (a head that never ends, HTTP/2, a head that is too long), and here each
//! is told what is wrong. What is meant for another path is handed on to it, with the bytes that were read.

use std::sync::Arc;

use axum::{Router, http::Uri};
use carillon_common::http::{Accepted, Acceptor, Arrival, Place, serve_until_taken};
use tokio::{
    net::TcpListener,
    time::{Instant, error::Elapsed, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Guest,
    head::{Head, Unread},
    proxy_protocol,
    refuse::{answer_problem, answer_unavailable_at_once, too_slow},
    request::{self, Refusal},
};
use crate::{
    connection::{Opened, Rewound},
    parts::Gateway,
    stream,
};

/// What a socket of the public port becomes.
enum Begun {
    Socket(Box<Opened>),
    Stream(Box<stream::Opened>),
}

/// Accepts until `stop`.
pub(crate) async fn accept(
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    http: Router,
    stop: CancellationToken,
    tasks: &TaskTracker,
) {
    let patience = gateway.settings.gateway.handshake_timeout;
    let mut acceptor = Acceptor::new(listener, gateway.arrivals.clone(), patience);
    while let Some(accepted) = stop.run_until_cancelled(acceptor.next()).await {
        match accepted {
            Accepted::Begins(arrival) => {
                tasks.spawn(live(gateway.clone(), arrival, http.clone(), stop.clone()));
            }
            Accepted::NoPlace(stream) => {
                gateway.rejected("arrivals");
                answer_unavailable_at_once(&stream);
            }
            Accepted::GaveWay => gateway.rejected("crowded"),
            Accepted::Silent => gateway.rejected("head"),
        }
    }
}

/// Runs a connection, if one begins.
///
/// No `async fn`, whose arguments would be a part of each connection's task for as long as that lives: what they are
/// needed for is boxed, and gone with its end. Nor do event streams make the task larger.
fn live(
    gateway: Arc<Gateway>,
    arrival: Arrival,
    http: Router,
    stop: CancellationToken,
) -> impl Future<Output = ()> {
    let until = arrival.at + gateway.settings.gateway.handshake_timeout;
    let guest = Guest {
        stream: arrival.stream,
        address: arrival.peer.ip(),
        place: arrival.place,
    };
    let begin = Box::pin(begin(gateway.clone(), guest, until, http, stop));
    async move {
        let begun = begin.await;
        match begun {
            Some(Begun::Socket(opened)) => gateway.run_connection(opened).await,
            Some(Begun::Stream(opened)) => Box::pin(gateway.run_stream(opened)).await,
            None => {}
        }
    }
}

/// Everything up to the connection. An HTTP request is answered here, until one is for an event stream: browsers and
/// proxies ask for that on a connection which they have used before.
async fn begin(
    gateway: Arc<Gateway>,
    mut guest: Guest,
    until: Instant,
    http: Router,
    stop: CancellationToken,
) -> Option<Begun> {
    if let Err(refusal) = announced(&gateway, &mut guest, until).await? {
        gateway.rejected("head");
        answer_problem(guest, &refusal).await;
        return None;
    }
    let head = match read_head(&gateway, &mut guest, until).await? {
        Ok(head) => head,
        Err(refusal) => {
            gateway.rejected("head");
            answer_problem(guest, &refusal).await;
            return None;
        }
    };
    match request::read(head.bytes(), &gateway.settings.gateway) {
        Ok(Some(upgrade)) => {
            guest.place.works();
            let opened = gateway.upgrade(guest, upgrade, head.into_rest()).await?;
            Some(Begun::Socket(opened))
        }
        Ok(None) => {
            let stream = Rewound::new(guest.stream, head.into_all());
            let path = gateway.settings.sse.path.clone();
            let is_stream = move |uri: &Uri| uri.path() == path;
            let taken = serve_until_taken(stream, http, guest.place, stop, is_stream).await?;
            let guest = Guest {
                stream: taken.stream.into_stream(),
                address: guest.address,
                place: taken.place,
            };
            let opened = gateway.stream(guest, &taken.request).await?;
            Some(Begun::Stream(opened))
        }
        Err(refusal) => {
            gateway.rejected("handshake");
            answer_problem(guest, &refusal).await;
            None
        }
    }
}

/// Reads what a trusted proxy says first of whose connection it is, where that is expected. `None` as below.
async fn announced(
    gateway: &Gateway,
    guest: &mut Guest,
    until: Instant,
) -> Option<Result<(), Refusal>> {
    let is_expected = {
        let rules = gateway.rules();
        let settings = &rules.settings.gateway;
        settings.proxy_protocol && settings.trusts(guest.address)
    };
    if !is_expected {
        return Some(Ok(()));
    }
    let Guest { stream, place, .. } = guest;
    match in_time(gateway, place, until, proxy_protocol::read(stream)).await? {
        Ok(Ok(address)) => {
            guest.address = address.unwrap_or(guest.address);
            Some(Ok(()))
        }
        Ok(Err(Unread::Refused(refusal))) => Some(Err(refusal)),
        Err(_) => Some(Err(too_slow())),
        Ok(Err(Unread::Gone)) => {
            gateway.rejected("head");
            None
        }
    }
}

/// `None` when there is nobody to answer: the client has gone, or gave way to another.
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

/// Works on a socket until a time, unless it has to give way to another.
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
