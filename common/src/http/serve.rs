//! Accepts connections and serves them, until told to stop; then lets requests end.

use std::{future::pending, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{Uri, request::Parts},
};
use futures_util::future::BoxFuture;
use hyper::{body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::oneshot,
    time::{interval, sleep, timeout},
};
use tokio_util::{io::InspectReader, sync::CancellationToken, task::TaskTracker};

use super::{Accepted, Acceptor, Arrival, Crowd, Place};

/// Between two requests. Longer than proxies keep an idle connection (60 s), so that it is they who close
/// it and no request meets a closing one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// From the first byte of a request's head to its last.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// For a request's head; a longer one is answered 431. Bodies are bounded by the routes.
const HEAD_BYTES: usize = 16 << 10;
/// While every connection has a request under way.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// Serves until `stop`, then finishes the requests under way, for at most `patience`. Where `crowd` is
/// full, the connection that has been idle for longest gives way to the next.
///
/// Boxed, as all that a program awaits of another crate and that leads far: an `async fn` would be compiled
/// again in each of them.
pub fn serve(
    listener: TcpListener,
    router: Router,
    crowd: Crowd,
    stop: CancellationToken,
    patience: Duration,
) -> BoxFuture<'static, ()> {
    Box::pin(served(listener, router, crowd, stop, patience))
}

async fn served(
    listener: TcpListener,
    router: Router,
    crowd: Crowd,
    stop: CancellationToken,
    patience: Duration,
) {
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    let mut acceptor = Acceptor::new(listener, crowd.clone(), IDLE_TIMEOUT);
    let accepting = async {
        loop {
            let (stream, place) = match acceptor.next().await {
                Accepted::Begins(Arrival { stream, place, .. }) => (stream, place),
                Accepted::NoPlace(stream) => (stream, enter(&crowd).await),
                Accepted::GaveWay | Accepted::Silent => continue,
            };
            let connection = serve_connection(stream, router.clone(), place, stop.clone());
            let abort = abort.clone();
            connections.spawn(async move {
                abort.run_until_cancelled(connection).await;
            });
        }
    };
    let hurrying = async {
        let mut every = interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            crowd.hurry(HEAD_TIMEOUT);
        }
    };
    stop.run_until_cancelled(async { tokio::join!(accepting, hurrying) })
        .await;
    drop(acceptor);
    connections.close();
    if timeout(patience, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests did not end in time and are cut off"
        );
        abort.cancel();
        connections.wait().await;
    }
}

async fn enter(crowd: &Crowd) -> Place {
    loop {
        sleep(FULL_PAUSE).await;
        if let Some(place) = crowd.place() {
            return place;
        }
    }
}

/// One connection, from its first request to its last, or until it has to give way; or until a route has taken
/// it for another protocol (RFC 9110, section 7.8), with its place.
pub async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    place: Place,
    stop: CancellationToken,
) {
    serve_until_taken(stream, router, place, stop, |_| false).await;
}

/// A request that is taken out of its connection, for the taker to answer on the bare stream.
#[derive(Debug)]
pub struct Taken<S> {
    /// What it came on. Nothing of the answer is written.
    pub stream: S,
    /// Its head.
    pub request: Parts,
    /// The connection's.
    pub place: Place,
}

/// The same, until a request for an address that `is_taken`: it may be a later one of the connection, where a
/// browser or proxy keeps that open.
pub async fn serve_until_taken<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    place: Place,
    stop: CancellationToken,
    is_taken: impl Fn(&Uri) -> bool,
) -> Option<Taken<S>> {
    let place = Arc::new(place);
    let router = TowerToHyperService::new(router);
    let speaker = place.clone();
    let stream = InspectReader::new(stream, move |bytes: &[u8]| {
        if !bytes.is_empty() {
            speaker.speaks();
        }
    });
    let (take, mut taken) = oneshot::channel();
    let take = Mutex::new(Some(take));
    let worker = place.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        worker.works();
        let answer = if is_taken(request.uri()) {
            let (head, _) = request.into_parts();
            if let Some(take) = take.lock().take() {
                drop(take.send(head));
            }
            None
        } else {
            Some(router.call(request.map(Body::new)))
        };
        let worker = worker.clone();
        async move {
            let answer = match answer {
                Some(answer) => answer.await,
                None => pending().await,
            };
            worker.waits();
            answer
        }
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut stopped = false;
    let request = loop {
        tokio::select! {
            ended = &mut serving => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection failed");
                }
                return None;
            }
            Ok(request) = &mut taken => break request,
            () = place.gone(), if !stopped => return None,
            () = stop.cancelled(), if !stopped => {
                stopped = true;
                std::pin::Pin::new(&mut serving).graceful_shutdown();
            }
        }
    };
    // Answers before it are written: its client waited for them, or would have to (RFC 9112, section 9.3.2).
    let stream = serving.into_parts()?.io.into_inner().into_inner();
    let place = Arc::into_inner(place)?;
    Some(Taken {
        stream,
        request,
        place,
    })
}
