//! How a socket becomes a connection.
//!
//! **Whoever can see that it is connected is owed everything accepted from then on.** So all that
//! fixes from where a client is owed something (its place among those that broadcasts go to, its
//! registration, its position in the inbox) is taken before the first byte that says so leaves: the
//! 101, or `authenticated` and `welcome` where the token comes in a frame. What arrives in between
//! waits in the mailbox, bounded like any other; a handshake that fails afterwards leaves nothing.

use std::{io, mem::MaybeUninit, net::IpAddr};

use carillon_common::{
    auth::{Claims, TokenError},
    http::Place,
    ids::{SessionId, UserId},
    notification::rfc3339,
    protocol::{ClientFrame, CloseCode, Dialect, ErrorCode, Ref, Request, ServerFrame},
};
use futures_util::StreamExt;
use http::HeaderValue;
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{Role, WebSocketConfig},
};

use crate::{
    connection::close,
    connection::rewound::Rewound,
    connection::screen::Screen,
    connection::{Arrived, Opened, Socket},
    gateway::Gateway,
    handshake::accept::{self, Guest},
    handshake::admission::Refused,
    handshake::forwarded,
    handshake::hello::{self, Hello, Since, TurnedAway},
    handshake::refuse::turn_away,
    handshake::request::Upgrade,
    rate::Rate,
    routing::hub::{Handle, Origin},
    session::{Identity, Out, Session},
};

/// A read buffer of its own costs every idle connection this much.
const READ_BUFFER: usize = 512;
/// What tungstenite writes itself is rare, and goes out at once.
const WRITE_BUFFER: usize = 0;

/// A handshake to be answered.
pub(crate) struct Asking {
    upgrade: Upgrade,
    /// The subprotocol to answer with.
    protocol: Option<HeaderValue>,
    /// What the client sent after it, without waiting.
    early: Vec<u8>,
}

/// Why a client that is who it says does not become a connection.
enum Refusal {
    /// It is told with a close frame.
    Close(CloseCode, &'static str),
    /// The store did not register it in time: nothing can be promised to it.
    Unregistered,
}

impl Gateway {
    /// Makes a connection of a socket whose upgrade request was read, with what came after it.
    pub(crate) async fn upgrade(
        &self,
        mut guest: Guest,
        upgrade: Upgrade,
        early: Vec<u8>,
    ) -> Option<Box<Opened>> {
        if let Err(refused) = self.admission().is_open() {
            self.refuse(guest, &refused).await;
            return None;
        }
        let begun = Instant::now();
        let settings = &self.settings().gateway;
        guest.address = forwarded::client(guest.address, &upgrade.headers, settings.trusted_hops);
        let request = Asking {
            protocol: hello::answered(&upgrade.headers),
            upgrade,
            early,
        };
        let opened = match Hello::read(&request.upgrade.uri, &request.upgrade.headers, settings) {
            Ok(hello) if hello.token.is_none() && hello.dialect == Dialect::V1 => {
                self.by_first_frame(guest, request, hello).await
            }
            Ok(hello) => self.by_request(guest, request, hello).await,
            Err(TurnedAway { code, reason }) => {
                self.turn_away(guest, request, code, reason).await;
                None
            }
        }?;
        if !opened.arrived.handle.user.is_canary() {
            let took = begun.elapsed().as_secs_f64();
            self.metrics().all.handshake_duration.observe(took);
        }
        Some(opened)
    }

