//! A service that sends notifications.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::targets::Targets;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The REST API of any of the dispatchers, with one API key.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    dispatchers: Targets,
    key: String,
}

/// The answer to what was accepted.
#[derive(Clone, Debug, Deserialize)]
pub struct Accepted {
    /// The notification's identity.
    pub id: String,
    /// Its position.
    pub cursor: String,
    /// `routed` or `queued`; none for a broadcast.
    pub outcome: Option<String>,
    /// How many devices are connected.
    pub devices: Option<u64>,
    /// Whether the user has ever connected.
    pub user_seen: Option<bool>,
}

/// Why something was not accepted.
#[derive(Debug)]
pub enum Refusal {
    /// The dispatcher said no.
    Problem {
        /// The HTTP status.
        status: StatusCode,
        /// The problem's stable code (RFC 9457), empty if it has none.
        code: String,
        /// The whole body; null if it was not JSON.
        body: Value,
    },
    /// No answer: what became of it is unknown.
    Unanswered(reqwest::Error),
}

impl Refusal {
    /// Whether to try again with the same idempotency key.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Problem { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            Self::Unanswered(_) => true,
        }
    }

    /// The problem's code, if there was an answer.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Problem { code, .. } => code,
            Self::Unanswered(_) => "",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem { status, body, .. } => write!(f, "{status}: {body}"),
            Self::Unanswered(error) => write!(f, "no answer: {error}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The body of a send.
#[must_use]
pub fn notification(user: &str, kind: &str, content: &str) -> Value {
    json!({ "target_user": user, "notification_type": kind, "content": content })
}

/// The body of a broadcast, to a channel's subscribers or to everyone.
#[must_use]
pub fn broadcast(channel: Option<&str>, kind: &str, content: &str) -> Value {
    json!({ "channel": channel, "notification_type": kind, "content": content })
}

impl Api {
    /// A caller of these dispatchers (`http://host:port`).
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(dispatchers: Targets, key: impl Into<String>) -> Result<Self> {
        // A proxy of the machine's has no business on loopback.
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(ANSWER_WITHIN)
            .build()?;
        Ok(Self {
            http,
            dispatchers,
            key: key.into(),
        })
    }

    /// The same caller, of these dispatchers.
    #[must_use]
    pub fn at(&self, dispatchers: Targets) -> Self {
        Self {
            dispatchers,
            ..self.clone()
        }
    }

    /// A request with the key, for what has no method here.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let dispatcher = self.dispatchers.pick(None);
        self.http
            .request(method, format!("{dispatcher}{path}"))
            .bearer_auth(&self.key)
    }

    /// Sends to a user, once.
    ///
    /// # Errors
    /// When it was refused, or nobody knows.
    pub async fn send(
        &self,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<Accepted, Refusal> {
        self.post("/api/notifications/send", body, idempotency_key)
            .await
    }

    /// Publishes to a channel or to everyone, once.
    ///
    /// # Errors
    /// When it was refused, or nobody knows.
    pub async fn broadcast(
        &self,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<Accepted, Refusal> {
        self.post("/api/notifications/broadcast", body, idempotency_key)
            .await
    }

    /// Sends to a user, again and again with the same idempotency key until it is accepted.
    ///
    /// # Errors
    /// When it was refused for good, or not accepted `within` this time.
    pub async fn send_until_accepted(&self, body: &Value, within: Duration) -> Result<Accepted> {
        self.until_accepted("/api/notifications/send", body, within)
            .await
    }

    /// The same for a broadcast.
    ///
    /// # Errors
    /// When it was refused for good, or not accepted `within` this time.
    pub async fn broadcast_until_accepted(
        &self,
        body: &Value,
        within: Duration,
    ) -> Result<Accepted> {
        self.until_accepted("/api/notifications/broadcast", body, within)
            .await
    }

    /// How many users are online.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn online_count(&self) -> Result<u64> {
        let request = self.request(Method::GET, "/api/notifications/online-count");
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        answer["online_count"]
            .as_u64()
            .with_context(|| format!("no count in {answer}"))
    }

    /// The gateways of the deployment, as they are told.
    ///
    /// # Errors
    /// When there is no such answer.
    pub async fn gateways(&self) -> Result<Vec<Value>> {
        let request = self.request(Method::GET, "/api/gateways");
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        let gateways = answer["gateways"].as_array().cloned();
        gateways.with_context(|| format!("no gateways in {answer}"))
    }

    async fn until_accepted(&self, path: &str, body: &Value, within: Duration) -> Result<Accepted> {
        let key = Uuid::new_v4().to_string();
        let deadline = Instant::now() + within;
        loop {
            match self.post(path, body, Some(&key)).await {
                Ok(accepted) => return Ok(accepted),
                Err(refusal) if refusal.is_retryable() && Instant::now() < deadline => {
                    sleep(RETRY_AFTER).await;
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }

    async fn post(
        &self,
        path: &str,
        body: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<Accepted, Refusal> {
        let mut request = self.request(Method::POST, path).json(body);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await.map_err(Refusal::Unanswered)?;
        let status = response.status();
        let text = response.bytes().await.map_err(Refusal::Unanswered)?;
        let body: Value = serde_json::from_slice(&text).unwrap_or_default();
        match Accepted::deserialize(&body) {
            Ok(accepted) if status.is_success() => Ok(accepted),
            _ => {
                let code = body["code"].as_str().unwrap_or_default().to_owned();
                Err(Refusal::Problem { status, code, body })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// A dispatcher that gives these answers in turn (none: hangs up) and tells what it was asked.
    async fn dispatcher(answers: Vec<Option<(u16, Value)>>) -> (Api, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, asked) = mpsc::channel(answers.len());
        tokio::spawn(async move {
            for answer in answers {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 8_192];
                let length = socket.read(&mut request).await.unwrap();
                request.truncate(length);
                tell.send(String::from_utf8(request).unwrap())
                    .await
                    .unwrap();
                if let Some((status, body)) = answer {
                    let (body, head) = (body.to_string(), "Connection: close\r\nContent-Length");
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\n{head}: {}\r\n\r\n{body}",
                        body.len()
                    );
                    socket.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        (Api::new(Targets::new([url]), "key").unwrap(), asked)
    }

    fn key_of(request: &str) -> &str {
        request
            .lines()
            .find_map(|line| line.strip_prefix("idempotency-key: "))
            .unwrap()
    }

    #[tokio::test]
    async fn retries_with_one_idempotency_key_until_accepted() {
        let unavailable = json!({ "code": "unavailable" });
        let accepted = json!({ "status": "ok", "id": "n", "cursor": "1-a", "outcome": "queued" });
        let answers = vec![Some((503, unavailable)), None, Some((200, accepted))];
        let (api, mut asked) = dispatcher(answers).await;
        let body = notification("alice", "t", "c");
        let accepted = api
            .send_until_accepted(&body, Duration::from_secs(10))
            .await
            .unwrap();
        assert_eq!(
            (accepted.id.as_str(), accepted.outcome.as_deref()),
            ("n", Some("queued"))
        );

        let first = asked.recv().await.unwrap();
        assert!(first.contains("authorization: Bearer key"), "{first}");
        for _ in 0..2 {
            assert_eq!(key_of(&asked.recv().await.unwrap()), key_of(&first));
        }
    }

    #[tokio::test]
    async fn a_refusal_for_good_is_not_retried() {
        let (api, _asked) = dispatcher(vec![Some((422, json!({ "code": "reserved_type" })))]).await;
        let body = notification("alice", "ping", "c");
        let error = api
            .send_until_accepted(&body, Duration::from_secs(10))
            .await
            .unwrap_err();
        assert_eq!(
            error.downcast_ref::<Refusal>().unwrap().code(),
            "reserved_type"
        );
    }

    #[tokio::test]
    async fn counts_who_is_online() {
        let (api, _asked) = dispatcher(vec![Some((200, json!({ "online_count": 3 })))]).await;
        assert_eq!(api.online_count().await.unwrap(), 3);
    }
}
