//! The admin port: probes and metrics, which need no key, and what looks into a process or changes it, which
//! needs one; a dispatcher's has the console. Never exposed to the outside.

mod checks;
mod guard;
mod log_level;
mod operations;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::operations::{Operations, Route};
use super::{Crowd, Health, Problem};

/// Media type of Prometheus' text format.
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every route of the admin port that needs no key.
pub const ROUTES: [&str; 5] = ["/", "/livez", "/readyz", "/startupz", "/metrics"];

/// Connections of the admin port; those that are idle give way to the next.
const CONNECTIONS: usize = 64;
/// For probes that are being answered when the port closes.
const PATIENCE: Duration = Duration::from_millis(500);

/// For whoever opens the port itself; what needs a key follows.
const CONTENTS: &str = "\
Carillon's admin port. Keep it inside: whoever reaches it sees all of this.

/livez            200 while the process runs
/readyz           200 while new work should come here, else 503; /readyz?verbose says why
/startupz         200 once everything that it needs is there
/metrics          Prometheus' text format
";

const WITH_A_KEY: &str = "\nWith an API key of the scope admin (Authorization: Bearer ck_...):\n\n";

#[derive(Clone)]
struct Admin {
    health: Health,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    contents: Arc<str>,
}

/// Every route of the admin port. `metrics` renders them
/// ([`Metrics::render`](crate::telemetry::Metrics::render)).
pub fn router(
    health: Health,
    metrics: impl Fn() -> String + Send + Sync + 'static,
    operations: Operations,
) -> Router<()> {
    let (routes, [open_listed, guarded_listed]) = operations.into_router();
    let open = Router::new()
        .route("/", get(contents))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/startupz", get(startupz))
        .route("/metrics", get(render_metrics))
        .with_state(Admin {
            health,
            metrics: Arc::new(metrics),
            contents: format!("{CONTENTS}{open_listed}{WITH_A_KEY}{guarded_listed}").into(),
        });
    open.merge(routes)
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
}

/// Serves it until `end`.
pub fn serve(
    listener: TcpListener,
    router: Router,
    end: CancellationToken,
) -> BoxFuture<'static, ()> {
    super::serve(listener, router, Crowd::new(CONNECTIONS), end, PATIENCE)
}

/// What is here.
async fn contents(State(admin): State<Admin>) -> Response {
    ([(CACHE_CONTROL, "no-store")], admin.contents.to_string()).into_response()
}

/// That this is answered is the proof: the event loop runs. Nothing else may fail it.
async fn livez() -> Response {
    probe(true, "alive")
}

/// Whether new work should come here; `?verbose` tells why.
async fn readyz(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let health = &admin.health;
    let verbose = query.is_some_and(|query| query.split('&').any(|it| it.starts_with("verbose")));
    if !verbose {
        return probe(health.is_ready(), health.status());
    }
    let degraded: Vec<_> = health
        .degraded()
        .into_iter()
        .map(|(what, detail)| json!({"what": what, "detail": detail}))
        .collect();
    let body = json!({
        "status": health.status(),
        "started": health.is_started(),
        "draining": health.is_draining(),
        "degraded": degraded,
    });
    (
        probe_status(health.is_ready()),
        [(CACHE_CONTROL, "no-store")],
        Json(body),
    )
        .into_response()
}

/// Whether the process has everything it needs.
async fn startupz(State(admin): State<Admin>) -> Response {
    let started = admin.health.is_started();
    probe(started, if started { "started" } else { "starting" })
}

async fn render_metrics(State(admin): State<Admin>) -> Response {
    ([(CONTENT_TYPE, METRICS_TEXT)], (admin.metrics)()).into_response()
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(404, "not_found", "Not found").detail(format!(
        "there is no {} on the admin port; / lists what is there",
        uri.path()
    ))
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::new(405, "method_not_allowed", "Method not allowed")
        .detail(format!("{method} is not served here; / lists what is"))
}

fn probe(good: bool, word: &'static str) -> Response {
    (
        probe_status(good),
        [(CACHE_CONTROL, "no-store")],
        format!("{word}\n"),
    )
        .into_response()
}

fn probe_status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Status and body of one request to an admin port of its own.
    async fn ask(health: &Health, method: &str, path: &str) -> (u16, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = || "carillon_x 1\n".to_owned();
        let router = router(health.clone(), metrics, operations::tests::locked());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        serving.abort();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    #[tokio::test]
    async fn probes_follow_the_life_of_a_process() {
        let health = Health::new();
        let get = async |path| ask(&health, "GET", path).await;
        assert_eq!(get("/livez").await, (200, "alive\n".into()));
        assert_eq!(get("/startupz").await, (503, "starting\n".into()));
        assert_eq!(get("/readyz").await, (503, "starting\n".into()));

        health.set_started();
        assert_eq!(get("/startupz").await, (200, "started\n".into()));
        assert_eq!(get("/readyz").await, (200, "ready\n".into()));

        health.set_degraded("redis", "no answer for 3 s");
        assert_eq!(
            get("/readyz").await,
            (200, "degraded\n".into()),
            "must not empty the fleet"
        );
        let (status, body) = get("/readyz?verbose").await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200);
        assert_eq!(
            body["degraded"],
            json!([{"what": "redis", "detail": "no answer for 3 s"}])
        );
        health.clear_degraded("redis");
        assert_eq!(get("/readyz").await.1, "ready\n");

        health.set_draining();
        assert_eq!(get("/readyz").await, (503, "draining\n".into()));
        assert_eq!(get("/readyz?verbose").await.0, 503);
        assert_eq!(get("/livez").await.0, 200);
        assert_eq!(get("/startupz").await.0, 200);
    }

    #[tokio::test]
    async fn metrics_are_served_and_everything_else_is_a_problem() {
        let health = Health::new();
        assert_eq!(
            ask(&health, "GET", "/metrics").await,
            (200, "carillon_x 1\n".into())
        );
        for (method, path, status, code) in [
            ("GET", "/else", 404, "not_found"),
            ("GET", "/metrics/", 404, "not_found"),
            ("POST", "/metrics", 405, "method_not_allowed"),
        ] {
            let (got, body) = ask(&health, method, path).await;
            let body: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (got, &body["code"]),
                (status, &json!(code)),
                "{method} {path}"
            );
        }
    }

    #[tokio::test]
    async fn the_port_itself_lists_what_is_there() {
        let health = Health::new();
        let (status, contents) = ask(&health, "GET", "/").await;
        assert_eq!(status, 200);
        for path in ROUTES {
            assert_ne!(ask(&health, "GET", path).await.0, 404, "{path}");
            assert!(
                contents.contains(&format!("\n{path}")) || path == "/",
                "{path}"
            );
        }
        for Route { method, path, .. } in Operations::ROUTES {
            assert!(
                contents.contains(&format!("\n{method:<6} {path} ")),
                "{path}"
            );
            assert_eq!(ask(&health, method, path).await.0, 401, "{method} {path}");
        }
    }
}
