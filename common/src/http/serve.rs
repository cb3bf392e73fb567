//! Accepts connections and serves them, until told to stop; then lets requests end.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use futures_util::future::BoxFuture;
use hyper::{body::Incoming, server::conn::http1, service::Service as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{interval, sleep, timeout},
};
use tokio_util::{io::InspectReader, sync::CancellationToken, task::TaskTracker};

use super::{Acceptor, Crowd, Place};

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
    let acceptor = Acceptor::new(listener);
    let accepting = async {
        loop {
            let (stream, _) = acceptor.next().await;
            let place = enter(&crowd).await;
            let connection = begun(stream, router.clone(), place, stop.clone());
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
        match crowd.enter().await {
            Some(place) => return place,
            None => sleep(FULL_PAUSE).await,
        }
    }
}

/// A connection that has yet to say something: until it does, it costs little more than its descriptor.
async fn begun(stream: TcpStream, router: Router, place: Place, stop: CancellationToken) {
    // Not `readable`, which is true of a new socket before anything has come.
    let mut first = [0];
    let heard = tokio::select! {
        heard = timeout(IDLE_TIMEOUT, stream.peek(&mut first)) => matches!(heard, Ok(Ok(1..))),
        () = place.gone() => false,
        () = stop.cancelled() => false,
    };
    if heard {
        Box::pin(serve_connection(stream, router, place, stop)).await;
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
    let place = Arc::new(place);
    let router = TowerToHyperService::new(router);
    let speaker = place.clone();
    let stream = InspectReader::new(stream, move |bytes: &[u8]| {
        if !bytes.is_empty() {
            speaker.speaks();
        }
    });
    let worker = place.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        worker.works();
        let (worker, answer) = (worker.clone(), router.call(request.map(Body::new)));
        async move {
            let answer = answer.await;
            worker.waits();
            answer
        }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = place.gone() => return,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}
