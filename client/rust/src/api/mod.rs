//! The dispatcher's REST API, as a caller that must not lose or double anything uses it.

mod address;
#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use carillon_common::auth::{CredentialKind, Secret};
use clap::Args;
use rand::RngExt;
use reqwest::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use url::{Host, Url};

use crate::{
    failure::Failure,
    input::{duration, secret_file, secret_variable, text},
    tls,
};

/// Pauses between attempts grow to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where the API is and who calls.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApiArgs {
    /// The dispatcher [default is standalone's; a dispatcher of its own listens on 8081]
    #[arg(
        long,
        value_name = "URL",
        env = "CARILLON_API",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) api: String,
    /// File with the API key [or the environment's CARILLON_API_KEY]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The API key; other users of this machine can see it, prefer the file or the variable
    #[arg(long, value_name = "KEY", conflicts_with = "key_file", value_parser = text, allow_hyphen_values = true)]
    key: Option<String>,
    /// How long a call is tried again while the service is away, always under one idempotency key; the
    /// last attempt is at the end of this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    retry_for: Duration,
}

impl ApiArgs {
    /// A client of that API.
    pub(crate) fn client(&self) -> Result<Api, Failure> {
        let key = match (&self.key_file, &self.key) {
            (Some(file), _) => secret_file(file)?,
            (None, Some(key)) => Secret::new(key.clone()),
            (None, None) => secret_variable("CARILLON_API_KEY").ok_or_else(|| {
                Failure::Usage(
                    "no API key: pass --key-file FILE or set CARILLON_API_KEY \
                     (`carillon apikey new` makes one)"
                        .to_owned(),
                )
            })?,
        };
        match CredentialKind::of(key.expose()) {
            Some(CredentialKind::Token) => Err(Failure::Usage(
                "this is a token (JWT), which clients show to a gateway: a call of the API needs an \
                 API key, which begins with ck_ (`carillon apikey new` makes one)"
                    .to_owned(),
            )),
            Some(CredentialKind::KeyHash) => Err(Failure::Usage(
                "this is the hash of an API key, as the configuration holds it: pass the key itself, \
                 which begins with ck_"
                    .to_owned(),
            )),
            Some(CredentialKind::ApiKey) | None => Api::new(&self.api, key, self.retry_for),
        }
    }
}

/// A client of one dispatcher, or of what stands before several.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: Url,
    key: Secret<String>,
    retry_for: Duration,
    /// Calls that were tried again, by why; clones share it.
    retried: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// A notification to be accepted; absent fields are not sent.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Message<'a> {
    /// For whom; none: a broadcast.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_user: Option<&'a str>,
    pub(crate) notification_type: &'a str,
    pub(crate) content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ttl: Option<String>,
}

/// What the answer to an accepted notification says; the rest of it is kept as it came.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    #[serde(default)]
    pub(crate) message: String,
}

/// A gateway, as the dispatcher lists it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GatewayState {
    pub(crate) id: String,
    pub(crate) generation: u64,
    pub(crate) users: u64,
    #[serde(default)]
    pub(crate) draining: bool,
    /// Whether it lets clients in.
    #[serde(default)]
    pub(crate) accepting: bool,
    #[serde(default)]
    pub(crate) pod: Option<String>,
}

/// A gateway that is asked to move some of its users.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MovingGateway {
    pub(crate) id: String,
    pub(crate) users: u64,
    pub(crate) to_move: u64,
}

/// A refusal (RFC 9457), with members that are not known here left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) status: u16,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldProblem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
}

/// What is wrong with one field.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FieldProblem {
    #[serde(default)]
    pub(crate) pointer: String,
    #[serde(default)]
    pub(crate) detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} — {} ({})", self.title, self.detail, self.code)?;
        if self.errors.len() > 1 {
            for error in &self.errors {
                write!(f, "\n  {}: {}", error.pointer, error.detail)?;
            }
        }
        Ok(())
    }
}

/// What one attempt came to.
enum Attempt {
    Done(Vec<u8>),
    Again(Failure, Option<Duration>),
    Refused(Failure),
}

