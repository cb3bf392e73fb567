//! What every request passes on its way in and out: its id, its place among those under way, the
//! problem that answers it when it failed, the counters.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{app::App, error::ApiError, pages::Page, traced::ForLog};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request that has passed the edge.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// When it came in; its time runs from there.
    pub(crate) at: Instant,
    request_id: HeaderValue,
}

impl Arrival {
    /// How it is named in its answer and in the log.
    pub(crate) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or("-")
    }

    /// The same as its answer's header has it.
    pub(crate) fn id(&self) -> &HeaderValue {
        &self.request_id
    }
}

/// Wraps every route.
pub(crate) async fn edge(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let at = Instant::now();
    let _under_way = app.counters.under_way();
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    request.extensions_mut().insert(Arrival {
        at,
        request_id: id.clone(),
    });
    let page = Page::of(&request, &app.live.current().gateway);
    let answered = page
        .as_ref()
        .and_then(|page| page.answer(&app.refused_origins));
    let mut response = match (answered, app.under_way.try_acquire()) {
        (Some(answered), _) => answered,
        (None, Ok(_place)) => next.run(request).await,
        (None, Err(_)) => ApiError::Overloaded.into_response(),
    };
    if let Some(error) = response.extensions_mut().remove::<ApiError>() {
        ForLog::within(&response, || app.failures.log(&error, &id));
        app.counters.refusal(&error);
        response = problem(&error, &id, response.headers_mut().remove(header::ALLOW));
    }
    response.headers_mut().insert(REQUEST_ID, id);
    if let Some(page) = page {
        page.tell(response.headers_mut());
    }
    let status = response.status();
    app.counters.request(route, status, at.elapsed());
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
        backend::{
            Limits,
            memory::{MemoryBackend, MemoryBounds},
        },
        process::Process,
        settings::Settings,
    };
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;
    use serde_json::Value;

    use super::*;
    use crate::{
        app::MAX_UNDER_WAY,
        paths::{DRAIN, GATEWAYS, REBALANCE, SEND},
        router::router,
    };

    fn started() -> (Process, Arc<App>) {
        let second = Duration::from_secs(1);
        let limits = Limits {
            inbox_ttl: second,
            inbox_max: 1,
            scheduled: 1,
            inbox_keep: 1,
            page: 1,
            devices: 1,
            device_ttl: second,
            connections: 100,
            kept: 100,
            assigned: 100,
            restore: second,
            lease_ttl: second,
            lease_renew: second,
            isolation_deadline: second,
        };
        let backend = MemoryBackend::new(limits, MemoryBounds::default());
        let process = Process::detached(Settings::default()).unwrap();
        let app = Arc::new(App::new(&process, backend));
        (process, app)
    }

    /// The status of the answer, and the problem that it is.
    async fn ask(app: &Arc<App>, path: &str) -> (u16, Value) {
        let service = TowerToHyperService::new(router(app.clone()));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let (head, body) = service.call(request).await.unwrap().into_parts();
        let body = to_bytes(body, 4096).await.unwrap();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        (head.status.as_u16(), problem["code"].clone())
    }

    #[tokio::test]
    async fn beyond_the_bound_requests_are_told_to_come_again() {
        let (_, app) = started();
        let held = app.under_way.try_acquire_many(MAX_UNDER_WAY as u32);
        assert!(held.is_ok());
        assert_eq!(ask(&app, "/").await, (503, "overloaded".into()));
        drop(held);
        assert_eq!(ask(&app, "/").await, (404, "not_found".into()));
    }

    #[tokio::test]
    async fn a_request_is_counted_under_its_route() {
        for (path, route) in [
            (SEND, SEND),
            (GATEWAYS, GATEWAYS),
            ("/api/gateways/5d8f-abcde/drain", DRAIN),
            (REBALANCE, REBALANCE),
            ("/api/gateways/rebalance/drain", DRAIN),
            ("/api/gateways//drain", DRAIN),
            ("/api/gateways/a/b/drain", "other"),
            ("/api/gateways/a", "other"),
            ("/api/notifications/send/", "other"),
            ("/", "other"),
        ] {
            let (process, app) = started();
            ask(&app, path).await;
            let line = format!(
                "carillon_dispatcher_http_request_duration_seconds_count{{route=\"{route}\"}} 1"
            );
            let metrics = process.metrics.render();
            assert!(metrics.lines().any(|it| it == line), "{path}: {metrics}");
        }
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
