//! A collector of spans (OTLP over gRPC and HTTP), and what services send to it.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::Response,
    routing::post,
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::poll::eventually;

const OVER_HTTP: &str = "/v1/traces";
const OVER_GRPC: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Before each message of gRPC: whether it is compressed, and its length.
const GRPC_PREFIX: usize = 5;

/// A running collector; it ends when dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Taken>,
    _serving: AbortOnDropHandle<()>,
}

/// A span, and who made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Collected {
    /// The attributes of the process.
    pub resource: Vec<KeyValue>,
    /// The span itself.
    pub span: Span,
}

#[derive(Debug, Default)]
struct Taken {
    spans: Mutex<Vec<Collected>>,
    headers: Mutex<Vec<HeaderMap>>,
}

impl Collector {
    /// Starts it at a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let taken = Arc::<Taken>::default();
        let router = Router::new()
            .route(OVER_HTTP, post(over_http))
            .route(OVER_GRPC, post(over_grpc))
            .with_state(taken.clone());
        Ok(Self {
            address,
            taken,
            _serving: AbortOnDropHandle::new(tokio::spawn(serve(listener, router))),
        })
    }

    /// `http://host:port`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that came so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Collected> {
        self.taken.spans.lock().clone()
    }

    /// The headers of all requests so far.
    #[must_use]
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.taken.headers.lock().clone()
    }

    /// Waits until so many spans are there, and answers with all of them.
    ///
    /// # Errors
    /// When they do not come `within` this time.
    pub async fn until(&self, count: usize, within: Duration) -> Result<Vec<Collected>> {
        eventually("spans are collected", within, async || {
            let spans = self.spans();
            ensure!(
                spans.len() >= count,
                "{} of {count}: {spans:#?}",
                spans.len()
            );
            Ok(spans)
        })
        .await
    }
}

impl Collected {
    /// Its text attribute of this name; also of the process.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        let mut all = self.span.attributes.iter().chain(&self.resource);
        let found = all.find(|attribute| attribute.key == key)?;
        match found.value.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(text) => Some(text),
            _ => None,
        }
    }
}

async fn serve(listener: TcpListener, router: Router) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            let builder = Builder::new(TokioExecutor::new());
            // Whoever goes in the middle of it is none of our concern.
            drop(
                builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

async fn over_http(State(taken): State<Arc<Taken>>, request: Request) -> Response {
    let status = take(&taken, request, 0).await;
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        "content-type",
        HeaderValue::from_static("application/x-protobuf"),
    );
    answer
}

async fn over_grpc(State(taken): State<Arc<Taken>>, request: Request) -> Response {
    let status = match take(&taken, request, GRPC_PREFIX).await {
        StatusCode::OK => "0",
        _ => "3",
    };
    let trailers = HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(status),
    )]);
    // An empty message, uncompressed.
    let body = Full::new(Bytes::from_static(&[0; GRPC_PREFIX]))
        .with_trailers(async move { Some(Ok::<_, Infallible>(trailers)) });
    let mut answer = Response::new(Body::new(body));
    answer
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    answer
}

async fn take(taken: &Taken, request: Request, prefix: usize) -> StatusCode {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, 16 << 20).await else {
        return StatusCode::BAD_REQUEST;
    };
    let message = body.get(prefix..).map(ExportTraceServiceRequest::decode);
    let Some(Ok(message)) = message else {
        return StatusCode::BAD_REQUEST;
    };
    taken.headers.lock().push(head.headers);
    let mut spans = taken.spans.lock();
    for group in message.resource_spans {
        let resource = group.resource.unwrap_or_default().attributes;
        let of_scopes = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(of_scopes.map(|span| Collected {
            resource: resource.clone(),
            span,
        }));
    }
    StatusCode::OK
}