impl Api {
    /// Nothing is sent yet.
    pub(crate) fn new(
        base: &str,
        key: Secret<String>,
        retry_for: Duration,
    ) -> Result<Self, Failure> {
        let base = address::read(base)?;
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls::client()).clone())
            .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
            .timeout(Duration::from_secs(20));
        if is_local(&base) {
            http = http.no_proxy();
        }
        let http = http
            .build()
            .map_err(|error| Failure::Failed(cause(&error)))?;
        Ok(Self {
            http,
            base,
            key,
            retry_for,
            retried: Arc::default(),
        })
    }

    /// How many calls failed and were tried again, by why.
    pub(crate) fn retried(&self) -> BTreeMap<String, usize> {
        self.retries().clone()
    }

    fn retries(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.retried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a notification accepted, trying again under the same key while the service is away.
    pub(crate) async fn accept(
        &self,
        message: &Message<'_>,
        idempotency_key: &str,
    ) -> Result<(Accepted, serde_json::Value), Failure> {
        let route = match message.target_user {
            Some(_) => "api/notifications/send",
            None => "api/notifications/broadcast",
        };
        let url = self.url(route)?;
        let body =
            serde_json::to_vec(message).map_err(|error| Failure::Usage(error.to_string()))?;
        let answer = self
            .until_done(|| {
                self.http
                    .post(url.clone())
                    .header(header::CONTENT_TYPE, "application/json")
                    .header("idempotency-key", idempotency_key)
                    .body(body.clone())
            })
            .await?;
        Ok((self.read(&answer)?, self.read(&answer)?))
    }

    /// How many users are connected.
    pub(crate) async fn online_count(&self) -> Result<u64, Failure> {
        #[derive(Deserialize)]
        struct Online {
            online_count: u64,
        }
        let url = self.url("api/notifications/online-count")?;
        let answer = self.until_done(|| self.http.get(url.clone())).await?;
        let online: Online = self.read(&answer)?;
        Ok(online.online_count)
    }

    /// The gateways that are there.
    pub(crate) async fn gateways(&self) -> Result<Vec<GatewayState>, Failure> {
        #[derive(Deserialize)]
        struct Listed {
            gateways: Vec<GatewayState>,
        }
        let url = self.url("api/gateways")?;
        let answer = self.until_done(|| self.http.get(url.clone())).await?;
        let listed: Listed = self.read(&answer)?;
        Ok(listed.gateways)
    }

    /// Asks a gateway to drain.
    pub(crate) async fn drain(&self, gateway: &str) -> Result<(), Failure> {
        let mut url = self.url("api/gateways")?;
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend([gateway, "drain"]);
        }
        self.until_done(|| self.http.post(url.clone())).await?;
        Ok(())
    }

    /// Asks gateways with too many users to move some.
    pub(crate) async fn rebalance(&self) -> Result<Vec<MovingGateway>, Failure> {
        #[derive(Deserialize)]
        struct Asked {
            moving: Vec<MovingGateway>,
        }
        let url = self.url("api/gateways/rebalance")?;
        let answer = self.until_done(|| self.http.post(url.clone())).await?;
        let asked: Asked = self.read(&answer)?;
        Ok(asked.moving)
    }

    /// What an answer says; one of another service is told as such.
    fn read<T: serde::de::DeserializeOwned>(&self, answer: &[u8]) -> Result<T, Failure> {
        serde_json::from_slice(answer).map_err(|_| {
            let base = &self.base;
            Failure::Failed(format!(
                "{base} answered something else than a Carillon dispatcher does; is --api right?"
            ))
        })
    }

    fn url(&self, route: &str) -> Result<Url, Failure> {
        let base = self.base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}/{route}")).map_err(|error| Failure::Usage(error.to_string()))
    }

    async fn until_done(
        &self,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + self.retry_for;
        for attempt in 0.. {
            let (failure, after) = match self.once(request()).await {
                Attempt::Done(answer) => return Ok(answer),
                Attempt::Refused(failure) => return Err(failure),
                Attempt::Again(failure, after) => (failure, after),
            };
            let why = match &failure {
                Failure::Refused(problem) => format!("{} {}", problem.status, problem.code),
                _ => "connection".to_owned(),
            };
            *self.retries().entry(why).or_default() += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(failure);
            }
            // The last attempt is at the end of the time, not before it.
            sleep(pause(attempt, after).min(left)).await;
        }
        unreachable!("the attempts are not counted out")
    }

    async fn once(&self, request: reqwest::RequestBuilder) -> Attempt {
        let answer = match request.bearer_auth(self.key.expose()).send().await {
            Ok(answer) => answer,
            Err(error) => {
                let text = format!("{} cannot be reached: {}", self.base, cause(&error));
                return Attempt::Again(Failure::Connection(text), None);
            }
        };
        let status = answer.status();
        let after = retry_after(answer.headers());
        let body = match answer.bytes().await {
            Ok(body) => body.to_vec(),
            Err(error) => return Attempt::Again(Failure::Connection(cause(&error)), None),
        };
        if status.is_success() {
            return Attempt::Done(body);
        }
        let failure = Failure::Refused(Box::new(problem(status, &body)));
        match status {
            StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS => Attempt::Again(failure, after),
            _ => Attempt::Refused(failure),
        }
    }
}

/// Full jitter under a bound that doubles; never before the time that the service named.
fn pause(attempt: u32, after: Option<Duration>) -> Duration {
    let bound = (Duration::from_millis(100) * 2_u32.pow(attempt.min(10))).min(LONGEST_PAUSE);
    after.unwrap_or_default() + bound.mul_f64(rand::rng().random_range(0.0..1.0))
}

fn retry_after(headers: &header::HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

/// The body's own words if it is a problem, else the status.
fn problem(status: StatusCode, body: &[u8]) -> Problem {
    let read = serde_json::from_slice::<Problem>(body)
        .ok()
        .filter(|it| !it.code.is_empty());
    read.unwrap_or_else(|| Problem {
        title: format!("HTTP {status}"),
        detail: "this does not look like a Carillon dispatcher; is --api right?".to_owned(),
        code: "unexpected_answer".to_owned(),
        status: status.as_u16(),
        errors: Vec::new(),
        request_id: None,
    })
}

/// Whether a proxy would be in the way.
pub(crate) fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The innermost cause: what is around it repeats the URL and names layers of the client.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}
