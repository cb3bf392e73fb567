//! What a person sees who opens the address of a service in a browser. Programs get their problem.

use std::borrow::Cow;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next, map_response};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::Problem;
use super::media_range::prefers_html;

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;\
color:#1c2330;background:#fff}h1{margin:0}h2{font-size:1rem;margin:2rem 0 .5rem}\
pre{background:#f2f4f8;padding:1rem;border-radius:.4rem;white-space:pre-wrap;overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{color:#dde3ee;background:#12161e}pre{background:#1d2430}}";

/// Whose address it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Front {
    /// A gateway's, with the path of its sockets.
    Gateway(String),
    /// A dispatcher's.
    Dispatcher,
    /// Both services' in one, with the path of the sockets.
    Standalone(String),
}

impl Front {
    /// The whole of a gateway's HTTP but its event streams, which are at `streams`: the page, and a problem for
    /// everything else.
    pub fn of_gateway(path: &str, streams: &str) -> Router {
        let elsewhere = format!(
            "a gateway serves WebSockets at {path}, event streams at {streams} and nothing else; REST is the \
             dispatchers' (port 8081, unless it is configured)"
        );
        let problem = Problem::new(404, "not_found", "No such route").detail(elsewhere);
        let router = Router::new().fallback(move || std::future::ready(problem.clone()));
        // There is nothing to be asked twice.
        Self::Gateway(path.to_owned())
            .before(router)
            .layer(map_response(async |mut response: Response| {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
                response
            }))
    }

    /// The page, before a router that answers everything else.
    pub fn before(self, router: Router) -> Router {
        self.page().before(router)
    }

    /// The page, if a person asks for it.
    pub fn shown(&self, request: &Request) -> Option<Response> {
        asks_for_a_page(request).then(|| self.page().answer())
    }

    /// Nothing is loaded. Sockets may be opened from the page's console, here and at another gateway.
    fn page(&self) -> Page {
        let style = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; connect-src 'self' ws: wss:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'"
        );
        Page::new(self.html(), policy)
    }

    fn html(&self) -> String {
        let (what, parts) = match self {
            Self::Gateway(path) => (
                "This is a gateway: clients connect to it by WebSocket.",
                connect(path) + SEND_ELSEWHERE,
            ),
            Self::Dispatcher => (
                "This is a dispatcher: services send notifications to it over REST, with an API key.",
                send() + CONNECT_ELSEWHERE,
            ),
            Self::Standalone(path) => (
                "Clients connect here by WebSocket, services send over REST.",
                connect(path) + &send(),
            ),
        };
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Carillon</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Carillon</h1>\n\
             <p>Real-time notifications that arrive. {what} It runs; there are no pages here.</p>\n\
             {parts}</body>\n</html>\n"
        )
    }
}

const SEND_ELSEWHERE: &str = "<h2>Send</h2>\n<p>Services send over REST to a dispatcher, which listens on \
                              8081 unless it is configured; <code>carillon send --help</code> shows how.</p>\n";
const CONNECT_ELSEWHERE: &str = "<h2>Connect</h2>\n<p>Clients connect to a gateway, which listens on 8080 \
                                 unless it is configured; <code>carillon subscribe --help</code> shows how.</p>\n";

/// How to connect, for the console of this very page.
fn connect(path: &str) -> String {
    let path = escaped(path);
    format!(
        "<h2>Connect</h2>\n<p>In this page's console, with the token of a user in the place of the dots \
         (<code>carillon token mint</code> signs one, <code>carillon standalone --dev</code> prints \
         some):</p>\n\
         <pre>socket = new WebSocket(location.origin.replace('http', 'ws') + '{path}?token=…')\n\
         socket.onmessage = event =&gt; console.log(JSON.parse(event.data))\n\
         socket.onclose = event =&gt; console.log(event.code, event.reason)</pre>\n"
    )
}

/// How to send, from a terminal.
fn send() -> String {
    "<h2>Send</h2>\n<p>From a terminal, with an API key (<code>carillon apikey new</code> makes one); no page \
     may hold one:</p>\n\
     <pre>carillon send --user alice --type hello --content 'It works' --key-file FILE --api URL</pre>\n"
        .to_owned()
}

/// As the text of an element or within the quotes of a script shown there.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "\\&#39;".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

/// Only the address itself, only read, and only where HTML is preferred to a problem.
fn asks_for_a_page(request: &Request) -> bool {
    request.uri().path() == "/"
        && matches!(*request.method(), Method::GET | Method::HEAD)
        && prefers_html(request.headers())
}

/// A page at the address itself, and what it may load.
#[derive(Debug, Clone)]
pub struct Page {
    html: Cow<'static, str>,
    policy: Cow<'static, str>,
}

