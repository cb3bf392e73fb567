//! What a session wants done: questions go to the store, the rest is gathered to be written.

use std::sync::Arc;

use carillon_common::{ids::ChannelName, protocol::CloseCode};

use super::{Context, outgoing::Outgoing};
use crate::{
    routing::Handle,
    session::{Call, Effect, Marks, Out},
};

/// What is to be written.
pub(super) struct Gathered {
    pub outgoing: Outgoing,
    /// Traced notifications among it.
    pub marks: Marks,
    /// The close frame to end with.
    pub close: Option<CloseCode>,
}

/// Starts calls; answers what is to be written.
pub(super) fn carry_out(
    out: Out,
    handle: &Arc<Handle>,
    context: &Context,
    joined: &mut Vec<ChannelName>,
) -> Gathered {
    let mut gathered = Gathered {
        outgoing: Outgoing::with_capacity(out.payloads()),
        marks: Marks::default(),
        close: None,
    };
    for effect in out {
        match effect {
            Effect::Write(text) => gathered.outgoing.text(&text),
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
            Effect::Close(code) => {
                gathered.close = Some(code);
                break;
            }
        }
    }
    gathered
}
