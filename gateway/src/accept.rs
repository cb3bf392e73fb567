//! The public port: our own accept loop.
//!
//! A request's head is looked at without being consumed: a WebSocket upgrade of our path goes to
//! tokio-tungstenite on the bare TCP stream (a connection that came through an HTTP server keeps
//! that server's buffers for its whole life), everything else to axum.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::Router;
use carillon_common::http::AcceptFailures;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{admission::Refused, connection::Opened, gateway::Gateway};

/// A handshake's head; larger ones are answered as HTTP.
const HEAD_BYTES: usize = 16 * 1024;
/// A request's head; a larger one is answered 431.
const HTTP_HEAD_BYTES: usize = 64 * 1024;
/// As many as the HTTP server takes.
const HEADERS: usize = 100;

/// Where a request belongs.
enum Head {
    Upgrade(Uri, HeaderMap),
    Http,
}

/// Accepts until `stop`.
pub(crate) async fn accept(
    gateway: &Arc<Gateway>,
    listener: TcpListener,
    http: Router,
    stop: CancellationToken,
    tasks: &TaskTracker,
) {
    let mut failures = AcceptFailures::default();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Boxed: what comes before a connection is not to size its task.
                let begun = begin(gateway.clone(), stream, peer, http.clone(), stop.clone());
                tasks.spawn(live(gateway.clone(), Box::pin(begun)));
            }
            Err(error) => {
                // Mostly out of descriptors: give the others time to end.
                failures.tell(&error);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Runs a connection, if one begins.
async fn live<F>(gateway: Arc<Gateway>, begun: Pin<Box<F>>)
where
    F: Future<Output = Option<Box<Opened>>>,
{
    let opened = begun.await;
    if let Some(opened) = opened {
        gateway.hold(opened).await;
    }
}

/// Everything up to the connection; an HTTP request is answered.
async fn begin(
    gateway: Arc<Gateway>,
    stream: TcpStream,
    peer: SocketAddr,
    http: Router,
    stop: CancellationToken,
) -> Option<Box<Opened>> {
    drop(stream.set_nodelay(true));
    let within = gateway.settings().gateway.handshake_timeout;
    let path = &gateway.settings().gateway.path;
    match timeout(within, look(&stream, path)).await {
        Ok(Ok(Head::Upgrade(uri, headers))) => gateway.upgrade(stream, peer, uri, headers).await,
        Ok(Ok(Head::Http)) => {
            serve_http(stream, http, stop).await;
            None
        }
        _ => {
            let rejected = &gateway.metrics().all.handshakes_rejected;
            rejected.with_label_values(&["head"]).inc();
            None
        }
    }
}

/// Reads the request's head and leaves it in the socket.
async fn look(stream: &TcpStream, path: &str) -> io::Result<Head> {
    let mut buffer = vec![0; HEAD_BYTES];
    loop {
        let length = stream.peek(&mut buffer).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&buffer[..length]) {
            Ok(httparse::Status::Complete(_)) => return Ok(sort(&request, path)),
            // What is not HTTP is for the HTTP server to answer.
            Err(_) => return Ok(Head::Http),
            Ok(httparse::Status::Partial) if length == HEAD_BYTES => return Ok(Head::Http),
            // The rest of the head is under way; there is no event for "more than before".
            Ok(httparse::Status::Partial) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// Whether the request is a handshake that can be answered with 101 (RFC 6455 section 4.2.1).
fn is_handshake(request: &httparse::Request<'_, '_>) -> bool {
    let has = |name: &str, wanted: &str| {
        let named = request
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name));
        let mut items = named.flat_map(|header| header.value.split(|byte| *byte == b','));
        items.any(|item| {
            wanted.is_empty() || item.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
        })
    };
    request.method == Some(Method::GET.as_str())
        && request.version == Some(1)
        && has("upgrade", "websocket")
        && has("connection", "upgrade")
        && has("sec-websocket-version", "13")
        && has("sec-websocket-key", "")
}

fn sort(request: &httparse::Request<'_, '_>, path: &str) -> Head {
    let uri = request.path.and_then(|path| path.parse::<Uri>().ok());
    match uri {
        Some(uri) if uri.path() == path && is_handshake(request) => {
            let mut headers = HeaderMap::new();
            for header in request.headers.iter() {
                if let (Ok(name), Ok(value)) = (
                    HeaderName::try_from(header.name),
                    HeaderValue::from_bytes(header.value),
                ) {
                    headers.append(name, value);
                }
            }
            Head::Upgrade(uri, headers)
        }
        _ => Head::Http,
    }
}

async fn serve_http(stream: TcpStream, http: Router, stop: CancellationToken) {
    let service = TowerToHyperService::new(http);
    let mut connection = std::pin::pin!(
        hyper::server::conn::http1::Builder::new()
            .timer(hyper_util::rt::TokioTimer::new())
            .max_buf_size(HTTP_HEAD_BYTES)
            .header_read_timeout(Duration::from_secs(30))
            .serve_connection(TokioIo::new(stream), service)
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::trace!(%error, "an HTTP connection ended");
    }
}

/// Answers a handshake that is not admitted: 503 with `Retry-After` (RFC 9110 section 15.6.4).
pub(crate) async fn refuse(mut stream: TcpStream, refused: &Refused) {
    let seconds = refused.retry_after.as_secs();
    let (code, title, why) = match refused.reason {
        "draining" => ("draining", "Draining", "takes no new connections"),
        "rate" => (
            "overloaded",
            "Overloaded",
            "is at its limit of handshakes per second",
        ),
        "store" => (
            "unavailable",
            "Unavailable",
            "cannot reach its store, so it could not promise you anything",
        ),
        _ => ("overloaded", "Overloaded", "is at its limit of connections"),
    };
    let body = format!(
        "{{\"type\":\"urn:carillon:problem:{code}\",\"title\":\"{title}\",\"status\":503,\
         \"code\":\"{code}\",\"retryable\":true,\
         \"detail\":\"this gateway {why}; try again in {seconds} s\"}}"
    );
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
         retry-after: {seconds}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let goodbye = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // The request still lies unread; closing on it would reset the answer away.
        let mut rest = [0; 1024];
        while tokio::io::AsyncReadExt::read(&mut stream, &mut rest).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    drop(timeout(Duration::from_secs(2), goodbye).await);
}

/// The answer to a request of our path that is not an upgrade (RFC 9110 section 15.5.22), or not to
/// the version that is spoken here (RFC 6455 section 4.2.2).
pub(crate) fn upgrade_required() -> axum::response::Response {
    use axum::response::IntoResponse;
    let problem = carillon_common::http::Problem::new(426, "upgrade_required", "Upgrade Required")
        .detail("this address speaks WebSocket: connect with a WebSocket client");
    let mut response = problem.into_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_VERSION,
        HeaderValue::from_static("13"),
    );
    response
}
