//! Requests of pages, to the routes that pages may call: which origins may (Fetch standard, section 3.3), and the answer
//! to a browser that asks first. Everything else is for services, and its preflights are refused.

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use carillon_common::{http::RefusedOrigins, settings::GatewaySettings};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;

use crate::{error::ApiError, paths::OF_PAGES};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
/// What a page may send besides what every page may.
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, x-request-id");
/// What a page may read of an answer besides what every page may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "retry-after, x-request-id, idempotent-replayed, ratelimit, ratelimit-policy",
);
/// For how long a browser need not ask again, in seconds: the most that any of them takes.
const KNOWN_FOR: HeaderValue = HeaderValue::from_static("86400");

/// A page that calls a route of pages.
#[derive(Debug)]
pub(crate) struct Page {
    /// Where it is from.
    origin: HeaderValue,
    /// Whether pages from there may call.
    may: bool,
    /// Whether any origin may, so that none has to be named.
    any: bool,
    /// Its browser asks first.
    asks: bool,
}

impl Page {
    /// The page that a request comes from, if it comes from one, to a route of pages.
    pub(crate) fn of(request: &Request, settings: &GatewaySettings) -> Option<Self> {
        let path = request.uri().path();
        // A name that ends in a slash begins others.
        let is_open =
            |open: &&str| path == *open || (open.ends_with('/') && path.starts_with(*open));
        if !OF_PAGES.iter().any(is_open) {
            return None;
        }
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN)?;
        Some(Self {
            may: origin.to_str().is_ok_and(|it| settings.allows_origin(it)),
            origin: origin.clone(),
            any: settings.origins.is_empty(),
            asks: request.method() == Method::OPTIONS
                && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
        })
    }

    /// The answer to what never gets to its route.
    pub(crate) fn answer(&self, refused: &RefusedOrigins) -> Option<Response> {
        if !self.may {
            refused.refused(self.origin.as_bytes(), Instant::now());
            let origin = String::from_utf8_lossy(self.origin.as_bytes()).into_owned();
            return Some(ApiError::OriginNotAllowed(origin).into_response());
        }
        if !self.asks {
            return None;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, KNOWN_FOR);
        Some(response)
    }

    /// Lets the page read the answer. Nothing that a browser adds by itself counts here, so that no credentials are
    /// allowed.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if !self.any {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        if self.may {
            let origin = match self.any {
                true => HeaderValue::from_static("*"),
                false => self.origin.clone(),
            };
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use carillon_common::settings::Settings;

    use super::*;

    const APP: &str = "https://app.example.com";

    fn page(method: &str, path: &str, origin: Option<&str>, listed: &[&str]) -> Option<Page> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        if method == "OPTIONS" {
            request = request.header("access-control-request-method", "POST");
        }
        let mut settings = Settings::default().gateway;
        settings.origins = listed.iter().map(|it| (*it).to_owned()).collect();
        Page::of(&request.body(Body::empty()).unwrap(), &settings)
    }

    /// The status of the answer before any route, the origin that may read the answer, and whether that varies.
    fn told(page: &Page) -> (Option<u16>, Option<String>, bool) {
        let answer = page.answer(&RefusedOrigins::default());
        let mut headers = HeaderMap::new();
        page.tell(&mut headers);
        let origin = headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        (
            answer.map(|it| it.status().as_u16()),
            origin.map(|it| it.to_str().unwrap().to_owned()),
            headers.contains_key(header::VARY),
        )
    }

    #[test]
    fn pages_call_their_own_routes_alone() {
        for path in ["/api/tickets", "/api/me/inbox", "/api/me/"] {
            assert!(page("POST", path, Some(APP), &[]).is_some(), "{path}");
            assert!(
                page("POST", path, None, &[]).is_none(),
                "a service's: {path}"
            );
        }
        for path in [
            "/api/notifications/send",
            "/api/ticketsx",
            "/api/tickets/",
            "/api/me",
            "/",
        ] {
            assert!(page("POST", path, Some(APP), &[]).is_none(), "{path}");
        }
    }

    #[test]
    fn the_listed_origins_may_and_all_where_none_is() {
        let origin = |text: &str| Some(text.to_owned());
        for (method, from, listed, expected) in [
            ("POST", APP, &[][..], (None, origin("*"), false)),
            ("OPTIONS", APP, &[], (Some(204), origin("*"), false)),
            ("POST", "null", &[], (None, origin("*"), false)),
            ("POST", APP, &[APP], (None, origin(APP), true)),
            ("OPTIONS", APP, &[APP], (Some(204), origin(APP), true)),
            (
                "POST",
                APP,
                &["https://*.example.com"],
                (None, origin(APP), true),
            ),
            (
                "POST",
                "https://evil.example",
                &[APP],
                (Some(403), None, true),
            ),
            (
                "OPTIONS",
                "https://evil.example",
                &[APP],
                (Some(403), None, true),
            ),
            ("POST", "null", &[APP], (Some(403), None, true)),
        ] {
            let page = page(method, "/api/tickets", Some(from), listed).unwrap();
            assert_eq!(told(&page), expected, "{method} {from} {listed:?}");
        }
    }
}
