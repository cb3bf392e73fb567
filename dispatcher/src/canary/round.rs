//! One round: connect, send, receive, acknowledge, leave.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use carillon_common::{
    backend::{Backend, Idempotency, SendOrder},
    ids::{NotificationId, UserId},
    notification::{Notification, rfc3339},
    protocol::SUBPROTOCOL,
};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, header};
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{Message, client::IntoClientRequest},
};
use url::Url;
use uuid::Uuid;

use super::{Failure, Instant};

/// What its notifications are called.
const KIND: &str = "carillon.canary";
/// Its device and session: the next connection takes the place of one whose end was not heard.
const NAME: &str = "canary";
/// How long one that was missed is kept.
const TTL: Duration = Duration::from_secs(60);
/// For the gateway to answer the close frame.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// What a round takes.
pub(super) struct Round<'a> {
    pub(super) url: &'a str,
    pub(super) path: &'a str,
    pub(super) token_file: Option<&'a Path>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) backend: &'a dyn Backend,
}

/// How far it has come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    Connecting,
    Sending,
    Waiting,
}

impl fmt::Display for Stage {
    /// What is missing, to go before "within …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "no connection to a gateway",
            Self::Sending => "the store took nothing",
            Self::Waiting => "what the store took did not come to the socket",
        })
    }
}

/// What is read of a frame.
#[derive(Debug, Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    id: Option<NotificationId>,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    user: Option<String>,
}

impl Round<'_> {
    /// Answers how long the notification took from the store's door to the socket.
    pub(super) async fn go(&self, stage: &mut Stage) -> Result<Duration, Failure> {
        let mut socket = self.connect().await?;
        *stage = Stage::Sending;
        let id = Uuid::now_v7();
        let order = self.order(id)?;
        let began = Instant::now();
        let sent = self.backend.send(&order).await;
        sent.map_err(|error| Failure::new(format!("the store refuses: {error}")))?;
        *stage = Stage::Waiting;
        let mine = until(&mut socket, |frame| frame.id == Some(id)).await?;
        let took = began.elapsed();
        leave(socket, mine).await;
        Ok(took)
    }

    /// Connects, and reads what was missed.
    async fn connect(&self) -> Result<Socket, Failure> {
        let mut url = Url::parse(self.url)
            .map_err(|error| Failure::new(format!("canary.url is no URL: {error}")))?;
        if url.path() == "/" {
            url.set_path(self.path);
        }
        url.query_pairs_mut()
            .append_pair("device", NAME)
            .append_pair("session", NAME);
        let unusable = |error: &dyn fmt::Display| Failure::new(format!("no handshake: {error}"));
        let mut request = url
            .as_str()
            .into_client_request()
            .map_err(|error| unusable(&error))?;
        let headers = request.headers_mut();
        let protocol = HeaderValue::from_static(SUBPROTOCOL);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        headers.insert(header::AUTHORIZATION, self.authorization()?);
        let tls = Connector::Rustls(self.tls.clone());
        let connecting = connect_async_tls_with_config(request, None, true, Some(tls));
        let (mut socket, _) = connecting.await.map_err(|error| unusable(&error))?;

        let welcome = until(&mut socket, |frame| frame.kind == "welcome").await?;
        let user = welcome.user.unwrap_or_default();
        if user != UserId::CANARY {
            return Err(Failure::new(format!(
                "the token in canary.token_file is not the canary's: make one with \
                 `carillon token mint --user '{}'`",
                UserId::CANARY
            )));
        }
        until(&mut socket, |frame| frame.kind == "replayed").await?;
        Ok(socket)
    }

    fn authorization(&self) -> Result<HeaderValue, Failure> {
        let path = self
            .token_file
            .ok_or_else(|| Failure::new("canary.token_file is not set"))?;
        let token = std::fs::read_to_string(path).map_err(|error| {
            let path = path.display();
            Failure::new(format!("canary.token_file {path} cannot be read: {error}"))
        })?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
            .map_err(|_| Failure::new("what canary.token_file holds is no token"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn order(&self, id: NotificationId) -> Result<SendOrder, Failure> {
        let defect = |error: &dyn fmt::Display| Failure::new(error.to_string());
        let user = UserId::new(UserId::CANARY).map_err(|error| defect(&error))?;
        let data = RawValue::from_string("{}".to_owned()).map_err(|error| defect(&error))?;
        let notification = Notification {
            id,
            kind: KIND,
            content: "",
            data: &data,
            timestamp: rfc3339(self.backend.clock().now()),
            target_user: Some(&user),
            channel: None,
        };
        let body = notification.encode().map_err(|error| defect(&error))?;
        Ok(SendOrder {
            id,
            body,
            ttl: TTL,
            collapse_key: None,
            due: None,
            idempotency: Idempotency {
                key: id.to_string(),
                former: None,
                body_hash: "-".to_owned(),
                ttl: TTL,
            },
            trace: None,
            user,
        })
    }
}

/// Reads up to the frame that is looked for.
async fn until(socket: &mut Socket, is_it: impl Fn(&Frame) -> bool) -> Result<Frame, Failure> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                // Frames of a later version are passed over, as every client does.
                if let Ok(frame) = serde_json::from_str::<Frame>(&text)
                    && is_it(&frame)
                {
                    return Ok(frame);
                }
            }
            Some(Ok(Message::Close(frame))) => {
                let said = frame.map(|frame| format!("{} {}", frame.code, frame.reason));
                let said = said.unwrap_or_else(|| "1005".to_owned());
                return Err(Failure::new(format!("the gateway closed it with {said}")));
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(Failure::new(format!("the socket broke: {error}"))),
            None => return Err(Failure::new("the socket ended")),
        }
    }
}

/// Acknowledges, so that nothing gathers, and closes. It has done its work: whatever fails now is found in
/// the next round.
async fn leave(mut socket: Socket, frame: Frame) {
    let ack = json!({ "type": "ack", "cursor": frame.cursor });
    let over = async {
        socket.send(Message::text(ack.to_string())).await?;
        socket.close(None).await?;
        while socket.next().await.is_some() {}
        Ok::<_, tokio_tungstenite::tungstenite::Error>(())
    };
    drop(timeout(CLOSE_WITHIN, over).await);
}
