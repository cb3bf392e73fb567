//! How a socket becomes a connection.
//!
//! **Whoever can see that it is connected is owed everything accepted from then on.** So all that
//! fixes from where a client is owed something (its place among those that broadcasts go to, its
//! registration, its position in the inbox) is taken before the first byte that says so leaves: the
//! 101, or `authenticated` and `welcome` where the token comes in a frame. What arrives in between
//! waits in the mailbox, bounded like any other; a handshake that fails afterwards leaves nothing.

use std::net::SocketAddr;

use carillon_common::{
    auth::Claims,
    ids::{SessionId, UserId},
    notification::rfc3339,
    protocol::{ClientFrame, CloseCode, Dialect, ErrorCode, Ref, Request, ServerFrame},
};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Uri, header};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        Message,
        handshake::server::{Request as Handshake, Response},
        protocol::WebSocketConfig,
    },
};

use crate::{
    accept,
    admission::Refused,
    connection::{self, Arrived, Opened, Socket},
    gateway::Gateway,
    hello::{self, Hello, Since, TurnedAway},
    hub::Handle,
    session::{Effect, Identity, Now, Session},
};

/// A read buffer of its own costs every idle connection this much.
const READ_BUFFER: usize = 512;
/// What tungstenite writes itself is rare, and goes out at once.
const WRITE_BUFFER: usize = 0;

/// Why a client that is who it says does not become a connection.
enum Refusal {
    /// It is told with a close frame.
    Close(CloseCode, &'static str),
    /// The store did not register it in time: nothing can be promised to it.
    Unregistered,
}

impl Gateway {
    /// Makes a connection of a socket whose upgrade request was looked at.
    pub(crate) async fn upgrade(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        uri: Uri,
        headers: HeaderMap,
    ) -> Option<Box<Opened>> {
        let begun = Instant::now();
        let place = match self.admission().admit(begun) {
            Ok(place) => place,
            Err(refused) => {
                self.rejected(refused.reason);
                accept::refuse(stream, &refused).await;
                return None;
            }
        };
        let protocol = hello::answered(&headers);
        let opened = match Hello::read(&uri, &headers, &self.settings().gateway) {
            Ok(hello) if hello.token.is_none() && hello.dialect == Dialect::V1 => {
                self.by_first_frame(stream, protocol, peer, hello).await?
            }
            Ok(hello) => self.by_request(stream, protocol, peer, hello).await?,
            Err(TurnedAway { code, reason }) => {
                self.rejected(reason);
                let socket = self.handshake(stream, protocol).await?;
                connection::turn_away(socket, code, reason).await;
                return None;
            }
        };
        let (socket, arrived) = opened;
        let took = begun.elapsed().as_secs_f64();
        self.metrics().all.handshake_duration.observe(took);
        Some(Box::new(Opened {
            socket,
            arrived,
            place,
        }))
    }

    /// The token came with the request: the 101 is what says that the client is connected.
    async fn by_request(
        &self,
        stream: TcpStream,
        protocol: Option<HeaderValue>,
        peer: SocketAddr,
        hello: Hello,
    ) -> Option<(Socket, Arrived)> {
        let (user, claims) = match self.authenticate(hello.token.as_deref()) {
            Ok(known) => known,
            Err(reason) => {
                let socket = self.handshake(stream, protocol).await?;
                self.turn_away_unauthenticated(socket, peer, hello.token.as_deref(), reason)
                    .await;
                return None;
            }
        };
        match self.enter(&hello, user, claims).await {
            Ok(arrived) => match self.handshake(stream, protocol).await {
                Some(socket) => Some((socket, arrived)),
                None => {
                    self.depart(arrived);
                    None
                }
            },
            Err(Refusal::Close(code, reason)) => {
                let socket = self.handshake(stream, protocol).await?;
                connection::turn_away(socket, code, reason).await;
                None
            }
            Err(Refusal::Unregistered) => {
                accept::refuse(stream, &Refused::later("store")).await;
                None
            }
        }
    }

    /// The token comes in the first frame (`carillon.v1`): `authenticated` is what says that the
    /// client is connected.
    async fn by_first_frame(
        &self,
        stream: TcpStream,
        protocol: Option<HeaderValue>,
        peer: SocketAddr,
        hello: Hello,
    ) -> Option<(Socket, Arrived)> {
        let mut socket = self.handshake(stream, protocol).await?;
        let within = self.settings().gateway.auth_timeout;
        let first = timeout(within, first_frame(&mut socket)).await;
        let (token, reference) = first.ok().flatten().unzip();
        let (user, claims) = match self.authenticate(token.as_deref()) {
            Ok(known) => known,
            Err(reason) => {
                self.turn_away_unauthenticated(socket, peer, token.as_deref(), reason)
                    .await;
                return None;
            }
        };
        let expires_at = rfc3339(claims.exp_ms);
        match self.enter(&hello, user, claims).await {
            Ok(mut arrived) => {
                let reference = reference.flatten();
                let reference = reference.as_ref();
                let frame = ServerFrame::Authenticated {
                    reference,
                    expires_at,
                };
                arrived
                    .first
                    .insert(0, Effect::Write(frame.encode().into()));
                Some((socket, arrived))
            }
            Err(refusal) => {
                let (code, reason) = match refusal {
                    Refusal::Close(code, reason) => (code, reason),
                    Refusal::Unregistered => {
                        (CloseCode::Overloaded, CloseCode::Overloaded.reason())
                    }
                };
                connection::turn_away(socket, code, reason).await;
                None
            }
        }
    }

