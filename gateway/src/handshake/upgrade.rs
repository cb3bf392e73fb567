//! The way of an upgrade request to a connection: by a token in the request, or in the first frame.

use carillon_common::{
    auth::Secret,
    notification::rfc3339,
    protocol::{ClientFrame, CloseCode, Dialect, Ref, Request, ServerFrame},
};
use futures_util::StreamExt;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::{
    Guest,
    enter::{NotEntered, reason_for},
    forwarded,
    hello::{Hello, Shown, TurnedAway},
    refuse::{answer_problem, answer_unavailable},
    request::Upgrade,
    switch::Handshake,
    turn_away::close_refused,
};
use crate::{
    connection::{Opened, Socket, close_refused_at_once},
    limits::{Reason, Refused},
    parts::Gateway,
};

impl Gateway {
    /// Makes a connection of a socket whose upgrade request was read, with what came after it.
    pub(super) async fn upgrade(
        &self,
        mut guest: Guest,
        upgrade: Upgrade,
        early: Vec<u8>,
    ) -> Option<Box<Opened>> {
        if let Err(refused) = self.admission.is_open() {
            self.refuse(guest, &refused).await;
            return None;
        }
        let begun = Instant::now();
        let rules = self.rules();
        match forwarded::client(guest.address, &upgrade.headers, &rules.settings.gateway) {
            Ok(address) => guest.address = address,
            Err(refusal) => {
                self.rejected("handshake");
                answer_problem(guest, &refusal).await;
                return None;
            }
        }
        let hello = Hello::read(&upgrade.uri, &upgrade.headers, &rules.settings)
            .inspect_err(|away| self.tell_of(away, &upgrade.headers));
        let handshake = Handshake::new(upgrade, early);
        let opened = match hello {
            Ok(hello) if hello.shown.is_none() && hello.dialect == Dialect::V1 => {
                self.by_first_frame(guest, handshake, hello).await
            }
            Ok(hello) => self.by_request(guest, handshake, hello).await,
            Err(away) => {
                self.turn_away(guest, handshake, away).await;
                None
            }
        }?;
        if !opened.arrived.handle.user.is_canary() {
            let took = begun.elapsed().as_secs_f64();
            self.metrics.all.handshake_duration.observe(took);
        }
        Some(opened)
    }

    /// The token came with the request: the 101 is what says that the client is connected.
    async fn by_request(
        &self,
        guest: Guest,
        handshake: Handshake,
        hello: Hello,
    ) -> Option<Box<Opened>> {
        let address = guest.address;
        let shown = hello.shown.as_ref();
        let (user, claims) = match self.authenticate(shown).await {
            Ok(known) => known,
            Err(reason) => {
                self.rejected(reason);
                if let Err(refused) = self.may_be_told(address) {
                    self.refuse(guest, &refused).await;
                    return None;
                }
                let (socket, waiting) = self.switch_protocols(guest, handshake).await?;
                self.refuse_token(socket, waiting, address, shown, reason)
                    .await;
                return None;
            }
        };
        let place = match self.let_in(&guest.stream, &user) {
            Ok(place) => place,
            Err(refused) => {
                self.rejected(reason_for(&user, refused.reason.as_str()));
                answer_unavailable(guest, &refused).await;
                return None;
            }
        };
        match self.enter(&hello, address, user, claims).await {
            Ok(arrived) => match self.switch_protocols(guest, handshake).await {
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
            Err(NotEntered::TurnedAway(away)) => {
                let (socket, waiting) = self.switch_protocols(guest, handshake).await?;
                close_refused(socket, &waiting, away).await;
                None
            }
            Err(NotEntered::Unregistered) => {
                answer_unavailable(guest, &Refused::later(Reason::Store)).await;
                None
            }
        }
    }

    /// The token comes in the first frame (`carillon.v1`): `authenticated` is what says that the
    /// client is connected.
    async fn by_first_frame(
        &self,
        guest: Guest,
        handshake: Handshake,
        hello: Hello,
    ) -> Option<Box<Opened>> {
        let address = guest.address;
        let (mut socket, waiting) = self.switch_protocols(guest, handshake).await?;
        waiting.waits();
        let within = self.settings.gateway.auth_timeout;
        let first = tokio::select! {
            first = timeout(within, first_frame(&mut socket)) => first,
            () = waiting.gone() => {
                self.rejected("crowded");
                return None;
            }
        };
        waiting.works();
        let (token, reference) = first.ok().flatten().unzip();
        let shown = token.map(|token| Shown::Token(Secret::new(token)));
        let shown = shown.as_ref();
        let (user, claims) = match self.authenticate(shown).await {
            Ok(known) => known,
            Err(reason) => {
                self.rejected(reason);
                if let Err(refused) = self.may_be_told(address) {
                    self.rejected(refused.reason.as_str());
                    let away = TurnedAway::by_token(reason);
                    close_refused_at_once(socket, away.code, away.reason);
                    return None;
                }
                self.refuse_token(socket, waiting, address, shown, reason)
                    .await;
                return None;
            }
        };
        let place = match self.let_in(socket.get_ref().stream(), &user) {
            Ok(place) => place,
            Err(refused) => {
                self.rejected(refused.reason.as_str());
                close_refused(socket, &waiting, CloseCode::Overloaded.into()).await;
                return None;
            }
        };
        let expires_at = rfc3339(claims.exp_ms);
        match self.enter(&hello, address, user, claims).await {
            Ok(mut arrived) => {
                let reference = reference.flatten();
                arrived.first.write_first(&ServerFrame::Authenticated {
                    reference: reference.as_ref(),
                    expires_at,
                });
                Some(Box::new(Opened {
                    socket,
                    arrived,
                    place,
                }))
            }
            Err(not_entered) => {
                let away = match not_entered {
                    NotEntered::TurnedAway(away) => away,
                    NotEntered::Unregistered => TurnedAway::from(CloseCode::Overloaded),
                };
                close_refused(socket, &waiting, away).await;
                None
            }
        }
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
