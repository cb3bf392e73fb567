//! A connection's loop.
//!
//! It waits for three things: mail from the gateway, a frame from the client, the session's next
//! deadline. Each is given to the session; what comes out is written, all frames with one flush.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
};

use futures_util::{FutureExt, SinkExt, Stream};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message};

use super::{
    Arrived, Context, End, Socket,
    close::{close, reset},
    effects::{Gathered, carry_out},
    inputs::{on_frame, on_mail},
    outgoing::Outgoing,
    writing::written,
};
use crate::{
    routing::Taken,
    session::{Marks, Out},
};

enum Woken {
    Mail(Taken),
    Frame(Option<Result<Message, tungstenite::Error>>),
    Deadline,
}

pub(super) async fn run_loop(socket: &mut Socket, arrived: &mut Arrived, context: &Context) -> End {
    let mut out = std::mem::take(&mut arrived.first);
    let mut alarm = pin!(sleep_until(Instant::now()));
    loop {
        let Gathered {
            outgoing,
            marks,
            close: ending,
        } = carry_out(out, &arrived.handle, context, &mut arrived.joined);
        if let Some(end) = write(socket, outgoing, marks, context).await {
            return end;
        }
        let session = &mut arrived.session;
        if let Some(ending) = ending {
            return Box::pin(close(socket, session, &ending, context)).await;
        }
        let now = context.now();
        let deadline = session.next_deadline(now);
        // A timer that rings too early costs less than moving it at every frame.
        if deadline < alarm.deadline() || alarm.deadline() <= now.mono {
            alarm.as_mut().reset(deadline);
        }
        let mailbox = &arrived.handle.mailbox;
        let woken = poll_fn(|task| {
            if let Poll::Ready(taken) = mailbox.poll_take(task) {
                return Poll::Ready(Woken::Mail(taken));
            }
            if let Poll::Ready(frame) = Pin::new(&mut *socket).poll_next(task) {
                return Poll::Ready(Woken::Frame(frame));
            }
            alarm.as_mut().poll(task).map(|()| Woken::Deadline)
        })
        .await;
        let now = context.now();
        out = Out::default();
        match woken {
            Woken::Mail(taken) => on_mail(session, taken, now, &mut out),
            Woken::Frame(frame) => {
                if let Some(Ok(frame)) = &frame {
                    context.metrics.received(frame);
                }
                if let Some(end) = on_frame(session, frame, now, &mut out) {
                    socket.flush().now_or_never();
                    return end;
                }
                if let Some(end) = answer(socket, context).await {
                    return end;
                }
            }
            Woken::Deadline => session.on_deadline(now, &mut out),
        }
        if out.closed().is_none() {
            session.after_writing(now, &mut out);
        }
        arrived.publish_position();
    }
}

/// Writes what was gathered. A client that does not read for too long is given up: what it has
/// of a frame leaves no room for another, so there is no close frame either.
async fn write(
    socket: &mut Socket,
    outgoing: Outgoing,
    marks: Marks,
    context: &Context,
) -> Option<End> {
    let screen = socket.get_mut();
    screen.asked(outgoing.pings());
    context.metrics.all.bytes_written.inc_by(outgoing.len());
    let result = outgoing.write(screen.stream(), context.slow).await;
    written(result, screen.stream(), marks, context)
}

/// Lets tungstenite write its answer to what was read, so that nothing of ours cuts into it.
async fn answer(socket: &mut Socket, context: &Context) -> Option<End> {
    let result = match socket.flush().now_or_never() {
        Some(result) => result,
        None => match Box::pin(timeout(context.slow, socket.flush())).await {
            Ok(result) => result,
            Err(_) => {
                reset(socket.get_ref().stream());
                return Some(End::slow());
            }
        },
    };
    result.is_err().then_some(End::BROKEN)
}
