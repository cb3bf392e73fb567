//! Handshakes that are refused by a 101 and a close frame, because browsers hide the status of a
//! handshake that fails.

use std::net::IpAddr;

use carillon_common::{http::Place, protocol::CloseCode};
use http::{HeaderMap, header};
use tokio::time::Instant;

use super::{
    Guest,
    hello::{Shown, TurnedAway},
    refuse::answer_unavailable,
    switch::Handshake,
};
use crate::{
    connection::{self, Socket},
    limits::Refused,
    parts::Gateway,
};

impl Gateway {
    /// Answers 101 and closes at once; so often for each address, else with 503.
    pub(super) async fn turn_away(&self, guest: Guest, handshake: Handshake, away: TurnedAway) {
        self.rejected(away.reason);
        if let Err(refused) = self.may_be_told(guest.address) {
            return self.refuse(guest, &refused).await;
        }
        if let Some((socket, place)) = self.switch_protocols(guest, handshake).await {
            close_refused(socket, &place, away).await;
        }
    }

    /// Tells the log of a page that may not connect, now and then: its operator may have forgotten to allow it.
    pub(super) fn tell_of(&self, away: &TurnedAway, headers: &HeaderMap) {
        if away.reason == TurnedAway::ORIGIN {
            // A cookie came without an origin, which is no page's.
            let origin = headers
                .get(header::ORIGIN)
                .map_or(&b""[..], |it| it.as_bytes());
            self.refused_origins.refused(origin, Instant::now());
        }
    }

    /// Whether the client at this address is told why, which costs a 101 and a close.
    pub(super) fn may_be_told(&self, address: IpAddr) -> Result<(), Refused> {
        self.admission.may_be_told(address, Instant::now())
    }

    /// Counts a refusal and answers it with 503.
    pub(super) async fn refuse(&self, guest: Guest, refused: &Refused) {
        self.rejected(refused.reason.as_str());
        answer_unavailable(guest, refused).await;
    }

    /// Turns a client away whose token is bad. One that comes with it again and again is held for a while
    /// before its close.
    pub(super) async fn refuse_token(
        &self,
        socket: Socket,
        waiting: Place,
        address: IpAddr,
        shown: Option<&Shown>,
        reason: &'static str,
    ) {
        let away = TurnedAway::by_token(reason);
        let bad = shown.filter(|_| away.code == CloseCode::Unauthenticated);
        let again = bad.and_then(|it| {
            let seen = &self.refused_tokens;
            seen.refuse(address, it.expose(), Instant::now())
        });
        let Some(((hold, _held), _spare)) = again.zip(self.admission.spare()) else {
            close_refused(socket, &waiting, away).await;
            return;
        };
        // A held one is no longer among those on their way in.
        drop(waiting);
        tokio::select! {
            () = tokio::time::sleep(hold) => {}
            () = self.over.cancelled() => {}
        }
        connection::close_refused(socket, away.code, away.reason).await;
    }
}

/// Ends a socket that never became a connection, unless another needs its place first.
pub(super) async fn close_refused(socket: Socket, place: &Place, away: TurnedAway) {
    place.waits();
    tokio::select! {
        () = connection::close_refused(socket, away.code, away.reason) => {}
        () = place.gone() => {}
    }
}
