//! `[tracing]`: which notifications are traced, and where their spans go.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;

use super::error::SettingsError;
use super::read::{settings, words};
use crate::auth::Secret;
use crate::tls::{Tls, client_config};

settings! {
    /// `[tracing]`: spans, as OpenTelemetry has them.
    pub struct TracingSettings {
        /// Where they go; none is made without.
        pub endpoint: Option<String>,
        /// How they get there.
        pub protocol: TracingProtocol,
        /// What is appended to the endpoint with HTTP.
        pub path: Option<String>,
        /// Further headers; see [`TracingSettings::headers`].
        pub headers: Secret<String>,
        /// The authorities to trust instead of the public ones.
        pub ca_file: Option<PathBuf>,
        /// Longest time of one delivery to the collector.
        pub timeout: Duration,
        /// Who decides what is traced.
        pub sampler: TracingSampler,
        /// Part of the requests (0 to 1), for the samplers that have one.
        pub ratio: f64,
        /// The service's name, instead of the program's.
        pub service_name: Option<String>,
        /// Further attributes; see [`TracingSettings::resource_attributes`].
        pub resource_attributes: String,
        /// Finished spans that may wait.
        pub queue: usize,
        /// Spans of one delivery.
        pub batch: usize,
        /// How long they are gathered.
        pub delay: Duration,
    }
}

/// How spans get to the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TracingProtocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP, in protobuf.
    Http,
}

words!(TracingProtocol {
    Grpc: "grpc",
    Http: "http/protobuf"
});

/// Which requests are traced, in the words of `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TracingSampler {
    /// As the caller says, else by ratio.
    ParentOrRatio,
    /// As the caller says, else all.
    ParentOrOn,
    /// As the caller says, else none.
    ParentOrOff,
    /// By ratio.
    Ratio,
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
}

words!(TracingSampler {
    ParentOrRatio: "parentbased_traceidratio",
    ParentOrOn: "parentbased_always_on",
    ParentOrOff: "parentbased_always_off",
    Ratio: "traceidratio",
    AlwaysOn: "always_on",
    AlwaysOff: "always_off"
});

impl TracingSettings {
    /// Whether spans are made at all.
    pub fn is_on(&self) -> bool {
        self.endpoint.is_some()
    }

    /// Where they go.
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_deref().unwrap_or_default()
    }

    /// The whole URL, with HTTP.
    pub fn url(&self) -> String {
        let path = self.path.as_deref().unwrap_or_default();
        match path {
            "" => self.endpoint().to_owned(),
            path => format!("{}{path}", self.endpoint().trim_end_matches('/')),
        }
    }

    /// Whom TLS trusts. Reads the file anew.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn tls(&self) -> Result<ClientConfig, SettingsError> {
        let tls = Tls {
            ca_file: self.ca_file.clone(),
            identity: None,
        };
        client_config(&tls).map_err(|error| {
            SettingsError::new(
                "tracing.ca_file",
                error.problem,
                "name a file with the collector's authority in PEM, or leave it empty for the public ones",
            )
        })
    }

    /// The headers, by name.
    ///
    /// # Errors
    /// What is not `name=value`.
    pub fn headers(&self) -> Result<HashMap<String, String>, SettingsError> {
        let pairs = pairs(self.headers.expose());
        let headers = pairs.map(HashMap::<String, String>::from_iter);
        headers
            .filter(|headers| HeaderMap::<HeaderValue>::try_from(headers).is_ok())
            .ok_or_else(|| {
                SettingsError::new(
                    "tracing.headers",
                    "is no list of headers",
                    "write name=value,name=value, with commas in values as %2C",
                )
            })
    }

    /// The attributes, in order.
    ///
    /// # Errors
    /// What is not `key=value`.
    pub fn resource_attributes(&self) -> Result<Vec<(String, String)>, SettingsError> {
        pairs(&self.resource_attributes).ok_or_else(|| {
            SettingsError::new(
                "tracing.resource_attributes",
                "is no list of attributes",
                "write key=value,key=value, with commas in values as %2C",
            )
        })
    }
}

/// `name=value,name=value` with percent-encoded values, as the variables of OpenTelemetry have it.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .map(|item| {
            let (name, value) = item.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            let name = name.trim();
            (!name.is_empty()).then(|| (name.to_owned(), value.into_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_as_opentelemetry_writes_them() {
        let read = pairs(" api-key = a%2Cb ,x=1=2,").unwrap();
        let expected = [("api-key", "a,b"), ("x", "1=2")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read, expected);
        assert_eq!(pairs(""), Some(Vec::new()));
        assert_eq!(pairs("a"), None);
        assert_eq!(pairs("=a"), None);
        assert_eq!(pairs("a=%ff"), None);
    }
}