    /// The token came with the request: the 101 is what says that the client is connected.
    async fn by_request(&self, guest: Guest, request: Asking, hello: Hello) -> Option<Box<Opened>> {
        let (user, claims) = match self.authenticate(hello.token.as_deref()) {
            Ok(known) => known,
            Err(reason) => {
                self.rejected(reason);
                if let Err(refused) = self.may_be_told(guest.address) {
                    self.refuse(guest, &refused).await;
                    return None;
                }
                let address = guest.address;
                let (socket, place) = self.handshake(guest, request).await?;
                let token = hello.token.as_deref();
                self.refuse_token(socket, place, address, token, reason)
                    .await;
                return None;
            }
        };
        let place = match self.let_in(&guest.stream, &user) {
            Ok(place) => place,
            Err(refused) => {
                self.rejected(reason_for(&user, refused.reason));
                accept::refuse(guest, &refused).await;
                return None;
            }
        };
        match self.enter(&hello, guest.address, user, claims).await {
            Ok(arrived) => match self.handshake(guest, request).await {
                Some((socket, _)) => Some(Box::new(Opened {
                    socket,
                    arrived,
                    place,
                })),
                None => {
                    self.depart(arrived);
                    None
                }
            },
            Err(Refusal::Close(code, reason)) => {
                let (socket, waiting) = self.handshake(guest, request).await?;
                turn_away(socket, &waiting, code, reason).await;
                None
            }
            Err(Refusal::Unregistered) => {
                accept::refuse(guest, &Refused::later("store")).await;
                None
            }
        }
    }

    /// The token comes in the first frame (`carillon.v1`): `authenticated` is what says that the
    /// client is connected.
    async fn by_first_frame(
        &self,
        guest: Guest,
        request: Asking,
        hello: Hello,
    ) -> Option<Box<Opened>> {
        let address = guest.address;
        let (mut socket, waiting) = self.handshake(guest, request).await?;
        waiting.waits();
        let within = self.settings().gateway.auth_timeout;
        let first = tokio::select! {
            first = timeout(within, first_frame(&mut socket)) => first,
            () = waiting.gone() => {
                self.rejected("crowded");
                return None;
            }
        };
        waiting.works();
        let (token, reference) = first.ok().flatten().unzip();
        let (user, claims) = match self.authenticate(token.as_deref()) {
            Ok(known) => known,
            Err(reason) => {
                self.rejected(reason);
                if let Err(refused) = self.may_be_told(address) {
                    self.rejected(refused.reason);
                    let code = CloseCode::Unauthenticated;
                    close::turn_away_at_once(socket, code, reason);
                    return None;
                }
                let token = token.as_deref();
                self.refuse_token(socket, waiting, address, token, reason)
                    .await;
                return None;
            }
        };
        let place = match self.let_in(socket.get_ref().stream(), &user) {
            Ok(place) => place,
            Err(refused) => {
                self.rejected(refused.reason);
                let code = CloseCode::Overloaded;
                turn_away(socket, &waiting, code, code.reason()).await;
                return None;
            }
        };
        let expires_at = rfc3339(claims.exp_ms);
        match self.enter(&hello, address, user, claims).await {
            Ok(mut arrived) => {
                let reference = reference.flatten();
                let reference = reference.as_ref();
                let frame = ServerFrame::Authenticated {
                    reference,
                    expires_at,
                };
                arrived.first.write_first(&frame);
                Some(Box::new(Opened {
                    socket,
                    arrived,
                    place,
                }))
            }
            Err(refusal) => {
                let (code, reason) = match refusal {
                    Refusal::Close(code, reason) => (code, reason),
                    Refusal::Unregistered => {
                        (CloseCode::Overloaded, CloseCode::Overloaded.reason())
                    }
                };
                turn_away(socket, &waiting, code, reason).await;
                None
            }
        }
    }

    fn authenticate(&self, token: Option<&str>) -> Result<(UserId, Claims), &'static str> {
        let token = token.ok_or("token_missing")?;
        let now = self.context().clock.now();
        let claims = self.rules().keyring.current().verifier.verify(token, now);
        let claims = claims.map_err(|error| error.code())?;
        let user = UserId::new(&claims.sub).map_err(|_| "token_claim")?;
        Ok((user, claims))
    }

