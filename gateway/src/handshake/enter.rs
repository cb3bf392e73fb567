//! What is taken before a client can see that it is connected.
//!
//! **Whoever can see that it is connected is owed everything accepted from then on.** So all that
//! fixes from where a client is owed something (its place among those that broadcasts go to, its
//! registration, its position in the inbox) is taken before the first byte that says so leaves: the
//! 101, an event stream's 200, or `authenticated` and `welcome` where the token comes in a frame. What arrives in between
//! waits in the mailbox, bounded like any other; a handshake that fails afterwards leaves nothing.

use std::{io, mem::MaybeUninit, net::IpAddr};

use carillon_common::{
    auth::{Claims, Ticket, TokenError},
    ids::{SessionId, UserId},
    protocol::{CloseCode, ErrorCode, ServerFrame},
};
use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout},
};

use super::hello::{Hello, Shown, Since, TurnedAway};
use crate::{
    connection::Arrived,
    limits::{Reason, Refused},
    parts::Gateway,
    routing::{Handle, Origin},
    session::{Identity, Out, Session, Start},
};

/// Why a client with a good token does not become a connection.
pub(super) enum NotEntered {
    /// It is told with a close frame.
    TurnedAway(TurnedAway),
    /// The store did not register it in time: nothing can be promised to it.
    Unregistered,
}

impl Gateway {
    /// Who a token, or a ticket, says the client is.
    pub(super) async fn authenticate(
        &self,
        shown: Option<&Shown>,
    ) -> Result<(UserId, Claims), &'static str> {
        let rules = self.rules();
        let keyring = &rules.keyring;
        let claims = match shown.ok_or(TokenError::Missing.code())? {
            Shown::Token(token) => {
                let now = self.context.clock.now();
                let claims = keyring.verify(token.expose(), now);
                claims.map_err(|error| error.code())?
            }
            Shown::Ticket(ticket) => self.redeem(ticket.expose()).await?,
        };
        let user = UserId::new(&claims.sub).map_err(|_| "token_claim")?;
        Ok((user, claims))
    }

    /// What a ticket stands for, which nobody gets a second time. It is judged as the token would be.
    async fn redeem(&self, ticket: &str) -> Result<Claims, &'static str> {
        let ticket = Ticket::new(ticket).ok_or(TurnedAway::TICKET)?;
        let within = self.settings.gateway.handshake_timeout;
        let hash = ticket.hash();
        let redeemed = timeout(within, self.tokens.redeem_ticket(&hash)).await;
        let claims = match redeemed {
            Ok(Ok(claims)) => claims.ok_or(TurnedAway::TICKET)?,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a ticket could not be redeemed");
                return Err(TurnedAway::STORE_AWAY);
            }
            Err(_) => return Err(TurnedAway::STORE_AWAY),
        };
        let now = self.context.clock.now();
        let rules = self.rules();
        if claims.exp_ms.saturating_add(rules.leeway()) <= now {
            return Err(TokenError::Expired.code());
        }
        let standing = rules.keyring.stands(&claims, now);
        standing.map_err(|error| error.code())?;
        Ok(claims)
    }

    /// A place for a client whose token is good. One that has gone gets none: its next attempt may be under way
    /// already, and to register this one would take the session from that.
    pub(super) fn let_in(
        &self,
        stream: &TcpStream,
        user: &UserId,
    ) -> Result<OwnedSemaphorePermit, Refused> {
        if has_gone(stream) {
            return Err(Refused::later(Reason::Gone));
        }
        self.admission.admit(user, Instant::now())
    }

    /// Makes it reachable and has it registered, before it can see that it is connected.
    pub(super) async fn enter(
        &self,
        hello: &Hello,
        address: IpAddr,
        user: UserId,
        claims: Claims,
    ) -> Result<Arrived, NotEntered> {
        let now = self.context.now();
        let identity = Identity {
            opened: now.wall,
            user,
            device: hello.device.clone(),
            session: hello.session.clone().unwrap_or_else(new_session),
            dialect: hello.dialect,
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
        if !self.hub.insert(&handle) {
            let away = TurnedAway::from(CloseCode::TooManyConnections);
            self.rejected(away.reason);
            return Err(NotEntered::TurnedAway(away));
        }
        // Whoever is in the hub is told when its key goes, or its token is revoked; it may have been before.
        let rules = self.rules();
        if let Err(error) = rules.keyring.stands(&claims, now.wall) {
            self.hub.remove(&handle);
            let away = TurnedAway::by_token(error.code());
            self.rejected(away.reason);
            return Err(NotEntered::TurnedAway(away));
        }
        let mut out = Out::default();
        let start = Start {
            since: match hello.since {
                Since::At(cursor) if hello.dialect.tells() => Some(cursor),
                _ => None,
            },
            broadcast: self.channels.broadcast_position(),
            wanted: hello.wanted.clone(),
        };
        let session = Session::open(rules, identity, claims, start, now, &mut out);
        let mut arrived = Arrived::new(session, handle);
        let within = self.settings.gateway.handshake_timeout;
        let registered = arrived.register(out, &self.context);
        match timeout(within, registered).await {
            Ok(Ok(())) => {}
            Ok(Err(code)) => {
                let away = TurnedAway::from(code);
                self.rejected(reason_for(&arrived.handle.user, away.reason));
                self.depart(arrived);
                return Err(NotEntered::TurnedAway(away));
            }
            Err(_) => {
                self.rejected(reason_for(&arrived.handle.user, "store"));
                self.depart(arrived);
                return Err(NotEntered::Unregistered);
            }
        }
        if hello.since == Since::Unreadable && hello.dialect.tells() {
            arrived.first.write_first(&ServerFrame::Error {
                reference: None,
                code: ErrorCode::InvalidField,
                message: "\"since\" is not a cursor that this service gave out; it is ignored",
                retryable: false,
                channel: None,
            });
        }
        Ok(arrived)
    }

    /// Takes back what [`enter`](Self::enter) did, of a connection that did not come to be.
    pub(super) fn depart(&self, arrived: Arrived) {
        self.hub.remove(&arrived.handle);
        arrived.end(&self.context, false, false);
    }
}

/// What a user's refusal is counted as: the canary's do not count for the service level.
pub(super) fn reason_for(user: &UserId, reason: &'static str) -> &'static str {
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

fn new_session() -> SessionId {
    #[expect(
        clippy::expect_used,
        reason = "a UUID is within the rule for session names"
    )]
    SessionId::new(&uuid::Uuid::new_v4().simple().to_string()).expect("a UUID is a valid session")
}
