//! Accepts connections and serves them, until told to stop; then lets requests end.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::Router;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::AcceptFailures;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;
/// Connections at once; further ones wait in the backlog.
const MAX_CONNECTIONS: usize = 16_384;
/// For a request's head, and between two requests. Longer than proxies keep an idle connection
/// (60 s), so that it is they who close it and no request meets a closing one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// For a request's head; a longer one is answered 431. Bodies are bounded by the routes.
const HEAD_BYTES: usize = 64 << 10;
/// After accepting failed, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens at an address; port 0 takes a free one.
///
/// # Errors
/// Those of binding.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves until `stop`, then finishes the requests under way, for at most `patience`.
///
/// Boxed, as all that a program awaits of another crate and that leads far: an `async fn` would be compiled
/// again in each of them.
pub fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    patience: Duration,
) -> BoxFuture<'static, ()> {
    Box::pin(served(listener, router, stop, patience))
}

async fn served(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
    patience: Duration,
) {
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let accepting = async {
        let mut failures = AcceptFailures::default();
        loop {
            let Ok(place) = places.clone().acquire_owned().await else {
                return;
            };
            let stream = accept(&listener, &mut failures).await;
            let connection = connection(stream, router.clone(), stop.clone());
            let abort = abort.clone();
            connections.spawn(async move {
                abort.run_until_cancelled(connection).await;
                drop(place);
            });
        }
    };
    stop.run_until_cancelled(accepting).await;
    drop(listener);
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

async fn accept(listener: &TcpListener, failures: &mut AcceptFailures) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                failures.tell(&error);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, from its first request to its last.
async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not to be had");
    }
    let service = TowerToHyperService::new(router);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let ended = match stop.run_until_cancelled(serving.as_mut()).await {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}
