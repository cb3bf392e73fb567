//! The dispatcher's REST API, as a caller that must not lose or double anything uses it.

mod assigned;
mod batch;
mod bodies;
mod channels;
mod inboxes;
mod scheduled;
#[cfg(test)]
mod tests;
mod tokens;
mod users;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use carillon_common::{auth::Secret, http::Problem, retry};
use parking_lot::Mutex;
use reqwest::{Method, RequestBuilder, StatusCode};
use rustls::ClientConfig;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::Url;

pub use self::{
    assigned::Assigned,
    batch::{Keyed, Outcome},
    bodies::{Accepted, GatewayState, Message, MovingGateway},
    channels::{ChannelPage, ChannelPresence, ChannelUser, GatewaysAsked, History},
    inboxes::{DeviceReceipt, Erased, InboxPage, InboxQuery, Receipt, Retracted},
    scheduled::{Cancelled, SchedulePage},
    tokens::{Revocation, Revoke},
    users::{Disconnect, UserConnection},
};
use crate::{Error, api_url, error::cause, is_local, socket::retry_after, tls};

/// Of one attempt.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// Pauses between attempts grow to this, and no service may ask for a longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A client of one dispatcher, or of what stands before several. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    base: Url,
    key: Secret<String>,
    retry_for: Duration,
    /// Calls that were tried again, by why; clones share it.
    retried: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// What one attempt came to.
enum Attempt {
    Done(Answer),
    Again(Error, Option<Duration>),
    Refused(Error),
}