impl Page {
    /// A whole document, and its `Content-Security-Policy`.
    fn new(html: impl Into<Cow<'static, str>>, policy: impl Into<Cow<'static, str>>) -> Self {
        Self {
            html: html.into(),
            policy: policy.into(),
        }
    }

    /// One that loads modules, styles and pictures from where it came from, calls what is there, and nothing else.
    /// No script stands in it but an import map, which counts by its hash.
    pub fn of_modules(html: &'static str) -> Self {
        let map = import_map(html).map_or_else(String::new, |map| {
            format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(map)))
        });
        let policy = format!(
            "default-src 'none'; script-src 'self'{map}; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
             require-trusted-types-for 'script'; trusted-types 'none'"
        );
        Self::new(html, policy)
    }

    /// The page, before a router that answers everything else.
    pub fn before(self, router: Router) -> Router {
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let page = self.clone();
            async move {
                match asks_for_a_page(&request) {
                    true => page.answer(),
                    false => next.run(request).await,
                }
            }
        }))
    }

    /// A router that has the page at this path, with or without a slash at its end, for whoever asks.
    pub fn at(self, path: &str) -> Router {
        let shown = get(move || std::future::ready(self.clone().answer()));
        Router::new()
            .route(path, shown.clone())
            .route(&format!("{path}/"), shown)
    }

    /// The page itself.
    fn answer(self) -> Response {
        let mut response = (StatusCode::OK, Html(self.html)).into_response();
        secure(response.headers_mut(), &self.policy);
        response
    }
}

/// What says in a page where the modules are that it names without a path.
pub fn import_map(html: &str) -> Option<&str> {
    let (_, rest) = html.split_once("<script type=\"importmap\">")?;
    rest.split_once("</script>").map(|(map, _)| map)
}

/// Nothing is framed or remembered. The address may hold `?token=`: it is told to nobody.
fn secure(headers: &mut HeaderMap, policy: &str) {
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

    async fn ask(router: Router, method: &str, path: &str, accept: &str) -> (HeaderMap, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", accept)
            .body(Body::empty())
            .unwrap();
        let service = TowerToHyperService::new(router);
        let (head, body) = service.call(request).await.unwrap().into_parts();
        let mut headers = head.headers;
        headers.insert("status", head.status.as_u16().into());
        let body = to_bytes(body, 65536).await.unwrap();
        (headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_browser_is_told_what_this_is_and_a_program_gets_a_problem() {
        let router = || Front::of_gateway("/ws", "/sse");
        let (headers, page) = ask(router(), "GET", "/?token=s3cret", BROWSER).await;
        assert_eq!(headers["status"], "200");
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        assert_eq!(headers["referrer-policy"], "no-referrer");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(
            page.contains("a gateway") && page.contains("'/ws?token=…'"),
            "{page}"
        );
        assert!(!page.contains("s3cret"), "{page}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        for outside in ["src=", "href=", "http://", "https://", "@import", "url("] {
            assert!(!page.contains(outside), "{outside} in {page}");
        }

        for (method, path, accept) in [
            ("GET", "/", "*/*"),
            ("GET", "/", "application/json"),
            ("GET", "/else", BROWSER),
            ("POST", "/", BROWSER),
        ] {
            let (headers, body) = ask(router(), method, path, accept).await;
            let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(headers["status"], "404", "{method} {path} {accept}");
            assert_eq!(problem["code"], "not_found");
            assert!(body.contains("port 8081"), "{body}");
        }
    }

    #[test]
    fn a_page_of_modules_loads_them_from_its_own_place_alone() {
        let page = Page::of_modules("<script type=\"module\" src=\"/x.js\"></script>");
        assert!(
            page.policy
                .starts_with("default-src 'none'; script-src 'self'; ")
        );
        let page = Page::of_modules("<script type=\"importmap\">{}</script>");
        let hash = STANDARD.encode(Sha256::digest("{}"));
        let script = format!("script-src 'self' 'sha256-{hash}'; ");
        assert!(page.policy.contains(&script), "{}", page.policy);
        for word in ["unsafe", "http", "*", "data:"] {
            assert!(!page.policy.contains(word), "{word} in {}", page.policy);
        }
    }

    #[tokio::test]
    async fn what_stands_behind_the_page_is_asked_for_everything_else() {
        let rest = Router::new().fallback(async || "rest");
        let router = Front::Standalone("/a<b>'".to_owned()).before(rest);
        assert_eq!(ask(router.clone(), "GET", "/", "*/*").await.1, "rest");
        let (_, page) = ask(router, "GET", "/", BROWSER).await;
        assert!(page.contains("/a&lt;b&gt;\\&#39;?token="), "{page}");
        assert!(page.contains("carillon send"), "{page}");
    }
}
