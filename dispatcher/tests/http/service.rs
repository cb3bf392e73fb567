//! The service on a port of its own, and a caller.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use carillon_common::{
    auth::{ApiKeys, NewToken, mint},
    backend::Backend,
    http::listen,
    process::{Process, Shutdown},
    settings::{ApiKeySettings, IssuerSettings, Scope, Settings},
};
use carillon_dispatcher::{CONSOLE_ROUTES, Dispatcher};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

pub struct Service {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    /// May do everything.
    pub key: String,
    /// May only read.
    pub reader: String,
    /// Another service's, which may send.
    pub other: String,
    pub shutdown: Shutdown,
    pub running: JoinHandle<()>,
    pub http: reqwest::Client,
}

/// An answer, read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Service {
    pub async fn start(backend: Arc<dyn Backend>) -> Self {
        Self::start_with(backend, |_| ()).await
    }

    pub async fn start_with(backend: Arc<dyn Backend>, change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_dispatcher(backend, change, |dispatcher| dispatcher).await
    }

    /// With an API server of Kubernetes.
    pub async fn start_watching(
        backend: Arc<dyn Backend>,
        cluster: kube::Config,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        Self::start_dispatcher(backend, change, |dispatcher| {
            dispatcher.with_cluster(cluster)
        })
        .await
    }

    async fn start_dispatcher(
        backend: Arc<dyn Backend>,
        change: impl FnOnce(&mut Settings),
        finish: impl FnOnce(Dispatcher) -> Dispatcher,
    ) -> Self {
        let mut settings = Settings::default();
        settings.drain.delay = Duration::ZERO;
        let (key, key_hash) = ApiKeys::generate();
        let (reader, reader_hash) = ApiKeys::generate();
        let (other, other_hash) = ApiKeys::generate();
        settings.auth.api_keys = vec![
            api_key(
                "all",
                key_hash,
                &[
                    Scope::Send,
                    Scope::Broadcast,
                    Scope::Read,
                    Scope::Admin,
                    Scope::Tickets,
                ],
            ),
            api_key("reader", reader_hash, &[Scope::Read]),
            api_key("other", other_hash, &[Scope::Send, Scope::Broadcast]),
        ];
        change(&mut settings);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = listen(loopback).unwrap();
        let admin_listener = listen(loopback).unwrap();
        let address = listener.local_addr().unwrap();
        let admin = admin_listener.local_addr().unwrap();
        let process = Process::detached(settings).unwrap();
        let dispatcher = finish(Dispatcher::new(&process, backend));
        let shutdown = process.shutdown.clone();
        let operations = process.operations();
        let operations = operations.beside(dispatcher.console(), CONSOLE_ROUTES);
        let work = dispatcher.run(listener, shutdown.clone());
        let running = tokio::spawn(process.run(admin_listener, operations, work));
        Self {
            address,
            admin,
            key: key.expose().clone(),
            reader: reader.expose().clone(),
            other: other.expose().clone(),
            shutdown,
            running,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// A request with the key that may do everything.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.anonymous(method, path).bearer_auth(&self.key)
    }

    pub fn anonymous(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.http.request(method.parse().unwrap(), url)
    }

    /// A POST of JSON text with the key that may do everything.
    pub fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.request("POST", path)
            .header("content-type", "application/json")
            .body(body)
    }
}

fn api_key(name: &str, hash: String, scopes: &[Scope]) -> ApiKeySettings {
    ApiKeySettings {
        name: name.to_owned(),
        hash,
        scopes: scopes.to_vec(),
        users: None,
        channels: None,
        sends_per_second: None,
        sends_burst: None,
    }
}

/// Of clients' tokens.
pub fn issuer() -> IssuerSettings {
    IssuerSettings::hs256("test", "0123456789abcdef0123456789abcdef")
}

/// A client's token of that issuer, good for ten minutes.
pub fn client_token(new: NewToken<'_>) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let new = NewToken {
        exp: now + 600,
        iat: Some(now - 5),
        ..new
    };
    mint(&issuer(), &new).unwrap()
}

/// Sends a request and reads the answer.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        text: response.text().await.unwrap(),
    }
}

/// Writes a request as it is and reads the answer, an object.
pub async fn exchange(address: SocketAddr, request: &str) -> String {
    let whole = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let mut piece = [0; 4096];
        while !answer.ends_with('}') {
            let read = stream.read(&mut piece).await.unwrap();
            assert_ne!(read, 0, "closed after {answer:?}");
            answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
        answer
    };
    timeout(Duration::from_secs(10), whole).await.unwrap()
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {}", self.text))
    }

    /// The problem's code, after checking that it is a whole problem.
    #[track_caller]
    pub fn problem(&self) -> String {
        let problem = self.json();
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(problem["status"], self.status, "{problem}");
        assert_eq!(problem["request_id"], self.header("x-request-id").unwrap());
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{problem}"
        );
        let code = problem["code"].as_str().unwrap().to_owned();
        assert_eq!(problem["type"], format!("/docs/errors#{code}"));
        assert_eq!(problem["retryable"], self.header("retry-after").is_some());
        code
    }

    /// The pointers of the fields that are wrong.
    pub fn pointers(&self) -> Vec<String> {
        let problem = self.json();
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// The problem that an answer must be: its status, code and pointers.
#[track_caller]
pub fn check(case: &str, answer: &Answer, status: u16, code: &str, pointers: &[&str]) {
    assert_eq!(
        (answer.status, &*answer.problem()),
        (status, code),
        "{case}: {answer:?}"
    );
    assert_eq!(answer.pointers(), pointers, "{case}: {answer:?}");
}