    /// A place for a client whose token is good. One that has gone gets none: its next attempt may be under way
    /// already, and to register this one would take the session from that.
    fn let_in(&self, stream: &TcpStream, user: &UserId) -> Result<OwnedSemaphorePermit, Refused> {
        if has_gone(stream) {
            return Err(Refused::later("gone"));
        }
        self.admission().admit(user, Instant::now())
    }

    /// Makes it reachable and has it registered, before it can see that it is connected.
    async fn enter(
        &self,
        hello: &Hello,
        address: IpAddr,
        user: UserId,
        claims: Claims,
    ) -> Result<Arrived, Refusal> {
        let now = self.context().now();
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
            Origin {
                address,
                dialect: hello.dialect,
            },
        );
        // First of all: hints may come as soon as the store knows of it.
        if !self.hub().insert(&handle) {
            let code = CloseCode::TooManyConnections;
            self.rejected(code.reason());
            return Err(Refusal::Close(code, code.reason()));
        }
        // Whoever is in the hub is told when its key goes; it may have gone before.
        if !self
            .rules()
            .keyring
            .current()
            .verifier
            .stands(&claims.warrant)
        {
            self.hub().remove(&handle);
            self.rejected(TokenError::Key.code());
            let code = CloseCode::Unauthenticated;
            return Err(Refusal::Close(code, TokenError::Key.code()));
        }
        let mut out = Out::default();
        let broadcast = self.channels().broadcast_position();
        let rules = self.rules().clone();
        let session = Session::open(rules, identity, claims, broadcast, now, &mut out);
        let mut arrived = Arrived::new(session, handle);
        let within = self.settings().gateway.handshake_timeout;
        let registered = arrived.register(out, self.context());
        match timeout(within, registered).await {
            Ok(Ok(())) => {}
            Ok(Err(code)) => {
                let reason = code.reason();
                self.rejected(reason_for(&arrived.handle.user, reason));
                self.depart(arrived);
                return Err(Refusal::Close(code, reason));
            }
            Err(_) => {
                self.rejected(reason_for(&arrived.handle.user, "store"));
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
            arrived.first.write_first(&frame);
        }
        Ok(arrived)
    }

    /// Takes back what [`enter`](Self::enter) did, of a connection that did not come to be.
    fn depart(&self, arrived: Arrived) {
        self.hub().remove(&arrived.handle);
        arrived.end(self.context(), false, false);
    }

    /// Says 101.
    pub(crate) async fn handshake(&self, guest: Guest, request: Asking) -> Option<(Socket, Place)> {
        let Asking {
            upgrade,
            protocol,
            early,
        } = request;
        let Guest {
            mut stream, place, ..
        } = guest;
        let answer = upgrade.answer(protocol.as_ref());
        let within = self.settings().gateway.handshake_timeout;
        if !matches!(timeout(within, stream.write_all(&answer)).await, Ok(Ok(()))) {
            self.rejected("handshake");
            return None;
        }
        let limits = &self.settings().socket;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(limits.frame_bytes))
            .max_frame_size(Some(limits.frame_bytes));
        let stream = Rewound::new(stream, early);
        let rate = Rate::new(limits.frames_per_second, limits.frames_burst);
        let screen = Screen::new(stream, rate);
        let socket = Socket::from_raw_socket(screen, Role::Server, Some(config)).await;
        Some((socket, place))
    }

    pub(crate) fn rejected(&self, reason: &str) {
        self.metrics()
            .all
            .handshakes_rejected
            .with_label_values(&[reason])
            .inc();
    }
}

/// What a refusal of a user is counted as: the canary's is none of those that the service level counts.
fn reason_for(user: &UserId, reason: &'static str) -> &'static str {
    if user.is_canary() { "canary" } else { reason }
}

/// Whether a client that waits for its answer has closed its side.
fn has_gone(stream: &TcpStream) -> bool {
    let mut next = [MaybeUninit::uninit(); 1];
    match SockRef::from(stream).peek(&mut next) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
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
