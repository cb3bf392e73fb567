//! The documents and pages as a dispatcher serves them: to everyone, for the keys are what is secret.

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use carillon_common::settings::Settings;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::{documents, page};
use crate::{
    app::App,
    paths::{ASYNCAPI, DOCS, ERRORS, OPENAPI},
};

/// They change with the program and its settings alone.
const CACHED: &str = "public, max-age=300";

/// The routes that show the contract.
pub(crate) fn served(settings: &Settings) -> Router<Arc<App>> {
    let (openapi, asyncapi) = (documents::openapi(settings), documents::asyncapi(settings));
    let docs = page::contract(&openapi, &asyncapi);
    let json = "application/json";
    Router::new()
        .route(OPENAPI, Shown::new(documents::text(&openapi), json).route())
        .route(
            ASYNCAPI,
            Shown::new(documents::text(&asyncapi), json).route(),
        )
        .route(DOCS, Shown::page(docs).route())
        .route(ERRORS, Shown::page(page::errors()).route())
}

/// A text, and how it is told.
#[derive(Clone)]
struct Shown {
    text: Bytes,
    headers: HeaderMap,
    tag: HeaderValue,
}

impl Shown {
    fn new(text: String, kind: &'static str) -> Self {
        let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(&text));
        // Base64 between quotes is a header's value.
        let tag = HeaderValue::try_from(format!("\"{digest}\""));
        let tag = tag.unwrap_or(HeaderValue::from_static("\"\""));
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, CACHED),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.insert(header::ETAG, tag.clone());
        Self {
            text: text.into(),
            headers,
            tag,
        }
    }

    /// A page, which loads and runs nothing.
    fn page(text: String) -> Self {
        let mut shown = Self::new(text, "text/html; charset=utf-8");
        if let Ok(policy) = HeaderValue::try_from(page::policy()) {
            let name = header::CONTENT_SECURITY_POLICY;
            shown.headers.insert(name, policy);
        }
        let referrer = HeaderValue::from_static("no-referrer");
        shown.headers.insert(header::REFERRER_POLICY, referrer);
        shown
    }

    fn route(self) -> MethodRouter<Arc<App>> {
        get(async move |headers: HeaderMap| self.answer(&headers))
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        if is_known(asked, &self.tag) {
            let mut headers = self.headers.clone();
            headers.remove(header::CONTENT_TYPE);
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (self.headers.clone(), self.text.clone()).into_response()
    }
}

/// Whether the caller has this already (RFC 9110, section 13.1.2).
fn is_known(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let tags = asked.get_all(header::IF_NONE_MATCH).iter();
    tags.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == "*" || one.as_bytes() == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_told_again() {
        let shown = Shown::new("{}".to_owned(), "application/json");
        let tag = shown.tag.to_str().unwrap();
        for (asked, known) in [
            (tag.to_owned(), true),
            (format!("W/{tag}"), true),
            (format!("\"x\", {tag}"), true),
            ("*".to_owned(), true),
            ("\"x\"".to_owned(), false),
            (String::new(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, asked.parse().unwrap());
            let answer = shown.answer(&headers);
            assert_eq!(answer.status() == 304, known, "{asked}");
            assert_eq!(answer.headers()["etag"], *tag);
            assert_eq!(answer.headers()["cache-control"], CACHED);
        }
        assert_eq!(shown.answer(&HeaderMap::new()).status(), 200);
    }
}
