//! What came in is given to the session: mail and frames.

use carillon_common::protocol::CloseCode;
use tokio_tungstenite::tungstenite::{
    self, Message,
    error::{CapacityError, ProtocolError},
};

use super::{End, screen::Screened};
use crate::{
    routing::{Mail, Taken},
    session::{Event, Now, Out, Session},
};

/// Gives what waited in the mailbox to the session.
pub(crate) fn on_mail(session: &mut Session, taken: Taken, now: Now, out: &mut Out) {
    for gap in taken.gaps {
        session.on_event(Event::ChannelGap(gap), now, out);
    }
    for mail in taken.mails {
        match mail {
            Mail::Inbox(push) => session.on_push(&push, now, out),
            Mail::Ephemeral(push) => session.on_ephemeral(&push, out),
            Mail::Retracted(it) => session.on_retracted(it.0, it.1, out),
            Mail::Read(change) => session.on_read(*change, out),
            Mail::Channel(push) => session.on_channel_push(&push, now, out),
            Mail::Event(event) => session.on_event(*event, now, out),
        }
        if out.closed().is_some() {
            // What comes after a close is never written, so the session must not count it.
            return;
        }
    }
    if taken.behind {
        session.on_overflow(out);
    }
}

/// Gives a frame to the session; answers how the connection ended, if that was its end.
pub(super) fn on_frame(
    session: &mut Session,
    frame: Option<Result<Message, tungstenite::Error>>,
    now: Now,
    out: &mut Out,
) -> Option<End> {
    match frame {
        Some(Ok(Message::Text(text))) => session.on_client(&text, now, out),
        Some(Ok(Message::Binary(_))) => session.on_binary(out),
        Some(Ok(Message::Pong(payload))) => session.on_pong(&payload, now, out),
        Some(Ok(Message::Ping(_) | Message::Frame(_))) => session.on_sign_of_life(now, out),
        Some(Ok(Message::Close(frame))) => {
            let code = frame.map_or(1005, |frame| frame.code.into());
            return Some(End {
                initiator: "client",
                code,
                clean: true,
                confirmed: false,
            });
        }
        Some(Err(error)) => match close_code(&error) {
            Some(code) => out.close(code),
            None => return Some(End::BROKEN),
        },
        None => return Some(End::BROKEN),
    }
    None
}

/// The close code for what RFC 6455 does not allow; `None` when the socket is gone.
fn close_code(error: &tungstenite::Error) -> Option<CloseCode> {
    match error {
        tungstenite::Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Some(CloseCode::TooBig)
        }
        tungstenite::Error::Utf8(_) => Some(CloseCode::InvalidText),
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        tungstenite::Error::Protocol(_) => Some(CloseCode::ProtocolError),
        tungstenite::Error::Io(error) => Screened::of(error),
        _ => None,
    }
}
