//! A `carillon.v1` socket: one connection, and how it is asked for.

use std::{path::PathBuf, sync::Arc, time::Duration};

use carillon_common::{
    auth::{CredentialKind, Secret},
    protocol::SUBPROTOCOL,
};
use clap::Args;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode, header};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        protocol::{CloseFrame, WebSocketConfig},
    },
};
use url::Url;

use crate::{
    failure::Failure,
    input::{secret_file, secret_variable, text},
};

/// From the first packet to the end of the handshake.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// For the frame that says goodbye.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);
/// The endpoint, where `--url` names a server alone.
const PATH: &str = "/ws/notifications";
/// Thousands of these may be open in one process (`bench`).
const READ_BUFFER: usize = 4096;

/// Where the token of `subscribe` comes from.
#[derive(Debug, Clone, Args)]
pub(crate) struct TokenArgs {
    /// File with the token, read again at every connection [or the environment's CARILLON_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The token; other users of this machine can see it, prefer the file or the variable
    #[arg(long, value_name = "JWT", conflicts_with = "token_file", value_parser = text, allow_hyphen_values = true)]
    token: Option<String>,
}

/// A token, or the file where a fresh one is found.
#[derive(Debug, Clone)]
pub(crate) enum TokenSource {
    Fixed(Secret<String>),
    File(PathBuf),
}

impl TokenArgs {
    pub(crate) fn source(&self) -> Result<TokenSource, Failure> {
        match (&self.token_file, &self.token) {
            (Some(file), _) => Ok(TokenSource::File(file.clone())),
            (None, Some(token)) => Ok(TokenSource::Fixed(Secret::new(token.clone()))),
            (None, None) => secret_variable("CARILLON_TOKEN")
                .map(TokenSource::Fixed)
                .ok_or_else(|| {
                    let text = "no token: pass --token-file FILE or set CARILLON_TOKEN \
                                (`carillon token mint` makes one)";
                    Failure::Usage(text.to_owned())
                }),
        }
    }
}

impl TokenSource {
    fn read(&self) -> Result<Secret<String>, Failure> {
        let token = match self {
            Self::Fixed(token) => token.clone(),
            Self::File(path) => secret_file(path)?,
        };
        match CredentialKind::of(token.expose()) {
            Some(CredentialKind::ApiKey) => Err(Failure::Usage(
                "this is an API key, which services show to a dispatcher: a client needs a token \
                 (JWT); `carillon token mint` makes one"
                    .to_owned(),
            )),
            _ => Ok(token),
        }
    }
}

/// Whose connection, and to where.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// One of these, by chance, for each connection.
    pub(crate) urls: Vec<Url>,
    pub(crate) token: TokenSource,
    pub(crate) device: Option<String>,
    /// Whom `wss` trusts.
    pub(crate) tls: Arc<ClientConfig>,
}

impl Target {
    /// Where the next connection goes. `urls` is not empty.
    fn any_url(&self) -> &Url {
        &self.urls[rand::random_range(0..self.urls.len())]
    }

    /// All of them, for people.
    pub(crate) fn shown(&self) -> String {
        let urls: Vec<_> = self.urls.iter().map(Url::as_str).collect();
        urls.join(", ")
    }

