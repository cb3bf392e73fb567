//! What every request passes on its way in and out: its id, its place among those under way, the
//! problem that answers it when it failed, the counters.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{app::Service, error::ApiError, router, traced::ForLog};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// When a request came in; its time runs from there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival(Instant);

impl Arrival {
    /// The request's, else now.
    pub(crate) fn of(request: &Request) -> Instant {
        match request.extensions().get() {
            Some(Self(at)) => *at,
            None => Instant::now(),
        }
    }
}

/// How a request is named in its answer and in the log.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The request's; every request that passed the edge has one.
    pub(crate) fn of(request: &Request) -> &str {
        let id = request.extensions().get::<Self>();
        id.and_then(|Self(id)| id.to_str().ok()).unwrap_or("-")
    }
}

/// Wraps every route.
pub(crate) async fn edge(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let arrived = Instant::now();
    let _under_way = service.counters.under_way();
    let id = request_id(request.headers());
    let route = router::pattern(request.uri().path());
    request.extensions_mut().insert(Arrival(arrived));
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = match service.under_way.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => ApiError::Overloaded.into_response(),
    };
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        ForLog::within(&response, || service.failures.log(&error, &id));
        service.counters.refusal(&error);
        response = problem(&error, &id, response.headers_mut().remove(header::ALLOW));
    }
    response.headers_mut().insert(REQUEST_ID, id);
    let took = arrived.elapsed();
    service.counters.request(route, response.status(), took);
    response
}

fn problem(error: &ApiError, id: &HeaderValue, allow: Option<HeaderValue>) -> Response {
    let mut response = error.answer(id);
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// The caller's own id if it is harmless in a log, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    if let Some(id) = headers.get(REQUEST_ID).filter(|id| is_harmless(id)) {
        return id.clone();
    }
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::now_v7().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("-"))
}

fn is_harmless(id: &HeaderValue) -> bool {
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(harmless)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::{Body, to_bytes};
    use carillon_common::{
        auth::Keyring,
        backend::{
            Limits,
            memory::{MemoryBackend, MemoryBounds},
        },
        settings::Settings,
        telemetry::{Metrics, Spans},
    };
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::App;

    #[tokio::test]
    async fn beyond_the_bound_requests_are_told_to_come_again() {
        let second = Duration::from_secs(1);
        let limits = Limits {
            inbox_ttl: second,
            inbox_max: 1,
            inbox_keep: 1,
            page: 1,
            devices: 1,
            device_ttl: second,
            connections: 100,
            kept: 100,
            restore: second,
            lease_ttl: second,
            lease_renew: second,
            isolation_deadline: second,
        };
        let backend = MemoryBackend::new(limits, MemoryBounds::default());
        let settings = Settings::default();
        let keyring = Keyring::new(settings.auth.credentials().unwrap());
        let app = App::new(
            Arc::new(settings),
            keyring,
            backend,
            Metrics::new("test"),
            Spans::default(),
        );
        let service = TowerToHyperService::new(app.router());
        let ask = async || {
            let response = service.call(Request::new(Body::empty())).await.unwrap();
            let (head, body) = response.into_parts();
            let body = to_bytes(body, 4096).await.unwrap();
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
            (head.status.as_u16(), problem["code"].clone())
        };
        let held = app.hold_every_place();
        assert_eq!(ask().await, (503, "overloaded".into()));
        drop(held);
        assert_eq!(ask().await, (404, "not_found".into()));
    }

    fn answered(id: &str) -> HeaderValue {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_str(id).unwrap());
        request_id(&headers)
    }

    #[test]
    fn a_harmless_id_is_kept_and_any_other_replaced() {
        assert_eq!(answered("a1-B2_c3.d4:e5/f6+g7=@"), "a1-B2_c3.d4:e5/f6+g7=@");
        for id in ["", "a b", "a\"b", "{}", &"x".repeat(129)] {
            let replaced = answered(id);
            assert_eq!(replaced.len(), 36, "{id:?} → {replaced:?}");
        }
    }
}
