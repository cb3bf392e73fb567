//! The way to the collector: OTLP over gRPC or HTTP, with the TLS that everything else here has.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
    tonic_types::metadata::MetadataMap,
};
use rustls::ClientConfig;
use tonic::transport::Endpoint;

use crate::settings::{SettingsError, TracingProtocol, TracingSettings};

/// Largest answer that is read: a collector says little.
const ANSWER_BYTES: usize = 65_536;

/// What sends spans to the collector that the settings name. Nothing is connected yet.
///
/// # Errors
/// The setting that cannot be used.
pub(super) fn exporter(settings: &TracingSettings) -> Result<SpanExporter, SettingsError> {
    let tls = settings.tls()?;
    let headers = settings.headers()?;
    match settings.protocol {
        TracingProtocol::Grpc => over_grpc(settings, tls, headers),
        TracingProtocol::Http => over_http(settings, tls, headers),
    }
}

fn over_grpc(
    settings: &TracingSettings,
    tls: ClientConfig,
    headers: HashMap<String, String>,
) -> Result<SpanExporter, SettingsError> {
    let endpoint = Endpoint::from_shared(settings.endpoint().to_owned());
    let endpoint = endpoint.map_err(|error| unusable(&error))?;
    let channel = endpoint
        .connect_timeout(settings.timeout)
        .timeout(settings.timeout)
        .connect_with_connector_lazy(connector(tls, settings.protocol));
    let headers = (&headers).try_into().map_err(|error| unusable(&error))?;
    SpanExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_metadata(MetadataMap::from_headers(headers))
        .with_timeout(settings.timeout)
        .build()
        .map_err(|error| refused(&error))
}

fn over_http(
    settings: &TracingSettings,
    tls: ClientConfig,
    headers: HashMap<String, String>,
) -> Result<SpanExporter, SettingsError> {
    let client = Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .build(connector(tls, settings.protocol));
    SpanExporter::builder()
        .with_http()
        .with_http_client(Collector(client))
        .with_endpoint(settings.url())
        .with_headers(headers)
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(settings.timeout)
        .build()
        .map_err(|error| refused(&error))
}

fn connector(tls: ClientConfig, protocol: TracingProtocol) -> HttpsConnector<HttpConnector> {
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http();
    match protocol {
        TracingProtocol::Grpc => connector.enable_http2().build(),
        TracingProtocol::Http => connector.enable_http1().build(),
    }
}

fn unusable(error: &dyn std::fmt::Display) -> SettingsError {
    SettingsError::new(
        "tracing.endpoint",
        error.to_string(),
        "write scheme, host and port, such as \"http://collector:4317\"",
    )
}

/// What the exporter reads of the environment by itself: compression, which is not built in.
fn refused(error: &ExporterBuildError) -> SettingsError {
    SettingsError::new(
        "tracing.endpoint",
        error.to_string(),
        "leave out what OTEL_EXPORTER_OTLP_… asks for beyond docs/operations.md",
    )
}

type Over = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// A collector that is spoken to over HTTP.
#[derive(Debug)]
struct Collector(Over);

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.request(request.map(Full::new)).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}