    fn authenticate(&self, token: Option<&str>) -> Result<(UserId, Claims), &'static str> {
        let token = token.ok_or("token_missing")?;
        let now = self.around().clock.now();
        let claims = self.rules().verifier.verify(token, now);
        let claims = claims.map_err(|error| error.code())?;
        let user = UserId::new(&claims.sub).map_err(|_| "token_claim")?;
        Ok((user, claims))
    }

    /// Makes it reachable and has it registered, before it can see that it is connected.
    async fn enter(&self, hello: &Hello, user: UserId, claims: Claims) -> Result<Arrived, Refusal> {
        let now = Now {
            mono: Instant::now(),
            wall: self.around().clock.now(),
        };
        let identity = Identity {
            opened: now.wall,
            user,
            device: hello.device.clone(),
            session: hello.session.clone().unwrap_or_else(new_session),
            dialect: hello.dialect,
            since: match hello.since {
                Since::At(cursor) if hello.dialect == Dialect::V1 => Some(cursor),
                _ => None,
            },
        };
        let handle = Handle::new(
            identity.user.clone(),
            identity.device.clone(),
            identity.session.clone(),
        );
        // First of all: hints may come as soon as the store knows of it.
        if !self.hub().insert(&handle) {
            let code = CloseCode::TooManyConnections;
            self.rejected(code.reason());
            return Err(Refusal::Close(code, code.reason()));
        }
        let mut effects = Vec::new();
        let broadcast = self.channels().broadcast_position();
        let rules = self.rules().clone();
        let session = Session::open(rules, identity, claims, broadcast, now, &mut effects);
        let mut arrived = Arrived::new(session, handle);
        let within = self.settings().gateway.handshake_timeout;
        let registered = arrived.registered(effects, self.around());
        match timeout(within, registered).await {
            Ok(Ok(())) => {}
            Ok(Err((code, reason))) => {
                self.rejected(reason);
                self.depart(arrived);
                return Err(Refusal::Close(code, reason));
            }
            Err(_) => {
                self.rejected("store");
                self.depart(arrived);
                return Err(Refusal::Unregistered);
            }
        }
        if hello.since == Since::Unreadable && hello.dialect == Dialect::V1 {
            let frame = ServerFrame::Error {
                reference: None,
                code: ErrorCode::InvalidField,
                message: "\"since\" is not a cursor that this service gave out; it is ignored",
                retryable: false,
                channel: None,
            };
            arrived
                .first
                .insert(0, Effect::Write(frame.encode().into()));
        }
        Ok(arrived)
    }

    /// Takes back what [`enter`](Self::enter) did, of a connection that did not come to be.
    fn depart(&self, arrived: Arrived) {
        self.hub().remove(&arrived.handle);
        arrived.end(self.around(), false, false);
    }

    async fn handshake(&self, stream: TcpStream, protocol: Option<HeaderValue>) -> Option<Socket> {
        let frame_bytes = self.settings().socket.frame_bytes;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(frame_bytes))
            .max_frame_size(Some(frame_bytes));
        #[expect(
            clippy::result_large_err,
            reason = "the callback's type is tungstenite's"
        )]
        let answer = |_: &Handshake, mut response: Response| {
            if let Some(name) = protocol {
                response
                    .headers_mut()
                    .insert(header::SEC_WEBSOCKET_PROTOCOL, name);
            }
            Ok(response)
        };
        let within = self.settings().gateway.handshake_timeout;
        let accepted = accept_hdr_async_with_config(stream, answer, Some(config));
        match timeout(within, accepted).await {
            Ok(Ok(socket)) => Some(socket),
            _ => {
                self.rejected("handshake");
                None
            }
        }
    }

    async fn turn_away_unauthenticated(
        &self,
        socket: Socket,
        peer: SocketAddr,
        token: Option<&str>,
        reason: &'static str,
    ) {
        self.rejected(reason);
        if let Some((hold, _place)) =
            token.and_then(|token| self.refusals().refuse(peer.ip(), token, Instant::now()))
        {
            tokio::select! {
                () = tokio::time::sleep(hold) => {}
                () = self.over().cancelled() => {}
            }
        }
        connection::turn_away(socket, CloseCode::Unauthenticated, reason).await;
    }

    fn rejected(&self, reason: &str) {
        self.metrics()
            .all
            .handshakes_rejected
            .with_label_values(&[reason])
            .inc();
    }
}

/// The token of the first frame, if that is an `auth`.
async fn first_frame(socket: &mut Socket) -> Option<(String, Option<Ref>)> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => {
                return match ClientFrame::parse(&text).ok()? {
                    ClientFrame {
                        request: Request::Auth { token },
                        reference,
                    } => Some((token, reference)),
                    _ => None,
                };
            }
            Message::Ping(_) | Message::Pong(_) => {}
            _ => return None,
        }
    }
}

fn new_session() -> SessionId {
    #[expect(
        clippy::expect_used,
        reason = "a UUID is within the rule for session names"
    )]
    SessionId::new(&uuid::Uuid::new_v4().simple().to_string()).expect("a UUID is a valid session")
}
