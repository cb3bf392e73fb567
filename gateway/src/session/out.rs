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
        self.0.push(Effect::Write(frame.encode().into()));
    }

    /// Writes a control frame before everything else.
    pub(crate) fn write_first(&mut self, frame: &ServerFrame<'_>) {
        self.0.insert(0, Effect::Write(frame.encode().into()));
    }

    /// Writes a notification, which may be traced.
    pub(super) fn deliver(&mut self, text: Utf8Bytes, traced: Option<Box<Traced>>) {
        self.0.push(Effect::Write(text));
        self.0.extend(traced.map(Effect::Traced));
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

    /// The code that the connection ends with, if this is its end.
    pub(crate) fn closed(&self) -> Option<CloseCode> {
        match self.0.last() {
            Some(Effect::Close(code)) => Some(*code),
            _ => None,
        }
    }

    /// Whether a text frame is among it.
    pub(super) fn has_text(&self) -> bool {
        self.0.iter().any(|it| matches!(it, Effect::Write(_)))
    }

    /// Bytes of payload of each frame among it.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|effect| match effect {
            Effect::Write(text) => Some(text.len()),
            Effect::Ping(payload) => Some(payload.len()),
            _ => None,
        })
    }
}

impl IntoIterator for Out {
    type Item = Effect;
    type IntoIter = std::vec::IntoIter<Effect>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