    /// Completes `url`: `http` becomes `ws`, as `https` becomes `wss`, for it is the same address; no
    /// path becomes the endpoint's.
    pub(crate) fn parse_url(given: &str) -> Result<Url, Failure> {
        let wrong = |why: String| Err(Failure::Usage(format!("--url {given}: {why}")));
        let Some((scheme, rest)) = given.split_once("://") else {
            return wrong(format!(
                "has no scheme; write ws://{given} or wss://{given}"
            ));
        };
        let scheme = match scheme {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            _ => return wrong("must start with ws:// or wss://".to_owned()),
        };
        let mut url = match Url::parse(&format!("{scheme}://{rest}")) {
            Ok(url) => url,
            Err(error) => return wrong(format!("is no URL: {error}")),
        };
        if url.path() == "/" {
            url.set_path(PATH);
        }
        Ok(url)
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NotOpen {
    /// It may work later, not before the time that the gateway named.
    Later {
        why: String,
        after: Option<Duration>,
    },
    /// It will not work unchanged.
    Never(Failure),
}

/// What arrives.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A frame, and its text.
    Frame(Box<Frame>, tungstenite::Utf8Bytes),
    /// A sign of life.
    Ping,
    /// The end: the gateway's code and reason, or 1006 and what the network said.
    End { code: u16, reason: String },
}

/// Any frame of the gateway's: a notification has an `id`, a control frame has none.
#[derive(Debug, Deserialize)]
pub(crate) struct Frame {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) data: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) timestamp: Option<String>,
    #[serde(default)]
    pub(crate) target_user: Option<String>,
    #[serde(default)]
    pub(crate) channel: Option<String>,
    #[serde(default)]
    pub(crate) cursor: Option<String>,
    #[serde(default)]
    pub(crate) replayed: bool,
    #[serde(default)]
    pub(crate) user: Option<String>,
    #[serde(default)]
    pub(crate) session: Option<String>,
    #[serde(default)]
    pub(crate) ping_interval_ms: Option<u64>,
    #[serde(default)]
    pub(crate) reason: Option<String>,
    #[serde(default)]
    pub(crate) resume: Option<String>,
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) expires_at: Option<String>,
    #[serde(default)]
    pub(crate) after_ms: Option<u64>,
    #[serde(default)]
    pub(crate) spread_ms: Option<u64>,
}

impl Frame {
    /// Whether it is a notification of the user's own inbox; others are a channel's or everyone's.
    pub(crate) fn is_personal(&self) -> bool {
        self.id.is_some() && self.target_user.is_some()
    }
}

/// One connection.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects and shakes hands; the token goes into a header, where no log of a proxy shows it.
    pub(crate) async fn open(
        target: &Target,
        session: Option<&str>,
        since: Option<&str>,
    ) -> Result<Self, NotOpen> {
        let url = target.any_url();
        let request = request(target, url, session, since).map_err(NotOpen::Never)?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        let tls = Connector::Rustls(target.tls.clone());
        let connecting = Box::pin(connect_async_tls_with_config(
            request,
            Some(config),
            true,
            Some(tls),
        ));
        match timeout(OPEN_WITHIN, connecting).await {
            Ok(Ok((stream, _))) => Ok(Self { stream }),
            Ok(Err(error)) => Err(not_open(url, error)),
            Err(_) => Err(NotOpen::Later {
                why: format!("no handshake within {OPEN_WITHIN:?}"),
                after: None,
            }),
        }
    }

    /// The next thing that arrives. Pings are answered on the way. Cancel safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(frame) => Incoming::Frame(frame, text),
                    // A frame of a later version; receivers ignore what they do not know.
                    Err(_) => continue,
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => Incoming::Ping,
                Some(Ok(Message::Close(frame))) => end(frame),
                Some(Ok(_)) => continue,
                Some(Err(error)) => Incoming::End {
                    code: 1006,
                    reason: error.to_string(),
                },
                None => Incoming::End {
                    code: 1006,
                    reason: "the connection ended".to_owned(),
                },
            };
        }
    }

    /// Sends a frame. A connection that cannot take it shows its end to [`Self::next`].
    pub(crate) async fn send(&mut self, frame: &serde_json::Value) {
        let text = Message::text(frame.to_string());
        self.stream.send(text).await.unwrap_or_default();
    }

    /// Says goodbye, as far as the other side still listens.
    pub(crate) async fn close(mut self) {
        let goodbye = self.stream.close(None);
        timeout(CLOSE_WITHIN, goodbye)
            .await
            .map(Result::unwrap_or_default)
            .unwrap_or_default();
    }
}

