//! One fetch of a key set: bounded in time and size, and from the one place that the settings name.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::header::{ACCEPT, USER_AGENT};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::time::timeout;

use super::place::Place;
use super::set::{KeySet, NoSet};
use crate::tls::{Tls, TlsFileError, client_config};

/// Largest answer that is read, in bytes; a set with certificates has some 20 KiB.
const MOST_BYTES: usize = 256 << 10;
/// Largest head of an answer, in bytes.
const HEAD_BYTES: usize = 16 << 10;
const MEDIA_TYPES: &str = "application/jwk-set+json, application/json";
const AGENT: &str = concat!("carillon/", env!("CARGO_PKG_VERSION"));

/// Why a fetch brought no set. Never holds what the host sent, apart from where it is no JSON.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("the whole answer was not there within auth.jwks_timeout")]
    Timeout,
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("jwks_ca_file: {0}")]
    CaFile(TlsFileError),
    #[error("it answers {0}, a redirect, and those are not followed: write where it leads to")]
    Redirect(u16),
    #[error("it answers {0} instead of 200")]
    Status(u16),
    #[error("its answer has more than 256 KiB")]
    TooLarge,
    #[error("its answer {0}")]
    NoSet(NoSet),
}

impl FetchError {
    /// The value of the metric's label.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::CaFile(_) => "ca_file",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::NoSet(NoSet::Malformed(_)) => "malformed",
            Self::NoSet(NoSet::TooMany(_)) => "too_many_keys",
            Self::NoSet(NoSet::Useless(_)) => "no_keys",
        }
    }
}

/// What fetches key sets; the tests have one of their own.
#[async_trait]
pub(crate) trait Fetch: Send + Sync {
    async fn fetch(&self, place: &Place) -> Result<KeySet, FetchError>;
}

/// Over HTTP, within this time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OverHttp {
    pub(crate) timeout: Duration,
}

#[async_trait]
impl Fetch for OverHttp {
    async fn fetch(&self, place: &Place) -> Result<KeySet, FetchError> {
        let body = timeout(self.timeout, body_of(place));
        let body = body.await.map_err(|_| FetchError::Timeout)??;
        KeySet::read(&body).map_err(FetchError::NoSet)
    }
}

/// A connection for each: they are minutes apart, and whoever renews a certificate restarts nothing.
async fn body_of(place: &Place) -> Result<Bytes, FetchError> {
    let tls = Tls {
        ca_file: place.ca_file.clone(),
        identity: None,
    };
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(client_config(&tls).map_err(FetchError::CaFile)?)
        .https_or_http()
        .enable_http1()
        .build();
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .http1_max_buf_size(HEAD_BYTES)
        .build(connector);
    let request = Request::get(place.url.as_str())
        .header(ACCEPT, MEDIA_TYPES)
        .header(USER_AGENT, AGENT)
        .body(Empty::<Bytes>::new())
        .map_err(|error| FetchError::Unreachable(error.to_string()))?;
    let answer = client.request(request).await;
    let answer = answer.map_err(|error| FetchError::Unreachable(causes(&error)))?;
    match answer.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => return Err(FetchError::Redirect(status.as_u16())),
        status => return Err(FetchError::Status(status.as_u16())),
    }
    let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => FetchError::TooLarge,
        false => FetchError::Unreachable(causes(&*error)),
    })?;
    Ok(body.to_bytes())
}

/// An error with what lies behind it: the first alone says that it is one.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push_str(&format!(": {error}"));
        cause = error.source();
    }
    told
}
