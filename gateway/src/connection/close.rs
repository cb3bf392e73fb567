//! How a socket is closed.

use std::{pin::Pin, time::Duration};

use carillon_common::protocol::CloseCode;
use futures_util::{FutureExt, Sink, SinkExt, StreamExt};
use socket2::SockRef;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode as WireCode},
};

use super::{Context, End, Ending, Socket};
use crate::session::{Out, Session};

/// Messages that are read of one who is turned away, before its answer to the close frame.
const UNWANTED: u32 = 16;
/// For a client to read its close frame, of which nothing more is read.
const UNREAD_GRACE: Duration = Duration::from_secs(1);
/// For one who is turned away to read why.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the kernel holds for a client that does not read is given back as soon as the socket is closed,
/// rather than offered to it for minutes.
pub(crate) fn reset(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "a socket is closed in order, though nobody reads");
    }
}

/// A socket that is gone shows at the next flush.
fn put(socket: &mut Socket, message: Message) {
    if let Err(error) = Pin::new(socket).start_send(message) {
        tracing::trace!(%error, "a frame for a socket that is gone");
    }
}

fn close_message(code: CloseCode, reason: &str) -> Message {
    let code = WireCode::from(code.code());
    Message::Close(Some(CloseFrame {
        code,
        reason: reason.into(),
    }))
}

/// Closes a socket and waits a while for the client's answer, which confirms what it has read.
pub(super) async fn close(
    socket: &mut Socket,
    session: &mut Session,
    ending: &Ending,
    context: &Context,
) -> End {
    let code = ending.code;
    put(socket, close_message(code, ending.reason()));
    if code == CloseCode::RateLimited {
        return close_unread(socket, code).await;
    }
    let answered = timeout(context.close_grace, async {
        socket.flush().await.ok()?;
        while let Some(Ok(message)) = socket.next().await {
            match message {
                // The answer repeats our code (RFC 6455 section 5.5.1). Another one is a close of
                // the client's own that crossed ours: what it had not read then, it never will.
                Message::Close(Some(frame)) if u16::from(frame.code) == code.code() => {
                    return Some(());
                }
                Message::Close(_) => return None,
                Message::Pong(payload) => {
                    session.on_pong(&payload, context.now(), &mut Out::default());
                }
                _ if !session.allows_frame(context.now()) => return None,
                _ => {}
            }
        }
        None
    });
    let confirmed = matches!(answered.await, Ok(Some(())));
    End::here(code, confirmed)
}

/// Of a client that sends too much nothing more is read; it has a moment to read why.
async fn close_unread(socket: &mut Socket, code: CloseCode) -> End {
    drop(timeout(UNREAD_GRACE, socket.flush()).await);
    tokio::time::sleep(UNREAD_GRACE).await;
    End::here(code, false)
}

/// Tells one that it is turned away, if that costs no wait.
pub(crate) fn close_refused_at_once(mut socket: Socket, code: CloseCode, reason: &'static str) {
    put(&mut socket, close_message(code, reason));
    socket.flush().now_or_never();
}

/// Ends a socket that never became a connection.
pub(crate) async fn close_refused(mut socket: Socket, code: CloseCode, reason: &'static str) {
    put(&mut socket, close_message(code, reason));
    let goodbye = async {
        drop(socket.flush().await);
        let mut read = 0;
        while let Some(Ok(_)) = socket.next().await
            && read < UNWANTED
        {
            read += 1;
        }
    };
    drop(timeout(GOODBYE, goodbye).await);
}