/// An answer that is 2xx.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl Api {
    /// Nothing is sent yet. A call is tried again for as long as `retry_for` while the service is away, and
    /// the last time at its end; an attempt has twenty seconds. Trusts those whom this machine trusts
    /// ([`tls::client`]).
    ///
    /// # Errors
    /// When `base` is not the address of an API, or this process cannot speak HTTP.
    pub fn new(base: &str, key: Secret<String>, retry_for: Duration) -> Result<Self, Error> {
        Self::trusting(base, key, retry_for, &tls::client())
    }

    /// The same, with whom it trusts.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn trusting(
        base: &str,
        key: Secret<String>,
        retry_for: Duration,
        tls: &ClientConfig,
    ) -> Result<Self, Error> {
        let base = api_url(base)?;
        let mut http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .user_agent(concat!("carillon/", env!("CARGO_PKG_VERSION")))
            .timeout(ANSWER_WITHIN);
        if is_local(&base) {
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build().map_err(|error| Error::Setup(cause(&error)))?,
            base,
            key,
            retry_for,
            retried: Arc::default(),
        })
    }

    /// How many calls failed and were tried again, by why: `connection`, or the status and the problem's
    /// code.
    #[must_use]
    pub fn retried(&self) -> BTreeMap<String, usize> {
        self.retried.lock().clone()
    }

    /// Has a notification accepted, trying again under the same key while the service is away.
    ///
    /// # Errors
    /// [`Error::Refused`] when it was not accepted; [`Error::Unreachable`] when nobody knows.
    pub async fn accept(
        &self,
        message: &Message<'_>,
        idempotency_key: &str,
    ) -> Result<Accepted, Error> {
        let route = match message.target_user {
            Some(_) => "send",
            None => "broadcast",
        };
        let url = self.url(&["notifications", route]);
        let call = || {
            let request = self.http.post(url.clone()).json(message);
            request.header("idempotency-key", idempotency_key)
        };
        let answer = self.until_done(call).await?;
        let whole: Value = self.read(&answer)?;
        let mut accepted =
            Accepted::deserialize(&whole).map_err(|_| self.foreign(answer.status))?;
        accepted.answer = whole;
        Ok(accepted)
    }

    /// How many users are connected.
    ///
    /// # Errors
    /// When it is not told.
    pub async fn online_count(&self) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Online {
            online_count: u64,
        }
        let url = self.url(&["notifications", "online-count"]);
        let online: Online = self.call(Method::GET, url).await?;
        Ok(online.online_count)
    }

    /// The gateways that are there.
    ///
    /// # Errors
    /// When they are not told.
    pub async fn gateways(&self) -> Result<Vec<GatewayState>, Error> {
        #[derive(Deserialize)]
        struct Listed {
            gateways: Vec<GatewayState>,
        }
        let url = self.url(&["gateways"]);
        let listed: Listed = self.call(Method::GET, url).await?;
        Ok(listed.gateways)
    }

    /// Asks a gateway to drain. Asking again does no harm.
    ///
    /// # Errors
    /// When there is no such gateway, or the call is refused.
    pub async fn drain(&self, gateway: &str) -> Result<(), Error> {
        let url = self.url(&["gateways", gateway, "drain"]);
        self.until_done(|| self.http.post(url.clone())).await?;
        Ok(())
    }

    /// Asks gateways with too many users to move some, and tells which these are.
    ///
    /// # Errors
    /// When the call is refused.
    pub async fn rebalance(&self) -> Result<Vec<MovingGateway>, Error> {
        #[derive(Deserialize)]
        struct Asked {
            moving: Vec<MovingGateway>,
        }
        let url = self.url(&["gateways", "rebalance"]);
        let asked: Asked = self.call(Method::POST, url).await?;
        Ok(asked.moving)
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, url: Url) -> Result<T, Error> {
        let call = || self.http.request(method.clone(), url.clone());
        let answer = self.until_done(call).await?;
        self.read(&answer)
    }

    fn read<T: DeserializeOwned>(&self, answer: &Answer) -> Result<T, Error> {
        serde_json::from_slice(&answer.body).map_err(|_| self.foreign(answer.status))
    }

    fn foreign(&self, status: StatusCode) -> Error {
        let url = self.base.clone();
        Error::NotCarillon { url, status }
    }

    fn url(&self, route: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Only a URL without a host has no path, and `api_url` lets none through.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push("api").extend(route);
        }
        url
    }

    /// The same with parameters, of those that are given.
    fn asked(&self, route: &[&str], parameters: &[(&str, Option<&str>)]) -> Url {
        let mut url = self.url(route);
        let given = parameters.iter();
        let given: Vec<_> = given
            .filter_map(|(name, value)| Some((*name, (*value)?)))
            .collect();
        // Without any, an empty query would be left.
        if !given.is_empty() {
            url.query_pairs_mut().extend_pairs(given);
        }
        url
    }

    async fn until_done(&self, request: impl Fn() -> RequestBuilder) -> Result<Answer, Error> {
        let deadline = Instant::now() + self.retry_for;
        let mut pauses = retry::pauses(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let (error, after) = match self.once(request()).await {
                Attempt::Done(answer) => return Ok(answer),
                Attempt::Refused(error) => return Err(error),
                Attempt::Again(error, after) => (error, after),
            };
            *self.retried.lock().entry(brief(&error)).or_default() += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error);
            }
            let pause = pauses.next().unwrap_or(LONGEST_PAUSE) + after.unwrap_or_default();
            // The last attempt is at the end of the time, not before it.
            sleep(pause.min(left)).await;
        }
    }

    async fn once(&self, request: RequestBuilder) -> Attempt {
        let asked = async {
            let answer = request.bearer_auth(self.key.expose()).send().await?;
            let (status, after) = (answer.status(), retry_after(answer.headers()));
            Ok::<_, reqwest::Error>((status, after, answer.bytes().await?))
        };
        let (status, after, body) = match asked.await {
            Ok(answer) => answer,
            Err(error) => {
                let error = Error::Unreachable {
                    address: self.base.to_string(),
                    why: cause(&error),
                    retry_after: None,
                };
                return Attempt::Again(error, None);
            }
        };
        if status.is_success() {
            let body = body.into();
            return Attempt::Done(Answer { status, body });
        }
        let error = match serde_json::from_slice::<Problem>(&body) {
            Ok(mut problem) => {
                problem.status = status.as_u16();
                problem.retry_after = after;
                Error::Refused(Box::new(problem))
            }
            Err(_) => self.foreign(status),
        };
        match status {
            StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS => {
                Attempt::Again(error, after.map(|after| after.min(LONGEST_PAUSE)))
            }
            _ => Attempt::Refused(error),
        }
    }
}

/// Why an attempt failed, in the words that are counted.
fn brief(error: &Error) -> String {
    match error {
        Error::Refused(problem) => format!("{} {}", problem.status, problem.code),
        Error::NotCarillon { status, .. } => format!("{} unexpected_answer", status.as_u16()),
        _ => "connection".to_owned(),
    }
}
