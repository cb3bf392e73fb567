//! What a connection is before its client can see it: reachable and registered.

use std::{future::poll_fn, sync::Arc};

use carillon_common::{ids::ChannelName, protocol::CloseCode};

use super::{Context, effects::carry_out, inputs::on_mail, outgoing::Outgoing};
use crate::{
    routing::Handle,
    session::{Out, Session},
};

/// A session that is reachable and registered, and whose client is about to be told so.
pub(crate) struct Arrived {
    /// Authenticated.
    pub session: Session,
    /// What its client is to be told first.
    pub first: Out,
    /// In the hub.
    pub handle: Arc<Handle>,
    /// The channels that the hub knows it to be on.
    pub(crate) joined: Vec<ChannelName>,
}

impl Arrived {
    /// Of a session that has yet to be registered.
    pub(crate) fn new(session: Session, handle: Arc<Handle>) -> Self {
        Self {
            session,
            first: Out::default(),
            handle,
            joined: Vec::new(),
        }
    }

    /// Asks the store what a new session wants to know (`out`), and waits until it is registered.
    /// What is to be written then waits in `first`.
    ///
    /// # Errors
    /// The close code that the session ends with instead.
    pub(crate) async fn register(&mut self, out: Out, context: &Context) -> Result<(), CloseCode> {
        // Nothing is written yet: what a new session wants is to be registered.
        drop(carry_out::<Outgoing>(
            out,
            &self.handle,
            context,
            &mut self.joined,
        ));
        while self.session.fence().is_none() {
            let taken = poll_fn(|task| self.handle.mailbox.poll_take(task)).await;
            let now = context.now();
            on_mail(&mut self.session, taken, now, &mut self.first);
            match self.first.closed() {
                None => self.session.after_writing(now, &mut self.first),
                // There is as much for its client as a stream may hold.
                Some(CloseCode::Unacked) => {}
                Some(code) => return Err(code),
            }
        }
        self.publish_position();
        Ok(())
    }

    /// Shows the rest of the gateway where the connection stands.
    pub(crate) fn publish_position(&self) {
        if let Some(fence) = self.session.fence() {
            self.handle.publish_position(fence, self.session.position());
        }
    }

    /// Reports its end to the store. `clean` and `confirmed` as in [`Session::close`].
    pub(crate) fn end(self, context: &Context, clean: bool, confirmed: bool) {
        let untaken = self.handle.mailbox.close();
        context.calls.give_back(untaken, &self.handle);
        let closing = self.session.close(clean, confirmed);
        context.calls.close(closing, self.handle, self.joined);
    }
}
