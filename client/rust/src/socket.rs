//! A `carillon.v1` socket: one connection, and how it is asked for.

use std::{sync::Arc, time::Duration};

use carillon_common::protocol::SUBPROTOCOL;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode, header};
use rand::seq::IndexedRandom;
use rustls::ClientConfig;
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

use crate::{AddressError, Control, Error, Notification, TokenSource, frame::Frame};

/// From the first packet to the end of the handshake.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// For the frame that says goodbye.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);
/// Thousands of these may be open in one process.
const READ_BUFFER: usize = 4096;

/// Whose connection, and to where.
#[derive(Debug, Clone)]
pub struct Target {
    /// One of these, by chance, for each connection; [`gateway_url`](crate::gateway_url) reads one.
    pub urls: Vec<Url>,
    /// Who connects.
    pub token: TokenSource,
    /// The device's lasting name; none: the user's nameless devices share one position.
    pub device: Option<String>,
    /// Whom `wss` trusts, such as [`tls::client`](crate::tls::client).
    pub tls: Arc<ClientConfig>,
}

impl Target {
    /// Where the next connection goes.
    fn any_url(&self) -> Result<&Url, Error> {
        let chosen = self.urls.choose(&mut rand::rng());
        Ok(chosen.ok_or_else(|| AddressError::new("", "no gateway is named"))?)
    }

    /// All of them, for people.
    pub(crate) fn shown(&self) -> String {
        let urls: Vec<_> = self.urls.iter().map(Url::as_str).collect();
        urls.join(", ")
    }
}

/// What arrives.
#[derive(Debug)]
pub enum Incoming {
    /// A notification.
    Notification(Box<Notification>),
    /// What the gateway says of them.
    Control(Control),
    /// A sign of life.
    Ping,
    /// The end.
    End {
        /// Of the close frame; 1005 for one without, 1006 where the network ended it.
        code: u16,
        /// The gateway's reason, or what the network said.
        reason: String,
    },
}

/// One connection.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects and shakes hands, within ten seconds; the token goes into a header, where no log of a proxy
    /// shows it. `session` and `since` are of the connection that this one continues.
    ///
    /// # Errors
    /// [`Error::Unreachable`] when it may work later; any other when it will not work unchanged.
    pub async fn open(
        target: &Target,
        session: Option<&str>,
        since: Option<&str>,
    ) -> Result<Self, Error> {
        let url = target.any_url()?;
        let request = request(target, url, session, since)?;
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
            Err(_) => Err(unreachable(
                url,
                format!("no handshake within {OPEN_WITHIN:?}"),
            )),
        }
    }

    /// The next thing that arrives. Pings are answered on the way. Cancel safe.
    pub async fn next(&mut self) -> Incoming {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => match Frame::read(text) {
                    Some(Frame::Notification(notification)) => Incoming::Notification(notification),
                    Some(Frame::Control(control)) => Incoming::Control(control),
                    None => continue,
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
    pub async fn send(&mut self, frame: &serde_json::Value) {
        let text = Message::text(frame.to_string());
        self.stream.send(text).await.unwrap_or_default();
    }

    /// Says goodbye, as far as the other side still listens.
    pub async fn close(mut self) {
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
) -> Result<http::Request<()>, Error> {
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
        .map_err(|error| AddressError::new(url.as_str(), error.to_string()))?;
    let bearer = format!("Bearer {}", target.token.read()?.expose());
    let mut bearer = HeaderValue::try_from(bearer)
        .map_err(|_| Error::Token("the token is not one: it has odd characters".to_owned()))?;
    bearer.set_sensitive(true);
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(SUBPROTOCOL),
    );
    Ok(request)
}

fn unreachable(url: &Url, why: String) -> Error {
    Error::Unreachable {
        address: url.to_string(),
        why,
        retry_after: None,
    }
}

fn not_open(url: &Url, error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Http(answer) => refused(url, answer.status(), answer.headers()),
        tungstenite::Error::Protocol(error) => Error::NotSpoken {
            url: url.clone(),
            why: error.to_string(),
        },
        tungstenite::Error::Url(error) => AddressError::new(url.as_str(), error.to_string()).into(),
        error => unreachable(url, error.to_string()),
    }
}

/// What an HTTP answer in the place of a handshake's means.
fn refused(url: &Url, status: StatusCode, headers: &http::HeaderMap) -> Error {
    match status {
        StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::GATEWAY_TIMEOUT => Error::Unreachable {
            address: url.to_string(),
            why: format!("the gateway answered {status}"),
            retry_after: retry_after(headers),
        },
        status => Error::NoWebSocket {
            url: url.clone(),
            status,
        },
    }
}

/// The time that `Retry-After` names in seconds; nobody of ours names a date.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?;
    let seconds = value.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
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
    use crate::{gateway_url, tls};

    fn target(url: &Url, token: &str) -> Target {
        Target {
            urls: vec![url.clone()],
            token: TokenSource::fixed(token),
            device: Some("lap top".to_owned()),
            tls: tls::client(),
        }
    }

    #[test]
    fn the_token_is_in_a_header_and_nowhere_else() {
        let url = gateway_url("ws://h").unwrap();
        let target = target(&url, "s3cret");
        let request = request(&target, &url, Some("s"), Some("1-2")).unwrap();
        assert_eq!(
            request.uri().query(),
            Some("device=lap+top&session=s&since=1-2")
        );
        assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer s3cret");
        assert!(!format!("{request:?} {target:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_no_token_is_not_shown_to_anybody() {
        let url = gateway_url("ws://h").unwrap();
        let asked = |token| request(&target(&url, token), &url, None, None).unwrap_err();
        assert!(matches!(asked("ck_key"), Error::ApiKeyAsToken));
        assert!(matches!(asked("a\nb"), Error::Token(_)));
    }

    #[test]
    fn a_gateway_that_is_full_says_when_to_come_back() {
        let url = gateway_url("ws://h").unwrap();
        let told = |status, after: &'static str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(after));
            refused(&url, status, &headers)
        };
        for (after, seconds) in [("7", Some(7)), ("soon", None)] {
            let error = told(StatusCode::SERVICE_UNAVAILABLE, after);
            let Error::Unreachable { retry_after, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(retry_after, seconds.map(Duration::from_secs));
        }
        let error = told(StatusCode::NOT_FOUND, "7");
        assert_eq!(
            error.to_string(),
            "ws://h/ws/notifications answered 404 Not Found instead of a WebSocket"
        );
    }

    #[tokio::test]
    async fn a_target_without_a_gateway_is_an_error() {
        let mut target = target(&gateway_url("ws://h").unwrap(), "t");
        target.urls.clear();
        let opened = Socket::open(&target, None, None).await;
        assert!(matches!(opened, Err(Error::Address(_))));
    }
}