fn request(
    target: &Target,
    url: &Url,
    session: Option<&str>,
    since: Option<&str>,
) -> Result<http::Request<()>, Failure> {
    let mut asked = url.clone();
    let parameters = [
        ("device", target.device.as_deref()),
        ("session", session),
        ("since", since),
    ];
    for (name, value) in parameters {
        if let Some(value) = value {
            asked.query_pairs_mut().append_pair(name, value);
        }
    }
    let mut request = asked
        .as_str()
        .into_client_request()
        .map_err(|error| Failure::Usage(format!("--url {url}: {error}")))?;
    let bearer = format!("Bearer {}", target.token.read()?.expose());
    let mut bearer = HeaderValue::try_from(bearer)
        .map_err(|_| Failure::Usage("the token is not one: it has odd characters".to_owned()))?;
    bearer.set_sensitive(true);
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    Ok(request)
}

fn not_open(url: &Url, error: tungstenite::Error) -> NotOpen {
    let later = |why| NotOpen::Later { why, after: None };
    match error {
        tungstenite::Error::Http(answer) => {
            let status = answer.status();
            let after = answer.headers().get(header::RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
            match status {
                StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::GATEWAY_TIMEOUT => NotOpen::Later {
                    why: format!("the gateway answered {status}"),
                    after: after.map(Duration::from_secs),
                },
                StatusCode::NOT_FOUND => NotOpen::Never(Failure::Connection(format!(
                    "{url} answered {status}: it has no WebSocket there; --url is a gateway's (port \
                     8080), not a dispatcher's (8081)"
                ))),
                _ => NotOpen::Never(Failure::Connection(format!(
                    "{url} answered {status} instead of a WebSocket; is --url right?"
                ))),
            }
        }
        tungstenite::Error::Protocol(error) => NotOpen::Never(Failure::Connection(format!(
            "{url} does not speak {SUBPROTOCOL}: {error}"
        ))),
        tungstenite::Error::Url(error) => {
            NotOpen::Never(Failure::Usage(format!("--url {url}: {error}")))
        }
        error => later(error.to_string()),
    }
}

fn end(frame: Option<CloseFrame>) -> Incoming {
    match frame {
        Some(frame) => Incoming::End {
            code: frame.code.into(),
            reason: frame.reason.as_str().to_owned(),
        },
        None => Incoming::End {
            code: 1005,
            reason: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls;

    #[test]
    fn a_url_is_completed() {
        for (given, completed) in [
            ("ws://h:1", "ws://h:1/ws/notifications"),
            ("https://h/", "wss://h/ws/notifications"),
            ("http://h:1/", "ws://h:1/ws/notifications"),
            ("wss://h/other", "wss://h/other"),
        ] {
            assert_eq!(Target::parse_url(given).unwrap().as_str(), completed);
        }
        for (given, told) in [
            ("redis://h", "ws:// or wss://"),
            ("h:8080", "write ws://h:8080"),
            ("ws://", "is no URL"),
            ("httpx://h", "ws:// or wss://"),
        ] {
            let failure = Target::parse_url(given).unwrap_err();
            assert!(matches!(failure, Failure::Usage(_)), "{given}");
            assert!(failure.to_string().contains(told), "{failure}");
        }
    }

    #[test]
    fn the_token_is_in_a_header_and_nowhere_else() {
        let url = Target::parse_url("ws://h").unwrap();
        let target = Target {
            urls: vec![url.clone()],
            token: TokenSource::Fixed(Secret::new("s3cret".to_owned())),
            device: Some("lap top".to_owned()),
            tls: tls::client(),
        };
        let request = request(&target, &url, Some("s"), Some("1-2")).unwrap();
        assert_eq!(
            request.uri().query(),
            Some("device=lap+top&session=s&since=1-2")
        );
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer s3cret");
        assert!(!format!("{request:?} {target:?}").contains("s3cret"));
    }
}
