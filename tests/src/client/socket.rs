//! One WebSocket connection.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::Url;

use super::schemas::{self, Dialect};

const PATH: &str = "/ws/notifications";
const OPEN_WITHIN: Duration = Duration::from_secs(10);
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// The code of an end without a close frame (RFC 6455 section 7.1.5).
const ABNORMAL: u16 = 1006;

/// Where a client puts its token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenIn {
    /// `?token=`
    #[default]
    Query,
    /// `Authorization: Bearer`, which browsers cannot send.
    Header,
    /// The subprotocol item `bearer.<base64url>`.
    Subprotocol,
    /// The first frame; carillon.v1 only.
    FirstFrame,
}

/// What a client asks for when it connects.
#[derive(Clone, Debug)]
pub struct Handshake {
    gateway: String,
    query: Vec<(&'static str, String)>,
    protocols: Vec<String>,
    headers: Vec<(HeaderName, String)>,
}

impl Handshake {
    /// A connection to `ws://host:port` that asks for nothing yet.
    #[must_use]
    pub fn to(gateway: &str) -> Self {
        let (query, protocols, headers) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            gateway: gateway.to_owned(),
            query,
            protocols,
            headers,
        }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a query parameter if there is a value.
    #[must_use]
    pub fn query_opt(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Offers a subprotocol.
    #[must_use]
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.protocols.push(name.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Puts a token where it is wanted; [`TokenIn::FirstFrame`] is the caller's to send.
    #[must_use]
    pub fn token(self, place: TokenIn, token: &str) -> Self {
        match place {
            TokenIn::Query => self.query("token", token),
            TokenIn::Header => self.header(header::AUTHORIZATION, format!("Bearer {token}")),
            TokenIn::Subprotocol => {
                self.protocol(format!("bearer.{}", URL_SAFE_NO_PAD.encode(token)))
            }
            TokenIn::FirstFrame => self,
        }
    }

    fn request(&self) -> Result<Request> {
        let mut url = Url::parse(&self.gateway)?.join(PATH)?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut request = url.as_str().into_client_request()?;
        if !self.protocols.is_empty() {
            let offered = HeaderValue::from_str(&self.protocols.join(", "))?;
            request
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
        }
        for (name, value) in &self.headers {
            request
                .headers_mut()
                .insert(name, HeaderValue::from_str(value)?);
        }
        Ok(request)
    }
}

/// What comes in.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A text frame.
    Frame(Value),
    /// The end; 1006 without a close frame.
    Closed(u16, String),
}

/// An open connection. Pings are answered as a browser answers them: by themselves, in order.
#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    dialect: Dialect,
}

impl Socket {
    /// Connects and waits for the handshake's answer.
    ///
    /// # Errors
    /// When nobody listens, the answer is not 101, or none comes within ten seconds.
    pub async fn connect(handshake: &Handshake) -> Result<Self> {
        let request = handshake.request()?;
        let host = request
            .uri()
            .authority()
            .context("a URL without host")?
            .as_str();
        // Small buffers: tests hold thousands of these.
        let config = WebSocketConfig::default()
            .read_buffer_size(2_048)
            .write_buffer_size(0);
        let opening = async {
            let tcp = TcpStream::connect(host).await?;
            tcp.set_nodelay(true)?;
            anyhow::Ok(client_async_with_config(request.clone(), tcp, Some(config)).await?)
        };
        let (stream, response) = timeout(OPEN_WITHIN, opening).await??;
        let chosen = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
        let dialect = match chosen {
            Some(_) => Dialect::V1,
            None => Dialect::Simple,
        };
        Ok(Self { stream, dialect })
    }

    /// The next text frame or the end; safe to cancel.
    ///
    /// # Panics
    /// When the frame is not one of the protocol's, to the letter.
    pub async fn next(&mut self) -> Incoming {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => {
                    return Incoming::Frame(schemas::answered(self.dialect, &text));
                }
                Some(Ok(Message::Close(frame))) => {
                    // The library has queued the answer; flushing it completes the handshake.
                    drop(timeout(CLOSE_WITHIN, self.stream.flush()).await);
                    return closed(frame);
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return closed(None),
            }
        }
    }

    /// The next text frame.
    ///
    /// # Errors
    /// When the connection ends or nothing comes `within` this time.
    pub async fn frame(&mut self, within: Duration) -> Result<Value> {
        match timeout(within, self.next())
            .await
            .context("no frame came")?
        {
            Incoming::Frame(frame) => Ok(frame),
            Incoming::Closed(code, reason) => bail!("closed with {code} {reason}"),
        }
    }

    /// Waits for the end, whatever comes before it.
    ///
    /// # Errors
    /// When the connection has not ended `within` this time.
    pub async fn closed(&mut self, within: Duration) -> Result<(u16, String)> {
        let ending = async {
            loop {
                if let Incoming::Closed(code, reason) = self.next().await {
                    return (code, reason);
                }
            }
        };
        timeout(within, ending).await.context("not closed")
    }

    /// Sends a frame as JSON text. One that no client should send goes through [`Socket::send_message`].
    ///
    /// # Errors
    /// When the connection has ended.
    ///
    /// # Panics
    /// When the frame is not one of the protocol's.
    pub async fn send(&mut self, frame: &Value) -> Result<(), Error> {
        schemas::asked(self.dialect, frame);
        self.send_message(Message::text(frame.to_string())).await
    }

    /// Sends any message: raw text, binary, ping.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send_message(&mut self, message: Message) -> Result<(), Error> {
        self.stream.send(message).await
    }

    /// Closes with a close frame (1000) and waits shortly for the answer.
    pub async fn close(mut self) {
        let frame = CloseFrame {
            code: 1000.into(),
            reason: "".into(),
        };
        let closing = async {
            self.stream.close(Some(frame)).await?;
            while self.stream.next().await.is_some() {}
            Ok::<_, Error>(())
        };
        // The server may be gone; then there is nobody to take leave of.
        drop(timeout(CLOSE_WITHIN, closing).await);
    }

    /// The TCP connection, to write what no WebSocket client would.
    pub fn tcp(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }
}

fn closed(frame: Option<CloseFrame>) -> Incoming {
    match frame {
        Some(frame) => Incoming::Closed(frame.code.into(), frame.reason.to_string()),
        None => Incoming::Closed(ABNORMAL, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_asked_for_as_documented() {
        let handshake = Handshake::to("ws://127.0.0.1:1")
            .token(TokenIn::Query, "a.b")
            .query("device", "my phone")
            .protocol("carillon.v1")
            .token(TokenIn::Subprotocol, "a.bc?")
            .token(TokenIn::Header, "t");
        let request = handshake.request().unwrap();
        let uri = "ws://127.0.0.1:1/ws/notifications?token=a.b&device=my+phone";
        assert_eq!(request.uri().to_string(), uri);
        assert_eq!(
            request.headers()["sec-websocket-protocol"],
            "carillon.v1, bearer.YS5iYz8"
        );
        assert_eq!(request.headers()["authorization"], "Bearer t");
    }
}
