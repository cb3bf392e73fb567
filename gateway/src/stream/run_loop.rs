//! A stream's loop.
//!
//! It waits for three things: mail from the gateway, the session's next deadline, and that the client is gone. The
//! first two are given to the session; what comes out is written, all events in one chunk.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    task::{Context as Task, Poll, ready},
};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};

use super::{Framing, Opened, events::Events};
use crate::{
    connection::{Context, End, Gathered, carry_out, on_mail, write, written},
    routing::Taken,
    session::{Marks, Out},
};

/// What a client may say that is listened to by nobody, in bytes: another request, before this one is answered.
const UNASKED: usize = 16 << 10;

enum Woken {
    Mail(Taken),
    Gone(End),
    Deadline,
}

pub(super) async fn run_loop(opened: &mut Opened, context: &Context) -> End {
    let Opened {
        stream,
        framing,
        retry,
        arrived,
        ..
    } = opened;
    let mut out = std::mem::take(&mut arrived.first);
    let mut alarm = pin!(sleep_until(Instant::now()));
    let mut unasked = UNASKED;
    loop {
        let Gathered {
            outgoing: mut events,
            marks,
            close: ending,
        } = carry_out::<Events>(out, &arrived.handle, context, &mut arrived.joined);
        if let Some(ending) = &ending {
            events.disconnect(ending.code, ending.reason(), *retry);
        }
        if let Some(end) = write_events(stream, events, *framing, marks, context).await {
            return end;
        }
        if let Some(ending) = ending {
            return End::here(ending.code, false);
        }
        let session = &mut arrived.session;
        let now = context.now();
        let deadline = session.next_deadline(now);
        // A timer that rings too early costs less than moving it at every event.
        if deadline < alarm.deadline() || alarm.deadline() <= now.mono {
            alarm.as_mut().reset(deadline);
        }
        let mailbox = &arrived.handle.mailbox;
        let woken = poll_fn(|task| {
            if let Poll::Ready(taken) = mailbox.poll_take(task) {
                return Poll::Ready(Woken::Mail(taken));
            }
            if let Poll::Ready(end) = poll_gone(stream, &mut unasked, task) {
                return Poll::Ready(Woken::Gone(end));
            }
            alarm.as_mut().poll(task).map(|()| Woken::Deadline)
        })
        .await;
        let now = context.now();
        out = Out::default();
        match woken {
            Woken::Mail(taken) => on_mail(session, taken, now, &mut out),
            Woken::Gone(end) => return end,
            Woken::Deadline => session.on_deadline(now, &mut out),
        }
        if out.closed().is_none() {
            session.after_writing(now, &mut out);
        }
        arrived.publish_position();
    }
}

/// Writes what was gathered. A client that does not read for too long is given up.
async fn write_events(
    stream: &TcpStream,
    events: Events,
    framing: Framing,
    marks: Marks,
    context: &Context,
) -> Option<End> {
    let bytes = events.into_bytes(framing);
    context.metrics.all.bytes_written.inc_by(bytes.len() as u64);
    let result = write(stream, bytes, context.slow).await;
    written(result, stream, marks, context)
}

/// Ready when the client has closed, or says more than it may.
fn poll_gone(stream: &TcpStream, unasked: &mut usize, task: &mut Task<'_>) -> Poll<End> {
    let mut bytes = [0; 512];
    loop {
        if ready!(stream.poll_read_ready(task)).is_err() {
            return Poll::Ready(End::BROKEN);
        }
        match stream.try_read(&mut bytes) {
            Ok(0) => return Poll::Ready(End::LEFT),
            Ok(read) if read < *unasked => *unasked -= read,
            Ok(_) => return Poll::Ready(End::BROKEN),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Poll::Ready(End::BROKEN),
        }
    }
}
