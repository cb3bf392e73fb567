//! What a session wants done, gathered in order while it handles its input.

use carillon_common::protocol::{CloseCode, ServerFrame};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    traced::Traced,
    vocabulary::{Call, Effect, Note},
};

/// Effects in the order in which they are to be carried out. Nothing follows a close.
#[derive(Debug, Default)]
pub(crate) struct Out(Vec<Effect>);

impl Out {
    /// Writes a control frame.
    pub(super) fn write(&mut self, frame: &ServerFrame<'_>) {
        self.0.push(control(frame));
    }

    /// Writes a control frame before everything else.
    pub(crate) fn write_first(&mut self, frame: &ServerFrame<'_>) {
        self.0.insert(0, control(frame));
    }

    /// Writes a notification, which may be traced.
    pub(super) fn deliver(&mut self, text: Utf8Bytes, traced: Option<Box<Traced>>) {
        self.0.push(Effect::Write(text));
        self.0.extend(traced.map(Effect::Traced));
    }

    /// Says where the client is once it has what is written next.
    pub(super) fn position(&mut self, id: String) {
        self.0.push(Effect::Position(id.into()));
    }

    /// Adds what was gathered apart.
    pub(super) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Sends a ping.
    pub(super) fn ping(&mut self, payload: String) {
        self.0.push(Effect::Ping(payload));
    }

    /// Asks the store.
    pub(super) fn ask(&mut self, call: Call) {
        self.0.push(Effect::Ask(Box::new(call)));
    }

    /// Counts something.
    pub(super) fn note(&mut self, note: Note) {
        self.0.push(Effect::Note(note));
    }

    /// Ends the connection.
    pub(crate) fn close(&mut self, code: CloseCode) {
        self.0.push(Effect::Close(code));
    }

    /// Ends the connection, and says why in other words than the code's.
    pub(super) fn close_because(&mut self, code: CloseCode, reason: Option<Box<str>>) {
        self.0.extend(reason.map(Effect::Reason));
        self.close(code);
    }

    /// The code that the connection ends with, if this is its end.
    pub(crate) fn closed(&self) -> Option<CloseCode> {
        match self.0.last() {
            Some(Effect::Close(code)) => Some(*code),
            _ => None,
        }
    }

    /// Whether a text frame is among it.
    pub(super) fn has_text(&self) -> bool {
        let is_text = |effect: &Effect| matches!(effect, Effect::Write(_) | Effect::Control(..));
        self.0.iter().any(is_text)
    }

    /// Bytes of payload of each frame among it, and of what else is written.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|effect| match effect {
            Effect::Write(text) => Some(text.len()),
            Effect::Control(_, text) | Effect::Position(text) => Some(text.len()),
            Effect::Ping(payload) => Some(payload.len()),
            _ => None,
        })
    }
}

fn control(frame: &ServerFrame<'_>) -> Effect {
    Effect::Control(frame.kind(), frame.encode().into())
}

impl IntoIterator for Out {
    type Item = Effect;
    type IntoIter = std::vec::IntoIter<Effect>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
