//! What a session wants done: questions go to the store, the rest is gathered to be written.

use std::sync::Arc;

use carillon_common::{ids::ChannelName, protocol::CloseCode};

use super::Context;
use crate::{
    routing::Handle,
    session::{Call, Effect, Marks, Out},
};

/// How what a session writes is put on the way to its client.
pub(crate) trait Wire {
    /// With room for so many bytes of payload each, and hardly more: it is kept for as long as the client does not
    /// read.
    fn with_capacity(payloads: impl Iterator<Item = usize>) -> Self;

    /// A notification.
    fn notification(&mut self, text: &str);

    /// A control frame of this type.
    fn control(&mut self, kind: &'static str, text: &str);

    /// Where the client is once it has what follows.
    fn position(&mut self, id: &str);

    /// A ping, or what shows in its place that the connection goes on.
    fn ping(&mut self, payload: &str);
}

/// What is to be written.
pub(crate) struct Gathered<W> {
    pub outgoing: W,
    /// Traced notifications among it.
    pub marks: Marks,
    /// What to end with.
    pub close: Option<Ending>,
}

/// What a connection ends with.
#[derive(Debug)]
pub(crate) struct Ending {
    pub code: CloseCode,
    /// What is said instead of the code's own word.
    other: Option<Box<str>>,
}

impl Ending {
    /// What is said beside the code.
    pub(crate) fn reason(&self) -> &str {
        self.other.as_deref().unwrap_or(self.code.reason())
    }
}

/// Starts calls; answers what is to be written.
pub(crate) fn carry_out<W: Wire>(
    out: Out,
    handle: &Arc<Handle>,
    context: &Context,
    joined: &mut Vec<ChannelName>,
) -> Gathered<W> {
    let mut gathered = Gathered {
        outgoing: W::with_capacity(out.payloads()),
        marks: Marks::default(),
        close: None,
    };
    let mut reason = None;
    for effect in out {
        match effect {
            Effect::Write(text) => gathered.outgoing.notification(&text),
            Effect::Control(kind, text) => gathered.outgoing.control(kind, &text),
            Effect::Position(id) => gathered.outgoing.position(&id),
            Effect::Ping(payload) => gathered.outgoing.ping(&payload),
            Effect::Ask(call) => {
                match &*call {
                    Call::Join(channel) => joined.push(channel.clone()),
                    Call::Leave(channel) => joined.retain(|other| other != channel),
                    _ => {}
                }
                context.calls.start(*call, handle);
            }
            Effect::Traced(traced) => gathered.marks.add(*traced),
            Effect::Note(note) => context.metrics.note(note, context.clock.now()),
            Effect::Reason(other) => reason = Some(other),
            Effect::Close(code) => {
                let other = reason.take();
                gathered.close = Some(Ending { code, other });
                break;
            }
        }
    }
    gathered
}
