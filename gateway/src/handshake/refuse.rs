//! How those are refused who do not come in.

use std::net::IpAddr;

use carillon_common::{http::Place, protocol::CloseCode};
use tokio::time::Instant;

use crate::{
    connection::Socket,
    connection::close,
    gateway::Gateway,
    handshake::accept::{self, Guest},
    handshake::admission::Refused,
    handshake::upgrade::Asking,
};

impl Gateway {
    /// Lets a client in that is turned away at once, because browsers hide the status of a handshake; each
    /// address so often.
    pub(crate) async fn turn_away(
        &self,
        guest: Guest,
        request: Asking,
        code: CloseCode,
        reason: &'static str,
    ) {
        self.rejected(reason);
        if let Err(refused) = self.may_be_told(guest.address) {
            return self.refuse(guest, &refused).await;
        }
        if let Some((socket, place)) = self.handshake(guest, request).await {
            turn_away(socket, &place, code, reason).await;
        }
    }

    pub(crate) fn may_be_told(&self, address: IpAddr) -> Result<(), Refused> {
        self.admission().may_be_told(address, Instant::now())
    }

    pub(crate) async fn refuse(&self, guest: Guest, refused: &Refused) {
        self.rejected(refused.reason);
        accept::refuse(guest, refused).await;
    }

    pub(crate) async fn refuse_token(
        &self,
        socket: Socket,
        waiting: Place,
        address: IpAddr,
        token: Option<&str>,
        reason: &'static str,
    ) {
        let code = CloseCode::Unauthenticated;
        let again = token.and_then(|it| self.refusals().refuse(address, it, Instant::now()));
        let Some(((hold, _held), _spare)) = again.zip(self.admission().spare()) else {
            turn_away(socket, &waiting, code, reason).await;
            return;
        };
        // One that is held is not on its way in any more.
        drop(waiting);
        tokio::select! {
            () = tokio::time::sleep(hold) => {}
            () = self.over().cancelled() => {}
        }
        close::turn_away(socket, code, reason).await;
    }
}

/// Ends a socket that never became a connection, unless another needs its place first.
pub(crate) async fn turn_away(
    socket: Socket,
    place: &Place,
    code: CloseCode,
    reason: &'static str,
) {
    place.waits();
    tokio::select! {
        _ = close::turn_away(socket, code, reason) => {}
        () = place.gone() => {}
    }
}
